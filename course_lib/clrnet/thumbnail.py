"""The coded thumbnail: a picture that carries a small copy of itself everywhere.

What a crop cuts away is gone, unless what is left says it too. So the whole picture is summed up in
a thumbnail, and each block of the picture hides some numbers that depend on **all** of it. A
crop keeps some of these numbers, whichever ones, and they have to tell only what was cut away:
the rest of the thumbnail is in plain sight.

1. **Thumbnail**: the lowest frequencies of each 8×8 block (`Plan.thumbnail`).
2. **Mixing**: a keyed matrix, nearly a random one, turns it into ten numbers a block. What kept
   pixels explain can be subtracted later, so only a number's fractional part needs to be hidden:
   the modulo throws away what the finder will know anyway.
3. **Embedding**: ten higher frequencies are moved to the nearest value that says the fraction
   (`embedded`). The thumbnail's own frequencies stay as they are, so kept blocks tell theirs
   exactly. Steps are large where the block is busy and small where a change would be seen.
4. **Decoding**: what was cut away is guessed from what is left, with an uncertainty; the
   fractions are unwrapped around what the guess predicts, the guess becomes better, and so on
   (`unwrapped`, `Decoder`): approximate message passing.

Sources: Y. Kochman and R. Zamir, "Joint Wyner-Ziv/dirty-paper coding by modulo-lattice
modulation" (2009); B. Chen and G. Wornell, "Quantization index modulation" (2001); S. Rangan,
"Generalized approximate message passing" (2011); M. Wainwright and E. Simoncelli, "Scale mixtures
of Gaussians and the statistics of natural images" (1999), for the prior.
"""

import numpy as np

from course_lib.clrnet.frame import BLOCK, CHEAPEST, from_blocks, to_blocks, to_ycc
from course_lib.clrnet.guess import expected
from course_lib.clrnet.plan import Plan, mixed, thumbnail

LADDER = 4.5 * 1.25 ** np.arange(11)
"""Scales from which a picture chooses its own, in gray values. The finder tries all of them."""
KEPT_IN_MIND = 0.7
"""Share of the area for which a picture chooses its scale."""


def activity(cells: np.ndarray, plan: Plan) -> np.ndarray:
    """Deviation of the luma of each block that its thumbnail shows, in gray values: (blocks,)."""
    return np.sqrt((cells[plan.busy] ** 2).sum(axis=0)) / BLOCK


def level(cells: np.ndarray, plan: Plan) -> np.ndarray:
    """Step that suits each block, as a power of two that need not be whole: (blocks,)."""
    return np.log2(plan.strength * np.hypot(activity(cells, plan), plan.quietest))


def steps(cells: np.ndarray, plan: Plan) -> np.ndarray:
    """Step of the embedding in each block: (blocks,), in gray values.

    Read from the thumbnail, which the embedding leaves alone: hider and finder see the same.
    Whole powers of two only, so that JPEG's noise seldom leads to another one.
    """
    return np.minimum(2.0 ** np.rint(level(cells, plan)), plan.largest)


def distinct(cells: np.ndarray, plan: Plan, apart: float = 0.115) -> np.ndarray:
    """Move activities away from where one step gives way to the next, by 8 % at most.

    Parameters
    ----------
    cells : (numbers of a block, blocks)
    plan : Plan
    apart : float
        Least distance of each level from halfway between whole ones.

    Returns
    -------
    (numbers of a block, blocks)
        The thumbnail that is embedded.
    """
    now = level(cells, plan)
    off = now - np.floor(now) - 0.5
    wanted = np.where(np.abs(off) < apart, now - off + np.copysign(apart, off), now)
    wanted = np.where(now > np.log2(plan.largest) + 0.5, now, wanted)  # the largest step anyway
    busy = np.sqrt(np.maximum(4.0**wanted / plan.strength**2 - plan.quietest**2, 0))
    factor = np.where(wanted == now, 1, busy / np.maximum(activity(cells, plan), 1e-6))
    moved = cells.copy()
    moved[plan.busy] *= factor.clip(0.5, 2)
    return moved


def embedded(values: np.ndarray, fractions: np.ndarray, step: np.ndarray | float) -> np.ndarray:
    """Move each value to the nearest one whose fractional part, in steps, is the wanted one.

    Parameters
    ----------
    values : array
        Coefficients of the picture.
    fractions : array
        What is to be said: only the part after the point counts.
    step : array
        Distance of two values that say the same.

    Returns
    -------
    array
        Never farther than half a step away; every distance up to that is equally likely.

    Source: B. Chen and G. Wornell, "Quantization index modulation" (2001), with dither.
    """
    return step * (np.rint(values / step - fractions) + fractions)


def protect(picture: np.ndarray, plan: Plan) -> np.ndarray:
    """Hide a picture's thumbnail in the picture.

    Parameters
    ----------
    picture : (side, side, 3) float
        R, G and B in 0..255.
    plan : Plan

    Returns
    -------
    (side, side, 3) float32
        To be rounded to 8 bits.
    """
    ycc = to_ycc(picture)
    before = thumbnail(ycc, plan)
    cells = distinct(before, plan)
    step = steps(cells, plan)[:, None]
    numbers = mixed(cells, plan) / unit(ycc, plan)
    blocks = to_blocks(ycc[..., 0])
    change = np.zeros_like(blocks)
    for n in plan.busy:
        _, i, j = plan.thumbnail[n]
        change[:, i, j] = cells[n] - before[n]
    i, j = np.array(plan.carriers).T
    change[:, i, j] = embedded(blocks[:, i, j], numbers + plan.dither, step) - blocks[:, i, j]
    moved = from_blocks(change, ycc.shape[:2])[..., None] * CHEAPEST
    return (picture + moved).astype(np.float32)


def unit(ycc: np.ndarray, plan: Plan) -> float:
    """Choose what one period of the mixed numbers is, on the `LADDER`.

    Nine crops are tried. What each could not be guessed from the rest has a size, and a typical one
    of these sizes should come out as `Plan.period`.
    """
    side, kept = plan.side, round(plan.side * KEPT_IN_MIND**0.5)
    truth = thumbnail(ycc, plan)
    sizes = []
    for left in (0, (side - kept) // 2, side - kept):
        for top in (0, (side - kept) // 2, side - kept):
            guess = expected(ycc, (left, top, left + kept, top + kept), plan)
            sizes.append(np.sqrt(((truth - guess) ** 2).sum()))
    rung = np.abs(np.log(LADDER * side) - np.log(np.quantile(sizes, 0.75) + 1e-9)).argmin()
    return float(LADDER[rung] * side / plan.period)
