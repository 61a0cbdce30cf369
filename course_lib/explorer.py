"""The one widget pattern: sliders, a picture of fixed size, and a sentence that says what is seen.

A lesson brings a pure function ``render(settings) -> picture`` and a list of controls.
`Explorer` binds them to widgets, and draws the same pictures as a static contact sheet for
readers who have no kernel.
"""

import asyncio
import html
import re
import textwrap
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import ipywidgets
import numpy as np
import traitlets
from IPython.core.getipython import get_ipython
from IPython.display import display
from PIL import Image, ImageDraw, ImageFont

from course_lib.errors import CourseError, UsageError

Value = bool | int | float | str
Settings = dict[str, Any]

SLOW = 0.05
"""Seconds; a render that takes longer waits for the reader's hand to rest."""
PAUSE = 0.03
"""Seconds without a new change after which a slow render starts."""
PATIENCE = 0.25
"""Seconds after which a slow render starts although the reader is still moving."""
LABEL_WIDTH = "7.8em"
"""Space for labels, so that picture and sliders fit side by side into 1040 px."""
KEPT = 64
"""Encoded pictures kept in memory (about 300 kB each at 768×512)."""


def _check_names(name: str, label: str) -> None:
    if not name.isidentifier():
        raise UsageError(f"A control's name must be an identifier, not {name!r}.")
    if not label.strip():
        raise UsageError(f"Control {name!r} has no label; say in a word or two what it does.")


@dataclass(frozen=True)
class Slider:
    """A number between two ends, on a grid of equal steps.

    Parameters
    ----------
    name : str
        Key in the settings.
    label : str
        What the reader sees.
    low, high, step, value : float
        Ends, step and start. All integers give an integer slider.
    unit : str
        Shown after the label and in captions.
    help : str
        One sentence, shown when the pointer rests on the label.
    group : str
        Heading under which the control stands.
    """

    name: str
    label: str
    low: float
    high: float
    step: float
    value: float
    unit: str = ""
    help: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        _check_names(self.name, self.label)
        if not (self.low < self.high and self.step > 0):
            raise UsageError(f"Slider {self.name!r} needs low < high and a positive step.")
        for end in (self.high, self.value):
            steps = (end - self.low) / self.step
            if not self.low <= end <= self.high or abs(steps - round(steps)) > 1e-6:
                raise UsageError(f"Slider {self.name!r}: {end:g} is not on its grid of steps.")

    @property
    def integer(self) -> bool:
        """Whether all its values are whole numbers."""
        numbers = (self.low, self.high, self.step, self.value)
        return all(isinstance(number, int) for number in numbers)

    @property
    def decimals(self) -> int:
        """Digits after the point that tell neighbouring values apart."""
        return len(f"{self.step:.6f}".rstrip("0").partition(".")[2])

    @property
    def ends(self) -> tuple[float, float]:
        """The two extreme values."""
        return self.low, self.high

    def quantise(self, value: Any) -> float:
        """Bring a number to the grid, so that equal pictures have equal settings."""
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise UsageError(f"{self.label} ({self.name!r}) is a number, not {value!r}.")
        slack = 1e-6 * self.step
        if not self.low - slack <= value <= self.high + slack:
            raise UsageError(
                f"{self.label} ({self.name!r}) lies between {self.low:g} and {self.high:g}; "
                f"{value:g} does not."
            )
        number = self.low + round((value - self.low) / self.step) * self.step
        return int(number) if self.integer else round(number, 9) + 0.0

    def words(self, value: Any) -> str:
        """Label, value and unit, as in a caption."""
        sign = "+" if self.low < 0 < value else ""
        number = f"{value:{sign}.{self.decimals}f}".replace("-", "−")
        return f"{self.label}\u00a0{number}\u00a0{self.unit}".rstrip()

    def widget(self) -> ipywidgets.DOMWidget:
        """Make the widget that the reader moves."""
        kind = ipywidgets.IntSlider if self.integer else ipywidgets.FloatSlider
        return kind(
            value=self.value,
            min=self.low,
            max=self.high,
            step=self.step,
            description=f"{self.label} ({self.unit})" if self.unit else self.label,
            tooltip=self.help or self.label,
            readout_format="d" if self.integer else f".{self.decimals}f",
            layout=ipywidgets.Layout(width="auto"),
            style={"description_width": LABEL_WIDTH},
        )


