"""The visible grid: where it is found, and that it grows as files get smaller."""

import numpy as np
import pytest

from course_lib.attacks.codec import through_jpeg
from course_lib.fgjpeg.grid import blockiness, steps_by_phase
from tests.attack_pictures import PHOTO


def test_steps_at_known_places():
    picture = np.zeros((32, 40), np.uint8)
    picture[:, 8:] += 10  # an edge of blocks
    picture[:, 21:] += 3  # inside one: pixel 4 to pixel 5
    steps = steps_by_phase(picture)
    assert np.flatnonzero(steps).tolist() == [4, 7]
    # rows have none; of 39 steps in a row, 4 cross blocks and 5 are of phase 4
    assert steps[7] == pytest.approx(10 / (4 + 3)) and steps[4] == pytest.approx(3 / (5 + 4))


def test_colours_are_measured_as_luma():
    gray = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    colour = np.repeat(gray[..., None], 3, axis=2)
    np.testing.assert_allclose(steps_by_phase(colour), steps_by_phase(gray))
    np.testing.assert_allclose(steps_by_phase(gray / np.float32(255)), steps_by_phase(gray))


def test_photographs_have_no_grid_and_files_do():
    before = blockiness(PHOTO)
    assert before == pytest.approx(1, abs=0.05)
    after = [blockiness(through_jpeg(PHOTO, quality, halved=True)) for quality in (90, 50, 10)]
    assert before - 0.02 < after[0] < after[1] < after[2]
    assert after[2] > 1.5


def test_the_grid_is_looked_for_from_the_corner():
    file = through_jpeg(PHOTO, 10)
    assert blockiness(file[4:, 4:]) < 1.1 < blockiness(file[8:, 8:])


def test_flat_pictures():
    assert blockiness(np.full((16, 16, 3), 9, np.uint8)) == 1
    tiles = np.kron(np.random.default_rng(0).integers(0, 255, (4, 4)), np.ones((8, 8)))
    assert blockiness(tiles.astype(np.uint8)) == np.inf
