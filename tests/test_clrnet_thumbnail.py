import cv2
import numpy as np
import pytest
from scipy.integrate import quad

from course_lib.attacks.codec import through_jpeg
from course_lib.clrnet import decoder as dec
from course_lib.clrnet import guess as ge
from course_lib.clrnet import plan as pl
from course_lib.clrnet import thumbnail as th
from course_lib.clrnet.coded import Coded
from course_lib.clrnet.frame import put_back, rounded, squared, to_ycc
from course_lib.errors import UsageError
from course_lib.geometry import Box, crop
from course_lib.metrics import psnr, ssim
from course_lib.photos import embedded, middle_square

SMALL = pl.Plan(key=5, side=32)
PLAN = pl.Plan(key=1)
BOX = Box.from_pixels(11, 5, 118, 112, (128, 128))
"""70 % of the area, in step with no grid of blocks."""


@pytest.fixture(scope="module")
def photos():
    """Middle squares of the embedded photographs at 128 × 128."""
    return [rounded(squared(middle_square(photo.read()), 128)) for photo in embedded()]


@pytest.fixture(scope="module")
def protected(photos):
    return [rounded(th.protect(photo.astype(np.float32), PLAN)) for photo in photos]


def lost_psnr(a, b, box=BOX):
    left, top, right, bottom = box.to_pixels(a.shape)
    lost = np.ones(a.shape[:2], bool)
    lost[top:bottom, left:right] = False
    return 10 * np.log10(255**2 / ((a[lost].astype(float) - b[lost]) ** 2).mean())


def inpainted(seen, box=BOX):
    canvas, (left, top, right, bottom) = put_back(seen, box, 128)
    lost = np.full((128, 128), 255, np.uint8)
    lost[top:bottom, left:right] = 0
    return cv2.inpaint(rounded(canvas), lost, 3, cv2.INPAINT_TELEA)


def recovered(seen, plan=PLAN, box=BOX):
    return dec.recover(*put_back(seen, box, 128), plan)


def test_the_mixing_is_one_keyed_matrix_as_good_as_a_gaussian_one():
    mixing = pl.Mixing(60, 90, np.random.default_rng(0))
    matrix = np.stack([mixing @ unit for unit in np.eye(90)], axis=1)
    other = np.stack([mixing.transposed(unit) for unit in np.eye(60)], axis=1)
    assert np.allclose(matrix.T, other)
    assert matrix.var() == pytest.approx(1, abs=0.05) and abs(matrix.mean()) < 0.05
    assert np.abs(matrix @ matrix.T / 90 - np.eye(60)).max() < 0.01  # better: rows are orthogonal
    again = pl.Mixing(60, 90, np.random.default_rng(1)) @ np.eye(90)[0]
    assert abs(np.corrcoef(again, matrix[:, 0])[0, 1]) < 0.5


def test_the_thumbnail_is_what_opencv_transforms_too(photos):
    ycc = to_ycc(photos[0])
    cells = pl.thumbnail(ycc, PLAN)
    block = cv2.dct(np.ascontiguousarray(ycc[16:24, 40:48, 0]))
    mine = {
        f: cells[n, 2 * 16 + 5]
        for n, (c, *f) in enumerate(PLAN.thumbnail)
        if c == 0
        for f in [tuple(f)]
    }
    assert len(mine) == 6
    for (i, j), value in mine.items():
        assert value == pytest.approx(block[i, j], abs=1e-2)
    assert np.allclose(pl.thumbnail(pl.enlarged(cells, PLAN), PLAN), cells, atol=1e-2)


def test_thumbnail_and_code_share_no_frequency():
    low = {(i, j) for c, i, j in PLAN.thumbnail if c == 0}
    assert not low & set(PLAN.carriers) and len(PLAN.carriers) == 10


def test_embedding_says_the_fraction_and_moves_no_farther_than_half_a_step():
    rng = np.random.default_rng(0)
    values, fractions, step = (
        rng.normal(0, 50, 5000),
        rng.normal(0, 9, 5000),
        rng.uniform(5, 50, 5000),
    )
    moved = th.embedded(values, fractions, step)
    off = (moved / step - fractions + 0.5) % 1 - 0.5
    assert np.abs(off).max() < 1e-9
    share = (moved - values) / step
    assert np.abs(share).max() <= 0.5 + 1e-9
    assert share.var() == pytest.approx(1 / 12, rel=0.05)


