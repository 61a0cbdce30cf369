"""The whole lens: invariants, oracles, and patches against the full picture."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data
from skimage.transform import warp

from course_lib.errors import UsageError
from course_lib.lens import (
    KERNELS,
    Lens,
    cos4,
    defocus,
    distort_radius,
    falloff,
    grayscale,
    magnify,
    radius,
    saturate,
)

PHOTO = data.astronaut()[40:296, 90:474]  # 256 × 384
FLOAT = (PHOTO / np.float32(255)).astype(np.float32)
# OpenCV before 5 rounds positions to 1/32 of a pixel.
ROUNDING = 0.0 if int(cv2.__version__.split(".")[0]) >= 5 else 1 / 64
CENTERED = st.just((0.5, 0.5))
ANYWHERE = st.tuples(st.floats(0, 1), st.floats(0, 1))


def difference(a, b):
    """Largest and mean difference in levels of 255."""
    unit = 1 if a.dtype == np.uint8 else 255
    d = np.abs(a.astype(np.float64) - b.astype(np.float64)) * unit
    return d.max(), d.mean()


def lenses(center=ANYWHERE, **fixed):
    m = st.floats(0.98, 1.02)
    blur = st.tuples(*[st.floats(0, 3)] * 3)
    parts = {
        "red": m,
        "green": m,
        "blue": m,
        "blur": blur,
        "blur_axis": blur,
        "vignetting": st.floats(0, 1),
        "cos4": st.floats(0, 50),
        "distortion": st.floats(-0.08, 0.15),
        "saturation": st.floats(0, 2),
        "grayscale": st.sampled_from([False, False, True, "green"]),
        "center": center,
        "kernel": st.sampled_from(KERNELS),
    }
    return st.builds(Lens, **parts, **fixed)


# ── what a perfect lens and every lens must do ──────────────────────────────────────────────────


@pytest.mark.parametrize("picture", [PHOTO, FLOAT], ids=["uint8", "float32"])
def test_perfect_lens_returns_an_equal_picture_of_its_own(picture):
    for lens in (Lens(), Lens(center=(0.3, 0.9), kernel="linear")):
        seen = lens.apply(picture)
        assert seen.dtype == picture.dtype
        np.testing.assert_array_equal(seen, picture)
        assert not np.shares_memory(seen, picture)


def test_channels_that_need_no_resampling_pass_bit_for_bit():
    seen = Lens(red=1.004, green=1.0, blue=1.004).apply(PHOTO)
    np.testing.assert_array_equal(seen[..., 1], PHOTO[..., 1])
    same = Lens(red=0.97, green=0.97, blue=0.97).apply(PHOTO)  # the zoom undoes it
    np.testing.assert_array_equal(same, PHOTO)


@pytest.mark.parametrize("shape", [(2, 2), (2, 9), (31, 2), (3, 3), (5, 700), (700, 5), (97, 101)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("kernel", KERNELS)
def test_any_size(shape, dtype, kernel):
    rng = np.random.default_rng(0)
    picture = rng.random((*shape, 3)).astype(np.float32)
    picture = picture if dtype == np.float32 else (picture * 255).astype(np.uint8)
    before = picture.copy()
    lens = Lens(
        red=1.01, green=0.99, blur=(1, 2, 3), vignetting=0.5, distortion=-0.05,
        saturation=1.4, noise=0.02, kernel=kernel,
    )  # fmt: skip
    seen = lens.apply(picture, rng=0)
    assert seen.shape == picture.shape
    assert seen.dtype == dtype
    assert np.isfinite(seen).all()
    if dtype == np.float32:
        assert seen.min() >= 0
        assert seen.max() <= 1
    np.testing.assert_array_equal(picture, before)


def test_views_and_read_only_pictures():
    lens = Lens(green=0.99, blur=(1, 1, 1), vignetting=0.3)
    views = (PHOTO[::-1, ::-1], PHOTO.swapaxes(0, 1), np.asfortranarray(PHOTO), PHOTO[::2, 1::3])
    for view in (*views, PHOTO[..., ::-1]):
        plain = np.ascontiguousarray(view)
        np.testing.assert_array_equal(lens.apply(view), lens.apply(plain))
        corners = [[0, 0], [30, 20]]
        np.testing.assert_array_equal(
            lens.patches(view, corners, 32), lens.patches(plain, corners, 32)
        )
    frozen = PHOTO.copy()
    frozen.flags.writeable = False
    assert difference(lens.apply(frozen), lens.apply(PHOTO))[0] == 0


def test_both_dtypes_agree():
    lens = Lens(red=1.003, green=0.996, blur=(1, 0.5, 1), vignetting=0.4, distortion=0.05)
    largest, _ = difference(lens.apply(PHOTO) / 255, lens.apply(FLOAT))
    assert largest <= 0.501


@settings(max_examples=60, deadline=None)
@given(lens=lenses())
def test_flat_white_keeps_no_black_border(lens):
    """Every sample lies inside the frame: nothing is darker than vignetting makes it."""
    white = np.full((40, 60, 3), 255, np.uint8)
    r = radius(white.shape, lens.center)
    expected = 255 * falloff(r, lens.vignetting) * cos4(r, lens.cos4)
    assert np.abs(lens.apply(white) - expected[..., None]).max() <= 0.51


@settings(max_examples=25, deadline=None)
@given(lens=lenses(center=CENTERED))
def test_symmetric_pictures_stay_symmetric(lens):
    quarter = PHOTO[:50, :70]
    half = np.concatenate([quarter, quarter[:, ::-1]], axis=1)
    picture = np.concatenate([half, half[::-1]], axis=0)
    seen = lens.apply(picture)
    assert difference(seen, seen[::-1])[0] <= 1
    assert difference(seen, seen[:, ::-1])[0] <= 1


# ── geometry ────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=25, deadline=None)
@given(m=st.floats(0.98, 1.02), center=ANYWHERE, k1=st.sampled_from([0.0, -0.05, 0.08]))
def test_green_inward_is_red_and_blue_outward(m, center, k1):
    one = Lens(green=m, center=center, distortion=k1)
    other = Lens(red=1 / m, blue=1 / m, center=center, distortion=k1)
    assert difference(one.apply(PHOTO), other.apply(PHOTO))[0] <= 1
    assert one.zoom(PHOTO.shape) == pytest.approx(other.zoom(PHOTO.shape) / m)


@settings(max_examples=60, deadline=None)
@given(
    center=ANYWHERE,
    k1=st.floats(-0.08, 0.5),
    m=st.tuples(*[st.floats(0.9, 1.1)] * 3),
    shape=st.tuples(st.integers(2, 500), st.integers(2, 500)),
)
@example(center=(0.5, 0.5), k1=0.0, m=(1.0, 1.0, 1.0), shape=(7, 9))
@example(center=(0.0, 1.0), k1=0.3, m=(1.0, 1.0, 1.0), shape=(100, 50))
def test_zoom_is_the_smallest_that_keeps_the_frame_filled(center, k1, m, shape):
    lens = Lens(*m, center=center, distortion=k1)
    height, width = shape
    c = np.array([center[0] * width, center[1] * height])
    along = np.linspace(0, 1, 4001)  # both ends and the middle are hit exactly
    nearest = [c[0] / width, c[1] / height]
    along = np.unique(np.concatenate([along, nearest]))
    border = np.concatenate(
        [
            np.stack([along * width, np.full_like(along, edge * height)], 1) for edge in (0, 1)
        ] + [
            np.stack([np.full_like(along, edge * width), along * height], 1) for edge in (0, 1)
        ]
    )  # fmt: skip
    r = np.hypot(*(border - c).T) / (np.hypot(width, height) / 2)
    # The frame's border is drawn at zoom · m · D(r): outside the frame, and touching it once.
    touching = np.min(min(m) * (1 + k1 * r**2))
    assert lens.zoom(shape) * touching == pytest.approx(1, abs=1e-9)


def test_zoom_of_known_lenses():
    assert Lens().zoom((100, 150)) == 1
    assert Lens(green=0.996).zoom((100, 150)) == pytest.approx(1 / 0.996)
    assert Lens(red=1.004).zoom((100, 150)) == 1
    assert Lens(red=1.1, green=1.1, blue=1.1).zoom((4, 4)) == pytest.approx(1 / 1.1)
    assert Lens(distortion=-0.1).zoom((100, 150)) == pytest.approx(1 / 0.9)
    # A pincushion draws the middle of the long edges least far out.
    assert Lens(distortion=0.1).zoom((100, 100)) == pytest.approx(1 / 1.05)


def source_of(lens, shape, m):
    """Inverse map for scikit-image, by root finding instead of Newton's closed loop."""
    height, width = shape[:2]
    cx, cy = lens.center[0] * width, lens.center[1] * height
    half = np.hypot(width, height) / 2
    scale = 1 / (lens.zoom(shape) * m)
    table = np.linspace(0, 2.3, 3000)
    drawn = distort_radius(table, lens.distortion)
    rising = np.argmax(np.diff(drawn) <= 0) or len(table)

    def where(xy):
        dx, dy = xy[:, 0] + 0.5 - cx, xy[:, 1] + 0.5 - cy
        rd = np.hypot(dx, dy) / half * scale
        r = np.interp(rd, drawn[:rising], table[:rising])
        f = np.where(rd > 0, r / np.maximum(rd, 1e-12), 1) * scale
        return np.stack([cx + dx * f - 0.5, cy + dy * f - 0.5], 1)

    return where


