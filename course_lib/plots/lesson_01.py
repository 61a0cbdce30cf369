"""Drawings of lesson 01, what a lens does to a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.figures import CHANNELS, DASHES, INK, MUTED, PAGE_WIDTH, frame, grid
from course_lib.geometry import Box
from course_lib.lens.chromatic import radius
from course_lib.lens.fringes import ShiftField
from course_lib.lens.vignetting import falloff, gain

BESIDE = {"blue": (10, -4), "green": (10, -14), "red": (-8, 8)}
"""Points from a mark to its label, clear of the curve."""
LEADER = {"arrowstyle": "-", "color": MUTED}


def riddle(patches: Mapping[str, np.ndarray], fringes: Sequence[np.ndarray]) -> Figure:
    """Draw enlarged patches, and under each its fringe in gray.

    Parameters
    ----------
    patches : dict of letter to (h, w, 3) uint8
    fringes : sequence of (h, w) float
        Green minus the mean of red and blue, in gray levels; drawn around its median, 60 levels to
        black and to white.
    """
    figure, axes = grid(
        [*patches.values()] + [(fringe - np.median(fringe)) / 120 + 0.5 for fringe in fringes],
        [*patches] + [""] * len(patches),
        columns=len(patches),
        cmap="gray",
        vmin=0,
        vmax=1,
    )
    axes[len(patches)].set_title("the same: green minus red and blue", fontsize=10.5)
    return figure


def answers(picture: np.ndarray, boxes: Mapping[str, Box]) -> Figure:
    """Draw a whole picture with lettered boxes on it."""
    figure, (axis,) = grid([picture], columns=1, width=3.6)
    for letter, box in boxes.items():
        left, top, right, bottom = box.to_pixels(picture.shape)
        frame(axis, left, top, right - left, bottom - top, edgecolor="#ffd166")
        axis.text(
            (left + right) / 2,
            (top + bottom) / 2,
            letter,
            ha="center",
            va="center",
            fontsize=20,
            color="white",
            weight="bold",
            path_effects=[patheffects.withStroke(linewidth=4, foreground=INK)],
        )
    return figure


def rays(focal_lengths: Mapping[str, float], stretch: float) -> Figure:
    """Draw parallel rays through a thin lens; differences between colours are stretched.

    Parameters
    ----------
    focal_lengths : dict of blue, green and red to mm
    stretch : float
        By how much the foci are drawn apart.
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.2))
    middle = float(np.mean(list(focal_lengths.values())))
    for side, (name, f) in enumerate(focal_lengths.items()):
        focus = middle + stretch * (f - middle)
        for y in np.linspace(-22, 22, 5):
            axis.plot(
                [-45, 0, focus * 1.25],
                [y, y, y * (1 - 1.25)],
                DASHES[name],
                color=CHANNELS[name],
                linewidth=1.5,
            )
        axis.plot(focus, 0, "o", color=CHANNELS[name], markersize=8)
        label = (focus + 20 * (side - 1), 20 + 6 * (side == 1))
        axis.annotate(
            f"{name} focus\n{f:.1f} mm", (focus, 1), label, ha="center", arrowprops=LEADER
        )
        axis.plot([], [], DASHES[name], color=CHANNELS[name], label=name)
    height = np.linspace(-26, 26, 60)
    bulge = 4 * np.sin(np.linspace(0, np.pi, 60))
    axis.fill_betweenx(height, -bulge, bulge, color="#a8c5da", alpha=0.7)
    axis.axhline(0, color=MUTED, linewidth=0.8)
    axis.annotate("lens", (0, 28), ha="center")
    axis.set(ylim=(-30, 40), yticks=[], xticks=[])
    axis.set_xlabel(f"distance behind the lens (differences between colours × {stretch:g})")
    axis.grid(visible=False)
    axis.legend(loc="lower left", ncols=3)
    return figure


