"""The one training loop of all systems, on a processor, a GPU, or many machines.

A system says in a `Task` what is trained: the network, its optimizer, its batches and its losses.
`fit` does what is the same everywhere, through Lightning Fabric: device and precision, progress,
checkpoints and going on from them, several processes, and stopping when something is wrong.
"""

import logging
import math
import os
import random
import re
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch import Tensor, nn

from course_lib.checkpoints import Card, CheckpointError, Tensors, load, save
from course_lib.errors import CourseError, UsageError
from course_lib.files import plain

CHANCE_WINDOW = 100  # steps whose mean loss is compared with chance
FEWEST_STEPS = 20  # before anything is said about chance
CHANCE_MARGIN = 0.02  # a loss less than 2 % below chance has learned nothing worth the name
LOOK_S = 0.5  # seconds between looks at the losses; each look waits for the GPU
SAY_S = 15.0  # seconds between lines of progress where no bar can be drawn
GRADIENT = "gradient"  # its norm before clipping, kept beside the losses


class Task(ABC):
    """What is trained. A system makes a subclass; what it needs to know it gets in ``__init__``.

    The same seed must give the same run. The global generators (torch, NumPy, random) are set
    anew before ``build`` and before every step, from seed, step and rank, so that dropout draws
    the same after a resumption. Batches must draw from a generator of their own, made from seed
    and step.

    Attributes
    ----------
    system, variant : str
        Such as ``traces`` and ``patch``; the weights become ``VARIANT.safetensors``.
    seed : int
        Start of all randomness.
    config : dict
        Everything needed to build the network again, and the settings of the training, as JSON
        knows it. A run can only be resumed with the same.
    photos : list of dict
        For the card, from `course_lib.checkpoints.describe_photos`.
    accumulate : int
        Batches whose gradients are averaged for one step of the optimizer.
    clip : float or None
        Largest norm of the gradient.
    unit : str
        What is counted as speed, such as ``patches``.
    chance : sequence of (name, value, words)
        Losses whose value is known when nothing has been learned, and how to say so:
        ``("patch", math.log(16), "2.77 = ln 16: nothing learned yet")``.
    """

    system: str
    variant: str
    seed: int = 0
    config: Mapping[str, Any] = {}
    photos: Sequence[Mapping[str, Any]] = ()
    accumulate: int = 1
    clip: float | None = 1.0
    unit: str = "samples"
    chance: Sequence[tuple[str, float, str]] = ()

    @property
    def name(self) -> str:
        """System and variant."""
        return f"{self.system}/{self.variant}"

    @abstractmethod
    def build(self) -> nn.Module:
        """Make the network with its first weights."""

    @abstractmethod
    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make the optimizer."""

    def lr(self, step: int) -> float | None:
        """Return the learning rate of a step (0 is the first), or None to leave it as it is."""
        return None

    @abstractmethod
    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Any]:
        """Yield ``accumulate`` batches for each step, from a step on, without end.

        What a step sees depends on seed and step alone, not on where a run began. With several
        processes the batch of a step is shared out: each takes the samples of `share`. Worker
        processes must ignore SIGINT, for a terminal sends Ctrl-C to them too.
        """

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Return scalars; ``loss`` is minimised, the others are kept for the learning curves.

        Each is a mean over the batch. Call the network as ``model(...)``, never a method of it:
        the call is where precision is chosen and processes are kept in step.
        """

    def samples(self, batch: Any) -> int:
        """Return how many ``unit`` a batch holds: the length of the first tensor in it."""
        if isinstance(batch, Tensor):
            return len(batch)
        inner = batch.values() if isinstance(batch, Mapping) else batch
        return self.samples(next(iter(inner)))

    def evaluate(self, model: nn.Module) -> dict[str, Any]:
        """Measure the trained network for its card: name to a number or an ``Estimate``."""
        return {}


@dataclass(frozen=True)
class Stage:
    """A task and how many steps of it; a system's training is a list of them."""

    task: Task
    steps: int


