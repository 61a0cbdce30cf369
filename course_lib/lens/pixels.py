"""What the sensor and the camera's software do to pixel values."""

from typing import Literal

import numpy as np

from course_lib.errors import UsageError

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601), as in JPEG and most photo software."""

GRAYS = {"luma": LUMA, "green": (0.0, 1.0, 0.0)}
"""Ways to make one value of three, as weights of red, green and blue."""

Gray = Literal["luma", "green"]


def saturate(picture: np.ndarray, s: float) -> np.ndarray:
    """Change the colour saturation: gray + s · (picture − gray), where gray is luma.

    Parameters
    ----------
    picture : HxWx3 uint8 or float32 in [0, 1]
    s : float
        0 gives grayscale, 1 the same picture, 2 exaggerated colours.

    Notes
    -----
    Source: "Dissecting Image Crops", Appendix E.1.
    """
    gray = picture @ np.array(LUMA, np.float32)
    return _in_range(gray[..., None] + s * (picture - gray[..., None]), picture.dtype)


def grayscale(picture: np.ndarray, how: Gray = "luma") -> np.ndarray:
    """Remove colour; three equal channels are left.

    Parameters
    ----------
    picture : HxWx3 uint8 or float32 in [0, 1]
    how : "luma" or "green"
        Weighted mean of the channels, or the green channel copied into all three. The second
        removes chromatic aberration exactly; the first leaves a trace of it as blur.

    Raises
    ------
    UsageError
        `how` is something else.
    """
    if how not in GRAYS:
        raise UsageError(f"grayscale '{how}' is unknown: choose one of {', '.join(GRAYS)}.")
    gray = picture @ np.array(GRAYS[how], np.float32)
    return _in_range(np.repeat(gray[..., None], 3, axis=2), picture.dtype)


def sensor_noise(
    picture: np.ndarray, rng: np.random.Generator, shot: float = 0.02, read: float | None = None
) -> np.ndarray:
    """Add the noise of a sensor: shot noise of the photons, read noise of the electronics.

    Photons arrive at random. Where N are expected, √N is the usual deviation, so the variance
    grows with brightness x; the electronics add a constant: σ² = shot² · x + read².

    Parameters
    ----------
    picture : uint8, or float32 in [0, 1]
    rng : numpy.random.Generator
    shot : float
        σ of a white pixel, white = 1.
    read : float
        σ of a black pixel; a quarter of `shot` if not given.

    Returns
    -------
    array
        Same dtype and shape, clipped to its range.
    """
    read = shot / 4 if read is None else read
    white = np.float32(255 if picture.dtype == np.uint8 else 1)
    x = np.clip(picture / white, 0, 1).astype(np.float32)
    sigma = np.sqrt(np.float32(shot**2) * x + np.float32(read**2))
    x += sigma * rng.standard_normal(x.shape, dtype=np.float32)
    return _in_range(x * white, picture.dtype)


def _in_range(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Clip to what a picture of this dtype can hold; round for uint8."""
    if dtype == np.uint8:
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.clip(values, 0, 1)
