"""How an object was made is remembered on it, as far as a text can say it."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import quickstudy as qs
from quickstudy.calls import LONGEST, call_of, plain, remembered


class Made:
    """What a source makes."""


@remembered
def source(path: str | Path, data: Any = None, split: str | Path | tuple = "random", *, ways: int = 5) -> Made:
    return Made()


def test_paths_are_absolute_and_words_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "random").mkdir()
    (tmp_path / "lists").mkdir()
    assert call_of(source("a")).arguments == {"path": str(tmp_path / "a"), "data": None, "split": "random", "ways": 5}
    assert call_of(source(Path("a"), split="lists")).arguments["split"] == str(tmp_path / "lists")
    assert call_of(source("a", split="nowhere")).arguments["split"] == "nowhere"


@pytest.mark.parametrize("data", [[1, 2], torch.ones(3), np.ones(3), lambda: 0, object()])
def test_data_and_objects_are_named_only(data):
    assert call_of(source("a", data)).given == ("data",)


def test_numbers_of_numpy_are_plain_and_long_lists_are_not_kept():
    assert plain((np.int64(3), np.float32(0.5), Path("/a"), {"b": [True, None]})) == [3, 0.5, "/a", {"b": [True, None]}]
    assert type(plain(np.int64(3))) is int
    with pytest.raises(TypeError):
        plain([0] * (LONGEST + 1))


@dataclass(frozen=True)
class Theirs:
    """A setting of the user's own."""


def test_settings_of_quickstudy_are_kept_and_others_are_not():
    assert plain(qs.tasks.Rotations()) == qs.tasks.Rotations()
    with pytest.raises(TypeError):
        plain(Theirs())


def test_families_keep_it_through_copies_and_other_protocols():
    tasks = qs.tasks.Sinusoid(shots=3)
    assert call_of(tasks.with_(queries=7)).arguments == {"shots": 3, "queries": 7}
    for one in (copy.deepcopy(tasks), pickle.loads(pickle.dumps(tasks)), tasks.to("cpu")):
        assert call_of(one) == call_of(tasks)
    assert call_of(qs.tasks.TaskFamily(tasks.train, tasks.validation, tasks.test)).given == ("train", "validation", "test")
    assert call_of(tasks.train) is None


def test_learners_keep_it_through_copies():
    learner = qs.MAML(qs.models.mlp(), inner_lr=0.4)
    for one in (learner, copy.deepcopy(learner)):
        assert (call_of(one).name, call_of(one).arguments["inner_lr"], call_of(one).given) == ("MAML", 0.4, ("network",))
