"""Drawings and tables of lesson 07, learning JPEG."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from course_lib.figures import ACCENT, INK, MUTED, PAGE_WIDTH
from course_lib.metrics import Estimate

MARKS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 1)))
LEVELS = (0.0, 0.3, 0.5, 0.66, 0.8, 0.15)
"""Of the colour map, for lines that have to stand out from white."""
MAGNIFIED = 10
"""How much differences between pictures are enhanced."""
GRID = (255, 209, 102)
"""Colour of the lines between blocks."""
SIDE = 8

Row = Mapping[str, Any]
"""A row of stored results."""
Line = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]


def _style(index: int) -> dict[str, Any]:
    level = LEVELS[index % len(LEVELS)]
    return {"color": mpl.colormaps["viridis"](level), "linestyle": DASHES[index % len(DASHES)]}


def magnified(picture: np.ndarray, other: np.ndarray, factor: float = MAGNIFIED) -> np.ndarray:
    """Draw how two uint8 pictures differ, enhanced around gray."""
    change = picture.astype(np.float32) - other
    return np.rint(128 + factor * change).clip(0, 255).astype(np.uint8)


def enlarged(picture: np.ndarray, times: int = 6, lines: bool = False) -> np.ndarray:
    """Enlarge a detail pixel by pixel, with lines between its blocks if wanted.

    Parameters
    ----------
    picture : (h, w, 3) uint8
        Blocks begin in its corner.
    times : int
    lines : bool
    """
    size = picture.shape[1] * times, picture.shape[0] * times
    large = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)).copy()
    if lines:
        for at in range(SIDE * times, size[1], SIDE * times):
            large[at - 1] = GRID
        for at in range(SIDE * times, size[0], SIDE * times):
            large[:, at - 1] = GRID
    return large


# Slopes


def stairs(blocks: Mapping[str, Line], waves: Mapping[str, Line]) -> Figure:
    """Draw what comes back of a change: in single blocks, and on average over all of them.

    Parameters
    ----------
    blocks, waves : dict of name to (amount, what comes back)
        In gray levels.
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.5), sharex=True)
    for axis, lines in zip(axes, (blocks, waves), strict=True):
        most = max(float(np.max(x)) for x, _ in lines.values())
        axis.plot([0, most], [0, most], color=MUTED, linestyle=":", linewidth=1.4)
        for index, (name, (x, y)) in enumerate(lines.items()):
            axis.plot(x, y, label=name, **_style(index))
        axis.set(xlabel="what is added, gray levels")
        axis.legend(fontsize=9.5)
    axes[0].set_title("the same wave in three blocks")
    axes[1].set_title("three waves, mean over all blocks")
    axes[0].set_ylabel("what comes back")
    return figure


