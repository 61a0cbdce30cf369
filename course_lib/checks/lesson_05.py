"""Checks of the exercises of lesson 05, networks that run backwards."""

from collections.abc import Callable, Iterator
from math import log, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.invertible import (
    affine_couple,
    bounded_scale,
    convolution_norm,
    haar_down,
    haar_up,
    log_likelihood,
    uncouple,
)
from course_lib.teach.check import Exercise, Misconception, register

Rng = np.random.Generator
Trials = Iterator[tuple[Any, ...]]
Pair = tuple[Tensor, Tensor]


def _normal(rng: Rng, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


class RandomFunction:
    """A function without an inverse: its numbers are mixed, squashed, and rounded.

    Parameters
    ----------
    name : str
        What it is called where a counterexample is printed.
    mix : (channels, channels) Tensor
    outputs : int
        How many results it returns: one, or a pair of small scales and shifts.
    """

    def __init__(self, name: str, mix: Tensor, outputs: int = 1) -> None:
        self.name, self.mix, self.outputs = name, mix, outputs

    def __call__(self, part: Tensor) -> Any:
        """Compute from one part something for the other."""
        found = torch.einsum("ij,nj...->ni...", self.mix, part).tanh()
        shift = torch.round(found, decimals=1)
        return shift if self.outputs == 1 else (0.5 * found.flip(1) + 0.1, shift)

    def __repr__(self) -> str:
        return self.name


def _coupled(outputs: int) -> Callable[[Rng], Trials]:
    def trials(rng: Rng) -> Trials:
        for _ in range(5):
            n, channels = int(rng.integers(1, 4)), int(rng.integers(1, 4))
            shape = (n, channels, *(int(side) for side in rng.integers(1, 4, rng.integers(0, 3))))
            mixes = (_normal(rng, channels, channels) for _ in range(2))
            names = ("to_first", "to_second")
            functions = [
                RandomFunction(name, mix, outputs) for name, mix in zip(names, mixes, strict=True)
            ]
            yield _normal(rng, *shape), _normal(rng, *shape), *functions

    return trials


# 5.1


def _uncoupled(how: str) -> Callable[..., Pair]:
    def model(a: Tensor, b: Tensor, to_first: Any, to_second: Any) -> Pair:
        if how == "first step first":
            a = a - to_first(b)
            return a, b - to_second(a)
        if how == "old b":
            return a - to_first(b), b - to_second(a)
        if how == "added":
            b = b + to_second(a)
            return a + to_first(b), b
        if how == "functions swapped":
            b = b - to_first(a)
            return a - to_second(b), b
        b = b - to_second(a)
        a = a - to_first(b)
        return b, a

    return model


register(
    Exercise(
        "5.1",
        "undo a coupling",
        uncouple,
        _coupled(1),
        misconceptions=(
            Misconception(
                "These are the right steps in the order of the way there. Undo the last one first.",
                _uncoupled("first step first"),
            ),
            Misconception(
                "`couple` moved a by what the *original* b tells. Use b after it was put back.",
                _uncoupled("old b"),
            ),
            Misconception("What was added must be subtracted.", _uncoupled("added")),
            Misconception(
                "The two functions are mixed up: `to_second` reads a and moves b.",
                _uncoupled("functions swapped"),
            ),
            Misconception("Return a first, then b.", _uncoupled("returned b, a")),
        ),
        rtol=1e-4,
        atol=1e-5,
    )
)


# 5.2


def _found(rng: Rng) -> Trials:
    for _ in range(5):
        n, channels, h, w = (int(size) for size in rng.integers(1, 4, 4))
        spread = float(rng.uniform(0.5, 20))
        yield spread * _normal(rng, n, 2 * channels, h, w), float(rng.uniform(0.3, 3.0))


def _scales_by_sigmoid(found: Tensor, limit: float = 1.0) -> Pair:
    channels = found.shape[1] // 2
    numbers = found[:, :channels].numpy().astype(np.float64)
    scales = limit * (2 / (1 + np.exp(-numbers)) - 1)
    return torch.from_numpy(scales.astype(np.float32)), found[:, channels:]


def _scales(how: str) -> Callable[..., Pair]:
    def model(found: Tensor, limit: float = 1.0) -> Pair:
        s, shift = found.chunk(2, dim=1)
        if how == "halves swapped":
            s, shift = shift, s
        elif how == "interleaved":
            s, shift = found[:, ::2], found[:, 1::2]
        bounded = limit * torch.tanh(s / 2)
        other = {
            "no limit": torch.tanh(s / 2),
            "plain sigmoid": limit * torch.sigmoid(s),
            "twice as steep": limit * torch.tanh(s),
            "clamped": s.clamp(-limit, limit),
            "exponential": bounded.exp(),
        }
        if how == "shift as well":
            shift = limit * torch.tanh(shift / 2)
        return other.get(how, bounded), shift

    return model


register(
    Exercise(
        "5.2",
        "keep scales within a limit",
        bounded_scale,
        _found,
        oracle=_scales_by_sigmoid,
        misconceptions=(
            Misconception(
                "`limit` is not used: it multiplies the bounded number.", _scales("no limit")
            ),
            Misconception(
                "σ(s) lies between 0 and 1, so no scale could shrink anything. The formula is "
                "2 σ(s) − 1.",
                _scales("plain sigmoid"),
            ),
            Misconception(
                "This is twice as steep: 2 σ(s) − 1 is the hyperbolic tangent of *half* of s.",
                _scales("twice as steep"),
            ),
            Misconception(
                "Cutting off at the limit stops the gradient there. Bend smoothly, with σ.",
                _scales("clamped"),
            ),
            Misconception(
                "Return the *logarithm* of the scale; the exponential is taken by the coupling.",
                _scales("exponential"),
            ),
            Misconception(
                "Shifts need no bound: return them as they are.", _scales("shift as well")
            ),
            Misconception(
                "The first half of the channels are scales, the second half shifts.",
                _scales("halves swapped"),
            ),
            Misconception(
                "The channels are two halves behind each other, not every other one.",
                _scales("interleaved"),
            ),
        ),
        atol=1e-6,
    )
)


# 5.3


def _affine(how: str) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    def step(part: Tensor, log_scale: Tensor, shift: Tensor) -> Tensor:
        if how == "no exponential":
            return part * log_scale + shift
        if how == "shifted first":
            return (part + shift) * log_scale.exp()
        return part * log_scale.exp() + shift

    def model(a: Tensor, b: Tensor, to_first: Any, to_second: Any) -> tuple[Tensor, Tensor, Tensor]:
        if how == "second first":
            other, shift = to_second(a)
            new_b = step(b, other, shift)
            one, shift = to_first(new_b)
            new_a = step(a, one, shift)
        else:
            one, shift = to_first(b)
            new_a = step(a, one, shift)
            other, shift = to_second(a if how == "old a" else new_a)
            new_b = step(b, other, shift)
        total = one.flatten(1).sum(1) + other.flatten(1).sum(1)
        if how == "first alone":
            total = one.flatten(1).sum(1)
        elif how == "whole batch":
            total = one.sum() + other.sum()
        elif how == "mean":
            total = one.flatten(1).mean(1) + other.flatten(1).mean(1)
        elif how == "scales":
            total = one.exp().flatten(1).sum(1) + other.exp().flatten(1).sum(1)
        return new_a, new_b, total

    return model


register(
    Exercise(
        "5.3",
        "an affine coupling and its volume",
        affine_couple,
        _coupled(2),
        oracle=_affine("right"),
        misconceptions=(
            Misconception(
                "The second step reads the part a as the *first step left it*, or there is no way "
                "back.",
                _affine("old a"),
            ),
            Misconception("The first part moves first, then the second.", _affine("second first")),
            Misconception(
                "The functions return the *logarithm* of a scale: take its exponential.",
                _affine("no exponential"),
            ),
            Misconception("Scale first, then shift.", _affine("shifted first")),
            Misconception(
                "The second step changes volumes too: add its logarithms.", _affine("first alone")
            ),
            Misconception(
                "log_det is one number a *sample*, not one for the batch.", _affine("whole batch")
            ),
            Misconception("Logarithms of volumes add up: a sum, no mean.", _affine("mean")),
            Misconception(
                "The determinant is the product of the scales, so its logarithm is the sum of "
                "their logarithms.",
                _affine("scales"),
            ),
        ),
        rtol=1e-4,
        atol=1e-5,
    )
)


# 5.4


def _noise(rng: Rng) -> Trials:
    for _ in range(5):
        n = int(rng.integers(1, 5))
        shape = (n, *(int(side) for side in rng.integers(1, 5, rng.integers(1, 4))))
        yield float(rng.uniform(0.3, 2.0)) * _normal(rng, *shape), 2 * _normal(rng, n) + 1


def _likelihood_by_loops(z: Tensor, log_det: Tensor) -> Tensor:
    found = []
    for sample, volume in zip(z, log_det, strict=True):
        densities = [np.exp(-(x**2) / 2) / np.sqrt(2 * pi) for x in sample.flatten().tolist()]
        found.append(float(np.log(densities).sum()) + float(volume))
    return torch.tensor(found, dtype=z.dtype)


def _likelihood(how: str) -> Callable[[Tensor, Tensor], Tensor]:
    def model(z: Tensor, log_det: Tensor) -> Tensor:
        square, numbers = (z**2).flatten(1), z[0].numel()
        normal = -(square + log(2 * pi)).sum(1) / 2
        return {
            "subtracted": normal - log_det,
            "no constant": -square.sum(1) / 2 + log_det,
            "constant once": -(square.sum(1) + log(2 * pi)) / 2 + log_det,
            "mean": normal / numbers + log_det,
            "not halved": 2 * normal + log_det,
            "loss": -normal - log_det,
            "no volume": normal,
            "averaged": (normal + log_det).mean(),
        }[how]

    return model


register(
    Exercise(
        "5.4",
        "the density of data",
        log_likelihood,
        _noise,
        oracle=_likelihood_by_loops,
        misconceptions=(
            Misconception(
                "The sign of the volume: where the network stretches, a little data becomes much "
                "noise, so the data was dense. Add log_det.",
                _likelihood("subtracted"),
            ),
            Misconception("log_det is not used.", _likelihood("no volume")),
            Misconception(
                "The normal density has a factor 1/√(2π) for *each* number of a sample.",
                _likelihood("constant once"),
            ),
            Misconception(
                "A density must integrate to one: the constant ln 2π is missing.",
                _likelihood("no constant"),
            ),
            Misconception(
                "Densities of independent numbers multiply: sum logarithms, do not average.",
                _likelihood("mean"),
            ),
            Misconception(
                "The exponent of a normal density is −z²/**2**.", _likelihood("not halved")
            ),
            Misconception(
                "That is the loss. Return the log likelihood itself, without a minus.",
                _likelihood("loss"),
            ),
            Misconception("One number for each sample, please.", _likelihood("averaged")),
        ),
        rtol=1e-4,
        atol=1e-4,
    )
)


# 5.5


def _kernels(rng: Rng) -> Trials:
    for _ in range(5):
        outputs, inputs = (int(count) for count in rng.integers(1, 4, 2))
        k = int(rng.integers(2, 4))
        size = (int(rng.integers(k + 2, 8)), int(rng.integers(k + 2, 8)))
        yield _normal(rng, outputs, inputs, k, k), size


def _norm_of_the_matrix(weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Write the convolution as one matrix, with a block for each pair of pixels."""
    outputs, inputs, k, _ = weight.shape
    height, width = size
    matrix = np.zeros((outputs, height, width, inputs, height, width))
    for y, x, i, j in np.ndindex(height, width, k, k):
        matrix[:, y, x, :, (y + i) % height, (x + j) % width] += weight[..., i, j].numpy()
    whole = matrix.reshape(outputs * height * width, -1)
    return torch.tensor(np.linalg.norm(whole, 2), dtype=weight.dtype)


def _norm(how: str) -> Callable[[Tensor, tuple[int, int]], Tensor]:
    def model(weight: Tensor, size: tuple[int, int]) -> Tensor:
        spectrum = torch.fft.fft2(weight, s=None if how == "not padded" else size)
        matrices = spectrum.permute(2, 3, 0, 1)
        values = torch.linalg.svdvals(matrices)
        if how == "kernel as a matrix":
            return torch.linalg.svdvals(weight.flatten(1)).max()
        if how == "frobenius":
            return weight.square().sum().sqrt()
        if how == "absolute sum":
            return weight.abs().sum((1, 2, 3)).max()
        if how == "frequency zero":
            return values[0, 0].max()
        if how == "real part":
            return torch.linalg.svdvals(matrices.real).max()
        if how == "axes not moved":
            return torch.linalg.svdvals(spectrum).max()
        if how == "channels apart":
            return spectrum.abs().max()
        if how == "mean":
            return values[..., 0].mean()
        if how == "all":
            return values[..., 0]
        return values.max()

    return model


register(
    Exercise(
        "5.5",
        "how much a convolution stretches",
        convolution_norm,
        _kernels,
        oracle=_norm_of_the_matrix,
        misconceptions=(
            Misconception(
                "That is the norm of the kernel written as a matrix, which spectral normalisation "
                "uses. The windows of a convolution overlap, so it may stretch by more.",
                _norm("kernel as a matrix"),
            ),
            Misconception(
                "That is the length of all weights together. Ask for the largest *singular value*.",
                _norm("frobenius"),
            ),
            Misconception(
                "A sum of absolute weights bounds the largest pixel, not the length of a picture.",
                _norm("absolute sum"),
            ),
            Misconception(
                "This looks at constant pictures only. Other frequencies may be stretched more.",
                _norm("frequency zero"),
            ),
            Misconception(
                "The kernel must be padded to the picture's size before the transform: `s=size`.",
                _norm("not padded"),
            ),
            Misconception(
                "The spectrum is complex, and its imaginary part counts.", _norm("real part")
            ),
            Misconception(
                "The matrices are outputs × inputs, one a frequency: move the frequencies to the "
                "front.",
                _norm("axes not moved"),
            ),
            Misconception(
                "Channels act together: take singular values of matrices, not single numbers.",
                _norm("channels apart"),
            ),
            Misconception("The worst frequency counts, not the average one.", _norm("mean")),
            Misconception("Return one number, the largest over all frequencies.", _norm("all")),
        ),
        rtol=1e-3,
        atol=1e-4,
    )
)


# 5.6 and 5.7

SIGNS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], np.float32) / 2
"""Rows: means, along x, along y, along both; columns: the pixels of a block, row by row."""


def _even_pictures(rng: Rng) -> Trials:
    for _ in range(5):
        n, channels, high, wide = (int(size) for size in rng.integers(1, 4, 4))
        yield (_normal(rng, n, channels, 2 * high, 2 * wide),)


def _bands(rng: Rng) -> Trials:
    for _ in range(5):
        n, channels, high, wide = (int(size) for size in rng.integers(1, 4, 4))
        yield (_normal(rng, n, 4 * channels, high, wide),)


def _down_by_loops(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    found = torch.zeros(n, 4 * c, h // 2, w // 2)
    for i, channel, row, column in np.ndindex(n, c, h // 2, w // 2):
        block = x[i, channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(4)
        found[i, 4 * channel : 4 * channel + 4, row, column] = torch.from_numpy(SIGNS) @ block
    return found


def _up_by_loops(bands: Tensor) -> Tensor:
    n, c, h, w = bands.shape
    found = torch.zeros(n, c // 4, 2 * h, 2 * w)
    for i, channel, row, column in np.ndindex(n, c // 4, h, w):
        block = torch.from_numpy(SIGNS.T) @ bands[i, 4 * channel : 4 * channel + 4, row, column]
        rows, columns = slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2)
        found[i, channel, rows, columns] = block.reshape(2, 2)
    return found


def _down(how: str) -> Callable[[Tensor], Tensor]:
    def model(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        pixels = [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
        if how == "quadrants":
            halves = (slice(h // 2), slice(h // 2, h)), (slice(w // 2), slice(w // 2, w))
            pixels = [x[..., rows, columns] for rows in halves[0] for columns in halves[1]]
        signs = torch.from_numpy(SIGNS)
        if how == "turned signs":
            signs = signs * torch.tensor([[1.0], [-1], [-1], [1]])
        bands = torch.einsum("bp,pncij->ncbij", signs, torch.stack(pixels))
        if how == "x and y swapped":
            bands = bands[:, :, [0, 2, 1, 3]]
        if how == "band by band":
            bands = bands.swapaxes(1, 2)
        factor = {"no half": 2.0, "a quarter": 0.5}.get(how, 1.0)
        return factor * bands.reshape(n, 4 * c, h // 2, w // 2)

    return model


def _up(how: str) -> Callable[[Tensor], Tensor]:
    def model(bands: Tensor) -> Tensor:
        n, c, h, w = bands.shape
        split = bands.reshape(n, c // 4, 4, h, w)
        if how == "band by band":
            split = bands.reshape(n, 4, c // 4, h, w).swapaxes(1, 2)
        if how == "x and y swapped":
            split = split[:, :, [0, 2, 1, 3]]
        signs = torch.from_numpy(SIGNS)
        if how == "turned signs":
            signs = signs * torch.tensor([[1.0], [-1], [-1], [1]])
        pixels = torch.einsum("bp,ncbij->ncijp", signs, split).reshape(n, c // 4, h, w, 2, 2)
        order = (0, 1, 4, 2, 5, 3) if how == "quadrants" else (0, 1, 2, 4, 3, 5)
        factor = {"no half": 2.0, "a quarter": 0.5}.get(how, 1.0)
        return factor * pixels.permute(order).reshape(n, c // 4, 2 * h, 2 * w)

    return model


register(
    Exercise(
        "5.6",
        "split a picture into bands",
        haar_down,
        _even_pictures,
        oracle=_down_by_loops,
        misconceptions=(
            Misconception(
                "The factor ½ is missing: without it every length doubles.", _down("no half")
            ),
            Misconception(
                "The factor is ½, not ¼: the rows of the matrix must have length 1.",
                _down("a quarter"),
            ),
            Misconception(
                "The second band holds differences along x (left minus right), the third along y.",
                _down("x and y swapped"),
            ),
            Misconception(
                "Differences are left minus right, and top minus bottom.", _down("turned signs")
            ),
            Misconception(
                "The four bands of one channel follow each other: channel 0's four first.",
                _down("band by band"),
            ),
            Misconception(
                "A block is 2 × 2 *neighbouring* pixels: x[..., 0::2, 0::2], not a quarter of the "
                "picture.",
                _down("quadrants"),
            ),
        ),
        atol=1e-6,
    )
)

register(
    Exercise(
        "5.7",
        "put bands together",
        haar_up,
        _bands,
        oracle=_up_by_loops,
        misconceptions=(
            Misconception(
                "The factor ½ is missing on the way back: the matrix is its own inverse with it.",
                _up("no half"),
            ),
            Misconception(
                "The factor is ½ in both directions, not ¼ in one of them.", _up("a quarter")
            ),
            Misconception(
                "The second band says left minus right: its sign changes from column to column.",
                _up("x and y swapped"),
            ),
            Misconception(
                "The upper left pixel is half the sum of all four bands; each other pixel takes "
                "two of the bands off instead.",
                _up("turned signs"),
            ),
            Misconception(
                "Every four planes in a row belong to one channel: unflatten to (channels, 4).",
                _up("band by band"),
            ),
            Misconception(
                "The pixels of a block are neighbours: interleave rows and columns, do not lay "
                "quarters side by side.",
                _up("quadrants"),
            ),
        ),
        atol=1e-6,
    )
)
