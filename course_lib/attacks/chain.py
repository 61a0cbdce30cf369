"""Attacks by name, chains of them, and the same attacks on real pictures and files.

A name is a kind and a strength: ``none``; ``jpeg90`` (quality); ``resize75`` (to 75 % and back);
``median3`` (side, px); ``blur1`` (σ, px); ``noise5`` (σ, in 255ths); ``dropout10`` (% of the
pixels); ``contrast80`` (%); ``brightness+20`` (255ths). Results use the same words.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from course_lib.attacks import filters
from course_lib.attacks.codec import real_jpeg, through_jpeg
from course_lib.errors import UsageError

Run = Callable[[Tensor, torch.Generator | None], Tensor]


@dataclass(frozen=True)
class _Kind:
    """A kind of attack: which strengths it has, and what it does at one of them."""

    low: float
    high: float
    words: str
    run: Callable[[Tensor, float, torch.Generator | None], Tensor]
    typical: tuple[float, ...]
    signed: bool = False


KINDS = {
    "jpeg": _Kind(
        *(1, 100, "JPEG of quality {}"), lambda x, q, g: real_jpeg(x, q), (90, 80, 70, 60, 50)
    ),
    "resize": _Kind(
        *(1, 400, "scaled to {} % and back"), lambda x, p, g: filters.rescaled(x, p / 100), (75, 50)
    ),
    "median": _Kind(
        *(3, 5, "median of {0}×{0} pixels"), lambda x, s, g: filters.median_blur(x, int(s)), (3, 5)
    ),
    "blur": _Kind(
        *(0.1, 50, "Gaussian blur, σ = {} px"), lambda x, s, g: filters.gaussian_blur(x, s), (1, 2)
    ),
    "noise": _Kind(
        *(0, 255, "noise, σ = {}/255"),
        lambda x, s, g: filters.gaussian_noise(x, s / 255, g),
        (5, 10),
    ),
    "dropout": _Kind(
        *(0, 100, "{} % of the pixels black"),
        lambda x, p, g: filters.dropout(x, p / 100, g),
        (5, 10),
    ),
    "contrast": _Kind(
        *(0, 400, "contrast at {} %"), lambda x, p, g: filters.contrast(x, p / 100), (80, 120)
    ),
    "brightness": _Kind(
        *(-255, 255, "brightness {:+}/255"),
        lambda x, a, g: filters.brightness(x, a / 255),
        (-20, 20),
        signed=True,
    ),
}
"""All kinds, with the range of their strengths and the strengths that `random_chain` draws."""


@dataclass(frozen=True)
class Attack:
    """One attack on batches of pictures, differentiable.

    Parameters
    ----------
    name : str
        In the vocabulary of this module.
    words : str
        The same for readers.
    run : callable
        Takes pictures (n, 3, h, w) in [0, 1] and a torch Generator on the CPU.
    """

    name: str
    words: str = field(compare=False)
    run: Run = field(repr=False, compare=False)

    def __call__(self, pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Attack pictures (n, 3, h, w); the result is clipped to [0, 1]."""
        return self.run(pictures, generator).clamp(0, 1)

    def __str__(self) -> str:
        return self.name


def parsed(name: str) -> tuple[str, float]:
    """Split the name of an attack into its kind and strength: ``"jpeg70"`` is ``("jpeg", 70)``.

    Raises
    ------
    UsageError
        When the name is not in the vocabulary.
    """
    if name == "none":
        return "none", 0.0
    match = re.fullmatch(r"([a-z]+)([+-]?\d+(?:\.\d+)?)", name)
    kind = KINDS.get(match[1]) if match else None
    if not match or not kind or (match[2][0] in "+-") != kind.signed:
        known = ", ".join(f"{name}{_number(one.typical[0], one)}" for name, one in KINDS.items())
        raise UsageError(f"The attack {name!r} is unknown: give none, or one such as {known}.")
    strength = float(match[2])
    if not kind.low <= strength <= kind.high or (match[1] == "median" and strength not in (3, 5)):
        only = "3 or 5" if match[1] == "median" else f"{kind.low:g} to {kind.high:g}"
        raise UsageError(f"The attack {name!r} is out of range: {match[1]} takes {only}.")
    return match[1], strength


def _number(strength: float, kind: _Kind) -> str:
    return f"{strength:+g}" if kind.signed else f"{strength:g}"


