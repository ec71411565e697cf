"""Open episodes: tasks in which some classes have queries but no support, and a learner's answers to them.

ways + left_out classes are drawn; the support of the last `left_out` of them is removed (classes are drawn in random order, so
these are random). A query of the first `ways` is known, one of the others unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, NotFiniteError, TaskError, UnsupportedError
from quickstudy.learners.learner import Learner
from quickstudy.progress import bar
from quickstudy.tasks.distribution.size import Size

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution

BATCH = 20  # episodes that are sampled at once


@dataclass(frozen=True)
class Answers:
    """Logits, float64 on the CPU: known (examples, ways) with labels y (examples,), and unknown (others, ways)."""

    known: Tensor
    y: Tensor
    unknown: Tensor


def answers(
    learner: Learner, tasks: TaskDistribution, episodes: int, seed: int, *, left_out: int = 1, progress: bool = False
) -> Answers:
    """The learner's answers in `episodes` open episodes. If tasks differ in ways, a missing class has the logit -inf."""
    opened = open_tasks(tasks, left_out)
    if episodes < 1:
        raise ArgumentError("episodes", expected="1 or more", got=str(episodes), do="200 are the default.")
    generator, known, y, unknown, done = torch.Generator().manual_seed(seed), [], [], [], 0
    with bar(episodes, "calibrating", progress) as advance:
        while done < episodes:
            batch = opened.sample(min(BATCH, episodes - done), generator=generator)
            for index in range(len(batch)):
                support, query, ways = closed(batch[index], left_out)
                logits = learner.adapt(support)(query.x)[:, :ways].to("cpu", torch.float64)
                if not bool(torch.isfinite(logits).all()):
                    raise NotFiniteError(
                        "calibrate",
                        expected="finite predictions",
                        got=f"NaN or infinity in episode {done + index}",
                        do="Look at the inputs of that episode and at the learner's inner loop.",
                    )
                inside = query.y.cpu() < ways
                known.append(logits[inside])
                y.append(query.y.cpu()[inside])
                unknown.append(logits[~inside])
            done += len(batch)
            advance(len(batch))
    most = max(one.shape[1] for one in known)
    padded = [torch.cat([F.pad(one, (0, most - one.shape[1]), value=-torch.inf) for one in part]) for part in (known, unknown)]
    return Answers(padded[0], torch.cat(y), padded[1])


def open_tasks(tasks: TaskDistribution, left_out: int) -> TaskDistribution:
    """The same tasks with `left_out` more classes.

    Raises:
        ArgumentError: `left_out` below 1.
        UnsupportedError: the tasks have no classes.
        TaskError: there are not enough classes.
    """
    if left_out < 1:
        raise ArgumentError("left_out", expected="1 or more", got=str(left_out), do="1 is the default.")
    if tasks.ways is None:
        raise UnsupportedError(
            "tasks", expected="tasks with classes", got=f"{type(tasks).__name__}, with targets", do="Calibrate a classifier."
        )
    try:
        return tasks.with_(ways=_plus(tasks.ways, left_out))
    except (TaskError, ArgumentError) as error:
        raise TaskError(
            "tasks",
            expected=f"classes for {tasks.ways} ways and left_out={left_out} more in each task",
            got=f"fewer ({error.got})",
            do="Call tasks.with_(ways=...) with fewer ways, or bring more meta-validation classes.",
        ) from error


def closed(episode: Episode, left_out: int) -> tuple[Examples, Examples, int]:
    """The support without the examples of the last `left_out` classes, the unchanged query, and the remaining ways."""
    support = episode.support
    assert support.ways is not None
    ways = support.ways - left_out
    inside = support.y < ways
    x = pytree.tree_map(lambda leaf: leaf[inside], support.x)
    return Examples(x, support.y[inside], ways), episode.query, ways


def _plus(size: Size, more: int) -> Size:
    return size + more if isinstance(size, int) else (size[0] + more, size[1] + more)
