"""SpokenWords: words that espeak-ng speaks, in a hundred languages, as few-shot tasks that need no recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.domains.audio.waveform import Waveform
from quickstudy.domains.audio.words.alphabets import ALPHABETS
from quickstudy.domains.audio.words.bank import bank
from quickstudy.domains.audio.words.espeak import VARIANTS, check_voices
from quickstudy.domains.audio.words.invent import Word, invent
from quickstudy.errors import ArgumentError, nearest
from quickstudy.tasks.construction.across import across
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.sources.options import Augment
from quickstudy.tasks.sources.with_classes import with_classes

PARTS = ("meta-training", "meta-validation", "meta-test")


@checked
class SpokenWords(TaskFamily[LabelledTasks]):
    """Spoken words as few-shot tasks: recordings (samples,) of words that nobody recorded; classes 'language/word'.

    A class is a word of random letters, read by the rules of its language. An example is that word by one voice: a variant of
    espeak-ng with a pitch and a speed. Languages and voices are apart between the parts, so a test word is of a language, and by
    voices, that meta-training has not heard. Support and query of an episode are by different voices, as a new speaker's query
    is: half of the voices speak the support. Words that are not read as a word, or sound like another one, are left out.

    A voice has another pitch and speed in another language. The column "speaker" says which one it is, so
    `classes_by(tasks, "speaker")` makes tasks of speakers.

    All recordings are made once, and kept in `cache` as one file. The same arguments and the same espeak-ng give the
    same recordings; another version of it makes another file.

    Args:
        ways, shots, queries: the protocol of an episode.
        classes: number of words for meta-training, meta-validation and meta-test.
        voices: number of voices for each of them; each speaks every word of its part once.
        languages: those from which the parts are drawn, by espeak-ng's names; None: all of `words.alphabets`.
        across_voices: support and query by different voices; False: by any, though no recording is in both.
        rate: samples a second.
        seconds: length of a recording; longer words lose their end.
        augment: augmentation of meta-training: see `quickstudy.tasks.construction.augmentation`.
        cache: the folder in which the recordings are kept; None: nowhere.
        seed: of all words and voices.
        progress: show a bar on stderr while words are spoken.

    Raises:
        MissingPackageError: there is no espeak-ng: apt install espeak-ng.
        DataError: an espeak-ng without some of these voices.
        ArgumentError: not three numbers of classes or voices; more voices than there are; an unknown language, or fewer than 3.
        TaskError: more ways than classes, fewer voices than shots or queries need, more words than the languages can read.
        CheckpointError: a damaged file in the cache.

    Examples:
        >>> sizes = {"classes": (4, 3, 3), "voices": (4, 2, 2), "languages": ["fi", "it", "ru"]}
        >>> tasks = qs.tasks.SpokenWords(ways=3, shots=1, queries=1, **sizes, progress=False)
        >>> tasks.train.sample(2).query.x.shape
        torch.Size([2, 3, 16000])
        >>> len(tasks.classes["test"])
        3
    """

    def __init__(
        self,
        ways: Size = 5,
        shots: Size = 1,
        queries: Size = 5,
        *,
        classes: Sequence[int] = (600, 100, 100),
        voices: Sequence[int] = (24, 16, 16),
        languages: Sequence[str] | None = None,
        across_voices: bool = True,
        rate: PositiveInt = 16000,
        seconds: PositiveFloat = 1.0,
        augment: Augment = (),
        cache: str | Path | None = None,
        seed: int = 0,
        progress: bool = True,
    ):
        _check_numbers("classes", classes)
        _check_numbers("voices", voices)
        if sum(voices) > len(VARIANTS):
            do = "The parts share no voice: lower one of the three."
            raise ArgumentError("voices", expected=f"at most {len(VARIANTS)} together", got=str(sum(voices)), do=do)
        random = Random(f"spoken words {seed}")
        spoken = _shares(_known(languages), classes, random)
        variants = random.sample(VARIANTS, sum(voices))
        check_voices([language for part in spoken for language in part], variants)
        reads, taken, parts = Waveform(rate=rate, seconds=seconds), set[str](), list[LabelledTasks]()
        for split, count in enumerate(classes):
            words = _words(spoken[split], count, taken, random)
            own = variants[sum(voices[:split]) : sum(voices[: split + 1])]
            x = bank(words, own, reads, seed=seed, cache=cache, progress=progress)
            y = torch.arange(count).repeat_interleave(len(own))
            language = [word.language for word in words for _ in own]
            columns = {"voice": own * count, "language": language}
            columns["speaker"] = [f"{one}/{voice}" for one, voice in zip(language, own * count, strict=True)]
            options: dict[str, Any] = {"ways": ways, "shots": shots, "queries": queries, "preprocessing": reads}
            names = [f"{word.language}/{word.text}" for word in words]
            tasks = with_classes(x, y, names, augment if split == 0 else (), columns=columns, **options)
            parts.append(across(tasks, by="voice") if across_voices else tasks)
        super().__init__(*parts)


def _words(languages: Sequence[str], count: int, taken: set[str], random: Random) -> list[Word]:
    """`count` words, as many of each language as of another, or one more."""
    found = []
    for place, language in enumerate(languages):
        own = count // len(languages) + (place < count % len(languages))
        found += invent(language, own, taken, random) if own else []
    return found


def _known(languages: Sequence[str] | None) -> list[str]:
    if languages is None:
        return sorted(ALPHABETS)
    given = sorted(set(languages))
    for language in given:
        if language not in ALPHABETS:
            raise ArgumentError(
                "languages", expected="languages with an alphabet", got=repr(language), do=nearest(language, list(ALPHABETS))
            )
    if len(given) < len(PARTS):
        do = "The parts share no language: name three or more."
        raise ArgumentError("languages", expected="3 or more", got=str(len(given)), do=do)
    return given


def _shares(languages: list[str], classes: Sequence[int], random: Random) -> list[list[str]]:
    """The languages of each part, in proportion to its classes; each has one at least."""
    mixed = random.sample(languages, len(languages))
    validation, test = (max(1, min(len(mixed) // 3, round(len(mixed) * n / sum(classes)))) for n in classes[1:])
    train = len(mixed) - validation - test
    return [mixed[:train], mixed[train : train + validation], mixed[train + validation :]]


def _check_numbers(argument: str, given: Sequence[int]) -> None:
    if len(given) != len(PARTS) or min(given) < 1:
        raise ArgumentError(
            argument,
            expected=f"three numbers of at least 1: for {', '.join(PARTS)}",
            got=repr(tuple(given)),
            do=f"Give for example {argument}={(600, 100, 100) if argument == 'classes' else (24, 16, 16)}.",
        )
