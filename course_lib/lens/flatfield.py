"""Reading vignetting back: from evenly lit frames, and from ordinary photographs.

Radii are in halves of the frame's diagonal, as everywhere in this package: for a centred lens the
corners lie at 1. Brightness is that of the file (sRGB values), as in the paper.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from course_lib.errors import PhotoError, UsageError
from course_lib.lens.chromatic import radius
from course_lib.lens.vignetting import falloff, gain
from course_lib.metrics import Estimate

CELLS = 96
"""Cells along the longer side of a brightness map."""
FARTHEST_CENTER = 0.25
"""An optical centre is looked for within this fraction of the frame around its middle."""
STRENGTHS = np.linspace(-0.4, 1.0, 281)
"""Strengths tried on ordinary photographs. Below 0 a picture is brighter outside."""


def fit_strength(brightness: np.ndarray, r: np.ndarray, weights: np.ndarray | float = 1.0) -> float:
    """Find how strong the paper's vignetting is in a brightness map, by linear least squares.

    ``B·(1 - s + s / g(r))`` is linear in u = B·(1 - s) and v = B·s, so s = v / (u + v).

    Parameters
    ----------
    brightness : array
        Of an evenly lit frame, in any unit.
    r : array
        Radius of each value.
    weights : array or float
        Of each value.

    Returns
    -------
    float
        s of `falloff`: 0 is no vignetting, 1 the paper's full polynomial. Below 0 the corners are
        brighter than the centre.

    Source: Van Hoorick and Vondrick, "Dissecting Image Crops", Equation 5.
    """
    root = np.sqrt(np.broadcast_to(weights, brightness.shape)).ravel()
    design = np.stack([np.ones(r.size), 1 / gain(r).ravel()], axis=1) * root[:, None]
    u, v = np.linalg.lstsq(design, brightness.ravel() * root, rcond=None)[0]
    return float(v / (u + v))


def fit_gain(
    brightness: np.ndarray, r: np.ndarray, weights: np.ndarray | float = 1.0
) -> tuple[float, float, float]:
    """Fit a free polynomial gain ``g(r) = 1 + a r² + b r⁴ + c r⁶`` to a brightness map.

    ``brightness = B / g(r)`` means that ``brightness · (1 + a r² + b r⁴ + c r⁶) / B = 1``, which is
    linear in 1/B, a/B, b/B and c/B. Its least squares weigh relative errors.

    Parameters
    ----------
    brightness : array
        Of an evenly lit frame, in any unit.
    r : array
        Radius of each value.
    weights : array or float
        Of each value.

    Returns
    -------
    a, b, c : float
    """
    root = np.sqrt(np.broadcast_to(weights, brightness.shape)).ravel()
    powers = np.stack([np.ones(r.size), *(r.ravel() ** k for k in (2, 4, 6))], axis=1)
    design = powers * (brightness.ravel() * root)[:, None]
    one, a, b, c = np.linalg.lstsq(design, root, rcond=None)[0]
    return float(a / one), float(b / one), float(c / one)


@dataclass(frozen=True)
class Falloff:
    """What evenly lit frames of one camera say about its vignetting.

    Attributes
    ----------
    strength : Estimate
        Strength of the paper's shape that fits best, about its own best centre, with a 95 %
        interval (bootstrap over frames, which n counts).
    center : (x, y)
        Optical centre of that fit, as fractions of width and height.
    rms : float
        What the paper's shape leaves, where the centre's brightness is 1.
    a, b, c : float
        The free polynomial.
    free_center : (x, y)
        Its optical centre, as fractions.
    free_rms : float
        What the free polynomial leaves.
    uneven_rms : float
        What no function of the radius about that centre can explain.
    full_rms : float
        What the paper's polynomial at full strength leaves about the frame's centre.
    corners : (top left, top right, bottom left, bottom right)
        Brightness in the corners; the centre's is 1.
    corner_strength : float
        Strength that would darken the corners this much, on average.
    profile : (k, 2) array
        Radius and mean brightness in rings about the free fit's centre.
    """

    strength: Estimate
    center: tuple[float, float]
    rms: float
    a: float
    b: float
    c: float
    free_center: tuple[float, float]
    free_rms: float
    uneven_rms: float
    full_rms: float
    corners: tuple[float, float, float, float]
    corner_strength: float
    profile: np.ndarray


def brightness_map(picture: np.ndarray, cells: int = CELLS) -> np.ndarray:
    """Average a picture's brightness in cells, `cells` along the longer side.

    Returns
    -------
    (h, w) float32
        Mean of the three channels, in [0, 1].
    """
    values = picture.astype(np.float32) / (255.0 if picture.dtype == np.uint8 else 1.0)
    scale = cells / max(values.shape[:2])
    size = tuple(max(2, round(side * scale)) for side in values.shape[1::-1])
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    return small if small.ndim == 2 else small.mean(axis=2)


def fit_falloff(maps: Sequence[np.ndarray], rounds: int = 200, seed: int = 0) -> Falloff:
    """Fit the paper's and a free polynomial to evenly lit frames of one camera.

    The map that is fitted is the median over frames, each divided by its own median; values far
    from the curve lose weight (Cauchy), so that dust does not pull it.

    Parameters
    ----------
    maps : sequence of (h, w) arrays
        Brightness maps of equal shape.
    rounds, seed : int
        Of the bootstrap over frames.

    Returns
    -------
    Falloff

    Raises
    ------
    UsageError
        If there are no maps, or their shapes differ.
    """
    if len(maps) == 0 or len({m.shape for m in maps}) != 1:
        raise UsageError("vignetting needs brightness maps of one shape, at least one")
    frames = np.stack([m / np.median(m) for m in maps])
    shape = frames.shape[1:]
    level = np.median(frames, axis=0)

    def paper(r: np.ndarray, values: np.ndarray, weights: np.ndarray | float) -> np.ndarray:
        return falloff(r, fit_strength(values, r, weights))

    def free(r: np.ndarray, values: np.ndarray, weights: np.ndarray | float) -> np.ndarray:
        return 1 / gain(r, *fit_gain(values, r, weights))

    center, weights = _best_center(level, paper)
    free_center, free_weights = _best_center(level, free)
    free_r = radius(shape, free_center)
    a, b, c = fit_gain(level, free_r, free_weights)
    level = level * _scale(1 / gain(free_r, a, b, c), level)  # the centre is 1 from here on
    r = radius(shape, center)
    drawn = np.random.default_rng(seed).integers(0, len(frames), (rounds, len(frames)))
    strengths = [fit_strength(np.median(frames[rows], axis=0), r, weights) for rows in drawn]
    low, high = np.quantile(strengths, [0.025, 0.975])
    corners, corner_strength = _corners(level)
    return Falloff(
        Estimate(fit_strength(level, r, weights), float(low), float(high), len(frames)),
        center,
        _left_over(level, paper(r, level, weights)),
        *(a, b, c),
        free_center,
        _left_over(level, 1 / gain(free_r, a, b, c)),
        unevenness(level, free_r),
        _left_over(level, falloff(radius(shape))),
        corners,
        corner_strength,
        _profile(level, free_r),
    )


def _best_center(
    level: np.ndarray, fitted: Callable[[np.ndarray, np.ndarray, np.ndarray | float], np.ndarray]
) -> tuple[tuple[float, float], np.ndarray]:
    """Find the centre about which a curve fits best, and the robust weights there."""
    from scipy.optimize import minimize

    weights = np.ones_like(level)

    def cost(shift: np.ndarray) -> float:
        far = np.maximum(np.abs(shift) - FARTHEST_CENTER, 0).sum()
        shift = np.clip(shift, -FARTHEST_CENTER, FARTHEST_CENTER)
        r = radius(level.shape, (0.5 + shift[0], 0.5 + shift[1]))
        curve = fitted(r, level, weights)
        return float((weights * (level * _scale(curve, level) - curve) ** 2).mean() + far)

    best = np.zeros(2)
    start = np.array([[0, 0], [0.05, 0], [0, 0.05]])
    for _ in range(3):
        options = {"initial_simplex": best + start, "xatol": 1e-4, "fatol": 1e-12}
        best = minimize(cost, best, method="Nelder-Mead", options=options).x
        best = np.clip(best, -FARTHEST_CENTER, FARTHEST_CENTER)
        r = radius(level.shape, (0.5 + best[0], 0.5 + best[1]))
        curve = fitted(r, level, weights)
        residual = np.abs(level * _scale(curve, level) - curve)
        weights = 1 / (1 + (residual / (3 * np.median(residual) + 1e-9)) ** 2)
    return (0.5 + float(best[0]), 0.5 + float(best[1])), weights


def _scale(curve: np.ndarray, level: np.ndarray) -> float:
    """Factor that brings a map to a curve's unit, by least squares."""
    return float((curve * level).sum() / (level**2).sum())


