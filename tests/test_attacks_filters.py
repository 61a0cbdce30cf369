"""Blur, noise, rescaling and the rest against OpenCV and scikit-image, with their gradients."""

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.transform import resize

from course_lib.attacks.filters import (
    brightness,
    contrast,
    dropout,
    gaussian_blur,
    gaussian_noise,
    median_blur,
    quantized,
    rescaled,
)
from course_lib.errors import UsageError
from tests.attack_pictures import PHOTO, PICTURES, batch, levels

FLOATS = PHOTO.astype(np.float32) / 255


def middle(*shape, seed=0):
    """Middle grays in float64, far from clipping."""
    source = torch.Generator().manual_seed(seed)
    x = 0.3 + 0.4 * torch.rand(shape, generator=source, dtype=torch.float64)
    return x.requires_grad_()


@pytest.mark.parametrize("side", [3, 5])
def test_median_as_opencv_and_scipy(side):
    seen = levels(median_blur(batch(PHOTO), side))[0]
    np.testing.assert_allclose(seen, cv2.medianBlur(PHOTO, side), atol=1e-3)
    double = median_blur(batch(PHOTO).double(), side)
    theirs = ndimage.median_filter(FLOATS.astype(float), (side, side, 1), mode="nearest")
    np.testing.assert_allclose(double[0].permute(1, 2, 0), theirs, atol=1e-6)


@pytest.mark.parametrize("side", [3, 5])
def test_slopes_of_the_median(side):
    assert torch.autograd.gradcheck(lambda x: median_blur(x, side), middle(2, 2, 7, 6))
    flat = torch.full((1, 1, 9, 9), 0.5, requires_grad=True)  # nothing but ties, in float32
    median_blur(flat, side).sum().backward()
    assert flat.grad.sum() == 81
    picture = batch(PHOTO).requires_grad_()
    plain = batch(PHOTO).double().requires_grad_()
    weights = torch.rand(picture.shape)
    (weights * median_blur(picture, side)).sum().backward()
    (weights * median_blur(plain, side)).sum().backward()
    assert torch.allclose(picture.grad.double(), plain.grad, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.6, 1, 2])
def test_gaussian_as_opencv(sigma):
    for picture in PICTURES.values():
        seen = levels(gaussian_blur(batch(picture), sigma))[0]
        theirs = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), sigma)
        np.testing.assert_allclose(seen, theirs, atol=0.05)
    assert torch.autograd.gradcheck(lambda x: gaussian_blur(x, sigma), middle(1, 2, 7, 9))


def test_gaussian_wider_than_the_picture():
    x = torch.rand(1, 1, 4, 5)
    assert gaussian_blur(x, 30).std() < 0.2 * x.std()
    assert gaussian_blur(x, 30).mean() == pytest.approx(float(x.mean()), abs=0.06)


@pytest.mark.parametrize("factor", [0.75, 0.5, 0.4])
def test_rescaling_as_scikit_image(factor):
    x = batch(PICTURES["odd"])
    h, w = x.shape[-2:]
    seen = rescaled(x, factor)[0].permute(1, 2, 0).numpy()
    # The same two steps with Pillow's filter, of which torch's is a copy, and scikit-image's.
    between = (round(h * factor), round(w * factor), 3)
    picture = x[0].permute(1, 2, 0).numpy()
    small = resize(picture, between, order=1, anti_aliasing=True)
    theirs = resize(small, (h, w, 3), order=1, mode="edge")
    assert np.abs(seen - theirs).mean() < 0.02
    assert np.corrcoef(seen.ravel() - picture.ravel(), (theirs - picture).ravel())[0, 1] > 0.85


