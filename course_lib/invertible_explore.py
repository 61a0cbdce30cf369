"""The explorer of lesson 5: a grid of points goes through couplings, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from course_lib.errors import UsageError
from course_lib.explorer import Choice, Control, Explorer, Slider, Value, write
from course_lib.invertible import (
    affine_couple,
    affine_uncouple,
    bounded_scale,
    couple,
    uncouple,
)

KINDS = ("additive", "bounded scale", "unbounded scale")
WAYS = ("as it is", "second number lost")
CELLS = 16
"""Cells of the grid along each side."""
EXTENT = 2.0
"""The grid reaches from minus this to plus this."""
UNITS = 10
"""Hidden units of the small network that computes one part's scale and shift from the other."""
LIMIT = 1.0
"""Bound of the logarithm of a scale."""

SIZE = (900, 396)
PANEL = 280
GAP = 30
VIEW = 4.0
"""A panel shows numbers from minus this to plus this."""
FAR = 20.0
"""Panels away from the middle; what lies farther is drawn there."""
OCTAVES = 2.0
"""The colours reach from cells 4 times smaller to cells 4 times larger."""
PAPER, INK, QUIET = (246, 246, 246), (34, 34, 59), (95, 99, 112)
RING, PLAIN = (154, 59, 38), (222, 226, 233)
SHIFT = 4
"""Bits behind the point of the coordinates that are drawn."""

ALT = (
    "Three panels. Left, a square grid with a circle in it; middle, the same grid after the "
    "couplings, bent, each cell coloured by how much its area has changed; right, the grid as it "
    "comes back. The sentence below says how much areas changed and how exact the way back is."
)

Points = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Journey:
    """Where a grid went, and where it came back to.

    Attributes
    ----------
    start, after, back : (k, 2) float32 arrays
        Points before, after the couplings, and after their inverses; not finite where numbers grew
        beyond what float32 holds.
    volume : (CELLS, CELLS) array
        Logarithm to base 2 of how much the area grows at each cell's middle.
    overflow : int
        The coupling, counted from 1, after which a number was no longer finite; 0 for none.
    """

    start: np.ndarray
    after: np.ndarray
    back: np.ndarray
    volume: np.ndarray
    overflow: int

    @property
    def error(self) -> float:
        """Largest distance of a coordinate from where it started; infinite after an overflow."""
        with np.errstate(invalid="ignore"):
            worst = float(np.abs(self.back - self.start).max())
        return worst if np.isfinite(worst) else float("inf")


# The couplings


@cache
def _weights(seed: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the weights of one small network: of the input, of the units, and of the output."""
    rng = np.random.default_rng((seed, step))
    slopes = rng.normal(0, 1.2, (1, UNITS))
    offsets = rng.normal(0, 1.0, (1, UNITS))
    out = rng.normal(0, 1 / np.sqrt(UNITS), (UNITS, 2))
    drawn = tuple(torch.tensor(part, dtype=torch.float32) for part in (slopes, offsets, out))
    return drawn[0], drawn[1], drawn[2]


def _small_network(part: Tensor, seed: int, step: int, strength: float) -> Tensor:
    """Compute two numbers from each of n: (n, 1) to (n, 2). It grows with its input."""
    slopes, offsets, out = _weights(seed, step)
    quiet = torch.nn.functional.silu(offsets) @ out  # so that 0 is hardly moved
    return strength * (torch.nn.functional.silu(part * slopes + offsets) @ out - quiet)


def _functions(kind: str, strength: float, seed: int, step: int) -> list[Any]:
    """Make what a coupling needs: a function for its first part and one for its second."""
    raw = [partial(_small_network, seed=seed, step=2 * step + i, strength=strength) for i in (0, 1)]
    if kind == "additive":
        return [lambda part, net=net: net(part)[:, 1:] for net in raw]
    if kind == "bounded scale":
        return [lambda part, net=net: bounded_scale(net(part), LIMIT) for net in raw]
    if kind == "unbounded scale":
        return [lambda part, net=net: net(part).chunk(2, 1) for net in raw]
    raise UsageError(f"kind = {kind!r}: choose one of {', '.join(KINDS)}.")


def travel(settings: Mapping[str, Any]) -> Journey:
    """Send a grid through the couplings that some settings describe, and back, in float32.

    Parameters
    ----------
    settings : dict
        A value for every control of `coupling_explorer`.
    """
    kind, depth = settings["kind"], settings["depth"]
    steps = [
        _functions(kind, settings["strength"], settings["weights"], step) for step in range(depth)
    ]
    forward, inverse = (
        (couple, uncouple) if kind == "additive" else (affine_couple, affine_uncouple)
    )
    corners, middles = _grid()
    here = torch.from_numpy(np.concatenate([corners, middles]))
    points: Points = (here[:, :1], here[:, 1:])
    volume, overflow = torch.zeros(len(here)), 0
    for number, functions in enumerate(steps, start=1):
        a, b, *log_det = forward(*points, *functions)
        points = (a, b)
        volume = volume + (log_det[0] if log_det else 0.0)
        if not overflow and not bool(torch.isfinite(torch.cat(points)).all()):
            overflow = number
    after = torch.cat(points, dim=1)
    if settings["way"] == WAYS[1]:
        points = (points[0], torch.zeros_like(points[1]))
    for functions in reversed(steps):
        points = inverse(*points, *functions)
    back = torch.cat(points, dim=1)
    many = len(corners)
    areas = volume[many:].numpy().reshape(CELLS, CELLS) / np.log(2)
    return Journey(corners, after[:many].numpy(), back[:many].numpy(), areas, overflow)


@cache
def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Return the corners and the middles of the cells, (n, 2) each, row by row."""
    lines = np.linspace(-EXTENT, EXTENT, CELLS + 1, dtype=np.float32)
    between = (lines[1:] + lines[:-1]) / 2
    corners, middles = (
        np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2) for places in (lines, between)
    )
    return corners, middles


