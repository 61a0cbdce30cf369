"""Checks of the exercises of lesson 04, what happens to published pictures."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy import fft
from torch import Tensor

from course_lib.attacks.jpeg import (
    CHROMA,
    LUMA,
    dct_matrix,
    hard,
    quantization_table,
    soft,
    straight_through,
    zigzag,
)
from course_lib.attacks.spectra import kept, radial_power
from course_lib.errors import UsageError
from course_lib.teach.check import REFUSED, Exercise, Misconception, register

Rng = np.random.Generator
Trials = Iterator[tuple[Any, ...]]
Spectrum = tuple[np.ndarray, np.ndarray]


# 4.1


def _planes(rng: Rng) -> Trials:
    """Draw planes of rough and smooth gray levels, with a mean far from zero."""
    for rings in (4, 9, 16):
        # No frequency of these sides lies on the border of two rings, where the last bit would
        # decide: they are primes that make no right-angled triangle, or twice one.
        h, w = rng.choice([19, 22, 23, 31, 38], 2)
        plane = rng.normal(rng.uniform(60, 180), rng.uniform(5, 30), (h, w))
        yield np.cumsum(plane, axis=1) / np.arange(1, w + 1), rings
        yield plane.round(), rings


def _spectrum(how: str = "") -> Callable[..., Spectrum]:
    """Write the spectrum with sums over a mask for each ring, right or with one mistake."""

    def model(plane: np.ndarray, rings: int = 64) -> Spectrum:
        h, w = plane.shape
        window = np.hanning(h)[:, None] * np.hanning(w)
        if how == "no window":
            window = np.ones((h, w))
        centred = plane if how == "mean" else plane - plane.mean()
        size = np.abs(np.fft.fft2(window * centred))
        power = size if how == "amplitude" else size**2
        if how != "unscaled":
            power = power / (h * w if how == "pixels" else (window**2).sum())
        y, x = np.meshgrid(np.fft.fftfreq(h), np.fft.fftfreq(w), indexing="ij")
        ring = np.floor(2 * rings * np.sqrt(x**2 + y**2)).astype(int)
        if how == "corners":
            ring = np.minimum(ring, rings - 1)
        elif how == "half":
            ring = ring // 2
        found = np.zeros(rings)
        for k in range(rings):
            if (ring == k).any():
                found[k] = power[ring == k].sum() if how == "sum" else power[ring == k].mean()
        start = 0.0 if how == "edges" else 0.5
        return (np.arange(rings) + start) / (2 * rings), found

    return model


register(
    Exercise(
        "4.1",
        "power, ring by ring",
        radial_power,
        _planes,
        oracle=_spectrum(),
        rtol=1e-6,
        atol=1e-9,
        misconceptions=(
            Misconception(
                "Lay the window over the plane before the transform: its borders are edges, and "
                "edges have power at all frequencies.",
                _spectrum("no window"),
            ),
            Misconception(
                "Take the plane's mean off first. Under the window it would leak into the "
                "lowest rings.",
                _spectrum("mean"),
            ),
            Misconception(
                "Power is the *square* of the absolute value of the transform.",
                _spectrum("amplitude"),
            ),
            Misconception(
                "Divide by the sum of the squared window: white noise must come out at its "
                "variance, for every size.",
                _spectrum("unscaled"),
            ),
            Misconception(
                "The window takes power away. Divide by the sum of its squares, not by the number "
                "of pixels.",
                _spectrum("pixels"),
            ),
            Misconception(
                "Average over each ring. Sums grow with the ring, because outer ones hold more "
                "frequencies.",
                _spectrum("sum"),
            ),
            Misconception(
                "What lies beyond 1/2, in the corners of the spectrum, belongs to no ring.",
                _spectrum("corners"),
            ),
            Misconception(
                "Rings end at the frequency 1/2: ring k begins at k / (2 · rings).",
                _spectrum("half"),
            ),
            Misconception(
                "Return the middle of each ring, half a ring above its lower end.",
                _spectrum("edges"),
            ),
        ),
    )
)


# 4.2


def _attacked(rng: Rng) -> Trials:
    """Draw pictures without and with a pattern, as floats and as 8-bit values."""
    for i in range(6):
        shape = tuple(rng.integers(4, 30, 2))
        pattern = rng.normal(0, rng.uniform(1, 4), shape)
        plain = rng.uniform(30, 220, shape)
        marked = plain + rng.uniform(-0.2, 1.1) * pattern + rng.normal(0, 1, shape)
        if i % 2:
            yield np.rint(plain).astype(np.uint8), np.rint(marked).astype(np.uint8), pattern
        else:
            yield plain, marked, pattern


def _least_squares(plain: np.ndarray, marked: np.ndarray, pattern: np.ndarray) -> float:
    became = marked.astype(float).ravel() - plain.astype(float).ravel()
    return float(np.linalg.lstsq(pattern.reshape(-1, 1), became, rcond=None)[0][0])


def _share(how: str) -> Callable[..., float]:
    def model(plain: np.ndarray, marked: np.ndarray, pattern: np.ndarray) -> float:
        became = marked.astype(float) - plain.astype(float)
        if how == "wrapped":
            became = (marked - plain).astype(float)
        elif how == "no difference":
            became = marked.astype(float)
        elif how == "turned":
            became = -became
        product = (became * pattern).sum()
        if how == "correlation":
            return float(product / np.sqrt((became**2).sum() * (pattern**2).sum()))
        if how == "other side":
            return float(product / (became**2).sum())
        if how == "mean":
            return float((became * pattern).mean())
        if how == "sizes":
            return float(np.sqrt((became**2).sum() / (pattern**2).sum()))
        return float(product / (pattern**2).sum())

    return model


register(
    Exercise(
        "4.2",
        "what is left of a pattern",
        kept,
        _attacked,
        oracle=_least_squares,
        rtol=1e-6,
        atol=1e-9,
        misconceptions=(
            Misconception(
                "In uint8 a difference below zero wraps around to 255: subtract as floats.",
                _share("wrapped"),
            ),
            Misconception(
                "The picture itself is still in there. Subtract the attacked picture without the "
                "pattern first.",
                _share("no difference"),
            ),
            Misconception("The difference is marked minus plain.", _share("turned")),
            Misconception(
                "That is a correlation, which forgets how strong things are. Divide by the "
                "pattern's own power alone.",
                _share("correlation"),
            ),
            Misconception(
                "Divide by the power of the pattern, not of what became of it.",
                _share("other side"),
            ),
            Misconception(
                "A share has no unit: divide by the power of the pattern.", _share("mean")
            ),
            Misconception(
                "Sizes alone would count noise as pattern: multiply the difference by the pattern, "
                "place by place.",
                _share("sizes"),
            ),
        ),
    )
)


# 4.3


def _sides(rng: Rng) -> Trials:
    yield from ((int(n),) for n in rng.integers(2, 17, 8))


def _dct_by_scipy(n: int = 8) -> Tensor:
    return torch.from_numpy(fft.dct(np.eye(n), axis=0, norm="ortho"))


def _cosines(how: str) -> Callable[..., Tensor]:
    def model(n: int = 8) -> Tensor:
        k = torch.arange(n, dtype=torch.float64)[:, None]
        x = torch.arange(n, dtype=torch.float64)[None]
        half = 0.0 if how == "corner" else 0.5
        period = 2.0 if how == "whole periods" else 1.0
        waves = torch.cos(period * torch.pi * k * (x + half) / n)
        if how == "sine":
            waves = torch.sin(torch.pi * k * (x + 0.5) / n)
        if how != "unscaled":
            waves = waves * np.sqrt(2 / n)
        if how not in ("first row", "unscaled"):
            waves[0] /= np.sqrt(2)
        return waves.T.contiguous() if how == "transposed" else waves

    return model


register(
    Exercise(
        "4.3",
        "the cosine transform",
        dct_matrix,
        _sides,
        oracle=_dct_by_scipy,
        rtol=1e-5,
        atol=1e-6,
        misconceptions=(
            Misconception(
                "The first row is longer than the others: a constant has twice the mean square of "
                "a cosine. Divide it by √2.",
                _cosines("first row"),
            ),
            Misconception(
                "Rows must have length 1, or the transform is no rotation: they need √(2/n).",
                _cosines("unscaled"),
            ),
            Misconception(
                "Pixels are read in their middle, at x + ½.",
                _cosines("corner"),
            ),
            Misconception(
                "Wave k has k *half* periods across the block: π, not 2π.",
                _cosines("whole periods"),
            ),
            Misconception(
                "These are sines. Cosines are what continues at a border as in a mirror.",
                _cosines("sine"),
            ),
            Misconception(
                "Rows are waves and columns are pixels: this is the transpose.",
                _cosines("transposed"),
            ),
        ),
    )
)


# 4.4


def _qualities(rng: Rng) -> Trials:
    for base in (LUMA, CHROMA):
        yield int(rng.integers(1, 20)), base
        yield int(rng.integers(20, 50)), base
        yield int(rng.integers(50, 100)), base
        yield float(rng.choice([3, 7, 11, 50, 100])), base
        yield torch.from_numpy(rng.integers(1, 101, 4).astype(float)), base
    yield int(rng.choice([0, -3, 101])), LUMA


def _table_by_loops(quality: float | Tensor, base: Tensor = LUMA) -> Tensor:
    """Do as libjpeg does, in whole numbers."""
    if isinstance(quality, Tensor) and quality.ndim:
        return torch.stack([_table_by_loops(float(q), base) for q in quality])
    q = int(quality)
    if not 1 <= q <= 100:
        raise UsageError("outside 1 to 100")
    percent = 5000 // q if q < 50 else 200 - 2 * q
    steps = [[min(max((int(t) * percent + 50) // 100, 1), 255) for t in row] for row in base]
    return torch.tensor(steps, dtype=torch.float64)


def _table(how: str) -> Callable[..., Tensor]:
    def model(quality: float | Tensor, base: Tensor = LUMA) -> Tensor:
        q = torch.as_tensor(quality, dtype=torch.float64)
        if how != "never refuses" and not ((q >= 1) & (q <= 100)).all():
            raise UsageError("outside 1 to 100")
        low = 5000 / q if how == "no floor" else torch.floor(5000 / q)
        percent = torch.where(q < 50, low, 200 - 2 * q)
        if how == "one formula":
            percent = 200 - 2 * q
        elif how == "other formula":
            percent = torch.floor(5000 / q)
        elif how == "percent":
            percent = 100 - q
        chosen = LUMA if how == "luma" else base
        scaled = chosen * percent[..., None, None]
        if how == "cut off":
            steps = torch.floor(scaled / 100)
        elif how == "not whole":
            steps = scaled / 100
        else:
            steps = torch.floor((scaled + 50) / 100)
        if how == "no limits":
            return steps
        return steps.clamp(1, 255)

    return model


register(
    Exercise(
        "4.4",
        "the table of a quality",
        quantization_table,
        _qualities,
        oracle=_table_by_loops,
        misconceptions=(
            Misconception(
                "A quality outside 1 to 100 is a mistake of the caller: raise UsageError.",
                when=lambda args, got, expected: expected is REFUSED,
            ),
            Misconception("`base` is not used: chroma has a table of its own.", _table("luma")),
            Misconception("Below 50 another formula holds, s = ⌊5000 / q⌋.", _table("one formula")),
            Misconception(
                "From 50 on another formula holds, s = 200 − 2q.", _table("other formula")
            ),
            Misconception(
                "A quality is no percentage of the table: see the formula for s.",
                _table("percent"),
            ),
            Misconception(
                "s is a whole number too: round 5000 / q down before you scale the table.",
                _table("no floor"),
            ),
            Misconception(
                "Steps are rounded, not cut off: add 50 before you divide by 100.",
                _table("cut off"),
            ),
            Misconception("Files store steps as whole numbers.", _table("not whole")),
            Misconception(
                "A step of 0 cannot be divided by, and files have one byte for each: clip to "
                "1 … 255.",
                _table("no limits"),
            ),
        ),
    )
)


# 4.5


def _sizes(rng: Rng) -> Trials:
    yield from ((int(n),) for n in (*rng.permutation(np.arange(3, 13))[:6], 8))


def _zigzag_by_walking(n: int = 8) -> np.ndarray:
    """Walk: up to the right and down to the left in turn, along the borders between."""
    order = np.zeros((n, n), int)
    row, column, up = 0, 0, True
    for place in range(n * n):
        order[row, column] = place
        if up and column == n - 1:
            row, up = row + 1, False
        elif up and row == 0:
            column, up = column + 1, False
        elif not up and row == n - 1:
            column, up = column + 1, True
        elif not up and column == 0:
            row, up = row + 1, True
        else:
            step = -1 if up else 1
            row, column = row + step, column - step
    return order


def _walk(how: str) -> Callable[..., np.ndarray]:
    def model(n: int = 8) -> np.ndarray:
        right = _zigzag_by_walking(n)
        if how == "turned":
            return right.T.copy()
        if how == "rows":
            return np.arange(n * n).reshape(n, n)
        if how == "snake":
            rows = np.arange(n * n).reshape(n, n)
            rows[1::2] = rows[1::2, ::-1].copy()
            return rows
        if how == "inverse":
            return np.argsort(right.ravel()).reshape(n, n)
        if how == "from one":
            return right + 1
        cells = sorted(
            ((r, c) for r in range(n) for c in range(n)), key=lambda cell: (sum(cell), cell[0])
        )
        order = np.zeros((n, n), int)
        for place, cell in enumerate(cells):
            order[cell] = place
        return order

    return model


register(
    Exercise(
        "4.5",
        "the zigzag",
        zigzag,
        _sizes,
        oracle=_zigzag_by_walking,
        misconceptions=(
            Misconception(
                "From the corner the way goes right first, then down to the left: odd diagonals "
                "are walked downwards.",
                _walk("turned"),
            ),
            Misconception(
                "Diagonals are walked in turn, one up and the next one down. These all go the "
                "same way.",
                _walk("one way"),
            ),
            Misconception(
                "That is row by row. Sort the cells by row + column first.", _walk("rows")
            ),
            Misconception(
                "This goes to and fro along the rows. The zigzag goes along diagonals.",
                _walk("snake"),
            ),
            Misconception(
                "This says which cell is at each place. Asked for is the place of each cell: turn "
                "it round.",
                _walk("inverse"),
            ),
            Misconception("The first place is number 0.", _walk("from one")),
        ),
    )
)


# 4.6


def _numbers(rng: Rng) -> Trials:
    for shape in ((7,), (3, 4), (2, 2, 5)):
        x = rng.uniform(-6, 6, shape)
        # Exactly halfway it is a matter of taste where to round to.
        near_half = np.abs(np.abs(x - np.rint(x)) - 0.5) < 1e-3
        yield (torch.from_numpy(np.where(near_half, x + 0.01, x)),)


def _value_and_slope(answer: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    given = x.clone().requires_grad_()
    value = answer(given)
    if not value.requires_grad:
        return value, torch.zeros_like(x)
    slope = torch.autograd.grad(value.sum(), given, allow_unused=True)[0]
    return value.detach(), torch.zeros_like(x) if slope is None else slope


def _soft_by_hand(x: Tensor) -> tuple[Tensor, Tensor]:
    near = torch.from_numpy(np.rint(x.numpy()))
    return near + (x - near) ** 3, 3 * (x - near) ** 2


def _rounded(how: str) -> Callable[[Tensor], Tensor]:
    def model(x: Tensor) -> Tensor:
        near = torch.round(x).detach()
        rest = x - near
        if how == "square":
            return near + rest**2
        if how == "minus":
            return near - rest**3
        if how == "floor":
            return torch.floor(x).detach() + (x - torch.floor(x).detach()) ** 3
        if how == "cube":
            return x**3
        if how == "released":
            return torch.where(x.abs() < 0.5, x**3, x)
        if how == "only rest":
            return rest**3
        return near + rest

    return model


register(
    Exercise(
        "4.6",
        "soft rounding",
        soft,
        _numbers,
        oracle=_soft_by_hand,
        use=_value_and_slope,
        rtol=1e-5,
        atol=1e-8,
        misconceptions=(
            Misconception(
                "This rounds, and no slope passes: the cube of what is left over is missing.",
                hard,
            ),
            Misconception(
                "This is straight through: the slope is made up, not that of the function.",
                straight_through,
            ),
            Misconception(
                "A square has no sign: numbers just below a whole one would be pushed above it. "
                "Use the cube.",
                _rounded("square"),
            ),
            Misconception("Add the cube, do not subtract it.", _rounded("minus")),
            Misconception("Round to the *nearest* whole number, not down.", _rounded("floor")),
            Misconception(
                "Cube what is left over after rounding, not the number itself.", _rounded("cube")
            ),
            Misconception(
                "That is what the released code does, and it leaves large numbers unrounded. Here "
                "every number goes to its nearest whole one, plus a cube.",
                _rounded("released"),
            ),
            Misconception("The nearest whole number itself is missing.", _rounded("only rest")),
            Misconception(
                "This changes nothing at all: x is the whole number plus what is left over.",
                _rounded("nothing"),
            ),
        ),
    )
)
