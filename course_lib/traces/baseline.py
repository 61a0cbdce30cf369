"""The closed-form baseline: fringes of a patch by least squares, and what they say about its place.

Nothing here is learned. A lens that magnifies red or blue by m ≠ 1 about its centre c moves that
channel's content at p by (m − 1)(p − c) against green's. `fringe_features` measures this shift in
one patch, with its standard error, at several blurs, and a few other traces: the difference in
blur between channels and the slope of brightness. A small classifier (`course_lib.traces.votes`)
turns these numbers into votes for the 16 cells, and `frame_scores` pools the votes of all patches
of a picture into a belief about the original frame.

Two findings about real photographs shape this room. Fringes of real lenses are a tenth of a pixel,
and a Gaussian blur of σ = 2 px before the derivatives carries them through JPEG compression, which
drops fine colour. And a patch shows several materials, each with a colour of its own: the linear
relation between the channels is fitted in blocks of 10 px, and only the shift is common to them.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np

from course_lib.errors import UsageError
from course_lib.geometry import Box
from course_lib.lens.fringes import zoom_about

BLOCK = 10
"""Side in pixels of the blocks that have one linear relation between two channels each."""
MARGIN = 3
"""Fewest pixels left out along a patch's border, where the blur had to guess."""
COARSE = 3
"""Blocks are also joined to this many a side, for fringes wider than a block."""
BLURS = (1.5, 2.0, 3.0)
"""Standard deviations in pixels of the blur before the derivatives are taken."""
MAIN = 2.0
"""The blur of all measurements that are made at one blur only."""

SHIFT_FLOOR = 0.3
"""Pixels: no block is believed better than this. Blocks disagree for reasons of their own."""
NOISE_FLOOR = 0.3 / 255
"""No block's residual is believed smaller than this."""
LEAST_CONTRAST = 0.15
"""Blocks in which a channel hardly follows green are left out."""
SHIFT_PRIOR = 1.4
"""Standard deviation in pixels of a shift before anything is seen. Keeps flat patches finite."""
ZOOM_PRIOR = 3e-3
"""Standard deviation of m − 1 before anything is seen."""
OUTLYING = 8.0
"""Squared distance, in standard errors, at which a block keeps a quarter of its weight."""

# What is summed in each block: the fit's columns, then red and blue.
ONE, GREEN, GX, GY, GXX, GXY, GYY, RED, BLUE = range(9)
CHANNELS = {"red": RED, "blue": BLUE}


def block_sums(patches: np.ndarray, sigma: float) -> np.ndarray:
    """Sum the products that every least-squares fit in a block needs.

    Parameters
    ----------
    patches : (n, s, s, 3) uint8, or float32 in [0, 1]
        RGB patches, s ≥ 36.
    sigma : float
        Standard deviation in pixels of the blur before the derivatives.

    Returns
    -------
    (n, b, b, 9, 9) float64
        ZᵀZ over the pixels of each of b × b blocks, with the columns of Z: 1, green, its two first
        and three second derivatives (xx, xy, yy), red and blue. Channels have their patch's mean
        taken out. Clipped pixels, and those near one, count nothing.

    Raises
    ------
    UsageError
        The patches have another form.
    """
    rgb = _as_float(patches)
    count, side = rgb.shape[:2]
    blocks = (side - 2 * MARGIN) // BLOCK
    edge = (side - blocks * BLOCK) // 2
    weight = np.empty((count, side, side), np.float32)
    blurred = np.empty_like(rgb)
    for i, patch in enumerate(rgb):
        clipped = ((patch > 0.98) | (patch < 0.015)).any(axis=2).astype(np.uint8)
        weight[i] = 1 - cv2.dilate(clipped, np.ones((5, 5), np.uint8))
        cv2.GaussianBlur(patch, (0, 0), sigma, dst=blurred[i])
    end = edge + blocks * BLOCK
    inner = blurred[:, edge:end, edge:end]
    inner = inner - inner.mean(axis=(1, 2), keepdims=True)
    green = blurred[..., 1]

    def at(y: int, x: int) -> np.ndarray:
        return green[:, edge + y : end + y, edge + x : end + x]

    gxy = (at(1, 1) + at(-1, -1) - at(-1, 1) - at(1, -1)) / 4
    gxx, gyy = (at(0, 1) + at(0, -1) - 2 * at(0, 0)), (at(1, 0) + at(-1, 0) - 2 * at(0, 0))
    gx, gy = (at(0, 1) - at(0, -1)) / 2, (at(1, 0) - at(-1, 0)) / 2
    ones = np.ones_like(gx)
    columns = [ones, inner[..., 1], gx, gy, gxx, gxy, gyy, inner[..., 0], inner[..., 2]]
    z = _blocks(np.stack(columns, axis=-1), blocks)
    w = _blocks(weight[:, edge:end, edge:end, None], blocks)
    sums = np.swapaxes(z * w, 1, 2) @ z
    return sums.reshape(count, blocks, blocks, 9, 9).astype(np.float64)


