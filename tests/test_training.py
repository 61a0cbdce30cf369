"""Training: resuming, several processes, and stopping are tested with real ones."""

import io
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from course_lib.checkpoints import load
from course_lib.errors import CourseError, UsageError
from course_lib.training import Solved, Stage, Task, cosine, fit, run_stages, share
from tests.small_training import Small

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = [sys.executable, "-m", "tests.small_training"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(task, out=None, steps=60, said=None, **options):
    console = Console(file=said or io.StringIO(), width=200, soft_wrap=True)
    return fit(task, out, steps, device="cpu", console=console, **options)


def weights(out, name="rings"):
    return load(out, name)[0]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_it_learns_and_leaves_weights_with_a_card(tmp_path):
    said = io.StringIO()
    report = train(Small(rate=0.03), tmp_path, 300, said)
    assert report.finished and report.steps == 300 and report.metrics["accuracy"] == 1
    assert report.history["loss"].shape == (300,)
    assert report.history["loss"][:20].mean() > 0.5 > report.history["loss"][-20:].mean()
    assert np.array_equal(report.history["loss"], report.history["rings"])
    assert (report.history["gradient"] > 0).all() and report.at_chance == ()
    assert report.speed > 100 and 0 <= report.waiting < 1
    tensors, card = load(report.weights)
    assert same(tensors, report.model.state_dict()) and not report.model.training
    assert (card.system, card.variant, card.steps) == ("small", "rings", 300)
    assert card.metrics == {"accuracy": 1} and card.config["batch"] == 8
    assert card.wall_seconds == pytest.approx(report.seconds, abs=0.1)
    first, *_, last = said.getvalue().splitlines()
    assert first == "small/rings · 82 weights · 1 × cpu, 32-bit"
    assert last.startswith("step 300/300 · loss 0.") and "points/s · 0:00 min left" in last


@pytest.mark.parametrize("slices", [[25], [1, 30, 59]])
def test_a_resumed_run_gives_the_same_losses_to_the_bit(tmp_path, slices):
    def task():
        made = Small(dropout=0.5)
        made.accumulate = 2
        return made

    whole = train(task(), tmp_path / "whole")
    for steps in [*slices, 60]:
        part = train(task(), tmp_path / "parts", steps, resume=True)
        # finished weights of a part are no obstacle
    assert all(np.array_equal(part.history[name], whole.history[name]) for name in whole.history)
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    states = [load(tmp_path / run, "rings.step-00000060")[0] for run in ("parts", "whole")]
    assert same(*states) and any(key.startswith("optimizer.0.exp_avg") for key in states[0])
    assert len(list((tmp_path / "parts").glob("*.step-*.json"))) == 1, "older ones are removed"


def test_an_optimizer_whose_state_is_not_only_tensors(tmp_path):
    class Momentum(Small):
        def optimizer(self, model):
            head = {"params": model[3].parameters(), "momentum": 0.0}
            return torch.optim.SGD([{"params": model[0].parameters()}, head], 0.1, momentum=0.9)

        def lr(self, step):
            return None

    whole = train(Momentum(), tmp_path / "whole", 20)
    train(Momentum(), tmp_path / "parts", 7)
    part = train(Momentum(), tmp_path / "parts", 20, resume=True)
    assert np.array_equal(part.history["loss"], whole.history["loss"])


def test_interrupted_and_resumed_in_real_processes(tmp_path):
    def start(*words):
        command = [*PROGRAM, str(tmp_path / "parts"), "400", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, **pipes)

    stopped = start("pause=0.02")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("parts/*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    stopped.send_signal(signal.SIGINT)
    out, err = stopped.communicate(timeout=60)
    assert stopped.returncode == -signal.SIGINT and "KeyboardInterrupt" in err
    (card,) = tmp_path.glob("parts/*.json")
    step = json.loads(card.read_text())["steps"]
    assert 0 < step < 400
    assert f"Interrupted at step {step} of 400, saved in {tmp_path / 'parts'}" in out
    assert "To go on: the same command with --resume" in out
    ended = start("resume=1")
    out, err = ended.communicate(timeout=60)
    assert ended.returncode == 0, err
    assert f"Going on from step {step}" in out
    whole = train(Small(), tmp_path / "whole", 400)
    assert same(weights(tmp_path / "parts"), whole.model.state_dict())
    states = [load(tmp_path / run, "rings.step-00000400")[0] for run in ("parts", "whole")]
    assert torch.equal(states[0]["history"], states[1]["history"])


def test_two_processes_give_the_weights_of_one(tmp_path):
    command = [*PROGRAM, str(tmp_path / "two"), "40", "accumulate=2", "devices=2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "2 × cpu" in done.stdout and done.stdout.count("step 40/40") == 1
    task = Small()
    task.accumulate = 2
    single = train(task, tmp_path / "one", 40).model.state_dict()
    double = weights(tmp_path / "two")
    assert single.keys() == double.keys()
    for name in single:
        torch.testing.assert_close(double[name], single[name], rtol=1e-4, atol=1e-5)
    losses = [load(tmp_path / run, "rings.step-00000040")[0]["history"] for run in ("one", "two")]
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-5)
    halved = train(Small(batch=4), steps=40).model.state_dict()
    assert not torch.allclose(halved["0.weight"], single["0.weight"], atol=1e-3), "test can fail"


@pytest.mark.parametrize("saved", [True, False])
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path, saved):
    good = "Nothing had been saved yet"
    if saved:
        train(Small(), tmp_path, 20)
        good = f"The last good checkpoint, of step 20, is kept in {tmp_path}"
    with pytest.raises(CourseError, match=f"'loss' is nan at step 31. {good}.*Lower the"):
        train(Small(spoil_at=30), tmp_path, 60, resume=True)
    if saved:
        tensors, card = load(tmp_path, "rings.step-00000020")
        assert card.steps == 20 and all(value.isfinite().all() for value in tensors.values())
        assert train(Small(), tmp_path, 60, resume=True).finished
    else:
        assert not list(tmp_path.iterdir())


def test_checkpoints_before_a_nan_hold_only_finite_weights(tmp_path):
    with pytest.raises(CourseError, match=r"at step 31\. The last good checkpoint, of step"):
        train(Small(spoil_at=30, pause=0.01), tmp_path, 60, save_every_s=0)
    (path,) = tmp_path.glob("*.safetensors")
    tensors, card = load(path)
    assert 0 < card.steps <= 30 and all(value.isfinite().all() for value in tensors.values())


def test_a_gradient_that_overflows_stops_too():
    class Steep(Small):
        clip = None

        def loss(self, model, batch):
            loss = (model(batch[0]).square().sum() + 1e-30).mul(1e-38).sqrt() * 0 + 1
            return {"loss": loss + (model(batch[0]).sum() * 0).sqrt()}

        chance = ()

    with pytest.raises(CourseError, match="norm of the gradient is nan at step 1"):
        train(Steep())


def test_chance_is_said_in_words():
    said = io.StringIO()
    report = train(Small(blind=True, rate=0.001), steps=100, said=said)
    words = "rings 0.69 = ln 2: nothing learned yet"
    assert report.at_chance == (words,)
    assert said.getvalue().count(words) == 2 and f"small/rings: {words}" in said.getvalue()
    assert train(Small(blind=True), steps=5).at_chance == (), "too early to say"


def test_chance_of_a_loss_that_is_not_there():
    task = Small()
    task.chance = (("colour", 1.0, "nothing"),)
    with pytest.raises(UsageError, match="no such loss"):
        train(task, steps=5)


def test_the_time_limit_stops_cleanly(tmp_path):
    said = io.StringIO()
    part = train(Small(pause=0.01), tmp_path, 500, said, limit_s=0.5)
    assert not part.finished and 0 < part.steps < 100 and part.weights is None
    assert f"Time is up at step {part.steps} of 500, saved in {tmp_path}" in said.getvalue()
    again = train(Small(), tmp_path, 500, resume=True)
    assert again.finished and again.seconds > part.seconds
    assert np.array_equal(again.history["loss"], train(Small(), steps=500).history["loss"])


def test_gradients_are_accumulated_and_clipped():
    class Recorded(Small):
        seen = ()

        def loss(self, model, batch):
            self.seen = (*self.seen, *(p.detach().clone() for p in model.parameters()))
            return super().loss(model, batch)

        def optimizer(self, model):
            return torch.optim.SGD(model.parameters(), lr=1.0)

    task = Recorded(rate=1.0)
    task.clip = 0.01
    report = train(task, steps=2)
    before, after = task.seen[:4], task.seen[4:8]
    moved = math.sqrt(
        sum((a - b).square().sum().item() for a, b in zip(after, before, strict=True))
    )
    assert report.history["gradient"][0] > 0.05 and moved == pytest.approx(0.01, rel=1e-3)

    class Twice(Small):
        """Gives each batch in two halves."""

        accumulate = 2

        def batches(self, first_step, rank, world):
            for step in range(first_step, 10**9):
                rng = torch.Generator().manual_seed(step)
                points = torch.randn(8, 2, generator=rng)
                label = (points[:, 0] > 0).long()
                for part in points.split(8 // self.accumulate):
                    yield part, label[: len(part)]
                    label = label[len(part) :]

    halves, whole = Twice(), Twice()
    whole.accumulate = 1
    losses = [train(task, steps=30).history["loss"] for task in (halves, whole)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_a_run_is_not_overwritten_nor_mixed_up(tmp_path):
    train(Small(), tmp_path, 20)
    with pytest.raises(UsageError, match="holds a run of small/rings: resume it"):
        train(Small(), tmp_path, 40)
    with pytest.raises(UsageError, match=r"other settings \(batch 8 → 16\)"):
        train(Small(batch=16), tmp_path, 40, resume=True)
    with pytest.raises(UsageError, match="is at step 20 already"):
        train(Small(), tmp_path, 10, resume=True)
    other = Small()
    other.seed = 5
    with pytest.raises(UsageError, match="seed 0 → 5"):
        train(other, tmp_path, 40, resume=True)

    class Wider(Small):
        def build(self):
            return nn.Sequential(nn.Linear(2, 5), nn.Linear(5, 2))

    with pytest.raises(CourseError, match="does not fit this network"):
        train(Wider(), tmp_path, 40, resume=True)
    state = tmp_path / "rings.step-00000020.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(CourseError, match="is cut short"):
        train(Small(), tmp_path, 40, resume=True)


def test_stages_follow_each_other_and_finished_ones_are_skipped(tmp_path):
    class Second(Small):
        variant = "second"

        def build(self):
            network = super().build()
            network.load_state_dict(weights(self.out))
            return network

    def stages():
        second = Second()
        second.out = tmp_path
        return [Stage(Small(), 30), Stage(second, 20)]

    options = {"device": "cpu", "console": Console(file=io.StringIO())}
    reports = run_stages(stages(), tmp_path, **options)
    assert [report.name for report in reports] == ["small/rings", "small/second"]
    assert run_stages(stages(), tmp_path, resume=True, **options) == []
    (tmp_path / "second.safetensors").unlink()
    (again,) = run_stages(stages(), tmp_path, resume=True, **options)
    assert again.name == "small/second" and again.weights.exists()
    (first,) = run_stages(stages(), tmp_path / "new", limit_s=0, **options)
    assert not first.finished, "the second stage is not begun"


def test_a_solved_stage_leaves_weights_and_is_not_solved_again(tmp_path):
    calls = []

    def solve():
        calls.append(torch.rand(1).item())
        return {"weights": np.arange(3.0), "bias": torch.ones(1)}

    photos = [{"name": "leaves", "count": 2, "licences": {"CC0": 2}}]
    stage = Solved("small", "line", solve, photos, {"degree": np.int64(2)}, seed=5)
    said = io.StringIO()
    options = {"device": "cpu", "console": Console(file=said), "command": "train small"}
    solved, trained = run_stages([stage, Stage(Small(), 20)], tmp_path, **options)
    assert solved.finished and solved.model is None and trained.name == "small/rings"
    assert solved.name == "small/line" and "small/line · solved in 0:00 min" in said.getvalue()
    tensors, card = load(solved.weights)
    assert tensors["weights"].tolist() == [0, 1, 2] and tensors["bias"].tolist() == [1]
    assert (card.system, card.variant, card.seed, card.steps) == ("small", "line", 5, 0)
    assert card.photos == photos and card.config == {"degree": 2}
    assert card.command == "train small" and card.hardware and card.wall_seconds >= 0
    assert run_stages([stage], tmp_path, resume=True, **options) == [] and len(calls) == 1
    with pytest.raises(UsageError, match="holds a run of small/line"):
        run_stages([stage], tmp_path, **options)
    run_stages([stage], tmp_path / "again", **options)
    assert calls[0] == calls[1], "chance starts from the seed"


def test_an_interrupted_solution_leaves_nothing_and_begins_anew(tmp_path):
    hurried = iter([KeyboardInterrupt(), {"x": torch.zeros(1)}])

    def solve():
        answer = next(hurried)
        if isinstance(answer, KeyboardInterrupt):
            raise answer
        return answer

    stage = Solved("small", "line", solve)
    options = {"device": "cpu", "console": Console(file=io.StringIO())}
    with pytest.raises(KeyboardInterrupt):
        run_stages([stage], tmp_path, **options)
    assert not list(tmp_path.iterdir())
    (report,) = run_stages([stage], tmp_path, resume=True, **options)
    assert report.weights.exists()


def test_a_solved_stage_follows_an_unfinished_one_only_later(tmp_path):
    stages = [Stage(Small(), 500), Solved("small", "line", lambda: {"x": torch.zeros(1)})]
    options = {"device": "cpu", "console": Console(file=io.StringIO())}
    (first,) = run_stages(stages, tmp_path, limit_s=0, **options)
    assert not first.finished and not (tmp_path / "line.safetensors").exists()
    first, second = run_stages(stages, tmp_path, resume=True, **options)
    assert first.finished and second.weights.exists()


def test_one_of_two_processes_solves(tmp_path):
    command = [*PROGRAM, str(tmp_path / "out"), "20", "devices=2", "solved=1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("solved-by-*"))) == 1
    assert weights(tmp_path / "out", "line")["line"].tolist() == [1.5, -0.5]
    assert load(tmp_path / "out", "rings")[1].steps == 20


def test_a_bar_is_drawn_on_a_terminal():
    said = io.StringIO()
    console = Console(file=said, force_terminal=True, width=120)
    fit(Small(), None, 50, device="cpu", console=console)
    assert "━" in said.getvalue() and "step 50/50" in said.getvalue()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device": "tpu"}, "choose auto, cpu or cuda"),
        ({"precision": "16"}, "choose auto, 32 or bf16"),
        ({"nodes": 2}, "torchrun --nnodes 2"),
    ],
)
def test_what_cannot_be_had_is_said(options, says):
    with pytest.raises(UsageError, match=says):
        fit(Small(), None, 5, **{"device": "cpu", **options})


def test_the_learning_rate_rises_stays_and_falls():
    rates = [cosine(step, 200, 1.0, 20) for step in range(200)]
    assert np.argmax(rates) in range(15, 25)
    assert rates[0] < 0.1
    assert rates[-1] < 0.02
    stays = [cosine(step, 200, 3.0, 20, flat=0.5) for step in range(220)]
    assert stays[19:101] == [3.0] * 82
    assert stays[150] < 2 and stays[-1] == pytest.approx(0.03)


def test_a_processor_computes_in_bf16_when_asked(tmp_path):
    report = fit(Small(), tmp_path, 30, device="cpu", precision="bf16")
    exact = fit(Small(), None, 30, device="cpu", precision="32")
    losses = report.history["loss"], exact.history["loss"]
    assert not np.array_equal(*losses)
    np.testing.assert_allclose(*losses, rtol=0.1)


def test_batches_that_end_or_cannot_be_shared():
    class Short(Small):
        def batches(self, first_step, rank, world):
            yield from list(zip(range(0), range(0), strict=True))

    with pytest.raises(CourseError, match="no more batches at step 0"):
        train(Short())
    with pytest.raises(UsageError, match="batch of 9 cannot be shared out evenly to 2"):
        share(9, 0, 2)
    assert [list(range(8))[share(8, rank, 4)] for rank in (0, 3)] == [[0, 1], [6, 7]]


def test_a_task_must_say_what_it_trains():
    with pytest.raises(TypeError, match="abstract"):
        Task()
