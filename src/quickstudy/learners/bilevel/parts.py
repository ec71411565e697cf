"""The interfaces of the learnable parts of a training: update rule, loss of an example, weights of examples.

Each is a plain module; its parameters become part of phi when a `LearnedTraining` is built with it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.episode import Examples, is_labels
from quickstudy.errors import UnsupportedError
from quickstudy.forward.call import Parameters

RuleState = dict[str, Any]


class UpdateRule(nn.Module):
    """The interface of a learned update rule:  theta_{t+1}, s_{t+1}  =  rule(theta_t, g_t, s_t).

    A rule treats every tensor of theta separately: on {a, b} it does the same as on {a} and on {b}. So one rule serves networks
    of any shape, and an optimizer keeps its state tensor by tensor.

    `keep_gradients`: True if the derivative passes through g_t into the student (second derivatives), False if it takes g_t as a
    constant.
    """

    keep_gradients = True

    def init(self, theta: Parameters) -> RuleState:
        """s_0, a tree of tensors."""
        raise _undefined(self, "init(theta) -> state")

    def forward(self, theta: Parameters, g: Parameters, state: RuleState) -> tuple[Parameters, RuleState]:
        """theta_{t+1} and s_{t+1}."""
        raise _undefined(self, "forward(theta, g, state) -> (theta, state)")


class ExampleLoss(nn.Module):
    """The interface of a learned loss: one number for each example. A call returns their mean, as any criterion does."""

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The loss of every example (examples,)."""
        raise _undefined(self, "each(prediction, y) -> (examples,)")

    def forward(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The mean over the examples."""
        return self.each(prediction, y).mean()


class ExampleWeights(nn.Module):
    """The interface of learned example weights: the objective of a step is  sum_i w_i l_i."""

    order_invariant = True  # whether a weight depends on the example and not on its position

    def forward(self, losses: Tensor, batch: Examples) -> Tensor:
        """w (examples,) from the examples' losses (examples,)."""
        raise _undefined(self, "forward(losses, batch) -> (examples,)")


def default_each(prediction: Tensor, y: Tensor) -> Tensor:
    """The loss of every example (examples,): cross-entropy for integer labels, mean squared error for targets."""
    if is_labels(y):
        return F.cross_entropy(prediction, y, reduction="none")
    return ((prediction - y) ** 2).reshape(y.shape[0], -1).mean(1)


def logit(p: float) -> Tensor:
    """ln( p / (1 - p) )."""
    return torch.logit(torch.tensor(float(p)))


def _undefined(part: nn.Module, what: str) -> UnsupportedError:
    return UnsupportedError(type(part).__name__, expected=f"a part that defines {what}", got="one that does not", do="Define it.")
