"""Hiding a watermark without training: add it faintly, and listen where the photograph is quiet.

The baseline for the networks. What stands in the way of reading an added pattern is the photograph
itself, and photographs differ far less in colour than in brightness. So the watermark goes into
one colour difference, blue - yellow, where the eye is least sharp as well. What the photograph has
there is mostly explained by its brightness nearby (an object has one colour), and is subtracted.

Whatever happens to place and scale of the picture happens to the pattern, so there is no key and no
grid to lose: the watermark itself is what gets matched. Its waves of 10 to 64 pixels lie below what
JPEG's halved colour and coarse tables take away.

Source: M. Kutter, F. Jordan and F. Bossen, "Digital signature of color images using amplitude
modulation" (1997), for the blue channel and prediction of the host from its surroundings;
K. He, J. Sun and X. Tang, "Guided image filtering" (2010), for prediction from local regression.
"""

import cv2
import numpy as np

from course_lib.errors import UsageError
from course_lib.metrics import psnr as psnr_of
from course_lib.rwn.match import SIDE
from course_lib.rwn.watermarks import DEVIATION, MEAN, blurred

BLUE_YELLOW = np.array([0.0, -0.344, 1.772], np.float32)
"""Change of R, G and B with one unit of Cb: brightness stays as it is."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
WINDOW = 20.0
"""σ in pixels of the neighbourhoods in which one colour difference is explained by the rest. A crop
of half the picture doubles the watermark's waves, which then still have to fit in."""
FINEST = 1.5
"""σ in pixels of the blur that takes away what is finer than any watermark."""
QUIET = 1.0
"""Deviation in gray values (0 to 255) below which a neighbourhood has nothing to explain."""


def embed(picture: np.ndarray, watermark: np.ndarray, psnr: float = 39.0) -> np.ndarray:
    """Add the watermark to the blue - yellow difference, as strongly as the PSNR allows.

    Parameters
    ----------
    picture : uint8 ndarray, (height, width, 3)
        RGB.
    watermark : ndarray, (256, 256)
        In [0, 1], stretched over the whole picture.
    psnr : float
        Quality to reach, in dB.

    Returns
    -------
    uint8 ndarray
        The protected picture, same shape.
    """
    demand_rgb(picture)
    height, width = picture.shape[:2]
    pattern = cv2.resize(watermark.astype(np.float32), (width, height))
    change = (pattern - pattern.mean())[..., None] * BLUE_YELLOW
    strength = 255 * 10 ** (-psnr / 20) / np.sqrt((change**2).mean())
    for _ in range(5):  # rounding and clipping change the error a little
        protected = np.rint(picture + strength * change).clip(0, 255).astype(np.uint8)
        strength *= 10 ** ((psnr_of(picture, protected) - psnr) / 20)
    return protected


def extract(picture: np.ndarray) -> np.ndarray:
    """Read the watermark: what blue - yellow has that brightness and red - cyan do not explain.

    In every neighbourhood blue - yellow is regressed on the two others, as in the guided filter.
    The rest is divided by its own strength nearby, so that no busy corner drowns the quiet ones.

    Parameters
    ----------
    picture : uint8 ndarray, (height, width, 3)
        RGB, possibly cropped; it is stretched to 256 × 256.

    Returns
    -------
    float32 ndarray, (256, 256)
        Extracted watermark, mean 0.5, deviation 0.2, within [0, 1].
    """
    planes = blurred(opponents(picture), FINEST)
    details = planes - blurred(planes, WINDOW)
    causes, blue = details[..., :2], details[..., 2:]
    products = causes[..., :, None] * causes[..., None, :]
    matrix = blurred(products.reshape(*blue.shape[:2], 4), WINDOW).reshape(products.shape)
    right = blurred(causes * blue, WINDOW)[..., None]
    slopes = np.linalg.solve(matrix + QUIET * np.eye(2, dtype=np.float32), right)[..., 0]
    rest = blue[..., 0] - (slopes * causes).sum(axis=-1)
    even = rest / (np.sqrt(blurred(rest**2, WINDOW)) + QUIET)
    spread = float(even.std()) or 1.0
    return (MEAN + DEVIATION * (even - even.mean()) / spread).clip(0, 1).astype(np.float32)


def opponents(picture: np.ndarray) -> np.ndarray:
    """Stretch to 256 × 256 and turn RGB into brightness, red - cyan and blue - yellow (float32)."""
    demand_rgb(picture)
    how = cv2.INTER_AREA if min(picture.shape[:2]) > SIDE else cv2.INTER_LINEAR
    rgb = cv2.resize(picture, (SIDE, SIDE), interpolation=how).astype(np.float32)
    luma = rgb @ LUMA
    return np.stack([luma, (rgb[..., 0] - luma) / 1.402, (rgb[..., 2] - luma) / 1.772], axis=-1)


def demand_rgb(picture: np.ndarray) -> None:
    """Refuse what is no colour picture of 8 bits."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise UsageError(
            f"A picture of shape {picture.shape} ({picture.dtype}) cannot carry a watermark: "
            "give uint8 RGB, (height, width, 3)."
        )
