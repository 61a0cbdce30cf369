"""CLR-Net in the hands of its two users: who publishes a picture, and who finds it.

It offers what `course_lib.clrnet.coded.Coded` offers. Both know a key, for the place: a crop is put
back to the pixel by the keyed template, because what the network hides is read only where it was.
The paper's localizer finds it without a key, nearly.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from course_lib.clrnet.coded import Found
from course_lib.clrnet.frame import demand_picture, laid_on, put_back, rounded, squared
from course_lib.clrnet.model import Localizer, Preprocessor
from course_lib.clrnet.template import AMPLITUDE, WHOLE, Place, decide, locate, stamp
from course_lib.clrnet.train import VARIANT, open_networks
from course_lib.geometry import FULL, Box

By = Literal["template", "network"]
"""Who says where a crop was."""


@dataclass(frozen=True)
class Recovered:
    """A picture that came back.

    Attributes
    ----------
    picture : (side, side, 3) float32
        In 0..255, at the resolution of the network.
    error : float
        Expected root mean square error of the lost area in gray values; 0 if nothing is lost.
    """

    picture: np.ndarray
    error: float


class Learned:
    """Protect pictures against cropping, and bring back what was cut away, with trained networks.

    Parameters
    ----------
    generator : Module
        With ``protect`` and ``recover``, see `course_lib.clrnet.model.Generator`.
    preprocessor : Preprocessor, optional
    localizer : Localizer
    side : int
        Of the pictures that the networks were trained on, and of what is recovered.
    error : float
        Root mean square error of lost areas that training came to, in gray values.
    key : int
        What hider and finder share.
    amplitude : float
        Of the template; 0 leaves it out, and the network has to find the place.
    """

    def __init__(
        self,
        generator: Any,
        preprocessor: Preprocessor | None,
        localizer: Localizer,
        side: int,
        error: float = 0.0,
        key: int = 0,
        amplitude: float = AMPLITUDE,
    ) -> None:
        self.generator = generator.eval()
        self.preprocessor = preprocessor and preprocessor.eval()
        self.localizer = localizer.eval()
        self.side, self.error, self.key, self.amplitude = side, error, key, amplitude

    @torch.inference_mode()
    def protect(self, picture: np.ndarray) -> np.ndarray:
        """Hide place and picture in a picture: (h, w, 3) uint8 to the same."""
        demand_picture(picture)
        square = squared(picture, self.side)
        marked = square
        if self.amplitude > 0:
            marked = square + stamp(square, self.key, self.amplitude)
        protected, _ = self.generator.protect(_batch(marked))
        return laid_on(picture, _picture(protected) - square)

    def locate(self, seen: np.ndarray, by: By | None = None) -> Found:
        """Find where a picture was cut out, and what was cut away.

        Parameters
        ----------
        seen : (h, w, 3) uint8
            Of any size.
        by : str, optional
            ``"template"``, the default where there is one, or ``"network"``.
        """
        demand_picture(seen)
        if (by or ("template" if self.amplitude > 0 else "network")) == "template":
            place = locate(seen, self.key, self.side)
            said = decide(place)
        else:
            place = self.asked(seen)
            said = "cropped" if place.score >= 0.5 else "not cropped"
        if said != "cropped" or min(place.box.width, place.box.height) >= WHOLE:
            return Found(place, said, rounded(squared(seen, self.side)), 0.0, False)
        result = self.recover(seen, place.box)
        return Found(place, said, rounded(result.picture), result.error, True)

    @torch.inference_mode()
    def asked(self, seen: np.ndarray) -> Place:
        """Ask the localizer: its box, and its confidence S as the score."""
        view = self._processed(_batch(seen.astype(np.float32)))
        boxes, scores = self.localizer(view)
        x1, y1, x2, y2 = boxes[0].tolist()
        return Place(Box(x1, y1, x2, y2), float(scores.sigmoid()), 0.0)

    @torch.inference_mode()
    def recover(self, seen: np.ndarray, box: Box = FULL) -> Recovered:
        """Recover the whole picture from a crop whose place is known.

        A crop that was resized is brought back to its size first.
        """
        canvas, (left, top, right, bottom) = put_back(seen, box, self.side)
        there = (slice(None), slice(None), slice(top, bottom), slice(left, right))
        whole = _batch(canvas)
        lost = torch.ones_like(whole[:, :1])
        lost[there] = 0
        whole[there] = self._processed(whole[there])
        picture = _picture(self.generator.recover(whole, lost)).clip(0, 255)
        return Recovered(picture, self.error if bool(lost.any()) else 0.0)

    def _processed(self, views: Tensor) -> Tensor:
        return views if self.preprocessor is None else self.preprocessor(views)[0]


def learned(weights: Path | None = None, key: int = 0, variant: str = VARIANT) -> Learned:
    """Open the trained networks.

    Parameters
    ----------
    weights : Path, optional
        Folder in which they lie; the shipped ones if not given.
    key : int
        What hider and finder share.
    variant : str
        Name of the checkpoint.

    Raises
    ------
    UsageError
        When there are none.
    """
    generator, preprocessor, localizer, card = open_networks(weights, variant)
    reached = card.metrics.get("lost_area_psnr")
    error = 255 * 10 ** (-reached / 20) if reached is not None else 0.0
    return Learned(generator, preprocessor, localizer, card.config["side"], error, key)


def _batch(picture: np.ndarray) -> Tensor:
    """(h, w, 3) in 0..255 to (1, 3, h, w) in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None] / 255


def _picture(batch: Tensor) -> np.ndarray:
    """(1, 3, h, w) in 0..1 to (h, w, 3) in 0..255."""
    result: np.ndarray = 255 * batch[0].permute(1, 2, 0).numpy()
    return result
