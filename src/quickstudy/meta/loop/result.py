"""TrainingResult: the record of a meta-training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from quickstudy.meta.loop.estimate import Estimate


@dataclass
class TrainingResult:
    """The record of one meta-training.

    Attributes:
        history: one record per step: step, loss, seconds, further measures, and the score where validation was due.
        best: step, score, ci95 and metric of the best validation; None without validation.
        kept: the weights of the `keep` best checkpoints by validation, best first.
        executor: the name of the executor.
        why: why it was chosen, or why nothing was trained.
        seconds: wall time.
        stopped: why it ended: "steps", "patience" or "seconds".
        protocol: everything needed to repeat it.
        estimate: what it was to take, by its first steps; None for a short run.
        start: where the run began with a saved learner, its name, and its score and ci95 on the same validation tasks.
        passed_over: after a resume, a line for each unreadable checkpoint for which an older one was taken.

    Examples:
        >>> learner, tasks = qs.Prototypical(qs.models.mlp(4, 8)), qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> run = qs.meta_train(learner, tasks, steps=4, tasks_per_step=2, validation_episodes=5, progress=False)
        >>> len(run.history), run.stopped, run.best["metric"]
        (4, 'steps', 'accuracy')
        >>> sorted(run.history[-1])
        ['loss', 'seconds', 'step', 'validation', 'validation_ci95']
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    kept: list[dict[str, Tensor]] = field(default_factory=list, repr=False)
    executor: str = "loop"
    why: str = ""
    seconds: float = 0.0
    stopped: str = "steps"
    protocol: dict[str, Any] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)
    estimate: Estimate | None = None
    start: dict[str, Any] | None = None

    def summary(self) -> dict[str, Any]:
        """How it ended, as plain data: what result.json holds."""
        return {
            "steps": len(self.history),
            "stopped": self.stopped,
            "seconds": self.seconds,
            "executor": self.executor,
            "why": self.why,
            "best": self.best,
            "protocol": self.protocol,
            "start": self.start,
            "estimate": None if self.estimate is None else asdict(self.estimate),
        }

    def __repr__(self) -> str:
        last = f", last loss {self.history[-1]['loss']:.4g}" if self.history else ""
        best = "" if self.best is None else f", best {self.best['metric']} {self.best['score']:.4g} at step {self.best['step']}"
        return f"TrainingResult({len(self.history)} steps{last}{best}, stopped by {self.stopped!r} after {self.seconds:.1f} s)"

    def _repr_html_(self) -> str:
        from quickstudy.report.notebook import of_result

        return of_result(self)

    def __str__(self) -> str:
        last = self.history[-1]["loss"] if self.history else float("nan")
        best = "" if self.best is None else f", best validation {self.best['score']:.4f} at step {self.best['step']}"
        if self.start is not None:
            best += f" (the learner {self.start['name']} that it began with: {self.start['score']:.4f})"
        return (
            f"{len(self.history)} meta-steps in {self.seconds:.1f} s by {self.executor} ({self.why}), last loss {last:.4f}{best}"
        )
