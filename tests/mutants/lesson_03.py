"""Common wrong answers to the exercises of lesson 03."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from course_lib.errors import UsageError
from course_lib.geometry import Box
from course_lib.traces.objective import PAPER_WEIGHTS, class_loss, patch_loss, rectangle_loss
from tests.mutants import Mutant


def _pinned(rng, wide, high, along):
    """Pin a crop of this size to one of the four edges."""
    return [
        Box(along * (1 - wide), 0, along * (1 - wide) + wide, high),
        Box(1 - wide, along * (1 - high), 1, along * (1 - high) + high),
        Box(along * (1 - wide), 1 - high, along * (1 - wide) + wide, 1),
        Box(0, along * (1 - high), wide, along * (1 - high) + high),
    ][rng.integers(4)]


def crop_own_generator(rng, smallest=0.5, largest=0.9):
    rng = np.random.default_rng()
    size = rng.uniform(smallest, largest)
    return _pinned(rng, size, size, rng.random())


def crop_two_sizes(rng, smallest=0.5, largest=0.9):
    wide, high = rng.uniform(smallest, largest, 2)
    return _pinned(rng, wide, high, rng.random())


def crop_leaving(rng, smallest=0.5, largest=0.9):
    size = rng.uniform(smallest, largest)
    along, rest = rng.random(), 1 - size
    x, y = [(along, 0.0), (rest, along), (along, rest), (0.0, along)][rng.integers(4)]
    return Box(x, y, x + size, y + size)


def crop_fixed_range(rng, smallest=0.5, largest=0.9):
    size = rng.uniform(0.5, 0.9)
    return _pinned(rng, size, size, rng.random())


def crop_by_area(rng, smallest=0.5, largest=0.9):
    size = np.sqrt(rng.uniform(smallest**2, largest**2))
    return _pinned(rng, size, size, rng.random())


def crop_anywhere(rng, smallest=0.5, largest=0.9):
    size = rng.uniform(smallest, largest)
    x, y = rng.uniform(0, 1 - size, 2)
    return Box(x, y, x + size, y + size)


def crop_in_corners(rng, smallest=0.5, largest=0.9):
    size = rng.uniform(smallest, largest)
    x, y = rng.integers(0, 2, 2) * (1 - size)
    return Box(x, y, x + size, y + size)


def crop_top_or_left(rng, smallest=0.5, largest=0.9):
    size = rng.uniform(smallest, largest)
    along = rng.uniform(0, 1 - size)
    x, y = (along, 0.0) if rng.random() < 0.5 else (0.0, along)
    return Box(x, y, x + size, y + size)


def crop_in_the_middle(rng, smallest=0.5, largest=0.9):
    size = rng.uniform(smallest, largest)
    return _pinned(rng, size, size, 0.5)


def crop_other_order(rng, smallest=0.5, largest=0.9):
    edge = rng.integers(4)
    place, size = rng.random(), rng.uniform(smallest, largest)
    along = place * (1 - size)
    x = (along, 1 - size, along, 0.0)[edge]
    y = (0.0, along, 1 - size, along)[edge]
    return Box(x, y, x + size, y + size)


def _cells(centers, frames, corner=True, size=True):
    x1, y1, x2, y2 = frames.boxes.T[..., None]
    wide, high = (x2 - x1, y2 - y1) if size else (1.0, 1.0)
    x = x1 * corner + wide * centers[:, 0]
    y = y1 * corner + high * centers[:, 1]
    return np.clip((4 * x).astype(int), 0, 3), np.clip((4 * y).astype(int), 0, 3)


def _logs(votes, centers, frames, **how):
    column, row = _cells(centers, frames, **how)
    return np.log(np.maximum(votes[np.arange(len(votes)), 4 * row + column], 1e-6))


def _belief(logs, prior):
    logs = logs + np.log(prior)
    belief = np.exp(logs - logs.max())
    return belief / belief.sum()


def scores_added(votes, centers, frames, temper=0.4):
    belief = frames.prior * np.exp(_logs(votes, centers, frames)).sum(axis=1)
    return belief / belief.sum()


def scores_not_normalised(votes, centers, frames, temper=0.4):
    evidence = temper * (_logs(votes, centers, frames) + np.log(16)).sum(axis=1)
    return frames.prior * np.exp(evidence - evidence.max())


def scores_untempered(votes, centers, frames, temper=0.4):
    return _belief(_logs(votes, centers, frames).sum(axis=1), frames.prior)


def scores_all_tempered(votes, centers, frames, temper=0.4):
    return _belief(temper * _logs(votes, centers, frames).sum(axis=1), frames.prior**temper)


def scores_without_prior(votes, centers, frames, temper=0.4):
    return _belief(temper * _logs(votes, centers, frames).sum(axis=1), np.ones(len(frames.prior)))


def scores_transposed(votes, centers, frames, temper=0.4):
    turned = votes.reshape(-1, 4, 4).transpose(0, 2, 1).reshape(-1, 16)
    return _belief(temper * _logs(turned, centers, frames).sum(axis=1), frames.prior)


def scores_in_the_crop(votes, centers, frames, temper=0.4):
    logs = _logs(votes, centers, frames, corner=False, size=False)
    return _belief(temper * logs.sum(axis=1), frames.prior)


def scores_without_corner(votes, centers, frames, temper=0.4):
    logs = _logs(votes, centers, frames, corner=False)
    return _belief(temper * logs.sum(axis=1), frames.prior)


def scores_without_size(votes, centers, frames, temper=0.4):
    logs = _logs(votes, centers, frames, size=False)
    return _belief(temper * logs.sum(axis=1), frames.prior)


def scores_averaged(votes, centers, frames, temper=0.4):
    return _belief(temper * _logs(votes, centers, frames).mean(axis=1), frames.prior)


def scores_by_products(votes, centers, frames, temper=0.4):
    product = np.exp(_logs(votes, centers, frames)).prod(axis=1)  # nothing is left of 500 factors
    belief = frames.prior * product**temper
    return belief / belief.sum()


def box_likeliest(belief, frames):
    return Box(*frames.boxes[np.argmax(belief)])


def box_averaged(belief, frames):
    return Box(*np.average(frames.boxes, axis=0, weights=belief))


def box_unweighted(belief, frames):
    return Box(*frames.boxes[frames.overlaps.sum(axis=1).argmax()])


def box_prior_twice(belief, frames):
    weights = frames.prior * belief
    return Box(*frames.boxes[(weights @ frames.overlaps).argmax()])


def box_own_belief_too(belief, frames):
    expected = belief @ frames.overlaps
    return Box(*frames.boxes[(expected * belief).argmax()])


def box_by_sums(belief, frames):
    expected = [(belief * row).sum() for row in frames.overlaps]
    return Box(*frames.boxes[expected.index(max(expected))])


def _planes(thumbnail, y, x):
    n, _, h, w = thumbnail.shape
    return y.reshape(1, 1, h, 1).repeat(n, 1, 1, w), x.reshape(1, 1, 1, w).repeat(n, 1, h, 1)


def coordinates_x_first(thumbnail):
    _, _, h, w = thumbnail.shape
    y, x = _planes(thumbnail, torch.linspace(0, 1, h), torch.linspace(0, 1, w))
    return torch.cat([thumbnail, x, y], dim=1)


def coordinates_in_front(thumbnail):
    _, _, h, w = thumbnail.shape
    y, x = _planes(thumbnail, torch.linspace(0, 1, h), torch.linspace(0, 1, w))
    return torch.cat([y, x, thumbnail], dim=1)


def coordinates_signed(thumbnail):
    _, _, h, w = thumbnail.shape
    y, x = _planes(thumbnail, torch.linspace(-1, 1, h), torch.linspace(-1, 1, w))
    return torch.cat([thumbnail, y, x], dim=1)


def coordinates_in_pixels(thumbnail):
    _, _, h, w = thumbnail.shape
    y, x = _planes(thumbnail, torch.arange(h) * 1.0, torch.arange(w) * 1.0)
    return torch.cat([thumbnail, y, x], dim=1)


def coordinates_of_centres(thumbnail):
    _, _, h, w = thumbnail.shape
    y, x = _planes(thumbnail, (torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w)
    return torch.cat([thumbnail, y, x], dim=1)


def coordinates_too_short(thumbnail):
    _, _, h, w = thumbnail.shape
    y, x = _planes(thumbnail, torch.arange(h) / h, torch.arange(w) / w)
    return torch.cat([thumbnail, y, x], dim=1)


def coordinates_upwards(thumbnail):
    _, _, h, w = thumbnail.shape
    y, x = _planes(thumbnail, torch.linspace(1, 0, h), torch.linspace(0, 1, w))
    return torch.cat([thumbnail, y, x], dim=1)


def coordinates_by_meshgrid(thumbnail):
    n, _, h, w = thumbnail.shape
    mesh = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(0, 1, w), indexing="ij")
    return torch.cat([thumbnail, torch.stack(mesh).repeat(n, 1, 1, 1)], dim=1)


def rectangle_averaged(box, truth):
    return F.mse_loss(box, truth)


def rectangle_summed(box, truth):
    return F.mse_loss(box, truth, reduction="sum")


def rectangle_absolute(box, truth):
    return (box - truth).abs().sum() / len(box)


def rectangle_distance(box, truth):
    return torch.linalg.vector_norm(box - truth, dim=1).mean()


def rectangle_of_crops_only(box, truth):
    cropped = (truth - torch.tensor([0.0, 0, 1, 1])).abs().sum(dim=1) > 0
    return ((box - truth)[cropped] ** 2).sum() / len(truth)


def rectangle_clipped(box, truth):
    return 4 * F.mse_loss(box.clip(0, 1), truth)


def rectangle_by_mse(box, truth):
    return 4 * F.mse_loss(box, truth)


def _parts(reading, cells, box, cropped):
    parts = {
        "crop": class_loss(reading.score, cropped),
        "rectangle": rectangle_loss(reading.box, box),
    }
    if reading.cells is not None:
        parts["patch"] = patch_loss(reading.cells, cells)
    return parts


def _summed(parts, weigh):
    terms = [weigh[name] * part for name, part in parts.items() if weigh[name]]
    if not terms:
        raise UsageError("every loss has weight 0")
    return {"loss": torch.stack(terms).sum(), **parts}


def loss_whole_rectangle(reading, cells, box, cropped, weights=PAPER_WEIGHTS):
    weigh = {"crop": weights.crop, "rectangle": weights.rectangle, "patch": weights.patch}
    return _summed(_parts(reading, cells, box, cropped), weigh)


def loss_divided_twice(reading, cells, box, cropped, weights=PAPER_WEIGHTS):
    weigh = {"crop": weights.crop, "rectangle": weights.rectangle / 4, "patch": weights.patch / 16}
    return _summed(_parts(reading, cells, box, cropped), weigh)


def loss_sixteenfold(reading, cells, box, cropped, weights=PAPER_WEIGHTS):
    weigh = {"crop": weights.crop, "rectangle": weights.rectangle / 4, "patch": 16 * weights.patch}
    return _summed(_parts(reading, cells, box, cropped), weigh)


def loss_averaged(reading, cells, box, cropped, weights=PAPER_WEIGHTS):
    weigh = {"crop": weights.crop, "rectangle": weights.rectangle / 4, "patch": weights.patch}
    parts = _parts(reading, cells, box, cropped)
    found = _summed(parts, weigh)
    return found | {"loss": found["loss"] / sum(weigh[name] for name in parts)}


def loss_unweighted(reading, cells, box, cropped, weights=PAPER_WEIGHTS):
    return _summed(_parts(reading, cells, box, cropped), {"crop": 1, "rectangle": 1, "patch": 1})


def loss_of_weighted_parts(reading, cells, box, cropped, weights=PAPER_WEIGHTS):
    weigh = {"crop": weights.crop, "rectangle": weights.rectangle / 4, "patch": weights.patch}
    parts = _parts(reading, cells, box, cropped)
    weighed = {name: weigh[name] * part for name, part in parts.items()}
    return _summed(parts, weigh) | weighed


def loss_of_probabilities(reading, cells, box, cropped, weights=PAPER_WEIGHTS):
    sure = reading._replace(score=torch.sigmoid(reading.score))
    weigh = {"crop": weights.crop, "rectangle": weights.rectangle / 4, "patch": weights.patch}
    return _summed(_parts(sure, cells, box, cropped), weigh)


def loss_that_never_refuses(reading, cells, box, cropped, weights=PAPER_WEIGHTS):
    parts = _parts(reading, cells, box, cropped)
    total = weights.crop * parts["crop"] + weights.rectangle / 4 * parts["rectangle"]
    if "patch" in parts:
        total = total + weights.patch * parts["patch"]
    return {"loss": total, **parts}


def loss_with_a_part_too_many(reading, cells, box, cropped, weights=PAPER_WEIGHTS):
    weigh = {"crop": weights.crop, "rectangle": weights.rectangle / 4, "patch": weights.patch}
    found = _summed(_parts(reading, cells, box, cropped), weigh)
    return {"patch": torch.zeros(()), **found}


def _kept_and_slopes(model, layer, inputs, score, remove=True):
    kept = []
    hook = layer.register_forward_hook(lambda layer, given, maps: kept.append(maps))
    value = score(model(*inputs)).sum()
    if remove:
        hook.remove()
    return kept[0].detach(), torch.autograd.grad(value, kept[0])[0]


def _as_picture(heat, inputs):
    return cv2.resize(heat.detach().numpy(), tuple(inputs[-1].shape[:1:-1]))


def _scaled(heat):
    return (heat - heat.min()) / max(heat.max() - heat.min(), 1e-12)


def _weighed_maps(maps, slopes):
    return torch.einsum("nchw,nc->hw", maps, slopes.mean(dim=(2, 3)))


def cam_hook_left(model, layer, inputs, score):
    heat = _weighed_maps(*_kept_and_slopes(model, layer, inputs, score, remove=False)).relu()
    return _scaled(_as_picture(heat, inputs))


def cam_not_a_number(model, layer, inputs, score):
    heat = _weighed_maps(*_kept_and_slopes(model, layer, inputs, score)).relu()
    heat = _as_picture(heat, inputs)
    return (heat - heat.min()) / (heat.max() - heat.min())


def cam_small(model, layer, inputs, score):
    heat = _weighed_maps(*_kept_and_slopes(model, layer, inputs, score)).relu()
    return _scaled(heat.detach().numpy())


def cam_turned(model, layer, inputs, score):
    heat = _weighed_maps(*_kept_and_slopes(model, layer, inputs, score)).relu()
    return _scaled(cv2.resize(heat.detach().numpy(), tuple(inputs[-1].shape[2:])))


def cam_not_scaled(model, layer, inputs, score):
    heat = _weighed_maps(*_kept_and_slopes(model, layer, inputs, score)).relu()
    return _as_picture(heat, inputs)


def cam_without_relu(model, layer, inputs, score):
    heat = _weighed_maps(*_kept_and_slopes(model, layer, inputs, score))
    return _scaled(_as_picture(heat, inputs))


def cam_of_activations(model, layer, inputs, score):
    maps, _ = _kept_and_slopes(model, layer, inputs, score)
    return _scaled(_as_picture(maps.sum(dim=1)[0].relu(), inputs))


def cam_place_by_place(model, layer, inputs, score):
    maps, slopes = _kept_and_slopes(model, layer, inputs, score)
    return _scaled(_as_picture((maps * slopes).sum(dim=1)[0].relu(), inputs))


def cam_absolute_weights(model, layer, inputs, score):
    maps, slopes = _kept_and_slopes(model, layer, inputs, score)
    weights = slopes.mean(dim=(2, 3)).abs()
    return _scaled(_as_picture(torch.einsum("nchw,nc->hw", maps, weights).relu(), inputs))


def cam_of_slopes(model, layer, inputs, score):
    _, slopes = _kept_and_slopes(model, layer, inputs, score)
    return _scaled(_as_picture(slopes.sum(dim=1)[0].relu(), inputs))


def cam_with_sums(model, layer, inputs, score):
    maps, slopes = _kept_and_slopes(model, layer, inputs, score)
    weights = slopes.sum(dim=(2, 3))  # the same map, scaled
    return _scaled(_as_picture(torch.einsum("nchw,nc->hw", maps, weights).relu(), inputs))


ACCEPTED = {
    "3.1": [crop_other_order],
    "3.3": [box_by_sums],
    "3.4": [coordinates_by_meshgrid],
    "3.5": [rectangle_by_mse],
    "3.7": [cam_with_sums],
}

MUTANTS = {
    "3.1": [
        Mutant(crop_own_generator, hint="Take every random number from the `rng`"),
        Mutant(crop_two_sizes, hint="The aspect ratio is kept"),
        Mutant(crop_leaving, hint="has room to move by 1 − f"),
        Mutant(crop_fixed_range, hint="differ from call to call"),
        Mutant(crop_by_area, hint="not the share of the area"),
        Mutant(crop_anywhere, hint="Every crop touches an edge"),
        Mutant(crop_in_corners, hint="Pin one coordinate only"),
        Mutant(crop_top_or_left, hint="four edges to touch"),
        Mutant(crop_in_the_middle, hint="Along its edge the crop may lie anywhere"),
    ],
    "3.2": [
        Mutant(scores_added, hint="add the *logarithms* of the votes"),
        Mutant(scores_not_normalised, hint="divide by their sum"),
        Mutant(scores_untempered, hint="`temper` is not used"),
        Mutant(scores_all_tempered, hint="belongs to the evidence alone"),
        Mutant(scores_without_prior, hint="The prior is missing"),
        Mutant(scores_transposed, hint="Cells count row by row"),
        Mutant(scores_in_the_crop, hint="Each frame maps them"),
        Mutant(scores_without_corner, hint="upper left corner is missing"),
        Mutant(scores_without_size, hint="multiply the centre by its size"),
        Mutant(scores_averaged, hint="This averages the evidence"),
        Mutant(scores_by_products, hint="leaves the range of floats"),
    ],
    "3.3": [
        Mutant(box_likeliest, hint="That is the likeliest frame"),
        Mutant(box_averaged, hint="This averages the edges"),
        Mutant(box_unweighted, hint="The overlaps are not weighed"),
        Mutant(box_prior_twice, hint="in the belief already"),
        Mutant(box_own_belief_too, hint="belief in the *true* frame only"),
    ],
    "3.4": [
        Mutant(coordinates_x_first, hint="y comes first"),
        Mutant(coordinates_in_front, hint="go behind the colours"),
        Mutant(coordinates_signed, hint="not from −1"),
        Mutant(coordinates_in_pixels, hint="These count pixels"),
        Mutant(coordinates_of_centres, hint="not asked for half pixels"),
        Mutant(coordinates_too_short, hint="does not reach 1"),
        Mutant(coordinates_upwards, hint="y runs downwards"),
    ],
    "3.5": [
        Mutant(rectangle_averaged, hint="equation 3 is a sum"),
        Mutant(rectangle_summed, hint="Average over photographs"),
        Mutant(rectangle_absolute, hint="no absolute values"),
        Mutant(rectangle_distance, hint="No square root"),
        Mutant(rectangle_of_crops_only, hint="Uncropped photographs count too"),
        Mutant(rectangle_clipped, hint="do not clip them"),
    ],
    "3.6": [
        Mutant(loss_whole_rectangle, hint="λ₂ is divided by 4"),
        Mutant(loss_divided_twice, hint="do not divide by 16 once more"),
        Mutant(loss_sixteenfold, hint="is λ₁ times the mean"),
        Mutant(loss_averaged, hint="not an average"),
        Mutant(loss_unweighted, hint="The weights are not used"),
        Mutant(loss_of_weighted_parts, hint="Return the parts as they are"),
        Mutant(loss_of_probabilities, hint="The score is a logit"),
        Mutant(loss_that_never_refuses, hint="no loss is left"),
        Mutant(loss_with_a_part_too_many, hint="sees no patches has"),
    ],
    "3.7": [
        Mutant(cam_hook_left, hint="The hook is still there"),
        Mutant(cam_not_a_number, hint="dividing by its range gives NaN"),
        Mutant(cam_small, hint="resize it to the picture"),
        Mutant(cam_turned, hint="Width and height are swapped"),
        Mutant(cam_not_scaled, hint="Bring the map to 0 … 1"),
        Mutant(cam_without_relu, hint="Places that speak *against*"),
        Mutant(cam_of_activations, hint="whatever the score"),
        Mutant(cam_place_by_place, hint="Average the slopes over the places first"),
        Mutant(cam_absolute_weights, hint="keep the sign of its weight"),
        Mutant(cam_of_slopes, hint="This sums the slopes alone"),
    ],
}