@dataclass(frozen=True)
class Solved:
    """A stage that needs no steps: what is fitted at once, such as trees or least squares.

    It leaves weights and a card as any other stage, and is skipped when a run goes on. It cannot be
    stopped half-way: an interruption leaves nothing, and the stage begins anew.

    Parameters
    ----------
    system, variant : str
        As for `Task`.
    solve : callable
        Returns named tensors or arrays, which are stored. The global generators are set from the
        seed before.
    photos, config, seed
        As for `Task`.
    """

    system: str
    variant: str
    solve: Callable[[], Mapping[str, Any]]
    photos: Sequence[Mapping[str, Any]] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Report:
    """What a run came to.

    Parameters
    ----------
    name : str
        Of the task.
    steps : int
        Steps done, those before a resumption included.
    finished : bool
        Whether these were all.
    seconds : float
        Time of training, earlier slices included.
    speed : float
        Units a second in this slice, over all processes.
    waiting : float
        Share of this slice's time in which the network waited for its batches.
    history : dict of str to (steps,) ndarray
        Each loss at each step, and the norm of the gradient.
    at_chance : tuple of str
        What has learned nothing, in words.
    metrics : dict
        From ``Task.evaluate``.
    model : Module or None
        The network, in evaluation mode; None where something was solved that is no network.
    weights : Path or None
        The safetensors file, once finished.
    """

    name: str
    steps: int
    finished: bool
    seconds: float
    speed: float
    waiting: float
    history: dict[str, np.ndarray]
    at_chance: tuple[str, ...]
    metrics: dict[str, Any]
    model: nn.Module | None = field(repr=False)
    weights: Path | None


def share(count: int, rank: int, world: int) -> slice:
    """Return which samples of a batch one of several processes takes.

    Raises
    ------
    UsageError
        When the batch cannot be shared out evenly, which would weigh some samples more.
    """
    if count % world:
        raise UsageError(f"A batch of {count} cannot be shared out evenly to {world} processes.")
    each = count // world
    return slice(rank * each, (rank + 1) * each)


def unwrapped(model: nn.Module) -> Any:
    """Return the network below the wrappers that training puts around it."""
    while hasattr(model, "module"):
        model = model.module  # type: ignore[assignment]
    return model


def cosine(step: int, steps: int, highest: float, warm_up: int, flat: float = 0.0) -> float:
    """Return a learning rate that rises, stays, and falls along a cosine to a hundredth.

    Parameters
    ----------
    step, steps : int
        Which one (0 is the first), and of how many.
    highest : float
        Full rate.
    warm_up : int
        Steps in which it rises.
    flat : float
        Share of all steps before it falls.
    """
    done = max(0.0, min(step / steps, 1.0) - flat) / (1 - flat)
    falling = 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2
    return highest * min(1.0, (step + 1) / warm_up) * falling


def fit(
    task: Task,
    out: Path | None,
    steps: int,
    *,
    precision: str = "auto",
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    resume: bool = False,
    save_every_s: float = 60.0,
    limit_s: float | None = None,
    command: str = "",
    console: Console | None = None,
) -> Report:
    """Train a task.

    Ctrl-C and SIGTERM save first; a second Ctrl-C does not. With several processes each one
    returns, or the others leave quietly when the first raises.

    Parameters
    ----------
    task : Task
        What to train.
    out : Path or None
        Folder for ``VARIANT.step-N.safetensors``, from which a run goes on, and at the end
        ``VARIANT.safetensors``, each with its card. None keeps nothing.
    steps : int
        In all, those before a resumption included.
    precision : str
        ``32``, ``bf16``, or ``auto``: bf16 on GPUs that compute in it, else 32. On a processor,
        bf16 is faster only if it has instructions for it.
    device : str
        ``cpu``, ``cuda``, or ``auto``: CUDA when it is there.
    devices, nodes : int
        Processes on each machine, and machines. Started by torchrun, its numbers are taken.
    resume : bool
        Go on from the checkpoint in ``out``, if there is one.
    save_every_s : float
        Seconds between checkpoints.
    limit_s : float, optional
        Stop cleanly after this time; the report then is not ``finished``.
    command : str
        What was typed, for the card; nothing if it was no command.
    console : Console, optional
        Where progress goes; a bar if it is a terminal, else plain lines.

    Raises
    ------
    UsageError
        When the device, precision, folder or checkpoint does not fit the request.
    CourseError
        When a loss is not finite: says at which step, and which checkpoint is still good.
    KeyboardInterrupt
        After an interruption, once everything is saved.
    """
    began = time.monotonic()
    console = console or Console(force_jupyter=False, highlight=False, soft_wrap=True)
    saved = _newest(out, task) if out else None
    if out and not resume and (saved or (out / f"{task.variant}.safetensors").exists()):
        raise UsageError(f"{out} holds a run of {task.name}: resume it, or choose another folder.")
    fabric, precision = _fabric(precision, device, devices, nodes)
    _seed(task.seed)
    run = _Run(task, fabric, precision, steps, out, command, console)
    if saved:
        run.restore(saved)
    with _Interrupts() as interrupts:
        run.train(interrupts, began, math.inf if limit_s is None else limit_s, save_every_s)
    return run.report()


