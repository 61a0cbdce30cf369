# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 1 · What a lens does to a picture
#
# **Which marks does a lens leave in a photograph, and how do they tell where in the picture a patch
# was?**
#
# *Before you begin:* lesson [00](00_start_here.ipynb), NumPy arrays, what a derivative and a least
# squares fit are. No optics is assumed beyond "a lens bends light".
#
# *Afterwards you will be able to*
#
# - explain why green is the colour that is left over in a lens corrected for red and blue;
# - write the four marks of a lens (two kinds of colour fringe, vignetting, distortion) as code of a
#   few lines each, and put them together in the order of a camera;
# - read the marks back: measure a magnification of a few parts in ten thousand from one photograph;
# - say, with numbers from real cameras, which of a paper's claims hold.

# %% [markdown] run_card=true
# *Data used:* the embedded photographs, pictures that the course draws itself, and measurements of
# cameras in `assets/measurements/`. Nothing is downloaded.

# %% tags=["parameters"]
profile = "auto"  # smoke | cpu | gpu, or auto
seed = 0
photos = ""  # a folder with your own photographs; empty for the embedded ones

# %%
import json
from collections.abc import Sequence
from typing import Any  # functions here take single numbers and whole arrays alike

import cv2
import numpy as np
from scipy import ndimage

from course_lib.errors import UsageError
from course_lib.figures import grid, show
from course_lib.geometry import corners, crop
from course_lib.leaves import channel_correlation, dead_leaves, power_spectrum, spectral_slope
from course_lib.lens import Lens
from course_lib.lens.chromatic import NARROWEST
from course_lib.lens.resample import resample
from course_lib.lesson import start
from course_lib.metrics import bootstrap
from course_lib.paths import COURSE
from course_lib.plots import lesson_01 as plots
from course_lib.teach.claims import claim

lesson = start("01", profile=profile, seed=seed, photos=photos)

# %% [markdown]
# ## A riddle to begin with
#
# Below are four small patches of one photograph, taken after it went through a simulated lens with
# its faults turned up: `Lens(green=0.985)` draws the green channel 1.5 % smaller, which is far more
# than a real lens does. (`Lens` is built in this lesson; its other settings come in their
# sections.) The patches come from the four corners, in mixed order. The gray row shows green minus
# the mean of red and blue: the fringe, plus any colour of the scene itself.

# %%
def fringe(patch):  # green minus the mean of red and blue, in gray levels
    return patch[..., 1] - patch[..., ::2].mean(axis=-1)


def faintest(picture):  # how clearly the corner shows its fringe that shows it least
    boxes = corners(picture.shape, 96).values()
    return min(fringe(crop(strong.apply(picture), box)).std() for box in boxes)


strong = Lens(green=0.985)
pictures = lesson.pictures(8)
scene = max(pictures, key=faintest)

# %%
seen = strong.apply(scene)
boxes = corners(seen.shape, 96)
order = [str(name) for name in lesson.rng.permutation(list(boxes))]
patches = {f"patch {letter}": crop(seen, boxes[name]) for letter, name in zip("ABCD", order)}
show(
    plots.riddle(patches, [fringe(patch) for patch in patches.values()]),
    photo=True,
    alt="Four enlarged 96-pixel patches of one photograph, and green minus red and blue in gray. "
    "Light shapes have a light line on one side and a dark line on the other, dark shapes the "
    "reverse; the side differs from patch to patch.",
    caption="From which corner does each patch come? Make a guess and write it down.",
)

# %% [markdown]
# The answer waits at the [end of the lesson](#Answers-to-the-riddle). Here we build the lens first,
# one fault at a time.

# %% [markdown]
# ## 1 · One lens, many focal lengths
#
# **Idea.** Glass slows light, and it slows blue more than red. The *refractive index* $n$ says how
# much: light in glass travels at $1/n$ of its speed in vacuum. The dependence of $n$ on the
# wavelength $\lambda$ is called *dispersion*, and it is why a prism makes a rainbow. Cauchy's law
# describes it with two constants for each glass ($\lambda$ in µm, $B$ in µm²):
#
# $$ n(\lambda) = A + \frac{B}{\lambda^2} $$

# %% quote="course_lib.lens.optics.refractive_index"

# %% [markdown]
# A thin lens with surfaces of radii $R_1$ and $R_2$ (positive when the centre of the sphere lies
# behind the lens, so $R_2 < 0$ for the far side of a magnifying glass) has a *focal length* $f$,
# the distance at which it brings light from far away to a point. The lensmaker's equation gives it:
#
# $$ \frac{1}{f} = (n - 1)\left(\frac{1}{R_1} - \frac{1}{R_2}\right) $$

# %% quote="course_lib.lens.optics.focal_length" exercise="1.1" minutes=5 difficulty=1
# hint: Compute the power 1/f first; the focal length is its inverse.
# hint: A flat surface has an infinite radius. What is 1/np.inf?
# hint: Mind the sign: the far side of a magnifying glass has a negative radius, so minus
#   becomes plus.

# %% [markdown]
# *Invariant.* A symmetric magnifying glass of index 1.5 has the focal length of its radius. And
# since $n$ depends on the colour, so does $f$: one lens has as many focal lengths as there are
# colours.

# %%
assert np.isclose(focal_length(1.5, 100.0, -100.0), 100.0)
wavelengths = {"blue": 0.4861, "green": 0.5461, "red": 0.6563}  # µm
indices = {name: refractive_index(line) for name, line in wavelengths.items()}
singlet = {name: focal_length(n, 100.0, -100.0) for name, n in indices.items()}
for name, f in singlet.items():
    print(f"{name:5} light, {wavelengths[name] * 1000:.0f} nm: n = {indices[name]:.4f}, f = {f:.2f} mm")
claim("Blue light comes to a focus before green, and green before red.",
      singlet["blue"] < singlet["green"] < singlet["red"],
      f"{singlet['red'] - singlet['blue']:.2f} mm between blue and red")

# %% [markdown]
# In the drawing the differences are exaggerated. A sensor at green's focus records green sharply,
# and red and blue as small discs: *longitudinal* chromatic aberration. In a lens of several
# elements, rays that come in at an angle also meet the sensor at slightly different heights, so
# that each colour draws the picture at its own size: *transverse* chromatic aberration.

# %%
show(
    plots.rays(singlet, stretch=15),
    alt="Parallel rays enter a thin lens from the left. Blue rays (dotted) cross the axis first, "
    "then green (solid), then red (dashed).",
    caption="One thin lens. Every colour has its own focus; no sensor position suits them all.",
)

