"""The paper's tables on photographs of one's own: places of patches, crops, and what was cropped.

Every row comes with an interval: a bootstrap that draws whole photographs, because patches of one
photograph share a lens and succeed or fail together.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from course_lib.checkpoints import find, read_card
from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import FULL, Box, crop, iou
from course_lib.lens import Lens
from course_lib.metrics import Estimate, bootstrap
from course_lib.photos import Photo, PhotoSource, resize_to
from course_lib.results import row
from course_lib.traces.baseline import best_box, frame_scores, possible_frames
from course_lib.traces.camera import LIKE_MEASURED
from course_lib.traces.examples import (
    ASPECT,
    COURSE,
    PAPER,
    Scale,
    cut,
    draw_crop,
    patch_corners,
    pave,
    prepare,
)
from course_lib.traces.model import VARIANTS
from course_lib.traces.patches import (
    LONG_SIDE,
    PATCH,
    SIMULATED,
    PatchSet,
    cut_patches,
    green_only,
    upright,
)
from course_lib.traces.readers import (
    READERS,
    Opinion,
    Predict,
    detector,
    joined,
    look,
)
from course_lib.traces.sets import split

CONFIDENT = 0.2
"""Share of patches, the most confident ones, that ``patch_accuracy_top20`` looks at."""
PAPER_PATCHES = {"photos": 0.21, "grayscale": 0.15}
"""Accuracy of the paper's patch network, in colour and without. Source: section 5.2, table 2."""
PAPER_CROPS = {"joint": 0.86, "patch": 0.77, "global": 0.79}
"""Accuracy of the paper's detectors on photographs from Flickr. Source: section 5.3, table 1."""
PAPER_SETS: dict[str, dict[str, float]] = {
    "general": PAPER_CROPS,
    "upright": {"joint": 0.80, "patch": 0.76, "global": 0.72},
    "tilted": {"joint": 0.71, "patch": 0.70, "global": 0.58},
    "texture": {"joint": 0.66, "patch": 0.67, "global": 0.54},
    "smooth": {"joint": 0.50, "patch": 0.55, "global": 0.51},
}
"""Accuracy of the paper's detectors on its test sets that have a counterpart in
`course_lib.traces.sets`. Source: section 5.3, table 1."""
MEDIAN_CORNER = 0.42
"""Displacement of red or blue, the larger, in the corner of a usual photograph 1536 px wide: px."""
MEAN_CROP = Box(0.15, 0.15, 0.85, 0.85)
"""The mean of the crops that `draw_crop` draws, each edge by itself."""
POOLED = replace(PAPER, width=(4 * PATCH * 3 // 2, LONG_SIDE), shortest=720)
"""Sizes at which closed-form votes are pooled: photographs at their own size, up to 1536 px wide,
and crops never below what 4 × 4 patches of 96 px need."""
SOFTER = 1.5
"""How many times pictures are enlarged to be as soft as photographs."""
SHRUNK = 4
"""How many times smaller photographs are made to be rid of their lens."""
THRESHOLD = 0.5
"""Score from which a picture counts as cropped, unless a checkpoint's card has its own."""

BY_CHECKPOINT = {"fringe": "fringe", "network": "pretext"}
"""Readers of patches, by the names that results use, and their checkpoints."""
CHECKPOINTS = (*BY_CHECKPOINT.values(), *VARIANTS)

METRICS = ("patch_accuracy", "patch_accuracy_top20", "crop_accuracy", "rectangle_iou")
"""In the order of the table."""

Say = Callable[[str], None]
Judge = Callable[[np.ndarray], Opinion]
"""From a picture, (h, w, 3) uint8, to what it was cropped from, if it was."""


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
    return vote_rows(predict(patches.patches), patches, paper, **keys)


def vote_rows(
    votes: np.ndarray, patches: PatchSet, paper: float | None = None, **keys: Any
) -> list[dict[str, Any]]:
    """Make the two rows of `patch_rows` from votes, (n, 16), that are there already."""
    truth = patches.cells, patches.photos
    return [
        row("patch_accuracy", patch_accuracy(votes, *truth), paper, **keys),
        row("patch_accuracy_top20", confident_accuracy(votes, *truth), **keys),
    ]


def patch_table(
    readers: Mapping[str, Predict],
    photos: Sequence[Photo],
    *,
    lens: str = "none",
    per_cell: int = 2,
    seed: int = 0,
    say: Say = lambda text: None,
) -> list[dict[str, Any]]:
    """Measure readers of patches, and all of them together as ``both`` if there are several.

    Parameters
    ----------
    readers : mapping
        Name to model.
    photos : sequence of Photo
        Those too small for 4 × 4 patches of 96 px are left out.
    lens : "none" or "simulated"
        Without a lens: the photographs as they are (set ``photos``), the same in green alone
        (``grayscale``), and rolled by random steps so that their own lens says nothing
        (``control``, which has to give chance). With one: pictures laid of the photographs made
        four times smaller, seen through lenses as strong as measured ones, so that only these can
        be read.
    per_cell : int
        Patches from each of the 16 cells of a photograph.
    seed : int
    say : callable
        Shows progress.

    Raises
    ------
    PhotoError
        When no photograph can be used.
    """
    rows = []
    for name, patches in _patch_sets(photos, lens, per_cell, seed):
        votes = {}
        for variant, predict in readers.items():
            say(f"Reading {len(patches):,} patches · {name} · {variant}")
            votes[variant] = predict(patches.patches)
        if len(votes) > 1:
            votes["both"] = joined(list(votes.values()))
        paper = PAPER_PATCHES.get(name) if lens == "none" else None
        for variant, each in votes.items():
            rows += vote_rows(each, patches, paper, variant=variant, lens=lens, set=name)
    return rows


def _patch_sets(
    photos: Sequence[Photo], lens: str, per_cell: int, seed: int
) -> Iterator[tuple[str, PatchSet]]:
    if lens == "simulated":
        laid = [_without_lens(photo, (seed, i)) for i, photo in enumerate(photos)]
        yield "photos", cut_patches(laid, per_cell, seed, lens=SIMULATED)
        return
    found = cut_patches(photos, per_cell, seed)
    yield "photos", found
    yield "grayscale", found.changed(green_only)
    yield "control", cut_patches(photos, per_cell, seed, moved=True)


def _without_lens(photo: Photo, seed: tuple[int, ...]) -> Photo:
    """Return a picture of 1536 px of width that is laid of a photograph: nothing of its lens."""

    def read() -> np.ndarray:
        picture = resize_to(upright(photo.read()), LONG_SIDE, enlarge=True)
        return _laid(picture, np.random.default_rng(seed))

    return replace(photo, load=read)


@dataclass(frozen=True, eq=False)
class Case:
    """A picture to be judged, and the truth about it.

    Attributes
    ----------
    picture : (h, w, 3) uint8
    box : Box
        What it is of its photograph: FULL if it was not cropped.
    photo : int
        Place of the photograph among those that were given.
    """

    picture: np.ndarray
    box: Box
    photo: int


def no_lens(rng: np.random.Generator, scale: Scale) -> Lens | None:
    """Leave photographs as they are."""
    return None


def measured_lens(rng: np.random.Generator, scale: Scale) -> Lens | None:
    """Draw a lens as strong as measured ones are at the scale's size."""
    return LIKE_MEASURED.draw(rng, scale.strength)


def median_lens(rng: np.random.Generator, scale: Scale) -> Lens | None:
    """Draw a lens and give it the median displacement in the corners at the scale's size."""
    lens = LIKE_MEASURED.draw(rng)
    width = LONG_SIDE / scale.strength
    corner = np.hypot(width, width / ASPECT) / 2
    strongest = max(abs(lens.red - 1), abs(lens.blue - 1), 1e-9)
    times = MEDIAN_CORNER / (corner * strongest)
    return replace(lens, red=1 + times * (lens.red - 1), blue=1 + times * (lens.blue - 1))


LENSES: dict[str, Callable[[np.random.Generator, Scale], Lens | None]] = {
    "none": no_lens,
    "simulated": measured_lens,
    "median": median_lens,
}
"""What photographs are seen through before they are cropped, by the names that results use."""


def crop_cases(
    photos: Sequence[Photo],
    per_photo: int = 8,
    seed: int = 0,
    scale: Scale = COURSE,
    lens: str = "none",
    control: bool = False,
) -> Iterator[Case]:
    """Make crops of photographs, and for each the whole photograph at the same size.

    Equal seeds give the same crops at all scales and through all lenses.

    Parameters
    ----------
    photos : sequence of Photo
        Each is turned to landscape, cut to 3:2, and made smaller to 1536 px of width if it is
        wider. Those that cannot be read, or are smaller than the scale wants, are left out.
    per_photo : int
        Crops, and as many whole pictures.
    seed : int
    scale : Scale
        Of the model: pictures narrower than its narrowest are enlarged to that, and its strength
        says how much smaller than 1536 px it sees them.
    lens : "none", "simulated" or "median"
        See `LENSES`; drawn anew for each pair.
    control : bool
        Make photographs four times smaller, lay pictures of mirrored copies, and enlarge them by a
        half, so that they are as soft as photographs. Neither a lens nor a composition is left, and
        models that see patches only must fall to chance; one that takes softness for a crop does
        not.

    Yields
    ------
    Case
        A crop, then the whole picture; and so on.
    """
    wide = replace(scale, width=(scale.width[0], LONG_SIDE))
    for number, photo in enumerate(photos):
        rng = np.random.default_rng((seed, number))
        try:
            whole = prepare(photo.read(), rng, wide)
        except PhotoError:
            continue
        if control:
            whole = _laid(whole, np.random.default_rng((seed, number, 1)), SOFTER)
        for _ in range(per_photo):
            box = draw_crop(rng)
            glass = LENSES[lens](rng, scale)
            seen = glass.apply(whole) if glass else whole
            part = crop(seen, box)
            width = max(part.shape[1], scale.width[0])
            for picture, place in ((part, box), (seen, FULL)):
                yield Case(_resized(picture, width), place, number)


def _laid(picture: np.ndarray, rng: np.random.Generator, softer: float = 1.0) -> np.ndarray:
    height, width = picture.shape[:2]
    tile = cv2.resize(picture, (width // SHRUNK, height // SHRUNK), interpolation=cv2.INTER_AREA)
    laid = pave(tile, (round(height / softer), round(width / softer)), rng)
    return cv2.resize(laid, (width, height), interpolation=cv2.INTER_CUBIC)


def _resized(picture: np.ndarray, width: int) -> np.ndarray:
    size = width, round(width / ASPECT)
    smaller = width < picture.shape[1]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)


def pooled(predict: Predict) -> Judge:
    """Make a judge of a reader of patches: its votes are pooled in closed form.

    Parameters
    ----------
    predict : callable
        Reads patches of 96 px.
    """
    frames = possible_frames()

    def judge(picture: np.ndarray) -> Opinion:
        corners = patch_corners(np.random.default_rng(0), picture.shape, PATCH)
        votes = predict(cut(picture, corners, PATCH))
        centers = (corners + PATCH / 2) / (picture.shape[1], picture.shape[0])
        belief = frame_scores(votes, centers, frames)
        return Opinion(1 - float(belief[0]), best_box(belief, frames), votes)

    return judge


@dataclass(frozen=True, eq=False)
class Judgements:
    """What several judges said about the same pictures.

    Attributes
    ----------
    boxes : list of Box
        The truth about each of n pictures; FULL for those that were not cropped.
    photos : (n,) int
        Which pictures are of the same photograph.
    opinions : dict of str to list of Opinion
        By judge, one for each picture.
    """

    boxes: list[Box]
    photos: np.ndarray
    opinions: dict[str, list[Opinion]]

    @property
    def cropped(self) -> np.ndarray:
        """Which pictures were cropped: (n,) bool."""
        return np.array([box != FULL for box in self.boxes])

    def of(self, photos: Iterable[int]) -> "Judgements":
        """Keep what was said about pictures of some photographs, by their places."""
        chosen = np.flatnonzero(np.isin(self.photos, list(photos)))
        opinions = {name: [said[i] for i in chosen] for name, said in self.opinions.items()}
        return Judgements([self.boxes[i] for i in chosen], self.photos[chosen], opinions)

    def right(self, judge: str, threshold: float = THRESHOLD) -> np.ndarray:
        """Say which pictures a judge rightly called cropped or not cropped: (n,) bool."""
        scores = np.array([opinion.score for opinion in self.opinions[judge]])
        return (scores >= threshold) == self.cropped

    def overlaps(self, judge: str | Box) -> np.ndarray:
        """Return how well a judge, or always the same box, places each cropped picture: IoU."""
        chosen = np.flatnonzero(self.cropped)
        if isinstance(judge, Box):
            found = [judge] * len(chosen)
        else:
            found = [self.opinions[judge][i].box for i in chosen]
        return np.array([iou(box, self.boxes[i]) for box, i in zip(found, chosen, strict=True)])

    def mean(self, values: np.ndarray) -> Estimate:
        """Mean over all pictures, or over the cropped ones, with an interval over photographs."""
        groups = self.photos if len(values) == len(self.photos) else self.photos[self.cropped]
        return bootstrap(values, groups=groups)


def judge_all(judges: Mapping[str, Judge], cases: Iterable[Case]) -> Judgements:
    """Show every case to every judge.

    Raises
    ------
    PhotoError
        When there is no case.
    """
    boxes, photos = [], []
    opinions: dict[str, list[Opinion]] = {name: [] for name in judges}
    for case in cases:
        boxes.append(case.box)
        photos.append(case.photo)
        for name, judge in judges.items():
            opinions[name].append(judge(case.picture))
    if not boxes:
        raise PhotoError("None of the photographs is large enough to be cropped for this.")
    return Judgements(boxes, np.array(photos), opinions)


def crop_rows(
    found: Judgements,
    thresholds: Mapping[str, float] | None = None,
    paper: Mapping[str, float] | None = None,
    **keys: Any,
) -> list[dict[str, Any]]:
    """Make rows of what judges said: accuracy, IoU of rectangles, and differences.

    Parameters
    ----------
    found : Judgements
    thresholds : mapping, optional
        Score from which a judge calls a picture cropped; 0.5 without it.
    paper : mapping, optional
        What the paper reports, by judge.
    **keys
        The condition, such as ``lens="none", set="all"``.

    Returns
    -------
    list of dict
        ``crop_accuracy`` over all pictures, ``rectangle_iou`` over cropped ones. If ``joint`` is
        among the judges, also its differences from the others on the same pictures, and
        ``whole-frame`` and ``mean-crop``, which stand for always giving that rectangle.
    """
    right = {
        name: found.right(name, (thresholds or {}).get(name, THRESHOLD)) for name in found.opinions
    }
    boxes: dict[str, str | Box] = {name: name for name in right}
    if "joint" in right:
        boxes |= {"whole-frame": FULL, "mean-crop": MEAN_CROP}
    overlaps = {name: found.overlaps(judge) for name, judge in boxes.items()}
    rows = []
    for metric, values, known in (
        ("crop_accuracy", right, paper or {}),
        ("rectangle_iou", overlaps, {}),
    ):
        for name, each in values.items():
            rows.append(row(metric, found.mean(each), known.get(name), variant=name, **keys))
        for other in values if "joint" in values else ():
            if other != "joint":
                difference = values["joint"].astype(float) - values[other]
                name = f"joint - {other}"
                rows.append(row(metric, found.mean(difference), variant=name, **keys))
    return rows


def crop_table(
    judges: Mapping[str, Judge],
    photos: Sequence[Photo],
    *,
    lens: str = "none",
    control: bool = False,
    scale: Scale = COURSE,
    per_photo: int = 8,
    seed: int = 0,
    thresholds: Mapping[str, float] | None = None,
    paper: Mapping[str, float] | None = None,
    say: Say = lambda text: None,
    **keys: Any,
) -> list[dict[str, Any]]:
    """Measure judges of whole pictures on photographs, without asking what is in them.

    Parameters
    ----------
    judges : mapping
        Name to judge; all see the same pictures.
    photos, lens, control, scale, per_photo, seed
        As for `crop_cases`.
    thresholds, paper
        As for `crop_rows`.
    say : callable
        Shows progress.
    **keys
        Of the rows, beside ``lens``; ``set`` is ``all`` or ``control`` without it.

    Raises
    ------
    PhotoError
        When no photograph can be used.
    """
    keys = {"lens": lens, "set": "control" if control else "all", **keys}
    condition = " · ".join([*judges, *(str(key) for key in keys.values())])
    cases = crop_cases(photos, per_photo, seed, scale, lens, control)
    shown = _announced(cases, len(photos), condition, say)
    return crop_rows(judge_all(judges, shown), thresholds, paper, **keys)


def set_table(
    judges: Mapping[str, Judge],
    photos: Sequence[Photo],
    *,
    lens: str = "median",
    scale: Scale = COURSE,
    per_photo: int = 8,
    seed: int = 0,
    thresholds: Mapping[str, float] | None = None,
    say: Say = lambda text: None,
) -> list[dict[str, Any]]:
    """Measure judges of whole pictures by what is in the photographs: Table 1 of the paper.

    Parameters
    ----------
    judges, photos, lens, scale, per_photo, seed, thresholds, say
        As for `crop_table`.

    Returns
    -------
    list of dict
        As from `set_rows`.

    Raises
    ------
    PhotoError
        When no photograph can be used.
    """
    cases = crop_cases(photos, per_photo, seed, scale, lens)
    found = judge_all(judges, _announced(cases, len(photos), f"{lens} · by set", say))
    return set_rows(found, photos, thresholds, lens=lens)


def set_rows(
    found: Judgements,
    photos: Sequence[Photo],
    thresholds: Mapping[str, float] | None = None,
    **keys: Any,
) -> list[dict[str, Any]]:
    """Make rows of what judges said by what is in the photographs.

    Parameters
    ----------
    found : Judgements
        About crops of the photographs.
    photos : sequence of Photo
        All that were given to `crop_cases`, in the same order.
    thresholds
        As for `crop_rows`.
    **keys
        The condition, such as ``lens="median"``.

    Returns
    -------
    list of dict
        For each of `course_lib.traces.sets.CRITERIA`, as ``set``, the rows of ``crop_accuracy``
        that `crop_rows` makes. Sets of which nothing was judged are left out.
    """
    rows = []
    for name, members in split(photos).items():
        part = found.of(number for number, photo in enumerate(photos) if photo in members)
        if part.boxes:
            rows += crop_rows(part, thresholds, PAPER_SETS.get(name), set=name, **keys)
    return [each for each in rows if each["metric"] == "crop_accuracy"]


def _announced(cases: Iterable[Case], count: int, condition: str, say: Say) -> Iterator[Case]:
    for case in cases:
        say(f"Cropping photograph {case.photo + 1} of {count} · {condition}")
        yield case


def detectors(
    weights: Path | None = None, variants: Sequence[str] = VARIANTS
) -> tuple[dict[str, Judge], dict[str, float]]:
    """Open crop detectors as judges, with the thresholds of their cards.

    Raises
    ------
    UsageError
        When one of them is not there.
    """
    judges: dict[str, Judge] = {name: partial(look, detector(name, weights)) for name in variants}
    return judges, {name: threshold(name, weights) for name in variants}


def threshold(variant: str, weights: Path | None = None) -> float:
    """Read from a detector's card the score from which a picture counts as cropped."""
    card = read_card(find("traces", variant, weights))
    return float(card.config.get("threshold", THRESHOLD))


def evaluate(
    photos: PhotoSource,
    *,
    weights: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
    lens: str = "none",
    sets: bool = False,
    per_cell: int = 2,
    per_photo: int = 8,
) -> dict[str, Any]:
    """Measure all trained models on photographs that none of them was trained on.

    Parameters
    ----------
    photos : PhotoSource
        As cameras made them, neither cropped nor edited, best 1536 px long or more. Those too
        small for a part are left out of it.
    weights : Path, optional
        Folder of checkpoints; the shipped ones without it. Parts whose checkpoints are missing are
        left out.
    limit : int, optional
        Use only the first photographs.
    seed : int
    say : callable
        Shows progress.
    lens : "none" or "simulated"
        ``none``: photographs as they are, and controls without any lens. ``simulated``: through
        lenses drawn from measured ones, and for crops also through lenses of the median strength.
    sets : bool
        Measure crop detection by what is in the photographs, and nothing else; ``simulated`` then
        means lenses of the median strength alone.
    per_cell, per_photo : int
        Patches from each cell of a photograph; crops of a photograph, and as many whole pictures.

    Returns
    -------
    dict
        Results as `course_lib.results` wants them.

    Raises
    ------
    UsageError
        When there is no checkpoint at all, or the lens is unknown.
    PhotoError
        When no photograph can be used for anything.
    """
    if lens not in ("none", "simulated"):
        raise UsageError(f"lens {lens!r} is unknown: choose none or simulated.")
    photos = photos[:limit]
    needed = tuple(VARIANTS) if sets else CHECKPOINTS
    there = [name for name in needed if _is_there(name, weights)]
    if not there:
        find("traces", "joint", weights)  # says what there is and how to train
    if missing := [name for name in needed if name not in there]:
        say(f"Left out, for there are no weights of them: {', '.join(missing)}")
    readers = {
        name: READERS[name](weights) for name in BY_CHECKPOINT if BY_CHECKPOINT[name] in there
    }
    variants = [name for name in VARIANTS if name in there]
    judges, thresholds = detectors(weights, variants)
    patchwise = {name: judge for name, judge in judges.items() if name == "patch"}
    closed = {"fringe": pooled(readers["fringe"])} if "fringe" in readers else {}
    settings: dict[str, Any] = {"per_photo": per_photo, "seed": seed, "say": say}
    small, large = {**settings, "thresholds": thresholds}, {**settings, "scale": POOLED}
    if sets:
        glass = "none" if lens == "none" else "median"
        parts = [partial(set_table, judges, photos, lens=glass, **small)]
    else:
        parts = [
            partial(patch_table, readers, photos, lens=lens, per_cell=per_cell, seed=seed, say=say)
        ]
        for glass in ("none",) if lens == "none" else ("simulated", "median"):
            paper = PAPER_CROPS if glass == "none" else {}
            parts.append(partial(crop_table, judges, photos, lens=glass, paper=paper, **small))
            parts.append(partial(crop_table, closed, photos, lens=glass, **large))
        if lens == "none":
            parts.append(partial(crop_table, patchwise, photos, control=True, **small))
            parts.append(partial(crop_table, closed, photos, control=True, **large))
    rows: list[dict[str, Any]] = []
    for part in parts:
        if part.args[0]:  # some model to measure
            try:
                rows += part()
            except PhotoError as error:
                say(str(error))
    rows.sort(key=lambda each: METRICS.index(each["metric"]))  # keeps the order within a metric
    if not rows:
        raise PhotoError(f"None of {len(photos)} photographs is large enough to measure on.")
    return {
        "system": "traces",
        "checkpoint": ", ".join(there),
        "photos": len(photos),
        "seed": seed,
        "rows": rows,
    }


def _is_there(name: str, weights: Path | None) -> bool:
    try:
        find("traces", name, weights)
    except UsageError:
        return False
    return True
