"""JPEG from scratch, as a layer of a network: colour, blocks, DCT, tables, rounding, and back.

Pictures are (n, 3, h, w) in [0, 1]; inside, planes count in gray levels, 0 to 255.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from course_lib.errors import UsageError

Subsampling = Literal["4:2:0", "4:4:4"]
Change = Callable[[Tensor, Tensor], Tensor]
"""What happens to DCT coefficients (n, blocks, 64), given the base table of their planes."""
SIDE = 8

# Annex K of the standard, tables K.1 and K.2; rows are vertical frequencies.
LUMA = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=torch.float64,
)
CHROMA = torch.full((SIDE, SIDE), 99, dtype=torch.float64)
CHROMA[:4, :4] = torch.tensor(
    [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]], dtype=torch.float64
)

TO_YCBCR = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]],
    dtype=torch.float64,
)
GRAY = torch.tensor([0.0, 128.0, 128.0], dtype=torch.float64)


def to_ycbcr(rgb: Tensor) -> Tensor:
    """Split colours into luma and two colour differences, as JPEG files do.

    Parameters
    ----------
    rgb : (n, 3, h, w) tensor, 0 to 255

    Returns
    -------
    (n, 3, h, w) tensor
        Y from 0 to 255; Cb and Cr from 0 to 255, 128 for grays.

    Source: JFIF 1.02, section 7.
    """
    mixed = torch.einsum("kc,nchw->nkhw", TO_YCBCR.to(rgb), rgb)
    return mixed + GRAY.to(rgb).view(3, 1, 1)


def to_rgb(ycc: Tensor) -> Tensor:
    """Undo `to_ycbcr`.

    Parameters
    ----------
    ycc : (n, 3, h, w) tensor

    Returns
    -------
    (n, 3, h, w) tensor
        Not clipped: files may hold luma and chroma that no colour has.
    """
    centred = ycc - GRAY.to(ycc).view(3, 1, 1)
    return torch.einsum("ck,nkhw->nchw", torch.linalg.inv(TO_YCBCR).to(ycc), centred)


def halved(planes: Tensor) -> Tensor:
    """Average every 2×2 pixels: half the resolution in both directions.

    Parameters
    ----------
    planes : (n, c, h, w) tensor, h and w even
    """
    return F.avg_pool2d(planes, 2)


def doubled(planes: Tensor) -> Tensor:
    """Bring planes back to twice the resolution, by the triangle filter that decoders use.

    Parameters
    ----------
    planes : (n, c, h, w) tensor
    """
    return F.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False)


def to_blocks(planes: Tensor) -> Tensor:
    """Cut planes into blocks of 8×8 pixels, row by row.

    Parameters
    ----------
    planes : (n, c, h, w) tensor, h and w multiples of 8

    Returns
    -------
    (n, c · h/8 · w/8, 8, 8) tensor
    """
    n, c, h, w = planes.shape
    rows = planes.reshape(n, c, h // SIDE, SIDE, w // SIDE, SIDE)
    return rows.transpose(3, 4).reshape(n, -1, SIDE, SIDE)


def from_blocks(blocks: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Undo `to_blocks`.

    Parameters
    ----------
    blocks : (n, m, 8, 8) tensor
    shape : (n, c, h, w)
        Of the planes.
    """
    n, c, h, w = shape
    rows = blocks.reshape(n, c, h // SIDE, w // SIDE, SIDE, SIDE)
    return rows.transpose(3, 4).reshape(n, c, h, w)


def dct_matrix(n: int = SIDE) -> Tensor:
    """Return the matrix D of the discrete cosine transform; a block's coefficients are D B Dᵀ.

    Parameters
    ----------
    n : int
        Side of the blocks.

    Returns
    -------
    (n, n) float64 tensor
        Orthogonal; row k is a cosine of k half periods.

    Source: N. Ahmed et al., "Discrete cosine transform", IEEE Trans. Computers 1974 (DCT-II).
    """
    k, x = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n) + 0.5
    waves = torch.cos(torch.pi / n * k * x) * (2 / n) ** 0.5
    waves[0] /= 2**0.5  # the constant wave holds twice the energy of the others
    return waves