# %% [markdown]
# ### The doublet, and why green is left over
#
# **Idea.** Glue two lenses together: a strong converging one of *crown* glass, which disperses
# little, and a weaker diverging one of *flint* glass, which disperses a lot. Their bending adds up
# to the lens we want; their dispersions cancel.
#
# How much a glass disperses is told by its *Abbe number*: how much it bends yellow light, divided
# by how differently it bends blue and red. A *large* $V$ means *little* dispersion.
#
# $$ V = \frac{n_{yellow} - 1}{n_{blue} - n_{red}} $$
#
# For thin lenses in contact the *powers* $1/f$ add. Between red and blue, the power of a lens
# changes by $1/(fV)$. So the two conditions say: the powers add up, and the two changes cancel.
#
# $$ \frac{1}{f_1} + \frac{1}{f_2} = \frac{1}{f}, \qquad \frac{1}{f_1 V_1} + \frac{1}{f_2 V_2} = 0 $$

# %% quote="course_lib.lens.optics.achromat" exercise="1.2" minutes=10 difficulty=2
# hint: Two equations, two unknowns: the powers p1 = 1/f1 and p2 = 1/f2. Solve for the powers.
# hint: From the second equation p2 = −p1 · V2 / V1. Put that into the first.
# hint: p1 = V1 / ((V1 − V2) f), and p2 = −V2 / ((V1 − V2) f).

# %% [markdown]
# Two conditions bring **two** colours together, and designers choose red and blue. What of the
# colours between? If both glasses followed Cauchy's law, their curves would have the same shape,
# and cancelling at two wavelengths would cancel everywhere. Real glasses do not: for the same
# difference between red and blue, flint's curve rises more steeply towards blue. We need a more
# exact law, Sellmeier's, with three pairs of constants from the glass maker's catalogue ($C_i$ in
# µm²):
#
# $$ n^2(\lambda) = 1 + \sum_{i=1}^{3} \frac{B_i\,\lambda^2}{\lambda^2 - C_i} $$

# %% quote="course_lib.lens.optics.sellmeier"

# %%
from course_lib.lens.optics import F2, N_BK7

glasses = {"crown N-BK7": N_BK7, "flint F2": F2}
yellow = {name: sellmeier(0.5876, *constants) for name, constants in glasses.items()}
abbe = {}
for name, constants in glasses.items():
    blue, red = (sellmeier(wavelengths[colour], *constants) for colour in ("blue", "red"))
    abbe[name] = (yellow[name] - 1) / (blue - red)
    print(f"{name}: n = {yellow[name]:.5f}, V = {abbe[name]:.2f}")
f1, f2 = achromat(100.0, abbe["crown N-BK7"], abbe["flint F2"])
print(f"a doublet of 100 mm: crown {f1:.1f} mm, flint {f2:.1f} mm")

# %% [markdown]
# The power of each component scales with $n(\lambda) - 1$. So we can follow the focus over the
# whole spectrum, for a single crown lens and for the doublet.

# %%
spectrum = np.linspace(0.43, 0.68, 251)
bending = {name: (sellmeier(spectrum, *constants) - 1) / (yellow[name] - 1)
           for name, constants in glasses.items()}  # 1 for yellow light
curves = {"one lens": 100.0 / bending["crown N-BK7"],
          "doublet": 1 / (bending["crown N-BK7"] / f1 + bending["flint F2"] / f2)}
show(
    plots.focal_shifts(spectrum, curves, wavelengths, reference=wavelengths["red"]),
    alt="Two curves of focal shift against wavelength. The single lens rises steadily by more than a "
    "millimetre from blue to red. The doublet's curve is a shallow valley: red and blue at "
    "the same height, green lowest.",
    caption="Left, one lens; right, a doublet (note the scales). Red and blue agree, and green, in "
    "the valley between them, is left over: the secondary spectrum.",
)

# %%
foci = {name: np.interp(line, spectrum, curves["doublet"]) for name, line in wavelengths.items()}
short = {name: 1000 * (focus - foci["red"]) for name, focus in foci.items()}  # µm
claim("The doublet joins red and blue; green is the colour left over, and focuses short.",
      abs(short["blue"]) < 0.01 * abs(short["green"]) and short["green"] < 0,
      f"from red's focus: blue {short['blue']:+.1f} µm, green {short['green']:+.1f} µm, "
      f"which is {abs(short['green']) / 1e5 * 1e4:.1f} × 10⁻⁴ of the focal length")

# %% [markdown]
# In a real lens of several elements a shorter focus usually goes with a smaller picture. (An ideal
# thin lens, with its opening at the glass, would draw all colours alike.) So the paper that this
# part of the course rebuilds, *Dissecting Image Crops*, expects green to be drawn slightly
# **smaller** than red and blue, pulled *inward*. If the picture shrank as the focus does, that
# would be a few parts in ten thousand. Keep that claim in mind; real cameras will be asked in
# section 10.

# %% [markdown]
# ## 2 · A coordinate to say everything in
#
# All faults of a round lens depend on the distance from the *optical centre*, the point where the
# axis meets the sensor. We measure that distance in half diagonals, so that $r = 1$ in the corners
# of a centred picture of any size. Pixel centres lie at half-integers: the first pixel of a row
# covers $[0, 1]$ and its centre is at $0.5$. Half a pixel matters here: at the corner of a photo
# 1536 px wide, most cameras displace colours by less than a pixel (section 10).

# %% quote="course_lib.lens.chromatic.radius" exercise="1.3" minutes=10 difficulty=1
# hint: Build the x positions of a row of pixel centres with np.arange(width) + 0.5.
# hint: The centre is given as fractions of width and height; multiply before you subtract.
# hint: np.hypot(x[None, :], y[:, None]) makes the whole map; divide by half of
#   np.hypot(width, height).

# %%
shape = (480, 720)
r = radius(shape)
assert r.shape == shape
assert np.allclose(r, r[::-1, ::-1])  # symmetric about the centre
assert 0.99 < r[0, 0] < 1 < radius(shape, (0.6, 0.5))[0, 0]  # pixel centres lie inside the corner
show(
    plots.radius_maps(shape, ((0.5, 0.5), (0.62, 0.42))),
    alt="Two maps of the radius r: circles around the centre of the picture, and around a point up "
    "and right of it. The first has r = 1.00 in all four corners, the second more on the left.",
    caption="The radius $r$, for a centred and for a decentred lens, with its values in the corners.",
)

# %% [markdown]
# ## 3 · Transverse chromatic aberration
#
# **Idea.** A colour with a slightly smaller magnification draws a slightly smaller picture. One
# channel is magnified by $m$ about the optical centre $\mathbf{c}$: what was at $\mathbf{q}$ lands
# at
#
# $$ \mathbf{p} = \mathbf{c} + m\,(\mathbf{q} - \mathbf{c}) $$
#
# To *compute* the new channel we go the other way: for every output pixel $\mathbf{p}$, ask where
# it came from, $\mathbf{q} = \mathbf{c} + (\mathbf{p} - \mathbf{c})/m$, and interpolate there (that
# is what `resample(channel, x, y)` does). Going forward would leave holes.

