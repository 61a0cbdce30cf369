"""CLR-Net's losses against their definitions."""

import numpy as np
import pytest
import torch

from course_lib.clrnet.objective import (
    PAPER,
    confidence_loss,
    consistency_loss,
    feature_loss,
    localization_loss,
    lost_area_error,
    null_loss,
    protection_loss,
    recovery_loss,
    soft_mask,
)


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def test_the_papers_weights():
    given = PAPER.recovery, PAPER.localization, PAPER.consistency, PAPER.adversarial
    assert given == (1.5, 0.1, 0.05, 0.01)  # α, β, γ, η of section III-F


@pytest.mark.parametrize("loss", [protection_loss, recovery_loss])
def test_distances_are_absolute(loss):
    a, b = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    assert float(loss(a, b)) == pytest.approx(np.abs(a.numpy() - b.numpy()).mean())


def test_errors_over_what_was_cut_away():
    truth = torch.rand(2, 3, 32, 32)
    lost = torch.zeros(2, 1, 32, 32)
    lost[0, :, :, 16:] = 1
    wrong = truth.clone()
    wrong[:, :, :, :16] += 0.5  # what is left does not count
    wrong[0, :, :, 16:] += 0.1
    errors = lost_area_error(wrong, truth, lost)
    assert errors.tolist() == pytest.approx([0.01 * 0.5 / 0.51, 0.0], rel=1e-4)


def test_soft_masks_are_boxes_with_soft_borders():
    mask = soft_mask(boxes([0.25, 0.5, 0.75, 1.0]), side=64)[0]
    hard = np.zeros((64, 64))
    hard[32:, 16:48] = 1
    assert np.abs(mask.numpy() - hard).mean() < 0.05
    assert mask[50, 30] > 0.99 and mask[10, 30] < 0.01 and mask[50, 5] < 0.01
    assert ((mask[50, 15] + mask[50, 16]) / 2).item() == pytest.approx(0.5, abs=0.02)


def test_localization_is_best_at_the_truth_and_pulls_edges_there():
    truth = boxes([0.2, 0.1, 0.8, 0.7])
    losses = {}
    for off in (0.0, 0.02, 0.05, 0.2):
        losses[off] = float(localization_loss(truth + boxes([off, 0, 0, 0]), truth))
    assert losses[0.0] < losses[0.02] < losses[0.05] < losses[0.2]
    found = (truth + boxes([0.05, 0, 0, -0.05])).requires_grad_()
    localization_loss(found, truth).backward()
    assert found.grad[0, 0] > 0 > found.grad[0, 3], "left edge goes left, lower edge down"


def test_localization_is_finite_for_the_worst_box():
    found = boxes([0.0, 0.0, 0.05, 0.05]).requires_grad_()
    loss = localization_loss(found, boxes([0.9, 0.9, 1.0, 1.0]))
    loss.backward()
    assert loss.isfinite() and found.grad.isfinite().all()


def test_confidence_is_cross_entropy():
    scores, cropped = torch.tensor([2.0, -1.0]), torch.tensor([True, False])
    p = 1 / (1 + np.exp(-scores.numpy()))
    assert float(confidence_loss(scores, cropped)) == pytest.approx(
        -(np.log(p[0]) + np.log(1 - p[1])) / 2, rel=1e-5
    )


def test_consistency_adds_its_four_parts():
    torch.manual_seed(0)
    features = [[torch.rand(2, 4, 9, 9) for _ in range(3)] for _ in range(2)]
    found = boxes([0, 0, 0.5, 0.5]), boxes([0, 0, 0.6, 0.5])
    recovered = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    processed, plain = (torch.rand(2, 3, 9, 9), torch.rand(2, 3, 9, 9)), torch.rand(2, 3, 9, 9)
    got = consistency_loss((features[0], features[1]), found, recovered, processed, plain)
    distance = lambda a, b: (a - b).abs().mean()  # noqa: E731
    by_hand = (
        sum(distance(a, b) for a, b in zip(*features, strict=True))
        + distance(soft_mask(found[0]), soft_mask(found[1]))
        + distance(*recovered)
        + (distance(processed[0], plain) + distance(processed[1], plain)) / 2
    )
    torch.testing.assert_close(got, by_hand)


def test_consistency_of_equal_views_is_nothing():
    view, features = torch.rand(2, 3, 9, 9), [torch.rand(2, 4, 9, 9)]
    found, whole = boxes([0, 0, 0.5, 0.5]), torch.rand(2, 3, 16, 16)
    twice = lambda x: (x, x)  # noqa: E731
    assert consistency_loss(twice(features), twice(found), twice(whole), twice(view), view) == 0
    assert feature_loss([], []) == 0


def test_the_fourth_channel_should_be_nothing():
    rest = torch.tensor([[[[0.5, -0.25]]]])
    assert float(null_loss(rest)) == 0.375
