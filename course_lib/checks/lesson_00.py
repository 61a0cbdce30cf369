"""Checks of the exercises of lesson 00, start here."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from course_lib.geometry import Box, crop, iou, paste, pixels_inside
from course_lib.metrics import psnr, replicates
from course_lib.teach.check import REFUSED, Exercise, Misconception, register

Rng = np.random.Generator
Trials = Iterator[tuple[Any, ...]]


def _picture(rng: Rng) -> np.ndarray:
    height, width = rng.integers(12, 40, 2)
    return rng.integers(1, 256, (height, width + (height == width), 3)).astype(np.uint8)


def _box(rng: Rng) -> Box:
    left, top = rng.uniform(0.05, 0.45, 2)
    width, height = rng.uniform(0.25, 0.5, 2)
    return Box(left, top, left + width, top + height)


def _outside(rng: Rng) -> Box:
    """Reach out of the picture on one side, by a few of its pixels at least."""
    box, out = _box(rng), float(rng.uniform(0.1, 0.4))
    sides = (
        Box(-out, box.y1, box.x2, box.y2),
        Box(box.x1, -out, box.x2, box.y2),
        Box(box.x1, box.y1, 1 + out, box.y2),
        Box(box.x1, box.y1, box.x2, 1 + out),
    )
    return sides[rng.integers(4)]


def _refused(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
    return expected is REFUSED


# 0.1


def _cuts(rng: Rng) -> Trials:
    for _ in range(4):
        yield _picture(rng), _box(rng)
    yield _picture(rng), _outside(rng)
    left, top = rng.integers(2, 8, 2) / 10
    yield _picture(rng), Box(left, top, left + 1e-4, top + 0.2)  # holds no pixel


def _use_crop(answer: Callable[..., Any], picture: np.ndarray, box: Box) -> Any:
    """Cut, then draw on the piece, and see whether the picture noticed."""
    piece = answer(picture, box)
    if not isinstance(piece, np.ndarray):
        return piece
    kept, before = piece.copy(), picture.copy()
    piece[...] = 0
    untouched = np.array_equal(picture, before)
    picture[...] = before
    return {"crop": kept, "picture stays when the crop is drawn on": untouched}


def _view(picture: np.ndarray, box: Box) -> Any:
    left, top, right, bottom = pixels_inside(picture, box)
    return picture[top:bottom, left:right]


def _cut(picture: np.ndarray, left: int, top: int, right: int, bottom: int) -> Any:
    return picture[top:bottom, left:right].copy()


def _floored(picture: np.ndarray, box: Box) -> Any:
    pixels_inside(picture, box)
    height, width = picture.shape[:2]
    edges = (box.x1 * width, box.y1 * height, box.x2 * width, box.y2 * height)
    return _cut(picture, *(int(edge) for edge in edges))


def _transposed(picture: np.ndarray, box: Box) -> Any:
    left, top, right, bottom = pixels_inside(picture, box)
    return picture[left:right, top:bottom].copy()


def _inclusive(picture: np.ndarray, box: Box) -> Any:
    left, top, right, bottom = pixels_inside(picture, box)
    return _cut(picture, left, top, right + 1, bottom + 1)


register(
    Exercise(
        "0.1",
        "cut a box out of a picture",
        crop,
        _cuts,
        use=_use_crop,
        misconceptions=(
            Misconception(
                "This is a view: whoever draws on the crop draws on the picture. Return a copy.",
                _view,
            ),
            Misconception(
                "Rows come first in an array: picture[top:bottom, left:right].", _transposed
            ),
            Misconception(
                "The end of a slice is not included, and right and bottom are ends already: no +1.",
                _inclusive,
            ),
            Misconception(
                "int() cuts the fraction off; edges are rounded to the nearest pixel edge.",
                _floored,
            ),
            Misconception(
                "A slice never complains: a box that leaves the picture, or holds no pixel of it, "
                "must be refused with UsageError.",
                when=_refused,
            ),
        ),
    )
)


# 0.2


def _pastes(rng: Rng) -> Trials:
    """Draw six patches that fit, and two each of the wrong size, the wrong dtype, out of bounds."""
    for kind in range(12):
        canvas = _picture(rng)
        box = _outside(rng) if kind in (10, 11) else _box(rng)
        left, top, right, bottom = box.to_pixels(canvas.shape)
        height, width = bottom - top, right - left
        if kind == 10:  # it fits what a slice would leave of the box
            height, width = canvas[max(top, 0) : bottom, max(left, 0) : right].shape[:2]
        patch = rng.integers(1, 256, (height + (kind == 6), width + (kind == 7), 3))
        if kind in (8, 9):
            yield canvas, (patch / 255).astype(np.float32), box
        else:
            yield canvas, patch.astype(np.uint8), box


def _pasted(how: str) -> Callable[..., Any]:
    def model(canvas: np.ndarray, patch: np.ndarray, box: Box) -> Any:
        left, top, right, bottom = pixels_inside(canvas, box)
        whole = np.zeros_like(canvas) if how == "empty" else canvas.copy()
        if how == "transposed":
            height, width = patch.shape[:2]
            left, top, right, bottom = top, left, top + width, left + height
        whole[top:bottom, left:right] = patch
        return whole

    return model


register(
    Exercise(
        "0.2",
        "put a crop back",
        paste,
        _pastes,
        misconceptions=(
            Misconception(
                "Everything outside the box belongs to the canvas: start from a copy of it, not "
                "from an empty picture.",
                _pasted("empty"),
            ),
            Misconception(
                "left and top are swapped: rows (top) come first in an array.",
                _pasted("transposed"),
            ),
            Misconception(
                "A patch of another dtype does not fit either: NumPy would convert it without a "
                "word, and 0.5 becomes 0.",
                when=lambda args, got, expected: args[0].dtype != args[1].dtype,
            ),
            Misconception(
                "A slice cuts off what leaves the canvas, so that a patch may seem to fit: look at "
                "the box itself.",
                when=lambda args, got, expected: not 0 <= min(args[2]) <= max(args[2]) <= 1,
            ),
            Misconception(
                "A patch that does not fit the box, or a box that leaves the canvas, must be "
                "refused before anything is written.",
                when=_refused,
            ),
        ),
    )
)


# 0.3


def _pairs(rng: Rng) -> Trials:
    for _ in range(3):
        yield _box(rng), _box(rng)
    side = float(rng.uniform(0.1, 0.3))
    yield Box(0, 0, side, side), Box(0.5, 0.5, 0.5 + side, 0.9)
    yield Box(0, 0, side, 1), Box(0.5, 0, 0.5 + side, 1)
    yield Box(0.1, 0.1, 0.9, 0.9), Box(0.3, 0.3, 0.3 + side, 0.5)


def _iou_by_grid(a: Box, b: Box) -> float:
    """Sum the cells of the grid that all eight edges make, independently of any formula."""
    xs, ys = sorted({a.x1, a.x2, b.x1, b.x2}), sorted({a.y1, a.y2, b.y1, b.y2})
    both = either = 0.0
    for x1, x2 in pairwise(xs):
        for y1, y2 in pairwise(ys):
            x, y, area = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) * (y2 - y1)
            inside = [box.x1 < x < box.x2 and box.y1 < y < box.y2 for box in (a, b)]
            both += area * all(inside)
            either += area * any(inside)
    return both / either


def _overlap(a: Box, b: Box) -> float:
    width = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1))
    return width * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))


def _unclipped(a: Box, b: Box) -> float:
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    shared = width * (min(a.y2, b.y2) - max(a.y1, b.y1))
    return shared / (a.area + b.area - shared)


register(
    Exercise(
        "0.3",
        "intersection over union",
        iou,
        _pairs,
        oracle=_iou_by_grid,
        misconceptions=(
            Misconception(
                "Boxes that do not touch share nothing, but two negative sides multiply to a "
                "positive area: clip width and height at zero.",
                _unclipped,
            ),
            Misconception(
                "The shared area is in both areas: subtract it once from their sum.",
                lambda a, b: _overlap(a, b) / (a.area + b.area),
            ),
            Misconception(
                "This divides by the smaller box. A tiny box inside a large one would then agree "
                "perfectly.",
                lambda a, b: _overlap(a, b) / min(a.area, b.area),
            ),
            Misconception(
                "This divides by one box alone, so it is not symmetric: use the union.",
                lambda a, b: _overlap(a, b) / a.area,
            ),
        ),
    )
)


# 0.4


def _changed(rng: Rng) -> Trials:
    for _ in range(2):
        a = _picture(rng)
        yield a, np.clip(a + rng.normal(0, rng.uniform(5, 40), a.shape), 0, 255).astype(np.uint8)
        small = rng.uniform(0, 1, (8, 9, 3)).astype(np.float32)
        yield small, np.clip(small + rng.normal(0, 0.1, small.shape), 0, 1).astype(np.float32)
    yield a, a.copy()


def _psnr_in_steps(a: np.ndarray, b: np.ndarray) -> float:
    """Use scikit-image's, for equal pictures infinity by definition."""
    from skimage.metrics import peak_signal_noise_ratio

    peak = 255.0 if a.dtype == np.uint8 else 1.0
    if np.array_equal(a, b):
        return float("inf")
    return float(
        peak_signal_noise_ratio(a.astype(np.float64), b.astype(np.float64), data_range=peak)
    )


