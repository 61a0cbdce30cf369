"""Drawings and tables of lesson 06, no way to crop."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, FancyArrowPatch, FancyBboxPatch

from course_lib.figures import ACCENT, INK, MUTED, PAGE_WIDTH, dimmed, frame_box, grid
from course_lib.geometry import FULL, Box
from course_lib.rwn.match import Match, stretched
from course_lib.rwn.system import squared

TRUE = "#ffd166"
"""The true frame: a light solid line."""
SAID = "#ffffff"
"""The frame that was found: a white dashed line."""
DASHED = (0, (4, 3))
MARKS = ("o", "s", "^", "D", "v", "P")
MAGNIFIED = 10
"""How much the difference of a protected picture from its original is enhanced."""

Row = Mapping[str, Any]
"""A row of stored results."""


def magnified(protected: np.ndarray, picture: np.ndarray, factor: float = MAGNIFIED) -> np.ndarray:
    """Draw how two uint8 pictures differ, enhanced around gray."""
    change = protected.astype(np.float32) - picture
    return np.rint(128 + factor * change).clip(0, 255).astype(np.uint8)


# The idea


def story(
    whole: np.ndarray,
    seen: np.ndarray,
    found: np.ndarray,
    watermark: np.ndarray,
    match: Match,
    true: Box,
) -> Figure:
    """Draw the whole story in four pictures: protected, published, extracted, located.

    Parameters
    ----------
    whole : (h, w, 3) uint8
        Protected.
    seen : (h, w, 3) uint8
        What became of a part of it.
    found, watermark : (256, 256) array
        Extracted and true.
    match : Match
    true : Box
        What was cut out.
    """
    pictures = [whole, squared(seen), found, dimmed(watermark, match.box)]
    titles = ["1  protected, then cropped", "2  published as JPEG"]
    titles += ["3  the watermark in it", "4  where that belongs"]
    figure, axes = grid(pictures, titles, columns=4, cmap="gray", vmin=0, vmax=1)
    frame_box(axes[0], true, whole.shape, edgecolor=TRUE)
    frame_box(axes[3], match.box, watermark.shape, edgecolor=SAID, linestyle=DASHED)
    return figure


def _station(axis: Axes, x: float, y: float, text: str, size: tuple[float, float]) -> None:
    wide, high = size
    style = "round,pad=0.02,rounding_size=0.08"
    box = FancyBboxPatch((x - wide / 2, y - high / 2), wide, high, boxstyle=style)
    box.set(facecolor="white", edgecolor=INK, linewidth=1.8, zorder=3)
    axis.add_patch(box)
    axis.text(x, y, text, ha="center", va="center", fontsize=11, color=INK, zorder=4)


def _way(axis: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "") -> None:
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 13, "shrinkA": 0, "shrinkB": 0}
    axis.add_patch(FancyArrowPatch(start, end, color=INK, linewidth=1.8, zorder=2, **look))
    if text:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        level = start[1] == end[1]
        axis.text(
            x + (0 if level else 0.1),
            y + (0.12 if level else 0),
            text,
            ha="center" if level else "left",
            va="bottom" if level else "center",
            fontsize=12,
            color=ACCENT,
        )


def pipeline() -> Figure:
    """Draw who does what, and what passes from one to the next."""
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 2.55))
    axis.set(xlim=(-0.1, 11.6), ylim=(-0.75, 2.5))
    axis.set_axis_off()
    bands = ((0.0, 2.9, "publisher"), (3.8, 2.1, "anybody"), (6.9, 4.7, "recipient"))
    for left, wide, who in bands:
        axis.add_patch(mpl.patches.Rectangle((left, -0.65), wide, 2.75, color="#eef0f4", zorder=0))
        axis.text(left + wide / 2, 2.2, who, ha="center", fontsize=11.5, color=MUTED)
    _station(axis, 1.7, 1.3, "hide\n$P$", (1.2, 0.9))
    _station(axis, 4.85, 1.3, "crop, file, …\n$A$", (1.6, 0.9))
    _station(axis, 7.75, 1.3, "reveal\n$P^{-1}$", (1.2, 0.9))
    _station(axis, 9.75, 1.3, "match", (1.1, 0.9))
    for y, name in ((1.6, "$I$"), (1.0, "$W$")):
        axis.text(0.2, y, name, fontsize=14, color=ACCENT, va="center")
        _way(axis, (0.62, y), (1.07, y))
    _way(axis, (2.33, 1.3), (4.02, 1.3), "$I_M$")
    _way(axis, (5.68, 1.3), (7.12, 1.3), "$A(I_M)$")
    _way(axis, (8.38, 1.3), (9.17, 1.3), r"$\hat W$")
    _way(axis, (10.33, 1.3), (10.85, 1.3))
    axis.text(10.95, 1.3, "box", fontsize=12.5, color=ACCENT, va="center")
    _way(axis, (1.7, 0.83), (1.7, 0.1))
    axis.text(1.7, -0.22, "$R$, thrown away", fontsize=11, color=ACCENT, ha="center")
    for x, name in ((7.75, r"$\hat R = 0.5$"), (9.75, "$W$")):
        _way(axis, (x, 0.1), (x, 0.83))
        axis.text(x, -0.22, name, fontsize=13, color=ACCENT, ha="center")
    axis.text(4.85, -0.22, "8 bits a channel", fontsize=10, color=MUTED, ha="center")
    return figure


def residuals(
    pictures: Sequence[np.ndarray], protected: Mapping[str, Sequence[np.ndarray]]
) -> Figure:
    """Draw pictures, and under each how every way of protecting it changed it, ten times.

    Parameters
    ----------
    pictures : sequence of (h, w, 3) uint8
    protected : dict of name to such pictures
    """
    rows = [*pictures]
    for ones in protected.values():
        rows += [magnified(one, picture) for one, picture in zip(ones, pictures, strict=True)]
    figure, axes = grid(rows, columns=len(pictures), width=min(6.8, 1.7 * len(pictures)))
    names = ["original", *(f"change by {name}, × {MAGNIFIED}" for name in protected)]
    for row, name in enumerate(names):
        axes[row * len(pictures)].set_title(name, fontsize=10.5, loc="left")
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.28 * len(names))
    return figure


# Training


def curves(history: Mapping[str, np.ndarray], target: np.ndarray) -> Figure:
    """Draw a training: quality and its target, what is extracted, and the lesser losses.

    Parameters
    ----------
    history : dict of name to (steps,) array
        ``psnr``, ``correlation``, ``ssim``, ``null`` and ``restored``.
    target : (steps,) array
        What PSNR should be, dB.
    """
    figure, axes = plt.subplots(1, 3, figsize=(PAGE_WIDTH, 2.8))
    axes[0].plot(target, color=MUTED, linestyle=":", label="target")
    axes[0].plot(_smooth(history["psnr"]), color=INK, label="reached")
    axes[0].set_title("protected picture, PSNR (dB)")
    axes[1].plot(_smooth(history["correlation"]), label="correlation")
    axes[1].plot(_smooth(history["ssim"]), label="SSIM")
    axes[1].set(ylim=(-0.05, 1))
    axes[1].set_title("extracted and true watermark")
    for name, words in (("null", "rest, from 0.5"), ("restored", "picture on the way back")):
        axes[2].plot(_smooth(history[name]), label=words)
    axes[2].set_yscale("log")
    axes[2].set_title("mean distances")
    for axis in axes:
        axis.set_xlabel("step")
        axis.legend(fontsize=9)
    return figure


def _smooth(values: Sequence[float] | np.ndarray, share: float = 0.02) -> np.ndarray:
    """Average over the last fiftieth of the steps."""
    window = max(1, round(share * len(values)))
    sums = np.cumsum(np.insert(np.asarray(values, float), 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


# Matching


def places(
    seen: np.ndarray, watermark: np.ndarray, edges: np.ndarray, scores: np.ndarray, true: Box
) -> Figure:
    """Draw how alike every place is to what is seen, whatever its size, and where the best is.

    Parameters
    ----------
    seen, watermark : (n, n) array
        On the coarsest level.
    edges, scores : (boxes, 4) and (boxes,) array
        Of all boxes that were tried; edges in pixels.
    true : Box
    """
    n = len(watermark)
    middle = (edges[:, :2] + edges[:, 2:]) // 2
    best = np.full((n + 1, n + 1), np.nan, np.float32)
    order = np.argsort(scores)  # the best of each place is written last
    best[middle[order, 1], middle[order, 0]] = scores[order]
    found = Box(*edges[scores.argmax()] / n)
    figure, axes = plt.subplots(1, 3, figsize=(PAGE_WIDTH, 2.75), width_ratios=(1, 1, 1.25))
    axes[0].imshow(seen, cmap="gray")
    axes[0].set_title("extracted, coarse", fontsize=10.5)
    axes[1].imshow(watermark, cmap="gray")
    frame_box(axes[1], true, watermark.shape, edgecolor=TRUE)
    frame_box(axes[1], found, watermark.shape, edgecolor=SAID, linestyle=DASHED)
    axes[1].set_title("true, both frames", fontsize=10.5)
    rows, columns = (np.flatnonzero(np.isfinite(best).any(axis=k)) for k in (1, 0))
    inside = best[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    drawn = axes[2].imshow(inside, vmin=-0.2)
    axes[2].set_title("best likeness by middle of box", fontsize=10.5)
    figure.colorbar(drawn, ax=axes[2], fraction=0.046, pad=0.03)
    for axis in axes:
        axis.set_axis_off()
    return figure


def pairs(
    seen: np.ndarray,
    watermark: np.ndarray,
    here: np.ndarray,
    there: np.ndarray,
    agrees: np.ndarray,
    box: Box,
) -> Figure:
    """Draw pairs of features between two watermarks: those that agree with the frame, and others.

    Parameters
    ----------
    seen, watermark : (h, w) array
        Extracted and true.
    here, there : (n, 2) array
        Places of each pair in both, as fractions.
    agrees : (n,) bool array
    box : Box
        The frame that they agree on.
    """
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH * 0.82, 3.5))
    for axis, picture in zip(axes, (seen, watermark), strict=True):
        axis.imshow(picture, cmap="gray", vmin=-0.4, vmax=1.2, extent=(0, 1, 1, 0))
        axis.set_axis_off()
    axes[0].set_title("extracted")
    axes[1].set_title("true, and the frame they agree on")
    frame_box(axes[1], box, (1, 1), edgecolor=SAID, linestyle=DASHED)
    look = {"coordsA": "data", "coordsB": "data", "axesA": axes[0], "axesB": axes[1]}
    for group, colour, width, style in ((~agrees, ACCENT, 1.0, ":"), (agrees, "#0b3c6f", 1.3, "-")):
        for a, b in zip(here[group], there[group], strict=True):
            line = ConnectionPatch(a, b, color=colour, linewidth=width, linestyle=style, **look)
            figure.add_artist(line)
    return figure


def framed(
    pictures: Sequence[np.ndarray],
    true: Sequence[Box],
    found: Sequence[Box | None],
    titles: Sequence[str],
    columns: int = 4,
    width: float = PAGE_WIDTH,
) -> Figure:
    """Draw pictures with the true frame (solid) and the one that was found (dashed).

    Parameters
    ----------
    pictures : sequence of arrays
        Whole, all of one shape; gray ones in [0, 1].
    true : sequence of Box
        `FULL` is not drawn.
    found : sequence of Box or None
        None is not drawn.
    titles : sequence of str
        Of one or two lines.
    columns : int
        Pictures in a row.
    width : float
        Inches.
    """
    shown = [dimmed(picture, box) for picture, box in zip(pictures, true, strict=True)]
    figure, axes = grid(shown, titles, columns=columns, width=width, cmap="gray", vmin=0, vmax=1)
    if any("\n" in title for title in titles):  # room for a second line above every row
        wide, high = figure.get_size_inches()
        figure.set_size_inches(wide, high + 0.22 * -(-len(shown) // columns))
    for axis, picture, box, said in zip(axes, shown, true, found, strict=True):
        if box != FULL:
            frame_box(axis, box, picture.shape, edgecolor=TRUE)
        if said is not None:
            frame_box(axis, said, picture.shape, edgecolor=SAID, linestyle=DASHED)
        height, width = picture.shape[:2]
        axis.set(xlim=(-4, width + 3), ylim=(height + 3, -4))
    return figure


def likenesses(groups: Mapping[str, Sequence[float]], threshold: float) -> Figure:
    """Draw how alike extracted and true watermarks are, a row of dots for each kind of picture."""
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 0.9 + 0.42 * len(groups)))
    rng = np.random.default_rng(0)
    for row, values in enumerate(groups.values()):
        y = row + 0.2 * rng.uniform(-1, 1, len(values))
        axis.plot(values, y, MARKS[row % len(MARKS)], color=INK, markersize=5, alpha=0.6)
    axis.axvline(threshold, color=ACCENT, linewidth=1.6)
    axis.annotate(
        "  a watermark is there from here on",
        (threshold, -0.52),
        va="bottom",
        fontsize=9.5,
        color=ACCENT,
        annotation_clip=False,
    )
    axis.set(yticks=range(len(groups)), yticklabels=list(groups), xlim=(0, 1))
    axis.set(ylim=(len(groups) - 0.5, -0.5), xlabel="likeness of the watermarks, where it is best")
    return figure


def tampering(rows: Sequence[Mapping[str, np.ndarray]]) -> Figure:
    """Draw forged pictures and who marks what in them.

    Parameters
    ----------
    rows : sequence of dict of title to picture or mask
        One row each, all with the same titles.
    """
    titles = [*rows[0], *[""] * (len(rows[0]) * (len(rows) - 1))]
    pictures = [picture for row in rows for picture in row.values()]
    shown = [one.astype(np.float32) if one.dtype == bool else one for one in pictures]
    figure, axes = grid(shown, titles, columns=len(rows[0]), cmap="gray", vmin=0, vmax=1)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height - 0.25 * (len(rows) - 1))  # titles stand above only
    for axis, one in zip(axes, pictures, strict=True):
        if one.dtype == bool:
            height, width = one.shape
            outline = mpl.patches.Rectangle((-0.5, -0.5), width, height, fill=False)
            outline.set(edgecolor=MUTED, linewidth=1.5)
            axis.add_patch(outline)
    return figure


# Stored results


def chosen(rows: Iterable[Row], metric: str, **keys: Any) -> Row | None:
    """Return the row of a metric under exactly these conditions, or None."""
    conditions = ("variant", "attack", "crop", "case", "set")
    wanted = {name: keys.get(name) for name in conditions}
    return next(
        (
            row
            for row in rows
            if row["metric"] == metric and all(row.get(n) == v for n, v in wanted.items())
        ),
        None,
    )


def cell(row: Row | None, digits: int = 3, paper: bool = True) -> str:
    """Write a measured number with its interval, and the paper's below it, for a table."""
    if row is None:
        return "–"
    ends = "" if row["low"] is None else f" [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
    said = f"**{row['value']:.{digits}f}**{ends}"
    if paper:
        theirs = "–" if row["paper"] is None else f"{row['paper']:.{digits}f}"
        said += f"<br>paper {theirs}"
    return said


