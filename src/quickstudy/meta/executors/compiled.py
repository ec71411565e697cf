"""The whole meta-gradient as one compiled function: compile(grad_and_value(vmap(f))).

Only here is the outer derivative taken inside, because torch.compile cannot be differentiated twice from outside. Each new
structure (task count, shots, shapes) is a new graph that takes seconds to minutes, so after `structures` of them the rest
go to vmap.

Torch has a limit of its own. Dynamo keeps graphs on the *code object* of a function, `torch._dynamo.config.recompile_limit` of
them (8), and then raises. All functions that one `def` makes share one code object. So learners of one structure share a graph,
in sweeps and from call to call; but the ninth different learner of a process would reach the limit. It gets a copy of the code
object, with a limit of its own. Only a learner that changes its structure this often reaches that limit too, and goes to vmap.
"""

from __future__ import annotations

import shutil
import types
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap
from torch.utils import _pytree as pytree

from quickstudy.arguments import NonNegativeInt, checked
from quickstudy.errors import UnsupportedError
from quickstudy.forks import compiler_is_lost
from quickstudy.forward.blueprint import Blueprint, Hidden, Snapshot
from quickstudy.forward.call import Parameters
from quickstudy.learners.learner import Learner
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.executors.executor import Executor, differentiable_kernels
from quickstudy.meta.executors.vmap import Vmap
from quickstudy.meta.problem import Answer, Problem

LOST = "torch.compile has threads that this process has lost: it was forked after they had started"
MeanLoss = Callable[..., tuple[Parameters, tuple[Tensor, Outcome]]]  # and its gradient


@checked
class Compiled(Executor):
    """vmap and both derivatives, compiled.

    Args:
        structures: largest number of structures to compile; vmap serves episodes of any further one.

    Examples:
        >>> from quickstudy.meta.executors import Compiled
        >>> learner, tasks = qs.MAML(qs.models.mlp(4, 3)), qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> executor = Compiled(structures=2)
        >>> run = qs.meta_train(learner, tasks, steps=1000, tasks_per_step=16, executor=executor)  # doctest: +SKIP
        >>> executor.overflow  # batches of a third structure, which vmap served
        0
    """

    name = "compiled"

    def __init__(self, structures: NonNegativeInt = 8):
        self.structures = structures
        self.overflow = 0  # batches that went to vmap
        self._graphs: list[Graph] = []
        self._vmap = Vmap()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy and a pickle compile anew: machine code belongs to one process."""
        return Compiled, (self.structures,)

    def settings(self) -> dict[str, Any]:
        return {"structures": self.structures}

    def gradient(self, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        _check_compiler()
        leaves, structure = pytree.tree_flatten(episodes)
        of = (id(problem.learner), problem.estimator, problem.criterion, problem.precision)  # kept alive beside the graph
        graph = self._graph(problem, (of, structure, [(leaf.shape, leaf.dtype) for leaf in leaves]))
        if graph is None:
            self.overflow += 1
            return self._vmap.gradient(problem, episodes, seeds)
        phi = {name: parameter.detach() for name, parameter in problem.phi().items()}
        with differentiable_kernels(problem.learner):
            answer = graph(phi, problem.buffers(), leaves, seeds)
        if answer is None:
            self.overflow += 1
            return self._vmap.gradient(problem, episodes, seeds)
        found, (_, outcome) = answer
        return Answer(outcome.loss, outcome.log, found, outcome.statistics, outcome.carry)

    def _graph(self, problem: Problem, key: Any) -> Graph | None:
        """The graph of this structure; None where there are `structures` graphs already.

        A learner may change more than its numbers: another phase takes another graph.
        """
        alike = [one for one in self._graphs if one.key == key]
        if graph := next((one for one in alike if one.snapshot.holds()), None):
            return graph
        plan = Blueprint(problem.learner, training=True)
        graph = next((one for one in alike if one.plan.same_structure(plan)), None)
        if graph is None and len(self._graphs) < self.structures:
            graph = Graph(problem, key, plan)
            self._graphs.append(graph)
        return graph

    def map(self, function: Callable[[Learner, Any], Tensor], learner: Learner, episodes: Any) -> Tensor:
        return self._vmap.map(function, learner, episodes)

    def values(self, problem: Problem, members: Parameters, episodes: Any, seeds: Tensor, carries: Any = None) -> Outcome:
        return self._vmap.values(problem, members, episodes, seeds, carries)

    def refusal(self, problem: Problem) -> str | None:
        if compiler_is_lost():
            return LOST
        hypergradient = getattr(problem.learner, "hypergradient", None)
        if hypergradient is not None and not hypergradient.compiles:
            return (
                f"torch.compile drops the backward of an autograd.Function, which {hypergradient!r} needs: gradient 0, silently"
            )
        if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++", "cl")):
            return "there is no C++ compiler"
        if name := _reads_training(problem.learner):
            return f"a compiled student is one copy for training and for answering, and {name} asks for self.training"
        return self._vmap.refusal(problem)


class Graph:
    """The compiled gradient of one structure. A call returns None once torch's limit of recompilations is reached."""

    code: ClassVar[types.CodeType | None] = None  # shared by new graphs once that of their `def` is full

    def __init__(self, problem: Problem, key: Any, plan: Blueprint):
        self.problem, self.key, self.plan, self.snapshot = problem, key, plan, Snapshot(plan)
        self.gradient: Any = _with_code(_gradient(problem, key[1]), Graph.code)
        self.compiled: MeanLoss | None = _compile(self.gradient)
        self.alone = False  # on a code object of its own

    def __call__(self, *arguments: Any) -> tuple[Parameters, tuple[Tensor, Outcome]] | None:
        from torch._dynamo.exc import FailOnRecompileLimitHit

        while self.compiled is not None:
            try:
                return self.compiled(*arguments)
            except FailOnRecompileLimitHit:
                self.compiled = None if self.alone else self._on_its_own_code()
        return None

    def _on_its_own_code(self) -> MeanLoss:
        full, self.alone = self.gradient.__code__, True
        if Graph.code in (None, full):
            Graph.code = full.replace()
        return _compile(_with_code(self.gradient, full.replace()))


