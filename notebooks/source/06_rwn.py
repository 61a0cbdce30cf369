# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 6 · No way to crop
#
# **Can an invisible watermark show where a cropped picture was cut?**
#
# *Before you begin:* lesson [05](05_invertible_networks.ipynb), whose network we put to work, and
# lesson [04](04_attacks.ipynb), whose attacks it must survive. Lesson
# [03](03_crop_detection.ipynb) tried to answer the same question without touching the picture.
#
# *Afterwards you will be able to*
#
# - hide a picture in another one so that half of it, compressed, is enough to read the rest of the
#   place it came from;
# - say what such a network is asked for, and train a small one in minutes;
# - look a stretched crop up in a whole picture, to about a pixel, in three ways;
# - answer "cropped", "not cropped" or "no watermark", and know how often that is right;
# - name what it cannot do.

# %% [markdown] run_card=true
# *Data used:* the embedded photographs (or your own), watermarks and pictures that the course draws
# itself, the course's trained weights, and measurements in `assets/measurements/`. Nothing is
# downloaded.

# %% tags=["parameters"]
profile = "auto"  # smoke | cpu | gpu, or auto
seed = 0
photos = ""  # a folder with your own photographs; empty for the embedded ones
weights = ""  # a folder of weights that you trained; empty for those that come with the course
results = ""  # a file that `course evaluate rwn --json` wrote; empty for the course's own

# %%
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from IPython.display import Markdown, display
from torch import Tensor, nn

from course_lib import paths
from course_lib.attacks.chain import published
from course_lib.figures import grid, show
from course_lib.geometry import FULL, Box, crop, iou
from course_lib.lesson import start
from course_lib.metrics import bootstrap, f1, psnr, ssim
from course_lib.plots import lesson_06 as plots
from course_lib.rwn import evaluate
from course_lib.rwn.system import Carrier, Rwn, rwn, squared
from course_lib.rwn.watermarks import draw
from course_lib.teach.claims import claim

lesson = start("06", profile=profile, seed=seed, photos=photos)
place = Path(weights) if weights else None

# %% [markdown]
# ## 1 · A picture that knows its frame
#
# Lesson 03 looked for traces that a lens leaves by accident. They are faint, and a single JPEG file
# takes most of them. So let us leave a trace *on purpose*. Before a photograph is published, its
# owner hides a second picture in it, the **watermark**: a gray texture in which every place looks
# different from every other. Nobody sees it. Whoever finds a part of the photograph takes the
# watermark out of that part, and looks up where in the whole watermark it belongs. It is a map,
# printed invisibly on what it is a map of.

# %%
system = rwn(place)  # the trained network that comes with the course; section 6 trains a small one
watermark = draw(seed=0)  # (256, 256), in [0, 1]
cases = evaluate.cases(lesson.photos, lesson.pick(smoke=2, cpu=7, gpu=24))  # squared to 256 × 256
photo = cases[0].picture

# %%
protected = system.protect(photo, watermark)
kept = Box.from_pixels(60, 34, 216, 170, photo.shape)
seen = published(crop(protected, kept), "jpeg70")  # a real JPEG file of quality 70
finding = system.locate(seen, watermark)
show(
    plots.story(protected, seen, finding.watermark, watermark, finding.match, kept),
    photo=True,
    alt="Four pictures in a row. A photograph with a frame; the part inside it, stretched to a "
    "square; a gray texture; and a whole gray texture with a dashed frame at the same place as "
    "the first frame, inside which it shows the same shapes as the third picture.",
    caption="The whole lesson in four pictures. The first holds a watermark; the third was "
    "extracted from the second alone.",
)
print(f"protected picture: {psnr(photo, protected):.1f} dB, SSIM {ssim(photo, protected):.3f}")
print(f"cut out: {kept}\nfound:   {finding.match.box}, likeness {finding.match.score:.2f}")
print(f"overlap (IoU) {iou(finding.match.box, kept):.3f}")

# %% [markdown]
# ## 2 · Who knows what
#
# This is RWN, the *robust watermarking network* of Ying and others (2022). Three parties take part.
#
# | | has | does |
# |---|---|---|
# | publisher | the picture $I$, a watermark $W$ | hides $W$ in $I$, publishes the **protected** picture $I_M$ |
# | anybody | $I_M$ | crops it, compresses it, pastes something into it: an attack $A$ |
# | recipient | $A(I_M)$, $W$ | extracts a watermark $\hat W$, finds the box of $W$ that it shows |
#
# The recipient has **neither the original nor the protected picture**, only the watermark, and one
# watermark may serve for any number of pictures. Hiding and extracting are one invertible network
# $P$, run in both directions:
#
# $$ (I_M, R) = P(I, W), \qquad (\hat I, \hat W) = P^{-1}\big(A(I_M),\ \hat R\big) $$
#
# Four channels go in, three colours and one of gray, so four must come out: the protected picture
# and a *rest* $R$. Nobody keeps the rest. On the way back a constant takes its place, $\hat R =
# 0.5$. (Lesson 05 ended with this.) $\hat I$ is a by-product, the picture without its watermark.

# %%
show(
    plots.pipeline(),
    alt="A diagram in three parts. Publisher: I and W go into a box 'hide, P', out come I_M and R, "
    "which is thrown away. Anybody: a box 'crop, file'. Recipient: a box 'reveal, P inverse', "
    "which also takes 0.5 in place of R, gives an extracted watermark; a box 'match' compares it "
    "with W and gives a frame.",
    caption="What passes between the three. A picture is always stored with 8 bits a channel.",
)

# %% [markdown]
# Before it is read, a crop is **stretched to full size**, because the recipient does not know how
# large it was. So the extracted watermark is a magnified part of the true one, by one factor across
# and by another one down. Matching (section 8) has to find four numbers, the edges of a box.

# %% [markdown]
# ## 3 · Without any network
#
# Is a network needed at all? A baseline first, a good one. The simplest way to hide a pattern is to
# add it faintly. Then the photograph itself is the noise in which it must be heard. But photographs
# vary far less in colour than in brightness, and the eye is least sharp for blue against yellow. So
# we add the watermark to that colour difference alone. With $u$ for the change of (red, green,
# blue) that leaves brightness as it is, and a strength $s$ that the wanted PSNR decides,
#
# $$ I_M = I + s\,(W - \bar W)\, u, \qquad u = (0,\ -0.344,\ 1.772) $$

# %%
from course_lib.metrics import psnr as psnr_of
from course_lib.rwn.carrier import (BLUE_YELLOW, FINEST, QUIET, WINDOW, blurred, demand_rgb,
                                    opponents)
from course_lib.rwn.watermarks import DEVIATION, MEAN

# %% quote="course_lib.rwn.carrier.embed"

# %% [markdown]
# To read it, we remove what the photograph has there of its own. Within a small neighbourhood an
# object has one colour, so blue-yellow follows brightness and red-cyan along a straight line, whose
# two slopes are found by least squares, as in the *guided filter*. What the line does not explain
# is mostly watermark. Finally every place is divided by its own strength, so that no busy corner
# drowns the quiet ones.

# %% quote="course_lib.rwn.carrier.extract"

# %% [markdown]
# *Invariant.* Brightness does not change, up to rounding to whole gray levels.

# %%
carried = embed(photo, watermark, psnr=39.0)
luma = np.array([0.299, 0.587, 0.114])
unclipped = (carried > 0).all(axis=2) & (carried < 255).all(axis=2)
assert np.abs((carried.astype(float) - photo) @ luma)[unclipped].max() < 1
print(f"carrier: {psnr(photo, carried):.2f} dB")

# %%
carrier = Carrier(psnr=39.0)
rates, attacks = lesson.pick(smoke=((0.5,), ("jpeg70",)), cpu=((0.7, 0.5), ("none", "jpeg70")),
                             gpu=((0.9, 0.7, 0.5), ("none", "jpeg70", "jpeg50")))


