"""What the generator is asked for: Eq. 10, and labels of qualities between two bins."""

import math

import pytest
import torch

from course_lib.fgjpeg.model import BINS
from course_lib.fgjpeg.objective import nearest_bin, quality_loss, simulation_loss, soft_labels


def test_labels_on_bins_are_theirs_alone():
    labels = soft_labels(torch.tensor(BINS))
    torch.testing.assert_close(labels, torch.eye(6))


def test_labels_between_bins_are_shared():
    labels = soft_labels(torch.tensor([15.0, 60.0, 97.5]))
    assert labels[0].tolist() == pytest.approx([0.75, 0.25, 0, 0, 0, 0])
    assert labels[1].tolist() == pytest.approx([0, 0, 0.5, 0.5, 0, 0])
    assert labels[2].tolist() == pytest.approx([0, 0, 0, 0, 0.25, 0.75])
    assert soft_labels(torch.tensor([1.0, 5.0])).argmax(1).tolist() == [0, 0]  # below all bins


def test_nearest_bins():
    assert nearest_bin(torch.tensor([1.0, 19, 21, 40, 94, 96])).tolist() == [0, 0, 1, 1, 4, 5]
    assert nearest_bin(torch.tensor(BINS)).tolist() == list(range(6))


def test_a_reader_that_knows_nothing_is_at_ln_6():
    loss = quality_loss(torch.zeros(4, 6), torch.tensor([10.0, 15.0, 70.0, 100.0]))
    assert loss.item() == pytest.approx(math.log(6))


def test_eq_10():
    made, files = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    logits, quality = torch.randn(2, 6), torch.tensor([10.0, 90.0])
    total, pixels, read = simulation_loss(made, files, logits, quality, 0.1)
    assert pixels.item() == pytest.approx((made - files).abs().mean().item())
    by_hand = -logits.log_softmax(1)[[0, 1], [0, 4]].mean()
    assert read.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert total.item() == pytest.approx(pixels.item() + 0.1 * read.item(), rel=1e-5)
