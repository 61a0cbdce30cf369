"""Every lesson runs from its first cell to its last, on the smoke profile and without a network."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))

# A lesson has 30 s on a machine of its own. Other work on this one only makes a lesson slower, and
# by as much as there is of it: the limit grows with the load per core, to three times at the most.
BUDGET = 30.0

pytestmark = pytest.mark.slow


def patience() -> float:
    """Return how many times slower than an idle machine this one may be just now."""
    if not hasattr(os, "getloadavg"):
        return 2.0
    return min(max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), 3.0)


@dataclass(frozen=True)
class Execution:
    """What became of a notebook: which cells failed, the seconds in cells, attempts to leave."""

    code: int
    output: str
    failed: list[str]
    seconds: float
    attempts: list[str]


def execute(notebook: Path, folder: Path) -> Execution:
    """Run a notebook under nbval, on the smoke profile and without a network."""
    report, attempts = folder / "report.xml", folder / "attempts.txt"
    settings = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    settings |= {
        "COURSE_PROFILE": "smoke",
        "COURSE_OFFLINE_LOG": str(attempts),
        "PYTHONPATH": str(ROOT / "tests" / "offline"),
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval-lax"]
    command += ["-q", "--tb=short", f"--junitxml={report}", str(notebook)]
    answer = subprocess.run(
        command, cwd=ROOT, env=settings, capture_output=True, encoding="utf-8", errors="replace"
    )
    output = answer.stdout + answer.stderr
    assert report.exists(), output
    cells = list(ElementTree.parse(report).iter("testcase"))
    return Execution(
        code=answer.returncode,
        output=output,
        failed=[cell.get("name", "") for cell in cells if cell.find("failure") is not None],
        seconds=sum(float(cell.get("time", 0)) for cell in cells),
        attempts=attempts.read_text("utf-8").splitlines() if attempts.exists() else [],
    )


def write_notebook(path: Path, *cells: str) -> Path:
    """Write a notebook of code cells."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(notebook, path)
    return path


def test_there_are_lessons():
    assert {"00", "01"} <= {path.name[:2] for path in LESSONS}


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_lesson_runs(lesson, tmp_path):
    result = execute(lesson, tmp_path)
    assert result.code == 0, result.output[-6000:]
    assert result.attempts == []
    limit = BUDGET * patience()
    assert result.seconds <= limit, f"took {result.seconds:.0f} s of its {limit:.0f} s"


def test_leaving_the_machine_fails_and_is_known(tmp_path):
    # 192.0.2.1 is an address for documentation: no machine has it.
    ways = [
        "socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "socket.socket().connect(('192.0.2.1', 80))",
        "socket.socket().connect_ex(('192.0.2.1', 80))",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 80))",
        "socket.getaddrinfo('photos.invalid', 443)",
        "import urllib.request; urllib.request.urlopen('http://192.0.2.1/')",
        "import subprocess, sys\n"
        "made = 'import socket; socket.socket().connect((\"192.0.2.1\", 80))'\n"
        "subprocess.run([sys.executable, '-c', made], check=True)",
    ]
    hidden = "try:\n    socket.create_connection(('192.0.2.1', 80))\nexcept Exception:\n    pass"
    notebook = write_notebook(tmp_path / "leaving.ipynb", "import socket", *ways, hidden)
    result = execute(notebook, tmp_path)
    assert len(result.failed) == len(ways), result.output
    assert len(result.attempts) == len(ways) + 1
    assert "NetworkBlockedError" in result.output
    assert "The lessons must work without a network" in result.output
    assert result.attempts[1].endswith("socket.connect was called for ('192.0.2.1', 80).")


def test_this_machine_may_be_reached_and_the_profile_is_smoke(tmp_path):
    notebook = write_notebook(
        tmp_path / "here.ipynb",
        "import os, socket\nassert os.environ['COURSE_PROFILE'] == 'smoke'",
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(('localhost', server.getsockname()[1]), timeout=5).close()",
    )
    result = execute(notebook, tmp_path)
    assert result.code == 0, result.output
    assert result.attempts == []
    assert result.seconds > 0