def measured(way, name, some=cases):  # IoU of crops and likeness of watermarks, over the pictures
    rows = evaluate.crop_rows(way, some, seed, rates, attacks, variant=name)
    for row in rows:
        if row["metric"] == "iou":
            like = plots.chosen(rows, "watermark_ssim", variant=name, attack=row["attack"],
                                crop=row["crop"])
            print(f"{name:12} {row['crop']:.0%} kept, {row['attack']:7} IoU "
                  + plots.in_words(row) + ", SSIM of the watermark " + plots.in_words(like))
    return rows


by_carrier = measured(carrier, "no network")
claim("Without any training, crops are found after JPEG.",
      all(row["value"] > 0.7 for row in by_carrier if row["metric"] == "iou"))

# %% [markdown]
# That is no straw man: it finds crops, and it costs next to nothing. Whatever we train has
# to be compared with this, at the same PSNR. Where it is weak is the watermark itself: what is
# extracted is a rough copy (see its SSIM), enough to find a place, not enough to be looked at.

# %% [markdown]
# ## 4 · The network
#
# `Hider` is the U-shaped network of lesson 05 with two names for its two directions. (`Passage`
# holds all that passes by: protected, rest, seen, boxes, restored, found.)

# %%
from course_lib.invertible import InvertibleUNet
from course_lib.rwn.model import NULL, Attack, Passage, channels_last
from course_lib.rwn.train import BUDGETS, PAPERS, SMALL

# %% quote="course_lib.rwn.model.Hider"

# %% [markdown]
# *Invariant.* With the true rest everything comes back, even from an untrained network. With 0.5 in
# its place, an untrained network returns next to nothing of the watermark, and that is what
# training has to change. We ask the trained one as well.

# %%
def batch_of(picture):  # (h, w, 3) uint8 to (1, 3, h, w) in [0, 1]
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def alike(found, truth):  # correlation of two watermarks
    return float(np.corrcoef(np.ravel(found), np.ravel(truth))[0, 1])


one, mark = batch_of(photo), torch.from_numpy(watermark)[None, None]
torch.manual_seed(seed)
untrained = Hider(down=(0, 2, 2), up=(2, 0, 0), width=16).eval()
networks = {"untrained": untrained, "trained": system.net}
for name, network in networks.items():
    with torch.no_grad():
        shown, rest = network.hide(one, mark)
        exact, without = network.reveal(shown, rest)[1], network.reveal(shown)[1]
    print(f"{name:9} protected {psnr(shown[0].clamp(0, 1).numpy(), one[0].numpy()):5.1f} dB; with "
          f"the rest, error {(exact - mark).abs().max():.0e}; with 0.5, correlation "
          f"{alike(without, mark):+.3f}")
    assert (exact - mark).abs().max() < 1e-2
claim("Training moves the watermark out of the rest and into the picture.",
      alike(without, mark) > 0.6, f"correlation {alike(without, mark):.3f}")

# %%
sizes = {"the paper's": Hider(**{k: v for k, v in PAPERS.items() if k != "network"}),
         "this course's": Hider(**{k: v for k, v in SMALL.items() if k != "network"})}
for name, network in sizes.items():
    print(f"{name:14} {sum(p.numel() for p in network.parameters()):>10,} weights")

# %% [markdown]
# The paper's, as released, has two couplings on each of five levels, 64 channels wide. On the finest
# level a coupling works on sixteen times as many places as two levels down, so the course's network
# has none there and takes many more steps in the same time. The profile `gpu` trains the paper's.

# %% [markdown]
# ## 5 · What is asked of it
#
# Three wishes pull in different directions. The protected picture should look like the original.
# The watermark should come back after an attack. The rest should be near the constant that replaces
# it. In the paper, with $\ell_1$ for a mean absolute difference, and $I_G$, $W_G$ for picture and
# watermark cropped and stretched as the attack did,
#
# $$ L_{rec} = \ell_1(I, I_M) + \ell_1(W_G, \hat W) + \ell_1(I_G, \hat I), \qquad
#    L_{ran} = \ell_1(R, \hat R) $$
#
# $$ L = L_{rec} + \alpha L_{dis} + \beta L_{ran}, \qquad \alpha = 1,\ \beta = 8 $$
#
# where $L_{dis}$ comes from a *discriminator* (below). These are `PAPER` in
# `course_lib.rwn.objective`, and a switch away. This course trains with another balance, `COURSE`,
# for three reasons.
#
# **The watermark is matched, not looked at.** Its brightness and contrast do not matter to a
# matcher, its structure does. So the course asks for correlation, and for SSIM, which compares
# structure neighbourhood by neighbourhood:

# %%
from course_lib.rwn.objective import COURSE, PAPER, correlation, structural_similarity

# %% quote="course_lib.rwn.objective.watermark_loss"

# %%
x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(seed))
assert watermark_loss(x, x) < 1e-2 and watermark_loss(1 - x, x) > 1.5
print(f"itself {watermark_loss(x, x):.3f}, faint {watermark_loss(0.1 * x + 0.4, x):.3f}, "
      f"unrelated {watermark_loss(x.flip(0), x):.3f}, negative {watermark_loss(1 - x, x):.3f}")

# %% [markdown]
# **Quality should be chosen, not found out.** With fixed weights nobody knows beforehand whether a
# training ends at 35 or at 41 dB, and robustness can only be compared at equal quality. So the
# picture's weight $w$ is steered. After every batch of PSNR $q_t$, with $\bar q_t$ for its running
# mean and $q^*$ for the target,
#
# $$ \bar q_t = 0.95\, \bar q_{t-1} + 0.05\, q_t, \qquad
#    \ln w_t = \ln w_{t-1} + 0.02\, \mathrm{clip}(q^* - \bar q_t,\ -1,\ 1) $$

# %% quote="course_lib.judges.QualityControl" exercise="6.1" minutes=15 difficulty=2
# hint: Keep the *logarithm* of the weight and the running mean as buffers, so that a checkpoint
#   holds them: self.register_buffer("log_weight", torch.tensor(weight).log()).
# hint: NaN is a good first value of the running mean. Whoever is NaN takes the first PSNR as it is.
# hint: PSNR is −10 · log10 of the mean square error. Below the target, the weight grows.

# %% [markdown]
# *Invariant.* Whatever the network makes of a weight, as long as more weight means more quality,
# the controller ends at the target. We let a made-up network answer.

# %%
control, decibels = QualityControl(weight=1.0), []
for _ in range(900):
    quality = 24 + 5 * np.log10(control.log_weight.exp().item())  # some rising function
    control(torch.tensor(10 ** (-quality / 10)), target=39.0)
    decibels.append(quality)
print(f"begins at {decibels[0]:.1f} dB, ends at {decibels[-1]:.2f} dB")
assert abs(decibels[-1] - 39) < 0.5

# %% [markdown]
# **A second player is optional.** The paper's discriminator is a network $D$ that looks at
# neighbourhoods and should say 1 for an original and 0 for a protected picture, while the hiding
# network wants it to say 1 for both. With least squares (LSGAN),
#
# $$ L_D = \overline{(D(I) - 1)^2} + \overline{D(I_M)^2}, \qquad
#    L_{dis} = \overline{(D(I_M) - 1)^2} $$
#
# The trap is in the gradients: $L_D$ must teach $D$ alone, and $L_{dis}$ the hiding network alone,
# although it passes through $D$. (The released code has this game commented out. Here it is a
# switch, and off in the shipped weights.)

# %%
from torch.func import functional_call

# %% quote="course_lib.judges.adversarial_losses" exercise="6.2" minutes=15 difficulty=3
# hint: For the judge's own loss, show it fake.detach(): no gradient then reaches whoever made it.
# hint: For the other loss the gradient must pass through the judge and not into its weights.
#   functional_call(module, {name: weight}, (input,)) runs a module with other weights: detached
#   ones.
# hint: Average squares over everything; the judge's loss has two terms of equal weight.

