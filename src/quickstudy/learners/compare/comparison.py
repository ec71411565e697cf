"""Comparison: the base of learners that embed support and query by one network and compare them there.

    learn(support)  =  read( f_phi(support.x), support.y, ways )          predict(state, x)  =  compare( state, f_phi(x) )

A page defines `read` and `compare`; the network, the policy and the batch in which it runs are here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError
from quickstudy.learners.learner import Learner, Loss, State, check_ways
from quickstudy.models.conv4 import Conv4
from quickstudy.models.mlp import MLP
from quickstudy.models.resnet12 import ResNet12
from quickstudy.network import plain
from quickstudy.rules import Normalisation, Rules, active


class Comparison(Learner, ABC):
    """The interface of such a learner.

    Args:
        embed: f_phi, (examples, *feature) -> (examples, *features).
        normalisation: "running" by default: averages over meta-training, as most code of these methods does.
    """

    def __init__(self, embed: nn.Module, *, normalisation: Normalisation = "running"):
        super().__init__(normalisation=normalisation)
        self.embed = plain("embed", embed)

    @abstractmethod
    def read(self, z: Tensor, y: Tensor, ways: int) -> State:
        """The state, from the embedded support z (examples, *features) and its labels y (examples,)."""

    @abstractmethod
    def compare(self, state: State, z: Tensor) -> Tensor:
        """Logits (examples, ways) of embedded queries z (examples, *features)."""

    def learn(self, support: Examples) -> State:
        """`read` on the embedded support."""
        return self.read(self.embed(support.x), support.y, check_ways("support.y", support))

    def predict(self, state: State, x: Any) -> Tensor:
        """Logits (examples, ways)."""
        return self.compare(state, self.embed(x))

    def loss(self, episode: Episode, criterion: Loss | None = None) -> Tensor:
        """The query loss; support and query are embedded in one batch where the policy allows it."""
        if self.normalisation == "support":
            return super().loss(episode, criterion)
        support, query = episode.support, episode.query
        own, asked = self.embedded(episode)
        state = self.read(own, support.y, check_ways("support.y", support))
        return (criterion or self.criterion)(self.compare(state, asked), query.y)

    def embedded(self, episode: Episode) -> tuple[Tensor, Tensor]:
        """The embedded support and the embedded query, for a loss that is made of both.

        In one batch, as these papers' code does; under "support" one after the other, the query with the support's statistics.
        """
        support, query = episode.support, episode.query
        if self.normalisation != "support":
            z = self.embed(pytree.tree_map(lambda a, b: torch.cat([a, b]), support.x, query.x))
            own, asked = z.split([len(support), len(query)])
            return own, asked
        outer = active()
        seed = outer.seed if outer is not None else None
        with Rules("record", seed=seed) as recorded:
            own = self.embed(support.x)
        with Rules("replay", kept=recorded.kept, seed=seed, step=1):
            return own, self.embed(query.x)


def features_of(argument: str, embed: nn.Module) -> int:
    """How many features an embedding of `quickstudy.models` gives; ArgumentError for any other network."""
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
