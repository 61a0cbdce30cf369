"""Common wrong answers to the exercises of lesson 01."""

import cv2
import numpy as np

from course_lib.errors import UsageError
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


def only_positive(n, r1, r2):
    return abs(1 / ((n - 1) / r1 - (n - 1) / r2))


def sign_turned(n, r1, r2):
    return 1 / ((n - 1) * (1 / r2 - 1 / r1))


def product_over_difference(n, r1, r2):
    return r1 * r2 / ((n - 1) * (r2 - r1))


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


def solved_as_an_array(f, v1, v2):
    return 1 / np.linalg.solve([[1, 1], [1 / v1, 1 / v2]], [1 / f, 0])


def solved_as_a_list(f, v1, v2):
    return list(solved_as_an_array(f, v1, v2))


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


def radius_by_the_largest(shape, center=(0.5, 0.5)):
    distance = _distances(shape, center, 0.5)[0]
    return distance / distance.max()


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


def magnify_without_adding_back(channel, m, center=(0.5, 0.5)):
    x, y, cx, cy = _axes(channel, center)
    return resample(channel, (x - cx) / m, (y - cy) / m)


def magnify_center_swapped(channel, m, center=(0.5, 0.5)):
    return _remapped(channel, m, center[::-1])


def magnify_scaled(channel, m, center=(0.5, 0.5)):
    height, width = channel.shape
    return resample(channel, np.arange(width)[None, :] * m, np.arange(height)[:, None] * m)


def magnify_to_float(channel, m, center=(0.5, 0.5)):
    return _remapped(channel.astype(np.float32), m, center)


def magnify_with_black_edges(channel, m, center=(0.5, 0.5)):
    return _remapped(channel, m, center, borderMode=cv2.BORDER_CONSTANT)


def magnify_remap_off(channel, m, center=(0.5, 0.5)):
    return _remapped(channel, m, center, first=0.0)


def _remapped(
    channel,
    m,
    center,
    interpolation=cv2.INTER_LINEAR,
    borderMode=cv2.BORDER_REPLICATE,
    first=0.5,
):
    x, y, cx, cy = _axes(channel, center)
    x, y = np.meshgrid(cx + (x[0] - cx) / m - first, cy + (y[:, 0] - cy) / m - first)
    x, y = x.astype(np.float32), y.astype(np.float32)
    return cv2.remap(channel, x, y, interpolation, borderMode=borderMode)


def magnify_linear(channel, m, center=(0.5, 0.5)):
    return _remapped(channel, m, center)


def magnify_cubic(channel, m, center=(0.5, 0.5)):
    return _remapped(channel, m, center, cv2.INTER_CUBIC)


def magnify_lanczos(channel, m, center=(0.5, 0.5)):
    return _remapped(channel, m, center, cv2.INTER_LANCZOS4)


def magnify_truncated(channel, m, center=(0.5, 0.5)):
    x, y, cx, cy = _axes(channel.astype(np.float64), center)
    read = resample(channel.astype(np.float32), cx + (x - cx) / m, cy + (y - cy) / m)
    return read.astype(channel.dtype)


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