# %% quote="course_lib.lens.chromatic.magnify" exercise="1.4" minutes=15 difficulty=2
# hint: Which pixel of the input does output pixel p read? Divide by m, do not multiply.
# hint: Work in our coordinates: the pixel centres of a row are np.arange(width) + 0.5, and the
#   centre is center[0] * width.
# hint: x depends only on the column and y only on the row: pass resample a row x[None, :] and a
#   column y[:, None].

# %% [markdown]
# *Invariants.* The optical centre stays where it is; magnifying by 1 changes nothing; and an edge
# at distance $d$ from the centre moves by $(m - 1)\,d$: here 200 px out, by 2 px.

# %%
edge = np.zeros((41, 801), np.float32)
edge[:, 600:] = 1.0  # a step 199.5 px right of the centre
moved = magnify(edge, 1.01, (0.5, 0.5))
position = 801 - moved[20].sum()
assert np.allclose(magnify(edge, 1.0, (0.5, 0.5)), edge)
print(f"The edge moved from 600 to {position:.2f} px; (m − 1)·d = {0.01 * 199.5:.2f}")
assert abs(position - 600 - 0.01 * 199.5) < 0.1

# %% [markdown]
# The displacement grows linearly from the centre: nothing in the middle, most in the corners. Its
# *direction* points along the radius. So a fringe is a little arrow that points to (or away from)
# the optical centre, and that is what gives a patch's place away. With green drawn inward, a
# *light* shape on a dark ground is green on the side towards the centre and magenta on the side
# away from it; a dark shape on a light ground, the other way round.

# %%
show(
    plots.displacement_field(),
    alt="A field of arrows over the picture, all pointing at the cross in the centre, longest in the "
    "corners. A square patch at the top left has arrows pointing right and down.",
    caption="Displacement of green when it is drawn inward (lengths exaggerated).",
)

# %% [markdown]
# ### No black borders
#
# A channel drawn smaller leaves an empty rim: where green is missing, a magenta line that shouts
# its position. The released code of the paper avoids it by only ever magnifying. Our `Lens` zooms
# all channels by the smallest common factor that keeps every sample inside the picture. A common
# zoom leaves fringes alone, and it makes a small theorem come out exactly: **green inward is the
# same picture as red and blue outward.**

# %%
inward = Lens(green=1 / 1.004).apply(scene)
outward = Lens(red=1.004, blue=1.004).apply(scene)
difference = np.abs(inward.astype(int) - outward)
print(f"largest difference of the two pictures: {difference.max()} of 255")
claim("Green drawn inward is the same picture as red and blue drawn outward.", difference.max() <= 1)

# %% [markdown]
# With green drawn inward by 0.4 % and by 1.5 %, two **opposite** corners look like this. Compare
# the side on which the green fringe lies. (Section 10: a real lens does about a tenth of the
# first.)

# %%
examples = {"no aberration": 1.0, "green 0.4 % inward": 0.996, "green 1.5 % inward": 0.985}
drawn = [Lens(green=m).apply(scene) for m in examples.values()]
views = [picture[:110, :150] for picture in drawn] + [picture[-110:, -150:] for picture in drawn]
titles = [f"{name}, {corner}" for corner in ("top left", "bottom right") for name in examples]
figure, axes = grid(views, titles)
show(
    figure,
    photo=True,
    alt="Two corners of a photograph without and with green drawn 0.4 and 1.5 per cent smaller. "
    "Edges grow green and magenta fringes, on opposite sides in opposite corners.",
    caption="Transverse chromatic aberration in two opposite corners. The fringes change sides.",
)

# %% [markdown]
# ## 4 · Longitudinal chromatic aberration
#
# **Idea.** If green is in focus on the sensor, red and blue are not: they are blurred by a disc.
# For an object at distance $s$ the sharp picture lies at distance $s'$ behind the lens, with
#
# $$ \frac{1}{s} + \frac{1}{s'} = \frac{1}{f} $$
#
# A sensor at another distance $z$ sees each point as a disc, as wide as the cone of light there:
# $D\,|z - s'|/s'$ for a lens of width $D$.

# %% quote="course_lib.lens.optics.image_distance"

# %% quote="course_lib.lens.optics.blur_circle"

# %%
sensor = image_distance(singlet["green"], 5000.0)  # focused on green light from 5 m away
for name, f in singlet.items():
    disc = 1000 * blur_circle(25.0, f, 5000.0, sensor)  # a lens 25 mm wide; disc in µm
    print(f"{name:5}: a point becomes a disc of {disc:5.1f} µm, or {disc / 5:.0f} pixels of 5 µm")

# %% [markdown]
# No camera is sold with such a lens. In good ones what remains is a blur of a pixel or two, worse
# towards the corners: the surface of sharpest focus is a bowl, the sensor is flat, and the gap
# between them grows with $r^2$. We model each channel's blur as a Gaussian whose width grows in the
# same way, from $\sigma_{axis}$ at the centre to $\sigma_{corner}$ at $r = 1$:
#
# $$ \sigma(r) = \sigma_{axis} + (\sigma_{corner} - \sigma_{axis})\, r^2 $$

# %% quote="course_lib.lens.chromatic.blur_at"

# %% [markdown]
# A different blur at every pixel would be slow, and here is a trick. Blur the whole picture *once*,
# with the largest width $\sigma_{max}$ that occurs, and mix it with the sharp picture, with weight
# $w$. A point then becomes a mixture of a point and a spot: its variance is $w\,\sigma_{max}^2$. So
# with $w(r) = \sigma^2(r) / \sigma_{max}^2$ the *variance* is right, almost exactly where $w$
# changes slowly. The *shape* is not a Gaussian: a sharp core in a soft halo. (A Gaussian narrower
# than `NARROWEST`, 0.8 px, cannot be sampled well; we never blur by less, and lower the weight
# instead.)

# %% quote="course_lib.lens.chromatic.defocus" exercise="1.5" minutes=15 difficulty=2
# hint: Make the map of widths first: blur_at of the radius of every pixel. Its largest value is the
#   one blur you need.
# hint: cv2.GaussianBlur(channel.astype(np.float32), (0, 0), widest) is that blur; never narrower
#   than NARROWEST.
# hint: The weight of the blurred picture is a ratio of variances, so square the ratio of widths.

# %% [markdown]
# *Invariant.* A single bright pixel at radius $r$ becomes a spot whose variance per axis is
# $\sigma^2(r)$. We measure it.

# %%
radii = radius((301, 301))[150]
for column in (150, 225, 290):
    point = np.zeros((301, 301), np.float32)
    point[150, column] = 1.0
    spot = defocus(point, 0.0, 3.0, (0.5, 0.5)).sum(axis=0)
    variance = (spot * (np.arange(301) - column) ** 2).sum() / spot.sum()
    expected = blur_at(radii[column], 0.0, 3.0) ** 2
    print(f"r = {radii[column]:.2f}: variance {variance:.2f} px², expected {expected:.2f}")
    assert abs(variance - expected) < 0.1 * expected + 0.02

