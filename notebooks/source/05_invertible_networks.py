# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 5 · Networks that run backwards
#
# **How can a network hide something and lose nothing?**
#
# *Before you begin:* lesson [00](00_start_here.ipynb); what a convolution, a gradient and a
# determinant are. Lesson [04](04_attacks.ipynb) (what JPEG does) helps with the last experiment.
#
# *Afterwards you will be able to*
#
# - build a network whose inverse is exact, from parts that have no inverse at all;
# - say how such a network changes volumes, and learn a density with that;
# - keep a deep one from overflowing, and know what spectral normalisation does and does not bound;
# - split a picture into Haar bands, and put couplings on them in the shape of a U;
# - hide a picture in another one, and say exactly where what is lost gets lost.

# %% [markdown] run_card=true
# *Data used:* the embedded photographs and pictures that the course draws itself. Nothing is
# downloaded.

# %% tags=["parameters"]
profile = "auto"  # smoke | cpu | gpu, or auto
seed = 0
photos = ""  # a folder with your own photographs; empty for the embedded ones

# %%
import time
from itertools import pairwise
from math import log, pi

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.attacks.chain import published
from course_lib.figures import grid, show
from course_lib.invertible import (AdditiveCoupling, AffineCoupling, ConditionalSplit, Invertible,
                                   InvertibleUNet, ScaleAndShift, Shift, Subnet)
from course_lib.leaves import dead_leaves
from course_lib.lesson import start
from course_lib.metrics import bootstrap, psnr
from course_lib.plots import lesson_05 as plots
from course_lib.teach.claims import claim

lesson = start("05", profile=profile, seed=seed, photos=photos)
device = lesson.device

# %% [markdown]
# ## 1 · A network that forgets nothing
#
# An ordinary network forgets. A classifier turns 150,000 numbers into ten; even a layer that keeps
# the size maps many inputs to the same output, as every ReLU that says 0 does. To hide a watermark
# in a picture and get it out again, one would train *two* networks, and hope that the second learns
# what the first did.
#
# The paper of lesson 06, *No way to crop* (2022), goes another way: **one** network, run in both
# directions. (Its system is called RWN, the *robust watermarking network*; we shall meet the name
# again.) Below is such a network with random weights. Nobody trained it. Four channels go in, the
# three colours of a photograph and one gray picture to be hidden, and come out as mush. Run
# backwards, the network returns all four.

# %%
def as_batch(picture):
    """An HxWx3 uint8 picture as a (1, 3, H, W) batch in [0, 1]."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def square(picture, side=192):
    """The middle of a picture, as a square."""
    edge = min(picture.shape[:2])
    top, left = ((length - edge) // 2 for length in picture.shape[:2])
    cut = picture[top : top + edge, left : left + edge]
    return cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA)


def roughen(network, factor=10.0):
    """Undo the small start of a network's last convolutions (section 5 explains it)."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, Subnet):
                module[-1].weight *= factor
    return network


def drawn(batch):
    """The first of a batch as an HxW or HxWx3 array."""
    return batch[0].detach().cpu().permute(1, 2, 0).squeeze(-1).numpy()


# %%
pictures = [square(picture) for picture in lesson.pictures(8, long_side=640)]
host, secret = pictures[0], pictures[-1]
gray_secret = as_batch(secret).mean(dim=1, keepdim=True)
both = torch.cat([as_batch(host), gray_secret], dim=1)  # (1, 4, 192, 192)
random_network = roughen(InvertibleUNet(3, 1, width=16), 14.0)
with torch.no_grad():
    mush = random_network(both)
    back = random_network.inverse(mush)
weights = sum(weight.numel() for weight in random_network.parameters())
print(f"{weights:,} random weights; largest error after there and back: {(back - both).abs().max():.0e}")

# %%
show(
    plots.scrambled(  # the mush squashed into [0, 1], so that it can be drawn
        drawn(both[:, :3]), drawn(mush[:, :3].sigmoid()), drawn(back[:, :3].clamp(0, 1))),
    photo=True,
    alt="Three pictures: a photograph; a noisy pattern of wrong colours in which its outlines are just "
    "visible; and the same photograph again.",
    caption="Forward through an untrained network, and back. The middle picture, with a fourth "
    "channel that is not drawn, holds all there is to know of the left one.",
)
claim("Run backwards, an untrained network returns its input to within rounding.",
      (back - both).abs().max() < 1e-3, f"largest error {(back - both).abs().max():.0e}")

# %% [markdown]
# ## 2 · One coupling
#
# **Idea.** Cut the input into two parts, $a$ and $b$. Add to $a$ anything that was computed from
# $b$:
#
# $$ a' = a + f(b), \qquad b' = b $$
#
# Whoever holds $a'$ and $b'$ still has $b$. So $f(b)$ can be computed once more, and taken off
# again: $a = a' - f(b)$. Nothing is asked of $f$. It is never inverted, so it may be any network,
# with ReLUs and dead ends as it likes. One such step leaves $b$ as it was. A second one returns
# the favour, and now both parts are changed:
#
# $$ b' = b + g(a') $$
#
# This is the *additive coupling* of NICE (2014). In the code $f$ is called `to_first` and $g$
# `to_second`, after the part that they move. `Shift` stands for any function from one tensor to
# another.

# %%
show(
    plots.coupling(),
    alt="Two diagrams with two lines each, a above and b below. Forward: network f reads b and its "
    "result is added to a, then network g reads the new a and its result is added to b. Backward: g "
    "reads a and is subtracted from b, then f reads b and is subtracted from a.",
    caption="A coupling and its inverse. The networks run forward in both; only the order of the steps "
    "and the signs are turned round.",
)

# %% quote="course_lib.invertible.couple"

# %% quote="course_lib.invertible.uncouple" exercise="5.1" minutes=10 difficulty=1
# hint: What came last is undone first: begin with the part that `couple` moved second.
# hint: The last step of `couple` read the part a that you now hold. So to_second(a) is the same
#   number as then.
# hint: Once b is what it was, to_first(b) can be computed again.

# %% [markdown]
# *Invariant.* The way back is exact even with functions that have no inverse whatever: one rounds
# down, the other says only the sign.

# %%
a, b = torch.randn(2, 5, 3, dtype=torch.float64)
moved = couple(a, b, torch.floor, torch.sign)
there_again = uncouple(*moved, torch.floor, torch.sign)
assert all(torch.allclose(one, other) for one, other in zip(there_again, (a, b)))
assert not torch.allclose(moved[0], a)

