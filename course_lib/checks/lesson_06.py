"""Checks of the exercises of lesson 06, no way to crop."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from course_lib.geometry import FULL, Box
from course_lib.judges import QualityControl, adversarial_losses
from course_lib.rwn.match import SMALLEST, TOLERANCE, Match, decide, fit_frame, ncc, stretched
from course_lib.rwn.tamper import FAINT, NEIGHBOURHOOD, likeness, local_mean
from course_lib.teach.check import Exercise, Misconception, register

Rng = np.random.Generator
Trials = Iterator[tuple[Any, ...]]


def _box(rng: Rng, low: float = 0.4) -> Box:
    size = rng.uniform(low, 0.9, 2)
    x, y = rng.uniform(0, 1 - size)
    return Box(x, y, x + size[0], y + size[1])


# 6.1

NUMBERS = "numbers in a checkpoint"


def _batches(rng: Rng) -> Trials:
    """Draw how good protected pictures were, batch by batch, and how good they should be."""
    for count in (1, 2, 3, 4, 6):
        target = float(rng.uniform(32, 42))
        # Near and far from the target, and where slips in the decibels come near it.
        middle = target * rng.choice([1, 1, 1 / 2, 1 / np.log(10)])
        psnrs = middle + rng.uniform(-0.35, 0.35, count)
        if rng.random() < 0.4:
            psnrs = target + rng.choice([-1, 1]) * rng.uniform(3, 9, count)
        mses = [float(10 ** (-psnr / 10)) for psnr in psnrs]
        yield float(rng.uniform(2, 60)), mses, target, float(rng.uniform(0.02, 0.2))


def _controlled(
    answer: Callable[..., Any], weight: float, mses: list[float], target: float, gain: float
) -> dict[str, Any]:
    """Run a controller over some batches: its weights, and how much of it a checkpoint keeps."""
    control = answer(weight)
    weights = [float(control(torch.tensor(mse), target, gain)) for mse in mses]
    return {"weights": weights, NUMBERS: len(control.state_dict())}


def _controlled_by_loop(
    weight: float, mses: list[float], target: float, gain: float
) -> dict[str, Any]:
    weights: list[float] = []
    running = None
    for mse in mses:
        psnr = -10 * np.log10(max(mse, 1e-8))
        running = psnr if running is None else 0.95 * running + 0.05 * psnr
        weight *= np.exp(gain * min(max(target - running, -1), 1))
        weights.append(float(weight))
    return {"weights": weights, NUMBERS: 2}


def _controller(how: str) -> Callable[[float], nn.Module]:
    """Make the class of a controller that has one thing wrong."""

    class Wrong(nn.Module):
        log_weight: Tensor
        running: Tensor

        def __init__(self, weight: float = 20.0) -> None:
            super().__init__()
            self.first = float(np.log(weight))
            self.register_buffer("log_weight", torch.tensor(self.first))
            start = 0.0 if how == "from zero" else float("nan")
            self.register_buffer("running", torch.tensor(start))

        @torch.no_grad()
        def forward(self, mse: Tensor, target: float, gain: float = 0.02) -> Tensor:
            psnr = -10 * (mse.log() if how == "natural" else mse.log10())
            psnr = 2 * psnr if how == "amplitude" else psnr
            kept = 0.05 if how == "turned" else 0.95
            settled = kept * self.running + (1 - kept) * psnr
            fresh = self.running.isnan() | torch.tensor(how == "instant")
            self.running = torch.where(fresh, psnr, settled)
            step = target - self.running
            step = -step if how == "sign" else step
            change = gain * (step if how == "free" else step.clip(-1, 1))
            before = self.log_weight.clone()
            if how == "forgets":
                self.log_weight.fill_(self.first)
            if how == "linear":
                self.log_weight = (self.log_weight.exp() + change).log()
            else:
                self.log_weight += change
            answer = before if how == "late" else self.log_weight
            return answer if how == "logarithm" else answer.exp()

    return Wrong


def _only_state_differs(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
    return bool(
        np.allclose(got["weights"], expected["weights"], rtol=1e-4)
        and got[NUMBERS] != expected[NUMBERS]
    )


register(
    Exercise(
        "6.1",
        "keep the quality where it should be",
        QualityControl,
        _batches,
        oracle=_controlled_by_loop,
        use=_controlled,
        rtol=1e-4,
        misconceptions=(
            Misconception(
                "The sign is turned round. A picture that is not good enough needs *more* weight.",
                _controller("sign"),
            ),
            Misconception(
                "Far from the target this leaps. Clip the difference to ±1 dB before `gain`.",
                _controller("free"),
            ),
            Misconception(
                "One batch decides everything here. Steer by the running mean: 0.95 of what it "
                "was, 0.05 of what is new.",
                _controller("instant"),
            ),
            Misconception(
                "The running mean begins at 0 and needs a hundred batches to catch up. Let the "
                "first batch be its first value.",
                _controller("from zero"),
            ),
            Misconception(
                "The two shares of the running mean are exchanged: old 0.95, new 0.05.",
                _controller("turned"),
            ),
            Misconception("Decibels take the logarithm to base 10.", _controller("natural")),
            Misconception(
                "10 · log10 belongs to *squared* errors, and 20 · log10 to their root. This is "
                "given the square.",
                _controller("amplitude"),
            ),
            Misconception(
                "Update first, then answer: the weight is for this batch.", _controller("late")
            ),
            Misconception(
                "This returns the logarithm of the weight: take `exp` of it.",
                _controller("logarithm"),
            ),
            Misconception(
                "Steps of a fixed size are too large for small weights and too small for large "
                "ones. Add to the *logarithm* of the weight.",
                _controller("linear"),
            ),
            Misconception(
                "Every step begins at the first weight again. Keep what was reached.",
                _controller("forgets"),
            ),
            Misconception(
                "The weights are right, but a training that is interrupted would forget them: "
                "`register_buffer` makes both numbers part of a checkpoint.",
                when=_only_state_differs,
            ),
        ),
    )
)


# 6.2

PARTS = "judge", "fool"


def _games(rng: Rng) -> Trials:
    for _ in range(5):
        yield int(rng.integers(2**31)), int(rng.integers(1, 4)), int(rng.integers(5, 9))


def _judge(generator: torch.Generator) -> nn.Module:
    """Make a small discriminator whose answers are neither 0 nor 1."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 1))
    for parameter in network.parameters():
        values = torch.randn(parameter.shape, generator=generator)
        parameter.data = 0.6 * values / max(parameter[0].numel(), 1) ** 0.5 + 0.15
    return network


