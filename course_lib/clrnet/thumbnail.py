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

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import cv2
import numpy as np
from scipy.fft import dct, idct, next_fast_len

from course_lib.clrnet.frame import (
    BLOCK,
    CHEAPEST,
    from_blocks,
    to_blocks,
    to_rgb,
    to_ycc,
)
from course_lib.errors import UsageError

Visible = tuple[int, int, int, int]
"""Left, top, right and bottom edge of what is seen, in pixels of the square."""
ZIGZAG = sorted(
    ((i, j) for i in range(BLOCK) for j in range(BLOCK)), key=lambda f: (sum(f), abs(f[0] - f[1]))
)
"""Frequencies (down, across) of a block from low to high."""
LADDER = 4.5 * 1.25 ** np.arange(11)
"""Scales from which a picture chooses its own, in gray values. The finder tries all of them."""
KEPT_IN_MIND = 0.7
"""Share of the area for which a picture chooses its scale."""
REACH = 0.16
"""Distance over which pixels resemble each other, as a fraction of the side."""
NUGGET = 0.02
"""Share of the pixels' variance that says nothing of their neighbours, code and JPEG included."""
MIXTURE = np.array([0.02, 0.15, 0.6, 2.0, 6.0])
"""Variances of busy and quiet blocks, relative to the mean one."""
WRONG = 0.03
"""Share of fractions that say nothing, as in a block whose step was misjudged."""
WRAPS = np.arange(-2, 3)
"""Periods around the expected number that are considered."""
ROUNDS = 30
"""Of decoding. Most of what can be learned is learned after ten."""
HURRIED = 12
"""Rounds in which a scale is judged."""
CAUTION = 0.85
"""Share of each step that is taken: full steps may swing."""
HELD_OUT = 6
"""One in so many fractions is not listened to when a scale is judged: it is predicted."""
TELLING = 0.05
"""Evidence for each fraction, in nats, below which a code was not read but imagined."""
SETTLED = 0.75
"""Uncertainty left, of what there was before decoding, from which on nothing was learned."""


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


