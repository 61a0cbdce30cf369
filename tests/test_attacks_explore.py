"""The explorer of lesson 04: every setting draws, every control matters, the sentence is true."""

import itertools
import re

import numpy as np
import pytest

from course_lib.attacks import explore
from course_lib.attacks.chain import published
from course_lib.attacks.spectra import BANDS
from course_lib.geometry import FULL, crop
from course_lib.metrics import psnr
from course_lib.photos import Photo, PhotoSource
from tests.attack_pictures import PHOTO

START = {"crop": 100, "scale": 100, "noise": 0, "jpeg": "off"}


@pytest.fixture(scope="module")
def explorer():
    tall = np.ascontiguousarray(PHOTO[:, 40:180])
    photos = [Photo("wide", lambda: PHOTO), Photo("tall", lambda: tall)]
    return explore.explorer(PhotoSource("two", photos))


@pytest.fixture(scope="module")
def marked():
    return explore.mark(PHOTO)


def test_the_corners_of_every_control(explorer):
    ends = [
        [(control.name, end) for end in {*control.ends}] for control in explorer.controls.values()
    ]
    for corner in itertools.product(*ends):
        picture = explorer.picture(**dict(corner))
        assert picture.shape == (explore.SIZE[1], explore.SIZE[0], 3)


@pytest.mark.parametrize(
    "change",
    [{"crop": 50}, {"scale": 50}, {"noise": 9}, {"jpeg": "20"}, {"photo": "tall"}],
    ids=str,
)
def test_every_control_changes_the_picture_and_the_words(explorer, change):
    explorer.set(**START, photo="wide")
    before, said = explorer.picture(**START, photo="wide"), explorer.words.value
    assert not np.array_equal(before, explorer.picture(**{**START, "photo": "wide", **change}))
    if "photo" not in change:
        explorer.set(**change)
        assert explorer.words.value != said


def test_the_pattern_is_faint(marked):
    assert psnr(marked.plain, marked.marked) == pytest.approx(39.6, abs=0.6)
    assert marked.patterns.shape == (5, *marked.plain.shape[:2])


def test_a_finding_is_what_publishing_did(marked):
    settings = {"crop": 60, "scale": 50, "noise": 4, "jpeg": "70"}
    found = explore.publish(settings, marked)
    expected = published(crop(marked.marked, found.box), "resize50,noise4,jpeg70")
    assert np.array_equal(found.seen, expected)
    assert found.box.area == pytest.approx(0.36)
    assert found.quality == pytest.approx(psnr(crop(marked.marked, found.box), found.seen))


def test_shares(marked):
    untouched = explore.publish(START, marked)
    assert untouched.box == FULL and min(untouched.shares) > 0.9
    assert np.isinf(untouched.quality)
    cropped = explore.publish({**START, "crop": 50}, marked)
    assert min(cropped.shares) > 0.85  # a crop takes area, not amplitude
    stored = explore.publish({**START, "jpeg": "20"}, marked)
    assert stored.shares[0] > 0.8 > 0.4 > stored.shares[-1]


def test_names_in_their_order():
    assert explore.names(START) == "none"
    assert explore.names({"scale": 40, "noise": 3, "jpeg": "90"}) == "resize40,noise3,jpeg90"


def test_the_sentence_says_what_is_there(marked):
    settings = {"crop": 70, "scale": 80, "noise": 2, "jpeg": "50"}
    found = explore.publish(settings, marked)
    said = explore.sentence(settings, found)
    assert said.startswith(
        "49% of the area is kept, scaled to 80 % and back, noise of 2 gray levels"
    )
    assert "JPEG of quality 50" in said
    assert float(re.search(r"by ([\d.]+) dB", said)[1]) == pytest.approx(found.quality, abs=0.06)
    shares = [int(one) for one in re.findall(r"(\d+)%", said)[1:]]
    expected = [100 * found.shares[0], 100 * found.shares[-1]]
    np.testing.assert_allclose(shares, expected, atol=0.6)
    assert f"{1 / BANDS[0][0]:.0f}–" in said
    assert "unchanged" in explore.sentence(START, explore.publish(START, marked))


def test_bars_are_as_long_as_the_shares(marked):
    found = explore.publish({**START, "jpeg": "30"}, marked)
    picture = explore.draw(found)
    for row, share in enumerate(found.shares):
        line = picture[28 + 262 + 14 + 27 + 27 * row + 9]
        full = (line == explore.BAR).all(axis=1).sum()
        rest = (line == explore.TRACK).all(axis=1).sum()
        assert full / (full + rest) == pytest.approx(share, abs=0.01)