def _left_over(level: np.ndarray, curve: np.ndarray) -> float:
    """Root mean square of a map (centre 1) minus a curve, at the curve's best scale."""
    fitted = curve * (curve * level).sum() / (curve**2).sum()
    return float(np.sqrt(np.mean((level - fitted) ** 2)))


def _rings(r: np.ndarray) -> np.ndarray:
    """Ring of each cell: 24 to the farthest corner."""
    return np.minimum((24 * r / r.max()).astype(int), 23)


def _profile(level: np.ndarray, r: np.ndarray) -> np.ndarray:
    ring = _rings(r).ravel()
    count = np.bincount(ring, minlength=24)
    filled = count > 0
    sums = (np.bincount(ring, values.ravel(), 24)[filled] for values in (r, level))
    return np.stack([s / count[filled] for s in sums], axis=1)


def unevenness(level: np.ndarray, r: np.ndarray | None = None) -> float:
    """How far a brightness map strays from a function of the radius alone.

    Parameters
    ----------
    level : (h, w) array
        In any unit.
    r : (h, w) array, optional
        Radius of each cell; about the frame's middle if not given.

    Returns
    -------
    float
        Root mean square of the map minus its own rings' means (interpolated), over its median.
    """
    r = radius(level.shape) if r is None else r
    profile = _profile(level, r)
    rest = level - np.interp(r, profile[:, 0], profile[:, 1])
    return float(np.sqrt(np.mean(rest**2)) / np.median(level))


