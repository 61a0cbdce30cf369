"""The explorer of a protected crop: what it draws, and that its sentences are true."""

import time

import cv2
import numpy as np
import pytest
from PIL import Image

from course_lib import photos
from course_lib.attacks.codec import through_jpeg
from course_lib.checkpoints import shipped
from course_lib.errors import PhotoError
from course_lib.explorer import Choice, Slider
from course_lib.geometry import FULL, Box, crop, iou
from course_lib.photos import PhotoSource
from course_lib.rwn import explore
from course_lib.rwn.evaluate import cases
from course_lib.rwn.match import Match
from course_lib.rwn.system import Carrier, Finding
from course_lib.rwn.watermarks import draw

NEEDED = 0.45
START = {"wide": 70, "high": 60, "x": 80, "y": 30, "scale": 100, "noise": 0, "jpeg": "70"}
YELLOW, WHITE = np.array(explore.TRUE), np.array(explore.SAID)


@pytest.fixture(scope="module")
def explorer():
    """With the carrier in place of the network: it needs no training and is real."""
    return explore.explorer(system=Carrier())


@pytest.fixture(scope="module")
def protected():
    return Carrier().protect(cases(photos.embedded(), 1)[0].picture, draw())


def trial(box=FULL, located=FULL, score=0.8, said="cropped", rival=0.2):
    """Make a trial whose finding is known."""
    gray = np.full((256, 256), 0.5, np.float32)
    whole = np.full((256, 256, 3), 200, np.uint8)
    finding = Finding(Match(located, score, rival), said, gray, np.zeros((256, 256), bool))
    return explore.Trial(whole, box, crop(whole, box), gray, finding, NEEDED)


def panel(picture, number):
    left = number * (explore.PANEL + explore.GAP)
    return picture[explore.TOP : explore.TOP + explore.PANEL, left : left + explore.PANEL]


def has(pixels, colour):
    return (pixels == colour).all(axis=-1)


# What is published


def test_the_frame_slides_from_edge_to_edge():
    for wide, high in ((40, 100), (63, 71), (100, 55)):
        for x in (0, 35, 100):
            for y in (0, 100):
                box = explore.frame({"wide": wide, "high": high, "x": x, "y": y})
                assert (box.width, box.height) == pytest.approx((wide / 100, high / 100))
                assert box.x1 == pytest.approx(x / 100 * (1 - wide / 100))
                assert box.y2 == pytest.approx(high / 100 if y == 0 else 1)
    assert explore.frame({"wide": 100, "high": 100, "x": 30, "y": 70}) == FULL


def test_the_recipient_is_shown_the_stored_crop(protected):
    settings = {**START, "wide": 50, "high": 50, "x": 100, "y": 0, "jpeg": "60"}
    found = explore.publish(settings, protected, Carrier(), draw())
    assert found.box == Box(0.5, 0, 1, 0.5)
    assert np.array_equal(found.seen, through_jpeg(protected[:128, 128:], 60, halved=True))
    again = explore.publish(settings | {"noise": 5}, protected, Carrier(), draw())
    assert not np.array_equal(found.seen, again.seen)


def test_what_is_cut_out_lies_on_whole_pixels(protected):
    found = explore.publish({**START, "wide": 67, "x": 33}, protected, Carrier(), draw())
    edges = np.array([*found.box]) * 256
    assert np.array_equal(edges, edges.round())
    assert found.seen.shape[:2] == (edges[3] - edges[1], edges[2] - edges[0])


@pytest.mark.parametrize("change", [{}, {"wide": 45, "high": 90}, {"scale": 60}, {"jpeg": "50"}])
def test_the_frame_is_found(protected, change):
    found = explore.publish({**START, **change}, protected, Carrier(), draw())
    assert found.finding.said == "cropped"
    assert iou(found.finding.match.box, found.box) > 0.9


# What is drawn


def test_frames_are_drawn_where_they_are():
    box, located = Box(0.25, 0.25, 0.75, 0.75), Box(0.5, 0.1, 1, 0.6)
    picture = explore.draw(trial(box, located))
    assert picture.shape == (explore.SIZE[1], explore.SIZE[0], 3)
    yellow = np.argwhere(has(panel(picture, 0), YELLOW))
    edges = np.concatenate([yellow.min(axis=0), yellow.max(axis=0) + 1]) / explore.PANEL
    assert np.abs(edges - [0.25, 0.25, 0.75, 0.75]).max() < 0.02
    for number in (0, 3):
        white = np.argwhere(has(panel(picture, number), WHITE))
        edges = np.concatenate([white.min(axis=0), white.max(axis=0) + 1]) / explore.PANEL
        assert np.abs(edges - [0.1, 0.5, 0.6, 1]).max() < 0.02
    assert not has(panel(picture, 2), WHITE).any()


def test_outside_the_frame_it_is_darker():
    first = panel(explore.draw(trial(Box(0.5, 0.5, 1, 1), FULL)), 0)
    assert first[30, 30].max() < 0.5 * first[160, 160].min()


def test_no_frame_is_drawn_where_no_watermark_was_found():
    picture = explore.draw(trial(Box(0.2, 0.2, 0.8, 0.8), said="no watermark", score=0.2))
    assert has(panel(picture, 0), YELLOW).any()
    assert not has(panel(picture, 0), WHITE).any()
    assert not has(panel(picture, 3), WHITE).any()


