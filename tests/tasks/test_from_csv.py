"""from_csv: tables of image files as tasks, and what is said of tables that are none."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from tests.domains.images.pictures import CLASSES, SMALL, SPLITS, all_names, colour_of, draw, draw_folder
from tests.tasks.rows import seeded

from quickstudy.errors import DataError, TaskError
from quickstudy.tasks import from_csv, from_folder


def write(path: Path, rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.mark.parametrize("header", [("filename", "label"), ("class_name", "image_name"), ("picture", "species")])
def test_a_table_is_its_folder(tmp_path: Path, header: tuple[str, str]):
    folder = draw_folder(tmp_path / "folders")
    (tmp_path / "images").mkdir()
    rows = []
    for path in sorted(folder.rglob("*.png")):
        name = f"{path.parent.name}_{path.name}"
        (tmp_path / "images" / name).write_bytes(path.read_bytes())
        rows.append((path.parent.name, name) if header[0] == "class_name" else (name, path.parent.name))
    asked = {"filename": header[0], "label": header[1]} if header[0] == "picture" else {}
    family = from_csv(write(tmp_path / "all.csv", [header, *rows]), **SMALL, **asked)
    by_folder = from_folder(folder, **SMALL)
    assert family.classes == by_folder.classes
    assert torch.equal(*(one.test.sample(3, generator=seeded(1)).query.x for one in (family, by_folder)))


def test_three_tables_are_the_split(tmp_path: Path):
    draw_folder(tmp_path / "images")
    parts = {"train": CLASSES[:6], "val": CLASSES[6:8], "test": CLASSES[8:]}
    for part, names in parts.items():
        rows = [(f"{number}.png", name) for name in names for number in range(5)]  # found in the folder of the class
        write(tmp_path / f"{part}.csv", [("filename", "label"), *rows])
    family = from_csv(tmp_path, **SMALL)
    assert list(family.classes.values()) == list(parts.values())
    pooled = from_csv(tmp_path, **SMALL, split={"train": CLASSES[4:], "validation": CLASSES[:2], "test": CLASSES[2:4]})
    assert pooled.classes["test"] == CLASSES[2:4]
    write(tmp_path / "val.csv", [("filename", "label"), ("0.png", CLASSES[0])])
    with pytest.raises(TaskError, match=r"`train, validation`: expected parts that share no class, got class 'class00' in both"):
        from_csv(tmp_path, **SMALL)


def test_quotes_blank_lines_and_a_byte_order_mark(tmp_path: Path):
    for name in "abcdef":
        draw(tmp_path / f"{name}, the 1st.png", (9, 9, 9))
        draw(tmp_path / f"{name}.png", (9, 9, 9))
    lines = [f'"{name}, the 1st.png","{name}"\r\n\r\n{name}.png, {name} \r\n' for name in "abcdef"]
    (tmp_path / "all.csv").write_bytes(("filename,label\r\n" + "".join(lines)).encode("utf-8-sig"))
    family = from_csv(tmp_path / "all.csv", ways=2, shots=1, queries=1, size=4, split=(2, 2, 2))
    assert sorted(all_names(family)) == list("abcdef")
    assert family.train.counts.tolist() == [2, 2]


@pytest.mark.needs("the published splits")
def test_mini_imagenet(tmp_path: Path):
    """The published lists as they are, over drawn images in the data set's layout: one folder `images` of all files."""
    for label, part in enumerate(("train", "val", "test")):
        seen: dict[str, int] = {}
        with (SPLITS / "miniimagenet_ravi" / f"{part}.csv").open() as file:
            rows = list(csv.reader(file))[1:]
        few = []
        for name, wnid in rows:
            if seen.setdefault(wnid, 0) < 2:
                seen[wnid] += 1
                few.append((name, wnid))
                draw(tmp_path / "images" / name, colour_of(label), size=(6, 5))
        write(tmp_path / f"{part}.csv", [("filename", "label"), *few])
    family = from_csv(tmp_path, ways=5, shots=1, queries=1, size=4)
    assert [len(names) for names in family.classes.values()] == [64, 16, 20]
    pooled = from_csv(tmp_path, ways=5, shots=1, queries=1, size=4, split=SPLITS / "miniimagenet_ravi")
    assert pooled.classes == family.classes
    with pytest.raises(
        DataError, match=r"train\.csv, line 4`: expected a file in .*, got 'n01532829\d+\.jpg', which is not there"
    ):
        from_csv(SPLITS / "miniimagenet_ravi", folder=tmp_path / "images", ways=5, shots=1, queries=1, size=4)


