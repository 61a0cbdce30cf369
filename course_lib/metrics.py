"""How good an answer is, and how sure we are of it: each number comes with an interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, isfinite, isnan, log10

import numpy as np

from course_lib.errors import UsageError
from course_lib.geometry import Box, iou

Rng = np.random.Generator
SSIM_SIDE = 11  # Wang's Gaussian window


@dataclass(frozen=True)
class Estimate:
    """A measured number with its interval, printed as ``28.3 [21.0, 36.6] (n = 35)``.

    Parameters
    ----------
    value : float
        The statistic of the whole sample.
    low, high : float
        Ends of the interval; NaN when the sample is too small for one.
    n : int
        Independent units behind it: groups if the bootstrap resampled groups, else values.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return format(self, f".{self._decimals()}f")

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        value = format(self.value, spec)
        if isnan(self.low):
            return f"{value} (n = {self.n}, too few for an interval)"
        return f"{value} [{format(self.low, spec)}, {format(self.high, spec)}] (n = {self.n})"

    def _decimals(self) -> int:
        """Three significant digits of the value, or one of the interval's width if that is more."""
        largest = max((abs(x) for x in (self.value, self.low, self.high) if isfinite(x)), default=0)
        width = self.high - self.low
        digits = 2 - floor(log10(largest)) if largest else 0
        if isfinite(width) and width > 0:
            digits = max(digits, -floor(log10(width)))
        return min(max(digits, 0), 6)


