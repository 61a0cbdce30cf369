"""Measuring: the paper's tables, on photographs that nobody trained on, through real files.

Every picture is squared to 256 × 256 pixels, protected, stored as PNG, cropped at a place drawn
anew, attacked, stored as PNG or JPEG, read again, and located. Intervals are over photographs.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.attacks.chain import published
from course_lib.attacks.tamper import free_form_mask
from course_lib.geometry import Box, crop, iou, random_crop
from course_lib.metrics import bootstrap, f1, psnr, ssim
from course_lib.photos import PhotoSource, middle_square
from course_lib.results import row
from course_lib.rwn.match import stretched
from course_lib.rwn.system import Carrier, Rwn, rwn, squared
from course_lib.rwn.tamper import marked
from course_lib.rwn.watermarks import draw

Say = Callable[[str], None]
RATES = 0.9, 0.7, 0.5
"""Shares of each side that are kept, as in Table I."""
ATTACKS = (
    "none",
    "jpeg70",
    "jpeg50",
    "resize75",
    "resize50",
    "median3",
    "median5",
    "noise5",
    "noise10",
)
"""What Table I and its neighbourhood ask for."""
TAMPER_ATTACKS = "none", "jpeg80", "median3", "resize75", "noise5"
"""Those of Table II."""
MATCHED = "none", "jpeg70"
"""Attacks for which all matchers and the carrier are compared."""
WATERMARKS = 8
"""How many drawings are used in turn."""
BLIND = 0.2
"""Probability from which on a pixel counts as pasted without the key; chosen on other photographs,
as the system's own threshold for the case with the key."""
PAPER_IOU = {
    (0.9, "none"): 0.919,
    (0.9, "jpeg70"): 0.895,
    (0.9, "resize75"): 0.803,
    (0.9, "median3"): 0.838,
    (0.9, "noise5"): 0.784,
    (0.7, "none"): 0.858,
    (0.7, "jpeg70"): 0.813,
    (0.7, "resize75"): 0.878,
    (0.7, "median3"): 0.915,
    (0.7, "noise5"): 0.763,
    (0.5, "none"): 0.821,
    (0.5, "jpeg70"): 0.706,
    (0.5, "resize75"): 0.603,
    (0.5, "median3"): 0.540,
    (0.5, "noise5"): 0.513,
}
"""Table I. It does not say how strong its scaling, median and noise were."""
PAPER_SSIM = {
    (0.9, "none"): 0.949,
    (0.9, "jpeg70"): 0.896,
    (0.7, "none"): 0.942,
    (0.7, "jpeg70"): 0.878,
    (0.5, "none"): 0.914,
    (0.5, "jpeg70"): 0.722,
}
"""Table I: extracted watermarks."""
PAPER_F1 = {"none": 0.773, "jpeg80": 0.736, "median3": 0.695, "resize75": 0.745, "noise5": 0.573}
"""Table II."""


@dataclass(frozen=True)
class Case:
    """A photograph ready to be measured on.

    Parameters
    ----------
    name : str
    picture : (256, 256, 3) uint8
    watermark : (256, 256) float32
    number : int
        Source of chance.
    """

    name: str
    picture: np.ndarray
    watermark: np.ndarray
    number: int


def cases(photos: PhotoSource, limit: int | None = None) -> list[Case]:
    """Square the middle of photographs, and give each a watermark.

    Raises
    ------
    PhotoError
        When no photograph can be used.
    """
    chosen = []
    for number, (photo, picture) in enumerate(islice(photos.pictures(), limit)):
        middle = squared(middle_square(picture))
        chosen.append(Case(photo.name, middle, draw(number % WATERMARKS), number))
    return chosen


