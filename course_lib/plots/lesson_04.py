"""Drawings of lesson 04, what happens to published pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.attacks.spectra import Band, words
from course_lib.figures import ACCENT, INK, MUTED, PAGE_WIDTH, frame, grid
from course_lib.geometry import Box
from course_lib.metrics import Estimate

MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
LEVELS = (0.0, 0.28, 0.5, 0.68, 0.82)
"""Of the colour map, for lines that have to stand out from white."""
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)))
MAGNIFIED = 20

Lines = Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]]


def enhanced(difference: np.ndarray, times: float = MAGNIFIED) -> np.ndarray:
    """Show small differences on middle gray: HxW gray levels to HxWx3 uint8."""
    shown = np.clip(128 + times * difference, 0, 255).astype(np.uint8)
    return np.repeat(shown[..., None], 3, axis=2)


def _style(index: int) -> dict[str, Any]:
    level = LEVELS[index % len(LEVELS)]
    return {"color": mpl.colormaps["viridis"](level), "linestyle": DASHES[index % len(DASHES)]}


def spectra(curves: Lines, slope: float = -2.0) -> Figure:
    """Draw power against frequency, both in powers of ten, and a line of a given slope.

    Parameters
    ----------
    curves : dict of name to (frequency, power)
    slope : float
        Power falls as frequency to this power along the dotted line.
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH * 0.78, 3.7))
    for index, (name, (frequency, power)) in enumerate(curves.items()):
        axis.loglog(frequency, power, label=name, **_style(index))
    frequency, power = (np.asarray(one) for one in next(iter(curves.values())))
    middle = len(frequency) // 4
    line = 3 * power[middle] * (frequency / frequency[middle]) ** slope
    label = f"slope {slope:g}".replace("-", "−")
    axis.loglog(frequency, line, ":", color=MUTED, linewidth=1.5, label=label)
    axis.set(xlabel="frequency, cycles per pixel", ylabel="power")
    axis.legend(fontsize=9.5)
    return figure


def transfer(curves: Lines, formulas: Lines) -> Figure:
    """Draw which share of a pattern is left, against its frequency.

    Parameters
    ----------
    curves : dict of name to (frequency, share)
        Measured, drawn as marks.
    formulas : dict of name to (frequency, share)
        Drawn as lines; a name of ``curves`` gets its colour.
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH * 0.85, 3.6))
    for index, (name, (frequency, share)) in enumerate(curves.items()):
        style = _style(index)
        thin = {**style, "linewidth": 1.0, "alpha": 0.6}
        if name in formulas:
            axis.plot(*formulas[name], **{**style, "linewidth": 1.6})
            thin = {"color": style["color"], "linestyle": "none"}
        axis.plot(frequency, share, marker=MARKS[index], label=name, **thin)
    axis.axhline(0, color=MUTED, linewidth=0.8)
    axis.set(xlabel="frequency, cycles per pixel", ylabel="share left", ylim=(-0.16, 1.06))
    axis.legend(fontsize=9.5, loc="upper right", bbox_to_anchor=(1.0, 1.0))
    return figure


def what_is_left(
    panels: Mapping[str, Mapping[str, Sequence[Estimate]]], bands: Sequence[Band]
) -> Figure:
    """Draw tables of numbers on colour: attacks down, bands across, a panel for each measure.

    Parameters
    ----------
    panels : dict of title to dict of attack to one Estimate a band
    bands : sequence of (low, high)
    """
    rows = list(next(iter(panels.values())))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(PAGE_WIDTH, 0.9 + 0.27 * len(rows)), sharey=True
    )
    for axis, (title, table) in zip(axes, panels.items(), strict=True):
        values = np.array([[one.value for one in table[row]] for row in rows])
        _numbers(axis, values, "{:.2f}", high=1.0)
        axis.set_title(title, fontsize=11)
        labels = [words(band).removesuffix(" px") for band in bands]
        axis.set_xticks(range(len(bands)), labels, fontsize=9.5)
        axis.set_xlabel("length of waves, px")
    axes[0].set_yticks(range(len(rows)), rows, fontsize=10)
    return figure


def _numbers(
    axis: Axes, values: np.ndarray, form: str, low: float = 0.0, high: float = 1.0, size: float = 9
) -> None:
    """Draw a table as colours with numbers on them."""
    axis.imshow(values, vmin=low, vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        bright = (value - low) / max(high - low, 1e-9) > 0.6
        text = form.format(value).replace("-0.00", "0.00")
        axis.text(
            *(column, row, text),
            ha="center",
            va="center",
            fontsize=size,
            color=INK if bright else "white",
        )
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)


def basis(waves: np.ndarray) -> Figure:
    """Draw the 64 pictures that a block is mixed of.

    Parameters
    ----------
    waves : (8, 8, 8, 8) array
        Vertical frequency, horizontal frequency, row, column.
    """
    tiles = np.full((8 * 9 + 1, 8 * 9 + 1), np.nan)
    for v in range(8):
        for u in range(8):
            one = waves[v, u] / np.abs(waves[v, u]).max()
            tiles[9 * v + 1 : 9 * v + 9, 9 * u + 1 : 9 * u + 9] = one
    figure, axis = plt.subplots(figsize=(4.3, 4.4))
    axis.imshow(tiles, cmap="gray", vmin=-1.15, vmax=1.15)
    middles = 9 * np.arange(8) + 4.5
    axis.set_xticks(middles, [str(k) for k in range(8)])
    axis.set_yticks(middles, [str(k) for k in range(8)])
    axis.set(xlabel="horizontal frequency, half periods", ylabel="vertical frequency")
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure


def block(panels: Mapping[str, np.ndarray]) -> Figure:
    """Draw 8×8 tables of whole numbers side by side, two a row.

    Parameters
    ----------
    panels : dict of title to (8, 8) array
    """
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(PAGE_WIDTH, 3.15 * rows))
    for axis, (title, values) in zip(axes.flat, panels.items(), strict=True):
        values = np.asarray(values, float)
        signed = values.min() < 0
        # Coefficients differ by powers of ten: colours say the order of magnitude, numbers all.
        shade = np.sign(values) * np.log1p(np.abs(values)) if signed else values
        most = max(float(np.abs(shade).max()), 1e-9)
        low = -most if signed else min(0.0, float(shade.min()))
        axis.imshow(shade, vmin=low, vmax=most, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            bright = (shade[row, column] - low) / (most - low) > 0.6
            axis.text(
                *(column, row, "0" if abs(value) < 0.5 else f"{value:.0f}"),
                ha="center",
                va="center",
                fontsize=9.5,
                color=INK if bright else "white",
            )
        axis.set_title(title, fontsize=11)
        axis.set(xticks=[], yticks=[])
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
    return figure


def zigzag_path(order: np.ndarray, table: np.ndarray) -> Figure:
    """Draw the way through a block's coefficients, on the steps of a table.

    Parameters
    ----------
    order : (8, 8) int array
        Place of each coefficient in the queue.
    table : (8, 8) array
    """
    figure, axis = plt.subplots(figsize=(4.9, 4.3))
    shown = axis.imshow(table, cmap="viridis_r")
    place = np.argsort(order.ravel())
    y, x = np.divmod(place, order.shape[1])
    axis.plot(x, y, "-", color="white", linewidth=5)
    axis.plot(x, y, "-", color=ACCENT, linewidth=2.4)
    for (row, column), number in np.ndenumerate(order):
        axis.text(
            *(column, row, str(number)),
            ha="center",
            va="center",
            fontsize=9,
            bbox={"boxstyle": "circle,pad=0.16", "facecolor": "white", "edgecolor": ACCENT},
        )
    figure.colorbar(shown, ax=axis, label="step at quality 50, gray levels", shrink=0.9)
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    return figure


def roundings(curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Draw roundings in small panels, values above and slopes below.

    Parameters
    ----------
    curves : dict of name to (x, value, slope)
    """
    figure, axes = plt.subplots(
        2, len(curves), figsize=(PAGE_WIDTH, 3.9), sharex=True, sharey="row", squeeze=False
    )
    for column, (name, (x, value, slope)) in enumerate(curves.items()):
        above, below = axes[:, column]
        above.plot(x, x, ":", color=MUTED, linewidth=1.2)
        above.plot(x, value, "-", color=INK, linewidth=1.8)
        above.set_title(name, fontsize=10.5)
        below.axhline(0, color=MUTED, linewidth=0.8)
        below.plot(x, slope, "-", color=ACCENT, linewidth=1.8)
        below.set_xlabel("x")
        below.set_ylim(-3, 8)
    axes[0, 0].set_ylabel("value")
    axes[1, 0].set_ylabel("slope")
    return figure