def number(value: float | None, digits: int = 3) -> str:
    """Write a number, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def in_words(row: Row | None, digits: int = 3) -> str:
    """Write a measured number with its interval for a printed line."""
    if row is None:
        return "not measured"
    ends = "" if row["low"] is None else f" [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
    return f"{row['value']:.{digits}f}{ends}"


def compared(one: Row | None, other: Row | None) -> str:
    """Say whether the first of two measured numbers is higher, if their intervals tell."""
    if one is None or other is None:
        return "not measured"
    said = f"{in_words(one)} and {in_words(other)}"
    if None in (one["low"], other["low"]):
        return said
    if one["low"] > other["high"]:
        return f"{said}: the network is ahead"
    if one["high"] < other["low"]:
        return f"{said}: the carrier is ahead"
    return f"{said}: not clearly apart"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay cells out as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


COLUMNS = {
    "none": "no attack",
    "jpeg70": "JPEG 70",
    "resize75": "scaling 75 %",
    "median3": "median 3",
    "noise5": "noise 5",
}
"""Columns of Table I, and what we chose where the paper does not say how strong an attack was."""
TAMPERED = {
    "none": "no attack",
    "jpeg80": "JPEG 80",
    "median3": "median 3",
    "resize75": "scaling 75 %",
    "noise5": "noise 5",
}
"""Columns of Table II. The paper writes "blurring" without saying which."""
RATES = 0.9, 0.7, 0.5


def table_one(
    rows: Sequence[Row], variant: str = "ncc", attacks: Mapping[str, str] = COLUMNS
) -> str:
    """Write Table I: overlap of the frame that was found, and likeness of the watermark."""
    lines = []
    for rate in RATES:
        for metric, name in (("iou", "IoU"), ("watermark_ssim", "SSIM")):
            found = [
                chosen(rows, metric, variant=variant, attack=attack, crop=rate)
                for attack in attacks
            ]
            first = f"**{rate:.0%}**" if metric == "iou" else ""
            lines.append([first, name, *map(cell, found)])
    return table(["kept per axis", "", *attacks.values()], lines)


MARKERS = {
    "blind": "network, from the picture",
    "network": "network that knows the watermark",
    "keyed": "the watermark, no network",
}
"""Ways of marking what was pasted, by their names in results."""
OTHERS = {
    "Mantra-Net": (0.566, 0.480, 0.557, 0.540, 0.347),
    "MVSS-Net": (0.545, 0.364, 0.399, 0.485, 0.323),
    "CAT-Net": (0.467, 0.433, 0.419, 0.428, 0.365),
}
"""Passive detectors in the paper's Table II, in the order of `TAMPERED`."""


