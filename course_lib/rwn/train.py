"""Training: the network that hides and reveals, then the one that marks what was pasted in.

Three things matter more than the network's size. Attacks come from the first step on, their
strength ramped up; trained without, a watermark survives none, and cannot learn to later. The
quality of the picture is controlled (`QualityControl`), from visible to invisible. And every sample
has a watermark of its own, so that the network learns to hide, not a pattern.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.attacks.crops import stretched
from course_lib.attacks.tamper import free_form_mask, tampered
from course_lib.checkpoints import describe_photos, find, load
from course_lib.judges import PatchDiscriminator, QualityControl, adversarial_losses
from course_lib.photos import PhotoSource
from course_lib.profiles import Profile
from course_lib.rwn.examples import Publication, Tiles, TileStream, publish
from course_lib.rwn.model import NULL, Attack, Hider, Passage, TamperNet, hider
from course_lib.rwn.objective import (
    COURSE,
    Weights,
    correlation,
    null_loss,
    structural_similarity,
    watermark_loss,
)
from course_lib.training import Solved, Stage, Task, cosine, unwrapped

HIDER = "hider"
"""Name of the checkpoint of the network that hides and reveals."""
TAMPER = "tamper"
"""Name of the checkpoint of the network that marks pasted areas."""
RAMP = 0.12
"""Share of the steps in which attacks grow to their full strength."""
FIRST_WEIGHT = 20.0
"""Weight of the picture to begin with."""
FIRST_PSNR = 33.0
"""Target of the picture's quality at the beginning, dB."""
RISE = 0.45
"""Share of the steps in which that target rises to the wanted one."""
TAMPERED = 0.75
"""Share of pictures into which something is pasted in training."""
TOLD = 2 / 3
"""Share of pictures whose watermark the network that marks is told in training."""
WARM_UP = 50
"""Steps in which the learning rate rises to its full value."""


@dataclass(frozen=True)
class Budget:
    """How much is trained with a profile.

    Parameters
    ----------
    network : mapping
        For `course_lib.rwn.model.hider`.
    tile : int
        Side of training tiles in pixels.
    batch : int
        Tiles in a batch.
    steps : int
        Of the hiding network.
    tamper_steps : int
        Of the network that marks pasted areas.
    workers : int
        Processes that make tiles.
    psnr : float
        Wanted quality of protected pictures in dB.
    publication : Publication
        Attacks.
    weights : Weights
        Of the losses.
    leaves : float
        Share of pictures that are dead leaves.
    """

    network: Mapping[str, Any]
    tile: int
    batch: int
    steps: int
    tamper_steps: int
    workers: int
    psnr: float = 39.3
    publication: Publication = field(default_factory=Publication)
    weights: Weights = COURSE
    leaves: float = 0.1


SMALL = {"network": "invertible", "down": (0, 2, 2), "up": (2, 0, 0), "width": 48}
"""Couplings where bands are coarse, which cost little: half a second a step on two cores."""
PAPERS = {"network": "invertible", "down": (2, 2, 2), "up": (2, 2, 0), "width": 64}
"""The paper's network."""

BUDGETS = {
    "smoke": Budget({**SMALL, "width": 8}, 64, 4, 3, 2, 0),
    "cpu": Budget(SMALL, 128, 8, 5500, 3000, 0),
    "gpu": Budget(PAPERS, 256, 16, 20000, 4000, 8),
}
"""What each profile trains. The paper: 256 × 256 pictures, batches of 16, 500,000 steps."""


class Ensemble(nn.Module):
    """What is trained together: the hiding network, its judge, and the control of quality.

    Parameters
    ----------
    network : mapping
        For `course_lib.rwn.model.hider`.
    judged : bool
        Whether there is a discriminator.
    """

    def __init__(self, network: Mapping[str, Any], judged: bool) -> None:
        super().__init__()
        self.hider = hider(network)
        self.judge = PatchDiscriminator() if judged else None
        self.control = QualityControl(FIRST_WEIGHT)

    def forward(
        self, pictures: Tensor, watermarks: Tensor, attack: Attack
    ) -> tuple[Passage, tuple[Tensor, Tensor] | None]:
        """Hide, publish and reveal; and let the judge look."""

        def in_full_precision(protected: Tensor) -> tuple[Tensor, Tensor]:
            # What bf16 rounds off a picture is as large as the watermark.
            with torch.autocast(protected.device.type, enabled=False):
                return attack(protected.float())

        passage: Passage = self.hider(pictures, watermarks, in_full_precision)
        judged = adversarial_losses(self.judge, pictures, passage.protected) if self.judge else None
        return passage, judged


