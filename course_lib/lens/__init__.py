"""What a lens does to a picture, as small functions and as one `Lens`. NumPy and OpenCV only."""

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

__all__ = [
    "KERNELS",
    "Lens",
    "achromat",
    "blur_at",
    "blur_circle",
    "cos4",
    "defocus",
    "distort_radius",
    "falloff",
    "focal_length",
    "gain",
    "grayscale",
    "image_distance",
    "magnify",
    "radius",
    "refractive_index",
    "resample",
    "saturate",
    "sellmeier",
    "sensor_noise",
    "undistort_radius",
]
