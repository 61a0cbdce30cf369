"""Training examples: tiles with watermarks, and what is done to them."""

import numpy as np
import pytest
import torch

from course_lib.attacks.crops import stretched
from course_lib.errors import PhotoError, UsageError
from course_lib.photos import Photo, PhotoSource, embedded
from course_lib.rwn.examples import Publication, TileStream, publish

SMOOTH = (
    torch.stack(torch.meshgrid(*[torch.linspace(0.2, 0.8, 96)] * 2, indexing="ij"))
    .mean(0)
    .expand(8, 3, 96, 96)
)


def test_tiles_are_the_same_for_a_step_and_new_for_the_next():
    stream = TileStream(embedded(), 4, tile=64, seed=5)
    first, second = stream.batch(3), stream.batch(4)
    again = TileStream(embedded(), 4, tile=64, seed=5).batch(3)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
    assert int(first.step) == 3 and int(second.step) == 4
    assert not torch.equal(first.pictures, second.pictures)
    assert first.pictures.shape == (4, 3, 64, 64) and first.watermarks.shape == (4, 1, 64, 64)


def test_processes_share_a_batch():
    stream = TileStream(embedded(), 4, tile=64)
    whole = stream.batch(2)
    parts = [stream.batch(2, rank, 2) for rank in (0, 1)]
    assert torch.equal(whole.pictures, torch.cat([part.pictures for part in parts]))
    assert torch.equal(whole.watermarks, torch.cat([part.watermarks for part in parts]))


def test_watermarks_are_even_and_each_another():
    tiles = TileStream(None, 16, tile=128, seed=1).batch(0).watermarks.float()
    assert 110 < tiles.mean() < 146
    assert 35 < tiles.std() < 66
    flat = tiles.flatten(1) - tiles.flatten(1).mean(1, keepdim=True)
    likeness = torch.corrcoef(flat) - torch.eye(16)
    assert likeness.abs().max() < 0.6


def test_leaves_alone_will_do():
    assert TileStream(None, 2, tile=32).batch(0).pictures.float().std() > 10


def test_bad_sources_and_sizes():
    tiny = PhotoSource("tiny", [Photo("a", lambda: np.zeros((100, 300, 3), np.uint8))])
    with pytest.raises(PhotoError, match="shorter side must have 128"):
        TileStream(tiny, 2, tile=32).batch(0)
    with pytest.raises(UsageError, match="32 to 256"):
        TileStream(None, 2, tile=20)


def test_without_attacks_only_crop_and_8_bits_remain():
    recipe = Publication(jpeg="none", others=False)
    seen, boxes = publish(SMOOTH, recipe, np.random.default_rng(0))
    torch.testing.assert_close(seen, stretched(SMOOTH, boxes), rtol=0, atol=0.5 / 255 + 1e-5)
    sides = boxes[:, 2:] - boxes[:, :2]
    assert (sides >= 0.49).all() and (sides <= 1).all()
    assert (boxes * 96 - (boxes * 96).round()).abs().max() < 1e-4


@pytest.mark.parametrize(
    "jpeg", ["real", "straight", "mixup", "both", "jpeg-ss", "jpeg-mask", "mbrs"]
)
def test_every_attack_keeps_range_shape_and_gradients(jpeg):
    recipe = Publication(jpeg=jpeg)
    rng = np.random.default_rng(2)
    for _ in range(12):
        pictures = torch.rand(4, 3, 64, 64, requires_grad=True)
        seen, boxes = publish(pictures, recipe, rng)
        assert seen.shape == pictures.shape and boxes.shape == (4, 4)
        assert seen.min() >= 0 and seen.max() <= 1
        seen.sum().backward()
        assert pictures.grad.isfinite().all() and pictures.grad.abs().sum() > 0


def test_attacks_grow_with_strength():
    def damage(strength):
        rng = np.random.default_rng(7)
        recipe = Publication(whole=1.0)
        runs = [publish(SMOOTH, recipe, rng, strength)[0] for _ in range(20)]
        return torch.stack([(run - SMOOTH).abs().mean() for run in runs]).mean()

    assert damage(0.1) < 0.6 * damage(1.0)


def test_an_unknown_jpeg_is_refused():
    recipe = Publication(jpeg="webp", others=False)
    with pytest.raises(UsageError, match="jpeg-mask"):
        for _ in range(20):
            publish(SMOOTH, recipe, np.random.default_rng(4))
