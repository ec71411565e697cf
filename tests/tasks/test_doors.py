"""Doors: any labelled data become tasks; every door obeys the same laws, and says what is wrong with bad data."""

from __future__ import annotations

import csv
import json
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import quickstudy as qs
from quickstudy import errors
from quickstudy.tasks import Preprocessing

CLASSES = [f"class{number:02d}" for number in range(10)]
SMALL = {"ways": 2, "shots": 1, "queries": 2, "size": 12}
SPLITS = Path(__file__).resolve().parents[3] / "shared" / "data" / "splits"


def draw(path, colour, size=(16, 14), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    image.putpixel((1, 1), (255, 255, 255))
    image.convert(mode).save(path)


@pytest.fixture
def folder(tmp_path):
    """Ten classes of four to five images; the red of an image says its class."""
    for label, name in enumerate(CLASSES):
        for number in range(4 + label % 2):
            draw(tmp_path / "images" / name / f"{number}.png", (20 * label + 10, 100, 30), size=(14 + number, 16))
    return tmp_path / "images"


def red(x):
    """The class that an image's red says."""
    return ((255 * x[..., 0, 6, 6] - 10) / 20).round().long()


def check_laws(family):
    """What every door's family is held to."""
    names = [name for part in family.classes.values() for name in part]
    assert len(names) == len(set(names)), "a class in two splits"
    for part in (family.train, family.validation, family.test):
        one, other = (part.sample(3, generator=torch.Generator().manual_seed(4)) for _ in range(2))
        assert torch.equal(one.support.x, other.support.x)
        assert torch.equal(one.query.y, other.query.y)
        ranged = part.with_(shots=(1, 2), queries=(1, 2))
        shapes = {
            tuple(ranged.sample(2, generator=torch.Generator().manual_seed(seed)).support.x.shape[:2]) for seed in range(12)
        }
        assert len(shapes) == 2


def test_folder(folder):
    family = qs.tasks.from_folder(folder, **SMALL, normalise=False)
    check_laws(family)
    assert sorted(name for part in family.classes.values() for name in part) == CLASSES
    assert [len(part) for part in family.classes.values()] == [6, 2, 2]
    episode = family.test.sample(20)
    assert episode.support.x.shape == (20, 2, 3, 12, 12)
    for task in range(20):
        shown = {int(y): CLASSES[int(red(x))] for x, y in zip(episode.support.x[task], episode.support.y[task], strict=True)}
        assert set(shown.values()) <= set(family.classes["test"])
        for x, y in zip(episode.query.x[task], episode.query.y[task], strict=True):
            assert CLASSES[int(red(x))] == shown[int(y)]


def test_a_stored_split_gives_the_family_again(folder):
    family = qs.tasks.from_folder(folder, **SMALL, seed=3)
    again = qs.tasks.from_folder(folder, **SMALL, split=json.loads(json.dumps(family.classes)))
    assert again.classes == family.classes != qs.tasks.from_folder(folder, **SMALL).classes
    assert torch.equal(*(one.train.sample(2, generator=torch.Generator().manual_seed(0)).query.x for one in (family, again)))


def test_normalisation_is_of_the_training_classes_alone(folder):
    family = qs.tasks.from_folder(folder, **SMALL)
    x = family.train.examples().x
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std((0, 2, 3)), torch.ones(3), atol=1e-2, rtol=0)
    assert float(family.test.examples().x.mean((0, 2, 3)).abs().max()) > 0.01
    assert Preprocessing.from_dict(json.loads(json.dumps(family.preprocessing.to_dict()))) == family.preprocessing


def test_train_val_test_folders(tmp_path):
    for part, names in (("train", CLASSES[:4]), ("val", CLASSES[4:7]), ("test", CLASSES[7:])):
        for label, name in enumerate(names):
            for number in range(4):
                draw(tmp_path / part / name / f"{number}.jpg", (20 * label, 0, 0))
    family = qs.tasks.from_folder(tmp_path, **SMALL)
    assert family.classes == {"train": CLASSES[:4], "validation": CLASSES[4:7], "test": CLASSES[7:]}
    check_laws(family)


