"""CoNLL files: a word and its tags in each line, an empty line between sentences.

# text-en = play jazz          comments before the first word: name = value
1  spil  music  O              columns, parted by tabs or, where there are none, by spaces
2  jazz  music  B-style
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quickstudy.arguments import PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.domains.text.encoder import TextEncoder
from quickstudy.domains.text.from_tokens import from_tokens
from quickstudy.domains.text.repeats import Repeats
from quickstudy.errors import DataError, DataWarning
from quickstudy.files import read_text
from quickstudy.tasks.distribution.class_lists import Split
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.group_tasks import GroupTasks
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.sources.options import Part

MOST = 1 << 30  # bytes of a file
EXPECTED, DO = "a CoNLL file in UTF-8", "Give a word a line with its columns, and an empty line between sentences."
Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Sentence:
    """One block of a file.

    Attributes:
        tokens, tags: of each word.
        comments: by name.
        where: the file, and the line where it begins.
    """

    tokens: list[str]
    tags: list[str]
    comments: dict[str, str] = field(default_factory=dict)
    where: str = ""


@checked
def read_conll(path: str | Path, *, word: int = 0, tag: int = -1) -> list[Sentence]:
    """The sentences of a CoNLL file; "-DOCSTART-" is none.

    Args:
        path: the file.
        word, tag: their columns, from 0; from the end if negative.

    Raises:
        DataError: no such file, one without a sentence, or a line without such a column.

    Warns:
        DataWarning: lines whose word is empty; they are left out.

    Examples:
        >>> from quickstudy.domains.text.conll import read_conll
        >>> with open("da.conll", "w") as file:
        ...     print("# intent = music", "spil O", "jazz B-style", sep=chr(10), file=file)
        >>> sentence, = read_conll("da.conll")
        >>> sentence.tokens, sentence.tags, sentence.comments
        (['spil', 'jazz'], ['O', 'B-style'], {'intent': 'music'})
    """
    found, empty = [], []
    for first, lines in _blocks(read_text(path, expected=EXPECTED, do=DO, limit=MOST, error=DataError)):
        sentence = Sentence([], [], {}, f"{path}, line {first}")
        for number, line in enumerate(lines, first):
            if not sentence.tokens and line.startswith("#"):
                name, equals, value = line[1:].partition("=")
                sentence.comments.update({name.strip(): value.strip()} if equals else {})
                continue
            own, its_tag = _cells(line, (word, tag), f"{path}, line {number}")
            if own:
                sentence.tokens.append(own)
                sentence.tags.append(its_tag)
            else:
                empty.append(number)
        if sentence.tokens and sentence.tokens[0] != "-DOCSTART-":
            found.append(sentence)
    if not found:
        raise DataError(str(path), expected=EXPECTED, got="no sentence", do=DO)
    if empty:
        said = f"{len(empty)} lines without a word are left out, the first of them line {empty[0]}"
        warnings.warn(f"`{path}`: {said}.", DataWarning, stacklevel=2)
    return found


@remembered
@checked
def from_conll(
    paths: Mapping[str, Paths],
    *,
    word: int = 0,
    tag: int = -1,
    translations: str | None = None,
    names: Sequence[str] | None = None,
    length: PositiveInt | None = None,
    encoder: TextEncoder | None = None,
    trainable: bool = False,
    cache: str | Path | None = None,
    progress: bool = True,
    shots: Size = 10,
    queries: Size = 20,
    split: Split | None = None,
    part: Part = None,
    seed: int = 0,
    repeats: Repeats = "refuse",
) -> TaskFamily[GroupTasks]:
    """`from_tokens` of CoNLL files: a task is of one language.

    Args:
        paths: the file or files of each language, or domain: {"da": "da.conll", ...}.
        word, tag: the columns of words and tags, from 0; from the end if negative.
        translations: the comment that translations of one sentence share, such as "text-en" in xSID; see `from_tokens`.
        names, length, encoder, trainable, cache, progress, shots, queries, split, part, seed, repeats: as for `from_tokens`.

    Raises:
        DataError: no such file, one without a sentence, a line without such a column, a sentence without that comment.
        DataError, ShapeError, LabelError, TaskError: as for `from_tokens`.

    Examples:
        >>> for language, verb in {"en": "play", "de": "spiel", "da": "spil"}.items():
        ...     with open(f"{language}.conll", "w") as file:
        ...         for style in ("jazz", "rock", "funk", "soul", "folk", "ska"):
        ...             print(f"# text-en = play {style}", f"{verb} O", f"{language}-{style} B-style", "", sep=chr(10), file=file)
        >>> files = {language: f"{language}.conll" for language in ("en", "de", "da")}
        >>> tasks = qs.tasks.from_conll(files, split=(1, 1, 1), shots=2, queries=3)
        >>> tasks.test.sample(2).query.target.names
        ('O', 'B-style')
    """
    tokens: list[list[str]] = []
    tags: list[list[str]] = []
    group: list[str] = []
    shared: list[str] = []
    for name, files in paths.items():
        for path in [files] if isinstance(files, str | Path) else files:
            for sentence in read_conll(path, word=word, tag=tag):
                if translations is not None and translations not in sentence.comments:
                    raise DataError(
                        sentence.where,
                        expected=f"a sentence with the comment {translations!r}",
                        got=f"the comments {', '.join(sentence.comments)}"[:100],
                        do="Leave that file out, or read it with read_conll and give from_tokens its own translations.",
                    )
                tokens.append(sentence.tokens)
                tags.append(sentence.tags)
                group.append(name)
                shared.append("" if translations is None else sentence.comments[translations])
    reading: Any = {"length": length, "encoder": encoder, "trainable": trainable, "cache": cache, "progress": progress}
    settings: Any = {"names": names, **reading, "shots": shots, "queries": queries, "split": split, "part": part}
    translated = None if translations is None else shared
    return from_tokens(tokens, tags, group, translations=translated, seed=seed, repeats=repeats, **settings)


def _cells(line: str, columns: tuple[int, int], where: str) -> tuple[str, str]:
    """The word and the tag of a line."""
    cells = line.split("\t") if "\t" in line else line.split()
    if not all(-len(cells) <= column < len(cells) for column in columns) or len(cells) < 2:
        expected = f"columns with a word at {columns[0]} and a tag at {columns[1]}"
        raise DataError(where, expected=expected, got=f"{line!r:.60}", do=DO)
    word, tag = (cells[column].strip() for column in columns)
    return word, tag


def _blocks(content: str) -> Iterator[tuple[int, list[str]]]:
    """The runs of lines that are not empty, each with the number of its first."""
    own: list[str] = []
    for number, line in enumerate((*content.split("\n"), ""), 1):
        if line.strip():
            own.append(line.rstrip("\r"))
        elif own:
            yield number - len(own), own
            own = []
