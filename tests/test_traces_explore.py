"""The explorers of one patch and of one crop: what they draw, and that their sentences are true."""

import re

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_lib import photos
from course_lib.checkpoints import shipped
from course_lib.errors import PhotoError, UsageError
from course_lib.explorer import Choice, Slider
from course_lib.geometry import FULL, Box, crop, iou
from course_lib.lens import Lens
from course_lib.lens.fringes import local_shift
from course_lib.traces import explore, readers
from course_lib.traces.camera import measured_lenses, through_jpeg
from course_lib.traces.examples import COURSE, label_cells, prepare
from course_lib.traces.model import CropDetector, Reading, crop_detector, patch_net
from course_lib.traces.readers import Opinion

PATCH = {"x": 5, "y": 90, "strength": 3.0, "channels": "red and blue", "jpeg": "off"}
CROP = {"size": 65, "x": 0, "y": 0, "strength": 3.0, "jpeg": "off"}


def cloud(shape=(512, 768), seed=3, sigma=2.0):
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.random(shape, np.float32), (0, 0), sigma)
    smooth = cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)
    return cv2.merge([smooth] * 3)


def photo():
    """A colourful picture with structure at all sizes."""
    layers = [cloud(seed=seed, sigma=sigma)[..., 0] for seed, sigma in ((1, 2), (2, 3), (4, 12))]
    return np.dstack([layers[0] // 2 + layers[2] // 2, layers[0], layers[1] // 3 + layers[0] // 2])


def voting(cell, share=0.5):
    """A reader that gives one cell a share and the others the rest."""

    def votes(patches):
        assert patches.shape[1:] == (96, 96, 3)
        assert patches.dtype == np.uint8
        found = np.full((len(patches), 16), (1 - share) / 15)
        found[:, cell] = share
        return found

    return votes


class Saying(CropDetector):
    """A detector with a fixed answer."""

    def __init__(self, box, score, cells=None):
        super().__init__(patch_net("fringe"), None)
        self.answer = torch.tensor([*box]), torch.logit(torch.tensor(score)), cells

    def forward(self, patches, thumbnail):
        n = len(patches)
        box, score, cells = self.answer
        if cells is not None:
            logits = 10 * torch.nn.functional.one_hot(torch.as_tensor(cells), 16).float()
            cells = logits.expand(n, 16, 16)
        return Reading(box.expand(n, 4), score.expand(n), cells)


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return crop_detector("joint", patch="fringe", thumbnail="course").eval()


@pytest.fixture(scope="module")
def patch_explorer():
    torch.manual_seed(0)
    read = {"network": readers.reading(patch_net("fringe").eval()), "stubborn": voting(6)}
    return explore.patch_explorer(reader=read)


@pytest.fixture(scope="module")
def crop_explorer(untrained):
    return explore.crop_explorer(detector=untrained)


# The lens


def test_the_median_camera_is_measured_and_in_the_middle():
    measured = measured_lenses()
    camera = explore.median_camera()
    assert camera in set(zip(measured.red, measured.blue, strict=True))
    sizes = np.maximum(np.abs(measured.red), np.abs(measured.blue))
    mine = max(map(abs, camera))
    assert abs((sizes < mine).sum() - (sizes > mine).sum()) <= 1


def test_strength_multiplies_and_nothing_is_perfect():
    assert explore.camera_lens(0) == Lens()
    one, four = explore.camera_lens(1), explore.camera_lens(4)
    red, blue = explore.median_camera()
    assert (one.red - 1, one.green, one.blue - 1) == pytest.approx((red, 1, blue))
    assert (four.red - 1, four.blue - 1) == pytest.approx((4 * red, 4 * blue))


def test_one_channel_moves_by_the_larger_amount():
    most = max(map(abs, explore.median_camera()))
    for channel in ("red", "blue", "green"):
        lens = explore.camera_lens(2, channel)
        moved = {
            name: m - 1
            for name, m in zip(("red", "green", "blue"), lens.magnifications, strict=True)
            if m != 1
        }
        assert moved == pytest.approx({channel: -2 * most if channel == "green" else 2 * most})
    with pytest.raises(UsageError, match="red and blue"):
        explore.camera_lens(1, "violet")


# One patch


@pytest.mark.parametrize("corner", [(0, 0), (300, 200), (301, 203), (672, 416), (7, 416)])
@pytest.mark.parametrize("quality", ["off", "60"])
def test_a_patch_is_cut_from_the_photograph_as_it_was_stored(corner, quality):
    lens, whole = explore.camera_lens(6), photo()
    seen = lens.apply(whole)
    if quality != "off":
        seen = through_jpeg(seen, int(quality), halved=True)
    x, y = corner
    assert np.array_equal(
        explore.photographed(whole, corner, lens, quality), seen[y : y + 96, x : x + 96]
    )


def test_blocks_of_jpeg_stay_in_place_in_odd_sizes():
    whole = photo()[:427, :641]
    stored = through_jpeg(whole, 50, halved=True)
    for x, y in ((13, 5), (250, 130), (541, 328)):
        patch = explore.photographed(whole, (x, y), Lens(), "50")
        inner = patch[:80, :80].astype(int), stored[y : y + 80, x : x + 80].astype(int)
        assert np.array_equal(*inner)


def test_read_patch_knows_its_true_cell_and_asks_the_chosen_reader():
    whole = photo()
    for x in (0, 30, 55, 100):
        for y in (0, 45, 100):
            found = explore.read_patch(
                {**PATCH, "x": x, "y": y, "reader": "b"},
                {"one": whole},
                {"a": voting(1), "b": voting(9, 0.7)},
            )
            middle = (np.array(found.corner) + 48) / (768, 512)
            assert found.cell == label_cells(middle[None])[0]
            assert found.corner == (round(x / 100 * 672), round(y / 100 * 416))
            assert found.votes[9] == pytest.approx(0.7)


def test_a_gray_patch_has_no_fringe_and_a_lens_gives_it_both_signs():
    gray = cloud((96, 96))
    assert (explore.fringe(gray) == explore.GRAY).all()
    moved = gray.copy()
    moved[:, 2:, 1] = gray[:, :-2, 1]
    light = explore.fringe(moved).astype(int)
    assert (light.sum(axis=2) > sum(explore.GRAY) + 100).mean() > 0.05
    assert (light.sum(axis=2) < sum(explore.GRAY) - 100).mean() > 0.05
    more_green = moved[..., 1].astype(int) - moved[..., 0]
    detail = more_green - cv2.blur(more_green.astype(np.float32), (9, 9))
    order = np.corrcoef(light.sum(axis=2).ravel(), detail.ravel())[0, 1]
    assert order > 0.95, "lightness alone must tell which colour is too strong"


def test_faint_noise_is_not_stretched_to_full_contrast():
    noisy = cloud((96, 96)).astype(int)
    noisy[..., 1] += np.random.default_rng(0).integers(-1, 2, (96, 96))
    shown = explore.fringe(noisy.clip(0, 255).astype(np.uint8)).astype(int)
    assert np.abs(shown - explore.GRAY).max() < 25


def test_the_picture_shows_the_patch_its_place_and_the_votes():
    found = explore.read_patch({**PATCH, "x": 60, "y": 30}, {"one": photo()}, {"r": voting(6, 0.4)})
    picture = explore.draw_patch(found)
    below, side = 316, 288
    assert np.array_equal(picture[below:, :side][:side], found.patch.repeat(3, 0).repeat(3, 1))
    wanted = explore.fringe(found.patch).repeat(3, 0).repeat(3, 1)
    assert np.array_equal(picture[below : below + side, 312 : 312 + side], wanted)

    rows, columns = np.nonzero((picture[30:278, :372] == explore.FRAME).all(axis=2))
    left, top = np.array(found.corner) * 372 / 768
    ends = (columns.min(), columns.max(), rows.min(), rows.max())
    right, bottom = left + 96 * 372 / 768, top + 96 * 372 / 768
    assert ends == pytest.approx((left, right, top, bottom), abs=4)

    votes = picture[30:278, 396:]
    light = cv2.cvtColor(votes, cv2.COLOR_RGB2GRAY)[8:248:62, 10:372:93]
    assert light.argmax() == 6
    outline = (votes == explore.WHITE).all(axis=2)
    rows, columns = np.nonzero(outline & (np.roll(outline, 1, 0) | np.roll(outline, -1, 0)))
    row, column = divmod(found.cell, 4)
    assert 62 * row <= np.median(rows) <= 62 * (row + 1)
    assert 93 * column <= np.median(columns) <= 93 * (column + 1)


def test_brighter_cells_have_more_votes():
    colours = explore._vote_colours(np.linspace(0, 1, 40)).astype(float)
    assert (np.diff(colours @ (0.299, 0.587, 0.114)) > 0).all()


def words_of_patch(votes, **changed):
    chosen = {**PATCH, **changed}
    found = explore.read_patch(chosen, {"one": photo()}, {"reader": votes})
    return explore.patch_words(chosen, found), found


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (12, "more than any other: it is right"),
        (8, "but most, 50 %, to row 3, column 1: it is one cell off"),
        (13, "but most, 50 %, to row 4, column 2: it is one cell off"),
        (9, "to row 3, column 2: it is one cell off"),
        (3, "to row 1, column 4: it is 3 cells off"),
    ],
)
def test_the_sentence_says_whether_the_votes_are_right(cell, said):
    words, found = words_of_patch(voting(cell))
    assert found.cell == 12
    assert "The patch lies in row 4, column 1." in words
    assert said in words
    assert "chance" not in words


