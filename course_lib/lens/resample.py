"""Reading a channel between its pixels."""

from typing import Literal, get_args

import cv2
import numpy as np

from course_lib.errors import UsageError

Kernel = Literal["linear", "cubic", "lanczos", "spline"]
KERNELS: tuple[str, ...] = get_args(Kernel)

POLE = 3**0.5 - 2
"""The filter that undoes a cubic B-spline has the taps √3 · POLE^|k|."""


def resample(
    channel: np.ndarray, x: np.ndarray, y: np.ndarray, kernel: Kernel = "cubic"
) -> np.ndarray:
    """Read a channel at any positions, between pixels too; the edge is repeated outwards.

    Parameters
    ----------
    channel : HxW uint8 or float32
    x, y : arrays
        Positions in pixels, where the first pixel's centre is at (0.5, 0.5). The two may have any
        shapes that broadcast to the result's, for instance (1, W) and (H, 1).
    kernel : "linear", "cubic", "lanczos" or "spline"
        How to interpolate; `read_between` compares them.

    Returns
    -------
    array
        Same dtype, of the shape x and y broadcast to. Floats may overshoot the channel's range.
    """
    x, y = (np.subtract(axis, 0.5).astype(np.float32) for axis in (x, y))
    read = read_between(prepared(channel.astype(np.float32), kernel), x, y, kernel)
    return np.clip(np.rint(read), 0, 255).astype(np.uint8) if channel.dtype == np.uint8 else read


def prepared(channel: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Return what `read_between` reads: for splines their coefficients, else the channel itself.

    Coefficients whose B-splines add up to the given pixels are those pixels, sharpened. Twelve
    taps to each side leave an error of 1e-7.
    """
    if kernel != "spline":
        return channel
    taps = 3**0.5 * POLE ** np.abs(np.arange(-12, 13))
    return cv2.sepFilter2D(channel, -1, taps, taps, borderType=cv2.BORDER_REFLECT_101)


def read_between(channel: np.ndarray, x: np.ndarray, y: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Interpolate a `prepared` float32 channel at float32 pixel indices (first pixel = 0).

    Interpolation is a small filter whose taps depend on where between two pixels one reads. No
    small filter is perfect. The table gives, for a sine of f cycles a pixel, the largest error of
    its place in pixels and the smallest amplitude, over all places between two pixels, and the
    time of a whole picture with chromatic aberration:

    =======  ============  ============  ============  ============  =====
    kernel   f = 0.01      f = 0.10      f = 0.20      f = 0.30      time
    =======  ============  ============  ============  ============  =====
    linear   0.000   1.00  0.007   0.95  0.028   0.81  0.070   0.59  1.0
    cubic    0.000   1.00  0.007   1.00  0.028   0.95  0.070   0.78  1.6
    lanczos  0.030   1.00  0.018   1.00  0.019   0.99  0.022   1.00  3.5
    spline   0.000   1.00  0.000   1.00  0.003   0.99  0.016   0.93  2.3
    =======  ============  ============  ============  ============  =====

    ``cubic`` is Keys' cubic convolution with a = −1/2, the only cubic that leaves ramps and
    parabolas where they are. OpenCV's own cubic has a = −3/4 and reads a ramp up to 0.048 pixels
    off, a tenth of a typical aberration. Cubics are linear in a, and for a = 0 only the two
    nearest pixels count, with weights 1 − s and s, s = t²(3 − 2t). So a = −1/2 is two thirds of
    OpenCV's cubic and one third of a linear reading at places moved from t to s. (In two
    dimensions this differs from the product of two cubics by terms below 0.005 of a pixel's
    mixed second difference.)

    ``spline`` is the cubic B-spline through the pixels, the most accurate of the four.

    Sources: R. Keys, "Cubic convolution interpolation for digital image processing", 1981;
    M. Unser, "Splines: a perfect fit for signal and image processing", 1999; C. Sigg and
    M. Hadwiger, "Fast third-order texture filtering", 2005. OpenCV rounds positions to 1/32 of a
    pixel for ``lanczos``, and before version 5 for all kernels: up to 0.016 pixels of error.
    """
    if kernel == "linear":
        return _remap(channel, x, y, cv2.INTER_LINEAR)
    if kernel == "lanczos":
        return _remap(channel, x, y, cv2.INTER_LANCZOS4)
    if kernel == "spline":
        return _spline(channel, x, y)
    if kernel != "cubic":
        raise UsageError(f"kernel '{kernel}' is unknown: choose one of {', '.join(KERNELS)}.")
    sharp = _remap(channel, x, y, cv2.INTER_CUBIC)
    smooth = _remap(channel, _smoothstep(x), _smoothstep(y), cv2.INTER_LINEAR)
    return cv2.addWeighted(sharp, 2 / 3, smooth, 1 / 3, 0, dst=sharp)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    """Move each position's fraction t to t²(3 − 2t)."""
    whole = np.floor(x)
    t = x - whole
    moved = t * -2
    moved += 3
    t *= t
    moved *= t
    moved += whole
    return moved


def _spline(coefficients: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Add up B-splines; two neighbours with positive weights are one linear reading."""
    height, width = coefficients.shape
    left, right, share_x = _pairs(np.clip(x, 0, width - 1))
    above, below, share_y = _pairs(np.clip(y, 0, height - 1))
    rows = []
    for line in (above, below):
        near, far = (
            _remap(coefficients, column, line, cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101)
            for column in (left, right)
        )
        near -= far
        near *= share_x
        near += far
        rows.append(near)
    upper, lower = rows
    upper -= lower
    upper *= share_y
    upper += lower
    return upper


def _pairs(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of the two linear readings that make a cubic B-spline, and the first one's share."""
    whole = np.floor(x)
    t = x - whole
    t2 = t * t
    last = t2 * t
    last *= 1 / 6  # the weight of the pixel two to the right is t³ / 6
    t *= -0.5
    first = t2 * 0.5
    first += t
    first -= last
    first += 1 / 6  # of the one to the left (1 − t)³ / 6
    share = last * 3
    share -= t2
    share += 2 / 3
    share += first
    first /= share
    last /= 1 - share
    last += whole
    last += 1
    whole -= first
    return whole, last, share


def _remap(
    channel: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    flag: int,
    border: int = cv2.BORDER_REPLICATE,
) -> np.ndarray:
    """Call OpenCV's remap with positions of any shapes that broadcast."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    x, y = (
        np.ascontiguousarray(np.broadcast_to(axis, shape)).reshape(-1, shape[-1]) for axis in (x, y)
    )
    return cv2.remap(channel, x, y, flag, borderMode=border).reshape(shape)
