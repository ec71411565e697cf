"""A fingerprint of tasks: a hash of what they are made of, by which a run knows its own tasks again.

Equal for equal data on every machine. The protocol (ways, shots, queries) is not in it: other shots are other questions to the
same tasks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.lazy_rows import LazyRows

NOT_CONTENT = ("ways", "shots", "queries", "index", "cells", "columns", "ground", "layers", "made", "content")
# The protocol; index and cells are made of labels and groups, a ground of the images; `within` holds the groups that decide;
# layers and `made` say how the labels came about; a content says again what x is.


def fingerprint(tasks: Any) -> dict[str, str]:
    """A hash for each part of a family, by its name; of a single distribution, of "train"."""
    parts = tasks.parts if isinstance(tasks, TaskFamily) else {"train": tasks}
    return {name: _hash(part) for name, part in parts.items()}


def _hash(value: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, value, set())
    return digest.hexdigest()


def _feed(digest: Any, value: Any, above: set[int]) -> None:
    """Feed a value: its type, then its content. What has no content of its own (a function, a generator) is its name."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous()
        digest.update(f"tensor {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(memoryview(value.reshape(-1).view(torch.uint8).numpy()) if value.numel() else b"")
    elif isinstance(value, LazyRows):
        _feed(digest, value.content(), above)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"array {value.dtype} {value.shape} ".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes):
        digest.update(f"{type(value).__name__} {value!r} ".encode())
    elif id(value) in above:
        digest.update(b"again ")
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)} ".encode())
        for key in sorted(value, key=repr):
            _feed(digest, key, above | {id(value)})
            _feed(digest, value[key], above | {id(value)})
    elif isinstance(value, list | tuple | set | frozenset):
        digest.update(f"several {len(value)} ".encode())
        for one in sorted(value, key=repr) if isinstance(value, set | frozenset) else value:
            _feed(digest, one, above | {id(value)})
    else:
        kind = value if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")) else type(value)
        digest.update(f"{kind.__module__}.{kind.__qualname__} ".encode())
        for name, one in sorted(getattr(value, "__dict__", {}).items()) if kind is type(value) else ():
            if name not in NOT_CONTENT:
                digest.update(f"{name} ".encode())
                _feed(digest, one, above | {id(value)})
