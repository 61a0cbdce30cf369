"""What a training example is: a photograph through a lens, as 16 patches and a thumbnail.

The order is the paper's: the whole photograph through the lens → half of them cropped → resized to
a random width → 16 patches → the thumbnail through three random resizes. Every step against a
shortcut, a clue that the preparation itself would leave, is a switch of `Defences`.

A patch's *cell* is the square of a 4 × 4 grid on the uncropped photograph that its centre lies in,
counted row by row from 0 to 15.

Source: B. Van Hoorick and C. Vondrick, "Dissecting Image Crops" (ICCV 2021), Sections 3 and 4 and
Appendix B.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import FULL, Box, crop
from course_lib.lens import Lens
from course_lib.photos import resize_to
from course_lib.traces.camera import PLAIN, Camera, Lenses, Shot

GRID = 4
PATCHES = GRID * GRID
"""Patches of a photograph, and cells of the grid that a patch may come from."""
ASPECT = 1.5
"""Width by height of all pictures here; a frame of 36 × 24 mm has it."""
INTERPOLATIONS = (
    cv2.INTER_NEAREST,
    cv2.INTER_LINEAR,
    cv2.INTER_AREA,
    cv2.INTER_CUBIC,
    cv2.INTER_LANCZOS4,
)
SMOOTH = INTERPOLATIONS[1:]
"""Without nearest neighbours, which would tear fringes apart."""
VISIT = 64
"""Patches taken of one photograph through one lens at most."""


@dataclass(frozen=True)
class Scale:
    """Sizes in pixels.

    Parameters
    ----------
    width : (low, high)
        Range of the widths to which pictures are brought before patches are cut from them.
    patch : int
        Side of a patch.
    thumbnail : (width, height)
        Of the whole picture made small.
    shortest : int
        A photograph whose shorter side, cut to 3:2, has fewer pixels cannot be used.
    strength : float
        Multiplies chromatic aberration, so that fringes are as wide in pixels as on a larger
        picture.

    Raises
    ------
    UsageError
        When 16 patches cannot lie beside each other in the narrowest picture.
    """

    width: tuple[int, int]
    patch: int
    thumbnail: tuple[int, int]
    shortest: int
    strength: float = 1.0

    def __post_init__(self) -> None:
        low, high = self.width
        room = int(low / ASPECT) // GRID
        if not 1 <= self.patch <= room or low > high:
            raise UsageError(
                f"Patches of {self.patch} px do not fit in widths {low} to {high}: the grid's "
                f"cells are {room} px high."
            )


PAPER = Scale(width=(1024, 2048), patch=96, thumbnail=(224, 149), shortest=768)
"""The sizes of the paper."""
COURSE = Scale(width=(384, 768), patch=48, thumbnail=(112, 75), shortest=256, strength=8 / 3)
"""Three eighths of the paper's widths, half its patches and thumbnail; fringes keep their width."""


@dataclass(frozen=True)
class Defences:
    """What is done so that nothing but the lens and the scene gives position or crop away.

    Parameters
    ----------
    jitter : int
        Patches are moved by −jitter to jitter − 1 pixels in x and y, each equally likely. With a
        multiple of 4, every position on the grid of JPEG's 8×8 blocks is. 0 is off: then the phase
        of that grid says which patch it is.
    random_width : bool
        Resize every picture to a random width before patches are cut. Off, a cropped picture is
        smaller, so its patches show more of the thumbnail.
    resizes : int
        How often the picture is resized at random before it becomes a thumbnail; 3 in the paper.
        With 0, traces of the last resize tell how large the picture was.
    random_interpolation : bool
        Draw the interpolation of every resize. Off, all are bilinear.
    shuffle_labels : bool
        Mix the cells within a batch (see `shuffle_labels`), or batch normalisation reads them off.
    """

    jitter: int = 8
    random_width: bool = True
    resizes: int = 3
    random_interpolation: bool = True
    shuffle_labels: bool = True

    def __post_init__(self) -> None:
        if self.jitter < 0 or self.resizes < 0:
            raise UsageError("jitter and resizes are counts: give 0 (off) or more.")


DEFENDED = Defences()
"""All defences on."""


@dataclass(frozen=True, eq=False)
class Example:
    """One training example.

    Attributes
    ----------
    patches : (16, s, s, 3) uint8
        Row by row from the grid on the picture that is seen.
    thumbnail : (h, w, 3) uint8
        The whole picture that is seen.
    cells : (16,) int64
        Where each patch's centre lay on the uncropped photograph, 0 to 15 row by row.
    box : Box
        What was cropped out of the photograph; the whole of it if nothing was.
    cropped : bool
    """

    patches: np.ndarray
    thumbnail: np.ndarray
    cells: np.ndarray
    box: Box
    cropped: bool


