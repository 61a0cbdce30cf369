"""Measuring: the paper's tables, on photographs that nobody trained on, through real files.

Every picture is squared to the resolution of the code, protected, stored as PNG, cropped at a place
drawn anew, attacked, stored as PNG or JPEG, read again, located and recovered. Whoever recovers is
blind: the place is what the system found. Intervals are over photographs.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from course_lib.attacks.chain import published
from course_lib.clrnet.coded import Coded
from course_lib.clrnet.frame import put_back, rounded, squared
from course_lib.clrnet.learned import learned
from course_lib.clrnet.refine import inpainted, lost_area, open_refiner
from course_lib.clrnet.system import CODED, INVERTIBLE, SIDE
from course_lib.errors import UsageError
from course_lib.geometry import Box, crop, iou
from course_lib.metrics import bootstrap, psnr, ssim
from course_lib.photos import PhotoSource, middle_square
from course_lib.results import row

Say = Callable[[str], None]
Row = dict[str, Any]
ATTACKS = (
    "none",
    "jpeg90",
    "jpeg70",
    "jpeg50",
    "resize75",
    "median3",
    "brightness+20",
    "contrast120",
)
"""Those of Table I, and two that no part of the system has seen."""
RECOVERED = "none", "jpeg70"
"""Attacks after which recovery is measured."""
AREA = 0.7
"""Share of the area that is kept where recovery is measured."""
INPAINTING = "inpainting"
"""Rows of the baseline, by their ``set``."""
AREAS = 0.5, 1.0
"""Range of that share where places are measured."""


class Finding(Protocol):
    """What a system says of a picture."""

    @property
    def box(self) -> Box:
        """Where it was in the whole picture."""

    @property
    def said(self) -> str:
        """``not protected``, ``not cropped`` or ``cropped``."""

    @property
    def recovered(self) -> np.ndarray:
        """The whole picture, (side, side, 3) uint8."""


class System(Protocol):
    """What can be measured here."""

    def protect(self, picture: np.ndarray) -> np.ndarray:
        """Make a picture that can be recovered."""

    def locate(self, seen: np.ndarray) -> Finding:
        """Find the place, and recover."""


@dataclass(frozen=True)
class Case:
    """A photograph ready to be measured on.

    Parameters
    ----------
    name : str
    picture : (side, side, 3) uint8
    number : int
        Source of chance.
    """

    name: str
    picture: np.ndarray
    number: int


def cases(photos: PhotoSource, side: int, limit: int | None = None) -> list[Case]:
    """Square the middle of photographs."""
    return [
        Case(photo.name, rounded(squared(middle_square(picture), side)), number)
        for number, (photo, picture) in enumerate(islice(photos.pictures(), limit))
    ]


def evaluate(
    photos: PhotoSource,
    *,
    weights: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Measure both designs, the code also without its trained network.

    Parameters
    ----------
    photos : PhotoSource
        Not used for training.
    weights : Path, optional
        Folder of checkpoints. A design whose weights are missing is left out.
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
    systems: dict[str, Any] = {"code alone": Coded(0, SIDE)}
    if (refiner := open_refiner(weights)) is not None:
        systems[CODED] = Coded(0, SIDE, refine=refiner.refined)
    with contextlib.suppress(UsageError):
        systems[INVERTIBLE] = learned(weights)
    rows, used = [], 0
    for variant, system in systems.items():
        chosen = cases(photos, system.side, limit)
        used = len(chosen)
        rows += measure(system, chosen, variant, seed, say)
    return {
        "system": "clrnet",
        "checkpoint": str(weights.name if weights else "shipped"),
        "photos": used,
        "seed": seed,
        "rows": rows,
    }


def measure(
    system: System,
    chosen: Sequence[Case],
    variant: str,
    seed: int = 0,
    say: Say = lambda text: None,
) -> list[Row]:
    """Measure one system in all respects.

    Parameters
    ----------
    system : System
    chosen : sequence of Case
    variant : str
        Said of every row.
    seed : int
        Of the places of crops and of noise.
    say : callable
        Shows progress.
    """
    parts: dict[str, Callable[..., list[Row]]] = {
        "quality": lambda *args: fidelity_rows(*args[:2]),
        "places": place_rows,
        "recovery": recovery_rows,
        "decisions": decision_rows,
    }
    rows: list[Row] = []
    for name, part in parts.items():
        say(f"{variant}: {name}")
        rows += part(system, chosen, seed)
    return [{**each, "variant": variant} for each in rows]


def fidelity_rows(system: System, chosen: Sequence[Case]) -> list[Row]:
    """Measure how much protection changes pictures, and how long it takes to protect and locate."""
    pairs, hiding, finding = [], [], []
    for case in chosen:
        began = time.perf_counter()
        protected = system.protect(case.picture)
        hiding.append(time.perf_counter() - began)
        pairs.append((case.picture, protected))
        cut = crop(protected, drawn(case, AREA, 0))
        began = time.perf_counter()
        system.locate(cut)
        finding.append(time.perf_counter() - began)
    return [
        row("psnr", bootstrap([psnr(*pair) for pair in pairs]), 33.51),
        row("ssim", bootstrap([ssim(*pair) for pair in pairs]), 0.965),
        row("seconds_protect", bootstrap(hiding, np.median)),
        row("seconds_locate", bootstrap(finding, np.median)),
    ]


def place_rows(
    system: System, chosen: Sequence[Case], seed: int = 0, attacks: Sequence[str] = ATTACKS
) -> list[Row]:
    """Measure how well crops of half to all of the area are placed, as F1 of their pixels."""
    found: dict[str, list[float]] = {}
    for case in chosen:
        rng = np.random.default_rng((seed, case.number, 1))
        box = drawn(case, rng.uniform(*AREAS), seed)
        cut = crop(system.protect(case.picture), box)
        for attack in attacks:
            said = system.locate(published(cut, attack, case.number))
            overlap = iou(said.box, box)
            found.setdefault(attack, []).append(2 * overlap / (1 + overlap))
    return [row("crop_f1", bootstrap(values), attack=attack) for attack, values in found.items()]


def recovery_rows(
    system: System, chosen: Sequence[Case], seed: int = 0, attacks: Sequence[str] = RECOVERED
) -> list[Row]:
    """Measure recovery of whole pictures and of the lost area, beside inpainting of the same crop.

    Inpainting is told the true place; its rows have ``set`` `INPAINTING`. What it fills from is the
    protected crop, which differs from system to system.
    """
    found: dict[tuple[str, ...], list[tuple[float, float, float]]] = {}
    for case in chosen:
        box = drawn(case, AREA, seed)
        visible = box.to_pixels(case.picture.shape)
        cut = crop(system.protect(case.picture), box)
        for attack in attacks:
            for kind in ("", "stretched"):
                shape = case.picture.shape if kind else cut.shape
                seen = published(stretched(cut, shape), attack, case.number)
                made = {"": system.locate(seen).recovered}
                if not kind:
                    canvas, _ = put_back(seen, box, len(case.picture))
                    made[INPAINTING] = inpainted(canvas, visible)
                for who, picture in made.items():
                    key = who, attack, kind
                    found.setdefault(key, []).append(_distances(picture, case.picture, visible))
    metrics = "recovered_psnr", "recovered_ssim", "lost_area_psnr"
    rows = []
    for (who, attack, kind), values in found.items():
        keys: dict[str, Any] = {"attack": attack, "area": AREA} | ({"case": kind} if kind else {})
        keys |= {"set": who} if who else {}
        rows += [
            row(metric, bootstrap(numbers), **keys)
            for metric, numbers in zip(metrics, np.transpose(values), strict=True)
        ]
    return rows


def _distances(
    made: np.ndarray, truth: np.ndarray, visible: tuple[int, ...]
) -> tuple[float, float, float]:
    lost = lost_area(truth.shape[:2], visible)
    return psnr(truth, made), ssim(truth, made), psnr(truth[lost][None], made[lost][None])


def decision_rows(system: System, chosen: Sequence[Case], seed: int = 0) -> list[Row]:
    """Measure how often "cropped", "not cropped" and "not protected" are said rightly.

    Half of the questions are crops, a quarter are whole protected pictures, a quarter were never
    protected. An answer is right only if it is the right one of the three.
    """
    right: dict[str, list[float]] = {}
    groups: dict[str, list[str]] = {}
    for case in chosen:
        for kind, seen, truth in _questions(system, case, seed):
            said = system.locate(seen).said
            for name in (kind, "all"):
                right.setdefault(name, []).append(float(said == truth))
                groups.setdefault(name, []).append(case.name)
    return [
        row(
            "cropped_accuracy",
            bootstrap(values, groups=groups[kind]),
            0.9541 if kind == "all" else None,
            set=kind,
        )
        for kind, values in right.items()
    ]


def _questions(system: System, case: Case, seed: int) -> Iterator[tuple[str, np.ndarray, str]]:
    protected, chance = system.protect(case.picture), case.number
    for area in (0.9, 0.6):
        for attack in RECOVERED:
            cut = crop(protected, drawn(case, area, seed))
            yield "crops", published(cut, attack, chance), "cropped"
    for attack in RECOVERED:
        yield "whole", published(protected, attack, chance), "not cropped"
    yield "unprotected", published(case.picture, "jpeg70", chance), "not protected"
    yield "unprotected", crop(case.picture, drawn(case, AREA, seed)), "not protected"


def stretched(cut: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resize a crop to another shape, as someone does who wants the old size back."""
    if cut.shape == shape:
        return cut
    return cv2.resize(cut, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def drawn(case: Case, area: float, seed: int) -> Box:
    """Draw where a crop lies that keeps a share of the area, sides in a ratio of up to 1.25."""
    rng = np.random.default_rng((seed, case.number, round(1000 * area)))
    height, width = case.picture.shape[:2]
    reach = min(np.log(1.25), -np.log(area))
    ratio = np.exp(rng.uniform(-reach, reach))
    wide, high = round(width * np.sqrt(area * ratio)), round(height * np.sqrt(area / ratio))
    left, top = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - high + 1))
    return Box.from_pixels(left, top, left + wide, top + high, case.picture.shape)
