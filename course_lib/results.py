"""Results of an evaluation: one vocabulary, one file format, one table.

Results are a mapping with ``system``, ``checkpoint``, ``photos`` (how many), ``seed`` and ``rows``.
A row has ``metric``, ``value``, ``low`` and ``high`` (ends of its interval, or None), the keys that
say under which condition it was measured, and ``paper``, the published number or None. A key that
does not apply is left out.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import HORIZONTALS
from rich.table import Table

from course_lib.errors import CourseError
from course_lib.files import write_text
from course_lib.metrics import Estimate

HEAD = ("system", "checkpoint", "photos", "seed")
# fmt: off
METRICS = frozenset({
    "psnr", "ssim", "iou", "crop_f1", "cropped_accuracy", "tamper_f1", "watermark_ssim",
    "recovered_psnr", "recovered_ssim", "lost_area_psnr", "patch_accuracy",
    "patch_accuracy_top20", "crop_accuracy", "rectangle_iou", "offset_px_median",
    "offset_px_p95", "scale_error_median", "detector_accuracy", "splice_f1", "acc_1_5",
    "acc_1_10", "ap40", "flms_iou_max", "flms_iou_mean", "seconds_protect",
    "seconds_locate", "simulator_psnr", "quality_accuracy", "blockiness", "seconds_simulator",
})
# fmt: on
KEYS = ("variant", "attack", "crop", "area", "crop_px", "scale", "epsilon", "case", "lens", "set")
NUMBERS = ("value", "low", "high", "paper")


def row(metric: str, measured: Estimate, paper: float | None = None, **keys: Any) -> dict[str, Any]:
    """Make a row of results from an estimate.

    Parameters
    ----------
    metric : str
        One of `METRICS`.
    measured : Estimate
        Value and interval.
    paper : float, optional
        What the paper reports.
    **keys
        The condition: any of `KEYS`.
    """
    ends = {"low": measured.low, "high": measured.high}
    known = {name: None if end != end else end for name, end in ends.items()}
    return {"metric": metric, **keys, "value": measured.value, **known, "n": measured.n} | {
        "paper": paper
    }


def check(results: Mapping[str, Any]) -> None:
    """Make sure that results keep to the format.

    Raises
    ------
    CourseError
        When something is missing or not of the vocabulary.
    """
    if missing := [name for name in (*HEAD, "rows") if name not in results]:
        raise CourseError(f"These results lack {', '.join(missing)}.")
    for number, each in enumerate(results["rows"], start=1):
        if missing := [name for name in ("metric", *NUMBERS) if name not in each]:
            raise CourseError(f"Row {number} of these results lacks {', '.join(missing)}.")
        if each["metric"] not in METRICS:
            raise CourseError(f"Row {number} of these results: unknown metric {each['metric']!r}.")
        if strange := sorted(each.keys() - {"metric", "n", *NUMBERS, *KEYS}):
            raise CourseError(f"Row {number} of these results: unknown key {strange[0]!r}.")


def write(results: Mapping[str, Any], path: Path) -> None:
    """Write results as JSON, a line for each row, whole or not at all.

    Raises
    ------
    CourseError
        When they do not keep to the format, or the file cannot be written.
    """
    check(results)
    head = [
        f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in results.items()
        if key != "rows"
    ]
    try:
        rows = [json.dumps(each, ensure_ascii=False, allow_nan=False) for each in results["rows"]]
    except ValueError as error:
        raise CourseError("These results hold a number that is not finite.") from error
    body = ",\n".join([*head, ' "rows": [\n  ' + ",\n  ".join(rows) + "\n ]"])
    write_text(path, "{\n" + body + "\n}\n")


def table(results: Mapping[str, Any]) -> Table:
    """Lay results out for a terminal: a line a row, and columns for the keys that occur.

    A metric is named once for all of its rows that follow each other.
    """
    rows: Sequence[Mapping[str, Any]] = results["rows"]
    used = [key for key in KEYS if any(key in each for each in rows)]
    title = "{system}, {checkpoint}, {photos} photographs, seed {seed}".format_map(results)
    shown = Table(
        title=title, title_justify="left", title_style="", box=HORIZONTALS, pad_edge=False
    )
    shown.add_column("metric")
    for name in used:
        shown.add_column(name, no_wrap=True)
    for name in ("value", "95 % interval", "paper"):
        shown.add_column(name, justify="right", no_wrap=True)
    for before, each in zip([{}, *rows], rows, strict=False):
        again = before.get("metric") == each["metric"]
        metric = "" if again else each["metric"].replace("_", " ")  # so that it can be broken
        if before and not again:
            shown.add_section()
        ends = [each["low"], each["high"]]
        interval = "" if None in ends else f"[{_short(ends[0])}, {_short(ends[1])}]"
        keys = [str(each.get(key, "")).replace(" - ", " -\n") for key in used]
        shown.add_row(metric, *keys, _short(each["value"]), interval, _short(each["paper"]))
    return shown


def _short(value: float | None) -> str:
    """Three figures after the point for shares, fewer for large numbers."""
    if value is None:
        return ""
    return f"{value:z.3f}" if abs(value) < 10 else f"{value:z.1f}"
