"""Files that quickstudy writes and reads.

written   beside its place, flushed to the disk, renamed: a kill or a full disk leaves the file that was there before
read      whole and below a limit of bytes, or refused with the file's name; nothing in a file is ever executed or imported
sealed    JSON that holds the hash of itself, and of the tensors that belong to it: a flipped bit is refused, wherever it is
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from quickstudy.errors import CheckpointError, DataError, QuickstudyError

LIMIT = 64 * 2**20  # bytes of a text file that is read
SEAL = "sha256"  # the key of a seal


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
        raise _unwritable(path, error, do) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Text in UTF-8, by `writing`."""
    with writing(path) as part:
        part.write_text(text, encoding="utf-8")


def append_text(path: str | Path, text: str) -> None:
    """Text in UTF-8 at the end of a file.

    Raises:
        DataError: no room, or no right, to write; a folder that is gone.
    """
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _unwritable(path, error, "Make room, or bring back the folder, and resume the run.") from error


def write_json(path: str | Path, value: Any, indent: int | None = None) -> None:
    """JSON and a line's end, by `writing`."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def sealed(value: Mapping[str, Any], *beside: Path) -> dict[str, Any]:
    """A mapping with its seal: the hash of what it says, in whatever order, and of the files that belong to it."""
    plain = json.loads(json.dumps({name: one for name, one in value.items() if name != SEAL}))
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for path in beside:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return plain | {SEAL: digest.hexdigest()}


def write_sealed(path: str | Path, value: Mapping[str, Any], indent: int | None = None) -> None:
    """JSON with its seal, by `writing`."""
    write_json(path, sealed(value), indent)


def write_with_tensors(path: Path, value: Mapping[str, Any], beside: Path, tensors: dict[str, Tensor], indent: int = 2) -> None:
    """Tensors as safetensors, and JSON sealed with them: both whole before either is in its place, by `writing`."""
    with writing(path) as text, writing(beside) as part:
        save_file(tensors, part)
        text.write_text(json.dumps(sealed(value, part), indent=indent) + "\n", encoding="utf-8")


def read_sealed(path: str | Path, beside: Sequence[Path] = (), *, expected: str, do: str, limit: int = LIMIT) -> dict[str, Any]:
    """The mapping of a sealed JSON file, without its seal.

    Args:
        beside: the files that belong to it.
        expected, do, limit: see `read_text`.

    Raises:
        CheckpointError: see `read_json`; no seal, or that of other content.
    """
    found = read_json(path, expected=expected, do=do, limit=limit)
    held = found.pop(SEAL, None)
    try:
        wanted = sealed(found, *beside)[SEAL]
    except OSError as error:
        got = f"what cannot be read: {' '.join(str(error).split())[:200]}"
        raise CheckpointError(str(path), expected=f"{expected}, and its files", got=got, do=do) from error
    if held != wanted:
        got = "none" if held is None else f"{str(held)[:12]}... of other content: a file was changed or damaged"
        raise CheckpointError(str(path), expected=f"{expected}, with its seal `{SEAL}`", got=got, do=do)
    return found


def read_text(
    path: str | Path,
    *,
    expected: str,
    do: str,
    name: str | None = None,
    limit: int = LIMIT,
    error: type[QuickstudyError] = CheckpointError,
) -> str:
    """A text file in UTF-8, with the mark of its byte order or without.

    Args:
        expected, do: of the error.
        name: of the error, if not the path.
        limit: bytes that it may have.
        error: the class of the error.

    Raises:
        CheckpointError, or `error`: no such file, one that may not be read, a larger one, or other bytes.
    """
    path = Path(path)
    name = str(path) if name is None else name
    try:
        size = path.stat().st_size
        if size > limit:
            raise error(name, expected=f"{expected}, of at most {limit} bytes", got=f"{size} bytes", do=do)
        return path.read_bytes().decode("utf-8-sig")
    except QuickstudyError:
        raise
    except (OSError, UnicodeDecodeError) as failed:
        missing = isinstance(failed, FileNotFoundError | NotADirectoryError)
        got = "no such file" if missing else " ".join(str(failed).split())[:200]
        raise error(name, expected=expected, got=got, do=do) from failed


def parsed(text: str, path: str | Path, *, expected: str, do: str, error: type[QuickstudyError] = CheckpointError) -> Any:
    """What the JSON `text` of the file `path` says.

    Raises:
        CheckpointError, or `error`: no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as failed:  # a number of too many digits is a ValueError as well
        raise error(str(path), expected=expected, got=f"what does not parse as JSON: {failed}", do=do) from failed


def read_json(path: str | Path, *, expected: str, do: str, limit: int = LIMIT) -> dict[str, Any]:
    """The mapping of a JSON file.

    Raises:
        CheckpointError: see `read_text`; no JSON, or JSON that is no mapping.
    """
    found = parsed(read_text(path, expected=expected, do=do, limit=limit), path, expected=expected, do=do)
    if not isinstance(found, dict):
        raise CheckpointError(str(path), expected=expected, got=f"JSON that is no mapping: {str(found)[:60]}", do=do)
    return found


def read_tensors(path: str | Path, *, do: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    Raises:
        CheckpointError: no such file, or another one: a pickle is never opened, since it can run code.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        got = f"what does not read as one ({' '.join(str(error).split())[:200]}); a pickle is never opened, since it can run code"
        raise CheckpointError(str(path), expected="a whole safetensors file", got=got, do=do) from error


def read_published(path: str | Path, sha256: str, *, do: str) -> bytes:
    """The content of a published file, such as weights, which its hash names.

    Raises:
        DataError: no such file, or another version of it.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(str(path), expected="the published file", got=" ".join(str(error).split())[:200], do=do) from error
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        expected = f"the published file, sha256 {sha256[:12]}..."
        raise DataError(str(path), expected=expected, got=f"{found[:12]}...", do=do)
    return content


def _unwritable(path: str | Path, error: Exception, do: str) -> DataError:
    return DataError(str(path), expected="room and right to write it", got=" ".join(str(error).split())[:200], do=do)
