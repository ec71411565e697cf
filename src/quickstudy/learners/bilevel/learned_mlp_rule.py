"""An MLP over momentum features: a learned update rule without recurrence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import Parameters
from quickstudy.learners.bilevel.parts import RuleState, UpdateRule

TIMES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)  # the age of a run, encoded as tanh(t / time)


@checked
class MLPRule(UpdateRule):
    """An MLP computes each weight's step from running averages of its gradient.

        m^b_{t+1}    =  b m^b_t + (1 - b) g_t                       for every b of `decays`                     (1)
        z            =  ( theta, g, m^b ...; each over its root mean square within the tensor;  tanh(t / T) ...)  (2)
        d, e         =  MLP(z; phi)                                                                             (3)
        theta_{t+1}  =  theta_t  -  scale d exp(e / 10)                                                         (4)

    The steps do not depend on the scale of the student's loss.

    Args:
        hidden: units of each of the two hidden layers.
        decays: b, the time scales of the averages.
        scale: a factor on every step.
        keep_gradients: whether phi's derivative passes through g_t as well.

    Raises:
        ArgumentError: hidden below 1; a decay out of [0, 1).

    Source: Metz et al., "Understanding and correcting pathologies in the training of learned optimizers", ICML 2019, section on
    the optimizer's architecture: momenta at several time scales, normalised within a tensor, direction and exponent. They have
    one hidden layer of 32, scales of 0.001 for both outputs, and further features of the schedule.

    Examples:
        >>> from quickstudy.learners.bilevel import MLPRule
        >>> rule, theta, g = MLPRule(), {"w": torch.randn(5)}, {"w": torch.randn(5)}
        >>> after, scaled = (rule(theta, {"w": c * g["w"]}, rule.init(theta))[0]["w"] for c in (1.0, 100.0))
        >>> torch.allclose(after, scaled, atol=1e-5)
        True
        >>> learner = qs.LearnedTraining(qs.models.mlp(4, 3), rule=rule, steps=10)
    """

    def __init__(
        self,
        hidden: int = 16,
        *,
        decays: Sequence[float] = (0.5, 0.9, 0.99, 0.999),
        scale: float = 0.01,
        keep_gradients: bool = False,
    ):
        super().__init__()
        if hidden < 1:
            raise ArgumentError("hidden", expected="1 or more", got=str(hidden), do="Try 16.")
        if not decays or not all(0 <= b < 1 for b in decays):
            raise ArgumentError("decays", expected="numbers from 0 to below 1", got=repr(decays), do="Try (0.5, 0.9, 0.99).")
        self.hidden, self.decays, self.scale, self.keep_gradients = hidden, tuple(decays), scale, keep_gradients
        features = 2 + len(self.decays) + len(TIMES)
        layers = [nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2)]
        self.mlp = nn.Sequential(*layers)

    def init(self, theta: Parameters) -> RuleState:
        """m = 0 (decays, *shape) for every tensor, t = 0."""
        like = self.mlp[0].weight
        m = {name: torch.zeros_like(p)[None].repeat(len(self.decays), *[1] * p.ndim) for name, p in theta.items()}
        return {"m": m, "t": like.new_zeros(())}  # type: ignore[operator]

    def forward(self, theta: Parameters, g: Parameters, state: RuleState) -> tuple[Parameters, RuleState]:
        """(1) to (4)"""
        t, m = state["t"], {}
        age = torch.stack([torch.tanh(t / time) for time in TIMES])
        features = []
        for name, p in theta.items():
            b = g[name].new_tensor(self.decays).reshape(-1, *[1] * p.ndim)
            m[name] = b * state["m"][name] + (1 - b) * g[name]  # (1)
            moments = torch.cat([p.reshape(1, -1), g[name].reshape(1, -1), m[name].reshape(len(self.decays), -1)])
            features.append(torch.cat([scaled(moments), age[:, None].expand(-1, moments.shape[1])]))  # (2)
        d, e = self.mlp(torch.cat(features, 1).T).unbind(1)  # (3)
        step = (self.scale * d * torch.exp(e / 10)).split([p.numel() for p in theta.values()])
        after = {name: p - one.reshape(p.shape) for (name, p), one in zip(theta.items(), step, strict=True)}  # (4)
        return after, {"m": m, "t": t + 1}


def scaled(z: Tensor) -> Tensor:
    """Every row of z (features, weights) over its root mean square; a row of zeros is unchanged, with derivative 1."""
    square = (z**2).mean(1, keepdim=True)
    return z * torch.where(square > 0, torch.where(square > 0, square, torch.ones_like(square)).rsqrt(), torch.ones_like(square))
