"""What a thumbnail cannot show: a U-Net adds detail to what the code brought back.

The code says how bright and how coloured the blocks of the lost area are, and with which slopes.
Beyond that, what is visible tells how such blocks usually look. The network sees the recovered
picture, where it is known, and how far off the decoder thinks that it is; what it adds counts in
units of that error. So a sample that was read badly does not drown the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from course_lib.attacks.chain import published
from course_lib.checkpoints import describe_photos, find, load
from course_lib.clrnet.coded import Coded
from course_lib.clrnet.frame import rounded, squared
from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import Box, crop
from course_lib.photos import PhotoSource
from course_lib.training import Task, cosine
from course_lib.unet import UNet

REFINER = "refiner"
"""Name of the checkpoint."""
ERROR = 16.0
"""Gray values by which errors are divided before the network sees them."""
AREAS = 0.45, 0.95
"""Range of the share of the area that is kept."""
SMALLEST_CUT = 0.6
"""Share of a photograph's shorter side from which on squares are cut for training."""
QUALITIES = 50, 95
"""Range of JPEG qualities; one picture in four is not compressed."""
TRIES = 4
"""Attempts for each example: decoding may fail."""
WARM_UP = 50
"""Steps in which the learning rate rises."""


class Examples(NamedTuple):
    """What was recovered, and what it should be.

    Attributes
    ----------
    recovered : (n, 3, side, side) uint8
    whole : (n, 3, side, side) uint8
    lost : (n, 1, side, side) uint8
        1 where nothing was visible.
    error : (n,) float32
        Expected by the decoder, in gray values.
    """

    recovered: Tensor
    whole: Tensor
    lost: Tensor
    error: Tensor


