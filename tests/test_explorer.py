"""The widget pattern: drawing, caching, order under slow renders, errors, and what is shown."""

import asyncio
import json
import subprocess
import sys
import time

import cv2
import ipywidgets
import nbclient
import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.errors import CourseError, UsageError
from course_lib.explorer import (
    KEPT,
    SLOW,
    Choice,
    Explorer,
    Slider,
    Toggle,
    encode,
    lettering,
)

SIZE = (60, 40)
CONTROLS = [
    Slider("level", "Level", 0, 200, 10, 0, unit="%"),
    Slider("shift", "Shift", -1.0, 1.0, 0.05, 0.0, unit="px", help="Sideways", group="Place"),
    Choice("shape", "Shape", ("flat", "ramp"), "flat", group="Place"),
    Toggle("upside", "Upside down"),
]


def draw(settings):
    width, height = SIZE
    picture = np.full((height, width, 3), settings["level"], np.uint8)
    picture[:, 30 + round(20 * settings["shift"]) :] += 30
    if settings["shape"] == "ramp":
        picture += np.arange(height, dtype=np.uint8)[:, None, None]
    return picture[::-1] if settings["upside"] else picture


def speak(settings):
    return f"Level {settings['level']} & shift <{settings['shift']:.2f}>."


def make(render=draw, sentence=speak, controls=CONTROLS, **options):
    return Explorer(render, controls, sentence, size=SIZE, alt="Two gray fields", **options)


def shown(explorer):
    pixels = np.frombuffer(explorer.image.value, np.uint8)
    return cv2.cvtColor(cv2.imdecode(pixels, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def from_browser(explorer, name, value):
    """Set a widget as a message from the front end does."""
    explorer.widgets[name].set_state({"value": value})


@pytest.mark.parametrize(
    ("control", "end"), [(control, end) for control in CONTROLS for end in control.ends]
)
def test_every_end_of_every_control_is_drawn(control, end):
    explorer = make()
    explorer.widgets[control.name].value = end
    wanted = draw({**{c.name: c.value for c in CONTROLS}, control.name: end})
    assert np.abs(shown(explorer).astype(int) - wanted).max() <= 12
    assert np.array_equal(explorer.picture(**{control.name: end}), wanted)


@pytest.mark.parametrize(
    ("name", "value"), [("level", 50), ("shift", 0.5), ("shape", "ramp"), ("upside", True)]
)
def test_each_trait_changes_the_picture(name, value):
    explorer = make()
    explorer.set(shape="ramp" if name == "upside" else "flat")
    before = explorer.image.value
    explorer.widgets[name].value = value
    assert explorer.image.value != before
    assert explorer.settings[name] == value


def test_the_sentence_follows_and_is_announced_as_text():
    explorer = make()
    explorer.widgets["level"].value = 50
    assert "Level 50 &amp; shift &lt;0.00&gt;." in explorer.words.value
    assert 'role="status"' in explorer.words.value
    assert 'aria-live="polite"' in explorer.words.value


def test_pictures_are_kept_and_the_oldest_forgotten():
    explorer = make(controls=[Slider("level", "Level", 0, 200, 1, 0), *CONTROLS[1:]])
    first = explorer.image.value
    explorer.widgets["level"].value = 1
    assert explorer.drawn == 2
    explorer.widgets["level"].value = 0
    assert explorer.drawn == 2
    assert explorer.image.value == first
    for level in range(1, KEPT + 2):
        explorer.widgets["level"].value = level
    drawn = explorer.drawn
    explorer.widgets["level"].value = 0
    assert explorer.drawn == drawn + 1


def test_settings_between_grid_points_are_the_same_picture():
    explorer = make()
    explorer.widgets["shift"].value = 0.3
    drawn = explorer.drawn
    explorer.widgets["shift"].value = 0.1 + 0.2
    explorer.widgets["shift"].value = 0.301
    assert explorer.drawn == drawn
    assert explorer.settings["shift"] == 0.3


def test_several_settings_are_drawn_once_and_reset_goes_back():
    explorer = make()
    first = explorer.image.value
    explorer.set(level=100, shift=-0.5, shape="ramp", upside=True)
    assert explorer.drawn == 2
    assert explorer.settings == {"level": 100, "shift": -0.5, "shape": "ramp", "upside": True}
    explorer.reset()
    assert explorer.image.value == first
    assert explorer.settings == {c.name: c.value for c in CONTROLS}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"levle": 1}, "no control 'levle'; it has level, shift, shape, upside"),
        ({"level": 500}, "lies between 0 and 200; 500 does not"),
        ({"level": "much"}, "is a number, not 'much'"),
        ({"level": True}, "is a number, not True"),
        ({"shape": "cube"}, "is one of flat, ramp; not 'cube'"),
        ({"upside": 1}, "is True or False, not 1"),
    ],
)
def test_impossible_settings_change_nothing(values, message):
    explorer = make()
    with pytest.raises(UsageError, match=message):
        explorer.set(shift=0.5, **values)
    assert explorer.settings["shift"] == 0
    with pytest.raises(UsageError, match=message):
        explorer.picture(**values)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Slider("two words", "Level", 0, 1, 1, 0),
        lambda: Slider("level", " ", 0, 1, 1, 0),
        lambda: Slider("level", "Level", 1, 0, 1, 0),
        lambda: Slider("level", "Level", 0, 1, 0, 0),
        lambda: Slider("level", "Level", 0.0, 1.0, 0.3, 0.0),
        lambda: Slider("level", "Level", 0, 10, 5, 3),
        lambda: Slider("level", "Level", 0, 10, 5, 20),
        lambda: Choice("shape", "Shape", ["one"], "one"),
        lambda: Choice("shape", "Shape", ["a", "a"], "a"),
        lambda: Choice("shape", "Shape", ["a", "b"], "c"),
        lambda: Toggle("on", "On", "yes"),
        lambda: make(controls=[CONTROLS[0], CONTROLS[0]]),
        lambda: Explorer(draw, CONTROLS, size=SIZE),
        lambda: make().contact_sheet([]),
    ],
)
def test_wrong_declarations_are_refused(bad):
    with pytest.raises(UsageError):
        bad()


