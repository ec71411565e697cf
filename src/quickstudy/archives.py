"""Packed files, unpacked below a limit: a few bytes of a zip or of a gzip may stand for gigabytes.

member of a zip   <=  `member` bytes,      all members together  <=  `total` bytes,      a gzip  <=  `limit` bytes
"""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from quickstudy.errors import DataError

MEMBER, TOTAL = 2**24, 2**31  # bytes: 16 MiB, 2 GiB
BROKEN = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
DO = "Delete it and fetch it again."


def members(
    path: Path, wanted: Callable[[str], object], *, member: int = MEMBER, total: int = TOTAL
) -> Iterator[tuple[str, bytes]]:
    """The members of a zip whose names are `wanted`, and their bytes, sorted by name.

    Args:
        member: bytes that one may have, unpacked.
        total: bytes that they may have together.

    Raises:
        DataError: no whole zip, a member that is encrypted or packed in another way, or more bytes than allowed.

    Examples:
        >>> import zipfile
        >>> from pathlib import Path
        >>> from quickstudy.archives import members
        >>> with zipfile.ZipFile("a.zip", "w") as archive:
        ...     archive.writestr("a.txt", "text")
        ...     archive.writestr("b.png", "pixels")
        >>> dict(members(Path("a.zip"), lambda name: name.endswith(".txt")))
        {'a.txt': b'text'}
    """
    left = total
    try:
        with zipfile.ZipFile(path) as archive:
            for one in sorted(filter(lambda one: wanted(one.filename), archive.infolist()), key=lambda one: one.filename):
                allowed = min(member, left)
                if one.file_size > allowed:
                    raise _large(path, f"{one.filename!r} of {one.file_size} bytes, unpacked", member, total)
                content = archive.read(one)  # zipfile stops at `file_size`
                left -= len(content)
                yield one.filename, content
    except DataError:
        raise
    except BROKEN as error:
        raise DataError(
            str(path), expected="a whole zip without a password", got=f"one that is cut short or broken ({error})", do=DO
        ) from error


def unpacked(path: Path, limit: int = TOTAL) -> bytes:
    """The bytes of a file, unpacked if its name ends in .gz.

    Raises:
        DataError: no such file, one that is broken, or more bytes than `limit`.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(limit + 1)
    except BROKEN as error:
        raise DataError(
            str(path),
            expected="a whole file" + (" packed by gzip" if path.suffix == ".gz" else ""),
            got=f"one that is missing, cut short or broken ({error})",
            do=DO,
        ) from error
    if len(content) > limit:
        raise _large(path, f"more than {limit} bytes, unpacked", limit, limit)
    return content


def _large(path: Path, got: str, member: int, total: int) -> DataError:
    expected = f"at most {total} bytes, unpacked" + ("" if member == total else f", and {member} of each member")
    return DataError(str(path), expected=expected, got=got, do="Get it from whom published it: it is not what it should be.")
