"""evaluate: the score of a learner on tasks it has never seen, with a 95 % interval over tasks and the protocol.

mean = 1/n sum_i s_i,      ci95 = 1.96 std(s) / sqrt(n)         s_i: a metric of the answers to the queries of task i
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeInt, Several, checked
from quickstudy.episode import Episode, absent_class, check_finite
from quickstudy.errors import NotFiniteError, QuickstudyError, UnsupportedError
from quickstudy.evaluation.by_class import ByClass, ClassCounts
from quickstudy.evaluation.mapper import mapper_for
from quickstudy.evaluation.metrics import LOSS, Metric, chosen, metric_named, of_tasks
from quickstudy.evaluation.peak_memory import peak_mb
from quickstudy.learners.learner import Learner, Loss, no_support
from quickstudy.meta.executors import Executor
from quickstudy.progress import bar
from quickstudy.targets import Labels, check_fit, check_fit_of_own
from quickstudy.tasks.construction.mixture import MixedTasks
from quickstudy.tasks.distribution.family import check_numbers, check_one

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution

BATCH = 20  # episodes that are sampled and scored at once


@checked
@dataclass(frozen=True)
class Score:
    """One metric over the episodes of an evaluation.

    Attributes:
        metric: name of the metric.
        mean: mean over the episodes in which the metric is defined.
        ci95: half the width of the 95 % interval over tasks.
        per_episode: value in every episode; NaN if the metric is undefined there.

    Examples:
        >>> from quickstudy.evaluation.evaluate import Score
        >>> Score("accuracy", mean=0.75, ci95=0.01, per_episode=[0.5, 1.0]).text()
        'accuracy 75.00 +- 1.00 %'
    """

    metric: str
    mean: float
    ci95: float
    per_episode: list[float]

    def __repr__(self) -> str:
        return f"Score({self.metric}={self.mean:.4f} +- {self.ci95:.4f} over {len(self.per_episode)} tasks)"

    @property
    def undefined(self) -> int:
        """The number of episodes in which the metric is undefined."""
        return sum(map(math.isnan, self.per_episode))

    def text(self, metric: Metric | None = None) -> str:
        """As in "accuracy 87.31 +- 0.62 %"."""
        metric = metric or metric_named(self.metric)
        value = metric.text(self.mean, self.ci95).replace("±", "+-")
        left_out = f" (undefined in {self.undefined} tasks)" if self.undefined else ""
        return f"{metric.label.removesuffix(' (%)')} {value}{left_out}"


@checked
@dataclass
class Evaluation:
    """The scores of one learner.

    Attributes:
        mean: mean of the first metric, the score: accuracy in [0, 1], mean squared error, ...
        ci95: half the width of its 95 % interval over tasks.
        per_episode: the score of every episode.
        protocol: metric, ways, shots, queries, within and groups_left_out where classes are drawn within a group, episodes,
            seed, normalisation, transductive, inner steps, executor.
        seconds: seconds per episode, adaptation and prediction together.
        peak_mb: growth of the peak memory during the evaluation, in MB: allocated on the GPU with CUDA, else resident; None if
            the system does not report it.
        name: the learner's name in tables.
        others: the scores of the other metrics, by name.
        by_class: the accuracy of each class and the confusions between classes, by name.

    Examples:
        >>> tasks = qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> evaluation = qs.evaluate(qs.Prototypical(torch.nn.Identity()), tasks.test, episodes=5, metrics=["accuracy", "nll"])
        >>> evaluation.metric.name, len(evaluation.per_episode), list(evaluation.others)
        ('accuracy', 5, ['nll'])
    """

    mean: float
    ci95: float
    per_episode: list[float]
    protocol: dict[str, Any]
    seconds: float
    peak_mb: float | None
    name: str = field(default="")
    others: dict[str, Score] = field(default_factory=dict)
    _metrics: list[Metric] = field(default_factory=list, repr=False)
    _by_class: ByClass | None = field(default=None, repr=False)

    @property
    def by_class(self) -> ByClass:
        """The accuracy of each class and the confusions between classes, by name.

        Raises:
            UnsupportedError: the tasks have no classes that come again in other tasks, or only the learner's loss was evaluated.
        """
        if self._by_class is None:
            raise UnsupportedError(
                "evaluation.by_class",
                expected="answers to queries of classes that have names",
                got=_without_classes(self.protocol),
                do="Evaluate on tasks of a labelled source, such as tasks.LabelledTasks, by a metric of the answers.",
            )
        return self._by_class

    @property
    def metric(self) -> Metric:
        """The metric of the score."""
        return self._metrics[0] if self._metrics else metric_named(self.protocol["metric"])

    @property
    def score(self) -> Score:
        """The score: the first metric."""
        return Score(self.metric.name, self.mean, self.ci95, self.per_episode)

    def __repr__(self) -> str:
        others = "".join(f", {name}={one.mean:.4f} +- {one.ci95:.4f}" for name, one in self.others.items())
        score = f"{self.protocol['metric']}={self.mean:.4f} +- {self.ci95:.4f}"
        return f"Evaluation({self.name}: {score}{others} over {len(self.per_episode)} tasks)"

    def _repr_html_(self) -> str:
        from quickstudy.report.notebook import of_evaluation

        return of_evaluation(self)

    def __str__(self) -> str:
        p = self.protocol
        further = {metric.name: metric for metric in self._metrics[1:]}
        scores = [self.score.text(self.metric), *(one.text(further.get(name)) for name, one in self.others.items())]
        shape = f"{p['ways']}-way {p['shots']}-shot" if p.get("ways") else f"{p['shots']}-shot"
        shape += f" within one {p['within']}" if p.get("within") else ""
        transductive = "transductive" if p["transductive"] else "not transductive"
        return (
            f"{self.name}: {', '.join(scores)} (95 % interval over {p['episodes']} tasks, {shape}, {p['queries']} queries, "
            f"normalisation {p['normalisation']!r}: {transductive}, seed {p['seed']}, {1000 * self.seconds:.1f} ms a task)"
        )


@checked
def evaluate(
    learner: Learner,
    tasks: TaskDistribution,
    episodes: Several = 600,
    seed: int = 0,
    steps: NonNegativeInt | None = None,
    *,
    metrics: Sequence[str | Metric] | None = None,
    loss: Loss | None = None,
    executor: str | Executor = "auto",
    progress: bool = False,
) -> Evaluation:
    """Score a learner on `episodes` tasks drawn from `tasks` with `seed`: the same tasks for every learner.

    Of a mixture each family is scored on so many tasks: see `MixtureEvaluation`.

    Args:
        steps: inner steps at test; None: the learner's own number.
        metrics: names from `quickstudy.evaluation.metrics`, or Metrics, the main score first; "loss" is the learner's own loss of
            an episode. None: the default ones for the kind of target.
        loss: the criterion of the metric "loss"; None: the learner's own, or that of the kind of target.
        executor: "auto" measures loop, threads and vmap on the first episodes and keeps the fastest.
        progress: show a progress bar on stderr.

    Raises:
        ArgumentError: fewer than two episodes, an unknown executor or metric.
        TaskError: tasks without a support (shots=0), for a learner that needs one.
        UnsupportedError: tasks that number the classes of each episode anew, for a learner that answers without a support;
            `steps` for a learner without inner steps; a metric that does not work for this kind of target.
        ShapeError: the shape of the predictions does not fit y.
        NotFiniteError: a prediction is NaN or infinite.
        LabelError: a prediction is NaN or infinite because a class has no example.
    """
    check_one(tasks)
    if not learner.needs_support:
        check_numbers(tasks, display_name(learner))
    if steps is not None and not hasattr(learner, "inner_steps"):
        raise UnsupportedError(
            "steps", expected="a learner that takes inner steps", got=type(learner).__name__, do="Leave `steps` out."
        )
    if isinstance(tasks, MixedTasks):
        from quickstudy.evaluation.families import evaluate_families

        options: dict[str, Any] = {"metrics": metrics, "loss": loss, "executor": executor, "progress": progress}
        return evaluate_families(learner, tasks, episodes, seed, steps, **options)
    before, started = peak_mb(), time.perf_counter()
    scorer = _scored(tasks, episodes, seed, progress, lambda batch: Scorer(learner, batch, metrics, steps, loss, executor))
    seconds, after = (time.perf_counter() - started) / episodes, peak_mb()
    first, *further = scorer.results()
    steps = steps if steps is not None else getattr(learner, "inner_steps", None)
    protocol = {"metric": first.metric, **tasks.protocol, "episodes": episodes, "seed": seed, **_ran(learner, steps, scorer)}
    grown = None if before is None or after is None else after - before
    others = {one.metric: one for one in further}
    name = display_name(learner)
    by_class = scorer.counts.result()
    return Evaluation(first.mean, first.ci95, first.per_episode, protocol, seconds, grown, name, others, scorer.metrics, by_class)


def _scored(tasks: TaskDistribution, episodes: int, seed: int, progress: bool, begin: Callable[[Episode], Scorer]) -> Scorer:
    """The scorer that `begin` makes of the first batch, after all episodes."""
    generator, scorer, done = torch.Generator().manual_seed(seed), None, 0
    with bar(episodes, "evaluating", progress) as advance:
        while done < episodes:
            batch = tasks.sample(min(BATCH, episodes - done), generator=generator)
            scorer = scorer or begin(batch)
            scorer.score(batch, done)
            done += len(batch)
            advance(len(batch))
    assert scorer is not None
    return scorer


def _ran(learner: Learner, steps: int | None, scorer: Scorer) -> dict[str, Any]:
    """How the learner was run, for the protocol."""
    policy = learner.normalisation
    transductive = policy == "transductive"
    return {"normalisation": policy, "transductive": transductive, "steps": steps, "executor": scorer.mapper.name}


class Scorer:
    """Scores batches of episodes by each metric. The executor computes the answers; metrics see one task at a time."""

    def __init__(
        self,
        learner: Learner,
        batch: Episode,
        metrics: Sequence[str | Metric] | None,
        steps: int | None,
        loss: Loss | None,
        executor: str | Executor,
    ):
        if batch.support.y.shape[1] == 0 and learner.needs_support and steps != 0:
            raise no_support(learner, "tasks: support")
        self.learner, self.metrics = learner, chosen(metrics, batch.query.target)
        self.answers = any(metric.name != LOSS for metric in self.metrics)
        self.losses = any(metric.name == LOSS for metric in self.metrics)
        self.answer = partial(_prediction, steps=steps)
        self.loss = partial(_loss, criterion=loss)
        self.mapper = mapper_for(executor, self.answer if self.answers else self.loss, learner, batch)
        self.found: dict[str, list[float]] = {metric.name: [] for metric in self.metrics}
        self.counts = ClassCounts()

    def score(self, batch: Episode, before: int = 0) -> None:
        """Score the episodes of a batch; `before` others were scored before it."""
        query, device = batch.query, self.learner.device
        if self.answers:
            predictions, y = self.mapper.map(self.answer, self.learner, batch), query.y.to(device)
            check = check_fit if any(metric.kinds is not None for metric in self.metrics) else check_fit_of_own
            check(query.target, predictions[0], y[0])
            finite = torch.isfinite(predictions).flatten(1).all(1)
            if not bool(finite.all()):
                raise not_finite(self.learner, batch, (~finite).nonzero().flatten().tolist(), before)
            read = [metric for metric in self.metrics if metric.name != LOSS]
            for name, scores in of_tasks(read, predictions, y, query.target).items():
                self.found[name] += scores
            if isinstance(query.target, Labels) and query.target.fits(predictions[0], y[0]):
                self.counts.add(batch, query.target.read(predictions), y)
        if self.losses:
            self.found[LOSS] += self.mapper.map(self.loss, self.learner, batch).tolist()

    def results(self) -> list[Score]:
        """The score of each metric.

        Raises:
            NotFiniteError: a metric is defined in fewer than two episodes, or infinite in one.
        """
        scores = []
        for name, values in self.found.items():
            defined = [value for value in values if not math.isnan(value)]
            if len(defined) < 2 or not all(map(math.isfinite, defined)):
                raise NotFiniteError(
                    f"metrics=[{name!r}]",
                    expected="a metric that two or more episodes define, and that is finite there",
                    got=f"{len(defined)} of {len(values)}",
                    do="Ask for more queries in an episode, or take another metric.",
                )
            scores.append(Score(name, *interval(defined), values))
        return scores


def _prediction(learner: Learner, episode: Episode, steps: int | None = None) -> Tensor:
    """The answers to the queries of one episode."""
    return learner(episode.support, episode.query.x, steps=steps)


def _loss(learner: Learner, episode: Episode, criterion: Loss | None = None) -> Tensor:
    """The learner's own loss of one episode."""
    return learner.loss(episode, criterion)


