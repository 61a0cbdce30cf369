"""Shortcuts: each defence off shows its leak, each defence on closes it; and the probes measure."""

import subprocess
import sys
from dataclasses import replace
from math import log

import cv2
import numpy as np
import pytest
import torch

from course_lib.geometry import FULL
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.traces import shortcuts
from course_lib.traces.camera import through_jpeg
from course_lib.traces.examples import DEFENDED, Defences, make_example
from course_lib.traces.shortcuts import (
    HALF,
    STORED,
    STRAIGHT,
    batchnorm,
    blockiness,
    enlargement,
    framed,
    grid_phases,
    jpeg_grid,
    matches,
    patch_scale,
    probe,
    resampling,
    rhythm,
    spectrum,
)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rng(seed=0):
    return np.random.default_rng(seed)


# --- the leaks --------------------------------------------------------------------------------


def test_enlargement_tells_crops_until_texture_is_laid_to_fit():
    leak = enlargement(120)
    assert leak.off.low > 0.6
    assert leak.on.low < 0.5 < leak.on.high
    fine = leak.evidence["frequency"] > 0.3
    gap = {s: leak.evidence[f"{s}_whole"] - leak.evidence[f"{s}_cropped"] for s in ("off", "on")}
    assert gap["off"][fine].min() > 0.4  # log power: crops lack detail
    assert np.abs(gap["on"][fine]).max() < 0.25


def test_the_jpeg_grid_gives_cells_away_without_jitter():
    leak = jpeg_grid(24)
    assert leak.chance == 1 / 16
    assert leak.off.low > 0.6
    assert leak.on.value < 0.11  # 384 guesses: 3 standard errors above chance are 0.10
    assert leak.off.n == leak.on.n == 24
    assert "off 0." in str(leak) and "chance 0.0625" in str(leak)
    assert leak.evidence["off"].shape == leak.evidence["on"].shape == (16, 2, 8)
    assert (leak.evidence["off"].argmax(axis=2) == -leak.evidence["phases"] % 8).mean() > 0.9
    assert leak.evidence["on"].std() < 0.5 * leak.evidence["off"].std()


def test_nothing_leaks_where_all_cells_begin_alike():
    leak = jpeg_grid(24, width=384)
    assert leak.off.value < 0.11


def test_the_thumbnail_gives_the_size_away_without_detours():
    leak = resampling(120, seed=3)
    assert leak.chance == 0.5
    assert leak.off.low > 0.7
    assert leak.on.low < 0.6 < leak.off.low
    off, on = (abs(leak.evidence[f"{s}_cropped"] - leak.evidence[f"{s}_whole"]) for s in STATES)
    assert off[-3:].mean() > 0.2  # whole pictures fold more detail into coarse
    assert (leak.evidence["off_whole"] > leak.evidence["off_cropped"])[-3:].all()
    assert on.shape == leak.evidence["frequency"].shape == (12,)
    crop, whole = leak.evidence["off_rhythm"]
    assert whole.shape == (7,) and np.ptp(whole) > 2 * np.ptp(crop)


STATES = ("off", "on")


def test_one_defence_of_the_thumbnail_can_be_missing_alone():
    off = Defences(random_width=False, random_interpolation=False)
    leak = resampling(120, seed=3, off=off)
    whole = resampling(120, seed=3)
    assert np.ptp(leak.evidence["off_rhythm"][1]) < 0.6 * np.ptp(whole.evidence["off_rhythm"][1])
    assert leak.off.value < whole.off.value
    assert str(leak.on) == str(whole.on)


def test_patches_give_the_size_away_without_a_random_width():
    leak = patch_scale(40)
    assert leak.off.low > 0.85
    assert leak.on.low < 0.5 < leak.on.high + 0.05
    widths, whole = leak.evidence["width"], leak.evidence["off_whole"]
    assert widths[whole.argmax()] > 360  # they fit where the thumbnail is as wide as the picture
    assert widths[leak.evidence["off_cropped"].argmax()] < 320


def test_batches_of_one_cell_give_it_away_and_single_patches_do_not():
    leak = batchnorm(steps=45, held_out=3)
    assert leak.chance == 0
    assert leak.off.low > 0.08
    assert abs(leak.on.value) < 0.04
    in_batches, alone = leak.evidence["off_accuracy"]
    assert in_batches > 0.15 and alone < 0.12
    assert leak.evidence["on_accuracy"].min() > 0.6
    assert leak.evidence["off_loss"].shape == (45,)
    assert leak.evidence["off_loss"][-5:].mean() < log(16) - 0.3


def test_batches_cannot_pool_what_patches_do_not_show():
    leak = batchnorm(steps=15, held_out=2, lens=Lens())
    for state in STATES:
        assert leak.evidence[f"{state}_loss"][-5:].mean() > log(16) - 0.03
        assert leak.evidence[f"{state}_accuracy"].max() < 0.12


def test_leaks_are_the_same_every_time_and_leave_no_traces():
    before = torch.random.get_rng_state()
    for find in (
        lambda seed: jpeg_grid(4, seed),
        lambda seed: resampling(8, seed),
        lambda seed: patch_scale(8, seed),
        lambda seed: batchnorm(2, seed, held_out=1),
    ):
        one, same, other = find(1), find(1), find(2)
        assert str(one) == str(same)
        assert all((one.evidence[name] == same.evidence[name]).all() for name in one.evidence)
        assert any((one.evidence[name] != other.evidence[name]).any() for name in one.evidence)
    assert torch.equal(torch.random.get_rng_state(), before)


