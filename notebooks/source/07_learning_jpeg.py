# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 7 · Learning JPEG
#
# **How can we train through a step that has no gradient?**
#
# *Before you begin:* lesson [04](04_attacks.ipynb): its sections 4 to 6 build JPEG, its roundings
# and its stand-ins, and end with a miniature that hides one bit in every block. We go on from there.
#
# *Afterwards you will be able to*
#
# - say what the slope of a codec is, and why the answer depends on how large a change is;
# - measure how true a simulator's slopes are against real files, wave by wave;
# - explain FG-JPEG, a network that imitates files of any quality, and train a small one;
# - decide when a real file with made-up slopes is enough, by result and by cost.

# %% [markdown] run_card=true
# *Data used:* the embedded photographs (or your own), pictures that the course draws itself, and,
# where they are there, the course's trained weights and measurements. Nothing is downloaded.

# %% tags=["parameters"]
profile = "auto"  # smoke | cpu | gpu, or auto
seed = 0
photos = ""  # a folder with your own photographs; empty for the embedded ones
weights = ""  # a folder of weights that you trained; empty for those that come with the course
results = ""  # a file that `course evaluate fgjpeg --json` wrote; empty for the course's own

# %%
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from torch import Tensor, nn

from course_lib import paths
from course_lib.attacks.codec import real_jpeg
from course_lib.attacks.jpeg import fourier, jpeg, quantization_table
from course_lib.attacks.simulators import jpeg_mask, jpeg_ss
from course_lib.fgjpeg import evaluate
from course_lib.figures import grid, show
from course_lib.lesson import start
from course_lib.metrics import bootstrap, psnr
from course_lib.plots import lesson_07 as plots
from course_lib.teach.claims import claim

lesson = start("07", profile=profile, seed=seed, photos=photos)
place = Path(weights) if weights else None

# %% [markdown]
# ## 1 · Stairs that look like a slope
#
# Take one wave of a block, three half periods down and one across. Add more and more of it to a
# photograph, store it as a JPEG of quality 50, and measure what comes back. In a single block this
# is a staircase. A small change does nothing at all, the next one tips the coefficient over to
# another step. Nowhere on these stairs is there a slope that one could follow.
#
# On average over thousands of blocks, the same wave gives a nearly smooth curve, which *has* a
# slope. A network that hides something is asked about averages. So there is a slope to
# learn from. It is only not the one that calculus finds.

# %%
def batch(pictures):  # uint8 (h, w, 3) each, to (n, 3, h, w) in [0, 1]
    return torch.stack([torch.from_numpy(p).permute(2, 0, 1).float() / 255 for p in pictures])


cases = evaluate.cases(lesson.photos, lesson.pick(smoke=2, cpu=7, gpu=24))  # 256 × 256
x = batch([case.picture for case in cases])
dice = torch.Generator().manual_seed(seed)
print(len(x), "photographs of 256 × 256 px, stored once at quality 100")

# %%
from course_lib.attacks.jpeg import LUMA, SIDE, both_ways, from_blocks, to_blocks, to_ycbcr
from course_lib.fgjpeg.slopes import WAVES, Codec

# %% quote="course_lib.fgjpeg.slopes.waves_of"

# %% quote="course_lib.fgjpeg.slopes.with_waves"

# %% [markdown]
# *Invariant.* What was put in is there.

# %%
signs = 2.0 * torch.randint(0, 2, (1, 1024, 1), generator=dice) - 1  # one message, a bit a block
one_wave = torch.eye(WAVES)[8 * 3 + 1]
gray = torch.full((1, 3, 256, 256), 0.5)
assert torch.allclose(waves_of(with_waves(gray, 7 * signs * one_wave))[..., 25:26], 7 * signs,
                      atol=1e-2)

# %%
amounts = np.linspace(0, 48, lesson.pick(smoke=7, cpu=49, gpu=97))


def comes_back(wave, quality=50):  # (amounts, blocks): how far each block moved our way
    change = signs * torch.eye(WAVES)[wave]
    out = [waves_of(real_jpeg(with_waves(x[:4], float(a) * change), quality)) for a in amounts]
    return torch.stack([(signs * (o - out[0]))[..., wave].flatten() for o in out]).numpy()


names = {"(0, 1), coarse": 1, "(3, 1)": 25, "(4, 3), finer": 35}
back = {name: comes_back(wave) for name, wave in names.items()}
rough = waves_of(x[:1])[0, :, 1:].norm(dim=1).argsort()
blocks = {name: int(rough[int(share * len(rough))])
          for name, share in (("smooth", 0.2), ("medium", 0.7), ("rough", 0.97))}
