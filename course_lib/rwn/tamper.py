"""Where does the picture no longer say what the watermark says? Tampering, with and without a key.

Source: Q. Ying et al., "RWN" (ICIP 2022), sections III-A and III-B: a U-Net marks what was pasted,
from the picture alone. Whoever knows the watermark can do without any network: where the extracted
watermark does not resemble the true one, something else was put.
"""

import cv2
import numpy as np

from course_lib.geometry import FULL, Box
from course_lib.rwn.match import stretched
from course_lib.rwn.watermarks import blurred as local_mean

NEIGHBOURHOOD = 8.0
"""σ in pixels of the Gaussian in which likeness is measured."""
FAINT = 0.05
"""Deviation under which a watermark says nothing about a place."""


def likeness(
    found: np.ndarray, watermark: np.ndarray, box: Box = FULL, sigma: float = NEIGHBOURHOOD
) -> np.ndarray:
    """Correlate the extracted watermark with the true one in the neighbourhood of each pixel.

    Parameters
    ----------
    found : ndarray, (256, 256)
        Extracted watermark, stretched to full size.
    watermark : ndarray, (256, 256)
        The whole, true one.
    box : Box
        What part of it the picture shows.
    sigma : float
        Of the neighbourhood, in pixels.

    Returns
    -------
    float32 ndarray, (256, 256)
        Local normalised cross-correlation, -1 to 1.
    """
    truth = stretched(watermark, box, found.shape).astype(np.float32)
    a, b = (
        x.astype(np.float32) - local_mean(x.astype(np.float32), 3 * sigma) for x in (found, truth)
    )
    power = np.sqrt((local_mean(a * a, sigma) + FAINT**2) * (local_mean(b * b, sigma) + FAINT**2))
    return local_mean(a * b, sigma) / power


def marked(
    found: np.ndarray, watermark: np.ndarray, box: Box = FULL, threshold: float = 0.55
) -> np.ndarray:
    """Mark where the extracted watermark does not resemble the true one; no network, only a key.

    Parameters
    ----------
    found, watermark, box
        As for `likeness`.
    threshold : float
        Likeness below it counts as tampering.

    Returns
    -------
    (256, 256) bool ndarray
    """
    strange = (likeness(found, watermark, box) < threshold).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    return cv2.morphologyEx(strange, cv2.MORPH_OPEN, kernel).astype(bool)
