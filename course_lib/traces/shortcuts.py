"""Shortcuts: what gives position or crop away where there is no lens to see.

Each function takes one of the `Defences` away, makes the examples once more, and shows them to a
probe: a handful of numbers that say what the shortcut is made of, and a logistic regression. Far
above chance without the defence and near chance with it means that this defence was needed, and
helps against this probe. A better probe may still find something.

Scenes are dead leaves, which look alike everywhere and went through no lens.

Source: B. Van Hoorick and C. Vondrick, "Dissecting Image Crops" (ICCV 2021), Appendix B.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import gcd
from typing import TYPE_CHECKING

import cv2
import numpy as np

from course_lib.geometry import FULL, Box
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.metrics import Estimate, bootstrap
from course_lib.traces.camera import PLAIN, Camera
from course_lib.traces.examples import (
    ASPECT,
    COURSE,
    DEFENDED,
    PATCHES,
    Defences,
    Example,
    Scale,
    draw_crop,
    make_example,
    patch_corners,
    pave,
)

if TYPE_CHECKING:
    from course_lib.traces.model import Order
    from course_lib.traces.stream import Batch

STORED = 376
"""Width of the pictures of `jpeg_grid`: no multiple of 32, see `grid_phases`."""
HALF = Scale(width=(192, 384), patch=24, thumbnail=COURSE.thumbnail, shortest=64)
"""Half of the course's widths and patches: four times as quick, and the thumbnail the same."""
SMALL = Scale(width=(160, 160), patch=24, thumbnail=(24, 16), shortest=64)
"""Pictures of which thousands are drawn in seconds, for `batchnorm`."""
STRONG = Lens(red=1.02, blue=1.01)
"""A lens whose fringes are 2 px wide in the corners of such a picture."""
STRAIGHT = Defences(random_width=False, resizes=0, random_interpolation=False)
"""The thumbnail is made in one step."""
CURVES = "off_cropped", "off_whole", "on_cropped", "on_whole"
BLOCK = 8
"""Side of the blocks that JPEG stores one by one."""


@dataclass(frozen=True, eq=False)
class Leak:
    """What a probe finds with a defence off, and with it on.

    Attributes
    ----------
    name : str
    off, on : Estimate
        How often the probe is right about pictures that it did not learn from.
    chance : float
        How often a guess is.
    evidence : dict of arrays
        What the probe saw, to be drawn; each function says what is in it.
    """

    name: str
    off: Estimate
    on: Estimate
    chance: float
    evidence: dict[str, np.ndarray] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name}: off {self.off}, on {self.on}, chance {self.chance:.3g}"


# --- the JPEG grid tells the cell ---------------------------------------------------------------