def _played(answer: Callable[..., Any], seed: int, count: int, side: int) -> dict[str, Any]:
    """Judge a few pictures: both losses, and whom each of them teaches."""
    generator = torch.Generator().manual_seed(seed)
    network = _judge(generator)
    real = torch.rand(count, 3, side, side, generator=generator)
    change = 0.3 * torch.randn(real.shape, generator=generator)
    fake = (real + change).requires_grad_()
    losses = dict(zip(PARTS, answer(network, real, fake), strict=True))
    report = {name: float(loss.detach()) for name, loss in losses.items()}
    for name, loss in losses.items():
        inputs: dict[str, list[Any]] = {
            "discriminator": list(network.parameters()),
            "hider": [fake],
        }
        for whom, leaves in inputs.items():
            report[f"{name} teaches the {whom}"] = _slope(loss, leaves)
    report["still trainable"] = all(one.requires_grad for one in network.parameters())
    return report


def _slope(loss: Tensor, leaves: list[Any]) -> float:
    """Size of a loss's gradient by some leaves; 0 where none arrives."""
    leaves = [leaf for leaf in leaves if leaf.requires_grad]
    if not (leaves and loss.requires_grad):
        return 0.0
    slopes = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
    return float(sum((s**2).sum() for s in slopes if s is not None)) ** 0.5


