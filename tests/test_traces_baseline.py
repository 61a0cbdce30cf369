"""The closed-form baseline: shifts of one patch, votes, stored trees, pooling over a picture."""

import numpy as np
import pytest

from course_lib.errors import CourseError, PhotoError, UsageError
from course_lib.geometry import FULL, Box, iou
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.photos import Photo
from course_lib.traces.baseline import (
    BLOCK,
    COLUMN,
    FEATURES,
    best_box,
    block_sums,
    common_shift,
    frame_scores,
    fringe_features,
    mirror_features,
    optical_center,
    patch_shifts,
    possible_frames,
    shifts_of,
)
from course_lib.traces.patches import SIMULATED, cut_patches, green_only, upright
from course_lib.traces.votes import (
    Augmentation,
    Measured,
    PatchReader,
    Trees,
    measure,
    photo_zooms,
    relens,
    responses,
    train_perceptron,
    train_trees,
)

LEAVES = [dead_leaves((512, 768), seed) for seed in range(4)]
STRONG = Lens(red=1.002, blue=0.9985)


def photos(count, size=(512, 768)):
    return [Photo(f"leaves {i}", lambda i=i: dead_leaves(size, 50 + i)) for i in range(count)]


@pytest.fixture(scope="module")
def measured():
    return measure(cut_patches(photos(10), 3, anywhere=True, lens=SIMULATED, moved=True))


def shifted_patches(dx, dy, count=12):
    """Patches whose red lies (dx, dy) pixels from green, and blue the other way."""
    import cv2

    made = []
    for i in range(count):
        picture = LEAVES[i % len(LEAVES)].astype(np.float32) / 255
        picture = cv2.GaussianBlur(picture, (0, 0), 1)
        for c, sign in ((0, 1), (2, -1)):
            move = np.array([[1, 0, sign * dx], [0, 1, sign * dy]], np.float64)
            size = picture.shape[1], picture.shape[0]
            picture[..., c] = cv2.warpAffine(
                picture[..., c].copy(), move, size, flags=cv2.INTER_CUBIC, borderMode=4
            )
        x, y = 60 + 50 * i, 40 + 27 * i
        made.append(picture[y : y + 96, x : x + 96].clip(0, 1))
    return np.stack(made)


def test_shifts_are_found_with_sign_and_size():
    features = fringe_features(shifted_patches(0.25, -0.15))
    red, red_error = shifts_of(features, "red")
    blue, _ = shifts_of(features, "blue")
    assert np.median(red, axis=0) == pytest.approx([0.25, -0.15], abs=0.06)
    assert np.median(blue, axis=0) == pytest.approx([-0.25, 0.15], abs=0.06)
    assert (red_error > 0).all()


def test_errors_rank_patches():
    """Patches with larger stated errors are further off."""
    patches = cut_patches(photos(6), 2, lens=STRONG)
    shift, error = shifts_of(fringe_features(patches.patches), "red")
    off = np.abs(shift - 0.002 * patches.positions).mean(axis=1)
    sure = error.mean(axis=1) < np.median(error.mean(axis=1))
    assert off[sure].mean() < off[~sure].mean()


def test_block_sums_agree_with_plain_least_squares():
    """The shift of a single block equals numpy's least squares on the same pixels."""
    import cv2

    patch = shifted_patches(0.2, 0.1, 1)
    sums = block_sums(patch, 2.0)
    blocks = sums.shape[1]
    edge = (96 - blocks * BLOCK) // 2
    rgb = cv2.GaussianBlur(patch[0], (0, 0), 2.0)
    slope_y, slope_x = np.gradient(rgb[..., 1])
    inner = slice(edge, edge + BLOCK)
    columns = [np.ones_like(slope_x), rgb[..., 1], slope_x, slope_y]
    design = np.stack([c[inner, inner].ravel() for c in columns], axis=1).astype(float)
    target = rgb[inner, inner, 0].ravel().astype(float)
    if sums[0, 0, 0, 0, 0] < BLOCK**2:
        pytest.skip("clipped pixels in the first block")
    want = np.linalg.lstsq(design, target, rcond=None)[0][1:]
    block = sums[0, 0, 0]
    got = np.linalg.solve(block[:4, :4], block[:4, 7])[1:]
    assert got == pytest.approx(want, rel=2e-2, abs=2e-3)


