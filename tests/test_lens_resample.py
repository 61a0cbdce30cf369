"""Interpolation kernels, measured: where they read, how sharply, and against SciPy's splines."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from course_lib.errors import UsageError
from course_lib.lens import KERNELS, resample

# OpenCV before 5 rounds positions to 1/32 of a pixel.
ROUNDING = 0.0 if int(cv2.__version__.split(".")[0]) >= 5 else 1 / 64


def response(kernel, frequency):
    """Largest error of place (pixels), smallest and mean amplitude of a sine, over all phases."""
    steps = np.linspace(0, 1, 65)[:-1]
    n = np.arange(64)
    read = []
    for quadrature in (np.cos, np.sin):
        wave = quadrature(2 * np.pi * frequency * (n - 32)).astype(np.float32)
        line = np.repeat(wave[None], 64, 0)
        read.append(resample(line, 32.5 + steps[None], np.full((1, 1), 32.5), kernel)[0])
    seen = (read[0] + 1j * read[1]) * np.exp(-2j * np.pi * frequency * steps)
    place = np.abs(np.angle(seen)) / (2 * np.pi * frequency)
    return place.max(), np.abs(seen).min(), np.abs(seen).mean()


TABLE = {  # as documented in read_between
    "linear": [(0.000, 1.00), (0.007, 0.95), (0.028, 0.81), (0.070, 0.59)],
    "cubic": [(0.000, 1.00), (0.007, 1.00), (0.028, 0.95), (0.070, 0.78)],
    "lanczos": [(0.030, 1.00), (0.018, 1.00), (0.019, 0.99), (0.022, 1.00)],
    "spline": [(0.000, 1.00), (0.000, 1.00), (0.003, 0.99), (0.016, 0.93)],
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_documented_table(kernel):
    for frequency, (place, least) in zip((0.01, 0.1, 0.2, 0.3), TABLE[kernel], strict=True):
        measured = response(kernel, frequency)
        assert measured[0] == pytest.approx(place, abs=6e-4 + ROUNDING)
        assert measured[1] == pytest.approx(least, abs=6e-3 + ROUNDING)


@pytest.mark.parametrize("kernel", ["linear", "cubic", "spline"])
def test_ramps_are_read_where_they_are(kernel):
    ramp = np.add.outer(np.arange(40.0), 2 * np.arange(40.0)).astype(np.float32)
    rng = np.random.default_rng(0)
    # Splines mirror at the edge, where a ramp is not smooth: stay away from it.
    x, y = rng.uniform(12.5, 27.5, (2, 30, 30))
    read = resample(ramp, x, y, kernel)
    np.testing.assert_allclose(read, (y - 0.5) + 2 * (x - 0.5), atol=2e-4 + 3 * ROUNDING)


def test_opencvs_own_cubic_reads_ramps_off():
    """The reason why "cubic" is not simply OpenCV's cubic."""
    ramp = np.repeat(np.arange(16, dtype=np.float32)[None], 16, 0)
    x, y = np.float32([[7.25]]), np.float32([[7]])
    assert cv2.remap(ramp, x, y, cv2.INTER_CUBIC)[0, 0] == pytest.approx(7.297, abs=2e-3)
    assert resample(ramp, x + 0.5, y + 0.5)[0, 0] == pytest.approx(7.25, abs=1e-5)


def test_cubic_is_keys_cubic_along_lines():
    rng = np.random.default_rng(1)
    line = rng.random(32)
    t = rng.uniform(5, 26, 50)
    whole = np.floor(t).astype(int)

    def keys(d):
        d = np.abs(d)
        near = 1.5 * d**3 - 2.5 * d**2 + 1
        return np.where(d < 1, near, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2)

    expected = sum(line[whole + k] * keys(t - whole - k) for k in range(-1, 3))
    picture = np.repeat(line[None], 8, 0).astype(np.float32)
    read = resample(picture, t[None] + 0.5, np.full((1, 1), 4.5), "cubic")[0]
    np.testing.assert_allclose(read, expected, atol=1e-5 + 3 * ROUNDING)


def test_spline_agrees_with_scipy():
    rng = np.random.default_rng(2)
    picture = rng.random((37, 52)).astype(np.float32)
    x, y = rng.uniform(0.5, 51.5, (20, 30)), rng.uniform(0.5, 36.5, (20, 30))
    oracle = ndimage.map_coordinates(picture, [y - 0.5, x - 0.5], order=3, mode="mirror")
    np.testing.assert_allclose(resample(picture, x, y, "spline"), oracle, atol=2e-5 + 3 * ROUNDING)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_whole_pixels_are_read_as_they_are(kernel, dtype):
    rng = np.random.default_rng(3)
    picture = (rng.random((9, 11)) * 255).astype(dtype)
    x, y = np.arange(11) + 0.5, np.arange(9) + 0.5
    read = resample(picture, x[None, :], y[:, None], kernel)
    assert read.dtype == dtype
    # A spline reads between its coefficients even there, so that rounding shows.
    off = 10 if kernel == "spline" and ROUNDING else 0
    np.testing.assert_allclose(read, picture, atol=off + (1e-3 if dtype == np.float32 else 0))


@pytest.mark.parametrize("kernel", KERNELS)
def test_edges_are_repeated_outwards(kernel):
    picture = np.random.default_rng(4).random((6, 7)).astype(np.float32)
    x = np.array([[-9.0, 0.5, 6.5, 40.0]])
    read = resample(picture, x, np.full((1, 1), 2.5), kernel)[0]
    rounded = 0.05 if kernel == "spline" and ROUNDING else 0
    np.testing.assert_allclose(read, picture[2, [0, 0, 6, 6]], atol=1e-5 + rounded)


def test_unknown_kernel():
    with pytest.raises(UsageError, match="'box' is unknown: choose one of linear, cubic"):
        resample(np.zeros((4, 4), np.float32), np.ones((1, 1)), np.ones((1, 1)), "box")
