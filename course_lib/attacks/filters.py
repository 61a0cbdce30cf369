"""Blur, noise, rescaling, contrast: attacks that keep every pixel in its place.

All take pictures (n, c, h, w) in [0, 1], return the same, clipped, and pass gradients.
"""

from functools import lru_cache
from math import ceil
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib.errors import UsageError


def rescaled(pictures: Tensor, factor: float) -> Tensor:
    """Scale pictures by a factor and back to their size.

    Parameters
    ----------
    pictures : (n, c, h, w) tensor in [0, 1]
    factor : float
        Below 1 they are made smaller first, and lose what is finer than the pixels in between.

    Raises
    ------
    UsageError
        When the factor is not positive.
    """
    if not factor > 0:
        raise UsageError(f"Pictures cannot be scaled by {factor}: give a positive factor.")
    h, w = pictures.shape[-2:]
    between = max(round(h * factor), 1), max(round(w * factor), 1)
    small = resized(pictures, between)
    return resized(small, (h, w)).clamp(0, 1)


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring pictures to a size by straight lines between pixels, or averages over areas.

    Parameters
    ----------
    pictures : (n, c, h, w) tensor
    size : (height, width)
    """
    return F.interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=True)


class _Median(torch.autograd.Function):
    """The median of each neighbourhood; gradients go to a pixel that equals it."""

    @staticmethod
    def forward(ctx: Any, pictures: Tensor, side: int) -> Tensor:
        if pictures.dtype == torch.float32 and pictures.device.type == "cpu":
            planes = pictures.detach().flatten(0, 1).contiguous().numpy()
            found = torch.from_numpy(np.stack([cv2.medianBlur(plane, side) for plane in planes]))
            found = found.view_as(pictures)
        else:
            found = torch.stack(_neighbours(pictures, side)).median(dim=0).values
        ctx.save_for_backward(pictures, found)
        ctx.side = side
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        pictures, found = ctx.saved_tensors
        h, w = pictures.shape[-2:]
        place = torch.zeros(found.shape, dtype=torch.uint8, device=found.device)
        for number, one in enumerate(_neighbours(pictures, ctx.side)):
            place.masked_fill_(one == found, number)
        row = torch.arange(h, device=found.device)[:, None] + place // ctx.side - ctx.side // 2
        column = torch.arange(w, device=found.device) + place % ctx.side - ctx.side // 2
        source = row.clamp(0, h - 1) * w + column.clamp(0, w - 1)  # clamped: edges are repeated
        given = torch.zeros_like(pictures).flatten(-2)
        given.scatter_add_(-1, source.flatten(-2), slopes[0].flatten(-2))
        return given.view_as(pictures), None


def _neighbours(pictures: Tensor, side: int) -> list[Tensor]:
    """Return the pictures moved to each place of a neighbourhood, edges repeated."""
    h, w = pictures.shape[-2:]
    reach = side // 2
    wide = F.pad(pictures, (reach,) * 4, mode="replicate")
    return [wide[..., y : y + h, x : x + w] for y in range(side) for x in range(side)]


def median_blur(pictures: Tensor, side: int) -> Tensor:
    """Replace every pixel by the median of its neighbourhood, channel by channel.

    Parameters
    ----------
    pictures : (n, c, h, w) tensor in [0, 1]
    side : int
        3 or 5 pixels.

    Raises
    ------
    UsageError
        For another side.
    """
    if side not in (3, 5):
        raise UsageError(f"A median of {side}×{side} pixels is not offered: choose 3 or 5.")
    found: Tensor = _Median.apply(pictures, side)
    return found.clamp(0, 1)


def gaussian_blur(pictures: Tensor, sigma: float) -> Tensor:
    """Blur with a Gaussian.

    Parameters
    ----------
    pictures : (n, c, h, w) tensor in [0, 1]
    sigma : float
        Standard deviation, px.

    Raises
    ------
    UsageError
        When sigma is not positive.
    """
    if not sigma > 0:
        raise UsageError(f"A blur of σ = {sigma} px is none: give a positive number.")
    rows, columns = (blur_matrix(sigma, side).to(pictures) for side in pictures.shape[-2:])
    return (rows @ (pictures @ columns.T)).clamp(0, 1)


@lru_cache(maxsize=16)
def blur_matrix(sigma: float, n: int) -> Tensor:
    """Return the (n, n) matrix that blurs a line of n pixels, mirrored at its ends."""
    reach = min(ceil(4 * sigma), n - 1)  # what lies beyond 4 σ weighs less than 1e-4
    away = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (away / sigma) ** 2).double()
    source = (torch.arange(n)[:, None] + away).abs()
    source = torch.minimum(source, 2 * (n - 1) - source)
    matrix = torch.zeros(n, n, dtype=torch.float64)
    return matrix.scatter_add_(1, source, (kernel / kernel.sum()).expand(n, -1))


def gaussian_noise(
    pictures: Tensor, sigma: float, generator: torch.Generator | None = None
) -> Tensor:
    """Add white noise, independent in every pixel and channel.

    Parameters
    ----------
    pictures : (n, c, h, w) tensor in [0, 1]
    sigma : float
        Standard deviation, where 1 is the step from black to white.
    generator : torch Generator, optional
        On the CPU.
    """
    noise = torch.randn(pictures.shape, generator=generator).to(pictures)
    return (pictures + sigma * noise).clamp(0, 1)


def dropout(
    pictures: Tensor,
    share: float,
    generator: torch.Generator | None = None,
    others: Tensor | None = None,
) -> Tensor:
    """Replace some pixels, drawn one by one, all their channels at once.

    Parameters
    ----------
    pictures : (n, c, h, w) tensor in [0, 1]
    share : float
        Probability that a pixel is replaced, from 0 to 1.
    generator : torch Generator, optional
        On the CPU.
    others : (n, c, h, w) tensor, optional
        What takes their place; black without it. HiDDeN takes the unmarked picture, which somebody
        who meets a published one does not have.

    Raises
    ------
    UsageError
        For a share outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"A share of {share} pixels cannot be replaced: give 0 to 1.")
    n, _, h, w = pictures.shape
    lost = (torch.rand(n, 1, h, w, generator=generator) < share).to(pictures.device)
    instead = torch.zeros_like(pictures) if others is None else others
    return torch.where(lost, instead, pictures).clamp(0, 1)


def contrast(pictures: Tensor, factor: float) -> Tensor:
    """Multiply the distance of every value from middle gray.

    Parameters
    ----------
    pictures : (n, c, h, w) tensor in [0, 1]
    factor : float
        1.2 is 20 % more contrast; 0 leaves nothing but gray.
    """
    return (0.5 + factor * (pictures - 0.5)).clamp(0, 1)


def brightness(pictures: Tensor, amount: float) -> Tensor:
    """Add the same to every value.

    Parameters
    ----------
    pictures : (n, c, h, w) tensor in [0, 1]
    amount : float
        From -1 to 1, where 1 is the step from black to white.
    """
    return (pictures + amount).clamp(0, 1)


def quantized(pictures: Tensor) -> Tensor:
    """Round to 8 bits as any file does; gradients pass as if nothing had happened.

    Parameters
    ----------
    pictures : (n, c, h, w) tensor
        Clipped to [0, 1] first.
    """
    inside = pictures.clamp(0, 1)
    return inside + (torch.round(255 * inside) / 255 - inside).detach()
