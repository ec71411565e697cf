"""MNIST: 70 000 handwritten digits of 28x28, in idx files; and scikit-learn's 1797 of 8x8, which need no download.

    idx:   0 0 type axes | length of each axis, big-endian uint32 | the numbers, last axis fastest          type 8 is uint8

Source: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998; the format is
described on the page of MNIST. `digits`: Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI repository, 1998.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quickstudy.archives import unpacked
from quickstudy.arguments import checked
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, DataError, MissingPackageError
from quickstudy.tasks.sources.download import download as fetch_file

VARIABLE = "MNIST"  # environment variable: the folder, if none is given
CLASSES = 10
UINT8, MOST_AXES = 8, 8  # the type code of idx; most axes accepted
# The authors' server first; it does not always answer.
URLS = ("http://yann.lecun.com/exdb/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/")
MD5 = {  # of the files as published, name.gz
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}
SHA256 = {  # of the unpacked content, so that unpacked or repacked files pass too
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True)
class DigitImages:
    """Images of digits and their labels, for training and for testing.

    Attributes:
        train_x, test_x: uint8 (images, 1, size, size), ink `largest` on ground 0.
        train_y, test_y: int64 (images,), 0..9.
        largest: the largest value of a pixel.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    largest: int = 255

    def __repr__(self) -> str:
        size = tuple(self.train_x.shape[1:])
        return (
            f"DigitImages({len(self.train_x)} for training, {len(self.test_x)} for testing, of shape {size}, 0..{self.largest})"
        )

    @property
    def train(self) -> Examples:
        """Pixels in [0, 1], float32."""
        return Examples(self.train_x.float() / self.largest, self.train_y, CLASSES)

    @property
    def test(self) -> Examples:
        """Pixels in [0, 1], float32."""
        return Examples(self.test_x.float() / self.largest, self.test_y, CLASSES)


@checked
def mnist(root: str | Path | None = None, *, download: bool = False, verify: bool = True) -> DigitImages:
    """MNIST as published: 60 000 images for training and 10 000 for testing.

    Args:
        root: the folder with the four files, with .gz or without (or with MNIST/raw/ below it, as torchvision leaves them); None:
            the one that the environment variable MNIST names.
        download: fetch the official files, verified by checksum, if root lacks them.
        verify: require MNIST's content. False: accept other data in the same four files, such as Fashion-MNIST.

    Raises:
        DataError: no folder; a file that is missing, cut short, in another format or of other content; different numbers of
            images and labels; a label above 9.
    """
    named = os.environ.get(VARIABLE) if root is None else root
    if not named:
        raise DataError(
            "root",
            expected=f"a folder, or the environment variable {VARIABLE} naming one",
            got="neither",
            do="Give mnist(root), mnist(root, download=True) where a network is, or use digits(), which needs no file.",
        )
    folder = Path(named)
    if download:
        fetch(folder)
    train, test = (_part(folder, part, verify) for part in ("train", "t10k"))
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(
            f"root={str(folder)!r}",
            expected="images of one size",
            got=f"{tuple(train[0].shape[2:])} to train and {tuple(test[0].shape[2:])} to test on",
            do="Put the four files of one data set there.",
        )
    return DigitImages(*train, *test)


