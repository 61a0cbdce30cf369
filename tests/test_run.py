"""Lessons are executed by papermill in processes of their own; what goes wrong is found."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from nbformat.v4 import new_output
from rich.console import Console

from course_lib.errors import UsageError
from course_lib.teach.outputs import INTERACTIVE, find_errors
from course_lib.teach.run import (
    Lesson,
    RunOptions,
    choose,
    defaults,
    find_lessons,
    parse_value,
    run_course,
)
from tests.small_course import code, course, lesson, parameters, read

WIDGETS = """\
import ipywidgets as widgets
from IPython.display import display
slider = widgets.IntSlider(description="x")
display(slider)"""
# What a browser sends when its reader moves a slider.
MOVE = """\
message = {"comm_id": slider.comm.comm_id, "data": {"method": "update", "state": {"value": %d}}}
get_ipython().kernel.comm_manager.comm_msg(None, None, {"content": message, "buffers": []})"""


def run(tree, **options):
    text = io.StringIO()
    report = run_course(tree, RunOptions(**options), Console(file=text, width=140))
    return report, text.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One run of five lessons, two at a time: one is sound, the others fail in their own ways."""
    tree = course(tmp_path_factory.mktemp("course"))
    lesson(
        tree,
        "01_sound",
        "# A sound lesson",
        parameters(),
        code("import os\nprint(profile, rate, seed, os.environ['COURSE_PROFILE'])"),
        code("import pathlib\npathlib.Path.cwd().name"),
        code(WIDGETS),
        code("1 / 0", "raises-exception"),
        code("block = bytearray(400_000_000)\nblock[::4096] = b'x' * len(block[::4096])\n"
             "import time; time.sleep(0.6)\nhash('a'), {'b', 'a', 'c'}"),
    )  # fmt: skip
    lesson(
        tree, "02_wrong", "# Wrong", parameters(), code("print('before')"),
        code("# the reason\nvalues = [1, 2]\nvalues[7]"), code("print('never')"),
    )  # fmt: skip
    lesson(
        tree,
        "03_widgets",
        "# Errors that Jupyter swallows",
        parameters(),
        code(WIDGETS),
        code("def bad(x):\n    raise ValueError('in interact')\nwidgets.interact(bad, x=3);"),
        code("out = widgets.Output()\nwith out:\n    {}['in Output']\nwidgets.VBox([out])"),
        code("def watch(change):\n    raise RuntimeError('in observe')\n"
             "slider.observe(watch, 'value')"),
        code(MOVE % 5),
        code("button = widgets.Button()\nbutton.on_click(lambda _: 1 / 0)\nbutton.click()"),
        code("widgets.HTML('<p data-course-error>render failed: <b>no photo</b></p>')"),
        code("import threading\nthread = threading.Thread(target=lambda: int('in a thread'))\n"
             "thread.start(); thread.join()"),
        code(MOVE % 7, "raises-exception"),
        code("print('the end')"),
    )  # fmt: skip
    lesson(tree, "04_dead", "# Dead", parameters(), code("import os\nos._exit(3)"))
    # The kernel's parent is the process that runs the lesson.
    lesson(
        tree, "05_killed", parameters(), code("import os\nos.kill(os.getppid(), 9)\nwhile 1: pass")
    )
    report, text = run(tree, profile="smoke", jobs=2, parameters=["rate=2"])
    return tree, report, text


@pytest.mark.slow
def test_a_failing_lesson_does_not_stop_the_others(done):
    _, report, text = done
    results = {name: record["result"] for name, record in report.records.items()}
    assert results == {
        "01_sound": "passed", "02_wrong": "failed", "03_widgets": "failed", "04_dead": "failed",
        "05_killed": "failed",
    }  # fmt: skip
    assert report.exit_code == 1
    assert "02_wrong  code cell 3 (values = [1, 2]): IndexError: list index out of range" in text
    assert "Slowest cell" in text and "Peak RAM" in text and "VRAM" in text
    state = json.loads((report.out / "run.json").read_text())["lessons"]
    assert {name: record["result"] for name, record in state.items()} == results
    assert not list(report.out.rglob("*.partial"))


@pytest.mark.slow
def test_parameters_and_profile_reach_the_lesson(done):
    tree, report, _ = done
    cells = read(report.out / "01_sound.ipynb").cells
    assert cells[2].metadata.tags == ["injected-parameters"]
    assert 'profile = "smoke"' in cells[2].source and "rate = 2.0" in cells[2].source
    assert cells[3].outputs[0].text == "smoke 2.0 0 smoke\n"
    assert tree.root.name in cells[4].outputs[0].data["text/plain"]