# %%
judge = nn.Conv2d(3, 1, 4, stride=2)
forged = one.clone().requires_grad_()
losses = adversarial_losses(judge, one, forged)
reached = {name: [torch.autograd.grad(loss, part, retain_graph=True, allow_unused=True)[0]
                  for part in (judge.weight, forged)]
           for name, loss in zip(("judge", "fool"), losses)}
assert reached["judge"][0] is not None and reached["judge"][1] is None
assert reached["fool"][0] is None and reached["fool"][1] is not None

# %% [markdown]
# ### What it must survive
#
# Attacks come **between** the two directions, from the first step on. A network that is trained
# without them extracts almost perfectly and survives neither crop nor JPEG, and beginning without
# them did not help later. So they come at once, and grow for the first eighth of the training. Each
# part of a batch gets a crop of its own (half to all of each side), then nothing, or JPEG, or
# scaling, blur, noise, light; then it is stretched back to full size. JPEG is a real file two times
# out of three, and on the way back the slopes of a soft simulator; else it is the paper's own
# contribution, **JPEG-Mixup**: three simulators of different qualities, mixed at random so that the
# network gets used to none of them. (Lesson 04 has all of these.)

# %%
from course_lib.rwn.examples import Publication, publish

dice = np.random.default_rng(seed)
tile = batch_of(protected[64:192, 64:192]).repeat(6, 1, 1, 1)
drawn, boxes = publish(tile, Publication(groups=6), dice)
views = [one.permute(1, 2, 0).numpy() for one in drawn]
shares = [f"{x2 - x1:.0%} × {y2 - y1:.0%}" for x1, y1, x2, y2 in boxes.tolist()]
show(
    grid(views, shares, columns=6)[0],
    photo=True,
    alt="Six versions of one part of a photograph, cropped and stretched by different amounts; "
    "some are blurred, some noisy, some show JPEG blocks.",
    caption="Six draws of what the way back has to read, of one training tile, and how much of its "
    "width and height was kept.",
)

# %% [markdown]
# ## 6 · Training in front of you
#
# Now a small network, from nothing, in a few minutes: three couplings on bands of a quarter of the
# size, tiles of 96 px, half of them dead leaves, a target of 37 dB. Every tile gets a watermark of
# its own, cut from another picture, so that the network learns to *hide*, not to draw one pattern.
# The first photograph is kept out, and is what we ask about afterwards. `HiderTask` puts the parts
# of section 5 together; `fit` is the loop that trains all systems of this course.

# %%
from rich.console import Console

from course_lib.rwn.train import HiderTask
from course_lib.training import fit

steps = lesson.pick(smoke=3, cpu=400, gpu=3000)
small = replace(BUDGETS["cpu"], steps=steps, psnr=37.0, leaves=0.5,
                network={"network": "invertible", "down": (0, 3), "up": (0, 0),
                         "width": lesson.pick(smoke=8, cpu=32, gpu=64)},
                tile=lesson.pick(smoke=64, cpu=96, gpu=128),
                batch=lesson.pick(smoke=4, cpu=8, gpu=16),
                workers=lesson.pick(smoke=0, cpu=1, gpu=8))
others = lesson.photos[1:] if len(lesson.photos) > 1 else lesson.photos
task = HiderTask(small, others, seed)
plain = Console(force_terminal=False, force_jupyter=False, highlight=False)  # lines, not a bar
report = fit(task, None, steps, device=lesson.device.type, console=plain)
print(f"{report.steps} steps in {report.seconds:.0f} s")

# %%
show(
    plots.curves(report.history, np.array([task.target(step) for step in range(steps)])),
    alt="Three panels against the step. PSNR shoots up at first, then falls to a dotted target and "
    "follows it. Correlation of the watermark stays at 0 until PSNR falls, then rises quickly, and "
    "so does SSIM. The rest comes nearer to 0.5.",
    caption="Learning curves. At first the picture is left alone and nothing gets across. Then "
    "quality is given up for the watermark, and the controller brings it to its target.",
)

# %%
own = Rwn(report.model.hider.cpu())
mine = own.protect(photo, watermark)
again = own.extract(mine)
half = Box.from_pixels(50, 40, 230, 220, photo.shape)
from_file = own.extract(published(crop(mine, half), "jpeg70"))
titles = [f"protected, {psnr(photo, mine):.1f} dB", "its change, × 10", "the watermark",
          f"extracted, {alike(again, watermark):.2f}", "half, as cropped",
          f"extracted, {alike(from_file, plots.cut_of(watermark, half)):.2f}"]
shown = [mine, plots.magnified(mine, photo), watermark, again, plots.cut_of(watermark, half),
         from_file]

# %%
show(
    grid(shown, titles, columns=3, width=5.6, cmap="gray", vmin=0, vmax=1)[0],
    photo=True,
    alt="Six pictures: a protected photograph; its change, enhanced; the true watermark and the "
    "extracted one, which resemble each other; and the same two for half of the picture after "
    "JPEG.",
    caption="What the small network can do after a few minutes, on a photograph that it has never "
    "seen. Numbers are correlations with the true watermark. Last two: half of the area, JPEG 70.",
)
if lesson.profile.name != "smoke":  # three steps teach nothing
    claim("In minutes a network learns to hide and extract a legible watermark from nothing.",
          alike(again, watermark) > 0.5 and psnr(photo, mine) > 32,
          f"correlation {alike(again, watermark):.2f} at {psnr(photo, mine):.1f} dB")

# %% [markdown]
# ## 7 · At full strength
#
# From here on we use the **trained weights** that come with the course (or those in the folder that
# you named): the same code, trained for longer on more photographs by `course train rwn`. Of the
# change that the network proposes, `Rwn.protect` makes nine tenths. On photographs kept for choosing
# this, the last tenth bought next to nothing, and it cost .9 dB.

# %%
from course_lib.checkpoints import find, read_card

card = read_card(find("rwn", "hider", place))
many = sum(source["count"] for source in card.photos)
print(f"{card.steps:,} steps, {many:,} photographs, {card.wall_seconds / 60:.0f} min, "
      f"{card.hardware}")
quality = evaluate.quality_rows(system, cases)
for name, unit in (("psnr", "dB"), ("ssim", ""), ("seconds_protect", "s"), ("seconds_locate", "s")):
    print(f"{name:16} {plots.in_words(plots.chosen(quality, name))} {unit}")

# %%
few = cases[:4]
changed = {"the network": [system.protect(case.picture, watermark) for case in few],
           "the carrier": [carrier.protect(case.picture, watermark) for case in few]}
show(
    plots.residuals([case.picture for case in few], changed),
    photo=True,
    alt="Photographs in a row, and under each two pictures on gray of how it was changed. The "
    "network's changes follow edges and textures of the photograph; the carrier's are the same "
    "blue and yellow shapes everywhere.",
    caption="What protection changes, ten times enhanced; at its true strength neither is seen. The network hides "
    "more where the picture is busy; the carrier prints the same pattern on everything.",
)

# %% [markdown]
# Is that more than an impression? In every neighbourhood we take the strength of the change and how
# busy the photograph is, and correlate their ranks.

# %%
from scipy.stats import spearmanr


def busy(plane):  # standard deviation in neighbourhoods of 9 × 9
    plane = plane.astype(np.float32)
    return np.sqrt(np.maximum(cv2.blur(plane**2, (9, 9)) - cv2.blur(plane, (9, 9)) ** 2, 0))


def follows(pictures):  # one rank correlation for each picture
    found = []
    for case, one in zip(few, pictures):
        change = cv2.blur(np.abs(one.astype(float) - case.picture).mean(axis=2), (9, 9))
        found.append(spearmanr(busy(case.picture.mean(axis=2)).ravel(), change.ravel())[0])
    return found


for name, pictures in changed.items():
    print(f"{name}: {bootstrap(follows(pictures)):.2f}")
