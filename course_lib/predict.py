"""Predict, then look: the reader commits to an answer before the truth is shown."""

import html
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import ipywidgets
import numpy as np
from IPython.display import display

from course_lib.cropping import fit
from course_lib.errors import CourseError, UsageError
from course_lib.explorer import encode
from course_lib.files import write_text
from course_lib.geometry import Box, crop
from course_lib.metrics import Estimate, bootstrap
from course_lib.paths import COURSE

MARK = (255, 209, 102)
RECORDS = COURSE.root / "trained" / "games"
"""Where readers' scores are kept; Git leaves this folder out."""


@dataclass(frozen=True)
class Round:
    """One question of a game.

    Parameters
    ----------
    picture : HxWx3 uint8
        What the reader sees before answering.
    truth : str
        The right answer, one of the game's options.
    reveal : HxWx3 uint8
        What is shown after; of the same shape as ``picture``, so that nothing jumps.
    why : str
        One sentence on how to see it.
    """

    picture: np.ndarray
    truth: str
    reveal: np.ndarray
    why: str


def where_from(
    picture: np.ndarray, boxes: Mapping[str, Box], why: Callable[[str], str], side: int = 384
) -> list[Round]:
    """Make rounds that show one box of a picture enlarged, and reveal where in it the box lies.

    Parameters
    ----------
    picture : HxWx3 uint8
    boxes : dict of answer to Box
        One round each, in this order.
    why : callable
        Given the answer, says in one sentence how to see it.
    side : int
        Width and height of the pictures shown, px.
    """
    rounds = []
    for name, box in boxes.items():
        left, top, right, bottom = box.to_pixels(picture.shape)
        patch = cv2.resize(crop(picture, box), (side, side), interpolation=cv2.INTER_NEAREST)
        marked = picture.copy()
        cv2.rectangle(marked, (left, top), (right - 1, bottom - 1), MARK, 6)
        rounds.append(Round(patch, name, fit(marked, side, side), why(name)))
    return rounds


def past(record: Path) -> Estimate | None:
    """Say how well a reader did in all sittings of a game so far.

    Only the first answer to each picture counts: whoever has seen the truth knows it.

    Parameters
    ----------
    record : Path
        The file that a `Game` kept, such as ``RECORDS / "cropped.json"``.

    Returns
    -------
    Estimate or None
        Share of right answers, with its interval; None when nothing was answered yet.

    Raises
    ------
    CourseError
        The file holds something else.
    """
    first: dict[int, bool] = {}
    for one in _recorded(record):
        first.setdefault(one["picture"], one["answer"] == one["truth"])
    return bootstrap(list(first.values())) if first else None


def _recorded(record: Path) -> list[dict[str, Any]]:
    """Read the answers in a file, oldest first; none if there is no file yet."""
    try:
        answers = json.loads(record.read_text(encoding="utf-8"))["answers"]
        return [{key: one[key] for key in ("picture", "answer", "truth")} for one in answers]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CourseError(
            f"{record}: holds no answers of a game ({error!r}). Move or delete it to begin anew."
        ) from None


