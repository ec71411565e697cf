"""Sealed files that were changed, and sealed again: what one writes who means harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quickstudy.files import sealed

BESIDE = {"config.json": "weights.safetensors", "estimator.json": "support.safetensors"}


def rewritten(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda spec: None, name: str = "config.json") -> Path:
    """The folder, after `change` of its JSON file, with a seal of what is there now."""
    spec = json.loads((folder / name).read_text(encoding="utf-8"))
    change(spec)
    return put(folder, spec, name)


def put(folder: Path, spec: Any, name: str = "config.json") -> Path:
    """The folder, with `spec` as its JSON file, sealed if it is a mapping."""
    beside = [folder / BESIDE[name]] if name in BESIDE and (folder / BESIDE[name]).is_file() else []
    (folder / name).write_text(json.dumps(sealed(spec, *beside) if isinstance(spec, dict) else spec), encoding="utf-8")
    return folder