def seen_blocks(visible: Visible, plan: Plan) -> np.ndarray:
    """Say which blocks are wholly visible: bool (blocks,)."""
    left, top, right, bottom = visible
    whole = np.zeros((plan.across, plan.across), bool)
    whole[-(-top // BLOCK) : bottom // BLOCK, -(-left // BLOCK) : right // BLOCK] = True
    return whole.ravel()


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


def unwrapped(
    fractions: np.ndarray, expected: np.ndarray, spread: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the numbers behind noisy fractions, around what is expected.

    A number is ``expected`` give or take ``spread``; all that was read is its fraction. Each
    possible number of whole periods is weighed by how well it agrees. Where the spread is wide
    all weigh the same and the fraction says nothing, and the noise of what it says is known too.

    Parameters
    ----------
    fractions, expected : (m,)
        In periods.
    spread, noise : (m,)
        Variances.

    Returns
    -------
    shift, variance : (m,)
        Of the number given its fraction: how far from what was expected, and how uncertain.
    misread : (m,)
        Mean square of what is left as noise.
    likelihood : (m,)
        Of the fraction; 1 for one that says nothing.
    """
    total = spread + noise
    away = ((fractions - expected + 0.5) % 1 - 0.5)[:, None] + WRAPS
    weights = np.exp(-0.5 * away**2 / total[:, None]) / np.sqrt(2 * np.pi * total)[:, None]
    likelihood = WRONG + (1 - WRONG) * weights.sum(axis=1)
    sound = 1 - WRONG / likelihood
    weights /= weights.sum(axis=1, keepdims=True) + 1e-30
    mean, square = (weights * away).sum(axis=1), (weights * away**2).sum(axis=1)
    gain = spread / total
    shift = sound * gain * mean
    variance = sound * (gain * noise + gain**2 * square) + (1 - sound) * spread - shift**2
    return shift, variance, (1 - gain) ** 2 * square + gain * noise, likelihood


@dataclass
class Decoded:
    """What decoding found.

    Attributes
    ----------
    cells : (numbers of a block, blocks)
        The whole thumbnail.
    uncertain : float
        Sum of the variances of all numbers, by the decoder's own account.
    before : float
        The same before decoding.
    unit : float
        What one period of the numbers stands for.
    evidence : float
        Mean log-likelihood of fractions against their saying nothing, in nats.
    noise : float
        Variance of the carriers that attacks added, relative to that expected of JPEG 70.
    """

    cells: np.ndarray
    uncertain: float
    before: float
    unit: float
    evidence: float
    noise: float

    @property
    def learned(self) -> bool:
        """Whether the code was read, and says more than the visible part did."""
        return self.evidence > TELLING and self.uncertain < SETTLED**2 * self.before


class Decoder:
    """Read the code in what is left of a picture, and solve for what was cut away.

    Generalised approximate message passing: the numbers are predicted from the thumbnail, their
    fractions correct the prediction, the corrections are mixed back, and the prior shrinks what
    they say. The matrix is as good as random, so each correction counts as independent noise.

    Parameters
    ----------
    ycc : (side, side, 3) float
        What is left, in its place.
    visible : (left, top, right, bottom)
    plan : Plan

    Source: S. Rangan, "Generalized approximate message passing" (2011), Algorithm 1 with scalar
    variances.
    """

    def __init__(self, ycc: np.ndarray, visible: Visible, plan: Plan) -> None:
        self.plan, self.prior = plan, prior(ycc, visible, plan)
        self.cells = thumbnail(ycc, plan)
        self.whole = seen_blocks(visible, plan)
        step = steps(self.cells, plan)[:, None]
        i, j = np.array(plan.carriers).T
        self.fractions = (to_blocks(ycc[..., 0])[:, i, j] / step - plan.dither)[self.whole].ravel()
        # What JPEG of quality 70 adds, in periods: tables rise about evenly from 5 to 9.
        usual = 5 + 0.9 * (i + j)
        self.noise = ((usual / 3.46 / step) ** 2)[self.whole].ravel()
        same = np.repeat(step[self.whole, 0], plan.code)
        self.kind = np.unique(same, return_inverse=True)[1]
        self.means = [n for n, (_, *f) in enumerate(plan.thumbnail) if not any(f)]
        self.others = [
            [n for n, (c, *f) in enumerate(plan.thumbnail) if any(f) and (c > 0) == colour]
            for colour in (False, True)
        ]

    def mixed(self, cells: np.ndarray, lost: bool) -> np.ndarray:
        """Mix the lost or the visible part of the thumbnail, and take the rows that are left."""
        everything = np.zeros_like(self.cells)
        everything[:, ~self.whole if lost else self.whole] = cells
        return mixed(everything, self.plan)[self.whole].ravel()

    def gathered(self, numbers: np.ndarray) -> np.ndarray:
        """Undo the direction of `mixed`: from rows that are left to the lost part."""
        rows = np.zeros((len(self.whole), self.plan.code))
        rows[self.whole] = numbers.reshape(-1, self.plan.code)
        return self.plan.mixing.transposed(rows.ravel()).reshape(self.cells.shape)[:, ~self.whole]

    def shrunk(self, seen: np.ndarray, variance: float) -> tuple[np.ndarray, float]:
        """Weigh noisy numbers against the prior.

        Parameters
        ----------
        seen : (numbers of a block, lost blocks)
            With noise of this variance.
        variance : float

        Returns
        -------
        cells : same shape
            Expected values.
        uncertain : float
            Sum of their variances.
        """
        cells, uncertain = self.prior.mean.copy(), 0.0
        away = seen - cells
        for n, wave, power in zip(self.means, self.prior.waves, self.prior.powers, strict=True):
            gain = power / (power + variance)
            cells[n] += wave @ (gain * (wave.T @ away[n]))
            uncertain += (gain * variance).sum()
        for kind, group in enumerate(self.others):
            if group:
                shift, rest, self.odds[kind] = by_kind(
                    away[group], self.prior.variance[group], variance, self.odds[kind]
                )
                cells[group] += shift
                uncertain += rest
        return cells, float(uncertain)

    def loudness(self, sound: np.ndarray, ratio: np.ndarray) -> np.ndarray:
        """Noise relative to what is usual, estimated for all carriers of one step together.

        Parameters
        ----------
        sound : (m,)
            How probably each fraction means anything.
        ratio : (m,)
            Mean square noise of each, over the usual one.

        Returns
        -------
        (m,)
        """
        total = np.bincount(self.kind, sound * ratio) + 1
        count = np.bincount(self.kind, sound) + 1
        return (total / count).clip(1e-3, 30)[self.kind]

    def decode(self, unit: float, rounds: int = ROUNDS, heard: np.ndarray | float = 1.0) -> Decoded:
        """Solve for what was cut away.

        Parameters
        ----------
        unit : float
            What one period stands for.
        rounds : int
            How many.
        heard : (m,) of 0 and 1, optional
            Fractions that are listened to; the evidence is that of the others. Without it all are
            listened to, and the evidence is that of all of them.
        """
        fractions = self.fractions - self.mixed(self.cells[:, self.whole], lost=False) / unit
        self.odds = [np.full(len(MIXTURE), 1 / len(MIXTURE)) for _ in self.others]
        cells, uncertain = self.prior.mean, float(self.prior.variance.sum())
        before, message = uncertain, np.zeros(len(fractions))
        likelihood, loud = np.ones(len(fractions)), np.ones(len(fractions))
        for n in range(rounds):
            spread = np.full(len(fractions), uncertain / unit**2)
            guess = self.mixed(cells, lost=True) / unit - spread * message
            shift, variance, misread, likelihood = unwrapped(
                fractions, guess, spread, loud * self.noise
            )
            sound = heard * (1 - WRONG / likelihood)
            loud = self.loudness(sound, misread / self.noise)
            pace = CAUTION if n else 1.0
            message += pace * (heard * shift / spread - message)
            told = (heard * (1 - variance / spread) / spread).clip(1e-12).sum() / unit**2
            seen = cells + self.gathered(message) / unit / told
            better, rest = self.shrunk(seen, 1 / told)
            cells = cells + CAUTION * (better - cells)
            uncertain += CAUTION * (rest - uncertain)
        whole = self.cells.copy()
        whole[:, ~self.whole] = cells
        judges = (
            np.equal(heard, 0) if np.any(np.equal(heard, 0)) else np.ones(len(likelihood), bool)
        )
        evidence = float(np.log(likelihood[judges]).mean())
        noise = float(loud.mean())
        return Decoded(whole, uncertain, before, unit, evidence, noise)

    def judged(self, unit: float, rounds: int = HURRIED) -> float:
        """Evidence for a scale, or a place: how well most fractions predict the others.

        In nats for each fraction; about 0 for a wrong scale, wrong key or wrong place.
        """
        return self.decode(unit, rounds, np.arange(len(self.fractions)) % HELD_OUT > 0).evidence

    def search(self) -> Decoded:
        """Decode at the scale of the `LADDER` that predicts fractions best; guess if none does."""
        units = LADDER * self.plan.side / self.plan.period
        unit = float(max(units, key=self.judged))
        evidence = self.judged(unit, ROUNDS)
        decoded = replace(self.decode(unit), evidence=evidence)
        if not decoded.learned:
            decoded.cells[:, ~self.whole] = self.prior.mean
            decoded.uncertain = decoded.before
        return decoded


def by_kind(
    away: np.ndarray, power: np.ndarray, noise: float, odds: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray]:
    """Shrink numbers of blocks that are quiet or busy, and nobody knows which is which.

    A block's numbers are large together or small together. Each kind in `MIXTURE` explains
    them more or less well; its guess counts by that.

    Parameters
    ----------
    away : (numbers, blocks)
        Seen, less what was expected.
    power : (numbers, blocks)
        Their variances in a block of the mean kind.
    noise : float
        Variance of the noise in ``away``.
    odds : (kinds,)
        How frequent each kind is.

    Returns
    -------
    shift : (numbers, blocks)
    uncertain : float
        Sum of the variances.
    odds : (kinds,)
        As they are in these blocks.
    """
    powers = MIXTURE[:, None, None] * power
    total = powers + noise
    fit = np.log(odds)[:, None] - 0.5 * (away**2 / total + np.log(total)).sum(axis=1)
    chance = np.exp(fit - fit.max(axis=0))
    chance /= chance.sum(axis=0)
    gain = powers / total
    shift = (chance[:, None] * gain * away).sum(axis=0)
    square = (chance[:, None] * (gain * noise + (gain * away) ** 2)).sum(axis=0)
    return shift, float((square - shift**2).sum()), (chance.mean(axis=1) + 0.02) / 1.1


def filled(
    cells: np.ndarray, ycc: np.ndarray, visible: Visible, plan: Plan, rounds: int = 12
) -> np.ndarray:
    """Draw the lost area smoothly, with just the frequencies that the thumbnail says.

    Blocks drawn one by one show their borders. The picture is smoothed, what is visible is put back
    and the thumbnail's numbers are restored in all other blocks, a few times.

    Parameters
    ----------
    cells : (numbers of a block, blocks)
    ycc : (side, side, 3)
        What is visible, in its place.
    visible : (left, top, right, bottom)
    plan : Plan
    rounds : int
        How often.

    Returns
    -------
    (side, side, 3) float
    """
    left, top, right, bottom = visible
    whole = seen_blocks(visible, plan)
    drawn = np.asarray(enlarged(cells, plan), np.float32)
    for _ in range(rounds):
        drawn = np.asarray(
            cv2.GaussianBlur(drawn, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT), np.float32
        )
        drawn[top:bottom, left:right] = ycc[top:bottom, left:right]
        missing = cells - thumbnail(drawn, plan)
        missing[:, whole] = 0
        drawn += enlarged(missing, plan).astype(np.float32)
    drawn[top:bottom, left:right] = ycc[top:bottom, left:right]
    return drawn


@dataclass(frozen=True)
class Recovered:
    """A whole picture, made from a part of it.

    Attributes
    ----------
    picture : (side, side, 3) float32
        R, G and B in 0..255; visible pixels as they were.
    decoded : Decoded
    error : float
        Expected root mean square error of the lost area in gray values, by the decoder's account
        and by how much detail the visible part has that no thumbnail shows.
    undo : str
        How the canvas was made (`frame.put_back`), where that is known.
    """

    picture: np.ndarray
    decoded: Decoded
    error: float
    undo: str = "linear"


def recover(canvas: np.ndarray, visible: Visible, plan: Plan) -> Recovered:
    """Recover what was cut away.

    Parameters
    ----------
    canvas : (side, side, 3)
        What is left, R, G and B in 0..255, in its place (`frame.put_back`).
    visible : (left, top, right, bottom)
        Where that is, in pixels.
    plan : Plan

    Raises
    ------
    UsageError
        When no whole block is visible, or the canvas has another size.
    """
    if canvas.shape != (plan.side, plan.side, 3):
        raise UsageError(f"A canvas of shape {canvas.shape} does not fit a side of {plan.side}.")
    if not seen_blocks(visible, plan).any():
        raise UsageError(f"Pixels {visible} hold no whole block: too little is left of this.")
    ycc = to_ycc(canvas)
    if seen_blocks(visible, plan).all():
        nothing = Decoded(thumbnail(ycc, plan), 0.0, 0.0, 1.0, 0.0, 0.0)
        return Recovered(np.array(canvas, np.float32), nothing, 0.0)
    decoder = Decoder(ycc, visible, plan)
    decoded = decoder.search()
    left, top, right, bottom = visible
    if decoded.learned:
        picture = to_rgb(filled(decoded.cells, ycc, visible, plan)).clip(0, 255)
    else:
        picture = guessed(canvas, visible)
    picture[top:bottom, left:right] = canvas[top:bottom, left:right]
    return Recovered(picture, decoded, expected_error(decoded, ycc, visible, plan))


def guessed(canvas: np.ndarray, visible: Visible) -> np.ndarray:
    """Continue what is visible into the lost area (inpainting): all that is left without a code.

    Source: A. Telea, "An image inpainting technique based on the fast marching method" (2004).
    """
    left, top, right, bottom = visible
    lost = np.full(canvas.shape[:2], 255, np.uint8)
    lost[top:bottom, left:right] = 0
    known = np.rint(canvas).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.inpaint(known, lost, 3, cv2.INPAINT_TELEA), np.float32)


def expected_error(decoded: Decoded, ycc: np.ndarray, visible: Visible, plan: Plan) -> float:
    """Predict the root mean square error of the lost area, in gray values; see `Recovered`."""
    left, top, right, bottom = visible
    lost = plan.side**2 - (right - left) * (bottom - top)
    if not lost:
        return 0.0
    whole = seen_blocks(visible, plan)
    energy = (to_blocks(ycc[..., 0])[whole] ** 2).sum(axis=(1, 2))
    shown = (decoded.cells[: plan.luma, whole] ** 2).sum(axis=0)
    code = plan.code * steps(decoded.cells, plan)[whole] ** 2 / 12
    detail = np.maximum(energy - shown - code, 0).mean() / BLOCK**2
    return float(np.sqrt(decoded.uncertain / lost + detail))
