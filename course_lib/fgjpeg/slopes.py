"""How true slopes are: what a simulator says of a small change, and what a real file does to it.

A change is measured in amounts of the 64 waves of each 8×8 block of luma, in gray levels, because
that is where files decide what survives.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.attacks.jpeg import SIDE, both_ways, from_blocks, to_blocks, to_ycbcr

WAVES = SIDE * SIDE
"""In a block; number 8 v + u has v half periods down and u across."""
Codec = Callable[[Tensor], Tensor]
"""Takes pictures (n, 3, h, w) in [0, 1] and returns what comes of them."""


def waves_of(pictures: Tensor) -> Tensor:
    """Measure how much of each wave every block of luma has.

    Parameters
    ----------
    pictures : (n, 3, h, w) tensor in [0, 1], h and w multiples of 8

    Returns
    -------
    (n, h/8 · w/8, 64) tensor
        In gray levels; number 0 is eight times the block's mean, from middle gray.
    """
    luma = to_ycbcr(255 * pictures)[:, :1] - 128
    return to_blocks(luma).flatten(2) @ both_ways(pictures.dtype, pictures.device).T


def with_waves(pictures: Tensor, amounts: Tensor) -> Tensor:
    """Add waves to every block, the same in red, green and blue.

    Parameters
    ----------
    pictures : (n, 3, h, w) tensor in [0, 1], h and w multiples of 8
    amounts : tensor that broadcasts to (n, h/8 · w/8, 64)
        In gray levels.

    Returns
    -------
    (n, 3, h, w) tensor
        Not clipped.
    """
    n, _, h, w = pictures.shape
    wide = amounts.expand(n, h * w // WAVES, WAVES)
    blocks = wide @ both_ways(pictures.dtype, pictures.device)
    return pictures + from_blocks(blocks, (n, 1, h, w)) / 255


def said_slopes(simulator: Codec, pictures: Tensor, wanted: Tensor) -> Tensor:
    """Ask a simulator's gradient how much each wave of each block counts for a loss.

    The loss is the sum of all waves that come out, each times what is ``wanted``.

    Parameters
    ----------
    simulator : callable
        With gradients.
    pictures : (n, 3, h, w) tensor
    wanted : (n, blocks, 64) tensor

    Returns
    -------
    (n, blocks, 64) tensor
        Slope of the loss for every amount.
    """
    amounts = torch.zeros_like(wanted, requires_grad=True)
    out = waves_of(simulator(with_waves(pictures, amounts)))
    (slopes,) = torch.autograd.grad((wanted * out).sum(), amounts)
    return slopes


@torch.no_grad()
def mean_slope(codec: Codec, pictures: Tensor, change: Tensor, step: float) -> Tensor:
    """Change pictures a step up and a step down, and see what comes out of it.

    Parameters
    ----------
    codec : callable
        Needs no gradients.
    pictures : (n, 3, h, w) tensor in [0, 1]
    change : tensor that broadcasts to (n, blocks, 64)
        Which waves are changed, and by how much in one unit.
    step : float
        Units up, and down.

    Returns
    -------
    (n, blocks, 64) tensor
        How far every wave that comes out moves for one unit, on average over both steps: the mean
        of all slopes between the two ends.
    """
    up, down = (codec(with_waves(pictures, sign * step * change)) for sign in (1, -1))
    return (waves_of(up) - waves_of(down)) / (2 * step)


def true_slopes(codec: Codec, pictures: Tensor, wanted: Tensor, step: float) -> Tensor:
    """Try every wave out on a codec: the gradient of the same loss, by `mean_slope`.

    One wave is changed in all blocks at once, which takes 128 files a picture; blocks hardly meet,
    and the loss of each is its own.

    Parameters
    ----------
    codec : callable
        Needs no gradients.
    pictures : (n, 3, h, w) tensor in [0, 1]
    wanted : (n, blocks, 64) tensor
        As for `said_slopes`.
    step : float
        Gray levels.

    Returns
    -------
    (n, blocks, 64) tensor
    """
    each = (mean_slope(codec, pictures, wave, step) for wave in torch.eye(WAVES).to(wanted))
    return torch.stack([(wanted * slope).sum(-1) for slope in each], dim=-1)


def agreement(said: Tensor, true: Tensor) -> Tensor:
    """Cosine of the angle between two gradients, for each picture.

    Parameters
    ----------
    said, true : (n, blocks, 64) tensors
        The mean of each block, wave 0, is left out.

    Returns
    -------
    (n,) tensor
        1 where they point the same way, 0 where one says nothing of the other, or nothing at all.
    """
    a, b = (each[..., 1:].flatten(1) for each in (said, true))
    lengths = a.norm(dim=1) * b.norm(dim=1)
    return (a * b).sum(1) / lengths.clamp(min=1e-12)
