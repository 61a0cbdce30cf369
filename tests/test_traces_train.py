"""Training traces: the pretext, and detectors that start from it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from course_lib.checkpoints import find, load, read_card
from course_lib.photos import embedded
from course_lib.profiles import PROFILES
from course_lib.traces.camera import PLAIN
from course_lib.traces.model import patch_net
from course_lib.traces.train import (
    ANNEALING,
    BUDGETS,
    PRETEXT,
    DetectorTask,
    PretextTask,
    cosine,
    stages,
)
from course_lib.training import fit, run_stages


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The whole training at its smallest, once."""
    out = tmp_path_factory.mktemp("trained")
    torch.set_num_threads(1)
    reports = run_stages(stages(PROFILES["smoke"], embedded(), 0, out), out, device="cpu")
    return out, reports


def test_everything_is_trained_and_leaves_weights_with_cards(trained):
    out, reports = trained
    assert [report.finished for report in reports] == [True] * 4
    for variant in (PRETEXT, "joint", "patch", "global"):
        card = read_card(find("traces", variant, out))
        assert card.system == "traces"
        assert card.photos
        assert card.config["batch"]


def test_losses_begin_near_chance(trained):
    _, reports = trained
    first = reports[0].history["patch"][0]
    assert first == pytest.approx(math.log(16), abs=0.6)
    for report in reports[1:]:
        assert report.history["crop"][0] == pytest.approx(math.log(2), abs=0.5)


def test_detectors_start_from_the_pretext(trained):
    out, _ = trained
    tensors, _ = load(find("traces", PRETEXT, out))
    detector = DetectorTask("joint", BUDGETS["smoke"], embedded(), 0, out).build()
    state = detector.patch.state_dict()
    assert all(torch.equal(state[name], tensors[name]) for name in tensors)
    other = patch_net("fringe").state_dict()
    assert any(not torch.equal(state[name], other[name]) for name in tensors)


def test_strength_is_annealed_and_a_resumed_run_sees_the_same():
    budget = replace(BUDGETS["smoke"], patch_steps=8, patch_batch=16)
    task = PretextTask(budget, embedded(), 3)
    seen = []
    task._stream = lambda strength, make=task._stream: seen.append(strength) or make(strength)
    batches = task.batches(0, 0, 1)
    whole = [next(batches).patches for _ in range(8)]
    assert seen == [strength for _, strength in ANNEALING]
    again = task.batches(5, 0, 1)
    for step in (5, 6, 7):
        assert torch.equal(next(again).patches, whole[step])


def test_the_learning_rate_rises_and_falls():
    rates = [cosine(step, 200, 1.0) for step in range(200)]
    assert np.argmax(rates) in range(15, 25)
    assert rates[0] < 0.1
    assert rates[-1] < 0.02


@pytest.mark.slow
def test_a_strong_lens_is_learned_within_seconds(monkeypatch):
    budget = replace(BUDGETS["smoke"], patch_steps=30, patch_batch=64)
    monkeypatch.setattr("course_lib.traces.train.ANNEALING", ((1.0, 8.0),))
    monkeypatch.setattr("course_lib.traces.train.REALISTIC", PLAIN)
    report = fit(PretextTask(budget, embedded(), 0), None, 30, device="cpu")
    assert np.mean(report.history["patch"][-10:]) < math.log(16) - 0.2
