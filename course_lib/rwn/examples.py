"""Training examples: a picture, a watermark, and what the network's output has to survive."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from course_lib.attacks.codec import real_jpeg
from course_lib.attacks.crops import draw_boxes, stretched
from course_lib.attacks.filters import (
    brightness,
    contrast,
    gaussian_blur,
    gaussian_noise,
    median_blur,
    quantized,
    rescaled,
)
from course_lib.attacks.jpeg import jpeg, soft
from course_lib.attacks.simulators import SIMULATORS, jpeg_mixup, slopes_lent
from course_lib.errors import UsageError
from course_lib.leaves import dead_leaves
from course_lib.photos import PhotoSource
from course_lib.rwn.match import SIDE
from course_lib.rwn.watermarks import prepared
from course_lib.stream import Stream, shelved

Jpeg = Literal["real", "straight", "mixup", "both", "jpeg-ss", "jpeg-mask", "mbrs", "none"]
CANVAS = SIDE
"""Side at which pictures are protected, in pixels (section III-C)."""
SOFTNESS = 2.0, 3.5
"""Range of the blur of training watermarks, σ in pixels."""
SHELF = 512
"""Shorter side at which photographs are kept in memory, in pixels."""


@dataclass(frozen=True)
class Publication:
    """What happens to protected pictures in training.

    Parameters
    ----------
    crops : (low, high)
        Share of each side that is kept.
    whole : float
        Share of groups that are not cropped.
    groups : int
        Parts of a batch; each gets its own size of crop and its own attack.
    jpeg : str
        How files are simulated: ``real`` files with the slopes of JPEG-SS; ``straight``, real files
        with slopes of 1; ``mixup``, JPEG-Mixup; ``both``, real two times out of three, else the
        mixture; or a single simulator. ``none`` leaves JPEG out.
    qualities : (low, high)
        Range of JPEG qualities.
    others : bool
        Whether scaling, blur, noise and light are attacks too.
    """

    crops: tuple[float, float] = (0.5, 1.0)
    whole: float = 0.15
    groups: int = 4
    jpeg: Jpeg = "both"
    qualities: tuple[float, float] = (40, 95)
    others: bool = True


def publish(
    pictures: Tensor, recipe: Publication, rng: np.random.Generator, strength: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Store protected pictures with 8 bits, crop, attack, and stretch them back to full size.

    Parameters
    ----------
    pictures : (n, 3, h, w) Tensor
    recipe : Publication
    rng : numpy Generator
    strength : float
        From 0 (next to nothing happens) to 1.

    Returns
    -------
    seen : (n, 3, h, w) Tensor in [0, 1]
    boxes : (n, 4) Tensor
        Edges on whole pixels, as fractions.
    """
    pictures = quantized(pictures)
    n, _, height, width = pictures.shape
    seen, boxes = [], []
    for part in pictures.chunk(min(recipe.groups, n)):
        box = _boxes(len(part), height, width, recipe, rng, strength)
        pixels = (box * torch.tensor([width, height, width, height])).round().long()
        cut = [
            one[:, top:bottom, left:right]
            for one, (left, top, right, bottom) in zip(part, pixels.tolist(), strict=True)
        ]
        attacked = _attack(torch.stack(cut), recipe, rng, strength)
        whole = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(len(part), 4)
        seen.append(stretched(attacked, whole, (height, width)))
        boxes.append(box)
    return torch.cat(seen), torch.cat(boxes).to(pictures.device)


def _boxes(
    n: int, height: int, width: int, recipe: Publication, rng: np.random.Generator, strength: float
) -> Tensor:
    """Draw crops of one size at n places, edges on whole pixels."""
    low, high = recipe.crops
    if rng.random() < recipe.whole:
        low = high = 1.0
    low = high - (high - low) * (0.3 + 0.7 * strength)
    x1, y1, x2, y2 = draw_boxes(1, rng, low, high)[0].tolist()
    size = round((x2 - x1) * width), round((y2 - y1) * height)
    left = rng.integers(0, width - size[0] + 1, n)
    top = rng.integers(0, height - size[1] + 1, n)
    edges = np.stack([left, top, left + size[0], top + size[1]], axis=1)
    return torch.tensor(edges / [width, height, width, height], dtype=torch.float32)


def _attack(
    pictures: Tensor, recipe: Publication, rng: np.random.Generator, strength: float
) -> Tensor:
    """Do one thing to pictures: nothing, JPEG as often as not, or something else."""
    drawn = rng.random()
    if drawn < 0.12 or (recipe.jpeg == "none" and not recipe.others):
        return pictures
    if (drawn < 0.62 or not recipe.others) and recipe.jpeg != "none":
        return _through_jpeg(pictures, recipe, rng, strength)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    u = rng.uniform(0.2, 1) * strength
    sign = rng.choice([-1, 1])
    attacks: list[Callable[[], Tensor]] = [
        lambda: rescaled(pictures, 1 - 0.5 * u),
        lambda: median_blur(pictures, 5 if u > 0.6 else 3),
        lambda: gaussian_blur(pictures, 0.3 + 1.2 * u),
        lambda: gaussian_noise(pictures, 10 / 255 * u, generator),
        lambda: contrast(brightness(pictures, sign * 0.1 * u), 1 + 0.25 * u * sign),
    ]
    chosen = rng.choice(len(attacks), p=[0.28, 0.28, 0.1, 0.28, 0.06])
    return attacks[chosen]()


