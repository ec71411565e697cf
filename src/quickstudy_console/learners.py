"""A learner that there is not, as the first word after `train` or `explain`: refused before torch is imported.

The names are those that the script for completion completes there; it is made from the registry, and a test compares the two.
Names of tasks are not judged here: other packages may add some.
"""

from __future__ import annotations

import re

TAKE_A_LEARNER = ("train", "explain")


def learners() -> list[str]:
    """The names of the learners."""
    from quickstudy_console.completion import SCRIPT

    found = re.search(r'train\|explain\) .*-W "([^"]*)"', SCRIPT.read_text(encoding="utf-8"))
    assert found is not None
    return found[1].split()


def refusal(argv: list[str]) -> str | None:
    """What the package would say of the learner in `quickstudy train LEARNER ...`; None where it has to look itself."""
    if len(argv) < 2 or argv[0] not in TAKE_A_LEARNER or argv[1].startswith("-"):
        return None
    from quickstudy_console.words import nearest, printable

    known = learners()
    if argv[1] in known:
        return None
    do = nearest(argv[1], known)
    do = do if do.startswith("Did") else "Take one of these names."  # they are listed already, as in `quickstudy.registry.named`
    return printable(f"quickstudy {argv[0]}: `LEARNER`: expected one of {', '.join(known)}, got {argv[1]}. {do}")
