"""from_folder: folders of images as tasks, and what is said of folders that are none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from tests.domains.images.pictures import CLASSES, SMALL, all_names, class_of, colour_of, draw, draw_folder
from tests.tasks.rows import seeded

from quickstudy.domains.images import images
from quickstudy.errors import ArgumentError, DataError, LabelError, TaskError, UnsupportedError
from quickstudy.tasks import RandomFlip, Rotations, from_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("folder"))


def test_an_episode_shows_the_classes_that_it_says(folder: Path):
    family = from_folder(folder, **SMALL, normalise=False)
    assert sorted(name for part in family.classes.values() for name in part) == CLASSES
    assert [len(part) for part in family.classes.values()] == [6, 2, 2]
    episode = family.test.sample(20, generator=seeded())
    assert episode.support.x.shape == (20, 2, 3, 12, 12)
    for task in range(20):
        shown = {int(y): int(class_of(x)) for x, y in zip(episode.support.x[task], episode.support.y[task], strict=True)}
        assert {CLASSES[label] for label in shown.values()} <= set(family.classes["test"])
        assert [shown[int(y)] for y in episode.query.y[task]] == class_of(episode.query.x[task]).tolist()


def test_images_lie_as_bytes_at_the_size_asked(folder: Path):
    train = from_folder(folder, **SMALL).train
    assert train.x.dtype == torch.uint8
    assert train.x.shape[1:] == (3, 12, 12)
    assert from_folder(folder, **SMALL, channels=1).train.x.shape[1:] == (1, 12, 12)
    dark, light = from_folder(folder, **SMALL).train.x, from_folder(folder, **SMALL, invert=True).train.x
    assert torch.equal(light, 255 - dark)


def test_a_stored_split_gives_the_family_again(folder: Path):
    family = from_folder(folder, **SMALL, seed=3)
    again = from_folder(folder, **SMALL, split=json.loads(json.dumps(family.classes)))
    assert again.classes == family.classes != from_folder(folder, **SMALL).classes
    assert torch.equal(*(one.train.sample(2, generator=seeded()).query.x for one in (family, again)))


def test_a_split_may_leave_classes_out_and_these_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[Path] = []
    inner = images.read_all
    monkeypatch.setattr(
        sys.modules["quickstudy.domains.images.kind"], "read_all", lambda files, *a: read.extend(files) or inner(files, *a)
    )
    names = {"train": CLASSES[:4], "val": CLASSES[4:6], "test": CLASSES[6:8]}
    family = from_folder(folder, **SMALL, split=names)
    assert family.classes == {"train": CLASSES[:4], "validation": CLASSES[4:6], "test": CLASSES[6:8]}
    assert {path.parent.name for path in read} == set(CLASSES[:8])
    assert len(read) == len(set(read))


def test_normalisation_is_of_the_training_classes_alone(folder: Path):
    family = from_folder(folder, **SMALL)
    x = family.train.examples().x
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std((0, 2, 3)), torch.ones(3), atol=1e-2, rtol=0)
    assert family.train.preprocessing == family.test.preprocessing == family.preprocessing
    own = family.preprocessing.fitted(family.test.x)
    assert own.mean != family.preprocessing.mean  # the control: the test classes have another mean
    file = folder / family.classes["test"][0] / "0.png"
    seen = family.preprocessing.apply(family.preprocessing.read(file))
    assert any(torch.equal(seen, x) for x in family.test.examples().x)


def split_folder(root: Path, parts: dict[str, list[str]]) -> Path:
    for part, names in parts.items():
        for name in names:
            for number in range(4):
                draw(root / part / name / f"{number}.jpg", colour_of(CLASSES.index(name)))
    return root


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_train_val_test_folders(tmp_path: Path, validation: str):
    root = split_folder(tmp_path, {"train": CLASSES[:4], validation: CLASSES[4:7], "test": CLASSES[7:]})
    family = from_folder(root, **SMALL)
    assert family.classes == {"train": CLASSES[:4], "validation": CLASSES[4:7], "test": CLASSES[7:]}
    pooled = from_folder(root, **SMALL, split=(0.5, 0.25, 0.25))
    assert pooled.classes != family.classes
    assert sorted(all_names(pooled)) == CLASSES


def test_folders_split_by_example_are_refused_and_can_be_pooled(tmp_path: Path):
    root = split_folder(tmp_path, {"train": CLASSES[:9], "val": CLASSES[:9], "test": CLASSES[:9]})
    message = (
        r"`train, validation`: expected parts that share no class, got class 'class00' in both\..*split=\(0\.64, 0\.16, 0\.2\)"
    )
    with pytest.raises(TaskError, match=message):
        from_folder(root, **SMALL)
    pooled = from_folder(root, **SMALL, split=(0.5, 0.25, 0.25))
    assert pooled.train.counts.tolist() == [12] * 4


def test_classes_in_any_depth_and_what_is_no_image(tmp_path: Path):
    for name in ("Greek/alpha", "Greek/beta", "Latin/a", "Latin/b", "Runes/f", "Runes/u"):
        for number in range(3):
            draw(tmp_path / name / f"{number}.PNG", (9, 9, 9))
    (tmp_path / "Greek" / "alpha" / "._0.png").write_bytes(b"what a Mac leaves behind")
    (tmp_path / "Greek" / "alpha" / "Thumbs.db").write_bytes(b"and Windows")
    (tmp_path / "__MACOSX" / "Greek").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "Latin" / "again").symlink_to(tmp_path, target_is_directory=True)  # a link back to the top
    family = from_folder(tmp_path, **SMALL, split=(2, 2, 2))
    assert {"Greek/alpha", "Latin/b"} <= set(all_names(family))
    assert family.train.counts.tolist() == [3, 3]


def test_a_class_may_be_a_link(tmp_path: Path):
    source = draw_folder(tmp_path / "elsewhere")
    (tmp_path / "here").mkdir()
    for name in CLASSES:
        (tmp_path / "here" / name).symlink_to(source / name, target_is_directory=True)
    assert sorted(all_names(from_folder(tmp_path / "here", **SMALL))) == CLASSES


def test_long_reads_show_a_bar(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    from_folder(folder, **SMALL)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("quickstudy.progress.WORTH_A_BAR", 1)
    from_folder(folder, **SMALL)
    assert "reading train images: 35/35" in capsys.readouterr().err


# ---- bad folders --------------------------------------------------------------------------------------------------------


def test_an_image_that_cannot_be_read(tmp_path: Path):
    root = draw_folder(tmp_path)
    (root / "class03" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    message = (
        r"1\.png`: expected an image that can be read, got .*\. Remove it from the folder, or save it again as PNG or JPEG\."
    )
    with pytest.raises(DataError, match=message):
        from_folder(root, **SMALL)


def test_a_class_without_images(tmp_path: Path):
    root = draw_folder(tmp_path)
    (root / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"empty`: expected images of its class \(png, .*\), got a folder without images\. Put the class's"
    ):
        from_folder(root, **SMALL)


def test_a_folder_without_classes(tmp_path: Path):
    message = (
        r"expected a folder with a folder of images, recordings, texts or the like for each class, got none of them in it\. Make"
    )
    with pytest.raises(DataError, match=message):
        from_folder(tmp_path)
    draw(tmp_path / "0.png", (0, 0, 0))
    with pytest.raises(DataError, match=message):
        from_folder(tmp_path)
    with pytest.raises(DataError, match=r"got no such folder\. Make one folder"):
        from_folder(tmp_path / "nowhere")


def test_a_split_naming_an_unknown_class(folder: Path):
    names = {"train": CLASSES[:5], "validation": CLASSES[5:7], "test": ["class99"]}
    message = (
        r"`split`: expected names of the 10 classes there are \(class00, class01, .*\), got 'class99' in test\. "
        r"Check the spelling \('class09' is there\), or bring the class's data\."
    )
    with pytest.raises(TaskError, match=message):
        from_folder(folder, **SMALL, split=names)
    with pytest.raises(
        ArgumentError, match=r"`split`: expected names for 'train', 'validation' and 'test', got none for 'test'\. G"
    ):
        from_folder(folder, **SMALL, split={"train": [], "validation": []})
    with pytest.raises(TaskError, match=r"`validation, test`: .* got class 'class06' in both\. Give every class to one part"):
        from_folder(folder, **SMALL, split=names | {"test": CLASSES[6:]})


def test_too_few_classes_or_images_are_found_before_any_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules["quickstudy.domains.images.kind"], "read_all", None)
    with pytest.raises(
        TaskError, match=r"`ways=5`: expected at most the 2 classes of validation under split=\(0\.6, 0\.2, 0\.2\), got 5"
    ):
        from_folder(folder, ways=5, shots=1, queries=1, split=(0.6, 0.2, 0.2))
    with pytest.raises(
        TaskError, match=r"`shots=1, queries=15`: expected at least 16 examples of every class, got 5 of class 'c.*"
    ):
        from_folder(folder, ways=2)
    with pytest.raises(ArgumentError, match=r"`split`: expected fractions that add up to at most 1, got \(0\.9, 0\.9, 0\.1\)"):
        from_folder(folder, **SMALL, split=(0.9, 0.9, 0.1))
    with pytest.raises(ArgumentError, match=r"`split`: expected three parts: .* got \(0\.5, 0\.5\)\. Give for example"):
        from_folder(folder, **SMALL, split=(0.5, 0.5))
    with pytest.raises(ArgumentError, match=r"`size`: expected 1 pixel or more, got 0"):
        from_folder(folder, ways=2, shots=1, queries=2, size=0)
    with pytest.raises(ArgumentError, match=r"`channels`: expected 1 \(grey\) or 3 \(colour\), got 4"):
        from_folder(folder, **SMALL, channels=4)


def test_fewer_than_three_classes(tmp_path: Path):
    draw(tmp_path / "cat" / "0.png", (0, 0, 0))
    draw(tmp_path / "dog" / "0.png", (0, 0, 0))
    with pytest.raises(LabelError, match=r"`y`: expected three classes or more: .*, got 2: cat, dog\. Bring more classes"):
        from_folder(tmp_path)


@pytest.mark.wrong_types
def test_choices_are_objects(folder: Path):
    with pytest.raises(UnsupportedError, match=r"`augment`: expected objects, .* got the class Rotations\. Call the class"):
        from_folder(folder, **SMALL, augment=[Rotations])
    with pytest.raises(UnsupportedError, match=r"`transform`: expected objects, .* got 'flip'\. See quickstudy\.tasks"):
        from_folder(folder, **SMALL, transform=["flip"])
    from_folder(folder, **SMALL, augment=[Rotations()], transform=[RandomFlip()])