def table_two(rows: Sequence[Row]) -> str:
    """Write Table II: F1 of marked areas."""
    lines = []
    for variant, name in MARKERS.items():
        found = [chosen(rows, "tamper_f1", variant=variant, attack=attack) for attack in TAMPERED]
        lines.append([f"**{name}**", *(cell(row, paper=variant == "blind") for row in found)])
    lines += [[f"{name} (paper)", *(f"{f1:.3f}" for f1 in f1s)] for name, f1s in OTHERS.items()]
    return table(["method", *TAMPERED.values()], lines)


def against_others(rows: Sequence[Row], variant: str, attack: str) -> str:
    """Say how an F1 of marked areas compares with the paper's own, and with passive detectors."""
    row, blind = (
        chosen(rows, "tamper_f1", variant=name, attack=attack) for name in (variant, "blind")
    )
    if row is None or blind is None or blind["paper"] is None:
        return "not measured"
    passive = max(f1s[list(TAMPERED).index(attack)] for f1s in OTHERS.values())
    bars = {"the paper's own": blind["paper"], "the best passive detector there": passive}
    said = [f"{_beside(row, bar)} {name} ({bar:.3f})" for name, bar in bars.items()]
    return f"{in_words(row)}: {', '.join(said)}"


def _beside(row: Row, bar: float) -> str:
    low, high = (row["value"] if row[end] is None else row[end] for end in ("low", "high"))
    return "above" if low > bar else "below" if high < bar else "about as"


