"""Common wrong answers to the exercises of lesson 04."""

import numpy as np
import torch

from course_lib.attacks.jpeg import LUMA
from course_lib.errors import UsageError
from tests.mutants import Mutant


def _rings(plane, rings, power, clip=False):
    radius = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, plane.shape), indexing="ij"))
    ring = (radius * 2 * rings).astype(int)
    ring = np.minimum(ring, rings - 1) if clip else ring
    total = np.bincount(ring.ravel(), power.ravel(), rings)[:rings]
    count = np.bincount(ring.ravel(), minlength=rings)[:rings]
    return total, np.maximum(count, 1)


def _hann(plane):
    return np.outer(np.hanning(plane.shape[0]), np.hanning(plane.shape[1]))


def _power(plane, window):
    return np.abs(np.fft.fft2((plane - plane.mean()) * window)) ** 2 / (window**2).sum()


def _centres(rings):
    return (np.arange(rings) + 0.5) / (2 * rings)


def power_without_window(plane, rings=64):
    total, count = _rings(plane, rings, _power(plane, np.ones(plane.shape)))
    return _centres(rings), total / count


def power_with_mean(plane, rings=64):
    window = _hann(plane)
    power = np.abs(np.fft.fft2(plane * window)) ** 2 / (window**2).sum()
    total, count = _rings(plane, rings, power)
    return _centres(rings), total / count


def power_of_amplitudes(plane, rings=64):
    window = _hann(plane)
    size = np.abs(np.fft.fft2((plane - plane.mean()) * window)) / (window**2).sum()
    total, count = _rings(plane, rings, size)
    return _centres(rings), total / count


def power_unscaled(plane, rings=64):
    window = _hann(plane)
    total, count = _rings(plane, rings, _power(plane, window) * (window**2).sum())
    return _centres(rings), total / count


def power_by_pixels(plane, rings=64):
    window = _hann(plane)
    total, count = _rings(plane, rings, _power(plane, window) * (window**2).mean())
    return _centres(rings), total / count


def power_summed(plane, rings=64):
    return _centres(rings), _rings(plane, rings, _power(plane, _hann(plane)))[0]


def power_with_corners(plane, rings=64):
    total, count = _rings(plane, rings, _power(plane, _hann(plane)), clip=True)
    return _centres(rings), total / count


def power_to_one(plane, rings=64):
    total, count = (np.zeros(rings) for _ in range(2))
    radius = np.hypot(np.fft.fftfreq(plane.shape[0])[:, None], np.fft.fftfreq(plane.shape[1]))
    np.add.at(total, (radius * rings).astype(int), _power(plane, _hann(plane)))
    np.add.at(count, (radius * rings).astype(int), 1)
    return _centres(rings), total / np.maximum(count, 1)


def power_at_edges(plane, rings=64):
    total, count = _rings(plane, rings, _power(plane, _hann(plane)))
    return np.arange(rings) / (2 * rings), total / count


def power_by_orthonormal_transform(plane, rings=64):
    window = _hann(plane)
    spectrum = np.fft.fft2((plane - plane.mean()) * window, norm="ortho")
    total, count = _rings(plane, rings, np.abs(spectrum) ** 2 / (window**2).mean())
    return _centres(rings), total / count


def power_by_digits(plane, rings=64):
    y, x = (np.fft.fftfreq(n) for n in plane.shape)
    ring = np.digitize(np.sqrt(y[:, None] ** 2 + x**2), np.arange(rings + 1) / (2 * rings)) - 1
    power = _power(plane, _hann(plane))
    means = [power[ring == k].mean() if (ring == k).any() else 0 for k in range(rings)]
    return _centres(rings), np.array(means)


def kept_wrapped(plain, marked, pattern):
    return float(((marked - plain) * pattern).sum() / (pattern**2).sum())


def kept_with_the_picture(plain, marked, pattern):
    return float((marked * pattern).sum() / (pattern**2).sum())


def kept_turned(plain, marked, pattern):
    return float(((plain.astype(float) - marked) * pattern).sum() / (pattern**2).sum())


def kept_as_correlation(plain, marked, pattern):
    became = marked.astype(float) - plain
    norms = np.linalg.norm(became) * np.linalg.norm(pattern)
    return float((became * pattern).sum() / norms)


def kept_other_side(plain, marked, pattern):
    became = marked.astype(float) - plain
    return float((became * pattern).sum() / (became**2).sum())


def kept_mean(plain, marked, pattern):
    return float(np.mean((marked.astype(float) - plain) * pattern))


def kept_sizes(plain, marked, pattern):
    return float(np.linalg.norm(marked.astype(float) - plain) / np.linalg.norm(pattern))


