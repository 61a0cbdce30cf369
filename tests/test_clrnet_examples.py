"""CLR-Net's examples: crops, attacks, the way back in place, and augmentation."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from course_lib.attacks.codec import real_jpeg
from course_lib.clrnet.examples import (
    Publication,
    SquareStream,
    attacked,
    augmented,
    draw_sizes,
    lost_pixels,
    moved_along,
    publish,
    through_jpeg,
    zero_padded,
)
from course_lib.errors import PhotoError, UsageError
from course_lib.photos import embedded, folder

CALM = Publication(jpeg="none", others=False, whole=0.0, stretched=0.0)


def pictures(n=4, side=64, seed=0):
    """Smooth random pictures in the middle of the range."""
    rng = np.random.default_rng(seed)
    made = [cv2.GaussianBlur(rng.random((side, side, 3)), (0, 0), 3) for _ in range(n)]
    batch = torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).float()
    return 0.2 + 0.6 * (batch - batch.min()) / (batch.max() - batch.min())


def test_sizes_keep_the_areas_and_evenness_that_are_asked_for():
    shares = draw_sizes(5000, Publication(), np.random.default_rng(0))
    areas = shares.prod(axis=1)
    assert areas.min() >= 0.4 - 1e-9 and areas.max() <= 1 + 1e-9 and shares.max() <= 1 + 1e-9
    assert np.abs(np.diff(shares, axis=1)).max() <= 0.2 + 1e-9
    assert areas.mean() == pytest.approx(0.7, abs=0.01), "uniform in area, not in side"
    assert np.abs(np.diff(shares, axis=1)).mean() > 0.05


def test_attacks_start_gently():
    gentle = draw_sizes(1000, Publication(), np.random.default_rng(0), strength=0.0)
    assert gentle.prod(axis=1).min() > 0.8


def test_a_crop_put_back_is_what_was_there():
    batch = (255 * pictures()).round() / 255
    for cut in publish(batch, CALM, np.random.default_rng(1)):
        truth = batch[cut.rows]
        lost = lost_pixels(cut.boxes, (64, 64))
        assert lost.mean() > 0.02
        for view in (*cut.views, cut.plain):
            canvas = zero_padded(view, cut.boxes, (64, 64))
            torch.testing.assert_close(canvas, truth * (1 - lost), atol=1e-5, rtol=0)


def test_a_stretched_crop_is_put_back_nearly():
    batch = pictures()
    recipe = replace(CALM, stretched=1.0)
    for cut in publish(batch, recipe, np.random.default_rng(1)):
        height, width = cut.plain.shape[-2:]
        lost = lost_pixels(cut.boxes, (64, 64))
        assert height * width > 64 * 64 * float(1 - lost[0].mean()), "it was enlarged"
        canvas = zero_padded(cut.plain, cut.boxes, (64, 64))
        assert ((canvas - batch[cut.rows] * (1 - lost)) ** 2).mean() < 2e-5


def test_putting_back_agrees_with_opencv():
    view = pictures(1, 12)
    box = torch.tensor([[0.25, 0.125, 0.75, 0.875]])
    canvas = zero_padded(view, box, (32, 32))[0].permute(1, 2, 0).numpy()
    picture = view[0].permute(1, 2, 0).numpy()
    resized = cv2.resize(picture, (16, 24), interpolation=cv2.INTER_LINEAR)
    assert np.abs(canvas[4:28, 8:24] - resized).max() < 1e-5
    canvas[4:28, 8:24] = 0
    assert not canvas.any()


def test_gradients_reach_views_and_boxes():
    view = pictures(2, 24).double().requires_grad_()
    box = torch.tensor([[0.11, 0.2, 0.83, 0.9]] * 2, dtype=torch.float64, requires_grad=True)
    canvas = zero_padded(view, box, (32, 32))
    canvas.square().sum().backward()
    assert view.grad.abs().min() > 0
    step = 1e-6
    for edge in range(4):
        moved = box.detach().clone()
        moved[:, edge] += step
        change = zero_padded(view.detach(), moved, (32, 32)).square().sum() - canvas.square().sum()
        assert change.item() / step == pytest.approx(box.grad[:, edge].sum().item(), rel=1e-2)


def test_a_box_that_moves_right_moves_the_picture_right():
    view = pictures(1, 16)
    box = torch.tensor([[0.25, 0.25, 0.75, 0.75]])
    a = zero_padded(view, box, (32, 32))
    b = zero_padded(view, box + torch.tensor([[4 / 32, 0, 4 / 32, 0]]), (32, 32))
    torch.testing.assert_close(a.roll(4, -1), b, atol=1e-6, rtol=0)


def test_lost_pixels_are_those_outside():
    lost = lost_pixels(torch.tensor([[0.25, 0.5, 1.0, 1.0]]), (8, 8))[0, 0]
    expected = torch.ones(8, 8)
    expected[4:, 2:] = 0
    assert torch.equal(lost, expected)
    assert not lost_pixels(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), (8, 8)).any()


def test_both_views_show_the_same_crop_after_unlike_attacks():
    batch = pictures(4)
    recipe = Publication(plain=0.0, whole=0.0)
    cuts = publish(batch, recipe, np.random.default_rng(3))
    assert [cut.rows for cut in cuts] == [slice(0, 2), slice(2, 4)]
    for cut in cuts:
        first, second = cut.views
        assert first.shape == second.shape == cut.plain.shape
        assert 0 < (first - second).abs().mean() < 0.1
        for view in cut.views:
            levels = view * 255
            assert (levels - levels.round()).abs().max() < 1e-3, "stored with 8 bits"


def test_the_same_seed_gives_the_same_publication():
    one, two = (publish(pictures(), Publication(), np.random.default_rng(9)) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.boxes, b.boxes) and torch.equal(a.views[1], b.views[1])


@pytest.mark.parametrize("kind", ["real", "straight", "mixup", "jpeg-ss", "jpeg-mask", "mbrs"])
def test_every_jpeg_changes_pictures_and_passes_gradients(kind):
    batch = pictures(2).requires_grad_()
    made = through_jpeg(batch, Publication(jpeg=kind), np.random.default_rng(0))
    assert 0 < (made - batch).abs().mean() < 0.1
    made.square().sum().backward()
    assert batch.grad.isfinite().all() and batch.grad.abs().sum() > 0


def test_real_files_with_simulated_slopes():
    batch = pictures(2)
    recipe = Publication(jpeg="real", qualities=(60, 60))
    seed = lambda: np.random.default_rng(4)  # noqa: E731
    with torch.no_grad():
        file = through_jpeg(batch, recipe, seed())
    assert any(torch.equal(file, real_jpeg(batch, 60.0, halved)) for halved in (True, False))
    slopes = {}
    for kind in ("real", "straight"):
        given = batch.clone().requires_grad_()
        made = through_jpeg(given, replace(recipe, jpeg=kind), seed())
        torch.testing.assert_close(made.detach(), file, atol=1e-6, rtol=0)
        weights = torch.randn(made.shape, generator=torch.Generator().manual_seed(0))
        (made * weights).sum().backward()
        slopes[kind] = given.grad
    torch.testing.assert_close(slopes["straight"], weights)
    assert (slopes["real"] - weights).abs().mean() > 0.1


def test_unknown_jpeg():
    with pytest.raises(UsageError, match="jpeg-mask"):
        through_jpeg(pictures(1), Publication(jpeg="webp"), np.random.default_rng(0))


def test_without_attacks_nothing_happens():
    batch = pictures(2)
    assert attacked(batch, CALM, np.random.default_rng(0)) is batch


def test_augmentation_pastes_strokes_of_another_picture():
    batch = pictures(40)
    made = augmented(batch, np.random.default_rng(0), share=0.5)
    changed = (made != batch).any(1)
    hit = changed.flatten(1).any(1)
    assert 10 < int(hit.sum()) < 30
    others = batch.roll(1, 0)
    assert torch.equal(made[:, :], torch.where(changed[:, None], others, batch))
    assert changed[hit].float().mean() < 0.6
    assert augmented(batch, np.random.default_rng(0), share=0.0) is batch


def test_targets_move_along_with_a_wrong_box():
    batch = pictures(2, 64)
    true = torch.tensor([[0.25, 0.25, 0.75, 0.75]] * 2)
    assert (moved_along(batch, true, true) - batch).abs().max() < 1e-4
    found = true + torch.tensor([[8 / 64, -4 / 64, 8 / 64, -4 / 64]])
    moved = moved_along(batch, true, found)
    torch.testing.assert_close(
        moved[..., 8:56, 16:56], batch.roll((-4, 8), (-2, -1))[..., 8:56, 16:56], atol=1e-3, rtol=0
    )
    # What is seen of the true crop, put back by the wrong box, lies on the moved picture.
    wider = true + torch.tensor([[-0.05, 0.0, 0.05, 0.1]])
    view = batch[..., 16:48, 16:48]
    canvas, lost = zero_padded(view, wider, (64, 64)), lost_pixels(wider, (64, 64))
    aim = moved_along(batch, true, wider) * (1 - lost)
    assert (canvas - aim).abs().mean() < 0.004


def test_a_stream_of_squares_is_a_function_of_seed_and_step():
    make = lambda seed: SquareStream(embedded(), 3, side=64, seed=seed, leaves=0.3)  # noqa: E731
    one, again, other = make(1).batch(5), make(1).batch(5), make(2).batch(5)
    assert one.pictures.shape == (3, 3, 64, 64) and one.pictures.dtype == torch.uint8
    assert torch.equal(one.pictures, again.pictures) and int(one.step) == 5
    assert not torch.equal(one.pictures, other.pictures)


def test_photographs_that_are_too_small_are_named(tmp_path):
    cv2.imwrite(str(tmp_path / "small.png"), np.full((40, 300, 3), 99, np.uint8))
    with pytest.raises(PhotoError, match="300 × 40 pixels is too small"):
        SquareStream(folder(tmp_path), 2, side=64).batch(0)


def test_an_impossible_side_is_refused():
    with pytest.raises(UsageError, match="32 to 1024"):
        SquareStream(None, 2, side=16)
