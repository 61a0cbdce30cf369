"""What is hidden: gray textures in which every place looks like no other.

A watermark is a float32 (256, 256) array in [0, 1] with mean 0.5 and deviation 0.2. It has to serve
three parties. Matching wants detail, all over and without repetition, so that half of it in each
direction is enough to know the place. Whoever hides it wants no fine detail: what varies faster
than about ten pixels is what JPEG, blur and rescaling take first. And readers want to recognise it.
Dead leaves of one contrast everywhere, slightly out of focus, please all three.
"""

from pathlib import Path

import cv2
import numpy as np

from course_lib.errors import UsageError
from course_lib.geometry import Box
from course_lib.leaves import dead_leaves
from course_lib.photos import middle_square, read_photo
from course_lib.rwn.match import APART, LEVELS, SIDE, coarse, overlaps, pyramid, stretched

MEAN, DEVIATION = 0.5, 0.2
NEIGHBOURHOOD = 12.0
"""σ in pixels of the Gaussian in which contrast is made even: waves longer than about 64 pixels
go. A crop would cut them short, and the photograph that carries the watermark is full of them."""
SOFTNESS = 2.0
"""σ in pixels of the last blur: at 1/10 cycles per pixel a fifth of the power is left."""
DRAWN = 4.0
"""The same for drawings. What the network extracts after JPEG 70 from 70 % of each side resembles
the true watermark by an SSIM of .76, .81, .82 and .83 for 2.5, 3.5, 4 and 4.5 (10 to 12 photographs
kept for choosing it); from 4 on boxes get worse (IoU .986, .986, .984 and .978 at 50 % kept and
JPEG 50)."""
FLAT = 0.02
"""Deviation of gray values (0 to 1) under which a neighbourhood counts as flat: its noise is not
blown up to full contrast."""
LEAVES = 12.0, 20.0
"""Smallest and largest radius of leaves in pixels. Where a large leaf is flat, nobody can say
whether the watermark is there: with radii of up to 48 the key alone marks pasted areas with an F1
of .70, with these .76 (10 photographs kept for choosing it)."""
PATTERNS = "stripes", "checkerboard", "dots", "bricks"
CROPS = tuple(Box(x, y, x + 0.5, y + 0.5) for x in (0, 0.5) for y in (0, 0.5))
"""Parts of a watermark for which `locatability` looks for a double."""


def draw(seed: int = 0, softness: float = DRAWN) -> np.ndarray:
    """Draw a watermark: dead leaves in gray, prepared as any other picture.

    Leaves are 24 to 40 pixels across, so that outlines carry the detail and the drawing stays
    legible after extraction. More than three quarters of its power lie between 1/64 and 1/10 cycles
    per pixel: low enough to outlive compression and blur, high enough to place half a picture to a
    pixel. See `LEAVES` and `DRAWN` for how they were chosen.

    Parameters
    ----------
    seed : int
        Each seed gives another drawing.
    softness : float
        σ of the blur in pixels.

    Returns
    -------
    float32 ndarray, (256, 256)
        Watermark.
    """
    leaves = dead_leaves(SIDE, seed, *LEAVES)
    return prepared(cv2.cvtColor(leaves, cv2.COLOR_RGB2GRAY), softness)


def prepared(gray: np.ndarray, softness: float = SOFTNESS) -> np.ndarray:
    """Make a watermark of any gray picture: one contrast everywhere, no finest detail.

    Each pixel is compared with its neighbourhood, in units of the contrast found there. What is
    prepared already changes little when it is prepared again.

    Parameters
    ----------
    gray : ndarray, (height, width)
        uint8, or float in [0, 1]. The middle square is used.
    softness : float
        σ of the last blur, in pixels of the watermark.

    Returns
    -------
    float32 ndarray, (256, 256)
        Mean 0.5, deviation 0.2, within [0, 1].

    Raises
    ------
    UsageError
        When the picture is not gray, too small, or flat.
    """
    square = _square(gray)
    detail = square - blurred(square, NEIGHBOURHOOD)
    contrast = np.sqrt(blurred(detail**2, NEIGHBOURHOOD))
    even = blurred(detail / (contrast + FLAT), softness)
    if even.std() < FLAT:
        raise UsageError("This picture is flat: a watermark needs texture. Choose another one.")
    for _ in range(4):  # cutting off the tails shrinks the deviation a little
        even = MEAN + DEVIATION * (even - even.mean()) / even.std()
        even = even.clip(0, 1)
    return even.astype(np.float32)


def read(path: str | Path, softness: float = SOFTNESS) -> np.ndarray:
    """Read a picture from a file and prepare it as a watermark.

    Raises
    ------
    PhotoError
        When the file is no picture that can be read; the message says why.
    UsageError
        When the picture has no texture.
    """
    picture = read_photo(path)
    try:
        return prepared(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), softness)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def locatability(watermark: np.ndarray) -> float:
    """Score how surely a crop of the watermark is found: 1 - likeness of the best wrong place.

    Parameters
    ----------
    watermark : ndarray, (256, 256)

    Returns
    -------
    float
        From 0, where some crop looks exactly like another box at some scale, towards 1. Half a
        picture seen at this coarseness (σ = 4 px) always resembles some other place by chance:
        textures reach about 0.6, repeated patterns stay near 0.
    """
    whole = pyramid(watermark)[0]
    everywhere = np.ones_like(whole)
    doubles = []
    for box in CROPS:
        seen = stretched(whole, box, whole.shape)
        edges, likeness = coarse(seen, whole, everywhere)
        elsewhere = overlaps(edges / LEVELS[0], np.array([*box])) < APART
        doubles.append(likeness[elsewhere].max())
    return float(1 - max(doubles))


def repeated(kind: str, period: int = 32) -> np.ndarray:
    """Draw a watermark that repeats itself: what the paper's Figure 2 advises against.

    Parameters
    ----------
    kind : str
        One of `PATTERNS`.
    period : int
        Pixels after which the pattern repeats.

    Raises
    ------
    UsageError
        For another kind.
    """
    y, x = np.mgrid[:SIDE, :SIDE] % period / period
    if kind == "stripes":
        pattern = x < 0.5
    elif kind == "checkerboard":
        pattern = (x < 0.5) ^ (y < 0.5)
    elif kind == "dots":
        pattern = np.hypot(x - 0.5, y - 0.5) < 0.3
    elif kind == "bricks":
        row = np.mgrid[:SIDE, :SIDE][0] // period
        pattern = (y > 0.15) & ((x + row % 2 / 2) % 1 > 0.1)
    else:
        raise UsageError(f"There is no pattern {kind!r}; choose one of {', '.join(PATTERNS)}.")
    return prepared(pattern.astype(np.float32))


def _square(gray: np.ndarray) -> np.ndarray:
    if gray.ndim != 2 or min(gray.shape) < SIDE // 8:
        raise UsageError(
            f"A picture of shape {gray.shape} cannot become a watermark: give a gray one, "
            f"(height, width), of at least {SIDE // 8} pixels on each side."
        )
    middle = middle_square(gray).astype(np.float32)
    if gray.dtype == np.uint8:
        middle /= 255
    if not np.isfinite(middle).all():
        raise UsageError("This picture holds numbers that are not finite; choose another one.")
    how = cv2.INTER_AREA if len(middle) > SIDE else cv2.INTER_CUBIC
    return cv2.resize(middle, (SIDE, SIDE), interpolation=how)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Average over the neighbourhood of each pixel, by a Gaussian of σ pixels, mirrored outside."""
    return cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
