"""Training FG-JPEG: three stages from nothing to weights that open, learning, and measuring."""

from dataclasses import replace

import kornia
import numpy as np
import pytest
import torch

from course_lib import profiles, results
from course_lib.errors import UsageError
from course_lib.fgjpeg.evaluate import cases, cost_rows, evaluate, fidelity_rows, simulators
from course_lib.fgjpeg.model import BINS
from course_lib.fgjpeg.objective import nearest_bin
from course_lib.fgjpeg.system import open_predictor, simulator
from course_lib.fgjpeg.train import BUDGETS, GeneratorTask, PredictorTask, stages
from course_lib.photos import embedded
from course_lib.training import fit, run_stages

SMOKE = BUDGETS["smoke"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Weights of all three networks after a few steps."""
    out = tmp_path_factory.mktemp("trained")
    run_stages(stages(profiles.resolve("smoke"), embedded(), 0, out), out, device="cpu")
    return out


def test_all_stages_leave_weights_with_cards(trained):
    for name in ("generator", "judge", "predictor"):
        assert (trained / f"{name}.json").is_file()
    pictures = torch.rand(2, 3, 48, 48)
    made = simulator(trained)(pictures, torch.tensor([10.0, 90.0]))
    assert made.shape == pictures.shape
    assert open_predictor(trained)(made).shape == (2, len(BINS))
    judge, predictor = (open_predictor(trained, name) for name in ("judge", "predictor"))
    assert not torch.equal(judge.head.weight, predictor.head.weight)


def test_what_was_not_trained_is_named(tmp_path):
    for opened in (simulator, open_predictor):
        with pytest.raises(UsageError, match="course train fgjpeg"):
            opened(tmp_path)


def test_every_profile_holds_every_quality_equally_often():
    for budget in BUDGETS.values():
        assert budget.batch % len(BINS) == 0 and budget.tile % 16 == 0


def test_a_run_that_was_stopped_goes_on_with_the_same_losses(trained, tmp_path):
    task = lambda: GeneratorTask(SMOKE, embedded(), 3, trained)  # noqa: E731
    whole = fit(task(), None, 4, device="cpu").history
    fit(task(), tmp_path, 2, device="cpu")
    for suffix in ("safetensors", "json"):
        (tmp_path / f"generator.{suffix}").unlink()
    rest = fit(task(), tmp_path, 4, device="cpu", resume=True).history
    for name, values in whole.items():
        np.testing.assert_array_equal(values, rest[name], err_msg=name)


def test_the_predictor_is_frozen_while_the_generator_learns(trained):
    task = GeneratorTask(SMOKE, embedded(), 0, trained)
    fit(task, None, 2, device="cpu")
    stored = open_predictor(trained).state_dict()
    for name, value in task.predictor.state_dict().items():
        assert torch.equal(value, stored[name]), name


def test_pixels_come_first_and_then_the_quality_that_is_read(trained):
    task = GeneratorTask(replace(SMOKE, generator_steps=100), embedded(), 0, trained)
    assert [task.reading(step) for step in (0, 30, 60)] == [0, 0, 0]
    assert 0 < task.reading(61) < task.reading(80) < task.reading(100) == SMOKE.reading
    net, pairs = task.build(), next(task.batches(0, 0, 1))
    alone = task.loss(net, pairs)
    assert alone["loss"] == alone["pixels"] and not alone["reading"].requires_grad
    late = task.loss(net, pairs._replace(step=torch.tensor(100)))
    torch.testing.assert_close(
        late["loss"], late["pixels"] + SMOKE.reading * late["reading"], rtol=1e-6, atol=0
    )
    late["reading"].backward()  # through the frozen predictor, to the generator
    assert net.leave[0].weight.grad.abs().sum() > 0


def test_the_predictor_learns_from_one_batch_what_quality_is():
    budget = replace(SMOKE, predictor={"width": 8, "blocks": 1}, batch=12, tile=64, rate=5e-3)
    task = PredictorTask(budget, embedded(), 0)
    pairs = next(task.batches(0, 0, 1))
    torch.manual_seed(0)
    net = task.build()
    step = torch.optim.Adam(net.parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        step.zero_grad()
        found = task.loss(net, pairs)
        found["loss"].backward()
        step.step()
        losses.append(float(found["loss"].detach()))
    assert losses[0] > 1.2 and losses[-1] < 0.3
    assert found["accuracy"] > 0.9


def test_the_generator_learns_from_one_batch_what_files_do(trained):
    budget = replace(SMOKE, generator={"sizes": (4, 8, 16, 64, 32)}, batch=6, reading=0.0)
    task = GeneratorTask(budget, embedded(), 0, trained)
    pairs = next(task.batches(0, 0, 1))
    torch.manual_seed(0)
    net = task.build()
    step = torch.optim.Adam(net.parameters(), lr=5e-3)
    untouched = (pairs.pictures.float() - pairs.files.float()).abs().mean() / 255
    for _ in range(60):
        step.zero_grad()
        found = task.loss(net, pairs)
        found["loss"].backward()
        step.step()
    assert found["pixels"] < 0.6 * untouched


def test_everything_is_measured(trained, monkeypatch):
    monkeypatch.setattr("course_lib.fgjpeg.evaluate.COSTLY", 1)
    monkeypatch.setattr("course_lib.fgjpeg.evaluate.CANVAS", 96)
    measured = evaluate(embedded(), weights=trained, limit=2)
    results.check(measured)
    rows = measured["rows"]
    assert measured["photos"] == 2
    assert {each["metric"] for each in rows} == {
        "simulator_psnr", "quality_accuracy", "blockiness", "seconds_simulator",
    }  # fmt: skip
    assert {each["variant"] for each in rows} == {*simulators(trained), "real"}
    assert {each.get("case") for each in rows} == {None, "predictor", "judge"}
    papers = [each for each in rows if each["paper"]]
    assert {each["variant"]: each["paper"] for each in papers} == {
        "fg-jpeg": 0.9317,
        "jpeg-ss": 0.7248,
    }
    overall = {
        each["variant"]: each["value"]
        for each in rows
        if each["metric"] == "simulator_psnr" and "attack" not in each
    }
    assert overall["straight-through"] > overall["jpeg-ss"] > overall["jpeg-mask"]
    assert overall["jpeg-ss"] > overall["none"] + 6


def test_kornia_is_measured_like_ours(trained):
    """Its simulator is another oracle: near the real file, though not as near as ours."""

    def theirs(pictures, quality, generator):
        table = torch.tensor([float(quality)])
        return kornia.enhance.jpeg_codec_differentiable(pictures, table)

    compared = {"kornia": theirs, "straight-through": simulators(trained)["straight-through"]}
    rows = fidelity_rows(compared, {}, cases(embedded(), 2), qualities=(10, 50, 90))
    found = {
        (each["variant"], each.get("attack")): each["value"]
        for each in rows
        if each["metric"] == "simulator_psnr"
    }
    for attack in ("jpeg10", "jpeg50", "jpeg90"):
        assert 34 < found["kornia", attack] <= found["straight-through", attack]


def test_the_real_file_is_read_as_itself_by_a_perfect_reader():
    class Perfect(torch.nn.Module):
        """Knows the qualities in the order in which they are asked."""

        def __init__(self):
            super().__init__()
            self.asked = 0

        def forward(self, pictures):
            bin_ = self.asked % len(BINS)
            self.asked += 1
            logits = torch.zeros(len(pictures), len(BINS))
            logits[0, bin_] = 1  # the file itself comes first
            logits[1:, (bin_ + 1) % len(BINS)] = 1
            return logits

    nothing = {"none": lambda pictures, quality, generator: pictures}
    rows = fidelity_rows(nothing, {"predictor": Perfect()}, cases(embedded(), 2))
    found = {
        each["variant"]: each["value"]
        for each in rows
        if each["metric"] == "quality_accuracy" and "attack" not in each
    }
    assert found == {"real": 1.0, "none": 0.0}


def test_costs_are_positive():
    rows = cost_rows({"none": lambda pictures, quality, generator: pictures}, rounds=2)
    assert len(rows) == 1 and rows[0]["value"] > 0 and rows[0]["variant"] == "none"


def test_bins_of_the_stream_are_those_that_count_as_right(trained):
    pairs = next(PredictorTask(SMOKE, embedded(), 0).batches(0, 0, 1))
    assert sorted(nearest_bin(pairs.quality).tolist()) == list(range(len(BINS)))
