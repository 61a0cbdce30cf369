"""Boxes in a picture, and cutting, pasting and padding with them.

One convention throughout the course: a box is (x1, y1, x2, y2) in fractions of the whole picture.
x runs right and y runs down from the top-left corner of the picture; coordinates are **edges**, so
the whole picture is (0, 0, 1, 1), and the centre of the first pixel of a W pixels wide picture lies
at x = 0.5 / W. Pictures are arrays of shape (height, width) or (height, width, channels).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, isfinite

import numpy as np

from course_lib.errors import UsageError

# A box may leave the frame by this much and still count as inside: rounding in composed fractions.
SLACK = 1e-9


@dataclass(frozen=True)
class Box:
    """A rectangle in fractions of a picture: left, top, right and bottom edge.

    A box may reach out of the picture (seen from a crop, the whole picture does); ``crop`` and
    ``paste`` refuse such a box.

    Parameters
    ----------
    x1, y1, x2, y2 : float
        Edges as fractions of the picture's width and height, with x1 < x2 and y1 < y2.

    Raises
    ------
    UsageError
        When a coordinate is not finite or the box holds no area.
    """

    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        for name in ("x1", "y1", "x2", "y2"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not all(isfinite(value) for value in self):
            raise UsageError(f"{self} is no box: every coordinate must be a finite number.")
        if not (self.x1 < self.x2 and self.y1 < self.y2 and self.area > 0):
            raise UsageError(f"{self} holds no area: x1 must be below x2, and y1 below y2.")

    def __iter__(self) -> Iterator[float]:
        yield from (self.x1, self.y1, self.x2, self.y2)

    def __str__(self) -> str:
        return f"Box({self.x1:.4g}, {self.y1:.4g}, {self.x2:.4g}, {self.y2:.4g})"

    @property
    def width(self) -> float:
        """Fraction of the picture's width."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Fraction of the picture's height."""
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """Fraction of the picture's area."""
        return self.width * self.height

    @property
    def center(self) -> tuple[float, float]:
        """The middle (x, y)."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    @classmethod
    def from_pixels(
        cls, left: float, top: float, right: float, bottom: float, shape: tuple[int, ...]
    ) -> "Box":
        """Box of the pixels ``picture[top:bottom, left:right]`` of a picture of this shape.

        Parameters
        ----------
        left, top, right, bottom : float
            Edges in pixels, as in a slice: the right and bottom ones are not included.
        shape : tuple of int
            Shape of the picture, (height, width) or (height, width, channels).
        """
        height, width = _frame(shape)
        return cls(left / width, top / height, right / width, bottom / height)

    def to_pixels(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Edges (left, top, right, bottom) in pixels, each rounded to the nearest pixel edge.

        Rounding moves an edge by half a pixel at most. It goes up at exactly one half, so that a
        box shifted by whole pixels keeps its size.
        """
        height, width = _frame(shape)
        left, top, right, bottom = (
            floor(edge * side + 0.5)
            for edge, side in zip(self, (width, height, width, height), strict=True)
        )
        return left, top, right, bottom

    def within(self, outer: "Box") -> "Box":
        """Express a box of the crop ``outer`` in the picture from which it was cropped."""
        return Box(
            outer.x1 + self.x1 * outer.width,
            outer.y1 + self.y1 * outer.height,
            outer.x1 + self.x2 * outer.width,
            outer.y1 + self.y2 * outer.height,
        )

    def relative_to(self, outer: "Box") -> "Box":
        """Express a box of the whole picture in its crop ``outer``; undoes ``within``."""
        return Box(
            (self.x1 - outer.x1) / outer.width,
            (self.y1 - outer.y1) / outer.height,
            (self.x2 - outer.x1) / outer.width,
            (self.y2 - outer.y1) / outer.height,
        )