@pytest.mark.slow
def test_a_partial_notebook_is_kept_with_its_error(done):
    _, report, _ = done
    notebook = read(report.out / "02_wrong.ipynb")
    before, wrong, never = notebook.cells[-3:]
    assert before.outputs[0].text == "before\n"
    assert wrong.outputs[0].ename == "IndexError"
    assert "In[3]" in "".join(wrong.outputs[0].traceback), "as the cell is numbered"
    assert wrong.execution_count == 3 and never.execution_count is None
    assert not never.outputs
    assert "executed" not in notebook.metadata.course
    assert "papermill" not in notebook.cells[0].source, "papermill's markers stay out"


@pytest.mark.slow
def test_errors_inside_widgets_fail_the_lesson(done):
    _, report, _ = done
    errors = report.records["03_widgets"]["errors"]
    found = [(error["cell"], error["error"]) for error in errors]
    assert found == [
        (3, "ValueError: in interact"),
        (4, "KeyError: 'in Output'"),
        (6, "RuntimeError: in observe"),
        (7, "ZeroDivisionError: division by zero"),
        (8, "render failed: no photo"),
        (9, "ValueError: invalid literal for int() with base 10: 'in a thread'"),
    ]
    assert [error["where"] for error in errors[:2]] == ["widget", "widget"]
    notebook = read(report.out / "03_widgets.ipynb")
    assert notebook.cells[-1].outputs[0].text == "the end\n", "nothing stopped it"


@pytest.mark.slow
def test_widgets_become_a_note_and_leave_no_state(done):
    _, report, _ = done
    notebook = read(report.out / "01_sound.ipynb")
    assert "widgets" not in notebook.metadata
    (output,) = notebook.cells[5].outputs
    assert output.data == {"text/markdown": f"*{INTERACTIVE}*", "text/plain": INTERACTIVE}


@pytest.mark.slow
def test_a_dead_kernel_is_reported_with_its_cell(done):
    _, report, _ = done
    (error,) = report.records["04_dead"]["errors"]
    assert error["cell"] == 2 and error["error"].startswith("the kernel died")
    assert (report.out / "04_dead.html").exists()


@pytest.mark.slow
def test_a_killed_worker_fails_its_lesson_only(done):
    _, report, _ = done
    (error,) = report.records["05_killed"]["errors"]
    assert "its process was ended by signal 9" in error["error"]


@pytest.mark.slow
def test_cost_is_measured(done):
    _, report, _ = done
    record = report.records["01_sound"]
    assert 0.45 < record["ram_gb"] < 2
    assert record["slowest_cell"] == 6 and record["slowest_cell_s"] >= 0.6
    assert 0.6 / 60 < record["minutes"] < 2
    assert "cores" in record["machine"]


@pytest.mark.slow
def test_runs_repeat_to_the_byte(done, tmp_path):
    tree, report, _ = done
    run(tree, profile="smoke", only="1", parameters=["rate=2"], out=tmp_path / "again")
    again = (tmp_path / "again" / "01_sound.ipynb").read_bytes()
    assert again == (report.out / "01_sound.ipynb").read_bytes()
    for trace in (b"papermill", b"iopub", str(tree.root).encode()):
        assert trace not in again
    executed = read(report.out / "01_sound.ipynb").metadata.course
    assert executed.executed == {"source": executed.source, "profile": "smoke"}


@pytest.mark.slow
def test_resume_runs_what_failed_or_changed(tmp_path):
    tree = course(tmp_path)
    kept = "import time, os\nwith open('count.txt', 'a') as file: file.write(f'{lesson}\\n')"
    body = [code(f"lesson = {number}\n{kept}") for number in (1, 2, 3)]
    lesson(tree, "01_kept", "# Before", parameters(), body[0])
    lesson(tree, "02_mended", parameters(), body[1], code("oops"))
    lesson(tree, "03_changed", parameters(), body[2])
    first, _ = run(tree, profile="smoke", jobs=3)
    assert first.exit_code == 1
    counted = sorted((tmp_path / "count.txt").read_text().split())
    assert counted == ["1", "2", "3"]

    lesson(tree, "01_kept", "# After", parameters(), body[0])  # prose only
    lesson(tree, "02_mended", parameters(), body[1])
    lesson(tree, "03_changed", parameters(), body[2], code("2 + 2"))
    second, text = run(tree, profile="smoke", jobs=2, resume=True)
    assert second.exit_code == 0, text
    assert sorted((tmp_path / "count.txt").read_text().split()) == ["1", "2", "2", "3", "3"]
    assert read(second.out / "01_kept.ipynb").cells[0].source == "# After"
    assert "After" in (second.out / "01_kept.html").read_text("utf-8")

    third, text = run(tree, profile="smoke", resume=True)
    assert "Nothing to run" in text and third.exit_code == 0
    (third.out / "03_changed.ipynb").unlink()
    run(tree, profile="smoke", resume=True, only="03")
    assert (third.out / "03_changed.ipynb").exists()
    state = json.loads((third.out / "run.json").read_text())["lessons"]
    assert set(state) == {"01_kept", "02_mended", "03_changed"}, "other lessons' records stay"


