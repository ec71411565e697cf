"""The gallery's pages as notebooks: a page's text is a cell of text, each block of Python in it a cell of code.

The page is the source, since it is easy to read and to compare; its notebook is made of it, without outputs. The cells of code
run in order in one namespace, which needs no Jupyter.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

GALLERY = Path(__file__).resolve().parents[2] / "docs" / "gallery"
PICTURES = GALLERY.parent / "pictures"
NAMES = sorted(path.stem for path in GALLERY.glob("*.md") if path.stem != "index")
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE_ONLY = ("[As a notebook]", "![")  # how the paragraphs begin that a notebook leaves out: its link, its picture


def text_of(name: str) -> str:
    return (GALLERY / f"{name}.md").read_text(encoding="utf-8")


def cells(text: str) -> list[tuple[str, str]]:
    """("markdown" or "code", source) of each cell, in order."""
    found = []
    for number, part in enumerate(CODE.split(text)):
        kind = "code" if number % 2 else "markdown"
        if kind == "markdown":
            part = "\n\n".join(one for one in part.split("\n\n") if not one.lstrip().startswith(PAGE_ONLY))
        if part.strip():
            found.append((kind, part.strip()))
    return found


def notebook(name: str) -> str:
    """The .ipynb file (nbformat 4.5)."""
    made: list[dict[str, Any]] = []
    for number, (kind, source) in enumerate(cells(text_of(name))):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"{name}-{number}", "metadata": {}}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(cell | {"source": source.splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def run(path: Path) -> dict[str, Any]:
    """The names that a notebook leaves, once its cells have run in order."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}:{cell['id']}", "exec"), names)
    return names
