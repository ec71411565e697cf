"""MelConv4: the field's small image network on what `LogMel` gives, as MetaAudio and others have it."""

from __future__ import annotations

from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.errors import ArgumentError
from quickstudy.models.conv4 import Block
from quickstudy.randomness import seeded


@checked
class MelConv4(nn.Module):
    """Four blocks of Conv4 on (mels, frames) as an image of one channel, the mean over time, and a linear head.

    Args:
        mels: bands of its input, 16 or more: each block halves them.
        ways: outputs; None: no head, the network is an embedding of `channels * (mels // 16)` features.
        channels: of every block.
        seed: of the initial weights.

    Raises:
        ArgumentError: a size below 1; fewer than 16 bands.

    Source: Heggan et al., "MetaAudio: A Few-Shot Audio Classification Benchmark", ICANN 2022, section 4; there the features are
    those of all times, here their mean, so that recordings of any length give as many.

    Examples:
        >>> from quickstudy.domains.audio.encoders import LogMel, MelConv4
        >>> x = LogMel()(torch.randn(2, 16000))
        >>> MelConv4(ways=5, channels=16)(x).shape, MelConv4(channels=16)(x).shape
        (torch.Size([2, 5]), torch.Size([2, 32]))
    """

    def __init__(self, mels: PositiveInt = 40, ways: PositiveInt | None = None, channels: PositiveInt = 64, seed: int = 0):
        super().__init__()
        if mels < 16:
            raise ArgumentError("mels", expected="16 bands or more, as four blocks halve them", got=str(mels), do="Give 40.")
        self.mels, self.ways, self.channels, self.seed = mels, ways, channels, seed
        self.features = channels * (mels // 16)
        with seeded(seed):
            self.blocks = nn.Sequential(*(Block(inputs, channels) for inputs in (1, channels, channels, channels)))
            self.head = None if ways is None else nn.Linear(self.features, ways)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, mels, frames) -> (examples, ways), or (examples, features); 16 frames or more."""
        z = self.blocks(x[:, None]).mean(-1).flatten(1)
        return z if self.head is None else self.head(z)
