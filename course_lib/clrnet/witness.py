"""The witness: protects a picture before it is published, and brings back what was cut away."""

from pathlib import Path
from typing import Any

import numpy as np

from course_lib.clrnet.system import open_system
from course_lib.geometry import FULL
from course_lib.witness import RECOVERED, Verdict, what_is_missing

SURE = 20.0
"""Score of the template from which on nothing is doubtful."""


class ClrWitness:
    """Protects pictures against cropping, and judges and completes what they became.

    Parameters
    ----------
    weights : Path, optional
        Folder with the checkpoints; the shipped ones without it.
    variant : str, optional
        One of `course_lib.clrnet.system.VARIANTS`.
    key : int
        What hider and finder share.
    """

    def __init__(
        self, weights: Path | None = None, variant: str | None = None, key: int = 0
    ) -> None:
        self.system = open_system(weights, variant, key)

    def protect(self, image: np.ndarray) -> np.ndarray:
        """Hide place and picture: (h, w, 3) uint8 to the same."""
        return self.system.protect(image)

    def examine(self, image: np.ndarray) -> Verdict:
        """Judge a picture, and recover the whole one.

        Parameters
        ----------
        image : (h, w, 3) uint8

        Returns
        -------
        Verdict
            Its score is 0 where no protection was found: nothing can be said then. Its evidence:
            ``template`` (score of the place) and, where something was recovered, ``resolution``,
            ``error`` (expected in the lost area, gray values) and ``recovered``, the whole picture
            in the size that it had for this crop.
        """
        found = self.system.locate(image)
        evidence: dict[str, Any] = {"template": round(found.place.score, 3)}
        if found.said == "not protected":
            words = f"No protection was found (score {found.place.score:.1f}): nothing can be said"
            return Verdict(False, 0.0, None, words, evidence)
        sure = 0.5 + 0.5 * min(1.0, found.place.score / SURE)
        if found.said == "not cropped":
            words = f"The whole protected picture is there (score {found.place.score:.1f})"
            return Verdict(False, 1 - sure, FULL, words, evidence)
        missing = what_is_missing(found.box)
        if not found.learned:
            words = f"{missing}; what was hidden there could not be read"
            return Verdict(True, sure, found.box, words, evidence)
        side = len(found.recovered)
        evidence |= {
            "resolution": side,
            "error": round(found.error, 2),
            RECOVERED: found.sized(image.shape),
        }
        words = (
            f"{missing}; recovered at a resolution of {side} × {side} pixels for the whole "
            f"picture, to about {found.error:.0f} gray values"
        )
        return Verdict(True, sure, found.box, words, evidence)


def witness(weights: Path | None = None, variant: str | None = None, key: int = 0) -> ClrWitness:
    """Open the witness; see `ClrWitness`."""
    return ClrWitness(weights, variant, key)
