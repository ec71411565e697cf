"""phi as one vector, for searches in R^n; torch's own functions do so for parameters that lie row by row alone."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from quickstudy.forward.call import Parameters


def as_vector(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The numbers of all parameters, one after another, in float64 on the CPU."""
    return torch.cat([parameter.detach().reshape(-1).double().cpu() for parameter in parameters])


def write_vector(vector: Tensor, parameters: Iterable[nn.Parameter]) -> None:
    """Write a vector into the parameters, which keep their place and order in memory."""
    start = 0
    with torch.no_grad():
        for parameter in parameters:
            part = vector[start : start + parameter.numel()]
            parameter.copy_(part.reshape(parameter.shape))
            start += parameter.numel()


def unflattened(rows: Tensor, parameters: dict[str, nn.Parameter]) -> Parameters:
    """(members, n) as members of phi, by name."""
    pieces = rows.split([parameter.numel() for parameter in parameters.values()], 1)
    return {
        name: piece.reshape(-1, *parameter.shape).to(parameter)
        for (name, parameter), piece in zip(parameters.items(), pieces, strict=True)
    }
