# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 4 · What happens to published pictures
#
# **What do compression, resizing and filtering leave of a picture?**
#
# *Before you begin:* lesson [00](00_start_here.ipynb), and of lesson [03](03_crop_detection.ipynb)
# its section *After publication*, where JPEG took the lens's traces away. Some PyTorch (tensors,
# gradients). What a Fourier transform does is recalled on the way.
#
# *Afterwards you will be able to*
#
# - say for each of the usual attacks which part of a picture it takes, wave by wave;
# - build JPEG from scratch, on average within one gray level of the real codec;
# - say why nothing can be learned *through* a rounding, and choose among the ways around it;
# - judge a simulated attack by two things that are easily confused: how true its pictures are, and
#   how true its slopes.

# %% [markdown] run_card=true
# *Data used:* the embedded photographs (or your own) and pictures that the course draws itself.
# Nothing is downloaded.

# %% tags=["parameters"]
profile = "auto"  # smoke | cpu | gpu, or auto
seed = 0
photos = ""  # a folder with your own photographs; empty for the embedded ones

# %%
from collections.abc import Callable
from math import ceil

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.attacks.chain import published
from course_lib.attacks.codec import real_jpeg, through_jpeg
from course_lib.errors import UsageError
from course_lib.figures import grid, show
from course_lib.geometry import Box, crop
from course_lib.leaves import dead_leaves
from course_lib.lesson import start
from course_lib.metrics import bootstrap, psnr
from course_lib.plots import lesson_04 as plots
from course_lib.teach.claims import claim

lesson = start("04", profile=profile, seed=seed, photos=photos)

# %% [markdown]
# ## The same picture, and yet not
#
# Here a faint pattern was added to a photograph: waves of many lengths, some 3 gray levels strong.
# (Look at the sky, and you may just see it.) Then the picture was published, much as a messenger
# does it: made smaller and brought back to its size, then stored as a JPEG of quality 60. The upper
# row is what the eye sees. The lower row is what became of the pattern, 20 times enhanced.

# %%
SIDE_PX = 256  # as in the papers of lessons 06 to 08


def square(picture):  # its middle, 256 px wide
    side = min(picture.shape[:2])
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    how = cv2.INTER_AREA if side > SIDE_PX else cv2.INTER_CUBIC
    middle = picture[top:top + side, left:left + side]
    return cv2.resize(middle, (SIDE_PX, SIDE_PX), interpolation=how)


def luma(picture):
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(float)


pictures = [square(one) for one in lesson.pictures(lesson.pick(smoke=2, cpu=12, gpu=24))]
print(len(pictures), "photographs of 256 × 256 px")

# %%
from course_lib.attacks.spectra import BANDS, added, faint_pattern

photo = pictures[0]
waves = sum(faint_pattern(photo.shape, band, np.random.default_rng(seed), strength=1.5)
            for band in BANDS)
marked = added(photo, waves)
way = "resize75,jpeg60"
after, without = published(marked, way), published(photo, way)
became = luma(after) - luma(without)
show(
    grid([marked, after, plots.enhanced(waves), plots.enhanced(became)],
         ["with the pattern", "after publication", "the pattern, × 20", "what became of it, × 20"],
         columns=2, width=6.4)[0],
    photo=True,
    alt="A photograph before and after publication, the second a little softer; below, a pattern "
    "of fine grain on coarse blotches, and what became of it: flat blocks where the photograph is "
    "smooth, hard stripes and checks where it is rough.",
    caption="To the eye little happened; the picture is somewhat softer. To the pattern much did. "
    "In the sky its grain is gone, and flat blocks follow the coarse blotches. In the leaves there "
    "is fine structure, but of another pattern than ours.",
)
print(f"published against the marked picture: {psnr(marked, after):.1f} dB")

# %% [markdown]
# The systems of lessons 06 to 11 hide something in a picture and want it back. What comes between
# is called an *attack*, although most attackers mean no harm: they send a holiday picture to a
# friend. This lesson takes attacks apart, one by one, and then turns them into layers that a
# network can be trained through.

# %% [markdown]
# ## 1 · A picture is made of waves
#
# **Idea.** Every picture is a sum of waves, each with a length, a direction, a phase, and a
# strength. The Fourier transform finds them. What attacks do depends mostly on the *length*, so we
# forget the direction, and average the **power** (the strength squared) over all of them. Instead
# of the length we say the **frequency**, cycles per pixel: 1/64 is a wave of 64 pixels, and 1/2,
# pixels that alternate, is the finest that a row of pixels can hold. (Slanted waves can be a little
# finer. We leave them out.)
#
# The border of a picture would look like an edge, for the transform believes that the picture goes
# on at the left where it ends at the right. So the picture $x$ is faded out towards its borders by
# a *window* $w$, after its mean $\bar x$ was taken off. With $F$ for the transform and $R_k$ for
# the $|R_k|$ frequencies $f$ that lie in the $k$-th ring, of 64 rings from 0 to 1/2,
#
# $$ P_k = \frac{1}{|R_k|} \sum_{f \in R_k}
#    \frac{\left| F\{w \cdot (x - \bar x)\}(f) \right|^2}{\sum w^2} $$

# %%
from course_lib.attacks.spectra import STRENGTH, Band, words

# %% quote="course_lib.attacks.spectra.frequencies"

# %% quote="course_lib.attacks.spectra.radial_power" exercise="4.1" minutes=15 difficulty=2
# hint: np.outer of two np.hanning makes the window. Take the mean off before it is laid on.
# hint: ring = floor(frequency · 2 · rings). Leave out what has ring ≥ rings.
# hint: np.bincount(ring, power, rings) adds up powers by ring, and without weights it counts.

# %% [markdown]
# *Invariants.* White noise of variance $v$ has the power $v$ in every ring. A single wave stands
# out at its own frequency (a little smeared, by the window).

# %%
noise = lesson.rng.normal(0, 3, (256, 256))
_, flat = radial_power(noise)
assert abs(flat.mean() - 9) < 0.5 and flat[4:].std() < 2
wave = np.cos(2 * np.pi * 0.2 * np.arange(256))[None] * np.ones((256, 1))
where, power = radial_power(wave)
print(f"white noise of variance 9: {flat.mean():.2f}; a wave of frequency 0.2: "
      f"strongest at {where[power.argmax()]:.3f}")
assert abs(where[power.argmax()] - 0.2) < 0.01

# %%
kinds = {"photographs": pictures, "dead leaves": [dead_leaves((256, 256), i) for i in range(4)]}
curves = {name: [radial_power(luma(one)) for one in several] for name, several in kinds.items()}
mean = {name: (several[0][0], np.mean([power for _, power in several], axis=0))
        for name, several in curves.items()}
show(
    plots.spectra(mean),
    alt="Two lines on logarithmic axes, photographs and dead leaves, fall from ten million to a "
    "hundred and nearly coincide at the fine end; a dotted line of slope minus two falls less.",
    caption="Both axes in powers of ten. At first power falls as the square of the frequency, then "
    "faster. The dead leaves of lesson 01, which the course draws itself, follow photographs well.",
)

# %% [markdown]
# This curve explains much of what follows. Natural pictures are mostly coarse. Their fine waves are
# weak, and we hardly see them, so compression saves there first. And it is why one would like to
# *hide* there: at the fine end the picture itself disturbs least. What is hidden in fine waves is
# easy to read and easy to lose; in coarse waves it is safe and drowned by the picture. Every
# watermark is a compromise between these two.

