"""One lens with all its faults, applied to whole pictures or to patches of them."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

import cv2
import numpy as np
from numpy.polynomial import chebyshev

from course_lib.errors import UsageError
from course_lib.lens.chromatic import NARROWEST, blur_at
from course_lib.lens.distortion import undistort_radius
from course_lib.lens.pixels import GRAYS, sensor_noise
from course_lib.lens.resample import KERNELS, Kernel, prepared, read_between
from course_lib.lens.vignetting import cos4, falloff

TILE_PIXELS = 80_000
"""Pixels rendered at a time: small enough for a processor's cache, large enough to be worth it."""

LONGEST_SIDE = 32_766
"""OpenCV's limit for resampling."""


@dataclass(frozen=True)
class Lens:
    """A lens, its sensor and its camera; the default is a perfect one, which changes nothing.

    The order is a camera's: geometry (distortion and each channel's magnification, resampled once
    a channel) → longitudinal blur → vignetting → noise → saturation or grayscale. All channels
    are zoomed by the smallest common factor with which no pixel is read outside the frame, so
    that there are no black borders to give the lens away (see `zoom`).

    Parameters
    ----------
    red, green, blue : float
        Magnification of each channel about the optical centre, 0.5 to 2. Green 0.4 % inward is
        ``green=0.996``.
    blur, blur_axis : (red, green, blue)
        σ of each channel's longitudinal blur in pixels, at r = 1 and on the axis (see `blur_at`).
    vignetting : float
        Strength of the paper's polynomial, 0 to 1 (see `falloff`).
    cos4 : float
        Half angle of view in degrees for natural vignetting; 0 is none.
    distortion : float
        k₁ of `distort_radius`: negative is barrel, positive pincushion.
    saturation : float
        0 gray, 1 as is, 2 exaggerated (see `saturate`).
    grayscale : bool, "luma" or "green"
        True is "luma" (see `grayscale`).
    noise : float
        σ of a white pixel by shot noise, and four times that of read noise (see `sensor_noise`).
    center : (x, y)
        Optical centre as fractions of width and height.
    kernel : "linear", "cubic", "lanczos" or "spline"
        How channels are read between pixels (compared in `course_lib.lens.resample`).
    linear_light : bool
        Vignette light instead of pixel values, by undoing and redoing the sRGB curve. The paper
        vignettes pixel values as they are.

    Raises
    ------
    UsageError
        A value is outside its range.
    """

    red: float = 1.0
    green: float = 1.0
    blue: float = 1.0
    blur: tuple[float, float, float] = (0.0, 0.0, 0.0)
    blur_axis: tuple[float, float, float] = (0.0, 0.0, 0.0)
    vignetting: float = 0.0
    cos4: float = 0.0
    distortion: float = 0.0
    saturation: float = 1.0
    grayscale: bool | Literal["luma", "green"] = False
    noise: float = 0.0
    center: tuple[float, float] = (0.5, 0.5)
    kernel: Kernel = "cubic"
    linear_light: bool = False

    def __post_init__(self) -> None:
        for name in ("blur", "blur_axis", "center"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        for name, low, high in _RANGES:
            for value in np.ravel(getattr(self, name)):
                if not (isinstance(value, int | float | np.number) and low <= value <= high):
                    raise UsageError(f"{name} = {value} is outside {low:g} to {high:g}.")
        if self.kernel not in KERNELS:
            raise UsageError(
                f"kernel '{self.kernel}' is unknown: choose one of {', '.join(KERNELS)}."
            )
        if self.grayscale not in (False, True, "luma", "green"):
            raise UsageError(
                f"grayscale = {self.grayscale!r} is unknown: choose False, True, 'luma' or 'green'."
            )

    @property
    def magnifications(self) -> tuple[float, float, float]:
        """Red, green and blue magnification."""
        return self.red, self.green, self.blue

    @property
    def perfect(self) -> bool:
        """Whether the lens changes nothing, so that a picture passes bit for bit."""
        return self == replace(Lens(), **{name: getattr(self, name) for name in _SETTINGS})

    def zoom(self, shape: tuple[int, ...]) -> float:
        """Return the factor by which all channels are zoomed so that the frame stays filled.

        A point at radius R of the frame's border is drawn at radius m R (1 + k₁ R²). The picture
        of the border lies outside the frame everywhere if it is zoomed by
        1 / (m_min · min(1 + k₁ R²)), and no less will do. The minimum over the border is at its
        farthest point for a barrel, at its nearest for a pincushion, which may shrink.

        Parameters
        ----------
        shape : (height, width, ...)

        Raises
        ------
        UsageError
            The distortion folds the picture over inside the frame: 1 + 3 k₁ r² ≤ 0 in a corner.
        """
        return _Frame(self, shape).zoom

    def apply(
        self, picture: np.ndarray, rng: np.random.Generator | int | None = None
    ) -> np.ndarray:
        """Photograph a picture through the lens.

        Parameters
        ----------
        picture : HxWx3 uint8, or float32 in [0, 1]
            At least 2×2 pixels. It is not changed.
        rng : numpy.random.Generator or int
            Source of the noise, or a seed; needed if ``noise`` > 0.

        Returns
        -------
        HxWx3, same dtype

        Raises
        ------
        UsageError
            The picture has another form, noise has no seed, or the distortion folds the picture.
        """
        _check(picture)
        if self.perfect:
            return picture.copy()
        frame = _Frame(self, picture.shape)
        height, width = picture.shape[:2]
        out = np.empty(picture.shape, picture.dtype)
        step = max(TILE_PIXELS // width, 16)
        bands = [slice(top, min(top + step, height)) for top in range(0, height, step)]
        places = [
            frame.places(np.array([[0, band.start]]), (band.stop - band.start, width))
            for band in bands
        ]
        noises = self._streams(rng, len(bands))
        sharp = [np.empty((1, height, width), np.float32) for _ in range(3)]
        plane = np.empty((height, width), np.float32)  # one for all: fresh memory takes time

        def read(c: int, source: np.ndarray, band: slice, places: _Places) -> None:
            sharp[c][:, band] = frame.read(source, c, places)

        def finish(band: slice, places: _Places, noise: np.random.Generator | None) -> None:
            light = [(sharp[c][:, band], frame.soft_band(sharp[c], c, band)) for c in range(3)]
            frame.finish(light, places, noise, out[None, band])

        with _workers() as each:
            for c in range(3):
                each(partial(read, c, frame.load(picture, c, plane)), bands, places)
            each(finish, bands, places, noises)
        return out

    def patches(
        self,
        picture: np.ndarray,
        corners: Any,
        size: int = 96,
        rng: np.random.Generator | int | None = None,
    ) -> np.ndarray:
        """Photograph a picture, but develop only some square patches of the photograph.

        Equal to cutting the patches from ``apply(picture)``, without the cost of the rest.

        Parameters
        ----------
        picture : HxWx3 uint8, or float32 in [0, 1]
        corners : (n, 2) integers
            (x, y) of each patch's upper left pixel.
        size : int
            Side of the patches in pixels.
        rng : numpy.random.Generator or int
            As for `apply`.

        Returns
        -------
        (n, size, size, 3), same dtype

        Raises
        ------
        UsageError
            As for `apply`, or a patch does not lie inside the picture.
        """
        _check(picture)
        corners = _corners(corners, size, picture.shape)
        out = np.empty((len(corners), size, size, 3), picture.dtype)
        if self.perfect:
            for patch, (x, y) in zip(out, corners, strict=True):
                patch[:] = picture[y : y + size, x : x + size]
            return out
        frame = _Frame(self, picture.shape)
        planes = [frame.load(picture, c) for c in range(3)]
        m = max(frame.margins)
        step = max(TILE_PIXELS // (size + 2 * m) ** 2, 1)
        groups = [slice(i, min(i + step, len(corners))) for i in range(0, len(corners), step)]

        def take(group: slice, noise: np.random.Generator | None) -> None:
            wide = frame.places(corners[group] - m, (size + 2 * m, size + 2 * m))
            light = []
            for c in range(3):
                own = frame.margins[c]
                sharp = frame.read(planes[c], c, wide.inner(m - own))
                soft = frame.soften(sharp, c)
                light.append((_inner(sharp, own), None if soft is None else _inner(soft, own)))
            frame.finish(light, wide.inner(m), noise, out[group])

        with _workers() as each:
            each(take, groups, self._streams(rng, len(groups)))
        return out

    def _streams(self, rng: np.random.Generator | int | None, count: int) -> list[Any]:
        """One stream of noise for each tile, so that the result does not depend on threads."""
        if not self.noise:
            return [None] * count
        if rng is None:
            raise UsageError("noise > 0 needs a seed: pass rng=0 or a numpy Generator.")
        return list(np.random.default_rng(rng).spawn(count))


class _Places:
    """Where the pixels of n tiles lie, in pixels from the optical centre."""

    def __init__(self, dx: np.ndarray, dy: np.ndarray, half_diagonal: float) -> None:
        self.dx, self.dy = dx, dy  # (n, 1, w) and (n, h, 1)
        self.half_diagonal = half_diagonal

    def inner(self, margin: int) -> "_Places":
        """Cut a margin off the tiles."""
        if not margin:
            return self
        cut = slice(margin, -margin)
        inner = _Places(self.dx[..., cut], self.dy[:, cut], self.half_diagonal)
        if "square" in self.__dict__:
            inner.square = self.square[:, cut, cut]
        return inner

    @cached_property
    def square(self) -> np.ndarray:
        """r² as (n, h, w) float32."""
        x2, y2 = (np.square(d / self.half_diagonal).astype(np.float32) for d in (self.dx, self.dy))
        return x2 + y2

    @cached_property
    def r(self) -> np.ndarray:
        """Radius as (n, h, w) float32; 1 in the corners of a centred lens."""
        return np.sqrt(self.square)


class _Frame:
    """A lens at work on pictures of one size: everything that can be computed beforehand."""

    def __init__(self, lens: Lens, shape: tuple[int, ...]) -> None:
        self.lens = lens
        self.height, self.width = shape[:2]
        self.cx, self.cy = lens.center[0] * self.width, lens.center[1] * self.height
        self.half_diagonal = math.hypot(self.width, self.height) / 2
        far = math.hypot(max(self.cx, self.width - self.cx), max(self.cy, self.height - self.cy))
        near = min(self.cx, self.width - self.cx, self.cy, self.height - self.cy)
        self.farthest, nearest = far / self.half_diagonal, near / self.half_diagonal
        k1 = lens.distortion
        if 1 + 3 * k1 * self.farthest**2 <= 0:
            raise UsageError(
                f"distortion = {k1:g} folds the picture over before its corner: choose a value "
                f"above {-1 / (3 * self.farthest**2):.4f}."
            )
        drawn = 1 + k1 * (self.farthest if k1 < 0 else nearest) ** 2
        self.zoom = 1 / (min(lens.magnifications) * drawn)
        self.scales = [1 / (self.zoom * m) for m in lens.magnifications]
        self.bends = [self._bend_polynomial(scale) if k1 else None for scale in self.scales]
        self.widest = [self._widest_blur(c) for c in range(3)]
        # OpenCV's Gaussians reach 4 σ and at most one pixel more.
        self.margins = [math.ceil(4 * sigma) + 1 if sigma else 0 for sigma in self.widest]

    def _widest_blur(self, c: int) -> float:
        """σ of the one Gaussian that channel c is mixed with, 0 if it stays sharp."""
        ends = blur_at(np.array([0, self.farthest]), self.lens.blur_axis[c], self.lens.blur[c])
        return max(float(ends.max()), NARROWEST) if ends.any() else 0.0

    def load(self, picture: np.ndarray, c: int, plane: np.ndarray | None = None) -> np.ndarray:
        """Take channel c out of a picture as float32 in [0, 1], prepared for reading."""
        channel = cv2.extractChannel(picture, c)
        if picture.dtype == np.uint8:
            scale = np.float32(1 / 255)
            channel = np.multiply(channel, scale, out=plane, dtype=np.float32)
        return prepared(channel, self._kernel(c))

    def _kernel(self, c: int) -> Kernel:
        """Kernel for channel c; on whole pixels there is nothing to interpolate."""
        moved = self.lens.distortion or abs(self.scales[c] - 1) > 1e-12
        return self.lens.kernel if moved else "linear"

    def places(self, corners: np.ndarray, size: tuple[int, int]) -> _Places:
        """Positions of the pixels of n tiles of `size` (h, w) whose upper left is at `corners`."""
        # Beyond the frame the picture is reflected, which is what cv2.GaussianBlur does there.
        columns = _reflect(corners[:, 0, None] + np.arange(size[1]), self.width)
        rows = _reflect(corners[:, 1, None] + np.arange(size[0]), self.height)
        dx = (columns + 0.5 - self.cx)[:, None, :]
        dy = (rows + 0.5 - self.cy)[:, :, None]
        return _Places(dx, dy, self.half_diagonal)

    def read(self, plane: np.ndarray, c: int, places: _Places) -> np.ndarray:
        """Read channel c where the light of each pixel comes from: (n, h, w) float32."""
        scale, kernel = self.scales[c], self._kernel(c)
        x, y = self.cx - 0.5, self.cy - 0.5
        if self.lens.distortion:
            bend = self._bend(places.square, c)
            # Position plus displacement: float32 keeps small displacements to 1e-4 pixels.
            return read_between(
                plane, _moved(x, places.dx, bend), _moved(y, places.dy, bend), kernel
            )
        return read_between(
            plane,
            (x + places.dx * scale).astype(np.float32),
            (y + places.dy * scale).astype(np.float32),
            kernel,
        )

    def _bend(self, square: np.ndarray, c: int) -> np.ndarray:
        """Displacement of a pixel's source, as a share of its distance from the centre."""
        polynomial = self.bends[c]
        if polynomial is None:
            return self._exact_bend(square, self.scales[c]).astype(np.float32)
        t = square * np.float32(2 / self.farthest**2)
        t -= 1
        bend = np.full_like(t, polynomial[0])
        for coefficient in polynomial[1:]:
            bend *= t
            bend += coefficient
        return bend

    def _exact_bend(self, square: np.ndarray, scale: float) -> np.ndarray:
        r = np.sqrt(square, dtype=np.float64)
        source = undistort_radius(r * scale, self.lens.distortion)
        return np.divide(source, r, out=np.full_like(r, scale), where=r > 0) - 1

    def _bend_polynomial(self, scale: float) -> np.ndarray | None:
        """`_exact_bend` as a polynomial of r², highest power first; None if none is close.

        The displacement is a smooth function of r², so a Chebyshev interpolation of low degree
        follows it to 1e-4 pixels, which is what float32 resolves in a position.
        """

        def exact(t: Any) -> Any:
            return self._exact_bend((t + 1) / 2 * self.farthest**2, scale)

        probe = np.linspace(-1, 1, 101)
        truth = exact(probe)
        for degree in range(2, 17):
            fit = chebyshev.chebinterpolate(exact, degree)
            if np.abs(chebyshev.chebval(probe, fit) - truth).max() < 1e-4 / self.half_diagonal:
                return chebyshev.cheb2poly(fit)[::-1].astype(np.float32)
        return None

    def soften(self, sharp: np.ndarray, c: int) -> np.ndarray | None:
        """Blur tiles of channel c with its one Gaussian; None if the channel stays sharp."""
        if not self.widest[c]:
            return None
        # Tiles stacked on each other bleed into each other only where the margin is cut off.
        stack = sharp.reshape(-1, sharp.shape[2])
        return cv2.GaussianBlur(stack, (0, 0), self.widest[c]).reshape(sharp.shape)

    def soft_band(self, sharp: np.ndarray, c: int, band: slice) -> np.ndarray | None:
        """Blur some rows of a whole channel c; None if the channel stays sharp."""
        top = max(band.start - self.margins[c], 0)
        soft = self.soften(sharp[:, top : band.stop + self.margins[c]], c)
        return None if soft is None else soft[:, band.start - top : band.stop - top]

    def finish(
        self,
        light: list[tuple[np.ndarray, np.ndarray | None]],
        places: _Places,
        noise: np.random.Generator | None,
        out: np.ndarray,
    ) -> None:
        """Mix sharp and soft light, darken, and turn it into the pixels of `out`."""
        passed = self._passed(places)
        channels = []
        for c, (sharp, soft) in enumerate(light):
            channel = sharp if soft is None else self._mixed(sharp, soft, c, places.r)
            if passed is not None:
                channel = self._vignetted(channel, passed)
            channels.append(channel.reshape(-1, channel.shape[2]))
        if noise is not None:
            channels = list(cv2.split(sensor_noise(cv2.merge(channels), noise, self.lens.noise)))
        self._develop(channels, out)

    def _mixed(self, sharp: np.ndarray, soft: np.ndarray, c: int, r: np.ndarray) -> np.ndarray:
        """Mix by the rule of `defocus`: weight (σ(r) / σ_max)²."""
        weight = blur_at(r, self.lens.blur_axis[c], self.lens.blur[c])
        weight *= 1 / self.widest[c]
        weight *= weight
        mixed = soft - sharp
        mixed *= weight
        mixed += sharp
        return mixed

    def _passed(self, places: _Places) -> np.ndarray | None:
        """Share of the light that arrives at each radius; None if all of it does."""
        lens = self.lens
        natural = cos4(places.r, lens.cos4) if lens.cos4 else None
        if not lens.vignetting:
            return natural
        passed = falloff(places.r, lens.vignetting)
        return passed if natural is None else passed * natural

    def _vignetted(self, channel: np.ndarray, passed: np.ndarray) -> np.ndarray:
        if self.lens.linear_light:
            return _srgb(_linear(channel) * passed)
        return channel * passed

    def _develop(self, channels: list[np.ndarray], out: np.ndarray) -> None:
        """Mix colours by the rule of `saturate` and `grayscale`, and convert to `out`'s dtype."""
        share, gray = self.lens.saturation, channels[0]
        if self.lens.grayscale or share != 1:
            for channel in channels:
                # What the sensor cannot hold is lost before the colours are mixed.
                np.clip(channel, 0, 1, out=channel)
            weights = GRAYS["green" if self.lens.grayscale == "green" else "luma"]
            red, green, blue = channels
            gray = weights[0] * red + weights[1] * green + weights[2] * blue
            share = 0 if self.lens.grayscale else share
        white, depth = (255, cv2.CV_8U) if out.dtype == np.uint8 else (1, cv2.CV_32F)
        # Mixes, scales, and for uint8 rounds and clips, in one pass.
        mixed = [
            cv2.addWeighted(channel, white * share, gray, white * (1 - share), 0, dtype=depth)
            for channel in channels
        ]
        flat = out.reshape(-1, *out.shape[2:])
        cv2.merge(mixed, dst=flat)
        if out.dtype == np.float32:
            np.clip(out, 0, 1, out=out)


_SETTINGS = ("center", "kernel", "linear_light")
_RANGES = (
    ("red", 0.5, 2),
    ("green", 0.5, 2),
    ("blue", 0.5, 2),
    ("blur", 0, 50),
    ("blur_axis", 0, 50),
    ("vignetting", 0, 1),
    ("cos4", 0, 80),
    ("distortion", -0.34, 10),
    ("saturation", 0, 10),
    ("noise", 0, 1),
    ("center", 0, 1),
)


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    """Check that a setting is two or three numbers, as its default."""
    count = 2 if name == "center" else 3
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count:
        raise UsageError(f"{name} = {values!r} is not {count} numbers.")
    return numbers


def _check(picture: np.ndarray) -> None:
    """Refuse what is not a picture of the course."""
    if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.shape[2] != 3:
        what = f"shape {picture.shape}" if isinstance(picture, np.ndarray) else type(picture)
        raise UsageError(f"A lens needs an RGB picture, height × width × 3; this is {what}.")
    if picture.dtype not in (np.uint8, np.float32):
        raise UsageError(
            f"A lens needs uint8 or float32 in [0, 1]; this picture is {picture.dtype}. "
            "Convert it first."
        )
    height, width = picture.shape[:2]
    if min(height, width) < 2 or max(height, width) > LONGEST_SIDE:
        raise UsageError(
            f"A lens needs a picture of 2 to {LONGEST_SIDE} pixels a side; this one is "
            f"{width}×{height}."
        )
    if picture.dtype == np.float32:
        low, high = picture.min(), picture.max()
        if not (low >= -1e-6 and high <= 1 + 1e-6):  # also refuses NaN
            raise UsageError(
                f"A lens needs values in [0, 1]; this picture has {low:g} to {high:g}. "
                "Divide by 255 or clip it first."
            )


def _corners(corners: Any, size: int, shape: tuple[int, ...]) -> np.ndarray:
    corners = np.asarray(corners)
    if corners.size == 0:
        return np.empty((0, 2), np.int64)
    if corners.ndim != 2 or corners.shape[1] != 2 or not np.issubdtype(corners.dtype, np.integer):
        raise UsageError("corners must be an (n, 2) array of whole pixels (x, y).")
    if size < 1 or corners.min() < 0 or np.any(corners + size > (shape[1], shape[0])):
        raise UsageError(
            f"A patch of {size} pixels leaves the picture of {shape[1]}×{shape[0]}: choose corners "
            f"from (0, 0) to ({shape[1] - size}, {shape[0] - size})."
        )
    return corners.astype(np.int64)


def _inner(tiles: np.ndarray, margin: int) -> np.ndarray:
    """Cut the margin off n tiles."""
    return tiles[:, margin:-margin, margin:-margin] if margin else tiles


@contextmanager
def _workers() -> Iterator[Callable[..., list[Any]]]:
    """Give a parallel ``map``, in as many threads as OpenCV may use.

    Threads serve because NumPy and OpenCV let go of Python's lock while they compute.
    """
    threads = cv2.getNumThreads()
    if threads < 2:
        yield lambda work, *jobs: list(map(work, *jobs))
        return
    with ThreadPoolExecutor(threads) as pool:
        yield lambda work, *jobs: list(pool.map(work, *jobs))


def _moved(origin: float, offset: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Return the position origin + offset + offset · bend in float32."""
    moved = offset.astype(np.float32) * bend
    moved += (origin + offset).astype(np.float32)
    return moved


def _reflect(index: np.ndarray, length: int) -> np.ndarray:
    """Reflect indices at the centres of the first and last pixel into 0 … length − 1."""
    period = 2 * (length - 1)
    index = np.abs(index) % period
    return np.minimum(index, period - index)


def _linear(srgb: np.ndarray) -> np.ndarray:
    """Light from sRGB values (IEC 61966-2-1)."""
    srgb = np.clip(srgb, 0, 1)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _srgb(light: np.ndarray) -> np.ndarray:
    """Undo `_linear`."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
