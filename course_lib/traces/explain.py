"""Why a network answers as it does: where it looks, which patch decides, what its filters see.

Nothing here is trained, and nothing is changed in the networks that are asked. They must be in
evaluation mode (as `course_lib.traces.readers` hands them out), because single pictures are shown.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import UsageError
from course_lib.traces.examples import PATCHES
from course_lib.traces.model import CropDetector, FringeInput

GRAY = 0.5
"""What a patch is covered with: in a flat patch no lens leaves a trace."""


def grad_cam(
    model: nn.Module,
    layer: nn.Module,
    inputs: tuple[Tensor, ...],
    score: Callable[[Any], Tensor],
) -> np.ndarray:
    """Show where in a picture a network found what raises one of its scores (Grad-CAM).

    Each map of a layer gets a weight: how much the score rises with it, averaged over all places.
    The weighted sum of the maps, where it is positive, is the answer.

    Parameters
    ----------
    model : nn.Module
        In evaluation mode.
    layer : nn.Module
        Part of the model that puts out maps, (1, c, h, w); the last one that does is usual.
    inputs : tuple of tensors
        What the model takes, a batch of one. The picture to be explained, (1, channels, H, W), is
        the last.
    score : callable
        Takes what the model returns and picks the score, such as ``lambda r: r.score``.

    Returns
    -------
    (H, W) float32 array
        Brought to 0 … 1; all 0 when nothing raises the score.

    Source: R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", ICCV 2017, equations 1 and 2.
    """
    kept: list[Tensor] = []

    def keep(_layer: nn.Module, _inputs: Any, maps: Tensor) -> Tensor:
        kept.append(maps.requires_grad_())
        return maps.clone()  # so that nothing behind the layer can change what was kept

    hook = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            answer = score(model(*inputs)).sum()
    finally:
        hook.remove()
    (slope,) = torch.autograd.grad(answer, kept[-1])  # how the score follows each place of each map
    weight = slope.mean(dim=(2, 3), keepdim=True)  # (1, c, 1, 1)
    heat = F.relu((weight * kept[-1]).sum(dim=1))[0].detach().cpu().numpy()
    height, width = inputs[-1].shape[-2:]
    heat = cv2.resize(heat, (width, height))
    return (heat - heat.min()) / (np.ptp(heat) or 1)


@torch.no_grad()
def patch_influence(detector: CropDetector, patches: Tensor, thumbnail: Tensor) -> np.ndarray:
    """Say how much each patch speaks for "cropped": cover it with gray and see how the score falls.

    Parameters
    ----------
    detector : CropDetector
        In evaluation mode.
    patches : (16, 3, s, s) tensor in [0, 1]
        Of one picture, row by row.
    thumbnail : (3, h, w) tensor

    Returns
    -------
    (16,) float32 array
        In logits: positive patches speak for "cropped", negative ones for "whole".

    Raises
    ------
    UsageError
        The detector sees no patches.

    Source of covering parts to see what counts: M. Zeiler and R. Fergus, "Visualizing and
    understanding convolutional networks", ECCV 2014, section 4.2.
    """
    if detector.patch is None:
        raise UsageError("This detector sees no patches: ask the joint or the patch variant.")
    covered = patches.repeat(PATCHES + 1, 1, 1, 1, 1)  # (17, 16, 3, s, s); nothing in the last
    covered[range(PATCHES), range(PATCHES)] = GRAY
    score = detector(covered, thumbnail.expand(PATCHES + 1, -1, -1, -1)).score  # (17,)
    return (score[-1] - score[:-1]).float().cpu().numpy()


def first_filters(network: nn.Module) -> np.ndarray:
    """Draw the filters of a network's first convolution as small pictures.

    A network that sees fringes has filters on green and on the differences 2 (red − green) and
    2 (blue − green). They are shown as what they do to red, green and blue themselves: a green
    spot beside a purple one looks for green that lies to one side.

    Parameters
    ----------
    network : nn.Module
        Whatever holds a `torch.nn.Conv2d` on three channels or more; further ones, such as
        coordinates, are left out.

    Returns
    -------
    (filters, k, k, 3) float32 array in [0, 1]
        Gray, 0.5, is a weight of 0; each filter's largest weight is 0 or 1.

    Raises
    ------
    UsageError
        There is no such convolution.

    Source of showing them: "Dissecting Image Crops", Figure 12.
    """
    convolutions = [one for one in network.modules() if isinstance(one, nn.Conv2d)]
    if not convolutions or convolutions[0].in_channels < 3:
        raise UsageError("This network does not begin with a convolution on colours.")
    weight = convolutions[0].weight.detach().float().cpu()[:, :3]  # (n, 3, k, k)
    if any(isinstance(one, FringeInput) for one in network.modules()):
        green, red, blue = weight.unbind(dim=1)
        weight = torch.stack([2 * red, green - 2 * red - 2 * blue, 2 * blue], dim=1)
    largest = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
    return (0.5 + 0.5 * weight / largest).permute(0, 2, 3, 1).numpy()


def embed(
    features: np.ndarray, seed: int = 0, dimensions: int = 24, perplexity: float = 30.0
) -> np.ndarray:
    """Lay features out on a plane, like beside like: PCA, then t-SNE.

    Only neighbourhoods mean something; distances between groups, and their sizes, do not.

    Parameters
    ----------
    features : (n, d) array
        One row for each picture, such as what a `GlobalNet` says about thumbnails.
    seed : int
    dimensions : int
        That PCA keeps, or d if that is fewer.
    perplexity : float
        About how many neighbours each point keeps. It must be below n.

    Returns
    -------
    (n, 2) float32 array

    Raises
    ------
    UsageError
        There are too few features for this perplexity.

    Source: "Dissecting Image Crops", section 6 and Figure 8; L. van der Maaten and G. Hinton,
    "Visualizing data using t-SNE", JMLR 2008.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) <= perplexity:
        raise UsageError(
            f"Features of the shape {features.shape} cannot be laid out with perplexity "
            f"{perplexity:g}: give (n, d) with n above it."
        )
    kept = PCA(min(dimensions, *features.shape), random_state=seed).fit_transform(features)
    plane = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(kept)
    return plane.astype(np.float32)
