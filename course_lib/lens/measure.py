"""Measuring the lenses behind a folder of photographs, and writing the numbers down.

Only numbers and names of pictures and cameras are written, never pixels. Magnifications are given
as m - 1, shares and fractions as such, and every ``[value, low, high]`` is a 95 % interval.
"""

import csv
import importlib.metadata
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from course_lib.errors import CourseError, PhotoError, UsageError
from course_lib.files import write_text
from course_lib.lens.flatfield import brightness_map, estimate_strength, fit_falloff, unevenness
from course_lib.lens.fringes import Fringes, Magnification, measure_fringes
from course_lib.lens.model import Lens
from course_lib.metrics import Estimate, bootstrap
from course_lib.photos import Photo, PhotoSource, resize_to

LONG_SIDE = 1536
"""Photographs are measured at this size at most, so that pixels mean the same for all."""
INJECTED = (-1e-3, -3e-4, 3e-4, 1e-3)
"""Known green magnifications that are added to some photographs, to see what comes back."""
INJECTED_PHOTOS = 6
JPEG_QUALITY = 86
SUBSAMPLINGS = {"444": 0, "420": 2}
"""Colour at full and at half resolution, in Pillow's numbering."""
MOST_UNEVEN = 0.05
"""A frame that strays more than this from its own rings is no evenly lit one."""

Report = Callable[[str], None]
Row = dict[str, Any]

PHOTO_FIELDS = {
    "photo": "file name",
    "folder": "folder of the file inside the one that was measured",
    "source, licence, camera": "from the manifest; camera from EXIF without one",
    "counted": "whether the summary counts it: the first photo of each camera model",
    "size": "width and height in pixels, as measured",
    "blocks": "blocks of 48 px that were used",
    "red, blue": "magnification relative to green, minus 1: [value, low, high]",
    "green": "green's relative to the mean of red's and blue's, minus 1; below 0 is inward",
    "significant": "channels whose interval leaves out 0",
    "corner_px": "displacement half a diagonal from the centre, of red or blue, the larger",
    "center": "optical centre as fractions: [x, low, high, y, low, high]; null: not determined",
    "center_of": "the channel whose centre it is, the more displaced one",
    "vignetting": "strength of the paper's polynomial by gradient symmetry, -0.4 to 1",
}
FLAT_FIELDS = {
    "camera": "camera body",
    "frames": "evenly lit frames",
    "size": "width and height in pixels, as stored (some bodies stored portrait)",
    "strength": "best strength of the paper's polynomial, by shape: [value, low, high]",
    "corner_strength": "strength that gives the corners' mean brightness",
    "corners": "brightness, centre 1: top left, top right, bottom left, bottom right",
    "rms": "what the paper's shape leaves at its best strength and centre, centre 1",
    "free_rms": "what a free polynomial of sixth order leaves",
    "uneven_rms": "what no function of the radius can explain",
    "full_rms": "what the paper's polynomial leaves at full strength",
    "gain": "a, b, c of the free polynomial 1 + a r^2 + b r^4 + c r^6",
    "center, free_center": "optical centres of the two fits, as fractions",
    "profile": "[radius, brightness] in rings; radius in half diagonals",
}


@dataclass(frozen=True)
class Origin:
    """Where a photograph comes from."""

    source: str = ""
    licence: str = ""
    camera: str = ""


class Manifest:
    """A table (CSV) that names source, licence and camera of files.

    Parameters
    ----------
    path : Path, optional
        Columns ``file``, ``source``, ``licence``, ``camera``; all but the first may be missing.
        Without a path the manifest is empty.

    Raises
    ------
    UsageError
        If the file cannot be read or has no column ``file``.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._files: dict[str, list[tuple[str, Origin]]] = {}
        if path is None:
            return
        try:
            with path.open(newline="", encoding="utf-8") as lines:
                table = list(csv.DictReader(lines))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"{path}: cannot be read as a CSV table ({error}).") from error
        if not table or "file" not in table[0]:
            raise UsageError(f"{path}: needs a header line with a column 'file', and rows.")
        for row in table:
            camera = row.get("camera") or row.get("camera_or_name") or ""
            origin = Origin(row.get("source") or "", row.get("licence") or "", camera)
            name = PurePosixPath(row["file"]).name
            self._files.setdefault(name, []).append((row["file"], origin))

    def find(self, photo: Photo) -> Origin:
        """Return the origin of a photo, whose name may be a part of the listed one, or the reverse.

        The camera is read from EXIF where the manifest says none.
        """
        origin = Origin()
        for file, candidate in self._files.get(PurePosixPath(photo.name).name, []):
            if f"/{file}".endswith(f"/{photo.name}") or f"/{photo.name}".endswith(f"/{file}"):
                origin = candidate
        if origin.camera or photo.path is None:
            return origin
        return Origin(origin.source, origin.licence, exif_camera(photo.path))


def exif_camera(path: Path) -> str:
    """Maker and model of the camera, or an empty string."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
    except (OSError, SyntaxError, ValueError):
        return ""
    words = (str(exif.get(tag, "")).strip("\0 ") for tag in (271, 272))
    return " ".join(word for word in words if word)


