"""What a reader of patches responds to: one property of the lens is turned up, all else is fixed.

The pictures are laid of small tiles (dead leaves, or photographs made four times smaller), so that
no lens of their own says anything. What a reader finds is then what this module put there. At each
value of a factor the same pictures, places and lenses are read; only the factor differs, so that a
curve is smoother than its intervals suggest.

Source: "Dissecting Image Crops", sections 5.1 and 5.2, Appendix E, Figures 5 and 13 and Table 2.
The paper turns factors up on top of photographs' own lenses.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

import cv2
import numpy as np

from course_lib.errors import PhotoError, UsageError
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.metrics import Estimate
from course_lib.photos import Photo
from course_lib.traces.camera import LIKE_MEASURED, Lenses
from course_lib.traces.evaluate import Predict, patch_accuracy
from course_lib.traces.examples import ASPECT, PATCHES, patch_corners, pave
from course_lib.traces.patches import LONG_SIDE, PATCH
from course_lib.traces.stream import SMALLEST_TILE

SHAPE = (round(LONG_SIDE / ASPECT), LONG_SIDE)
SHRINK = 4
"""How much smaller photographs are made; their own fringes shrink with them."""
LEAVES = 256
"""Side of a tile of dead leaves in pixels."""
PERFECT = Lens()


@dataclass(frozen=True)
class Factor:
    """One property of a lens or a camera, and the values to try.

    Parameters
    ----------
    label : str
        What the values are, with their unit: an axis of a figure.
    values : tuple of float
    change : callable
        Takes a lens and a value; returns the lens with that value.
    base : Lens or Lenses
        What is changed: one lens, or one drawn for each picture. Where the factor itself leaves no
        fringes, a base like real lenses shows whether it helps or hides theirs.
    """

    label: str
    values: tuple[float, ...]
    change: Callable[[Lens, float], Lens]
    base: Lens | Lenses = PERFECT


ZOOMS = (-0.3, -0.1, -0.03, 0.0, 0.03, 0.1, 0.3)
"""Percent; the fringes of half of all real cameras are below 0.05."""

FACTORS: dict[str, Factor] = {
    "green": Factor("green magnified [%]", ZOOMS, lambda lens, v: replace(lens, green=1 + v / 100)),
    "red": Factor("red magnified [%]", ZOOMS, lambda lens, v: replace(lens, red=1 + v / 100)),
    "blue": Factor("blue magnified [%]", ZOOMS, lambda lens, v: replace(lens, blue=1 + v / 100)),
    "vignetting": Factor(
        "vignetting [%]",
        (0.0, 25.0, 50.0, 75.0, 100.0),
        lambda lens, v: replace(lens, vignetting=v / 100),
    ),
    "saturation": Factor(
        "colour saturation [%]",
        (0.0, 50.0, 100.0, 150.0, 200.0),
        lambda lens, v: replace(lens, saturation=v / 100),
        LIKE_MEASURED,
    ),
    "grayscale": Factor(
        "green copied to all channels",
        (0.0, 1.0),
        lambda lens, v: replace(lens, grayscale="green" if v else False),
        LIKE_MEASURED,
    ),
    "distortion": Factor(
        "distortion k₁",
        (-0.1, -0.05, 0.0, 0.05, 0.1),
        lambda lens, v: replace(lens, distortion=v),
        LIKE_MEASURED,
    ),
}
"""The factors of the paper's Figures 5 and 13 and its Table 2."""


@dataclass(frozen=True)
class Response:
    """How accuracy follows a factor.

    Attributes
    ----------
    factor : Factor
    accuracy : dict of reader to list of Estimate
        One for each of ``factor.values``: the share of patches whose cell is found. Chance is 1/16.
    """

    factor: Factor
    accuracy: dict[str, list[Estimate]]


def lensless(count: int, seed: int = 0, photos: Sequence[Photo] | None = None) -> list[np.ndarray]:
    """Make pictures of 1536 × 1024 pixels in which no lens of their own says where a patch lies.

    Parameters
    ----------
    count : int
    seed : int
    photos : sequence of Photo, optional
        Made smaller by 4 and laid beside each other, mirrored in turn, from a random place on; used
        again from the first when there are fewer than ``count``. Dead leaves without them.

    Returns
    -------
    list of (1024, 1536, 3) uint8 arrays

    Raises
    ------
    PhotoError
        No photograph can be used.
    """
    rng = np.random.default_rng(seed)
    if photos is None:
        return [pave(dead_leaves(LEAVES, rng), SHAPE, rng) for _ in range(count)]
    return [pave(tile, SHAPE, rng) for tile in islice(_shrunk(photos), count)]


def _shrunk(photos: Sequence[Photo]) -> Iterator[np.ndarray]:
    """Yield small copies of photographs without end; those that cannot be used are left out."""
    failed = 0
    for photo in cycle(photos):
        try:
            picture = photo.read()
        except PhotoError:
            picture = np.zeros((0, 0, 3), np.uint8)
        size = [side // SHRINK for side in picture.shape[1::-1]]
        if min(size) >= SMALLEST_TILE:
            failed = 0
            yield cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        elif (failed := failed + 1) == len(photos):
            break
    raise PhotoError(
        f"None of {len(photos)} photographs can be used: each side needs "
        f"{SHRINK * SMALLEST_TILE} pixels."
    )


def response(
    readers: Mapping[str, Predict],
    factor: Factor,
    pictures: Sequence[np.ndarray],
    per_picture: int = 8,
    seed: int = 0,
) -> Response:
    """Measure how well readers place patches at each value of a factor.

    Parameters
    ----------
    readers : dict of name to callable
        What reads patches of 96 × 96 pixels.
    factor : Factor
    pictures : sequence of HxWx3 uint8
        From `lensless`.
    per_picture : int
        Patches of each picture, from cells drawn at random, 1 to 16.
    seed : int

    Raises
    ------
    UsageError
        There are no pictures, or ``per_picture`` is out of range.
    """
    if not pictures or not 1 <= per_picture <= PATCHES:
        raise UsageError(
            f"{len(pictures)} pictures with {per_picture} patches each cannot be read: give one "
            f"picture or more, and 1 to {PATCHES} patches."
        )
    rng = np.random.default_rng(seed)
    lenses, corners, cells = [], [], []
    for picture in pictures:
        base = factor.base
        lenses.append(base.draw(rng) if isinstance(base, Lenses) else base)
        chosen = rng.permutation(PATCHES)[:per_picture]
        cells.append(chosen)
        corners.append(patch_corners(rng, picture.shape, PATCH)[chosen])
    truth = np.concatenate(cells)
    whose = np.repeat(np.arange(len(pictures)), per_picture)
    accuracy: dict[str, list[Estimate]] = {name: [] for name in readers}
    for value in factor.values:
        changed = [factor.change(lens, value) for lens in lenses]
        seen = [
            lens.patches(picture, places, PATCH)
            for lens, picture, places in zip(changed, pictures, corners, strict=True)
        ]
        patches = np.concatenate(seen)
        for name, read in readers.items():
            accuracy[name].append(patch_accuracy(read(patches), truth, whose))
    return Response(factor, accuracy)