def test_the_sentence_says_when_votes_are_hardly_more_than_chance():
    words, _ = words_of_patch(voting(12, 0.1))
    assert "hardly more than chance, 6.25 % for each cell" in words


@pytest.mark.parametrize(("channels", "odd"), [("green", 1), ("red", 0), ("blue", 2)])
def test_the_shift_it_names_is_the_shift_in_the_patch(channels, odd):
    chosen = {**PATCH, "x": 100, "y": 100, "strength": 4.0, "channels": channels}
    found = explore.read_patch(chosen, {"one": cloud()}, {"reader": voting(15)})
    words = explore.patch_words(chosen, found)
    named, way = re.search(rf"moves {channels} by ([\d.]+) px (\w+)", words).groups()
    planes = found.patch.astype(float)[8:-8, 8:-8] / 255
    shift = local_shift(planes[..., odd], planes[..., (odd + 1) % 3])
    assert np.hypot(*shift) == pytest.approx(float(named), abs=0.12)
    assert (shift > 0).all() == (way == "outward")


def test_without_a_lens_it_says_so():
    words, found = words_of_patch(voting(12), strength=0.0)
    assert "No lens is added" in words
    assert np.array_equal(found.patch, photo()[374:470, 34:130])
    assert "quality 70" in words_of_patch(voting(12), jpeg="70")[0]


