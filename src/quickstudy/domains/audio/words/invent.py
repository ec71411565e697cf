"""Invented words: random letters that a language reads, each with a sound that no other word has."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from quickstudy.domains.audio.words.alphabets import ALPHABETS
from quickstudy.domains.audio.words.espeak import sounds
from quickstudy.errors import TaskError

SYLLABLES = (1, 2, 2, 3)
TRIES = 20  # rounds of inventing
STRESS = str.maketrans("", "", "ˈˌ")


@dataclass(frozen=True)
class Word:
    """A word of a language, and how it sounds."""

    language: str
    text: str
    sound: str


def invent(language: str, count: int, taken: set[str], random: Random) -> list[Word]:
    """`count` words of a language.

    Args:
        taken: the sounds, without stress, that other words have; those of these words are added.

    Raises:
        TaskError: the language does not read enough words of other sounds.
    """
    found: list[Word] = []
    for _ in range(TRIES):
        texts = [ALPHABETS[language].word(random.choice(SYLLABLES), random) for _ in range(2 * (count - len(found)) + 4)]
        for text, sound in zip(texts, sounds(language, texts), strict=True):
            plain = sound.translate(STRESS)
            if len(plain) > 1 and plain not in taken and len(found) < count:
                taken.add(plain)
                found.append(Word(language, text, sound))
        if len(found) == count:
            return found
    raise TaskError(
        "classes",
        expected=f"{count} words of {language!r} that sound different",
        got=f"{len(found)} in {TRIES} rounds",
        do="Ask for fewer classes, or for more languages.",
    )
