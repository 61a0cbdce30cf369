"""Training CLR-Net: every switch, going on after a stop, and that hiding is learned."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
import torch

from course_lib import profiles
from course_lib.clrnet.examples import Cut, Publication, lost_pixels, publish
from course_lib.clrnet.learned import learned
from course_lib.clrnet.objective import PAPER
from course_lib.clrnet.train import (
    ABLATIONS,
    BUDGETS,
    HANDOVER,
    ClrTask,
    Ensemble,
    Phase,
    Switches,
    iou,
    open_networks,
    stages,
)
from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import Box
from course_lib.geometry import iou as iou_of_two
from course_lib.leaves import dead_leaves
from course_lib.photos import embedded
from course_lib.training import fit, run_stages

SMOKE = BUDGETS["smoke"]
ALL = replace(SMOKE, switches=Switches(), lead=0.5, ideal=0.5, preprocessor=4)
IDEAL = Phase(False, 0.0, True)


def losses(budget, steps=2):
    """Train a few steps; return the curves."""
    return fit(ClrTask(budget, embedded(), 0), None, steps, device="cpu").history


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Weights after a few steps."""
    out = tmp_path_factory.mktemp("trained")
    run_stages(stages(profiles.resolve("smoke"), embedded(), 0, out), out, device="cpu")
    return out


def test_training_leaves_weights_with_a_card_that_open(trained):
    net, student, localizer, card = open_networks(trained)
    assert card.config["side"] == SMOKE.side and {"psnr", "lost_area_psnr"} <= card.metrics.keys()
    assert student is None and not net.training and not localizer.training


def test_what_was_not_trained_is_named(tmp_path):
    with pytest.raises(UsageError, match="course train clrnet"):
        open_networks(tmp_path)


def test_a_run_that_was_stopped_goes_on_with_the_same_losses(tmp_path):
    task = lambda: ClrTask(ALL, embedded(), 3)  # noqa: E731
    whole = fit(task(), None, 4, device="cpu").history
    fit(task(), tmp_path, 2, device="cpu")
    (tmp_path / "invertible.safetensors").unlink()
    (tmp_path / "invertible.json").unlink()
    rest = fit(task(), tmp_path, 4, device="cpu", resume=True).history
    for name, values in whole.items():
        np.testing.assert_array_equal(values, rest[name], err_msg=name)


@pytest.mark.parametrize("name", [each.name for each in fields(Switches)])
def test_everything_can_be_left_out(name):
    history = losses(replace(ALL, switches=replace(Switches(), **{name: False})))
    assert all(np.isfinite(values).all() for values in history.values())
    assert ("judge" in history) == (name != "judged")


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_row_of_the_ablations_trains(name):
    switches = replace(SMOKE.switches, **ABLATIONS[name])
    assert np.isfinite(losses(replace(SMOKE, switches=switches), 1)["loss"]).all()


def test_the_papers_losses_add_up():
    """Section III-E by hand, from what the networks return."""
    budget = replace(ALL, weights=PAPER, switches=replace(Switches(), synchronized=False))
    task = ClrTask(budget, embedded(), 0)
    model, batch = task.build(), next(task.batches(0, 0, 1))
    seen, given = [], []

    def note(module, args, made):
        seen.append(made)
        given.append(args[0])

    model.register_forward_hook(note)
    found = task.loss(model, batch)
    passage, pictures = seen[0], given[0]
    distance = lambda a, b: (a - b).abs().mean()  # noqa: E731
    _, fool, back = passage.judged
    protection = distance(passage.protected, pictures) + 0.01 * fool
    recovery = distance(passage.recovered, passage.placed.targets) + 0.01 * back
    by_hand = (
        protection
        + 1.5 * recovery
        + 0.1 * (found["mask"] + found["confidence"])
        + 0.05 * passage.unlike
        + found["null"]
        + found["judge"]
    )
    torch.testing.assert_close(found["loss"], by_hand)


def one_cut(pictures, views=None):
    """The left three quarters of pictures, in two views."""
    left = pictures[..., :48]
    boxes = torch.tensor([[0.0, 0.0, 0.75, 1.0]]).repeat(len(pictures), 1)
    return [Cut(views or (left, left), left, boxes, slice(0, len(pictures)))]


def test_stabilized_gradients_pass_by_the_attack_and_only_where_something_is_left():
    """What an attack does is a constant; its slopes are 1, and 0 where it cut away."""
    torch.manual_seed(0)
    budget = replace(SMOKE, switches=replace(Switches(), synchronized=False, judged=False))
    net = Ensemble(budget)
    pictures = torch.rand(2, 3, 64, 64)
    protected = pictures.clone().requires_grad_()
    cut = one_cut(pictures, (0 * pictures[..., :48], 0 * pictures[..., :48]))[0]
    view, _ = net.student(cut.views[0])
    placed = net._placed(pictures, protected, cut, view, IDEAL)
    torch.testing.assert_close(placed.canvas[..., :48], view)
    placed.canvas.sum().backward()
    assert (protected.grad[..., :48] == 1).all() and not protected.grad[..., 48:].any()
    assert any(weight.grad.any() for weight in net.student.parameters()), "but P itself learns"