def one_coefficient(curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Draw what becomes of one coefficient, and the slopes that are told of it.

    Parameters
    ----------
    curves : dict of name to (amount, value, slope)
        All in steps of the quantiser.
    """
    figure, axes = plt.subplots(
        2, len(curves), figsize=(PAGE_WIDTH, 4.0), sharex=True, sharey="row", squeeze=False
    )
    for column, (name, (x, value, slope)) in enumerate(curves.items()):
        above, below = axes[:, column]
        above.plot(x, x, ":", color=MUTED, linewidth=1.2)
        above.plot(x, value, "-", color=INK, linewidth=1.8)
        above.set_title(name, fontsize=10)
        below.axhline(0, color=MUTED, linewidth=0.8)
        below.plot(x, slope, "-", color=ACCENT, linewidth=1.8)
        below.set_xlabel("goes in, steps", fontsize=10)
    axes[0, 0].set_ylabel("comes out")
    axes[1, 0].set_ylabel("slope")
    axes[1, 0].set_ylim(-2, 5)
    return figure


def slope_maps(maps: Mapping[str, np.ndarray], columns: int = 4) -> Figure:
    """Draw mean slopes of the 64 waves of a block, coarse at the upper left.

    Parameters
    ----------
    maps : dict of title to (8, 8) array
        The first number, that of the block's mean, is not drawn.
    columns : int
    """
    rows = -(-len(maps) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(PAGE_WIDTH, 2.25 * rows + 0.1), squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (name, values) in zip(axes.flat, maps.items(), strict=False):
        shown = np.array(values, float)
        shown[0, 0] = np.nan
        drawn = axis.imshow(shown, vmin=0, vmax=1)
        axis.set_title(name, fontsize=10)
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="mean slope")
    return figure


def agreements(panels: Mapping[str, Mapping[str, Line]], mark: Mapping[str, float]) -> Figure:
    """Draw how well gradients agree with what was tried out, against the size of the change.

    Parameters
    ----------
    panels : dict of title to dict of name to (step, cosine)
    mark : dict of title to float
        A step to point at: the file's own, on average.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(PAGE_WIDTH, 3.5), sharey=True)
    for axis, (title, lines) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for index, (name, (x, y)) in enumerate(lines.items()):
            axis.plot(x, y, marker=MARKS[index], markersize=5, label=name, **_style(index))
        axis.axvline(mark[title], color=ACCENT, linewidth=1.2, linestyle=":")
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        axis.set_xticks([1, 3, 10, 30])
        axis.minorticks_off()
        axis.axhline(0, color=MUTED, linewidth=0.8)
        axis.set_title(title)
        axis.set_xlabel("change, gray levels")
    first = np.atleast_1d(axes)[0]
    first.set(ylabel="cosine with the truth", ylim=(-0.1, 1.03))
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=9.5, loc="outside lower center", ncols=len(labels))
    return figure


# The network


def _station(axis: Axes, x: float, y: float, text: str, size: tuple[float, float]) -> None:
    wide, high = size
    style = "round,pad=0.02,rounding_size=0.08"
    box = FancyBboxPatch((x - wide / 2, y - high / 2), wide, high, boxstyle=style)
    box.set(facecolor="white", edgecolor=INK, linewidth=1.6, zorder=3)
    axis.add_patch(box)
    axis.text(x, y, text, ha="center", va="center", fontsize=10, color=INK, zorder=4)


def _way(axis: Axes, start: tuple[float, float], end: tuple[float, float], **look: Any) -> None:
    look = {"color": INK, "linewidth": 1.6, "arrowstyle": "-|>", "mutation_scale": 12, **look}
    axis.add_patch(FancyArrowPatch(start, end, zorder=2, shrinkA=0, shrinkB=0, **look))


def network() -> Figure:
    """Draw FG-JPEG: a U-Net, a controller that tells its skips the quality, and a predictor."""
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 4.3))
    axis.set(xlim=(-0.5, 12.3), ylim=(-1.75, 5.2))
    axis.set_axis_off()
    axis.plot([4.2, 4.2], [-1.1, 3.35], color=ACCENT, linestyle=":", linewidth=2.2, zorder=1)
    for level, name in enumerate(("1", "1/2", "1/4", "1/8")):
        y, left, right = 4.5 - 1.15 * level, 1.3 + 0.35 * level, 7.1 - 0.35 * level
        _station(axis, left, y, f"down\n{name}", (1.0, 0.75))
        _station(axis, right, y, f"up\n{name}", (1.0, 0.75))
        _station(axis, 4.2, y, "$a\\,F + b$" if level else "$F$", (1.5, 0.55))
        _way(axis, (left + 0.55, y), (3.4, y))
        _way(axis, (5.0, y), (right - 0.55, y))
        if level:
            _way(axis, (left - 0.3, y + 0.75), (left - 0.1, y + 0.42))
            _way(axis, (right + 0.1, y + 0.42), (right + 0.3, y + 0.75))
    _station(axis, 4.2, -0.15, "1/16", (1.5, 0.5))
    _way(axis, (2.5, 0.66), (3.4, -0.1))
    _way(axis, (5.0, -0.1), (5.9, 0.66))
    _station(axis, 4.2, -1.35, "controller", (1.9, 0.55))
    _way(axis, (2.4, -1.35), (3.2, -1.35))
    axis.text(2.2, -1.35, "quality $Q$", fontsize=11, color=ACCENT, va="center", ha="right")
    axis.text(5.4, -1.35, "a scale $a$ and a shift $b$ a channel", fontsize=10, va="center")
    axis.text(-0.45, 4.5, "$I$", fontsize=14, color=ACCENT, va="center")
    _way(axis, (-0.1, 4.5), (0.75, 4.5))
    _way(axis, (7.65, 4.5), (8.45, 4.5))
    axis.text(8.55, 4.5, r"$I + $change $= \hat I_{jpg}$", fontsize=12, color=ACCENT, va="center")
    _way(axis, (10.0, 4.15), (10.0, 3.0))
    _station(axis, 10.0, 2.2, "predictor, frozen\nplain, SRM, Bayar", (3.4, 1.4))
    _way(axis, (10.0, 1.45), (10.0, 0.75))
    axis.text(10.0, 0.4, r"$\hat Q$, like a real file's?", fontsize=11, color=ACCENT, ha="center")
    return figure


