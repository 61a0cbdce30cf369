import cv2
import numpy as np
import pytest

from course_lib.attacks.codec import through_jpeg
from course_lib.errors import UsageError
from course_lib.geometry import FULL, Box, iou
from course_lib.metrics import psnr, ssim
from course_lib.photos import embedded
from course_lib.rwn.carrier import embed, extract
from course_lib.rwn.match import decide, match_ncc
from course_lib.rwn.watermarks import draw


@pytest.fixture(scope="module")
def photos():
    """Middle squares of the embedded photographs at 256 × 256."""
    squares = []
    for photo in embedded():
        picture = photo.read()
        side = min(picture.shape[:2])
        squares.append(cv2.resize(picture[:side, :side], (256, 256), interpolation=cv2.INTER_AREA))
    return squares


@pytest.mark.parametrize("wanted", [36.0, 39.0, 42.0])
def test_the_wanted_quality_is_reached(photos, wanted):
    for photo in photos:
        protected = embed(photo, draw(0), wanted)
        assert protected.dtype == np.uint8 and protected.shape == photo.shape
        assert psnr(photo, protected) == pytest.approx(wanted, abs=0.1)


def test_brightness_is_left_alone(photos):
    for photo in photos:
        change = embed(photo, draw(0)).astype(float) - photo
        inside = (photo > 20).all(axis=-1) & (photo < 235).all(axis=-1)
        luma = change @ (0.299, 0.587, 0.114)
        assert luma[inside].std() < 0.5 < change[inside].std()
        assert ssim(photo, embed(photo, draw(0))) > 0.97


def test_the_watermark_is_read_and_absent_where_none_is(photos):
    watermark = draw(1)
    marked, bare = [], []
    for photo in photos:
        seen = extract(embed(photo, watermark))
        assert seen.shape == (256, 256) and seen.dtype == np.float32
        assert seen.min() >= 0 and seen.max() <= 1
        marked.append(np.corrcoef(seen.ravel(), watermark.ravel())[0, 1])
        bare.append(np.corrcoef(extract(photo).ravel(), watermark.ravel())[0, 1])
    assert min(marked) > 0.45 and np.mean(marked) > 0.65
    assert np.abs(bare).max() < 0.15


@pytest.mark.parametrize("quality", [None, 70])
def test_the_crop_is_found(photos, quality):
    watermark = draw(2)
    found = []
    for photo, box in zip(
        photos,
        (
            Box(0, 0, 0.9, 0.9),
            Box(0.25, 0.125, 1, 0.875),
            Box(0.125, 0.25, 0.75, 1),
            Box(0.5, 0.375, 1, 1),
        )
        * 2,
        strict=False,
    ):
        left, top, right, bottom = box.to_pixels(photo.shape)
        seen = embed(photo, watermark)[top:bottom, left:right]
        if quality:
            seen = through_jpeg(seen, quality, halved=True)
        truth = Box.from_pixels(left, top, right, bottom, photo.shape)
        found.append(iou(match_ncc(extract(seen), watermark).box, truth))
    assert np.mean(found) > 0.95


def test_pictures_of_other_sizes_carry_it_too():
    watermark = draw(0)
    photo = embedded()[0].read()
    assert photo.shape[0] != photo.shape[1]
    match = match_ncc(extract(embed(photo, watermark)), watermark)
    assert decide(match) == "not cropped" and iou(match.box, FULL) > 0.97
    assert decide(match_ncc(extract(photo), watermark)) == "no watermark"


def test_a_flat_picture_gives_no_numbers_that_are_none():
    flat = np.full((128, 128, 3), 200, np.uint8)
    assert np.isfinite(extract(flat)).all()


def test_other_arrays_are_refused(photos):
    for work in (extract, lambda picture: embed(picture, draw(0))):
        with pytest.raises(UsageError, match="uint8 RGB"):
            work(photos[0][..., 0])
        with pytest.raises(UsageError, match="uint8 RGB"):
            work(photos[0] / 255)
