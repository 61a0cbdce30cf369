"""Training CLR-Net: all networks together, step by step towards what they will meet.

What the paper says helps is a switch here, so that its ablations (Table IV) are runs of the same
code: a part that is left out is left out by a word in `Switches`.

Source: Q. Ying et al., "Robust Image Protection Countering Cropping Manipulation" (2022), section
III-F.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from course_lib.checkpoints import Card, describe_photos, find, load
from course_lib.clrnet import refine
from course_lib.clrnet.examples import (
    Cut,
    Publication,
    Squares,
    SquareStream,
    augmented,
    lost_pixels,
    moved_along,
    publish,
    zero_padded,
)
from course_lib.clrnet.model import Localizer, Preprocessor, generator
from course_lib.clrnet.objective import (
    COURSE,
    PAPER,
    Weights,
    confidence_loss,
    consistency_loss,
    feature_loss,
    localization_loss,
    lost_area_error,
    null_loss,
    protection_loss,
    recovery_loss,
)
from course_lib.judges import PatchDiscriminator, QualityControl, adversarial_losses
from course_lib.photos import PhotoSource
from course_lib.profiles import Profile
from course_lib.training import Solved, Stage, Task, cosine, unwrapped

VARIANT = "invertible"
"""Name of the checkpoint."""
RAMP = 0.1
"""Share of the steps in which attacks grow to their full strength."""
FIRST_PSNR = 30.0
"""Target of the picture's quality at the beginning, dB."""
RISE = 0.4
"""Share of the steps in which that target rises to the wanted one."""
WARM_UP = 50
"""Steps in which the learning rate rises to its full value."""
HANDOVER = 0.001
"""Th: the student takes over when its features are this near to the teacher's."""
FULL = torch.tensor([0.0, 0.0, 1.0, 1.0])
"""The box of a whole picture."""
NEAR = 0.7
"""IoU from which on a predicted box is used in place of the true one, in staged training."""
JOINED = 0.5
"""Share of groups for which it is, then."""


@dataclass(frozen=True)
class Switches:
    """Parts of the method, each of which can be left out.

    Parameters
    ----------
    protection : bool
        Hide anything at all; without, X = I.
    invertible : bool
        One invertible network; without, two U-Nets.
    transport : bool
        The layer that mixes all places of a picture (the course's; not in the paper).
    told : bool
        Tell the way back what is lost, in the fourth channel (the course's).
    bounded : bool
        Spectral normalisation of the couplings.
    preprocessor : bool
        The Siamese network before localization and recovery.
    synchronized : bool
        A teacher, which sees no attacks, leads first; the student takes over.
    staged : bool
        True boxes first, predicted ones later; without, predicted ones from the first step.
    stabilized : bool
        Keep gradients out of the attacks: what they changed is taken as a constant.
    tampered : bool
        Tamper-based data augmentation.
    judged : bool
        Both discriminators.
    """

    protection: bool = True
    invertible: bool = True
    transport: bool = True
    told: bool = True
    bounded: bool = True
    preprocessor: bool = True
    synchronized: bool = True
    staged: bool = True
    stabilized: bool = True
    tampered: bool = True
    judged: bool = True


ABLATIONS = {
    "no protection": {"protection": False},
    "not staged": {"staged": False, "synchronized": False},
    "not stabilized": {"stabilized": False},
    "no pre-processor": {"preprocessor": False},
    "no tampering": {"tampered": False},
    "separate networks": {"invertible": False},
    "no transport": {"transport": False},
}
"""Rows of Table IV, in its order, and the course's own: what each leaves out. The two rows about
JPEG are ``jpeg="jpeg-mask"`` and ``jpeg="jpeg-ss"`` of `Publication`."""


@dataclass(frozen=True)
class Budget:
    """What is trained with a profile, and how much.

    Parameters
    ----------
    network : mapping
        Settings of `course_lib.clrnet.model.Generator`; what `switches` leave out is left out.
    side : int
        Of the pictures in pixels.
    batch, steps : int
        Pictures in a step, and steps.
    workers : int
        Processes that make pictures.
    preprocessor, localizer, judge : int
        Widths of the other networks.
    rate : float
        Highest learning rate.
    lead : float
        Share of the steps in which the teacher leads, at most.
    ideal : float
        Share of the steps in which boxes are the true ones.
    leaves : float
        Share of pictures that are dead leaves.
    looks : int, optional
        Views of each group that the localizer sees in a step; all of them if not given.
    publication, weights, switches
        Attacks, losses, and what is left out.
    """

    network: Mapping[str, Any]
    side: int
    batch: int
    steps: int
    workers: int = 0
    preprocessor: int = 8
    localizer: int = 8
    judge: int = 16
    rate: float = 1e-3
    lead: float = 0.05
    ideal: float = 0.8
    leaves: float = 0.05
    looks: int | None = None
    publication: Publication = field(default_factory=Publication)
    weights: Weights = COURSE
    switches: Switches = field(default_factory=Switches)


