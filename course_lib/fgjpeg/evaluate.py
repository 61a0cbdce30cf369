"""Measuring: how near each simulator comes to the real file, and what quality is read off it.

Every photograph is squared to 256 × 256 pixels and stored at the best quality, as in training. What
simulators make of it is rounded to 8 bits, as whoever receives a picture sees it. Intervals are
over photographs.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from course_lib.attacks.codec import real_jpeg
from course_lib.attacks.jpeg import fourier, jpeg
from course_lib.attacks.simulators import jpeg_mask, jpeg_mixup, jpeg_ss, mbrs
from course_lib.checkpoints import shipped
from course_lib.fgjpeg.examples import prepared, stored
from course_lib.fgjpeg.grid import blockiness
from course_lib.fgjpeg.model import BINS, Predictor
from course_lib.fgjpeg.system import (
    JUDGE,
    PREDICTOR,
    SYSTEM,
    open_predictor,
    simulator,
)
from course_lib.metrics import bootstrap, psnr
from course_lib.photos import PhotoSource, middle_square
from course_lib.results import row

Say = Callable[[str], None]
Simulate = Callable[[Tensor, float, torch.Generator], Tensor]
"""Takes pictures (n, 3, h, w), a quality and a source of chance; returns what a file would show."""
CANVAS = 256
"""Side of the squares that are measured on, in pixels."""
REAL = "real"
"""Name of the file itself among the simulators."""
SAME = 60.0
"""PSNR in dB that counts for pictures that are equal, or nearer to it than this."""
PAPER_ACCURACY = {"fg-jpeg": 0.9317, "jpeg-ss": 0.7248}
"""Section IV-D. What it calls Diff-JPEG is reference [23], Shin and Song's soft rounding."""
COSTLY = 8
"""Pictures in the batch whose cost is measured."""


@dataclass(frozen=True)
class Case:
    """A photograph ready to be measured on.

    Parameters
    ----------
    name : str
    picture : (256, 256, 3) uint8
    number : int
        Source of chance.
    """

    name: str
    picture: np.ndarray
    number: int


def cases(photos: PhotoSource, limit: int | None = None) -> list[Case]:
    """Square the middle of photographs, and store it at the best quality.

    Raises
    ------
    PhotoError
        When no photograph can be used.
    """
    chosen = []
    for number, (photo, picture) in enumerate(islice(photos.pictures(), limit)):
        square = cv2.resize(middle_square(picture), (CANVAS, CANVAS), interpolation=cv2.INTER_AREA)
        chosen.append(Case(photo.name, prepared(square), number))
    return chosen


def simulators(weights: Path | None = None) -> dict[str, Simulate]:
    """Collect what is compared: FG-JPEG, the simulators of the earlier lesson, and two ends.

    ``none`` leaves pictures as they are. ``straight-through`` is JPEG rebuilt, with hard rounding
    on the way forward. ``jpeg-mask`` is given the quality; the paper's has none.
    """
    return {
        "none": lambda pictures, quality, generator: pictures,
        "fg-jpeg": simulator(weights),
        "jpeg-ss": jpeg_ss,
        "fourier": lambda pictures, quality, generator: jpeg(pictures, quality, rounding=fourier),
        "jpeg-mask": jpeg_mask,
        "mbrs": mbrs,
        "jpeg-mixup": lambda pictures, quality, generator: jpeg_mixup(
            pictures, generator, qualities=(quality, quality)
        ),
        "straight-through": lambda pictures, quality, generator: jpeg(pictures, quality),
    }