@lru_cache(maxsize=8)
def both_ways(dtype: torch.dtype = torch.float64, device: torch.device | None = None) -> Tensor:
    """Return the (64, 64) matrix that transforms a flattened block at once: D ⊗ D."""
    return torch.kron(dct_matrix(), dct_matrix()).to(device, dtype)


def quantization_table(quality: float | Tensor, base: Tensor = LUMA) -> Tensor:
    """Scale a base table to a quality, as libjpeg does.

    Parameters
    ----------
    quality : number or (n,) tensor
        1 to 100; 50 is the base table itself.
    base : (8, 8) tensor
        `LUMA` or `CHROMA`.

    Returns
    -------
    (8, 8) or (n, 8, 8) float64 tensor
        Whole numbers from 1 to 255: the step of each coefficient.

    Raises
    ------
    UsageError
        For a quality outside 1 to 100.

    Source: the libjpeg of the Independent JPEG Group, ``jpeg_quality_scaling``.
    """
    q = torch.as_tensor(quality, dtype=torch.float64, device=base.device).round()
    if not ((q >= 1) & (q <= 100)).all():
        raise UsageError(f"JPEG quality {quality} is outside 1 to 100.")
    percent = torch.where(q < 50, torch.floor(5000 / q), 200 - 2 * q)
    steps = torch.floor((base * percent[..., None, None] + 50) / 100)
    return steps.clamp(1, 255)


def zigzag(n: int = SIDE) -> np.ndarray:
    """Return the order in which files store a block's coefficients: from low to high frequency.

    Parameters
    ----------
    n : int
        Side of the blocks.

    Returns
    -------
    (n, n) int array
        The place of each coefficient in the queue, 0 for the mean. Diagonals are walked in turn,
        even ones upward, odd ones downward.

    Source: ITU-T T.81, figure A.6.
    """
    cells = [(row, column) for row in range(n) for column in range(n)]
    cells.sort(key=lambda c: (c[0] + c[1], c[0] if (c[0] + c[1]) % 2 else c[1]))
    order = np.empty((n, n), int)
    for place, cell in enumerate(cells):
        order[cell] = place
    return order


def hard(x: Tensor) -> Tensor:
    """Round as a file does. Its gradient is zero almost everywhere: nothing can be learned."""
    return torch.round(x)


def straight_through(x: Tensor) -> Tensor:
    """Round, and pass gradients as if nothing had happened.

    Source: Y. Bengio et al., 2013.
    """
    return x + (torch.round(x) - x).detach()


def soft(x: Tensor) -> Tensor:
    """Round softly: to the nearest whole number plus the cube of what is left.

    Parameters
    ----------
    x : tensor

    Returns
    -------
    tensor
        At most 1/8 from the nearest whole number. Its slope, 3 (x − nearest)², is 0 there and 3/4
        halfway; no slope passes the rounding itself.

    Source: R. Shin and D. Song, "JPEG-resistant adversarial images", 2017 (JPEG-SS).
    """
    near = torch.round(x).detach()
    return near + (x - near) ** 3


def fourier(x: Tensor, terms: int = 9) -> Tensor:
    """Round smoothly: the first terms of the Fourier series of rounding.

    Parameters
    ----------
    x : tensor
    terms : int
        More follow the steps more closely and have steeper slopes.

    Source: CLR-Net; x − round(x) is a sawtooth, the sum of (−1)^(k+1) sin(2πkx) / (πk).
    """
    saw = torch.zeros_like(x)
    for k in range(1, terms + 1):
        saw = saw + (-1) ** (k + 1) / (torch.pi * k) * torch.sin(2 * torch.pi * k * x)
    return x - saw


def by_blocks(planes: Tensor, change: Change, base: Tensor) -> Tensor:
    """Transform all blocks of some planes, change their coefficients, and transform back.

    Parameters
    ----------
    planes : (n, c, h, w) tensor, 0 to 255, h and w multiples of 8
    change : callable
        See `changed`.
    base : (8, 8) tensor
        Base table of these planes.

    Returns
    -------
    (n, c, h, w) tensor, clipped to 0 to 255
    """
    transform = both_ways(planes.dtype, planes.device)
    coefficients = to_blocks(planes - 128).flatten(2) @ transform.T
    blocks = change(coefficients, base) @ transform
    return (from_blocks(blocks, planes.shape) + 128).clamp(0, 255)


