"""Carrying hidden information across a whole picture: a layer that mixes all its places.

What was cut away must be known elsewhere, far away: a convolution, which sees a few pixels around
each, cannot bring it there. This layer can. A thumbnail of the picture, a few numbers for each
block, is rotated by dense matrices over all blocks, so that each block of the result knows a little
of every other one; and that is added to the finer bands of the picture. On the way back, what is
heard in the blocks that are left is rotated back, in a few rounds, into the blocks that are lost.

It is a coupling twice over, and has an exact inverse for any weights: finer bands change by what
coarser ones tell, and what was cut away changes by what is left.

CLR-Net has convolutions alone; its authors name long-range mechanisms as a next step.
"""

from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.attacks.jpeg import TO_YCBCR
from course_lib.errors import UsageError
from course_lib.invertible import Invertible, Subnet, haar_down, haar_up

COARSE = 4
"""Bands of each colour that the thumbnail is read from: the mean of a block and three details."""
READ = 6
"""Numbers for each block of the thumbnail: luma at four places, and two of colour."""
TYPICAL = 1.8, 0.6, 0.6, 0.4, 0.6, 0.6
"""Deviation of those in photographs, for blocks of 8 × 8 pixels; grows with the side of a block."""
UNIT = 0.045
"""Deviation of the first change of a picture, where 1 is the step from black to white."""
LIVELY = 4.0
"""The large matrices are stored divided by this, so that a step of an optimizer moves them as much
further than the small networks beside them."""
FINEST = 0.6
"""Share of the finest bands in what is hidden first."""
FIRST_LIMIT = 1.8
"""Where what is heard is limited at first, in `UNIT`."""


