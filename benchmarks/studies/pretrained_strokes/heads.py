"""Three heads on the same features, each with numbers that are learned with the network: prototypes, ridge, logistic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.learners.functional import class_means, one_hot, squared_distance
from quickstudy.learners.solve.newton import newton_logistic
from quickstudy.learners.solve.ridge import ridge

NAMES = ("prototypes", "ridge", "logistic")


class Heads(nn.Module):
    """Logits of each head for one task, from the features of its support and its queries.

    Ridge and logistic regression see features about the mean of the support, in units of their root mean square length, so that
    their penalties mean the same whatever the network.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_penalty = nn.ParameterDict({"ridge": torch.tensor(0.0), "logistic": torch.tensor(-2.0)})
        self.log_scale = nn.ParameterDict({"ridge": torch.tensor(2.0), "logistic": torch.tensor(1.0)})

    def forward(self, support: Tensor, query: Tensor, y: Tensor, ways: int, names: tuple[str, ...] = NAMES) -> dict[str, Tensor]:
        """support (examples, features), query (queries, features), y (examples,): (queries, ways) for each name."""
        found = {}
        if "prototypes" in names:
            found["prototypes"] = -squared_distance(query, class_means(support, y, ways))
        mean = support.mean(0)
        length = (support - mean).square().sum(1).mean().clamp_min(1e-12).sqrt()
        support, query, target = (support - mean) / length, (query - mean) / length, one_hot(y, ways, support)
        if "ridge" in names:
            weights, bias = ridge(support, target, self.log_penalty["ridge"].exp(), intercept=True)
            found["ridge"] = self.log_scale["ridge"].exp() * (query @ weights + bias)
        if "logistic" in names:
            weights = newton_logistic(support, target, self.log_penalty["logistic"].exp(), 5)
            found["logistic"] = self.log_scale["logistic"].exp() * (query @ weights)
        return found


def logits(
    heads: Heads, support: Tensor, query: Tensor, ways: int, shots: int, names: tuple[str, ...] = NAMES
) -> dict[str, Tensor]:
    """The same for many tasks: (tasks, queries, ways) for each name."""
    y = torch.arange(ways, device=support.device).repeat_interleave(shots)
    return torch.vmap(lambda s, q: heads(s, q, y, ways, names))(support, query)