show(
    plots.stairs({name: (amounts, back["(3, 1)"][:, one]) for name, one in blocks.items()},
                 {name: (amounts, each.mean(axis=1)) for name, each in back.items()}),
    alt="Left: three staircases with few high steps at different places along a dotted diagonal. "
    "Right: three curves; those of the coarser waves run along the diagonal, that of the finer "
    "wave stays low up to half its step and then rises steeply.",
    caption="What a file of quality 50 leaves of a wave, in single blocks and on average. Dotted: "
    "everything. The finer the wave, the longer little comes back.",
)
claim("On average a coarse wave comes back at once, and a finer one only when it is strong.",
      back["(0, 1), coarse"][len(amounts) // 6].mean() > 2 * back["(4, 3), finer"][
          len(amounts) // 6].mean())

# %% [markdown]
# ## 2 · Which slope is the right one?
#
# A slope says what a *small* change does. How small? For a rounding that is everything. Take the
# mean slope over a window of $\pm h$ about $x$, which is the same as the difference of its two ends:
#
# $$ s_h(x) = \frac{1}{2h} \int_{x-h}^{x+h} f'(t)\, dt = \frac{f(x+h) - f(x-h)}{2h} $$
#
# With rounding for $f$ and steps of 1, three things follow. For tiny $h$ this is 0, but for the few
# $x$ that lie halfway. For $h = 1/2$ it is **exactly 1 for every** $x$: in a window one step wide
# there is always exactly one step. In between, it is $1/2h$ if a step is within reach and 0 if not.
#
# So *straight through* is not a lie. It is the truth about changes of half a step. It is untrue
# about small changes to waves whose steps are large, and that is just the case in which most of
# JPEG happens. (Lesson 04 left this open: there the changes were small.)

# %%
h = np.array([0.05, 0.25, 0.5])
at = lesson.rng.normal(0, 0.2, (100_000, 1))  # most coefficients are small against their step
found = (np.round(at + h) - np.round(at - h)) / (2 * h)
for width, slopes in zip(h, found.T):
    print(f"window ± {width:.2f} steps: mean slope {slopes.mean():.2f}, zero in "
          f"{(slopes == 0).mean():.0%} of the coefficients")
assert (found[:, 2] == 1).all()

# %% [markdown]
# Files are no formula, but they can be tried: change a wave a step up and a step down.

# %% quote="course_lib.fgjpeg.slopes.mean_slope" exercise="7.1" minutes=10 difficulty=2
# hint: with_waves(pictures, step * change) is one end; the other has −step.
# hint: waves_of measures what comes out, before and after.
# hint: From one end to the other it is two steps.

# %% [markdown]
# *Invariants.* Half the contrast has a slope of one half, whatever the step. A file has almost none
# for tiny changes, and for changes as large as its own step about 1.

# %%
assert torch.allclose(mean_slope(lambda p: 0.5 * p + 0.2, gray, one_wave, 3.0)[..., 25],
                      torch.tensor(0.5), atol=1e-4)
for step in (0.25, 2.0, 8.5, 17.0):
    mean = mean_slope(lambda p: real_jpeg(p, 50), x, one_wave, step)[..., 25].mean()
    print(f"wave (3, 1), whose step is {int(LUMA[3, 1])}, changed by ± {step:5.2f}: "
          f"mean slope {float(mean):.2f}")

# %% [markdown]
# ### One coefficient
#
# Now what simulators *say*. One block of a photograph, one coefficient, moved through three steps.
# Above is what comes out, below the slope: of the file, measured in a narrow and in a wide window,
# and of three stand-ins, as their gradients have it.

# %%
def nine_terms(pictures, quality, generator=None):
    return jpeg(pictures, quality, rounding=fourier)


tile, width = x[:1, :, 64:80, 64:80], float(quantization_table(50)[3, 1])
axis = torch.linspace(-1.5, 1.5, lesson.pick(smoke=13, cpu=121, gpu=241))
many = tile.expand(len(axis), -1, -1, -1)
move = torch.zeros(len(axis), 4, WAVES)
move[:, 0, 25] = width * axis - waves_of(tile)[0, 0, 25]  # from what it is to what we want


def through(simulate):  # value and slope of that coefficient, in steps
    given = move.clone().requires_grad_()
    out = waves_of(simulate(with_waves(many, given), 50))[:, 0, 25]
    slope = torch.autograd.grad(out.sum(), given)[0][:, 0, 25]
    return axis.numpy(), out.detach().numpy() / width, slope.numpy()


def tried(window):  # the same, by two files
    unit = torch.zeros(4, WAVES)
    unit[0, 25] = 1
    _, value, _ = through(real_jpeg)
    slope = mean_slope(lambda p: real_jpeg(p, 50), with_waves(many, move), unit, window * width)
    return axis.numpy(), value, slope[:, 0, 25].numpy()


# %%
show(
    plots.one_coefficient({"file, ± 0.1 steps": tried(0.1), "file, ± 1/2 step": tried(0.5),
                           "straight through": through(real_jpeg), "JPEG-SS": through(jpeg_ss),
                           "nine terms": through(nine_terms)}),
    alt="Five columns, values above and slopes below. The file's staircase has narrow peaks of "
    "slope in a narrow window and a slope near one in a wide window; straight through has one "
    "everywhere; JPEG-SS has bowls from 0 to 3/4; nine terms ripple about zero with tall peaks.",
    caption="One coefficient through a file and its stand-ins. In a window one step wide the file's "
    "own slope is that of *straight through*.",
)

# %% [markdown]
# ### All waves of all blocks
#
# A loss $\ell$ is asked for: the sum of all waves that come out, each with a random sign, as if
# every one carried a bit. Its gradient by a simulator is one pass backward. Its true gradient costs
# 128 files: every wave up and down, in all blocks at once.

# %% quote="course_lib.fgjpeg.slopes.said_slopes"

# %% quote="course_lib.fgjpeg.slopes.true_slopes"

# %%
few = x[:lesson.pick(smoke=1, cpu=3, gpu=6), :, 64:192, 64:192].contiguous()
wanted = 2.0 * torch.randint(0, 2, (len(few), 256, WAVES), generator=dice) - 1


def as_map(slopes):  # mean slope of each wave
    return (wanted * slopes).mean(dim=(0, 1)).reshape(8, 8).numpy()


def truth(quality, step):
    return true_slopes(lambda p: real_jpeg(p, quality), few, wanted, step)


def said_by(simulate, quality):
    return said_slopes(lambda p: simulate(p, quality), few, wanted)


STAND_INS = {"straight through": real_jpeg, "JPEG-SS": jpeg_ss, "nine terms": nine_terms,
             "JPEG-Mask": jpeg_mask}
tried_out = {f"file of quality {q},\n± {step} gray levels": as_map(truth(q, step))
             for q, step in ((90, 8), (50, 8), (10, 8), (50, 32))}
said = {f"{name},\nquality 50": as_map(said_by(one, 50)) for name, one in STAND_INS.items()}

# %%
show(
    plots.slope_maps(tried_out | said),
    alt="Eight maps of 8 by 8 cells. Files of quality 90 pass nearly all waves, of quality 10 only "
    "a few coarse ones; larger changes pass more. Straight through is one everywhere, JPEG-SS "
    "small at the fine end, nine terms about zero, JPEG-Mask one or zero.",
    caption="Mean slopes of the 64 waves, coarse at the upper left. Above: tried out on files, for "
    "changes of 8 and of 32 gray levels. Below: what four stand-ins say at quality 50.",
)

# %% [markdown]
# Above is what a teacher should say: *this wave gets through, that one does not*. It depends on the
# quality and on how much is changed. Below, none of the four knows how much will be changed. One
# number for how well two gradients agree is the cosine of the angle between them:

# %% quote="course_lib.fgjpeg.slopes.agreement" exercise="7.2" minutes=10 difficulty=1
# hint: Leave the block's mean out: [..., 1:]. Then one long vector for each picture: flatten(1).
# hint: Scalar product, divided by the product of both lengths.
# hint: Where a gradient is zero everywhere, 0/0 must come out as 0: clamp the denominator.

# %%
true = truth(50, 8.0)
assert torch.allclose(agreement(3 * true, true), torch.ones(len(few)), atol=1e-4)
nobody = agreement(wanted.flip(0).roll(1, dims=1), true)
print(f"a gradient of another message: {float(nobody.mean()):+.2f}")

# %%
qualities = lesson.pick(smoke=(50,), cpu=(90, 50, 10), gpu=(90, 50, 10))
changes = lesson.pick(smoke=(4.0, 32.0), cpu=(1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0),
                      gpu=(1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0))
truths = {(q, step): truth(q, step) for q in qualities for step in changes}


def agrees(simulate, quality):  # mean over the photographs, for each size of change
    slopes = said_by(simulate, quality)
    return [float(agreement(slopes, truths[quality, step]).mean()) for step in changes]


lines = {q: {name: agrees(one, q) for name, one in STAND_INS.items()} for q in qualities}
half = {q: float(quantization_table(q).flatten()[1:].mean()) / 2 for q in qualities}

# %%
show(
    plots.agreements({f"quality {q}": {name: (changes, row) for name, row in lines[q].items()}
                      for q in qualities}, {f"quality {q}": half[q] for q in qualities}),
    alt="Three panels of cosines against the size of the change. At quality 90 straight through "
    "rises to nearly one; at quality 50 soft slopes lead for small changes and straight through "
    "catches up; at quality 10 soft slopes lead throughout.",
    caption="How well gradients agree with what was tried out on files. Dotted, upright: half a "
    "step of the file, on average over the waves.",
)
for q in qualities:
    print(f"quality {q}: " + "; ".join(
        f"± {step:g}: " + ", ".join(f"{name} {row[i]:.2f}" for name, row in lines[q].items())
        for i, step in enumerate(changes) if step in (4.0, 32.0)))
if lesson.profile.name != "smoke":
    claim("Where changes are larger than the file's steps, straight through says the truth better; "
          "where they are smaller, soft slopes do.",
          lines[90]["straight through"][-2] > lines[90]["JPEG-SS"][-2]
          and lines[10]["JPEG-SS"][3] > lines[10]["straight through"][3])

# %% [markdown]
# At a change of one gray level all agree with nothing. That is no fault of theirs: spread over 64
# pixels it is less than half a level in each, and the 8 bits of the picture swallow it. The dotted
# line tells the rest. Left of it a gradient should know which waves get through; right of it
# everything does, and a slope of 1 is hard to beat. (JPEG-Mask, told the quality, is a slope of 1
# for waves with steps of up to 60, and of 0 for others: a good guess for changes of about 30.)

# %% [markdown]
# ## 3 · Two virtues, to be had separately
#
# A simulator must get two things right: its **pictures**, which the receiving network gets used to,
# and its **slopes**, which the hiding network follows. One line lends the slopes of one to the
# pictures of another: forward a real file, backward whatever we like. (CLR-Net's released code does
# it; lessons 04 and 06 used it with JPEG-SS.)

# %% quote="course_lib.attacks.simulators.slopes_lent" exercise="7.3" minutes=5 difficulty=1
# hint: .detach() gives the same values without their gradient.
# hint: Add to the simulated picture what it lacks to be the real one, as a constant.

# %%
given = x[:1].clone().requires_grad_()
lent = slopes_lent(real_jpeg(given, 50), jpeg_ss(given, 50))
mine = torch.autograd.grad(lent.square().sum(), given)[0]
again = x[:1].clone().requires_grad_()
soft = jpeg_ss(again, 50)
theirs = torch.autograd.grad((soft * 2 * real_jpeg(x[:1], 50)).sum(), again)[0]
assert torch.allclose(lent, real_jpeg(x[:1], 50), atol=1e-6) and torch.allclose(mine, theirs,
                                                                                atol=1e-5)

# %% [markdown]
# So a made-up picture is never needed as long as the codec can be run. Where it can be run but has
# no formula (a newer format, a messenger's whole chain), slopes have to come from somewhere, and
# one may **learn** them: train a network on pairs of pictures and files until it imitates the codec.
# It has a gradient because it is a network. That is the idea of FG-JPEG.

# %% [markdown]
# ## 4 · FG-JPEG
#
# CLR-Net (Ying and others, 2022; lesson 08) trains three networks for it. The **generator**, a
# U-Net of four levels, makes of a picture $I$ what a file would show. The **controller** is told the
# quality factor $Q$, any number up to 100, and turns it into scales $a_i$ and shifts $b_i$ for the
# features of three skips (the paper's equation 4):
#
# $$ F_{out,i} = a_i \cdot \mathrm{Conv}(F_{in,i}) + b_i $$
#
# So one network does all qualities, and qualities in between as well: "fine-grained". The
# **predictor** reads the quality off a picture. It is trained first, on real files, and then frozen.

# %%
show(
    plots.network(),
    alt="A diagram: a picture I goes down four levels and up again through a U-shaped network with "
    "a box between both sides on each level, three of which get a scale and a shift from a "
    "controller that is told the quality; the result goes to a frozen predictor.",
    caption="FG-JPEG. The generator returns a correction to its input; the controller speaks to the "
    "three lower skips.",
)

# %%
from course_lib.fgjpeg.model import BINS, Generator, Norm, Predictor, conv_block

# %% quote="course_lib.fgjpeg.model.Skip"

# %%
from course_lib.fgjpeg.model import Controller

control = Controller((24, 64, 256))
for scale, shift in control(torch.tensor([10.0, 100.0])):
    print(f"{scale.shape[1]:4} channels: scales {scale.mean().item():.2f} ± "
          f"{scale.std().item():.2f}, shifts {shift.mean().item():+.2f} ± {shift.std().item():.2f}")
    assert (scale - 1).abs().max() < 0.5 and shift.abs().max() < 0.5

# %% [markdown]
# Before training, every skip is left about as it is. What has to be learned is one change of scale
# and shift per channel, from one number. Think of a channel that holds one wave of a block: to
# make it small where $Q$ is small is to multiply it.
#
# ### What is asked of it
#
# The pixels of the file, and a quality that can be read off them (equation 10, $\epsilon = 0.1$):
#
# $$ L_{jpg} = \left\| I_{jpg} - \hat I_{jpg} \right\|_1 + \epsilon \cdot CE(Q, \hat Q) $$
#
# The predictor knows six qualities, 10, 30, 50, 70, 90 and 100. For one that lies between two of
# them the paper "allows an imprecise prediction". Here it is shared out between its neighbours:

# %% quote="course_lib.fgjpeg.objective.soft_labels" exercise="7.4" minutes=15 difficulty=2
# hint: Clamp the quality to the range of the bins first.
# hint: torch.searchsorted(bins, quality) is the first bin that is not below; clamp it to at least 1.
# hint: share = (quality − lower) / (upper − lower) belongs to the upper bin, the rest to the lower.
# hint: F.one_hot(index, 6) * share[:, None] puts a share at its place.

# %%
labels = soft_labels(torch.tensor([10.0, 45.0, 70.0, 97.5]))
print(labels.numpy().round(2))
assert torch.allclose(labels.sum(dim=1), torch.ones(4))
assert torch.allclose(labels @ torch.tensor(BINS).float(), torch.tensor([10.0, 45.0, 70.0, 97.5]))

# %% [markdown]
# ### How a quality can be seen
#
# The quality shows in faint things, and the picture itself is loud. So the predictor looks in three
# ways at once: through ordinary convolutions, through **SRM** filters, and through **Bayar's**
# convolution. The last two see *residuals*, a pixel minus what its neighbours say it should be. SRM
# filters were written by hand. Bayar's are learned, under a constraint that lets them be nothing
# but residuals: $-1$ in the middle, and all others add up to 1. As the paper of 2018 has it, they
# are divided by their sum after each step, which blows up where that sum is near zero.

# %%
from course_lib.residuals import SMALLEST, BayarConv2d, SRMConv2d

# %% quote="course_lib.residuals.bayar_kernels" exercise="7.5" minutes=20 difficulty=3
# hint: Sum over the last axis, keepdim=True. Where |sum| < smallest, divide by ± smallest instead.
# hint: What is then missing to 1 is shared out evenly among all neighbours.
# hint: Cut the row of neighbours in halves, put −1 between them, and unflatten to (side, side).

# %%
kernels = bayar_kernels(torch.rand(3, 3, 24, generator=dice))
assert torch.allclose(kernels.sum(dim=(-1, -2)), torch.zeros(3, 3), atol=1e-5)
assert (kernels[..., 2, 2] == -1).all()
tricky = bayar_kernels(torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]]))
print("neighbours that cancel:", tricky.abs().max().item(), "at most; sum", tricky.sum().item())