class Transport(Invertible):
    """Hide a thumbnail all over a picture; and fill what was cut away from what is left of it.

    Parameters
    ----------
    grid : int
        Blocks along each side.
    step : int
        How often a picture is halved to have that many; one of 8 × 8 pixels is a step of 3.
    level : int
        How often it has been on its way to this layer.
    carriers : int
        Numbers that each block carries for others.
    width : int
        Channels of the small networks.
    rounds : int
        Rounds in which lost blocks are estimated.
    seed : int
        Of the first rotations.

    Notes
    -----
    The layer takes (n, c, h, w) bands, of which the first ``3 · 4 ** level`` are a picture's,
    colour by colour, as `course_lib.invertible.haar_down` orders them. Others pass.
    """

    def __init__(
        self,
        grid: int = 16,
        step: int = 3,
        level: int = 3,
        carriers: int = 16,
        width: int = 32,
        rounds: int = 6,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.grid, self.step, self.level = grid, step, level
        tokens = grid * grid
        fine = 3 * (4**step - COARSE)
        chance = _chance(seed)
        self.read = nn.Conv2d(3 * COARSE, READ, 1)
        self.write = nn.Conv2d(READ, 3 * COARSE, 1)
        flat, back = flattening(grid)
        rotations = torch.stack([_rotation(tokens, chance) for _ in range(carriers)])
        self.flat, self.back = nn.Parameter(flat / LIVELY), nn.Parameter(back / LIVELY)
        self.rotations = nn.Parameter(rotations / LIVELY)
        self.shares = nn.Parameter(_rotation(max(carriers, READ), chance)[:carriers, :READ])
        self.lay = nn.Conv2d(carriers, fine, 1, bias=False)
        self.listen = nn.Conv2d(fine, carriers, 1, bias=False)
        self.hear = Subnet(fine + READ, 2 * carriers, width)
        self.limits = nn.Parameter(torch.full((fine, 1, 1), FIRST_LIMIT))
        self.rates = nn.Parameter(torch.full((rounds,), 0.2))
        self.priors = nn.ModuleList(Subnet(2 * READ + 1, READ, width) for _ in range(rounds))
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """Begin as a thumbnail, rotated, and laid faintly on the middle bands of luma."""
        luma, blue, red = TO_YCBCR.float()
        rows = torch.zeros(READ, 3, COARSE)
        for band in range(COARSE):
            rows[band, :, band] = luma
        rows[COARSE, :, 0], rows[COARSE + 1, :, 0] = blue, red
        scale = torch.tensor(TYPICAL)[:, None] * 2.0**self.step / 8
        rows = rows.flatten(1) / scale
        gray = torch.zeros(3, COARSE)
        gray[:, 0] = 2.0**self.step / 2
        for conv, matrix, bias in [
            (self.read, rows, -rows @ gray.flatten()),
            (self.write, torch.linalg.pinv(rows), gray.flatten()),
        ]:
            assert conv.bias is not None
            conv.weight.copy_(matrix[..., None, None])
            conv.bias.copy_(bias)
        carriers, bands = len(self.rotations), 4**self.step - COARSE
        # Middle frequencies survive JPEG, and hold less of the picture itself than lower ones.
        strength = torch.full((bands, 1), FINEST)
        strength[: bands // 4] = 1.0
        pattern = strength * torch.randn(bands, carriers, generator=_chance(1))
        pattern = pattern / pattern.norm(dim=0)
        lay = torch.einsum("c,bk->cbk", luma / luma.norm(), pattern).flatten(0, 1)
        lay *= UNIT * (3 * 4**self.step / carriers) ** 0.5
        self.lay.weight.copy_(lay[..., None, None] / LIVELY)
        self.listen.weight.copy_(torch.linalg.pinv(lay)[..., None, None])

    def forward(self, x: Tensor, lost: Tensor | None = None) -> Tensor:
        """Hide the thumbnail; undo the filling where there is something lost.

        Parameters
        ----------
        x : (n, c, h, w) Tensor
        lost : (n, 1, height, width) Tensor, optional
            1 for each pixel that was cut away; nothing is by default.
        """
        bands, rest = self._taken(x)
        coarse, fine = self._parted(bands)
        if lost is None:
            return self._put(self._joined(coarse, fine + self.spread(coarse)), rest)
        fine = fine + self.spread(coarse) * (self._share(lost) == 0)
        bands = self._joined(coarse, fine)
        return self._put(bands - self.filling(bands, lost), rest)

    def inverse(self, y: Tensor, lost: Tensor | None = None) -> Tensor:
        """Fill what was cut away, and take the thumbnail out of what is left."""
        bands, rest = self._taken(y)
        if lost is not None:
            bands = bands + self.filling(bands, lost)
        coarse, fine = self._parted(bands)
        change = self.spread(coarse)
        if lost is not None:
            change = change * (self._share(lost) == 0)
        return self._put(self._joined(coarse, fine - change), rest)

    def log_det(self, x: Tensor) -> Tensor:
        """Return zeros: moving changes no volume."""
        return x.new_zeros(len(x))

    def spread(self, coarse: Tensor) -> Tensor:
        """Compute from the coarse bands what is added to the fine ones."""
        return LIVELY * self.lay(self.mixed(self.read(coarse)))

    def mixed(self, thumbnail: Tensor) -> Tensor:
        """Rotate a thumbnail over all blocks: (n, READ, g, g) to (n, carriers, g, g)."""
        tokens = thumbnail.flatten(2) @ (LIVELY * self.flat.T)
        each = torch.einsum("ki,nit->nkt", self.shares, tokens)
        turned = torch.einsum("kst,nkt->nks", LIVELY * self.rotations, each)
        return turned.unflatten(2, (self.grid, self.grid))

    def gathered(self, carried: Tensor) -> Tensor:
        """Rotate back: (n, carriers, g, g) to (n, READ, g, g)."""
        each = torch.einsum("kst,nks->nkt", LIVELY * self.rotations, carried.flatten(2))
        tokens = torch.einsum("ki,nkt->nit", self.shares, each) @ (LIVELY * self.back.T)
        return tokens.unflatten(2, (self.grid, self.grid))

    def filling(self, bands: Tensor, lost: Tensor) -> Tensor:
        """Estimate what was cut away from what is left.

        Parameters
        ----------
        bands : (n, 3 · 4 ** step, g, g) Tensor
            Of a picture; only pixels that are left are looked at.
        lost : (n, 1, height, width) Tensor

        Returns
        -------
        (n, 3 · 4 ** step, g, g) Tensor
            Bands of a picture that is zero wherever something is left.
        """
        seen = self._up(bands) * (1 - lost)
        coarse, fine = self._parted(self._down(seen))
        share = self._share(lost)
        kept = (share == 0).to(bands)
        estimate = self.thumbnail(coarse, fine, share, kept)
        quarters = haar_up(self.write(estimate)) / 2 ** (self.step - 1)
        picture = F.interpolate(quarters, lost.shape[-2:], mode="bilinear", align_corners=False)
        return self._down(picture * lost)

    def thumbnail(self, coarse: Tensor, fine: Tensor, share: Tensor, kept: Tensor) -> Tensor:
        """Estimate the thumbnail in rounds: what should be heard, what is, and what is likely."""
        # A block that is partly left is known by the mean of that part, but not exactly.
        known = self.read(coarse / (1 - share).clamp(min=0.25)) * (1 - share) * (share < 0.75)
        # A picture's own details are rare and large: whatever is larger than what is hidden says
        # little about it, and is limited.
        fine = UNIT * self.limits * torch.tanh(fine / UNIT / self.limits)
        heard = self.hear(torch.cat([known, fine], dim=1))
        more, trust = heard.chunk(2, dim=1)
        heard, trust = self.listen(fine) + more, kept * torch.sigmoid(trust)
        estimate = known
        for rate, prior in zip(self.rates, self.priors, strict=True):
            missing = trust * (heard - self.mixed(estimate))
            moved = estimate + (1 - kept) * rate * self.gathered(missing)
            guess = prior(torch.cat([moved, known, share], dim=1))
            estimate = moved + (1 - kept) * guess
        return estimate

    def _share(self, lost: Tensor) -> Tensor:
        """Average what is lost over blocks."""
        return F.avg_pool2d(lost, 2**self.step)

    def _taken(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Take the picture's bands, coarse enough, out of all."""
        bands, rest = x[:, : 3 * 4**self.level], x[:, 3 * 4**self.level :]
        for _ in range(self.step - self.level):
            bands = haar_down(bands)
        if bands.shape[-2:] != (self.grid, self.grid):
            side = self.grid * 2**self.step
            raise UsageError(
                f"This network carries information across pictures of {side} × {side} pixels, not "
                f"{x.shape[-1] * 2**self.level} × {x.shape[-2] * 2**self.level}: resize first."
            )
        return bands, rest

    def _put(self, bands: Tensor, rest: Tensor) -> Tensor:
        for _ in range(self.step - self.level):
            bands = haar_up(bands)
        return torch.cat([bands, rest], dim=1)

    def _parted(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        """Part the bands of all colours into coarse and fine ones."""
        each = bands.unflatten(1, (3, -1))
        return each[:, :, :COARSE].flatten(1, 2), each[:, :, COARSE:].flatten(1, 2)

    def _joined(self, coarse: Tensor, fine: Tensor) -> Tensor:
        parts = coarse.unflatten(1, (3, -1)), fine.unflatten(1, (3, -1))
        return torch.cat(parts, dim=2).flatten(1, 2)

    def _down(self, picture: Tensor) -> Tensor:
        for _ in range(self.step):
            picture = haar_down(picture)
        return picture

    def _up(self, bands: Tensor) -> Tensor:
        for _ in range(self.step):
            bands = haar_up(bands)
        return bands


def flattening(grid: int) -> tuple[Tensor, Tensor]:
    """Make matrices that amplify what is weak in photographs, fine waves, and that undo this.

    Waves of k periods across a photograph have a deviation of about 1 / (k + ½). With noise added
    on the way, and a given power, the least error is left when each is divided by the root of its
    deviation.

    Returns
    -------
    flat, back : (grid², grid²) Tensor
        For thumbnails as rows of blocks. `flat` keeps the power of typical ones.
    """
    place = torch.arange(grid) + 0.5
    waves = torch.cos(pi / grid * torch.arange(grid)[:, None] * place)
    waves = waves / waves.norm(dim=1, keepdim=True)
    both = torch.einsum("ax,by->abxy", waves, waves).reshape(grid * grid, -1)
    k = torch.arange(grid).float()
    deviation = 1 / (torch.hypot(k[:, None], k[None]).flatten() / 2 + 0.5)
    gain = deviation**-0.5
    gain = gain * ((deviation**2).sum() / (gain * deviation).square().sum()).sqrt()
    return both.T @ (gain[:, None] * both), both.T @ (both / gain[:, None])


def _chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _rotation(n: int, chance: torch.Generator) -> Tensor:
    """Draw an orthogonal matrix (n, n)."""
    turned, scales = torch.linalg.qr(torch.randn(n, n, generator=chance))
    return turned * scales.diagonal().sign()