def _decibels(error: float, peak: float) -> float:
    return float(10 * np.log10(peak**2 / error)) if error else float("inf")


def _wrapped(a: np.ndarray, b: np.ndarray) -> float:
    difference = (a - b) ** 2
    return _decibels(float(np.mean(difference)), 255.0 if a.dtype == np.uint8 else 1.0)


def _mean_squared(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))


def _peak(a: np.ndarray) -> float:
    return 255.0 if a.dtype == np.uint8 else 1.0


register(
    Exercise(
        "0.4",
        "peak signal-to-noise ratio",
        psnr,
        _changed,
        oracle=_psnr_in_steps,
        rtol=1e-4,
        atol=1e-4,
        misconceptions=(
            Misconception(
                "In uint8, 3 − 5 is 254: convert to float before you subtract.", _wrapped
            ),
            Misconception(
                "The peak of a float picture is 1, of a uint8 picture 255.",
                lambda a, b: _decibels(_mean_squared(a, b), 255.0),
            ),
            Misconception(
                "The peak belongs in the numerator, squared: 10 log10(peak² / MSE).",
                lambda a, b: _decibels(_mean_squared(a, b), 1.0),
            ),
            Misconception(
                "Decibels of an error squared are 10 log10; the 20 belongs to its root.",
                lambda a, b: 2 * _decibels(_mean_squared(a, b), _peak(a)),
            ),
            Misconception(
                "The error is squared before it is averaged, not taken absolutely.",
                lambda a, b: _decibels(
                    float(np.mean(np.abs(a.astype(float) - b.astype(float)))) ** 2, _peak(a)
                ),
            ),
        ),
    )
)


