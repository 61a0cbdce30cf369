"""The explorer as a reader meets it: JupyterLab in Chromium, driven from the keyboard."""

import statistics
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from course_lib.paths import COURSE

pytestmark = pytest.mark.browser

LESSON = COURSE.notebooks / "01_lens_aberrations.ipynb"

LENS = """
from course_lib.lens.explore import explorer
explorer(magnifier="bottom left")
"""

BROKEN = """
import time
import numpy as np
from course_lib.explorer import Explorer, Slider

def broken(pause):
    def render(settings):
        time.sleep(pause)
        if settings["level"] == 2:
            raise ValueError(f"no picture <at> level 2 after {pause} s")
        return np.full((320, 480, 3), 40 * settings["level"], np.uint8)
    return Explorer(
        render, [Slider("level", "Level", 0, 4, 1, 0)], lambda s: f"Level {s['level']}.",
        size=(480, 320), alt="A gray field",
    )
"""

PATCH = """
import torch
from course_lib.traces import explore, readers
from course_lib.traces.model import patch_net
torch.manual_seed(0)
nets = [readers.reading(patch_net("fringe").eval()) for _ in range(2)]
explore.patch_explorer(reader={"one": nets[0], "another": nets[1]})
"""

CROP = """
import torch
from course_lib.traces import explore
from course_lib.traces.model import crop_detector
torch.manual_seed(0)
explore.crop_explorer(detector=crop_detector("joint", patch="fringe", thumbnail="course").eval())
"""

WATCH = """
explorer => {
  const image = explorer.querySelector('img'), seen = window.seen = {count: 0, delays: []};
  let pressed = null;
  explorer.addEventListener('keydown', () => { pressed = performance.now(); }, true);
  image.addEventListener('load', () => {
    seen.count += 1;
    if (pressed !== null) { seen.delays.push(performance.now() - pressed); pressed = null; }
  });
}
"""

IDLE = """
() => !Array.from(document.querySelectorAll('.jp-InputPrompt')).some(
  prompt => prompt.textContent.includes('*'))
"""

BOXES = """
explorer => {
  const origin = explorer.getBoundingClientRect();
  return Array.from(explorer.querySelectorAll('img, select, button, .noUi-target, .widget-label'),
    element => { const box = element.getBoundingClientRect();
                 return [box.x - origin.x, box.y - origin.y, box.width, box.height]
                   .map(Math.round); }).filter(box => box[2] > 0);
}
"""


class OnPage:
    """The first explorer of a page."""

    def __init__(self, page, index: int = 0) -> None:
        self.page = page
        self.root = page.locator(".course-explorer").nth(index)
        self.image = self.root.locator("img")
        self.sentence = self.root.locator("[role=status]")
        self.alert = self.root.locator("[data-course-error]")

    def wait(self, timeout: float = 15_000) -> None:
        """Wait until all cells have run and the picture is at rest, and watch it from then on."""
        self.image.wait_for(timeout=timeout)
        self.page.wait_for_function(IDLE, timeout=timeout)
        self.root.scroll_into_view_if_needed()
        self.page.wait_for_function(
            "image => image.complete && image.naturalWidth > 0", arg=self.image.element_handle()
        )
        self.page.wait_for_timeout(300)
        self.root.evaluate(WATCH)

    def press(self, key: str) -> None:
        """Press a key on the focused control and wait until another picture is drawn."""
        before = self.page.evaluate("seen.count")
        self.page.keyboard.press(key)
        self.page.wait_for_function("before => seen.count > before", arg=before, timeout=10_000)

    def boxes(self) -> list:
        return self.root.evaluate(BOXES)


@pytest.mark.parametrize(
    "notebook",
    [
        pytest.param(None, id="explorer alone"),
        pytest.param(
            LESSON,
            id="lesson 01",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(not LESSON.exists(), reason="the lesson is not built"),
            ],
        ),
    ],
)
def test_lens_explorer_from_the_keyboard(lab, page, notebook: Path | None, capsys):
    name = lab.write("lens.ipynb", LENS) if notebook is None else lab.copy(notebook)
    lab.run_all(page, name)
    explorer = OnPage(page)
    explorer.wait(timeout=15_000 if notebook is None else 200_000)
    assert explorer.image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [
        768,
        512,
    ]
    page.get_by_role("img", name="A picture as the chosen lens draws it").wait_for()
    at_rest = explorer.boxes()

    sliders = explorer.root.get_by_role("slider").all()
    names = [slider.get_attribute("aria-label") for slider in sliders]
    assert len(sliders) == 9
    assert all(names) and len(set(names)) == len(names)
    for slider, label in zip(sliders, names, strict=True):
        assert explorer.root.get_by_role("slider", name=label, exact=True).count() == 1
        slider.focus()
        value = float(slider.get_attribute("aria-valuetext"))
        words = explorer.sentence.inner_text()
        source = explorer.image.get_attribute("src")
        for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
            explorer.press(key)
        assert float(slider.get_attribute("aria-valuetext")) > value, label
        assert explorer.image.get_attribute("src") != source, label
        assert explorer.sentence.inner_text() != words, label
        assert slider.evaluate("handle => handle === document.activeElement"), label
        assert explorer.boxes() == at_rest, f"{label} moved something"

    page.keyboard.press("d")
    page.keyboard.press("d")
    assert explorer.root.is_visible(), "the notebook took the keys for itself"

    delays = page.evaluate("seen.delays")
    with capsys.disabled():
        print(
            f"\nkey to picture: median {statistics.median(delays):.0f} ms, "
            f"95 % {sorted(delays)[int(0.95 * len(delays))]:.0f} ms, n = {len(delays)}"
        )
    assert len(delays) >= 20
    assert statistics.median(delays) <= 200

    for label in ("Picture", "View", "Magnifier"):
        choice = explorer.root.get_by_role("combobox", name=label, exact=True)
        choice.focus()
        chosen = choice.input_value()
        explorer.press("ArrowDown")
        assert choice.input_value() != chosen
        assert explorer.boxes() == at_rest, f"{label} moved something"

    again = explorer.root.get_by_role("button", name="Reset")
    again.focus()
    explorer.press("Enter")
    assert "leaves the picture as it is" in explorer.sentence.inner_text()
    assert explorer.boxes() == at_rest
    assert page.failures == []