claim("The network puts more where a picture is busy; the carrier does not care.",
      np.mean(follows(changed["the network"])) > np.mean(follows(changed["the carrier"])) + 0.1)

# %% [markdown]
# ### Which of these two is protected?
#
# Every round shows one photograph twice, once with a watermark in it. Commit to an answer; then the
# change is shown, enhanced. Answers are kept in a file and add up over sittings.

# %%
from course_lib.predict import RECORDS, Game, Round

RECORD = RECORDS / "which_is_protected.json"
shuffled = np.random.default_rng()  # another game each time


def question(case, pattern):
    other = system.protect(case.picture, pattern)
    left = shuffled.random() < 0.5
    pair = (other, case.picture) if left else (case.picture, other)
    change = [plots.magnified(one, case.picture) for one in pair]
    why = f"It was changed by {psnr(case.picture, other):.1f} dB: shown is that change, × 10."
    return Round(plots.side_by_side(*pair), "left" if left else "right",
                 plots.side_by_side(*change), why)


game = Game("Which of the two is protected?", ["left", "right"],
            [question(case, case.watermark) for case in cases], record=RECORD)
game.show()

# %% [markdown]
# ### What comes back
#
# The same picture after several attacks, whole and half of it, and what the network extracts. The
# recipient's file is real in each case.

# %%
several = ("none", "jpeg70", "jpeg50", "median5", "noise10")
trials = lesson.pick(smoke=several[:2], cpu=several, gpu=several)
middle = Box.from_pixels(64, 64, 192, 192, photo.shape)
rows, titles = [], []
for box in (FULL, middle):
    truth = plots.cut_of(watermark, box)
    found = [system.extract(published(crop(protected, box), attack, seed)) for attack in trials]
    rows += [truth, *found]
    titles += ["true" if box == FULL else "true, a quarter",
               *(f"{attack}, {alike(each, truth):.2f}" for attack, each in zip(trials, found))]

# %%
show(
    grid(rows, titles, columns=1 + len(trials), cmap="gray", vmin=0, vmax=1)[0],
    photo=True,
    alt="Two rows of gray textures. Upper row: the true watermark and what was extracted after "
    "several attacks, all with its shapes, some blurred. Lower row: the same for a quarter of the "
    "area, magnified, rougher.",
    caption="Extracted watermarks, with their correlation with the truth. Below: the middle of the "
    "picture, a quarter of its area.",
)

# %%
by_network = measured(system, "network")
like = {way: np.mean([row["value"] for row in rows if row["metric"] == "watermark_ssim"])
        for way, rows in (("network", by_network), ("carrier", by_carrier))}
claim("At about the same quality the network's watermark comes back in better shape.",
      like["network"] > like["carrier"],
      f"mean SSIM {like['network']:.2f}, carrier {like['carrier']:.2f}")

# %% [markdown]
# ## 8 · Where is it?
#
# ### By comparing pictures
#
# **Idea.** Try every box of the true watermark: stretch it to the size of what was extracted, and
# measure how alike the two are. The measure must not care for brightness and contrast, so both are
# taken off. With $a$ for what is extracted, $b_B$ for box $B$ stretched, weights $v_p$ that are 0
# where something was pasted in, and means weighted alike, this is the *normalised
# cross-correlation*
#
# $$ \mathrm{NCC}(B) = \frac{\sum_p v_p\, (a_p - \bar a)(b_{B,p} - \bar b_B)}
#    {\sqrt{\sum_p v_p\, (a_p - \bar a)^2 \; \sum_p v_p\, (b_{B,p} - \bar b_B)^2}} $$

# %%
from course_lib.rwn.match import (APART, LEVELS, MATCHERS, PRESENT, SMALLEST, TOLERANCE, WHOLE,
                                  Match, basins, coarse, match_ncc, moved, overlaps, pyramid,
                                  stretched)

# %% quote="course_lib.rwn.match.ncc" exercise="6.3" minutes=10 difficulty=2
# hint: stretched(watermark, box, seen.shape) is b. np.average takes weights.
# hint: Each of the three sums is over weight · something; without `valid` all weights are 1.
# hint: A flat picture has no power at all: return 0.0 then, not NaN.

# %% [markdown]
# *Invariants.* Gain and brightness do not matter, and the right box is liked best.

# %%
noisy = plots.cut_of(watermark, kept) + 0.1 * lesson.rng.standard_normal(watermark.shape)
assert np.isclose(ncc(3 * noisy - 1, watermark, kept), ncc(noisy, watermark, kept))
print(f"right box {ncc(noisy, watermark, kept):.3f}, 3 % to the left "
      f"{ncc(noisy, watermark, Box(kept.x1 - 0.03, kept.y1, kept.x2 - 0.03, kept.y2)):.3f}, "
      f"whole {ncc(noisy, watermark):.3f}")

# %% [markdown]
# All boxes are too many. So the search is coarse at first: 64 × 64 pixels, blurred, sides in steps
# of 6 %, and for each pair of sides all places at once by Fourier transforms (`coarse`). The best
# few places that are apart go on.

# %%
extracted = finding.watermark
rough_seen, rough = pyramid(extracted)[0], pyramid(watermark)[0]
began = time.perf_counter()
edges, likeness_of = coarse(rough_seen, rough, np.ones_like(rough))
print(f"{len(edges):,} boxes in {time.perf_counter() - began:.2f} s")
show(
    plots.places(rough_seen, rough, edges, likeness_of, kept),
    alt="A small gray texture; a larger one with two frames that nearly coincide; and a map of "
    "likeness over the middle of the box, with one bright spot on a dark, mottled ground.",
    caption="The coarse search. Solid: true; dashed: best so far. One place stands out.",
)

# %% [markdown]
# No box may be favoured for its size. It is tempting to weigh likeness by area ("more evidence"),
# and it makes frames too large:

# %%
areas = np.prod((edges[:, 2:] - edges[:, :2]) / LEVELS[0], axis=1)
for name, weight in (("likeness", 1.0), ("likeness × area", areas)):
    best = Box(*edges[np.argmax(likeness_of * weight)] / LEVELS[0])
    print(f"largest {name:15} area {best.area:.2f}, IoU {iou(best, kept):.2f}")
assert areas[np.argmax(likeness_of * areas)] >= areas[np.argmax(likeness_of)]

# %% [markdown]
# Then **four edges by least squares.** Near the right box, what is seen is about the stretched box
# times a gain plus an offset, and a small shift $\delta_e$ of an edge changes it by a picture
# $d_e$ that can be computed (the watermark's slope, times how far along the side one is):
#
# $$ a \approx g\,\Big(b + \sum_{e} \delta_e\, d_e\Big) + o, \qquad e \in \{x_1, y_1, x_2, y_2\} $$
#
# This is linear in $g\delta_e$, $g$ and $o$: six equations, solved a few times over, on finer and
# finer levels. (Gauss and Newton; Lucas and Kanade used it for tracking.)

# %% quote="course_lib.rwn.match.refine"

# %%
def off_by(box):  # largest error of an edge, in pixels of 256
    return 256 * max(abs(a - b) for a, b in zip(box, kept))


start_box = basins(edges, likeness_of, 1)[0]
finer = start_box
print(f"coarse search: {off_by(finer):.2f} px off")
for side, seen_level, level in zip(LEVELS, pyramid(extracted), pyramid(watermark)):
    finer = refine(seen_level, level, finer, np.ones_like(seen_level, dtype=np.float32), steps=4)
    print(f"refined on {side} × {side}: {off_by(finer):.2f} px off")
claim("Least squares bring the edges nearer than the coarse grid.",
      off_by(finer) < off_by(start_box))

