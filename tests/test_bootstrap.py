"""The script that prepares the environment: real environments and a real pip, on a tiny project.

The tiny project brings its own build backend and its dependencies lie in a folder, so nothing here
needs the network.
"""

import ast
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
bootstrap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bootstrap)

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny"
version = "1.0"
dependencies = ["leaf>=1"]

[project.optional-dependencies]
test = ["twig>=1"]
"""

# A build backend of PEP 660; while the file "slow" exists it stops half-way, as a slow disk would.
BACKEND = """
import os, time, zipfile
from pathlib import Path

def get_requires_for_build_editable(config_settings=None):
    return []

def build_editable(folder, config_settings=None, metadata_directory=None):
    here = Path.cwd()
    if (here / "slow").exists():
        (here / "building").write_text(str(os.getpid()))
        time.sleep(60)
    name = "tiny-1.0-py3-none-any.whl"
    info = "tiny-1.0.dist-info"
    metadata = ["Metadata-Version: 2.1", "Name: tiny", "Version: 1.0", "Requires-Dist: leaf>=1"]
    metadata += ["Provides-Extra: test", "Requires-Dist: twig>=1; extra == 'test'"]
    tags = ["Wheel-Version: 1.0", "Root-Is-Purelib: true", "Tag: py3-none-any"]
    with zipfile.ZipFile(Path(folder) / name, "w") as wheel:
        wheel.writestr("tiny.pth", str(here))
        wheel.writestr(f"{info}/METADATA", "\\n".join(metadata) + "\\n")
        wheel.writestr(f"{info}/WHEEL", "\\n".join(tags) + "\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""

# Stands where the real command line stands and writes down how it was called.
CLI = """
import json, os, sys, time
from pathlib import Path

photos = os.environ.get("COURSE_PHOTOS")
Path("called.json").write_text(json.dumps({"arguments": sys.argv[1:], "photos": photos}))
while Path("endless").exists():
    time.sleep(0.1)
sys.exit(3 if Path("fails").exists() else 0)
"""


# Stands where JupyterLab stands: asks at the first Ctrl-C, ends at the second.
LAB = """
import json, signal, sys, time
from pathlib import Path

def interrupted(number, frame):
    if Path("asked").exists():
        sys.exit(0)
    Path("asked").write_text("Shut down this server?")

signal.signal(signal.SIGINT, interrupted)
Path("called.json").write_text(json.dumps(sys.argv[1:]))
while True:
    time.sleep(0.1)
"""


def write_wheel(folder: Path, name: str, code: str = "", version: str = "1.0") -> None:
    """Write a package as a wheel: one module of the same name."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py" if name != "opencv_python" else "cv2.py", code)
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module", autouse=True)
def offline_pip(tmp_path_factory):
    """Let pip see only the packages that lie in a folder here."""
    wheels = tmp_path_factory.mktemp("wheels")
    write_wheel(wheels, "leaf")
    write_wheel(wheels, "twig")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            patch.delenv(name)
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(wheels))
        yield wheels


def write_project(root: Path) -> Path:
    """Write the tiny project."""
    root.mkdir(exist_ok=True)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "constraints.txt").write_text("leaf==1.0\ntwig==1.0\n")
    (root / "backend.py").write_text(BACKEND)
    shutil.copy(ROOT / "bootstrap.py", root)
    (root / "course_lib").mkdir()
    (root / "course_lib" / "cli.py").write_text(CLI)
    return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a tiny project whose environment was made once."""
    root = write_project(tmp_path_factory.mktemp("tiny") / "project")
    bootstrap.Environment(root).prepare()
    return root


@pytest.fixture
def tiny(prepared, tmp_path):
    """Return a copy of it as it would be, had it been made in this place."""
    root = tmp_path / "a project"  # with a space, as in "My Documents"
    shutil.copytree(prepared, root, symlinks=True)
    environment = bootstrap.Environment(root)
    record = environment.read_stamp()
    key = environment.key(environment.version())
    environment.write_stamp("ready", created=True, extras=record["extras"], key=key)
    return environment


def has(environment, name: str) -> bool:
    """Say whether a module can be imported in the environment."""
    command = [str(environment.python), "-c", f"import {name}"]
    return subprocess.run(command, capture_output=True).returncode == 0


def command_line(root: Path, *arguments: str, **settings) -> subprocess.Popen:
    """Start the script as a person does."""
    return subprocess.Popen(
        [sys.executable, "bootstrap.py", *arguments],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Wait until a running script has come to a certain place."""
    deadline = time.monotonic() + 60
    while not path.exists() or not path.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Say whether a process lives (a zombie does not)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


# --- making and keeping -----------------------------------------------------------------------


def test_first_run_installs_and_the_second_does_nothing(prepared, capsys):
    environment = bootstrap.Environment(prepared)
    assert has(environment, "leaf")
    assert not has(environment, "twig")
    assert environment.read_stamp()["phase"] == "ready"
    before = environment.log.stat().st_mtime_ns
    environment.prepare()
    assert environment.log.stat().st_mtime_ns == before
    assert "ready" in capsys.readouterr().out


def test_extras_are_added_and_stay(tiny):
    tiny.prepare(["test"])
    assert has(tiny, "twig")
    before = tiny.log.stat().st_mtime_ns
    tiny.prepare()
    assert tiny.read_stamp()["extras"] == ["test"]
    assert tiny.log.stat().st_mtime_ns == before


def test_only_what_decides_the_install_brings_a_new_one(tiny):
    before = tiny.log.stat().st_mtime_ns
    project = tiny.root / "pyproject.toml"
    project.write_text(PYPROJECT + "\n[tool.ruff]\nline-length = 90\n")
    tiny.prepare()
    assert tiny.log.stat().st_mtime_ns == before
    (tiny.root / "constraints.txt").write_text("leaf==1.0\n")
    tiny.prepare()
    assert tiny.log.stat().st_mtime_ns != before


def test_settings_of_the_shell_do_not_redirect_the_install(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tiny.prepare(["test"])
    assert has(tiny, "twig")
    assert not (tmp_path / "elsewhere").exists()


# --- interrupted and broken -------------------------------------------------------------------


@posix
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_interrupted_install_goes_on(tiny, number, code):
    (tiny.root / "slow").touch()
    (tiny.root / "constraints.txt").write_text("leaf==1.0\n")
    process = command_line(tiny.root, "course")
    wait_for(tiny.root / "building", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in out + err
    if number == signal.SIGKILL:  # nothing could be tidied; what still runs ends by itself
        os.kill(int((tiny.root / "building").read_text()), signal.SIGKILL)
    else:
        assert "Stopped." in out
        assert not is_running(int((tiny.root / "building").read_text()))
    assert tiny.read_stamp()["phase"] == "installing"
    (tiny.root / "slow").unlink()
    tiny.prepare()
    assert tiny.read_stamp()["phase"] == "ready"
    assert has(tiny, "leaf")


@pytest.mark.parametrize("lost", ["leaf.py", "leaf-1.0.dist-info/RECORD"])
def test_half_written_package_is_repaired(tiny, lost, capsys):
    (site,) = tiny.venv.rglob("site-packages")
    (site / lost).unlink()
    tiny.write_stamp("installing", created=True, extras=[])
    tiny.prepare()
    assert "repairing leaf" in capsys.readouterr().out
    assert (site / lost).exists()
    assert has(tiny, "leaf")


def test_half_made_environment_is_made_anew(tiny, capsys):
    (pip,) = tiny.venv.rglob("site-packages/pip")
    shutil.rmtree(pip / "_vendor")
    tiny.write_stamp("making", created=True, extras=[])
    tiny.prepare()
    assert "half made" in capsys.readouterr().out
    assert has(tiny, "leaf")


@posix
def test_environment_whose_python_is_gone_is_made_anew(tiny, capsys):
    for link in tiny.python.parent.glob("python*"):
        link.unlink()
        link.symlink_to("/nowhere/python3")
    tiny.prepare(["test"])
    assert "does not start" in capsys.readouterr().out
    assert has(tiny, "twig")


def test_folder_that_was_copied_gets_its_own_environment(prepared, tmp_path, capsys):
    shutil.copytree(prepared, tmp_path / "copy", symlinks=True)
    environment = bootstrap.Environment(tmp_path / "copy")
    environment.prepare()
    assert "moved or copied" in capsys.readouterr().out
    assert environment.read_stamp()["root"] == str(tmp_path / "copy")


def test_environment_of_someone_else_is_used_but_never_removed(tiny, capsys):
    tiny.stamp.unlink()
    tiny.prepare(["test"])
    assert "already here" in capsys.readouterr().out
    assert has(tiny, "twig")
    answer = command_line(tiny.root, "clean", "--all")
    _, err = answer.communicate(timeout=60)
    assert answer.returncode == 1
    assert "was not made by this script" in err
    assert tiny.python.exists()


def test_useless_environment_of_someone_else_is_named_and_stays(tmp_path):
    environment = bootstrap.Environment(write_project(tmp_path / "project"))
    keepsake = environment.venv / "keepsake"
    keepsake.parent.mkdir()
    keepsake.write_text("mine")
    with pytest.raises(bootstrap.TroubleError, match="Move it away"):
        environment.prepare()
    assert keepsake.read_text() == "mine"


@posix
def test_environment_may_lie_on_another_disk(tmp_path):
    environment = bootstrap.Environment(write_project(tmp_path / "project"))
    (tmp_path / "big").mkdir()
    environment.venv.symlink_to(tmp_path / "big", target_is_directory=True)
    environment.prepare()
    assert (tmp_path / "big" / bootstrap.STAMP).exists()
    answer = command_line(environment.root, "clean", "--all")
    answer.communicate(timeout=60)
    assert answer.returncode == 0
    assert not environment.venv.is_symlink()
    assert list((tmp_path / "big").iterdir()) == []


# --- failures with a remedy -------------------------------------------------------------------


def test_unreachable_index_is_said_plainly(tiny, monkeypatch):
    # Port 9 of this machine: nothing listens there, and nothing leaves it.
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    project = tiny.root / "pyproject.toml"
    project.write_text(PYPROJECT.replace("leaf>=1", "leaf>=2"))
    backend = tiny.root / "backend.py"
    backend.write_text(BACKEND.replace("leaf>=1", "leaf>=2"))
    (tiny.root / "constraints.txt").write_text("")
    with pytest.raises(bootstrap.TroubleError, match="could not be reached") as error:
        tiny.prepare()
    assert str(tiny.log) in str(error.value)
    assert tiny.read_stamp()["phase"] == "installing"


def test_missing_package_is_said_plainly(tiny):
    backend = tiny.root / "backend.py"
    backend.write_text(BACKEND.replace("leaf>=1", "leaf>=7"))
    with pytest.raises(bootstrap.TroubleError, match="contradict each other"):
        tiny.prepare(["test"])
    (tiny.root / "constraints.txt").write_text("")
    with pytest.raises(bootstrap.TroubleError, match="no ready-made file"):
        tiny.prepare()


def test_source_packages_are_never_built(tiny, offline_pip):
    import tarfile

    with tarfile.open(offline_pip / "bark-1.0.tar.gz", "w:gz") as archive:
        archive.add(ROOT / "LICENSE", "bark-1.0/PKG-INFO")
    backend = tiny.root / "backend.py"
    backend.write_text(BACKEND.replace("leaf>=1", "bark>=1"))
    (tiny.root / "constraints.txt").write_text("")
    with pytest.raises(bootstrap.TroubleError, match="no ready-made file"):
        tiny.prepare()


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk is full"),
        ("SSLError(SSLCertVerificationError('CERTIFICATE_VERIFY_FAILED'))", "PIP_CERT"),
        ("Failed to establish: Temporary failure in name resolution", "could not be reached"),
        (
            "WARNING: Retrying after NewConnectionError\nERROR: No matching distribution found",
            "could not be reached",
        ),
        ("ERROR: No matching distribution found for torch==2.15.0", "ready-made"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "cache purge"),
        ("no such option: --only-binary", "pip is too old"),
        ("PermissionError: [WinError 5] Access is denied", "Close programs"),
        ("something new", "Run the same command again"),
    ],
)
def test_remedies(output, advice):
    assert advice in bootstrap.remedy(output)


def test_opencv_that_does_not_load_names_the_packages(tiny, offline_pip):
    complaint = "libGL.so.1: cannot open shared object file: No such file or directory"
    write_wheel(offline_pip, "opencv_python", f"raise ImportError({complaint!r})")
    (tiny.root / "pyproject.toml").write_text(PYPROJECT.replace("leaf>=1", "opencv-python>=1"))
    (tiny.root / "backend.py").write_text(BACKEND.replace("leaf>=1", "opencv-python>=1"))
    (tiny.root / "constraints.txt").write_text("opencv-python==1.0\n")
    with pytest.raises(bootstrap.TroubleError) as error:
        tiny.prepare()
    for part in (complaint, "apt-get install libgl1 libglib2.0-0", "opencv-python-headless==1.0"):
        assert part in str(error.value)
    (module,) = tiny.venv.rglob("cv2.py")
    module.write_text("")  # what either remedy comes to
    tiny.prepare()
    assert tiny.read_stamp()["phase"] == "ready"


# --- the command line -------------------------------------------------------------------------


def test_old_python_gets_a_clear_word():
    source = (ROOT / "bootstrap.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 7))  # an old Python must get as far as the check
    pretend = (
        "import sys; sys.version_info = (3, 9, 18, 'final', 0); sys.version = '3.9.18 (stub)'\n"
        "exec(compile(open('bootstrap.py', encoding='utf-8').read(), 'bootstrap.py', 'exec'))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", pretend], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode == 1
    assert "needs Python 3.11 or newer; this is 3.9.18" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_nothing_but_the_standard_library_is_imported():
    tree = ast.parse((ROOT / "bootstrap.py").read_text(encoding="utf-8"))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


def test_course_hands_its_options_on(tiny, tmp_path):
    photos = tmp_path / "my photos"
    photos.mkdir()
    (tiny.root / "fails").touch()
    arguments = ["--profile", "gpu", "--only", "01,03-05", "--jobs", "2", "--photos", str(photos)]
    process = command_line(tiny.root, "course", *arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "Executing the lessons" in out
    called = json.loads((tiny.root / "called.json").read_text())
    assert called["photos"] == str(photos)
    assert called["arguments"] == ["run", *arguments[:-2], "--resume"]


def test_course_without_options(tiny):
    process = command_line(tiny.root, "course", "--fresh", "--out", "here")
    process.communicate(timeout=60)
    assert process.returncode == 0
    called = json.loads((tiny.root / "called.json").read_text())
    assert called["arguments"] == ["run", "--out", str(tiny.root / "here")]


@posix
def test_ctrl_c_is_quiet(tiny):
    (tiny.root / "endless").touch()
    process = command_line(tiny.root, "course", start_new_session=True)
    wait_for(tiny.root / "called.json", process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every program in it is told
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped." in out
    assert "bootstrap.py" not in err


@posix
def test_lab_stays_on_this_machine_and_outlives_the_first_ctrl_c(tiny):
    (tiny.root / "jupyterlab").mkdir()
    (tiny.root / "jupyterlab" / "__main__.py").write_text(LAB)
    first = tiny.root / "notebooks" / "00_start_here.ipynb"
    first.parent.mkdir()
    first.touch()
    process = command_line(tiny.root, "lab", "--no-browser", start_new_session=True)
    wait_for(tiny.root / "called.json", process)
    called = json.loads((tiny.root / "called.json").read_text())
    assert "--ServerApp.ip=127.0.0.1" in called
    assert f"--ServerApp.root_dir={tiny.root}" in called
    assert not any("token" in argument or "password" in argument for argument in called)
    assert called[-1] == str(first)
    os.killpg(process.pid, signal.SIGINT)
    wait_for(tiny.root / "asked", process)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in out + err


def test_wrong_use(tiny):
    for arguments, word in [
        (["course", "--photos", "nowhere"], "no folder"),
        (["course", "--job", "many"], "invalid int value"),
        (["cook"], "invalid choice"),
    ]:
        process = command_line(tiny.root, *arguments)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2, arguments
        assert word in err


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]])
def test_help(arguments):
    answer = subprocess.run(
        [sys.executable, "bootstrap.py", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode == 0
    for command in ("course", "test", "lab", "clean"):
        assert f"python bootstrap.py {command}" in answer.stdout


def test_every_step_runs_and_the_table_tells(tmp_path, capfd):
    python = sys.executable
    code = bootstrap.run_steps(
        [
            ("first", [python, "-c", "print('one')"]),
            ("second", [python, "-c", "raise SystemExit(4)"]),
            ("third", [python, "-c", "print('three')"]),
        ],
        tmp_path,
    )
    out = capfd.readouterr().out
    assert code == 1
    assert out.index("one") < out.index("three") < out.index("summary")
    table = out[out.index("summary") :]
    assert re.search(r"first +0:0\d +ok", table)
    assert re.search(r"second +0:0\d +FAILED \(exit 4\)", table)
    assert bootstrap.run_steps([("only", [python, "-c", ""])], tmp_path) == 0


def test_the_tests_come_last():
    names = [name for name, _ in bootstrap.steps("python")]
    assert len(names) == 5
    assert names[-1] == "tests (pytest)"


def test_clean_leaves_what_is_the_readers(tiny):
    root = tiny.root
    made = ["executed/01_lens.ipynb", "executed/01_lens.html", "executed/files/LICENSE"]
    made += [".ruff_cache/x", "course_lib/__pycache__/cli.pyc", "tests/browser/__pycache__/x.pyc"]
    kept = ["notebooks/01_lens.ipynb", "photos/a.jpg", "executed/my answers.ipynb", "build/mine"]
    for name in made + kept:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    process = command_line(root, "clean")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not any((root / name).exists() for name in made)
    assert all((root / name).exists() for name in kept)
    assert tiny.python.exists()
    process = command_line(root, "clean", "--all")
    process.communicate(timeout=60)
    assert not tiny.venv.exists()


@pytest.mark.skipif(not shutil.which("make"), reason="make is not on this machine")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["course"], "bootstrap.py course"),
        (
            ["course", "PROFILE=gpu", "ONLY=01,03", "JOBS=2", "PHOTOS=my photos"],
            'bootstrap.py course --profile "gpu" --only "01,03" --jobs "2" --photos "my photos"',
        ),
        (["test"], "bootstrap.py test"),
        (["lab"], "bootstrap.py lab"),
        (["clean", "ARGS=--all"], "bootstrap.py clean --all"),
        ([], "bootstrap.py help"),
    ],
)
def test_make_is_a_thin_alias(arguments, expected):
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    answer = subprocess.run(
        ["make", "-n", "PYTHON=python3", *arguments],
        cwd=ROOT,
        env=outside,  # the tests may themselves be run by make
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["python3", *expected.split()]


def test_ci_script_is_sound():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert "make test" in text
    if shutil.which("bash"):
        assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
