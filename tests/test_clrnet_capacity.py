import numpy as np
import pytest
from scipy.optimize import minimize

from course_lib.clrnet import capacity as ca
from course_lib.clrnet.frame import (
    CHEAPEST,
    from_blocks,
    laid_on,
    rounded,
    squared,
    to_blocks,
    to_rgb,
    to_ycc,
)
from course_lib.clrnet.thumbnail import embedded
from course_lib.errors import UsageError
from course_lib.metrics import psnr
from course_lib.photos import embedded as embedded_photos


@pytest.fixture(scope="module")
def photo():
    picture = embedded_photos()[0].read()
    side = min(picture.shape[:2])
    return rounded(squared(picture[:side, :side], 128))


def test_bits_of_a_fraction():
    small = np.array([0.005, 0.02, 0.05])
    plain = -np.log2(small * np.sqrt(2 * np.pi * np.e))  # no wraps: entropy of a Gaussian
    assert np.allclose(ca.bits_of_fraction(small), plain, atol=0.01)
    for deviation in (0.15, 0.2, 0.3):
        draws = np.random.default_rng(0).normal(0, deviation, 400_000) % 1
        share = np.histogram(draws, 100, (0, 1))[0] / len(draws)
        counted = np.log2(100) + (share * np.log2(share)).sum()
        assert ca.bits_of_fraction(deviation) == pytest.approx(counted, abs=0.01)
    assert ca.bits_of_fraction(2.0) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("wanted", [34.0, 38.0])
def test_the_step_costs_the_psnr_that_was_asked_for(wanted):
    rng = np.random.default_rng(0)
    photo = rng.integers(70, 180, (128, 128, 3)).astype(np.uint8)  # nothing is clipped
    step = ca.step_of_psnr(wanted)
    luma = to_ycc(photo)[..., 0]
    blocks, (i, j) = to_blocks(luma), np.array(ca.CARRIERS).T
    change = np.zeros_like(blocks)
    change[:, i, j] = embedded(blocks[:, i, j], rng.random((256, 10)), step) - blocks[:, i, j]
    marked = rounded(photo + from_blocks(change, luma.shape)[..., None] * CHEAPEST)
    assert psnr(photo, marked) == pytest.approx(wanted, abs=0.15)


def test_stronger_jpeg_and_less_area_leave_fewer_bits(photo):
    bits = [ca.surviving_bits(photo, 34, quality, 0.6) for quality in (None, 90, 70, 50)]
    assert bits[0] > 1.5 * bits[1] > 2 * bits[2] and bits[2] > 1.3 * bits[3] > 500
    assert ca.surviving_bits(photo, 34, 70, 0.3) == pytest.approx(bits[2] / 2)
    assert ca.surviving_bits(photo, 40, 70, 0.6) < 0.7 * bits[2]


def test_noise_without_a_file_is_rounding(photo):
    calm = (photo * 0.5 + 60).astype(np.uint8)  # nothing is clipped
    noise = ca.carrier_noise(calm, 50, None) * 50
    luma = np.sqrt((np.array([0.299, 0.587, 0.114]) ** 2).sum() / 12)
    assert np.median(noise) == pytest.approx(luma, rel=0.35)


def test_water_filling_is_the_least_error():
    variances, bits = np.array([9.0, 4.0, 1.0, 0.1]), 2.5
    best = minimize(
        lambda rates: (variances * 2.0 ** (-2 * rates)).sum(),
        np.full(4, bits / 4),
        bounds=[(0, None)] * 4,
        constraints={"type": "eq", "fun": lambda rates: rates.sum() - bits},
    )
    assert ca.waterfilled(variances, bits) == pytest.approx(best.fun, rel=1e-4)
    assert ca.waterfilled(variances, 0) == pytest.approx(variances.sum())
    assert ca.waterfilled(np.ones(5), 10) == pytest.approx(5 / 16)


def test_more_bits_buy_a_better_picture(photo):
    bits = (300, 1000, 3000, 9000)
    for buys in (ca.gaussian_quality, ca.codec_quality):
        quality = [buys(photo, one) for one in bits]
        assert np.all(np.diff(quality) > 0.3), quality
    assert ca.gaussian_quality(photo, 0) == pytest.approx(ca.codec_quality(photo, 1), abs=0.3)


def test_pictures_of_any_size_take_a_change_of_the_square():
    picture = embedded_photos()[0].read()[:, :300]
    change = np.random.default_rng(0).normal(0, 1, (16, 16, 8, 8))
    smooth = np.zeros((256, 8, 8))
    smooth[:, :4, :4] = 4 * change.reshape(256, 8, 8)[:, :4, :4]
    wanted = from_blocks(smooth, (128, 128))[..., None] * CHEAPEST
    calm = (picture * 0.5 + 60).astype(np.uint8)
    got = squared(laid_on(calm, wanted), 128) - squared(calm, 128)
    assert np.abs(got - wanted).std() < 0.2 * wanted.std()


def test_colours_and_blocks_are_undone(photo):
    assert np.allclose(to_rgb(to_ycc(photo)), photo, atol=1e-2)
    plane = to_ycc(photo)[..., 0]
    assert np.allclose(from_blocks(to_blocks(plane), plane.shape), plane, atol=1e-2)
    assert to_ycc(CHEAPEST)[0] == pytest.approx(1, abs=1e-5)


def test_no_carriers_are_refused():
    with pytest.raises(UsageError, match="No carriers"):
        ca.step_of_psnr(34, 0)