def table_by_way(rows: Sequence[Row], ways: Mapping[str, str]) -> str:
    """Write how well crops are located, a row for each variant of results.

    Parameters
    ----------
    rows : sequence of dict
        Of results.
    ways : dict of variant to words
    """
    cells = [(rate, attack) for rate in RATES for attack in ("none", "jpeg70")]
    lines = []
    for variant, name in ways.items():
        found = [
            chosen(rows, "iou", variant=variant, crop=rate, attack=attack) for rate, attack in cells
        ]
        lines.append([f"**{name}**", *(cell(row, paper=False) for row in found)])
    return table(["IoU", *(f"{rate:.0%}, {COLUMNS[attack]}" for rate, attack in cells)], lines)


Goal = tuple[str, str, dict[str, Any], float]


def goals() -> list[Goal]:
    """List what was to be reached before anything was trained: words, metric, conditions, bound."""
    by_rate = {
        "none": (0.99, 0.985, 0.97),
        "jpeg70": (0.985, 0.97, 0.95),
        "jpeg50": (0.97, 0.95, 0.90),
        **dict.fromkeys(("resize75", "median3", "noise5"), (0.95, 0.95, 0.95)),
    }
    found: list[Goal] = [
        ("PSNR of protected pictures", "psnr", {}, 39.0),
        ("SSIM of protected pictures", "ssim", {}, 0.985),
    ]
    for attack, bounds in by_rate.items():
        for rate, bound in zip(RATES, bounds, strict=True):
            keys = {"variant": "ncc", "attack": attack, "crop": rate}
            words = f"IoU, {rate:.0%} kept, {COLUMNS.get(attack, 'JPEG 50')}"
            found.append((words, "iou", keys, bound))
    half = {"variant": "ncc", "attack": "jpeg70", "crop": 0.7}
    for attack, bound in (("none", 0.85), ("jpeg80", 0.80)):
        keys = {"variant": "network", "attack": attack}
        found.append((f"F1 of pasted areas, {TAMPERED[attack]}", "tamper_f1", keys, bound))
    return [
        *found,
        ("right answers, cropped or not", "cropped_accuracy", {"set": "all"}, 0.985),
        ("SSIM of the watermark, 70% kept, JPEG 70", "watermark_ssim", half, 0.88),
        ("seconds to protect", "seconds_protect", {}, 0.15),
        ("seconds to locate", "seconds_locate", {}, 0.4),
    ]