def hiding_places(maps: Mapping[str, np.ndarray], columns: int = 5) -> Figure:
    """Draw in which frequencies of a block something is hidden, a map for each way of training.

    Parameters
    ----------
    maps : dict of name to (8, 8) array
        Shares of the energy; they add up to one.
    """
    rows = -(-len(maps) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(PAGE_WIDTH, 2.1 * rows + 0.2), squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (name, one) in zip(axes.flat, maps.items(), strict=False):
        axis.imshow(np.sqrt(one), vmin=0, vmax=0.6)
        axis.set_title(name, fontsize=9.5)
    return figure


def survival(
    found: Mapping[str, Sequence[Estimate]], settings: Sequence[str], label: str
) -> Figure:
    """Draw shares of right bits, a row for each way of training and a mark for each attack.

    Parameters
    ----------
    found : dict of name to one Estimate a setting
    settings : sequence of str
    label : str
        Of the axis.
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 0.9 + 0.4 * len(found)))
    for row, (_, estimates) in enumerate(found.items()):
        for index, one in enumerate(estimates):
            y = row + 0.2 * (index - (len(estimates) - 1) / 2)
            style = _style(2 * index)
            if np.isfinite(one.low):
                axis.plot([one.low, one.high], [y, y], "-", color=style["color"], linewidth=2)
            axis.plot(
                *([one.value], [y], MARKS[index]),
                color=style["color"],
                label=settings[index] if row == 0 else None,
            )
    axis.axvline(0.5, color=MUTED, linestyle=":", linewidth=1.5)
    axis.set(yticks=range(len(found)), yticklabels=list(found), xlabel=label)
    axis.set(ylim=(len(found) - 0.4, -0.6), xlim=(0.45, 1.01))
    axis.grid(visible=False, axis="y")
    figure.legend(fontsize=9.5, loc="outside lower center", ncols=len(settings))
    return figure


def framed(pictures: Sequence[np.ndarray], titles: Sequence[str], box: Box, which: int) -> Figure:
    """Draw pictures in a row, a frame on one of them.

    Parameters
    ----------
    pictures : sequence of HxWx3 uint8
    titles : sequence of str
    box : Box
    which : int
        Number of the picture that gets the frame.
    """
    figure, axes = grid(pictures, titles, columns=len(pictures))
    height, width = pictures[which].shape[:2]
    frame(
        axes[which],
        *(box.x1 * width - 0.5, box.y1 * height - 0.5),
        *(box.width * width, box.height * height),
        edgecolor="#ffd166",
    )
    return figure