class Game:
    """A few rounds of one question, played with buttons, by mouse or keyboard.

    Parameters
    ----------
    question : str
        Asked above the picture.
    options : sequence of str
        The answers to choose from; a guess is right one time in ``len(options)``.
    rounds : sequence of Round
        All pictures must have one shape.
    record : Path, optional
        A JSON file to which every answer is added, so that several sittings add up; see `past`.

    Raises
    ------
    UsageError
        When there are no rounds, a truth is no option, or the pictures differ in shape.
    CourseError
        The record holds something else, or cannot be written.

    Attributes
    ----------
    answers : list of (answer, truth)
        What the reader said, in order.
    """

    def __init__(
        self,
        question: str,
        options: Sequence[str],
        rounds: Sequence[Round],
        record: Path | None = None,
    ) -> None:
        if not rounds:
            raise UsageError("A game needs at least one round.")
        for one in rounds:
            if one.truth not in options:
                raise UsageError(f"{one.truth!r} is none of the options {', '.join(options)}.")
            if (
                one.picture.shape != one.reveal.shape
                or one.picture.shape != rounds[0].picture.shape
            ):
                raise UsageError("All pictures of a game must have the same shape.")
        self.record = record
        self._before = past(record) if record else None
        self.options = list(options)
        self.rounds = list(rounds)
        self.answers: list[tuple[str, str]] = []
        self._open: Round | None = None
        height, width = rounds[0].picture.shape[:2]
        fixed = ipywidgets.Layout(width=f"{width}px", height=f"{height}px")
        self.image = ipywidgets.Image(format="jpeg", layout=fixed)
        self.buttons = [ipywidgets.Button(description=option) for option in self.options]
        for button in self.buttons:
            button.on_click(lambda pressed: self.answer(pressed.description))
        self.next = ipywidgets.Button(description="Next", icon="arrow-right")
        self.next.on_click(lambda _: self._ask())
        self.words = ipywidgets.HTML(layout=ipywidgets.Layout(min_height="4.5em"))
        choices = ipywidgets.HBox([*self.buttons, self.next])
        title = ipywidgets.HTML(f"<strong>{html.escape(question)}</strong>")
        self.root = ipywidgets.VBox([title, self.image, choices, self.words])
        self._ask()

    @property
    def right(self) -> int:
        """Number of right answers so far."""
        return sum(answer == truth for answer, truth in self.answers)

    @property
    def finished(self) -> bool:
        """Whether every round was answered."""
        return len(self.answers) == len(self.rounds)

    def show(self) -> None:
        """Show the game below the running cell."""
        display(self.root)

    def answer(self, option: str) -> None:
        """Commit to an answer: shows the truth, and counts.

        Raises
        ------
        UsageError
            For something that is no option, or a round that was answered already.
        """
        if option not in self.options:
            raise UsageError(f"{option!r} is none of the options {', '.join(self.options)}.")
        if self._open is None:
            raise UsageError("This round was answered already; press Next.")
        one = self._open
        if self.record:
            self._keep(self.record, one, option)  # first, so that an answer is kept or refused
        self._open = None
        self.answers.append((option, one.truth))
        self.image.value = encode(one.reveal)
        verdict = "✓ Right." if option == one.truth else f"✗ You said {option}; it is {one.truth}."
        self._say(f"{verdict} {one.why}")
        self._enable(asking=False)

    def _keep(self, record: Path, one: Round, option: str) -> None:
        """Add an answer to what the file holds by now: another sitting may write to it as well."""
        said = {"picture": zlib.crc32(one.picture.tobytes()), "answer": option, "truth": one.truth}
        write_text(record, json.dumps({"answers": [*_recorded(record), said]}, indent=1) + "\n")

    def _ask(self) -> None:
        """Show the next picture."""
        one = self._open = self.rounds[len(self.answers)]
        self.image.value = encode(one.picture)
        self._say("Commit to an answer first.")
        self._enable(asking=True)

    def _enable(self, asking: bool) -> None:
        for button in self.buttons:
            button.disabled = not asking
        self.next.disabled = asking or self.finished

    def _say(self, text: str) -> None:
        chance = f"guessing gets 1 in {len(self.options)}"
        score = f"{self.right} of {len(self.answers)} right; {chance}" if self.answers else chance
        place = min(len(self.answers) + (self._open is not None), len(self.rounds))
        end = " That was the last one." if self.finished else ""
        if self._before:
            score += f"; {self._before.value:.0%} of {self._before.n} in earlier sittings"
        self.words.value = (
            f'<p role="status" aria-live="polite">{html.escape(text)}{end}<br>'
            f"<small>Picture {place} of {len(self.rounds)} · {score}.</small></p>"
        )
