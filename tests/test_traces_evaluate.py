"""Accuracies with their intervals, and rows in the course's vocabulary."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import cli, paths, results
from course_lib.checkpoints import Card, save
from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import FULL, Box, crop, iou
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.photos import Photo, PhotoSource
from course_lib.traces.baseline import fringe_features, shifts_of
from course_lib.traces.evaluate import (
    MEAN_CROP,
    POOLED,
    Judgements,
    accuracy_by_confidence,
    confident_accuracy,
    crop_cases,
    crop_rows,
    crop_table,
    detectors,
    evaluate,
    judge_all,
    median_lens,
    patch_accuracy,
    patch_rows,
    patch_table,
    pooled,
    set_rows,
    set_table,
)
from course_lib.traces.examples import COURSE, PAPER, draw_crop, label_cells
from course_lib.traces.model import crop_detector, patch_net
from course_lib.traces.patches import cut_patches, green_only
from course_lib.traces.readers import Opinion
from course_lib.traces.sets import CRITERIA, split
from course_lib.traces.votes import PatchReader, measure, train_perceptron

STRONG = Lens(red=1.004, blue=0.996)
SIZE = (720, 1080)


def votes_for(cells, right, confidence, rng):
    """Votes whose top cell is the true one where `right` says so."""
    top = np.where(right, cells, (cells + 1 + rng.integers(0, 15, len(cells))) % 16)
    votes = np.repeat((1 - confidence)[:, None] / 15, 16, axis=1)
    votes[np.arange(len(cells)), top] = confidence
    return votes


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    cells, photos = rng.integers(0, 16, 400), np.repeat(np.arange(20), 20)
    confidence = rng.uniform(0.1, 0.9, 400)
    right = rng.random(400) < confidence
    return votes_for(cells, right, confidence, rng), cells, photos, right, confidence


def test_accuracy_counts_photographs(sample):
    votes, cells, photos, right, _ = sample
    found = patch_accuracy(votes, cells, photos)
    assert found.value == pytest.approx(right.mean())
    assert found.n == 20
    assert found.low < found.value < found.high


def test_intervals_widen_when_photographs_succeed_or_fail_whole():
    rng = np.random.default_rng(1)
    cells, photos = rng.integers(0, 16, 400), np.repeat(np.arange(20), 20)
    confidence = np.full(400, 0.5)
    mixed = votes_for(cells, np.arange(400) % 2 == 0, confidence, rng)
    whole = votes_for(cells, photos % 2 == 0, confidence, rng)
    a, b = (patch_accuracy(v, cells, photos) for v in (mixed, whole))
    assert a.value == b.value == 0.5
    assert b.high - b.low > 3 * (a.high - a.low)


def test_the_confident_fifth(sample):
    votes, cells, photos, right, confidence = sample
    found = confident_accuracy(votes, cells, photos)
    best = np.argsort(-confidence)[:80]
    assert found.value == pytest.approx(right[best].mean())
    assert found.n == 20
    everyone = confident_accuracy(votes, cells, photos, share=1.0)
    assert everyone.value == pytest.approx(right.mean())


def test_equal_confidence_does_not_follow_the_order():
    cells, photos = np.zeros(100, int), np.repeat(np.arange(10), 10)
    right = np.arange(100) < 20
    votes = votes_for(cells, right, np.full(100, 0.4), np.random.default_rng(0))
    assert confident_accuracy(votes, cells, photos).value == pytest.approx(0.2)


def test_accuracy_by_confidence(sample):
    votes, cells, *_ = sample
    confidence, accuracy, count = accuracy_by_confidence(votes, cells, bins=5)
    assert count.tolist() == [80] * 5
    assert (np.diff(confidence) > 0).all()
    assert np.abs(accuracy - confidence).max() < 0.15  # these votes are calibrated


def test_rows_keep_to_the_vocabulary():
    photos = [Photo(f"leaves {i}", lambda i=i: dead_leaves((384, 576), i)) for i in range(3)]
    patches = cut_patches(photos, 1)
    answers = iter(np.eye(16)[patches.cells])
    rows = patch_rows(
        lambda seen: np.stack([next(answers) for _ in seen]),
        patches,
        paper=0.21,
        variant="fringe",
        lens="none",
    )
    assert [row["metric"] for row in rows] == ["patch_accuracy", "patch_accuracy_top20"]
    assert rows[0]["value"] == rows[1]["value"] == 1
    assert rows[0]["paper"] == 0.21
    assert rows[1]["paper"] is None
    results.check({"system": "traces", "checkpoint": "", "photos": 3, "seed": 0, "rows": rows})


def test_grayscale_takes_the_fringes_away():
    photos = [Photo("leaves", lambda: dead_leaves((384, 576), 0))]
    gray = cut_patches(photos, 1).changed(green_only)
    assert np.array_equal(gray.patches[..., 0], gray.patches[..., 2])
    assert len(gray) == 16


# --- sets of patches


@pytest.fixture(scope="module")
def strong_photos():
    """Photographs through a strong lens of their own."""
    pictures = [STRONG.apply(dead_leaves(SIZE, 70 + i)) for i in range(4)]
    return [Photo(f"{i}", lambda p=p: p) for i, p in enumerate(pictures)]


@pytest.fixture(scope="module")
def photos():
    pictures = [dead_leaves(SIZE, 30 + i) for i in range(5)]
    return [Photo(f"{i}", lambda p=p: p) for i, p in enumerate(pictures)]


def by_shift(patches):
    """Read the strong lens: the shift of red says how far from the middle a patch is."""
    shift, _ = shifts_of(fringe_features(patches), "red")
    place = 0.5 + shift / (STRONG.red - 1) / (SIZE[1], SIZE[0])
    return 0.06 + 0.04 * np.eye(16)[label_cells(place)]


def test_the_control_set_moves_and_gray_has_no_fringes(strong_photos):
    """What reads the photographs' own lens reads it, but neither in green alone nor rolled."""
    rows = patch_table({"shift": by_shift}, 4 * strong_photos, per_cell=1)  # each rolled anew
    found = {row["set"]: row for row in rows if row["metric"] == "patch_accuracy"}
    assert list(found) == ["photos", "grayscale", "control"]
    assert found["photos"]["low"] > 0.5
    assert found["grayscale"]["value"] < 0.15
    assert found["control"]["value"] < 0.15
    assert [found[name]["paper"] for name in found] == [0.21, 0.15, None]
    assert all(row["variant"] == "shift" and row["lens"] == "none" for row in rows)


