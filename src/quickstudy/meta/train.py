"""meta_train: the outer loop,  phi* = argmin_phi E_tasks [ L(F_phi(support), query) ].

Each meta-step draws tasks, takes the gradient of their losses in phi, and steps; now and then the learner is scored on
meta-validation tasks, and the best is kept. Meta-test is never read here.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.errors import ArgumentError
from quickstudy.evaluation.evaluate import display_name, evaluate
from quickstudy.learners.learner import Learner, Loss
from quickstudy.meta.executors import Executor, executor_named
from quickstudy.meta.executors.auto import choose
from quickstudy.meta.gradient import check_gradient, episode_seeds, in_chunks
from quickstudy.meta.outer import Gradient, clip_by_global_norm
from quickstudy.meta.problem import Answer, Problem
from quickstudy.meta.run import Run
from quickstudy.progress import bar
from quickstudy.tasks import TaskDistribution, TaskFamily

VALIDATION_SEED = 20_000_003  # the same validation tasks each time, none of them an evaluation's


def meta_train(
    learner: Learner,
    tasks: TaskFamily | TaskDistribution,
    *,
    steps: int,
    tasks_per_step: int,
    outer: Gradient | None = None,
    loss: Loss | None = None,
    executor: str | Executor = "auto",
    device: str | torch.device | None = None,
    precision: str | None = None,
    chunk: int | None = None,
    clip: float | None = None,
    validate_every: int | None = None,
    validation_episodes: int = 200,
    patience: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool = True,
) -> Run:
    """Meta-train a learner in place; it is left with its best weights.

    Main arguments:
        tasks: a family (its `.train` is trained on, its `.validation` selects), or one distribution (then nothing selects).
        steps: meta-steps.
        tasks_per_step: tasks in each.
        outer: the across-task method; None: the learner's own default, else Adam on the backpropagated gradient.
        loss: the outer criterion; None: the learner's.
        executor: "auto" measures and takes the fastest, or "loop", "threads", "vmap", "compiled".

    Other arguments:
        device: where learner and data go.
        precision: "bf16" runs forwards under autocast; parameters and updates stay in float32.
        chunk: tasks differentiated at once; memory is bounded by it.
        clip: largest global norm of a meta-gradient.
        validate_every: steps between validations; None: ten times in the run.
        validation_episodes: tasks of each validation.
        patience: validations without a better score after which the run stops.
        seconds: wall time after which the run stops, if sooner than `steps`.
        seed: of tasks and dropout.
        out: folder where the best learner is saved as it is found.
        progress: show a progress bar on stderr.

    Raises:
        NotFiniteError: a meta-gradient that is NaN or infinite; the learner is left with its best weights so far.
        ArgumentError, UnsupportedError: arguments that cannot work, before the first step.
    """
    _check(steps=steps, tasks_per_step=tasks_per_step, chunk=chunk, patience=patience, validate_every=validate_every)
    train, validation = (tasks.train, tasks.validation) if isinstance(tasks, TaskFamily) else (tasks, None)
    if device is not None:
        train, validation = train.to(device), validation and validation.to(device)
    learner.prepare(train)
    learner.to(device)
    outer = outer or getattr(learner, "outer", None) or Gradient()
    outer.estimator.check(learner)
    parameters = {name: parameter for name, parameter in learner.named_parameters() if parameter.requires_grad}
    if not parameters or not learner.meta_learns:
        return Run(why=f"{display_name(learner)} has no meta-parameters to train", protocol=dict(train.protocol))
    every = validate_every or max(steps // 10, 1)
    training = MetaTraining(learner, train, outer, loss, _precision(precision, learner), tasks_per_step, chunk, clip, seed)
    training.take_executor(executor, steps, seconds)
    keeper = Keeper(learner, validation, validation_episodes, None if out is None else Path(out))
    run, began = training.run, time.perf_counter()
    with bar(steps, f"meta-training {display_name(learner)}", progress) as advance:
        try:
            for step in range(1, steps + 1):
                record = training.step(step)
                late = seconds is not None and time.perf_counter() - began > seconds
                if step % every == 0 or step == steps or late:
                    keeper.validate(record)
                advance(1, note=f"loss {record['loss']:.3f}" + keeper.note())
                if late or keeper.waited(patience):
                    run.stopped = "seconds" if late else "patience"
                    break
        finally:
            keeper.restore()
            run.best, run.seconds = keeper.best, time.perf_counter() - began
    return run


class MetaTraining:
    """The state of the outer loop: what one meta-step needs."""

    def __init__(
        self,
        learner: Learner,
        train: TaskDistribution,
        outer: Gradient,
        loss: Loss | None,
        precision: torch.dtype | None,
        tasks_per_step: int,
        chunk: int | None,
        clip: float | None,
        seed: int,
    ):
        self.learner, self.train, self.estimator = learner, train, outer.estimator
        self.problem = Problem(learner, outer.estimator, loss, precision)
        self.parameters = {name: parameter for name, parameter in learner.named_parameters() if parameter.requires_grad}
        self.descending = outer.start(self.parameters)
        self.tasks_per_step, self.chunk, self.clip, self.seed = tasks_per_step, chunk, clip, seed
        self.generator = torch.Generator().manual_seed(seed)
        self.executor: Executor
        self.run = Run(protocol={**train.protocol, "tasks_per_step": tasks_per_step, "seed": seed, "clip": clip})

    def take_executor(self, executor: str | Executor, steps: int, seconds: float | None) -> None:
        """The executor asked for, or the fastest on a first batch that is drawn for this alone."""
        if executor == "auto":
            generator = torch.Generator().manual_seed(self.seed)
            episodes = self.estimator.draw(self.train, self.tasks_per_step, generator)
            seeds = episode_seeds(_length(episodes), generator, self.problem)
            choice = choose(self.problem, episodes, seeds, steps, seconds, self._send)
            self.executor, self.run.why = choice.executor, choice.why
        else:
            self.executor, self.run.why = executor_named(executor, self.problem), "asked for"
        self.run.executor = self.executor.name

    def step(self, step: int) -> dict[str, Any]:
        """One meta-step; its record."""
        began = time.perf_counter()
        episodes = self.estimator.draw(self.train, self.tasks_per_step, self.generator)
        seeds = episode_seeds(_length(episodes), self.generator, self.problem)
        answer = self._send(self.executor, episodes, seeds)
        check_gradient(self.problem, answer, episodes, seeds)
        if self.clip is not None:
            clip_by_global_norm(answer.gradient, self.clip)
        self.descending.step(answer.gradient)
        self._average_statistics(answer)
        measures = {name: float(value.mean()) for name, value in answer.measures.items() if not name.startswith("statistics/")}
        record = {"step": step, "loss": float(answer.losses.mean()), **measures, "seconds": time.perf_counter() - began}
        self.run.history.append(record)
        return record

    def _send(self, executor: Executor, episodes: Any, seeds: Tensor) -> Answer:
        return in_chunks(executor, self.problem, episodes, seeds, self.chunk)

    def _average_statistics(self, answer: Answer) -> None:
        """Under "running": move the running averages towards the mean over tasks of the batches' statistics."""
        with torch.no_grad():
            for name, values in answer.measures.items():
                if name.startswith("statistics/"):
                    module, _, which = name.removeprefix("statistics/").rpartition(".")
                    norm = self.learner.get_submodule(module)
                    momentum = 0.1 if norm.momentum is None else norm.momentum
                    getattr(norm, which).lerp_(values.mean(0).to(getattr(norm, which).dtype), momentum)


