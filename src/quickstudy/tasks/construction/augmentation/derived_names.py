"""Names of the classes that an augmentation makes: each names the classes that it was made from.

alpha/rot090          `Rotations`: alpha, turned by 90 degrees
alpha/half1           `SplitClasses`: one half of alpha's examples
alpha + beta          `MergeClasses`: the examples of both
"""

from __future__ import annotations

import re
from collections.abc import Container

TURN = r"/rot(000|090|180|270)"
HALF = r"/half[12]"
PLUS = " + "


def turn_of(name: str) -> str:
    """'/rot090' of a rotated class, or of a half of one; '' of any other."""
    found = re.search(rf"({TURN})(?:{HALF})?$", name)
    return found[1] if found else ""


def unturned(name: str) -> str:
    """The name of the class that was rotated, or halved, or both."""
    return re.sub(rf"(?:{TURN})?(?:{HALF})?$", "", name)


def origins(name: str, known: Container[str]) -> list[str]:
    """Those of the known classes that a class was made from; none where the name does not say it."""
    for one in (name, unturned(name)):
        if one in known:
            return [one]
    for place in (found.start() for found in re.finditer(re.escape(PLUS), name)):
        both = [origins(part, known) for part in (name[:place], name[place + len(PLUS) :])]
        if all(both):
            return list(dict.fromkeys([*both[0], *both[1]]))
    return []
