"""Training: first the predictor, then, with the predictor frozen, generator and controller.

A second predictor is trained beside the first and never shown to the generator: whether it reads
the same quality off simulated files says if the generator learned JPEG, or to please one network.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.checkpoints import describe_photos
from course_lib.fgjpeg.examples import Pairs, PairStream
from course_lib.fgjpeg.model import BINS, Generator, Predictor
from course_lib.fgjpeg.objective import nearest_bin, quality_loss, simulation_loss
from course_lib.fgjpeg.system import GENERATOR, JUDGE, PREDICTOR, SYSTEM, open_predictor
from course_lib.photos import PhotoSource
from course_lib.profiles import Profile
from course_lib.training import Solved, Stage, Task, cosine

WARM_UP = 50
"""Steps in which the learning rate rises to its full value."""
ALONE = 0.6
"""Share of the generator's steps in which pixels alone count; then the weight of the quality that
is read rises to its full value. From the start, the quickest way to please a frozen predictor is a
faint pattern of its liking: every quality is read as wanted, and pictures are worse than untouched.
"""


@dataclass(frozen=True)
class Budget:
    """How much is trained with a profile.

    Parameters
    ----------
    predictor, generator : mapping
        Settings of `Predictor` and `Generator`.
    tile : int
        Side of tiles in pixels.
    batch : int
        Pairs in a batch, a multiple of the number of bins.
    predictor_steps, generator_steps : int
    workers : int
        Processes that make pairs.
    rate : float
        Highest learning rate.
    reading : float
        Weight of the quality that is read off simulated files (ε).
    between : float
        Share of the generator's pairs whose quality lies on no bin.
    leaves : float
        Share of pictures that are dead leaves.
    """

    predictor: Mapping[str, Any]
    generator: Mapping[str, Any]
    tile: int
    batch: int
    predictor_steps: int
    generator_steps: int
    workers: int
    rate: float = 2e-3
    reading: float = 4e-4
    between: float = 0.25
    leaves: float = 0.1


PAPERS = {
    "sizes": (32, 64, 128, 256, 256),
    "kernels": (3, 3, 3, 3, 3),
    "scaling": "bilinear",
    "norm": "instance",
    "bands": False,
}
"""The generator as the paper describes it, for comparison; its channels are not stated there."""
COURSE = {"sizes": (8, 24, 64, 256, 256)}
"""The course's: as many weights, most of them where a place is a block."""

BUDGETS = {
    "smoke": Budget(
        {"width": 4, "blocks": 1}, {"sizes": (4, 4, 8, 16, 16)}, 32, 6, 3, 3, 0, leaves=1.0
    ),
    "cpu": Budget({"width": 16, "blocks": 1}, COURSE, 64, 24, 1000, 2600, 0),
    "gpu": Budget({"width": 16, "blocks": 5}, COURSE, 128, 96, 6000, 20000, 8),
}
"""What each profile trains. The paper's predictor has 32 layers; its pictures are 256 × 256."""