def _as_float(patches: np.ndarray) -> np.ndarray:
    """Check patches and bring them to float32 in [0, 1]."""
    shape = patches.shape
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or shape[1] < 36:
        raise UsageError(
            f"Patches are (n, s, s, 3) in RGB with s of 36 pixels or more; these are {shape}."
        )
    if patches.dtype == np.uint8:
        return patches.astype(np.float32) / 255
    if patches.dtype != np.float32:
        raise UsageError(f"Patches are uint8, or float32 in [0, 1]; these are {patches.dtype}.")
    return patches


def _blocks(planes: np.ndarray, blocks: int) -> np.ndarray:
    """Cut (n, h, w, k) into (n · blocks², pixels, k)."""
    n, k = len(planes), planes.shape[-1]
    cut = planes.reshape(n, blocks, BLOCK, blocks, BLOCK, k).swapaxes(2, 3)
    return cut.reshape(n * blocks**2, BLOCK**2, k)


def _joined(sums: np.ndarray, groups: int) -> np.ndarray:
    """Join b × b blocks to groups × groups."""
    blocks = sums.shape[1]
    starts = [-(-i * blocks // groups) for i in range(groups)]
    return np.add.reduceat(np.add.reduceat(sums, starts, axis=1), starts, axis=2)


@dataclass(frozen=True)
class Shifts:
    """How far a channel lies from green in each of n patches.

    Attributes
    ----------
    shift : (n, 2)
        (x, y) in pixels; positive x: the channel's content lies further right than green's.
    covariance : (n, 2, 2)
        Of the shift, in square pixels. Edges that all run one way leave it long along them.
    disagreement : (n,)
        Mean squared distance of the blocks' own shifts in their standard errors; about 1 is well.
    zoom, zoom_error : (n,)
        m − 1 as it shows within the patch itself, and its standard error.
    """

    shift: np.ndarray
    covariance: np.ndarray
    disagreement: np.ndarray
    zoom: np.ndarray
    zoom_error: np.ndarray


def patch_shifts(sums: np.ndarray, channel: str, sigma: float, block: float = BLOCK) -> Shifts:
    """Measure a channel's shift in each patch: fitted block by block, then joined robustly.

    In a block, ``C = o + k G + g·∇G`` is fitted as in `course_lib.lens.fringes.local_shift`, so
    that its shift is −g / k. Offset o and contrast k may differ from block to block.

    Parameters
    ----------
    sums : (n, b, b, 9, 9)
        From `block_sums`.
    channel : "red" or "blue"
    sigma : float
        The blur of the sums: blurred pixels are not independent, which the errors account for.
    block : float
        Side of a block in pixels.
    """
    count, blocks = sums.shape[:2]
    flat = sums.reshape(count, blocks**2, 9, 9)
    contrast, slopes, information, _ = _fit(flat, CHANNELS[channel], (GX, GY), sigma)
    usable = contrast > LEAST_CONTRAST
    contrast = np.clip(contrast, LEAST_CONTRAST, 3)
    own = -slopes / contrast[..., None]
    # No block is sure beyond the floor: adding covariances, not information.
    spread = np.linalg.inv(information * contrast[..., None, None] ** 2 + 1e-3 * np.eye(2))
    weight = np.linalg.inv(spread + SHIFT_FLOOR**2 * np.eye(2)) * usable[..., None, None]
    shift, covariance, robust = common_shift(own, weight)
    rest = own - shift[:, None]
    distance = np.einsum("nbi,nbij,nbj->nb", rest, weight, rest)
    disagreement = (robust * distance).sum(axis=1) / (2 * robust.sum(axis=1))
    arm = _arms(blocks, block)
    weight = weight * robust[..., None, None]
    pull = np.einsum("bi,nbij,nbj->n", arm, weight, rest)
    grip = np.einsum("bi,nbij,bj->n", arm, weight, arm) + 1 / ZOOM_PRIOR**2
    return Shifts(shift, covariance, disagreement, pull / grip, 1 / np.sqrt(grip))


def common_shift(
    shifts: np.ndarray, weights: np.ndarray, rounds: int = 6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join the shifts of many blocks to one, mistrusting blocks that disagree.

    A block with an edge in one direction knows its shift across the edge only, so weights are
    matrices: inverse covariances. Reweighted least squares, weights after Geman and McClure.

    Parameters
    ----------
    shifts : (n, b, 2) array
        In pixels.
    weights : (n, b, 2, 2) array

    Returns
    -------
    shift : (n, 2) array
    covariance : (n, 2, 2) array
    robust : (n, b) array
        1 for blocks that agree, near 0 for outliers.
    """
    robust = np.ones(shifts.shape[:2])
    for _ in range(rounds + 1):
        trusted = weights * robust[..., None, None]
        information = trusted.sum(axis=1) + np.eye(2) / SHIFT_PRIOR**2
        pulls = (trusted @ shifts[..., None]).sum(axis=1)
        shift = np.linalg.solve(information, pulls)[..., 0]
        rest = shifts - shift[:, None]
        distance = np.einsum("nbi,nbij,nbj->nb", rest, weights, rest)
        robust = 1 / (1 + distance / OUTLYING) ** 2
    return shift, np.linalg.inv(information), robust


def _fit(
    sums: np.ndarray, target: int, slopes: tuple[int, ...], sigma: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fit a channel in every block: contrast, slopes, their information, residual variance."""
    used = [ONE, GREEN, *slopes]
    ridge = np.diag([1e-6] * 2 + [1e-8] * len(slopes))
    normal = sums[..., used, :][..., used] + ridge
    right = sums[..., used, target]
    solution = np.linalg.solve(normal, right[..., None])[..., 0]
    pixels = sums[..., ONE, ONE]
    rest = np.maximum(sums[..., target, target] - (right * solution).sum(axis=-1), 0)
    variance = rest / np.maximum(pixels - len(used), 1) + NOISE_FLOOR**2
    side = normal[..., :2, 2:]
    known = np.swapaxes(side, -1, -2) @ np.linalg.solve(normal[..., :2, :2], side)
    # 4πσ² neighbouring pixels of a blurred picture say as much as one.
    information = (normal[..., 2:, 2:] - known) / (variance * 4 * np.pi * sigma**2)[..., None, None]
    return solution[..., 1], solution[..., 2:], information, variance


@cache
def _arms(blocks: int, side: float) -> np.ndarray:
    """Middles (x, y) of the blocks from the patch's middle, in pixels."""
    at = (np.arange(blocks) - (blocks - 1) / 2) * side
    return np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)


@dataclass(frozen=True)
class Feature:
    """One number that is measured in a patch.

    Attributes
    ----------
    name : str
        What it is, such as ``red 2.0 x``.
    flips_x, flips_y : bool
        Whether its sign changes when the patch is mirrored left to right, top to bottom.
    """

    name: str
    flips_x: bool = False
    flips_y: bool = False


class _Sheet:
    """Collects named columns."""

    def __init__(self) -> None:
        self.columns: list[np.ndarray] = []
        self.features: list[Feature] = []

    def add(self, name: str, values: np.ndarray, flips: str = "") -> None:
        self.columns.append(values.astype(np.float32))
        self.features.append(Feature(name, "x" in flips, "y" in flips))

    def add_shift(self, name: str, found: Shifts) -> None:
        error = np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2))
        for axis, letter in enumerate("xy"):
            self.add(f"{name} {letter}", found.shift[:, axis], letter)
            self.add(f"{name} {letter} in errors", found.shift[:, axis] / error[:, axis], letter)
            self.add(f"{name} {letter} log error", np.log(error[:, axis]))
        tilt = found.covariance[:, 0, 1] / error.prod(axis=1)
        self.add(f"{name} tilt", tilt, "xy")
        self.add(f"{name} disagreement", np.log(found.disagreement + 1e-3))


