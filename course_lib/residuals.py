"""Convolutions that look away from content: what is left when each pixel is predicted by others.

Traces of processing are faint and content is loud. A residual, a pixel minus what its neighbours
say it should be, keeps the first and drops the second. SRM filters are residuals written down by
hand, Bayar's convolution learns its own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SRM = torch.zeros(3, 5, 5)
"""Three residuals of the spatial rich model: (3, 5, 5), each sums to zero."""
SRM[0, 1:4, 1:4] = torch.tensor([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]]) / 4.0
SRM[1] = (
    torch.tensor(
        [
            [-1, 2, -2, 2, -1],
            [2, -6, 8, -6, 2],
            [-2, 8, -12, 8, -2],
            [2, -6, 8, -6, 2],
            [-1, 2, -2, 2, -1],
        ]
    )
    / 12.0
)
SRM[2, 2, 1:4] = torch.tensor([1.0, -2.0, 1.0]) / 2

SMALLEST = 1e-2
"""Smallest sum of neighbours' weights by which Bayar's convolution divides."""


class SRMConv2d(nn.Module):
    """Apply every SRM filter to every channel: (n, c, h, w) to (n, 3 c, h, w); nothing is learned.

    Borders are repeated, so that a flat picture leaves nothing anywhere.

    Parameters
    ----------
    channels : int

    Source: J. Fridrich and J. Kodovský, "Rich models for steganalysis of digital images", IEEE TIFS
    2012; the three chosen by P. Zhou et al., "Learning rich features for image manipulation
    detection", CVPR 2018.
    """

    kernels: Tensor

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("kernels", SRM[:, None].repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the residuals of each channel, one channel after the other."""
        wide = F.pad(x, (2, 2, 2, 2), mode="replicate")
        return F.conv2d(wide, self.kernels.to(x), groups=self.channels)


def bayar_kernels(neighbours: Tensor, smallest: float = SMALLEST) -> Tensor:
    """Make kernels that predict a pixel from its neighbours and subtract it.

    Parameters
    ----------
    neighbours : (..., k² - 1) Tensor
        Free weights of all places but the middle, row by row.
    smallest : float
        Where they add up to less than this in absolute value, they are divided by it instead of by
        their sum, and what is missing is shared out evenly. Bayar's rule divides by the sum, and
        blows up where that passes zero.

    Returns
    -------
    (..., k, k) Tensor
        -1 in the middle; the others add up to 1.

    Source: B. Bayar and M. C. Stamm, "Constrained convolutional neural networks", IEEE TIFS 2018,
    equation 1 and algorithm 1.
    """
    count = neighbours.shape[-1]
    total = neighbours.sum(-1, keepdim=True)
    sign = torch.where(total < 0, -1.0, 1.0).to(total)
    safe = torch.where(total.abs() < smallest, sign * smallest, total)
    divided = neighbours / safe
    divided = divided + (1 - divided.sum(-1, keepdim=True)) / count
    before, after = divided.split([count // 2, count - count // 2], dim=-1)
    side = round((count + 1) ** 0.5)
    kernels = torch.cat([before, -torch.ones_like(total), after], dim=-1)
    return kernels.unflatten(-1, (side, side))


class BayarConv2d(nn.Module):
    """A convolution that can only learn residuals: (n, inputs, h, w) to (n, outputs, h, w).

    The constraint is part of the network, not applied to weights after each step: gradients pass
    it, and nothing is overwritten. Borders are repeated.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    side : int
        Of the kernels in pixels, odd.

    Source: B. Bayar and M. C. Stamm, "Constrained convolutional neural networks", IEEE TIFS 2018.
    """

    def __init__(self, inputs: int = 3, outputs: int = 3, side: int = 5) -> None:
        super().__init__()
        self.border = side // 2
        self.neighbours = nn.Parameter(torch.rand(outputs, inputs, side * side - 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return what the neighbours do not say."""
        wide = F.pad(x, (self.border,) * 4, mode="replicate")
        return F.conv2d(wide, bayar_kernels(self.neighbours).to(x))
