"""Tampering: something else is painted into a picture, by free-form strokes."""

import cv2
import numpy as np
import torch
from torch import Tensor

from course_lib.errors import UsageError


def free_form_mask(
    shape: tuple[int, ...],
    rng: np.random.Generator,
    strokes: tuple[int, int] = (1, 4),
    width: tuple[float, float] = (0.06, 0.16),
) -> np.ndarray:
    """Paint a few random strokes, as with a wide brush.

    Parameters
    ----------
    shape : (height, width, ...)
        Of the picture.
    rng : numpy Generator
    strokes : (low, high)
        Range of their number.
    width : (low, high)
        Range of a stroke's width, as a fraction of the shorter side.

    Returns
    -------
    HxW bool
        True where something was painted; never nowhere.

    Source: J. Yu et al., "Free-form image inpainting with gated convolution", ICCV 2019.
    """
    h, w = shape[:2]
    short = min(h, w)
    mask = np.zeros((h, w), np.uint8)
    for _ in range(rng.integers(strokes[0], strokes[1] + 1)):
        x, y = rng.uniform(0, (w, h))
        angle = rng.uniform(0, 2 * np.pi)
        brush = max(round(short * rng.uniform(*width)), 1)
        path = [(x, y)]
        for _ in range(rng.integers(2, 6)):
            angle += rng.uniform(-1.2, 1.2)
            step = short * rng.uniform(0.08, 0.25)
            x = float(np.clip(x + step * np.cos(angle), 0, w - 1))
            y = float(np.clip(y + step * np.sin(angle), 0, h - 1))
            path.append((x, y))
        points = np.rint(path).astype(np.int32)
        cv2.polylines(mask, [points], False, 1, brush)
        for point in points:  # round joints and ends
            cv2.circle(mask, point.tolist(), brush // 2, 1, -1)
    return mask.astype(bool)


def tampered(pictures: Tensor, others: Tensor, masks: Tensor | np.ndarray) -> Tensor:
    """Put what other pictures show where the masks are true.

    Parameters
    ----------
    pictures, others : (n, c, h, w) tensor in [0, 1]
    masks : (n, h, w) or (n, 1, h, w) bool array or tensor

    Returns
    -------
    (n, c, h, w) tensor in [0, 1]

    Raises
    ------
    UsageError
        When the shapes do not fit.

    Source: RWN, equation 3 (which writes M and M_R for the same mask).
    """
    where = torch.as_tensor(masks, device=pictures.device).to(torch.bool)
    where = where if where.ndim == 4 else where[:, None]
    n, _, h, w = pictures.shape
    if others.shape != pictures.shape or where.shape != (n, 1, h, w):
        raise UsageError(
            f"Pictures {tuple(pictures.shape)}, others {tuple(others.shape)} and masks "
            f"{tuple(where.shape)} do not fit: give equal pictures, and a mask of that size each."
        )
    return torch.where(where, others, pictures).clamp(0, 1)
