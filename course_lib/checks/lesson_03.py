"""Checks of the exercises of lesson 03, was this picture cropped."""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.errors import UsageError
from course_lib.geometry import Box, iou
from course_lib.teach.check import Exercise, Misconception, register
from course_lib.traces.baseline import Frames, best_box, frame_scores, possible_frames
from course_lib.traces.examples import draw_crop
from course_lib.traces.explain import grad_cam
from course_lib.traces.model import Reading, with_coordinates
from course_lib.traces.objective import (
    PAPER_WEIGHTS,
    Weights,
    crop_loss,
    patch_loss,
    rectangle_loss,
)

Rng = np.random.Generator
Trials = Iterator[tuple[Any, ...]]


# 3.1

DRAWN = 400
"""Crops by which a generator is judged; below, every tolerance is five standard errors or more."""
NEAR = 1e-9


def _ranges(rng: Rng) -> Trials:
    for _ in range(4):
        low, high = rng.uniform(0.05, 0.25), rng.uniform(0.8, 0.95)
        yield int(rng.integers(2**31)), float(low), float(high)


def _report(size: str) -> dict[str, str]:
    """Say what is true of the right answer's crops."""
    return {
        "generator": "equal generators draw equal crops",
        "frame": "all inside the photograph",
        "shape": "width and height are the same share",
        "size": size,
        "sizes": "evenly spread",
        "edges": "each edge is touched by a quarter",
        "along": "evenly spread along the edge",
    }


def _sizes(low: float, high: float) -> str:
    return f"from {low:.2f} to {high:.2f}"


def _judged(answer: Callable[..., Any], seed: int, low: float, high: float) -> dict[str, str]:
    """Draw many crops and report on them in words, so that chance does not show."""
    rng = np.random.default_rng(seed)
    first = [tuple(answer(rng, low, high)) for _ in range(DRAWN)]
    again = np.random.default_rng(seed)
    same = [tuple(answer(again, low, high)) for _ in range(3)] == first[:3]
    boxes = np.array(first, float)
    report = _report(_sizes(low, high))
    if not same:
        report["generator"] = "equal generators draw different crops"
    if boxes.min() < -NEAR or boxes.max() > 1 + NEAR:
        report["frame"] = "some leave the photograph"
    wide, high_side = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    if np.abs(wide - high_side).max() > NEAR:
        report["shape"] = "width and height are different shares"
    if abs(wide.min() - low) > 0.06 or abs(wide.max() - high) > 0.06:
        report["size"] = _sizes(wide.min(), wide.max())
    elif abs(np.mean((wide - low) / (high - low)) - 0.5) > 0.08:
        report["sizes"] = "more large ones than small ones"
    report |= _edges(boxes)
    return report


def _edges(boxes: np.ndarray) -> dict[str, str]:
    """Report which edges of the photograph are touched, and where along them."""
    away = np.abs(boxes - (0, 0, 1, 1)) < NEAR  # left, top, right, bottom
    touched = away.sum(axis=1)
    if (touched == 0).mean() > 0.02:
        return {"edges": "some touch no edge"}
    if (touched > 1).mean() > 0.02:
        return {"edges": "some touch two edges"}
    if np.abs(away.mean(axis=0) - 0.25).max() > 0.12:
        return {"edges": "some edges are touched more often than others"}
    corner = np.where(away[:, [0]] | away[:, [2]], boxes[:, [1]], boxes[:, [0]])[:, 0]
    rest = 1 - (boxes[:, 2] - boxes[:, 0])
    share = corner / np.maximum(rest, NEAR)
    if abs(share.mean() - 0.5) > 0.08 or abs(share.std() - 12**-0.5) > 0.08:
        return {"along": "bunched along the edge"}
    return {}


def _says(key: str, words: str) -> Callable[..., bool]:
    return lambda args, got, expected: words in got[key]