# %%
from course_lib.fgjpeg.examples import prepared, stored

torch.manual_seed(seed)
picture, corner = cases[0].picture, np.s_[80:144, 80:144]
rows, titles = [], []
for quality in (100, 50, 10):
    file = batch([stored(picture, quality)])
    with torch.no_grad():
        seen = [SRMConv2d(3)(255 * file)[0, 1], BayarConv2d()(255 * file)[0].mean(dim=0)]
    rows += [stored(picture, quality)[corner],
             *(np.clip(0.5 + each.numpy()[corner] / gain, 0, 1)
               for each, gain in zip(seen, (60, 300)))]
    titles += [f"quality {quality}", "one SRM filter", "Bayar, random weights"]

# %%
show(
    grid(rows, titles, columns=3, width=5.4, cmap="gray", vmin=0, vmax=1)[0],
    photo=True,
    alt="Three rows: a detail at quality 100, 50 and 10, and two residuals of it on gray. Of the "
    "checks that the SRM filter shows everywhere at quality 100, a few blocks keep some at 10; "
    "Bayar's residual keeps edges, and at 10 those of blocks.",
    caption="A detail of 64 × 64 px and its residuals. What is smooth is gone. The SRM filter hears "
    "the finest waves, which fewer and fewer blocks have.",
)

