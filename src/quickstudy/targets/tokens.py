"""Tokens: a string of tokens for each example."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import ArgumentError, LabelError
from quickstudy.targets.target import Target, entropy

END = 0  # the token behind an answer, and all that follow it


@dataclass(frozen=True)
class Tokens(Target):
    """A string of tokens: y int64 (n, length), 0 behind its end; logits (n, length, vocabulary).

    0 is the end and what fills a row behind it, so an answer is the tokens before the first 0; one as long as the row has no
    end. The loss is the cross-entropy of an answer's tokens and of its end, where it has one.

    Row t of a prediction is given the answer before t: a learner that is trained on the true ones (teacher forcing) predicts
    with its own, so `read` is greedy decoding.

    Args:
        vocabulary: number of tokens, the end among them: 256 for the bytes of a text.
        text: whether tokens are the bytes of UTF-8, so that a predictor answers with strings.

    Raises:
        ArgumentError: a vocabulary below 2; `text` with another vocabulary than 256.

    Examples:
        >>> target, y = qs.targets.Tokens(256, text=True), torch.tensor([[104, 105, 0, 0]])
        >>> round(float(target.loss(torch.zeros(1, 4, 256), y)), 4)  # of two letters and the end
        5.5452
        >>> target.named(y)
        array(['hi'], dtype='<U2')
    """

    vocabulary: int
    text: bool = False

    scores = ("exact_match", "edit_distance")
    averaged = "softmax"

    def __post_init__(self) -> None:
        if self.vocabulary < 2:
            got, do = str(self.vocabulary), "Count the end, which is token 0."
            raise ArgumentError("Tokens(vocabulary)", expected="2 or more", got=got, do=do)
        if self.text and self.vocabulary != 256:
            got, do = f"vocabulary={self.vocabulary}", "Leave `text` out for tokens that are no bytes."
            raise ArgumentError("Tokens(text)", expected="a vocabulary of 256 bytes", got=got, do=do)

    def check(self, argument: str, y: Tensor) -> None:
        low, high = (int(one) for one in torch.aminmax(y)) if y.numel() else (0, 0)
        if y.dtype != torch.int64 or y.ndim not in (2, 3) or low < 0 or high >= self.vocabulary:
            raise LabelError(
                argument,
                expected=f"tokens from 0 to {self.vocabulary - 1}, int64 (examples, length), or of a batch (tasks, ...)",
                got=f"y of dtype {y.dtype} and shape {tuple(y.shape)}, from {low} to {high}",
                do="Fill the rows with 0 behind their ends; strings become tokens by `tasks.Strings(length).pairs`.",
            )

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        return prediction.shape == (*y.shape, self.vocabulary)

    def outputs(self, y: Tensor) -> str:
        return f"{(*y.shape, self.vocabulary)}: a row of {self.vocabulary} logits for each token"

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        loss, counts = self._loss(prediction, y)
        return loss.sum(1) / counts.sum(1)

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        loss, counts = self._loss(prediction, y)
        return loss.sum() / counts.sum()

    def read(self, prediction: Tensor) -> Tensor:
        return ended(prediction.argmax(-1))

    def named(self, y: Tensor) -> Tensor | np.ndarray:
        """The tokens, or strings (n,) where they are text; bytes that are no UTF-8 become the character U+FFFD."""
        if not self.text:
            return y
        return np.array([bytes(row).partition(b"\0")[0].decode(errors="replace") for row in ended(y).tolist()])

    def probabilities(self, prediction: Tensor) -> Tensor:
        return prediction.softmax(-1)

    def uncertainty(self, prediction: Tensor) -> Tensor:
        """The mean entropy of the answer's tokens and of its end."""
        counts = counted(self.read(prediction))
        return (entropy(self.probabilities(prediction)) * counts).sum(1) / counts.sum(1)

    def _loss(self, prediction: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each token and whether it counts, each (n, length)."""
        loss, counts = F.cross_entropy(prediction.movedim(-1, 1), y, reduction="none"), counted(y)
        return loss * counts, counts


def counted(y: Tensor) -> Tensor:
    """Which tokens are of an answer or its end: all up to the first end."""
    ends = (y == END).long()
    return ends.cumsum(-1) - ends == 0


def ended(y: Tensor) -> Tensor:
    """The tokens with nothing behind the first end."""
    return y.where(counted(y), END)


def edit_distance(one: Tensor, other: Tensor) -> Tensor:
    """The least number of tokens inserted, left out or replaced that make the one answer the other: (n,), for y (n, length).

        d(i, j)  =  min( d(i-1, j) + 1,  d(i, j-1) + 1,  d(i-1, j-1) + [a_i != b_j] )                                (1)
                 =  j + min_{k <= j} ( c(i, k) - k ),    c(i, k) the least of (1) without d(i, j-1) + 1              (2)

    Source: Levenshtein 1966; (2) computes a row at once.
    """
    n, length = one.shape
    row = torch.arange(other.shape[1] + 1, device=one.device)
    column, rows = row.expand(n, -1), [row.expand(n, -1)]
    for i in range(length):
        before = rows[-1]
        replaced = before[:, :-1] + (one[:, i : i + 1] != other).long()
        c = torch.cat([before[:, :1] + 1, torch.minimum(before[:, 1:] + 1, replaced)], 1)  # (1)
        rows.append((c - column).cummin(1).values + column)  # (2)
    sizes = [(counted(y) & (y != END)).sum(1) for y in (one, other)]
    at = torch.stack(rows, 1).gather(1, sizes[0][:, None, None].expand(-1, 1, len(row)))[:, 0]
    return at.gather(1, sizes[1][:, None])[:, 0]