def test_the_finder_reads_the_steps_of_the_hider(photos, protected):
    for photo, marked in zip(photos, protected, strict=True):
        cells = th.distinct(pl.thumbnail(to_ycc(photo), PLAN), PLAN)
        mine = th.steps(cells, PLAN)
        assert len(np.unique(mine)) > 2
        assert (th.steps(pl.thumbnail(to_ycc(marked), PLAN), PLAN) != mine).mean() < 0.02
        jpeg = through_jpeg(marked, 70, True)
        assert (th.steps(pl.thumbnail(to_ycc(jpeg), PLAN), PLAN) != mine).mean() < 0.06


def test_steps_are_kept_apart():
    cells = np.zeros((len(PLAN.thumbnail), 256))
    cells[1] = np.geomspace(1, 400, 256)
    apart = np.abs((th.level(th.distinct(cells, PLAN), PLAN) % 1) - 0.5)
    below = th.level(cells, PLAN) < np.log2(PLAN.largest) + 0.4
    assert apart[below & (cells[1] > 20)].min() > 0.11
    assert np.allclose(th.distinct(cells, PLAN), cells, rtol=0.1, atol=8)


@pytest.mark.parametrize("spread, noise", [(0.002, 0.001), (0.05, 0.01), (0.3, 0.003), (2.0, 0.02)])
def test_unwrapping_agrees_with_numerical_integration(spread, noise):
    for fraction, expected in ((0.3, 0.1), (0.95, 0.2), (0.5, 2.02)):

        def density(z, power, fraction=fraction, expected=expected):
            away = fraction - z - np.arange(-8, 9) - np.rint(fraction - expected)
            likelihood = (np.exp(-0.5 * away**2 / noise) / np.sqrt(2 * np.pi * noise)).sum()
            likelihood = dec.WRONG + (1 - dec.WRONG) * likelihood
            before = np.exp(-0.5 * (z - expected) ** 2 / spread) / np.sqrt(2 * np.pi * spread)
            return likelihood * before * (z - expected) ** power

        if spread > 0.3:  # wider than the periods that are considered
            continue
        reach = 7 * np.sqrt(spread)
        moments = [
            quad(density, expected - reach, expected + reach, (power,), limit=400, epsabs=1e-11)[0]
            for power in range(3)
        ]
        shift, variance, _, likelihood = (
            one[0]
            for one in dec.unwrapped(*(np.array([x]) for x in (fraction, expected, spread, noise)))
        )
        assert likelihood == pytest.approx(moments[0], rel=2e-3)
        mean = moments[1] / moments[0]
        assert shift == pytest.approx(mean, abs=2e-3)
        assert variance == pytest.approx(moments[2] / moments[0] - mean**2, rel=0.02, abs=1e-4)


def test_a_wide_guess_learns_nothing_from_a_fraction():
    shift, variance, _, likelihood = dec.unwrapped(
        np.array([0.4]), np.array([0.1]), np.array([1.0]), np.array([0.001])
    )
    assert likelihood[0] == pytest.approx(1, abs=0.05)
    assert abs(shift[0]) < 0.25 and variance[0] > 0.6


def test_kinds_of_blocks_agree_with_numerical_integration():
    odds, noise, power = np.full(len(dec.MIXTURE), 0.2), 3.0, 40.0

    def density(x, seen, weight):
        powers = dec.MIXTURE * power
        before = (odds * np.exp(-0.5 * x**2 / powers) / np.sqrt(2 * np.pi * powers)).sum()
        return before * np.exp(-0.5 * (seen - x) ** 2 / noise) * x**weight

    for seen in (0.5, 4.0, 25.0):
        sums = [quad(density, -60, 80, (seen, w), limit=400, points=[0, seen])[0] for w in range(3)]
        shift, rest, _ = dec.by_kind(np.array([[seen]]), np.array([[power]]), noise, odds)
        assert shift[0, 0] == pytest.approx(sums[1] / sums[0], rel=1e-3)
        assert rest == pytest.approx(sums[2] / sums[0] - (sums[1] / sums[0]) ** 2, rel=1e-2)


