import numpy as np
import pytest
import scipy.stats

from course_lib import photos
from course_lib.errors import UsageError
from course_lib.leaves import (
    channel_correlation,
    dead_leaves,
    leaf_colors,
    leaf_count,
    leaf_outlines,
    leaf_radii,
    power_spectrum,
    spectral_slope,
)
from course_lib.photos import resize_to

UPPER = np.triu_indices(3, 1)


@pytest.fixture(scope="module")
def leaves():
    return [dead_leaves(256, seed) for seed in range(40)]


@pytest.fixture(scope="module")
def real():
    return [picture for _, picture in photos.embedded().pictures()]


def slopes(pictures):
    return [spectral_slope(*power_spectrum(picture)) for picture in pictures]


# --- sizes


def test_radii_follow_the_inverse_cube_law():
    rmin, rmax = 2.0, 128.0
    radii = leaf_radii(np.random.default_rng(0), 20_000, rmin, rmax)

    def share_below(r):
        return (rmin**-2 - r**-2) / (rmin**-2 - rmax**-2)

    assert scipy.stats.kstest(radii, share_below).pvalue > 0.01
    assert radii.min() >= rmin
    assert radii.max() <= rmax


def test_another_law_would_be_noticed():
    radii = leaf_radii(np.random.default_rng(0), 20_000, 2, 128)
    wrong = scipy.stats.kstest(radii, lambda r: (2**-1 - r**-1.0) / (2**-1 - 128**-1.0))
    assert wrong.pvalue < 1e-6


def test_every_leaf_has_the_area_of_its_radius():
    """Whatever its shape: the shoelace formula on the outlines, on a grid twice as fine."""
    rng = np.random.default_rng(1)
    radii = rng.uniform(10, 60, 300)
    outlines = leaf_outlines(rng, rng.uniform(-50, 300, (300, 2)), radii) / 16 / 2
    x, y = outlines[..., 0], outlines[..., 1]
    areas = 0.5 * np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(1))
    assert areas == pytest.approx(np.pi * radii**2, rel=0.02)


def test_leaves_are_convex_and_lie_where_they_should():
    rng = np.random.default_rng(2)
    centers = rng.uniform(0, 300, (200, 2))
    outlines = leaf_outlines(rng, centers, np.full(200, 40.0)).astype(float)
    edges = np.roll(outlines, -1, 1) - outlines
    following = np.roll(edges, -1, 1)
    turn = edges[..., 0] * following[..., 1] - edges[..., 1] * following[..., 0]
    # Rounding to 1/16 pixel bends a straight side: its ends move by one unit across it at most.
    slack = 2 * (np.hypot(*edges.T) + np.hypot(*following.T)).T
    assert (np.sign(turn.sum(1))[:, None] * turn >= -slack).all()
    assert np.abs((outlines.mean(1) / 16 + 0.5) / 2 - centers).max() < 0.1


def test_leaves_lie_as_deep_as_asked():
    """The summed area of all leaves, over the area they are scattered on."""
    rng = np.random.default_rng(3)
    number = leaf_count(256, 256, 2, 64, cover=4)
    radii = leaf_radii(rng, number, 2, 64)
    assert np.pi * (radii**2).sum() / (256 + 2 * 64) ** 2 == pytest.approx(4, rel=0.1)


# --- pictures


def test_a_seed_gives_one_picture_and_another_seed_another():
    first = dead_leaves(128, 7)
    assert np.array_equal(first, dead_leaves(128, 7))
    assert np.array_equal(first, dead_leaves(128, np.random.default_rng(7)))
    assert not np.array_equal(first, dead_leaves(128, 8))
    rng = np.random.default_rng(7)
    assert not np.array_equal(dead_leaves(128, rng), dead_leaves(128, rng))


@pytest.mark.parametrize("size", [1, 31, 96, (64, 200), (201, 97)])
def test_any_size(size):
    picture = dead_leaves(size, 0)
    assert picture.shape == ((size, size, 3) if isinstance(size, int) else (*size, 3))
    assert picture.dtype == np.uint8


def test_no_band_shows():
    """Pictures are painted in bands of rows; a row at a border is no special row."""
    steps = np.mean(
        [np.abs(np.diff(dead_leaves(256, s).astype(int), axis=0)).mean((1, 2)) for s in range(30)],
        axis=0,
    )
    borders = np.arange(31, 255, 32)
    others = np.delete(steps, borders)
    assert abs(steps[borders].mean() - others.mean()) < 4 * others.std() / np.sqrt(len(borders))


def test_leaves_hide_what_lies_below():
    """One huge leaf on top leaves a single colour, however many lie under it."""
    flat = [np.ptp(dead_leaves(64, s, rmin=400, rmax=401).reshape(-1, 3), axis=0) for s in range(5)]
    busy = np.ptp(dead_leaves(64, 0).reshape(-1, 3), axis=0)
    assert np.median(np.max(flat, axis=1)) < busy.min()


def test_edges_are_soft():
    """Between two flat leaves there are pixels of intermediate colour, as through any lens."""
    steps = []
    for seed in range(20):
        gray = dead_leaves(128, seed, rmin=20, rmax=40).mean(2)
        across = np.diff(gray, axis=1)
        pairs = across[:, :-1] + across[:, 1:]  # change over two pixels
        strong = np.abs(pairs) > 60
        steps.append((np.abs(across[:, :-1])[strong] / np.abs(pairs[strong])).ravel())
    share = np.concatenate(steps)
    partly = np.mean((share > 0.15) & (share < 0.85))
    assert partly > 0.25, "hard edges would make every step all or nothing"


