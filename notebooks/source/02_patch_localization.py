# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 2 · Where was this patch?
#
# **Can a network read a patch's position from the traces of the lens?**
#
# *Before you begin:* lessons [00](00_start_here.ipynb) and [01](01_lens_aberrations.ipynb); what a
# convolution, a cross-entropy and gradient descent are. Lesson 01's result is all the optics that
# is needed: a lens draws red, green and blue at slightly different sizes.
#
# *Afterwards you will be able to*
#
# - say why a network that is built to ignore position can find it out all the same;
# - make training examples that teach the lens, and nothing that the preparation itself gives away;
# - read a patch's place without any learning, and know the best that any reader could do;
# - train a small network that starts at chance and leaves it, and say which part of it matters;
# - measure what a reader reacts to, with intervals, and tell a simulation from the world.

# %% [markdown] run_card=true
# *Data used:* the embedded photographs, pictures that the course draws itself, the measured lenses
# and results in `assets/measurements/`, and trained weights in `assets/checkpoints/`. Nothing is
# downloaded.

# %% tags=["parameters"]
profile = "auto"  # smoke | cpu | gpu, or auto
seed = 0
photos = ""  # a folder with your own photographs; empty for the embedded ones

# %%
import json
import time
from dataclasses import replace
from functools import partial
from math import log
from typing import Any  # what is given may be an array or a tensor

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from course_lib.figures import grid, show
from course_lib.geometry import FULL, Box
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.lesson import start
from course_lib.metrics import bootstrap
from course_lib.paths import COURSE
from course_lib.photos import Photo, PhotoSource, resize_to
from course_lib.plots import lesson_02 as plots
from course_lib.teach.claims import claim
from course_lib.traces.camera import LIKE_MEASURED, PLAIN, REALISTIC, Camera
from course_lib.traces.examples import ASPECT, COURSE as SMALL, GRID, PATCHES, patch_corners
from course_lib.traces.patches import cut_patches, green_only

lesson = start("02", profile=profile, seed=seed, photos=photos)
device = lesson.device

# %% [markdown]
# ## 1 · A question with sixteen answers
#
# Lay a grid of 4 × 4 cells over a photograph, cut one small patch out of each cell, and mix them.
# Which patch is from which cell? The paper *Dissecting Image Crops* trains a network on just that
# question. It calls it a **pretext task**: nobody needs the answer, but whoever can answer must
# have found the traces of the lens. Lesson 03 then puts sixteen such answers together: if the
# patches of a picture do not lie where they should, the picture was cropped.
#
# Guessing is right one time in sixteen, 6.25 %. The paper's network reaches 21 %, and 15 % without
# colour. It is a hard task. Below, the lens is the exaggerated one of lesson 01, with green drawn
# 1.5 % inward, more than ten times what real lenses do. So here you can see what a patch tells.

# %%
pictures = lesson.pictures(8, long_side=1536)
large_enough = [picture for picture in pictures if min(picture.shape[:2]) >= 384]
photograph = large_enough[0] if large_enough else resize_to(pictures[0], 768, enlarge=True)
scene = Lens(green=0.985).apply(photograph)
side = min(96, min(scene.shape[:2]) // 5)
places = patch_corners(lesson.rng, scene.shape, side, jitter=8)

# %%
shown = plots.telling(scene, places, side)  # four cells with something to see in them
show(
    plots.task(scene, places, side, shown),
    photo=True,
    alt="A photograph under a grid of 4 by 4 numbered cells with a square patch in each; beside it "
    "four of the patches enlarged. Their edges have green and magenta fringes on different sides.",
    caption="The task: from the patch alone, say its cell. Green lies towards the centre of the picture.",
)

# %% [markdown]
# The *label* of a patch is the number of the cell in which its centre lies, counted row by row
# from 0: $\ell = 4\,\lfloor 4y \rfloor + \lfloor 4x \rfloor$, where $x$ and $y$ go from 0 to 1
# across and down the photograph and $\lfloor\;\rfloor$ rounds down. In lesson 03 the picture at
# hand may be a crop with the corner $(x_1, y_1)$ and the size $w \times h$, as fractions of the
# photograph. A point $(u, v)$ of the crop then lies at $(x_1 + u\,w,\; y_1 + v\,h)$ of the
# photograph, and it is *that* place which the label names: the lens does not know of the crop.

# %% quote="course_lib.traces.examples.label_cells" exercise="2.1" minutes=10 difficulty=1
# hint: First go out of the crop: the box's corner plus the point times the box's width and height.
# hint: np.floor(GRID * places) gives column and row; a point on the far edge would get 4, so clip.
# hint: Transpose to unpack: column, row = array.T; the label is GRID * row + column.

# %%
middle_of_each = (np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) + 0.5) / 4
assert (label_cells(middle_of_each) == np.arange(16)).all()
lower_right = Box(0.5, 0.5, 1.0, 1.0)
print("cells of a 4 × 4 grid on the lower right quarter:", label_cells(middle_of_each, lower_right))
assert set(label_cells(middle_of_each, lower_right)) == {10, 11, 14, 15}

# %% [markdown]
# ## 2 · Why a network can know where it is
#
# **Idea.** A convolution does the same everywhere. Shift its input, and its output shifts along.
# Average the output over the picture, as these networks do at their end, and nothing of the place
# is left: that is the *translation invariance* for which they are loved. A network that sees one
# patch has even less to go by, as no border of the picture is in sight. Yet what comes *through a
# lens* is not the same everywhere. In lesson 01 a channel with magnification $m$ (relative to
# green) moved the content at place $\mathbf{p}$ by
#
# $$ \mathbf{s} = (m - 1)\,(\mathbf{p} - \mathbf{c}) $$
#
# against green, where $\mathbf{c}$ is the optical centre. Read backwards, the shift $\mathbf{s}$ of
# red (or of blue) in a patch *is* the patch's place $\mathbf{p}$, up to one unknown number $m$ and
# a centre that is near the middle of the frame.
#
# How much is that worth, at best? Nobody needs a network to find out. Suppose an ideal instrument
# measured the shifts of red and blue in a patch, with normal errors of standard deviation $\sigma$
# across and down. We know which $m$ real cameras have (lesson 01 measured them), so Bayes' rule
# gives the probability of every place. Summed over the places of each cell (near its middle, where
# the patches of all tests below lie), these are the **votes** of the best possible reader of
# shifts: no network that sees the same two shifts can be right more often.
#
# For a place $\mathbf{d} = \mathbf{p} - \mathbf{c}$, seen from the centre, and a channel with the
# measured shift $\mathbf{s}$, the likelihood is the average of
#
# $$ \exp\big(-|\mathbf{s} - (m_k - 1)\,\mathbf{d}|^2 \,/\, 2\sigma^2\big) $$
#
# over the magnifications $m_k$ of the measured cameras. Red and blue are close to independent
# (lesson 01), so their likelihoods multiply. If the centre may lie a little beside the middle of
# the frame, the map of likelihoods is blurred by as much.

# %%
from scipy.special import logsumexp

from course_lib.traces.camera import measured_lenses

WIDTH, HEIGHT = 1536, 1024  # the size at which lesson 01 measured its cameras
STEP = lesson.pick(smoke=32, cpu=16, gpu=12)  # pixels between the places that are tried
known = measured_lenses()
ZOOMS = [np.quantile(values, (np.arange(40) + 0.5) / 40) for values in (known.red, known.blue)]
ROOM = 0.68  # more than half of each side: the centre may be off
across, down = (np.arange(-ROOM * size, ROOM * size, STEP) + STEP / 2 for size in (WIDTH, HEIGHT))
PLACES = np.stack(np.meshgrid(across, down), axis=-1).astype(np.float32)  # from the centre
FRAME = PLACES / (WIDTH, HEIGHT) + 0.5  # the same as fractions of the frame
NEAR = np.abs(FRAME * GRID % 1 - 0.5) * (WIDTH, HEIGHT) / GRID <= max(STEP, 8)
POSSIBLE = ((FRAME > 0) & (FRAME < 1) & NEAR).all(axis=-1)  # patches lie in the middle of their cell
CELL_OF = label_cells(FRAME[POSSIBLE])


# %%
def ideal_votes(shifts, noise, spread):
    """Votes of the best reader for one patch with shifts (red, blue) of (x, y) pixels each."""
    belief = 0.0
    for shift, zooms in zip(np.float32(shifts), np.float32(ZOOMS)):
        along, far = PLACES @ shift, (PLACES**2).sum(axis=-1)
        misfit = (shift @ shift) - 2 * zooms * along[..., None] + zooms**2 * far[..., None]
        belief = belief + logsumexp(-misfit / (2 * noise**2), axis=-1)
    belief = np.exp(belief - belief.max())
    if spread:  # the optical centre is known up to this share of the sides only
        belief = ndimage.gaussian_filter(belief, np.array([HEIGHT, WIDTH]) * spread / STEP)
    votes = np.bincount(CELL_OF, belief[POSSIBLE], minlength=PATCHES) + 1e-12
    return votes / votes.sum()


