"""Per-step batch norm: every state theta_t of the inner loop has its own norms, both weights and running averages.

    f_{theta_t}(x)  is run with the batch norms  n_t,      n_0 the network's own,   n_1 .. n_K copies of them               (1)

Source: Antoniou, Edwards & Storkey, "How to train your MAML", ICLR 2019, section 4, "Per-Step Batch Normalization Running
Statistics" and "... Weights and Biases".
"""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from quickstudy.forward.call import Parameters
from quickstudy.learners.outcome import Recorded


class StepNorms(nn.Module):
    """The copies n_1 .. n_K of a network's batch norms, if it has any."""

    def __init__(self, network: nn.Module, steps: int):
        super().__init__()
        self.paths = tuple(path for path, module in network.named_modules() if isinstance(module, _BatchNorm))
        self.steps = nn.ModuleList(
            nn.ModuleList(copy.deepcopy(network.get_submodule(path)) for path in self.paths) for _ in range(steps)
        )

    def at(self, t: int) -> Parameters:
        """n_t by the network's names: weights, biases and running averages; past the last step those of the last."""
        if t == 0 or len(self.steps) == 0:
            return {}
        norms: Parameters = {}
        for path, norm in zip(self.paths, self.steps[min(t, len(self.steps)) - 1], strict=True):  # type: ignore[call-overload]
            tensors = {**dict(norm.named_parameters()), **dict(norm.named_buffers())}
            norms |= {f"{path}.{name}": tensor for name, tensor in tensors.items() if name != "num_batches_tracked"}
        return norms

    def renamed(self, recorded: Recorded, t: int, network: nn.Module) -> Recorded:
        """Statistics that the network's norms recorded after t steps, under the names of n_t."""
        if t == 0 or len(self.steps) == 0:
            return recorded
        norms = self.steps[min(t, len(self.steps)) - 1]
        names = {
            getattr(network.get_submodule(path).eps, "module", path): getattr(norm.eps, "module", path)
            for path, norm in zip(self.paths, norms, strict=True)  # type: ignore[call-overload]
        }
        renamed = {key: "#".join([names.get(key.partition("#")[0], key), *key.split("#")[1:]]) for key in recorded[0]}
        return {renamed[key]: one for key, one in recorded[0].items()}, {renamed[key]: n for key, n in recorded[1].items()}

    def holds(self, name: str) -> bool:
        """Whether the network's parameter `name` belongs to a batch norm, which inner steps do not change."""
        return name.rpartition(".")[0] in self.paths
