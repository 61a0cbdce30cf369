"""What CLR-Net is asked for: a picture that looks the same, its place, and all that was cut away.

Source: Q. Ying et al., "Robust Image Protection Countering Cropping Manipulation" (2022), section
III-E.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.clrnet.model import NULL

SOFTNESS = 0.02
"""Width of the border of a soft mask, as a fraction of the picture."""
MASK_SIDE = 32
"""Side of the masks that the localizer is judged by, in pixels."""
LEAST_LOST = 0.01
"""Share of a picture to which smaller losses are levelled: a few pixels tell little."""


@dataclass(frozen=True)
class Weights:
    """How much each part of the loss counts.

    Parameters
    ----------
    recovery : float
        α: distance of the recovered picture from the original.
    localization : float
        β: cross-entropy of the predicted mask, and of the confidence.
    consistency : float
        γ: how unlike the two views of a pair are.
    adversarial : float
        η: how well both discriminators are fooled, within protection and recovery.
    null : float
        Distance of the fourth channel from what stands for it on the way back. The paper does not
        list it; without it the way back begins with another number than the way out ended with.
    lost : float
        Distance over what was cut away, alone. Not in the paper's list either.
    coordinates : float
        Distance of the edges of the predicted box, as in the released code.
    feature : float
        Of the student's features from the teacher's.
    quality : float or None
        Wanted PSNR of protected pictures in dB, kept by a `course_lib.judges.QualityControl`, with
        mean squares instead of absolute differences everywhere. None: the paper's weight of 1.
    """

    recovery: float = 1.5
    localization: float = 0.1
    consistency: float = 0.05
    adversarial: float = 0.01
    null: float = 1.0
    lost: float = 0.0
    coordinates: float = 0.0
    feature: float = 0.05
    quality: float | None = None


PAPER = Weights()
"""Section III-F: α = 1.5, β = 0.1, γ = 0.05, η = 0.01, L1 throughout."""

COURSE = Weights(recovery=10.0, lost=20.0, adversarial=0.0, null=0.2, coordinates=5.0, quality=32.0)
"""Mean squares, quality controlled, and what was cut away counted for itself. Training's pictures,
some of them pasted together, are harder than photographs, which come out 2 to 3 dB better."""


def protection_loss(protected: Tensor, pictures: Tensor) -> Tensor:
    """Compare what is published with the original (Eq. 5, without its adversarial part)."""
    return F.l1_loss(protected, pictures)


def recovery_loss(recovered: Tensor, pictures: Tensor) -> Tensor:
    """Compare what came back with the original (Eq. 6, without its adversarial part)."""
    return F.l1_loss(recovered, pictures)


def lost_area_error(recovered: Tensor, pictures: Tensor, lost: Tensor) -> Tensor:
    """Mean square error over what was cut away: (n, 3, h, w), twice, and a mask to (n,).

    Parameters
    ----------
    recovered, pictures : (n, 3, h, w) Tensor
    lost : (n, 1, h, w) Tensor
        1 where something was cut away.
    """
    errors = ((recovered - pictures).square().mean(1, keepdim=True) * lost).flatten(1).mean(1)
    return errors / (lost.flatten(1).mean(1) + LEAST_LOST)


def soft_mask(boxes: Tensor, side: int = MASK_SIDE, softness: float = SOFTNESS) -> Tensor:
    """Draw boxes as masks with soft borders, so that gradients move the edges.

    Parameters
    ----------
    boxes : (n, 4) Tensor
        (x1, y1, x2, y2), fractions.
    side : int
        Of the masks in pixels.
    softness : float
        Width of the border, as a fraction.

    Returns
    -------
    (n, side, side) Tensor
        M̂: 1 within, 0 outside, ½ on an edge.
    """
    place = (torch.arange(side, device=boxes.device) + 0.5) / side
    low, high = boxes[:, :2, None], boxes[:, 2:, None]
    inside = torch.sigmoid((place - low) / softness) * torch.sigmoid((high - place) / softness)
    columns, rows = inside.unbind(1)
    return rows[:, :, None] * columns[:, None, :]


def localization_loss(boxes: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of predicted and true masks (Eq. 7).

    Parameters
    ----------
    boxes, truth : (n, 4) Tensor
    """
    found = soft_mask(boxes).clamp(1e-6, 1 - 1e-6)
    return F.binary_cross_entropy(found, soft_mask(truth, softness=1e-4))


def confidence_loss(scores: Tensor, cropped: Tensor) -> Tensor:
    """Cross-entropy of the confidence S, as logits, with whether something was cut away."""
    return F.binary_cross_entropy_with_logits(scores, cropped.to(scores))


def feature_loss(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Compare features of the pre-processor, layer by layer; 0 if there are none."""
    apart = [F.l1_loss(a, b) for a, b in zip(ours, theirs, strict=True)]
    return torch.stack(apart).sum() if apart else torch.zeros(())


def consistency_loss(
    features: tuple[Sequence[Tensor], Sequence[Tensor]],
    boxes: tuple[Tensor, Tensor],
    recovered: tuple[Tensor, Tensor],
    processed: tuple[Tensor, Tensor],
    plain: Tensor,
) -> Tensor:
    """Ask that two attacks on the same crop lead to the same (Eq. 8).

    Parameters
    ----------
    features : two sequences of Tensor
        φ of the layers that are compared.
    boxes : two (n, 4) Tensor
        Predicted; compared as masks.
    recovered : two (n, 3, h, w) Tensor
    processed : two (n, 3, h', w') Tensor
        Views after the pre-processor.
    plain : (n, 3, h', w') Tensor
        The same crop before any attack. The paper prints I here, beside a mask; what it says is
        that the views must not be changed drastically.
    """
    masks = [soft_mask(each) for each in boxes]
    unlike = (
        feature_loss(*features)
        + F.l1_loss(masks[0], masks[1])
        + F.l1_loss(recovered[0], recovered[1])
    )
    return unlike + sum(F.l1_loss(each, plain) for each in processed) / 2


def null_loss(rest: Tensor) -> Tensor:
    """Keep the fourth channel near the constant that replaces it."""
    return F.l1_loss(rest, torch.full_like(rest, NULL))
