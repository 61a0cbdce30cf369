"""The explorer of lesson 00: the reader crops a photograph and sees what is left of it."""

from itertools import islice
from typing import Any

import cv2
import numpy as np

from course_lib.explorer import Choice, Control, Explorer, Slider
from course_lib.geometry import FULL, Box, crop, iou
from course_lib.photos import PhotoSource, embedded

SIZE = (900, 320)
SHADE = 0.35
PAPER = 246
MARGIN = 8
MOST_PHOTOS = 8


def box(settings: dict[str, Any]) -> Box:
    """Read the frame that the sliders describe; pushed back inside where it would stick out."""
    side = settings["size"] / 100
    left = min(settings["left"] / 100, 1 - side)
    top = min(settings["top"] / 100, 1 - side)
    return Box(left, top, left + side, top + side)


def sentence(settings: dict[str, Any]) -> str:
    """Say in words what the crop keeps and how well it agrees with the whole picture."""
    cut = box(settings)
    if cut == FULL:
        return "The frame is the whole picture: nothing is cut away, and IoU with it is 1."
    missing = [
        f"{amount:.0%} at the {side}"
        for side, amount in zip(
            ("left", "top", "right", "bottom"),
            (cut.x1, cut.y1, 1 - cut.x2, 1 - cut.y2),
            strict=True,
        )
        if amount > 0.004
    ]
    lost = missing[0] if len(missing) == 1 else ", ".join(missing[:-1]) + f" and {missing[-1]}"
    return (
        f"You keep {cut.width:.0%} of the width and of the height, which is {cut.area:.0%} of the "
        f"area; cut away: {lost}. IoU with the whole picture is {iou(cut, FULL):.2f}."
    )


def fit(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale a picture to fit and centre it on paper of exactly this size."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    paper = np.full((height, width, 3), PAPER, np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    paper[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=how)
    return paper


def draw(photo: np.ndarray, cut: Box) -> np.ndarray:
    """Draw the photograph with the frame on it, everything else dimmed, and the crop beside it.

    Parameters
    ----------
    photo : HxWx3 uint8
    cut : Box

    Returns
    -------
    320x900x3 uint8
    """
    left, top, right, bottom = cut.to_pixels(photo.shape)
    dimmed = (photo * SHADE).astype(np.uint8)
    dimmed[top:bottom, left:right] = photo[top:bottom, left:right]
    thick = max(2, photo.shape[1] // 220)
    for width, colour in ((2 * thick, (20, 20, 30)), (thick, (255, 209, 102))):
        cv2.rectangle(dimmed, (left, top), (right - 1, bottom - 1), colour, width)
    half = SIZE[0] // 2 - MARGIN
    panels = [fit(dimmed, half, SIZE[1]), fit(crop(photo, cut), half, SIZE[1])]
    gap = np.full((SIZE[1], 2 * MARGIN, 3), PAPER, np.uint8)
    return np.hstack([panels[0], gap, panels[1]])


def explorer(photos: PhotoSource | None = None) -> Explorer:
    """Assemble the crop explorer for some photographs (the embedded ones by default)."""
    chosen = islice((photos or embedded()).pictures(), MOST_PHOTOS)
    pictures = {photo.name: picture for photo, picture in chosen}
    controls: list[Control] = [
        Slider("size", "Size", 20, 100, 1, 60, unit="%", help="Side kept, in both directions."),
        Slider("left", "Left edge", 0, 80, 1, 20, unit="%", help="Where the frame begins."),
        Slider("top", "Top edge", 0, 80, 1, 20, unit="%", help="Where the frame begins."),
    ]
    if len(pictures) > 1:
        names = list(pictures)
        controls.append(Choice("photo", "Photograph", names, names[0]))
    first = next(iter(pictures))

    def render(settings: dict[str, Any]) -> np.ndarray:
        return draw(pictures[settings.get("photo", first)], box(settings))

    alt = "A photograph with a frame, dimmed outside it, and the part inside the frame beside it."
    return Explorer(render, controls, sentence, SIZE, alt)
