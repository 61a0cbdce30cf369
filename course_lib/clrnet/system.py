"""Both designs behind one door: the coded thumbnail, and the paper's invertible network.

They offer the same, `protect` and `locate`, so whatever measures or shows one works for the other.
"""

from pathlib import Path

from course_lib.clrnet.coded import Coded
from course_lib.clrnet.learned import Learned, learned
from course_lib.clrnet.refine import open_refiner
from course_lib.errors import UsageError

CODED, INVERTIBLE = "coded", "invertible"
VARIANTS = CODED, INVERTIBLE
"""The better one first: it is the default."""
SIDE = 128
"""Resolution of the code."""


def open_system(
    weights: Path | None = None, variant: str | None = None, key: int = 0
) -> Coded | Learned:
    """Open one of the designs.

    Parameters
    ----------
    weights : Path, optional
        Folder of trained networks; the shipped ones without it. The code works without any.
    variant : str, optional
        One of `VARIANTS`.
    key : int
        What hider and finder share.

    Raises
    ------
    UsageError
        For another variant, or when its weights are missing.
    """
    if variant is None or variant == CODED:
        refiner = open_refiner(weights)
        return Coded(key, SIDE, refine=refiner and refiner.refined)
    if variant == INVERTIBLE:
        return learned(weights, key)
    raise UsageError(f"--variant {variant}: choose one of {', '.join(VARIANTS)}.")