class Refiner(UNet):
    """Add to a recovered picture what its thumbnail could not say.

    Parameters
    ----------
    width : int
        Channels at full size.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__(3 + 1 + 1, 3, width)
        nn.init.zeros_(self.head.weight)  # at first nothing is added
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(  # type: ignore[override]
        self, recovered: Tensor, lost: Tensor, error: Tensor
    ) -> Tensor:
        """Refine.

        Parameters
        ----------
        recovered : (n, 3, h, w) Tensor
            Gray values, 0 to 255; sides divide by 8.
        lost : (n, 1, h, w) Tensor
            1 where nothing was visible.
        error : (n,) Tensor
            Expected in the lost area, in gray values.

        Returns
        -------
        (n, 3, h, w) Tensor
            Gray values; what was visible stays as it is.
        """
        off = error[:, None, None, None]
        seen = torch.cat([recovered / 128 - 1, lost, lost * off / ERROR], dim=1)
        return recovered + lost * off * super().forward(seen)

    @torch.inference_mode()
    def refined(self, picture: np.ndarray, visible: tuple[int, ...], error: float) -> np.ndarray:
        """Refine one picture: (side, side, 3) of 0..255 to the same, float32."""
        lost = torch.from_numpy(lost_area(picture.shape[:2], visible))[None, None].float()
        batch = torch.from_numpy(np.asarray(picture, np.float32)).permute(2, 0, 1)[None]
        made = self(batch, lost, torch.tensor([error], dtype=torch.float32))
        result: np.ndarray = made[0].permute(1, 2, 0).numpy()
        return result


def lost_area(shape: tuple[int, ...], visible: tuple[int, ...]) -> np.ndarray:
    """Mark what is not visible: bool (h, w)."""
    left, top, right, bottom = visible
    lost = np.ones(shape, bool)
    lost[top:bottom, left:right] = False
    return lost


def share_left(made: Tensor, batch: Examples) -> Tensor:
    """Divide the squared error of the lost area by what it was before: (n,), 1 for nothing gained.

    Parameters
    ----------
    made : (n, 3, h, w) Tensor
        Gray values.
    batch : Examples
    """
    lost, whole = batch.lost.float(), batch.whole.float()
    before, after = (
        (lost * (x - whole) ** 2).mean((1, 2, 3)) for x in (batch.recovered.float(), made)
    )
    return after / before.clamp(min=1e-3)


def examples(photos: PhotoSource, count: int, side: int, seed: int) -> Examples:
    """Protect, crop, publish and decode squares of photographs.

    Parameters
    ----------
    photos : PhotoSource
    count : int
    side : int
        Resolution of the code.
    seed : int
        The same seed gives the same examples.

    Raises
    ------
    PhotoError
        When too few codes can be read, as in photographs without any picture.
    """
    order = np.random.default_rng(seed).permutation(len(photos))
    made: list[tuple[np.ndarray, np.ndarray, np.ndarray, float]] = []
    for number in range(TRIES * count):
        rng = np.random.default_rng((seed, number))
        found = _example(photos[int(order[number % len(order)])].read(), side, rng)
        if found is not None:
            made.append(found)
        if len(made) == count:
            break
    else:
        raise PhotoError(f"Only {len(made)} of {count} codes could be read: give other photos.")
    recovered, whole, lost, error = zip(*made, strict=True)
    before, truth = (torch.from_numpy(np.stack(x)).permute(0, 3, 1, 2) for x in (recovered, whole))
    masks = torch.from_numpy(np.stack(lost))[:, None].to(torch.uint8)
    return Examples(before, truth, masks, torch.tensor(error, dtype=torch.float32))


def _example(
    photo: np.ndarray, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float] | None:
    short = min(photo.shape[:2])
    cut = max(32, round(short * rng.uniform(SMALLEST_CUT, 1)))
    top, left = (int(rng.integers(0, n - cut + 1)) for n in photo.shape[:2])
    whole = rounded(squared(photo[top : top + cut, left : left + cut], side))
    if rng.random() < 0.5:
        whole = np.ascontiguousarray(whole[:, ::-1])
    hider = Coded(int(rng.integers(2**31)), side)
    box = _drawn_box(side, rng)
    quality = int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))
    attack = "none" if rng.random() < 0.25 else f"jpeg{quality}"
    result = hider.recover(published(crop(hider.protect(whole), box), attack), box)
    lost = lost_area((side, side), box.to_pixels((side, side)))
    if not result.decoded.learned or not lost.any():
        return None
    return rounded(result.picture), whole, lost, result.error


def _drawn_box(side: int, rng: np.random.Generator) -> Box:
    area, ratio = rng.uniform(*AREAS), np.exp(rng.uniform(-0.3, 0.3))
    width, height = (
        int(np.clip(round(side * np.sqrt(area * r)), side // 2, side)) for r in (ratio, 1 / ratio)
    )
    left, top = int(rng.integers(0, side - width + 1)), int(rng.integers(0, side - height + 1))
    return Box.from_pixels(left, top, left + width, top + height, (side, side))


@dataclass(frozen=True)
class Budget:
    """How much is trained with a profile.

    Parameters
    ----------
    side : int
        Resolution of the code.
    count : int
        Decoded examples, made once; each is seen in eight orientations.
    steps, batch : int
    width : int
        Of the network.
    """

    side: int
    count: int
    steps: int
    batch: int
    width: int = 16


BUDGETS = {
    "smoke": Budget(64, 6, 3, 2, 4),
    "cpu": Budget(128, 1600, 1500, 8),
    "gpu": Budget(256, 4000, 6000, 16, 32),
}
"""What each profile trains."""


class RefinerTask(Task):
    """Train the network that refines.

    Parameters
    ----------
    budget : Budget
    photos : PhotoSource
    seed : int
    """

    system, variant, unit = "clrnet", REFINER, "pictures"
    chance = (("share", 1.0, "1: nothing gained yet"),)

    def __init__(self, budget: Budget, photos: PhotoSource, seed: int) -> None:
        self.budget, self.source, self.seed = budget, photos, seed
        self.photos = describe_photos(photos)
        self.config = {
            "network": {"width": budget.width},
            "side": budget.side,
            "count": budget.count,
            "steps": budget.steps,
            "batch": budget.batch,
        }
        self._made: Examples | None = None

    def build(self) -> Refiner:
        """Make the network."""
        return Refiner(self.budget.width)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make Adam; its rate is that of `lr`."""
        return torch.optim.Adam(model.parameters(), lr=1.0)

    def lr(self, step: int) -> float:
        """Rise quickly, then fall along a cosine."""
        return cosine(step, self.budget.steps, 2e-3, WARM_UP)

    def batches(self, first_step: int, rank: int, world: int) -> Iterator[Examples]:
        """Yield examples in orientations drawn anew."""
        if self._made is None:
            self._made = examples(self.source, self.budget.count, self.budget.side, self.seed)
        step = first_step
        while True:
            rng = np.random.default_rng((self.seed, step))
            chosen = rng.integers(0, self.budget.count, self.budget.batch)[rank::world]
            yield _turned(Examples(*(each[chosen] for each in self._made)), rng)
            step += 1

    def loss(self, model: nn.Module, batch: Examples) -> dict[str, Tensor]:
        """Compare errors before and after."""
        made = model(batch.recovered.float(), batch.lost.float(), batch.error)
        share = share_left(made, batch)
        # Of the root, so that one sample that becomes worse does not rule the others.
        return {"loss": share.clamp(min=1e-4).sqrt().mean(), "share": share.mean()}


def _turned(batch: Examples, rng: np.random.Generator) -> Examples:
    """Turn and mirror a batch."""
    quarter, mirrored = int(rng.integers(4)), rng.random() < 0.5

    def turn(x: Tensor) -> Tensor:
        x = torch.rot90(x, quarter, (2, 3))
        return x.flip(3) if mirrored else x

    return Examples(turn(batch.recovered), turn(batch.whole), turn(batch.lost), batch.error)


def open_refiner(weights: Path | None = None) -> Refiner | None:
    """Open the trained network; None where there is none.

    Parameters
    ----------
    weights : Path, optional
        Folder of checkpoints; the shipped ones without it.
    """
    try:
        path = find("clrnet", REFINER, weights)
    except UsageError:
        return None
    tensors, card = load(path)
    net = Refiner(**card.config["network"])
    net.load_state_dict(tensors)
    return net.eval()


def inpainted(canvas: np.ndarray, visible: tuple[int, ...], radius: float = 5.0) -> np.ndarray:
    """Fill what is lost from its edge, without any code: what recovery is compared with.

    Source: A. Telea, "An image inpainting technique based on the fast marching method" (2004).

    Parameters
    ----------
    canvas : (h, w, 3) of 0..255
        What is left, in its place.
    visible : (left, top, right, bottom)
    radius : float
        Of the neighbourhood that is looked at, in pixels.

    Returns
    -------
    (h, w, 3) uint8
    """
    lost = lost_area(canvas.shape[:2], visible).astype(np.uint8)
    return cv2.inpaint(rounded(canvas), lost, radius, cv2.INPAINT_TELEA)
