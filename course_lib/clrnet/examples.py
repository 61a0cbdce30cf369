"""Training examples: pictures, crops of them, two attacks on each crop, and the way back in place.

Source: Q. Ying et al., "Robust Image Protection Countering Cropping Manipulation" (2022), sections
III-B and III-D.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.attacks.codec import real_jpeg
from course_lib.attacks.filters import (
    gaussian_blur,
    gaussian_noise,
    median_blur,
    quantized,
    rescaled,
    resized,
)
from course_lib.attacks.jpeg import jpeg, soft
from course_lib.attacks.simulators import SIMULATORS, jpeg_mixup, slopes_lent
from course_lib.attacks.tamper import free_form_mask, tampered
from course_lib.errors import UsageError
from course_lib.leaves import dead_leaves
from course_lib.photos import PhotoSource
from course_lib.stream import Stream, shelved

Jpeg = Literal["real", "straight", "mixup", "jpeg-ss", "jpeg-mask", "mbrs", "none"]
SMALLEST = 64
"""Shorter side of photographs that are used, in pixels, at least."""
SHELF = 2.0
"""Shorter side at which photographs are kept in memory, in sides of a training picture."""


@dataclass(frozen=True)
class Publication:
    """What happens to protected pictures in training.

    Parameters
    ----------
    area : (low, high)
        r_c: share of the area that is kept.
    uneven : float
        By how much the shares of width and height may differ, at most.
    whole : float
        Share of groups that are not cropped.
    groups : int
        Parts of a batch; each has its own size of crop and its own two attacks.
    plain : float
        Share of views that nothing else happens to.
    jpeg : str
        How files are simulated: ``real``, real files with the slopes of JPEG-SS where slopes are
        wanted; ``straight``, with slopes of 1; ``mixup``, JPEG-Mixup; or a single simulator.
        ``none`` leaves JPEG out.
    qualities : (low, high)
        Range of JPEG qualities.
    stretched : float
        Share of groups that are brought to another size after the crop.
    others : bool
        Whether rescaling, blur and noise are attacks too.
    """

    area: tuple[float, float] = (0.4, 1.0)
    uneven: float = 0.2
    whole: float = 0.05
    groups: int = 2
    plain: float = 0.25
    jpeg: Jpeg = "real"
    qualities: tuple[float, float] = (50, 95)
    stretched: float = 0.15
    others: bool = True


class Cut(NamedTuple):
    """A group of pictures after publication.

    Attributes
    ----------
    views : two (k, 3, h', w') Tensor
        X_atk after two attacks.
    plain : (k, 3, h', w') Tensor
        The same crop before them.
    boxes : (k, 4) Tensor
        Where it was; edges on whole pixels.
    rows : slice
        Which pictures of the batch.
    """

    views: tuple[Tensor, Tensor]
    plain: Tensor
    boxes: Tensor
    rows: slice


def draw_sizes(
    n: int, recipe: Publication, rng: np.random.Generator, strength: float = 1.0
) -> np.ndarray:
    """Draw crops' shares of width and height: (n, 2).

    Their product is uniform in the range of areas, and they differ by no more than `uneven`.
    """
    low, high = recipe.area
    area = rng.uniform(high - (high - low) * (0.3 + 0.7 * strength), high, n)
    # Two shares whose product is given differ by d if the larger is d / 2 + √(d² / 4 + area).
    most = np.minimum(recipe.uneven, 1 - area)
    apart = rng.uniform(-most, most)
    wide = apart / 2 + np.sqrt(apart**2 / 4 + area)
    return np.stack([wide, area / wide], axis=1)


def publish(
    pictures: Tensor, recipe: Publication, rng: np.random.Generator, strength: float = 1.0
) -> list[Cut]:
    """Store protected pictures with 8 bits, crop them, and attack each crop in two ways.

    Gradients pass if pictures have them; without, real codecs are all that is run.

    Parameters
    ----------
    pictures : (n, 3, h, w) Tensor
    recipe : Publication
    rng : numpy Generator
    strength : float
        From 0 (next to nothing happens) to 1.
    """
    pictures = quantized(pictures)
    n, _, height, width = pictures.shape
    cuts, first = [], 0
    for part in pictures.chunk(min(recipe.groups, n)):
        share = draw_sizes(1, recipe, rng, strength)[0]
        if rng.random() < recipe.whole:
            share = np.ones(2)
        w, h = np.rint(share * [width, height]).astype(int)
        left, top = (
            rng.integers(0, width - w + 1, len(part)),
            rng.integers(0, height - h + 1, len(part)),
        )
        plain = torch.stack(
            [one[:, y : y + h, x : x + w] for one, x, y in zip(part, left, top, strict=True)]
        )
        if rng.random() < recipe.stretched:
            size = np.rint(rng.uniform(1, 1 + 0.6 * strength, 2) * [h, w]).astype(int)
            plain = resized(plain, (int(size[0]), int(size[1])))
        views = tuple(quantized(attacked(plain, recipe, rng, strength)) for _ in range(2))
        edges = np.stack([left, top, left + w, top + h], axis=1) / [width, height, width, height]
        boxes = torch.tensor(edges, dtype=torch.float32, device=pictures.device)
        rows = slice(first, first + len(part))
        cuts.append(Cut((views[0], views[1]), plain, boxes, rows))
        first += len(part)
    return cuts


def attacked(
    pictures: Tensor, recipe: Publication, rng: np.random.Generator, strength: float = 1.0
) -> Tensor:
    """Do one thing to pictures: nothing, JPEG, or something else that keeps their size."""
    drawn = rng.random()
    has_jpeg = recipe.jpeg != "none"
    if drawn < recipe.plain or not (has_jpeg or recipe.others):
        return pictures
    if has_jpeg and (not recipe.others or rng.random() < 0.7):
        return through_jpeg(pictures, recipe, rng, strength)
    u = rng.uniform(0.2, 1) * strength
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    attacks: list[Callable[[], Tensor]] = [
        lambda: rescaled(pictures, 1 - 0.4 * u),
        lambda: median_blur(pictures, 3),
        lambda: gaussian_blur(pictures, 0.3 + 0.7 * u),
        lambda: gaussian_noise(pictures, 8 / 255 * u, generator),
    ]
    return attacks[rng.integers(len(attacks))]()


def through_jpeg(
    pictures: Tensor, recipe: Publication, rng: np.random.Generator, strength: float = 1.0
) -> Tensor:
    """Send pictures through JPEG files of qualities drawn for each, or what simulates them."""
    low, high = recipe.qualities
    quality = torch.tensor(rng.uniform(high - (high - low) * strength, high, len(pictures)))
    halved = bool(rng.random() < 0.75)
    kind = recipe.jpeg
    if kind in ("real", "straight"):
        file = real_jpeg(pictures, quality, halved)
        if kind == "straight" or not pictures.requires_grad:
            return file
        # A slope of 1 everywhere would say that the finest waves survive.
        simulated = jpeg(pictures, quality, "4:2:0" if halved else "4:4:4", rounding=soft)
        return slopes_lent(file, simulated)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    if kind == "mixup":
        return jpeg_mixup(pictures, generator, qualities=(low, high))
    if kind not in SIMULATORS:
        known = ", ".join(["real", "straight", "mixup", "none", *SIMULATORS])
        raise UsageError(f"JPEG {kind!r} is unknown: choose one of {known}.")
    return SIMULATORS[kind](pictures, quality, generator)


def zero_padded(views: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Put views back to where they were, at the size that they had there; zeros elsewhere (ZR).

    Parameters
    ----------
    views : (n, c, h', w') Tensor
        Of any size; those larger than their box are averaged.
    boxes : (n, 4) Tensor
        (x1, y1, x2, y2), fractions of the whole picture. Gradients reach them: a box that moves
        moves what is seen.
    size : (height, width)
        Of the whole picture.

    Returns
    -------
    (n, c, height, width) Tensor
        Exactly the views in their places, where boxes have their sizes in whole pixels.
    """
    h, w = views.shape[-2:]
    rows = placing(boxes[:, 1], boxes[:, 3], h, size[0])
    columns = placing(boxes[:, 0], boxes[:, 2], w, size[1])
    return rows[:, None] @ (views @ columns[:, None].mT)