# %% [markdown]
# To test it we draw lenses and places and add noise to the true shifts. An error of 0.03 px is what
# a good instrument reaches on textures; on real photographs, compressed as they are, errors are
# larger.

# %%
def try_ideal_reader(noise, spread, count):
    """Share of patches whose cell is found, and of those sent to the opposite one."""
    rng, found = np.random.default_rng(seed), []
    for cell in rng.integers(PATCHES, size=count):
        lens = replace(LIKE_MEASURED, spread=spread).draw(rng)
        from_center = (middle_of_each[cell] - lens.center) * (WIDTH, HEIGHT)
        shifts = np.array([[lens.red - 1], [lens.blue - 1]]) * from_center
        votes = ideal_votes(shifts + rng.normal(0, noise, (2, 2)), noise, spread)
        found.append((votes.argmax() == cell, votes.argmax() == 15 - cell))
    return [bootstrap(each) for each in np.array(found).T]


# %%
count = lesson.pick(smoke=30, cpu=250, gpu=800)
ceilings = {}
print(f"{'error of a shift':18}{'optical centre':17}{'right':32}opposite cell")
for noise in (0.015, 0.03, 0.06):
    for spread, where in ((0.0, "in the middle"), (0.05, "near the middle")):
        ceilings[noise, spread] = try_ideal_reader(noise, spread, count)
        right, opposite = ceilings[noise, spread]
        print(f"{noise:5.3f} px          {where:17}{right:.2f}".ljust(67) + f"{opposite:.2f}")

# %%
loose = ceilings[0.03, 0.05][0]
if lesson.profile.name != "smoke":  # too few draws to say
    claim("Even the best reader of shifts is often wrong: lenses are weak, and none is known beforehand.",
          loose.high < 0.8, f"error 0.03 px, centre near the middle: {loose:.2f}")
    claim("Smaller errors make a better reader.",
          ceilings[0.015, 0.05][0].value > ceilings[0.06, 0.05][0].value)

# %% [markdown]
# Keep the line *0.030 px, near the middle* in mind. Whoever reports much more on lenses like these
# has found another clue than the shift of colours, or a leak.
#
# ### One patch cannot tell a lens from its mirror
#
# There is a second limit, and no precision removes it. A lens that draws red *outward* moves it at
# $\mathbf{d}$ by $(m-1)\,\mathbf{d}$. A lens that draws red *inward* by as much makes the same
# shift at the opposite place, $-\mathbf{d}$:
#
# $$ (m - 1)\,\mathbf{d} = \big((2 - m) - 1\big)\,(-\mathbf{d}) $$
#
# One patch shows one shift and cannot know which of the two it was. Only statistics help: most
# cameras draw red and blue outward against green, so that is the better bet. For the others even
# the best reader goes to exactly the **opposite** cell. That is the last column of the table above.

# %%
d = np.array([0.30 * WIDTH, -0.32 * HEIGHT])
usual = {"red and blue outward": (6e-4, 5e-4), "red out, blue in": (5e-4, -5e-4),
         "red and blue inward": (-6e-4, -5e-4)}
found = [ideal_votes(np.array(zooms)[:, None] * d, 0.03, 0.05) for zooms in usual.values()]
truth = int(label_cells((d / (WIDTH, HEIGHT) + 0.5)[None])[0])
show(
    plots.vote_maps(found, [truth] * 3, list(usual)),
    alt="Three maps of votes for 16 cells; a cross marks the true cell at the upper right, a ring the "
    "opposite one. For a usual lens the votes lie around the cross, for the mirrored lens around the "
    "ring, for a mixed lens around both.",
    caption="The best reader's votes for one place (cross) and three lenses, light is much. Red and "
    "blue inward: the votes lie at the opposite cell (ring).",
)
claim("For the mirrored lens the best reader prefers the opposite cell.",
      found[2].argmax() == 15 - truth and found[0].argmax() == truth)

# %% [markdown]
# So it is on real photographs: of 1,120 patches from 35 cameras, the readers of section 6 put about
# one in ten into exactly the opposite cell. Most of those come from six photographs, of which
# hardly a patch is put into its right cell.
#
# Would sixteen patches of such a photograph know better? Their shifts would not. If all sixteen
# are mirrored, their arrangement is mirrored as a whole, and it fits the mirrored lens just as
# well: sixteen patches behind one lens are *one* observation of its sign. Only clues that do not
# care for the sign help. Vignetting is one, as every lens darkens outward: too faint in one patch,
# less so in sixteen. Lesson 03 is better off. To detect a crop one needs to know where the
# **centre** of the lens is, and a lens and its mirror have the same centre.

# %% [markdown]
# ## 3 · Examples, in the paper's order
#
# Training needs patches with known labels. A photograph that was never cropped gives them for free,
# and the paper took some 700,000 such photographs, each with its own lens. We have a few dozen. So
# the course puts lenses of its own in front of what it has, and draws as many examples as it likes.
# The order of the steps matters, because it is the order of the world:
#
# 1. a whole photograph, in landscape, cut evenly to 3 : 2 (the middle of the lens stays put);
# 2. **the lens**: our simulated one, drawn anew each time, on the *uncropped* photograph;
# 3. the crop, for half of the photographs (lesson 03; for the pretext nothing is cropped);
# 4. a resize to a random width, so that size tells nothing;
# 5. sixteen patches, one from the middle of each cell, each moved by a few pixels;
# 6. a thumbnail of the whole (lesson 03).
#
# The lens comes before the crop, so its centre is that of the photograph and not of the crop. Done
# the other way round, every crop would have a perfectly centred lens of its own, and its fringes
# would say that nothing was cropped.

# %%
from course_lib.traces.examples import make_example

made = make_example(photograph, np.random.default_rng(3), SMALL, box=FULL,
                    lens=replace(LIKE_MEASURED, strength=4.0))
assert (made.cells == np.arange(16)).all()
show(
    plots.example(made.patches, made.thumbnail),
    photo=True,
    alt="Sixteen patches in a square, and beside them the whole photograph as a small thumbnail.",
    caption="One example, uncropped: its patches have the labels 0 to 15 in order.",
)

# %% [markdown]
# Where exactly the patches lie is the first trap. JPEG stores a picture in blocks of 8 × 8 pixels,
# with faint seams between them. If patches always began at the same pixels, the seams would lie
# elsewhere in the patches of each cell (unless a cell's width is a multiple of 8) and tell the
# cell: right on every training picture, and nothing to do with a lens. So every patch is moved by
# $-8, \dots, 7$ pixels across and down, which makes all 64 positions in a block equally likely.

# %% quote="course_lib.traces.examples.patch_corners"

# %% [markdown]
# ### Shortcuts
#
# A *shortcut* is any clue that our preparation leaves and the world does not. Networks find them
# first. The best test is a **control**: pictures that no lens has touched, everything else the
# same. A reader that is better than chance on the control has found a shortcut. Here is the JPEG
# grid, with the jitter off and on, and no lens anywhere. The probe is the simplest of classifiers
# (a logistic regression on 16 numbers: how much the steps between pixels stand out at each of the
# 8 places in a block, across and down).

# %%
from course_lib.traces import shortcuts

leak = shortcuts.jpeg_grid(count=lesson.pick(smoke=12, cpu=60, gpu=120), seed=seed)
print(f"{leak.name}: without the defence {leak.off:.2f}, with it {leak.on:.2f}, chance {leak.chance:.3f}")
claim("Without jitter the JPEG grid alone gives cells away; with it, next to nothing is left.",
      leak.off.low > 3 * leak.on.high)
show(
    plots.blocks(leak.evidence["off"], leak.evidence["on"]),
    alt="Two tables of 16 cells by 8 phases. Without jitter each row has one dark entry, at a phase "
    "that depends on the column of the cell; with jitter all entries are equally light.",
    caption="How much steps between neighbouring columns of pixels stand out, by cell and by their place "
    "in a block of 8. Without jitter the seam is at a known place in every cell.",
)

# %% [markdown]
# The second shortcut is stranger. **Batch normalisation** subtracts the mean of the batch from
# every feature. The paper's network reads the $k$-th patch of all photographs in one go, at turn
# $k$. Then a batch holds *one cell only*, and each patch is seen relative to others of its own
# cell. What is learned from that holds in training alone: in testing, the mean is a fixed one. The
# cure is to mix: at turn $k$, photograph $i$ of the batch sends not its patch $k$ but its patch
# $k - i$ (counted around), so that every turn holds all cells. Afterwards the results are rolled
# back.

