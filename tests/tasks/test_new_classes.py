"""Augmentations that make new classes: rotations, halves and unions, of meta-training alone and never beside their origins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tasks.rows import seeded
from tests.tasks.statistics import BIASED, UNIFORM, p_value

import quickstudy as qs
from quickstudy.errors import ArgumentError, ShapeError, TaskError, UnsupportedError
from quickstudy.tasks import FeatureNoise, LabelledTasks, MergeClasses, MixTasks, Rotations, SplitClasses, from_arrays
from quickstudy.tasks.construction.augmentation.derived_names import origins, turn_of, unturned
from quickstudy.tasks.construction.augmentation.split_classes import along_principal_direction

NAMES = [f"{letter}{number}" for letter in "abcdef" for number in range(2)]
SPLIT = {"train": NAMES[:8], "validation": NAMES[8:10], "test": NAMES[10:]}
SMALL = {"ways": 2, "shots": 1, "queries": 2, "split": SPLIT}


def data(each: int = 8) -> tuple[np.ndarray, list[str]]:
    """x is the number of its row; classes in the order of `NAMES`."""
    return np.arange(12.0 * each)[:, None], [name for name in NAMES for _ in range(each)]


def family(*augment, **options):
    x, y = data()
    return from_arrays(x, y, augment=list(augment), **SMALL | options)


def held(tasks: LabelledTasks) -> dict[str, set[float]]:
    """The rows of each class."""
    return {name: set(tasks.x[tasks.y == label].flatten().tolist()) for label, name in enumerate(tasks.class_names)}


# ---- what is made ---------------------------------------------------------------------------------------------------------


def test_merged_classes_hold_both_and_every_class_is_in_one_pair():
    rows = held(family(MergeClasses()).train)
    pairs = [name for name in rows if " + " in name]
    assert len(pairs) == 4
    assert sorted(one for pair in pairs for one in pair.split(" + ")) == NAMES[:8]
    for pair in pairs:
        a, b = pair.split(" + ")
        assert rows[pair] == rows[a] | rows[b]
        assert len(rows[pair]) == 16


def test_pairs_are_of_a_seed():
    names = [set(family(MergeClasses(seed)).train.class_names) for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]


def test_one_of_an_odd_number_of_classes_is_in_no_pair():
    x, y, names = MergeClasses().classes(torch.arange(3.0)[:, None], torch.arange(3), ["ant", "bee", "cat"])
    assert names[:3] == ["ant", "bee", "cat"]
    assert len(names) == 4
    assert y.tolist() == [0, 1, 2, 3, 3]
    assert x[3:].flatten().tolist() == [float("abc".index(part[0])) for part in names[3].split(" + ")]


@pytest.mark.parametrize("by", ["clusters", "random"])
def test_halves_share_nothing_and_are_all(by: str):
    rows = held(family(SplitClasses(by)).train)
    for name in NAMES[:8]:
        one, two = rows[f"{name}/half1"], rows[f"{name}/half2"]
        assert (len(one), len(two)) == (4, 4)
        assert one | two == rows[name]
        ordered = max(one) < min(two) or max(two) < min(one)
        assert ordered == (by == "clusters") or name != "a0"  # the row numbers are the only feature


def test_clusters_are_found_and_random_halves_are_not_them():
    """Two clouds within a class, along a direction that is no axis: in the order along it they come one after the other."""
    generator = seeded()
    cloud = torch.arange(20) % 2
    x = torch.randn(20, 5, generator=generator) + 8 * cloud[:, None] * torch.tensor([1.0, 1.0, -1.0, 0.0, 0.0])
    order = along_principal_direction(x)
    assert cloud[order].tolist() in ([0] * 10 + [1] * 10, [1] * 10 + [0] * 10)
    _, y, names = SplitClasses("clusters").classes(x, torch.zeros(20, dtype=torch.int64), ["a"])
    assert names == ["a", "a/half1", "a/half2"]
    assert torch.bincount(y).tolist() == [20, 10, 10]
    x_random, y_random, _ = SplitClasses("random").classes(x, torch.zeros(20, dtype=torch.int64), ["a"])
    means = [x_random[y_random == half][:, 0].mean() for half in (1, 2)]
    assert abs(float(means[0] - means[1])) < 5  # the control: 8 between the clouds


def test_rotations_by_some_angles():
    images, y = torch.arange(2 * 9).view(2, 1, 3, 3), torch.arange(2)
    x, labels, names = Rotations((180,)).classes(images, y, ["a", "b"])
    assert names == ["a", "b", "a/rot180", "b/rot180"]
    assert torch.equal(x[labels == 3], images[1:].flip((-2, -1)))
    assert repr(Rotations((180,))) == "Rotations(angles=(180,))"
    assert repr(Rotations()) == "Rotations()"


def test_the_tasks_say_what_was_made():
    tasks = family(MergeClasses(), FeatureNoise(0.5)).train
    assert tasks.protocol["augment"] == {"MergeClasses(seed=0)": "new classes", "FeatureNoise(std=0.5)": "new examples"}
    assert "augment=[MergeClasses(seed=0) makes new classes; FeatureNoise(std=0.5) makes new examples]" in repr(tasks)
    plain = family().train
    assert "augment" not in plain.protocol
    assert "augment" not in repr(plain)

    def mine(episode, generator):
        return episode

    assert family(mine).train.protocol["augment"] == {"mine": "not said"}


# ---- how episodes are drawn -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", [[SplitClasses()], [MergeClasses()], [SplitClasses("random"), MergeClasses()]])
def test_no_episode_holds_an_example_twice(augment):
    """The control: drawn from all classes alike, episodes would."""
    tasks = family(*augment).train
    drawn = tasks.sample(300, generator=seeded())

    def twice(batch: qs.Episode) -> int:
        rows = torch.cat([batch.support.x, batch.query.x], 1).flatten(1)
        return sum(len(task) > len(set(task)) for task in rows.tolist())

    assert twice(drawn) == 0
    tasks.layers = None
    control = tasks.with_(ways=4).sample(300, generator=seeded())
    assert twice(control) > 30


def test_each_class_is_drawn_as_often_and_the_episode_names_it():
    tasks = family(SplitClasses(), MergeClasses()).train
    rows, number = held(tasks), {name: place for place, name in enumerate(tasks.class_names)}
    drawn = tasks.sample(4000, generator=seeded())
    counts, named = torch.zeros(len(number)), drawn.class_names
    for task in range(4000):
        for label, name in enumerate(named[task]):
            counts[number[name]] += 1
            if task < 50:
                own = drawn.query.x[task][drawn.query.y[task] == label].flatten().tolist()
                assert set(own) <= rows[name]
    assert len(counts) == 8 + 16 + 4
    assert p_value(counts[:8], 2) > UNIFORM
    assert p_value(counts[8:24], 2) > UNIFORM
    assert abs(float(counts[24:].sum() / counts.sum()) - 4 / 28) < 0.02


def test_the_same_seed_gives_the_same_episodes():
    for augment in ([SplitClasses("random")], [MergeClasses()], [Rotations()]):
        images = np.arange(96 * 9.0).reshape(96, 1, 3, 3)
        a, b = (from_arrays(images, data()[1], augment=augment, **SMALL).train for _ in range(2))
        one, two, other = (part.sample(5, generator=seeded(seed)) for part, seed in ((a, 3), (b, 3), (a, 4)))
        assert torch.equal(one.query.x, two.query.x)
        assert one.class_names == two.class_names
        assert not torch.equal(one.query.x, other.query.x)


def test_validation_and_test_stay_what_they_are():
    plain, made = family(), family(SplitClasses(), MergeClasses(), MixTasks(), FeatureNoise())
    assert made.classes["validation"] == plain.classes["validation"] == NAMES[8:10]
    for part in ("validation", "test"):
        one, other = (getattr(tasks, part).sample(6, generator=seeded()) for tasks in (plain, made))
        assert torch.equal(one.query.x, other.query.x)
        assert one.class_names == other.class_names
        assert "augment" not in getattr(made, part).protocol
    assert set(plain.classes["train"]) < set(made.classes["train"])


def test_within_a_group_halves_are_a_group_of_their_own():
    columns = {"letter": {name: name[0] for name in NAMES}}
    tasks = family(SplitClasses(), columns=columns, within="letter").train
    assert sorted(tasks.within.groups)[:4] == ["a", "a, SplitClasses", "b", "b, SplitClasses"]
    for names in tasks.sample(200, generator=seeded()).class_names:
        assert len({(name[0], "half" in name) for name in names}) == 1
    with pytest.raises(TaskError, match=r"`within='letter'`: expected each class within one group, got class '.* \+ .*' in"):
        family(MergeClasses(), columns=columns, within="letter")


def test_columns_follow_the_examples():
    each = {"row": [str(row) for row in range(96)]}
    tasks = family(SplitClasses("random"), MergeClasses(), columns=each).train
    column = tasks.columns["row"]
    assert [float(column.groups[group]) for group in column.of.tolist()] == tasks.x.flatten().tolist()
    layer = tasks.columns["augmentation"]
    assert set(layer.groups) == {"none", "SplitClasses", "MergeClasses"}


def test_only_and_with_keep_the_layers():
    tasks = family(MergeClasses()).train
    assert tasks.with_(shots=2).layers is tasks.layers
    fewer = tasks.only(range(8))
    assert fewer.layers.groups == ("none",)
    assert len(fewer.sample(3).class_names[0]) == 2


# ---- names ----------------------------------------------------------------------------------------------------------------


def test_names_say_what_a_class_was_made_from():
    known = ["alpha", "a + b", "c"]
    assert origins("alpha/rot090", known) == ["alpha"]
    assert origins("alpha/rot090/half1", known) == ["alpha"]
    assert origins("alpha/half2 + c", known) == ["alpha", "c"]
    assert origins("a + b", known) == ["a + b"]
    assert origins("a + b + c", known) == ["a + b", "c"]
    assert origins("a + c", known) == []
    assert (turn_of("x/rot270/half1"), turn_of("x/rot090"), turn_of("x")) == ("/rot270", "/rot090", "")
    assert (unturned("x/rot270/half1"), unturned("x/half3")) == ("x", "x/half3")


@pytest.mark.parametrize("augment", [[SplitClasses()], [MergeClasses()], [SplitClasses(), MergeClasses()]])
def test_the_classes_of_a_family_are_a_split_again(augment):
    made = family(*augment)
    assert family(split=made.classes).classes == family().classes
    assert family(*augment, split=made.classes).classes == made.classes


def test_a_made_name_in_another_part_is_a_leak():
    x, y = torch.arange(24.0)[:, None], torch.arange(24) // 4
    train = family(MergeClasses()).train
    pair = next(name for name in train.class_names if " + " in name)
    test = LabelledTasks(x, y, ways=2, queries=2, class_names=[pair, "u", "v", "w", "x", "y"])
    with pytest.raises(TaskError, match=rf"expected parts that share no class, got class '{pair.replace('+', '.')}' in both"):
        qs.tasks.TaskFamily(train, None, test)


# ---- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angles", [(45,), (90, 90), (), (360,), (0, 90)])
def test_an_angle_by_which_an_image_would_leave_its_frame(angles):
    with pytest.raises(
        ArgumentError,
        match=r"`Rotations\(angles\)`: expected some of 90, 180 and 270, each once: by any other angle the corners of an image "
        r"leave its frame, got \(.*\)\. RandomAffine\(degrees=\)",
    ):
        Rotations(angles)


def test_too_few_classes_to_merge():
    with pytest.raises(
        TaskError, match=r"`ways=5`: expected at most the 4 classes that MergeClasses\(\) makes of train, got 5\. Lower `ways`"
    ):
        family(MergeClasses(), ways=5, split={"train": NAMES[:8], "validation": NAMES[8:10], "test": NAMES[10:]})
    x = torch.zeros(4, 1)
    with pytest.raises(
        TaskError, match=r"`augment=\[MergeClasses\(\)\]`: expected two meta-training classes or more, to merge, got 1: alone"
    ):
        MergeClasses().classes(x, torch.zeros(4, dtype=torch.int64), ["alone"])
    with pytest.raises(
        TaskError, match=r"`ways=5, augmentation='MergeClasses'`: expected 5 classes or more that share no example"
    ):
        family(MergeClasses()).train.with_(ways=5)


def test_too_few_examples_to_split():
    with pytest.raises(
        TaskError,
        match=r"`shots=3, queries=2`: expected at least 5 examples of every class, got 4 of class 'a0/half1' and too few",
    ):
        family(SplitClasses(), shots=3)
    x, y = torch.zeros(3, 1), torch.tensor([0, 0, 1])
    with pytest.raises(
        TaskError,
        match=r"`augment=\[SplitClasses\(\)\]`: expected two examples or more of every class, to split, got 1 of class 'b'",
    ):
        SplitClasses().classes(x, y, ["a", "b"])


def test_queries_are_as_many_as_the_smallest_half_leaves():
    x, y = data()
    options = {**SMALL, "queries": None}
    assert from_arrays(x, y, augment=[SplitClasses()], **options).train.queries == 3
    assert from_arrays(x, y, **options).train.queries == 7


def test_the_same_augmentation_twice():
    with pytest.raises(
        ArgumentError, match=r"`augment`: expected each augmentation that makes new classes once, got SplitClasses twice"
    ):
        family(SplitClasses("clusters"), SplitClasses("random"))


def test_rows_that_are_no_images_do_not_turn():
    with pytest.raises(ShapeError, match=r"`augment=\[Rotations\(\)\]`: expected square images"):
        family(Rotations())


@pytest.mark.wrong_types
def test_classes_are_made_after_the_split():
    x, y = torch.arange(24.0)[:, None], torch.arange(24) // 4
    with pytest.raises(
        UnsupportedError,
        match=r"`augment=\[MergeClasses\(\)\]`: expected what changes episodes, got MergeClasses\(seed=0\), which adds classes",
    ):
        LabelledTasks(x, y, ways=2, queries=2, augment=[MergeClasses()])
    with pytest.raises(
        UnsupportedError,
        match=r"`split`: expected the classes of the data, got those that MergeClasses\(seed=0\) made of them too",
    ):
        family(MergeClasses()).train.split(seed=0)


def test_pooled_examples_have_one_class_each():
    with pytest.raises(
        UnsupportedError, match=r"`tasks\.examples\(\)`: expected one class for each example, got several, made by SplitClasses"
    ):
        family(SplitClasses()).train.examples()


def test_a_frequency_that_is_uneven_would_be_found_out():
    counts = torch.tensor([400.0] * 7 + [700.0])
    assert p_value(counts, 2) < BIASED