def fringe_features(patches: np.ndarray) -> np.ndarray:
    """Measure the traces of the lens in each patch; `FEATURES` says what each column is.

    Parameters
    ----------
    patches : (n, s, s, 3) uint8, or float32 in [0, 1]
        RGB patches. About 300 patches of 96² a second on one core.

    Returns
    -------
    (n, len(FEATURES)) float32
        All finite. They say nothing about other patches of the picture, and, up to the sharpness
        of the texture, nothing about what the patch shows.
    """
    return np.concatenate(
        [_measure(patches[i : i + 64])[0] for i in range(0, max(len(patches), 1), 64)]
    )


def _measure(patches: np.ndarray) -> tuple[np.ndarray, tuple[Feature, ...]]:
    sheet = _Sheet()
    for sigma in BLURS:
        sums = block_sums(patches, sigma)
        for channel in CHANNELS:
            found = patch_shifts(sums, channel, sigma)
            sheet.add_shift(f"{channel} {sigma}", found)
            _add_zoom(sheet, f"{channel} {sigma}", found)
        if sigma == MAIN:
            coarse = _joined(sums, COARSE)
            for channel in CHANNELS:
                found = patch_shifts(coarse, channel, sigma, BLOCK * sums.shape[1] / COARSE)
                sheet.add_shift(f"{channel} coarse", found)
                _add_zoom(sheet, f"{channel} coarse", found)
                _add_blur(sheet, channel, _joined(sums, 1)[:, 0, 0], sigma)
            _add_texture(sheet, _joined(sums, 1)[:, 0, 0])
    _add_brightness(sheet, _as_float(patches))
    return np.nan_to_num(np.stack(sheet.columns, axis=1)), tuple(sheet.features)


