"""Trained models ready to be asked: closed form and network for patches, detectors for pictures.

Whatever reads patches is a function from (n, s, s, 3) uint8 patches to (n, 16) probabilities of
their cells, so that one evaluation serves all of them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_lib.checkpoints import find, load
from course_lib.geometry import Box
from course_lib.traces.baseline import fringe_features
from course_lib.traces.examples import (
    ASPECT,
    COURSE,
    DEFENDED,
    GRID,
    SMOOTH,
    Scale,
    cut,
    draw_interpolation,
    draw_width,
    make_thumbnail,
    patch_corners,
    prepare,
    resize_width,
)
from course_lib.traces.model import CropDetector, PatchNet, crop_detector, patch_net
from course_lib.traces.votes import PatchReader, log_softmax

Predict = Callable[[np.ndarray], np.ndarray]
"""From (n, 96, 96, 3) uint8 patches to (n, 16) probabilities of their cells."""

BATCH = 64
VIEWS = 4
"""Views of a picture, of other widths and patches, that a detector's answer averages."""


def closed_form(weights: Path | None = None) -> Predict:
    """Open the closed-form reader of fringes (checkpoint ``fringe``).

    Parameters
    ----------
    weights : Path, optional
        Folder of checkpoints; the shipped ones without it.
    """
    tensors, _ = load(find("traces", "fringe", weights))
    reader = PatchReader.from_tensors(tensors)
    return lambda patches: reader.votes(fringe_features(patches))


def patch_network(weights: Path | None = None) -> PatchNet:
    """Load the patch network that learned the pretext task (checkpoint ``pretext``)."""
    tensors, card = load(find("traces", "pretext", weights))
    network = patch_net(card.config["network"])
    network.load_state_dict(tensors)
    return network.eval()


def network(weights: Path | None = None) -> Predict:
    """Open the patch network as a reader; its votes are averaged over the four mirrorings."""
    return reading(patch_network(weights))


def both(weights: Path | None = None) -> Predict:
    """Average the log probabilities of closed form and network."""
    parts = closed_form(weights), network(weights)

    return lambda patches: joined([part(patches) for part in parts])


def joined(votes: Sequence[np.ndarray]) -> np.ndarray:
    """Average the log probabilities of several readers: from (n, 16) each to (n, 16)."""
    logs = [np.log(np.maximum(each, 1e-9)) for each in votes]
    return np.exp(log_softmax(np.mean(logs, axis=0)))


READERS: dict[str, Callable[[Path | None], Predict]] = {
    "fringe": closed_form,
    "network": network,
    "both": both,
}
"""What reads patches, by the names that results use."""


