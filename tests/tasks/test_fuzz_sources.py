"""Whatever lies on the disk, a source opens or says what is wrong with it: never another error, never a hang."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from quickstudy.errors import DataError, QuickstudyError
from quickstudy.tasks import Preprocessing, TaskFamily, from_csv, from_folder, read_class_lists

pytestmark = pytest.mark.timeout(120)
FORMATS = ("png", "gif", "bmp", "jpeg", "tiff", "webp", "ppm")
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda n: n not in (".", "..")
)


def image_of(kind: str) -> bytes:
    with tempfile.TemporaryFile() as file:
        Image.new("RGB", (5, 4), (200, 10, 10)).save(file, format=kind)
        file.seek(0)
        return file.read()


BYTES = {kind: image_of(kind) for kind in FORMATS}
CONTENTS = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(list(BYTES.values())),
    st.tuples(st.sampled_from(list(BYTES.values())), st.integers(0, 80), st.binary(max_size=40)).map(
        lambda t: t[0][: t[1]] + t[2]
    ),
    st.tuples(st.sampled_from(list(BYTES.values())), st.integers(0, 80), st.binary(min_size=1, max_size=4)).map(
        lambda t: t[0][: t[1]] + t[2] + t[0][t[1] + len(t[2]) :]
    ),
)


@settings(max_examples=150)
@given(content=CONTENTS)
def test_any_bytes_as_an_image(content: bytes):
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "fuzz.png"
        path.write_bytes(content)
        try:
            pixels = Preprocessing(4).read(path)
        except DataError:
            return
        assert pixels.shape == (3, 4, 4)


@settings(max_examples=80)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: ("filename,label\n" + text).encode(errors="replace")),
        st.lists(st.tuples(st.sampled_from(["a.png", "b.png", "../a.png", "", "x" * 400]), NAMES), max_size=8).map(
            lambda rows: "\n".join(["label,filename", *(f'"{label}",{name}' for name, label in rows)]).encode()
        ),
    )
)
def test_any_bytes_as_a_table(content: bytes):
    with tempfile.TemporaryDirectory() as root:
        for name in ("a.png", "b.png"):
            (Path(root) / name).write_bytes(BYTES["png"])
        (Path(root) / "fuzz.csv").write_bytes(content)
        try:
            family = from_csv(Path(root) / "fuzz.csv", ways=1, shots=0, queries=1, size=4, split=(1, 1, 1))
        except QuickstudyError:
            return
        assert isinstance(family, TaskFamily)


@settings(max_examples=60)
@given(
    tree=st.dictionaries(
        st.lists(st.one_of(NAMES, st.sampled_from(["train", "val", "test", "cat", "dog"])), min_size=1, max_size=3).map(tuple),
        st.tuples(st.sampled_from([".png", ".JPG", ".txt", ""]), CONTENTS),
        max_size=8,
    )
)
def test_any_folders_and_files(tree: dict[tuple[str, ...], tuple[str, bytes]]):
    with tempfile.TemporaryDirectory() as root:
        for parts, (suffix, content) in tree.items():
            path = Path(root).joinpath(*parts[:-1], parts[-1] + suffix)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            except OSError:  # a file where this one needs a folder
                continue
        try:
            family = from_folder(root, ways=1, shots=0, queries=1, size=4)
        except QuickstudyError:
            return
        assert isinstance(family, TaskFamily)


@settings(max_examples=60)
@given(
    content=st.one_of(st.binary(max_size=80), st.text('[]{}",:ab1 \n', max_size=80).map(str.encode)),
    suffix=st.sampled_from(["json", "csv", "txt"]),
)
def test_any_bytes_as_a_list_of_classes(content: bytes, suffix: str):
    with tempfile.TemporaryDirectory() as root:
        for part in ("train", "val", "test"):
            (Path(root) / f"{part}.{suffix}").write_bytes(content)
        try:
            lists = read_class_lists(root)
        except QuickstudyError:
            return
        assert all(isinstance(name, str) for names in lists.values() for name in names)