def measure_photos(
    photos: PhotoSource,
    manifest: Manifest | None = None,
    limit: int | None = None,
    report: Report = lambda name: None,
) -> dict[str, Any]:
    """Measure chromatic aberration and vignetting of ordinary photographs.

    Parameters
    ----------
    photos : PhotoSource
        Best straight from cameras, neither cropped nor edited.
    manifest : Manifest, optional
        Where they come from.
    limit : int, optional
        Measure only so many, from the first.
    report : callable
        Told each photo's name before it is measured.

    Returns
    -------
    dict
        ``claims``, ``summary``, ``recovery``, ``skipped``, ``provenance``, ``fields`` and ``rows``,
        ready for `write_json`.

    Raises
    ------
    CourseError
        If no photograph could be measured.
    """
    manifest = manifest or Manifest()
    rows: list[Row] = []
    usable: list[Photo] = []
    cameras: set[str] = set()
    skipped: Counter[str] = Counter()
    for photo, picture in _pictures(photos, limit, skipped, report):
        origin = manifest.find(photo)
        picture = resize_to(picture, LONG_SIDE)
        try:
            row = _photo_row(picture)
        except (PhotoError, UsageError):
            skipped["too little texture, or nearly all black or white"] += 1
            continue
        key = " ".join(origin.camera.lower().split()) or photo.name
        rows.append(_identity(photo, origin) | {"counted": key not in cameras} | row)
        cameras.add(key)
        usable.append(photo)
    if not rows:
        raise CourseError(f"None of the {len(photos)} pictures could be measured: {dict(skipped)}.")
    counted = [row for row in rows if row["counted"]]
    return {
        "claims": _photo_claims(counted),
        "summary": _photo_summary(counted),
        "recovery": _recovery(usable, report),
        "skipped": dict(skipped),
        "provenance": _provenance(rows, "photos"),
        "fields": PHOTO_FIELDS,
        "rows": rows,
    }


def measure_flatfields(
    photos: PhotoSource,
    manifest: Manifest | None = None,
    limit: int | None = None,
    report: Report = lambda name: None,
) -> dict[str, Any]:
    """Measure the vignetting of cameras from evenly lit frames.

    Frames are put together by camera: the manifest's, else the file's name without its last number.

    Parameters
    ----------
    photos, manifest, limit, report
        As in `measure_photos`.

    Returns
    -------
    dict
        ``claims``, ``summary``, ``skipped``, ``provenance``, ``fields`` and ``rows``, one for each
        camera, ready for `write_json`.

    Raises
    ------
    CourseError
        If no frame could be measured.
    """
    manifest = manifest or Manifest()
    skipped: Counter[str] = Counter()
    bodies: dict[str, list[tuple[np.ndarray, list[int], Origin]]] = {}
    for photo, picture in _pictures(photos, limit, skipped, report):
        level = brightness_map(picture)
        if unevenness(level) > MOST_UNEVEN:
            skipped["not evenly lit"] += 1
            continue
        origin = manifest.find(photo)
        body = origin.camera or re.sub(r"[_-]?\d+$", "", PurePosixPath(photo.name).stem)
        frames = bodies.setdefault(body, [])
        if frames and frames[0][0].shape != level.shape:
            skipped["another shape than the camera's first frame"] += 1
            continue
        frames.append((level, [picture.shape[1], picture.shape[0]], origin))
    if not bodies:
        raise CourseError(f"None of the {len(photos)} frames could be measured: {dict(skipped)}.")
    rows = [
        _flat_row(body, frames[0][1], frames[0][2], [level for level, _, _ in frames])
        for body, frames in sorted(bodies.items())
    ]
    return {
        "claims": _flat_claims(rows),
        "summary": _flat_summary(rows),
        "skipped": dict(skipped),
        "provenance": _provenance(rows, "flatfield"),
        "fields": FLAT_FIELDS,
        "rows": rows,
    }