def _check_compiler() -> None:
    if compiler_is_lost():
        raise UnsupportedError(
            "executor",
            expected="one that serves this process",
            got=f"'compiled': {LOST}",
            do="Start the process with multiprocessing.get_context('spawn'), or use executor='loop'.",
        )


def _gradient(problem: Problem, structure: pytree.TreeSpec) -> MeanLoss:
    f = problem.traceable()

    def mean_loss(phi: Parameters, buffers: Parameters, leaves: list[Tensor], seeds: Tensor) -> tuple[Tensor, Outcome]:
        def one(leaves: list[Tensor], seed: Tensor) -> Outcome:
            return f(phi, buffers, pytree.tree_unflatten(leaves, structure), seed)

        outcome = vmap(one)(leaves, seeds)
        return outcome.loss.mean(), outcome

    transformed = grad_and_value(mean_loss, has_aux=True)

    def gradient(phi: Parameters, buffers: Parameters, leaves: list[Tensor], seeds: Tensor) -> Any:
        return transformed(phi, buffers, leaves, seeds)  # `transformed` has torch's own code object, that of every grad_and_value

    return gradient


def _compile(gradient: MeanLoss) -> MeanLoss:
    return torch.compile(gradient, fullgraph=True, dynamic=False)  # one structure per graph


def _with_code(function: Any, code: types.CodeType | None) -> Any:
    """The same function with another code object; the function itself for None."""
    if code is None:
        return function
    return types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)


def _reads_training(learner: Learner) -> str | None:
    """The class of a student's module with a forward that reads `self.training`; torch's own follow the context instead."""
    held = [getattr(part, "student", None) for part in learner.modules()]
    students = [one.module for one in held if isinstance(one, Hidden)]
    for module in (one for student in students for one in student.modules()):
        code = getattr(type(module).forward, "__code__", None)
        if not type(module).__module__.startswith("torch.nn.") and code is not None and "training" in code.co_names:
            return type(module).__name__
    return None
