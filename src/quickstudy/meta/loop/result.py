"""TrainingResult: what meta-training leaves behind beside the learner itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class TrainingResult:
    """The story of one meta-training.

    Attributes:
        history: one record a step: step, loss, seconds, further measures; with validation scores where one was taken.
        best: the record of the best validation: step and score; None where none was taken.
        kept: the weights of the best checkpoints by validation, the best first: as many as `keep` said.
        executor: which executor served, and why.
        seconds: wall time.
        stopped: why it ended: "steps", "patience" or "seconds".
        protocol: everything needed to repeat it.
        passed_over: after a resume, a line for each checkpoint that did not read, where an older one was taken.
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

    def __str__(self) -> str:
        last = self.history[-1]["loss"] if self.history else float("nan")
        best = "" if self.best is None else f", best validation {self.best['score']:.4f} at step {self.best['step']}"
        return (
            f"{len(self.history)} meta-steps in {self.seconds:.1f} s by {self.executor} ({self.why}), last loss {last:.4f}{best}"
        )
