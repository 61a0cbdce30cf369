"""Execute the lessons: which, with what parameters, in which processes, and what came of it."""

import ast
import contextlib
import copy
import hashlib
import itertools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import nbformat
import psutil
from rich.console import Console
from rich.markup import escape

import course_lib
from course_lib.errors import CourseError, UsageError
from course_lib.files import write_text
from course_lib.paths import CourseTree
from course_lib.profiles import resolve
from course_lib.teach import progress
from course_lib.teach.build import build, code_sha, write_notebook
from course_lib.teach.outputs import CellError, code_cells, executed_copy
from course_lib.teach.worker import Job, Outcome

STATE_FILE = "run.json"
RUN_CARDS = "run_cards.json"
LIBRARY = Path(course_lib.__file__).parent
# What shows results but takes no part in a lesson: a change there is no reason to run again.
_NO_PART = ("cli.py", "teach/pages.py", "teach/formulas.py", "teach/progress.py", "teach/run.py")
_PYTHON_NAME = r"[A-Za-z_]\w*"


@dataclass(frozen=True)
class Lesson:
    """A built lesson on disk.

    Parameters
    ----------
    number : str
        Two digits.
    path : Path
        The notebook.
    """

    number: str
    path: Path

    @property
    def name(self) -> str:
        """The file's name without its ending, such as ``03_crop_detection``."""
        return self.path.stem


@dataclass(frozen=True)
class RunOptions:
    """What to run and how; the options of ``course run``.

    Parameters
    ----------
    profile : str
        ``smoke``, ``cpu``, ``gpu`` or ``auto``.
    only : str
        Lessons such as ``01,03-05``; empty for all.
    jobs : int
        Lessons at a time.
    out : Path or None
        The folder for executed notebooks and pages; None for ``executed`` in the course.
    resume : bool
        Keep lessons that an earlier run into the same folder finished and nothing changed.
    update : bool
        Publish what succeeded to ``notebooks/`` and the run cards.
    parameters : sequence of str
        ``name=value``, for papermill.
    """

    profile: str = "auto"
    only: str = ""
    jobs: int = 1
    out: Path | None = None
    resume: bool = False
    update: bool = False
    parameters: Sequence[str] = ()

    def command(self) -> str:
        """Return the command line that continues this run."""
        words = ["course run", f"--profile {self.profile}"]
        words += [f"--only {self.only}"] if self.only else []
        words += [f"--jobs {self.jobs}"] if self.jobs > 1 else []
        words += [f"--out {self.out}"] if self.out else []
        words += ["--update"] if self.update else []
        words += [f'-p "{pair}"' for pair in self.parameters]
        return " ".join([*words, "--resume"])