# %% [markdown]
# ## 2 · A faint pattern as a probe
#
# To see what an attack takes, we add a pattern that has waves of one *band* only, attack, and look
# for it. Our bands are five octaves, each half as long as the one before: waves of 64 to 32 pixels,
# and so on down to 4 to 2. A pattern is white noise with all other frequencies taken out, and 2
# gray levels strong (root mean square).

# %% quote="course_lib.attacks.spectra.in_band"

# %% quote="course_lib.attacks.spectra.faint_pattern"

# %%
probes = [faint_pattern(photo.shape, band, np.random.default_rng(7)) for band in BANDS]
shown = [photo, *(plots.enhanced(probe) for probe in probes)]
show(
    grid(shown, ["a photograph", *(words(band) for band in BANDS)], columns=3, width=6.8)[0],
    photo=True,
    alt="A photograph, and five patterns of blotches, each half as large as those before.",
    caption="The five probes, 20 times enhanced: waves of 64 pixels to waves of 2.",
)
for probe, band in zip(probes, BANDS):
    print(f"{words(band):9} {psnr(photo, added(photo, probe)):.1f} dB against the photograph")

# %% [markdown]
# **Idea.** Attack the picture with the probe, attack it without, and subtract: that is what became
# of the probe $p$. (For attacks that draw noise, both get the same noise.) How much of $p$ is in
# this difference $d$? The factor $a$ for which $a\,p$ comes nearest to $d$ minimises
# $\sum (d - a\,p)^2$, so
#
# $$ a = \frac{\sum d\,p}{\sum p^2} $$

# %% quote="course_lib.attacks.spectra.kept" exercise="4.2" minutes=5 difficulty=1
# hint: The difference is marked − plain. Pictures may be uint8: subtract floats.
# hint: Set the derivative of Σ (d − a p)² with respect to a to zero.

# %% [markdown]
# *Invariants.* Nothing done, all is left. Half the contrast, half is left. Another pattern of the
# same band is not this one.

# %%
probe, other = probes[2], faint_pattern(photo.shape, BANDS[2], np.random.default_rng(8))
gray = luma(photo)
assert np.isclose(kept(gray, gray + probe, probe), 1)
assert np.isclose(kept(gray / 2, (gray + probe) / 2, probe), 0.5)
stranger = kept(gray, gray + other, probe)
assert abs(stranger) < 0.15
print(f"a pattern that was never there: {stranger:+.3f}")

# %% [markdown]
# Amplitude is one thing; whether it can be *found* is another. Noise takes nothing of the pattern,
# it only lays something over it. So we measure a second number, the **clarity**: the correlation of
# the pattern with all that changed in its band, for somebody who knows the original picture. With
# $e$ for the published picture minus the *untouched* one, filtered to the band,
#
# $$ c = \frac{\sum e\,p}{\sqrt{\sum e^2 \sum p^2}} $$
#
# What the attack does to the picture itself is in $e$, too, and counts as disturbance. (Somebody
# who does not know the original has the picture against him as well.)

# %% quote="course_lib.attacks.spectra.clarity"

# %% [markdown]
# ## 3 · Attacks that leave every pixel in its place
#
# All of them take pictures (n, channels, height, width) in [0, 1] and return the same. Two rules
# hold throughout: **clip to [0, 1] after every attack**, for a file cannot hold more, and a chain
# of attacks whose values run away makes gradients that explode; and **pass a gradient**, for a
# network will be trained through them.
#
# ### Rescaling
#
# Make it smaller and bring it back. With a factor $s$ the pixels in between lie $1/s$ apart and can
# hold no wave beyond the frequency $s/2$. What was finer is lost, or worse: it comes back as a
# coarse wave that never was, an *alias*. Well-behaved resizing averages before it throws pixels
# away (`antialias`), and so keeps aliases faint.

# %% quote="course_lib.attacks.filters.resized"

# %% quote="course_lib.attacks.filters.rescaled"

# %% [markdown]
# ### Blur
#
# A Gaussian of $\sigma$ pixels multiplies a wave of frequency $f$ by $e^{-2\pi^2\sigma^2 f^2}$.
# Along each axis it is a matrix, and two matrix products blur a whole batch.
#
# A **median** takes the middle value of each neighbourhood. It is no filter in the sense of waves:
# it depends on what else is in the picture, spares edges, and eats fine grain. (Its gradient goes
# to the pixel that was the median.)

# %%
from course_lib.attacks.filters import blur_matrix, median_blur

# %% quote="course_lib.attacks.filters.gaussian_blur"

# %% [markdown]
# *Invariant.* Each row of the matrix is an average: it adds up to one. And the formula holds, as a
# figure shows below.

# %%
assert torch.allclose(blur_matrix(1.5, 40).sum(dim=1), torch.ones(40, dtype=torch.float64))

# %% [markdown]
# ### Noise, dropout, light, and 8 bits
#
# Noise is added, another number in each pixel and channel. Dropout turns single pixels black.
# Contrast stretches or squeezes values about middle gray, brightness shifts them.

# %% quote="course_lib.attacks.filters.gaussian_noise"

# %% quote="course_lib.attacks.filters.dropout"

# %% quote="course_lib.attacks.filters.contrast"

# %% quote="course_lib.attacks.filters.brightness"

# %% [markdown]
# The mildest attack of all is a file without any compression: values become whole 255ths. A pattern
# weaker than half a level could vanish there, if the picture were flat. Rounding has no slope to
# learn from; the last line below adds *what rounding did* as a constant (`detach`), so that
# gradients pass as if nothing had happened. Section 5 comes back to this trick. What was clipped
# passes none.

# %% quote="course_lib.attacks.filters.quantized"

# %%
faint = torch.linspace(0, 1, 5, requires_grad=True)
quantized(faint + 0.001).sum().backward()
print("slopes:", faint.grad.tolist(), "(the last value, 1.001, was clipped)")

# %% [markdown]
# ### Which share is left, wave by wave
#
# `published` does to real pictures what the layers above do to tensors, with OpenCV and real files.
# Attacks have short names in this course, a kind and a strength: `jpeg50` (quality), `resize75` (to
# 75 % and back), `median3` and `blur1` (side and $\sigma$, pixels), `noise5` and `brightness+20`
# (gray levels of 255), `dropout10` (% of the pixels) and `contrast80` (%).
#
# With these we measure the share that is left in sixteen narrow rings of frequency.

# %%
RINGS = [(k / 32, (k + 1) / 32) for k in range(16)]


def left_of(picture, band, attack, rng):  # the share, and the clarity
    probe = faint_pattern(picture.shape, band, rng)
    plain, marked = (luma(published(one, attack, seed))
                     for one in (picture, added(picture, probe)))
    return kept(plain, marked, probe), clarity(luma(picture), marked, probe, band)


few = pictures[:lesson.pick(smoke=1, cpu=4, gpu=12)]
middles = np.array([(low + high) / 2 for low, high in RINGS])
lines = {attack: (middles, [np.mean([left_of(one, ring, attack, lesson.rng)[0] for one in few])
                            for ring in RINGS])
         for attack in ("blur1", "resize50", "median3", "jpeg50")}

