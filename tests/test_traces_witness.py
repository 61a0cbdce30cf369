"""The witness of traces, with a small untrained detector, and `course locate traces`."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import cli
from course_lib.checkpoints import Card, save
from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import FULL, Box
from course_lib.leaves import dead_leaves
from course_lib.traces.model import crop_detector
from course_lib.traces.readers import Opinion, detector, look
from course_lib.traces.witness import witness
from course_lib.witness import witnesses

PICTURE = dead_leaves((400, 600), 2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return a function that makes a folder with the checkpoint, with or without a threshold."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)

    def made(**config):
        out = tmp_path_factory.mktemp("weights")
        torch.manual_seed(0)
        model = crop_detector("joint", "fringe", "course")
        config |= {"variant": "joint", "patch": "fringe", "thumbnail": "course"}
        card = Card.of_this_machine("traces", "joint", config=config)
        save(out, "joint", model.state_dict(), card)
        return out

    yield made
    torch.set_num_threads(before)


def test_protection_is_an_identical_copy(weights):
    protected = witness(weights()).protect(PICTURE)
    assert np.array_equal(protected, PICTURE)
    assert not np.shares_memory(protected, PICTURE)


def test_a_verdict_is_what_the_joint_detector_says(weights):
    place = weights(threshold=0.01)
    verdict = witnesses(place)["traces"]().examine(PICTURE)
    opinion = look(detector("joint", place), PICTURE)
    assert verdict.cropped is True
    assert (verdict.score, verdict.box) == (opinion.score, opinion.box)
    assert np.array_equal(verdict.evidence["votes"], opinion.votes)
    assert verdict.evidence["votes"].shape == (16, 16)
    assert "Missing of the original" in verdict.words


@pytest.mark.parametrize("threshold", [None, 0.0, 0.99])
def test_the_cards_threshold_decides(weights, threshold):
    asked = witness(weights() if threshold is None else weights(threshold=threshold))
    assert asked.threshold == (0.5 if threshold is None else threshold)
    verdict = asked.examine(PICTURE)
    assert verdict.cropped == (verdict.score >= asked.threshold)
    if threshold == 0.99:
        assert not verdict.cropped
        assert verdict.box == FULL
        assert "From 0.99 on" in str(verdict)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (Box(0.25, 0.0, 1.0, 0.9), "Missing of the original: 25% at the left, 10% at the bottom"),
        (Box(0.0, 0.1, 0.7, 1.0), "Missing of the original: 10% at the top, 30% at the right"),
        (Box(0.01, 0.02, 0.97, 1.0), "Little is missing"),
    ],
)
def test_words_say_what_is_missing(weights, monkeypatch, box, words):
    asked = witness(weights())
    said = Opinion(0.9, box, np.full((16, 16), 1 / 16))
    monkeypatch.setattr("course_lib.traces.witness.look", lambda model, image: said)
    assert asked.examine(PICTURE).words == words


def test_what_cannot_be_judged_is_refused(weights, tmp_path):
    with pytest.raises(PhotoError, match="too small"):
        witness(weights()).examine(PICTURE[:100])
    with pytest.raises(UsageError, match="traces/joint"):
        witness(tmp_path)


@pytest.mark.parametrize("threshold", [0.0, 0.99])
def test_the_command(weights, tmp_path, monkeypatch, capsys, threshold):
    seen, figure, file = (tmp_path / name for name in ("seen.png", "f.png", "f.json"))
    portrait = np.ascontiguousarray(np.rot90(PICTURE))
    Image.fromarray(portrait).save(seen)
    words = ["traces", str(seen), "--figure", str(figure), "--json", str(file)]
    place = str(weights(threshold=threshold))
    monkeypatch.setattr(sys, "argv", ["course", "locate", *words, "--weights", place])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    shown = capsys.readouterr().out
    assert shown.startswith("seen.png: " + ("not " if threshold else "") + "cropped (score 0.")
    answer = json.loads(file.read_text(encoding="utf-8"))
    assert answer["cropped"] == (threshold == 0)
    assert len(answer["box"]) == 4 and len(answer["evidence"]["votes"]) == 16
    with Image.open(figure) as drawn:
        assert min(drawn.size) > 200