def test_joining_blocks_ignores_outliers():
    rng = np.random.default_rng(0)
    shifts = 0.3 + 0.02 * rng.standard_normal((1, 81, 2))
    shifts[0, :12] += 3
    weights = np.tile(np.eye(2) / 0.05**2, (1, 81, 1, 1))
    shift, _, robust = common_shift(shifts, weights)
    assert shift[0] == pytest.approx([0.3, 0.3], abs=0.02)
    assert robust[0, :12].max() < 0.05 < 0.5 < robust[0, 12:].min()


def test_zoom_shows_within_a_patch():
    lens = Lens(red=1.01, blue=0.99)
    patches = cut_patches(photos(3), 1, lens=lens)
    sums = block_sums(patches.patches, 1.5)
    assert np.median(patch_shifts(sums, "red", 1.5).zoom) > 0.002
    assert np.median(patch_shifts(sums, "blue", 1.5).zoom) < -0.002


@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_patches_are_finite(value):
    features = fringe_features(np.full((2, 96, 96, 3), value, np.uint8))
    assert np.isfinite(features).all()
    assert shifts_of(features, "red")[0] == pytest.approx(0, abs=1e-3)


def test_gray_patches_have_no_shift():
    gray = np.stack([green_only(p) for p in cut_patches(photos(1), 1, lens=STRONG).patches])
    assert shifts_of(fringe_features(gray), "blue")[0] == pytest.approx(0, abs=1e-3)


def test_other_patch_sizes_and_types():
    picture = LEAVES[0]
    for side in (36, 48, 64, 128):
        patches = picture[None, :side, :side]
        as_bytes = fringe_features(patches)
        as_floats = fringe_features(patches.astype(np.float32) / 255)
        assert as_bytes.shape == (1, len(FEATURES))
        assert as_floats == pytest.approx(as_bytes, rel=1e-3, abs=1e-3)
    assert fringe_features(picture[None, :96, :96][:0]).shape == (0, len(FEATURES))


@pytest.mark.parametrize(
    "patches",
    [
        np.zeros((96, 96, 3), np.uint8),
        np.zeros((1, 96, 64, 3), np.uint8),
        np.zeros((1, 96, 96), np.uint8),
        np.zeros((1, 24, 24, 3), np.uint8),
        np.zeros((1, 96, 96, 3), np.float64),
    ],
)
def test_other_forms_are_refused(patches):
    with pytest.raises(UsageError, match="Patches are"):
        fringe_features(patches)


def test_mirrored_features_are_those_of_mirrored_patches():
    """No feature's sign is declared wrongly: measured again from mirrored pixels."""
    patches = cut_patches(photos(2), 1, lens=STRONG).patches
    features, cells = fringe_features(patches), np.arange(len(patches)) % 16
    for x, y in ((True, False), (False, True), (True, True)):
        flipped = patches[:, :: -1 if y else 1, :: -1 if x else 1]
        again = fringe_features(np.ascontiguousarray(flipped))
        both = np.full((2, len(patches)), [[x], [y]])
        expected, moved = mirror_features(features, cells, *both)
        scale = np.abs(features).max(axis=0) + 1e-3
        assert (np.abs(again - expected) / scale).max() < 0.02
        row, column = np.divmod(cells, 4)
        assert (moved == 4 * (3 - row if y else row) + (3 - column if x else column)).all()


def test_votes_find_places_and_no_lens_means_chance(measured):
    """Trained on simulated lenses, tested on textures not seen, with and without a lens."""
    reader = PatchReader((train_trees(measured, rounds=15), train_perceptron(measured, epochs=6)))
    unseen = [Photo(f"new {i}", lambda i=i: dead_leaves((512, 768), 900 + i)) for i in range(8)]
    strong = cut_patches(unseen, 4, lens=Lens(red=1.001, blue=1.0015), moved=True)
    votes = reader.votes(fringe_features(strong.patches))
    assert votes.sum(axis=1) == pytest.approx(1)
    assert (votes.argmax(axis=1) == strong.cells).mean() > 0.16
    none = cut_patches(unseen, 4, moved=True)
    votes = reader.votes(fringe_features(none.patches))
    assert abs((votes.argmax(axis=1) == none.cells).mean() - 1 / 16) < 0.04