# %% [markdown]
# ### By comparing features
#
# The paper looks for points with a look of their own in both watermarks (SURF features), pairs
# those that look alike, and asks where all pairs agree to be.
#
# > **Why not SURF?** It is patented. OpenCV keeps it among its *nonfree* modules, and ready-made
# > builds (the wheels that `pip` installs) come without them. SURF was made as a quick stand-in for
# > SIFT. SIFT's own patent ran out in 2020, and SIFT *is* in the wheels: so it takes SURF's place
# > here. ORB, quick and always free, is the third.
#
# Most pairs are wrong. **RANSAC** draws two pairs, computes the frame that they imply, counts who
# agrees, and keeps the frame with most friends. Two pairs are enough because a crop can only move
# and stretch along the axes:
#
# $$ x' = a\,x + b, \qquad y' = c\,y + d $$
#
# A general homography has eight unknowns, so four pairs would have to be right at once. If one
# third of all pairs is right, that is a chance of 1 in 81 a draw instead of 1 in 9.

# %% quote="course_lib.rwn.match.fit_frame" exercise="6.4" minutes=25 difficulty=3
# hint: From pairs i and j: scale = (whole[j] − whole[i]) / (seen[j] − seen[i]), axis by axis; then
#   shift = whole[i] − scale · seen[i].
# hint: A pair agrees when both its coordinates are within TOLERANCE of where the frame puts it. Two
#   points that nearly share a row or column settle no scale: skip them.
# hint: Frames that show less than SMALLEST or more than all of the picture are impossible. At the
#   end fit a line through all agreeing pairs on each axis, and return ones and zeros if nobody
#   agrees.

# %%
points = lesson.rng.random((40, 2))
true_scale, true_shift = np.array([0.6, 0.5]), np.array([0.3, 0.2])
guesses = np.where(np.arange(40)[:, None] < 14, true_scale * points + true_shift,
                   lesson.rng.random((40, 2)))
scale, shift, agrees = fit_frame(points, guesses, np.random.default_rng(seed), 300)
print(f"14 of 40 pairs are right; {agrees.sum()} agree; scale {scale.round(3)}, "
      f"shift {shift.round(3)}")
assert np.allclose(scale, true_scale, atol=0.03) and agrees[:14].all()

# %%
from course_lib.rwn.match import pairs

sift = cv2.SIFT.create(contrastThreshold=0.01)
everywhere = np.ones(extracted.shape, np.float32)
here, there = pairs(sift, cv2.NORM_L2, extracted, watermark, everywhere)
scale, shift, agrees = fit_frame(here, there, np.random.default_rng(seed))
by_features = Box(*np.concatenate([shift, shift + scale]).clip(0, 1))
show(
    plots.pairs(extracted, watermark, here, there, agrees, by_features),
    photo=True,
    alt="The extracted watermark beside the true one, with lines between paired features. Some are "
    "solid and lead to the same places in a dashed frame; the others are dotted and cross.",
    caption="SIFT pairs after JPEG 70. Solid: agree with the frame.",
)
print(f"{len(here)} pairs, {agrees.sum()} agree; IoU of the frame {iou(by_features, kept):.3f}")

# %% [markdown]
# ### Which is better?

# %%
samples = []
for case in cases:
    shown = system.protect(case.picture, case.watermark)
    for rate in lesson.pick(smoke=(0.6,), cpu=(0.7, 0.5), gpu=(0.9, 0.7, 0.5)):
        side = round(256 * rate)
        left, top = lesson.rng.integers(0, 257 - side, 2)
        box = Box.from_pixels(left, top, left + side, top + side, photo.shape)
        samples.append((case, box, system.extract(published(crop(shown, box), "jpeg70"))))
overlap, taken = {}, {}
for name, matcher in MATCHERS.items():
    began = time.perf_counter()
    matches = [matcher(found, case.watermark, None) for case, _, found in samples]
    taken[name] = (time.perf_counter() - began) / len(samples)
    overlap[name] = [iou(match.box, box) for match, (_, box, _) in zip(matches, samples)]
names = [case.name for case, _, _ in samples]
for name, values in overlap.items():
    print(f"{name:5} IoU {bootstrap(values, groups=names):.3f}, {1000 * taken[name]:.0f} ms")

# %%
difference = np.subtract(overlap["ncc"], overlap["sift"])
claim("On a blurred, noisy watermark, comparing pictures finds crops at least as well as features.",
      difference.mean() > -0.01, f"IoU higher by {bootstrap(difference, groups=names):.3f}")

# %% [markdown]
# Features need corners, and the corners of an extracted watermark are where noise did most damage.
# NCC uses every pixel. Over all attacks and more photographs, section 11 has the table.

# %% [markdown]
# ## 9 · What to say
#
# A matcher always returns its best box, also for a picture that never held a watermark. So the
# likeness at that box decides first. Only then do we ask how large the box is.

# %% quote="course_lib.rwn.match.decide" exercise="6.5" minutes=5 difficulty=1
# hint: Without a watermark nothing can be said about a crop: ask for that first.
# hint: A crop may take from one side alone. Both sides of the box must be at least `whole`.

# %%
assert decide(Match(FULL, 0.1, 0.1)) == "no watermark"
assert decide(Match(FULL, 0.9, 0.1)) == "not cropped"
assert decide(Match(Box(0, 0, 1, 0.8), 0.9, 0.1)) == "cropped"
print(f"a watermark is there from a likeness of {system.present} for the network and of "
      f"{carrier.present} for the carrier;\na box is whole from {WHOLE:.0%} of both sides")

# %%
stranger = draw(seed=77)  # a watermark that nobody used
asked = {"protected, cropped": [], "protected, cropped, JPEG 50": [],
         "protected, whole, JPEG 70": [], "never protected": [], "another watermark": []}
for case in cases:
    shown = system.protect(case.picture, case.watermark)
    part = crop(shown, middle)
    questions = ((part, case.watermark), (published(part, "jpeg50"), case.watermark),
                 (published(shown, "jpeg70"), case.watermark),
                 (published(crop(case.picture, middle), "jpeg70"), case.watermark),
                 (part, stranger))
    for answers, (picture, truth) in zip(asked.values(), questions):
        answers.append(system.locate(picture, truth))

# %%
best_places = {name: [f.match.score for f in found] for name, found in asked.items()}
show(
    plots.likenesses(best_places, system.present),
    alt="Dots in five rows along an axis of likeness, with a line at the threshold. Protected "
    "pictures lie right of it, pictures without this watermark left of it.",
    caption="How alike extracted and true watermark are at the best place, one dot a picture.",
)
truth = {"protected, cropped": "cropped", "protected, cropped, JPEG 50": "cropped",
         "protected, whole, JPEG 70": "not cropped"}
for name, found in asked.items():
    right = [f.said == truth.get(name, "no watermark") for f in found]
    print(f"{name:28} right in {sum(right)} of {len(right)}")
claim("No picture without this watermark is taken for one that has it.",
      all(f.said == "no watermark" for name in list(asked)[3:] for f in asked[name]))

# %% [markdown]
# ## 10 · Choosing a watermark
#
# Not every picture is fit to be a map. The paper recommends rich texture and warns of repeated
# patterns: in a picture of stripes every place looks like many others. That can be measured before
# anything is hidden. Cut out the four quarters, search for each in the whole, and ask how alike the
# best *wrong* place is. Its distance from 1 is the **locatability**.

# %%
from course_lib.rwn.watermarks import CROPS, PATTERNS, prepared, repeated

# %% quote="course_lib.rwn.watermarks.locatability"

# %%
gray = cv2.cvtColor(cases[1].picture, cv2.COLOR_RGB2GRAY)
candidates = {"drawn by the course": draw(1), "a photograph": prepared(gray),
              **{name: repeated(name) for name in PATTERNS[:lesson.pick(smoke=1, cpu=4, gpu=4)]}}
fitness = {name: locatability(each) for name, each in candidates.items()}
found = []
for each in candidates.values():
    shown = system.protect(photo, each)
    found.append(system.locate(published(crop(shown, kept), "jpeg70"), each))
titles = [f"{name}\nlocatability {fitness[name]:.2f}, IoU {iou(one.match.box, kept):.2f}"
          for name, one in zip(candidates, found)]

