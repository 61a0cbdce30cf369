"""Training examples without end, for crop detectors and for patch networks."""

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import Box
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.photos import PhotoSource
from course_lib.stream import Stream
from course_lib.traces.camera import LIKE_MEASURED, PLAIN, Camera, Lenses
from course_lib.traces.examples import (
    ASPECT,
    COURSE,
    DEFENDED,
    Defences,
    Example,
    Scale,
    make_example,
    patch_batch,
    pave,
    prepare,
)

TILE = 384
"""Side of the dead leaves of which pictures for patches are laid, in pixels."""
LEAVES_TILE = 192
"""Side of the dead leaves of which the patches of an example are laid, in pixels."""
SMALLEST_TILE = 64
"""Shorter side of a photograph that was made smaller to lay pictures of it, in pixels."""


@dataclass(frozen=True)
class Recipe:
    """How examples are made; see `make_example` for each part.

    Parameters
    ----------
    scale, defences, camera, lens
    box : Box, optional
        Crop all to this box; FULL crops none. Without it, half of them are cropped at random.
    """

    scale: Scale = COURSE
    defences: Defences = DEFENDED
    camera: Camera = PLAIN
    lens: Lens | Lenses | None = LIKE_MEASURED
    box: Box | None = None


class Batch(NamedTuple):
    """Examples for a crop detector: uint8, to be divided by 255 on the device.

    Attributes
    ----------
    patches : (n, 16, 3, s, s) uint8
    thumbnails : (n, 3, h, w) uint8
    cells : (n, 16) int64
    boxes : (n, 4) float32
        x1, y1, x2, y2 of the crop.
    cropped : (n,) float32
        1 or 0.
    """

    patches: Tensor
    thumbnails: Tensor
    cells: Tensor
    boxes: Tensor
    cropped: Tensor


class PatchBatch(NamedTuple):
    """Patches for patch localisation.

    Attributes
    ----------
    patches : (n, 3, s, s) uint8
    cells : (n,) int64
    """

    patches: Tensor
    cells: Tensor


Made = TypeVar("Made", Batch, PatchBatch)


