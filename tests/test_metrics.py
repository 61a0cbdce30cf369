import cv2
import numpy as np
import pytest
import scipy.stats
from skimage.metrics import peak_signal_noise_ratio
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from course_lib import metrics, photos
from course_lib.errors import UsageError
from course_lib.geometry import Box
from course_lib.metrics import Estimate, bootstrap


@pytest.fixture(scope="module")
def pair():
    picture = photos.embedded().named("coffee").read()
    noise = np.random.default_rng(0).normal(0, 12, picture.shape)
    return picture, np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_psnr_agrees_with_scikit_image(pair):
    assert metrics.psnr(*pair) == pytest.approx(peak_signal_noise_ratio(*pair))
    floats = [(p / 255).astype(np.float32) for p in pair]
    assert metrics.psnr(*floats) == pytest.approx(metrics.psnr(*pair), abs=1e-3)


def test_psnr_of_one_gray_level_is_known():
    a = np.zeros((8, 8, 3), np.uint8)
    assert metrics.psnr(a, a + 1) == pytest.approx(20 * np.log10(255))
    assert metrics.psnr(a + 1, a) == metrics.psnr(a, a + 1), "unsigned integers must not wrap"


def test_equal_pictures(pair):
    assert metrics.psnr(pair[0], pair[0]) == np.inf
    assert metrics.ssim(pair[0], pair[0]) == pytest.approx(1)


def test_ssim_is_the_one_of_the_paper(pair):
    """Against a direct evaluation of Wang's formula with an 11 × 11 Gaussian window."""
    a, b = (p[..., 1].astype(np.float64) for p in pair)

    def mean(x):
        return cv2.GaussianBlur(x, (11, 11), 1.5)[5:-5, 5:-5]

    ma, mb = mean(a), mean(b)
    va, vb, ab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    direct = (2 * ma * mb + c1) * (2 * ab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    assert metrics.ssim(pair[0][..., 1], pair[1][..., 1]) == pytest.approx(direct.mean(), abs=1e-6)
    channels = [metrics.ssim(pair[0][..., c], pair[1][..., c]) for c in range(3)]
    assert metrics.ssim(*pair) == pytest.approx(np.mean(channels))


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.ssim])
def test_pictures_that_cannot_be_compared(measure, pair):
    for other in (pair[0][:-1], pair[0].astype(np.float32)):
        with pytest.raises(UsageError, match="cannot be compared"):
            measure(pair[0], other)
    with pytest.raises(UsageError, match="cannot be compared"):
        measure(pair[0].astype(int), pair[0].astype(int))


def test_ssim_of_tiny_pictures_is_refused():
    with pytest.raises(UsageError, match="11 × 11"):
        metrics.ssim(np.zeros((20, 9, 3), np.uint8), np.zeros((20, 9, 3), np.uint8))


def test_masks_agree_with_scikit_learn():
    rng = np.random.default_rng(1)
    for density in (0.05, 0.5, 0.9):
        a, b = rng.random((2, 30, 40)) < density
        assert metrics.f1(a, b) == pytest.approx(f1_score(b.ravel(), a.ravel()))
        assert metrics.mask_iou(a, b) == pytest.approx(jaccard_score(b.ravel(), a.ravel()))


def test_empty_masks():
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    for measure in (metrics.f1, metrics.mask_iou):
        assert measure(empty, empty) == 1
        assert measure(empty, full) == measure(full, empty) == 0
        assert measure(full, full) == 1


def test_masks_must_be_boolean():
    with pytest.raises(UsageError, match="boolean"):
        metrics.f1(np.ones((3, 3)), np.ones((3, 3), bool))


def test_accuracy_agrees_with_scikit_learn():
    a, b = np.random.default_rng(2).integers(0, 4, (2, 100))
    assert metrics.accuracy(a, b) == accuracy_score(b, a)
    assert metrics.accuracy(["left", "right"], ["left", "top"]) == 0.5
    with pytest.raises(UsageError, match="cannot be compared"):
        metrics.accuracy([], [])


def test_mean_iou_of_boxes():
    half, whole = Box(0, 0, 0.5, 1), Box(0, 0, 1, 1)
    assert metrics.mean_iou([half, whole], [whole, whole]) == 0.75
    with pytest.raises(UsageError, match="equally many"):
        metrics.mean_iou([half], [half, whole])


