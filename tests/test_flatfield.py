"""Reading vignetting back, against known falloffs."""

import numpy as np
import pytest

from course_lib.errors import PhotoError, UsageError
from course_lib.leaves import dead_leaves
from course_lib.lens.chromatic import radius
from course_lib.lens.flatfield import (
    brightness_map,
    estimate_strength,
    fit_falloff,
    fit_gain,
    fit_strength,
    radial_slopes,
    unevenness,
)
from course_lib.lens.model import Lens
from course_lib.lens.vignetting import GAIN, falloff, gain

SHAPE = (64, 96)


@pytest.mark.parametrize("strength", [0.0, 0.1, 0.5, 1.0, -0.1])
def test_fit_strength_is_exact_on_the_papers_shape(strength):
    r = radius(SHAPE).astype(float)
    assert fit_strength(0.7 * falloff(r, strength), r) == pytest.approx(strength, abs=1e-9)


@pytest.mark.parametrize("constants", [GAIN, (0.1, 0.2, 0.3), (-0.2, 1.2, -0.3), (0.0, 0.0, 0.0)])
def test_fit_gain_is_exact_on_any_sixth_order_gain(constants):
    r = radius(SHAPE).astype(float)
    np.testing.assert_allclose(fit_gain(120 / gain(r, *constants), r), constants, atol=1e-8)


def test_fit_gain_minimises_relative_errors():
    rng = np.random.default_rng(0)
    r = radius(SHAPE).astype(float)
    noisy = 1 / gain(r, 0.1, 0.4, 0.2) * np.exp(rng.normal(0, 0.01, SHAPE))
    np.testing.assert_allclose(1 / gain(1.0, *fit_gain(noisy, r)), 1 / 1.7, atol=0.005)


def frames_of(curve, count=5, noise=0.004, seed=0):
    """Flat frames with noise and a dark speck of dust."""
    rng = np.random.default_rng(seed)
    frames = []
    for exposure in rng.uniform(0.4, 0.6, count):
        frame = exposure * curve * (1 + rng.normal(0, noise, curve.shape))
        frame[40:44, 20:26] *= 0.7
        frames.append(frame.astype(np.float32))
    return frames


def test_fit_falloff_finds_strength_and_centre():
    curve = falloff(radius(SHAPE, (0.55, 0.46)), 0.3)
    fit = fit_falloff(frames_of(curve))
    assert fit.strength.value == pytest.approx(0.3, abs=0.005)
    assert fit.strength.low - 0.003 < 0.3 < fit.strength.high + 0.003
    assert fit.strength.n == 5
    np.testing.assert_allclose(fit.center, (0.55, 0.46), atol=0.01)
    assert fit.rms == pytest.approx(fit.uneven_rms, rel=0.2)


def test_fit_falloff_tells_another_shape_from_the_papers():
    curve = 1 / gain(radius(SHAPE), -0.2, 1.2, -0.3)
    fit = fit_falloff(frames_of(curve, noise=0.001))
    assert fit.rms > 3 * fit.free_rms
    np.testing.assert_allclose(
        1 / gain(np.array([0.3, 0.7, 1.0]), fit.a, fit.b, fit.c),
        1 / gain(np.array([0.3, 0.7, 1.0]), -0.2, 1.2, -0.3),
        atol=0.01,
    )
    assert fit.corner_strength > fit.strength.value
    assert fit.profile[0, 1] == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(fit.corners, np.mean(fit.corners), atol=0.02)


def test_fit_falloff_matches_a_rendered_flat_frame():
    flat = np.full((600, 900, 3), 200, np.uint8)
    fit = fit_falloff([brightness_map(Lens(vignetting=0.4).apply(flat))])
    assert fit.strength.value == pytest.approx(0.4, abs=0.01)


def test_fit_falloff_wants_maps_of_one_shape():
    with pytest.raises(UsageError, match="one shape"):
        fit_falloff([])
    with pytest.raises(UsageError, match="one shape"):
        fit_falloff([np.ones((4, 6)), np.ones((6, 4))])


def test_unevenness_is_zero_for_rings_and_not_for_a_tilt():
    rings = falloff(radius(SHAPE), 0.5)
    assert unevenness(rings) < 0.005
    assert unevenness(rings * np.linspace(0.6, 1, 96)) > 0.05


def test_radial_slopes_of_a_flat_vignetted_frame():
    flat = Lens(vignetting=0.5).apply(np.full((600, 900, 3), 0.8, np.float32))
    r, radial, tangential = radial_slopes(flat)
    away = r > 0.1
    truth = np.log(falloff(r + 1e-4, 0.5) / falloff(r - 1e-4, 0.5)) / 2e-4
    assert np.abs(radial - truth)[away].max() < 0.05
    assert np.abs(tangential).max() < 0.02


def test_strength_of_ordinary_pictures():
    """One picture says little, the median of many is right: an honest spread."""
    scenes = [dead_leaves((512, 768), seed) for seed in range(12)]
    medians = []
    for strength in (0.0, 0.25, 0.5):
        found = [estimate_strength(Lens(vignetting=strength).apply(scene)) for scene in scenes]
        medians.append(np.median([estimate.value for estimate in found]))
        assert all(e.low <= e.value <= e.high for e in found)
    np.testing.assert_allclose(medians, (0, 0.25, 0.5), atol=0.1)
    assert medians[0] < medians[1] < medians[2]


def test_a_black_picture_is_refused():
    with pytest.raises(PhotoError, match="black or white"):
        estimate_strength(np.zeros((200, 300, 3), np.uint8))