# %%
fine = np.linspace(0, 0.5, 101)
formula = {"blur1": (fine, np.exp(-2 * np.pi**2 * fine**2))}
show(
    plots.transfer(lines, formula),
    alt="Four falling curves of the share that is left against frequency. The marks of the "
    "Gaussian blur lie on its formula; JPEG stays near 0.9 up to a sixth, then falls with a tail; "
    "the median ends a little below zero.",
    caption="Share of a pattern left, against its frequency. Line: the formula of the Gaussian.",
)
off = np.abs(lines["blur1"][1] - np.exp(-2 * np.pi**2 * middles**2)).max()
claim("A Gaussian blur does what its formula says.", off < 0.06, f"largest difference {off:.3f}")

# %% [markdown]
# The median even turns the finest waves round: where the pattern was light, it is dark, if only
# faintly. And of waves beyond 1/4 rescaling to 50 % should leave nothing at all. What the curve
# shows there are ghosts: their aliases, drawn with straight lines between pixels, have kinks, and
# kinks are fine again.
#
# Blur and rescaling do the same everywhere, in every picture. JPEG does not: where its curve says
# 0.3, it did not weaken a wave to three tenths all over. To see it, we sort the blocks of 8 × 8
# pixels by how rough the photograph is there, in the pattern's own band, and measure the share in
# each quarter of them.

# %%
def blocks_of(plane):  # (1024, 64): squares of 8 × 8 pixels
    cells = plane.reshape(SIDE_PX // 8, 8, SIDE_PX // 8, 8)
    return cells.swapaxes(1, 2).reshape(-1, 64)


def by_roughness(picture, attack, band):  # the share in four quarters, smoothest first
    probe = faint_pattern(picture.shape, band, np.random.default_rng(9))
    grays = [luma(published(one, attack)) for one in (picture, added(picture, probe))]
    plain, marked, pattern = (blocks_of(one) for one in (*grays, probe))
    roughness = blocks_of(in_band(luma(picture), band)).std(axis=1)
    return [kept(plain[quarter], marked[quarter], pattern[quarter])
            for quarter in np.array_split(roughness.argsort(), 4)]


quarters = {attack: np.mean([by_roughness(one, attack, BANDS[-1]) for one in few], axis=0)
            for attack in ("blur1", "jpeg50")}
for attack, four in quarters.items():
    print(f"{attack:7} smooth  " + "  ".join(f"{one:.2f}" for one in four) + "  rough")
claim("JPEG takes fine waves from smooth blocks first; a blur makes no difference.",
      quarters["jpeg50"][3] > quarters["jpeg50"][0] + 0.1
      and np.ptp(quarters["blur1"]) < np.ptp(quarters["jpeg50"]) / 2)

# %% [markdown]
# In smooth blocks next to nothing is left, in rough ones much more. That is what the stripes in the
# lesson's first figure were. Section 4 shows why.
#
# ### The whole table
#
# Now all attacks, five octaves, all photographs.

# %%
ATTACKS = lesson.pick(
    smoke=("none", "jpeg50", "blur1", "noise5"),
    cpu=("none", "jpeg90", "jpeg70", "jpeg50", "jpeg30", "resize75", "resize50", "median3",
         "median5", "blur1", "blur2", "noise5", "noise10", "dropout10", "contrast80",
         "brightness+20"),
    gpu=("none", "jpeg90", "jpeg70", "jpeg50", "jpeg30", "jpeg10", "resize75", "resize50",
         "median3", "median5", "blur1", "blur2", "noise5", "noise10", "dropout10", "contrast80",
         "contrast120", "brightness+20", "brightness-20"))
measured = {attack: [[left_of(one, band, attack, lesson.rng) for one in pictures]
                     for band in BANDS] for attack in ATTACKS}

# %%
def estimates(which):  # 0: share left; 1: clarity; over photographs
    return {attack: [bootstrap([pair[which] for pair in one]) for one in by_band]
            for attack, by_band in measured.items()}


shares, clarities = estimates(0), estimates(1)
show(
    plots.what_is_left({"share of amplitude left": shares, "clarity": clarities}, BANDS),
    alt="Two tables of numbers between 0 and 1, attacks down and wave lengths across. Shares fall "
    "to the right for JPEG, rescaling and blur; noise keeps its shares near 1 and loses clarity.",
    caption="What each attack leaves of a pattern of 2 gray levels, mean over photographs. Left, "
    "amplitude; right, correlation with all that changed in the band.",
)

# %%
fine, coarse = len(BANDS) - 1, 0
for attack in ATTACKS:
    print(f"{attack:14} coarse {shares[attack][coarse]:.2f}   fine {shares[attack][fine]:.2f}")
claim("JPEG and blur take fine waves and leave coarse ones.",
      all(shares[attack][fine].value < 0.5 < shares[attack][coarse].value
          for attack in ("jpeg50", "blur1")))
claim("Noise takes next to nothing of the amplitude; it takes clarity, from fine waves most.",
      shares["noise5"][fine].value > 0.85
      and clarities["noise5"][fine].value < clarities["noise5"][coarse].value - 0.1)

# %% [markdown]
# Read it by rows. **JPEG** is gentle down to waves of 8 pixels, the size of its blocks; of the
# finest octave it takes most from quality 70 on. **Rescaling, blur, median** fall smoothly; in the
# middle a median of 5 pixels is worse than a JPEG of quality 30. **Noise** leaves the pattern whole
# and buries it. **Dropout** takes a tenth of the amplitude, as it should, but its black pixels are
# a terrible noise, until somebody who sees them fills them in. **Contrast** multiplies pattern and
# picture alike: low clarity here only says that the receiver should undo it first. And **none** is
# not quite 1, for values are whole numbers and some were clipped.
#
# By columns: who hides in waves of 16 pixels and longer has little to fear from any of these but a
# wide blur and black pixels. If only the picture itself were not strongest just there (section 1).

# %% [markdown]
# ## 4 · JPEG from scratch
#
# One attack happens to nearly every published picture, so we build it. JPEG is six small steps
# (colour, subsampling, blocks, cosines, rounding to steps, and the order on file), and only one of
# them loses much.
#
# ### Colour
#
# Eyes see fine detail in brightness, hardly in colour. So three colours become one brightness $Y$
# (*luma*) and two differences, $C_b$ and $C_r$ (*chroma*), 128 for grays:
#
# $$ Y = 0.299 R + 0.587 G + 0.114 B, \quad C_b = 128 + \frac{B - Y}{1.772}, \quad
#    C_r = 128 + \frac{R - Y}{1.402} $$

# %%
from course_lib.attacks.jpeg import CHROMA, GRAY, LUMA, SIDE, TO_YCBCR, Change, Subsampling

# %% quote="course_lib.attacks.jpeg.to_ycbcr"

# %% quote="course_lib.attacks.jpeg.to_rgb"

# %%
def batch(several):
    stacked = np.stack(several).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(stacked)).float() / 255


colours = 255 * batch([photo])
ycc = to_ycbcr(colours)
assert torch.allclose(to_rgb(ycc), colours, atol=1e-3)
planes = [ycc[0, k].numpy() for k in range(3)]
show(
    grid([photo / 255, *planes], ["the picture", "luma Y", "chroma Cb", "chroma Cr"],
         columns=4, cmap="gray", vmin=0, vmax=255)[0],
    photo=True,
    alt="A photograph, its luma as a gray picture full of detail, and two flat gray pictures of "
    "chroma.",
    caption="Nearly all detail is in luma.",
)
for name, plane in zip(("Y", "Cb", "Cr"), planes):
    print(f"{name:2} standard deviation {plane.std():5.1f}")

# %% [markdown]
# ### Subsampling
#
# What is hardly seen need not be stored: most files keep chroma at half the resolution (*4:2:0*),
# one value for 2 × 2 pixels. Decoders bring it back with a small triangle filter, which is straight
# lines between pixels again. `4:4:4` keeps all.