def jpeg_grid(
    count: int = 60, seed: int = 0, width: int = STORED, quality: tuple[int, int] = (70, 85)
) -> Leak:
    """Find a patch's cell by the blocks of a JPEG: the defence is ``jitter``.

    The patches of a cell always begin at the same place. If that place lies elsewhere in its 8×8
    block than the places of other cells do, the block borders in the patch tell the cell.

    Parameters
    ----------
    count : int
        Pictures, none of them cropped; each gives 16 patches of 48 px.
    seed : int
    width : int
        Of the pictures, in pixels. At multiples of 32, all cells begin alike and nothing leaks.
        There is only this one width, so nothing is resized after JPEG. A random width would widen
        the blocks too: this probe, which counts in eights, would then be lost, but a network could
        measure how wide they are first.
    quality : (lowest, highest)
        Of the JPEGs.

    Returns
    -------
    Leak
        Accuracy over 16 cells. Evidence: ``off`` and ``on``, (16, 2, 8) mean blockiness by cell,
        axis (x, y) and phase; ``phases``, (16, 2), where the cells' patches begin in their block.
    """
    scale = replace(COURSE, width=(width, width), shortest=width // 2)
    pictures = [(scene(np.random.default_rng((seed, i)), width), FULL) for i in range(count)]

    def look(defences: Defences) -> tuple[Estimate, np.ndarray]:
        made = examples(pictures, seed, scale, defences, Camera(jpeg=quality))
        seen = np.array([[blockiness(patch) for patch in one.patches] for one in made])
        features = seen.reshape(count * PATCHES, -1)  # an example's patches one after the other
        cells = np.concatenate([one.cells for one in made])
        return probe(features, cells, np.repeat(np.arange(count), PATCHES)), seen.mean(axis=0)

    (off, still), (on, moved) = look(replace(DEFENDED, jitter=0)), look(DEFENDED)
    evidence = {"off": still, "on": moved, "phases": grid_phases(width)}
    return Leak("JPEG grid", off, on, 1 / PATCHES, evidence)


def blockiness(patch: np.ndarray) -> np.ndarray:
    """Measure steps that stand out from the steps beside them, by their place modulo 8.

    Parameters
    ----------
    patch : HxWx3 uint8

    Returns
    -------
    (2, 8) array
        For x and y: at phase p, the mean log contrast of the steps before pixels p, p + 8, …, minus
        the mean of all phases.
    """
    gray = patch.mean(axis=2)
    rows = []
    for lines in (gray.T, gray):
        step = np.diff(lines, axis=0)
        lonely = np.abs(step[1:-1] - (step[:-2] + step[2:]) / 2).mean(axis=1)  # before pixel 2, 3 …
        rows.append([np.log(lonely[(p - 2) % BLOCK :: BLOCK] + 0.1).mean() for p in range(BLOCK)])
    found = np.array(rows)
    return found - found.mean(axis=1, keepdims=True)


def grid_phases(width: int, patch: int = COURSE.patch) -> np.ndarray:
    """Say where in an 8×8 block the unmoved patch of each cell begins: (16, 2), x and y.

    Neighbouring cells lie width / 4 apart. At a multiple of 32 that is a multiple of 8.
    """
    shape = round(width / ASPECT), width
    return patch_corners(np.random.default_rng(), shape, patch, jitter=0) % BLOCK


# --- resampling tells the size, and the size tells the crop -------------------------------------


def resampling(
    count: int = 160, seed: int = 0, scale: Scale = HALF, off: Defences = STRAIGHT
) -> Leak:
    """Tell cropped pictures by their thumbnail: the defences are ``resizes`` and interpolation.

    A resize by 24/7 takes every seventh column from the same place between pixels, and some places
    are sharper than others: a rhythm of 7, which a crop, being smaller, does not have. And a large
    picture that is made small without smoothing folds fine detail into coarse, more than a small
    one. Three resizes at random sizes break the rhythm, random interpolations drown most of the
    rest; over 1,000 pictures this probe falls from 84 to 58 in 100, not quite to chance. The width
    is left as it is, because a random one would help too: the thumbnail must be safe without.

    Parameters
    ----------
    count : int
        Pictures, every second one cropped.
    seed : int
    scale : Scale
    off : Defences
        Which defences are missing. Without ``random_interpolation`` alone, the rhythm is gone and
        the folding is not.

    Returns
    -------
    Leak
        Accuracy of cropped or not. Evidence: ``frequency`` (12,) in cycles per pixel;
        ``off_cropped``, ``off_whole``, ``on_cropped``, ``on_whole`` (12,), mean `spectrum`;
        ``off_rhythm``, ``on_rhythm``, (2, period), mean `rhythm` of cropped and of whole pictures.
    """
    pictures = [framed(i, seed, scale) for i in range(count)]
    period = scale.thumbnail[0] // gcd(scale.thumbnail[0], scale.width[1])

    def find(example: Example) -> np.ndarray:
        return np.append(rhythm(example.thumbnail, period), spectrum(example.thumbnail))

    found, *missing = tell_crops(pictures, seed, scale, off, find)
    left, *present = tell_crops(pictures, seed, scale, replace(DEFENDED, random_width=False), find)
    means = missing + present
    evidence = {name: mean[period:] for name, mean in zip(CURVES, means, strict=True)}
    evidence["off_rhythm"], evidence["on_rhythm"] = np.array(means)[:, :period].reshape(2, 2, -1)
    evidence["frequency"] = (np.arange(RINGS) + 0.5) / (2 * RINGS)
    return Leak("resampling", found, left, 0.5, evidence)


def rhythm(picture: np.ndarray, period: int) -> np.ndarray:
    """Average the log of second differences along x over columns that lie a period apart.

    Returns
    -------
    (period,) array
        At place k, columns k, k + period, …, relative to the columns around them.

    Source: A. Gallagher, "Detection of linear and cubic interpolation in JPEG compressed images",
    2005, which folds by a Fourier transform because it does not know the period.
    """
    gray = picture.mean(axis=2)
    bend = np.abs(gray[:, :-2] - 2 * gray[:, 1:-1] + gray[:, 2:])  # at columns 1, 2 …
    detail = np.log(bend + 1).mean(axis=0)
    detail -= cv2.blur(detail[None], (period, 1))[0]
    return np.array([detail[(k - 1) % period :: period].mean() for k in range(period)])


RINGS = 12
"""Rings of a spectrum, each 1/24 cycles per pixel wide."""


def spectrum(picture: np.ndarray) -> np.ndarray:
    """Average the log power of gray in rings of equal frequency: (12,), relative to rings 1 to 3.

    The last ring ends at half a cycle per pixel; the corners of the spectrum are left out.
    """
    gray = picture.mean(axis=2)
    height, width = gray.shape
    calm = (gray - gray.mean()) * np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.rfft2(calm)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    ring = np.minimum((frequency * 2 * RINGS).astype(int), RINGS).ravel()
    mean = np.bincount(ring, power.ravel(), RINGS + 1) / np.bincount(ring, minlength=RINGS + 1)
    level = np.log(mean[:RINGS] + 1e-3)
    return level - level[1:4].mean()


# --- the share that a patch shows tells the crop ------------------------------------------------


def patch_scale(count: int = 80, seed: int = 0, scale: Scale = HALF) -> Leak:
    """Tell cropped pictures by how much of the thumbnail a patch fills: see ``random_width``.

    Parameters
    ----------
    count : int
        Pictures, every second one cropped.
    seed : int
    scale : Scale

    Returns
    -------
    Leak
        Accuracy of cropped or not. Evidence: ``width`` (13,), to which the thumbnail was enlarged,
        and ``off_cropped``, ``off_whole``, ``on_cropped``, ``on_whole`` (13,), how well patches
        then match it (see `matches`).
    """
    pictures = [framed(i, seed, scale) for i in range(count)]
    widths = np.linspace(*scale.width, 13).round().astype(int)

    def find(example: Example) -> np.ndarray:
        return matches(example, widths)

    narrow = replace(DEFENDED, random_width=False)
    found, *missing = tell_crops(pictures, seed, scale, narrow, find)
    left, *present = tell_crops(pictures, seed, scale, DEFENDED, find)
    curves = dict(zip(CURVES, missing + present, strict=True))
    return Leak("patch scale", found, left, 0.5, curves | {"width": widths})


def matches(example: Example, widths: Sequence[int] | np.ndarray, jitter: int = 8) -> np.ndarray:
    """Enlarge the thumbnail to several widths and see at which its patches fit in best.

    Parameters
    ----------
    example : Example
    widths : (n,) int
        In pixels. At the width of the picture from which patches were cut, they fit.
    jitter : int
        How far patches may lie from the middle of their cell, in pixels.

    Returns
    -------
    (n,) array
        Normalised cross-correlation, −1 to 1: the best within reach of each patch, averaged.
    """
    size = example.patches.shape[1]
    found = []
    for width in widths:
        shape = round(width / ASPECT), int(width)
        large = cv2.resize(example.thumbnail, shape[::-1], interpolation=cv2.INTER_LINEAR)
        corners = patch_corners(np.random.default_rng(), shape, size, jitter=0)
        best = []
        for patch, (x, y) in zip(example.patches, corners, strict=True):
            top, left = max(y - jitter, 0), max(x - jitter, 0)
            around = large[top : y + size + jitter, left : x + size + jitter]
            best.append(cv2.matchTemplate(around, patch, cv2.TM_CCOEFF_NORMED).max())
        found.append(np.mean(best))
    return np.array(found)


# --- sharpness tells the crop --------------------------------------------------------------------


def enlargement(count: int = 160, seed: int = 0, scale: Scale = COURSE) -> Leak:
    """Tell cropped pictures by how sharp their patches are: the defence is ``texture``.

    A photograph has so many pixels and no more. Brought to one width, a crop of it is enlarged more
    than the whole, and is blurrier. Random widths blur both and hide little of the difference.
    Patches from a texture laid to fit hide it: see `textured_patches`.

    Parameters
    ----------
    count : int
        Pictures, every second one cropped.
    seed : int
    scale : Scale

    Returns
    -------
    Leak
        Accuracy of cropped or not, all of `Defences` on in both cases. Evidence: ``frequency``
        (12,) in cycles per pixel; ``off_cropped``, ``off_whole``, ``on_cropped``, ``on_whole``
        (12,), mean `spectrum` of the patches.
    """
    width = scale.width[1]
    made: dict[str, list[Example]] = {"off": [], "on": []}
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        box = draw_crop(rng) if number % 2 else FULL
        tile = scene(rng, width // 2)
        picture = pave(tile, (round(width / ASPECT), width), rng)
        for state, texture in (("off", None), ("on", tile)):
            again = np.random.default_rng((seed, number, 1))
            made[state].append(make_example(picture, again, scale, box=box, texture=texture))
    judged = {state: judge_crops(each, _detail) for state, each in made.items()}
    means = [mean for _, *two in judged.values() for mean in two]
    evidence = dict(zip(CURVES, means, strict=True))
    evidence["frequency"] = (np.arange(RINGS) + 0.5) / (2 * RINGS)
    return Leak("enlargement", judged["off"][0], judged["on"][0], 0.5, evidence)


def _detail(example: Example) -> np.ndarray:
    """Average the spectra of an example's patches: (12,)."""
    return np.mean([spectrum(patch) for patch in example.patches], axis=0)


# --- the batch tells the cell -------------------------------------------------------------------


def batchnorm(
    steps: int = 60, seed: int = 0, batch: int = 16, lens: Lens = STRONG, held_out: int = 8
) -> Leak:
    """Train on batches that hold one cell each, then without batches: see ``shuffle_labels``.

    Batch normalisation measures a patch against the others of its batch. If all of them are from
    one cell, a network learns to read their common statistics. Alone, no patch has any.

    Batches can only pool what single patches show. So here, and here only, there is a lens, a
    strong one; with ``Lens()`` neither network learns anything.

    Parameters
    ----------
    steps : int
        Of training, for each of the two networks.
    seed : int
    batch : int
        Pictures in a batch, none cropped. A multiple of 16, or rolling does not mix them evenly.
    lens : Lens
    held_out : int
        Batches of new pictures, on which both networks are tested.

    Returns
    -------
    Leak
        What the accuracy on new pictures owes to their batch: its fall from training mode, where
        batches are normalised by themselves, to evaluation mode. Nothing would be 0, so that is
        ``chance``. Evidence: ``off_loss``, ``on_loss`` (steps,) of training, where 2.77 is ln 16;
        ``off_accuracy``, ``on_accuracy`` (2,) on new pictures in training and evaluation mode.
    """
    from course_lib.traces.stream import ExampleStream, Recipe

    stream = ExampleStream(None, Recipe(SMALL, lens=lens, box=FULL), batch, seed=seed)
    batches = [stream.batch(step) for step in range(steps + held_out)]
    owed, evidence = {}, {}
    for name, defences in (("off", replace(DEFENDED, shuffle_labels=False)), ("on", DEFENDED)):
        losses, right = _trained_in_turns(batches[:steps], batches[steps:], defences, seed)
        owed[name] = bootstrap(
            (right[0] - right[1]).ravel(), groups=np.repeat(np.arange(held_out), batch * PATCHES)
        )
        evidence[f"{name}_loss"], evidence[f"{name}_accuracy"] = losses, right.mean(axis=(1, 2))
    return Leak("batch normalisation", owed["off"], owed["on"], 0.0, evidence)


def _trained_in_turns(
    train: "Sequence[Batch]", test: "Sequence[Batch]", defences: Defences, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Train a small patch network: its losses, and (2, batches, patches) which it gets right."""
    import torch
    from torch.nn.functional import cross_entropy

    from course_lib.traces.model import FringeNet, PatchNet, in_turns

    order: Order = "rolled" if defences.shuffle_labels else "aligned"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PatchNet(FringeNet(maps=12, hidden=64))
        optimizer = torch.optim.Adam(network.parameters(), 5e-3)
        losses = []
        for batch in train:
            votes = network.locate(in_turns(network.embed, batch.patches / 255, order))
            loss = cross_entropy(votes.flatten(0, 1), batch.cells.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        right = np.empty((2, len(test), test[0].cells.numel()))
        for mode in (0, 1):
            network.train(mode == 0)
            for i, batch in enumerate(test):
                with torch.no_grad():
                    votes = network.locate(in_turns(network.embed, batch.patches / 255, order))
                right[mode, i] = (votes.argmax(dim=2) == batch.cells).flatten().numpy()
    return np.array(losses), right


# --- what all of them need ----------------------------------------------------------------------


def scene(rng: np.random.Generator, width: int, detail: float = 2.0) -> np.ndarray:
    """Draw dead leaves of 3:2; ``detail`` is the radius of the smallest leaves in pixels."""
    return dead_leaves((round(width / ASPECT), width), rng, rmin=detail)


def framed(number: int, seed: int, scale: Scale) -> tuple[np.ndarray, Box]:
    """Lay a picture of copies of a scene that is as large as the crop: every second one is cropped.

    Cropped or not, what is seen shows one scene from side to side. So neither the scene nor how
    large its things are says which it is: only the number of pixels does.
    """
    rng = np.random.default_rng((seed, number))
    box = draw_crop(rng) if number % 2 else FULL
    width = scale.width[1]
    tile = scene(rng, round(width * box.width), 2 * box.width)
    return pave(tile, (round(width / ASPECT), width), rng), box


def examples(
    pictures: Sequence[tuple[np.ndarray, Box]],
    seed: int,
    scale: Scale,
    defences: Defences,
    camera: Camera = PLAIN,
) -> list[Example]:
    """Make an example of each picture and box, without any lens."""
    return [
        make_example(
            picture, np.random.default_rng((seed, i, 1)), scale, defences, camera, None, box
        )
        for i, (picture, box) in enumerate(pictures)
    ]


def tell_crops(
    pictures: Sequence[tuple[np.ndarray, Box]],
    seed: int,
    scale: Scale,
    defences: Defences,
    find: Callable[[Example], np.ndarray],
) -> tuple[Estimate, np.ndarray, np.ndarray]:
    """Let a probe tell cropped pictures: its accuracy, and mean features of cropped and whole."""
    return judge_crops(examples(pictures, seed, scale, defences), find)


def judge_crops(
    made: Sequence[Example], find: Callable[[Example], np.ndarray]
) -> tuple[Estimate, np.ndarray, np.ndarray]:
    """Do the same with examples that are there already."""
    features = np.array([find(one) for one in made])
    cropped = np.array([one.cropped for one in made])
    whose = np.arange(len(made))
    return probe(features, cropped, whose), features[cropped].mean(0), features[~cropped].mean(0)


def probe(features: np.ndarray, labels: np.ndarray, pictures: np.ndarray) -> Estimate:
    """Learn from half of the pictures to guess the labels of the other half, and the reverse.

    Parameters
    ----------
    features : (n, k) array
    labels : (n,) array
    pictures : (n,) int
        Which belong together, counted from 0. Pictures 0, 1, 4, 5, … are one half.

    Returns
    -------
    Estimate
        How often the guess is right; the interval draws whole pictures.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    half = pictures // 2 % 2
    right = np.empty(len(labels), bool)
    for part in (0, 1):
        learn, guess = half != part, half == part
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        model.fit(features[learn], labels[learn])
        right[guess] = model.predict(features[guess]) == labels[guess]
    return bootstrap(right, groups=pictures)
