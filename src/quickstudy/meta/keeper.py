"""Model selection: the learner is scored on meta-validation tasks now and then, and its best weights are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quickstudy.evaluation.evaluate import evaluate
from quickstudy.learners.learner import Learner
from quickstudy.tasks import TaskDistribution

VALIDATION_SEED = 20_000_003  # the same validation tasks each time, none of them an evaluation's


class Keeper:
    """Scores the learner on meta-validation tasks, keeps the best weights, and puts them back at the end."""

    def __init__(self, learner: Learner, validation: TaskDistribution | None, episodes: int, out: Path | None):
        self.learner, self.validation, self.episodes, self.out = learner, validation, episodes, out
        self.best: dict[str, Any] | None = None
        self.kept: dict[str, Tensor] | None = None
        self.without_better = 0
        self.executor = "loop"

    def scored_by(self, executor: str) -> None:
        """Score with the run's own executor, so that a resumed run rounds as an unbroken one; "compiled" trains only."""
        self.executor = executor if executor in ("threads", "vmap") else "vmap" if executor == "compiled" else "loop"

    def validate(self, record: dict[str, Any]) -> None:
        """Score now, and keep the weights where they are the best so far (finite ones, where nothing scores them)."""
        if self.validation is not None:
            result = evaluate(self.learner, self.validation, self.episodes, VALIDATION_SEED, executor=self.executor)
            record["validation"], record["validation_ci95"] = result.mean, result.ci95
            higher = result.protocol["metric"] == "accuracy"
            better = self.best is None or (result.mean > self.best["score"] if higher else result.mean < self.best["score"])
            self.without_better = 0 if better else self.without_better + 1
            if not better:
                return
            self.best = {"step": record["step"], "score": result.mean, "ci95": result.ci95}
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.learner.parameters()):
            return
        self.kept = {name: tensor.detach().clone() for name, tensor in self.learner.state_dict().items()}
        if self.out is not None:
            self.learner.save(self.out)

    def restore(self) -> None:
        """Put the best weights back."""
        if self.kept is not None:
            self.learner.load_state_dict(self.kept)

    def waited(self, patience: int | None) -> bool:
        """Whether `patience` validations have passed without a better one."""
        return patience is not None and self.without_better >= patience

    def note(self) -> str:
        """The best score, for the progress bar."""
        return "" if self.best is None else f", validation {self.best['score']:.3f}"

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"best": self.best, "kept": self.kept, "without_better": self.without_better}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state` left off."""
        self.best, self.kept, self.without_better = state["best"], state["kept"], state["without_better"]