@pytest.mark.parametrize("score", [-0.3, 0.0, 0.3, 0.6, 1.0])
def test_the_bar_is_as_long_as_the_likeness(score):
    picture = explore.draw(trial(score=score, rival=0.0))
    line = picture[explore.BAR + 12, 158 : explore.SIZE[0] - 20]
    filled = has(line, explore.FILL).sum() / len(line)
    assert filled == pytest.approx(max(score, 0), abs=0.03)  # two ticks stand in front of it


def test_ticks_stand_where_they_belong():
    for rival in (0.05, 0.2, 0.6, 0.95):
        picture = explore.draw(trial(rival=rival))
        row = picture[explore.BAR + 30]
        start, length = 158, explore.SIZE[0] - 20 - 158
        for value, colour in ((NEEDED, explore.INK), (rival, explore.RIVAL)):
            x = start + round(value * length)
            assert has(row[x - 1 : x + 2], colour).all()


# What is said


def test_the_sentence_says_what_was_found():
    box = Box(0.25, 0.25, 0.75, 0.75)
    said = explore.words(START, trial(box, Box(0.25, 0.25, 0.75, 0.7)))
    assert "A crop of 25% of the area, stored as JPEG of quality 70" in said
    assert "like the true one by 0.80" in said
    assert "Cropped, says the recipient: right." in said
    assert "from 25 to 75 % across and from 25 to 70 % down" in said
    assert "(IoU) of 0.900" in said


def test_the_sentence_admits_errors():
    wrong = explore.words(START, trial(FULL, Box(0, 0, 0.8, 1)))
    assert wrong.startswith("The whole picture, stored")
    assert "Cropped, says the recipient: but it was not cropped." in wrong
    missed = explore.words(START, trial(Box(0, 0, 0.98, 1), FULL, said="not cropped"))
    assert "Not cropped, says the recipient: but it was cropped." in missed


def test_the_sentence_claims_nothing_without_a_watermark():
    said = explore.words({**START, "jpeg": "off"}, trial(said="no watermark", score=0.21))
    assert f"less than {NEEDED:.2f}: no watermark, says the recipient, and no frame." in said
    assert "JPEG" not in said
    assert "IoU" not in said


def test_the_sentence_names_every_attack():
    said = explore.words({**START, "scale": 50, "noise": 7}, trial())
    assert "scaled to 50 % and back, with noise of 7 gray levels, stored as JPEG" in said


# All of it


def test_the_corners_of_every_control(explorer):
    for name, control in explorer.controls.items():
        ends = control.ends if isinstance(control, Slider) else (control.ends[0], control.ends[-1])
        for end in ends:
            picture = explorer.picture(**{name: end})
            assert picture.shape == (explore.SIZE[1], explore.SIZE[0], 3)
            assert picture.dtype == np.uint8
    smallest = {"wide": 40, "high": 40, "x": 0, "y": 100, "scale": 25, "noise": 20, "jpeg": "10"}
    explorer.picture(**smallest)
    explorer.picture(wide=100, high=100, jpeg="off")


def test_every_control_changes_the_picture(explorer):
    first = explorer.picture()
    for name, control in explorer.controls.items():
        other = next(end for end in reversed(control.ends) if end != control.value)
        assert not np.array_equal(explorer.picture(**{name: other}), first), name


def test_pictures_depend_on_settings_only(explorer):
    first = explorer.picture(wide=55)
    explorer.picture(wide=90, hider=explore.NOBODY)
    assert np.array_equal(explorer.picture(wide=55), first)


def test_a_step_changes_the_widget(explorer):
    before, words = explorer.image.value, explorer.words.value
    explorer.set(wide=90)
    try:
        assert explorer.image.value != before
        assert explorer.words.value != words
    finally:
        explorer.reset()


def test_what_nobody_protected_is_not_located(explorer):
    settings = explorer._complete({"hider": explore.NOBODY}, start=True)
    assert "no watermark, says the recipient" in explorer._sentence(settings)


def test_it_starts_as_asked_and_offers_no_choice_of_one(tmp_path):
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), (360, 240))
    Image.fromarray(picture).save(tmp_path / "one.png")
    mine = explore.explorer(photos.folder(tmp_path), system=Carrier(), jpeg="50", x=0)
    assert mine.settings["jpeg"] == "50"
    assert mine.settings["x"] == 0
    assert "photo" not in mine.controls
    assert isinstance(mine.controls["hider"], Choice)


def test_it_needs_a_photograph():
    with pytest.raises(PhotoError):
        explore.explorer(PhotoSource("none", []), system=Carrier())


trained = pytest.mark.skipif("hider" not in shipped("rwn"), reason="no network is shipped yet")


@trained
def test_the_shipped_network_answers():
    explorer = explore.explorer()
    settings = explorer._complete({}, start=True)
    assert "Cropped, says the recipient: right." in explorer._sentence(settings)


@trained
def test_a_render_is_quick():
    explorer = explore.explorer()
    spent = []
    for wide in (50, 60, 72, 83, 91):
        began = time.process_time()
        explorer.picture(wide=wide)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.8, "0.4 s on two cores"
