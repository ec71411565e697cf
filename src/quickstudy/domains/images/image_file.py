"""One image file of any format as an upright 8-bit picture, grey or colour."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.errors import DataError
from quickstudy.process_wide import without_warnings

LARGEST = 100_000_000  # pixels of a file; a larger one is refused as a decompression bomb
HEIC = (".heic", ".heif")  # read by pillow-heif, where it is installed
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # those of the suffixes; PostScript would start Ghostscript
BROKEN = (  # raised by Pillow's readers for invalid images
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
)


def open_image(file: str | Path | io.BytesIO, near: int | None = None, *, name: str | None = None, largest: int = LARGEST) -> Any:
    """The picture in a file as a PIL image of mode "L" or "RGB"; see `upright`.

    Args:
        near: the size it will be shrunk to, so that a large JPEG is decoded no larger than needed.
        name: of the file, for errors.
        largest: pixels that it may have.

    Raises:
        DataError: no such file, or one that is not an image, is cut short or has more than `largest` pixels; a HEIC image where
            pillow-heif is not installed.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with without_warnings, Image.open(file, formats=_formats(file)) as opened:  # read whatever Pillow can
            if opened.width * opened.height > largest:
                raise ValueError(f"{opened.width} x {opened.height} pixels, more than {largest}")
            if near is not None:
                opened.draft(None, (2 * near, 2 * near))
            return upright(opened)
    except DataError:
        raise
    except (*BROKEN, Image.DecompressionBombError) as error:
        got = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, FileNotFoundError):
            got = "no such file"
        if isinstance(error, UnidentifiedImageError):
            got = "none of " + ", ".join(FORMATS)
        raise DataError(
            str(file) if name is None else name,
            expected="an image that can be read",
            got=got,
            do="Remove it from the folder, or save it again as PNG or JPEG.",
        ) from error


def _formats(file: str | Path | io.BytesIO) -> tuple[str, ...]:
    """The formats that a file may have; of a HEIC image after Pillow has learned to read it."""
    if isinstance(file, io.BytesIO) or Path(file).suffix.lower() not in HEIC:
        return FORMATS
    try:
        import pillow_heif
    except ImportError as error:
        raise DataError(
            str(file),
            expected="an image that can be read",
            got="HEIC without pillow-heif",
            do='HEIC needs it: pip install "quickstudy[heic]". Or save the image as PNG or JPEG.',
        ) from error
    pillow_heif.register_heif_opener()
    return (*FORMATS, "HEIF")


def upright(image: Any) -> Any:
    """A PIL image of any mode as "L" or "RGB": upright by its EXIF, on white where transparent, in 8 bits.

    16 bits become 8 by value, 65535 -> 255.

    Raises:
        ValueError: an image of floats, as their white level is unknown.
    """
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("floats, whose white nobody knows")
    if image.mode.startswith("I"):
        return Image.fromarray(np.rint(np.asarray(image).astype(np.int64).clip(0, 65535) / 257).astype(np.uint8))
    coloured = image.mode not in ("1", "L", "LA", "La")
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB" if coloured else "L")


def is_picture(value: Any) -> bool:
    """Whether a value is a PIL image."""
    return hasattr(value, "convert") and hasattr(value, "mode") and hasattr(value, "size")
