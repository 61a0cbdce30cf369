"""The explorer of lesson 1: one photograph, one lens, and a slider for each of its faults."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import islice
from statistics import median
from typing import Any

import cv2
import numpy as np

from course_lib.explorer import Choice, Control, Explorer, Slider, Value, lettering
from course_lib.lens import Lens, falloff, magnify
from course_lib.photos import PhotoSource, embedded

WIDTH, HEIGHT = 768, 512
CHART = "test chart"
MOST_PHOTOS = 8
"""Photographs offered from a folder; more would make a long list and a slow start."""
AMPLIFIED = 4
"""Contrast of the difference view."""
ENLARGED = 4
"""Magnification of the magnifier."""
GLASS = (72, 48)
"""Width and height of what the magnifier shows, px."""
DARK, BRIGHT = (0, 0, 0), (255, 196, 0)
"""A mark in both is seen on any ground."""

CORNERS = ("top left", "top right", "bottom left", "bottom right")
ALT = (
    "A picture as the chosen lens draws it. The sentence below it says what the lens does to its "
    "corners."
)

Gallery = Mapping[str, np.ndarray]


def controls(pictures: Sequence[str] | None = None) -> list[Control]:
    """Return the controls of the lens explorer, which start at a perfect lens.

    Parameters
    ----------
    pictures : sequence of str, optional
        Names that can be chosen; by default those of the embedded photographs and the chart.
    """
    names = list(pictures or [*(photo.name for photo in embedded()), CHART])
    size, light, centre, view = (
        "Size of each channel",
        "Blur, light, shape, colour",
        "Optical centre",
        "What is shown",
    )
    return [
        Choice("picture", "Picture", names, names[0], group=view),
        Choice(
            "view",
            "View",
            ("photograph", "difference"),
            "photograph",
            "What the lens draws, or its difference from the clean picture, amplified",
            view,
        ),
        Choice("magnifier", "Magnifier", ("none", *CORNERS), "none", group=view),
        *(
            Slider(
                name,
                name.capitalize(),
                *(-1.0, 1.0, 0.05, 0.0),
                unit="%",
                help=f"How much larger or smaller {name} is drawn about the optical centre",
                group=size,
            )
            for name in ("green", "red", "blue")
        ),
        Slider(
            "blur",
            "Blur",
            *(0.0, 4.0, 0.1, 0.0),
            unit="px",
            help="Longitudinal aberration: σ of red's and blue's blur in the corners",
            group=light,
        ),
        Slider(
            "vignetting",
            "Vignetting",
            *(0, 100, 1, 0),
            unit="%",
            help="Strength of the sixth-order polynomial; real lenses lie below 25 %",
            group=light,
        ),
        Slider(
            "distortion",
            "Distortion k₁",
            *(-0.2, 0.2, 0.01, 0.0),
            help="Below zero is barrel distortion, above zero pincushion",
            group=light,
        ),
        Slider("saturation", "Saturation", *(0, 200, 5, 100), unit="%", group=light),
        Slider(
            "center_x",
            "Centre across",
            *(0.3, 0.7, 0.01, 0.5),
            help="Optical centre, as a fraction of the width from the left",
            group=centre,
        ),
        Slider(
            "center_y",
            "Centre down",
            *(0.3, 0.7, 0.01, 0.5),
            help="Optical centre, as a fraction of the height from the top",
            group=centre,
        ),
    ]


def render(settings: Mapping[str, Any], gallery: Gallery | None = None) -> np.ndarray:
    """Draw a picture as the lens of these settings does.

    Parameters
    ----------
    settings : dict
        A value for every control of `controls`.
    gallery : dict of name to picture, optional
        What ``settings["picture"]`` is looked up in; by default the embedded photographs.

    Returns
    -------
    array, shape (512, 768, 3), uint8
    """
    clean = (gallery or embedded_gallery())[settings["picture"]]
    lens = lens_of(settings)
    seen = lens.apply(clean)
    if settings["view"] == "difference":
        unmoved = _zoomed(clean, lens)
        seen = cv2.addWeighted(seen, AMPLIFIED, unmoved, -AMPLIFIED, 128)
    if lens.center != (0.5, 0.5):
        x, y = round(lens.center[0] * WIDTH), round(lens.center[1] * HEIGHT)
        _line(seen, (x - 9, y), (x + 9, y))
        _line(seen, (x, y - 9), (x, y + 9))
    if settings["magnifier"] != "none":
        _magnifier(seen, settings["magnifier"])
    if settings["view"] == "difference":
        below = not settings["magnifier"].startswith("bottom")
        _label(seen, f"difference × {AMPLIFIED}, gray = unchanged", below)
    return seen


def lens_of(settings: Mapping[str, Any]) -> Lens:
    """Make the lens that some settings describe.

    A barrel distortion so strong that it would fold a far corner over is weakened to what the
    frame can hold.
    """
    center = settings["center_x"], settings["center_y"]
    blur = settings["blur"]
    return Lens(
        red=1 + settings["red"] / 100,
        green=1 + settings["green"] / 100,
        blue=1 + settings["blue"] / 100,
        blur=(blur, 0.0, blur),
        vignetting=settings["vignetting"] / 100,
        distortion=max(settings["distortion"], _strongest_barrel(center)),
        saturation=settings["saturation"] / 100,
        center=center,
    )


def sentence(settings: Mapping[str, Any]) -> str:
    """Say in words what these settings do to a picture."""
    lens = lens_of(settings)
    where = _far_corners(lens.center)
    far = _farthest(lens.center)
    pixels = far * np.hypot(WIDTH, HEIGHT) / 2
    said = []
    fringed = len(set(lens.magnifications)) > 1
    if fringed:
        said.append(_fringes(lens, where, pixels))
    if settings["blur"]:
        sigma = settings["blur"] * far**2
        said.append(
            f"Green is sharp, red and blue are out of focus, by {sigma:.1f} px {where}: "
            + ("a magenta haze" if lens.saturation else "a gray haze")
            + " surrounds what is bright."
        )
    if settings["vignetting"]:
        left = 100 * falloff(far, lens.vignetting)
        only = "only " if left < 50 else ""
        said.append(f"{where.capitalize()}, {only}{left:.0f} % of the brightness is left.")
    if lens.distortion:
        said.append(_bend(lens, settings["distortion"], where, far))
    radial = bool(said)
    if lens.saturation != 1:
        said.append(_colour(lens.saturation, fringed))
    if lens.center != (0.5, 0.5):
        place = _place(lens.center)
        if radial:
            said.append(f"The optical centre, the cross, lies {place}.")
        else:
            said.append(
                f"The optical centre, the cross, lies {place}, but nothing here depends on it."
            )
    if not radial and lens.saturation == 1 and lens.red != 1:
        said.insert(
            0,
            "All channels change size alike, so none has a fringe, and the frame, which is always "
            "filled, shows the same.",
        )
    elif not radial and lens.saturation == 1:
        said.insert(
            0,
            "This lens leaves the picture as it is: the channels coincide, and the corners are as "
            "sharp and bright as the middle.",
        )
    if settings["view"] == "difference":
        changed = radial or lens.saturation != 1
        said.insert(
            0,
            "Difference from the clean picture, four times amplified"
            + ("; gray is unchanged." if changed else ": gray everywhere."),
        )
    if settings["magnifier"] != "none":
        said.append(f"Inset: the {settings['magnifier']} corner, four times enlarged.")
    return " ".join(said)


def explorer(photos: PhotoSource | None = None, **start: Value) -> Explorer:
    """Assemble the explorer of lesson 1.

    Parameters
    ----------
    photos : PhotoSource, optional
        Photographs to choose from, of which the first eight usable ones are read; by default the
        embedded ones.
    **start
        Settings to begin with. Reset goes back to a perfect lens.
    """
    gallery = embedded_gallery() if photos is None else gallery_of(photos)
    lens_explorer = Explorer(
        partial(render, gallery=gallery),
        controls(list(gallery)),
        sentence,
        size=(WIDTH, HEIGHT),
        alt=ALT,
    )
    if start:
        lens_explorer.set(**start)
    return lens_explorer


def gallery_of(photos: PhotoSource) -> Gallery:
    """Read the first usable photographs of a source, cut to 3:2 and scaled to 768×512.

    Returns
    -------
    dict of name to array of shape (512, 768, 3), uint8
        The test chart is its last entry.
    """
    gallery = {
        photo.name: _fit(picture) for photo, picture in islice(photos.pictures(), MOST_PHOTOS)
    }
    gallery[CHART] = chart()
    return gallery


@cache
def embedded_gallery() -> Gallery:
    """Return the gallery of the embedded photographs, read once."""
    return gallery_of(embedded())


def chart() -> np.ndarray:
    """Draw a test chart: a grid of straight lines, checkers in the corners, a star in the middle.

    Returns
    -------
    array, shape (512, 768, 3), uint8
        Gray, because every fringe on it is then the lens's own.
    """
    fine = 4
    width, height = WIDTH * fine, HEIGHT * fine
    sheet = np.full((height, width), 236, np.uint8)
    for x in range(0, width + 1, 64 * fine):
        sheet[:, max(x - fine, 0) : x + fine] = 40
    for y in range(0, height + 1, 64 * fine):
        sheet[max(y - fine, 0) : y + fine] = 40

    y, x = np.mgrid[0 : 96 * fine, 0 : 128 * fine] // (16 * fine)
    checkers = np.where((x + y) % 2, 236, 30).astype(np.uint8)
    sheet[: 96 * fine, : 128 * fine] = checkers
    sheet[: 96 * fine, -128 * fine :] = checkers[:, ::-1]
    sheet[-96 * fine :, : 128 * fine] = checkers[::-1]
    sheet[-96 * fine :, -128 * fine :] = checkers[::-1, ::-1]

    dy, dx = np.mgrid[0:height, 0:width].astype(np.float32)
    dy, dx = dy - height / 2 + 0.5, dx - width / 2 + 0.5
    distance = np.hypot(dy, dx)
    star = np.where(np.sin(24 * np.arctan2(dy, dx)) > 0, 236, 30).astype(np.uint8)
    disc = distance < 104 * fine
    sheet[disc] = star[disc]
    sheet[distance < 12 * fine] = 128
    small = cv2.resize(sheet, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_GRAY2RGB)


def _fit(picture: np.ndarray) -> np.ndarray:
    """Cut 3:2 out of a picture, heads rather than feet, and scale it to 768×512."""
    height, width = picture.shape[:2]
    w, h = min(width, round(height * WIDTH / HEIGHT)), min(height, round(width * HEIGHT / WIDTH))
    left, top = (width - w) // 2, (height - h) // 3
    part = picture[top : top + h, left : left + w]
    way = cv2.INTER_AREA if w > WIDTH else cv2.INTER_CUBIC
    return cv2.resize(part, (WIDTH, HEIGHT), interpolation=way)


def _zoomed(clean: np.ndarray, lens: Lens) -> np.ndarray:
    """Zoom the clean picture as the lens zooms its middle channel.

    Otherwise the zoom that keeps the frame filled would itself appear as a difference.
    """
    zoom = max(1.0, lens.zoom(clean.shape) * median(lens.magnifications))
    if zoom < 1 + 1e-9:
        return clean
    with ThreadPoolExecutor(3) as pool:
        return cv2.merge(
            list(pool.map(lambda plane: magnify(plane, zoom, lens.center), cv2.split(clean)))
        )


def _strongest_barrel(center: tuple[float, float]) -> float:
    """k₁ at which the farthest corner is still well clear of the fold at 1 + 3 k₁ r² = 0."""
    return -0.65 / (3 * _farthest(center) ** 2)


def _farthest(center: tuple[float, float]) -> float:
    """Radius of the corner farthest from the optical centre, in halves of the diagonal."""
    across, down = (max(fraction, 1 - fraction) for fraction in center)
    return float(2 * np.hypot(across * WIDTH, down * HEIGHT) / np.hypot(WIDTH, HEIGHT))


def _line(picture: np.ndarray, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Draw a thin line that is seen on light and dark ground alike."""
    cv2.line(picture, start, end, DARK, 4)
    cv2.line(picture, start, end, BRIGHT, 2)