def describe(measured: dict[str, Any]) -> list[str]:
    """Say in lines of text what a measurement found, for people."""
    summary, claims = measured["summary"], measured["claims"]
    lines = []
    if "green_inward" in claims:
        lines.append(f"{len(measured['rows'])} photos of {summary['models']} camera models")
        lines.append("m - 1 in units of 1e-4    5 %    25 %   50 %   75 %   95 %   significant")
        for name in ("red", "blue", "green"):
            values = (1e4 * v for v in summary[name]["quantiles_5_25_50_75_95"])
            share = summary[name]["significant_share"][0]
            lines.append(f"{name:<22}" + "".join(f"{v:7.2f}" for v in values) + f"{share:10.0%}")
        claim = claims["green_inward"]
        lines.append(
            f"Green inward in {_spoken(claim['share'], 100)} % of models, median "
            f"{_spoken(claim['median'], 1e4)} × 1e-4 (n = {claim['n']})"
        )
    else:
        lines.append("camera               frames  strength  in corners  paper rms  free rms")
        lines.extend(
            f"{row['camera']:<20}{row['frames']:>7}{row['strength'][0]:>10.3f}"
            f"{row['corner_strength']:>12.3f}{row['rms']:>11.4f}{row['free_rms']:>10.4f}"
            for row in measured["rows"]
        )
    lines.extend(f"skipped {count}: {why}" for why, count in measured["skipped"].items())
    return lines


def _spoken(triple: list[float], unit: float) -> str:
    value, low, high = (unit * (np.nan if v is None else v) for v in triple)
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def write_json(path: Path, measured: dict[str, Any]) -> None:
    """Write a measurement, a line for each row, whole or not at all.

    Raises
    ------
    CourseError
        If the file cannot be written.
    """
    lines = []
    for key, value in measured.items():
        if key == "rows":
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            lines.append(f' "rows": [\n  {rows}\n ]')
        else:
            items = ",\n  ".join(
                f"{json.dumps(name)}: {json.dumps(item, ensure_ascii=False)}"
                for name, item in value.items()
            )
            lines.append(f" {json.dumps(key)}: {{\n  {items}\n }}" if items else f' "{key}": {{}}')
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _pictures(
    photos: PhotoSource, limit: int | None, skipped: Counter[str], report: Report
) -> Iterator[tuple[Photo, np.ndarray]]:
    """Read photos one by one; count the bad ones."""
    for photo in photos[:limit] if limit is not None else photos:
        report(photo.name)
        try:
            picture = photo.read()
        except PhotoError:
            skipped["cannot be read as a picture"] += 1
        else:
            yield photo, picture
    if photos.skipped:
        skipped["cannot be reached in the folder"] += len(photos.skipped)


def _identity(photo: Photo, origin: Origin) -> Row:
    place = PurePosixPath(photo.name)
    folder = "" if place.parent == PurePosixPath(".") else str(place.parent)
    return {"photo": place.name, "folder": folder} | asdict(origin)


def _photo_row(picture: np.ndarray) -> Row:
    fringes = measure_fringes(picture)
    larger = max(("red", "blue"), key=lambda name: abs(getattr(fringes, name).m.value - 1))
    found = {"red": fringes.red.m, "blue": fringes.blue.m, "green": fringes.green}
    return {
        "size": [picture.shape[1], picture.shape[0]],
        "blocks": len(fringes.field),
        **{name: _triple(_excess(estimate), 7) for name, estimate in found.items()},
        "significant": [name for name, e in found.items() if not e.low <= 1 <= e.high],
        "corner_px": _number(fringes.corner_shift, 3),
        "center": _center(getattr(fringes, larger), fringes),
        "center_of": larger,
        "vignetting": _triple(estimate_strength(picture), 3),
    }


def _center(channel: Magnification, fringes: Fringes) -> list[float | None] | None:
    """Return the optical centre and its interval as fractions, or None."""
    if not channel.center_known:
        return None
    sides = (fringes.field.shape[1], fringes.field.shape[0])
    return [
        _number(v / side, 3)
        for estimate, side in zip(channel.center, sides, strict=True)
        for v in (estimate.value, estimate.low, estimate.high)
    ]


