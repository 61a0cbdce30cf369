"""Where was this cut out? An extracted watermark is looked up in the whole one.

A crop that was stretched back to full size shows a box of the watermark, magnified by one factor
across and another one down, under noise. What is sought are the four edges of that box. Three
searchers answer, and all return a `Match` whose score means the same.

- `match_ncc` compares the pictures themselves (template matching): coarse over all places and
  scales, then least squares on the four edges, finer and finer.
- `match_sift` and `match_orb` compare features, and fit a frame to their pairs by RANSAC. The
  frame may move and stretch along both axes, and neither turn nor shear: a crop does no more.

The paper matches SURF features. SURF was patented, and ready-made builds of OpenCV come without it;
SIFT, which it approximates, is free by now and takes its place here.

Sources: Q. Ying et al., "RWN: Robust Watermarking Network for Image Cropping Localization" (2022),
section III;
J. Lewis, "Fast normalized cross-correlation" (1995).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy.fft import irfft2, rfft2

from course_lib.errors import UsageError
from course_lib.geometry import FULL, Box, iou

SIDE = 256
"""Width and height of a watermark."""
LEVELS = 64, 128, 256
"""Sides of the pyramid; each level is blurred by `BLUR` of its own pixels, so 4, 2 and 1 px."""
BLUR = 1.0
SMALLEST = 0.38
"""Shortest side of a box that is searched; a box of half the picture leaves room for error."""
RATIO = 1.06
"""Between neighbouring scales of the coarse search."""
BASINS = 6
"""Places that the coarse search hands on."""
APART = 0.5
"""Boxes that overlap by less than this (IoU) are different places."""
STEPS = {64: 6, 128: 3, 256: 4}
"""Least-squares steps at each level."""
LONGEST_STEP = 0.05
"""Fraction of the picture by which one step may shift an edge: beyond that nothing is linear."""
LEEWAY = 0.15
"""By how much refinement may undercut `SMALLEST`."""
MARGIN = 2
"""Pixels of each level left out along the border, where blur saw what lies beyond the crop."""
JUDGED = 128
"""Level at which scores are taken: fine noise is blurred away, fine detail is not."""
LEAST = 0.1
"""Share of the picture that has to be valid: less than that could be anywhere."""
PRESENT = 0.37
"""Scores below are what a picture without this watermark reaches by chance. Read by `carrier` from
40 photographs, JPEG 50 or better: with it .39 and more; without it, or with another one, .35 and
less."""
WHOLE = 0.97
"""A box at least this wide and high is the whole picture."""
TOLERANCE = 0.012
"""How far a pair of features may lie from the frame, as a fraction of the picture: 3 pixels."""
SMOOTHED = 1.5
"""σ in pixels of the blur before features are sought: most noise is finer than the watermark."""
CLEARLY = 0.85
"""A pair counts if the next best is farther by this factor (Lowe's ratio test)."""
AGREEING = 4
"""Pairs that a frame needs; it passes through any two."""


@dataclass(frozen=True)
class Match:
    """Where a watermark was found, and how much that is to be believed.

    Attributes
    ----------
    box : Box
        What the crop showed, as fractions of the whole picture.
    score : float
        Normalised cross-correlation there, -1 to 1.
    runner_up : float
        The same at the best place that overlaps the box by less than `APART`. A score far above
        it means that there was no second candidate.
    """

    box: Box
    score: float
    runner_up: float


def ncc(
    seen: np.ndarray, watermark: np.ndarray, box: Box = FULL, valid: np.ndarray | None = None
) -> float:
    """Correlate what is seen with a box of the watermark that is stretched to its size.

    Parameters
    ----------
    seen : ndarray, (height, width)
        Extracted watermark.
    watermark : ndarray, (rows, columns)
        The whole one.
    box : Box
        Part of the watermark that is compared.
    valid : ndarray, (height, width), optional
        Weight of each pixel of ``seen``, or False where it is left out.

    Returns
    -------
    float
        Normalised cross-correlation: 1 for equal pictures, whatever their brightness and contrast,
        0 for unrelated ones.
    """
    weight = np.ones(seen.shape) if valid is None else valid.astype(float)
    there = stretched(watermark, box, seen.shape)
    a = seen - np.average(seen, weights=weight)
    b = there - np.average(there, weights=weight)
    power = (weight * a * a).sum() * (weight * b * b).sum()
    return float((weight * a * b).sum() / np.sqrt(power)) if power > 0 else 0.0


def stretched(watermark: np.ndarray, box: Box, shape: tuple[int, ...]) -> np.ndarray:
    """Stretch a box of the watermark to the given shape, bilinearly.

    Parameters
    ----------
    watermark : ndarray, (rows, columns)
    box : Box
    shape : (height, width)

    Returns
    -------
    ndarray, (height, width)
        Rows and columns are interpolated one after the other: two products of matrices.
    """
    rows = interpolation(box.y1, box.y2, watermark.shape[0], shape[0])
    columns = interpolation(box.x1, box.x2, watermark.shape[1], shape[1])
    return rows @ watermark @ columns.T


def interpolation(low: float, high: float, n: int, m: int) -> np.ndarray:
    """Matrix that reads m samples, evenly spaced from edge low to edge high, from n values.

    Parameters
    ----------
    low, high : float
        Fractions of the n values' length. Samples lie at the centres of m equal parts.
    n, m : int
        Lengths before and after.

    Returns
    -------
    float32 ndarray, (m, n)
        Linear interpolation; beyond the first and last centre their values are repeated.
    """
    place = (low + (high - low) * (np.arange(m) + 0.5) / m) * n - 0.5
    place = place.clip(0, n - 1)
    left = np.minimum(place.astype(int), n - 2)
    share = (place - left).astype(np.float32)
    matrix = np.zeros((m, n), np.float32)
    matrix[np.arange(m), left] = 1 - share
    matrix[np.arange(m), left + 1] = share
    return matrix


def refine(
    seen: np.ndarray, watermark: np.ndarray, box: Box, weight: np.ndarray, steps: int
) -> Box:
    """Move the four edges until the stretched box explains best what is seen (Gauss-Newton).

    Where the box is nearly right, what is seen is about ``gain · there + offset`` plus ``gain``
    times what a small shift of each edge changes. That is linear in all of them, so that each step
    solves six linear equations.

    Parameters
    ----------
    seen : ndarray, (m, m)
        Extracted watermark.
    watermark : ndarray, (n, n)
        The whole one.
    box : Box
        Where to begin, within about a blur of the truth.
    weight : ndarray, (m, m)
        Of each pixel of ``seen``.
    steps : int
        How many.

    Source: B. Lucas and T. Kanade, "An iterative image registration technique" (IJCAI 1981), with
    gain and offset.
    """
    slopes = [np.gradient(watermark, axis=axis) * watermark.shape[axis] for axis in (1, 0)]
    across = ((np.arange(seen.shape[1]) + 0.5) / seen.shape[1]).astype(np.float32)
    down = ((np.arange(seen.shape[0]) + 0.5) / seen.shape[0]).astype(np.float32)[:, None]
    for _ in range(steps):
        there, right, below = (stretched(w, box, seen.shape) for w in (watermark, *slopes))
        changes = (1 - across) * right, (1 - down) * below, across * right, down * below
        terms = np.stack([*changes, there, np.ones_like(there)]).reshape(6, -1)
        weighted = terms * weight.ravel()
        normal = weighted @ terms.T + 1e-6 * np.eye(6, dtype=np.float32)
        *shifts, gain, _ = np.linalg.solve(normal, weighted @ seen.ravel())
        if gain <= 0:  # the opposite of the watermark: no step leads anywhere
            return box
        box = moved(box, np.array(shifts) / gain)
    return box


def moved(box: Box, shifts: np.ndarray) -> Box:
    """Shift each edge by `LONGEST_STEP` at most; the box stays inside and large enough."""
    edges = (np.array([*box]) + shifts.clip(-LONGEST_STEP, LONGEST_STEP)).clip(0, 1)
    x1, y1, x2, y2 = edges
    large_enough = min(x2 - x1, y2 - y1) > SMALLEST * (1 - LEEWAY)
    return Box(x1, y1, x2, y2) if large_enough else box


def match_ncc(seen: np.ndarray, watermark: np.ndarray, valid: np.ndarray | None = None) -> Match:
    """Find the box by normalised cross-correlation over all places and both scales.

    The coarse search on 64 × 64 pixels tries every place at every pair of scales. Its best places
    are refined there and at twice the size, and the best of these at full size. No box is favoured
    for its area.

    Parameters
    ----------
    seen : ndarray, (256, 256)
        Extracted watermark, stretched back to full size. Any gain and offset.
    watermark : ndarray, (256, 256)
        The whole one.
    valid : bool ndarray, (256, 256), optional
        False where the picture was tampered with: these pixels are left out.

    Raises
    ------
    UsageError
        For other shapes, or when too little is valid.
    """
    seen, watermark, weight = _checked(seen, watermark, valid)
    whole = dict(zip(LEVELS, pyramid(watermark), strict=True))
    here = dict(zip(LEVELS, pyramid(seen, weight), strict=True))
    weights = {
        side: _margined(cv2.resize(weight, (side, side), None, 0, 0, cv2.INTER_AREA))
        for side in LEVELS
    }

    def settle(box: Box, side: int) -> Box:
        return refine(here[side], whole[side], box, weights[side], STEPS[side])

    def score(box: Box) -> float:
        return ncc(here[JUDGED], whole[JUDGED], box, weights[JUDGED])

    first = LEVELS[0]
    edges, scores = coarse(here[first], whole[first], weights[first])
    settled = [settle(settle(box, first), JUDGED) for box in basins(edges, scores)]
    best = max(settled, key=score)
    far = overlaps(edges / first, np.array([*best])) < APART
    rival = basins(edges[far], scores[far], 1)[0]
    others = [rival, *(box for box in settled if iou(box, best) < APART)]
    box = settle(best, LEVELS[-1])
    return Match(box, score(box), max(map(score, others)))


def pyramid(picture: np.ndarray, weight: np.ndarray | None = None) -> list[np.ndarray]:
    """Reduce a picture to the sides in `LEVELS` and blur each by `BLUR` of its pixels.

    With a weight, pixels of weight 0 do not blur into the others.
    """
    if weight is None or weight.min() == 1:
        return [_reduced(picture, side) for side in LEVELS]
    return [_reduced(picture * weight, side) / _reduced(weight, side).clip(1e-3) for side in LEVELS]


def _reduced(picture: np.ndarray, side: int) -> np.ndarray:
    smaller = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(smaller, (0, 0), BLUR, borderType=cv2.BORDER_REPLICATE)


def _margined(weight: np.ndarray) -> np.ndarray:
    inside = np.zeros_like(weight)
    inside[MARGIN:-MARGIN, MARGIN:-MARGIN] = weight[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return inside


def coarse(
    seen: np.ndarray, watermark: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Correlate with every box whose edges lie on pixels, at scales `RATIO` apart.

    What is seen is shrunk to each size. Its correlation with the watermark at all places is a
    product of Fourier transforms, and so are the sums that normalise it.

    Parameters
    ----------
    seen, watermark, weight : ndarray, (n, n)

    Returns
    -------
    edges : int ndarray, (boxes, 4)
        x1, y1, x2, y2 in pixels.
    scores : ndarray, (boxes,)
    """
    n = len(watermark)
    shapes, templates, masks = _templates(seen, weight)
    count = masks.sum((1, 2), keepdims=True)
    mean = (masks * templates).sum((1, 2), keepdims=True) / count
    templates = masks * (templates - mean)
    centred = (watermark - watermark.mean()).astype(np.float32)
    one, square = rfft2(centred), rfft2(centred**2)
    mask = rfft2(masks).conj()
    products = irfft2(rfft2(templates).conj() * one, s=(n, n))
    sums, squares = irfft2(mask * one, s=(n, n)), irfft2(mask * square, s=(n, n))
    power = (templates**2).sum((1, 2), keepdims=True)
    spread = (squares - sums**2 / count) * power
    scores = products / np.sqrt(spread.clip(1e-6))
    fits = _fitting(n)
    which, top, left = np.nonzero(fits)
    height, width = shapes[which].T
    edges = np.stack([left, top, left + width, top + height], axis=1)
    return edges, scores[fits]


@lru_cache(maxsize=2)
def _sides(n: int) -> np.ndarray:
    """Whole numbers of pixels from the smallest side to n, `RATIO` apart."""
    number = int(np.ceil(np.log(1 / SMALLEST) / np.log(RATIO))) + 1
    return np.unique(np.rint(n * np.geomspace(SMALLEST, 1, number)).astype(int))


@lru_cache(maxsize=2)
def _fitting(n: int) -> np.ndarray:
    """Which places of which shapes lie inside: bool, (shapes, n, n)."""
    starts = np.arange(n) <= n - _sides(n)[:, None]
    return (starts[:, None, :, None] & starts[None, :, None, :]).reshape(-1, n, n)


def _templates(seen: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shrink what is seen, and its weight, to every pair of sides; zeros fill the rest."""
    n = len(seen)
    sides = _sides(n)
    down = np.zeros((len(sides), n, n), np.float32)
    for matrix, side in zip(down, sides, strict=True):
        matrix[:side] = cv2.resize(
            np.eye(n, dtype=np.float32), (n, int(side)), None, 0, 0, cv2.INTER_AREA
        )
    shapes = np.stack(np.meshgrid(sides, sides, indexing="ij"), axis=-1).reshape(-1, 2)

    def shrunk(picture: np.ndarray) -> np.ndarray:
        rows = down @ picture
        return (rows[:, None] @ down.transpose(0, 2, 1)[None]).reshape(-1, n, n)

    masks = shrunk(weight)
    return shapes, shrunk(seen * weight) / masks.clip(1e-3), masks


def basins(edges: np.ndarray, scores: np.ndarray, number: int = BASINS) -> list[Box]:
    """Pick the best boxes that are `APART`: each one taken removes all that overlap it more.

    Parameters
    ----------
    edges : ndarray, (boxes, 4)
        In pixels of the coarsest level.
    scores : ndarray, (boxes,)
    number : int
        How many.
    """
    likely = np.argpartition(-scores, min(4000, len(scores) - 1))[:4000]
    edges, scores = edges[likely].astype(float), scores[likely]
    chosen: list[Box] = []
    while len(chosen) < number and len(scores):
        best = edges[np.argmax(scores)]
        chosen.append(Box(*best / LEVELS[0]))
        apart = overlaps(edges, best) < APART
        edges, scores = edges[apart], scores[apart]
    return chosen


def overlaps(edges: np.ndarray, one: np.ndarray) -> np.ndarray:
    """IoU of many boxes with one, all in pixels."""
    sides = np.minimum(edges[:, 2:], one[2:]) - np.maximum(edges[:, :2], one[:2])
    shared = sides.clip(0).prod(axis=1)
    areas = (edges[:, 2:] - edges[:, :2]).prod(axis=1) + (one[2:] - one[:2]).prod()
    return shared / (areas - shared)


def fit_frame(
    seen: np.ndarray, whole: np.ndarray, rng: np.random.Generator, rounds: int = 1000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit x' = a x + b and y' = c y + d to pairs of points, most of which may be wrong (RANSAC).

    Two pairs settle a frame; the frame that most pairs agree with wins, and least squares over
    them gives the result. A general homography has eight unknowns where this has four: four pairs
    would have to be right at once.

    Parameters
    ----------
    seen, whole : ndarray, (n, 2)
        Points in the crop and where they are in the whole picture, in fractions.
    rng : numpy Generator
        Source of chance.
    rounds : int
        Pairs of pairs that are tried.

    Returns
    -------
    scale, shift : ndarray, (2,)
        (a, c) and (b, d).
    agrees : bool ndarray, (n,)
        Pairs that the frame explains within `TOLERANCE`.

    Source: M. Fischler and R. Bolles, "Random sample consensus" (1981).
    """
    agrees = np.zeros(len(seen), bool)
    for _ in range(rounds):
        i, j = rng.choice(len(seen), 2, replace=False)
        apart = seen[j] - seen[i]
        if np.abs(apart).min() < TOLERANCE:  # too near each other to settle a scale
            continue
        scale = (whole[j] - whole[i]) / apart
        shift = whole[i] - scale * seen[i]
        off = np.abs(scale * seen + shift - whole).max(axis=1)
        possible = scale.min() >= SMALLEST and scale.max() <= 1 + TOLERANCE
        if possible and (off < TOLERANCE).sum() > agrees.sum():
            agrees = off < TOLERANCE
    if agrees.sum() < 2:
        return np.ones(2), np.zeros(2), agrees
    fits = [np.polyfit(seen[agrees, axis], whole[agrees, axis], 1) for axis in (0, 1)]
    scale, shift = np.array(fits).T
    return scale, shift, agrees


def match_sift(seen: np.ndarray, watermark: np.ndarray, valid: np.ndarray | None = None) -> Match:
    """Find the box by SIFT features; parameters as in `match_ncc`.

    Source: D. Lowe, "Distinctive image features from scale-invariant keypoints" (IJCV 2004).
    """
    # The default contrast threshold is made for photographs, and leaves too few features here.
    detector = cv2.SIFT.create(contrastThreshold=0.01)
    return _by_features(detector, cv2.NORM_L2, seen, watermark, valid)


def match_orb(seen: np.ndarray, watermark: np.ndarray, valid: np.ndarray | None = None) -> Match:
    """Find the box by ORB features; parameters as in `match_ncc`.

    Source: E. Rublee et al., "ORB: an efficient alternative to SIFT or SURF" (ICCV 2011).
    """
    detector = cv2.ORB.create(nfeatures=1500, fastThreshold=5)
    return _by_features(detector, cv2.NORM_HAMMING, seen, watermark, valid)


Matcher = Callable[[np.ndarray, np.ndarray, np.ndarray | None], Match]
MATCHERS: dict[str, Matcher] = {"ncc": match_ncc, "sift": match_sift, "orb": match_orb}
"""Matchers by the name of their variant in tables of results."""


def _by_features(
    detector: cv2.Feature2D,
    norm: int,
    seen: np.ndarray,
    watermark: np.ndarray,
    valid: np.ndarray | None,
) -> Match:
    """Pair features, fit a frame, then others to the pairs that it leaves over."""
    seen, watermark, weight = _checked(seen, watermark, valid)
    here, there = pairs(detector, norm, seen, watermark, weight)
    level = LEVELS.index(JUDGED)
    small, whole = pyramid(seen, weight)[level], pyramid(watermark)[level]
    mask = _margined(cv2.resize(weight, (JUDGED, JUDGED), interpolation=cv2.INTER_AREA))
    rng = np.random.default_rng(0)  # one answer for one picture
    found: list[tuple[float, Box]] = []
    while len(here) >= AGREEING and len(found) < BASINS:
        scale, shift, agrees = fit_frame(here, there, rng)
        if agrees.sum() < AGREEING:
            break
        box = Box(*np.concatenate([shift, shift + scale]).clip(0, 1))
        found.append((ncc(small, whole, box, mask), box))
        here, there = here[~agrees], there[~agrees]
    if not found:
        return Match(FULL, 0.0, 0.0)
    score, box = found[0]  # the frame of the most pairs
    others = [other for other, place in found[1:] if iou(place, box) < APART]
    return Match(box, score, max(others, default=0.0))


def pairs(
    detector: cv2.Feature2D, norm: int, seen: np.ndarray, watermark: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pair each feature with the one most like it, where the next best is clearly worse.

    Returns
    -------
    here, there : ndarray, (n, 2)
        Their places as fractions of ``seen`` and of ``watermark``.
    """
    mask = (weight > 0).astype(np.uint8)
    points, words = detector.detectAndCompute(_as_8_bit(seen), mask)
    whole_points, whole_words = detector.detectAndCompute(_as_8_bit(watermark), None)
    if words is None or whole_words is None or len(whole_words) < 2:
        return np.empty((0, 2)), np.empty((0, 2))
    likely = cv2.BFMatcher(norm).knnMatch(words, whole_words, k=2)
    clear = [first for first, second in likely if first.distance < CLEARLY * second.distance]
    here = np.array([points[m.queryIdx].pt for m in clear]).reshape(-1, 2)
    there = np.array([whole_points[m.trainIdx].pt for m in clear]).reshape(-1, 2)
    # OpenCV counts from the centre of the first pixel, boxes from its edge.
    return (here + 0.5) / SIDE, (there + 0.5) / SIDE


def _as_8_bit(picture: np.ndarray) -> np.ndarray:
    """Smooth, and give it mean 128 and deviation 51, whatever gain the extraction had."""
    picture = cv2.GaussianBlur(picture, (0, 0), SMOOTHED)
    spread = float(picture.std()) or 1.0
    return np.rint(128 + 51 * (picture - picture.mean()) / spread).clip(0, 255).astype(np.uint8)


def decide(match: Match, present: float = PRESENT, whole: float = WHOLE) -> str:
    """Say in words what a match means.

    Parameters
    ----------
    match : Match
    present : float
        Lowest score of a picture that holds the watermark.
    whole : float
        Least width and height of a box that is taken for the whole picture.

    Returns
    -------
    str
        "no watermark", "not cropped" or "cropped".
    """
    if match.score < present:
        return "no watermark"
    if min(match.box.width, match.box.height) >= whole:
        return "not cropped"
    return "cropped"


def _checked(
    seen: np.ndarray, watermark: np.ndarray, valid: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    for name, picture in (("extracted watermark", seen), ("watermark", watermark)):
        if picture.shape != (SIDE, SIDE):
            raise UsageError(
                f"The {name} has the shape {picture.shape}; it must be {SIDE} × {SIDE}, in gray."
            )
        if not np.isfinite(picture).all():
            raise UsageError(f"The {name} holds numbers that are not finite.")
    weight = np.ones((SIDE, SIDE), np.float32) if valid is None else valid.astype(np.float32)
    if weight.shape != (SIDE, SIDE):
        raise UsageError(f"valid has the shape {weight.shape}; it must be {SIDE} × {SIDE}.")
    if weight.mean() < LEAST:
        raise UsageError(
            f"Only {weight.mean():.0%} of the picture are valid; at least {LEAST:.0%} are needed."
        )
    return seen.astype(np.float32), watermark.astype(np.float32), weight