# %% [markdown]
# ## 3 · Scaling as well
#
# An additive coupling can only push numbers about. *Real NVP* (2017) lets each part also be
# **scaled** by what the other one tells:
#
# $$ a' = a \cdot e^{s(b)} + t(b), \qquad b' = b \cdot e^{s(a')} + t(a') $$
#
# The exponential keeps the scale above 0, so that one can always divide by it. As both parts
# change, the paper of lesson 06 calls this a *double-side* affine coupling. In Real NVP one part
# rests at a time.
#
# There is a catch. An exponential of an unbounded number is a dangerous thing: $e^{89}$ is more
# than float32 can hold. So the logarithm of the scale is kept within a limit $c$:
#
# $$ s \;\to\; c\,\big(2\sigma(s) - 1\big), \qquad \sigma(s) = \frac{1}{1 + e^{-s}} $$
#
# A scale then lies between $e^{-c}$ and $e^{c}$. With $c = 1$, as in the released code of the
# paper, no scale exceeds 2.72 or falls below 0.37. One network computes both $s$ and $t$: its
# output has twice the channels, the first half for $s$. From here on, $s$ is the bounded one.

# %% quote="course_lib.invertible.bounded_scale" exercise="5.2" minutes=10 difficulty=1
# hint: Tensor.chunk(2, dim=1) halves the channels: scales first, then shifts.
# hint: 2 σ(s) − 1 is an odd function from −1 to 1. It is tanh(s / 2).
# hint: Shifts are returned as they are.

# %%
wild = torch.tensor([-1e9, -2.0, 0.0, 2.0, 1e9, 7.0, 7.0, 7.0, 7.0, 7.0]).reshape(1, 10, 1, 1)
log_scale, shift = bounded_scale(wild, limit=1.0)
print("scales:", [f"{scale:.3f}" for scale in log_scale.exp().flatten().tolist()])
assert log_scale.abs().max() <= 1 and (shift == 7).all()

# %% [markdown]
# `affine_couple` does both steps. Each of the two functions that it is given returns a pair, the
# logarithm of a scale and a shift (`ScaleAndShift`). What comes out has three parts: $a'$, $b'$,
# and the sum of all logarithms of scales. Section 4 says what that sum is good for.

# %% quote="course_lib.invertible.affine_couple" exercise="5.3" minutes=15 difficulty=2
# hint: to_first(b) gives a pair: log_scale, shift. The scale is log_scale.exp().
# hint: The second step reads the part a that the first step has changed already.
# hint: log_scale.flatten(1).sum(1) is one number a sample; add up those of both steps.

# %% quote="course_lib.invertible.affine_uncouple"

# %%
halves = [lambda part: (torch.sign(part), torch.floor(part))] * 2
*moved, log_det = affine_couple(a, b, *halves)
assert all(torch.allclose(one, other) for one, other in zip(affine_uncouple(*moved, *halves), (a, b)))

# %% [markdown]
# ## 4 · How volumes change
#
# Take a small cube of inputs. Where it comes out it is a skewed, stretched thing, and its volume is
# that of the cube times $|\det J|$, with $J$ the matrix of all derivatives of outputs by inputs. A
# colour picture of 256 × 256 px has 196,608 numbers, and $J$ as many rows: its determinant is out
# of reach. For a coupling it is free. In the first step $b$ stays as it is, and each number of $a$
# depends on itself through its own scale alone. So $J$ is triangular, with scales and ones on its
# diagonal:
#
# $$ J = \begin{pmatrix} \operatorname{diag}(e^{s(b)}) & \partial a' / \partial b \\ 0 & I
# \end{pmatrix}, \qquad \log |\det J| = \sum_i s_i(b) $$
#
# How $a'$ depends on $b$, through whatever networks, stands in the corner that does not count.
# Growths of volume multiply from step to step, so their logarithms add. (All logarithms here are
# natural ones.) An additive coupling has all $s_i = 0$: it bends space, and keeps every volume. We
# check that against the whole matrix, by automatic differentiation.

# %%
layer = roughen(AffineCoupling(2, 1, width=8)).double()
x = torch.randn(1, 3, 3, 2, dtype=torch.float64)
jacobian = torch.autograd.functional.jacobian(layer, x).reshape(x.numel(), x.numel())
whole = torch.linalg.slogdet(jacobian).logabsdet
print(f"log |det J|: {layer.log_det(x).item():.9f} by adding scales, {whole.item():.9f} by the matrix")
assert torch.allclose(layer.log_det(x), whole)

# %% [markdown]
# ### What that is good for
#
# Suppose a network $F$ turns data $x$ into plain noise $z = F(x)$, standard normal numbers. Then
# the density $p$ of the data is known as well. Where $F$ squeezes a large region of data into a
# little noise, data is thin; where it stretches, data is dense:
#
# $$ \log p(x) = \log \mathcal{N}(F(x);\, 0, 1) + \log |\det J(x)|, \qquad
# \log \mathcal{N}(z; 0, 1) = -\tfrac12 \sum_i \big( z_i^2 + \ln 2\pi \big) $$
#
# This is the *change of variables*. It can be maximised by gradient descent, and what comes out is
# a density that can be evaluated *and* drawn from: send noise backwards.

# %% quote="course_lib.invertible.log_likelihood" exercise="5.4" minutes=10 difficulty=2
# hint: Each number of a sample adds −(z² + ln 2π) / 2, the constant included.
# hint: Sum over all axes but the first: flatten(1).sum(1).
# hint: Where the network stretches (log_det > 0), a little region of data becomes much noise: data
#   is dense there. So log_det is added.

# %% [markdown]
# Two numbers are enough to see it. The data are points on two moons. One number is $a$, the other
# $b$; eight couplings stand in a row, and the networks in them are tiny perceptrons. Their last
# layers start small; section 5 says why.

# %%
class Flow(nn.Module):
    """Affine couplings on pairs of numbers: (n, 2) to (n, 2), and log |det J|."""

    def __init__(self, depth=8, width=32):
        super().__init__()
        nets = [nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
                              nn.Linear(width, 2)) for _ in range(2 * depth)]
        self.nets = nn.ModuleList(nets)
        with torch.no_grad():
            for net in nets:  # start near the identity
                net[-1].weight *= 0.1

    def steps(self):
        ready = [lambda part, net=net: bounded_scale(net(part)) for net in self.nets]
        return list(zip(ready[::2], ready[1::2]))

    def forward(self, x):
        (a, b), total = x.split(1, dim=1), 0.0
        for functions in self.steps():
            a, b, log_det = affine_couple(a, b, *functions)
            total = total + log_det
        return torch.cat([a, b], dim=1), total

    def inverse(self, z):
        a, b = z.split(1, dim=1)
        for functions in reversed(self.steps()):
            a, b = affine_uncouple(a, b, *functions)
        return torch.cat([a, b], dim=1)


