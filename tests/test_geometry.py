import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchvision.ops import box_iou

from course_lib.errors import UsageError
from course_lib.geometry import FULL, Box, corners, crop, iou, pad, paste, random_crop

fraction = st.floats(0, 1, allow_subnormal=False)


@st.composite
def boxes(draw, low=0.0, high=1.0, smallest=1e-3):
    span = st.floats(low, high, allow_subnormal=False)
    x1, x2 = sorted((draw(span), draw(span)))
    y1, y2 = sorted((draw(span), draw(span)))
    assume(x2 - x1 >= smallest and y2 - y1 >= smallest)
    return Box(x1, y1, x2, y2)


@st.composite
def pixel_boxes(draw):
    """A shape and the integer edges of a box that holds at least one pixel of it."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right = draw(st.integers(left + 1, width))
    bottom = draw(st.integers(top + 1, height))
    return (height, width), (left, top, right, bottom)


def pictures(shape):
    return hnp.arrays(np.uint8, (*shape, 3))


@given(st.data(), pixel_boxes())
def test_cropping_and_pasting_back_changes_nothing(data, case):
    shape, edges = case
    picture = data.draw(pictures(shape))
    box = Box.from_pixels(*edges, shape)
    assert np.array_equal(paste(picture, crop(picture, box), box), picture)


@given(st.data(), pixel_boxes())
def test_a_crop_holds_the_pixels_of_the_slice(data, case):
    shape, (left, top, right, bottom) = case
    picture = data.draw(pictures(shape))
    cut = crop(picture, Box.from_pixels(left, top, right, bottom, shape))
    assert np.array_equal(cut, picture[top:bottom, left:right])


@given(st.data(), pixel_boxes())
def test_padding_puts_a_crop_back_and_leaves_the_rest_black(data, case):
    shape, (left, top, right, bottom) = case
    picture = data.draw(pictures(shape))
    box = Box.from_pixels(left, top, right, bottom, shape)
    expected = np.zeros_like(picture)
    expected[top:bottom, left:right] = picture[top:bottom, left:right]
    cut = crop(picture, box)
    assert np.array_equal(pad(cut, box, picture.shape), expected)
    assert np.array_equal(pad(cut, box), expected), "the size is inferred exactly from pixel edges"


@given(boxes(smallest=0.05), st.integers(40, 300), st.integers(40, 300))
def test_padding_without_a_size_is_off_by_no_more_than_rounding(box, height, width):
    cut = crop(np.ones((height, width), np.float32), box)
    whole = pad(cut, box)
    assert whole.sum() == cut.size
    assert abs(whole.shape[0] - height) <= 1 / box.height + 0.5
    assert abs(whole.shape[1] - width) <= 1 / box.width + 0.5


@given(boxes(), boxes())
def test_iou_is_symmetric_and_bounded(a, b):
    assert iou(a, b) == iou(b, a)
    assert 0 <= iou(a, b) <= 1


@given(boxes(low=-3, high=3))
def test_iou_of_a_box_with_itself_is_exactly_one(box):
    assert iou(box, box) == 1


@given(boxes(low=-2, high=2), boxes(low=-2, high=2))
def test_iou_agrees_with_torchvision(a, b):
    oracle = box_iou(
        torch.tensor([list(a)], dtype=torch.float64), torch.tensor([list(b)], dtype=torch.float64)
    )
    assert iou(a, b) == pytest.approx(float(oracle), abs=1e-12)


def test_boxes_that_only_touch_share_nothing():
    assert iou(Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)) == 0
    assert iou(Box(0, 0, 0.1, 0.1), Box(0.8, 0.8, 1, 1)) == 0


@given(boxes(low=-1, high=2), st.integers(1, 5000), st.integers(1, 5000))
def test_fractions_survive_pixels_to_half_a_pixel(box, height, width):
    left, top, right, bottom = box.to_pixels((height, width))
    assert all(isinstance(edge, int) for edge in (left, top, right, bottom))
    for edge, value, side in (
        (left, box.x1, width),
        (right, box.x2, width),
        (top, box.y1, height),
        (bottom, box.y2, height),
    ):
        assert abs(edge - value * side) <= 0.5 + 1e-9


@given(st.integers(1, 100_000), st.integers(1, 100_000), st.data())
def test_pixels_survive_fractions_exactly(height, width, data):
    left = data.draw(st.integers(-width, width - 1))
    top = data.draw(st.integers(-height, height - 1))
    right = data.draw(st.integers(left + 1, 2 * width))
    bottom = data.draw(st.integers(top + 1, 2 * height))
    edges = (left, top, right, bottom)
    assert Box.from_pixels(*edges, (height, width, 3)).to_pixels((height, width)) == edges


@given(boxes(), boxes())
def test_composing_and_taking_apart_are_inverse(inner, outer):
    assert list(inner.within(outer).relative_to(outer)) == pytest.approx(list(inner), abs=1e-9)
    assert list(inner.relative_to(outer).within(outer)) == pytest.approx(list(inner), abs=1e-9)


@given(boxes())
def test_the_whole_picture_is_neutral(box):
    assert list(box.within(FULL)) == pytest.approx(list(box))
    assert list(box.relative_to(FULL)) == pytest.approx(list(box))
    assert list(FULL.within(box)) == pytest.approx(list(box))


@given(st.data(), pixel_boxes())
def test_a_crop_of_a_crop_is_the_composed_crop(data, case):
    shape, edges = case
    picture = data.draw(pictures(shape))
    outer = Box.from_pixels(*edges, shape)
    cut = crop(picture, outer)
    height, width = cut.shape[:2]
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    inner = Box.from_pixels(left, top, width, height, cut.shape)
    assert np.array_equal(crop(cut, inner), crop(picture, inner.within(outer)))


def test_the_numbers_of_a_box():
    box = Box(0.25, 0.5, 0.75, 1.0)
    assert (box.width, box.height, box.area, box.center) == (0.5, 0.5, 0.25, (0.5, 0.75))
    assert box.to_pixels((100, 200)) == (50, 50, 150, 100)
    assert Box.from_pixels(50, 50, 150, 100, (100, 200, 3)) == box


def test_a_box_shifted_by_whole_pixels_keeps_its_size():
    sizes = set()
    for shift in range(10):
        left, _, right, _ = Box((shift + 0.5) / 32, 0, (shift + 4.5) / 32, 1).to_pixels((32, 32))
        sizes.add(right - left)
    assert sizes == {4}


def test_a_crop_does_not_share_memory_with_the_picture():
    picture = np.zeros((4, 4, 3), np.uint8)
    crop(picture, FULL)[:] = 255
    paste(picture, np.full((2, 2, 3), 9, np.uint8), Box(0, 0, 0.5, 0.5))
    assert picture.max() == 0


@pytest.mark.parametrize(
    "edges",
    [
        (0.5, 0, 0.5, 1),
        (0.6, 0, 0.5, 1),
        (0, 1, 1, 0),
        (math.nan, 0, 1, 1),
        (0, 0, math.inf, 1),
        (0, 0, 1e-300, 1e-300),
    ],
)
def test_impossible_boxes_are_refused(edges):
    with pytest.raises(UsageError, match="Box"):
        Box(*edges)


@pytest.mark.parametrize(
    "box", [Box(-0.1, 0, 1, 1), Box(0, 0, 1, 1.01), FULL.relative_to(Box(0.2, 0.2, 0.8, 0.8))]
)
def test_a_box_outside_the_picture_cannot_be_cut(box):
    picture = np.zeros((10, 10, 3), np.uint8)
    for action in (lambda: crop(picture, box), lambda: pad(picture, box)):
        with pytest.raises(UsageError, match="leaves the picture"):
            action()


def test_a_box_without_a_pixel_cannot_be_cut():
    with pytest.raises(UsageError, match="holds no pixel of a picture 10 × 10"):
        crop(np.zeros((10, 10)), Box(0.01, 0, 0.02, 1))


@pytest.mark.parametrize(
    "patch",
    [np.zeros((5, 4, 3), np.uint8), np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3), np.float32)],
)
def test_a_patch_that_does_not_fit_is_refused(patch):
    with pytest.raises(UsageError, match=r"\(5, 5, 3\)"):
        paste(np.zeros((10, 10, 3), np.uint8), patch, Box(0, 0, 0.5, 0.5))


@pytest.mark.parametrize("shape", [(10,), (0, 5), ()])
def test_a_shape_that_is_no_picture_is_refused(shape):
    with pytest.raises(UsageError, match="shape of a picture"):
        FULL.to_pixels(shape)


def test_corners_touch_the_corners():
    picture = np.arange(40 * 60).reshape(40, 60)
    cut = {name: crop(picture, box) for name, box in corners(picture.shape, 8).items()}
    assert list(cut) == ["top left", "top right", "bottom left", "bottom right"]
    assert all(piece.shape == (8, 8) for piece in cut.values())
    assert cut["top left"][0, 0] == picture[0, 0]
    assert cut["top right"][0, -1] == picture[0, -1]
    assert cut["bottom left"][-1, 0] == picture[-1, 0]
    assert cut["bottom right"][-1, -1] == picture[-1, -1]
    with pytest.raises(UsageError, match="no corners of 41"):
        corners(picture.shape, 41)


def test_a_random_crop_keeps_its_share_on_whole_pixels_anywhere():
    rng = np.random.default_rng(0)
    boxes = [random_crop((90, 133, 3), 0.7, rng) for _ in range(300)]
    assert all(box.to_pixels((90, 133)) == pytest.approx([e * s for e, s in zip(
        box, (133, 90, 133, 90), strict=True)]) for box in boxes)  # fmt: skip
    assert {round(box.width * 133) for box in boxes} == {93}
    assert {round(box.height * 90) for box in boxes} == {63}
    lefts, tops = {round(box.x1 * 133) for box in boxes}, {round(box.y1 * 90) for box in boxes}
    assert lefts == set(range(41)) and tops == set(range(28))
    assert random_crop((50, 60), 1.0, rng) == FULL
