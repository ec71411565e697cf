"""meta_gradient: the mean loss over a batch of episodes and its gradient in phi, by any executor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.arguments import PositiveInt, checked
from quickstudy.buckets import pieces
from quickstudy.episode import stack
from quickstudy.errors import ArgumentError, NotFiniteError, QuickstudyError
from quickstudy.forward.call import Parameters
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.learners.learner import Learner, Loss
from quickstudy.meta.estimator import Estimator
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.executors import Executor, executor_named
from quickstudy.meta.executors.auto import choose_for_one
from quickstudy.meta.executors.executor import differentiable_kernels
from quickstudy.meta.executors.loop import one_task
from quickstudy.meta.problem import Answer, Problem, task, tasks_of
from quickstudy.randomness import seeded
from quickstudy.tasks.construction.mixture import MixedTasks, OfFamily


@checked
def meta_gradient(
    learner: Learner,
    episodes: Any,
    loss: Loss | None = None,
    estimator: Estimator | None = None,
    executor: str | Executor = "loop",
    *,
    chunk: PositiveInt | None = None,
    seed: int = 0,
) -> tuple[Tensor, Parameters]:
    """The mean loss over the tasks of `episodes` and its gradient by parameter name.

        L = 1/T sum_t loss( F_phi(support_t), query_t ),        (L, dL/dphi)

    Args:
        learner: F_phi.
        episodes: a batch with a leading axis `tasks`, a list of episodes of one structure, or `Buckets` of several.
        loss: the outer criterion; None: the learner's own.
        estimator: how the gradient is estimated; None: `Backprop()`.
        executor: "loop" (the reference), "threads", "vmap" or "compiled"; "auto": the loop, unless that takes half a second or
            more and another is likely faster.
        chunk: tasks differentiated at once, which bounds memory; None: all.
        seed: seeds the dropout masks.

    Returns:
        The mean loss, detached, and gradients keyed as `learner.named_parameters()`: zeros where the loss does not depend on a
        parameter, absent where it is frozen.

    Raises:
        NotFiniteError: a loss or gradient that is NaN or infinite; the task, the inner step and the parameter are named.
        UnsupportedError: an estimator or executor that cannot serve this learner.

    Examples:
        >>> learner, tasks = qs.Prototypical(torch.nn.Linear(4, 8)), qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> loss, gradient = qs.meta_gradient(learner, tasks.train.sample(5))
        >>> {name: tuple(one.shape) for name, one in gradient.items()}
        {'embed.weight': (8, 4), 'embed.bias': (8,)}
    """
    estimator = estimator or Backprop()
    estimator.check(learner)
    problem = Problem(learner, estimator, loss)
    episodes = stack(episodes) if isinstance(episodes, list) else episodes
    episodes = pytree.tree_map(lambda leaf: leaf.to(problem.device), episodes)
    seeds = episode_seeds(tasks_of(episodes), torch.Generator().manual_seed(seed), problem)
    served = choose_for_one(problem, episodes, seeds).executor if executor == "auto" else executor_named(executor, problem)
    answer = in_chunks(served, problem, episodes, seeds, chunk)
    check_gradient(problem, answer, episodes, seeds)
    return answer.losses.mean(), answer.gradient


def in_chunks(executor: Executor, problem: Problem, episodes: Any, seeds: Tensor, chunk: int | None) -> Answer:
    """The gradient over all tasks: family by family where they have several structures, and within one `chunk` tasks at a time
    with a backward each, so that memory holds one chunk's graph.
    """
    n = tasks_of(episodes)
    total: Answer | None = None
    for batch, own in pieces(episodes, n):
        for part, where in _chunks(batch, own, None if not problem.estimator.differentiates else chunk):
            if problem.estimator.differentiates:
                answer = executor.gradient(problem, part, seeds[where])
            else:
                answer = problem.estimator.estimate(executor, problem, part, seeds[where])
            if where.stop - where.start == n:
                return answer
            total = _with(total, answer, (where.stop - where.start) / n)
    assert total is not None
    return total


def _chunks(batch: Any, own: slice, chunk: int | None) -> Iterator[tuple[Any, slice]]:
    """`chunk` tasks of a batch at a time, each with the slice of all tasks that they are; `own` is that of the batch."""
    length = own.stop - own.start
    if chunk is None or chunk >= length:
        yield batch, own
        return
    for start in range(0, length, chunk):
        stop = min(start + chunk, length)
        yield task(batch, slice(start, stop)), slice(own.start + start, own.start + stop)


def _with(total: Answer | None, part: Answer, weight: float) -> Answer:
    """The sum of the parts so far and another, whose gradient counts by its share of the tasks.

    What only some families log, and norms that only some pass through, hold the values of those tasks.
    """
    scaled = {name: gradient * weight for name, gradient in part.gradient.items()}
    if total is None:
        return part._replace(gradient=scaled)
    torch._foreach_add_(list(total.gradient.values()), list(scaled.values()))
    cat = lambda a, b: pytree.tree_map(lambda one, other: torch.cat([one, other]), a, b)  # noqa: E731
    both = lambda a, b: {**a, **{name: cat(a[name], one) if name in a else one for name, one in b.items()}}  # noqa: E731
    losses, carry = torch.cat([total.losses, part.losses]), cat(total.carry, part.carry)
    return Answer(losses, both(total.log, part.log), total.gradient, both(total.statistics, part.statistics), carry)


def episode_seeds(n: int, generator: torch.Generator, problem: Problem) -> Tensor:
    """A dropout seed for each task (n,), on the learner's device."""
    seeds = torch.randint(2**31, (n,), generator=generator)
    return seeds.to(problem.device)


