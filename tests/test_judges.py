"""Judges of pictures, and the control of quality."""

import pytest
import torch
from torch import nn

from course_lib.judges import PatchDiscriminator, QualityControl, adversarial_losses


def test_each_neighbourhood_is_judged_for_itself():
    judge = PatchDiscriminator(8).eval()
    pictures = torch.rand(2, 3, 96, 64)
    verdicts = judge(pictures)
    assert verdicts.shape == (2, 1, 12, 8)
    pictures[:, :, :8, :8] = 1 - pictures[:, :, :8, :8]
    changed = (judge(pictures) != verdicts).nonzero()[:, 2:]
    assert len(changed) > 0 and changed.max() < 5, "a corner changes only what is near it"


def test_losses_are_least_squares_and_reach_one_side_each():
    torch.manual_seed(0)
    judge = PatchDiscriminator(4).eval()
    real, fake = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32, requires_grad=True)
    judged, fool = adversarial_losses(judge, real, fake)
    by_hand = ((judge(real) - 1) ** 2).mean() + (judge(fake) ** 2).mean()
    torch.testing.assert_close(judged, by_hand)
    torch.testing.assert_close(fool, ((judge(fake) - 1) ** 2).mean())
    judged.backward()
    assert fake.grad is None and all(weight.grad is not None for weight in judge.parameters())
    judge.zero_grad()
    fool.backward()
    assert fake.grad is not None and all(weight.grad is None for weight in judge.parameters())


def test_a_judge_learns_to_tell():
    torch.manual_seed(0)
    judge = PatchDiscriminator(8)
    optimizer = torch.optim.Adam(judge.parameters(), 2e-3)
    for _ in range(60):
        real = torch.rand(4, 3, 32, 32)
        judged, _ = adversarial_losses(judge, real, nn.functional.avg_pool2d(real, 3, 1, 1))
        optimizer.zero_grad()
        judged.backward()
        optimizer.step()
    assert judged < 0.2  # 0.5 for one who cannot tell


@pytest.mark.parametrize(("error", "grows"), [(1e-2, True), (1e-5, False)])
def test_the_weight_follows_the_quality(error, grows):
    control = QualityControl(5.0)
    first = control(torch.tensor(error), 35.0)
    for _ in range(20):
        last = control(torch.tensor(error), 35.0)
    assert (last > first * 1.3) if grows else (last < first / 1.3)


def test_the_wanted_quality_is_reached():
    # An error that shrinks as its weight grows: 20 dB at a weight of 1, 10 dB more for each tenfold
    control = QualityControl(1.0)
    weight = torch.tensor(1.0)
    for _ in range(600):
        weight = control(0.01 / weight, 36.0)
    assert 20 + 10 * torch.log10(weight) == pytest.approx(36.0, abs=0.3)


def test_a_run_that_goes_on_knows_the_weight():
    control, again = QualityControl(10.0), QualityControl(1.0)
    control(torch.tensor(1e-3), 36.0)
    again.load_state_dict(control.state_dict())
    assert again(torch.tensor(1e-3), 36.0) == control(torch.tensor(1e-3), 36.0)
