"""Predictor: what a learner becomes when it has adapted to a support set."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.episode import Examples
from quickstudy.errors import ShapeError, UnsupportedError
from quickstudy.forward.context import Context
from quickstudy.learners.outcome import State

if TYPE_CHECKING:
    from pathlib import Path

    from quickstudy.learners.learner import Learner


class Predictor:
    """An adapted learner: `predictor(x)` answers for new x, (examples, ways) logits or (examples, *target) targets.

    It holds its learner and the state that the learner read from the support; nothing else, and no graph. Asked twice it answers
    twice the same, whatever its networks draw, and several threads may ask it at once.
    """

    def __init__(self, learner: Learner, state: State, support: Examples, seed: int = 0):
        self.learner, self.state, self.ways, self.seed = learner, state, support.ways, seed
        self.features = [shape[1:] for shape in _shapes(support.x)]

    def __call__(self, x: Any) -> Tensor:
        """Logits (examples, ways), or targets (examples, *target).

        Raises:
            ShapeError: x has other features than the support had.
        """
        self._check_features(x)
        device = self.learner.device
        with torch.no_grad():
            x = pytree.tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, x)
            return self.learner.copied().answer(self.state, x, Context(False, self.seed)).prediction

    def predict(self, x: Any) -> Tensor:
        """Class labels (examples,) int64, or targets."""
        answer = self(x)
        return answer if self.ways is None else answer.argmax(-1)

    def predict_proba(self, x: Any) -> Tensor:
        """Class probabilities (examples, ways): the softmax of the logits.

        Raises:
            UnsupportedError: the task has targets and no classes.
        """
        if self.ways is None:
            raise UnsupportedError(
                "predict_proba", expected="a task with classes", got="targets", do="Use predictor(x) for the predicted targets."
            )
        return self(x).softmax(-1)

    def to_module(self) -> nn.Module:
        """A plain detached `nn.Module` whose forward(x) is this predictor's answer; it shares no tensor with the learner."""
        state = pytree.tree_map(lambda leaf: leaf.detach().clone(), self.state)
        return AdaptedModule(copy.deepcopy(self.learner), state, self.seed)

    def save(self, path: str | Path) -> None:
        """Save as a folder, learner and state. `quickstudy.load(path)` reads the predictor back."""
        from quickstudy.store import save_predictor

        save_predictor(self, path)

    def _check_features(self, x: Any) -> None:
        features = [shape[1:] for shape in _shapes(x)]
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
        self.learner = learner.requires_grad_(False).copied()  # a private copy, so that an export need not trace one
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
    """The shapes of x's tensors, a mapping's by its keys in their order: in which they were written does not matter."""
    leaves = pytree.tree_flatten_with_path(x)[0]
    return [tuple(leaf.shape) for _, leaf in sorted(leaves, key=lambda one: pytree.keystr(one[0]))]


def _one(shapes: list[tuple[int, ...]]) -> str:
    return str(shapes[0] if len(shapes) == 1 else shapes)
