"""From measured features to votes for the 16 cells: boosted trees and a small perceptron.

Both are trained in seconds on features of some thousand patches and stored as plain arrays: a
tree's nodes and a perceptron's weights are numbers, and nothing has to be unpickled to use them.
scikit-learn grows the trees; `Trees` walks them, in NumPy.

Training patches are multiplied in two ways that leave the picture alone. Mirrored photographs are
photographs (`course_lib.traces.baseline.mirror_features`). And shifts add: what another lens would
have done to the same patch is its shift plus the difference of the two lenses there (`relens`), so
that a few dozen cameras become as many as one likes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from course_lib.errors import CourseError, UsageError
from course_lib.traces.baseline import (
    BLURS,
    COLUMN,
    FEATURES,
    MAIN,
    SIGNS,
    ZOOM_PRIOR,
    fringe_features,
    mirror_features,
    optical_center,
)
from course_lib.traces.examples import PATCHES
from course_lib.traces.patches import PatchSet

SQUASH = 3.0
"""Standardised features beyond this are drawn in, so that no single one can shout."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Gradient-boosted trees as arrays.

    Attributes
    ----------
    feature : (nodes,) int16
        Column that a node asks about; −1 in a leaf.
    threshold : (nodes,) float64
        A patch goes left where its feature is at most this.
    left, right : (nodes,) int32
        Next node.
    value : (nodes,) float64
        What a leaf adds.
    root : (rounds, classes) int32
        First node of each tree.
    start : (classes,) float64
        Scores before the first tree.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    root: np.ndarray
    start: np.ndarray

    @classmethod
    def of_sklearn(cls, model: Any) -> "Trees":
        """Take the numbers out of a fitted `HistGradientBoostingClassifier`.

        scikit-learn has no public access to them; a change of its private layout is met by an
        error here, when trees are trained, and never by one who uses stored trees.
        """
        try:
            rounds = [[tree.nodes for tree in each] for each in model._predictors]
            start = np.ravel(model._baseline_prediction)
        except AttributeError as error:
            raise CourseError(
                f"This release of scikit-learn keeps its trees elsewhere ({error})."
            ) from None
        sizes = np.array([[len(nodes) for nodes in each] for each in rounds])
        ends = sizes.cumsum().reshape(sizes.shape)
        root = (ends - sizes).astype(np.int32)
        nodes = np.concatenate([nodes for each in rounds for nodes in each])
        offset = np.repeat(root.ravel(), sizes.ravel())
        leaf = nodes["is_leaf"].astype(bool)
        return cls(
            np.where(leaf, -1, nodes["feature_idx"]).astype(np.int16),
            np.where(leaf, 0, nodes["num_threshold"]).astype(np.float64),
            (nodes["left"] + offset).astype(np.int32),
            (nodes["right"] + offset).astype(np.int32),
            np.where(leaf, nodes["value"], 0).astype(np.float64),
            root,
            np.asarray(start, np.float64),
        )

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Sum the trees: (n, classes) float64, as scikit-learn's raw predictions."""
        total = np.tile(self.start, (len(features), 1))
        rows = np.arange(len(features))[:, None]
        for roots in self.root:
            node = np.tile(roots, (len(features), 1))
            while (inner := self.feature[node] >= 0).any():
                asked = features[rows, np.maximum(self.feature[node], 0)]
                onward = np.where(asked <= self.threshold[node], self.left[node], self.right[node])
                node = np.where(inner, onward, node)
            total += self.value[node]
        return total


@dataclass(frozen=True, eq=False)
class Perceptron:
    """A network of two hidden layers on standardised features.

    Attributes
    ----------
    mean, deviation : (features,) float32
        Features that mirroring can turn round have mean 0.
    w1, b1, w2, b2, w3, b3 : float32
        Layers, (outputs, inputs) and (outputs,).
    """

    mean: np.ndarray
    deviation: np.ndarray
    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    b3: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Scores (logits) of the cells: (n, 16)."""
        x = standardise(features, self.mean, self.deviation)
        x = np.maximum(x @ self.w1.T + self.b1, 0)
        x = np.maximum(x @ self.w2.T + self.b2, 0)
        return x @ self.w3.T + self.b3


def standardise(features: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Bring features to mean 0 and deviation 1, and draw in what lies far out."""
    return SQUASH * np.tanh((features - mean) / (SQUASH * deviation))


Voter = Trees | Perceptron


