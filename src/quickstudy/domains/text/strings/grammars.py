"""Grammars: invented languages, a new one for each task. A word and its inflected form; a phrase and its translation."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from random import Random

VOWELS, CONSONANTS = "aeiou", "bdfgklmnprstvz"

PREFIXES = ("none", "fixed", "first syllable again")
CHANGES = ("none", "first vowel", "last vowel", "every vowel", "last vowel doubled")
ENDS = ("kept", "last letter left out", "last vowel left out", "last letter again")
SUFFIXES = ("none", "fixed", "by the last letter", "with the last vowel")
WORDS = {2: 4, 3: 3}  # of each place, for phrases of so many


@dataclass(frozen=True)
class Inflection:
    """How a language makes one form of its words of another: what its grammar does, and with which letters.

        form  =  prefix + changed(stem without its end) + suffix

    Args:
        prefix, change, end, suffix: what is done: of `PREFIXES`, `CHANGES`, `ENDS`, `SUFFIXES`.
        before: the letters of a fixed prefix.
        vowel: what a changed vowel becomes.
        behind: the letters of the suffix: behind a vowel, and behind a consonant.

    Examples:
        >>> from quickstudy.domains.text.strings.grammars import Inflection
        >>> plural = Inflection("none", "last vowel", "kept", "fixed", "", "e", ("n", "n"))
        >>> plural.form("tamol"), plural.written
        ('tameln', 'prefix none, change last vowel, end kept, suffix fixed')
    """

    prefix: str
    change: str
    end: str
    suffix: str
    before: str
    vowel: str
    behind: tuple[str, str]

    @property
    def written(self) -> str:
        """What is done, without the letters."""
        return f"prefix {self.prefix}, change {self.change}, end {self.end}, suffix {self.suffix}"

    def form(self, stem: str) -> str:
        """The inflected form of a word."""
        last = next(letter for letter in reversed(stem) if letter in VOWELS)
        behind = self.behind[stem[-1] not in VOWELS]
        suffix = {"none": "", "with the last vowel": last + self.behind[0]}.get(self.suffix, behind)
        return self._prefix(stem) + self._changed(self._ended(stem)) + suffix

    def _prefix(self, stem: str) -> str:
        first = next(place for place, letter in enumerate(stem) if letter in VOWELS)
        return {"none": "", "fixed": self.before}.get(self.prefix, stem[: first + 1])

    def _ended(self, stem: str) -> str:
        if self.end == "last letter left out" or (self.end == "last vowel left out" and stem[-1] in VOWELS):
            return stem[:-1]
        return stem + stem[-1] if self.end == "last letter again" else stem

    def _changed(self, stem: str) -> str:
        places = [place for place, letter in enumerate(stem) if letter in VOWELS]
        if self.change == "last vowel doubled":
            return stem[: places[-1]] + stem[places[-1]] + stem[places[-1] :]
        chosen = {"none": [], "first vowel": places[:1], "last vowel": places[-1:], "every vowel": places}[self.change]
        return "".join(self.vowel if place in chosen else letter for place, letter in enumerate(stem))


def inflection(random: Random) -> Inflection:
    """One drawn: a grammar that does something."""
    while True:
        prefix, change, end, suffix = (random.choice(choices) for choices in (PREFIXES, CHANGES, ENDS, SUFFIXES))
        if (prefix, change, end, suffix) != ("none", "none", "kept", "none"):
            break
    behind = _affix(random), _affix(random)
    if suffix != "by the last letter":
        behind = behind[0], behind[0]
    return Inflection(prefix, change, end, suffix, before=_affix(random), vowel=random.choice(VOWELS), behind=behind)


def stems(count: int, random: Random) -> list[str]:
    """So many different words of two or three syllables, about half of them with a vowel at the end."""
    found: dict[str, None] = {}
    while len(found) < count:
        syllables = random.choice((2, 2, 3))
        word = "".join(random.choice(CONSONANTS) + random.choice(VOWELS) for _ in range(syllables))
        found[word + random.choice(CONSONANTS) if random.random() < 0.5 else word] = None
    return list(found)


@dataclass(frozen=True)
class Translation:
    """How a language says phrases of two or three words: its own words, in its own order, with particles and endings.

    Args:
        order: the places of the given phrase in the order in which they are said.
        marked: the place whose word has an ending; None: no word has.
        particle: before which of the words that are said a particle is, or behind the last; None: there is none.
        words: of each place, the given words and how they are said.
        ending, said: the letters of the ending and of the particle.

    Examples:
        >>> from quickstudy.domains.text.strings.grammars import Translation
        >>> words = {"red": "rug", "big": "gor"}, {"house": "dom", "tree": "lip"}
        >>> Translation((1, 0), 1, 0, words, "u", "ta").form("red house")
        'ta domu rug'
    """

    order: tuple[int, ...]
    marked: int | None
    particle: int | None
    words: tuple[dict[str, str], ...]
    ending: str
    said: str

    @property
    def written(self) -> str:
        """The grammar, without the words."""
        return f"order {self.order}, ending {self.marked}, particle {self.particle}"

    def form(self, phrase: str) -> str:
        """The phrase as the language says it."""
        given = phrase.split(" ")
        said = [self.words[place][given[place]] + (self.ending if place == self.marked else "") for place in self.order]
        return " ".join(said if self.particle is None else [*said[: self.particle], self.said, *said[self.particle :]])

    @property
    def phrases(self) -> list[str]:
        """All phrases that the words can make."""
        return [" ".join(chosen) for chosen in itertools.product(*self.words)]


def translation(random: Random) -> Translation:
    """One drawn, with its words."""
    places = random.choice((2, 3))
    size = WORDS[places]
    order = random.sample(range(places), places)
    given, said = (_words(places * size, random) for _ in range(2))
    words = [dict(zip(given[place::places], said[place::places], strict=True)) for place in range(places)]
    marked = random.choice((None, *range(places)))
    particle = random.choice((None, *range(places + 1)))
    return Translation(tuple(order), marked, particle, tuple(words), random.choice(VOWELS), _affix(random))


def phrases(language: Translation, shots: int, queries: int, random: Random) -> list[str]:
    """Different phrases: `shots` that have every word of the language, then others of the same words."""
    columns = [random.sample(list(words), len(words)) for words in language.words]
    known = [" ".join(column[row % len(column)] for column in columns) for row in range(min(shots, max(map(len, columns))))]
    others = [phrase for phrase in language.phrases if phrase not in known]
    random.shuffle(others)
    known += others[: shots - len(known)]
    random.shuffle(known)
    return known + [phrase for phrase in others if phrase not in known][:queries]


def _affix(random: Random) -> str:
    """Two or three letters, one of them a vowel."""
    one = random.choice(VOWELS) + random.choice(CONSONANTS)
    return random.choice((one, one[::-1], random.choice(CONSONANTS) + one))


def _words(count: int, random: Random) -> list[str]:
    """So many different short words."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[random.choice(CONSONANTS) + random.choice(VOWELS) + random.choice(CONSONANTS + VOWELS)] = None
    return list(found)