# %%
def two_moons(count, generator):
    """Two half circles with a little noise: (count, 2), mean 0, deviation 1."""
    angle = pi * torch.rand(count, generator=generator)
    upper = torch.rand(count, generator=generator) < 0.5
    x = torch.where(upper, angle.cos() - 0.5, 0.5 - angle.cos())
    y = torch.where(upper, angle.sin() - 0.25, 0.25 - angle.sin())
    noise = 0.07 * torch.randn(count, 2, generator=generator)
    return (torch.stack([x, y], dim=1) + noise) / torch.tensor([0.87, 0.5])


generator = torch.Generator().manual_seed(seed)
moons, unseen = two_moons(4000, generator), two_moons(2000, generator)
torch.manual_seed(seed)
flow = Flow()
steps = lesson.pick(smoke=20, cpu=900, gpu=2500)
optimiser = torch.optim.Adam(flow.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps, pct_start=0.1)
began = time.perf_counter()
for _ in range(steps):
    chosen = torch.randint(len(moons), (512,), generator=generator)
    loss = -log_likelihood(*flow(moons[chosen])).mean()
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
    optimiser.step()
    schedule.step()
print(f"{steps} steps in {time.perf_counter() - began:.0f} s")

# %% [markdown]
# To compare: the normal distribution that fits the same points best. Points that nobody trained on
# should be likelier under the couplings. (A *nat* is the unit of natural logarithms: one nat more
# is a density $e$ times as large.)

# %%
normal = torch.distributions.MultivariateNormal(moons.mean(dim=0), moons.T.cov())
with torch.no_grad():
    hidden, log_det = flow(unseen)
    ours, plain = log_likelihood(hidden, log_det), normal.log_prob(unseen)
    error = (flow.inverse(hidden) - unseen).abs().max()
better = bootstrap((ours - plain).numpy())
print(f"log likelihood of unseen points: couplings {ours.mean():.2f}, normal {plain.mean():.2f} nats; "
      f"there and back {error:.0e}")
if lesson.profile.name != "smoke":  # a few steps learn little
    claim("Couplings describe the moons better than any normal distribution.", better.low > 0.5,
          f"by {better:.2f} nats a point")

# %%
edge = 3.0
line = torch.linspace(-edge, edge, 200)
mesh = torch.cartesian_prod(line, line)
with torch.no_grad():
    density = log_likelihood(*flow(mesh)).exp().reshape(200, 200).T
    made = flow.inverse(torch.randn(1200, 2, generator=generator))
mass = float(density.sum() * (line[1] - line[0]) ** 2)
print(f"the density sums to {mass:.3f} over the square from {-edge:g} to {edge:g}")
show(
    plots.densities(unseen[:1200].numpy(), hidden[:1200].numpy(), made.numpy(), density.numpy(), edge),
    alt="Four panels: points on two interleaved half circles; a round cloud around two dashed circles; "
    "new points on the half circles, with a few strays between them; and a bright map of two half circles.",
    caption="Data, the same data sent forward (circles: one and two standard deviations), noise sent "
    "backward, and the learned density. A few new points lie between the moons, as a map without tears "
    "cannot cut the cloud in two.",
)
if lesson.profile.name != "smoke":
    claim("The density sums to one, without anybody having asked for it.", abs(mass - 1) < 0.03,
          f"{mass:.3f}")

# %% [markdown]
# RWN never maximises a likelihood. But it inherits what couplings are: exact both ways, with a
# volume change that can be read off.

# %% [markdown]
# ## 5 · Why it does not explode
#
# Exact inverses are a promise of algebra. Computers add two things: numbers overflow, and they are
# rounded. Both get worse with depth. First overflow: a picture of random numbers goes through 24
# couplings, with the limit of section 3 and without.

# %%
DEPTHS = list(range(1, 25))


def largest_numbers(limit, factor, kind=AffineCoupling):
    """Largest absolute value after each of many couplings; limit None: no bound."""
    torch.manual_seed(seed)
    options = {"limit": limit} if limit else {}
    chain = [roughen(kind(2, 2, width=16, **options), factor) for _ in DEPTHS]
    x, found = torch.rand(1, 4, 16, 16, generator=torch.Generator().manual_seed(seed)), []
    for layer in chain:
        if limit is None and kind is AffineCoupling:  # take s as it comes, without `bounded_scale`
            raw = [lambda part, net=net: net(part).chunk(2, 1) for net in layer.children()]
            x = torch.cat(affine_couple(*x.split(2, dim=1), *raw)[:2], dim=1)
        else:
            x = layer(x)
        found.append(float(x.abs().max()))
    return np.array(found)


# %%
with torch.no_grad():
    growth = {"no bound": largest_numbers(None, 14), "limit 2": largest_numbers(2.0, 14),
              "limit 1": largest_numbers(1.0, 14),
              "moved only": largest_numbers(None, 14, AdditiveCoupling),
              "no bound, small start": largest_numbers(None, 1)}
for name, values in growth.items():
    finite = np.isfinite(values)
    end = f"{values[-1]:.1e}" if finite.all() else f"overflow at coupling {finite.argmin() + 1}"
    print(f"{name:22} after 6: {values[5]:7.1f}   after 24: {end}")
claim("Without a bound numbers overflow; with a bound, or a small start, they do not.",
      not np.isfinite(growth["no bound"][-1])
      and all(np.isfinite(values).all() for name, values in growth.items() if name != "no bound"))
show(
    plots.growth(growth, DEPTHS),
    alt="The largest number against the number of couplings, on a logarithmic axis. Without a bound it "
    "grows slowly for a while, then shoots up and overflows. Limit 2 grows steadily, limit 1 and moving "
    "only far more slowly; with a small start it stays at 1.",
    caption="Untrained couplings; the last convolutions have 1.4 times the weights that PyTorch draws. "
    "*Small start*: a tenth of what PyTorch draws.",
)

