# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 0 · Start here
#
# **Someone hands you a picture. Was there more of it, once?**
#
# *Before you begin:* a little Python and NumPy. Nothing about photography is assumed.
#
# *Afterwards you will be able to*
#
# - run, change and check everything in this course on your own machine;
# - say what the course's five questions are, and what each answer needs to know in advance;
# - cut and put back pieces of pictures without losing half a pixel;
# - measure how well two frames agree, how much a picture was changed, and how sure you may be.

# %% [markdown] run_card=true
# *Data used:* the embedded photographs. Nothing is downloaded.

# %% tags=["parameters"]
profile = "auto"  # smoke | cpu | gpu, or auto
seed = 0
photos = ""  # a folder with your own photographs; empty for the embedded ones

# %% [markdown]
# The cell above holds the *parameters*: everything you may want to change without touching the
# lesson. Every lesson then begins with one call, `start`, which sets the seed, looks for a GPU, and
# finds the photographs.

# %%
from collections.abc import Callable

import cv2
import numpy as np

from course_lib import cropping
from course_lib.errors import UsageError
from course_lib.figures import grid, show
from course_lib.geometry import FULL, Box, pixels_inside
from course_lib.lesson import start
from course_lib.metrics import Rng, peak_value
from course_lib.plots import lesson_00 as plots
from course_lib.teach.claims import claim
from course_lib.teach.machine import describe

lesson = start("00", profile=profile, seed=seed, photos=photos)

# %% [markdown]
# ## How a lesson works
#
# **Idea → formula → code → invariant → figure.** Code comes in small cells of one idea. What you
# see in a cell is often the source of a function in `course_lib`, the very code that the tests and
# the trained systems use. A line with `assert` under it states what must be true of it.
#
# **Claims.** Lines that begin with ✓ are sentences of the lesson that were just checked against
# numbers computed in this run (or, where the lesson says so, stored measurements). If one stops
# being true, the lesson fails, on purpose.
#
# **Errors** that are meant for you have plain names: `UsageError` says that something was asked
# that cannot be, and what to ask instead.
#
# **Profiles.** The same lesson runs at three sizes, and says the same at all of them, except where
# the smallest is too small to say. `auto` takes `$COURSE_PROFILE` if it is set, a GPU if there is
# one, and the laptop otherwise.
#
# | profile | for | a lesson takes |
# |---|---|---|
# | `smoke` | tests | under half a minute |
# | `cpu` | a laptop | a few minutes |
# | `gpu` | one data-centre GPU | a few minutes, at full strength |
#
# **Exercises.** The folder `exercises/` holds your copy of each lesson, with some functions
# emptied. Fill one in, run its cell and the check below it; a wrong answer gets a hint that speaks
# of *your* mistake. Hints and a solution are folded under each. This lesson has five:
#
# {{exercises}}

# %% [markdown]
# ## Is this machine ready?
#
# A laptop is enough for the whole course; a GPU makes the trained systems stronger. This table says
# what was found.

# %%
for line in describe():
    print(line)

# %% [markdown]
# ## One photograph, five questions
#
# Cropping is the smallest edit there is. No pixel is changed, nothing is painted over, and yet a
# crop can turn the meaning of a picture round: by leaving out the stick in a demonstrator's hand,
# or the fifth person in a group. It is also the edit nobody can do without: every photographer
# crops, every thumbnail is a crop, every neural network was trained on random ones. So it is worth
# asking what it leaves behind.

# %%
pictures = lesson.pictures(8)
photo = pictures[0]
cut = Box(0.30, 0.22, 0.85, 0.92)
show(
    plots.seen_and_shown(photo, cut),
    photo=True,
    alt="A photograph with a frame drawn on it, and beside it only the part inside the frame.",
    caption="A crop. From the right-hand picture alone: can the left-hand one be known?",
)

