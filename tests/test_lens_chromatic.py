"""Magnification and longitudinal blur of one channel."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.transform import AffineTransform, warp

from course_lib.lens import blur_at, defocus, magnify, radius

# OpenCV before 5 rounds positions to 1/32 of a pixel.
ROUNDING = 0.0 if int(cv2.__version__.split(".")[0]) >= 5 else 1 / 64


def waves(x, y):
    """A picture without detail finer than 5 pixels, known at every place."""
    return 0.5 + 0.15 * (
        np.cos(0.9 * x + 0.4 * y) + np.cos(0.3 * x - 1.1 * y) + np.sin(0.05 * x * np.sin(0.02 * y))
    )


def grid(height, width):
    return np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)


def test_radius_is_one_in_the_corners():
    r = radius((200, 300))
    assert r.shape == (200, 300)
    assert r.dtype == np.float32
    half_pixel = 0.50001 * np.sqrt(2) / np.hypot(100, 150)
    assert r[0, 0] == pytest.approx(1, abs=half_pixel)
    assert r.min() == pytest.approx(0, abs=half_pixel)
    np.testing.assert_array_equal(r, r[::-1, ::-1])
    assert radius((3, 3))[1, 1] == 0
    assert radius((3, 3), (0.5 / 3, 0.5 / 3))[0, 0] == 0
    assert radius((100, 100, 3), (0, 0))[-1, -1] == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize("m", [0.996, 1.004, 1.03])
@pytest.mark.parametrize("center", [(0.5, 0.5), (0.4, 0.57)])
def test_magnify_moves_a_known_pattern(m, center):
    x, y = grid(128, 192)
    cx, cy = center[0] * 192, center[1] * 128
    moved = magnify(waves(x, y).astype(np.float32), m, center)
    expected = waves(cx + (x - cx) / m, cy + (y - cy) / m)
    inner = slice(4, -4), slice(4, -4)
    assert np.abs(moved - expected)[inner].max() < 0.012
    assert np.sqrt(np.mean((moved - expected)[inner] ** 2)) < 0.004
    # Sharpness is kept: the pattern's contrast loses less than 2 %.
    assert moved[inner].std() > 0.98 * expected[inner].std()


def test_magnify_agrees_with_scikit_image():
    picture = ndimage.gaussian_filter(np.random.default_rng(0).random((90, 120)), 1.2)
    m, cx, cy = 1.02, 60, 45
    # scikit-image counts from pixel centres.
    inverse = AffineTransform(
        scale=1 / m, translation=((cx - 0.5) * (1 - 1 / m), (cy - 0.5) * (1 - 1 / m))
    )
    oracle = warp(picture, inverse, order=3, mode="edge")
    moved = magnify(picture.astype(np.float32), m)
    assert np.abs(moved - oracle).max() < 5e-3
    assert np.sqrt(np.mean((moved - oracle) ** 2)) < 1e-3


@settings(max_examples=25, deadline=None)
@given(a=st.floats(0.97, 1.03), b=st.floats(0.97, 1.03), cx=st.floats(0.3, 0.7))
def test_magnifications_multiply(a, b, cx):
    x, y = grid(64, 96)
    picture = waves(x * 0.5, y * 0.5).astype(np.float32)
    twice = magnify(magnify(picture, a, (cx, 0.5)), b, (cx, 0.5))
    once = magnify(picture, a * b, (cx, 0.5))
    inner = slice(6, -6), slice(6, -6)
    assert np.abs(twice - once)[inner].max() < 4e-3 + 0.2 * ROUNDING


def test_magnify_keeps_uint8_and_its_input():
    picture = np.random.default_rng(1).integers(0, 256, (20, 30), dtype=np.uint8)
    before = picture.copy()
    moved = magnify(picture, 1.1)
    assert moved.dtype == np.uint8
    assert moved.shape == picture.shape
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(magnify(picture, 1.0), picture)


def test_shrinking_repeats_the_edge_instead_of_black():
    picture = np.full((40, 40), 200, np.uint8)
    assert magnify(picture, 0.8).min() == 200


def moments(spot):
    """Total and variance along x and y of a spot of light."""
    y, x = np.mgrid[: spot.shape[0], : spot.shape[1]]
    total = spot.sum()
    mx, my = (spot * x).sum() / total, (spot * y).sum() / total
    variance = (spot * (x - mx) ** 2).sum() / total, (spot * (y - my) ** 2).sum() / total
    return total, variance


@pytest.mark.parametrize("axis, corner", [(0.0, 2.0), (0.6, 0.6), (0.3, 1.1), (1.5, 0.2)])
@pytest.mark.parametrize("at", [(100, 150), (100, 220), (40, 60), (14, 285)])
def test_defocus_has_exactly_the_second_moment_of_its_sigma(axis, corner, at):
    point = np.zeros((200, 300), np.float32)
    point[at] = 1
    spot = defocus(point, axis, corner).astype(float)
    sigma = float(blur_at(radius(point.shape)[at], axis, corner))
    total, variance = moments(spot)
    # The weight changes a little across the spot, hence not closer than 2 %.
    assert total == pytest.approx(1, abs=0.01)
    assert variance[0] == pytest.approx(sigma**2, rel=0.02, abs=2e-3)
    assert variance[1] == pytest.approx(sigma**2, rel=0.02, abs=2e-3)


def test_even_defocus_is_a_gaussian():
    picture = np.random.default_rng(2).random((60, 80)).astype(np.float32)
    oracle = ndimage.gaussian_filter(picture, 1.7, mode="mirror", truncate=5)
    np.testing.assert_allclose(defocus(picture, 1.7, 1.7), oracle, atol=1e-3)


def test_defocus_keeps_dtype_and_does_nothing_at_zero():
    picture = np.random.default_rng(3).integers(0, 256, (33, 47), dtype=np.uint8)
    assert defocus(picture, 0, 2).dtype == np.uint8
    np.testing.assert_array_equal(defocus(picture, 0, 0), picture)
    flat = np.full((30, 30), 77, np.uint8)
    np.testing.assert_array_equal(defocus(flat, 0.5, 3), flat)


def test_blur_grows_with_the_square_of_the_radius_and_is_never_negative():
    assert blur_at(0.0, 0.3, 1.5) == pytest.approx(0.3)
    assert blur_at(1.0, 0.3, 1.5) == pytest.approx(1.5)
    assert blur_at(0.5, 0.3, 1.5) == pytest.approx(0.6)
    assert blur_at(1.4, 1.0, 0.0) == 0


def test_defocus_is_centred_on_the_optical_centre():
    picture = np.random.default_rng(4).random((64, 64)).astype(np.float32)
    change = np.abs(defocus(picture, 0, 2, (0.25, 0.75)) - picture)
    smooth = cv2.GaussianBlur(change, (0, 0), 5)
    y, x = np.unravel_index(smooth.argmin(), smooth.shape)
    assert abs(x - 16) < 6
    assert abs(y - 48) < 6
