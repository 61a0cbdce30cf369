"""What is left of a picture says something of what was cut away, without any code.

Pixels resemble their neighbours. With a correlation that falls exponentially, the best linear guess
of each lost block from all visible pixels is known in closed form, and so is its uncertainty.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy.fft import dct

from course_lib.clrnet.frame import BLOCK
from course_lib.clrnet.plan import Plan, Visible, seen_blocks, thumbnail

REACH = 0.16
"""Distance over which pixels resemble each other, as a fraction of the side."""
NUGGET = 0.02
"""Share of the pixels' variance that says nothing of their neighbours, code and JPEG included."""


@dataclass(frozen=True)
class Line:
    """What is known along one axis: how rows or columns of blocks follow from visible pixels.

    Attributes
    ----------
    weights : (frequencies, blocks, visible pixels)
        Best linear guess of a block's frequency.
    before, explained : (frequencies, blocks, blocks)
        Covariance before anything is seen, and the part of it that the guess explains.
    """

    weights: np.ndarray
    before: np.ndarray
    explained: np.ndarray


@lru_cache(maxsize=64)
def line(low: int, high: int, plan: Plan) -> Line:
    """Predict blocks along one axis from the pixels low to high, whose covariance is exponential.

    Parameters
    ----------
    low, high : int
        Visible pixels.
    plan : Plan

    Source: kriging; D. Krige (1951), G. Matheron (1963).
    """
    place = np.arange(plan.side)
    covariance = np.exp(-np.abs(place[:, None] - place) / (REACH * plan.side))
    here = covariance[low:high]
    gain = np.linalg.solve(here[:, low:high] + NUGGET * np.eye(high - low), here).T
    waves = dct(np.eye(BLOCK), axis=0, norm="ortho")
    blocks = np.stack([np.kron(np.eye(plan.across), wave) for wave in waves])
    weights = blocks @ gain
    turned = blocks.swapaxes(1, 2)
    return Line(weights, blocks @ covariance @ turned, weights @ here @ turned)


def expected(ycc: np.ndarray, visible: Visible, plan: Plan) -> np.ndarray:
    """Guess the thumbnail of the whole picture from what is visible, without any code.

    Parameters
    ----------
    ycc : (side, side, 3) float
        Only its visible part is looked at.
    visible : (left, top, right, bottom)
    plan : Plan

    Returns
    -------
    (numbers of a block, blocks)
        Wholly visible blocks have their own numbers.
    """
    left, top, right, bottom = visible
    across, down = line(left, right, plan), line(top, bottom, plan)
    seen = np.zeros_like(ycc)
    seen[top:bottom, left:right] = ycc[top:bottom, left:right]
    cells, whole = thumbnail(seen, plan), seen_blocks(visible, plan)
    for numbers, (channel, i, j) in zip(cells, plan.thumbnail, strict=True):
        pixels = ycc[top:bottom, left:right, channel]
        mean = pixels.mean()
        guess = (down.weights[i] @ (pixels - mean) @ across.weights[j].T).ravel()
        numbers[~whole] = guess[~whole] + (BLOCK * mean if i == j == 0 else 0)
    return cells


@dataclass(frozen=True)
class Prior:
    """What was cut away, before the code is read.

    Attributes
    ----------
    mean : (numbers of a block, lost blocks)
    variance : same shape
        Of each number on its own.
    waves, powers : list of arrays
        Of the block means of each channel, which go along with those of their neighbours:
        independent patterns over the lost blocks (columns) and their variances.
    """

    mean: np.ndarray
    variance: np.ndarray
    waves: list[np.ndarray]
    powers: list[np.ndarray]


def prior(ycc: np.ndarray, visible: Visible, plan: Plan) -> Prior:
    """Guess what was cut away, and how far off the guess may be; parameters as for `expected`."""
    left, top, right, bottom = visible
    across, down = line(left, right, plan), line(top, bottom, plan)
    cells, lost = expected(ycc, visible, plan), ~seen_blocks(visible, plan)
    variance, waves, powers = np.empty((len(cells), lost.sum())), [], []
    for n, (channel, i, j) in enumerate(plan.thumbnail):
        if i == j == 0:
            known = np.kron(down.explained[0], across.explained[0])
            left_over = (np.kron(down.before[0], across.before[0]) - known)[np.ix_(lost, lost)]
            pixels = ycc[top:bottom, left:right, channel]
            power, wave = np.linalg.eigh(left_over * (1.3 * pixels.var() + 1))
            waves.append(wave)
            powers.append(power.clip(1e-3))
            variance[n] = (wave**2) @ powers[-1]
        else:
            rows = np.diag(down.explained[i]) / np.diag(down.before[i])
            columns = np.diag(across.explained[j]) / np.diag(across.before[j])
            unknown = 1 - np.outer(rows, columns).ravel()[lost].clip(0, 0.98)
            power_of_seen = (cells[n, ~lost] ** 2).mean() if (~lost).any() else 400.0
            variance[n] = unknown * (1.2 * power_of_seen + 4)
    return Prior(cells[:, lost], variance, waves, powers)


def guessed(canvas: np.ndarray, visible: Visible) -> np.ndarray:
    """Continue what is visible into the lost area (inpainting): all that is left without a code.

    Source: A. Telea, "An image inpainting technique based on the fast marching method" (2004).
    """
    left, top, right, bottom = visible
    lost = np.full(canvas.shape[:2], 255, np.uint8)
    lost[top:bottom, left:right] = 0
    known = np.rint(canvas).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.inpaint(known, lost, 3, cv2.INPAINT_TELEA), np.float32)