# One crop


def test_the_frame_slides_from_edge_to_edge():
    assert explore.crop_box({**CROP, "size": 100, "x": 30, "y": 70}) == FULL
    for size in (50, 63, 99):
        share = size / 100
        for x in (0, 40, 100):
            for y in (0, 100):
                box = explore.crop_box({**CROP, "size": size, "x": x, "y": y})
                assert (box.width, box.height) == pytest.approx((share, share))
                assert box.x1 == pytest.approx(x / 100 * (1 - share))
                assert box.y2 == pytest.approx(share if y == 0 else 1)


def test_every_crop_is_large_enough_to_be_examined():
    whole, rng = np.zeros((512, 768, 3), np.uint8), np.random.default_rng(0)
    for size in range(explore.SMALLEST, 101):
        for x in range(0, 101, 7):
            box = explore.crop_box({"size": size, "x": x, "y": 100 - x})
            prepare(crop(whole, box), rng, COURSE)


def test_the_detector_is_shown_the_stored_crop():
    whole = photo()
    box = Box(0.5, 0.25, 1, 0.75)
    chosen = {**CROP, "size": 50, "x": 100, "y": 50, "jpeg": "50"}
    detector = Saying((0.4, 0.2, 0.9, 0.7), 0.9, np.arange(16))
    found = explore.examine_crop(chosen, whole, detector)
    assert found.box == box
    assert np.array_equal(found.seen, through_jpeg(whole[128:384, 384:], 50, halved=True))
    assert list(found.opinion.box) == pytest.approx([0.4, 0.2, 0.9, 0.7])
    assert found.opinion.score == pytest.approx(0.9)
    assert found.cells.tolist() == [6, 6, 7, 7, 6, 6, 7, 7, 10, 10, 11, 11, 10, 10, 11, 11]
    assert "Two of the sixteen patches vote most for their true cell." in explore.crop_words(
        chosen, found
    )
    for k, cell in enumerate(found.cells):
        assert (found.opinion.votes[k].argmax() == cell) == (k == cell)