# 0.5

SPREADS = ("none", "too small", "right", "too large", "that of single values")


def _samples(rng: Rng) -> Trials:
    """Draw skewed samples of whole numbers, so that their means lie on a grid of 1/n."""
    for statistic in (np.mean, np.mean, np.mean, np.median, np.max):
        n = 2 * int(rng.integers(6, 12)) + 1
        values = np.floor(rng.exponential(8, n)) + rng.permutation(n)
        if statistic is np.mean and rng.random() < 0.3:
            values = np.stack([values, values + rng.permutation(n)], axis=1)
        yield values, statistic, int(rng.integers(250, 300)), int(rng.integers(2**31))


def _use_resample(
    answer: Callable[..., Any], values: np.ndarray, statistic: Any, rounds: int, seed: int
) -> Any:
    """Describe the distribution that an answer makes; in which order it draws is free.

    The mean of n values drawn with replacement has the spread of the values divided by √n, and is
    a multiple of 1/n if they are whole. Median (n is odd) and maximum are one of the values.
    """
    rng = np.random.default_rng(seed)
    made = np.asarray(answer(values, statistic, rounds, rng), float)
    if made.shape != (rounds,):
        return {"shape": made.shape}
    few, again = (answer(values, statistic, 8, np.random.default_rng(seed)) for _ in range(2))
    fresh = np.random.default_rng(seed).bit_generator.state
    said = {
        "shape": made.shape,
        "all chance comes from rng": bool(
            np.array_equal(few, again) and rng.bit_generator.state != fresh
        ),
    }
    if statistic is not np.mean:
        return said | {"possible values of the statistic": bool(np.isin(made, values).all())}
    sums = made * values.size
    rows = values.reshape(len(values), -1).mean(axis=1)
    expected_spread = np.std(rows) / np.sqrt(len(values))
    ratio = float(np.std(made)) / expected_spread
    return said | {
        "spread": SPREADS[int(np.searchsorted([0.01, 0.7, 1.3, 2.5], ratio))],
        "centred on the sample": bool(abs(np.mean(made) - np.mean(values)) < expected_spread),
        "possible values of the statistic": bool(np.allclose(sums, np.rint(sums), atol=1e-6)),
    }


def _resampled(values: np.ndarray, statistic: Any, rounds: int, seed: int) -> Any:
    said = {"shape": (rounds,), "all chance comes from rng": True}
    if statistic is np.mean:
        said |= {"spread": "right", "centred on the sample": True}
    return said | {"possible values of the statistic": True}


def _says(key: str, *words: Any, means: bool = True) -> Callable[..., bool]:
    """Recognise a description; of means, or of other statistics."""

    def when(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
        return (args[1] is np.mean) == means and got[key] in words

    return when


register(
    Exercise(
        "0.5",
        "the bootstrap",
        replicates,
        _samples,
        oracle=_resampled,
        use=_use_resample,
        misconceptions=(
            Misconception(
                "Return one number a round, the statistic of each redrawn sample.",
                when=lambda args, got, expected: got["shape"] != expected["shape"],
            ),
            Misconception(
                "All chance must come from the generator `rng` that is handed in: the same seed "
                "must give the same result.",
                when=lambda args, got, expected: not got["all chance comes from rng"],
            ),
            Misconception(
                "Every round gives the same: that is drawing without replacement. Draw so that a "
                "value may come twice.",
                when=_says("spread", "none"),
            ),
            Misconception(
                "The samples are too small, so they vary too much: draw as many values as there "
                "are.",
                when=_says("spread", "too large"),
            ),
            Misconception(
                "These are single values, not the statistic of whole samples.",
                when=_says("spread", "that of single values"),
            ),
            Misconception(
                "No redrawn sample has such a mean: make samples out of the values themselves, "
                "without assuming a distribution.",
                when=_says("possible values of the statistic", False),
            ),
            Misconception(
                "Means come out right, medians and maxima do not: call the `statistic` that is "
                "handed in.",
                when=_says("possible values of the statistic", False, means=False),
            ),
        ),
    )
)
