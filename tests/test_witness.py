"""Witnesses and the table of systems, with a small system of our own."""

import sys

import numpy as np
import pytest

from course_lib import systems
from course_lib.errors import CourseError, UsageError
from course_lib.geometry import Box
from course_lib.metrics import Estimate
from course_lib.results import check, row, table, write
from course_lib.systems import SYSTEMS, System, find_system, takes
from course_lib.witness import Verdict, picture_of, witnesses

PICTURE = np.full((40, 60, 3), 200, np.uint8)


@pytest.fixture
def small(monkeypatch):
    system = System("small", "tests.small_system", "looks at brightness")
    bare = System("bare", "tests", "has no abilities")
    lost = System("lost", "tests.no_such_package", "is not there")
    for each in (system, bare, lost):
        monkeypatch.setitem(SYSTEMS, each.name, each)
    return system


def test_a_witness_is_found_by_its_systems_name(small):
    found = witnesses()
    assert "small" in found and not {"bare", "lost"} & found.keys()
    verdict = found["small"]().examine(PICTURE)
    assert verdict.cropped and verdict.box == Box(0.25, 0.25, 0.75, 1.0)
    assert str(verdict) == (
        "cropped (score 0.78), 38% of the original is left: 25% to 75% across, 25% to 100% down. "
        "It is bright."
    )
    assert np.array_equal(found["small"]().protect(PICTURE), PICTURE)


def test_a_verdict_is_checked_and_frozen():
    with pytest.raises(UsageError, match="between 0 and 1"):
        Verdict(True, 1.5)
    with pytest.raises(AttributeError):
        Verdict(True, 1.0).score = 0.5
    assert str(Verdict(False, 0.25)) == "not cropped (score 0.25)"


def test_abilities_that_are_missing(small):
    assert small.can("train") and not System("x", "tests", "").can("witness")
    with pytest.raises(UsageError, match=r"bare has no evaluation; systems that can: .*small"):
        find_system("bare").function("evaluate")
    with pytest.raises(UsageError, match="lost cannot be trained"):
        find_system("lost").function("train")
    with pytest.raises(UsageError, match=r"no system 'none'; choose one of traces.*small"):
        find_system("none")
    assert takes(small.function("evaluate"), "lens") and not takes(find_system, "lens")


def test_a_room_that_is_broken_is_not_taken_for_missing(tmp_path, monkeypatch):
    package = tmp_path / "broken_system"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "witness.py").write_text("import no_such_module_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        System("broken", "broken_system", "").can("witness")
    sys.modules.pop("broken_system", None)


def test_the_tables_lines_are_whole():
    assert all(name == system.name and system.title for name, system in SYSTEMS.items())
    assert all(
        f"{room}.{function}" in systems.__doc__ for room, function, _ in systems.ABILITIES.values()
    )


@pytest.mark.parametrize("cropped", [True, False])
def test_the_picture_stands_in_its_place(cropped):
    figure = picture_of(PICTURE, Verdict(cropped, 0.9, Box(0.5, 0.25, 1.0, 0.75)))
    (axis,) = figure.axes
    (shown,) = axis.images
    left, right, bottom, top = shown.get_extent()
    assert (left, right, bottom, top) == ((60, 120, 60, 20) if cropped else (0, 60, 40, 0))
    frame = axis.patches[-1]
    assert frame.get_width(), frame.get_height() == ((120, 80) if cropped else (60, 40))


def results(**changes):
    measured = row(
        "rectangle_iou", Estimate(0.5, 0.4, float("nan"), 9), variant="joint", attack="none"
    )
    return {
        "system": "small",
        "checkpoint": "x",
        "photos": 9,
        "seed": 0,
        "rows": [measured | changes],
    }


def test_results_are_written_in_one_format(tmp_path):
    import json

    write(results(), tmp_path / "r.json")
    read = json.loads((tmp_path / "r.json").read_text())
    assert read == results()
    assert read["rows"][0]["high"] is None and read["rows"][0]["paper"] is None
    assert [column.header for column in table(read).columns][:3] == ["metric", "variant", "attack"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"metric": "goodness"}, "unknown metric 'goodness'"),
        ({"weather": "fine"}, "unknown key 'weather'"),
        ({"value": float("inf")}, "not finite"),
    ],
)
def test_results_outside_the_vocabulary_are_refused(tmp_path, changes, says):
    with pytest.raises(CourseError, match=says):
        write(results(**changes), tmp_path / "r.json")
    assert not list(tmp_path.iterdir())


def test_results_that_lack_something():
    with pytest.raises(CourseError, match="lack seed"):
        check({key: value for key, value in results().items() if key != "seed"})
    with pytest.raises(CourseError, match="Row 1 of these results lacks low"):
        check(results() | {"rows": [{"metric": "iou", "value": 1, "high": 1, "paper": None}]})
