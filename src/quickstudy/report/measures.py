"""The numbers that a report shows beside the evaluation, all measured on meta-test episodes drawn with the evaluation's seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from quickstudy.errors import NotFiniteError, TaskError
from quickstudy.evaluation.calibration import Calibration
from quickstudy.evaluation.evaluate import BATCH, Evaluation, evaluate, interval
from quickstudy.evaluation.reliability_curve import Reliability, reliability
from quickstudy.learners.learner import Learner
from quickstudy.progress import bar
from quickstudy.report.curves import Point
from quickstudy.report.example_episodes import ExampleEpisode, example_episodes
from quickstudy.tasks.distribution.interface import TaskDistribution

INNER_STEPS = (0, 1, 2, 3, 5, 10)
SHOTS = (1, 2, 3, 5, 10)
SHOWN = 3  # episodes that the report shows


@dataclass(frozen=True)
class Measures:
    """The numbers behind a report's plots.

    Attributes:
        inner_steps: the score after k inner steps; empty for a learner without inner steps.
        own_steps: the learner's own number of inner steps.
        shots: the score at other numbers of shots than the protocol's.
        left_out: for each point missing from these two curves, a sentence that says why.
        reliability: of the queries' probabilities; None for a regression task.
        scaled: the same after temperature scaling; None without a calibration.
        examples: the first episodes, with the learner's predictions.
        episodes: meta-test tasks behind each point.
        seed: of the meta-test tasks.
    """

    inner_steps: list[Point]
    own_steps: int | None
    shots: list[Point]
    left_out: list[str]
    reliability: Reliability | None
    scaled: Reliability | None
    examples: list[ExampleEpisode]
    episodes: int
    seed: int


def measure(
    learner: Learner,
    test: TaskDistribution,
    evaluation: Evaluation,
    *,
    calibration: Calibration | None = None,
    episodes: int = 200,
    seed: int = 0,
    progress: bool = False,
) -> Measures:
    """Measure the numbers that the report of `evaluation` shows.

    Args:
        test: the meta-test tasks, under the protocol of the evaluation.
        calibration: gives the temperature for `scaled`.
        episodes: tasks for each point.
        seed: of the tasks. With the evaluation's seed, they are the first tasks of the evaluation.
        progress: show a progress bar on stderr.

    Raises:
        ArgumentError: fewer than two episodes.
        NotFiniteError: a prediction is NaN or infinite under the learner's own protocol.
    """
    inner_steps, left_out = getattr(learner, "inner_steps", None), list[str]()
    steps = sorted({*INNER_STEPS, inner_steps}) if inner_steps is not None else []
    shots = [count for count in SHOTS if _has(test, count, left_out)] if isinstance(test.shots, int) else []
    labels = test.ways is not None
    executor, own = evaluation.protocol.get("executor", "auto"), _first(evaluation, episodes, seed, inner_steps)
    score = partial(evaluate, learner, episodes=episodes, seed=seed, metrics=[evaluation.metric], executor=executor)
    by_steps, by_shots, before, after = [], [], None, None
    with bar(len(steps) + len(shots) + 1 + labels, "measuring for the report", progress) as advance:
        for count in steps:
            try:
                known = own if count == inner_steps else None
                by_steps.append(Point(count, *(known or _scored(score(tasks=test, steps=count)))))
            except NotFiniteError as error:  # it may diverge with more steps than it was trained with
                if count == inner_steps:
                    raise
                left_out.append(f"{count} inner steps: {error.got}.")
            advance()
        for count in shots:
            known = own if count == test.shots else None
            by_shots.append(Point(count, *(known or _scored(score(tasks=test.with_(shots=count))))))
            advance()
        if labels:
            logits, y = answers(learner, test, episodes, seed)
            before = reliability(logits.softmax(1), y)
            after = None if calibration is None else reliability((logits / calibration.temperature).softmax(1), y)
            advance()
        examples = example_episodes(learner, test, SHOWN, seed)
        advance()
    return Measures(by_steps, inner_steps, by_shots, left_out, before, after, examples, episodes, seed)


def answers(learner: Learner, test: TaskDistribution, episodes: int, seed: int) -> tuple[Tensor, Tensor]:
    """The logits (examples, ways) and the labels (examples,) of all queries in the episodes that `evaluate` draws.

    If `ways` is a range, the logit of a class that an episode does not have is -inf.
    """
    generator = torch.Generator().manual_seed(seed)
    rows: list[Tensor] = []
    labels: list[Tensor] = []
    done = 0
    while done < episodes:
        batch = test.sample(min(BATCH, episodes - done), generator=generator)
        for index in range(len(batch)):
            rows.append(learner.adapt(batch[index].support)(batch[index].query.x))
            labels.append(batch[index].query.y)
        done += len(batch)
    ways = max(row.shape[1] for row in rows)
    padded = [torch.nn.functional.pad(row, (0, ways - row.shape[1]), value=-torch.inf) for row in rows]
    return torch.cat(padded), torch.cat(labels)


def _has(test: TaskDistribution, shots: int, left_out: list[str]) -> bool:
    """Whether episodes with this many shots can be drawn."""
    try:
        test.with_(shots=shots)
    except TaskError as error:
        left_out.append(f"{shots} shots: there are fewer than {error.expected.removeprefix('at least ')}.")
        return False
    return True


def _scored(result: Evaluation) -> tuple[float, float]:
    return result.mean, result.ci95


def _first(evaluation: Evaluation, episodes: int, seed: int, steps: int | None) -> tuple[float, float] | None:
    """The score and its interval over the evaluation's first episodes, where those are the ones that would be drawn again.

    Batches are of BATCH episodes, the last one of the rest; so the first episodes are the same up to whole batches.
    """
    protocol, scores = evaluation.protocol, evaluation.per_episode[:episodes]
    whole = episodes % BATCH == 0 or episodes == len(evaluation.per_episode)
    if not whole or len(scores) < episodes or protocol.get("seed") != seed or protocol.get("steps") != steps:
        return None
    defined = [one for one in scores if not math.isnan(one)]
    return interval(defined) if len(defined) > 1 else None