def finding(box=FULL, score=0.8, believed=FULL, votes="even", seen=None):
    if isinstance(votes, str):
        votes = np.full((16, 16), 1 / 16)
    whole = np.full((512, 768, 3), 128, np.uint8)
    return explore.CropFinding(
        whole, box, crop(whole, box) if seen is None else seen, Opinion(score, believed, votes)
    )


def test_frames_are_drawn_where_they_are():
    kept, believed = Box(0.1, 0.2, 0.6, 0.7), Box(0.3, 0.1, 0.9, 0.8)
    panel = explore.draw_crop(finding(kept, believed=believed))[30:322, :438]
    rows, columns = np.nonzero((panel == explore.FRAME).all(axis=2))
    ends = columns.min() / 438, rows.min() / 292, columns.max() / 438, rows.max() / 292
    assert ends == pytest.approx(list(kept), abs=0.015)
    rows, columns = np.nonzero((panel == explore.WHITE).all(axis=2))
    ends = columns.min() / 438, rows.min() / 292, columns.max() / 438, rows.max() / 292
    assert ends == pytest.approx(list(believed), abs=0.015)
    along = (panel[round(0.1 * 292) + 2, 140:380] == explore.WHITE).all(axis=1)
    assert 0.3 < along.mean() < 0.75, "the believed frame is dashed, so that it differs without hue"
    assert np.count_nonzero(np.diff(along.astype(int))) > 20


def test_outside_the_frame_it_is_darker():
    panel = explore.draw_crop(finding(Box(0.5, 0, 1, 0.5), believed=Box(0, 0, 0.3, 0.3)))
    assert (panel[30 + 200, 200] < 70).all()
    assert (panel[30 + 70, 330] == 128).all()


@pytest.mark.parametrize("score", [0.0, 0.25, 0.6, 1.0])
def test_the_bar_is_as_long_as_the_score(score):
    row = explore.draw_crop(finding(score=score), threshold=0.4)[322 + 52 + 10]
    filled = (row == explore.FILL).all(axis=1).sum()
    rest = (row == explore.REST).all(axis=1).sum()
    assert filled / (filled + rest) == pytest.approx(score, abs=0.01)
    tick = np.nonzero((row[202:816] == explore.INK).all(axis=1))[0].mean()
    assert tick / (816 - 202) == pytest.approx(0.4, abs=0.01)


