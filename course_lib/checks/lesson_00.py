"""Checks of the exercises of lesson 00, start here."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from course_lib.errors import UsageError
from course_lib.geometry import Box, crop, iou, paste
from course_lib.metrics import psnr, replicates
from course_lib.teach.check import Exercise, Misconception, register

Rng = np.random.Generator
Trials = Iterator[tuple[Any, ...]]
REFUSED = "refused with UsageError"


def _picture(rng: Rng) -> np.ndarray:
    height, width = rng.integers(12, 40, 2)
    return rng.integers(1, 256, (height, width + (height == width), 3)).astype(np.uint8)


def _box(rng: Rng) -> Box:
    left, top = rng.uniform(0.05, 0.45, 2)
    width, height = rng.uniform(0.25, 0.5, 2)
    return Box(left, top, left + width, top + height)


# 0.1


def _cuts(rng: Rng) -> Trials:
    for _ in range(4):
        yield _picture(rng), _box(rng)


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
    left, top, right, bottom = box.to_pixels(picture.shape)
    return picture[top:bottom, left:right]


def _cut(picture: np.ndarray, left: int, top: int, right: int, bottom: int) -> Any:
    return picture[top:bottom, left:right].copy()


def _floored(picture: np.ndarray, box: Box) -> Any:
    height, width = picture.shape[:2]
    edges = (box.x1 * width, box.y1 * height, box.x2 * width, box.y2 * height)
    return _cut(picture, *(int(edge) for edge in edges))


def _transposed(picture: np.ndarray, box: Box) -> Any:
    left, top, right, bottom = box.to_pixels(picture.shape)
    return picture[left:right, top:bottom].copy()


def _inclusive(picture: np.ndarray, box: Box) -> Any:
    left, top, right, bottom = box.to_pixels(picture.shape)
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
        ),
    )
)


# 0.2


def _pastes(rng: Rng) -> Trials:
    for kind in range(5):
        canvas, box = _picture(rng), _box(rng)
        left, top, right, bottom = box.to_pixels(canvas.shape)
        size = (bottom - top, right - left, 3)
        if kind == 4:  # one row too many: must be refused
            size = (size[0] + 1, *size[1:])
        yield canvas, rng.integers(1, 256, size).astype(np.uint8), box


def _use_paste(answer: Callable[..., Any], canvas: np.ndarray, patch: np.ndarray, box: Box) -> Any:
    try:
        return answer(canvas, patch, box)
    except UsageError:
        return REFUSED


def _pasted(how: str) -> Callable[..., Any]:
    def model(canvas: np.ndarray, patch: np.ndarray, box: Box) -> Any:
        left, top, _, _ = box.to_pixels(canvas.shape)
        height, width = patch.shape[:2]
        whole = np.zeros_like(canvas) if how == "empty" else canvas.copy()
        if how == "swapped":
            left, top = top, left
        whole[top : top + height, left : left + width] = patch
        return whole

    return model


register(
    Exercise(
        "0.2",
        "put a crop back",
        paste,
        _pastes,
        use=_use_paste,
        misconceptions=(
            Misconception(
                "A patch that does not fit the box must be refused with UsageError, before "
                "anything is written.",
                when=lambda args, got, expected: expected == REFUSED,
            ),
            Misconception(
                "Everything outside the box belongs to the canvas: start from a copy of it, not "
                "from an empty picture.",
                _pasted("empty"),
            ),
            Misconception(
                "left and top are swapped: rows (top) come first in an array.", _pasted("swapped")
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


def _samples(rng: Rng) -> Trials:
    for _ in range(5):
        values = rng.normal(rng.uniform(1, 5), 1, int(rng.integers(12, 24)))
        yield values, np.mean, int(rng.integers(400, 500)), int(rng.integers(2**31))


def _use_resample(
    answer: Callable[..., Any], values: np.ndarray, statistic: Any, rounds: int, seed: int
) -> Any:
    """Describe the distribution that an answer makes; in which order it draws is free.

    The mean of n values drawn with replacement has the spread of the values divided by √n.
    """
    made = np.asarray(answer(values, statistic, rounds, np.random.default_rng(seed)), float)
    if made.shape != (rounds,):
        return {"shape": made.shape}
    spread = float(np.std(made)) / (np.std(values) / np.sqrt(len(values)))
    words = ["none", "too small", "right", "too large", "that of single values"]
    return {
        "shape": made.shape,
        "spread": words[int(np.searchsorted([0.01, 0.8, 1.25, 2.3], spread))],
        "centred on the sample": bool(abs(np.mean(made) - np.mean(values)) < np.std(values)),
    }


register(
    Exercise(
        "0.5",
        "the bootstrap",
        replicates,
        _samples,
        use=_use_resample,
        misconceptions=(
            Misconception(
                "Every round gives the same: that is drawing without replacement. "
                "rng.integers(0, n, size=n) may draw a value twice.",
                lambda values, statistic, rounds, rng: np.array(
                    [statistic(rng.permutation(values)) for _ in range(rounds)]
                ),
            ),
            Misconception(
                "The samples are too small, so they vary too much: draw as many values as there "
                "are.",
                lambda values, statistic, rounds, rng: np.array(
                    [statistic(rng.choice(values, len(values) // 3)) for _ in range(rounds)]
                ),
            ),
            Misconception(
                "Return one number a round, the statistic of each redrawn sample.",
                lambda values, statistic, rounds, rng: statistic(
                    values[rng.integers(0, len(values), (rounds, len(values)))]
                ),
            ),
            Misconception(
                "These are single values, not the statistic of whole samples.",
                lambda values, statistic, rounds, rng: rng.choice(values, rounds),
            ),
        ),
    )
)
