"""Transcripts: a string for each example, written down frame by frame without anyone saying when its characters are.

    c(a)        =  the path a (frames,) with its repeats merged and its blanks taken out:   "--55-77-7"  ->  "577"
    p(y | x)    =  sum over all paths a with c(a) = y  of  prod_t p_t(a_t)                                             (1)
    l           =  (0, y_1, 0, y_2, ..., y_L, 0)                            the string with a blank, 0, around each character
    alpha_1(s)  =  p_1(l_s)   for s = 0, 1;   0 else
    alpha_t(s)  =  p_t(l_s) ( alpha_{t-1}(s) + alpha_{t-1}(s-1) + [l_s != 0, l_s != l_{s-2}] alpha_{t-1}(s-2) )        (2)
    p(y | x)    =  alpha_T(2L) + alpha_T(2L-1)                                                                         (3)

(2) is computed on logarithms by operators of torch alone, so that it can be differentiated twice and run under vmap; torch's own
ctc_loss has no second derivative.

Source: Graves et al., "Connectionist Temporal Classification", ICML 2006, equations 3, 6 to 8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from quickstudy.errors import ArgumentError, LabelError
from quickstudy.targets.target import Target, entropy
from quickstudy.targets.tokens import END, counted, ended

BLANK = END  # what a frame says where it says no character; and what fills a row behind a string
IMPOSSIBLE = -1e30  # the logarithm of 0, whose differences are numbers


@dataclass(frozen=True)
class Transcripts(Target):
    """A string for each example: y int64 (n, length), 0 behind its end; logits (n, frames, 1 + characters), of which 0 is blank.

    The loss is the negative logarithm of (1), divided by the number of characters. What is read is the string of the likeliest
    path (greedy decoding), and its score the character error rate. A network may have any number of frames from twice the
    length on, so that also a string of equal characters, with blanks between them, has a path.

    Args:
        characters: those that occur, each once; character i is the token i + 1.

    Raises:
        ArgumentError: no character, or one twice.

    Examples:
        >>> target = qs.targets.Transcripts("0123456789")
        >>> y = target.tokens(["577", "0"])
        >>> y
        tensor([[6, 8, 8],
                [1, 0, 0]])
        >>> path = torch.tensor([[0, 6, 6, 0, 8, 8, 0, 8], [0, 0, 1, 1, 1, 0, 0, 0]])
        >>> logits = 9.0 * torch.nn.functional.one_hot(path, 11)
        >>> target.named(target.read(logits))
        array(['577', '0'], dtype='<U3')
        >>> bool(target.loss(logits, y) < target.loss(logits, y.flip(0)))
        True
    """

    characters: str

    scores = ("character_error_rate",)
    averaged = "softmax"

    def __post_init__(self) -> None:
        if not self.characters or len(set(self.characters)) < len(self.characters):
            raise ArgumentError(
                "Transcripts(characters)", expected="characters, each once", got=repr(self.characters), do="'0123456789', say."
            )

    @property
    def vocabulary(self) -> int:
        """Outputs of each frame: a blank, and the characters."""
        return 1 + len(self.characters)

    def tokens(self, strings: list[str]) -> Tensor:
        """y of strings (n, length).

        Raises:
            LabelError: a character that is not among `characters`.
        """
        y = torch.zeros(len(strings), max(map(len, strings), default=0), dtype=torch.int64)
        for row, string in enumerate(strings):
            for place, character in enumerate(string):
                if character not in self.characters:
                    do = "Write it in these, or give Transcripts more."
                    got = f"{character!r} in {string!r}"
                    raise LabelError(f"strings[{row}]", expected=f"characters of {self.characters!r}", got=got, do=do)
                y[row, place] = 1 + self.characters.index(character)
        return y

    def check(self, argument: str, y: Tensor) -> None:
        low, high = (int(one) for one in torch.aminmax(y)) if y.numel() else (0, 0)
        if y.dtype != torch.int64 or y.ndim not in (2, 3) or y.shape[-1] < 1 or low < 0 or high >= self.vocabulary:
            raise LabelError(
                argument,
                expected=f"tokens from 0 to {self.vocabulary - 1}, int64 (examples, length), or of a batch (tasks, ...)",
                got=f"y of dtype {y.dtype} and shape {tuple(y.shape)}, from {low} to {high}",
                do="Make it of strings by `Transcripts(...).tokens(strings)`.",
            )

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        if prediction.ndim != y.ndim + 1 or prediction.shape[:-2] != y.shape[:-1]:
            return False
        return prediction.shape[-1] == self.vocabulary and prediction.shape[-2] >= 2 * y.shape[-1] - 1

    def outputs(self, y: Tensor) -> str:
        shape = f"({', '.join(map(str, y.shape[:-1]))}, frames, {self.vocabulary})"
        return f"{shape}: for each of {2 * y.shape[-1] - 1} frames or more, the logits of the blank and of the characters"

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        return self._surprise(prediction, y) / _lengths(y).clamp(min=1)

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        return self._surprise(prediction, y).sum() / _lengths(y).sum().clamp(min=1)

    def read(self, prediction: Tensor) -> Tensor:
        """c of the likeliest path: (n, frames), 0 behind the end."""
        path = prediction.argmax(-1)
        repeats = torch.cat([torch.zeros_like(path[..., :1]), path[..., :-1]], -1) == path
        kept = (path != BLANK) & ~repeats
        frames = path.shape[-1]
        place = (kept.cumsum(-1) - 1).where(kept, frames)  # what is not kept goes behind all
        return path.new_zeros((*path.shape[:-1], frames + 1)).scatter(-1, place, path * kept)[..., :frames]

    def named(self, y: Tensor) -> Tensor | np.ndarray:
        """The strings (n,)."""
        return np.array(["".join(self.characters[token - 1] for token in row if token) for row in ended(y).tolist()])

    def probabilities(self, prediction: Tensor) -> Tensor:
        return prediction.softmax(-1)

    def uncertainty(self, prediction: Tensor) -> Tensor:
        """The mean entropy of the frames."""
        return entropy(self.probabilities(prediction)).mean(-1)

    def _surprise(self, prediction: Tensor, y: Tensor) -> Tensor:
        """-log p(y | x) of each example: (n,)."""
        log_p, y = prediction.log_softmax(-1), ended(y)
        n, frames, _ = log_p.shape
        l = torch.stack([y, torch.full_like(y, BLANK)], -1).flatten(1)  # noqa: E741 (the paper's letter)
        l = torch.cat([torch.full_like(y[:, :1], BLANK), l], 1)  # noqa: E741
        skips = (l[:, 2:] != BLANK) & (l[:, 2:] != l[:, :-2])
        skip = torch.cat([torch.full_like(l[:, :2], IMPOSSIBLE, dtype=log_p.dtype), _log(skips, log_p)], 1)
        spoken = log_p.gather(-1, l[:, None].expand(n, frames, l.shape[1]))  # log p_t(l_s)
        beginning = _log(torch.arange(l.shape[1], device=l.device) < 2, log_p)
        never = torch.full_like(spoken[:, 0, :2], IMPOSSIBLE)
        alpha = spoken[:, 0] + beginning
        for t in range(1, frames):
            one, two = torch.cat([never[:, :1], alpha[:, :-1]], 1), torch.cat([never, alpha[:, :-2]], 1)
            before = torch.stack([alpha, one, two + skip], -1).clamp(min=IMPOSSIBLE)
            alpha = spoken[:, t] + before.logsumexp(-1)  # (2)
        last = 2 * _lengths(y)[:, None]
        blank, character = alpha.gather(1, last), alpha.gather(1, (last - 1).clamp(min=0))
        character = character.where(last > 0, IMPOSSIBLE)
        return -torch.cat([blank, character], 1).logsumexp(1)  # (3)


def _log(condition: Tensor, like: Tensor) -> Tensor:
    """0 where the condition holds, else the logarithm of 0."""
    return torch.where(condition, 0.0, IMPOSSIBLE).to(like.dtype)


def _lengths(y: Tensor) -> Tensor:
    """Characters of each string."""
    return (counted(y) & (y != END)).sum(-1)
