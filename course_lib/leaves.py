"""Dead-leaves pictures: procedural pictures with the statistics of photographs.

Leaves of random sizes fall on each other until they cover the ground; what lies on top hides what
lies below, as objects do in front of a camera. With sizes r that are distributed as r⁻³ the result
looks the same at every scale, as photographs do on average: its power spectrum falls about as
1 / f². Such pictures come without a licence and without the traces of any lens.

Sources: A. Lee, D. Mumford and J. Huang, "Occlusion models for natural images" (IJCV 2001), for the
model; D. Ruderman, T. Cronin and C. Chiao, "Statistics of cone responses to natural images" (JOSA A
1998), for colours made of much luminance, less blue-yellow and little green-red; G. Burton and
I. Moorhead, "Color and spatial structure in natural scenes" (Applied Optics 1987), for spectra.
"""

from functools import lru_cache

import cv2
import numpy as np

from course_lib.errors import UsageError

# Colour axes: luminance, warm against cold (red - blue), magenta against green.
AXES = np.array([[1, 1, 1], [0.7, 0, -0.7], [0.4, -0.8, 0.4]])
FINE = 2  # leaves are drawn on a grid this much finer, which then softens their edges
SUBPIXEL = 4  # OpenCV takes coordinates in 1/16 pixel
VERTICES = 32
TILE = 512  # side of a texture tile; its area must be a power of two
BAND = 32  # rows of a picture that are painted at a time
# How much each tile's frequencies are stretched along y and x: two even ones, two with a grain.
GRAINS = ((1.0, 1.0), (1.0, 5.0), (5.0, 1.0), (2.0, 2.0))


def dead_leaves(
    size: int | tuple[int, int],
    rng: np.random.Generator | int,
    rmin: float = 2.0,
    rmax: float | None = None,
    cover: float = 3.0,
) -> np.ndarray:
    """Draw leaves that occlude each other, with r⁻³ sizes and the colours of photographs.

    Parameters
    ----------
    size : int or (height, width)
        Pixels.
    rng : numpy Generator or int
        Source of chance, or a seed: one seed gives one picture.
    rmin, rmax : float
        Smallest and largest radius in pixels; the largest is half the shorter side by default.
    cover : float
        How many leaves lie over a point on average. The ground under them is a leaf too.

    Returns
    -------
    uint8 ndarray, (height, width, 3)
        RGB.

    Source: A. Lee et al., "Occlusion models for natural images", IJCV 2001, section 3.
    """
    rng = np.random.default_rng(rng)
    height, width = (size, size) if isinstance(size, int) else size
    rmax = max(rmin + 1, min(height, width) / 2) if rmax is None else rmax
    number = leaf_count(height, width, rmin, rmax, cover)
    radii = leaf_radii(rng, number, rmin, rmax)
    centers = rng.uniform(-rmax, (width + rmax, height + rmax), (number, 2))
    # Only leaves that reach into the picture need to be drawn.
    beyond = np.abs(centers - (width / 2, height / 2)) - (width / 2, height / 2)
    seen = (beyond < radii[:, None]).all(axis=1)
    centers, radii = centers[seen], radii[seen]
    owner = np.zeros((FINE * height, FINE * width), np.int32)  # which leaf each point shows
    for leaf, outline in enumerate(leaf_outlines(rng, centers, radii), start=1):
        cv2.fillConvexPoly(owner, outline, leaf, shift=SUBPIXEL)
    places = np.vstack([(0.5, 0.5), centers / (width, height)])
    return painted(rng, owner, leaf_colors(rng, places))


def leaf_radii(rng: np.random.Generator, n: int, rmin: float, rmax: float) -> np.ndarray:
    """Draw n radii with density proportional to r⁻³ between rmin and rmax.

    The share of radii below r is F(r) = (rmin⁻² - r⁻²) / (rmin⁻² - rmax⁻²); solving u = F(r) for a
    uniform u gives the radius.

    Parameters
    ----------
    rng : numpy Generator
        Source of chance.
    n : int
        How many.
    rmin, rmax : float
        Limits, in any unit.

    Returns
    -------
    float64 ndarray, (n,)
        Radii in the unit of the limits.
    """
    u = rng.random(n)
    return (rmin**-2 - u * (rmin**-2 - rmax**-2)) ** -0.5