def _photo_summary(rows: list[Row]) -> dict[str, Any]:
    """Distribution over camera models: quantiles, intervals of the medians, shares."""
    summary: dict[str, Any] = {"models": len(rows)}
    for name in ("red", "blue", "green"):
        values = _column(rows, name)
        summary[name] = {
            "quantiles_5_25_50_75_95": _quantiles(values, (5, 25, 50, 75, 95), 7),
            "median": _triple(bootstrap(values, np.median), 7),
            "significant_share": _share([name in row["significant"] for row in rows]),
        }
    both = np.stack([_column(rows, "red"), _column(rows, "blue")], axis=1)
    if len(rows) > 2:
        summary["red_blue_rank_correlation"] = _triple(bootstrap(both, _rank_correlation), 3)
    corner = np.array([row["corner_px"] for row in rows])
    summary["corner_px_quantiles_25_50_75_90_95"] = _quantiles(corner, (25, 50, 75, 90, 95), 3)
    known = [row for row in rows if row["center"]]
    summary["center"] = {"determined": len(known), "models": len(rows)}
    if known:
        away = np.array([_from_middle(row) for row in known])
        summary["center"]["half_diagonals_from_middle_quantiles_25_50_75"] = _quantiles(
            away, (25, 50, 75), 3
        )
    vignetting = _column(rows, "vignetting")
    summary["vignetting"] = {
        "quantiles_5_25_50_75_95": _quantiles(vignetting, (5, 25, 50, 75, 95), 3),
        "median": _triple(bootstrap(vignetting, np.median), 3),
    }
    return summary


def _from_middle(row: Row) -> float:
    """Distance of the optical centre from the frame's middle, in half diagonals."""
    width, height = row["size"]
    x, y = (row["center"][0] - 0.5) * width, (row["center"][3] - 0.5) * height
    return float(np.hypot(x, y) / (0.5 * np.hypot(width, height)))


def _photo_claims(rows: list[Row]) -> dict[str, Any]:
    """Answer whether the modal green channel is magnified inward."""
    green = _column(rows, "green")
    sure = np.array([row["green"][0] for row in rows if "green" in row["significant"]])
    median = bootstrap(green, np.median)
    return {
        "green_inward": {
            "n": len(rows),
            "share": _share(green < 0),
            "median": _triple(median, 7),
            "n_significant": len(sure),
            "share_of_significant": _share(sure < 0) if len(sure) else None,
            "holds": bool(median.high < 0),
        }
    }


def _recovery(photos: Sequence[Photo], report: Report) -> dict[str, Any]:
    """Add known green magnifications to some photographs and see what comes back."""
    step = max(1, len(photos) // INJECTED_PHOTOS)
    found: list[list[float]] = []
    kept: dict[str, list[float]] = {name: [] for name in SUBSAMPLINGS}
    for photo in photos[::step][:INJECTED_PHOTOS]:
        report(f"{photo.name}, with known fringes added")
        # In floats: rounding to 8 bits would swallow shifts of a few hundredths of a pixel.
        picture = resize_to(photo.read(), LONG_SIDE).astype(np.float32) / 255
        own = _green(picture)
        known = [Lens(green=1 + excess, kernel="cubic").apply(picture) for excess in INJECTED]
        found.append([_green(seen) / own - 1 for seen in known])
        for name, subsampling in SUBSAMPLINGS.items():
            low, high = (_green(_through_jpeg(seen, subsampling)) for seen in (known[0], known[-1]))
            kept[name].append((high - low) / (INJECTED[-1] - INJECTED[0]))
    return {
        "photos": len(found),
        "injected": list(INJECTED),
        "recovered_median": [_number(v, 7) for v in np.median(found, axis=0)],
        "recovered_lowest": [_number(v, 7) for v in np.min(found, axis=0)],
        "recovered_highest": [_number(v, 7) for v in np.max(found, axis=0)],
        **{
            f"kept_after_jpeg{JPEG_QUALITY}_{name}_lowest_median_highest": _quantiles(
                np.array(shares), (0, 50, 100), 3
            )
            for name, shares in kept.items()
        },
    }


def _green(picture: np.ndarray) -> float:
    return measure_fringes(picture, rounds=2).green.value


def _through_jpeg(picture: np.ndarray, subsampling: int) -> np.ndarray:
    """Save a picture as JPEG and read it again, in memory."""
    file = io.BytesIO()
    whole = np.rint(255 * picture).astype(np.uint8)
    Image.fromarray(whole).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=subsampling)
    return np.array(Image.open(file))


