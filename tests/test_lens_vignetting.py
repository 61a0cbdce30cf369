"""Vignetting against the paper's constants and the geometry behind cos⁴."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.lens import cos4, falloff, gain, radius

CORNER = 1 + 2.0625 + 8.75 + 0.0313


def test_gain_is_the_papers_polynomial():
    assert gain(0.0) == 1
    assert gain(1.0) == pytest.approx(CORNER)
    r = np.linspace(0, 1.3, 50)
    powers = np.polynomial.polynomial.polyval(r, [1, 0, 2.0625, 0, 8.75, 0, 0.0313])
    np.testing.assert_allclose(gain(r), powers, rtol=1e-12)
    assert gain(np.float32([0.5])).dtype == np.float32


@given(strength=st.floats(0, 1), r=st.floats(0, 2))
def test_falloff_interpolates_between_the_pixel_and_the_paper(strength, r):
    assert falloff(r, 0) == 1
    assert falloff(0.0, strength) == pytest.approx(1)
    assert falloff(1.0, strength) == pytest.approx(1 - strength * (1 - 1 / CORNER))
    assert 1 / gain(r) - 1e-12 <= falloff(r, strength) <= 1 + 1e-12


@pytest.mark.parametrize("half_angle", [5, 31.7, 60])
def test_cos4_is_the_fourth_power_of_the_cosine_of_the_rays_angle(half_angle):
    r = radius((40, 60)).astype(float)
    distance = 1 / np.tan(np.deg2rad(half_angle))  # of the lens, if the corner is at 1
    cosine = distance / np.hypot(r, distance)
    np.testing.assert_allclose(cos4(r, half_angle), cosine**4, rtol=1e-12)
    assert cos4(1.0, half_angle) == pytest.approx(np.cos(np.deg2rad(half_angle)) ** 4)
    assert cos4(0.0, half_angle) == 1
