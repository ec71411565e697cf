"""An LSTM cell in plain operations, for vmap and second derivatives (torch's own has no vmap rule)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt


class LSTMCell(nn.Module):
    """One step of a long short-term memory.

        i, f, g, o  =  W x + b_W + U h + b_U,                 in four equal parts                       (1)
        c'  =  sigmoid(f) c + sigmoid(i) tanh(g),      h'  =  sigmoid(o) tanh(c')                       (2)

    Its parameters have the names, shapes and initialisation of `torch.nn.LSTMCell`, so it can load that module's state dict.

    Args:
        inputs: features of x.
        hidden: features of h and c.

    Source: Hochreiter & Schmidhuber, "Long Short-Term Memory", 1997; with the forget gate of Gers et al., 2000.
    """

    def __init__(self, inputs: PositiveInt, hidden: PositiveInt):
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        drawn = nn.LSTMCell(inputs, hidden)
        self.weight_ih, self.weight_hh = drawn.weight_ih, drawn.weight_hh
        self.bias_ih, self.bias_hh = drawn.bias_ih, drawn.bias_hh

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """X (*batch, inputs), h and c (*batch, hidden) -> the next h and c."""
        i, f, g, o = (x @ self.weight_ih.T + self.bias_ih + h @ self.weight_hh.T + self.bias_hh).chunk(4, -1)  # (1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)  # (2)
        return torch.sigmoid(o) * torch.tanh(c), c
