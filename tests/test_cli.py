"""The command line: helps like a page of documentation, and errors are one clear line."""

import importlib.metadata
import subprocess
import sys

import pytest

from course_lib import cli, paths
from course_lib.errors import CourseError
from tests.small_course import course, lesson, parameters


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Run the command line in this process on an empty course; return code, output, errors."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(paths, "COURSE", course(tmp_path / "course"))

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["course", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return called


def commands(group, prefix=()):
    import typer.main

    tree = typer.main.get_command(group) if not prefix else group
    found = []
    for name, command in tree.commands.items():
        words = (*prefix, name)
        found += commands(command, words) if hasattr(command, "commands") else [(words, command)]
    return found


COMMANDS = [pytest.param(words, id=" ".join(words)) for words, _ in commands(cli.app)]


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(call, words, flag):
    code, out, err = call(*words, flag)
    assert code == 0 and not err
    assert "Usage: course " + " ".join(words) in out
    assert "Examples" in out and f"course {' '.join(words)}" in out.split("Examples")[1]
    for markup in ("[bold]", "**", "``"):
        assert markup not in out


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_has_a_help(words):
    command = dict(commands(cli.app))[words]
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{parameter.name} of {' '.join(words)}"


def test_without_a_command_the_help_is_shown(call):
    code, out, err = call()
    assert code == 2 and "Usage: course" in out and not err
    code, out, _ = call("-h")
    assert code == 0 and "course run --only 01" in out


def test_version(call):
    code, out, _ = call("--version")
    assert code == 0 and out == f"course {importlib.metadata.version('uncropped')}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "No such command 'nonsense'. See course --help."),
        (["run", "--nonsense"], "No such option: --nonsense. See course run --help."),
        (["run", "--jobs", "0"], "'--jobs'"),
        (["run", "--only"], "'--only' requires an argument"),
        (["run", "extra"], "unexpected extra argument"),
        (["run", "--profile", "fast"], "choose one of smoke, cpu, gpu"),
        (["run", "--only", "99"], "there is no lesson 99; lessons are 01."),
        (["run", "-p", "sede=1"], "no parameter 'sede'; it knows"),
        (["run", "--photos", "/no/[such] folder"], "there is no folder /no/[such] folder"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(call, arguments, says):
    lesson(paths.COURSE, "01_x", parameters())
    code, out, err = call(*arguments)
    assert code == 2 and not out
    assert err.startswith("Error: ") and err.count("\n") == 1
    assert says in err
    assert not (paths.COURSE.root / "executed").exists()


def test_no_lessons_yet(call):
    code, _, err = call("run")
    assert code == 2 and "course build" in err


def test_a_broken_notebook_fails_with_code_1(call):
    (paths.COURSE.notebooks / "01_x.ipynb").write_text("{")
    code, _, err = call("run")
    assert code == 1 and "01_x.ipynb is no notebook" in err and err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--debug", "run"], ["run", "--debug"]])
def test_debug_shows_where(monkeypatch, tmp_path, arguments):
    monkeypatch.setattr(paths, "COURSE", course(tmp_path / "course"))
    monkeypatch.setattr(sys, "argv", ["course", *arguments])
    with pytest.raises(CourseError, match="course build"):
        cli.main()


def test_a_fault_of_our_own_is_one_line_too(call, monkeypatch):
    def fail(*_):
        raise KeyError("oops")

    monkeypatch.setattr("course_lib.teach.run.run_course", fail)
    code, _, err = call("run")
    assert code == 1 and err == "Error: KeyError: 'oops' (--debug shows where)\n"


def test_the_installed_command(tmp_path):
    command = [sys.executable, "-m", "course_lib.cli"]
    wrong = subprocess.run([*command, "rum"], capture_output=True, text=True, cwd=tmp_path)
    assert wrong.returncode == 2 and wrong.stderr.startswith("Error: No such command 'rum'")
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert shown.returncode == 0 and "Execute lessons" in shown.stdout
    quick = "import sys, course_lib.cli; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", quick], capture_output=True, text=True)
    heavy = {"torch", "cv2", "papermill", "nbconvert", "numpy"} & set(loaded.stdout.split())
    assert not heavy, "help must answer at once"
