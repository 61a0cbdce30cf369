import cv2
import numpy as np
import pytest
from PIL import Image

from course_lib.errors import PhotoError, UsageError
from course_lib.photos import embedded
from course_lib.rwn.watermarks import (
    DEVIATION,
    MEAN,
    PATTERNS,
    draw,
    locatability,
    prepared,
    read,
    repeated,
)


def demand_watermark(array):
    assert array.shape == (256, 256) and array.dtype == np.float32
    assert array.min() >= 0 and array.max() <= 1
    assert array.mean() == pytest.approx(MEAN, abs=0.005)
    assert array.std() == pytest.approx(DEVIATION, abs=0.005)


def band(watermark, low, high):
    """Share of the power between two frequencies in cycles per pixel."""
    window = np.outer(np.hanning(256), np.hanning(256))
    power = np.abs(np.fft.fft2((watermark - watermark.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    return power[(low <= frequency) & (frequency <= high)].sum() / power.sum()


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def test_drawings_are_watermarks_of_the_promised_band():
    for seed in range(5):
        watermark = draw(seed)
        demand_watermark(watermark)
        assert band(watermark, 1 / 64, 1 / 10) > 0.75
        assert band(watermark, 1 / 8, 1) < 0.02


def test_each_seed_gives_its_own_drawing():
    drawings = [draw(seed) for seed in range(6)]
    assert np.array_equal(drawings[0], draw(0))
    for i, one in enumerate(drawings):
        assert all(abs(correlation(one, other)) < 0.2 for other in drawings[:i])


def test_more_softness_moves_power_down():
    shares = [band(draw(0, softness), 1 / 20, 1) for softness in (1.5, 2.5, 4.0)]
    assert shares[0] > 1.3 * shares[1] > 1.6 * shares[2]


def test_contrast_is_the_same_everywhere():
    """A photograph whose left half is almost black becomes a watermark that is as strong there."""
    photo = embedded()[0].read()[:400, :400, 1].astype(np.float32) / 255
    photo[:, :200] *= 0.25
    watermark = prepared(photo)
    demand_watermark(watermark)
    left, right = watermark[:, 8:120].std(), watermark[:, 136:248].std()
    assert 0.7 < left / right < 1.4


def test_brightness_and_contrast_of_the_source_do_not_matter():
    photo = embedded()[1].read()[:300, :300, 0].astype(np.float32) / 255
    assert correlation(prepared(photo), prepared(0.5 * photo + 0.3)) > 0.98
    eight_bit = np.rint(photo * 255).astype(np.uint8)
    assert correlation(prepared(photo), prepared(eight_bit)) > 0.9999


def test_preparing_twice_changes_little():
    for watermark in (draw(1), prepared(embedded()[2].read()[..., 1])):
        assert correlation(watermark, prepared(watermark)) > 0.93


def test_the_middle_square_of_a_picture_of_any_size_is_used():
    photo = embedded()[3].read()[..., 1]
    height, width = photo.shape
    assert width > height
    left = (width - height) // 2
    middle = photo[:, left : left + height]
    assert np.array_equal(prepared(photo), prepared(middle))
    demand_watermark(prepared(cv2.resize(photo, (90, 60))))


def test_a_file_is_read(tmp_path):
    photo = embedded()[1].read()
    path = tmp_path / "coffee.png"
    Image.fromarray(photo).save(path)
    watermark = read(path)
    demand_watermark(watermark)
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(watermark, prepared(gray))


def test_files_that_are_no_watermark_are_refused_by_name(tmp_path):
    with pytest.raises(PhotoError, match=r"nothing\.png.*does not exist"):
        read(tmp_path / "nothing.png")
    path = tmp_path / "flat.png"
    Image.new("L", (300, 300), 128).save(path)
    with pytest.raises(UsageError, match=r"flat\.png.*texture"):
        read(path)
    path = tmp_path / "text.png"
    path.write_text("no picture")
    with pytest.raises(PhotoError, match=r"text\.png"):
        read(path)


def test_impossible_pictures_are_refused():
    with pytest.raises(UsageError, match="gray"):
        prepared(np.zeros((256, 256, 3), np.uint8))
    with pytest.raises(UsageError, match="at least 32"):
        prepared(np.zeros((20, 300), np.uint8))
    with pytest.raises(UsageError, match="flat"):
        prepared(np.full((256, 256), 77, np.uint8))
    with pytest.raises(UsageError, match="finite"):
        prepared(np.full((256, 256), np.nan))


def test_textures_can_be_located_and_repeated_patterns_cannot():
    textures = [locatability(draw(seed)) for seed in range(3)]
    patterns = [locatability(repeated(kind)) for kind in PATTERNS]
    assert min(textures) > 0.45 and max(patterns) < 0.15
    half = draw(0)
    half[:, 128:] = half[:, :128]  # a texture that occurs twice
    assert locatability(half) < 0.1


def test_patterns_repeat_and_are_watermarks():
    for kind in PATTERNS:
        pattern = repeated(kind, 32)
        demand_watermark(pattern)
        inner = pattern[64:192, 64:192]
        assert np.abs(inner[64:] - inner[:-64]).max() < 0.02
        assert np.abs(inner[:, 64:] - inner[:, :-64]).max() < 0.02
    with pytest.raises(UsageError, match="stripes, checkerboard, dots, bricks"):
        repeated("waves")
