"""The lens explorer draws a 768×512 picture in at most 25 ms at the median."""

import numpy as np
import pytest

from course_lib.explorer import Choice, encode
from course_lib.lens import explore

LIMIT = 0.025
CONTROLS = explore.controls()
PERFECT = {control.name: control.value for control in CONTROLS}
FRINGE = {**PERFECT, "green": -0.4, "magnifier": "bottom left"}
EVERYTHING = {
    **FRINGE,
    **{"red": 0.2, "blue": 0.1, "blur": 2.0, "vignetting": 30, "distortion": -0.1},
    **{"saturation": 120, "center_x": 0.45, "center_y": 0.55},
}


def anywhere(seed, count):
    """Draw settings from the whole range of every control."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {
            control.name: str(rng.choice(control.options))
            if isinstance(control, Choice)
            else control.quantise(rng.uniform(control.low, control.high))
            for control in CONTROLS
        }


@pytest.mark.parametrize(
    "settings",
    [FRINGE, {**FRINGE, "view": "difference"}, EVERYTHING],
    ids=["fringe", "fringe, difference", "everything"],
)
def test_render(benchmark, settings):
    benchmark.pedantic(explore.render, (settings,), rounds=60, warmup_rounds=5)
    assert benchmark.stats.stats.median <= LIMIT


def test_render_anywhere(benchmark):
    many = list(anywhere(seed=1, count=120))
    remaining = iter(many)
    explore.render(PERFECT)
    benchmark.pedantic(
        explore.render, setup=lambda: ((next(remaining),), {}), rounds=len(many), iterations=1
    )
    assert benchmark.stats.stats.median <= LIMIT


def test_encode(benchmark):
    picture = explore.render(FRINGE)
    benchmark.pedantic(encode, (picture,), rounds=60, warmup_rounds=5)
    assert benchmark.stats.stats.median <= 0.01