# %% quote="course_lib.traces.examples.shuffle_labels" exercise="2.2" minutes=10 difficulty=2
# hint: Make two index arrays, i as a column for the examples and k as a row for the patches.
# hint: Example i has at place k what was at place (k − i) modulo the number of patches.
# hint: batch[i, source] with a column and a row picks a whole table at once; undoing turns the
#   sign.

# %%
cells = np.tile(np.arange(16), (16, 1))
mixed = shuffle_labels(cells)
print("cells at the first turn, before:", cells[:, 0], " after:", mixed[:, 0])
assert sorted(mixed[:, 0]) == list(range(16))
assert (shuffle_labels(mixed, undo=True) == cells).all()

# %% [markdown]
# To see the leak, train a tiny network both ways. A batch can only pool what its patches show, so
# this once there is a lens, and a strong one. What counts is the accuracy on new pictures, first
# with the batch's own mean and then with each patch alone: what is lost between the two was never
# in the patches.

# %%
leak = shortcuts.batchnorm(steps=lesson.pick(smoke=2, cpu=60, gpu=60), seed=seed,
                           held_out=lesson.pick(smoke=1, cpu=8, gpu=8))
for name, owed in (("off", leak.off), ("on", leak.on)):
    in_batches, alone = leak.evidence[f"{name}_accuracy"]
    print(f"mixing {name:3}: right in batches {in_batches:.2f}, one by one {alone:.2f}; "
          f"owed to the batch {owed:.2f}")
if lesson.profile.name != "smoke":  # a few steps teach neither network anything
    claim("Unmixed, accuracy is owed to the batch and gone without it; mixed, far less of it is.",
          leak.off.low > max(leak.on.high, 0))
show(
    plots.curves({"one cell a turn": leak.evidence["off_loss"], "mixed": leak.evidence["on_loss"]},
                 log(16), lesson.pick(smoke=1, cpu=5, gpu=5)),
    alt="Two learning curves of training, which begin at 2.77, with one cell a turn and mixed.",
    caption="Training losses. What the upper one gains is an illusion: see the accuracies above.",
)

# %% [markdown]
# The curve of one cell a turn falls as if something were learned about places. The line above says
# what: next to nothing, once a patch comes alone. In this small network mixing even learns faster.
# That is no surprise: what the patches of one cell have in common is their fringe, and with one
# cell a batch, that is just what the mean takes away.

# %% [markdown]
# ### Textures that no lens has touched
#
# One more thing can leak: the photographs' **own** lens. A simulated lens on top of a real one adds
# up to neither. We need textures without fringes. *Dead leaves* (lesson 01), discs of random
# colours on top of each other, have none. Photographs made four times smaller have few, because a
# fringe of half a pixel becomes an eighth of one; laid side by side, mirrored in turn, they fill a
# picture again.

# %%
from course_lib.traces.baseline import fringe_features, shifts_of
from course_lib.traces.examples import pave

scenes = {"train": pictures[::2], "test": pictures[1::2] or pictures}


def texture(number, split="train", shrink=4.0, leaves=0.5):
    """Draw a 1536 × 1024 picture without a lens: dead leaves, or a shrunken photograph, laid out."""
    rng = np.random.default_rng((seed, number, ("train", "test").index(split)))
    if rng.random() < leaves:
        return pave(dead_leaves(384, rng), (HEIGHT, WIDTH), rng)
    picture = scenes[split][number % len(scenes[split])]
    size = [max(64, round(length / shrink)) for length in picture.shape[1::-1]]
    return pave(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), (HEIGHT, WIDTH), rng)


# %%
def still(picture):
    """A picture in memory as a photograph that can be read."""
    return Photo("picture", partial(np.asarray, picture))


def textures(count, split="train", **how):
    """Textures as photographs, drawn when they are read."""
    return [Photo(f"texture {n}", partial(texture, n, split, **how)) for n in range(count)]


# %% [markdown]
# How much of a shift of their own do such textures show? We measure their patches, without any
# simulated lens, by the method of section 4.

# %%
kinds = {"photographs as they are": {"shrink": 1.0, "leaves": 0.0},
         "made 2 times smaller": {"shrink": 2.0, "leaves": 0.0},
         "made 4 times smaller": {"shrink": 4.0, "leaves": 0.0}, "dead leaves": {"leaves": 1.0}}
number = lesson.pick(smoke=2, cpu=12, gpu=24)
for name, how in kinds.items():
    bare = cut_patches(textures(number, **how), per_cell=1, seed=seed)
    shift, error = shifts_of(fringe_features(bare.patches), "red")
    sharp = error.max(axis=1) < np.median(error)  # patches with texture enough to tell
    own = bootstrap(np.linalg.norm(shift[sharp], axis=1), np.median, groups=bare.photos[sharp])
    print(f"{name:25} median shift of red {own:.3f} px")

# %% [markdown]
# Compare that with what is to be learned: the median camera displaces red or blue by 0.42 px in the
# very corner, and by half of that in a typical patch. Fringes of a photograph that is only halved
# are no longer small against it. So we shrink by four, and mix in leaves.

# %% [markdown]
# ## 4 · Without any learning
#
# Before a network, the plain way: measure the shifts as lesson 01 did. If a channel $C$ (red or
# blue) is green $G$ with another contrast $k$ and offset $o$, moved by a small $\mathbf{s}$, then
#
# $$ C(\mathbf{p}) = o + k\,G(\mathbf{p} - \mathbf{s})
# \approx o + k\,G(\mathbf{p}) - k\,\mathbf{s} \cdot \nabla G(\mathbf{p}) $$
#
# So in a block of 10 × 10 pixels, least squares fits $C = o + k\,G + \mathbf{g} \cdot \nabla G$,
# and $\mathbf{s} = -\mathbf{g}/k$. One small block says little, but a patch of 96 px has 81 of
# them. They show different materials, so each keeps its own $o$ and $k$; the shift is common to
# all.
#
# How should 81 opinions be joined? A block $b$ with an edge that runs up and down knows the
# horizontal part of its shift $\mathbf{s}_b$ well and the vertical part not at all. Its certainty
# is therefore not a number but a 2 × 2 matrix, the inverse of its covariance: $W_b$. The best
# common shift weighs with these matrices,
#
# $$ \mathbf{s} = \Big(\sum_b \rho_b W_b + \tfrac{1}{\tau^2} I\Big)^{-1}
# \sum_b \rho_b W_b\,\mathbf{s}_b, \qquad \rho_b = \frac{1}{\big(1 + D_b / D\big)^2}, \qquad
# D_b = (\mathbf{s}_b - \mathbf{s})^\top W_b\,(\mathbf{s}_b - \mathbf{s}) $$
#
# where $I$ is the 2 × 2 identity, $\tau$ (`SHIFT_PRIOR`) says how large shifts usually are, which
# keeps flat patches finite, and $\rho_b$ takes the vote from blocks that disagree with the others:
# $D_b$ is their squared distance in standard errors, and at $D_b = D$ (`OUTLYING`) a block keeps a
# quarter of its weight. As $\rho_b$ depends on $\mathbf{s}$ and the other way round, the two are
# computed in turns, starting from $\rho_b = 1$.

# %%
from course_lib.traces.baseline import OUTLYING, SHIFT_PRIOR

# %% quote="course_lib.traces.baseline.common_shift" exercise="2.3" minutes=25 difficulty=3
# hint: Keep `robust` as an (n, b) array of ones; a round multiplies the weights by it
#   (robust[..., None, None]) and sums over the blocks.
# hint: np.linalg.solve(information, pulls) gives the shift; numpy wants pulls as columns:
#   pulls[..., None], and [..., 0] afterwards.
# hint: The distance is np.einsum("nbi,nbij,nbj->nb", rest, weights, rest), with the weights as they
#   were given, not those of this round.

# %% [markdown]
# *Invariant.* Blocks that agree return their shift, and one wild block among them hardly moves it.

# %%
steady = np.tile([0.3, -0.1], (1, 9, 1))
certain = np.tile(1000 * np.eye(2), (1, 9, 1, 1))
calm, _, _ = common_shift(steady, certain)
steady[0, 4] = 5.0, 5.0
wild, _, trust = common_shift(steady, certain)
print(f"nine agree: {calm[0]}; one of them wild: {wild[0]}, and its weight {trust[0, 4]:.1e}")
assert np.allclose(calm, [0.3, -0.1], atol=1e-3) and np.allclose(wild, calm, atol=1e-3)

# %% [markdown]
# Sixteen patches of dead leaves behind a lens with red 0.06 % outward and blue 0.06 % inward, a
# clear lens, but one that occurs:

