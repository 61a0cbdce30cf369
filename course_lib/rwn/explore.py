"""The explorer of lesson 06: a protected picture is cropped and published, and found again."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np

from course_lib.attacks.chain import published
from course_lib.attacks.explore import QUALITIES, names
from course_lib.errors import PhotoError
from course_lib.explorer import Choice, Control, Explorer, Slider, Value, lettering, write
from course_lib.geometry import FULL, Box, crop, iou
from course_lib.photos import PhotoSource, embedded
from course_lib.rwn.evaluate import cases
from course_lib.rwn.system import Carrier, Finding, Rwn, rwn
from course_lib.rwn.watermarks import draw as draw_watermark

MOST_PHOTOS = 8
"""Photographs offered; more would make a long list and a slow start."""
NETWORK, CARRIER, NOBODY = "the network", "no network", "nobody"
"""Who hid the watermark: the trained network, the carrier without training, or nobody at all."""
SMALLEST = 40
"""Per cent of each side that a crop keeps at least."""

SIZE = (912, 336)
PANEL, GAP = 216, 16
TOP, BAR = 30, 288
PAPER, INK, QUIET = (246, 246, 246), (34, 34, 59), (95, 99, 112)
REST, FILL, RIVAL = (206, 210, 218), (52, 84, 150), (154, 59, 38)
DARK, TRUE, SAID = (16, 16, 24), (255, 209, 102), (255, 255, 255)
ALT = (
    "Four panels: a protected photograph with the frame that is kept and, dashed, the frame that "
    "was found; what is published; the watermark extracted from it; and the true watermark with "
    "the frame that was found. Below, a bar for how alike the two watermarks are. The sentence "
    "says what was found."
)


@dataclass(frozen=True, eq=False)
class Trial:
    """What became of a picture, and what its recipient finds.

    Attributes
    ----------
    whole : (256, 256, 3) uint8
        As its owner published it.
    box : Box
        What is kept of it.
    seen : (h, w, 3) uint8
        What the recipient gets.
    watermark : (256, 256) float32
        The true one.
    finding : Finding
    present : float
        Likeness from which on the recipient takes the watermark for found.
    """

    whole: np.ndarray
    box: Box
    seen: np.ndarray
    watermark: np.ndarray
    finding: Finding
    present: float


def frame(settings: Mapping[str, Any]) -> Box:
    """Read the frame that the sliders describe: shares of both sides, and where it may lie."""
    width, height = settings["wide"] / 100, settings["high"] / 100
    left = settings["x"] / 100 * (1 - width)
    top = settings["y"] / 100 * (1 - height)
    return Box(left, top, left + width, top + height)


def publish(
    settings: Mapping[str, Any], whole: np.ndarray, reader: Rwn, watermark: np.ndarray
) -> Trial:
    """Crop and attack a picture as some settings say, and let its recipient look at it.

    Parameters
    ----------
    settings : dict
        A value for every slider of `explorer`, and "jpeg".
    whole : (256, 256, 3) uint8
    reader : Rwn
        What the recipient has.
    watermark : (256, 256) float32
    """
    edges = frame(settings).to_pixels(whole.shape)
    box = Box.from_pixels(*edges, whole.shape)  # what is cut out lies on whole pixels
    seen = published(crop(whole, box), names(settings))
    finding = reader.locate(seen, watermark)
    return Trial(whole, box, seen, watermark, finding, reader.present)


def draw(trial: Trial) -> np.ndarray:
    """Draw the picture with both frames, what is seen of it, both watermarks, and their likeness.

    Returns
    -------
    array, shape (336, 912, 3), uint8
    """
    canvas = np.full((SIZE[1], SIZE[0], 3), PAPER, np.uint8)
    finding = trial.finding
    located = finding.match.box if finding.said != "no watermark" else None
    whole = _panel(trial.whole)
    left, top, right, bottom = trial.box.to_pixels(whole.shape)
    dimmed = (0.42 * whole).astype(np.uint8)
    dimmed[top:bottom, left:right] = whole[top:bottom, left:right]
    _outline(dimmed, trial.box, TRUE)
    truth = _panel(trial.watermark)
    if located:
        _outline(dimmed, located, SAID, dashed=True)
        _outline(truth, located, SAID, dashed=True)
    panels = {
        "the picture, both frames": dimmed,
        "what is published": _panel(trial.seen),
        "extracted watermark": _panel(finding.watermark),
        "true watermark": truth,
    }
    for column, (title, panel) in enumerate(panels.items()):
        x = column * (PANEL + GAP)
        write(canvas, title, (x, 5))
        canvas[TOP : TOP + PANEL, x : x + PANEL] = panel
    _key(canvas, TOP + PANEL + 8)
    _likeness(canvas, finding, trial.present)
    return canvas


def _panel(picture: np.ndarray) -> np.ndarray:
    """Stretch a picture to a panel; gray ones may hold floats in [0, 1]."""
    if picture.dtype != np.uint8:
        picture = np.rint(255 * picture.clip(0, 1)).astype(np.uint8)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    how = cv2.INTER_AREA if min(picture.shape[:2]) > PANEL else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(picture, (PANEL, PANEL), interpolation=how))


def _outline(
    panel: np.ndarray, box: Box, colour: tuple[int, int, int], dashed: bool = False
) -> None:
    """Draw a frame inside its edges, dark and bright, so that it is seen on any ground."""
    left, top, right, bottom = box.to_pixels(panel.shape)
    x1, y1, x2, y2 = left + 2, top + 2, right - 3, bottom - 3
    if not dashed:
        cv2.rectangle(panel, (x1, y1), (x2, y2), DARK, 5)
        cv2.rectangle(panel, (x1, y1), (x2, y2), colour, 2)
        return
    for x in range(x1, x2, 14):
        for y in (y1, y2):
            _dash(panel, (x, y), (min(x + 7, x2), y), colour)
    for y in range(y1, y2, 14):
        for x in (x1, x2):
            _dash(panel, (x, y), (x, min(y + 7, y2)), colour)


def _dash(
    panel: np.ndarray, start: tuple[int, int], end: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    cv2.line(panel, start, end, DARK, 4)
    cv2.line(panel, start, end, colour, 2)


def _key(canvas: np.ndarray, y: int) -> None:
    """Explain the two frames, below the panels."""
    for x, colour, words, dashed in (
        (0, TRUE, "what is kept", False),
        (PANEL + GAP, SAID, "what was found", True),
    ):
        patch = np.full((20, 44, 3), DARK, np.uint8)
        step = 14 if dashed else 40
        for start in range(4, 40, step):
            cv2.line(patch, (start, 10), (min(start + (7 if dashed else 36), 40), 10), colour, 2)
        canvas[y : y + 20, x : x + 44] = patch
        write(canvas, words, (x + 54, y), 15)


def _likeness(canvas: np.ndarray, finding: Finding, present: float) -> None:
    """Draw the likeness of the watermarks between 0 and 1, its threshold and its runner-up."""
    left, right = 158, SIZE[0] - 20
    match = finding.match

    def place(value: float) -> int:
        return left + round(float(np.clip(value, 0, 1)) * (right - left))

    write(canvas, f"Likeness {match.score:.2f}", (0, BAR), 18)
    canvas[BAR + 2 : BAR + 24, left:right] = REST
    canvas[BAR + 2 : BAR + 24, left : place(match.score)] = FILL
    ticks = [
        (place(match.runner_up), f"next best place: {match.runner_up:.2f}", RIVAL),
        (place(present), f"needed: {present:.2f}", INK),
    ]
    for x, _, colour in ticks:
        canvas[BAR - 3 : BAR + 42, max(x - 3, left) : x + 4] = PAPER
        canvas[BAR - 3 : BAR + 42, max(x - 1, left) : x + 2] = colour
    (first, said, colour), (second, says, other) = sorted(ticks)  # labels stand outside both
    start = max(first - 8 - lettering(said, 14).shape[1], 0)
    write(canvas, said, (start, BAR + 27), 14, colour)
    write(canvas, says, (second + 8, BAR + 27), 14, other)


def words(settings: Mapping[str, Any], trial: Trial) -> str:
    """Say in words what was done to the picture, and what its recipient finds."""
    box, finding = trial.box, trial.finding
    done = ["The whole picture" if box == FULL else f"A crop of {box.area:.0%} of the area"]
    if settings["scale"] < 100:
        done.append(f"scaled to {settings['scale']:g} % and back")
    if settings["noise"] > 0:
        done.append(f"with noise of {settings['noise']:g} gray levels")
    if settings["jpeg"] != "off":
        done.append(f"stored as JPEG of quality {settings['jpeg']}")
    match = finding.match
    alike = f"the extracted watermark is like the true one by {match.score:.2f}"
    return f"{', '.join(done)}: {alike}. {_verdict(trial)}"


def _verdict(trial: Trial) -> str:
    box, finding = trial.box, trial.finding
    match = finding.match
    if finding.said == "no watermark":
        needed = f"That is less than {trial.present:.2f}"
        return f"{needed}: no watermark, says the recipient, and no frame."
    truth = "not cropped" if box == FULL else "cropped"
    right = "right" if finding.said == truth else f"but it was {truth}"
    answer = f"{finding.said.capitalize()}, says the recipient: {right}."
    x1, y1, x2, y2 = (f"{100 * edge:.0f}" for edge in match.box)
    where = f"The frame it finds runs from {x1} to {x2} % across and from {y1} to {y2} % down"
    return (
        f"{answer} {where}, with an overlap (IoU) of {iou(match.box, box):.3f} with the true one."
    )


def explorer(
    photos: PhotoSource | None = None,
    *,
    system: Rwn | None = None,
    watermark: np.ndarray | None = None,
    **start: Value,
) -> Explorer:
    """Assemble the explorer for some photographs (the embedded ones by default).

    Parameters
    ----------
    photos : PhotoSource, optional
        The first eight usable ones are squared to 256 × 256 pixels.
    system : Rwn, optional
        The course's trained networks by default.
    watermark : (256, 256) float32, optional
        One that the course draws by default.
    **start
        Settings to begin with.

    Raises
    ------
    PhotoError
        No photograph can be used.
    UsageError
        No system is given and the course's weights are missing.
    """
    gallery = {
        case.name: case.picture
        for case in cases(embedded() if photos is None else photos, MOST_PHOTOS)
    }
    if not gallery:
        raise PhotoError("There is no photograph to protect: give a folder that holds some.")
    truth = draw_watermark() if watermark is None else watermark
    net = system or rwn()
    readers: dict[str, Rwn] = {NETWORK: net, CARRIER: Carrier(), NOBODY: net}
    first = next(iter(gallery))

    @cache
    def whole(name: str, hider: str) -> np.ndarray:
        plain = gallery[name]
        return plain if hider == NOBODY else readers[hider].protect(plain, truth)

    @lru_cache(maxsize=32)
    def found(items: tuple[tuple[str, Value], ...]) -> Trial:
        settings = dict(items)
        hider = str(settings["hider"])
        picture = whole(str(settings.get("photo", first)), hider)
        return publish(settings, picture, readers[hider], truth)

    explorer = Explorer(
        lambda settings: draw(found(tuple(settings.items()))),
        _controls(list(gallery)),
        lambda settings: words(settings, found(tuple(settings.items()))),
        SIZE,
        ALT,
    )
    if start:
        explorer.set(**start)
    return explorer


def _controls(photos: list[str]) -> list[Control]:
    protection, cut, file = "Protection", "Crop", "Publication"
    who = (NETWORK, CARRIER, NOBODY)
    controls: list[Control] = [
        Choice("hider", "Hidden by", who, NETWORK, "Who hid the watermark", protection),
        Slider("wide", "Width", SMALLEST, 100, 1, 70, "%", "What is kept of the width", cut),
        Slider("high", "Height", SMALLEST, 100, 1, 60, "%", "What is kept of the height", cut),
        Slider("x", "Across", 0, 100, 1, 80, "%", "0 is the left edge, 100 the right", cut),
        Slider("y", "Down", 0, 100, 1, 30, "%", "0 is the upper edge, 100 the lower", cut),
        Slider("scale", "Scaled to", 25, 100, 1, 100, "%", "And back to its size", file),
        Slider("noise", "Noise", 0, 20, 1, 0, "", "Standard deviation, gray levels of 255", file),
        Choice("jpeg", "JPEG", QUALITIES, "70", "Quality; colour at half the resolution", file),
    ]
    if len(photos) > 1:
        controls.insert(0, Choice("photo", "Photograph", photos, photos[0], group=protection))
    return controls