def reading(model: PatchNet) -> Predict:
    """Make a reader of a patch network: mirror each patch, unmirror the votes, and average.

    Parameters
    ----------
    model : PatchNet
        On any device. It is put into evaluation mode while it is asked.
    """

    @torch.no_grad()
    def votes(patches: np.ndarray) -> np.ndarray:
        training = model.training
        model.eval()
        parts = np.array_split(patches, max(-(-len(patches) // BATCH), 1))  # one if there is none
        found = [_mirrored(model, part) for part in parts]
        model.train(training)
        return np.concatenate(found)

    return votes


def _mirrored(model: PatchNet, patches: np.ndarray) -> np.ndarray:
    """Votes for a few patches, averaged over their mirrorings."""
    device = next(model.parameters()).device
    x = torch.from_numpy(np.ascontiguousarray(patches)).to(device).permute(0, 3, 1, 2) / 255
    total = torch.zeros(len(x), GRID, GRID, device=device)
    for axes in ((), (3,), (2,), (2, 3)):
        logs = model(x.flip(axes)).float().log_softmax(dim=1).view(-1, GRID, GRID)
        total += logs.flip([axis - 1 for axis in axes])  # rows and columns follow the height, 2
    return (total / 4).flatten(1).softmax(dim=1).cpu().numpy()


class Opinion(NamedTuple):
    """What a detector says about one picture.

    Attributes
    ----------
    score : float
        Probability that it was cropped.
    box : Box
        What the picture is of the original frame, if it was cropped.
    votes : (16, 16) array or None
        For each of the 4 × 4 patches, row by row, the probability of each cell.
    """

    score: float
    box: Box
    votes: np.ndarray | None


def detector(variant: str = "joint", weights: Path | None = None) -> CropDetector:
    """Load a crop detector: ``joint``, ``patch`` or ``global``."""
    tensors, card = load(find("traces", variant, weights))
    names = {"patch": card.config["patch"], "thumbnail": card.config["thumbnail"]}
    model = crop_detector(card.config["variant"], **names)
    model.load_state_dict(tensors)
    return model.eval()


def look(
    model: CropDetector,
    picture: np.ndarray,
    scale: Scale = COURSE,
    views: int = VIEWS,
    seed: int = 0,
) -> Opinion:
    """Ask a detector about a picture of any shape.

    Parameters
    ----------
    model : CropDetector
    picture : HxWx3 uint8
        Portraits are turned to landscape; what is too long for 3:2 is left out evenly at both ends.
    scale : Scale
        The detector's.
    views : int
        How often to look, at other widths and patches; answers are averaged.
    seed : int
        Draws the views.

    Raises
    ------
    PhotoError
        When the picture is too small.
    """
    turned = picture.shape[0] > picture.shape[1]
    landscape = np.rot90(picture) if turned else picture
    rng = np.random.default_rng(seed)
    seen = prepare(landscape, rng, scale)
    patches, thumbnails = zip(*(_view(seen, rng, scale) for _ in range(views)), strict=True)
    device = next(model.parameters()).device
    with torch.no_grad():
        found = model(_planes(np.stack(patches), device), _planes(np.stack(thumbnails), device))
    score = float(found.score.float().mean().sigmoid())
    edges = found.box.float().mean(dim=0).clamp(0, 1).tolist()
    votes = None
    if found.cells is not None:
        logs = found.cells.float().log_softmax(dim=2).mean(dim=0)  # (16, 16)
        votes = logs.softmax(dim=1).cpu().numpy()
    box = _whole(_ordered(edges), landscape.shape)
    return Opinion(score, _turned_back(box) if turned else box, votes)


def _view(
    picture: np.ndarray, rng: np.random.Generator, scale: Scale
) -> tuple[np.ndarray, np.ndarray]:
    """Sixteen patches and a thumbnail, made as in training."""
    width = draw_width(rng, scale, DEFENDED)
    seen = resize_width(picture, width, draw_interpolation(rng, DEFENDED, SMOOTH))
    patches = cut(seen, patch_corners(rng, seen.shape, scale.patch), scale.patch)
    return patches, make_thumbnail(seen, rng, scale)


def _planes(pictures: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(pictures).to(device).movedim(-1, -3) / 255


def _ordered(edges: list[float], least: float = 0.05) -> Box:
    """Make a box of four numbers that a network may have put in any order."""
    x1, x2 = sorted((edges[0], edges[2]))
    y1, y2 = sorted((edges[1], edges[3]))
    x1, y1 = min(x1, 1 - least), min(y1, 1 - least)
    return Box(x1, y1, max(x2, x1 + least), max(y2, y1 + least))


def _whole(box: Box, shape: tuple[int, ...]) -> Box:
    """Extend the box of a picture's 3:2 middle to all of the picture, as far as the frame goes."""
    height, width = shape[:2]
    longer = max(width / (ASPECT * height), 1.0), max(ASPECT * height / width, 1.0)
    extra = [
        (times - 1) / 2 * side for times, side in zip(longer, (box.width, box.height), strict=True)
    ]
    return Box(
        max(box.x1 - extra[0], 0.0),
        max(box.y1 - extra[1], 0.0),
        min(box.x2 + extra[0], 1.0),
        min(box.y2 + extra[1], 1.0),
    )


def _turned_back(box: Box) -> Box:
    """Turn a box on a picture that was turned to the left back to the right."""
    return Box(1 - box.y2, box.x1, 1 - box.y1, box.x2)
