"""What bounds recovery: bits that survive an attack, and the picture that so many bits buy.

A carrier moved by at most half a step can say any fraction; noise blurs it. How many bits it tells
is a matter of step and noise alone (`bits_of_fraction`). Steps are paid for in PSNR. On the other
side stands what a picture costs: any code for the lost area, however clever, draws it with an
error that bits have to buy off (`waterfilled`), and a codec of today needs more than that
(`codec_quality`). Where the two curves meet is the best that can be hoped for.

Sources: C. Shannon, "A mathematical theory of communication" (1948); T. Cover and J. Thomas,
"Elements of Information Theory", sections 8.6 and 10.3.3 (reverse water-filling).
"""

import cv2
import numpy as np

from course_lib.attacks.codec import through_jpeg
from course_lib.clrnet.frame import (
    BLOCK,
    CHEAPEST,
    from_blocks,
    rounded,
    squared,
    to_blocks,
    to_ycc,
)
from course_lib.clrnet.plan import ZIGZAG
from course_lib.clrnet.thumbnail import embedded
from course_lib.errors import UsageError
from course_lib.metrics import psnr as psnr_of

CARRIERS = tuple(ZIGZAG[6:16])
"""Frequencies of each block that are moved, unless others are named."""
SIZES = 16, 24, 32, 48, 64, 96
"""Sides of thumbnails that a codec is tried on."""
HEADER = 8 * 30
"""Bits of a WebP file that say only what it is: a code of one's own would not send them."""


def bits_of_fraction(noise: np.ndarray | float, points: int = 512) -> np.ndarray:
    """Bits that a fraction tells when Gaussian noise is added to it, modulo 1.

    Parameters
    ----------
    noise : array
        Standard deviation, in periods.
    points : int
        Of the numerical integral.

    Returns
    -------
    array
        ``-h``: the entropy of what is sent, which is 0, less that of the noise, wrapped.
    """
    sigma = np.atleast_1d(np.asarray(noise, float))[:, None, None].clip(0.4 / points)
    place = (np.arange(points) + 0.5) / points - 0.5
    wraps = np.arange(-4, 5)[:, None]
    density = np.exp(-0.5 * ((place + wraps) / sigma) ** 2) / sigma / np.sqrt(2 * np.pi)
    density = density.sum(axis=1) + 1e-300
    bits = (density * np.log2(density)).mean(axis=1).clip(0)
    return bits.reshape(np.shape(noise))


def step_of_psnr(psnr: float, carriers: int = len(CARRIERS)) -> float:
    """Step that costs a given PSNR when so many of a block's luma coefficients are moved.

    Parameters
    ----------
    psnr : float
        In dB, over R, G and B.
    carriers : int
        Of the 64 in a block.

    Returns
    -------
    float
        In gray values: a carrier moves by a 12th of its square on average, and luma is moved in
        the cheapest direction (`frame.CHEAPEST`).
    """
    if carriers < 1:
        raise UsageError("No carriers: give the number of coefficients that are moved, from 1 on.")
    error = 255.0**2 / 10 ** (psnr / 10)
    share = carriers / BLOCK**2 * float(CHEAPEST @ CHEAPEST) / 3
    return float(np.sqrt(12 * error / share))


