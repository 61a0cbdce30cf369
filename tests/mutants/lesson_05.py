"""Common wrong answers to the exercises of lesson 05."""

from math import log, pi

import torch
import torch.nn.functional as F

from tests.mutants import Mutant


def uncouple_in_the_same_order(a, b, to_first, to_second):
    first = a - to_first(b)
    return first, b - to_second(first)


def uncouple_with_old_parts(a, b, to_first, to_second):
    return a - to_first(b), b - to_second(a)


def uncouple_adding(a, b, to_first, to_second):
    b = to_second(a) + b
    return to_first(b) + a, b


def uncouple_swapped_functions(a, b, to_first, to_second):
    old = b - to_first(a)
    return a - to_second(old), old


def uncouple_returning_b_first(a, b, to_first, to_second):
    b = b - to_second(a)
    return b, a - to_first(b)


def uncouple_in_one_line(a, b, to_first, to_second):
    old = torch.sub(b, to_second(a))
    return torch.sub(a, to_first(old)), old


def _halves(found):
    middle = found.shape[1] // 2
    return found[:, :middle], found[:, middle:]


def scale_without_limit(found, limit=1.0):
    s, shift = _halves(found)
    return 2 * torch.sigmoid(s) - 1, shift


def scale_never_shrinking(found, limit=1.0):
    s, shift = _halves(found)
    return limit / (1 + torch.exp(-s)), shift


def scale_too_steep(found, limit=1.0):
    s, shift = _halves(found)
    return torch.tanh(s) * limit, shift


def scale_clamped(found, limit=1.0):
    s, shift = _halves(found)
    return torch.clip(s, min=-limit, max=limit), shift


def scale_exponential(found, limit=1.0):
    s, shift = _halves(found)
    return torch.exp(limit * (2 * torch.sigmoid(s) - 1)), shift


def scale_with_bounded_shift(found, limit=1.0):
    return tuple(limit * (2 * torch.sigmoid(half) - 1) for half in _halves(found))


def scale_from_second_half(found, limit=1.0):
    shift, s = _halves(found)
    return limit * (2 * torch.sigmoid(s) - 1), shift


def scale_every_other_channel(found, limit=1.0):
    return limit * (2 * torch.sigmoid(found[:, 0::2]) - 1), found[:, 1::2]


def scale_by_sigmoid(found, limit=1.0):
    s, shift = _halves(found)
    return limit * (2 * torch.sigmoid(s) - 1), shift


def _volume(*logs):
    return sum(each.reshape(len(each), -1).sum(dim=1) for each in logs)


def affine_of_old_a(a, b, to_first, to_second):
    (one, move), (other, push) = to_first(b), to_second(a)
    return torch.exp(one) * a + move, torch.exp(other) * b + push, _volume(one, other)


def affine_second_part_first(a, b, to_first, to_second):
    other, push = to_second(a)
    b = torch.exp(other) * b + push
    one, move = to_first(b)
    return torch.exp(one) * a + move, b, _volume(one, other)


def affine_without_exponential(a, b, to_first, to_second):
    one, move = to_first(b)
    a = one * a + move
    other, push = to_second(a)
    return a, other * b + push, _volume(one, other)


def affine_shifting_first(a, b, to_first, to_second):
    one, move = to_first(b)
    a = torch.exp(one) * (a + move)
    other, push = to_second(a)
    return a, torch.exp(other) * (b + push), _volume(one, other)


def _affine(a, b, to_first, to_second, volume):
    one, move = to_first(b)
    a = torch.exp(one) * a + move
    other, push = to_second(a)
    return a, torch.exp(other) * b + push, volume(one, other)


def affine_volume_of_first(a, b, to_first, to_second):
    return _affine(a, b, to_first, to_second, lambda one, other: _volume(one))


def affine_volume_of_batch(a, b, to_first, to_second):
    return _affine(a, b, to_first, to_second, lambda one, other: _volume(one, other).sum())


def affine_volume_averaged(a, b, to_first, to_second):
    def mean(one, other):
        return (_volume(one, other)) / one[0].numel()

    return _affine(a, b, to_first, to_second, mean)


def affine_volume_of_scales(a, b, to_first, to_second):
    return _affine(a, b, to_first, to_second, lambda one, other: _volume(one.exp(), other.exp()))


def affine_by_loop(a, b, to_first, to_second):
    volume, parts = torch.zeros(len(a)), [a, b]
    for place, function in enumerate((to_first, to_second)):
        log_scale, shift = function(parts[1 - place])
        parts[place] = torch.addcmul(shift, parts[place], log_scale.exp())
        volume = volume + log_scale.reshape(len(a), -1).sum(dim=1)
    return *parts, volume


def _log_normal(z):
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).reshape(len(z), -1)


def likelihood_less_volume(z, log_det):
    return _log_normal(z).sum(dim=1) - log_det


def likelihood_without_volume(z, log_det):
    return _log_normal(z).sum(dim=1)


