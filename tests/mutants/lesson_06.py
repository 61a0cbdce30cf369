"""Common wrong answers to the exercises of lesson 06."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.geometry import FULL
from course_lib.rwn.match import SMALLEST, TOLERANCE, Match, stretched
from course_lib.rwn.tamper import FAINT, NEIGHBOURHOOD, local_mean
from tests.mutants import Mutant


class Control(nn.Module):
    """The right controller; those below change one method of it."""

    def __init__(self, weight=20.0):
        super().__init__()
        self.register_buffer("log_weight", torch.tensor(float(np.log(weight))))
        self.register_buffer("running", torch.tensor(float("nan")))

    def decibels(self, mse):
        return 10 * torch.log10(1 / mse)

    def settle(self, psnr):
        return psnr if self.running.isnan() else self.running + 0.05 * (psnr - self.running)

    def push(self, target, gain):
        return gain * torch.clamp(target - self.running, -1, 1)

    def forward(self, mse, target, gain=0.02):
        self.running = self.settle(self.decibels(mse))
        self.log_weight = self.log_weight + self.push(target, gain)
        return torch.exp(self.log_weight)


class PushesAway(Control):
    def push(self, target, gain):
        return gain * torch.clamp(self.running - target, -1, 1)


class Leaps(Control):
    def push(self, target, gain):
        return gain * (target - self.running)


class Nervous(Control):
    def settle(self, psnr):
        return psnr


class BeginsAtZero(Control):
    def settle(self, psnr):
        return 0.95 * self.running.nan_to_num() + 0.05 * psnr


class Hasty(Control):
    def settle(self, psnr):
        return psnr if self.running.isnan() else 0.05 * self.running + 0.95 * psnr


class Natural(Control):
    def decibels(self, mse):
        return -10 * torch.log(mse)


class Twenty(Control):
    def decibels(self, mse):
        return -20 * torch.log10(mse)


class AnswersFirst(Control):
    def forward(self, mse, target, gain=0.02):
        weight = torch.exp(self.log_weight)
        super().forward(mse, target, gain)
        return weight


class Logarithmic(Control):
    def forward(self, mse, target, gain=0.02):
        super().forward(mse, target, gain)
        return self.log_weight


class Adds(Control):
    def forward(self, mse, target, gain=0.02):
        self.running = self.settle(self.decibels(mse))
        weight = self.log_weight.exp() + self.push(target, gain)
        self.log_weight = weight.log()
        return weight


class Forgetful(Control):
    def forward(self, mse, target, gain=0.02):
        self.running = self.settle(self.decibels(mse))
        return torch.exp(self.log_weight + self.push(target, gain))


class Unsaved:
    """No buffers at all: plain numbers."""

    def __init__(self, weight=20.0):
        self.weight, self.running = weight, None

    def state_dict(self):
        return {}

    def __call__(self, mse, target, gain=0.02):
        psnr = -10 * np.log10(float(mse))
        self.running = psnr if self.running is None else 0.95 * self.running + 0.05 * psnr
        self.weight *= np.exp(gain * np.clip(target - self.running, -1, 1))
        return self.weight


def _passed(discriminator, fake):
    """Look at a picture with a copy that does not learn."""
    weights = {name: value.detach() for name, value in discriminator.named_parameters()}
    return torch.func.functional_call(discriminator, weights, (fake,))


def _towards(found, goal):
    return F.mse_loss(found, torch.full_like(found, goal))


def judge_swapped(discriminator, real, fake):
    judge = _towards(discriminator(real), 0.0) + _towards(discriminator(fake.detach()), 1.0)
    return judge, _towards(_passed(discriminator, fake), 0.0)


def judge_after_fool(discriminator, real, fake):
    judge = _towards(discriminator(real), 1.0) + _towards(discriminator(fake.detach()), 0.0)
    return _towards(_passed(discriminator, fake), 1.0), judge


def judge_by_entropy(discriminator, real, fake):
    seen, made = discriminator(real), discriminator(fake.detach())
    judge = F.softplus(-seen).mean() + F.softplus(made).mean()
    return judge, F.softplus(-_passed(discriminator, fake)).mean()


def judge_absolute(discriminator, real, fake):
    judge = (1 - discriminator(real)).abs().mean() + discriminator(fake.detach()).abs().mean()
    return judge, (1 - _passed(discriminator, fake)).abs().mean()


def judge_summed(discriminator, real, fake):
    judge = (discriminator(real) - 1).square().sum() + discriminator(fake.detach()).square().sum()
    return judge, (_passed(discriminator, fake) - 1).square().sum()


def judge_halved(discriminator, real, fake):
    judge = _towards(discriminator(real), 1.0) + _towards(discriminator(fake.detach()), 0.0)
    return judge / 2, _towards(_passed(discriminator, fake), 1.0)


def judge_of_real(discriminator, real, fake):
    return _towards(discriminator(real), 1.0), _towards(_passed(discriminator, fake), 1.0)


def judge_of_fake(discriminator, real, fake):
    judge = _towards(discriminator(fake.detach()), 0.0)
    return judge, _towards(_passed(discriminator, fake), 1.0)


def judge_fooled_at_zero(discriminator, real, fake):
    judge = _towards(discriminator(real), 1.0) + _towards(discriminator(fake.detach()), 0.0)
    return judge, _towards(_passed(discriminator, fake), 0.0)


def judge_and_opposite(discriminator, real, fake):
    judge = _towards(discriminator(real), 1.0) + _towards(discriminator(fake.detach()), 0.0)
    return judge, -judge


def judge_not_detached(discriminator, real, fake):
    judge = _towards(discriminator(real), 1.0) + _towards(discriminator(fake), 0.0)
    return judge, _towards(_passed(discriminator, fake), 1.0)


def judge_that_teaches_nobody(discriminator, real, fake):
    judge = _towards(discriminator(real), 1.0) + _towards(discriminator(fake.detach()), 0.0)
    return judge, _towards(_passed(discriminator, fake.detach()), 1.0)


def judge_left_frozen(discriminator, real, fake):
    judge = _towards(discriminator(real), 1.0) + _towards(discriminator(fake.detach()), 0.0)
    fool = _towards(_passed(discriminator, fake), 1.0)
    discriminator.requires_grad_(False)
    return judge, fool


def judge_taught_to_be_fooled(discriminator, real, fake):
    judge = _towards(discriminator(real), 1.0) + _towards(discriminator(fake.detach()), 0.0)
    return judge, _towards(discriminator(fake), 1.0)


def judge_by_switching(discriminator, real, fake):
    judge = _towards(discriminator(real), 1.0) + _towards(discriminator(fake.detach()), 0.0)
    discriminator.requires_grad_(False)
    fool = _towards(discriminator(fake), 1.0)
    discriminator.requires_grad_(True)
    return judge, fool


def _weights(seen, valid):
    return np.ones(seen.shape) if valid is None else valid * 1.0


def _centred(x, weight):
    return x - (weight * x).sum() / weight.sum()


def _ratio(a, b, weight):
    power = (weight * a**2).sum() * (weight * b**2).sum()
    return float((weight * a * b).sum() / np.sqrt(power)) if power > 0 else 0.0


def ncc_not_centred(seen, watermark, box=FULL, valid=None):
    if seen.std() == 0:
        return 0.0
    return _ratio(seen, stretched(watermark, box, seen.shape), _weights(seen, valid))


def ncc_of_everything(seen, watermark, box=FULL, valid=None):
    if seen.std() == 0:
        return 0.0
    there = stretched(watermark, box, seen.shape)
    return float(np.corrcoef(seen.ravel(), there.ravel())[0, 1])


def ncc_plain_means(seen, watermark, box=FULL, valid=None):
    there = stretched(watermark, box, seen.shape)
    return _ratio(seen - seen.mean(), there - there.mean(), _weights(seen, valid))


def ncc_weights_squared(seen, watermark, box=FULL, valid=None):
    weight, there = _weights(seen, valid), stretched(watermark, box, seen.shape)
    a, b = _centred(seen, weight), _centred(there, weight)
    return _ratio(a, b, weight**2)


def ncc_whole_watermark(seen, watermark, box=FULL, valid=None):
    weight, there = _weights(seen, valid), stretched(watermark, FULL, seen.shape)
    return _ratio(_centred(seen, weight), _centred(there, weight), weight)


def ncc_covariance(seen, watermark, box=FULL, valid=None):
    weight, there = _weights(seen, valid), stretched(watermark, box, seen.shape)
    return float(np.average(_centred(seen, weight) * _centred(there, weight), weights=weight))


def ncc_times_area(seen, watermark, box=FULL, valid=None):
    weight, there = _weights(seen, valid), stretched(watermark, box, seen.shape)
    return _ratio(_centred(seen, weight), _centred(there, weight), weight) * box.area


def ncc_absolute(seen, watermark, box=FULL, valid=None):
    weight, there = _weights(seen, valid), stretched(watermark, box, seen.shape)
    return abs(_ratio(_centred(seen, weight), _centred(there, weight), weight))


def ncc_squared(seen, watermark, box=FULL, valid=None):
    weight, there = _weights(seen, valid), stretched(watermark, box, seen.shape)
    return _ratio(_centred(seen, weight), _centred(there, weight), weight) ** 2


def ncc_divides_by_nothing(seen, watermark, box=FULL, valid=None):
    weight, there = _weights(seen, valid), stretched(watermark, box, seen.shape)
    a, b = _centred(seen, weight), _centred(there, weight)
    if np.ptp(seen) == 0:
        a = np.zeros_like(a)
    return (weight * a * b).sum() / np.sqrt((weight * a * a).sum() * (weight * b * b).sum())


def ncc_by_deviations(seen, watermark, box=FULL, valid=None):
    weight, there = _weights(seen, valid), stretched(watermark, box, seen.shape)
    a, b = _centred(seen, weight), _centred(there, weight)
    spreads = [np.sqrt(np.average(x**2, weights=weight)) for x in (a, b)]
    return float(np.average(a * b, weights=weight) / (np.prod(spreads) or np.inf))


def _ransac(seen, whole, rng, rounds, possible, errors, better=np.greater):
    """Look for the frame of two pairs with which most agree; both may be changed by mutants."""
    best, frame = np.zeros(len(seen), bool), (np.ones(2), np.zeros(2))
    for _ in range(rounds):
        i, j = rng.permutation(len(seen))[:2]
        apart = seen[i] - seen[j]
        if min(abs(apart)) < TOLERANCE:
            continue
        scale = (whole[i] - whole[j]) / apart
        shift = whole[j] - scale * seen[j]
        agrees = errors(abs(scale * seen + shift - whole)) < TOLERANCE
        if possible(scale) and better(agrees.sum(), best.sum()):
            best, frame = agrees, (scale, shift)
    return best, frame


def _lines(seen, whole, agrees):
    if agrees.sum() < 2:
        return np.ones(2), np.zeros(2), agrees
    a, b = seen[agrees], whole[agrees]
    middle, there = a.mean(axis=0), b.mean(axis=0)
    scale = ((a - middle) * (b - there)).sum(axis=0) / ((a - middle) ** 2).sum(axis=0)
    return scale, there - scale * middle, agrees


def _crops(scale):
    return scale.min() >= SMALLEST and scale.max() <= 1 + TOLERANCE


def _both(gaps):
    return gaps.max(axis=1)


def frame_of_all(seen, whole, rng, rounds=1000):
    return _lines(seen, whole, np.ones(len(seen), bool))


def frame_backwards(seen, whole, rng, rounds=1000):
    agrees, _ = _ransac(whole, seen, rng, rounds, lambda scale: True, _both)
    return _lines(whole, seen, agrees)


def frame_shift_first(seen, whole, rng, rounds=1000):
    agrees, _ = _ransac(seen, whole, rng, rounds, _crops, _both)
    scale, shift, agrees = _lines(seen, whole, agrees)
    return shift, scale, agrees


def frame_of_one_scale(seen, whole, rng, rounds=1000):
    agrees, _ = _ransac(seen, whole, rng, rounds, _crops, _both)
    if agrees.sum() < 2:
        return np.ones(2), np.zeros(2), agrees
    a, b = seen[agrees], whole[agrees]
    a0, b0 = a - a.mean(axis=0), b - b.mean(axis=0)
    scale = np.full(2, (a0 * b0).sum() / (a0**2).sum())
    return scale, b.mean(axis=0) - scale * a.mean(axis=0), agrees


def frame_of_any_kind(seen, whole, rng, rounds=1000):
    agrees, _ = _ransac(seen, whole, rng, rounds, lambda scale: True, _both)
    return _lines(seen, whole, agrees)


def frame_larger_than_all(seen, whole, rng, rounds=1000):
    agrees, _ = _ransac(seen, whole, rng, rounds, lambda scale: min(scale) >= SMALLEST, _both)
    return _lines(seen, whole, agrees)


def frame_of_one_axis(seen, whole, rng, rounds=1000):
    agrees, _ = _ransac(seen, whole, rng, rounds, _crops, lambda gaps: gaps.min(axis=1))
    return _lines(seen, whole, agrees)


def frame_of_two_pairs(seen, whole, rng, rounds=1000):
    agrees, frame = _ransac(seen, whole, rng, rounds, _crops, _both)
    return (*frame, agrees)


def frame_of_the_last(seen, whole, rng, rounds=1000):
    agrees, _ = _ransac(seen, whole, rng, rounds, _crops, _both, lambda new, best: new >= 2)
    return _lines(seen, whole, agrees)


def frame_by_least_squares(seen, whole, rng, rounds=1000):
    agrees, _ = _ransac(seen, whole, rng, rounds, _crops, _both)
    return _lines(seen, whole, agrees)


def _sides(match: Match):
    return match.box.x2 - match.box.x1, match.box.y2 - match.box.y1


def _said(found, whole):
    return "no watermark" if not found else "not cropped" if whole else "cropped"


def decide_box_first(match, present=0.5, whole=0.97):
    if min(_sides(match)) >= whole:
        return "not cropped"
    return "cropped" if match.score >= present else "no watermark"


def decide_always(match, present=0.5, whole=0.97):
    return _said(True, min(_sides(match)) >= whole)


def decide_blaming(match, present=0.5, whole=0.97):
    return _said(True, match.score >= present and min(_sides(match)) >= whole)


def decide_by_longer_side(match, present=0.5, whole=0.97):
    return _said(match.score >= present, max(_sides(match)) >= whole)


def decide_by_width(match, present=0.5, whole=0.97):
    return _said(match.score >= present, _sides(match)[0] >= whole)


def decide_by_area(match, present=0.5, whole=0.97):
    return _said(match.score >= present, match.box.area >= whole)


def decide_by_lead(match, present=0.5, whole=0.97):
    return _said(match.score - match.runner_up >= present, min(_sides(match)) >= whole)


def decide_by_own_bounds(match, present=0.5, whole=0.97):
    return _said(match.score >= 0.37, min(_sides(match)) >= 0.97)


def decide_strictly(match, present=0.5, whole=0.97):
    return _said(match.score > present, min(_sides(match)) >= whole)


def _blur(x, sigma):
    return cv2.GaussianBlur(x.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def _pair(found, watermark, box):
    truth = stretched(watermark, box, found.shape).astype(np.float32)
    return found.astype(np.float32), truth


def _local(a, b, sigma, floor=FAINT**2):
    powers = (_blur(a**2, sigma) + floor) * (_blur(b**2, sigma) + floor)
    return _blur(a * b, sigma) / np.sqrt(powers)


def _uncentred(x, sigma):
    return x - _blur(x, sigma)


def alike_without_floor(found, watermark, box=FULL, sigma=NEIGHBOURHOOD):
    a, b = (_uncentred(x, 3 * sigma) for x in _pair(found, watermark, box))
    return _local(a, b, sigma, floor=1e-12)


def alike_with_high_floor(found, watermark, box=FULL, sigma=NEIGHBOURHOOD):
    a, b = (_uncentred(x, 3 * sigma) for x in _pair(found, watermark, box))
    return _local(a, b, sigma, floor=FAINT)


def alike_not_centred(found, watermark, box=FULL, sigma=NEIGHBOURHOOD):
    return _local(*_pair(found, watermark, box), sigma)


def alike_one_mean(found, watermark, box=FULL, sigma=NEIGHBOURHOOD):
    a, b = (x - np.mean(x) for x in _pair(found, watermark, box))
    return _local(a, b, sigma)


def alike_narrow_mean(found, watermark, box=FULL, sigma=NEIGHBOURHOOD):
    a, b = (_uncentred(x, sigma) for x in _pair(found, watermark, box))
    return _local(a, b, sigma)


def alike_product_of_means(found, watermark, box=FULL, sigma=NEIGHBOURHOOD):
    a, b = (_uncentred(x, 3 * sigma) for x in _pair(found, watermark, box))
    powers = (_blur(a**2, sigma) + FAINT**2) * (_blur(b**2, sigma) + FAINT**2)
    return _blur(a, sigma) * _blur(b, sigma) / np.sqrt(powers)


def alike_covariance(found, watermark, box=FULL, sigma=NEIGHBOURHOOD):
    a, b = (_uncentred(x, 3 * sigma) for x in _pair(found, watermark, box))
    return local_mean(a * b, sigma)


def alike_whole(found, watermark, box=FULL, sigma=NEIGHBOURHOOD):
    a, b = (_uncentred(x, 3 * sigma) for x in _pair(found, watermark, FULL))
    return _local(a, b, sigma)


def alike_own_sigma(found, watermark, box=FULL, sigma=NEIGHBOURHOOD):
    a, b = (_uncentred(x, 3 * NEIGHBOURHOOD) for x in _pair(found, watermark, box))
    return _local(a, b, NEIGHBOURHOOD)


def alike_one_number(found, watermark, box=FULL, sigma=NEIGHBOURHOOD):
    a, b = (x - np.mean(x) for x in _pair(found, watermark, box))
    return float(np.mean(a * b) / np.sqrt(np.mean(a**2) * np.mean(b**2)))


def alike_by_roots(found, watermark, box=FULL, sigma=NEIGHBOURHOOD):
    a, b = (_uncentred(x, 3 * sigma) for x in _pair(found, watermark, box))
    spreads = [np.sqrt(_blur(x**2, sigma) + FAINT**2) for x in (a, b)]
    return _blur(a * b, sigma) / (spreads[0] * spreads[1])


ACCEPTED = {
    "6.1": [Control],
    "6.2": [judge_by_switching],
    "6.3": [ncc_by_deviations],
    "6.4": [frame_by_least_squares],
    "6.6": [alike_by_roots],
}

MUTANTS = {
    "6.1": [
        Mutant(PushesAway, hint="The sign is turned round"),
        Mutant(Leaps, hint="Clip the difference to ±1 dB"),
        Mutant(Nervous, hint="One batch decides everything"),
        Mutant(BeginsAtZero, hint="begins at 0 and needs a hundred batches"),
        Mutant(Hasty, hint="The two shares of the running mean are exchanged"),
        Mutant(Natural, hint="Decibels take the logarithm to base 10"),
        Mutant(Twenty, hint="10 · log10 belongs to *squared* errors"),
        Mutant(AnswersFirst, hint="Update first, then answer"),
        Mutant(Logarithmic, hint="This returns the logarithm of the weight"),
        Mutant(Adds, hint="Steps of a fixed size"),
        Mutant(Forgetful, hint="Every step begins at the first weight again"),
        Mutant(Unsaved, hint="makes both numbers part of a checkpoint"),
    ],
    "6.2": [
        Mutant(judge_swapped, hint="The labels are exchanged"),
        Mutant(judge_after_fool, hint="First what the judge minimises"),
        Mutant(judge_by_entropy, hint="That is the cross-entropy"),
        Mutant(judge_absolute, hint="not absolute values"),
        Mutant(judge_summed, hint="Average over places and pictures"),
        Mutant(judge_halved, hint="no half"),
        Mutant(judge_of_real, hint="Add the term for the protected ones"),
        Mutant(judge_of_fake, hint="Add the term for the originals"),
        Mutant(judge_fooled_at_zero, hint="Whoever hides wants to be taken for real"),
        Mutant(judge_and_opposite, hint="it has a target of its own"),
        Mutant(judge_not_detached, hint="to be found out"),
        Mutant(judge_that_teaches_nobody, hint="teaches nobody"),
        Mutant(judge_left_frozen, hint="cannot learn any more"),
        Mutant(judge_taught_to_be_fooled, hint="teaches the judge to be fooled"),
    ],
    "6.3": [
        Mutant(ncc_not_centred, hint="Subtract the means first"),
        Mutant(ncc_of_everything, hint="What is not valid still counts"),
        Mutant(ncc_plain_means, hint="The means must be weighted too"),
        Mutant(ncc_weights_squared, hint="Each weight counts twice"),
        Mutant(ncc_whole_watermark, hint="This compares with the whole watermark"),
        Mutant(ncc_covariance, hint="This is a covariance"),
        Mutant(ncc_times_area, hint="No box is better for being large"),
        Mutant(ncc_absolute, hint="keep the sign"),
        Mutant(ncc_squared, hint="Do not square"),
        Mutant(ncc_divides_by_nothing, hint="A flat picture has no power"),
    ],
    "6.4": [
        Mutant(frame_of_all, hint="This fits all pairs at once"),
        Mutant(frame_backwards, hint="maps the whole picture into the crop"),
        Mutant(frame_shift_first, hint="The scale is returned first"),
        Mutant(frame_of_one_scale, hint="One scale for both axes"),
        Mutant(frame_of_any_kind, hint="cannot win however many agree"),
        Mutant(frame_larger_than_all, hint="cannot show more than the whole"),
        Mutant(frame_of_one_axis, hint="near on *both* axes"),
        Mutant(frame_of_two_pairs, hint="all that agree make it precise"),
        Mutant(frame_of_the_last, hint="Keep a frame only if *more* pairs"),
    ],
    "6.5": [
        Mutant(decide_box_first, hint="Ask first whether there is a watermark"),
        Mutant(decide_always, hint="This always says something"),
        Mutant(decide_blaming, hint="A missing watermark is no sign of a crop"),
        Mutant(decide_by_longer_side, hint="the *smaller* of both decides"),
        Mutant(decide_by_width, hint="Only the width is looked at"),
        Mutant(decide_by_area, hint="not for the area"),
        Mutant(decide_by_lead, hint="without the runner-up"),
        Mutant(decide_by_own_bounds, hint="The bounds are arguments"),
        Mutant(decide_strictly, hint="A score of exactly"),
    ],
    "6.6": [
        Mutant(alike_without_floor, hint="compares noise with noise"),
        Mutant(alike_with_high_floor, hint="FAINT is a deviation"),
        Mutant(alike_not_centred, hint="two bright places then look alike"),
        Mutant(alike_one_mean, hint="the mean of its surroundings"),
        Mutant(alike_narrow_mean, hint="three times as wide"),
        Mutant(alike_product_of_means, hint="Average the *product*"),
        Mutant(alike_covariance, hint="A strong place is not more alike"),
        Mutant(alike_whole, hint="The picture shows a `box`"),
        Mutant(alike_own_sigma, hint="`sigma` is an argument"),
        Mutant(alike_one_number, hint="One number for the whole picture"),
    ],
}