def not_finite(learner: Learner, batch: Episode, bad: list[int], before: int = 0) -> QuickstudyError:
    """The error that best explains why the first of these episodes has a prediction that is not finite."""
    episode = batch[bad[0]]
    where = f"episode {before + bad[0]}"
    for name, part in (("support", episode.support), ("query", episode.query)):
        try:
            check_finite(f"{name} of {where}", part)
        except NotFiniteError as error:
            return error
    missing = absent_class(episode.support, f"support of {where}")
    if missing is not None:
        return missing
    try:
        learner.adapt(episode.support)
    except NotFiniteError as error:
        return error
    return NotFiniteError(
        "evaluate",
        expected="finite predictions",
        got=f"NaN or infinity in {len(bad)} episodes of a batch, the first of them {where}, whose inputs and state are finite",
        do="Look at the scale of that episode's queries, and at the learner's networks in eval mode.",
    )


def _without_classes(protocol: dict[str, Any]) -> str:
    """Why an evaluation has no scores by class."""
    if protocol.get("ways") is None:
        return "tasks with targets"
    return "the learner's loss alone" if protocol["metric"] == LOSS else "tasks that do not say which classes they have"


def interval(scores: list[float]) -> tuple[float, float]:
    """The mean of the scores, and half the width of its 95 % interval: 1.96 std / sqrt(n)."""
    values = torch.tensor(scores, dtype=torch.float64)
    return float(values.mean()), float(1.96 * values.std() / math.sqrt(len(scores)))


def display_name(learner: Learner) -> str:
    """The learner's name in tables."""
    return getattr(learner, "name", type(learner).__name__)