def draw_crop(rng: np.random.Generator, smallest: float = 0.5, largest: float = 0.9) -> Box:
    """Draw a crop that keeps the aspect ratio and touches one edge of the photograph.

    Parameters
    ----------
    rng : numpy Generator
    smallest, largest : float
        The kept share of each side is uniform between these.

    Returns
    -------
    Box
        Touches the top, right, bottom or left edge, each with probability 1/4; along that edge its
        place is uniform.

    Notes
    -----
    Source: "Dissecting Image Crops", Section 3.
    """
    size = rng.uniform(smallest, largest)
    rest = 1 - size
    along = rng.uniform(0, rest)
    corners = [(along, 0.0), (rest, along), (along, rest), (0.0, along)]
    x, y = corners[rng.integers(4)]
    return Box(x, y, x + size, y + size)


def patch_corners(
    rng: np.random.Generator, shape: tuple[int, ...], size: int, jitter: int = 8
) -> np.ndarray:
    """Place 16 patches in the middles of a 4 × 4 grid and move each a little at random.

    Parameters
    ----------
    rng : numpy Generator
    shape : (height, width, ...)
        Of the picture.
    size : int
        Side of a patch in pixels.
    jitter : int
        Each coordinate moves by −jitter to jitter − 1, all equally likely.

    Returns
    -------
    (16, 2) int64
        (x, y) of each patch's upper left pixel, row by row; all patches lie inside the picture.

    Notes
    -----
    Source: "Dissecting Image Crops", Appendix B.1.
    """
    middles = (np.arange(GRID) + 0.5) / GRID
    x, y = np.meshgrid(middles * shape[1], middles * shape[0])
    corners = np.stack([x.ravel(), y.ravel()], axis=1) - size / 2
    corners = np.floor(corners + 0.5).astype(np.int64)
    if jitter:
        corners += rng.integers(-jitter, jitter, corners.shape)
    return np.clip(corners, 0, (shape[1] - size, shape[0] - size))


def label_cells(centers: np.ndarray, box: Box = FULL) -> np.ndarray:
    """Say in which cell of the uncropped photograph each point of a crop lies.

    Parameters
    ----------
    centers : (n, 2) array
        (x, y) as fractions of the picture that is seen, 0 to 1.
    box : Box
        Which part of the photograph that picture is.

    Returns
    -------
    (n,) int64
        4 · row + column, from 0 at the upper left to 15 at the lower right.
    """
    places = np.array([box.x1, box.y1]) + centers * (box.width, box.height)
    column, row = np.clip(np.floor(GRID * places), 0, GRID - 1).astype(np.int64).T
    return GRID * row + column


def make_thumbnail(
    picture: np.ndarray,
    rng: np.random.Generator,
    scale: Scale = COURSE,
    defences: Defences = DEFENDED,
) -> np.ndarray:
    """Make a picture small through random resizes, so that nobody can tell how large it was.

    Parameters
    ----------
    picture : HxWx3 uint8
    rng : numpy Generator
    scale : Scale
        Gives the range of widths on the way and the size of the thumbnail.
    defences : Defences
        ``resizes`` and ``random_interpolation`` matter here.

    Returns
    -------
    uint8, of the scale's thumbnail size

    Notes
    -----
    Heights on the way are 0.8 to 1.2 times what the aspect ratio asks for.
    Source: "Dissecting Image Crops", Appendix B.2.
    """
    low, high = scale.width
    for _ in range(defences.resizes):
        width = int(rng.integers(low, high + 1))
        height = round(width / ASPECT * rng.uniform(0.8, 1.2))
        flag = draw_interpolation(rng, defences)
        picture = cv2.resize(picture, (width, height), interpolation=flag)
    flag = draw_interpolation(rng, defences)
    return cv2.resize(picture, scale.thumbnail, interpolation=flag)


def draw_interpolation(
    rng: np.random.Generator, defences: Defences, among: Sequence[int] = INTERPOLATIONS
) -> int:
    """Draw OpenCV's flag for a resize, or bilinear where that defence is off.

    The flag must be passed by name: ``cv2.resize(picture, size, flag)`` takes it for something
    else and stays bilinear.
    """
    return int(rng.choice(among)) if defences.random_interpolation else cv2.INTER_LINEAR