def focal_shifts(
    spectrum: np.ndarray,
    curves: Mapping[str, np.ndarray],
    colours: Mapping[str, float],
    reference: float,
) -> Figure:
    """Draw focal length against wavelength, relative to one colour, a panel for each lens.

    Parameters
    ----------
    spectrum : (n,) array
        Wavelengths in µm.
    curves : dict of name to (n,) array
        Focal lengths in mm.
    colours : dict of name to µm
        Wavelengths to mark.
    reference : float
        The wavelength whose focus is zero.
    """
    figure, axes = plt.subplots(1, len(curves), figsize=(PAGE_WIDTH, 3.3))
    for axis, (title, focus) in zip(axes, curves.items(), strict=True):
        zero = np.interp(reference, spectrum, focus)
        axis.plot(spectrum * 1000, (focus - zero) * 1000, "-", color=INK)
        for name, wavelength in colours.items():
            y = (np.interp(wavelength, spectrum, focus) - zero) * 1000
            axis.plot(wavelength * 1000, y, "o", color=CHANNELS[name], markersize=9)
            x, offset = wavelength * 1000, BESIDE[name]
            side = "right" if offset[0] < 0 else "left"
            axis.annotate(name, (x, y), offset, textcoords="offset points", ha=side)
        axis.set(title=title, xlabel="wavelength (nm)", ylabel="focus, relative to red (µm)")
        axis.margins(y=0.12)
    return figure


def radius_maps(shape: tuple[int, int], centers: Sequence[tuple[float, float]]) -> Figure:
    """Draw maps of the radius with its contour lines, one for each optical centre."""
    figure, axes = plt.subplots(1, len(centers), figsize=(PAGE_WIDTH, 2.9))
    height, width = shape
    levels = [0.25, 0.5, 0.75]
    places = (
        (0, 0, "left", "top"),
        (0, height - 1, "left", "bottom"),
        (width - 1, 0, "right", "top"),
        (width - 1, height - 1, "right", "bottom"),
    )
    for axis, center in zip(axes, centers, strict=True):
        r = radius(shape, center)
        picture = axis.imshow(r, vmin=0, vmax=1.3, cmap="cividis")
        lines = axis.contour(r, levels=[*levels, 1], colors="white")
        x, y = center[0] * width, center[1] * height
        half_diagonal = np.hypot(width, height) / 2
        axis.clabel(lines, levels, fontsize=9, manual=[(x - f * half_diagonal, y) for f in levels])
        axis.plot(x, y, "+", color="white", markersize=12)
        for column, row, ha, va in places:
            axis.text(
                column,
                row,
                f" {r[row, column]:.2f} ",
                ha=ha,
                va=va,
                fontsize=11,
                color=INK,
                weight="bold",
                path_effects=[patheffects.withStroke(linewidth=4, foreground="white")],
            )
        axis.set(title=f"optical centre at {center}", xticks=[], yticks=[])
    figure.colorbar(picture, ax=axes, label="r", shrink=0.8)
    return figure


def displacement_field() -> Figure:
    """Draw arrows of a channel that is drawn inward, and what they mean for one patch."""
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.9))
    x, y = np.meshgrid(np.linspace(60, 660, 7), np.linspace(60, 420, 5))
    axis.quiver(
        x,
        y,
        360 - x,
        240 - y,
        color=CHANNELS["green"],
        angles="xy",
        scale_units="xy",
        scale=6,
        width=0.004,
    )
    axis.plot(360, 240, "+", color=INK, markersize=16, markeredgewidth=2)
    frame(axis, 42, 42, 96, 96, edgecolor="#e0b000")
    patch = "a patch: its green\nlies right of and below\nits red and blue"
    axis.annotate(patch, (138, 64), (745, 110), va="center", arrowprops=LEADER)
    axis.annotate("optical centre", (368, 236), (745, 280), va="center", arrowprops=LEADER)
    frame(axis, 1, 1, 718, 478, edgecolor=MUTED, linewidth=1)
    axis.set(xlim=(0, 990), ylim=(480, 0), aspect="equal")
    axis.set_axis_off()
    return figure


