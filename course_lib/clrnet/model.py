"""CLR-Net: an invertible network that hides a picture in itself, and what stands beside it.

Source: Q. Ying et al., "Robust Image Protection Countering Cropping Manipulation" (2022), section
III-B.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.attacks.jpeg import TO_YCBCR
from course_lib.clrnet.transport import Transport
from course_lib.errors import UsageError
from course_lib.invertible import AffineCoupling, InvertibleUNet, channels_last
from course_lib.residuals import BayarConv2d
from course_lib.unet import UNet

NULL = 0.0
"""What the fourth channel should be on the way out, and is taken for on the way back."""
SMALLEST_CROP = 0.3
"""Share of a side that the localizer takes any crop to have kept, at least."""
FEATURES = 3, 4, 5
"""Layers of the pre-processor whose features are compared (Eq. 8), counted from 1."""
START = 0.01
"""First factor of what a coupling adds, where spectral normalisation keeps it from being small: a
network that begins by changing pictures more than it may has to unlearn that first."""


class Gain(nn.Module):
    """Multiply by one number that is learned, as a multiple of the first."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.start = start
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        return self.start * self.factor * x


class Generator(nn.Module):
    """Protect pictures forwards, and bring back what was cut away backwards: one set of weights.

    Parameters
    ----------
    down, up : sequence of int
        Couplings after each Haar step, as in `InvertibleUNet`. The paper has four each.
    width, blocks : int
        Of the subnets.
    bounded : bool
        Spectral normalisation of each convolution in the couplings.
    split : bool
        Whether the fourth channel is at last given relative to what the picture tells of it.
    transport : mapping, optional
        Settings of a `Transport` between the steps down and up; the paper has none.
    told : bool
        Whether the fourth channel says on the way back what is lost: 1 there, `NULL` elsewhere. The
        paper feeds `NULL` everywhere, which is the same for a picture that is whole.
    """

    def __init__(
        self,
        down: Sequence[int] = (4, 4, 4),
        up: Sequence[int] = (4, 4, 4),
        width: int = 64,
        blocks: int = 1,
        bounded: bool = True,
        split: bool = True,
        transport: Mapping[str, Any] | None = None,
        told: bool = False,
    ) -> None:
        super().__init__()
        self.told = told
        self.net = InvertibleUNet(3, 1, down, up, width, blocks, bounded=bounded, split=split)
        if bounded:
            for layer in self.net.layers:
                if isinstance(layer, AffineCoupling):
                    layer.to_first.append(Gain(START))
                    layer.to_second.append(Gain(START))
        if transport is not None:
            middle = len(down) + sum(down)
            self.net.layers.insert(middle, Transport(level=len(down), **transport))
        self.to(memory_format=torch.channels_last)

    def protect(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Hide (f_prt): I becomes X, and a channel that is thrown away.

        Parameters
        ----------
        pictures : (n, 3, h, w) Tensor in [0, 1]

        Returns
        -------
        protected : (n, 3, h, w) Tensor
            Not yet clipped to [0, 1].
        rest : (n, 1, h, w) Tensor
            Should be `NULL`.
        """
        both = torch.cat([pictures, edges(pictures)], dim=1)
        protected, rest = self.net(channels_last(both)).split([3, 1], dim=1)
        return protected, rest

    def recover(self, canvas: Tensor, lost: Tensor) -> Tensor:
        """Go back (f_rec): from what is left, in its place, to the whole picture.

        Parameters
        ----------
        canvas : (n, 3, h, w) Tensor in [0, 1]
            0 where something was cut away.
        lost : (n, 1, h, w) Tensor
            1 there, 0 elsewhere.

        Returns
        -------
        (n, 3, h, w) Tensor
            Not clipped.
        """
        fourth = lost if self.told else torch.full_like(lost, NULL)
        return self.back(torch.cat([canvas, fourth], dim=1), lost)[:, :3]

    def back(self, y: Tensor, lost: Tensor | None = None) -> Tensor:
        """Undo all layers, the last one first: (n, 4, h, w) to the same shape."""
        y = channels_last(y)
        for layer in reversed(self.net.layers):
            given = (y, lost) if isinstance(layer, Transport) else (y,)
            y = layer.inverse(*given)  # type: ignore[operator]
        return y


class Unprotected(nn.Module):
    """The ablation without protection (X = I): what is lost can only be guessed.

    Parameters
    ----------
    width : int
        Channels of the U-Net that guesses, at full size.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.recovering = UNet(4, 3, width)

    def protect(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Leave pictures as they are; there is no rest."""
        return pictures, torch.full_like(pictures[:, :1], NULL)

    def recover(self, canvas: Tensor, lost: Tensor) -> Tensor:
        """Add what the network makes of what is left; it is told what is lost."""
        found: Tensor = self.recovering(channels_last(torch.cat([canvas, lost], dim=1)))
        return canvas + found


class SeparateNetworks(Unprotected):
    """The ablation: one U-Net protects and another recovers; nothing makes them inverses.

    Parameters
    ----------
    width : int
        Channels of both at full size.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__(width)
        self.hiding = UNet(4, 3, width)
        with torch.no_grad():
            self.hiding.head.weight *= 0.1

    def protect(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Add what the first network makes of a picture; there is no rest."""
        both = torch.cat([pictures, edges(pictures)], dim=1)
        rest = torch.full_like(pictures[:, :1], NULL)
        return pictures + self.hiding(channels_last(both)), rest


class Preprocessor(nn.Module):
    """Make pictures alike that went through unlike attacks (P): six convolutions.

    All but the last are followed by a leaky ReLU and instance normalisation, and the last adds to
    the picture, which therefore starts nearly unchanged. The same network sees both views of a
    pair.

    Parameters
    ----------
    width : int
        Channels.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        sizes = [3, *[width] * 5]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, padding=1),
                nn.LeakyReLU(0.2),
                nn.InstanceNorm2d(after, affine=True),
            )
            for before, after in itertools.pairwise(sizes)
        )
        self.last = nn.Conv2d(width, 3, 3, padding=1)
        with torch.no_grad():
            self.last.weight *= 0.03
            assert self.last.bias is not None
            self.last.bias.zero_()
        self.to(memory_format=torch.channels_last)

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Process views.

        Parameters
        ----------
        pictures : (n, 3, h, w) Tensor in [0, 1]
            Of any size.

        Returns
        -------
        processed : (n, 3, h, w) Tensor
        features : list of (n, width, h, w) Tensor
            φ of layers 3 to 5.
        """
        features = []
        x = channels_last(pictures)
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number in FEATURES:
                features.append(x)
        return pictures + self.last(x), features


class Localizer(nn.Module):
    """Say where a crop was, and whether it is one (C).

    A plain and a Bayar convolution see the view, stretched to a fixed size; residual blocks halve
    it, and a perceptron of four layers, which knows which feature is where, reads the box.

    Parameters
    ----------
    side : int
        To which views are stretched, in pixels; divides by 16.
    width : int
        Channels after the first convolution.
    hidden : int
        Of the perceptron.
    """

    def __init__(self, side: int = 128, width: int = 16, hidden: int = 128) -> None:
        super().__init__()
        self.side = side
        self.plain = nn.Conv2d(3, width - 3, 5, padding=2)
        self.bayar = BayarConv2d(3, 3)
        sizes = [width, 2 * width, 4 * width, 4 * width]
        self.levels = nn.Sequential(
            Halving(width, width),
            *(Halving(before, after) for before, after in itertools.pairwise(sizes)),
            nn.Conv2d(sizes[-1], 16, 1),
        )
        inputs = 16 * (side // 16) ** 2
        layers: list[nn.Module] = []
        for before, after in [(inputs, hidden), (hidden, hidden), (hidden, hidden)]:
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
        self.head = nn.Sequential(*layers, nn.Linear(hidden, 5))
        self.to(memory_format=torch.channels_last)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Locate.

        Parameters
        ----------
        views : (n, 3, h, w) Tensor in [0, 1]

        Returns
        -------
        boxes : (n, 4) Tensor
            M̂ as (x1, y1, x2, y2), fractions of the original; always a box within it.
        scores : (n,) Tensor
            Logits of S: above 0 is *cropped*.
        """
        if views.shape[-2:] != (self.side, self.side):
            views = F.interpolate(views, (self.side,) * 2, mode="bilinear", antialias=True)
        seen = channels_last(2 * views - 1)
        # What a pixel does not share with its neighbours is faint.
        x = torch.cat([self.plain(seen), 10 * self.bayar(seen)], dim=1)
        found = self.head(self.levels(x).flatten(1))
        sides = SMALLEST_CROP + (1 - SMALLEST_CROP) * torch.sigmoid(found[:, 2:4] + 1)
        corner = torch.sigmoid(found[:, :2]) * (1 - sides)
        return torch.cat([corner, corner + sides], dim=1), found[:, 4]