@given(
    low=st.integers(-50, 50),
    steps=st.integers(1, 400),
    step=st.sampled_from([0.01, 0.05, 0.1, 0.25, 1.0, 5.0]),
    data=st.data(),
)
def test_quantising_is_idempotent_and_near(low, steps, step, data):
    low = low * step
    slider = Slider("x", "X", low, low + steps * step, step, low)
    value = data.draw(st.floats(slider.low, slider.high))
    once = slider.quantise(value)
    assert slider.quantise(once) == once
    assert abs(once - value) <= step / 2 + 1e-6
    assert slider.low - 1e-6 <= once <= slider.high + 1e-6


def test_integer_sliders_stay_integers():
    assert isinstance(CONTROLS[0].quantise(49.7), int)
    assert isinstance(CONTROLS[0].widget(), ipywidgets.IntSlider)
    assert isinstance(CONTROLS[1].widget(), ipywidgets.FloatSlider)


# Order under slow renders: the browser's messages arrive while the kernel draws.


def slowly(pause, log):
    def render(settings):
        time.sleep(pause)
        log.append(settings["level"])
        return draw(settings)

    return render


def test_slow_renders_are_joined_and_the_last_one_is_drawn():
    log = []

    async def hold_the_key():
        explorer = make(slowly(SLOW + 0.02, log))
        for level in (10, 20, 30, 40):
            from_browser(explorer, "level", level)
        assert log == [0]
        await asyncio.sleep(0.3)
        return explorer

    explorer = asyncio.run(hold_the_key())
    assert log == [0, 40]
    assert np.abs(shown(explorer).astype(int) - draw(explorer.settings)).max() <= 12
    assert "Level 40" in explorer.words.value