def test_votes_turn_with_the_patch(measured):
    reader = PatchReader((train_perceptron(measured, epochs=1),))
    features = measured.features[:32]
    every = np.ones(32, bool)
    turned, _ = mirror_features(features, measured.cells[:32], every, ~every)
    straight = reader.votes(features).reshape(-1, 4, 4)
    assert reader.votes(turned).reshape(-1, 4, 4)[:, :, ::-1] == pytest.approx(straight, abs=1e-5)


def test_stored_trees_equal_scikit_learn(measured):
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=8, max_leaf_nodes=9, random_state=0)
    model.fit(measured.features, measured.cells)
    trees = Trees.of_sklearn(model)
    unseen = np.concatenate([measured.features * 1.3, -measured.features[:50]])
    assert trees.scores(unseen) == pytest.approx(model.decision_function(unseen), abs=1e-9)
    # Exactly on a threshold, left and right must not be confused.
    on = measured.features[:50].astype(np.float64).copy()
    inner = trees.feature >= 0
    on[:, trees.feature[inner][0]] = trees.threshold[inner][0]
    assert trees.scores(on) == pytest.approx(model.decision_function(on), abs=1e-9)


def test_another_scikit_learn_is_met_by_an_error():
    with pytest.raises(CourseError, match="keeps its trees elsewhere"):
        Trees.of_sklearn(object())


def test_a_reader_survives_storage(measured, tmp_path):
    from course_lib import checkpoints

    voters = (train_trees(measured, rounds=3), train_perceptron(measured, epochs=1))
    reader = PatchReader(voters, 1.1)
    card = checkpoints.Card.of_this_machine("traces", "fringe")
    path = checkpoints.save(tmp_path, "fringe", reader.tensors(), card)
    again = PatchReader.from_tensors(checkpoints.load(path)[0])
    features = measured.features[:100]
    assert np.array_equal(again.votes(features), reader.votes(features))
    with pytest.raises(CourseError, match="not the arrays"):
        PatchReader.from_tensors({"0.trees.feature": np.zeros(1)})
    with pytest.raises(UsageError, match="Features are"):
        reader.votes(features[:, :5])


def test_training_is_deterministic(measured):
    a, b, other = (train_perceptron(measured, seed, epochs=1) for seed in (0, 0, 1))
    assert np.array_equal(a.w1, b.w1)
    assert not np.array_equal(a.w1, other.w1)
    first, second = (train_trees(measured, 0, rounds=2) for _ in range(2))
    assert np.array_equal(first.threshold, second.threshold)


def test_relensed_features_are_those_of_the_other_lens():
    """Adding a lens to features is like photographing the patches through it."""
    through = cut_patches(photos(6), 2, lens=Lens(red=1.001, blue=0.9995))
    plain = measure(cut_patches(photos(6), 2))
    stretch = np.tile([0.001, -0.0005], (len(plain), 1))
    added = stretch[..., None] * plain.positions[:, None]
    shares = dict.fromkeys(responses(plain, np.zeros((6, 2))), 1.0)
    changed = relens(plain.features, added, stretch, shares)
    seen = fringe_features(through.patches)
    for channel in ("red", "blue"):
        got, want = (shifts_of(f, channel)[0] for f in (changed, seen))
        before = shifts_of(plain.features, channel)[0]
        assert np.median(np.abs(got - want)) < 0.4 * np.median(np.abs(before - want))
    untouched = [c for n, c in COLUMN.items() if n.startswith("green")]
    assert np.array_equal(changed[:, untouched], plain.features[:, untouched])


def test_lens_is_fitted_to_a_photograph():
    zooms = photo_zooms(measure(cut_patches(photos(3), 3, anywhere=True, lens=STRONG)))
    assert np.median(zooms[:, 0]) == pytest.approx(0.002, rel=0.2)
    assert np.median(zooms[:, 1]) == pytest.approx(-0.0015, rel=0.2)


def test_varied_patches_keep_their_labels(measured):
    """Without any variation, training sees the patches themselves or their mirror images."""
    from course_lib.traces.votes import _varied

    zooms = photo_zooms(measured)
    shares = responses(measured, zooms)
    chosen = np.arange(64)
    rng = np.random.default_rng(0)
    features, cells = _varied(measured, chosen, zooms, shares, Augmentation(0.0), rng)
    assert np.abs(features) == pytest.approx(np.abs(measured.features[chosen]), rel=1e-4, abs=1e-4)
    assert set(np.unique(cells)) <= set(range(16))
    assert not np.array_equal(cells, measured.cells[chosen])