def kept_by_polyfit(plain, marked, pattern):
    became = marked.astype(float) - plain
    return np.vdot(pattern, became) / np.vdot(pattern, pattern)


def _grid(n):
    return torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)


def dct_first_row(n=8):
    k, x = _grid(n)
    return (2 / n) ** 0.5 * torch.cos(torch.pi / n * k * (x + 0.5))


def dct_unscaled(n=8):
    k, x = _grid(n)
    return torch.cos(torch.pi / n * k * (x + 0.5))


def _scaled(waves):
    waves = waves * (2 / len(waves)) ** 0.5
    waves[0] = waves[0] / 2**0.5
    return waves


def dct_corners(n=8):
    k, x = _grid(n)
    return _scaled(torch.cos(torch.pi / n * k * x))


def dct_whole_periods(n=8):
    k, x = _grid(n)
    return _scaled(torch.cos(2 * torch.pi / n * k * (x + 0.5)))


def dct_sines(n=8):
    k, x = _grid(n)
    return _scaled(torch.sin(torch.pi / n * k * (x + 0.5)))


def dct_transposed(n=8):
    k, x = _grid(n)
    return _scaled(torch.cos(torch.pi / n * k * (x + 0.5))).T


def dct_by_roots(n=8):
    k, x = _grid(n)
    size = torch.full((n, 1), (2 / n) ** 0.5, dtype=torch.float64)
    size[0] = n**-0.5
    return size * torch.cos((2 * x + 1) * k * torch.pi / (2 * n))


def _percent(quality):
    q = torch.as_tensor(quality, dtype=torch.float64)
    if (q < 1).any() or (q > 100).any():
        raise UsageError("quality")
    return q, torch.where(q < 50, (5000 / q).floor(), 200 - 2 * q)[..., None, None]


def table_never_refuses(quality, base=LUMA):
    q = torch.as_tensor(quality, dtype=torch.float64)
    s = torch.where(q < 50, (5000 / q).floor(), 200 - 2 * q)[..., None, None]
    return ((base * s + 50) / 100).floor().clamp(1, 255)


def table_of_luma(quality, base=LUMA):
    return ((LUMA * _percent(quality)[1] + 50) / 100).floor().clamp(1, 255)


def table_one_formula(quality, base=LUMA):
    q, _ = _percent(quality)
    return ((base * (200 - 2 * q)[..., None, None] + 50) / 100).floor().clamp(1, 255)


def table_other_formula(quality, base=LUMA):
    q, _ = _percent(quality)
    return ((base * (5000 / q).floor()[..., None, None] + 50) / 100).floor().clamp(1, 255)


def table_by_percent(quality, base=LUMA):
    q, _ = _percent(quality)
    return ((base * (100 - q)[..., None, None] + 50) / 100).floor().clamp(1, 255)


def table_unrounded_percent(quality, base=LUMA):
    q, _ = _percent(quality)
    s = torch.where(q < 50, 5000 / q, 200 - 2 * q)[..., None, None]
    return ((base * s + 50) / 100).floor().clamp(1, 255)


def table_cut_off(quality, base=LUMA):
    return (base * _percent(quality)[1] / 100).floor().clamp(1, 255)


def table_not_whole(quality, base=LUMA):
    return (base * _percent(quality)[1] / 100).clamp(1, 255)


def table_without_limits(quality, base=LUMA):
    return ((base * _percent(quality)[1] + 50) / 100).floor()


