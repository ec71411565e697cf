"""Random splits and published lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.statistics import BIASED, UNIFORM, p_value

from quickstudy.errors import ArgumentError, DataError, TaskError
from quickstudy.tasks import random_split, read_split


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), spare=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_parts_are_disjoint_and_of_their_sizes(sizes: list[int], spare: int, seed: int):
    classes = [f"class {number}" for number in range(sum(sizes) + spare)]
    parts = random_split(classes, sizes, seed=seed)
    assert [len(part) for part in parts] == sizes
    assert len({name for part in parts for name in part}) == sum(sizes)
    assert {name for part in parts for name in part} <= set(classes)
    assert random_split(classes, sizes, seed=seed) == parts


@given(classes=st.integers(20, 200), shares=st.lists(st.floats(0.1, 1.0), min_size=1, max_size=4))
def test_fractions_of_one_leave_no_class_over(classes: int, shares: list[float]):
    sizes = [share / sum(shares) for share in shares]
    parts = random_split(range(classes), sizes, seed=0)
    assert sorted(label for part in parts for label in part) == list(range(classes))
    assert all(abs(len(part) - classes * size) <= 1 for part, size in zip(parts, sizes, strict=True))


def test_every_class_is_as_often_in_every_part():
    counts, controls = torch.zeros(12), torch.zeros(12)
    for seed in range(2000):
        test = random_split(range(12), (6, 3, 3), seed=seed)[2]
        counts[test] += 1
        controls[[0, 1, 2] if seed % 10 == 0 else test] += 1  # a split that is not shuffled one time in ten
    assert p_value(counts, 3) > UNIFORM
    assert p_value(controls, 3) < BIASED


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        (
            (6, 3, 2),
            TaskError,
            r"`sizes=\(6, 3, 2\)`: expected at most the 10 classes there are, got 6 \+ 3 \+ 2 = 11\. Lower a size",
        ),
        (
            (6, 0, 2),
            ArgumentError,
            r"`sizes`: expected at least one class in every part, got \(6, 0, 2\) of 10 classes\. Raise the size",
        ),
        (
            (0.9, 0.01, 0.09),
            ArgumentError,
            r"`sizes`: expected at least one class in every part, got \(0\.9, 0\.01, 0\.09\) of 10",
        ),
        (
            (0.9, 0.1, 0.1),
            ArgumentError,
            r"`sizes`: expected fractions that add up to at most 1, got \(0\.9, 0\.1, 0\.1\)\. Give for",
        ),
    ],
)
def test_sizes_that_cannot_be(sizes: tuple[float, ...], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        random_split(range(10), sizes, seed=0)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        stem, _, ending = name.partition("_")
        (folder / f"{stem}.{ending}").write_text(text)
    return folder


def test_lines_and_json_say_the_same(tmp_path: Path):
    lines, table = tmp_path / "lines", tmp_path / "table"
    lines.mkdir(), table.mkdir()
    write(
        lines,
        train_txt="Greek/character01/rot000\nGreek/character01/rot090\n\nLatin/character02\n",
        val_txt="",
        test_txt="N_Ko/c9\n",
    )
    greek = {"background": {"Greek": ["character01"], "Latin": ["character02"]}, "evaluation": {}}
    write(table, train_json=json.dumps(greek), val_json="{}", test_json='{"evaluation": {"N_Ko": ["c9"]}}')
    expected = {"train": ["Greek/character01", "Latin/character02"], "validation": [], "test": ["N_Ko/c9"]}
    assert read_split(lines) == expected
    assert read_split(str(table)) == expected


def test_a_folder_without_split_files(tmp_path: Path):
    message = r"`split='.*nowhere'`: expected a folder that holds train\.txt or train\.json, got no such folder\. Name a folder"
    with pytest.raises(DataError, match=message):
        read_split(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds val\.txt or val\.json, got neither in it"):
        read_split(write(tmp_path, train_txt="A/c1\n", test_txt="A/c2\n"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"train_txt": "A/c1\nA c2\n"},
            r"`.*train\.txt`: expected lines Alphabet/characterNN or .*, got line 2: 'A c2'\. Use the split file",
        ),
        (
            {"train_json": '{"background": '},
            r"`.*train\.json`: expected \{part: .*\}, got what does not parse as JSON: .*\. Use the split file",
        ),
        ({"train_json": '["A/c1"]'}, r"`.*train\.json`: expected \{part: .*\}, got \[\"A/c1\"\]\. "),
        ({"train_json": '{"background": {"A": "c1"}}'}, r"expected \{part: .*\}, got \{\"background\": "),
    ],
)
def test_files_in_neither_format(tmp_path: Path, files: dict[str, str], message: str):
    with pytest.raises(DataError, match=message):
        read_split(write(tmp_path, **files, val_txt="A/c3\n", test_txt="A/c4\n"))
