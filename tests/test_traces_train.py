"""Training traces: the pretext, and detectors that start from it."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.checkpoints import find, load, read_card
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.photos import Photo, PhotoSource, embedded
from course_lib.profiles import PROFILES
from course_lib.traces.baseline import fringe_features
from course_lib.traces.camera import PLAIN
from course_lib.traces.examples import Defences
from course_lib.traces.model import patch_net
from course_lib.traces.patches import cut_patches
from course_lib.traces.readers import closed_form
from course_lib.traces.train import (
    ANNEALING,
    BUDGETS,
    CLOSED_FORM,
    PRETEXT,
    DetectorTask,
    PretextTask,
    native_patches,
    solve_closed_form,
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
    assert [report.finished for report in reports] == [True] * 5
    for variant in (CLOSED_FORM, PRETEXT, "joint", "patch", "global"):
        card = read_card(find("traces", variant, out))
        assert card.system == "traces"
        assert sum(source["count"] for source in card.photos) == len(embedded())
        assert all("not stated" not in source["licences"] for source in card.photos)
        assert card.config["per_cell" if variant == CLOSED_FORM else "batch"]


def test_the_closed_form_learns_from_simulated_lenses(trained):
    """Without a camera's photographs, lenses are simulated on what there is."""
    out, _ = trained
    photos = [Photo(f"leaves {i}", lambda i=i: dead_leaves((1024, 1536), i)) for i in range(3)]
    patches = cut_patches(photos, 2, lens=Lens(red=1.0012, blue=0.999), moved=True)
    smallest = closed_form(out)(patches.patches)
    assert smallest.sum(axis=1) == pytest.approx(1)
    reader = solve_closed_form(embedded(), per_cell=2, scenes=48, rounds=10)
    votes = reader.votes(fringe_features(patches.patches))
    assert (votes.argmax(axis=1) == patches.cells).mean() > 0.18, "chance is 0.0625"


def test_large_photographs_are_taken_as_they_are():
    """One camera's photograph among small ones: patches are of it alone, through no lens."""
    large = np.full((1024, 1536, 3), 100, np.uint8)
    large[::7] = 200
    small = [Photo(f"{i}", lambda: np.zeros((400, 600, 3), np.uint8)) for i in range(3)]
    found = native_patches(PhotoSource("x", [*small, Photo("large", lambda: large)]), 2, 3, 0)
    assert len(found) == 32 and not found.photos.any()
    assert set(np.unique(found.patches)) == {100, 200}
    simulated = native_patches(PhotoSource("x", small), 1, 5, 0)
    assert len(np.unique(simulated.photos)) == 5
    assert (np.abs(simulated.positions).max(axis=0) > (600, 400)).all()


def test_losses_begin_near_chance(trained):
    _, reports = trained
    first = reports[1].history["patch"][0]
    assert first == pytest.approx(math.log(16), abs=0.6)
    for report in reports[2:]:
        assert report.history["crop"][0] == pytest.approx(math.log(2), abs=0.5)


def test_detectors_start_from_the_pretext(trained):
    out, _ = trained
    tensors, _ = load(find("traces", PRETEXT, out))
    detector = DetectorTask("joint", BUDGETS["smoke"], embedded(), 0, out).build()
    state = detector.patch.state_dict()
    assert all(torch.equal(state[name], tensors[name]) for name in tensors)
    other = patch_net("fringe").state_dict()
    assert any(not torch.equal(state[name], other[name]) for name in tensors)


def test_patches_are_mixed_unless_that_defence_is_off():
    task = DetectorTask("global", BUDGETS["smoke"], embedded(), 0, Path())
    assert task.build().order == "rolled"
    task.recipe = replace(task.recipe, defences=Defences(shuffle_labels=False))
    assert task.build().order == "aligned"


def test_the_pretext_sees_real_lenses_too():
    """Photographs as large as a camera's add a share of patches that nothing was simulated on."""
    budget = replace(BUDGETS["smoke"], patch_batch=16, real=0.5)
    flat = np.full((1024, 1536, 3), 90, np.uint8)
    large = PhotoSource("large", [Photo("flat", lambda: flat)])
    batches = PretextTask(budget, large, 3).batches(0, 0, 1)
    mixed = next(batches)
    assert mixed.patches.shape == (24, 3, 96, 96) and mixed.cells.shape == (24,)
    assert bool((mixed.patches[16:] == 90).all())
    assert bool((mixed.patches[:16] != 90).any())
    alone = next(PretextTask(replace(budget, real=0.0), large, 3).batches(0, 0, 1))
    assert torch.equal(alone.patches, mixed.patches[:16])
    small = next(PretextTask(budget, embedded(), 3).batches(0, 0, 1))
    assert len(small.patches) == 16
    again = PretextTask(budget, large, 3).batches(1, 0, 1)
    assert torch.equal(next(again).patches, next(batches).patches)


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


@pytest.mark.slow
def test_a_strong_lens_is_learned_within_seconds(monkeypatch):
    budget = replace(BUDGETS["smoke"], patch_steps=30, patch_batch=64)
    monkeypatch.setattr("course_lib.traces.train.ANNEALING", ((1.0, 8.0),))
    monkeypatch.setattr("course_lib.traces.train.REALISTIC", PLAIN)
    report = fit(PretextTask(budget, embedded(), 0), None, 30, device="cpu")
    assert np.mean(report.history["patch"][-10:]) < math.log(16) - 0.2
