"""MetaReg: a weighted L1 penalty of the head, learned so that a head trained on one domain serves another.

    R(beta)       =  sum_i e^(rho_i) |beta_i|                                                                     (1)
    psi, theta    <-  descent on  1/D sum_d CE_d(psi, theta) + R(theta)              rho as a constant               (2)
    theta_d       <-  descent on  CE_d(psi, theta_d)                                 psi as a constant, for every d  (3)
    beta          =  K steps from theta_a on  CE_a(psi, beta) + R(beta)              a, b two domains at random      (4)
    rho           <-  descent on  CE_b(psi, beta)                                    through (4)                     (5)

psi are the features, theta the head that answers, theta_d one for each domain.

Source: Balaji, Sankaranarayanan & Chellappa, "MetaReg: Towards Domain Generalization using Meta-Regularization", NeurIPS 2018,
eq. 2-4 and algorithm 1. Departures: the penalty is learned beside the network that it serves, in one run (theirs is learned
first, and a second network trained with it); a weight is e^rho, which cannot fall below 0; (4) takes the batch of (3).
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveFloat, PositiveInt
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import Parameters, apply, call, plain
from quickstudy.forward.context import Context, Normalisation
from quickstudy.forward.derivatives import gradient_of, stop
from quickstudy.learners.generalise.domains import check_domains, of_domain, parameters, stacked
from quickstudy.learners.learner import Learner, Loss, recorded
from quickstudy.learners.outcome import Outcome, averages
from quickstudy.random import stateless_order

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution


class MetaReg(Learner):
    """Features and a head, whose penalty is learned across pairs of domains.

    It is meta-trained on `tasks.by_domain(...)` and answers without a support.

    Args:
        embed: (examples, *feature) -> (examples, features).
        head: (examples, features) -> (examples, ways).
        domains: the number of meta-training domains, 2 or more.
        inner_lr, inner_steps: the step size and K of (4).
        initial: the weight of every |beta_i| before meta-training.
        normalisation: "running", "transductive" or "frozen": see `Learner`.

    Raises:
        ArgumentError: fewer than two domains; in meta-training, tasks of another number of domains.
        UnsupportedError: in meta-training, tasks without domains.

    Examples:
        >>> from quickstudy.learners.generalise import MetaReg
        >>> learner = MetaReg(qs.models.mlp(2, 8), torch.nn.Linear(8, 3), domains=4, initial=0.01)
        >>> {name: round(weight.mean().item(), 4) for name, weight in learner.penalties.items()}
        {'weight': 0.01, 'bias': 0.01}
    """

    label_equivariant = False  # only after permuting the rows of the head as well
    exact_gradient = False  # each part has the derivative of its own update
    needs_support = False

    def __init__(
        self,
        embed: nn.Module,
        head: nn.Module,
        *,
        domains: PositiveInt,
        inner_lr: PositiveFloat = 0.1,
        inner_steps: PositiveInt = 1,
        initial: PositiveFloat = 1e-3,
        normalisation: Normalisation = "running",
    ):
        super().__init__(normalisation=normalisation)
        if domains < 2:
            raise ArgumentError("domains", expected="2 or more: one to train on, one to be scored on", got="1", do="Add domains.")
        self.embed, self.head, self.domains = plain("embed", embed), plain("head", head), domains
        self.inner_lr, self.inner_steps = inner_lr, inner_steps
        self.heads = nn.ModuleList(copy.deepcopy(head) for _ in range(domains))
        start = math.log(initial)
        self.log_penalties = nn.ParameterList(nn.Parameter(torch.full_like(one, start)) for one in head.parameters())

    @property
    def penalties(self) -> Parameters:
        """e^rho, by the names of the head's parameters."""
        return {name: rho.exp() for (name, _), rho in zip(self.head.named_parameters(), self.log_penalties, strict=True)}

    def learn(self, support: Examples) -> Any:
        """Nothing: the network is trained already."""
        return {}

    def predict(self, values: Any, x: Any) -> Tensor:
        """The head on the features."""
        return apply(self.head, apply(self.embed, x))

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """(2), (3) and (5) as one scalar: each has the derivative of its own update, and the others are constants."""
        criterion = self.criterion_of(episode.query, criterion)
        scope = self.scope(context)
        with scope:
            z = apply(self.embed, episode.query.x)
            fitted = criterion(apply(self.head, z), episode.query.y)
        penalty = _penalty(parameters(self.head), stop(self.penalties))  # (1), (2)
        parts = stacked(episode.query.like(z.detach(), episode.query.y), self.domains, "query")

        def loss(beta: Parameters, domain: int | Tensor) -> Tensor:
            part = of_domain(parts, domain)
            return criterion(call(self.head, beta, part.x, self.scope(context)), part.y)

        each = [parameters(head) for head in self.heads]
        own = sum((loss(head, domain) for domain, head in enumerate(each)), torch.zeros_like(fitted))  # (3)
        a, b = stateless_order(context.seed, self.domains, device=episode.query.y.device)[:2]
        beta = {name: torch.stack([head[name].detach() for head in each]) for name in each[0]}
        beta = {name: tensor.index_select(0, a.reshape(1)).squeeze(0) for name, tensor in beta.items()}
        for _ in range(self.inner_steps):  # (4)
            g, _, _ = gradient_of(lambda beta: (loss(beta, a) + _penalty(beta, self.penalties), ()), beta)
            beta = {name: beta[name] - self.inner_lr * g[name] for name in beta}
        across = loss(beta, b)  # (5)
        log = {"fitted": fitted.detach(), "penalty": penalty.detach(), "across": across.detach()}
        statistics = averages([recorded(scope)]) if self.averages(context) else {}
        return Outcome(fitted + penalty + own + across, log, statistics, ())

    def prepare(self, tasks: TaskDistribution) -> None:
        check_domains(tasks, self.domains, "MetaReg")


def _penalty(beta: Parameters, weights: Parameters) -> Tensor:
    """(1)"""
    return torch.stack([(weights[name] * one.abs()).sum() for name, one in beta.items()]).sum()