@pytest.mark.parametrize("stabilized", [True, False])
def test_attacks_see_gradients_only_without_stabilization(stabilized):
    net = Ensemble(replace(SMOKE, switches=replace(SMOKE.switches, stabilized=stabilized)))
    seen = []

    def attack(protected):
        made = one_cut(protected)
        seen.append(made[0].plain.requires_grad)
        return made

    passage = net(torch.rand(2, 3, 64, 64), attack, IDEAL)
    assert seen == [not stabilized]
    passage.recovered.sum().backward()
    assert any(w.grad is not None and w.grad.any() for w in net.generator.parameters())


def test_both_ways_see_the_same_weights_while_training():
    """Spectral normalisation refines its estimate at every look: it must look once a step."""
    net = Ensemble(SMOKE).train()
    conv = next(
        each
        for name, each in net.generator.named_modules()
        if name.endswith("to_first.0") and isinstance(each, torch.nn.Conv2d)
    )
    seen = []
    conv.register_forward_hook(lambda module, given, made: seen.append(module.weight.detach()))
    net(torch.rand(2, 3, 64, 64), one_cut, IDEAL)
    assert len(seen) == 2 and torch.equal(*seen)
    net(torch.rand(2, 3, 64, 64), one_cut, IDEAL)
    assert not torch.equal(seen[0], seen[2]), "and it does refine it"


def test_locating_teaches_nobody_but_the_localizer():
    net = Ensemble(replace(ALL, switches=replace(Switches(), synchronized=False)))
    passage = net(torch.rand(2, 3, 64, 64), one_cut, IDEAL)
    (passage.placed.found.sum() + passage.placed.scores.sum()).backward()
    reached = {n.split(".")[0] for n, w in net.named_parameters() if w.grad is not None}
    assert reached == {"localizer"}


def test_the_teacher_leads_and_hands_over():
    net = Ensemble(ALL)
    pictures = torch.rand(2, 3, 64, 64)
    far = torch.rand(2, 3, 64, 48)
    cuts = lambda protected: one_cut(protected, (far, far))  # noqa: E731
    led = net.eval()(pictures, cuts, Phase(True, 0.0, True))
    followed = net(pictures, cuts, IDEAL)
    assert led.behind > 0 and followed.behind == 0
    # The main stream gets what the teacher makes of the crop without any attack.
    plain, _ = net.teacher(net.generator.protect(pictures)[0][..., :48])
    torch.testing.assert_close(led.placed.canvas[:2, ..., :48], plain)
    attacked, _ = net.student(far)
    torch.testing.assert_close(followed.placed.canvas[:2, ..., :48], attacked)
    net.apart.fill_(HANDOVER / 2)
    assert net(pictures, cuts, Phase(True, 0.0, True)).behind == 0


def test_the_student_alone_learns_from_what_it_is_behind():
    net = Ensemble(ALL)
    far = torch.rand(2, 3, 64, 48)
    passage = net(
        torch.rand(2, 3, 64, 64), lambda p: one_cut(p, (far, far)), Phase(True, 0.0, True)
    )
    passage.behind.backward()
    reached = {n.split(".")[0] for n, w in net.named_parameters() if w.grad is not None}
    assert reached == {"student"}


def test_predicted_boxes_come_last_and_only_near_the_truth():
    task = ClrTask(replace(SMOKE, steps=100, ideal=0.6), embedded(), 0)
    assert task.phase(59) == IDEAL and task.phase(60).predicted > 0 and task.phase(60).careful
    hasty = replace(SMOKE, switches=replace(SMOKE.switches, staged=False))
    assert ClrTask(hasty, embedded(), 0).phase(0) == Phase(False, 1.0, False)
    net, pictures = Ensemble(SMOKE), torch.rand(2, 3, 64, 64)
    cut = one_cut(pictures)[0]
    for box, used in [([0.05, 0.0, 0.8, 1.0], True), ([0.6, 0.6, 1.0, 1.0], False)]:
        found = torch.tensor([box, box])
        net.localizer.forward = lambda views, found=found: (found, torch.zeros(2))
        placed = net._placed(pictures, pictures, cut, cut.plain, Phase(False, 1.0, True))
        assert torch.equal(placed.lost, lost_pixels(found if used else cut.boxes, (64, 64)))
        assert torch.equal(placed.targets, pictures) != used
        rash = net._placed(pictures, pictures, cut, cut.plain, Phase(False, 1.0, False))
        assert torch.equal(rash.lost, lost_pixels(found, (64, 64)))


def test_whole_views_and_originals_are_not_cropped():
    task = ClrTask(replace(SMOKE, publication=Publication(whole=1.0)), embedded(), 0)
    model, batch = task.build(), next(task.batches(0, 0, 1))
    seen = []
    model.register_forward_hook(lambda module, args, made: seen.append(made))
    task.loss(model, batch)
    assert not seen[0].placed.cropped.any() and len(seen[0].negatives) == SMOKE.batch
    assert torch.isfinite(seen[0].recovered).all()


