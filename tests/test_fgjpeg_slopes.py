"""True slopes and said ones: against formulas, autograd, and real files."""

import math

import pytest
import torch

from course_lib.attacks.codec import real_jpeg
from course_lib.attacks.jpeg import LUMA, fourier, jpeg
from course_lib.attacks.simulators import jpeg_ss, slopes_lent
from course_lib.fgjpeg.slopes import (
    WAVES,
    agreement,
    mean_slope,
    said_slopes,
    true_slopes,
    waves_of,
    with_waves,
)


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 6, 8, generator=generator) * 0.5 + 0.25
    return torch.nn.functional.interpolate(coarse, (32, 48), mode="bilinear")


@pytest.fixture
def wanted():
    return 2.0 * torch.randint(0, 2, (2, 24, WAVES), generator=torch.Generator().manual_seed(1)) - 1


def test_waves_that_are_added_are_found(pictures, wanted):
    amounts = 3 * wanted
    found = waves_of(with_waves(pictures, amounts)) - waves_of(pictures)
    assert torch.allclose(found, amounts, atol=1e-3)


def test_the_first_wave_is_eight_times_the_mean():
    found = waves_of(torch.full((1, 3, 8, 8), 138 / 255))[0, 0]
    assert float(found[0]) == pytest.approx(80, abs=1e-3)
    assert found[1:].abs().max() < 1e-3


def test_waves_are_numbered_by_rows():
    down = torch.cos(math.pi / 8 * 3 * (torch.arange(8) + 0.5))[:, None].expand(8, 8)
    found = waves_of(0.5 + 0.1 * down.expand(1, 3, 8, 8))[0, 0]
    assert found[1:].abs().argmax() == 8 * 3 - 1


def test_a_smooth_codec_has_the_slope_of_its_gradient(pictures, wanted):
    def bent(given):
        return given**2

    tried = true_slopes(bent, pictures, wanted, 0.5)
    assert torch.allclose(tried, said_slopes(bent, pictures, wanted), atol=2e-2, rtol=1e-2)


def test_a_window_one_step_wide_has_slope_one_in_real_files(pictures):
    """What straight through says is true of changes of half a step."""
    wave = torch.zeros(WAVES)
    wave[25] = 1
    step = float(LUMA[3, 1])
    slopes = mean_slope(lambda p: real_jpeg(p, 50), pictures, wave, step / 2)[..., 25]
    assert (slopes - 1).abs().median() < 0.05
    narrow = mean_slope(lambda p: real_jpeg(p, 50), pictures, wave, step / 50)[..., 25]
    assert narrow.abs().median() < 0.05


def test_hard_rounding_says_nothing_and_straight_through_one(pictures, wanted):
    silent = said_slopes(lambda p: jpeg(p, 50, rounding=lambda x: x.round()), pictures, wanted)
    assert silent.abs().max() == 0
    one = said_slopes(lambda p: real_jpeg(p, 50), pictures, wanted)
    assert torch.allclose(one, wanted, atol=1e-4)


def test_agreement_has_the_range_of_a_cosine(wanted):
    assert torch.allclose(agreement(2 * wanted, wanted), torch.ones(2), atol=1e-5)
    assert torch.allclose(agreement(-wanted, wanted), -torch.ones(2), atol=1e-5)
    assert torch.equal(agreement(torch.zeros_like(wanted), wanted), torch.zeros(2))
    mean = torch.zeros_like(wanted)
    mean[..., 0] = 1
    assert torch.equal(agreement(mean, wanted), torch.zeros(2))


def test_slopes_are_lent(pictures):
    given = pictures.clone().requires_grad_()
    out = slopes_lent(real_jpeg(given, 50), jpeg_ss(given, 50))
    assert torch.allclose(out, real_jpeg(pictures, 50), atol=1e-6)
    (back,) = torch.autograd.grad(out.sum(), given)
    alone = pictures.clone().requires_grad_()
    (expected,) = torch.autograd.grad(jpeg_ss(alone, 50).sum(), alone)
    assert torch.allclose(back, expected)


def test_soft_slopes_know_more_of_small_changes_in_poor_files(pictures, wanted):
    """The lesson's point: who is right depends on the change and on the file."""
    true = true_slopes(lambda p: real_jpeg(p, 30), pictures, wanted, 8.0)
    said = {
        "straight": said_slopes(lambda p: real_jpeg(p, 30), pictures, wanted),
        "soft": said_slopes(lambda p: jpeg_ss(p, 30), pictures, wanted),
    }
    assert (agreement(said["soft"], true) > agreement(said["straight"], true)).all()
    good = true_slopes(lambda p: real_jpeg(p, 95), pictures, wanted, 16.0)
    said = {
        "straight": said_slopes(lambda p: real_jpeg(p, 95), pictures, wanted),
        "nine": said_slopes(lambda p: jpeg(p, 95, rounding=fourier), pictures, wanted),
    }
    assert (agreement(said["straight"], good) > agreement(said["nine"], good) + 0.3).all()
