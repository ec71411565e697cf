"""Preprocessing: image files of every kind as a learner sees them, and back from plain data."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.domains.images.pictures import draw
from tests.tasks import characters

from quickstudy.domains.images import image_file as files
from quickstudy.domains.images import omniglot_images
from quickstudy.errors import ArgumentError, DataError, ShapeError
from quickstudy.tasks import Omniglot, Preprocessing, Strokes


def save(path: Path, image: Image.Image, **how: object) -> Path:
    image.save(path, **how)
    return path


# ---- files of every kind ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "PA"])
def test_images_of_every_mode(tmp_path: Path, mode: str):
    """A dark left half and a white right one, whatever the mode."""
    image = Image.new("RGB", (40, 20), (0, 0, 0))
    image.paste((255, 255, 255), (20, 0, 40, 20))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    elif mode == "PA":
        image = image.convert("P").convert("PA")
    else:
        image = image.convert(mode)
    path = save(tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr", "PA") else "a.png"), image)
    for channels in (1, 3):
        pixels = Preprocessing(10, channels).read(path)
        assert (pixels.shape, pixels.dtype) == ((channels, 10, 10), torch.uint8)
        assert int(pixels[:, :, :4].max()) < 5
        assert int(pixels[:, :, 6:].min()) > 250
        assert torch.equal(Preprocessing(10, channels, invert=True).read(path), 255 - pixels)


def test_sixteen_bits_keep_their_value(tmp_path: Path):
    path = save(tmp_path / "a.png", Image.fromarray(np.full((6, 6), 100 * 257, np.uint16)))
    assert Preprocessing(6, 1).read(path).unique().tolist() == [100]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 4, 8))
    path = save(tmp_path / "a.png", image.quantize(4) if mode == "P" else image.convert(mode))
    pixels = Preprocessing(8, 3).read(path)
    assert pixels[:, 4, 6].tolist() == [255, 255, 255]
    assert pixels[1, 4, 1] < 100
    assert Preprocessing(8, 1, invert=True).read(path)[0, 4, 6] == 0


@pytest.mark.parametrize(("tag", "top"), [(1, True), (3, False)])
def test_a_photograph_is_turned_upright(tmp_path: Path, tag: int, top: bool):
    image = Image.new("RGB", (8, 8), "black")
    image.paste("white", (0, 0, 8, 4))  # the upper half
    exif = image.getexif()
    exif[0x0112] = tag
    pixels = Preprocessing(8, 1).read(save(tmp_path / "a.jpg", image, exif=exif))
    assert (int(pixels[0, 1, 4]) > 200) == top
    assert (int(pixels[0, 6, 4]) > 200) == (not top)


def test_a_pixel_is_the_mean_of_those_it_covers_and_long_ends_are_cut(tmp_path: Path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    path = save(tmp_path / "a.png", Image.fromarray(grey))
    want = torch.tensor(grey, dtype=torch.float64).view(4, 2, 4, 2).mean((1, 3))
    assert float((Preprocessing(4, 1).read(path)[0].double() - want).abs().max()) <= 0.5
    wide = np.zeros((8, 16), dtype=np.uint8)
    wide[:, 4:12] = grey
    assert torch.equal(
        Preprocessing(4, 1).read(save(tmp_path / "b.png", Image.fromarray(wide)))[0], Preprocessing(4, 1).read(path)[0]
    )


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path: Path):
    ramp = np.linspace(0, 255, 800).astype(np.uint8)
    path = save(tmp_path / "a.jpg", Image.fromarray(np.broadcast_to(ramp, (800, 800)).copy()), quality=95)
    assert files.open_image(path, near=20).size == (100, 100)
    near, whole = Preprocessing(20, 1).read(path), Preprocessing(20, 1).of_image(Image.open(path))
    assert int((near.int() - whole.int()).abs().max()) <= 3


# ---- what is no image ---------------------------------------------------------------------------------------------------


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims to be so large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "none of PNG, JPEG"),
        (b"no image at all", "none of PNG, JPEG"),
        (b"\x89PNG\r\n\x1a\n cut short", r"\w+"),
        (png_of(60000, 60000), "exceeds limit of"),
        (png_of(10000, 10001), "10000 x 10001 pixels"),
        (png_of(8, 8), r"\w+"),
    ],
    ids=["empty", "text", "cut short", "a bomb", "too large", "no pixels"],
)
def test_a_file_that_is_none(tmp_path: Path, content: bytes, got: str):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    message = (
        rf"`.*a\.png`: expected an image that can be read, got .*{got}.*\. Remove it from the folder, or save it again as PNG"
    )
    with pytest.raises(DataError, match=message):
        Preprocessing(4).read(path)


def test_no_file_and_floats(tmp_path: Path):
    with pytest.raises(DataError, match=r"expected an image that can be read, got no such file\. Remove it"):
        Preprocessing(4).read(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"got floats, whose white nobody knows\."):
        Preprocessing(4).read(save(tmp_path / "a.tif", Image.new("F", (4, 4))))


# ---- normalisation ------------------------------------------------------------------------------------------------------


def test_apply_is_the_equation():
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    mean, std = (0.2, 0.4, 0.6), (0.5, 1.0, 2.0)
    seen = Preprocessing(4, 3, mean=mean, std=std).apply(images)
    want = (images.double() / 255 - torch.tensor(mean).double()[:, None, None]) / torch.tensor(std).double()[:, None, None]
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen.double(), want, atol=1e-6, rtol=0)
    assert torch.equal(Preprocessing(4, 3, mean=mean, std=std).apply(images[2]), seen[2])
    assert torch.equal(Preprocessing(4, 3, mean=mean, std=std).apply(images.double() / 255), seen)
    assert torch.equal(Preprocessing(4, 3).apply(images), images / 255)


def test_fitted_images_have_mean_0_and_deviation_1(monkeypatch: pytest.MonkeyPatch):
    images = (torch.randn(50, 3, 6, 6) * torch.tensor([10.0, 20.0, 5.0])[:, None, None] + 100).clamp(0, 255).to(torch.uint8)
    fitted = Preprocessing(6).fitted(images)
    seen = fitted.apply(images).double()
    torch.testing.assert_close(seen.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.std((0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-5, rtol=0)
    monkeypatch.setattr("quickstudy.domains.images.preprocessing.AT_ONCE", 7)
    assert Preprocessing(6).fitted(images).mean == pytest.approx(fitted.mean, rel=1e-12)
    flat = Preprocessing(6).fitted(torch.full_like(images, 30))
    assert flat.std == (1.0, 1.0, 1.0)
    assert float(flat.apply(torch.full_like(images, 30)).abs().max()) < 1e-6


def test_plain_data_and_back():
    given = Preprocessing(28, 3, True, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    assert Preprocessing.from_dict(json.loads(json.dumps(given.to_dict()))) == given
    assert Preprocessing.from_dict(Preprocessing(5, 1).to_dict()) == Preprocessing(5, 1)
    for bad in (
        {},
        {"channels": 3},
        {"size": "x", "channels": 1},
        given.to_dict() | {"colour": 1},
        {"size": 3, "channels": 1, "mean": 2},
    ):
        with pytest.raises(
            ArgumentError, match=r"`preprocessing`: expected size, channels, invert, mean, std, ground, got .*\. Take the"
        ):
            Preprocessing.from_dict(bad)


def test_what_cannot_be():
    with pytest.raises(
        ShapeError, match=r"`images`: expected \(\.\.\., 3, height, width\), got \(2, 1, 4, 4\)\. Bring image files"
    ):
        Preprocessing(4, 3, mean=(0.0,) * 3, std=(1.0,) * 3).apply(torch.zeros(2, 1, 4, 4))
    with pytest.raises(ArgumentError, match=r"`mean, std`: expected 3 numbers each, .*, got \(0\.0,\) and \(1\.0,\)\. Take both"):
        Preprocessing(4, 3, mean=(0.0,), std=(1.0,))
    with pytest.raises(ArgumentError, match=r"`mean, std`: expected 1 numbers each, .*, got None and \(1\.0,\)"):
        Preprocessing(4, 1, std=(1.0,))
    with pytest.raises(ArgumentError, match=r"`std`: expected numbers above 0, got \(0\.0,\)\. 1 leaves a channel as it is"):
        Preprocessing(4, 1, mean=(0.0,), std=(0.0,))
    with pytest.raises(ArgumentError, match=r"`size`: expected 1 pixel or more, got 0\. 28 and 84 are common"):
        Preprocessing(0)
    with pytest.raises(ArgumentError, match=r"`channels`: expected 1 \(grey\) or 3 \(colour\), got 2\. Give one of them"):
        Preprocessing(4, 2)


# ---- the data sets of our own -------------------------------------------------------------------------------------------


def test_a_file_of_omniglot_is_read_as_its_tasks_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(omniglot_images, "PARTS", characters.CLASSES)
    root = characters.write_tree(tmp_path, characters.files())
    split = {
        "train": ["Alpha0/character01", "Alpha1/character02"],
        "validation": ["Alpha2/character03"],
        "test": ["Omega0/character01"],
    }
    family = Omniglot(root, ways=1, shots=1, queries=1, split=split, rotations=False)
    assert family.classes == split
    assert family.preprocessing == Preprocessing(28, 1, invert=True)
    drawings = sorted((root / "images_background" / "Alpha1" / "character02").glob("*.png"))
    read = torch.stack([family.preprocessing.read(path) for path in drawings])
    assert torch.equal(read, family.train.x[family.train.y == 1])
    assert torch.equal(family.preprocessing.apply(read), family.train.examples().x[family.train.y == 1])
    turned = Omniglot(root, ways=1, shots=1, queries=1, split=split)
    again = Omniglot(root, ways=1, shots=1, queries=1, split=turned.classes)
    assert again.classes == turned.classes
    assert len(again.train.class_names) == 8


def test_strokes_say_how_they_were_drawn(tmp_path: Path):
    family = Strokes(ways=2, shots=1, queries=1, classes=(3, 3, 3), examples=3, size=20)
    assert family.with_(shots=2).to("cpu").preprocessing == Preprocessing(20, 1, invert=True)
    drawing = family.test.x[0]
    path = save(tmp_path / "a.png", Image.fromarray(255 - drawing[0].numpy()))
    assert torch.equal(family.preprocessing.read(path), drawing)


def test_reading_needs_no_more_than_a_path(tmp_path: Path):
    path = draw(tmp_path / "a.png", (10, 20, 30))
    assert torch.equal(Preprocessing(5).read(str(path)), Preprocessing(5).read(path))


def test_a_postscript_program_that_is_called_an_image_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Pillow would hand it to Ghostscript, by its content and whatever its name. The control: Pillow knows it for PostScript."""
    from PIL import EpsImagePlugin, Image

    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **kwargs: started.append(args))
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(run) print\nshowpage\n%%EOF\n"
    (tmp_path / "cat.png").write_bytes(program)
    with Image.open(tmp_path / "cat.png") as control:
        assert control.format == "EPS"
    with pytest.raises(DataError, match="expected an image that can be read"):
        Preprocessing(8).read(tmp_path / "cat.png")
    assert started == []
