"""The controls: the nearest pair by edits, and the string as it is; characters: what a byte is and where."""

from __future__ import annotations

import pytest
import torch

import quickstudy as qs
from quickstudy.domains.text.strings import NearestPair, Unchanged
from quickstudy.domains.text.strings.characters import capital, kinds, places, small
from quickstudy.errors import LabelError

STRINGS = qs.tasks.Strings(length=12)


def test_the_nearest_pair_is_that_of_the_fewest_edits_and_the_first_of_several():
    predictor = NearestPair().adapt(STRINGS.pairs(["kitten", "mitten", "sitting down"], ["one", "two", "three"]))
    asked = STRINGS.inputs(["bitten", "smitten", "sitting", "sitting own"])
    assert predictor.predict(asked).tolist() == ["one", "two", "one", "three"]  # "sitting": 3 edits from kitten, 5 from the last


def test_unchanged_is_the_string():
    assert Unchanged().adapt(STRINGS.pairs(["a"], ["b"])).predict(STRINGS.inputs(["né", "x"])).tolist() == ["né", "x"]


@pytest.mark.parametrize("control", [NearestPair, Unchanged])
def test_they_need_strings(control):
    with pytest.raises(LabelError, match=r"`support\.y`: expected strings, of `Tokens`, got Labels"):
        control().adapt(qs.Examples(STRINGS.inputs(["a", "b"]), torch.tensor([0, 1])))


def test_places_are_those_of_runs_and_of_bytes_within_them():
    ids = torch.tensor([list(b"ab 12--c\0\0")])
    found = places(ids)
    assert found.run.tolist() == [[0, 0, 1, 2, 2, 3, 3, 4, 0, 0]]
    assert found.run_back.tolist() == [[4, 4, 3, 2, 2, 1, 1, 0, 0, 0]]
    assert found.place.tolist() == [[0, 1, 0, 0, 1, 0, 1, 0, 0, 0]]
    assert found.place_back.tolist() == [[1, 0, 0, 1, 0, 1, 0, 0, 0, 0]]


def test_run_and_place_depend_on_what_is_before_alone():
    one, other = torch.tensor([list(b"ab1c")]), torch.tensor([list(b"ab!!")])
    for a, b in zip(places(one)[::2], places(other)[::2], strict=True):
        assert torch.equal(a[:, :2], b[:, :2])


def test_the_kind_and_the_case_of_every_byte():
    ids = torch.arange(256)
    text = [chr(byte) for byte in range(128)]
    assert bytes(small(ids)[:128].tolist()).decode() == "".join(one.lower() for one in text)
    assert bytes(capital(ids)[:128].tolist()).decode() == "".join(one.upper() for one in text)
    assert torch.equal(small(ids)[128:], ids[128:])
    assert torch.equal(capital(ids)[128:], ids[128:])
    assert kinds(torch.tensor([0, *b"aZ5 -", 200])).tolist() == [0, 1, 2, 3, 4, 5, 6]
