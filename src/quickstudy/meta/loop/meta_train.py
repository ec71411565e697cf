"""meta_train: the outer loop,  phi* = argmin_phi E_tasks [ L(F_phi(support), query) ].

Each meta-step draws tasks, takes the gradient of their losses in phi, and steps; at intervals the learner is scored on
meta-validation tasks, and the best is kept. Meta-test is never read here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from quickstudy.arguments import PositiveFloat, PositiveInt, Several, checked
from quickstudy.artifacts.run_folder import RunFolder
from quickstudy.errors import ArgumentError
from quickstudy.evaluation.evaluate import display_name
from quickstudy.evaluation.metrics import Metric
from quickstudy.learners.learner import Learner, Loss
from quickstudy.meta.executors import Executor
from quickstudy.meta.loop.checkpoint_selector import CheckpointSelector
from quickstudy.meta.loop.interrupt import Interrupt
from quickstudy.meta.loop.result import TrainingResult
from quickstudy.meta.loop.state import MetaTraining
from quickstudy.meta.outer.outer import Gradient, Outer
from quickstudy.progress import bar
from quickstudy.tasks import TaskDistribution, TaskFamily

SAVE_AFTER = 60.0  # seconds without a checkpoint


@checked
def meta_train(
    learner: Learner,
    tasks: TaskFamily | TaskDistribution,
    *,
    steps: PositiveInt,
    tasks_per_step: PositiveInt,
    outer: Outer | None = None,
    loss: Loss | None = None,
    executor: str | Executor = "auto",
    device: str | torch.device | None = None,
    precision: str | None = None,
    chunk: PositiveInt | None = None,
    clip: PositiveFloat | None = None,
    validate_every: PositiveInt | None = None,
    validation_episodes: Several = 200,
    patience: PositiveInt | None = None,
    keep: PositiveInt = 1,
    select_by: str | Metric | None = None,
    seconds: PositiveFloat | None = None,
    seed: int = 0,
    out: str | Path | RunFolder | None = None,
    resume: bool = False,
    track: Callable[[dict[str, Any], int], None] | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Meta-train a learner in place; it is left with its best weights.

    Args:
        learner: F_phi.
        tasks: a family (`.train` trains, `.validation` selects the best), or one distribution (then nothing selects).
        steps: meta-steps.
        tasks_per_step: tasks in each.
        outer: the across-task method; None: the learner's own default, else Adam on the backpropagated gradient.
        loss: the outer criterion; None: the learner's.
        executor: "auto" measures and takes the fastest, or "loop", "threads", "vmap", "compiled".

    Other Args:
        device: moves learner and data there; None: leaves them.
        precision: "bf16" runs forwards under autocast; parameters and updates stay in float32.
        chunk: tasks differentiated at once, which bounds memory; None: all.
        clip: largest global norm of a meta-gradient.
        validate_every: steps between validations; None: a tenth of `steps`.
        validation_episodes: tasks of each validation.
        patience: validations without a better score after which the run stops.
        select_by: the metric that ranks checkpoints, as `evaluate(metrics=)` takes them, or "loss". None: the score of the kind
            of target; "loss" for values where `loss` or the learner has a loss of its own.
        keep: number of best checkpoints by validation whose weights stay in the result, for `Ensemble.of(learner, result.kept)`.
        seconds: wall time after which the run stops, if sooner than `steps`.
        seed: seeds tasks and dropout.
        out: the run's folder (or a `RunFolder`): `learner/` (the best so far), `ensemble/` (with `keep` above 1),
            `metrics.jsonl`, `checkpoints/` (one at every validation and each minute), `identity.json` and, in the end,
            `result.json`. Ctrl-C then ends the run after the current step, with a checkpoint.
        resume: continue from the newest checkpoint in `out`, with exactly the numbers of an unbroken run (on a CPU).
        track: called with each record and its step: see `quickstudy.artifacts.tracking.tracker`.
        progress: show a progress bar on stderr.

    Raises:
        NotFiniteError: a meta-gradient that is NaN or infinite; the learner is left with its best weights so far.
        ArgumentError, UnsupportedError: before the first step: arguments that cannot work; a run in `out` without `resume`.
        CheckpointError: another process writes `out`; a checkpoint of another learner or of other settings.
        DataError: no space for a checkpoint; the previous one stays.
        KeyboardInterrupt: Ctrl-C; the run can be resumed where `out` was given.

    Examples:
        >>> learner, tasks = qs.Prototypical(torch.nn.Linear(8, 8)), qs.tasks.GaussianClasses(ways=3, dim=8)
        >>> run = qs.meta_train(learner, tasks, steps=5, tasks_per_step=4, validation_episodes=5, progress=False)
        >>> len(run.history), sorted(run.best)
        (5, ['ci95', 'metric', 'score', 'step'])
    """
    if resume and out is None:
        raise ArgumentError("resume", expected="the run's folder as `out`", got="none", do="Give out=FOLDER as well.")
    folder = out if isinstance(out, RunFolder) or out is None else RunFolder(out, resume)
    train, validation = (tasks.train, tasks.validation) if isinstance(tasks, TaskFamily) else (tasks, None)
    if patience is not None and validation is None:
        raise ArgumentError(
            "patience",
            expected="a TaskFamily, whose `.validation` says when nothing improves",
            got="tasks of one distribution",
            do="Leave it out, or give meta_train a family.",
        )
    if device is not None:
        train, validation = train.to(device), validation and validation.to(device)
    learner.prepare(train)
    learner.to(device)
    outer = outer or getattr(learner, "outer", None) or Gradient()
    outer.estimator.check(learner)
    if not learner.meta_learns or not any(parameter.requires_grad for parameter in learner.parameters()):
        if folder is not None:
            with folder:
                folder.check(tasks)
                folder.begin(tasks)
                learner.save(folder.learner)
                folder.finish({"steps": 0, "stopped": "steps"})
        return TrainingResult(why=f"{display_name(learner)} has no meta-parameters to train", protocol=dict(train.protocol))
    training = MetaTraining(learner, train, outer, loss, _precision(precision, learner), tasks_per_step, chunk, clip, seed)
    selector = CheckpointSelector(learner, validation, validation_episodes, keep, folder, select_by, loss)
    limits = Limits(steps, validate_every or max(steps // 10, 1), patience, seconds)
    training.running.check(steps, selector.higher_is_better)
    title = f"meta-training {display_name(learner)}"
    with folder or nullcontext(), Interrupt(folder is not None) as interrupt, bar(steps, title, progress) as advance:
        loop = OuterLoop(training, selector, folder, limits, tasks)
        try:
            advance(loop.start(executor))
            for step in range(loop.done + 1, 0 if training.result.stopped in EARLY else steps + 1):
                record = loop.step(step)
                if track is not None:
                    track(record, step)
                advance(1, note=f"loss {record['loss']:.3f}" + selector.note())
                if training.result.stopped in EARLY:
                    break
                if interrupt.asked:
                    loop.save(step)
                    raise KeyboardInterrupt(
                        f"stopped after step {step}; resume with `quickstudy resume {folder.path if folder else out}`"
                    )
        finally:
            selector.restore()
            training.result.best, training.result.seconds = selector.best, loop.seconds()
            training.result.kept = [one.weights for one in selector.kept]
        if folder is not None:
            folder.finish(training.result.summary())
    return training.result


EARLY = ("patience", "seconds")  # reasons to stop before the last step


@dataclass(frozen=True)
class Limits:
    """When a run ends, and when it is scored."""

    steps: int
    validate_every: int
    patience: int | None
    seconds: float | None


class OuterLoop:
    """The steps of a run, with validation, records, checkpoints and early stopping in between."""

    def __init__(
        self, training: MetaTraining, selector: CheckpointSelector, folder: RunFolder | None, limits: Limits, tasks: Any
    ):
        self.training, self.selector, self.folder, self.limits, self.tasks = training, selector, folder, limits, tasks
        self.done, self.before = 0, 0.0
        self.began = self.saved = time.perf_counter()

    def start(self, executor: str | Executor) -> int:
        """Choose the executor, or resume from the newest checkpoint; returns the number of steps already done."""
        if self.folder is not None:
            self.folder.check(self.tasks)
        found = None if self.folder is None else self.folder.load()
        if found is None:
            self.training.take_executor(executor, self.limits.steps, self.limits.seconds)
        else:
            self.done, state, self.training.result.passed_over = found
            self.training.load_state_dict(state["training"], f"{self.folder.path}/checkpoints" if self.folder else "")
            self.selector.load_state_dict(state["selector"])
            self.before = state["seconds"]
            more = state["stopped"] == "seconds" and (self.limits.seconds is None or self.limits.seconds > self.before)
            self.training.result.stopped = "steps" if more else state["stopped"]
            if self.training.result.stopped not in EARLY:  # the checkpoint's own schedule
                self.training.running.check(self.limits.steps, self.selector.higher_is_better, self.done)
        self.selector.scored_by(self.training.result.executor)
        if self.folder is not None:
            self.folder.begin(self.tasks)
            self.training.result.history[:] = self.folder.history(until=self.done)
        self.began = self.saved = time.perf_counter()
        if self.folder is not None and found is None:
            self.save(0)  # the executor that was chosen, and the initial weights
        return self.done

    def step(self, step: int) -> dict[str, Any]:
        """Take one meta-step; validate and checkpoint if due."""
        record = self.training.step(step)
        late = self.limits.seconds is not None and self.seconds() > self.limits.seconds
        due = step % self.limits.validate_every == 0 or step == self.limits.steps or late
        if due:
            self.selector.validate(record)
            if "validation" in record:
                self.training.running.validated(record["validation"])
        if late or self.selector.waited(self.limits.patience):
            self.training.result.stopped = "seconds" if late else "patience"
        if self.folder is not None:
            self.folder.append(record)
            if due or time.perf_counter() - self.saved > SAVE_AFTER:
                self.save(step)
        self.done = step
        return record

    def seconds(self) -> float:
        """Wall time of the run, including the parts before a resume."""
        return self.before + time.perf_counter() - self.began

    def save(self, step: int) -> None:
        """Save a checkpoint of the state after `step`."""
        assert self.folder is not None
        state = {
            "training": self.training.state_dict(),
            "selector": self.selector.state_dict(),
            "stopped": self.training.result.stopped,
            "seconds": self.seconds(),
        }
        self.folder.save(step, state)
        self.saved = time.perf_counter()


def _precision(precision: str | None, learner: Learner) -> torch.dtype | None:
    if precision in (None, "fp32"):
        return None
    if precision == "bf16":
        return torch.bfloat16
    second_order = getattr(getattr(learner, "hypergradient", None), "second_order", False)
    why = "whose second derivatives overflow" if precision == "fp16" and second_order else "which is not served"
    raise ArgumentError("precision", expected="None or 'bf16'", got=f"{precision!r}, {why}", do="Use precision='bf16'.")