# %% [markdown]
# Five published systems answer five versions of that question. You will build all five from
# scratch.
#
# | | question | system | what it must know in advance | lessons |
# |---|---|---|---|---|
# | 1 | *Was* this picture cropped, and where from? | Dissecting Image Crops: lens traces | nothing; it reads what the lens left | 01–03 |
# | 2 | *Where* in the original was this piece? | RWN: a watermark hidden by an invertible network | the watermark, hidden before publishing | 04–06 |
# | 3 | What was *cut away*? | CLR-Net: the picture hides a copy of itself | the picture was protected before publishing | 07–08 |
# | 4 | Where does *every patch* belong? | StegaPos: position hidden in every patch | the picture was encoded before publishing | 09–11 |
# | 5 | Which crop is a *good* one? | set prediction with a conditional DETR | what people like | 12–13 |
#
# Lesson 14, the arena, puts them side by side on the same photographs.

# %% [markdown]
# Here is the photograph as each of them sees it.

# %%
show(
    plots.five_questions(photo, cut),
    photo=True,
    alt="Five panels: an enlarged corner patch, the crop, the crop inside an empty gray frame, the "
    "photograph with a grid of small squares, and the photograph with three candidate frames.",
    caption="The same photograph, asked the five questions. The answers take fourteen lessons.",
)

# %% [markdown]
# ## A box, exactly
#
# **Idea.** Everything here speaks about rectangles in pictures, so we fix once how to write one. A
# `Box` is $(x_1, y_1, x_2, y_2)$: left, top, right and bottom **edge** as fractions of the original
# picture. The whole picture is $(0, 0, 1, 1)$, whatever its size. To cut, multiply by the width $W$
# and the height $H$ of the picture in pixels, and round to the nearest pixel edge.
# `pixels_inside(picture, box)` does that, and raises `UsageError` if the box leaves the picture.
#
# $$ \text{left} = \mathrm{round}(x_1 W), \quad \text{top} = \mathrm{round}(y_1 H), \quad
#    \text{right} = \mathrm{round}(x_2 W), \quad \text{bottom} = \mathrm{round}(y_2 H) $$

# %%
print(cut, "keeps", f"{cut.area:.1%} of the area")
print("in pixels:", cut.to_pixels(photo.shape), "of a picture of shape", photo.shape)
assert Box.from_pixels(*cut.to_pixels(photo.shape), photo.shape).to_pixels(
    photo.shape
) == cut.to_pixels(photo.shape)

# %% quote="course_lib.geometry.crop" exercise="0.1" minutes=5 difficulty=1
# hint: pixels_inside(picture, box) gives left, top, right and bottom (and complains if the box sticks out).
# hint: In an array, rows come first: picture[top:bottom, left:right].
# hint: A slice is a window on the same memory. Return a copy, or drawing on the crop changes the picture.

# %% [markdown]
# The opposite of cutting is to put the piece back in its place in an otherwise empty frame. System
# 2 ends with it: once the place of a piece is known, it can be put back. System 3 needs it before
# it can fill in the rest.

# %% quote="course_lib.geometry.paste" exercise="0.2" minutes=10 difficulty=1
# hint: The same slice as in crop, on the left-hand side of an assignment.
# hint: Copy the canvas first; the caller's canvas must not change.
# hint: Compare the patch's shape and dtype with the hole's before you write, and raise UsageError when they differ.

# %%
again = paste(photo, crop(photo, cut), cut)
assert np.array_equal(again, photo)  # cutting and putting back changes nothing
print("crop, then paste: identical in every pixel")

# %% [markdown]
# ## How well do two boxes agree?
#
# **Idea.** A detector says "it was *here*", the truth is *there*. Their agreement is the area they
# share, divided by the area that at least one of them covers: *intersection over union*.
#
# $$ \mathrm{IoU}(A, B) = \frac{|A \cap B|}{|A \cup B|} $$
#
# It is 1 only for equal boxes and 0 for boxes that do not touch, and it punishes both too large and
# too small.