def defocus_linear(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    sigma = sigma_axis + (sigma_corner - sigma_axis) * radius(channel.shape, center)
    widest = max(float(sigma.max()), NARROWEST)
    blurred = cv2.GaussianBlur(channel.astype(np.float32), (0, 0), widest)
    return _as_before(channel, channel + (sigma.clip(0) / widest) ** 2 * (blurred - channel))


def defocus_widest_of_two(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    sigma = blur_at(radius(channel.shape, center), sigma_axis, sigma_corner)
    widest = max(sigma_axis, sigma_corner, NARROWEST)
    blurred = cv2.GaussianBlur(channel.astype(np.float32), (0, 0), widest)
    return _as_before(channel, channel + (sigma / widest) ** 2 * (blurred - channel))


def defocus_too_narrow(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    sigma = blur_at(radius(channel.shape, center), sigma_axis, sigma_corner)
    blurred = cv2.GaussianBlur(channel.astype(np.float32), (0, 0), float(sigma.max()))
    return _as_before(channel, channel + (sigma / sigma.max()) ** 2 * (blurred - channel))


def defocus_to_float(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    sigma, widest, blurred = _sigma(channel, sigma_axis, sigma_corner, center)
    return channel + (sigma / widest) ** 2 * (blurred - channel)


def defocus_in_bytes(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    sigma, widest, _ = _sigma(channel, sigma_axis, sigma_corner, center)
    blurred = cv2.GaussianBlur(channel, (0, 0), widest)
    return (channel + (sigma / widest) ** 2 * (blurred - channel)).astype(channel.dtype)


def defocus_by_twice_the_width(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    sigma, widest, _ = _sigma(channel, sigma_axis, sigma_corner, center)
    blurred = cv2.GaussianBlur(channel.astype(np.float32), (0, 0), 2 * widest)
    return _as_before(channel, channel + (sigma / widest) ** 2 * (blurred - channel))


def defocus_mixed(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    sigma, widest, blurred = _sigma(channel, sigma_axis, sigma_corner, center)
    weight = sigma**2 / widest**2
    return ((1 - weight) * channel + weight * blurred).astype(channel.dtype)  # truncates uint8


def defocus_bytes_blurred(channel, sigma_axis, sigma_corner, center=(0.5, 0.5)):
    sigma, widest, _ = _sigma(channel, sigma_axis, sigma_corner, center)
    weight = (sigma / widest) ** 2
    mixed = (1 - weight) * channel + weight * cv2.GaussianBlur(channel, (0, 0), widest)
    return _as_before(channel, mixed)


def _as_before(channel, mixed):
    return np.rint(mixed).astype(np.uint8) if channel.dtype == np.uint8 else mixed


def falloff_brightens(r, strength=1.0):
    return 1 + strength * (gain(r) - 1)


def falloff_mixes_gain(r, strength=1.0):
    return 1 / (strength * gain(r) + 1 - strength)


def falloff_without_rest(r, strength=1.0):
    return strength * np.power(gain(r), -1.0)


def falloff_upside_down(r, strength=1.0):
    return strength * 1 + (1 - strength) * 1 / gain(r)


def falloff_two_minus_gain(r, strength=1.0):
    return 1 - strength * (gain(r) - 1)


def falloff_by_power(r, strength=1.0):
    return 1 / gain(r) ** strength


def undistort_by_sign(rd, k1):
    return rd + -k1 * rd**3


def undistort_by_division(rd, k1):
    return rd / (1 + k1 * np.square(rd))


def undistort_one_step(rd, k1):
    r = rd
    return r - (r + k1 * r**3 - rd) / (1 + 3 * k1 * r**2)


def undistort_fixed_steps(rd, k1, steps=60):
    r = rd
    for _ in range(steps):
        r = r - (r * (1 + k1 * r**2) - rd) / (1 + 3 * k1 * r**2)
    return r


def undistort_three_steps(rd, k1):
    _refuse_beyond_the_fold(rd, k1)
    return undistort_fixed_steps(rd, k1, 3)


def undistort_by_newton(rd, k1):
    _refuse_beyond_the_fold(rd, k1)
    return undistort_fixed_steps(rd, k1)


def undistort_by_cardano(rd, k1):
    _refuse_beyond_the_fold(rd, k1)
    if k1 == 0:
        return rd
    if k1 < 0:
        width = 2 / np.sqrt(-3 * k1)
        return width * np.sin(np.arcsin(3 * rd / width) / 3)
    width = 2 / np.sqrt(3 * k1)
    return width * np.sinh(np.arcsinh(3 * rd / width) / 3)


def _refuse_beyond_the_fold(rd, k1):
    if k1 < 0 and np.max(rd) > 2 / 3 / np.sqrt(-3 * k1):
        raise UsageError("There is no such radius.")


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


def shift_swapped_and_turned(channel, reference):
    gx, gy = np.gradient(reference)  # rows come first
    design = np.stack([np.ones(gx.size), reference.ravel(), gx.ravel(), gy.ravel()], axis=1)
    _, contrast, x, y = np.linalg.lstsq(design, channel.ravel(), rcond=None)[0]
    return x / contrast, y / contrast


def shift_without_offset(channel, reference):
    dy, dx = np.gradient(reference)
    design = np.stack([reference.ravel(), dx.ravel(), dy.ravel()], axis=1)
    contrast, x, y = np.linalg.lstsq(design, channel.ravel(), rcond=None)[0]
    return np.array([-x / contrast, -y / contrast])


def shift_as_a_tuple(channel, reference):
    _, contrast, x, y = _solve(channel, reference)
    return -x / contrast, float(-y / contrast)


ACCEPTED = {
    "1.2": [solved_as_an_array, solved_as_a_list],
    "1.4": [magnify_linear, magnify_cubic, magnify_lanczos, magnify_truncated],
    "1.5": [defocus_mixed, defocus_bytes_blurred],
    "1.7": [undistort_by_newton, undistort_by_cardano],
    "1.8": [shift_as_a_tuple],
}

MUTANTS = {
    "1.1": [
        Mutant(power_instead_of_focal_length, hint="That is the power"),
        Mutant(curvatures_added, hint="has a negative radius already"),
        Mutant(index_not_minus_one, hint="the factor is n − 1"),
        Mutant(radii_subtracted, hint="not 1/(r1 − r2)"),
        Mutant(only_positive, hint="thinner in the middle"),
        Mutant(sign_turned, hint="The sign is turned"),
        Mutant(product_over_difference, hint="Work with the curvatures"),
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
        Mutant(radius_by_the_largest, hint="only for a centred lens"),
    ],
    "1.4": [
        Mutant(magnify_forwards, hint="divide by m"),
        Mutant(magnify_about_the_corner, hint="The top left corner stays fixed"),
        Mutant(magnify_about_the_middle, hint="ignores `center`"),
        Mutant(magnify_half_a_pixel_off, hint="Half a pixel is missing"),
        Mutant(magnify_remap_off, hint="Half a pixel too many"),
        Mutant(magnify_without_adding_back, hint="add the centre again"),
        Mutant(magnify_center_swapped, hint="goes with the width"),
        Mutant(magnify_to_float, hint="must come back as uint8"),
        Mutant(magnify_with_black_edges, hint="only the border is not"),
        Mutant(magnify_scaled, hint="one row on paper"),
    ],
    "1.5": [
        Mutant(defocus_ratio_of_widths, hint="Variances mix, widths do not"),
        Mutant(defocus_swapped, hint="Sharp and blurred are swapped"),
        Mutant(defocus_everywhere, hint="one blur for the whole picture"),
        Mutant(defocus_squared_over_width, hint="Yours divides by the largest"),
        Mutant(defocus_linear, hint="not with r:"),
        Mutant(defocus_widest_of_two, hint="lies beyond r = 1"),
        Mutant(defocus_too_narrow, hint="falls between the pixels"),
        Mutant(defocus_to_float, hint="must come back as uint8"),
        Mutant(defocus_in_bytes, hint="Only uint8 goes wrong"),
        Mutant(defocus_by_twice_the_width, hint="Look at three places"),
    ],
    "1.6": [
        Mutant(falloff_brightens, hint="would undo the darkening"),
        Mutant(falloff_mixes_gain, hint="before inverting"),
        Mutant(falloff_without_rest, hint="undarkened share"),
        Mutant(falloff_upside_down, hint="yours does that at strength 1"),
        Mutant(falloff_two_minus_gain, hint="falls below zero"),
        Mutant(falloff_by_power, hint="a power of g does not mix"),
    ],
    "1.7": [
        Mutant(undistort_by_sign, hint="only to first order"),
        Mutant(undistort_by_division, hint="uses the distorted radius"),
        Mutant(undistort_one_step, hint="One Newton step"),
        Mutant(distort_again, hint="distorts once more"),
        Mutant(undistort_three_steps, hint="iterate on"),
        Mutant(undistort_fixed_steps, hint="Beyond the fold"),
    ],
    "1.8": [
        Mutant(shift_wrong_sign, hint="The sign is the other way"),
        Mutant(shift_swapped, hint="x and y are swapped"),
        Mutant(shift_not_divided, hint="divide it out"),
        Mutant(shift_without_contrast, hint="both must be fitted"),
        Mutant(shift_swapped_and_turned, hint="Two slips at once"),
        Mutant(shift_without_offset, hint="needs a column of ones"),
    ],
}