# %% [markdown]
# In `Lens`, `blur_axis` and `blur` hold these widths for red, green and blue, at the centre and in
# the corner.

# %%
star_y, star_x = np.mgrid[-120:120, -120:120] + 0.5
spokes = np.sign(np.sin(24 * np.arctan2(star_y, star_x)))
star = np.repeat((0.5 + 0.45 * spokes)[..., None], 3, axis=2).astype(np.float32)
softened = {"sharp": Lens(), "red and blue 2 px": Lens(blur_axis=(2, 0, 2), blur=(2, 0, 2)),
            "green 2 px": Lens(blur_axis=(0, 2, 0), blur=(0, 2, 0))}
figure, axes = grid([lens.apply(star)[60:180, 60:180] for lens in softened.values()], list(softened))
show(
    figure,
    alt="Three star charts. The first is black and white. With red and blue blurred its spokes get "
    "green and magenta borders; with green blurred the colours change places.",
    caption="Longitudinal aberration: the two edges of a light spoke look alike (in the middle, "
    "green inside and magenta outside). Transverse: one edge of a light shape is green and its "
    "opposite edge magenta. That is how the two are told apart.",
)

# %% [markdown]
# ## 5 · Vignetting
#
# **Idea.** Corners get less light. Part of that is geometry: a slanted beam sees the opening of the
# lens foreshortened, is spread over more sensor, and has farther to go. Together they give the
# $\cos^4$ law for a beam at angle $\theta$ to the axis. The rest is lens barrels that get in the
# way. The paper describes the sum by a *gain* that would undo it,
#
# $$ g(r) = 1 + a r^2 + b r^4 + c r^6, \qquad (a, b, c) = (2.0625,\ 8.75,\ 0.0313) $$
#
# and multiplies every pixel by $1/g(r)$. It does so to pixel values as they are stored, which are
# not proportional to light (sRGB values follow roughly its square root); the $\cos^4$ law is about
# light. `Lens` follows the paper and offers light as a switch.

# %% quote="course_lib.lens.vignetting.gain"

# %% [markdown]
# To turn the effect up and down, the paper mixes original (0 %) and fully darkened picture (100 %).

# %% quote="course_lib.lens.vignetting.falloff" exercise="1.6" minutes=5 difficulty=1
# hint: At strength 0 nothing happens: the factor is 1 for every r.
# hint: At strength 1 the factor is 1 / gain(r). Between the two, mix them linearly.
# hint: (1 − strength) · 1 + strength · 1 / gain(r).

# %% quote="course_lib.lens.vignetting.cos4"

# %%
assert np.isclose(falloff(1.0, 1.0), 1 / (1 + 2.0625 + 8.75 + 0.0313))
print(f"left in the corner at full strength: {falloff(1.0, 1.0):.1%}, at a quarter: {falloff(1.0, 0.25):.0%}")
show(
    plots.falloffs((0.1, 0.25, 0.5, 1.0), cos4(np.linspace(0, 1, 199), 32), half_angle=32),
    alt="Curves of the vignetting factor against the radius. The paper's polynomial at full strength "
    "falls below a tenth in the corner; weaker ones stay above a half. The cosine law falls from "
    "above the 25 per cent curve to the 50 per cent curve.",
    caption="At full strength the paper's polynomial leaves less than a tenth in the corner. The "
    "cameras of section 10 lie between 50 % and nothing, and have another shape.",
)

# %% [markdown]
# Does a single patch betray vignetting? Its brightness does not (who knows how bright the scene
# was?), but its *gradient* might: towards the centre it gets lighter. Real scenes have gradients of
# their own, much larger ones, so this clue is weak.

# %% [markdown]
# ## 6 · Distortion
#
# **Idea.** The magnification of a lens can depend on the radius. Corners pulled in make a *barrel*
# ($k_1 < 0$), corners pushed out a *pincushion* ($k_1 > 0$). The paper's law moves a point at
# radius $r$ to
#
# $$ r_d = r\,(1 + k_1 r^2) $$

# %% quote="course_lib.lens.distortion.distort_radius"

# %% [markdown]
# To render it we need the inverse, as before: which $r$ lands at $r_d$? The cubic has no pretty
# solution, but Newton's method finds it to machine precision in a few steps: from a guess $r$,
# subtract the error $r + k_1 r^3 - r_d$ divided by its slope $1 + 3 k_1 r^2$. Where a barrel is so
# strong that the slope reaches zero, the picture folds over: points farther out are drawn nearer in
# again. That happens at $r_d$ with $27\,k_1 r_d^2 = -4$, and beyond it there is no answer.

# %% quote="course_lib.lens.distortion.undistort_radius" exercise="1.7" minutes=15 difficulty=3
# hint: Start from r = rd and repeat the Newton step until nothing changes any more.
# hint: r ← r − (r + k1 r³ − rd) / (1 + 3 k1 r²).
# hint: Before you start, refuse what has no answer: raise UsageError where 27 k1 rd² < −4.

# %%
for k1 in (-0.25, -0.05, 0.1, 0.3):
    true_r = lesson.rng.uniform(0, 1, 1000)
    back = undistort_radius(distort_radius(true_r, k1), k1)
    print(f"k1 = {k1:+.2f}: largest round-trip error {np.abs(back - true_r).max():.1e}")
    assert np.allclose(back, true_r, atol=1e-12)

# %%
board_y, board_x = np.mgrid[0:320, 0:480] // 40
board = np.where((board_x + board_y) % 2, 0.92, 0.25).astype(np.float32)
board = np.repeat(board[..., None], 3, axis=2)
bent = {"barrel, k₁ = −0.2": -0.2, "k₁ = 0": 0.0, "pincushion, k₁ = +0.2": 0.2}
figure, axes = grid([Lens(distortion=k1).apply(board) for k1 in bent.values()], list(bent))
show(
    figure,
    alt="Three checkerboards: bulging outward like a barrel, straight, and pinched inward.",
    caption="Distortion bends straight lines. All three colours move together: there is no fringe.",
)

# %% [markdown]
# ## 7 · A camera is more than a lens
#
# Three more steps do not depend on the place (and so carry no clue of it, which is why they serve
# as controls in lesson 2):
#
# - **noise**: photons arrive at random, and the electronics adds a little of its own. A pixel of
#   brightness $x$ gets noise of variance $s^2 x + e^2$ with constants $s$ and $e$;
# - **saturation**: every colour is moved away from the gray of its own brightness (factor above 1)
#   or towards it (below 1);
# - **grayscale**: no colour at all. If a network that localises patches still can without colour,
#   the clue was not in the fringes.
#
# All of it together is one value, `Lens`. It composes the maps of sections 3 and 6, so that each
# channel is *resampled once*: two interpolations in a row would blur twice.

