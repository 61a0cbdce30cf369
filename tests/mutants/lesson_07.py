"""Common wrong answers to the exercises of lesson 07."""

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.fgjpeg.grid import WEIGHTS
from course_lib.fgjpeg.model import BINS
from course_lib.fgjpeg.slopes import waves_of, with_waves
from course_lib.residuals import SMALLEST
from tests.mutants import Mutant


def _ends(codec, pictures, change, step):
    return (waves_of(codec(with_waves(pictures, sign * step * change))) for sign in (1, -1))


def slope_upwards(codec, pictures, change, step):
    return (waves_of(codec(with_waves(pictures, step * change))) - waves_of(codec(pictures))) / step


def slope_of_one_step(codec, pictures, change, step):
    up, down = _ends(codec, pictures, change, step)
    return (up - down) / step


def slope_not_divided(codec, pictures, change, step):
    up, down = _ends(codec, pictures, change, step)
    return up - down


def slope_turned(codec, pictures, change, step):
    up, down = _ends(codec, pictures, change, step)
    return (down - up) / (2 * step)


def slope_of_unit_steps(codec, pictures, change, step):
    up, down = _ends(codec, pictures, change, 1)
    return (up - down) / 2


def slope_without_codec(codec, pictures, change, step):
    up, down = _ends(lambda same: same, pictures, change, step)
    return (up - down) / (2 * step)


def slope_without_sign(codec, pictures, change, step):
    up, down = _ends(codec, pictures, change, step)
    return torch.abs(up - down) / (2 * step)


def _vectors(said, true, first=1):
    return said[..., first:].flatten(1), true[..., first:].flatten(1)


def agreement_with_means(said, true):
    return F.cosine_similarity(*_vectors(said, true, 0), eps=1e-12)


def agreement_by_block(said, true):
    return F.cosine_similarity(said[..., 1:], true[..., 1:], dim=2, eps=1e-12).mean(dim=1)


def agreement_of_all(said, true):
    a, b = _vectors(said, true)
    return (a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-12)


def agreement_product(said, true):
    a, b = _vectors(said, true)
    return torch.einsum("nk,nk->n", a, b)


def agreement_by_one_length(said, true):
    a, b = _vectors(said, true)
    return (F.normalize(a, dim=1) * b).sum(dim=1)


def agreement_by_squares(said, true):
    a, b = _vectors(said, true)
    return (a * b).sum(1) / ((a**2).sum(1) * (b**2).sum(1)).clamp(min=1e-12)


def agreement_centred(said, true):
    a, b = (each - each.mean(dim=1, keepdim=True) for each in _vectors(said, true))
    return F.cosine_similarity(a, b, eps=1e-12)


def agreement_absolute(said, true):
    return F.cosine_similarity(*_vectors(said, true), eps=1e-12).abs()