def _magnifier(picture: np.ndarray, corner: str) -> None:
    """Draw a corner enlarged into the other end of the same edge, and mark where it is from."""
    w, h = GLASS
    gap = 6
    left = gap if corner.endswith("left") else WIDTH - gap - w
    top = gap if corner.startswith("top") else HEIGHT - gap - h
    glass = cv2.resize(
        picture[top : top + h, left : left + w],
        (w * ENLARGED, h * ENLARGED),
        interpolation=cv2.INTER_NEAREST,
    )
    x = WIDTH - gap - w * ENLARGED if corner.endswith("left") else gap
    y = gap if corner.startswith("top") else HEIGHT - gap - h * ENLARGED
    picture[y : y + h * ENLARGED, x : x + w * ENLARGED] = glass
    for x0, y0, x1, y1 in (
        (x, y, x + w * ENLARGED, y + h * ENLARGED),
        (left, top, left + w, top + h),
    ):
        cv2.rectangle(picture, (x0 - 3, y0 - 3), (x1 + 2, y1 + 2), DARK, 4)
        cv2.rectangle(picture, (x0 - 3, y0 - 3), (x1 + 2, y1 + 2), BRIGHT, 2)


def _label(picture: np.ndarray, text: str, below: bool) -> None:
    """Write white text on a dark band at the middle of the lower or upper edge."""
    ink = lettering(text)
    h, w = ink.shape
    x = (WIDTH - w) // 2
    y = HEIGHT - h - 10 if below else 10
    picture[y - 4 : y + h + 4, x - 8 : x + w + 8] //= 4
    spot = picture[y : y + h, x : x + w]
    spot[:] = np.rint(spot + ink[..., None] * (255.0 - spot)).astype(np.uint8)