# %%
glass = Lens(red=1.0006, blue=0.9994)
sixteen = cut_patches(textures(1, leaves=1.0), per_cell=1, lens=glass)
features = fringe_features(sixteen.patches)
measured = {name: shifts_of(features, name)[0] for name in ("red", "blue")}
true = {"red": 6e-4 * sixteen.positions, "blue": -6e-4 * sixteen.positions}
gap = np.linalg.norm(measured["red"] - true["red"], axis=1)
show(
    plots.shift_arrows(sixteen.positions, measured, true),
    alt="Two fields of 16 arrows, for red and for blue; coloured arrows lie on gray ones. Red's point "
    "away from the centre, blue's towards it, longest in the corners.",
    caption="Shifts read from single patches (colour) and the true ones (gray), 400 times enlarged.",
)
print(f"median error of red's shift: {np.median(gap):.3f} px")

# %% [markdown]
# `fringe_features` measures more than that: the shifts at three blurs with their errors, how much
# softer red and blue are than green, and the slope of brightness (vignetting). What these numbers
# say about the cell is left to a small classifier that is trained in seconds: a perceptron with
# two hidden layers of 48 units, fed with these numbers alone. Its training patches may be
# multiplied for free, since a mirrored photograph is as good as another one, and since shifts
# *add*: what another lens would have shown is the measured shift plus the difference of the two
# lenses at that place. We call all of this the **closed form**, as what sees pixels in it is not
# learned.

# %%
from course_lib.traces.votes import PatchReader, measure, train_perceptron

sizes = lesson.pick(smoke=(10, 4), cpu=(110, 40), gpu=(300, 80))  # textures to train and to test
began = time.perf_counter()
training = measure(cut_patches(textures(sizes[0]), 1, seed, anywhere=True, lens=LIKE_MEASURED))
fresh_reader = PatchReader((train_perceptron(training, seed=seed, epochs=20),))
print(f"{len(training)} patches measured, perceptron trained: {time.perf_counter() - began:.0f} s")

# %%
from course_lib.traces.evaluate import patch_accuracy

glasses = {"simulated lenses": LIKE_MEASURED, "no lens (control)": None}
tests = {name: cut_patches(textures(sizes[1], "test"), 1, seed + 1, lens=lens)
         for name, lens in glasses.items()}


def accuracy(votes, patches):
    """Share of patches put into their cell, with an interval over pictures."""
    return patch_accuracy(votes, patches.cells, patches.photos)


fresh = {}
for name, test in tests.items():
    fresh[name] = fresh_reader.votes(fringe_features(test.patches))
    print(f"closed form, trained here, {name:18} {accuracy(fresh[name], test):.3f}")

# %%
seen = accuracy(fresh["simulated lenses"], tests["simulated lenses"])
control = accuracy(fresh["no lens (control)"], tests["no lens (control)"])
if lesson.profile.name != "smoke":  # a few dozen patches are too few to say
    claim("Without a lens the closed form is at chance.", abs(control.value - 1 / 16) < 0.03,
          f"{control:.3f}, chance {1 / 16:.4f}")
    claim("With one, it is far above.", seen.low > 2 / 16, f"{seen:.3f}")
print(f"the best reader of shifts, with errors of 0.03 px: {loose:.2f}")

# %% [markdown]
# So seconds of arithmetic beat chance many times over, and on clean textures they come near what
# the best reader of shifts can do. This is the bar for a network that has to find the same signal
# by itself, in pixels.

# %% [markdown]
# ## 5 · A network that sees nothing, and one that does
#
# **Idea.** The paper trains a ResNet-18, a network of 18 layers, on RGB patches, for up to 25
# epochs of some 630,000 photographs. With a laptop's budget nothing is learned from raw colours,
# as we shall see. The loss is
#
# $$ L = -\frac{1}{n} \sum_{i=1}^{n} \log \frac{e^{z_{i, \ell_i}}}{\sum_{c=0}^{15} e^{z_{i, c}}} $$
#
# for $n$ patches with labels $\ell_i$ and the network's scores (*logits*) $z_{i, c}$ for the cells,
# the *cross-entropy*. A network that gives all cells the same score has $L = \ln 16 = 2.77$. Keep
# that number in mind: it is what "nothing learned" looks like.

# %% quote="course_lib.traces.objective.patch_loss" exercise="2.4" minutes=5 difficulty=1
# hint: All axes but the last count patches: cells.flatten(0, -2) makes them one.
# hint: F.cross_entropy takes logits and integer labels, and averages.

# %%
nothing = patch_loss(torch.zeros(3, 16, 16), torch.randint(16, (3, 16)))
print(f"loss of a network that knows nothing: {nothing:.3f}, ln 16 = {log(16):.3f}")
assert abs(float(nothing) - log(16)) < 1e-5

# %% [markdown]
# ### Show it the fringes
#
# Why is it so hard? A fringe changes pixels by about a hundredth of what the picture itself does,
# and a network's first steps go where the large numbers are. We can help without giving the answer
# away. Take green, and the *differences* of red and blue from green, doubled. Subtract from each
# plane $P$ its mean over 9 × 9 pixels, so that only fine detail is left. Divide all three by the
# local strength of green's detail, so that faint edges count as much as bold ones. With
# $\langle \cdot \rangle_k$ for the mean over a window of $k \times k$ pixels:
#
# $$ D(P) = P - \langle P \rangle_9, \qquad
# \frac{D(P)}{\sqrt{\langle D(G)^2 \rangle_{17} + 0.01^2}} \quad \text{for } P \in
# \{G,\; 2(R - G),\; 2(B - G)\} $$
#
# (The 0.01 keeps flat places finite.) `FringeInput` has no weights. It is a pair of spectacles.

# %% quote="course_lib.traces.model.box_mean"

# %%
from course_lib.traces.model import EMBEDDING, patch_net, pooled_products

# %% quote="course_lib.traces.model.FringeInput" exercise="2.5" minutes=15 difficulty=2
# hint: rgb.unbind(dim=1) gives three (n, h, w) planes; torch.stack puts three others beside each
#   other.
# hint: detail = planes - box_mean(planes, 9).
# hint: The strength is made of green's detail alone, detail[:, :1], and divides all three planes.

# %%
clear = Lens(green=0.9985).apply(texture(2, leaves=1.0))[-96:, -96:].copy()  # a pixel in the corner
leaf = torch.from_numpy(clear).permute(2, 0, 1)[None] / 255
planes = FringeInput()(leaf)[0]
panels = [clear, *(0.5 + planes.numpy() / 6).clip(0, 1)]
names = ["patch", "green detail", "red − green", "blue − green"]
figure, axes = grid(panels, names, columns=4, cmap="gray", vmin=0, vmax=1)
show(
    figure,
    photo=True,
    alt="A patch of coloured leaves, and three gray planes: green detail with all edges, and the "
    "differences of red and blue from green, in which edges are thin double lines, light and dark.",
    caption="What `FringeInput` makes of a patch from the lower right corner, green 0.15 % inward. "
    "In the last two planes edges are double lines, light on one side and dark on the other.",
)

# %% [markdown]
# ### Products, not means
#
# The double lines of the last two planes mean nothing by themselves: whether light lies left of
# dark depends on whether the edge itself goes from dark to light. The shift is in the **relation**
# of a difference plane to green's slope: $R - G \approx -\mathbf{s} \cdot \nabla G$, so the average
# over the patch of the product $(R - G)\,\partial_x G$ is $-s_x$ times the average of
# $(\partial_x G)^2$ (for slopes in $x$ and $y$ that are not related). Least squares lives on such
# products, too. *Bilinear pooling* gives them all to a network: with feature maps $f_1, \dots, f_c$
# over the $N$ pixels $\mathbf{p}$ of a patch,
#
# $$ A_{ij} = \frac{1}{N} \sum_{\mathbf{p}} f_i(\mathbf{p})\, f_j(\mathbf{p}) $$

# %% quote="course_lib.traces.model.bilinear_pool" exercise="2.6" minutes=10 difficulty=2
# hint: Flatten the two picture axes into one of N pixels: features.flatten(2).
# hint: A matrix times its transpose sums over pixels for every pair of maps at once; .mT transposes
#   the last two axes.

# %%
maps = FringeInput()(torch.rand(2, 3, 40, 40))
table = bilinear_pool(maps)
assert torch.allclose(table, table.mT) and table.shape == (2, 3, 3)
assert torch.allclose(table[0, 0, 1], (maps[0, 0] * maps[0, 1]).mean(), atol=1e-6)

# %% [markdown]
# The network is a handful of convolutions, products of two of their layers (a fine one and a coarse
# one), and two linear layers that read them. `pooled_products` is `bilinear_pool` that keeps each
# pair of maps once.

