"""Context: what a forward pass depends on besides its inputs; `source`: which statistics a norm uses.

    source(policy, moment, training)  ->  "batch" | "record" | "replay" | "running"

                       a step    the support, read   a query       support and query,
                       "inner"   "support"           "query"       in one batch: "episode"
    "support"          batch     record              replay        batch
    "running", in training:
                       batch     record              record        record
    "running", after   running   running             running       running
    "transductive"     batch     batch               batch         batch
    "frozen"           running   running             running       running

"batch" uses the statistics of the norm's own input, "record" also keeps them, "replay" uses those recorded on the support, and
"running" the module's averages. Under the policy "running", the outer loop averages what training records.
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
    """What a call depends on besides its inputs; always passed as an argument, never a global.

    Attributes:
        training: whether this is meta-training; becomes `self.training` of every module in the copy that runs.
        seed: the seed of all random numbers: an int, or an int64 scalar tensor (one for each task, inside vmap).

    Examples:
        >>> from quickstudy.forward import Context, Forward, call
        >>> dropout, x = torch.nn.Dropout(0.5), torch.ones(8)
        >>> torch.equal(call(dropout, {}, x, Forward(Context())), x)
        True
        >>> torch.equal(call(dropout, {}, x, Forward(Context(training=True, seed=1))), x)
        False
    """

    training: bool = False
    seed: int | Tensor = 0


def source(policy: Normalisation, moment: Moment, training: bool) -> Source:
    """Where a batch norm takes its statistics: see the table at the top of this module."""
    if policy == "support":
        sources: dict[Moment, Source] = {"inner": "batch", "support": "record", "query": "replay", "episode": "batch"}
        return sources[moment]
    if policy == "running" and training:
        return "batch" if moment == "inner" else "record"
    return "batch" if policy == "transductive" else "running"


def check_normalisation(normalisation: str) -> Normalisation:
    """The policy itself, if it exists.

    Raises:
        ArgumentError: it does not.
    """
    if normalisation not in NORMALISATIONS:
        raise ArgumentError(
            "normalisation",
            expected="one of " + ", ".join(repr(name) for name in NORMALISATIONS),
            got=repr(normalisation),
            do="'support' is the non-transductive default; 'transductive' is what the MAML paper's code does.",
        )
    return normalisation
