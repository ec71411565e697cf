"""Sentences as words, with a tag for each: what is read of them, and the tags of words from a predictor's answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quickstudy.domains.text.clean import clean
from quickstudy.errors import DataError, LabelError, ShapeError
from quickstudy.targets import TokenLabels
from quickstudy.targets.spans import OUTSIDE
from quickstudy.tasks.distribution.class_names import as_names, in_order

Words = list[str]


def read_words(tokens: Sequence[Sequence[str]], where: str = "tokens") -> list[Words]:
    """The words of each sentence, as `clean` leaves them.

    Raises:
        DataError: a sentence that is no list of words, or has none; what is no text.
    """
    found = []
    for row, sentence in enumerate(tokens):
        if isinstance(sentence, str) or not isinstance(sentence, Sequence) or not sentence:
            do = "Split sentences into words: tokens=[['play', 'jazz'], ...]."
            raise DataError(f"{where}[{row}]", expected="a list of words", got=f"{sentence!r:.60}", do=do)
        found.append([clean(word, f"{where}[{row}][{place}]") for place, word in enumerate(sentence)])
    return found


def read_tags(tags: Sequence[Sequence[Any]], sentences: Sequence[Words], where: str = "tags") -> list[list[str]]:
    """The tags of each sentence, as text.

    Raises:
        ShapeError: another number of sentences, or of tags in one.
        LabelError: a tag that is missing.
    """
    if len(tags) != len(sentences):
        got = f"{len(sentences)} and {len(tags)}"
        raise ShapeError("tokens, tags", expected="tags for each sentence", got=got, do="Give a list of tags for every one.")
    found = []
    for row, (own, words) in enumerate(zip(tags, sentences, strict=True)):
        if isinstance(own, str) or len(own) != len(words):
            got = f"{own!r:.60}" if isinstance(own, str) else f"{len(own)} tags of {len(words)} words: {' '.join(words):.60}"
            raise ShapeError(f"{where}[{row}]", expected="a tag for each word", got=got, do=f"{OUTSIDE!r} is the tag of no slot.")
        found.append(as_names(own, f"{where}[{row}]"))
    return found


def kind_of(tags: Sequence[Sequence[str]], names: Sequence[str] | None = None) -> TokenLabels:
    """The kind of target: its classes are `names`, or the tags that there are, "O" first."""
    if names is None:
        there = in_order(list({tag for own in tags for tag in own}))
        names = sorted(there, key=lambda tag: tag != OUTSIDE)
    return TokenLabels(len(names), names=tuple(names))


def numbered(tags: Sequence[Sequence[str]], kind: TokenLabels, where: str = "tags") -> list[list[int]]:
    """Tags as the numbers of their classes.

    Raises:
        LabelError: a tag that is no class of `kind`.
    """
    place = {name: number for number, name in enumerate(kind.names or ())}
    for row, own in enumerate(tags):
        if unknown := next((tag for tag in own if tag not in place), None):
            expected = f"one of {len(place)} tags: {', '.join(place):.200}"
            raise LabelError(f"{where}[{row}]", expected=expected, got=repr(unknown), do="Name it too, or mend it.")
    return [[place[tag] for tag in own] for own in tags]


def first_bytes(words: Words) -> Iterator[int]:
    """Where each word begins among the bytes of its sentence."""
    at = 0
    for word in words:
        yield at
        at += len(word.encode()) + 1


def tags_of(tokens: Sequence[Sequence[str]], answers: Any) -> list[list[str]]:
    """The tag of each word, from a predictor's answers for each byte.

    Args:
        tokens: the words of each sentence.
        answers: (sentences, length) tags, what `predictor.predict` gives.

    Returns:
        A list for each sentence; "" for a word that begins behind `length`.

    Raises:
        ShapeError: another number of sentences.

    Examples:
        >>> import numpy as np
        >>> from quickstudy.domains.text.tokens import tags_of
        >>> answers = np.array([["O", "O", "O", "B-style", "O", "O", "O"]])
        >>> tags_of([["On", "jazz"]], answers)
        [['O', 'B-style']]
    """
    sentences = read_words(tokens)
    if len(answers) != len(sentences):
        got = f"{len(answers)} and {len(sentences)}"
        raise ShapeError("answers", expected="answers for each sentence", got=got, do="Ask about the same sentences.")
    return [
        [str(own[place]) if place < len(own) else "" for place in first_bytes(words)]
        for words, own in zip(sentences, answers, strict=True)
    ]


def check_classes(tags: Sequence[Sequence[str]], groups: Mapping[str, Sequence[int]]) -> None:
    """Raise LabelError for a group whose words all have one tag: there is nothing to learn.

    Args:
        groups: the rows of each group.
    """
    for name, rows in groups.items():
        there = {tag for row in rows for tag in tags[row]}
        if len(there) < 2:
            raise LabelError(
                "tags",
                expected="two tags or more in every group",
                got=f"{', '.join(map(repr, there))} alone in {name!r}",
                do="Leave it out, or look whether its tags were read from the right column.",
            )
