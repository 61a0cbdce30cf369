"""Drawings of lesson 03, was this picture cropped."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.figures import ACCENT, INK, MUTED, PAGE_WIDTH, dimmed, frame_box, grid
from course_lib.geometry import FULL, Box
from course_lib.metrics import Estimate
from course_lib.traces.examples import GRID, Example
from course_lib.traces.readers import Opinion
from course_lib.traces.shortcuts import Leak

TRUE = "#ffd166"
"""The true frame: a light solid line."""
SAID = "#ffffff"
"""The frame that a model names: a white dashed line."""
MARKS = ("o", "s", "^", "D", "v", "P")
_AROUND: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 9}


def _written(axis: Axes, x: float, y: float, text: str, size: float = 9) -> None:
    around = [patheffects.withStroke(linewidth=2.5, foreground=INK)]
    axis.text(
        *(x, y, text),
        ha="center",
        va="center",
        fontsize=size,
        color="white",
        weight="bold",
        path_effects=around,
    )


def example(photo: np.ndarray, made: Example) -> Figure:
    """Draw what a training example is made of: the photograph, the 16 patches, the thumbnail.

    Parameters
    ----------
    photo : HxWx3 uint8
        Before the crop, 3:2.
    made : Example
    """
    figure = plt.figure(figsize=(PAGE_WIDTH, 3.1))
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1, 0.75))
    left.imshow(dimmed(photo, made.box))
    frame_box(left, made.box, photo.shape, edgecolor=TRUE)
    height, width = photo.shape[:2]
    for i in range(1, GRID):
        left.axvline(i * width / GRID, color="white", linewidth=0.8, linestyle=":")
        left.axhline(i * height / GRID, color="white", linewidth=0.8, linestyle=":")
    left.set_title("the photograph, its 4 × 4 cells, the crop", fontsize=10.5)
    side = made.patches.shape[1]
    gap = max(side // 12, 2)
    sheet = np.full((GRID * (side + gap), GRID * (side + gap), 3), 255, np.uint8)
    for k, patch in enumerate(made.patches):
        row, column = divmod(k, GRID)
        y, x = row * (side + gap), column * (side + gap)
        sheet[y : y + side, x : x + side] = patch
        _written(middle, x + side / 2, y + side / 2, str(made.cells[k]))
    middle.imshow(sheet)
    middle.set_title("16 patches, true cells", fontsize=10.5)
    right.imshow(made.thumbnail)
    right.set_title("thumbnail", fontsize=10.5)
    for axis in (left, middle, right):
        axis.set_axis_off()
    return figure


def votes(picture: np.ndarray, found: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Paint small maps of votes on a picture, one on each of its 16 patches.

    Parameters
    ----------
    picture : HxWx3 uint8
    found : (16, 16) array
        For each patch the probability of each cell.
    cells : (16,) int array
        True cells, outlined.
    """
    shown = cv2.resize(picture, (720, 480), interpolation=cv2.INTER_AREA)
    for k in range(GRID * GRID):
        row, column = divmod(k, GRID)
        level = np.sqrt(found[k].reshape(GRID, GRID))
        colour = (255 * mpl.colormaps["viridis"](level)[..., :3]).astype(np.uint8)
        map_ = cv2.resize(colour, (96, 64), interpolation=cv2.INTER_NEAREST)
        y, x = divmod(int(cells[k]), GRID)
        cv2.rectangle(map_, (24 * x, 16 * y), (24 * x + 23, 16 * y + 15), (255, 255, 255), 2)
        top, left = 120 * row + 28, 180 * column + 42
        cv2.rectangle(shown, (left - 3, top - 3), (left + 98, top + 66), (20, 20, 30), -1)
        shown[top : top + 64, left : left + 96] = map_
    return shown