def test_the_guess_is_the_gaussian_one_over_all_pixels_at_once():
    visible = left, top, right, bottom = 5, 0, 27, 21
    rng = np.random.default_rng(0)
    ycc = rng.normal(0, 20, (32, 32, 3))
    place = np.arange(32)
    one = np.exp(-np.abs(place[:, None] - place) / (ge.REACH * 32))
    noisy = one + ge.NUGGET * np.eye(32)
    seen = np.zeros((32, 32), bool)
    seen[top:bottom, left:right] = True
    seen = seen.ravel()
    weights = np.linalg.solve(np.kron(noisy, noisy)[seen][:, seen], np.kron(one, one)[seen])
    found = ge.expected(ycc, visible, SMALL)
    lost = ~pl.seen_blocks(visible, SMALL)
    for channel in range(3):
        pixels = ycc[..., channel].ravel()[seen]
        guess = np.zeros((32, 32, 3))
        guess[..., channel] = ((pixels - pixels.mean()) @ weights + pixels.mean()).reshape(32, 32)
        cells = pl.thumbnail(guess, SMALL)
        for n, (c, *_) in enumerate(SMALL.thumbnail):
            if c == channel:
                assert np.allclose(found[n, lost], cells[n, lost], atol=1e-6)


def test_uncertainty_of_block_means_is_the_gaussian_one():
    visible = left, top, right, bottom = 5, 0, 27, 21
    ycc = np.random.default_rng(0).normal(0, 20, (32, 32, 3))
    place = np.arange(32)
    one = np.exp(-np.abs(place[:, None] - place) / (ge.REACH * 32))
    noisy = one + ge.NUGGET * np.eye(32)
    seen = np.zeros((32, 32), bool)
    seen[top:bottom, left:right] = True
    seen = seen.ravel()
    both = np.kron(one, one)
    left_over = both - both[:, seen] @ np.linalg.solve(
        np.kron(noisy, noisy)[seen][:, seen], both[seen]
    )
    means = np.kron(np.kron(np.eye(4), np.ones(8)), np.kron(np.eye(4), np.ones(8))) / 8
    lost = ~pl.seen_blocks(visible, SMALL)
    wanted = (means @ left_over @ means.T)[np.ix_(lost, lost)]
    prior = ge.prior(ycc, visible, SMALL)
    mine = prior.waves[0] * prior.powers[0] @ prior.waves[0].T
    factor = 1.3 * ycc[top:bottom, left:right, 0].var() + 1
    assert np.allclose(mine / factor, wanted, atol=1e-4)


def test_message_passing_agrees_with_the_exact_linear_solution(photos, protected, monkeypatch):
    """Without wraps and with a Gaussian prior the answer is known in closed form."""
    monkeypatch.setattr(dec, "MIXTURE", np.array([1.0]))
    monkeypatch.setattr(dec, "WRONG", 1e-9)
    visible = BOX.to_pixels((128, 128))
    canvas, _ = put_back(crop(protected[0], BOX), BOX, 128)
    decoder = dec.Decoder(to_ycc(canvas), visible, PLAN)
    lost, prior = ~decoder.whole, decoder.prior
    means = decoder.means
    rng = np.random.default_rng(0)
    count = lost.sum()
    covariance = np.zeros((len(prior.mean), count, len(prior.mean), count))
    truth = prior.mean.copy()
    for n in range(len(prior.mean)):
        if n in means:
            wave, power = prior.waves[means.index(n)], prior.powers[means.index(n)]
        else:
            wave, power = np.eye(count), prior.variance[n]
        covariance[n, :, n, :] = wave * power @ wave.T
        truth[n] += wave @ (np.sqrt(power) * rng.standard_normal(count))
    covariance = covariance.reshape(truth.size, truth.size)
    unit = 20 * np.sqrt(prior.variance.sum())  # 0.05 periods: far from wrapping
    deviation = 0.01
    decoder.noise = np.full(len(decoder.fractions), deviation**2)
    rows = decoder.mixed(truth, lost=True) / unit
    noisy = rows + deviation * rng.standard_normal(len(rows))
    seen = decoder.mixed(decoder.cells[:, decoder.whole], lost=False) / unit
    decoder.fractions = (noisy + seen) % 1
    decoded = decoder.decode(unit, 60)
    matrix = np.stack(
        [decoder.mixed(one.reshape(truth.shape), lost=True) / unit for one in np.eye(truth.size)],
        axis=1,
    )
    information = np.linalg.inv(covariance) + matrix.T @ matrix / deviation**2
    right = matrix.T @ (noisy - matrix @ prior.mean.ravel()) / deviation**2
    exact = prior.mean.ravel() + np.linalg.solve(information, right)
    mine = decoded.cells[:, lost].ravel()
    assert decoded.noise == pytest.approx(1, abs=0.15)
    error, best = ((mine - truth.ravel()) ** 2).sum(), ((exact - truth.ravel()) ** 2).sum()
    assert error < 1.15 * best < 0.5 * ((prior.mean - truth) ** 2).sum()
    assert ((mine - exact) ** 2).sum() < 0.15 * best
    assert decoded.uncertain == pytest.approx(best, rel=0.3)


