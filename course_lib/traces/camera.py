"""The camera that takes the photographs of the training examples, simulated.

A lens is drawn from measured ones. Behind it, a sensor sees one colour a pixel; the missing two are
interpolated (demosaicing), the picture is sharpened, scaled down and stored as a JPEG. Each of
these steps can be switched off, and with all of them off only the lens is left. They matter because
a network that has seen one way of processing only may learn that way instead of the lens.
"""

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from course_lib.attacks.codec import through_jpeg
from course_lib.errors import CourseError, UsageError
from course_lib.lens import KERNELS, Lens, sensor_noise
from course_lib.lens.resample import Kernel
from course_lib.paths import COURSE

Demosaic = Literal["none", "bilinear", "edge"]
DEMOSAICS: tuple[str, ...] = get_args(Demosaic)
SHRINKING = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@dataclass(frozen=True)
class Measured:
    """Magnifications of red and blue relative to green, minus 1, of many real cameras.

    Parameters
    ----------
    red, blue : tuple of float
        One value a camera, 0.0002 being 0.02 % outward.
    """

    red: tuple[float, ...]
    blue: tuple[float, ...]


@lru_cache(maxsize=4)
def measured_lenses(file: Path | None = None) -> Measured:
    """Load the lenses that lesson 1 measured, one a camera model.

    Cameras whose photographs lie in a folder named ``test`` are left out: what is trained with
    these lenses is tested on them.

    Parameters
    ----------
    file : Path, optional
        What ``course measure lens --kind photos`` wrote; the course's own measurements without it.

    Raises
    ------
    CourseError
        When the file is missing or holds something else.
    """
    file = COURSE.assets / "measurements" / "lens_camera.json" if file is None else file
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
        counted = [row for row in rows if row["counted"] and row.get("folder") != "test"]
        found = Measured(*(tuple(float(row[c][0]) for row in counted) for c in ("red", "blue")))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CourseError(
            f"{file}: holds no measured lenses ({error!r}). Make it with `course measure lens "
            "--kind photos`."
        ) from None
    if not found.red:
        raise CourseError(f"{file}: no camera is counted. Measure more photographs.")
    return found


def draw_lens(
    rng: np.random.Generator,
    measured: Measured,
    strength: float = 1.0,
    vignetting: float = 0.4,
    spread: float = 0.05,
) -> Lens:
    """Draw a lens like the measured ones, red and blue independently of each other.

    Parameters
    ----------
    rng : numpy Generator
    measured : Measured
        Magnifications to draw from; values between two measured ones occur too.
    strength : float
        Multiplies every magnification's distance from 1: 0 is free of chromatic aberration.
    vignetting : float
        The strongest vignetting; 0 to this are equally likely.
    spread : float
        Standard deviation of the optical centre, as a fraction of each side.

    Returns
    -------
    Lens
    """
    red = 1 + strength * np.quantile(measured.red, rng.random())
    blue = 1 + strength * np.quantile(measured.blue, rng.random())
    x, y = np.clip(0.5 + spread * rng.standard_normal(2), 0.25, 0.75)
    return Lens(red=red, blue=blue, vignetting=rng.uniform(0, vignetting), center=(x, y))


@dataclass(frozen=True)
class Lenses:
    """A population of lenses to draw from: what `draw_lens` needs to know.

    Parameters
    ----------
    strength, vignetting, spread : float
        As in `draw_lens`.
    measured : Measured, optional
        The course's measurements without it.
    """

    strength: float = 1.0
    vignetting: float = 0.4
    spread: float = 0.05
    measured: Measured | None = None

    def draw(self, rng: np.random.Generator, times: float = 1.0) -> Lens:
        """Draw a lens, its chromatic aberration ``times`` as strong."""
        measured = self.measured or measured_lenses()
        return draw_lens(rng, measured, times * self.strength, self.vignetting, self.spread)


LIKE_MEASURED = Lenses()
"""Lenses as strong as the measured ones."""


