"""The trained networks in the hands of their users: a simulator of files, and a reader of quality.

A simulator takes what those of `course_lib.attacks.simulators` take, so that a network that hides
something can be trained through it.
"""

from pathlib import Path

import torch
from torch import Tensor

from course_lib.checkpoints import find, load
from course_lib.errors import UsageError
from course_lib.fgjpeg.model import Generator, Predictor

SYSTEM = "fgjpeg"
GENERATOR = "generator"
"""Name of the checkpoint of generator and controller."""
PREDICTOR = "predictor"
"""Name of the checkpoint of the predictor that the generator was trained with."""
JUDGE = "judge"
"""Name of the checkpoint of a second predictor, which no generator was trained to please."""


class Simulator:
    """Do to pictures what JPEG files would do, with gradients; the network itself stays as it is.

    Parameters
    ----------
    net : Generator
    """

    def __init__(self, net: Generator) -> None:
        self.net = net.eval().requires_grad_(False)

    def __call__(
        self, pictures: Tensor, quality: float | Tensor, generator: object = None
    ) -> Tensor:
        """Simulate.

        Parameters
        ----------
        pictures : (n, 3, h, w) Tensor in [0, 1]
            Of any size, on any device.
        quality : number or (n,) Tensor
            1 to 100; one for all pictures, or one each. It was trained with 10 to 100.
        generator
            Not used; it makes all simulators callable alike.

        Returns
        -------
        (n, 3, h, w) Tensor in [0, 1]

        Raises
        ------
        UsageError
            When a quality is outside 1 to 100, or there are neither one nor n of them.
        """
        each = torch.as_tensor(quality, dtype=torch.float32, device=pictures.device).flatten()
        if len(each) not in (1, len(pictures)) or not ((each >= 1) & (each <= 100)).all():
            raise UsageError(
                f"JPEG quality {quality} does not fit {len(pictures)} pictures: give one number "
                "from 1 to 100, or one for each."
            )
        made: Tensor = self.net.to(pictures.device)(pictures, each.expand(len(pictures)))
        return made.clamp(0, 1)


def simulator(weights: Path | None = None) -> Simulator:
    """Open FG-JPEG with the shipped weights, or with one's own.

    Parameters
    ----------
    weights : Path, optional
        Folder of checkpoints.

    Raises
    ------
    UsageError
        When there is no such checkpoint.
    """
    tensors, card = load(find(SYSTEM, GENERATOR, weights))
    net = Generator(**card.config["network"])
    net.load_state_dict(tensors)
    return Simulator(net)


def open_predictor(weights: Path | None = None, variant: str = PREDICTOR) -> Predictor:
    """Open a trained predictor of the quality factor, frozen.

    Parameters
    ----------
    weights : Path, optional
        Folder of checkpoints.
    variant : str
        ``predictor`` or ``judge``.

    Raises
    ------
    UsageError
        When there is no such checkpoint.
    """
    tensors, card = load(find(SYSTEM, variant, weights))
    net = Predictor(**card.config["network"])
    net.load_state_dict(tensors)
    return net.eval().requires_grad_(False)
