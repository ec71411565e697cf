"""Carried runs: the states of training runs, kept from one outer step to the next and cut between windows.

    carry_0      =  init(task, seed)                          for a new run, and where one has reached its length        (1)
    loss, carry' =  follow(phi, carry, batches of a window)    1/W sum_k objective(s_k),  s_{k+1} = step(s_k, batch_k)  (2)

The estimator defines what is carried: states for backpropagation, states of every perturbed copy and their sums for
persistent evolution, tangents for forward mode. Each leaf has the leading axis `tasks`; the carry is checkpointed with the run.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples
from quickstudy.errors import CheckpointError
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.learners.learner import Learner, Loss, checked

if TYPE_CHECKING:
    from quickstudy.meta.estimator import Estimator
    from quickstudy.meta.problem import Answer
    from quickstudy.tasks.distribution.interface import TaskDistribution


class Window(NamedTuple):
    """One window of a carried run, as an estimator sees it: of one task, or with a leading axis `tasks`."""

    carry: Any
    age: Tensor  # inner steps taken so far
    run: Tensor  # its number, which seeds its initial state
    episode: Episode  # batches with the leading axis `window`


def carries(learner: Learner, tasks: Any) -> bool:
    """Whether `tasks` samples windows of runs and the learner can be carried."""
    return isinstance(learner, TrainingRun) and hasattr(tasks, "window")


def follow(run: TrainingRun, window: Window, criterion: Loss | None, state: Any = None) -> tuple[Tensor, Any]:
    """(2) The mean outer loss over a window, and the state at its end; differentiable in phi and in the state."""
    state, losses = begun(run, window, state), []
    for k in range(window.episode.support.y.shape[0]):
        batch, held_out = (step(examples, k) for examples in (window.episode.support, window.episode.query))
        state = run.step(state, batch)
        losses.append(outer_loss(run, state, held_out, criterion))
    return torch.stack(losses).mean(), state


def begun(run: TrainingRun, window: Window, state: Any = None) -> Any:
    """The carried state; for a new run with a learned start the initial state itself, so that it is differentiated."""
    state = window.carry if state is None else state
    if not run.learned_start:
        return state
    first = run.init(step(window.episode.support, 0), window.run)
    return pytree.tree_map(lambda new, old: torch.where(window.age == 0, new, old), first, state)


def outer_loss(run: TrainingRun, state: Any, batch: Examples, criterion: Loss | None) -> Tensor:
    """The run's own objective, or the criterion given to the outer loop."""
    if criterion is None:
        return run.objective(state, batch)
    return checked(criterion, batch.target)(run.predict(state, batch.x), batch.y)


def step(examples: Examples, k: int) -> Examples:
    """The batch of step k of a window."""
    return examples.map(lambda leaf: leaf[k])


class CarriedRuns:
    """The carried runs of a meta-training.

    Args:
        n: number of runs at once.
        seed: seeds their initial states.
    """

    def __init__(self, estimator: Estimator, learner: TrainingRun, tasks: TaskDistribution, n: int, seed: int):
        self.estimator, self.learner, self.tasks, self.n = estimator, learner, tasks, n
        self.generator = torch.Generator().manual_seed(seed + 1)
        self.run, self.age = torch.zeros(n, dtype=torch.int64), torch.full((n,), -1)
        self.numbered = "runs" in inspect.signature(tasks.sample).parameters
        self.leaves: list[Tensor] = []
        self.structure: pytree.TreeSpec | None = None

    def draw(self, generator: torch.Generator) -> Window:
        """The next window of every run; a run at its end starts again. The carry of the others is unchanged."""
        over = [t for t in range(self.n) if self.age[t] < 0 or self.age[t] >= self.learner.steps]
        for t in over:
            self.run[t], self.age[t] = int(torch.randint(2**31, (), generator=self.generator)), 0
        options = {"runs": self.run} if self.numbered else {}
        episode = self.tasks.sample(self.n, generator=generator, **options)
        for t in over:
            task = step(_task(episode.support, t), 0)
            with torch.no_grad():
                carry = self.estimator.init(self.learner.copied(training=True), task, int(self.run[t]))
            leaves, self.structure = pytree.tree_flatten(carry)
            if not self.leaves:
                self.leaves = [torch.stack([leaf.detach().clone()] * self.n) for leaf in leaves]
            self.leaves = [  # new tensors: a batch that was drawn before keeps its own
                torch.cat([whole[:t], leaf.detach()[None].to(whole), whole[t + 1 :]])
                for whole, leaf in zip(self.leaves, leaves, strict=True)
            ]
        assert self.structure is not None
        device = episode.support.y.device
        return Window(pytree.tree_unflatten(self.leaves, self.structure), self.age.to(device), self.run.to(device), episode)

    def take(self, answer: Answer) -> Answer:
        """Store the carries of an answer; a run with NaN or infinity in its carry starts again."""
        self.leaves = pytree.tree_leaves(answer.carry)
        finite = torch.ones(self.n, dtype=torch.bool)
        for leaf in self.leaves:
            if leaf.is_floating_point():
                finite &= torch.isfinite(leaf).flatten(1).all(1).cpu() if leaf.ndim > 1 else torch.isfinite(leaf).cpu()
        self.age = torch.where(finite, self.age + self.tasks.window, torch.full_like(self.age, -1))  # type: ignore[attr-defined]
        return answer._replace(carry=())

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"leaves": self.leaves, "run": self.run, "age": self.age, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any], where: str) -> None:
        """Take up where `state` left off.

        Raises:
            CheckpointError: carries of another estimator, or of another student.
        """
        with torch.no_grad():
            task = step(_task(self.tasks.sample(1, generator=torch.Generator().manual_seed(0)).support, 0), 0)
            leaves, self.structure = pytree.tree_flatten(self.estimator.init(self.learner.copied(training=True), task, 0))
        found = [tuple(leaf.shape[1:]) for leaf in state["leaves"]]
        if state["leaves"] and found != [tuple(leaf.shape) for leaf in leaves]:
            raise CheckpointError(
                where,
                expected=f"the carried runs of this {type(self.learner).__name__} under {type(self.estimator).__name__}",
                got=f"{len(found)} tensors of shapes {found[:4]}",
                do="Resume with the student and the outer method that the run was started with.",
            )
        device = next((leaf.device for leaf in leaves), torch.device("cpu"))
        self.leaves = [leaf.to(device) for leaf in state["leaves"]]
        self.run, self.age = state["run"], state["age"]
        self.generator.set_state(state["generator"])


def _task(examples: Examples, t: int) -> Examples:
    return examples.map(lambda leaf: leaf[t])