def _corners(level: np.ndarray) -> tuple[tuple[float, float, float, float], float]:
    """Mean of 3×3 cells in each corner, and the strength of the paper's curve there."""
    darkest = 1 - 1 / gain(radius(level.shape))
    ends = [(y, x) for y in (slice(3), slice(-3, None)) for x in (slice(3), slice(-3, None))]
    top_left, top_right, bottom_left, bottom_right = (float(level[end].mean()) for end in ends)
    strength = np.mean([((1 - level[end]) / darkest[end]).mean() for end in ends])
    return (top_left, top_right, bottom_left, bottom_right), float(strength)


def radial_slopes(
    picture: np.ndarray, cells: int = CELLS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slopes of log brightness along the radius, which vignetting makes negative.

    A scene has as many edges that brighten outward as edges that darken, so without vignetting
    radial slopes lie symmetrically about zero (Zheng et al., "Single-image vignetting correction
    using radial gradient symmetry", CVPR 2008).

    Parameters
    ----------
    picture : (h, w, 3) uint8, or float in [0, 1]
    cells : int
        Cells along the longer side.

    Returns
    -------
    r, radial, tangential : (h - 1, w - 1) float arrays
        Radius, and slopes of log brightness along and across it, per unit of r. NaN where cells
        are nearly black or nearly white.
    """
    level = brightness_map(picture, cells)
    log = np.log(np.where((level > 0.03) & (level < 0.97), level, np.nan))
    slope_x = 0.5 * (log[:-1, 1:] - log[:-1, :-1] + log[1:, 1:] - log[1:, :-1])
    slope_y = 0.5 * (log[1:, :-1] - log[:-1, :-1] + log[1:, 1:] - log[:-1, 1:])
    height, width = level.shape
    half_diagonal = 0.5 * np.hypot(height, width)
    y, x = np.mgrid[1:height, 1:width]
    arm_x, arm_y = x - width / 2, y - height / 2
    length = np.maximum(np.hypot(arm_x, arm_y), 1e-9)
    radial = (slope_x * arm_x + slope_y * arm_y) / length * half_diagonal
    tangential = (slope_y * arm_x - slope_x * arm_y) / length * half_diagonal
    return length / half_diagonal, radial, tangential


def estimate_strength(
    picture: np.ndarray, tile: int = 12, rounds: int = 300, seed: int = 0
) -> Estimate:
    """Estimate the vignetting of an ordinary photograph from the symmetry of its radial slopes.

    The strength is the one whose own slopes, taken away, leave radial slopes whose weighted
    absolute sum is smallest: a median, which edges of the scene hardly move. Slopes count less
    where the scene changes much *across* the radius, which vignetting never does. The interval is
    a bootstrap over tiles. It knows nothing of what a scene does as a whole (a bright subject in
    the middle is vignetting to this estimate), so the spread over photographs is what counts.

    Parameters
    ----------
    picture : (h, w, 3) uint8, or float in [0, 1]
    tile : int
        Cells along a side of a bootstrap tile.
    rounds, seed : int
        Of the bootstrap.

    Returns
    -------
    Estimate
        n counts the tiles.

    Raises
    ------
    PhotoError
        If fewer than a quarter of the cells are neither black nor white.
    """
    r, radial, tangential = radial_slopes(picture)
    known = np.isfinite(radial)
    if known.mean() < 0.25:
        raise PhotoError("most of the picture is black or white: its vignetting cannot be read")
    calm = cv2.blur(np.abs(np.nan_to_num(tangential)), (5, 5))
    weight = np.where(known, r / (calm + 0.05), 0)
    slopes = _log_slopes(r)
    rows, columns = (np.arange(side) // tile for side in r.shape)
    tiles = rows[:, None] * (columns[-1] + 1) + columns
    misfit = weight[..., None] * np.abs(np.nan_to_num(radial)[..., None] - slopes)
    table = np.zeros((tiles.max() + 1, len(STRENGTHS)))
    np.add.at(table, tiles.ravel(), misfit.reshape(-1, len(STRENGTHS)))
    drawn = np.random.default_rng(seed).integers(0, len(table), (rounds, len(table)))
    counts = np.stack([np.bincount(row, minlength=len(table)) for row in drawn])
    low, high = np.quantile(STRENGTHS[(counts @ table).argmin(axis=1)], [0.025, 0.975])
    value = STRENGTHS[table.sum(axis=0).argmin()]
    return Estimate(float(value), float(low), float(high), len(table))


def _log_slopes(r: np.ndarray) -> np.ndarray:
    """Slope of log falloff at each radius for each of `STRENGTHS`, on a new last axis."""
    step = 1e-3
    strengths: Any = STRENGTHS
    near, far = (falloff((r + d)[..., None], strengths) for d in (-step, step))
    return np.log(far / near) / (2 * step)
