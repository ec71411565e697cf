"""Inner rules: how one step of descent turns a gradient into new parameters.

    theta_{t+1}, s_{t+1}  =  update(theta_t, g_t, s_t, a_t)

Plain functions of tensors, so that an unrolled loop differentiates through them. `s` is the rule's own state (momenta), a
dict of dicts by parameter name; `a` the step size of each parameter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import PositiveFloat, checked
from quickstudy.forward.call import Parameters

RuleState = dict[str, Parameters]
Rates = Mapping[str, Tensor]


class InnerRule(ABC):
    """The interface of an inner rule."""

    @abstractmethod
    def init(self, theta: Parameters) -> RuleState:
        """The state before the first step."""

    @abstractmethod
    def update(self, theta: Parameters, g: Parameters, state: RuleState, rates: Rates) -> tuple[Parameters, RuleState]:
        """One step: new parameters, new state."""


@checked
@dataclass(frozen=True)
class SGD(InnerRule):
    """theta_{t+1} = theta_t - a g_t.

    Examples:
        >>> from quickstudy.learners.descend import SGD
        >>> theta, g, a = {"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}, {"w": torch.tensor(0.25)}
        >>> SGD().update(theta, g, SGD().init(theta), a)[0]
        {'w': tensor([0.5000])}
    """

    def init(self, theta: Parameters) -> RuleState:
        return {}

    def update(self, theta: Parameters, g: Parameters, state: RuleState, rates: Rates) -> tuple[Parameters, RuleState]:
        return {name: p - rates[name] * g[name] for name, p in theta.items()}, state


@checked
@dataclass(frozen=True)
class Momentum(InnerRule):
    """m_{t+1} = mu m_t + g_t;  theta_{t+1} = theta_t - a m_{t+1}, or - a (g_t + mu m_{t+1}) with `nesterov` (torch.optim.SGD).

    Args:
        momentum: mu.
        nesterov: whether to use Nesterov's momentum.

    Examples:
        >>> from quickstudy.learners.descend import Momentum
        >>> rule = Momentum(0.5)
        >>> theta, g, a = {"w": torch.tensor([4.0])}, {"w": torch.tensor([1.0])}, {"w": torch.tensor(1.0)}
        >>> theta, state = rule.update(theta, g, rule.init(theta), a)
        >>> rule.update(theta, g, state, a)[0]  # 4 - 1 - (0.5 + 1)
        {'w': tensor([1.5000])}
    """

    momentum: float = 0.9
    nesterov: bool = False

    def init(self, theta: Parameters) -> RuleState:
        return {"momentum": {name: torch.zeros_like(p) for name, p in theta.items()}}

    def update(self, theta: Parameters, g: Parameters, state: RuleState, rates: Rates) -> tuple[Parameters, RuleState]:
        m = {name: self.momentum * state["momentum"][name] + g[name] for name in theta}
        direction = {name: g[name] + self.momentum * m[name] for name in theta} if self.nesterov else m
        return {name: p - rates[name] * direction[name] for name, p in theta.items()}, {"momentum": m}


@checked
@dataclass(frozen=True)
class Adam(InnerRule):
    """Adam, with a derivative that is finite everywhere.

        m_{t+1} = b1 m_t + (1 - b1) g_t           v_{t+1} = b2 v_t + (1 - b2) g_t^2
        theta_{t+1} = theta_t - a  m_{t+1} / (1 - b1^{t+1})  /  ( sqrt(v_{t+1} / (1 - b2^{t+1})) + eps )

    The square root's derivative is infinite at v = 0 (a parameter that no example reaches), which makes meta-gradients NaN in
    other libraries; here it is taken as 0 there, where m is 0 too. Values equal torch.optim.Adam's.

    Args:
        b1, b2: decay rates of m and v.
        eps: added to the square root of v.

    Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.

    Examples:
        >>> from quickstudy.learners.descend import Adam
        >>> theta, g, a = {"w": torch.tensor([1.0])}, {"w": torch.tensor([5.0])}, {"w": torch.tensor(0.25)}
        >>> Adam().update(theta, g, Adam().init(theta), a)[0]  # the first step is a sign(g)
        {'w': tensor([0.7500])}
        >>> learner = qs.MAML(torch.nn.Linear(4, 3), rule=Adam(), inner_lr=0.01, inner_steps=5)
    """

    b1: float = 0.9
    b2: float = 0.999
    eps: PositiveFloat = 1e-8

    def init(self, theta: Parameters) -> RuleState:
        zeros = {name: torch.zeros_like(p) for name, p in theta.items()}
        ones = {name: torch.ones((), dtype=p.dtype, device=p.device) for name, p in theta.items()}
        return {"m": zeros, "v": zeros, "b1^t": ones, "b2^t": ones}

    def update(self, theta: Parameters, g: Parameters, state: RuleState, rates: Rates) -> tuple[Parameters, RuleState]:
        new: RuleState = {key: {} for key in ("m", "v", "b1^t", "b2^t")}
        after = {}
        for name, p in theta.items():
            m = self.b1 * state["m"][name] + (1 - self.b1) * g[name]
            v = self.b2 * state["v"][name] + (1 - self.b2) * g[name] ** 2
            b1t, b2t = self.b1 * state["b1^t"][name], self.b2 * state["b2^t"][name]
            after[name] = p - rates[name] * (m / (1 - b1t)) / (_safe_sqrt(v / (1 - b2t)) + self.eps)
            new["m"][name], new["v"][name], new["b1^t"][name], new["b2^t"][name] = m, v, b1t, b2t
        return after, new


def _safe_sqrt(v: Tensor) -> Tensor:
    """sqrt(v), with derivative 0 instead of infinity at v = 0."""
    positive = v > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, v, torch.ones_like(v))), torch.zeros_like(v))


def clip_by_norm(g: Parameters, norm: float) -> Parameters:
    """g scaled so that its norm over all parameters is at most `norm`; differentiable, at g = 0 too."""
    length = _safe_sqrt(torch.stack([(gradient**2).sum() for gradient in g.values()]).sum())
    scale = torch.where(
        length > norm, norm / torch.where(length > norm, length, torch.ones_like(length)), torch.ones_like(length)
    )
    return {name: gradient * scale for name, gradient in g.items()}
