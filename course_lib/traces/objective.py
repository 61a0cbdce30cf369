"""What training asks of a crop detector: three losses, weighed and added.

Source: B. Van Hoorick and C. Vondrick, "Dissecting Image Crops", 2021, equations 1 to 4.
"""

from dataclasses import dataclass
from math import log

import torch.nn.functional as F
from torch import Tensor

from course_lib.errors import UsageError
from course_lib.traces.model import PATCHES, Reading

PATCH_CHANCE = log(PATCHES)
"""2.77, the patch loss of a network that knows nothing: ln 16."""

CROP_CHANCE = log(2)
"""0.69, the crop loss of one that cannot tell crops from photographs: ln 2."""


@dataclass(frozen=True)
class Weights:
    """What each loss counts for: λ₁, λ₂ and λ₃ of the paper. 0 leaves a loss out."""

    patch: float = 2.4
    rectangle: float = 3.0
    crop: float = 1.0


PAPER_WEIGHTS = Weights()


def patch_loss(cells: Tensor, truth: Tensor) -> Tensor:
    """How surprised the network is by the cells that the patches really come from.

    Parameters
    ----------
    cells : (..., 16)
        Logits for each patch.
    truth : (...) int64
        The cell of each patch's centre in the original photograph, row by row.

    Returns
    -------
    scalar
        Mean over patches; 2.77 = ln 16 for a network that knows nothing.

    Source: equation 2.
    """
    logits = cells.flatten(0, -2)  # (n · 16, 16)
    return F.cross_entropy(logits, truth.flatten())


def rectangle_loss(box: Tensor, truth: Tensor) -> Tensor:
    """How far the four edges lie from the true ones, squared and added up.

    Parameters
    ----------
    box, truth : (n, 4)
        Edges as fractions of the original photograph. An uncropped photograph's are 0, 0, 1, 1,
        and count like all others.

    Returns
    -------
    scalar
        Mean over photographs.

    Source: equation 3.
    """
    return ((box - truth) ** 2).sum(dim=1).mean()


def class_loss(score: Tensor, cropped: Tensor) -> Tensor:
    """How surprised the network is by which photographs were cropped.

    Parameters
    ----------
    score : (n,)
        Logits.
    cropped : (n,) bool, or 0 and 1

    Returns
    -------
    scalar
        Mean over photographs; 0.69 = ln 2 for a network that cannot tell.

    Source: equation 4.
    """
    return F.binary_cross_entropy_with_logits(score, cropped.to(score.dtype))


def crop_loss(
    reading: Reading,
    cells: Tensor,
    box: Tensor,
    cropped: Tensor,
    weights: Weights = PAPER_WEIGHTS,
) -> dict[str, Tensor]:
    """Weigh the three losses and add them up.

    Parameters
    ----------
    reading : Reading
        What the detector says. One that sees no patches has no patch loss.
    cells : (n, 16) int64
        True cells.
    box : (n, 4)
        True edges.
    cropped : (n,) bool
    weights : Weights

    Returns
    -------
    dict
        ``loss``, the sum to minimise, and its parts ``crop``, ``rectangle`` and ``patch``, which
        are not weighed yet.

    Raises
    ------
    UsageError
        No loss is left that could train the detector.

    Source: equation 1, with λ₁ / M · Σ L_patch written as λ₁ times the mean.
    """
    parts = {
        "crop": class_loss(reading.score, cropped),
        "rectangle": rectangle_loss(reading.box, box),
    }
    weigh = {"crop": weights.crop, "rectangle": weights.rectangle / 4}  # a mean over four edges
    if reading.cells is not None:
        parts["patch"] = patch_loss(reading.cells, cells)
        weigh["patch"] = weights.patch
    used = [weight * parts[name] for name, weight in weigh.items() if weight]
    if not used:
        raise UsageError("every loss has weight 0: give at least one of them a weight.")
    total = sum(used[1:], start=used[0])
    return {"loss": total, **parts}