register(
    Exercise(
        "3.1",
        "draw a crop",
        draw_crop,
        _ranges,
        oracle=lambda seed, low, high: _report(_sizes(low, high)),
        use=_judged,
        misconceptions=(
            Misconception(
                "Take every random number from the `rng` that you are given, or no experiment can "
                "be repeated.",
                when=_says("generator", "different"),
            ),
            Misconception(
                "The aspect ratio is kept: draw one size, and use it for the width and the height.",
                when=_says("shape", "different"),
            ),
            Misconception(
                "A crop of size f has room to move by 1 − f. Draw its place from that range.",
                when=_says("frame", "leave"),
            ),
            Misconception(
                "The size goes from `smallest` to `largest`, which differ from call to call.",
                when=lambda args, got, expected: got["size"] != expected["size"],
            ),
            Misconception(
                "The share of each *side* is uniform, not the share of the area.",
                when=_says("sizes", "more large"),
            ),
            Misconception(
                "Every crop touches an edge: one of its two coordinates is pinned to 0 or to "
                "1 − size.",
                when=_says("edges", "no edge"),
            ),
            Misconception(
                "Pin one coordinate only. The other one is free along the edge, so a corner is an "
                "exception.",
                when=_says("edges", "two edges"),
            ),
            Misconception(
                "There are four edges to touch, and each has its turn equally often.",
                when=_says("edges", "more often"),
            ),
            Misconception(
                "Along its edge the crop may lie anywhere: its place there is uniform from 0 to "
                "1 − size.",
                when=_says("along", "bunched"),
            ),
        ),
    )
)


# 3.2


def _pictures(rng: Rng) -> Trials:
    """Draw the votes of a picture's patches, and where the patches lie."""
    for count in (1, 3, 16, 16, 16, 300):
        sure = float(rng.uniform(0.3, 2.0))
        votes = rng.dirichlet(np.full(16, sure), count)
        frames = possible_frames(int(rng.integers(2, 4)))
        yield votes, rng.uniform(0.05, 0.95, (count, 2)), frames, float(rng.uniform(0.2, 1.0))


def _belief_by_loops(
    votes: np.ndarray, centers: np.ndarray, frames: Frames, temper: float = 0.4
) -> np.ndarray:
    belief = []
    for (x1, y1, x2, y2), prior in zip(frames.boxes, frames.prior, strict=True):
        total = 0.0
        for vote, (x, y) in zip(votes, centers, strict=True):
            column = min(int(4 * (x1 + x * (x2 - x1))), 3)
            row = min(int(4 * (y1 + y * (y2 - y1))), 3)
            total += temper * np.log(max(vote[4 * row + column], 1e-6))
        belief.append(np.log(prior) + total)
    weights = np.exp(np.array(belief) - max(belief))
    return weights / weights.sum()


def _pooled(how: str) -> Callable[..., np.ndarray]:
    def model(
        votes: np.ndarray, centers: np.ndarray, frames: Frames, temper: float = 0.4
    ) -> np.ndarray:
        corner = frames.boxes[:, None, :2]
        size = (frames.boxes[:, 2:] - frames.boxes[:, :2])[:, None]
        if how == "crop's own":
            corner, size = 0.0 * corner, 0.0 * size + 1
        elif how == "no corner":
            corner = 0.0 * corner
        elif how == "no size":
            size = 0.0 * size + 1
        places = corner + centers * size
        column, row = np.clip(np.floor(4 * places), 0, 3).astype(int).transpose(2, 0, 1)
        cell = 4 * column + row if how == "transposed" else 4 * row + column
        chosen = np.maximum(votes[np.arange(len(votes)), cell], 1e-6)
        power = 1.0 if how == "untempered" else temper
        evidence = power * np.log(16 * chosen).sum(axis=1)
        if how == "mean":
            evidence = evidence / len(votes)
        prior = np.ones(len(frames.prior)) if how == "no prior" else frames.prior
        prior = prior**temper if how == "tempered prior" else prior
        belief = prior * np.exp(evidence - evidence.max())
        if how == "added":
            belief = prior * (temper * chosen).sum(axis=1)
        if how == "unnormalised":
            return belief
        return belief / belief.sum()

    return model