# %%
show(
    plots.framed(list(candidates.values()), [kept] * len(found), [one.match.box for one in found],
                 titles, columns=3, width=7.0),
    photo=True,
    alt="Six gray pictures with two frames each: two textures, in which the frames coincide, and "
    "stripes, a checkerboard, dots and bricks, in which they mostly do not.",
    caption="Watermark selection (the paper's Figure 2). Each was hidden in the same photograph, "
    "cropped to the solid frame, stored as JPEG 70 and located (dashed). Where many places are "
    "alike, the right one is found by luck at best.",
)
claim("Textures can be located, repeated patterns cannot.",
      min(fitness["drawn by the course"], fitness["a photograph"])
      > max(fitness[name] for name in candidates if name in PATTERNS),
      ", ".join(f"{name} {value:.2f}" for name, value in fitness.items()))

# %% [markdown]
# The network hides stripes as readily as leaves, and extracts them as well; it is the *map* that is
# useless. The course draws its own watermarks for this reason: dead leaves (lesson 01) in gray,
# with one contrast everywhere, slightly blurred because what varies faster than about ten pixels is
# what JPEG takes first. Its leaves are of like size, 24 to 40 pixels: inside a larger one nothing
# is written, so nothing could be missed there (section 12). `--watermark FILE` takes any picture of
# yours, and makes it ready in the same way.

# %% [markdown]
# ## 11 · The paper's first table
#
# Everything so far was computed in this run, on few photographs. From here on, tables come from a
# file: `course evaluate rwn` measured the trained weights on photographs that no part of the
# training has seen, with real PNG and JPEG files between publisher and recipient.

# %%
where = Path(results) if results else paths.COURSE.assets / "measurements" / "rwn.json"
stored = json.loads(where.read_text(encoding="utf-8"))["rows"] if where.is_file() else []
if not stored:
    print("Not measured yet: run  course evaluate rwn --photos DIR --json", where.name)
units = sorted({row["n"] for row in stored if row["metric"] == "iou"}) or [0]
print(f"{units[-1]} photographs; intervals are 95 % bootstraps over photographs")
display(Markdown(plots.table(
    ["protected picture", "this course", "paper"],
    [[name, plots.cell(row, digits, paper=False), plots.number(row and row["paper"], digits)]
     for name, metric, digits in (("PSNR (dB)", "psnr", 2), ("SSIM", "ssim", 3))
     for row in [plots.chosen(stored, metric)]])))

# %% [markdown]
# **Table I**, in the paper's layout: IoU of the located frame, and SSIM of the extracted watermark,
# by how much of each side is kept and what was done. (The paper does not say how strong its
# scaling, median and noise were. Ours stand in the heads of the columns. And its SSIM is that of
# natural pictures, with smooth areas; ours is that of textures, which are busy everywhere. Only
# the rows of IoU compare like with like.)

# %%
display(Markdown(plots.table_one(stored)))
show(
    plots.against_paper(stored),
    alt="IoU by attack, three marks each for 90, 70 and 50 percent kept, near 1, and below them "
    "hollow marks for the paper between 0.5 and 0.92.",
    caption="IoU of Table I, ours (filled, with intervals) and the paper's (hollow).",
)

# %%
harder = {"jpeg50": "JPEG 50", "resize50": "scaling 50 %", "median5": "median 5",
          "noise10": "noise 10"}
display(Markdown("Stronger attacks, which the paper does not have:"))
display(Markdown(plots.table_one(stored, attacks=harder)))

# %% [markdown]
# What decides, network or matcher? The same extracted watermarks through three matchers, and the
# carrier of section 3, which has no network at all, through the best of them:

# %%
ways = {"ncc": "network, NCC", "sift": "network, SIFT", "orb": "network, ORB",
        "carrier": "no network, NCC"}
display(Markdown(plots.table_by_way(stored, ways)))

# %% [markdown]
# Compare the rows: a good part of the distance to the paper is the *matcher's* doing. The next lines
# say in words how far network and carrier are apart.

# %%
for rate in plots.RATES:
    for attack in ("none", "jpeg70"):
        both = [plots.chosen(stored, "iou", variant=name, attack=attack, crop=rate)
                for name in ("ncc", "carrier")]
        print(f"{rate:.0%} kept, {attack}: {plots.compared(*both)}")

# %% [markdown]
# The carrier did as well as the network on the pictures of section 3. Over more photographs it loses,
# not by a little on each but by failing on some: where colours are saturated there is no room for
# more or less blue, and the pattern is cut off. A network learns to go elsewhere.
#
# And the decision: half of the questions are crops, a quarter whole protected pictures, a quarter
# pictures that were never protected. An answer is right only if it is the right one of three.

# %%
kinds = {"crops": "crops", "whole": "whole, protected", "unprotected": "never protected",
         "all": "all"}
display(Markdown(plots.table(
    ["rightly answered", *kinds.values()],
    [["this course", *(plots.cell(plots.chosen(stored, "cropped_accuracy", set=kind), paper=False)
                       for kind in kinds)]])))

# %% [markdown]
# ### Reached and missed
#
# Before anything was trained, goals were written down, well beyond the paper: for quality, for
# every cell of both tables, for decisions and for time. Which of them were missed?

# %%
reached, others_missed = plots.missed(stored)
print(f"reached: {reached} of {len(plots.goals())} goals")
display(Markdown(others_missed or "*None was missed.*"))

# %% [markdown]
# ## 12 · What was pasted in?
#
# A watermark shows more than the frame. Where somebody paints something else into the picture,
# content $I_{irr}$ inside a mask $M$ (the paper's equation 3),
#
# $$ I_A = I_{irr} \cdot M + I_M \cdot (1 - M) $$
#
# the watermark is gone, or is another one. The paper trains a **U-Net** that marks such areas from
# the picture alone, and leaves them out of the matching. Blind, as it has to say what *looks* as if
# it carried no watermark. But the recipient *knows* the watermark, and once the frame is found also
# its place. Then no network is needed: compare what was extracted with what should be there,
# neighbourhood by neighbourhood. (Our U-Net is shown this likeness too, and told the watermark, for
# two pictures of three in training. In the third it is left blind.) With $\langle \cdot \rangle_\sigma$ for a Gaussian mean, and $a$,
# $b$ for both watermarks with their local means taken off,
#
# $$ \ell = \frac{\langle a b \rangle_\sigma}
#    {\sqrt{(\langle a^2 \rangle_\sigma + \epsilon^2)(\langle b^2 \rangle_\sigma + \epsilon^2)}} $$

# %%
from course_lib.attacks.tamper import free_form_mask
from course_lib.rwn.tamper import FAINT, NEIGHBOURHOOD, local_mean, marked

# %% quote="course_lib.rwn.tamper.likeness" exercise="6.6" minutes=15 difficulty=2
# hint: Stretch the watermark's box to the shape of what was found; both as float32.
# hint: Take the local mean off both first, over a neighbourhood three times as wide.
# hint: local_mean(a · b, sigma), divided by the root of the product of both powers, each of which
#   gets FAINT² added.

# %% [markdown]
# *Invariants.* Like itself everywhere, except where it is too flat to tell; like the opposite
# nowhere.

# %%
same = likeness(watermark, watermark)
assert np.median(same) > 0.9 and np.median(likeness(1 - watermark, watermark)) < -0.9
print(f"with itself: {np.median(same):.2f}; with another watermark: "
      f"{np.median(np.abs(likeness(stranger, watermark))):.2f} (medians)")

# %%
def forge(case, other, number):  # paste a part of another picture into a protected one
    mask = free_form_mask(case.picture.shape, np.random.default_rng((seed, number)))
    shown = system.protect(case.picture, case.watermark)
    return np.where(mask[..., None], other.picture, shown), mask


def marks(picture, truth):  # every way of marking what was pasted in
    found = system.extract(picture)
    said = {"no network": marked(found, truth)}
    if system.tamper is not None:
        blind = system.pasted(picture, found) >= system.threshold
        told = system.pasted(picture, found, truth) >= system.threshold
        said = {"network, blind": blind, "network, told": told, **said}
    return said


