"""JPEG from scratch against the real codec, the tables in real files, SciPy's DCT and kornia."""

import io
import json
import subprocess
import sys

import cv2
import kornia
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import fft

from course_lib.attacks.codec import real_jpeg, through_jpeg
from course_lib.attacks.jpeg import (
    CHROMA,
    LUMA,
    changed,
    dct_matrix,
    doubled,
    fourier,
    from_blocks,
    halved,
    hard,
    jpeg,
    quantization_table,
    soft,
    straight_through,
    to_blocks,
    to_rgb,
    to_ycbcr,
    zigzag,
)
from course_lib.errors import UsageError
from tests.attack_pictures import PHOTO, PICTURES, batch, levels

QUALITIES = (10, 30, 50, 70, 90, 95, 100)
MEAN_BOUND = 0.75
"""Gray levels by which the simulation may differ from a real file on average."""


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("name", PICTURES)
def test_as_the_real_codec(name, quality, subsampling):
    pictures = batch(PICTURES[name])
    real = levels(real_jpeg(pictures, quality, halved=subsampling == "4:2:0"))
    ours = levels(jpeg(pictures, quality, subsampling))
    assert ours.shape == real.shape
    assert np.abs(ours - real).mean() < MEAN_BOUND
    before = ((levels(pictures) - real) ** 2).mean()
    after = ((ours - real) ** 2).mean()
    assert after < 2.2
    # At quality 100 whole numbers are all that a file changes, and ours come out unrounded.
    assert after < 0.13 * before or (quality == 100 and after < 0.45)


@pytest.mark.parametrize("quality", [10, 50, 70, 90, 95])
def test_nearer_to_the_real_codec_than_kornia(quality):
    for picture in PICTURES.values():
        h, w = (side // 16 * 16 for side in picture.shape[:2])
        pictures = batch(np.ascontiguousarray(picture[:h, :w]))
        real = real_jpeg(pictures, quality)
        theirs = kornia.enhance.jpeg_codec_differentiable(pictures, torch.tensor([float(quality)]))
        ours = jpeg(pictures, quality)
        assert ((ours - real) ** 2).mean() <= ((theirs - real) ** 2).mean()
        assert (ours - theirs).abs().mean() < 0.5 * (pictures - real).abs().mean()


@pytest.mark.parametrize("quality", [1, 2, 10, 25, 49, 50, 51, 70, 75, 90, 99, 100])
def test_tables_are_those_of_real_files(quality):
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, "JPEG", quality=quality)
    stored = Image.open(file).quantization
    for number, base in enumerate((LUMA, CHROMA)):
        ours = quantization_table(quality, base).int().flatten().tolist()
        assert ours == stored[number]


def test_zigzag_is_the_order_of_real_files():
    """Pillow hands tables out row by row; the file itself stores them in the zigzag order."""
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, "JPEG", quality=50)
    data = file.getvalue()
    start = data.index(b"\xff\xdb") + 5  # marker, length, number of the table
    stored = np.frombuffer(data[start : start + 64], np.uint8)
    np.testing.assert_array_equal(stored[zigzag()], LUMA.numpy())
    assert zigzag(3).tolist() == [[0, 1, 5], [2, 4, 6], [3, 7, 8]]