def test_pictures_come_in_order_while_the_reader_moves():
    log = []

    async def hold_the_key():
        explorer = make(slowly(SLOW + 0.01, log))
        seen = []
        explorer.image.observe(lambda _: seen.append(explorer.settings["level"]), "value")
        for level in range(10, 210, 10):
            from_browser(explorer, "level", level)
            await asyncio.sleep(0.025)
        await asyncio.sleep(0.3)
        return seen

    seen = asyncio.run(hold_the_key())
    assert seen == sorted(seen)
    assert seen[-1] == 200
    assert len(seen) >= 2, "the reader should see pictures on the way"


def test_a_kept_picture_is_shown_at_once_and_replaces_a_waiting_one():
    log = []

    async def there_and_back():
        explorer = make(slowly(SLOW + 0.02, log))
        first = explorer.image.value
        from_browser(explorer, "level", 100)
        from_browser(explorer, "level", 0)
        assert explorer.image.value == first
        await asyncio.sleep(0.2)
        assert explorer.image.value == first

    asyncio.run(there_and_back())
    assert log == [0]


def test_quick_renders_and_changes_from_python_do_not_wait():
    log = []

    async def change():
        quick = make()
        from_browser(quick, "level", 100)
        assert "Level 100" in quick.words.value
        slow = make(slowly(SLOW + 0.02, log))
        slow.widgets["level"].value = 100
        assert "Level 100" in slow.words.value

    asyncio.run(change())
    explorer = make(slowly(SLOW + 0.02, log))
    from_browser(explorer, "level", 50)
    assert "Level 50" in explorer.words.value, "without a loop there is nothing to wait on"


# Errors


def broken_at_50(settings):
    if settings["level"] == 50:
        raise ValueError("no <picture> at 50")
    return draw(settings)


def silent_at_50(settings):
    if settings["level"] == 50:
        raise KeyError("words")
    return speak(settings)


@pytest.mark.parametrize(
    ("explorer", "kind", "message"),
    [
        (lambda: make(broken_at_50), ValueError, "ValueError: no &lt;picture&gt; at 50"),
        (lambda: make(sentence=silent_at_50), KeyError, "KeyError: &#x27;words&#x27;"),
    ],
    ids=["render", "sentence"],
)
def test_errors_are_raised_and_shown_until_the_next_good_picture(explorer, kind, message):
    explorer = explorer()
    assert explorer.alert.value == ""
    with pytest.raises(kind):
        explorer.widgets["level"].value = 50
    assert "data-course-error" in explorer.alert.value
    assert 'role="alert"' in explorer.alert.value
    assert message in explorer.alert.value
    assert explorer.words.value == ""
    assert "course-stale" in explorer.root._dom_classes
    explorer.widgets["level"].value = 60
    assert explorer.alert.value == ""
    assert "Level 60" in explorer.words.value
    assert "course-stale" not in explorer.root._dom_classes


def test_an_error_at_the_start_is_raised():
    with pytest.raises(ValueError, match="at 50"):
        make(broken_at_50, controls=[Slider("level", "Level", 0, 100, 50, 50), *CONTROLS[1:]])


def test_an_error_in_a_late_picture_reaches_the_loop_and_the_reader():
    def render(settings):
        time.sleep(SLOW + 0.02)
        return broken_at_50(settings)

    caught = []

    async def change():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
        explorer = make(render)
        from_browser(explorer, "level", 50)
        await asyncio.sleep(0.3)
        return explorer

    explorer = asyncio.run(change())
    assert isinstance(caught[0]["exception"], ValueError)
    assert "data-course-error" in explorer.alert.value


@pytest.mark.parametrize(
    "returned",
    [
        None,
        np.zeros((40, 60), np.uint8),
        np.zeros((60, 40, 3), np.uint8),
        np.zeros((40, 60, 3), np.float32),
    ],
)
def test_a_wrong_picture_is_refused_in_words(returned):
    with pytest.raises(CourseError, match=r"render returned .* shape \(40, 60, 3\)"):
        make(lambda settings: returned)


