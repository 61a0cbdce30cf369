"""Decoding of a coded thumbnail: fractions are unwrapped around what the guess predicts.

Sources: as for `course_lib.clrnet.thumbnail`.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from course_lib.clrnet.frame import BLOCK, to_blocks, to_rgb, to_ycc
from course_lib.clrnet.guess import guessed, prior
from course_lib.clrnet.plan import Plan, Visible, enlarged, mixed, seen_blocks, thumbnail
from course_lib.clrnet.thumbnail import LADDER, steps
from course_lib.errors import UsageError

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
