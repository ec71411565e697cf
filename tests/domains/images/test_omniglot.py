"""Omniglot's loader on a small Omniglot of our own: every layout, split, download and way to be broken."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from tests.tasks import characters
from tests.tasks.rows import seeded

from quickstudy.domains.images import omniglot, omniglot_images
from quickstudy.domains.images.omniglot_images import fetch, read_images
from quickstudy.errors import ArgumentError, DataError, LabelError, TaskError
from quickstudy.tasks import FeatureNoise, MergeClasses, Omniglot, Rotations

BACKGROUND, EVALUATION = "images_background", "images_evaluation"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(omniglot_images, "PARTS", characters.CLASSES)
    monkeypatch.setattr(omniglot, "RANDOM_SIZES", (15, 5, 7))


@pytest.fixture(scope="module")
def content() -> dict[str, bytes]:
    return characters.files()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]) -> Path:
    return characters.write_zips(tmp_path_factory.mktemp("zips"), content)


def load(root: Path, **arguments) -> Omniglot:
    return Omniglot(root, **{"ways": 3, "shots": 1, "queries": 5} | arguments)


def class_names(tasks: Omniglot) -> list[list[str]]:
    return [part.class_names for part in (tasks.train, tasks.validation, tasks.test)]


def test_images_are_small_white_on_black_and_in_order(root: Path):
    images = read_images(root, size=35)  # 105 / 3: a pixel is the mean of 9, so the square of 15 becomes one of 5, exactly
    assert list(images) == sorted(f"{part}/{name}" for part in characters.ALPHABETS for name in characters.names(part))
    one = images[f"{BACKGROUND}/Alpha2/character02"]  # the eighth character: 21 pixels down
    assert (one.shape, one.dtype) == ((20, 1, 35, 35), torch.uint8)
    assert sorted(one.unique().tolist()) != [0]
    expected = torch.zeros(35, 35)
    expected[7:12, 4:9] = 255  # the fourth drawer: 12 pixels along
    expected[34, 0] = 255  # the part's mark
    assert torch.equal(one[3, 0].float(), expected)
    assert read_images(root, size=28)[f"{EVALUATION}/Omega0/character01"].float().mean() == pytest.approx(
        255 * (15**2 + 3**2) / 105**2, rel=0.03
    )


def test_zips_and_extracted_folders_are_the_same(root: Path, tmp_path: Path, content: dict[str, bytes]):
    tree = characters.write_tree(tmp_path, content)
    (tree / BACKGROUND / "Alpha0" / "character01" / "._0001_01.png").write_bytes(b"what a Mac leaves behind")
    zipped, extracted = read_images(root), read_images(tree)
    assert list(zipped) == list(extracted)
    assert all(torch.equal(zipped[name], extracted[name]) for name in zipped)


def test_the_random_split_is_seeded_and_covers_every_character(root: Path):
    tasks, again, other = load(root, rotations=False), load(root, rotations=False), load(root, rotations=False, seed=1)
    parts = class_names(tasks)
    assert [len(part) for part in parts] == [15, 5, 7]
    assert sorted(name for part in parts for name in part) == sorted(characters.names(BACKGROUND) + characters.names(EVALUATION))
    assert class_names(again) == parts
    assert class_names(other) != parts


def test_the_alphabet_split_is_the_published_one(root: Path):
    train, validation, test = class_names(load(root, split="alphabet", rotations=False))
    assert train == [name for name in characters.names(BACKGROUND) if name < "Alpha2"]
    assert validation == [name for name in characters.names(BACKGROUND) if name >= "Alpha2"]
    assert test == characters.names(EVALUATION)


def test_a_split_by_files_in_either_format(root: Path, tmp_path: Path):
    parts = {"train": ["Alpha0/character01", "Omega1/character02"], "val": ["Alpha1/character03"], "test": ["Alpha2/character01"]}
    for part, chosen in parts.items():
        (tmp_path / f"{part}.txt").write_text("".join(f"{name}/rot{turn}\n" for name in chosen for turn in ("000", "090")))
    lines = class_names(load(root, split=tmp_path, ways=1, rotations=False))
    assert lines == list(parts.values())
    for part, chosen in parts.items():
        (tmp_path / f"{part}.txt").unlink()
        table = {alphabet: [character] for alphabet, character in (name.split("/") for name in chosen)}
        (tmp_path / f"{part}.json").write_text(json.dumps({"background": table, "evaluation": {}}))
    assert class_names(load(root, split=str(tmp_path), ways=1, rotations=False)) == lines


def test_rotations_are_further_classes_of_training_only(root: Path):
    plain, turned = load(root, rotations=False), load(root)
    assert [len(part) for part in class_names(turned)] == [60, 5, 7]
    assert class_names(turned)[1:] == class_names(plain)[1:]
    names = turned.train.class_names
    for turns, suffix in ((0, ""), (1, "/rot090"), (2, "/rot180"), (3, "/rot270")):
        label = names.index(names[4] + suffix)
        assert torch.equal(
            turned.train.x[turned.train.y == label], torch.rot90(plain.train.x[plain.train.y == 4], turns, (-2, -1))
        )


def test_episodes_are_floats_and_memory_is_bytes(root: Path):
    tasks = load(root)
    episode = tasks.train.sample(4, generator=seeded())
    assert tasks.train.x.dtype == torch.uint8
    assert episode.query.x.shape == (4, 15, 1, 28, 28)
    assert episode.query.x.dtype == torch.float32
    assert 0 == episode.query.x.min() < episode.query.x.max() == 1
    assert tasks.with_(shots=3).test.sample(2).support.x.shape == (2, 9, 1, 28, 28)


def test_loading_writes_nothing_into_root(root: Path):
    load(root)
    assert sorted(path.name for path in root.iterdir()) == [f"{BACKGROUND}.zip", f"{EVALUATION}.zip"]


def test_a_root_without_data(tmp_path: Path):
    message = (
        r"`root='.*empty'`: expected images_background\.zip or the folder images_background/ in it, got no such folder\. "
        r"Get the zips from github\.com/brendenlake/omniglot, folder python/, or pass download=True"
    )
    with pytest.raises(DataError, match=message):
        load(tmp_path / "empty")
    with pytest.raises(DataError, match=r"in it, got neither\. Get the zips"):
        load(tmp_path)


def test_a_truncated_zip(tmp_path: Path, content: dict[str, bytes]):
    archive = characters.write_zips(tmp_path, content) / f"{EVALUATION}.zip"
    archive.write_bytes(archive.read_bytes()[:20_000])
    message = r"`.*evaluation\.zip`: expected a whole zip without a password, got one that is cut short or broken \(.*\)\. Delete"
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_a_zip_with_damaged_bytes(tmp_path: Path, content: dict[str, bytes]):
    archive = characters.write_zips(tmp_path, content) / f"{EVALUATION}.zip"
    data = bytearray(archive.read_bytes())
    data[2000:2400] = bytes(400)
    archive.write_bytes(bytes(data))
    with pytest.raises(
        DataError,
        match=r"`.*images_evaluation\.zip`: expected a whole zip without a password, got one that is cut short or broken",
    ):
        load(tmp_path)


def test_wrong_counts(tmp_path: Path, content: dict[str, bytes]):
    lacking = {name: data for name, data in content.items() if "Alpha3/character02" not in name}
    with pytest.raises(DataError, match=r"`root=.*`: expected 21 classes in images_background, got 20\. Fetch the data again"):
        load(characters.write_zips(tmp_path, lacking))
    lacking = {name: data for name, data in content.items() if not name.endswith("Alpha3/character02/0011_05.png")}
    with pytest.raises(
        DataError, match=r"expected 20 images of every class, got 19 of images_background/Alpha3/character02\. Fetch"
    ):
        load(characters.write_zips(tmp_path, lacking))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            characters.drawing(0, 0, side=28),
            r"`images_background/Alpha3/character02/.*png`: expected 105x105 pixels, got 28x28\. Give",
        ),
        (
            b"no image",
            r"`images_background/Alpha3/character02/.*png`: expected an image that can be read, got none of PNG, JPEG",
        ),
        (characters.drawing(0, 0)[:60], r"`.*png`: expected an image that can be read, got image file is truncated"),
    ],
    ids=["small", "text", "cut"],
)
def test_images_that_are_none(tmp_path: Path, content: dict[str, bytes], data: bytes, message: str):
    name = next(name for name in content if "Alpha3/character02" in name)
    with pytest.raises(DataError, match=message):
        load(characters.write_zips(tmp_path, content | {name: data}))


def test_split_files_that_do_not_fit(root: Path, tmp_path: Path):
    def write(**parts: str) -> Path:
        for part, text in parts.items():
            (tmp_path / f"{part}.txt").write_text(text)
        return tmp_path

    with pytest.raises(
        DataError, match=r"`split='.*'`: expected names of Omniglot's classes, got 'Alpha9/c1' in validation\. Use"
    ):
        load(root, split=write(train="Alpha0/character01", val="Alpha9/c1", test="Omega0/character01"))
    with pytest.raises(DataError, match=r"`split='.*'`: expected classes in every split, got none in validation\. Name some"):
        load(root, split=write(val=""))
    with pytest.raises(
        TaskError, match=r"`train, test`: expected parts that share no class, got class 'Alpha0/character01' in both"
    ):
        load(root, split=write(val="Alpha1/character01", test="Alpha0/character01\nAlpha2/character01"), ways=1)
    with pytest.raises(
        DataError, match=r"`split='vinyals'`: expected a folder that holds train\.txt .*, got no such folder\. .*'random' or"
    ):
        load(root, split="vinyals")


def test_augmentation_is_of_meta_training(root: Path):
    tasks, plain = load(root, augment=[MergeClasses(), FeatureNoise()], rotations=False), load(root, rotations=False)
    assert len(tasks.train.class_names) == 15 + 7
    assert tasks.classes["validation"] == plain.classes["validation"]
    assert list(tasks.train.protocol["augment"].values()) == ["new classes", "new examples"]
    assert len(tasks.train.columns["drawer"].of) == len(tasks.train.y)
    with pytest.raises(ArgumentError, match=r"`augment`: expected each augmentation .* once, got Rotations twice"):
        load(root, augment=[Rotations()])


def test_a_class_twice_in_one_split_file(root: Path, tmp_path: Path):
    for part, alphabet in (("train", "Alpha0"), ("val", "Alpha1"), ("test", "Omega0")):
        (tmp_path / f"{part}.json").write_text(json.dumps({"background": {alphabet: ["character01", "character01"]}}))
    with pytest.raises(
        LabelError, match=r"`class_names`: expected a name of its own for every class, got 'Alpha0/character01' 2 times"
    ):
        load(root, split=tmp_path, ways=1)


def test_a_size_that_is_none(root: Path):
    with pytest.raises(ArgumentError, match=r"`size`: expected 1 pixel or more, got 0\. 28 is the field's habit"):
        load(root, size=0)


@pytest.fixture
def published(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place to download from, whose files have the official checksums."""
    sums = {
        part: hashlib.md5((root / f"{part}.zip").read_bytes(), usedforsecurity=False).hexdigest() for part in characters.ALPHABETS
    }
    monkeypatch.setattr(omniglot_images, "MD5", sums)
    return root.as_uri() + "/"