def _number(value: float, digits: int = 2) -> str:
    """Write a number without trailing zeros."""
    return f"{abs(value):.{digits}f}".rstrip("0").rstrip(".")


def _fringes(lens: Lens, where: str, pixels: float) -> str:
    """Say which channel lies where against the others, and the colours of the rims."""
    sizes = dict(zip(("red", "green", "blue"), lens.magnifications, strict=True))
    small, middle, large = sorted(sizes, key=lambda name: sizes[name])
    if sizes[small] != sizes[middle] != sizes[large]:
        outer, inner = (pixels * (1 - sizes[small] / sizes[c]) for c in (large, middle))
        rims = small, large
        said = (
            f"The channels differ in size: {where}, {large} lies {outer:.1f} px and {middle} "
            f"{inner:.1f} px farther out than {small}"
        )
    else:
        odd, other = (small, large) if sizes[middle] == sizes[large] else (large, small)
        rest = [name for name in sizes if name != odd]
        ratio = sizes[odd] / sizes[other]
        inward = ratio < 1
        shift = pixels * (1 - ratio if inward else 1 - 1 / ratio)
        opposite = {"red": "cyan", "green": "magenta", "blue": "yellow"}[odd]
        rims = (odd, opposite) if inward else (opposite, odd)
        said = (
            f"{odd.capitalize()} is drawn {_number(100 * (ratio - 1))} % "
            f"{'inward' if inward else 'outward'}: {where} its edges lie {shift:.1f} px "
            f"{'nearer to' if inward else 'farther from'} the centre than {rest[0]}'s and "
            f"{rest[1]}'s"
        )
    if not lens.saturation:
        return f"{said}."
    return (
        f"{said}, so bright things have a {rims[0]} rim towards the centre and a {rims[1]} rim "
        "away from it."
    )


