"""RWN: an invertible network that hides a watermark in a picture, and what stands beside it.

Source: Q. Ying et al., "No way to crop: on robust image crop localization" (2022), section III-B.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from course_lib.attacks.filters import blur_matrix
from course_lib.errors import UsageError
from course_lib.invertible import InvertibleUNet, Residual, channels_last, haar_down, haar_up
from course_lib.rwn.tamper import FAINT
from course_lib.unet import UNet

NULL = 0.5
"""What stands for the rest on the way back (R̂), and what the rest should be (section III-A)."""

SCALES = 3.0, 8.0
"""σ in pixels of the neighbourhoods in which `TamperNet` is shown how alike two watermarks are."""

Attack = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Takes protected pictures; returns what becomes of them, stretched back to their size, and the
boxes that were cut out, (n, 4)."""


class Passage(NamedTuple):
    """A watermark's way through a picture and back.

    Attributes
    ----------
    protected : (n, 3, h, w) Tensor
        I_M.
    rest : (n, 1, h, w) Tensor
        R, which is thrown away.
    seen : (n, 3, h, w) Tensor
        A(I_M), cropped and stretched.
    boxes : (n, 4) Tensor
        What was cut out.
    restored : (n, 3, h, w) Tensor
        Î, the original picture as far as the network can tell, cropped and stretched.
    found : (n, 1, h, w) Tensor
        Ŵ, the extracted watermark, cropped and stretched.
    """

    protected: Tensor
    rest: Tensor
    seen: Tensor
    boxes: Tensor
    restored: Tensor
    found: Tensor