def pooled(
    picture: np.ndarray,
    box: Box,
    found: np.ndarray,
    cells: np.ndarray,
    frames: np.ndarray,
    belief: np.ndarray,
    best: Box,
    most: int = 40,
) -> Figure:
    """Draw votes of a crop's patches, and the frames that they make likely.

    Parameters
    ----------
    picture : HxWx3 uint8
        The crop.
    box : Box
        What it is of the original.
    found, cells
        As for `votes`.
    frames : (k, 4) array
        Possible frames.
    belief : (k,) array
        Their probabilities.
    best : Box
        The frame that is named.
    most : int
        Frames drawn.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.0))
    left.imshow(votes(picture, found, cells))
    left.set_axis_off()
    left.set_title("votes of the 16 patches (true cell outlined)", fontsize=10.5)
    for k in np.argsort(belief)[::-1][:most][::-1]:
        x1, y1, x2, y2 = frames[k]
        shade = float(np.sqrt(belief[k] / belief.max()))
        colour = mpl.colormaps["viridis"](0.95 - 0.9 * shade)
        right.add_patch(
            mpl.patches.Rectangle(
                *((x1, y1), x2 - x1, y2 - y1),
                fill=False,
                edgecolor=colour,
                linewidth=0.6 + 1.6 * shade,
                alpha=0.25 + 0.6 * shade,
            )
        )
    for one, style, name in ((box, "-", "true"), (best, "--", "named")):
        right.add_patch(
            mpl.patches.Rectangle(
                *((one.x1, one.y1), one.width, one.height),
                fill=False,
                edgecolor=ACCENT,
                linestyle=style,
                linewidth=2.6,
                label=name,
            )
        )
    right.set(xlim=(-0.03, 1.03), ylim=(1.03, -0.03), aspect=1 / 1.5, xticks=[], yticks=[])
    right.set_axis_off()
    right.set_title(f"the {most} likeliest frames (darker: likelier)", fontsize=10.5)
    right.legend(loc="upper center", bbox_to_anchor=(0.5, 0.04), ncols=2, fontsize=9)
    return figure


def leaks(found: Sequence[Leak]) -> Figure:
    """Draw how often a probe is right with a defence off and on."""
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 1.0 + 0.85 * len(found)))
    for row, leak in enumerate(found):
        _interval(axis, leak.off, row - 0.16, "s", ACCENT)
        _interval(axis, leak.on, row + 0.26, "o", INK)
        for shift, one, word in ((-0.16, leak.off, "off"), (0.26, leak.on, "on")):
            axis.annotate(f"defence {word}", (one.value, row + shift), (0, 7), **_AROUND)
        axis.plot([leak.chance] * 2, [row - 0.45, row + 0.45], ":", color=MUTED)
    axis.set(yticks=range(len(found)), yticklabels=[leak.name for leak in found])
    axis.set(ylim=(len(found) - 0.5, -0.6), xlim=(0.2, 1.05))
    axis.set_xlabel("share of pictures that the probe judges rightly (dotted: chance)")
    axis.grid(visible=False, axis="y")
    return figure


WORDS = {
    "frequency": ("cycles per pixel", "log power"),
    "width": ("thumbnail enlarged to (px)", "correlation"),
}


def leak_evidence(found: Sequence[Leak]) -> Figure:
    """Draw what probes saw of cropped and of whole pictures, with the defence off and on."""
    figure, axes = plt.subplots(
        2, len(found), figsize=(PAGE_WIDTH, 4.6), sharex="col", sharey="col", squeeze=False
    )
    for column, leak in enumerate(found):
        along = next(name for name in WORDS if name in leak.evidence)
        for row, state in enumerate(("off", "on")):
            axis = axes[row, column]
            for kind, style in (("cropped", "-"), ("whole", "--")):
                seen = leak.evidence[f"{state}_{kind}"]
                if along == "frequency":  # which falls so steeply that nothing else would be seen
                    other = leak.evidence[f"{state}_{'whole' if kind == 'cropped' else 'cropped'}"]
                    seen = (seen - other) / 2
                colour = ACCENT if kind == "cropped" else INK
                axis.plot(leak.evidence[along], seen, style, color=colour, label=kind)
            axis.set_title(f"{leak.name}, defence {state}", fontsize=10.5)
            axis.set_ylabel(WORDS[along][1])
        axes[1, column].set_xlabel(WORDS[along][0])
    axes[0, 0].legend(fontsize=9)
    return figure


def _interval(axis: Axes, one: Estimate, y: float, mark: str, colour: Any) -> None:
    if np.isfinite(one.low):
        axis.plot([one.low, one.high], [y, y], "-", color=colour, linewidth=2)
    axis.plot([one.value], [y], mark, color=colour, markersize=7)


def curves(
    histories: Mapping[str, Mapping[str, Sequence[float]]], chance: Mapping[str, float]
) -> Figure:
    """Draw learning curves, a panel for each loss, with what chance gets.

    Parameters
    ----------
    histories : dict of run to dict of loss to values
    chance : dict of loss to value
    """
    figure, axes = plt.subplots(1, len(chance), figsize=(PAGE_WIDTH, 2.9))
    for axis, (loss, level) in zip(axes, chance.items(), strict=True):
        for name, history in histories.items():
            if loss in history:
                axis.plot(_smooth(history[loss]), label=name)
        axis.axhline(level, color=MUTED, linestyle=":", linewidth=1.5)
        axis.annotate("chance", (0, level), (2, 3), textcoords="offset points", fontsize=9)
        axis.set(title=f"{loss} loss", xlabel="step")
        if axis.dataLim.y1 > 10 * level:  # as that of edges which nobody corrects
            axis.set_yscale("log")
        else:
            axis.set_ylim(0, 1.18 * axis.dataLim.y1)
    axes[-1].legend(fontsize=9, loc="lower left")
    return figure


def _smooth(values: Sequence[float], window: int = 8) -> np.ndarray:
    """Average over the last few steps."""
    sums = np.cumsum(np.insert(np.asarray(values, float), 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def uncropped(
    photos: Sequence[np.ndarray],
    boxes: Sequence[Box],
    opinions: Sequence[Opinion],
    titles: Sequence[str],
    columns: int = 3,
) -> Figure:
    """Draw photographs with the true frame (solid) and the one a model names (dashed).

    Parameters
    ----------
    photos : sequence of HxWx3 uint8
        Whole, 3:2.
    boxes : sequence of Box
        What the model was shown of each.
    opinions : sequence of Opinion
    titles : sequence of str
    """
    shown = [
        dimmed(cv2.resize(photo, (480, 320), interpolation=cv2.INTER_AREA), box)
        for photo, box in zip(photos, boxes, strict=True)
    ]
    figure, axes = grid(shown, titles, columns=columns, width=7.4)
    for axis, box, opinion in zip(axes, boxes, opinions, strict=True):
        if box != FULL:
            frame_box(axis, box, (320, 480), edgecolor=TRUE)
        frame_box(axis, opinion.box, (320, 480), edgecolor=SAID, linestyle=(0, (4, 3)))
        axis.set(xlim=(-6, 486), ylim=(326, -6))
    return figure


def heat(
    pictures: Sequence[np.ndarray], maps: Sequence[np.ndarray], titles: Sequence[str]
) -> Figure:
    """Draw pictures, and under each the same with a map of heat on it, and a contour."""
    count = len(pictures)
    glowing = []
    for picture, one in zip(pictures, maps, strict=True):
        gray = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2) / 255
        colour = mpl.colormaps["viridis"](one)[..., :3]
        glowing.append(np.clip(0.45 * gray + 0.55 * colour, 0, 1))
    figure, axes = grid([*pictures, *glowing], [*titles, *[""] * count], columns=count)
    for axis, one in zip(axes[count:], maps, strict=True):
        if one.max() > 0.5:
            axis.contour(one, levels=[0.5], colors="white", linewidths=1.6)
    return figure


def influence(falls: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Draw how much each of 16 patches speaks for "cropped", a grid of numbers for each picture.

    Parameters
    ----------
    falls : sequence of (16,) array
    titles : sequence of str
    """
    most = max(max(float(np.abs(one).max()) for one in falls), 1e-6)
    grids = [one.reshape(GRID, GRID) for one in falls]
    figure, axes = grid(grids, titles, columns=len(grids), vmin=-most, vmax=most, aspect=1 / 1.5)
    for axis, one in zip(axes, grids, strict=True):
        for (row, column), value in np.ndenumerate(one):
            dark = value > 0.35 * most
            axis.text(
                *(column, row, f"{value:+.2f}"),
                ha="center",
                va="center",
                fontsize=8.5,
                color=INK if dark else "white",
            )
    height = PAGE_WIDTH / len(grids) / 1.5 + 0.4
    figure.set_size_inches(PAGE_WIDTH, height)
    return figure