def shuffle_labels(batch: Any, undo: bool = False) -> Any:
    """Roll the patches of each example by its place in the batch.

    A network that is given the k-th patch of every example at once is given one cell only, if
    nothing is cropped, and batch normalisation lets it find out which. Rolled, each such group
    holds all 16 cells, if the batch is a multiple of 16.

    Parameters
    ----------
    batch : (batch, 16, ...) array or tensor
        Patches, their cells, or what a network made of them.
    undo : bool
        Roll back.

    Returns
    -------
    Same type and shape
        Example i has at place k what was at place k − i (k + i to undo), counted around.

    Notes
    -----
    Source: "Dissecting Image Crops", Appendix B.4.
    """
    examples, patches = batch.shape[:2]
    i, k = np.arange(examples)[:, None], np.arange(patches)
    source = (k + i if undo else k - i) % patches
    return batch[i, source]


def prepare(
    picture: np.ndarray, rng: np.random.Generator, scale: Scale = COURSE, exact: bool = False
) -> np.ndarray:
    """Bring a photograph to landscape, to the aspect ratio 3:2, and to at most the widest width.

    Portraits are turned left or right. What is too much is cut off evenly on both sides, so that
    the middle of the lens stays in the middle.

    Parameters
    ----------
    picture : HxWx3 uint8
    rng : numpy Generator
        Decides how portraits are turned.
    scale : Scale
    exact : bool
        Enlarge smaller photographs too.

    Raises
    ------
    PhotoError
        When the shorter side of what is kept has fewer pixels than ``scale.shortest``.
    """
    height, width = picture.shape[:2]
    if height > width:
        picture = np.rot90(picture, int(rng.choice((-1, 1))))
    whole = _trimmed(picture)
    if len(whole) < scale.shortest:
        raise PhotoError(
            f"A photograph of {width} × {height} pixels is too small here: cut to 3:2, its shorter "
            f"side has {len(whole)} pixels and needs {scale.shortest}."
        )
    return resize_to(np.ascontiguousarray(whole), scale.width[1], enlarge=exact)


def _trimmed(picture: np.ndarray) -> np.ndarray:
    """Cut a landscape picture evenly to 3:2."""
    height, width = picture.shape[:2]
    keep_x, keep_y = min(width, round(height * ASPECT)), min(height, round(width / ASPECT))
    left, top = (width - keep_x) // 2, (height - keep_y) // 2
    return picture[top : top + keep_y, left : left + keep_x]


def make_example(
    picture: np.ndarray,
    rng: np.random.Generator,
    scale: Scale = COURSE,
    defences: Defences = DEFENDED,
    camera: Camera = PLAIN,
    lens: Lens | Lenses | None = None,
    box: Box | None = None,
    texture: np.ndarray | None = None,
) -> Example:
    """Make a training example of a photograph.

    Parameters
    ----------
    picture : HxWx3 uint8
        See `prepare` for what is done with other shapes.
    rng : numpy Generator
        Everything random comes from it: equal generators make equal examples.
    scale, defences, camera
    lens : Lens, Lenses or None
        A lens as it is, a population to draw one from (made ``scale.strength`` times as strong), or
        none: the photograph brings its own.
    box : Box, optional
        What to crop; FULL for nothing. Without it, a coin decides and `draw_crop` draws.
    texture : HxWx3 uint8, optional
        A tile of which the patches are laid, in place of the photograph; the thumbnail stays the
        photograph's. See `textured_patches`.

    Raises
    ------
    PhotoError
        When the photograph is too small.
    """
    photo = prepare(picture, rng, scale, exact=not defences.random_width)
    glass = choose_lens(lens, rng, scale)
    if box is None:
        box = draw_crop(rng) if rng.random() < 0.5 else FULL
    if texture is not None:
        patches, cells = textured_patches(texture, rng, box, scale, defences, camera, glass)
        thumbnail = make_thumbnail(crop(glass.apply(photo, rng), box), rng, scale, defences)
        return Example(patches, thumbnail, cells, box, box != FULL)
    photo = camera.photograph(photo, glass, rng)
    seen = crop(photo, box)
    width = draw_width(rng, scale, defences, box)
    seen = resize_width(seen, width, draw_interpolation(rng, defences, SMOOTH))
    corners = patch_corners(rng, seen.shape, scale.patch, defences.jitter)
    patches = cut(seen, corners, scale.patch)
    thumbnail = make_thumbnail(seen, rng, scale, defences)
    centers = (corners + scale.patch / 2) / (seen.shape[1], seen.shape[0])
    return Example(patches, thumbnail, label_cells(centers, box), box, box != FULL)