def missed(rows: Sequence[Row]) -> tuple[int, str]:
    """Compare with the goals: how many were reached, and a table of the others."""
    reached, lines = 0, []
    for words, metric, keys, bound in goals():
        row = chosen(rows, metric, **keys)
        digits = 1 if metric == "psnr" else 3
        lower = metric.startswith("seconds")
        if row and (row["value"] <= bound if lower else row["value"] >= bound):
            reached += 1
        else:
            # A near miss must not look like a hit.
            near = row is not None and round(row["value"], digits) == bound
            wanted = f"{'≤' if lower else '≥'} {bound:.{digits}f}"
            lines.append([words, wanted, cell(row, digits + near, paper=False)])
    return reached, table(["missed", "goal", "reached"], lines) if lines else ""


SYSTEMS = {"traces": "reading lens traces (lesson 03)", "rwn": "the watermark"}
"""Systems that were asked about the same pictures, by their names in results."""


def table_of_systems(rows: Sequence[Row]) -> str:
    """Write how well systems answer the same questions: where a crop was, and whether it is one."""
    attacks = ("none", "jpeg70")
    lines = []
    for variant, name in SYSTEMS.items():
        found = [
            chosen(rows, "cropped_accuracy", variant=variant, attack=attack) for attack in attacks
        ]
        found += [
            chosen(rows, "iou", variant=variant, crop=rate, attack=attack)
            for rate in RATES
            for attack in attacks
        ]
        lines.append([f"**{name}**", *(cell(row, 2, paper=False) for row in found)])
    head = [f"cropped or not, {COLUMNS[attack]}" for attack in attacks]
    head += [f"IoU, {rate:.0%}, {COLUMNS[attack]}" for rate in RATES for attack in attacks]
    return table(["", *head], lines)