def embedding(groups: Mapping[str, np.ndarray]) -> Figure:
    """Draw points on a plane, a mark for each group.

    Parameters
    ----------
    groups : dict of name to (n, 2) array
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH * 0.72, 3.8))
    colours = mpl.colormaps["viridis"](np.linspace(0.05, 0.9, len(groups)))
    for (name, points), mark, colour in zip(groups.items(), MARKS, colours, strict=False):
        axis.plot(*points.T, mark, color=colour, markersize=4.5, alpha=0.75, label=name)
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    axis.legend(fontsize=10, loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.8)
    return figure


def survival(
    panels: Mapping[str, tuple[Sequence[str], Mapping[str, Sequence[Estimate]]]],
) -> Figure:
    """Draw accuracy against the strength of an attack, a panel for each attack.

    Parameters
    ----------
    panels : dict of attack to (settings, dict of variant to one Estimate a setting)
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(PAGE_WIDTH, 3.2), sharey=True)
    for axis, (attack, (settings, found)) in zip(axes, panels.items(), strict=True):
        for side, (name, estimates) in enumerate(found.items()):
            at = np.arange(len(settings)) + 0.06 * (side - 1)
            (line,) = axis.plot(at, [e.value for e in estimates], marker=MARKS[side], label=name)
            for x, one in zip(at, estimates, strict=True):
                if np.isfinite(one.low):
                    ends = [one.low, one.high]
                    axis.plot([x, x], ends, "-", color=line.get_color(), linewidth=1, alpha=0.7)
        axis.axhline(0.5, color=MUTED, linestyle=":", linewidth=1.5)
        axis.set_xticks(range(len(settings)), settings)
        axis.set(title=attack, ylim=(0, 1.03))
    axes[0].set_ylabel("crops told from wholes")
    axes[-1].legend(fontsize=9, loc="lower left")
    return figure


