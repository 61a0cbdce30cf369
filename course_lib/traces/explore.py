"""The explorers of lessons 2 and 3: where one patch comes from, and how a picture was cropped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

import cv2
import numpy as np

from course_lib.errors import PhotoError, UsageError
from course_lib.explorer import Choice, Control, Explorer, Slider, Value, lettering, write
from course_lib.geometry import FULL, Box, crop, iou
from course_lib.lens import Lens
from course_lib.photos import Photo, PhotoSource, embedded
from course_lib.traces import evaluate, readers
from course_lib.traces.camera import measured_lenses, through_jpeg
from course_lib.traces.examples import COURSE, GRID, PATCHES, Scale, label_cells, prepare
from course_lib.traces.model import CropDetector
from course_lib.traces.patches import LONG_SIDE, PATCH
from course_lib.traces.readers import Opinion, Predict

MOST_PHOTOS = 8
"""Photographs offered; more would make a long list and a slow start."""
QUALITIES = ("off", "95", "90", "85", "80", "70", "60", "50")
CHANNELS = ("red and blue", "red", "blue", "green")
READERS = {"closed form": "fringe", "network": "network"}
"""What can read a patch, and its name among `course_lib.traces.readers.READERS`."""
PATCH_PHOTO = Scale((GRID * PATCH * 3 // 2, LONG_SIDE), PATCH, COURSE.thumbnail, GRID * PATCH)
"""Sizes of the photographs that patches are cut from."""
MARGIN = 16
"""Pixels around a patch that pass through JPEG with it: a block of halved colour."""
SMALLEST = 50
"""Per cent of each side that a crop keeps at least, as in training."""

PATCH_SIZE = (768, 604)
CROP_SIZE = (900, 440)
ENLARGED = 3
"""How much larger than it is the patch is shown."""
LEAST_STRETCH = 10.0
"""Levels: no weaker fringe is stretched to full contrast, or noise would look like one."""
PAPER, INK, QUIET = (246, 246, 246), (34, 34, 59), (95, 99, 112)
REST, FILL = (206, 210, 218), (52, 84, 150)
DARK, WHITE, FRAME = (16, 16, 24), (255, 255, 255), (255, 209, 102)
MAGENTA, GRAY, GREEN = (106, 8, 102), (150, 150, 150), (214, 255, 190)
"""A fringe's colours, which differ in lightness too."""

