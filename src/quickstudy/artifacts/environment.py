"""The environment of a run: versions and hardware. Written into its folder, and shown in its report."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = ("numpy", "matplotlib", "safetensors")


def environment() -> dict[str, str]:
    """Versions of the packages, and the hardware, by name."""
    from quickstudy import __version__

    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "quickstudy": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,  # names its build, which the metadata of a wheel may not
        **{name: metadata.version(name) for name in PACKAGES},
        "system": platform.platform(),
        "processor": _processor(),
        "cores": f"{os.cpu_count()}, torch uses {torch.get_num_threads()}",
        "memory": _memory(),
        "accelerators": ", ".join(devices) or "none",
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> str:
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= os.sysconf_names.keys():
        return "unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