def test_a_download_is_checked_and_kept(published: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(omniglot_images, "URL", published)
    tasks = load(tmp_path / "new" / "folder", download=True)
    assert len(tasks.test.class_names) == 7
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [f"{BACKGROUND}.zip", f"{EVALUATION}.zip"]
    fetch(tmp_path / "new" / "folder", url="file:///nowhere/")  # what is there is not fetched again


def test_a_wrong_checksum_leaves_nothing_behind(root: Path, tmp_path: Path):
    """The official checksums, which our own files do not have."""
    message = r"`file://.*background\.zip`: expected the published file, md5 68d2efa1b9178cc56df9314c21c6e718, got md5 \w+\. Try"
    with pytest.raises(DataError, match=message):
        fetch(tmp_path, url=root.as_uri() + "/")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_reached(tmp_path: Path):
    message = r"`file:///nowhere/images_background\.zip`: expected a file that can be fetched, got .*\. Fetch it elsewhere and"
    with pytest.raises(DataError, match=message):
        fetch(tmp_path / "new", url="file:///nowhere/")
    assert not (tmp_path / "new").exists()


def test_a_local_copy_is_not_asked_for_the_official_checksum(root: Path):
    """The zips may have been packed anew: `download=True` takes them as they are, and the loader checks their content."""
    assert len(load(root, download=True).train.class_names) == 60


def test_episodes_within_one_alphabet(root: Path):
    tasks = load(root, split="alphabet", within="alphabet", rotations=True)
    assert tasks.test.protocol["within"] == "alphabet"
    assert tasks.test.protocol["groups_left_out"] == []
    assert tasks.test.within.groups == ("Omega0", "Omega1")
    assert tasks.train.within.groups == tuple(f"Alpha{n}{turn}" for turn in ("", "/rot090", "/rot180", "/rot270") for n in (0, 1))
    numbered = tasks.test.with_()
    numbered.x, numbered.preprocessing = tasks.test.y.float(), None
    drawn = numbered.sample(50, generator=seeded()).support.x.long()
    alphabets = [{tasks.test.class_names[label].split("/")[0] for label in one} for one in drawn.tolist()]
    assert {len(one) for one in alphabets} == {1}
    assert set.union(*alphabets) == {"Omega0", "Omega1"}
    assert load(root, split="alphabet").with_(within="alphabet").test.protocol == tasks.test.protocol
    with pytest.raises(ArgumentError, match=r"`within`: expected one of the columns alphabet, got 'alphabets'\. Did you mean"):
        load(root / "nowhere", within="alphabets")
    with pytest.raises(TaskError, match="`ways=4, within='alphabet'`: expected a group of 4 classes or more, got at most 3"):
        load(root, split="alphabet", within="alphabet", ways=4)