def run_stages(
    stages: Sequence[Stage | Solved],
    out: Path,
    *,
    resume: bool = False,
    limit_s: float | None = None,
    **options: Any,
) -> list[Report]:
    """Train stages one after another; stop when the time is up.

    Parameters
    ----------
    stages : sequence of Stage and Solved
        A later one may read what an earlier one left in ``out``.
    out : Path
        Folder for all of them.
    resume : bool
        Go on: finished stages are skipped.
    limit_s : float, optional
        Time for all stages together.
    **options
        As for `fit`.

    Returns
    -------
    list of Report
        Of the stages that were trained now; only the last can be unfinished.
    """
    began = time.monotonic()
    reports: list[Report] = []
    for stage in stages:
        if resume and _is_finished(stage, out):
            continue
        if isinstance(stage, Solved):
            reports.append(_solve(stage, out, **options))
            continue
        left = None if limit_s is None else limit_s - (time.monotonic() - began)
        reports.append(fit(stage.task, out, stage.steps, resume=resume, limit_s=left, **options))
        if not reports[-1].finished:
            break
    return reports


def _solve(
    stage: Solved,
    out: Path,
    *,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    command: str = "",
    console: Console | None = None,
    **_: Any,
) -> Report:
    """Solve a stage in the first process and write its weights; the others wait."""
    name = f"{stage.system}/{stage.variant}"
    path = out / f"{stage.variant}.safetensors"
    if path.exists():
        raise UsageError(f"{out} holds a run of {name}: resume it, or choose another folder.")
    fabric, _precision = _fabric("32", device, devices, nodes)
    began = time.monotonic()
    if fabric.is_global_zero:
        console = console or Console(force_jupyter=False, highlight=False, soft_wrap=True)
        _seed(stage.seed)
        tensors = stage.solve()
        seconds = time.monotonic() - began
        card = Card.of_this_machine(
            stage.system,
            stage.variant,
            seed=stage.seed,
            command=command,
            photos=[dict(source) for source in stage.photos],
            wall_seconds=round(seconds, 1),
            config=plain(stage.config),
        )
        save(out, stage.variant, tensors, card)
        console.print(f"{name} · solved in {_clock(seconds)}", markup=False)
    fabric.barrier()  # a later stage may read the weights
    seconds = time.monotonic() - began
    return Report(name, 0, True, seconds, 0.0, 0.0, {}, (), {}, None, path)