@pytest.mark.parametrize("k1", [0.0, -0.12, 0.2, -0.28])
@pytest.mark.parametrize("center", [(0.5, 0.5), (0.45, 0.56)])
def test_geometry_agrees_with_scikit_image(k1, center):
    if k1 == -0.28 and center != (0.5, 0.5):
        k1 = -0.2
    lens = Lens(red=1.006, green=0.994, distortion=k1, center=center, kernel="spline")
    smooth = ndimage.gaussian_filter(FLOAT, (1.0, 1.0, 0)).astype(np.float32)
    seen = lens.apply(smooth)
    for c, m in enumerate((1.006, 0.994, 1.0)):
        where = source_of(lens, smooth.shape, m)
        oracle = warp(smooth[..., c].astype(float), where, order=3, mode="edge")
        inner = slice(3, -3), slice(3, -3)
        assert np.abs(seen[..., c] - oracle)[inner].max() < 4e-3 + 0.2 * ROUNDING
        assert np.sqrt(np.mean((seen[..., c] - oracle) ** 2)) < 1e-3


@pytest.mark.parametrize("k1", [-0.15, 0.15, -0.32])
def test_grid_points_land_where_the_paper_draws_them(k1):
    """Bright dots at known places are found again at zoom · r (1 + k₁ r²)."""
    height, width = 301, 451
    picture = np.zeros((height, width, 3), np.float32)
    for y in range(30, height, 60):
        for x in range(45, width, 60):
            picture[y, x] = 1
    picture = cv2.GaussianBlur(picture, (0, 0), 2.0)
    picture /= picture.max()
    lens = Lens(distortion=k1)
    seen = lens.apply(picture)[..., 1]
    half, zoom = np.hypot(height, width) / 2, lens.zoom(picture.shape)
    for y in range(30, height, 60):
        for x in range(45, width, 60):
            p = np.array([x + 0.5 - width / 2, y + 0.5 - height / 2])
            u, v = p * zoom * (1 + k1 * (np.hypot(*p) / half) ** 2) + (width / 2, height / 2)
            if not (14 < u < width - 14 and 14 < v < height - 14):
                continue
            left, top = int(u) - 12, int(v) - 12
            window = seen[top : top + 25, left : left + 25].astype(float)
            gy, gx = np.mgrid[:25, :25] + 0.5
            found = (
                left + (window * gx).sum() / window.sum(),
                top + (window * gy).sum() / window.sum(),
            )
            # A stretched dot leans a little outward: its centroid moves by second order.
            assert found == pytest.approx((u, v), abs=0.12)


