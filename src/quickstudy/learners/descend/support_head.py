"""SupportHead: the base of descents whose linear head begins at what the support says, of examples or of their tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, PositiveFloat
from quickstudy.episode import Examples
from quickstudy.errors import ShapeError, UnsupportedError
from quickstudy.forward.call import call, tensor_of
from quickstudy.forward.context import Context, Normalisation
from quickstudy.forward.mode import Forward
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import Hypergradient
from quickstudy.learners.descend.inner_problem import Iterate
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.learners.descend.rule import InnerRule
from quickstudy.learners.functional import class_means, present_means
from quickstudy.learners.learner import Loss, check_ways
from quickstudy.targets import TokenLabels

Means = Callable[[Tensor], Tensor]


class SupportHead(Descent):
    """The interface: theta_0 = (phi, w, b), where w (ways, features) and b (ways,) are `head` of the embedded support.

    The head is no part of phi, so meta-training and test may have different ways. The meta-gradient passes through `head`.

    With `targets.TokenLabels` f gives (examples, length, features): each token is classified, those of the support make the head,
    and a class that none of them has begins with w = 0, b = 0.

    Args:
        network: w f(x) + b, see `HeadedNetwork`.
        adapts: globs over the network's parameters.
        inner_lr, inner_steps, hypergradient, loss, normalisation, rule, clip, name: as in `Descent`.

    Raises:
        UnsupportedError: a hypergradient that sees only the last state, since it takes theta_0 to be phi.

    Examples:
        >>> from quickstudy.learners.descend import PrototypeHead
        >>> from quickstudy.learners.descend.support_head import SupportHead
        >>> issubclass(PrototypeHead, SupportHead)
        True
    """

    label_equivariant = True  # the support sets its head, whatever the order of its classes

    def __init__(
        self,
        network: HeadedNetwork,
        *,
        inner_lr: NonNegativeFloat | LearnedRates,
        inner_steps: NonNegativeInt,
        hypergradient: Hypergradient,
        loss: Loss | None,
        normalisation: Normalisation,
        rule: InnerRule,
        clip: PositiveFloat | None,
        name: str,
        adapts: str | Sequence[str] = "*",
    ):
        if not hypergradient.every_step:
            raise UnsupportedError(
                "hypergradient",
                expected="one that passes through every step, and so to the head's beginning",
                got=repr(hypergradient),
                do="Use Unrolled() or FirstOrder().",
            )
        super().__init__(
            network,
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            hypergradient=hypergradient,
            loss=loss,
            adapts=adapts,
            normalisation=normalisation,
            rule=rule,
            clip=clip,
            name=name,
        )
        for tensor in (network.w, network.b):
            tensor.requires_grad_(False)  # each task sets its own: not part of phi

    @abstractmethod
    def head(self, z: Tensor, means: Means) -> tuple[Tensor, Tensor]:
        """w (ways, features) and b (ways,), from the support's embeddings z (..., features).

        `means` takes something of each of them, (..., size), to its mean over those of a class, (ways, size).
        """

    def start(self, support: Examples, context: Context) -> Iterate:
        """theta_0."""
        assert isinstance(self.network, HeadedNetwork)
        z = call(self.network.embed, {}, support.x, Forward(context, self._inner_source(context), -3))
        ways, of_tokens = check_ways("support.y", support), isinstance(support.target, TokenLabels)
        check_tokens(z, support.y, of_tokens)
        w, b = self.head(z, lambda of_each: (present_means if of_tokens else class_means)(of_each, support.y, ways))
        theta = {**self.initial(), "w": w, "b": b}
        return Iterate(theta, self.rule.init(theta))


def check_tokens(z: Tensor, y: Tensor, of_tokens: bool) -> None:
    """Raise ShapeError for embeddings that do not have an axis for each of the labels'."""
    if z.shape[:-1] != y.shape:
        what = "token" if of_tokens else "example"
        do = "A network with pool=False gives an output for each token, one with pool=True for each text."
        raise ShapeError("embed", expected=f"features of each {what}: {(*y.shape, 'features')}", got=str(tuple(z.shape)), do=do)


class HeadedNetwork(nn.Module):
    """w h(f(x)) + b: an embedding, a projection and a linear head; every task sets w and b.

    Args:
        embed: f, (examples, *feature) -> (examples, features), or (examples, length, features) for labels of tokens.
        project: h; None: the identity.

    Examples:
        >>> from quickstudy.learners.descend.support_head import HeadedNetwork
        >>> network = HeadedNetwork(torch.nn.Linear(4, 3))
        >>> network.w.data, network.b.data = torch.ones(2, 3), torch.zeros(2)
        >>> network(torch.randn(5, 4)).shape
        torch.Size([5, 2])
    """

    def __init__(self, embed: nn.Module, project: nn.Module | None = None):
        super().__init__()
        self.embed, self.project = embed, project
        self.w, self.b = nn.Parameter(torch.zeros(1, 1)), nn.Parameter(torch.zeros(1))

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """(examples, *feature) -> (examples, ways), or (examples, length, ways)."""
        z = tensor_of(self.embed(*args, **kwargs), self.embed)
        return (z if self.project is None else self.project(z)) @ self.w.T + self.b
