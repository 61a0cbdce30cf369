"""Drawings of lesson 02, where a patch of a photograph comes from."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.figures import ACCENT, CHANNELS, INK, MUTED, PAGE_WIDTH, frame, grid
from course_lib.traces.responses import Response

CELLS = 4
MARKERS = ("o", "s", "^", "D")
LEVELS = (0.0, 0.33, 0.58, 0.78)
"""Of the colour map, for lines that have to stand out from white."""
FEWEST = 0.05
"""Share of patches below which an accuracy is mostly luck."""


def telling(picture: np.ndarray, corners: np.ndarray, size: int, rank: int = 0) -> list[int]:
    """Choose a cell in each quarter of a picture, by how much there is to see in its patch.

    Parameters
    ----------
    picture : (h, w, 3) uint8
    corners : (16, 2) int
        Upper left pixels (x, y) of the patches.
    size : int
        Side of a patch.
    rank : int
        0 for the patch with the most contrast, 1 for the next.
    """
    contrast = np.array([picture[y : y + size, x : x + size].std() for x, y in corners])
    quarters = np.arange(16).reshape(2, 2, 2, 2).swapaxes(1, 2).reshape(4, 4)
    return [int(cells[np.argsort(-contrast[cells])[rank]]) for cells in quarters]


def task(picture: np.ndarray, corners: np.ndarray, size: int, shown: Sequence[int]) -> Figure:
    """Draw a picture with its 16 numbered cells and patches, and some of the patches enlarged.

    Parameters
    ----------
    picture : (h, w, 3) uint8
    corners : (16, 2) int
        Upper left pixels (x, y) of the patches.
    size : int
        Side of a patch.
    shown : sequence of int
        Cells whose patches are enlarged.
    """
    figure = plt.figure(figsize=(PAGE_WIDTH, 3.7))
    room = figure.add_gridspec(2, 4, width_ratios=(2.5, 2.5, 1.5, 1.5))
    axis = figure.add_subplot(room[:, :2])
    height, width = picture.shape[:2]
    axis.imshow(picture)
    for k in range(1, CELLS):
        axis.axvline(k * width / CELLS, color="white", linewidth=1.2)
        axis.axhline(k * height / CELLS, color="white", linewidth=1.2)
    for cell, (x, y) in enumerate(corners):
        frame(axis, x, y, size, size, linewidth=2.4 if cell in shown else 0.8)
        axis.annotate(
            str(cell),
            (width * (cell % CELLS) / CELLS, height * (cell // CELLS) / CELLS),
            (5, -13),
            textcoords="offset points",
            color="white",
            weight="bold",
            bbox={"facecolor": INK, "edgecolor": "none", "pad": 1.5},
        )
    axis.set_axis_off()
    for place, cell in enumerate(shown):
        small = figure.add_subplot(room[place // 2, 2 + place % 2])
        x, y = corners[cell]
        small.imshow(picture[y : y + size, x : x + size])
        small.set_title(f"cell {cell}", fontsize=10.5)
        small.set_axis_off()
    return figure


def example(patches: np.ndarray, thumbnail: np.ndarray) -> Figure:
    """Draw one training example: 16 patches in their order, and the thumbnail."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.6), width_ratios=(1, 1.3))
    side = patches.shape[1]
    gap = max(side // 12, 1)
    sheet = np.full((4 * (side + gap) - gap, 4 * (side + gap) - gap, 3), 255, np.uint8)
    for cell, patch in enumerate(patches):
        row, column = divmod(cell, CELLS)
        top, left = row * (side + gap), column * (side + gap)
        sheet[top : top + side, left : left + side] = patch
    for axis, picture, title in zip(
        axes, (sheet, thumbnail), ("16 patches", "thumbnail (lesson 03)"), strict=True
    ):
        axis.imshow(picture)
        axis.set_title(title)
        axis.set_axis_off()
    return figure


def blocks(off: np.ndarray, on: np.ndarray) -> Figure:
    """Draw how much the columns of a JPEG's blocks stand out, by cell and phase.

    Parameters
    ----------
    off, on : (16, 2, 8)
        Blockiness by cell, axis (x, y) and phase, without and with jitter; that of x is drawn.
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.4), sharey=True)
    for axis, found, title in zip(axes, (off, on), ("without jitter", "with jitter"), strict=True):
        seen = axis.imshow(found[:, 0], cmap="cividis_r", vmin=0, vmax=off.max(), aspect="auto")
        axis.set(title=title, xlabel="place in a block of 8 px", yticks=range(0, 16, 4))
        axis.grid(visible=False)
    axes[0].set_ylabel("cell")
    figure.colorbar(seen, ax=axes, label="log contrast", shrink=0.9)
    return figure


def vote_map(axis: Axes, votes: np.ndarray, cell: int, mirror: bool = False) -> None:
    """Draw votes for the cells; a cross marks the true cell, a ring the one opposite to it."""
    axis.imshow(votes.reshape(CELLS, CELLS), cmap="cividis", vmin=0, vmax=max(votes.max(), 0.2))
    rows, columns = np.divmod([cell, 15 - cell], CELLS)
    axis.plot(columns[0], rows[0], "x", color="white", markersize=11, markeredgewidth=5)
    axis.plot(columns[0], rows[0], "x", color=ACCENT, markersize=10, markeredgewidth=2.6)
    if mirror:
        for colour, width in (("white", 3.0), (INK, 1.0)):
            axis.plot(
                columns[1],
                rows[1],
                "o",
                markersize=13,
                markerfacecolor="none",
                markeredgecolor=colour,
                markeredgewidth=width,
            )
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)


def vote_maps(votes: Sequence[np.ndarray], cells: Sequence[int], titles: Sequence[str]) -> Figure:
    """Draw a row of vote maps with the true cell and its opposite marked."""
    figure, axes = plt.subplots(1, len(votes), figsize=(PAGE_WIDTH, 2.6))
    for axis, each, cell, title in zip(axes, votes, cells, titles, strict=True):
        vote_map(axis, each, cell, mirror=True)
        axis.set_title(title, fontsize=10.5)
    return figure


def shift_arrows(
    positions: np.ndarray, found: Mapping[str, np.ndarray], true: Mapping[str, np.ndarray]
) -> Figure:
    """Draw measured and true shifts of red and blue at the places of patches.

    Parameters
    ----------
    positions : (n, 2)
        From the middle of the picture, in pixels.
    found, true : dict of channel to (n, 2)
        In pixels; drawn 400 times as long.
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.2), sharex=True, sharey=True)
    for axis, name in zip(axes, found, strict=True):
        for field, colour, width in (
            (true[name], MUTED, 0.011),
            (found[name], CHANNELS[name], 0.006),
        ):
            axis.quiver(
                *positions.T,
                *field.T,
                color=colour,
                angles="xy",
                scale_units="xy",
                scale=1 / 400,
                width=width,
                headwidth=3.5,
            )
        axis.plot(0, 0, "+", color=INK, markersize=12)
        axis.set_title(f"{name} against green")
        axis.set(xlim=(-860, 860), ylim=(600, -600), aspect="equal", xticks=[], yticks=[])
        axis.grid(visible=False)
    return figure