class Halving(nn.Module):
    """A residual block that halves a picture's sides: (n, c, h, w) to (n, d, h / 2, w / 2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(4, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.short = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Halve."""
        found = self.second(F.leaky_relu(self.norm(self.first(x)), 0.2))
        return F.leaky_relu(self.short(F.avg_pool2d(x, 2)) + found, 0.2)


def edges(pictures: Tensor) -> Tensor:
    """Draw where luma changes: (n, 3, h, w) to (n, 1, h, w), 0 where it is flat.

    Length of the gradient, by Sobel's differences. The paper does not say what its fourth channel
    is.
    """
    luma = (pictures * TO_YCBCR[0].to(pictures).view(3, 1, 1)).sum(1, keepdim=True)
    wide = F.pad(luma, (1, 1, 1, 1), mode="replicate")
    sobel = wide.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    along = F.conv2d(wide, torch.stack([sobel, sobel.T])[:, None])
    # Without the small number the gradient would be infinite where a picture is flat.
    return (along.square().sum(1, keepdim=True) + 1e-6).sqrt() - 1e-3


GENERATORS = {
    "invertible": Generator,
    "separate": SeparateNetworks,
    "unprotected": Unprotected,
}


def generator(config: Mapping[str, Any]) -> Any:
    """Make the generator that a configuration describes, with its first weights.

    Parameters
    ----------
    config : mapping
        ``network`` is a key of `GENERATORS`; the rest are its settings.

    Raises
    ------
    UsageError
        When there is no such network.
    """
    settings = dict(config)
    kind = settings.pop("network", "invertible")
    if kind not in GENERATORS:
        raise UsageError(f"network {kind!r} is unknown: choose one of {', '.join(GENERATORS)}.")
    return GENERATORS[kind](**settings)
