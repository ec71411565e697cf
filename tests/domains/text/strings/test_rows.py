"""Strings as rows of bytes: whole or refused, in every script."""

from __future__ import annotations

import pytest
import torch

import quickstudy as qs
from quickstudy.domains.text.strings.rows import as_pairs
from quickstudy.errors import DataError, ShapeError

STRINGS = qs.tasks.Strings(length=12)


@pytest.mark.parametrize("text", ["plain", "né", "日本語", "שלום", "🙂🙂", "a  b", "x" * 12])
def test_a_string_is_read_whole_and_named_again(text):
    examples = STRINGS.pairs([text], [text])
    assert examples.target.named(examples.y).tolist() == [text]
    assert int(examples.x["mask"].sum()) == len(text.encode())
    assert torch.equal(examples.x["ids"], examples.y)


BAD = {
    "too long": ("x" * 13, r"`inputs\[1\]`: expected at most 12 bytes, the length of a row, got 13 bytes, 'x+'"),
    "too long in bytes": ("日本語日本", "expected at most 12 bytes, .* got 15 bytes"),
    "1 MB": ("x" * 2**20, "got 1048576 bytes"),
    "empty": ("", r"`inputs\[1\]`: expected a text, got ''"),
    "of spaces": ("   ", "expected a text, got '   '"),
    "with NUL": ("a\0b", "got the character NUL at place 1"),
    "a lone surrogate": ("a\ud800", r"half of a surrogate pair, U\+D800"),
    "a number": (3, "expected a text, got 3 of type int"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_string_is_refused_by_its_place(name):
    value, text = BAD[name]
    with pytest.raises(DataError, match=text):
        STRINGS.inputs(["good", value])
    with pytest.raises(DataError, match=text.replace("inputs", "outputs")):
        STRINGS.pairs(["one", "two"], ["good", value])


def test_as_many_outputs_as_inputs_and_lists_of_them():
    with pytest.raises(ShapeError, match="`inputs, outputs`: expected an output for each input, got 2 and 1"):
        STRINGS.pairs(["a", "b"], ["A"])
    with pytest.raises(DataError, match="`inputs`: expected a list of strings, got one string, 'abc'"):
        STRINGS.inputs("abc")
    assert STRINGS.inputs([])["ids"].shape == (0, 12)
    with pytest.raises(ShapeError, match="`x`: expected rows of 12 bytes"):
        STRINGS.apply(torch.zeros(1, 4, dtype=torch.uint8))


def test_examples_are_a_mapping_or_pairs():
    assert as_pairs({"a": "A", "b": "B"}) == (["a", "b"], ["A", "B"])
    assert as_pairs([("a", "A"), ("a", "B")]) == (["a", "a"], ["A", "B"])
    for bad in (["ab"], [("a", "b", "c")]):
        with pytest.raises(DataError, match=r"`examples\[0\]`: expected a string and what becomes of it, got"):
            as_pairs(bad)
