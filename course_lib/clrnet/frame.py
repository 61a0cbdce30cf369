"""The square in which codes live: any picture is worked on at one size, and put back into it.

A picture of any size is stretched to ``side`` × ``side`` pixels. What is to be hidden is worked out
there, and laid on the picture at its own size. A crop that comes back is laid into the same square
again, at the place where it was; how it was resized on its way has to be undone first.
"""

from functools import lru_cache

import cv2
import numpy as np
from scipy.fft import dctn, idctn

from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import Box

BLOCK = 8
"""Side of a block, as in JPEG."""
SMALLEST = 32
"""Shortest side of a picture that can be worked on, in pixels."""
YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
"""Rows: luma, Cb and Cr of R, G and B (JFIF, without the offset of 128)."""
RGB = np.linalg.inv(YCC).astype(np.float32)
CHEAPEST = YCC[0] / (YCC[0] @ YCC[0])
"""The smallest change of R, G and B that changes luma by 1: mostly green. It costs 1.27 dB less
than the same change of all three, and the colour that it adds does not come back as luma."""
UNDOING = "linear", "cubic", "area"
"""Ways in which a crop may have been resized, and from which its own pixels are found again."""
RIDGE = 1e-3
"""Of the least squares that undo a resize: what was blurred away is not blown up without end."""
ON_GRID = 0.3
"""Edges this near to whole pixels of the square (in pixels) are taken to lie on them."""


def to_ycc(rgb: np.ndarray) -> np.ndarray:
    """Turn (..., 3) R, G, B in 0..255 into luma, Cb and Cr around 0 (float32)."""
    return np.asarray(rgb, np.float32) @ YCC.T


def to_rgb(ycc: np.ndarray) -> np.ndarray:
    """Undo `to_ycc`, without rounding or clipping."""
    return np.asarray(ycc, np.float32) @ RGB.T


