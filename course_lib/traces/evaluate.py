"""The paper's tables on photographs of one's own: how well places of patches are read.

Every row comes with an interval: a bootstrap that draws whole photographs, because patches of one
photograph share a lens and succeed or fail together.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.metrics import Estimate, bootstrap
from course_lib.results import row
from course_lib.traces.patches import PatchSet

Predict = Callable[[np.ndarray], np.ndarray]
"""From (n, 96, 96, 3) uint8 patches to (n, 16) probabilities of their cells."""

CONFIDENT = 0.2
"""Share of patches, the most confident ones, that ``patch_accuracy_top20`` looks at."""
PAPER_COLOUR, PAPER_GRAY = 0.21, 0.15


def patch_accuracy(votes: np.ndarray, cells: np.ndarray, photos: np.ndarray) -> Estimate:
    """Share of patches whose cell gets the highest vote; chance is 1/16.

    Parameters
    ----------
    votes : (n, 16) array
        Probability of each cell.
    cells : (n,) array
        True cells.
    photos : (n,) array
        Which patches belong together.
    """
    return bootstrap(votes.argmax(axis=1) == cells, groups=photos)


def confident_accuracy(
    votes: np.ndarray, cells: np.ndarray, photos: np.ndarray, share: float = CONFIDENT
) -> Estimate:
    """Accuracy of the patches with the highest top votes.

    The share is taken anew in every bootstrap sample, so the interval knows that the choice of
    patches is random too. Photographs of which no patch is confident stay in the bootstrap.

    Parameters
    ----------
    votes, cells, photos
        As for `patch_accuracy`.
    share : float
        Of all patches, the most confident, above 0 to 1.
    """
    right = votes.argmax(axis=1) == cells
    cases = np.column_stack([votes.max(axis=1), right])

    def accuracy(drawn: np.ndarray) -> float:
        count = max(round(share * len(drawn)), 1)
        # Equal confidence (a flat patch, say) must not follow the order of the patches.
        level = np.partition(drawn[:, 0], -count)[-count]
        above, equal = drawn[:, 0] > level, drawn[:, 0] == level
        wanted = count - above.sum()
        return float((drawn[above, 1].sum() + wanted * drawn[equal, 1].mean()) / count)

    return bootstrap(cases, accuracy, groups=photos)


def accuracy_by_confidence(
    votes: np.ndarray, cells: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare stated confidence with accuracy, in bins of equally many patches.

    Returns
    -------
    confidence, accuracy : (bins,) arrays
        Means in each bin, least confident first.
    count : (bins,) array

    Notes
    -----
    Source: "Dissecting Image Crops", Figure 11.
    """
    confidence = votes.max(axis=1)
    right = votes.argmax(axis=1) == cells
    parts = np.array_split(np.argsort(confidence, kind="stable"), min(bins, len(cells)))
    stated = np.array([confidence[part].mean() for part in parts])
    reached = np.array([right[part].mean() for part in parts])
    return stated, reached, np.array([len(part) for part in parts])


def patch_rows(
    predict: Predict, patches: PatchSet, paper: float | None = None, **keys: Any
) -> list[dict[str, Any]]:
    """Measure one model on one set of patches: two rows of results.

    Parameters
    ----------
    predict : callable
        The model.
    patches : PatchSet
    paper : float, optional
        What the paper reports for the accuracy.
    **keys
        The condition, such as ``variant="fringe", lens="none"``.
    """
    votes = predict(patches.patches)
    truth = patches.cells, patches.photos
    return [
        row("patch_accuracy", patch_accuracy(votes, *truth), paper, **keys),
        row("patch_accuracy_top20", confident_accuracy(votes, *truth), **keys),
    ]