# ---- bad tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file,label\na.png,x\n",
            r"expected the columns filename and label \(or image_name and class_name\), got file, label: 'filename' is missing\. "
            r"Rename 'file' to 'filename', or give filename='file'\.",
        ),
        ("image_name,klass\na.png,x\n", r"got image_name, klass: 'class_name' is missing\. Rename 'klass' to 'class_name'"),
        ("", r"got no header: 'filename' is missing\. Write the names of the columns into the first line"),
        (
            "filename,label\na.png,x\n",
            r"a\.csv, line 2`: expected a file in .*, got 'a\.png', which is not there\. Name the folder of the files with `",
        ),
        ("filename,label\n,x\n", r"line 2`: expected 2 values, got 2: ',x'\. Complete the row"),
        ("filename,label\na\0b.png,x\n", r"line 2`: expected a file in .*which is not there|expected a CSV in UTF-8"),
        (f"filename,label\n{'a' * 5000},x\n", r"line 2`: expected a file in .*which is not there"),
        ("filename,label\na.png\n", r"line 2`: expected 2 values, got 1: 'a\.png'\. Complete the row"),
        ("filename,label\na.png,\n", r"line 2`: expected 2 values, got 2: 'a\.png,'\. Complete the row"),
        ("filename,label\n", r"expected rows below the header, got none\. Write what is seen and its label into each row"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        from_csv(tmp_path / "a.csv", **SMALL)


def test_no_table(tmp_path: Path):
    with pytest.raises(DataError, match=r"b\.csv`: expected a CSV file, got no such file\. Give the path of the CSV"):
        from_csv(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"expected a CSV file, got a folder without train\.csv, val\.csv and test\.csv"):
        from_csv(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a\.csv`: expected a CSV in UTF-8, got .*\. Save it as CSV, UTF-8"):
        from_csv(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("picture,kind\n")
    with pytest.raises(DataError, match=r"expected the column species, got picture, kind: 'species' is missing\. "):
        from_csv(tmp_path / "a.csv", filename="picture", label="species")


@pytest.mark.parametrize(
    ("header", "row", "call"),
    [
        (("width", "height", "intent"), lambda n: (n, -n, "abcd"[n % 4]), "features=['width', 'height'], label='intent')"),
        (("width", "label"), lambda n: (n, n % 4), "features=['width'])"),
        (("sentence", "intent"), lambda n: (f"the {n}th of them", "abcd"[n % 4]), "text='sentence', label='intent')"),
        (("picture", "species"), lambda n: (f"{n}.png", "abcd"[n % 4]), "filename='picture', label='species'"),
        (tuple("abcdefghi"), lambda n: (*range(n, n + 8), "abcd"[n % 4]), "features='*', label='i')"),
    ],
)
def test_a_table_without_files_is_told_its_call(tmp_path: Path, header, row, call):
    path = write(tmp_path / "all.csv", [header, *(row(number) for number in range(20))])
    with pytest.raises(DataError) as error:
        from_csv(path)
    assert call in error.value.do
    assert "filename" in call or f" call from_csv({str(path)!r}, {call}" in error.value.do
    if "features" in call:
        assert "FewShotClassifier" in error.value.do
        assert "from_groups" in error.value.do
        given = {"features": list(header[:-1]), "label": header[-1]}
        assert from_csv(path, **given, ways=1, queries=1, split=(2, 1, 1)).train.x.shape[1:] == (len(header) - 1,)


def test_a_table_that_does_not_say_what_it_is_is_answered_by_the_nearest_column(tmp_path: Path):
    with pytest.raises(DataError, match="'filename' is missing"):
        from_csv(write(tmp_path / "all.csv", [("one", "two"), *((f"a{n}", f"b{n}") for n in range(20))]))