SMALL = {"down": (0, 0, 1), "up": (0, 0, 0), "width": 16, "split": False, "transport": {}}
"""Couplings where bands are coarsest, which cost little, and a layer that mixes all places."""
PAPERS = {"down": (4, 4, 4), "up": (4, 4, 4), "width": 64, "transport": {"grid": 16, "step": 4}}
"""The paper's network; its size has the transport switched off."""
FROM_THE_START = Switches(preprocessor=False, synchronized=False, judged=False)
"""Attacks from the first step on, and the generator alone beside the localizer: what a processor's
time is best spent on."""

PAPER_SIZE = Budget(
    PAPERS,
    side=256,
    batch=4,
    steps=500_000,
    workers=8,
    preprocessor=32,
    localizer=32,
    judge=32,
    rate=1e-4,
    weights=PAPER,
    switches=Switches(transport=False, told=False),
)
"""The paper's network, losses and settings, as far as it gives them: 7.84 million weights."""

BUDGETS = {
    "smoke": Budget(
        {**SMALL, "width": 8, "transport": {"grid": 8, "carriers": 4, "width": 8, "rounds": 2}},
        side=64,
        batch=4,
        steps=4,
        switches=FROM_THE_START,
    ),
    "cpu": Budget(SMALL, 128, 8, 6000, rate=1.5e-3, looks=1, switches=FROM_THE_START),
    "gpu": Budget(
        PAPERS,
        side=256,
        batch=16,
        steps=20_000,
        workers=8,
        preprocessor=32,
        localizer=32,
        judge=32,
        switches=Switches(synchronized=False),
        weights=replace(COURSE, adversarial=0.01),
    ),
}
"""What each profile trains."""


class Phase(NamedTuple):
    """What a step is fed.

    Attributes
    ----------
    teacher : bool
        Whether the teacher may still lead.
    predicted : float
        Share of groups that are put back by the predicted box.
    careful : bool
        Whether only predictions near the truth are used.
    """

    teacher: bool
    predicted: float
    careful: bool


class _Placed(NamedTuple):
    """Views in their places.

    Attributes
    ----------
    canvas : (k, 3, h, w) Tensor
        Put back into the whole picture, zeros elsewhere.
    lost : (k, 1, h, w) Tensor
        1 there.
    targets : (k, 3, h, w) Tensor
        What should be recovered.
    found, boxes : (m, 4) Tensor
        M̂ and M, of those views that the localizer saw.
    scores, cropped : (m,) Tensor
        Logit of its confidence, and whether it should be high.
    """

    canvas: Tensor
    lost: Tensor
    targets: Tensor
    found: Tensor
    boxes: Tensor
    scores: Tensor
    cropped: Tensor


class _Received(NamedTuple):
    """Both views of a group, as the recipient has them."""

    processed: list[Tensor]
    features: list[list[Tensor]]
    placed: list[_Placed]
    behind: Tensor


class Passage(NamedTuple):
    """A batch's way out and back: n pictures, and two views of each, first views first.

    Attributes
    ----------
    protected, rest : (n, 3, h, w) and (n, 1, h, w) Tensor
        X, and the fourth channel.
    recovered : (2 n, 3, h, w) Tensor
        Î.
    placed : _Placed
        All views on their way back.
    negatives : (m,) Tensor
        Scores of original pictures.
    unlike : Tensor
        The consistency loss.
    behind : Tensor
        How far the student is behind its teacher; 0 when nobody leads.
    judged : tuple of three Tensor, or None
        What the judges minimise, and what the generator does, for X and for Î.
    """

    protected: Tensor
    rest: Tensor
    recovered: Tensor
    placed: _Placed
    negatives: Tensor
    unlike: Tensor
    behind: Tensor
    judged: tuple[Tensor, Tensor, Tensor] | None


