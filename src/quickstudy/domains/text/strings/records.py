"""Records: what formats write. A kind draws records of named fields, and knows the views in which each field can be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

Record = Mapping[str, str]
View = Callable[[str], str]
Views = Mapping[str, View]

MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
ONSETS = "b br c ch d dr f g gr h j k l m n p pr r s sh st t th tr v w y z".split()  # noqa: SIM905
VOWELS = "a a e e i i o o u ai ea ia oo".split()  # noqa: SIM905
CODAS = ("", "", "", "n", "r", "l", "s", "t", "m", "nd", "ck")
TOP_DOMAINS = ("com", "org", "net", "edu", "io", "de", "fr", "co.uk")
LETTERS, DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"


@dataclass(frozen=True)
class Kind:
    """A kind of record.

    Args:
        draw: one record from a source of random numbers.
        fields: the views of each field, by the field's name, in the order in which raw text has the fields.
        whole: for each field, the views that raw text may have: they lose nothing.
        between: the texts around the parts of raw text, one tuple for each way; (): any separators.
        shuffled: whether a wanted format may have the fields in another order.
        turned: whether raw text may, too.
    """

    draw: Callable[[Random], Record]
    fields: Mapping[str, Views]
    whole: Mapping[str, tuple[str, ...]]
    between: tuple[tuple[str, ...], ...] = ()
    shuffled: bool = True
    turned: bool = False


def word(random: Random, least: int = 4, most: int = 8) -> str:
    """A word that can be spoken, of small letters; most are in no dictionary."""
    while True:
        count = random.choice((2, 2, 3))
        found = "".join(random.choice(part) for _ in range(count) for part in (ONSETS, VOWELS, CODAS))
        if least <= len(found) <= most:
            return found


def digits(random: Random, count: int) -> str:
    """So many digits, the first not 0."""
    return random.choice(DIGITS[1:]) + "".join(random.choice(DIGITS) for _ in range(count - 1))


def grouped(mark: str) -> View:
    """Whole numbers with a mark before every three digits: 1234567 as 1,234,567."""
    return lambda text: f"{int(text):,}".replace(",", mark)


def same(text: str) -> str:
    """The field as it is."""
    return text


CASES: Views = {"title": str.title, "upper": str.upper, "lower": str.lower}
SHORT: Views = {
    "initial": lambda text: text[0].upper(),
    "small initial": lambda text: text[0].lower(),
    "dotted": lambda text: text[0].upper() + ".",
    "three": lambda text: text[:3].title(),
    "small three": lambda text: text[:3].lower(),
}
WORDS: Views = {**CASES, **SHORT}
NUMBER: Views = {"plain": same, "padded": lambda text: text.zfill(2)}
MONTH: Views = {
    **NUMBER,
    "name": lambda text: MONTHS[int(text) - 1],
    "upper name": lambda text: MONTHS[int(text) - 1].upper(),
    "short name": lambda text: MONTHS[int(text) - 1][:3],
    "short upper name": lambda text: MONTHS[int(text) - 1][:3].upper(),
    "short lower name": lambda text: MONTHS[int(text) - 1][:3].lower(),
}
BLOCK: Views = {"full": same, "masked": lambda text: "*" * len(text), "last two": lambda text: text[-2:]}
CODE: Views = {
    "upper": str.upper,
    "lower": str.lower,
    "first": lambda text: text[0].upper(),
    "first two": lambda text: text[:2].upper(),
    "last two": lambda text: text[-2:].upper(),
    "backwards": lambda text: text[::-1].upper(),
}


def _date(random: Random) -> Record:
    return {"day": str(random.randint(1, 28)), "month": str(random.randint(1, 12)), "year": str(random.randint(1950, 2039))}


def _name(random: Random) -> Record:
    return {"first": word(random), "last": word(random)}


def _full_name(random: Random) -> Record:
    return {"first": word(random, most=7), "middle": word(random, most=7), "last": word(random, most=7)}


def _address(random: Random) -> Record:
    return {
        "first": word(random, most=7),
        "last": word(random, most=7),
        "host": word(random, most=7),
        "top": random.choice(TOP_DOMAINS),
    }


def _phone(random: Random) -> Record:
    sizes = {"country": random.choice((1, 2)), "area": 3, "exchange": 3, "line": 4}
    return {name: digits(random, size) for name, size in sizes.items()}


def _amount(random: Random) -> Record:
    return {"whole": digits(random, random.randint(1, 7)), "cents": "".join(random.choice(DIGITS) for _ in range(2))}


def _code(random: Random) -> Record:
    def block(letters: str) -> str:
        return "".join(random.choice(letters) for _ in range(random.randint(3, 5)))

    return {"one": block(LETTERS), "two": block(DIGITS), "three": block(LETTERS)}


WHOLE_WORD = ("title", "upper", "lower")
KINDS: Mapping[str, Kind] = {
    "date": Kind(
        _date,
        {"day": NUMBER, "month": MONTH, "year": {"full": same, "short": lambda text: text[-2:]}},
        {"day": tuple(NUMBER), "month": tuple(MONTH), "year": ("full",)},
        turned=True,
    ),
    "name": Kind(_name, {"first": WORDS, "last": WORDS}, dict.fromkeys(("first", "last"), WHOLE_WORD), between=(("", " ", ""),)),
    "full name": Kind(
        _full_name,
        dict.fromkeys(("first", "middle", "last"), WORDS),
        dict.fromkeys(("first", "middle", "last"), WHOLE_WORD),
    ),
    "e-mail": Kind(
        _address,
        {"first": WORDS, "last": WORDS, "host": CASES, "top": {"lower": str.lower}},
        dict.fromkeys(("first", "last", "host", "top"), ("lower",)),
        between=tuple(("", mark, "@", ".", "") for mark in "._-"),
    ),
    "phone": Kind(
        _phone,
        dict.fromkeys(("country", "area", "exchange", "line"), BLOCK),
        dict.fromkeys(("country", "area", "exchange", "line"), ("full",)),
        between=(
            ("+", " ", " ", " ", ""),
            ("+", " (", ") ", "-", ""),
            ("", ".", ".", ".", ""),
            ("00", " ", " ", " ", ""),
            ("+", "-", "-", "-", ""),
            ("(+", ") ", " ", " ", ""),
        ),
        shuffled=False,
    ),
    "amount": Kind(
        _amount,
        {
            "whole": {"plain": same, **{f"grouped by {mark!r}": grouped(mark) for mark in ",. '_"}},
            "cents": {"full": same, "tenths": lambda text: text[0]},
        },
        {"whole": ("plain", "grouped by ','"), "cents": ("full",)},
        between=(("", ".", ""), ("$", ".", ""), ("", ".", " EUR"), ("USD ", ".", "")),
        shuffled=False,
    ),
    "code": Kind(
        _code,
        {"one": CODE, "two": {"full": same, "last two": lambda text: text[-2:]}, "three": CODE},
        {"one": ("upper", "lower"), "two": ("full",), "three": ("upper", "lower")},
    ),
}
