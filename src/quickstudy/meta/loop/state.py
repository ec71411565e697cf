"""The state of the outer loop, and one meta-step of it: draw tasks, take the gradient of their losses in phi, step."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from quickstudy.arguments import PositiveFloat
from quickstudy.artifacts.description import description, first_difference, whole_description
from quickstudy.errors import ArgumentError, CheckpointError
from quickstudy.learners.learner import Learner, Loss
from quickstudy.meta.carried import CarriedRuns, carries
from quickstudy.meta.executors import EXECUTORS, Executor, executor_named
from quickstudy.meta.executors.auto import choose, choose_by_values
from quickstudy.meta.gradient import check_dependence, check_gradient, episode_seeds, in_chunks
from quickstudy.meta.loop.result import TrainingResult
from quickstudy.meta.outer.outer import Outer, RunningSearch, check_outer, clip_by_global_norm
from quickstudy.meta.problem import Answer, Problem, tasks_of
from quickstudy.tasks import TaskDistribution
from quickstudy.tasks.construction.mixture import MixedTasks
from quickstudy.tasks.construction.weights import ByProgress, Progress


class MetaTraining:
    """The parts of a meta-step; `state_dict` holds all that changes."""

    def __init__(
        self,
        learner: Learner,
        train: TaskDistribution,
        outer: Outer,
        loss: Loss | None,
        precision: torch.dtype | None,
        tasks_per_step: int,
        chunk: int | None,
        clip: PositiveFloat | None,
        seed: int,
    ):
        self.learner, self.train, self.outer, self.estimator = learner, train, outer, outer.estimator
        self.problem = Problem(learner, outer.estimator, loss, precision)
        self.parameters = {name: parameter for name, parameter in learner.named_parameters() if parameter.requires_grad}
        self.running = outer.start(self.parameters)
        self.runs = CarriedRuns(self.estimator, learner, train, tasks_per_step, seed) if carries(learner, train) else None  # type: ignore[arg-type]
        check_outer(outer, clip, chunk)
        self.progress: Progress | None = None
        if isinstance(train, MixedTasks) and isinstance(train.weights, ByProgress):
            self.progress = train.weights.start(list(train.parts))
        self.tasks_per_step, self.chunk, self.clip, self.seed = tasks_per_step, chunk, clip, seed
        self.generator = torch.Generator().manual_seed(seed)
        self.executor: Executor
        self.result = TrainingResult(protocol={**train.protocol, "tasks_per_step": tasks_per_step, "seed": seed, "clip": clip})

    def take_executor(self, executor: str | Executor, steps: int, seconds: float | None) -> None:
        """Take the given executor, or for "auto" the fastest on a batch that is drawn for this alone."""
        if executor == "auto":
            generator = torch.Generator().manual_seed(self.seed)
            episodes = self._draw(generator)
            seeds = episode_seeds(tasks_of(episodes), generator, self.problem)
            choosing = choose if self.estimator.differentiates else choose_by_values
            choice = choosing(self.problem, episodes, seeds, steps, seconds, self._send)
            self.executor, self.result.why = choice.executor, choice.why
        else:
            self.executor, self.result.why = executor_named(executor, self.problem), "asked for"
        self.result.executor = self.executor.name

    def step(self, step: int) -> dict[str, Any]:
        """Take one meta-step; returns its record."""
        began = time.perf_counter()
        if self.learner.at(step):  # a new problem, so that no copy or graph of the old one is used again
            self.problem = Problem(self.learner, self.estimator, self.problem.criterion, self.problem.precision)
        episodes = self._draw(self.generator)
        seeds = episode_seeds(tasks_of(episodes), self.generator, self.problem)
        if not self.result.history:
            check_dependence(self.problem, episodes, seeds)
        drawn = torch.get_rng_state()  # for draws of the user's own network: each evaluation of a step draws the same
        answer = self._answer(episodes, seeds)
        if self.runs is not None:
            answer = self.runs.take(answer)

        def again() -> Answer:
            torch.set_rng_state(drawn)
            return self._answer(episodes, seeds)

        self.running.step(answer, again)
        self._average_statistics(answer)
        with torch.no_grad():
            for part in self.learner.modules():
                if isinstance(part, Learner):
                    part.after(answer.log)
        log = {name: float(value.mean()) for name, value in answer.log.items()}
        record = {"step": step, "loss": float(answer.losses.mean()), **log, "seconds": time.perf_counter() - began}
        self.result.history.append(record)
        return record

    def check_validation(self, validation: TaskDistribution | None) -> None:
        """Refuse weights by progress where no validation shows the progress of each family.

        Raises:
            ArgumentError: no validation tasks, or none of a family.
        """
        if self.progress is None:
            return
        seen = list(validation.parts) if isinstance(validation, MixedTasks) else []
        if absent := [name for name in self.progress.gains if name not in seen]:
            raise ArgumentError(
                "weights=ByProgress()",
                expected="validation tasks of every family, in which progress is seen",
                got=f"none of {', '.join(map(repr, absent))}",
                do="Give meta_train the Mixture itself, of families with a validation part.",
            )

    def validated(self, losses: dict[str, float], record: dict[str, Any]) -> None:
        """Take the loss of each family on validation, by which a mixture weighted by progress draws from now on."""
        if self.progress is not None:
            shares = self.progress.seen(losses)
            record.update({f"share_{name}": share for name, share in shares.items()})

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: phi and its optimizer, the generators, the executor that was chosen, and the settings."""
        return {
            "learner": dict(self.learner.state_dict()),
            "outer": self.running.state_dict(),
            "generator": self.generator.get_state(),
            "runs": None if self.runs is None else self.runs.state_dict(),
            "progress": None if self.progress is None else self.progress.state_dict(),
            "global generator": torch.get_rng_state(),  # what a network of the user's own may draw from
            "executor": (self.executor.name, self.result.why, self.executor.settings()),
            "protocol": self._settings(),
            "made of": self._made_of(),
        }

    def load_state_dict(self, state: dict[str, Any], where: str) -> None:
        """Take up where `state` left off.

        Raises:
            CheckpointError: a state of another learner, or of a run with other settings.
        """
        if (found := first_difference(self._made_of(), state["made of"])) is not None:
            name, ours, theirs = found
            raise CheckpointError(
                where,
                expected=f"a checkpoint of a run with {name} = {_short(ours)}",
                got=f"one with {_short(theirs)}",
                do="Resume with the learner and the outer method that the run was started with.",
            )
        for name, value in self._settings().items():
            if state["protocol"].get(name) != value:
                raise CheckpointError(
                    where,
                    expected=f"a checkpoint of a run with {name}={value!r}",
                    got=f"one with {name}={state['protocol'].get(name)!r}",
                    do="Resume with the arguments that the run was started with: they are in its config.yaml.",
                )
        try:
            self.learner.load_state_dict(state["learner"])
            self.running.load_state_dict(state["outer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                where,
                expected=f"a checkpoint of this {type(self.learner).__name__} and its optimizer",
                got=" ".join(str(error).split())[:300],
                do="Resume with the learner and the outer method that the run was started with.",
            ) from error
        if self.runs is not None:
            self.runs.load_state_dict(state["runs"], where)
        if self.progress is not None:
            self.progress.load_state_dict(state["progress"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["global generator"])
        name, self.result.why, settings = state["executor"]
        made = EXECUTORS[name](**settings) if name in EXECUTORS else name
        self.executor = executor_named(made, self.problem)
        self.result.executor = name

    def _settings(self) -> dict[str, Any]:
        """The settings that must not change within a run, as plain values."""
        sizes = {name: list(size) if isinstance(size, tuple) else size for name, size in self.train.protocol.items()}
        return {**sizes, "tasks_per_step": self.tasks_per_step, "seed": self.seed, "clip": self.clip}

    def _made_of(self) -> dict[str, Any]:
        """The learner and the outer method, as plain data."""
        return {"learner": whole_description(self.learner), "outer": description(self.outer)}

    def _draw(self, generator: torch.Generator) -> Any:
        """The batch of the next step: fresh tasks, or the next window of the carried runs."""
        if self.runs is not None:
            return self.runs.draw(generator)
        train = self.train
        if self.progress is not None and isinstance(train, MixedTasks):
            train = train.drawn_by(self.progress.probabilities())
        return self.estimator.draw(train, self.tasks_per_step, generator)

    def _answer(self, episodes: Any, seeds: Tensor) -> Answer:
        """The answer at the current phi, checked to be finite; its gradient is made dense and clipped."""
        search = self.running if isinstance(self.running, RunningSearch) else None
        answer = (
            self._send(self.executor, episodes, seeds)
            if search is None
            else search.search(self.executor, self.problem, episodes, seeds)
        )
        check_gradient(self.problem, answer, episodes, seeds)
        answer = answer._replace(gradient={name: one.to_dense() for name, one in answer.gradient.items()})
        if self.clip is not None:
            clip_by_global_norm(answer.gradient, self.clip)
        return answer

    def _send(self, executor: Executor, episodes: Any, seeds: Tensor) -> Answer:
        return in_chunks(executor, self.problem, episodes, seeds, self.chunk)

    def _average_statistics(self, answer: Answer) -> None:
        """Under "running": move the running averages towards the mean over tasks of the batches' statistics."""
        with torch.no_grad():
            for name, statistics in answer.statistics.items():
                norm: Any = self.learner.get_submodule(name)
                if norm.num_batches_tracked is not None:
                    norm.num_batches_tracked.add_(1)
                momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
                for average, values in zip((norm.running_mean, norm.running_var), statistics, strict=True):
                    if average is not None:
                        average.lerp_(values.mean(0).to(average.dtype), momentum)


def _short(value: Any) -> str:
    """A part of a description in a word or two."""
    return str(value.get("class", value) if isinstance(value, dict) else value)[:100]
