import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from course_lib.errors import UsageError
from course_lib.geometry import FULL, Box, iou
from course_lib.leaves import dead_leaves
from course_lib.rwn import match as room
from course_lib.rwn.match import (
    MATCHERS,
    SIDE,
    Match,
    basins,
    coarse,
    decide,
    fit_frame,
    interpolation,
    match_ncc,
    ncc,
    overlaps,
    pyramid,
    refine,
    stretched,
)
from course_lib.rwn.watermarks import draw, repeated

SHAPE = (SIDE, SIDE)


@pytest.fixture(scope="module")
def watermark():
    return draw(3)


def unit(values):
    return (values - values.mean()) / values.std()


def noise(rng, box):
    """White, smooth and blocky noise, and outlines of a host picture, as extraction leaves them."""
    left, top, right, bottom = box.to_pixels(SHAPE)
    white = rng.normal(size=SHAPE)
    smooth = cv2.GaussianBlur(rng.normal(size=SHAPE), (0, 0), rng.uniform(2, 6))
    blocks = np.kron(rng.normal(size=(SIDE // 8, SIDE // 8)), np.ones((8, 8)))
    host = dead_leaves(SIDE, rng)[..., 1].astype(float)
    outlines = host - cv2.GaussianBlur(host, (0, 0), 3)
    stretched_ones = [cv2.resize(x[top:bottom, left:right], SHAPE) for x in (blocks, outlines)]
    parts = [unit(part) for part in (white, smooth, *stretched_ones)]
    shares = np.sqrt(rng.dirichlet(np.ones(len(parts))))
    return unit(np.tensordot(shares, parts, 1))


def extracted(watermark, box, correlation, rng):
    left, top, right, bottom = box.to_pixels(SHAPE)
    clean = unit(cv2.resize(watermark[top:bottom, left:right], SHAPE))
    dirt = noise(rng, box)
    dirt = unit(dirt - (dirt * clean).mean() * clean)
    mixed = correlation * clean + np.sqrt(1 - correlation**2) * dirt
    return (0.5 + 0.2 * mixed).astype(np.float32)


def random_box(rng, width, height):
    w, h = round(width * SIDE), round(height * SIDE)
    left, top = rng.integers(SIDE - w + 1), rng.integers(SIDE - h + 1)
    return Box.from_pixels(left, top, left + w, top + h, SHAPE)


# --- the pieces ---------------------------------------------------------------------------------


def test_the_frame_of_a_stretch_is_what_opencv_calls_one(watermark):
    left, top, right, bottom = 40, 16, 200, 240
    expected = cv2.resize(watermark[top:bottom, left:right], SHAPE)
    got = stretched(watermark, Box.from_pixels(left, top, right, bottom, SHAPE), SHAPE)
    # At its border OpenCV has only the cut-out to interpolate from.
    assert np.abs(got - expected)[2:-2, 2:-2].max() < 1e-4
    assert np.abs(stretched(watermark, FULL, SHAPE) - watermark).max() < 1e-6


def test_interpolation_weighs_every_sample_with_one():
    rng = np.random.default_rng(0)
    for _ in range(20):
        low, high = np.sort(rng.random(2))
        matrix = interpolation(low, high, int(rng.integers(2, 40)), int(rng.integers(1, 40)))
        assert np.allclose(matrix.sum(axis=1), 1) and matrix.min() >= 0


def test_correlation_equals_numpys_and_ignores_gain_and_offset(watermark):
    rng = np.random.default_rng(1)
    seen = extracted(watermark, FULL, 0.6, rng)
    expected = np.corrcoef(seen.ravel(), watermark.ravel())[0, 1]
    assert ncc(seen, watermark) == pytest.approx(expected, abs=1e-5)
    assert ncc(7 * seen - 3, watermark) == pytest.approx(expected, abs=1e-5)
    assert ncc(-seen, watermark) == pytest.approx(-expected, abs=1e-5)
    valid = rng.random(SHAPE) < 0.5
    expected = np.corrcoef(seen[valid], watermark[valid])[0, 1]
    assert ncc(seen, watermark, FULL, valid) == pytest.approx(expected, abs=1e-5)
    assert ncc(np.ones(SHAPE), watermark) == 0


def test_coarse_scores_are_those_of_opencv(watermark):
    whole = pyramid(watermark)[0]
    seen = pyramid(extracted(watermark, Box(0.25, 0.0, 1.0, 0.5), 0.8, np.random.default_rng(2)))[0]
    edges, scores = coarse(seen, whole, np.ones_like(seen))
    sides = edges[:, 2:] - edges[:, :2]
    assert edges.min() >= 0 and edges.max() <= 64 and sides.min() == np.rint(64 * room.SMALLEST)
    widths = np.unique(sides[:, 0])
    assert widths.max() == 64 and np.diff(widths).max() <= np.ceil(64 * (1 - 1 / room.RATIO))
    assert len(np.unique(sides, axis=0)) == len(widths) ** 2  # scales independent of each other
    for width, height in {tuple(side) for side in sides[:: len(sides) // 12].tolist()}:
        template = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA)
        expected = cv2.matchTemplate(whole, template, cv2.TM_CCOEFF_NORMED)
        these = (sides == (width, height)).all(axis=1)
        got = np.full(expected.shape, np.nan)
        got[edges[these, 1], edges[these, 0]] = scores[these]
        assert np.allclose(got, expected, atol=2e-3)


def test_coarse_scores_with_a_mask_are_weighted_correlations(watermark):
    rng = np.random.default_rng(3)
    whole = pyramid(watermark)[0]
    weight = (rng.random((64, 64)) < 0.7).astype(np.float32)
    seen = rng.random((64, 64)).astype(np.float32)
    edges, scores = coarse(seen, whole, weight)
    full = (edges == (0, 0, 64, 64)).all(axis=1)
    assert scores[full][0] == pytest.approx(ncc(seen, whole, FULL, weight), abs=1e-4)
    changed = np.where(weight > 0, seen, 5).astype(np.float32)
    assert np.allclose(coarse(changed, whole, weight)[1], scores, atol=1e-3)


def test_basins_are_apart_and_overlaps_are_those_of_boxes():
    rng = np.random.default_rng(4)
    corners = rng.integers(0, 32, (500, 2))
    edges = np.concatenate([corners, corners + rng.integers(10, 32, (500, 2))], axis=1)
    boxes = [Box(*(row / 64)) for row in edges]
    expected = [iou(box, boxes[0]) for box in boxes]
    assert np.allclose(overlaps(edges.astype(float), edges[0].astype(float)), expected)
    scores = rng.random(500)
    chosen = basins(edges, scores, 4)
    assert chosen[0] == boxes[scores.argmax()] and len(chosen) == 4
    assert all(iou(a, b) < room.APART for a in chosen for b in chosen if a is not b)


def test_refinement_finds_the_edges_from_a_pixel_or_two_away(watermark):
    rng = np.random.default_rng(5)
    truth = Box(0.2173, 0.1331, 0.8012, 0.9127)  # not on pixels
    seen = stretched(watermark, truth, SHAPE)
    for _ in range(5):
        start = Box(*(np.array([*truth]) + rng.uniform(-2, 2, 4) / SIDE))
        found = refine(seen, watermark, start, np.ones(SHAPE, np.float32), 6)
        assert np.abs(np.array([*found]) - [*truth]).max() * SIDE < 0.02


def test_refinement_never_leaves_the_picture(watermark):
    seen = stretched(watermark, FULL, SHAPE)
    found = refine(seen, watermark, Box(0.01, 0, 0.98, 1), np.ones(SHAPE, np.float32), 6)
    assert iou(found, FULL) > 0.9999 and min(*found) >= 0 and max(*found) <= 1
    upside_down = refine(1 - seen, watermark, FULL, np.ones(SHAPE, np.float32), 6)
    assert upside_down == FULL


def test_a_frame_is_fitted_although_most_pairs_are_wrong():
    rng = np.random.default_rng(6)
    seen = rng.random((200, 2))
    whole = seen * (0.6, 0.8) + (0.3, 0.1) + rng.normal(0, 0.002, seen.shape)
    wrong = np.arange(200) >= 60
    whole[wrong] = rng.random((140, 2))
    scale, shift, agrees = fit_frame(seen, whole, rng)
    assert np.allclose(scale, (0.6, 0.8), atol=0.005) and np.allclose(shift, (0.3, 0.1), atol=0.005)
    assert agrees[:60].mean() > 0.95 and agrees[60:].mean() < 0.05


def test_no_frame_is_fitted_to_what_no_crop_does():
    rng = np.random.default_rng(7)
    seen = rng.random((50, 2))
    for whole in (seen[:, ::-1], 1 - seen, seen * 2, seen * 0.1):  # turned, mirrored, shrunk, grown
        assert fit_frame(seen, whole, rng, 300)[2].sum() < 10


# --- matchers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("correlation", "kept", "least"),
    [
        (0.85, 0.9, 0.99),
        (0.85, 0.7, 0.985),
        (0.85, 0.5, 0.97),
        (0.4, 0.9, 0.97),
        (0.4, 0.5, 0.92),
    ],
)
def test_the_box_is_found_under_noise(correlation, kept, least):
    rng = np.random.default_rng(8)
    for seed in range(6):
        watermark, box = draw(seed), random_box(rng, kept, kept)
        match = match_ncc(extracted(watermark, box, correlation, rng), watermark)
        assert iou(match.box, box) > least
        assert match.score > match.runner_up + 0.08 and decide(match) == "cropped"


def test_the_two_sides_have_scales_of_their_own(watermark):
    rng = np.random.default_rng(9)
    for width, height in ((0.5, 1.0), (1.0, 0.55), (0.83, 0.61)):
        box = random_box(rng, width, height)
        assert iou(match_ncc(extracted(watermark, box, 0.85, rng), watermark).box, box) > 0.98


def test_whole_and_foreign_pictures_are_told_apart(watermark):
    rng = np.random.default_rng(10)
    for seed in range(3):
        whole = match_ncc(extracted(watermark, FULL, 0.5, rng), watermark)
        assert decide(whole) == "not cropped" and iou(whole.box, FULL) > 0.98
        other = match_ncc(extracted(draw(100 + seed), random_box(rng, 0.7, 0.7), 1, rng), watermark)
        nothing = match_ncc(noise(rng, FULL), watermark)
        assert decide(other) == decide(nothing) == "no watermark"


def test_tampered_areas_are_left_out(watermark):
    rng = np.random.default_rng(11)
    box, elsewhere = Box(0.0, 0.0, 0.625, 0.625), Box(0.375, 0.375, 1.0, 1.0)
    seen = extracted(watermark, box, 0.85, rng)
    # Most of it is replaced by what another place of the same picture showed.
    valid = np.zeros(SHAPE, bool)
    valid[:, :100] = True
    forged = np.where(valid, seen, extracted(watermark, elsewhere, 0.95, rng))
    assert iou(match_ncc(forged, watermark).box, box) < 0.5
    match = match_ncc(forged, watermark, valid)
    assert iou(match.box, box) > 0.95 and match.score > 0.8


def test_a_repeated_pattern_gives_itself_away():
    watermark = repeated("checkerboard")
    match = match_ncc(stretched(watermark, Box(0.1, 0.1, 0.6, 0.6), SHAPE), watermark)
    assert match.score > 0.95 and match.runner_up > 0.9
    assert match_ncc(stretched(draw(0), Box(0.1, 0.1, 0.6, 0.6), SHAPE), draw(0)).runner_up < 0.6


def test_features_find_the_frame_when_there_is_little_noise(watermark):
    rng = np.random.default_rng(12)
    for name in ("sift", "orb"):
        for kept, least in ((1.0, 0.97), (0.7, 0.9)):
            box = random_box(rng, kept, kept)
            match = MATCHERS[name](extracted(watermark, box, 0.95, rng), watermark, None)
            assert iou(match.box, box) > least, name
            assert match.score > 0.8
            assert decide(match) == ("cropped" if kept < 1 else "not cropped")
        match = MATCHERS[name](noise(rng, FULL), watermark, None)
        assert decide(match) == "no watermark"


def test_features_are_not_taken_from_tampered_areas(watermark):
    rng = np.random.default_rng(13)
    box, elsewhere = Box(0.0, 0.0, 0.75, 0.75), Box(0.25, 0.25, 1.0, 1.0)
    valid = np.zeros(SHAPE, bool)
    valid[:, :110] = True
    forged = np.where(
        valid, extracted(watermark, box, 0.97, rng), extracted(watermark, elsewhere, 0.97, rng)
    )
    assert iou(MATCHERS["sift"](forged, watermark, valid).box, box) > 0.8
    assert iou(MATCHERS["sift"](forged, watermark, None).box, elsewhere) > 0.8


@pytest.mark.parametrize("name", MATCHERS)
def test_an_empty_extraction_matches_nothing(name, watermark):
    match = MATCHERS[name](np.full(SHAPE, 0.5, np.float32), watermark, None)
    assert decide(match) == "no watermark" and np.isfinite(match.score)


@pytest.mark.parametrize("name", MATCHERS)
def test_the_same_question_has_the_same_answer(name, watermark):
    seen = extracted(watermark, Box(0.125, 0.25, 0.875, 1), 0.8, np.random.default_rng(14))
    before = seen.copy()
    assert MATCHERS[name](seen, watermark, None) == MATCHERS[name](seen, watermark, None)
    assert np.array_equal(seen, before)


def test_decisions_follow_their_thresholds():
    box = Box(0, 0, 0.98, 0.96)
    assert decide(Match(box, 0.9, 0.2)) == "cropped"
    assert decide(Match(box, 0.9, 0.2), whole=0.95) == "not cropped"
    assert decide(Match(FULL, 0.9, 0.2)) == "not cropped"
    assert decide(Match(FULL, 0.1, 0.1)) == "no watermark"
    assert decide(Match(FULL, 0.1, 0.1), present=0.05) == "not cropped"


@pytest.mark.parametrize("name", MATCHERS)
def test_impossible_requests_are_refused(name, watermark):
    match = MATCHERS[name]
    with pytest.raises(UsageError, match="256 × 256"):
        match(watermark[:200], watermark, None)
    with pytest.raises(UsageError, match="256 × 256"):
        match(watermark, np.dstack([watermark] * 3), None)
    with pytest.raises(UsageError, match="not finite"):
        match(np.full(SHAPE, np.nan), watermark, None)
    with pytest.raises(UsageError, match="valid has the shape"):
        match(watermark, watermark, np.ones((64, 64), bool))
    with pytest.raises(UsageError, match="at least 10%"):
        match(watermark, watermark, np.zeros(SHAPE, bool))


def test_matching_takes_a_third_of_a_second_at_most(watermark):
    seen = extracted(watermark, Box(0.25, 0.25, 0.75, 0.75), 0.85, np.random.default_rng(15))
    match_ncc(seen, watermark)
    times = []
    for _ in range(5):
        start = time.process_time()
        match_ncc(seen, watermark)
        times.append(time.process_time() - start)
    assert min(times) < 0.3  # seconds of one core


def test_matching_needs_no_torch():
    program = "import sys, course_lib.rwn.carrier; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
