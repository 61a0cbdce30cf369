"""What a lens does to a picture, as small functions and as one `Lens`, and measuring it back.

The forward model loads NumPy and OpenCV only. What measures a lens is loaded when it is asked for.
"""

from importlib import import_module
from typing import Any

from course_lib.lens.chromatic import blur_at, defocus, magnify, radius
from course_lib.lens.distortion import distort_radius, undistort_radius
from course_lib.lens.model import Lens
from course_lib.lens.optics import (
    achromat,
    blur_circle,
    focal_length,
    image_distance,
    refractive_index,
    sellmeier,
)
from course_lib.lens.pixels import grayscale, saturate, sensor_noise
from course_lib.lens.resample import KERNELS, resample
from course_lib.lens.vignetting import cos4, falloff, gain

_MEASURING = {
    "estimate_strength": "flatfield",
    "fit_falloff": "flatfield",
    "fit_gain": "flatfield",
    "fit_magnification": "fringes",
    "fit_strength": "flatfield",
    "local_shift": "fringes",
    "measure_flatfields": "measure",
    "measure_fringes": "fringes",
    "measure_photos": "measure",
    "shift_field": "fringes",
}

__all__ = [
    "KERNELS",
    "Lens",
    "achromat",
    "blur_at",
    "blur_circle",
    "cos4",
    "defocus",
    "distort_radius",
    "estimate_strength",
    "falloff",
    "fit_falloff",
    "fit_gain",
    "fit_magnification",
    "fit_strength",
    "focal_length",
    "gain",
    "grayscale",
    "image_distance",
    "local_shift",
    "magnify",
    "measure_flatfields",
    "measure_fringes",
    "measure_photos",
    "radius",
    "refractive_index",
    "resample",
    "saturate",
    "sellmeier",
    "sensor_noise",
    "shift_field",
    "undistort_radius",
]


def __getattr__(name: str) -> Any:
    if name not in _MEASURING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MEASURING[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MEASURING})
