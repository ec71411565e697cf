"""A value of JSON as a dataclass, by the types that its fields declare. What does not fit is refused by its place.

    @dataclass(frozen=True)
    class Bar:
        low: Probability
        count: PositiveInt = 1

    record(Bar, {"low": 0.5})  ->  Bar(0.5, 1)        record(Bar, {"low": 2})  ->  RecordError: low: expected a number from 0 to 1

A mapping is read as a dataclass, which must have every field without a default and no other, or as a
`dict[str, X]`; a list as a
`tuple[X, ...]`; everything else as `quickstudy.arguments` reads it. A class with a method `from_dict` reads itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from quickstudy.arguments import mismatch, types_of, union_parts
from quickstudy.errors import CheckpointError, QuickstudyError
from quickstudy.files import LIMIT, read_sealed

R = TypeVar("R")


class RecordError(ValueError):
    """A value is not of its type. `where` is its place, such as "bins[3].low"."""

    def __init__(self, where: str, expected: str, got: Any):
        place = f"{where}: " if where else ""
        super().__init__(f"{place}expected {expected}, got {got!r}"[:300])


def record(kind: type[R], value: Mapping[str, Any]) -> R:
    """A mapping as the dataclass `kind`.

    Raises:
        RecordError: a field that is missing, unknown, or not of its type.
        QuickstudyError: what the class itself refuses.

    Examples:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Bar:
        ...     low: float
        ...     counts: tuple[int, ...] = ()
        >>> record(Bar, {"low": 0.5, "counts": [1, 2]})
        Bar(low=0.5, counts=(1, 2))
        >>> record(Bar, {"low": 0.5, "counts": [1, "x"]})
        Traceback (most recent call last):
        ...
        quickstudy.records.RecordError: counts[1]: expected a whole number, got 'x'
    """
    return _fields(kind, value, "")


def read_record(path: str | Path, kind: type[R], beside: Sequence[Path] = (), *, expected: str, do: str, limit: int = LIMIT) -> R:
    """The sealed JSON file at `path` as the dataclass `kind`.

    Args:
        beside: the files that belong to it.
        expected, do: of the error.
        limit: bytes that the file may have.

    Raises:
        CheckpointError: see `quickstudy.files.read_sealed`; a mapping that does not fit, or that the class itself refuses.
    """
    found = read_sealed(path, beside, expected=expected, do=do, limit=limit)
    try:
        return _part(kind, found, "")
    except (RecordError, QuickstudyError) as error:
        raise CheckpointError(str(path), expected=expected, got=f"what does not fit: {error}", do=do) from error


def _fields(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise RecordError(where, "a mapping", value)
    types, fields = types_of(kind), {field.name: field for field in dataclasses.fields(kind)}
    needed = {name for name, one in fields.items() if one.default is MISSING and one.default_factory is MISSING}
    if missing := needed - value.keys():
        raise RecordError(where, f"the field {min(missing)!r}", sorted(map(str, value)))
    if unknown := value.keys() - fields.keys():
        raise RecordError(where, f"the fields {sorted(fields)}", min(unknown, key=str))
    return kind(**{name: _value(types[name], one, f"{where}.{name}".lstrip(".")) for name, one in value.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    reasons: list[RecordError] = []
    for part in union_parts(kind):
        try:
            return _part(part, value, where)
        except RecordError as error:
            reasons.append(error)
    raise reasons[0]


def _part(kind: Any, value: Any, where: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if kind in (None, NoneType):
        if value is not None:
            raise RecordError(where, "null", value)
        return None
    if origin is tuple:
        if not isinstance(value, list) or (parts[-1] is not Ellipsis and len(value) != len(parts)):
            raise RecordError(where, "a list" if parts[-1] is Ellipsis else f"a list of {len(parts)}", value)
        each = [parts[0]] * len(value) if parts[-1] is Ellipsis else parts
        return tuple(_value(one, item, f"{where}[{place}]") for place, (one, item) in enumerate(zip(each, value, strict=True)))
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise RecordError(where, "a mapping", value)
        return {name: _value(parts[1], one, f"{where}.{name}") for name, one in value.items()}
    if hasattr(kind, "from_dict"):
        return kind.from_dict(value)
    if dataclasses.is_dataclass(kind):
        return _fields(kind, value, where)
    if (reason := mismatch(value, kind)) is not None:
        raise RecordError(where, reason, value)
    return value