@dataclass(frozen=True, eq=False)
class PatchReader:
    """Votes for the cell of a patch, from its features.

    Attributes
    ----------
    voters : tuple of Trees and Perceptron
        Their log probabilities are averaged, over the four mirrorings of each patch too.
    temperature : float
        Scores are divided by it, so that stated confidences hold.
    """

    voters: tuple[Voter, ...]
    temperature: float = 1.0

    def votes(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each cell: (n, 16), rows sum to 1."""
        if features.ndim != 2 or features.shape[1] != len(FEATURES):
            raise UsageError(f"Features are (n, {len(FEATURES)}); these are {features.shape}.")
        total = np.zeros((len(features), 4, 4))
        for voter in self.voters:
            for x in (1, -1):
                for y in (1, -1):
                    signs = (SIGNS[0] if x < 0 else 1) * (SIGNS[1] if y < 0 else 1)
                    scores = log_softmax(voter.scores(features * signs))
                    total += scores.reshape(-1, 4, 4)[:, ::y, ::x]
        mean = total.reshape(-1, PATCHES) / (4 * len(self.voters))
        return np.exp(log_softmax(mean / self.temperature))

    def tensors(self) -> dict[str, np.ndarray]:
        """Return everything as named arrays, to be stored."""
        named = {"temperature": np.array([self.temperature], np.float64)}
        for i, voter in enumerate(self.voters):
            kind = type(voter).__name__.lower()
            for field in fields(voter):
                named[f"{i}.{kind}.{field.name}"] = getattr(voter, field.name)
        return named

    @classmethod
    def from_tensors(cls, named: Mapping[str, Any]) -> "PatchReader":
        """Make a reader of what `tensors` returned.

        Raises
        ------
        CourseError
            An array is missing or of no known kind.
        """
        kinds: dict[str, type[Voter]] = {"trees": Trees, "perceptron": Perceptron}
        arrays = {name: np.asarray(value) for name, value in named.items()}
        try:
            temperature = float(arrays["temperature"][0])
            heads = sorted({tuple(name.split(".")[:2]) for name in arrays if "." in name})
            voters = []
            for number, kind in heads:
                parts = {f.name: arrays[f"{number}.{kind}.{f.name}"] for f in fields(kinds[kind])}
                voters.append(kinds[kind](**parts))
        except (KeyError, ValueError) as error:
            raise CourseError(f"These are not the arrays of a patch reader: {error}.") from None
        return cls(tuple(voters), temperature)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Log probabilities of (n, k) scores."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Measured:
    """Features of training patches, and where each patch was.

    Attributes
    ----------
    features : (n, len(FEATURES)) float32
    cells : (n,) int
    positions : (n, 2) float
        Middles (x, y) of the patches from the middle of their photograph, in pixels.
    photos : (n,) int
        Which photograph each patch is from; 0, 1, 2, ...
    """

    features: np.ndarray
    cells: np.ndarray
    positions: np.ndarray
    photos: np.ndarray

    def __len__(self) -> int:
        return len(self.cells)

    def where(self, chosen: np.ndarray) -> "Measured":
        """Return the chosen patches."""
        return Measured(*(getattr(self, field.name)[chosen] for field in fields(self)))


def measure(patches: PatchSet) -> Measured:
    """Measure the features of a set of patches."""
    features = fringe_features(patches.patches)
    return Measured(features, patches.cells, patches.positions, patches.photos)


def photo_zooms(measured: Measured) -> np.ndarray:
    """Fit the red and blue m − 1 of each photograph's lens: (photos, 2)."""
    zooms = np.zeros((int(measured.photos.max()) + 1, 2))
    for photo in np.unique(measured.photos):
        own = measured.photos == photo
        zooms[photo] = optical_center(measured.features[own], measured.positions[own])[1]
    return zooms


def responses(measured: Measured, zooms: np.ndarray) -> dict[str, float]:
    """How much of a true shift each estimate shows.

    Less than all of it at small blurs: compression leaves fine colour where green is.

    Returns
    -------
    dict
        Name of a shift feature without its axis → share, 0.2 to 1.2.
    """
    found = {}
    for channel, name in _shift_names():
        true = zooms[measured.photos, channel, None] * measured.positions
        seen = measured.features[:, [COLUMN[f"{name} x"], COLUMN[f"{name} y"]]]
        wide = np.abs(true) > 0.2
        share = 1.0
        if wide.sum() >= 100:
            share = float(np.median((seen * np.sign(true))[wide]) / np.median(np.abs(true[wide])))
        found[name] = float(np.clip(share, 0.2, 1.2))
    return found


def _shift_names() -> list[tuple[int, str]]:
    """Channel (0 red, 1 blue) and name of every shift that is among the features."""
    kinds = [*(str(blur) for blur in BLURS), "coarse"]
    return [(i, f"{channel} {kind}") for i, channel in enumerate(("red", "blue")) for kind in kinds]


def relens(
    features: np.ndarray, added: np.ndarray, stretch: np.ndarray, shares: Mapping[str, float]
) -> np.ndarray:
    """Features of the same patches as another lens would have shown them.

    Parameters
    ----------
    features : (n, len(FEATURES)) array
    added : (n, 2, 2) array
        What to add to red's and blue's shift, (channel, axis), in pixels.
    stretch : (n, 2) array
        What to add to red's and blue's m − 1.
    shares : mapping
        From `responses`.
    """
    changed = features.copy()
    for channel, name in _shift_names():
        for axis, letter in enumerate("xy"):
            step = shares[name] * added[:, channel, axis]
            error = np.exp(features[:, COLUMN[f"{name} {letter} log error"]])
            changed[:, COLUMN[f"{name} {letter}"]] += step
            changed[:, COLUMN[f"{name} {letter} in errors"]] += step / error
        # The prior on a patch's own zoom holds back what its texture cannot show.
        error = np.exp(features[:, COLUMN[f"{name} zoom log error"]])
        shown = np.clip(1 - (error / ZOOM_PRIOR) ** 2, 0, 1)
        changed[:, COLUMN[f"{name} zoom"]] += 1e3 * shown * shares[name] * stretch[:, channel]
    return changed


@dataclass(frozen=True)
class Augmentation:
    """How training patches are varied.

    Attributes
    ----------
    share : float
        Of patches that get another lens; the others keep their own.
    jitter : float
        The new lens is another training photograph's, exp(jitter · normal) times as strong.
    center : float
        Standard deviation in pixels of its centre.
    """

    share: float = 0.5
    jitter: float = 0.25
    center: float = 40.0


def train_perceptron(
    measured: Measured,
    seed: int = 0,
    epochs: int = 8,
    hidden: int = 48,
    dropout: float = 0.2,
    augmentation: Augmentation = Augmentation(),
) -> Perceptron:
    """Train a perceptron on measured patches, mirrored and seen through other lenses.

    Parameters
    ----------
    measured : Measured
    seed : int
    epochs : int
        How often each patch is seen in each of its four mirrorings.
    hidden : int
        Width of both hidden layers.
    dropout : float
    augmentation : Augmentation
    """
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    zooms = photo_zooms(measured)
    shares = responses(measured, zooms)
    even = SIGNS.min(axis=0) > 0
    mean = (measured.features.mean(axis=0) * even).astype(np.float32)
    deviation = np.sqrt(((measured.features - mean) ** 2).mean(axis=0)) + 1e-6
    width = measured.features.shape[1]
    layers = [nn.Linear(width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, PATCHES)]
    hide = nn.Dropout(dropout)
    net = nn.Sequential(layers[0], nn.ReLU(), hide, layers[1], nn.ReLU(), hide, layers[2])
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.05)
    batch = 512
    steps = max(4 * epochs * len(measured) // batch, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps + 1)
    for _ in range(steps):
        chosen = rng.integers(0, len(measured), batch)
        features, cells = _varied(measured, chosen, zooms, shares, augmentation, rng)
        x = torch.from_numpy(standardise(features, mean, deviation).astype(np.float32))
        loss = cross_entropy(net(x), torch.from_numpy(cells))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    weights = [p.detach().numpy().copy() for layer in layers for p in (layer.weight, layer.bias)]
    return Perceptron(mean, deviation.astype(np.float32), *weights)


def _varied(
    measured: Measured,
    chosen: np.ndarray,
    zooms: np.ndarray,
    shares: Mapping[str, float],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Chosen patches, some through another lens, mirrored at random."""
    count = len(chosen)
    known = np.unique(measured.photos)
    lens = zooms[known[rng.integers(0, len(known), count)]]
    lens = lens * np.exp(augmentation.jitter * rng.standard_normal((count, 1)))
    lens += 5e-5 * rng.standard_normal((count, 2))
    other = rng.random((count, 1)) < augmentation.share
    stretch = (lens - zooms[measured.photos[chosen]]) * other
    center = augmentation.center * rng.standard_normal((count, 1, 2)) * other[..., None]
    place = measured.positions[chosen][:, None]
    added = stretch[..., None] * place - lens[..., None] * center
    features = relens(measured.features[chosen], added, stretch, shares)
    x, y = rng.random((2, count)) < 0.5
    mirrored, cells = mirror_features(features, measured.cells[chosen], x, y)
    return mirrored.astype(np.float32), cells


def train_trees(
    measured: Measured,
    seed: int = 0,
    rounds: int = 60,
    leaves: int = 12,
    copies: int = 2,
    augmentation: Augmentation = Augmentation(),
) -> Trees:
    """Grow boosted trees on measured patches, mirrored and seen through other lenses.

    Parameters
    ----------
    measured : Measured
    seed : int
    rounds : int
        Of boosting; each adds a tree for every cell.
    leaves : int
        Of a tree, at most.
    copies : int
        How many varied copies of each patch to learn from.
    augmentation : Augmentation
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(seed)
    zooms = photo_zooms(measured)
    shares = responses(measured, zooms)
    every = np.arange(len(measured))
    made = [_varied(measured, every, zooms, shares, augmentation, rng) for _ in range(copies)]
    features, cells = (np.concatenate(part) for part in zip(*made, strict=True))
    model = HistGradientBoostingClassifier(
        max_iter=rounds,
        learning_rate=0.1,
        max_leaf_nodes=leaves,
        min_samples_leaf=max(min(80, len(features) // 40), 1),
        l2_regularization=5.0,
        early_stopping=False,
        random_state=seed,
    )
    model.fit(features, cells)
    trees = Trees.of_sklearn(model)
    if trees.root.shape[1] != PATCHES:
        raise UsageError("Patches of all 16 cells are needed to train votes for them.")
    return trees


def simple_columns() -> list[int]:
    """Columns of the plainest baseline: shifts at the main blur with errors, and brightness."""
    return [
        i
        for i, feature in enumerate(FEATURES)
        if feature.name.startswith((f"red {MAIN}", f"blue {MAIN}")) or "slope" in feature.name
    ]