@pytest.mark.parametrize("center", [(0.5, 0.5), (0.25, 0.7)])
def test_the_optical_centre_is_the_point_that_stays(center):
    height, width = 200, 320
    spot = np.zeros((height, width, 3), np.float32)
    at = int(center[1] * height), int(center[0] * width)
    spot[at[0] - 20 : at[0] + 20, at[1] - 20 : at[1] + 20] = 0.8
    spot = cv2.GaussianBlur(spot, (0, 0), 3)
    seen = Lens(green=0.95, center=center).apply(spot)
    for c in range(3):
        y, x = ndimage.center_of_mass(seen[..., c].astype(float))
        assert (x + 0.5, y + 0.5) == pytest.approx(
            (center[0] * width, center[1] * height), abs=0.05
        )


def test_sub_pixel_displacement_in_the_corner():
    """Green 0.1 % inward moves a corner edge by 0.001 of its distance, and nothing else."""
    width = 400
    x = np.arange(width) + 0.5
    ramp = np.repeat((0.2 + 0.5 * x / width)[None], 300, 0)
    picture = np.repeat(ramp[..., None], 3, 2).astype(np.float32)
    for kernel in ("linear", "cubic", "spline"):
        seen = Lens(green=0.999, kernel=kernel).apply(picture).astype(float)
        moved = (seen[..., 1] - seen[..., 0]) / (0.5 / width)
        # Red and blue are zoomed by 1/0.999; green stays.
        expected = (x - width / 2) * 0.001
        np.testing.assert_allclose(moved[150, 5:-5], expected[5:-5], atol=2e-3 + ROUNDING)


