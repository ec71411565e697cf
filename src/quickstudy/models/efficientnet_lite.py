"""EfficientNet-Lite0: inverted bottlenecks with ReLU6 and no squeeze-and-excitation, for photographs.

x  ->  3x3 convolution, stride 2  ->  16 bottlenecks  ->  1x1 convolution to 1280  ->  mean over places

bottleneck:   1x1 convolution, wider by `expand`  ->  k x k convolution of each channel  ->  1x1 convolution,    + x where it fits

Source: Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite variant is from
the TensorFlow repository, tpu/models/official/efficientnet/lite, 2020.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

EPSILON, FEATURES = 1e-3, 1280


class Stage(NamedTuple):
    """Bottlenecks of one width; only the first has the stride."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class Convolution(nn.Module):
    """A convolution padded as TensorFlow does ("same"), batch norm, and ReLU6 if `active`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, active: bool = True):
        super().__init__()
        self.active = active
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, inputs, height, width) -> (examples, outputs, ceil(height / stride), ceil(width / stride))."""
        z = self.norm(self.conv(same(x, self.conv.kernel_size[0], self.conv.stride[0])))
        return F.relu6(z) if self.active else z


class Bottleneck(nn.Module):
    """An inverted bottleneck."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int):
        super().__init__()
        wide = inputs * expand
        self.skips = stride == 1 and inputs == outputs
        self.expand = None if expand == 1 else Convolution(inputs, wide, 1)
        self.depthwise = Convolution(wide, wide, kernel, stride, groups=wide)
        self.project = Convolution(wide, outputs, 1, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, inputs, height, width) -> (examples, outputs, ceil(height / stride), ceil(width / stride))."""
        z = self.project(self.depthwise(x if self.expand is None else self.expand(x)))
        return z + x if self.skips else z


class EfficientNetLite0(nn.Module):
    """An embedding of photographs: (examples, 3, height, width) -> (examples, 1280); 224 pixels a side in its training.

    It has random weights; `qs.tasks.efficientnet_lite0` gives one trained on ImageNet.

    Examples:
        >>> qs.models.EfficientNetLite0()(torch.randn(2, 3, 64, 64)).shape
        torch.Size([2, 1280])
    """

    features = FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, 32, 3, stride=2)
        blocks, width = [], 32
        for stage in STAGES:
            for repeat in range(stage.repeats):
                stride = 1 if repeat else stage.stride
                blocks.append(Bottleneck(width, stage.channels, stage.kernel, stride, stage.expand))
                width = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = Convolution(width, FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, 3, height, width) -> (examples, 1280)."""
        return self.head(self.blocks(self.stem(x))).mean((2, 3))


def same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """x padded so that a convolution gives ceil(size / stride); an odd pixel goes to the right and to the bottom."""
    total = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
    (top, bottom), (left, right) = ((one // 2, one - one // 2) for one in total)
    return F.pad(x, (left, right, top, bottom)) if any(total) else x
