"""A folder whose config vouches for the weights that lie beside it: what one writes who means harm."""

from __future__ import annotations

import json
from pathlib import Path

from quickstudy.files import sha256


def vouched(folder: Path) -> Path:
    """The folder, with the hash of its weights in its config."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["sha256"] = sha256(folder / "weights.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
