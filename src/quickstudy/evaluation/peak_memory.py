"""The peak of this process's memory, where the system counts it."""

from __future__ import annotations

import sys

import torch


def peak_mb() -> float | None:
    """The peak memory of this process in MB: allocated on the GPU with CUDA, else resident; None if the system reports none."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    unit = 1 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
