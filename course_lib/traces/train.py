"""Training: the closed form, the patch network alone on its pretext, then three crop detectors.

The closed form is measured, and what reads the measurements is fitted in seconds, without steps.
The pretext comes first and its strength is annealed: fringes four times as wide as real ones are
learned in seconds, real ones from there on; begun with real ones, the loss stays at chance for
long. Each detector that sees patches starts from the pretext's network.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.checkpoints import describe_photos, find, load
from course_lib.errors import PhotoError
from course_lib.photos import Photo, PhotoSource
from course_lib.profiles import Profile
from course_lib.traces.camera import LIKE_MEASURED, REALISTIC
from course_lib.traces.examples import COURSE, PAPER, Scale, pave
from course_lib.traces.model import VARIANTS, CropDetector, PatchNet, crop_detector, patch_net
from course_lib.traces.objective import CROP_CHANCE, PATCH_CHANCE, crop_loss, patch_loss
from course_lib.traces.patches import LONG_SIDE, CameraPatches, PatchSet, cut_patches, only_large
from course_lib.traces.stream import (
    Batch,
    ExampleStream,
    Made,
    PatchBatch,
    PatchStream,
    Recipe,
    Stream,
)
from course_lib.traces.votes import PatchReader, measure, train_perceptron, train_trees
from course_lib.training import Solved, Stage, Task, cosine

CLOSED_FORM = "fringe"
"""Name of the checkpoint of what reads closed-form fringes."""
PERCEPTRONS = 3
"""How many of them vote beside the trees."""
PRETEXT = "pretext"
"""Name of the checkpoint of the patch network alone."""
ANNEALING = ((0.25, 4.0), (0.5, 2.0), (1.0, 1.0))
"""(share of the steps up to which, how many times the measured strength)."""
DETECTOR_ANNEALING = ((0.3, 2.0), (1.0, 1.0))
"""The same for detectors, which begin with what the pretext has learned."""
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
    shrink : float
        How much smaller photographs are made for simulated lenses.
    real : float
        Share of the pretext's patches that real lenses have seen.
    per_cell : int
        Patches for the closed form from each cell of a photograph.
    scenes : int
        Pictures that are laid for it when no photograph is as large as a camera's.
    rounds : int
        Of boosting its trees.
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
    shrink: float = 4.0
    real: float = 0.3
    per_cell: int = 8
    scenes: int = 96
    rounds: int = 60


NATIVE = replace(PAPER, width=(1536, 1536), shortest=240)
"""Patches as they are on a photograph 1536 px wide, the size at which lenses were measured."""

BUDGETS = {
    "smoke": Budget(
        "fringe", "course", NATIVE, COURSE, 4, 64, 2, 16, 0, 1.0, per_cell=1, scenes=32, rounds=4
    ),
    "cpu": Budget("fringe", "course", NATIVE, COURSE, 4000, 128, 700, 32, 2),
    "gpu": Budget("paper-fringes", "paper", PAPER, PAPER, 12000, 512, 6000, 64, 14),
}
"""What each profile trains. The paper: 25 epochs of about 630,000 photographs."""


class _TracesTask(Task):
    """What both kinds of training have in common."""

    system = "traces"

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make Adam; its rate is that of `lr`."""
        return torch.optim.Adam(model.parameters(), lr=1.0)


class PretextTask(_TracesTask):
    """Train a patch network to say which of 16 cells a patch comes from.

    Parameters
    ----------
    budget : Budget
    photos : PhotoSource
    seed : int
    """

    variant, unit = PRETEXT, "patches"
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
            "shrink": budget.shrink,
            "real": budget.real,
            "annealing": [list(level) for level in ANNEALING],
        }

    def build(self) -> PatchNet:
        """Make the network of the budget."""
        return patch_net(self.budget.patch)

    def lr(self, step: int) -> float:
        """Rise quickly, then fall along a cosine to a hundredth."""
        return cosine(step, self.budget.patch_steps, 3e-3, WARM_UP)

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[PatchBatch]:
        """Yield patches through simulated lenses, and some through real ones."""
        camera = CameraPatches(self.source if self.budget.real else [])
        count = round(self.budget.real * self.budget.patch_batch / world) if len(camera) else 0
        for step, batch in enumerate(self._simulated(first_step, rank, world), first_step):
            if not count:
                yield batch
                continue
            rng = np.random.default_rng((self.seed, step, rank, 1))
            patches, cells = map(torch.from_numpy, camera.draw(rng, count))
            both = zip(batch, (patches.permute(0, 3, 1, 2), cells), strict=True)
            yield PatchBatch(*map(torch.cat, both))

    def _simulated(self, first_step: int, rank: int, world: int) -> Iterator[PatchBatch]:
        """Yield patches through lenses that become weaker as training goes on."""
        return annealed(ANNEALING, self.budget.patch_steps, self._stream, first_step, rank, world)

    def _stream(self, strength: float) -> PatchStream:
        lens = replace(LIKE_MEASURED, strength=strength)
        return PatchStream(
            self.source,
            Recipe(self.budget.patch_scale, camera=REALISTIC, lens=lens),
            self.budget.patch_batch,
            per_picture=16,
            seed=self.seed,
            leaves=self.budget.leaves,
            shrink=self.budget.shrink,
            workers=self.budget.workers,
        )

    def loss(self, model: nn.Module, batch: PatchBatch) -> dict[str, Tensor]:
        """Compare the network's cells with the true ones."""
        found = patch_loss(model(batch.patches / 255), batch.cells)
        return {"loss": found, "patch": found}


