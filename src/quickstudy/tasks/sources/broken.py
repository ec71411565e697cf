"""Items that cannot be read: reported together, or left out by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from quickstudy.errors import DataError

SHOWN = 20  # broken items that one message names


class BrokenItems(DataError):
    """Some items of a source that cannot be read.

    Attributes:
        errors: by place among the rows asked for, why each cannot be read.
        x: the other items, in their order.
    """

    def __init__(self, errors: Mapping[int, DataError], x: Tensor):
        one = together(list(errors.values()), f"{len(errors)} of {len(errors) + len(x)} items")
        super().__init__(one.argument, expected=one.expected, got=one.got, do=one.do)
        self.errors, self.x = dict(errors), x


def together(broken: Sequence[DataError], argument: str) -> DataError:
    """One error for several items."""
    if len(broken) == 1:
        return broken[0]
    do = " ".join(dict.fromkeys(error.do for error in broken))
    return DataError(argument, expected="files that can be read", got=named(broken), do=do)


def named(broken: Sequence[DataError]) -> str:
    """Each of them with its reason, as far as a message can hold them."""
    each = [f"{error.argument} ({error.got})" for error in broken[:SHOWN]]
    return "; ".join(each) + (f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else "")