# %%
tried = list(zip(cases, [*cases[1:], cases[0]]))[:lesson.pick(smoke=2, cpu=7, gpu=24)]
gallery, scores = [], {}
for number, (case, other) in enumerate(tried):
    forged_picture, mask = forge(case, other, number)
    after = published(forged_picture, "jpeg80")
    said = marks(after, case.watermark)
    for name, area in said.items():
        scores.setdefault(name, []).append(f1(area, mask))
    gallery.append({"forged, JPEG 80": after, "pasted": mask, **said})
show(
    plots.tampering(gallery[:2]),
    photo=True,
    alt="Two rows: a photograph with strokes of another one in it, the true mask of the strokes, "
    "and masks that were marked, which resemble it.",
    caption="Forged pictures after JPEG 80, what was pasted (white), and who marks what: the network "
    "without the watermark and with it, and the watermark without a network.",
)
for name, values in scores.items():
    print(f"{name:26} F1 {bootstrap(values):.2f}")
claim("Whoever knows the watermark needs no network to see where it is missing.",
      np.mean(scores["no network"]) > 0.5)

# %% [markdown]
# **Table II**, F1 of the marked area. The paper's other rows are detectors that know nothing of any
# watermark; they were not run here.

# %%
display(Markdown(plots.table_two(stored)))
for variant, name in plots.MARKERS.items():
    for attack in ("none", "jpeg80"):
        print(f"{name}, {attack}: {plots.against_others(stored, variant, attack)}")

# %% [markdown]
# Read the rows separately. The first is the paper's task, and the only one that may be compared with
# its row. Blind marking asks a network to know what *no* watermark looks like. It gets part of the
# way: where nothing was hidden, what is extracted is smoother than a watermark, and so are some
# places of watermarks. Rows two and three answer an easier question, that of a recipient who holds
# the watermark, as RWN's recipient does. There the network is worth its training: it knows where the
# picture is too busy for a low likeness to mean anything, and it draws sharper edges than a Gaussian
# mean can.
#
# Two mistakes taught us this. An earlier network saw picture and watermarks, without their likeness,
# and was told the watermark in every second *batch*: .66 with the key, .28 without. Its batch norms
# had learned means between both kinds, which fit neither. With both kinds in every batch, and with the
# likeness as an input, the same U-Net came to what stands above.

# %% [markdown]
# ## 13 · What each part brings
#
# The paper leaves parts out, one at a time. `python -m course_lib.rwn.ablate` does the same on a
# small scale: it trains networks for the same few minutes on the same photographs, steered to the
# same quality, that differ in one thing from the first. (Few minutes: differences within the
# intervals decide nothing, and all stay below the shipped weights.)

# %%
not_yet = "*Not measured yet: no ablation is in this file of results.*"
display(Markdown(plots.table_of_ablations(stored) if plots.cases_of(stored) else not_yet))

# %%
for case in plots.cases_of(stored)[1:]:
    print(f"{plots.CASES.get(case, case):30} {plots.ablation_in_words(stored, case)}")
print(f"plain gray in place of the watermark: SSIM {ssim(np.full_like(watermark, 0.5), watermark):.2f}")

# %% [markdown]
# Look at the last line first: SSIM is generous to plain gray, and to a network that answers with it.
# So in this table IoU is the number to trust. Then three questions. Is an *invertible* network needed? Two
# separate networks lean on nothing but training. In these few minutes they did not even begin: the
# picture stays as it is (see its PSNR), for that is the easy part. The invertible one starts with a
# way back. Are attacks needed? Trained without any, a network hides where no stretched crop can be
# read. And does it matter *which* simulator of JPEG is trained with? Not in so few minutes; the slopes
# begin to decide when a network is good enough to lose by them (lesson 04 has a miniature that is).

# %% [markdown]
# ## 14 · Reading traces, or leaving them
#
# The paper compares with *Dissecting Image Crops*, the detector of lesson 03, which needs no
# preparation. We can do that on the same picture: protected, cropped, stored as JPEG 70, and both
# are asked where it was. (Unfair in one respect: that detector was made for larger pictures with
# their camera's own lens. In the other respect too: ours had to be applied *before*.)

# %%
from course_lib.traces.readers import detector, look

wide = next((p for p in lesson.pictures(8, 768) if min(p.shape[:2]) >= 384), lesson.pictures(1)[0])
passive, large = detector("joint"), system.protect(wide, watermark)
cut = Box(0.3, 0.12, 1.0, 0.84)
contest = []
for attack in lesson.pick(smoke=("jpeg70",), cpu=("none", "jpeg70"), gpu=("none", "jpeg70")):
    published_part = published(crop(large, cut), attack)
    opinion, mine = look(passive, published_part), system.locate(published_part, watermark)
    contest.append((attack, opinion.box, mine.match.box))
    print(f"{attack:7} reading: score {opinion.score:.2f}, IoU {iou(opinion.box, cut):.2f};   "
          f"watermark: {mine.said}, IoU {iou(mine.match.box, cut):.3f}")

# %%
attack, *pair = contest[-1]
show(
    plots.framed([large, large], [cut, cut], pair, [f"lens traces, {attack}", f"watermark, {attack}"],
                 columns=2, width=6.6),
    photo=True,
    alt="A photograph, dimmed outside a solid frame, twice. The dashed frame of the detector that "
    "reads traces is elsewhere; that of the watermark lies on the solid one.",
    caption="The same crop, located by reading what the lens left and by reading what was hidden.",
)
claim("On this picture the watermark places the crop better than lens traces do.",
      all(iou(mine, cut) > iou(theirs, cut) for _, theirs, mine in contest))

# %% [markdown]
# One picture is an anecdote. On many pictures, *arena* asks both about the same photographs, the same
# crops and the same JPEG files, and half of the time about whole pictures. To be fair to the detector
# that reads traces, these come straight from cameras and are as large as it wants them, 1536 pixels
# wide. (On its own pictures the paper reports an F1 of 0.575 for that detector and of 0.867 for RWN.)

# %%
answers = [row for row in stored if row.get("variant") in plots.SYSTEMS]
not_yet = "*Not measured yet: `python -m course_lib.arena rwn traces` asks both.*"
display(Markdown(plots.table_of_systems(stored) if answers else not_yet))
print("photographs:", ", ".join(sorted({str(row["n"]) for row in answers})) or "none")

# %% [markdown]
# ## 15 · Where it fails
#
# What a system cannot do is part of what it is. Each picture below was protected, and then
# something was done that is not in the training, or too much of what is.

# %%
def straightened(picture, degrees):  # turned, and enlarged until no corner is empty
    matrix = cv2.getRotationMatrix2D((128, 128), degrees, 1.18)
    return cv2.warpAffine(picture, matrix, (256, 256), flags=cv2.INTER_LINEAR)


corner = Box.from_pixels(150, 20, 226, 96, photo.shape)
inner = Box(*0.5 + 0.5 / 1.18 * np.array([-1, -1, 1, 1]))
part = crop(protected, middle)
worst = cases[int(np.argmin([f.match.score for f in asked["protected, cropped, JPEG 50"]]))]
busiest = crop(system.protect(worst.picture, worst.watermark), middle)
hard = {
    "half, JPEG 30, the worst": (published(busiest, "jpeg30"), middle, worst.watermark),
    "30 %, JPEG 70": (published(crop(protected, corner), "jpeg70"), corner, watermark),
    "half, JPEG 15": (published(part, "jpeg15"), middle, watermark),
    "half, noise of 30": (published(part, "noise30"), middle, watermark),
    "half, mirrored": (np.ascontiguousarray(part[:, ::-1]), middle, watermark),
    "turned by 5°": (straightened(protected, 5), inner, watermark),
    "half, another watermark": (part, middle, stranger),
    "half, protected twice": (crop(system.protect(protected, stranger), middle), middle, watermark),
}