def scores(found: Mapping[str, Sequence[float]], threshold: float) -> Figure:
    """Draw scores as dots, a row for each group."""
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 0.8 + 0.5 * len(found)))
    rng = np.random.default_rng(0)
    for row, values in enumerate(found.values()):
        y = row + 0.22 * rng.uniform(-1, 1, len(values))
        axis.plot(values, y, MARKS[row], color=INK, markersize=4.5, alpha=0.55)
    axis.axvline(threshold, color=ACCENT, linewidth=1.5)
    axis.set(yticks=range(len(found)), yticklabels=list(found), xlim=(-0.02, 1.02))
    axis.set(ylim=(len(found) - 0.5, -0.5), xlabel="score of the joint model (line: its threshold)")
    return figure


Row = Mapping[str, Any]
"""A row of stored results."""


def in_percent(row: Row) -> str:
    """Write a stored share and its interval in per cent, such as ``74 [69, 78]``."""
    ends = "" if row["low"] is None else f" [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"
    return f"{100 * row['value']:.0f}{ends}"


def sets(rows: Sequence[Row], variants: Sequence[str] = ("joint", "global", "patch")) -> Figure:
    """Draw accuracy by set of photographs, ours with intervals, and the paper's as hollow marks.

    Parameters
    ----------
    rows : sequence of dict
        Of results, with ``set``, ``variant`` and ``paper``.
    variants : sequence of str
    """
    names = list(dict.fromkeys(row["set"] for row in rows))
    found = {(row["set"], row["variant"]): row for row in rows}
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 1.1 + 0.68 * len(names)))
    hollow: dict[str, Any] = {"markersize": 7, "markerfacecolor": "white", "zorder": 3}
    for number, variant in enumerate(variants):
        ours = [found[name, variant] for name in names]
        at = np.arange(len(names)) + 0.24 * (number - (len(variants) - 1) / 2)
        mark = MARKS[number]
        value = [100 * row["value"] for row in ours]
        (drawn,) = axis.plot(value, at, mark, markersize=7, label=variant)
        colour = drawn.get_color()
        for y, row in zip(at, ours, strict=True):
            if row["low"] is not None:
                axis.plot([100 * row["low"], 100 * row["high"]], [y, y], "-", color=colour)
            if row["paper"] is not None:
                axis.plot(100 * row["paper"], y, mark, color=colour, **hollow)
    axis.plot([], [], "o", color=MUTED, label="the paper (hollow)", **hollow)
    axis.axvline(50, color=MUTED, linestyle=":", linewidth=1.5)
    for border in range(1, len(names)):
        axis.axhline(border - 0.5, color=MUTED, linewidth=0.5, alpha=0.5)
    counts = [found[name, variants[0]]["n"] for name in names]
    labels = [f"{name.replace('_', ' ')}\nn = {n}" for name, n in zip(names, counts, strict=True)]
    axis.set(yticks=range(len(names)), yticklabels=labels, xlabel="pictures rightly judged (%)")
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    axis.legend(fontsize=10, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(variants) + 1)
    return figure


def closed_or_learned(closed: Row | None, joint: Row | None) -> str:
    """Say which of two measured accuracies is ahead: the closed form's or the joint network's."""
    if closed is None or joint is None or None in (closed["low"], joint["low"]):
        return "not measured."
    if closed["low"] > joint["high"]:
        return (
            "the closed form is ahead of the joint network. It needs no thousands of photographs, "
            "and it sees pictures at full size, where a fringe has its full width."
        )
    if closed["high"] < joint["low"]:
        return "the joint network is ahead of the closed form."
    return "closed form and joint network are not clearly apart."


def against_a_coin(control: Row | None) -> str:
    """Say whether an accuracy on pictures in which there is nothing to find is one half."""
    if control is None or control["low"] is None:
        return "not measured."
    if control["low"] > 0.5:
        return "ABOVE chance: something leaks."
    if control["high"] < 0.5:
        return (
            "below chance. Something other than a lens moves its score, though not in its favour."
        )
    return "at chance, as it must be."