@dataclass(frozen=True)
class Choice:
    """One of several named options.

    Parameters
    ----------
    name, label, help, group : str
        As for `Slider`.
    options : sequence of str
        What can be chosen.
    value : str
        The option at the start.
    """

    name: str
    label: str
    options: Sequence[str]
    value: str
    help: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        _check_names(self.name, self.label)
        object.__setattr__(self, "options", tuple(self.options))
        if len(self.options) < 2 or len(set(self.options)) != len(self.options):
            raise UsageError(f"Choice {self.name!r} needs at least two different options.")
        self.quantise(self.value)

    @property
    def ends(self) -> tuple[str, ...]:
        """All options."""
        return tuple(self.options)

    def quantise(self, value: Any) -> str:
        """Return the option, or say which ones there are."""
        if value not in self.options:
            raise UsageError(
                f"{self.label} ({self.name!r}) is one of {', '.join(self.options)}; not {value!r}."
            )
        return str(value)

    def words(self, value: Any) -> str:
        """Label and option, as in a caption."""
        return f"{self.label}: {value}"

    def widget(self) -> ipywidgets.DOMWidget:
        """Make the widget that the reader changes."""
        return ipywidgets.Dropdown(
            options=self.options,
            value=self.value,
            description=self.label,
            tooltip=self.help or self.label,
            layout=ipywidgets.Layout(width="auto"),
            style={"description_width": LABEL_WIDTH},
        )


@dataclass(frozen=True)
class Toggle:
    """Something that is on or off.

    Parameters
    ----------
    name, label, help, group : str
        As for `Slider`.
    value : bool
        Whether it is on at the start.
    """

    name: str
    label: str
    value: bool = False
    help: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        _check_names(self.name, self.label)
        self.quantise(self.value)

    @property
    def ends(self) -> tuple[bool, bool]:
        """Off and on."""
        return False, True

    def quantise(self, value: Any) -> bool:
        """Return the value as a bool."""
        if not isinstance(value, (bool, np.bool_)):
            raise UsageError(f"{self.label} ({self.name!r}) is True or False, not {value!r}.")
        return bool(value)

    def words(self, value: Any) -> str:
        """Label and state, as in a caption."""
        return f"{self.label}: {'on' if value else 'off'}"

    def widget(self) -> ipywidgets.DOMWidget:
        """Make the widget that the reader ticks."""
        return ipywidgets.Checkbox(
            value=self.value,
            description=self.label,
            tooltip=self.help or self.label,
            layout=ipywidgets.Layout(width="auto"),
            style={"description_width": LABEL_WIDTH},
        )


Control = Slider | Choice | Toggle


class PictureWidget(ipywidgets.Image):
    """An `ipywidgets.Image` whose tooltip becomes its accessible name.

    The front end sets an element's title only if the model has an empty description, which
    `ipywidgets.Image` lacks.
    """

    description = traitlets.Unicode("").tag(sync=True)


def encode(picture: np.ndarray) -> bytes:
    """Encode a picture for the browser.

    JPEG at quality 97 without chroma subsampling: at 768×512 it takes 3 ms and is off by less
    than 2 levels (rms), where the usual 4:2:0 smears a coloured fringe over four pixels and PNG
    takes over 20 ms.

    Parameters
    ----------
    picture : array, shape (h, w, 3), uint8
        RGB.
    """
    options = [
        *(cv2.IMWRITE_JPEG_QUALITY, 97),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)[1].tobytes()