def test_the_localizer_may_look_at_a_part():
    net = Ensemble(replace(SMOKE, looks=1))
    pictures = torch.rand(4, 3, 64, 64)
    recipe = Publication(groups=2, whole=0.0)
    passage = net(pictures, lambda p: publish(p, recipe, np.random.default_rng(0)), IDEAL)
    assert passage.placed.found.shape == (4, 4) and passage.recovered.shape == (8, 3, 64, 64)


def test_intersection_over_union_agrees_with_that_of_two_boxes():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.random((30, 2, 2)), axis=1).reshape(30, 4)
    a, b = corners[:15], corners[15:]
    expected = [iou_of_two(Box(*x), Box(*y)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(iou(torch.tensor(a), torch.tensor(b)), expected, atol=1e-6)


def test_hiding_is_learned_on_one_batch():
    """Overfit a batch: what was cut away comes back, better than inpainting knows it."""
    calm = Publication(area=(0.6, 0.6), groups=1, plain=1.0, whole=0.0, stretched=0.0, uneven=0.0)
    budget = replace(
        SMOKE,
        network={
            **SMOKE.network,
            "transport": {"grid": 8, "carriers": 12, "width": 16, "rounds": 3},
        },
        publication=calm,
        rate=4e-3,
        steps=60,
        switches=replace(SMOKE.switches, tampered=False),
    )
    task = ClrTask(budget, embedded(), 0)
    torch.manual_seed(0)
    model, batch = task.build(), next(task.batches(0, 0, 1))
    optimizer = task.optimizer(model)
    pictures = batch.pictures / 255

    def passed():
        rng = np.random.default_rng(1)
        with torch.no_grad():
            return model(pictures, lambda shown: publish(shown, calm, rng), IDEAL)

    def lost_db(made, lost):
        errors = ((made - pictures) ** 2 * lost).sum() / lost.sum() / 3
        return float(-10 * torch.log10(errors))

    first = passed()
    for step in range(60):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3
        made = task.loss(model, batch._replace(step=torch.tensor(step)))
        optimizer.zero_grad()
        made["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    last = passed()
    n = len(pictures)
    lost, canvas = last.placed.lost[:n], last.placed.canvas[:n]
    guessed = [
        cv2.inpaint(
            (255 * one.permute(1, 2, 0).numpy()).round().astype(np.uint8),
            mask[0].numpy().astype(np.uint8),
            3,
            cv2.INPAINT_TELEA,
        )
        for one, mask in zip(canvas, lost, strict=True)
    ]
    inpainted = torch.from_numpy(np.stack(guessed)).permute(0, 3, 1, 2) / 255
    begun, ended = lost_db(first.recovered[:n], lost), lost_db(last.recovered[:n], lost)
    assert ended > begun + 2 and ended > lost_db(inpainted, lost)
    quality = -10 * torch.log10(((last.protected - pictures) ** 2).mean())
    assert quality > 26


# --- the system ------------------------------------------------------------------------------


def picture(height=150, width=110, seed=5):
    return dead_leaves(160, seed)[:height, :width]


def test_pictures_of_any_size_are_protected_and_located(trained):
    system = learned(trained)
    original = picture()
    protected = system.protect(original)
    assert protected.shape == original.shape and protected.dtype == np.uint8
    assert 0 < np.abs(protected.astype(float) - original).mean() < 25
    for by in ("template", "network"):
        found = system.locate(protected[10:130, 10:], by)
        assert found.said in ("cropped", "not cropped", "not protected")
        assert found.recovered.shape == (64, 64, 3) and found.recovered.dtype == np.uint8


def test_a_crop_with_a_known_place_is_recovered(trained):
    system = learned(trained)
    protected = system.protect(dead_leaves(64, 1))
    result = system.recover(protected[:, :48], Box(0, 0, 0.75, 1))
    assert result.picture.shape == (64, 64, 3) and result.error > 0
    assert np.isfinite(result.picture).all()
    left = np.abs(result.picture[:, :40] - protected[:, :40].astype(float)).mean()
    right = np.abs(result.picture[:, 50:] - protected[:, 50:].astype(float)).mean()
    assert left < right


def test_nothing_is_lost_of_a_whole_picture(trained):
    system = learned(trained)
    protected = system.protect(dead_leaves(64, 1))
    assert system.recover(protected).error == 0
    stranger = system.locate(dead_leaves(96, 2))
    assert stranger.said == "not protected" and not stranger.learned and stranger.error == 0


def test_without_a_template_the_network_is_asked(trained):
    system = learned(trained)
    system.amplitude = 0.0
    found = system.locate(dead_leaves(96, 2))
    assert found.place == system.asked(dead_leaves(96, 2)) and 0 <= found.place.score <= 1


def test_what_is_no_picture_is_refused(trained):
    system = learned(trained)
    for act in (system.protect, system.locate):
        with pytest.raises(PhotoError):
            act(np.zeros((64, 64), np.uint8))