def test_protection_is_faint(photos, protected):
    quality = [psnr(a, b) for a, b in zip(photos, protected, strict=True)]
    likeness = [ssim(a, b) for a, b in zip(photos, protected, strict=True)]
    assert np.mean(quality) > 35 and np.mean(likeness) > 0.96


@pytest.mark.parametrize("attack, gain", [(None, 6.0), (70, 4.0)])
def test_what_was_cut_away_comes_back(photos, protected, attack, gain):
    mine, guessed, honest = [], [], []
    for photo, marked in zip(photos, protected, strict=True):
        seen = crop(marked, BOX)
        seen = seen if attack is None else through_jpeg(seen, attack, True)
        found = recovered(seen)
        left, top, right, bottom = BOX.to_pixels(photo.shape)
        assert np.array_equal(found.picture[top:bottom, left:right], seen)
        assert found.decoded.learned
        mine.append(lost_psnr(rounded(found.picture), photo))
        guessed.append(lost_psnr(inpainted(seen), photo))
        honest.append(found.error / (255 / 10 ** (mine[-1] / 20)))
    assert np.mean(mine) > np.mean(guessed) + gain
    assert 0.5 < np.exp(np.mean(np.log(honest))) < 2


def test_it_is_hidden_information_and_needs_the_key(photos, protected):
    plain = recovered(crop(photos[0], BOX))
    stranger = recovered(crop(protected[0], BOX), pl.Plan(key=2))
    mine = recovered(crop(protected[0], BOX))
    assert not plain.decoded.learned and not stranger.decoded.learned and mine.decoded.learned
    for other in (plain, stranger):
        assert lost_psnr(rounded(mine.picture), photos[0]) > 3 + lost_psnr(
            rounded(other.picture), photos[0]
        )


def test_a_stretched_crop_comes_back_as_well(photos, protected):
    system = Coded(key=1)
    for undo in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
        seen = crop(protected[0], BOX)
        stretched = cv2.resize(seen, (150, 131), interpolation=undo)
        straight = lost_psnr(rounded(recovered(seen).picture), photos[0])
        found = system.recover(stretched, BOX)
        assert lost_psnr(rounded(found.picture), photos[0]) > straight - 1


def test_pictures_of_other_sizes_are_protected_and_recovered():
    photo = embedded()[0].read()
    system = Coded(key=3)
    marked = system.protect(photo)
    assert marked.shape == photo.shape and marked.dtype == np.uint8 and psnr(photo, marked) > 32
    height, width = photo.shape[:2]
    box = Box.from_pixels(round(0.1 * width), 3, width - 7, round(0.88 * height), photo.shape)
    found = system.locate(crop(marked, box))
    assert found.said == "cropped" and found.learned
    assert np.abs(np.array([*found.place.box]) - [*box]).max() < 0.02
    small = squared(photo, 128).astype(float)
    assert lost_psnr(found.recovered, small, box) > 17
    assert np.abs(np.array(found.sized(crop(marked, box).shape).shape) - photo.shape).max() < 20


def test_a_whole_picture_stays_as_it_is(protected):
    found = dec.recover(protected[0].astype(np.float32), (0, 0, 128, 128), PLAN)
    assert np.array_equal(found.picture, protected[0]) and found.error == 0


def test_bad_input_is_refused(protected):
    with pytest.raises(UsageError, match="multiple of 8"):
        pl.Plan(side=100)
    with pytest.raises(UsageError, match="do not fit"):
        pl.Plan(luma=60, code=10)
    with pytest.raises(UsageError, match="does not fit"):
        dec.recover(protected[0][:64], (0, 0, 64, 64), PLAN)
    with pytest.raises(UsageError, match="no whole block"):
        dec.recover(protected[0], (3, 3, 12, 100), PLAN)