@pytest.mark.slow
def test_update_publishes_outputs_and_run_cards(tmp_path):
    tree = course(tmp_path)
    tree.sources.mkdir()
    source = tree.sources / "00_start_here.py"
    source.write_text(
        '# %% [markdown]\n# # Start\n\n# %% [markdown] run_card=true\n\n'
        '# %% tags=["parameters"]\nprofile = "auto"\n\n# %%\n1 + 1\n'
    )  # fmt: skip
    from course_lib.teach.build import build

    build(tree)
    target = tree.notebooks / "00_start_here.ipynb"
    assert "not measured yet" in target.read_text()
    report, text = run(tree, profile="cpu", update=True)
    assert report.exit_code == 0, text
    cards = json.loads((tree.assets / "run_cards.json").read_text())
    assert set(cards["00"]) == {"cpu"}
    assert set(cards["00"]["cpu"]) == {
        "minutes", "ram_gb", "vram_gb", "slowest_cell_s", "machine"
    }  # fmt: skip
    published = read(target)
    assert [cell.get("execution_count") for cell in published.cells] == [None, None, 1, 2]
    assert published.cells[-1].outputs[0].data["text/plain"] == "2"
    assert published.metadata.course.executed.profile == "cpu"
    row = published.cells[1].source.splitlines()[2]
    assert row.startswith("| `cpu` |") and "not measured" not in row
    assert build(tree) == [], "what was published is what the builder would write"

    committed = target.read_bytes()
    text = run(tree, profile="smoke", update=True)[1]
    assert "run cards only" in text
    assert set(json.loads((tree.assets / "run_cards.json").read_text())["00"]) == {"cpu", "smoke"}
    assert read(target).metadata.course.executed.profile == "cpu"
    assert target.read_bytes() == committed


CLI = """\
import sys
from pathlib import Path
import course_lib.paths as paths
paths.COURSE = paths.CourseTree(Path({root!r}))
from course_lib.cli import main
sys.argv = ["course", *sys.argv[1:]]
main()
"""


def start_cli(tree, *arguments):
    # A job of a shell ignores Ctrl-C, and so do its children; a student's terminal does not.
    def hear_interrupts():
        signal.signal(signal.SIGINT, signal.default_int_handler)

    return subprocess.Popen(
        [sys.executable, "-c", CLI.format(root=str(tree.root)), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "140", "PYTHONIOENCODING": "utf-8"},
        preexec_fn=hear_interrupts,
    )


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("waited too long")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
def test_interrupt_stops_kernels_and_resume_goes_on(tmp_path):
    tree = course(tmp_path)
    pid_file, gate = tmp_path / "pid", tmp_path / "gate"
    lesson(tree, "01_quick", "# Quick", parameters(), code("print('quick')"))
    lesson(
        tree, "02_endless", "# Endless", parameters(),
        code(f"import os, pathlib, subprocess, time\n"
             f"child = subprocess.Popen(['sleep', '600'])\n"
             f"pathlib.Path({str(pid_file)!r}).write_text(f'{{os.getpid()}} {{child.pid}}')\n"
             f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.05)\nchild.kill()"),
    )  # fmt: skip

    def kernel_and_child():
        text = pid_file.read_text() if pid_file.exists() else ""
        return [psutil.Process(int(pid)) for pid in text.split()] if " " in text else None

    run_ = start_cli(tree, "run", "--profile", "smoke", "-p", "seed=3")
    processes = wait_for(kernel_and_child)
    run_.send_signal(signal.SIGINT)
    output = run_.communicate(timeout=60)[0]
    assert run_.returncode == 130, output
    assert "Traceback" not in output
    assert "1 of 2 lessons are done" in output and "--resume" in output
    assert '-p "seed=3"' in output
    gone = psutil.wait_procs(processes, timeout=10)
    assert not [p for p in gone[1] if p.status() != psutil.STATUS_ZOMBIE], "processes stayed"
    out = tree.root / "executed"
    assert (out / "01_quick.html").exists() and (out / "index.html").exists()
    assert not (out / "02_endless.ipynb").exists()

    # Even when the command itself is killed, no kernel is left behind.
    pid_file.unlink()
    killed = start_cli(tree, "run", "--profile", "smoke", "-p", "seed=3", "--resume")
    kernel, child = wait_for(kernel_and_child)
    killed.kill()
    killed.communicate()
    wait_for(lambda: not any(p.is_running() and p.status() != "zombie" for p in (kernel, child)))

    gate.touch()
    resumed = start_cli(tree, "run", "--profile", "smoke", "-p", "seed=3", "--resume")
    output = resumed.communicate(timeout=60)[0]
    assert resumed.returncode == 0, output
    assert "01_quick: started" not in output and "passed earlier" in output
    assert "02_endless: started" in output