@pytest.mark.parametrize("style", ["filename", "class_name", "three files"])
def test_csv(tmp_path, folder, style):
    rows = [(f"{name}_{path.name}", name, path) for name in CLASSES for path in sorted((folder / name).iterdir())]
    flat = tmp_path / "data" / "images"
    flat.mkdir(parents=True)
    for file, _, path in rows:
        (flat / file).write_bytes(path.read_bytes())
    header, cells = (("class_name", "image_name"), (1, 0)) if style == "class_name" else (("filename", "label"), (0, 1))
    parts = {"train": CLASSES[:6], "val": CLASSES[6:8], "test": CLASSES[8:]} if style == "three files" else {"all": CLASSES}
    for part, names in parts.items():
        with (tmp_path / "data" / f"{part}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(header)
            table.writerows([row[cell] for cell in cells] for row in rows if row[1] in names)
    where = tmp_path / "data" if style == "three files" else tmp_path / "data" / "all.csv"
    family = qs.tasks.from_csv(where, **SMALL, normalise=False)
    check_laws(family)
    if style != "three files":
        by_folder = qs.tasks.from_folder(folder, **SMALL, normalise=False)
        assert family.classes == by_folder.classes
        seeds = [torch.Generator().manual_seed(1) for _ in range(2)]
        assert torch.equal(*(one.test.sample(3, generator=g).query.x for one, g in zip((family, by_folder), seeds, strict=True)))


def test_arrays_of_any_labels():
    x, y = np.random.default_rng(0).normal(size=(60, 5)), np.repeat(["cat", "dog", "eel", "fox", "gnu", "hen"], 10)
    family = qs.tasks.from_arrays(x, y, ways=2, shots=1, queries=3, split=(2, 2, 2))
    check_laws(family)
    assert sorted(chain(*family.classes.values())) == ["cat", "dog", "eel", "fox", "gnu", "hen"]
    numbers = qs.tasks.from_arrays(x.tolist(), np.repeat(np.arange(6) * 5, 10), ways=2, shots=1, queries=3, split=(2, 2, 2))
    assert set(chain(*numbers.classes.values())) == {"0", "5", "10", "15", "20", "25"}
    owner = {tuple(np.float32(row).tolist()): label for row, label in zip(x, y, strict=True)}
    episode = family.train.sample(5)
    for task in range(5):
        part = episode[task]
        names = {int(label): owner[tuple(row.tolist())] for row, label in zip(part.support.x, part.support.y, strict=True)}
        assert all(names[int(label)] == owner[tuple(row.tolist())] for row, label in zip(part.query.x, part.query.y, strict=True))


class Pictures(torch.utils.data.Dataset):
    def __init__(self, decoded, **attributes):
        self.decoded = decoded
        vars(self).update(attributes)

    def __len__(self):
        return 40

    def __getitem__(self, index):
        self.decoded.append(index)
        return Image.new("RGB", (20, 20), (20 * (index // 4) + 10, 0, 0)), index // 4


@pytest.mark.parametrize("attribute", ["targets", "labels", "y"])
def test_dataset(attribute):
    dataset = Pictures([], **{attribute: [index // 4 for index in range(40)]})
    family = qs.tasks.from_dataset(dataset, **SMALL, normalise=False)
    check_laws(family)
    assert dataset.decoded == list(range(40)), "each item is decoded once, none for its label"
    by_function = qs.tasks.from_dataset(Pictures([]), labels=lambda index: index // 4, **SMALL, normalise=False)
    assert by_function.classes == family.classes


def test_huggingface():
    class Feature:
        names = CLASSES

    class Table:
        column_names = ["image", "label"]
        features = {"label": Feature()}

        def __len__(self):
            return 40

        def __getitem__(self, key):
            if key == "label":
                return [index // 4 for index in range(40)]
            return {"image": Image.new("L", (20, 20), 20 * (key // 4)), "label": key // 4}

    family = qs.tasks.from_huggingface(Table(), **SMALL)
    check_laws(family)
    assert sorted(chain(*family.classes.values())) == CLASSES
    with pytest.raises(errors.DataError, match="column 'text'`: expected one of image, label"):
        qs.tasks.from_huggingface(Table(), x="text")
    with pytest.raises(errors.DataError, match="few-shot splits are by class, and made here"):
        qs.tasks.from_huggingface({"train": 1})


def groups(n=12, rows=9):
    owner = np.repeat([f"user{number}" for number in range(n)], rows)
    time = np.tile(np.arange(rows), n)
    return np.stack([time, np.repeat(np.arange(n), rows)], 1).astype(float), time * 2.0, owner


def test_groups():
    x, y, owner = groups()
    family = qs.tasks.from_groups(x, y, owner, shots=2, queries=3)
    check_laws(family)
    episode = family.train.sample(30)
    assert episode.support.x.shape == (30, 2, 2)
    assert episode.query.y.shape == (30, 3, 1)
    both = torch.cat([episode.support.x, episode.query.x], 1)
    assert all(len(set(map(tuple, task.tolist()))) == 5 for task in both), "a row stands twice in a task"
    assert all(len(set(task[:, 1].tolist())) == 1 for task in both), "a task has rows of two groups"
    torch.testing.assert_close(both[..., :1] * 2, torch.cat([episode.support.y, episode.query.y], 1))
    learner = qs.MAML(qs.models.mlp(2, 1, hidden=(4,)), inner_lr=0.001)
    qs.meta_train(learner, family, steps=2, tasks_per_step=2, validation_episodes=2, progress=False)


def test_groups_in_time():
    x, y, owner = groups()
    shuffled = np.random.default_rng(0).permutation(len(x))
    given = {"order": "time", "time": x[shuffled, 0], "shots": 3, "queries": 2}
    family = qs.tasks.from_groups(x[shuffled], y[shuffled], owner[shuffled], **given)
    episode = family.train.sample(200)
    moments = torch.cat([episode.support.x, episode.query.x], 1)[..., 0]
    assert bool((moments.diff(dim=1) == 1).all()), "support and query are one window, in time"
    assert set(moments[:, 0].tolist()) == {0, 1, 2, 3, 4}
    loose = qs.tasks.from_groups(x, y, owner, shots=3, queries=2).train.sample(200)
    assert not bool((torch.cat([loose.support.x, loose.query.x], 1)[..., 0].diff(dim=1) == 1).all())


# ---- published layouts --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SPLITS.is_dir(), reason="the published lists are not here")
@pytest.mark.parametrize(
    ("lists", "counts", "below"),
    [
        ("tieredimagenet", (351, 97, 160), None),
        ("torchmeta/cifar100_cifar-fs", (64, 16, 20), None),
        ("torchmeta/cifar100_fc100", (60, 20, 20), 5),
        ("torchmeta/cub", (100, 50, 50), None),
        ("cub_easyfsl", (140, 30, 30), None),
        ("miniimagenet_ravi", (64, 16, 20), None),
        ("metadataset/dtd_splits.json", (33, 7, 7), None),
    ],
)
def test_published_layouts(tmp_path, lists, counts, below):
    """One small image a class, in the layout of the data set; every class of the published list is found."""
    names = qs.tasks.read_class_lists(SPLITS / lists)
    classes = [name for part in names.values() for name in part]
    if below is not None:  # FC100 lists superclasses of five classes each
        classes = [f"{name}/fine{number}" for name in classes for number in range(below)]
    pixel = tmp_path / "pixel.png"
    draw(pixel, (9, 9, 9), size=(4, 4))
    for name in classes:
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "a.png").write_bytes(pixel.read_bytes())
    family = qs.tasks.from_folder(tmp_path / "images", split=SPLITS / lists, ways=5, shots=0, queries=1, size=4)
    assert tuple(len(part) for part in family.classes.values()) == counts


# ---- augmentation -------------------------------------------------------------------------------------------------------


def test_rotations_are_classes_of_training_alone(folder):
    plain = qs.tasks.from_folder(folder, **SMALL, normalise=False)
    family = qs.tasks.from_folder(folder, **SMALL, normalise=False, augment=[qs.tasks.Rotations()])
    assert len(family.train.class_names) == 4 * len(plain.train.class_names)
    assert family.validation.class_names == plain.validation.class_names
    turned = family.train.class_names.index(plain.train.class_names[2] + "/rot090")
    rotated, upright = (part.examples().x[part.y == label] for part, label in ((family.train, turned), (plain.train, 2)))
    assert len(rotated) >= 4
    torch.testing.assert_close(rotated, torch.rot90(upright, 1, (-2, -1)))


def test_mixing_meets_support_with_support_class_by_class():
    episode = qs.tasks.GaussianClasses(ways=3, dim=3).train.with_(shots=2, queries=4).sample(6)
    mixed = qs.tasks.MixTasks(alpha=1.0, probability=1.0)(episode, torch.Generator().manual_seed(0))
    for before, after in ((episode.support, mixed.support), (episode.query, mixed.query)):
        assert torch.equal(before.y, after.y)
        assert not torch.equal(before.x, after.x)
    # every mixed example lies on the line between its own and one of another task, with one weight for the whole task
    own, out, pool = episode.query.x[0], mixed.query.x[0], episode.query.x[1:].flatten(0, 1)
    weights = []
    for x, z in zip(own, out, strict=True):
        direction = pool - x
        along = ((z - x) * direction).sum(1) / direction.square().sum(1)
        gap = (x + along[:, None] * direction - z).norm(dim=1)
        weights.append([round(float(a), 3) for a, g in zip(along, gap, strict=True) if g < 1e-4 and -0.01 < a < 1.01])
    shared = set(weights[0]).intersection(*weights[1:])
    assert shared
    unmixed = qs.tasks.MixTasks(probability=0.0)(episode, torch.Generator().manual_seed(0))
    assert torch.equal(unmixed.query.x, episode.query.x)


def test_label_permutation_and_noise():
    episode = qs.tasks.GaussianClasses(ways=3, dim=3).train.sample(5)
    permuted = qs.tasks.PermuteLabels()(episode, torch.Generator().manual_seed(0))
    for task in range(5):
        pairs = {(int(a), int(b)) for a, b in zip(episode.support.y[task], permuted.support.y[task], strict=True)}
        pairs |= {(int(a), int(b)) for a, b in zip(episode.query.y[task], permuted.query.y[task], strict=True)}
        assert len(pairs) == 3, "support and query are renamed alike"
    noisy = qs.tasks.FeatureNoise(0.5)(episode, torch.Generator().manual_seed(0))
    assert 0.4 < float((noisy.query.x - episode.query.x).std()) < 0.6


def test_transforms_are_of_training_alone_and_drawn_by_the_generator(folder):
    transform = [qs.tasks.RandomCrop(2), qs.tasks.RandomFlip(), qs.tasks.ColourJitter()]
    family = qs.tasks.from_folder(folder, **SMALL, normalise=False, transform=transform)
    one, other = (family.train.sample(2, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0))
    assert torch.equal(one.support.x, other.support.x)
    plain = qs.tasks.from_folder(folder, **SMALL, normalise=False)
    assert not torch.equal(one.support.x, plain.train.sample(2, generator=torch.Generator().manual_seed(0)).support.x)
    seeds = [torch.Generator().manual_seed(0) for _ in range(2)]
    assert torch.equal(family.test.sample(2, generator=seeds[0]).query.x, plain.test.sample(2, generator=seeds[1]).query.x)


def test_a_crop_is_a_shift():
    images = torch.arange(36.0).view(1, 1, 6, 6).expand(50, 1, 6, 6)
    cropped = qs.tasks.RandomCrop(1)(images, torch.Generator().manual_seed(0))
    inner = {int(value) for value in (cropped[:, 0, 2, 2] - images[:, 0, 2, 2]).unique()}
    assert inner == {-7, -6, -5, -1, 0, 1, 5, 6, 7}


# ---- image files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "CMYK"])
def test_images_of_every_kind_are_read(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png")
    image = Image.fromarray(np.full((20, 30), 60000, np.uint16)) if mode == "I;16" else Image.new(mode, (30, 20), 0)
    image.save(path)
    for channels in (1, 3):
        pixels = Preprocessing(8, channels).read(path)
        assert (pixels.shape, pixels.dtype) == ((channels, 8, 8), torch.uint8)
    if mode in ("RGBA", "LA"):
        assert int(Preprocessing(8, 1).read(path).min()) == 255, "transparent is white"
    if mode in ("1", "L"):
        assert int(Preprocessing(8, 1, invert=True).read(path).min()) == 255


def test_a_photograph_is_turned_upright(tmp_path):
    image = Image.new("RGB", (8, 8), "black")
    image.paste("white", (0, 0, 8, 4))  # the upper half
    exif = image.getexif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "a.png", exif=exif)
    pixels = Preprocessing(8, 1).read(tmp_path / "a.png")
    assert int(pixels[0, 6, 4]) == 255
    assert int(pixels[0, 1, 4]) == 0


# ---- bad input ----------------------------------------------------------------------------------------------------------


def text_of(call, *args, **kwargs):
    with pytest.raises(errors.QuickstudyError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_bad_folders(tmp_path, folder):
    (folder / "class03" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    said = text_of(qs.tasks.from_folder, folder, **SMALL)
    assert "1.png`: expected an image that can be read, got " in said
    assert "Remove it from the folder, or save it again as PNG or JPEG." in said
    (folder / "class03" / "1.png").unlink()
    (folder / "empty").mkdir()
    said = text_of(qs.tasks.from_folder, folder, **SMALL)
    assert "empty`: expected images of its class, got a folder without an image." in said
    (tmp_path / "nothing").mkdir()
    said = text_of(qs.tasks.from_folder, tmp_path / "nothing")
    assert "expected a folder with a folder of images for each class, got no folder with images in it. Make one folder" in said
    assert "got no such folder" in text_of(qs.tasks.from_folder, tmp_path / "nowhere")


def test_unknown_class_in_a_split(folder):
    names = {"train": CLASSES[:5], "validation": CLASSES[5:7], "test": ["class99"]}
    said = text_of(qs.tasks.from_folder, folder, **SMALL, split=names)
    assert "`split`: expected names of the 10 classes there are (class00, class01" in said
    assert "got 'class99' in test. Check the spelling" in said
    assert "none for 'test'" in text_of(qs.tasks.from_folder, folder, **SMALL, split={"train": [], "validation": []})
    both = {"train": CLASSES[:5], "validation": CLASSES[4:7], "test": CLASSES[7:]}
    assert "got class 'class04' in both" in text_of(qs.tasks.from_folder, folder, **SMALL, split=both)


def test_bad_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("file,label\na.png,x\n")
    said = text_of(qs.tasks.from_csv, path)
    assert (
        "expected the columns filename and label (or class_name and image_name), got file, label: 'filename' is missing." in said
    )
    assert "Rename 'file' to 'filename'." in said
    path.write_text("filename,label\na.png,x\n")
    said = text_of(qs.tasks.from_csv, path)
    assert "a.csv, line 2`: expected an image in " in said
    assert "got 'a.png', which is not there. Name the folder of the images with `images=`." in said
    path.write_text("filename,label\na.png\n")
    assert "line 2`: expected 2 values, got 1: 'a.png'. Complete the row." in text_of(qs.tasks.from_csv, path)
    path.write_text("filename,label\n")
    assert "expected rows below the header, got none" in text_of(qs.tasks.from_csv, path)
    assert "expected a CSV file, got no such file" in text_of(qs.tasks.from_csv, tmp_path / "b.csv")


def test_bad_datasets_and_arrays():
    said = text_of(qs.tasks.from_dataset, Pictures([]), **SMALL)
    assert "`dataset`: expected labels as .targets, .labels, .y, got a Pictures without them. Pass labels=[...]" in said
    assert "expected 40, one for each item, got 3" in text_of(qs.tasks.from_dataset, Pictures([]), labels=[1, 2, 3])
    said = text_of(qs.tasks.from_arrays, [np.zeros((3, 4)), np.zeros((3, 5))], ["a", "b"])
    assert "`x`: expected examples of one shape, got (3, 4) and (3, 5). Resize or pad them" in said
    assert "expected numbers, got dtype <U1, such as 'a'" in text_of(qs.tasks.from_arrays, np.array(["a", "b"]), [0, 1])
    assert "expected as many labels as examples, got 4 and 3" in text_of(qs.tasks.from_arrays, np.zeros((4, 2)), [0, 1, 2])
    assert "expected three classes or more" in text_of(qs.tasks.from_arrays, np.zeros((4, 2)), [0, 1, 0, 1])


def test_bad_groups():
    x, y, owner = groups(6, 4)
    said = text_of(qs.tasks.from_groups, x[:-2], y[:-2], owner[:-2], shots=2, queries=2)
    assert "`shots=2, queries=2`: expected at least 4 rows of every group, got 2 of group 'user5'." in said
    assert "expected three groups or more, got 1" in text_of(qs.tasks.from_groups, x[:4], y[:4], owner[:4])
    assert "got x of 24, y of 23, group of 24" in text_of(qs.tasks.from_groups, x, y[:-1], owner)
    assert "expected numbers, got dtype <U1" in text_of(qs.tasks.from_groups, x, np.array(["a"] * 24), owner)
    assert "`x`: expected finite numbers" in text_of(qs.tasks.from_groups, np.where(x > 3, np.nan, x), y, owner)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: ("filename,label\n" + text).encode())))
def test_any_bytes_as_csv_give_an_error_of_ours(tmp_path, content):
    path = tmp_path / "fuzz.csv"
    path.write_bytes(content)
    with pytest.raises(errors.QuickstudyError):
        qs.tasks.from_csv(path)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=300), cut=st.integers(0, 60), start=st.sampled_from(["", "png", "gif", "bmp"]))
def test_any_bytes_as_an_image_give_pixels_or_an_error_of_ours(tmp_path, content, cut, start):
    path = tmp_path / "fuzz.png"
    if start:
        Image.new("RGB", (5, 5)).save(path, format=start)
        content = path.read_bytes()[:cut] + content
    path.write_bytes(content)
    try:
        pixels = Preprocessing(4).read(path)
    except errors.DataError:
        return
    assert pixels.shape == (3, 4, 4)
