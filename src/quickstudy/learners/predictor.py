"""Predictor: a learner adapted to a support set."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.forward.context import Context
from quickstudy.learners.contradictions import MARGIN, Contradiction, contradicted
from quickstudy.learners.outcome import State
from quickstudy.targets import Target

if TYPE_CHECKING:
    from pathlib import Path

    from quickstudy.episode import Examples
    from quickstudy.learners.learner import Learner


class Predictor:
    """An adapted learner: `predictor(x)` answers for new x, (examples, ways) logits or (examples, *target) targets.

    It holds the learner and the state that the learner read from the support, and no graph. Called twice it answers the same,
    even if its networks draw random numbers, and several threads may call it at once.

    Attributes:
        learner: the learner that adapted.
        state: what it learned from the support.
        target: the kind of the support's y: see `quickstudy.targets`.
        features: the shapes of the tensors of an example in the support; empty where there was none.

    Examples:
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, queries=10).test.sample(1)[0]
        >>> predictor = qs.Prototypical(qs.models.mlp(4, 8)).adapt(task.support)
        >>> predictor(task.query.x).shape, predictor.predict(task.query.x).shape
        (torch.Size([30, 3]), torch.Size([30]))
        >>> torch.allclose(predictor.predict_proba(task.query.x).sum(1), torch.ones(30))
        True
        >>> named = qs.Prototypical(qs.models.mlp(1, 8)).adapt(qs.Examples([[0.0], [1.0]], ["low", "high"]))
        >>> named.predict([[0.1], [0.9]]).tolist()
        ['low', 'high']
    """

    def __init__(self, learner: Learner, state: State, target: Target, features: list[tuple[int, ...]], seed: int = 0):
        self.learner, self.state, self.target, self.features, self.seed = learner, state, target, features, seed

    def __call__(self, x: Any) -> Tensor:
        """Logits (examples, ways), or targets (examples, *target).

        Args:
            x: as for `Examples`: tensors, or arrays, tables and lists, which are brought to the learner's dtype.

        Raises:
            ShapeError: x has other features than the support had.
            LabelError: text in x.
            ArgumentError: a tensor of a dtype that the learner's networks do not take.
        """
        from quickstudy.learners.learner import inputs_of, shapes_explained

        x = inputs_of(x, "x", self.learner, self.state)
        self._check_features(x)
        device = self.learner.device
        with torch.no_grad(), shapes_explained("predictor(x)", x):
            x = pytree.tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, x)
            return self.learner.copied().answer(self.state, x, Context(False, self.seed)).prediction

    @property
    def ways(self) -> int | None:
        """The number of classes; None where the task has none."""
        return self.target.ways

    def predict(self, x: Any) -> Tensor | np.ndarray:
        """The answer in the form of the support's y: class labels (examples,) int64, values, or zeros and ones.

        Where the classes have names, a NumPy array (examples,) of them.
        """
        return self.target.named(self.target.read(self(x)))

    def predict_proba(self, x: Any) -> Tensor:
        """Probabilities: of the classes (examples, ways), of each label of several, or of yes.

        Raises:
            UnsupportedError: the task has targets without probabilities.
        """
        return self.target.probabilities(self(x))

    def uncertainty(self, x: Any) -> Tensor:
        """The entropy of the answer to each example: (examples,). See `Target.uncertainty`.

        Raises:
            UnsupportedError: the task has values, and the learner predicts no variance of them.
        """
        return self.target.uncertainty(self(x))

    def most_uncertain(self, pool: Any, n: int = 1) -> Tensor:
        """Which examples to label next: the n of the pool whose answers have the largest entropy.

            argmax_x  H[ p(y | x, support) ]

        Source: Lewis & Gale, "A sequential algorithm for training text classifiers", SIGIR 1994; by entropy: Settles, "Active
        learning literature survey", 2009.

        Args:
            pool: as x of `predictor(x)`.
            n: how many; adapt again after each batch of labels, since the n may be alike.

        Returns:
            (n,) their rows in the pool, the most uncertain first.

        Raises:
            ArgumentError: n below 1, or above the number of examples.
            UnsupportedError: the task has values, and the learner predicts no variance of them.
        """
        uncertainty = self.uncertainty(pool)
        if not 1 <= n <= len(uncertainty):
            raise ArgumentError(
                "n", expected=f"1 to {len(uncertainty)}, as many as the pool has", got=str(n), do="Ask for fewer, or for one."
            )
        return uncertainty.cpu().argsort(descending=True, stable=True)[:n]

    def contradicted(self, support: Examples, margin: float = MARGIN) -> list[Contradiction]:
        """The examples of the support that the others of their class contradict: see `quickstudy.learners.contradictions`.

        Args:
            support: the examples that the predictor was adapted to; it does not keep them. The learner adapts to them anew, once
                for each example, without it.
            margin: the least margin, in nats.

        Raises:
            UnsupportedError: the support has no labels.
        """
        return contradicted(self.learner, support, margin)

    def to_module(self) -> nn.Module:
        """A plain detached `nn.Module` whose forward(x) is this predictor's answer; it shares no tensor with the learner."""
        state = pytree.tree_map(lambda leaf: leaf.detach().clone(), self.state)
        return AdaptedModule(copy.deepcopy(self.learner), state, self.seed)

    def save(self, path: str | Path) -> None:
        """Save as a folder, learner and state. `quickstudy.load(path)` reads the predictor back."""
        from quickstudy.artifacts.store import save_predictor

        save_predictor(self, path)

    def __repr__(self) -> str:
        features = f"features of shape {_one(self.features)}" if self.features else "without a support"
        return f"Predictor({self.learner!r}, {self.target}, {features})"

    def _repr_html_(self) -> str:
        from quickstudy.report.notebook import of_predictor

        return of_predictor(self)

    def _check_features(self, x: Any) -> None:
        if not self.features:  # there was no support
            return
        features = features_of(x)
        if features != self.features and self.learner.query_like_support:
            raise ShapeError(
                "predictor(x)",
                expected=f"x with a leading axis of examples and features of shape {_one(self.features)}, as the support had",
                got=_one(_shapes(x)),
                do="Bring x through the same preprocessing; one example alone is x[None].",
            )


