"""Prepare the course's own environment and run one of its commands.

    python bootstrap.py course     execute every lesson and write pages to read in a browser
    python bootstrap.py test       check the style, the types, the lessons and the library
    python bootstrap.py lab        open the lessons in JupyterLab, on this machine only
    python bootstrap.py clean      remove what these commands made
    python bootstrap.py help       this text

Needs nothing but Python 3.11 or newer. The environment is the folder .venv beside this file. It is
made on the first run (about 6 GB on Linux, 2 GB elsewhere), kept, and brought up to date when the
project's dependencies change. A run that was interrupted is simply started again.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - before anything that an older Python lacks
    sys.exit(
        f"The course needs Python 3.11 or newer; this is {sys.version.split()[0]}.\n"
        "Install a newer one and start it by its name, for example: python3.12 bootstrap.py help\n"
        "With make: make course PYTHON=python3.12"
    )

import argparse
import contextlib
import hashlib
import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent
STAMP = "uncropped.json"  # inside .venv; holds a key only once everything is installed
PARTIAL = "uncropped.partial"
LOG = "install.log"  # inside .venv; what pip said last time
# Published as source only, plain Python: tests compare with them.
PLAIN_SOURCES = ("FrEIA", "grad-cam")
OUT = "executed"
RESULTS = (
    "[0-9][0-9]_*.ipynb",
    "[0-9][0-9]_*.html",
    "index.html",
    "run.json",
    "files",
    "*.partial",
)
CACHES = (".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")
ROOM_NEEDED = 9 if sys.platform == "linux" else 4  # GB: the packages and their downloads together
STARTED = time.monotonic()

# Names packages that a killed pip left half-written: a file of their own list is not there. Without
# a list pip could not even replace them, so what else is known of such a package is forgotten.
FIND_BROKEN = """
import importlib.metadata as metadata, pathlib, shutil, sysconfig
site = pathlib.Path(sysconfig.get_paths()["purelib"])
for found in metadata.distributions(path=[str(site)]):
    files = found.files
    if files is None or not all(found.locate_file(file).exists() for file in files):
        print(found.metadata["Name"] or "")
for folder in site.glob("*.dist-info"):
    if not (folder / "RECORD").exists():
        shutil.rmtree(folder)
"""

# What went wrong, as pip words it, and what the reader can do. The first that fits is shown.
REMEDIES = (
    (
        r"No space left on device|Errno 28|WinError 112|Disk quota exceeded",
        "The disk is full. Free about 10 GB (6 GB stay in use), then run the same command again.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        "The package index could not be trusted: a proxy or firewall replaces its certificate. "
        "Set PIP_CERT to your organisation's certificate file and run the same command again.",
    ),
    (
        r"name resolution|NewConnectionError|Failed to establish a new connection|Max retries|"
        r"getaddrinfo failed|nodename nor servname|ConnectTimeout|ReadTimeout|timed out|ProxyError|"
        r"Connection reset|Network is unreachable",
        "The package index could not be reached. Check the network (or set HTTPS_PROXY), then run "
        "the same command again: what was downloaded is kept.",
    ),
    (
        r"DO NOT MATCH THE HASHES|BadZipFile|has an invalid wheel",
        "A download arrived damaged. Run `pip cache purge`, then the same command again.",
    ),
    (
        r"no such option|unrecognized arguments",
        "This pip is too old. Run `python bootstrap.py clean --all`, then the same command again.",
    ),
    (
        r"ResolutionImpossible",
        "The ranges in pyproject.toml and the versions in constraints.txt contradict each other; "
        "the lines above name them. Change one of the two files.",
    ),
    (
        r"No matching distribution found|Could not find a version",
        "A package has no ready-made file for this Python or this machine. The versions in "
        "constraints.txt are meant for 64-bit CPython 3.11 to 3.14 on Linux, Windows and Macs with "
        "Apple silicon; start this script with one of those.",
    ),
    (
        r"Permission denied|Errno 13|WinError 5|WinError 32",
        "A file could not be written. Close programs that use .venv (JupyterLab, an editor), check "
        "who owns the folder, then run the same command again.",
    ),
)

NO_VENV = (
    "This Python cannot make virtual environments. On Debian and Ubuntu: "
    "sudo apt-get install python3-venv. Then run the same command again."
)


class TroubleError(Exception):
    """Something the reader can put right; the message says what and how."""

    code = 1


class WrongUseError(TroubleError):
    """The command line asked for something that cannot be."""

    code = 2


class StoppedError(KeyboardInterrupt):
    """The run was told to end by a signal; the code is what the shell expects back."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