# %%
camera = Lens(red=1.0002, green=0.9998, blue=1.0004, blur=(1.0, 0.3, 1.4), vignetting=0.2,
              distortion=-0.05, saturation=1.2, noise=0.01, center=(0.52, 0.49))
taken = camera.apply(scene, rng=lesson.rng)
assert taken.shape == scene.shape and taken.dtype == scene.dtype
figure, axes = grid([scene, taken], ["the scene", "through the camera"], columns=2)
show(
    figure,
    photo=True,
    alt="A photograph before and after a simulated camera: corners darker, lines slightly "
    "bent, colours stronger, fine grain.",
    caption="A whole camera in one value, at realistic strengths: you may have to look twice.",
)

# %% [markdown]
# ### Which steps commute?
#
# The order is the camera's: light is bent (geometry), blurred, dimmed, counted (noise), and only
# then processed (saturation). Does it matter? For two steps $S$ and $T$ we apply both orders and
# take the root mean square of the difference, in gray levels of 255.

# %%
steps = {"transverse fringes": Lens(green=0.99), "longitudinal blur": Lens(blur=(2.0, 0.0, 3.0)),
         "vignetting": Lens(vignetting=0.6), "distortion": Lens(distortion=-0.1),
         "saturation": Lens(saturation=1.4)}
tame = 0.35 + 0.3 * scene.astype(np.float32) / 255  # room above and below: nothing clips
table = np.zeros((len(steps), len(steps)))
for i, s in enumerate(steps.values()):
    for j, t in enumerate(steps.values()):
        table[i, j] = 255 * np.sqrt(np.mean((t.apply(s.apply(tame)) - s.apply(t.apply(tame))) ** 2))

# %%
names = list(steps)
show(
    plots.commutators(table, names),
    alt="A triangular table of differences between the two orders of two steps. Saturation commutes "
    "with vignetting and distortion; geometry does not commute with vignetting.",
    caption="Difference between the two orders, in gray levels. Zero: the order does not matter.",
)


def apart(first, second):
    return table[names.index(first), names.index(second)]


# %%
claim("Vignetting and saturation commute: one scales all channels alike, the other mixes them linearly.",
      apart("vignetting", "saturation") < 0.05, f"{apart('vignetting', 'saturation'):.3f} levels")
claim("So do distortion and saturation: one moves all channels alike.",
      apart("distortion", "saturation") < 0.05, f"{apart('distortion', 'saturation'):.3f} levels")
claim("Vignetting and distortion do not: a fall-off that is distorted is another fall-off.",
      apart("vignetting", "distortion") > 0.2, f"{apart('vignetting', 'distortion'):.2f} levels")
claim("Saturation and fringes do not: saturation mixes channels that already lie apart.",
      apart("transverse fringes", "saturation") > 0.1,
      f"{apart('transverse fringes', 'saturation'):.2f} levels")

# %% [markdown]
# ## 8 · Pictures without a lens
#
# Soon we will measure lenses, and to test an instrument we need pictures whose truth we know.
# Photographs have been through a lens already. So the course draws its own: **dead leaves**.
# Opaque, textured shapes with radii $\rho$ drawn from a density $\propto \rho^{-3}$ fall on top of
# each other until nothing shows through. Occlusion gives edges, and the exponent makes the picture
# look the same at every scale, as the world does.

# %%
big, small = lesson.pick(smoke=(384, 6), cpu=(576, 24), gpu=(768, 48)), 256
leaves = [dead_leaves(small, lesson.rng) for _ in range(big[1])]
figure, axes = grid(leaves[:3], columns=3)
show(
    figure,
    photo=True,
    alt="Three dead-leaves pictures: overlapping textured shapes of all sizes in natural colours.",
    caption="Dead leaves: every edge is sharp in all three channels, since no lens was there.",
)

# %% [markdown]
# Two statistics say how natural they are. The *power spectrum* of photographs falls roughly as
# $1/\text{frequency}^2$. And the three colour channels are highly *correlated*, because the world
# is mostly a matter of light and shade. (The colours of the leaves were *chosen* to correlate as in
# many photographs, so that is a check, not a discovery.)

# %%
def square(picture):
    side = min(picture.shape[:2])
    return cv2.resize(picture[:side, :side], (small, small), interpolation=cv2.INTER_AREA)


groups = {"dead leaves": leaves, "photographs": [square(picture) for picture in pictures]}
spectra, slopes = {}, {}
for name, group in groups.items():
    powers = [power_spectrum(picture) for picture in group]
    slopes[name] = bootstrap([spectral_slope(*power) for power in powers])
    spectra[name] = (powers[0][0], np.exp(np.mean([np.log(power) for _, power in powers], axis=0)))

# %%
show(
    plots.spectra(spectra),
    alt="Radially averaged power spectra of dead leaves and of photographs: two curves that fall "
    "together, a little more steeply than a line of slope minus two.",
    caption="Power spectra, each the geometric mean of its group.",
)
for name, group in groups.items():
    pairs = np.array([channel_correlation(picture)[[0, 1, 0], [1, 2, 2]] for picture in group])
    said = (f"{pair} {bootstrap(column).value:.2f}" for pair, column in
            zip(("red–green", "green–blue", "red–blue"), pairs.T))
    print(f"{name:12} slope {slopes[name]:.2f}; correlations", ", ".join(said))
claim("Leaves and photographs both fall a little faster than 1/frequency².",
      all(-3.2 < slope.value < -2 for slope in slopes.values()))

# %% [markdown]
# If the channels of the leaves agree more closely than those of your photographs, as with the
# embedded ones, they make an easier test for the instrument. Keep that in mind below.

# %% [markdown]
# ## 9 · The way back
#
# **Idea.** Now we are handed a picture and want the lens. Take one small block. If red is green's
# texture shifted by a little $\mathbf{s}$, with an offset $o$ and a contrast $k$ of its own, then
# to first order, with $\nabla G$ the gradient of green,
#
# $$ R(\mathbf{p}) \approx o + k\,G(\mathbf{p} - \mathbf{s})
#    \approx o + k\,G(\mathbf{p}) - k\,\mathbf{s}\cdot\nabla G(\mathbf{p}) $$
#
# The right-hand side is **linear** in four unknown numbers: $o$, $k$, and the two parts of
# $\mathbf{g} = -k\,\mathbf{s}$. A block of 48 × 48 pixels gives 2,304 equations for them. Least
# squares solves that in closed form, and $\mathbf{s} = -\mathbf{g}/k$.

# %% quote="course_lib.lens.fringes.local_shift" exercise="1.8" minutes=20 difficulty=3
# hint: np.gradient of a picture returns the slope along y (rows) first, then along x.
# hint: Stack four columns: ones, the reference, its slope along x, its slope along y;
#   np.linalg.lstsq does the rest.
# hint: The answer is minus the slopes' coefficients, divided by the coefficient of the reference.