def leaf_count(height: int, width: int, rmin: float, rmax: float, cover: float) -> int:
    """Count the leaves that cover a picture and a margin of rmax ``cover`` times over.

    A leaf of radius r has the area π r², whatever its shape. For r⁻³ sizes its mean is
    2 π ln(rmax / rmin) / (rmin⁻² - rmax⁻²).
    """
    if not (0 < rmin < rmax and min(height, width) >= 1 and cover >= 0):
        raise UsageError(
            f"Leaves of radius {rmin} to {rmax} on {width} × {height} pixels, {cover} deep, are "
            "impossible: give a positive size, 0 < rmin < rmax and cover ≥ 0."
        )
    mean_area = 2 * np.pi * np.log(rmax / rmin) / (rmin**-2 - rmax**-2)
    return int(np.ceil(cover * (height + 2 * rmax) * (width + 2 * rmax) / mean_area))


def leaf_outlines(rng: np.random.Generator, centers: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Give each leaf a shape and a direction.

    Parameters
    ----------
    rng : numpy Generator
        Source of chance.
    centers : ndarray, (n, 2)
        x and y in pixels.
    radii : ndarray, (n,)
        Pixels.

    Returns
    -------
    int32 ndarray, (n, vertices, 2)
        Convex outlines on the fine grid in 1/16 pixel, as OpenCV draws them.
    """
    n = len(radii)
    shapes = _shapes()[rng.integers(len(_shapes()), size=n)]
    turned = radii * np.exp(2j * np.pi * rng.random(n))
    points = shapes * turned[:, None].astype(np.complex64)
    points += (centers @ (1, 1j))[:, None].astype(np.complex64)
    # A point (x, y) in pixels lies at (FINE x - 0.5, FINE y - 0.5) where OpenCV counts centres.
    on_grid = points.view(np.float32).reshape(n, VERTICES, 2) * np.float32(FINE) - np.float32(0.5)
    return np.rint(on_grid * np.float32(1 << SUBPIXEL)).astype(np.int32)


def leaf_colors(rng: np.random.Generator, places: np.ndarray) -> np.ndarray:
    """Draw a colour for each leaf as photographs have them: much luminance, little chroma.

    A colour is made on three axes, luminance, warm - cold and magenta - green. On each, a leaf has
    a part of its own and a part that varies smoothly over the picture, because things that are
    near each other resemble each other. Own parts have long tails: few leaves stand out.

    Parameters
    ----------
    rng : numpy Generator
        Source of chance.
    places : ndarray, (n, 2)
        Where the leaves lie, as fractions of the picture.

    Returns
    -------
    float32 ndarray, (n, 3)
        RGB in [0, 1].
    """
    waves = rng.normal(0, 1.2, (16, 2))  # cycles across the picture
    swing = rng.normal(0, 1, (16, 3)) / np.linalg.norm(waves, axis=1, keepdims=True).clip(0.5)
    region = np.cos(2 * np.pi * (places @ waves.T + rng.random(16))) @ swing
    own = rng.laplace(0, 1, (len(places), 3))
    scene = rng.normal((-0.4, 0.12, -0.02), (0.5, 0.14, 0.04))  # the light in this picture
    axes = scene + rng.uniform(0.6, 1.1) * ((0.5, 0.15, 0.05) * region + (0.45, 0.2, 0.08) * own)
    # A logistic curve keeps colours between black and white, and both of these free of chroma.
    return (1 / (1 + np.exp(-axes @ AXES))).astype(np.float32)


def painted(rng: np.random.Generator, owner: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Paint every leaf with its colour times its own cut-out of a 1/f texture, and soften edges.

    Parameters
    ----------
    rng : numpy Generator
        Source of chance.
    owner : int32 ndarray, (FINE height, FINE width)
        Which leaf each point of the fine grid shows.
    colors : float32 ndarray, (leaves, 3)
        RGB in [0, 1].

    Returns
    -------
    uint8 ndarray, (height, width, 3)
        RGB; each pixel is the mean of its points on the fine grid.
    """
    contrast = np.minimum(rng.lognormal(-2.3, 0.6, len(colors)), 0.3).astype(np.float32)
    corner = rng.integers(TILE * TILE, size=len(colors))
    tile = rng.integers(len(GRAINS), size=len(colors)) * TILE * TILE
    height, width = owner.shape[0] // FINE, owner.shape[1] // FINE
    picture = np.empty((height, width, 3), np.uint8)
    columns = np.arange(owner.shape[1])
    for top in range(0, height, BAND):  # in bands that stay in the processor's cache
        leaf = owner[FINE * top : FINE * (top + BAND)].astype(np.intp)
        rows = np.arange(FINE * top, FINE * top + len(leaf))[:, None]
        # One number per point counts through a tile row by row and starts again at its end.
        point = (rows * TILE + columns + corner.take(leaf)) & (TILE * TILE - 1)
        shade = 1 + contrast.take(leaf) * _tiles().take(point + tile.take(leaf))
        fine = colors.take(leaf, axis=0) * shade[..., None]
        band = cv2.resize(fine, (width, len(leaf) // FINE), interpolation=cv2.INTER_AREA)
        picture[top : top + BAND] = np.rint(band.clip(0, 1) * 255)
    return picture


def power_spectrum(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average a picture's luminance power over all directions, one value per frequency.

    Parameters
    ----------
    picture : ndarray, (height, width, 3)
        uint8, or float in [0, 1].

    Returns
    -------
    frequencies : float64 ndarray, (min(height, width) // 2 - 1,)
        Cycles per pixel, rising, below 0.5.
    power : float64 ndarray, same shape
        Mean squared amplitude in the ring around that frequency. A Hann window keeps the jump
        between opposite borders out of it.
    """
    gray = picture @ np.array([0.299, 0.587, 0.114]) / (255 if picture.dtype == np.uint8 else 1)
    height, width = gray.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    waves = (gray - np.average(gray, weights=window)) * window
    power = np.abs(np.fft.fft2(waves)) ** 2 / (window**2).sum()
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    rings = min(height, width) // 2
    ring = (radius * 2 * rings).astype(int).ravel()
    count, frequencies, total = (
        np.bincount(ring, weights)[1:rings] for weights in (None, radius.ravel(), power.ravel())
    )
    return frequencies / count, total / count


def spectral_slope(
    frequencies: np.ndarray, power: np.ndarray, low: float = 0.02, high: float = 0.35
) -> float:
    """Fit the exponent s of power ∝ frequency^s: about -2 for photographs and dead leaves.

    Parameters
    ----------
    frequencies, power : ndarray
        As ``power_spectrum`` returns them.
    low, high : float
        Range of the fit in cycles per pixel. Each octave in it has the same weight.
    """
    used = (low <= frequencies) & (frequencies <= high)
    x, y = np.log(frequencies[used]), np.log(power[used])
    # polyfit squares its weights; rings are denser by a factor f in the higher octaves.
    return float(np.polyfit(x, y, 1, w=frequencies[used] ** -0.5)[0])


def channel_correlation(picture: np.ndarray) -> np.ndarray:
    """Correlate red, green and blue over all pixels: 3 × 3, with ones on the diagonal.

    Parameters
    ----------
    picture : ndarray, (height, width, 3)
        uint8 or float. No channel may be constant.
    """
    return np.corrcoef(picture.reshape(-1, 3), rowvar=False)


@lru_cache(maxsize=1)
def _shapes() -> np.ndarray:
    """Convex unit outlines of area π: complex64 (shapes, vertices), a point being x + i y."""
    rng = np.random.default_rng(0)
    angles = 2 * np.pi * np.arange(VERTICES) / VERTICES
    outlines = []
    for power in (2, 2, 2, 2, 2, 2.5, 3, 4, 8):  # superellipses, from ellipse to rectangle
        x, y = (np.sign(v) * np.abs(v) ** (2 / power) for v in (np.cos(angles), np.sin(angles)))
        for _ in range(4):
            shear = rng.uniform(-0.3, 0.3)
            outlines.append(x + 1j * rng.uniform(0.3, 1) * (y + shear * x))
    for sides in (3, 4, 5, 6):
        for _ in range(4):
            turns = (np.arange(sides + 1) + rng.uniform(-0.3, 0.3, sides + 1)) / sides
            turns[-1] = turns[0] + 1
            along = np.linspace(0, sides, VERTICES, endpoint=False)
            outlines.append(
                np.interp(along, range(sides + 1), np.cos(2 * np.pi * turns))
                + 1j * np.interp(along, range(sides + 1), np.sin(2 * np.pi * turns))
            )
    unit = []
    for outline in outlines:
        area = 0.5 * np.abs(np.imag(np.conj(outline) * np.roll(outline, -1)).sum())
        unit.append((outline - outline.mean()) * np.sqrt(np.pi / area))
    return np.array(unit, np.complex64)


@lru_cache(maxsize=1)
def _tiles() -> np.ndarray:
    """Periodic 1/f textures of mean 0 and variance 1, one tile after the other, flat float32."""
    rng = np.random.default_rng(0)
    tiles = []
    for stretch_y, stretch_x in GRAINS:
        fy = np.fft.fftfreq(TILE)[:, None] * stretch_y
        fx = np.fft.rfftfreq(TILE) * stretch_x
        amplitude = 1 / np.maximum(np.hypot(fy, fx), 1 / TILE)
        amplitude[0, 0] = 0
        noise = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
        tile = np.fft.irfft2(noise * amplitude, s=(TILE, TILE))
        tiles.append(tile / tile.std())
    return np.array(tiles, np.float32).ravel()