def _demand_known(name: str, chosen: tuple[str, ...], known: tuple[str, ...]) -> None:
    wrong = [one for one in chosen if one not in known]
    if wrong or isinstance(chosen, str):
        raise UsageError(f"{name} = {chosen!r}: give a tuple of {', '.join(known)}.")


def _demand_range(name: str, ends: tuple[float, float], low: float, high: float) -> None:
    if len(ends) != 2 or not low <= ends[0] <= ends[1] <= high:
        raise UsageError(f"{name} = {ends} is no range inside {low} to {high}: give (low, high).")


@dataclass(frozen=True)
class Camera:
    """What a camera may do to the light behind its lens. The default does nothing.

    Parameters
    ----------
    kernels : tuple of "linear", "cubic", "lanczos", "spline"
        One is drawn for the lens's resampling; none keeps the kernel of the lens.
    noise : (low, high)
        Range of the sensor's noise, σ of a white pixel (see `sensor_noise`).
    demosaic : tuple of "none", "bilinear", "edge"
        One is drawn. ``none`` is a sensor with three colours a pixel.
    sharpen : (low, high)
        Range of the amount of unsharp masking; 0 is none.
    shrink : (low, high)
        Range of the factor by which the picture is scaled down, at least 1, with a kernel drawn
        from area, linear, cubic and Lanczos.
    jpeg : (low, high), optional
        Range of qualities, whole numbers from 1 to 100. Half of the files halve the resolution of
        colour, as most cameras do.

    Raises
    ------
    UsageError
        A value is outside its range.
    """

    kernels: tuple[Kernel, ...] = ()
    noise: tuple[float, float] = (0.0, 0.0)
    demosaic: tuple[Demosaic, ...] = ("none",)
    sharpen: tuple[float, float] = (0.0, 0.0)
    shrink: tuple[float, float] = (1.0, 1.0)
    jpeg: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _demand_known("kernels", self.kernels, KERNELS)
        _demand_known("demosaic", self.demosaic, DEMOSAICS)
        _demand_range("noise", self.noise, 0, 1)
        _demand_range("sharpen", self.sharpen, 0, 5)
        _demand_range("shrink", self.shrink, 1, 8)
        if not self.demosaic:
            raise UsageError("demosaic is empty: name at least one way, such as 'none'.")
        if self.jpeg is not None:
            _demand_range("jpeg", self.jpeg, 1, 100)

    def draw(self, rng: np.random.Generator) -> "Shot":
        """Draw the settings of one photograph."""
        return Shot(
            kernel=self.kernels[rng.integers(len(self.kernels))] if self.kernels else None,
            noise=rng.uniform(*self.noise),
            demosaic=self.demosaic[rng.integers(len(self.demosaic))],
            sharpen=rng.uniform(*self.sharpen),
            radius=rng.uniform(0.6, 1.4),
            shrink=rng.uniform(*self.shrink),
            interpolation=int(rng.choice(SHRINKING)),
            quality=int(rng.integers(self.jpeg[0], self.jpeg[1] + 1)) if self.jpeg else None,
            halved=bool(rng.random() < 0.5),
        )

    def photograph(self, picture: np.ndarray, lens: Lens, rng: np.random.Generator) -> np.ndarray:
        """Take a picture through the lens and develop it.

        Parameters
        ----------
        picture : HxWx3 uint8
        lens : Lens
        rng : numpy Generator

        Returns
        -------
        uint8, as large as the picture or smaller by the factor that was drawn for ``shrink``.
        """
        shot = self.draw(rng)
        return shot.develop(shot.through(lens).apply(picture, rng), rng)


PLAIN = Camera()
"""The lens alone."""

REALISTIC = Camera(
    kernels=("linear", "cubic", "lanczos", "spline"),
    noise=(0.0, 0.015),
    demosaic=("none", "bilinear", "edge"),
    sharpen=(0.0, 1.0),
    shrink=(1.0, 2.0),
    jpeg=(75, 98),
)
"""Everything on: the spread of what photographs on the web have been through."""


