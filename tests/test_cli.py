"""The command line: helps like a page of documentation, and errors are one clear line."""

import importlib.metadata
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from course_lib import cli, paths, systems
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


# --- systems ----------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """Enter a small system with all abilities and one with none into the table of systems."""
    for name, package in (("small", "tests.small_system"), ("bare", "tests")):
        monkeypatch.setitem(systems.SYSTEMS, name, systems.System(name, package, "for tests"))


@pytest.fixture
def pictures(tmp_path):
    """Return a folder with a dark and a bright picture."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, level in (("dark", 40), ("light", 200)):
        Image.fromarray(np.full((64, 96, 3), level, np.uint8)).save(folder / f"{name}.png")
    return folder


def test_train_writes_weights_and_resumes(call, small, pictures, tmp_path):
    out = tmp_path / "weights"
    train = ["train", "small", "--profile", "smoke", "--photos", str(pictures), "--out", str(out)]
    code, said, err = call(*train, "--limit-minutes", "0")
    assert code == 3 and not err and "Time is up at step 1 of 30" in said
    code, said, err = call(*train)
    assert code == 2 and err.startswith("Error: ") and "holds a run of small/rings" in err
    code, said, err = call(*train, "--resume")
    assert code == 0 and not err
    assert "Going on from step 1," in said and "step 30/30" in said
    assert f"wrote {out / 'rings.safetensors'}" in said and "later.safetensors" in said
    card = json.loads((out / "rings.json").read_text())
    assert card["command"] == "course train small --profile smoke --photos pictures"
    assert card["photos"] == [{"name": "pictures", "count": 2, "licences": {"not stated": 2}}]
    code, said, err = call(*train, "--resume")
    assert code == 0 and "Everything is trained already" in said
    code, said, _ = call("train", "small", "--profile", "smoke", "--seed", "4")
    assert code == 0 and (paths.COURSE.root / "trained/small-smoke/rings.safetensors").exists()


def test_train_stopped_by_ctrl_c_ends_with_130(call, small, tmp_path, monkeypatch):
    from tests.small_training import Small

    def interrupted(self, step):
        if step == 5:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Small, "lr", interrupted)
    code, said, err = call("train", "small", "--profile", "smoke", "--out", str(tmp_path / "w"))
    assert code == 130 and not err
    assert "Interrupted at step 6 of 30, saved in" in said and "with --resume" in said


def test_evaluate_prints_and_writes_the_same(call, small, pictures, tmp_path):
    place = tmp_path / "r.json"
    evaluate = ["evaluate", "small", "--photos", str(pictures), "--json", str(place)]
    code, said, err = call(*evaluate, "--lens", "simulated")
    assert code == 0 and not err and "crop accuracy" in said and "0.860" in said
    measured = json.loads(place.read_text())
    assert measured["photos"] == 2 and measured["rows"][0]["value"] == 0.5
    assert measured["rows"][0]["lens"] == "simulated"
    assert call(*evaluate, "--limit", "1")[0] == 0
    assert json.loads(place.read_text())["photos"] == 1


def test_locate_answers_in_words_json_and_a_figure(call, small, pictures, tmp_path):
    files = ["--json", str(tmp_path / "v.json"), "--figure", str(tmp_path / "v.png")]
    code, said, err = call("locate", "small", str(pictures / "light.png"), *files)
    assert code == 0 and not err
    assert said.startswith("light.png: cropped (score 0.78), 38% of the original is left")
    verdict = json.loads((tmp_path / "v.json").read_text())
    assert verdict["cropped"] and verdict["box"] == [0.25, 0.25, 0.75, 1.0]
    assert verdict["evidence"] == {"means": [200, 200, 200]} and verdict["system"] == "small"
    with Image.open(tmp_path / "v.png") as figure:
        assert figure.size[0] > 500
    code, said, _ = call("locate", "small", str(pictures / "dark.png"))
    assert code == 0 and said.startswith("dark.png: not cropped (score 0.16)")


def test_protect_writes_a_png(call, small, pictures, tmp_path):
    code, said, err = call("protect", "small", str(pictures / "dark.png"), str(tmp_path / "p.png"))
    assert code == 0 and not err and "unchanged" in said
    with Image.open(tmp_path / "p.png") as written, Image.open(pictures / "dark.png") as original:
        assert np.array_equal(written, original)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("train nothing", "there is no system 'nothing'; choose one of traces"),
        ("train bare", "bare cannot be trained; systems that can: "),
        ("train small --profile fast", "choose one of smoke, cpu, gpu"),
        ("train small --photos nowhere", "nowhere"),
        ("train small --profile smoke --nodes 2", "torchrun --nnodes 2"),
        ("evaluate bare --photos . --json r.json", "bare has no evaluation"),
        ("evaluate small --photos . --json r.txt", "ends in .json"),
        ("evaluate small --photos . --json r.json --lens odd", "choose simulated or none"),
        ("evaluate small --photos . --json r.json --sets", "small is not measured by sets"),
        ("evaluate small --photos nowhere --json r.json", "nowhere"),
        ("locate bare x.png", "bare examines no pictures"),
        ("locate small x.png --figure v.gif", "ends in .png, .jpg, .svg or .pdf"),
        (
            "locate small PICTURE --weights nowhere",
            "no trained weights small/bright lie in nowhere",
        ),
        ("protect bare x.png y.png", "bare examines no pictures"),
        ("protect small x.png y.jpg", "JPEG would change the picture"),
    ],
)
def test_wrong_use_of_systems(call, small, pictures, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    picture = str(pictures / "light.png")
    code, said, err = call(*[picture if word == "PICTURE" else word for word in arguments.split()])
    assert code == 2 and not said
    assert err.startswith("Error: ") and err.count("\n") == 1
    assert says.lower() in err.lower()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course", "pictures"]


def test_a_missing_picture_is_code_1(call, small):
    code, _, err = call("locate", "small", "nowhere.png")
    assert code == 1 and "nowhere.png: does not exist" in err
