"""Common wrong answers to the exercises of lesson 01."""

import cv2
import numpy as np

from course_lib.lens.chromatic import NARROWEST, blur_at, radius
from course_lib.lens.resample import resample
from course_lib.lens.vignetting import gain
from tests.mutants import Mutant


def power_instead_of_focal_length(n, r1, r2):
    return (n - 1) / r1 - (n - 1) / r2


def curvatures_added(n, r1, r2):
    return 1 / ((n - 1) * (1 / r1 + 1 / r2))


def index_not_minus_one(n, r1, r2):
    return 1 / (n / r1 - n / r2)


def radii_subtracted(n, r1, r2):
    return (r1 - r2) / (n - 1)


def both_positive(f, v1, v2):
    p1 = v1 / (v1 - v2) / f
    return 1 / p1, 1 / (p1 * v2 / v1)


def shares_of_f(f, v1, v2):
    return f * v1 / (v1 - v2), f * -v2 / (v1 - v2)


def powers_returned(f, v1, v2):
    p1 = v1 / (v1 - v2) / f
    return p1, -p1 * v2 / v1


def glasses_swapped(f, v1, v2):
    p2 = v1 / (v1 - v2) / f
    return -1 / (p2 * v2 / v1), 1 / p2


def _distances(shape, center, half):
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width] + half
    return np.sqrt((x - center[0] * width) ** 2 + (y - center[1] * height) ** 2), height, width


def radius_from_corners(shape, center=(0.5, 0.5)):
    distance, height, width = _distances(shape, center, 0.0)
    return distance / np.sqrt(height**2 + width**2) * 2


def radius_whole_diagonal(shape, center=(0.5, 0.5)):
    distance, height, width = _distances(shape, center, 0.5)
    return distance / np.sqrt(height**2 + width**2)


def radius_in_pixels(shape, center=(0.5, 0.5)):
    return _distances(shape, center, 0.5)[0]


def radius_half_width(shape, center=(0.5, 0.5)):
    distance, _, width = _distances(shape, center, 0.5)
    return 2 * distance / width


def radius_center_swapped(shape, center=(0.5, 0.5)):
    distance, height, width = _distances(shape, center[::-1], 0.5)
    return 2 * distance / np.hypot(height, width)


def _axes(channel, center):
    height, width = channel.shape
    x, y = np.arange(width)[None, :] + 0.5, np.arange(height)[:, None] + 0.5
    return x, y, center[0] * width, center[1] * height


def magnify_forwards(channel, m, center=(0.5, 0.5)):
    x, y, cx, cy = _axes(channel, center)
    return resample(channel, cx + m * (x - cx), cy + m * (y - cy))


def magnify_about_the_corner(channel, m, center=(0.5, 0.5)):
    x, y, _, _ = _axes(channel, center)
    return resample(channel, x / m, y / m)


def magnify_about_the_middle(channel, m, center=(0.5, 0.5)):
    x, y, cx, cy = _axes(channel, (0.5, 0.5))
    return resample(channel, (x - cx) / m + cx, (y - cy) / m + cy)


def magnify_half_a_pixel_off(channel, m, center=(0.5, 0.5)):
    x, y, cx, cy = _axes(channel, center)
    return resample(channel, cx + (x - 0.5 - cx) / m, cy + (y - 0.5 - cy) / m)


def _sigma(channel, axis, corner, center):
    sigma = blur_at(radius(channel.shape, center), axis, corner)
    widest = max(float(sigma.max()), NARROWEST)
    return sigma, widest, cv2.GaussianBlur(channel.astype(np.float32), (0, 0), widest)


