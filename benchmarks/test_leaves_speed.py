"""Dead leaves on one core, beside the same picture painted leaf by leaf with NumPy."""

import time

import cv2
import numpy as np
import pytest

from course_lib.leaves import dead_leaves, leaf_colors, leaf_count, leaf_radii

SIZE = 256
PICTURES_PER_SECOND = 60


@pytest.fixture(autouse=True)
def one_core():
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    dead_leaves(SIZE, 0)  # shapes and textures are made once
    yield
    cv2.setNumThreads(before)


def leaf_by_leaf(seed):
    """Paint as many flat disks with soft edges, each into its own window: the obvious way."""
    rng = np.random.default_rng(seed)
    rmin, rmax = 2.0, SIZE / 2
    number = leaf_count(SIZE, SIZE, rmin, rmax, cover=3)
    radii = leaf_radii(rng, number, rmin, rmax)
    centers = rng.uniform(-rmax, SIZE + rmax, (number, 2))
    colors = leaf_colors(rng, centers / SIZE)
    picture = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    for (x, y), radius, color in zip(centers, radii, colors, strict=True):
        left, top = max(0, int(x - radius - 1)), max(0, int(y - radius - 1))
        right, bottom = min(SIZE, int(x + radius + 2)), min(SIZE, int(y + radius + 2))
        if left >= right or top >= bottom:
            continue
        rows, columns = np.ogrid[top:bottom, left:right]
        inside = radius + 0.5 - np.hypot(columns + 0.5 - x, rows + 0.5 - y)
        alpha = np.clip(inside, 0, 1)[..., None].astype(np.float32)
        window = picture[top:bottom, left:right]
        window += alpha * (color - window)
    return np.rint(picture * 255).astype(np.uint8)


@pytest.mark.benchmark(group=f"dead leaves {SIZE} × {SIZE}, one core")
def test_dead_leaves(benchmark):
    seeds = iter(range(10**6))
    picture = benchmark(lambda: dead_leaves(SIZE, next(seeds)))
    assert picture.shape == (SIZE, SIZE, 3)


@pytest.mark.benchmark(group=f"dead leaves {SIZE} × {SIZE}, one core")
def test_leaf_by_leaf_with_numpy(benchmark):
    seeds = iter(range(10**6))
    picture = benchmark(lambda: leaf_by_leaf(next(seeds)))
    assert picture.shape == (SIZE, SIZE, 3)


def test_fast_enough_and_faster_than_leaf_by_leaf():
    """Paired: the same seeds in turn, in seconds of one core, whoever else uses the machine."""
    ours, theirs = [], []
    for seed in range(40):
        for paint, times in ((lambda s: dead_leaves(SIZE, s), ours), (leaf_by_leaf, theirs)):
            start = time.thread_time()
            paint(seed)
            times.append(time.thread_time() - start)
    rate, ratio = 1 / np.median(ours), np.median(np.array(theirs) / ours)
    print(f"{rate:.0f} pictures a second of one core, {ratio:.1f} times leaf by leaf")
    assert rate >= PICTURES_PER_SECOND
    assert ratio >= 2
