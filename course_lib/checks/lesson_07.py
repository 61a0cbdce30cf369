"""Checks of the exercises of lesson 07, learning JPEG."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.attacks.simulators import slopes_lent
from course_lib.fgjpeg.grid import SIDE, WEIGHTS, steps_by_phase
from course_lib.fgjpeg.model import BINS
from course_lib.fgjpeg.objective import soft_labels
from course_lib.fgjpeg.slopes import (
    WAVES,
    agreement,
    mean_slope,
    waves_of,
    with_waves,
)
from course_lib.residuals import SMALLEST, bayar_kernels
from course_lib.teach.check import Exercise, Misconception, register

Rng = np.random.Generator
Trials = Iterator[tuple[Any, ...]]


def _torch(rng: Rng, *shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
    return torch.from_numpy(rng.uniform(low, high, shape)).float()


# 7.1


def _changes(rng: Rng) -> Trials:
    """Draw pictures, a change, a step, and a codec: how coarse it is, and how much it bends."""
    for n, wide in ((1, 1), (2, 1), (1, 2)):
        pictures = _torch(rng, n, 3, 8, 8 * wide, low=0.35, high=0.65)
        change = torch.zeros(WAVES)
        change[rng.choice(WAVES, 3, replace=False)] = _torch(rng, 3)
        step = float(rng.choice([rng.uniform(0.3, 0.8), rng.uniform(2, 9)]))
        yield pictures, change, step, float(rng.uniform(5, 40)), float(rng.uniform(0.3, 2))


def _coarse(levels: float, bend: float) -> Callable[[Tensor], Tensor]:
    """Make a codec that rounds and bends: its slopes are not the same everywhere."""

    def codec(pictures: Tensor) -> Tensor:
        return torch.round(pictures * levels) / levels + bend * pictures**2

    return codec


def _asked(
    answer: Callable[..., Tensor],
    pictures: Tensor,
    change: Tensor,
    step: float,
    levels: float,
    bend: float,
) -> Tensor:
    return answer(_coarse(levels, bend), pictures, change, step)


def _slope_by_loop(
    pictures: Tensor, change: Tensor, step: float, levels: float, bend: float
) -> Tensor:
    codec = _coarse(levels, bend)
    ends = [waves_of(codec(with_waves(pictures, amount * change))) for amount in (step, -step)]
    return (ends[0] - ends[1]) / step / 2


def _slope(how: str) -> Callable[..., Tensor]:
    def model(
        codec: Callable[[Tensor], Tensor], pictures: Tensor, change: Tensor, step: float
    ) -> Tensor:
        unit = 1.0 if how == "unit step" else step
        up = waves_of(codec(with_waves(pictures, unit * change)))
        down = waves_of(codec(with_waves(pictures, -unit * change)))
        here = waves_of(codec(pictures))
        if how == "one side":
            return (up - here) / step
        if how == "one step":
            return (up - down) / step
        if how == "no division":
            return up - down
        if how == "turned":
            return (down - up) / (2 * step)
        if how == "unit step":
            return (up - down) / 2
        if how == "input":
            return (waves_of(with_waves(pictures, step * change)) - waves_of(pictures)) / step
        return (up - down).abs() / (2 * step)

    return model


register(
    Exercise(
        "7.1",
        "the slope of what has no slope",
        mean_slope,
        _changes,
        oracle=_slope_by_loop,
        use=_asked,
        rtol=1e-3,
        atol=2e-3,
        misconceptions=(
            Misconception(
                "This steps up only. Take the difference of *both* ends: up and down.",
                _slope("one side"),
            ),
            Misconception(
                "From the lower end to the upper one it is two steps, not one.",
                _slope("one step"),
            ),
            Misconception(
                "This is how far things move, in gray levels. A slope is that for one unit: divide "
                "by how far apart the ends are.",
                _slope("no division"),
            ),
            Misconception("The sign is turned round: upper end minus lower end.", _slope("turned")),
            Misconception(
                "Every change here is of one unit, whatever `step` says. For a rounding the size "
                "of the step is everything.",
                _slope("unit step"),
            ),
            Misconception(
                "The codec is never asked: measure the waves of what comes *out* of it.",
                _slope("input"),
            ),
            Misconception("Slopes may be negative: keep the sign.", _slope("absolute")),
        ),
    )
)


# 7.2


def _gradients(rng: Rng) -> Trials:
    """Draw pairs of gradients that agree more or less; some say nothing at all."""
    for n, blocks in ((1, 3), (2, 5), (3, 2)):
        true = _torch(rng, n, blocks, WAVES)
        said = rng.uniform(-1, 1) * true + _torch(rng, n, blocks, WAVES)
        said[..., 0], true[..., 0] = 9 * _torch(rng, n, blocks), 9 * _torch(rng, n, blocks)
        said[:, 0] *= 4  # blocks differ in how much they say
        true[:, -1] *= 5
        said[0, :, 1] += 6
        yield said * rng.uniform(0.1, 5), true
    silent = torch.zeros(2, 2, WAVES)
    silent[1] = _torch(rng, 2, WAVES)
    yield silent, _torch(rng, 2, 2, WAVES)


def _cosine_by_loop(said: Tensor, true: Tensor) -> Tensor:
    found = []
    for a, b in zip(said.double().numpy(), true.double().numpy(), strict=True):
        a, b = a[:, 1:].ravel(), b[:, 1:].ravel()
        lengths = np.sqrt((a @ a) * (b @ b))
        found.append(a @ b / lengths if lengths > 0 else 0.0)
    return torch.tensor(np.array(found)).float()


def _cosine(how: str) -> Callable[[Tensor, Tensor], Tensor]:
    def model(said: Tensor, true: Tensor) -> Tensor:
        a, b = (each if how == "mean" else each[..., 1:] for each in (said, true))
        if how == "by block":
            return torch.nn.functional.cosine_similarity(a, b, dim=-1, eps=1e-12).mean(1)
        a, b = a.flatten(1), b.flatten(1)
        if how == "centred":
            a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
        product, lengths = (a * b).sum(1), a.norm(dim=1) * b.norm(dim=1)
        if how == "all":
            return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0)
        if how == "product":
            return product
        if how == "one length":
            return product / a.norm(dim=1).clamp(min=1e-12)
        if how == "squared lengths":
            return product / (lengths**2).clamp(min=1e-12)
        if how == "absolute":
            return (product / lengths.clamp(min=1e-12)).abs()
        return product / (lengths if how == "no floor" else lengths.clamp(min=1e-12))

    return model


def _is_nan(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
    return bool(torch.isnan(torch.as_tensor(got)).any())


register(
    Exercise(
        "7.2",
        "do two gradients agree?",
        agreement,
        _gradients,
        oracle=_cosine_by_loop,
        rtol=1e-4,
        atol=1e-5,
        misconceptions=(
            Misconception(
                "The mean of a block, wave 0, still counts. Leave it out.", _cosine("mean")
            ),
            Misconception(
                "This averages a cosine for each block. All blocks of a picture make *one* vector, "
                "so that blocks with large slopes count for more.",
                _cosine("by block"),
            ),
            Misconception("One number for each picture, not one for all.", _cosine("all")),
            Misconception(
                "This is a scalar product, which grows with both. Divide by both lengths.",
                _cosine("product"),
            ),
            Misconception(
                "Divide by the length of *both* gradients, not of one.", _cosine("one length")
            ),
            Misconception(
                "The lengths are squared here: take the norms, not the sums of squares.",
                _cosine("squared lengths"),
            ),
            Misconception(
                "Do not subtract means: this is a correlation, and a slope of 1 everywhere would "
                "agree with nothing.",
                _cosine("centred"),
            ),
            Misconception(
                "A gradient that points the other way does not agree: keep the sign.",
                _cosine("absolute"),
            ),
            Misconception(
                "A gradient that is zero everywhere agrees with nothing: 0, not NaN.", when=_is_nan
            ),
        ),
    )
)


# 7.3


def _two_pictures(rng: Rng) -> Trials:
    """Draw a picture, and how a file and a simulator change it."""
    for _ in range(5):
        pictures = _torch(rng, *rng.integers(1, 4, 3).tolist(), low=0.1, high=0.9)
        yield pictures, float(rng.uniform(2, 9)), float(rng.uniform(0.3, 0.9))


def _lent(
    answer: Callable[[Tensor, Tensor], Tensor], pictures: Tensor, levels: float, slope: float
) -> dict[str, Tensor]:
    """Combine a coarse picture and a smooth one: what comes out, and the gradient back."""
    given = pictures.clone().requires_grad_()
    real = given + (torch.round(given * levels) / levels - given).detach()  # straight through
    out = answer(real, slope * given**2)
    (back,) = torch.autograd.grad(out.square().sum(), given, allow_unused=True, retain_graph=True)
    back = torch.zeros_like(pictures) if back is None else back
    return {"values": out.detach(), "slopes": back / (2 * out.detach()).clamp(min=1e-6)}


def _lent_by_formula(pictures: Tensor, levels: float, slope: float) -> dict[str, Tensor]:
    real = torch.round(pictures * levels) / levels
    return {
        "values": real,
        "slopes": torch.where(real > 0, 2 * slope * pictures, torch.zeros_like(real)),
    }


def _lending(how: str) -> Callable[[Tensor, Tensor], Tensor]:
    def model(real: Tensor, simulated: Tensor) -> Tensor:
        if how == "exchanged":
            return real + (simulated - real).detach()
        if how == "no slope":
            return (simulated + (real - simulated)).detach().requires_grad_()
        if how == "both":
            return real + simulated - simulated.detach()
        if how == "simulated":
            return simulated
        return (real + simulated) / 2

    return model


register(
    Exercise(
        "7.3",
        "values of one, slopes of the other",
        slopes_lent,
        _two_pictures,
        oracle=_lent_by_formula,
        use=_lent,
        rtol=1e-4,
        atol=1e-5,
        misconceptions=(
            Misconception(
                "The two are exchanged: this has the simulator's values and the file's slopes.",
                _lending("exchanged"),
            ),
            Misconception(
                "Nothing can be learned through this. Only what the simulated picture *lacks* "
                "may be a constant; if the picture is one too, or cancels out, no slope is left.",
                _lending("no slope"),
            ),
            Misconception(
                "Both gradients pass. What the file has of its own must be cut off: detach it.",
                _lending("both"),
            ),
            Misconception(
                "That is the simulator alone: the values must be the file's.", _lending("simulated")
            ),
            Misconception(
                "A mixture has neither the values of the file nor the slopes of the simulator.",
                _lending("mixed"),
            ),
        ),
    )
)


# 7.4


def _qualities(rng: Rng) -> Trials:
    """Draw qualities on bins, between them and outside."""
    for n in (2, 4, 7):
        quality = rng.uniform(8, 103, n)
        on = rng.random(n) < 0.3
        quality[on] = rng.choice(BINS, on.sum())
        quality[0] = rng.choice([rng.uniform(2, 9), rng.uniform(91, 99), rng.uniform(11, 29)])
        yield (torch.from_numpy(quality).float(),)


def _labels_by_interpolation(quality: Tensor) -> Tensor:
    inside = quality.double().numpy()
    columns = [np.interp(inside, BINS, row) for row in np.eye(len(BINS))]
    return torch.tensor(np.stack(columns, axis=1)).float()


def _labels(how: str) -> Callable[[Tensor], Tensor]:
    def model(quality: Tensor) -> Tensor:
        bins = np.array(BINS, float)
        raw = quality.double().numpy()
        inside = raw if how == "unclamped" else raw.clip(bins[0], bins[-1])
        upper = np.searchsorted(bins, inside).clip(1, len(bins) - 1)
        share = (inside - bins[upper - 1]) / (bins[upper] - bins[upper - 1])
        if how == "nearest":
            share = np.round(share)
        elif how == "exchanged":
            share = 1 - share
        elif how == "even steps":
            share = (inside - bins[upper - 1]) / 20
        elif how == "half":
            share = np.where((share > 0) & (share < 1), 0.5, share)
        elif how == "lower":
            share = np.where(share < 1, 0.0, share)
        found = np.zeros((len(raw), len(bins)))
        rows = np.arange(len(raw))
        found[rows, upper], found[rows, upper - 1] = share, 1 - share
        if how == "spread":
            near = np.exp(-np.abs(bins - inside[:, None]) / 10)
            found = near / near.sum(1, keepdims=True)
        return torch.tensor(found).float()

    return model


register(
    Exercise(
        "7.4",
        "a quality between two bins",
        soft_labels,
        _qualities,
        oracle=_labels_by_interpolation,
        rtol=1e-4,
        atol=1e-5,
        misconceptions=(
            Misconception(
                "Outside the bins a share comes out negative, or more than one. Clamp the quality "
                "to their range first.",
                _labels("unclamped"),
            ),
            Misconception(
                "This gives all to the nearest bin. A quality between two bins belongs to both.",
                _labels("nearest"),
            ),
            Misconception(
                "The shares are exchanged: the *nearer* of the two bins gets the larger share.",
                _labels("exchanged"),
            ),
            Misconception(
                "The last two bins are only 10 apart: divide by the distance of the two bins.",
                _labels("even steps"),
            ),
            Misconception(
                "Half and half everywhere: how near the quality is to each bin decides.",
                _labels("half"),
            ),
            Misconception(
                "This gives all to the bin below. The one above gets its share, too.",
                _labels("lower"),
            ),
            Misconception(
                "Only the two bins next to the quality get a share; this gives some to all.",
                _labels("spread"),
            ),
        ),
    )
)


# 7.5


def _neighbours(rng: Rng) -> Trials:
    """Draw free weights: harmless ones, some that nearly cancel, some with a negative sum."""
    for side in (3, 5, 3):
        shape = (*rng.integers(1, 3, int(rng.integers(1, 3))).tolist(), side * side - 1)
        weights = _torch(rng, *shape, low=0.05, high=1)
        kind = rng.choice(["plain", "negative", "mixed", "cancel", "cancel"])
        if kind == "negative":
            weights = -weights
        if kind == "mixed":
            weights = weights + _torch(rng, *shape)
        if kind == "cancel":
            weights = weights - weights.mean(-1, keepdim=True)
            off = float(rng.choice([-1, 1]) * rng.uniform(0.02, 0.7) * SMALLEST)
            weights = weights + off / (side * side - 1)
        yield weights, float(rng.choice([SMALLEST, 3 * SMALLEST]))


def _kernels_by_loop(neighbours: Tensor, smallest: float = SMALLEST) -> Tensor:
    flat = neighbours.double().reshape(-1, neighbours.shape[-1]).numpy()
    side = round((flat.shape[1] + 1) ** 0.5)
    found = []
    for row in flat:
        total = row.sum()
        if abs(total) < smallest:
            total = -smallest if total < 0 else smallest
        scaled = row / total
        scaled = scaled + (1 - scaled.sum()) / len(row)
        found.append(np.insert(scaled, len(row) // 2, -1).reshape(side, side))
    shape = (*neighbours.shape[:-1], side, side)
    return torch.tensor(np.array(found)).float().reshape(shape)


def _kernels(how: str) -> Callable[..., Tensor]:
    def model(neighbours: Tensor, smallest: float = SMALLEST) -> Tensor:
        count = neighbours.shape[-1]
        total = neighbours.sum(-1, keepdim=True)
        if how == "all":
            total = neighbours.sum()[None]
        if how == "absolute":
            total = neighbours.abs().sum(-1, keepdim=True)
        sign = torch.where(total < 0, -1.0, 1.0)
        if how == "positive":
            sign = torch.ones_like(total)
        bound = SMALLEST if how == "own bound" else smallest
        safe = torch.where(total.abs() < bound, sign * bound, total)
        if how == "clamped":
            safe = total.clamp(min=smallest)
        if how == "unsafe":
            safe = total
        divided = neighbours / safe
        if how not in ("not shared", "unsafe", "absolute"):
            divided = divided + (1 - divided.sum(-1, keepdim=True)) / count
        middle = torch.full_like(divided[..., :1], {"plus": 1.0, "zero": 0.0}.get(how, -1.0))
        if how == "sum of one":
            middle = torch.zeros_like(middle)
        half = 0 if how == "first" else count // 2
        kernels = torch.cat([divided[..., :half], middle, divided[..., half:]], dim=-1)
        side = round((count + 1) ** 0.5)
        kernels = kernels.unflatten(-1, (side, side))
        return kernels.transpose(-1, -2) if how == "turned" else kernels

    return model


register(
    Exercise(
        "7.5",
        "kernels that see only residuals",
        bayar_kernels,
        _neighbours,
        oracle=_kernels_by_loop,
        rtol=1e-3,
        atol=1e-4,
        misconceptions=(
            Misconception(
                "Where the neighbours nearly cancel, their sum is tiny and kernels explode. Divide "
                "by `smallest` there, with the sum's sign.",
                _kernels("unsafe"),
            ),
            Misconception(
                "Divided by `smallest`, the neighbours no longer add up to 1. Share out evenly "
                "what is missing.",
                _kernels("not shared"),
            ),
            Misconception(
                "A negative sum is a sum like any other, if it is large enough: only its absolute "
                "value is compared with `smallest`.",
                _kernels("clamped"),
            ),
            Misconception(
                "A tiny negative sum is replaced by − `smallest`: keep its sign.",
                _kernels("positive"),
            ),
            Misconception("The smallest sum is an argument: use it.", _kernels("own bound")),
            Misconception(
                "Divide by the sum of the neighbours, not of their absolute values.",
                _kernels("absolute"),
            ),
            Misconception(
                "In the middle stands −1: what the neighbours say, *minus* the pixel.",
                _kernels("plus"),
            ),
            Misconception(
                "The pixel itself is missing: with 0 in the middle this predicts, and subtracts "
                "nothing.",
                _kernels("zero"),
            ),
            Misconception(
                "−1 stands before all neighbours. It belongs in the middle, with half of them on "
                "either side.",
                _kernels("first"),
            ),
            Misconception("Rows and columns are exchanged.", _kernels("turned")),
            Misconception(
                "Every kernel has a sum of its own: sum over the last axis only.", _kernels("all")
            ),
        ),
    )
)


# 7.6


def _pictures(rng: Rng) -> Trials:
    """Draw pictures with a grid, gray and in colour, as bytes and as floats, of odd sizes."""
    for kind in ("gray", "colour", "floats", "float colour"):
        h, w = (int(each) for each in rng.integers(17, 34, 2))
        shape = (h, w, 3) if "colour" in kind else (h, w)
        picture = rng.uniform(60, 190, shape)
        for y in range(0, h, SIDE):
            for x in range(0, w, SIDE):
                picture[y : y + SIDE, x : x + SIDE] += rng.uniform(-30, 30, shape[2:])
        picture[:, : w // 2] += np.arange(w // 2).reshape(1, -1, *[1] * (len(shape) - 2))
        picture = picture.clip(0, 255)
        yield (picture / 255 if "float" in kind else picture.astype(np.uint8),)


def _steps_by_loop(picture: np.ndarray) -> np.ndarray:
    gray = picture.astype(float) if picture.dtype == np.uint8 else 255.0 * picture
    gray = gray @ WEIGHTS if gray.ndim == 3 else gray
    found = []
    for k in range(SIDE):
        each = [
            abs(gray[y, x + 1] - gray[y, x]).mean()
            for y in range(len(gray))
            for x in range(k, gray.shape[1] - 1, SIDE)
        ]
        down = [
            abs(gray[y + 1, x] - gray[y, x]).mean()
            for x in range(gray.shape[1])
            for y in range(k, len(gray) - 1, SIDE)
        ]
        lines = [np.mean(np.reshape(each, (len(gray), -1)), axis=0)]
        lines.append(np.mean(np.reshape(down, (gray.shape[1], -1)), axis=0))
        found.append(np.concatenate(lines).mean())
    return np.array(found)


def _steps(how: str) -> Callable[[np.ndarray], np.ndarray]:
    def model(picture: np.ndarray) -> np.ndarray:
        gray = picture.astype(np.float64)
        if how == "bytes" and picture.dtype == np.uint8:
            gray = picture
        elif picture.dtype != np.uint8 and how != "unscaled":
            gray = 255 * gray
        if gray.ndim == 3:
            gray = gray.mean(axis=2) if how == "mean colour" else gray @ WEIGHTS
        axes = (1,) if how == "along rows" else (0,) if how == "along columns" else (0, 1)
        along = []
        for axis in axes:
            steps = np.diff(gray, axis=axis)
            sizes = steps if how == "signed" else np.abs(steps)
            sizes = steps**2 if how == "squared" else sizes
            along.append(np.asarray(sizes.mean(axis=1 - axis), float))
        found = np.array(
            [np.concatenate([line[k::SIDE] for line in along]).mean() for k in range(SIDE)]
        )
        if how == "shifted":
            return np.roll(found, 1)
        return found / found.mean() if how == "relative" else found

    return model


register(
    Exercise(
        "7.6",
        "the grid, seen by its steps",
        steps_by_phase,
        _pictures,
        oracle=_steps_by_loop,
        rtol=1e-5,
        atol=1e-6,
        misconceptions=(
            Misconception(
                "Bytes cannot be negative: 3 − 5 is 254. Make floats of them before subtracting.",
                _steps("bytes"),
            ),
            Misconception(
                "Ups and downs cancel out: take absolute values before averaging.",
                _steps("signed"),
            ),
            Misconception("Mean *absolute* steps, not squared ones.", _steps("squared")),
            Misconception(
                "Pictures of floats go from 0 to 1, and steps are wanted in gray levels.",
                _steps("unscaled"),
            ),
            Misconception(
                "Luma is no plain mean of red, green and blue: weigh them.", _steps("mean colour")
            ),
            Misconception(
                "Only steps along rows are counted; the grid has horizontal edges as well.",
                _steps("along rows"),
            ),
            Misconception(
                "Only steps along columns are counted; the grid has vertical edges as well.",
                _steps("along columns"),
            ),
            Misconception(
                "The phase is off by one: entry 7, the last, crosses into the next block.",
                _steps("shifted"),
            ),
            Misconception(
                "Gray levels are wanted, not shares of the mean step.", _steps("relative")
            ),
        ),
    )
)
