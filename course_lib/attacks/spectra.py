"""Frequencies: the spectrum of a picture, faint patterns in a band of it, and what is left of them.

Frequencies are in cycles per pixel, from 0 (the mean) to 1/2 (pixels that alternate).
"""

import numpy as np

from course_lib.errors import UsageError

Band = tuple[float, float]

BANDS: tuple[Band, ...] = tuple((2.0**-k, 2.0 ** (1 - k)) for k in (6, 5, 4, 3, 2))
"""Five octaves, from waves of 64 pixels to waves of 2."""
STRENGTH = 2.0
"""Root mean square of a faint pattern, in gray levels of 255: nobody sees it in a photograph."""


def words(band: Band) -> str:
    """Say how long the waves of a band are: ``8–4 px``."""
    return f"{1 / band[0]:.0f}–{1 / band[1]:.0f} px"


def frequencies(shape: tuple[int, ...]) -> np.ndarray:
    """Return the frequency of every entry of a plane's ``np.fft.fft2``: (height, width)."""
    return np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))


def radial_power(plane: np.ndarray, rings: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Average the power of a plane over all directions, ring by ring of frequency.

    The plane's mean is taken off and a Hann window (the outer product of two ``np.hanning``) laid
    over it, so that its borders are no edges. Powers are divided by the sum of the squared
    window: white noise of variance v then has the power v in every ring.

    Parameters
    ----------
    plane : (h, w) array
    rings : int
        Ring k holds frequencies from k to k + 1, divided by ``2 * rings``. What lies at 1/2 or
        beyond, in the corners of the spectrum, is left out.

    Returns
    -------
    frequency, power : (rings,) arrays
        The middle of each ring, cycles per pixel, and the mean power in it; 0 in a ring that no
        frequency falls into.
    """
    window = np.outer(np.hanning(plane.shape[0]), np.hanning(plane.shape[1]))
    spectrum = np.fft.fft2((plane - plane.mean()) * window)
    power = np.abs(spectrum) ** 2 / (window**2).sum()
    ring = (frequencies(plane.shape) * 2 * rings).astype(int)
    inside = ring < rings
    total = np.bincount(ring[inside], power[inside], rings)
    count = np.bincount(ring[inside], minlength=rings)
    return (np.arange(rings) + 0.5) / (2 * rings), total / np.maximum(count, 1)


def in_band(plane: np.ndarray, band: Band) -> np.ndarray:
    """Keep the frequencies of a band and nothing else.

    Parameters
    ----------
    plane : (h, w) array
    band : (low, high)
        Cycles per pixel; the lower end belongs to it.
    """
    radius = frequencies(plane.shape)
    chosen = (radius >= band[0]) & (radius < band[1])
    return np.fft.ifft2(np.fft.fft2(plane) * chosen).real


def faint_pattern(
    shape: tuple[int, ...], band: Band, rng: np.random.Generator, strength: float = STRENGTH
) -> np.ndarray:
    """Draw a random pattern that has only frequencies of one band.

    Parameters
    ----------
    shape : (height, width, ...)
        Of the picture.
    band : (low, high)
        Cycles per pixel.
    rng : numpy Generator
    strength : float
        Root mean square of the pattern, gray levels.

    Returns
    -------
    (h, w) float array

    Raises
    ------
    UsageError
        When a picture of this size has no frequency in the band.
    """
    pattern = in_band(rng.standard_normal(shape[:2]), band)
    rms = np.sqrt((pattern**2).mean())
    if rms < 1e-9:
        raise UsageError(f"A picture of {shape[1]} × {shape[0]} has no waves of {words(band)}.")
    return strength * pattern / rms


def added(picture: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Add a gray pattern to a picture, and round to 8 bits.

    Parameters
    ----------
    picture : HxWx3 uint8
    pattern : HxW array
        Gray levels.
    """
    return np.rint(picture + pattern[..., None]).clip(0, 255).astype(np.uint8)


def kept(plain: np.ndarray, marked: np.ndarray, pattern: np.ndarray) -> float:
    """Say which share of a pattern's amplitude is left after an attack.

    The attacked picture with the pattern minus the attacked picture without it is what became of
    the pattern. The share of the pattern in it is the factor a for which a · pattern comes
    nearest, in the sense of least squares.

    Parameters
    ----------
    plain : (h, w) array
        The picture without the pattern, after the attack.
    marked : (h, w) array
        The picture with the pattern, after the same attack.
    pattern : (h, w) array
        As it was added.

    Returns
    -------
    float
        1 when all is left, 0 when nothing; a little more or less by chance.
    """
    became = np.asarray(marked, float) - plain
    return float((became * pattern).sum() / (pattern**2).sum())


def clarity(picture: np.ndarray, marked: np.ndarray, pattern: np.ndarray, band: Band) -> float:
    """Say how clearly a pattern stands out for somebody who knows the original picture.

    Parameters
    ----------
    picture : (h, w) array
        The original, not attacked.
    marked : (h, w) array
        The picture with the pattern, after the attack.
    pattern : (h, w) array
    band : (low, high)
        Of the pattern; all else is filtered away first.

    Returns
    -------
    float
        Correlation of the difference with the pattern, at most 1. What the attack itself does in
        the band counts as disturbance.
    """
    difference = in_band(np.asarray(marked, float) - picture, band)
    size = np.sqrt((difference**2).sum() * (pattern**2).sum())
    return float((difference * pattern).sum() / size) if size > 0 else 0.0
