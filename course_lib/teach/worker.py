"""One lesson, run in a process of its own: ``python -m course_lib.teach.worker``.

The job comes as one line of JSON on stdin; events go out as lines of JSON on stdout. When stdin
closes, because `course run` is gone, the worker ends and takes its kernel along.
"""

import contextlib
import copy
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from course_lib.files import whole
from course_lib.teach.outputs import CellError, code_cells, executed_copy, find_errors, first_line

SAMPLE_SECONDS = 0.2
VRAM_SAMPLE_SECONDS = 2.0
# On a busy machine a kernel or its outputs may take their time; that is no failure of a lesson.
KERNEL_START_SECONDS = 180
OUTPUT_SECONDS = 60


@dataclass(frozen=True)
class Job:
    """What a worker needs to know.

    Parameters
    ----------
    notebook : str
        The built lesson.
    target : str
        Where the executed lesson goes.
    folder : str
        The working directory of the lesson.
    log : str
        The file that receives what the kernel writes to its terminal.
    profile : str
        Recorded in the executed notebook.
    source : str
        Fingerprint of the lesson's code, recorded too.
    parameters : dict
        What papermill puts into the lesson.
    """

    notebook: str
    target: str
    folder: str
    log: str
    profile: str
    source: str
    parameters: dict[str, Any]


@dataclass
class Outcome:
    """What a run of one lesson cost, and what went wrong."""

    errors: list[CellError] = field(default_factory=list)
    minutes: float = 0.0
    slowest_cell: int | None = None
    slowest_cell_s: float = 0.0
    ram_gb: float = 0.0
    vram_gb: float | None = None


