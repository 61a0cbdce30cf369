"""Reading chromatic aberration back: how far red and blue lie from green, block by block.

One sign convention holds throughout. A *shift* says where a channel's content lies relative to
green's, in pixels, x to the right and y down: channel(p) shows what green shows at p - shift.
A *magnification* is relative to green's too: red is larger than green where its value is above 1.
Positions are in pixels from the frame's top left corner, pixel centres at +0.5.
"""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from course_lib.errors import PhotoError, UsageError
from course_lib.lens.resample import read_between
from course_lib.metrics import Estimate

RED, GREEN, BLUE = 0, 1, 2

MIN_BLOCKS = 12
"""Fewer blocks than this say nothing about a lens."""
SHIFT_FLOOR = 0.03
"""Pixels: no block is believed better than this, however much texture it has."""


def local_shift(channel: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Measure how far a block of a channel lies from its reference, by linear least squares.

    To first order a shifted copy with an offset o and a contrast k of its own is
    ``C = o + k G(p - s) = o + k G - k s·∇G``. The fit of ``C = o + k G + g·∇G`` is linear, and the
    shift is ``s = -g / k``.

    Parameters
    ----------
    channel : (h, w) float array
        The block of red or blue.
    reference : (h, w) float array
        The same block of green.

    Returns
    -------
    (2,) array
        Shift (x, y) of the channel's content relative to the reference's, in pixels: positive x
        means that it lies further right. Good to about half a pixel of true shift.
    """
    slope_y, slope_x = np.gradient(reference)
    design = np.stack([np.ones_like(reference), reference, slope_x, slope_y], axis=-1)
    solution = np.linalg.lstsq(design.reshape(-1, 4), channel.ravel(), rcond=None)[0]
    _, contrast, *slopes = solution
    return -np.array(slopes) / contrast


@dataclass(frozen=True)
class ShiftField:
    """Where red and blue lie relative to green in each usable block of a picture.

    Attributes
    ----------
    positions : (n, 2) array
        Block centres (x, y) in pixels.
    red, blue : (n, 2) array
        Shifts (x, y) in pixels.
    red_error, blue_error : (n, 2) array
        Standard errors of the least squares. Neighbouring pixels are not independent, so they
        rank blocks but are too small as such.
    shape : (height, width)
        Of the picture.
    """

    positions: np.ndarray
    red: np.ndarray
    blue: np.ndarray
    red_error: np.ndarray
    blue_error: np.ndarray
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.positions)


def shift_field(
    picture: np.ndarray,
    block: int = 48,
    sigma: float = 2.0,
    guess: tuple[np.ndarray, np.ndarray] | None = None,
) -> ShiftField:
    """Measure red's and blue's shift against green in every block with texture.

    This is `local_shift` for all blocks at once, after a Gaussian blur. It keeps noise and the
    coarseness of pixel differences out of the gradients, and above all JPEG: compression drops
    fine colour, and what is left of fine detail is the same in all channels and does not move.

    Parameters
    ----------
    picture : (h, w, 3) uint8, or float in [0, 1]
    block : int
        Side of a block in pixels.
    sigma : float
        Standard deviation of the blur, in pixels.
    guess : two (2, 3) arrays, optional
        Affine maps from a position (x, y, 1) to the shift expected of red and of blue. Blocks are
        read that much further on, and the expected shift is added to what is left.

    Returns
    -------
    ShiftField
        Blocks that are mostly clipped, flat, or unlike green are left out.

    Raises
    ------
    UsageError
        If the picture is not in colour or smaller than one block.
    """
    rgb, unclipped = _prepare(picture, block)
    centers = block_centers(rgb.shape, block)
    blurred = cv2.GaussianBlur(rgb, (0, 0), sigma)
    slope_y, slope_x = np.gradient(blurred[..., GREEN])
    design = np.stack([np.ones_like(slope_x), blurred[..., GREEN], slope_x, slope_y], axis=-1)
    shifts, errors, keep = [], [], np.ones(len(centers), bool)
    for channel, affine in zip((RED, BLUE), guess or (np.zeros((2, 3)),) * 2, strict=True):
        expected = _thirty_seconds(np.column_stack([centers, np.ones(len(centers))]) @ affine.T)
        seen = _read_on(blurred[..., channel], expected, block)
        weight = np.minimum(unclipped, _read_on(unclipped, expected, block))
        shift, error, usable = _solve_blocks(design, seen, weight, block)
        shifts.append(expected + shift)
        errors.append(error)
        keep &= usable
    red, blue = (s[keep] for s in shifts)
    return ShiftField(centers[keep], red, blue, errors[0][keep], errors[1][keep], rgb.shape[:2])


def block_centers(shape: tuple[int, ...], block: int) -> np.ndarray:
    """Centres (x, y) in pixels of the whole blocks of a frame, row by row.

    The grid is centred in the frame, so that both sides of the lens weigh the same.
    """
    top, left, rows, columns = _grid(shape, block)
    x = left + block * (np.arange(columns) + 0.5)
    y = top + block * (np.arange(rows) + 0.5)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _grid(shape: tuple[int, ...], block: int) -> tuple[int, int, int, int]:
    """First pixel (top, left) and number (rows, columns) of the blocks."""
    rows, columns = shape[0] // block, shape[1] // block
    return (shape[0] - rows * block) // 2, (shape[1] - columns * block) // 2, rows, columns


def _cut(plane: np.ndarray, block: int) -> np.ndarray:
    """Cut a (h, w) or (h, w, k) array into (blocks, pixels) or (blocks, pixels, k)."""
    top, left, rows, columns = _grid(plane.shape, block)
    inner = plane[top : top + rows * block, left : left + columns * block]
    tiles = inner.reshape(rows, block, columns, block, *plane.shape[2:]).swapaxes(1, 2)
    return tiles.reshape(rows * columns, block * block, *plane.shape[2:])


def _prepare(picture: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture as float32 in [0, 1], and 1.0 where no channel is clipped nearby."""
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise UsageError(
            f"chromatic shifts need a colour picture (height, width, 3), not {picture.shape}"
        )
    if min(picture.shape[:2]) < block:
        height, width = picture.shape[:2]
        raise UsageError(f"a picture of {width}×{height} holds no block of {block} px")
    rgb = picture.astype(np.float32)
    if picture.dtype == np.uint8:
        rgb /= 255.0
    clipped: Any = ((rgb > 0.98) | (rgb < 0.015)).any(axis=2).astype(np.uint8)
    near = cv2.dilate(clipped, np.ones((7, 7), np.uint8))
    return rgb, 1.0 - near.astype(np.float32)


def _thirty_seconds(shifts: np.ndarray) -> np.ndarray:
    """Round to 1/32 px: OpenCV resamples on that grid, so what is asked for is what is done."""
    return np.round(shifts * 32) / 32


def _read_on(plane: np.ndarray, shifts: np.ndarray, block: int) -> np.ndarray:
    """Read each block of a plane `shifts` further on, everything else in place."""
    if not shifts.any():
        return plane
    top, left, rows, columns = _grid(plane.shape, block)
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]].astype(np.float32)
    for axis, grid in enumerate((x, y)):
        steps = shifts[:, axis].reshape(rows, columns).repeat(block, 0).repeat(block, 1)
        grid[top : top + rows * block, left : left + columns * block] += steps
    return read_between(plane, x, y, "linear")  # exact enough for what is blurred


