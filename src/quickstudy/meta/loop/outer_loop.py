"""The steps of a run, with validation, records, checkpoints and early stopping in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quickstudy.artifacts.run_folder import RunFolder
from quickstudy.meta.executors import Executor
from quickstudy.meta.loop.checkpoint_selector import CheckpointSelector
from quickstudy.meta.loop.estimate import MEASURED, WORTH_TELLING, estimate
from quickstudy.meta.loop.interrupt import Interrupt
from quickstudy.meta.loop.state import MetaTraining
from quickstudy.progress import Bar

SAVE_AFTER = 60.0  # seconds without a checkpoint
EARLY = ("patience", "seconds")  # reasons to stop before the last step
Track = Callable[[dict[str, Any], int], None]


@dataclass(frozen=True)
class Limits:
    """When a run ends, and when it is scored."""

    steps: int
    validate_every: int
    patience: int | None
    seconds: float | None


class OuterLoop:
    """The loop of one run. Its folder, where it has one, is entered."""

    def __init__(
        self,
        training: MetaTraining,
        selector: CheckpointSelector,
        folder: RunFolder | None,
        limits: Limits,
        tasks: Any,
        config: dict[str, Any],
        shown: Bar,
    ):
        self.training, self.selector, self.folder, self.limits = training, selector, folder, limits
        self.tasks, self.config, self.shown = tasks, config, shown
        self.done, self.before = 0, 0.0
        self.began = self.saved = time.perf_counter()

    def run(self, executor: str | Executor, track: Track | None, interrupt: Interrupt) -> None:
        """Take all steps; the learner is left with its best weights, however it ends.

        Raises:
            KeyboardInterrupt: Ctrl-C, after the step, which is saved.
        """
        result = self.training.result
        try:
            self.start(executor)
            first = self.done + 1
            for step in range(first, 0 if result.stopped in EARLY else self.limits.steps + 1):
                record = self._step(step)
                if track is not None:
                    track(record, step)
                self.shown(1, note=f"loss {record['loss']:.3f}" + self.selector.note())
                if step - first + 1 == MEASURED:
                    self._estimate()
                if result.stopped in EARLY:
                    break
                if interrupt.asked and self.folder is not None:
                    self._save(step)
                    raise KeyboardInterrupt(f"stopped after step {step}; resume with `quickstudy resume {self.folder.path}`")
        finally:
            self.selector.restore()
            result.best, result.seconds = self.selector.best, self._seconds()
            result.kept = [one.weights for one in self.selector.kept]

    def start(self, executor: str | Executor) -> None:
        """Choose the executor, or resume from the newest checkpoint."""
        if self.folder is not None:
            self.folder.check(self.tasks)
        found = None if self.folder is None else self.folder.load()
        if found is None:
            self.training.take_executor(executor, self.limits.steps, self.limits.seconds)
        else:
            self._take_up(*found)
        self.selector.scored_by(self.training.result.executor)
        if self.folder is not None:
            self.folder.begin(self.tasks, self.config)
            self.training.result.history[:] = self.folder.history(until=self.done)
        self.began = self.saved = time.perf_counter()
        self.shown.begin(self.done, self.before)
        if self.folder is not None and found is None:
            self._save(0)  # the executor that was chosen, and the initial weights

    def _take_up(self, done: int, state: Any, passed_over: list[str]) -> None:
        """Go on from a checkpoint."""
        result = self.training.result
        self.done, result.passed_over, self.before = done, passed_over, state["seconds"]
        self.training.load_state_dict(state["training"], f"{self.folder.path}/checkpoints" if self.folder else "")
        self.selector.load_state_dict(state["selector"])
        more = state["stopped"] == "seconds" and (self.limits.seconds is None or self.limits.seconds > self.before)
        result.stopped = "steps" if more else state["stopped"]
        if result.stopped not in EARLY:  # the checkpoint's own schedule
            self.training.running.check(self.limits.steps, self.selector.higher_is_better, self.done)

    def _step(self, step: int) -> dict[str, Any]:
        """Take one meta-step; validate and checkpoint if due."""
        record = self.training.step(step)
        late = self.limits.seconds is not None and self._seconds() > self.limits.seconds
        due = step % self.limits.validate_every == 0 or step == self.limits.steps or late
        if due:
            self.selector.validate(record)
            if "validation" in record:
                self.training.running.validated(record["validation"])
                self.training.validated(self.selector.losses, record)
        if late or self.selector.waited(self.limits.patience):
            self.training.result.stopped = "seconds" if late else "patience"
        if self.folder is not None:
            self.folder.append(record)
            if due or time.perf_counter() - self.saved > SAVE_AFTER:
                self._save(step)
        self.done = step
        return record

    def _estimate(self) -> None:
        """From the first steps, what the rest will take; said where it is long."""
        times = [record["seconds"] for record in self.training.result.history[-MEASURED:]]
        left = self.limits.steps - self.done
        if sum(times) / len(times) * left < WORTH_TELLING:
            return
        due = sum(step % self.limits.validate_every == 0 for step in range(self.done + 1, self.limits.steps)) + 1
        validations = due if self.selector.metric is not None else 0
        limit = None if self.limits.seconds is None else self.limits.seconds - self._seconds()
        each = self.selector.seconds() if validations else 0.0
        found = self.training.result.estimate = estimate(times, left, each, validations, limit)
        self.shown.say(str(found))

    def _seconds(self) -> float:
        """Wall time of the run, including the parts before a resume."""
        return self.before + time.perf_counter() - self.began

    def _save(self, step: int) -> None:
        """Save a checkpoint of the state after `step`."""
        assert self.folder is not None
        state = {
            "training": self.training.state_dict(),
            "selector": self.selector.state_dict(),
            "stopped": self.training.result.stopped,
            "seconds": self._seconds(),
        }
        self.folder.save(step, state)
        self.saved = time.perf_counter()
