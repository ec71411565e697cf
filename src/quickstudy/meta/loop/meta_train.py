"""meta_train: the outer loop,  phi* = argmin_phi E_tasks [ L(F_phi(support), query) ].

Each meta-step draws tasks, takes the gradient of their losses in phi, and steps; at intervals the learner is scored on
meta-validation tasks, and the best is kept. Meta-test is never read here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from quickstudy.arguments import PositiveFloat, PositiveInt, Several, checked
from quickstudy.artifacts.configuring import config_of
from quickstudy.artifacts.run_folder import RunFolder
from quickstudy.errors import ArgumentError
from quickstudy.evaluation.evaluate import display_name
from quickstudy.evaluation.metrics import Metric
from quickstudy.learners.learner import Learner, Loss
from quickstudy.meta.executors import Executor
from quickstudy.meta.gradient import check_families
from quickstudy.meta.loop.beginning import Beginning
from quickstudy.meta.loop.checkpoint_selector import CheckpointSelector
from quickstudy.meta.loop.interrupt import Interrupt
from quickstudy.meta.loop.outer_loop import Limits, OuterLoop
from quickstudy.meta.loop.result import TrainingResult
from quickstudy.meta.loop.state import MetaTraining
from quickstudy.meta.outer.outer import Gradient, Outer
from quickstudy.progress import bar
from quickstudy.tasks import TaskDistribution, TaskFamily
from quickstudy.tasks.distribution.family import check_numbers

NOT_SETTINGS = ("learner", "tasks", "out", "resume", "track", "progress")  # arguments that do not say how a run trains


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
    start: str | Path | None = None,
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
            of target; "loss" for values where `loss` or the learner has a loss of its own. Of a mixture the mean of its
            families ranks; "NAME" or "NAME/metric" is the score of one family alone.
        keep: number of best checkpoints by validation whose weights stay in the result, for `Ensemble.of(learner, result.kept)`.
        seconds: wall time after which the run stops, if sooner than `steps`.
        seed: seeds tasks and dropout.
        start: the saved learner whose weights the run begins with: "strokes" (which comes along), the folder of a run or of a
            learner; None: those of `learner`. The result has its score on the validation tasks beside the best one.
        out: the run's folder, the same as that of `quickstudy train` (or a `RunFolder`, whose module lists its files): settings,
            tasks, environment, `learner/` (the best so far), `ensemble/` (with `keep` above 1), `metrics.jsonl`, `checkpoints/`
            (one at every validation and each minute) and, in the end, `calibration.json` and `result.json`. Every command reads
            it. Ctrl-C then ends the run after the current step, with a checkpoint.
        resume: continue from the newest checkpoint in `out`, with exactly the numbers of an unbroken run (on a CPU).
        track: called with each record and its step: see `quickstudy.artifacts.tracking.tracker`.
        progress: show a progress bar on stderr, or in a notebook; and of a long run, after its first steps, what it will take.

    Raises:
        NotFiniteError: a meta-gradient that is NaN or infinite; the learner is left with its best weights so far.
        ArgumentError, UnsupportedError: before the first step: arguments that cannot work; a run in `out` without `resume`; a
            `start` with another architecture, or for other images.
        CheckpointError: another process writes `out`; a checkpoint of another learner or of other settings.
        DataError: no space for a checkpoint; the previous one stays.
        KeyboardInterrupt: Ctrl-C; the run can be resumed where `out` was given.

    Examples:
        >>> learner, tasks = qs.Prototypical(torch.nn.Linear(8, 8)), qs.tasks.GaussianClasses(ways=3, dim=8)
        >>> run = qs.meta_train(learner, tasks, steps=5, tasks_per_step=4, validation_episodes=5, progress=False)
        >>> len(run.history), sorted(run.best)
        (5, ['ci95', 'metric', 'score', 'step'])
    """
    settings = {name: value for name, value in locals().items() if name not in NOT_SETTINGS}
    folder = _folder(out, resume)
    train, validation = parted(tasks, device, patience)
    if not learner.needs_support:
        for part in (train, validation):
            check_numbers(part, display_name(learner))
    config = {} if folder is None else config_of(learner, tasks, settings)
    learner.prepare(train)
    beginning = None if start is None else Beginning(str(start))
    if beginning is not None:
        beginning.give(learner, train)
    learner.to(device)
    outer = outer or getattr(learner, "outer", None) or Gradient()
    outer.estimator.check(learner)
    if not learner.meta_learns or not any(parameter.requires_grad for parameter in learner.parameters()):
        return _untrained(learner, tasks, (train, validation), folder, config)
    training = MetaTraining(learner, train, outer, loss, _precision(precision, learner), tasks_per_step, chunk, clip, seed)
    training.check_validation(validation)
    check_families(training.problem, train)
    selector = CheckpointSelector(learner, validation, validation_episodes, keep, folder, select_by, loss)
    limits = Limits(steps, validate_every or max(steps // 10, 1), patience, seconds)
    training.running.check(steps, selector.higher_is_better)
    title = f"meta-training {display_name(learner)}"
    with folder or nullcontext(), Interrupt(folder is not None) as interrupt, bar(steps, title, progress, seconds) as shown:
        OuterLoop(training, selector, folder, limits, tasks, config, shown).run(executor, track, interrupt)
        if beginning is not None:
            training.result.start = beginning.compared(validation, validation_episodes)
        if folder is not None:
            folder.finish(training.result.summary(), learner, validation)
    return training.result


def parted(
    tasks: TaskFamily | TaskDistribution, device: str | torch.device | None, patience: int | None
) -> tuple[TaskDistribution, TaskDistribution | None]:
    """The tasks to train on and those to select by, on the device.

    Raises:
        UnsupportedError: a family without meta-training classes.
        ArgumentError: `patience` without tasks to select by.
    """
    train, validation = (tasks.train, tasks.validation) if isinstance(tasks, TaskFamily) else (tasks, None)
    if patience is not None and validation is None:
        raise ArgumentError(
            "patience",
            expected="a TaskFamily, whose `.validation` says when nothing improves",
            got="tasks of one distribution",
            do="Leave it out, or give meta_train a family.",
        )
    return (train, validation) if device is None else (train.to(device), validation and validation.to(device))


def _folder(out: str | Path | RunFolder | None, resume: bool) -> RunFolder | None:
    if resume and out is None:
        raise ArgumentError("resume", expected="the run's folder as `out`", got="none", do="Give out=FOLDER as well.")
    return out if isinstance(out, RunFolder) or out is None else RunFolder(out, resume)


def _untrained(
    learner: Learner,
    tasks: Any,
    parts: tuple[TaskDistribution, TaskDistribution | None],
    folder: RunFolder | None,
    config: dict[str, Any],
) -> TrainingResult:
    """The run of a learner that has nothing to train: its folder holds it as it is."""
    if folder is not None:
        with folder:
            folder.check(tasks)
            folder.begin(tasks, config)
            learner.save(folder.learner)
            folder.finish({"steps": 0, "stopped": "steps"}, learner, parts[1])
    why = f"{display_name(learner)} has no meta-parameters to train"
    return TrainingResult(why=why, protocol=dict(parts[0].protocol))


def _precision(precision: str | None, learner: Learner) -> torch.dtype | None:
    if precision in (None, "fp32"):
        return None
    if precision == "bf16":
        return torch.bfloat16
    second_order = getattr(getattr(learner, "hypergradient", None), "second_order", False)
    why = "whose second derivatives overflow" if precision == "fp16" and second_order else "which is not served"
    raise ArgumentError("precision", expected="None or 'bf16'", got=f"{precision!r}, {why}", do="Use precision='bf16'.")
