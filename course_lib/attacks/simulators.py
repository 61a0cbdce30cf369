"""Stand-ins for JPEG that gradients can pass: JPEG-SS, JPEG-Mask, MBRS, and their mixture.

Each takes pictures (n, 3, h, w) in [0, 1] and a quality from 1 to 100, one number or one for each
picture. Papers describe them for colour at full resolution, real files halve it: all simulators
here do as files do.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.attacks.codec import real_jpeg
from course_lib.attacks.jpeg import LUMA, SIDE, changed, jpeg, quantization_table, soft
from course_lib.errors import UsageError

KEPT_LUMA, KEPT_CHROMA = 5, 3
"""Side of the corner of low frequencies that JPEG-Mask keeps."""
LIMIT = 60.0
"""Largest quantisation step at which JPEG-Mask keeps a coefficient, when it is given a quality."""


def jpeg_ss(pictures: Tensor, quality: float | Tensor, generator: object = None) -> Tensor:
    """JPEG with a soft rounding, whose slope is zero at whole numbers and 3/4 halfway.

    Paper: the nearest whole number plus the cube of what is left. Code that later systems
    released: values below one half are cubed, all others stay as they are, which is to say that
    large coefficients are not rounded at all. This course: the paper's.

    Parameters
    ----------
    pictures : (n, 3, h, w) tensor in [0, 1]
    quality : number or (n,) tensor
    generator
        Not used; it makes all simulators callable alike.

    Returns
    -------
    (n, 3, h, w) tensor in [0, 1]

    Source: R. Shin and D. Song, "JPEG-resistant adversarial images", 2017.
    """
    return jpeg(pictures, quality, rounding=soft)


def jpeg_mask(
    pictures: Tensor, quality: float | Tensor | None = None, generator: object = None
) -> Tensor:
    """Drop high frequencies and leave the low ones untouched: linear, so its slope is 0 or 1.

    Paper: 25 coefficients of luma and 9 of chroma are kept, at every quality. Released code: the
    same, as squares of 5×5 and 3×3. RWN's paper gives every simulator a quality, its code does
    not. This course: the squares without a quality; with one, the coefficients whose step in the
    file's table would be at most `LIMIT`.

    Parameters
    ----------
    pictures : (n, 3, h, w) tensor in [0, 1]
    quality : number or (n,) tensor, optional
    generator
        Not used; it makes all simulators callable alike.

    Returns
    -------
    (n, 3, h, w) tensor in [0, 1]

    Source: J. Zhu et al., "HiDDeN: hiding data with deep networks", ECCV 2018.
    """

    def masked(coefficients: Tensor, base: Tensor) -> Tensor:
        if quality is None:
            side = KEPT_LUMA if base is LUMA else KEPT_CHROMA
            kept = torch.zeros(SIDE, SIDE, dtype=torch.bool)
            kept[:side, :side] = True
        else:
            kept = quantization_table(quality, base) <= LIMIT
            kept[..., 0, 0] = True  # a block without its mean is no picture
        return coefficients * kept.to(coefficients).reshape(-1, 1, SIDE * SIDE)

    return changed(pictures, masked)


def mbrs(
    pictures: Tensor, quality: float | Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Draw for each batch: a real file, JPEG-Mask, or nothing at all.

    Paper and released code: one of the three for each mini-batch, and no gradient passes the real
    file. This course: the same draw, but gradients pass the real file straight through; the mask
    is the one of the paper, without a quality.

    Parameters
    ----------
    pictures : (n, 3, h, w) tensor in [0, 1]
    quality : number or (n,) tensor
        Of the real file.
    generator : torch Generator, optional
        On the CPU.

    Returns
    -------
    (n, 3, h, w) tensor in [0, 1]

    Source: Z. Jia et al., "MBRS: enhancing robustness of DNN-based watermarking by mini-batch of
    real and simulated JPEG compression", ACM Multimedia 2021.
    """
    drawn = int(torch.randint(3, (), generator=generator))
    if drawn == 0:
        return real_jpeg(pictures, quality)
    return jpeg_mask(pictures) if drawn == 1 else pictures.clamp(0, 1)


SIMULATORS: dict[str, Callable[..., Tensor]] = {
    "jpeg-ss": jpeg_ss,
    "jpeg-mask": jpeg_mask,
    "mbrs": mbrs,
}


def jpeg_mixup(
    pictures: Tensor,
    generator: torch.Generator | None = None,
    k: int = 3,
    qualities: tuple[float, float] = (10, 100),
) -> Tensor:
    """Mix several simulated files, each by another simulator and of other qualities.

    Paper: three simulators drawn anew, qualities from 10 to 100, weights that add up to one.
    Released code: two simulators, qualities from 60 to 90, and JPEG-Mask ignores its own. This
    course: the paper's, with a quality and a weight of its own for each picture, and weights
    spread evenly over all that add up to one.

    Parameters
    ----------
    pictures : (n, 3, h, w) tensor in [0, 1]
    generator : torch Generator, optional
        On the CPU.
    k : int
        Simulated files in the mixture.
    qualities : (low, high)
        Range of qualities, within 1 to 100.

    Returns
    -------
    (n, 3, h, w) tensor in [0, 1]

    Source: Q. Ying et al., "RWN: robust watermarking network for image cropping localization",
    ICIP 2022, equation 4.
    """
    if k < 1:
        raise UsageError(f"A mixture of {k} simulated files is none: k is at least 1.")
    n, (low, high) = len(pictures), qualities
    shares = -torch.rand(k, n, generator=generator).clamp(min=1e-12).log()
    shares = (shares / shares.sum(dim=0)).to(pictures)
    mixed = torch.zeros_like(pictures)
    for share in shares:
        simulator = list(SIMULATORS.values())[torch.randint(3, (), generator=generator)]
        quality = low + (high - low) * torch.rand(n, generator=generator)
        mixed = mixed + share.view(n, 1, 1, 1) * simulator(pictures, quality, generator)
    return mixed.clamp(0, 1)  # shares add up to one but for rounding


def slopes_lent(real: Tensor, simulated: Tensor) -> Tensor:
    """Combine two pictures: the values of the first, the slopes of the second.

    Parameters
    ----------
    real : (n, 3, h, w) tensor
        Such as a real file; whatever gradient it has is not passed.
    simulated : (n, 3, h, w) tensor
        With a gradient.

    Returns
    -------
    (n, 3, h, w) tensor

    Source: released code of CLR-Net.
    """
    return simulated + (real - simulated).detach()
