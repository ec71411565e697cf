"""The coordinatewise LSTM: a learned update rule."""

from __future__ import annotations

import torch
from torch import nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import Parameters
from quickstudy.learners.bilevel.parts import RuleState, UpdateRule
from quickstudy.learners.functional import log_and_sign
from quickstudy.models.lstm_cell import LSTMCell


@checked
class LSTMRule(UpdateRule):
    """A small LSTM, shared by all weights, computes each weight's step.

        z_t                =  ( ln|g_t| / p,  sign g_t )   where |g_t| >= e^-p,   else  ( -1,  e^p g_t )        (1)
        h_{t+1}, c_{t+1}   =  LSTM(z_t, h_t, c_t; phi)     `layers` of them, stacked                            (2)
        theta_{t+1}        =  theta_t  +  scale (v' h_{t+1} + b)                                                (3)

    Weights share only phi: each has its own h and c, which start at 0.

    Args:
        hidden: size of h and c.
        layers: number of LSTM layers, 2 in the paper.
        scale: a factor on every step.
        p: the range of the preprocessing, 10 in the paper.
        keep_gradients: whether phi's derivative passes through g_t as well. The paper takes g_t as a constant.

    Raises:
        ArgumentError: a size below 1; p that is not above 0.

    Source: Andrychowicz et al., "Learning to learn by gradient descent by gradient descent", NeurIPS 2016: eq. 3-4 (2, 3; our
    `phi` is their phi, our h their m), section 2.1 (the architecture; the gradients as numbers), appendix A (1).

    Examples:
        >>> from quickstudy.learners.bilevel import LSTMRule
        >>> learner = qs.LearnedTraining(qs.models.mlp(4, 3), rule=LSTMRule(), steps=10)
        >>> {name.split(".")[0] for name, _ in learner.named_parameters()}  # phi is the rule alone
        {'rule'}
        >>> opt = qs.optim.Learned(torch.nn.Linear(5, 1).parameters(), learner.rule)  # for any network, after meta-training
    """

    def __init__(
        self,
        hidden: PositiveInt = 20,
        layers: PositiveInt = 2,
        *,
        scale: float = 0.1,
        p: float = 10.0,
        keep_gradients: bool = False,
    ):
        super().__init__()
        for name, size in (("hidden", hidden), ("layers", layers)):
            if size < 1:
                raise ArgumentError(name, expected="1 or more", got=str(size), do="The paper has 20 and 2.")
        if not p > 0:
            raise ArgumentError("p", expected="a number above 0", got=str(p), do="The paper has 10.")
        self.hidden, self.layers, self.scale, self.p, self.keep_gradients = hidden, layers, scale, p, keep_gradients
        self.cells = nn.ModuleList(LSTMCell(hidden if layer else 2, hidden) for layer in range(layers))
        self.out = nn.Linear(hidden, 1)

    def init(self, theta: Parameters) -> RuleState:
        """h and c: (layers, weights, hidden), the weights of all tensors in one axis."""
        like, n = self.out.weight, sum(p.numel() for p in theta.values())
        return {name: like.new_zeros(self.layers, n, self.hidden) for name in ("h", "c")}

    def forward(self, theta: Parameters, g: Parameters, state: RuleState) -> tuple[Parameters, RuleState]:
        """(1) to (3)"""
        z = log_and_sign(torch.cat([g[name].reshape(-1) for name in theta]), self.p)  # (1)
        hs, cs = [], []
        for layer, cell in enumerate(self.cells):
            z, c = cell(z, state["h"][layer], state["c"][layer])  # (2)
            hs.append(z)
            cs.append(c)
        step = (self.scale * self.out(z)[:, 0]).split([p.numel() for p in theta.values()])
        after = {name: p + one.reshape(p.shape) for (name, p), one in zip(theta.items(), step, strict=True)}  # (3)
        return after, {"h": torch.stack(hs), "c": torch.stack(cs)}