# %% [markdown]
# ### A cue that is too easy
#
# Files hold colour at half the resolution, whatever their quality. A predictor that sees originals
# and files would learn just that: *fine colour, no file*. So all pictures are stored at quality 100
# first, as in the released code. Then all have lost their fine colour, and quality is the only
# difference.

# %%
def fine_colour(picture):  # mean strength of chroma waves finer than half the resolution
    chroma = to_ycbcr(255 * batch([picture]))[:, 1:]
    return float(to_blocks(chroma - 128).flatten(2).matmul(both_ways(torch.float32).T)
                 .reshape(-1, 8, 8)[:, 5:, 5:].abs().mean())


from course_lib.photos import middle_square

original = np.ascontiguousarray(middle_square(lesson.pictures(1)[0])[:256, :256])
cues = {"as it came": original, "quality 100": stored(original, 100),
        "quality 90": stored(original, 90), "quality 10": stored(original, 10),
        "prepared, then quality 90": stored(prepared(original), 90)}
for name, one in cues.items():
    print(f"{name:26} fine colour {fine_colour(one):.3f} gray levels")

# %% [markdown]
# ### The grid
#
# Blocks are stored one by one, and do not know of their neighbours. So pixels on both sides of an
# edge between two blocks differ by more than others. A simulator that leaves no grid is easily told
# from a file; whether it does can be measured.

# %%
from course_lib.fgjpeg.grid import WEIGHTS

