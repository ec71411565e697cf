"""Comparison: the base of learners that embed support and query with one network and compare the embeddings.

    learn(support)  =  read( f_phi(support.x), support.y, ways )          predict(values, x)  =  compare( values, f_phi(x) )

A subclass defines `read` and `compare`; this base runs the network, under the normalisation policy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.forward.call import apply, plain
from quickstudy.forward.context import Context, Normalisation
from quickstudy.forward.mode import Forward
from quickstudy.learners.learner import Learner, Loss, check_ways, recorded
from quickstudy.learners.outcome import Log, Outcome, averages
from quickstudy.models.conv4 import Conv4
from quickstudy.models.mlp import MLP
from quickstudy.models.resnet12 import ResNet12
from quickstudy.targets import SoftLabels


class Comparison(Learner, ABC):
    """The base of a learner that compares embeddings.

    Args:
        embed: f_phi, (examples, *feature) -> (examples, *features).
        normalisation: "running" by default: averages over meta-training, as in most implementations of these methods.
    """

    def __init__(self, embed: nn.Module, *, normalisation: Normalisation = "running"):
        super().__init__(normalisation=normalisation)
        self.embed = plain("embed", embed)

    @abstractmethod
    def read(self, z: Tensor, y: Tensor, ways: int) -> Any:
        """What is learned, from the embedded support z (examples, *features) and its labels y (examples,)."""

    @abstractmethod
    def compare(self, values: Any, z: Tensor) -> Tensor:
        """Logits (examples, ways) of embedded queries z (examples, *features)."""

    def learn(self, support: Examples) -> Any:
        """`read` on the embedded support."""
        return self.read(apply(self.embed, support.x), support.y, check_ways("support.y", support))

    def predict(self, values: Any, x: Any) -> Tensor:
        """Logits (examples, ways)."""
        return self.compare(values, apply(self.embed, x))

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """The query loss; support and query are embedded in one batch where the policy allows it."""
        if self.normalisation == "support":
            return super().outcome(episode, context, criterion)
        return self.jointly(episode, context, criterion)

    def jointly(self, episode: Episode, context: Context, criterion: Loss | None) -> Outcome:
        """The outcome of the embedded support and the embedded query together."""
        scope = self.scope(context)
        with scope:
            criterion = self.criterion_of(episode.query, criterion)
            loss, log = self.compared(*self.embedded(episode, context), episode, criterion)
        return Outcome(loss, log, averages([recorded(scope)]) if self.averages(context) else {}, ())

    def compared(self, support_z: Tensor, query_z: Tensor, episode: Episode, criterion: Loss) -> tuple[Tensor, Log]:
        """The loss of an embedded episode, and scalars to log."""
        values = self.read(support_z, episode.support.y, check_ways("support.y", episode.support))
        return criterion(self.compare(values, query_z), episode.query.y), self.measured(values)

    def embedded(self, episode: Episode, context: Context) -> tuple[Tensor, Tensor]:
        """The embedded support and the embedded query.

        In one batch, as these papers' code does; under "support" one after the other, the query with the support's statistics.
        """
        support, query = episode.support, episode.query
        if self.normalisation != "support":
            z = apply(self.embed, pytree.tree_map(lambda a, b: torch.cat([a, b]), support.x, query.x))
            support_z, query_z = z.split([len(support), len(query)])
            return support_z, query_z
        first = Forward(context, "record")
        with first:
            support_z = apply(self.embed, support.x)
        second = Forward(context, "replay", -1, first.statistics)
        with second:
            return support_z, apply(self.embed, query.x)


def check_hard(learner: Learner, query: Examples, do: str) -> None:
    """Raise UnsupportedError where a learner reads the labels of queries, and these are shares of classes."""
    if isinstance(query.target, SoftLabels):
        raise UnsupportedError(
            "augment=[MetaMix()]",
            expected="a learner that compares its answers with the labels of queries, and reads them for nothing else",
            got=f"{type(learner).__name__}, which reads them as classes",
            do=f"Leave it out, or {do}.",
        )


def features_of(argument: str, embed: nn.Module) -> int:
    """The number of features of an embedding of `quickstudy.models`; ArgumentError for any other network."""
    if isinstance(embed, MLP):
        return embed.outputs
    if isinstance(embed, Conv4 | ResNet12):
        return embed.features if embed.ways is None else embed.ways
    raise ArgumentError(
        argument,
        expected="one built for the number of features that `embed` gives, which is known of quickstudy.models alone",
        got="none",
        do=f"Build `{argument}` with that number.",
    )