# %% quote="course_lib.attacks.jpeg.halved"

# %% quote="course_lib.attacks.jpeg.doubled"

# %%
for name, plane in zip(("Y", "Cb", "Cr"), ycc[0]):
    back = doubled(halved(plane[None, None]))[0, 0]
    print(f"{name:2} halved and doubled is off by "
          f"{float((back - plane).abs().mean()):.2f} gray levels")

# %% [markdown]
# ### Blocks
#
# Each plane is cut into blocks of 8 × 8 pixels. (In halved planes, a block is 16 × 16 pixels of the
# picture.) From here on every block is alone. This is why JPEG's errors have the shape of blocks,
# and why a crop that begins anywhere but at a multiple of 8 gets a *new* grid, when it is stored,
# across the old one.

# %% quote="course_lib.attacks.jpeg.to_blocks"

# %% quote="course_lib.attacks.jpeg.from_blocks"

# %%
some = torch.rand(2, 3, 16, 24)
assert torch.equal(from_blocks(to_blocks(some), some.shape), some)
print(tuple(some.shape), "→", tuple(to_blocks(some).shape))

# %% [markdown]
# ### Cosines
#
# A block is a sum of 64 waves, too. The **discrete cosine transform** uses cosines with
# $k = 0 \dots 7$ half periods across the block, which need no window: cosines continue at a border
# as in a mirror. Along one axis it is a matrix,
#
# $$ D_{kx} = c_k \cos\!\left(\frac{\pi}{n}\, k \left(x + \tfrac12\right)\right), \qquad
#    c_0 = \sqrt{1/n},\quad c_k = \sqrt{2/n}, $$
#
# and a block $B$ has the coefficients $D B D^\top$. $D$ is *orthogonal*, a rotation: it loses
# nothing, keeps every distance, and its transpose undoes it.

# %% quote="course_lib.attacks.jpeg.dct_matrix" exercise="4.3" minutes=10 difficulty=2
# hint: k is a column of n numbers and x a row of n places in the middle of pixels: (x + ½).
# hint: All rows get √(2/n), and the first one is divided by √2 once more.
# hint: Use float64: torch.arange(n, dtype=torch.float64).

# %%
D = dct_matrix()
assert torch.allclose(D @ D.T, torch.eye(8, dtype=torch.float64))
waves_64 = torch.einsum("vy,ux->vuyx", D, D)
show(
    plots.basis(waves_64.numpy()),
    alt="Eight by eight small tiles of stripes and checks; coarse at the upper left, fine at the "
    "lower right.",
    caption="The 64 pictures that every block is mixed of.",
)

# %% [markdown]
# In the code a block of 64 pixels is transformed by *one* product with a 64 × 64 matrix, the
# Kronecker product $D \otimes D$. All blocks of all pictures are then a single matrix product,
# which is what processors do best.

# %%
from course_lib.attacks.jpeg import both_ways

one = torch.randn(8, 8, dtype=torch.float64)
assert torch.allclose(both_ways() @ one.flatten(), (D @ one @ D.T).flatten())
assert torch.isclose((D @ one @ D.T).square().sum(), one.square().sum())  # lengths are kept

# %% [markdown]
# ### Steps
#
# Here is where it loses. Every coefficient is divided by its own **step** and rounded. The steps
# come from a table, one for luma and one for chroma, larger for fine waves. The *quality* scales
# the table: with $q$ from 1 to 100
#
# $$ s = \begin{cases} \lfloor 5000 / q \rfloor & q < 50 \\ 200 - 2q & q \ge 50 \end{cases}
#    \qquad T_q = \operatorname{clip}\!\left(\left\lfloor \frac{s\,T + 50}{100} \right\rfloor,
#    1, 255\right) $$
#
# So 50 is the table of the standard itself, 100 has all steps 1, and qualities are no percentages
# of anything.

# %% quote="course_lib.attacks.jpeg.quantization_table" exercise="4.4" minutes=10 difficulty=2
# hint: The percentage s first. torch.where(q < 50, …, …) works for one quality and for many.
# hint: percent[..., None, None] puts two axes behind those of the qualities.
# hint: Add 50, divide by 100, round down, and clip to 1 … 255, in this order. Refuse qualities
#   outside 1 to 100 with UsageError.

# %% [markdown]
# *Invariant.* The table that a real file carries is this one.

# %%
import io

from PIL import Image

for q in (10, 50, 75, 95):
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=q)
    stored = Image.open(file).quantization
    assert quantization_table(q).flatten().tolist() == stored[0]
    assert quantization_table(q, CHROMA).flatten().tolist() == stored[1]
    print(f"quality {q:2}: {len(file.getvalue()):6,} bytes; finest step of luma {stored[0][63]}")

# %% [markdown]
# ### The way through a block
#
# Fine coefficients are mostly zero after rounding. Files store a block along a **zigzag** from
# coarse to fine, so that zeros come in one long run at the end, which takes almost no room. (What
# comes then, Huffman codes, loses nothing, and we leave it out. A real decoder sees exactly what we
# rounded.)

# %% quote="course_lib.attacks.jpeg.zigzag" exercise="4.5" minutes=15 difficulty=3
# hint: All cells on a diagonal have the same row + column. Sort the cells by that first.
# hint: On odd diagonals (row + column odd) the row grows along the way; on even ones the column.
# hint: sorted(cells, key=lambda c: (diagonal, row or column)); then number the cells.

# %%
order = zigzag()
assert sorted(order.flatten()) == list(range(64))
assert (order + order[::-1, ::-1] == 63).all()  # the way back from the other end is the same
show(
    plots.zigzag_path(order, LUMA.numpy()),
    alt="A grid of 8 by 8 cells with a line that zigzags from the upper left to the lower right "
    "corner, numbered 0 to 63; cells darken towards the lower right.",
    caption="The order in which a block is stored, on the steps of the standard's table for luma.",
)

# %% [markdown]
# ### One block, step by step
#
# Let us watch a block with something in it, at quality 50.