# %% [markdown]
# *Invariant.* Shift a texture by a known fraction of a pixel, change its contrast, and the shift
# comes back, for a soft texture. For a fine one it comes out too long, because half the difference
# of a pixel's two neighbours underestimates the slope at the pixel.

# %%
for softness in (4.0, 1.5):
    texture = ndimage.gaussian_filter(lesson.rng.standard_normal((64, 64)), softness, mode="wrap")
    for true in ((0.3, 0.0), (-0.1, 0.25)):
        turned = ndimage.fourier_shift(np.fft.fft2(texture), true[::-1])  # exact; rows come first
        shifted = 0.2 + 0.7 * np.fft.ifft2(turned).real
        x, y = local_shift(shifted[8:56, 8:56], texture[8:56, 8:56])
        print(f"texture of {softness} px: true {true[0]:+.2f} {true[1]:+.2f}, measured {x:+.3f} {y:+.3f}")
        assert softness < 4 or np.allclose((x, y), true, atol=0.02)

# %% [markdown]
# Measuring in earnest therefore repeats: read the channel on by the answer, and measure the rest,
# until nothing is left over.
#
# Do it for every block of a picture and you get a field of arrows. This picture of leaves was made
# with red 0.4 % and blue 0.2 % outward, about a centre off the middle.

# %%
from course_lib.lens.fringes import measure_fringes, shift_field

wide = Lens(red=1.004, blue=1.002, center=(0.58, 0.42))
through = wide.apply(dead_leaves(768, lesson.rng)[:512])
blocks = shift_field(through)
show(
    plots.shift_arrows(through, blocks, wide.center, enlarged=30),
    photo=True,
    alt="Two panels of arrows over a faded picture of leaves, for red and for blue. Nearly all point "
    "away from a cross right of and above the middle, the longer the farther out; red's are longer.",
    caption="Measured shifts of red and blue against green (30 × enlarged). The cross is the true "
    "optical centre. Single blocks err; together they agree.",
)

# %%
center = np.array(wide.center) * through.shape[1::-1]
outward = [np.sum(field * (blocks.positions - center), axis=1) > 0 for field in (blocks.red, blocks.blue)]
share_out = bootstrap(np.concatenate(outward))
claim("Most blocks point away from the optical centre.", share_out.low > 0.8, f"{share_out:.2f}")

# %% [markdown]
# One magnification $m$ and one centre $\mathbf{c}$ describe them all: $\mathbf{s} = (m -
# 1)(\mathbf{p} - \mathbf{c})$. Written as $(m-1)\,\mathbf{p} + \mathbf{o}$, where $\mathbf{o} =
# -(m-1)\,\mathbf{c}$ is the shift at the picture's top left corner, that is linear in three
# unknowns: another least squares fit.

# %%
x, y = blocks.positions.T
one, zero = np.ones_like(x), np.zeros_like(x)
design = np.block([[np.stack([x, one, zero], axis=1)], [np.stack([y, zero, one], axis=1)]])
excess, *offset = np.linalg.lstsq(design, blocks.red.T.ravel(), rcond=None)[0]
fitted = -np.array(offset) / excess / through.shape[1::-1]
print(f"red: m = {1 + excess:.4f} (true 1.0040), centre ({fitted[0]:.2f}, {fitted[1]:.2f}) (true (0.58, 0.42))")
assert abs(excess - 0.004) < 0.0006

# %% [markdown]
# `measure_fringes` does that with two refinements: blocks that disagree with all the others lose
# their vote (*iteratively reweighted* least squares; a red flower on green grass is not a fringe),
# and the interval is a *bootstrap*: fit again and again to blocks drawn with replacement, and see
# how much the answer moves. Red and blue are measured against green; green against the mean of red
# and blue.
#
# A photograph had been through a lens before ours, and the instrument reports the sum:

# %%
before, after = measure_fringes(scene), measure_fringes(Lens(red=1.004, blue=1.002).apply(scene))
for name, true in (("red", 1.004), ("blue", 1.002)):
    old, new = getattr(before, name).m, getattr(after, name).m
    print(f"{name:4}: {old.value:.5f} before, {new:.5f} after; "
          f"our lens adds {new.value - old.value:+.5f} (true {true - 1:+.5f})")

# %% [markdown]
# ### How good is the instrument?
#
# We draw a green magnification between −0.4 % and +0.4 %, put leaves through that lens, and
# measure. From here on all magnifications are in units of 10⁻⁴ (a hundredth of a per cent), away
# from 1. The pictures are kept in floating point, since rounding to 8 bits swallows the smallest
# shifts.

# %%
count = lesson.pick(smoke=6, cpu=40, gpu=80)
truth = lesson.rng.uniform(-40, 40, count)
sheets = [dead_leaves(big[0], lesson.rng).astype(np.float32) / 255 for _ in truth]


def green_of(picture):
    return 1e4 * (measure_fringes(picture, rounds=2).green.value - 1)


measured = np.array([green_of(Lens(green=1 + m / 1e4).apply(sheet)) for m, sheet in zip(truth, sheets)])
own = np.array([green_of(sheet) for sheet in sheets])
error = bootstrap(np.abs(measured - truth), statistic=np.median)

# %%
show(
    plots.recovery(truth, measured, own),
    alt="Left: measured against true green magnification, on the diagonal. Right: the errors against "
    "what the same pictures show without any lens; the points lie along the diagonal too.",
    caption="Recovery of a known green magnification. Right: a good part of the error is the picture's own.",
)
claim("Green's magnification is recovered to a median of 2 × 10⁻⁴ (0.02 percentage points) or better.",
      error.value <= 2, f"median absolute error {error:.2f} × 10⁻⁴")

# %% [markdown]
# Where does the rest come from? By chance, leaves of slightly different red and green lie next to
# each other in a way that looks a little like a lens. Measured *without* any lens, each picture has
# a small magnification of its own, and that explains a good part of the error (right panel):
# subtract it, and less is left.

# %%
rest = bootstrap(np.abs(measured - truth - own), statistic=np.median)
better = bootstrap(np.abs(measured - truth) - np.abs(measured - truth - own))
print(f"median error {error:.2f}; with the picture's own subtracted {rest:.2f} (10⁻⁴)")
if lesson.profile.name != "smoke":  # six pictures are too few to say
    claim("Subtracting the picture's own magnification makes the error smaller.", better.low > 0,
          f"by {better:.2f} × 10⁻⁴ in the mean")

# %% [markdown]
# ## 10 · What real cameras say
#
# Enough of simulation. We measured photographs from many cameras and phones (reduced to 1536 px on
# the longer side, one photo of each model), and evenly lit photographs from six cameras. The
# numbers, with their sources, are in `assets/measurements/`; `course measure lens --photos DIR
# --json FILE` makes the same from your own photographs. Two claims of the paper can now be tested.

# %%
def measurement(name):
    return json.loads((COURSE.assets / "measurements" / f"{name}.json").read_text(encoding="utf-8"))