def choose_lens(lens: Lens | Lenses | None, rng: np.random.Generator, scale: Scale) -> Lens:
    """Draw from a population of lenses; keep a lens; nothing is a perfect one."""
    if isinstance(lens, Lenses):
        return lens.draw(rng, scale.strength)
    return lens or Lens()


def draw_width(rng: np.random.Generator, scale: Scale, defences: Defences, box: Box = FULL) -> int:
    """Draw the width of the picture that is seen, or with that defence off, keep the crop's own."""
    low, high = scale.width
    return int(rng.integers(low, high + 1)) if defences.random_width else round(high * box.width)


def resize_width(picture: np.ndarray, width: int, interpolation: int) -> np.ndarray:
    """Resize a picture of about 3:2 to a width and exactly that aspect ratio (to the pixel)."""
    size = width, round(width / ASPECT)
    if size == (picture.shape[1], picture.shape[0]):
        return picture
    return cv2.resize(picture, size, interpolation=interpolation)


def cut(picture: np.ndarray, corners: np.ndarray, size: int) -> np.ndarray:
    """Cut square patches out: (n, size, size, 3), from (n, 2) upper left pixels (x, y)."""
    return np.stack([picture[y : y + size, x : x + size] for x, y in corners])


def patch_batch(
    pictures: Sequence[np.ndarray],
    rng: np.random.Generator,
    n: int,
    scale: Scale = PAPER,
    defences: Defences = DEFENDED,
    camera: Camera = PLAIN,
    lens: Lens | Lenses | None = None,
    anywhere: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Make n patches of uncropped photographs and their cells, without making the photographs.

    Only the windows that are needed pass the lens and the camera. Patches come in the order of the
    pictures, at most 64 of a picture through the same lens.

    Parameters
    ----------
    pictures : sequence of HxWx3 uint8
        Each gives the same number of patches, or one more.
    rng : numpy Generator
    n : int
        How many patches.
    scale, defences, camera, lens
        As in `make_example`.
    anywhere : bool
        All cells are equally likely, and all places in a cell; else patches lie on the grid of
        `patch_corners`, as they do in an example.

    Returns
    -------
    patches : (n, s, s, 3) uint8
    cells : (n,) int64

    Raises
    ------
    PhotoError
        When a photograph is too small.
    """
    if n < 1 or not len(pictures):
        raise UsageError("Give at least one picture and ask for at least one patch.")
    shares = np.diff(np.linspace(0, n, len(pictures) + 1).astype(int))
    made = []
    for picture, share in zip(pictures, shares, strict=True):
        photo = prepare(picture, rng, scale, exact=not defences.random_width) if share else picture
        for first in range(0, int(share), VISIT):
            count = min(VISIT, int(share) - first)
            made.append(_visit(photo, rng, count, scale, defences, camera, lens, anywhere))
    patches, cells = zip(*made, strict=True)
    return np.concatenate(patches), np.concatenate(cells)


def _visit(
    photo: np.ndarray,
    rng: np.random.Generator,
    count: int,
    scale: Scale,
    defences: Defences,
    camera: Camera,
    lens: Lens | Lenses | None,
    anywhere: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Take `count` patches of one photograph through one lens."""
    shot, glass = camera.draw(rng), choose_lens(lens, rng, scale)
    width = draw_width(rng, scale, defences)
    view = _View(FULL, width, draw_interpolation(rng, defences, SMOOTH))
    if anywhere:
        middles = _anywhere(rng, count, view.window(photo, scale.patch, shot)[1] / _size(photo))
    else:
        middles = view.middles(rng, -(-count // PATCHES), scale.patch, defences.jitter)[:count]
    return view.patches(photo, rng, middles, scale.patch, shot, glass)


def pave(tile: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Fill a picture with copies of a tile, mirrored in turn so that there are no seams.

    Parameters
    ----------
    tile : (h, w, 3) array
    shape : (height, width)
    rng : numpy Generator
        Decides where the first tile begins, and whether the tile lies on its side.

    Returns
    -------
    (height, width, 3) array
    """
    if rng.random() < 0.5:
        tile = tile.swapaxes(0, 1)
    start = [int(rng.integers(2 * side)) for side in tile.shape[:2]]
    picture = tile
    for axis in (1, 0):  # whole rows are copied last, which is quick
        side = tile.shape[axis]
        place = (start[axis] + np.arange(shape[axis])) % (2 * side)
        picture = picture.take(np.minimum(place, 2 * side - 1 - place), axis)
    return picture


def textured_patches(
    texture: np.ndarray,
    rng: np.random.Generator,
    box: Box,
    scale: Scale = COURSE,
    defences: Defences = DEFENDED,
    camera: Camera = PLAIN,
    lens: Lens | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Make the 16 patches of an example of texture that looks the same everywhere.

    Photographs are as large as they are: to the same width, a crop is enlarged more than the
    whole, and is blurred more. A network finds that long before it finds fringes. So here the
    frame is laid of a tile, and is the larger, the less of it is kept: a pixel that is seen is one
    to one and a half pixels of the frame, cropped or not.

    Parameters
    ----------
    texture : HxWx3 uint8
        The tile (see `pave`).
    rng : numpy Generator
    box : Box
        The crop.
    scale, defences, camera, lens
        As in `make_example`.

    Returns
    -------
    patches : (16, s, s, 3) uint8
    cells : (16,) int64
    """
    shot = replace(camera.draw(rng), shrink=1.0)  # the frame is chosen to fit below
    width = draw_width(rng, scale, defences, box)
    view = _View(box, width, draw_interpolation(rng, defences, SMOOTH))
    whole = round(width / box.width * rng.uniform(1.0, 1.5))
    frame = pave(texture, (round(whole / ASPECT), whole), rng)
    middles = view.middles(rng, 1, scale.patch, defences.jitter)
    return view.patches(frame, rng, middles, scale.patch, shot, lens or Lens())


@dataclass(frozen=True)
class _View:
    """What is seen of a frame: which part, how many pixels wide, resized with which kernel."""

    box: Box
    width: int
    interpolation: int

    def middles(self, rng: np.random.Generator, rounds: int, size: int, jitter: int) -> np.ndarray:
        """Place patches on the grid of what is seen: (16 · rounds, 2) fractions of it."""
        shape = round(self.width / ASPECT), self.width
        grids = [patch_corners(rng, shape, size, jitter) for _ in range(rounds)]
        return (np.concatenate(grids) + size / 2) / shape[::-1]

    def window(self, frame: np.ndarray, size: int, shot: Shot) -> tuple[float, int, int]:
        """Return the zoom from developed to seen, and a window's side before and after developing.

        Seen at its size, a patch has `size` pixels. With margins it is `side` pixels of what is
        developed, and `wide` pixels of the frame.
        """
        zoom = self.width * shot.shrink / (frame.shape[1] * self.box.width)
        if shot.plain and zoom == 1:
            return zoom, size, size
        side = int(np.ceil(size / zoom)) + 2 * shot.reach
        return zoom, round(side * shot.shrink), side

    def patches(
        self,
        frame: np.ndarray,
        rng: np.random.Generator,
        middles: np.ndarray,
        size: int,
        shot: Shot,
        lens: Lens,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Take patches, given their middles as fractions of what is seen, and their cells."""
        zoom, wide, side = self.window(frame, size, shot)
        places = (self.box.x1, self.box.y1) + middles * (self.box.width, self.box.height)
        corners = np.rint(places * _size(frame) - wide / 2).astype(int)
        corners = np.clip(corners, 0, _size(frame) - wide)
        cells = label_cells((corners + wide / 2) / _size(frame))
        patches = shot.through(lens).patches(frame, corners, wide, rng)
        if shot.plain and zoom == 1:  # nothing to develop, nothing to resize
            return patches, cells
        # All windows are developed at once, one below the other; margins keep them apart.
        count = len(middles)
        phase = int(rng.integers(8)), int(rng.integers(8))
        sheet = patches.reshape(count * wide, wide, 3)
        sheet = shot.develop(sheet, rng, (side, count * side), phase)
        last = max(round(side * zoom), size)
        sheet = cv2.resize(sheet, (last, count * last), interpolation=self.interpolation)
        inner = slice((last - size) // 2, (last - size) // 2 + size)
        return np.ascontiguousarray(sheet.reshape(count, last, last, 3)[:, inner, inner]), cells


def _size(picture: np.ndarray) -> np.ndarray:
    """Width and height."""
    return np.array([picture.shape[1], picture.shape[0]])


def _anywhere(rng: np.random.Generator, count: int, window: np.ndarray) -> np.ndarray:
    """Draw a cell, then a place in it at which a window (fractions of the frame) lies inside."""
    cell = np.stack(np.divmod(rng.integers(PATCHES, size=count), GRID)[::-1], axis=1)
    low = np.maximum(cell / GRID, window / 2)
    high = np.minimum((cell + 1) / GRID, 1 - window / 2)
    return low + rng.random((count, 2)) * np.maximum(high - low, 0)
