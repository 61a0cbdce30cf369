"""The lens explorer: what it draws, and that its sentence tells the truth about it."""

import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_lib import photos
from course_lib.errors import UsageError
from course_lib.explorer import Choice, Slider
from course_lib.lens import explore

CONTROLS = {control.name: control for control in explore.controls()}
PERFECT = {name: control.value for name, control in CONTROLS.items()}
SLIDERS = [control for control in CONTROLS.values() if isinstance(control, Slider)]


def sliders(**changed):
    return {**PERFECT, **changed}


def values(control):
    if isinstance(control, Choice):
        return st.sampled_from(control.options)
    return st.floats(control.low, control.high).map(control.quantise)


any_settings = st.fixed_dictionaries({n: values(c) for n, c in CONTROLS.items()})


def said(**changed):
    return explore.sentence(sliders(**changed))


# The picture


@pytest.mark.parametrize(
    ("control", "end"),
    [(control, end) for control in CONTROLS.values() for end in control.ends],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_every_end_of_every_control_is_drawn(control, end):
    picture = explore.render(sliders(**{control.name: end}))
    assert picture.shape == (512, 768, 3)
    assert picture.dtype == np.uint8
    same = np.array_equal(picture, explore.render(PERFECT))
    assert same == (end == control.value), "a control that is moved must show"


def test_extremes_together_are_drawn():
    """Barrel, pincushion and an optical centre far off the middle must not fold or fail."""
    for index in range(2 ** len(SLIDERS)):
        if index % 17 and index not in (0, 2 ** len(SLIDERS) - 1):
            continue
        ends = {s.name: s.ends[index >> bit & 1] for bit, s in enumerate(SLIDERS)}
        picture = explore.render(sliders(view="difference", magnifier="top right", **ends))
        assert picture.shape == (512, 768, 3)
        assert explore.sentence(sliders(**ends))


def test_render_is_pure():
    before = sliders(green=-0.4, magnifier="top left", view="difference", center_x=0.4)
    given_settings = dict(before)
    first = explore.render(given_settings)
    assert given_settings == before
    assert np.array_equal(first, explore.render(before))
    assert not np.array_equal(first, explore.render(PERFECT))
    assert np.array_equal(
        explore.render(PERFECT), explore.embedded_gallery()[PERFECT["picture"]]
    ), "the clean picture must stay clean"


def without_label(picture):
    return picture[:460]


def test_a_perfect_lens_differs_nowhere():
    assert (without_label(explore.render(sliders(view="difference"))) == 128).all()


@pytest.mark.parametrize("size", [-0.6, 0.35])
def test_channels_that_change_size_alike_differ_nowhere(size):
    alike = sliders(red=size, green=size, blue=size, view="difference")
    assert (without_label(explore.render(alike)) == 128).all()


@pytest.mark.parametrize(
    ("changed", "moved"),
    [({"green": -0.4}, [1]), ({"red": 0.4, "blue": 0.4}, [1]), ({"blue": 0.5}, [2])],
)
def test_the_difference_view_shows_the_channel_that_moved(changed, moved):
    shown = without_label(explore.render(sliders(view="difference", **changed))).astype(int)
    strength = np.abs(shown - 128).mean((0, 1))
    assert all((strength[c] > 2) == (c in moved) for c in range(3)), strength


def test_difference_is_amplified_four_times():
    clean = explore.embedded_gallery()[PERFECT["picture"]].astype(int)
    seen = explore.render(sliders(vignetting=10)).astype(int)
    shown = explore.render(sliders(vignetting=10, view="difference")).astype(int)
    wanted = np.clip(128 + 4 * (seen - clean), 0, 255)
    assert np.array_equal(without_label(shown), without_label(wanted))


@pytest.mark.parametrize("corner", explore.CORNERS)
def test_the_magnifier_shows_its_corner_enlarged(corner):
    plain = explore.render(sliders(picture=explore.CHART, green=-0.4))
    picture = explore.render(sliders(picture=explore.CHART, green=-0.4, magnifier=corner))
    w, h = explore.GLASS
    left = 6 if "left" in corner else 768 - 6 - w
    top = 6 if "top" in corner else 512 - 6 - h
    x = 768 - 6 - 4 * w if "left" in corner else 6
    y = 6 if "top" in corner else 512 - 6 - 4 * h
    wanted = plain[top : top + h, left : left + w].repeat(4, 0).repeat(4, 1)
    assert np.array_equal(picture[y : y + 4 * h, x : x + 4 * w], wanted)
    assert np.array_equal(picture[top : top + h, left : left + w], plain[top:, left:][:h, :w])


def test_the_cross_marks_the_optical_centre():
    base, moved = explore.render(PERFECT), explore.render(sliders(center_x=0.3, center_y=0.6))
    rows, columns = np.nonzero((base != moved).any(2))
    assert abs((columns.min() + columns.max()) / 2 - 0.3 * 768) <= 2
    assert abs((rows.min() + rows.max()) / 2 - 0.6 * 512) <= 2
    assert max(np.ptp(rows), np.ptp(columns)) <= 24


def test_the_chart_is_gray_and_symmetric():
    chart = explore.chart()
    assert chart.shape == (512, 768, 3)
    assert (chart == chart[..., :1]).all()
    assert np.abs(chart.astype(int) - chart[::-1, ::-1]).mean() < 2


# The sentence, checked against the picture


def test_the_shift_it_names_is_the_shift_in_the_picture():
    rng = np.random.default_rng(3)
    cloud = cv2.GaussianBlur(rng.random((512, 768), np.float32), (0, 0), 2)
    cloud = cv2.normalize(cloud, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    gallery = {PERFECT["picture"]: np.dstack([cloud] * 3)}
    for changed, odd in ({"green": -0.4}, 1), ({"green": 0.4, "red": 0.4}, 2), ({"red": 0.9}, 0):
        picture = explore.render(sliders(**changed), gallery)
        size = 96
        patch = picture[-size:, -size:].astype(np.float32)
        window = cv2.createHanningWindow((size, size), cv2.CV_32F)
        shift, _ = cv2.phaseCorrelate(
            np.ascontiguousarray(patch[..., (odd + 1) % 3]),
            np.ascontiguousarray(patch[..., odd]),
            window,
        )
        words = said(**changed)
        named = float(re.search(r"([\d.]+) px", words)[1])
        at_patch = np.hypot(384 - size / 2, 256 - size / 2) / np.hypot(384, 256)
        assert np.hypot(*shift) == pytest.approx(named * at_patch, abs=0.15), words
        assert (shift[0] < 0) == ("inward" in words), words


@pytest.mark.parametrize(
    "changed",
    [
        {"green": -0.5},
        {"green": 0.5},
        {"red": -0.7},
        {"red": 0.7},
        {"blue": -0.6},
        {"blue": 0.6},
        {"red": 0.5, "blue": 0.5},
        {"red": 0.8, "blue": -0.8},
        {"red": -0.9, "green": 0.9, "blue": 0.1},
        {"red": -0.8, "blue": 0.7, "green": 0.1},
    ],
    ids=str,
)
def test_the_rims_have_the_colours_it_names(changed):
    """A white square in the lower right corner; read outward along the diagonal."""
    field = np.zeros((512, 768, 3), np.uint8)
    field[420:480, 648:708] = 255
    picture = explore.render(sliders(**changed), {PERFECT["picture"]: field})
    line = [picture[450, x] > 128 for x in range(600, 760)]
    colours = [tuple(pixel) for pixel in line if pixel.any()]
    names = {
        (True, False, False): "red",
        (False, True, False): "green",
        (False, False, True): "blue",
        (False, True, True): "cyan",
        (True, False, True): "magenta",
        (True, True, False): "yellow",
    }
    words = said(**changed)
    inner = re.search(r"(\w+) rim towards the centre", words)[1]
    outer = re.search(r"(\w+) rim away from it", words)[1]
    assert names[tuple(map(bool, colours[0]))] == inner, words
    assert names[tuple(map(bool, colours[-1]))] == outer, words


@pytest.mark.parametrize("k1", [-0.15, 0.15])
def test_lines_bend_the_way_it_says(k1):
    field = np.zeros((512, 768, 3), np.uint8)
    field[60:66] = 255
    picture = explore.render(sliders(distortion=k1), {PERFECT["picture"]: field})
    height = [picture[:200, x, 1].argmax() for x in (60, 384)]
    bulges_outward = height[1] < height[0]
    assert bulges_outward == ("bulge outward" in said(distortion=k1))
    assert bulges_outward != ("bend inward" in said(distortion=k1))


@pytest.mark.parametrize(
    ("center", "named"),
    [
        ((0.5, 0.5), "in the corners"),
        ((0.3, 0.5), "in the right corners"),
        ((0.5, 0.6), "in the upper corners"),
        ((0.4, 0.4), "in the lower right corner"),
        ((0.7, 0.35), "in the lower left corner"),
    ],
)
def test_it_names_the_corners_that_suffer_most(center, named):
    white = {PERFECT["picture"]: np.full((512, 768, 3), 255, np.uint8)}
    changed = {"vignetting": 60, "center_x": center[0], "center_y": center[1]}
    picture = explore.render(sliders(**changed), white)[..., 1].astype(int)
    light = {
        "upper left": picture[0, 0],
        "upper right": picture[0, -1],
        "lower left": picture[-1, 0],
        "lower right": picture[-1, -1],
    }
    darkest = {corner for corner, value in light.items() if value <= min(light.values()) + 1}
    sides = set(named.split()) & {"upper", "lower", "left", "right"}
    assert darkest == {corner for corner in light if sides <= set(corner.split())}
    words = said(**changed)
    assert named in words.replace("In the", "in the")
    share = float(re.search(r"(\d+) % of the brightness", words)[1])
    assert share == pytest.approx(100 * min(light.values()) / 255, abs=1)


def test_nothing_to_see_is_said():
    assert said() == (
        "This lens leaves the picture as it is: the channels coincide, and the corners are as "
        "sharp and bright as the middle."
    )
    assert "gray everywhere" in said(view="difference")
    assert "none has a fringe" in said(red=0.5, green=0.5, blue=0.5)
    assert "nothing here depends on it" in said(center_x=0.4)
    assert "nothing here depends on it" not in said(center_x=0.4, blur=1.0)
    assert "channels coincide" not in said(saturation=50)


def test_the_words_for_colour():
    assert "All colour is taken out." in said(saturation=0)
    assert "only gray doubles" in said(saturation=0, green=0.2)
    assert "rim" not in said(saturation=0, green=0.2)
    assert "muted to 60 %" in said(saturation=60)
    assert "strengthened to 140 %" in said(saturation=140)


def test_a_barrel_too_strong_for_the_frame_is_held_and_said():
    assert "strongest barrel" in said(distortion=-0.2, center_x=0.3, center_y=0.3)
    assert "strongest barrel" not in said(distortion=-0.2)


@settings(max_examples=300, deadline=None)
@given(any_settings)
def test_every_sentence_is_clean_english(chosen):
    words = explore.sentence(chosen)
    assert words[0].isupper()
    assert words.endswith(".")
    assert not re.search(r"  |\. [a-z]|\.\.|,,| [,.:;]|nan|None|-\d|\b0\.0 px", words), words
    assert len(words) < 850
    assert ("Difference" in words) == (chosen["view"] == "difference")
    assert ("four times enlarged" in words) == (chosen["magnifier"] != "none")


# The explorer as a whole


def test_explorer_starts_as_asked_and_resets_to_a_perfect_lens():
    explorer = explore.explorer(green=-0.4, magnifier="bottom left")
    assert explorer.settings["green"] == -0.4
    assert "Green is drawn 0.4 % inward" in explorer.words.value
    assert "1.8 px" in explorer.words.value
    explorer.reset()
    assert explorer.settings == PERFECT
    with pytest.raises(UsageError, match="no control 'purple'"):
        explore.explorer(purple=1)


@pytest.mark.parametrize("slider", SLIDERS, ids=lambda slider: slider.name)
def test_each_slider_changes_the_picture_of_the_widget(slider):
    explorer = explore.explorer()
    before, words = explorer.image.value, explorer.words.value
    explorer.widgets[slider.name].value = slider.quantise(slider.value + slider.step)
    assert explorer.image.value != before
    assert explorer.words.value != words


def test_own_photographs_are_offered_and_bad_ones_left_out(tmp_path):
    rng = np.random.default_rng(0)
    for index, shape in enumerate([(300, 200), (200, 900), (40, 40)]):
        Image.fromarray(rng.integers(0, 256, (*shape, 3), np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "1b.jpg").write_text("not a picture")
    source = photos.folder(tmp_path)
    explorer = explore.explorer(source)
    assert explorer.controls["picture"].options == ("0.png", "1.png", "2.png", explore.CHART)
    assert [name for name, _ in source.skipped] == ["1b.jpg"]
    for name in explorer.controls["picture"].options:
        assert explorer.picture(picture=name).shape == (512, 768, 3)
