"""The in-context transformer and its tables, built small, with an episode that each can learn; see tests/checks/learners.py."""

from __future__ import annotations

from tests.checks.learners import FEATURES, WAYS, Case, case, network, normed, targets

from quickstudy.domains.tables.prior_fitted import PriorFitted
from quickstudy.learners.read.in_context import InContext
from quickstudy.learners.read.in_context_regressor import InContextRegressor
from quickstudy.learners.read.transformer import Transformer
from quickstudy.learners.solve.ridge import Ridge
from quickstudy.learners.wrap.tables import Tables

SMALL = {"width": 8, "depth": 2, "heads": 2}


def in_context(**arguments) -> InContext:
    return InContext(max_ways=WAYS + 1, **{"features": FEATURES, **SMALL, **arguments})


CASES: dict[str, Case] = {
    "InContext": case(lambda: in_context()),
    "InContext, embedded": case(lambda: in_context(embed=network(5), features=5)),
    **{
        f"InContext, {policy}": case(lambda policy=policy: in_context(embed=normed(), features=WAYS, normalisation=policy))
        for policy in ("support", "running", "transductive", "frozen")
    },
    "InContext, of a transformer": case(lambda: in_context(transformer=Transformer(**SMALL))),
    "InContextRegressor": case(lambda: InContextRegressor(features=FEATURES, **SMALL), targets),
    "PriorFitted": case(lambda: PriorFitted(FEATURES + 3, WAYS + 1, members=3, **SMALL)),
    "PriorFitted, fewer features": case(lambda: PriorFitted(FEATURES - 2, WAYS + 1, members=3, **SMALL)),
    "PriorFitted, fewer rows": case(lambda: PriorFitted(FEATURES, WAYS + 1, members=2, max_support=7, **SMALL)),
    "Tables, ridge": case(lambda: Tables(Ridge(normalisation="support"), features=4)),
}
