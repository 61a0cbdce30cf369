"""Checks of the exercises of lesson 02, where a patch of a photograph comes from."""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.geometry import FULL, Box
from course_lib.teach.check import Exercise, Misconception, register
from course_lib.traces.baseline import OUTLYING, SHIFT_PRIOR, common_shift
from course_lib.traces.evaluate import accuracy_by_confidence
from course_lib.traces.examples import GRID, PATCHES, label_cells, shuffle_labels
from course_lib.traces.model import FringeInput, bilinear_pool, box_mean
from course_lib.traces.objective import patch_loss

Rng = np.random.Generator
Trials = Iterator[tuple[Any, ...]]
Rule = Callable[..., Any]


# 2.1


def _places(rng: Rng) -> Trials:
    """Draw points of whole pictures, points on the far edges, and points of crops."""
    yield (rng.random((int(rng.integers(3, 9)), 2)),)
    edge = rng.random((5, 2))
    edge[rng.integers(5), rng.integers(2)] = 1.0
    yield (edge,)
    for _ in range(3):
        size = rng.uniform(0.5, 0.9)
        x, y = rng.uniform(0, 1 - size, 2)
        yield rng.random((6, 2)), Box(x, y, x + size, y + size)


def _labelled_by_hand(centers: np.ndarray, box: Box = FULL) -> np.ndarray:
    found = []
    for x, y in centers:
        column = min(int(GRID * (box.x1 + x * (box.x2 - box.x1))), GRID - 1)
        row = min(int(GRID * (box.y1 + y * (box.y2 - box.y1))), GRID - 1)
        found.append(GRID * row + column)
    return np.array(found)


def _labelled(how: str) -> Rule:
    def model(centers: np.ndarray, box: Box = FULL) -> np.ndarray:
        corner = np.array([box.x1, box.y1])
        places = {
            "no box": centers,
            "no scale": corner + centers,
            "far corner": corner + centers * (box.x2, box.y2),
            "inverse": (centers - corner) / (box.width, box.height),
        }.get(how, corner + centers * (box.width, box.height))
        cells = np.rint(GRID * places) if how == "rounded" else np.floor(GRID * places)
        if how != "unclipped":
            cells = np.clip(cells, 0, GRID - 1)
        column, row = cells.astype(np.int64).T
        return GRID * column + row if how == "by columns" else GRID * row + column

    return model


register(
    Exercise(
        "2.1",
        "the label of a patch",
        label_cells,
        _places,
        oracle=_labelled_by_hand,
        misconceptions=(
            Misconception(
                "Cells are counted row by row: 4 · row + column, and the row comes from y.",
                _labelled("by columns"),
            ),
            Misconception(
                "It ignores the box: the label is the place on the *uncropped* photograph.",
                _labelled("no box"),
            ),
            Misconception(
                "The crop is smaller than the photograph: scale by the box's width and height "
                "before you add its corner.",
                _labelled("no scale"),
            ),
            Misconception(
                "x2 and y2 are edges of the crop, not its width and height.",
                _labelled("far corner"),
            ),
            Misconception(
                "This goes from the photograph into the crop. We want to go out of the crop.",
                _labelled("inverse"),
            ),
            Misconception(
                "A cell reaches from one quarter to the next: round down, not to the nearest.",
                _labelled("rounded"),
            ),
            Misconception(
                "A point on the right or lower edge (exactly 1) belongs to the last cell; there is "
                "no fifth.",
                _labelled("unclipped"),
            ),
        ),
    )
)


# 2.2


def _batches(rng: Rng) -> Trials:
    for undo in (False, True, False, True):
        examples, patches = (int(n) for n in rng.integers(3, 8, 2))
        shape = (examples, patches) if undo else (examples, patches, 2)
        yield rng.permutation(np.prod(shape)).reshape(shape), undo


def _rolled(batch: np.ndarray, undo: bool = False) -> np.ndarray:
    sign = -1 if undo else 1
    return np.stack([np.roll(one, sign * i, axis=0) for i, one in enumerate(batch)])


def _shuffled(how: str) -> Rule:
    def model(batch: np.ndarray, undo: bool = False) -> np.ndarray:
        n, count = batch.shape[:2]
        i, k = np.arange(n)[:, None], np.arange(count)
        if how == "examples":
            return batch[(i + k if undo else i - k) % n, k]
        step = {"constant": np.ones_like(i), "from one": i + 1}.get(how, i)
        back = {"reversed": not undo, "no undo": False}.get(how, undo)
        return batch[i, (k + step if back else k - step) % count]

    return model


