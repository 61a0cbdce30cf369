"""Sets of photographs by what is in them, chosen by measurement instead of by hand.

The paper took photographs for its test sets or sorted them by hand: upright, tilted, walls of one
texture, smooth walls. Here four kinds of measurement on a small copy of a photograph stand for
that (`photo_traits`), with thresholds that were set by looking at validation photographs
(`CRITERIA`). They are crude. A face that fills the frame counts as "no strong subject", and so does
an animal that hides well. "Tilted" means that most lines run obliquely, be it that the camera was
tilted or the roof. A photograph that lies on its side is "upright", and a very dark one "smooth".
But anybody's photographs can be sorted so, and twice with the same result.

Source: "Dissecting Image Crops", section 5.3, Figure 6 and Table 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from course_lib.errors import PhotoError
from course_lib.photos import Photo, resize_to

LONG_SIDE = 384
"""Pixels of the copy that is measured."""
BLOCK = 16
"""Side in pixels of the blocks in which detail is measured."""
SHORTEST_LINE = 0.06
"""Of the diagonal; shorter ones are grass and hair."""
ALONG = 4.0
"""Degrees within which a line runs along a direction."""


@dataclass(frozen=True)
class Traits:
    """What was measured in one photograph.

    Attributes
    ----------
    subject : float
        Share of what stands out that fits in a window of a ninth of the photograph: about 0.15
        when it is spread evenly, 1 when all of it is in one place.
    tilt : float
        Degrees, −45 to 45, by which most lines are off level or plumb; positive is clockwise. 0
        without lines.
    level : float
        Share of the length of all lines that is level or plumb.
    lines : float
        Length of all lines together, in diagonals of the photograph.
    faint, usual, strong : float
        Detail: the rms slope of brightness in blocks, in gray levels a pixel, that 20, 50 and
        80 % of the blocks stay below.
    """

    subject: float
    tilt: float
    level: float
    lines: float
    faint: float
    usual: float
    strong: float


CRITERIA: dict[str, Callable[[Traits], bool]] = {
    "general": lambda t: True,
    "no_subject": lambda t: t.subject < 0.19,
    "upright": lambda t: t.lines >= 1.5 and t.level >= 0.6 and abs(t.tilt) <= 3,
    "tilted": lambda t: t.lines >= 1.5 and t.level <= 0.35 and abs(t.tilt) >= 5,
    "texture": lambda t: t.faint >= 9,
    "smooth": lambda t: t.usual <= 7 and t.strong <= 15,
}
"""Which photographs belong to a set; one may belong to several, and all belong to "general"."""


def photo_traits(picture: np.ndarray) -> Traits:
    """Measure how concentrated, tilted and detailed a photograph is.

    Parameters
    ----------
    picture : HxWx3 uint8
        Larger ones are measured on a copy with a long side of 384 px, in about 30 ms.
    """
    small = resize_to(picture, LONG_SIDE)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    slope = _slope(gray)
    tilt, level, lines = _lines(gray)
    faint, usual, strong = np.quantile(_blocks(slope), (0.2, 0.5, 0.8))
    subject = _concentration(_standing_out(small, slope))
    return Traits(subject, tilt, level, lines, float(faint), float(usual), float(strong))


def split(photos: Sequence[Photo]) -> dict[str, list[Photo]]:
    """Sort photographs into sets by `CRITERIA`; those that cannot be read are left out.

    Parameters
    ----------
    photos : sequence of Photo

    Returns
    -------
    dict of name to list of Photo
        In the order of the photographs. Sets may be empty.
    """
    sets: dict[str, list[Photo]] = {name: [] for name in CRITERIA}
    for photo in photos:
        try:
            traits = photo_traits(photo.read())
        except PhotoError:
            continue
        for name, belongs in CRITERIA.items():
            if belongs(traits):
                sets[name].append(photo)
    return sets


def _slope(gray: np.ndarray) -> np.ndarray:
    """Return the slope of brightness squared, in gray levels a pixel."""
    plane = gray.astype(np.float32)
    along, down = (cv2.Scharr(plane, -1, *axis, scale=1 / 32) for axis in ((1, 0), (0, 1)))
    return along**2 + down**2


def _blocks(slope: np.ndarray) -> np.ndarray:
    """Average in blocks, and take the root."""
    rows, columns = (max(side // BLOCK, 1) for side in slope.shape)
    return np.sqrt(cv2.resize(slope, (columns, rows), interpolation=cv2.INTER_AREA))


def _standing_out(picture: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Say what stands out: by its colour, and by its detail.

    Source of the colour part: R. Achanta et al., "Frequency-tuned salient region detection",
    CVPR 2009; with the median colour, which one large object does not move.
    """
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    usual = np.median(lab.reshape(-1, 3), axis=0)
    colour = np.linalg.norm(cv2.GaussianBlur(lab, (0, 0), 3) - usual, axis=2)
    return colour * cv2.GaussianBlur(np.sqrt(slope), (0, 0), 8)


def _concentration(saliency: np.ndarray, grid: int = 48) -> float:
    """Return the share of a map that its richest window, a third of each side, holds."""
    cells = cv2.resize(saliency, (grid, grid), interpolation=cv2.INTER_AREA).astype(np.float64)
    sums = np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    if sums[-1, -1] < 1e-6:  # a blank picture: nothing stands out anywhere
        return 1 / 9
    a = grid // 3
    windows = sums[a:, a:] - sums[:-a, a:] - sums[a:, :-a] + sums[:-a, :-a]
    return float(windows.max() / sums[-1, -1])


def _lines(gray: np.ndarray) -> tuple[float, float, float]:
    """Find straight lines: their main direction off the axes, the level share, the length."""
    found = cv2.createLineSegmentDetector().detect(gray)[0]
    ends = np.zeros((0, 4)) if found is None else found.reshape(-1, 4).astype(np.float64)
    x, y = (ends[:, 2:] - ends[:, :2]).T
    length = np.hypot(x, y) / np.hypot(*gray.shape)
    long = length >= SHORTEST_LINE
    length, angle = length[long], np.degrees(np.arctan2(y, x))[long]
    if not len(length):
        return 0.0, 0.0, 0.0
    directions = np.arange(-45, 45, 0.5)
    density = np.exp(-0.5 * (_turn(angle, directions[:, None]) / (ALONG / 2)) ** 2) @ length
    level = length[np.abs(_turn(angle, 0.0)) <= ALONG].sum() / length.sum()
    return float(directions[density.argmax()]), float(level), float(length.sum())


def _turn(angle: np.ndarray, direction: np.ndarray | float) -> np.ndarray:
    """Return the angle from a direction, or from what is at right angles to it: −45° to 45°."""
    return (angle - direction + 45) % 90 - 45