def _frozen(network: nn.Module, pictures: Tensor) -> Tensor:
    weights = {name: value.detach() for name, value in network.named_parameters()}
    found: Tensor = functional_call(network, weights, (pictures,))
    return found


def _losses(how: str) -> Callable[..., tuple[Tensor, Tensor]]:
    def model(discriminator: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        seen, made = discriminator(real), discriminator(fake.detach())
        passed = _frozen(discriminator, fake)
        if how == "cross-entropy":
            ask = functional.binary_cross_entropy_with_logits
            one, zero, other = torch.ones_like(seen), torch.zeros_like(made), torch.ones_like(made)
            return ask(seen, one) + ask(made, zero), ask(passed, other)
        if how == "absolute":
            return (seen - 1).abs().mean() + made.abs().mean(), (passed - 1).abs().mean()
        if how == "swapped":
            return (seen**2).mean() + ((made - 1) ** 2).mean(), (passed**2).mean()
        if how == "summed":
            return ((seen - 1) ** 2).sum() + (made**2).sum(), ((passed - 1) ** 2).sum()
        judge = ((seen - 1) ** 2).mean() + (made**2).mean()
        if how == "halved":
            judge = judge / 2
        elif how == "real alone":
            judge = ((seen - 1) ** 2).mean()
        elif how == "fake alone":
            judge = (made**2).mean()
        fool = (passed**2).mean() if how == "fool at 0" else ((passed - 1) ** 2).mean()
        if how == "negative":
            fool = -judge
        return (fool, judge) if how == "turned" else (judge, fool)

    return model


def _teaches(key: str, wanted: bool) -> Callable[..., bool]:
    """Notice a loss that teaches whom it should not, or not whom it should."""
    return lambda args, got, expected: (got[key] > 0) == wanted != (expected[key] > 0)


register(
    Exercise(
        "6.2",
        "judge and be judged",
        adversarial_losses,
        _games,
        use=_played,
        rtol=1e-4,
        atol=1e-6,
        misconceptions=(
            Misconception(
                "The labels are exchanged: 1 stands for a real picture, 0 for a protected one.",
                _losses("swapped"),
            ),
            Misconception("First what the judge minimises, then what fools it.", _losses("turned")),
            Misconception(
                "That is the cross-entropy of the first such games. Least squares ask for "
                "(D − 1)² and D².",
                _losses("cross-entropy"),
            ),
            Misconception("*Squares* are asked for, not absolute values.", _losses("absolute")),
            Misconception(
                "Average over places and pictures, or larger pictures would count for more.",
                _losses("summed"),
            ),
            Misconception(
                "Both terms of the judge's loss have their full weight here: no half.",
                _losses("halved"),
            ),
            Misconception(
                "A judge that sees real pictures only calls everything real. Add the term for the "
                "protected ones.",
                _losses("real alone"),
            ),
            Misconception(
                "A judge that sees protected pictures only calls nothing real. Add the term for "
                "the originals.",
                _losses("fake alone"),
            ),
            Misconception(
                "Whoever hides wants to be taken for real, so that the judge says 1.",
                _losses("fool at 0"),
            ),
            Misconception(
                "To fool is not the opposite of judging: it has a target of its own, D = 1.",
                _losses("negative"),
            ),
            Misconception(
                "The judge's loss has a gradient by the protected picture, which would teach the "
                "network that hides to be found out. `detach` that picture.",
                when=_teaches("judge teaches the hider", True),
            ),
            Misconception(
                "What fools the judge teaches nobody: its gradient must pass through the judge "
                "into the picture, so do not detach that.",
                when=_teaches("fool teaches the hider", False),
            ),
            Misconception(
                "Afterwards the judge cannot learn any more: its parameters no longer require "
                "gradients.",
                when=lambda args, got, expected: not got["still trainable"],
            ),
            Misconception(
                "The second loss teaches the judge to be fooled. Its gradient may pass *through* "
                "the judge, not into its weights.",
                when=_teaches("fool teaches the discriminator", True),
            ),
        ),
    )
)


# 6.3


def _extracted(rng: Rng) -> Trials:
    """Draw watermarks, and crops of them under noise, with every kind of weight."""
    for kind in ("none", "bool", "float", "none", "bool", "float", "flat"):
        watermark = rng.random(tuple(rng.integers(8, 17, 2)))
        shape = tuple(int(side) for side in rng.integers(6, 15, 2))
        box = FULL if rng.random() < 0.2 else _box(rng)
        noise = rng.uniform(0.02, 0.3) * rng.standard_normal(shape)
        gain = rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 2)
        seen = gain * stretched(watermark, box, shape) + rng.uniform(0.2, 1) + noise
        if kind == "flat":
            seen = np.full(shape, 0.5)
        weight = {"bool": rng.random(shape) < 0.6, "float": rng.random(shape)}.get(kind)
        yield seen, watermark, box, weight