# %%
blocks = to_blocks(ycc[:, :1] - 128)[0].double()
contrast_of = blocks.std(dim=(1, 2))
block = blocks[contrast_of.argsort()[-len(contrast_of) // 8]]  # rougher than seven in eight
coefficients, steps = D @ block @ D.T, quantization_table(50)
stored = torch.round(coefficients / steps)
back = D.T @ (stored * steps) @ D
show(
    plots.block({"pixels − 128": block.numpy(), "coefficients": coefficients.numpy(),
                 "divided by the steps and rounded": stored.numpy(),
                 "pixels that come back, − 128": back.numpy()}),
    alt="Four tables of 8 by 8 numbers: pixels, coefficients that are large at the upper left, "
    "rounded ones that are mostly zero, and pixels close to the first table.",
    caption="One block at quality 50. Only what is in the third table goes into the file.",
)
inside = order[stored.numpy() != 0]
print(f"{(stored == 0).sum()} of 64 are zero; the last one that is not is number {inside.max()}; "
      f"pixels are off by {float((back - block).abs().mean()):.1f} on average")
worst = (coefficients - stored * steps).abs() / steps
claim("No coefficient moves by more than half its step.", worst.max() <= 0.5 + 1e-9)

# %% [markdown]
# This is what happened to the faint pattern of section 2. Two gray levels in the band of the finest
# waves are two or three units in each of some forty coefficients, whose steps are mostly ten to
# forty times as large. In a smooth block they all round to zero. In a rough block, where the
# picture itself has put a coefficient near the middle between two steps, the pattern may tip it
# over, and then it counts for a whole step. On average over many blocks a share survives; in any
# one coefficient it is all or nothing.
#
# ### All of it
#
# Codecs have whole numbers at three places: luma and chroma when they come in, again when they come
# out, and colours at the very end. The first two are here (`stored`); the last is what `quantized`
# is for. *What happens to coefficients* is left open, because we will want to do other things there
# than rounding.

# %%
from course_lib.attacks.jpeg import hard, is_halved, padded, straight_through

# %% quote="course_lib.attacks.jpeg.by_blocks"

# %% quote="course_lib.attacks.jpeg.changed"

# %% quote="course_lib.attacks.jpeg.jpeg"

# %% [markdown]
# *Invariant.* It is JPEG: on the same pictures the real codec comes out within a gray level, on
# average. (A quarter of a level would remain if all else were exact: the real one's colours are
# rounded, ours not yet.)

# %%
x = batch(pictures)


def decibels(seen, truth):  # one number a picture
    return (-10 * (seen - truth).square().mean(dim=(1, 2, 3)).clamp(min=1e-12).log10()).numpy()


for q in (95, 70, 30):
    for subsampling in ("4:2:0", "4:4:4"):
        real = real_jpeg(x, q, halved=subsampling == "4:2:0")
        ours = jpeg(x, q, subsampling)
        mean_off = 255 * float((ours - real).abs().mean())
        print(f"quality {q}, {subsampling}: off by {mean_off:.2f} gray levels, "
              f"{bootstrap(decibels(ours, real)):.1f} dB; the picture itself "
              f"{decibels(x, real).mean():.1f} dB")
        assert mean_off < 0.8

# %%
detail = np.s_[72:168, 72:168]
views = {f"quality {q}": jpeg(x[:1], q)[0].permute(1, 2, 0).numpy()[detail]
         for q in (90, 50, 20, 5)}
show(
    grid(list(views.values()), list(views), columns=4)[0],
    photo=True,
    alt="The same detail of a photograph at four qualities: nearly alike at 90 and 50, with blocks "
    "and halos at 20, and little more than blocks at 5, most of them without their colour.",
    caption="Our JPEG, a detail of 96 × 96 px. At 90 and 50 the eye is content; the table of "
    "section 3 is not.",
)

# %% [markdown]
# ## 5 · Rounding has no slope
#
# A network learns by slopes (gradients): how would the loss change if this weight, or this pixel,
# changed a little? Through a rounding the answer is: **not at all**. Whatever is changed a little
# rounds to the same number. The slope is 0 almost everywhere, and where it is not, it does not
# exist. There are three ways around, and all of them lie a little.
#
# **Straight through.** Round, and *pretend* that the slope is 1. Values are true, slopes are made
# up.
#
# **Softly** (JPEG-SS). Round, but leave the cube of what is left over:
# $\lfloor x \rceil + (x - \lfloor x \rceil)^3$. Its slope, $3\,(x - \lfloor x \rceil)^2$, is 0 at
# whole numbers and 3/4 halfway between them. Values are a little off, by 1/8 at most. (And halfway
# it still jumps, which no slope says.)
#
# **By a series** (CLR-Net, lesson 08). What rounding takes away is a sawtooth, and the first nine
# terms of its Fourier series are smooth:
#
# $$ \mathrm{round}(x) \approx x - \sum_{k=1}^{9} \frac{(-1)^{k+1}}{\pi k} \sin(2 \pi k x) $$

# %% quote="course_lib.attacks.jpeg.straight_through"

# %% quote="course_lib.attacks.jpeg.soft" exercise="4.6" minutes=10 difficulty=2
# hint: torch.round gives the nearest whole number; what is left over is x minus that.
# hint: The whole number itself must not pass any slope: .detach() it.

# %% quote="course_lib.attacks.jpeg.fourier"

# %%
def with_slope(rounding):
    at = torch.linspace(-1.6, 1.6, 1281, dtype=torch.float64, requires_grad=True)
    value = rounding(at)
    slope = torch.autograd.grad(value.sum(), at)[0]
    return at.detach().numpy(), value.detach().numpy(), slope.numpy()


ways = {"hard": hard, "straight through": straight_through, "soft": soft, "nine terms": fourier}
show(
    plots.roundings({name: with_slope(rounding) for name, rounding in ways.items()}),
    alt="Four staircases, the third with bent steps and the fourth rippled, and below their "
    "slopes: zero, one, a row of bowls between 0 and 3/4, and a row of tall peaks.",
    caption="Above, values (dotted: no rounding). Below, slopes as gradients see them; the series "
    "peaks at 19.",
)

# %% [markdown]
# *Invariants.* Hard rounding passes exactly nothing. Where a rounding is smooth, its slope is the
# one that a tiny step finds.

# %%
given = x[:1].clone().requires_grad_()
jpeg(given, 50, rounding=hard).sum().backward()
print("largest slope through hard rounding:", float(given.grad.abs().max()))
assert given.grad.abs().max() == 0
at = torch.tensor([0.2, 0.31, 0.7, 1.4], dtype=torch.float64, requires_grad=True)
assert torch.autograd.gradcheck(fourier, at) and torch.autograd.gradcheck(soft, at)

# %% [markdown]
# ## 6 · Stand-ins for JPEG
#
# Systems that hide things have used these stand-ins in training:
#
# - **JPEG-SS**: all steps as above, soft rounding.
# - **JPEG-Mask** (HiDDeN): no rounding. Keep 25 coefficients of luma and 9 of chroma, a corner of
#   5 × 5 and one of 3 × 3, and drop the rest. The reasoning: fine waves are lost anyway.
# - **MBRS**: for every batch draw one of three, a *real file*, JPEG-Mask, or nothing at all.
# - **JPEG-Mixup** (RWN, the paper of lesson 06): $k = 3$ times draw one of these three simulators,
#   $J_l$, and a quality $Q_l$ from 10 to 100; then mix what they make of the marked picture $I_M$
#   with random shares $\lambda_l$ (the paper's equation 4):
#
# $$ I_{jpg} = \sum_{l=1}^{k} \lambda_l\, J_l(I_M, Q_l), \qquad \sum_l \lambda_l = 1 $$
#
# The idea of the last: a network cannot get used to one fixed way of compression. The paper does
# not say how shares are drawn. Here they are $-\log$ of uniform numbers, divided by their sum,
# which makes all mixtures equally likely.

# %%
from course_lib.attacks.simulators import KEPT_CHROMA, KEPT_LUMA, LIMIT, SIMULATORS

# %% quote="course_lib.attacks.simulators.jpeg_ss"

# %% quote="course_lib.attacks.simulators.jpeg_mask"

# %% quote="course_lib.attacks.simulators.mbrs"

# %% quote="course_lib.attacks.simulators.jpeg_mixup"

# %% [markdown]
# *Invariant.* Shares add up to one: middle gray, whose coefficients are all zero, comes back as it
# was, whatever was drawn.

# %%
dice = torch.Generator().manual_seed(seed)
flat_gray = torch.full((4, 3, 32, 32), 128 / 255)
assert torch.allclose(jpeg_mixup(flat_gray, dice), flat_gray, atol=1e-5)

# %% [markdown]
# And the real codec itself can be put into a network: forward a real file, backward straight
# through. It needs no simulation and costs next to nothing.

# %% quote="course_lib.attacks.codec.real_jpeg"

# %% [markdown]
# ### How true are their pictures?
#
# PSNR of each stand-in against a real file of the same quality. (For comparison: how near the
# *untouched* picture is. A stand-in that is not above this line does something, but not JPEG. MBRS
# is missing, for it is one of three rows of this table at a time.)

# %%
STAND_INS = {
    "real file": real_jpeg,
    "hard or straight through": jpeg,
    "JPEG-SS": jpeg_ss,
    "nine terms": lambda x, q: jpeg(x, q, rounding=fourier),
    "JPEG-Mask, 5×5 and 3×3": lambda x, q: jpeg_mask(x),
    "JPEG-Mask, by quality": jpeg_mask,
    "JPEG-Mixup, that quality": lambda x, q: jpeg_mixup(x, dice, qualities=(q, q)),
    "nothing": lambda x, q: x,
}
QS = (90, 70, 50, 30)


def nearness(name, q):  # dB for each photograph; of what is random, the mean of six draws
    real, draws = real_jpeg(x, q), 6 if "Mixup" in name else 1
    return np.mean([decibels(STAND_INS[name](x, q), real) for _ in range(draws)], axis=0)


fidelity = {name: [bootstrap(nearness(name, q)) for q in QS] for name in STAND_INS}
print(f"{'dB, over':10}{len(x)} photographs{'':5}" + "".join(f"quality {q}".ljust(20) for q in QS))
for name, row in fidelity.items():
    cells = ["exact" if one.value > 110 else f"{one:.1f}".partition(" (")[0] for one in row]
    print(name.ljust(28) + "".join(cell.ljust(20) for cell in cells))

if lesson.profile.name != "smoke":
    near, mask, none = (fidelity[name] for name in
                        ("JPEG-SS", "JPEG-Mask, 5×5 and 3×3", "nothing"))
    claim("JPEG-SS makes nearly real files; JPEG-Mask is about as far from them as doing nothing.",
          all(one.low > 40 for one in near)
          and all(one.value < other.value + 4 for one, other in zip(mask, none)))

# %% [markdown]
# *Kornia*, a library of image operations with gradients, has a JPEG layer as well. The course needs
# Kornia for its own tests only, so this was measured once.

# %%
once = {"Kornia 0.9": (44.2, 42.4, 41.9, 40.4), "this course": (49.6, 49.0, 49.1, 47.9)}
print("dB, seven embedded photographs".ljust(32) + "".join(f"quality {q}".ljust(14) for q in QS))
for name, row in once.items():
    print(name.ljust(32) + "".join(f"{value:<14}" for value in row))

# %% [markdown]
# By this measure a straight-through real file cannot be beaten, and it is cheap:

# %%
import time


def milliseconds(stand_in):  # there and back, the best of three
    took = []
    for _ in range(3):
        given = x[:4].clone().requires_grad_()
        begin = time.perf_counter()
        stand_in(given, 70).sum().backward()
        took.append(1000 * (time.perf_counter() - begin))
    return min(took)


for name in ("real file", "hard or straight through", "JPEG-SS", "JPEG-Mixup, that quality"):
    print(f"{name:28} {milliseconds(STAND_INS[name]):5.0f} ms for {len(x[:4])} pictures")

# %% [markdown]
# ### How true are their slopes?
#
# What counts in training is not only what comes out but which *slopes* go back. So here is the
# smallest system that hides something: **one bit in every block of 8 × 8 pixels**. The hider has 64
# numbers $g_k$: how strongly to use each of the 64 waves $B_k$ of section 4. The block gets
# $\sum_k g_k B_k$ for a 1 and $-\sum_k g_k B_k$ for a 0, with the total fixed at 3 gray levels. The
# reader has 64 numbers $v_k$ and no original: it transforms the block into its coefficients $c_k$
# and takes the sign of $\sum_k v_k c_k$. Both are trained together, with an attack between them, as
# in the systems that follow. Their loss is the cross-entropy of the bits: $\ln 2 = 0.69$ for a
# reader that tosses a coin, 0 for one that is right and sure.
#
# Without any attack both should go to the finest waves, where the picture disturbs least. JPEG is
# what should teach the hider to stay away from there.
#
# *Predict before you go on:* of all that you have seen here, which would you train through?

# %%
def hide(pictures, bits, gains, strength=3.0):
    gains = 8 * strength * gains / gains.norm()
    blocks = (bits[..., None] * gains) @ both_ways(torch.float32)
    n, _, h, w = pictures.shape
    return pictures + from_blocks(blocks, (n, 1, h, w)) / 255


def read(pictures, weights):
    luma = to_ycbcr(255 * pictures)[:, :1] - 128
    return to_blocks(luma).flatten(2) @ both_ways(torch.float32).T @ weights


# %%
leaves = batch([dead_leaves((96, 96), 1000 * seed + i)
                for i in range(lesson.pick(smoke=8, cpu=32, gpu=64))])
training_steps = lesson.pick(smoke=2, cpu=60, gpu=150)


def trained(attack):
    source = torch.Generator().manual_seed(seed)
    gains, weights = torch.ones(64), torch.full((64,), 0.02)
    gains[0] = weights[0] = 0.0  # the mean of a block: never mind
    gains.requires_grad_(), weights.requires_grad_()
    adam = torch.optim.Adam([{"params": [gains], "lr": 0.1}, {"params": [weights], "lr": 0.01}])
    losses = []
    for _ in range(training_steps):
        chosen = leaves[torch.randint(len(leaves), (8,), generator=source)]
        bits = 2.0 * torch.randint(0, 2, (8, 144), generator=source) - 1
        loss = F.softplus(-bits * read(attack(hide(chosen, bits, gains)), weights)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return gains.detach(), weights.detach(), np.mean(losses[-10:])


# %% [markdown]
# The attacks: files of quality 50, and their stand-ins. (The mixture draws its qualities from 10 to
# 100, and the mask has none.) The last one is a combination that we owe to CLR-Net (lesson 08):
# **forward a real file, backward the slopes of a soft simulator**, in one line.

# %%
def real_with_soft_slopes(pictures, quality=50):
    simulated = jpeg_ss(pictures, quality)
    return simulated + (real_jpeg(pictures, quality) - simulated).detach()


TRAININGS = {
    "no attack": lambda x: x.clamp(0, 1),
    "hard rounding": lambda x: jpeg(x, 50, rounding=hard),
    "straight through": lambda x: jpeg(x, 50),
    "real, straight through": lambda x: real_jpeg(x, 50),
    "JPEG-Mask": jpeg_mask,
    "MBRS": lambda x: mbrs(x, 50, dice),
    "JPEG-Mixup": lambda x: jpeg_mixup(x, dice),
    "JPEG-SS": lambda x: jpeg_ss(x, 50),
    "nine terms": lambda x: jpeg(x, 50, rounding=fourier),
    "real, soft slopes": real_with_soft_slopes,
}
learned = {}
for name, attack in TRAININGS.items():
    *learned[name], loss = trained(attack)
    print(f"{name:24} loss in the last steps, through its own attack: {loss:.2f}")

# %%
energy = {name: (gains / gains.norm()).square().view(8, 8).numpy()
          for name, (gains, _) in learned.items()}
show(
    plots.hiding_places(energy),
    alt="Ten maps of 8 by 8 cells. Without attack, straight through and with mixtures the energy "
    "sits at the fine end, lower right; with soft slopes it sits in a few cells near the middle of "
    "the left side.",
    caption="Where the hider learned to hide, in the 64 waves of a block, coarse at the upper "
    "left. Brighter: more energy (its square root, so that small shares are seen).",
)

# %%
message = 2.0 * torch.randint(0, 2, (len(x), 1024), generator=dice) - 1


def right_bits(gains, weights, quality):  # over photographs, none of which was trained on
    sent = real_jpeg(hide(x, message, gains), quality)
    right = (read(sent, weights) * message > 0).float().mean(dim=1)
    return bootstrap(right.numpy())


found = {name: [right_bits(*pair, quality) for quality in (90, 70, 50)]
         for name, pair in learned.items()}
show(
    plots.survival(found, ["file of quality 90", "70", "50"], "share of bits read rightly"),
    alt="Ten rows of three marks with intervals. In files of quality 90 most trainings read nine "
    "bits in ten; at quality 50 only the three with soft slopes do better than about two in three.",
    caption="Bits read from real files of photographs, mean and interval. Dotted: chance.",
)

# %%
for name, row in found.items():
    print(f"{name:24}" + "   ".join(f"{one:.3f}".partition(" (")[0] for one in row))
claim("Through hard rounding the hider learns nothing.",
      np.allclose(energy["hard rounding"].flatten()[1:], 1 / 63, atol=1e-6))
if lesson.profile.name != "smoke":
    claim("Soft slopes lead to bits that survive a file of quality 50; slopes of 1 do not.",
          min(found["JPEG-SS"][2].low, found["real, soft slopes"][2].low)
          > max(found["straight through"][2].high, found["real, straight through"][2].high))

# %% [markdown]
# So there are two kinds of truth, and they rank the stand-ins differently.
#
# - **Straight through** has perfect pictures and misleading slopes. It does not even pass the
#   attack that it was trained with: its loss stays about that of a coin. Here is how it goes
#   astray. The reader learns not to listen to coarse waves, where the picture disturbs. A fine wave
#   that the file deletes arrives as zero, and zero disturbs nobody: so the reader goes on
#   listening. And the slope of 1 tells the hider, *more of what the reader listens to*. So both
#   agree on waves that never arrive. A hider that learns nothing at all (hard rounding) does better
#   at quality 50, for its reader at least finds the waves that come through.
# - **JPEG-Mask, MBRS and the mixture** do well at quality 90, the last two as well as any, and badly
#   below. Each lets fine waves pass: the mask keeps some that a file of quality 50 drops, and
#   whatever holds a share of an *untouched* picture lets all of them through, only fainter. Our
#   reader can amplify what is faint. It cannot amplify what a file has rounded to zero. So the mask
#   and the mixture end at small losses: they pass the stand-in, not the file.
# - **Soft slopes** are small where a coefficient is small against its step (those of the nine terms
#   on average, for they ripple about zero). That is what the hider needs to know: nothing gets
#   through here. Compare the maps with the table under the zigzag: the hider found cells on the
#   left side, where steps are small for waves so fine.
# - **Real forward, soft backward** has both kinds of truth. At quality 50 nothing here does better,
#   and at the others it is close to the best.
#
# More steps do not turn this round (we tried 500), nor do other seeds. Still, do not take the
# miniature for more than it is: one linear reader, and one hider that does the same in every block.
# A network can look at a block before it hides, and then slopes of 1 are less wrong, since it can
# push where something survives. RWN's authors report the mixture ahead of MBRS alone for theirs
# (SSIM of the extracted watermark .878 against .797), and lesson 06 measures that with networks.
# What remains is a lesson for reading papers: *"we train through a differentiable JPEG"* says
# little until one knows which.

# %% [markdown]
# ## 7 · Crop, and stretch
#
# The attack that this course is about. A box keeps 50 to 80 % of the width and, independently, of
# the height; what is inside is stretched back to full size, because the networks that look at it
# want pictures of one size. Stretching draws straight lines between pixels, and is a matrix along
# each axis, as blur was.

# %% quote="course_lib.attacks.crops.draw_boxes"

# %%
from course_lib.attacks.crops import draw_boxes, stretch_weights

# %% quote="course_lib.attacks.crops.stretched"

# %% [markdown]
# *Invariants.* The whole frame comes back bit by bit; a box with edges between pixels comes out as
# OpenCV has it; and a wave becomes *longer*: its frequency is multiplied by the share of the side
# that was kept.

# %%
assert torch.equal(stretched(x[:2], torch.tensor([[0.0, 0, 1, 1]] * 2)), x[:2])
part = torch.tensor([[0.25, 0.125, 0.75, 0.875]])
by_opencv = cv2.resize(photo[32:224, 64:192].astype(np.float32), (256, 256))
ours = 255 * stretched(x[:1], part)[0].permute(1, 2, 0).numpy()
assert np.abs(ours - by_opencv).max() < 0.01
sheet = torch.from_numpy(wave).float().expand(1, 1, 256, 256)
longer = stretched(sheet, part)[0, 0].numpy()
where, power = radial_power(longer)
print(f"half the width of waves of frequency 0.2: strongest at {where[power.argmax()]:.3f}")

# %%
corner = Box(*part[0].tolist())
show(
    plots.framed([photo, np.rint(ours).astype(np.uint8)], ["kept inside the frame", "stretched"],
                 corner, 0),
    photo=True,
    alt="A photograph with a frame, and the part inside the frame stretched to full size.",
    caption=f"A crop, as a network sees it: magnified {1 / corner.width:.1f} times across and "
    f"{1 / corner.height:.1f} times down. From these two factors, and the place, follows what the "
    "whole frame was.",
)

# %% [markdown]
# To a hidden pattern a crop does three things: part of it is gone, the rest is *elsewhere*, and all
# of its waves are longer. A reader that knows the pattern by heart can turn this round: where, and
# how large, must the pattern be laid for it to fit? That is the whole idea of lesson 06.

# %% [markdown]
# ## 8 · Tampering
#
# Somebody paints something else into the marked picture $I_M$. RWN's equation 3, with a mask $M$
# that is 1 where it is painted, and $I_{irr}$ for what is painted:
#
# $$ I_A = I_{irr} \cdot M + I_M \cdot (1 - M) $$
#
# Masks are a few random strokes of a wide brush ("free-form"), as in training for inpainting.

# %%
from course_lib.attacks.tamper import free_form_mask

# %% quote="course_lib.attacks.tamper.tampered"

# %%
rng = np.random.default_rng(seed + 4)
masks = np.stack([free_form_mask(photo.shape, rng) for _ in range(2)])
forged = tampered(x[:2], x[:2].flip(0), masks)
assert torch.equal(forged[0][:, ~masks[0]], x[0][:, ~masks[0]])  # elsewhere nothing changed
views = [one.permute(1, 2, 0).numpy() for one in forged]
show(
    grid([views[0], masks[0] * 1.0, views[1], masks[1] * 1.0],
         ["tampered", "its mask", "tampered", "its mask"], columns=4, cmap="gray")[0],
    photo=True,
    alt="Two photographs with strokes of another picture in them, each beside its mask.",
    caption="Tampered pictures and their masks: "
    f"{masks[0].mean():.0%} and {masks[1].mean():.0%} of the area.",
)

# %% [markdown]
# ## 9 · Chains
#
# Pictures are attacked more than once, and order matters: JPEG after a rescaling is not a rescaling
# after JPEG. A chain draws its noise from a seed of its own, and prints itself, so that a bad case
# can be had again.

# %%
from course_lib.attacks.chain import attack, chain, random_chain

drawn = [random_chain(np.random.default_rng(seed + i), (2, 3)) for i in range(4)]
for one in drawn:
    seen = one(x)
    assert torch.equal(seen, one(x))
    print(f"{one!s:48} {decibels(seen, x).mean():.1f} dB")
for names in (("jpeg50", "resize50"), ("resize50", "jpeg50")):
    print(f"{chain(names)!s:48} {decibels(chain(names)(x), x).mean():.1f} dB")

# %% [markdown]
# *Invariant.* The layers do to tensors what `published` does to real pictures. (Rescaling differs
# most: our layer shrinks with a triangle filter, OpenCV by averages over areas.)

# %%
for name in ("jpeg70", "median3", "blur1", "contrast80", "resize50"):
    layer = 255 * attack(name)(x[:1])[0].permute(1, 2, 0).numpy()
    difference = np.abs(layer - published(photo, name)).mean()
    print(f"{name:12} {attack(name).words:32} off by {difference:.2f} gray levels")
    assert difference < 2.5

# %% [markdown]
# ## 10 · Publish it yourself
#
# A photograph with a pattern in all five bands, together about 40 dB. Crop, scale, disturb,
# compress. Click a slider and use the arrow keys. Try this: set *Kept* to 100 %. Then JPEG at 10
# alone; scaling to 50 % alone; noise of 10 alone. Which of them takes the coarsest waves? (None
# takes much.) At last a crop alone: do the shares change?

# %%
from course_lib.attacks import explore

explorer = explore.explorer(lesson.photos, seed=seed)
explorer.show()

# %% [markdown]
# The same in print:

# %%
settings = [{"jpeg": "90", "crop": 100}, {"jpeg": "30", "crop": 100},
            {"jpeg": "off", "crop": 60}, {"jpeg": "off", "crop": 60, "scale": 50}]
sheet = explorer.contact_sheet(settings, columns=2, width=480)
show(
    grid([sheet], columns=1)[0],
    photo=True,
    alt="Four settings of the explorer. With a JPEG of quality 30 and with scaling, the bars of "
    "fine waves are short, and the pattern's picture turns into blocks or blotches. With a crop "
    "alone all five bars are full.",
    caption="Four settings. A crop alone changes no share of what is inside; what comes with it "
    "does.",
)

# %% [markdown]
# ## 11 · Could you tell?
#
# Details of photographs, stored at quality 90, 50 or 20 and four times enlarged. Which is which?
# Commit to an answer first. What is revealed is the change that the file made, 10 times enhanced.

# %%
from course_lib.predict import RECORDS, Game, Round

QUALITIES = {"quality 90": 90, "quality 50": 50, "quality 20": 20}
WHY = {"quality 90": "Changes are faint grain, everywhere alike.",
       "quality 50": "Changes sit at edges; smooth areas begin to lose their grain.",
       "quality 20": "Whole blocks differ, and edges have halos."}
chance = np.random.default_rng()  # another game each time


def question(picture):
    name = str(chance.choice(list(QUALITIES)))
    y, x = chance.integers(0, 160, 2)
    stored = through_jpeg(picture, QUALITIES[name], halved=True)
    cut = np.s_[y:y + 96, x:x + 96]
    change = plots.enhanced(luma(stored)[cut] - luma(picture)[cut], 10)
    large = [cv2.resize(one, (384, 384), interpolation=cv2.INTER_NEAREST)
             for one in (stored[cut], change)]
    return Round(large[0], name, large[1], WHY[name])


game = Game("At which quality was this stored?", list(QUALITIES),
            [question(one) for one in pictures], record=RECORDS / "jpeg_quality.json")
game.show()

# %% [markdown]
# ## Exercises
#
# Your copy of this lesson, with six functions to write, is in
# [exercises/04_attacks.ipynb](../exercises/04_attacks.ipynb).
#
# {{exercises}}

# %% [markdown]
# ## Paper, released code, this course
#
# The attack layer of RWN (lesson 06), as far as its paper and its code say:
#
# | | paper | released code | this course |
# |---|---|---|---|
# | JPEG-Mixup | $k = 3$ simulators, qualities 10–100, random shares | 2 simulators, qualities 60–90 | the paper's, a share and a quality for each picture |
# | JPEG-Mask | "previous implementation", given a quality | ignores the quality: 5 × 5 of luma, 3 × 3 of chroma | both: the squares, or by quality |
# | JPEG-SS | "previous implementation" | cubes values below one half, leaves all others unrounded | Shin and Song's: nearest whole number plus cube |
# | MBRS | real, simulated, or none, one for each mini-batch | the same; real files pass no gradient | the same draw; real files pass it straight through |
# | colour in simulators | not said | full resolution, while real files halve it | halved, as files do |
# | 8 bits | straight through | straight through, after clipping to [0, 1] | the same, after every attack |
# | other attacks | "JPEG compression, scaling, etc." of HiDDeN | each picture goes through 4 attacks a step | names with strengths, one vocabulary for all lessons |
# | dropout | from HiDDeN: pixels of the *unmarked* picture | the same | black, or another picture if given; a stranger has no unmarked one |
# | crop | rate "roughly" 0.5 to 1 in tests | 0.5–0.8 an axis, bilinear stretch | the same, any range |
# | tampering | random areas | free-form strokes | free-form strokes |
# | tests | real JPEG coder | – | real files for everything that a table reports |

# %% [markdown]
# ## Limits, references, next
#
# - Clarity is measured for somebody who knows the original. A blind reader has the picture against
#   it as well; section 6's reader is one.
# - Probes are white within their band and ignore the picture. Real watermarks go where the picture
#   is rough, and do better than this table.
# - Two gray levels are one strength. JPEG is not linear: of twice the strength *more* than twice as
#   much is left.
# - Real services do more: they change colour profiles, sharpen after shrinking, crop to odd sizes,
#   store twice, use WebP or AVIF.
# - Our JPEG agrees with libjpeg-turbo to within a gray level on average, not in every pixel: a
#   coefficient that lies just between two steps may fall either way.
# - Section 6 trains 128 numbers for some seconds. It shows what slopes say, not which simulator is
#   best for a network.
#
# References: G. Wallace, *The JPEG still picture compression standard*, IEEE Trans. Consumer
# Electronics 1992. N. Ahmed et al., *Discrete cosine transform*, IEEE Trans. Computers 1974. D.
# Field, *Relations between the statistics of natural images and the response properties of cortical
# cells*, JOSA A 1987. Y. Bengio et al., *Estimating or propagating gradients through stochastic
# neurons*, 2013. R. Shin and D. Song, *JPEG-resistant adversarial images*, 2017. J. Zhu et al.,
# *HiDDeN: hiding data with deep networks*, ECCV 2018. Z. Jia et al., *MBRS: enhancing robustness of
# DNN-based watermarking by mini-batch of real and simulated JPEG compression*, ACM Multimedia 2021.
# H. Zhang et al., *mixup: beyond empirical risk minimization*, ICLR 2018. Q. Ying et al., *RWN:
# robust watermarking network for image cropping localization*, ICIP 2022. Q. Ying et al., *Robust
# image protection countering cropping manipulation* (CLR-Net), 2022. J. Yu et al., *Free-form image
# inpainting with gated convolution*, ICCV 2019. E. Riba et al., *Kornia*, WACV 2020.
#
# **Next:** 05 · Networks that run backwards. Something is to be hidden and found again with nothing
# lost, so why not use one network in both directions?