def steps_of_grid(steps: Mapping[str, np.ndarray]) -> Figure:
    """Draw how large steps between neighbouring pixels are, by their place in a block.

    Parameters
    ----------
    steps : dict of name to (8,) array
        Gray levels; the last is across the edge of a block.
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH * 0.8, 3.2))
    for index, (name, values) in enumerate(steps.items()):
        axis.plot(range(1, 9), values, marker=MARKS[index], label=name, **_style(index))
    axis.axvline(8, color=ACCENT, linewidth=1.2, linestyle=":", zorder=0)
    labels = [*(f"{k}–{k + 1}" for k in range(1, 8)), "edge"]
    axis.set_xticks(range(1, 9), labels)
    axis.set(xlabel="between which pixels of a block", ylabel="mean step, gray levels")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=9.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


# Training


def curves(reader: Mapping[str, np.ndarray], maker: Mapping[str, np.ndarray]) -> Figure:
    """Draw both trainings: share of qualities read rightly, and distance from the file.

    Parameters
    ----------
    reader : dict of name to (steps,) array
        ``accuracy``.
    maker : dict of name to (steps,) array
        ``psnr`` and ``accuracy``.
    """
    figure, axes = plt.subplots(1, 3, figsize=(PAGE_WIDTH, 2.8))
    axes[0].plot(_smooth(reader["accuracy"]), color=INK)
    axes[0].set_title("predictor, on real files", fontsize=10.5)
    axes[1].plot(_smooth(maker["psnr"]), color=INK)
    axes[1].set_title("generator, PSNR to the file (dB)", fontsize=10.5)
    axes[2].plot(_smooth(maker["accuracy"]), color=INK)
    axes[2].set_title("its quality as read", fontsize=10.5)
    for axis in (axes[0], axes[2]):
        axis.axhline(1 / 6, color=MUTED, linestyle=":", linewidth=1.4)
        axis.set(ylim=(0, 1.02))
    axes[0].set_ylabel("share right")
    for axis in axes:
        axis.set_xlabel("step")
    return figure


def _smooth(values: Sequence[float] | np.ndarray, share: float = 0.04) -> np.ndarray:
    """Average over the last steps."""
    window = max(1, round(share * len(values)))
    sums = np.cumsum(np.insert(np.asarray(values, float), 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


# The experiment


def bits(
    panels: Mapping[str, Mapping[str, Sequence[Estimate]]],
    ticks: Sequence[Sequence[str]],
    labels: Sequence[str],
) -> Figure:
    """Draw shares of bits that were read rightly, a line for each way of training.

    Parameters
    ----------
    panels : dict of title to dict of name to one Estimate a tick
    ticks : sequence of sequence of str
        Of each panel.
    labels : sequence of str
        Of each panel's axis.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(PAGE_WIDTH, 3.7), sharey=True)
    for axis, (title, found), names, label in zip(
        np.atleast_1d(axes), panels.items(), ticks, labels, strict=True
    ):
        for index, (name, row) in enumerate(found.items()):
            x = np.arange(len(row)) + 0.06 * (index - (len(found) - 1) / 2)
            values = np.array([one.value for one in row])
            ends = np.abs(np.array([[one.low, one.high] for one in row]).T - values)
            style = _style(index)
            axis.errorbar(
                x,
                values,
                yerr=np.nan_to_num(ends),
                capsize=2.5,
                marker=MARKS[index],
                markersize=5,
                linewidth=1.7,
                label=name,
                **style,
            )
        axis.axhline(0.5, color=MUTED, linestyle=":", linewidth=1.4)
        axis.set_xticks(range(len(names)), names)
        axis.set(xlabel=label, ylim=(0.45, 1.02))
        axis.set_title(title)
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("share of bits read rightly")
    handles, names = first.get_legend_handles_labels()
    figure.legend(handles, names, fontsize=9.5, loc="outside lower center", ncols=3)
    return figure


