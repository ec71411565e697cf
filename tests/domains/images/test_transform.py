"""Image transforms: what each does to an image, that all randomness is the generator's, and that only meta-training sees them."""

from __future__ import annotations

import pytest
import torch
from tests.tasks.rows import seeded

from quickstudy.errors import ArgumentError
from quickstudy.tasks import (
    ColourJitter,
    FeatureNoise,
    LabelledTasks,
    MixTasks,
    PermuteLabels,
    Preprocessing,
    RandomAffine,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    Resize,
)

ALL = [RandomCrop(2), RandomFlip(), ColourJitter(), RandomResizedCrop(0.5), RandomAffine()]
IMAGES = torch.rand(40, 3, 8, 8, generator=seeded(9))


@pytest.mark.parametrize("transform", ALL, ids=lambda one: type(one).__name__)
def test_a_seed_repeats_and_each_image_has_a_draw_of_its_own(transform):
    before = IMAGES.clone()
    first, again, other = (transform(IMAGES, seeded(seed)) for seed in (1, 1, 2))
    assert first.shape == IMAGES.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(IMAGES, before)
    alike = transform(IMAGES[:1].expand(40, -1, -1, -1), seeded(1))
    assert len(torch.unique(alike.flatten(1), dim=0)) > 1
    assert first.min() >= 0
    assert first.max() <= 1 + 1e-6


def test_a_crop_is_a_shift_with_the_edge_repeated():
    images = torch.arange(36.0).view(1, 1, 6, 6).expand(200, 1, 6, 6)
    cropped = RandomCrop(1)(images, seeded())
    shifts = (cropped[:, 0, 2, 2] - images[:, 0, 2, 2]).int()
    assert set(shifts.tolist()) == {-7, -6, -5, -1, 0, 1, 5, 6, 7}
    up = cropped[shifts == -6][0, 0]  # the image moved down by one row
    assert torch.equal(up[1:], images[0, 0, :-1])
    assert torch.equal(up[0], images[0, 0, 0])
    assert torch.equal(RandomCrop(0)(IMAGES, seeded()), IMAGES)


def test_an_affine_map_that_does_nothing_and_each_part_alone():
    nothing = {"degrees": 0.0, "shear": 0.0, "scale": 0.0, "shift": 0.0}
    torch.testing.assert_close(RandomAffine(**nothing)(IMAGES, seeded()), IMAGES)
    ramp = torch.linspace(-1 + 1 / 64, 1 - 1 / 64, 64)  # a pixel's own coordinate as its value: x(p) = p
    across, down = ramp.expand(200, 1, 64, 64), ramp[:, None].expand(200, 1, 64, 64)
    inner = (slice(None), 0, slice(24, 40), slice(24, 40))  # what no edge reaches
    p, q = across[inner], down[inner]

    def seen(**given: float) -> tuple[torch.Tensor, torch.Tensor]:
        transform = RandomAffine(**{**nothing, **given})
        return transform(across, seeded(3))[inner], transform(down, seeded(3))[inner]

    x, y = seen(degrees=30.0)  # a turn keeps lengths
    torch.testing.assert_close(x**2 + y**2, p**2 + q**2, atol=1e-4, rtol=0)
    angles = torch.rad2deg(torch.atan2(y, x) - torch.atan2(q, p))[:, 0, 0]
    angles = (angles + 180) % 360 - 180
    assert 25 < float(angles.max()) <= 30.1
    assert -30.1 <= float(angles.min()) < -25
    x, y = seen(shear=0.5)
    torch.testing.assert_close(y, q, atol=1e-5, rtol=0)
    h = (x - p)[:, 0, 0] / q[:, 0, 0]
    assert 0.4 < float(h.abs().max()) <= 0.501
    x, y = seen(scale=0.2)
    s_x, s_y = (x / p)[:, 0, 0].log(), (y / q)[:, 0, 0].log()
    assert 0.18 < float(s_x.abs().max()) < 0.201
    assert not torch.allclose(s_x, s_y, atol=1e-2)
    x, y = seen(shift=0.2)
    t_x, t_y = (x - p)[:, 0, 0], (y - q)[:, 0, 0]
    assert 0.18 < float(t_x.abs().max()) < 0.201
    assert not torch.allclose(t_x, t_y, atol=1e-2)


