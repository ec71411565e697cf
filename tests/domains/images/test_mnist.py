"""MNIST's loader on idx files of our own: packed or not, downloaded, and broken in every way; and the real ones."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests import needs

from quickstudy.domains.images.mnist import digits, fetch, mnist, read_idx
from quickstudy.errors import ArgumentError, DataError

page = importlib.import_module("quickstudy.domains.images.mnist")  # as an attribute of the package the name is the function's

REAL = needs.DATA / "mnist"
COUNTS = {"train": 30, "t10k": 12}


def idx(tensor: torch.Tensor) -> bytes:
    """Written by the description of the format, not by the loader's code."""
    header = bytes([0, 0, 8, tensor.ndim]) + b"".join(struct.pack(">I", length) for length in tensor.shape)
    return header + bytes(tensor.flatten().tolist())


def drawn() -> dict[str, torch.Tensor]:
    """Four tensors: image i of a part has one white pixel, at row label, column i % 28."""
    tensors = {}
    for part, count in COUNTS.items():
        labels = torch.arange(count) % 10
        images = torch.zeros(count, 28, 28, dtype=torch.uint8)
        images[torch.arange(count), labels, torch.arange(count) % 28] = 255
        tensors[f"{part}-images-idx3-ubyte"], tensors[f"{part}-labels-idx1-ubyte"] = images, labels.to(torch.uint8)
    return tensors


def write(root: Path, *, packed: bool = True, **changed: torch.Tensor) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, tensor in drawn().items():
        content = idx(changed.get(name.partition("-idx")[0].replace("-", "_"), tensor))
        (root / (name + ".gz" * packed)).write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return root


@pytest.fixture(autouse=True)
def _ours(monkeypatch: pytest.MonkeyPatch):
    """The checksums are those of our own files, and no folder is named."""
    monkeypatch.delenv("MNIST", raising=False)
    monkeypatch.setattr(page, "SHA256", {name: hashlib.sha256(idx(tensor)).hexdigest() for name, tensor in drawn().items()})


@pytest.mark.parametrize("packed", [True, False])
def test_every_pixel_and_label_arrives(tmp_path: Path, packed: bool):
    data, tensors = mnist(write(tmp_path, packed=packed)), drawn()
    assert torch.equal(data.train_x[:, 0], tensors["train-images-idx3-ubyte"])
    assert torch.equal(data.test_x[:, 0], tensors["t10k-images-idx3-ubyte"])
    assert data.train_y.tolist() == [i % 10 for i in range(30)]
    assert data.test_y.dtype == torch.int64
    examples = data.train
    assert (examples.x.shape, examples.x.dtype, examples.ways) == ((30, 1, 28, 28), torch.float32, 10)
    assert (float(examples.x.max()), float(examples.x.sum())) == (1.0, 30.0)
    assert len(data.test) == 12


def test_axes_are_big_endian_and_the_last_is_fastest(tmp_path: Path):
    (tmp_path / "a").write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]))
    assert read_idx(tmp_path / "a").tolist() == [[1, 2, 3], [4, 5, 6]]
    (tmp_path / "empty").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 0]))
    assert read_idx(tmp_path / "empty").tolist() == []


def test_the_folder_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MNIST", str(write(tmp_path)))
    assert len(mnist().train_y) == 30
    monkeypatch.delenv("MNIST")
    with pytest.raises(DataError, match=r"`root`: expected a folder, or the environment variable MNIST naming one, got neither"):
        mnist()


def test_the_folder_of_torchvision(tmp_path: Path):
    write(tmp_path / "MNIST" / "raw", packed=False)
    assert len(mnist(tmp_path).test_y) == 12


def test_what_is_missing_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"expected train-images-idx3-ubyte\.gz or .* got no such folder"):
        mnist(tmp_path / "none")
    (write(tmp_path) / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"expected t10k-labels-idx1-ubyte\.gz or t10k-labels-idx1-ubyte in it, got neither"):
        mnist(tmp_path)


def test_other_content_is_refused_and_can_be_asked_for(tmp_path: Path):
    images = drawn()["train-images-idx3-ubyte"]
    images[7, 3, 3] = 1  # one grey level of one pixel
    write(tmp_path, train_images=images)
    with pytest.raises(DataError, match=r"train-images.*expected MNIST's, sha256 \w+\.\.\. unpacked, got .*verify=False"):
        mnist(tmp_path)
    assert int(mnist(tmp_path, verify=False).train_x[7, 0, 3, 3]) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"train_labels": torch.zeros(29, dtype=torch.uint8)},
            r"expected a label for each image of train, got images \(30, 28, 28\) and",
        ),
        ({"t10k_labels": torch.full((12,), 10, dtype=torch.uint8)}, r"expected labels 0\.\.9 in t10k, got 10"),
        (
            {"train_images": torch.zeros(30, 784, dtype=torch.uint8)},
            r"expected a label for each image of train, got images \(30, 784\)",
        ),
        (
            {"t10k_images": torch.zeros(12, 8, 8, dtype=torch.uint8)},
            r"expected images of one size, got \(28, 28\) to train and \(8, 8\)",
        ),
        (
            {"train_images": torch.zeros(0, 28, 28, dtype=torch.uint8), "train_labels": torch.zeros(0, dtype=torch.uint8)},
            r"got images \(0, 28, 28\) and labels \(0,\)",
        ),
    ],
)
def test_files_that_do_not_fit_together(tmp_path: Path, changed: dict[str, torch.Tensor], message: str):
    with pytest.raises(DataError, match=message):
        mnist(write(tmp_path, **changed), verify=False)