# Stored results

SIMULATORS = {
    "real": "the real file",
    "fg-jpeg": "FG-JPEG",
    "jpeg-ss": 'JPEG-SS (the paper\'s "Diff-JPEG")',
    "fourier": "nine terms",
    "straight-through": "this course's JPEG, hard rounding",
    "jpeg-mixup": "JPEG-Mixup",
    "jpeg-mask": "JPEG-Mask, by quality",
    "mbrs": "MBRS",
    "none": "nothing",
}
"""Simulators by their names in results, in the order of the table."""


def chosen(rows: Iterable[Row], metric: str, **keys: Any) -> Row | None:
    """Return the row of a metric under exactly these conditions, or None."""
    wanted = {name: keys.get(name) for name in ("variant", "attack", "case")}
    return next(
        (
            row
            for row in rows
            if row["metric"] == metric and all(row.get(n) == v for n, v in wanted.items())
        ),
        None,
    )


def cell(row: Row | None, digits: int = 1, scale: float = 1.0) -> str:
    """Write a measured number with its interval for a table."""
    if row is None:
        return "–"
    value, low, high = (
        None if row[k] is None else scale * row[k] for k in ("value", "low", "high")
    )
    ends = "" if low is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"**{value:.{digits}f}**{ends}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay cells out as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table_of_simulators(rows: Sequence[Row]) -> str:
    """Write how near each simulator comes to the file, the quality read off it, and its cost."""
    lines = []
    for variant, name in SIMULATORS.items():
        near = chosen(rows, "simulator_psnr", variant=variant)
        read = [
            chosen(rows, "quality_accuracy", variant=variant, case=case)
            for case in ("predictor", "judge")
        ]
        edge = chosen(rows, "blockiness", variant=variant)
        cost = chosen(rows, "seconds_simulator", variant=variant)
        if not any((near, *read, edge, cost)):
            continue
        paper = next((row["paper"] for row in read if row and row["paper"] is not None), None)
        lines.append(
            [
                f"**{name}**",
                "exact" if variant == "real" else cell(near),
                *(cell(row, scale=100) for row in read),
                "–" if paper is None else f"{100 * paper:.2f}",
                cell(edge, 2),
                cell(cost, 2),
            ]
        )
    head = ["", "PSNR to the file, dB", "quality read rightly, %", "the same by the judge, %"]
    return table([*head, "paper, %", "grid (1: none)", "seconds for 8, there and back"], lines)


def table_by_quality(rows: Sequence[Row], qualities: Sequence[int]) -> str:
    """Write the PSNR to the file at each quality."""
    lines = []
    for variant, name in SIMULATORS.items():
        found = [
            chosen(rows, "simulator_psnr", variant=variant, attack=f"jpeg{quality}")
            for quality in qualities
        ]
        if any(found):
            lines.append([f"**{name}**", *map(cell, found)])
    return table(["dB", *(f"quality {quality}" for quality in qualities)], lines)


def side_by_side(pictures: Sequence[np.ndarray], gap: int = 12) -> np.ndarray:
    """Put pictures of one size beside each other."""
    white = np.full((len(pictures[0]), gap, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (white, picture)][1:]
    return np.concatenate(parts, axis=1)