def test_rescaling():
    x = batch(PHOTO)
    assert torch.equal(rescaled(x, 1.0), x)
    lost = [(rescaled(x, factor) - x).square().mean() for factor in (0.9, 0.75, 0.5, 0.25)]
    assert lost == sorted(lost)
    assert (rescaled(x, 2.0) - x).abs().mean() < 0.02
    flat = torch.full((1, 3, 20, 30), 0.3)
    assert torch.allclose(rescaled(flat, 0.37), flat)
    tiny = rescaled(x, 1e-9)  # to one pixel: the mean of the picture
    assert torch.allclose(tiny.mean(dim=(2, 3)), x.mean(dim=(2, 3)), atol=0.02)
    assert torch.autograd.gradcheck(lambda x: rescaled(x, 0.5), middle(1, 1, 8, 6))


def test_noise():
    x = torch.full((2, 3, 64, 64), 0.5)
    source = torch.Generator().manual_seed(0)
    noise = gaussian_noise(x, 10 / 255, source) - x
    assert noise.std() * 255 == pytest.approx(10, rel=0.03)
    assert abs(float(noise.mean())) * 255 < 0.3
    assert abs(np.corrcoef(noise[0, 0].flatten(), noise[0, 1].flatten())[0, 1]) < 0.05
    again = gaussian_noise(x, 10 / 255, torch.Generator().manual_seed(0)) - x
    assert torch.equal(noise, again)
    clipped = gaussian_noise(torch.zeros(1, 3, 32, 32), 0.5, source)
    assert clipped.min() == 0 and clipped.max() <= 1


def test_dropout():
    x = torch.full((2, 3, 100, 100), 0.5)
    seen = dropout(x, 0.3, torch.Generator().manual_seed(1))
    lost = (seen == 0).float()
    assert lost.mean() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(lost[:, 0], lost[:, 2])
    assert ((seen == 0) | (seen == 0.5)).all()
    assert torch.equal(dropout(x, 0), x) and not dropout(x, 1).any()
    mixed = dropout(x, 0.5, others=torch.ones_like(x))
    assert set(mixed.unique().tolist()) == {0.5, 1}
    y = x.clone().requires_grad_()
    dropout(y, 0.3, torch.Generator().manual_seed(1)).sum().backward()
    assert torch.equal(y.grad, 1 - lost)
    with pytest.raises(UsageError, match="0 to 1"):
        dropout(x, 30)


def test_contrast_and_brightness_as_opencv():
    x = batch(PHOTO)
    for factor in (0.5, 0.8, 1.2, 2):
        theirs = cv2.convertScaleAbs(PHOTO, alpha=factor, beta=127.5 * (1 - factor))
        inside = 127.5 + factor * (PHOTO - 127.5) >= 0  # below, OpenCV returns the absolute value
        ours = levels(contrast(x, factor))[0]
        assert np.abs(ours - theirs)[inside].max() <= 0.51
        assert (ours[~inside] == 0).all()
    for amount in (-20, 20):
        theirs = cv2.add(PHOTO.astype(np.int16), np.full(PHOTO.shape, amount, np.int16))
        ours = levels(brightness(x, amount / 255))[0]
        np.testing.assert_allclose(ours, np.clip(theirs, 0, 255), atol=1e-3)
    assert torch.autograd.gradcheck(
        lambda x: brightness(contrast(x, 1.2), 0.03), middle(1, 1, 3, 3)
    )


def test_eight_bits():
    x = torch.linspace(-0.1, 1.1, 1001, requires_grad=True)
    seen = quantized(x)
    theirs = np.clip(np.rint(255 * x.detach().numpy()), 0, 255) / 255
    np.testing.assert_allclose(seen.detach(), theirs, atol=1e-6)
    seen.sum().backward()
    inside = (x.detach() > 0) & (x.detach() < 1)
    assert torch.equal(x.grad, inside.float())


def test_refusals():
    x = torch.rand(1, 3, 8, 8)
    with pytest.raises(UsageError, match="positive factor"):
        rescaled(x, 0)
    with pytest.raises(UsageError, match="choose 3 or 5"):
        median_blur(x, 4)
    with pytest.raises(UsageError, match="positive number"):
        gaussian_blur(x, 0)