class HiderTask(Task):
    """Train the network that hides and reveals.

    Parameters
    ----------
    budget : Budget
    photos : PhotoSource
    seed : int
    variant : str
        Name of the checkpoint.
    """

    system, unit = "rwn", "tiles"

    def __init__(
        self, budget: Budget, photos: PhotoSource, seed: int, variant: str = HIDER
    ) -> None:
        self.budget, self.source, self.seed, self.variant = budget, photos, seed, variant
        self.photos = describe_photos(photos)
        self.config = {
            "network": dict(budget.network),
            "tile": budget.tile,
            "steps": budget.steps,
            "batch": budget.batch,
            "psnr": budget.psnr,
            "publication": asdict(budget.publication),
            "weights": asdict(budget.weights),
            "leaves": budget.leaves,
        }

    def build(self) -> Ensemble:
        """Make the networks."""
        return Ensemble(self.budget.network, self.budget.weights.adversarial > 0)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make Adam; its rate is that of `lr`."""
        return torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.99))

    def lr(self, step: int) -> float:
        """Rise quickly, stay, and fall along a cosine in the second half."""
        return cosine(step, self.budget.steps, 1e-3, WARM_UP, flat=0.5)

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Tiles]:
        """Yield tiles with watermarks."""
        return _tiles(self.budget, self.source, self.seed).batches(first_step, rank, world)

    def loss(self, model: nn.Module, batch: Tiles) -> dict[str, Tensor]:
        """Hide, attack, reveal, and weigh what comes of it."""
        pictures, watermarks, step = batch.pictures / 255, batch.watermarks / 255, int(batch.step)
        weights, recipe = self.budget.weights, self.budget.publication
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        strength = min(1.0, 0.15 + step / (RAMP * self.budget.steps))
        passage, judged = model(
            pictures, watermarks, lambda shown: publish(shown, recipe, rng, strength)
        )
        shown = stretched(pictures, passage.boxes)
        hidden = stretched(watermarks, passage.boxes)
        mse = F.mse_loss(passage.protected, pictures)
        asked = {
            "watermark": watermark_loss(passage.found, hidden)
            if weights.structure
            else F.l1_loss(passage.found, hidden),
            "restored": F.l1_loss(passage.restored, shown),
            "null": null_loss(passage.rest),
        }
        if weights.structure:
            control = unwrapped(model).control(mse.detach(), self.target(step))
            total = control * mse * 100
        else:
            total = weights.picture * F.l1_loss(passage.protected, pictures)
        total = total + sum(getattr(weights, name) * value for name, value in asked.items())
        if judged:
            total = total + judged[0] + weights.adversarial * judged[1]
            asked["judge"] = judged[0]
        with torch.no_grad():
            asked["psnr"] = -10 * torch.log10(mse)
            asked["correlation"] = correlation(passage.found, hidden).mean()
            asked["ssim"] = structural_similarity(passage.found, hidden).mean()
        return {"loss": total, **asked}

    def target(self, step: int) -> float:
        """Return the wanted PSNR of a step."""
        done = min(1.0, step / (RISE * self.budget.steps))
        return FIRST_PSNR + (self.budget.psnr - FIRST_PSNR) * done


def _tiles(budget: Budget, photos: PhotoSource, seed: int) -> TileStream:
    return TileStream(
        photos,
        budget.batch,
        tile=budget.tile,
        seed=seed,
        leaves=budget.leaves,
        workers=budget.workers,
    )


class TamperTask(Task):
    """Train the network that marks what was pasted into protected pictures.

    For some of the pictures it knows the true watermark in its place. So it can be asked before the
    place is known and again after. Both kinds are mixed in every batch: the network's norms would
    learn means that fit neither otherwise.

    Parameters
    ----------
    budget : Budget
    photos : PhotoSource
    seed : int
    out : Path
        Folder in which the hiding network's weights lie.
    """

    system, variant, unit = "rwn", TAMPER, "tiles"
    chance = (("tamper", np.log(2), "0.69 = ln 2: nothing learned yet"),)

    def __init__(self, budget: Budget, photos: PhotoSource, seed: int, out: Path) -> None:
        self.budget, self.source, self.seed, self.out = budget, photos, seed, out
        self.photos = describe_photos(photos)
        self.network = {"width": 16}
        self.hider: Hider | None = None
        self.config = {
            "network": self.network,
            "tile": budget.tile,
            "steps": budget.tamper_steps,
            "batch": budget.batch,
            "publication": asdict(budget.publication),
        }

    def build(self) -> TamperNet:
        """Make the network, and open the one that hides."""
        self.hider = open_hider(self.out).eval().requires_grad_(False)
        return TamperNet(**self.network)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make Adam; its rate is that of `lr`."""
        return torch.optim.Adam(model.parameters(), lr=1.0)

    def lr(self, step: int) -> float:
        """Rise quickly, then fall along a cosine to a hundredth."""
        return cosine(step, self.budget.tamper_steps, 2e-3, WARM_UP)

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Tiles]:
        """Yield tiles with watermarks, others than those for hiding."""
        stream = _tiles(self.budget, self.source, self.seed + 1)
        return stream.batches(first_step, rank, world)

    def loss(self, model: nn.Module, batch: Tiles) -> dict[str, Tensor]:
        """Protect, tamper, publish; then compare what is marked with what was pasted."""
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        pictures, watermarks = batch.pictures / 255, batch.watermarks / 255
        seen, found, hidden, masks = self._tampered(pictures, watermarks, rng)
        told = torch.from_numpy(rng.random(len(seen)) < TOLD).to(seen.device)[:, None, None, None]
        logits = model(seen, found, torch.where(told, hidden, NULL))
        marking = F.binary_cross_entropy_with_logits(logits, masks)
        return {"loss": marking + dice_loss(logits, masks), "tamper": marking}

    @torch.no_grad()
    def _tampered(
        self, pictures: Tensor, watermarks: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return pictures as received, what is extracted, what was hidden there, and masks."""
        assert self.hider is not None
        self.hider.to(pictures.device)
        protected = self.hider.hide(pictures, watermarks)[0].clamp(0, 1)
        kinds = [
            lambda: pictures.roll(1, 0),  # of a picture that nobody protected
            lambda: protected.roll(1, 0),  # of one that carries another watermark
            lambda: protected.roll(
                protected.shape[-1] // 3, int(rng.integers(2, 4))
            ),  # copy and move
        ]
        drawn = [
            free_form_mask(pictures.shape[-2:], rng) & (rng.random() < TAMPERED) for _ in pictures
        ]
        masks = torch.from_numpy(np.stack(drawn)[:, None]).to(pictures.device)
        forged = tampered(protected, kinds[rng.choice(3, p=[0.6, 0.2, 0.2])](), masks)
        recipe = replace(self.budget.publication, whole=0.5)
        seen, boxes = publish(forged, recipe, rng)
        found = self.hider.reveal(seen)[1].clamp(0, 1)
        masks = (stretched(masks.float(), boxes) > 0.5).float()
        return seen, found, stretched(watermarks, boxes), masks


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - F1 of soft masks: what cross-entropy neglects where little is pasted.

    Source: F. Milletari et al., "V-Net", 3DV 2016.
    """
    soft = logits.sigmoid()
    hits = (soft * masks).sum((1, 2, 3))
    return 1 - ((2 * hits + 1) / (soft.sum((1, 2, 3)) + masks.sum((1, 2, 3)) + 1)).mean()


def open_hider(weights: Path | None = None, variant: str = HIDER) -> Hider:
    """Open a trained hiding network.

    Raises
    ------
    UsageError
        When there is no such checkpoint.
    """
    tensors, card = load(find("rwn", variant, weights))
    net = hider(card.config["network"])
    own = {key[6:]: value for key, value in tensors.items() if key.startswith("hider.")}
    net.load_state_dict(own)
    return net


def stages(profile: Profile, photos: PhotoSource, seed: int, out: Path) -> list[Stage | Solved]:
    """List what ``course train rwn`` trains, one after another."""
    budget = BUDGETS[profile.name]
    return [
        Stage(HiderTask(budget, photos, seed), budget.steps),
        Stage(TamperTask(budget, photos, seed, out), budget.tamper_steps),
    ]