# %% [markdown]
# Without a bound it goes well for a while, and then within a few couplings it is over: a large
# number makes a large $s$, whose exponential makes a much larger number. A bound breaks that chain.
# A limit of $c$ still allows a factor $e^{c}$ a coupling, so growth may be exponential in depth, as
# the line of limit 2 is; but no faster.
#
# The other means is a **start near the identity**. In the course the last convolution of every
# network inside a coupling begins at a tenth of the usual weights (zero in the released code).
# Then $s$ and $t$ are small, 24 couplings change little, and training starts from "the picture is
# hardly changed". That is half of what hiding asks for, before the first step.
#
# ### Lipschitz: how much anything can be stretched
#
# (This part may wait for a second reading.) Overflow is the worst case of *stretching*: two inputs
# that are close come out far apart. A map with $|f(x) - f(y)| \le L\,|x - y|$ for all $x, y$ is
# called $L$-Lipschitz; $|\cdot|$ is the length of a vector. If $f$ and $g$ of an additive coupling
# have the constants $L_f$ and $L_g$, then the coupling has the constant
#
# $$ (1 + L_f)\,(1 + L_g), $$
#
# since each step adds to one part at most $L$ times the change of the other. Its inverse takes the
# same steps with a minus, and has the same constant. So a rounding error on the way back grows by no
# more than that, and if the networks inside are tame, everything is. How tame is a network? Leaky
# ReLUs stretch nothing, so a chain of convolutions stretches at most by the product of what each
# of them does; and a residual block, $x + h(x)$, by at most $1 + L_h$.
#
# How much does one convolution stretch? Let the picture go on at one edge where it ended at the
# other. Then a convolution treats each frequency separately: the Fourier transform turns a kernel of
# $c_{\text{in}}$ to $c_{\text{out}}$ channels into a $c_{\text{out}} \times c_{\text{in}}$ matrix
# for each frequency. The most by which a matrix stretches any vector is its largest *singular
# value*, and the largest of them all is the answer.

# %% quote="course_lib.invertible.convolution_norm" exercise="5.5" minutes=20 difficulty=3
# hint: torch.fft.fft2(weight, s=size) pads the kernel to the picture's size and transforms it; the
#   last two axes are then frequencies.
# hint: torch.linalg.svdvals works on the last two axes, so move the frequencies to the front:
#   permute(2, 3, 0, 1).
# hint: svdvals returns all singular values of every matrix. The worst frequency counts, so one
#   number is left.

# %%
blur = torch.full((1, 1, 3, 3), 1 / 9)
edges = torch.tensor([[[[1.0, -2.0, 1.0]]]])
print(f"a 3 × 3 mean stretches by {convolution_norm(blur, (16, 16)):.2f}, "
      f"the second difference 1, −2, 1 by {convolution_norm(edges, (16, 16)):.2f}")
assert torch.allclose(convolution_norm(blur, (16, 16)), torch.tensor(1.0))

# %% [markdown]
# **Spectral normalisation** (Miyato et al., 2018) divides the weights by a norm, so that training
# cannot make them large. Careful: what it normalises is the kernel written as a matrix with a row
# for each output channel. A pixel takes part in nine windows of a 3 × 3 kernel, so the convolution
# itself may stretch by up to $\sqrt{9} = 3$. Let us look at a network after a training that went
# astray (weights five times too large), with and without.

