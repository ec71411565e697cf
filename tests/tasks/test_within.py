"""Episodes within one group: drawn as documented, from every source, recorded, and refused where they cannot be drawn."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.domains.images.pictures import CLASSES, draw
from tests.tasks import source_checks
from tests.tasks.rows import seeded
from tests.tasks.statistics import BIASED, UNIFORM, p_value
from tests.tasks.tables import Table

import quickstudy as qs
from quickstudy.errors import ArgumentError, LabelError, ShapeError, TaskError
from quickstudy.tasks import DescribedTasks, LabelledTasks, Rotations, TaskFamily, from_arrays, from_csv, from_folder
from quickstudy.tasks.distribution.fingerprint import fingerprint

GROUPS = ["Greek"] * 5 + ["Korean"] * 3 + ["Latin"] * 4 + ["Tibetan"] * 2  # of the classes 0..13
COLUMNS = {"alphabet": dict(enumerate(GROUPS)), "even": [str(row % 2) for row in range(14 * 6)]}


def tasks(within: str | None = "alphabet", ways: int | tuple[int, int] = 3, **more) -> LabelledTasks:
    """14 classes of 6 examples; x is the class."""
    y = torch.arange(14).repeat_interleave(6)
    return LabelledTasks(y.float(), y, ways=ways, queries=2, columns=COLUMNS, within=within, **more)


def classes_of(episode: qs.Episode) -> list[list[int]]:
    """The classes of each task, by label."""
    return torch.empty_like(episode.support.x).scatter_(1, episode.support.y, episode.support.x).long().tolist()


def groups_of(episode: qs.Episode) -> list[set[str]]:
    return [{GROUPS[label] for label in chosen} for chosen in classes_of(episode)]


# ---- what is drawn -------------------------------------------------------------------------------------------------------


def test_all_classes_of_an_episode_are_of_one_group_and_without_it_they_are_not():
    found = groups_of(tasks().sample(300, generator=seeded()))
    assert {len(one) for one in found} == {1}
    assert set.union(*found) == {"Greek", "Korean", "Latin"}
    assert max(len(one) for one in groups_of(tasks(within=None).sample(300, generator=seeded()))) == 3


def test_groups_are_uniform_and_classes_within_them_are():
    chosen = classes_of(tasks().sample(9000, generator=seeded()))
    groups = [GROUPS[one[0]] for one in chosen]
    assert p_value(torch.tensor([groups.count(name) for name in ("Greek", "Korean", "Latin")])) > UNIFORM
    for first, last in ((0, 5), (5, 8), (8, 12)):
        own = torch.tensor([one for one in chosen if first <= one[0] < last]) - first
        assert p_value(torch.bincount(own[:, 0], minlength=last - first)) > UNIFORM
        assert last - first == 3 or p_value(torch.bincount(own.flatten(), minlength=last - first), 3) > UNIFORM
    every = torch.bincount(torch.tensor(chosen).flatten(), minlength=12)
    assert p_value(every, 3) < BIASED  # the control: over all classes it is not uniform, as the docstring says


def test_a_seed_repeats():
    one, again, other = (tasks().sample(20, generator=seeded(seed)) for seed in (1, 1, 2))
    assert source_checks.same(one, again)
    assert not source_checks.same(one, other)


def test_of_a_range_of_ways_the_highest_decides_which_groups_are_large_enough():
    ranged = tasks(ways=(2, 4))
    assert ranged.protocol["groups_left_out"] == ["Korean", "Tibetan"]
    seen = [ranged.sample(30, generator=seeded(seed)) for seed in range(12)]
    assert {one.support.ways for one in seen} == {2, 3, 4}
    assert set.union(*(group for one in seen for group in groups_of(one))) == {"Greek", "Latin"}


def test_a_rotated_alphabet_is_one_of_its_own():
    images = torch.rand(6 * 4, 1, 4, 4)
    x, y, names = Rotations().classes(images, torch.arange(6).repeat_interleave(4), list("abcdef"))
    groups = {name: "abc" if name[0] in "abc" else "def" for name in names}
    turned = LabelledTasks(x, y, ways=3, queries=3, class_names=names, columns={"half": groups}, within="half")
    assert turned.within.groups[:3] == ("abc", "def", "abc/rot090")
    assert turned.within.sizes.tolist() == [3] * 8


def test_described_classes_and_features_keep_their_groups():
    y = torch.arange(14).repeat_interleave(6)
    described = DescribedTasks(y.float(), y, torch.arange(14.0)[:, None], ways=3, queries=2, columns=COLUMNS, within="alphabet")
    drawn = described.sample(50, generator=seeded()).support.x["description"][..., 0].long()
    assert {len({GROUPS[label] for label in one}) for one in drawn.tolist()} == {1}
    assert described.only(range(5)).protocol["within"] == "alphabet"
    images = LabelledTasks(torch.rand(84, 1, 4, 4), y, ways=3, queries=2, columns=COLUMNS, within="alphabet")
    assert qs.tasks.from_backbone(images, torch.nn.Flatten(), progress=False).protocol == images.protocol


# ---- what is recorded ----------------------------------------------------------------------------------------------------


def test_the_protocol_names_the_column_and_the_groups_left_out():
    assert tasks().protocol == {
        "ways": 3,
        "shots": 1,
        "queries": 2,
        "within": "alphabet",
        "groups_left_out": ["Tibetan"],
    }
    assert tasks(within=None).protocol == {"ways": 3, "shots": 1, "queries": 2}
    assert repr(tasks()).endswith("within='alphabet', 1 groups too small: Tibetan)")
    evaluation = qs.evaluate(qs.Prototypical(torch.nn.Unflatten(1, (1,))), column(tasks()), episodes=4, executor="loop")
    assert evaluation.protocol["within"] == "alphabet"
    assert "3-way 1-shot within one alphabet" in str(evaluation)


def column(labelled: LabelledTasks) -> LabelledTasks:
    """The same with x (N, 1)."""
    other = labelled.with_()
    other.x = labelled.x[:, None]
    return other


def test_with_changes_it_and_keeps_it():
    grouped = tasks(within=None).with_(within="alphabet", ways=4)
    assert grouped.protocol["groups_left_out"] == ["Korean", "Tibetan"]
    assert grouped.with_(shots=2).protocol["within"] == "alphabet"
    assert grouped.with_(within=False).protocol == {"ways": 4, "shots": 1, "queries": 2}
    assert grouped.only(range(5)).protocol == {**grouped.protocol, "groups_left_out": []}
    family = tasks(ways=2).split((2, 1, 1), seed=0)
    assert family.with_(within=False).test.protocol == {"ways": 2, "shots": 1, "queries": 2}


def test_a_split_keeps_groups_whole():
    family = tasks(ways=2).split((2, 1, 1), seed=0)
    sets = [{GROUPS[int(name)] for name in names} for names in family.classes.values()]
    assert [len(one) for one in sets] == [2, 1, 1]
    assert len(set.union(*sets)) == 4


def test_the_fingerprint_tells_them_apart():
    plain, grouped = fingerprint(tasks(None)), fingerprint(tasks())
    assert plain != grouped
    assert grouped == fingerprint(tasks()) == fingerprint(tasks(None).with_(within="alphabet"))
    assert plain == fingerprint(tasks().with_(within=False))
    y = torch.arange(14).repeat_interleave(6)
    bare = LabelledTasks(y.float(), y, ways=3, queries=2)
    assert fingerprint(bare) == plain  # columns that are not used change nothing
    other = dict(enumerate([*GROUPS[:4], "Latin", *GROUPS[5:]]))
    moved = LabelledTasks(y.float(), y, ways=3, queries=2, columns={"alphabet": other}, within="alphabet")
    assert fingerprint(moved) != grouped


# ---- what is refused -----------------------------------------------------------------------------------------------------


def test_unknown_columns_are_refused():
    with pytest.raises(ArgumentError, match=r"`within`: expected one of the columns alphabet, even, got .alfabet.\. Did you"):
        tasks("alfabet")
    with pytest.raises(ArgumentError, match=r"expected nothing: these data have no columns of groups, got .alphabet.\. Name"):
        LabelledTasks(torch.zeros(9), torch.arange(9) % 3, ways=2, queries=2, within="alphabet")
    sinusoid = qs.tasks.Sinusoid()
    with pytest.raises(ArgumentError, match=r"`within`: expected nothing: SinusoidTasks have no classes in groups, got 'user'"):
        sinusoid.with_(within="user")


def test_groups_that_are_too_small_are_refused():
    with pytest.raises(
        TaskError,
        match=r"`ways=6, within='alphabet'`: expected a group of 6 classes or more, got at most 5, in 'Greek'\. Lower `ways`",
    ):
        tasks(ways=6)
    with pytest.raises(TaskError, match="expected a group of 6 classes"):
        tasks().with_(ways=6)


def test_a_class_in_several_groups_is_refused():
    with pytest.raises(
        TaskError, match=r"`within='even'`: expected each class within one group, got class '0' in '0' and in '1'\. Name a column"
    ):
        tasks("even")


def test_columns_that_do_not_fit_are_refused():
    x, y = torch.zeros(9), torch.arange(9) % 3
    with pytest.raises(ShapeError, match=r"`columns\['a'\]`: expected 9 groups, one for each example, .* got 2"):
        LabelledTasks(x, y, ways=2, queries=2, columns={"a": ["u", "v"]})
    with pytest.raises(LabelError, match=r"`columns\['a'\]`: expected a group for every class, got none for '2'"):
        LabelledTasks(x, y, ways=2, queries=2, columns={"a": {"0": "u", "1": "v"}})
    with pytest.raises(LabelError, match=r"`columns\['a'\]`: .* got a missing one at columns\['a'\]\[1\]"):
        LabelledTasks(x, y, ways=2, queries=2, columns={"a": [1, None, *range(7)]})


# ---- every source --------------------------------------------------------------------------------------------------------

NAMES = [f"{group}{number}" for group in "pqrs" for number in range(3)]  # four groups of three classes
PROTOCOL = {"ways": 2, "shots": 1, "queries": 2, "split": (2, 1, 1)}


def check_source(family: TaskFamily, within: str) -> None:
    """Groups are whole in each part, and episodes are within one."""
    groups = [{name.rpartition("/")[2][0] for name in names} for names in family.classes.values()]
    assert [len(one) for one in groups] == [2, 1, 1]
    assert len(set.union(*groups)) == 4
    assert family.train.protocol["within"] == within
    source_checks.check_seeds(family.train)
    assert family.train.within.sizes.tolist() == [3, 3]


def test_arrays_take_a_group_for_each_example_or_class():
    y = np.repeat(NAMES, 4)
    by_class = {name: name[0] for name in NAMES}
    for groups in (by_class, [name[0] for name in y], np.array([name[0] for name in y])):
        check_source(from_arrays(np.zeros((48, 2)), y, columns={"letter": groups}, within="letter", **PROTOCOL), "letter")


def test_named_splits_stay_as_they_are():
    parts = {"train": NAMES[:5], "validation": NAMES[6:8], "test": NAMES[9:]}
    given = {"columns": {"letter": {name: name[0] for name in NAMES}}, **PROTOCOL, "split": parts}
    assert from_arrays(np.zeros((48, 2)), np.repeat(NAMES, 4), within="letter", **given).classes == parts


def test_rotations_of_a_source():
    x = np.random.default_rng(0).integers(0, 255, (48, 6, 6), dtype=np.uint8)
    columns = {"letter": {name: name[0] for name in NAMES}}
    turned = from_arrays(x, np.repeat(NAMES, 4), columns=columns, within="letter", augment=[Rotations()], **PROTOCOL)
    assert turned.train.within.sizes.tolist() == [3] * 8
    assert len(turned.train.columns["letter"].of) == len(turned.train.x)


def test_nested_folders_have_a_column(tmp_path: Path):
    for name in NAMES:
        for number in range(3):
            draw(tmp_path / name[0] / name / f"{number}.png", (9, 9, 9))
    check_source(from_folder(tmp_path, size=4, within="superclass", **PROTOCOL), "superclass")
    flat = tmp_path / "p"
    with pytest.raises(ArgumentError, match="`within`: expected nothing: these data have no columns"):
        from_folder(flat, size=4, within="superclass", ways=1, queries=2)


def test_a_table_has_its_other_columns(tmp_path: Path):
    with (tmp_path / "all.csv").open("w", newline="") as file:
        rows = [(number, number, name, name[0], "" if number else 1) for number, name in enumerate(np.repeat(NAMES, 4))]
        csv.writer(file).writerows([("a", "b", "label", "letter", "sparse"), *rows])
    family = from_csv(tmp_path / "all.csv", features=["a", "b"], within="letter", **PROTOCOL)
    check_source(family, "letter")
    assert list(family.train.columns) == ["letter"]
    with pytest.raises(ArgumentError, match=r"`within`: expected one of the columns letter, got 'leter'\. Did you mean 'letter'"):
        from_csv(tmp_path / "all.csv", features=["a", "b"], within="leter", **PROTOCOL)
    with pytest.raises(qs.errors.DataError, match="line 3`: expected 5 values"):
        from_csv(tmp_path / "all.csv", features=["a", "b"], within="sparse", **PROTOCOL)


def test_all_features_are_those_beside_the_column_of_groups(tmp_path: Path):
    with (tmp_path / "all.csv").open("w", newline="") as file:
        rows = [(number, name, name[0]) for number, name in enumerate(np.repeat(NAMES, 4))]
        csv.writer(file).writerows([("a", "label", "letter"), *rows])
    assert from_csv(tmp_path / "all.csv", features="*", within="letter", **PROTOCOL).train.x.shape[1:] == (1,)


class Named:
    def __init__(self, names: list[str]):
        self.names = names


class Grouped(Table):
    """A data set with two more columns, one of them with names of its own."""

    column_names = [*Table.column_names, "half", "plain"]
    features = {**Table.features, "half": Named(["low", "high"]), "plain": object()}

    def __getitem__(self, key: object) -> object:
        if key in ("half", "plain"):
            return [int(row // 5 >= 5) for row in self.rows]
        return super().__getitem__(key)


def test_a_data_set_of_the_library_has_its_other_columns():
    parts = {"train": CLASSES[:6], "validation": CLASSES[6:8], "test": CLASSES[8:]}
    protocol = {"ways": 2, "shots": 1, "queries": 2, "size": 8, "split": parts}
    by_name = qs.tasks.from_huggingface(Grouped(), within="half", **protocol)
    assert by_name.train.within.groups == ("low", "high")
    assert by_name.train.protocol["groups_left_out"] == ["high"]
    assert qs.tasks.from_huggingface(Grouped(), within="plain", **protocol).test.within.groups == ("1",)
    with pytest.raises(ArgumentError, match="`within`: expected one of the columns half, plain, got 'whole'"):
        qs.tasks.from_huggingface(Grouped(), within="whole", **protocol)
