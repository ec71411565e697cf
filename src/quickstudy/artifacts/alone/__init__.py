"""alone: programs that are written beside an export, and run without quickstudy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from quickstudy.files import write_json, writing

PROGRAM = Path(__file__).with_name("predict.py")


def write_beside(out: Path, settings: dict[str, Any]) -> tuple[Path, Path]:
    """OUT.json, the settings of an export, and OUT.py, a program that names images with both."""
    beside, program = (out.with_name(out.name + suffix) for suffix in (".json", ".py"))
    write_json(beside, settings, indent=1)
    with writing(program) as part:
        shutil.copyfile(PROGRAM, part)
    return beside, program
