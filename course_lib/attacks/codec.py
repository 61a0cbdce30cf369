"""The real JPEG codec: what a file does to a picture, and the same as a layer of a network."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from course_lib.errors import UsageError

if TYPE_CHECKING:  # cameras use this module too, and need no torch
    from torch import Tensor


def through_jpeg(
    picture: np.ndarray, quality: int, halved: bool = False, phase: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """Store a picture as a JPEG and read it again.

    Parameters
    ----------
    picture : HxWx3 uint8
    quality : int
        1 to 100.
    halved : bool
        Whether colour is stored at half the resolution (4:2:0).
    phase : (x, y)
        Where the grid of 8×8 blocks begins. Pixels that this moves out at one side come in at the
        other, so a margin of 8 pixels is unlike a JPEG of a larger picture.

    Returns
    -------
    HxWx3 uint8
    """
    moved = np.roll(picture, (-phase[1], -phase[0]), axis=(0, 1)) if any(phase) else picture
    sampling = (
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if halved else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    )
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    # OpenCV's files are made from blue, green, red; the order matters for luma and chroma.
    _, file = cv2.imencode(".jpg", cv2.cvtColor(moved, cv2.COLOR_RGB2BGR), settings)
    back = cv2.cvtColor(np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    return np.roll(back, (phase[1], phase[0]), axis=(0, 1)) if any(phase) else back


def real_jpeg(pictures: "Tensor", quality: "float | Tensor", halved: bool = True) -> "Tensor":
    """Send pictures through real JPEG files; gradients pass as if nothing had happened.

    The straight-through estimator: forward the codec itself, 8-bit rounding included, backward
    the identity.

    Parameters
    ----------
    pictures : (n, 3, h, w) float tensor in [0, 1]
        Values outside are clipped, as a file would.
    quality : number or (n,) tensor
        1 to 100, rounded to whole numbers; one for all pictures, or one each.
    halved : bool
        Whether colour is stored at half the resolution (4:2:0).

    Returns
    -------
    (n, 3, h, w) tensor in [0, 1], same dtype and device

    Raises
    ------
    UsageError
        When a quality is outside 1 to 100, or there are neither one nor n of them.

    Source: Y. Bengio et al., "Estimating or propagating gradients through stochastic neurons",
    2013, for the straight-through estimator.
    """
    import torch

    qualities = np.rint(np.asarray(torch.as_tensor(quality).detach().cpu(), float)).reshape(-1)
    if qualities.size not in (1, len(pictures)) or qualities.min() < 1 or qualities.max() > 100:
        raise UsageError(
            f"JPEG quality {quality} does not fit {len(pictures)} pictures: give one number from "
            "1 to 100, or one for each."
        )
    with torch.no_grad():
        bytes_ = (255 * pictures.clamp(0, 1)).round().to(torch.uint8)
        files = bytes_.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        each = np.broadcast_to(qualities, len(files))
        read = [through_jpeg(one, int(q), halved) for one, q in zip(files, each, strict=True)]
        real = torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2).to(pictures) / 255
    return pictures + (real - pictures).detach()
