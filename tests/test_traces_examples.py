"""Training examples: labels, crops, every defence against shortcuts, and the simulated camera."""

import json
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from course_lib.errors import CourseError, PhotoError, UsageError
from course_lib.geometry import FULL, Box
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.traces.camera import (
    LIKE_MEASURED,
    PLAIN,
    REALISTIC,
    Camera,
    Lenses,
    Measured,
    Shot,
    demosaiced,
    draw_lens,
    measured_lenses,
    mosaic,
    sharpened,
    through_jpeg,
)
from course_lib.traces.examples import (
    COURSE,
    INTERPOLATIONS,
    PAPER,
    Defences,
    Scale,
    draw_crop,
    label_cells,
    make_example,
    make_thumbnail,
    patch_batch,
    patch_corners,
    pave,
    prepare,
    resize_width,
    shuffle_labels,
)

TINY = Scale(width=(96, 128), patch=12, thumbnail=(24, 16), shortest=64)
NATIVE = replace(COURSE, width=(768, 768))
"""No resize between photograph and patches."""
LEAVES = dead_leaves((512, 768), 0)
OFF = Defences(
    jitter=0, random_width=False, resizes=0, random_interpolation=False, shuffle_labels=False
)


def rng(seed=0):
    return np.random.default_rng(seed)