class TraceStream(Stream[Made]):
    """Batches for the networks of this system.

    Parameters
    ----------
    photos, batch_size
        As for `Stream`.
    recipe : Recipe, optional
    **settings
        Any other setting of `Stream`.
    """

    def __init__(
        self,
        photos: PhotoSource | None,
        recipe: Recipe | None = None,
        batch_size: int = 32,
        **settings: Any,
    ) -> None:
        self.recipe = recipe or Recipe()
        super().__init__(photos, batch_size, **settings)

    def _make_ready(self, picture: np.ndarray, number: int) -> np.ndarray:
        rng = np.random.default_rng((self.seed, number))
        return prepare(picture, rng, self.recipe.scale, not self.recipe.defences.random_width)

    def _leaves(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a whole picture of dead leaves, as wide as the widest photographs."""
        width = self.recipe.scale.width[1]
        return dead_leaves((round(width / ASPECT), width), rng)


class ExampleStream(TraceStream[Batch]):
    """Batches of examples for crop detection.

    Parameters
    ----------
    photos, recipe, batch_size, seed, leaves, workers, cache_mb
        As for `Stream`.
    textured : bool
        Cut patches from texture laid of another photograph, made three times smaller, or of dead
        leaves (see `textured_patches`). The thumbnail is always a photograph's then.
    """

    def __init__(
        self,
        photos: PhotoSource | None,
        recipe: Recipe | None = None,
        batch_size: int = 32,
        *,
        textured: bool = False,
        **settings: Any,
    ) -> None:
        self.textured = textured
        super().__init__(photos, recipe, batch_size, **settings)

    def _made(self, items: list[tuple[int, np.random.Generator]], skips: dict[str, str]) -> Batch:
        r = self.recipe
        examples = []
        for number, rng in items:
            picture = self._picture(number, rng, skips, leaves=not self.textured)
            tile = self._tile(rng, skips) if self.textured else None
            made = make_example(
                picture, rng, r.scale, r.defences, r.camera, r.lens, r.box, texture=tile
            )
            examples.append(made)
        return collate(examples)

    def _tile(self, rng: np.random.Generator, skips: dict[str, str]) -> np.ndarray:
        """Take the texture of a photograph, or draw dead leaves."""
        if self._shelf is None or rng.random() < self.leaves:
            return dead_leaves(LEAVES_TILE, rng)
        photo = self._picture(int(rng.integers(len(self._shelf))), rng, skips, leaves=False)
        return cv2.resize(photo, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA)

    def _as_batch(self, batch: Any) -> Batch:
        patches, thumbnails, *rest = map(torch.as_tensor, batch)
        return Batch(patches.permute(0, 1, 4, 2, 3), thumbnails.permute(0, 3, 1, 2), *rest)


class PatchStream(TraceStream[PatchBatch]):
    """Batches of patches of uncropped pictures, for patch localisation.

    Parameters
    ----------
    photos, recipe, batch_size, seed, leaves, workers, cache_mb
        As for `Stream`; ``batch_size`` counts patches, and ``recipe.box`` says nothing here.
    per_picture : int
        Patches taken of a picture through one lens. More are faster and less varied. It must
        divide the batch.
    anywhere : bool
        As in `patch_batch`.
    shrink : float
        Make photographs smaller by this factor and lay them beside each other, mirrored in turn.
        Their own lens then leaves next to nothing, and the simulated one is all there is to learn.
        1 takes them as they are.

    Raises
    ------
    UsageError
        ``per_picture`` does not divide the batch, or ``shrink`` is below 1.

    Notes
    -----
    For patches, pictures of dead leaves are laid of one tile in the same way: a patch shows too
    little to tell, and it is ten times as fast.
    """

    def __init__(
        self,
        photos: PhotoSource | None,
        recipe: Recipe | None = None,
        batch_size: int = 256,
        *,
        per_picture: int = 32,
        anywhere: bool = True,
        shrink: float = 1.0,
        **settings: Any,
    ) -> None:
        if per_picture < 1 or batch_size % per_picture:
            raise UsageError(f"{per_picture} patches a picture do not divide {batch_size}.")
        if shrink < 1:
            raise UsageError(f"shrink = {shrink}: give 1 (as they are) or more.")
        self.per_picture, self.anywhere, self.shrink = per_picture, anywhere, shrink
        super().__init__(photos, recipe, batch_size, **settings)

    @property
    def pictures_per_batch(self) -> int:
        """Patches in a batch divided by patches a picture."""
        return self.batch_size // self.per_picture

    def _made(
        self, items: list[tuple[int, np.random.Generator]], skips: dict[str, str]
    ) -> tuple[np.ndarray, np.ndarray]:
        r = self.recipe
        made = [
            patch_batch(
                [self._picture(number, rng, skips)],
                rng,
                self.per_picture,
                r.scale,
                r.defences,
                r.camera,
                r.lens,
                self.anywhere,
            )
            for number, rng in items
        ]
        patches, cells = zip(*made, strict=True)
        return np.concatenate(patches), np.concatenate(cells)

    def _as_batch(self, batch: Any) -> PatchBatch:
        patches, cells = map(torch.as_tensor, batch)
        return PatchBatch(patches.permute(0, 3, 1, 2), cells)

    def _make_ready(self, picture: np.ndarray, number: int) -> np.ndarray:
        if self.shrink == 1:
            return super()._make_ready(picture, number)
        height, width = (round(side / self.shrink) for side in picture.shape[:2])
        if min(height, width) < SMALLEST_TILE:
            raise PhotoError(
                f"A photograph of {picture.shape[1]} × {picture.shape[0]} pixels is too small to "
                f"be made {self.shrink:g} times smaller: {SMALLEST_TILE} pixels must be left."
            )
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)

    def _laid_out(self, ready: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return ready if self.shrink == 1 else self._paved(ready, rng)

    def _leaves(self, rng: np.random.Generator) -> np.ndarray:
        side = min(TILE, round(self.recipe.scale.width[1] / ASPECT))
        return self._paved(dead_leaves(side, rng), rng)

    def _paved(self, tile: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        width = self.recipe.scale.width[1]
        return pave(tile, (round(width / ASPECT), width), rng)


def collate(examples: list[Example]) -> Batch:
    """Stack examples into a batch of arrays, channels still last."""
    arrays: Any = (
        np.stack([one.patches for one in examples]),
        np.stack([one.thumbnail for one in examples]),
        np.stack([one.cells for one in examples]),
        np.array([tuple(one.box) for one in examples], np.float32),
        np.array([one.cropped for one in examples], np.float32),
    )
    return Batch(*arrays)