# %%
outcome = {name: system.locate(picture, truth) for name, (picture, _, truth) in hard.items()}
titles = [f"{name}\n{f.said}, {f.match.score:.2f}" + (
    f", IoU {iou(f.match.box, box):.2f}" if f.said != "no watermark" else "")
    for (name, f), (_, box, _) in zip(outcome.items(), hard.values())]
show(
    plots.framed([squared(picture) for picture, _, _ in hard.values()], [FULL] * len(hard),
                 [None] * len(hard), titles, columns=4, width=7.6),
    photo=True,
    alt="Eight attacked pictures, each with what the recipient says of it and the likeness.",
    caption="What the recipient gets and says. A likeness below the threshold is at least honest: "
    "it claims nothing.",
)

# %%
for name, f in outcome.items():
    print(f"{name:24} {f.said:13} likeness {f.match.score:.2f}, "
          f"next best place {f.match.runner_up:.2f}")
claim("A mirrored crop, or another watermark, gets no random frame: 'no watermark', it says.",
      all(outcome[name].said == "no watermark"
          for name in ("half, mirrored", "half, another watermark")))

# %% [markdown]
# Mirroring is harmless to the eye and deadly here: nobody looks for a mirrored watermark. That
# could be searched for, at the price of time and of more chances to be wrong. Turning a picture by
# a few degrees, as one straightens a horizon, may be worse: enough of the watermark is left for an
# answer, with an upright frame where a slanted one would be right. Of a very small crop the frame
# is the less exact, as it is smaller than any that is searched for. Busy pictures drown a watermark
# more than skies do. (A clear sky is no problem: there is nothing else to hear.) And protecting a
# picture a second time lays one watermark over another. The method says where a crop was, not who
# was first.

# %% [markdown]
# ## 16 · Ask the witness
#
# All forensic systems of this course answer in one form. From a terminal the same is
#
#     course protect rwn photo.jpg protected.png
#     course locate rwn found.jpg --figure verdict.png
#
# both with `--watermark FILE` for a picture of your own. (If the verdict below says that some of the
# picture looks pasted: nothing was. Table II says how far such marks can be trusted.)

# %%
from course_lib.witness import picture_of, witnesses

witness = witnesses(place)["rwn"]()
suspect = published(crop(witness.protect(wide), cut), "jpeg70")
verdict = witness.examine(suspect)
print(verdict)
drawing = picture_of(suspect, verdict)
drawing.set_size_inches(0.6 * drawing.get_size_inches())
show(
    drawing,
    photo=True,
    alt="A photograph drawn at its place inside a larger, otherwise empty frame.",
    caption=f"The witness's verdict. In truth {cut.area:.0%} of the area was left, "
    f"{cut.x1:.0%} to {cut.x2:.0%} across and {cut.y1:.0%} to {cut.y2:.0%} down.",
)

# %% [markdown]
# ## 17 · Play with a crop
#
# Move the frame, scale, add noise, compress; let the carrier hide the watermark instead, or nobody.
# Click a slider and use the arrow keys. Try this: half of both sides at quality 30; then with the
# carrier; then a whole picture with nobody's watermark.

# %%
from course_lib.rwn import explore

explorer = explore.explorer(lesson.photos, system=system, watermark=watermark)
explorer.show()

# %% [markdown]
# The same in print:

# %%
settings = {
    "half of both sides, JPEG 30": {"wide": 50, "high": 50, "jpeg": "30"},
    "the same, hidden without a network": {"wide": 50, "high": 50, "jpeg": "30",
                                           "hider": explore.CARRIER},
    "never protected": {"hider": explore.NOBODY},
}
views = [explorer.picture(**setting) for setting in settings.values()]
show(
    grid(views, list(settings), columns=1, width=5.2)[0],
    photo=True,
    alt="Three settings of the explorer, each with a photograph and two frames, what is published, "
    "the extracted and the true watermark, and a bar of likeness.",
    caption="Three settings. The middle one and the upper one differ in who hid the watermark.",
)

# %% [markdown]
# ## Exercises
#
# Your copy of this lesson, with five functions and a class to write, is in
# [exercises/06_rwn.ipynb](../exercises/06_rwn.ipynb).
#
# {{exercises}}

# %% [markdown]
# ## Paper, released code, this course
#
# | | paper | released code | this course |
# |---|---|---|---|
# | network | invertible U-Net, four channels, six blocks | three Haar steps; couplings 2, 2, 2 down and 2, 2, 0 up; 64 channels | the same as profile `gpu`; the shipped one has couplings on the coarser bands only, 48 channels |
# | scale of a coupling | not said | $\exp(c\,(2\sigma(s) - 1)) + 10^{-4}$, $c = 1$ | the same without the $10^{-4}$ |
# | start | not said | last convolution of a subnet zero | a tenth of the usual |
# | rest | $\hat R = 0.5$ | the same | the same |
# | watermark in training | natural gray pictures | gray of another photograph | the same, made even and slightly blurred; a new one for each tile |
# | attacks | four kinds and a crop; strengths not said | each picture goes through four a step | every part of a batch its own; half to all of each side; from the first step, growing |
# | JPEG | Mixup of $k = 3$, qualities 10 to 100 | two simulators, 60 to 90; JPEG-Mask ignores the quality | real files with the slopes of JPEG-SS two times of three, else Mixup as in the paper |
# | clamp to [0, 1] | not said | after every attack | the same |
# | loss | $\ell_1$, $\alpha = 1$, $\beta = 8$ | smooth $\ell_1$; rest × 10; the game commented out | correlation and SSIM of the watermark; PSNR steered; the paper's as a switch |
# | optimiser | Adam, $10^{-4}$, batches of 16 | Adam (0, 0.9), decay $10^{-5}$, clip 10 | Adam (0.9, 0.99), $10^{-3}$, ramp and cosine, clip 1 |
# | matching | SURF | – | NCC with least squares; SIFT and ORB beside it |
# | tampering | U-Net, blind | on detached pictures | blind, told, and without a network |
# | training | COCO, 117,266 pictures | 500,000 steps | see the card in section 7 |
#
# The released code is partial: no weights come with it.

# %% [markdown]
# ## Limits, references, next
#
# - A picture must be protected **before** it is published. Of all other pictures nothing can be
#   said, and the system says so.
# - The watermark is no secret against an insider: who has the network can extract it, and who has
#   it can write it into another picture. This is no signature.
# - Crops along the axes only. Turned, mirrored or warped pictures are not found (section 15).
# - Networks see 256 × 256 pixels. Larger pictures are protected by the enlarged change, which is
#   coarse; crops of less than 40 % of a side are not searched.
# - Thresholds (`present`, `WHOLE`) were chosen on other photographs than those of the tables.
# - The strengths of some of the paper's attacks are not known, so its columns and ours are not
#   strictly the same. Its photographs are COCO's, which may not be passed on.
#
# References: Q. Ying et al., *RWN: robust watermarking network for image cropping localization*,
# ICIP 2022. L. Dinh et al., *Density estimation using Real NVP*, ICLR 2017. X. Mao et al., *Least
# squares generative adversarial networks*, ICCV 2017. Z. Wang et al., *Image quality assessment*,
# TIP 2004. M. Kutter et al., *Digital signature of color images using amplitude modulation*, 1997.
# K. He et al., *Guided image filtering*, ECCV 2010. J. Lewis, *Fast normalized cross-correlation*,
# 1995. B. Lucas and T. Kanade, *An iterative image registration technique*, IJCAI 1981. D. Lowe,
# *Distinctive image features from scale-invariant keypoints*, IJCV 2004. E. Rublee et al., *ORB*,
# ICCV 2011. M. Fischler and R. Bolles, *Random sample consensus*, 1981.
#
# **Next:** 07 · Learning JPEG. Straight-through gradients are a trick. Can a network learn what a
# codec does, for every quality, and teach others through that?