def ramps(height=512, width=768):
    """A picture that says where each of its points lies: red is x, green is y."""
    y, x = np.mgrid[:height, :width]
    channels = [255 * (x + 0.5) / width, 255 * (y + 0.5) / height, np.full(x.shape, 128.0)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def places(patches):
    """Read (x, y) of the middle of patches of `ramps`, as fractions of the photograph."""
    return patches[..., :2].mean(axis=(1, 2)) / 255


def far_from_borders(where):
    """Where the cell is beyond doubt: 8 bits say a place to half a percent."""
    return (np.abs(where * 4 - np.rint(where * 4)) > 0.04).all(axis=1)


def cells_of(where):
    column, row = np.floor(where * 4).astype(int).T
    return 4 * row + column


# --- crops, places and labels -----------------------------------------------------------------


def test_crops_keep_the_aspect_touch_one_edge_and_are_uniform():
    r = rng()
    boxes = np.array([tuple(draw_crop(r)) for _ in range(8000)])
    x1, y1, x2, y2 = boxes.T
    size = x2 - x1
    assert np.allclose(size, y2 - y1)
    assert size.min() >= 0.5 and size.max() <= 0.9
    assert np.allclose(np.quantile(size, [0.25, 0.5, 0.75]), [0.6, 0.7, 0.8], atol=0.01)
    pinned = np.array([y1 < 1e-9, x2 > 1 - 1e-9, y2 > 1 - 1e-9, x1 < 1e-9])
    assert pinned.any(axis=0).all()
    assert np.allclose(pinned.mean(axis=1), 0.25, atol=0.02)
    top = pinned[0] & ~pinned[1:].any(axis=0)
    along = x1[top] / (1 - size[top])
    assert np.allclose(np.quantile(along, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.04)


def test_half_are_cropped():
    picture = ramps(64, 96)
    made = [make_example(picture, rng(i), TINY) for i in range(300)]
    assert 0.4 < np.mean([e.cropped for e in made]) < 0.6
    assert all((e.box == FULL) != e.cropped for e in made)


def test_cells_are_counted_row_by_row():
    middles = np.array([((k % 4 + 0.5) / 4, (k // 4 + 0.5) / 4) for k in range(16)])
    assert label_cells(middles).tolist() == list(range(16))
    upper_left = label_cells(middles, Box(0, 0, 0.5, 0.5)).reshape(4, 4)
    assert upper_left.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [4, 4, 5, 5], [4, 4, 5, 5]]
    assert label_cells(np.array([[0.0, 0.0], [1.0, 1.0]])).tolist() == [0, 15]


@pytest.mark.parametrize("defences", [Defences(), OFF], ids=["defended", "off"])
@pytest.mark.parametrize("scale", [COURSE, replace(PAPER, shortest=256)], ids=["course", "paper"])
def test_labels_and_boxes_are_what_the_pixels_say(scale, defences):
    picture = ramps()
    if scale.width[1] > 768:
        picture = ramps(1024, 1536)
    checked = 0
    for seed in range(25):
        example = make_example(picture, rng(seed), scale, defences)
        where = places(example.patches)
        sure = far_from_borders(where)
        checked += sure.sum()
        assert (cells_of(where)[sure] == example.cells[sure]).all()
        thumbnail = example.thumbnail.astype(float) / 255
        seen = (thumbnail[:, 0, 0].mean(), thumbnail[0, :, 1].mean())
        ends = (thumbnail[:, -1, 0].mean(), thumbnail[-1, :, 1].mean())
        assert np.allclose((*seen, *ends), tuple(example.box), atol=0.025)
        assert example.patches.shape == (16, scale.patch, scale.patch, 3)
        assert example.thumbnail.shape == (scale.thumbnail[1], scale.thumbnail[0], 3)
    assert checked > 200


def test_uncropped_patches_come_from_their_own_cells():
    assert make_example(ramps(), rng(), box=FULL).cells.tolist() == list(range(16))


def test_the_photograph_is_aberrated_before_it_is_cropped():
    """Vignetting of the whole stays in the crop: its darkest corner is the photograph's own."""
    white = np.full((512, 768, 3), 255, np.uint8)
    box = Box(0.5, 0.5, 1, 1)
    example = make_example(white, rng(), lens=Lens(vignetting=0.4), box=box)
    thumbnail = example.thumbnail[..., 1].astype(int)
    assert thumbnail[0, 0] > 250
    assert thumbnail[-1, -1] < 180
    assert thumbnail[-1, -1] == thumbnail.min()


def test_no_black_borders_give_the_lens_away():
    white = np.full((512, 768, 3), 255, np.uint8)
    example = make_example(white, rng(), lens=Lens(red=0.98, blue=1.03), box=FULL)
    assert example.thumbnail.min() >= 254
    assert example.patches.min() >= 254


def test_equal_generators_make_equal_examples():
    make = [make_example(LEAVES, rng(s), lens=LIKE_MEASURED, camera=REALISTIC) for s in (5, 5, 6)]
    assert (make[0].patches == make[1].patches).all()
    assert (make[0].thumbnail == make[1].thumbnail).all()
    assert make[0].box == make[1].box
    assert not (make[0].patches == make[2].patches).all()


# --- preparing photographs --------------------------------------------------------------------


def test_portraits_are_turned_both_ways():
    portrait = np.ascontiguousarray(np.rot90(ramps()))
    turned = [prepare(portrait, rng(i)) for i in range(20)]
    assert all(picture.shape == (512, 768, 3) for picture in turned)
    back = [bool((picture == ramps()).all()) for picture in turned]
    assert 3 < sum(back) < 17


@pytest.mark.parametrize("shape", [(512, 1024), (600, 640), (512, 512), (300, 451)])
def test_other_shapes_are_cut_evenly(shape):
    picture = prepare(ramps(*shape), rng(), COURSE)
    height, width = picture.shape[:2]
    assert abs(width / height - 1.5) < 0.01
    assert np.allclose(picture[..., :2].mean(axis=(0, 1)) / 255, 0.5, atol=0.005)


def test_size_of_what_is_prepared():
    assert prepare(ramps(1200, 1800), rng()).shape == (512, 768, 3)
    assert prepare(ramps(320, 480), rng()).shape == (320, 480, 3)
    assert prepare(ramps(320, 480), rng(), exact=True).shape == (512, 768, 3)
    with pytest.raises(PhotoError, match="480 × 200 pixels is too small"):
        prepare(ramps(200, 480), rng())
    with pytest.raises(PhotoError, match="has 200 pixels and needs 256"):
        prepare(ramps(270, 300), rng())


@pytest.mark.parametrize("shape", [(300, 451), (1200, 1601), (384, 384), (600, 512)])
def test_preparing_twice_changes_nothing(shape):
    once = prepare(ramps(*shape), rng())
    assert (prepare(once, rng(1)) == once).all()


def test_impossible_scales_are_refused():
    with pytest.raises(UsageError, match="do not fit"):
        Scale(width=(384, 768), patch=96, thumbnail=(112, 75), shortest=256)
    with pytest.raises(UsageError):
        Defences(jitter=-1)


def test_fringes_are_as_wide_at_course_scale_as_at_the_papers():
    """A corner moves by the same number of pixels at the mean width of both scales."""
    assert COURSE.strength * sum(COURSE.width) == pytest.approx(PAPER.strength * sum(PAPER.width))


# --- defences ---------------------------------------------------------------------------------


def test_jitter_makes_all_phases_of_the_jpeg_grid_equally_likely():
    r = rng()
    corners = np.array([patch_corners(r, (512, 768), 48) for _ in range(1000)])
    still = patch_corners(r, (512, 768), 48, jitter=0)
    moved = corners - still
    assert moved.min() == -8 and moved.max() == 7
    for axis in (0, 1):
        phases = np.bincount(corners[..., axis].ravel() % 8, minlength=8)
        assert phases.min() > 0.9 * phases.mean()
    assert (still == patch_corners(rng(9), (512, 768), 48, jitter=0)).all()
    assert still[0].tolist() == [72, 40] and still[5].tolist() == [264, 168]


def jpeg_phase(patch):
    """Column at which JPEG blocks begin: where neighbours differ most."""
    steps = np.abs(np.diff(patch.astype(float).sum(axis=2), axis=1)).mean(axis=0)
    strength = [np.median(steps[phase::8]) for phase in range(8)]
    return (int(np.argmax(strength)) + 1) % 8


def test_without_jitter_the_jpeg_grid_stands_still_in_the_patches():
    """The leak, and that the switch closes it."""
    camera = Camera(jpeg=(8, 8))
    smooth = cv2.GaussianBlur(LEAVES, (0, 0), 3)

    def phases(defences):
        made = [make_example(smooth, rng(i), NATIVE, defences, camera, box=FULL) for i in range(4)]
        return np.array([jpeg_phase(patch) for one in made for patch in one.patches])

    assert (phases(OFF) == 0).mean() > 0.9
    jittered = np.bincount(phases(replace(OFF, jitter=8)), minlength=8) / 64
    assert jittered.max() < 0.4


def test_without_a_random_width_patches_say_how_large_the_crop_is():
    def share(defences, box, seed):
        """Part of the seen picture's width that a patch shows, from the ramp of red in it."""
        example = make_example(ramps(), rng(seed), COURSE, defences, box=box)
        red = example.patches[..., 0].astype(float).mean(axis=(0, 1))
        return (red[-1] - red[0]) / 255 / box.width

    half = Box(0, 0, 0.5, 0.5)
    off = replace(Defences(), random_width=False)
    assert share(off, half, 0) == pytest.approx(2 * share(off, FULL, 0), rel=0.1)
    ratio = [share(Defences(), half, s) / share(Defences(), FULL, s) for s in range(12)]
    assert np.allclose(ratio, 1, atol=0.12)  # the same draw of the width, whatever the crop
    widths = [share(Defences(), FULL, s) for s in range(12)]
    assert max(widths) > 1.3 * min(widths)


def test_interpolation_really_takes_effect():
    """Passed by position, OpenCV would take the flag for something else and stay bilinear."""
    made = [resize_width(LEAVES, 500, flag) for flag in INTERPOLATIONS]
    for i, one in enumerate(made):
        assert (one == cv2.resize(LEAVES, (500, 333), interpolation=INTERPOLATIONS[i])).all()
        assert all((one != other).any() for other in made[:i])
    once = replace(OFF, random_interpolation=True)
    drawn = {make_thumbnail(LEAVES, rng(i), COURSE, once).tobytes() for i in range(60)}
    assert len(drawn) == 5
    fixed = {make_thumbnail(LEAVES, rng(i), COURSE, OFF).tobytes() for i in range(10)}
    assert fixed == {cv2.resize(LEAVES, (112, 75), interpolation=cv2.INTER_LINEAR).tobytes()}
    examples = [
        make_example(LEAVES, rng(3), COURSE, replace(Defences(), random_interpolation=on))
        for on in (True, False)
    ]
    assert (examples[0].thumbnail != examples[1].thumbnail).any()


def test_random_resizes_change_the_thumbnail_and_keep_the_scene():
    straight = make_thumbnail(LEAVES, rng(), COURSE, OFF).astype(float)
    three = replace(OFF, resizes=3)
    made = [make_thumbnail(LEAVES, rng(i), COURSE, three).astype(float) for i in range(5)]
    assert len({one.tobytes() for one in made}) == 5
    for one in made:
        soft = [cv2.GaussianBlur(a, (0, 0), 2).ravel() for a in (straight, one)]
        assert np.corrcoef(soft)[0, 1] > 0.97


def test_shuffled_labels_mix_all_cells_and_come_back():
    cells = np.tile(np.arange(16), (32, 1))
    mixed = shuffle_labels(cells)
    for k in range(16):
        assert np.bincount(mixed[:, k], minlength=16).tolist() == [2] * 16
    assert (shuffle_labels(mixed, undo=True) == cells).all()
    assert mixed[1].tolist() == [15, *range(15)]
    patches = rng().random((3, 16, 2, 2, 3))
    assert (shuffle_labels(patches)[2] == np.roll(patches[2], 2, axis=0)).all()


def test_tensors_are_shuffled_too():
    import torch

    batch = torch.arange(4 * 16 * 3).reshape(4, 16, 3)
    mixed = shuffle_labels(batch)
    assert isinstance(mixed, torch.Tensor)
    assert (mixed[1] == torch.roll(batch[1], 1, dims=0)).all()
    assert (shuffle_labels(mixed, undo=True) == batch).all()


# --- pictures laid of tiles -------------------------------------------------------------------


def test_paved_pictures_are_windows_of_symmetric_padding():
    """Copies mirrored in turn are what NumPy calls symmetric: no pixel has a stranger beside it."""
    tile = rng().integers(0, 256, (7, 11, 3)).astype(np.uint8)
    large = {
        way: np.pad(laid, [(0, 10 * laid.shape[0]), (0, 10 * laid.shape[1]), (0, 0)], "symmetric")
        for way, laid in (("upright", tile), ("turned", tile.swapaxes(0, 1)))
    }
    found = set()
    for seed in range(60):
        picture = pave(tile, (31, 40), rng(seed))
        assert picture.shape == (31, 40, 3) and picture.dtype == np.uint8
        for way, padded in large.items():
            starts = 14 if way == "upright" else 22, 22 if way == "upright" else 14
            for y, x in np.ndindex(*starts):
                if (padded[y : y + 31, x : x + 40] == picture).all():
                    found.add((way, y, x))
                    break
            else:
                continue
            break
        else:
            pytest.fail(f"seed {seed}: no window of the padded tile")
    assert {way for way, _, _ in found} == {"upright", "turned"}
    assert len(found) > 40  # begins anywhere


def test_a_ramp_has_no_seams_when_it_is_laid_out():
    tile = np.arange(40, dtype=np.uint8)[None, :, None].repeat(30, axis=0).repeat(3, axis=2)
    picture = pave(tile, (100, 150), rng(4)).astype(int)
    assert max(abs(np.diff(picture, axis=axis)).max() for axis in (0, 1)) == 1
    assert set(np.unique(picture)) == set(range(40))


# --- many patches -----------------------------------------------------------------------------


@pytest.mark.parametrize("camera", [PLAIN, REALISTIC], ids=["plain", "realistic"])
@pytest.mark.parametrize("anywhere", [True, False])
def test_labels_of_many_patches_are_what_the_pixels_say(camera, anywhere):
    scale = replace(PAPER, shortest=256)
    pictures = [ramps(1024, 1536), ramps(683, 1024)]
    for seed in range(4):
        patches, cells = patch_batch(
            pictures, rng(seed), 96, scale, camera=camera, lens=Lens(), anywhere=anywhere
        )
        assert patches.shape == (96, 96, 96, 3) and patches.dtype == np.uint8
        where = places(patches)
        sure = far_from_borders(where)
        assert sure.sum() > 40
        assert (cells_of(where)[sure] == cells[sure]).all()


def test_many_patches_have_the_scale_of_the_picture_that_is_seen():
    """A patch shows patch / width of the photograph, whatever the camera shrank."""
    for width, camera in ((1024, PLAIN), (2048, PLAIN), (1024, Camera(shrink=(2, 2)))):
        scale = replace(PAPER, width=(width, width))
        patches, _ = patch_batch([ramps(1024, 1536)], rng(), 16, scale, camera=camera)
        red = patches[:, :, 2:-2, 0].astype(float).mean(axis=(0, 1))
        slope = np.polyfit(np.arange(len(red)), red, 1)[0]
        assert slope * width / 255 == pytest.approx(1, rel=0.02)


def test_windows_that_are_as_wide_as_patches_are_developed_too():
    """A zoom at which a window with its margins has by chance the size of a patch."""
    scale = replace(PAPER, width=(1850, 1850))
    patches, _ = patch_batch([ramps(1024, 1536)], rng(), 16, scale)
    red = patches[:, :, 2:-2, 0].astype(float).mean(axis=(0, 1))
    assert np.polyfit(np.arange(len(red)), red, 1)[0] * 1850 / 255 == pytest.approx(1, rel=0.02)
    camera = Camera(sharpen=(1.0, 1.0), shrink=(1.51, 1.51))
    patches, _ = patch_batch([LEAVES], rng(), 4, NATIVE, camera=camera)
    assert patches.shape == (4, NATIVE.patch, NATIVE.patch, 3)


def test_untouched_patches_are_cut_from_the_photograph():
    lens = Lens(red=1.004, blue=0.998, vignetting=0.2)
    photo = lens.apply(LEAVES)
    patches, cells = patch_batch([LEAVES], rng(), 40, NATIVE, lens=lens)
    for patch, cell in zip(patches, cells, strict=True):
        difference = cv2.matchTemplate(photo, patch, cv2.TM_SQDIFF)
        y, x = np.unravel_index(np.argmin(difference), difference.shape)
        assert (photo[y : y + 48, x : x + 48] == patch).all()
        assert cells_of(np.array([[(x + 24) / 768, (y + 24) / 512]]))[0] == cell


def test_all_cells_are_equally_likely_anywhere():
    _, cells = patch_batch([LEAVES], rng(), 4000, NATIVE)
    assert np.bincount(cells, minlength=16) == pytest.approx(np.full(16, 250), rel=0.25)
    _, cells = patch_batch([LEAVES], rng(), 32, NATIVE, anywhere=False)
    assert cells.tolist() == [*range(16)] * 2


def test_pictures_share_the_patches():
    dark, light = (np.full((512, 768, 3), v, np.uint8) for v in (20, 220))
    patches, _ = patch_batch([dark, light, dark], rng(), 10, NATIVE)
    means = patches.mean(axis=(1, 2, 3))
    assert (means == 220).sum() in (3, 4) and (means == 20).sum() in (6, 7)
    with pytest.raises(UsageError):
        patch_batch([], rng(), 10)


def test_each_visit_has_its_own_lens():
    white = np.full((512, 768, 3), 255, np.uint8)
    patches, _ = patch_batch([white], rng(), 128, NATIVE, lens=LIKE_MEASURED)
    corner = [patches[i : i + 64].min() for i in (0, 64)]
    assert corner[0] != corner[1]


# --- lenses to draw from ----------------------------------------------------------------------


def test_lenses_follow_the_measured_distribution_independently():
    measured = measured_lenses()
    assert len(measured.red) == len(measured.blue) >= 60
    r = rng()
    drawn = [draw_lens(r, measured) for _ in range(3000)]
    for name in ("red", "blue"):
        values = np.array([getattr(lens, name) for lens in drawn]) - 1
        wanted = np.quantile(getattr(measured, name), [0.1, 0.25, 0.5, 0.75, 0.9])
        assert np.allclose(np.quantile(values, [0.1, 0.25, 0.5, 0.75, 0.9]), wanted, atol=1e-4)
    pair = np.array([(lens.red, lens.blue) for lens in drawn]).T
    assert abs(np.corrcoef(pair)[0, 1]) < 0.06
    dark = np.array([lens.vignetting for lens in drawn])
    assert dark.min() >= 0 and dark.max() <= 0.4 and dark.mean() == pytest.approx(0.2, abs=0.01)
    centers = np.array([lens.center for lens in drawn])
    assert np.allclose(centers.mean(axis=0), 0.5, atol=0.005)
    assert np.allclose(centers.std(axis=0), 0.05, atol=0.005)


def test_strength_multiplies_what_the_scale_asks_for():
    lenses = Lenses(strength=2, vignetting=0, spread=0, measured=Measured((0.001,), (-0.0005,)))
    lens = lenses.draw(rng(), times=3)
    assert (lens.red, lens.blue) == pytest.approx((1.006, 0.997))
    assert lens.vignetting == 0 and lens.center == (0.5, 0.5)
    none = draw_lens(rng(), measured_lenses(), strength=0, vignetting=0)
    assert none.magnifications == (1, 1, 1)


def test_files_without_measurements_are_named(tmp_path):
    with pytest.raises(CourseError, match=r"nothing\.json: holds no measured lenses"):
        measured_lenses(tmp_path / "nothing.json")
    (tmp_path / "empty.json").write_text(json.dumps({"rows": []}))
    with pytest.raises(CourseError, match="no camera is counted"):
        measured_lenses(tmp_path / "empty.json")


# --- the camera behind the lens ---------------------------------------------------------------


def test_a_plain_camera_is_the_lens_alone():
    lens = Lens(red=1.003, vignetting=0.3, kernel="lanczos")
    assert (PLAIN.photograph(LEAVES, lens, rng()) == lens.apply(LEAVES)).all()


@pytest.mark.parametrize(
    "camera",
    [
        Camera(kernels=("linear",)),
        Camera(noise=(0.01, 0.01)),
        Camera(demosaic=("bilinear",)),
        Camera(demosaic=("edge",)),
        Camera(sharpen=(0.5, 0.5)),
        Camera(jpeg=(80, 80)),
    ],
    ids=lambda camera: next(k for k, v in vars(camera).items() if v != vars(PLAIN)[k]),
)
def test_every_switch_changes_the_photograph_a_little(camera):
    lens = Lens(red=1.002, blue=0.999)
    plain, other = (c.photograph(LEAVES, lens, rng()) for c in (PLAIN, camera))
    difference = np.abs(plain.astype(int) - other)
    assert other.shape == plain.shape
    assert 0.05 < difference.mean() < 12


def test_a_camera_may_shrink():
    photo = Camera(shrink=(2, 2)).photograph(LEAVES, Lens(), rng())
    assert photo.shape == (256, 384, 3)


def test_a_sensor_sees_red_green_green_blue():
    light = np.zeros((4, 6, 3), np.uint8)
    light[..., 0], light[..., 1], light[..., 2] = 10, 20, 30
    assert mosaic(light)[:2].tolist() == [[10, 20] * 3, [20, 30] * 3]
    for how in ("bilinear", "edge"):
        assert (demosaiced(mosaic(light), how)[1:-1, 1:-1] == (10, 20, 30)).all()
    with pytest.raises(UsageError, match="unknown"):
        demosaiced(mosaic(light), "none")


def test_edge_aware_demosaicing_is_nearer_to_the_truth():
    raw = mosaic(LEAVES)
    errors = [np.abs(demosaiced(raw, how).astype(int) - LEAVES)[..., 1].mean() for how in
              ("bilinear", "edge")]  # fmt: skip
    assert errors[1] < errors[0]


def test_sharpening_raises_contrast_at_edges_only():
    def steps(picture):
        return np.abs(np.diff(picture.astype(int), axis=1)).mean()

    assert steps(sharpened(LEAVES, 1.0)) > 1.2 * steps(LEAVES)
    flat = np.full((16, 16, 3), 100, np.uint8)
    assert (sharpened(flat, 1.0) == flat).all()


def test_jpeg_keeps_colours_in_their_channels_and_has_a_phase():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    for halved in (False, True):
        assert np.abs(through_jpeg(red, 90, halved).astype(int) - red).max() < 4
    smooth = cv2.GaussianBlur(LEAVES, (0, 0), 3)
    for phase in (0, 3, 7):
        assert jpeg_phase(through_jpeg(smooth, 8, phase=(phase, 0))) == phase
    sizes = [np.abs(through_jpeg(LEAVES, q).astype(int) - LEAVES).mean() for q in (20, 60, 95)]
    assert sizes == sorted(sizes, reverse=True)


def test_settings_are_drawn_from_their_ranges():
    r = rng()
    shots = [REALISTIC.draw(r) for _ in range(400)]
    assert {s.kernel for s in shots} == {"linear", "cubic", "lanczos", "spline"}
    assert {s.demosaic for s in shots} == {"none", "bilinear", "edge"}
    assert {s.quality for s in shots} == set(range(75, 99))
    assert min(s.shrink for s in shots) >= 1 and max(s.shrink for s in shots) <= 2
    assert {s.halved for s in shots} == {True, False}
    assert Shot().plain and not any(s.plain for s in shots)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kernels": ("cubical",)},
        {"demosaic": ()},
        {"demosaic": "edge"},
        {"sharpen": (1, 0)},
        {"shrink": (0.5, 1)},
        {"jpeg": (0, 90)},
        {"noise": (0, 2)},
    ],
)
def test_impossible_cameras_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Camera(**wrong)


def test_the_door_is_light():
    code = (
        "import sys, course_lib.traces, course_lib.traces.examples, course_lib.traces.camera\n"
        "print({'torch', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
