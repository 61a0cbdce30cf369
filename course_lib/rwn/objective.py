"""What the network is asked for: a picture that looks the same, and a watermark that comes back.

Source: Q. Ying et al., "RWN" (ICIP 2022), section III-C.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.rwn.model import NULL

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
SSIM_CONSTANTS = (0.01**2, 0.03**2)


@dataclass(frozen=True)
class Weights:
    """How much each part of the loss counts.

    Parameters
    ----------
    picture : float
        Distance of protected and original picture.
    watermark : float
        Distance of extracted and true watermark.
    restored : float
        Distance of the picture on the way back from the original.
    null : float
        Distance of the rest from its constant (β).
    adversarial : float
        How well the discriminator is fooled (α).
    structure : bool
        Compare watermarks by correlation and SSIM instead of absolute differences.
    """

    picture: float = 1.0
    watermark: float = 1.0
    restored: float = 1.0
    null: float = 8.0
    adversarial: float = 1.0
    structure: bool = False


PAPER = Weights()
"""Section III-C: α = 1, β = 8, L1 throughout."""

COURSE = Weights(restored=0.1, null=0.2, adversarial=0.0, structure=True)
"""The picture's weight is then steered (`course_lib.judges.QualityControl`), its distance a mean
square."""


def null_loss(rest: Tensor) -> Tensor:
    """Keep what is thrown away near the constant that replaces it (L_ran)."""
    return F.l1_loss(rest, torch.full_like(rest, NULL))


def correlation(found: Tensor, truth: Tensor) -> Tensor:
    """Correlate pictures with what they should be: (n, c, h, w) twice to (n,), from -1 to 1."""
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (found, truth))
    # What is constant correlates with nothing; the small number keeps its gradient finite.
    scale = ((a**2).mean(1) + 1e-4).sqrt() * ((b**2).mean(1) + 1e-4).sqrt()
    return (a * b).mean(1) / scale


def structural_similarity(found: Tensor, truth: Tensor) -> Tensor:
    """SSIM of pictures in [0, 1], with gradients: (n, c, h, w) twice to (n,).

    Source: Z. Wang et al., "Image quality assessment", IEEE TIP 2004, equation 13; a Gaussian
    window of σ = 1.5 px, and only places where it fits.
    """
    channels = found.shape[1]
    x = torch.arange(SSIM_WINDOW, device=found.device, dtype=found.dtype) - SSIM_WINDOW // 2
    line = torch.exp(-0.5 * (x / SSIM_SIGMA) ** 2)
    line = (line / line.sum()).expand(channels, 1, -1)

    def mean(values: Tensor) -> Tensor:
        rows = F.conv2d(values, line[..., None], groups=channels)
        return F.conv2d(rows, line[:, :, None], groups=channels)

    a, b = mean(found), mean(truth)
    variances = mean(found**2) - a**2 + mean(truth**2) - b**2
    covariance = mean(found * truth) - a * b
    c1, c2 = SSIM_CONSTANTS
    similar = (2 * a * b + c1) * (2 * covariance + c2)
    return (similar / ((a**2 + b**2 + c1) * (variances + c2))).flatten(1).mean(1)


def watermark_loss(found: Tensor, truth: Tensor) -> Tensor:
    """Ask for the structure of the watermark: correlation, and SSIM near the end of the way."""
    likeness = correlation(found, truth) + structural_similarity(found, truth)
    return 1 - likeness.mean() / 2
