"""Judges of pictures: discriminators that say of each neighbourhood whether it looks untouched.

Sources: P. Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR
2017, for judging patches; X. Mao et al., "Least squares generative adversarial networks", ICCV
2017.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Sequential):
    """Say of each neighbourhood whether it looks untouched: (n, 3, h, w) to (n, 1, h / 8, w / 8).

    Three convolutions that halve the picture, with spectral normalisation, and one that judges.

    Parameters
    ----------
    width : int
        Channels after the first convolution; doubled by each other.
    """

    def __init__(self, width: int = 32) -> None:
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (width, 2 * width, 4 * width):
            layers += [
                spectral_norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)),
                nn.LeakyReLU(0.2),
            ]
            inputs = outputs
        super().__init__(*layers, nn.Conv2d(inputs, 1, 3, padding=1))


def adversarial_losses(
    discriminator: nn.Module, real: Tensor, fake: Tensor
) -> tuple[Tensor, Tensor]:
    """Judge with least squares, for both sides of the game at once.

    Parameters
    ----------
    discriminator : Module
    real, fake : (n, 3, h, w) Tensor
        Untouched and made pictures.

    Returns
    -------
    judge : Tensor
        What the discriminator minimises: 1 for real, 0 for fake. Its gradients reach it alone.
    fool : Tensor
        What the network that made the pictures minimises: 1 for fake. Its gradients pass the
        discriminator and leave it as it is.
    """
    judge = ((discriminator(real) - 1) ** 2).mean() + (discriminator(fake.detach()) ** 2).mean()
    frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
    fool: Tensor = ((functional_call(discriminator, frozen, (fake,)) - 1) ** 2).mean()
    return judge, fool


class QualityControl(nn.Module):
    """Choose the weight of a picture's quality so that its PSNR comes to what is wanted.

    A controller of one number: while the running PSNR is below its target the weight grows by up
    to ``gain`` a step, and shrinks while it is above. So methods are compared at equal quality, and
    nobody has to find a weight by trial.

    Parameters
    ----------
    weight : float
        To begin with.
    """

    log_weight: Tensor
    running: Tensor

    def __init__(self, weight: float = 4.0) -> None:
        super().__init__()
        self.register_buffer("log_weight", torch.tensor(weight).log())
        self.register_buffer("running", torch.tensor(float("nan")))

    @torch.no_grad()
    def forward(self, mse: Tensor, target: float, gain: float = 0.02) -> Tensor:
        """Return the weight for a batch with this mean square error; target in dB."""
        psnr = -10 * torch.log10(mse.clamp(min=1e-8))
        self.running = torch.where(self.running.isnan(), psnr, 0.95 * self.running + 0.05 * psnr)
        self.log_weight += gain * (target - self.running).clip(-1, 1)
        return self.log_weight.exp()