cameras = measurement("lens_camera")
scanners = ("Film Scanner", "Noritsu")  # no lens of a camera
models = [row for row in cameras["rows"]
          if row["counted"] and not any(word in row["camera"] for word in scanners)]
sources = {source: sum(row["source"] == source for row in models)
           for source in sorted({row["source"] for row in models})}
print(f"{len(cameras['rows'])} photographs; counted is the first of each of {len(models)} camera models "
      f"(the others repeat a model, or come from a film scanner): {sources}")
recovery = cameras["recovery"]
print("green magnifications added to six of them:", *(f"{1e4 * m:+.0f}" for m in recovery["injected"]))
print("came back as (median):", *(f"{1e4 * m:+.2f}" for m in recovery["recovered_median"]))

# %% [markdown]
# **Claim 1: in most cameras green is drawn inward.** Each point with its bar is one camera model,
# with its 95 % interval over blocks. Where the bar does not touch zero, that one photograph shows
# its lens.

# %%
green = 1e4 * np.array([row["green"] for row in models])  # value, low, high
red_blue = 1e4 * np.array([[row["red"][0], row["blue"][0]] for row in models])
show(
    plots.camera_fringes(green, red_blue),
    alt="Left: green magnification of each camera model, sorted, with intervals; most lie below "
    "zero. Right: blue against red magnification, a loose cloud, denser towards positive values.",
    caption="Real cameras. Left: green against the mean of red and blue. Right: red and blue, each "
    "against green.",
)

# %%
share = bootstrap(green[:, 0] < 0)
median = bootstrap(green[:, 0], statistic=np.median)
claim("Across camera models, green is drawn inward more often than outward: the paper's claim holds.",
      share.low > 0.5 and median.high < 0,
      f"share of models {share:.2f}; median {median:.1f} × 10⁻⁴")
displaced = bootstrap([row["corner_px"] for row in models], statistic=np.median)
below = bootstrap([row["corner_px"] < 1 for row in models])
print(f"corner displacement of red or blue, the larger, at 1536 px: median {displaced:.2f} px")
print(f"less than one pixel in a share of {below:.2f}")

# %%
from scipy.stats import spearmanr

related = bootstrap(red_blue, statistic=lambda rows: spearmanr(rows).statistic)
print(f"rank correlation of red and blue: {related:.2f}")

# %% [markdown]
# So the claim holds, as a *tendency*: most models draw green inward, some draw it outward, and the
# size is tiny. It is of the order of what the doublet of section 1 suggested. Two consequences for
# a simulated lens follow. Red and blue are related only weakly (and some of that comes from sharing
# green as the reference), so it should draw red's and blue's magnifications separately, not squeeze
# green alone. And strengths should come from this distribution: a network trained on fringes ten
# times as wide will look for something that is not there.
#
# One caveat: these are the magnifications in the *files*. JPEG stores colour more coarsely than
# brightness, and a fringe is fine detail in colour. What is lost makes the channels more alike, so
# every compression pulls measured shifts towards zero. We compressed six of the photographs once
# more to see by how much:

# %%
for sampling, name in (("444", "full colour resolution"), ("420", "halved colour resolution")):
    low, middle, high = recovery[f"kept_after_jpeg86_{sampling}_lowest_median_highest"]
    print(f"JPEG 86, {name:24}: {middle:.0%} of a known shift is left (from {low:.0%} to {high:.0%})")

# %% [markdown]
# **Claim 2: vignetting follows the polynomial.** An evenly lit photograph shows nothing but the
# lens, its opening and the camera. For each of the six we fit the strength of the paper's
# polynomial, and beside it a free polynomial of the same order.

# %%
bodies = measurement("lens_flatfield")["rows"]
show(
    plots.body_falloffs(bodies),
    alt="Six panels of measured brightness against the radius. Most stay flat and then fall steeply "
    "near the corner; the dashed polynomial of the paper bends earlier, the free one follows.",
    caption="Vignetting of six cameras. The paper's shape (dashed) falls too early, and in the corner "
    "too little.",
)

# %%
def typical(name, pick=lambda value: value):
    return bootstrap([pick(row[name]) for row in bodies], statistic=np.median)


strength = typical("strength", lambda interval: interval[0])
print("strength that fits the shape:  ", strength)
print("strength that fits the corners:", typical("corner_strength"))
print("of the six, by corners:", *sorted(f"{row['corner_strength']:.2f}" for row in bodies))
print("left over by the paper's shape:", typical("rms"), "by a free polynomial:", typical("free_rms"))
claim("Real vignetting is far weaker than the polynomial at full strength.", strength.high < 0.5)

# %%
def excess_at(row, radius_wanted):  # the fitted shape minus the measured brightness
    rings, brightness = np.array(row["profile"]).T
    return np.interp(radius_wanted, rings, falloff(rings, row["strength"][0]) - brightness)


too_dark = [excess_at(row, 0.5) < 0 for row in bodies]
too_bright = [excess_at(row, 1.0) > 0 for row in bodies]
claim("In most of them the paper's shape is too dark half-way out and too bright in the corner.",
      sum(too_dark) > 3 and sum(too_bright) > 3,
      f"too dark at r = 0.5 in {sum(too_dark)}, too bright at r = 1 in {sum(too_bright)}, of {len(bodies)}")

# %% [markdown]
# Six cameras of one maker, each with whatever lens was on it, are few. Read this as "the constants
# are not universal", not as a new law. For a simulated lens it means: draw the strength over the
# whole range seen here.
#
# Ordinary photographs can be asked too. If the lens did nothing, and subjects were no brighter than
# their surroundings, brightness would rise towards the centre as often as it falls. One photograph
# says little that way, as the spread over cameras shows:

# %%
found = [row["vignetting"][0] for row in models]
print("strength from single photographs, 5, 25, 50, 75 and 95 % of the models:",
      *(f"{value:.2f}" for value in np.percentile(found, (5, 25, 50, 75, 95))), f"(n = {len(found)})")

# %% [markdown]
# ## 11 · Play with the lens
#
# Every slider is one of the sections above. Click a slider and use the arrow keys; the sentence
# says what to look for. Try the *difference* view with the magnifier in two opposite corners.

# %%
from course_lib.lens import explore

explorer = explore.explorer(lesson.photos, green=-0.4, magnifier="bottom left")
explorer.show()

# %% [markdown]
# The same in print:

