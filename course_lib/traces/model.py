"""The networks of crop detection: one for patches, one for the thumbnail, and what joins them.

Pictures are float32 NCHW in [0, 1], without any mean and standard deviation taken off. A `Box`'s
four numbers come in the course's order (x1, y1, x2, y2); the paper writes (x1, x2, y1, y2).

Source: B. Van Hoorick and C. Vondrick, "Dissecting Image Crops", 2021, section 4.2 and figure 3.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import UsageError
from course_lib.traces.examples import PATCHES, shuffle_labels

EMBEDDING = 64
"""Numbers that a network says about one patch, or about the thumbnail."""

JOINT = PATCHES * EMBEDDING + EMBEDDING
"""What G reads of a whole photograph: sixteen patches and one thumbnail, 1088 numbers."""

Variant = Literal["joint", "patch", "global"]
VARIANTS: tuple[str, ...] = get_args(Variant)

Order = Literal["together", "rolled", "aligned"]
ORDERS: tuple[str, ...] = get_args(Order)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions that learn what to add to their input.

    Parameters
    ----------
    inputs, outputs : int
        Channels before and after.
    stride : int
        2 halves the height and the width.

    Source: K. He et al., "Deep residual learning for image recognition", 2016, figures 2 and 3.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:  # the short cut must fit what it is added to
            shrink = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shrink, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:  # (n, inputs, h, w)
        """Add what the block has learned to its input."""
        y = F.relu(self.bn1(self.conv1(x)))  # (n, outputs, h/stride, w/stride)
        y = self.bn2(self.conv2(y))  # the same
        return F.relu(y + self.downsample(x))


def stage(blocks: int, inputs: int, outputs: int, stride: int = 2) -> nn.Sequential:
    """Chain blocks; the first one changes the size and the number of channels."""
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(blocks - 1)))


def keep_variance(network: nn.Module) -> None:
    """Draw a network's filters so that gradients neither grow nor fade on their way back.

    Source: K. He et al., "Delving deep into rectifiers", 2015, equation 14.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ResNet(nn.Module):
    """A residual network of basic blocks: a picture in, a few numbers out.

    Its tensors have the names that torchvision gives them, so that weights can be exchanged.

    Parameters
    ----------
    blocks : four int
        Blocks in each stage; every stage but the first halves the picture. (2, 2, 2, 2) is
        ResNet-18, (3, 4, 6, 3) is ResNet-34.
    channels : int
        Of the picture: 3, or 5 with coordinates.
    outputs : int
        Numbers that come out.
    width : int
        Channels of the first stage, 64 in the paper. Stages double them.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        channels: int = 3,
        outputs: int = EMBEDDING,
        width: int = 64,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(blocks[0], width, width, stride=1)
        self.layer2 = stage(blocks[1], width, 2 * width)
        self.layer3 = stage(blocks[2], 2 * width, 4 * width)
        self.layer4 = stage(blocks[3], 4 * width, 8 * width)
        self.fc = nn.Linear(8 * width, outputs)
        keep_variance(self)

    def maps(self, x: Tensor) -> Tensor:
        """Return the last maps, (n, 8 · width, h / 32, w / 32)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))  # (n, width, h/4, w/4)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x: Tensor) -> Tensor:  # (n, channels, h, w)
        """Average the last maps and read them."""
        return self.fc(self.maps(x).mean(dim=(2, 3)))  # (n, outputs)


def resnet18(channels: int = 3, outputs: int = EMBEDDING, width: int = 64) -> ResNet:
    """Build a ResNet-18, eight basic blocks."""
    return ResNet((2, 2, 2, 2), channels, outputs, width)


def resnet34(channels: int = 3, outputs: int = EMBEDDING, width: int = 64) -> ResNet:
    """Build a ResNet-34, sixteen basic blocks."""
    return ResNet((3, 4, 6, 3), channels, outputs, width)


