"""A small task for the tests of training, and a program that trains it.

    python -m tests.small_training OUT STEPS [devices=2] [resume=1] [pause=0.02] [batch=8]
        [solved=1]

With solved=1, a stage without steps comes first, and notes the process in which it is solved.
Started with several devices, Lightning Fabric starts this program once more for each.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.training import Solved, Stage, Task, fit, run_stages, share


class Small(Task):
    """Tell two rings of points apart; dropout can be switched on to test randomness."""

    system, variant, unit = "small", "rings", "points"
    chance = (("rings", math.log(2), "0.69 = ln 2: nothing learned yet"),)

    def __init__(self, batch=8, dropout=0.0, pause=0.0, spoil_at=None, rate=0.01, blind=False):
        self.config = {"batch": batch, "dropout": dropout, "rate": rate}
        self.batch, self.pause, self.spoil_at, self.blind = batch, pause, spoil_at, blind

    def build(self):
        layers = [nn.Linear(2, 16), nn.Tanh(), nn.Dropout(self.config["dropout"]), nn.Linear(16, 2)]
        return nn.Sequential(*layers)

    def optimizer(self, model):
        return torch.optim.Adam(model.parameters(), lr=1.0)

    def lr(self, step):
        return self.config["rate"] * 0.999**step

    def batches(self, first_step, rank, world):
        mine = share(self.batch, rank, world)
        step = first_step
        while True:
            for part in range(self.accumulate):
                rng = torch.Generator().manual_seed(1000 * self.seed + 10 * step + part)
                label = torch.randint(2, (self.batch,), generator=rng)
                angle = 2 * math.pi * torch.rand(self.batch, generator=rng)
                points = torch.stack([angle.cos(), angle.sin()], 1) * (1 + label[:, None])
                if step == self.spoil_at:
                    points[0] = math.nan
                yield (0 * points if self.blind else points)[mine], label[mine]
            step += 1
            time.sleep(self.pause)

    def loss(self, model, batch):
        points, label = batch
        loss = nn.functional.cross_entropy(model(points), label)
        return {"loss": loss, "rings": loss}

    def evaluate(self, model):
        points, label = next(self.batches(10**6, 0, 1))
        return {"accuracy": (model(points).argmax(1) == label).float().mean().item()}


def solved(out):
    """Solve nothing much, and leave a file named after the process that did."""

    def solve():
        out.mkdir(parents=True, exist_ok=True)
        (out / f"solved-by-{os.getpid()}").touch()
        return {"line": torch.tensor([1.5, -0.5])}

    return Solved("small", "line", solve, config={"points": 2})


def main(out, steps, *words):
    options = dict(word.split("=") for word in words)
    task = Small(int(options.pop("batch", 8)), pause=float(options.pop("pause", 0)))
    task.accumulate = int(options.pop("accumulate", 1))
    first = [solved(Path(out))] * int(options.pop("solved", 0))
    given = {"command": "train small", "save_every_s": 0.2}
    numbers = {name: int(value) for name, value in options.items()}
    try:
        if first:
            stages = [*first, Stage(task, int(steps))]
            report = run_stages(stages, Path(out), device="cpu", **given, **numbers)[-1]
        else:
            report = fit(task, Path(out), int(steps), device="cpu", **given, **numbers)
    except CourseError as error:
        sys.exit(f"Error: {error}")
    print(json.dumps({"steps": report.steps, "chance": report.at_chance}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
