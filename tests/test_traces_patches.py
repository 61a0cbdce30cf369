"""Patches of photographs as cameras made them: their labels, their mirrors, their lenses."""

import numpy as np
import pytest

from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.lens.fringes import measure_fringes
from course_lib.photos import Photo, read_photo
from course_lib.traces import patches as module
from course_lib.traces.patches import CameraPatches

WIDTH, HEIGHT = 1536, 512


def photo(picture, name="photo"):
    return Photo(name, lambda: picture)


def map_of_places():
    """A picture that says where each of its points lies: red is x, green is y."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = [255 * (x + 0.5) / WIDTH, 255 * (y + 0.5) / HEIGHT, np.full(x.shape, 128.0)]
    return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)


@pytest.fixture(scope="module")
def two_cameras():
    """One lens enlarges red, the other blue."""
    lenses = Lens(red=1.002, kernel="spline"), Lens(blue=1.002, kernel="spline")
    scenes = [dead_leaves((HEIGHT, WIDTH), i) for i in (0, 1)]
    return CameraPatches([photo(lens.apply(one)) for lens, one in zip(lenses, scenes, strict=True)])


def test_labels_are_those_of_the_mirrored_photograph():
    camera = CameraPatches([photo(map_of_places())])
    camera.zooms[:] = 0  # a ramp has no fringes to measure
    patches, cells = camera.draw(np.random.default_rng(1), 400, per_picture=4)
    assert patches.shape == (400, 96, 96, 3) and patches.dtype == np.uint8
    place = patches[..., :2].mean(axis=(1, 2)) / 255
    across = patches[:, :, -1, 0].mean(axis=1) < patches[:, :, 0, 0].mean(axis=1)
    down = patches[:, -1, :, 1].mean(axis=1) < patches[:, 0, :, 1].mean(axis=1)
    ways = 2 * across + down
    assert np.bincount(ways, minlength=4).min() > 50  # all four occur
    x, y = np.where(np.stack([across, down]), 1 - place.T, place.T)
    sure = (abs(4 * x - np.rint(4 * x)) > 0.05) & (abs(4 * y - np.rint(4 * y)) > 0.05)
    assert sure.sum() > 200
    assert (4 * (4 * y).astype(int) + (4 * x).astype(int) == cells)[sure].all()
    assert len(set(cells.tolist())) == 16


def test_lenses_are_measured(two_cameras):
    assert two_cameras.zooms == pytest.approx(np.array([[2e-3, 0], [0, 2e-3]]), abs=3e-4)


def test_half_are_seen_through_the_lens_of_another(two_cameras, monkeypatch):
    """The lens that is laid over a photograph turns its own into the other's."""
    seen = []

    class Watched(Lens):
        def patches(self, picture, *rest):
            seen.append((self, picture))
            return super().patches(picture, *rest)

    monkeypatch.setattr(module, "Lens", Watched)
    two_cameras.draw(np.random.default_rng(2), 320, per_picture=8)
    assert 10 <= len(seen) <= 30  # of 40 visits
    checked = set()
    for lens, picture in seen:
        mine = next(i for i in (0, 1) if picture is two_cameras.pictures[i])
        if abs(lens.red - lens.blue) < 1e-3 or mine in checked:
            continue  # its own lens again, stronger or weaker
        checked.add(mine)
        changed = Lens(red=lens.red, blue=lens.blue).apply(picture)
        found = measure_fringes(changed, rounds=2)
        red, blue = found.red.m.value - 1, found.blue.m.value - 1
        own, other = (red, blue) if mine == 0 else (blue, red)
        assert abs(own) < 4e-4
        assert 1e-3 < other < 4e-3  # 0.002, up to twice as strong or as weak
    assert checked == {0, 1}


def test_photographs_that_cannot_serve_are_left_out(tmp_path):
    small, flat = np.zeros((400, 1500, 3), np.uint8), np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    low = np.zeros((300, WIDTH, 3), np.uint8)
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(b"no picture")
    sources = [photo(small), photo(low), Photo("torn", lambda: read_photo(torn)), photo(flat)]
    camera = CameraPatches(sources)
    assert len(camera) == 1
    assert camera.zooms.tolist() == [[0, 0]]  # nothing to measure
    patches, _ = camera.draw(np.random.default_rng(0), 40)
    assert (patches == 90).all()
    none = CameraPatches([])
    assert len(none) == 0 and none.zooms.shape == (0, 2)


def test_equal_generators_draw_the_same(two_cameras):
    one, same, other = (two_cameras.draw(np.random.default_rng(s), 20) for s in (5, 5, 6))
    assert (one[0] == same[0]).all() and (one[1] == same[1]).all()
    assert not (one[0] == other[0]).all()