# %% quote="course_lib.traces.model.FringeNet"

# %%
from course_lib.traces.model import parameter_count

net = patch_net("fringe")
print(f"FringeNet with its 16 outputs: {parameter_count(net):,} weights; the paper's ResNet-18: "
      f"{parameter_count(patch_net('paper')):,}")

# %% [markdown]
# ### A loader that does not run dry
#
# `PatchStream` makes batches: textures, a lens drawn for each picture, patches from anywhere, and
# their cells. A batch depends on seed and number alone, so a run that was interrupted goes on with
# the very batches it would have seen, whichever process makes them. Only the windows that are
# needed pass the lens.

# %%
from course_lib.traces.stream import PatchStream, Recipe
from course_lib.traces.train import NATIVE

large = [picture for picture in scenes["train"] if min(picture.shape[:2]) >= 256]
source = PhotoSource("training textures", [still(picture) for picture in large])
batch_size = lesson.pick(smoke=32, cpu=128, gpu=256)


def stream(strength, camera=PLAIN, workers=0):
    """Patches of textures through lenses like the measured ones, `strength` times as strong."""
    recipe = Recipe(NATIVE, camera=camera, lens=replace(LIKE_MEASURED, strength=strength))
    return PatchStream(source if large else None, recipe, batch_size, per_picture=16, seed=seed,
                       leaves=0.5, shrink=4.0, workers=workers)


first, again = stream(1.0).batch(7), stream(1.0).batch(7)
assert torch.equal(first.patches, again.patches) and torch.equal(first.cells, again.cells)
print(f"batch 7: {tuple(first.patches.shape)} {first.patches.dtype}, cells {first.cells[:8].tolist()} …")

# %% [markdown]
# Is it quick enough, or will the network wait? We time one against the other.

# %%
def speed(work, repeats):
    """Patches a second."""
    work()  # once to warm up
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    return repeats * batch_size / (time.perf_counter() - began)


def one_step(net, optimizer, batch):
    """Train on one batch; return its loss."""
    patches, cells = batch.patches.to(device), batch.cells.to(device)
    loss = patch_loss(net(patches / 255), cells)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


# %%
repeats = lesson.pick(smoke=1, cpu=4, gpu=8)
net = net.to(device)
optimizer = torch.optim.Adam(net.parameters(), 3e-3)
speeds = {"making patches, lens alone": speed(partial(stream(1.0).batch, 1), repeats),
          "making patches, whole camera": speed(partial(stream(1.0, REALISTIC).batch, 1), repeats),
          "training the network": speed(partial(one_step, net, optimizer, first), repeats)}
for name, each in speeds.items():
    print(f"{name:30} {each:7.0f} patches a second (one process)")
slower = min(speeds, key=speeds.get)
print(f"The slowest of the three is {slower}.")

# %% [markdown]
# In the training below, processes of their own (*workers*) make batches in advance, and the stream
# counts the seconds for which training had to wait.
#
# ### What does the network need?
#
# Four networks, the same batches, the same number of steps. Fringes are made four times as wide as
# real ones, so that there is something to see within seconds. *Raw* is the same network without
# its spectacles; *differences* shows it $G$, $2(R-G)$ and $2(B-G)$, but takes no mean off and
# divides by nothing; *averages* has the spectacles, but means of its maps instead of means of
# products.

# %%
class Differences(nn.Module):
    """Green and the colour differences, not filtered."""

    def forward(self, rgb):
        red, green, blue = rgb.unbind(dim=1)
        return torch.stack([green, 2 * (red - green), 2 * (blue - green)], dim=1)


