"""Pieces: a text as the numbers of the pieces that a model's tokenizer makes of it, for a model that is trained itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.errors import CheckpointError, ShapeError
from quickstudy.tasks.distribution.recorded import RecordedPreprocessing


@checked
@dataclass(frozen=True)
class Pieces(RecordedPreprocessing):
    """The preprocessing of tasks on the pieces of texts: it says whose tokenizer made them.

    Args:
        tokenizer: the key of the encoder.
        pieces: of a text at most.

    Examples:
        >>> from quickstudy.domains.text.pieces import Pieces
        >>> {name: one.tolist() for name, one in Pieces("3f2a", 4).apply(torch.tensor([[2, 9, 3, -1]])).items()}
        {'ids': [[2, 9, 3, 0]], 'mask': [[True, True, True, False]]}
    """

    asked: ClassVar[tuple[str, ...]] = ("tokenizer", "pieces")
    untrained: ClassVar[str] = "the pieces"

    tokenizer: str
    pieces: PositiveInt

    def plain_features(self) -> nn.Module:
        """The frequencies of pieces."""
        from quickstudy.domains.text.encoders import NGramFrequencies

        return NGramFrequencies(features=0, n=(1,), lower=False)

    def apply(self, x: Tensor) -> dict[str, Tensor]:
        """Numbers (..., length), -1 behind the last piece, as a learner sees them: ids, int64, and mask, bool, of that shape.

        Raises:
            ShapeError: more pieces than the model reads.
        """
        if x.shape[-1] > self.pieces:
            expected, do = f"at most {self.pieces} pieces", "Make them with the encoder's `pieces`."
            raise ShapeError("x", expected=expected, got=str(tuple(x.shape)), do=do)
        return {"ids": x.clamp(min=0).long(), "mask": x >= 0}

    def check(self, key: str) -> None:
        """Refuse an encoder that is not the one of the tasks.

        Raises:
            CheckpointError: another one, or another version of it.
        """
        if key != self.tokenizer:
            raise CheckpointError(
                "encoder",
                expected=f"the encoder with the key {self.tokenizer}, whose pieces the learner was trained on",
                got=f"one with the key {key}",
                do="Take the same files: another vocabulary numbers other pieces.",
            )