def test_colours_as_opencv():
    # OpenCV orders Y, Cr, Cb.
    theirs = cv2.cvtColor(PHOTO.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    ours = to_ycbcr(255 * batch(PHOTO))
    expected = 255 * theirs + np.array([0, 0.5, 0.5])  # OpenCV's gray is 127.5, the file's 128
    np.testing.assert_allclose(ours[0].permute(1, 2, 0), expected, atol=0.06)
    np.testing.assert_allclose(to_rgb(ours), 255 * batch(PHOTO), atol=1e-3)
    gray = to_ycbcr(torch.full((1, 3, 2, 2), 77.0))
    assert gray[0, :, 0, 0].tolist() == pytest.approx([77, 128, 128], abs=1e-4)


def test_dct():
    d = dct_matrix()
    assert torch.allclose(d @ d.T, torch.eye(8, dtype=torch.float64))
    block = np.random.default_rng(0).random((8, 8))
    ours = d.numpy() @ block @ d.numpy().T
    np.testing.assert_allclose(ours, fft.dctn(block, norm="ortho"), atol=1e-12)
    assert torch.allclose(dct_matrix(5) @ dct_matrix(5).T, torch.eye(5, dtype=torch.float64))


def test_blocks():
    planes = torch.rand(2, 3, 16, 24)
    blocks = to_blocks(planes)
    assert blocks.shape == (2, 18, 8, 8)
    assert torch.equal(blocks[1, 6 + 4], planes[1, 1, 8:16, 8:16])
    assert torch.equal(from_blocks(blocks, planes.shape), planes)


def test_halving_and_doubling():
    planes = torch.rand(1, 2, 6, 8)
    assert torch.allclose(halved(planes)[0, 1, 2, 3], planes[0, 1, 4:6, 6:8].mean())
    line = torch.tensor([[[[0.0, 4.0, 8.0]]]]).expand(1, 1, 3, 3)
    assert doubled(line)[0, 0, 2].tolist() == [0, 1, 3, 5, 7, 8]


def test_roundings():
    x = torch.linspace(-3.4, 3.4, 2001, dtype=torch.float64)
    assert torch.equal(straight_through(x), hard(x))
    assert (soft(x) - hard(x)).abs().max() <= 0.1251
    away = (x - x.round()).abs() < 0.4
    assert (fourier(x) - hard(x))[away].abs().max() < 0.08
    assert (fourier(x, terms=50) - hard(x))[away].abs().max() < 0.02


def test_slopes_of_roundings():
    def slope(rounding):
        x = torch.tensor([0.0, 0.25, 0.5001, 2.0], requires_grad=True)
        return torch.autograd.grad(rounding(x).sum(), x)[0].tolist()

    assert slope(hard) == [0, 0, 0, 0]
    assert slope(straight_through) == [1, 1, 1, 1]
    assert slope(soft) == pytest.approx([0, 3 / 16, 0.75, 0], abs=2e-3)
    # The series' slope is 1 − 2 Σ (−1)^(k+1) cos(2πkx): at whole numbers −1 + 2·(9 odd terms).
    assert slope(fourier)[0] == pytest.approx(1 - 2, abs=1e-4)
    assert slope(fourier)[2] == pytest.approx(1 + 2 * 9, abs=1e-2)


@pytest.mark.parametrize("rounding", [fourier, soft, torch.clone])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_gradients_where_smooth(rounding, subsampling):
    generator = torch.Generator().manual_seed(3)
    # Middle grays stay away from the clipping at the ends.
    pictures = 0.35 + 0.3 * torch.rand(2, 3, 9, 10, generator=generator, dtype=torch.float64)
    steps = quantization_table(torch.tensor([80.0, 60.0])).reshape(2, 1, 64)

    def change(coefficients, base):
        return steps * rounding(coefficients / steps)

    def smooth(x):
        return changed(x, change, subsampling, whole=False)

    assert torch.autograd.gradcheck(smooth, pictures.requires_grad_(), eps=1e-7, atol=1e-4)


def test_hard_rounding_teaches_nothing_and_straight_through_does():
    for rounding, learns in ((hard, False), (straight_through, True)):
        pictures = batch(PHOTO).requires_grad_()
        jpeg(pictures, 70, rounding=rounding).square().sum().backward()
        assert bool(pictures.grad.abs().max() > 1e-3) is learns


def test_without_quantisation_nothing_is_lost_but_fine_colour():
    pictures = batch(PICTURES["odd"])
    kept = changed(pictures, lambda coefficients, base: coefficients, "4:4:4", whole=False)
    assert torch.allclose(kept, pictures, atol=2e-5)
    gray = pictures.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    kept = changed(gray, lambda coefficients, base: coefficients, whole=False)
    assert torch.allclose(kept, gray, atol=2e-5)


def test_a_quality_for_each_picture():
    pictures = batch(PHOTO, PHOTO[::-1])
    both = jpeg(pictures, torch.tensor([20.0, 90.0]))
    for one, quality, alone in zip(pictures, (20, 90), both, strict=True):
        assert torch.allclose(jpeg(one[None], quality)[0], alone, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (16, 16), (8, 250)])
def test_any_size(shape):
    pictures = torch.rand(2, 3, *shape)
    for subsampling in ("4:2:0", "4:4:4"):
        seen = jpeg(pictures, 50, subsampling)
        assert seen.shape == pictures.shape
        assert seen.min() >= 0 and seen.max() <= 1


def test_refusals():
    pictures = torch.rand(1, 3, 8, 8)
    for quality in (0, 101, torch.tensor([50.0, -1.0])):
        with pytest.raises(UsageError, match="1 to 100"):
            quantization_table(quality)
    with pytest.raises(UsageError, match="choose 4:2:0 or 4:4:4"):
        jpeg(pictures, 50, "4:1:1")


def test_real_files_pass_gradients_straight_through():
    pictures = batch(PHOTO).requires_grad_()
    seen = real_jpeg(pictures, 60)
    np.testing.assert_allclose(levels(seen)[0], through_jpeg(PHOTO, 60, halved=True), atol=1e-3)
    weights = torch.rand_like(seen)
    (weights * seen).sum().backward()
    assert torch.equal(pictures.grad, weights)


def test_real_files_of_several_qualities():
    pictures = batch(PHOTO, PHOTO)
    seen = levels(real_jpeg(pictures, torch.tensor([15.2, 95.0]), halved=False))
    for one, quality in zip(seen, (15, 95), strict=True):
        np.testing.assert_allclose(one, through_jpeg(PHOTO, quality), atol=1e-3)


def test_real_files_refuse():
    with pytest.raises(UsageError, match="does not fit 2 pictures"):
        real_jpeg(torch.rand(2, 3, 8, 8), torch.tensor([50, 60, 70]))
    with pytest.raises(UsageError, match="1 to 100"):
        real_jpeg(torch.rand(2, 3, 8, 8), 0)


def test_light_door():
    """Cameras use the codec, and lessons on lenses need no torch."""
    code = (
        "import json, sys, course_lib.attacks, course_lib.attacks.codec, course_lib.traces.camera;"
        "print(json.dumps('torch' in sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) is False
