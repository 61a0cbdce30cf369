"""Response curves of readers whose answers can be worked out by hand."""

import numpy as np
import pytest

from course_lib.errors import PhotoError, UsageError
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.photos import Photo
from course_lib.traces.baseline import MAIN, block_sums, patch_shifts
from course_lib.traces.camera import LIKE_MEASURED
from course_lib.traces.examples import label_cells
from course_lib.traces.responses import FACTORS, SHAPE, Factor, lensless, response

SIZE = np.array([SHAPE[1], SHAPE[0]])


def votes_of(places):
    """All votes for the cell that a place, in pixels from the middle, lies in."""
    cells = label_cells(np.clip(places / SIZE + 0.5, 0.001, 0.999))
    return np.eye(16)[cells]


def expects_red(m):
    """A reader that takes red to be magnified by m: a shift of (m − 1) p means a place p."""

    def read(patches):
        return votes_of(patch_shifts(block_sums(patches, MAIN), "red", MAIN).shift / (m - 1))

    return read


def brightness(patches):
    """A reader that takes the direction in which a patch gets darker for that from the middle."""
    plane = patches[..., 1].astype(float)
    half = plane.shape[1] // 2
    x = plane[:, :, :half].mean(axis=(1, 2)) - plane[:, :, half:].mean(axis=(1, 2))
    y = plane[:, :half].mean(axis=(1, 2)) - plane[:, half:].mean(axis=(1, 2))
    return votes_of(np.stack([x, y], axis=1) * 1e6)  # outer corners only


@pytest.fixture(scope="module")
def pictures():
    return lensless(3, seed=1)


def values(made, name):
    return [one.value for one in made.accuracy[name]]


def test_a_reader_follows_the_sign_and_size_it_expects(pictures):
    red = Factor("red", (-0.2, 0.0, 0.05, 0.2), FACTORS["red"].change)
    found = values(response({"it": expects_red(1.002)}, red, pictures, per_picture=16), "it")
    wrong_side, none, weak, right = found
    assert right > 0.9
    assert wrong_side < 0.05  # as sure as before, of the opposite corner
    assert weak < 0.5  # everything seems to lie near the middle
    assert none < 0.2
    # Green inward is red and blue outward.
    green = Factor("green", (-0.2, 0.2), FACTORS["green"].change)
    inward, outward = values(
        response({"it": expects_red(1.002)}, green, pictures, per_picture=16), "it"
    )
    assert inward > 0.9
    assert outward < 0.05


def test_vignetting_shows_on_plain_walls_and_grayscale_hides_fringes(pictures):
    walls = [np.full((*SHAPE, 3), shade, np.uint8) for shade in (120, 200)]
    bright = response({"light": brightness}, FACTORS["vignetting"], walls, per_picture=16)
    assert values(bright, "light")[0] == 1 / 16  # nothing to be seen: always one cell
    assert values(bright, "light")[-1] == 4 / 16  # all four corners
    colours = Factor("gray", (0.0, 1.0), FACTORS["grayscale"].change, Lens(red=1.002))
    found = response({"it": expects_red(1.002)}, colours, pictures, per_picture=16)
    assert values(found, "it")[0] > 0.9
    assert values(found, "it")[1] < 0.2


def test_only_the_factor_differs_between_values(pictures):
    seen = []

    def spy(patches):
        seen.append(patches)
        return np.full((len(patches), 16), 1 / 16)

    same = Factor("nothing", (1.0, 2.0), lambda lens, _: lens, LIKE_MEASURED)
    made = response({"spy": spy}, same, pictures, per_picture=5, seed=3)
    assert seen[0].shape == (15, 96, 96, 3)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert all(one.n == 3 for one in made.accuracy["spy"])  # intervals know of pictures
    response({"spy": spy}, same, pictures, per_picture=5, seed=4)
    assert not np.array_equal(seen[0], seen[2])


def test_every_factor_has_a_value_that_changes_nothing_and_others_that_do():
    neutral = {"saturation": 100.0}
    for name, factor in FACTORS.items():
        lens = Lens(red=1.001)
        still = neutral.get(name, 0.0)
        assert still in factor.values
        changed = [factor.change(lens, value) for value in factor.values if value != still]
        if name != "red":
            assert factor.change(lens, still) == lens
            assert lens not in changed
        assert len(set(changed)) == len(changed) == len(factor.values) - 1


def test_pictures_have_no_lens_of_their_own():
    def through_a_lens(seed):
        return Lens(red=1.004).apply(np.tile(dead_leaves(256, seed), (3, 4, 1)))

    photos = [Photo(f"{i}", lambda i=i: through_a_lens(i)) for i in range(2)]
    pictures = lensless(3, 0, photos)
    assert [picture.shape for picture in pictures] == [(*SHAPE, 3)] * 3
    nothing = Factor("nothing", (0.0,), lambda lens, _: lens)
    found = response({"it": expects_red(1.004)}, nothing, pictures, per_picture=16)
    assert values(found, "it")[0] < 0.2
    np.testing.assert_array_equal(lensless(3, 0, photos)[2], pictures[2])


def broken():
    raise PhotoError("no picture")


def test_what_cannot_be_used_is_left_out_or_refused(pictures):
    small = Photo("small", lambda: np.zeros((100, 300, 3), np.uint8))
    fine = Photo("fine", lambda: np.full((256, 300, 3), 9, np.uint8))
    made = lensless(2, 0, [small, Photo("bad", broken), fine])
    assert all((picture == 9).all() for picture in made)
    for none in ([], [small, Photo("bad", broken)]):
        with pytest.raises(PhotoError, match=f"None of {len(none)} photographs"):
            lensless(2, 0, none)
    for wrong in (0, 17):
        with pytest.raises(UsageError, match="1 to 16"):
            response({}, FACTORS["red"], pictures, per_picture=wrong)
    with pytest.raises(UsageError, match="0 pictures"):
        response({}, FACTORS["red"], [])