def to_blocks(plane: np.ndarray) -> np.ndarray:
    """Cosine transform of each 8×8 block, orthonormal: (h, w) to (h / 8 · w / 8, 8, 8)."""
    h, w = plane.shape
    cut = plane.reshape(h // BLOCK, BLOCK, w // BLOCK, BLOCK).swapaxes(1, 2)
    transformed: np.ndarray = dctn(cut.reshape(-1, BLOCK, BLOCK), axes=(1, 2), norm="ortho")
    return transformed


def from_blocks(blocks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Undo `to_blocks` for a plane of the given shape."""
    h, w = shape
    cut = idctn(blocks, axes=(1, 2), norm="ortho").reshape(h // BLOCK, w // BLOCK, BLOCK, BLOCK)
    plane: np.ndarray = cut.swapaxes(1, 2).reshape(h, w)
    return plane


def squared(picture: np.ndarray, side: int) -> np.ndarray:
    """Stretch a picture (h, w, 3) to side × side: float32, 0..255.

    Larger pictures are averaged over areas, smaller ones interpolated.
    """
    demand_picture(picture)
    values = picture.astype(np.float32)
    if picture.shape[:2] == (side, side):
        return values
    h, w = picture.shape[:2]
    rows, columns = resampling(h, side), resampling(w, side)
    return np.einsum("ij,jkc,lk->ilc", rows, values, columns, optimize=True).astype(np.float32)


def laid_on(picture: np.ndarray, change: np.ndarray, rounds: int = 4) -> np.ndarray:
    """Add a change, worked out at side × side, to a picture of any size.

    Enlarging blurs. What the squared result lacks of the wanted change is added again, a few times.

    Parameters
    ----------
    picture : (h, w, 3) uint8
    change : (side, side, 3) float
        In gray values.
    rounds : int
        How often.

    Returns
    -------
    (h, w, 3) uint8
    """
    side, (h, w) = len(change), picture.shape[:2]
    if (h, w) == (side, side):
        return rounded(picture + change)
    wanted = squared(picture, side) + change
    result, missing = picture.astype(np.float32), change.astype(np.float32)
    for _ in range(rounds):
        result = result + cv2.resize(missing, (w, h), interpolation=cv2.INTER_CUBIC)
        missing = wanted - squared(result, side)
    return rounded(result)


def rounded(picture: np.ndarray) -> np.ndarray:
    """Store as 8 bits: round and clip."""
    stored: np.ndarray = np.rint(picture).clip(0, 255).astype(np.uint8)
    return stored


def put_back(
    seen: np.ndarray, box: Box, side: int, undo: str = "linear", snap: float = ON_GRID
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Lay a crop into the square, where it was, at the size that it had there.

    Parameters
    ----------
    seen : (h, w, 3)
        The crop, of any size.
    box : Box
        Where it was.
    side : int
        Of the square.
    undo : str
        How it was resized on its way, one of `UNDOING`: ``"area"`` for a picture that is only
        larger than the square, the others for a crop that was enlarged by interpolation.
    snap : float
        Edges this near to whole pixels of the square are taken to lie on them.

    Returns
    -------
    canvas : (side, side, 3) float32
        0 where nothing is seen.
    visible : (left, top, right, bottom)
        Pixels of the square that are wholly seen.
    """
    values = np.asarray(seen, np.float32)
    low_x, low_y, high_x, high_y = (_on_grid(edge * side, snap) for edge in box)
    columns, left, right = _undoing(values.shape[1], low_x, high_x, undo)
    rows, top, bottom = _undoing(values.shape[0], low_y, high_y, undo)
    canvas = np.zeros((side, side, 3), np.float32)
    inside = np.einsum("ij,jkc,lk->ilc", rows, values, columns, optimize=True)
    canvas[top:bottom, left:right] = inside
    return canvas, (left, top, right, bottom)


def _on_grid(edge: float, snap: float) -> float:
    """Take an edge that is nearly on the grid of pixels for one that is."""
    return float(round(edge)) if abs(edge - round(edge)) <= max(snap, 1e-6) else edge


@lru_cache(maxsize=64)
def _undoing(n: int, low: float, high: float, undo: str) -> tuple[np.ndarray, int, int]:
    """Matrix from n samples, spread from low to high, to the whole pixels within them."""
    first, last = int(np.ceil(low - 1e-6)), int(np.floor(high + 1e-6))
    if last - first < 2:
        raise UsageError(f"A box from {low:.2f} to {high:.2f} pixels holds no picture.")
    exact = low == first and high == last
    if undo != "area" and exact and n > last - first:
        # The interpolation that enlarged it, taken back by least squares.
        enlarging = interpolation(last - first, n, undo)
        normal = enlarging.T @ enlarging + RIDGE * np.eye(last - first, dtype=np.float32)
        return np.linalg.solve(normal, enlarging.T), first, last
    step = (high - low) / n
    edges = (np.arange(first, last + 1) - low) / step
    return overlaps(edges, n), first, last


@lru_cache(maxsize=64)
def interpolation(n: int, m: int, how: str) -> np.ndarray:
    """Matrix (m, n) with which OpenCV resizes n samples to m."""
    flags = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}
    if how not in flags:
        raise UsageError(f"The resize {how!r} is unknown: give one of {', '.join(flags)}.")
    matrix: np.ndarray = cv2.resize(np.eye(n, dtype=np.float32), (n, m), interpolation=flags[how])
    return matrix


def resampling(n: int, m: int) -> np.ndarray:
    """Matrix (m, n) that averages n samples over m equal parts, or interpolates if n < m."""
    if n < m:
        return interpolation(n, m, "cubic")
    return overlaps(np.linspace(0, n, m + 1), n)


def overlaps(edges: np.ndarray, n: int) -> np.ndarray:
    """Matrix (m, n) of averages over the m intervals between edges, given in samples of n.

    An interval shorter than a sample is interpolated by straight lines between samples instead.
    """
    low, high = edges[:-1, None], edges[1:, None]
    k = np.arange(n)
    if (high - low).mean() >= 1:
        weights = (np.minimum(high, k + 1) - np.maximum(low, k)).clip(0)
    else:
        centre = ((low + high) / 2 - 0.5).clip(0, n - 1)
        weights = (1 - np.abs(centre - k)).clip(0)
    matrix: np.ndarray = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def demand_picture(picture: np.ndarray) -> None:
    """Refuse what is no colour picture, or too small a one.

    Raises
    ------
    PhotoError
        With the shape and what to give.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or min(picture.shape[:2]) < SMALLEST:
        raise PhotoError(
            f"A picture of shape {picture.shape} cannot be worked on: give a colour picture of at "
            f"least {SMALLEST} × {SMALLEST} pixels."
        )
