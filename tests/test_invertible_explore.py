"""The explorer of couplings: what it draws, and that its sentences are true."""

import itertools

import numpy as np
import pytest

from course_lib.errors import UsageError
from course_lib.invertible_explore import (
    CELLS,
    KINDS,
    SIZE,
    WAYS,
    cases,
    controls,
    coupling_explorer,
    draw,
    draw_grid,
    travel,
    volume_colours,
    words,
)

START = {control.name: control.value for control in controls()}


def test_every_corner_of_the_controls_draws_and_speaks():
    ends = [control.ends for control in controls()]
    for values in itertools.product(*ends):
        settings = dict(zip(START, values, strict=True))
        journey = travel(settings)
        picture = draw(journey)
        assert picture.shape == (SIZE[1], SIZE[0], 3)
        assert picture.dtype == np.uint8
        assert "nan" not in words(settings, journey)


@pytest.mark.parametrize("name", START)
def test_each_control_changes_the_picture(name):
    explorer = coupling_explorer(kind=KINDS[1])
    before = explorer.image.value
    control = explorer.controls[name]
    other = next(end for end in reversed(control.ends) if end != explorer.settings[name])
    explorer.set(**{name: other})
    assert explorer.image.value != before


def test_without_strength_nothing_moves():
    for kind in KINDS:
        journey = travel({**START, "kind": kind, "strength": 0.0, "depth": 12})
        assert np.allclose(journey.after, journey.start, atol=1e-6)
        assert np.allclose(journey.volume, 0, atol=1e-5)


def area_ratios(journey):
    """Areas of the cells after, over those before, from their corners."""
    areas = []
    for points in (journey.after, journey.start):
        grid = points.astype(np.float64).reshape(CELLS + 1, CELLS + 1, 2)
        one, other = grid[1:, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, 1:]
        areas.append(np.abs(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]) / 2)
    return areas[0] / areas[1]


@pytest.mark.parametrize("kind", KINDS)
def test_colours_are_the_areas_that_one_sees(kind):
    journey = travel({**START, "kind": kind, "depth": 1, "strength": 0.3})
    assert np.allclose(np.log2(area_ratios(journey)), journey.volume, atol=0.1)
    if kind != KINDS[0]:
        assert np.abs(journey.volume).max() > 0.1


def test_moving_keeps_every_area_and_says_so():
    settings = {**START, "depth": 6}
    journey = travel(settings)
    assert np.allclose(journey.volume, 0)
    assert "keeps its area" in words(settings, journey)


def test_the_way_back_is_exact_until_a_number_is_lost():
    settings = {**START, "kind": KINDS[1], "depth": 4}
    kept, lost = (travel({**settings, "way": way}) for way in WAYS)
    assert kept.error < 1e-4
    assert lost.error > 0.5
    assert np.array_equal(kept.after, lost.after)


def test_points_that_share_the_first_number_come_back_together_when_the_second_is_lost():
    settings = {**START, "kind": KINDS[1], "depth": 3, "way": WAYS[1]}
    journey = travel(settings)
    order = np.argsort(journey.after[:, 0])
    gaps = np.diff(journey.after[order, 0])
    apart = np.linalg.norm(np.diff(journey.back[order], axis=0), axis=1)
    assert apart[gaps < 1e-3].max() < 0.1
    assert "one curve" in words(settings, journey)


def test_an_overflow_is_named_and_drawn():
    settings = {**START, "kind": KINDS[2], "depth": 12, "strength": 2.0}
    journey = travel(settings)
    assert 1 <= journey.overflow <= 12
    assert not np.isfinite(journey.after).all()
    assert f"coupling {journey.overflow}" in words(settings, journey)
    shallow = travel({**settings, "depth": journey.overflow})
    assert shallow.overflow == journey.overflow
    if journey.overflow > 1:
        assert travel({**settings, "depth": journey.overflow - 1}).overflow == 0
    assert draw_grid(journey.after).min() < 100  # the words


def test_colours_run_from_dark_to_light():
    levels = volume_colours(np.linspace(-3, 3, 13)[None]).astype(float).sum(axis=-1)[0]
    assert (np.diff(levels) >= 0).all()
    assert levels[-1] > levels[0] + 200


def test_games_differ_and_repeat():
    kinds = [KINDS[0], KINDS[1], KINDS[1]]
    first, again, other = cases(0, kinds), cases(0, kinds), cases(1, kinds)
    assert [np.array_equal(a.after, b.after) for a, b in zip(first, again, strict=True)] == [
        True
    ] * 3
    assert not np.array_equal(first[1].after, first[2].after)
    assert not np.array_equal(first[0].after, other[0].after)


def test_an_unknown_kind_is_refused():
    with pytest.raises(UsageError, match="choose one of additive"):
        travel({**START, "kind": "cubic"})