# %% quote="course_lib.geometry.iou" exercise="0.3" minutes=10 difficulty=1
# hint: The intersection is a box as well: its left edge is the larger of the two left edges.
# hint: If the boxes do not touch, width or height comes out negative. Clip at zero.
# hint: The union is the sum of the areas minus what was counted twice.

# %%
assert iou(cut, cut) == 1
assert iou(Box(0, 0, 0.4, 1), Box(0.6, 0, 1, 1)) == 0
guesses = {
    "a little off": Box(0.33, 0.25, 0.88, 0.95),
    "too large": FULL,
    "too small": Box(0.4, 0.4, 0.7, 0.75),
}
for name, guess in guesses.items():
    print(f"{name:12} IoU = {iou(cut, guess):.2f}")

# %% [markdown]
# **Commit yourself first.** Somebody trims 10 % off each of the four sides. How much of the area is
# left? Think of a number before you run the next cell.

# %%
trimmed = Box(0.1, 0.1, 0.9, 0.9)
print(f"{trimmed.area:.0%} of the area is left, {1 - trimmed.area:.0%} is gone, "
      f"and IoU with the whole is {iou(trimmed, FULL):.2f}")

# %% [markdown]
# ## How much was a picture changed?
#
# **Idea.** Systems 2 to 4 hide something in the picture, and the price is a change of its pixels.
# The usual measure is the *peak signal-to-noise ratio*, from the mean squared error (MSE) and the
# largest value a pixel can have (255, or 1 for floats), in decibels:
#
# $$ \mathrm{PSNR} = 10 \log_{10} \frac{\mathrm{peak}^2}{\mathrm{MSE}} $$
#
# 6 dB more halve the *root* of the MSE (and quarter the MSE). At 40 dB that root is one per cent of
# the range, and most people see no difference. `peak_value(a, b)` gives the peak, and refuses
# pictures that cannot be compared.

# %% quote="course_lib.metrics.psnr" exercise="0.4" minutes=10 difficulty=1
# hint: Convert to float before subtracting: in uint8, 3 − 5 is 254.
# hint: The peak is 255 for uint8 pictures and 1 for float ones: peak_value(a, b) knows.
# hint: Equal pictures have no error: the answer is infinity, without a warning.

# %%
noisy = {level: np.clip(photo + lesson.rng.normal(0, level, photo.shape), 0, 255).round().astype(np.uint8)
         for level in (2, 8, 32)}
crops = [crop(picture, Box(0.3, 0.3, 0.65, 0.65)) for picture in noisy.values()]
titles = [
    f"noise of {level} steps: {psnr(photo, picture):.1f} dB" for level, picture in noisy.items()
]
figure, axes = grid(crops, titles)
show(
    figure,
    photo=True,
    alt="One piece of a photograph with weak, medium and strong noise: 42, 30 and 19 decibels.",
    caption="The same piece at three distances from its original. Fourfold noise costs about 12 dB.",
)

# %% [markdown]
# ## How sure may we be?
#
# **Idea.** "It found the crop in 17 of 20 photographs" is 85 %, but with 20 *other* photographs it
# might have been fourteen or nineteen. The *bootstrap* estimates that spread from the 20 alone:
# draw 20 of them **with replacement**, compute the share, do so two thousand times, and report the
# range that holds the middle 95 % of the answers. Every estimate from a set of photographs in this
# course carries such an interval, and n.

# %% quote="course_lib.metrics.replicates" exercise="0.5" minutes=15 difficulty=2
# hint: rng.integers(0, n, size=n) draws n places with replacement.
# hint: Collect statistic(values[places]) for every round in one array.
# hint: With replacement matters: a permutation has the same mean every time.

# %%
from course_lib.metrics import bootstrap