def check_gradient(problem: Problem, answer: Answer, episodes: Any, seeds: Tensor) -> None:
    """Raise NotFiniteError where the answer holds NaN or infinity.

    No executor raises from inside a transform, so the tasks are run again in the loop, one by one, to name the one that failed.
    """
    if not problem.estimator.differentiates:
        return  # a candidate that diverged is scored as such; the estimator raises where all of them did
    total = answer.losses.sum()
    for gradient in answer.gradient.values():
        total = total + gradient.sum()
    if bool(torch.isfinite(total)):
        return
    f = problem.function()
    for t, seed in enumerate(seeds.tolist()):
        episode = task(episodes, t)
        outcome, found = one_task(problem, f, episode, seed)  # a solver that failed raises its own error here
        loss, bad = outcome.loss, [name for name, gradient in found.items() if not bool(torch.isfinite(gradient).all())]
        if not bool(torch.isfinite(loss)) or bad:
            where = problem.learner.divergence(episode.support) if hasattr(episode, "support") else None
            detail = (
                where.got if where is not None and "inner step" in where.got else f"NaN or infinity in the gradient of {bad[:3]}"
            )
            raise NotFiniteError(
                "meta-gradient",
                expected="finite numbers",
                got=f"in task {t} of the batch: {detail} (loss {float(loss):g})",
                do="Lower inner_lr or the outer rate, pass clip=, or look at this task's inputs.",
            )


def check_families(problem: Problem, tasks: Any) -> None:
    """Try one task of every family of a mixture, so that one that is seldom drawn does not stop the run halfway.

    Raises:
        ArgumentError: the learner cannot take a family's tasks: its number of classes, the shape of x, the kind of target.
    """
    if not isinstance(tasks, MixedTasks):
        return
    for name, part in tasks.parts.items():
        episodes = problem.estimator.draw(OfFamily(part, name), 1, torch.Generator().manual_seed(0))
        try:
            with torch.enable_grad(), differentiable_kernels(problem.learner), seeded(0):
                problem.function()(problem.phi(), {}, task(episodes, 0), 0)
        except QuickstudyError as error:
            raise ArgumentError(
                "learner",
                expected="one that fits the tasks of every family",
                got=f"one that does not fit {name!r}: `{error.argument}`: expected {error.expected}, got {error.got}",
                do=f"{error.do} Or leave that family out.",
            ) from error


def check_dependence(problem: Problem, episodes: Any, seeds: Tensor) -> None:
    """Raise ArgumentError where the outer loss does not depend on phi, or, for a training run, on one of its parameters."""
    if not problem.estimator.differentiates or not problem.learner.meta_learns:
        return
    phi = problem.phi()
    with torch.enable_grad(), differentiable_kernels(problem.learner):
        loss = problem.function()(phi, {}, task(episodes, 0), int(seeds[0])).loss
    found = torch.autograd.grad(loss, list(phi.values()), allow_unused=True) if loss.requires_grad else [None] * len(phi)
    unused = [name for name, one in zip(phi, found, strict=True) if one is None]
    name = type(problem.estimator).__name__
    if len(unused) == len(phi) or (unused and isinstance(problem.learner, TrainingRun)):
        raise ArgumentError(
            "learner",
            expected="meta-parameters that the outer loss depends on",
            got=f"{type(problem.learner).__name__}, whose loss under {name} does not reach {unused[:5]}",
            do="Freeze them with requires_grad_(False), look for a detach on the way, or use an estimator that needs "
            "values only: Gradient(Evolution()).",
        )