def _add_zoom(sheet: _Sheet, name: str, found: Shifts) -> None:
    sheet.add(f"{name} zoom", 1e3 * found.zoom)
    sheet.add(f"{name} zoom log error", np.log(found.zoom_error))


def _add_blur(sheet: _Sheet, channel: str, sums: np.ndarray, sigma: float) -> None:
    """Second derivatives of green in a channel: how much softer it is, and along which axis."""
    contrast, slopes, information, variance = _fit(
        sums, CHANNELS[channel], (GX, GY, GXX, GXY, GYY), sigma
    )
    contrast = np.clip(contrast, LEAST_CONTRAST, 3)
    softer = np.clip(slopes[:, 2:] / contrast[:, None], -9, 9)
    covariance = np.linalg.inv(information + 1e-6 * np.eye(5))
    for i, (name, flips) in enumerate((("xx", ""), ("xy", "xy"), ("yy", ""))):
        sheet.add(f"{channel} softer {name}", softer[:, i], flips)
    for i, name in ((2, "xx"), (4, "yy")):
        error = np.sqrt(covariance[:, i, i]) / contrast
        sheet.add(f"{channel} softer {name} log error", np.log(error))
    sheet.add(f"{channel} contrast", contrast)
    sheet.add(f"{channel} log residual", np.log(variance) / 2)


def _add_texture(sheet: _Sheet, sums: np.ndarray) -> None:
    """How strong and how fine green's texture is, for how much to believe the rest."""
    pixels = np.maximum(sums[:, ONE, ONE], 1)
    for name, column in (("x", GX), ("y", GY), ("xx", GXX), ("yy", GYY)):
        sheet.add(f"green log {name}", np.log(sums[:, column, column] / pixels + 1e-9) / 2)
    sheet.add("pixels", sums[:, ONE, ONE] / sums[:, ONE, ONE].max(initial=1))


