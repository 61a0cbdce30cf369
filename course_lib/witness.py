"""The question that all forensic systems answer: was it cropped, and from where.

A witness may first be allowed to ``protect`` a picture before it is published (systems that hide
a watermark), and is later asked to ``examine`` what it became.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from course_lib.errors import UsageError
from course_lib.geometry import FULL, Box
from course_lib.systems import SYSTEMS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECOVERED = "recovered"
"""Name in a verdict's evidence of the whole picture, (H, W, 3) uint8, where that comes back."""


@dataclass(frozen=True)
class Verdict:
    """What a witness says about a picture.

    Parameters
    ----------
    cropped : bool
        The decision.
    score : float
        How sure the witness is that the picture was cropped, 0 to 1; above a half it says so
        unless it has a threshold of its own.
    box : Box, optional
        The part of the original picture that is left, in fractions of the original; None when the
        witness cannot tell.
    words : str
        The reason in a sentence.
    evidence : mapping
        What else it found, by name: numbers, lists, arrays.
    """

    cropped: bool
    score: float
    box: Box | None = None
    words: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:
            raise UsageError(f"A verdict's score lies between 0 and 1; this one is {self.score}.")

    def __str__(self) -> str:
        said = "cropped" if self.cropped else "not cropped"
        where = ""
        if self.cropped and self.box is not None:
            kept = min(self.box.area, 1.0)
            where = f", {kept:.0%} of the original is left: {_in_words(self.box)}"
        return f"{said} (score {self.score:.2f}){where}" + (f". {self.words}" if self.words else "")


def _in_words(box: Box) -> str:
    """Say where in the original a box lies, in per cent of its width and height."""
    return f"{box.x1:z.0%} to {box.x2:.0%} across, {box.y1:z.0%} to {box.y2:.0%} down"


def what_is_missing(box: Box, least: float = 0.05) -> str:
    """Say at which sides of the original something is missing: shares of at least ``least``."""
    shares = {"left": box.x1, "top": box.y1, "right": 1 - box.x2, "bottom": 1 - box.y2}
    sides = [f"{share:.0%} at the {side}" for side, share in shares.items() if share >= least]
    return f"Missing of the original: {', '.join(sides)}" if sides else "Little is missing"


class Witness(Protocol):
    """A system that can be asked."""

    def protect(self, image: np.ndarray) -> np.ndarray:
        """Prepare a picture for publication: uint8, H × W × 3, and back; of the same shape."""

    def examine(self, image: np.ndarray) -> Verdict:
        """Judge a picture as it was found: uint8, H × W × 3."""


def witnesses(weights: Path | None = None) -> dict[str, Callable[[], Witness]]:
    """Return the systems that can be asked: name to a function that opens the witness.

    A system is imported, and its weights are read, when its function is called.

    Parameters
    ----------
    weights : Path, optional
        A folder of weights trained by oneself, for all of them; the shipped ones if not given.
    """

    def opener(system: str) -> Callable[[], Witness]:
        return lambda: SYSTEMS[system].function("witness")(weights)

    return {name: opener(name) for name, system in SYSTEMS.items() if system.can("witness")}


def picture_of(picture: np.ndarray, verdict: Verdict, title: str = "") -> "Figure":
    """Draw a verdict: the picture in its place within the frame that the original had.

    Where the system recovered what was cut away, that fills the frame, and a line marks the crop.

    Parameters
    ----------
    picture : (H, W, 3) uint8
        What was examined.
    verdict : Verdict
        Without a box, the picture fills the frame.
    title : str
        Stands in front of the verdict.
    """
    from matplotlib.figure import Figure

    from course_lib.figures import ACCENT, frame, use_house_style

    use_house_style()
    box = verdict.box if verdict.cropped and verdict.box is not None else FULL
    height, width = picture.shape[:2]
    figure = Figure(figsize=(8.4, 0.5 + 8.4 * (height / box.height) / (width / box.width)))
    axis = figure.add_subplot()
    axis.set_axis_off()
    left, top = box.x1 * width / box.width, box.y1 * height / box.height
    whole = width / box.width, height / box.height
    if RECOVERED in verdict.evidence:
        axis.imshow(verdict.evidence[RECOVERED], extent=(0, whole[0], whole[1], 0))
        frame(axis, left, top, width, height, edgecolor=ACCENT, linestyle="--")
    axis.imshow(picture, extent=(left, left + width, top + height, top))
    frame(axis, 0, 0, width / box.width, height / box.height, edgecolor=ACCENT)
    axis.set_xlim(min(0, left), max(width / box.width, left + width))
    axis.set_ylim(max(height / box.height, top + height), min(0, top))
    axis.set_title(f"{title}{verdict}", fontsize=9, wrap=True)
    return figure