@pytest.mark.parametrize(
    ("cell", "size", "sliders", "choices"),
    [
        pytest.param(
            PATCH,
            [768, 604],
            ("Across (%)", "Down (%)", "Lens (×)"),
            ("Photograph", "Moves", "JPEG", "Reader"),
            id="patch",
        ),
        pytest.param(
            CROP,
            [900, 440],
            ("Size (%)", "Across (%)", "Down (%)", "Lens (×)"),
            ("Photograph", "JPEG"),
            id="crop",
        ),
    ],
)
def test_traces_explorers_from_the_keyboard(lab, page, cell, size, sliders, choices, capsys):
    lab.run_all(page, lab.write("traces.ipynb", cell))
    explorer = OnPage(page)
    explorer.wait(timeout=60_000)
    shown = explorer.image.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert shown == size
    at_rest = explorer.boxes()
    assert explorer.root.get_by_role("slider").count() == len(sliders)
    for label in sliders:
        said = explorer.sentence.inner_text()
        slider = explorer.root.get_by_role("slider", name=label, exact=True)
        slider.focus()
        value = float(slider.get_attribute("aria-valuetext"))
        source = explorer.image.get_attribute("src")
        for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
            explorer.press(key)
        assert float(slider.get_attribute("aria-valuetext")) > value, label
        assert explorer.image.get_attribute("src") != source, label
        assert explorer.boxes() == at_rest, f"{label} moved something"
        # The lens alone is in every sentence; texts may arrive after their picture.
        if label == "Lens (×)":
            expect(explorer.sentence).not_to_have_text(said)

    delays = page.evaluate("seen.delays")
    with capsys.disabled():
        print(
            f"\nkey to picture: median {statistics.median(delays):.0f} ms, "
            f"95 % {sorted(delays)[int(0.95 * len(delays))]:.0f} ms, n = {len(delays)}"
        )
    assert statistics.median(delays) <= 300

    for label in choices:
        choice = explorer.root.get_by_role("combobox", name=label, exact=True)
        choice.focus()
        chosen = choice.input_value()
        explorer.press("ArrowDown")
        assert choice.input_value() != chosen
        assert explorer.boxes() == at_rest, f"{label} moved something"
    assert explorer.alert.count() == 0
    assert page.failures == []


@pytest.mark.parametrize("pause", [0.0, 0.08], ids=["quick", "slow"])
def test_reader_sees_an_error_in_render_and_its_end(lab, page, pause):
    name = lab.write(f"broken-{pause}.ipynb", BROKEN, f"broken({pause})")
    lab.run_all(page, name)
    explorer = OnPage(page)
    explorer.wait()
    explorer.root.get_by_role("slider", name="Level").focus()
    explorer.press("ArrowRight")
    assert explorer.sentence.inner_text() == "Level 1."
    page.keyboard.press("ArrowRight")
    explorer.alert.wait_for()
    assert f"ValueError: no picture <at> level 2 after {pause} s" in explorer.alert.inner_text()
    assert page.get_by_role("alert").is_visible()
    assert explorer.sentence.count() == 0
    page.wait_for_function(
        "image => getComputedStyle(image).opacity < 0.5", arg=explorer.image.element_handle()
    )
    explorer.press("ArrowRight")
    assert explorer.sentence.inner_text() == "Level 3."
    assert explorer.alert.count() == 0
    page.wait_for_function(
        "image => getComputedStyle(image).opacity > 0.9", arg=explorer.image.element_handle()
    )


def test_slow_pictures_skip_to_the_last_settings(lab, page):
    name = lab.write("slow.ipynb", BROKEN.replace("== 2", "== 99"), "e = broken(0.3)\ne")
    lab.run_all(page, name)
    explorer = OnPage(page)
    explorer.wait()
    explorer.root.get_by_role("slider", name="Level").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "root => root.querySelector('[role=status]')?.innerText === 'Level 4.'",
        arg=explorer.root.element_handle(),
        timeout=5_000,
    )
    time.sleep(0.5)
    assert explorer.sentence.inner_text() == "Level 4."
    assert page.evaluate("seen.count") <= 3


def test_error_at_the_start_is_a_traceback_in_the_cell(lab, page):
    name = lab.write("stillborn.ipynb", BROKEN.replace("== 2", "== 0"), "broken(0)")
    lab.run_all(page, name)
    page.get_by_text("ValueError: no picture <at> level 2").first.wait_for(timeout=60_000)
