"""evaluate: the score of a learner on tasks it has never seen, with a 95 % interval over tasks and the protocol beside it.

mean = 1/n sum_i s_i,      ci95 = 1.96 std(s) / sqrt(n)         s_i: accuracy (or mean squared error) on the queries of task i
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from quickstudy.episode import Episode, is_labels
from quickstudy.errors import ArgumentError, NotFiniteError, UnsupportedError
from quickstudy.learners.learner import Learner
from quickstudy.meta.executors import EXECUTORS, Executor, Loop, Threads, Vmap
from quickstudy.meta.executors.vmap import autocast_refusal
from quickstudy.meta.problem import task

if TYPE_CHECKING:
    from quickstudy.tasks.distribution import TaskDistribution

BATCH = 20  # episodes that are sampled and scored at once


@dataclass
class Evaluation:
    """The scores of one learner.

    Attributes:
        mean: accuracy in [0, 1], or mean squared error for targets.
        ci95: half of the 95 % interval over tasks.
        per_episode: the score of every episode.
        protocol: metric, ways, shots, queries, episodes, seed, normalisation, transductive, inner steps, executor.
        seconds: per episode, adaptation and prediction together.
        peak_mb: growth of the process's peak resident memory during the evaluation, in MB; None where the system does not say.
    """

    mean: float
    ci95: float
    per_episode: list[float]
    protocol: dict[str, Any]
    seconds: float
    peak_mb: float | None
    name: str = field(default="")

    def __str__(self) -> str:
        p = self.protocol
        if p["metric"] == "accuracy":
            score = f"accuracy {100 * self.mean:.2f} +- {100 * self.ci95:.2f} %"
        else:
            score = f"mean squared error {self.mean:.4g} +- {self.ci95:.2g}"
        shape = f"{p['ways']}-way {p['shots']}-shot" if p.get("ways") else f"{p['shots']}-shot"
        transductive = "transductive" if p["transductive"] else "not transductive"
        return (
            f"{self.name}: {score} (95 % interval over {p['episodes']} tasks, {shape}, {p['queries']} queries, "
            f"normalisation {p['normalisation']!r}: {transductive}, seed {p['seed']}, {1000 * self.seconds:.1f} ms a task)"
        )


def evaluate(
    learner: Learner,
    tasks: TaskDistribution,
    episodes: int = 600,
    seed: int = 0,
    steps: int | None = None,
    *,
    executor: str | Executor = "auto",
    progress: bool = False,
) -> Evaluation:
    """Score a learner on `episodes` tasks drawn from `tasks` with `seed`: the same tasks for every learner.

    Args:
        steps: inner steps at test; None: the learner's own number.
        executor: "auto" measures loop, threads and vmap on the first episodes and keeps the fastest.
        progress: show a progress bar on stderr.

    Raises:
        ArgumentError: fewer than two episodes, an executor that does not exist.
        UnsupportedError: `steps` for a learner that takes none.
        NotFiniteError: a prediction that is NaN or infinite.
    """
    if episodes < 2:
        raise ArgumentError("episodes", expected="2 or more, for an interval", got=str(episodes), do="600 are the field's habit.")
    if steps is not None and not hasattr(learner, "inner_steps"):
        raise UnsupportedError(
            "steps", expected="a learner that takes inner steps", got=type(learner).__name__, do="Leave `steps` out."
        )
    from quickstudy.progress import bar

    function = partial(score, steps=steps)
    generator = torch.Generator().manual_seed(seed)
    before, mapper = _peak_mb(), None
    scores: list[float] = []
    started = time.perf_counter()
    with bar(episodes, "evaluating", progress) as advance:
        while len(scores) < episodes:
            batch = tasks.sample(min(BATCH, episodes - len(scores)), generator=generator)
            mapper = mapper or mapper_for(executor, function, learner, batch)
            scores += mapper.map(function, learner, batch).tolist()
            advance(len(batch))
    seconds, after = (time.perf_counter() - started) / episodes, _peak_mb()
    check_scores(scores)
    mean, ci95 = interval(scores)
    labels = is_labels(batch.query.y)
    protocol = {
        "metric": "accuracy" if labels else "mse",
        **tasks.protocol,
        "episodes": episodes,
        "seed": seed,
        "normalisation": learner.normalisation,
        "transductive": learner.normalisation == "transductive",
        "steps": steps if steps is not None else getattr(learner, "inner_steps", None),
        "executor": mapper.name if mapper else "loop",
    }
    grown = None if before is None or after is None else after - before
    return Evaluation(mean, ci95, scores, protocol, seconds, grown, display_name(learner))


def score(learner: Learner, episode: Episode, steps: int | None = None) -> Tensor:
    """Accuracy on the query of one episode, or mean squared error for targets; a scalar, NaN where the prediction is."""
    prediction, y = learner(episode.support, episode.query.x, steps=steps), episode.query.y
    if not is_labels(y):
        return ((prediction - y) ** 2).mean()
    right = (prediction.argmax(-1) == y).to(prediction.dtype).mean()
    return right + 0 * prediction.sum()


def interval(scores: list[float]) -> tuple[float, float]:
    """The mean of the scores, and half of its 95 % interval: 1.96 std / sqrt(n)."""
    values = torch.tensor(scores, dtype=torch.float64)
    return float(values.mean()), float(1.96 * values.std() / math.sqrt(len(scores)))


def check_scores(scores: list[float]) -> None:
    """Raise NotFiniteError naming the first episode whose prediction was not finite."""
    bad = [index for index, value in enumerate(scores) if not math.isfinite(value)]
    if bad:
        raise NotFiniteError(
            "evaluate",
            expected="finite predictions",
            got=f"NaN or infinity in {len(bad)} episodes, the first of them number {bad[0]}",
            do="Lower inner_lr or the number of inner steps, or look at the inputs of that episode.",
        )


def mapper_for(executor: str | Executor, function: Callable[[Learner, Any], Tensor], learner: Learner, batch: Any) -> Executor:
    """The executor asked for, or with "auto" the fastest of loop, threads and vmap on a few episodes whose scores agree."""
    if isinstance(executor, Executor):
        return executor
    device = next(iter(torch.utils._pytree.tree_leaves(batch))).device
    refused = autocast_refusal(device)
    if executor != "auto":
        if executor not in EXECUTORS:
            raise ArgumentError("executor", expected=f"'auto' or one of {list(EXECUTORS)}", got=repr(executor), do="Use 'auto'.")
        if executor in ("vmap", "compiled") and refused is not None:
            raise UnsupportedError(
                "executor", expected="one that serves this learner", got=f"{executor!r}: {refused}", do="Use executor='loop'."
            )
        return EXECUTORS[executor]()
    few = task(batch, slice(0, min(4, len(batch))))
    threads = [Threads()] if device.type == "cpu" and torch.get_num_threads() > 1 else []
    candidates: list[Executor] = [Loop(), *([] if refused else [Vmap()]), *threads]
    want = candidates[0].map(function, learner, few)
    best, fastest = candidates[0], math.inf
    for candidate in candidates:
        try:
            got = candidate.map(function, learner, few)
            began = time.perf_counter()
            candidate.map(function, learner, few)
            took = time.perf_counter() - began
        except RuntimeError:  # torch's own refusal: no vmap rule for an operator of this network
            continue
        if took < fastest and torch.allclose(got, want, atol=0.05, equal_nan=True):
            best, fastest = candidate, took
    return best


def display_name(learner: Learner) -> str:
    """What tables call the learner."""
    return getattr(learner, "name", type(learner).__name__)


def _peak_mb() -> float | None:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    unit = 1 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