def padded(pictures: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples, as encoders do.

    Parameters
    ----------
    pictures : (n, c, h, w) tensor
    multiple : int
    """
    h, w = pictures.shape[-2:]
    down, right = -h % multiple, -w % multiple
    return F.pad(pictures, (0, right, 0, down), mode="replicate") if down or right else pictures


def is_halved(subsampling: str) -> bool:
    """Say whether colour is stored at half the resolution; refuse what is no subsampling."""
    if subsampling not in ("4:2:0", "4:4:4"):
        raise UsageError(f"Subsampling {subsampling!r} is unknown: choose 4:2:0 or 4:4:4.")
    return subsampling == "4:2:0"


def changed(
    pictures: Tensor,
    change: Change,
    subsampling: Subsampling = "4:2:0",
    whole: bool = True,
) -> Tensor:
    """Change the DCT coefficients of pictures: everything about JPEG but the quantisation.

    Parameters
    ----------
    pictures : (n, 3, h, w) tensor in [0, 1]
        Of any size; edges are repeated up to whole blocks, as encoders do.
    change : callable
        Takes coefficients (n, blocks, 64) and the base table (8, 8) of their planes, and returns
        what becomes of them. All blocks of luma come in one call, those of both chromas in
        another.
    subsampling : "4:2:0" or "4:4:4"
        Colour at half the resolution, or at full.
    whole : bool
        Round luma and chroma to whole numbers as codecs do, on the way in and on the way out,
        with straight-through gradients. Without it everything but ``change`` is smooth.

    Returns
    -------
    (n, 3, h, w) tensor in [0, 1]
    """
    h, w = pictures.shape[-2:]
    half = is_halved(subsampling)
    stored = straight_through if whole else torch.clone
    ycc = stored(to_ycbcr(255 * padded(pictures, 16 if half else 8)))
    luma, chroma = ycc[:, :1], ycc[:, 1:]
    if half:
        # Halves between two whole numbers go down and up in turn, column by column, as in libjpeg.
        turn = torch.arange(chroma.shape[-1] // 2, device=chroma.device) % 2 - 0.5
        chroma = stored(halved(chroma) + (turn / 4 if whole else 0))
    luma = stored(by_blocks(luma, change, LUMA))
    chroma = stored(by_blocks(chroma, change, CHROMA))
    if half:
        # What lies beyond the picture must not be drawn on when colour is doubled.
        chroma = doubled(chroma[..., : (h + 1) // 2, : (w + 1) // 2])
    ycc = torch.cat([luma[..., :h, :w], chroma[..., :h, :w]], dim=1)
    return (to_rgb(ycc) / 255).clamp(0, 1)


def jpeg(
    pictures: Tensor,
    quality: float | Tensor,
    subsampling: Subsampling = "4:2:0",
    rounding: Callable[[Tensor], Tensor] = straight_through,
) -> Tensor:
    """Do to pictures what storing them as a JPEG does, with gradients.

    Parameters
    ----------
    pictures : (n, 3, h, w) tensor in [0, 1]
    quality : number or (n,) tensor
        1 to 100; one for all pictures, or one each.
    subsampling : "4:2:0" or "4:4:4"
    rounding : callable
        `hard`, `straight_through`, `soft` or `fourier`.

    Returns
    -------
    (n, 3, h, w) tensor in [0, 1]

    Raises
    ------
    UsageError
        For a quality outside 1 to 100 or an unknown subsampling.

    Source: ITU-T T.81 (the standard), without the lossless part, which changes nothing.
    """

    def quantised(coefficients: Tensor, base: Tensor) -> Tensor:
        table = quantization_table(quality, base.to(pictures.device))
        steps = table.to(coefficients).reshape(-1, 1, SIDE * SIDE)
        return steps * rounding(coefficients / steps)

    return changed(pictures, quantised, subsampling)