def table_in_whole_numbers(quality, base=LUMA):
    s = _percent(quality)[1].long()
    return ((base.long() * s + 50) // 100).clamp(1, 255).double()


def _numbered(cells, n):
    order = np.empty((n, n), int)
    for place, cell in enumerate(cells):
        order[cell] = place
    return order


def _cells(n):
    return [(r, c) for r in range(n) for c in range(n)]


def zigzag_turned(n=8):
    key = lambda c: (sum(c), c[1] if sum(c) % 2 else c[0])  # noqa: E731
    return _numbered(sorted(_cells(n), key=key), n)


def zigzag_one_way(n=8):
    return _numbered(sorted(_cells(n), key=lambda c: (c[0] + c[1], c[0])), n)


def zigzag_rows(n=8):
    return _numbered(_cells(n), n)


def zigzag_snake(n=8):
    return _numbered(sorted(_cells(n), key=lambda c: (c[0], -c[1] if c[0] % 2 else c[1])), n)


def _right(n):
    return sorted(_cells(n), key=lambda c: (sum(c), c[0] if sum(c) % 2 else c[1]))


def zigzag_inverse(n=8):
    return np.array([r * n + c for r, c in _right(n)]).reshape(n, n)


def zigzag_from_one(n=8):
    return _numbered(_right(n), n) + 1


def zigzag_by_diagonals(n=8):
    flipped, cells = np.fliplr(np.arange(n * n).reshape(n, n)), []
    for d in range(n - 1, -n, -1):
        diagonal = list(np.diag(flipped, d))
        cells += diagonal[::-1] if (n - 1 - d) % 2 == 0 else diagonal
    return np.argsort(cells).reshape(n, n)


def soft_hard(x):
    return torch.round(x)


def soft_straight(x):
    return x + (torch.round(x) - x).detach()


def soft_square(x):
    return torch.round(x) + (x - torch.round(x)) ** 2


def soft_minus(x):
    return torch.round(x) - (x - torch.round(x)) ** 3


def soft_floor(x):
    return torch.floor(x) + (x - torch.floor(x)) ** 3


def soft_cube(x):
    return x**3


def soft_released(x):
    small = (x.abs() < 0.5).to(x)
    return small * x**3 + (1 - small) * x


def soft_rest(x):
    return (x - torch.round(x)) ** 3


def soft_nothing(x):
    return torch.round(x) + (x - torch.round(x))


def soft_with_floor_of_a_half_more(x):
    near = torch.floor(x + 0.5)
    return near + (x - near).pow(3)


ACCEPTED = {
    "4.1": [power_by_orthonormal_transform, power_by_digits],
    "4.2": [kept_by_polyfit],
    "4.3": [dct_by_roots],
    "4.4": [table_in_whole_numbers],
    "4.5": [zigzag_by_diagonals],
    "4.6": [soft_with_floor_of_a_half_more],
}

MUTANTS = {
    "4.1": [
        Mutant(power_without_window, hint="Lay the window over the plane"),
        Mutant(power_with_mean, hint="Take the plane's mean off"),
        Mutant(power_of_amplitudes, hint="the *square* of the absolute value"),
        Mutant(power_unscaled, hint="must come out at its variance"),
        Mutant(power_by_pixels, hint="The window takes power away"),
        Mutant(power_summed, hint="Average over each ring"),
        Mutant(power_with_corners, hint="belongs to no ring"),
        Mutant(power_to_one, hint="Rings end at the frequency 1/2"),
        Mutant(power_at_edges, hint="the middle of each ring"),
    ],
    "4.2": [
        Mutant(kept_wrapped, hint="wraps around"),
        Mutant(kept_with_the_picture, hint="The picture itself is still in there"),
        Mutant(kept_turned, hint="marked minus plain"),
        Mutant(kept_as_correlation, hint="That is a correlation"),
        Mutant(kept_other_side, hint="not of what became of it"),
        Mutant(kept_mean, hint="A share has no unit"),
        Mutant(kept_sizes, hint="count noise as pattern"),
    ],
    "4.3": [
        Mutant(dct_first_row, hint="The first row is longer"),
        Mutant(dct_unscaled, hint="Rows must have length 1"),
        Mutant(dct_corners, hint="read in their middle"),
        Mutant(dct_whole_periods, hint="k *half* periods"),
        Mutant(dct_sines, hint="These are sines"),
        Mutant(dct_transposed, hint="this is the transpose"),
    ],
    "4.4": [
        Mutant(table_never_refuses, hint="a mistake of the caller"),
        Mutant(table_of_luma, hint="`base` is not used"),
        Mutant(table_one_formula, hint="Below 50 another formula"),
        Mutant(table_other_formula, hint="From 50 on another formula"),
        Mutant(table_by_percent, hint="no percentage of the table"),
        Mutant(table_unrounded_percent, hint="s is a whole number too"),
        Mutant(table_cut_off, hint="not cut off"),
        Mutant(table_not_whole, hint="steps as whole numbers"),
        Mutant(table_without_limits, hint="A step of 0"),
    ],
    "4.5": [
        Mutant(zigzag_turned, hint="goes right first"),
        Mutant(zigzag_one_way, hint="These all go the same way"),
        Mutant(zigzag_rows, hint="That is row by row"),
        Mutant(zigzag_snake, hint="to and fro along the rows"),
        Mutant(zigzag_inverse, hint="which cell is at each place"),
        Mutant(zigzag_from_one, hint="The first place is number 0"),
    ],
    "4.6": [
        Mutant(soft_hard, hint="no slope passes"),
        Mutant(soft_straight, hint="the slope is made up"),
        Mutant(soft_square, hint="A square has no sign"),
        Mutant(soft_minus, hint="do not subtract"),
        Mutant(soft_floor, hint="not down"),
        Mutant(soft_cube, hint="not the number itself"),
        Mutant(soft_released, hint="what the released code does"),
        Mutant(soft_rest, hint="whole number itself is missing"),
        Mutant(soft_nothing, hint="changes nothing at all"),
    ],
}
