"""Model selection: the learner is scored on meta-validation tasks at intervals, and its best weights are kept."""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quickstudy.artifacts.run_folder import RunFolder
from quickstudy.errors import ArgumentError, nearest
from quickstudy.evaluation.evaluate import BATCH, Evaluation, evaluate
from quickstudy.evaluation.families import MixtureEvaluation, default_metrics, loss_of, score_of
from quickstudy.evaluation.metrics import LOSS, Metric, chosen, metric_named
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.wrap.ensemble import Ensemble
from quickstudy.targets import Values
from quickstudy.tasks import TaskDistribution
from quickstudy.tasks.construction.mixture import MixedTasks

VALIDATION_SEED = 20_000_003  # the same validation tasks each time, none of them an evaluation's


@dataclass(frozen=True)
class KeptCheckpoint:
    """A checkpoint that is kept: its score on meta-validation (the higher the better) and its weights."""

    score: float
    weights: dict[str, Tensor]


class CheckpointSelector:
    """Scores the learner on meta-validation tasks, keeps the weights of the `keep` best, and puts the best back at the end.

    Ranked by `select_by`, else by the score of the kind of target. Values with a custom loss (`loss`, or the learner's
    criterion) are ranked by that loss, since the squared error of the outputs may be meaningless.

    Raises:
        ArgumentError: `keep` above 1, or `select_by`, without validation tasks.
    """

    def __init__(
        self,
        learner: Learner,
        validation: TaskDistribution | None,
        episodes: int,
        keep: int,
        folder: RunFolder | None,
        select_by: str | Metric | None = None,
        loss: Loss | None = None,
    ):
        if keep > 1 and validation is None:
            raise ArgumentError(
                "keep",
                expected="1, where no validation ranks the checkpoints",
                got=f"{keep} and tasks of one distribution",
                do="Give meta_train a TaskFamily, whose `.validation` ranks them.",
            )
        self.learner, self.validation, self.episodes, self.keep, self.folder = learner, validation, episodes, keep, folder
        self.loss = loss
        self.family: str | None = None  # of a mixture: the one whose score ranks, where it is not the mean of all
        self.losses: dict[str, float] = {}  # of a mixture: of each family, at the last validation
        self.metric = self._metric(select_by)
        self.best: dict[str, Any] | None = None
        self.kept: list[KeptCheckpoint] = []  # the best first
        self.without_better = 0
        self.executor = "loop"

    def scored_by(self, executor: str) -> None:
        """Score with the run's own executor, so that a resumed run rounds as an unbroken one; "compiled" only trains."""
        self.executor = executor if executor in ("threads", "vmap") else "vmap" if executor == "compiled" else "loop"

    def _metric(self, select_by: str | Metric | None) -> Metric | None:
        """The metric that ranks the checkpoints; None without validation tasks."""
        if self.validation is None:
            if select_by is not None:
                raise ArgumentError(
                    "select_by",
                    expected="a TaskFamily, whose `.validation` is scored",
                    got="tasks of one distribution",
                    do="Leave it out, or give meta_train a family.",
                )
            return None
        if isinstance(self.validation, MixedTasks):
            return self._of_mixture(self.validation, select_by)
        query = self.validation.sample(1, generator=torch.Generator().manual_seed(VALIDATION_SEED)).query
        if select_by is None and isinstance(query.target, Values) and (self.loss or self.learner.criterion):
            select_by = LOSS
        return chosen(None if select_by is None else [select_by], query.target)[0]

    def _of_mixture(self, validation: MixedTasks, select_by: str | Metric | None) -> Metric:
        """That of all families; of one, as "NAME" or "NAME/metric", whose score alone then ranks."""
        if not isinstance(select_by, str):
            return select_by or score_of(validation)
        family, _, name = select_by.partition("/")
        if family in validation.parts:
            self.family = family
            return metric_named(name) if name else default_metrics(validation[family])[0]
        if name:
            do = nearest(family, list(validation.parts))
            raise ArgumentError("select_by", expected=f"one of {list(validation.parts)} before '/'", got=repr(select_by), do=do)
        return metric_named(select_by)

    def higher_is_better(self) -> bool | None:
        """Whether a higher validation score is better; None without validation tasks."""
        return None if self.metric is None else self.metric.higher_is_better

    def validate(self, record: dict[str, Any]) -> None:
        """Score now, and keep the weights if they are finite and among the best so far (without validation tasks: the latest)."""
        score, place = 0.0, 0
        if self.validation is not None and self.metric is not None:
            result = self._scored(self.episodes)
            if isinstance(result, MixtureEvaluation):
                record.update({f"validation_{name}": one.mean for name, one in result.families.items()})
                self.losses = {name: loss_of(one) for name, one in result.families.items()}
                result = result if self.family is None else result.families[self.family]
            record["validation"], record["validation_ci95"] = result.mean, result.ci95
            score = self.metric.gain(result.mean, 0.0)
            place = bisect_right(self.kept, -score, key=lambda one: -one.score)
            self.without_better = 0 if place == 0 else self.without_better + 1
            if place == 0:
                self.best = {"step": record["step"], "score": result.mean, "ci95": result.ci95, "metric": self.metric.name}
        if place < self.keep and all(bool(torch.isfinite(parameter).all()) for parameter in self.learner.parameters()):
            self._take(place, score)

    def seconds(self) -> float:
        """About how long one validation takes: the time of a few of its tasks, for all of them."""
        few = min(self.episodes, BATCH)
        began = time.perf_counter()
        if self.validation is not None and self.metric is not None:
            self._scored(few)
        return (time.perf_counter() - began) * self.episodes / few

    def _scored(self, episodes: int) -> Evaluation:
        assert self.validation is not None
        assert self.metric is not None
        metrics = [self.metric]
        if isinstance(self.validation, MixedTasks) and self.metric.name != LOSS:
            metrics.append(metric_named(LOSS))
        settings: dict[str, Any] = {"metrics": metrics, "loss": self.loss, "executor": self.executor}
        return evaluate(self.learner, self.validation, episodes, VALIDATION_SEED, **settings)

    def _take(self, place: int, score: float) -> None:
        weights = {name: tensor.detach().clone() for name, tensor in self.learner.state_dict().items()}
        self.kept = [*self.kept[:place], KeptCheckpoint(score, weights), *self.kept[place:]][: self.keep]
        if self.folder is not None and place == 0:
            self.learner.save(self.folder.learner)
        if self.folder is not None and self.keep > 1:
            Ensemble.of(self.learner, [one.weights for one in self.kept]).save(self.folder.ensemble)

    def restore(self) -> None:
        """Put the best weights back."""
        if self.kept:
            self.learner.load_state_dict(self.kept[0].weights)

    def waited(self, patience: int | None) -> bool:
        """Whether `patience` validations have passed without a better one."""
        return patience is not None and self.without_better >= patience

    def note(self) -> str:
        """The best score, for the progress bar."""
        return "" if self.best is None else f", validation {self.best['score']:.3f}"

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        kept = [(one.score, one.weights) for one in self.kept]
        return {"best": self.best, "kept": kept, "without_better": self.without_better}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state` left off."""
        self.best, self.without_better = state["best"], state["without_better"]
        self.kept = [KeptCheckpoint(*one) for one in state["kept"]][: self.keep]