class DetectorTask(_TracesTask):
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

    unit = "photographs"

    def __init__(
        self, variant: str, budget: Budget, photos: PhotoSource, seed: int, out: Path
    ) -> None:
        self.variant, self.budget, self.source = variant, budget, photos
        self.seed, self.out = seed, out
        self.recipe = Recipe(budget.scale, camera=REALISTIC)
        self.photos = describe_photos(photos)
        self.config = {
            "variant": variant,
            "patch": budget.patch,
            "thumbnail": budget.thumbnail,
            "scale": asdict(budget.scale),
            "steps": budget.steps,
            "batch": budget.batch,
            "leaves": budget.leaves,
            "textured": True,
            "annealing": [list(level) for level in DETECTOR_ANNEALING],
        }
        self.chance = [("crop", CROP_CHANCE, "0.69 = ln 2: nothing learned yet")]
        if variant != "global":
            self.chance.append(("patch", PATCH_CHANCE, "2.77 = ln 16: nothing learned yet"))

    def build(self) -> CropDetector:
        """Make the detector; what sees patches begins with what the pretext learned."""
        names = {"patch": self.budget.patch, "thumbnail": self.budget.thumbnail}
        order = "rolled" if self.recipe.defences.shuffle_labels else "aligned"
        detector = crop_detector(self.variant, **names, order=order)  # type: ignore[arg-type]
        if detector.patch is not None:
            tensors, _ = load(find("traces", PRETEXT, self.out))
            detector.patch.load_state_dict(tensors)
        return detector

    def lr(self, step: int) -> float:
        """Rise quickly, then fall along a cosine to a hundredth."""
        return cosine(step, self.budget.steps, 1e-3, WARM_UP)

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Batch]:
        """Yield whole examples, in the paper's order of steps, through lenses as strong as real."""
        steps = self.budget.steps
        return annealed(DETECTOR_ANNEALING, steps, self._stream, first_step, rank, world)

    def _stream(self, strength: float) -> ExampleStream:
        lens = replace(LIKE_MEASURED, strength=strength)
        return ExampleStream(
            self.source,
            replace(self.recipe, lens=lens),
            self.budget.batch,
            textured=True,
            seed=self.seed,
            leaves=self.budget.leaves,
            workers=self.budget.workers,
        )

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Weigh the paper's three losses."""
        reading = model(batch.patches / 255, batch.thumbnails / 255)
        return crop_loss(reading, batch.cells, batch.boxes, batch.cropped)


def annealed(
    levels: Sequence[tuple[float, float]],
    steps: int,
    stream: Callable[[float], Stream[Made]],
    first_step: int,
    rank: int,
    world: int,
) -> Iterator[Made]:
    """Go through the batches of one stream for each level of strength, without end.

    Parameters
    ----------
    levels : sequence of (share, strength)
        Up to which share of the steps a strength is used.
    steps : int
        Of the whole training. After them, the last level goes on.
    stream : callable
        Makes the stream of a strength.
    first_step, rank, world : int
        As for `Stream.batches`. A batch depends on its number alone, so a run may begin anywhere.
    """
    begin = 0
    for share, strength in levels[:-1]:
        end = round(share * steps)
        first = max(first_step, begin)
        if first < end:
            yield from islice(stream(strength).batches(first, rank, world), end - first)
        begin = end
    yield from stream(levels[-1][1]).batches(max(first_step, begin), rank, world)


def native_patches(photos: PhotoSource, per_cell: int, scenes: int, seed: int) -> PatchSet:
    """Cut patches of photographs as cameras made them; without any, simulate lenses.

    Parameters
    ----------
    photos : PhotoSource
        Those with a long side under 1536 px are left out. When that leaves none, pictures of that
        size are laid of what there is and photographed through a lens each.
    per_cell : int
        Patches from each of the 16 cells of a photograph.
    scenes : int
        How many pictures are laid.
    seed : int

    Raises
    ------
    PhotoError
        When no photograph can be used.
    """
    try:
        return cut_patches([only_large(photo) for photo in photos], per_cell, seed, anywhere=True)
    except PhotoError:
        laid = [_laid(photos[i % len(photos)], (seed, i)) for i in range(scenes)]
        return cut_patches(laid, per_cell, seed, anywhere=True, lens=LIKE_MEASURED)


def _laid(photo: Photo, seed: tuple[int, ...]) -> Photo:
    # Mirrored copies side by side: what the photograph's own lens left is the same everywhere.
    def read() -> np.ndarray:
        return pave(photo.read(), (LONG_SIDE * 2 // 3, LONG_SIDE), np.random.default_rng(seed))

    return replace(photo, load=read)


def solve_closed_form(
    photos: PhotoSource, per_cell: int = 8, scenes: int = 96, rounds: int = 60, seed: int = 0
) -> PatchReader:
    """Measure fringes in patches of photographs and fit trees and perceptrons that read them.

    Parameters
    ----------
    photos, per_cell, scenes, seed
        As for `native_patches`.
    rounds : int
        Of boosting.
    """
    measured = measure(native_patches(photos, per_cell, scenes, seed))
    perceptrons = [train_perceptron(measured, seed + i) for i in range(PERCEPTRONS)]
    return PatchReader((*perceptrons, train_trees(measured, seed, rounds)))


def stages(profile: Profile, photos: PhotoSource, seed: int, out: Path) -> list[Stage | Solved]:
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
    names = ("per_cell", "scenes", "rounds")
    fitted = {name: getattr(budget, name) for name in names}
    closed_form = Solved(
        "traces",
        CLOSED_FORM,
        lambda: solve_closed_form(photos, seed=seed, **fitted).tensors(),
        describe_photos(photos),
        {**fitted, "perceptrons": PERCEPTRONS},
        seed,
    )
    pretext = Stage(PretextTask(budget, photos, seed), budget.patch_steps)
    return [closed_form, pretext, *(Stage(task, budget.steps) for task in detectors)]