# %%
def stretches(bounded):
    """Each convolution's norm; what they allow the network; the most seen on pairs of inputs."""
    torch.manual_seed(seed)
    network = Subnet(3, 3, width=16, bounded=bounded)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                raw = module.parametrizations.weight.original if bounded else module.weight
                raw *= 5
        for _ in range(40):  # in training mode spectral normalisation settles
            network(torch.rand(1, 3, 8, 8))
        network.eval()
        norms = {name: float(convolution_norm(module.weight, (18, 18)))  # 16 px and a margin of zeros
                 for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
        x, change = torch.rand(64, 3, 16, 16), 1e-3 * torch.randn(64, 3, 16, 16)
        seen = (network(x + change) - network(x)).flatten(1).norm(dim=1) / change.flatten(1).norm(dim=1)
    first, inner, outer, last = norms.values()
    return norms, first * (1 + inner * outer) * last, float(seen.max())


# %%
for bounded in (False, True):
    norms, bound, seen = stretches(bounded)
    listed = ", ".join(f"{norm:.1f}" for norm in norms.values())
    print(f"spectral norm {'on: ' if bounded else 'off:'} convolutions {listed}; "
          f"bound {bound:.0f}, seen {seen:.2f}")
    claim("No pair of inputs is pulled apart by more than the norms allow.", seen <= bound)
claim("With spectral normalisation a 3 × 3 convolution stretches by less than 3.", max(norms.values()) < 3)

# %% [markdown]
# The guarantee is real but loose. What happens to typical inputs is far below it: they are not the
# worst ones, and the worst one of a layer is not the worst one of the next. Two more things to know.
# For an *affine* coupling there is no such constant at all: the derivative of $a'$ by $b$ holds
# $a\, e^{s(b)} s'(b)$, which grows with $a$. For pictures, whose numbers end at 1, a bounded scale
# keeps it finite, not small. And spectral normalisation sets the small start of the last convolution
# aside, as it brings every kernel to norm 1. RWN in this course therefore relies on the small start
# and the bounded scale; `bounded=True` is a switch.
#
# ### Rounding, by depth
#
# How exact is the way back in practice? Float32 keeps 7 digits, float64 keeps 16. Each coupling
# rounds, and the next ones stretch what was rounded. The way back is the worse half: where the way
# there has squeezed, it must stretch.

# %%
LONG = lesson.pick(smoke=[1, 4, 16], cpu=[1, 2, 4, 8, 16, 32, 64], gpu=[1, 2, 4, 8, 16, 32, 64])
errors = {}
for name, factor in (("small start", 1.0), ("usual start", 10.0), ("twice the usual", 20.0)):
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(seed)
        chain = [roughen(AffineCoupling(2, 2, width=16), factor).to(dtype) for _ in range(LONG[-1])]
        x0 = torch.rand(1, 4, 16, 16, dtype=dtype, generator=torch.Generator().manual_seed(seed))
        found = []
        with torch.no_grad():
            for depth in LONG:
                x = x0
                for layer in chain[:depth]:
                    x = layer(x)
                for layer in reversed(chain[:depth]):
                    x = layer.inverse(x)
                found.append(float((x - x0).abs().max()))
        errors[f"{name}, {str(dtype)[-7:]}"] = np.array(found)

# %%
for name, found in errors.items():
    by_depth = dict(zip(LONG, found))
    print(f"{name:24} error after 1, 16, {LONG[-1]} couplings: "
          f"{by_depth[1]:.0e}, {by_depth[16]:.0e}, {found[-1]:.0e}")
show(
    plots.rounding(errors, LONG),
    alt="Errors there and back against depth, both axes logarithmic. With the small start they stay near "
    "1e-7 in float32 and 1e-16 in float64. With larger weights both stay low for a while and then rise "
    "steeply, some nine decades apart.",
    caption="Rounding errors grow with depth, and with how much the couplings stretch. *Usual start*: the "
    "weights that PyTorch draws. Float64 has nine decades to spare, and they do not last for ever.",
)
claim(f"Near the identity, {LONG[-1]} couplings are exact to 1e-4 in float32 and to 1e-10 in float64.",
      errors["small start, float32"][-1] < 1e-4 and errors["small start, float64"][-1] < 1e-10)
claim("Couplings that do more, round more.",
      errors["twice the usual, float64"][-1] > 10 * errors["small start, float64"][-1])

# %% [markdown]
# So "exact inverse" means: exact in algebra, and as exact in numbers as the network is gentle. A
# network that stretches wildly has an inverse on paper only (Behrmann et al., 2021). Gentle it must
# be anyway, if the protected picture is to look like the original.

# %% [markdown]
# ## 6 · Bands of a picture
#
# A convolution sees only what is near. An ordinary U-Net makes its planes smaller to see further,
# and forgets on the way. A **Haar transform** makes them smaller and forgets nothing. Each block of
# 2 × 2 pixels $\left(\begin{smallmatrix} p & q \\ r & s \end{smallmatrix}\right)$ becomes four
# numbers: its sum, and its differences along x, along y, and along both, all halved.
#
# $$ \begin{pmatrix} m \\ x \\ y \\ d \end{pmatrix} = \frac12 \begin{pmatrix} 1 & 1 & 1 & 1 \\
# 1 & -1 & 1 & -1 \\ 1 & 1 & -1 & -1 \\ 1 & -1 & -1 & 1 \end{pmatrix}
# \begin{pmatrix} p \\ q \\ r \\ s \end{pmatrix} $$
#
# Four planes, or *bands*, of half the width and height, and not a number more or less. ($m$ is twice
# the mean of a block; we call its band the means all the same.) The matrix is *orthonormal*: its
# rows have length 1 and are at right angles. So it changes no length and no volume, $\log|\det J|$
# is 0, and its inverse is its transpose. As it is symmetric, that is the matrix itself.

# %% quote="course_lib.invertible.haar_down" exercise="5.6" minutes=15 difficulty=2
# hint: x[..., 0::2, 1::2] is the upper right pixel of each block: even rows, odd columns.
# hint: torch.stack(four bands, dim=2) makes (n, c, 4, h/2, w/2); flatten(1, 2) joins channel and
#   band.
# hint: The factor ½ belongs to all four.

# %% quote="course_lib.invertible.haar_up" exercise="5.7" minutes=15 difficulty=2
# hint: bands.unflatten(1, (-1, 4)).unbind(2) gives back the four bands of every channel.
# hint: The matrix is symmetric and its own inverse: the same signs put the pixels together.
# hint: Stack the two pixels of a row along a new last axis (dim=-1), then the two rows along a new
#   axis before the width (dim=-3). That is (n, c, h, 2, w, 2); flatten w with its 2, then h with its.

# %%
gray = gray_secret
found = haar_down(gray)
assert torch.allclose(haar_up(found), gray, atol=1e-6)
assert torch.allclose(found.square().sum(), gray.square().sum())  # lengths are kept
energy = found.square().sum(dim=(0, 2, 3)) / gray.square().sum()
print("shares of the energy, the sum of squares: " + ", ".join(f"{name} {share:.2%}"
      for name, share in zip(("means", "along x", "along y", "along both"), energy.tolist())))
show(
    plots.bands(gray[0, 0].numpy(), found[0].numpy()),
    photo=True,
    alt="A gray photograph, and its four bands at half the size: a small copy of it, and three gray "
    "planes with its vertical edges, its horizontal edges, and few diagonal details.",
    caption="Haar bands; the differences three times enlarged around gray.",
)
claim("Nearly all energy of a photograph lies in the means.", energy[0] > 0.9, f"{energy[0]:.1%}")

# %% [markdown]
# The differences of a photograph are small. So there is room: what is written there, faintly, is
# seen least. Repeating the transform on all planes gives 16 bands a channel of a quarter of the
# width and height, then 64 of an eighth. One step on those is 8 pixels wide.

# %% [markdown]
# ## 7 · The U-shape
#
# The paper's network has four channels: three of a picture $I$, one of a watermark $W$. In the
# released code it goes down three Haar steps with two couplings after each, and up again with two,
# two and none. The two parts of every coupling are the picture's bands and the watermark's. They stay
# apart throughout; only couplings carry something across. Out come a **protected** picture $I_M$ and
# a **rest** $R$ of one channel, which is going to be thrown away. So before that, at the very end, a
# **conditional split** takes off the rest all that can be *predicted* of it from the picture:

# %% quote="course_lib.invertible.ConditionalSplit"

# %% [markdown]
# It is a coupling with one step only, and its inverse adds the prediction. Here is the whole
# network as a ledger of shapes, as the layers themselves report it.

# %%
network = InvertibleUNet(width=8)  # the paper's shape; its subnets are 64 wide
batch, stops = torch.rand(1, 4, 64, 64), [("input", (4, 64, 64))]
for layer in network.layers:
    batch = layer(batch)
    stops.append((type(layer).__name__, tuple(batch.shape[1:])))
for name, shape in stops:
    channels, height, width = shape
    print(f"{name:17} {channels:4} × {height:2} × {width:2} = {channels * height * width:,} numbers, "
          f"{channels * 3 // 4} of them picture planes and {channels // 4} watermark")
assert len({channels * height * width for _, (channels, height, width) in stops}) == 1

# %%
show(
    plots.u_shape(stops),
    alt="A path in the shape of a U: three Haar steps down, each followed by two couplings, then up with "
    "two couplings after each of the first two steps and none after the third, then the conditional "
    "split. Labels count channels and pixels.",
    caption="Channels × height × width after each step. Every stop holds equally many numbers.",
)

# %% [markdown]
# ### A side gain: memory
#
# To train a network, one keeps what every layer computed, as the gradient will need it. An
# invertible network need not. What went into a layer can be *computed back* from what came out
# (Gomez et al., 2017). So a backward pass needs one layer's numbers at a time: more arithmetic, and
# memory that does not grow with depth.

# %%
def backward_by_inverse(layers, y, slope):
    """Backward pass that recomputes each layer's input from its output."""
    for layer in reversed(layers):
        with torch.no_grad():
            x = layer.inverse(y)
        x.requires_grad_()
        torch.autograd.backward(layer(x), slope)
        y, slope = x.detach(), x.grad
    return slope


def most_kept(work, *given):
    """Megabytes that automatic differentiation holds at most at a time during ``work(*given)``."""
    held = {"now": 0, "most": 0}

    class Kept:
        def __init__(self, tensor):
            self.tensor, self.size = tensor, tensor.numel() * tensor.element_size()
            held["now"] += self.size
            held["most"] = max(held["most"], held["now"])

        def __del__(self):
            held["now"] -= self.size

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        work(*given)
    return held["most"] / 1e6


# %%
def usual_backward(layers, x):
    """Backward pass that keeps what every layer computed."""
    for layer in layers:
        x = layer(x)
    x.sum().backward()


megabytes = []
for depth in (2, 8, 32):
    torch.manual_seed(seed)
    chain = nn.ModuleList(AffineCoupling(2, 2, width=16) for _ in range(depth)).double()
    x = torch.rand(1, 4, 32, 32, dtype=torch.float64)
    stored = most_kept(usual_backward, chain, x)
    kept_gradient = chain[0].to_first[0].weight.grad.clone()
    chain.zero_grad()
    with torch.no_grad():
        y = nn.Sequential(*chain)(x)
    recomputed = most_kept(backward_by_inverse, chain, y, torch.ones_like(y))
    assert torch.allclose(chain[0].to_first[0].weight.grad, kept_gradient, atol=1e-8)
    megabytes.append(recomputed)
    print(f"{depth:3} couplings: {stored:6.1f} MB kept, {recomputed:4.1f} MB when recomputed")
claim("Recomputed, memory does not grow with depth, and the gradients are the same.",
      max(megabytes) < 1.05 * min(megabytes) and recomputed < stored / 8)

# %% [markdown]
# ## 8 · Hiding as an inverse problem
#
# Now the network, $P$ for short, gets its task. Forward, it shall turn a picture and a watermark into
# a picture that looks the same, and a rest that holds nothing:
#
# $$ (I_M, R) = P(I, W), \qquad I_M \approx I, \quad R \approx 0.5 $$
#
# Backward, from a picture and a *constant*, it shall return both:
#
# $$ (\hat I, \hat W) = P^{-1}(I_M, 0.5), \qquad \hat I \approx I, \quad \hat W \approx W $$
#
# With the true rest the way back is exact, always, trained or not: what the way there loses was made
# an output of its own (Ardizzone et al., 2019, treat other inverse problems like that). All that can
# go wrong is the difference between $R$ and 0.5. Four channels go in, three are published: a
# picture's worth of numbers has to carry a watermark's worth more. What training does is to *choose
# what is lost*.
#
# Before any training, what comes back?

# %%
def hide(network, picture, watermark):
    """(protected, rest) of (n, 3, h, w) pictures and (n, 1, h, w) watermarks."""
    return network(torch.cat([picture, watermark], dim=1)).split([3, 1], dim=1)


def reveal(network, protected, rest=None):
    """(picture, watermark); without a rest, 0.5 takes its place."""
    if rest is None:
        rest = torch.full_like(protected[:, :1], 0.5)
    return network.inverse(torch.cat([protected, rest], dim=1)).split([3, 1], dim=1)


torch.manual_seed(seed)
hider = InvertibleUNet(3, 1, down=(3,), up=(0,), width=16).to(device)
cover, mark = as_batch(host).to(device), gray_secret.to(device)


def report(when, network):
    """Print PSNRs of what comes back with the true rest, and with 0.5."""
    with torch.no_grad():
        protected, rest = hide(network, cover, mark)
        print(f"{when}: protected picture {psnr(drawn(protected), drawn(cover)):.1f} dB")
        for name, given in (("true rest", rest), ("0.5", None)):
            _, seen = reveal(network, protected, given)
            print(f"   watermark from {name:9} {psnr(drawn(seen), drawn(mark)):6.1f} dB")


report("untrained", hider)

# %% [markdown]
# With the true rest there is only rounding. With 0.5 next to nothing of the watermark is there:
# it had stayed in its own channel, the one that was thrown away.
#
# Now we train, for about a minute on two cores. Pictures are random crops of 48 px from the
# remaining photographs and from *dead leaves*, shapes upon shapes that the course draws; watermarks
# are gray crops, drawn anew from the same. The loss is made of squared differences: protected
# against original, both results of the way back, and, with a small weight, the rest against 0.5. No
# attack comes between the two directions. Lesson 06 adds those.

# %%
leaves = [dead_leaves(192, number) for number in range(lesson.pick(smoke=4, cpu=24, gpu=48))]
stack = np.stack([*pictures[1:-1], *leaves])
rng = np.random.default_rng(seed)


def crops(count, side=48):
    """Random crops of the training pictures: (count, 3, side, side), half of them mirrored."""
    which = rng.integers(len(stack), size=count)
    y, x = rng.integers(stack.shape[1] - side + 1, size=(2, count))
    cut = np.stack([stack[k, i : i + side, j : j + side] for k, i, j in zip(which, y, x)])
    cut[::2] = cut[::2, :, ::-1]
    return torch.from_numpy(cut).permute(0, 3, 1, 2).float().to(device) / 255


def losses(network, picture, watermark):
    """Squared errors of a way there and back with 0.5 for the rest."""
    protected, rest = hide(network, picture, watermark)
    picture_back, watermark_back = reveal(network, protected)
    pairs = {"protected": (protected, picture), "watermark": (watermark_back, watermark),
             "picture": (picture_back, picture), "rest": (rest, torch.full_like(rest, 0.5))}
    return {name: F.mse_loss(*pair) for name, pair in pairs.items()}


# %%
steps = lesson.pick(smoke=6, cpu=400, gpu=2500)
optimiser = torch.optim.Adam(hider.parameters(), 2e-3, betas=(0.9, 0.99))
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.1)
curves = {"protected picture": [], "watermark from 0.5": []}
began = time.perf_counter()
for _ in range(steps):
    found = losses(hider, crops(6), crops(6).mean(dim=1, keepdim=True))
    loss = found["protected"] + found["watermark"] + found["picture"] + 0.1 * found["rest"]
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(hider.parameters(), 1.0)
    optimiser.step()
    schedule.step()
    for name, part in zip(curves, ("protected", "watermark")):
        curves[name].append(-10 * log(found[part].item(), 10))