@dataclass
class RunReport:
    """How a run ended.

    Parameters
    ----------
    out : Path
        Where the results are.
    records : dict
        Lesson's name → its entry in ``run.json``; lessons that did not finish are missing.
    problems : list of str
        What is wrong apart from the lessons' own errors, such as a page that cannot be written.
    interrupted : bool
        Whether the user stopped it.
    """

    out: Path
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 when all is well, 1 when something failed, 130 when the user stopped it."""
        if self.interrupted:
            return 130
        failed = any(record["result"] != "passed" for record in self.records.values())
        return int(failed or bool(self.problems))


def find_lessons(tree: CourseTree) -> list[Lesson]:
    """List the built lessons of a course in their order.

    Raises
    ------
    UsageError
        When there are none, or two have one number.
    """
    paths = sorted(tree.notebooks.glob("[0-9][0-9]_*.ipynb"))
    lessons = [Lesson(path.name[:2], path) for path in paths]
    if not lessons:
        raise UsageError(f"No lessons in {tree.notebooks}: run `course build` first.")
    for one, other in itertools.pairwise(lessons):
        if one.number == other.number:
            raise UsageError(
                f"Two lessons have the number {one.number}: {one.path.name}, {other.path.name}."
            )
    return lessons


def choose(lessons: Sequence[Lesson], only: str) -> list[Lesson]:
    """Pick lessons by number.

    Parameters
    ----------
    lessons : sequence of Lesson
        All there are.
    only : str
        Numbers and ranges, such as ``01,03-05`` or ``1``; empty for all.

    Raises
    ------
    UsageError
        When it is not written like that, or names a lesson that there is not.
    """
    if not only.strip():
        return list(lessons)
    known = {lesson.number for lesson in lessons}
    wanted: set[str] = set()
    for part in only.split(","):
        match = re.fullmatch(r"\s*(\d{1,2})(?:\s*-\s*(\d{1,2}))?\s*", part)
        if not match:
            raise UsageError(f"--only {only}: write lesson numbers such as 01 or 01,03-05.")
        first, last = int(match[1]), int(match[2] or match[1])
        numbers = {f"{number:02d}" for number in range(first, last + 1)}
        # A range may have gaps; its ends, like a single number, must be there.
        missing = sorted({f"{first:02d}", f"{last:02d}"} - known)
        if missing or not numbers:
            what = f"there is no lesson {missing[0]}" if missing else f"{part} runs backwards"
            raise UsageError(f"--only {only}: {what}; lessons are {', '.join(sorted(known))}.")
        wanted |= numbers
    return [lesson for lesson in lessons if lesson.number in wanted]


def defaults(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """Read names and default values from a lesson's parameters cell.

    Defaults that are not plain literals come as ``...``: any value is accepted for them.
    """
    from papermill.inspection import inspect_notebook

    if not any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        return {}
    plain = copy.deepcopy(notebook)
    plain.metadata.kernelspec = nbformat.NotebookNode(
        name="python3", language="python", display_name="Python 3"
    )
    found: dict[str, Any] = {}
    for name, description in inspect_notebook(plain).items():
        try:
            found[name] = ast.literal_eval(description["default"])
        except (ValueError, SyntaxError):
            found[name] = ...
    return found


def parse_value(name: str, text: str, default: object) -> Any:
    """Turn the text of ``-p name=value`` into a value of the type of the parameter's default.

    Raises
    ------
    UsageError
        When the text is no such value.
    """
    if isinstance(default, str):
        return text
    value: Any = {"true": True, "false": False}.get(text.lower(), text)
    if value is text:
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(text)
    if default is ... or default is None:
        return value
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        kind = {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(
            type(default).__name__, f"a {type(default).__name__}"
        )
        raise UsageError(f"-p {name}={text}: {name} is {kind}, such as {default!r}.")
    return value


def lesson_parameters(
    lesson: Lesson, known: Mapping[str, Any], pairs: Sequence[str], profile: str
) -> dict[str, Any]:
    """Work out what papermill puts into one lesson.

    Parameters
    ----------
    lesson : Lesson
        For messages.
    known : mapping
        The lesson's parameters and their defaults.
    pairs : sequence of str
        ``name=value`` as given by the user.
    profile : str
        The resolved profile.

    Raises
    ------
    UsageError
        When a pair is malformed, its name unknown to the lesson, its value of another type, or
        the folder of photos is not there.
    """
    result: dict[str, Any] = {"profile": profile} if "profile" in known else {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name, text = name.strip(), text.strip()
        if not equals or not re.fullmatch(_PYTHON_NAME, name):
            raise UsageError(f"-p {pair}: write name=value, such as -p seed=3.")
        if name == "profile":
            raise UsageError(f"-p {pair}: the profile has its own option, --profile {text}.")
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise UsageError(
                f"-p {pair}: lesson {lesson.number} has no parameter {name!r}; it knows {names}."
            )
        value = parse_value(name, text, known[name])
        result[name] = _absolute(value, f"-p {pair}") if name == "photos" and value else value
    return result


def _absolute(folder: str, given: str) -> str:
    """Return an absolute path, since a lesson runs in another folder than its user."""
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise UsageError(f"{given}: there is no folder {path}.")
    return str(path)


def library_fingerprint(tree: CourseTree) -> str:
    """Return a fingerprint of all that lessons use: the library's source, weights and measurements.

    Run cards do not count, for a run writes them itself.
    """
    digest = hashlib.sha256()
    sources = [(LIBRARY, path) for path in sorted(LIBRARY.rglob("*.py"))]
    assets = [(tree.assets, path) for path in sorted(tree.assets.rglob("*")) if path.is_file()]
    for folder, path in sources + assets:
        name = path.relative_to(folder).as_posix()
        if name not in (*_NO_PART, RUN_CARDS):
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@dataclass(frozen=True)
class _Plan:
    """One lesson, ready to run."""

    lesson: Lesson
    built: nbformat.NotebookNode
    parameters: dict[str, Any]
    key: str


def _plan(tree: CourseTree, options: RunOptions, profile: str) -> list[_Plan]:
    """Check everything that can be wrong before the first kernel starts."""
    library = library_fingerprint(tree)
    photos = os.environ.get("COURSE_PHOTOS", "")
    if photos:
        photos = _absolute(photos, "$COURSE_PHOTOS")
    plans = []
    for lesson in choose(find_lessons(tree), options.only):
        try:
            built = nbformat.read(lesson.path, as_version=4)
        except (ValueError, OSError) as error:
            raise CourseError(f"{lesson.path} is no notebook: run `course build`.") from error
        known = defaults(built)
        parameters = lesson_parameters(lesson, known, options.parameters, profile)
        tags = [cell.metadata.get("tags", []) for cell in code_cells(built)]
        parts = [code_sha(built), tags, parameters, profile, photos, library]
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        plans.append(_Plan(lesson, built, parameters, key))
    return plans


def _out_folder(tree: CourseTree, options: RunOptions) -> Path:
    """Return the folder for results, and make it."""
    out = (options.out or tree.root / "executed").expanduser().resolve()
    homes = (tree.root, tree.notebooks, tree.sources, tree.exercises, tree.assets)
    if out in [home.resolve() for home in homes]:
        raise UsageError(f"--out {out} holds the course itself: choose another folder.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: choose a folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(f"Cannot make the folder {out}: {error.strerror}.") from error
    return out


def read_state(out: Path) -> dict[str, dict[str, Any]]:
    """Read the records of earlier runs; a missing or damaged file holds none."""
    try:
        state = json.loads((out / STATE_FILE).read_text(encoding="utf-8"))
        return dict(state["lessons"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_state(out: Path, records: Mapping[str, Any]) -> None:
    """Write the records of all lessons, whole or not at all."""
    state = {"lessons": dict(sorted(records.items()))}
    write_text(out / STATE_FILE, json.dumps(state, indent=1) + "\n")


class _Worker:
    """A worker process and the thread that reads its events."""

    def __init__(self, plan: _Plan, job: Job, log: IO[bytes], jobs: int, events: Any) -> None:
        self.plan = plan
        self.log = log
        environment = {
            # Order of sets, a frequent source of outputs that differ from run to run.
            "PYTHONHASHSEED": "0",
            # The kernel of this environment, not one that the user installed elsewhere.
            "JUPYTER_PREFER_ENV_PATH": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            **_threads(jobs),
            **os.environ,
            "COURSE_PROFILE": job.profile,
        }
        environment.pop("MPLBACKEND", None)  # figures belong into the notebook
        if environment.get("COURSE_PHOTOS"):
            environment["COURSE_PHOTOS"] = _absolute(environment["COURSE_PHOTOS"], "photos")
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course_lib.teach.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=LIBRARY.parent,
            env=environment,
            # Ctrl-C is ours: the terminal must not send it to workers and kernels as well.
            start_new_session=True,
            creationflags=flags,
        )
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        self.process.stdin.flush()
        self._reader = threading.Thread(target=self._read, args=(events,), daemon=True)
        self._reader.start()

    def _read(self, events: "queue.Queue[tuple[_Worker, dict[str, Any]]]") -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            events.put((self, json.loads(line)))
        events.put((self, {"event": "end"}))

    def stop(self) -> None:
        """End the worker with its kernel and all that the kernel started."""
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.process.pid)
            for process in [*root.children(recursive=True), root]:
                with contextlib.suppress(psutil.Error):
                    process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.log.close()

    def why_it_died(self) -> str:
        """Say how the worker ended when it ended without a result."""
        code = self.process.wait()
        if code < 0:
            return f"its process was ended by signal {-code} (often for lack of memory)"
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return f"its process failed: {lines[-1] if lines else f'exit code {code}'}"


def _threads(jobs: int) -> dict[str, str]:
    """Share the cores between lessons that run at the same time."""
    if jobs == 1:
        return {}
    share = str(max(1, (os.cpu_count() or 1) // jobs))
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), share)


@contextlib.contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Treat a request to terminate like Ctrl-C, so that kernels never outlive the run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_course(tree: CourseTree, options: RunOptions, console: Console) -> RunReport:
    """Execute lessons and write notebooks, pages, an index and ``run.json``.

    Parameters
    ----------
    tree : CourseTree
        The course.
    options : RunOptions
        What to run and how.
    console : Console
        Where progress and the final table go.

    Returns
    -------
    RunReport
        With the exit code of the command.

    Raises
    ------
    UsageError
        When the request is wrong; nothing has started then.
    """
    profile = resolve(options.profile).name
    if options.update and (options.parameters or os.environ.get("COURSE_PHOTOS")):
        raise UsageError(
            "--update publishes the lessons as they are written: leave out -p, --photos and "
            "$COURSE_PHOTOS."
        )
    plans = _plan(tree, options, profile)
    out = _out_folder(tree, options)
    there = {lesson.name for lesson in find_lessons(tree)}
    records = {name: record for name, record in read_state(out).items() if name in there}
    report = RunReport(out)
    waiting = []
    for plan in plans:
        record = records.get(plan.lesson.name)
        if options.resume and record and _still_good(plan, record, out):
            _refresh(plan, out)
            report.records[plan.lesson.name] = {**record, "kept": True}
        else:
            records.pop(plan.lesson.name, None)
            waiting.append(plan)
    write_state(out, records)
    if not waiting:
        console.print(f"Nothing to run: all {len(plans)} lessons are up to date.")

    def keep(plan: _Plan, record: dict[str, Any]) -> None:
        records[plan.lesson.name] = report.records[plan.lesson.name] = record
        write_state(out, records)

    with _termination_interrupts():
        try:
            _run_all(tree, waiting, options, profile, console, keep, out)
        except KeyboardInterrupt:
            report.interrupted = True
        _write_pages(tree, out, records, report, console)
        if options.update and not report.interrupted:
            _publish(tree, plans, report, profile, console)
    _tell(plans, options, report, console)
    return report


def _still_good(plan: _Plan, record: Mapping[str, Any], out: Path) -> bool:
    """Say whether an earlier run of a lesson still counts."""
    return (
        record.get("result") == "passed"
        and record.get("key") == plan.key
        and (out / plan.lesson.path.name).is_file()
    )


def _refresh(plan: _Plan, out: Path) -> None:
    """Bring the prose of a lesson that need not run again up to date."""
    path = out / plan.lesson.path.name
    before = nbformat.read(path, as_version=4)
    after = executed_copy(plan.built, before)
    executed = before.metadata.get("course", {}).get("executed")
    if executed:
        after.metadata.setdefault("course", nbformat.NotebookNode()).executed = executed
    if after != before:
        write_notebook(path, after)


def _run_all(
    tree: CourseTree,
    plans: Sequence[_Plan],
    options: RunOptions,
    profile: str,
    console: Console,
    keep: Callable[[_Plan, dict[str, Any]], None],
    out: Path,
) -> None:
    """Keep ``jobs`` workers busy until every plan has a record."""
    machine = describe_machine()
    waiting = list(plans)
    running: list[_Worker] = []
    events: queue.Queue[tuple[_Worker, dict[str, Any]]] = queue.Queue()
    with (
        tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as scratch,
        progress.Display(console, len(plans)) as display,
    ):
        try:
            while waiting or running:
                while waiting and len(running) < options.jobs:
                    plan = waiting.pop(0)
                    name = plan.lesson.name
                    display.started(name, len(code_cells(plan.built)))
                    log = (Path(scratch) / f"{name}.log").open("w+b")
                    job = Job(
                        notebook=str(plan.lesson.path.resolve()),
                        target=str(out / plan.lesson.path.name),
                        folder=str(tree.root.resolve()),
                        log=log.name,
                        profile=profile,
                        source=code_sha(plan.built),
                        parameters=plan.parameters,
                    )
                    running.append(_Worker(plan, job, log, options.jobs, events))
                try:
                    worker, event = events.get(timeout=0.5)
                except queue.Empty:
                    continue
                name = worker.plan.lesson.name
                if event["event"] == "cell":
                    display.cell(name, event["number"], event["of"])
                    continue
                if worker not in running:
                    continue  # its end, after its result
                if event["event"] == "end":
                    error = CellError(None, "", worker.why_it_died())
                    event = asdict(Outcome(errors=[error]))
                running.remove(worker)
                worker.stop()
                record = _record(worker.plan, event, profile, machine)
                keep(worker.plan, record)
                display.finished(name, record)
        finally:
            for worker in running:
                worker.stop()


def _record(plan: _Plan, event: Mapping[str, Any], profile: str, machine: str) -> dict[str, Any]:
    """Return a lesson's entry in ``run.json``."""
    vram = event["vram_gb"]
    return {
        "number": plan.lesson.number,
        "notebook": plan.lesson.path.name,
        "result": "failed" if event["errors"] else "passed",
        "errors": event["errors"],
        "profile": profile,
        "parameters": plan.parameters,
        "minutes": round(event["minutes"], 3),
        "slowest_cell": event["slowest_cell"],
        "slowest_cell_s": round(event["slowest_cell_s"], 1),
        "ram_gb": round(event["ram_gb"], 2),
        "vram_gb": None if vram is None else round(vram, 2),
        "machine": machine,
        "key": plan.key,
    }


