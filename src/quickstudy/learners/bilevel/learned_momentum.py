"""Learned rates and momenta: the simplest of the learned update rules."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import Parameters
from quickstudy.learners.bilevel.parts import RuleState, UpdateRule, logit


@checked
class LearnedMomentum(UpdateRule):
    """Momentum with learned rate and decay, one of each for all weights or for every tensor.

        a = e^phi_a,      mu = sigmoid(phi_mu)                                                                  (1)
        m_{t+1}      =  mu m_t + g_t                                                                            (2)
        theta_{t+1}  =  theta_t - a m_{t+1}                                                                     (3)

    Args:
        names: names of the tensors that get their own rate and momentum, `[name for name, _ in network.named_parameters()]`;
            None: one of each for all tensors, so that the rule serves networks of any shape.
        lr: initial a, above 0.
        momentum: initial mu, between 0 and 1.
        keep_gradients: whether phi's derivative passes through g_t as well, which makes it exact.

    Raises:
        ArgumentError: lr or momentum out of range; a tensor that is not among `names`.

    Source: Maclaurin, Duvenaud & Adams, "Gradient-based Hyperparameter Optimization through Reversible Learning", ICML 2015,
    algorithm 1 and section 3 (rates and momenta for each layer; theirs change from step to step).

    Examples:
        >>> from quickstudy.learners.bilevel import LearnedMomentum
        >>> network = qs.models.mlp(4, 3, hidden=(8,))
        >>> rule = LearnedMomentum([name for name, _ in network.named_parameters()], lr=0.1, momentum=0.9)
        >>> learner = qs.LearnedTraining(network, rule=rule, steps=3)
        >>> sum(p.numel() for p in learner.parameters())  # phi: a rate and a momentum for each of 4 tensors
        8
    """

    def __init__(
        self, names: Sequence[str] | None = None, *, lr: float = 0.1, momentum: float = 0.9, keep_gradients: bool = True
    ):
        super().__init__()
        if not lr > 0:
            raise ArgumentError("lr", expected="a number above 0", got=str(lr), do="It is learned by its logarithm: try 0.1.")
        if not 0 < momentum < 1:
            raise ArgumentError("momentum", expected="a number between 0 and 1", got=str(momentum), do="Try 0.9.")
        self.names = None if names is None else tuple(names)
        self.lr, self.momentum, self.keep_gradients = lr, momentum, keep_gradients
        shape = () if names is None else (len(names),)
        self.log_rate = nn.Parameter(torch.tensor(float(lr)).log().expand(shape).clone())
        self.logit_momentum = nn.Parameter(logit(momentum).expand(shape).clone())

    def init(self, theta: Parameters) -> RuleState:
        """m = 0."""
        return {"m": {name: torch.zeros_like(p) for name, p in theta.items()}}

    def forward(self, theta: Parameters, g: Parameters, state: RuleState) -> tuple[Parameters, RuleState]:
        """(2), (3)"""
        after, m = {}, {}
        for name, p in theta.items():
            a, mu = self.of(name)
            m[name] = mu * state["m"][name] + g[name]  # (2)
            after[name] = p - a * m[name]  # (3)
        return after, {"m": m}

    def of(self, name: str) -> tuple[Tensor, Tensor]:
        """(1) of one tensor."""
        if self.names is None:
            return self.log_rate.exp(), self.logit_momentum.sigmoid()
        if name not in self.names:
            raise ArgumentError(
                "LearnedMomentum(names)",
                expected=f"a tensor among {list(self.names)[:6]}",
                got=repr(name),
                do="Hand an optimizer network.named_parameters(), so that it knows the names; or learn one rate for all.",
            )
        index = self.names.index(name)
        return self.log_rate[index].exp(), self.logit_momentum[index].sigmoid()
