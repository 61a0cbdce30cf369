"""How visible the grid of 8×8 blocks is that JPEG leaves in a picture."""

import numpy as np

SIDE = 8
WEIGHTS = np.array([0.299, 0.587, 0.114])


def steps_by_phase(picture: np.ndarray) -> np.ndarray:
    """Mean absolute step between neighbouring pixels, by where in a block it lies.

    Parameters
    ----------
    picture : (h, w) or (h, w, 3) ndarray
        uint8, or float in [0, 1]; at least 16 pixels high and wide. The first block begins in its
        corner. Of colours, luma is measured.

    Returns
    -------
    (8,) float64 ndarray
        In gray levels. Entry k is about the steps from pixel k of a block to the next, along rows
        and columns together; entry 7 crosses into the next block.
    """
    gray = picture.astype(np.float64) * (1 if picture.dtype == np.uint8 else 255)
    gray = gray @ WEIGHTS if gray.ndim == 3 else gray
    along = [np.abs(np.diff(gray, axis=axis)).mean(axis=1 - axis) for axis in (0, 1)]
    return np.array([np.concatenate([a[k::SIDE] for a in along]).mean() for k in range(SIDE)])


def blockiness(picture: np.ndarray) -> float:
    """Mean step across the edges of blocks, divided by that inside blocks: 1 without a grid.

    Parameters
    ----------
    picture : (h, w) or (h, w, 3) ndarray
        As for `steps_by_phase`.

    Returns
    -------
    float
        Near 1 for pictures that were never compressed, 2 and more where blocks can be seen. 1 for
        flat pictures.
    """
    steps = steps_by_phase(picture)
    inside = steps[: SIDE - 1].mean()
    if inside == 0:
        return 1.0 if steps[-1] == 0 else np.inf
    return float(steps[-1] / inside)
