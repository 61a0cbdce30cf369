"""What each part is worth: networks trained equally short, each with one thing changed.

    python -m course_lib.rwn.ablate --photos DIR --test DIR --out DIR --json FILE

Section IV-D of the paper: other simulators of JPEG, no discriminator, two separate networks. The
control of quality brings all of them to the same PSNR, so what differs is what survives.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from course_lib.photos import PhotoSource, source
from course_lib.results import write
from course_lib.rwn.evaluate import cases, crop_rows, fidelity_rows
from course_lib.rwn.system import Rwn
from course_lib.rwn.train import BUDGETS, Budget, HiderTask, open_hider
from course_lib.training import Stage, run_stages

STEPS, TILE = 200, 96
"""Of each training; tiles are smaller than those of `course train rwn`."""
ATTACKS = "none", "jpeg70", "jpeg50"


def ablations(steps: int = STEPS) -> dict[str, Budget]:
    """Return budgets that differ in one thing from the first, the paper's recipe, each.

    Parameters
    ----------
    steps : int
        Of each training.

    Returns
    -------
    dict
        Name to budget. All but ``no-attack`` train with crops and the other attacks.
    """
    base = replace(BUDGETS["cpu"], steps=steps, tile=TILE)
    weights, publication = base.weights, base.publication

    def through(jpeg: Any, **changes: Any) -> Budget:
        return replace(base, publication=replace(publication, jpeg=jpeg, **changes))

    mixup = through("mixup")
    separate = {"network": "separate", "steps": 2, "width": 64, "blocks": 6}
    return {
        "mixup": mixup,
        "mbrs": through("mbrs"),
        "jpeg-ss": through("jpeg-ss"),
        "jpeg-mask": through("jpeg-mask"),
        "real": through("real"),
        "straight": through("straight"),
        "no-jpeg": through("none"),
        "no-attack": through("none", others=False, whole=1.0),
        "judged": replace(mixup, weights=replace(weights, adversarial=0.02)),
        "separate": replace(mixup, network=separate),
    }


def stages(photos: PhotoSource, seed: int, budgets: dict[str, Budget]) -> list[Stage]:
    """List the trainings; each leaves the weights ``NAME.safetensors``."""
    return [
        Stage(HiderTask(budget, photos, seed, variant=name), budget.steps)
        for name, budget in budgets.items()
    ]


def rows(
    weights: Path, names: Sequence[str], photos: PhotoSource, limit: int | None, seed: int
) -> list[dict[str, Any]]:
    """Measure trained networks: quality, and crops of 70 % of each side.

    Parameters
    ----------
    weights : Path
        Folder of the trainings.
    names : sequence of str
        Which of them.
    photos : PhotoSource
        Not used for training.
    limit : int, optional
        Largest number of photographs.
    seed : int
        Of the places of crops.

    Returns
    -------
    list of dict
        Rows of results; ``case`` is the name.
    """
    chosen = cases(photos, limit)
    found: list[dict[str, Any]] = []
    for name in names:
        system = Rwn(open_hider(weights, name))
        found += fidelity_rows(system, chosen, case=name)
        found += crop_rows(system, chosen, seed, (0.7,), ATTACKS, case=name)
    return [{**each, "paper": None} for each in found]


def main() -> None:
    """Train and measure; a run that was stopped goes on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True, help="photographs to train on")
    parser.add_argument("--test", required=True, help="photographs to measure on")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights")
    parser.add_argument("--json", type=Path, required=True, help="where the numbers go")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--limit", type=int, default=40, help="photographs to measure on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    budgets = ablations(given.steps)
    trained = stages(source(given.photos), given.seed, budgets)
    run_stages(trained, given.out, resume=True, precision=given.precision)
    measured = rows(given.out, list(budgets), source(given.test), given.limit, given.seed)
    head = {"system": "rwn", "checkpoint": "ablations", "photos": given.limit, "seed": given.seed}
    write({**head, "rows": measured}, given.json)


if __name__ == "__main__":
    main()
