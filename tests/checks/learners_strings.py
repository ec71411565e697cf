"""The learner of strings and its controls, built small, with an episode that each can learn; see tests/checks/learners.py."""

from __future__ import annotations

from tests.checks.learners import Case, case

import quickstudy as qs
from quickstudy.domains.text.strings import NearestPair, Transducer, Unchanged

STRINGS = qs.tasks.Strings(length=5)


def strings() -> qs.Episode:
    """Words and their first two letters turned about."""
    turned = lambda words: STRINGS.pairs(words, [word[1] + word[0].upper() for word in words])
    return qs.Episode(turned(["ab", "Dice", "zyx"]), turned(["no12", "ij"]))


CASES: dict[str, Case] = {
    "Transducer": case(lambda: Transducer(5, width=8, heads=2, depth=1), strings),
    "Transducer, deeper": case(lambda: Transducer(5, width=8, heads=2, depth=2), strings),
    "NearestPair": case(lambda: NearestPair(), strings),
    "Unchanged": case(lambda: Unchanged(), strings),
}