def say(text: str) -> None:
    """Print one line with the time since the start."""
    print(f"[{clock(time.monotonic() - STARTED):>5}] {text}", flush=True)


def clock(seconds: float) -> str:
    """Write a duration as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def heading(text: str) -> None:
    """Set a step off from the output of the one before."""
    print(f"\n── {text} {'─' * max(4, 76 - len(text))}", flush=True)


def environment_python(venv: Path) -> Path:
    """Return where an environment keeps its interpreter, on this kind of system."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def child_settings(venv: Path) -> dict[str, str]:
    """Return environment variables for programs that run inside the environment.

    Settings that send pip or Python elsewhere are left out, so that a shell's own set-up cannot
    redirect an install.
    """
    dropped = {
        "PYTHONHOME",
        "PYTHONPATH",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_REQUIRE_HASHES",
    }
    settings = {k: v for k, v in os.environ.items() if k.upper() not in dropped}
    # Threads that wait by spinning make two programs on the same cores fifteen times as slow.
    settings.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    programs = environment_python(venv).parent
    settings["PATH"] = os.pathsep.join([str(programs), settings.get("PATH", "")])
    settings.update(
        VIRTUAL_ENV=str(venv),
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_INPUT="1",
        PYTHONUTF8="1",
    )
    return settings


def run(command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> int:
    """Run a program on this terminal and return its exit code, ending it if this one is stopped."""
    with subprocess.Popen(command, cwd=cwd, env=env) as child:
        try:
            return child.wait()
        except KeyboardInterrupt as stopped:
            if isinstance(stopped, StoppedError):
                child.terminate()  # only this script was told
            end(child)
            raise


def end(child: subprocess.Popen, patience: float = 20) -> None:
    """Give a program that saw the same Ctrl-C time to finish, then insist."""
    for insist in (child.terminate, child.kill):
        try:
            child.wait(timeout=patience)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):  # or a second Ctrl-C
            insist()
    child.wait()


def end_group(child: subprocess.Popen) -> None:
    """End a program of :func:`run_quietly` together with all that it started."""
    if os.name == "nt":
        child.terminate()
        return
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            child.wait(timeout=3)


def run_quietly(command: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path) -> int:
    """Run a program with its output in a log file, showing one line that says how far it is.

    On a terminal the line is rewritten every second; elsewhere a new one comes twice a minute.
    """
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    lively = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns - 1
    doing, began = "starting", time.monotonic()
    shown = began

    def read(stream: Iterable[str]) -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    child = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # so that it can be ended with all its helpers
    )
    threading.Thread(target=read, args=(child.stdout,), daemon=True).start()
    with log.open("a", encoding="utf-8") as record:
        record.write(f"$ {shlex.join(command)}\n")
        try:
            while True:
                try:
                    line = lines.get(timeout=1)
                except queue.Empty:
                    line = ""
                if line is None:
                    return child.wait()
                record.write(line)
                record.flush()
                doing = progress(line) or doing
                now = time.monotonic()
                if now - shown >= (1 if lively else 30):
                    shown = now
                    text = f"        {clock(now - began)}  {doing}"[:width]
                    print(f"\r{text:<{width}}" if lively else text, end="" if lively else "\n")
                    sys.stdout.flush()
        except KeyboardInterrupt:
            end_group(child)
            raise
        finally:
            if lively:
                print(f"\r{'':<{width}}\r", end="", flush=True)


