"""Sets by measurable criteria, on pictures of which the answer is known."""

import cv2
import numpy as np
import pytest

from course_lib.errors import PhotoError
from course_lib.leaves import dead_leaves
from course_lib.photos import Photo, embedded
from course_lib.traces.sets import CRITERIA, photo_traits, split

PLAIN = (150, 150, 150)


def names(picture):
    traits = photo_traits(picture)
    return {name for name, belongs in CRITERIA.items() if belongs(traits)}


def facade(angle, shape=(256, 384)):
    """Windows in rows and columns, turned clockwise by so many degrees about the middle."""
    height, width = shape
    picture = np.full((height, width, 3), PLAIN, np.uint8)
    turn = np.deg2rad(angle)
    right = np.array([np.cos(turn), np.sin(turn)])
    down = np.array([-np.sin(turn), np.cos(turn)])
    for i in range(-8, 9):
        for j in range(-8, 9):
            middle = np.array([width / 2, height / 2]) + 60 * i * right + 70 * j * down
            window = [middle + a * 22 * right + b * 28 * down for a, b in
                      ((-1, -1), (1, -1), (1, 1), (-1, 1))]  # fmt: skip
            points = np.rint(np.array(window) * 16).astype(np.int32)
            cv2.fillConvexPoly(picture, points, (40, 50, 70), cv2.LINE_AA, shift=4)
    return picture


def noise(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(128, 50, (256, 384, 3)).clip(0, 255).astype(np.uint8)


def gradient(seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 200, (4, 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, (384, 256), interpolation=cv2.INTER_CUBIC)


def blob():
    picture = np.full((256, 384, 3), (70, 110, 60), np.uint8)
    cv2.circle(picture, (240, 110), 26, (240, 90, 60), -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 1)


@pytest.mark.parametrize("angle", [0, 2, -7, 12, 20, -33, 44])
def test_lines_say_how_far_a_picture_is_tilted(angle):
    traits = photo_traits(facade(angle))
    assert traits.tilt == pytest.approx(angle, abs=1)
    assert traits.lines > 5
    assert (traits.level > 0.9) == (abs(angle) <= 2)
    found = names(facade(angle))
    assert ("upright" in found) == (abs(angle) <= 3)
    assert ("tilted" in found) == (abs(angle) >= 5)


def test_a_quarter_turn_changes_nothing_but_the_side_of_the_tilt():
    traits = photo_traits(facade(12))
    turned = photo_traits(np.ascontiguousarray(np.rot90(facade(12))))
    mirrored = photo_traits(np.ascontiguousarray(facade(12)[:, ::-1]))
    assert turned.tilt == pytest.approx(traits.tilt, abs=1)
    assert mirrored.tilt == pytest.approx(-traits.tilt, abs=1)


def test_without_lines_nothing_is_upright_or_tilted():
    for picture in (noise(), gradient(), np.full((200, 300, 3), PLAIN, np.uint8)):
        assert not names(picture) & {"upright", "tilted"}


def test_noise_is_texture_and_a_gradient_is_smooth():
    assert {"texture", "no_subject"} <= names(noise())
    assert "smooth" not in names(noise())
    assert "smooth" in names(gradient())
    assert "texture" not in names(gradient())
    traits = photo_traits(noise())
    assert traits.faint < traits.usual < traits.strong


def test_detail_is_measured_in_gray_levels_a_pixel():
    ramp = np.repeat(np.arange(0, 250, dtype=np.uint8)[None, :, None], 200, axis=0)
    traits = photo_traits(np.repeat(ramp, 3, axis=2))
    assert traits.usual == pytest.approx(1, rel=0.02)


def test_texture_in_one_half_is_not_texture_everywhere():
    half = noise()
    half[:, 192:] = PLAIN
    assert not names(half) & {"texture", "smooth"}


def test_a_spot_is_a_subject_and_a_field_of_leaves_has_none():
    assert photo_traits(blob()).subject > 0.6
    assert "no_subject" not in names(blob())
    fields = [np.tile(dead_leaves(64, seed, rmax=12), (4, 6, 1)) for seed in range(6)]
    assert max(photo_traits(field).subject for field in fields) < 0.19
    assert photo_traits(noise()).subject == pytest.approx(1 / 9, abs=0.03)
    assert photo_traits(np.full((90, 120, 3), 255, np.uint8)).subject == pytest.approx(1 / 9)


def test_size_matters_little():
    picture = facade(12, (512, 768))
    small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    large, little = photo_traits(picture), photo_traits(small)
    assert large == little  # what is measured is the small copy
    assert photo_traits(facade(0, (48, 64))).lines >= 0  # smaller than the copy, as it is


def broken():
    raise PhotoError("no picture")


def test_split_keeps_order_names_all_sets_and_leaves_out_the_broken():
    made = {"a": noise(), "b": gradient(), "c": facade(20), "d": facade(0), "e": blob()}
    photos = [Photo(name, lambda picture=picture: picture) for name, picture in made.items()]
    photos.insert(2, Photo("bad", broken))
    sets = {name: [photo.name for photo in chosen] for name, chosen in split(photos).items()}
    assert list(sets) == ["general", "no_subject", "upright", "tilted", "texture", "smooth"]
    assert sets["general"] == ["a", "b", "c", "d", "e"]
    assert (sets["tilted"], sets["upright"], sets["texture"]) == (["c"], ["d"], ["a"])
    assert "b" in sets["smooth"]
    assert "e" not in sets["no_subject"]


def test_photographs_that_come_with_libraries():
    sets = {name: {photo.name for photo in chosen} for name, chosen in split(embedded()).items()}
    assert "coffee" not in sets["texture"]
    assert "rocket" not in sets["texture"] | sets["tilted"]
    assert len(sets["general"]) == len(embedded())