def _ncc_by_covariance(
    seen: np.ndarray, watermark: np.ndarray, box: Box = FULL, valid: np.ndarray | None = None
) -> float:
    if np.ptp(seen) == 0:
        return 0.0
    there = stretched(watermark, box, seen.shape)
    weight = None if valid is None else valid.astype(float).ravel()
    matrix = np.cov(seen.ravel(), there.ravel(), aweights=weight, ddof=0)
    return float(matrix[0, 1] / np.sqrt(matrix[0, 0] * matrix[1, 1]))


def _correlated(how: str) -> Callable[..., float]:
    def model(
        seen: np.ndarray, watermark: np.ndarray, box: Box = FULL, valid: np.ndarray | None = None
    ) -> float:
        if np.ptp(seen) == 0 and how != "flat":
            return 0.0
        weight = np.ones(seen.shape) if valid is None else valid.astype(float)
        weight = np.ones(seen.shape) if how == "unweighted" else weight
        there = stretched(watermark, FULL if how == "whole" else box, seen.shape)
        even = np.ones(seen.shape) if how == "plain mean" else weight
        a = seen - np.average(seen, weights=even)
        b = there - np.average(there, weights=even)
        if how == "not centred":
            a, b = seen, there
        if how == "twice":
            a, b, weight = weight * a, weight * b, np.ones(seen.shape)
        shared = (weight * a * b).sum()
        if how == "covariance":
            return float(shared / weight.sum())
        found = shared / np.sqrt((weight * a * a).sum() * (weight * b * b).sum())
        scale = {"absolute": np.sign(found), "squared": found, "area": box.area}.get(how, 1.0)
        return float(scale * found)

    return model


register(
    Exercise(
        "6.3",
        "how alike are two watermarks",
        ncc,
        _extracted,
        oracle=_ncc_by_covariance,
        rtol=1e-4,
        atol=1e-6,
        misconceptions=(
            Misconception(
                "Subtract the means first, or any two bright pictures are alike.",
                _correlated("not centred"),
            ),
            Misconception(
                "What is not valid still counts. Every sum takes the weights.",
                _correlated("unweighted"),
            ),
            Misconception(
                "The means must be weighted too: pixels that are left out must not move them.",
                _correlated("plain mean"),
            ),
            Misconception(
                "Each weight counts twice here. Multiply the *products* by it, not both factors.",
                _correlated("twice"),
            ),
            Misconception(
                "This compares with the whole watermark: stretch its `box` to the shape of what is "
                "seen.",
                _correlated("whole"),
            ),
            Misconception(
                "This is a covariance, which grows with contrast. Divide by the root of the "
                "product of both powers.",
                _correlated("covariance"),
            ),
            Misconception(
                "No box is better for being large: weighing by area makes every frame too large.",
                _correlated("area"),
            ),
            Misconception(
                "The opposite of the watermark is not the watermark: keep the sign.",
                _correlated("absolute"),
            ),
            Misconception("Do not square the correlation.", _correlated("squared")),
            Misconception(
                "A flat picture has no power to divide by. Say that it is like nothing: 0.",
                when=lambda args, got, expected: not np.isfinite(got),
            ),
        ),
    )
)