CASES = {
    "mixup": "JPEG-Mixup",
    "mbrs": "MBRS",
    "jpeg-ss": "JPEG-SS",
    "jpeg-mask": "JPEG-Mask",
    "real": "real files, slopes of JPEG-SS",
    "straight": "real files, slopes of 1",
    "no-jpeg": "no JPEG in training",
    "no-attack": "nothing at all in training",
    "separate": "two networks",
    "judged": "with a discriminator",
}
"""Ablations by their names in results. JPEG-Mixup is what the others differ from."""
PAPER_ABLATION = {"mixup": 0.878, "mbrs": 0.797}
"""SSIM of watermarks after JPEG 70 at 70 % kept: the only two numbers that the paper gives."""


def cases_of(rows: Iterable[Row]) -> list[str]:
    """List the ablations that were measured, in the lesson's order."""
    there = list(dict.fromkeys(row["case"] for row in rows if row.get("case")))
    return [*(case for case in CASES if case in there), *(c for c in there if c not in CASES)]


def table_of_ablations(rows: Sequence[Row]) -> str:
    """Write what each ablation reaches: quality, and watermark and frame at 70 % kept."""
    attacks = {"none": "no attack", "jpeg70": "JPEG 70", "jpeg50": "JPEG 50"}
    lines = []
    for case in cases_of(rows):
        quality = next((r for r in rows if r["metric"] == "psnr" and r.get("case") == case), None)
        cells = [cell(quality, 1, paper=False)]
        for metric in ("watermark_ssim", "iou"):
            for attack in attacks:
                found = _of_case(rows, metric, case, attack)
                cells.append(cell(found, paper=False))
        theirs = PAPER_ABLATION.get(case)
        lines.append([f"**{CASES.get(case, case)}**", *cells, f"{theirs:.3f}" if theirs else "–"])
    head = [f"{name}, {words}" for name in ("SSIM", "IoU") for words in attacks.values()]
    return table(["", "PSNR (dB)", *head, "paper: SSIM, JPEG 70"], lines)