NOTEBOOK = """
import time
import numpy as np
from course_lib.explorer import Explorer, Slider

def render(settings):
    time.sleep({pause})
    if settings["level"] == 2:
        raise ValueError("no picture at level 2")
    return np.full((90, 120, 3), 40 * settings["level"], np.uint8)

explorer = Explorer(render, [Slider("level", "Level", 0, 4, 1, 0)], size=(120, 90), alt="Gray")
explorer
"""


def execute(*cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", allow_errors=True
    ).execute()
    return notebook


@pytest.mark.parametrize("pause", [0, 0.08], ids=["quick", "slow"])
def test_an_executed_notebook_holds_the_error(pause):
    notebook = execute(NOTEBOOK.format(pause=pause), "explorer.widgets['level'].value = 2")
    bundle = notebook.cells[0].outputs[0]["data"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"].startswith("[Explorer with 1 control")
    error = notebook.cells[1].outputs[0]
    assert (error["output_type"], error["ename"]) == ("error", "ValueError")
    assert "data-course-error" in json.dumps(notebook.metadata["widgets"])


def test_an_error_behind_a_browser_message_is_printed_by_the_kernel():
    """ipywidgets catches what a message's handler raises; it must still be in the output."""
    notebook = execute(
        NOTEBOOK.format(pause=0),
        "explorer.widgets['level']._handle_msg("
        "{'content': {'data': {'method': 'update', 'state': {'level': 2, 'value': 2}}}})",
    )
    assert [output.get("ename") for output in notebook.cells[1].outputs] == ["ValueError"]
    assert "data-course-error" in json.dumps(notebook.metadata["widgets"])


# What the reader gets


def test_every_control_has_a_label_and_can_have_the_focus():
    explorer = make()
    assert [w.description for w in explorer.widgets.values()] == [
        "Level (%)",
        "Shift (px)",
        "Shape",
        "Upside down",
    ]
    assert all(w.tooltip for w in explorer.widgets.values())
    assert all(w.tabbable is not False and not w.disabled for w in explorer.widgets.values())
    assert explorer.widgets["shift"].tooltip == "Sideways"


def test_the_picture_has_a_fixed_size_and_a_name():
    explorer = make()
    assert (explorer.image.layout.width, explorer.image.layout.height) == ("60px", "40px")
    state = explorer.image.get_state()
    assert (state["tooltip"], state["description"]) == ("Two gray fields", "")
    assert "Two gray fields" in repr(make(sentence=None))


def test_encoding_keeps_fringes():
    """A one-pixel coloured line survives: chroma is not subsampled."""
    picture = np.full((64, 64, 3), 200, np.uint8)
    picture[:, 31] = (60, 200, 60)
    back = cv2.imdecode(np.frombuffer(encode(picture), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(back.astype(int) - picture).max() <= 12


def test_lettering_knows_the_signs_of_captions():
    unknown = lettering("\uffff")
    for sign in "−×%₁°σ…":
        assert not np.array_equal(lettering(sign), unknown), sign
    with pytest.raises(ValueError, match="read-only"):
        lettering("a")[:] = 0


def test_contact_sheet_and_captions():
    explorer = make()
    explorer.set(level=200)
    changes = [{}, {"shift": -0.5}, {"level": 50, "shape": "ramp"}, {"upside": True}]
    assert explorer.captions(changes) == [
        "As it starts",
        "Shift\u00a0−0.50\u00a0px",
        "Level\u00a050\u00a0%, Shape: ramp",
        "Upside down: on",
    ]
    sheet = explorer.contact_sheet(changes, columns=3, width=60)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 3 * 60 + 2 * 12
    for index, change in enumerate(changes[:3]):
        left = index * 72
        assert np.array_equal(sheet[:40, left : left + 60], explorer.picture(**change))
    assert (sheet[42:60, :60] < 128).any(), "the caption is written under the picture"
    assert (sheet[:, 60:72] == 255).all(), "nothing is written beside it"
    assert explorer.settings["level"] == 200, "the widgets stay as they are"


def test_importing_is_light():
    code = (
        "import sys, course_lib.explorer, course_lib.lens.explore;"
        "print({'torch', 'matplotlib', 'scipy', 'skimage'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