def bootstrap(
    values: np.ndarray | Sequence[float],
    statistic: Callable[[np.ndarray], float] = np.mean,
    groups: Sequence[object] | np.ndarray | None = None,
    level: float = 0.95,
    rounds: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap: recompute a statistic on samples drawn with replacement.

    Many values of one photograph say less than as many photographs. Give ``groups`` and whole
    groups are drawn, which keeps such values together (cluster bootstrap). The interval is the
    percentile one: it respects the range of the statistic (an accuracy stays within 0 and 1) and
    works for any statistic; for small n it is somewhat too narrow.

    Parameters
    ----------
    values : array-like, (n,) or (n, k)
        One value, or one row of values, for each case. No NaN; infinities may occur.
    statistic : callable
        Takes such an array and returns a number.
    groups : sequence, (n,), optional
        Which values belong together, such as the name of their photograph.
    level : float
        Share of intervals that contain the truth, between 0 and 1.
    rounds : int
        Samples drawn.
    seed : int
        Source of chance: the same seed gives the same interval.

    Raises
    ------
    UsageError
        When there are no values, a value is NaN, or the groups do not match the values.

    Source of ``groups``: A. Davison and D. Hinkley, "Bootstrap Methods and their Application",
    1997, section 3.8.
    """
    sample = _sample(values, level, rounds)
    member = np.arange(len(sample)) if groups is None else _group_numbers(groups, len(sample))
    n = int(member.max()) + 1
    value = float(statistic(sample))
    if n == 1:
        return Estimate(value, np.nan, np.nan, n)
    rng = np.random.default_rng(seed)
    if n == len(sample):
        replicas = replicates(sample, statistic, rounds, rng)
    else:
        rows = [np.flatnonzero(member == group) for group in range(n)]
        replicas = replicates(
            np.arange(n),
            lambda drawn: statistic(sample[np.concatenate([rows[group] for group in drawn])]),
            rounds,
            rng,
        )
    # "nearest" picks a replica instead of interpolating, which infinite values would not survive.
    tails = (1 - level) / 2, (1 + level) / 2
    low, high = np.nanquantile(replicas, tails, method="nearest")
    return Estimate(value, float(low), float(high), n)


def replicates(
    values: np.ndarray, statistic: Callable[[np.ndarray], float], rounds: int, rng: Rng
) -> np.ndarray:
    """Recompute a statistic on samples of the same size, drawn with replacement.

    Parameters
    ----------
    values : (n, ...) array
        The sample: n values, or n rows that stay together.
    statistic : callable
        Takes such an array and returns a number.
    rounds : int
        How many samples are drawn.
    rng : numpy Generator
        The only source of chance: a generator in the same state gives the same result.

    Returns
    -------
    (rounds,) array
        How the statistic varies from sample to sample.

    Source: B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 1979.
    """
    n = len(values)
    return np.array([statistic(values[rng.integers(n, size=n)]) for _ in range(rounds)])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two pictures in dB; infinite when they are equal.

    Parameters
    ----------
    a, b : ndarray
        Same shape and dtype; the peak is 255 for uint8 and 1 for floats.
    """
    peak = peak_value(a, b)
    mse = np.mean((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)
    return float("inf") if mse == 0 else float(10 * np.log10(peak**2 / mse))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two pictures, 1 when they are equal.

    With the window of the original paper (Gaussian, sigma 1.5 pixels), averaged over channels.

    Parameters
    ----------
    a, b : ndarray, (height, width) or (height, width, 3)
        Same shape and dtype, uint8 or float in [0, 1], at least 11 pixels on each side.

    Source: Z. Wang et al., "Image quality assessment", IEEE TIP 2004; scikit-image computes it.
    """
    from skimage.metrics import structural_similarity  # slow to import, seldom needed

    peak = peak_value(a, b)
    if min(a.shape[:2]) < SSIM_SIDE:
        raise UsageError(
            f"SSIM needs pictures of at least {SSIM_SIDE} × {SSIM_SIDE} pixels; these have "
            f"{a.shape[1]} × {a.shape[0]}."
        )
    return float(
        structural_similarity(
            a,
            b,
            data_range=peak,
            channel_axis=2 if a.ndim == 3 else None,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def f1(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Harmonic mean of precision and recall of two masks; 1 when both are empty.

    Parameters
    ----------
    predicted, truth : array-like of bool
        Same shape.
    """
    predicted, truth = _masks(predicted, truth)
    hits = np.count_nonzero(predicted & truth)
    marked = np.count_nonzero(predicted) + np.count_nonzero(truth)
    return 2 * hits / marked if marked else 1.0


def mask_iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks; 1 when both are empty.

    Parameters
    ----------
    predicted, truth : array-like of bool
        Same shape.
    """
    predicted, truth = _masks(predicted, truth)
    covered = np.count_nonzero(predicted | truth)
    return np.count_nonzero(predicted & truth) / covered if covered else 1.0


def accuracy(
    predicted: np.ndarray | Sequence[object], truth: np.ndarray | Sequence[object]
) -> float:
    """Share of cases in which the predicted label is the true one.

    Parameters
    ----------
    predicted, truth : array-like
        Labels, same shape, at least one.
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    _demand_same_shape(predicted, truth)
    return float(np.mean(predicted == truth))


def mean_iou(predicted: Sequence[Box], truth: Sequence[Box]) -> float:
    """Mean intersection over union of predicted boxes with the true ones, pair by pair.

    Parameters
    ----------
    predicted, truth : sequence of Box
        Equally many, at least one.
    """
    if len(predicted) != len(truth) or not len(truth):
        raise UsageError(
            f"{len(predicted)} boxes cannot be compared with {len(truth)}: give equally many, at "
            "least one."
        )
    return float(np.mean([iou(a, b) for a, b in zip(predicted, truth, strict=True)]))


def _sample(values: np.ndarray | Sequence[float], level: float, rounds: int) -> np.ndarray:
    sample = np.asarray(values, np.float64)
    if sample.ndim == 0 or not len(sample):
        raise UsageError("A bootstrap needs at least one value, in a list or an array.")
    if np.isnan(sample).any():
        raise UsageError("A bootstrap cannot use NaN: leave such values out, and say how many.")
    if not (0 < level < 1 and rounds >= 1):
        raise UsageError(
            f"A level of {level} in {rounds} rounds is impossible: the level lies between 0 and 1, "
            "and at least one round is drawn."
        )
    return sample


def _group_numbers(groups: Sequence[object] | np.ndarray, n: int) -> np.ndarray:
    if len(groups) != n:
        raise UsageError(f"{len(groups)} groups do not match {n} values: give one for each value.")
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups])


def _demand_same_shape(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or not a.size:
        raise UsageError(
            f"Shapes {a.shape} and {b.shape} cannot be compared: give two of the same shape, not "
            "empty."
        )


def peak_value(a: np.ndarray, b: np.ndarray) -> float:
    """Largest value two pictures can hold: 255 for uint8 and 1 for floats.

    Raises
    ------
    UsageError
        When they differ in shape or type.
    """
    _demand_same_shape(a, b)
    if a.dtype != b.dtype or not (a.dtype == np.uint8 or np.issubdtype(a.dtype, np.floating)):
        raise UsageError(
            f"Pictures of {a.dtype} and {b.dtype} cannot be compared: give both as uint8, or both "
            "as the same float type in [0, 1]."
        )
    return 255.0 if a.dtype == np.uint8 else 1.0


def _masks(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(predicted), np.asarray(truth)
    _demand_same_shape(a, b)
    if a.dtype != bool or b.dtype != bool:
        raise UsageError(
            f"Masks must be boolean, not {a.dtype} and {b.dtype}: compare with a threshold first."
        )
    return a, b
