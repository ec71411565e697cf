"""The whole meta-gradient as one compiled function: compile(grad_and_value(vmap(f))).

Only here does the outer derivative go inside, because torch.compile cannot be differentiated twice from outside. Each new
structure (task count, shots, shapes) is a new graph that takes seconds to minutes, so after `structures` of them the rest
go to vmap.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap
from torch.utils import _pytree as pytree

from quickstudy.forward.call import Parameters
from quickstudy.learners.learner import Learner
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.executors.executor import Executor, differentiable_kernels
from quickstudy.meta.executors.vmap import Vmap
from quickstudy.meta.problem import Answer, Problem

Compiled_ = Callable[..., tuple[Parameters, tuple[Tensor, Outcome]]]


class Compiled(Executor):
    """vmap and both derivatives, compiled.

    Args:
        structures: how many graphs it compiles at most; episodes of a further structure are served by vmap.
    """

    name = "compiled"

    def __init__(self, structures: int = 8):
        self.structures = structures
        self.overflow = 0  # batches that went to vmap
        self._graphs: dict[Any, tuple[Problem, Compiled_]] = {}
        self._vmap = Vmap()

    def gradient(self, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        leaves, structure = pytree.tree_flatten(episodes)
        of = (id(problem.learner), problem.estimator, problem.criterion, problem.precision)  # kept alive beside the graph
        key = (of, str(structure), tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        if key not in self._graphs and len(self._graphs) >= self.structures:
            self.overflow += 1
            return self._vmap.gradient(problem, episodes, seeds)
        if key not in self._graphs:
            self._graphs[key] = problem, _compile(problem, structure)
        phi = {name: parameter.detach() for name, parameter in problem.phi().items()}
        with differentiable_kernels(problem.learner):
            found, (_, outcome) = self._graphs[key][1](phi, problem.buffers(), leaves, seeds)
        return Answer(outcome.loss, outcome.log, found, outcome.statistics, outcome.carry)

    def map(self, function: Callable[[Learner, Any], Tensor], learner: Learner, episodes: Any) -> Tensor:
        return self._vmap.map(function, learner, episodes)

    def values(self, problem: Problem, members: Parameters, episodes: Any, seeds: Tensor, own: Any = None) -> Outcome:
        return self._vmap.values(problem, members, episodes, seeds, own)

    def refusal(self, problem: Problem) -> str | None:
        hypergradient = getattr(problem.learner, "hypergradient", None)
        if hypergradient is not None and not hypergradient.compiles:
            return (
                f"torch.compile drops the backward of an autograd.Function, which {hypergradient!r} needs: gradient 0, silently"
            )
        if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++", "cl")):
            return "there is no C++ compiler"
        return self._vmap.refusal(problem)


def _compile(problem: Problem, structure: pytree.TreeSpec) -> Compiled_:
    f = problem.traceable()

    def mean_loss(phi: Parameters, buffers: Parameters, leaves: list[Tensor], seeds: Tensor) -> tuple[Tensor, Outcome]:
        def one(leaves: list[Tensor], seed: Tensor) -> Outcome:
            return f(phi, buffers, pytree.tree_unflatten(leaves, structure), seed)

        outcome = vmap(one)(leaves, seeds)
        return outcome.loss.mean(), outcome

    return torch.compile(grad_and_value(mean_loss, has_aux=True), fullgraph=True)
