"""All tasks at once by torch.func.vmap: fastest for small dense networks and on GPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.forward.call import Parameters
from quickstudy.forward.derivatives import stop
from quickstudy.learners.learner import Learner
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.executors.executor import FAILURES, Executor, differentiable_kernels
from quickstudy.meta.problem import Answer, Problem, gradient


class Vmap(Executor):
    """vmap over tasks, with plain autograd outermost: func.grad there would keep the graph of its own backward.

    Examples:
        >>> from quickstudy.meta.executors import Vmap
        >>> learner, tasks = qs.Prototypical(qs.models.mlp(4, 8)), qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> batch = tasks.train.sample(4)
        >>> (_, found), (_, want) = (qs.meta_gradient(learner, batch, executor=one) for one in (Vmap(), "loop"))
        >>> all(torch.allclose(found[name], want[name], atol=1e-6) for name in want)
        True
    """

    name = "vmap"

    def gradient(self, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        phi = problem.phi()
        with torch.enable_grad(), differentiable_kernels(problem.learner):
            outcome = torch.func.vmap(problem.function(), in_dims=(None, None, 0, 0))(phi, {}, episodes, seeds)
            found = gradient(outcome.loss.mean(), phi)
        losses, log, statistics, carry = stop(outcome)
        return Answer(losses, log, found, statistics, carry)

    def map(self, function: Callable[[Learner, Any], Tensor], learner: Learner, episodes: Any) -> Tensor:
        with torch.no_grad():
            return torch.func.vmap(lambda episode: function(learner, episode))(episodes)

    def values(self, problem: Problem, members: Parameters, episodes: Any, seeds: Tensor, carries: Any = None) -> Outcome:
        """The population and the tasks, one vmap inside the other."""
        f = problem.function()

        def one(phi: Parameters, carries: Any, episode: Any, seed: Tensor) -> Outcome:
            return f(phi, {}, episode if carries is None else episode._replace(carry=carries), seed)

        tasks = torch.func.vmap(one, in_dims=(None, None if carries is None else 0, 0, 0))
        population = torch.func.vmap(tasks, in_dims=(0, None if carries is None else 0, None, None))
        try:
            with torch.no_grad(), differentiable_kernels(problem.learner):
                return population(members, carries, episodes, seeds)
        except FAILURES:  # of some member; the loop finds which
            return super().values(problem, members, episodes, seeds, carries)

    def refusal(self, problem: Problem) -> str | None:
        if refused := autocast_refusal(problem.device):
            return refused
        parts = problem.learner.modules()
        recurrent = [type(module).__name__ for module in parts if isinstance(module, nn.RNNBase | nn.RNNCellBase)]
        return f"{recurrent[0]} has no vmap rule in torch" if recurrent else None


def autocast_refusal(device: torch.device) -> str | None:
    """Why vmap does not serve under the caller's autocast: torch does not apply it to every operator inside."""
    if not torch.is_autocast_enabled(device.type):
        return None
    return "torch.autocast around it does not reach all of what is vmapped; meta_train has precision='bf16'"