def progress(line: str) -> str:
    """Return what a line of pip's output says about how far it is, or nothing."""
    if line.startswith("Installing collected packages"):
        return f"unpacking {line.count(',') + 1} packages"
    found = re.match(r"\s*(Collecting|Downloading|Building) (\S+)(.*)", line)
    return f"{found[1].lower()} {found[2]}{found[3]}" if found else ""


class Environment:
    """The folder ``.venv`` of a checkout, made, repaired and brought up to date when asked for.

    Parameters
    ----------
    root : Path
        The checkout: the folder that holds ``pyproject.toml`` and ``constraints.txt``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.python = environment_python(self.venv)
        self.stamp = self.venv / STAMP
        self.log = self.venv / LOG

    def prepare(self, extras: Iterable[str] = ()) -> None:
        """Make sure that everything is installed; does nothing when it already is.

        Raises
        ------
        TroubleError
            When it cannot be done; the message holds the remedy.
        """
        before = self.read_stamp()
        wanted = sorted({*extras, *before.get("extras", ())})
        version = self.version()
        if version and before.get("key") == self.key(version) and before.get("extras") == wanted:
            say("The environment is ready (.venv).")
            return
        created = before.get("created", False)
        if not self.usable(before, version):
            self.create()
            created, before = True, {}
        self.write_stamp("installing", created=created, extras=wanted)
        self.install(wanted, resumed=before.get("phase") == "installing")
        self.check_pictures()
        key = self.key(self.version() or "")
        self.write_stamp("ready", created=created, extras=wanted, key=key)
        say("The environment is ready (.venv).")

    def read_stamp(self) -> dict:
        """Return what the last run wrote, or an empty record."""
        try:
            record = json.loads(self.stamp.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def write_stamp(self, phase: str, *, created: bool, extras: list[str], key: str = "") -> None:
        """Write the record, whole or not at all; only a finished install has a key."""
        record = {
            "phase": phase,  # making, installing, ready
            "created": created,  # whether this script made the folder, and so may remove it
            "extras": extras,
            "root": str(self.root),
            "key": key,
        }
        partial = self.venv / PARTIAL
        partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
        partial.replace(self.stamp)

    def key(self, version: str) -> str:
        """Return a fingerprint of all that decides what should be installed."""
        project = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))
        parts = [
            json.dumps({k: project.get(k) for k in ("build-system", "project")}, sort_keys=True),
            (self.root / "constraints.txt").read_text(encoding="utf-8"),
            str(self.root),
            version,
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def version(self) -> str | None:
        """Return the environment's Python version as "3.12", or None when it does not run."""
        say_version = "import sys; print('%d.%d' % sys.version_info[:2])"
        try:
            answer = subprocess.run(
                [str(self.python), "-c", say_version], capture_output=True, text=True, timeout=60
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() or None

    def usable(self, before: Mapping, version: str | None) -> bool:
        """Say whether the ``.venv`` that is there can be built on; otherwise take it away.

        Raises
        ------
        TroubleError
            When it is of no use and was not made by this script.
        """
        if not self.venv.is_dir() or {item.name for item in self.venv.iterdir()} <= {PARTIAL}:
            return False
        if before.get("phase") == "making":
            fault = "it was only half made"
        elif version is None:
            fault = "its Python does not start"
        elif tuple(map(int, version.split("."))) < (3, 11):
            fault = f"its Python is {version}"
        elif not self.has_pip():
            fault = "it has no pip"
        elif before.get("created") and before.get("root") != str(self.root):
            fault = "the folder was moved or copied"
        else:
            if not before:
                say("Using the .venv that is already here.")
            return True
        if not before.get("created"):
            raise TroubleError(
                f"{self.venv} was not made by this script and cannot be used: {fault}. "
                "Move it away, then run the same command again."
            )
        say(f"Making .venv anew: {fault}.")
        self.empty()
        return False

    def has_pip(self) -> bool:
        """Say whether pip runs in the environment."""
        command = [str(self.python), "-m", "pip", "--version"]
        return subprocess.run(command, capture_output=True, timeout=120).returncode == 0

    def create(self) -> None:
        """Make an empty environment; its stamp comes first, so that a half-made one is known."""
        # sys._base_executable: started from inside an environment, build on the Python under it.
        base = getattr(sys, "_base_executable", None) or sys.executable
        say(f"Making an environment in .venv with Python {sys.version.split()[0]} …")
        self.venv.mkdir(exist_ok=True)
        self.write_stamp("making", created=True, extras=[])
        settings = child_settings(self.venv)
        if run_quietly(
            [base, "-m", "venv", str(self.venv.resolve())], self.root, settings, self.log
        ):
            output = self.log.read_text(encoding="utf-8")
            raise TroubleError(NO_VENV if "ensurepip" in output else f"{output}\n{remedy(output)}")

    def empty(self) -> None:
        """Take everything out of ``.venv``; the folder, or a link to another disk, stays."""
        # The stamp goes last: a removal that is interrupted is still known as this script's.
        for item in sorted(self.venv.iterdir(), key=lambda item: item.name == STAMP):
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink()

    def install(self, extras: list[str], *, resumed: bool) -> None:
        """Install the project and what it depends on, from ready-made packages only."""
        settings = child_settings(self.venv)
        pip = [str(self.python), "-m", "pip", "install", "--progress-bar", "off"]
        # Only ready-made packages; what is never imported need not be compiled either.
        pip += ["--only-binary", ":all:", "--no-binary", ",".join(PLAIN_SOURCES)]
        pip += ["--no-compile", "-c", "constraints.txt"]
        self.log.write_text("", encoding="utf-8")
        if resumed:
            found = subprocess.run(
                [str(self.python), "-c", FIND_BROKEN], capture_output=True, text=True, env=settings
            )
            broken = sorted({*found.stdout.split()} - {self.project()["name"]})
            if broken:
                say(f"The last install was interrupted; repairing {', '.join(broken)} …")
                self.pip([*pip, "--force-reinstall", "--no-deps", *broken], settings)
        free = shutil.disk_usage(self.root).free / 1e9
        if free < ROOM_NEEDED:
            say(f"This disk has {free:.1f} GB free; a first install needs {ROOM_NEEDED} GB.")
        say("Installing packages (minutes the first time, depending on the network) …")
        self.pip([*pip, "-e", f".[{','.join(extras)}]" if extras else "."], settings)

    def project(self) -> dict:
        """Return the ``project`` table of ``pyproject.toml``."""
        return tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def pip(self, command: Sequence[str], settings: Mapping[str, str]) -> None:
        """Run pip, and turn its failure into a remedy with the end of its log."""
        if run_quietly(command, self.root, settings, self.log) == 0:
            return
        output = self.log.read_text(encoding="utf-8", errors="replace")
        tail = "\n".join(f"    {line}" for line in output.splitlines()[-12:])
        raise TroubleError(
            f"Installing failed. The last lines of {self.log}:\n{tail}\n{remedy(output)}"
        )

    def check_pictures(self) -> None:
        """Make sure that OpenCV loads: on bare Linux servers a system library may be missing."""
        if not any(need.startswith("opencv") for need in self.project().get("dependencies", ())):
            return
        loading = subprocess.run(
            [str(self.python), "-c", "import cv2"],
            capture_output=True,
            text=True,
            env=child_settings(self.venv),
        )
        if loading.returncode == 0:
            return
        reason = (loading.stderr.strip().splitlines() or ["no reason given"])[-1]
        pins = (self.root / "constraints.txt").read_text(encoding="utf-8")
        pin = re.search(r"^opencv-python(==\S+)", pins, re.MULTILINE)
        raise TroubleError(
            f"OpenCV is installed but does not load: {reason}\n"
            "On Debian and Ubuntu: sudo apt-get install libgl1 libglib2.0-0\n"
            "On Fedora: sudo dnf install mesa-libGL glib2\n"
            "Without administrator rights, put the build that needs no screen in its place:\n"
            f"    {self.python} -m pip install --force-reinstall --no-deps "
            f"opencv-python-headless{pin[1] if pin else ''}\n"
            "Then run the same command again."
        )


def remedy(output: str) -> str:
    """Return what to do about a failed install, judged by what was printed."""
    for pattern, advice in REMEDIES:
        if re.search(pattern, output):
            return advice
    return "Run the same command again; if it fails in the same way, the lines above say why."


def with_photos(settings: dict[str, str], photos: str | None) -> dict[str, str]:
    """Add a folder of pictures to the environment variables that lessons see."""
    if photos:
        folder = Path(photos).expanduser().resolve()
        if not folder.is_dir():
            raise WrongUseError(f"--photos: there is no folder {folder}.")
        settings["COURSE_PHOTOS"] = str(folder)
    return settings


def course(environment: Environment, options: argparse.Namespace) -> int:
    """Execute the lessons and say where the pages are."""
    settings = with_photos(child_settings(environment.venv), options.photos)
    environment.prepare()
    command = [str(environment.python), "-m", "course_lib.cli", "run"]
    if options.out:
        command += ["--out", str(Path(options.out).expanduser().resolve())]
    for name in ("profile", "only", "jobs"):
        if getattr(options, name):
            command += [f"--{name}", str(getattr(options, name))]
    if not options.fresh:
        command.append("--resume")  # lessons that are done and unchanged are kept
    say("Executing the lessons; their pages will be in " + (options.out or OUT) + " …")
    return run(command, environment.root, settings)


def steps(python: str, pytest_arguments: Sequence[str] = ()) -> Iterator[tuple[str, list[str]]]:
    """Yield every check by name, the cheapest first and the tests last."""
    yield "format (ruff)", [python, "-m", "ruff", "format", "--check", "."]
    yield "lint (ruff)", [python, "-m", "ruff", "check", "."]
    yield "types (mypy)", [python, "-m", "mypy"]
    yield "lessons up to date", [python, "-m", "course_lib.cli", "build", "--check"]
    yield "tests (pytest)", [python, "-m", "pytest", "--durations=15", *pytest_arguments]


def run_steps(
    todo: Iterable[tuple[str, list[str]]], cwd: Path, env: Mapping[str, str] | None = None
) -> int:
    """Run every step, whatever became of the one before, and close with a table."""
    results = []
    for name, command in todo:
        heading(name)
        began = time.monotonic()
        code = run(command, cwd, env)
        results.append((name, code, time.monotonic() - began))
    heading("summary")
    for name, code, seconds in results:
        print(f"{name:<22} {clock(seconds):>6}   {'ok' if code == 0 else f'FAILED (exit {code})'}")
    sys.stdout.flush()
    return 1 if any(code for _, code, _ in results) else 0


def test(environment: Environment, options: argparse.Namespace) -> int:
    """Run every check of the project."""
    environment.prepare(["test"])
    todo = steps(str(environment.python), options.pytest)
    return run_steps(todo, environment.root, child_settings(environment.venv))


def lab(environment: Environment, options: argparse.Namespace) -> int:
    """Open JupyterLab on this machine's own address, with its token."""
    settings = with_photos(child_settings(environment.venv), options.photos)
    environment.prepare()
    command = [str(environment.python), "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1"]
    command.append("--log-level=WARN")  # the address is shown all the same
    command += [f"--ServerApp.root_dir={environment.root}"]
    if options.port:
        command.append(f"--ServerApp.port={options.port}")
    if options.no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # containers; it listens on this machine only
    first = environment.root / "notebooks" / "00_start_here.ipynb"
    if first.exists():
        command.append(str(first))
    say("Starting JupyterLab; Ctrl-C twice ends it.")
    with subprocess.Popen(command, cwd=environment.root, env=settings) as child:
        while True:
            try:
                return child.wait()
            except StoppedError:
                child.terminate()
                end(child)
                raise
            except KeyboardInterrupt:
                continue  # JupyterLab saw it too and asks whether it should end


def clean(environment: Environment, options: argparse.Namespace) -> int:
    """Remove executed lessons and caches, and with --all the environment too."""
    root = environment.root
    doomed = [path for pattern in RESULTS for path in (root / OUT).glob(pattern)]
    doomed += [root / name for name in CACHES]
    doomed += [p for p in root.glob("*.egg-info") if options.all]
    for folder in ("course_lib", "tests", "benchmarks", "notebooks/source"):
        doomed += (root / folder).rglob("__pycache__")
    for path in [*doomed, root / "__pycache__"]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # benchmarks that someone saved stay
        (root / ".benchmarks").rmdir()
    say("Removed executed lessons and caches.")
    if (root / OUT).is_dir():
        try:
            (root / OUT).rmdir()
        except OSError:
            say(f"What else is in {OUT} was not made by these commands, so it stays.")
    if options.all and (environment.venv.is_symlink() or environment.venv.exists()):
        if not environment.read_stamp().get("created", False):
            raise TroubleError(f"{environment.venv} was not made by this script, so it stays.")
        environment.empty()
        if environment.venv.is_symlink():
            environment.venv.unlink()
        else:
            environment.venv.rmdir()
        say("Removed .venv")
    return 0


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(
        prog="python bootstrap.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=True,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    one = commands.add_parser("course", help="execute every lesson, write pages and an index")
    one.add_argument("--profile", help="smoke, cpu or gpu; chosen by itself when left out")
    one.add_argument("--only", metavar="LIST", help="lessons by number, for example 01,03-05")
    one.add_argument("--jobs", type=int, metavar="N", help="lessons executed at the same time")
    one.add_argument("--photos", metavar="DIR", help="a folder of your own pictures to use")
    one.add_argument("--out", metavar="DIR", help=f"folder for the pages (default: {OUT})")
    one.add_argument("--fresh", action="store_true", help="run again what is already up to date")
    one.set_defaults(run=course)
    one = commands.add_parser("test", help="run every check of the project")
    one.add_argument("pytest", nargs="*", help="arguments for pytest, after --, such as -- -k lens")
    one.set_defaults(run=test)
    one = commands.add_parser("lab", help="open the lessons in JupyterLab")
    one.add_argument("--photos", metavar="DIR", help="a folder of your own pictures to use")
    one.add_argument("--port", type=int, help="default: the first free one from 8888")
    one.add_argument("--no-browser", action="store_true", help="only print the address")
    one.set_defaults(run=lab)
    one = commands.add_parser("clean", help="remove executed lessons and caches")
    one.add_argument("--all", action="store_true", help="the environment .venv too")
    one.set_defaults(run=clean)
    commands.add_parser("help", help="this text")
    return top


def stop(number: int, _frame: FrameType | None) -> None:
    """Turn a signal to end into an exception, so that no child is left behind."""
    raise StoppedError(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 failed, 2 wrong use, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # consoles without the characters get replacements
            stream.reconfigure(errors="replace")
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)
    options = parser().parse_args(arguments)
    if options.command in (None, "help"):
        parser().print_help()
        return 0
    try:
        return options.run(Environment(ROOT), options)
    except TroubleError as error:
        print(error, file=sys.stderr)
        return error.code
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"{error}\n{remedy(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stopped:
        say("Stopped. The same command goes on from here.")
        return stopped.code if isinstance(stopped, StoppedError) else 130


if __name__ == "__main__":
    sys.exit(main())