# 6.4

ROUNDS = 120
FAR = 0.12


def _pairs(rng: Rng) -> Trials:
    """Draw pairs of points: some obey one frame, others do not, in several ways."""
    for kind in ("outliers", "outliers", "one axis", "decoy", "turned decoy", "exact", "hopeless"):
        count = int(rng.integers(10, 16))
        scale = rng.uniform(0.45, 0.9, 2)
        shift = rng.uniform(0, 1 - scale)
        seen = _scattered(rng, count)
        whole = scale * seen + shift + rng.uniform(-0.2, 0.2, (count, 2)) * TOLERANCE
        others = _scattered(rng, count - 3)
        if kind == "exact":
            off = np.empty((0, 2))
            others = off
        elif kind == "one axis":  # right across, wrong down, or the other way round
            off = scale * others + shift
            off[:, rng.integers(2)] += rng.choice([-1, 1], len(others)) * rng.uniform(FAR, 0.3)
            off += rng.uniform(-0.02, 0.02, off.shape) * (off - (scale * others + shift) != 0)
        elif kind == "decoy":  # a frame of more pairs than the true one, but larger than the whole
            others = _scattered(rng, count + 4)
            off = rng.uniform(1.15, 1.4, 2) * others + rng.uniform(-0.3, -0.2, 2)
        elif kind == "turned decoy":  # the same, mirrored
            others = _scattered(rng, count + 4)
            off = np.array([-0.7, 0.7]) * others + (0.9, 0.1)
        else:
            off = scale * others + shift
            sign = rng.choice([-1, 1], off.shape)
            off = off + sign * rng.uniform(FAR, 0.5, off.shape)
        if kind == "hopeless":
            seen, whole = np.array([[0.1, 0.2], [0.9, 0.8]]), np.array([[0.9, 0.1], [0.1, 0.9]])
            others, off = np.empty((0, 2)), np.empty((0, 2))
        order = rng.permutation(len(seen) + len(others))
        seed = int(rng.integers(2**31))
        yield np.vstack([seen, others])[order], np.vstack([whole, off])[order], seed


def _scattered(rng: Rng, count: int) -> np.ndarray:
    """Points that are not near each other on either axis, so that any two settle a scale."""
    places = [(rng.permutation(count) + rng.uniform(0.3, 0.7, count)) / count for _ in range(2)]
    return np.stack(places, axis=1)


def _fitted(answer: Callable[..., Any], seen: np.ndarray, whole: np.ndarray, seed: int) -> Any:
    """Fit with a generator of its own."""
    scale, shift, agrees = answer(seen, whole, np.random.default_rng(seed), ROUNDS)
    return {"scale": scale, "shift": shift, "agrees": agrees}


def _fit_all_pairs(seen: np.ndarray, whole: np.ndarray, seed: int) -> dict[str, Any]:
    """Try every pair of pairs in turn: what chance cannot do better."""
    best = np.zeros(len(seen), bool)
    for i in range(len(seen)):
        for j in range(i):
            apart = seen[i] - seen[j]
            if np.abs(apart).min() < TOLERANCE:
                continue
            scale = (whole[i] - whole[j]) / apart
            if scale.min() < SMALLEST or scale.max() > 1 + TOLERANCE:
                continue
            off = np.abs(scale * (seen - seen[i]) + whole[i] - whole).max(axis=1)
            if (off < TOLERANCE).sum() > best.sum():
                best = off < TOLERANCE
    if best.sum() < 2:
        return {"scale": np.ones(2), "shift": np.zeros(2), "agrees": best}
    ones = np.ones(best.sum())
    columns = [
        np.linalg.lstsq(np.stack([seen[best, k], ones], axis=1), whole[best, k], rcond=None)[0]
        for k in range(2)
    ]
    scale, shift = np.array(columns).T
    return {"scale": scale, "shift": shift, "agrees": best}


