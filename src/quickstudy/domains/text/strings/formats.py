"""Formats: how a user writes dates, names, numbers; drawn from a grammar, so that each task is a format of its own.

    record   ~  kind                                                       {"day": "3", "month": "7", "year": "2024"}
    format   =  parts in an order, each in a view, with text around them   year full, month padded, day padded; "", "-", "-", ""
    layout   =  kind, parts, order and views, without the text around them

A task has one or two formats for what is given and one for what is wanted. Layouts of what is wanted are parted by their hash:
no layout of a test task is ever that of a task to train on, whatever text is around its parts.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from random import Random

from quickstudy.domains.text.strings.records import KINDS, LETTERS, Kind, Record
from quickstudy.domains.text.strings.tasks import drawn_for

SEPARATORS = (" ", "-", "/", ".", ", ", "_", ":", ";", "|", " / ", " - ", "  ")
WANTED_SEPARATORS = (*SEPARATORS, "", "", ". ", "+", "~", "=", " & ", "--")
AROUND = (("(", ")"), ("[", "]"), ("<", ">"), ("#", ""), ("", "."), ("'", "'"), ("", "!"))
MESSY = 0.25  # share of tasks whose column is written in two ways


@dataclass(frozen=True)
class Format:
    """One way to write the records of a kind.

    Args:
        kind: name of the kind, see `records.KINDS`.
        parts: (field, view) in the order in which they are written.
        between: the text before the first part, between two, and behind the last: one more than parts.

    Examples:
        >>> from quickstudy.domains.text.strings.formats import Format
        >>> iso = Format("date", (("year", "full"), ("month", "padded"), ("day", "padded")), ("", "-", "-", ""))
        >>> iso.write({"day": "3", "month": "7", "year": "2024"}), iso.layout
        ('2024-07-03', 'date: year full, month padded, day padded')
    """

    kind: str
    parts: tuple[tuple[str, str], ...]
    between: tuple[str, ...]

    @property
    def layout(self) -> str:
        """Kind, parts, order and views, without the text around them."""
        return f"{self.kind}: " + ", ".join(f"{name} {view}" for name, view in self.parts)

    def write(self, record: Record) -> str:
        """The record in this format."""
        fields = KINDS[self.kind].fields
        written = [fields[name][view](record[name]) for name, view in self.parts]
        return self.between[0] + "".join(itertools.chain(*zip(written, self.between[1:], strict=True)))


def raw_format(kind: str, random: Random) -> Format:
    """A format of what is given: every field, in a view that loses nothing."""
    own = KINDS[kind]
    names = list(own.fields)
    if own.turned:
        random.shuffle(names)
    parts = tuple((name, random.choice(own.whole[name])) for name in names)
    return Format(kind, parts, random.choice(own.between) if own.between else _between(len(parts), SEPARATORS, random))


def wanted_format(kind: str, split: str, random: Random) -> Format:
    """A format of what is wanted, with a layout of this part."""
    parts = drawn_for(split, lambda: _parts(KINDS[kind], random), lambda parts: Format(kind, parts, ()).layout)
    before, behind = _around(random)
    between = _between(len(parts), WANTED_SEPARATORS, random)
    return Format(kind, parts, (before + between[0], *between[1:-1], between[-1] + behind))


def _parts(kind: Kind, random: Random) -> tuple[tuple[str, str], ...]:
    """Some of the fields, all of them in every second format, each in a view; not stars alone, which say nothing."""
    names = list(kind.fields)
    count = len(names) if random.random() < 0.5 else random.randint(1, len(names))
    chosen = random.sample(names, count)
    if not kind.shuffled:
        chosen.sort(key=names.index)
    parts = tuple((name, random.choice(list(kind.fields[name]))) for name in chosen)
    return parts if any(view != "masked" for _, view in parts) else _parts(kind, random)


def _between(parts: int, separators: tuple[str, ...], random: Random) -> tuple[str, ...]:
    """Nothing outside, and between the parts one separator, or in one of four formats one for each place."""
    one = random.choice(separators)
    each = [random.choice(separators) for _ in range(parts - 1)] if random.random() < 0.25 else [one] * (parts - 1)
    return ("", *each, "")


def _around(random: Random) -> tuple[str, str]:
    """Nothing in most formats; else brackets and marks, or a constant of the user's own."""
    place = random.random()
    if place < 0.6:
        return "", ""
    if place < 0.8:
        return random.choice(AROUND)
    own = "".join(random.choice(LETTERS) for _ in range(random.randint(2, 4)))
    own = own.upper() if random.random() < 0.5 else own
    mark = random.choice(("-", ":", " ", "_"))
    return (own + mark, "") if random.random() < 0.5 else ("", mark + own)