def _add_brightness(sheet: _Sheet, rgb: np.ndarray) -> None:
    """Slope of log brightness across the patch: vignetting, if the scene does not outdo it."""
    cells, step = 12, rgb.shape[1] // 12
    even = rgb[:, : cells * step, : cells * step].reshape(-1, cells, step, cells, step, 3)
    log = np.log(even.mean(axis=(2, 4)) + 0.02)
    at = (np.arange(cells) - (cells - 1) / 2) / cells
    scale = cells * (at**2).sum()
    for i, name in enumerate(("red", "green", "blue")):
        x = (log[..., i] * at).sum(axis=(1, 2)) / scale
        y = (log[..., i] * at[:, None]).sum(axis=(1, 2)) / scale
        sheet.add(f"{name} slope x", x, "x")
        sheet.add(f"{name} slope y", y, "y")
        if name == "green":
            plane = x[:, None, None] * at + y[:, None, None] * at[:, None]
            rest = log[..., i] - log[..., i].mean(axis=(1, 2), keepdims=True) - plane
            sheet.add("slope log residual", np.log(rest.std(axis=(1, 2)) + 1e-3))


FEATURES: tuple[Feature, ...] = _measure(np.zeros((1, 96, 96, 3), np.uint8))[1]
"""What the columns of `fringe_features` are."""
COLUMN = {feature.name: i for i, feature in enumerate(FEATURES)}
"""Name of a feature to its column."""
SIGNS = np.array(
    [[-1 if f.flips_x else 1 for f in FEATURES], [-1 if f.flips_y else 1 for f in FEATURES]],
    np.float32,
)
"""What mirroring left to right (row 0) or top to bottom (row 1) multiplies each feature by."""