print(f"{steps} steps in {time.perf_counter() - began:.0f} s")
report("trained", hider)

# %%
show(
    plots.learning(curves),
    alt="Two rising curves of PSNR over the steps of training: the protected picture first falls below "
    "its start and then rises above it, the watermark rises from little more than 10 dB.",
    caption="Training. The protected picture starts well (nothing is hidden yet), gives way, and recovers "
    "as the network finds out where to write.",
)

# %% [markdown]
# ### On pictures it has not seen

# %%
def as_file(picture):
    """What an 8-bit file keeps of a (1, 3, H, W) picture, as an HxWx3 uint8 array."""
    return np.rint(255 * drawn(picture).clip(0, 1)).astype(np.uint8)


with torch.no_grad():
    protected, rest = hide(hider, cover, mark)
    unhidden = {"true rest": reveal(hider, protected, rest)[1], "0.5": reveal(hider, protected)[1]}
difference = 0.5 + 10 * (protected - cover)
show(
    plots.hidden([
        {"picture": drawn(cover), "watermark": drawn(mark), "protected": drawn(protected)},
        {"difference × 10": drawn(difference), "from the true rest": drawn(unhidden["true rest"]),
         "from 0.5": drawn(unhidden["0.5"])},
    ]),
    photo=True,
    alt="Six pictures: a photograph, a gray one, and the protected photograph, which looks like the first "
    "but for a trace of grain in the sky; below, their difference ten times enlarged, a fine pattern of "
    "coloured dots with outlines of both, and the gray picture as it comes back with the true rest and, a "
    "little softer, with 0.5.",
    caption="A gray photograph hidden in another. With the true rest it comes back exactly; with 0.5 it comes "
    "back well.",
)

