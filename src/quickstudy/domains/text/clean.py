"""What a text is, before it is read: Unicode in one form, without what no sentence holds.

clean(text)  =  NFC(text), the spaces at its ends left out           what an encoder reads
key(text)    =  casefold(NFKC(text)), each run of spaces one space    by which two texts are the same
"""

from __future__ import annotations

import unicodedata
from typing import Any

from quickstudy.errors import DataError

SHOWN = 60  # characters of a text in a message


def clean(value: Any, where: str) -> str:
    """The text as an encoder reads it.

    Args:
        value: the text.
        where: its place, for messages: "texts[3]".

    Raises:
        DataError: no text; an empty one, or one of only spaces; one with the character NUL, or with half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise DataError(where, expected="a text", got=f"{value!r:.{SHOWN}} of type {type(value).__name__}", do="Give str.")
    text = unicodedata.normalize("NFC", value).strip()
    if not text:
        raise DataError(where, expected="a text", got=f"{value[:SHOWN]!r}", do="Leave rows without words out.")
    if "\0" in text:
        raise _strange(where, text, "\0", "the character NUL", "It is no text: say how the file is encoded, or leave it out.")
    broken = next((one for one in text if "\ud800" <= one <= "\udfff"), None)
    if broken is not None:
        said = f"half of a surrogate pair, U+{ord(broken):04X}"
        raise _strange(where, text, broken, said, "Read the file as UTF-8 with errors='strict' to find where it was cut.")
    return text


def key(text: str) -> str:
    """By which two texts are one: case, width and spaces do not tell them apart."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _strange(where: str, text: str, character: str, what: str, do: str) -> DataError:
    return DataError(where, expected="a text of Unicode characters", got=f"{what} at place {text.index(character)}", do=do)
