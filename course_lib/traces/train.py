"""Training: the patch network alone on its pretext, then three crop detectors.

The pretext comes first and its strength is annealed: fringes four times as wide as real ones are
learned in seconds, real ones from there on; begun with real ones, the loss stays at chance for
long. Each detector that sees patches starts from the pretext's network.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.checkpoints import describe_photos, find, load
from course_lib.photos import PhotoSource
from course_lib.profiles import Profile
from course_lib.traces.camera import LIKE_MEASURED, REALISTIC
from course_lib.traces.examples import COURSE, PAPER, Scale
from course_lib.traces.model import VARIANTS, CropDetector, PatchNet, crop_detector, patch_net
from course_lib.traces.objective import CROP_CHANCE, PATCH_CHANCE, crop_loss, patch_loss
from course_lib.traces.stream import Batch, ExampleStream, PatchBatch, PatchStream, Recipe
from course_lib.training import Stage, Task

PRETEXT = "pretext"
"""Name of the checkpoint of the patch network alone."""
ANNEALING = ((0.25, 4.0), (0.5, 2.0), (1.0, 1.0))
"""(share of the steps up to which, how many times the measured strength)."""
WARM_UP = 20
"""Steps in which the learning rate rises to its full value."""


@dataclass(frozen=True)
class Budget:
    """How much is trained with a profile.

    Parameters
    ----------
    patch, thumbnail : str
        Networks, by the names of `course_lib.traces.model`.
    patch_scale, scale : Scale
        Sizes for the pretext and for the detectors.
    patch_steps, patch_batch : int
        Of the pretext; the batch counts patches.
    steps, batch : int
        Of each detector; the batch counts photographs.
    workers : int
        Processes that make examples.
    leaves : float
        Share of pictures that are dead leaves.
    """

    patch: str
    thumbnail: str
    patch_scale: Scale
    scale: Scale
    patch_steps: int
    patch_batch: int
    steps: int
    batch: int
    workers: int
    leaves: float = 0.3


NATIVE = replace(PAPER, width=(1536, 1536), shortest=240)
"""Patches as they are on a photograph 1536 px wide, the size at which lenses were measured."""

BUDGETS = {
    "smoke": Budget("fringe", "course", NATIVE, COURSE, 4, 64, 2, 16, 0, leaves=1.0),
    "cpu": Budget("fringe", "course", NATIVE, COURSE, 1200, 128, 300, 32, 2),
    "gpu": Budget("paper-fringes", "paper", PAPER, PAPER, 12000, 512, 6000, 64, 14),
}
"""What each profile trains. The paper: 25 epochs of about 630,000 photographs."""


class PretextTask(Task):
    """Train a patch network to say which of 16 cells a patch comes from.

    Parameters
    ----------
    budget : Budget
    photos : PhotoSource
    seed : int
    """

    system, variant, unit = "traces", PRETEXT, "patches"
    chance = (("patch", PATCH_CHANCE, "2.77 = ln 16: nothing learned yet"),)

    def __init__(self, budget: Budget, photos: PhotoSource, seed: int) -> None:
        self.budget, self.source, self.seed = budget, photos, seed
        self.photos = describe_photos(photos)
        self.config = {
            "network": budget.patch,
            "scale": asdict(budget.patch_scale),
            "steps": budget.patch_steps,
            "batch": budget.patch_batch,
            "leaves": budget.leaves,
            "annealing": [list(level) for level in ANNEALING],
        }

    def build(self) -> PatchNet:
        """Make the network of the budget."""
        return patch_net(self.budget.patch)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make Adam; its rate is that of `lr`."""
        return torch.optim.Adam(model.parameters(), lr=1.0)

    def lr(self, step: int) -> float:
        """Rise quickly, then fall along a cosine to a hundredth."""
        return cosine(step, self.budget.patch_steps, 3e-3)

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[PatchBatch]:
        """Yield patches through lenses that become weaker as training goes on."""
        ends = [round(share * self.budget.patch_steps) for share, _ in ANNEALING]
        step = first_step
        for level in count():
            last = level >= len(ANNEALING) - 1
            if not last and step >= ends[level]:
                continue
            strength = ANNEALING[min(level, len(ANNEALING) - 1)][1]
            for batch in self._stream(strength).batches(step, rank, world):
                yield batch
                step += 1
                if not last and step >= ends[level]:
                    break

    def _stream(self, strength: float) -> PatchStream:
        lens = replace(LIKE_MEASURED, strength=strength)
        return PatchStream(
            self.source,
            Recipe(self.budget.patch_scale, camera=REALISTIC, lens=lens),
            self.budget.patch_batch,
            per_picture=16,
            seed=self.seed,
            leaves=self.budget.leaves,
            workers=self.budget.workers,
        )

    def loss(self, model: nn.Module, batch: PatchBatch) -> dict[str, Tensor]:
        """Compare the network's cells with the true ones."""
        found = patch_loss(model(batch.patches / 255), batch.cells)
        return {"loss": found, "patch": found}


