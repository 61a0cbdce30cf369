"""Chromatic aberration: each colour channel has its own magnification and its own blur."""

from typing import Any

import cv2
import numpy as np

from course_lib.lens.resample import resample

NARROWEST = 0.8
"""Smallest σ, in pixels, at which a sampled Gaussian still has the variance σ² (to 0.1 %)."""


def radius(shape: tuple[int, ...], center: tuple[float, float] = (0.5, 0.5)) -> np.ndarray:
    """Distance of every pixel from the optical centre, in halves of the frame's diagonal.

    Parameters
    ----------
    shape : (height, width, ...)
    center : (x, y)
        Optical centre as fractions of width and height.

    Returns
    -------
    HxW float32
        For a centred lens 0 in the middle and 1 in the outer corners; the far corners of a
        decentred one lie beyond 1. Pixel centres lie at +0.5.
    """
    height, width = shape[:2]
    dx = np.arange(width) + 0.5 - center[0] * width
    dy = np.arange(height) + 0.5 - center[1] * height
    return (np.hypot(dx[None, :], dy[:, None]) / (np.hypot(width, height) / 2)).astype(np.float32)


def magnify(channel: np.ndarray, m: float, center: tuple[float, float] = (0.5, 0.5)) -> np.ndarray:
    """Magnify one channel m times about the optical centre.

    What was at q lands at c + m (q − c). Each pixel of the result is read where its light comes
    from, between pixels too; any smooth interpolation will do (`resample` is one).

    Parameters
    ----------
    channel : HxW uint8 or float32
    m : float
        Above 1 the channel grows (moves outward), below 1 it shrinks (moves inward) and its
        edge pixels are repeated in the gap.
    center : (x, y)
        Optical centre as fractions of width and height.

    Returns
    -------
    HxW, same dtype
        Rounded for uint8.
    """
    height, width = channel.shape
    cx, cy = center[0] * width, center[1] * height
    x = cx + (np.arange(width) + 0.5 - cx) / m
    y = cy + (np.arange(height) + 0.5 - cy) / m
    return resample(channel, x[None, :], y[:, None])


def blur_at(r: Any, sigma_axis: float, sigma_corner: float) -> Any:
    """Blur at radius r of a lens whose field is curved: σ(r) = σ_axis + (σ_corner − σ_axis) r².

    The sharp image lies on a bowl, the sensor is flat; between them is a gap that grows with r²,
    and the disc of blur is proportional to the gap.

    Parameters
    ----------
    r : float or array
        Radius, 1 in the corners.
    sigma_axis, sigma_corner : float
        σ of the blur in pixels for r = 0 and r = 1.
    """
    return np.maximum(sigma_axis + (sigma_corner - sigma_axis) * np.square(r), 0)


def defocus(
    channel: np.ndarray,
    sigma_axis: float,
    sigma_corner: float,
    center: tuple[float, float] = (0.5, 0.5),
) -> np.ndarray:
    """Blur one channel by σ(r), which changes over the picture, for the price of one Gaussian.

    Mixing variances: a share w of a Gaussian of variance σ² and 1 − w of no blur at all spreads a
    point with variance w σ². So w = (σ(r) / σ_max)² has exactly the right second moment anywhere
    (not quite the shape of a Gaussian: a sharp core in a soft halo). σ_max, the width of the one
    Gaussian, is the largest σ(r) of all pixels of the picture, but at least `NARROWEST`. (Corners
    of a decentred lens lie beyond r = 1, so it may exceed both arguments.)

    Parameters
    ----------
    channel : HxW uint8 or float32
    sigma_axis, sigma_corner : float
        Blur in pixels at the optical centre and at r = 1 (see `blur_at`).
    center : (x, y)
        Optical centre as fractions of width and height.

    Returns
    -------
    HxW, same dtype
        Rounded for uint8.
    """
    sigma = blur_at(radius(channel.shape, center), sigma_axis, sigma_corner)
    widest = max(float(sigma.max()), NARROWEST)
    weight = np.square(sigma / widest)
    blurred = cv2.GaussianBlur(channel.astype(np.float32), (0, 0), widest)
    mixed = channel + weight * (blurred - channel)
    return mixed if channel.dtype != np.uint8 else np.rint(mixed).astype(np.uint8)