# Drawing


def draw(journey: Journey) -> np.ndarray:
    """Draw the grid before, after, and back, and a key to the colours.

    Returns
    -------
    array, shape (396, 900, 3), uint8
    """
    canvas = np.full((SIZE[1], SIZE[0], 3), PAPER, np.uint8)
    titles = ("before", "after", "back again")
    for column, title in enumerate(titles):
        write(canvas, title, (column * (PANEL + GAP), 4))
    panels = (
        draw_grid(journey.start),
        draw_grid(journey.after, journey.volume),
        draw_grid(journey.back),
    )
    for column, panel in enumerate(panels):
        left = column * (PANEL + GAP)
        canvas[30 : 30 + PANEL, left : left + PANEL] = panel
    _key(canvas, 330)
    return canvas


def draw_grid(
    points: np.ndarray, volume: np.ndarray | None = None, side: int = PANEL
) -> np.ndarray:
    """Draw a bent grid, with a circle that was bent along with it.

    Parameters
    ----------
    points : ((CELLS + 1)², 2) array
        Corners of the cells, row by row.
    volume : (CELLS, CELLS) array, optional
        Colours: logarithm to base 2 of how much each cell's area grew. Without it cells are plain.
    side : int
        Of the picture, px.

    Returns
    -------
    array, shape (side, side, 3), uint8
    """
    panel = np.full((side, side, 3), 255, np.uint8)
    if not np.isfinite(points).all():
        write(panel, "Numbers overflowed:", (44, side // 2 - 26))
        write(panel, "there is nothing to draw.", (44, side // 2 - 2))
    else:
        corners = np.clip(points / VIEW, -FAR, FAR).reshape(CELLS + 1, CELLS + 1, 2)
        pixels = np.rint((corners * (1, -1) + 1) / 2 * (side - 1) * 2**SHIFT).astype(np.int32)
        colours = None if volume is None else volume_colours(volume)
        for row, column in np.ndindex(CELLS, CELLS):
            quad = pixels[[row, row, row + 1, row + 1], [column, column + 1, column + 1, column]]
            colour = PLAIN if colours is None else tuple(map(int, colours[row, column]))
            cv2.fillPoly(panel, [quad], colour, cv2.LINE_AA, SHIFT)
        lines = [*pixels, *np.ascontiguousarray(pixels.swapaxes(0, 1))]
        ink = QUIET if volume is None else (255, 255, 255)
        cv2.polylines(panel, lines, False, ink, 1, cv2.LINE_AA, SHIFT)
        ring = _ring(corners, side)
        cv2.polylines(panel, [ring], True, (255, 255, 255), 5, cv2.LINE_AA, SHIFT)
        cv2.polylines(panel, [ring], True, RING, 2, cv2.LINE_AA, SHIFT)
    cv2.rectangle(panel, (0, 0), (side - 1, side - 1), QUIET, 1)
    return panel


def _ring(corners: np.ndarray, side: int) -> np.ndarray:
    """Return a circle of half the grid's size, bent as the grid is, in the pixels of a panel."""
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    across, down = (CELLS / 2 * (1 + np.array([np.cos(angle), np.sin(angle)]) / 2)).astype(
        np.float32
    )
    bent = cv2.remap(
        corners.astype(np.float32), across[None], down[None], cv2.INTER_LINEAR
    ).reshape(-1, 2)
    return np.rint((bent * (1, -1) + 1) / 2 * (side - 1) * 2**SHIFT).astype(np.int32)


def volume_colours(volume: np.ndarray) -> np.ndarray:
    """Colour logarithms to base 2 of areas: dark for shrunk cells, light for grown ones."""
    share = np.clip(np.nan_to_num(volume) / OCTAVES, -1, 1)
    levels = np.rint(127.5 * (1 + share)).astype(np.uint8)
    flat = cv2.applyColorMap(levels.reshape(-1, 1), cv2.COLORMAP_CIVIDIS)[:, 0, ::-1]
    return np.asarray(flat).reshape(*volume.shape, 3)


def _key(canvas: np.ndarray, top: int) -> None:
    """Explain the colours, under the middle panel, and the circle."""
    left, wide, high = PANEL + GAP, PANEL, 16
    canvas[top : top + high, left : left + wide] = volume_colours(
        np.linspace(-OCTAVES, OCTAVES, wide)[None]
    )
    cv2.rectangle(canvas, (left, top), (left + wide - 1, top + high - 1), QUIET, 1)
    for text, place in (("4 × smaller", 0), ("same area", 103), ("4 × larger", 207)):
        write(canvas, text, (left + place, top + high + 4), 14, QUIET)
    write(canvas, "A circle rides along.", (0, top - 4), 14, QUIET)
    write(canvas, f"Panels reach from −{VIEW:g} to {VIEW:g}.", (0, top + 16), 14, QUIET)


# Words


def words(settings: Mapping[str, Any], journey: Journey) -> str:
    """Say in words what the couplings did to areas, and how exact the way back is."""
    depth, kind = settings["depth"], settings["kind"]
    count = f"{depth} coupling{'s' if depth > 1 else ''}"
    said = {
        KINDS[0]: f"{count}, additive: both numbers are moved in turn.",
        KINDS[1]: f"{count}, each scaling by e^−{LIMIT:g} to e^{LIMIT:g} and moving.",
        KINDS[2]: f"{count}, scaling by whatever comes out of the exponential.",
    }[kind]
    if journey.overflow:
        return (
            f"{said} After coupling {journey.overflow} a number is larger than float32 can hold; "
            "from there nothing leads back."
        )
    small, large = (2.0 ** float(end) for end in (journey.volume.min(), journey.volume.max()))
    areas = (
        "Every cell keeps its area, whatever its new shape."
        if kind == KINDS[0]
        else f"Areas of cells change by factors from {small:.2g} to {large:.2g}."
    )
    if settings["way"] == WAYS[1]:
        way = (
            "The second number of each point was replaced by 0 before the way back: all points "
            "come back on one curve, the best that one number can say."
        )
    elif not np.isfinite(journey.error):
        way = "On the way back numbers overflow."
    else:
        way = f"Back again no coordinate is off by more than {journey.error:.0e}: " + (
            "rounding alone." if journey.error < 1e-3 else "rounding, enlarged by the stretching."
        )
    return f"{said} {areas} {way}"


def controls() -> list[Control]:
    """Return the controls of the explorer."""
    couplings, back = "Couplings", "Way back"
    return [
        Choice("kind", "Kind", KINDS, KINDS[0], "What a coupling does to each part", couplings),
        Slider("depth", "Depth", 1, 12, 1, 2, "", "How many couplings in a row", couplings),
        Slider(
            *("strength", "Strength", 0.0, 2.0, 0.1, 0.8),
            help="Of what the small networks compute; 0 leaves every point where it is",
            group=couplings,
        ),
        Slider("weights", "Weights", 1, 9, 1, 1, "", "Other random networks", couplings),
        Choice(
            *("way", "On the way", WAYS, WAYS[0]),
            help="What happens to the second number of each point before the way back",
            group=back,
        ),
    ]


def coupling_explorer(**start: Value) -> Explorer:
    """Assemble the explorer of lesson 5: a grid through couplings and back.

    Parameters
    ----------
    **start
        Settings to begin with.
    """

    @lru_cache(maxsize=32)
    def found(items: tuple[tuple[str, Value], ...]) -> Journey:
        return travel(dict(items))

    explorer = Explorer(
        lambda settings: draw(found(tuple(settings.items()))),
        controls(),
        lambda settings: words(settings, found(tuple(settings.items()))),
        SIZE,
        ALT,
    )
    if start:
        explorer.set(**start)
    return explorer


def cases(seed: int, kinds: Sequence[str]) -> list[Journey]:
    """Send the grid through other random couplings for each of some kinds, for a game.

    Parameters
    ----------
    seed : int
    kinds : sequence of str
        Of `KINDS`.
    """
    fixed = {"depth": 2, "strength": 0.8, "way": WAYS[0]}
    return [
        travel({"kind": kind, "weights": 1000 * (seed + 1) + number, **fixed})
        for number, kind in enumerate(kinds)
    ]
