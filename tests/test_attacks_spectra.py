"""Spectra, faint patterns and what is left of them: known signals, SciPy's filters, formulas."""

import cv2
import numpy as np
import pytest
from scipy import ndimage, signal

from course_lib.attacks.chain import published
from course_lib.attacks.spectra import (
    BANDS,
    added,
    clarity,
    faint_pattern,
    frequencies,
    in_band,
    kept,
    radial_power,
    words,
)
from course_lib.errors import UsageError
from tests.attack_pictures import PHOTO

GRAY = cv2.cvtColor(PHOTO, cv2.COLOR_RGB2GRAY).astype(float)


def test_white_noise_has_its_variance_everywhere():
    noise = np.random.default_rng(0).normal(50, 4, (300, 200))
    frequency, power = radial_power(noise)
    assert power[8:].mean() == pytest.approx(16, rel=0.03)
    assert np.abs(power[8:] - 16).max() < 6
    np.testing.assert_allclose(frequency[[0, -1]], [1 / 256, 127 / 256])


@pytest.mark.parametrize("shape", [(128, 128), (96, 200)])
@pytest.mark.parametrize("f", [0.07, 0.21, 0.4])
def test_a_wave_is_found_in_any_direction(shape, f):
    y, x = np.indices(shape)
    for angle in (0, 0.6, np.pi / 2):
        wave = np.cos(2 * np.pi * f * (x * np.cos(angle) + y * np.sin(angle)))
        frequency, power = radial_power(wave)
        assert frequency[power.argmax()] == pytest.approx(f, abs=0.012)


def test_as_scipys_periodogram_along_a_line():
    """A plane that varies along x only, against a spectrum of one line."""
    line = np.random.default_rng(1).normal(size=256)
    frequency, power = signal.periodogram(line, window=np.hanning(256), scaling="density")
    plane = np.repeat(line[None], 256, axis=0)
    spectrum = np.fft.fft2((plane - plane.mean()) * np.outer(np.hanning(256), np.hanning(256)))
    ours = np.abs(spectrum[0]) ** 2 / (np.hanning(256).sum() ** 2 * (np.hanning(256) ** 2).sum())
    np.testing.assert_allclose(ours[2:128], power[2:128] / 2, rtol=0.2, atol=2e-3)
    assert np.allclose(frequencies((256, 256))[0, :128], frequency[:128])


def test_empty_rings_are_zero():
    _, power = radial_power(np.random.default_rng(0).random((8, 8)), rings=64)
    assert np.isfinite(power).all() and (power == 0).any()


@pytest.mark.parametrize("band", BANDS)
def test_patterns_have_their_band_and_strength(band):
    pattern = faint_pattern((200, 256, 3), band, np.random.default_rng(0), strength=3)
    assert pattern.shape == (200, 256)
    assert pattern.std() == pytest.approx(3) and abs(pattern.mean()) < 1e-9
    spectrum, radius = np.abs(np.fft.fft2(pattern)), frequencies(pattern.shape)
    outside = (radius < band[0]) | (radius >= band[1])
    assert spectrum[outside].max() < 1e-9 * spectrum.max()
    again = faint_pattern((200, 256), band, np.random.default_rng(0), strength=3)
    assert np.array_equal(pattern, again)


def test_bands_are_octaves_that_share_nothing():
    patterns = [faint_pattern((256, 256), band, np.random.default_rng(0)) for band in BANDS]
    shared = np.corrcoef([one.ravel() for one in patterns])
    assert np.abs(shared - np.eye(5)).max() < 1e-9
    assert [words(band) for band in BANDS] == [
        "64–32 px", "32–16 px", "16–8 px", "8–4 px", "4–2 px",
    ]  # fmt: skip


def test_no_waves_longer_than_the_picture():
    with pytest.raises(UsageError, match="20 × 30 has no waves of 64–32 px"):
        faint_pattern((30, 20), BANDS[0], np.random.default_rng(0))


def test_in_band_splits_a_picture():
    parts = [in_band(GRAY, (low, high)) for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 1))]
    np.testing.assert_allclose(sum(parts), GRAY, atol=1e-9)
    assert np.allclose(in_band(parts[1], (0.1, 0.3)), parts[1])


def test_added_is_rounded_and_clipped():
    pattern = np.array([[-300.0, 0.4], [0.6, 300.0]])
    seen = added(np.full((2, 2, 3), 100, np.uint8), pattern)
    assert seen.dtype == np.uint8
    assert seen[..., 1].tolist() == [[0, 100], [101, 255]]


def test_kept_and_clarity_of_known_changes():
    pattern = faint_pattern(GRAY.shape, BANDS[3], np.random.default_rng(2))
    other = faint_pattern(GRAY.shape, BANDS[3], np.random.default_rng(3))
    for share in (0, 0.3, 1):
        seen = GRAY + share * pattern
        assert kept(GRAY, seen, pattern) == pytest.approx(share)
        assert clarity(GRAY, seen, pattern, BANDS[3]) == pytest.approx(float(share > 0))
    assert abs(kept(GRAY, GRAY + other, pattern)) < 0.05
    # As much noise in the band as pattern: 1 / √2.
    noisy = (
        GRAY + pattern + other + faint_pattern(GRAY.shape, BANDS[0], np.random.default_rng(4), 9)
    )
    assert clarity(GRAY, noisy, pattern, BANDS[3]) == pytest.approx(0.5**0.5, abs=0.03)
    wrap = kept(np.full((4, 4), 9, np.uint8), np.full((4, 4), 7, np.uint8), -np.ones((4, 4)))
    assert wrap == 2


def test_a_blur_leaves_what_its_formula_says():
    for sigma in (0.8, 1.5):
        for band in BANDS[1:]:
            narrow = (band[0], 1.1 * band[0])
            pattern = faint_pattern(GRAY.shape, narrow, np.random.default_rng(5))
            soft = ndimage.gaussian_filter(GRAY + pattern, sigma, mode="wrap")
            plain = ndimage.gaussian_filter(GRAY, sigma, mode="wrap")
            middle = 1.05 * band[0]
            expected = np.exp(-2 * np.pi**2 * sigma**2 * middle**2)
            assert kept(plain, soft, pattern) == pytest.approx(expected, abs=0.03)


def test_what_attacks_leave():
    """The statements of lesson 04, on one photograph."""

    def left(attack, band):
        pattern = faint_pattern(PHOTO.shape, band, np.random.default_rng(6))
        plain, marked = (published(one, attack) for one in (PHOTO, added(PHOTO, pattern)))
        grays = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(float) for one in (plain, marked)]
        return kept(*grays, pattern), clarity(GRAY, grays[1], pattern, band)

    for attack in ("jpeg50", "jpeg30", "resize50", "median3", "blur1"):
        assert left(attack, BANDS[0])[0] > 0.85 > 0.4 > left(attack, BANDS[-1])[0]
    assert left("noise10", BANDS[-1])[0] > 0.8 and left("noise10", BANDS[-1])[1] < 0.6
    whole = left("none", BANDS[2])[0]  # a little is clipped
    assert left("contrast80", BANDS[2])[0] == pytest.approx(0.8 * whole, abs=0.03)
    by_quality = [left(f"jpeg{q}", BANDS[-1])[0] for q in (95, 80, 50, 20)]
    assert by_quality == sorted(by_quality, reverse=True)