class DetectorTask(Task):
    """Train a crop detector on photographs of which half are cropped.

    Parameters
    ----------
    variant : str
        ``joint``, ``patch`` or ``global``.
    budget : Budget
    photos : PhotoSource
    seed : int
    out : Path
        Folder in which the pretext's weights lie.
    """

    system, unit = "traces", "photographs"

    def __init__(
        self, variant: str, budget: Budget, photos: PhotoSource, seed: int, out: Path
    ) -> None:
        self.variant, self.budget, self.source = variant, budget, photos
        self.seed, self.out = seed, out
        self.photos = describe_photos(photos)
        self.config = {
            "variant": variant,
            "patch": budget.patch,
            "thumbnail": budget.thumbnail,
            "scale": asdict(budget.scale),
            "steps": budget.steps,
            "batch": budget.batch,
            "leaves": budget.leaves,
        }
        self.chance = [("crop", CROP_CHANCE, "0.69 = ln 2: nothing learned yet")]
        if variant != "global":
            self.chance.append(("patch", PATCH_CHANCE, "2.77 = ln 16: nothing learned yet"))

    def build(self) -> CropDetector:
        """Make the detector; what sees patches begins with what the pretext learned."""
        names = {"patch": self.budget.patch, "thumbnail": self.budget.thumbnail}
        detector = crop_detector(self.variant, **names, order="rolled")  # type: ignore[arg-type]
        if detector.patch is not None:
            tensors, _ = load(find("traces", PRETEXT, self.out))
            detector.patch.load_state_dict(tensors)
        return detector

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make Adam; its rate is that of `lr`."""
        return torch.optim.Adam(model.parameters(), lr=1.0)

    def lr(self, step: int) -> float:
        """Rise quickly, then fall along a cosine to a hundredth."""
        return cosine(step, self.budget.steps, 1e-3)

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield whole examples, in the paper's order of steps."""
        stream = ExampleStream(
            self.source,
            Recipe(self.budget.scale, camera=REALISTIC),
            self.budget.batch,
            seed=self.seed,
            leaves=self.budget.leaves,
            workers=self.budget.workers,
        )
        yield from stream.batches(first_step, rank, world)

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Weigh the paper's three losses."""
        reading = model(batch.patches / 255, batch.thumbnails / 255)
        return crop_loss(reading, batch.cells, batch.boxes, batch.cropped)


def cosine(step: int, steps: int, highest: float) -> float:
    """Learning rate that rises within `WARM_UP` steps and falls along a cosine to a hundredth."""
    rise = min(1.0, (step + 1) / WARM_UP)
    fall = 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * min(step / steps, 1.0)))))
    return highest * rise * (0.01 + 0.99 * fall)


def stages(profile: Profile, photos: PhotoSource, seed: int, out: Path) -> list[Stage]:
    """List what `course train traces` trains, one after the other.

    Parameters
    ----------
    profile : Profile
        Chooses the `Budget`.
    photos : PhotoSource
        Photographs as cameras made them, neither cropped nor edited.
    seed : int
    out : Path
        Folder of the run; the detectors read the pretext's weights from it.
    """
    budget = BUDGETS[profile.name]
    detectors: list[Any] = [
        DetectorTask(variant, budget, photos, seed, out) for variant in VARIANTS
    ]
    pretext = Stage(PretextTask(budget, photos, seed), budget.patch_steps)
    return [pretext, *(Stage(task, budget.steps) for task in detectors)]