def _of_case(rows: Iterable[Row], metric: str, case: str, attack: str) -> Row | None:
    wanted = {"metric": metric, "case": case, "attack": attack, "crop": 0.7}
    return next(
        (row for row in rows if all(row.get(name) == value for name, value in wanted.items())), None
    )


def ablation_in_words(rows: Sequence[Row], case: str, base: str = "mixup") -> str:
    """Say how an ablation compares with its base: the frame that is found after JPEG 70."""
    mine, theirs = (_of_case(rows, "iou", name, "jpeg70") for name in (case, base))
    if mine is None or theirs is None or None in (mine["low"], theirs["low"]):
        return "not measured"
    by = f"IoU after JPEG 70 {mine['value'] - theirs['value']:+.3f}"
    if mine["low"] > theirs["high"]:
        return f"{by}: better than {CASES[base]}"
    if mine["high"] < theirs["low"]:
        return f"{by}: worse than {CASES[base]}"
    return f"{by}: not clearly apart from {CASES[base]}"


def against_paper(rows: Sequence[Row], attacks: Mapping[str, str] = COLUMNS) -> Figure:
    """Draw Table I: our IoU with intervals, and the paper's as hollow marks.

    Parameters
    ----------
    rows : sequence of dict
        Of results.
    attacks : dict of attack to words
    """
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 3.4))
    hollow: dict[str, Any] = {"markersize": 8, "markerfacecolor": "white", "zorder": 3}
    for number, rate in enumerate(RATES):
        colour = mpl.colormaps["viridis"]((0.05, 0.4, 0.68)[number])
        mark, shift = MARKS[number], 0.2 * (number - 1)
        for x, attack in enumerate(attacks):
            row = chosen(rows, "iou", variant="ncc", attack=attack, crop=rate)
            if row is None:
                continue
            label = f"{rate:.0%} kept" if x == 0 else None
            axis.plot(x + shift, row["value"], mark, color=colour, markersize=8, label=label)
            if row["low"] is not None:
                axis.plot([x + shift] * 2, [row["low"], row["high"]], "-", color=colour)
            if row["paper"] is not None:
                axis.plot(x + shift, row["paper"], mark, color=colour, **hollow)
                ends = [row["paper"] + 0.014, row["value"] - 0.014]
                if ends[1] > ends[0]:
                    axis.plot([x + shift] * 2, ends, ":", color=colour, linewidth=1.2)
    axis.plot([], [], "o", color=MUTED, label="the paper (hollow)", **hollow)
    axis.set_xticks(range(len(attacks)), list(attacks.values()))
    axis.set(ylabel="IoU of crops", ylim=(0.48, 1.02), xlim=(-0.5, len(attacks) - 0.5))
    axis.grid(visible=False, axis="x")
    axis.legend(fontsize=10, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    return figure


# Small helpers for readers of pictures


def cut_of(watermark: np.ndarray, box: Box) -> np.ndarray:
    """Cut a box out of a watermark and stretch it to full size, as float32."""
    return stretched(watermark, box, watermark.shape).astype(np.float32)


def side_by_side(*pictures: np.ndarray, gap: int = 12, side: int = 320) -> np.ndarray:
    """Lay pictures side by side on paper, each ``side`` pixels wide and high."""
    sized = [cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in pictures]
    paper = np.full((side, gap, 3), 246, np.uint8)
    parts = [sized[0]]
    for _, after in pairwise(sized):
        parts += [paper, after]
    return np.hstack(parts)
