"""Packed files: what they say they hold is read below a limit, and what is broken, encrypted or a bomb is refused by name."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

from quickstudy.archives import members, unpacked
from quickstudy.domains.images.image_file import open_image
from quickstudy.errors import DataError


def zipped(path: Path, content: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def everything(path: Path, **limits):
    return dict(members(path, lambda name: True, **limits))


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_come_sorted_and_whole(tmp_path, how):
    path = zipped(tmp_path / "a.zip", {"b": b"2" * 999, "a/c": b"1", "d": b""}, how)
    assert list(everything(path).items()) == [("a/c", b"1"), ("b", b"2" * 999), ("d", b"")]
    assert list(dict(members(path, lambda name: "/" in name))) == ["a/c"]


def test_limits_of_a_member_and_of_all(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a": b"0" * 600, "b": b"0" * 600})
    assert len(everything(path, member=600, total=1200)) == 2
    with pytest.raises(DataError, match=r"expected at most 5000 bytes, unpacked, and 500 of each member, got 'a' of 600 bytes"):
        everything(path, member=500, total=5000)
    with pytest.raises(DataError, match=r"expected at most 1000 bytes, unpacked, and 600 of each member, got 'b' of 600 bytes"):
        everything(path, member=600, total=1000)


def test_a_bomb_takes_no_memory(tmp_path):
    """Half a GiB of zeros in half a MiB."""
    zipped(tmp_path / "bomb.zip", {"a.png": bytes(2**29)})
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(2**29), 6))
    program = """
import resource, sys
from pathlib import Path
from quickstudy.archives import members, unpacked
from quickstudy.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read in (lambda: dict(members(Path("bomb.zip"), bool)), lambda: unpacked(Path("bomb.gz"), 2**20)):
    try:
        read()
    except DataError as error:
        print("refused", error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    *refused, grown = done.stdout.splitlines()
    assert len(refused) == 2
    assert int(grown) < 40  # MiB


def test_what_is_no_whole_zip(tmp_path):
    whole = zipped(tmp_path / "a.zip", {"a": b"text" * 99}).read_bytes()
    encrypted = bytearray(whole)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[whole.index(mark) + place] |= 1
    strange = bytearray(whole)
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        strange[whole.index(mark) + place] = 99
    damaged = bytearray(whole)
    damaged[40] ^= 0xFF
    for content, said in (
        (b"", "not a zip"),
        (whole[:-30], "not a zip"),
        (encrypted, "password required"),
        (strange, "compression"),
        (damaged, "Error|Bad CRC|invalid"),
    ):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(DataError, match=rf"expected a whole zip without a password, got .*({said})"):
            everything(tmp_path / "a.zip")


def test_a_gzip_and_a_plain_file_below_a_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"0" * 100)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"0" * 100))
    for path in (tmp_path / "a", tmp_path / "a.gz"):
        assert unpacked(path, 100) == b"0" * 100
        with pytest.raises(DataError, match="expected at most 99 bytes, unpacked, got more than 99 bytes"):
            unpacked(path, 99)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"0" * 100)[:-9])
    for path in (tmp_path / "a.gz", tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match="missing, cut short or broken"):
            unpacked(path)


def png(width: int, height: int) -> bytes:
    """A PNG that says it is of this size, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(width + 1))) + chunk(b"IEND", b"")


def test_pixels_have_a_limit_in_a_file_and_in_a_zip(tmp_path):
    (tmp_path / "a.png").write_bytes(png(14_000, 14_000))
    with pytest.raises(DataError, match=r"a\.png`: expected an image that can be read, got .*14000 x 14000 pixels|exceeds limit"):
        open_image(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"`part/a\.png`: expected an image .* 14000 x 14000 pixels|exceeds limit"):
        open_image(io.BytesIO(png(14_000, 14_000)), name="part/a.png")
    (tmp_path / "b.png").write_bytes(png(20, 20))
    with pytest.raises(DataError, match="20 x 20 pixels, more than 399"):
        open_image(tmp_path / "b.png", largest=399)
