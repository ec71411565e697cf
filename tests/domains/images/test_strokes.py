"""Characters that quickstudy draws itself: the drawings, and the tasks made of them."""

from __future__ import annotations

import math

import pytest
import torch

from quickstudy.domains.images.drawing import draw_characters
from quickstudy.domains.images.ink import PEN_BLUR, PEN_WIDTH, raster
from quickstudy.domains.images.strokes import Strokes
from quickstudy.errors import ArgumentError, TaskError

CLASSES, EXAMPLES = 40, 6


def drawn(seed: int = 0, classes: int = CLASSES, examples: int = EXAMPLES, size: int = 28) -> torch.Tensor:
    return draw_characters(classes, examples, generator=torch.Generator().manual_seed(seed), size=size)


def nearest_mean_accuracy(images: torch.Tensor) -> float:
    """How often the class whose mean of the first half is nearest in pixels is the right one."""
    pixels = images.flatten(2).float()
    half = images.shape[1] // 2
    means, queries = pixels[:, :half].mean(1), pixels[:, half:]
    nearest = torch.cdist(queries.flatten(0, 1), means).argmin(1).view(len(images), -1)
    return (nearest == torch.arange(len(images))[:, None]).float().mean().item()


def test_shape_and_dtype():
    images = drawn(classes=3, examples=2, size=40)
    assert images.shape == (3, 2, 1, 40, 40)
    assert images.dtype == torch.uint8


def test_same_seed_same_drawings_and_another_seed_others():
    assert torch.equal(drawn(seed=1, classes=5), drawn(seed=1, classes=5))
    assert not torch.equal(drawn(seed=1, classes=5), drawn(seed=2, classes=5))


def test_the_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    drawn(classes=2)
    assert torch.equal(before, torch.random.get_rng_state())


def test_every_drawing_has_ink_and_white_and_a_free_edge():
    images = drawn()
    ink = (images > 128).float().mean(dim=(2, 3, 4))
    assert ink.min() > 0.001
    assert ink.max() < 0.35
    assert 0.04 < ink.mean() < 0.12  # Omniglot's training characters: 0.08
    assert images.amax(dim=(1, 2, 3, 4)).min() > 180
    edge = torch.cat([images[..., 0, :], images[..., -1, :], images[..., :, 0], images[..., :, -1]], -1)
    assert (edge > 128).float().mean() < 0.002


def test_drawings_of_a_class_differ_but_less_than_classes():
    images = drawn()
    assert not torch.equal(images[:, 0], images[:, 1])
    accuracy = nearest_mean_accuracy(images)
    assert 10 / CLASSES < accuracy < 0.9
    shuffled = images.flatten(0, 1)[torch.randperm(CLASSES * EXAMPLES, generator=torch.Generator().manual_seed(0))]
    assert nearest_mean_accuracy(shuffled.view_as(images)) < 5 / CLASSES  # the control: labels without meaning


def test_the_pen_leaves_its_width_of_ink_along_a_line():
    """A level line of 14 pixels through a canvas of 28: the ink is its length times the width of the pen."""
    along = torch.linspace(0.25, 0.75, 128)
    points = torch.stack([along, torch.full_like(along, 0.5)], -1)[None]
    image = raster(points, torch.full((1, 128), 0.5 / 128), 28)[0]
    assert image.sum().item() == pytest.approx(14 * PEN_WIDTH, rel=0.01)
    row = PEN_WIDTH / (PEN_BLUR * math.sqrt(2 * math.pi)) * math.exp(-0.5 * (0.5 / PEN_BLUR) ** 2)
    assert image[13, 14].item() == pytest.approx(row, rel=0.01)
    assert image[14, 14].item() == pytest.approx(row, rel=0.01)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"classes": 0}, r"`classes`: expected an integer of at least 1, got 0\. Draw at least one"),
        ({"examples": 0}, r"`examples`: expected an integer of at least 1, got 0\. Draw at least one"),
        ({"size": 5}, r"`size`: expected an integer of at least 8, got 5\. Draw .* strokes stay apart"),
    ],
)
def test_impossible_sizes(sizes: dict[str, int], message: str):
    with pytest.raises(ArgumentError, match=message):
        drawn(**sizes)


def small(**arguments: object) -> Strokes:
    return Strokes(**{"classes": (12, 6, 7), "examples": 5, "queries": 4} | arguments)


def test_episodes_of_the_protocol():
    episode = small(ways=3, shots=1).train.sample(2, generator=torch.Generator().manual_seed(0))
    assert episode.support.x.shape == (2, 3, 1, 28, 28)
    assert episode.query.x.shape == (2, 12, 1, 28, 28)
    assert episode.support.ways == 3
    assert episode.support.x.max() == 1
    assert episode.support.x.min() == 0


def test_splits_share_no_character():
    tasks = small()
    parts = [tasks.train, tasks.validation, tasks.test]
    assert [len(part.class_names) for part in parts] == [12, 6, 7]
    assert len({name for part in parts for name in part.class_names}) == 25
    images = torch.cat([part.x for part in parts]).flatten(1)
    assert len(torch.unique(images, dim=0)) == len(images)


def test_the_seed_decides_the_characters():
    assert torch.equal(small(seed=3).test.x, small(seed=3).test.x)
    assert not torch.equal(small(seed=3).test.x, small(seed=4).test.x)


def test_rotations_are_classes_of_meta_training_only():
    plain, turned = small(), small(rotations=True)
    assert len(turned.train.class_names) == 48
    assert torch.equal(turned.test.x, plain.test.x)
    assert torch.equal(turned.train.x[60:120], torch.rot90(plain.train.x, 1, (-2, -1)))
    assert turned.train.class_names[12].endswith("/rot090")


@pytest.mark.parametrize("classes", [(12, 6), (12, 0, 7)])
def test_classes_are_three_numbers(classes: tuple[int, ...]):
    with pytest.raises(ArgumentError, match=r"`classes`: expected three numbers .*, got \(12, .*\)\. Give for example"):
        small(classes=classes)


def test_more_ways_than_classes_and_too_few_examples():
    with pytest.raises(TaskError, match=r"`ways=8`: expected at most the 6 classes there are, got 8\. Lower `ways`"):
        small(ways=8)
    with pytest.raises(TaskError, match=r"expected at least 16 examples of every class, got 5 of class .*character00000"):
        small(queries=15)