class AdaptedModule(nn.Module):
    """The forward of an adapted learner as a module; the state's tensors are its buffers."""

    def __init__(self, learner: Learner, state: State, seed: int = 0):
        super().__init__()
        self.learner = learner.requires_grad_(False).copied()  # a private copy, so that an export does not trace copying
        self.seed = seed
        leaves, self.structure = pytree.tree_flatten(state)
        for index, leaf in enumerate(leaves):
            self.register_buffer(f"state_{index}", leaf)

    def forward(self, x: Any) -> Tensor:
        """Logits (examples, ways), or targets (examples, *target)."""
        leaves = [getattr(self, f"state_{index}") for index in range(self.structure.num_leaves)]
        learner = self.learner if torch.compiler.is_compiling() else self.learner.copied()
        state = pytree.tree_unflatten(leaves, self.structure)
        return learner.answer(state, x, Context(False, self.seed)).prediction


def _shapes(x: Any) -> list[tuple[int, ...]]:
    """The shapes of x's tensors, sorted by key, so that the order in which a mapping was written does not matter."""
    leaves = pytree.tree_flatten_with_path(x)[0]
    return [tuple(leaf.shape) for _, leaf in sorted(leaves, key=lambda one: pytree.keystr(one[0]))]


def features_of(x: Any) -> list[tuple[int, ...]]:
    """The shapes of x's tensors without the axis of examples."""
    return [shape[1:] for shape in _shapes(x)]


def _one(shapes: list[tuple[int, ...]]) -> str:
    return str(shapes[0] if len(shapes) == 1 else shapes)
