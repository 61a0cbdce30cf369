"""FG-JPEG: a generator, a controller that tells it the quality, and a predictor that reads it.

Source: Q. Ying et al., "Robust Image Protection Countering Cropping Manipulation" (2022), section
III-C and figure 5.
"""

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from course_lib.attacks.jpeg import padded, to_rgb, to_ycbcr
from course_lib.errors import UsageError
from course_lib.invertible import haar_down, haar_up
from course_lib.residuals import SRM, BayarConv2d, SRMConv2d

BINS = 10, 30, 50, 70, 90, 100
"""Quality factors that the predictor tells apart."""
LEVELS = 4
"""Sizes of the generator, each half of the one before; below them lies one more."""
MODULATED = 3
"""Levels, from the smallest up, whose skips are told the quality."""
SIDE = 2**LEVELS
"""Sides of pictures must divide by this; others are padded."""

Scaling = Literal["bilinear", "haar"]
Norm = Literal["instance", "spectral", "none"]


class Controller(nn.Module):
    """Turn a quality factor into a scale and a shift for each channel of each modulated skip.

    Three layers read the quality, three more for each level make its scales and shifts. It starts
    near scales of 1 and shifts of 0.

    Parameters
    ----------
    channels : sequence of int
        Of the modulated skips.
    width : int
        Of the layers.
    """

    def __init__(self, channels: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.read = _layers([1, width, width, width], last=True)
        self.map = nn.ModuleList(_layers([width, width, width, 2 * each]) for each in channels)

    def forward(self, quality: Tensor) -> list[tuple[Tensor, Tensor]]:
        """(n,) qualities from 1 to 100 to a scale and a shift, (n, c, 1, 1) each, for each skip."""
        read = self.read(quality[:, None] / 50 - 1)
        pairs = [each(read)[..., None, None].chunk(2, dim=1) for each in self.map]
        return [(1 + scale, shift) for scale, shift in pairs]


class Skip(nn.Module):
    """The block in place of a plain skip; Eq. 4 where the controller speaks to it.

    Parameters
    ----------
    channels, kernel : int
    norm : "instance", "spectral" or "none"
    """

    def __init__(self, channels: int, kernel: int, norm: Norm) -> None:
        super().__init__()
        self.block = conv_block(channels, channels, kernel, norm)

    def forward(self, x: Tensor, told: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return a · Conv(x) + b, or Conv(x) where nothing is told."""
        found: Tensor = self.block(x)
        return found if told is None else told[0] * found + told[1]


class Generator(nn.Module):
    """A U-Net of four levels that does to a picture what a JPEG file of some quality would do.

    It works on luma and two colour differences, where files are made, and adds a correction.

    Parameters
    ----------
    sizes : sequence of 5 int
        Channels at full size, at a half, …, and at a sixteenth.
    kernels : sequence of 5 int
        Sides of the convolutions there. At an eighth of the size, Haar's way, a place is a whole
        block of 8×8, and files treat each by itself: 1 is enough.
    scaling : "bilinear" or "haar"
        How sizes change. Bilinear, as in the paper: averages of 2×2 down, interpolation up. Haar,
        as in the released code: nothing is lost on the way down, and a block's 64 waves are
        channels of one place.
    norm : "instance", "spectral" or "none"
        Instance normalisation, as in the paper, takes away how bright and how contrasty a picture
        is, which a quantiser must know; spectral, as in the released code, bounds slopes.
    bands : bool
        With Haar: show each level the picture's own bands beside the features, and let each level
        correct its bands. So a block's waves reach the level that sees whole blocks, and leave it,
        through one linear step.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (8, 24, 64, 256, 256),
        kernels: Sequence[int] = (3, 3, 3, 1, 1),
        scaling: Scaling = "haar",
        norm: Norm = "none",
        bands: bool = True,
    ) -> None:
        super().__init__()
        if scaling not in ("bilinear", "haar") or (bands and scaling != "haar"):
            raise UsageError(
                f"scaling {scaling!r}, bands {bands}: choose bilinear without or haar with bands."
            )
        self.scaling, self.bands = scaling, bands
        grown = 4 if scaling == "haar" else 1
        own = [3 * 4**level if bands else 0 for level in range(LEVELS + 1)]
        steps = range(LEVELS)
        self.enter = conv_block(3, sizes[0], kernels[0], norm)
        self.down = nn.ModuleList(
            conv_block(grown * sizes[k] + own[k + 1], sizes[k + 1], kernels[k + 1], norm)
            for k in steps
        )
        self.link = conv_block(sizes[-1], sizes[-1], kernels[-1], norm)
        self.skips = nn.ModuleList(Skip(sizes[k], kernels[k], norm) for k in steps)
        self.grow = nn.ModuleList(nn.Conv2d(sizes[k + 1], grown * sizes[k], 1) for k in steps)
        self.up = nn.ModuleList(conv_block(2 * sizes[k], sizes[k], kernels[k], norm) for k in steps)
        self.leave = nn.ModuleList(
            _small(nn.Conv2d(sizes[k], 3 * 4**k, kernels[k], padding=kernels[k] // 2))
            for k in range(LEVELS + 1 if bands else 1)
        )
        self.controller = Controller(sizes[LEVELS - MODULATED : LEVELS])
        self.to(memory_format=torch.channels_last)

    def forward(self, pictures: Tensor, quality: Tensor) -> Tensor:
        """Simulate files.

        Parameters
        ----------
        pictures : (n, 3, h, w) Tensor in [0, 1]
            Blocks begin in their corner. Edges are repeated up to whole blocks, as encoders do.
        quality : (n,) Tensor
            1 to 100.

        Returns
        -------
        (n, 3, h, w) Tensor
            Not yet clipped to [0, 1].
        """
        height, width = pictures.shape[-2:]
        # What half precision would round off is as large as what a good file changes.
        with torch.autocast(pictures.device.type, enabled=False):
            ycc = to_ycbcr(255 * padded(pictures.float(), SIDE))
            change = 128 * self._change(ycc / 128 - 1, quality.float())
            return to_rgb(ycc + change)[..., :height, :width] / 255

    def _change(self, picture: Tensor, quality: Tensor) -> Tensor:
        told = [None] * (LEVELS - MODULATED) + self.controller(quality)
        x, own, kept = self.enter(picture), picture, []
        for level in range(LEVELS):
            kept.append(self.skips[level](x, told[level]))
            x = self._halved(x)
            if self.bands:
                own = haar_down(own)
                x = torch.cat([x, own], dim=1)
            x = self.down[level](x)
        x = self.link(x)
        change = self.leave[LEVELS](x) if self.bands else torch.zeros_like(picture)
        for level in reversed(range(LEVELS)):
            x = torch.cat([self._doubled(self.grow[level](x)), kept[level]], dim=1)
            x = self.up[level](x)
            if self.bands or level == 0:
                before = haar_up(change) if self.bands else change
                change = before + self.leave[level](x)
        return change

    # Features take the quicker way: pixels of 2×2 as channels are Haar's bands but for a rotation,
    # which the next convolution learns anyway.
    def _halved(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(x, 2) if self.scaling == "haar" else F.avg_pool2d(x, 2)

    def _doubled(self, x: Tensor) -> Tensor:
        if self.scaling == "haar":
            return F.pixel_shuffle(x, 2)
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Stem(nn.Module):
    """Look at a picture in three ways at once: as it is, through SRM filters, and through Bayar's.

    Parameters
    ----------
    width : int
        Channels of the plain and of Bayar's convolution each.

    Attributes
    ----------
    channels : int
        Of the output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.plain = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.srm = SRMConv2d(3)
        self.bayar = BayarConv2d(3, width)
        self.channels = 2 * width + 3 * len(SRM)
        self.norm = nn.BatchNorm2d(self.channels)

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, h, w) pictures in [0, 1] to (n, channels, h, w)."""
        # Residuals of a good file are single gray levels: half precision would drown them.
        with torch.autocast(pictures.device.type, enabled=False):
            levels = 255 * pictures.float() - 128
            seen = [self.plain(levels), self.srm(levels), self.bayar(levels)]
            found: Tensor = F.relu(self.norm(torch.cat(seen, dim=1)))
        return found


class Predictor(nn.Module):
    """Read the quality factor of a file off its picture: a residual network behind a `Stem`.

    Parameters
    ----------
    width : int
        Channels of the first stage; doubled at each of two steps down.
    blocks : int
        Residual blocks in each of the three stages. With 5 it has 32 layers.
    """

    def __init__(self, width: int = 16, blocks: int = 5) -> None:
        super().__init__()
        self.stem = Stem(width)
        layers: list[nn.Module] = []
        before = self.stem.channels
        for stage in range(3):
            after = width * 2**stage
            for block in range(blocks):
                layers.append(Block(before, after, 2 if stage and not block else 1))
                before = after
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(before, len(BINS))
        self.to(memory_format=torch.channels_last)

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, h, w) pictures in [0, 1] to logits of the `BINS`, (n, 6)."""
        seen = self.stem(pictures.contiguous(memory_format=torch.channels_last))
        logits: Tensor = self.head(self.body(seen).mean((2, 3)))
        return logits


class Block(nn.Module):
    """A residual block: two convolutions, around which the input is led.

    Where it halves the size, what is led around is averaged: no pixel is passed over.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int

    Source: K. He et al., "Deep residual learning for image recognition", CVPR 2016; averages as in
    T. He et al., "Bag of tricks for image classification", CVPR 2019.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        around: list[nn.Module] = [nn.AvgPool2d(stride, ceil_mode=True)] if stride > 1 else []
        if inputs != outputs:
            around.append(nn.Conv2d(inputs, outputs, 1, bias=False))
        self.around = nn.Sequential(*around)

    def forward(self, x: Tensor) -> Tensor:
        """Add what is found to the input."""
        return F.relu(self.inner(x) + self.around(x))


def conv_block(inputs: int, outputs: int, kernel: int, norm: Norm) -> nn.Sequential:
    """Make a block as in the paper's pre-processor: convolution, leaky ReLU, normalisation."""
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    if norm == "spectral":
        spectral_norm(convolution)
    elif norm not in ("instance", "none"):
        raise UsageError(f"norm {norm!r} is unknown: choose instance, spectral or none.")
    layers: list[nn.Module] = [convolution, nn.LeakyReLU(0.2)]
    if norm == "instance":
        layers.append(nn.InstanceNorm2d(outputs, affine=True))
    return nn.Sequential(*layers)


def _layers(sizes: Sequence[int], last: bool = False) -> nn.Sequential:
    """Make linear layers with leaky ReLUs between, and one after the last if wanted."""
    made: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        made += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*(made if last else made[:-1]))


def _small(convolution: nn.Conv2d) -> nn.Conv2d:
    """Start a correction near nothing: a tenth of the usual weights, and no bias."""
    with torch.no_grad():
        convolution.weight *= 0.1
        assert convolution.bias is not None
        convolution.bias.zero_()
    return convolution
