"""A translated tutorial shows the programs, the commands, the headings and the numbers of the English one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
TRANSLATED = sorted(TUTORIALS.glob("*.zh.md"))


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def numbers(text: str) -> list[str]:
    """Those of the tables."""
    return re.findall(r"\d+\.\d+", "".join(line for line in text.splitlines() if line.startswith("|")))


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: page.name)
def test_it_shows_what_the_english_page_shows(page):
    text = page.read_text(encoding="utf-8")
    english = page.with_name(page.name.replace(".zh", "")).read_text(encoding="utf-8")
    for theirs, ours in zip(fenced(text, "python"), fenced(english, "python"), strict=True):
        assert ast.unparse(ast.parse(theirs)) == ast.unparse(ast.parse(ours))
    assert fenced(text, "sh") == fenced(english, "sh")
    assert [line.count("#") for line in re.findall(r"^#+ ", text, re.MULTILINE)] == [
        line.count("#") for line in re.findall(r"^#+ ", english, re.MULTILINE)
    ]
    assert numbers(text) == numbers(english)
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 500


def test_there_is_one():
    assert [page.name for page in TRANSLATED] == ["folder.zh.md"]
