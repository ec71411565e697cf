"""TransformersNetwork: a model of the package transformers as a network that learners adapt, in part by LoRA."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from quickstudy.domains.text.encoders.pooling import masked_mean
from quickstudy.errors import UnsupportedError
from quickstudy.forward._torch import unreadable
from quickstudy.randomness import seeded


class TransformersNetwork(nn.Module):
    """A copy of a model with a linear head: x = {"ids", "mask"} of pieces in, logits out.

        h       =  model(ids)                attention in plain operators, which have a second derivative
        output  =  head( pool_i h_i ),       or head(h_i) for each piece with pool=None

    The model's weights require no gradient; `models.LoRA(network, targets="*query.weight")` adds factors that do.

    Args:
        model: an encoder of the package transformers.
        outputs: of the head.
        pool: "mean", "first", or None.
        seed: of the head's initial weights.

    Examples:
        See `TransformersEncoder.network`.
    """

    def __init__(self, model: nn.Module, outputs: int, *, pool: Literal["mean", "first"] | None = None, seed: int = 0):
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)
        settings: Any = self.model.config
        _plain_attention(self.model)
        self.pool, self.outputs = pool, outputs
        with seeded(seed):
            self.head = nn.Linear(int(settings.hidden_size), outputs)
        self.takes_pairs = self._takes_pairs()

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (examples, pieces) -> (examples, outputs), or (examples, pieces, outputs).

        Raises:
            UnsupportedError: inside vmap or compile, for a model that reads the values of its mask.
        """
        if not self.takes_pairs and unreadable(mask):
            raise UnsupportedError(
                "executor",
                expected="'loop' or 'threads' for a model that reads the values of its mask",
                got=f"{type(self.model).__name__} inside a transform of torch",
                do="Give executor='loop'.",
            )
        h = self.model(input_ids=ids, attention_mask=_pairs(mask, self.head.weight) if self.takes_pairs else mask.long())
        h = h.last_hidden_state
        if self.pool is None:
            return self.head(h)
        return self.head(masked_mean(h, mask) if self.pool == "mean" else h[:, 0])

    @torch.no_grad()
    def _takes_pairs(self) -> bool:
        """Whether the model takes a mask of pairs of pieces, which it then does not look into, and answers as with its own."""
        ids = torch.arange(4).repeat(2, 1)
        mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
        try:
            answer = self.model(input_ids=ids, attention_mask=_pairs(mask, self.head.weight)).last_hidden_state
        except (ValueError, RuntimeError, IndexError, TypeError):
            return False
        own = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return bool((answer - own)[mask].abs().max() < 1e-4)


def _pairs(mask: Tensor, like: Tensor) -> Tensor:
    """What is added to the scores of attention, (examples, 1, pieces, pieces): 0 where a piece is seen."""
    seen = mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
    return like.new_zeros(seen.shape).masked_fill(~seen, torch.finfo(like.dtype).min)


def _plain_attention(model: nn.Module) -> None:
    """Attention written in plain operators, where the model has it."""
    change = getattr(model, "set_attn_implementation", None)
    if change is not None:
        change("eager")