def falloffs(strengths: Sequence[float], cos4: np.ndarray, half_angle: float) -> Figure:
    """Draw the paper's vignetting at several strengths beside the cos⁴ law.

    Parameters
    ----------
    strengths : sequence of four floats
    cos4 : (n,) array
        The law's values for n radii from 0 to 1.
    half_angle : float
        Its half angle of view, degrees.
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.4))
    r = np.linspace(0, 1, len(cos4))
    viridis = mpl.colormaps["viridis"]
    for strength, style in zip(strengths, (":", "-.", "--", "-"), strict=True):
        values = falloff(r, strength)
        axis.plot(r, values, style, color=viridis(0.85 - 0.8 * strength))
        axis.text(1.01, values[-1], f"{strength:.0%}", va="center")
    axis.plot(r[::22], cos4[::22], "s", color=CHANNELS["red"], markersize=5)
    said = f"squares: cos⁴ law (light), half angle {half_angle:g}°"
    axis.text(0.6, 0.46, said, color=CHANNELS["red"])
    axis.text(0.02, 0.1, "lines: the paper's polynomial (pixel values)\nat four strengths")
    axis.set(xlabel="radius r (1 = corner)", ylabel="factor", ylim=(0, 1.03), xlim=(0, 1.08))
    return figure


def commutators(table: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw the lower triangle of a table of differences between the two orders of two steps."""
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.7))
    shade = np.log10(np.where(np.tri(len(table), k=-1) > 0, table + 0.01, np.nan))[1:, :-1]
    axis.imshow(shade, cmap="cividis", vmin=-2, vmax=1.2, aspect="auto")
    for i, j in np.argwhere(np.isfinite(shade)):
        axis.text(
            j,
            i,
            f"{table[i + 1, j]:.2f}",
            ha="center",
            va="center",
            fontsize=12,
            color="white" if shade[i, j] < -0.3 else INK,
        )
    axis.set_xticks(range(len(names) - 1), [name.replace(" ", "\n", 1) for name in names[:-1]])
    axis.set_yticks(range(len(names) - 1), names[1:])
    axis.tick_params(labelsize=10, length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    return figure


def shift_arrows(
    picture: np.ndarray, blocks: ShiftField, center: tuple[float, float], enlarged: float
) -> Figure:
    """Draw the measured shifts of red and of blue over a faded picture, and the true centre."""
    height, width = picture.shape[:2]
    faded = (0.35 * picture + 0.65 * 255).astype(np.uint8)
    figure, axes = grid([faded, faded], ["red against green", "blue against green"], columns=2)
    for axis, name, field in zip(axes, ("red", "blue"), (blocks.red, blocks.blue), strict=True):
        axis.quiver(
            *blocks.positions.T,
            *field.T,
            color=CHANNELS[name],
            angles="xy",
            scale_units="xy",
            scale=1 / enlarged,
            width=0.005,
            headwidth=4,
        )
        axis.plot(
            center[0] * width,
            center[1] * height,
            "+",
            color="white",
            markersize=20,
            markeredgewidth=6,
        )
        axis.plot(
            center[0] * width,
            center[1] * height,
            "+",
            color=INK,
            markersize=18,
            markeredgewidth=2.5,
        )
        axis.set(xlim=(0, width), ylim=(height, 0))
    return figure


def spectra(groups: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw radially averaged power spectra on logarithmic axes, with a slope of −2 to compare.

    Parameters
    ----------
    groups : dict of name to (frequencies, power)
        Cycles per pixel, and any unit.
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.4))
    for name, (frequency, power) in groups.items():
        axis.loglog(frequency, power / power[0], label=name)
    axis.loglog(
        frequency, (frequency / frequency[0]) ** -2, "-", color=MUTED, linewidth=1, label="slope −2"
    )
    axis.set(xlabel="frequency (cycles per pixel)", ylabel="power, relative to the lowest")
    axis.legend()
    return figure