def evaluate(
    photos: PhotoSource,
    *,
    weights: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Measure the shipped networks, or one's own, beside the carrier that needs no training.

    Parameters
    ----------
    photos : PhotoSource
        Not used for training.
    weights : Path, optional
        Folder of checkpoints.
    limit : int, optional
        Largest number of photographs.
    seed : int
        Of the places of crops and of noise.
    say : callable
        Shows progress.

    Returns
    -------
    dict
        Results as `course_lib.results` wants them.
    """
    system, chosen = rwn(weights), cases(photos, limit)
    say("quality")
    rows = quality_rows(system, chosen)
    parts = {
        "crops": crop_rows,
        "matchers and carrier": matcher_rows,
        "decisions": decision_rows,
    } | ({} if system.tamper is None else {"tampering": tamper_rows})
    for name, measure in parts.items():
        say(name)
        rows += measure(system, chosen, seed)
    return {
        "system": "rwn",
        "checkpoint": str(weights.name if weights else "shipped"),
        "photos": len(chosen),
        "seed": seed,
        "rows": rows,
    }


def quality_rows(system: Rwn, chosen: Sequence[Case]) -> list[dict[str, Any]]:
    """Measure how much protection changes pictures, and how long both users wait."""
    return [*fidelity_rows(system, chosen), *speed_rows(system, chosen)]


def fidelity_rows(system: Rwn, chosen: Sequence[Case], **keys: Any) -> list[dict[str, Any]]:
    """Measure how much protection changes pictures."""
    pairs = [(case.picture, system.protect(case.picture, case.watermark)) for case in chosen]
    return [
        row("psnr", bootstrap([psnr(*pair) for pair in pairs]), 36.23, **keys),
        row("ssim", bootstrap([ssim(*pair) for pair in pairs]), 0.983, **keys),
    ]


def speed_rows(system: Rwn, chosen: Sequence[Case]) -> list[dict[str, Any]]:
    """Measure how long who publishes and who finds a picture wait, at the median."""
    hiding, finding = [], []
    for case in chosen:
        began = time.perf_counter()
        protected = system.protect(case.picture, case.watermark)
        hiding.append(time.perf_counter() - began)
        cut = crop(protected, _box(case, 0.7, 0))
        began = time.perf_counter()
        system.locate(cut, case.watermark)
        finding.append(time.perf_counter() - began)
    return [
        row("seconds_protect", bootstrap(hiding, np.median)),
        row("seconds_locate", bootstrap(finding, np.median)),
    ]


def crop_rows(
    system: Rwn,
    chosen: Sequence[Case],
    seed: int = 0,
    rates: Sequence[float] = RATES,
    attacks: Sequence[str] = ATTACKS,
    matcher: str = "ncc",
    **keys: Any,
) -> list[dict[str, Any]]:
    """Measure Table I: overlap of the box that was found with the true one, and the watermark.

    Parameters
    ----------
    system : Rwn
    chosen : sequence of Case
    seed : int
    rates : sequence of float
        Shares of each side that are kept.
    attacks : sequence of str
    matcher : str
    **keys
        Said of every row.
    """
    overlap: dict[tuple[float, str], list[float]] = {}
    watermark: dict[tuple[float, str], list[float]] = {}
    for case in chosen:
        protected = system.protect(case.picture, case.watermark)
        for rate in rates:
            box = _box(case, rate, seed)
            truth = stretched(case.watermark, box, case.watermark.shape).astype(np.float32)
            for attack in attacks:
                seen = published(crop(protected, box), attack, _chance(case, seed))
                finding = system.locate(seen, case.watermark, matcher)
                overlap.setdefault((rate, attack), []).append(iou(finding.match.box, box))
                likeness = ssim(finding.watermark, truth)
                watermark.setdefault((rate, attack), []).append(likeness)
    keys = {"variant": matcher, **keys}
    found = [
        row("iou", bootstrap(values), PAPER_IOU.get(cell), attack=cell[1], crop=cell[0], **keys)
        for cell, values in overlap.items()
    ]
    return found + [
        row(
            "watermark_ssim",
            bootstrap(values),
            PAPER_SSIM.get(cell),
            attack=cell[1],
            crop=cell[0],
            **keys,
        )
        for cell, values in watermark.items()
    ]


def matcher_rows(system: Rwn, chosen: Sequence[Case], seed: int = 0) -> list[dict[str, Any]]:
    """Compare ways of matching on the same watermarks, and the network with the carrier."""
    rows = []
    for matcher in ("sift", "orb"):
        rows += crop_rows(system, chosen, seed, attacks=MATCHED, matcher=matcher)
    carrier = Carrier(psnr=39.0)
    rows += crop_rows(carrier, chosen, seed, attacks=MATCHED, variant="carrier")
    return [each for each in rows if each["metric"] == "iou" or each["variant"] == "carrier"]


def decision_rows(system: Rwn, chosen: Sequence[Case], seed: int = 0) -> list[dict[str, Any]]:
    """Measure how often "cropped", "not cropped" and "no watermark" are said rightly.

    Half of the questions are crops (90, 70 and 50 % kept, with and without JPEG), a quarter are
    whole protected pictures (as they are, after JPEG, scaled), a quarter were never protected
    (whole and cropped). An answer is right only if it is the right one of the three.
    """
    right: dict[str, list[float]] = {}
    groups: dict[str, list[str]] = {}
    for case in chosen:
        for kind, seen, truth in _questions(system, case, seed):
            said = system.locate(seen, case.watermark).said
            for name in (kind, "all"):
                right.setdefault(name, []).append(float(said == truth))
                groups.setdefault(name, []).append(case.name)
    return [
        row(
            "cropped_accuracy",
            bootstrap(values, groups=groups[kind]),
            0.9075 if kind == "all" else None,
            set=kind,
        )
        for kind, values in right.items()
    ]


def _questions(system: Rwn, case: Case, seed: int) -> Iterator[tuple[str, np.ndarray, str]]:
    protected = system.protect(case.picture, case.watermark)
    chance = _chance(case, seed)
    for rate in RATES:
        for attack in MATCHED:
            cut = crop(protected, _box(case, rate, seed))
            yield "crops", published(cut, attack, chance), "cropped"
    for attack in ("none", "jpeg70", "resize75"):
        yield "whole", published(protected, attack, chance), "not cropped"
    cut = crop(case.picture, _box(case, 0.7, seed))
    yield "unprotected", case.picture, "no watermark"
    yield "unprotected", published(case.picture, "jpeg70", chance), "no watermark"
    yield "unprotected", cut, "no watermark"


def tamper_rows(
    system: Rwn,
    chosen: Sequence[Case],
    seed: int = 0,
    attacks: Sequence[str] = TAMPER_ATTACKS,
) -> list[dict[str, Any]]:
    """Measure Table II: areas pasted by free-form strokes, out of another photograph.

    Three ways of marking them: the network from the picture alone (``blind``, the paper's case),
    the network that also knows the watermark (``network``), and the watermark without a network
    (``keyed``).
    """
    scores: dict[tuple[str, str], list[float]] = {}
    for case, other in zip(chosen, [*chosen[1:], chosen[0]], strict=True):
        protected = system.protect(case.picture, case.watermark)
        mask = free_form_mask(protected.shape, np.random.default_rng((seed, case.number, 2)))
        forged = np.where(mask[..., None], other.picture, protected)
        for attack in attacks:
            seen = published(forged, attack, _chance(case, seed))
            found = system.extract(seen)
            said = {
                "blind": system.pasted(seen, found) >= BLIND,
                "network": system.pasted(seen, found, case.watermark) >= system.threshold,
                "keyed": marked(found, case.watermark),
            }
            for variant, area in said.items():
                scores.setdefault((variant, attack), []).append(f1(area, mask))
    return [
        row("tamper_f1", bootstrap(values), PAPER_F1.get(attack), variant=variant, attack=attack)
        for (variant, attack), values in scores.items()
    ]


def _box(case: Case, rate: float, seed: int) -> Box:
    """Draw where a crop of this photograph lies."""
    rng = np.random.default_rng((seed, case.number, round(1000 * rate)))
    return random_crop(case.picture.shape, rate, rng)


def _chance(case: Case, seed: int) -> int:
    return 1000 * seed + case.number
