"""The three losses of crop detection and their sum, against arithmetic."""

from math import log

import numpy as np
import pytest
import torch

from course_lib.errors import UsageError
from course_lib.teach.quote import quote
from course_lib.traces.model import Reading
from course_lib.traces.objective import (
    CROP_CHANCE,
    PATCH_CHANCE,
    Weights,
    class_loss,
    crop_loss,
    patch_loss,
    rectangle_loss,
)


def example(seed: int = 0, n: int = 6) -> tuple[Reading, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A detector's answers at random, and random truths."""
    g = torch.Generator().manual_seed(seed)
    reading = Reading(
        torch.randn(n, 4, generator=g).requires_grad_(),
        torch.randn(n, generator=g).requires_grad_(),
        torch.randn(n, 16, 16, generator=g).requires_grad_(),
    )
    cells = torch.randint(16, (n, 16), generator=g)
    box = torch.rand(n, 4, generator=g)
    cropped = torch.rand(n, generator=g) < 0.5
    return reading, cells, box, cropped


def by_hand(seed: int = 0) -> dict[str, float]:
    """The paper's equations in NumPy, term by term."""
    reading, cells, box, cropped = example(seed)
    logits, answer, score = (
        part.detach().double().numpy() for part in (reading.cells, reading.box, reading.score)
    )
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    n = len(logits)
    each = [[-log(chance[i, k, cells[i, k]]) for k in range(16)] for i in range(n)]
    rectangle = [sum((answer[i, e] - float(box[i, e])) ** 2 for e in range(4)) for i in range(n)]
    p = 1 / (1 + np.exp(-score))
    crop = [-log(p[i]) if cropped[i] else -log(1 - p[i]) for i in range(n)]
    total = [2.4 / 16 * sum(e) + 3 / 4 * r + 1 * c for e, r, c in zip(each, rectangle, crop)]  # noqa: B905
    return {
        "patch": float(np.mean(each)),
        "rectangle": float(np.mean(rectangle)),
        "crop": float(np.mean(crop)),
        "loss": float(np.mean(total)),
    }


@pytest.mark.parametrize("seed", range(3))
def test_losses_are_the_papers(seed):
    got = crop_loss(*example(seed))
    assert {name: value.item() for name, value in got.items()} == pytest.approx(by_hand(seed), 1e-5)


def test_a_network_that_knows_nothing_pays_chance():
    truth = torch.arange(16).repeat(3, 1)
    assert patch_loss(torch.zeros(3, 16, 16), truth).item() == pytest.approx(PATCH_CHANCE)
    assert class_loss(torch.zeros(8), torch.arange(8) % 2 == 0).item() == pytest.approx(CROP_CHANCE)
    assert pytest.approx((2.7726, 0.6931), abs=1e-4) == (PATCH_CHANCE, CROP_CHANCE)


def test_a_perfect_answer_costs_nothing():
    _, cells, box, cropped = example()
    sure = 100 * torch.nn.functional.one_hot(cells, 16).float()
    got = crop_loss(Reading(box, 200 * cropped.float() - 100, sure), cells, box, cropped)
    assert got["loss"].item() == pytest.approx(0, abs=1e-6)


def test_patch_loss_takes_single_patches_and_photographs():
    reading, cells, _, _ = example()
    whole = patch_loss(reading.cells, cells)
    torch.testing.assert_close(patch_loss(reading.cells.flatten(0, 1), cells.flatten()), whole)


def test_rectangle_loss_adds_edges_and_averages_photographs():
    truth = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1]])
    box = truth + torch.tensor([[0.1, 0, 0, 0], [0.1, 0.1, 0.1, 0.1]])
    assert rectangle_loss(box, truth).item() == pytest.approx((0.01 + 0.04) / 2)


@pytest.mark.parametrize("left_out", ["patch", "rectangle", "crop"])
def test_a_loss_left_out_trains_nothing_but_is_still_shown(left_out):
    reading, cells, box, cropped = example()
    got = crop_loss(reading, cells, box, cropped, Weights(**{left_out: 0.0}))
    got["loss"].backward()
    answers = {"patch": reading.cells, "rectangle": reading.box, "crop": reading.score}
    for name, answer in answers.items():
        assert (answer.grad is None) == (name == left_out)
    assert got[left_out].item() == pytest.approx(by_hand()[left_out], 1e-5)


def test_a_model_without_patches_has_no_patch_loss():
    reading, cells, box, cropped = example()
    got = crop_loss(reading._replace(cells=None), cells, box, cropped)
    assert set(got) == {"loss", "rectangle", "crop"}
    want = by_hand()
    assert got["loss"].item() == pytest.approx(0.75 * want["rectangle"] + want["crop"], 1e-5)


def test_nothing_left_to_train_is_said():
    reading, cells, box, cropped = example()
    with pytest.raises(UsageError, match="weight 0"):
        crop_loss(reading, cells, box, cropped, Weights(0, 0, 0))
    with pytest.raises(UsageError, match="weight 0"):
        crop_loss(reading._replace(cells=None), cells, box, cropped, Weights(1, 0, 0))


@pytest.mark.parametrize(
    "name", ["Weights", "patch_loss", "rectangle_loss", "class_loss", "crop_loss"]
)
def test_what_lessons_quote_fits_a_screen(name):
    assert quote(f"course_lib.traces.objective.{name}").body_lines <= 25
