"""Formats, Inflections, PhraseTranslations: tasks of strings whose rules are drawn, with rules of their own in each part."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.text.strings.formats import MESSY, raw_format, wanted_format
from quickstudy.domains.text.strings.grammars import WORDS, inflection, phrases, stems, translation
from quickstudy.domains.text.strings.records import KINDS
from quickstudy.domains.text.strings.tasks import Pairs, StringTasks, drawn_for
from quickstudy.errors import ArgumentError, TaskError
from quickstudy.registry import named
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.size import Size, largest
from quickstudy.tasks.synthetic.generated import SPLITS

PHRASES = 16  # that words of two places can make


class FormatTasks(StringTasks):
    """One part of `Formats`."""

    def __init__(self, shots: Size, queries: Size, *, kinds: tuple[str, ...], length: PositiveInt, split: str):
        self.kinds = kinds
        super().__init__(shots, queries, length=length, split=split)

    def pairs(self, shots: int, queries: int, random: Random) -> tuple[Pairs, int]:
        number = random.randrange(len(self.kinds))
        kind = self.kinds[number]
        given = [raw_format(kind, random) for _ in range(2 if random.random() < MESSY else 1)]
        wanted, found = wanted_format(kind, self.split, random), dict[str, str]()
        while len(found) < shots + queries:
            record = KINDS[kind].draw(random)
            found[random.choice(given).write(record)] = wanted.write(record)
        return list(found.items()), number


@checked
class Formats(TaskFamily[FormatTasks]):
    """Columns to clean: a task is one user's format of dates, names, e-mail addresses, phone numbers, amounts or codes.

        "3 mar 1988"  ->  "1988-03-03"           "Yardun TRAIVO"  ->  "[T., Yardun]"

    What is given is a record written as raw text, in one way or, in one of four tasks, in two; what is wanted is some of its
    fields, each in a view (padded, as a name, in capitals, an initial), in an order, with text around them. Formats are of three
    parts that share no layout: the fields that are wanted, their order and their views together. Names are invented words.

    Args:
        shots: pairs to learn from, or a range (low, high).
        queries: strings to be scored on, likewise.
        kinds: of records: "date", "name", "full name", "e-mail", "phone", "amount", "code"; None: all.
        length: bytes of a string at most.

    Raises:
        ArgumentError: an unknown kind, or none; a length that most records do not fit; a size below its least.

    Examples:
        >>> tasks = qs.tasks.Formats(shots=5, queries=3, kinds=("date",))
        >>> episode = tasks.test.sample(1, generator=torch.Generator().manual_seed(0))[0]
        >>> episode.support.y.shape, [str(one) for one in episode.support.target.named(episode.support.y)[:2]]
        (torch.Size([5, 32]), ['2018 / jul / 01', '1979 / nov / 20'])
    """

    def __init__(self, shots: Size = 5, queries: Size = 5, *, kinds: Sequence[str] | None = None, length: PositiveInt = 32):
        chosen = tuple(KINDS) if kinds is None else tuple(kinds)
        if not chosen or isinstance(kinds, str):
            do = f"Give some of {', '.join(KINDS)}."
            raise ArgumentError("kinds", expected="names of kinds of records", got=repr(kinds), do=do)
        for kind in chosen:
            named("kinds", kind, KINDS)
        super().__init__(*(FormatTasks(shots, queries, kinds=chosen, length=length, split=split) for split in SPLITS))


class InflectionTasks(StringTasks):
    """One part of `Inflections`."""

    def pairs(self, shots: int, queries: int, random: Random) -> tuple[Pairs, int]:
        rule = drawn_for(self.split, lambda: inflection(random), lambda one: one.written)
        return [(stem, rule.form(stem)) for stem in stems(shots + queries, random)], 0


@checked
class Inflections(TaskFamily[InflectionTasks]):
    """Words of invented languages, and one form of each: a task is one language's rule.

        "tamol"  ->  "tameln"

    A rule sets a prefix, changes vowels, changes the end and sets a suffix, each in one of several ways or not at all; the three
    parts share no combination of ways. See `quickstudy.domains.text.strings.grammars.Inflection`.

    Args:
        shots: pairs to learn from, or a range (low, high).
        queries: words to be scored on, likewise.
        length: bytes of a string at most.

    Raises:
        ArgumentError: a length that words do not fit; a size below its least.

    Examples:
        >>> tasks = qs.tasks.Inflections(shots=5, queries=3)
        >>> episode = tasks.train.sample(1, generator=torch.Generator().manual_seed(0))[0]
        >>> episode.query.y.shape
        torch.Size([3, 32])
    """

    def __init__(self, shots: Size = 5, queries: Size = 5, *, length: PositiveInt = 32):
        super().__init__(*(InflectionTasks(shots, queries, length=length, split=split) for split in SPLITS))


class PhraseTasks(StringTasks):
    """One part of `PhraseTranslations`."""

    def pairs(self, shots: int, queries: int, random: Random) -> tuple[Pairs, int]:
        rule = drawn_for(self.split, lambda: translation(random), lambda one: one.written)
        return [(phrase, rule.form(phrase)) for phrase in phrases(rule, shots, queries, random)], 0

    def check_protocol(self) -> None:
        super().check_protocol()
        least = self.shots[0] if isinstance(self.shots, tuple) else self.shots
        if least < max(WORDS.values()):
            do = "Give for example shots=5."
            expected = f"{max(WORDS.values())} or more, so that every word of a query is in the support"
            raise ArgumentError("shots", expected=expected, got=repr(self.shots), do=do)
        if largest(self.shots) + largest(self.queries) > PHRASES:
            got = f"{largest(self.shots)} + {largest(self.queries)}"
            raise TaskError(
                "shots, queries", expected=f"at most {PHRASES} phrases, all that can be said", got=got, do="Ask for fewer."
            )


@checked
class PhraseTranslations(TaskFamily[PhraseTasks]):
    """Phrases of two or three words in invented languages, and what they are in another: a task is a pair of languages.

        "red house"  ->  "ta domu rug"

    The other language has its own words, its own order, and may have a particle and an ending on one of the words; the three
    parts share no grammar, and no word is in two tasks but by chance. Every word of a query is in the support, in other phrases.
    See `quickstudy.domains.text.strings.grammars.Translation`.

    Args:
        shots: pairs to learn from, or a range (low, high); 4 or more.
        queries: phrases to be scored on, likewise.
        length: bytes of a string at most.

    Raises:
        ArgumentError: fewer shots than a language has words in one place; a length that phrases do not fit.
        TaskError: more phrases than two words can make.

    Examples:
        >>> tasks = qs.tasks.PhraseTranslations(shots=5, queries=3)
        >>> episode = tasks.train.sample(1, generator=torch.Generator().manual_seed(0))[0]
        >>> episode.query.y.shape
        torch.Size([3, 32])
    """

    def __init__(self, shots: Size = 5, queries: Size = 5, *, length: PositiveInt = 32):
        super().__init__(*(PhraseTasks(shots, queries, length=length, split=split) for split in SPLITS))