def agreement_nan(said, true):
    a, b = _vectors(said, true)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def agreement_by_normalising(said, true):
    a, b = _vectors(said, true)
    return (F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(dim=1)


def lent_exchanged(real, simulated):
    return real + (simulated - real).detach()


def lent_both(real, simulated):
    return real + (simulated - simulated.detach())


def lent_cancelled(real, simulated):
    return simulated + real.detach() - simulated


def lent_simulated(real, simulated):
    return simulated.clone()


def lent_mean(real, simulated):
    return 0.5 * real + 0.5 * simulated


def lent_the_other_way(real, simulated):
    return real.detach() + simulated - simulated.detach()


def _bins(quality):
    inside = quality.clamp(BINS[0], BINS[-1])
    bins = torch.tensor(BINS).float()
    upper = torch.bucketize(inside, bins).clamp(1, len(BINS) - 1)
    return inside, bins, upper


def _shared(upper, share):
    found = torch.zeros(len(upper), len(BINS))
    rows = torch.arange(len(upper))
    found[rows, upper] = share
    found[rows, upper - 1] = 1 - share
    return found


def labels_unclamped(quality):
    _, bins, upper = _bins(quality)
    return _shared(upper, (quality - bins[upper - 1]) / (bins[upper] - bins[upper - 1]))


def labels_nearest(quality):
    inside, bins, _ = _bins(quality)
    return F.one_hot((inside[:, None] - bins).abs().argmin(dim=1), len(BINS)).float()


def labels_exchanged(quality):
    inside, bins, upper = _bins(quality)
    return _shared(upper, (bins[upper] - inside) / (bins[upper] - bins[upper - 1]))


def labels_of_even_steps(quality):
    inside, bins, upper = _bins(quality)
    return _shared(upper, (inside - bins[upper - 1]) / 20)


def labels_halved(quality):
    inside, bins, upper = _bins(quality)
    share = (inside - bins[upper - 1]) / (bins[upper] - bins[upper - 1])
    return _shared(upper, torch.where((share > 0) & (share < 1), 0.5, share))


def labels_below(quality):
    inside, bins, _ = _bins(quality)
    return F.one_hot((inside[:, None] >= bins).sum(dim=1) - 1, len(BINS)).float()


def labels_spread(quality):
    inside, bins, _ = _bins(quality)
    return torch.softmax(-(inside[:, None] - bins).abs() / 10, dim=1)


def labels_by_hats(quality):
    inside, bins, _ = _bins(quality)
    wide = torch.cat([bins[:1] - 1, bins, bins[-1:] + 1])
    rising = (inside[:, None] - wide[:-2]) / (wide[1:-1] - wide[:-2])
    falling = (wide[2:] - inside[:, None]) / (wide[2:] - wide[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


def _kernels(row, middle=-1.0, where=None):
    half = row.shape[-1] // 2 if where is None else where
    centre = torch.full_like(row[..., :1], middle)
    flat = torch.cat([row[..., :half], centre, row[..., half:]], dim=-1)
    side = round(flat.shape[-1] ** 0.5)
    return flat.reshape(*row.shape[:-1], side, side)


def _divided(neighbours, smallest=SMALLEST):
    total = neighbours.sum(dim=-1, keepdim=True)
    bound = torch.where(total < 0, -smallest, smallest)
    return neighbours / torch.where(total.abs() < smallest, bound, total)


def _completed(row):
    return row + (1 - row.sum(dim=-1, keepdim=True)) / row.shape[-1]


def bayar_unsafe(neighbours, smallest=SMALLEST):
    return _kernels(neighbours / neighbours.sum(dim=-1, keepdim=True))


def bayar_not_shared(neighbours, smallest=SMALLEST):
    return _kernels(_divided(neighbours, smallest))


def bayar_clamped(neighbours, smallest=SMALLEST):
    total = neighbours.sum(dim=-1, keepdim=True).clamp(min=smallest)
    return _kernels(_completed(neighbours / total))


def bayar_without_sign(neighbours, smallest=SMALLEST):
    total = neighbours.sum(dim=-1, keepdim=True)
    safe = torch.where(total.abs() < smallest, torch.full_like(total, smallest), total)
    return _kernels(_completed(neighbours / safe))


def bayar_own_bound(neighbours, smallest=SMALLEST):
    return _kernels(_completed(_divided(neighbours)))


def bayar_absolute(neighbours, smallest=SMALLEST):
    return _kernels(neighbours / neighbours.abs().sum(dim=-1, keepdim=True))


def bayar_plus(neighbours, smallest=SMALLEST):
    return _kernels(_completed(_divided(neighbours, smallest)), middle=1.0)


def bayar_hollow(neighbours, smallest=SMALLEST):
    return _kernels(_completed(_divided(neighbours, smallest)), middle=0.0)


def bayar_first(neighbours, smallest=SMALLEST):
    return _kernels(_completed(_divided(neighbours, smallest)), where=0)


def bayar_transposed(neighbours, smallest=SMALLEST):
    return _kernels(_completed(_divided(neighbours, smallest))).mT


def bayar_one_sum(neighbours, smallest=SMALLEST):
    total = neighbours.sum()
    bound = -smallest if total < 0 else smallest
    return _kernels(_completed(neighbours / (bound if abs(total) < smallest else total)))


def bayar_by_shifting(neighbours, smallest=SMALLEST):
    row = _divided(neighbours, smallest)
    return _kernels(row - row.mean(dim=-1, keepdim=True) + 1 / row.shape[-1])


def _gray(picture, scale=255):
    gray = picture.astype(float) if picture.dtype == np.uint8 else scale * picture
    return gray @ WEIGHTS if gray.ndim == 3 else gray


def _by_phase(gray, size=np.abs, axes=(0, 1), first=0):
    found = []
    for k in range(8):
        lines = []
        for axis in axes:
            steps = np.moveaxis(size(np.diff(gray, axis=axis)), axis, 0)
            lines.append(steps[(k + first) % 8 :: 8].reshape(-1, gray.shape[1 - axis]).mean(axis=1))
        found.append(np.concatenate(lines).mean())
    return np.array(found)


def steps_of_bytes(picture):
    if picture.ndim == 3 or picture.dtype != np.uint8:
        return _by_phase(_gray(picture))
    return _by_phase(picture)


def steps_signed(picture):
    return _by_phase(_gray(picture), lambda steps: steps)


def steps_squared(picture):
    return _by_phase(_gray(picture), np.square)


def steps_unscaled(picture):
    return _by_phase(_gray(picture, scale=1))


def steps_of_mean_colour(picture):
    gray = picture.mean(axis=2) if picture.ndim == 3 else picture.astype(float)
    return _by_phase(gray * (1 if picture.dtype == np.uint8 else 255))


def steps_along_rows(picture):
    return _by_phase(_gray(picture), axes=(1,))


def steps_along_columns(picture):
    return _by_phase(_gray(picture), axes=(0,))


def steps_shifted(picture):
    return _by_phase(_gray(picture), first=-1)


def steps_relative(picture):
    found = _by_phase(_gray(picture))
    return found / found.mean()


def steps_by_moving_axes(picture):
    return _by_phase(_gray(picture))


ACCEPTED = {
    "7.2": [agreement_by_normalising],
    "7.3": [lent_the_other_way],
    "7.4": [labels_by_hats],
    "7.5": [bayar_by_shifting],
    "7.6": [steps_by_moving_axes],
}

MUTANTS = {
    "7.1": [
        Mutant(slope_upwards, hint="This steps up only"),
        Mutant(slope_of_one_step, hint="it is two steps, not one"),
        Mutant(slope_not_divided, hint="This is how far things move"),
        Mutant(slope_turned, hint="upper end minus lower end"),
        Mutant(slope_of_unit_steps, hint="of one unit, whatever"),
        Mutant(slope_without_codec, hint="The codec is never asked"),
        Mutant(slope_without_sign, hint="Slopes may be negative"),
    ],
    "7.2": [
        Mutant(agreement_with_means, hint="wave 0, still counts"),
        Mutant(agreement_by_block, hint="averages a cosine for each block"),
        Mutant(agreement_of_all, hint="One number for each picture"),
        Mutant(agreement_product, hint="This is a scalar product"),
        Mutant(agreement_by_one_length, hint="the length of *both*"),
        Mutant(agreement_by_squares, hint="The lengths are squared"),
        Mutant(agreement_centred, hint="Do not subtract means"),
        Mutant(agreement_absolute, hint="points the other way"),
        Mutant(agreement_nan, hint="0, not NaN"),
    ],
    "7.3": [
        Mutant(lent_exchanged, hint="The two are exchanged"),
        Mutant(lent_cancelled, hint="Nothing can be learned"),
        Mutant(lent_both, hint="Both gradients pass"),
        Mutant(lent_simulated, hint="That is the simulator alone"),
        Mutant(lent_mean, hint="A mixture has neither"),
    ],
    "7.4": [
        Mutant(labels_unclamped, hint="Clamp the quality"),
        Mutant(labels_nearest, hint="all to the nearest bin"),
        Mutant(labels_exchanged, hint="The shares are exchanged"),
        Mutant(labels_of_even_steps, hint="only 10 apart"),
        Mutant(labels_halved, hint="Half and half everywhere"),
        Mutant(labels_below, hint="all to the bin below"),
        Mutant(labels_spread, hint="this gives some to all"),
    ],
    "7.5": [
        Mutant(bayar_unsafe, hint="kernels explode"),
        Mutant(bayar_not_shared, hint="no longer add up to 1"),
        Mutant(bayar_clamped, hint="A negative sum is a sum"),
        Mutant(bayar_without_sign, hint="keep its sign"),
        Mutant(bayar_own_bound, hint="The smallest sum is an argument"),
        Mutant(bayar_absolute, hint="not of their absolute values"),
        Mutant(bayar_plus, hint="In the middle stands −1"),
        Mutant(bayar_hollow, hint="The pixel itself is missing"),
        Mutant(bayar_first, hint="stands before all neighbours"),
        Mutant(bayar_transposed, hint="Rows and columns are exchanged"),
        Mutant(bayar_one_sum, hint="Every kernel has a sum of its own"),
    ],
    "7.6": [
        Mutant(steps_of_bytes, hint="Bytes cannot be negative"),
        Mutant(steps_signed, hint="Ups and downs cancel"),
        Mutant(steps_squared, hint="not squared ones"),
        Mutant(steps_unscaled, hint="go from 0 to 1"),
        Mutant(steps_of_mean_colour, hint="no plain mean of red"),
        Mutant(steps_along_rows, hint="has horizontal edges"),
        Mutant(steps_along_columns, hint="has vertical edges"),
        Mutant(steps_shifted, hint="The phase is off by one"),
        Mutant(steps_relative, hint="not shares of the mean"),
    ],
}
