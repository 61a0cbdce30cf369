"""Networks that run backwards: Haar bands, couplings, and a U-shape made of them.

Every module maps a batch to a batch of as many numbers, ``inverse`` maps it back, and ``log_det``
says by how much volumes grow on the way: log |det J|, one number for each sample. The inverse is
exact by construction, whatever the weights are: no training is needed for it. What computers add is
rounding, which a network enlarges as much as it stretches; so scales are bounded and starts small.

Sources: L. Dinh, D. Krueger and Y. Bengio, "NICE" (2014), for additive couplings; L. Dinh,
J. Sohl-Dickstein and S. Bengio, "Density estimation using Real NVP" (2017), for affine ones;
T. Miyato et al., "Spectral normalization" (2018); H. Sedghi et al., "The singular values of
convolutional layers" (2019); the U-shape as in Ying et al., "No way to crop" (2022), section III-B.
"""

from collections.abc import Callable, Sequence
from math import log, pi
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from course_lib.errors import UsageError

Kind = Literal["affine", "additive"]
Shift = Callable[[Tensor], Tensor]
"""Computes from one part what is added to the other."""
ScaleAndShift = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Computes from one part the logarithm of a scale and a shift for the other."""


def haar_down(x: Tensor) -> Tensor:
    """Split each channel into four bands of half the size, without losing anything.

    Parameters
    ----------
    x : (n, c, h, w) Tensor
        h and w even.

    Returns
    -------
    (n, 4 c, h / 2, w / 2) Tensor
        For each channel: means, differences along x, along y, and along both. The factor ½ makes
        the transform orthonormal: lengths and volumes stay the same.
    """
    a, b = x[..., 0::2, 0::2], x[..., 0::2, 1::2]
    c, d = x[..., 1::2, 0::2], x[..., 1::2, 1::2]
    bands = torch.stack([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d], dim=2)
    return bands.flatten(1, 2) / 2


def haar_up(bands: Tensor) -> Tensor:
    """Put the four bands of each channel together again; undoes `haar_down`.

    Parameters
    ----------
    bands : (n, 4 c, h, w) Tensor

    Returns
    -------
    (n, c, 2 h, 2 w) Tensor
    """
    mean, x, y, both = bands.unflatten(1, (-1, 4)).unbind(2)
    rows = [
        torch.stack([mean + x + y + both, mean - x + y - both], dim=-1),
        torch.stack([mean + x - y - both, mean - x - y + both], dim=-1),
    ]
    return torch.stack(rows, dim=-3).flatten(-2, -1).flatten(-3, -2) / 2


class Residual(nn.Module):
    """Two convolutions around which the input is led; (n, channels, h, w) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Add what two convolutions find to the input."""
        found: Tensor = self.second(F.leaky_relu(self.first(x), 0.2))
        return x + found


class Subnet(nn.Sequential):
    """What a coupling computes from one part for the other; any network would do.

    Its last convolution starts at a tenth of the usual weights, so that a coupling starts near the
    identity and a deep stack of them neither explodes nor fades.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    width : int
        Channels in between.
    blocks : int
        Residual blocks between the first and the last convolution.
    bounded : bool
        Spectral normalisation of each convolution: its weights, as a matrix with a row for each
        output channel, have norm 1. A 3 × 3 convolution then stretches nothing by more than 3
        (each pixel is seen nine times); `convolution_norm` says by how much it does. It sets the
        small start of the last convolution aside. In training mode torch refines its estimate of
        the norm at every call, so weights move between ``forward`` and ``inverse``: inverses are
        exact in ``eval`` mode, or inside ``torch.nn.utils.parametrize.cached()``.
    """

    def __init__(
        self, inputs: int, outputs: int, width: int = 64, blocks: int = 1, bounded: bool = False
    ) -> None:
        last = nn.Conv2d(width, outputs, 3, padding=1)
        with torch.no_grad():
            last.weight *= 0.1
            assert last.bias is not None
            last.bias.zero_()
        inner = [Residual(width) for _ in range(blocks)]
        act = nn.LeakyReLU(0.2)
        super().__init__(nn.Conv2d(inputs, width, 3, padding=1), act, *inner, act, last)
        if bounded:
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    spectral_norm(module)


class Invertible(nn.Module):
    """A module with an inverse."""

    def inverse(self, y: Tensor) -> Tensor:
        """Return what ``forward`` made y of."""
        raise NotImplementedError

    def log_det(self, x: Tensor) -> Tensor:
        """Return log |det J| of ``forward`` at each sample: (n,)."""
        raise NotImplementedError


class HaarDown(Invertible):
    """`haar_down` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Split into bands."""
        return haar_down(x)

    def inverse(self, y: Tensor) -> Tensor:
        """Put bands together."""
        return haar_up(y)

    def log_det(self, x: Tensor) -> Tensor:
        """Return zeros: an orthonormal transform changes no volume."""
        return x.new_zeros(len(x))


class HaarUp(HaarDown):
    """`haar_up` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Put bands together."""
        return haar_up(x)

    def inverse(self, y: Tensor) -> Tensor:
        """Split into bands."""
        return haar_down(y)


def couple(a: Tensor, b: Tensor, to_first: Shift, to_second: Shift) -> tuple[Tensor, Tensor]:
    """Move the first part by what the second tells, then the second by what the moved first tells.

    Parameters
    ----------
    a, b : (n, c, ...) and (n, d, ...) Tensor
        Two parts of a batch.
    to_first, to_second : callable
        Any functions: ``to_first(b)`` has the shape of a, ``to_second(a)`` that of b.

    Returns
    -------
    a, b : Tensor
        Source: NICE, section 3.2.
    """
    a = a + to_first(b)
    b = b + to_second(a)
    return a, b


def uncouple(a: Tensor, b: Tensor, to_first: Shift, to_second: Shift) -> tuple[Tensor, Tensor]:
    """Undo `couple`: the same steps back, the last one first.

    Parameters
    ----------
    a, b : (n, c, ...) and (n, d, ...) Tensor
        What `couple` returned.
    to_first, to_second : callable
        The same functions as there.

    Returns
    -------
    a, b : Tensor
        What `couple` was given.
    """
    b = b - to_second(a)
    a = a - to_first(b)
    return a, b


class AdditiveCoupling(Invertible):
    """Each part in turn is moved by what is computed from the other (NICE).

    Parameters
    ----------
    first, second : int
        Channels of the two parts.
    width, blocks, bounded
        Of the two subnets, see `Subnet`.
    """

    def __init__(
        self, first: int, second: int, width: int = 64, blocks: int = 1, bounded: bool = False
    ) -> None:
        super().__init__()
        self.parts = (first, second)
        self.to_first = Subnet(second, first, width, blocks, bounded)
        self.to_second = Subnet(first, second, width, blocks, bounded)

    def forward(self, x: Tensor) -> Tensor:
        """Move the first part, then the second."""
        a, b = x.split(self.parts, dim=1)
        return torch.cat(couple(a, b, self.to_first, self.to_second), dim=1)

    def inverse(self, y: Tensor) -> Tensor:
        """Take the same steps back, the last one first."""
        a, b = y.split(self.parts, dim=1)
        return torch.cat(uncouple(a, b, self.to_first, self.to_second), dim=1)

    def log_det(self, x: Tensor) -> Tensor:
        """Return zeros: moving changes no volume."""
        return x.new_zeros(len(x))


def bounded_scale(found: Tensor, limit: float = 1.0) -> tuple[Tensor, Tensor]:
    """Read a subnet's output: half of its channels are scales, half are shifts.

    Parameters
    ----------
    found : (n, 2 c, h, w) Tensor
    limit : float

    Returns
    -------
    log_scale : (n, c, h, w) Tensor
        ``limit`` (2 σ(s) - 1), between -limit and limit, so that exp never overflows.
    shift : (n, c, h, w) Tensor
    """
    s, shift = found.chunk(2, dim=1)
    return limit * torch.tanh(s / 2), shift  # tanh(s / 2) = 2 σ(s) - 1


def affine_couple(
    a: Tensor, b: Tensor, to_first: ScaleAndShift, to_second: ScaleAndShift
) -> tuple[Tensor, Tensor, Tensor]:
    """Scale and move the first part, then the second, each by what the other one tells.

    Parameters
    ----------
    a, b : (n, c, ...) and (n, d, ...) Tensor
        Two parts of a batch.
    to_first, to_second : callable
        ``to_first(b)`` returns the logarithm of a scale and a shift, both of the shape of a;
        ``to_second(a)`` the same for b.

    Returns
    -------
    a, b : Tensor
        Each is ``part * exp(log_scale) + shift``. Source: Real NVP, equations 4 and 5, for both.
    log_det : (n,) Tensor
        The sum of all logarithms of scales: log |det J|, one number for each sample.
    """
    log_scale, shift = to_first(b)
    a = a * log_scale.exp() + shift
    log_det = log_scale.flatten(1).sum(1)
    log_scale, shift = to_second(a)
    b = b * log_scale.exp() + shift
    return a, b, log_det + log_scale.flatten(1).sum(1)


def affine_uncouple(
    a: Tensor, b: Tensor, to_first: ScaleAndShift, to_second: ScaleAndShift
) -> tuple[Tensor, Tensor]:
    """Undo `affine_couple`: the same steps back, the last one first.

    Parameters
    ----------
    a, b : (n, c, ...) and (n, d, ...) Tensor
        What `affine_couple` returned.
    to_first, to_second : callable
        The same functions as there.

    Returns
    -------
    a, b : Tensor
        What `affine_couple` was given.
    """
    log_scale, shift = to_second(a)
    b = (b - shift) * (-log_scale).exp()
    log_scale, shift = to_first(b)
    a = (a - shift) * (-log_scale).exp()
    return a, b


class AffineCoupling(Invertible):
    """Each part in turn is scaled and moved by what is computed from the other (Real NVP).

    Both parts change, hence "double-side". Scales lie between exp(-limit) and exp(limit).

    Parameters
    ----------
    first, second : int
        Channels of the two parts.
    width, blocks, bounded
        Of the two subnets, see `Subnet`.
    limit : float
        Bound of the logarithm of a scale.
    """

    def __init__(
        self,
        first: int,
        second: int,
        width: int = 64,
        blocks: int = 1,
        bounded: bool = False,
        limit: float = 1.0,
    ) -> None:
        super().__init__()
        self.parts, self.limit = (first, second), limit
        self.to_first = Subnet(second, 2 * first, width, blocks, bounded)
        self.to_second = Subnet(first, 2 * second, width, blocks, bounded)

    def forward(self, x: Tensor) -> Tensor:
        """Scale and move the first part, then the second."""
        a, b = x.split(self.parts, dim=1)
        a, b, _ = affine_couple(a, b, self._for_first, self._for_second)
        return torch.cat([a, b], dim=1)

    def inverse(self, y: Tensor) -> Tensor:
        """Take the same steps back, the last one first."""
        a, b = y.split(self.parts, dim=1)
        return torch.cat(affine_uncouple(a, b, self._for_first, self._for_second), dim=1)

    def log_det(self, x: Tensor) -> Tensor:
        """Add up the logarithms of all scales."""
        a, b = x.split(self.parts, dim=1)
        return affine_couple(a, b, self._for_first, self._for_second)[2]

    def _for_first(self, b: Tensor) -> tuple[Tensor, Tensor]:
        return bounded_scale(self.to_first(b), self.limit)

    def _for_second(self, a: Tensor) -> tuple[Tensor, Tensor]:
        return bounded_scale(self.to_second(a), self.limit)


class ConditionalSplit(Invertible):
    """Part the channels into what is kept and a rest, given relative to what the kept part tells.

    The rest will be thrown away, and replaced by a constant on the way back. What can be predicted
    of it from the kept part is predicted, so that only what is new in it is lost.

    Parameters
    ----------
    kept, rest : int
        Channels.
    width, blocks, bounded
        Of the prediction, see `Subnet`.
    """

    def __init__(
        self, kept: int, rest: int, width: int = 64, blocks: int = 1, bounded: bool = False
    ) -> None:
        super().__init__()
        self.parts = (kept, rest)
        self.predict = Subnet(kept, rest, width, blocks, bounded)

    def forward(self, x: Tensor) -> Tensor:
        """Subtract from the rest what the kept part predicts."""
        kept, rest = x.split(self.parts, dim=1)
        return torch.cat([kept, rest - self.predict(kept)], dim=1)

    def inverse(self, y: Tensor) -> Tensor:
        """Add the prediction."""
        kept, rest = y.split(self.parts, dim=1)
        return torch.cat([kept, rest + self.predict(kept)], dim=1)

    def log_det(self, x: Tensor) -> Tensor:
        """Return zeros: moving changes no volume."""
        return x.new_zeros(len(x))


class InvertibleUNet(Invertible):
    """Couplings on ever coarser Haar bands, and on finer ones again.

    Parameters
    ----------
    first, second : int
        Channels of the two parts, such as a picture's 3 and a watermark's 1. The parts stay apart
        through all bands; couplings alone carry something from one to the other.
    down, up : sequence of int
        Couplings after each Haar step down, and after each one up. The defaults are RWN's.
    width, blocks : int
        Of the subnets.
    kind : "affine" or "additive"
    bounded : bool
        Spectral normalisation of all subnets.
    split : bool
        Whether the network ends with a `ConditionalSplit` of the two parts.

    Raises
    ------
    UsageError
        When down and up differ in length.

    Notes
    -----
    Height and width must be multiples of 2 to the power of ``len(down)``, and a batch has
    ``first + second`` channels; ``forward`` and ``inverse`` raise UsageError otherwise.
    """

    def __init__(
        self,
        first: int = 3,
        second: int = 1,
        down: Sequence[int] = (2, 2, 2),
        up: Sequence[int] = (2, 2, 0),
        width: int = 64,
        blocks: int = 1,
        kind: Kind = "affine",
        bounded: bool = False,
        split: bool = True,
    ) -> None:
        super().__init__()
        if len(down) != len(up):
            raise UsageError(
                f"{len(down)} steps down and {len(up)} up do not end at the size they began with: "
                "give equally many."
            )
        couplings = {"affine": AffineCoupling, "additive": AdditiveCoupling}
        if kind not in couplings:
            raise UsageError(f"coupling {kind!r} is unknown: choose one of {', '.join(couplings)}.")
        layers: list[Invertible] = []

        def add(count: int, level: int) -> None:
            for _ in range(count):
                sizes = (first * 4**level, second * 4**level)
                layers.append(couplings[kind](*sizes, width, blocks, bounded))

        for level, count in enumerate(down, start=1):
            layers.append(HaarDown())
            add(count, level)
        for level, count in zip(reversed(range(len(up))), up, strict=True):
            layers.append(HaarUp())
            add(count, level)
        if split:
            layers.append(ConditionalSplit(first, second, min(width, 32), blocks, bounded))
        self.layers = nn.ModuleList(layers)
        self.step = 2 ** len(down)
        self.channels = first + second

    def forward(self, x: Tensor) -> Tensor:
        """Go through all layers: (n, first + second, h, w) to the same shape."""
        self._demand(x)
        for layer in self.layers:
            x = layer(x)
        return x

    def inverse(self, y: Tensor) -> Tensor:
        """Go back through all layers, the last one first."""
        self._demand(y)
        for layer in reversed(self.layers):
            y = layer.inverse(y)  # type: ignore[operator]
        return y

    def log_det(self, x: Tensor) -> Tensor:
        """Add up what the layers do to volumes."""
        total = x.new_zeros(len(x))
        for layer in self.layers:
            total = total + layer.log_det(x)  # type: ignore[operator]
            x = layer(x)
        return total

    def _demand(self, x: Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise UsageError(
                f"A batch of shape {tuple(x.shape)} does not fit: this network takes "
                f"(n, {self.channels}, height, width)."
            )
        height, width = x.shape[-2:]
        if height % self.step or width % self.step:
            raise UsageError(
                f"{width} × {height} pixels cannot be halved as often as this network does: resize "
                f"to multiples of {self.step}."
            )


def log_likelihood(z: Tensor, log_det: Tensor) -> Tensor:
    """Log density of samples that a network turned into z, if z is to be standard normal.

    Parameters
    ----------
    z : (n, ...) Tensor
        What the network made of the samples.
    log_det : (n,) Tensor
        log |det J| of the network at each sample.

    Returns
    -------
    (n,) Tensor
        log N(z; 0, 1) + log |det J|, in nats. Source: Real NVP, equation 3.
    """
    normal = -(z**2 + log(2 * pi)) / 2
    return normal.flatten(1).sum(1) + log_det


def convolution_norm(weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Largest factor by which a convolution stretches any picture of a size.

    The picture is taken as continued around its edges. Its Fourier components then do not mix, and
    each is mapped by a small matrix of its own. A convolution that pads with zeros stretches by no
    more than the one around the edges of a picture that is larger by the kernel's side less one.

    Parameters
    ----------
    weight : (outputs, inputs, k, k) Tensor
        Of a convolution without stride.
    size : (height, width)
        Of the picture; at least k.

    Returns
    -------
    scalar Tensor
        The largest singular value. Source: Sedghi et al., theorem 6.
    """
    spectrum = torch.fft.fft2(weight, s=size)
    matrices = spectrum.permute(2, 3, 0, 1)
    return torch.linalg.svdvals(matrices).max()


def channels_last(x: Tensor) -> Tensor:
    """Lay channels side by side in memory: convolutions on processors are twice as fast."""
    return x.contiguous(memory_format=torch.channels_last)
