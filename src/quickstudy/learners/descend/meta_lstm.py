"""Meta-LSTM: the inner loop as an LSTM with the learner's weights as its cell state."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, PositiveInt
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Context, Normalisation
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import FirstOrder, stop
from quickstudy.learners.functional import log_and_sign
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Answered, State


class MetaLSTM(Learner):
    """Learn the start and an update rule: how much of each weight to keep, and how far to move it.

        g, L       =  d/dtheta L(f_theta(support)) and L itself at theta_{t-1}, as constants                          (1)
        s(v)       =  (log|v| / p, sign v)  where |v| >= e^-p,    (-1, e^p v)  elsewhere                              (2)
        h_t, m_t   =  LSTM( [s(g), s(L)],  h_{t-1}, m_{t-1} )                                                        (3)
        i_t        =  sigmoid( W_I [h_t, theta_{t-1}, i_{t-1}] + b_I )                                               (4)
        f_t        =  sigmoid( W_F [h_t, theta_{t-1}, f_{t-1}] + b_F )                                               (5)
        theta_t    =  f_t o theta_{t-1}  -  i_t o g,           theta_0 = phi                                         (6)
        predict(x) =  f_{theta_K}(x)                                                                                 (7)

    Every coordinate of theta has its own h, m, i, f; (3)-(5) share their weights across coordinates. With W_I = W_F = 0 and
    f = 1 it is first-order MAML with rate i. Memory grows as coordinates x hidden x steps.

    Args:
        network: any nn.Module; its parameters are the start phi, the initial cell state.
        inner_steps: K.
        inner_lr: initial i, between 0 and 1.
        hidden: size of h.

    Other Args:
        keep: initial f, between 0 and 1.
        p: range of the preprocessing (2).
        loss: L; None: cross-entropy for integer labels, mean squared error for targets.
        normalisation: see `Learner`.

    Raises:
        ArgumentError: an inner_lr or a keep that is not between 0 and 1; a negative inner_steps.

    Source: Ravi & Larochelle, "Optimization as a Model for Few-Shot Learning", ICLR 2017, eq. 2-3, sections 3.2-3.5; (2) from
    Andrychowicz et al., "Learning to Learn by Gradient Descent by Gradient Descent", NeurIPS 2016, appendix A.
    Departure: every step reads the whole support, where the paper takes minibatches of it with more than one shot.

    Examples:
        >>> learner = qs.MetaLSTM(qs.models.mlp(4, 3, hidden=(8,)), inner_steps=2)
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, queries=10).test.sample(1)[0]
        >>> learner.adapt(task.support)(task.query.x).shape
        torch.Size([30, 3])
    """

    label_equivariant = False  # only after permuting the rows of the network's head as well
    exact_gradient = False  # (1) takes g and L as constants

    def __init__(
        self,
        network: nn.Module,
        *,
        inner_steps: NonNegativeInt = 5,
        inner_lr: NonNegativeFloat = 0.01,
        hidden: PositiveInt = 20,
        keep: float = 0.999,
        p: float = 10.0,
        loss: Loss | None = None,
        normalisation: Normalisation = "support",
    ):
        super().__init__(normalisation=normalisation)
        self.descent = Descent(
            network, inner_steps=inner_steps, loss=loss, normalisation=normalisation, hypergradient=FirstOrder(), name="Meta-LSTM"
        )
        self.inner_steps, self.hidden, self.p = inner_steps, hidden, p
        self.name = "Meta-LSTM"
        dtype = self.descent.proximal_weight.dtype
        self.input, self.recur = nn.Linear(4, 4 * hidden, dtype=dtype), nn.Linear(hidden, 4 * hidden, bias=False, dtype=dtype)
        self.gate_i, self.gate_f = nn.Linear(hidden + 2, 1, dtype=dtype), nn.Linear(hidden + 2, 1, dtype=dtype)
        for gate, argument, value in ((self.gate_i, "inner_lr", inner_lr), (self.gate_f, "keep", keep)):
            if not 0 < value < 1:
                raise ArgumentError(
                    argument, expected="a number between 0 and 1", got=str(value), do="It begins as a gate's value."
                )
            nn.init.uniform_(gate.weight, -0.01, 0.01)
            nn.init.constant_(gate.bias, math.log(value / (1 - value)))

    def state(self, support: Examples, context: Context, steps: int | None = None) -> State:
        """theta_K after `steps` inner steps; None: `inner_steps`."""
        steps, theta, memory = self.inner_steps if steps is None else steps, self.descent.initial(), None
        for t in range(steps):
            theta, memory = self.step(theta, memory, t, support, context)
        return self.descent.finalise(theta, support, context, steps)

    def answer(self, state: State, x: Any, context: Context) -> Answered:
        """(7)"""
        return self.descent.answer(state, x, context)

    def step(
        self, at: Parameters, memory: dict[str, Tensor] | None, t: int, support: Examples, context: Context
    ) -> tuple[Parameters, dict[str, Tensor]]:
        """(1)-(6), for the coordinates of all parameters at once."""
        with torch.no_grad():
            gradient, L, _ = self.descent.inner_gradient(stop(at), t, support, context)  # (1)
        gradient, L = stop((gradient, L))
        theta, g = flat(at), flat(gradient)
        if memory is None:
            zeros = theta.new_zeros(len(theta), self.hidden)
            memory = {"h": zeros, "m": zeros, "i": torch.zeros_like(theta), "f": torch.zeros_like(theta)}
        x = torch.cat([log_and_sign(g, self.p), log_and_sign(L, self.p).expand(len(g), -1)], 1)
        h, m = self.lstm(x, memory["h"], memory["m"])  # (3)
        i = torch.sigmoid(self.gate_i(torch.cat([h, theta[:, None], memory["i"][:, None]], 1)))[:, 0]  # (4)
        f = torch.sigmoid(self.gate_f(torch.cat([h, theta[:, None], memory["f"][:, None]], 1)))[:, 0]  # (5)
        return unflat(f * theta - i * g, at), {"h": h, "m": m, "i": i, "f": f}  # (6)

    def lstm(self, x: Tensor, h: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        """An LSTM cell in plain operations: torch's own has no vmap rule."""
        i, f, c, o = (self.input(x) + self.recur(h)).chunk(4, 1)
        m = torch.sigmoid(f) * m + torch.sigmoid(i) * torch.tanh(c)
        return torch.sigmoid(o) * torch.tanh(m), m

    def adapted(self, state: State) -> Parameters:
        """theta by the names of its tensors in phi."""
        return {f"descent.{name}": value for name, value in self.descent.adapted(state).items()}

    @property
    def criterion(self) -> Loss | None:
        """The inner loss; also the outer loss unless another is given."""
        return self.descent.criterion


def flat(parameters: Parameters) -> Tensor:
    """All coordinates in one row."""
    return torch.cat([p.reshape(-1) for p in parameters.values()])


def unflat(row: Tensor, like: Parameters) -> Parameters:
    """The row as parameters again."""
    pieces = row.split([p.numel() for p in like.values()])
    return {name: piece.reshape(p.shape) for (name, p), piece in zip(like.items(), pieces, strict=True)}
