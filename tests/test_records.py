"""A dataclass read from JSON: what fits is it, what does not is refused by its place; any change of a sealed file is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from quickstudy.arguments import PositiveInt, Probability
from quickstudy.errors import CheckpointError
from quickstudy.files import read_sealed, write_sealed
from quickstudy.records import RecordError, read_record, record


@dataclass(frozen=True)
class Bar:
    low: Probability
    count: PositiveInt = 1


@dataclass(frozen=True)
class Chart:
    name: str
    bars: tuple[Bar, ...]
    pair: tuple[int, str]
    scores: dict[str, float | None]
    how: Literal["mean", "median"] = "mean"
    size: int | tuple[int, int] | None = None
    other: Any = None


GOOD = {"name": "a", "bars": [{"low": 0.5}, {"low": 1, "count": 3}], "pair": [1, "x"], "scores": {"f": 0.5, "g": None}}


def test_what_fits():
    found = record(Chart, GOOD | {"size": [1, 2], "other": {"any": ["thing"]}})
    assert found == Chart("a", (Bar(0.5), Bar(1, 3)), (1, "x"), {"f": 0.5, "g": None}, size=(1, 2), other={"any": ["thing"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, r"^name: expected text, got 3$"),
        ({"bars": {}}, r"^bars: expected a list, got \{\}$"),
        ({"bars": [{"low": 0.5}, {"low": 2}]}, r"^bars\[1\]\.low: expected a number from 0 to 1, got 2$"),
        ({"bars": [{"low": 0.5, "count": True}]}, r"^bars\[0\]\.count: expected a whole number of 1 or more, got True$"),
        ({"bars": [{}]}, r"^bars\[0\]: expected the field 'low', got \[\]$"),
        ({"bars": [3]}, r"^bars\[0\]: expected a mapping, got 3$"),
        ({"bars": [{"low": 0, "high": 1}]}, r"^bars\[0\]: expected the fields \['count', 'low'\], got 'high'$"),
        ({"pair": [1]}, r"^pair: expected a list of 2, got \[1\]$"),
        ({"pair": ["x", 1]}, r"^pair\[0\]: expected a whole number, got 'x'$"),
        ({"scores": {"f": float("nan")}}, r"^scores\.f: expected a finite number, got nan$"),
        ({"scores": [1]}, r"^scores: expected a mapping, got \[1\]$"),
        ({"how": "mode"}, r"^how: expected one of 'mean', 'median', got 'mode'$"),
        ({"size": "x"}, r"^size: expected a whole number, got 'x'$"),
        ({"extra": 1}, r"^expected the fields \['bars', .*\], got 'extra'$"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(change, message):
    with pytest.raises(RecordError, match=message):
        record(Chart, GOOD | change)


def test_from_a_file(tmp_path: Path):
    write_sealed(tmp_path / "a.json", {"low": 0.1 + 0.2, "count": 2})
    assert read_record(tmp_path / "a.json", Bar, expected="a bar", do="Do it.") == Bar(0.1 + 0.2, 2)
    write_sealed(tmp_path / "a.json", {"low": 0.5, "count": 0})
    with pytest.raises(CheckpointError, match=r"expected a bar, got what does not fit: count: expected 1 or more, got 0\. Do it"):
        read_record(tmp_path / "a.json", Bar, expected="a bar", do="Do it.")


def test_a_seal_holds_what_the_file_says_and_the_files_beside_it(tmp_path: Path):
    file, beside = tmp_path / "a.json", tmp_path / "tensors"
    beside.write_bytes(b"1234")
    write_sealed(file, {"b": [1, {"c": 2.5}], "a": None})
    assert read_sealed(file, expected="it", do="Do it.") == {"b": [1, {"c": 2.5}], "a": None}
    found = json.loads(file.read_text())
    file.write_text(json.dumps(dict(sorted(found.items())), indent=3))  # laid out in another way
    assert read_sealed(file, expected="it", do="Do it.")["b"] == [1, {"c": 2.5}]
    with pytest.raises(CheckpointError, match=r"expected it, with its seal `sha256`, got \w{12}\.\.\. of other content"):
        read_sealed(file, [beside], expected="it", do="Do it.")
    for other in (found | {"a": 0}, found | {"d": 1}, {"b": found["b"], "sha256": found["sha256"]}):
        file.write_text(json.dumps(other))
        with pytest.raises(CheckpointError, match="of other content: a file was changed or damaged"):
            read_sealed(file, expected="it", do="Do it.")
    file.write_text('{"a": 1}')
    with pytest.raises(CheckpointError, match="with its seal `sha256`, got none"):
        read_sealed(file, expected="it", do="Do it.")
    write_sealed(file, {"a": 1})
    with pytest.raises(CheckpointError, match="expected it, and its files, got what cannot be read"):
        read_sealed(file, [tmp_path / "gone"], expected="it", do="Do it.")


def test_every_flipped_bit_of_a_sealed_file_is_found(tmp_path: Path):
    file = tmp_path / "a.json"
    write_sealed(file, {"rate": 0.1, "steps": 5, "names": ["a", "b"]})
    whole = file.read_bytes()
    read = []
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        try:
            read.append(read_sealed(file, expected="it", do="Do it."))
        except CheckpointError:
            continue
    assert all(one == {"rate": 0.1, "steps": 5, "names": ["a", "b"]} for one in read)  # a blank that became another
    assert len(read) < 20