def defocus_ratio_of_widths(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    sigma, widest, blurred = _sigma(channel, sigma_axis, sigma_corner, center)
    return (1 - sigma / widest) * channel + sigma / widest * blurred


def defocus_swapped(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    sigma, widest, blurred = _sigma(channel, sigma_axis, sigma_corner, center)
    weight = (sigma / widest) ** 2
    return weight * channel + (1 - weight) * blurred


def defocus_everywhere(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    return _sigma(channel, sigma_axis, sigma_corner, center)[2]


def defocus_squared_over_width(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    sigma, widest, blurred = _sigma(channel, sigma_axis, sigma_corner, center)
    weight = sigma**2 / widest
    return (1 - weight) * channel + weight * blurred


def falloff_brightens(r, strength=1.0):
    return 1 + strength * (gain(r) - 1)


def falloff_mixes_gain(r, strength=1.0):
    return 1 / (strength * gain(r) + 1 - strength)


def falloff_without_rest(r, strength=1.0):
    return strength * np.power(gain(r), -1.0)


def falloff_upside_down(r, strength=1.0):
    return strength * 1 + (1 - strength) * 1 / gain(r)


def undistort_by_sign(rd, k1):
    return rd + -k1 * rd**3


def undistort_by_division(rd, k1):
    return rd / (1 + k1 * np.square(rd))


def undistort_one_step(rd, k1):
    r = rd
    return r - (r + k1 * r**3 - rd) / (1 + 3 * k1 * r**2)


def distort_again(rd, k1):
    return rd + k1 * rd**3


def _solve(channel, reference):
    dy, dx = np.gradient(reference)
    columns = np.stack([np.ones(dx.size), reference.ravel(), dx.ravel(), dy.ravel()])
    return np.linalg.solve(columns @ columns.T, columns @ channel.ravel())


def shift_wrong_sign(channel, reference):
    _, b, cx, cy = _solve(channel, reference)
    return np.array([cx, cy]) / b


def shift_swapped(channel, reference):
    dx, dy = np.gradient(reference)  # rows come first
    design = np.stack([np.ones(dx.size), reference.ravel(), dx.ravel(), dy.ravel()], axis=1)
    solved = np.linalg.lstsq(design, channel.ravel(), rcond=None)[0]
    return -solved[2:] / solved[1]


def shift_not_divided(channel, reference):
    return -_solve(channel, reference)[2:]


def shift_without_contrast(channel, reference):
    dy, dx = np.gradient(reference)
    rest = (channel - reference).ravel()
    return -np.linalg.lstsq(np.stack([dx.ravel(), dy.ravel()], axis=1), rest, rcond=None)[0]


MUTANTS = {
    "1.1": [
        Mutant(power_instead_of_focal_length, hint="That is the power"),
        Mutant(curvatures_added, hint="has a negative radius already"),
        Mutant(index_not_minus_one, hint="the factor is n − 1"),
        Mutant(radii_subtracted, hint="not 1/(r1 − r2)"),
    ],
    "1.2": [
        Mutant(both_positive, hint="The second lens must be negative"),
        Mutant(shares_of_f, hint="Powers add up, focal lengths do not"),
        Mutant(glasses_swapped, hint="The two lenses are swapped"),
        Mutant(powers_returned, hint="returns focal lengths"),
    ],
    "1.3": [
        Mutant(radius_from_corners, hint="off by half a pixel"),
        Mutant(radius_whole_diagonal, hint="r must be 1 in the corners"),
        Mutant(radius_in_pixels, hint="This is in pixels"),
        Mutant(radius_half_width, hint="not half the width"),
        Mutant(radius_center_swapped, hint="The centre is (x, y)"),
    ],
    "1.4": [
        Mutant(magnify_forwards, hint="divide by m"),
        Mutant(magnify_about_the_corner, hint="The top left corner stays fixed"),
        Mutant(magnify_about_the_middle, hint="ignores `center`"),
        Mutant(magnify_half_a_pixel_off, hint="Half a pixel is missing"),
    ],
    "1.5": [
        Mutant(defocus_ratio_of_widths, hint="Variances mix, widths do not"),
        Mutant(defocus_swapped, hint="Sharp and blurred are swapped"),
        Mutant(defocus_everywhere, hint="one blur for the whole picture"),
        Mutant(defocus_squared_over_width, hint="Yours divides by the largest"),
    ],
    "1.6": [
        Mutant(falloff_brightens, hint="would undo the darkening"),
        Mutant(falloff_mixes_gain, hint="before inverting"),
        Mutant(falloff_without_rest, hint="undarkened share"),
        Mutant(falloff_upside_down, hint="yours does that at strength 1"),
    ],
    "1.7": [
        Mutant(undistort_by_sign, hint="only to first order"),
        Mutant(undistort_by_division, hint="uses the distorted radius"),
        Mutant(undistort_one_step, hint="One Newton step"),
        Mutant(distort_again, hint="distorts once more"),
    ],
    "1.8": [
        Mutant(shift_wrong_sign, hint="The sign is the other way"),
        Mutant(shift_swapped, hint="x and y are swapped"),
        Mutant(shift_not_divided, hint="Divide by b"),
        Mutant(shift_without_contrast, hint="a and b must be fitted"),
    ],
}