def _solve_blocks(
    design: np.ndarray, channel: np.ndarray, weight: np.ndarray, block: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve every block's weighted normal equations: shift, standard error, usable."""
    kept = (_cut(weight, block) > 0.99).astype(np.float32)
    x, y = _cut(design, block), _cut(channel, block)
    count = kept.sum(axis=1)
    total = np.maximum(count, 1)
    for values in (x[..., 1], y):  # about their means, so that float32 sums stay exact enough
        values -= ((values * kept).sum(axis=1) / total)[:, None]
    weighted = np.swapaxes(x * kept[..., None], 1, 2)
    normal = (weighted @ x).astype(np.float64) + 1e-9 * np.eye(4)
    inverse = np.linalg.inv(normal)
    solution = np.einsum("nij,nj->ni", inverse, (weighted @ y[..., None])[..., 0].astype(float))
    left_over = (kept * (y - np.einsum("npk,nk->np", x, solution.astype(np.float32))) ** 2).sum(1)
    variance = left_over / np.maximum(count - 4, 1)
    slope = solution[:, 1]
    texture = np.sqrt(np.minimum(normal[:, 2, 2], normal[:, 3, 3]) / total)
    usable = (count >= 0.5 * block * block) & (slope > 0.1) & (texture > 1e-3)
    safe = np.where(usable, slope, 1.0)[:, None]
    spread = np.diagonal(inverse, axis1=1, axis2=2)[:, 2:]
    spread = np.where(spread > 0, spread, np.inf)  # rounding, where the equations are singular
    error = np.sqrt(np.maximum(variance, 1e-12)[:, None] * spread) / safe
    shift = -solution[:, 2:] / safe
    usable &= (error < 0.5).all(axis=1) & (np.abs(shift) < 3).all(axis=1)
    return shift, error, usable


def zoom_about(
    positions: np.ndarray, shifts: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Solve ``shift = (m - 1)(x - x0)`` for the zoom and its centre by weighted least squares.

    The equation is linear in m - 1 and in the product (m - 1)·x0. With weighted means taken out
    it is a straight line through the origin, so both have a closed form.

    Parameters
    ----------
    positions, shifts : (n, 2) array
        Pixels.
    weights : (..., n, 2) array
        Leading axes are separate fits.

    Returns
    -------
    excess : (...) array
        m - 1.
    offset : (..., 2) array
        Shift at the position (0, 0), which is -(m - 1)·x0. The centre is ``-offset / excess``.
    """
    total = weights.sum(axis=-2)
    position = (weights * positions).sum(axis=-2) / total
    shift = (weights * shifts).sum(axis=-2) / total
    arm = positions - position[..., None, :]
    excess = (weights * arm * shifts).sum(axis=(-2, -1)) / (weights * arm**2).sum(axis=(-2, -1))
    return excess, shift - excess[..., None] * position


@dataclass(frozen=True)
class Magnification:
    """A channel's magnification relative to green, with 95 % intervals over blocks.

    Attributes
    ----------
    m : Estimate
        Above 1: the channel is larger than green. n counts blocks.
    center : (x, y), each an Estimate
        The optical centre in pixels. It says nothing where `center_known` is False.
    center_known : bool
        Whether m differs from 1 and both intervals are narrower than half the field. A channel
        that is not magnified has no centre.
    offset : (x, y)
        Shift at the frame's top left corner in pixels.
    samples : (rounds,) array
        Bootstrap values of m, for combining channels.
    """

    m: Estimate
    center: tuple[Estimate, Estimate]
    center_known: bool
    offset: tuple[float, float]
    samples: np.ndarray = field(repr=False, compare=False)

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 1."""
        return not self.m.low <= 1.0 <= self.m.high

    @property
    def affine(self) -> np.ndarray:
        """The (2, 3) map from a position (x, y, 1) to the shift there, in pixels."""
        return np.column_stack([(self.m.value - 1.0) * np.eye(2), self.offset])


def fit_magnification(
    positions: np.ndarray,
    shifts: np.ndarray,
    weights: np.ndarray | None = None,
    rounds: int = 300,
    seed: int = 0,
) -> Magnification:
    """Fit one magnification about one centre to a field of shifts, robustly, with intervals.

    Iteratively reweighted least squares: blocks whose residual is large against the median one
    lose weight (Geman and McClure). The interval is a bootstrap over blocks.

    Parameters
    ----------
    positions, shifts : (n, 2) array
        Pixels.
    weights : (n, 2) array, optional
        For instance ``1 / error**2``. Without it all blocks count the same.
    rounds : int
        Bootstrap rounds.
    seed : int
        Fits of the same n with the same seed resample the same blocks.

    Returns
    -------
    Magnification

    Raises
    ------
    PhotoError
        If there are fewer than 12 blocks.
    """
    if len(positions) < MIN_BLOCKS:
        raise PhotoError(f"only {len(positions)} blocks with texture, {MIN_BLOCKS} are needed")
    base = np.ones_like(shifts) if weights is None else weights
    alike = np.ones((1, len(base)))
    excess, offset, robust = _reweighted(positions, shifts, base, alike, alike, 10)
    drawn = np.random.default_rng(seed).integers(0, len(base), (rounds, len(base)))
    counts = np.stack([np.bincount(row, minlength=len(base)) for row in drawn])
    samples, offsets, _ = _reweighted(positions, shifts, base, counts, robust, 5)
    m = _estimate(1 + excess[0], 1 + samples, len(base))
    center, centers = _centers(excess, offset)[0], _centers(samples, offsets)
    x, y = (_estimate(center[axis], centers[:, axis], len(base)) for axis in (0, 1))
    widths = np.array([x.high - x.low, y.high - y.low])
    known = bool((widths < 0.5 * np.ptp(positions, axis=0)).all()) and not m.low <= 1 <= m.high
    return Magnification(m, (x, y), known, (float(offset[0, 0]), float(offset[0, 1])), 1 + samples)


def _reweighted(
    positions: np.ndarray,
    shifts: np.ndarray,
    base: np.ndarray,
    counts: np.ndarray,
    robust: np.ndarray,
    rounds: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reweighted least squares for each row of block counts: excess, offset, robust weights."""
    for _ in range(rounds):
        weights = (counts * robust)[..., None] * base
        excess, offset = zoom_about(positions, shifts, weights)
        model = excess[:, None, None] * positions + offset[:, None, :]
        distance = np.sqrt((base * (shifts - model) ** 2).sum(axis=-1))
        scale = np.median(distance, axis=1, keepdims=True) + 1e-12
        robust = 1 / (1 + (distance / (2.5 * scale)) ** 2) ** 2
    return excess, offset, robust


def _centers(excess: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Optical centres; the corner (0, 0) where nothing is magnified."""
    return -offset / np.where(excess == 0, np.inf, excess)[:, None]


def _estimate(value: float, samples: np.ndarray, n: int) -> Estimate:
    """Value with the middle 95 % of its bootstrap samples."""
    low, high = np.quantile(samples, [0.025, 0.975])
    return Estimate(float(value), float(low), float(high), n)


@dataclass(frozen=True)
class Fringes:
    """What a picture says about its lens's chromatic aberration.

    Attributes
    ----------
    red, blue : Magnification
        Relative to green.
    green : Estimate
        Green's magnification relative to the mean of red's and blue's, with a 95 % interval.
        Below 1 green is *inward*, the paper's purple fringes.
    field : ShiftField
        The shifts that were fitted.
    """

    red: Magnification
    blue: Magnification
    green: Estimate
    field: ShiftField

    @property
    def green_significant(self) -> bool:
        """Whether green's interval leaves out 1."""
        return not self.green.low <= 1.0 <= self.green.high

    @property
    def corner_shift(self) -> float:
        """Displacement half a diagonal from the centre, of the larger channel, in pixels."""
        half_diagonal = 0.5 * float(np.hypot(*self.field.shape))
        return half_diagonal * max(abs(self.red.m.value - 1), abs(self.blue.m.value - 1))


def measure_fringes(
    picture: np.ndarray,
    block: int = 48,
    sigma: float = 2.0,
    passes: int = 5,
    rounds: int = 300,
    seed: int = 0,
) -> Fringes:
    """Measure the magnification of a picture's channels and their optical centre.

    Each pass reads red and blue where the last one found them, so that only a rest is left to
    measure. That makes large shifts measurable, and a rest of zero has no scale error: noise makes
    a single pass of `local_shift` report a little too little or too much.

    Parameters
    ----------
    picture : (h, w, 3) uint8, or float in [0, 1]
    block, sigma
        As in `shift_field`. On pictures that never were JPEGs, sigma = 1 is a little more precise;
        on JPEGs it misses a fifth to a half of a shift.
    passes : int
        At most so many; it stops when the corners move by less than 0.01 px.
    rounds, seed : int
        Of the bootstrap over blocks.

    Returns
    -------
    Fringes

    Raises
    ------
    PhotoError
        If the picture has too little texture.
    UsageError
        If it is not in colour or too small.
    """
    half_diagonal = 0.5 * float(np.hypot(*picture.shape[:2]))
    guess = (np.zeros((2, 3)), np.zeros((2, 3)))
    for step in range(passes):
        found = shift_field(picture, block, sigma, guess)
        last = guess
        red, blue = (
            fit_magnification(found.positions, shifts, 1 / (error**2 + SHIFT_FLOOR**2), 2, seed)
            for shifts, error in ((found.red, found.red_error), (found.blue, found.blue_error))
        )
        guess = (red.affine, blue.affine)
        change = max(abs(a - b)[0, 0] for a, b in zip(guess, last, strict=True))
        if step > 0 and change * half_diagonal < 0.01:
            break
    red, blue = (
        fit_magnification(found.positions, shifts, 1 / (error**2 + SHIFT_FLOOR**2), rounds, seed)
        for shifts, error in ((found.red, found.red_error), (found.blue, found.blue_error))
    )
    green = 2 / (red.m.value + blue.m.value)
    samples = 2 / (red.samples + blue.samples)  # drawn with one seed: the same blocks in both
    return Fringes(red, blue, _estimate(green, samples, len(found)), found)
