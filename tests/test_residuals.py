"""Residual convolutions: SRM's filters see no content, Bayar's keep to their constraint."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from course_lib.residuals import SMALLEST, SRM, BayarConv2d, SRMConv2d, bayar_kernels


def test_srm_kernels_sum_to_zero_and_see_no_ramp():
    assert SRM.shape == (3, 5, 5)
    torch.testing.assert_close(SRM.sum((1, 2)), torch.zeros(3), rtol=0, atol=1e-6)
    ramp = torch.stack(torch.meshgrid(*[torch.arange(5.0)] * 2, indexing="ij")).sum(0)
    torch.testing.assert_close((SRM * ramp).sum((1, 2)), torch.zeros(3), rtol=0, atol=1e-5)
    assert (SRM[:, 2, 2] < 0).all()  # the pixel itself is subtracted


def test_srm_filters_each_channel_as_scipy_does():
    picture = torch.rand(1, 3, 20, 24)
    seen = SRMConv2d(3)(picture)
    assert seen.shape == (1, 9, 20, 24)
    for channel in range(3):
        for number, kernel in enumerate(SRM.numpy()):
            theirs = correlate(picture[0, channel].numpy(), kernel, mode="nearest")
            np.testing.assert_allclose(seen[0, 3 * channel + number], theirs, atol=1e-6)


def test_srm_learns_nothing_and_stores_nothing():
    net = SRMConv2d(3)
    assert not list(net.parameters()) and not net.state_dict()
    assert SRMConv2d(1)(torch.full((1, 1, 8, 8), 0.7)).abs().max() < 1e-6  # borders too


def test_bayar_middle_and_sum():
    kernels = bayar_kernels(torch.randn(7, 3, 24))
    assert kernels.shape == (7, 3, 5, 5)
    assert (kernels[..., 2, 2] == -1).all()
    torch.testing.assert_close(kernels.sum((-1, -2)), torch.zeros(7, 3), rtol=0, atol=1e-4)


def test_bayar_is_division_by_the_sum_where_that_is_safe():
    free = torch.rand(4, 8)  # 3×3
    kernels = bayar_kernels(free).flatten(1)
    others = torch.cat([kernels[:, :4], kernels[:, 5:]], dim=1)
    torch.testing.assert_close(others, free / free.sum(1, keepdim=True))


@pytest.mark.parametrize("total", [0.0, 1e-12, -1e-12, 1e-5, -SMALLEST / 2, SMALLEST])
def test_bayar_stays_finite_where_the_sum_is_near_zero(total):
    free = torch.randn(1, 24, dtype=torch.float64)
    free = (free - free.mean() + total / 24).requires_grad_()
    kernels = bayar_kernels(free)
    assert kernels.isfinite().all()
    assert kernels.sum().item() == pytest.approx(0, abs=1e-9)
    assert kernels[0, 2, 2] == -1
    assert kernels.abs().max() <= free.abs().max() / SMALLEST + 1 + 1
    (kernels**2).sum().backward()
    assert free.grad.isfinite().all() and free.grad.abs().max() < 1e7


def test_bayar_gradients_keep_the_constraint():
    net = BayarConv2d(3, 4)
    before = bayar_kernels(net.neighbours).detach()
    step = torch.optim.SGD(net.parameters(), lr=0.5)
    net(torch.rand(2, 3, 16, 16)).pow(2).sum().backward()
    step.step()
    after = bayar_kernels(net.neighbours).detach()
    assert (after - before).abs().max() > 1e-4
    torch.testing.assert_close(after.sum((-1, -2)), torch.zeros(4, 3), rtol=0, atol=1e-3)
    assert (after[..., 2, 2] == -1).all()


def test_bayar_sees_no_flat_picture():
    seen = BayarConv2d(3, 5, side=3)(torch.full((1, 3, 12, 14), 0.6))
    assert seen.shape == (1, 5, 12, 14)
    assert seen.abs().max() < 1e-5
