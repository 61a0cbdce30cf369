"""Training RWN: both stages from nothing to weights that open, and go on where they stopped."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from course_lib import profiles
from course_lib.attacks.crops import stretched
from course_lib.errors import UsageError
from course_lib.photos import embedded
from course_lib.rwn.evaluate import cases, evaluate
from course_lib.rwn.examples import Publication
from course_lib.rwn.objective import PAPER
from course_lib.rwn.system import rwn
from course_lib.rwn.train import BUDGETS, HiderTask, TamperTask, open_hider, stages
from course_lib.training import fit, run_stages

SMOKE = BUDGETS["smoke"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Weights of both networks after a few steps."""
    out = tmp_path_factory.mktemp("trained")
    run_stages(stages(profiles.resolve("smoke"), embedded(), 0, out), out, device="cpu")
    return out


def test_both_stages_leave_weights_with_cards(trained):
    assert (trained / "hider.json").is_file() and (trained / "tamper.json").is_file()
    system = rwn(trained)
    assert system.tamper is not None
    picture = cases(embedded(), 1)[0]
    protected = system.protect(picture.picture, picture.watermark)
    assert protected.shape == picture.picture.shape and protected.dtype == np.uint8


def test_what_was_not_trained_is_named(tmp_path):
    with pytest.raises(UsageError, match="course train rwn"):
        open_hider(tmp_path)


def test_a_run_that_was_stopped_goes_on_with_the_same_losses(tmp_path):
    task = lambda: HiderTask(SMOKE, embedded(), 3)  # noqa: E731
    whole = fit(task(), None, 4, device="cpu").history
    fit(task(), tmp_path, 2, device="cpu")
    (tmp_path / "hider.safetensors").unlink()
    (tmp_path / "hider.json").unlink()
    rest = fit(task(), tmp_path, 4, device="cpu", resume=True).history
    for name, values in whole.items():
        np.testing.assert_array_equal(values, rest[name], err_msg=name)


def test_the_papers_losses_and_judge_train_too():
    budget = replace(SMOKE, weights=PAPER)
    report = fit(HiderTask(budget, embedded(), 0), None, 2, device="cpu")
    assert {"judge", "null", "restored"} <= report.history.keys()
    assert all(np.isfinite(values).all() for values in report.history.values())


def test_the_papers_three_distances_and_the_rest():
    budget = replace(SMOKE, weights=replace(PAPER, adversarial=0.0))
    task = HiderTask(budget, embedded(), 0)
    model, tiles = task.build(), next(task.batches(0, 0, 1))
    seen = []
    model.register_forward_hook(lambda module, given, made: seen.append(made[0]))
    losses = task.loss(model, tiles)
    passage, pictures, watermarks = seen[0], tiles.pictures / 255, tiles.watermarks / 255
    by_hand = sum(
        (a - b).abs().mean()
        for a, b in [
            (passage.protected, pictures),
            (passage.found, stretched(watermarks, passage.boxes)),
            (passage.restored, stretched(pictures, passage.boxes)),
        ]
    )
    rest = (passage.rest - 0.5).abs().mean()
    torch.testing.assert_close(losses["loss"], by_hand + 8 * rest)  # section III-C: β = 8


def test_separate_networks_train_too():
    budget = replace(SMOKE, network={"network": "separate", "width": 8, "blocks": 1})
    report = fit(HiderTask(budget, embedded(), 0), None, 2, device="cpu")
    assert np.isfinite(report.history["loss"]).all()


def test_hiding_is_learned():
    budget = replace(
        SMOKE, steps=120, psnr=28.0, publication=Publication(whole=1, jpeg="none", others=False)
    )
    history = fit(HiderTask(budget, embedded(), 0), None, 120, device="cpu").history
    assert history["correlation"][-10:].mean() > 0.3


def test_masks_lie_where_something_was_pasted(trained):
    task = TamperTask(SMOKE, embedded(), 0, trained)
    task.build()
    batch = next(task.batches(0, 0, 1))
    rng = np.random.default_rng(1)
    seen, found, hidden, masks = task._tampered(batch.pictures / 255, batch.watermarks / 255, rng)
    assert seen.shape == (4, 3, 64, 64)
    assert found.shape == hidden.shape == masks.shape == (4, 1, 64, 64)
    assert set(masks.unique().tolist()) <= {0.0, 1.0} and 0 < masks.mean() < 0.7
    assert 0.1 < hidden.std() < 0.3  # watermarks, not pictures: mean 0.5, deviation 0.2


def test_marking_is_learned(trained):
    budget = replace(SMOKE, tamper_steps=80)
    history = fit(TamperTask(budget, embedded(), 0, trained), None, 80, device="cpu").history
    assert history["tamper"][-20:].mean() < history["tamper"][:20].mean() - 0.05


def test_everything_is_measured(trained):
    from course_lib import results

    measured = evaluate(embedded(), weights=trained, limit=2)
    results.check(measured)
    rows = measured["rows"]
    assert {row["metric"] for row in rows} == {
        "psnr", "ssim", "seconds_protect", "seconds_locate", "iou", "watermark_ssim",
        "cropped_accuracy", "tamper_f1",
    }  # fmt: skip
    table = [row for row in rows if row["metric"] == "iou" and row["variant"] == "ncc"]
    assert len(table) == 27 and all(0 <= row["value"] <= 1 for row in table)
    assert {row["variant"] for row in rows if "variant" in row} >= {"ncc", "sift", "orb", "carrier"}
