"""What the network is asked for, against independent measurements of the same."""

import numpy as np
import pytest
import torch

from course_lib.metrics import ssim
from course_lib.rwn.objective import (
    correlation,
    null_loss,
    structural_similarity,
    watermark_loss,
)


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    truth = rng.random((40, 56)).astype(np.float32)
    return truth, (0.7 * truth + 0.3 * rng.random(truth.shape)).astype(np.float32)


def as_batch(*pictures):
    return (torch.from_numpy(one)[None, None] for one in pictures)


def test_ssim_is_that_of_scikit_image(pair):
    found = structural_similarity(*as_batch(*pair))
    assert found.item() == pytest.approx(ssim(*pair), abs=0.01)  # which counts the border too
    inner = torch.rand(1, 1, 400, 400), torch.rand(1, 1, 400, 400)
    known = ssim(*(one[0, 0].numpy() for one in inner))
    assert structural_similarity(*inner).item() == pytest.approx(known, abs=2e-3)


def test_correlation_is_pearsons(pair):
    expected = np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1]
    assert correlation(*as_batch(*pair)).item() == pytest.approx(expected, abs=2e-3)
    brighter = torch.from_numpy(pair[0] * 0.5 + 0.4)[None, None]
    assert correlation(brighter, *as_batch(pair[0])).item() == pytest.approx(1, abs=5e-3)


def test_a_constant_has_finite_gradients():
    flat = torch.full((1, 1, 32, 32), 0.5, requires_grad=True)
    loss = watermark_loss(flat, torch.rand(1, 1, 32, 32))
    loss.backward()
    assert loss.item() > 0.9 and flat.grad.abs().max() < 1


def test_a_perfect_watermark_costs_nothing(pair):
    truth, worse = as_batch(*pair)
    assert watermark_loss(truth, truth).item() == pytest.approx(0, abs=2e-3)
    assert watermark_loss(worse, truth) > 0.05


def test_a_rest_is_as_far_as_its_mean_distance_from_one_half():
    assert null_loss(torch.tensor([0.25, 0.75])).item() == pytest.approx(0.25)
