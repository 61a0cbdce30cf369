"""The witness: hides a watermark before a picture is published, and finds crops of it again."""

from pathlib import Path

import numpy as np

from course_lib.geometry import FULL
from course_lib.rwn.system import rwn
from course_lib.rwn.watermarks import draw, read
from course_lib.witness import Verdict, what_is_missing

DOUBTFUL = 0.1
"""Scores within this of the threshold are a guess."""


class RwnWitness:
    """Protects pictures with a watermark, and judges what they became.

    Parameters
    ----------
    weights : Path, optional
        Folder with the checkpoints; the shipped ones without it.
    watermark : Path, optional
        Picture that serves as the watermark; one that the course draws without it.
    """

    def __init__(self, weights: Path | None = None, watermark: Path | None = None) -> None:
        self.system = rwn(weights)
        self.watermark = draw() if watermark is None else read(watermark)

    def protect(self, image: np.ndarray) -> np.ndarray:
        """Hide the watermark: (h, w, 3) uint8 to the same."""
        return self.system.protect(image, self.watermark)

    def examine(self, image: np.ndarray) -> Verdict:
        """Judge a picture.

        Parameters
        ----------
        image : (h, w, 3) uint8

        Returns
        -------
        Verdict
            Its score is 0 where no watermark was found: nothing can be said then. Its evidence:
            ``likeness`` of the watermark, ``runner_up``, ``pasted`` (share of the picture), and the
            arrays ``watermark`` and ``tampered``, both 256 × 256.
        """
        finding = self.system.locate(image, self.watermark)
        match = finding.match
        evidence = {
            "likeness": round(match.score, 4),
            "runner_up": round(match.runner_up, 4),
            "pasted": round(float(finding.tampered.mean()), 4),
            "watermark": finding.watermark,
            "tampered": finding.tampered,
        }
        if finding.said == "no watermark":
            words = f"No watermark was found (likeness {match.score:.2f}), so nothing can be said"
            return Verdict(False, 0.0, None, words, evidence)
        pasted = f"; {evidence['pasted']:.0%} of it look pasted" if evidence["pasted"] else ""
        sure = min(1.0, max(0.5, 0.5 + (match.score - self.system.present) / (2 * DOUBTFUL)))
        if finding.said == "not cropped":
            words = f"The whole watermark is there (likeness {match.score:.2f}){pasted}"
            return Verdict(False, 1 - sure, FULL, words, evidence)
        words = f"{what_is_missing(match.box)}{pasted}"
        return Verdict(True, sure, match.box, words, evidence)


def witness(weights: Path | None = None, watermark: Path | None = None) -> RwnWitness:
    """Open the witness; see `RwnWitness`."""
    return RwnWitness(weights, watermark)
