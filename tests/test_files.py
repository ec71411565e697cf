"""Files: whole or as before, whatever happens while they are written; refused by name where they cannot be read."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from safetensors import SafetensorError

import quickstudy
from quickstudy.errors import CheckpointError, DataError
from quickstudy.files import append_text, read_json, read_text, write_json, write_text, writing


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


# ---- one place for each kind of reading ------------------------------------------------------------------------------------

ALONE = "artifacts/alone/predict"  # the program beside an export, which runs without quickstudy
READERS = {  # what opens, unpacks or parses a file  ->  the modules that may
    r"json\.loads?\(": {ALONE, "files", "artifacts/run_folder", "artifacts/checkpoint", "cli/config"},
    r"load_file|safe_open": {"files", "artifacts/checkpoint"},
    r"yaml\.(\w*load|Loader)": {"plain_yaml"},
    r"zipfile|tarfile|gzip": {"archives"},
    r"Image\.open": {ALONE, "domains/images/image_file"},
    r"\.open\(|\.read_text\(|\.read_bytes\(|\bopen\(\w*path": {
        ALONE,
        "files",
        "archives",
        "artifacts/run_folder",  # its metrics, of which the last line may be cut
        "domains/images/omniglot_images",  # one image
        "domains/images/image_file",
        "artifacts/environment",  # of the machine
        "report/page",  # of the package
        "tasks/sources/csv_table",
        "tasks/sources/download",
    },
    r"np\.(load|fromfile|genfromtxt)|torch\.(load|jit\.load|hub)": {
        "domains/images/lite0",
        "domains/audio/voice_embedding",
    },  # weights_only, of one file that its sha256 names
    r"\bpickle\b|joblib|marshal|shelve|\b(eval|exec)\(|__import__": set(),
    r"import_module\(": {
        "registry",  # modules that the package or an installed one names
        "cli/__init__",
        "artifacts/tracking",
        "artifacts/export",
        "artifacts/description",  # packages of quickstudy itself, whatever a file says
        "domains/tables/select/extras",
        "tasks/sources/from_huggingface",
    },
}


@pytest.mark.parametrize("reader", READERS)
def test_files_are_read_in_one_place(reader: str):
    """So that every file has its limits and its errors, and none runs code."""
    root = Path(quickstudy.__file__).parent
    found = {}
    for path in root.rglob("*.py"):
        for line in re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL).splitlines():
            code = re.sub(r'"[^"]*"|#.*', "", line)
            if re.search(reader, code) and not re.search(r"\.eval\(\)|self\.open|Run\.open|webbrowser", code):
                found.setdefault(path.relative_to(root).with_suffix("").as_posix(), code.strip())
    assert found.keys() <= READERS[reader], {name: found[name] for name in found.keys() - READERS[reader]}


def test_a_folder_that_is_gone(tmp_path: Path):
    append_text(tmp_path / "a", "1\n")
    append_text(tmp_path / "a", "2\n")
    assert (tmp_path / "a").read_text() == "1\n2\n"
    with pytest.raises(DataError, match=r"expected room and right to write it, got .*No such file.*bring back the folder"):
        append_text(tmp_path / "gone" / "a", "1\n")