FULL = Box(0.0, 0.0, 1.0, 1.0)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, from 0 (apart) to 1 (the same box).

    Parameters
    ----------
    a, b : Box
        Boxes in the same picture.

    Returns
    -------
    float
        Shared area divided by the area that at least one of them covers.
    """
    width = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1))
    height = max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))
    shared = width * height
    return shared / (a.area + b.area - shared)


def crop(picture: np.ndarray, box: Box) -> np.ndarray:
    """Cut the box out of the picture.

    Parameters
    ----------
    picture : ndarray
        (height, width) or (height, width, channels).
    box : Box
        Each edge is rounded to the nearest pixel edge (see `pixels_inside`).

    Returns
    -------
    ndarray
        A copy of the pixels, same dtype.

    Raises
    ------
    UsageError
        When the box leaves the picture or is too small to hold a pixel of it.
    """
    left, top, right, bottom = pixels_inside(picture, box)
    return picture[top:bottom, left:right].copy()


def paste(canvas: np.ndarray, patch: np.ndarray, box: Box) -> np.ndarray:
    """Lay the patch over the box of the canvas and return the result; the canvas stays as it was.

    Parameters
    ----------
    canvas, patch : ndarray
        Pictures with the same dtype and channels.
    box : Box
        Place on the canvas; in pixels it must have exactly the size of the patch.

    Raises
    ------
    UsageError
        When the box leaves the canvas, or the patch has another size, number of channels or dtype.
    """
    left, top, right, bottom = pixels_inside(canvas, box)
    expected = (bottom - top, right - left, *canvas.shape[2:])
    if patch.shape != expected or patch.dtype != canvas.dtype:
        raise UsageError(
            f"A patch of shape {patch.shape} ({patch.dtype}) does not fit {box} of this canvas, "
            f"which takes {expected} ({canvas.dtype}): resize or convert the patch first."
        )
    whole = canvas.copy()
    whole[top:bottom, left:right] = patch
    return whole


def pad(picture: np.ndarray, box: Box, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Put a crop back where it came from in an otherwise empty (black) whole picture.

    Parameters
    ----------
    picture : ndarray
        The crop.
    box : Box
        Where it was in the whole picture.
    shape : tuple of int, optional
        Shape of the whole picture. Without it, the size is inferred from the crop's size and the
        box. That is exact for a box that lies on pixel edges (``Box.from_pixels``), and otherwise
        off by as much as rounding the box's edges to pixels explains.

    Raises
    ------
    UsageError
        When the box leaves the picture, or the crop does not fit it.
    """
    if shape is not None:
        canvas = np.zeros((*_frame(shape), *picture.shape[2:]), picture.dtype)
        return paste(canvas, picture, box)
    _demand_inside(box)
    height, width = picture.shape[:2]
    whole_height = max(height, floor(height / box.height + 0.5))
    whole_width = max(width, floor(width / box.width + 0.5))
    left = min(floor(box.x1 * whole_width + 0.5), whole_width - width)
    top = min(floor(box.y1 * whole_height + 0.5), whole_height - height)
    whole = np.zeros((whole_height, whole_width, *picture.shape[2:]), picture.dtype)
    whole[top : top + height, left : left + width] = picture
    return whole


def corners(shape: tuple[int, ...], side: int) -> dict[str, Box]:
    """Name the square boxes in the four corners of a picture.

    Parameters
    ----------
    shape : tuple of int
        Shape of the picture, (height, width) or (height, width, channels).
    side : int
        Of each box in pixels.

    Raises
    ------
    UsageError
        When the boxes would leave the picture.
    """
    height, width = _frame(shape)
    if not 0 < side <= min(height, width):
        raise UsageError(f"A picture {width} × {height} has no corners of {side} pixels.")
    return {
        f"{row} {column}": Box.from_pixels(left, top, left + side, top + side, shape)
        for row, top in (("top", 0), ("bottom", height - side))
        for column, left in (("left", 0), ("right", width - side))
    }


def random_crop(shape: tuple[int, ...], kept: float, rng: np.random.Generator) -> Box:
    """Draw where a crop lies that keeps the same share of both sides, all places equally likely.

    Parameters
    ----------
    shape : tuple of int
        Shape of the picture, (height, width) or (height, width, channels).
    kept : float
        Share of each side that is kept, up to 1; sides are rounded to whole pixels.
    rng : numpy Generator

    Returns
    -------
    Box
        Its edges lie between pixels.
    """
    height, width = _frame(shape)
    rows, columns = round(kept * height), round(kept * width)
    left = int(rng.integers(0, width - columns + 1))
    top = int(rng.integers(0, height - rows + 1))
    return Box.from_pixels(left, top, left + columns, top + rows, shape)


def _frame(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2 or shape[0] < 1 or shape[1] < 1:
        raise UsageError(
            f"{tuple(shape)} is not the shape of a picture: give (height, width) or "
            "(height, width, channels), each at least 1."
        )
    return int(shape[0]), int(shape[1])


def _demand_inside(box: Box) -> None:
    if min(box.x1, box.y1) < -SLACK or max(box.x2, box.y2) > 1 + SLACK:
        raise UsageError(f"{box} leaves the picture: all coordinates must lie between 0 and 1.")


def pixels_inside(picture: np.ndarray, box: Box) -> tuple[int, int, int, int]:
    """Edges (left, top, right, bottom) of a box in pixels, checked to lie inside the picture.

    Raises
    ------
    UsageError
        When the box leaves the picture or holds no pixel of it.
    """
    _demand_inside(box)
    left, top, right, bottom = box.to_pixels(picture.shape)
    if left == right or top == bottom:
        height, width = picture.shape[:2]
        raise UsageError(
            f"{box} holds no pixel of a picture {width} × {height} pixels large: take a larger box."
        )
    return left, top, right, bottom
