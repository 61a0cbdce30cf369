"""Saturation, grayscale and sensor noise."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from course_lib.errors import UsageError
from course_lib.lens import grayscale, saturate, sensor_noise

COLOURS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
FLOATS = (COLOURS / np.float32(255)).astype(np.float32)


@pytest.mark.parametrize("s", [0.0, 0.5, 1.0, 1.7, 3.0])
def test_saturation_agrees_with_pillow(s):
    oracle = np.asarray(ImageEnhance.Color(Image.fromarray(COLOURS)).enhance(s))
    ours = saturate(COLOURS, s)
    assert ours.dtype == np.uint8
    # Pillow rounds luma to whole numbers before it mixes.
    assert np.abs(ours.astype(int) - oracle).max() <= 1 + s


def test_saturation_0_is_gray_and_1_is_the_picture():
    np.testing.assert_array_equal(saturate(COLOURS, 0), grayscale(COLOURS))
    np.testing.assert_array_equal(saturate(COLOURS, 1), COLOURS)
    np.testing.assert_allclose(saturate(FLOATS, 1), FLOATS, atol=1e-6)
    assert saturate(FLOATS, 2).dtype == np.float32
    assert saturate(FLOATS, 2).max() <= 1


@given(s=st.floats(0, 1))
def test_saturation_keeps_luma_where_nothing_clips(s):
    before, after = grayscale(FLOATS), grayscale(saturate(FLOATS, s))
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_grayscale_is_luma_or_the_green_channel():
    luma = cv2.cvtColor(COLOURS, cv2.COLOR_RGB2GRAY)
    assert np.abs(grayscale(COLOURS)[..., 0].astype(int) - luma).max() <= 1
    np.testing.assert_array_equal(grayscale(COLOURS, "green"), COLOURS[..., [1, 1, 1]])
    assert grayscale(FLOATS).dtype == np.float32
    with pytest.raises(UsageError, match="choose one of luma, green"):
        grayscale(COLOURS, "red")


@pytest.mark.parametrize("level", [0.2, 0.5, 0.8])
def test_noise_has_the_variance_of_photons_and_electronics(level):
    flat = np.full((300, 300, 3), level, np.float32)
    noisy = sensor_noise(flat, np.random.default_rng(1), shot=0.05, read=0.02)
    assert noisy.mean() == pytest.approx(level, abs=3e-4)
    assert noisy.var() == pytest.approx(0.05**2 * level + 0.02**2, rel=0.02)
    pixels = noisy.reshape(-1, 3)
    assert np.abs(np.corrcoef(pixels.T) - np.eye(3)).max() < 0.02


def test_noise_repeats_with_its_seed_and_keeps_dtype_and_range():
    once = sensor_noise(COLOURS, np.random.default_rng(2), 0.1)
    again = sensor_noise(COLOURS, np.random.default_rng(2), 0.1)
    np.testing.assert_array_equal(once, again)
    assert once.dtype == np.uint8
    assert np.any(once != COLOURS)
    floats = sensor_noise(FLOATS, np.random.default_rng(2), 0.5)
    assert floats.dtype == np.float32
    assert floats.min() >= 0
    assert floats.max() <= 1
    np.testing.assert_array_equal(sensor_noise(COLOURS, np.random.default_rng(2), 0), COLOURS)