def carrier_noise(
    picture: np.ndarray,
    step: float,
    quality: int | None,
    carriers: tuple[tuple[int, int], ...] = CARRIERS,
    offset: tuple[int, int] = (3, 5),
    seed: int = 0,
) -> np.ndarray:
    """Measure the noise that 8 bits, or a real JPEG file, add to carriers.

    Parameters
    ----------
    picture : (h, w, 3) uint8
        Sides are multiples of 8.
    step : float
        Of the embedding, in gray values.
    quality : int, optional
        Of the JPEG; 8 bits only without it.
    carriers : tuple of (down, across)
    offset : (x, y)
        Pixels that were cropped away at the left and the top: the grid of the file is not that of
        the code.
    seed : int
        Of what is embedded.

    Returns
    -------
    (carriers,) float64
        Standard deviations in steps, wrapped.
    """
    rng = np.random.default_rng(seed)
    luma = to_ycc(picture)[..., 0]
    blocks, (i, j) = to_blocks(luma), np.array(carriers).T
    said = rng.random((len(blocks), len(carriers)))
    change = np.zeros_like(blocks)
    change[:, i, j] = embedded(blocks[:, i, j], said, step) - blocks[:, i, j]
    marked = rounded(picture + from_blocks(change, luma.shape)[..., None] * CHEAPEST)
    x, y = offset
    seen = marked.copy()
    part = np.ascontiguousarray(marked[y:, x:])
    seen[y:, x:] = part if quality is None else through_jpeg(part, quality, halved=True)
    read = to_blocks(to_ycc(seen)[..., 0])[:, i, j] / step
    away = (read - said + 0.5) % 1 - 0.5
    across = picture.shape[1] // BLOCK
    inside = away.reshape(-1, across, len(carriers))[-(-y // BLOCK) :, -(-x // BLOCK) :]
    deviation: np.ndarray = np.sqrt((inside**2).mean(axis=(0, 1)))
    return deviation


def surviving_bits(picture: np.ndarray, psnr: float, quality: int | None, area: float) -> float:
    """Bits that reach the finder of a crop.

    Parameters
    ----------
    picture : (h, w, 3) uint8
        Sides are multiples of 8.
    psnr : float
        Of the protected picture.
    quality : int, optional
        Of the JPEG file that the crop was stored in.
    area : float
        Share of the blocks that is kept.
    """
    step = step_of_psnr(psnr)
    each = bits_of_fraction(carrier_noise(picture, step, quality))
    blocks = picture.shape[0] // BLOCK * (picture.shape[1] // BLOCK)
    return float(area * blocks * each.sum())


def waterfilled(variances: np.ndarray, bits: float) -> float:
    """Least squared error with which so many bits can describe independent Gaussian numbers.

    Parameters
    ----------
    variances : array
        Of the numbers.
    bits : float
        In all.

    Returns
    -------
    float
        Sum of squared errors: numbers below the water level are not described at all.

    Source: T. Cover and J. Thomas, theorem 10.3.3.
    """
    falling = np.sort(np.ravel(variances))[::-1].clip(1e-12)
    logs = np.cumsum(np.log2(falling))
    number = np.arange(1, len(falling) + 1)
    levels = 2 ** ((logs - 2 * bits) / number)  # if just the largest `number` are described
    described = int((levels <= falling).nonzero()[0].max()) + 1
    return float(levels[described - 1] * described + falling[described:].sum())


def gaussian_quality(picture: np.ndarray, bits: float) -> float:
    """PSNR that so many bits buy at best, if all that is known of a picture is its spectrum.

    Its coefficients would then be Gaussian. Edges are not: a codec that adapts to them can do
    better with many bits.

    Parameters
    ----------
    picture : (h, w, 3) uint8
        Sides are multiples of 8; the cosine transform of the whole decorrelates it, and powers are
        averaged over rings of like frequency.
    bits : float
    """
    from scipy.fft import dctn

    ycc = to_ycc(picture)
    h, w = ycc.shape[:2]
    ring = np.hypot(np.arange(h)[:, None] * w / h, np.arange(w)).round().astype(int).ravel()
    powers = []
    for channel in range(3):
        plane = ycc[..., channel] - ycc[..., channel].mean()
        power = dctn(plane, norm="ortho").ravel() ** 2
        powers.append((np.bincount(ring, power) / np.bincount(ring))[ring])
    error = waterfilled(np.concatenate(powers), bits) / (h * w)
    return float(10 * np.log10(255**2 / error))


def codec_quality(picture: np.ndarray, bits: float) -> float:
    """Best PSNR of a picture that a real codec (WebP) stores in so many bits.

    Parameters
    ----------
    picture : (h, w, 3) uint8
    bits : float
        The file's header is not counted.

    Returns
    -------
    float
        Over all sizes in `SIZES` and the file's qualities; that of the mean colour if none fits.
    """
    h, w = picture.shape[:2]
    best = psnr_of(picture, rounded(np.broadcast_to(picture.mean(axis=(0, 1)), picture.shape)))
    for side in SIZES:
        small = rounded(squared(picture, side))[..., ::-1]
        low, high = 0, 100  # the largest quality that fits, by halving
        while high - low > 1:
            middle = (low + high) // 2
            file = _stored(small, middle)
            low, high = (middle, high) if 8 * len(file) - HEADER <= bits else (low, middle)
        file = _stored(small, max(low, 1))
        if 8 * len(file) - HEADER > bits:
            continue
        read = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))[..., ::-1]
        larger = cv2.resize(read, (w, h), interpolation=cv2.INTER_CUBIC)
        best = max(best, psnr_of(picture, larger))
    return best


def _stored(picture: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