def _bend(lens: Lens, asked: float, where: str, far: float) -> str:
    """Say how the distortion bends lines, and whether it was weakened."""
    change = 100 * abs(lens.distortion) * far**2
    if lens.distortion > 0:
        return (
            "Straight lines bend inward, as on a pincushion: magnification is "
            f"{change:.0f} % higher {where} than at the centre."
        )
    said = (
        "Straight lines bulge outward, as on a barrel: magnification is "
        f"{change:.0f} % lower {where} than at the centre"
    )
    if lens.distortion != asked:
        return f"{said}. This is the strongest barrel drawn for a corner so far out."
    return f"{said}."


def _colour(saturation: float, fringed: bool) -> str:
    if not saturation:
        rest = ": of the fringes only gray doubles of edges are left" if fringed else ""
        return f"All colour is taken out{rest}."
    verb = "muted" if saturation < 1 else "strengthened"
    return f"Colours are {verb} to {100 * saturation:.0f} %."


def _sides(center: tuple[float, float]) -> tuple[str, str]:
    """Vertical and horizontal side of the middle on which a point lies; empty on an axis."""
    across, down = center
    return (
        "" if down == 0.5 else "upper" if down < 0.5 else "lower",
        "" if across == 0.5 else "left" if across < 0.5 else "right",
    )


def _far_corners(center: tuple[float, float]) -> str:
    """Name the corners that lie farthest from the optical centre."""
    vertical, horizontal = _sides((1 - center[0], 1 - center[1]))
    if vertical and horizontal:
        return f"in the {vertical} {horizontal} corner"
    if vertical or horizontal:
        return f"in the {vertical or horizontal} corners"
    return "in the corners"


def _place(center: tuple[float, float]) -> str:
    vertical, horizontal = _sides(center)
    sides = {"upper": "above", "lower": "below", "left": "left of", "right": "right of"}
    return " and ".join(sides[side] for side in (vertical, horizontal) if side) + " the middle"
