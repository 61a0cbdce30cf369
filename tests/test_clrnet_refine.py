"""The network behind the coded thumbnail: it adds nothing at first, and learns."""

import numpy as np
import pytest
import torch

from course_lib.clrnet.refine import (
    BUDGETS,
    Budget,
    Refiner,
    RefinerTask,
    examples,
    inpainted,
    lost_area,
    open_refiner,
    share_left,
)
from course_lib.photos import embedded
from course_lib.training import Stage, fit, run_stages


@pytest.fixture(scope="module")
def made():
    return examples(embedded(), 5, 64, 0)


def test_examples_are_decoded_pictures(made):
    assert made.recovered.shape == made.whole.shape == (5, 3, 64, 64)
    seen = made.lost == 0
    change = (made.recovered.float() - made.whole.float()).abs()
    inside, outside = (
        (change * where).sum() / (3 * where.sum()) for where in (seen.float(), made.lost.float())
    )
    assert inside < 8 < outside  # protection and JPEG changes little, what is lost is not exact
    assert 0.03 < made.lost.float().mean() < 0.7
    again = examples(embedded(), 2, 64, 0)
    assert torch.equal(again.recovered, made.recovered[:2])
    assert not torch.equal(examples(embedded(), 2, 64, 1).whole, again.whole)


def test_at_first_nothing_is_added(made):
    net = Refiner(4).eval()
    same = net(made.recovered.float(), made.lost.float(), made.error)
    assert torch.equal(same, made.recovered.float())
    torch.testing.assert_close(share_left(same, made), torch.ones(5))


def test_what_is_visible_stays(made):
    torch.manual_seed(0)
    net = Refiner(4).eval()
    torch.nn.init.normal_(net.head.weight)
    picture = made.recovered[0].permute(1, 2, 0).numpy()
    rows, columns = np.nonzero(made.lost[0, 0].numpy() == 0)
    visible = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
    after = net.refined(picture, visible, 12.0)
    lost = lost_area((64, 64), visible)
    assert np.array_equal(lost, made.lost[0, 0].numpy() == 1)
    assert np.array_equal(after[~lost], picture[~lost].astype(np.float32))
    assert np.abs(after[lost] - picture[lost]).mean() > 0.01


def test_the_share_left_is_counted_by_hand(made):
    better = made.whole.float() + 0.5 * (made.recovered.float() - made.whole.float())
    torch.testing.assert_close(share_left(better, made), torch.full((5,), 0.25))


def test_it_learns_one_batch_by_heart():
    task = RefinerTask(Budget(64, 2, 150, 2, 8), embedded(), 0)
    history = fit(task, None, 150, device="cpu").history
    assert history["share"][-10:].mean() < 0.85 < history["share"][0]


def test_weights_are_written_and_opened(tmp_path):
    assert open_refiner(tmp_path) is None
    budget = BUDGETS["smoke"]
    run_stages([Stage(RefinerTask(budget, embedded(), 0), budget.steps)], tmp_path)
    net = open_refiner(tmp_path)
    assert isinstance(net, Refiner) and not net.training


def test_inpainting_fills_from_the_edge():
    canvas = np.zeros((40, 60, 3), np.float32)
    canvas[:, :30] = 200
    filled = inpainted(canvas, (0, 0, 30, 40))
    assert (filled[:, 30:45] > 150).all() and np.array_equal(filled[:, :30], canvas[:, :30])