@dataclass(frozen=True)
class Shot:
    """The settings of one photograph, as `Camera.draw` draws them."""

    kernel: Kernel | None = None
    noise: float = 0.0
    demosaic: Demosaic = "none"
    sharpen: float = 0.0
    radius: float = 1.0
    shrink: float = 1.0
    interpolation: int = cv2.INTER_AREA
    quality: int | None = None
    halved: bool = False

    @property
    def plain(self) -> bool:
        """Whether developing changes nothing."""
        works = self.noise or self.sharpen or self.quality or self.demosaic != "none"
        return not works and self.shrink == 1

    @property
    def reach(self) -> int:
        """How many pixels at a border neighbours beyond it may change: a block of JPEG, or more."""
        return 16 if self.quality and self.halved else 8

    def through(self, lens: Lens) -> Lens:
        """Return the lens with the kernel of this photograph."""
        return lens if self.kernel is None else replace(lens, kernel=self.kernel)

    def develop(
        self,
        light: np.ndarray,
        rng: np.random.Generator,
        size: tuple[int, int] | None = None,
        phase: tuple[int, int] = (0, 0),
    ) -> np.ndarray:
        """Make a photograph of what the lens threw on the sensor.

        Parameters
        ----------
        light : HxWx3 uint8
        rng : numpy Generator
            Source of the noise.
        size : (width, height), optional
            Of the result; the light's size divided by ``shrink`` without it.
        phase : (x, y)
            Where the JPEG grid begins, 0 to 7 pixels from the upper left corner.

        Returns
        -------
        uint8
        """
        photo = light if self.demosaic == "none" else mosaic(light)
        if self.noise:
            photo = sensor_noise(photo, rng, self.noise)
        if self.demosaic != "none":
            photo = demosaiced(photo, self.demosaic)
        if self.sharpen:
            photo = sharpened(photo, self.sharpen, self.radius)
        if self.shrink != 1:
            height, width = light.shape[:2]
            size = size or (round(width / self.shrink), round(height / self.shrink))
            photo = cv2.resize(photo, size, interpolation=self.interpolation)
        if self.quality:
            photo = through_jpeg(photo, self.quality, self.halved, phase)
        return photo


def mosaic(light: np.ndarray) -> np.ndarray:
    """Keep one colour a pixel, as a sensor behind a Bayer filter does.

    Rows begin red, green, red … and green, blue, green … in turn, so half of the pixels are green.

    Parameters
    ----------
    light : HxWx3 array

    Returns
    -------
    HxW array, same dtype
    """
    raw = light[..., 1].copy()
    raw[0::2, 0::2] = light[0::2, 0::2, 0]
    raw[1::2, 1::2] = light[1::2, 1::2, 2]
    return raw


def demosaiced(raw: np.ndarray, how: Demosaic = "bilinear") -> np.ndarray:
    """Guess the two missing colours of each pixel from its neighbours.

    Parameters
    ----------
    raw : HxW uint8
        From `mosaic`.
    how : "bilinear" or "edge"
        Averages of the nearest pixels of a colour, or averages along edges, not across them.

    Returns
    -------
    HxWx3 uint8
    """
    codes = {"bilinear": cv2.COLOR_BayerRGGB2RGB, "edge": cv2.COLOR_BayerRGGB2RGB_EA}
    if how not in codes:
        raise UsageError(f"demosaic '{how}' is unknown: choose one of {', '.join(codes)}.")
    return cv2.cvtColor(raw, codes[how])


def sharpened(picture: np.ndarray, amount: float, radius: float = 1.0) -> np.ndarray:
    """Sharpen by unsharp masking: add ``amount`` times what a Gaussian of σ = radius takes away."""
    soft = cv2.GaussianBlur(picture, (0, 0), radius)
    return cv2.addWeighted(picture, 1 + amount, soft, -amount, 0)