def likelihood_constant_once(z, log_det):
    return -0.5 * z.reshape(len(z), -1).pow(2).sum(dim=1) - 0.5 * log(2 * pi) + log_det


def likelihood_without_constant(z, log_det):
    return log_det - 0.5 * z.reshape(len(z), -1).pow(2).sum(dim=1)


def likelihood_averaged_numbers(z, log_det):
    return _log_normal(z).mean(dim=1) + log_det


def likelihood_not_halved(z, log_det):
    return -(z**2 + log(2 * pi)).reshape(len(z), -1).sum(dim=1) + log_det


def likelihood_as_loss(z, log_det):
    return -(_log_normal(z).sum(dim=1) + log_det)


def likelihood_of_batch(z, log_det):
    return torch.mean(_log_normal(z).sum(dim=1) + log_det)


def likelihood_by_distribution(z, log_det):
    return _log_normal(z).sum(dim=1) + log_det


def norm_of_the_kernel(weight, size):
    return torch.linalg.matrix_norm(weight.reshape(len(weight), -1), 2)


def norm_of_all_weights(weight, size):
    return torch.linalg.vector_norm(weight)


def norm_by_absolute_sums(weight, size):
    return torch.stack([each.abs().sum() for each in weight]).max()


def norm_of_constants(weight, size):
    return torch.linalg.matrix_norm(weight.sum(dim=(2, 3)), 2)


def norm_without_padding(weight, size):
    spectrum = torch.fft.fft2(weight).flatten(2).permute(2, 0, 1)
    return torch.linalg.matrix_norm(spectrum, 2).max()


def norm_of_real_parts(weight, size):
    spectrum = torch.fft.fft2(weight, s=size).real
    return torch.linalg.matrix_norm(spectrum.permute(2, 3, 0, 1), 2).max()


def norm_over_wrong_axes(weight, size):
    return torch.linalg.matrix_norm(torch.fft.fft2(weight, s=size), 2).max()


def norm_of_single_channels(weight, size):
    return torch.fft.fft2(weight, s=size).abs().amax()


def norm_of_average_frequency(weight, size):
    spectrum = torch.fft.fft2(weight, s=size).permute(2, 3, 0, 1)
    return torch.linalg.matrix_norm(spectrum, 2).mean()


def norms_of_all_frequencies(weight, size):
    spectrum = torch.fft.fft2(weight, s=size).permute(2, 3, 0, 1)
    return torch.linalg.matrix_norm(spectrum, 2)


def norm_by_padding_by_hand(weight, size):
    k = weight.shape[-1]
    padded = F.pad(weight, (0, size[1] - k, 0, size[0] - k))
    spectrum = torch.fft.fft2(padded).flatten(2).permute(2, 0, 1)
    return torch.linalg.matrix_norm(spectrum, 2).max()


def _corners(x):
    return x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]


def _four(p, q, r, s):
    return [p + q + r + s, p - q + r - s, p + q - r - s, p - q - r + s]


def down_without_half(x):
    return torch.stack(_four(*_corners(x)), dim=2).flatten(1, 2)


def down_with_a_quarter(x):
    return torch.stack(_four(*_corners(x)), dim=2).flatten(1, 2) / 4


def down_y_first(x):
    mean, along_x, along_y, both = _four(*_corners(x))
    return torch.stack([mean, along_y, along_x, both], dim=2).flatten(1, 2) / 2


def down_right_minus_left(x):
    mean, along_x, along_y, both = _four(*_corners(x))
    return torch.stack([mean, -along_x, -along_y, both], dim=2).flatten(1, 2) / 2


def down_band_by_band(x):
    return torch.cat(_four(*_corners(x)), dim=1) / 2


def down_by_quadrants(x):
    (p, q), (r, s) = (half.chunk(2, dim=3) for half in x.chunk(2, dim=2))
    return torch.stack(_four(p, q, r, s), dim=2).flatten(1, 2) / 2


def down_by_convolution(x):
    one, step = torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0])
    pairs = [(one, one), (one, step), (step, one), (step, step)]
    kernels = torch.stack([torch.outer(y, x_) for y, x_ in pairs])[:, None] / 2
    return F.conv2d(x, kernels.repeat(x.shape[1], 1, 1, 1), stride=2, groups=x.shape[1])


def _woven(p, q, r, s):
    n, c, h, w = p.shape
    whole = p.new_zeros(n, c, 2 * h, 2 * w)
    whole[..., ::2, ::2], whole[..., ::2, 1::2] = p, q
    whole[..., 1::2, ::2], whole[..., 1::2, 1::2] = r, s
    return whole


def _apart(bands):
    return [bands[:, k::4] for k in range(4)]


def up_without_half(bands):
    return _woven(*_four(*_apart(bands)))


def up_with_a_quarter(bands):
    return _woven(*_four(*_apart(bands))) / 4


