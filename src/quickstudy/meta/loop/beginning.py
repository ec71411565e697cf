"""Where a run begins: at the weights of a saved learner in place of random ones, and how the two compare in the end.

phi_0  =  the weights of the saved learner      where both are of one class and fit in every tensor
          those of its embedding                where both have an embedding, of one class and with the same arguments
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from quickstudy.artifacts.description import description
from quickstudy.artifacts.store import load
from quickstudy.errors import ArgumentError
from quickstudy.evaluation.evaluate import evaluate
from quickstudy.learners.learner import Learner
from quickstudy.meta.loop.checkpoint_selector import VALIDATION_SEED
from quickstudy.tasks import TaskDistribution


class Beginning:
    """The saved learner that a run begins from.

    Args:
        start: the name of a learner that comes along ("strokes"), a run's folder, or that of a saved learner.

    Raises:
        CheckpointError: no such learner.
        ArgumentError: an adapted predictor.
    """

    def __init__(self, start: str):
        self.start = start
        found = load(start)
        if not isinstance(found, Learner):
            raise self._refused("a saved learner", "an adapted predictor", "Give the folder of the learner or of the run.")
        self.learner = found

    def give(self, learner: Learner, tasks: TaskDistribution) -> None:
        """Put its weights into `learner`.

        Raises:
            ArgumentError: a learner without an embedding, one of another architecture, or images that it does not take.
        """
        ours, theirs = getattr(learner, "embed", None), getattr(self.learner, "embed", None)
        if type(learner) is type(self.learner) and _shapes(learner) == _shapes(self.learner):
            learner.load_state_dict(self.learner.state_dict())
        elif isinstance(ours, nn.Module) and isinstance(theirs, nn.Module):
            self._check_network(ours, theirs)
            ours.load_state_dict(theirs.state_dict())
        else:
            without = learner if not isinstance(ours, nn.Module) else self.learner
            raise self._refused(
                f"a learner of the class {type(self.learner).__name__}, or two learners with an embedding",
                f"{type(without).__name__}, which has none",
                "Take a learner that compares or solves, such as Prototypical, Ridge or R2D2.",
            )
        self._check_images(getattr(learner, "embed", None), tasks)

    def compared(self, validation: TaskDistribution | None, episodes: int) -> dict[str, Any] | None:
        """The score of the saved learner itself on the run's validation tasks; None where there are none."""
        if validation is None:
            return None
        self.learner.to(next((one.device for one in _tensors(validation)), torch.device("cpu")))
        found = evaluate(self.learner, validation, episodes, VALIDATION_SEED)
        return {"name": self.start, "score": found.mean, "ci95": found.ci95}

    def _check_network(self, ours: nn.Module, theirs: nn.Module) -> None:
        mine, other = description(ours), description(theirs)
        if mine != other or _shapes(ours) != _shapes(theirs):
            do = "Build the learner with that network, or leave `start` out."
            raise self._refused(f"a learner on {_written(other)}", f"one on {_written(mine)}", do)

    def _check_images(self, network: nn.Module | None, tasks: TaskDistribution) -> None:
        channels, size = getattr(network, "in_channels", None), getattr(network, "size", None)
        if channels is None or size is None:
            return
        x = tasks.sample(1, generator=torch.Generator().manual_seed(0)).support.x
        shape = tuple(x.shape[2:]) if isinstance(x, torch.Tensor) else None
        if shape != (channels, size, size):
            do = f"Read the images with channels={channels}, size={size}, or leave `start` out."
            raise self._refused(f"images of shape {(channels, size, size)}, as its network takes", f"images of {shape}", do)

    def _refused(self, expected: str, got: str, do: str) -> ArgumentError:
        return ArgumentError(f"start={self.start!r}", expected=expected, got=got, do=do)


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _written(spec: Any) -> str:
    arguments = ", ".join(f"{name}={value!r}" for name, value in spec.get("arguments", {}).items())
    return f"{spec.get('class', spec)}({arguments})"[:300]


def _tensors(tasks: TaskDistribution) -> list[torch.Tensor]:
    return [one for one in vars(tasks).values() if isinstance(one, torch.Tensor)]
