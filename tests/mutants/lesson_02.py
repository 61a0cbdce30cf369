"""Common wrong answers to the exercises of lesson 02, where a patch comes from."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.geometry import FULL
from course_lib.traces.baseline import OUTLYING, SHIFT_PRIOR
from course_lib.traces.model import box_mean
from tests.mutants import Mutant


def _cells(x, y):
    return np.minimum(np.floor(4 * np.stack([x, y])), 3).clip(0).astype(int)


def labels_by_columns(centers, box=FULL):
    column, row = _cells(box.x1 + box.width * centers[:, 0], box.y1 + box.height * centers[:, 1])
    return row + 4 * column


def labels_on_the_crop(centers, box=FULL):
    column, row = _cells(*centers.T)
    return 4 * row + column


def labels_without_scale(centers, box=FULL):
    column, row = _cells(box.x1 + centers[:, 0], box.y1 + centers[:, 1])
    return 4 * row + column


def labels_scaled_by_edges(centers, box=FULL):
    column, row = _cells(box.x1 + box.x2 * centers[:, 0], box.y1 + box.y2 * centers[:, 1])
    return 4 * row + column


def labels_inwards(centers, box=FULL):
    column, row = _cells(
        (centers[:, 0] - box.x1) / box.width, (centers[:, 1] - box.y1) / box.height
    )
    return 4 * row + column


def labels_rounded(centers, box=FULL):
    x, y = (box.x1 + box.width * centers[:, 0], box.y1 + box.height * centers[:, 1])
    column, row = np.round(4 * x).astype(int), np.round(4 * y).astype(int)
    return 4 * np.minimum(row, 3) + np.minimum(column, 3)


def labels_unclipped(centers, box=FULL):
    x, y = (box.x1 + box.width * centers[:, 0], box.y1 + box.height * centers[:, 1])
    return 4 * (4 * y).astype(int) + (4 * x).astype(int)


def labels_right(centers, box=FULL):
    column, row = _cells(box.x1 + box.width * centers[:, 0], box.y1 + box.height * centers[:, 1])
    return (4 * row + column).tolist()


def _by_example(batch, step):
    return np.stack([np.roll(one, step(i), axis=0) for i, one in enumerate(batch)])


def rolled_backwards(batch, undo=False):
    return _by_example(batch, lambda i: i if undo else -i)


def rolled_always_forward(batch, undo=False):
    return _by_example(batch, lambda i: i)


def rolled_over_examples(batch, undo=False):
    turned = batch.swapaxes(0, 1)
    return _by_example(turned, lambda i: -i if undo else i).swapaxes(0, 1)


def rolled_by_one(batch, undo=False):
    return np.roll(batch, -1 if undo else 1, axis=1)


def rolled_from_one(batch, undo=False):
    return _by_example(batch, lambda i: -(i + 1) if undo else i + 1)


def rolled_right(batch, undo=False):
    result = batch.copy()
    for i in range(len(batch)):
        for k in range(batch.shape[1]):
            target, source = (k, (k + i)) if undo else (k, k - i)
            result[i, target] = batch[i, source % batch.shape[1]]
    return result


def _join(shifts, weights, rounds, prior, power=2.0, in_errors=True, mistrust=True):
    keep = np.ones(weights.shape[:2])
    for _ in range(rounds + 1):
        matrices = keep[:, :, None, None] * weights
        total = matrices.sum(1) + prior
        mean = np.linalg.solve(total, np.einsum("abij,abj->ai", matrices, shifts)[..., None])[
            ..., 0
        ]
        gap = shifts - mean[:, None, :]
        far = np.einsum("abi,abij,abj->ab", gap, weights, gap) if in_errors else (gap * gap).sum(-1)
        if mistrust:
            keep = (1 + far / OUTLYING) ** -power
    return mean, total, keep


PRIOR = np.eye(2) * SHIFT_PRIOR**-2


def _covariance(joined):
    mean, total, keep = joined
    return mean, np.linalg.inv(total), keep


def join_by_scalars(shifts, weights, rounds=6):
    size = (weights[..., 0, 0] + weights[..., 1, 1]) / 2
    return _covariance(_join(shifts, np.einsum("ab,ij->abij", size, np.eye(2)), rounds, PRIOR))


def join_by_diagonals(shifts, weights, rounds=6):
    alone = np.zeros_like(weights)
    for axis in (0, 1):
        alone[..., axis, axis] = weights[..., axis, axis]
    return _covariance(_join(shifts, alone, rounds, PRIOR))


def join_alike(shifts, weights, rounds=6):
    return _covariance(_join(shifts, np.zeros_like(weights) + np.eye(2), rounds, PRIOR))


def join_trusting(shifts, weights, rounds=6):
    return _covariance(_join(shifts, weights, rounds, PRIOR, mistrust=False))


def join_once(shifts, weights, rounds=6):
    return _covariance(_join(shifts, weights, 0, PRIOR))


def join_softly(shifts, weights, rounds=6):
    return _covariance(_join(shifts, weights, rounds, PRIOR, power=1.0))


def join_by_pixels(shifts, weights, rounds=6):
    return _covariance(_join(shifts, weights, rounds, PRIOR, in_errors=False))


def join_with_information(shifts, weights, rounds=6):
    return _join(shifts, weights, rounds, PRIOR)


def join_without_prior(shifts, weights, rounds=6):
    return _covariance(_join(shifts, weights, rounds, 0))


def join_prior_by_width(shifts, weights, rounds=6):
    return _covariance(_join(shifts, weights, rounds, np.eye(2) / SHIFT_PRIOR))


def join_right(shifts, weights, rounds=6):
    return _covariance(_join(shifts, weights, rounds, PRIOR))


def _log_probability(cells):
    return cells - cells.logsumexp(dim=-1, keepdim=True)


def _of_the_true_cell(values, truth):
    return values.reshape(-1, 16)[torch.arange(truth.numel()), truth.flatten()]


def loss_softmax_twice(cells, truth):
    return F.cross_entropy(cells.softmax(-1).reshape(-1, 16), truth.reshape(-1))


def loss_without_softmax(cells, truth):
    return -_of_the_true_cell(cells, truth).mean()


def loss_of_probability(cells, truth):
    return -_of_the_true_cell(_log_probability(cells).exp(), truth).mean()


def loss_over_the_first_axis(cells, truth):
    return -_of_the_true_cell(cells - cells.logsumexp(dim=0, keepdim=True), truth).mean()


def loss_summed(cells, truth):
    return -_of_the_true_cell(_log_probability(cells), truth).sum()


def loss_in_bits(cells, truth):
    return -_of_the_true_cell(_log_probability(cells), truth).mean() / np.log(2)


def loss_turned(cells, truth):
    return _of_the_true_cell(_log_probability(cells), truth).mean()


def loss_right(cells, truth):
    return -_of_the_true_cell(_log_probability(cells), truth).mean()


def _planes(rgb, times=2.0, order=(1, 0, 2)):
    difference = times * (rgb - rgb[:, 1:2])
    stacked = torch.cat([difference[:, :1], rgb[:, 1:2], difference[:, 2:]], dim=1)
    return stacked[:, list(order)]


def _measured(planes, mean=9, window=17, power=0.5, plane=slice(0, 1)):
    fine = planes - box_mean(planes, mean)
    return fine * (box_mean(fine[:, plane] ** 2, window) + 1e-4) ** -power


class FringesOfRgb(nn.Module):
    def forward(self, rgb):
        return _measured(rgb[:, [1, 0, 2]])


class FringesOnce(nn.Module):
    def forward(self, rgb):
        return _measured(_planes(rgb, 1.0))


class FringesTurned(nn.Module):
    def forward(self, rgb):
        return _measured(_planes(rgb, -2.0))


class FringesRedFirst(nn.Module):
    def forward(self, rgb):
        planes = _planes(rgb, order=(0, 1, 2))
        fine = planes - box_mean(planes, 9)
        return fine / (box_mean(fine[:, :1] ** 2, 17) + 1e-4).sqrt()


class FringesWithGround(nn.Module):
    def forward(self, rgb):
        planes = _planes(rgb)
        return planes / (box_mean(planes[:, :1] ** 2, 17) + 1e-4).sqrt()


class FringesFromThePatchMean(nn.Module):
    def forward(self, rgb):
        planes = _planes(rgb)
        fine = planes - planes.mean((2, 3), keepdim=True)
        return fine / (box_mean(fine[:, :1] ** 2, 17) + 1e-4).sqrt()


class FringesNotDivided(nn.Module):
    def forward(self, rgb):
        return _planes(rgb) - box_mean(_planes(rgb), 9)


class FringesByThePatch(nn.Module):
    def forward(self, rgb):
        fine = _planes(rgb) - box_mean(_planes(rgb), 9)
        return fine / ((fine[:, :1] ** 2).mean((2, 3), keepdim=True) + 1e-4).sqrt()


class FringesByThemselves(nn.Module):
    def forward(self, rgb):
        return _measured(_planes(rgb), plane=slice(None))


class FringesByVariance(nn.Module):
    def forward(self, rgb):
        return _measured(_planes(rgb), power=1.0)


class FringesWindowsSwapped(nn.Module):
    def forward(self, rgb):
        return _measured(_planes(rgb), mean=17, window=9)


class FringesRight(nn.Module):
    def forward(self, rgb):
        return _measured(_planes(rgb))


def pool_means(features):
    mean = features.mean((2, 3))
    return torch.einsum("nc,nd->ncd", mean, mean)


def pool_summed(features):
    return torch.einsum("nchw,ndhw->ncd", features, features)


def pool_by_maps(features):
    return torch.einsum("nchw,ndhw->ncd", features, features) / features.shape[1]


def pool_centred(features):
    rest = features - features.mean((2, 3), keepdim=True)
    return torch.einsum("nchw,ndhw->ncd", rest, rest) / (rest.shape[2] * rest.shape[3])


def pool_pixels(features):
    flat = features.flatten(2)
    return torch.einsum("ncp,ncq->npq", flat, flat) / flat.shape[1]


def pool_over_the_batch(features):
    return torch.einsum("nchw,ndhw->ncd", features, features).mean(0) / features[0, 0].numel()


def pool_right(features):
    return torch.einsum("nchw,ndhw->ncd", features, features) / features[0, 0].numel()


def _bins(confidence, right, order, bins):
    parts = np.array_split(order, bins)
    return (
        np.array([np.mean(confidence[part]) for part in parts]),
        np.array([np.mean(right[part]) for part in parts]),
        np.array([part.size for part in parts]),
    )


def _known(votes, cells):
    return np.max(votes, axis=1), np.argmax(votes, axis=1) == cells


def bins_of_the_true_cell(votes, cells, bins=10):
    vote = np.take_along_axis(votes, cells[:, None], 1)[:, 0]
    return _bins(vote, _known(votes, cells)[1], np.argsort(vote), bins)


def bins_unsorted(votes, cells, bins=10):
    return _bins(*_known(votes, cells), np.arange(len(votes)), bins)


def bins_from_the_top(votes, cells, bins=10):
    confidence, right = _known(votes, cells)
    return _bins(confidence, right, np.argsort(confidence)[::-1], bins)


def bins_of_equal_width(votes, cells, bins=10):
    confidence, right = _known(votes, cells)
    low, high = confidence.min(), confidence.max()
    place = np.minimum((bins * (confidence - low) / (high - low)).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, each, bins) for each in (confidence, right))
    return *(total / counts for total in sums), counts


def bins_from_the_start(votes, cells, bins=10):
    confidence, right = _known(votes, cells)
    stated, reached, count = _bins(confidence, right, np.argsort(confidence), bins)
    return stated, (reached * count).cumsum() / count.cumsum(), count


def bins_swapped(votes, cells, bins=10):
    confidence, right = _known(votes, cells)
    stated, reached, count = _bins(confidence, right, np.argsort(confidence), bins)
    return reached, stated, count


def bins_right(votes, cells, bins=10):
    confidence, right = _known(votes, cells)
    return _bins(confidence, right, np.argsort(confidence), bins)


ACCEPTED = {
    "2.1": [labels_right],
    "2.2": [rolled_right],
    "2.3": [join_right],
    "2.4": [loss_right],
    "2.5": [FringesRight],
    "2.6": [pool_right],
    "2.7": [bins_right],
}

MUTANTS = {
    "2.1": [
        Mutant(labels_by_columns, hint="counted row by row"),
        Mutant(labels_on_the_crop, hint="It ignores the box"),
        Mutant(labels_without_scale, hint="before you add its corner"),
        Mutant(labels_scaled_by_edges, hint="x2 and y2 are edges"),
        Mutant(labels_inwards, hint="go out of the crop"),
        Mutant(labels_rounded, hint="round down"),
        Mutant(labels_unclipped, hint="there is no fifth"),
    ],
    "2.2": [
        Mutant(rolled_backwards, hint="rolls the wrong way"),
        Mutant(rolled_always_forward, hint="must turn the roll round"),
        Mutant(rolled_over_examples, hint="stay with their own photograph"),
        Mutant(rolled_by_one, hint="rolled by the same step"),
        Mutant(rolled_from_one, hint="stays as it is"),
    ],
    "2.3": [
        Mutant(join_by_scalars, hint="keep the 2 × 2 matrix"),
        Mutant(join_by_diagonals, hint="a slanted edge"),
        Mutant(join_alike, hint="All blocks count alike"),
        Mutant(join_trusting, hint="Outliers keep their vote"),
        Mutant(join_once, hint="One pass is not enough"),
        Mutant(join_softly, hint="Geman and McClure"),
        Mutant(join_by_pixels, hint="counts in standard errors"),
        Mutant(join_with_information, hint="This is the information"),
        Mutant(join_without_prior, hint="The prior is missing"),
        Mutant(join_prior_by_width, hint="not over its width"),
    ],
    "2.4": [
        Mutant(loss_softmax_twice, hint="taken twice"),
        Mutant(loss_without_softmax, hint="a log-softmax is missing"),
        Mutant(loss_of_probability, hint="minus the *logarithm*"),
        Mutant(loss_over_the_first_axis, hint="The cells are the last axis"),
        Mutant(loss_summed, hint="we want the mean"),
        Mutant(loss_in_bits, hint="This is in bits"),
        Mutant(loss_turned, hint="mind the sign"),
    ],
    "2.5": [
        Mutant(FringesOfRgb, hint="*differences* from green"),
        Mutant(FringesOnce, hint="count twice"),
        Mutant(FringesTurned, hint="red minus green"),
        Mutant(FringesRedFirst, hint="Green's detail comes first"),
        Mutant(FringesWithGround, hint="What is smooth is still there"),
        Mutant(FringesFromThePatchMean, hint="not of the whole patch"),
        Mutant(FringesNotDivided, hint="not yet in units"),
        Mutant(FringesByThePatch, hint="a local one"),
        Mutant(FringesByThemselves, hint="a fringe's size is lost"),
        Mutant(FringesByVariance, hint="the strength is its root"),
        Mutant(FringesWindowsSwapped, hint="The windows are swapped"),
    ],
    "2.6": [
        Mutant(pool_means, hint="product of the averages"),
        Mutant(pool_summed, hint="the sum over pixels"),
        Mutant(pool_by_maps, hint="not of maps"),
        Mutant(pool_centred, hint="makes it a covariance"),
        Mutant(pool_pixels, hint="compares pixels with pixels"),
        Mutant(pool_over_the_batch, hint="a matrix of its own"),
    ],
    "2.7": [
        Mutant(bins_of_the_true_cell, hint="not the vote for the true cell"),
        Mutant(bins_unsorted, hint="Sort the patches"),
        Mutant(bins_from_the_top, hint="Least confident first"),
        Mutant(bins_of_equal_width, hint="not equally wide"),
        Mutant(bins_from_the_start, hint="an accuracy of its own"),
        Mutant(bins_swapped, hint="The two are swapped"),
    ],
}