COUNTS = (
    *("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "all"),
)

PATCH_ALT = (
    "Above, a photograph with the place of a patch, and a map of 4 by 4 cells with the reader's "
    "vote for each in per cent; below, the patch enlarged and its colour fringes. The sentence "
    "below says what the votes are."
)
CROP_ALT = (
    "Left, a photograph with the frame that is kept and, dashed, the frame that the model believes "
    "in. Right, what the model sees, with the votes of its sixteen patches. Below, the score. The "
    "sentence says both frames and the score."
)

Given = np.ndarray | Sequence[Photo] | None
Gallery = Mapping[str, np.ndarray]


# The lens and the photographs


@cache
def median_camera() -> tuple[float, float]:
    """Return red's and blue's magnification, minus 1, of the median of the measured cameras.

    It is a real camera: the one in the middle when all are ordered by the larger of the two.
    """
    measured = measured_lenses()
    cameras = sorted(zip(measured.red, measured.blue, strict=True), key=_larger)
    return cameras[len(cameras) // 2]


def camera_lens(strength: float, channels: str = "red and blue") -> Lens:
    """Make the lens of the median camera with its chromatic aberration turned up.

    Parameters
    ----------
    strength : float
        Times what was measured; 0 is a perfect lens.
    channels : str
        "red and blue" as measured; or by the larger of the two amounts "red" or "blue" alone
        outward, or "green" alone inward, as in "Dissecting Image Crops".
    """
    if channels not in CHANNELS:
        raise UsageError(f"channels = {channels!r}: choose one of {', '.join(CHANNELS)}.")
    red, blue = median_camera()
    one = strength * _larger((red, blue))
    if channels == "red and blue":
        return Lens(red=1 + strength * red, blue=1 + strength * blue)
    if channels == "green":
        return Lens(green=1 - one)
    return Lens(red=1 + one) if channels == "red" else Lens(blue=1 + one)


def _checked(picture: np.ndarray) -> np.ndarray:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise UsageError(
            "An explorer needs a picture of height × width × 3 in uint8; this one is "
            f"{picture.dtype} {picture.shape}."
        )
    return picture


def _larger(camera: tuple[float, float]) -> float:
    return max(map(abs, camera))


def _gallery(photos: Given, scale: Scale, exact: bool) -> dict[str, np.ndarray]:
    """Read the first usable photographs, cut evenly to 3:2 so that the lens stays in the middle."""
    if isinstance(photos, np.ndarray):
        source = PhotoSource("this picture", [Photo("photograph", partial(_checked, photos))])
    elif isinstance(photos, PhotoSource):
        source = photos
    else:
        source = embedded() if photos is None else PhotoSource("these photographs", photos)
    gallery: dict[str, np.ndarray] = {}
    reason = ""
    for photo, picture in source.pictures():
        side = min(picture.shape[:2])
        above = (picture.shape[0] - side) // 2 if picture.shape[1] == side else 0
        middle = picture[above : above + side]  # a portrait stays upright
        try:
            ready = prepare(middle, np.random.default_rng(0), scale, exact=exact)
        except PhotoError as error:
            reason = str(error)
            continue
        gallery[photo.name] = ready
        if len(gallery) == MOST_PHOTOS:
            break
    if not gallery:
        raise PhotoError(f"None of {source.name} can be used in this explorer. {reason}")
    return gallery


# One patch


@dataclass(frozen=True, eq=False)
class PatchFinding:
    """A patch of a photograph and what a reader says about it.

    Attributes
    ----------
    photo : HxWx3 uint8
        Before the lens.
    corner : (x, y)
        Of the patch, in pixels.
    patch : (96, 96, 3) uint8
        As the reader sees it.
    cell : int
        In which its middle lies.
    votes : (16,) array
        Probability of each cell.
    """

    photo: np.ndarray
    corner: tuple[int, int]
    patch: np.ndarray
    cell: int
    votes: np.ndarray


def read_patch(
    settings: Mapping[str, Any], gallery: Gallery, reader: Mapping[str, Predict]
) -> PatchFinding:
    """Cut the patch that some settings describe, and ask the chosen reader about it.

    Parameters
    ----------
    settings : dict
        A value for every control of `patch_explorer`.
    gallery : dict of name to picture
        What ``settings["photo"]`` is looked up in; its first picture without that setting.
    reader : dict of name to reader
        What ``settings["reader"]`` is looked up in; the first one without that setting.
    """
    photo = _chosen(settings, "photo", gallery)
    size = np.array([photo.shape[1], photo.shape[0]])
    place = np.array([settings["x"], settings["y"]]) / 100
    x, y = (int(step) for step in np.rint(place * (size - PATCH)))
    lens = camera_lens(settings["strength"], settings["channels"])
    patch = photographed(photo, (x, y), lens, settings["jpeg"])
    votes = _chosen(settings, "reader", reader)(patch[None])[0]
    middle = (np.array([[x, y]]) + PATCH / 2) / size
    return PatchFinding(photo, (x, y), patch, int(label_cells(middle)[0]), votes)


def photographed(
    photo: np.ndarray, corner: tuple[int, int], lens: Lens, quality: str = "off"
) -> np.ndarray:
    """Cut a patch of 96 px out of a photograph that passed a lens and was stored as a JPEG.

    Only the patch and what lies around it is made. JPEG's blocks lie as they do in the whole file.

    Parameters
    ----------
    photo : HxWx3 uint8
    corner : (x, y)
        Upper left pixel of the patch.
    lens : Lens
    quality : str
        "off" or a number; colour is stored at half the resolution, as most programs do.
    """
    if quality == "off":
        return lens.patches(photo, [corner], PATCH)[0]
    side = PATCH + 2 * MARGIN
    limits = photo.shape[1] - side, photo.shape[0] - side
    left, top = (
        min(max(place - MARGIN, 0), limit) for place, limit in zip(corner, limits, strict=True)
    )
    around = lens.patches(photo, [(left, top)], side)[0]
    stored = through_jpeg(around, int(quality), True, (-left % MARGIN, -top % MARGIN))
    x, y = corner[0] - left, corner[1] - top
    return stored[y : y + PATCH, x : x + PATCH]


def fringe(patch: np.ndarray) -> np.ndarray:
    """Show the colour fringes of a patch: green minus the mean of red and blue, stretched.

    Differences that change slowly are the colours of things, and are taken off (a 9×9 mean).

    Parameters
    ----------
    patch : HxWx3 uint8

    Returns
    -------
    HxWx3 uint8
        Light green where green is too strong, dark magenta where red and blue are.
    """
    red, green, blue = cv2.split(patch.astype(np.float32))
    difference = green - (red + blue) / 2
    detail = difference - cv2.blur(difference, (9, 9))
    most = max(float(np.percentile(np.abs(detail), 99)), LEAST_STRETCH)
    share = np.clip(detail / most, -1, 1)[..., None]
    low, middle, high = (np.array(colour, np.float32) for colour in (MAGENTA, GRAY, GREEN))
    mixed = middle + np.where(share < 0, share * (middle - low), share * (high - middle))
    return np.rint(mixed).astype(np.uint8)


def draw_patch(finding: PatchFinding) -> np.ndarray:
    """Draw a patch, where it is from, and the votes for its cell.

    Returns
    -------
    array, shape (604, 768, 3), uint8
    """
    canvas = _sheet(PATCH_SIZE)
    wide, high, top = 372, 248, 30
    right, below = PATCH_SIZE[0] - wide, 316
    write(canvas, "The photograph, and the patch in it", (0, 5))
    write(canvas, "Votes for its cell, per cent", (right, 5))
    write(canvas, f"The patch, {ENLARGED} times enlarged", (0, below - 25))
    side = PATCH * ENLARGED
    beside = side + 24
    write(canvas, "Its fringes, contrast stretched", (beside, below - 25))

    photo = finding.photo
    small = cv2.resize(photo, (wide, high), interpolation=cv2.INTER_AREA)
    for i in range(1, GRID):
        x, y = i * wide // GRID, i * high // GRID
        for line in (small[:, x - 1], small[y - 1], small[:, x + 1], small[y + 1]):
            line[:] = line // 2
        small[:, x] = small[y] = WHITE
    scale = np.array([wide / photo.shape[1], high / photo.shape[0]])
    first = np.rint(np.array(finding.corner) * scale).astype(int) - 5  # around, not over it
    last = np.rint((np.array(finding.corner) + PATCH) * scale).astype(int) + 4
    limits = np.array([wide, high]) - 1
    _outline(small, np.maximum(first, 0), np.minimum(last, limits), FRAME)
    canvas[top : top + high, :wide] = small

    votes = canvas[top : top + high, right:]
    _vote_map(votes, finding.votes, finding.cell, numbers=True)
    for x, seen in ((0, finding.patch), (beside, fringe(finding.patch))):
        shown = np.repeat(np.repeat(seen, ENLARGED, axis=0), ENLARGED, axis=1)
        canvas[below : below + side, x : x + side] = shown
    _patch_key(canvas, beside + side + 20, below)
    return canvas


def _patch_key(canvas: np.ndarray, x: int, y: int) -> None:
    """Explain the marks, at the right of the enlarged patch."""
    write(canvas, "Outlined above:", (x, y), 14, QUIET)
    write(canvas, "the true cell", (x, y + 20), 14, QUIET)
    write(canvas, "Fringes:", (x, y + 62), 14, QUIET)
    for row, (colour, words) in enumerate(
        ((GREEN, "more green"), (GRAY, "none"), (MAGENTA, "more red"))
    ):
        above = y + 88 + 26 * row
        cv2.rectangle(canvas, (x, above), (x + 20, above + 16), colour, -1)
        cv2.rectangle(canvas, (x, above), (x + 20, above + 16), QUIET, 1)
        write(canvas, words, (x + 30, above - 2), 14, QUIET)
    write(canvas, "and blue", (x + 30, y + 158), 14, QUIET)


def patch_words(settings: Mapping[str, Any], finding: PatchFinding) -> str:
    """Say in words what a reader's votes are, and what the lens did at the patch."""
    name = settings.get("reader", "reader")
    who = name if name not in (*READERS, "reader") else f"the {name}"
    true, best = finding.cell, int(finding.votes.argmax())
    place = f"The patch lies in {_cell(true)}."
    said = f"{who[0].upper()}{who[1:]} gives this cell {_percent(finding.votes[true])}"
    if best == true:
        said += ", more than any other: it is right."
    else:
        near = max(abs(a - b) for a, b in zip(divmod(best, GRID), divmod(true, GRID), strict=True))
        said += f", but most, {_percent(finding.votes[best])}, to {_cell(best)}: it is " + (
            "one cell off." if near == 1 else f"{near} cells off."
        )
    if finding.votes.max() < 2 / PATCHES:
        said += f" That is hardly more than chance, {100 / PATCHES:g} % for each cell."
    lens = camera_lens(settings["strength"], settings["channels"])
    height, width = finding.photo.shape[:2]
    away = np.array(finding.corner) + PATCH / 2 - np.array([width, height]) / 2
    moved = _moved(lens, float(np.hypot(*away)))
    optics = (
        f"Here the lens moves {moved}."
        if moved
        else "No lens is added; what fringes there are came with the photograph."
    )
    return " ".join((place, said, optics, *_stored(settings["jpeg"])))


def patch_explorer(
    photos: Given = None,
    *,
    reader: Predict | Mapping[str, Predict] | None = None,
    **start: Value,
) -> Explorer:
    """Assemble the explorer of lesson 2: one patch, and a reader's votes for its cell.

    Parameters
    ----------
    photos : picture, PhotoSource or sequence of Photo, optional
        One HxWx3 uint8 picture, or photographs to choose from, of which the first eight usable
        ones are read; by default the embedded ones. Each is cut to 3:2 and shrunk to 1536 px.
    reader : Predict, or dict of name to Predict, optional
        What reads the patch; by default the course's closed form and network.
    **start
        Settings to begin with.

    Raises
    ------
    PhotoError
        No photograph can be used.
    CourseError
        No reader is given and the course's weights are missing.
    """
    gallery = _gallery(photos, PATCH_PHOTO, exact=False)
    if reader is None:
        reader = {name: _shipped(name) for name in READERS}
    offered = reader if isinstance(reader, Mapping) else {"reader": reader}
    spot = "Patch"
    controls: list[Control] = [
        *_photo_choice(gallery, spot),
        *_place(5, 90, spot),
        _strength(),
        Choice(
            "channels",
            "Moves",
            CHANNELS,
            CHANNELS[0],
            "Red and blue as measured; or one channel by the larger of the two, green inward",
            _LENS,
        ),
        _jpeg(),
    ]
    if len(offered) > 1:
        controls.append(
            Choice("reader", "Reader", list(offered), next(iter(offered)), "What votes", "Answer")
        )

    @lru_cache(maxsize=64)
    def found(items: tuple[tuple[str, Value], ...]) -> PatchFinding:
        return read_patch(dict(items), gallery, offered)

    return _started(
        Explorer(
            lambda settings: draw_patch(found(tuple(settings.items()))),
            controls,
            lambda settings: patch_words(settings, found(tuple(settings.items()))),
            PATCH_SIZE,
            PATCH_ALT,
        ),
        start,
    )


def _shipped(name: str) -> Predict:
    """Return one of the course's readers, which is opened when it is first asked."""

    @cache
    def opened() -> Predict:
        return readers.READERS[READERS[name]](None)

    return lambda patches: opened()(patches)


# One crop


@dataclass(frozen=True, eq=False)
class CropFinding:
    """A cropped photograph and what a detector says about it.

    Attributes
    ----------
    photo : HxWx3 uint8
        The whole photograph.
    box : Box
        What is kept of it.
    seen : hxwx3 uint8
        What the detector sees.
    opinion : Opinion
        Its score, box and votes.
    """

    photo: np.ndarray
    box: Box
    seen: np.ndarray
    opinion: Opinion

    @property
    def cells(self) -> np.ndarray:
        """Cells of the whole photograph that the sixteen patches are from: (16,)."""
        row, column = np.divmod(np.arange(PATCHES), GRID)
        return label_cells((np.stack([column, row], axis=1) + 0.5) / GRID, self.box)


def crop_box(settings: Mapping[str, Any]) -> Box:
    """Read the frame that the sliders describe: a share of each side, and where it may lie."""
    side = settings["size"] / 100
    left, top = (settings[name] / 100 * (1 - side) for name in ("x", "y"))
    return FULL if side == 1 else Box(left, top, left + side, top + side)


def examine_crop(
    settings: Mapping[str, Any], photo: np.ndarray, detector: CropDetector
) -> CropFinding:
    """Crop and store a photograph as some settings say, and ask a detector about it.

    Parameters
    ----------
    settings : dict
        A value for "size", "x", "y" and "jpeg" of `crop_explorer`.
    photo : HxWx3 uint8
        As the lens has drawn it.
    detector : CropDetector
    """
    box = crop_box(settings)
    seen = crop(photo, box)
    if settings["jpeg"] != "off":
        seen = through_jpeg(seen, int(settings["jpeg"]), halved=True)
    return CropFinding(photo, box, seen, readers.look(detector, seen))


def draw_crop(finding: CropFinding, threshold: float = evaluate.THRESHOLD) -> np.ndarray:
    """Draw the true and the believed frame, the votes of the patches, and the score.

    Parameters
    ----------
    finding : CropFinding
    threshold : float
        Score from which on the answer is "cropped".

    Returns
    -------
    array, shape (440, 900, 3), uint8
    """
    canvas = _sheet(CROP_SIZE)
    wide, high, top = 438, 292, 30
    right = CROP_SIZE[0] - wide
    votes = finding.opinion.votes
    write(canvas, "The whole photograph", (0, 5))
    write(
        canvas,
        "What the model sees" + (", and its patches' votes" if votes is not None else ""),
        (right, 5),
    )
    whole = cv2.resize(finding.photo, (wide, high), interpolation=cv2.INTER_AREA)
    edges = finding.box.to_pixels(whole.shape)
    dimmed = (0.45 * whole).astype(np.uint8)
    dimmed[edges[1] : edges[3], edges[0] : edges[2]] = whole[
        edges[1] : edges[3], edges[0] : edges[2]
    ]
    _outline(dimmed, edges[:2], (edges[2] - 1, edges[3] - 1), FRAME)
    believed = finding.opinion.box.to_pixels(whole.shape)
    _dashed(dimmed, believed[:2], (believed[2] - 1, believed[3] - 1))
    canvas[top : top + high, :wide] = dimmed

    how = cv2.INTER_AREA if finding.seen.shape[1] > wide else cv2.INTER_CUBIC
    canvas[top : top + high, right:] = cv2.resize(finding.seen, (wide, high), interpolation=how)
    if votes is not None:
        _vote_maps(canvas[top : top + high, right:], votes, finding.cells)
    _crop_key(canvas, top + high + 10, right, votes is not None)
    _score_bar(canvas, finding.opinion.score, threshold, top + high + 52)
    return canvas


def _vote_maps(panel: np.ndarray, votes: np.ndarray, cells: np.ndarray) -> None:
    """Draw a little map of votes on each of the sixteen patches."""
    high, wide = panel.shape[:2]
    for k in range(PATCHES):
        row, column = divmod(k, GRID)
        y, x = (2 * row + 1) * high // (2 * GRID), (2 * column + 1) * wide // (2 * GRID)
        spot = panel[y - 28 : y + 28, x - 42 : x + 42]
        spot[:] = DARK
        _vote_map(spot[2:-2, 2:-2], votes[k], int(cells[k]))


def _crop_key(canvas: np.ndarray, y: int, right: int, voted: bool) -> None:
    """Explain the marks, below the panels."""
    middle = y + 11
    cv2.line(canvas, (2, middle), (40, middle), DARK, 6)
    cv2.line(canvas, (3, middle), (39, middle), FRAME, 2)
    write(canvas, "what is kept", (50, y), 15)
    cv2.line(canvas, (178, middle), (216, middle), DARK, 6)
    for x in (180, 194, 208):
        cv2.line(canvas, (x, middle), (x + 6, middle), WHITE, 2)
    write(canvas, "what the model believes", (226, y), 15)
    if voted:
        _scale_of_votes(canvas, right, y)


def _scale_of_votes(canvas: np.ndarray, x: int, y: int) -> None:
    ramp = _vote_colours(np.linspace(0, 1, 110))
    write(canvas, "vote 0", (x, y), 15)
    canvas[y + 4 : y + 18, x + 56 : x + 166] = ramp
    write(canvas, "100 %", (x + 174, y), 15)
    canvas[y + 2 : y + 20, x + 256 : x + 282] = _vote_colours(np.array([0.3]))
    _outline(canvas, (x + 257, y + 3), (x + 280, y + 18), WHITE, thin=True)
    write(canvas, "true cell", (x + 292, y), 15)


def _score_bar(canvas: np.ndarray, score: float, threshold: float, y: int) -> None:
    """Draw the score between "whole" and "cropped", with the threshold marked."""
    left, right = 202, CROP_SIZE[0] - 84
    tick, filled = (left + round(part * (right - left)) for part in (threshold, score))
    write(canvas, f"Score {score:.2f}", (0, y + 1), 20)
    write(canvas, "whole", (left - 58, y + 4), 15)
    write(canvas, "cropped", (right + 12, y + 4), 15)
    canvas[y + 4 : y + 26, left:right] = REST
    canvas[y + 4 : y + 26, left:filled] = FILL
    canvas[y - 2 : y + 32, tick - 3 : tick + 4] = PAPER
    canvas[y - 2 : y + 32, tick - 1 : tick + 2] = INK
    said = 'from here on the answer is "cropped"'
    write(canvas, said, (min(tick + 8, right - 250), y + 30), 14, QUIET)


def crop_words(
    settings: Mapping[str, Any], finding: CropFinding, threshold: float = evaluate.THRESHOLD
) -> str:
    """Say in words what a detector answers, and how it compares with the truth."""
    opinion, box = finding.opinion, finding.box
    says, cropped = opinion.score >= threshold, box != FULL
    answer = (
        f"{'Cropped' if says else 'Not cropped'}, says the model, with score {opinion.score:.2f}: "
        + ("right." if says == cropped else "wrong.")
    )
    overlap = f"overlap (IoU) {iou(box, opinion.box):.2f}"
    said = [
        answer,
        f"The true frame runs {_spans(box)}." if cropped else "Nothing is cut away.",
        f"{'The model believes' if says else 'Had it been cropped, the model would say'} that the "
        f"frame runs {_spans(opinion.box)}: {overlap}.",
    ]
    if opinion.votes is not None:
        hits = int((opinion.votes.argmax(axis=1) == finding.cells).sum())
        said.append(
            f"{COUNTS[hits].capitalize()} of the sixteen patches "
            f"{'votes' if hits == 1 else 'vote'} most for {'its' if hits == 1 else 'their'} true "
            "cell."
        )
    height, width = finding.photo.shape[:2]
    moved = _moved(camera_lens(settings["strength"]), float(np.hypot(width, height)) / 2)
    said.append(
        f"In the photograph's corners the lens moves {moved}." if moved else "No lens is added."
    )
    return " ".join((*said, *_stored(settings["jpeg"])))


def crop_explorer(
    photos: Given = None,
    *,
    detector: CropDetector | None = None,
    threshold: float | None = None,
    **start: Value,
) -> Explorer:
    """Assemble the explorer of lesson 3: a crop, and what the model makes of it.

    Parameters
    ----------
    photos : picture, PhotoSource or sequence of Photo, optional
        One HxWx3 uint8 picture, or photographs to choose from, of which the first eight usable
        ones are read; by default the embedded ones. Each is cut to 3:2 and brought to 768×512.
    detector : CropDetector, optional
        By default the course's joint model.
    threshold : float, optional
        Score from which on the answer is "cropped"; by default the joint model's own, or 0.5.
    **start
        Settings to begin with.

    Raises
    ------
    PhotoError
        No photograph can be used.
    CourseError
        No detector is given and the course's weights are missing.
    """
    gallery = _gallery(photos, COURSE, exact=True)
    model, own = (detector, evaluate.THRESHOLD) if detector is not None else _joint()
    decided = own if threshold is None else threshold
    frame = "Frame"
    controls: list[Control] = [
        *_photo_choice(gallery, frame),
        Slider(
            *("size", "Size", SMALLEST, 100, 1, 65),
            unit="%",
            help="What is kept of the width and of the height",
            group=frame,
        ),
        *_place(0, 0, frame),
        _strength(),
        _jpeg(),
    ]

    @lru_cache(maxsize=4)
    def through_lens(name: str, strength: float) -> np.ndarray:
        return camera_lens(strength).apply(gallery[name])

    @lru_cache(maxsize=16)
    def found(items: tuple[tuple[str, Value], ...]) -> CropFinding:
        settings = dict(items)
        name = settings.get("photo", next(iter(gallery)))
        return examine_crop(settings, through_lens(str(name), float(settings["strength"])), model)

    return _started(
        Explorer(
            lambda settings: draw_crop(found(tuple(settings.items())), decided),
            controls,
            lambda settings: crop_words(settings, found(tuple(settings.items())), decided),
            CROP_SIZE,
            CROP_ALT,
        ),
        start,
    )


@cache
def _joint() -> tuple[CropDetector, float]:
    """Open the course's joint model, once, and the threshold of its score."""
    return readers.detector("joint"), evaluate.threshold("joint")


# Controls

_LENS = "Lens and file"


def _photo_choice(gallery: Gallery, group: str) -> list[Control]:
    names = list(gallery)
    return [Choice("photo", "Photograph", names, names[0], group=group)] if len(names) > 1 else []


def _place(x: int, y: int, group: str) -> list[Control]:
    return [
        Slider("x", "Across", 0, 100, 1, x, "%", "0 is the left edge, 100 the right", group),
        Slider("y", "Down", 0, 100, 1, y, "%", "0 is the upper edge, 100 the lower", group),
    ]


def _strength() -> Slider:
    return Slider(
        *("strength", "Lens", 0.0, 8.0, 0.5, 3.0),
        unit="×",
        help="Chromatic aberration, times that of the median of the measured cameras",
        group=_LENS,
    )


def _jpeg() -> Choice:
    return Choice(
        *("jpeg", "JPEG", QUALITIES, QUALITIES[0]),
        help="Quality at which the file is stored last, with colour at half the resolution",
        group=_LENS,
    )


def _started(explorer: Explorer, start: Mapping[str, Value]) -> Explorer:
    if start:
        explorer.set(**start)
    return explorer


def _chosen(settings: Mapping[str, Any], name: str, among: Mapping[str, Any]) -> Any:
    """Look a setting up; an explorer has no control where there is no choice."""
    return among[settings.get(name, next(iter(among)))]


# Words


def _cell(cell: int) -> str:
    row, column = divmod(cell, GRID)
    return f"row {row + 1}, column {column + 1}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def _moved(lens: Lens, radius: float) -> str:
    """Say how far each channel moves at a distance from the middle; nothing for a perfect lens."""
    parts = [
        f"{name} by {abs(m - 1) * radius:.1f} px {'outward' if m > 1 else 'inward'}"
        for name, m in zip(("red", "green", "blue"), lens.magnifications, strict=True)
        if m != 1
    ]
    return " and ".join(parts)


def _stored(quality: str) -> list[str]:
    return [] if quality == "off" else [f"The file is a JPEG of quality {quality}."]


def _spans(box: Box) -> str:
    x1, y1, x2, y2 = (f"{100 * edge:.0f}" for edge in box)
    return f"from {x1} to {x2} % across and from {y1} to {y2} % down"


# Drawing


def _sheet(size: tuple[int, int]) -> np.ndarray:
    return np.full((size[1], size[0], 3), PAPER, np.uint8)


@cache
def _viridis() -> np.ndarray:
    levels = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1])