# %% quote="course_lib.fgjpeg.grid.steps_by_phase" exercise="7.6" minutes=15 difficulty=2
# hint: uint8 first becomes float64; floats in [0, 1] are multiplied by 255. Colours @ WEIGHTS.
# hint: np.diff along an axis; its entry 7 is the step from pixel 7 to pixel 8, across an edge.
# hint: Every eighth entry, a[k::8], is step k. Average rows and columns together.

# %%
tiles = {"the picture": picture, **{f"quality {q}": stored(picture, q) for q in (50, 10)}}
show(
    plots.steps_of_grid({name: steps_by_phase(one) for name, one in tiles.items()}),
    alt="Three lines over the eight places in a block. The picture's is level; at quality 50 the "
    "last point rises a little, at quality 10 it is far above all others.",
    caption="Mean step between neighbouring pixels, by place in the block.",
)
flat = steps_by_phase(np.indices((64, 64)).sum(axis=0).astype(np.uint8))
assert np.allclose(flat, flat[0])
for name, one in tiles.items():
    steps = steps_by_phase(one)
    print(f"{name:12} step across edges / inside: {steps[7] / steps[:7].mean():.2f}")

# %% [markdown]
# ## 5 · Training in front of you
#
# First the predictor, on real files; then, with the predictor frozen, generator and controller. Half
# of the pictures are dead leaves, the others parts of photographs; the first photograph is kept out.
# Some noise is added to half of the pictures, as a hidden watermark would, for that is what the
# simulator will meet. The quality's weight rises only in the second half: from the start, the
# quickest way to please a frozen predictor is a faint pattern of its liking, and the picture is
# worse than untouched. (That is an attack on a network, an *adversarial example*.)

# %%
from rich.console import Console

from course_lib.fgjpeg.system import GENERATOR, JUDGE, PREDICTOR, SYSTEM, Simulator, simulator
from course_lib.fgjpeg.train import BUDGETS, GeneratorTask, PredictorTask
from course_lib.training import fit

small = replace(BUDGETS["cpu"], predictor={"width": lesson.pick(smoke=4, cpu=8, gpu=16), "blocks": 1},
                generator={"sizes": lesson.pick(smoke=(4, 4, 8, 16, 16), cpu=(4, 12, 48, 192, 64),
                                                gpu=(8, 24, 64, 256, 256))},
                tile=lesson.pick(smoke=32, cpu=48, gpu=64), batch=lesson.pick(smoke=6, cpu=24, gpu=48),
                predictor_steps=lesson.pick(smoke=3, cpu=250, gpu=1500),
                generator_steps=lesson.pick(smoke=3, cpu=450, gpu=4000),
                workers=lesson.pick(smoke=0, cpu=1, gpu=8), leaves=0.5, rate=3e-3)
others = lesson.photos[1:] if len(lesson.photos) > 1 else lesson.photos
plain = Console(force_terminal=False, force_jupyter=False, highlight=False)  # lines, not a bar
how = {"device": lesson.device.type, "console": plain}

# %%
folder = tempfile.TemporaryDirectory()  # the generator's training reads the predictor from a file
out = Path(folder.name)
read = fit(PredictorTask(small, others, seed), out, small.predictor_steps, **how)
print(f"{read.seconds:.0f} s")

# %%
made = fit(GeneratorTask(small, others, seed, out), None, small.generator_steps, **how)
folder.cleanup()
print(f"{made.seconds:.0f} s")

# %%
show(
    plots.curves(read.history, made.history),
    alt="Three panels against the step. The predictor's share of right answers rises from a sixth "
    "to most; the generator's PSNR rises quickly, then slowly; the share of its pictures that are "
    "read as wanted rises late.",
    caption="Learning curves. Dotted: guessing among six.",
)

# %%
own = Simulator(made.model.cpu())
first = x[:1]
rows = {}
for quality in (10, 30, 50, 70, 90):
    file = real_jpeg(first, quality)[0]
    rows[quality] = [float(-10 * (one - file).square().mean().log10())
                     for one in (own(first, quality)[0], first[0], jpeg_ss(first, quality)[0])]
    print(f"quality {quality}: {rows[quality][0]:.1f} dB from the file; untouched "
          f"{rows[quality][1]:.1f}, JPEG-SS {rows[quality][2]:.1f}")
if lesson.profile.name != "smoke":
    claim("In two minutes the network moves towards files, and stays far behind a formula.",
          rows[10][0] > rows[10][1] + 0.5 and all(row[2] > row[0] for row in rows.values()))

# %% [markdown]
# A formula that took an evening to write beats what a network finds out in two minutes, by far.
# That is no surprise: it *is* JPEG, but for the rounding. The network had to find blocks, waves,
# tables and colour from examples.
#
# ## 6 · At full strength
#
# With the course's trained weights, where they are there, FG-JPEG is what `course train fgjpeg`
# makes of the same code, with more weights, more photographs and more time. Else the small one of
# section 5 goes on.

# %%
from course_lib.checkpoints import find, read_card, shipped

there = shipped(SYSTEM) if place is None else [path.stem for path in place.glob("*.json")]
fg = simulator(place) if GENERATOR in there else own
WHO = "trained weights" if GENERATOR in there else "the small one of section 5"
print("FG-JPEG here is:", WHO)
if GENERATOR in there:
    card = read_card(find(SYSTEM, GENERATOR, place))
    print(f"{card.steps:,} steps, {sum(each['count'] for each in card.photos):,} photographs, "
          f"{card.wall_seconds / 60:.0f} min, {card.hardware}")

# %%
SEEN = {"real file": real_jpeg, "FG-JPEG": fg, "JPEG-SS": jpeg_ss, "JPEG-Mask": jpeg_mask}


