"""TC-ResNet: convolutions along time, for which the bands of frequency are channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.errors import ArgumentError
from quickstudy.randomness import seeded


class Block(nn.Module):
    """h' = relu( norm conv relu norm conv_stride h + norm conv1_stride h );  the last term is h where its shape stays."""

    def __init__(self, inputs: PositiveInt, outputs: PositiveInt, kernel: PositiveInt, stride: PositiveInt):
        super().__init__()
        self.first = nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.first_norm = nn.BatchNorm1d(outputs)
        self.second = nn.Conv1d(outputs, outputs, kernel, 1, kernel // 2, bias=False)
        self.second_norm = nn.BatchNorm1d(outputs)
        same = inputs == outputs and stride == 1
        self.across = None if same else nn.Conv1d(inputs, outputs, 1, stride, bias=False)
        self.across_norm = None if same else nn.BatchNorm1d(outputs)

    def forward(self, h: Tensor) -> Tensor:
        """(examples, inputs, frames) -> (examples, outputs, ceil(frames / stride))."""
        z = self.second_norm(self.second(F.relu(self.first_norm(self.first(h)))))
        return F.relu(z + (h if self.across is None or self.across_norm is None else self.across_norm(self.across(h))))


@checked
class TCResNet(nn.Module):
    """A residual network along time: a convolution of 3 frames, blocks, the mean over time, and a linear head.

    Args:
        mels: bands of its input.
        ways: outputs; None: no head, the network is an embedding of `channels[-1]` features.
        channels: of the first convolution, and of each block: TC-ResNet8 has three.
        strides: of each block.
        kernel: frames of a block's convolutions; an odd number.
        pool: False: an answer for each frame that is left, as labels of a stream and CTC need it.
        seed: of the initial weights.

    Raises:
        ArgumentError: a size below 1; an even kernel; strides that are not one for each block.

    Source: Choi et al., "Temporal Convolution for Real-time Keyword Spotting on Mobile Devices", Interspeech 2019, section 3.2.
    Without its dropout; the convolutions that go around a block have no bias, as the authors' code has it.

    Examples:
        >>> from quickstudy.domains.audio.encoders import LogMel, TCResNet
        >>> x = LogMel()(torch.randn(2, 16000))
        >>> TCResNet(ways=5)(x).shape, TCResNet()(x).shape, TCResNet(ways=5, pool=False)(x).shape
        (torch.Size([2, 5]), torch.Size([2, 48]), torch.Size([2, 13, 5]))
    """

    def __init__(
        self,
        mels: PositiveInt = 40,
        ways: PositiveInt | None = None,
        channels: Sequence[int] = (16, 24, 32, 48),
        strides: Sequence[int] = (2, 2, 2),
        kernel: PositiveInt = 9,
        pool: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        if kernel % 2 == 0:
            raise ArgumentError("kernel", expected="an odd number", got=str(kernel), do=f"Give {kernel + 1}.")
        if len(strides) != len(channels) - 1 or min((*channels, *strides), default=0) < 1:
            expected = "channels of the first convolution and of each block, and a stride of 1 or more for each block"
            got = f"channels={tuple(channels)}, strides={tuple(strides)}"
            raise ArgumentError("channels, strides", expected=expected, got=got, do="Leave them out for TC-ResNet8.")
        self.mels, self.ways, self.channels, self.strides = mels, ways, tuple(channels), tuple(strides)
        self.kernel, self.pool, self.seed = kernel, pool, seed
        self.features = self.channels[-1]
        sizes = zip(self.channels, self.channels[1:], self.strides, strict=False)
        with seeded(seed):
            self.first = nn.Conv1d(mels, self.channels[0], 3, padding=1, bias=False)
            self.norm = nn.BatchNorm1d(self.channels[0])
            self.blocks = nn.Sequential(*(Block(before, after, kernel, stride) for before, after, stride in sizes))
            self.head = None if ways is None else nn.Linear(self.features, ways)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, mels, frames) -> (examples, ways), or (examples, frames left, ways); features without a head."""
        h = self.blocks(F.relu(self.norm(self.first(x)))).transpose(1, 2)
        h = h.mean(1) if self.pool else h
        return h if self.head is None else self.head(h)