class Keeper:
    """Scores the learner on meta-validation tasks, keeps the best weights, and puts them back at the end."""

    def __init__(self, learner: Learner, validation: TaskDistribution | None, episodes: int, out: Path | None):
        self.learner, self.validation, self.episodes, self.out = learner, validation, episodes, out
        self.best: dict[str, Any] | None = None
        self.kept: dict[str, Tensor] | None = None
        self.without_better = 0

    def validate(self, record: dict[str, Any]) -> None:
        """Score now, and keep the weights where they are the best so far (finite ones, where nothing scores them)."""
        if self.validation is not None:
            result = evaluate(self.learner, self.validation, self.episodes, VALIDATION_SEED)
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


def _length(episodes: Any) -> int:
    return pytree.tree_leaves(episodes)[0].shape[0]


def _precision(precision: str | None, learner: Learner) -> torch.dtype | None:
    if precision in (None, "fp32"):
        return None
    if precision == "bf16":
        return torch.bfloat16
    second_order = getattr(getattr(learner, "hypergradient", None), "second_order", False)
    why = "whose second derivatives overflow" if precision == "fp16" and second_order else "which is not served"
    raise ArgumentError("precision", expected="None or 'bf16'", got=f"{precision!r}, {why}", do="Use precision='bf16'.")


def _check(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ArgumentError(name, expected="1 or more", got=str(value), do="Leave it out for the default.")
