"""CMA-ES: a search over phi that adapts the covariance of its proposals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.errors import ArgumentError, MissingPackageError, UnsupportedError
from quickstudy.meta.estimator import Estimator
from quickstudy.meta.estimators.evolution import answer_of, evaluated, scored
from quickstudy.meta.estimators.values import Values
from quickstudy.meta.outer.outer import Outer, RunningSearch
from quickstudy.meta.problem import Answer, Problem
from quickstudy.meta.searches.vector import as_vector, unflattened


@checked
@dataclass(frozen=True)
class CMAES(Outer):
    """Covariance matrix adaptation: propose, rank, move mean and covariance towards the better half. It takes no gradient.

        x_i ~ N(m, sigma^2 C),    m <- sum_i w_i x_(i),    C, sigma <- from the steps that succeeded

    Every candidate of a step sees the same tasks. phi is the mean m. For up to a few hundred meta-parameters, since C is dense.
    On the windows of carried runs every candidate starts from the state that the mean has reached.

    Args:
        sigma: standard deviation of the first proposals.
        population: candidates per step; None: 4 + floor(3 ln n).
        together: candidates evaluated at once; None: all.
        seed: of the proposals.
        most: largest number of meta-parameters.

    Raises:
        ArgumentError: a population below 2, a sigma that is not above 0.
        MissingPackageError: `cmaes` is not installed.
        UnsupportedError: more meta-parameters than `most`, or only one.

    Source: Hansen, "The CMA Evolution Strategy: A Tutorial", 2016, eq. 38-47; the package `cmaes` (Nomura & Shibata, 2024).

    Examples:
        >>> from quickstudy.meta.searches import CMAES
        >>> learner, tasks = qs.MAML(torch.nn.Linear(2, 1, bias=False)), qs.tasks.Quadratic(dim=2)
        >>> _ = torch.nn.init.constant_(learner.network.weight, 5.0)  # the best weights over all tasks are 0
        >>> outer = CMAES(sigma=0.5)
        >>> run = qs.meta_train(learner, tasks.train, steps=15, tasks_per_step=4, outer=outer, executor="vmap", progress=False)
        >>> bool(learner.network.weight.norm() < 3)
        True
    """

    sigma: float = 0.5
    population: int | None = None
    together: int | None = None
    seed: int = 0
    most: PositiveInt = 1000

    def __post_init__(self) -> None:
        if self.population is not None and self.population < 2:
            raise ArgumentError("population", expected="2 or more", got=str(self.population), do="None takes 4 + 3 ln n.")
        if not self.sigma > 0:
            raise ArgumentError("sigma", expected="a standard deviation above 0", got=str(self.sigma), do="0.5 is common.")

    @property
    def estimator(self) -> Estimator:  # type: ignore[override]
        """Values of the outer loss."""
        return Values()

    def start(self, parameters: dict[str, nn.Parameter]) -> RunningSearch:
        n = sum(parameter.numel() for parameter in parameters.values())
        if not 2 <= n <= self.most:
            other = "Gradient(Evolution())"
            raise UnsupportedError(
                "outer",
                expected=f"a search that serves {n} meta-parameters",
                got=f"CMAES(most={self.most}), which serves 2 to {self.most}",
                do=f"Use {other}, which keeps no covariance." if n > 1 else f"Use {other}.",
            )
        return _RunningSearch(parameters, self)


class _RunningSearch(RunningSearch):
    """A running `CMAES`."""

    def __init__(self, parameters: dict[str, nn.Parameter], method: CMAES):
        try:
            from cmaes import CMA  # type: ignore[import-untyped]
        except ImportError as error:
            raise MissingPackageError(
                "outer", expected="the package `cmaes`", got="none", do="pip install cmaes, or use Gradient(Evolution())."
            ) from error
        self.parameters, self.together = parameters, method.together
        mean = as_vector(parameters.values()).numpy()
        self.cma = CMA(mean=mean, sigma=method.sigma, population_size=method.population, seed=method.seed)

    def search(self, executor: Any, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        proposals = [self.cma.ask() for _ in range(self.cma.population_size)]
        x = torch.stack([torch.from_numpy(one) for one in proposals])
        members = unflattened(torch.cat([torch.from_numpy(self.cma.mean)[None], x]), self.parameters)
        outcome = evaluated(executor, problem, members, episodes, seeds, together=self.together)
        scores = scored(outcome.loss).mean(1)
        self.cma.tell([(one, float(score)) for one, score in zip(proposals, scores[1:], strict=True)])
        with torch.no_grad():
            for name, value in unflattened(torch.from_numpy(self.cma.mean)[None], self.parameters).items():
                self.parameters[name].copy_(value[0])
        return answer_of(outcome, 0, {})

    def state_dict(self) -> dict[str, Any]:
        import numpy as np

        state: dict[str, Any] = {}
        for name, value in vars(self.cma).items():
            if isinstance(value, np.ndarray):
                state[name] = torch.from_numpy(value.copy())
            elif isinstance(value, np.random.RandomState):
                kind, key, *rest = value.get_state(legacy=True)
                state[name] = {"kind": kind, "key": torch.from_numpy(np.asarray(key).astype(np.int64)), "rest": rest}
            else:
                state[name] = value.item() if isinstance(value, np.generic) else value
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        import numpy as np

        for name, value in state.items():
            if isinstance(value, Tensor):
                setattr(self.cma, name, value.numpy().copy())
            elif isinstance(value, dict):
                key = value["key"].numpy().astype(np.uint32)
                getattr(self.cma, name).set_state((value["kind"], key, *value["rest"]))
            else:
                setattr(self.cma, name, value)