register(
    Exercise(
        "2.2",
        "mix the labels of a batch",
        shuffle_labels,
        _batches,
        oracle=_rolled,
        misconceptions=(
            Misconception(
                "It rolls the wrong way: example i has at place k what was at place k − i.",
                _shuffled("reversed"),
            ),
            Misconception("`undo` must turn the roll round.", _shuffled("no undo")),
            Misconception(
                "Patches must stay with their own photograph: roll along the second axis, not the "
                "first.",
                _shuffled("examples"),
            ),
            Misconception(
                "Every example is rolled by the same step, so a group still holds one cell only. "
                "The step is the example's place in the batch.",
                _shuffled("constant"),
            ),
            Misconception("The first example (i = 0) stays as it is.", _shuffled("from one")),
        ),
    )
)


# 2.3


def _block_shifts(rng: Rng) -> Trials:
    """Draw blocks around a common shift, some of them outliers, with weights long in one way."""
    for blocks in (4, 9, 9, 16):
        n = int(rng.integers(2, 4))
        angle = rng.uniform(0, np.pi, (n, blocks))
        across = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        along = np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
        strong, weak = rng.uniform(20, 90, angle.shape), rng.uniform(0.1, 4, angle.shape)
        weights = strong[..., None, None] * across[..., None] * across[..., None, :]
        weights += weak[..., None, None] * along[..., None] * along[..., None, :]
        shifts = rng.normal(0, 0.8, (n, 1, 2)) + rng.normal(0, 0.15, (n, blocks, 2))
        shifts[:, 0] += rng.normal(0, 2.0, (n, 2))
        yield shifts, weights


def _joined(how: str = "") -> Rule:
    def model(shifts: np.ndarray, weights: np.ndarray, rounds: int = 6) -> Any:
        n, blocks = shifts.shape[:2]
        trust = weights
        if how == "scalars":
            trust = np.trace(weights, axis1=2, axis2=3)[..., None, None] / 2 * np.eye(2)
        elif how == "diagonal":
            trust = weights * np.eye(2)
        elif how == "equal":
            trust = np.broadcast_to(np.eye(2), weights.shape)
        prior = np.eye(2) / {"no prior": np.inf, "width": SHIFT_PRIOR}.get(how, SHIFT_PRIOR**2)
        robust = np.ones((n, blocks))
        for _ in range(1 if how == "once" else rounds + 1):
            information = np.einsum("nb,nbij->nij", robust, trust) + prior
            pulls = np.einsum("nb,nbij,nbj->ni", robust, trust, shifts)
            shift = np.linalg.solve(information, pulls[..., None])[..., 0]
            rest = shifts - shift[:, None]
            distance = np.einsum("nbi,nbij,nbj->nb", rest, trust, rest)
            if how == "pixels":
                distance = (rest**2).sum(axis=2)
            if how != "trusting":
                robust = 1 / (1 + distance / OUTLYING) ** (1 if how == "not squared" else 2)
        spread = information if how == "information" else np.linalg.inv(information)
        return shift, spread, robust

    return model


register(
    Exercise(
        "2.3",
        "one shift from many blocks",
        common_shift,
        _block_shifts,
        oracle=_joined(),
        rtol=1e-4,
        atol=1e-6,
        misconceptions=(
            Misconception(
                "It uses one number a block. A block with edges in one direction knows half of its "
                "shift: keep the 2 × 2 matrix.",
                _joined("scalars"),
            ),
            Misconception(
                "The off-diagonal part of a weight matters: a slanted edge ties x and y together.",
                _joined("diagonal"),
            ),
            Misconception("All blocks count alike here: use their weights.", _joined("equal")),
            Misconception(
                "Outliers keep their vote: compute `robust` anew in every round, and use it.",
                _joined("trusting"),
            ),
            Misconception(
                "One pass is not enough: with outliers gone the shift moves, and with it who is an "
                "outlier.",
                _joined("once"),
            ),
            Misconception(
                "Geman and McClure's weight is squared: 1 / (1 + d/OUTLYING)².",
                _joined("not squared"),
            ),
            Misconception(
                "A distance counts in standard errors, not in pixels: restᵀ W rest.",
                _joined("pixels"),
            ),
            Misconception(
                "This is the information. The covariance is its inverse.", _joined("information")
            ),
            Misconception(
                "The prior is missing: add the inverse of SHIFT_PRIOR² to both diagonal entries.",
                _joined("no prior"),
            ),
            Misconception(
                "A prior's information is one over its *variance*, not over its width.",
                _joined("width"),
            ),
        ),
    )
)


# 2.4


def _logits(rng: Rng) -> Trials:
    for shape in ((5,), (3, 4), (2, PATCHES)):
        logits = torch.from_numpy(rng.normal(0, 2, (*shape, PATCHES)).astype(np.float32))
        yield logits, torch.from_numpy(rng.integers(0, PATCHES, shape))