def as_picture(tensor):  # (3, h, w) in [0, 1] to (h, w, 3) uint8
    return (255 * tensor.clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()


@torch.no_grad()
def made_by(number, quality):  # what each makes of a photograph
    return {name: as_picture(one(x[number:number + 1], quality)[0]) for name, one in SEEN.items()}


views = {quality: made_by(0, quality) for quality in (10, 50)}
shown, titles = [], []
for quality, each in views.items():
    for name, one in each.items():
        shown.append(plots.enlarged(one[corner], 5, lines=True))
        titles.append(f"{name}, {quality}" if name == "real file" else
                      f"{name}, {psnr(one, each['real file']):.1f} dB")

# %%
show(
    grid(shown, titles, columns=4)[0],
    photo=True,
    alt="Two rows of four enlarged details with thin lines between blocks: the real file of "
    "quality 10 and of quality 50 and what three simulators make of it. JPEG-SS looks like the "
    "file; the others are smoother or keep too much.",
    caption=f"The same detail through a real file and three simulators (FG-JPEG: {WHO}). Lines show "
    "where blocks begin.",
)

# %% [markdown]
# ### Measured
#
# `course evaluate fgjpeg` asks two predictors which quality each simulator's pictures seem to have:
# the one that FG-JPEG was trained with, and a **judge** that it has never met. A network that is
# trained to please another one may please only that one; if the judge agrees, it has learned JPEG.

# %%
where = Path(results) if results else paths.COURSE.assets / "measurements" / "fgjpeg.json"
found = json.loads(where.read_text(encoding="utf-8")) if where.is_file() else {"rows": []}
not_yet = "*Not measured yet: `course evaluate fgjpeg --json FILE` does it.*"
if found["rows"]:
    print(f"{found['photos']} photographs of 256 × 256 px, not used for training; 95 % intervals")
display(Markdown(plots.table_of_simulators(found["rows"]) if found["rows"] else not_yet))

# %%
display(Markdown(plots.table_by_quality(found["rows"], BINS) if found["rows"] else not_yet))

# %% [markdown]
# The paper gives 93.17 % for FG-JPEG and 72.48 % for what it calls *Diff-JPEG*. That is reference
# [23] there, Shin and Song's soft rounding, our JPEG-SS. Ours follows the real codec in more than
# the paper's may have: half the colour, the whole numbers between, libjpeg's own rounding. So its
# pictures are nearer to the file than one should expect from the paper. PSNRs are not in the paper's
# text, only in its figure 13.

# %%
slopes_of = {"FG-JPEG": agrees(fg, 50), **lines[50]}
print("agreement with the truth at quality 50, for changes of "
      + ", ".join(f"± {step:g}" for step in changes))
for name, row in slopes_of.items():
    print(f"{name:17}" + "".join(f"{value:8.2f}" for value in row))

# %% [markdown]
# A network that is fitted to many blocks at once cannot say on which side of a step each of them
# will fall. It says what comes out on the whole. So its slopes are those of a window rather than of
# a point, without anybody having asked for it.

# %% [markdown]
# ## 7 · When is straight-through enough?
#
# Now the test that counts. The miniature of lesson 04 hides one bit in every block; here it may also
# *look* at the block first, through a small network. Hider and reader are trained together with
# files of one quality between them, and the files are made, or imitated, in different ways. What is
# counted is bits read rightly from **real files of photographs**, none of which was trained on, and
# what a step of training costs.

# %%
from course_lib.leaves import dead_leaves

leaves = batch([dead_leaves((64, 64), 1000 * seed + i)
                for i in range(lesson.pick(smoke=8, cpu=64, gpu=128))])


class Miniature(nn.Module):  # a bit for each block, in and out
    def __init__(self, looks, strength, width=96):
        super().__init__()
        self.gains, self.ears = nn.Parameter(torch.ones(WAVES)), nn.Parameter(torch.zeros(WAVES))
        self.looks, self.strength = looks, strength  # gray levels in each pixel, r.m.s.
        self.hider, self.reader = (nn.Sequential(nn.Linear(n, width), nn.LeakyReLU(0.2),
                                                 nn.Linear(width, m))
                                   for n, m in ((WAVES + 1, WAVES), (WAVES, 1)))

    def hide(self, pictures, bits):
        change = bits[..., None] * self.gains
        if self.looks:
            seen = torch.asinh(waves_of(pictures) / 10)
            change = change + 0.3 * self.hider(torch.cat([seen, bits[..., None]], dim=-1))
        change = F.pad(change[..., 1:], (1, 0))  # a block's mean stays as it is
        change = SIDE * self.strength * change / change.norm(dim=-1, keepdim=True)
        return with_waves(pictures, change)

    def read(self, pictures):
        waves = F.pad(waves_of(pictures)[..., 1:], (1, 0))
        heard = waves @ (0.02 + self.ears)
        return heard + 0.3 * self.reader(torch.asinh(waves / 10))[..., 0] if self.looks else heard


# %%
training_steps = lesson.pick(smoke=2, cpu=80, gpu=200)


def taught(way, quality, strength=3.0, looks=False):
    torch.manual_seed(seed)
    source, pair = torch.Generator().manual_seed(seed), Miniature(looks, strength)
    groups = [{"params": [pair.gains], "lr": 0.1}, {"params": [pair.ears], "lr": 0.01},
              {"params": [*pair.hider.parameters(), *pair.reader.parameters()], "lr": 3e-3}]
    adam, began = torch.optim.Adam(groups), time.perf_counter()
    for _ in range(training_steps):
        chosen = leaves[torch.randint(len(leaves), (12,), generator=source)]
        bits = 2.0 * torch.randint(0, 2, (12, 64), generator=source) - 1
        sent = way(pair.hide(chosen, bits).clamp(0, 1), quality)
        loss = F.softplus(-bits * pair.read(sent)).mean()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(pair.parameters(), 1.0)
        adam.step()
    return pair, 1000 * (time.perf_counter() - began) / training_steps


message = 2.0 * torch.randint(0, 2, (len(x), 1024), generator=dice) - 1


@torch.no_grad()
def right(pair, quality):  # share of bits, one number for each photograph
    sent = real_jpeg(pair.hide(x, message).clamp(0, 1), quality)
    return bootstrap((pair.read(sent) * message > 0).float().mean(dim=1).numpy())


# %%
WAYS = {
    "file, straight through": real_jpeg,
    "JPEG-SS": jpeg_ss,
    "file, slopes of JPEG-SS": lambda p, q: slopes_lent(real_jpeg(p, q), jpeg_ss(p, q)),
    "file, slopes of JPEG-Mask": lambda p, q: slopes_lent(real_jpeg(p, q), jpeg_mask(p, q)),
    "FG-JPEG": fg,
    "file, slopes of FG-JPEG": lambda p, q: slopes_lent(real_jpeg(p, q), fg(p, q)),
}
grades = lesson.pick(smoke=(50,), cpu=(90, 70, 50, 30), gpu=(95, 90, 80, 70, 60, 50, 40, 30))
strengths = lesson.pick(smoke=(), cpu=(6.0, 12.0), gpu=(6.0, 12.0))  # besides 3
milliseconds, by_quality, by_strength = {}, {}, {}


def tried_in_training(name):
    way = WAYS[name]
    trials = [taught(way, q) for q in grades]
    by_quality[name] = [right(pair, q) for (pair, _), q in zip(trials, grades)]
    by_strength[name] = [by_quality[name][grades.index(50)],
                         *(right(taught(way, 50, s)[0], 50) for s in strengths)]
    milliseconds[name] = float(np.median([cost for _, cost in trials]))


for name in list(WAYS)[:4]:
    tried_in_training(name)

# %%
for name in list(WAYS)[4:]:  # through the network: these take longest
    tried_in_training(name)

# %%
show(
    plots.bits({"strength 3": by_quality, "files of quality 50": by_strength},
               [[str(q) for q in grades], [f"{s:g}" for s in (3.0, *strengths)]],
               ["quality of the file", "strength, gray levels"]),
    alt="Two panels of shares of bits. Left, from quality 90 to 30: all begin close together, and "
    "straight through falls to chance first. Right, with strength: straight through rises and "
    "meets the others at strength 12.",
    caption="Bits read rightly from real files, mean and interval over photographs. Straight "
    "through is enough where files are good or marks are strong.",
)

# %%
print(f"{'':26}{'ms a step':>10}   " + "   ".join(f"quality {q}" for q in grades)
      + "   at 50, strength " + ", ".join(f"{s:g}" for s in (3.0, *strengths)))
for name in WAYS:
    print(f"{name:26}{milliseconds[name]:10.0f}   "
          + "".join(f"{one.value:13.3f}" for one in by_quality[name]) + "     "
          + "".join(f"{one.value:8.3f}" for one in by_strength[name]))

# %%
straight, lent = by_quality["file, straight through"], by_quality["file, slopes of JPEG-SS"]
if lesson.profile.name != "smoke":
    claim("In good files straight through does as well as anything.",
          straight[0].value > lent[0].value - 0.02)
    claim("In poor files soft slopes are needed.",
          lent[grades.index(50)].low > straight[grades.index(50)].high)
    claim("Slopes that a network learned from examples, lent to the file, carry bits through poor "
          "files.", by_quality["file, slopes of FG-JPEG"][grades.index(50)].low
          > straight[grades.index(50)].high)
    claim("Where the mark is as strong as the file's steps, straight through is nearly as good again.",
          by_strength["file, straight through"][-1].value
          > by_strength["file, slopes of JPEG-SS"][-1].value - 0.06)

# %% [markdown]
# ### A network that looks
#
# Does it help to look at a block first? Then the hider can push a coefficient where it survives. But
# a network that looks also finds every place in which a simulator is *untrue*. So it is trained
# longer here, at quality 50, and we compare the bits that it gets through its own training attack
# with those that it gets through files.

# %%
training_steps = lesson.pick(smoke=2, cpu=200, gpu=600)
looking = {}
for name in ("file, straight through", "JPEG-SS", "file, slopes of JPEG-SS"):
    pair, _ = taught(WAYS[name], 50, looks=True)
    with torch.no_grad():
        sent = WAYS[name](pair.hide(x, message).clamp(0, 1), 50)
        by_own = float((pair.read(sent) * message > 0).float().mean())
    looking[name] = by_own, right(pair, 50)
    print(f"{name:26} through its own attack {by_own:.3f}, through files {looking[name][1]}")

# %%
if lesson.profile.name != "smoke":
    claim("With slopes of JPEG-SS lent to the file, what is learned holds in files.",
          abs(looking["file, slopes of JPEG-SS"][0]
              - looking["file, slopes of JPEG-SS"][1].value) < 0.02)
    claim("Trained on a simulator's own pictures, it promises more than files keep.",
          looking["JPEG-SS"][0] > looking["JPEG-SS"][1].value + 0.02)

# %% [markdown]
# So this is the balance, on this small scale:
#
# - **A real file, straight through**, is the cheapest, and it is enough where the hidden change is as
#   large as the file's steps: good files, or strong marks. Section 2 said so before anything was
#   trained. Elsewhere it learns nothing, with or without looking.
# - **A real file with borrowed slopes** costs little more. With those of JPEG-SS it is the best
#   choice everywhere here, or as good as the best; its formula is needed. JPEG-Mask lends worse
#   ones: 0 or 1 is too coarse an answer about weak marks.
# - **JPEG-SS alone** makes promises. Its pictures are a gray level or two from the file's (root mean
#   square), and yet what is trained on them can rest on just that: read rightly in training, lost
#   in files. The better the hider, the more it finds such places, as the last table shows. A PSNR
#   above 40 dB is no protection. (At which quality it strikes the simple hider changes with the
#   seed: of three that were tried, one lost bits at 70, one at 50, one at neither. The hider that
#   looks fell for it with both seeds that it was tried with.)
# - **FG-JPEG alone** is in the same danger, more so the further it is from the file, and costs
#   most. But **its slopes, lent to real files**, work, even those of a network of two minutes. They
#   need no formula, only examples of what a codec does.
#
# So one may expect a learned simulator to be worth its cost where a codec can be run and not be
# written down, and rather for its slopes than for its pictures. For JPEG itself a formula is
# cheaper. Whether that holds for large networks was not measured here.
#
# The paper reports for CLR-Net that FG-JPEG beats its Diff-JPEG (27.02 against 25.95 dB recovered).
# It has no row for a real file with lent slopes, which the released code uses.

# %% [markdown]
# ## 8 · Look for yourself
#
# Move the quality from 100 down, and look at the lines between the blocks. Where do soft rounding
# and file differ? What does FG-JPEG get right first, what last? Click a slider and use the arrow
# keys.

# %%
from course_lib.fgjpeg import explore

explorer = explore.explorer(lesson.photos, learned=fg)
explorer.show()

# %% [markdown]
# The same in print:

# %%
settings = {"quality 10": {"quality": 10}, "quality 60": {"quality": 60}}
show(
    grid([explorer.picture(**one) for one in settings.values()], list(settings), columns=1)[0],
    photo=True,
    alt="Two settings of the explorer: four enlarged details each, the file's and three imitations, "
    "and below how far each is from the file, on gray. Straight through is hardly off, JPEG-SS a "
    "little, FG-JPEG most.",
    caption=f"Two qualities (FG-JPEG: {WHO}).",
)

# %% [markdown]
# ## 9 · Which of these is the real file?
#
# Every round shows a detail twice: from a real file of quality 10 or 30, and as a simulator imitates
# it. Commit to an answer first; then what lies between them is shown, ten times enhanced.

# %%
from course_lib.predict import RECORDS, Game, Round

chance = np.random.default_rng()  # another game each time
WHY = {"FG-JPEG": "A network smooths what it is not sure of: look for grain, and for faint waves "
                  "that stop at the edge of a block.",
       "JPEG-SS": "Soft rounding leaves faint waves that a file has set to zero: look at smooth "
                  "areas."}


def question(number):
    quality, name = int(chance.choice([10, 30])), str(chance.choice(list(WHY)))
    y, z = 8 * chance.integers(4, 20, 2)
    cut = np.s_[y:y + 64, z:z + 64]
    made = made_by(number, quality)
    pair = [plots.enlarged(made[one][cut], 6) for one in ("real file", name)]
    apart = plots.enlarged(plots.magnified(made[name][cut], made["real file"][cut]), 6)
    left = chance.random() < 0.5
    return Round(plots.side_by_side(pair if left else pair[::-1]), "left" if left else "right",
                 plots.side_by_side([pair[0], apart]),
                 f"Left now is the file, right {name} minus the file. {WHY[name]}")


game = Game("Which of the two is the real file?", ["left", "right"],
            [question(number) for number in range(len(cases))],
            record=RECORDS / "which_is_the_file.json")
game.show()

# %% [markdown]
# ## Exercises
#
# Your copy of this lesson, with six functions to write, is in
# [exercises/07_learning_jpeg.ipynb](../exercises/07_learning_jpeg.ipynb).
#
# {{exercises}}

# %% [markdown]
# ## Paper, released code, this course
#
# | | paper | released code | this course |
# |---|---|---|---|
# | generator | U-Net of four levels, a convolution in each skip; bilinear down and up | U-Net on Haar bands | Haar; each level is shown the picture's own bands and corrects them; the paper's as a switch (`PAPERS`) |
# | colours | RGB | RGB | luma and colour differences, where files are made |
# | normalisation | as in the pre-processor | spectral | none; instance and spectral as switches |
# | controller | six layers; first three read $Q/100$, last three map it | an embedding of $Q$ | six layers, three shared, three for each skip; starts at scale 1 and shift 0 |
# | modulated | lower three levels | three levels | lower three levels |
# | predictor | ResNet-32 behind plain, SRM and Bayar convolutions | the same idea | the same; `gpu` has 32 layers, smaller profiles fewer |
# | Bayar | constraint, as published in 2018 | renormalised in place after each forward pass | part of the network, with a smallest sum |
# | qualities | 10, 30, 50, 70, 90, 100 | batch a multiple of six | the same; a quarter of the generator's pairs between them |
# | between two | "imprecise prediction" allowed | – | shared out between both neighbours |
# | inputs | pictures with some noise | stored at quality 100 first | both |
# | $\epsilon$ | 0.1 | 0.002 | 0.002, from half of the training on |
# | predictor while the generator learns | trained before | frozen | frozen; a second one, the judge, never met |
# | in the pipeline | FG-JPEG | `sim + (real − sim).detach()` | both, as exercise 7.3 |
# | result | 93.17 % of qualities read rightly, Diff-JPEG 72.48 % | no weights | the table of section 6 |

# %% [markdown]
# ## Limits, references, next
#
# - The truth of section 2 is measured wave by wave. A change of many waves at once may tip more, or
#   less, than the sum of its parts.
# - One linear or one tiny network hides here, trained for seconds, with one seed. Intervals are over
#   photographs, not over trainings. Networks of lessons 06 and 08 are larger and may find more.
# - All files are libjpeg-turbo's with colour halved. Services store twice, change tables, and use
#   other formats; that is where a learned simulator has no rival, and it was not tried here.
# - The predictor tells six qualities apart, and its verdict is on pictures of the kind that it was
#   trained on.
# - Milliseconds are of this machine, and of small pictures.
#
# References: Q. Ying et al., *Robust image protection countering cropping manipulation* (CLR-Net),
# 2022. R. Shin and D. Song, *JPEG-resistant adversarial images*, 2017. Y. Bengio et al., *Estimating
# or propagating gradients through stochastic neurons*, 2013. E. Perez et al., *FiLM: visual reasoning
# with a general conditioning layer*, AAAI 2018. X. Huang and S. Belongie, *Arbitrary style transfer
# in real-time with adaptive instance normalization*, ICCV 2017. J. Fridrich and J. Kodovský, *Rich
# models for steganalysis of digital images*, TIFS 2012. B. Bayar and M. Stamm, *Constrained
# convolutional neural networks*, TIFS 2018. O. Ronneberger et al., *U-Net*, MICCAI 2015. C. Szegedy
# et al., *Intriguing properties of neural networks*, ICLR 2014. L. Schuchman, *Dither signals and
# their effect on quantization noise*, IEEE Trans. Communication Technology 1964.
#
# **Next:** 08 · Bringing back what was cut away. How much of the lost area can the kept area carry?
