"""Readers of patches and detectors of crops, with small untrained networks."""

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.checkpoints import Card, save
from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import FULL, Box
from course_lib.leaves import dead_leaves
from course_lib.photos import Photo
from course_lib.traces import readers
from course_lib.traces.model import Reading, crop_detector, patch_net
from course_lib.traces.patches import cut_patches
from course_lib.traces.votes import PatchReader, measure, train_perceptron

LEAVES = dead_leaves((384, 576), 1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lively(model, seed=0):
    """Give an untrained network answers that differ from picture to picture."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=2 / parameter[0].numel() ** 0.5)
    return model.eval()


def untrained(variant):
    """A small detector, the same at each call."""
    torch.manual_seed(len(variant))
    return crop_detector(variant, "fringe", "course").eval()


@pytest.fixture(scope="module")
def patches():
    return cut_patches([Photo("leaves", lambda: LEAVES)], 5).patches


@pytest.fixture(scope="module")
def weights(tmp_path_factory, patches):
    """A folder with all checkpoints, untrained."""
    out = tmp_path_factory.mktemp("weights")
    card = Card.of_this_machine
    config = {"network": "fringe"}
    tensors = lively(patch_net("fringe")).state_dict()
    save(out, "pretext", tensors, card("traces", "pretext", config=config))
    measured = measure(cut_patches([Photo("leaves", lambda: LEAVES)], 2))
    reader = PatchReader((train_perceptron(measured, epochs=1),))
    save(out, "fringe", reader.tensors(), card("traces", "fringe"))
    for variant in ("joint", "patch", "global"):
        config = {"variant": variant, "patch": "fringe", "thumbnail": "course"}
        tensors = untrained(variant).state_dict()
        save(out, variant, tensors, card("traces", variant, config=config))
    return out


# --- readers of patches


def brute_force(model, patch):
    """Votes for one patch: turn it over in every way, and every vote back by hand."""
    total = np.zeros(16)
    for flip_x in (False, True):
        for flip_y in (False, True):
            seen = patch[::-1] if flip_y else patch
            seen = seen[:, ::-1] if flip_x else seen
            x = torch.from_numpy(seen.astype(np.float32) / 255).permute(2, 0, 1)[None]
            with torch.no_grad():
                logs = model(x).log_softmax(dim=1)[0].numpy()
            for cell in range(16):
                row, column = divmod(cell, 4)
                home = 4 * (3 - row if flip_y else row) + (3 - column if flip_x else column)
                total[home] += logs[cell] / 4
    share = np.exp(total - total.max())
    return share / share.sum()


def test_votes_average_the_four_mirrorings(patches):
    model = lively(patch_net("fringe"))
    votes = readers.reading(model)(patches[:6])
    wanted = np.stack([brute_force(model, patch) for patch in patches[:6]])
    assert votes == pytest.approx(wanted, abs=1e-5)
    assert wanted.std(axis=0).max() > 0.01, "the patches do get different votes"


@pytest.mark.parametrize("axis", [1, 2])
def test_a_mirrored_patch_gets_mirrored_votes(patches, axis):
    predict = readers.reading(lively(patch_net("fringe")))
    votes = predict(patches[:4]).reshape(-1, 4, 4)
    mirrored = predict(np.flip(patches[:4], axis)).reshape(-1, 4, 4)
    assert mirrored == pytest.approx(np.flip(votes, axis), abs=1e-5)
    assert np.abs(mirrored - votes).max() > 0.01


def test_many_patches_are_read_as_few_are(patches):
    assert len(patches) > readers.BATCH
    model = lively(patch_net("fringe")).train()
    predict = readers.reading(model)
    votes = predict(patches)
    assert votes.shape == (80, 16)
    assert votes.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert votes[70:] == pytest.approx(predict(patches[70:]), abs=1e-5)
    assert model.training, "a network in training goes on with it"


@pytest.mark.parametrize("name", readers.READERS)
def test_no_patches_get_no_votes(weights, patches, name):
    assert readers.READERS[name](weights)(patches[:0]).shape == (0, 16)


def test_both_is_the_geometric_mean_of_the_two(weights, patches):
    few = patches[:5]
    closed, network, both = (readers.READERS[name](weights)(few) for name in readers.READERS)
    mean = np.sqrt(closed.astype(float) * network)
    assert both == pytest.approx(mean / mean.sum(axis=1, keepdims=True), rel=1e-4)
    assert np.abs(closed - network).max() > 0.01


def test_joined_survives_a_vote_of_nothing():
    sure = np.eye(16)[:3]
    found = readers.joined([sure, np.full((3, 16), 1 / 16)])
    assert np.isfinite(found).all()
    assert found.argmax(axis=1).tolist() == [0, 1, 2]


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UsageError, match="traces/pretext"):
        readers.network(tmp_path)
    with pytest.raises(UsageError, match="traces/joint"):
        readers.detector("joint", tmp_path)


# --- detectors


class Stub(nn.Module):
    """A detector that always says the same, and keeps what it was shown."""

    def __init__(self, box, logits=(0.0,)):
        super().__init__()
        self.answer = nn.Parameter(torch.tensor([*box], dtype=torch.float32))
        self.logits = logits
        self.shown = None

    def forward(self, patches, thumbnails):
        self.shown = patches, thumbnails
        count = len(patches)
        logits = torch.tensor([self.logits[i % len(self.logits)] for i in range(count)])
        return Reading(self.answer.repeat(count, 1), logits, None)


def bounds(mask):
    """Box of the marked pixels of a frame."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box.from_pixels(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1, mask.shape)


def test_views_are_what_the_detector_was_trained_on():
    model = Stub((0, 0, 1, 1))
    readers.look(model, LEAVES, views=3)
    patches, thumbnails = model.shown
    assert patches.shape == (3, 16, 3, 48, 48)
    assert thumbnails.shape == (3, 3, 75, 112)
    assert 0 <= float(patches.min()) < 0.2 < 0.8 < float(patches.max()) <= 1
    assert not torch.equal(patches[0], patches[1]), "views differ"


def test_scores_are_averaged_before_they_become_a_probability():
    opinion = readers.look(Stub((0, 0, 1, 1), logits=(4.0, -1.0)), LEAVES, views=2)
    assert opinion.score == pytest.approx(1 / (1 + np.exp(-1.5)), abs=1e-6)
    assert opinion.votes is None


@pytest.mark.parametrize("place", [(40, 0, 240, 300), (100, 150, 400, 600), (0, 300, 200, 600)])
def test_the_box_of_a_portrait_is_turned_back(place):
    """A frame with the crop marked is turned as the picture is; the detector names that place."""
    left, top, right, bottom = place
    frame = np.zeros((600, 400), bool)
    frame[top:bottom, left:right] = True
    opinion = readers.look(Stub(bounds(np.rot90(frame))), np.rot90(LEAVES))
    assert tuple(opinion.box) == pytest.approx(tuple(bounds(frame)), abs=1e-6)


def test_a_portrait_is_judged_as_the_landscape_it_was(weights):
    """The turned picture is turned back to the same pixels, so only the box differs."""
    model = readers.detector("joint", weights)
    turned_right = np.rot90(LEAVES, -1)
    flat, tall = readers.look(model, LEAVES), readers.look(model, turned_right)
    assert flat.score == tall.score
    assert np.array_equal(flat.votes, tall.votes)


@pytest.mark.parametrize(("height", "width"), [(600, 800), (450, 800), (500, 500)])
def test_what_3_to_2_leaves_out_is_added_to_the_box(height, width):
    """Each edge of the picture lies as far beyond its 3:2 middle in the frame as in pixels."""
    picture = np.zeros((height, width, 3), np.uint8)
    middle = Box(0.3, 0.4, 0.7, 0.8)
    kept_x, kept_y = min(width, round(height * 1.5)), min(height, round(width / 1.5))
    left, top = (width - kept_x) / 2, (height - kept_y) / 2
    x, y = middle.width / kept_x, middle.height / kept_y  # of the frame, for a pixel
    wanted = (
        middle.x1 - left * x,
        middle.y1 - top * y,
        middle.x1 + (width - left) * x,
        middle.y1 + (height - top) * y,
    )
    opinion = readers.look(Stub(middle), picture)
    assert tuple(opinion.box) == pytest.approx(wanted, abs=2e-3)
    assert opinion.box.area > middle.area


@pytest.mark.parametrize("shape", [(600, 800), (800, 600), (400, 900)])
def test_a_whole_frame_of_any_shape_stays_whole(shape):
    picture = np.zeros((*shape, 3), np.uint8)
    assert readers.look(Stub(FULL), picture).box == FULL


@pytest.mark.parametrize(
    "edges", [(0.9, 0.8, 0.1, 0.2), (2, 3, -1, -4), (1, 1, 1, 1), (0, 0, 0, 0)]
)
def test_any_four_numbers_become_a_box_in_the_frame(edges):
    box = readers.look(Stub(edges), LEAVES).box
    assert 0 <= box.x1 < box.x2 <= 1
    assert 0 <= box.y1 < box.y2 <= 1
    if edges[0] == 0.9:
        assert tuple(box) == pytest.approx((0.1, 0.2, 0.9, 0.8), abs=1e-6)


def test_pictures_are_looked_at_down_to_a_size():
    """What counts is the shorter side of the 3:2 middle: 256 px, no matter how it is turned."""
    for enough in (LEAVES[:256, :384], np.rot90(LEAVES[:256, :384])):
        assert readers.look(Stub(FULL), enough).box == FULL
    for small in (LEAVES[:255], LEAVES[:, :255], LEAVES[:300, :300]):
        with pytest.raises(PhotoError, match="too small here"):
            readers.look(Stub(FULL), small)


@pytest.mark.parametrize("variant", ["joint", "patch", "global"])
def test_detectors_answer_the_same_each_time_and_leave_the_picture(weights, variant):
    model = readers.detector(variant, weights)
    assert not model.training
    picture = LEAVES.copy()
    first, second = readers.look(model, picture), readers.look(model, picture)
    assert first.score == second.score
    assert first.box == second.box
    assert np.array_equal(picture, LEAVES)
    assert 0 <= first.score <= 1
    other = readers.look(model, picture, seed=1)
    assert other.score != first.score, "other views"
    if variant == "global":
        assert first.votes is None
    else:
        assert first.votes.shape == (16, 16)
        assert first.votes.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_detector_is_built_as_its_card_says(weights):
    model = readers.detector("patch", weights)
    assert model.thumbnail is None
    wanted = untrained("patch").state_dict()
    found = model.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
