"""What hider and finder of a coded thumbnail agree on: its numbers, its carriers, and the mixing.

The thumbnail are the lowest frequencies of each 8×8 block, the carriers somewhat higher ones.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.fft import dct, idct, next_fast_len

from course_lib.clrnet.frame import BLOCK, from_blocks, to_blocks
from course_lib.errors import UsageError

Visible = tuple[int, int, int, int]
"""Left, top, right and bottom edge of what is seen, in pixels of the square."""
ZIGZAG = sorted(
    ((i, j) for i in range(BLOCK) for j in range(BLOCK)), key=lambda f: (sum(f), abs(f[0] - f[1]))
)
"""Frequencies (down, across) of a block from low to high."""


@dataclass(frozen=True)
class Plan:
    """What hider and finder agree on.

    Parameters
    ----------
    key : int
        Without it nothing can be read.
    side : int
        Of the square in which the code lives, a multiple of 8.
    luma, chroma : int
        Frequencies of each block that make up the thumbnail: six say about as much as a
        32 × 32 thumbnail with its slopes, for 128 × 128 pixels.
    code : int
        Frequencies of each block that are moved to carry it.
    period : float
        Deviation that the numbers should have before decoding, in periods. More says more, until
        they can not be unwrapped.
    strength : float
        Step of the embedding for a unit of a block's activity.
    quietest, largest : float
        Activity of a flat block, and largest step, in gray values.
    """

    key: int = 0
    side: int = 128
    luma: int = 6
    chroma: int = 1
    code: int = 10
    period: float = 0.23
    strength: float = 3.2
    quietest: float = 3.0
    largest: float = 48.0

    def __post_init__(self) -> None:
        if self.side % BLOCK or self.side < 4 * BLOCK:
            raise UsageError(f"A side of {self.side} pixels: give a multiple of 8 from 32 on.")
        if self.chroma < 1 or self.luma < 2 or self.luma + self.code > BLOCK**2 or self.code < 1:
            raise UsageError(
                f"{self.luma} + {self.code} frequencies of luma and {self.chroma} of chroma do "
                "not fit: a thumbnail needs 2 and 1, and all of luma's are 64."
            )

    @property
    def across(self) -> int:
        """Blocks in a row."""
        return self.side // BLOCK

    @cached_property
    def thumbnail(self) -> tuple[tuple[int, int, int], ...]:
        """Channel and frequency of the numbers that make up a block's part of the thumbnail."""
        low = [(0, *f) for f in ZIGZAG[: self.luma]]
        return (*low, *((c, *f) for c in (1, 2) for f in ZIGZAG[: self.chroma]))

    @cached_property
    def carriers(self) -> tuple[tuple[int, int], ...]:
        """Frequencies of luma that carry the code: the next ones."""
        return tuple(ZIGZAG[self.luma : self.luma + self.code])

    @cached_property
    def busy(self) -> list[int]:
        """Which numbers of the thumbnail say how busy a block is."""
        return [n for n, (channel, *f) in enumerate(self.thumbnail) if channel == 0 and any(f)]

    @cached_property
    def mixing(self) -> "Mixing":
        """The keyed matrix."""
        rng = np.random.default_rng((self.key, self.side, 1))
        blocks = self.across**2
        return Mixing(blocks * self.code, blocks * len(self.thumbnail), rng)

    @cached_property
    def dither(self) -> np.ndarray:
        """Keyed offsets in periods: (blocks, code)."""
        return np.random.default_rng((self.key, self.side, 2)).random((self.across**2, self.code))


class Mixing:
    """A keyed matrix that is as good as a Gaussian one, and is never written down.

    Numbers are shuffled, given random signs, transformed by a cosine transform of their full
    length, and some of the results are kept in random order: each depends on every number.

    Parameters
    ----------
    rows, columns : int
        Size of the matrix.
    rng : numpy Generator
        From the key.
    """

    def __init__(self, rows: int, columns: int, rng: np.random.Generator) -> None:
        self.rows, self.columns = rows, columns
        self.length = next_fast_len(max(rows, columns), real=True)
        self.signs = rng.choice([-1.0, 1.0], self.length)
        self.places = rng.permutation(self.length)[:columns]
        self.kept = rng.permutation(self.length)[:rows]

    def __matmul__(self, numbers: np.ndarray) -> np.ndarray:
        """Mix (columns,) numbers to (rows,). Entries of the matrix have variance 1."""
        spread = np.zeros(self.length)
        spread[self.places] = numbers
        mixed: np.ndarray = dct(self.signs * spread, norm="ortho")[self.kept]
        return mixed * np.sqrt(self.length)

    def transposed(self, numbers: np.ndarray) -> np.ndarray:
        """Multiply (rows,) numbers by the transposed matrix."""
        spread = np.zeros(self.length)
        spread[self.kept] = numbers
        gathered: np.ndarray = (self.signs * idct(spread, norm="ortho"))[self.places]
        return gathered * np.sqrt(self.length)


def mixed(cells: np.ndarray, plan: Plan) -> np.ndarray:
    """Mix a thumbnail to the numbers that blocks carry: (blocks, code), in gray values."""
    return (plan.mixing @ cells.ravel()).reshape(-1, plan.code)


def thumbnail(ycc: np.ndarray, plan: Plan) -> np.ndarray:
    """Sum a square picture up: the lowest frequencies of its blocks.

    Parameters
    ----------
    ycc : (side, side, 3) float
    plan : Plan

    Returns
    -------
    (numbers of a block, blocks) float array
        In gray values, orthonormal: a change of 1 changes the picture's squared error by 1.
    """
    planes = [to_blocks(ycc[..., channel]) for channel in range(3)]
    return np.stack([planes[channel][:, i, j] for channel, i, j in plan.thumbnail])


def enlarged(cells: np.ndarray, plan: Plan) -> np.ndarray:
    """Turn a thumbnail into the picture (side, side, 3) that has no other frequencies."""
    blocks = np.zeros((3, plan.across**2, BLOCK, BLOCK))
    for numbers, (channel, i, j) in zip(cells, plan.thumbnail, strict=True):
        blocks[channel, :, i, j] = numbers
    return np.stack([from_blocks(plane, (plan.side, plan.side)) for plane in blocks], axis=-1)


def seen_blocks(visible: Visible, plan: Plan) -> np.ndarray:
    """Say which blocks are wholly visible: bool (blocks,)."""
    left, top, right, bottom = visible
    whole = np.zeros((plan.across, plan.across), bool)
    whole[-(-top // BLOCK) : bottom // BLOCK, -(-left // BLOCK) : right // BLOCK] = True
    return whole.ravel()