def test_the_statistics_are_the_same_everywhere(leaves):
    """No vignetting, no privileged place: corners are as bright and as busy as the middle."""
    stack = np.stack(leaves).astype(float).mean(3)
    corner = np.concatenate([stack[:, :64, :64], stack[:, -64:, -64:]]).mean((1, 2))
    middle = stack[:, 96:160, 96:160].mean((1, 2))
    gap = corner.mean() - middle.mean()
    assert abs(gap) < 4 * np.hypot(corner.std() / np.sqrt(80), middle.std() / np.sqrt(40))


@pytest.mark.parametrize(
    "arguments",
    [{"rmin": 0}, {"rmin": 9, "rmax": 5}, {"cover": -1}, {"size": 0}, {"size": (10, -1)}],
)
def test_impossible_leaves_are_refused(arguments):
    with pytest.raises(UsageError, match="impossible"):
        dead_leaves(**{"size": 32, "rng": 0, **arguments})


# --- statistics against photographs


def test_power_falls_about_as_the_square_of_frequency(leaves):
    found = slopes(leaves)
    assert -2.5 < np.median(found) < -2.0
    assert np.std(found) < 0.3


def test_leaves_fall_as_photographs_do(leaves, real):
    assert abs(np.median(slopes(leaves)) - np.median(slopes(real))) < 0.6


def test_channels_are_correlated_as_in_photographs(leaves, real):
    found = np.median([channel_correlation(p)[UPPER] for p in leaves], axis=0)
    red_green, red_blue, green_blue = found
    assert red_green == pytest.approx(0.96, abs=0.03)
    assert green_blue == pytest.approx(0.96, abs=0.03)
    assert red_blue == pytest.approx(0.90, abs=0.05)
    assert red_blue < min(red_green, green_blue), (
        "red and blue lie farthest apart, as in photographs"
    )
    photographed = np.array([channel_correlation(p)[UPPER] for p in real])
    assert (found < photographed.max(0)).all()
    assert (found > photographed.min(0)).all()


def test_luminance_varies_more_than_warmth_and_that_more_than_green(leaves, real):
    def spread(pictures):
        axes = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
        return np.median([(p.reshape(-1, 3) / 255 @ axes.T).std(0) for p in pictures], axis=0)

    ours, theirs = spread(leaves), spread(real)
    for luminance, warmth, green in (ours, theirs):
        assert luminance > 2.5 * warmth
        assert warmth > 1.5 * green
    assert ours[0] == pytest.approx(theirs[0], rel=0.35)


def test_leaf_colours_are_colours():
    colors = leaf_colors(np.random.default_rng(0), np.random.default_rng(1).random((500, 2)))
    assert colors.dtype == np.float32
    assert colors.shape == (500, 3)
    assert colors.min() >= 0
    assert colors.max() <= 1


# --- the measures themselves


def test_the_slope_of_known_noise_is_found():
    rng = np.random.default_rng(0)
    fy, fx = np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)
    radius = np.maximum(np.hypot(fy, fx), 1 / 256)
    for slope in (-3.0, -2.0, -1.0, 0.0):
        found = []
        for _ in range(12):
            white = np.fft.rfft2(rng.standard_normal((256, 256)))
            noise = np.fft.irfft2(white * radius ** (slope / 2), s=(256, 256))
            picture = np.repeat(noise[..., None], 3, axis=2)
            found.append(spectral_slope(*power_spectrum(picture)))
        assert np.mean(found) == pytest.approx(slope, abs=0.1)


def test_a_wave_is_found_at_its_frequency():
    y, x = np.mgrid[:120, :200]
    for angle in (0.0, 0.7, np.pi / 2):
        wave = 0.5 + 0.3 * np.sin(2 * np.pi * 0.2 * (x * np.cos(angle) + y * np.sin(angle)))
        frequencies, power = power_spectrum(np.repeat(wave[..., None], 3, axis=2))
        assert frequencies[power.argmax()] == pytest.approx(0.2, abs=1 / 120)


def test_spectra_have_rising_finite_frequencies_and_ignore_dtype_and_brightness(real):
    picture = resize_to(real[0], 256)
    frequencies, power = power_spectrum(picture)
    assert (np.diff(frequencies) > 0).all()
    assert 0 < frequencies[0] < frequencies[-1] < 0.5
    assert len(frequencies) == len(power) == min(picture.shape[:2]) // 2 - 1
    assert np.isfinite(power).all()
    assert power_spectrum(picture / 255)[1] == pytest.approx(power)
    assert power_spectrum(picture / 255 + 0.2)[1] == pytest.approx(power, rel=1e-4)


def test_white_noise_has_its_variance_at_every_frequency():
    noise = np.random.default_rng(0).normal(0, 0.1, (256, 256, 1)).repeat(3, axis=2)
    assert power_spectrum(noise)[1].mean() == pytest.approx(0.01, rel=0.05)


def test_correlation_of_known_channels():
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(2, 300, 300))
    picture = np.stack([shared, shared, 0.6 * shared + 0.8 * own], axis=2)
    expected = [[1, 1, 0.6], [1, 1, 0.6], [0.6, 0.6, 1]]
    assert channel_correlation(picture) == pytest.approx(np.array(expected), abs=0.01)
