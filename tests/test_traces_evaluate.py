"""Accuracies with their intervals, and rows in the course's vocabulary."""

import numpy as np
import pytest

from course_lib import results
from course_lib.leaves import dead_leaves
from course_lib.photos import Photo
from course_lib.traces.evaluate import (
    accuracy_by_confidence,
    confident_accuracy,
    patch_accuracy,
    patch_rows,
)
from course_lib.traces.patches import cut_patches, green_only


def votes_for(cells, right, confidence, rng):
    """Votes whose top cell is the true one where `right` says so."""
    top = np.where(right, cells, (cells + 1 + rng.integers(0, 15, len(cells))) % 16)
    votes = np.repeat((1 - confidence)[:, None] / 15, 16, axis=1)
    votes[np.arange(len(cells)), top] = confidence
    return votes


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    cells, photos = rng.integers(0, 16, 400), np.repeat(np.arange(20), 20)
    confidence = rng.uniform(0.1, 0.9, 400)
    right = rng.random(400) < confidence
    return votes_for(cells, right, confidence, rng), cells, photos, right, confidence


def test_accuracy_counts_photographs(sample):
    votes, cells, photos, right, _ = sample
    found = patch_accuracy(votes, cells, photos)
    assert found.value == pytest.approx(right.mean())
    assert found.n == 20
    assert found.low < found.value < found.high


def test_intervals_widen_when_photographs_succeed_or_fail_whole():
    rng = np.random.default_rng(1)
    cells, photos = rng.integers(0, 16, 400), np.repeat(np.arange(20), 20)
    confidence = np.full(400, 0.5)
    mixed = votes_for(cells, np.arange(400) % 2 == 0, confidence, rng)
    whole = votes_for(cells, photos % 2 == 0, confidence, rng)
    a, b = (patch_accuracy(v, cells, photos) for v in (mixed, whole))
    assert a.value == b.value == 0.5
    assert b.high - b.low > 3 * (a.high - a.low)


def test_the_confident_fifth(sample):
    votes, cells, photos, right, confidence = sample
    found = confident_accuracy(votes, cells, photos)
    best = np.argsort(-confidence)[:80]
    assert found.value == pytest.approx(right[best].mean())
    assert found.n == 20
    everyone = confident_accuracy(votes, cells, photos, share=1.0)
    assert everyone.value == pytest.approx(right.mean())


def test_equal_confidence_does_not_follow_the_order():
    cells, photos = np.zeros(100, int), np.repeat(np.arange(10), 10)
    right = np.arange(100) < 20
    votes = votes_for(cells, right, np.full(100, 0.4), np.random.default_rng(0))
    assert confident_accuracy(votes, cells, photos).value == pytest.approx(0.2)


def test_accuracy_by_confidence(sample):
    votes, cells, *_ = sample
    confidence, accuracy, count = accuracy_by_confidence(votes, cells, bins=5)
    assert count.tolist() == [80] * 5
    assert (np.diff(confidence) > 0).all()
    assert np.abs(accuracy - confidence).max() < 0.15  # these votes are calibrated


def test_rows_keep_to_the_vocabulary():
    photos = [Photo(f"leaves {i}", lambda i=i: dead_leaves((384, 576), i)) for i in range(3)]
    patches = cut_patches(photos, 1)
    answers = iter(np.eye(16)[patches.cells])
    rows = patch_rows(
        lambda seen: np.stack([next(answers) for _ in seen]),
        patches,
        paper=0.21,
        variant="fringe",
        lens="none",
    )
    assert [row["metric"] for row in rows] == ["patch_accuracy", "patch_accuracy_top20"]
    assert rows[0]["value"] == rows[1]["value"] == 1
    assert rows[0]["paper"] == 0.21
    assert rows[1]["paper"] is None
    results.check({"system": "traces", "checkpoint": "", "photos": 3, "seed": 0, "rows": rows})


def test_grayscale_takes_the_fringes_away():
    photos = [Photo("leaves", lambda: dead_leaves((384, 576), 0))]
    gray = cut_patches(photos, 1).changed(green_only)
    assert np.array_equal(gray.patches[..., 0], gray.patches[..., 2])
    assert len(gray) == 16
