"""Files that cannot be read: all of them in one error, or left out by name."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from PIL import Image
from tests.domains.images.pictures import CLASSES, SMALL, draw_folder

from quickstudy.domains.images import image_file
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import DataError, DataWarning, TaskError
from quickstudy.tasks import from_folder

PARTS = {"train": CLASSES[:6], "validation": CLASSES[6:8], "test": CLASSES[8:]}
GIVEN = {**SMALL, "split": PARTS}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A broken file in training, in validation and in test."""
    root = draw_folder(tmp_path)
    for name in (CLASSES[0], CLASSES[6], CLASSES[9]):
        (root / name / "1.png").write_bytes(b"\x89PNG cut short")
    return root


def test_all_broken_files_of_all_parts_are_one_error(root: Path):
    with pytest.raises(DataError) as error:
        from_folder(root, **GIVEN)
    for name in (CLASSES[0], CLASSES[6], CLASSES[9]):
        assert str(root / name / "1.png") in error.value.got
    assert error.value.argument.startswith("3 of ")
    assert error.value.expected == "files that can be read"
    assert error.value.do.endswith('broken="leave out" goes on without.')


def test_one_broken_file_is_named_as_before(root: Path):
    for name in (CLASSES[0], CLASSES[6]):
        (root / name / "1.png").unlink()
    with pytest.raises(DataError, match=r"class09.1\.png`: expected an image that can be read, .*Remove it .* goes on without"):
        from_folder(root, **GIVEN)


def test_they_are_left_out_where_one_says_so(root: Path):
    with pytest.warns(DataWarning, match="3 items cannot be read and are left out: .*class00.1.png .*class06.*class09") as caught:
        family = from_folder(root, broken="leave out", **GIVEN)
    assert len(caught) == 1
    files = {name: len(list((root / name).iterdir())) for name in CLASSES}
    for part in (family.train, family.validation, family.test):
        fewer = [files[name] - (name in (CLASSES[0], CLASSES[6], CLASSES[9])) for name in part.class_names]
        assert part.counts.tolist() == fewer
        assert len(part.x) == len(part.y) == sum(fewer)


def test_too_few_that_are_left_are_refused(root: Path):
    many = len(list((root / CLASSES[0]).iterdir()))
    with pytest.raises(TaskError, match=f"expected at least {many} examples of every class, got {many - 1} of class 'class00'"):
        from_folder(root, broken="leave out", **{**GIVEN, "queries": many - 1})


# ---- HEIC ----------------------------------------------------------------------------------------------------------------


def test_heic_without_its_package_is_named_with_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(DataError, match=r'HEIC`: .* got HEIC without pillow-heif\. HEIC needs it: pip install "quickstudy\[h'):
        image_file.open_image(tmp_path / "a.HEIC")


def test_heic_is_opened_by_what_the_package_registers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A stand-in registers a format for PNG's bytes under the name that pillow-heif gives to HEIC."""
    from PIL import PngImagePlugin

    def register() -> None:
        Image.register_open("HEIF", PngImagePlugin.PngImageFile, lambda prefix: prefix.startswith(b"\x89PNG"))

    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(register_heif_opener=register))
    Image.new("RGB", (5, 4), (200, 0, 0)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.heic")
    Image.init()
    try:
        monkeypatch.setattr(image_file, "FORMATS", ())
        assert Preprocessing(4).read(tmp_path / "a.heic")[:, 0, 0].tolist() == [200, 0, 0]
    finally:
        Image.OPEN.pop("HEIF", None)
        Image.ID.remove("HEIF")


@pytest.mark.needs("pillow-heif")
def test_a_real_heic_image(tmp_path: Path):
    import pillow_heif

    pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 10, 10))).save(tmp_path / "a.heic", quality=90)
    red, green, blue = Preprocessing(16).read(tmp_path / "a.heic")[:, 8, 8].tolist()
    assert red > 180 > 40 > max(green, blue)
    content = (tmp_path / "a.heic").read_bytes()
    (tmp_path / "b.heic").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"b\.heic`: expected an image that can be read"):
        Preprocessing(16).read(tmp_path / "b.heic")
