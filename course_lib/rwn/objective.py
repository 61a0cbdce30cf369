"""What the network is asked for: a picture that looks the same, and a watermark that comes back.

Source: Q. Ying et al., "RWN" (ICIP 2022), section III-C.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

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
"""The picture's weight is then that of `QualityControl`, and its distance a mean square."""


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


def adversarial_losses(
    discriminator: nn.Module, real: Tensor, fake: Tensor
) -> tuple[Tensor, Tensor]:
    """Judge with least squares, for both sides of the game at once.

    Parameters
    ----------
    discriminator : Module
    real, fake : (n, 3, h, w) Tensor
        Original and protected pictures.

    Returns
    -------
    judge : Tensor
        What the discriminator minimises: 1 for real, 0 for fake. Its gradients reach it alone.
    fool : Tensor
        What the hiding network minimises: 1 for fake. Its gradients pass the discriminator and
        leave it as it is.

    Source: X. Mao et al., "Least squares generative adversarial networks", ICCV 2017.
    """
    judge = ((discriminator(real) - 1) ** 2).mean() + (discriminator(fake.detach()) ** 2).mean()
    frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
    fool = ((functional_call(discriminator, frozen, (fake,)) - 1) ** 2).mean()
    return judge, fool


class QualityControl(nn.Module):
    """Choose the weight of the picture so that PSNR comes to what is wanted.

    A controller of one number: while the running PSNR is below its target the weight grows by up
    to 2 % a step, and shrinks while it is above. So robustness is compared at equal quality, and
    nobody has to find a weight by trial.

    Parameters
    ----------
    weight : float
        To begin with.
    """

    log_weight: Tensor
    running: Tensor

    def __init__(self, weight: float = 20.0) -> None:
        super().__init__()
        self.register_buffer("log_weight", torch.tensor(weight).log())
        self.register_buffer("running", torch.tensor(float("nan")))

    @torch.no_grad()
    def forward(self, mse: Tensor, target: float, gain: float = 0.02) -> Tensor:
        """Return the weight for a batch with this mean square error; target in dB."""
        psnr = -10 * torch.log10(mse.clamp(min=1e-8))
        self.running = torch.where(self.running.isnan(), psnr, 0.95 * self.running + 0.05 * psnr)
        self.log_weight += gain * (target - self.running).clip(-1, 1)
        return self.log_weight.exp()
