"""The witness: was this picture cropped, and from where in its photograph, by traces alone."""

from pathlib import Path

import numpy as np

from course_lib.geometry import FULL
from course_lib.traces.evaluate import threshold
from course_lib.traces.readers import detector, look
from course_lib.witness import Verdict, what_is_missing


class TraceWitness:
    """Judges pictures that nobody has prepared.

    Parameters
    ----------
    weights : Path, optional
        Folder with the checkpoint ``joint``; the shipped one without it.

    Raises
    ------
    UsageError
        When there is no such checkpoint.
    """

    def __init__(self, weights: Path | None = None) -> None:
        self.model = detector("joint", weights)
        self.threshold = threshold("joint", weights)

    def protect(self, image: np.ndarray) -> np.ndarray:
        """Return a copy: what lens and photographer leave is in every photograph already."""
        return image.copy()

    def examine(self, image: np.ndarray) -> Verdict:
        """Judge a picture.

        Parameters
        ----------
        image : (h, w, 3) uint8

        Returns
        -------
        Verdict
            Its box is the whole frame if the picture does not count as cropped. Its evidence
            ``votes`` holds, for each of 4 × 4 patches row by row, the probability of each cell of
            the original frame: (16, 16).

        Raises
        ------
        PhotoError
            When the picture is too small.
        """
        opinion = look(self.model, image)
        cropped = opinion.score >= self.threshold
        box = opinion.box if cropped else FULL
        words = (
            what_is_missing(box)
            if cropped
            else f"From {self.threshold:.2f} on it would count as such"
        )
        votes = {} if opinion.votes is None else {"votes": opinion.votes}
        return Verdict(cropped, opinion.score, box, words, votes)


def witness(weights: Path | None = None) -> TraceWitness:
    """Open the witness; see `TraceWitness`."""
    return TraceWitness(weights)