def recovery(truth: np.ndarray, found: np.ndarray, own: np.ndarray) -> Figure:
    """Draw measured against true green magnification, and the errors with the pictures' own.

    Parameters
    ----------
    truth, found : (n,) array
        In units of 10⁻⁴.
    own : (n,) array
        What the same pictures show without a lens, in units of 10⁻⁴.
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.4), width_ratios=(1, 1.1))
    ends = [truth.min(), truth.max()]
    axes[0].plot(ends, ends, "-", color=MUTED, linewidth=1)
    axes[0].plot(truth, found, "o", color=INK, markersize=5)
    axes[0].set(xlabel="true green magnification (10⁻⁴)", ylabel="measured (10⁻⁴)")
    axes[1].axline((0, 0), slope=1, color=MUTED, linewidth=1)
    axes[1].plot(own, found - truth, "o", color=INK, markersize=5)
    axes[1].set(xlabel="the picture's own, without a lens (10⁻⁴)", ylabel="error (10⁻⁴)")
    return figure


def camera_fringes(green: np.ndarray, red_blue: np.ndarray) -> Figure:
    """Draw each camera's green magnification with its interval, and red against blue.

    Parameters
    ----------
    green : (n, 3) array
        Value, low and high, in units of 10⁻⁴.
    red_blue : (n, 2) array
        Relative to green, in units of 10⁻⁴.
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.7), width_ratios=(1.5, 1))
    ordered = green[np.argsort(green[:, 0])]
    place = np.arange(len(ordered))
    inward = ordered[:, 0] < 0
    for which, marker, shade in ((inward, "o", CHANNELS["green"]), (~inward, "s", MUTED)):
        spread = np.abs(ordered[which, 1:] - ordered[which, :1]).T
        axes[0].errorbar(
            place[which],
            ordered[which, 0],
            spread,
            fmt=marker,
            markersize=3.5,
            color=shade,
            elinewidth=1.1,
            linestyle="none",
        )
    axes[0].axhline(0, color=INK, linewidth=1)
    label = "green magnification − 1 (10⁻⁴)"
    axes[0].set(xlabel="camera models, sorted", ylabel=label, ylim=(-17, 13))
    axes[0].annotate("inward", (2, -16.2))
    axes[0].annotate("outward", (len(ordered) - 4, 11), ha="right")
    axes[1].plot(*red_blue.T, "o", color=INK, markersize=4, alpha=0.7)
    axes[1].axhline(0, color=MUTED, linewidth=0.8)
    axes[1].axvline(0, color=MUTED, linewidth=0.8)
    reach = (-26, 26)
    axes[1].set(xlabel="red (10⁻⁴)", ylabel="blue (10⁻⁴)", xlim=reach, ylim=reach, aspect="equal")
    axes[1].set_title("relative to green")
    return figure


def body_falloffs(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw the measured vignetting of six camera bodies with the paper's and a free polynomial."""
    figure, axes = plt.subplots(2, 3, figsize=(PAGE_WIDTH, 4.6), sharex=True, sharey=True)
    for axis, row in zip(axes.flat, rows, strict=True):
        _body(axis, row)
    axes[0, 0].set_ylim(0.5, 1.05)
    for axis in axes[:, 0]:
        axis.set_ylabel("brightness")
    for axis in axes[1]:
        axis.set_xlabel("radius r")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=10)
    return figure


def _body(axis: Axes, row: dict[str, Any]) -> None:
    r, brightness = np.array(row["profile"]).T
    strength = row["strength"][0]
    axis.plot(r, brightness, "o", color=INK, markersize=3.5, label="measured, in rings")
    axis.plot(
        r,
        falloff(r, strength),
        "--",
        color=CHANNELS["red"],
        linewidth=1.8,
        label="paper's shape, best strength",
    )
    axis.plot(
        r,
        1 / gain(r, *row["gain"]),
        "-",
        color=CHANNELS["blue"],
        linewidth=1.4,
        label="free polynomial",
    )
    maker, model, unit = row["camera"].split("_")
    axis.set_title(f"{maker.title()} {model.upper().replace('S', 's')} ({unit})", fontsize=10)
    axis.annotate(f"strength {strength:.0%}", (0.04, 0.08), xycoords="axes fraction", fontsize=10)