class Gauge(threading.Thread):
    """Watches the memory of this process's children: the kernel and all that it starts."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_ram = 0
        self.peak_vram: float | None = None
        self._stopped = threading.Event()
        self._tool = shutil.which("nvidia-smi")
        self._used_before = self._ask("--query-gpu=memory.used") if self._tool else []
        if not self._used_before:
            self._tool = None

    def run(self) -> None:
        """Sample until stopped."""
        next_vram = 0.0
        while not self._stopped.wait(SAMPLE_SECONDS):
            pids = self._sample_ram()
            if self._tool and time.monotonic() >= next_vram:
                self._sample_vram(pids)
                next_vram = time.monotonic() + VRAM_SAMPLE_SECONDS

    def stop(self) -> None:
        """Take a last sample and end."""
        self._sample_ram()
        self._stopped.set()
        self.join()

    def _sample_ram(self) -> set[int]:
        pids, total = set(), 0
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
                pids.add(process.pid)
        self.peak_ram = max(self.peak_ram, total)
        return pids

    def _sample_vram(self, pids: set[int]) -> None:
        """Add up what our processes hold; in a container, where ids differ, take the increase."""
        rows = self._ask("--query-compute-apps=pid,used_memory")
        ours = [row[1] for row in rows if len(row) == 2 and row[0] in pids]
        if ours:
            used = sum(ours)
        else:
            now = self._ask("--query-gpu=memory.used")
            used = max(0.0, sum(row[0] for row in now) - sum(row[0] for row in self._used_before))
        self.peak_vram = max(self.peak_vram or 0.0, used)

    def _ask(self, query: str) -> list[list[float]]:
        """Ask ``nvidia-smi``; a machine where it does not answer has no VRAM to report."""
        command = [str(self._tool), query, "--format=csv,noheader,nounits"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
            return [[float(part) for part in row.split(",")] for row in answer.stdout.splitlines()]
        except (OSError, ValueError, subprocess.SubprocessError):
            return []


def run_lesson(job: Job, say: Callable[[dict[str, Any]], None]) -> Outcome:
    """Execute a lesson with papermill and write its executed copy, whole or up to the error.

    Parameters
    ----------
    job : Job
        What to run.
    say : callable
        Receives ``{"event": "cell", "number": …, "of": …}`` as cells begin.
    """
    import nbformat
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook

    built = nbformat.read(job.notebook, as_version=4)
    running: dict[str, Any] = {"notebook": None, "number": 0, "log_end": 0}
    seconds: dict[int, float] = {}
    total = len(code_cells(built))

    class Engine(NBClientEngine):
        """Papermill's own engine, telling which code cell runs and for how long."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            numbers = {cell.id: number for number, cell in enumerate(code_cells(nb_man.nb), 1)}
            running["notebook"] = nb_man.nb
            began = time.monotonic()
            original_start, original_complete = nb_man.cell_start, nb_man.cell_complete

            def start(cell: Any, cell_index: int | None = None, **more: Any) -> None:
                nonlocal began
                began = time.monotonic()
                if cell.id in numbers:
                    running["number"] = numbers[cell.id]
                    say({"event": "cell", "number": numbers[cell.id], "of": total})
                original_start(cell, cell_index, **more)

            def complete(cell: Any, cell_index: int | None = None, **more: Any) -> None:
                original_complete(cell, cell_index, **more)
                if cell.id in numbers:
                    seconds[numbers[cell.id]] = time.monotonic() - began
                running["log_end"] = Path(job.log).stat().st_size

            nb_man.cell_start, nb_man.cell_complete = start, complete
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    papermill_engines.register("course", Engine)
    gauge = Gauge()
    gauge.start()
    outcome = Outcome()
    began = time.monotonic()
    try:
        execute_notebook(
            copy.deepcopy(built),
            None,
            parameters=job.parameters,
            engine_name="course",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            cwd=job.folder,
            start_timeout=KERNEL_START_SECONDS,
            iopub_timeout=OUTPUT_SECONDS,
        )
    except PapermillExecutionError:
        pass  # the error stands in the outputs, where find_errors reads it
    except Exception as error:
        number = running["number"] or None
        line = first_line(code_cells(built)[number - 1].source) if number else ""
        outcome.errors.append(CellError(number, line, _dead_kernel(error, gauge)))
    outcome.minutes = (time.monotonic() - began) / 60
    gauge.stop()
    outcome.ram_gb, outcome.vram_gb = gauge.peak_ram / 1e9, _gb(gauge.peak_vram)
    if seconds:
        outcome.slowest_cell = max(seconds, key=lambda number: seconds[number])
        outcome.slowest_cell_s = seconds[outcome.slowest_cell]
    if running["notebook"] is None:
        return outcome
    with Path(job.log).open("rb") as log:
        kernel_log = log.read(running["log_end"]).decode(errors="replace")
    outcome.errors += find_errors(running["notebook"], kernel_log)
    result = executed_copy(built, running["notebook"])
    course = result.metadata.setdefault("course", nbformat.NotebookNode())
    course.pop("executed", None)
    if not outcome.errors:
        course.executed = nbformat.NotebookNode(source=job.source, profile=job.profile)
    with whole(Path(job.target)) as partial:
        nbformat.write(result, partial)
    return outcome


def _gb(mebibytes: float | None) -> float | None:
    return None if mebibytes is None else mebibytes * 2**20 / 1e9


def _dead_kernel(error: Exception, gauge: Gauge) -> str:
    """Say what ended a lesson when it was not an exception in a cell."""
    if type(error).__name__ == "DeadKernelError":
        peak = f"{gauge.peak_ram / 1e9:.1f} GB"
        return f"the kernel died (peak RAM {peak}; often the system ran out of memory)"
    return f"{type(error).__name__}: {error}".split("\n")[0]


def _end_with_parent() -> None:
    """Wait until the parent closes our stdin, then end at once, kernel and all."""
    sys.stdin.buffer.read()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            process.kill()
    os._exit(1)


def main() -> None:
    """Run the job that stdin brings."""
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what the kernel prints by itself goes to the log, not between the events

    def say(event: dict[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")

    job = Job(**json.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    say({"event": "done", **asdict(run_lesson(job, say))})
    events.close()
    os._exit(0)  # the thread above still reads stdin, and would hold a normal exit up


if __name__ == "__main__":
    main()
