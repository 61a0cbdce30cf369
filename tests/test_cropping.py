"""The crop explorer of lesson 00."""

import numpy as np
import pytest

from course_lib import cropping
from course_lib.geometry import FULL


@pytest.fixture(scope="module")
def explorer():
    return cropping.explorer()


def test_every_corner_of_every_slider_renders(explorer):
    for name, control in explorer.controls.items():
        for end in control.ends:
            picture = explorer.picture(**{name: end})
            assert picture.shape == (cropping.SIZE[1], cropping.SIZE[0], 3)
            assert picture.dtype == np.uint8


def test_each_control_changes_the_picture(explorer):
    start = explorer.picture()
    for name, value in (("size", 40), ("left", 5), ("top", 33), ("photo", "coffee")):
        assert not np.array_equal(explorer.picture(**{name: value}), start), name


def test_the_frame_is_pushed_back_inside():
    box = cropping.box({"size": 60, "left": 80, "top": 70})
    assert box.x2 == pytest.approx(1)
    assert box.y2 == pytest.approx(1)
    assert box.width == pytest.approx(0.6)


def test_the_sentence_says_what_is_lost():
    assert "nothing is cut away" in cropping.sentence({"size": 100, "left": 0, "top": 0})
    said = cropping.sentence({"size": 50, "left": 0, "top": 25})
    assert "25% of the area" in said
    assert "25% at the top, 50% at the right and 25% at the bottom" in said
    assert "IoU with the whole picture is 0.25" in said


def test_the_crop_panel_shows_the_crop():
    photo = np.zeros((200, 300, 3), np.uint8)
    photo[:, 150:] = (200, 30, 30)
    whole = cropping.draw(photo, FULL)
    half = cropping.draw(photo, cropping.box({"size": 50, "left": 50, "top": 0}))
    right = half[:, cropping.SIZE[0] // 2 + 60 : -60]
    middle = right[cropping.SIZE[1] // 2]
    assert np.all(middle == (200, 30, 30))  # only the red half is in the crop
    assert not np.array_equal(whole, half)