def test_choose_lessons(tmp_path):
    lessons = [Lesson(number, tmp_path / f"{number}_x.ipynb") for number in ("01", "03", "05")]

    def chosen(only):
        return [lesson.number for lesson in choose(lessons, only)]

    assert chosen("") == ["01", "03", "05"]
    assert chosen("5, 1") == ["01", "05"]
    assert chosen("01-03") == ["01", "03"]
    for wrong, says in (
        ("02", "there is no lesson 02; lessons are 01, 03, 05"),
        ("03-01", "runs backwards"),
        ("lens", "write lesson numbers"),
        ("1,,3", "write lesson numbers"),
        ("01-04", "there is no lesson 04"),
    ):
        with pytest.raises(UsageError, match=says):
            choose(lessons, wrong)


def test_a_course_without_lessons_or_with_two_of_one_number(tmp_path):
    tree = course(tmp_path)
    with pytest.raises(UsageError, match="course build"):
        find_lessons(tree)
    lesson(tree, "01_one", parameters())
    lesson(tree, "01_two", parameters())
    with pytest.raises(UsageError, match="number 01"):
        find_lessons(tree)


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("sede=3", "no parameter 'sede'; it knows fast, photos, profile, rate, seed"),
        ("seed=three", "seed is a whole number, such as 0"),
        ("seed=1.5", "seed is a whole number"),
        ("rate=quick", "rate is a number, such as 0.5"),
        ("fast=1", "fast is true or false"),
        ("seed", "write name=value"),
        ("1x=2", "write name=value"),
        ("profile=cpu", "--profile cpu"),
        ("photos=nowhere", "there is no folder"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_starts(tmp_path, pair, says):
    tree = course(tmp_path)
    lesson(tree, "01_x", parameters())
    with pytest.raises(UsageError, match=says):
        run(tree, parameters=[pair])
    assert not (tmp_path / "executed").exists()


def test_photos_become_an_absolute_path(tmp_path, monkeypatch):
    from course_lib.teach.run import lesson_parameters

    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    known = {"photos": "", "profile": "auto"}
    given = lesson_parameters(Lesson("01", tmp_path), known, ["photos=mine"], "cpu")
    assert given == {"profile": "cpu", "photos": str(tmp_path / "mine")}


def test_defaults_are_read_from_the_parameters_cell(tmp_path):
    cell = code('name = "a"  # who\nseed = 3\nsizes = [1, 2]\nbest = max(1, 2)', "parameters")
    path = lesson(course(tmp_path), "01_x", cell)
    assert defaults(read(path)) == {"name": "a", "seed": 3, "sizes": [1, 2], "best": ...}
    assert parse_value("sizes", "[3]", [1, 2]) == [3]
    assert parse_value("best", "7", ...) == 7
    assert parse_value("fast", "True", False) is True
    assert parse_value("name", "7", "a") == "7"


@pytest.mark.parametrize("folder", ["", "notebooks", "exercises", "assets"])
def test_results_never_go_into_the_course_itself(tmp_path, folder):
    tree = course(tmp_path)
    lesson(tree, "01_x", parameters())
    with pytest.raises(UsageError, match="holds the course itself"):
        run(tree, out=tmp_path / folder)


def test_update_refuses_parameters(tmp_path, monkeypatch):
    tree = course(tmp_path)
    lesson(tree, "01_x", parameters())
    with pytest.raises(UsageError, match="--update publishes"):
        run(tree, update=True, parameters=["seed=1"])
    monkeypatch.setenv("COURSE_PHOTOS", str(tmp_path))
    with pytest.raises(UsageError, match="COURSE_PHOTOS"):
        run(tree, update=True)


def test_the_kernels_log_is_searched(tmp_path):
    path = lesson(course(tmp_path), "01_x", code("1"))
    log = "noise\nException in comm message\nTraceback (most recent call last):\n  x\nKeyError: 3\n"
    (error,) = find_errors(read(path), log)
    assert str(error) == "the kernel: KeyError: 3"
    assert find_errors(read(path), "a warning\nanother") == []
    notebook = read(path)
    notebook.cells[0].outputs = [
        new_output("stream", name="stderr", text="Exception ignored in: <object>\n"),
        new_output("stream", name="stdout", text="Traceback (most recent call last):\nX: y"),
    ]
    (error,) = find_errors(notebook)
    assert error.where == "stderr" and error.error == "Exception ignored in: <object>"
