"""What quickstudy does on a GPU, in under 8 minutes and without a network: python -m benchmarks.gpu, which `make gpu` runs.

life        a run trained there, killed, resumed, saved, loaded on a CPU
gradients   every learner's, by loop, vmap and compiled, beside a CPU's in float64; a support from the CPU
speed       Conv4 and the sinusoid in float32, tf32 and bf16, beside higher, a supervised pass and JAX

Each section is a process of its own, with a share of the time. OUT/gpu.json and OUT/gpu.md have the figures beside their goals,
also of a script that was cut short. The exit status is 1 where a gradient or a life is wrong; a goal of speed that is missed is
reported, and no failure.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.report import failures, page
from benchmarks.gpu.speed import absent
from benchmarks.hardware import hardware

SECONDS = 450.0  # of all sections; the imports and the last seconds of each come on top
SHARES = {"life": 60, "gradients": 140, "speed eager": 100, "speed jax": 90, "speed compiled": 60}
AFTER = 15.0  # seconds after its time that a section is killed

Found = dict[str, Any]


def main() -> int:
    """The command."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cuda, or cpu to try the script")
    made.add_argument("--small", action="store_true", help="cut down to what a test has time for")
    made.add_argument("--seconds", type=float, default=SECONDS, help="of all sections")
    made.add_argument("--out", type=Path, default=Path("runs/gpu"), help="where gpu.json and gpu.md go")
    made.add_argument("--sections", nargs="*", choices=SHARES, default=list(SHARES), help="those to run; all where none is named")
    given = made.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        made.error(
            "--device cuda: expected a GPU that torch sees, got none. Try the script with --device cpu (make gpu DEVICE=cpu)."
        )
    given.out.mkdir(parents=True, exist_ok=True)
    found = measured(given)
    lines = failures(found)
    for line in lines:
        print(f"FAILED {line}")
    print(f"{len(lines)} checks failed; {found['seconds']:.0f} s; the figures are in {given.out / 'gpu.md'}")
    return 1 if lines else 0


def measured(given: argparse.Namespace) -> Found:
    """All sections, one after another; what is found is written after each."""
    began = time.monotonic()
    found: Found = {"made": machine(given)}
    for module in absent():
        print(f"{module} is not installed: nothing of it is timed", flush=True)
    with tempfile.TemporaryDirectory() as root:
        for index, name in enumerate(given.sections):
            later = sum(SHARES[one] for one in given.sections[index:])
            seconds = (given.seconds - (time.monotonic() - began)) * SHARES[name] / later
            if (name == "speed jax" and "jax" in absent()) or (name == "speed compiled" and given.small):
                continue
            take(found, name, *process(name, given, max(seconds, 1.0), Path(root) / f"{name}.json"))
            found["seconds"] = time.monotonic() - began
            (given.out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            (given.out / "gpu.md").write_text(page(found), encoding="utf-8")
    return found


def process(name: str, given: argparse.Namespace, seconds: float, out: Path) -> tuple[Found, int | None]:
    """What a section found in its time, and its exit status; None where it was killed for its time."""
    module, *words = name.split()
    command = [sys.executable, "-m", f"benchmarks.gpu.{module}", *words, "--device", given.device]
    command += ["--seconds", f"{seconds:.0f}", "--out", str(out), *(["--small"] if given.small else [])]
    print(f"## {name}, {seconds:.0f} s", flush=True)
    child = subprocess.Popen(command, start_new_session=True)  # with its own children, so that all of them can be killed
    try:
        status = child.wait(seconds + AFTER)
    except subprocess.TimeoutExpired:
        status = None
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        print(f"{name}: cut short after {seconds + AFTER:.0f} s", flush=True)
    except BaseException:  # Ctrl-C, which a session of its own does not see
        os.killpg(child.pid, signal.SIGKILL)
        raise
    return json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}, status


def take(found: Found, name: str, part: Found, status: int | None) -> None:
    """Lay what a section found beside what the others did."""
    module = name.split()[0]
    if module == "speed":
        races = found.setdefault("speed", {"absent": absent(), "races": {}})["races"]
        for title, precisions in part.get("races", {}).items():
            for precision, row in precisions.items():
                races.setdefault(title, {}).setdefault(precision, {}).update(row)
    else:
        found[module] = part
    if status is None:
        found.setdefault("cut short", []).append(name)
    elif status != 0:
        found.setdefault("broken", {})[name] = status


def machine(given: argparse.Namespace) -> Found:
    """Where and with what the figures are made."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "device": given.device,
        "small": given.small,
        "sections": sorted({name.split()[0] for name in given.sections}),
        "hardware": hardware(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "jax": version("jax"),
        "higher": version("higher"),
        "python": platform.python_version(),
    }


def version(package: str) -> str | None:
    """Of an installed package; None where it is not."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
