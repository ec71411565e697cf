"""CoNLL files: words, tags and comments as they stand, in the forms that are about, and what is no such file."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.needs import needs

import quickstudy as qs
from quickstudy.domains.text.conll import Sentence, read_conll
from quickstudy.errors import DataError, DataWarning

XSID_FORM = """# id = 1
# text-en = Is it = today?
# intent = weather/find
1\tKommer\tweather/find\tO
2\ti\tweather/find\tB-datetime
3\tdag \tweather/find\tI-datetime

# id = 2
# a comment
1\t#\tweather/find\tO
2\t# x = y\tweather/find\tB-datetime


"""


def test_the_form_of_xsid(tmp_path: Path):
    path = tmp_path / "da.conll"
    path.write_text(XSID_FORM, encoding="utf-8-sig", newline="\r\n")
    first, second = read_conll(path, word=1)
    comments = {"id": "1", "text-en": "Is it = today?", "intent": "weather/find"}
    assert first == Sentence(["Kommer", "i", "dag"], ["O", "B-datetime", "I-datetime"], comments, f"{path}, line 1")
    assert (second.tokens, second.comments, second.where) == (["#", "# x = y"], {"id": "2"}, f"{path}, line 8")
    assert read_conll(path, word=0, tag=2)[0].tags == ["weather/find"] * 3


def test_the_form_of_conll_2003(tmp_path: Path):
    path = tmp_path / "en.conll"
    path.write_text("-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n# # B-NP B-MISC\n")
    found = read_conll(path)
    assert [(one.tokens, one.tags) for one in found] == [(["EU", "rejects"], ["B-ORG", "O"])]


def test_lines_without_a_word_are_left_out_and_said(tmp_path: Path):
    path = tmp_path / "zh.conll"
    path.write_text("1\t播放\tO\n2\t\tO\n3\t \tO\n4\t爵士\tB-style\n")
    with pytest.warns(DataWarning, match=r"zh\.conll`: 2 lines without a word are left out, the first of them line 2"):
        (found,) = read_conll(path, word=1)
    assert found.tokens == ["播放", "爵士"]


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("a O\nb\n", {}, r"line 2`: expected columns with a word at 0 and a tag at -1, got 'b'\. Give a word a line"),
        ("1\ta\tO\n", {"word": 3}, r"line 1`: expected columns with a word at 3 and a tag at -1, got '1.ta.tO'"),
        ("# only = comments\n", {}, r"expected a CoNLL file in UTF-8, got no sentence"),
        ("", {}, r"expected a CoNLL file in UTF-8, got no sentence"),
    ],
)
def test_what_is_no_such_file(tmp_path: Path, content: str, options: dict, said: str):
    path = tmp_path / "a.conll"
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        read_conll(path, **options)
    with pytest.raises(DataError, match="expected a CoNLL file in UTF-8"):
        read_conll(tmp_path / "none.conll")
    path.write_bytes(b"\xff\xfe a O")
    with pytest.raises(DataError, match="expected a CoNLL file in UTF-8"):
        read_conll(path)


def test_a_sentence_without_the_comment_that_tells_translations(tmp_path: Path):
    (tmp_path / "a.conll").write_text("# id = 1\nx O\ny B-a\n")
    said = r"a\.conll, line 1`: expected a sentence with the comment 'text-en', got the comments id\. Leave that file out"
    with pytest.raises(DataError, match=said):
        qs.tasks.from_conll({"a": tmp_path / "a.conll"}, translations="text-en")


@pytest.mark.needs("xSID")
def test_xsid():
    """Sentences of one English text are in one part; nothing is in two."""
    folder = needs("xSID") / "xSID-0.7"
    languages = ("da", "de", "it", "kk", "nl", "tr")
    files = {one: [folder / f"{one}.{part}.conll" for part in ("valid", "test")] for one in languages}
    assert [len(read_conll(path, word=1)) for path in files["da"]] == [300, 500]
    options = {"length": 256, "queries": 20}
    with pytest.warns(DataWarning, match="texts were left out: they are there twice, .* in several taggings"):
        family = qs.tasks.from_conll(files, word=1, translations="text-en", repeats="leave out", split=(4, 1, 1), **options)
    assert [len(part.class_names) for part in family.parts.values()] == [4, 1, 1]
    kind = family.test.target
    assert kind.names[0] == "O"
    assert {"B-datetime", "I-datetime", "B-location"} <= set(kind.names)
    assert kind.scores == ("span_f1", "token_accuracy")
    sizes = [int(part.index.counts.float().mean()) for part in family.parts.values()]
    assert 400 < sizes[0] < 500
    assert all(80 < size < 180 for size in sizes[1:])
