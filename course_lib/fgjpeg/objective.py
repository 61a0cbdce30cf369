"""What the generator is asked for: the file's pixels, and a quality that can be read off them.

Source: Q. Ying et al., "Robust Image Protection Countering Cropping Manipulation" (2022), Eq. 10.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.fgjpeg.model import BINS

PAPER, CODE = 0.1, 0.002
"""Weight of the quality's cross-entropy (ε) beside the distance of pixels from 0 to 1."""


def soft_labels(quality: Tensor) -> Tensor:
    """Share a quality out between the bins next to it: (n,) from 1 to 100 to (n, 6).

    The paper allows an imprecise answer between two bins. Here, its place between them says how
    much of the answer is each one's; on a bin it is that bin's alone.
    """
    bins = torch.tensor(BINS, dtype=torch.float32, device=quality.device)
    inside = quality.float().clamp(bins[0], bins[-1])
    upper = torch.searchsorted(bins, inside).clamp(1, len(bins) - 1)
    share = (inside - bins[upper - 1]) / (bins[upper] - bins[upper - 1])
    labels = F.one_hot(upper, len(bins)) * share[:, None]
    return labels + F.one_hot(upper - 1, len(bins)) * (1 - share[:, None])


def quality_loss(logits: Tensor, quality: Tensor) -> Tensor:
    """Cross-entropy of the predictor's answers, (n, 6), with true qualities, (n,)."""
    return F.cross_entropy(logits, soft_labels(quality))


def simulation_loss(
    made: Tensor, files: Tensor, logits: Tensor, quality: Tensor, weight: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compare simulated with real files, pixel by pixel and by what quality they seem to have.

    Parameters
    ----------
    made, files : (n, 3, h, w) Tensor
        Simulated and real.
    logits : (n, 6) Tensor
        What the frozen predictor says of the simulated ones.
    quality : (n,) Tensor
        Of the real ones.
    weight : float
        ε.

    Returns
    -------
    total, pixels, read : Tensor
        Eq. 10, and its two parts without weights.
    """
    pixels, read = F.l1_loss(made, files), quality_loss(logits, quality)
    return pixels + weight * read, pixels, read


def nearest_bin(quality: Tensor) -> Tensor:
    """Return which bin a quality is nearest to: (n,) to (n,) int64; halfway, the lower."""
    bins = torch.tensor(BINS, dtype=torch.float32, device=quality.device)
    return (quality.float()[:, None] - bins).abs().argmin(1)