def describe_machine() -> str:
    """Describe this machine as run cards do: ``2 cores, 24 GB``, and the GPU if there is one."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    parts = [f"{cores} cores", f"{psutil.virtual_memory().total / 1e9:.0f} GB"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        parts += answer.stdout.split("\n")[:1]
    return ", ".join(part for part in parts if part)


def _write_pages(
    tree: CourseTree,
    out: Path,
    records: Mapping[str, dict[str, Any]],
    report: RunReport,
    console: Console,
) -> None:
    """Write the pages of all lessons that the folder holds, and its index."""
    from course_lib.teach.pages import write_site

    console.print("Writing pages …", highlight=False)
    try:
        report.problems += write_site(tree, out, records)
    except KeyboardInterrupt:
        report.interrupted = True


def _publish(
    tree: CourseTree, plans: Sequence[_Plan], report: RunReport, profile: str, console: Console
) -> None:
    """Copy what succeeded over the committed notebooks, and write down what it took."""
    cards_path = tree.assets / RUN_CARDS
    cards = json.loads(cards_path.read_text(encoding="utf-8")) if cards_path.exists() else {}
    published = 0
    for plan in plans:
        record = report.records.get(plan.lesson.name)
        if record is None or record["result"] != "passed":
            continue
        cards.setdefault(plan.lesson.number, {})[profile] = {
            "minutes": round(record["minutes"], 2),
            **{key: record[key] for key in ("ram_gb", "vram_gb", "slowest_cell_s", "machine")},
        }
        if profile == "smoke":
            continue  # sizes for tests: nothing a reader should see
        ran = nbformat.read(report.out / plan.lesson.path.name, as_version=4)
        result = executed_copy(plan.built, ran, injected=False)
        result.metadata.setdefault(
            "course", nbformat.NotebookNode()
        ).executed = ran.metadata.course.executed
        write_notebook(plan.lesson.path, result)
        published += 1
    tree.assets.mkdir(exist_ok=True)
    write_text(cards_path, json.dumps(dict(sorted(cards.items())), indent=2) + "\n")
    try:
        build(tree)
    except CourseError as error:
        report.problems += str(error).splitlines()
    what = "run cards only" if profile == "smoke" else f"{published} lessons and the run cards"
    console.print(f"Updated {what} in {tree.root}.", highlight=False, soft_wrap=True)


def _tell(plans: Sequence[_Plan], options: RunOptions, report: RunReport, console: Console) -> None:
    """Print the table, what went wrong, and where to go on."""
    console.print()
    console.print(
        progress.table([(plan.lesson.name, report.records.get(plan.lesson.name)) for plan in plans])
    )
    console.print()
    for name, record in report.records.items():
        for error in record["errors"]:
            console.print(
                f"[red]{escape(name)}[/red]  {escape(str(CellError(**error)))}",
                highlight=False,
                soft_wrap=True,
            )
    for problem in report.problems:
        console.print(f"[red]Problem:[/red] {escape(problem)}", highlight=False, soft_wrap=True)
    if report.interrupted:
        done = len(report.records)
        console.print(
            f"[yellow]Stopped.[/yellow] {done} of {len(plans)} lessons are done and stay in "
            f"{report.out}. Continue with:\n  {escape(options.command())}",
            highlight=False,
            soft_wrap=True,
        )
    else:
        index = report.out / "index.html"
        console.print(f"Read them: {index}", highlight=False, soft_wrap=True)