@settings(max_examples=15, deadline=None)
@given(m=st.floats(1.0, 1.02), center=ANYWHERE)
def test_lens_and_magnify_are_one_thing(m, center):
    seen = Lens(red=m, center=center).apply(FLOAT)
    assert np.abs(seen[..., 0] - np.clip(magnify(FLOAT[..., 0], m, center), 0, 1)).max() < 1e-3
    np.testing.assert_array_equal(seen[..., 1:], FLOAT[..., 1:])


def test_composition_of_magnifications():
    smooth = ndimage.gaussian_filter(FLOAT, (1.5, 1.5, 0)).astype(np.float32)
    twice = Lens(red=1.01).apply(Lens(red=1.005).apply(smooth))
    once = Lens(red=1.01 * 1.005).apply(smooth)
    assert np.abs(twice - once)[4:-4, 4:-4].max() < 5e-3 + 0.2 * ROUNDING


def test_fold_is_refused_with_its_limit():
    with pytest.raises(UsageError, match=r"folds the picture .* above -0\.3333"):
        Lens(distortion=-1 / 3).apply(PHOTO)
    with pytest.raises(UsageError, match="folds"):
        Lens(distortion=-0.2, center=(0, 0)).zoom((100, 150))
    limit = -1 / 3 + 1e-3
    assert np.isfinite(Lens(distortion=limit).apply(FLOAT)).all()


# ── light ───────────────────────────────────────────────────────────────────────────────────────


def test_vignetting_is_a_product_with_the_polynomial():
    lens = Lens(vignetting=0.6, center=(0.4, 0.5))
    expected = FLOAT * falloff(radius(FLOAT.shape, lens.center), 0.6)[..., None]
    np.testing.assert_allclose(lens.apply(FLOAT), expected, atol=1e-6)


def test_vignetting_of_the_centre_and_the_corner():
    white = np.ones((401, 601, 3), np.float32)
    seen = Lens(vignetting=1).apply(white)[..., 0]
    assert seen[200, 300] == 1
    corner = 1 / (1 + 2.0625 + 8.75 + 0.0313)
    assert seen[0, 0] == pytest.approx(corner, rel=0.01)
    assert Lens(cos4=40).apply(white)[0, 0, 0] == pytest.approx(
        np.cos(np.deg2rad(40)) ** 4, rel=0.01
    )


def test_vignetting_of_light_undoes_the_srgb_curve():
    gray = np.full((21, 21, 3), 0.5, np.float32)
    r = radius(gray.shape)
    light = ((0.5 + 0.055) / 1.055) ** 2.4 * falloff(r, 0.8)
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    seen = Lens(vignetting=0.8, linear_light=True).apply(gray)
    np.testing.assert_allclose(seen[..., 0], expected, atol=1e-5)
    assert np.all(seen >= Lens(vignetting=0.8).apply(gray) - 1e-6)


@settings(max_examples=15, deadline=None)
@given(
    axis=st.tuples(*[st.floats(0, 2)] * 3),
    corner=st.tuples(*[st.floats(0, 3)] * 3),
    center=ANYWHERE,
)
def test_blur_is_defocus_of_each_channel(axis, corner, center):
    lens = Lens(blur=corner, blur_axis=axis, center=center)
    # defocus() takes its widest σ from pixel centres, the lens from the frame's corner.
    seen = lens.apply(FLOAT)
    for c in range(3):
        alone = defocus(FLOAT[..., c], axis[c], corner[c], center)
        assert np.abs(seen[..., c] - alone).max() < 0.01
        assert np.abs(seen[..., c] - alone).mean() < 4e-4


