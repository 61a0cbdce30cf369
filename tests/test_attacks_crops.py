"""Crops: drawn as asked, cut and stretched as OpenCV does, with gradients; and strokes."""

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms.functional import InterpolationMode, resize

from course_lib.attacks.crops import draw_boxes, stretched
from course_lib.attacks.tamper import free_form_mask, tampered
from course_lib.errors import UsageError
from tests.attack_pictures import PHOTO, batch, levels


def test_boxes():
    boxes = draw_boxes(4000, np.random.default_rng(0), 0.5, 0.8).numpy()
    assert boxes.shape == (4000, 4) and boxes.dtype == np.float32
    size = boxes[:, 2:] - boxes[:, :2]
    assert size.min() > 0.4999 and size.max() < 0.8001
    assert np.allclose(size.mean(axis=0), 0.65, atol=0.01)
    assert abs(np.corrcoef(size.T)[0, 1]) < 0.06  # width and height have nothing to do
    place = boxes[:, :2] / (1 - size)
    assert place.min() >= 0 and boxes.max() <= 1
    assert np.allclose(place.mean(axis=0), 0.5, atol=0.02)
    assert np.allclose(place.std(axis=0), 12**-0.5, atol=0.02)
    same = draw_boxes(3, np.random.default_rng(7)), draw_boxes(3, np.random.default_rng(7))
    assert torch.equal(*same)
    assert torch.equal(
        draw_boxes(2, np.random.default_rng(0), 1, 1), torch.tensor([[0, 0, 1, 1.0]] * 2)
    )


def test_the_whole_frame_is_the_picture_itself():
    pictures = torch.rand(3, 3, 37, 50)
    whole = torch.tensor([[0.0, 0, 1, 1]]).expand(3, 4)
    assert torch.equal(stretched(pictures, whole), pictures)


@pytest.mark.parametrize("size", [None, (256, 256), (300, 200)])
def test_as_opencv_stretches_the_cut_out(size):
    pixels = [(20, 33, 180, 201), (0, 100, 130, 256), (7, 0, 256, 99)]
    boxes = torch.tensor(pixels) / 256
    seen = levels(stretched(batch(PHOTO, PHOTO, PHOTO), boxes, size))
    height, width = size or (256, 256)
    for one, (left, top, right, bottom) in zip(seen, pixels, strict=True):
        cut = PHOTO[top:bottom, left:right].astype(np.float32)
        if cut.shape[0] <= height and cut.shape[1] <= width:
            theirs = cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR)
            np.testing.assert_allclose(one, theirs, atol=2e-3)


def test_smaller_is_averaged_as_torchvision_does():
    pictures = batch(PHOTO)
    seen = stretched(pictures, torch.tensor([[0.25, 0.125, 0.75, 1.0]]), (50, 40))
    cut = pictures[..., 32:256, 64:192]
    theirs = resize(cut, [50, 40], InterpolationMode.BILINEAR, antialias=True)
    assert (seen - theirs).abs().max() < 2e-3


def test_between_pixels():
    ramp = torch.linspace(0.5, 99.5, 100).expand(1, 1, 40, 100) / 100  # the place of each pixel
    boxes = torch.tensor([[0.1034, 0.2, 0.7777, 0.9]])
    line = stretched(ramp, boxes)[0, 0, 20]
    expected = 0.1034 + (0.7777 - 0.1034) * (torch.arange(100) + 0.5) / 100
    assert (line - expected)[2:-2].abs().max() < 1e-4
    assert (line - expected).abs().max() < 0.006  # at the cut, nothing beyond is looked at


def test_nothing_outside_is_looked_at():
    inside = torch.zeros(1, 1, 64, 64)
    inside[..., 16:48, 8:40] = 0.7
    seen = stretched(inside, torch.tensor([[8 / 64, 16 / 64, 40 / 64, 48 / 64]]))
    assert torch.allclose(seen, torch.full_like(seen, 0.7))


def test_gradients():
    pictures = torch.rand(2, 2, 7, 6, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[0.1, 0.2, 0.83, 0.9], [0, 0, 0.5, 1]])
    assert torch.autograd.gradcheck(lambda x: stretched(x, boxes), pictures)
    assert torch.autograd.gradcheck(lambda x: stretched(x, boxes, (3, 11)), pictures)


@pytest.mark.parametrize(
    "box", [[0.5, 0, 0.5, 1], [0.6, 0, 0.4, 1], [-0.1, 0, 1, 1], [0, 0, 1, 1.1]]
)
def test_impossible_boxes(box):
    with pytest.raises(UsageError, match="empty or leaves"):
        stretched(torch.rand(1, 3, 8, 8), torch.tensor([box]))


def test_refusals():
    with pytest.raises(UsageError, match=r"give \(n, 4\)"):
        stretched(torch.rand(2, 3, 8, 8), torch.tensor([[0, 0, 1, 1.0]]))
    for low, high in ((0, 0.5), (0.8, 0.5), (0.5, 1.2)):
        with pytest.raises(UsageError, match="Crops cannot keep"):
            draw_boxes(1, np.random.default_rng(0), low, high)


def test_strokes():
    rng = np.random.default_rng(0)
    masks = [free_form_mask((120, 160, 3), rng) for _ in range(200)]
    shares = np.array([mask.mean() for mask in masks])
    assert masks[0].shape == (120, 160) and masks[0].dtype == bool
    assert shares.min() > 0 and shares.max() < 0.6
    assert 0.03 < shares.mean() < 0.3
    assert np.mean(masks, axis=0).min() > 0.01  # strokes reach every part of the picture
    again = free_form_mask((120, 160, 3), np.random.default_rng(0))
    assert np.array_equal(masks[0], again)


def test_more_and_wider_strokes_cover_more():
    def share(**how):
        rng = np.random.default_rng(1)
        return np.mean([free_form_mask((96, 96), rng, **how).mean() for _ in range(60)])

    assert share(strokes=(5, 5)) > 2 * share(strokes=(1, 1))
    assert share(width=(0.2, 0.2)) > 2 * share(width=(0.05, 0.05))
    for shape in ((1, 1), (3, 40)):
        assert free_form_mask(shape, np.random.default_rng(0)).any()


def test_tampering_is_equation_3():
    pictures, others = torch.rand(2, 3, 20, 30), torch.rand(2, 3, 20, 30)
    rng = np.random.default_rng(0)
    masks = np.stack([free_form_mask((20, 30), rng) for _ in range(2)])
    seen = tampered(pictures, others, masks)
    m = torch.from_numpy(masks).float()[:, None]
    assert torch.allclose(seen, others * m + pictures * (1 - m))
    assert torch.equal(seen, tampered(pictures, others, m))
    given = pictures.clone().requires_grad_()
    tampered(given, others, masks).sum().backward()
    assert torch.equal(given.grad, (1 - m).expand_as(given))
    with pytest.raises(UsageError, match="do not fit"):
        tampered(pictures, others, masks[:, :10])