def _surprise(cells: Tensor, truth: Tensor) -> Tensor:
    logits = cells.double()
    chosen = logits.gather(-1, truth.unsqueeze(-1)).squeeze(-1)
    return (logits.exp().sum(dim=-1).log() - chosen).mean()


def _surprised(how: str) -> Rule:
    def model(cells: Tensor, truth: Tensor) -> Tensor:
        flat, right = cells.flatten(0, -2), truth.flatten()
        if how == "softmax":
            return F.cross_entropy(flat.softmax(dim=1), right)
        if how == "no softmax":
            return F.nll_loss(flat, right)
        if how == "probability":
            return -flat.softmax(dim=1).gather(1, right[:, None]).mean()
        if how == "wrong axis":
            return -cells.log_softmax(dim=0).flatten(0, -2).gather(1, right[:, None]).mean()
        loss = F.cross_entropy(flat, right, reduction="sum" if how == "sum" else "mean")
        return {"bits": loss / np.log(2), "sign": -loss}.get(how, loss)

    return model


register(
    Exercise(
        "2.4",
        "the loss of the pretext task",
        patch_loss,
        _logits,
        oracle=_surprise,
        rtol=1e-4,
        misconceptions=(
            Misconception(
                "The softmax is taken twice: `F.cross_entropy` wants logits.",
                _surprised("softmax"),
            ),
            Misconception(
                "These are not logarithms of probabilities yet: a log-softmax is missing.",
                _surprised("no softmax"),
            ),
            Misconception(
                "Surprise is minus the *logarithm* of the probability.", _surprised("probability")
            ),
            Misconception(
                "The cells are the last axis: the probabilities of one patch sum to 1.",
                _surprised("wrong axis"),
            ),
            Misconception("This is the sum over patches; we want the mean.", _surprised("sum")),
            Misconception("This is in bits. Chance should be ln 16 = 2.77.", _surprised("bits")),
            Misconception("A loss is minimised: mind the sign.", _surprised("sign")),
        ),
    )
)


# 2.5


