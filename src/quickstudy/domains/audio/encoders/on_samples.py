"""The networks of recordings by their names on the command line: from samples on, at the rate of the tasks."""

from __future__ import annotations

from quickstudy.arguments import PositiveInt
from quickstudy.domains.audio.encoders.cepstra import Cepstra
from quickstudy.domains.audio.encoders.log_mel import LogMel
from quickstudy.domains.audio.encoders.mel_conv4 import MelConv4
from quickstudy.domains.audio.encoders.tc_resnet import TCResNet
from quickstudy.domains.audio.encoders.word_conv import WordConv
from quickstudy.models.chain import Chain


def tc_resnet(
    ways: PositiveInt | None = None, rate: PositiveInt = 16000, mels: PositiveInt = 40, kernel: PositiveInt = 9
) -> Chain:
    """`TCResNet` on `LogMel`: (examples, samples) -> (examples, ways); features where `ways` is None."""
    return Chain(LogMel(rate, mels), TCResNet(mels, ways, kernel=kernel))


def mel_conv4(
    ways: PositiveInt | None = None, rate: PositiveInt = 16000, mels: PositiveInt = 40, channels: PositiveInt = 64
) -> Chain:
    """`MelConv4` on `LogMel`: (examples, samples) -> (examples, ways); features where `ways` is None."""
    return Chain(LogMel(rate, mels), MelConv4(mels, ways, channels))


def word_conv(
    rate: PositiveInt = 16000, coefficients: PositiveInt = 12, parts: PositiveInt = 24, width: PositiveInt = 64
) -> Chain:
    """`WordConv` on `Cepstra`, an embedding for learners that compare: (examples, samples) -> (examples, features)."""
    return Chain(Cepstra(rate, coefficients, parts), WordConv(coefficients, parts, width))