def averaging():
    """A network of the same convolutions that pools each map by its mean."""
    convolutions = [nn.Conv2d(3, 24, 5, stride=2), nn.ReLU(), nn.Conv2d(24, 24, 3, stride=2), nn.ReLU(),
                    nn.Conv2d(24, 48, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(48)]
    return nn.Sequential(FringeInput(), *convolutions, nn.Linear(48, 128), nn.ReLU(), nn.Linear(128, 64))


# %%
def trained(batches, change=None):
    """Train a fresh network on some batches, changed first; return it and its losses."""
    torch.manual_seed(seed)
    net = patch_net("fringe")
    if change:
        change(net)
    net = net.to(device)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    return net, [one_step(net, optimizer, batch) for batch in batches]


steps = lesson.pick(smoke=3, cpu=48, gpu=150)
wide = [stream(4.0).batch(number) for number in range(steps)]
changes = {"fringes, products": None,
           "fringes, averages": lambda net: setattr(net, "embed", averaging()),
           "differences, products": lambda net: setattr(net.embed, "fringes", Differences()),
           "raw RGB, products": lambda net: setattr(net.embed, "fringes", nn.Identity())}
runs = {name: trained(wide, change) for name, change in changes.items()}

# %%
window = max(steps // 6, 1)
show(
    plots.curves({name: losses for name, (_, losses) in runs.items()}, log(16), window),
    alt="Learning curves of four networks. Those that see raw colours or plain differences stay at "
    "chance, 2.77; those that see fringes fall below it.",
    caption="Fringes four times as wide as real ones. The thin line is the loss of knowing nothing.",
)

# %%
last = {name: float(np.mean(losses[-window:])) for name, (_, losses) in runs.items()}
for name, loss in last.items():
    print(f"{name:24} loss over the last {window} steps: {loss:.2f}")
if lesson.profile.name != "smoke":
    claim("Raw colours teach nothing in this time; fringes do.",
          last["raw RGB, products"] > 2.7 and last["fringes, products"] < 2.5)

# %% [markdown]
# Raw colours are hopeless at this budget: the spectacles decide. Between products and averages
# there is little, if anything. A network of several layers with rectifiers between them soon makes
# something like products out of sums. (For *one* linear layer the argument above is strict: its
# mean says nothing.) We stay with products, because we know what they measure.

# %% [markdown]
# ### From wide fringes to real ones
#
# A whole camera behind the lens makes it harder: demosaicing, sharpening and JPEG (section 8) blur
# what the fringes say. So we begin with wide fringes and *anneal*: four times the measured
# strength, then twice, then once. Is the start really necessary? Two fresh networks see patches
# through the whole camera, one with fringes four times as wide, one with real ones:

# %%
for times in (4.0, 1.0):
    behind_camera = stream(times, REALISTIC)
    losses = trained([behind_camera.batch(n) for n in range(steps)])[1][-window:]
    print(f"whole camera, {times:g} × measured: loss over the last {window} steps {np.mean(losses):.2f}")

# %% [markdown]
# Wide fringes take the network away from chance sooner, and from there it is not far to real ones.
# Now the training itself, on the lens alone so that it fits into minutes. It goes on from the first
# network above.

# %%
schedule = lesson.pick(smoke=((2.0, 2), (1.0, 2)), cpu=((2.0, 40), (1.0, 130)),
                       gpu=((2.0, 200), (1.0, 1500)))
workers = lesson.pick(smoke=0, cpu=2, gpu=8)
net, history = runs["fringes, products"]
total, began, waited = sum(number for _, number in schedule), time.perf_counter(), 0.0
optimizer = torch.optim.Adam(net.parameters())
for strength, number in schedule:
    batches = stream(strength, workers=workers)
    for _, batch in zip(range(number), batches.batches(first_step=1000)):
        progress = (len(history) - steps) / total
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - 0.95 * progress)
        history.append(one_step(net, optimizer, batch))
    waited += batches.waited
seconds = time.perf_counter() - began
print(f"{total} steps, {total * batch_size / seconds:.0f} patches a second, "
      f"{waited / seconds:.0%} of the time spent waiting for patches")

# %%
narrower = {0: "4 ×", steps: "2 ×", steps + schedule[0][1]: "1 × measured"}
show(
    plots.curves({"training": history}, log(16), 2 * window, narrower),
    alt="One learning curve that leaves chance behind at once and then stays far below it, while two "
    "vertical lines mark where the fringes become narrower.",
    caption="The whole training: fringes four times, twice, once as wide as measured ones. The loss "
    "stays low although the task becomes harder.",
)

# %%
from course_lib.traces.readers import reading

read_here = reading(net.eval())
ours = {name: accuracy(read_here(test.patches), test) for name, test in tests.items()}
for name, found in ours.items():
    print(f"network, trained here, {name:18} {found:.3f}")
reached, control = ours.values()
if lesson.profile.name != "smoke":
    claim("Without a lens the network is at chance too: it has found no shortcut.",
          abs(control.value - 1 / 16) < 0.03, f"{control:.3f}")
    claim("A small network, trained from scratch in minutes, reads places from fringes.",
          reached.low > 2 / 16, f"{reached:.3f}; chance {1 / 16:.4f}, closed form {seen:.3f}")

# %% [markdown]
# Compare it with the closed form, which was told what a shift is. The network had labels and
# pixels, and some minutes.

# %% [markdown]
# ## 6 · Knowing when one knows
#
# The course ships a closed form and a network that were trained for longer, on textures, on many
# simulated cameras and on photographs as cameras made them. From here on we ask these two, and
# *both*: the average of their logarithms.

# %%
from course_lib.checkpoints import find, read_card
from course_lib.traces.readers import READERS, joined

card = read_card(find("traces", "pretext"))
simulated = card.config["batch"]
print(f"network: {card.steps:,} steps of {simulated} patches through simulated lenses and "
      f"{round(card.config['real'] * simulated)} of photographs")
print(f"         {card.wall_seconds / 60:.0f} minutes on {card.hardware}")
closed, network = (READERS[name](None) for name in ("fringe", "network"))


def ask(patches):
    """Votes of the shipped readers."""
    votes = {"closed form": closed(patches), "network": network(patches)}
    return votes | {"both": joined(list(votes.values()))}


# %%
shipped = {name: ask(test.patches) for name, test in tests.items()}
for name, votes in shipped.items():
    for who, each in votes.items():
        opposite = bootstrap(each.argmax(axis=1) == 15 - tests[name].cells, groups=tests[name].photos)
        print(f"{who:12} {name:18} right {accuracy(each, tests[name]):.3f}   opposite {opposite:.3f}")

# %% [markdown]
# With a lens, the opposite cell is named more often than the other fourteen wrong ones on average,
# as section 2 foretold. (The control rests on few scenes, used again and again, and may lie
# a little beside 0.0625 by luck. Section 9 has one from many photographs.) Every answer also comes
# with a confidence for free: its highest vote.
#
# If confidence means anything, patches with high confidence are right more often. To see it, sort
# the patches by confidence, cut the list into bins of equally many, and compare.

# %% quote="course_lib.traces.evaluate.accuracy_by_confidence" exercise="2.7" minutes=10 difficulty=2
# hint: The confidence of a patch is its highest vote; it is right if that vote is for its true
#   cell.
# hint: np.argsort(confidence) lists the patches from least to most confident; np.array_split cuts
#   the list into parts of equal length.
# hint: For each part take the mean confidence, the mean of right, and the length.

# %%
from course_lib.traces.evaluate import confident_accuracy

seen_through = tests["simulated lenses"]
kept, bins = {}, {}
for who, votes in shipped["simulated lenses"].items():
    bins[who] = accuracy_by_confidence(votes, seen_through.cells, 8)[:2]
    hit = (votes.argmax(axis=1) == seen_through.cells)[np.argsort(-votes.max(axis=1))]
    answered = np.arange(1, len(hit) + 1)
    kept[who] = answered / len(hit), np.cumsum(hit) / answered
    best = confident_accuracy(votes, seen_through.cells, seen_through.photos)
    print(f"{who:12} all patches {accuracy(votes, seen_through):.2f}, most confident fifth {best:.2f}")

# %%
show(
    plots.confidence(kept, bins),
    alt="Left: accuracy falls as more patches are answered, from the most confident on. Right: "
    "accuracy against stated confidence in eight bins, near the diagonal.",
    caption="Left: accuracy of the most confident patches. Right: does confidence keep its word?",
)

# %% [markdown]
# On the left, only the patches of which the reader is surest are answered; the fewer, the more
# accurately: the paper's Figure 11. On the right, a point *on* the line means that the stated
# confidence is the accuracy. Below the line a reader boasts, above it it is too modest. Ours
# learned on photographs that were compressed as well, so on these clean patches they know more
# than they dare to say.
#
# ### What confident and unsure patches look like
#
# The paper's Figure 4 shows which patches it knows: textured, with many edges. Smooth or blurred
# ones leave it unsure. Here are ours, of the lesson's photographs behind a simulated lens, with
# votes as maps; the cross is the truth.

# %%
at_hand = [still(picture) for picture in pictures if min(picture.shape[:2]) >= 384]
if not at_hand:
    at_hand = textures(6, "test", leaves=0.0)
widest = max(max(photo.read().shape[:2]) for photo in at_hand)
visible = replace(LIKE_MEASURED, strength=max(1.0, WIDTH / widest))  # as wide in pixels as at 1536
portraits = cut_patches(at_hand, lesson.pick(smoke=1, cpu=2, gpu=4), seed, lens=visible)
votes = ask(portraits.patches)["both"]
order = np.argsort(votes.max(axis=1))
ranked = {"most confident": order[::-1], "least confident": order}


def distinct(ranking, most=2):
    """The first six patches of a ranking, at most `most` of a photograph."""
    whose = [portraits.photos[patch] for patch in ranking]
    return [patch for n, patch in enumerate(ranking) if whose[:n].count(whose[n]) < most][:6]


# %%
show(
    plots.gallery({name: (portraits.patches[some], votes[some], portraits.cells[some])
                   for name, ranking in ranked.items() for some in [distinct(ranking)]}),
    photo=True,
    alt="Twelve patches with maps of votes below them. The most confident patches have sharp detail "
    "and votes near the true cell; the least confident are smooth, with votes spread all over.",
    caption="Patches and votes; below each map the confidence. The cross marks the true cell.",
)

# %%
def detail(patch):  # mean slope of brightness, in gray levels a pixel
    return float(np.hypot(*np.gradient(patch.mean(axis=-1))).mean())


slopes = np.array([detail(patch) for patch in portraits.patches])
third = max(len(order) // 3, 1)
for name, ranking in ranked.items():
    print(f"{name} third: mean slope of brightness {slopes[ranking[:third]].mean():.1f} gray levels a pixel")

# %% [markdown]
# ## 7 · What the reader reacts to
#
# **First layer.** The paper's Figure 12 shows that the first filters of its network alternate
# between green and magenta, far more than those of a network trained on ImageNet. Ours sees green
# and differences. Turned back into what they do to red, green and blue, its filters look like this,
# before and after training.

# %%
from course_lib.traces.explain import first_filters
from course_lib.traces.readers import patch_network

torch.manual_seed(seed)
looked_at = {"not trained": patch_net("fringe"), "trained": patch_network()}
show(
    plots.filters({name: first_filters(each) for name, each in looked_at.items()}),
    alt="Two blocks of 24 small colour filters. Both show green and magenta or blue and orange spots; "
    "the trained ones are ordered into sides and stripes.",
    caption="First-layer filters as what they do to red, green and blue; gray is zero.",
)

# %%
def axes_of(pictures):
    """Shares of the filters' energy on brightness, green–magenta, red–blue; and their roughness."""
    weights = pictures - 0.5
    basis = np.array([[1, 1, 1], [-1, 2, -1], [1, 0, -1]]) / np.sqrt([[3], [6], [2]])
    energy = ((weights @ basis.T) ** 2).sum(axis=(0, 1, 2))
    steps_down = np.diff(weights, axis=1)  # from each pixel to the one below it
    return energy / energy.sum(), float((steps_down**2).sum() / (weights**2).sum())


for name, each in looked_at.items():
    (light, green_magenta, red_blue), rough = axes_of(first_filters(each))
    print(f"{name:12} brightness {light:.0%}, green–magenta {green_magenta:.0%}, red–blue {red_blue:.0%}; "
          f"roughness {rough:.2f}")

# %% [markdown]
# Be careful with such pictures. The untrained filters lean to green and magenta as well, because
# the differences in the input do; only the change between the two lines is the training's work:
# less roughness (neighbouring pixels agree, the filters have become slopes) and still more green
# against magenta. The paper's network saw plain RGB, so its preference was learned altogether.
#
# **Response.** A better question than "what does it look like?" is "what does it do?". The paper
# exaggerates one property of the lens at a time and watches the accuracy (Figures 5 and 13). We do
# the same. Every test picture has its own lens, drawn from the measured ones, and *on top of it*
# one thing is changed; pictures, places and lenses stay the same from point to point.

# %%
from course_lib.traces.responses import Factor, response

amounts = lesson.pick(smoke=(-0.1, 0.1), cpu=(-0.15, -0.06, 0.0, 0.06, 0.15),
                      gpu=(-0.3, -0.15, -0.06, 0.0, 0.06, 0.15, 0.3))
shares = lesson.pick(smoke=(0.0, 1.0), cpu=(0.0, 0.3, 0.6, 1.0), gpu=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
colours = lesson.pick(smoke=(0.0, 1.0), cpu=(0.0, 0.5, 1.0, 2.0), gpu=(0.0, 0.25, 0.5, 1.0, 1.5, 2.0))
bends = lesson.pick(smoke=(-0.1, 0.1), cpu=(-0.1, 0.0, 0.1), gpu=(-0.2, -0.1, 0.0, 0.1, 0.2))


def drawn_larger(channel, lens, percent):
    return replace(lens, **{channel: getattr(lens, channel) * (1 + percent / 100)})


factors = {name: Factor(f"{name} magnified (%)", amounts, partial(drawn_larger, name), LIKE_MEASURED)
           for name in ("green", "red", "blue")}
for name, label, values in (("vignetting", "strength", shares), ("distortion", "k₁", bends),
                            ("saturation", "factor (1: as it is)", colours)):
    factors[name] = Factor(label, values, lambda lens, v, name=name: replace(lens, **{name: v}),
                           LIKE_MEASURED)

# %%
asked = [texture(n, "test") for n in range(lesson.pick(smoke=2, cpu=14, gpu=60))]
two = {"closed form": closed, "network": network}
per_picture = lesson.pick(smoke=4, cpu=16, gpu=16)
answers = {name: response(two, factor, asked, per_picture, seed) for name, factor in factors.items()}

# %%
show(
    plots.responses(answers),
    alt="Six panels of accuracy, of closed form and network, against added green, red and blue "
    "magnification, vignetting strength, distortion and saturation, with intervals and chance.",
    caption="What each change does to the accuracy, on measured lenses (the paper's Figures 5 and 13).",
)

# %% [markdown]
# How to read the panels:
#
# - **Green.** In most cameras green is drawn inward already. More of it (negative values) widens
#   the fringes without turning them: the paper found that accuracy rises. Outward first cancels the
#   fringes and then *reverses* them, and a reversed fringe sends a reader to the opposite cell.
# - **Red and blue** are green's mirror images, each for its own channel, and weaker: half of the
#   evidence stays as it was.
# - **Vignetting** adds a slope of brightness. The paper's network gains from it; ours, which saw
#   only as much as real lenses have, hardly do.
# - **Distortion** moves all colours together: there is nothing in it for a reader of fringes.
# - **Saturation** scales all differences of colour alike: a reader that compares detail with detail
#   hardly cares, until 0 leaves no difference at all. That is the **grayscale** of the paper's
#   Table 2.

# %%
for who in two:
    green = answers["green"].accuracy[who]
    inward, outward = green[0], green[-1]
    verdict = "as the paper found" if inward.low > outward.high else "not separated in this run"
    print(f"{who:12} green {amounts[0]:+g} %: {inward:.2f}; {amounts[-1]:+g} %: {outward:.2f} → {verdict}")
    print(f"{who:12} saturation 0: {answers['saturation'].accuracy[who][0]:.2f}")

# %%
in_gray = seen_through.changed(green_only)
for who, votes in ask(in_gray.patches).items():
    print(f"grayscale (the green channel copied): {who:12} {accuracy(votes, in_gray):.3f}")

# %% [markdown]
# ### Why the colours of training pictures matter
#
# A fringe is a *displacement* of one channel against another. To see it, both channels must show
# the same edges. In photographs they do, because the world is mostly light and shade. If we took
# the channels from unrelated textures, each would be a fine picture, and there would be nothing to
# compare: from synthetic pictures whose channels are drawn independently, a network learns nothing.
# Here is the reason, measured: textures whose red and blue follow those of green's texture with a
# share $a$, and come from another texture otherwise.

# %%
def mixture(n, share):
    """Leaves whose red and blue follow green's texture with a share, and another one otherwise."""
    one, other = (texture(10 * n + k, leaves=1.0).astype(np.float32) for k in (0, 1))
    mixed = share * one + (1 - share) * other
    mixed[..., 1] = one[..., 1]
    return np.rint(mixed).astype(np.uint8)


def shift_errors(n, share):
    """Distances of red's measured from its true shift in 16 patches behind a drawn lens."""
    lens = LIKE_MEASURED.draw(np.random.default_rng((seed, n)))
    found = cut_patches([still(mixture(n, share))], 1, lens=lens)
    center = (np.array(lens.center) - 0.5) * (WIDTH, HEIGHT)
    true = (lens.red - 1) * (found.positions - center)
    return np.linalg.norm(shifts_of(fringe_features(found.patches), "red")[0] - true, axis=1)


# %%
number = lesson.pick(smoke=2, cpu=8, gpu=16)
error = {}
for share in (1.0, 0.7, 0.4, 0.0):
    errors = [shift_errors(n, share) for n in range(number)]
    error[share] = bootstrap(np.ravel(errors), np.median, groups=np.repeat(np.arange(number), PATCHES))
    print(f"share a = {share:.1f}: median error of red's shift {error[share]:.3f} px")
claim("Where the channels share no edges, their shift cannot be read.",
      error[0.0].low > 2 * error[1.0].high)

# %% [markdown]
# ## 8 · A simulated camera, and why it is not the world
#
# Our test pictures went through a lens and nothing else. Photographs go through a camera. A sensor
# sees one colour a pixel and *guesses* the other two from neighbours (demosaicing), software
# sharpens, and JPEG stores colour at half the resolution. `Camera` simulates each step. What is
# left of a known shift after each of them? The slope of the measured against the true shift says
# it: at 1 all is left.

# %%
cameras = {"lens alone": PLAIN, "demosaiced": Camera(demosaic=("bilinear",)),
           "sharpened": Camera(sharpen=(1.0, 1.0)), "JPEG 90": Camera(jpeg=(90, 90)),
           "JPEG 75": Camera(jpeg=(75, 75))}


def seen_by(camera, n, outward=8e-4):
    """Sixteen patches of leaves behind a camera with red and blue drawn outward."""
    lens = Lens(red=1 + outward, blue=1 + outward)
    rng = np.random.default_rng((seed, n))
    return cut_patches([still(camera.photograph(texture(n, "test", leaves=1.0), lens, rng))], 1)


def share_left(pairs):
    """Slope of measured against true shifts, (n, 2), through 0."""
    return float(pairs[:, 0] @ pairs[:, 1] / (pairs[:, 1] @ pairs[:, 1]))


# %%
number = lesson.pick(smoke=1, cpu=10, gpu=20)
views = {}
for name, camera in cameras.items():
    some = [seen_by(camera, n) for n in range(number)]
    views[name] = some[0].patches[0]
    measured = [shifts_of(fringe_features(each.patches), "red")[0] for each in some]
    true = [8e-4 * each.positions for each in some]
    pairs = np.column_stack([np.ravel(measured), np.ravel(true)])
    slope = bootstrap(pairs, share_left, groups=np.repeat(np.arange(number), 2 * PATCHES))
    print(f"{name:12} share of the shift that is left: {slope:.2f}")

# %%
show(
    plots.cameras(views),
    photo=True,
    alt="One patch of leaves as five cameras deliver it; they look nearly alike.",
    caption="The same patch from five cameras. What differs is hardly visible, and decides what can "
    "be read.",
)

# %% [markdown]
# Of these steps JPEG takes most, and more the more it compresses.
#
# No simulation is complete. A real camera may correct fringes, denoise colour, compress twice. A
# network that is trained on one simulated camera learns *that* camera, down to how the simulation
# blurs a little where it reads between pixels, which has nothing to do with any lens. So the
# shipped network saw many cameras (`REALISTIC`: four ways to read between pixels, two of
# demosaicing, sharpening, noise, JPEG), and about a quarter of its patches came from real ones.

# %% [markdown]
# ## 9 · Real photographs: the paper's numbers and ours
#
# What counts in the end is photographs on which nothing was simulated. `course evaluate traces`
# asks the shipped readers about test photographs of cameras that they have never seen; its results
# lie in `assets/measurements/traces.json`. The first row uses each photograph's own lens. The
# *control* rolls the picture around first, so that what leaves it on one side comes in on the
# other: its lens then says nothing about a place, and a reader must fall to chance. Intervals are
# bootstraps over photographs.

# %%
results_file = COURSE.assets / "measurements" / "traces.json"
results = json.loads(results_file.read_text(encoding="utf-8")) if results_file.is_file() else {"rows": []}


def found_row(metric, **keys):
    """The row of the results that was measured under these conditions, or None."""
    return next((row for row in results["rows"] if row["metric"] == metric
                 and all(row.get(key) == value for key, value in keys.items())), None)


def in_percent(row):
    if row is None:
        return "not measured"
    interval = "" if row["low"] is None else f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    return f"{100 * row['value']:.1f}{interval}"


# %%
every, surest = "patch_accuracy", "patch_accuracy_top20"
conditions = {"photographs, nothing simulated": (every, "none", "photos", "21"),
              "the same, most confident fifth": (surest, "none", "photos", "–"),
              "the same in gray (green copied)": (every, "none", "grayscale", "15"),
              "control: own lens says nothing": (every, "none", "control", "6 (chance)"),
              "textures, simulated lens": (every, "simulated", "photos", "–")}
readers = {"fringe": "closed form", "network": "network", "both": "both"}
print(f"{'accuracy in %, chance 6.25':34}{'paper':12}" + "".join(f"{name:22}" for name in readers.values()))
for name, (metric, lens, which, paper) in conditions.items():
    row = [in_percent(found_row(metric, variant=v, lens=lens, set=which)) for v in readers]
    print(f"{name:34}{paper:12}" + "".join(f"{text:22}" for text in row))
numbers = {row["n"] for row in results["rows"] if row["metric"] == every and row.get("n")}
print("n (photographs):", *sorted(numbers))

# %%
def compared(lens, where):
    """Say which of closed form and network is ahead, and whether their intervals overlap."""
    rows = [found_row(every, variant=variant, lens=lens, set="photos") for variant in ("fringe", "network")]
    if None in rows:
        return f"{where}: not measured"
    ahead, behind = sorted(rows, key=lambda row: -row["value"])
    apart = ahead["low"] is not None and ahead["low"] > behind["high"]
    gap = 100 * (ahead["value"] - behind["value"])
    return (f"{where}: the {readers[ahead['variant']]} is ahead by {gap:.1f} points; "
            f"their intervals {'do not overlap' if apart else 'overlap'}")


print(compared("none", "real photographs"))
print(compared("simulated", "simulated lens"))
checked = found_row(every, variant="both", lens="none", set="control")
if checked and checked["low"] is not None:
    claim("Without a lens the shipped readers are at chance.", checked["low"] <= 1 / 16 + 0.01,
          in_percent(checked))

# %% [markdown]
# On real photographs **the closed form wins**: a page of arithmetic, against a network that was
# trained for the better part of an hour. Their intervals overlap, because photographs differ so
# much. But both were asked about the same patches, and patch by patch the closed form is ahead by
# 6 points [4, 9]. Behind simulated lenses it depends on what they show: on the leaves and
# photographs of section 6 the network kept up or was ahead, in the last row it is not. A network
# does well where pictures are like those that it learned from; arithmetic measures a shift
# anywhere. Averaging the two adds little to the better one. Confidence is worth more: of the fifth
# of the patches of which a reader is surest, half or more are right.
#
# *In gray* says what is read. The paper's network keeps 15 %, probably because it also knows what
# photographs look like (the sky is above). Ours fall nearly to chance: they read fringes and
# little else. Otherwise paper and course cannot be compared digit by digit: their photographs
# (Flickr, resized at random) are not ours (camera files at 1536 px).

# %% [markdown]
# ## 10 · Play with a patch
#
# Move the patch over a photograph, change the lens, compress, and watch the votes. Start in a
# corner with a strong lens, then walk towards the centre: the votes follow, and dissolve where the
# fringes vanish. Then compress.

# %%
from course_lib.traces.explore import patch_explorer

explorer = patch_explorer(lesson.photos, reader={"closed form": closed, "network": network})
explorer.show()

# %% [markdown]
# The same in print:

# %%
settings = {"left edge": {"x": 5, "y": 90}, "right edge": {"x": 95, "y": 90},
            "middle": {"x": 50, "y": 50}, "right edge, JPEG 70": {"x": 95, "y": 90, "jpeg": "70"}}
figure, axes = grid([explorer.picture(**setting) for setting in settings.values()], list(settings),
                    columns=2)
show(
    figure,
    photo=True,
    alt="Four settings of the explorer: a photograph with a patch marked at the left edge, the right "
    "edge and in the middle, the patch enlarged, its fringe, and a map of votes.",
    caption="The votes move with the patch; in the middle, and after strong compression, they spread.",
)

# %% [markdown]
# ## Predict, then look
#
# Now you. Four more patches of the picture in section 1, one from each quarter: from which cell
# does each come? Commit to an answer; then the truth is drawn. Your score is kept in
# `trained/games/` and adds up over several sittings.

# %%
from course_lib.predict import RECORDS, Game, where_from

hidden = [int(cell) for cell in lesson.rng.permutation(plots.telling(scene, places, side, rank=1))]


def cell_name(cell):
    return f"row {cell // 4 + 1}, column {cell % 4 + 1}"


def cell_box(cell):
    left, top = (int(value) for value in places[cell])
    return Box.from_pixels(left, top, left + side, top + side, scene.shape)


def why(name):
    row, column = int(name[4]), int(name[-1])
    vertical, horizontal = ("below" if row < 3 else "above"), ("right of" if column < 3 else "left of")
    return f"Its green lies {vertical} and {horizontal} its red and blue: towards the centre."


# %%
boxes = {cell_name(cell): cell_box(cell) for cell in hidden}
game = Game("From which cell was this patch cut?", sorted(boxes), where_from(scene, boxes, why),
            record=RECORDS / "patches.json")
game.show()

# %% [markdown]
# Answered? Then see what the closed form says, given the same four cells to choose from. It was
# trained on fringes of fractions of a pixel, and these are ten times as wide.

# %%
if side >= 36:  # smaller patches hold too few blocks
    cut_out = np.stack([scene[y : y + side, x : x + side] for x, y in places[hidden]])
    for cell, guess in zip(hidden, closed(cut_out)[:, hidden].argmax(axis=1)):
        print(f"{cell_name(cell)}: the closed form says {cell_name(hidden[guess])}")

# %% [markdown]
# ## Exercises
#
# Your copy of this lesson, with seven definitions to write, is in
# [exercises/02_patch_localization.ipynb](../exercises/02_patch_localization.ipynb).
#
# {{exercises}}

# %% [markdown]
# ## The paper beside this course
#
# | | paper | released code | this course |
# |---|---|---|---|
# | photographs | 700,000 from Flickr, 90 / 5 / 5 % | the same, not included | textures without a lens, measured lenses, a few dozen real cameras |
# | input | RGB patch of 96 px | the same, no normalisation | the same patch, seen as fringes |
# | network | ResNet-18, 11 million weights | the same, not pretrained | averaged products of two layers, 0.1 million; a ResNet-18 with `course train --profile gpu` |
# | lens in training | the photographs' own | the same | simulated, and in part the photographs' own |
# | order of steps | lens, crop, random width, patches | the same; every resize bilinear, as the flag is passed in the wrong place | the same; interpolation drawn at random, by name |
# | jitter | ±8 px | −8 to 7 px | −8 to 7 px |
# | patch positions in testing | on the grid | random by default | on the grid, or anywhere, by choice |
# | crops in the pretext | trained "in isolation" | probability 0, weight decay 5e-4 | none |
# | labels within a batch | shifted cyclically | rolled, then rolled back | all cells in every batch; rolled in exercise 2.2 |
# | optimiser | Adam, 5e-3 to 1.5e-3, 25 epochs | ends at 1.2e-3; batch 8 by default | Adam, 3e-3, annealed strength |
# | "grayscale" | grayscale | the green channel, copied | the green channel, copied |
# | uncertainty of the numbers | none | none | intervals over photographs |

# %% [markdown]
# ## Limits, references, next
#
# - What the lesson trains in minutes sees a lens alone. Its accuracy is an upper end; the row that
#   counts is *photographs, nothing simulated* in section 9.
# - The ceiling of section 2 holds for readers of two shifts with normal errors. Vignetting, blur
#   and the growth of a shift within the patch add a little; compression takes much.
# - Many phones correct fringes before they save. For them there is nothing to read, and nothing
#   here changes that.
# - The test cameras are few, one photograph each. The intervals say how much that leaves open.
# - Shifts cannot tell a lens from its mirror, neither in one patch nor in sixteen of a photograph.
#   Detecting a crop, in lesson 03, does not need it.
#
# References: B. Van Hoorick and C. Vondrick, *Dissecting Image Crops*, ICCV 2021. C. Doersch, A.
# Gupta and A. Efros, *Unsupervised visual representation learning by context prediction*, ICCV
# 2015 (who met the fringes as a nuisance). T.-Y. Lin, A. RoyChowdhury and S. Maji, *Bilinear CNN
# models for fine-grained visual recognition*, ICCV 2015. K. He et al., *Deep residual learning*,
# CVPR 2016. S. Geman and D. McClure, *Statistical methods for tomographic image reconstruction*,
# 1987. S. Ioffe and C. Szegedy, *Batch normalization*, ICML 2015. R. Geirhos et al., *Shortcut
# learning in deep neural networks*, 2020.
#
# **Next:** 03 · Was this picture cropped? Sixteen patches vote, a thumbnail joins in, and the frame
# that was cut away is drawn again.