# %%
others = [as_batch(dead_leaves(192, 1000 + number)).to(device) for number in range(8)]
pairs = [(cover, mark), (as_batch(secret).to(device), cover.mean(dim=1, keepdim=True))]
pairs += [(one, other.mean(dim=1, keepdim=True)) for one, other in pairwise(others)]
table = {"protected picture": [], "watermark, true rest": [], "watermark, 0.5": []}
with torch.no_grad():
    for picture, watermark in pairs:
        protected, rest = hide(hider, picture, watermark)
        table["protected picture"].append(psnr(drawn(protected), drawn(picture)))
        for name, given in (("true rest", rest), ("0.5", None)):
            seen = reveal(hider, protected, given)[1]
            table[f"watermark, {name}"].append(psnr(drawn(seen), drawn(watermark)))
for name, values in table.items():
    print(f"{name:22} PSNR {bootstrap(np.array(values)):.1f} dB")
claim("With the true rest nothing is lost; with 0.5 something is.",
      min(table["watermark, true rest"]) > 80 and max(table["watermark, 0.5"]) < 60)
if lesson.profile.name != "smoke":
    claim("In a minute the network learns to hide a whole gray picture.",
          np.mean(table["watermark, 0.5"]) > 22 and np.mean(table["protected picture"]) > 28)

# %% [markdown]
# Where is it written? The difference between the protected picture and the original says it. Its
# Haar bands tell coarse from fine. The mean of its three colours is its gray part; what remains is
# colour.

# %%
with torch.no_grad():
    written = torch.cat([hide(hider, *pair)[0] - pair[0] for pair in pairs])
energy = haar_down(written).unflatten(1, (3, 4)).square().sum(dim=(0, 1, 3, 4))
shares = (energy / energy.sum()).tolist()
gray_part = 3 * written.mean(dim=1).square().sum() / written.square().sum()
print("energy of what is written: " + ", ".join(f"{name} {share:.0%}" for name, share in
      zip(("means", "along x", "along y", "along both"), shares)) + f"; gray {gray_part:.0%}, "
      f"colour {1 - gray_part:.0%}")
if lesson.profile.name != "smoke":
    claim("The network writes into fine detail and colour, not into the means.",
          shares[0] < 0.25 and shares[3] == max(shares) and gray_part < 0.5,
          f"means {shares[0]:.0%}, along both {shares[3]:.0%}, colour {1 - gray_part:.0%}")

# %% [markdown]
# It writes a fine pattern of coloured dots, each at the very place of what it stands for: mostly into
# the band in which a photograph has least of its own (section 6), and more in colour than in gray.
# That is a cheap code, and all that was asked for.
#
# ### One JPEG
#
# A published picture is rarely left alone. Save it once as a JPEG file (`published` is lesson 04's),
# or crop it and enlarge the crop to the old size, and look again.

