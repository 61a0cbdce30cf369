"""What the network is asked for, against independent measurements of the same."""

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.metrics import ssim
from course_lib.rwn.model import PatchDiscriminator
from course_lib.rwn.objective import (
    QualityControl,
    adversarial_losses,
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


def test_each_side_of_the_game_moves_only_its_own():
    judge = PatchDiscriminator(4)
    made = nn.Parameter(torch.rand(2, 3, 32, 32))
    judging, fooling = adversarial_losses(judge, torch.rand(2, 3, 32, 32), made)
    assert torch.autograd.grad(judging, made, allow_unused=True, retain_graph=True)[0] is None
    weights = list(judge.parameters())
    parts = torch.autograd.grad(fooling, weights, allow_unused=True, retain_graph=True)
    assert all(part is None for part in parts)
    assert torch.autograd.grad(fooling, made)[0].abs().max() > 0
    assert all(part is not None for part in torch.autograd.grad(judging, weights))


def test_the_weight_follows_quality():
    control, dark = QualityControl(10), torch.tensor(1e-3)  # 30 dB
    first = control(dark, 36.0)
    for _ in range(50):
        grown = control(dark, 36.0)
    assert grown > 2 * first
    for _ in range(500):
        small = control(torch.tensor(1e-5), 36.0)  # 50 dB
    assert small < first
    again = QualityControl()
    again.load_state_dict(control.state_dict())  # a run that goes on knows where it was
    assert again(dark, 36.0) == control(dark, 36.0)
