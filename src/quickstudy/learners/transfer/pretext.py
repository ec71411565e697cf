"""Pretext heads: what stands on an embedding while it is pre-trained, and is put aside when tasks come.

A head has no weights until `build`, since their shapes depend on the data. They are part of phi then, and are saved, so that
pre-training can go on; loading a state dict that holds them builds them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.learners.functional import cosine


class Pretext(nn.Module, ABC):
    """The interface of a pretext head: forward(z), z (examples, features)."""

    @abstractmethod
    def shapes(self, features: int, classes: int) -> dict[str, tuple[int, ...]]:
        """The shape of each weight, for an embedding of `features` and data of `classes`."""

    def build(self, features: int, classes: int, like: Tensor) -> None:
        """Make the weights, of the dtype and on the device of `like`; those that already have their shape are kept.

        They are normal of variance 1/inputs, from a generator of their own: the same each time.
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


class CosineClassifier(Pretext):
    """Scaled cosines to one weight vector for each class:  s cos(z, w_k),  (examples, features) -> (examples, classes).

    Args:
        scale: s; cosines alone are too close to each other for a softmax over many classes.

    Source: Chen et al., "A Closer Look at Few-shot Classification", ICLR 2019 (Baseline++).
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


class Projection(Pretext):
    """A perceptron of one hidden layer:  W2 relu(W1 z),  (examples, features) -> (examples, outputs).

    The contrastive loss is taken behind it: it may lose what the views differ in, the embedding below keeps it.

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, section 2.1.
    """

    first: nn.Parameter
    second: nn.Parameter

    def __init__(self, outputs: int = 64):
        super().__init__()
        self.outputs = outputs
        self.register_parameter("first", None)
        self.register_parameter("second", None)

    def shapes(self, features: int, classes: int) -> dict[str, tuple[int, ...]]:
        return {"first": (features, features), "second": (self.outputs, features)}

    def forward(self, z: Tensor) -> Tensor:
        """(examples, features) -> (examples, outputs)."""
        return F.relu(z @ self.first.T) @ self.second.T
