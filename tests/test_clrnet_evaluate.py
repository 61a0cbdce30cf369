"""Measuring recovery: an ignorant system is measured as such, and a real one as better."""

from types import SimpleNamespace

import numpy as np
import pytest

from course_lib import results
from course_lib.clrnet import evaluate as ev
from course_lib.clrnet.coded import Coded
from course_lib.geometry import FULL
from course_lib.photos import embedded

SIDE = 128


@pytest.fixture(scope="module")
def chosen():
    return ev.cases(embedded(), SIDE, 2)


class Ignorant:
    """Changes nothing and always says the same."""

    def protect(self, picture):
        return picture

    def locate(self, seen):
        gray = np.full((SIDE, SIDE, 3), 128, np.uint8)
        return SimpleNamespace(box=FULL, said="cropped", recovered=gray)


def by(rows, metric, **keys):
    found = [
        one
        for one in rows
        if one["metric"] == metric and all(one.get(name) == value for name, value in keys.items())
    ]
    assert len(found) == 1, keys
    return found[0]["value"]


def test_boxes_have_the_wanted_area(chosen):
    for area in (0.5, 0.7, 0.95):
        boxes = [ev.drawn(ev.Case("", chosen[0].picture, n), area, 0) for n in range(20)]
        assert np.mean([box.area for box in boxes]) == pytest.approx(area, abs=0.02)
        assert len({box.x1 for box in boxes}) > 3


def test_an_ignorant_system_is_measured_as_such(chosen):
    rows = ev.measure(Ignorant(), chosen, "ignorant")
    results.check({"system": "clrnet", "checkpoint": "", "photos": 2, "seed": 0, "rows": rows})
    assert by(rows, "cropped_accuracy", set="crops") == 1
    assert by(rows, "cropped_accuracy", set="all") == 0.5
    boxes = [
        ev.drawn(case, np.random.default_rng((0, case.number, 1)).uniform(*ev.AREAS), 0)
        for case in chosen
    ]
    by_hand = np.mean([2 * box.area / (1 + box.area) for box in boxes])
    assert by(rows, "crop_f1", attack="none") == pytest.approx(by_hand)
    blank = by(rows, "lost_area_psnr", attack="none", case=None, set=None)
    assert blank < by(rows, "lost_area_psnr", attack="none", set="inpainting")


def test_the_code_recovers_more_than_inpainting(chosen):
    rows = ev.recovery_rows(Coded(3, SIDE), chosen, attacks=("none",))
    mine = by(rows, "lost_area_psnr", set=None, case=None)
    assert mine > by(rows, "lost_area_psnr", set="inpainting") + 3
    assert by(rows, "recovered_psnr", set=None, case=None) > mine
    assert abs(by(rows, "lost_area_psnr", case="stretched") - mine) < 2
