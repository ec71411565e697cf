"""Architecture as phi: the operation on each edge of a network, learned along with its weights or around their training."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, PositiveInt
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Normalisation
from quickstudy.forward.derivatives import gradient_of
from quickstudy.learners.bilevel.training_run import TrainingRun, hidden
from quickstudy.learners.learner import Loss
from quickstudy.learners.outcome import Values
from quickstudy.models.choice import Choice, Use
from quickstudy.models.mixed import Mixed
from quickstudy.random import Seed

Setting = tuple[int, ...]  # the option on each edge


class Architecture(TrainingRun):
    """Architecture search: descent trains a network's weights, the outer method chooses its operations.

        theta_{t+1}  =  theta_t - a d/dtheta L( f_{theta_t, alpha}(batch) )                                      (1)
        phi = alpha  <-  by the outer loss of theta on held-out examples                                         (2)

    The outer method determines the search: DARTS is `Lookahead(order=1)` or `(order=2)` on a stream with use="mixed"; a
    controller trained by reinforcement is `ScoreFunction` with use="sampled"; `RegularisedEvolution` and `RandomSearch` score
    whole runs. `architecture` is the best choice, `discretised()` the plain network with that choice, to be trained from scratch.

    Args:
        network: a network with `Mixed` edges.
        steps: inner steps of a run.
        inner_lr: a.
        use: how every choice is used: "mixed", "sampled", "gumbel" or "best" (see `Choice`).
        loss: L; None: cross-entropy for labels, mean squared error for targets.
        weight_decay: of theta.
        batch_size: support examples in one inner step on an episode; None: all.
        normalisation: see `TrainingRun`.

    Raises:
        UnsupportedError: a network without `Mixed` edges.

    Source: Liu et al. 2019, algorithm 1; Zoph & Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017; Real et
    al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019.

    Examples:
        >>> learner = qs.Architecture(qs.models.search_cell(4, 3, width=8), steps=10)
        >>> [(name, len(logits)) for name, logits in learner.named_parameters()]  # phi: 4 options on each of 3 edges
        [('choices.0.logits', 4), ('choices.1.logits', 4), ('choices.2.logits', 4)]
        >>> len(learner.architecture), learner.discretised()(torch.randn(5, 4)).shape
        (3, torch.Size([5, 3]))
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        steps: int = 100,
        inner_lr: NonNegativeFloat = 0.1,
        use: Use = "mixed",
        loss: Loss | None = None,
        weight_decay: NonNegativeFloat = 0.0,
        batch_size: PositiveInt | None = None,
        normalisation: Normalisation = "support",
    ):
        super().__init__(steps=steps, batch_size=batch_size, normalisation=normalisation)
        self.student = hidden(network, normalisation)
        choices = [part for part in self.student.module.modules() if isinstance(part, Choice)]
        if not choices:
            raise UnsupportedError(
                "network",
                expected="a network with an operation to choose",
                got=f"{type(network).__name__} without a `Mixed` edge",
                do="Put Mixed([...]) where the choice is, as `search_cell` does.",
            )
        for choice in choices:
            choice.requires_grad_(True)
            choice.use = use
        self.choices = nn.ModuleList(choices)  # the student's own modules: replacing phi replaces it in the student
        self.inner_lr, self.loss_function, self.weight_decay = inner_lr, loss, weight_decay
        logits = {id(choice.logits) for choice in choices}
        self.fixed_names = {name for name, parameter in self.student.module.named_parameters() if id(parameter) in logits}

    def init(self, task: Examples | None, seed: Seed) -> Values:
        """The weights of every operation, drawn from the seed."""
        return {"theta": {name: value for name, value in self.initial(seed).items() if name not in self.fixed_names}}

    def step(self, state: Values, batch: Examples) -> Values:
        """(1)"""

        def L(theta: Parameters) -> tuple[Tensor, tuple[()]]:
            decay = sum((value * value).sum() for value in theta.values()) * (self.weight_decay / 2)
            prediction = self.run(theta, batch.x)
            return self.criterion_of(batch)(prediction, batch.y) + decay, ()

        g = gradient_of(L, state["theta"])[0]
        return {"theta": {name: value - self.inner_lr * g[name] for name, value in state["theta"].items()}}

    def predict(self, state: Values, x: Any) -> Tensor:
        """f_{theta, alpha}(x)."""
        return self.run(state["theta"], x)

    @property
    def criterion(self) -> Loss | None:
        return self.loss_function

    @property
    def architecture(self) -> Setting:
        """The option of the largest logit on each edge."""
        return tuple(choice.best for choice in self.choices)  # type: ignore[misc]

    def discretised(self) -> nn.Module:
        """A plain network of the chosen operations, with the weights of the network passed in."""
        return fixed(self.student.module, self.architecture)


def fixed(network: nn.Module, setting: Sequence[int]) -> nn.Module:
    """A copy of a network with each `Mixed` edge replaced by its option in `setting`.

    Raises:
        ArgumentError: a setting of the wrong length, or an option that does not exist.
    """
    sizes = space(network)
    if len(setting) != len(sizes) or not all(0 <= option < n for option, n in zip(setting, sizes, strict=False)):
        raise ArgumentError(
            "setting", expected=f"one option for each edge, below {sizes}", got=str(tuple(setting)), do="See `architectures`."
        )
    left = iter(setting)
    return _replaced(copy.deepcopy(network), left).requires_grad_(True)


def space(network: nn.Module) -> list[int]:
    """How many options each `Mixed` edge has, in the order of the network's modules."""
    return [len(part.options) for part in network.modules() if isinstance(part, Mixed)]


def architectures(network: nn.Module) -> Iterator[Setting]:
    """Every setting of a search space."""
    return itertools.product(*(range(n) for n in space(network)))


def _replaced(module: nn.Module, left: Iterator[int]) -> nn.Module:
    if isinstance(module, Mixed):
        return module.options[next(left)]
    for name, child in module.named_children():
        setattr(module, name, _replaced(child, left))
    return module