# --- what the probes measure ------------------------------------------------------------------


def test_cells_of_the_stored_width_all_begin_elsewhere():
    assert len({tuple(phase) for phase in grid_phases(STORED)}) == 16
    for width in (384, 416, 768, 1536):
        columns = grid_phases(width)[:4, 0]
        assert len(set(columns)) == 1
    assert (grid_phases(384) == grid_phases(384)[0]).all()


@pytest.mark.parametrize("phase", [(0, 0), (3, 6), (7, 1)])
def test_blockiness_says_where_blocks_begin(phase):
    picture = cv2.GaussianBlur(dead_leaves((64, 64), 1), (0, 0), 2)
    found = blockiness(through_jpeg(picture, 20, phase=phase))
    assert found.argmax(axis=1).tolist() == list(phase)
    assert found.sum(axis=1) == pytest.approx(0, abs=1e-9)


def test_rhythm_finds_the_resize_by_its_period():
    wide = np.stack([dead_leaves((256, 384), i, rmin=1) for i in range(4)])
    small = [cv2.resize(one, (112, 75), interpolation=cv2.INTER_LINEAR) for one in wide]
    other = [cv2.resize(one[:, :300], (112, 75), interpolation=cv2.INTER_LINEAR) for one in wide]
    swing = [np.ptp(np.mean([rhythm(one, 7) for one in many], axis=0)) for many in (small, other)]
    assert swing[0] > 2 * swing[1]


def test_rhythm_counts_columns_from_the_left():
    picture = np.full((20, 71, 3), 100, np.uint8)
    picture[:, 5::7] = 160  # the bend is largest at the spike itself
    assert rhythm(picture, 7).argmax() == 5


@pytest.mark.parametrize("ring", [2, 5, 9])
def test_a_wave_shows_in_its_ring(ring):
    x = np.arange(144)
    wave = 128 + 60 * np.sin(2 * np.pi * x * (ring + 0.5) / 24)
    noise = rng().normal(0, 3, (96, 144))
    picture = (wave + noise)[..., None].repeat(3, axis=2)
    assert spectrum(picture).argmax() == ring


@pytest.mark.parametrize("width", [224, 304, 384])
def test_patches_fit_where_the_thumbnail_is_as_wide_as_they_think(width):
    scale = replace(HALF, width=(width, width))
    widths = np.arange(192, 385, 16)
    curve = np.mean(
        [
            matches(make_example(dead_leaves((256, 384), i), rng(i), scale, box=FULL), widths)
            for i in range(4)
        ],
        axis=0,
    )
    assert widths[curve.argmax()] == pytest.approx(width, abs=16)


def test_what_is_seen_of_a_framed_scene_is_as_large_cropped_or_not():
    """Correlation of neighbours at a tenth of what is seen: the same scene, the same statistics."""
    boxes = [framed(i, 0, HALF)[1] for i in range(10)]
    assert [box == FULL for box in boxes] == [True, False] * 5

    def coarse(number):
        picture, box = framed(number, 0, HALF)
        assert picture.shape == (256, 384, 3)
        seen = make_example(picture, rng(), HALF, STRAIGHT, box=box).thumbnail
        gray = cv2.resize(seen, (24, 16), interpolation=cv2.INTER_AREA).mean(axis=2)
        return np.corrcoef(gray[:, 2:].ravel(), gray[:, :-2].ravel())[0, 1]

    near = np.array([coarse(number) for number in range(120)])
    assert near[1::2].mean() == pytest.approx(near[::2].mean(), abs=0.07)


def test_the_probe_learns_and_is_honest():
    r = rng()
    labels = np.tile(np.arange(4), 50)
    pictures = np.repeat(np.arange(50), 4)
    told = np.eye(4)[labels] + r.normal(0, 0.1, (200, 4))
    assert probe(told, labels, pictures).value == 1
    nothing = r.normal(0, 1, (200, 4))
    assert probe(nothing, labels, pictures).value == pytest.approx(0.25, abs=0.1)
    # Labels that can only be known by heart: one number a picture says which picture it is.
    heart = np.eye(50)[pictures]
    by_picture = r.integers(0, 2, 50)[pictures]
    found = probe(heart, by_picture, pictures)
    assert found.value < 0.75 and found.n == 50


def test_the_switches_are_those_of_the_defences(monkeypatch):
    """Were a switch to be ignored where examples are made, its leak would not be seen."""
    real, seen = make_example, []

    def watched(picture, rng, scale, defences, *rest):
        seen.append(defences)
        return real(picture, rng, scale, defences, *rest)

    monkeypatch.setattr(shortcuts, "make_example", watched)
    for find, off in (
        (jpeg_grid, replace(DEFENDED, jitter=0)),
        (patch_scale, replace(DEFENDED, random_width=False)),
    ):
        seen.clear()
        find(4)
        assert set(seen) == {DEFENDED, off}
    seen.clear()
    resampling(4)
    assert set(seen) == {STRAIGHT, replace(DEFENDED, random_width=False)}


def test_importing_needs_no_torch():
    code = "import sys, course_lib.traces.shortcuts; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
