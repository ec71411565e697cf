"""ChangeTempo: the same words at another pace."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.domains.audio.augmentation.recordings import Between, Drawn, RecordingAugmentation, check_between, uniform
from quickstudy.domains.audio.augmentation.vocoder import stretched


@checked
@dataclass(frozen=True)
class ChangeTempo(RecordingAugmentation):
    """Each recording r times as fast at the same pitch, by a phase vocoder. What is slower may be cut at its end.

    Args:
        rate: r is uniform between the two.
        drawn: for each "example", or once for a "task".

    Raises:
        ArgumentError: rates that are not in order, or not above 0.

    Examples:
        >>> x, y = torch.randn(40, 4000), torch.arange(40) // 10
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=2, queries=5, augment=[qs.tasks.ChangeTempo()])
        >>> tasks.sample(2).support.x.shape
        torch.Size([2, 2, 4000])
    """

    rate: Between = (0.8, 1.25)
    drawn: Drawn = "example"  # type: ignore[misc]

    def __post_init__(self) -> None:
        check_between("ChangeTempo(rate)", self.rate, 0.0)

    def draw(self, n: int, samples: int, generator: torch.Generator) -> Tensor:
        return uniform(self.rate, (n,), generator)

    def applied(self, x: Tensor, draws: Tensor) -> Tensor:
        return stretched(x, draws, x.shape[1])
