"""The explorer of lesson 04: publish a picture with a faint pattern, and see what is left of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np

from course_lib.attacks.chain import published
from course_lib.attacks.spectra import BANDS, added, faint_pattern, kept, words
from course_lib.explorer import Choice, Control, Explorer, Slider, write
from course_lib.geometry import FULL, Box, crop
from course_lib.metrics import psnr
from course_lib.photos import PhotoSource, embedded, resize_to

SIZE = (780, 470)
LONG_SIDE = 384
STRENGTH = 1.2
"""Root mean square of the pattern in each band, gray levels: about 39.6 dB in all."""
MAGNIFIED = 20
"""How much what is left of the pattern is enhanced."""
MOST_PHOTOS = 8
PAPER, INK, QUIET = 246, (34, 34, 59), (85, 88, 96)
FRAME, BAR, TRACK = (255, 209, 102), (59, 82, 139), (217, 220, 227)
QUALITIES = ("off", "95", "90", "80", "70", "60", "50", "40", "30", "20", "10")
ALT = (
    "Left, a photograph, dimmed outside the part that is kept. Right, what is left of a hidden "
    "pattern, on gray. Below, five bars: how much of the pattern is left in coarse to fine waves."
)


@dataclass(frozen=True, eq=False)
class Marked:
    """A photograph, the same with a faint pattern, and the pattern's five bands.

    Attributes
    ----------
    plain, marked : HxWx3 uint8
    patterns : (5, H, W) array
        Gray levels, one a band of `BANDS`.
    """

    plain: np.ndarray
    marked: np.ndarray
    patterns: np.ndarray


@dataclass(frozen=True, eq=False)
class Finding:
    """What publishing did to a marked photograph.

    Attributes
    ----------
    photo : Marked
    box : Box
        What was kept.
    seen : hxwx3 uint8
        The published part.
    left : hxw float32
        What became of the pattern, gray levels.
    shares : tuple of float
        Share of the pattern's amplitude that is left, one a band of `BANDS`.
    quality : float
        PSNR of what is seen against the same part of the marked photograph, dB.
    """

    photo: Marked
    box: Box
    seen: np.ndarray
    left: np.ndarray
    shares: tuple[float, ...]
    quality: float


def mark(photo: np.ndarray, seed: int = 0) -> Marked:
    """Hide a faint pattern of all five bands in a photograph, made small for the screen.

    Parameters
    ----------
    photo : HxWx3 uint8
    seed : int
    """
    small = resize_to(photo, LONG_SIDE)
    rng = np.random.default_rng(seed)
    patterns = np.stack([faint_pattern(small.shape, band, rng, STRENGTH) for band in BANDS])
    return Marked(small, added(small, patterns.sum(axis=0)), patterns)


def frame(settings: Mapping[str, Any]) -> Box:
    """Read the part that is kept: a share of each side, from the middle."""
    margin = (100 - settings["crop"]) / 200
    return Box(margin, margin, 1 - margin, 1 - margin) if margin else FULL


def names(settings: Mapping[str, Any]) -> str:
    """Name the attacks of some settings, in their order; ``none`` if there are none."""
    chosen = []
    if settings["scale"] < 100:
        chosen.append(f"resize{settings['scale']:g}")
    if settings["noise"] > 0:
        chosen.append(f"noise{settings['noise']:g}")
    if settings["jpeg"] != "off":
        chosen.append(f"jpeg{settings['jpeg']}")
    return ",".join(chosen) or "none"


def publish(settings: Mapping[str, Any], photo: Marked) -> Finding:
    """Crop, scale, disturb and store a marked photograph, and measure what is left.

    Parameters
    ----------
    settings : dict
        A value for "crop", "scale", "noise" and "jpeg" of `explorer`.
    photo : Marked
    """
    box = frame(settings)
    plain, marked = crop(photo.plain, box), crop(photo.marked, box)
    before, seen = (published(one, names(settings)) for one in (plain, marked))
    grays = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.float32) for one in (before, seen)]
    patterns = (crop(np.ascontiguousarray(one), box) for one in photo.patterns)
    shares = tuple(kept(grays[0], grays[1], pattern) for pattern in patterns)
    return Finding(photo, box, seen, grays[1] - grays[0], shares, psnr(marked, seen))


def draw(finding: Finding) -> np.ndarray:
    """Draw the published part in its place, what is left of the pattern, and a bar for each band.

    Returns
    -------
    array, shape (470, 780, 3), uint8
    """
    canvas = np.full((SIZE[1], SIZE[0], 3), PAPER, np.uint8)
    wide, high, top = 382, 262, 28
    right = SIZE[0] - wide
    write(canvas, "What is published", (0, 4))
    write(canvas, f"What is left of the pattern, × {MAGNIFIED}", (right, 4))
    shape = finding.photo.plain.shape
    edges = finding.box.to_pixels(shape)
    dimmed = (0.35 * finding.photo.marked).astype(np.uint8)
    gray = np.full(shape, 128, np.uint8)
    inside = np.s_[edges[1] : edges[3], edges[0] : edges[2]]
    dimmed[inside] = finding.seen
    gray[inside] = np.clip(128 + MAGNIFIED * finding.left, 0, 255)[..., None]
    for x, one in ((0, dimmed), (right, gray)):
        if finding.box != FULL:
            cv2.rectangle(one, edges[:2], (edges[2] - 1, edges[3] - 1), FRAME, 2)
        scale = min(wide / shape[1], high / shape[0])
        size = max(round(shape[1] * scale), 1), max(round(shape[0] * scale), 1)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        left = x + (wide - size[0]) // 2
        canvas[top : top + size[1], left : left + size[0]] = cv2.resize(
            one, size, interpolation=how
        )
    _bars(canvas, finding.shares, top + high + 14)
    return canvas


def _bars(canvas: np.ndarray, shares: tuple[float, ...], top: int) -> None:
    """Draw how much is left in each band, as lying bars with numbers."""
    write(canvas, "Left of the pattern, by the length of its waves", (0, top), 16)
    start, end, step = 110, SIZE[0] - 70, 27
    for row, (band, share) in enumerate(zip(BANDS, shares, strict=True)):
        y = top + 27 + row * step
        write(canvas, words(band), (8, y - 1), 15, QUIET)
        cv2.rectangle(canvas, (start, y), (end, y + 18), TRACK, -1)
        length = round(float(np.clip(share, 0, 1)) * (end - start))
        if length:
            cv2.rectangle(canvas, (start, y), (start + length, y + 18), BAR, -1)
        write(canvas, f"{max(share, 0):.0%}", (end + 12, y - 1), 15, INK)


def sentence(settings: Mapping[str, Any], finding: Finding) -> str:
    """Say in words what was done, what the eye notices and what is left of the pattern."""
    done = [f"{finding.box.area:.0%} of the area is kept"]
    if settings["scale"] < 100:
        done.append(f"scaled to {settings['scale']:g} % and back")
    if settings["noise"] > 0:
        done.append(f"noise of {settings['noise']:g} gray levels")
    if settings["jpeg"] != "off":
        done.append(f"stored as JPEG of quality {settings['jpeg']}")
    changed = (
        f"what is published differs from it by {finding.quality:.1f} dB (PSNR)"
        if np.isfinite(finding.quality)
        else "what is kept is unchanged"
    )
    coarse, fine = (f"{max(finding.shares[k], 0):.0%}" for k in (0, -1))
    return (
        f"{', '.join(done)}; {changed}. Of the hidden pattern {coarse} is left in waves of "
        f"{words(BANDS[0])} and {fine} in waves of {words(BANDS[-1])}."
    )


def explorer(photos: PhotoSource | None = None, seed: int = 0) -> Explorer:
    """Assemble the explorer for some photographs (the embedded ones by default).

    Parameters
    ----------
    photos : PhotoSource, optional
    seed : int
        Of the pattern.
    """
    found = islice((photos or embedded()).pictures(), MOST_PHOTOS)
    marked = {photo.name: mark(picture, seed) for photo, picture in found}
    first = next(iter(marked))
    controls: list[Control] = [
        Slider(
            "crop", "Kept", 30, 100, 1, 80, unit="%", help="Share of each side, from the middle."
        ),
        Slider("scale", "Scaled to", 25, 100, 1, 100, unit="%", help="And back to its size."),
        Slider("noise", "Noise", 0, 20, 1, 0, help="Standard deviation, gray levels of 255."),
        Choice(
            "jpeg", "JPEG quality", list(QUALITIES), "70", help="Colour at half the resolution."
        ),
    ]
    if len(marked) > 1:
        controls.append(Choice("photo", "Photograph", list(marked), first))

    def found_for(settings: Mapping[str, Any]) -> Finding:
        return publish(settings, marked[settings.get("photo", first)])

    return Explorer(
        lambda settings: draw(found_for(settings)),
        controls,
        lambda settings: sentence(settings, found_for(settings)),
        SIZE,
        ALT,
    )