def test_through_a_simulated_lens_only_that_lens_can_be_read(strong_photos, photos, monkeypatch):
    settings = {"lens": "simulated", "per_cell": 1}
    rows = patch_table({"shift": by_shift}, 4 * strong_photos, **settings)
    assert [row["set"] for row in rows] == ["photos"] * 2
    assert rows[0]["value"] < 0.2, "their own lens is rolled away"
    monkeypatch.setattr("course_lib.traces.evaluate.SIMULATED", STRONG)
    rows = patch_table({"shift": by_shift}, photos, **settings)
    assert rows[0]["value"] > 0.5
    assert rows[0]["paper"] is None


def test_several_readers_are_also_measured_together(strong_photos):
    guess = {"fringe": by_shift, "network": lambda patches: np.full((len(patches), 16), 1 / 16)}
    rows = patch_table(guess, strong_photos[:2], per_cell=1)
    found = {(row["variant"], row["set"]): row["value"] for row in rows[::2]}
    assert len(found) == 9
    for name in ("photos", "grayscale", "control"):
        assert found["both", name] == found["fringe", name], "the other has nothing to say"


# --- crops


def test_a_crop_and_the_whole_picture_have_the_same_size(photos):
    cases = list(crop_cases(photos, 3, seed=4))
    assert [case.photo for case in cases] == [i // 6 for i in range(30)]
    for part, whole in zip(cases[::2], cases[1::2], strict=True):
        assert whole.box == FULL != part.box
        assert part.picture.shape == whole.picture.shape
        photo = photos[part.photo].read()
        cropped = crop(photo, part.box)
        height, width = part.picture.shape[:2]
        assert width == max(cropped.shape[1], 384)
        assert height == round(width / 1.5)
        near = cv2.resize(cropped, (width, height))
        assert np.abs(part.picture.astype(int) - near).mean() < 3
        small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        assert np.array_equal(whole.picture, small)


def test_the_same_crops_at_all_scales_and_through_all_lenses(photos):
    wanted = [case.box for case in crop_cases(photos, 2, seed=1)]
    for settings in ({"scale": POOLED}, {"lens": "median"}, {"control": True}):
        found = [case.box for case in crop_cases(photos, 2, seed=1, **settings)]
        if "lens" in settings:  # drawing a lens takes from the same source of chance
            assert found[:2] == wanted[:2]
        else:
            assert found == wanted
    assert [case.box for case in crop_cases(photos, 2, seed=2)] != wanted


def test_lenses_change_colour_where_they_should(photos):
    plain, seen = (next(crop_cases(photos[:1], 1, 0, lens=lens)) for lens in ("none", "simulated"))
    change = np.abs(plain.picture.astype(int) - seen.picture).mean(axis=(0, 1))
    assert change.min() >= 0
    assert change.max() > 1


@pytest.mark.parametrize(("scale", "width"), [(COURSE, 576), (POOLED, 1536), (PAPER, 1536)])
def test_a_median_lens_moves_its_corners_by_the_median(scale, width):
    for seed in range(20):
        lens = median_lens(np.random.default_rng(seed), scale)
        corner = np.hypot(width, width / 1.5) / 2
        moved = [abs(m - 1) * corner for m in (lens.red, lens.blue)]
        assert max(moved) == pytest.approx(0.42)
        assert lens.green == 1


def test_small_photographs_are_left_out_of_what_they_are_too_small_for(photos):
    small = Photo("small", lambda: dead_leaves((300, 450), 3))
    mixed = [small, photos[0]]
    assert {case.photo for case in crop_cases(mixed, 1)} == {0, 1}
    assert {case.photo for case in crop_cases(mixed, 1, scale=POOLED)} == {1}
    with pytest.raises(PhotoError, match="large enough"):
        judge_all({}, crop_cases([small], 1, scale=POOLED))


def answers(cases, opinion):
    """A judge that knows the truth and says what `opinion` makes of it."""
    left = iter([opinion(case) for case in cases])
    return lambda picture: next(left)


def test_a_perfect_and_a_guessing_judge_get_what_they_must(photos):
    cases = list(crop_cases(photos, 4))
    judges = {
        "joint": answers(cases, lambda case: Opinion(float(case.box != FULL), case.box, None)),
        "patch": lambda picture: Opinion(0.9, FULL, None),
        "global": lambda picture: Opinion(0.1, MEAN_CROP, None),
    }
    rows = crop_table(judges, photos, per_photo=4, paper={"joint": 0.86})
    results.check({"system": "", "checkpoint": "", "photos": 5, "seed": 0, "rows": rows})
    found = {(row["metric"], row["variant"]): row for row in rows}
    value = {key: row["value"] for key, row in found.items()}
    assert value["crop_accuracy", "joint"] == value["rectangle_iou", "joint"] == 1
    assert value["crop_accuracy", "patch"] == value["crop_accuracy", "global"] == 0.5
    assert value["crop_accuracy", "joint - global"] == 0.5
    boxes = [case.box for case in cases if case.box != FULL]
    whole = np.mean([box.area for box in boxes])
    mean = np.mean([iou(MEAN_CROP, box) for box in boxes])
    for name, wanted in (("patch", whole), ("whole-frame", whole), ("global", mean)):
        assert value["rectangle_iou", name] == pytest.approx(wanted)
        assert value["rectangle_iou", f"joint - {name}"] == pytest.approx(1 - wanted)
    assert value["rectangle_iou", "mean-crop"] == pytest.approx(mean)
    assert found["crop_accuracy", "joint"]["paper"] == 0.86
    assert all(row["n"] == 5 and row["lens"] == "none" and row["set"] == "all" for row in rows)


def test_the_mean_crop_is_the_mean_of_the_crops():
    rng = np.random.default_rng(0)
    mean = np.mean([tuple(draw_crop(rng)) for _ in range(4000)], axis=0)
    assert mean == pytest.approx(tuple(MEAN_CROP), abs=0.01)


def judged(**right):
    """Judgements of pictures in pairs, 4 a photograph, by judges who are right where given."""
    count = len(next(iter(right.values())))
    boxes = [Box(0, 0, 0.5, 0.5), FULL] * (count // 2)
    opinions = {
        name: [
            Opinion(float((box != FULL) == bool(good)), box, None)
            for box, good in zip(boxes, goods, strict=True)
        ]
        for name, goods in right.items()
    }
    return Judgements(boxes, np.arange(count) // 4, opinions)


def test_differences_are_of_the_same_pictures():
    """Two judges who agree on every picture differ by nothing, however unsure each number is."""
    rng = np.random.default_rng(0)
    good = np.repeat(rng.random(20) < 0.5, 4)  # photographs succeed or fail whole
    better = good.copy()
    better[~good & (np.arange(80) % 4 == 0)] = True
    rows = {
        row["variant"]: row
        for row in crop_rows(judged(joint=better, patch=good, **{"global": better}))
        if row["metric"] == "crop_accuracy"
    }
    assert rows["joint"]["high"] - rows["joint"]["low"] > 0.2
    same = rows["joint - global"]
    assert same["value"] == same["low"] == same["high"] == 0
    gain = rows["joint - patch"]
    assert gain["value"] == pytest.approx(rows["joint"]["value"] - rows["patch"]["value"])
    assert gain["low"] > 0, "paired, a gain within each photograph is certain"
    assert rows["patch"]["high"] > rows["joint"]["low"], "unpaired, it is not"


def test_a_threshold_decides():
    found = judged(joint=[1, 1, 1, 1])
    found.opinions["joint"] = [opinion._replace(score=0.3) for opinion in found.opinions["joint"]]
    assert found.right("joint").tolist() == [False, True, False, True]
    assert found.right("joint", 0.3).tolist() == [True, False, True, False]
    (row, *_) = crop_rows(found, {"joint": 0.2})
    assert row["value"] == 0.5


def test_without_a_joint_detector_nothing_is_compared(photos):
    rows = crop_table({"fringe": lambda picture: Opinion(0.0, FULL, None)}, photos[:2], per_photo=1)
    assert [(row["metric"], row["variant"]) for row in rows] == [
        ("crop_accuracy", "fringe"),
        ("rectangle_iou", "fringe"),
    ]


def test_pooled_votes_tell_crops_by_the_lens_alone(strong_photos):
    """Through a strong lens crops are told and placed; without one, nothing tells them."""

    def soft(patches):
        return 0.3 / 16 + 0.7 * (by_shift(patches) - 0.06) / 0.04

    judge = {"fringe": pooled(soft)}
    seen = judge_all(judge, crop_cases(strong_photos, 3, scale=POOLED))
    # Whole pictures are made smaller, and with them their fringes.
    crops = seen.cropped
    scores = np.array([opinion.score for opinion in seen.opinions["fringe"]])
    assert (scores[crops] > 0.5).mean() > 0.55
    assert seen.overlaps("fringe").mean() > seen.overlaps(MEAN_CROP).mean()
    blind = judge_all(judge, crop_cases(strong_photos, 3, scale=POOLED, control=True))
    assert blind.overlaps("fringe").mean() < seen.overlaps("fringe").mean() - 0.1
    assert abs(blind.right("fringe").mean() - 0.5) < 0.2


# --- sets of photographs


def soft(seed):
    """A picture with nothing but slow changes of colour."""
    coarse = np.random.default_rng(seed).integers(60, 200, (4, 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, (576, 384), interpolation=cv2.INTER_CUBIC)


def rough(seed):
    """A picture with fine detail everywhere."""
    return np.random.default_rng(seed).normal(128, 50, (384, 576, 3)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def kinds():
    """Photographs of fine texture and smooth ones by turns, and one that cannot be read."""
    pictures = [rough(0), soft(1), rough(2), soft(3), soft(4)]

    def lost():
        raise PhotoError("lost")

    return [*(Photo(f"{i}", lambda p=p: p) for i, p in enumerate(pictures)), Photo("5", lost)]


def test_judgements_of_some_photographs():
    found = judged(joint=[1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    part = found.of([2, 0, 9])
    assert part.photos.tolist() == [0] * 4 + [2] * 4
    assert part.right("joint").tolist() == [True, True, True, False] + [True] * 4
    assert part.cropped.tolist() == [True, False] * 4
    assert len(found.of([]).boxes) == 0


def test_rows_by_set_hold_the_photographs_of_the_set(kinds):
    members = {name: [photo.name for photo in each] for name, each in split(kinds).items()}
    assert members["texture"] == ["0", "2"]
    assert members["smooth"] == ["1", "3", "4"]
    good = {"joint": [1, 1, 0, 1, 1], "patch": [0, 1, 0, 1, 0], "global": [1, 0, 1, 1, 1]}
    found = judged(**{name: np.repeat(each, 4) for name, each in good.items()})
    rows = set_rows(found, kinds, lens="median")
    results.check({"system": "", "checkpoint": "", "photos": 6, "seed": 0, "rows": rows})
    assert {row["metric"] for row in rows} == {"crop_accuracy"}
    assert {row["lens"] for row in rows} == {"median"}
    assert {row["set"] for row in rows} == {name for name in members if members[name]}
    by = {(row["set"], row["variant"]): row for row in rows}
    assert len(by) == len(rows), "no row twice"
    assert by["general", "joint"]["n"] == 5, "what cannot be read was never judged"
    assert by["general", "joint"]["value"] == pytest.approx(4 / 5)
    assert by["texture", "joint"]["value"] == 1 / 2
    assert by["texture", "global"]["value"] == 1
    assert by["smooth", "joint"]["value"] == 1
    assert by["smooth", "patch"]["value"] == pytest.approx(2 / 3)
    assert by["smooth", "joint - patch"]["value"] == pytest.approx(1 / 3)
    assert (by["smooth", "joint"]["n"], by["texture", "joint"]["n"]) == (3, 2)
    assert by["smooth", "joint"]["paper"] == 0.50
    assert by["general", "global"]["paper"] == 0.79
    assert by["smooth", "joint - patch"]["paper"] is None
    others = [row["paper"] for row in rows if row["set"] == "no_subject"]
    assert not any(others), "the paper left out people, which is something else"


def test_thresholds_decide_in_sets_too(kinds):
    found = judged(joint=[1] * 20)
    found.opinions["joint"] = [
        one._replace(score=0.4 * one.score) for one in found.opinions["joint"]
    ]
    assert {row["value"] for row in set_rows(found, kinds)} == {0.5}
    assert {row["value"] for row in set_rows(found, kinds, {"joint": 0.3})} == {1.0}


def test_a_table_by_sets_judges_each_photograph_once(kinds):
    shown, said = [], []

    def judge(picture):
        shown.append(picture)
        return Opinion(1.0, FULL, None)

    rows = set_table({"patch": judge}, kinds, per_photo=2, say=said.append)
    assert len(shown) == 5 * 4, "though most are in two sets"
    assert all(row["value"] == 0.5 and row["lens"] == "median" for row in rows)
    assert [row["n"] for row in rows if row["set"] == "smooth"] == [3]
    assert any("photograph 5 of 6" in text for text in said)
    with pytest.raises(PhotoError, match="large enough"):
        set_table({"patch": judge}, kinds[-1:])


def test_the_committed_table_is_whole_and_names_no_path():
    file = paths.COURSE.assets / "measurements" / "traces_sets.json"
    text = file.read_text(encoding="utf-8")
    assert "/work" not in text and "shared/" not in text
    found = json.loads(text)
    results.check(found)
    rows = {(row["set"], row["variant"]): row for row in found["rows"]}
    variants = ("joint", "patch", "global", "joint - patch", "joint - global")
    assert set(rows) == {(name, variant) for name in CRITERIA for variant in variants}
    assert all(row["low"] <= row["value"] <= row["high"] for row in found["rows"])
    assert rows["tilted", "global"]["paper"] == 0.58
    assert rows["general", "joint"]["n"] == max(row["n"] for row in found["rows"])


# --- everything


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with all checkpoints, untrained."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    card = Card.of_this_machine
    config = {"network": "fringe"}
    tensors = patch_net("fringe").state_dict()
    save(out, "pretext", tensors, card("traces", "pretext", config=config))
    measured = measure(cut_patches([Photo("leaves", lambda: dead_leaves((384, 576), 0))], 2))
    reader = PatchReader((train_perceptron(measured, epochs=1),))
    save(out, "fringe", reader.tensors(), card("traces", "fringe"))
    for variant in ("joint", "patch", "global"):
        tensors = crop_detector(variant, "fringe", "course").state_dict()
        config = {"variant": variant, "patch": "fringe", "thumbnail": "course", "threshold": 0.0}
        save(out, variant, tensors, card("traces", variant, config=config))
    return out


def conditions(found):
    return {(row["metric"], row["variant"], row["lens"], row["set"]) for row in found["rows"]}


def test_everything_as_it_was_found(photos, weights):
    said = []
    source = PhotoSource("photos", photos)
    found = evaluate(source, weights=weights, limit=2, say=said.append, per_cell=1, per_photo=1)
    results.check(found)
    assert found["photos"] == 2
    assert found["checkpoint"] == "fringe, pretext, joint, patch, global"
    wanted = {
        (metric, variant, "none", name)
        for metric in ("patch_accuracy", "patch_accuracy_top20")
        for variant in ("fringe", "network", "both")
        for name in ("photos", "grayscale", "control")
    }
    for metric in ("crop_accuracy", "rectangle_iou"):
        names = ["joint", "patch", "global", "fringe", "joint - patch", "joint - global"]
        if metric == "rectangle_iou":
            names += ["whole-frame", "mean-crop", "joint - whole-frame", "joint - mean-crop"]
        wanted |= {(metric, name, "none", "all") for name in names}
        wanted |= {(metric, name, "none", "control") for name in ("patch", "fringe")}
    assert conditions(found) == wanted
    assert len(found["rows"]) == len(wanted), "no row twice"
    every = {row["variant"]: row for row in found["rows"] if row["metric"] == "crop_accuracy"}
    assert every["joint"]["value"] == 0.5, "with a threshold of 0 everything counts as cropped"
    assert any("photograph 2 of 2" in text for text in said)
    again = evaluate(source, weights=weights, limit=2, per_cell=1, per_photo=1)
    assert again == found


def test_everything_through_simulated_lenses(photos, weights):
    found = evaluate(
        PhotoSource("photos", photos[:2]),
        weights=weights,
        lens="simulated",
        per_cell=1,
        per_photo=1,
    )
    results.check(found)
    kinds = {(row["metric"][:5], row["lens"], row["set"]) for row in found["rows"]}
    assert kinds == {
        ("patch", "simulated", "photos"),
        *(
            (metric, lens, "all")
            for metric in ("crop_", "recta")
            for lens in ("simulated", "median")
        ),
    }


@pytest.mark.parametrize(("lens", "glass"), [("none", "none"), ("simulated", "median")])
def test_sets_are_measured_alone(kinds, weights, lens, glass):
    source = PhotoSource("kinds", kinds)
    found = evaluate(source, weights=weights, lens=lens, sets=True, per_photo=1)
    results.check(found)
    assert found["checkpoint"] == "joint, patch, global"
    wanted = ["joint", "patch", "global", "joint - patch", "joint - global"]
    assert {row["variant"] for row in found["rows"]} == set(wanted)
    assert {(row["metric"], row["lens"]) for row in found["rows"]} == {("crop_accuracy", glass)}
    assert {"general", "texture", "smooth"} <= {row["set"] for row in found["rows"]}


def test_what_is_missing_is_left_out(photos, weights, tmp_path):
    for name in ("fringe.safetensors", "fringe.json", "global.safetensors", "global.json"):
        (tmp_path / name).write_bytes((weights / name).read_bytes())
    said = []
    source = PhotoSource("photos", [*photos[:1], Photo("s", lambda: dead_leaves((300, 450), 3))])
    found = evaluate(source, weights=tmp_path, say=said.append, per_cell=1, per_photo=1)
    assert found["checkpoint"] == "fringe, global"
    assert {row["variant"] for row in found["rows"]} == {"fringe", "global"}
    assert any("no weights" in text and "pretext, joint, patch" in text for text in said)
    small = PhotoSource("small", source[1:])
    found = evaluate(small, weights=tmp_path, per_cell=1, per_photo=1)
    assert {row["metric"] for row in found["rows"]} == {"crop_accuracy", "rectangle_iou"}
    with pytest.raises(UsageError, match="No trained weights traces/"):
        evaluate(source, weights=tmp_path / "empty")
    tiny = PhotoSource("tiny", [Photo("t", lambda: dead_leaves(100, 0))])
    with pytest.raises(PhotoError, match="large enough"):
        evaluate(tiny, weights=tmp_path)
    with pytest.raises(UsageError, match="choose none or simulated"):
        evaluate(source, weights=weights, lens="strong")


def test_detectors_come_with_their_thresholds(weights):
    judges, thresholds = detectors(weights, ["patch", "global"])
    assert list(judges) == ["patch", "global"]
    assert thresholds == {"patch": 0, "global": 0}
    opinion = judges["patch"](dead_leaves((384, 576), 1))
    assert opinion.votes.shape == (16, 16)


def test_the_command(photos, weights, tmp_path, monkeypatch, capsys):
    for photo in photos[:2]:
        Image.fromarray(photo.read()).save(tmp_path / f"{photo.name}.png")
    file = tmp_path / "out" / "t.json"
    words = ["traces", "--photos", str(tmp_path), "--json", str(file), "--limit", "1"]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["course", "evaluate", *words, "--weights", str(weights)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    shown = capsys.readouterr().out
    assert "whole-frame" in shown and "joint -" in shown and "…" not in shown
    assert max(map(len, shown.splitlines()[:-1])) <= 80
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["photos"] == 1
    assert paths.COURSE.root not in file.parents