def mirror_features(
    features: np.ndarray, cells: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Features and cells of the mirrored patches, without measuring them again.

    A mirrored photograph is as good as another one, which makes four of each patch.

    Parameters
    ----------
    features : (n, len(FEATURES)) array
    cells : (n,) int array
        0 to 15 row by row.
    x, y : (n,) bool array
        Which patches to mirror left to right, and top to bottom.
    """
    mirrored = np.where(x[:, None], features * SIGNS[0], features)
    mirrored = np.where(y[:, None], mirrored * SIGNS[1], mirrored)
    row, column = np.divmod(cells, 4)
    return mirrored, 4 * np.where(y, 3 - row, row) + np.where(x, 3 - column, column)


def shifts_of(features: np.ndarray, channel: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a channel's shift at the main blur, and its standard error: (n, 2) each, pixels."""
    name = f"{channel} {MAIN}"
    shift = features[:, [COLUMN[f"{name} {axis}"] for axis in "xy"]]
    error = np.exp(features[:, [COLUMN[f"{name} {axis} log error"] for axis in "xy"]])
    return shift, error


def optical_center(
    features: np.ndarray, positions: np.ndarray, prior: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Fit magnifications and the optical centre to the shifts of a picture's patches.

    The shift of both channels is (m − 1)(p − c) with a centre c in common. Each channel's zoom
    comes from `course_lib.lens.fringes.zoom_about`; the centre then is linear. A crop shows itself
    by a centre that is not in the middle.

    Parameters
    ----------
    features : (n, len(FEATURES)) array
        Of n patches of one picture.
    positions : (n, 2) array
        Their middles (x, y) from the picture's middle, in pixels.
    prior : float
        How far from the middle the centre usually is, as a fraction of the spread of positions; it
        decides where there are no fringes.

    Returns
    -------
    center : (2,) array
        (x, y) from the picture's middle, in pixels.
    zooms : (2,) array
        m − 1 of red and of blue.
    """
    zooms, offsets, trust = [], [], []
    for channel in CHANNELS:
        shift, error = (part.astype(float) for part in shifts_of(features, channel))
        base = 1 / (error**2 + 0.05**2)
        robust = np.ones(len(shift))
        for _ in range(6):
            weights = base * robust[:, None]
            excess, offset = zoom_about(positions, shift, weights)
            rest = shift - excess * positions - offset
            distance = np.sqrt((base * rest**2).sum(axis=1))
            robust = 1 / (1 + (distance / (2.5 * np.median(distance) + 1e-3)) ** 2) ** 2
        zooms.append(float(excess))
        offsets.append(offset)
        trust.append((base * robust[:, None]).sum(axis=0))
    m, o, w = np.array(zooms), np.array(offsets), np.array(trust)
    usual = (prior * positions.std(axis=0)) ** -2.0
    center = -(w * m[:, None] * o).sum(axis=0) / ((w * m[:, None] ** 2).sum(axis=0) + usual)
    return np.clip(center, -2 * np.abs(positions).max(0), 2 * np.abs(positions).max(0)), m


TEMPER = 0.4
"""Share of their evidence that patches keep when they are pooled: chosen on real photographs, where
all patches of a picture misjudge an unusual lens together."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Where a picture may lie in its original: the whole of it, or one of many crops.

    Attributes
    ----------
    boxes : (k, 4) array
        x1, y1, x2, y2; the first is the whole frame.
    prior : (k,) array
        A half for the whole frame; the rest is shared by the crops as they are drawn.
    """

    boxes: np.ndarray
    prior: np.ndarray

    @cached_property
    def overlaps(self) -> np.ndarray:
        """Intersection over union of any two boxes: (k, k)."""
        low = np.maximum(self.boxes[:, None, :2], self.boxes[:, :2])
        high = np.minimum(self.boxes[:, None, 2:], self.boxes[:, 2:])
        shared = np.maximum(high - low, 0).prod(axis=-1)
        area = np.diagonal(shared)
        return shared / (area[:, None] + area - shared)


@cache
def possible_frames(steps: int = 9) -> Frames:
    """List crops as `course_lib.traces.examples.draw_crop` draws them, and the whole frame.

    Sizes from 0.5 to 0.9, one edge pinned, `steps` sizes and as many places along each edge.
    """
    boxes = [(0.0, 0.0, 1.0, 1.0)]
    for size in np.linspace(0.5, 0.9, steps):
        rest = 1 - size
        for along in np.linspace(0, rest, steps):
            for x, y in ((along, 0.0), (rest, along), (along, rest), (0.0, along)):
                boxes.append((x, y, x + size, y + size))
    prior = np.full(len(boxes), 0.5 / (len(boxes) - 1))
    prior[0] = 0.5
    return Frames(np.array(boxes), prior)


def frame_scores(
    votes: np.ndarray, centers: np.ndarray, frames: Frames, temper: float = TEMPER
) -> np.ndarray:
    """Pool patches' votes for cells into beliefs about the original frame.

    A frame says in which cell each patch was. What a patch votes for that cell, against chance, is
    evidence for the frame, and evidence multiplies.

    Parameters
    ----------
    votes : (n, 16) array
        Probability of each cell, for n patches of a picture.
    centers : (n, 2) array
        Patches' middles (x, y) as fractions of the picture that is seen.
    frames : Frames
    temper : float
        Below 1 the evidence counts less: patches of one picture share a lens and its errors.

    Returns
    -------
    (k,) array
        Probability of each frame.
    """
    corner, size = frames.boxes[:, None, :2], np.ptp(frames.boxes.reshape(-1, 2, 2), axis=1)
    places = corner + centers * size[:, None]  # (k, n, 2)
    column, row = np.clip(np.floor(4 * places), 0, 3).astype(int).transpose(2, 0, 1)
    chosen = votes[np.arange(len(votes)), 4 * row + column]  # (k, n)
    evidence = temper * np.log(16 * np.maximum(chosen, 1e-6)).sum(axis=1)
    belief = frames.prior * np.exp(evidence - evidence.max())
    return belief / belief.sum()


def best_box(belief: np.ndarray, frames: Frames) -> Box:
    """Choose the frame whose expected intersection over union with the true one is highest.

    Parameters
    ----------
    belief : (k,) array
        Probability of each frame, from `frame_scores`.
    frames : Frames
    """
    return Box(*frames.boxes[int((frames.overlaps @ belief).argmax())])
