"""Finding the place: a faint keyed pattern, and a search for the part of it that is still there.

The code of `thumbnail` can be read only when each pixel is back in its place. So the picture
carries a second thing, the template: noise that only the key can draw, in a band of frequencies
that JPEG mostly keeps, strong where the picture is busy. A crop is stretched to every likely width
and height, and correlated with the whole template at all places at once (FFT). The best place is
then refined, down to fractions of a pixel.

Pictures are far from white, and a correlation is best among white noise. So the crop is first
reduced to its finest detail and divided by how strong that is nearby: the flat sky then counts
as much as the foliage.

Sources: S. Pereira and T. Pun, "Robust template matching for affine resistant image watermarks"
(2000); W. Zeng and B. Liu, "A statistical watermark detection technique" (1999), for whitening.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy.fft import fftfreq, irfft2, rfft2

from course_lib.clrnet.frame import CHEAPEST, demand_picture, put_back, to_ycc
from course_lib.geometry import Box, iou

BAND = 0.16, 0.38
"""Frequencies of the template, in cycles per pixel of the square."""
AMPLITUDE = 0.13
"""Deviation of the template, relative to the detail of the picture nearby."""
LEAST = 1.9
"""Root mean square of the template in gray values, at least: a flat picture needs it as well."""
DETAIL = 3.0, 40.0
"""Least and largest detail that counts, in gray values."""
NEARBY = 2.5
"""σ of what is nearby, in pixels of the square."""
FINE = 1.5
"""σ of the blur that is subtracted to leave fine detail."""
QUIET = 3.0
"""Detail below which there is nothing but rounding, in gray values."""
SMALLEST = 0.55
"""Shortest side of a crop that is searched, as a fraction."""
STEP = 3
"""Pixels between the widths, and heights, of the first search."""
BEST = 5
"""Sizes around which the search is repeated pixel by pixel."""
SHIFTS = 1.0, 0.5, 0.25
"""Pixels by which edges are moved in the end, finer and finer."""
LIKELY = 0.97
"""Whole pixels are preferred to fractions if they reach this share of the score."""
PRESENT = 7.5
"""Scores below are what pictures without the template reach by chance."""
WHOLE = 0.985
"""A box at least this wide and high is the whole picture."""


@dataclass(frozen=True)
class Place:
    """Where a crop was, and how sure that is.

    Attributes
    ----------
    box : Box
        As fractions of the whole picture.
    score : float
        Correlation with the template there, in standard deviations of what chance gives.
    runner_up : float
        The same at the best of the sizes whose box overlaps this one by less than half.
    """

    box: Box
    score: float
    runner_up: float


@lru_cache(maxsize=8)
def pattern(key: int, side: int, band: tuple[float, float] = BAND) -> np.ndarray:
    """Draw the template: noise of a band of frequencies, mean 0, deviation 1.

    Parameters
    ----------
    key : int
        Draws the same noise again.
    side : int
        Width and height.
    band : (low, high)
        In cycles per pixel.

    Returns
    -------
    (side, side) float32
    """
    noise = np.random.default_rng((key, side, 3)).standard_normal((side, side))
    frequency = np.hypot(fftfreq(side)[:, None], fftfreq(side)[: side // 2 + 1])
    inside = (band[0] <= frequency) & (frequency <= band[1])
    drawn = irfft2(rfft2(noise) * inside, s=(side, side))
    result: np.ndarray = (drawn / drawn.std()).astype(np.float32)
    return result


def detail(luma: np.ndarray) -> np.ndarray:
    """Deviation of the fine detail around each pixel, in gray values: (h, w) to (h, w)."""
    fine = luma - cv2.GaussianBlur(luma, (0, 0), NEARBY)
    return np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), NEARBY))


def stamp(picture: np.ndarray, key: int, amplitude: float = AMPLITUDE) -> np.ndarray:
    """Change that puts the template into a square picture, hidden by the picture's own detail.

    Parameters
    ----------
    picture : (side, side, 3) float
        R, G and B in 0..255.
    key : int
    amplitude : float
        Relative to the detail nearby.

    Returns
    -------
    (side, side, 3) float32
        To be added.
    """
    luma = to_ycc(picture)[..., 0]
    strength = amplitude * detail(luma).clip(*DETAIL)
    strength *= max(1.0, LEAST * amplitude / AMPLITUDE / np.sqrt((strength**2).mean()))
    return (strength * pattern(key, len(luma)))[..., None] * CHEAPEST


def whitened(luma: np.ndarray) -> np.ndarray:
    """Leave the fine detail of a picture, equally strong everywhere: (h, w) to float32 (h, w)."""
    luma = luma.astype(np.float32)
    fine = luma - cv2.GaussianBlur(luma, (0, 0), FINE, borderType=cv2.BORDER_REFLECT)
    power = cv2.GaussianBlur(fine * fine, (0, 0), 4.0, borderType=cv2.BORDER_REFLECT)
    return fine / np.sqrt(power + QUIET**2)


def best_of_size(
    seen: np.ndarray, spectrum: np.ndarray, width: int, height: int
) -> tuple[float, int, int]:
    """Stretch what is seen to a size, and find where it fits the template best.

    Parameters
    ----------
    seen : (h, w) float32
        Whitened.
    spectrum : (side, side / 2 + 1) complex
        Fourier transform of the whole template.
    width, height : int
        Size to stretch to, in pixels.

    Returns
    -------
    score : float
        In standard deviations: about normal where there is no template.
    left, top : int
    """
    side = len(spectrum)
    padded = np.zeros((side, side), np.float32)
    padded[:height, :width] = cv2.resize(seen, (width, height), interpolation=cv2.INTER_LINEAR)
    products = irfft2(spectrum * rfft2(padded).conj(), s=(side, side))
    places = products[: side - height + 1, : side - width + 1]
    top, left = np.unravel_index(places.argmax(), places.shape)
    return float(places[top, left] / np.linalg.norm(padded)), int(left), int(top)


def score(seen: np.ndarray, key: int, box: Box, side: int) -> float:
    """Correlate a crop with the template at a box whose edges may lie between pixels.

    Parameters
    ----------
    seen : (h, w, 3)
        R, G and B.
    key, side : int
    box : Box

    Returns
    -------
    float
        In standard deviations, as in `best_of_size`.
    """
    canvas, (left, top, right, bottom) = put_back(seen, box, side, "area", snap=0)
    here = whitened(to_ycc(canvas[top:bottom, left:right])[..., 0])
    there = pattern(key, side)[top:bottom, left:right]
    return float((here * there).sum() / np.linalg.norm(here))


def locate(seen: np.ndarray, key: int, side: int = 128) -> Place:
    """Find where a crop was.

    Parameters
    ----------
    seen : (h, w, 3) uint8
        Of any size and aspect.
    key : int
    side : int
        Of the square in which the template was drawn.

    Returns
    -------
    Place
        The best one; whether it means anything, its score says (`decide`).
    """
    demand_picture(seen)
    luma = to_ycc(seen)[..., 0]
    smaller = min(side, luma.shape[1]), min(side, luma.shape[0])
    here = whitened(cv2.resize(luma, smaller, interpolation=cv2.INTER_AREA))
    spectrum = rfft2(pattern(key, side))

    def tried(sizes: Sequence[tuple[int, int]]) -> list[tuple[float, int, int, int, int]]:
        found = [(*best_of_size(here, spectrum, *size), *size) for size in sizes]
        return sorted(found, reverse=True)

    lengths = range(side, int(SMALLEST * side) - 1, -STEP * side // 128)
    first = tried([(width, height) for width in lengths for height in lengths])
    reach = STEP * side // 128 - 1
    around = {
        (min(width + i, side), min(height + j, side))
        for *_, width, height in first[:BEST]
        for i in range(-reach, reach + 1)
        for j in range(-reach, reach + 1)
    }
    found, left, top, width, height = tried(sorted(around))[0]
    rough = Box.from_pixels(left, top, left + width, top + height, (side, side))
    others = [
        one
        for one, x, y, w, h in first
        if iou(Box.from_pixels(x, y, x + w, y + h, (side, side)), rough) < 0.5
    ]
    box, best = refined(seen, key, rough, side)
    return Place(box, max(best, found), max(others, default=0.0))


def refined(seen: np.ndarray, key: int, box: Box, side: int) -> tuple[Box, float]:
    """Move one or two edges at a time as long as the correlation rises, in ever smaller steps.

    Parameters
    ----------
    seen : (h, w, 3)
    key : int
    box : Box
        Right within about a pixel.
    side : int

    Returns
    -------
    box : Box
    score : float
    """
    one = np.eye(4)
    moves = [*one, one[0] + one[2], one[1] + one[3]]
    moves += [-move for move in moves]
    best = score(seen, key, box, side)
    for shift in SHIFTS:
        rising = True
        while rising:
            tried = [moved(box, move * shift / side) for move in moves]
            scores = [score(seen, key, other, side) for other in tried]
            rising = max(scores) > best + 1e-6
            if rising:
                best, box = max(scores), tried[int(np.argmax(scores))]
    whole = Box.from_pixels(*box.to_pixels((side, side)), (side, side))
    on_grid = score(seen, key, whole, side)
    return (whole, on_grid) if on_grid > LIKELY * best else (box, best)


def moved(box: Box, by: np.ndarray) -> Box:
    """Move the edges of a box, and keep them within the picture."""
    x1, y1, x2, y2 = (np.array([*box]) + by).clip(0, 1)
    return Box(x1, y1, x2, y2) if min(x2 - x1, y2 - y1) > SMALLEST / 2 else box


def decide(place: Place, present: float = PRESENT, whole: float = WHOLE) -> str:
    """Say in words what a place means: "not protected", "not cropped" or "cropped".

    Parameters
    ----------
    place : Place
    present : float
        Lowest score of a picture that holds the template.
    whole : float
        Least width and height of a box that is taken for the whole picture.
    """
    if place.score < present:
        return "not protected"
    if min(place.box.width, place.box.height) >= whole:
        return "not cropped"
    return "cropped"
