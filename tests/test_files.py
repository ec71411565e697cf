"""Files: whole or as before, whatever happens while they are written; refused by name where they cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from quickstudy.errors import CheckpointError, DataError
from quickstudy.files import read_json, read_text, write_json, write_text, writing


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("disk"), KeyboardInterrupt(), ValueError("x")]
)
def test_what_fails_leaves_the_file_before(tmp_path: Path, error: BaseException):
    write_text(tmp_path / "a.json", "before")
    wanted = DataError if isinstance(error, OSError | SafetensorError) else type(error)

    def cut() -> None:
        with writing(tmp_path / "a.json") as part:
            part.write_text("half")
            raise error

    with pytest.raises(wanted):
        cut()
    assert (tmp_path / "a.json").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_kill_in_the_middle_leaves_the_file_before(tmp_path: Path):
    write_text(tmp_path / "a.json", "before")
    child = os.fork()
    if child == 0:
        with writing(tmp_path / "a.json") as part:
            part.write_text("half")
            os._exit(9)
    os.waitpid(child, 0)
    assert (tmp_path / "a.json").read_text() == "before"
    write_text(tmp_path / "a.json", "after")
    assert (tmp_path / "a.json").read_text() == "after"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_place_where_nothing_can_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"expected room and right to write it, got .* Make room, or give a folder"):
        write_json(tmp_path / "file" / "a.json", {})
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(DataError, match="expected room and right to write it"):
        write_text(tmp_path / "folder.json", "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "expected a thing, got 'utf-8' codec can't decode"),
        (b"{", "got what does not parse as JSON"),
        (b"[1]", r"got JSON that is no mapping: \[1\]"),
        (b"[" * 100_000, "got what does not parse as JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "got what does not parse as JSON"),
        (b" " * 101_000, r"expected a thing, of at most 101000 bytes|got what does not parse"),
        (b" " * 101_001, "expected a thing, of at most 101000 bytes, got 101001 bytes"),
    ],
)
def test_what_is_no_json(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_json(tmp_path / "a", expected="a thing", do="Do it.", limit=101_000)


def test_no_file_and_a_folder(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"expected a thing, got no such file\. Do it\."):
        read_text(tmp_path / "a", expected="a thing", do="Do it.")
    with pytest.raises(CheckpointError, match=r"Is a directory"):
        read_text(tmp_path, expected="a thing", do="Do it.")
