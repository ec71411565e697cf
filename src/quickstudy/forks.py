"""What a forked process has lost: every thread but the one that forked, and whatever waits for one of them waits for ever.

    torch's threads of one operator (OpenMP)    a child computes on one thread, as a worker of torch's DataLoader does
    our own threads                             a child starts its own: `generation` tells it that it is another process
    the threads of torch.compile                a child that forked after their start compiles nothing: `compiler_is_lost`
    a lock that another thread held             a lock of `lock()` is held by nobody else while a process forks

A child may have more threads of torch by `torch.set_num_threads(n)`, but it hangs in the first large operator if its parent had
computed on several before the fork. A spawned process has lost nothing.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import AbstractContextManager

import torch

_generation = 0
_compiler_is_lost = False


def generation() -> int:
    """How many forks lie between the first process and this one."""
    return _generation


def compiler_is_lost() -> bool:
    """Whether this process was forked from one in which torch.compile had been used."""
    return _compiler_is_lost


def lock() -> AbstractContextManager[bool]:
    """A lock for the module that makes it; a process forks while nobody else holds it, so that no child finds it held.

    Who holds a lock may take those made before it, and no others: a fork takes them in this order.
    """
    made = threading.RLock()
    if FORKS:
        os.register_at_fork(before=made.acquire, after_in_parent=made.release, after_in_child=made.release)
    return made


def _in_child() -> None:
    global _generation, _compiler_is_lost
    _generation += 1
    _compiler_is_lost = _compiler_is_lost or "torch._inductor.async_compile" in sys.modules
    torch.set_num_threads(1)


FORKS = hasattr(os, "register_at_fork")  # Windows has none
LOCK = lock()  # of what all threads of a process share; held for moments only
if FORKS:
    os.register_at_fork(after_in_child=_in_child)