def test_estimates_print_as_promised():
    assert str(Estimate(28.31, 21.04, 36.58, 35)) == "28.3 [21.0, 36.6] (n = 35)"
    assert f"{Estimate(0.91234, 0.8812, 0.9432, 200)}" == "0.912 [0.881, 0.943] (n = 200)"
    assert f"{Estimate(35.12345, 35.1203, 35.1262, 9)}" == "35.123 [35.120, 35.126] (n = 9)"
    assert f"{Estimate(1234.5, 1100, 1300, 9)}" == "1234 [1100, 1300] (n = 9)"
    assert f"{Estimate(0.91234, 0.8812, 0.9432, 20):.0%}" == "91% [88%, 94%] (n = 20)"
    assert f"{Estimate(0.0, 0.0, 0.0, 5)}" == "0 [0, 0] (n = 5)"
    assert "too few for an interval" in str(bootstrap([3.0]))


def test_the_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(3).exponential(size=80)
    for statistic in (np.mean, np.median):
        ours = bootstrap(values, statistic, rounds=9999)
        theirs = scipy.stats.bootstrap(
            (values,), statistic, method="percentile", n_resamples=9999, rng=0
        ).confidence_interval
        assert ours.value == statistic(values)
        assert ours.low == pytest.approx(theirs.low, abs=0.015)
        assert ours.high == pytest.approx(theirs.high, abs=0.015)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(4).normal(size=30)
    assert bootstrap(values) == bootstrap(list(values))
    assert bootstrap(values) != bootstrap(values, seed=1)
    assert bootstrap(values, level=0.5).high < bootstrap(values, level=0.99).high


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(400):
        estimate = bootstrap(rng.normal(2, 1, 60), rounds=400, seed=trial)
        covered += estimate.low <= 2 <= estimate.high
    assert 0.91 <= covered / 400 <= 0.98


def test_groups_keep_the_promise_where_single_values_break_it():
    """Ten values of each of 40 photographs, most of whose variation is between photographs."""
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(40), 10)
    together = single = 0
    for trial in range(250):
        values = rng.normal(0, 1, 40)[groups] + rng.normal(0, 0.3, 400)
        by_photo = bootstrap(values, groups=groups, rounds=300, seed=trial)
        by_value = bootstrap(values, rounds=300, seed=trial)
        assert (by_photo.n, by_value.n) == (40, 400)
        together += by_photo.low <= 0 <= by_photo.high
        single += by_value.low <= 0 <= by_value.high
    assert 0.89 <= together / 250 <= 0.98
    assert single / 250 < 0.65


def test_groups_of_one_are_single_values():
    values = np.random.default_rng(7).normal(size=25)
    names = [f"photo {i}" for i in range(25)]
    assert bootstrap(values, groups=names) == bootstrap(values)


def test_groups_need_not_be_adjacent_or_equal_in_size():
    values = np.array([0.0, 1, 0, 1, 0])
    estimate = bootstrap(values, groups=["a", "b", "a", "b", "a"])
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (0.4, 0, 1, 2)


def test_a_statistic_of_rows():
    rows = np.random.default_rng(8).normal(size=(200, 2))
    rows[:, 1] += rows[:, 0]
    estimate = bootstrap(rows, lambda r: np.corrcoef(r.T)[0, 1])
    assert estimate.low < np.sqrt(0.5) < estimate.high
    assert estimate.n == 200


def test_infinite_values_survive():
    """Equal pictures have an infinite PSNR."""
    estimate = bootstrap([30.0, np.inf, np.inf, 31.0, 32.0, np.inf], np.median)
    assert estimate.low >= 30
    assert estimate.high == np.inf
    assert bootstrap([np.inf] * 5) == Estimate(np.inf, np.inf, np.inf, 5)
    assert str(bootstrap([np.inf] * 5)) == "inf [inf, inf] (n = 5)"


def test_a_single_photo_gives_no_interval():
    estimate = bootstrap([1.0, 2.0, 3.0], groups=["same"] * 3)
    assert estimate.value == 2
    assert np.isnan(estimate.low)
    assert estimate.n == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"values": []}, "at least one value"),
        ({"values": 3.0}, "at least one value"),
        ({"values": [1.0, np.nan]}, "NaN"),
        ({"values": [1.0, 2.0], "groups": ["a"]}, "1 groups do not match 2 values"),
        ({"values": [1.0, 2.0], "level": 95}, "level"),
        ({"values": [1.0, 2.0], "rounds": 0}, "rounds"),
    ],
)
def test_bad_input_is_refused(arguments, problem):
    with pytest.raises(UsageError, match=problem):
        bootstrap(**arguments)