def evaluate(
    photos: PhotoSource,
    *,
    weights: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Measure FG-JPEG beside the simulators that need no training.

    Parameters
    ----------
    photos : PhotoSource
        Not used for training.
    weights : Path, optional
        Folder of checkpoints.
    limit : int, optional
        Largest number of photographs.
    seed : int
        Of the draws that some simulators make.
    say : callable
        Shows progress.

    Returns
    -------
    dict
        Results as `course_lib.results` wants them.
    """
    compared, chosen = simulators(weights), cases(photos, limit)
    there = shipped(SYSTEM) if weights is None else [path.stem for path in weights.glob("*.json")]
    readers = {name: open_predictor(weights, name) for name in (PREDICTOR, JUDGE) if name in there}
    rows = fidelity_rows(compared, readers, chosen, seed, say=say)
    say("cost")
    rows += cost_rows(compared | {REAL: lambda x, q, g: real_jpeg(x, q)}, seed)
    return {
        "system": SYSTEM,
        "checkpoint": str(weights.name if weights else "shipped"),
        "photos": len(chosen),
        "seed": seed,
        "rows": rows,
    }


@torch.no_grad()
def fidelity_rows(
    compared: Mapping[str, Simulate],
    readers: Mapping[str, Predictor],
    chosen: Sequence[Case],
    seed: int = 0,
    qualities: Sequence[int] = BINS,
    say: Say = lambda text: None,
) -> list[dict[str, Any]]:
    """Measure distance from the real file, the grid, and the quality that is read, by quality.

    Parameters
    ----------
    compared : mapping of str to callable
    readers : mapping of str to Predictor
        Each one's answers are rows of their own, ``case`` the reader's name.
    chosen : sequence of Case
    seed : int
    qualities : sequence of int
        Of `BINS`.
    say : callable

    Returns
    -------
    list of dict
        ``simulator_psnr``, ``blockiness`` and ``quality_accuracy``, for each quality (``attack``)
        and, without one, over all of them. The file itself is the variant ``real``.
    """
    found: dict[tuple[str, str, str], dict[int, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for number, case in enumerate(chosen):
        say(f"photograph {number + 1} of {len(chosen)}")
        picture = _batch(case.picture)
        for quality in qualities:
            file = stored(case.picture, quality)
            seen = {REAL: file}
            for name, simulate in compared.items():
                drawn = np.random.default_rng((seed, case.number, quality)).integers(2**62)
                generator = torch.Generator().manual_seed(int(drawn))
                made = simulate(picture, quality, generator)[0].clamp(0, 1)
                seen[name] = (255 * made).round().byte().permute(1, 2, 0).numpy()
                near = min(psnr(seen[name], file), SAME)
                found["simulator_psnr", name, ""][quality].append(near)
            for name, each in seen.items():
                found["blockiness", name, ""][quality].append(blockiness(each))
            together = torch.cat([_batch(each) for each in seen.values()])
            for reader, net in readers.items():
                said = net(together).argmax(1) == BINS.index(quality)
                for name, right in zip(seen, said.tolist(), strict=True):
                    found["quality_accuracy", name, reader][quality].append(float(right))
    rows = []
    for (metric, variant, reader), by_quality in found.items():
        keys: dict[str, Any] = {"variant": variant} | ({"case": reader} if reader else {})
        paper = PAPER_ACCURACY.get(variant) if metric == "quality_accuracy" else None
        means = np.mean(list(by_quality.values()), axis=0)  # of each photograph
        rows.append(row(metric, bootstrap(means), paper, **keys))
        rows += [
            row(metric, bootstrap(values), attack=f"jpeg{quality}", **keys)
            for quality, values in by_quality.items()
        ]
    return sorted(rows, key=lambda each: (each["metric"], each.get("case", "")))


def cost_rows(
    compared: Mapping[str, Simulate], seed: int = 0, rounds: int = 3
) -> list[dict[str, Any]]:
    """Measure how long a batch of 8 pictures takes, forward and backward, at the median."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for name, simulate in compared.items():
        seconds = []
        for _ in range(rounds):
            pictures = torch.rand(COSTLY, 3, CANVAS, CANVAS, generator=generator)
            pictures.requires_grad_()
            began = time.perf_counter()
            simulate(pictures, 50, generator).sum().backward()
            seconds.append(time.perf_counter() - began)
        rows.append(row("seconds_simulator", bootstrap(seconds, np.median), variant=name))
    return rows


def _batch(picture: np.ndarray) -> Tensor:
    """(h, w, 3) uint8 to (1, 3, h, w) in [0, 1]."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
