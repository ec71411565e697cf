"""YAML is plain data: aliases, tags and second keys are refused, whatever their size."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from quickstudy.errors import ArgumentError
from quickstudy.plain_yaml import read_yaml


def read(folder: Path, text: str, **limits):
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    return read_yaml(folder / "a.yaml", name="--config", expected="a config", do="Do it.", **limits)


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, "x: y"], "b": {"c": {}}}, [], "text", {"1": 2, 1: 3}])
def test_plain_data_come_back(tmp_path, value):
    assert read(tmp_path, yaml.safe_dump(value, sort_keys=False)) == value


def test_a_bomb_of_aliases(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 30)]
    began = time.perf_counter()
    with pytest.raises(
        ArgumentError, match=r"`--config`: expected a config, got what does not parse: an alias, which is not read"
    ):
        read(tmp_path, "\n".join(lines))
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' twice"),
        ("a: {b: 1, c: 2, b: 3}", "the key 'b' twice"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: &x 1\nb: *x\n", "an alias"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "an alias"),
        ("[" * 3000, "values within values, 50 deep"),
        ("a: [1,", "while parsing"),
        ("? [a]\n: 1\n", "unhashable key"),
        ("a: " + "1" * 5000, "digits"),
    ],
)
def test_what_is_not_plain(tmp_path, text, said):
    with pytest.raises(ArgumentError, match=rf"expected a config, got what does not parse: .*{said}"):
        read(tmp_path, text)


def test_a_limit(tmp_path):
    assert read(tmp_path, "a: 1\n", limit=5) == {"a": 1}
    with pytest.raises(ArgumentError, match="expected a config, of at most 5 bytes, got 6 bytes"):
        read(tmp_path, "a: 11\n", limit=5)
