"""Population-based training: many runs at once; the worse ones copy the state and phi of the better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.arguments import PositiveFloat, checked
from quickstudy.errors import ArgumentError
from quickstudy.meta.carried import Window
from quickstudy.meta.estimator import Estimator
from quickstudy.meta.estimators.evolution import evaluated, scored, swapped
from quickstudy.meta.estimators.values import Values
from quickstudy.meta.outer.outer import Outer, RunningSearch
from quickstudy.meta.problem import Answer, Problem
from quickstudy.meta.searches.vector import as_vector, unflattened, write_vector


@checked
@dataclass(frozen=True)
class PopulationBased(Outer):
    """A population of phi; every `every` steps the worst copy the best (exploit) and are perturbed (explore).

        score_i   =  sum of the losses of member i since the last exchange                                     (1)
        exploit   phi_i, state_i  <-  phi_j, state_j        i among the worst share, j among the best            (2)
        explore   phi_i  <-  phi_i + sigma_i e,   ln sigma_i  <-  ln sigma_j + spread e'                          (3)

    On carried runs every member trains a student of its own, and the better student is copied along with its phi, as in the
    paper. On plain episodes it is a search over phi alone. phi is the best member of the last exchange. It takes no gradient.

    Args:
        population: members.
        every: steps between exchanges.
        share: share of the population to replace.
        sigma: standard deviation of the first members around phi, and of the first exploration.
        spread: by how much the members' own sigma varies (3).
        together: members evaluated at once; None: all.
        seed: seeds the perturbations.

    Raises:
        ArgumentError: fewer than 2 members, a share that replaces none or more than half, every below 1.

    Source: Jaderberg et al., "Population Based Training of Neural Networks", 2017, algorithm 1, truncation selection. The paper
    multiplies hyperparameters by 0.8 or 1.2; here phi may be any real vector, so it is shifted, and the size of the shift is
    inherited (self-adaptation, Schwefel 1977).

    Examples:
        >>> from quickstudy.meta.searches import PopulationBased
        >>> learner, tasks = qs.MAML(torch.nn.Linear(2, 1, bias=False)), qs.tasks.Quadratic(dim=2)
        >>> _ = torch.nn.init.constant_(learner.network.weight, 5.0)  # the best weights over all tasks are 0
        >>> outer = PopulationBased(population=16, sigma=0.5)
        >>> run = qs.meta_train(learner, tasks.train, steps=15, tasks_per_step=4, outer=outer, executor="vmap", progress=False)
        >>> bool(learner.network.weight.norm() < 5)
        True
    """

    population: int = 16
    every: int = 1
    share: float = 0.25
    sigma: float = 0.1
    spread: PositiveFloat = 0.3
    together: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.population < 2:
            raise ArgumentError("population", expected="2 members or more", got=str(self.population), do="16 are common.")
        if self.every < 1:
            raise ArgumentError("every", expected="1 step or more", got=str(self.every), do="1 exchanges after every step.")
        if not 1 <= int(self.share * self.population) <= self.population // 2:
            raise ArgumentError(
                "share",
                expected="a share that replaces at least one member and at most half of them",
                got=f"{self.share} of {self.population} members",
                do="0.25 is the paper's, of 8 members or more.",
            )
        if not self.sigma > 0:
            raise ArgumentError("sigma", expected="a standard deviation above 0", got=str(self.sigma), do="0.1 is common.")

    @property
    def estimator(self) -> Estimator:  # type: ignore[override]
        """Values of the outer loss, every member on a run of its own."""
        return Values(self.population)

    def start(self, parameters: dict[str, nn.Parameter]) -> RunningSearch:
        return _RunningSearch(parameters, self)


class _RunningSearch(RunningSearch):
    """A running `PopulationBased`."""

    def __init__(self, parameters: dict[str, nn.Parameter], method: PopulationBased):
        self.parameters, self.method = parameters, method
        self.generator = torch.Generator().manual_seed(method.seed)
        flat = as_vector(parameters.values())
        shifts = torch.randn(method.population, len(flat), generator=self.generator, dtype=torch.float64)
        shifts[0] = 0
        self.phi = flat + method.sigma * shifts
        self.sigma = torch.full((method.population,), method.sigma, dtype=torch.float64)
        self.scores, self.steps = torch.zeros(method.population, dtype=torch.float64), 0

    def search(self, executor: Any, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        carries = swapped(episodes.carry) if isinstance(episodes, Window) else None
        members = unflattened(self.phi, self.parameters)
        outcome = evaluated(executor, problem, members, episodes, seeds, carries, self.method.together)
        self.scores = self.scores + scored(outcome.loss).mean(1).cpu().double()  # (1)
        self.steps += 1
        best = int(self.scores.argmin())
        carry = outcome.carry
        if self.steps % self.method.every == 0:
            source = self._exchange()
            carry = pytree.tree_map(lambda leaf: leaf[source.to(leaf.device)], carry)
        log = {name: value[best] for name, value in outcome.log.items()}
        return Answer(outcome.loss[best], log, {}, {}, swapped(carry))

    def _exchange(self) -> Tensor:
        """(2) and (3); returns for each member the one that it now continues."""
        order = self.scores.argsort(stable=True)
        n = int(self.method.share * self.method.population)
        best, worst = order[:n], order[-n:]
        source = torch.arange(self.method.population)
        source[worst] = best[torch.randint(n, (n,), generator=self.generator)]
        with torch.no_grad():
            write_vector(self.phi[order[0]], self.parameters.values())
        self.phi, self.sigma = self.phi[source], self.sigma[source]
        self.sigma[worst] *= torch.exp(self.method.spread * torch.randn(n, generator=self.generator, dtype=torch.float64))
        e = torch.randn(n, self.phi.shape[1], generator=self.generator, dtype=torch.float64)
        self.phi[worst] += self.sigma[worst, None] * e
        self.scores = torch.zeros_like(self.scores)
        return source

    def state_dict(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in ("phi", "sigma", "scores", "steps")}
        return {**state, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        for name in ("phi", "sigma", "scores", "steps"):
            setattr(self, name, state[name])
