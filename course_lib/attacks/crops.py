"""Cutting a part out of a picture, and stretching it back to full size."""

import numpy as np
import torch
from torch import Tensor

from course_lib.errors import UsageError


def draw_boxes(n: int, rng: np.random.Generator, low: float = 0.5, high: float = 0.8) -> Tensor:
    """Draw crops that keep a random share of the width and, independently, of the height.

    Parameters
    ----------
    n : int
        How many.
    rng : numpy Generator
    low, high : float
        Range of the share of each side that is kept, from 0 to 1.

    Returns
    -------
    (n, 4) float tensor
        (x1, y1, x2, y2) as fractions of the picture; anywhere in it, all places equally likely.

    Raises
    ------
    UsageError
        When the range is none.
    """
    if not 0 < low <= high <= 1:
        raise UsageError(f"Crops cannot keep {low} to {high} of a side: stay above 0, up to 1.")
    size = rng.uniform(low, high, (n, 2))
    corner = rng.random((n, 2)) * (1 - size)
    return torch.from_numpy(np.hstack([corner, corner + size]).astype(np.float32))


def stretched(pictures: Tensor, boxes: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Cut each picture's box out and stretch it to full size, by straight lines between pixels.

    Parameters
    ----------
    pictures : (n, c, h, w) tensor
    boxes : (n, 4) tensor
        (x1, y1, x2, y2) as fractions of the picture, edges. Nothing outside is looked at.
    size : (height, width), optional
        Of the result; that of the pictures without it. A box of more pixels than that is averaged
        over areas, so nothing aliases.

    Returns
    -------
    (n, c, height, width) tensor
        Exactly the pictures when the boxes are whole, and what ``cv2.resize`` makes of the cut-out
        when the edges lie between pixels. Gradients pass to the pictures.

    Raises
    ------
    UsageError
        When a box is empty, leaves its picture, or boxes and pictures differ in number.
    """
    h, w = pictures.shape[-2:]
    height, width = size or (h, w)
    edges = boxes.detach().to(pictures.device, torch.float64)
    if edges.shape != (len(pictures), 4):
        raise UsageError(f"{tuple(boxes.shape)} boxes for {len(pictures)} pictures: give (n, 4).")
    inside = (edges >= -1e-6) & (edges <= 1 + 1e-6)
    if not (inside.all() and (edges[:, :2] < edges[:, 2:]).all()):
        raise UsageError("A box is empty or leaves its picture: 0 ≤ x1 < x2 ≤ 1, and so for y.")
    rows = stretch_weights(edges[:, 1], edges[:, 3], h, height).to(pictures)
    columns = stretch_weights(edges[:, 0], edges[:, 2], w, width).to(pictures)
    return rows[:, None] @ (pictures @ columns[:, None].mT)


def stretch_weights(low: Tensor, high: Tensor, old: int, new: int) -> Tensor:
    """Return how much each old pixel adds to each new one along an axis: (n, new, old)."""
    start, end = low[:, None, None] * old, high[:, None, None] * old
    step = (end - start) / new
    pixel = torch.arange(old, device=low.device)
    place = torch.arange(new, device=low.device)[:, None] + 0.5
    away = start + place * step - (pixel + 0.5)
    hat = (1 - away.abs() / step.clamp(min=1)).clamp(min=0)
    # A pixel counts by the part of it that lies in the box; the share of others grows instead.
    inside = (torch.minimum(pixel + 1, end) - torch.maximum(pixel + 0.0, start)).clamp(0, 1)
    weights = hat * inside
    return weights / weights.sum(dim=2, keepdim=True)