def test_colour_comes_last():
    lens = Lens(green=0.99, vignetting=0.3)
    photographed = lens.apply(FLOAT)
    for part, after in (
        ({"saturation": 1.6}, saturate(photographed, 1.6)),
        ({"grayscale": True}, grayscale(photographed)),
        ({"grayscale": "luma"}, grayscale(photographed)),
        ({"grayscale": "green"}, grayscale(photographed, "green")),
    ):
        whole = Lens(green=0.99, vignetting=0.3, **part).apply(FLOAT)
        np.testing.assert_allclose(whole, after, atol=1e-5)


def test_which_steps_commute():
    """What the lesson says about the order: exact, nearly, and not at all."""
    smooth = ndimage.gaussian_filter(0.1 + 0.6 * FLOAT, (1, 1, 0)).astype(np.float32)
    magnified = Lens(red=1.004, green=0.996)
    distorted = Lens(distortion=-0.05)
    blurred = Lens(blur=(2.0, 0.5, 1.5))
    vignetted = Lens(vignetting=0.3)
    pale = Lens(saturation=0.5)

    def apart(a, b):
        return 255 * np.abs(a.apply(b.apply(smooth)) - b.apply(a.apply(smooth))).mean()

    assert apart(vignetted, pale) < 1e-3  # one factor for all channels
    assert apart(distorted, pale) < 1e-2  # one displacement for all channels
    assert apart(vignetted, blurred) < 0.02  # vignetting hardly changes within a blur
    assert apart(magnified, blurred) < 0.05
    assert apart(magnified, pale) > 0.5  # channels are mixed before or after they have moved
    assert apart(blurred, pale) > 0.05
    assert apart(magnified, vignetted) > 0.05  # displacement after darkening moves the darkness too


def test_noise_comes_after_vignetting():
    """Darkening after the noise would darken the noise, too."""
    flat = np.full((200, 300, 3), 0.6, np.float32)
    corner = radius(flat.shape) > 0.9
    seen = Lens(vignetting=0.5, noise=0.03).apply(flat, 0)
    early = Lens(vignetting=0.5).apply(Lens(noise=0.03).apply(flat, 0))
    level = falloff(radius(flat.shape), 0.5)[corner].mean() * 0.6
    assert (seen - Lens(vignetting=0.5).apply(flat))[corner].std() == pytest.approx(
        np.hypot(0.03 * np.sqrt(level), 0.0075), rel=0.03
    )
    assert (early - Lens(vignetting=0.5).apply(flat))[corner].std() < 0.016


# ── noise ───────────────────────────────────────────────────────────────────────────────────────


def test_noise_needs_a_seed_and_repeats_with_it():
    lens = Lens(noise=0.03)
    with pytest.raises(UsageError, match="needs a seed: pass rng=0"):
        lens.apply(PHOTO)
    with pytest.raises(UsageError, match="needs a seed"):
        lens.patches(PHOTO, [[0, 0]])
    np.testing.assert_array_equal(lens.apply(PHOTO, 5), lens.apply(PHOTO, 5))
    np.testing.assert_array_equal(lens.apply(PHOTO, 5), lens.apply(PHOTO, np.random.default_rng(5)))
    assert np.any(lens.apply(PHOTO, 5) != lens.apply(PHOTO, 6))
    rng = np.random.default_rng(5)
    assert np.any(lens.apply(PHOTO, rng) != lens.apply(PHOTO, rng))


def test_noise_does_not_depend_on_the_number_of_threads():
    lens = Lens(noise=0.03, green=0.99)
    large = np.tile(PHOTO, (3, 3, 1))
    before = cv2.getNumThreads()
    seen = []
    try:
        for threads in (1, 2, 3):
            cv2.setNumThreads(threads)
            seen.append(lens.apply(large, 0))
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])


def test_noise_has_the_stated_strength():
    flat = np.full((300, 300, 3), 0.5, np.float32)
    seen = Lens(noise=0.04).apply(flat, 0)
    assert seen.std() == pytest.approx(np.hypot(0.04 * np.sqrt(0.5), 0.01), rel=0.02)
    patches = Lens(noise=0.04).patches(flat, [[0, 0], [50, 60]], rng=0)
    assert patches.std() == pytest.approx(seen.std(), rel=0.03)
    assert np.abs(np.corrcoef(patches[0].ravel(), patches[1].ravel())[0, 1]) < 0.03


