"""Starting a lesson: profiles, seeds, photographs, figures and claims."""

import subprocess
import sys

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib import pyplot as plt
from PIL import Image

from course_lib import figures
from course_lib.errors import PhotoError, UsageError
from course_lib.lesson import start
from course_lib.profiles import PROFILES, resolve
from course_lib.teach.claims import ClaimError, claim
from course_lib.teach.machine import describe


def test_profiles_resolve_by_name_environment_and_machine(monkeypatch):
    assert resolve("smoke").name == "smoke"
    monkeypatch.setenv("COURSE_PROFILE", "gpu")
    assert resolve("auto").name == "gpu"
    monkeypatch.setenv("COURSE_PROFILE", "auto")
    assert resolve("auto").name in ("cpu", "gpu")
    monkeypatch.delenv("COURSE_PROFILE")
    assert resolve("auto").name in ("cpu", "gpu")


def test_unknown_profiles_name_the_known_ones(monkeypatch):
    with pytest.raises(UsageError, match=r"'fast'.*smoke, cpu, gpu"):
        resolve("fast")
    monkeypatch.setenv("COURSE_PROFILE", "big")
    with pytest.raises(UsageError, match=r"\$COURSE_PROFILE is 'big'"):
        resolve("auto")


def test_a_lesson_is_repeatable_and_says_what_it_runs_on(capsys):
    one, two = (start("01", profile="smoke", seed=5) for _ in range(2))
    assert one.rng.integers(1 << 40) == two.rng.integers(1 << 40)
    assert one.pick(smoke=1, cpu=2, gpu=3) == 1
    said = capsys.readouterr().out
    assert "profile smoke" in said
    assert "seed 5" in said
    assert "embedded" in said


def test_a_folder_of_photographs_is_used(tmp_path):
    Image.fromarray(np.full((64, 80, 3), 90, np.uint8)).save(tmp_path / "mine.png")
    lesson = start("01", profile="smoke", photos=str(tmp_path))
    assert [photo.name for photo in lesson.photos] == ["mine.png"]


def test_pictures_of_a_lesson_are_small_and_show_something(tmp_path):
    rng = np.random.default_rng(0)
    for name, picture in {
        "a flat.png": np.full((64, 80, 3), 90, np.uint8),
        "b large.png": rng.integers(0, 256, (300, 1500, 3)).astype(np.uint8),
        "c small.png": rng.integers(0, 256, (64, 80, 3)).astype(np.uint8),
    }.items():
        Image.fromarray(picture).save(tmp_path / name)
    lesson = start("01", profile="smoke", photos=str(tmp_path))
    shapes = [picture.shape for picture in lesson.pictures(5, long_side=1000)]
    assert shapes == [(200, 1000, 3), (64, 80, 3)]
    (tmp_path / "b large.png").unlink()
    (tmp_path / "c small.png").unlink()
    with pytest.raises(PhotoError, match="ordinary photographs"):
        start("01", profile="smoke", photos=str(tmp_path)).pictures(5)


def test_starting_does_not_import_torch():
    code = (
        "import sys; from course_lib.lesson import start; start('01', profile='smoke'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_device_follows_the_profile():
    assert start("01", profile="smoke").device.type == "cpu"


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_figures_carry_alt_text_and_close(shell):
    figures.use_house_style()
    for photo, kind in ((False, "image/png"), (True, "image/jpeg")):
        figure, axes = figures.grid([np.zeros((20, 30, 3), np.uint8)] * 4, list("abcd"), columns=3)
        assert len(axes) == 4
        figures.frame(axes[0], 2, 2, 8, 8)
        with capture_output() as seen:
            figures.show(figure, alt="four black pictures", caption="Black.", photo=photo)
        picture, caption = seen.outputs
        assert picture.metadata[kind]["alt"] == "four black pictures"
        assert len(picture.data[kind]) > 500
        assert "Black." in str(caption.data)
        assert not plt.fignum_exists(figure.number)


def test_a_figure_without_alt_text_is_refused():
    with pytest.raises(ValueError, match="alt text"):
        figures.show(plt.figure(), alt="  ")


def test_claims_print_or_fail(capsys):
    claim("Two is more than one.", np.bool_(True), "2 against 1")
    assert "✓ Two is more than one.\n  2 against 1" in capsys.readouterr().out
    with pytest.raises(ClaimError, match="does not bear out the claim: One is more than two"):
        claim("One is more than two.", 1 > 2)


def test_the_machine_is_described_in_lines():
    lines = describe()
    assert all(line.startswith(("ok ", "low")) for line in lines)
    assert any("Python" in line for line in lines)
    assert any(f"profile {resolve('auto').name}" in line for line in lines)
    assert set(PROFILES) == {"smoke", "cpu", "gpu"}