def test_a_flip_exchanges_left_and_right_of_its_share():
    images = IMAGES.repeat(50, 1, 1, 1)
    flipped = RandomFlip(0.25)(images, seeded())
    changed = (flipped != images).flatten(1).any(1)
    assert 0.2 < float(changed.float().mean()) < 0.3
    assert torch.equal(flipped[changed], images[changed].flip(-1))
    assert torch.equal(RandomFlip(1.0)(IMAGES, seeded()), IMAGES.flip(-1))


def test_jitter_of_each_kind():
    x = 0.3 + 0.4 * IMAGES  # nothing is clipped
    bright = ColourJitter(0.2, 0.0, 0.0)(x, seeded())
    ratio = (bright / x).flatten(1)
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    assert 0.8 <= ratio.min() < 0.9
    assert 1.1 < ratio.max() <= 1.2
    contrast = ColourJitter(0.0, 0.2, 0.0)(x, seeded())
    torch.testing.assert_close(contrast.mean((1, 2, 3)), x.mean((1, 2, 3)))
    spread = contrast.std((1, 2, 3)) / x.std((1, 2, 3))
    assert 0.8 <= spread.min() < 0.95
    assert 1.05 < spread.max() <= 1.2
    colour = ColourJitter(0.0, 0.0, 0.2)(x, seeded())
    torch.testing.assert_close(colour.mean(1), x.mean(1))
    assert not torch.equal(colour, x)
    grey = x[:, :1]
    torch.testing.assert_close(ColourJitter(0.0, 0.0, 0.5)(grey, seeded()), grey)
    torch.testing.assert_close(ColourJitter(0.0, 0.0, 0.0)(x, seeded()), x)


def test_a_resized_crop_is_a_window():
    """On a ramp every window is a ramp: its slope is its side, and it stays within the image."""
    ramp = torch.linspace(0, 1, 64, dtype=torch.float64).expand(300, 1, 64, 64)
    seen = RandomResizedCrop(0.25)(ramp, seeded())[:, 0, 30]
    slope = (seen[:, 40] - seen[:, 20]) / (ramp[0, 0, 0, 40] - ramp[0, 0, 0, 20])
    assert 0.5 <= slope.min() < 0.6
    assert 0.95 < slope.max() <= 1.0
    assert 0.5**2 < float((slope**2).mean()) < 1  # areas between a quarter and all
    torch.testing.assert_close(float((slope**2).mean()), 0.625, atol=0.04, rtol=0)
    torch.testing.assert_close(RandomResizedCrop(1.0)(IMAGES, seeded()), IMAGES)


def test_resize():
    assert Resize(4)(IMAGES, seeded()).shape == (40, 3, 4, 4)
    torch.testing.assert_close(Resize(16)(torch.full((2, 1, 4, 4), 0.3), seeded()), torch.full((2, 1, 16, 16), 0.3))


def tasks(**arguments) -> LabelledTasks:
    x = (IMAGES * 255).to(torch.uint8)
    return LabelledTasks(x, torch.arange(40) % 8, **{"ways": 2, "shots": 1, "queries": 2} | arguments)


def test_episodes_are_transformed_before_they_are_normalised():
    reads = Preprocessing(8, 3, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))
    flipped = tasks(transform=[RandomFlip(1.0)], preprocessing=reads).sample(3, generator=seeded())
    plain = tasks(preprocessing=reads).sample(3, generator=seeded())
    torch.testing.assert_close(flipped.support.x, plain.support.x.flip(-1))
    assert torch.equal(flipped.support.y, plain.support.y)
    dark = tasks(transform=[lambda images, generator: images * 0], preprocessing=reads).sample(1).query.x
    torch.testing.assert_close(dark[0, 0, :, 0, 0], torch.tensor([-5.0, -2.0, -1.0]))
    assert tasks(transform=[Resize(5)]).sample(2).query.x.shape == (2, 4, 3, 5, 5)


