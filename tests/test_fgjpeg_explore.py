"""The explorer of simulated files: what it draws, and that its sentences are true."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import photos
from course_lib.attacks.codec import through_jpeg
from course_lib.errors import PhotoError
from course_lib.explorer import Slider
from course_lib.fgjpeg import explore
from course_lib.fgjpeg.evaluate import cases
from course_lib.fgjpeg.model import Generator
from course_lib.fgjpeg.system import Simulator
from course_lib.metrics import psnr
from course_lib.photos import PhotoSource

START = {"quality": 30, "x": 40, "y": 40, "grid": True}


@pytest.fixture(scope="module")
def learned():
    """A network that learned nothing yet: it is real, and needs no training."""
    torch.manual_seed(0)
    return Simulator(Generator(sizes=(4, 4, 8, 16, 16)))


@pytest.fixture(scope="module")
def explorer(learned):
    return explore.explorer(learned=learned)


@pytest.fixture(scope="module")
def trial(learned):
    picture = cases(photos.embedded(), 1)[0].picture
    return explore.imitate(picture, 30, explore.stand_ins(learned))


def panel(picture, column, row=0):
    left = column * (explore.PANEL + explore.GAP)
    top = explore.TOP + row * (explore.PANEL + explore.BELOW)
    return picture[top : top + explore.PANEL, left : left + explore.PANEL]


def test_the_file_is_real(trial):
    assert np.array_equal(trial.file, through_jpeg(trial.picture, 30, halved=True))


def test_stand_ins_are_as_near_as_they_should_be(trial):
    near = {name: psnr(one, trial.file) for name, one in trial.made.items()}
    assert near[explore.STRAIGHT] > near[explore.SOFT] > 40
    assert near[explore.LEARNED] < near[explore.SOFT]


def test_panels_show_the_detail_pixel_by_pixel(trial):
    settings = {**START, "grid": False}
    picture = explore.draw(settings, trial)
    top, left = explore.corner(settings, trial.picture.shape)
    assert top % 8 == left % 8 == 0
    for column, one in enumerate([trial.file, *trial.made.values()]):
        detail = one[top : top + explore.DETAIL, left : left + explore.DETAIL]
        half = explore.TIMES // 2
        shown = panel(picture, column)[half :: explore.TIMES, half :: explore.TIMES]
        assert np.array_equal(shown, detail)


def test_differences_are_from_the_file_and_its_own_from_the_picture(trial):
    settings = {**START, "grid": False}
    picture = explore.draw(settings, trial)
    top, left = explore.corner(settings, trial.picture.shape)
    cut = np.s_[top : top + explore.DETAIL, left : left + explore.DETAIL]
    for column, (one, other) in enumerate(
        [(trial.file, trial.picture), *((made, trial.file) for made in trial.made.values())]
    ):
        change = one[cut].astype(int) - other[cut]
        shown = panel(picture, column, row=1)[:: explore.TIMES, :: explore.TIMES]
        assert np.array_equal(shown, (128 + 10 * change).clip(0, 255))


def test_lines_stand_between_blocks(trial):
    plain, lined = (explore.draw({**START, "grid": on}, trial) for on in (False, True))
    differs = (panel(plain, 0) != panel(lined, 0)).any(axis=2)
    columns = np.flatnonzero(differs.all(axis=0))
    assert np.array_equal(columns, np.arange(8, explore.DETAIL, 8) * explore.TIMES - 1)
    assert np.array_equal(np.flatnonzero(differs.all(axis=1)), columns)
    assert not differs[1, 1]


def test_the_detail_slides_to_every_corner():
    shape = (256, 256, 3)
    end = (256 - explore.DETAIL) // 8 * 8
    assert explore.corner({"x": 0, "y": 0}, shape) == (0, 0)
    assert explore.corner({"x": 100, "y": 0}, shape) == (0, end)
    assert explore.corner({"x": 0, "y": 100}, shape) == (end, 0)


def test_the_sentence_puts_the_nearest_first(trial):
    said = explore.words(START, trial)
    places = [said.index(name) for name in (explore.STRAIGHT, explore.SOFT, explore.LEARNED)]
    assert places == sorted(places)
    assert "A file of quality 30" in said
    assert f"{psnr(trial.file, trial.picture):.1f} dB" in said


def test_the_sentence_knows_when_nothing_differs(trial):
    same = explore.Trial(trial.picture, trial.file, {explore.SOFT: trial.file})
    assert "JPEG-SS (no difference)" in explore.words(START, same)


def test_the_corners_of_every_control(explorer):
    for name, control in explorer.controls.items():
        ends = control.ends if isinstance(control, Slider) else (control.ends[0], control.ends[-1])
        for end in ends:
            picture = explorer.picture(**{name: end})
            assert picture.shape == (explore.SIZE[1], explore.SIZE[0], 3)
            assert picture.dtype == np.uint8


def test_every_control_changes_the_picture(explorer):
    first = explorer.picture()
    for name, control in explorer.controls.items():
        other = next(end for end in reversed(control.ends) if end != control.value)
        assert not np.array_equal(explorer.picture(**{name: other}), first), name


def test_it_starts_as_asked_and_offers_no_choice_of_one(tmp_path, learned):
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), (360, 240))
    Image.fromarray(picture).save(tmp_path / "one.png")
    mine = explore.explorer(photos.folder(tmp_path), learned=learned, quality=70)
    assert mine.settings["quality"] == 70
    assert "photo" not in mine.controls


def test_it_needs_a_photograph(learned):
    with pytest.raises(PhotoError):
        explore.explorer(PhotoSource("none", []), learned=learned)
