"""Stand-ins for JPEG: what each keeps, that gradients pass, and how faithful each is."""

import pytest
import torch

from course_lib.attacks import simulators
from course_lib.attacks.codec import real_jpeg
from course_lib.attacks.jpeg import (
    changed,
    dct_matrix,
    jpeg,
    quantization_table,
    soft,
    to_blocks,
    to_ycbcr,
)
from course_lib.attacks.simulators import SIMULATORS, jpeg_mask, jpeg_mixup, jpeg_ss, mbrs
from course_lib.errors import UsageError
from tests.attack_pictures import PHOTO, PICTURES, batch


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def coefficients(pictures):
    """DCT coefficients of luma, (n, blocks, 8, 8)."""
    d = dct_matrix().float()
    return d @ to_blocks(to_ycbcr(255 * pictures)[:, :1] - 128) @ d.T


def off(seen, real):
    return float((seen - real).abs().mean()) * 255


def test_jpeg_ss_is_jpeg_with_a_soft_rounding():
    pictures = batch(PHOTO)
    assert torch.equal(jpeg_ss(pictures, 40), jpeg(pictures, 40, rounding=soft))


def test_mask_keeps_a_corner_and_nothing_else():
    pictures = 0.25 + 0.5 * batch(PHOTO)
    kept = coefficients(jpeg_mask(pictures))
    before = coefficients(pictures)
    assert (kept[..., :5, :5] - before[..., :5, :5]).abs().mean() < 0.6  # whole numbers on the way
    assert kept[..., 5:, :].abs().mean() < 0.3 < before[..., 5:, :].abs().mean()


def test_mask_keeps_more_at_higher_quality():
    pictures = batch(PHOTO)
    lost = [off(jpeg_mask(pictures, quality), pictures) for quality in (5, 20, 50, 80, 100)]
    assert lost == sorted(lost, reverse=True) and lost[-1] < 2 < lost[0]
    steps = quantization_table(50)
    kept = coefficients(jpeg_mask(0.25 + 0.5 * pictures, 50)).abs().mean(dim=(0, 1))
    assert kept[steps > simulators.LIMIT].max() < 0.3 < kept[steps < 20].min()


def test_mask_slopes_are_those_of_a_projection():
    """Nothing but a choice of coefficients: twice is once, and the gradient is the same choice."""
    x = torch.rand(1, 3, 16, 16, dtype=torch.float64, generator=generator()) * 0.2 + 0.4
    slope = torch.autograd.functional.jvp(jpeg_mask, x, torch.full_like(x, 0.01))[1]
    assert torch.allclose(slope, torch.full_like(x, 0.01), atol=1e-9)  # a constant passes whole


def test_mbrs_draws_all_three_alike():
    pictures = batch(PHOTO)
    faces = {
        "real": real_jpeg(pictures, 50),
        "mask": jpeg_mask(pictures),
        "none": pictures,
    }
    source, seen = generator(1), dict.fromkeys(faces, 0)
    for _ in range(60):
        drawn = mbrs(pictures, 50, source)
        seen[min(faces, key=lambda name: off(drawn, faces[name]))] += 1
    assert sum(seen.values()) == 60 and min(seen.values()) >= 9


@pytest.mark.parametrize("name", SIMULATORS)
def test_gradients_pass(name):
    for seed in range(4):
        pictures = batch(PHOTO).requires_grad_()
        SIMULATORS[name](pictures, 50, generator(seed)).square().sum().backward()
        assert torch.isfinite(pictures.grad).all()
        assert (pictures.grad.abs() > 1e-6).float().mean() > 0.5


def test_mixup_is_a_mixture():
    pictures = batch(PHOTO, PICTURES["photo"][:, ::-1])
    first, again, other = (jpeg_mixup(pictures, generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.shape == pictures.shape and first.min() >= 0 and first.max() <= 1
    flat = torch.full((2, 3, 32, 32), 0.4)
    for seed in range(5):  # shares add up to one, or a gray would change
        assert (jpeg_mixup(flat, generator(seed)) - 0.4).abs().max() < 1.6 / 255


def test_mixup_of_one_is_one_of_the_simulators(monkeypatch):
    pictures = batch(PHOTO)
    monkeypatch.setattr(simulators, "SIMULATORS", dict.fromkeys("abc", jpeg_ss))
    mixed = jpeg_mixup(pictures, generator(2), k=1, qualities=(30, 30))
    assert torch.allclose(mixed, jpeg_ss(pictures, 30), atol=1e-5)


def test_mixup_uses_its_range_of_qualities():
    pictures = batch(PHOTO)
    mild, harsh = (
        sum(off(jpeg_mixup(pictures, generator(s), qualities=q), pictures) for s in range(6))
        for q in ((90, 100), (5, 10))
    )
    assert harsh > 1.5 * mild
    with pytest.raises(UsageError, match="at least 1"):
        jpeg_mixup(pictures, k=0)


def test_which_are_faithful():
    """Soft rounding is nearly a file; a mask is not, at any quality."""
    for picture in PICTURES.values():
        pictures = batch(picture)
        for quality in (30, 50, 70):
            real = real_jpeg(pictures, quality)
            ours = off(jpeg(pictures, quality), real)
            ss, mask = off(jpeg_ss(pictures, quality), real), off(jpeg_mask(pictures), real)
            assert ours < ss < 0.6 * mask


def test_masks_per_picture():
    pictures = batch(PHOTO, PHOTO)
    both = jpeg_mask(pictures, torch.tensor([20.0, 95.0]))
    assert torch.allclose(both[1:], jpeg_mask(pictures[:1], 95), atol=1e-5)
    assert torch.equal(
        changed(pictures, lambda coefficients, base: coefficients), jpeg_mask(pictures, 100)
    )