class Ensemble(nn.Module):
    """All networks that are trained together.

    Parameters
    ----------
    budget : Budget

    Attributes
    ----------
    apart : Tensor
        Running distance of the student's features from the teacher's.
    lost_area : Tensor
        Running PSNR over what was cut away, dB.
    """

    apart: Tensor
    lost_area: Tensor

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        switches = self.switches = budget.switches
        self.looks = budget.looks
        self.generator = generator(network(budget))
        self.student = Preprocessor(budget.preprocessor) if switches.preprocessor else None
        leads = switches.synchronized and switches.preprocessor
        self.teacher = Preprocessor(budget.preprocessor) if leads else None
        self.localizer = Localizer(min(budget.side, 128), budget.localizer)
        self.judges = (
            nn.ModuleList(PatchDiscriminator(budget.judge) for _ in range(2))
            if switches.judged
            else None
        )
        self.control = QualityControl()
        self.register_buffer("apart", torch.tensor(1.0))
        self.register_buffer("lost_area", torch.tensor(float("nan")))

    def forward(
        self, pictures: Tensor, attack: Callable[[Tensor], list[Cut]], phase: Phase
    ) -> Passage:
        """Protect, publish, pre-process, locate, put back and recover."""
        # Spectral normalisation refines its estimate at every look; both ways must see the same.
        with parametrize.cached():
            protected, rest = self.generator.protect(pictures)
            with torch.autocast(pictures.device.type, enabled=False):
                # What bf16 rounds off a picture is as large as what is hidden.
                protected = protected.float()
                cuts = attack(protected.detach() if self.switches.stabilized else protected)
            seen = [self._received(pictures, protected, cut, phase) for cut in cuts]
            both = _Placed(*map(torch.cat, zip(*_in_order(seen), strict=True)))
            recovered = self.generator.recover(both.canvas, both.lost)
        unlike = torch.stack(
            [
                consistency_loss(
                    (one.features[0], one.features[1]),
                    (one.placed[0].found, one.placed[1].found),
                    (recovered[cut.rows], recovered[len(pictures) :][cut.rows]),
                    (one.processed[0], one.processed[1]),
                    cut.plain.detach(),
                )
                for one, cut in zip(seen, cuts, strict=True)
            ]
        ).mean()
        negatives = self.localizer(pictures[: self.looks])[1]
        behind = torch.stack([one.behind for one in seen]).mean()
        judged = None
        if self.judges is not None:
            first = adversarial_losses(self.judges[0], pictures, protected)
            second = adversarial_losses(self.judges[1], both.targets, recovered)
            judged = first[0] + second[0], first[1], second[1]
        return Passage(protected, rest, recovered, both, negatives, unlike, behind, judged)

    def _received(self, pictures: Tensor, protected: Tensor, cut: Cut, phase: Phase) -> _Received:
        """Pre-process both views of a group, locate them, and put them back into their places."""
        leads = self.teacher is not None and phase.teacher and float(self.apart) > HANDOVER
        behind = pictures.new_zeros(())
        processed, features, placed = [], [], []
        guided: tuple[Tensor, list[Tensor]] | None = None
        if leads:
            assert self.teacher is not None
            guided = self.teacher(cut.plain)
        for view in cut.views:
            made, found = self.student(view) if self.student is not None else (view, [])
            if guided is not None:
                # The student learns from its teacher, beside the main stream.
                apart = feature_loss(found, [each.detach() for each in guided[1]])
                behind = behind + apart / 2 + F.l1_loss(made, cut.plain.detach())
                if self.training:
                    self.apart.lerp_(apart.detach(), 0.05)
                made, found = guided
            processed.append(made)
            features.append(found)
            placed.append(self._placed(pictures, protected, cut, made, phase))
        return _Received(processed, features, placed, behind)

    def _placed(
        self, pictures: Tensor, protected: Tensor, cut: Cut, view: Tensor, phase: Phase
    ) -> _Placed:
        """Locate a view, and put it back: in its true place, or in the predicted one."""
        size = (pictures.shape[-2], pictures.shape[-1])
        found, scores = self.localizer(view[: self.looks].detach())
        truth, others = cut.boxes[: len(found)], cut.boxes[len(found) :]
        targets, boxes = pictures[cut.rows], cut.boxes
        if phase.predicted > 0 and float(torch.rand(())) < phase.predicted:
            near = iou(found.detach(), truth) >= (NEAR if phase.careful else 0.0)
            boxes = torch.cat([torch.where(near[:, None], found, truth), others])
            moved = moved_along(targets, cut.boxes, boxes.detach())
            same = (boxes == cut.boxes).all(1)
            targets = torch.where(same[:, None, None, None], targets, moved)
        canvas = zero_padded(view, boxes, size)
        if self.switches.stabilized:
            # X + δ, where δ is all that happened to it: slopes of 1 wherever something is left.
            left = protected[cut.rows] * (1 - lost_pixels(cut.boxes, size))
            canvas = canvas + (left - left.detach())
        cropped = (truth != FULL.to(truth)).any(1)
        return _Placed(canvas, lost_pixels(boxes, size), targets, found, truth, scores, cropped)