def _vote_colours(votes: np.ndarray) -> np.ndarray:
    """Colours of votes: (n, 3) uint8. The root keeps small votes apart."""
    return _viridis()[np.rint(255 * np.sqrt(np.clip(votes, 0, 1))).astype(np.uint8)]


def _vote_map(panel: np.ndarray, votes: np.ndarray, cell: int, numbers: bool = False) -> None:
    """Fill a panel with 4 × 4 cells coloured by their votes, and outline the true one."""
    high, wide = panel.shape[:2]
    xs, ys = (np.rint(np.linspace(0, side, GRID + 1)).astype(int) for side in (wide, high))
    colours = _vote_colours(votes)
    for k in range(PATCHES):
        row, column = divmod(k, GRID)
        panel[ys[row] : ys[row + 1], xs[column] : xs[column + 1]] = colours[k]
    if numbers:
        for k in range(PATCHES):
            row, column = divmod(k, GRID)
            bright = votes[k] > 0.3
            text = f"{100 * votes[k]:.0f}"
            ink = lettering(text, 20)
            x = (xs[column] + xs[column + 1] - ink.shape[1]) // 2
            y = (ys[row] + ys[row + 1] - ink.shape[0]) // 2
            write(panel, text, (x, y), 20, DARK if bright else WHITE)
    row, column = divmod(cell, GRID)
    _outline(
        panel,
        (xs[column], ys[row]),
        (xs[column + 1] - 1, ys[row + 1] - 1),
        WHITE,
        thin=not numbers,
    )