def _through_jpeg(
    pictures: Tensor, recipe: Publication, rng: np.random.Generator, strength: float
) -> Tensor:
    low, high = recipe.qualities
    low = high - (high - low) * strength
    quality = torch.tensor(rng.uniform(low, high, len(pictures)), dtype=torch.float32)
    kind = recipe.jpeg if recipe.jpeg != "both" else rng.choice(["real", "mixup"], p=[2 / 3, 1 / 3])
    halved = bool(rng.random() < 0.75)
    if kind == "straight":
        return real_jpeg(pictures, quality, halved)
    if kind == "real":
        # The slope of 1 of a straight-through file would say that the finest waves survive.
        soft_file = jpeg(pictures, quality, "4:2:0" if halved else "4:4:4", rounding=soft)
        return slopes_lent(real_jpeg(pictures, quality, halved), soft_file)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    if kind == "mixup":
        # The paper's range of qualities is 10 to 100; ramped as all attacks are.
        return jpeg_mixup(pictures, generator, qualities=(100 - 90 * strength, 100))
    if kind not in SIMULATORS:
        known = ", ".join(["real", "straight", "mixup", "both", "none", *SIMULATORS])
        raise UsageError(f"JPEG {kind!r} is unknown: choose one of {known}.")
    return SIMULATORS[kind](pictures, quality, generator)


class Tiles(NamedTuple):
    """Pictures and watermarks, uint8, to be divided by 255 on the device.

    Attributes
    ----------
    pictures : (n, 3, t, t) uint8
    watermarks : (n, 1, t, t) uint8
    step : () int64
        Which step this batch is for.
    """

    pictures: Tensor
    watermarks: Tensor
    step: Tensor


class TileStream(Stream[Tiles]):
    """Batches of tiles, cut from pictures as large as those that will be protected.

    A tile shows what a tile of a `CANVAS` px wide picture would show, so a network that is trained
    on tiles, which is quick, works on whole pictures: all it does is local. Watermarks are cut
    from other photographs of the stream (or leaves), made ready as all watermarks are.

    Parameters
    ----------
    photos, batch_size, seed, leaves, workers, cache_mb
        As for `Stream`.
    tile : int
        Side in pixels, up to `CANVAS`.
    """

    def __init__(
        self, photos: PhotoSource | None, batch_size: int = 8, *, tile: int = 128, **settings: Any
    ) -> None:
        if not 32 <= tile <= CANVAS:
            raise UsageError(f"A tile of {tile} pixels is impossible: give 32 to {CANVAS}.")
        self.tile = tile
        super().__init__(photos, batch_size, **settings)

    def _make_ready(self, picture: np.ndarray, number: int) -> np.ndarray:
        return shelved(picture, SHELF, CANVAS // 2)

    def _leaves(self, rng: np.random.Generator) -> np.ndarray:
        return dead_leaves(CANVAS, rng)

    def _made(
        self, items: list[tuple[int, np.random.Generator]], skips: dict[str, str]
    ) -> tuple[Any, ...]:
        pictures, watermarks = [], []
        for number, rng in items:
            pictures.append(self._cut(self._picture(number, rng, skips), rng))
            other = int(rng.integers(len(self._shelf))) if self._shelf is not None else 0
            watermarks.append(self._watermark(self._picture(other, rng, skips), rng))
        step = items[0][0] // self.pictures_per_batch
        return np.stack(pictures), np.stack(watermarks)[..., None], np.array(step)

    def _as_batch(self, batch: Any) -> Tiles:
        pictures, watermarks, step = map(torch.as_tensor, batch)
        return Tiles(pictures.permute(0, 3, 1, 2), watermarks.permute(0, 3, 1, 2), step)

    def _cut(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Cut a tile as a picture squared to `CANVAS` pixels would show it, flipped or not."""
        short = min(picture.shape[:2])
        side = int(np.clip(short * self.tile / CANVAS * rng.uniform(0.7, 1.25), 32, short))
        tile = _random_square(picture, side, rng)
        how = cv2.INTER_AREA if side > self.tile else cv2.INTER_CUBIC
        tile = cv2.resize(tile, (self.tile, self.tile), interpolation=how)
        return tile[:, ::-1] if rng.random() < 0.5 else tile

    def _watermark(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        whole = prepared(gray, softness=rng.uniform(*SOFTNESS))
        return _random_square((255 * whole).round().astype(np.uint8), self.tile, rng)


def _random_square(picture: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    top = rng.integers(0, picture.shape[0] - side + 1)
    left = rng.integers(0, picture.shape[1] - side + 1)
    return picture[top : top + side, left : left + side]