def _in_order(seen: Sequence[_Received]) -> list[_Placed]:
    """List first views of all groups, then second ones."""
    return [one.placed[view] for view in range(2) for one in seen]


def network(budget: Budget) -> dict[str, Any]:
    """Describe the generator of a budget, without what its switches leave out."""
    switches = budget.switches
    if not switches.protection or not switches.invertible:
        kind = "separate" if switches.protection else "unprotected"
        return {"network": kind, "width": max(8, budget.network["width"] // 3)}
    settings = dict(budget.network)
    if not switches.transport:
        settings.pop("transport", None)
    return {
        "network": "invertible",
        **settings,
        "bounded": switches.bounded,
        "told": switches.told,
    }


class ClrTask(Task):
    """Train generator, pre-processor, localizer and judges together.

    Parameters
    ----------
    budget : Budget
    photos : PhotoSource
    seed : int
    variant : str
        Name of the checkpoint.
    """

    system, unit = "clrnet", "pictures"
    chance = (("confidence", float(np.log(2)), "0.69 = ln 2: nothing learned yet"),)

    def __init__(
        self, budget: Budget, photos: PhotoSource, seed: int, variant: str = VARIANT
    ) -> None:
        self.budget, self.source, self.seed, self.variant = budget, photos, seed, variant
        self.photos = describe_photos(photos)
        described = asdict(budget)
        described.pop("workers")
        self.config = {**described, "network": network(budget)}

    def build(self) -> Ensemble:
        """Make the networks."""
        return Ensemble(self.budget)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make Adam; its rate is that of `lr`."""
        return torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.99))

    def lr(self, step: int) -> float:
        """Rise quickly, stay, and fall along a cosine in the second half."""
        return cosine(step, self.budget.steps, self.budget.rate, WARM_UP, flat=0.5)

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Squares]:
        """Yield pictures."""
        stream = SquareStream(
            self.source,
            self.budget.batch,
            side=self.budget.side,
            seed=self.seed,
            leaves=self.budget.leaves,
            workers=self.budget.workers,
        )
        return stream.batches(first_step, rank, world)

    def phase(self, step: int) -> Phase:
        """Say what a step is fed."""
        budget = self.budget
        if not budget.switches.staged:
            return Phase(False, 1.0, False)
        joined = step >= budget.ideal * budget.steps
        return Phase(step < budget.lead * budget.steps, JOINED if joined else 0.0, True)

    def target(self, step: int) -> float:
        """Return the wanted PSNR of a step."""
        wanted = self.budget.weights.quality
        assert wanted is not None
        done = min(1.0, step / (RISE * self.budget.steps))
        return FIRST_PSNR + (wanted - FIRST_PSNR) * done

    def loss(self, model: nn.Module, batch: Squares) -> dict[str, Tensor]:
        """Protect, publish, recover, and weigh what comes of it (Eq. 9)."""
        weights, step = self.budget.weights, int(batch.step)
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        strength = min(1.0, 0.15 + step / (RAMP * self.budget.steps))
        pictures = batch.pictures / 255
        if self.budget.switches.tampered:
            pictures = augmented(pictures, rng)
        recipe = self.budget.publication
        passage: Passage = model(
            pictures, lambda shown: publish(shown, recipe, rng, strength), self.phase(step)
        )
        placed = passage.placed
        each = (passage.protected - pictures).square().flatten(1).mean(1)
        # Quality is a mean of decibels over pictures: of logarithms.
        typical = each.detach().clamp(min=1e-8).log().mean().exp()
        errors = lost_area_error(passage.recovered, placed.targets, placed.lost)
        cropped = placed.lost.flatten(1).any(1)
        scores = torch.cat([placed.scores, passage.negatives])
        truth = torch.cat([placed.cropped, torch.zeros_like(passage.negatives, dtype=torch.bool)])
        parts = {
            "mask": localization_loss(placed.found, placed.boxes),
            "confidence": confidence_loss(scores, truth),
            "unlike": passage.unlike,
            "null": null_loss(passage.rest),
        }
        if weights.quality is None:
            total = protection_loss(passage.protected, pictures)
            total = total + weights.recovery * recovery_loss(passage.recovered, placed.targets)
        else:
            inner = unwrapped(model)
            total = inner.control(typical, self.target(step)) * each.mean() * 100
            total = total + weights.recovery * F.mse_loss(passage.recovered, placed.targets)
        total = (
            total
            + weights.lost * errors.mean()
            + weights.localization * (parts["mask"] + parts["confidence"])
            + weights.coordinates * F.mse_loss(placed.found, placed.boxes)
            + weights.consistency * parts["unlike"]
            + weights.null * parts["null"]
            + weights.feature * passage.behind
        )
        if passage.judged is not None:
            parts["judge"], fool, back = passage.judged
            total = total + parts["judge"]
            total = total + weights.adversarial * (fool + weights.recovery * back)
        with torch.no_grad():
            parts["psnr"] = -10 * torch.log10(typical)
            whole = (passage.recovered - placed.targets).square().flatten(1).mean(1)
            parts["recovered"] = -10 * torch.log10(whole.clamp(min=1e-8)).mean()
            share = cropped.sum().clamp(min=1)
            lost = -10 * torch.log10(errors.clamp(min=1e-8))
            parts["lost_area"] = (lost * cropped).sum() / share
            running = unwrapped(model).lost_area
            known = torch.where(running.isnan(), parts["lost_area"], running)
            # Where nothing was cropped there is nothing to learn about it.
            running.copy_(torch.where(cropped.any(), known.lerp(parts["lost_area"], 0.02), running))
            parts["iou"] = iou(placed.found, placed.boxes).mean()
        return {"loss": total + _nothing(model), **parts}

    def evaluate(self, model: nn.Module) -> dict[str, Any]:
        """Return what the last steps came to, under all attacks: PSNR in dB."""
        inner = unwrapped(model)
        found = {"psnr": inner.control.running, "lost_area_psnr": inner.lost_area}
        return {name: round(float(each), 2) for name, each in found.items() if each.isfinite()}


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes: (n, 4) twice to (n,)."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    common = (high - low).clamp(min=0).prod(1)
    areas = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1)
    return common / (areas - common)


def _nothing(model: nn.Module) -> Tensor:
    """Return 0 that depends on every weight: several processes wait for all of them."""
    return torch.stack([0.0 * weight.sum() for weight in model.parameters()]).sum()


def open_networks(
    weights: Path | None = None, variant: str = VARIANT
) -> tuple[nn.Module, Preprocessor | None, Localizer, Card]:
    """Open what the recipient of a picture needs, and its publisher.

    Returns
    -------
    generator, preprocessor, localizer, card
        The networks in evaluation mode; there may be no pre-processor.

    Raises
    ------
    UsageError
        When there is no such checkpoint.
    """
    tensors, card = load(find("clrnet", variant, weights))
    config = card.config
    net = generator(config["network"])
    switches = config["switches"]
    student = Preprocessor(config["preprocessor"]) if switches["preprocessor"] else None
    localizer = Localizer(min(config["side"], 128), config["localizer"])
    for name, module in [("generator", net), ("student", student), ("localizer", localizer)]:
        if module is not None:
            own = {key: value for key, value in tensors.items() if key.startswith(name + ".")}
            module.load_state_dict({key[len(name) + 1 :]: value for key, value in own.items()})
            module.eval().requires_grad_(False)
    return net, student, localizer, card


def stages(profile: Profile, photos: PhotoSource, seed: int, out: Path) -> list[Stage | Solved]:
    """List what ``course train clrnet`` trains: the paper's networks, and what refines the code."""
    budget, refining = BUDGETS[profile.name], refine.BUDGETS[profile.name]
    return [
        Stage(ClrTask(budget, photos, seed), budget.steps),
        Stage(refine.RefinerTask(refining, photos, seed), refining.steps),
    ]
