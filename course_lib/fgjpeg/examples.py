"""Training examples: a picture, and the real JPEG file of it at a known quality."""

from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from course_lib.attacks.codec import through_jpeg
from course_lib.errors import UsageError
from course_lib.fgjpeg.model import BINS, SIDE
from course_lib.leaves import dead_leaves
from course_lib.photos import PhotoSource
from course_lib.stream import Stream, shelved

BEST = 100
"""Quality of the file that every picture is stored as first."""
SHELF = 512
"""Shorter side at which photographs are kept in memory, in pixels."""
SMALLEST = 128
"""Shortest side of a photograph that can be used."""
NOISE = 4.0
"""Largest σ of the noise that is added to half of the pictures, in gray levels."""


class Pairs(NamedTuple):
    """Pictures and files, uint8, to be divided by 255 on the device.

    Attributes
    ----------
    pictures : (n, 3, t, t) uint8
    files : (n, 3, t, t) uint8
        As read again from the JPEG file of each.
    quality : (n,) float32
        Of the files.
    step : () int64
        Which step this batch is for.
    """

    pictures: Tensor
    files: Tensor
    quality: Tensor
    step: Tensor


def stored(picture: np.ndarray, quality: int) -> np.ndarray:
    """Store a picture as files do here, colour at half the resolution, and read it again."""
    return through_jpeg(picture, quality, halved=True)


def prepared(picture: np.ndarray) -> np.ndarray:
    """Store a picture at the best quality: what a simulator starts from.

    Without this, "colour was halved" would tell a file from a picture at every quality, and a
    predictor would look at nothing else.
    """
    return stored(picture, BEST)


class PairStream(Stream[Pairs]):
    """Batches of pairs in which every quality occurs equally often.

    Parameters
    ----------
    photos, batch_size, seed, leaves, workers, cache_mb
        As for `Stream`; batches are multiples of the number of bins.
    tile : int
        Side in pixels, a multiple of 16.
    between : float
        Share of pairs whose quality lies anywhere, not on a bin.
    """

    def __init__(
        self,
        photos: PhotoSource | None,
        batch_size: int = 24,
        *,
        tile: int = 64,
        between: float = 0.0,
        **settings: Any,
    ) -> None:
        if tile % SIDE or not 32 <= tile <= SHELF:
            raise UsageError(f"A tile of {tile} pixels is impossible: give 32, 48, … {SHELF}.")
        if batch_size % len(BINS):
            raise UsageError(
                f"A batch of {batch_size} cannot hold {len(BINS)} qualities equally often: give a "
                f"multiple of {len(BINS)}."
            )
        self.tile, self.between = tile, between
        super().__init__(photos, batch_size, **settings)

    def _make_ready(self, picture: np.ndarray, number: int) -> np.ndarray:
        return shelved(picture, SHELF, SMALLEST)

    def _leaves(self, rng: np.random.Generator) -> np.ndarray:
        return dead_leaves(2 * self.tile, rng)

    def _made(
        self, items: list[tuple[int, np.random.Generator]], skips: dict[str, str]
    ) -> tuple[np.ndarray, ...]:
        pictures, files, qualities = [], [], []
        for number, rng in items:
            tile = self._noisy(self._cut(self._picture(number, rng, skips), rng), rng)
            quality = BINS[number % len(BINS)]
            if rng.random() < self.between:
                quality = int(rng.integers(BINS[0], BINS[-1] + 1))
            pictures.append(prepared(tile))
            files.append(stored(pictures[-1], quality))
            qualities.append(quality)
        step = items[0][0] // self.pictures_per_batch
        return np.stack(pictures), np.stack(files), np.array(qualities, np.float32), np.array(step)

    def _as_batch(self, batch: Any) -> Pairs:
        pictures, files, quality, step = map(torch.as_tensor, batch)
        return Pairs(pictures.permute(0, 3, 1, 2), files.permute(0, 3, 1, 2), quality, step)

    def _cut(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Cut a square of any size and shrink it to a tile: details are as fine as they come.

        Shrinking also takes away the grid of the file that the photograph came in.
        """
        short = min(picture.shape[:2])
        side = round(np.exp(rng.uniform(np.log(min(1.3 * self.tile, short)), np.log(short))))
        top = rng.integers(0, picture.shape[0] - side + 1)
        left = rng.integers(0, picture.shape[1] - side + 1)
        square = picture[top : top + side, left : left + side]
        how = cv2.INTER_AREA if side > self.tile else cv2.INTER_CUBIC
        tile = cv2.resize(square, (self.tile, self.tile), interpolation=how)
        return tile[:, ::-1] if rng.random() < 0.5 else tile

    def _noisy(self, tile: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add noise to every other tile, as a hidden watermark would."""
        if rng.random() < 0.5:
            return np.ascontiguousarray(tile)
        noise = rng.normal(0, rng.uniform(0, NOISE), tile.shape)
        noisy: np.ndarray = (tile + noise).round().clip(0, 255).astype(np.uint8)
        return noisy
