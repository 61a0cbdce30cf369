"""The whole system in the hands of its two users: who publishes a picture, and who finds it.

Both know the watermark. Networks see pictures of 256 × 256 pixels; pictures of other sizes are
protected by what that changes, enlarged to their size.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from course_lib.checkpoints import find, load
from course_lib.errors import PhotoError, UsageError
from course_lib.rwn.carrier import embed, extract
from course_lib.rwn.match import LEAST, MATCHERS, PRESENT, SIDE, Match, decide, stretched
from course_lib.rwn.model import Hider, TamperNet
from course_lib.rwn.train import TAMPER, open_hider

SMALLEST = 32
"""Shortest side of a picture that can be asked, in pixels."""
FOUND = 0.5
"""Likeness from which on the network has found its watermark. On 24 photographs kept for choosing
it, pictures without this watermark came to .46 at most, and halves of protected ones after JPEG 50
or strong noise to .58 at least."""
STRENGTH = 0.9
"""Share of the network's change that is made. On photographs kept for choosing it a tenth less
costs next to nothing (SSIM of the watermark after JPEG 70 .825 to .817, no box and no decision),
and buys .9 dB."""
TAMPERED = 0.03
"""Share of a picture that must be marked before it is matched again without that."""


@dataclass(frozen=True)
class Finding:
    """What was found in a picture.

    Attributes
    ----------
    match : Match
        Where in the whole picture it was, and how sure that is.
    said : str
        "no watermark", "not cropped" or "cropped".
    watermark : (256, 256) float32 ndarray
        Extracted, as stretched.
    tampered : (256, 256) bool ndarray
        What was pasted, in the stretched picture; all False without a network for it.
    """

    match: Match
    said: str
    watermark: np.ndarray
    tampered: np.ndarray


class Rwn:
    """Protect pictures, and find where crops of them were.

    Parameters
    ----------
    net : Hider
    tamper : TamperNet, optional
        Without it nothing is left out of the matching.
    threshold : float
        Probability from which on a pixel counts as pasted.

    Attributes
    ----------
    present : float
        Likeness from which on the watermark counts as found.
    """

    present = FOUND

    def __init__(self, net: Hider, tamper: TamperNet | None = None, threshold: float = 0.5) -> None:
        self.net, self.tamper, self.threshold = net.eval(), tamper and tamper.eval(), threshold

    @torch.inference_mode()
    def protect(self, picture: np.ndarray, watermark: np.ndarray) -> np.ndarray:
        """Hide a watermark.

        Parameters
        ----------
        picture : (h, w, 3) uint8
        watermark : (256, 256) float32 in [0, 1]

        Returns
        -------
        (h, w, 3) uint8
        """
        _demand_size(picture)
        seen = squared(picture)
        hidden, _ = self.net.hide(_batch(seen), torch.from_numpy(watermark)[None, None].float())
        change = STRENGTH * (hidden[0].permute(1, 2, 0).numpy() * 255 - seen)
        height, width = picture.shape[:2]
        if (height, width) != (SIDE, SIDE):
            change = cv2.resize(change, (width, height), interpolation=cv2.INTER_CUBIC)
        protected: np.ndarray = np.rint(picture + change).clip(0, 255).astype(np.uint8)
        return protected

    @torch.inference_mode()
    def extract(self, picture: np.ndarray) -> np.ndarray:
        """Extract what there is of a watermark: (h, w, 3) uint8 to (256, 256) float32 in [0, 1]."""
        _demand_size(picture)
        _, found = self.net.reveal(_batch(squared(picture)))
        return found[0, 0].clamp(0, 1).numpy()

    @torch.inference_mode()
    def pasted(
        self, picture: np.ndarray, found: np.ndarray, truth: np.ndarray | None = None
    ) -> np.ndarray:
        """Say how probably each pixel was pasted in.

        Parameters
        ----------
        picture : (h, w, 3) uint8
        found : (256, 256) float32
            Extracted from it.
        truth : (256, 256) float32, optional
            The true watermark, cropped and stretched alike, where that is known.

        Returns
        -------
        (256, 256) float32
            Zeros without a network for it.
        """
        if self.tamper is None:
            return np.zeros((SIDE, SIDE), np.float32)
        known = None if truth is None else torch.from_numpy(truth)[None, None].float()
        extracted = torch.from_numpy(found)[None, None]
        logits: torch.Tensor = self.tamper(_batch(squared(picture)), extracted, known)
        return logits.sigmoid()[0, 0].numpy()

    def locate(self, picture: np.ndarray, watermark: np.ndarray, matcher: str = "ncc") -> Finding:
        """Find where a picture was cut out, and what was pasted into it.

        The paper marks what looks pasted first, and leaves it out of the matching. A place is found
        with pasted areas in the picture too; and once it is known, the extracted watermark can be
        compared with the true one, which marks them far better. So the order here is: match, mark,
        and match again without what was marked.

        Parameters
        ----------
        picture : (h, w, 3) uint8
        watermark : (256, 256) float32
        matcher : str
            A key of `course_lib.rwn.match.MATCHERS`.
        """
        found = self.extract(picture)
        match = MATCHERS[matcher](found, watermark, None)
        pasted = np.zeros(found.shape, bool)
        if match.score >= self.present and self.tamper is not None:
            truth = stretched(watermark, match.box, found.shape).astype(np.float32)
            pasted = self.pasted(picture, found, truth) >= self.threshold
            if TAMPERED <= pasted.mean() <= 1 - LEAST:
                match = MATCHERS[matcher](found, watermark, ~pasted)
        return Finding(match, decide(match, self.present), found, pasted)


class Carrier(Rwn):
    """The baseline in the same hands: an added pattern, without any network."""

    present = PRESENT

    def __init__(self, psnr: float = 39.0) -> None:
        self.psnr, self.tamper, self.threshold = psnr, None, 0.5

    def protect(self, picture: np.ndarray, watermark: np.ndarray) -> np.ndarray:
        """Add the watermark to the blue - yellow difference."""
        _demand_size(picture)
        return embed(picture, watermark, self.psnr)

    def extract(self, picture: np.ndarray) -> np.ndarray:
        """Read what brightness and red - cyan do not explain of it."""
        _demand_size(picture)
        return extract(picture)


def rwn(weights: Path | None = None) -> Rwn:
    """Open the system with trained networks.

    Parameters
    ----------
    weights : Path, optional
        Folder with checkpoints; the shipped ones without it. The network that marks pasted areas
        may be missing.

    Raises
    ------
    UsageError
        When there is no such checkpoint.
    """
    net = open_hider(weights)
    try:
        path = find("rwn", TAMPER, weights)
    except UsageError:
        return Rwn(net)
    tensors, card = load(path)
    tamper = TamperNet(**card.config["network"])
    tamper.load_state_dict(tensors)
    return Rwn(net, tamper, card.config.get("threshold", 0.5))


def squared(picture: np.ndarray) -> np.ndarray:
    """Stretch a picture to 256 × 256 pixels, as networks see it."""
    height, width = picture.shape[:2]
    if (height, width) == (SIDE, SIDE):
        return picture
    how = cv2.INTER_AREA if min(height, width) > SIDE else cv2.INTER_LINEAR
    return cv2.resize(picture, (SIDE, SIDE), interpolation=how)


def _batch(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def _demand_size(picture: np.ndarray) -> None:
    if picture.ndim != 3 or picture.shape[2] != 3 or min(picture.shape[:2]) < SMALLEST:
        raise PhotoError(
            f"A picture of shape {picture.shape} cannot be asked: give a colour picture of at "
            f"least {SMALLEST} × {SMALLEST} pixels."
        )
