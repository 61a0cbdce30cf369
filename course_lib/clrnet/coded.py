"""The coded thumbnail in the hands of its two users: who publishes a picture, and who finds it.

Both know a key. Nothing here was trained but, where it is there, the network that adds detail.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import cv2
import numpy as np

from course_lib.clrnet.decoder import ROUNDS, Decoder, Recovered, recover
from course_lib.clrnet.frame import (
    UNDOING,
    demand_picture,
    laid_on,
    put_back,
    rounded,
    squared,
    to_ycc,
)
from course_lib.clrnet.plan import Plan, seen_blocks
from course_lib.clrnet.template import AMPLITUDE, WHOLE, Place, decide, locate, score, stamp
from course_lib.clrnet.thumbnail import protect
from course_lib.geometry import Box

FAINT = 6.3
"""Score of the template below which its place is not even tried. In between, the code decides: it
can be read in no wrong place."""
SURE = 17.0
"""Score of the template from which on its place is taken as it is; the code has a say below."""

TRIED = 8
"""Places nearby that the code is asked about."""


Refine = Callable[[np.ndarray, tuple[int, ...], float], np.ndarray]
"""Adds detail to a recovered picture, given what is visible and the error expected elsewhere."""


@dataclass(frozen=True)
class Found:
    """What was found in a picture.

    Attributes
    ----------
    place : Place
        Where in the whole picture it was, as fractions of it, and how sure that is.
    said : str
        "not protected", "not cropped" or "cropped".
    recovered : (side, side, 3) uint8
        The whole picture at the resolution of the code, stretched to a square.
    error : float
        Expected root mean square error of the lost area in gray values; 0 if nothing is lost.
    learned : bool
        Whether the code could be read. If not, the lost area is only guessed from what is left.
    """

    place: Place
    said: str
    recovered: np.ndarray
    error: float
    learned: bool

    @property
    def box(self) -> Box:
        """Where in the whole picture it was."""
        return self.place.box

    def sized(self, seen: tuple[int, ...]) -> np.ndarray:
        """Return the recovered picture in the shape that the whole one had, given the crop's."""
        width = max(1, round(seen[1] / self.place.box.width))
        height = max(1, round(seen[0] / self.place.box.height))
        larger = min(width, height) > len(self.recovered)
        how = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
        result: np.ndarray = cv2.resize(self.recovered, (width, height), interpolation=how)
        return result


class Coded:
    """Protect pictures against cropping, and bring back what was cut away.

    Parameters
    ----------
    key : int
        What hider and finder share.
    side : int
        Resolution of the code and of what is recovered.
    amplitude : float
        Of the template.
    refine : callable, optional
        Adds detail to what the code brought back.
    """

    def __init__(
        self,
        key: int = 0,
        side: int = 128,
        amplitude: float = AMPLITUDE,
        refine: Refine | None = None,
    ) -> None:
        self.plan, self.amplitude, self.refine = Plan(key, side), amplitude, refine

    @property
    def side(self) -> int:
        """Resolution of the code and of what is recovered."""
        return self.plan.side

    def protect(self, picture: np.ndarray) -> np.ndarray:
        """Hide place and thumbnail in a picture: (h, w, 3) uint8 to the same."""
        demand_picture(picture)
        square = squared(picture, self.plan.side)
        marked = square + stamp(square, self.plan.key, self.amplitude)
        return laid_on(picture, protect(marked, self.plan) - square)

    def locate(self, seen: np.ndarray) -> Found:
        """Find where a picture was cut out, and what was cut away.

        Parameters
        ----------
        seen : (h, w, 3) uint8
            Of any size.
        """
        place = locate(seen, self.plan.key, self.plan.side)
        said = decide(place)
        whole = min(place.box.width, place.box.height) >= WHOLE
        if said == "not cropped" or whole or place.score < FAINT:
            square = rounded(squared(seen, self.plan.side))
            return Found(place, said, square, 0.0, False)
        result = self.recover(seen, place.box)
        if place.score < SURE:
            box = self.reconsidered(seen, place.box, result)
            if box != place.box:
                place, result = replace(place, box=box), self.recover(seen, box)
        decoded = result.decoded
        if said == "not protected" and not decoded.learned:
            return Found(place, said, rounded(squared(seen, self.plan.side)), 0.0, False)
        picture = result.picture
        if decoded.learned and self.refine is not None:
            picture = self.refine(picture, place.box.to_pixels(picture.shape), result.error)
        return Found(place, "cropped", rounded(picture), result.error, decoded.learned)

    def reconsidered(self, seen: np.ndarray, box: Box, found: Recovered) -> Box:
        """Ask the code which of the likeliest places nearby, with whole pixels, is the right one.

        In a wrong place most blocks are sampled beside their pixels, and fractions are unrelated.
        """
        side, best = self.plan.side, -np.inf
        edges = np.array(box.to_pixels((side, side)))
        near = edges + np.array(list(product((-1, 0, 1), repeat=4)))
        inside = (near.min(axis=1) >= 0) & (near.max(axis=1) <= side)
        boxes = [
            Box.from_pixels(left, top, right, bottom, (side, side))
            for left, top, right, bottom in near[inside]
        ]
        boxes.sort(key=lambda each: -score(seen, self.plan.key, each, side))
        for tried in [box, *boxes[:TRIED]]:
            canvas, visible = put_back(seen, tried, side, found.undo)
            decoder = Decoder(to_ycc(canvas), visible, self.plan)
            # Which scale it was is not known either if nothing was read.
            known = found.decoded.learned
            unit = found.decoded.unit if known else decoder.search().unit
            evidence = decoder.judged(unit)
            if evidence > best:
                best, box = evidence, tried
        return box

    def recover(self, seen: np.ndarray, box: Box) -> Recovered:
        """Recover the whole picture from a crop whose place is known.

        A crop that was resized is brought back to its size in each way of `frame.UNDOING`;
        the code itself tells which was right.
        """
        side, plan = self.plan.side, self.plan
        ways = {undo: put_back(seen, box, side, undo) for undo in UNDOING}
        first, visible = ways[UNDOING[0]]
        result = recover(first, visible, plan)
        for undo, (canvas, visible) in ways.items():
            if np.array_equal(canvas, first) or seen_blocks(visible, plan).all():
                continue
            decoder = Decoder(to_ycc(canvas), visible, plan)
            known = result.decoded.learned
            unit = result.decoded.unit if known else decoder.search().unit
            if decoder.judged(unit, ROUNDS) > result.decoded.evidence:
                result = replace(recover(canvas, visible, plan), undo=undo)
        return result
