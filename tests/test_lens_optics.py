"""The thin-lens formulas against catalogue values and against each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.lens.optics import (
    F2,
    N_BK7,
    achromat,
    blur_circle,
    focal_length,
    image_distance,
    refractive_index,
    sellmeier,
)

C, D, F = 0.6563, 0.5876, 0.4861  # µm: the red, yellow and blue lines of catalogues


def abbe(glass):
    d, f, c = (sellmeier(line, *glass) for line in (D, F, C))
    return (d - 1) / (f - c)


def test_glasses_have_their_catalogue_values():
    assert sellmeier(D, *N_BK7) == pytest.approx(1.51680, abs=2e-5)
    assert abbe(N_BK7) == pytest.approx(64.17, abs=0.05)
    assert sellmeier(D, *F2) == pytest.approx(1.62004, abs=2e-5)
    assert abbe(F2) == pytest.approx(36.37, abs=0.05)


def test_cauchys_two_constants_are_good_to_three_digits():
    wavelength = np.linspace(0.40, 0.70, 31)
    cauchy = refractive_index(wavelength)
    assert np.all(np.diff(cauchy) < 0)
    np.testing.assert_allclose(cauchy, sellmeier(wavelength, *N_BK7), atol=2e-3)


def test_lensmaker_and_image_distance():
    assert focal_length(1.5, 100, -100) == pytest.approx(100)
    assert focal_length(1.5, 50, np.inf) == pytest.approx(100)
    assert image_distance(50, np.inf) == 50
    assert image_distance(50, 100) == pytest.approx(100)
    assert np.isinf(image_distance(50, 50))
    assert image_distance(50, 25) == pytest.approx(-50)
    assert np.all(image_distance(np.array([50.0, 51.0]), 1000.0) > 50)


@given(f=st.floats(10, 1000), v1=st.floats(45, 90), v2=st.floats(20, 44))
def test_achromat_brings_red_and_blue_together(f, v1, v2):
    f1, f2 = achromat(f, v1, v2)
    assert 1 / f1 + 1 / f2 == pytest.approx(1 / f)
    assert 1 / (f1 * v1) + 1 / (f2 * v2) == pytest.approx(0, abs=1e-12)
    assert f1 > 0 > f2


def test_achromat_leaves_green_over():
    """Red and blue meet; green comes to focus before them, by little against a single lens."""
    f1, f2 = achromat(100, abbe(N_BK7), abbe(F2))
    wavelength = np.array([C, 0.5461, F])
    n1, n2 = sellmeier(wavelength, *N_BK7), sellmeier(wavelength, *F2)
    d1, d2 = sellmeier(D, *N_BK7), sellmeier(D, *F2)
    red, green, blue = 1 / ((n1 - 1) / (d1 - 1) / f1 + (n2 - 1) / (d2 - 1) / f2)
    single = 100 * (d1 - 1) / (n1 - 1)
    assert red == pytest.approx(blue, abs=1e-9)
    assert 0.02 < red - green < np.ptp(single) / 20


def test_blur_circle_is_a_cone_cut_by_the_sensor():
    assert blur_circle(25, 50, np.inf, 50) == 0
    assert blur_circle(25, 50, np.inf, 51) == pytest.approx(0.5)
    assert blur_circle(25, 50, np.inf, 49) == pytest.approx(0.5)
    near = blur_circle(25, np.array([49.0, 50.0, 51.0]), 2000.0, image_distance(50, 2000.0))
    assert near[1] == pytest.approx(0)
    assert near[0] > 0.3
    assert near[2] > 0.3
