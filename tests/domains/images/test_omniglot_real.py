"""The real Omniglot, where it lies beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import needs
from tests.tasks.rows import seeded
from tests.tasks.statistics import UNIFORM, p_value

from quickstudy.domains.images import omniglot
from quickstudy.tasks import Omniglot, read_split

SPLITS = needs.DATA / "splits"


@pytest.fixture(scope="module")
def images(omniglot_root: Path) -> dict[str, torch.Tensor]:
    """Decoded once for this file."""
    return omniglot.read_images(omniglot_root)


@pytest.fixture
def load(images: dict[str, torch.Tensor], omniglot_root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(omniglot, "read_images", lambda root, size: images)
    return lambda **arguments: Omniglot(omniglot_root, **arguments)


def sizes(tasks: Omniglot) -> list[int]:
    return [len(part.class_names) for part in (tasks.train, tasks.validation, tasks.test)]


def test_every_character_is_there(images: dict[str, torch.Tensor]):
    assert len(images) == 964 + 659
    assert len({name.split("/")[1] for name in images}) == 50
    assert {tuple(one.shape) for one in images.values()} == {(20, 1, 28, 28)}
    ink = torch.stack(list(images.values())).float().mean() / 255
    assert 0.05 < ink < 0.12  # strokes on black, and not paper on white


def test_the_random_split(load):
    tasks = load()
    assert sizes(tasks) == [4400, 100, 423]
    names = [set(part.class_names) for part in (tasks.train, tasks.validation, tasks.test)]
    assert sum(map(len, names)) == len(set.union(*names))
    assert sum(name.count("/") == 1 for name in set.union(*names)) == 1623


def test_the_alphabet_split(load):
    tasks = load(split="alphabet", rotations=False)
    train, validation, test = sizes(tasks)
    assert (train + validation, test) == (964, 659)
    alphabets = [{name.split("/")[0] for name in part.class_names} for part in (tasks.train, tasks.validation, tasks.test)]
    assert [len(part) for part in alphabets] == [25, 5, 20]
    assert not alphabets[0] & alphabets[1] | alphabets[0] & alphabets[2] | alphabets[1] & alphabets[2]


@pytest.mark.needs("the published splits")
def test_the_published_split_is_the_same_in_both_formats(load):
    lines, table = (load(split=SPLITS / folder) for folder in ("omniglot_vinyals", "torchmeta/omniglot"))
    assert sizes(lines) == sizes(table) == [4 * 1028, 172, 423]
    for part in ("train", "validation", "test"):
        assert set(getattr(lines, part).class_names) == set(getattr(table, part).class_names)
    assert len(read_split(SPLITS / "omniglot_vinyals")["test"]) == 423


def test_drawings_of_a_character_are_alike_and_classes_differ(load):
    """The nearest support image in pixels finds the class far above chance; with the labels turned it does not."""
    episode = load(rotations=False).test.sample(100, generator=seeded())
    support, query = (part.x.flatten(2) for part in (episode.support, episode.query))
    nearest = torch.cdist(query, support).argmin(-1)
    found = episode.support.y.gather(1, nearest)
    assert 0.35 < (found == episode.query.y).float().mean() < 0.9
    assert ((found + 1) % 5 == episode.query.y).float().mean() < 0.2


def test_twenty_way_episodes_are_of_one_alphabet(load):
    family = load(split="alphabet", ways=20, within="alphabet", rotations=False)
    assert family.validation.protocol["groups_left_out"] == ["Ojibwe_(Canadian_Aboriginal_Syllabics)", "Tagalog"]  # 14 and 17
    test = family.test
    assert test.protocol["groups_left_out"] == []
    sizes = dict(zip(test.within.groups, test.within.sizes.tolist(), strict=True))
    assert (len(sizes), sum(sizes.values()), min(sizes.values())) == (20, 659, 20)
    chosen = test._classes(4000, 20, seeded())
    drawn = [{test.class_names[label].split("/")[0] for label in one} for one in chosen.tolist()]
    assert {len(one) for one in drawn} == {1}
    counts = [sum(one == {name} for one in drawn) for name in sizes]
    assert p_value(torch.tensor(counts)) > UNIFORM