def test_each_patch_has_its_votes_and_its_true_cell_marked():
    votes = np.full((16, 16), 0.01)
    best = (3 * np.arange(16) + 5) % 16
    votes[np.arange(16), best] = 0.85
    found = finding(Box(0.25, 0, 1, 0.75), votes=votes)
    panel = explore.draw_crop(found)[30:322, 462:]
    light = cv2.cvtColor(panel, cv2.COLOR_RGB2GRAY)
    for k in range(16):
        row, column = divmod(k, 4)
        y, x = (2 * row + 1) * 292 // 8, (2 * column + 1) * 438 // 8
        middles = light[y - 26 : y + 26, x - 40 : x + 40][6::13, 10::20]
        assert middles.argmax() == best[k]
        white = (panel[y - 26 : y + 26, x - 40 : x + 40] == explore.WHITE).all(axis=2)
        rows, columns = np.nonzero(white)
        assert 4 * (rows.mean() // 13) + columns.mean() // 20 == found.cells[k]


def test_a_model_without_patches_has_no_maps():
    shown = explore.draw_crop(finding(votes=None))
    assert (shown[30:322, 462:] == 128).all()
    assert "patches" not in explore.crop_words(CROP, finding(votes=None))


@pytest.mark.parametrize(
    ("cropped", "score", "start"),
    [
        (True, 0.83, "Cropped, says the model, with score 0.83: right."),
        (True, 0.12, "Not cropped, says the model, with score 0.12: wrong."),
        (False, 0.83, "Cropped, says the model, with score 0.83: wrong."),
        (False, 0.12, "Not cropped, says the model, with score 0.12: right."),
    ],
)
def test_the_sentence_judges_the_answer(cropped, score, start):
    box = Box(0.2, 0.125, 1, 0.925) if cropped else FULL
    believed = Box(0.1, 0, 0.9, 0.8)
    words = explore.crop_words(CROP, finding(box, score, believed))
    assert words.startswith(start)
    assert ("The true frame runs from 20 to 100 % across" in words) == cropped
    assert ("Nothing is cut away." in words) == (not cropped)
    assert "from 10 to 90 % across and from 0 to 80 % down" in words
    assert f"overlap (IoU) {iou(box, believed):.2f}" in words


def test_the_threshold_decides():
    found = finding(score=0.4)
    assert explore.crop_words(CROP, found).startswith("Not cropped")
    assert explore.crop_words(CROP, found, threshold=0.3).startswith("Cropped")


# Both explorers


@pytest.mark.parametrize("which", ["patch_explorer", "crop_explorer"])
def test_every_control_shows(which, request):
    explorer = request.getfixturevalue(which)
    start = explorer.picture()
    for name, control in explorer.controls.items():
        ends = control.ends if isinstance(control, Slider) else (control.ends[0], control.ends[-1])
        for end in ends:
            picture = explorer.picture(**{name: end})
            assert picture.shape == (explorer.size[1], explorer.size[0], 3)
            assert np.array_equal(picture, start) == (end == control.value), (name, end)


@pytest.mark.parametrize("which", ["patch_explorer", "crop_explorer"])
def test_pictures_depend_on_settings_only(which, request):
    explorer = request.getfixturevalue(which)
    first = explorer.picture(strength=8.0, x=40)
    explorer.picture(photo=explorer.controls["photo"].options[-1])
    assert np.array_equal(explorer.picture(strength=8.0, x=40), first)


@pytest.mark.parametrize("which", ["patch_explorer", "crop_explorer"])
@pytest.mark.parametrize("name", ["x", "y", "strength"])
def test_a_single_step_changes_the_picture_of_the_widget(which, name, request):
    explorer = request.getfixturevalue(which)
    explorer.reset()
    before = explorer.image.value
    slider = explorer.controls[name]
    explorer.widgets[name].value = slider.quantise(slider.value + slider.step)
    assert explorer.image.value != before
    explorer.reset()


def values(control):
    if isinstance(control, Choice):
        return st.sampled_from(control.options)
    return st.floats(control.low, control.high).map(control.quantise)


BOXES = st.tuples(*[st.floats(0, 0.45)] * 2, *[st.floats(0.55, 1)] * 2).map(lambda b: Box(*b))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_sentence_is_clean_english(crop_explorer, patch_explorer, data):
    chosen = {n: data.draw(values(c)) for n, c in crop_explorer.controls.items()}
    found = finding(
        explore.crop_box(chosen),
        data.draw(st.floats(0, 1)),
        data.draw(BOXES),
        np.random.default_rng(data.draw(st.integers(0, 9))).dirichlet(np.ones(16), 16),
    )
    said = explore.crop_words(chosen, found)
    chosen = {n: data.draw(values(c)) for n, c in patch_explorer.controls.items()}
    reader = voting(data.draw(st.integers(0, 15)), data.draw(st.floats(0.07, 1)))
    found = explore.read_patch(
        {**chosen, "photo": "one"}, {"one": ONE}, {"network": reader, "stubborn": reader}
    )
    for words in (said, explore.patch_words(chosen, found)):
        assert words[0].isupper()
        assert words.endswith(".")
        assert not re.search(r"  |\. [a-z]|\.\.|,,| [,.:;]|nan|None[^ ]|-\d", words), words
        assert len(words) < 600


ONE = photo()


def test_they_start_as_asked(untrained):
    explorer = explore.patch_explorer(photo(), reader=voting(5), x=40, y=30)
    assert explorer.settings["x"] == 40
    assert "The reader gives this cell 50 %, more than any other" in explorer.words.value
    explorer = explore.crop_explorer(photo(), detector=untrained, size=80, threshold=0.0)
    assert "Cropped, says the model" in explorer.words.value
    assert explorer.settings["size"] == 80
    with pytest.raises(UsageError, match="no control 'purple'"):
        explore.crop_explorer(photo(), detector=untrained, purple=1)


def test_there_is_no_choice_of_one(untrained):
    assert "photo" not in explore.crop_explorer(photo(), detector=untrained).controls
    controls = explore.patch_explorer(photo(), reader=voting(5)).controls
    assert not {"photo", "reader"} & set(controls)
    named = explore.patch_explorer(photo(), reader={"mine": voting(5), "yours": voting(6)}).controls
    assert named["reader"].options == ("mine", "yours")


def test_a_reader_of_ones_own_is_named():
    explorer = explore.patch_explorer(photo(), reader={"your network": voting(5), "b": voting(6)})
    assert "Your network gives this cell" in explorer.words.value


def test_small_and_broken_photographs_are_left_out_and_portraits_stay_upright(tmp_path, untrained):
    rng = np.random.default_rng(0)
    upright = np.zeros((901, 600, 3), np.uint8)
    upright[:450] = 200
    for name, picture in {
        "a": rng.integers(0, 256, (100, 300, 3), np.uint8),
        "b": upright,
        "c": photo(),
    }.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    (tmp_path / "d.jpg").write_text("not a picture")
    explorer = explore.crop_explorer(photos.folder(tmp_path), detector=untrained)
    assert explorer.controls["photo"].options == ("b.png", "c.png")
    panel = explorer.picture(size=100, strength=0.0)[30:322, :438]
    assert panel[20, 20:400].mean() > 150 > panel[270, 20:400].mean()

    with pytest.raises(PhotoError, match="None of"):
        explore.crop_explorer(photos.folder(tmp_path)[:1], detector=untrained)
    with pytest.raises(UsageError, match="uint8"):
        explore.crop_explorer(np.zeros((600, 900)), detector=untrained)


@pytest.mark.parametrize("excess", [0, 1, 2, 301])
def test_portraits_lose_both_ends_evenly(excess):
    picture = np.zeros((600 + excess, 600, 3), np.uint8)
    picture[: len(picture) // 2] = 255
    explorer = explore.patch_explorer(picture, reader=voting(5))
    panel = explorer.picture(x=0, y=0)[30:278, 300:370].mean(axis=(1, 2))
    assert panel[118] > 250
    assert panel[130] < 5


def test_the_readers_it_names_exist():
    assert set(explore.READERS.values()) <= set(readers.READERS)


@pytest.mark.skipif("joint" not in shipped("traces"), reason="no joint model is shipped yet")
def test_the_shipped_detector_answers():
    explorer = explore.crop_explorer()
    whole = explorer._sentence(explorer._complete({"size": 100, "strength": 4.0}, start=True))
    assert re.match("(Not c|C)ropped, says the model", whole)


@pytest.mark.skipif(
    not {"fringe", "pretext"} <= set(shipped("traces")), reason="no reader is shipped yet"
)
def test_the_shipped_readers_vote():
    explorer = explore.patch_explorer()
    assert explorer.controls["reader"].options == ("closed form", "network")
    explorer.set(reader="network")
    assert "The network gives this cell" in explorer.words.value