found = np.array([1] * 17 + [0] * 3)
means = replicates(found, np.mean, rounds=2000, rng=np.random.default_rng(seed))
estimate = bootstrap(found, seed=seed)
show(
    plots.resampled_shares(means, estimate, step=1 / 20),
    alt="A histogram of resampled shares from 0.55 to 1 with its middle 95 per cent shaded.",
    caption="What 17 of 20 is worth: a wide interval.",
)
print(f"share found: {estimate}")
claim("Twenty photographs cannot tell 85 % from 75 %.", estimate.low <= 0.75, str(estimate))

# %% [markdown]
# ## The easy case, and why it is not enough
#
# If you still **have** the original, finding the crop is easy: slide the piece over the picture and
# correlate. This is a baseline to keep in mind: nothing in this course locates a crop better than
# its original does.

# %%
left, top, right, bottom = cut.to_pixels(photo.shape)
gray_photo, gray_piece = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (photo, crop(photo, cut)))
damaged = cv2.imdecode(cv2.imencode(".jpg", gray_piece, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0)
scores = cv2.matchTemplate(gray_photo, damaged, cv2.TM_CCOEFF_NORMED)
_, best, _, (x, y) = cv2.minMaxLoc(scores)
match = Box.from_pixels(x, y, x + damaged.shape[1], y + damaged.shape[0], photo.shape)
print(f"correlation {best:.3f} at ({x}, {y}); IoU with the true frame {iou(match, cut):.3f}")
claim("With the original at hand, a crop is found to the pixel even after JPEG at quality 30.",
      (x, y) == (left, top))

# %% [markdown]
# (IoU is not quite 1, because the true box does not lie on pixel edges and the crop was rounded to
# them.) The interesting cases begin where the original is *not* at hand, the crop was also resized,
# or nobody thought of protecting the picture when it was published.

# %% [markdown]
# ## Your turn to crop
#
# Move the sliders (click one, then use the arrow keys). The sentence under the picture says what
# you did.

# %%
explorer = cropping.explorer(lesson.photos)
explorer.show()

# %% [markdown]
# The same in print, for readers of the static page:

# %%
frames = {"a tenth off each side": {"left": 10, "top": 10, "size": 80},
          "half the width, left": {"left": 0, "top": 25, "size": 50},
          "a quarter of the width": {"left": 40, "top": 40, "size": 25}}
rendered = [explorer.picture(**change) for change in frames.values()]
figure, axes = grid(rendered, list(frames), columns=1, width=6.6)
show(
    figure,
    photo=True,
    alt="Three settings of the explorer: the photograph with a bright frame on a dimmed ground, and the "
    "crop beside it, for a mild, a strong and a very strong crop.",
    caption="Three crops. The second: " + cropping.sentence(frames["half the width, left"]),
)

# %% [markdown]
# ## Running it
#
# From the folder of the course:
#
# ```
# make lab                                   # JupyterLab in your browser (Windows: python bootstrap.py lab)
# make course                                # execute all lessons; executed/index.html shows them
# course run --only 01,03-05                 # some of them
# course run --profile gpu --jobs 2          # on a GPU machine
# course run --only 01 -p seed=7 -p photos=/home/me/pictures
# course run --resume                        # go on after an interruption
# ```
#
# On a GPU machine nothing else is needed: clone, `make course PROFILE=gpu`. Every command explains
# itself: `course run --help`.

# %% [markdown]
# ## Limits, references, next
#
# - IoU says nothing about *which* side was missed, and PSNR little about what people see: both are
#   used because everybody reports them.
# - The bootstrap knows only the photographs it was given. If they are all of cats, it will be sure
#   about cats.
# - PSNR and its relatives: Huynh-Thu and Ghanbari, *Scope of validity of PSNR in image/video
#   quality assessment*, Electronics Letters 44 (2008). The bootstrap: Efron and Tibshirani, *An
#   Introduction to the Bootstrap* (1993).
#
# **Next:** [01 · What a lens does to a picture](01_lens_aberrations.ipynb).
