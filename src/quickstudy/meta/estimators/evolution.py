"""Evolution: the gradient of a smoothed objective, from values alone. It serves every learner.

    L_sigma(phi)  =  E_{e ~ N(0, I)} [ L(phi + sigma e) ]
    d L_sigma / d phi  ~  1/(2 sigma n) sum_i ( L(phi + sigma e_i) - L(phi - sigma e_i) ) e_i                  (1)

Both signs and all members see the same tasks and the same dropout masks (common random numbers). A member under which an inner
loop diverges is scored worst.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.arguments import checked
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, NotFiniteError
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Context
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.carried import Window
from quickstudy.meta.estimator import Estimator
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.problem import Answer, Problem

if TYPE_CHECKING:
    from quickstudy.meta.executors import Executor


@checked
@dataclass(frozen=True)
class Evolution(Estimator):
    """Antithetic Gaussian evolution strategies.

    Over the windows of a carried run every member starts from the same carried state, which advances under phi itself. The
    gradient is then truncated, as in backpropagation over a window; that of `PersistentEvolution` is not.

    Args:
        population: members, an even number: n = population / 2 directions, each with both signs.
        sigma: standard deviation of the perturbations.
        ranks: replace the values in (1) by their centred ranks, -1/2 the best to 1/2 the worst: then only the order of the
            members counts, and (1) is no longer the gradient of L_sigma.
        together: members evaluated at once, which bounds memory; None: all.

    Raises:
        ArgumentError: a population below 2 or odd, a sigma that is not above 0.

    Source: Salimans et al., "Evolution Strategies as a Scalable Alternative to Reinforcement Learning", 2017, algorithm 1 and
    section 2.1; for meta-learning Song et al., "ES-MAML", ICLR 2020.

    Examples:
        >>> learner, batch = qs.MAML(torch.nn.Linear(2, 1, bias=False)), qs.tasks.Quadratic(dim=2).train.sample(2)
        >>> estimator = qs.Evolution(population=1000, ranks=False)
        >>> _, estimated = qs.meta_gradient(learner, batch, estimator=estimator, executor="vmap")
        >>> _, exact = qs.meta_gradient(learner, batch)
        >>> bool(torch.cosine_similarity(estimated["network.weight"], exact["network.weight"]) > 0.9)
        True
    """

    population: int = 64
    sigma: float = 0.05
    ranks: bool = True
    together: int | None = None

    differentiates = False

    def __post_init__(self) -> None:
        check_population(self.population)
        check_sigma(self.sigma)

    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        return Backprop().objective(learner, episode, criterion, context)

    def estimate(self, executor: Executor, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        phi, n = problem.phi(), self.population // 2
        e = perturbations(phi, n, seeds)
        members = {
            name: torch.cat([value[None], value + self.sigma * e[name], value - self.sigma * e[name]]).detach()
            for name, value in phi.items()
        }
        outcome = evaluated(executor, problem, members, episodes, seeds, together=self.together)
        scores = scored(outcome.loss[1:]).mean(1)
        if self.ranks:
            scores = centred_ranks(scores)
        difference = (scores[:n] - scores[n:]) / (2 * self.sigma * n)
        gradient = {name: torch.einsum("i,i...->...", difference.to(one), one) for name, one in e.items()}  # (1)
        return answer_of(outcome, 0, gradient)


@checked
@dataclass(frozen=True)
class PersistentEvolution(Estimator):
    """Evolution over the windows of a training run, without truncation bias: every member carries a run of its own.

        xi_i  <-  xi_i + sigma e_i                                           the sum of member i's perturbations so far
        g     =   1/(2 sigma^2 n) sum_i ( L(s_i^+, phi + sigma e_i) - L(s_i^-, phi - sigma e_i) ) xi_i            (2)

    The states s_i^+, s_i^- of every member are carried, so memory grows with the population. Unbiased for the smoothed objective
    of the whole run at fixed phi. On plain episodes, which are whole runs, it equals `Evolution(ranks=False)`.

    Args:
        population, sigma, together: as for `Evolution`.

    Source: Vicol, Metz & Sohl-Dickstein, "Unbiased Gradient Estimation in Unrolled Computation Graphs with Persistent Evolution
    Strategies", ICML 2021, algorithm 2.

    Examples:
        >>> from quickstudy.learners.bilevel import LearnedTraining, WeightDecay
        >>> from quickstudy.meta.estimators import PersistentEvolution
        >>> x = torch.randn(60, 4)
        >>> tasks = qs.tasks.Streams(x, x.sum(1, keepdim=True), batch=8, window=2)
        >>> learner = LearnedTraining(torch.nn.Linear(4, 1), decay=WeightDecay(0.1))
        >>> outer = qs.Gradient(PersistentEvolution(population=4))
        >>> run = qs.meta_train(learner, tasks.train, steps=8, tasks_per_step=1, outer=outer, executor="vmap", progress=False)
        >>> run.history[-1]["loss"] < run.history[0]["loss"]  # the students train on from window to window
        True
    """

    population: int = 64
    sigma: float = 0.05
    together: int | None = None

    differentiates = False

    def __post_init__(self) -> None:
        check_population(self.population)
        check_sigma(self.sigma)

    def init(self, run: TrainingRun, task: Examples, seed: int) -> Any:
        """{"states": (population, ...), "sums": (population / 2, ...)}"""
        return {
            "states": copies(run.init(task, seed), self.population),
            "sums": {
                name: parameter.new_zeros(self.population // 2, *parameter.shape)
                for name, parameter in run.named_parameters()
                if parameter.requires_grad
            },
        }

    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        return Backprop().objective(learner, episode, criterion, context)

    def estimate(self, executor: Executor, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        if not isinstance(episodes, Window):
            return Evolution(self.population, self.sigma, False, self.together).estimate(executor, problem, episodes, seeds)
        phi, n = problem.phi(), self.population // 2
        e = {name: self.sigma * one for name, one in perturbations(phi, n, seeds).items()}
        members = {name: torch.cat([value + e[name], value - e[name]]).detach() for name, value in phi.items()}
        sums = {name: xi + e[name] for name, xi in episodes.carry["sums"].items()}  # (tasks, n, ...)
        carries = swapped(episodes.carry["states"])
        outcome = evaluated(executor, problem, members, episodes, seeds, carries, self.together)
        scores = scored(outcome.loss)
        difference = (scores[:n] - scores[n:]) / (2 * self.sigma**2 * n * scores.shape[1])
        gradient = {name: torch.einsum("it,ti...->...", difference.to(xi), xi) for name, xi in sums.items()}  # (2)
        log = {name: value.nanmean(0) for name, value in outcome.log.items()}
        return Answer(scores.mean(0), log, gradient, {}, {"states": swapped(outcome.carry), "sums": sums})


# ---- helpers that searches share ------------------------------------------------------------------------------------------


def perturbations(phi: Parameters, n: int, seeds: Tensor) -> Parameters:
    """Standard normal directions by name, each (n, *parameter), drawn from the seeds of the step."""
    generator = torch.Generator().manual_seed(int(seeds[0]))
    return {
        name: torch.randn(n, *value.shape, generator=generator, dtype=value.dtype).to(value.device) for name, value in phi.items()
    }


def evaluated(
    executor: Executor,
    problem: Problem,
    members: Parameters,
    episodes: Any,
    seeds: Tensor,
    carries: Any = None,
    together: int | None = None,
) -> Outcome:
    """The outcome of a population, leaves (members, tasks, ...), `together` members at a time."""
    size = next(iter(members.values())).shape[0]
    together = together or size
    parts = []
    for start in range(0, size, together):
        piece = slice(start, start + together)
        some = {name: value[piece] for name, value in members.items()}
        mine = None if carries is None else pytree.tree_map(lambda leaf: leaf[piece], carries)  # noqa: B023
        parts.append(executor.values(problem, some, episodes, seeds, mine))
    return pytree.tree_map(lambda *leaves: torch.cat(leaves), *parts)


def answer_of(outcome: Outcome, member: int, gradient: Parameters) -> Answer:
    """The outcome of one member of a population, as the answer for the batch."""
    losses, log, statistics, carry = pytree.tree_map(lambda leaf: leaf[member], outcome)
    return Answer(losses, log, gradient, statistics, carry)


def scored(losses: Tensor) -> Tensor:
    """Losses (members, tasks) in which a member that diverged on a task has the worst loss of that task.

    Raises:
        NotFiniteError: all members diverged on every task.
    """
    finite = torch.isfinite(losses)
    if not bool(finite.any()):
        raise NotFiniteError(
            "population",
            expected="a member under which some task's loss is finite",
            got=f"none among {losses.shape[0]} members on {losses.shape[1]} tasks",
            do="Start from a smaller inner_lr, or perturb less: a smaller sigma.",
        )
    worst = torch.where(finite, losses, torch.full_like(losses, -torch.inf)).amax(0)
    worst = torch.where(torch.isfinite(worst), worst, torch.zeros_like(worst))  # all diverged: the task decides nothing
    return torch.where(finite, losses, worst)


def centred_ranks(scores: Tensor) -> Tensor:
    """Ranks of (members,) scores from -1/2, the lowest, to 1/2; equal scores share their mean rank."""
    below = (scores[:, None] > scores[None]).to(scores.dtype).sum(1)
    equal = (scores[:, None] == scores[None]).to(scores.dtype).sum(1)
    return (below + (equal - 1) / 2) / max(len(scores) - 1, 1) - 0.5


def copies(tree: Any, n: int) -> Any:
    """The same tree n times, on a new leading axis."""
    return pytree.tree_map(lambda leaf: leaf.expand(n, *leaf.shape).clone(), tree)


def swapped(tree: Any) -> Any:
    """(tasks, members, ...) as (members, tasks, ...), and back."""
    return pytree.tree_map(lambda leaf: leaf.transpose(0, 1), tree)


def check_population(population: int) -> None:
    """Raise where a population does not split into pairs of both signs."""
    if population < 2 or population % 2:
        raise ArgumentError(
            "population",
            expected="an even number of members, 2 or more: every direction with both signs",
            got=str(population),
            do="64 serve a few thousand parameters.",
        )


def check_sigma(sigma: float) -> None:
    """Raise where sigma is not above 0."""
    if not sigma > 0:
        raise ArgumentError("sigma", expected="a standard deviation above 0", got=str(sigma), do="0.01 to 0.1 are common.")