@cache
def _font_file() -> str:
    """Find DejaVu Sans, which has the minus sign, inside matplotlib without importing it."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise CourseError("Captions use a font of matplotlib, which is not installed. Install it.")
    return str(Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf")


@lru_cache(maxsize=256)
def lettering(text: str, size: int = 15) -> np.ndarray:
    """Draw a line of text as a mask in [0, 1].

    Parameters
    ----------
    text : str
        One line.
    size : int
        Height of the type, px.

    Returns
    -------
    array, shape (h, w), float32
        Read-only, because it is shared between calls.
    """
    font = ImageFont.truetype(_font_file(), size)
    width = int(np.ceil(font.getlength(text))) + 1
    mask = Image.new("L", (width, round(1.4 * size)))
    ImageDraw.Draw(mask).text((0, round(0.1 * size)), text, fill=255, font=font)
    ink = np.asarray(mask, np.float32) / 255
    ink.setflags(write=False)
    return ink


def write(
    canvas: np.ndarray,
    text: str,
    place: tuple[int, int],
    size: int = 16,
    colour: tuple[int, int, int] = (34, 34, 59),
) -> None:
    """Write a line of text into a picture; what does not fit is cut off.

    Parameters
    ----------
    canvas : HxWx3 uint8
        It is changed.
    text : str
    place : (x, y)
        Upper left corner.
    size : int
        Height of the type, px.
    colour : (red, green, blue)
    """
    x, y = place
    ink = lettering(text, size)[: canvas.shape[0] - y, : canvas.shape[1] - x, None]
    spot = canvas[y : y + ink.shape[0], x : x + ink.shape[1]]
    spot[:] = np.rint(spot + ink * (np.array(colour, np.float32) - spot)).astype(np.uint8)


_STYLE = """
<style onload="{script}">
.course-explorer {{ --quiet: var(--jp-ui-font-color2, #595959); }}
.course-explorer img {{ transition: opacity .15s; background: var(--jp-layout-color2, #eee); }}
.course-explorer.course-stale img {{ opacity: .35; }}
.course-explorer .course-sentence {{ margin: 4px 0 0; line-height: 1.5; font-size: 14px;
    min-height: 6em; text-wrap: pretty; }}
.course-explorer .widget-readout {{ flex: 0 0 3.4em; min-width: 3.4em; }}
.course-explorer .course-group {{ margin: 0 0 2px; font-size: 12px; font-weight: 600;
    line-height: 18px; letter-spacing: .03em; color: var(--quiet);
    border-bottom: 1px solid var(--jp-border-color2, #ddd); }}
.course-explorer .course-alert {{ margin: 4px 0 0; padding: 8px 12px; line-height: 1.5;
    font-size: 14px; overflow-wrap: anywhere; color: var(--jp-ui-font-color0, #111);
    border-left: 4px solid #b3261e; background: color-mix(in srgb, #b3261e 12%, transparent); }}
.course-explorer .noUi-handle:focus-visible, .course-explorer select:focus-visible,
.course-explorer input:focus-visible, .course-explorer button:focus-visible
    {{ outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 2px; }}
</style>"""

# What widgets leave out: a slider's label is not tied to its handle, a live region that is inserted
# together with its text is not read out, and JupyterLab takes arrow keys and letters for itself
# (arrow down leaves the cell, d d deletes it). Attributes set from within the page mend that.
# Where a page forbids inline scripts everything else works the same.
_SCRIPT = """
const root = this.closest('.course-explorer');
if (root) {
  const mend = () => {
    root.querySelectorAll('.widget-slider').forEach(slider => {
      const name = slider.querySelector('.widget-label').textContent;
      const handle = slider.querySelector('.noUi-handle');
      const readout = slider.querySelector('.widget-readout');
      if (handle) handle.setAttribute('aria-label', name);
      if (readout) { readout.setAttribute('role', 'textbox');
                     readout.setAttribute('aria-label', name + ', typed'); }
    });
    root.querySelectorAll('.noUi-handle, .widget-readout, select, input, button').forEach(
      focusable => { focusable.setAttribute('data-lm-suppress-shortcuts', 'true'); });
    root.querySelectorAll('img[title]').forEach(img => { img.alt = img.title; });
    root.querySelectorAll('.course-live:not([aria-live])').forEach(live => {
      live.setAttribute('aria-live', 'polite'); });
  };
  mend();
  new MutationObserver(mend).observe(root, {childList: true, subtree: true});
}
"""


class Explorer:
    """Sliders bound to a pure function that draws a picture.

    Changes from the browser are drawn at once while drawing is quick. A slow `render` waits until
    the reader's hand rests; it runs on the kernel's own loop, so pictures never arrive out of
    order, and the last settings are always drawn. Changes from Python are drawn before the
    assignment returns.

    Parameters
    ----------
    render : callable
        ``render(settings: dict) -> uint8 picture`` of the given size, without side effects.
    controls : sequence of Slider, Choice or Toggle
        What the reader can change; their order is that of the page.
    sentence : callable, optional
        ``sentence(settings: dict) -> str`` says in words what is seen.
    size : (int, int)
        Width and height of the picture, px.
    alt : str
        What the picture shows, for readers who cannot see it.

    Raises
    ------
    UsageError
        When two controls share a name, or the picture has no alternative text.
    Exception
        Whatever `render` or `sentence` raises; the reader sees it under the picture as well.
    """

    def __init__(
        self,
        render: Callable[[Settings], np.ndarray],
        controls: Sequence[Control],
        sentence: Callable[[Settings], str] | None = None,
        size: tuple[int, int] = (768, 512),
        alt: str = "",
    ) -> None:
        if not alt.strip():
            raise UsageError("An explorer needs alt=…, a sentence on what its picture shows.")
        self.controls = {control.name: control for control in controls}
        if len(self.controls) != len(controls):
            raise UsageError("Two controls of this explorer share a name.")
        self.size = size
        self.alt = alt
        self.drawn = 0
        self._render = render
        self._sentence = sentence
        self._cache: OrderedDict[tuple[Value, ...], bytes] = OrderedDict()
        self._seconds = 0.0
        self._held = False
        self._pending: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._build()
        self._update()

    @property
    def settings(self) -> Settings:
        """What the controls say now, on their grids."""
        return {name: self._read(name) for name in self.controls}

    def set(self, **values: Value) -> None:
        """Change several controls at once and draw once.

        Raises
        ------
        UsageError
            For an unknown control or an impossible value; nothing is changed then.
        """
        self._write(self._complete(values))

    def reset(self) -> None:
        """Bring every control back to its start."""
        self._write(self._complete({}, start=True))

    def show(self) -> None:
        """Show the explorer below the running cell."""
        display(self)

    def picture(self, **overrides: Value) -> np.ndarray:
        """Draw one picture, starting from the controls' first values.

        Returns
        -------
        array, shape (height, width, 3), uint8
        """
        return self._draw(self._complete(overrides, start=True))

    def captions(self, overrides: Sequence[Mapping[str, Value]]) -> list[str]:
        """Say in a few words how each of some settings differs from the start."""
        texts = []
        for changed in overrides:
            settings = self._complete(changed, start=True)
            said = [
                control.words(settings[name])
                for name, control in self.controls.items()
                if settings[name] != control.quantise(control.value)
            ]
            texts.append(", ".join(said) or "As it starts")
        return texts

    def contact_sheet(
        self, overrides: Sequence[Mapping[str, Value]], columns: int = 3, width: int = 384
    ) -> np.ndarray:
        """Draw pictures for several settings in rows, each with its caption under it.

        Parameters
        ----------
        overrides : sequence of dict
            What differs from the controls' first values, one picture each.
        columns : int
            Pictures in a row.
        width : int
            Width of each picture, px.

        Returns
        -------
        array, shape (H, W, 3), uint8
            White between the pictures.
        """
        if not overrides or columns < 1:
            raise UsageError("A contact sheet needs at least one picture and one column.")
        gap, size = 12, max(11, round(width / 26))
        letters = max(1, int(1.75 * width / size))
        height = round(width * self.size[1] / self.size[0])
        lines = [textwrap.wrap(caption, letters) for caption in self.captions(overrides)]
        step = round(1.4 * size)
        foot = step * max(map(len, lines)) + 4
        rows = -(-len(overrides) // columns)
        columns = min(columns, len(overrides))
        sheet = np.full(
            (rows * (height + foot + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8
        )
        for index, changed in enumerate(overrides):
            top = index // columns * (height + foot + gap)
            left = index % columns * (width + gap)
            tile = cv2.resize(
                self.picture(**changed), (width, height), interpolation=cv2.INTER_AREA
            )
            sheet[top : top + height, left : left + width] = tile
            for number, line in enumerate(lines[index]):
                ink = lettering(line, size)[:, :width]
                y = top + height + 4 + number * step
                spot = sheet[y : y + ink.shape[0], left : left + ink.shape[1]]
                spot[:] = np.minimum(spot, (255 - 225 * ink[..., None]).astype(np.uint8))
        return sheet

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = self.root._repr_mimebundle_(**options)
        bundle["text/plain"] = repr(self)
        return bundle

    def __repr__(self) -> str:
        said = self._sentence(self.settings) if self._sentence else self.alt
        return textwrap.fill(
            f"[Explorer with {len(self.controls)} controls; run this cell to move them.] {said}", 96
        )

    def _build(self) -> None:
        """Make the widgets and lay them out: picture and sentence left, controls right."""
        width, height = self.size
        self.image = PictureWidget(
            format="jpeg",
            tooltip=self.alt,
            layout=ipywidgets.Layout(
                width=f"{width}px", height=f"{height}px", max_width="100%", object_fit="contain"
            ),
        )
        self.words = ipywidgets.HTML()
        self.words.add_class("course-live")
        self.alert = ipywidgets.HTML()
        script = html.escape(re.sub(r"\s+", " ", _SCRIPT), quote=True)
        style = ipywidgets.HTML(_STYLE.format(script=script).strip())
        style.layout.display = "none"

        self.widgets = {name: control.widget() for name, control in self.controls.items()}
        groups: dict[str, list[ipywidgets.Widget]] = {}
        for name, control in self.controls.items():
            self.widgets[name].observe(self._changed, names="value")
            groups.setdefault(control.group, []).append(self.widgets[name])
        parts = []
        for heading, members in groups.items():
            text = f'<div class="course-group">{html.escape(heading)}</div>'
            head = [ipywidgets.HTML(text)] if heading else []
            parts.append(
                ipywidgets.VBox(
                    head + members, layout=ipywidgets.Layout(flex="1 1 250px", max_width="400px")
                )
            )
        again = ipywidgets.Button(
            description="Reset", tooltip="Bring every control back to its start", icon="undo"
        )
        again.on_click(lambda _: self.reset())

        left = ipywidgets.VBox(
            [self.image, self.words, self.alert],
            layout=ipywidgets.Layout(flex=f"0 1 {width}px", max_width="100%"),
        )
        # Beside the picture the groups stand in a column; where that is too narrow they wrap to
        # several columns below it.
        right = ipywidgets.Box(
            [*parts, ipywidgets.Box([again], layout=ipywidgets.Layout(flex="1 1 100%"))],
            layout=ipywidgets.Layout(
                display="flex", flex_flow="row wrap", flex="1 1 250px", grid_gap="6px 16px"
            ),
        )
        row = ipywidgets.Box(
            [left, right],
            layout=ipywidgets.Layout(
                display="flex", flex_flow="row wrap", align_items="flex-start", grid_gap="16px"
            ),
        )
        self.root = ipywidgets.VBox([style, row])
        self.root.add_class("course-explorer")

    def _read(self, name: str) -> Value:
        return self.controls[name].quantise(self.widgets[name].value)

    def _complete(self, values: Mapping[str, Value], start: bool = False) -> Settings:
        """Check some settings and fill in the rest, from the start or from the widgets."""
        unknown = sorted(set(values) - set(self.controls))
        if unknown:
            raise UsageError(
                f"This explorer has no control {unknown[0]!r}; it has {', '.join(self.controls)}."
            )
        return {
            name: control.quantise(values[name])
            if name in values
            else (control.quantise(control.value) if start else self._read(name))
            for name, control in self.controls.items()
        }

    def _write(self, settings: Settings) -> None:
        self._held = True
        try:
            for name, value in settings.items():
                self.widgets[name].value = value
        finally:
            self._held = False
        self._cancel()
        self._update()

    def _changed(self, change: Any) -> None:
        """Draw now, or soon if drawing is slow and the reader is still moving."""
        if self._held:
            return
        # Widgets lock what the browser has just told them. A change made by a running cell is
        # drawn at once, because its errors belong to that cell.
        from_browser = bool(getattr(change["owner"], "_property_lock", None))
        if from_browser and self._seconds > SLOW and self._key(self.settings) not in self._cache:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                pass
            else:
                self._wait(loop)
                return
        self._cancel()
        self._update()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        if self._pending is None:
            self._deadline = now + PATIENCE
        else:
            self._pending.cancel()
        self._pending = loop.call_at(min(now + PAUSE, self._deadline), self._update_late)

    def _cancel(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _update_late(self) -> None:
        """Draw from the loop, where nobody would see an exception unless it is printed."""
        self._pending = None
        try:
            self._update()
        except Exception:
            shell = get_ipython()
            if shell is None:
                raise
            shell.showtraceback()

    def _update(self) -> None:
        """Draw the present settings and say them in words; tell the reader if that fails."""
        settings = self.settings
        try:
            shown = self._encoded(settings)
            words = self._sentence(dict(settings)) if self._sentence else ""
        except Exception as error:
            self._alarm(error)
            raise
        self.image.value = shown
        self.words.value = (
            f'<p class="course-sentence" role="status" aria-live="polite">{html.escape(words)}</p>'
        )
        if self.alert.value:
            self.alert.value = ""
            self.root.remove_class("course-stale")

    def _alarm(self, error: Exception) -> None:
        """Dim the picture, which no longer belongs to the controls, and say why."""
        kind = "" if isinstance(error, CourseError) else f"{type(error).__name__}: "
        self.root.add_class("course-stale")
        self.words.value = ""
        self.alert.value = (
            '<div class="course-alert" role="alert" data-course-error>'
            "<strong>This picture could not be drawn.</strong> "
            f"{html.escape(kind + str(error))}<br>Move a control or press Reset to go on.</div>"
        )

    @staticmethod
    def _key(settings: Settings) -> tuple[Value, ...]:
        return tuple(settings.values())

    def _encoded(self, settings: Settings) -> bytes:
        key = self._key(settings)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        start = time.perf_counter()
        shown = encode(self._draw(settings))
        self._seconds = time.perf_counter() - start
        self._cache[key] = shown
        if len(self._cache) > KEPT:
            self._cache.popitem(last=False)
        return shown

    def _draw(self, settings: Settings) -> np.ndarray:
        picture = self._render(dict(settings))
        self.drawn += 1
        width, height = self.size
        shape = getattr(picture, "shape", None)
        if shape != (height, width, 3) or picture.dtype != np.uint8:
            found = f"{picture.dtype} {shape}" if shape is not None else type(picture).__name__
            raise CourseError(
                f"render returned {found}; an explorer of {width}×{height} shows "
                f"uint8 pictures of shape ({height}, {width}, 3)."
            )
        return picture