@checked
def digits(test: int = 450, *, seed: int = 0) -> DigitImages:
    """scikit-learn's 1797 digits of 8x8, ink 16 on ground 0; `test` of them, drawn at random by `seed`, are for testing.

    Raises:
        ArgumentError: test below 1 or above 1796.
        MissingPackageError: no scikit-learn.

    Examples:
        >>> digits = qs.tasks.digits()
        >>> digits.train.x.shape, digits.test.y.shape
        (torch.Size([1347, 1, 8, 8]), torch.Size([450]))
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "digits()",
            expected="scikit-learn, which they are part of",
            got="none installed",
            do="pip install quickstudy[sklearn].",
        ) from error
    data = load_digits()
    x, y = torch.from_numpy(data.images.astype(np.uint8))[:, None], torch.from_numpy(data.target.astype(np.int64))
    if not 0 < test < len(y):
        raise ArgumentError("test", expected=f"1 to {len(y) - 1} images", got=str(test), do="450 is the default.")
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    training, held_out = order[test:], order[:test]
    return DigitImages(x[training], y[training], x[held_out], y[held_out], largest=16)


def fetch(root: Path, urls: tuple[str, ...] | None = None) -> None:
    """Download the four official files into root, unless they are there already, packed or not.

    Args:
        urls: folders to fetch them from, tried in order until one answers; None: the known ones. The checksums stay.

    Raises:
        DataError: a file that none of them has, or with a wrong checksum.
    """
    places = urls or URLS
    for name, md5 in MD5.items():
        if _found(root, name) is not None:
            continue
        for url in places:
            try:
                fetch_file(f"{url}{name}.gz", root / f"{name}.gz", md5=md5)
                break
            except DataError:
                if url == places[-1]:
                    raise


def read_idx(path: str | Path) -> Tensor:
    """The uint8 tensor of an idx file, packed by gzip if its name ends in .gz.

    Raises:
        DataError: no such file; one that is cut short, too long, or not idx with numbers of type uint8.
    """
    return _tensor(unpacked(Path(path)), Path(path))


def _part(root: Path, part: str, verify: bool) -> tuple[Tensor, Tensor]:
    """Images (images, 1, height, width) and labels of "train" or "t10k"."""
    x, y = (_read(root, f"{part}-{name}", verify) for name in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    shape = f"images {tuple(x.shape)} and labels {tuple(y.shape)}"
    if x.ndim != 3 or y.ndim != 1 or len(x) != len(y) or not len(y):
        raise _wrong(root, f"a label for each image of {part}", shape)
    if int(y.max()) >= CLASSES:
        raise _wrong(root, f"labels 0..{CLASSES - 1} in {part}", str(int(y.max())))
    return x[:, None], y.long()


def _read(root: Path, name: str, verify: bool) -> Tensor:
    path = _found(root, name)
    if path is None:
        raise DataError(
            f"root={str(root)!r}",
            expected=f"{name}.gz or {name} in it",
            got="neither" if root.is_dir() else "no such folder",
            do="Put the four files there, or pass download=True where a network is.",
        )
    content = unpacked(path)
    tensor = _tensor(content, path)
    if verify and (found := hashlib.sha256(content).hexdigest()) != SHA256[name]:
        raise DataError(
            str(path),
            expected=f"MNIST's, sha256 {SHA256[name][:12]}... unpacked",
            got=f"{found[:12]}...",
            do="Fetch it again; for other data of this format pass verify=False.",
        )
    return tensor


def _found(root: Path, name: str) -> Path | None:
    places = [folder / (name + ending) for folder in (root, root / "MNIST" / "raw") for ending in (".gz", "")]
    return next((path for path in places if path.is_file()), None)


def _tensor(content: bytes, path: Path) -> Tensor:
    axes = content[3] if len(content) > 3 else 0
    start = 4 + 4 * axes
    if content[:3] != bytes([0, 0, UINT8]) or not 0 < axes <= MOST_AXES or len(content) < start:
        raise DataError(
            str(path),
            expected="an idx file of uint8, which begins with the bytes 0 0 8",
            got=f"one that begins with {' '.join(map(str, content[:4])) or 'nothing'}",
            do="Give the file as it was published; a page that was saved in its place is none.",
        )
    shape = struct.unpack(f">{axes}I", content[4:start])
    length = start + int(np.prod(shape, dtype=object))
    if len(content) != length:
        raise DataError(
            str(path),
            expected=f"{length} bytes, for the shape {shape} that it says it has",
            got=f"{len(content)}",
            do="Delete it and fetch it again.",
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def _wrong(root: Path, expected: str, got: str) -> DataError:
    return DataError(f"root={str(root)!r}", expected=expected, got=got, do="Put the four files of one data set there.")
