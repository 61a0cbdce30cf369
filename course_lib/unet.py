"""A U-Net: what is seen at a glance is combined with what is seen closely.

Source: O. Ronneberger et al., "U-Net", MICCAI 2015.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 4
"""Sizes at which a picture is looked at, each half of the one before."""


class UNet(nn.Module):
    """Four sizes, two convolutions at each on the way down and up, skips between.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    width : int
        Channels at full size; doubled at each step down.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 16) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(
            _double(before, after) for before, after in zip([inputs, *sizes], sizes, strict=False)
        )
        self.up = nn.ModuleList(
            _double(deep + flat, flat) for flat, deep in itertools.pairwise(sizes)
        )
        self.head = nn.Conv2d(width, outputs, 1)
        # Convolutions on processors are twice as fast with channels side by side in memory.
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h, w); sides divide by 8."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for level in reversed(range(len(self.up))):
            enlarged = F.interpolate(x, scale_factor=2, mode="nearest")
            x = self.up[level](torch.cat([enlarged, skips[level]], dim=1))
        made: Tensor = self.head(x)
        return made


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