def placing(low: Tensor, high: Tensor, old: int, new: int) -> Tensor:
    """Return how much each of a view's pixels adds to each of the whole: (n, new, old)."""
    center = (torch.arange(new, device=low.device) + 0.5) / new
    low, high = low[:, None], high[:, None]
    place = (center - low) / (high - low).clamp(min=1e-3) * old - 0.5
    step = (old / new / (high - low).clamp(min=1e-3)).clamp(min=1)[..., None]
    pixel = torch.arange(old, device=low.device)
    hat = (1 - (place.clamp(0, old - 1)[..., None] - pixel).abs() / step).clamp(min=0)
    weights = hat / hat.sum(2, keepdim=True)
    inside = (center > low) & (center < high)
    return weights * inside[..., None]


def lost_pixels(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Mark what lies outside boxes: (n, 4) to (n, 1, height, width), 1 where it is lost."""
    y = (torch.arange(size[0], device=boxes.device) + 0.5) / size[0]
    x = (torch.arange(size[1], device=boxes.device) + 0.5) / size[1]
    low_x, low_y, high_x, high_y = boxes.detach().unbind(1)
    rows = (y > low_y[:, None]) & (y < high_y[:, None])
    columns = (x > low_x[:, None]) & (x < high_x[:, None])
    return 1 - (rows[:, :, None] & columns[:, None, :])[:, None].float()


def augmented(pictures: Tensor, rng: np.random.Generator, share: float = 0.15) -> Tensor:
    """Paste parts of other pictures of the batch into some, by free-form strokes (section III-D).

    What was pasted cannot be guessed from what is around it: it must be hidden to come back.

    Parameters
    ----------
    pictures : (n, 3, h, w) Tensor
    rng : numpy Generator
    share : float
        r_aug, how many are changed.
    """
    n, _, h, w = pictures.shape
    masks = np.zeros((n, h, w), bool)
    for mask in masks:
        if rng.random() < share:
            mask[:] = free_form_mask((h, w), rng)
    return tampered(pictures, pictures.roll(1, 0), masks) if masks.any() else pictures


def moved_along(pictures: Tensor, boxes: Tensor, found: Tensor) -> Tensor:
    """Move pictures as their boxes were moved (Aff): the truth for a box that is a little wrong.

    Parameters
    ----------
    pictures : (n, 3, h, w) Tensor
    boxes, found : (n, 4) Tensor
        True and predicted. What lay in the true box lies in the predicted one afterwards.

    Source: section III-F.
    """
    factor = (boxes[:, 2:] - boxes[:, :2]) / (found[:, 2:] - found[:, :2])
    # grid_sample counts from -1 to 1: x of the source = factor · x of the result + shift.
    middle, aim = boxes[:, :2] + boxes[:, 2:] - 1, found[:, :2] + found[:, 2:] - 1
    shift = middle - factor * aim
    zero = torch.zeros_like(factor[:, 0])
    theta = torch.stack(
        [
            torch.stack([factor[:, 0], zero, shift[:, 0]], dim=1),
            torch.stack([zero, factor[:, 1], shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


class Squares(NamedTuple):
    """Pictures, uint8, to be divided by 255 on the device.

    Attributes
    ----------
    pictures : (n, 3, side, side) uint8
    step : () int64
        Which step this batch is for.
    """

    pictures: Tensor
    step: Tensor


class SquareStream(Stream[Squares]):
    """Batches of whole pictures: squares cut from photographs, brought to one size.

    Parameters
    ----------
    photos, batch_size, seed, leaves, workers, cache_mb
        As for `Stream`.
    side : int
        Of the pictures in pixels.
    """

    def __init__(
        self, photos: PhotoSource | None, batch_size: int = 8, *, side: int = 128, **settings: Any
    ) -> None:
        if not 32 <= side <= 1024:
            raise UsageError(f"Pictures of {side} pixels are impossible: give 32 to 1024.")
        self.side = side
        super().__init__(photos, batch_size, **settings)

    def _make_ready(self, picture: np.ndarray, number: int) -> np.ndarray:
        return shelved(picture, SHELF * self.side, SMALLEST)

    def _leaves(self, rng: np.random.Generator) -> np.ndarray:
        return dead_leaves(self.side, rng)

    def _made(
        self, items: list[tuple[int, np.random.Generator]], skips: dict[str, str]
    ) -> tuple[Any, ...]:
        pictures = [self._cut(self._picture(number, rng, skips), rng) for number, rng in items]
        return np.stack(pictures), np.array(items[0][0] // self.pictures_per_batch)

    def _as_batch(self, batch: Any) -> Squares:
        pictures, step = map(torch.as_tensor, batch)
        return Squares(pictures.permute(0, 3, 1, 2), step)

    def _cut(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Cut a square of 60 to 100 % of the shorter side, flipped or not."""
        height, width = picture.shape[:2]
        cut = round(min(height, width) * rng.uniform(0.6, 1))
        top, left = rng.integers(0, height - cut + 1), rng.integers(0, width - cut + 1)
        square = picture[top : top + cut, left : left + cut]
        how = cv2.INTER_AREA if cut > self.side else cv2.INTER_CUBIC
        square = cv2.resize(square, (self.side, self.side), interpolation=how)
        return square[:, ::-1] if rng.random() < 0.5 else square