class Hider(nn.Module):
    """Hide watermarks in pictures, and reveal them, with one invertible network.

    Parameters
    ----------
    down, up : sequence of int
        Couplings after each Haar step, as in `InvertibleUNet`.
    width, blocks : int
        Of the subnets.
    bounded : bool
        Spectral normalisation.
    """

    def __init__(
        self,
        down: Sequence[int] = (2, 2, 2),
        up: Sequence[int] = (2, 2, 0),
        width: int = 64,
        blocks: int = 1,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        self.net = InvertibleUNet(3, 1, down, up, width, blocks, bounded=bounded)
        self.to(memory_format=torch.channels_last)

    def hide(self, pictures: Tensor, watermarks: Tensor) -> tuple[Tensor, Tensor]:
        """Hide (Eq. 1): (I, W) becomes (I_M, R).

        Parameters
        ----------
        pictures : (n, 3, h, w) Tensor in [0, 1]
        watermarks : (n, 1, h, w) Tensor in [0, 1]

        Returns
        -------
        protected : (n, 3, h, w) Tensor
            Not yet clipped to [0, 1].
        rest : (n, 1, h, w) Tensor
        """
        both = torch.cat([pictures, watermarks], dim=1)
        return self.net(channels_last(both)).split([3, 1], dim=1)

    def reveal(self, pictures: Tensor, rest: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Go back (Eq. 2), with a constant in place of the rest that nobody kept.

        Returns
        -------
        restored : (n, 3, h, w) Tensor
        found : (n, 1, h, w) Tensor
        """
        if rest is None:
            rest = torch.full_like(pictures[:, :1], NULL)
        both = torch.cat([pictures, rest], dim=1)
        return self.net.inverse(channels_last(both)).split([3, 1], dim=1)

    def forward(self, pictures: Tensor, watermarks: Tensor, attack: Attack) -> Passage:
        """Hide, publish, and reveal what is found."""
        protected, rest = self.hide(pictures, watermarks)
        seen, boxes = attack(protected)
        return Passage(protected, rest, seen, boxes, *self.reveal(seen))


class SeparateNetworks(Hider):
    """The ablation: one network hides and another reveals; nothing makes them inverses.

    Parameters
    ----------
    steps : int
        Haar steps; both networks work on the bands.
    width, blocks : int
        Channels, and residual blocks of each network.
    """

    def __init__(self, steps: int = 2, width: int = 64, blocks: int = 6) -> None:
        nn.Module.__init__(self)
        self.steps = steps
        bands = 4**steps
        self.hiding = _plain(4 * bands, 3 * bands, width, blocks)
        self.revealing = _plain(3 * bands, 4 * bands, width, blocks)
        self.to(memory_format=torch.channels_last)

    def hide(self, pictures: Tensor, watermarks: Tensor) -> tuple[Tensor, Tensor]:
        """Add to the picture what the first network makes of both; there is no rest."""
        both = torch.cat([pictures, watermarks], dim=1)
        added = self._on_bands(self.hiding, both)
        return pictures + added, torch.full_like(pictures[:, :1], NULL)

    def reveal(self, pictures: Tensor, rest: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read picture and watermark with the second network."""
        found = self._on_bands(self.revealing, pictures)
        picture, watermark = found.split([3, 1], dim=1)
        return pictures + picture, NULL + watermark

    def _on_bands(self, net: nn.Module, x: Tensor) -> Tensor:
        for _ in range(self.steps):
            x = haar_down(x)
        x = net(channels_last(x))
        for _ in range(self.steps):
            x = haar_up(x)
        return x


class TamperNet(UNet):
    """A U-Net that marks what was pasted into a protected picture.

    It sees what anybody sees, the picture and what was extracted from it, and where the watermark
    is known also that in its place, and how alike both are in two sizes of neighbourhoods.

    Parameters
    ----------
    width : int
        Channels at full size.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__(3 + 1 + 1 + len(SCALES), 1, width)

    def forward(  # type: ignore[override]
        self, pictures: Tensor, found: Tensor, truth: Tensor | None = None
    ) -> Tensor:
        """Return a logit for each pixel.

        Parameters
        ----------
        pictures : (n, 3, h, w) Tensor in [0, 1]
            As stretched to full size; sides divide by 8.
        found : (n, 1, h, w) Tensor
            Watermarks extracted from them.
        truth : (n, 1, h, w) Tensor, optional
            The true ones in their places. `NULL` everywhere stands for "not known".

        Returns
        -------
        (n, 1, h, w) Tensor
        """
        known = torch.full_like(found, NULL) if truth is None else truth
        alike = [local_correlation(found, known, scale) for scale in SCALES]
        return super().forward(channels_last(torch.cat([pictures, found, known, *alike], dim=1)))


def local_correlation(a: Tensor, b: Tensor, sigma: float) -> Tensor:
    """Correlate watermarks in the neighbourhood of each pixel: (n, 1, h, w) twice to the same.

    0 where either is flat; `course_lib.rwn.tamper.likeness` is the same for a single picture.

    Parameters
    ----------
    a, b : (n, 1, h, w) Tensor
    sigma : float
        Of the neighbourhood, a Gaussian, in pixels. Means are taken over three times that.
    """
    a, b = (x - _local_mean(x, 3 * sigma) for x in (a, b))
    power = (_local_mean(a * a, sigma) + FAINT**2) * (_local_mean(b * b, sigma) + FAINT**2)
    return _local_mean(a * b, sigma) / power.sqrt()


def _local_mean(x: Tensor, sigma: float) -> Tensor:
    rows, columns = (blur_matrix(sigma, side).to(x) for side in x.shape[-2:])
    return rows @ (x @ columns.T)


def hider(config: Mapping[str, Any]) -> Hider:
    """Make the network that a configuration describes, with its first weights.

    Parameters
    ----------
    config : mapping
        ``network`` is ``invertible`` or ``separate``; the rest are settings of `Hider` or
        `SeparateNetworks`.
    """
    kinds = {"invertible": Hider, "separate": SeparateNetworks}
    settings = dict(config)
    kind = settings.pop("network", "invertible")
    if kind not in kinds:
        raise UsageError(f"network {kind!r} is unknown: choose one of {', '.join(kinds)}.")
    return kinds[kind](**settings)


def _plain(inputs: int, outputs: int, width: int, blocks: int) -> nn.Sequential:
    last = nn.Conv2d(width, outputs, 3, padding=1)
    with torch.no_grad():
        last.weight *= 0.1
    inner = [layer for _ in range(blocks) for layer in (Residual(width), nn.LeakyReLU(0.2))]
    return nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), nn.LeakyReLU(0.2), *inner, last)