def _flat_row(body: str, size: list[int], origin: Origin, maps: list[np.ndarray]) -> Row:
    fit = fit_falloff(maps)
    return {
        "camera": body,
        "source": origin.source,
        "licence": origin.licence,
        "frames": len(maps),
        "size": size,
        "strength": _triple(fit.strength, 4),
        "corner_strength": _number(fit.corner_strength, 4),
        "corners": [_number(v, 4) for v in fit.corners],
        "rms": _number(fit.rms, 4),
        "free_rms": _number(fit.free_rms, 4),
        "uneven_rms": _number(fit.uneven_rms, 4),
        "full_rms": _number(fit.full_rms, 4),
        "gain": [_number(v, 4) for v in (fit.a, fit.b, fit.c)],
        "center": [_number(v, 3) for v in fit.center],
        "free_center": [_number(v, 3) for v in fit.free_center],
        "profile": [[_number(v, 4) for v in point] for point in fit.profile],
    }


def _flat_summary(rows: list[Row]) -> dict[str, Any]:
    strength = _column(rows, "strength")
    return {
        "cameras": len(rows),
        "frames": sum(row["frames"] for row in rows),
        "strength_lowest_median_highest": _quantiles(strength, (0, 50, 100), 3),
        **{
            f"{name}_lowest_median_highest": _quantiles(
                np.array([row[name] for row in rows]), (0, 50, 100), 4
            )
            for name in ("corner_strength", "rms", "free_rms", "uneven_rms", "full_rms")
        },
    }


def _flat_claims(rows: list[Row]) -> dict[str, Any]:
    """Say how far real vignetting is from the paper's polynomial."""
    ratio = np.array([row["rms"] / max(row["free_rms"], 1e-4) for row in rows])
    columns = {name: np.array([row[name] for row in rows]) for name in ("corner_strength", "rms")}
    columns |= {"strength": _column(rows, "strength"), "rms_over_free_rms": ratio}
    return {
        "paper_vignetting": {
            "n": len(rows),
            **{
                f"{name}_median": _triple(bootstrap(values, np.median), 4)
                for name, values in columns.items()
            },
        }
    }


def _provenance(rows: list[Row], kind: str) -> dict[str, Any]:
    """Say what was measured, with what, and how to do it again. No path is named."""
    origins = Counter((row["source"], row["licence"]) for row in rows)
    per = "photos" if kind == "photos" else "cameras"
    long_sides = Counter(max(row["size"]) for row in rows)
    return {
        "command": f"course measure lens --photos DIR --json FILE --kind {kind} --manifest FILE",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("uncropped", "numpy", "opencv-python")
        },
        "sources": [
            {"source": source or "unknown", "licence": licence or "unknown", per: count}
            for (source, licence), count in sorted(origins.items())
        ],
        "long_side_px": {str(side): count for side, count in sorted(long_sides.items())},
        "method": (
            f"photographs at most {LONG_SIDE} px long; robust fit of C = o + kG + g·∇G in blocks "
            "of 48 px, clipped pixels left out; intervals are bootstraps over blocks within a "
            "photo, over camera models (one photo each) in the summary; photos of an unknown "
            "camera count as a model each"
            if kind == "photos"
            else "median of the frames of a camera in 96 cells along the longer side; values of "
            "the file (sRGB), as in the paper; intervals are bootstraps over frames within a "
            "camera, over cameras in the claims"
        ),
    }


def _column(rows: list[Row], name: str) -> np.ndarray:
    """Values of a [value, low, high] field."""
    return np.array([row[name][0] for row in rows])


def _rank_correlation(pairs: np.ndarray) -> float:
    """Spearman's: correlation of ranks, which one extreme lens cannot dominate."""
    if (np.ptp(pairs, axis=0) == 0).any():
        return 0.0
    table: Any = np.corrcoef(np.argsort(np.argsort(pairs, axis=0), axis=0), rowvar=False)
    return float(table[0, 1])


def _excess(m: Estimate) -> Estimate:
    return Estimate(m.value - 1, m.low - 1, m.high - 1, m.n)


def _number(value: float, digits: int) -> float | None:
    """Round for the file; what is not finite is null there."""
    return round(float(value), digits) + 0.0 if np.isfinite(value) else None


def _triple(estimate: Estimate, digits: int) -> list[float | None]:
    return [_number(v, digits) for v in (estimate.value, estimate.low, estimate.high)]


def _quantiles(values: np.ndarray, percent: Sequence[float], digits: int) -> list[float | None]:
    return [_number(np.percentile(values, p), digits) for p in percent]


def _share(flags: Sequence[bool] | np.ndarray) -> list[float | None]:
    return _triple(bootstrap(np.asarray(flags, float)), 3)