class _Run:
    """The state of one run: network, optimizer, step, and the losses so far."""

    def __init__(
        self,
        task: Task,
        fabric: Fabric,
        precision: str,
        steps: int,
        out: Path | None,
        command: str,
        console: Console,
    ) -> None:
        self.task, self.fabric, self.steps, self.out = task, fabric, steps, out
        self.precision, self.command, self.console = precision, command, console
        self.network = task.build()
        self.model, self.optimizer = fabric.setup(self.network, task.optimizer(self.network))
        self.step = 0
        self.saved_step: int | None = None
        self.earlier_s = self.seconds = self.waited_s = 0.0
        self.names: list[str] = []
        self.history = np.empty((0, 0), np.float32)  # steps × names
        self.pending: list[Tensor] = []  # rows of history that are still on the device
        self.samples = 0

    # --- one step -------------------------------------------------------------------------------

    def train(
        self, interrupts: "_Interrupts", began: float, limit_s: float, save_every_s: float
    ) -> None:
        """Train until all steps are done, the time is up, or someone interrupts."""
        fabric = self.fabric
        batches = self.task.batches(self.step, fabric.global_rank, fabric.world_size)
        self.model.train()
        started = looked = saved = time.monotonic()
        seen, next_look = self.step, self.step + 1
        interrupted, stop = False, self.step >= self.steps
        with _Shown(self) as shown:
            while not stop:
                self._one_step(batches)
                over = time.monotonic() - began >= limit_s
                # Several processes must look at the same step, so they only do at agreed ones.
                early = fabric.world_size == 1 and (over or interrupts.asked)
                if self.step < min(next_look, self.steps) and not early:
                    continue
                self._look()
                now = time.monotonic()
                ahead = int(LOOK_S * (self.step - seen) / max(now - looked, 1e-6))
                beat = max(1, min(ahead, 2 * (self.step - seen)))
                mine = (over, now - saved >= save_every_s, beat)
                finish, due, beat = self._agree(mine if fabric.is_global_zero else (0, 0, 0))
                interrupted = bool(self._agree([interrupts.asked])[0])
                seen, looked, next_look = self.step, now, self.step + beat
                self.seconds = now - started
                stop = bool(finish or interrupted or self.step == self.steps)
                if stop or due:
                    self._save()
                    saved = time.monotonic()
                shown.show()
        if hasattr(batches, "close"):
            batches.close()  # ends worker processes
        if self.step < self.steps:
            why = "Interrupted" if interrupted else "Time is up"
            words = f"{why} at step {self.step:,} of {self.steps:,}{self._how_to_go_on()}"
            if interrupted:
                self._leave(KeyboardInterrupt(), words)
            self._say(words)

    def _one_step(self, batches: Iterator[Any]) -> None:
        """Take one step of the optimizer; its losses stay on the device."""
        task, fabric = self.task, self.fabric
        _seed(task.seed, self.step, fabric.global_rank)
        rate = task.lr(self.step)
        if rate is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        rows = []
        for index in range(task.accumulate):
            asked = time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                raise CourseError(f"{task.name}: no more batches at step {self.step}.") from None
            self.waited_s += time.monotonic() - asked
            self.samples += task.samples(batch) * fabric.world_size
            batch = fabric.to_device(batch)
            hold = fabric.world_size > 1 and index < task.accumulate - 1
            with fabric.no_backward_sync(self.model, enabled=hold):
                losses = task.loss(self.model, batch)
                fabric.backward(losses["loss"] / task.accumulate)
            self._name(losses)
            rows.append(torch.stack([losses[name].detach().float() for name in self.names[:-1]]))
        norm = fabric.clip_gradients(
            self.model, self.optimizer, max_norm=task.clip or math.inf, error_if_nonfinite=False
        )
        self.optimizer.step()
        row = torch.stack(rows).mean(0)
        self.pending.append(torch.cat([row, torch.as_tensor(norm).to(row).reshape(1)]))
        self.step += 1

    def _name(self, losses: Mapping[str, Tensor]) -> None:
        """Take the losses' names from the first batch; they must stay the same."""
        if not self.names:
            if strange := [name for name, _, _ in self.task.chance if name not in losses]:
                raise UsageError(f"{self.task.name}: chance is stated for {strange}, no such loss.")
            self.names = [*losses, GRADIENT]
            self.history = np.empty((0, len(self.names)), np.float32)
        elif self.names != [*losses, GRADIENT]:
            raise UsageError(f"{self.task.name}: losses {[*losses]} were {self.names[:-1]} before.")

    def _look(self) -> None:
        """Fetch the losses of the last steps and stop if one is not finite."""
        rows = torch.stack(self.pending)
        self.pending = []
        rows = self._reduce(rows, "mean")
        self.history = np.concatenate([self.history, rows.cpu().numpy()])
        bad = np.argwhere(~np.isfinite(self.history))
        if not len(bad):
            return
        step, column = bad[0]
        name, value = self.names[column], self.history[step, column]
        what = "the norm of the gradient" if name == GRADIENT else f"the loss {name!r}"
        good = "Nothing had been saved yet"
        if self.saved_step is not None:
            good = f"The last good checkpoint, of step {self.saved_step:,}, is kept in {self.out}"
        self._leave(
            CourseError(
                f"{self.task.name}: {what} is {value} at step {step + 1:,}. {good}. Lower the "
                "learning rate, or look at what that step was given."
            )
        )

    # --- between steps --------------------------------------------------------------------------

    def _agree(self, numbers: Sequence[float]) -> list[int]:
        """Return the largest of each number over all processes."""
        sent = torch.tensor([int(number) for number in numbers], device=self.fabric.device)
        return [int(number) for number in self._reduce(sent, "max").tolist()]

    def _reduce(self, numbers: Tensor, how: str) -> Tensor:
        """Combine a tensor over all processes."""
        if self.fabric.world_size == 1:
            return numbers
        reduced = self.fabric.all_reduce(numbers, reduce_op=how)
        assert isinstance(reduced, Tensor)
        return reduced

    def _leave(self, error: BaseException, words: str = "") -> None:
        """Raise in the first process; the others end without a word of their own."""
        self._say(words)
        self.fabric.barrier()
        raise error if self.fabric.is_global_zero else SystemExit(0)

    def _say(self, words: str) -> None:
        if words and self.fabric.is_global_zero:
            self.console.print(words, markup=False)

    def _how_to_go_on(self) -> str:
        if self.out is None:
            return "; nothing was kept."
        how = "the same command with --resume" if self.command else "call it with resume=True"
        return f", saved in {self.out}. To go on: {how}."

    def at_chance(self) -> tuple[str, ...]:
        """Say which losses still stand where they stand when nothing has been learned."""
        recent = self.history[-CHANCE_WINDOW:]
        if len(recent) < FEWEST_STEPS:
            return ()
        mean = dict(zip(self.names, recent.mean(0), strict=True))
        return tuple(
            f"{name} {words}"
            for name, value, words in self.task.chance
            if mean[name] > value - CHANCE_MARGIN * abs(value)
        )

    # --- checkpoints ----------------------------------------------------------------------------

    def _card(self, config: dict[str, Any], metrics: dict[str, Any] | None = None) -> Card:
        task = self.task
        return Card.of_this_machine(
            task.system,
            task.variant,
            seed=task.seed,
            command=self.command,
            photos=[dict(source) for source in task.photos],
            wall_seconds=round(self.earlier_s + self.seconds, 1),
            steps=self.step,
            metrics=metrics or {},
            config=config,
        )

    def _save(self) -> None:
        """Write network, optimizer and history of this step, then remove the older ones."""
        if self.out is None or self.saved_step == self.step:
            return
        if self.fabric.is_global_zero:
            tensors = {f"model.{key}": value for key, value in self.network.state_dict().items()}
            state = self.optimizer.state_dict()
            values: dict[str, dict[str, Any]] = {}
            for index, entries in state["state"].items():
                for key, value in entries.items():
                    if isinstance(value, Tensor):
                        tensors[f"optimizer.{index}.{key}"] = value
                    else:
                        values.setdefault(str(index), {})[key] = value
            tensors["history"] = torch.from_numpy(self.history)
            config = {
                "task": plain(self.task.config),
                "losses": self.names,
                "optimizer": {"groups": plain(state["param_groups"]), "values": values},
            }
            name = f"{self.task.variant}.step-{self.step:08d}"
            save(self.out, name, tensors, self._card(config))
            for card in self.out.glob(f"{self.task.variant}.step-*.json"):
                if card.stem != name:
                    card.unlink()  # before its tensors: a checkpoint counts when its card is there
                    card.with_suffix(".safetensors").unlink(missing_ok=True)
        self.saved_step = self.step
        self.fabric.barrier()

    def restore(self, path: Path) -> None:
        """Take everything from a checkpoint of the same task.

        Raises
        ------
        UsageError
            When it is of another task or of other settings.
        """
        tensors, card = load(path)
        task = self.task
        then = {"seed": card.seed, **card.config.get("task", {})}
        now = {"seed": task.seed, **plain(task.config)}
        changed = [key for key in {**then, **now} if then.get(key) != now.get(key)]
        if changed:
            was = ", ".join(f"{key} {then.get(key)!r} → {now.get(key)!r}" for key in changed)
            raise UsageError(
                f"{path.parent}: the run there has other settings ({was}). Use the same, or "
                "choose another folder."
            )
        if card.steps > self.steps:
            raise UsageError(f"{path.parent}: the run there is at step {card.steps:,} already.")
        try:
            self.network.load_state_dict(_below("model.", tensors))
            saved = card.config["optimizer"]
            state: dict[int, dict[str, Any]] = {
                int(index): dict(entries) for index, entries in saved["values"].items()
            }
            for key, value in _below("optimizer.", tensors).items():
                index, name = key.split(".", 1)
                state.setdefault(int(index), {})[name] = value
            self.optimizer.load_state_dict({"state": state, "param_groups": saved["groups"]})
            self.names, self.history = card.config["losses"], tensors["history"].numpy()
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path}: does not fit this network ({error}).") from error
        self.step = self.saved_step = card.steps
        self.earlier_s = card.wall_seconds
        self._say(f"Going on from step {self.step:,}, after {_clock(self.earlier_s)}")

    def report(self) -> Report:
        """Evaluate and write the weights, if all steps are done."""
        finished, weights, metrics = self.step >= self.steps, None, {}
        self.network.eval()
        if finished and self.fabric.is_global_zero:
            with torch.no_grad():
                metrics = self.task.evaluate(self.network)
            if self.out:
                card = self._card(plain(self.task.config), plain(metrics))
                weights = save(self.out, self.task.variant, self.network.state_dict(), card)
        self.fabric.barrier()  # a later stage may read the weights
        at_chance = self.at_chance()
        for words in at_chance if finished else ():
            self._say(f"{self.task.name}: {words}")
        return Report(
            self.task.name,
            self.step,
            finished,
            self.earlier_s + self.seconds,
            self.samples / self.seconds if self.seconds else 0.0,
            self.waited_s / self.seconds if self.seconds else 0.0,
            {name: self.history[:, index] for index, name in enumerate(self.names)},
            at_chance,
            metrics,
            self.network,
            weights,
        )


