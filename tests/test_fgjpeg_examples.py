"""Training pairs: real files at the quality that is said, of pictures that give nothing away."""

import numpy as np
import pytest
import torch

from course_lib.attacks.codec import real_jpeg, through_jpeg
from course_lib.errors import PhotoError, UsageError
from course_lib.fgjpeg.examples import PairStream, prepared, stored
from course_lib.fgjpeg.model import BINS
from course_lib.photos import Photo, PhotoSource, embedded
from tests.attack_pictures import PHOTO


def test_files_are_real_files_of_the_pictures():
    pairs = PairStream(embedded(), 12, tile=64, seed=3).batch(2)
    assert pairs.pictures.shape == pairs.files.shape == (12, 3, 64, 64)
    assert pairs.pictures.dtype == pairs.files.dtype == torch.uint8
    again = 255 * real_jpeg(pairs.pictures / 255, pairs.quality)
    torch.testing.assert_close(again, pairs.files.float(), rtol=0, atol=1e-3)


def test_every_quality_occurs_equally_often_in_each_batch():
    stream = PairStream(None, 12, tile=32)
    for step in (0, 1, 5):
        qualities = stream.batch(step).quality.tolist()
        assert sorted(qualities) == sorted([*BINS, *BINS])


def test_qualities_between_bins():
    qualities = PairStream(None, 60, tile=32, between=0.5).batch(0).quality.numpy()
    off = ~np.isin(qualities, BINS)
    assert 15 < off.sum() < 45
    assert qualities.min() >= 10 and qualities.max() <= 100


def test_the_halved_colour_gives_nothing_away():
    """Without the first file, that alone tells a file of the best quality from a picture."""
    changed = lambda a, b: np.abs(a.astype(int) - b).mean()  # noqa: E731
    ready = prepared(PHOTO)
    assert changed(stored(ready, 100), ready) < 0.5 * changed(prepared(PHOTO), PHOTO)
    np.testing.assert_array_equal(ready, through_jpeg(PHOTO, 100, halved=True))
    pairs = PairStream(embedded(), 60, tile=64).batch(0)
    best = pairs.quality == 100
    # Pictures that were never stored change by 2 gray levels here.
    assert (pairs.pictures[best].float() - pairs.files[best].float()).abs().mean() < 1.1


def test_pairs_are_the_same_for_a_step_and_new_for_the_next():
    stream = PairStream(embedded(), 6, tile=32, seed=1, between=0.5)
    first = stream.batch(4)
    again = PairStream(embedded(), 6, tile=32, seed=1, between=0.5).batch(4)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
    assert int(first.step) == 4
    assert not torch.equal(first.pictures, stream.batch(5).pictures)


def test_processes_share_a_batch():
    stream = PairStream(embedded(), 12, tile=32)
    whole, parts = stream.batch(3), [stream.batch(3, rank, 2) for rank in (0, 1)]
    for field in ("pictures", "files", "quality"):
        together = torch.cat([getattr(part, field) for part in parts])
        assert torch.equal(getattr(whole, field), together)


def test_every_other_picture_is_noisy():
    flat = PhotoSource("flat", [Photo("a", lambda: np.full((300, 300, 3), 128, np.uint8))])
    spread = PairStream(flat, 60, tile=32).batch(0).pictures.float().std((1, 2, 3))
    assert 15 <= (spread < 0.1).sum() <= 45
    assert 1 < spread.max() < 5


def test_bad_batches_tiles_and_photographs():
    with pytest.raises(UsageError, match="multiple of 6"):
        PairStream(None, 16)
    for tile in (20, 24, 1024):
        with pytest.raises(UsageError, match="32, 48"):
            PairStream(None, 6, tile=tile)
    tiny = PhotoSource("tiny", [Photo("a", lambda: np.zeros((100, 300, 3), np.uint8))])
    with pytest.raises(PhotoError, match="shorter side must have 128"):
        PairStream(tiny, 6).batch(0)
