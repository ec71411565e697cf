"""A learner and a predictor are the same after saving and loading."""

from __future__ import annotations

import copy
import inspect
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quickstudy.artifacts.store import load
from quickstudy.episode import Episode
from quickstudy.errors import CheckpointError
from quickstudy.learners.learner import Learner
from quickstudy.learners.predictor import Predictor
from quickstudy.registry import is_own
from quickstudy.testing.check import ConformanceError, agree, double


def check_save_and_load(learner: Learner, episode: Episode) -> None:
    """A learner and an adapted predictor, saved and loaded, predict bit for bit the same, in float64 too.

    Your own networks and functions are passed to `load` as copies with other weights; the class of your own learner is passed as
    it is.
    """
    foreign = _handed_in(learner)
    _check(learner, episode, foreign)
    _check(*double(learner, episode), foreign)  # loaded into networks of their original precision


def _check(learner: Learner, episode: Episode, foreign: dict[str, Any]) -> None:
    predictor = learner.adapt(episode.support)
    answer = predictor(episode.query.x)
    with tempfile.TemporaryDirectory() as folder:
        for name, one in (("learner", learner), ("predictor", predictor)):
            path = Path(folder) / name
            one.save(path)
            try:
                again = load(path, **copy.deepcopy(foreign))
            except CheckpointError as error:
                raise ConformanceError(
                    "save_and_load",
                    learner,
                    f"the saved {name} does not load: {error}",
                    "What its arguments do not rebuild must be in its state_dict.",
                ) from error
            adapted = again if isinstance(again, Predictor) else again.adapt(episode.support)
            for kept, before in zip(adapted.learner.state_dict().items(), learner.state_dict().items(), strict=True):
                if (kept[0], kept[1].dtype) != (before[0], before[1].dtype):
                    raise ConformanceError(
                        "save_and_load",
                        learner,
                        f"`{before[0]}` of {before[1].dtype} comes back as `{kept[0]}` of {kept[1].dtype}",
                        "Build what it holds in the same order, whatever its arguments.",
                    )
            agree(
                "save_and_load",
                learner,
                adapted(episode.query.x),
                answer,
                f"the saved {name} answers otherwise when it is read back, by",
                "Everything that it answers from is an argument, a parameter or a persistent buffer.",
                tolerance=0,
            )


def _handed_in(learner: Learner) -> dict[str, Any]:
    """The arguments that `load` needs for a learner and for the learners inside it."""
    parts: dict[str, Any] = {} if is_own(type(learner)) else {"learner": type(learner)}
    for name, value in learner.arguments.items():
        if isinstance(value, Learner):
            parts |= _handed_in(value)
        elif _foreign(value):
            parts[name] = _another(value)
    return parts


def _foreign(value: Any) -> bool:
    """Whether this argument must be passed to `load`."""
    if isinstance(value, nn.Module):
        return not type(value).__module__.startswith("quickstudy.")
    return inspect.isroutine(value)


def _another(value: Any) -> Any:
    """The same network with other weights, or the function itself."""
    if not isinstance(value, nn.Module):
        return value
    other = copy.deepcopy(value)
    with torch.no_grad():
        for tensor in (*other.parameters(), *other.buffers()):
            tensor.zero_()
    return other