def _frames(how: str) -> Callable[..., Any]:
    """Make a RANSAC that has one thing wrong."""

    def model(
        seen: np.ndarray, whole: np.ndarray, rng: Rng, rounds: int = 1000
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if how == "backwards":
            seen, whole = whole, seen
        agrees, best = np.zeros(len(seen), bool), (np.ones(2), np.zeros(2))
        for _ in range(0 if how == "everybody" else rounds):
            i, j = rng.choice(len(seen), 2, replace=False)
            apart = seen[j] - seen[i]
            if np.abs(apart).min() < TOLERANCE / 10:
                continue
            scale = (whole[j] - whole[i]) / apart
            shift = whole[i] - scale * seen[i]
            gap = np.abs(scale * seen + shift - whole)
            off = gap.min(axis=1) if how == "either" else gap.max(axis=1)
            possible = scale.min() >= SMALLEST and scale.max() <= 1 + TOLERANCE
            if how in ("anything", "backwards"):
                possible = True
            elif how == "larger":
                possible = scale.min() >= SMALLEST
            better = (off < TOLERANCE).sum() > agrees.sum()
            if possible and (better or how == "last"):
                agrees, best = off < TOLERANCE, (scale, shift)
        if how == "everybody":
            agrees = np.ones(len(seen), bool)
        if agrees.sum() < 2 or how == "two":
            return (*best, agrees)
        if how == "one scale":
            a = seen[agrees] - seen[agrees].mean(0)
            b = whole[agrees] - whole[agrees].mean(0)
            scale = np.full(2, (a * b).sum() / (a * a).sum())
            return scale, whole[agrees].mean(0) - scale * seen[agrees].mean(0), agrees
        fits = [np.polyfit(seen[agrees, axis], whole[agrees, axis], 1) for axis in (0, 1)]
        scale, shift = np.array(fits).T
        return (shift, scale, agrees) if how == "exchanged" else (scale, shift, agrees)

    return model


def _not_refitted(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
    same = np.array_equal(got["agrees"], expected["agrees"])
    near = np.abs(got["scale"] - expected["scale"]).max() < 0.1
    return bool(same and near and expected["agrees"].sum() > 2)


def _far_off(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
    """Pairs count as agreeing although they lie far off the frame that came of them."""
    seen, whole, _ = args
    off = np.abs(got["scale"] * seen + got["shift"] - whole).max(axis=1)[got["agrees"]]
    return bool((off > 2 * TOLERANCE).mean() > 0.2)


def _too_few(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
    return bool(got["agrees"].sum() < expected["agrees"].sum())


register(
    Exercise(
        "6.4",
        "a frame that most pairs agree with",
        fit_frame,
        _pairs,
        oracle=_fit_all_pairs,
        use=_fitted,
        rtol=1e-5,
        atol=1e-7,
        misconceptions=(
            Misconception(
                "This fits all pairs at once, and the wrong ones pull it away. Try frames of two "
                "pairs, and count how many others agree.",
                _frames("everybody"),
            ),
            Misconception(
                "This maps the whole picture into the crop. Asked for is x' = a x + b with x in "
                "the *crop*.",
                _frames("backwards"),
            ),
            Misconception("The scale is returned first, then the shift.", _frames("exchanged")),
            Misconception(
                "One scale for both axes is too strict: a crop is stretched to full size, across "
                "and down by factors of their own.",
                _frames("one scale"),
            ),
            Misconception(
                "A crop shows at least SMALLEST of the picture and no more than all of it. Frames "
                "that turn it over, or are larger, cannot win however many agree.",
                _frames("anything"),
            ),
            Misconception(
                "A crop cannot show more than the whole picture: scales stay below 1 + TOLERANCE.",
                _frames("larger"),
            ),
            Misconception(
                "A pair agrees when it is near on *both* axes: take the larger of its two errors.",
                when=_far_off,
            ),
            Misconception(
                "Two pairs make a frame, but all that agree make it precise: fit a line through "
                "them on each axis at the end.",
                when=_not_refitted,
            ),
            Misconception(
                "Keep a frame only if *more* pairs agree with it than with the best so far.",
                when=_too_few,
            ),
        ),
    )
)


# 6.5


def _matches(rng: Rng) -> Trials:
    """Draw every kind of box with every kind of score."""
    for score in ("too low", "enough", "ample"):
        for kind in ("whole", "narrow", "low", "both", "all but whole"):
            present, whole = float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.85, 0.98))
            full, cut = rng.uniform(whole, 1, 2), whole * rng.uniform(0.6, 0.95, 2)
            if kind == "all but whole":  # each side is large enough, their product is not
                full[:] = whole + (1 - whole) * rng.uniform(0, 0.3)
            width = cut[0] if kind in ("narrow", "both") else full[0]
            height = cut[1] if kind in ("low", "both") else full[1]
            found = {"too low": rng.uniform(-0.2, -0.01), "enough": 0.0}.get(score)
            found = rng.uniform(0.05, 0.4) if found is None else found
            left, top = rng.random(2) * (1 - np.array([width, height]))
            box = Box(left, top, left + width, top + height)
            yield Match(box, present + float(found), float(rng.uniform(0.05, 0.6))), present, whole


def _decided(how: str) -> Callable[..., str]:
    def model(match: Match, present: float = 0.5, whole: float = 0.97) -> str:
        if how == "fixed":
            present, whole = 0.37, 0.97
        sides = match.box.width, match.box.height
        size = {"largest": max(sides), "area": match.box.area, "width": sides[0]}.get(
            how, min(sides)
        )
        lead = match.score - match.runner_up if how == "lead" else match.score
        missing = lead <= present if how == "strict" else lead < present
        if how == "order":
            return "not cropped" if size >= whole else "no watermark" if missing else "cropped"
        if missing and how != "never":
            return "cropped" if how == "blames" else "no watermark"
        return "not cropped" if size >= whole else "cropped"

    return model


register(
    Exercise(
        "6.5",
        "what to say",
        decide,
        _matches,
        misconceptions=(
            Misconception(
                "Ask first whether there is a watermark at all: without one any box is an "
                "accident, also the whole one.",
                _decided("order"),
            ),
            Misconception(
                "Where no watermark was found nothing can be said about cropping. This always "
                "says something.",
                _decided("never"),
            ),
            Misconception(
                "A missing watermark is no sign of a crop: most pictures never had one.",
                _decided("blames"),
            ),
            Misconception(
                "One side may be cut while the other is whole: the *smaller* of both decides.",
                _decided("largest"),
            ),
            Misconception(
                "Only the width is looked at; a crop may take from the height alone.",
                _decided("width"),
            ),
            Misconception("`whole` is a bound for each side, not for the area.", _decided("area")),
            Misconception(
                "The score itself is compared with `present`, without the runner-up.",
                _decided("lead"),
            ),
            Misconception("The bounds are arguments: use those.", _decided("fixed")),
            Misconception(
                "A score of exactly `present` is enough: only what is below it is too little.",
                _decided("strict"),
            ),
        ),
    )
)


# 6.6


def _forged(rng: Rng) -> Trials:
    """Draw extracted watermarks of which a part is something else, and flat places in both."""
    for _ in range(5):
        watermark = _texture(rng, tuple(int(side) for side in rng.integers(30, 48, 2)))
        shape = tuple(int(side) for side in rng.integers(28, 44, 2))
        box = FULL if rng.random() < 0.2 else _box(rng, 0.6)
        found = stretched(watermark, box, shape) + 0.03 * rng.standard_normal(shape)
        found[:, : shape[1] // 3] = _texture(rng, shape)[:, : shape[1] // 3]
        found[-(shape[0] // 3) :] = 0.5 + 0.01 * rng.standard_normal(shape[1])
        yield found.astype(np.float32), watermark, box, float(rng.uniform(1.5, 3))


def _texture(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    noise = gaussian_filter(rng.standard_normal(shape), 1.5)
    return np.asarray((0.5 + 0.2 * noise / noise.std()).clip(0, 1), np.float32)


def _likeness_by_scipy(
    found: np.ndarray, watermark: np.ndarray, box: Box = FULL, sigma: float = NEIGHBOURHOOD
) -> np.ndarray:
    def mean(values: np.ndarray, by: float) -> np.ndarray:
        return np.asarray(gaussian_filter(values, by, mode="reflect", truncate=4.2))

    a, b = (x.astype(np.float64) for x in (found, stretched(watermark, box, found.shape)))
    a, b = a - mean(a, 3 * sigma), b - mean(b, 3 * sigma)
    powers = (mean(a**2, sigma) + FAINT**2) * (mean(b**2, sigma) + FAINT**2)
    return (mean(a * b, sigma) / powers**0.5).astype(np.float32)


def _alike(how: str) -> Callable[..., Any]:
    def model(
        found: np.ndarray, watermark: np.ndarray, box: Box = FULL, sigma: float = NEIGHBOURHOOD
    ) -> Any:
        box = FULL if how == "whole" else box
        sigma = NEIGHBOURHOOD if how == "fixed" else sigma
        truth = stretched(watermark, box, found.shape).astype(np.float32)
        wide = sigma if how == "narrow" else 3 * sigma
        a, b = (x.astype(np.float32) for x in (found, truth))
        if how == "one mean":
            a, b = a - a.mean(), b - b.mean()
        elif how != "not centred":
            a, b = a - local_mean(a, wide), b - local_mean(b, wide)
        if how == "everywhere":
            return float((a * b).mean() / np.sqrt((a * a).mean() * (b * b).mean()))
        floor = {"no floor": 1e-12, "coarse floor": FAINT}.get(how, FAINT**2)
        shared = local_mean(a * b, sigma)
        if how == "apart":
            shared = local_mean(a, sigma) * local_mean(b, sigma)
        if how == "covariance":
            return shared
        return shared / np.sqrt(
            (local_mean(a * a, sigma) + floor) * (local_mean(b * b, sigma) + floor)
        )

    return model


register(
    Exercise(
        "6.6",
        "alike, place by place",
        likeness,
        _forged,
        oracle=_likeness_by_scipy,
        rtol=2e-3,
        atol=2e-3,
        misconceptions=(
            Misconception(
                "Where both are flat this compares noise with noise. Add FAINT² to both powers.",
                _alike("no floor"),
            ),
            Misconception(
                "FAINT is a deviation; what is added to a power is its square.",
                _alike("coarse floor"),
            ),
            Misconception(
                "Nothing is subtracted: two bright places then look alike. Take off the local "
                "mean first.",
                _alike("not centred"),
            ),
            Misconception(
                "The mean of the whole picture says little about a place: take off the mean of "
                "its surroundings.",
                _alike("one mean"),
            ),
            Misconception(
                "A mean over the same neighbourhood takes away most of the watermark with it; "
                "that one is three times as wide.",
                _alike("narrow"),
            ),
            Misconception(
                "Average the *product*. The product of two averages is nearly nothing.",
                _alike("apart"),
            ),
            Misconception(
                "A strong place is not more alike than a faint one: divide by the root of both "
                "powers.",
                _alike("covariance"),
            ),
            Misconception(
                "The picture shows a `box` of the watermark: compare with that, stretched.",
                _alike("whole"),
            ),
            Misconception("`sigma` is an argument: use it.", _alike("fixed")),
            Misconception(
                "One number for the whole picture cannot say *where* it was changed.",
                when=lambda args, got, expected: np.ndim(got) == 0,
            ),
        ),
    )
)
