"""The examples in docstrings run, and every public class has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import typing
from pathlib import Path

import pytest
import torch

import quickstudy as qs

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "quickstudy"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public() -> dict[str, object]:
    """Everything on the reference page."""
    found = {}
    for where in re.findall(r"^::: (\S+)$", (ROOT / "docs" / "reference.md").read_text(encoding="utf-8"), re.MULTILINE):
        parts = where.split(".")
        for n in range(len(parts) - 1, 0, -1):
            try:
                value = importlib.import_module(".".join(parts[:n]))
            except ModuleNotFoundError:
                continue
            for part in parts[n:]:
                value = getattr(value, part)
            break
        found[where] = value
    return found


def public_classes() -> dict[str, type]:
    """The classes on the reference page; a list of arguments is no thing to use by itself."""
    return {where: value for where, value in public().items() if inspect.isclass(value) and not typing.is_typeddict(value)}


def modules() -> list[str]:
    """Every module with an example in it."""
    paths = [path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")]
    names = [".".join(("quickstudy", *path.relative_to(SOURCE).with_suffix("").parts)) for path in paths]
    return sorted(name.removesuffix(".__init__") for name in names)


@pytest.mark.parametrize("module", modules())
def test_examples(module, tmp_path, monkeypatch):
    """Each with `qs` and `torch` at hand, from a fixed seed, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    parsed = doctest.DocTestFinder(exclude_empty=True).find(
        importlib.import_module(module), extraglobs={"qs": qs, "torch": torch}
    )
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    said: list[str] = []
    for example in parsed:
        torch.manual_seed(0)
        runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


@pytest.mark.parametrize("where", public_classes())
def test_every_public_class_has_an_example(where):
    assert ">>> " in (public_classes()[where].__doc__ or "")