def curves(
    losses: Mapping[str, Sequence[float]],
    chance: float,
    window: int,
    stages: Mapping[int, str] | None = None,
) -> Figure:
    """Draw learning curves as running means, with the loss of a network that knows nothing.

    Parameters
    ----------
    losses : dict of name to losses
        One for each step.
    chance : float
    window : int
        Steps in a mean.
    stages : dict of first step to name, optional
        Parts of the training.
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.5))
    kernel = np.ones(window) / window
    styles = ("-", "--", "-.", (0, (1, 1)))
    for name, values, style, level in zip(losses, losses.values(), styles, LEVELS, strict=False):
        smooth = np.convolve(values, kernel, "valid")
        steps = np.arange(len(smooth)) + window
        axis.plot(steps, smooth, linestyle=style, color=plt.get_cmap("viridis")(level), label=name)
    axis.axhline(chance, color=ACCENT, linewidth=1, label="chance, ln 16")
    for first, name in (stages or {}).items():
        if first:
            axis.axvline(first, color=MUTED, linewidth=1)
        axis.annotate(
            name,
            (first or window, 1),  # a mean begins where its window is full
            (4, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=10,
        )
    axis.set(xlabel="step", ylabel="loss" if window == 1 else f"loss (mean of {window} steps)")
    axis.legend(fontsize=9.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def confidence(
    kept: Mapping[str, tuple[np.ndarray, np.ndarray]],
    bins: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> Figure:
    """Draw accuracy against the share of patches answered, and against stated confidence.

    Parameters
    ----------
    kept : dict of reader to (shares, accuracies)
        The first twentieth is left out: so few patches say little.
    bins : dict of reader to (stated, reached)
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.5), sharey=True)
    for number, (name, (share, reached)) in enumerate(kept.items()):
        enough = share >= FEWEST
        axes[0].plot(share[enough], reached[enough], label=name)
        axes[1].plot(*bins[name], linestyle="none", marker=MARKERS[number], label=name)
    axes[0].axhline(1 / 16, color=ACCENT, linewidth=1)
    axes[0].annotate("chance", (0.02, 1 / 16), (0, 4), textcoords="offset points", color=ACCENT)
    axes[1].plot([0, 1], [0, 1], "-", color=MUTED, linewidth=1)
    axes[0].set(xlabel="share answered, most confident first", ylabel="accuracy", ylim=(0, 1))
    axes[1].set(xlabel="confidence (highest vote)", xlim=(0, 1))
    axes[1].legend()
    return figure


