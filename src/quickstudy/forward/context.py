"""Context: what a forward pass depends on beside its inputs; and the one function that says where a norm looks.

    source(policy, moment, training)  ->  "batch" | "record" | "replay" | "running"

                       a step    the support, read   a query       support and query,
                       "inner"   "support"           "query"       in one batch: "episode"
    "support"          batch     record              replay        batch
    "running", in training:
                       batch     record              record        record
    "running", after   running   running             running       running
    "transductive"     batch     batch               batch         batch
    "frozen"           running   running             running       running

"batch" takes the statistics of the norm's own input, "record" does so and keeps them, "replay" takes those that were kept of the
support, "running" the module's averages. What training records under "running" the outer loop averages.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor

from quickstudy.errors import ArgumentError

Normalisation = Literal["support", "running", "transductive", "frozen"]
NORMALISATIONS: tuple[Normalisation, ...] = ("support", "running", "transductive", "frozen")

Moment = Literal["inner", "support", "query", "episode"]
Source = Literal["batch", "record", "replay", "running"]


class Context(NamedTuple):
    """What a call depends on beside its inputs; handed on as an argument, never looked up.

    Attributes:
        training: whether this is meta-training: `self.training` of every module in the copy that is run.
        seed: of all random numbers; an int, or an int64 scalar tensor (one for each task, inside vmap).
    """

    training: bool = False
    seed: int | Tensor = 0


def source(policy: Normalisation, moment: Moment, training: bool) -> Source:
    """Where a batch norm takes its statistics: see the table above."""
    if policy == "support":
        sources: dict[Moment, Source] = {"inner": "batch", "support": "record", "query": "replay", "episode": "batch"}
        return sources[moment]
    if policy == "running" and training:
        return "batch" if moment == "inner" else "record"
    return "batch" if policy == "transductive" else "running"


def check_normalisation(normalisation: str) -> Normalisation:
    """The policy itself.

    Raises:
        ArgumentError: there is no such policy.
    """
    if normalisation not in NORMALISATIONS:
        raise ArgumentError(
            "normalisation",
            expected="one of " + ", ".join(repr(name) for name in NORMALISATIONS),
            got=repr(normalisation),
            do="'support' is the non-transductive default; 'transductive' is what the MAML paper's code does.",
        )
    return normalisation