def up_y_first(bands):
    mean, along_y, along_x, both = _apart(bands)
    return _woven(*_four(mean, along_x, along_y, both)) / 2


def up_with_turned_signs(bands):
    mean, along_x, along_y, both = _apart(bands)
    return _woven(*_four(mean, -along_x, -along_y, both)) / 2


def up_band_by_band(bands):
    return _woven(*_four(*bands.chunk(4, dim=1))) / 2


def up_by_quadrants(bands):
    p, q, r, s = _four(*_apart(bands))
    return torch.cat([torch.cat([p, q], dim=3), torch.cat([r, s], dim=3)], dim=2) / 2


def up_by_weaving(bands):
    return _woven(*_four(*_apart(bands))) / 2


ACCEPTED = {
    "5.1": [uncouple_in_one_line],
    "5.2": [scale_by_sigmoid],
    "5.3": [affine_by_loop],
    "5.4": [likelihood_by_distribution],
    "5.5": [norm_by_padding_by_hand],
    "5.6": [down_by_convolution],
    "5.7": [up_by_weaving],
}

MUTANTS = {
    "5.1": [
        Mutant(uncouple_in_the_same_order, hint="Undo the last one first"),
        Mutant(uncouple_with_old_parts, hint="Use b after it was put back"),
        Mutant(uncouple_adding, hint="must be subtracted"),
        Mutant(uncouple_swapped_functions, hint="functions are mixed up"),
        Mutant(uncouple_returning_b_first, hint="Return a first"),
    ],
    "5.2": [
        Mutant(scale_without_limit, hint="`limit` is not used"),
        Mutant(scale_never_shrinking, hint="no scale could shrink"),
        Mutant(scale_too_steep, hint="twice as steep"),
        Mutant(scale_clamped, hint="stops the gradient"),
        Mutant(scale_exponential, hint="Return the *logarithm*"),
        Mutant(scale_with_bounded_shift, hint="Shifts need no bound"),
        Mutant(scale_from_second_half, hint="The first half of the channels"),
        Mutant(scale_every_other_channel, hint="not every other one"),
    ],
    "5.3": [
        Mutant(affine_of_old_a, hint="as the *first step left it*"),
        Mutant(affine_second_part_first, hint="The first part moves first"),
        Mutant(affine_without_exponential, hint="take its exponential"),
        Mutant(affine_shifting_first, hint="Scale first, then shift"),
        Mutant(affine_volume_of_first, hint="second step changes volumes too"),
        Mutant(affine_volume_of_batch, hint="one number a *sample*"),
        Mutant(affine_volume_averaged, hint="a sum, no mean"),
        Mutant(affine_volume_of_scales, hint="product of the scales"),
    ],
    "5.4": [
        Mutant(likelihood_less_volume, hint="The sign of the volume"),
        Mutant(likelihood_without_volume, hint="log_det is not used"),
        Mutant(likelihood_constant_once, hint="for *each* number"),
        Mutant(likelihood_without_constant, hint="ln 2π is missing"),
        Mutant(likelihood_averaged_numbers, hint="do not average"),
        Mutant(likelihood_not_halved, hint="exponent of a normal density"),
        Mutant(likelihood_as_loss, hint="That is the loss"),
        Mutant(likelihood_of_batch, hint="One number for each sample"),
    ],
    "5.5": [
        Mutant(norm_of_the_kernel, hint="which spectral normalisation uses"),
        Mutant(norm_of_all_weights, hint="length of all weights"),
        Mutant(norm_by_absolute_sums, hint="bounds the largest pixel"),
        Mutant(norm_of_constants, hint="constant pictures only"),
        Mutant(norm_without_padding, hint="padded to the picture's size"),
        Mutant(norm_of_real_parts, hint="imaginary part counts"),
        Mutant(norm_over_wrong_axes, hint="move the frequencies to the front"),
        Mutant(norm_of_single_channels, hint="Channels act together"),
        Mutant(norm_of_average_frequency, hint="The worst frequency counts"),
        Mutant(norms_of_all_frequencies, hint="Return one number"),
    ],
    "5.6": [
        Mutant(down_without_half, hint="every length doubles"),
        Mutant(down_with_a_quarter, hint="rows of the matrix must have length 1"),
        Mutant(down_y_first, hint="differences along x (left minus right)"),
        Mutant(down_right_minus_left, hint="and top minus bottom"),
        Mutant(down_band_by_band, hint="channel 0's four first"),
        Mutant(down_by_quadrants, hint="not a quarter of the picture"),
    ],
    "5.7": [
        Mutant(up_without_half, hint="own inverse with it"),
        Mutant(up_with_a_quarter, hint="in both directions"),
        Mutant(up_y_first, hint="from column to column"),
        Mutant(up_with_turned_signs, hint="the sum of all four bands"),
        Mutant(up_band_by_band, hint="Every four planes in a row"),
        Mutant(up_by_quadrants, hint="interleave rows and columns"),
    ],
}