# %%
def attacked(protected, watermark):
    """What a watermark's reader gets, and what it should see, after each of some attacks."""
    picture, true = as_file(protected), drawn(watermark)
    height, width = true.shape
    cut = np.s_[height // 10 : -(height // 10), width // 10 : -(width // 10)]
    made = {"PNG": (picture, true)}
    for quality in (95, 70):
        made[f"JPEG {quality}"] = published(picture, f"jpeg{quality}"), true
    made["crop 80 %, enlarged"] = tuple(cv2.resize(each[cut], (width, height)) for each in (picture, true))
    return made


def likeness(one, other):
    """Correlation of two pictures; a constant one is like nothing."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) if one.std() > 0 else 0.0


# %%
liked, seen_after = {}, {}
with torch.no_grad():
    for number, (picture, watermark) in enumerate(pairs):
        protected, _ = hide(hider, picture, watermark)
        for name, (received, true) in attacked(protected, watermark).items():
            seen = drawn(reveal(hider, as_batch(received).to(device))[1])
            liked.setdefault(name, []).append(likeness(seen, true))
            if number == 0:
                seen_after[name] = seen
for name, values in liked.items():
    print(f"{name:20} correlation with the watermark {bootstrap(np.array(values)):.2f}")
show(
    plots.hidden([seen_after]),
    photo=True,
    alt="Four extracted watermarks: a clear gray photograph from the PNG; after JPEG 95, JPEG 70 and cropping "
    "dull gray pictures in which edges of the cover photograph are seen, and nothing of the watermark.",
    caption="What is read from the protected picture, by what has happened to it. When the mark is gone, the "
    "inverse takes the picture's own edges for it.",
)
if lesson.profile.name != "smoke":
    claim("What survives a PNG does not survive a JPEG of quality 70.",
          np.mean(liked["JPEG 70"]) < np.mean(liked["PNG"]) - 0.3)

# %% [markdown]
# So an inverse alone is no watermark. It is exact for what it was given, and helpless when that
# has changed. Fine detail is what JPEG throws away first, and fine colour before all, as it stores
# colour at half the resolution. A crop that is enlarged leaves no pixel where it was. Even quality
# 95, which hardly an eye tells from the original, takes most of the mark.
#
# Lesson 06 puts the attacks between the two directions while it trains, from the first step on, and
# the network learns to write something quite different: coarser, redundant, and still invisible.

# %% [markdown]
# ## 9 · Play with couplings
#
# A grid of points, each with two numbers, goes through couplings with random networks, and back.
# Deepen them; turn the bound off; then lose the second number, and see what one number can say.

# %%
from course_lib.invertible_explore import KINDS, WAYS, cases, coupling_explorer, draw_grid, travel

explorer = coupling_explorer()
explorer.show()

# %% [markdown]
# The same in print:

# %%
settings = [{}, {"kind": KINDS[1], "depth": 4}, {"kind": KINDS[1], "depth": 12, "strength": 1.2},
            {"kind": KINDS[2], "depth": 3, "strength": 1.5},
            {"kind": KINDS[1], "depth": 4, "way": WAYS[1]}]
names = ["2 additive", "4 bounded", "12 bounded, wild", "3 unbounded", "4, one lost"]
ways = [travel({**explorer.settings, **setting}) for setting in settings]
after, returned = [draw_grid(way.after, way.volume) for way in ways], [draw_grid(way.back) for way in ways]
show(
    grid([*after, *returned], [*names, *["and back"] * len(ways)], columns=len(ways),
         interpolation="antialiased")[0],
    alt="Five settings of the explorer, the grid after the couplings and below it the grid that comes back: "
    "two additive couplings, sheared with equal areas; four with bounded scales, cells light and dark; "
    "twelve, stretched out of the panel, so that the grid comes back with a frayed corner; unbounded scales, "
    "overflowed; and the second number lost, which brings the grid back as a single curve.",
    caption="Additive couplings keep areas; scales change them (light: grown); too much of it, and rounding "
    "shows. With one number lost, all that comes back is a curve.",
)

# %% [markdown]
# ## Predict, then look
#
# Six grids went through two couplings each. Did these only *move* points, or *scale* as well? Think
# of what moving never changes. Commit to an answer; then the areas are coloured. Your score is kept
# in `trained/games/`.

# %%
from course_lib.predict import RECORDS, Game, Round

OPTIONS = ("only moved", "scaled as well")
kinds = [KINDS[int(scaled)] for scaled in lesson.rng.permutation([0, 0, 0, 1, 1, 1])]


def explained(journey, kind):
    """What gives the answer away."""
    if kind == KINDS[0]:
        return "Every cell has kept its area, whatever its shape."
    small, large = 2 ** journey.volume.min(), 2 ** journey.volume.max()
    return f"Areas of cells changed, by factors from {small:.2f} to {large:.1f}."


rounds = [Round(draw_grid(journey.after, side=420), OPTIONS[KINDS.index(kind)],
                draw_grid(journey.after, journey.volume, side=420), explained(journey, kind))
          for journey, kind in zip(cases(seed, kinds), kinds)]
game = Game("Did these couplings only move, or scale as well?", OPTIONS, rounds,
            record=RECORDS / "couplings.json")
game.show()

# %% [markdown]
# ## Exercises
#
# Your copy of this lesson, with seven definitions to write, is in
# [exercises/05_invertible_networks.ipynb](../exercises/05_invertible_networks.ipynb).
#
# {{exercises}}

# %% [markdown]
# ## Paper, released code, this course
#
# | | paper | released code | this course |
# |---|---|---|---|
# | network | six invertible blocks, each a Haar transform and a double-side affine coupling | 3 Haar steps each way; couplings 2, 2, 2 down and 2, 2, 0 up | as the code by default; `down` and `up` are free |
# | channels | 4: picture and watermark, picture and rest | the same | the same; any two numbers of channels |
# | networks in couplings | not said | residual blocks, 64 channels | the same, depth and width by choice |
# | start | not said | last convolution at zero | last convolution at a tenth of the usual weights |
# | scale | not said | $\exp(c\,(2\sigma(s) - 1)) + 10^{-4}$, $c = 1$ | $\exp(c\,(2\sigma(s) - 1))$: positive as it is, and its logarithm is the log-determinant |
# | Haar | named | fixed convolution, stride 2, factor ½ | sums and differences of slices, factor ½ |
# | end | conditional split | the same | the same, as a switch |
# | rest | pulled to 0.5, weight 8 | pulled to 0.5, weight 10 | pulled to 0.5, weight 0.1 in this lesson |
# | distances in the loss | absolute | smooth absolute | squared in this lesson |
# | volumes | not used | not used | checked against automatic differentiation |
# | this lesson's network | – | – | one Haar step, 3 couplings, 16 channels, no attack |
#
# The paper reports no number for a network trained without attacks, so section 8 has nothing to be
# compared with. Its tables are in lesson 06.

# %% [markdown]
# ## Limits, references, next
#
# - An inverse is exact for the very numbers that came out of the network. Clipped to [0, 1] and
#   rounded to 8 bits, they are others.
# - Invertible does not mean robust. A map and its inverse can be exact and still turn a small
#   error into a large one; section 8 shows it.
# - Hiding needs no invertible network. Two separate ones can do it, and lesson 06 compares them.
# - In training mode PyTorch refines spectral normalisation at every call, so a network with
#   `bounded=True` changes between the two directions. Hold its weights with
#   `torch.nn.utils.parametrize.cached()` while training, or use `eval()`.
# - The hider here saw a few pictures for a minute, and is judged on a few more. Its numbers show an
#   idea, not a system.
#
# References: L. Dinh, D. Krueger and Y. Bengio, *NICE: Non-linear independent components
# estimation*, 2014. L. Dinh, J. Sohl-Dickstein and S. Bengio, *Density estimation using Real NVP*,
# ICLR 2017. A. Gomez et al., *The reversible residual network: backpropagation without storing
# activations*, NeurIPS 2017. T. Miyato et al., *Spectral normalization for generative adversarial
# networks*, ICLR 2018. H. Sedghi, V. Gupta and P. Long, *The singular values of convolutional
# layers*, ICLR 2019. L. Ardizzone et al., *Analyzing inverse problems with invertible neural
# networks*, ICLR 2019. J. Behrmann et al., *Understanding and mitigating exploding inverses in
# invertible neural networks*, AISTATS 2021. Q. Ying et al., *No way to crop: on robust image crop
# localization*, ICIP 2022.
#
# **Next:** 06 · No way to crop. The same network, with attacks between its two directions: a
# watermark that survives, and shows where a picture was cut.