def test_optical_center_is_found():
    lens = Lens(red=1.002, blue=1.0015, center=(0.65, 0.4))
    patches = cut_patches(photos(1), 4, anywhere=True, lens=lens)
    features = fringe_features(patches.patches)
    center, zooms = optical_center(features, patches.positions)
    assert center == pytest.approx([0.15 * 768, -0.1 * 512], abs=40)
    assert zooms == pytest.approx([0.002, 0.0015], rel=0.3)
    center, _ = optical_center(np.zeros_like(features), patches.positions)
    assert center == pytest.approx([0, 0], abs=1e-6)  # no fringes: the middle


def test_frames_are_pooled_from_votes():
    frames = possible_frames()
    assert frames.prior.sum() == pytest.approx(1)
    assert frames.prior[0] == 0.5
    sizes = frames.boxes[1:, 2] - frames.boxes[1:, 0]
    assert (sizes.min(), sizes.max()) == pytest.approx((0.5, 0.9))
    touches = np.isclose(frames.boxes[:, :2], 0).any(1) | np.isclose(frames.boxes[:, 2:], 1).any(1)
    assert touches.all()
    at = (np.arange(4) + 0.5) / 4
    centers = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    some = frames.overlaps[3, 7]
    assert some == pytest.approx(iou(Box(*frames.boxes[3]), Box(*frames.boxes[7])))
    flat = np.full((16, 16), 1 / 16)
    assert frame_scores(flat, centers, frames) == pytest.approx(frames.prior)
    whole = 0.2 / 15 * np.ones((16, 16)) + (0.8 - 0.2 / 15) * np.eye(16)
    belief = frame_scores(whole, centers, frames, temper=1.0)
    # Crops of nine tenths leave every patch in its cell; all others are ruled out.
    assert belief[0] > 0.85
    assert best_box(belief, frames) == FULL
    # A crop of the upper left quarter: all patches vote for the four cells there.
    row, column = np.divmod(np.arange(16), 4)
    quarter = np.full((16, 16), 0.2 / 15)
    quarter[np.arange(16), 4 * (row // 2) + column // 2] = 0.8
    belief = frame_scores(quarter, centers, frames)
    assert belief[0] < 0.01
    box = best_box(belief, frames)
    assert iou(box, Box(0, 0, 0.5, 0.5)) > 0.8


def test_patch_sets():
    made = cut_patches(photos(2), 2, seed=3)
    assert made.patches.shape == (64, 96, 96, 3)
    assert np.bincount(made.cells).tolist() == [4] * 16
    assert np.bincount(made.photos).tolist() == [32, 32]
    again, other = cut_patches(photos(2), 2, seed=3), cut_patches(photos(2), 2, seed=4)
    assert np.array_equal(made.patches, again.patches)
    assert not np.array_equal(made.patches, other.patches)
    x, y = (made.positions[5] + (768 / 2 - 48, 512 / 2 - 48)).astype(int)
    picture = photos(1)[0].read()
    assert np.array_equal(made.patches[5], picture[y : y + 96, x : x + 96])
    everywhere = cut_patches(photos(1), 8, anywhere=True)
    assert np.bincount(everywhere.cells, minlength=16).min() >= 6
    assert np.ptp(everywhere.positions[::16, 0]) > 40


def test_portraits_are_turned_and_bad_photographs_skipped():
    def broken():
        raise PhotoError("broken.jpg: is truncated.")

    tall = Photo("tall", lambda: dead_leaves((768, 512), 1))
    assert upright(tall.read()).shape == (512, 768, 3)
    tiny = Photo("tiny", lambda: dead_leaves((128, 200), 1))
    made = cut_patches([Photo("broken", broken), tiny, tall], 1)
    assert len(made) == 16
    assert (made.photos == 0).all()
    with pytest.raises(PhotoError, match="None of 2 photographs"):
        cut_patches([tiny, tiny], 1)


def test_measured_subsets(measured):
    assert isinstance(measured, Measured)
    part = measured.where(measured.photos == 2)
    assert len(part) == (measured.photos == 2).sum() > 0
    assert set(part.photos) == {2}
