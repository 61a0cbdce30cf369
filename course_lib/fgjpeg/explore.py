"""The explorer of lesson 07: one detail through a real file and three stand-ins, at any quality."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from course_lib.attacks.codec import through_jpeg
from course_lib.attacks.jpeg import jpeg
from course_lib.attacks.simulators import jpeg_ss
from course_lib.errors import PhotoError
from course_lib.explorer import Choice, Control, Explorer, Slider, Toggle, Value, write
from course_lib.fgjpeg.evaluate import cases
from course_lib.fgjpeg.grid import SIDE, blockiness
from course_lib.fgjpeg.system import Simulator, simulator
from course_lib.metrics import psnr
from course_lib.photos import PhotoSource, embedded

Stand = Callable[[Tensor, float], Tensor]
MOST_PHOTOS = 8
"""Photographs offered; more would make a long list and a slow start."""
FILE, LEARNED, SOFT, STRAIGHT = "real file", "FG-JPEG", "JPEG-SS", "straight through"
DETAIL, TIMES = 56, 4
"""Side of the detail in pixels of the picture, and how much it is enlarged."""
MAGNIFIED = 10
"""How much differences are enhanced."""

PANEL, GAP = DETAIL * TIMES, 16
TOP, BELOW = 48, 26
SIZE = (4 * PANEL + 3 * GAP, TOP + 2 * PANEL + BELOW)
PAPER, QUIET, LINE = (246, 246, 246), (85, 88, 96), (255, 209, 102)
ALT = (
    "Eight panels. Above, an enlarged detail of a photograph as a real JPEG file shows it, and as "
    "three stand-ins imitate it, with lines between blocks. Below, on gray, what the file changed, "
    "and how far each stand-in is from the file, ten times enhanced."
)


@dataclass(frozen=True, eq=False)
class Trial:
    """A picture, its file, and what stand-ins make of it.

    Attributes
    ----------
    picture : (h, w, 3) uint8
        Before it is stored.
    file : (h, w, 3) uint8
        As read again.
    made : dict of name to (h, w, 3) uint8
    """

    picture: np.ndarray
    file: np.ndarray
    made: Mapping[str, np.ndarray]


def stand_ins(learned: Simulator) -> dict[str, Stand]:
    """Collect what is compared with the file, in the order of the panels.

    Straight through is JPEG rebuilt, with hard rounding on the way forward.
    """
    return {LEARNED: learned, SOFT: jpeg_ss, STRAIGHT: lambda pictures, q: jpeg(pictures, q)}


@torch.no_grad()
def imitate(picture: np.ndarray, quality: int, compared: Mapping[str, Stand]) -> Trial:
    """Store a picture, and let stand-ins imitate it.

    Parameters
    ----------
    picture : (h, w, 3) uint8
    quality : int
        1 to 100.
    compared : dict of name to callable
        Each takes (1, 3, h, w) in [0, 1] and the quality.
    """
    given = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    made = {
        name: (255 * one(given, quality)[0].clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()
        for name, one in compared.items()
    }
    return Trial(picture, through_jpeg(picture, quality, halved=True), made)


def corner(settings: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[int, int]:
    """Read where the detail begins, in whole blocks: (row, column) in pixels."""
    top, left = (
        SIDE * round(settings[name] / 100 * ((length - DETAIL) // SIDE))
        for name, length in zip(("y", "x"), shape, strict=False)
    )
    return top, left


def draw(settings: Mapping[str, Any], trial: Trial) -> np.ndarray:
    """Draw a detail of all pictures, and below how far each is from the file.

    Returns
    -------
    array, shape (522, 944, 3), uint8
    """
    canvas = np.full((SIZE[1], SIZE[0], 3), PAPER, np.uint8)
    top, left = corner(settings, trial.picture.shape)
    cut = np.s_[top : top + DETAIL, left : left + DETAIL]
    pictures = {FILE: trial.file, **trial.made}
    for column, (name, picture) in enumerate(pictures.items()):
        x = column * (PANEL + GAP)
        other = trial.picture if name == FILE else trial.file
        said = "what was stored" if name == FILE else f"{_near(picture, other)} from the file"
        write(canvas, name, (x, 2), 18)
        write(canvas, said, (x, 25), 15, QUIET)
        change = MAGNIFIED * (picture[cut].astype(np.float32) - other[cut])
        shown = picture[cut], np.rint(128 + change).clip(0, 255).astype(np.uint8)
        for y, one in zip((TOP, TOP + PANEL + BELOW), shown, strict=True):
            canvas[y : y + PANEL, x : x + PANEL] = _enlarged(one, bool(settings["grid"]))
        words = "file − picture" if name == FILE else "difference from the file"
        write(canvas, f"{words}, × {MAGNIFIED}", (x, TOP + PANEL + 3), 15, QUIET)
    return canvas


def _near(picture: np.ndarray, other: np.ndarray) -> str:
    near = psnr(picture, other)
    return f"{near:.1f} dB" if np.isfinite(near) else "no difference"


def _enlarged(detail: np.ndarray, lines: bool) -> np.ndarray:
    large = np.asarray(cv2.resize(detail, (PANEL, PANEL), interpolation=cv2.INTER_NEAREST)).copy()
    if lines:
        for at in range(SIDE * TIMES, PANEL, SIDE * TIMES):
            large[at - 1] = LINE
            large[:, at - 1] = LINE
    return large


def words(settings: Mapping[str, Any], trial: Trial) -> str:
    """Say in words how near each stand-in is, and how visible the grid of blocks is."""
    near = {name: psnr(one, trial.file) for name, one in trial.made.items()}
    changed = _near(trial.file, trial.picture)
    order = sorted(near, key=lambda name: -near[name])
    said = ", then ".join(f"{name} ({_near(trial.made[name], trial.file)})" for name in order)
    edges = blockiness(trial.file)
    return (
        f"A file of quality {settings['quality']:g} changes the picture to {changed}; steps across "
        f"the edges of its blocks are {edges:.2f} times those inside. Nearest to it is {said}."
    )


def explorer(
    photos: PhotoSource | None = None, *, learned: Simulator | None = None, **start: Value
) -> Explorer:
    """Assemble the explorer for some photographs (the embedded ones by default).

    Parameters
    ----------
    photos : PhotoSource, optional
        The first eight usable ones are squared to 256 × 256 pixels.
    learned : Simulator, optional
        The course's trained FG-JPEG by default.
    **start
        Settings to begin with.

    Raises
    ------
    PhotoError
        No photograph can be used.
    UsageError
        No simulator is given and the course's weights are missing.
    """
    gallery = {
        case.name: case.picture
        for case in cases(embedded() if photos is None else photos, MOST_PHOTOS)
    }
    if not gallery:
        raise PhotoError("There is no photograph to store: give a folder that holds some.")
    compared = stand_ins(simulator() if learned is None else learned)
    first = next(iter(gallery))

    @lru_cache(maxsize=64)
    def trial(name: str, quality: int) -> Trial:
        return imitate(gallery[name], quality, compared)

    def of(settings: Mapping[str, Any]) -> Trial:
        return trial(str(settings.get("photo", first)), round(settings["quality"]))

    explorer = Explorer(
        lambda settings: draw(settings, of(settings)),
        _controls(list(gallery)),
        lambda settings: words(settings, of(settings)),
        SIZE,
        ALT,
    )
    if start:
        explorer.set(**start)
    return explorer


def _controls(photos: list[str]) -> list[Control]:
    controls: list[Control] = [
        Slider("quality", "Quality", 10, 100, 1, 30, "", "Colour at half the resolution"),
        Slider("x", "Across", 0, 100, 1, 40, "%", "Where the detail is; 0 is the left edge"),
        Slider("y", "Down", 0, 100, 1, 40, "%", "Where the detail is; 0 is the upper edge"),
        Toggle("grid", "Lines between blocks", True, "Where blocks of 8 × 8 pixels meet"),
    ]
    if len(photos) > 1:
        controls.insert(0, Choice("photo", "Photograph", photos, photos[0]))
    return controls