# %%
chart = {"picture": explore.CHART}
settings = {
    "green 0.6 % inward, bottom left": chart | {"green": -0.6, "magnifier": "bottom left"},
    "the same, bottom right": chart | {"green": -0.6, "magnifier": "bottom right"},
    "red and blue blurred by 3 px": chart | {"blur": 3.0, "magnifier": "bottom right"},
    "barrel, k₁ = −0.2": chart | {"distortion": -0.2},
    "vignetting of 80 %": {"vignetting": 80},
    "green 0.4 % inward, difference × 4": {"green": -0.4, "view": "difference"},
}
views = [explorer.picture(**setting) for setting in settings.values()]
figure, axes = grid(views, list(settings), columns=3)
show(
    figure,
    photo=True,
    alt="Six settings of the explorer: a test chart with green drawn inward and a magnifier in each "
    "lower corner, with red and blue blurred, and barrel-distorted; a photograph with strong "
    "vignetting, and its difference view, whose edges are strongest in the corners.",
    caption="Six settings. Each inset enlarges the small box in the *opposite* lower corner. In the "
    "difference view (gray: unchanged) the fringes grow outward.",
)

# %% [markdown]
# ## Predict, then look
#
# Back to the riddle. A patch of the photograph, enlarged: from which corner was it cut? Choose
# first; then the truth is drawn.

# %%
from course_lib.predict import Game, where_from


def why(name):
    row, column = name.split()
    sides = {"top": "below", "bottom": "above", "left": "right of", "right": "left of"}
    return f"Its green lies {sides[row]} and {sides[column]} its red and blue: towards the centre."


game = Game("From which corner was this patch cut?", list(boxes),
            where_from(seen, {name: boxes[name] for name in order}, why))
game.show()

# %% [markdown]
# Now the machine: measure the shift of red and blue against green, and read the corner off its two
# signs. That is the seed of lesson 2's baseline.

# %%
def guess_corner(patch):
    red, green, blue = np.moveaxis(patch.astype(float), -1, 0)
    x, y = local_shift(red, green) + local_shift(blue, green)  # points away from the centre
    return f"{'top' if y < 0 else 'bottom'} {'left' if x < 0 else 'right'}"


def hits(lens):  # one row a photograph, one column a corner
    taken = [lens.apply(picture) for picture in pictures]
    return np.array([[guess_corner(crop(picture, box)) == name
                      for name, box in corners(picture.shape, 96).items()] for picture in taken])


# %%
trials = {"green 1.5 % inward, as in the riddle": hits(strong),
          "green 0.4 % inward": hits(Lens(green=0.996)),
          "the median camera": hits(Lens(green=1 + median.value / 1e4)),
          "no lens of ours (control)": hits(Lens())}
shares = {name: bootstrap(found.mean(axis=1)) for name, found in trials.items()}
for name, right in shares.items():
    print(f"{name:38} share right {right:.2f}")
weak, wide_fringe = trials["green 0.4 % inward"], trials["green 1.5 % inward, as in the riddle"]
print(f"0.4 % minus 1.5 %: {bootstrap((weak.astype(float) - wide_fringe).mean(axis=1)):.2f}")
claim("Least squares finds the corner more often than guessing (one in four).",
      shares["green 0.4 % inward"].low > 0.25, "n counts photographs, four patches each")

# %% [markdown]
# A wider fringe is easier for you and, as the difference shows, no easier for the machine: at 1.5 %
# the shift in the corner is several pixels, and the first-order fit is made for less than one. At
# the strength of a real lens a single patch is often not enough. The control is not at one in four,
# because these photographs have been through real lenses already. How far one can get with a single
# patch is the question of lesson 2.

# %% [markdown]
# ## Exercises
#
# Your copy of this lesson, with eight functions to write, is in
# [exercises/01_lens_aberrations.ipynb](../exercises/01_lens_aberrations.ipynb).
#
# {{exercises}}

# %% [markdown]
# ## The paper beside this course
#
# | | paper | released code | this course |
# |---|---|---|---|
# | green inward | the most common case, inferred from how accuracy responds (Figure 5a) | not measured | measured on cameras, section 10 |
# | transverse fringes | one channel scaled about the image centre | only enlarged, so that no border shows | any channel, any centre, common zoom instead of borders |
# | resampling | not said | the interpolation flag is passed in the wrong place: always bilinear | one cubic resampling a channel; linear, Lanczos and spline by choice |
# | vignetting | $1/g(r)$ at 0–100 %, on stored values | the same | the same, plus $\cos^4$, and on light by choice |
# | distortion | $1 + k_1 r^2$ | OpenCV's undistort, $k_1$ only | exact inverse, zoomed so that no border shows |
# | grayscale | "grayscale" | the green channel, copied | luma or green, by choice |
# | longitudinal fringes | described, not simulated | none | simulated, $\sigma$ growing with $r^2$ |

# %% [markdown]
# What was measured here, beside what the paper states:

# %%
results = [
    ("green inward, share of camera models", share, ".2f", "the most common"),
    ("green magnification, median (10⁻⁴)", median, ".1f", "–"),
    ("corner displacement at 1536 px, median", displaced, ".2f", "–"),
    ("vignetting strength by shape, median", strength, ".2f", "0 to 1, simulated"),
    ("error of a known magnification (10⁻⁴)", error, ".2f", "–"),
]
print(f"{'':42}{'value [95 % interval] (n)':36}paper")
for what, estimate, digits, paper in results:
    print(f"{what:42}{estimate:{digits}}".ljust(78) + paper)

# %% [markdown]
# ## Limits, references, next
#
# - Only what depends on the **radius** alone is modelled, and the curvature of the surface of focus
#   only as a blur that grows with $r^2$. Coma and astigmatism shape fringes in other ways; a
#   decentred element makes them lopsided.
# - Phones and many cameras **correct** fringes and vignetting before they save a picture. What
#   section 10 measured is what is left, after the file's JPEG took its share.
# - Vignetting was measured on six cameras of one maker.
# - No GPU was used for anything here; the `gpu` profile only measures more pictures.
#
# References: B. Van Hoorick and C. Vondrick, *Dissecting Image Crops*, ICCV 2021. E. Hecht,
# *Optics* (thin lenses, doublets). S. B. Kang, *Automatic removal of chromatic aberration from a
# single image*, CVPR 2007. Y. Zheng et al., *Single-image vignetting correction using radial
# gradient symmetry*, CVPR 2008. A. B. Lee, D. Mumford and J. Huang, *Occlusion models for natural
# images* (dead leaves), IJCV (2001). T. Gloe and R. Böhme, *The Dresden Image Database* (evenly lit
# photographs), 2010.
#
# **Next:** 02 · Where was this patch? There a network learns to read from one patch what least
# squares read here from a whole picture and, less surely, from a patch.

# %% [markdown]
# ## Answers to the riddle

# %%
lettered = dict(zip("ABCD", order))
show(
    plots.answers(seen, {letter: boxes[name] for letter, name in lettered.items()}),
    photo=True,
    alt="The whole photograph with four boxes in its corners, lettered " + ", ".join(
        f"{letter} {name}" for letter, name in lettered.items()) + ".",
    caption="Where the patches came from.",
)
for letter, name in lettered.items():
    print(f"patch {letter}: {name:12}  (least squares says {guess_corner(crop(seen, boxes[name]))})")