def _pictures(rng: Rng) -> Trials:
    for _ in range(4):
        height, width = (int(n) for n in rng.integers(20, 34, 2))
        texture = rng.random((height, width, 3)).astype(np.float32)
        picture = cv2.GaussianBlur(texture, (0, 0), float(rng.uniform(0.6, 2)))
        picture[: height // 2] = 0.5 + 0.1 * (picture[: height // 2] - 0.5)  # weak edges above
        yield (torch.from_numpy(picture).permute(2, 0, 1)[None],)


def _applied(answer: Callable[[], nn.Module], rgb: Tensor) -> Tensor:
    return answer()(rgb)


def _fringes(how: str) -> Callable[[], nn.Module]:
    class Wrong(nn.Module):
        def forward(self, rgb: Tensor) -> Tensor:
            red, green, blue = rgb.unbind(dim=1)
            times = 1 if how == "not doubled" else 2
            others = (
                (red, blue) if how == "raw" else (times * (red - green), times * (blue - green))
            )
            if how == "turned":
                others = (2 * (green - red), 2 * (green - blue))
            planes = torch.stack([green, *others], dim=1)
            if how == "rgb order":
                planes = planes[:, [1, 0, 2]]
            detail = planes - box_mean(planes, 17 if how == "windows" else 9)
            if how == "flat":
                detail = planes
            if how == "global mean":
                detail = planes - planes.mean(dim=(2, 3), keepdim=True)
            power = detail**2 if how == "own" else detail[:, :1] ** 2
            mean = box_mean(power, 9 if how == "windows" else 17)
            if how == "global rms":
                mean = power.mean(dim=(2, 3), keepdim=True)
            strength = mean + 0.01**2 if how == "variance" else (mean + 0.01**2).sqrt()
            return detail if how == "not divided" else detail / strength

    return Wrong


register(
    Exercise(
        "2.5",
        "show the fringes",
        FringeInput,
        _pictures,
        use=_applied,
        rtol=1e-3,
        atol=1e-4,
        misconceptions=(
            Misconception(
                "The second and third plane are *differences* from green, not red and blue.",
                _fringes("raw"),
            ),
            Misconception(
                "The differences count twice: 2 · (red − green).", _fringes("not doubled")
            ),
            Misconception("The sign is turned: red minus green.", _fringes("turned")),
            Misconception("Green's detail comes first.", _fringes("rgb order")),
            Misconception(
                "What is smooth is still there: take off the 9 × 9 mean.", _fringes("flat")
            ),
            Misconception(
                "The mean to take off is that of the neighbourhood, not of the whole patch.",
                _fringes("global mean"),
            ),
            Misconception(
                "The detail is not yet in units of its strength.", _fringes("not divided")
            ),
            Misconception(
                "The strength is a local one, in a 17 × 17 window: weak edges are to count as much "
                "as strong ones.",
                _fringes("global rms"),
            ),
            Misconception(
                "Each plane is divided by its own strength, and a fringe's size is lost. Divide "
                "all by green's.",
                _fringes("own"),
            ),
            Misconception("That is a variance; the strength is its root.", _fringes("variance")),
            Misconception(
                "The windows are swapped: 9 for the mean, 17 for the strength.", _fringes("windows")
            ),
        ),
    )
)


# 2.6


def _maps(rng: Rng) -> Trials:
    for _ in range(3):
        n, c, h, w = (int(k) for k in rng.integers(2, 7, 4))
        maps = rng.normal(0.5, 1, (n, c, h, w + h)).astype(np.float32)
        yield (torch.from_numpy(maps),)


def _products(features: Tensor) -> Tensor:
    return (features[:, :, None] * features[:, None]).mean(dim=(3, 4))


def _pooled(how: str) -> Rule:
    def model(features: Tensor) -> Tensor:
        flat = features.flatten(2)
        mean = flat.mean(dim=2)
        if how == "means":
            return mean[:, :, None] * mean[:, None]
        if how == "centred":
            flat = flat - mean[..., None]
        if how == "pixels":
            return flat.mT @ flat / flat.shape[1]
        if how == "batch":
            return torch.einsum("ncp,ndp->cd", flat, flat) / (flat.shape[0] * flat.shape[2])
        size = {"sum": 1, "channels": flat.shape[1]}.get(how, flat.shape[2])
        return flat @ flat.mT / size

    return model


register(
    Exercise(
        "2.6",
        "averages of products",
        bilinear_pool,
        _maps,
        oracle=_products,
        rtol=1e-4,
        atol=1e-5,
        misconceptions=(
            Misconception(
                "This is the product of the averages; we want the average of the products.",
                _pooled("means"),
            ),
            Misconception("This is the sum over pixels: divide by their number.", _pooled("sum")),
            Misconception("Divide by the number of pixels, not of maps.", _pooled("channels")),
            Misconception(
                "The means are taken off first here, which makes it a covariance. We want the "
                "plain products.",
                _pooled("centred"),
            ),
            Misconception(
                "This compares pixels with pixels. Sum over pixels, and keep maps by maps.",
                _pooled("pixels"),
            ),
            Misconception("Each patch of the batch has a matrix of its own.", _pooled("batch")),
        ),
    )
)


# 2.7


def _votes(rng: Rng) -> Trials:
    for bins in (3, 4, 5, 10):
        n = int(rng.integers(4, 8)) * bins + int(rng.integers(bins))
        scores = rng.normal(0, rng.uniform(0.5, 3, (n, 1)), (n, PATCHES))
        votes = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        cells = np.where(rng.random(n) < 0.5, votes.argmax(axis=1), rng.integers(PATCHES, size=n))
        yield (votes, cells) if bins == 10 else (votes, cells, bins)


def _binned(how: str) -> Rule:
    def model(votes: np.ndarray, cells: np.ndarray, bins: int = 10) -> Any:
        confidence, right = votes.max(axis=1), votes.argmax(axis=1) == cells
        if how == "true cell":
            confidence = votes[np.arange(len(cells)), cells]
        order = np.argsort(confidence, kind="stable")
        if how == "unsorted":
            order = np.arange(len(cells))
        elif how == "descending":
            order = order[::-1]
        parts = np.array_split(order, bins)
        if how == "equal widths":
            edges = np.linspace(confidence.min(), confidence.max(), bins + 1)[1:-1]
            place = np.digitize(confidence, edges)
            parts = [np.flatnonzero(place == k) for k in range(bins)]
        stated = np.array([confidence[part].mean() for part in parts])
        reached = np.array([right[part].mean() for part in parts])
        count = np.array([len(part) for part in parts])
        if how == "cumulative":
            reached = np.cumsum(reached * count) / np.cumsum(count)
        return (reached, stated, count) if how == "swapped" else (stated, reached, count)

    return model


register(
    Exercise(
        "2.7",
        "accuracy against confidence",
        accuracy_by_confidence,
        _votes,
        oracle=_binned(""),
        misconceptions=(
            Misconception(
                "Confidence is the highest vote, not the vote for the true cell, which a reader of "
                "unknown patches cannot look up.",
                _binned("true cell"),
            ),
            Misconception("Sort the patches by confidence first.", _binned("unsorted")),
            Misconception("Least confident first, please.", _binned("descending")),
            Misconception(
                "Bins hold equally many patches; they are not equally wide.",
                _binned("equal widths"),
            ),
            Misconception(
                "Each bin has an accuracy of its own, not one from the start.",
                _binned("cumulative"),
            ),
            Misconception(
                "The two are swapped: confidence first, then accuracy.", _binned("swapped")
            ),
        ),
    )
)
