"""The distortion law and its exact inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from course_lib.errors import UsageError
from course_lib.lens import distort_radius, undistort_radius


@given(k1=st.floats(-0.33, 3), r=st.floats(0, 1))
def test_there_and_back(k1, r):
    rd = distort_radius(r, k1)
    # Near the fold the inverse is as steep as 1 / (1 + 3 k₁ r²); elsewhere it is exact to 1e-12.
    slope = 1 + 3 * k1 * r**2
    assert undistort_radius(rd, k1) == pytest.approx(r, abs=max(1e-12, 1e-14 / slope))


@given(k1=st.floats(-0.14, 3), rd=st.floats(0, 1))
def test_back_and_there(k1, rd):
    assert distort_radius(undistort_radius(rd, k1), k1) == pytest.approx(rd, abs=1e-12)


@pytest.mark.parametrize("k1", [-0.3, -0.1, -1e-9, 0.0, 1e-9, 0.2, 5.0])
def test_inverse_agrees_with_a_root_finder(k1):
    for rd in distort_radius(np.linspace(0.01, 0.999, 23), k1):
        root = brentq(lambda r, rd=rd: r * (1 + k1 * r * r) - rd, 0, 1, xtol=1e-15, rtol=1e-15)
        assert undistort_radius(rd, k1) == pytest.approx(root, abs=1e-12)


def test_shapes_and_precision():
    rd = np.linspace(0, 0.9, 12, dtype=np.float32).reshape(3, 4)
    r = undistort_radius(rd, -0.1)
    assert r.shape == (3, 4)
    assert r.dtype == np.float64
    assert undistort_radius(0.0, -0.1) == 0
    np.testing.assert_array_equal(undistort_radius(rd, 0.0), rd)


def test_barrel_draws_inward_and_pincushion_outward():
    assert distort_radius(1.0, -0.1) == pytest.approx(0.9)
    assert distort_radius(1.0, 0.1) == pytest.approx(1.1)


def test_fold_is_the_limit():
    k1 = -1 / 3  # folds at r* = 1, where r_d = 2/3
    assert undistort_radius(2 / 3 - 1e-12, k1) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UsageError, match=r"folds the picture over .* choose k1 ≥ -0\.30"):
        undistort_radius(0.7, k1)
    with pytest.raises(UsageError):
        undistort_radius(np.array([0.1, 0.9]), k1)