class PredictorTask(Task):
    """Train a network to read the quality factor off real files.

    Parameters
    ----------
    budget : Budget
    photos : PhotoSource
    seed : int
    variant : str
        Name of the checkpoint.
    """

    system, unit = SYSTEM, "files"
    chance = (("reading", math.log(len(BINS)), "1.79 = ln 6: nothing learned yet"),)

    def __init__(
        self, budget: Budget, photos: PhotoSource, seed: int, variant: str = PREDICTOR
    ) -> None:
        self.budget, self.source, self.seed, self.variant = budget, photos, seed, variant
        self.photos = describe_photos(photos)
        self.config = {
            "network": dict(budget.predictor),
            "tile": budget.tile,
            "batch": budget.batch,
            "steps": budget.predictor_steps,
            "rate": budget.rate,
            "leaves": budget.leaves,
        }

    def build(self) -> Predictor:
        """Make the network."""
        return Predictor(**self.budget.predictor)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make Adam; its rate is that of `lr`."""
        return torch.optim.Adam(model.parameters(), lr=1.0)

    def lr(self, step: int) -> float:
        """Rise quickly, then fall along a cosine to a hundredth."""
        return cosine(step, self.budget.predictor_steps, self.budget.rate, WARM_UP)

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Pairs]:
        """Yield pairs whose qualities are on bins."""
        return _pairs(self.budget, self.source, self.seed, 0.0).batches(first_step, rank, world)

    def loss(self, model: nn.Module, batch: Pairs) -> dict[str, Tensor]:
        """Read the quality off real files."""
        logits = model(batch.files / 255)
        loss = quality_loss(logits, batch.quality)
        return {"loss": loss, "reading": loss, "accuracy": _share_right(logits, batch.quality)}


class GeneratorTask(Task):
    """Train generator and controller on pairs, the predictor frozen.

    Parameters
    ----------
    budget : Budget
    photos : PhotoSource
    seed : int
    out : Path
        Folder in which the predictor's weights lie.
    """

    system, variant, unit = SYSTEM, GENERATOR, "pairs"

    def __init__(self, budget: Budget, photos: PhotoSource, seed: int, out: Path) -> None:
        self.budget, self.source, self.seed, self.out = budget, photos, seed, out
        self.photos = describe_photos(photos)
        self.predictor: Predictor | None = None
        self.config = {
            "network": dict(budget.generator),
            "tile": budget.tile,
            "batch": budget.batch,
            "steps": budget.generator_steps,
            "rate": budget.rate,
            "reading": budget.reading,
            "between": budget.between,
            "leaves": budget.leaves,
        }

    def build(self) -> Generator:
        """Make the network, and open the predictor."""
        self.predictor = open_predictor(self.out)
        return Generator(**self.budget.generator)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make Adam; its rate is that of `lr`."""
        return torch.optim.Adam(model.parameters(), lr=1.0)

    def lr(self, step: int) -> float:
        """Rise quickly, stay, and fall along a cosine in the second half."""
        return cosine(step, self.budget.generator_steps, self.budget.rate, WARM_UP, flat=0.5)

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Pairs]:
        """Yield pairs, others than the predictor's."""
        stream = _pairs(self.budget, self.source, self.seed + 1, self.budget.between)
        return stream.batches(first_step, rank, world)

    def loss(self, model: nn.Module, batch: Pairs) -> dict[str, Tensor]:
        """Simulate, compare with the files, and have the quality read."""
        assert self.predictor is not None
        files = batch.files / 255
        made = model(batch.pictures / 255, batch.quality)
        weight = self.reading(int(batch.step))
        with torch.set_grad_enabled(weight > 0):  # else its slopes would be made for nothing
            logits = self.predictor.to(made.device)(made)
        total, pixels, read = simulation_loss(made, files, logits, batch.quality, weight)
        with torch.no_grad():
            mse = ((made.clamp(0, 1) - files) ** 2).mean((1, 2, 3)).clamp(min=1e-6)
        return {
            "loss": total,
            "pixels": pixels,
            "reading": read,
            "psnr": -10 * torch.log10(mse).mean(),
            "accuracy": _share_right(logits, batch.quality),
        }

    def reading(self, step: int) -> float:
        """Return the weight of the quality at a step."""
        done = step / self.budget.generator_steps
        return self.budget.reading * min(1.0, max(0.0, (done - ALONE) / (1 - ALONE)))


def _share_right(logits: Tensor, quality: Tensor) -> Tensor:
    """Share of pictures whose likeliest bin is the one nearest to the truth."""
    return (logits.argmax(1) == nearest_bin(quality)).float().mean()


def _pairs(budget: Budget, photos: PhotoSource, seed: int, between: float) -> PairStream:
    return PairStream(
        photos,
        budget.batch,
        tile=budget.tile,
        between=between,
        seed=seed,
        leaves=budget.leaves,
        workers=budget.workers,
    )


def stages(profile: Profile, photos: PhotoSource, seed: int, out: Path) -> list[Stage | Solved]:
    """List what ``course train fgjpeg`` trains, one after another."""
    budget = BUDGETS[profile.name]
    return [
        Stage(PredictorTask(budget, photos, seed), budget.predictor_steps),
        Stage(GeneratorTask(budget, photos, seed, out), budget.generator_steps),
        Stage(PredictorTask(budget, photos, seed + 1000, JUDGE), budget.predictor_steps),
    ]
