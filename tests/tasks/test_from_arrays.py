"""from_arrays: labels of any kind, features and images, and what is said of arrays that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.domains.images.pictures import all_names
from tests.tasks.rows import seeded

from quickstudy.errors import ArgumentError, LabelError, NotFiniteError, ShapeError, TaskError, UnsupportedError
from quickstudy.tasks import FeatureNoise, Preprocessing, RandomFlip, Rotations, from_arrays

ANIMALS = ["cat", "dog", "eel", "fox", "gnu", "hen"]
LEAST = {"ways": 2, "shots": 1, "queries": 3, "split": (2, 2, 2)}
X, Y = np.random.default_rng(0).normal(size=(60, 5)), np.repeat(ANIMALS, 10)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (Y, set(ANIMALS)),
        (Y.tolist(), set(ANIMALS)),
        (np.repeat(np.array(ANIMALS, dtype=object), 10), set(ANIMALS)),
        (np.char.encode(Y), set(ANIMALS)),
        (np.repeat(np.arange(6) * 5, 10), {"0", "5", "10", "15", "20", "25"}),
        (torch.arange(6).repeat_interleave(10)[:, None], set("012345")),
        (np.repeat([1.0, 2.0, 3.0, 4.0, 5.0, -6.0], 10), {"1", "2", "3", "4", "5", "-6"}),
    ],
)
def test_classes_are_named_by_labels_of_any_kind(y, expected: set[str]):
    assert set(all_names(from_arrays(X, y, **LEAST))) == expected


@pytest.mark.parametrize("x", [X, X.tolist(), torch.tensor(X), X.astype(object), list(torch.tensor(X))])
def test_x_of_any_kind_keeps_to_its_label(x):
    family = from_arrays(x, Y, **LEAST)
    assert family.train.x.dtype == torch.float32
    assert family.preprocessing is None
    owner = {tuple(np.float32(row).tolist()): label for row, label in zip(X, Y, strict=True)}
    episode = family.train.sample(5, generator=seeded())
    for task in range(5):
        part = episode[task]
        own = {int(label): owner[tuple(row.tolist())] for row, label in zip(part.support.x, part.support.y, strict=True)}
        assert set(own.values()) <= set(family.classes["train"])
        assert all(own[int(label)] == owner[tuple(row.tolist())] for row, label in zip(part.query.x, part.query.y, strict=True))


def test_classes_of_unequal_size_and_whole_numbers_stay_what_they_are():
    counts = [4, 9, 5, 7, 4, 6]
    tokens = np.arange(sum(counts))[:, None]
    family = from_arrays(tokens, np.repeat(ANIMALS, counts), **LEAST)
    assert family.train.x.dtype == torch.int64
    assert sorted(torch.cat([part.counts for part in (family.train, family.validation, family.test)]).tolist()) == sorted(counts)


def test_numbers_are_ordered_by_value():
    """So that one seed gives one split, however many digits the labels have."""
    family = from_arrays(X, np.repeat([9, 10, 11, 100, 2, 1], 10), **LEAST)
    renamed = from_arrays(X, np.repeat([f"{n:04d}" for n in (9, 10, 11, 100, 2, 1)], 10), **LEAST)
    assert [int(name) for name in family.classes["train"]] == [int(name) for name in renamed.classes["train"]]


# ---- images -------------------------------------------------------------------------------------------------------------


def images(shape: tuple[int, ...] = (3, 8, 8)) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (60, *shape), dtype=np.uint8)


def test_images_in_every_layout_are_the_same():
    first = images()
    grey = first[:, 0]
    want = from_arrays(first, Y, **LEAST)
    assert want.train.x.shape[1:] == (3, 8, 8)
    assert want.preprocessing == want.preprocessing.fitted(want.train.x)
    for x in (np.moveaxis(first, 1, -1), torch.tensor(first), (first / 255).astype(np.float32), first.astype(np.uint16) * 257):
        got = from_arrays(x, Y, **LEAST, size=8)
        assert torch.equal(got.train.x, want.train.x)
        assert got.preprocessing == want.preprocessing
    assert torch.equal(from_arrays(grey, Y, **LEAST).train.x, from_arrays(grey[..., None], Y, **LEAST).train.x)
    assert from_arrays(grey, Y, **LEAST, channels=3).train.x.shape[1:] == (3, 8, 8)
    assert from_arrays(grey, Y, **LEAST).train.x.shape[1:] == (1, 8, 8)


def test_images_are_shrunk_as_files_are(tmp_path):
    from PIL import Image

    x = images((12, 16, 3))
    family = from_arrays(x, Y, **LEAST, size=4, normalise=False, invert=True)
    Image.fromarray(x[0]).save(tmp_path / "a.png")
    first = family.preprocessing.read(tmp_path / "a.png")
    assert family.preprocessing == Preprocessing(4, 3, invert=True)
    assert any(torch.equal(first, one) for part in (family.train, family.validation, family.test) for one in part.x)


def test_images_of_several_sizes_are_brought_to_one():
    x = [images((8 + n % 3, 9, 3))[n] for n in range(60)]
    assert from_arrays(x, Y, **LEAST, size=6).train.x.shape[1:] == (3, 6, 6)
    message = r"`x`: expected examples of one shape, got \(8, 9, 3\) and \(9, 9, 3\) and \(10, 9, 3\)\. Resize .* with `size=`\."
    with pytest.raises(ShapeError, match=message):
        from_arrays(x, Y, **LEAST)


def test_numbers_of_four_axes_are_no_images_unless_asked():
    x = np.random.default_rng(0).normal(size=(60, 3, 4, 4))
    family = from_arrays(x, Y, **LEAST)
    assert family.preprocessing is None
    torch.testing.assert_close(family.train.x.mean(), torch.tensor(0.0), atol=0.1, rtol=0)
    with pytest.raises(
        ArgumentError, match=r"`x`: expected images of floats in \[0, 1\] or of bytes 0\.\.255, got torch\.float32 from -"
    ):
        from_arrays(x, Y, **LEAST, size=4)


# ---- bad arrays ---------------------------------------------------------------------------------------------------------


def test_shapes_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"`x, y`: expected as many labels as examples, got 4 and 3\. Give one label for every"):
        from_arrays(X[:4], [0, 1, 2])
    with pytest.raises(ShapeError, match=r"`x`: expected examples of one shape, got \(3, 4\) and \(3, 5\)\. Resize or pad"):
        from_arrays([np.zeros((3, 4)), np.zeros((3, 5))], ["a", "b"])
    with pytest.raises(ShapeError, match=r"`x`: expected examples of one shape, got none\. Bring some"):
        from_arrays([], [])
    with pytest.raises(
        ShapeError, match=r"`x`: expected square images, or a `size` .*, got images of 8 x 6\. Give for example size=6"
    ):
        from_arrays(images((8, 6)), Y, **LEAST)
    with pytest.raises(
        ShapeError, match=r"`x`: expected images .* of 1 or 3 channels, got images of shape \(5, 8, 8\)\. Leave out"
    ):
        from_arrays(images((5, 8, 8)), Y, **LEAST)
    with pytest.raises(ShapeError, match=r"`augment=\[Rotations\(\)\]`: expected square images .*, got x of shape \(20, 5\)"):
        from_arrays(X, Y, **LEAST, augment=[Rotations()])
    with pytest.raises(UnsupportedError, match=r"`transform=\[RandomFlip.*\]`: expected images .*, got x of shape \(20, 5\)"):
        from_arrays(X, Y, **LEAST, transform=[RandomFlip()])
    with pytest.raises(UnsupportedError, match=r"`augment=\[FeatureNoise\(\)\]`: expected x of floats, got torch\.int64"):
        from_arrays(np.arange(60)[:, None], Y, **LEAST, augment=[FeatureNoise()]).train.sample(1)


def test_text_where_numbers_are_asked():
    with pytest.raises(LabelError, match=r"`x`: expected numbers, got dtype <U3, such as 'cat'\. Turn text into features first"):
        from_arrays(Y, Y)
    with pytest.raises(LabelError, match=r"`x`: expected numbers, got dtype object, such as '1'"):
        from_arrays(np.array([[1, "b"]] * 60, dtype=object), Y, **LEAST)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, r"`y`: expected one label for each example: .*, got a missing one at y\[7\]\. Leave such examples out"),
        (float("nan"), r"got a missing one at y\[7\]"),
        (0.37, r"got 0\.37 at y\[7\]\. For targets to predict use from_groups\."),
        ([1, 0], r"got \[1, 0\] at y\[7\]\. For targets"),
    ],
)
def test_labels_that_are_none(bad: object, message: str):
    y = list(Y)
    y[7] = bad
    with pytest.raises(LabelError, match=message):
        from_arrays(X, y, **LEAST)


def test_too_little():
    with pytest.raises(LabelError, match=r"`y`: expected three classes or more: some to train, .*, got 2: 0, 1\. Bring more"):
        from_arrays(X[:4], [0, 1, 0, 1])
    with pytest.raises(TaskError, match=r"`split=\(3, 3, 3\)`: expected at most the 6 classes there are, got 3 \+ 3 \+ 3 = 9"):
        from_arrays(X, Y, **LEAST | {"split": (3, 3, 3)})
    with pytest.raises(TaskError, match=r"`shots=1, queries=\(3, 12\)`: expected at least 13 examples of every class, got 10"):
        from_arrays(X, Y, **LEAST | {"queries": (3, 12)})


def test_numbers_that_are_not_finite():
    x = X.copy()
    x[7, 2] = np.nan
    with pytest.raises(
        NotFiniteError, match=r"`x`: expected finite numbers, got NaN or infinity in 1 of 60 examples, the first at x\[7\]"
    ):
        from_arrays(x, Y, **LEAST)
