"""Drawings of lesson 05, networks that run backwards."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.patheffects import withStroke

from course_lib.figures import ACCENT, INK, MUTED, PAGE_WIDTH, grid

MARKS = ("o", "s", "^", "D", "v")
REACH, NOISE_REACH = 2.4, 3.6
"""How far from the middle the moons are drawn, and how far what became of them."""
FIRST, SECOND = "#20459b", "#9a3b26"
"""The two parts of a coupling, which are also drawn at different heights."""


# The idea


def _box(axis: Axes, x: float, y: float, text: str, colour: str, width: float = 0.62) -> None:
    style = "round,pad=0.02,rounding_size=0.08"
    box = FancyBboxPatch((x - width / 2, y - 0.2), width, 0.4, boxstyle=style)
    box.set(facecolor="white", edgecolor=colour, linewidth=1.8, zorder=3)
    axis.add_patch(box)
    axis.text(x, y, text, ha="center", va="center", fontsize=10.5, color=INK, zorder=4)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 13, "shrinkA": 0, "shrinkB": 0}
    arrow = FancyArrowPatch(start, end, color=colour, linewidth=1.8, zorder=2, **look)
    axis.add_patch(arrow)


def coupling() -> Figure:
    """Draw one coupling forwards and, below it, backwards."""
    figure, axes = plt.subplots(2, 1, figsize=(PAGE_WIDTH, 3.7))
    for axis, forward in zip(axes, (True, False), strict=True):
        axis.set(xlim=(-0.3, 6.3), ylim=(-0.45, 1.75))
        axis.set_axis_off()
        axis.set_title("forward" if forward else "backward: the same two steps, last one first")
        top, low, sign = 1.35, 0.0, "+" if forward else "−"
        for y, colour in ((top, FIRST), (low, SECOND)):
            _arrow(axis, (0.3, y), (5.7, y), colour)
        names = ("a", "b", "a'", "b'") if forward else ("a'", "b'", "a", "b")
        ends = ((0, top), (0, low), (6, top), (6, low))
        for (x, y), name in zip(ends, names, strict=True):
            colour = FIRST if y == top else SECOND
            axis.text(x, y, f"${name}$", ha="center", va="center", fontsize=15, color=colour)
        steps = (("f", 1.9, True), ("g", 3.9, False))
        if not forward:
            steps = (("g", 1.9, False), ("f", 3.9, True))
        for network, place, moves_first in steps:
            start, end = (low, top) if moves_first else (top, low)
            colour = SECOND if moves_first else FIRST
            tip = (place, end - 0.13 if moves_first else end + 0.13)
            _arrow(axis, (place, start), tip, colour)
            _box(axis, place, (top + low) / 2, f"network ${network}$", colour, 1.15)
            axis.plot(place, end, "o", markersize=17, color="white", markeredgecolor=INK, zorder=4)
            axis.text(place, end - 0.02, sign, ha="center", va="center", fontsize=13, zorder=5)
    return figure


def scrambled(before: np.ndarray, between: np.ndarray, after: np.ndarray) -> Figure:
    """Show a picture, what a network made of it, and what came back.

    Parameters
    ----------
    before, between, after : HxWx3 float in [0, 1]
    """
    names = ["a photograph", "scrambled by a random network", "and back"]
    return grid([before, between, after], names)[0]


# Densities


def densities(
    data: np.ndarray, hidden: np.ndarray, made: np.ndarray, density: np.ndarray, extent: float
) -> Figure:
    """Draw a density in two numbers that couplings have learned.

    Parameters
    ----------
    data : (n, 2) array
        What was to be learned.
    hidden : (n, 2) array
        The same after the couplings.
    made : (m, 2) array
        Normal noise sent backwards.
    density : (k, k) array
        The model's density over a square around 0, rows upwards.
    extent : float
        The square reaches from minus this to plus this.
    """
    figure, axes = plt.subplots(1, 4, figsize=(PAGE_WIDTH, 2.45))
    shown = (
        ("data", data, MUTED, REACH),
        ("forward: noise", hidden, FIRST, NOISE_REACH),
        ("noise, backward", made, SECOND, REACH),
    )
    for axis, (name, points, colour, reach) in zip(axes, shown, strict=False):
        axis.plot(*points.T, ".", markersize=2.2, color=colour, linestyle="none")
        axis.set_title(name, fontsize=11)
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach))
    angle = np.linspace(0, 2 * np.pi, 100)
    halo = [withStroke(linewidth=4, foreground="white")]
    for radius in (1, 2):
        circle = (radius * np.cos(angle), radius * np.sin(angle))
        axes[1].plot(*circle, color=INK, linewidth=1.6, linestyle="--", path_effects=halo)
    edges = (-extent, extent, -extent, extent)
    axes[3].imshow(density, origin="lower", extent=edges, interpolation="bilinear")
    axes[3].set_title("learned density", fontsize=11)
    axes[3].set(xlim=(-REACH, REACH), ylim=(-REACH, REACH))
    for axis in axes:
        axis.set_aspect("equal")
        axis.spines[:].set_visible(True)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(False)
    return figure


# Stability


def growth(lines: Mapping[str, np.ndarray], depths: Sequence[int]) -> Figure:
    """Draw how the largest number grows with depth; a line ends where it overflows.

    Parameters
    ----------
    lines : dict of name to (depths,) array
        Largest absolute value; not finite after an overflow.
    depths : sequence of int
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.4))
    depth = np.array(depths)
    ends: list[tuple[float, float]] = []
    for k, (name, values) in enumerate(lines.items()):
        whole = np.isfinite(values)
        colour, style = (
            plt.get_cmap("viridis")(0.85 * k / len(lines)),
            ("-", "--", "-.", ":")[k % 4],
        )
        axis.plot(depth[whole], values[whole], style, marker=MARKS[k], color=colour, label=name)
        if not whole.all():
            last = int(whole.argmin()) - 1  # every line starts with a finite number
            ends.append((float(depth[last]), float(values[last])))
    axis.set_yscale("log")
    axis.set(xlabel="couplings in a row", ylabel="largest number", xticks=depth[1::2])
    top = axis.get_ylim()[1]
    for x, y in ends:
        axis.plot([x, x + 0.7], [y, top], linestyle=(0, (1, 1)), color=ACCENT, linewidth=1.6)
        axis.text(x + 0.9, top, "overflow", color=ACCENT, va="top", fontsize=10.5)
    axis.set_ylim(top=top)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def rounding(errors: Mapping[str, np.ndarray], depths: Sequence[int]) -> Figure:
    """Draw the error of a way there and back by depth.

    Parameters
    ----------
    errors : dict of name to (depths,) array
    depths : sequence of int
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.4))
    for k, (name, values) in enumerate(errors.items()):
        colour = plt.get_cmap("viridis")(0.85 * (k // 2) / max(len(errors) // 2, 1))
        style = "-" if "32" in name else ":"
        axis.plot(depths, values, style, marker=MARKS[k // 2], color=colour, label=name)
    axis.set_yscale("log")
    axis.set_xscale("log", base=2)
    axis.set(xlabel="couplings in a row", ylabel="largest error there and back")
    axis.set_xticks(depths, [str(depth) for depth in depths])
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


# Bands


def bands(picture: np.ndarray, found: np.ndarray, gain: float = 3.0) -> Figure:
    """Draw a gray picture and its four Haar bands.

    Parameters
    ----------
    picture : HxW array in [0, 1]
    found : (4, H/2, W/2) array
        Mean, differences along x, along y, and along both.
    gain : float
        Times which differences are shown.
    """
    mean, x, y, both = found
    panels = [mean / 2, *(0.5 + gain * part for part in (x, y, both))]
    names = ["means", "along x", "along y", "along both"]
    shape = picture.shape[0] / picture.shape[1]
    figure = plt.figure(figsize=(PAGE_WIDTH, PAGE_WIDTH / 2 * shape + 0.4))
    layout: list[Any] = [["picture", "picture", *names[:2]], ["picture", "picture", *names[2:]]]
    axes = figure.subplot_mosaic(layout)
    axes["picture"].imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes["picture"].set_title("picture", fontsize=11)
    axes["picture"].set_axis_off()
    axes["picture"].set_anchor("N")  # level with the bands' upper edge
    for panel, name in zip(panels, names, strict=True):
        axis = axes[name]
        axis.imshow(panel.clip(0, 1), cmap="gray", vmin=0, vmax=1)
        axis.set_title(name, fontsize=11)
        axis.set_axis_off()
    return figure


def u_shape(stops: Sequence[tuple[str, tuple[int, ...]]]) -> Figure:
    """Draw a U of layers: the coarser the bands, the lower.

    Parameters
    ----------
    stops : sequence of (layer's name, (channels, height, width))
        The input first, then what each layer returns.
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.5))
    sides = [shape[1] for _, shape in stops]
    levels = [int(np.log2(sides[0] / side)) for side in sides]
    axis.plot(range(len(stops)), [-level for level in levels], color=MUTED, lw=1.5, ls="-")
    looks = {"input": "D", "HaarDown": "v", "HaarUp": "^", "ConditionalSplit": "s"}
    for place, ((name, shape), level) in enumerate(zip(stops, levels, strict=True)):
        mark = looks.get(name, "o")
        colour = {"v": FIRST, "^": FIRST, "o": SECOND}.get(mark, INK)
        axis.plot(place, -level, mark, color=colour, markersize=11, zorder=3)
        if mark not in "os":  # after the split all is as before it
            text = f"{shape[0]} × {shape[1]} × {shape[2]}"
            low = mark == "v"
            axis.annotate(
                text,
                (place, -level),
                (0, -15 if low else 12),
                textcoords="offset points",
                ha="center" if place else "left",
                va="top" if low else "bottom",
                fontsize=9.5,
            )
    names = {"v": "Haar, down", "o": "coupling", "^": "Haar, up", "s": "conditional split"}
    for mark, name in names.items():
        colour = {"v": FIRST, "^": FIRST, "o": SECOND}.get(mark, INK)
        axis.plot([], [], mark, color=colour, markersize=9, label=name, linestyle="none")
    axis.legend(loc="upper center", ncols=4, fontsize=10, columnspacing=1.2, handletextpad=0.2)
    axis.set(ylim=(-max(levels) - 0.75, 1.15), xlim=(-0.6, len(stops) - 0.2))
    axis.set_yticks([-level for level in range(max(levels) + 1)])
    axis.set_yticklabels([f"1/{2**level}" if level else "full" for level in range(max(levels) + 1)])
    axis.set(ylabel="resolution")
    axis.set_xticks([])
    return figure


# Hiding


def hidden(rows: Sequence[Mapping[str, np.ndarray]]) -> Figure:
    """Show pictures under their names, one row each.

    Parameters
    ----------
    rows : sequence of dict of title to HxWx3 or HxW array in [0, 1]
        All of one height and width, and as many in each row.
    """
    pictures, titles = [], []
    for row in rows:
        for name, picture in row.items():
            flat = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
            pictures.append(flat.clip(0, 1))
            titles.append(name)
    return grid(pictures, titles, columns=len(rows[0]))[0]


def learning(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Draw PSNRs while a network learns, smoothed over a few steps.

    Parameters
    ----------
    curves : dict of name to values, one a step
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 2.7))
    for k, (name, values) in enumerate(curves.items()):
        width = max(len(values) // 25, 1)
        kernel = np.ones(width) / width
        smooth = np.convolve(values, kernel, mode="valid")
        colour, style = (FIRST, "-") if k == 0 else (SECOND, "--")
        axis.plot(np.arange(len(smooth)) + width // 2, smooth, style, color=colour, label=name)
    axis.set(xlabel="step of training", ylabel="PSNR (dB)")
    axis.legend(loc="lower right")
    return figure