def test_only_meta_training_is_transformed():
    whole = tasks(transform=[RandomFlip(1.0)])
    family = whole.split((4, 2, 2), seed=0)
    assert family.train.transform == (RandomFlip(1.0),)
    assert family.validation.transform == family.test.transform == ()
    assert torch.equal(whole.examples().x, tasks().examples().x)
    assert torch.equal(whole.examples(torch.tensor([3, 1])).x, tasks().examples().x[[3, 1]])
    assert whole.examples(torch.tensor([3, 1])).y.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RandomCrop(-1), r"`padding`: expected 0 or more, got -1\. 4 is the default"),
        (lambda: RandomFlip(1.5), r"`probability`: expected a number from 0 to 1, got 1\.5\. 0\.5 is the default"),
        (lambda: ColourJitter(contrast=2.0), r"`ColourJitter\(contrast\)`: expected 0 to 1, got contrast=2\.0\. 0\.4 is common"),
        (lambda: RandomAffine(degrees=200.0), r"`RandomAffine\(degrees\)`: expected at most 180, got 200\. 180 is any angle"),
        (
            lambda: RandomAffine(shift=1.5),
            r"`RandomAffine\(degrees=10\.0, .*, shift=1\.5\)`: expected a move that keeps the centre of every image in its "
            r"frame, got one that could bring it to 2\.\d\d of half a side\. Lower `shift`, `scale` or `shear`",
        ),
        (
            lambda: RandomAffine(shift=0.9, degrees=45),
            r"expected a move that keeps .* bring it to 1\.",
        ),
        (
            lambda: RandomAffine(shift=0.7, scale=1.0),
            r"expected a move that keeps .* bring it to \d\.",
        ),
        (
            lambda: RandomAffine(shift=0.5, shear=2.0),
            r"expected a move that keeps .* bring it to \d\.",
        ),
        (
            lambda: tasks(transform=[RandomFlip(), RandomCrop(5)]),
            r"`RandomCrop\(padding=5\)`: expected a move that keeps the centre of every image in its frame, "
            r"got images of \d+ x \d+\. Lower `padding`",
        ),
        (lambda: RandomResizedCrop(0.0), r"`RandomResizedCrop\(smallest\)`: expected a share above 0, at most 1, got 0\.0\. Try"),
        (lambda: Resize(0), r"`Resize\(size\)`: expected 1 pixel or more, got 0\. 84 is common"),
    ],
)
def test_amounts_that_cannot_be(build, message: str):
    with pytest.raises(ArgumentError, match=message):
        build()


def test_the_farthest_move_is_the_farthest_of_many_draws():
    """Of a dot at the centre: its place in the frame, over 4000 draws, against what is refused at 1."""
    for given in ({"shift": 0.4}, {"shift": 0.3, "degrees": 90.0}, {"shift": 0.2, "scale": 0.4, "shear": 0.3}):
        transform = RandomAffine(**{"degrees": 0.0, "shear": 0.0, "scale": 0.0, "shift": 0.0, **given})
        image = torch.zeros(4000, 1, 101, 101)
        image[:, :, 49:52, 49:52] = 1.0
        moved = transform(image, seeded())
        place = torch.linspace(-1, 1, 101)
        centre = [(moved * axis).sum((1, 2, 3)) / moved.sum((1, 2, 3)) for axis in (place, place[:, None])]
        farthest = float(torch.stack(centre).abs().max())
        assert 0.7 * transform._farthest() < farthest < 1.03 * transform._farthest()
    assert RandomAffine(degrees=0.0, shear=0.0, scale=0.0, shift=1.0).shift == 1.0


def test_a_crop_is_judged_by_the_size_that_it_sees():
    enlarged = tasks(transform=[Resize(20), RandomCrop(10)])
    assert enlarged.sample(1).query.x.shape[-1] == 20
    with pytest.raises(ArgumentError, match=r"`RandomCrop\(padding=11\)`: expected a move .* got images of 20 x 20"):
        tasks(transform=[Resize(20), RandomCrop(11)]).sample(1)


def test_all_of_it_runs_on_the_device_of_the_data():
    """On the meta device, which refuses to meet a tensor of the CPU's."""
    augment = [PermuteLabels(), FeatureNoise(0.1), MixTasks()]
    reads = Preprocessing(8, 3, mean=(0.5,) * 3, std=(0.1,) * 3)
    moved = tasks(transform=[*ALL, Resize(6)], augment=augment, preprocessing=reads).to("meta")
    episode = moved.sample(3, generator=seeded())
    assert episode.query.x.shape == (3, 4, 3, 6, 6)
    assert episode.support.x.device.type == episode.query.y.device.type == "meta"
    assert moved.examples(torch.tensor([0, 1])).x.device.type == "meta"