def _outline(
    canvas: np.ndarray,
    first: Sequence[int],
    last: Sequence[int],
    colour: tuple[int, int, int],
    thin: bool = False,
) -> None:
    """Draw a rectangle inside its corners, dark and bright, so that it is seen on any ground."""
    (x1, y1), (x2, y2) = (tuple(map(int, corner)) for corner in (first, last))
    steps = (DARK, colour, DARK) if thin else (DARK, DARK, colour, colour, colour, DARK)
    for step, ink in enumerate(steps):
        cv2.rectangle(canvas, (x1 + step, y1 + step), (x2 - step, y2 - step), ink, 1)


def _dashed(canvas: np.ndarray, first: Sequence[int], last: Sequence[int]) -> None:
    """Draw a dashed rectangle in white on dark."""
    (x1, y1), (x2, y2) = first, last
    x1, y1 = x1 + 2, y1 + 2
    x2, y2 = max(x2 - 2, x1 + 2), max(y2 - 2, y1 + 2)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), DARK, 5)
    for x in range(x1, x2, 14):
        for y in (y1, y2):
            cv2.line(canvas, (x, y), (min(x + 7, x2), y), WHITE, 2)
    for y in range(y1, y2, 14):
        for x in (x1, x2):
            cv2.line(canvas, (x, y), (x, min(y + 7, y2)), WHITE, 2)