def gallery(
    rows: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> Figure:
    """Draw patches and their vote maps: a pair of rows for each kind.

    Parameters
    ----------
    rows : dict of title to (patches, votes, cells)
        Equally many patches in each.
    """
    count = len(next(iter(rows.values()))[0])
    figure, axes = plt.subplots(2 * len(rows), count, figsize=(PAGE_WIDTH, 5.3))
    for pair, (title, (patches, votes, cells)) in enumerate(rows.items()):
        for k in range(count):
            upper, lower = axes[2 * pair, k], axes[2 * pair + 1, k]
            upper.imshow(patches[k])
            upper.set_axis_off()
            vote_map(lower, votes[k], int(cells[k]))
            lower.set_xlabel(f"{votes[k].max():.2f}", fontsize=9.5)
        axes[2 * pair, 0].set_title(title, fontsize=10.5)
    return figure


def filters(pictures: Mapping[str, np.ndarray]) -> Figure:
    """Draw filters of a first layer, a block for each network.

    Parameters
    ----------
    pictures : dict of title to (n, k, k, 3) in [0, 1]
    """
    figure, axes = plt.subplots(1, len(pictures), figsize=(PAGE_WIDTH, 2.9))
    for axis, (title, each) in zip(axes, pictures.items(), strict=True):
        columns, side = 6, each.shape[1] + 1
        rows = -(-len(each) // columns)
        sheet = np.ones((rows * side - 1, columns * side - 1, 3))
        for number, picture in enumerate(each):
            row, column = divmod(number, columns)
            sheet[row * side : (row + 1) * side - 1, column * side : (column + 1) * side - 1] = (
                picture
            )
        axis.imshow(sheet)
        axis.set_title(title)
        axis.set_axis_off()
    return figure


def responses(panels: Mapping[str, Response]) -> Figure:
    """Draw accuracy against what was done to the lens, with intervals; a panel for each factor."""
    rows = -(-len(panels) // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(PAGE_WIDTH, 2.75 * rows), sharey=True)
    for axis, (title, found) in zip(axes.flat, panels.items(), strict=True):
        x = np.array(found.factor.values)
        step = 0.012 * np.ptp(x)
        for number, (name, estimates) in enumerate(found.accuracy.items()):
            value, low, high = np.array([(e.value, e.low, e.high) for e in estimates]).T
            axis.errorbar(
                x + (number - 0.5) * step,
                value,
                (value - low, high - value),
                marker=MARKERS[number],
                markersize=4.5,
                linewidth=1.6,
                elinewidth=1.2,
                label=name,
            )
        axis.axhline(1 / 16, color=ACCENT, linewidth=1)
        axis.set_title(title, fontsize=10.5)
        axis.set_xlabel(found.factor.label, fontsize=10)
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy")
    axes[0, 0].set_ylim(0, None)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=10)
    return figure


def cameras(patches: Mapping[str, np.ndarray]) -> Figure:
    """Draw one patch as several cameras deliver it."""
    return grid(list(patches.values()), list(patches), columns=len(patches))[0]