def _broke(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
    return bool(np.isnan(got).any() or (got == 0).all())


register(
    Exercise(
        "3.2",
        "pool the votes",
        frame_scores,
        _pictures,
        oracle=_belief_by_loops,
        rtol=1e-4,
        atol=1e-9,
        misconceptions=(
            Misconception(
                "Pieces of evidence multiply: add the *logarithms* of the votes, not the votes.",
                _pooled("added"),
            ),
            Misconception(
                "Beliefs are probabilities: divide by their sum at the end.",
                _pooled("unnormalised"),
            ),
            Misconception(
                "`temper` is not used: it multiplies the evidence of the patches.",
                _pooled("untempered"),
            ),
            Misconception(
                "The temper belongs to the evidence alone; the prior keeps its full weight.",
                _pooled("tempered prior"),
            ),
            Misconception(
                "The prior is missing: half of all pictures are not cropped at all.",
                _pooled("no prior"),
            ),
            Misconception(
                "Cells count row by row: 4 · row + column, and x says the column.",
                _pooled("transposed"),
            ),
            Misconception(
                "`centers` are places in the picture that is seen. Each frame maps them to places "
                "in the original: corner + center · size.",
                _pooled("crop's own"),
            ),
            Misconception(
                "The frame's upper left corner is missing from the places.", _pooled("no corner")
            ),
            Misconception(
                "A place in the picture shrinks with the frame: multiply the centre by its size.",
                _pooled("no size"),
            ),
            Misconception(
                "This averages the evidence. Every patch brings its own: sum over patches.",
                _pooled("mean"),
            ),
            Misconception(
                "A product of hundreds of small numbers leaves the range of floats: sum "
                "logarithms, and subtract the largest before np.exp.",
                when=_broke,
            ),
        ),
    )
)


# 3.3


def _beliefs(rng: Rng) -> Trials:
    """Draw beliefs from vague to nearly certain, so that the likeliest frame is not always best."""
    for sharp in (0.02, 0.05, 0.1, 0.3, 1.0):
        frames = possible_frames(int(rng.integers(2, 6)))
        belief = rng.dirichlet(np.full(len(frames.prior), sharp))
        yield belief, frames


def _best_by_loops(belief: np.ndarray, frames: Frames) -> Box:
    boxes = [Box(*box) for box in frames.boxes]
    expected = [
        sum(p * iou(mine, true) for p, true in zip(belief, boxes, strict=True) if p > 1e-12)
        for mine in boxes
    ]
    return boxes[int(np.argmax(expected))]


def _averaged(belief: np.ndarray, frames: Frames) -> Box:
    return Box(*(belief @ frames.boxes))


def _unweighted(belief: np.ndarray, frames: Frames) -> Box:
    return Box(*frames.boxes[int(frames.overlaps.sum(axis=1).argmax())])


def _own_belief(belief: np.ndarray, frames: Frames) -> Box:
    return Box(*frames.boxes[int((belief * (frames.overlaps @ belief)).argmax())])


def _with_prior(belief: np.ndarray, frames: Frames) -> Box:
    return Box(*frames.boxes[int((frames.overlaps @ (belief * frames.prior)).argmax())])


register(
    Exercise(
        "3.3",
        "the best frame to name",
        best_box,
        _beliefs,
        oracle=_best_by_loops,
        misconceptions=(
            Misconception(
                "That is the likeliest frame. A frame that overlaps well with many likely ones may "
                "expect more: weigh the overlaps by the belief.",
                lambda belief, frames: Box(*frames.boxes[int(belief.argmax())]),
            ),
            Misconception(
                "This averages the edges. Between two far-off frames the average may match "
                "neither: choose one of `frames.boxes`.",
                _averaged,
            ),
            Misconception(
                "The overlaps are not weighed: each counts as much as its frame is believed in.",
                _unweighted,
            ),
            Misconception("The prior is in the belief already: see `frame_scores`.", _with_prior),
            Misconception(
                "Weigh by the belief in the *true* frame only; how likely the named one is "
                "does not matter for what it overlaps with.",
                _own_belief,
            ),
        ),
    )
)


# 3.4


def _thumbnails(rng: Rng) -> Trials:
    for _ in range(5):
        n, h, w = int(rng.integers(1, 4)), int(rng.integers(2, 9)), int(rng.integers(9, 16))
        yield (torch.from_numpy(rng.random((n, 3, h, w)).astype(np.float32)),)


def _coordinates_by_loops(thumbnail: Tensor) -> Tensor:
    n, _, h, w = thumbnail.shape
    found = torch.zeros(n, 5, h, w)
    found[:, :3] = thumbnail
    for row in range(h):
        for column in range(w):
            found[:, 3, row, column] = row / (h - 1)
            found[:, 4, row, column] = column / (w - 1)
    return found


def _coordinates(how: str) -> Callable[[Tensor], Tensor]:
    def model(thumbnail: Tensor) -> Tensor:
        n, _, h, w = thumbnail.shape
        low = -1.0 if how == "signed" else 0.0
        y, x = torch.linspace(low, 1, h), torch.linspace(low, 1, w)
        if how == "pixels":
            y, x = torch.arange(h).float(), torch.arange(w).float()
        elif how == "centres":
            y, x = (torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w
        elif how == "short":
            y, x = torch.arange(h) / h, torch.arange(w) / w
        elif how == "turned":
            y, x = 1 - y, x
        planes = [
            y.view(1, 1, h, 1).expand(n, 1, h, w).to(thumbnail),
            x.view(1, 1, 1, w).expand(n, 1, h, w).to(thumbnail),
        ]
        if how == "x first":
            planes.reverse()
        order = [*planes, thumbnail] if how == "in front" else [thumbnail, *planes]
        return torch.cat(order, dim=1)

    return model


register(
    Exercise(
        "3.4",
        "coordinates for a convolution",
        with_coordinates,
        _thumbnails,
        oracle=_coordinates_by_loops,
        misconceptions=(
            Misconception("y comes first, then x.", _coordinates("x first")),
            Misconception(
                "The coordinates go behind the colours: channels 3 and 4.", _coordinates("in front")
            ),
            Misconception("They run from 0 to 1, not from −1.", _coordinates("signed")),
            Misconception(
                "These count pixels. Make the last row and the last column 1.",
                _coordinates("pixels"),
            ),
            Misconception(
                "Here the first pixel is 0 and the last one is 1: this network is not asked for "
                "half pixels.",
                _coordinates("centres"),
            ),
            Misconception(
                "The last row does not reach 1: divide by h − 1 (or use torch.linspace).",
                _coordinates("short"),
            ),
            Misconception("y runs downwards: 0 in the top row.", _coordinates("turned")),
        ),
    )
)


# 3.5


def _edges_and_truth(rng: Rng) -> Trials:
    for _ in range(5):
        n = int(rng.integers(2, 9))
        box = torch.from_numpy(rng.normal(0.5, 0.5, (n, 4)))
        truth = torch.tensor([tuple(draw_crop(rng)) for _ in range(n)], dtype=torch.float64)
        truth[0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
        yield box, truth


def _rectangle_by_loops(box: Tensor, truth: Tensor) -> Tensor:
    squares = (box.numpy() - truth.numpy()) ** 2
    return torch.tensor(np.mean([one[0] + one[1] + one[2] + one[3] for one in squares]))


def _only_crops(box: Tensor, truth: Tensor) -> Tensor:
    cropped = (truth != torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=truth.dtype)).any(dim=1)
    return ((box - truth) ** 2).sum(dim=1)[cropped].sum() / len(box)


register(
    Exercise(
        "3.5",
        "the loss of the rectangle",
        rectangle_loss,
        _edges_and_truth,
        oracle=_rectangle_by_loops,
        misconceptions=(
            Misconception(
                "The four edges are added up, not averaged: equation 3 is a sum. (λ₂/4 makes it a "
                "mean later.)",
                lambda box, truth: ((box - truth) ** 2).mean(),
            ),
            Misconception(
                "Average over photographs at the end, so that the loss does not grow with the "
                "batch.",
                lambda box, truth: ((box - truth) ** 2).sum(),
            ),
            Misconception(
                "Square the differences: equation 3 has no absolute values.",
                lambda box, truth: (box - truth).abs().sum(dim=1).mean(),
            ),
            Misconception(
                "No square root: the sum of the squares is the loss.",
                lambda box, truth: ((box - truth) ** 2).sum(dim=1).sqrt().mean(),
            ),
            Misconception(
                "Uncropped photographs count too; their frame is 0, 0, 1, 1.",
                _only_crops,
            ),
            Misconception(
                "Uncropped photographs count too; their frame is 0, 0, 1, 1.",
                lambda box, truth: _only_crops(box, truth) * len(box) / max(len(box) - 1, 1),
            ),
            Misconception(
                "The network's numbers are not bounded, and the loss must see how far off they "
                "are: do not clip them.",
                lambda box, truth: ((box.clamp(0, 1) - truth) ** 2).sum(dim=1).mean(),
            ),
        ),
    )
)


# 3.6


def _readings(rng: Rng) -> Trials:
    """Draw what detectors with and without patches may say, and weights for the three losses."""
    for kind in range(6):
        n = int(rng.integers(2, 6))
        box = torch.from_numpy(rng.random((n, 4)))
        score = torch.from_numpy(rng.normal(0, 2, n))
        logits = torch.from_numpy(rng.normal(0, 2, (n, 16, 16)))
        truth = torch.from_numpy(rng.integers(0, 16, (n, 16)))
        edges = torch.from_numpy(rng.random((n, 4)))
        cropped = torch.from_numpy(rng.random(n) < 0.5)
        weights = Weights(*(float(w) for w in rng.uniform(0.5, 4, 3)))
        if kind == 3:
            weights = Weights(weights.patch, 0.0, weights.crop)
        if kind == 4:
            weights = Weights(1.0, 0.0, 0.0)  # no loss is left for one that sees no patches
        seen = None if kind in (2, 4) else logits
        yield Reading(box, score, seen), truth, edges, cropped, weights


def _weighed(how: str) -> Callable[..., dict[str, Tensor]]:
    def model(
        reading: Reading,
        cells: Tensor,
        box: Tensor,
        cropped: Tensor,
        weights: Weights = PAPER_WEIGHTS,
    ) -> dict[str, Tensor]:
        score = reading.score
        if how == "probabilities":
            score = score.sigmoid()
        parts = {
            "crop": functional.binary_cross_entropy_with_logits(score, cropped.to(score)),
            "rectangle": rectangle_loss(reading.box, box),
        }
        weigh = {"crop": weights.crop, "rectangle": weights.rectangle / 4}
        if how == "whole rectangle":
            weigh["rectangle"] = weights.rectangle
        if reading.cells is not None:
            parts["patch"] = patch_loss(reading.cells, cells)
            weigh["patch"] = weights.patch / (16 if how == "sixteenth" else 1)
            if how == "sixteenfold":
                weigh["patch"] = weights.patch * 16
        total = sum((weight * parts[name] for name, weight in weigh.items()), start=torch.zeros(()))
        if how == "average":
            total = total / sum(weigh.values())
        if how == "equal":
            total = sum(parts.values(), start=torch.zeros(()))
        if how != "unrefusing" and not any(weigh.values()):
            raise UsageError("every loss has weight 0")
        if how == "weighed parts":
            parts = {name: weigh[name] * part for name, part in parts.items()}
        return {"loss": total, **parts}

    return model


register(
    Exercise(
        "3.6",
        "three losses in one",
        crop_loss,
        _readings,
        misconceptions=(
            Misconception(
                "λ₂ is divided by 4 in equation 1, because the rectangle's loss adds four edges.",
                _weighed("whole rectangle"),
            ),
            Misconception(
                "`patch_loss` is a mean over patches already; do not divide by 16 once more.",
                _weighed("sixteenth"),
            ),
            Misconception(
                "`patch_loss` is a mean: λ₁ / 16 times the sum over patches is λ₁ times the mean.",
                _weighed("sixteenfold"),
            ),
            Misconception(
                "A weighted sum, not an average: do not divide by the sum of the weights.",
                _weighed("average"),
            ),
            Misconception("The weights are not used.", _weighed("equal")),
            Misconception(
                "Return the parts as they are, so that one can compare them with chance; only "
                "their sum is weighed.",
                _weighed("weighed parts"),
            ),
            Misconception(
                "The score is a logit: leave the sigmoid to `class_loss`.",
                _weighed("probabilities"),
            ),
            Misconception(
                "If no loss is left that could train the detector, say so: raise UsageError.",
                _weighed("unrefusing"),
            ),
            Misconception(
                "A detector that sees no patches has `reading.cells` None, and no patch loss.",
                when=lambda args, got, expected: args[0].cells is None and "patch" in got,
            ),
        ),
    )
)


# 3.7


class _Looker(nn.Module):
    """A small network whose score depends on where in its maps something is."""

    def __init__(self, seed: int, sign: int) -> None:
        super().__init__()
        drawn = np.random.default_rng(seed)
        self.maps = nn.Conv2d(2, 3, 3, stride=2)
        self.side = nn.Conv2d(1, 1, 3)  # another eye, which is not asked about
        self.read = nn.Linear(3 * 4 * 5, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                values = drawn.normal(0, 0.4, tuple(parameter.shape)).astype(np.float32)
                parameter.copy_(torch.from_numpy(values))
            if sign < 0:  # whatever is seen speaks against: there is nothing to show
                for parameter in self.maps.parameters():
                    parameter.abs_()
                self.read.weight.abs_().neg_()
        self.eval()

    def after(self, maps: Tensor) -> Tensor:
        """Go on from the maps."""
        return self.read(torch.tanh(maps).flatten(1))

    def forward(self, patches: Tensor, picture: Tensor) -> Tensor:
        """Return two scores."""
        return self.after(self.maps(picture)) + 0 * self.side(patches).mean()


def _looks(rng: Rng) -> Trials:
    for kind in range(5):
        yield int(rng.integers(2**31)), -1 if kind == 3 else 1, int(rng.integers(2))


def _set_up(seed: int, sign: int) -> tuple[_Looker, tuple[Tensor, Tensor]]:
    drawn = np.random.default_rng(seed + 1)
    picture = torch.from_numpy(drawn.random((1, 2, 9, 12)).astype(np.float32))
    return _Looker(seed, sign), (torch.ones(1, 1, 5, 5), picture)


def _explained(answer: Callable[..., Any], seed: int, sign: int, which: int) -> Any:
    """Ask for a map, and look whether the network is as it was."""
    model, inputs = _set_up(seed, sign)
    found = answer(model, model.maps, inputs, lambda scores: scores[:, which])
    return found, len(model.maps._forward_hooks)


def _cam_by_parts(seed: int, sign: int, which: int) -> tuple[np.ndarray, int]:
    """Run the network in two halves, without any hook."""
    return _cam(seed, sign, which), 0


def _cam(seed: int, sign: int, which: int, how: str = "") -> np.ndarray:
    model, (_, picture) = _set_up(seed, sign)
    maps = model.maps(picture).detach().requires_grad_()
    (slope,) = torch.autograd.grad(model.after(maps)[:, which].sum(), maps)
    weight = slope.mean(dim=(2, 3), keepdim=True)
    if how == "activations":
        weight = torch.ones_like(weight)
    elif how == "places":
        weight = slope
    elif how == "absolute":
        weight = weight.abs()
    elif how == "slopes":
        maps = torch.ones_like(maps) * slope
        weight = torch.ones_like(weight)
    heat = (weight * maps).sum(dim=1)[0].detach().numpy()
    if how != "negative":
        heat = np.maximum(heat, 0)
    if how != "small":
        heat = cv2.resize(heat, (picture.shape[3], picture.shape[2]))
    if how == "raw":
        return heat
    return (heat - heat.min()) / (np.ptp(heat) or 1)


def _is(how: str) -> Callable[..., bool]:
    def when(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
        seed, sign, which = args
        wrong = _cam(seed, sign, which, how)
        heat = np.asarray(got[0])
        return heat.shape == wrong.shape and np.allclose(heat, wrong, atol=1e-3, equal_nan=True)

    return when


register(
    Exercise(
        "3.7",
        "Grad-CAM",
        grad_cam,
        _looks,
        oracle=_cam_by_parts,
        use=_explained,
        rtol=1e-3,
        atol=1e-4,
        misconceptions=(
            Misconception(
                "The hook is still there: remove it, or the network keeps every picture that it "
                "is shown from now on.",
                when=lambda args, got, expected: got[1] > 0,
            ),
            Misconception(
                "Nothing raises this score, so the map is empty; dividing by its range gives NaN. "
                "Divide by 1 then.",
                when=lambda args, got, expected: np.isnan(got[0]).any(),
            ),
            Misconception(
                "The map has the size of the layer's maps: resize it to the picture, the last of "
                "`inputs`.",
                when=lambda args, got, expected: np.shape(got[0]) == (4, 5),
            ),
            Misconception(
                "Width and height are swapped: cv2.resize takes (width, height).",
                when=lambda args, got, expected: np.shape(got[0]) == np.shape(expected[0])[::-1],
            ),
            Misconception(
                "Bring the map to 0 … 1: subtract its minimum and divide by its range.",
                when=_is("raw"),
            ),
            Misconception(
                "Places that speak *against* the score are cut off at 0, before anything is "
                "resized.",
                when=_is("negative"),
            ),
            Misconception(
                "These are the maps themselves, whatever the score. Each needs its weight, the "
                "mean slope.",
                when=_is("activations"),
            ),
            Misconception(
                "Average the slopes over the places first: Grad-CAM has one weight for a map.",
                when=_is("places"),
            ),
            Misconception(
                "A map whose slope is negative lowers the score: keep the sign of its weight.",
                when=_is("absolute"),
            ),
            Misconception(
                "This sums the slopes alone. Weigh the *maps* with their mean slopes.",
                when=_is("slopes"),
            ),
        ),
    )
)
