"""Files that quickstudy writes and reads.

written   beside its place, flushed to the disk, renamed: a kill or a full disk leaves the file that was there before
read      whole and below a limit of bytes, or refused with the file's name; nothing in a file is ever executed or imported
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from quickstudy.errors import CheckpointError, DataError

LIMIT = 64 * 2**20  # bytes of a text file that is read


@contextmanager
def writing(path: str | Path, *, do: str = "Make room, or give a folder that you may write to.") -> Iterator[Path]:
    """A path beside `path` to write to. It takes the place of `path` when the block ends, and is removed where the block fails.

    Raises:
        DataError: no room, or no right, to write.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        got = " ".join(str(error).split())[:200]
        raise DataError(str(path), expected="room and right to write it", got=got, do=do) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Text in UTF-8, by `writing`."""
    with writing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any, indent: int | None = None) -> None:
    """JSON and a line's end, by `writing`."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def sha256(path: str | Path) -> str:
    """The hash of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: str | Path, *, expected: str, do: str, limit: int = LIMIT) -> str:
    """A text file in UTF-8.

    Args:
        expected, do: of the error.
        limit: bytes that it may have.

    Raises:
        CheckpointError: no such file, one that may not be read, a larger one, or other bytes.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > limit:
            raise CheckpointError(str(path), expected=f"{expected}, of at most {limit} bytes", got=f"{size} bytes", do=do)
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = "no such file" if isinstance(error, FileNotFoundError | NotADirectoryError) else " ".join(str(error).split())[:200]
        raise CheckpointError(str(path), expected=expected, got=got, do=do) from error


def read_json(path: str | Path, *, expected: str, do: str, limit: int = LIMIT) -> dict[str, Any]:
    """The mapping of a JSON file.

    Raises:
        CheckpointError: see `read_text`; no JSON, or JSON that is no mapping.
    """
    text = read_text(path, expected=expected, do=do, limit=limit)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits is a ValueError as well
        raise CheckpointError(str(path), expected=expected, got=f"what does not parse as JSON: {error}", do=do) from error
    if not isinstance(found, dict):
        raise CheckpointError(str(path), expected=expected, got=f"JSON that is no mapping: {str(found)[:60]}", do=do)
    return found