def attack(name: str) -> Attack:
    """Return the attack of a name.

    Parameters
    ----------
    name : str
        ``none``, ``jpeg70``, ``resize50``, ``brightness-20``, …; see this module.

    Raises
    ------
    UsageError
        When the name is not in the vocabulary.
    """
    kind, strength = parsed(name)
    if kind == "none":
        return Attack("none", "nothing", lambda pictures, generator: pictures)
    known = KINDS[kind]
    shown = int(strength) if strength == int(strength) else strength
    return Attack(name, known.words.format(shown), lambda x, g: known.run(x, strength, g))


@dataclass(frozen=True)
class Chain:
    """Attacks one after the other, with 8 bits a channel after each, as a file has.

    Parameters
    ----------
    attacks : sequence of Attack
    seed : int
        Of the generator that the attacks draw from, so that the same chain does the same again.
    """

    attacks: tuple[Attack, ...]
    seed: int = 0

    def __call__(self, pictures: Tensor) -> Tensor:
        """Attack pictures (n, 3, h, w) in [0, 1], differentiably."""
        generator = torch.Generator().manual_seed(self.seed)
        for one in self.attacks:
            pictures = filters.quantized(one(pictures, generator))
        return pictures

    def __str__(self) -> str:
        return " → ".join(one.name for one in self.attacks) + f" (seed {self.seed})"


def chain(names: Sequence[str], seed: int = 0) -> Chain:
    """Return the chain of some attacks, named in their order."""
    return Chain(tuple(attack(name) for name in names), seed)


def random_chain(rng: np.random.Generator, length: tuple[int, int] = (1, 3)) -> Chain:
    """Draw a chain of different kinds of attacks, the last one a JPEG, as on the web.

    Parameters
    ----------
    rng : numpy Generator
    length : (low, high)
        Range of the number of attacks.

    Returns
    -------
    Chain
        It prints itself: ``blur1 → jpeg70 (seed 1234)``.

    Raises
    ------
    UsageError
        When the range is none.
    """
    low, high = length
    if not 1 <= low <= high <= len(KINDS):
        raise UsageError(f"A chain of {low} to {high} attacks: give 1 to {len(KINDS)}.")
    others = [kind for kind in KINDS if kind != "jpeg"]
    kinds = [*rng.permutation(others)[: rng.integers(low, high + 1) - 1], "jpeg"]
    names = [f"{kind}{_number(rng.choice(KINDS[kind].typical), KINDS[kind])}" for kind in kinds]
    return chain(names, int(rng.integers(2**31)))


def published(picture: np.ndarray, name: str, seed: int = 0) -> np.ndarray:
    """Attack a real picture: real JPEG files, OpenCV's filters, 8 bits a channel at every step.

    Parameters
    ----------
    picture : HxWx3 uint8
    name : str
        Of one attack; several are joined by commas, ``"resize75,jpeg70"``.
    seed : int
        Of noise and dropout.

    Returns
    -------
    HxWx3 uint8, of the same size

    Raises
    ------
    UsageError
        When a name is not in the vocabulary.
    """
    rng = np.random.default_rng(seed)
    for one in name.split(","):
        kind, strength = parsed(one.strip())
        picture = _attacked(picture, kind, strength, rng)
    return picture


def _attacked(
    picture: np.ndarray, kind: str, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Do to a uint8 picture what an attack does, with nothing of torch."""
    h, w = picture.shape[:2]
    if kind == "jpeg":
        return through_jpeg(picture, round(strength), halved=True)
    if kind == "resize":
        between = max(round(w * strength / 100), 1), max(round(h * strength / 100), 1)
        down = cv2.INTER_AREA if strength < 100 else cv2.INTER_LINEAR
        small = cv2.resize(picture, between, interpolation=down)
        return cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
    if kind == "median":
        return cv2.medianBlur(picture, int(strength))
    if kind == "blur":
        return cv2.GaussianBlur(picture, (0, 0), strength)
    if kind == "dropout":
        return np.where(rng.random((h, w, 1)) < strength / 100, np.uint8(0), picture)
    values = picture.astype(np.float32)
    if kind == "noise":
        values += strength * rng.standard_normal(picture.shape, np.float32)
    elif kind == "contrast":
        values = 127.5 + strength / 100 * (values - 127.5)
    elif kind == "brightness":
        values += strength
    return np.rint(values).clip(0, 255).astype(np.uint8)