# ── patches ─────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lens=lenses(),
    size=st.sampled_from([1, 7, 32, 96]),
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from([np.uint8, np.float32]),
)
def test_patches_are_cut_from_the_whole_picture(lens, size, seed, dtype):
    picture = PHOTO if dtype == np.uint8 else FLOAT
    height, width = picture.shape[:2]
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, [width - size + 1, height - size + 1], (5, 2))
    corners[0] = 0, 0
    corners[1] = width - size, height - size
    patches = lens.patches(picture, corners, size)
    assert patches.shape == (5, size, size, 3)
    assert patches.dtype == picture.dtype
    whole = lens.apply(picture)
    cut = np.stack([whole[y : y + size, x : x + size] for x, y in corners])
    largest, mean = difference(patches, cut)
    assert mean <= 0.1
    assert largest <= 1.01


def test_many_patches_and_none():
    lens = Lens(green=0.99, blur=(1, 1, 1), distortion=-0.05)
    rng = np.random.default_rng(0)
    corners = rng.integers(0, [384 - 32, 256 - 32], (500, 2))
    whole = lens.apply(PHOTO)
    cut = np.stack([whole[y : y + 32, x : x + 32] for x, y in corners])
    assert difference(lens.patches(PHOTO, corners, 32), cut)[0] <= 1
    assert lens.patches(PHOTO, [], 32).shape == (0, 32, 32, 3)
    perfect = Lens().patches(PHOTO, corners[:3], 32)
    x, y = corners[2]
    np.testing.assert_array_equal(perfect[2], PHOTO[y : y + 32, x : x + 32])


@pytest.mark.parametrize(
    "corners, message",
    [
        (
            [[289, 0]],
            r"leaves the picture of 384×256: choose corners from \(0, 0\) to \(288, 160\)",
        ),
        ([[-1, 0]], "leaves the picture"),
        ([[0.5, 1.0]], "whole pixels"),
        ([1, 2], r"\(n, 2\) array"),
    ],
)
def test_wrong_corners(corners, message):
    with pytest.raises(UsageError, match=message):
        Lens(green=0.99).patches(PHOTO, corners)


# ── wrong use ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "picture, message",
    [
        (PHOTO.astype(np.float64), "uint8 or float32 in .0, 1.; this picture is float64"),
        (PHOTO.astype(np.uint16), "uint16"),
        (PHOTO.astype(np.float32), "values in .0, 1.; this picture has 0 to 255"),
        (np.full((4, 4, 3), np.nan, np.float32), "nan"),
        (PHOTO[..., 0], r"height × width × 3; this is shape \(256, 384\)"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \(4, 4, 4\)"),
        (np.zeros((1, 1, 3), np.uint8), "2 to 32766 pixels a side; this one is 1×1"),
        (np.zeros((1, 50, 3), np.uint8), "50×1"),
        ([[1, 2, 3]], "list"),
    ],
)
def test_wrong_pictures(picture, message):
    for lens in (Lens(), Lens(green=0.99)):
        with pytest.raises(UsageError, match=message):
            lens.apply(picture)
        with pytest.raises(UsageError, match=message):
            lens.patches(picture, [[0, 0]], 1)


@pytest.mark.parametrize(
    "settings_, message",
    [
        ({"green": 0}, "green = 0 is outside 0.5 to 2"),
        ({"red": float("nan")}, "red = nan"),
        ({"blur": (1, 2)}, "not 3 numbers"),
        ({"blur": 1.0}, "not 3 numbers"),
        ({"blur": (0, 0, -1)}, "blur = -1"),
        ({"vignetting": 1.5}, "vignetting = 1.5 is outside 0 to 1"),
        ({"vignetting": "strong"}, "vignetting = strong"),
        ({"center": (0.5, 1.2)}, "center = 1.2"),
        ({"center": (1, 2, 3)}, "not 2 numbers"),
        ({"distortion": -0.5}, "distortion = -0.5"),
        ({"noise": -1}, "noise = -1"),
        ({"kernel": "box"}, "'box' is unknown: choose one of linear, cubic"),
        ({"grayscale": "red"}, "grayscale = 'red'"),
    ],
)
def test_wrong_settings(settings_, message):
    with pytest.raises(UsageError, match=message):
        Lens(**settings_)


def test_lens_is_a_value():
    lens = Lens(green=0.996, blur=[1, 2, 3])
    assert lens == Lens(green=0.996, blur=(1.0, 2.0, 3.0))
    assert len({lens, Lens(green=0.996, blur=(1, 2, 3)), Lens()}) == 2
    with pytest.raises(AttributeError):
        lens.green = 1.0