class _Shown:
    """Progress: a bar on a terminal, else a line now and then."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.marks: deque[tuple[float, int, int]] = deque(maxlen=20)  # time, step, samples
        self.bar: Progress | None = None
        self.said = 0.0

    def __enter__(self) -> "_Shown":
        run, fabric = self.run, self.run.fabric
        weights = sum(each.numel() for each in run.network.parameters())
        where = f"{fabric.world_size} × {fabric.device.type}, {run.precision}"
        run._say(f"{run.task.name} · {weights:,} weights · {where}")
        self.marks.append((time.monotonic(), run.step, 0))
        if run.console.is_terminal and fabric.is_global_zero:
            columns = (BarColumn(), TextColumn("{task.description}"))
            self.bar = Progress(*columns, console=run.console)
            self.bar.add_task("", total=run.steps, completed=run.step)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def show(self) -> None:
        """Show where the run stands; between lines a while passes, but the last is always said."""
        run, now = self.run, time.monotonic()
        self.marks.append((now, run.step, run.samples))
        if self.bar:
            self.bar.update(self.bar.task_ids[0], completed=run.step, description=self.line())
        elif now - self.said >= SAY_S or run.step == run.steps:
            self.said = now
            run._say(self.line())

    def line(self) -> str:
        """Step, loss, speed, time left, and what stands at chance."""
        run = self.run
        (then, step, samples), (now, *_) = self.marks[0], self.marks[-1]
        passed, done = max(now - then, 1e-9), max(run.step - step, 1)
        parts = [
            f"step {run.step:,}/{run.steps:,}",
            f"loss {run.history[-CHANCE_WINDOW:, run.names.index('loss')].mean():.4g}",
            f"{(run.samples - samples) / passed:,.0f} {run.task.unit}/s",
            f"{_clock((run.steps - run.step) * passed / done)} left",
            *run.at_chance(),
        ]
        return " · ".join(parts)


class _Interrupts:
    """Notes the first Ctrl-C or SIGTERM, so that a run can save; a second acts as usual."""

    def __init__(self) -> None:
        self.asked = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "_Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self.__exit__()


def _fabric(precision: str, device: str, devices: int, nodes: int) -> tuple[Fabric, str]:
    """Start the processes and join them together; say which precision was chosen."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    cuda = torch.cuda.is_available()
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {device!r} is unknown: choose auto, cpu or cuda.")
    if device == "cuda" and not cuda:
        raise UsageError("there is no GPU here that torch can use: choose device cpu.")
    kind = "cuda" if cuda and device != "cpu" else "cpu"
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if by_torchrun:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    elif nodes > 1 and not {"MASTER_ADDR", "SLURM_JOB_ID"} & os.environ.keys():
        raise UsageError(
            "several machines are started together by torchrun, on each: torchrun --nnodes "
            f"{nodes} --nproc-per-node {devices} --rdzv-endpoint HOST:29500 -m course_lib.cli "
            "train …"
        )
    if kind == "cuda" and devices > torch.cuda.device_count():
        raise UsageError(f"{devices} devices were asked for; {torch.cuda.device_count()} are here.")
    fast = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    # A processor without bf16 units computes in it slowly, but right; so it must be asked for.
    chosen = "bf16-mixed" if precision == "bf16" or (fast and precision == "auto") else "32-true"
    if precision not in ("auto", "32", "bf16"):
        raise UsageError(f"precision {precision!r} is unknown: choose auto, 32 or bf16.")
    if precision == "bf16" and kind == "cuda" and not fast:
        raise UsageError("this GPU does not compute in bf16: choose precision auto or 32.")
    if kind == "cuda":
        torch.set_float32_matmul_precision("high")
    fabric = Fabric(
        accelerator=kind,
        devices=devices,
        num_nodes=nodes,
        strategy=DDPStrategy() if devices * nodes > 1 else "auto",
        precision=chosen,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric, "bf16" if chosen == "bf16-mixed" else "32-bit"


def _seed(*numbers: int) -> None:
    """Set the global generators from seed, step and rank."""
    words = np.random.SeedSequence(numbers).generate_state(3)
    torch.manual_seed(int(words[0]))
    np.random.seed(words[1])  # noqa: NPY002 - libraries below us draw from the legacy generator
    random.seed(int(words[2]))


def _newest(out: Path, task: Task) -> Path | None:
    """Return the checkpoint of a run's latest step: one whose card is there too."""
    pattern = re.compile(re.escape(task.variant) + r"\.step-\d+\.json")
    cards = [path for path in out.glob("*.json") if pattern.fullmatch(path.name)]
    return max(cards).with_suffix(".safetensors") if cards else None


def _is_finished(stage: Stage | Solved, out: Path) -> bool:
    steps, made = (stage.steps, stage.task) if isinstance(stage, Stage) else (0, stage)
    weights = out / f"{made.variant}.safetensors"
    return weights.is_file() and load(weights)[1].steps >= steps


def _below(prefix: str, tensors: Tensors) -> Tensors:
    """Return the tensors whose names start with a prefix, without it."""
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def _clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"