WHOLE = idx(torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.gz", b"<html>", r"expected a whole file packed by gzip, got one that is missing, cut short or broken"),
        (
            "a.gz",
            gzip.compress(WHOLE, mtime=0)[:-9],
            r"expected a whole file packed by gzip, got one that is missing, cut short or broken",
        ),
        ("a.gz", gzip.compress(WHOLE, mtime=0)[:20] + b"\xff" * 40, r"cut short or broken"),
        ("a", b"<html>", r"expected an idx file of uint8, which begins with the bytes 0 0 8, got one that begins with 60 104"),
        ("a", b"", r"got one that begins with nothing"),
        ("a", WHOLE[:9], r"got one that begins with 0 0 8 3"),
        ("a", bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]), r"got one that begins with 0 0 13 1"),
        ("a", bytes([0, 0, 8, 0]), r"got one that begins with 0 0 8 0"),
        ("a", bytes([0, 0, 8, 255]) + bytes(4 * 255), r"got one that begins with 0 0 8 255"),
        ("a", WHOLE[:-1], r"expected 40 bytes, for the shape \(2, 3, 4\) that it says it has, got 39"),
        ("a", WHOLE + b"0", r"expected 40 bytes, .* got 41"),
        ("a", bytes([0, 0, 8, 2]) + b"\xff" * 8, r"expected 18446744065119617037 bytes, .* got 12"),
    ],
)
def test_a_broken_file(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / name)


@given(content=st.binary(max_size=40), start=st.sampled_from([b"", b"\0\0\x08", WHOLE[:16]]))
def test_any_bytes_give_a_tensor_or_our_error(tmp_path_factory: pytest.TempPathFactory, content: bytes, start: bytes):
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(start + content)
    try:
        tensor = read_idx(path)
    except DataError:
        return
    assert idx(tensor) == start + content  # what is read is all that is there


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place to download from, whose files have the official checksums."""
    root = write(tmp_path / "published")
    sums = {path.stem: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for path in root.iterdir()}
    monkeypatch.setattr(page, "MD5", sums)
    return root.as_uri() + "/"


def test_a_download_is_kept_and_not_repeated(published: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "URLS", ("file:///nowhere/", published))  # the first place does not answer
    assert len(mnist(tmp_path / "new", download=True).train_y) == 30
    fetch(tmp_path / "new", urls=("file:///nowhere/",))


def test_a_download_with_a_wrong_checksum(tmp_path: Path):
    """The official checksums, which our own files do not have."""
    place = write(tmp_path / "published").as_uri() + "/"
    with pytest.raises(DataError, match=r"expected the published file, md5 f68b3c2dcbeaaa9fbdd348bbdeb94873, got md5 \w+"):
        fetch(tmp_path / "new", urls=(place,))
    assert not list((tmp_path / "new").iterdir())


def test_the_embedded_digits():
    data, again, other = digits(), digits(), digits(seed=1)
    assert (data.train_x.shape, data.test_x.shape) == ((1347, 1, 8, 8), (450, 1, 8, 8))
    assert torch.equal(data.test_x, again.test_x)
    assert not torch.equal(data.test_x, other.test_x)
    assert (float(data.train.x.max()), data.train.ways, data.test.ways) == (1.0, 10, 10)
    everything = torch.cat([data.train_x, data.test_x]).flatten(1).tolist()
    assert sorted(everything) == sorted(torch.cat([other.train_x, other.test_x]).flatten(1).tolist())
    centroids = torch.stack([data.train.x[data.train.y == k].mean(0).flatten() for k in range(10)])
    nearest = torch.cdist(data.test.x.flatten(1), centroids).argmin(1)
    assert (nearest == data.test.y).float().mean() > 0.85  # the labels are those of the images
    with pytest.raises(ArgumentError, match=r"`test`: expected 1 to 1796 images, got 1797"):
        digits(1797)


@pytest.mark.needs("MNIST")
def test_the_real_files(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()  # the true checksums
    data = mnist(REAL)
    assert (data.train_x.shape, data.test_x.shape) == ((60000, 1, 28, 28), (10000, 1, 28, 28))
    assert data.train_y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert torch.bincount(data.test_y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert float(data.train_x.double().mean()) / 255 == pytest.approx(0.1307, abs=5e-5)
