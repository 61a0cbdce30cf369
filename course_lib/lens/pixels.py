"""What the sensor and the camera's software do to pixel values."""

from typing import Literal

import numpy as np

from course_lib.errors import UsageError

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601), as in JPEG and most photo software."""

Gray = Literal["luma", "green"]


def saturation_matrix(s: float) -> np.ndarray:
    """Colour matrix of `saturate`: s · I + (1 − s) · (luma in every row), 3×3 float32."""
    return (s * np.eye(3) + (1 - s) * np.tile(LUMA, (3, 1))).astype(np.float32)


def grayscale_matrix(how: Gray = "luma") -> np.ndarray:
    """Colour matrix of `grayscale`: the same weights in every row, 3×3 float32."""
    weights = {"luma": LUMA, "green": (0.0, 1.0, 0.0)}
    if how not in weights:
        raise UsageError(f"grayscale '{how}' is unknown: choose 'luma' or 'green'.")
    return np.tile(np.array(weights[how], np.float32), (3, 1))


def recolour(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Multiply each pixel's (R, G, B) by a 3×3 matrix; same dtype, clipped to its range."""
    if picture.dtype == np.uint8:
        return np.clip(np.rint(picture @ matrix.T), 0, 255).astype(np.uint8)
    return np.clip(picture @ matrix.T, 0, 1)


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
    return recolour(picture, saturation_matrix(s))


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
    return recolour(picture, grayscale_matrix(how))


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
    x = np.clip(x, 0, 1) * white
    return np.rint(x).astype(np.uint8) if picture.dtype == np.uint8 else x
