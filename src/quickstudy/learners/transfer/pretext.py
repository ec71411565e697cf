"""Pretext heads: an embedding is pre-trained with one, and tasks do not use it.

A head has no weights until `build`, since their shapes depend on the data. From then on they are part of phi and are saved, so
that pre-training can continue; loading a state dict that holds them builds them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.learners.functional import cosine


class Pretext(nn.Module, ABC):
    """The interface of a pretext head: forward(z), z (examples, features)."""

    @abstractmethod
    def shapes(self, features: int, classes: int) -> dict[str, tuple[int, ...]]:
        """The shape of each weight, for an embedding of `features` and data of `classes`."""

    def build(self, features: int, classes: int, like: Tensor) -> None:
        """Make the weights, of the dtype and on the device of `like`; those that already have their shape are kept.

        They are normal of variance 1/inputs, from a generator of their own with a fixed seed.
        """
        generator = torch.Generator().manual_seed(0)
        for name, shape in self.shapes(features, classes).items():
            drawn = torch.randn(shape, generator=generator) * shape[-1] ** -0.5
            weight = getattr(self, name)
            if weight is None or weight.shape != shape:
                setattr(self, name, nn.Parameter(drawn.to(like)))

    @property
    def built(self) -> bool:
        """Whether it has its weights."""
        return all(weight is not None for weight in self._parameters.values())

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        for name, weight in list(self._parameters.items()):
            saved = state_dict.get(prefix + name)
            if saved is not None and (weight is None or weight.shape != saved.shape):
                setattr(self, name, nn.Parameter(torch.empty_like(saved)))
        super()._load_from_state_dict(state_dict, prefix, *args)


@checked
class CosineClassifier(Pretext):
    """Scaled cosines to one weight vector for each class:  s cos(z, w_k),  (examples, features) -> (examples, classes).

    Args:
        scale: s; cosines alone are too close to each other for a softmax over many classes.

    Source: Chen et al., "A Closer Look at Few-shot Classification", ICLR 2019 (Baseline++).

    Examples:
        >>> from quickstudy.learners.transfer import CosineClassifier
        >>> head = CosineClassifier(scale=20.0)
        >>> head.build(features=8, classes=64, like=torch.zeros(1))  # `meta_train` does this
        >>> logits = head(torch.randn(5, 8))
        >>> logits.shape, bool((logits.abs() <= 20.001).all())
        (torch.Size([5, 64]), True)
    """

    weight: nn.Parameter

    def __init__(self, scale: float = 20.0):
        super().__init__()
        self.scale = scale
        self.register_parameter("weight", None)

    def shapes(self, features: int, classes: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (classes, features)}

    def forward(self, z: Tensor) -> Tensor:
        """(examples, features) -> (examples, classes)."""
        return self.scale * cosine(z, self.weight)


@checked
class Projection(Pretext):
    """A perceptron of one hidden layer:  W2 relu(W1 z),  (examples, features) -> (examples, outputs).

    The contrastive loss is taken on its output, which may lose what differs between the views; the embedding keeps it.

    Args:
        outputs: number of outputs.

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, section 2.1.

    Examples:
        >>> from quickstudy.learners.transfer import Projection
        >>> head = Projection(outputs=16)
        >>> head.build(features=8, classes=64, like=torch.zeros(1))  # `meta_train` does this
        >>> head(torch.randn(5, 8)).shape
        torch.Size([5, 16])
    """

    first: nn.Parameter
    second: nn.Parameter

    def __init__(self, outputs: PositiveInt = 64):
        super().__init__()
        self.outputs = outputs
        self.register_parameter("first", None)
        self.register_parameter("second", None)

    def shapes(self, features: int, classes: int) -> dict[str, tuple[int, ...]]:
        return {"first": (features, features), "second": (self.outputs, features)}

    def forward(self, z: Tensor) -> Tensor:
        """(examples, features) -> (examples, outputs)."""
        return F.relu(z @ self.first.T) @ self.second.T
