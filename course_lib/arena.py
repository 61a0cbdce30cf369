"""Systems side by side: the same pictures, the same crops, the same attacks, the same questions.

Every system gets each photograph as it is, may protect it, and is then shown what became of it:
whole or cropped, attacked, through real files. Nothing else is told to anybody.

    python -m course_lib.arena rwn traces --photos DIR --json FILE
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.attacks.chain import published
from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import FULL, crop, iou, random_crop
from course_lib.metrics import bootstrap
from course_lib.photos import PhotoSource, source
from course_lib.results import row, write
from course_lib.witness import Witness, witnesses

RATES = 0.9, 0.7, 0.5
"""Shares of each side that crops keep."""
ATTACKS = "none", "jpeg70"

Say = Callable[[str], None]


def compare(
    names: Sequence[str],
    photos: PhotoSource,
    *,
    rates: Sequence[float] = RATES,
    attacks: Sequence[str] = ATTACKS,
    limit: int | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
) -> list[dict[str, Any]]:
    """Ask several systems about crops and whole pictures.

    Parameters
    ----------
    names : sequence of str
        Systems that examine pictures.
    photos : PhotoSource
        On which none of them was trained.
    rates : sequence of float
        Shares of each side that crops keep. Half of the questions are about whole pictures.
    attacks : sequence of str
        Done after cropping, names as in `course_lib.attacks.chain`.
    limit : int, optional
        Largest number of photographs.
    seed : int
        Of the places of crops, and of noise.
    say : callable
        Shows progress.

    Returns
    -------
    list of dict
        Rows of results, with the system's name as ``variant``: ``iou`` of the box with the true
        one, for each share; ``cropped_accuracy``, for which a whole picture counts as much as all
        its crops together. A system that names no box is taken to mean the whole picture.

    Raises
    ------
    UsageError
        When a system examines no pictures, or all photographs are too small for all systems.
    """
    known = witnesses()
    if strange := [name for name in names if name not in known]:
        raise UsageError(f"{strange[0]} examines no pictures; these do: {', '.join(known)}.")
    rows = []
    for name in names:
        say(name)
        witness = known[name]()
        overlap: dict[tuple[str, float], list[float]] = {}
        right: dict[str, list[float]] = {}
        too_small = 0
        for number, (_, picture) in enumerate(photos.pictures()):
            if number == limit:
                break
            asked = _asked(witness, picture, rates, attacks, (seed, number))
            if asked is None:
                too_small += 1
                continue
            for cell, value in asked[0].items():
                overlap.setdefault(cell, []).append(value)
            for attack, value in asked[1].items():
                right.setdefault(attack, []).append(value)
        if too_small:
            say(f"{name}: {too_small} photographs are too small, whole or cropped, and left out")
        rows += [
            row("iou", bootstrap(values), variant=name, attack=attack, crop=rate)
            for (attack, rate), values in overlap.items()
        ]
        rows += [
            row("cropped_accuracy", bootstrap(values), variant=name, attack=attack)
            for attack, values in right.items()
        ]
    if not rows:
        raise UsageError(f"{photos.name}: no photograph is large enough; give larger ones.")
    return rows


def _asked(
    witness: Witness,
    picture: np.ndarray,
    rates: Sequence[float],
    attacks: Sequence[str],
    chance: tuple[int, int],
) -> tuple[dict[tuple[str, float], float], dict[str, float]] | None:
    """Ask about one photograph; None when it is too small for the system."""
    overlap: dict[tuple[str, float], float] = {}
    right: dict[str, float] = {}
    try:
        shown = witness.protect(picture)
        for attack in attacks:
            said = []
            for rate in rates:
                rng = np.random.default_rng((*chance, round(1000 * rate)))
                box = random_crop(picture.shape, rate, rng)
                verdict = witness.examine(published(crop(shown, box), attack, chance[1]))
                found = verdict.box if verdict.cropped and verdict.box is not None else FULL
                overlap[attack, rate] = iou(found, box)
                said.append(float(verdict.cropped))
            whole = witness.examine(published(shown, attack, chance[1]))
            right[attack] = (float(np.mean(said)) + float(not whole.cropped)) / 2
    except PhotoError:
        return None
    return overlap, right


def main() -> None:
    """Compare systems on a folder of photographs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("systems", nargs="+")
    parser.add_argument("--photos", required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    photos = source(given.photos)
    rows = compare(given.systems, photos, limit=given.limit, seed=given.seed, say=print)
    head = {
        "system": " and ".join(given.systems),
        "checkpoint": "shipped",
        "photos": max(each["n"] for each in rows),
        "seed": given.seed,
    }
    write({**head, "rows": rows}, given.json)


if __name__ == "__main__":
    main()