def box_mean(x: Tensor, size: int) -> Tensor:
    """Average over a square window around each pixel; outside the picture nothing is counted.

    Parameters
    ----------
    x : (n, c, h, w)
    size : int
        Side of the window, odd. Rows first, then columns: 2 · size readings instead of size².
    """
    rows = F.avg_pool2d(x, (1, size), 1, (0, size // 2), count_include_pad=False)
    return F.avg_pool2d(rows, (size, 1), 1, (size // 2, 0), count_include_pad=False)


class FringeInput(nn.Module):
    """Show a network the colour fringes of edges instead of the picture. It learns nothing.

    A fringe is a difference of channels, a hundred times weaker than the picture itself. So the
    differences become channels of their own, what is smooth is taken off (a 9×9 mean), and the
    rest is measured in units of the green detail around it (17×17), so that weak edges count as
    much as strong ones.

    It computes in float32 even where bf16 is on, for it takes small differences of large numbers.
    """

    def forward(self, rgb: Tensor) -> Tensor:  # (n, 3, h, w) in [0, 1]
        """Return green detail, and the differences of red and blue from it."""
        with torch.autocast(rgb.device.type, enabled=False):
            red, green, blue = rgb.float().unbind(dim=1)  # (n, h, w) each
            planes = torch.stack([green, 2 * (red - green), 2 * (blue - green)], dim=1)
            detail = planes - box_mean(planes, 9)  # (n, 3, h, w)
            strength = (box_mean(detail[:, :1] ** 2, 17) + 0.01**2).sqrt()  # (n, 1, h, w)
            return detail / strength


def bilinear_pool(features: Tensor) -> Tensor:
    """Average the product of every two feature maps over the picture.

    A fringe is a *relation*: red detail lies where green's slope is. The mean of one map cannot
    say so, the mean of a product can; least squares, too, needs nothing else.

    Parameters
    ----------
    features : (n, c, h, w)

    Returns
    -------
    (n, c, c) float32
        Symmetric.

    Source: T.-Y. Lin et al., "Bilinear CNN models for fine-grained visual recognition", 2015.
    """
    with torch.autocast(features.device.type, enabled=False):
        flat = features.float().flatten(2)  # (n, c, h · w)
        return flat @ flat.mT / flat.shape[2]  # (n, c, c)


def pooled_products(features: Tensor) -> Tensor:
    """Return what `bilinear_pool` finds once for each pair: (n, c · (c + 1) / 2)."""
    rows, columns = torch.triu_indices(features.shape[1], features.shape[1])
    return bilinear_pool(features)[:, rows, columns]


class FringeNet(nn.Module):
    """A small network for patches: products of its maps at two sizes say which fringes lie where.

    Parameters
    ----------
    maps : int
        Feature maps in each layer, and rows of each matrix of products.
    hidden : int
        Width of the layer that reads the products.
    outputs : int
        Numbers that come out.
    """

    def __init__(self, maps: int = 24, hidden: int = 128, outputs: int = EMBEDDING) -> None:
        super().__init__()
        self.fringes = FringeInput()
        self.fine = nn.Conv2d(3, maps, 5, stride=2)
        self.coarse = nn.Conv2d(maps, maps, 3, stride=2)
        self.mix_fine, self.mix_coarse = nn.Conv2d(maps, maps, 3), nn.Conv2d(maps, maps, 3)
        products = maps * (maps + 1)  # of two layers
        self.read = nn.Sequential(
            nn.BatchNorm1d(products),  # squares of strong maps would drown the fringes
            nn.Linear(products, hidden),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(hidden, outputs),
        )

    def forward(self, patches: Tensor) -> Tensor:  # (n, 3, 96, 96)
        """Describe patches of any size from 24 pixels on."""
        fine = F.relu(self.fine(self.fringes(patches)))  # (n, maps, 46, 46)
        coarse = F.relu(self.coarse(fine))  # (n, maps, 22, 22)
        layers = (self.mix_fine(fine), self.mix_coarse(coarse))
        return self.read(torch.cat([pooled_products(each) for each in layers], dim=1))


def in_turns(network: nn.Module, patches: Tensor, order: Order = "rolled") -> Tensor:
    """Run a network over the patches of several photographs, one patch of each at a time.

    BatchNorm ties together what goes through a network at the same time. If that is always the
    same cell of every photograph, the batch itself gives the cell away, in training only.

    Parameters
    ----------
    network : nn.Module
        (n, 3, h, w) to (n, d).
    patches : (n, 16, 3, h, w)
    order : "rolled", "aligned" or "together"
        "rolled" is the paper's cure: in turn k photograph i sends patch k − i, so that a turn
        holds all cells equally if n is a multiple of 16. "aligned" is the leak: every photograph
        sends patch k. "together" sends all patches of all photographs at once, which mixes the
        cells as well and is faster. In evaluation the three agree.

    Returns
    -------
    (n, 16, d)

    Source: Appendix B.4.
    """
    n, count = patches.shape[:2]
    if order == "together":
        return network(patches.flatten(0, 1)).unflatten(0, (n, count))
    mixed = shuffle_labels(patches) if order == "rolled" else patches
    turns = torch.stack([network(mixed[:, k]) for k in range(count)], dim=1)  # (n, 16, d)
    return shuffle_labels(turns, undo=True) if order == "rolled" else turns


def with_coordinates(thumbnail: Tensor) -> Tensor:
    """Add two channels that say where a pixel lies: y, then x, from 0 to 1.

    A convolution sees the same everywhere; with these it can learn that skies belong at the top.

    Parameters
    ----------
    thumbnail : (n, 3, h, w)

    Returns
    -------
    (n, 5, h, w)
    """
    n, _, h, w = thumbnail.shape
    y = torch.linspace(0, 1, h).to(thumbnail).view(1, 1, h, 1).expand(n, 1, h, w)
    x = torch.linspace(0, 1, w).to(thumbnail).view(1, 1, 1, w).expand(n, 1, h, w)
    return torch.cat([thumbnail, y, x], dim=1)


class PatchNet(nn.Module):
    """F_patch, which says where in the photograph a patch comes from.

    Parameters
    ----------
    backbone : nn.Module
        (n, 3, h, w) to (n, 64). The paper's is `resnet18`.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.embed = backbone
        self.locate = nn.Linear(EMBEDDING, PATCHES)

    def forward(self, patches: Tensor) -> Tensor:  # (n, 3, 96, 96)
        """Return a logit for each cell."""
        return self.locate(self.embed(patches))  # (n, 16): a logit for each cell, row by row


class GlobalNet(nn.Module):
    """F_global, which looks at the photograph as a whole.

    Parameters
    ----------
    backbone : nn.Module
        (n, 5, h, w) to (n, 64). The paper's is `resnet34`.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.embed = backbone

    def forward(self, thumbnail: Tensor) -> Tensor:  # (n, 3, 149, 224)
        """Describe thumbnails."""
        return self.embed(with_coordinates(thumbnail))  # (n, 64)


class Fusion(nn.Sequential):
    """G: four edges and one score from everything that is known about a photograph.

    Parameters
    ----------
    inputs : int
        1088 for the joint model.
    """

    def __init__(self, inputs: int = JOINT) -> None:
        super().__init__(
            nn.Linear(inputs, 512),
            nn.ReLU(),
            nn.Linear(512, 256),
            nn.ReLU(),
            nn.Linear(256, 5),  # x1, y1, x2, y2, and the logit of "cropped"
        )


class Reading(NamedTuple):
    """What a detector says about n photographs.

    Attributes
    ----------
    box : (n, 4)
        The crop's edges (x1, y1, x2, y2) as fractions of the original photograph. Not bounded.
    score : (n,)
        Logit of "cropped": above 0 more likely than not.
    cells : (n, 16, 16) or None
        For each patch a logit for each cell; None if the model sees no patches.
    """

    box: Tensor
    score: Tensor
    cells: Tensor | None


class CropDetector(nn.Module):
    """Say whether photographs were cropped, and what is left of them.

    Parameters
    ----------
    patch, thumbnail : PatchNet, GlobalNet, or None
        None leaves one out; together they are the paper's joint model.
    order : "together", "rolled" or "aligned"
        How patches share a batch (see `in_turns`).
    """

    def __init__(
        self, patch: PatchNet | None, thumbnail: GlobalNet | None, order: Order = "together"
    ) -> None:
        super().__init__()
        if patch is None and thumbnail is None:
            raise UsageError(
                "a detector needs a patch network or a thumbnail network to look with."
            )
        self.patch, self.thumbnail, self.order = patch, thumbnail, order
        inputs = (patch is not None) * PATCHES * EMBEDDING + (thumbnail is not None) * EMBEDDING
        self.fusion = Fusion(inputs)  # 1088, 1024 or 64

    def forward(self, patches: Tensor, thumbnail: Tensor) -> Reading:
        """Read photographs; what the detector cannot see may have any content."""
        known, cells = [], None
        if self.patch is not None:
            each = in_turns(self.patch.embed, patches, self.order)  # (n, 16, 64)
            cells = self.patch.locate(each)  # (n, 16, 16)
            known.append(each.flatten(1))  # (n, 1024)
        if self.thumbnail is not None:
            known.append(self.thumbnail(thumbnail))  # (n, 64)
        answer = self.fusion(torch.cat(known, dim=1))  # (n, 1088) to (n, 5)
        return Reading(answer[:, :4], answer[:, 4], cells)


def _after_fringes(width: int) -> nn.Module:
    """Build a ResNet-18 that sees fringes instead of the picture."""
    return nn.Sequential(FringeInput(), resnet18(width=width))


PATCH_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "paper": resnet18,
    "paper-fringes": partial(_after_fringes, 64),
    "course": partial(_after_fringes, 16),
    "fringe": FringeNet,
}
"""Backbones for patches: the paper's, the same with `FringeInput`, a quarter as wide, and small."""

THUMBNAIL_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "paper": partial(resnet34, channels=5),
    "course": partial(resnet18, channels=5, width=16),
}
"""Backbones for thumbnails: the paper's, and a shallower one, a quarter as wide."""


def patch_net(network: str = "paper") -> PatchNet:
    """Build F_patch with one of `PATCH_NETWORKS`.

    Raises
    ------
    UsageError
        There is no such network.
    """
    return PatchNet(_choose(PATCH_NETWORKS, network, "patch network")())


def global_net(network: str = "paper") -> GlobalNet:
    """Build F_global with one of `THUMBNAIL_NETWORKS`.

    Raises
    ------
    UsageError
        There is no such network.
    """
    return GlobalNet(_choose(THUMBNAIL_NETWORKS, network, "thumbnail network")())


def crop_detector(
    variant: Variant = "joint",
    patch: str = "paper",
    thumbnail: str = "paper",
    order: Order = "together",
) -> CropDetector:
    """Build a detector by the names of its parts.

    Parameters
    ----------
    variant : "joint", "patch" or "global"
        What it sees: sixteen patches and the thumbnail, or one of the two.
    patch, thumbnail : str
        From `PATCH_NETWORKS` and `THUMBNAIL_NETWORKS`.
    order : "together", "rolled" or "aligned"
        How patches share a batch (see `in_turns`).

    Raises
    ------
    UsageError
        One of the names is unknown.
    """
    for kind, value, known in (("variant", variant, VARIANTS), ("order", order, ORDERS)):
        if value not in known:
            raise UsageError(f"{kind} '{value}' is unknown: choose one of {', '.join(known)}.")
    return CropDetector(
        None if variant == "global" else patch_net(patch),
        None if variant == "patch" else global_net(thumbnail),
        order,
    )


def _choose(
    table: dict[str, Callable[[], nn.Module]], name: str, what: str
) -> Callable[[], nn.Module]:
    """Look a network up."""
    if name not in table:
        raise UsageError(f"{what} '{name}' is unknown: choose one of {', '.join(table)}.")
    return table[name]


def parameter_count(module: nn.Module) -> int:
    """Count the numbers that training may change."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
