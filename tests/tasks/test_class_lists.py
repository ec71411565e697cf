"""Published lists of classes, and the data sets that they name, drawn small in their layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.domains.images.pictures import SPLITS, all_names, draw

from quickstudy.errors import DataError, TaskError
from quickstudy.tasks import from_folder, read_class_lists
from quickstudy.tasks.distribution.class_lists import split_classes
from quickstudy.tasks.distribution.class_names import in_order, matched

published = pytest.mark.needs("the published splits")
LISTS = {
    "tieredimagenet": (351, 97, 160),
    "torchmeta/cifar100_cifar-fs": (64, 16, 20),
    "torchmeta/cifar100_fc100": (12, 4, 4),
    "torchmeta/cub": (100, 50, 50),
    "cub_easyfsl": (140, 30, 30),
    "miniimagenet_ravi": (64, 16, 20),
    "torchmeta/omniglot": (1028, 172, 423),
    "metadataset/dtd_splits.json": (33, 7, 7),
    "metadataset/fungi_splits.json": (994, 200, 200),
}


@published
@pytest.mark.parametrize("name", LISTS)
def test_every_list_has_its_published_number_of_classes(name: str):
    lists = read_class_lists(SPLITS / name)
    assert tuple(len(set(names)) for names in lists.values()) == LISTS[name]
    assert len({one for names in lists.values() for one in names}) == sum(LISTS[name])


def fill(root: Path, names: list[str], each: int = 2) -> Path:
    """A small image or two of each class, where the data set would have them."""
    pixel = draw(root.parent / "pixel.png", (9, 9, 9), size=(4, 4)).read_bytes()
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(each):
            (root / name / f"{number}.png").write_bytes(pixel)
    return root


def opened(root: Path, split: Path | None = None) -> dict[str, list[str]]:
    return from_folder(root, ways=5, shots=1, queries=1, size=4, split=split).classes


@published
def test_tiered_imagenet(tmp_path: Path):
    """train/wnid, val/wnid, test/wnid; or wnid alone, split by the lists."""
    lists = read_class_lists(SPLITS / "tieredimagenet")
    for part, folder in (("train", "train"), ("validation", "val"), ("test", "test")):
        fill(tmp_path / "parts" / folder, lists[part])
    by_folder, by_lists = opened(tmp_path / "parts"), opened(tmp_path / "parts", SPLITS / "tieredimagenet")
    assert {part: sorted(names) for part, names in lists.items()} == by_folder
    assert by_lists == lists


@published
@pytest.mark.parametrize("nested", [True, False])
def test_cifar_fs(tmp_path: Path, nested: bool):
    """The lists say superclass and class; the folders may say both or the class alone."""
    lists = read_class_lists(SPLITS / "torchmeta/cifar100_cifar-fs")
    fine = {part: [name if nested else name.split("/")[1] for name in names] for part, names in lists.items()}
    root = fill(tmp_path / "cifar", [name for names in fine.values() for name in names])
    assert opened(root, SPLITS / "torchmeta/cifar100_cifar-fs") == fine


@published
def test_fc100(tmp_path: Path):
    """The lists say superclasses, of which each has five classes."""
    fine = [name for names in read_class_lists(SPLITS / "torchmeta/cifar100_cifar-fs").values() for name in names]
    family = opened(fill(tmp_path / "cifar", fine), SPLITS / "torchmeta/cifar100_fc100")
    assert [len(names) for names in family.values()] == [60, 20, 20]
    assert {name.split("/")[0] for name in family["test"]} == {"aquatic_mammals", "insects", "medium_mammals", "people"}


@published
@pytest.mark.parametrize("name", ["torchmeta/cub", "cub_easyfsl", "metadataset/cu_birds_splits.json"])
def test_cub(tmp_path: Path, name: str):
    lists = read_class_lists(SPLITS / name)
    root = fill(tmp_path / "images", [one for names in lists.values() for one in names])
    assert opened(root, SPLITS / name) == lists


@published
def test_omniglot_as_a_folder(tmp_path: Path):
    """Lines with rotations, over folders of alphabets that share names of characters."""
    characters = [f"{alphabet}/character{n:02d}" for alphabet in ("Angelic", "Hebrew", "Kannada") for n in range(1, 7)]
    for part, names in (("train", characters[:6]), ("val", characters[6:12]), ("test", characters[12:])):
        lines = [f"{name}/rot{turn}" for name in names for turn in ("000", "090", "180", "270")]
        (tmp_path / f"{part}.txt").write_text("\n".join(lines))
    family = opened(fill(tmp_path / "omniglot", characters), tmp_path)
    assert list(family.values()) == [characters[:6], characters[6:12], characters[12:]]


# ---- names --------------------------------------------------------------------------------------------------------------


def one(names: list[str], entry: str) -> list[str]:
    return matched(names, {"test": [entry]}, "split")["test"]


def test_what_a_name_means():
    names = ["fish/trout", "fish/ray", "trees/oak", "sky"]
    assert one(names, "fish/ray") == one(names, "ray") == one(names, "fish/ray/rot090") == ["fish/ray"]
    assert one(names, "fish") == ["fish/trout", "fish/ray"]
    assert one(names, "above/sky") == ["sky"]
    assert one(["a/rot090", "a"], "a/rot090") == ["a/rot090"]
    for entry in ("birds/ray", "trou", "fish/", "rot090"):
        with pytest.raises(
            TaskError, match=r"`split`: expected names of the 4 classes there are \(fish/trout, .*, got '.*' in test\. "
        ):
            one(names, entry)
    with pytest.raises(TaskError, match=r"got 'c1' in test, which could be 'Greek/c1' or 'Latin/c1'\. Check the spelling"):
        one(["Greek/c1", "Latin/c1"], "c1")
    with pytest.raises(TaskError, match=r"got 'Runes/c1' in test\. "):
        one(["Greek/c1", "Latin/c2"], "Runes/c1")


def test_numbers_come_before_text_and_by_value():
    assert in_order(["b", "10", "9", "a", "-3", "9"]) == ["-3", "9", "10", "a", "b"]


def test_a_mapping_may_call_validation_what_it_likes():
    for key in ("validation", "val", "valid"):
        assert split_classes(["1", "2", "3"], {"train": [1], key: ["3"], "test": ["2"]}, 0)["validation"] == ["3"]


# ---- bad lists ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train.json",
            b"{",
            r"train\.json`: expected a list of classes in a published format, got what does not parse as JSON: .*\. Use the",
        ),
        ("train.json", b"3", r"got no list of classes\."),
        ("train.json", b'{"a": 1}', r"got no list of classes\."),
        ("train.json", b"[" * 100_000, r"expected a list of classes in a published format"),
        ("train.txt", b"\xff\xfe", r"got 'utf-8' codec can't decode"),
        ("train.csv", b"a\xff,b", r"got 'utf-8' codec can't decode"),
    ],
)
def test_lists_that_do_not_read(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_class_lists(tmp_path)


def test_lists_that_are_not_there(tmp_path: Path):
    message = (
        r"`split='.*nowhere'`: expected a folder that holds train\.csv, train\.json or train\.txt, got no such folder\. Name a"
    )
    with pytest.raises(DataError, match=message):
        read_class_lists(tmp_path / "nowhere")
    (tmp_path / "train.txt").write_text("a")
    with pytest.raises(DataError, match=r"holds val\.csv, val\.json or val\.txt, got none in it\."):
        read_class_lists(tmp_path)
    (tmp_path / "all.json").write_text("[]")
    with pytest.raises(DataError, match=r"all\.json`: expected .*, got a list where parts are needed\."):
        read_class_lists(tmp_path / "all.json")
    (tmp_path / "all.json").write_text(json.dumps({"train": ["a"], "valid": ["b"], "test": []}))
    with pytest.raises(TaskError, match=r"`split='.*all\.json'`: expected classes in every part, got none in test\. Name some"):
        split_classes(["a", "b"], tmp_path / "all.json", 0)


def test_a_family_written_to_a_file_is_a_split(tmp_path: Path):
    root = fill(tmp_path / "images", list("abcdefghijklmnopqrst"))
    family = from_folder(root, ways=2, shots=1, queries=1, size=4, seed=7)
    (tmp_path / "splits.json").write_text(json.dumps(family.classes))
    again = from_folder(root, ways=2, shots=1, queries=1, size=4, split=tmp_path / "splits.json")
    assert again.classes == family.classes
    assert len(all_names(again)) == 20
