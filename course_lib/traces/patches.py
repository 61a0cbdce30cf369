"""Sets of patches whose place in their photograph is known: to measure on, and to be tested with.

Other than training examples (`course_lib.traces.examples`), these photographs keep their frame and
their size up to a long side of 1536 px: what counts is what their own lens left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from course_lib.errors import PhotoError
from course_lib.lens import Lens
from course_lib.lens.fringes import measure_fringes
from course_lib.photos import Photo, resize_to
from course_lib.traces.camera import LIKE_MEASURED, Lenses
from course_lib.traces.examples import GRID, PATCHES, cut, label_cells, patch_corners

LONG_SIDE = 1536
PATCH = 96


@dataclass(frozen=True, eq=False)
class PatchSet:
    """Patches and where they are from.

    Attributes
    ----------
    patches : (n, s, s, 3) uint8
    cells : (n,) int64
        Of a 4 × 4 grid on the photograph, row by row.
    positions : (n, 2) float64
        Middles (x, y) of the patches from the middle of the photograph, in pixels.
    photos : (n,) int64
        Number of the photograph; those that could not be used are left out of the count.
    """

    patches: np.ndarray
    cells: np.ndarray
    positions: np.ndarray
    photos: np.ndarray

    def __len__(self) -> int:
        return len(self.cells)

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> "PatchSet":
        """Return the same set with every patch changed."""
        patches = np.stack([change(patch) for patch in self.patches])
        return PatchSet(patches, self.cells, self.positions, self.photos)


def cut_patches(
    photos: Sequence[Photo],
    per_cell: int = 2,
    seed: int = 0,
    anywhere: bool = False,
    lens: Lens | Lenses | None = None,
    moved: bool = False,
) -> PatchSet:
    """Cut patches from every cell of every photograph.

    Parameters
    ----------
    photos : sequence of Photo
        Each is turned to landscape and made smaller to a long side of 1536 px if it is larger.
        Photographs that cannot be read, or are too small, are skipped.
    per_cell : int
        Patches from each of the 16 cells of a photograph.
    seed : int
    anywhere : bool
        All places in a cell are equally likely. Else patches lie in the middle of their cell, up
        to 8 px from it, as the paper's do.
    lens : Lens, Lenses or None
        Photograph the pictures once more through this lens, or through one drawn for each of them.
    moved : bool
        Roll each picture by a random step first, so that what leaves at one side comes back at
        the other. Its own lens then says nothing about a place, only the simulated one does:
        without either, every model that sees patches only must fall to chance.

    Returns
    -------
    PatchSet

    Raises
    ------
    PhotoError
        No photograph could be used.
    """
    sets: list[PatchSet] = []
    for number, photo in enumerate(photos):
        rng = np.random.default_rng((seed, number))
        try:
            picture = upright(photo.read())
        except PhotoError:
            continue
        if moved:
            steps = [int(rng.integers(side)) for side in picture.shape[:2]]
            picture = np.ascontiguousarray(np.roll(picture, steps, axis=(0, 1)))
        glass = lens.draw(rng) if isinstance(lens, Lenses) else lens
        corners = np.concatenate([_corners(rng, picture.shape, anywhere) for _ in range(per_cell)])
        patches = glass.patches(picture, corners, PATCH) if glass else cut(picture, corners, PATCH)
        size = np.array([picture.shape[1], picture.shape[0]])
        middles = corners + PATCH / 2
        whose = np.full(len(corners), len(sets))
        sets.append(PatchSet(patches, label_cells(middles / size), middles - size / 2, whose))
    if not sets:
        raise PhotoError(
            f"None of {len(photos)} photographs can be used: each side needs {GRID * PATCH} pixels."
        )
    return PatchSet(*(np.concatenate([getattr(s, f.name) for s in sets]) for f in fields(PatchSet)))


class CameraPatches:
    """Patches of photographs as cameras made them, drawn for training.

    Each photograph's lens is measured. Half of the patches are then seen through the lens of
    another photograph, a little stronger or weaker, so that a network cannot learn by heart which
    picture has which lens; and all are mirrored at random.

    Parameters
    ----------
    photos : sequence of Photo
        Those with a long side under 1536 px are left out, and those that cannot be read.

    Attributes
    ----------
    zooms : (photos, 2) array
        Red's and blue's magnification relative to green, minus 1; 0 where it cannot be measured.
    """

    def __init__(self, photos: Sequence[Photo]) -> None:
        self.pictures: list[np.ndarray] = []
        zooms = []
        for photo in photos:
            try:
                picture = upright(only_large(photo).read())
            except PhotoError:
                continue
            self.pictures.append(picture)
            zooms.append(_own_zoom(picture))
        self.zooms = np.array(zooms).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.pictures)

    def draw(
        self, rng: np.random.Generator, count: int, per_picture: int = 8
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw patches from anywhere: (count, 96, 96, 3) uint8 and their cells (count,).

        Parameters
        ----------
        rng : numpy Generator
        count : int
        per_picture : int
            Patches taken of a photograph through the same lens.
        """
        made = [
            self._visit(rng, min(per_picture, count - first))
            for first in range(0, count, per_picture)
        ]
        patches, cells = zip(*made, strict=True)
        return np.concatenate(patches), np.concatenate(cells)

    def _visit(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        mine, other = rng.integers(len(self), size=2)
        picture = self.pictures[mine]
        size = np.array([picture.shape[1], picture.shape[0]])
        corners = rng.integers(0, size - PATCH + 1, (count, 2))
        cells = label_cells((corners + PATCH / 2) / size)
        if rng.random() < 0.5:
            patches = cut(picture, corners, PATCH)
        else:
            wanted = self.zooms[other] * np.exp(0.25 * rng.standard_normal())
            red, blue = (1 + wanted) / (1 + self.zooms[mine])
            center = tuple(0.5 + 0.03 * rng.standard_normal(2))
            patches = Lens(red=red, blue=blue, center=center).patches(picture, corners, PATCH)
        row, column = np.divmod(cells, GRID)
        if rng.random() < 0.5:
            patches, column = patches[:, :, ::-1], GRID - 1 - column
        if rng.random() < 0.5:
            patches, row = patches[:, ::-1], GRID - 1 - row
        return patches, GRID * row + column


def _own_zoom(picture: np.ndarray) -> tuple[float, float]:
    try:
        found = measure_fringes(picture, rounds=2)  # no interval is asked for
    except PhotoError:
        return 0.0, 0.0
    return found.red.m.value - 1, found.blue.m.value - 1


def only_large(photo: Photo) -> Photo:
    """Return a photograph that cannot be read if its long side has fewer than 1536 px."""

    def read() -> np.ndarray:
        picture = photo.read()
        if max(picture.shape[:2]) < LONG_SIDE:
            raise PhotoError(f"{photo.name}: its long side has fewer than {LONG_SIDE} pixels.")
        return picture

    return replace(photo, load=read)


def upright(picture: np.ndarray) -> np.ndarray:
    """Turn a photograph to landscape and bring it to a long side of at most 1536 px.

    Raises
    ------
    PhotoError
        When cells would be smaller than patches.
    """
    if picture.shape[0] > picture.shape[1]:
        picture = np.ascontiguousarray(np.rot90(picture))
    picture = resize_to(picture, LONG_SIDE)
    height, width = picture.shape[:2]
    if height < GRID * PATCH:
        raise PhotoError(
            f"A photograph of {width} × {height} pixels is too small for 4 × 4 patches of {PATCH}."
        )
    return picture


def _corners(rng: np.random.Generator, shape: tuple[int, ...], anywhere: bool) -> np.ndarray:
    """Draw the upper left pixels (x, y) of a patch in every cell."""
    if not anywhere:
        return patch_corners(rng, shape, PATCH)
    row, column = np.divmod(np.arange(PATCHES), GRID)
    places = (np.stack([column, row], axis=1) + rng.random((PATCHES, 2))) / GRID
    size = np.array([shape[1], shape[0]])
    return np.clip(np.rint(places * size - PATCH / 2).astype(np.int64), 0, size - PATCH)


def green_only(patch: np.ndarray) -> np.ndarray:
    """Copy green to all channels, which is what the paper calls grayscale."""
    return cv2.merge([patch[..., 1]] * 3)


SIMULATED = LIKE_MEASURED
"""Lenses as strong as those of real cameras."""
