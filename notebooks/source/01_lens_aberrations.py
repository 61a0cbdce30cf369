# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 1 · What a lens does to a picture
#
# **Which marks does a lens leave in a photograph, and how do they tell where in the frame a piece
# of it was?**
#
# *Before you begin:* lesson [00](00_start_here.ipynb), NumPy arrays, what a derivative is.
# No optics is assumed beyond "a lens bends light".
#
# *Afterwards you will be able to*
#
# - explain why green is the colour that is left over in a lens corrected for red and blue;
# - write the five classical marks of a lens (two kinds of colour fringe, vignetting, distortion,
#   noise) as code of a few lines each, and put them together in the order of a camera;
# - read the marks back: measure a magnification of one part in a thousand from a single photograph;
# - say, with numbers from real cameras, which of a paper's claims hold.

# %% [markdown] run_card=true

# %% tags=["parameters"]
profile = "auto"  # smoke | cpu | gpu, or auto
seed = 0
photos = ""  # a folder with your own photographs; empty for the embedded ones

# %%
import json
from collections.abc import Sequence
from itertools import islice, product
from typing import Any  # functions here take single numbers and whole arrays alike

import cv2
import numpy as np
from scipy import ndimage

from course_lib.errors import UsageError
from course_lib.figures import grid, show
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
# Below are four small pieces of one photograph, taken after it went through a simulated lens with
# its faults turned up. They come from the four corners, in mixed order. Look at the coloured edges:
# each piece says where it belongs. By the end of this lesson you can read that, and so can
# twenty lines of least squares.

# %%
pictures = [picture for _, picture in islice(lesson.photos.pictures(), 8)]


def corner_texture(picture):  # how much there is to see in the emptiest corner
    gray = picture.mean(axis=2)
    corners = (gray[:96, :96], gray[:96, -96:], gray[-96:, :96], gray[-96:, -96:])
    return min(np.abs(np.diff(corner, axis=1)).mean() for corner in corners)


scene = max(pictures, key=corner_texture)
strong = Lens(green=0.985, vignetting=0.25)
seen = strong.apply(scene)
height, width = seen.shape[:2]
corners = {"top left": (0, 0), "top right": (width - 96, 0),
           "bottom left": (0, height - 96), "bottom right": (width - 96, height - 96)}
order_of_pieces = [str(name) for name in lesson.rng.permutation(list(corners))]
pieces = [seen[y : y + 96, x : x + 96] for x, y in (corners[name] for name in order_of_pieces)]
figure, axes = grid(pieces, [f"piece {letter}" for letter in "ABCD"], columns=4)
show(
    figure,
    photo=True,
    alt="Four enlarged 96-pixel pieces of one photograph. Edges carry green fringes on one side "
    "and magenta fringes on the other; the side differs from piece to piece.",
    caption="Which piece is the top left corner of the picture? Green lies nearer to the centre.",
)

# %% [markdown]
# The answer is at the [end of the lesson](#Predict,-then-look). We build the lens first, one fault
# at a time.

# %% [markdown]
# ## 1 · One lens, many focal lengths
#
# **Idea.** Glass slows light, and it slows blue more than red. The *refractive index* $n$ says how
# much: light in glass travels at $1/n$ of its speed in vacuum. The dependence of $n$ on the
# wavelength $\lambda$ is called *dispersion*, and it is why a prism makes a rainbow. Cauchy found
# a law with two constants per glass that is good to three digits over the visible range:
#
# $$ n(\lambda) = A + \frac{B}{\lambda^2} $$

# %% quote="course_lib.lens.optics.refractive_index"

# %% [markdown]
# A thin lens with surfaces of radii $R_1$ and $R_2$ (positive when the centre of the sphere lies
# behind the lens, so $R_2 < 0$ for the far side of a magnifying glass) has a *focal length* $f$, the
# distance at which it brings light from far away to a point. The lensmaker's equation gives it:
#
# $$ \frac{1}{f} = (n - 1)\left(\frac{1}{R_1} - \frac{1}{R_2}\right) $$

# %% quote="course_lib.lens.optics.focal_length" exercise="1.1" minutes=5 difficulty=1
# hint: Compute the power 1/f first; the focal length is its inverse.
# hint: A flat surface has an infinite radius. What is 1/np.inf?
# hint: Mind the sign: the far side of a magnifying glass has a negative radius, so minus becomes plus.

# %% [markdown]
# *Invariant.* A symmetric magnifying glass of index 1.5 has the focal length of its radius. And since
# $n$ depends on the colour, so does $f$: one lens has as many focal lengths as there are colours.

# %%
assert np.isclose(focal_length(1.5, 100.0, -100.0), 100.0)
wavelengths = {"blue": 0.486, "green": 0.546, "red": 0.656}  # micrometres
crown = (1.5046, 0.00420)  # A and B of a common crown glass
singlet = {
    name: focal_length(refractive_index(wavelength, *crown), 100.0, -100.0)
    for name, wavelength in wavelengths.items()
}
for name, f in singlet.items():
    print(f"{name:5} light, {wavelengths[name] * 1000:.0f} nm: f = {f:.2f} mm")
claim("Blue light comes to a focus before green, and green before red.",
      singlet["blue"] < singlet["green"] < singlet["red"],
      f"{singlet['red'] - singlet['blue']:.2f} mm between blue and red")

# %% [markdown]
# In the drawing the spread is exaggerated fifteenfold. A sensor at green's focus records green
# sharply and red and blue as small discs (*longitudinal* chromatic aberration). And rays that come
# in at an angle meet the sensor at slightly different heights, so that each colour draws the
# picture at its own size (*transverse* chromatic aberration).

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
# little, and a weaker diverging one of *flint* glass, which disperses a lot. Their bending adds up to
# the lens we want; their dispersions cancel. For thin lenses in contact the *powers* $\varphi = 1/f$
# add. How much a glass disperses is its *Abbe number* $V$ (a large $V$ means little dispersion),
# measured between a red and a blue wavelength. The two conditions are
#
# $$ \frac{1}{f_1} + \frac{1}{f_2} = \frac{1}{f}, \qquad \frac{1}{f_1 V_1} + \frac{1}{f_2 V_2} = 0 $$

# %% quote="course_lib.lens.optics.achromat" exercise="1.2" minutes=10 difficulty=2
# hint: Two equations, two unknowns: the powers p1 = 1/f1 and p2 = 1/f2. Solve for the powers.
# hint: From the second equation p2 = −p1 · V2 / V1. Put that into the first.
# hint: p1 = V1 / ((V1 − V2) f), and p2 = −V2 / ((V1 − V2) f).

# %% [markdown]
# Two conditions bring **two** colours together, and designers choose red and blue. What of the
# colours between? If both glasses followed Cauchy's law, their curves would have the same shape,
# and cancelling at two wavelengths would cancel everywhere. Real glasses do not: flint rises more
# steeply towards blue. We need a law good to six digits, Sellmeier's, with constants from the
# catalogue:
#
# $$ n^2(\lambda) = 1 + \sum_{i=1}^{3} \frac{B_i\,\lambda^2}{\lambda^2 - C_i} $$

# %% quote="course_lib.lens.optics.sellmeier"

# %%
from course_lib.lens.optics import F2, N_BK7

lines = {"blue": 0.4861, "yellow": 0.5876, "red": 0.6563}  # Fraunhofer's F, d and C, in µm
indices = {glass: {name: sellmeier(line, *constants) for name, line in lines.items()}
           for glass, constants in (("crown N-BK7", N_BK7), ("flint F2", F2))}
abbe = {glass: (n["yellow"] - 1) / (n["blue"] - n["red"]) for glass, n in indices.items()}
for glass, n in indices.items():
    print(f"{glass}: n = {n['yellow']:.5f}, V = {abbe[glass]:.2f}")
f1, f2 = achromat(100.0, abbe["crown N-BK7"], abbe["flint F2"])
print(f"A doublet of 100 mm: crown {f1:.1f} mm, flint {f2:.1f} mm")

# %% [markdown]
# Each component's power scales with $n(\lambda) - 1$, so we can follow the focus over the
# whole spectrum, for the single lens and for the doublet.

# %%
spectrum = np.linspace(0.43, 0.68, 251)


def power(constants, f_at_yellow, name):
    return (sellmeier(spectrum, *constants) - 1) / (indices[name]["yellow"] - 1) / f_at_yellow


single_focus = 1 / power(N_BK7, 100.0, "crown N-BK7")
double_focus = 1 / (power(N_BK7, f1, "crown N-BK7") + power(F2, f2, "flint F2"))
curves = {"one lens": single_focus, "doublet": double_focus}
show(
    plots.focal_shifts(spectrum, curves, wavelengths, reference=lines["red"]),
    alt="Two curves of focal shift against wavelength. The single lens rises steadily by about "
    "1,500 micrometres from blue to red. The doublet's curve is a shallow valley: red and "
    "blue at zero, green lowest, some tens of micrometres below.",
    caption="Left, one lens; right, a doublet (note the scales). Red and blue agree, and green, in "
    "the valley between them, is left over: the *secondary spectrum*.",
)

# %%
shift = {name: np.interp(wavelength, spectrum, double_focus) - np.interp(0.6563, spectrum, double_focus)
         for name, wavelength in wavelengths.items()}
claim(
    "The doublet joins red and blue; green is the colour left over, and focuses short.",
    abs(shift["blue"]) < 0.1 * abs(shift["green"]) and shift["green"] < 0,
    f"blue {shift['blue'] * 1000:+.1f} µm, green {shift['green'] * 1000:+.1f} µm from red",
)

# %% [markdown]
# A shorter focus goes with a smaller picture. So the paper this part of the course rebuilds,
# *Dissecting Image Crops*, expects green to be drawn slightly **smaller** than red and blue, pulled
# *inward*. Keep that claim in mind; real cameras will be asked in section 9.

# %% [markdown]
# ## 2 · A coordinate to say everything in
#
# All faults of a round lens depend on the distance from the *optical centre*, the point where the axis
# meets the sensor. We measure that distance in half diagonals, so that $r = 1$ in the
# corners of a centred picture of any size. Pixel centres lie at half-integers: the first pixel of
# a row covers $[0, 1]$ and its centre is at $0.5$. Half a pixel matters here: at the
# corner of a photo 1536 px wide, most real lenses displace colours by less than one.

# %% quote="course_lib.lens.chromatic.radius" exercise="1.3" minutes=10 difficulty=1
# hint: Build the x positions of a row of pixel centres with np.arange(width) + 0.5.
# hint: The centre is given as fractions of width and height; multiply before you subtract.
# hint: np.hypot(x[None, :], y[:, None]) makes the whole map; divide by half of np.hypot(width, height).

# %%
shape = (480, 720)
r = radius(shape)
assert r.shape == shape
assert np.allclose(r, r[::-1, ::-1])  # symmetric about the centre
assert 0.99 < r[0, 0] < 1 < radius(shape, (0.6, 0.5))[0, 0]  # pixel centres lie inside the corner
show(
    plots.radius_maps(shape, ((0.5, 0.5), (0.62, 0.42))),
    alt="Two maps of the radius r: circles around the centre of the frame, and around a point up "
    "and right of it. The value is 1 in the corners of the centred one.",
    caption="The radius $r$, for a centred and for a decentred lens.",
)

# %% [markdown]
# ## 3 · Transverse chromatic aberration
#
# **Idea.** A colour with a slightly shorter focal length draws a slightly smaller picture. One channel
# is magnified by $m$ about the optical centre $\mathbf{c}$: what was at $\mathbf{q}$ lands at
#
# $$ \mathbf{p} = \mathbf{c} + m\,(\mathbf{q} - \mathbf{c}) $$
#
# To *compute* the new channel we go the other way: for every output pixel $\mathbf{p}$, ask where it
# came from, $\mathbf{q} = \mathbf{c} + (\mathbf{p} - \mathbf{c})/m$, and interpolate there (that is what
# `resample(channel, x, y)` does). Going forward would leave holes.

# %% quote="course_lib.lens.chromatic.magnify" exercise="1.4" minutes=15 difficulty=2
# hint: Which pixel of the input does output pixel p read? Divide by m, do not multiply.
# hint: Work in our coordinates: the pixel centres of a row are np.arange(width) + 0.5, and the centre is center[0] * width.
# hint: x depends only on the column and y only on the row: pass resample a row x[None, :] and a column y[:, None].

# %% [markdown]
# *Invariants.* The optical centre stays where it is; magnifying by 1 changes nothing; and an edge at
# distance $d$ from the centre moves by $(m - 1)\,d$: here 200 px out, by 2 px.

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
# *direction* points along the radius. So a fringe is a little arrow that points to (or away from) the
# optical centre, and that is what gives a patch's place away.

# %%
show(
    plots.displacement_field(),
    alt="A field of arrows over the frame, all pointing at the cross in the centre, longest in the "
    "corners. A square patch at the top left has arrows pointing right and down.",
    caption="Displacement of green when it is drawn inward (lengths exaggerated).",
)

# %% [markdown]
# ### No black borders
#
# A channel drawn smaller leaves an empty rim: a black line of colour that shouts its position. The
# released code of the paper avoids it by only ever magnifying. Our `Lens` zooms all
# channels by the smallest common factor that keeps every sample inside the frame. A common zoom leaves
# fringes alone, and it makes a small theorem come out exactly: **green inward is the same picture as
# red and blue outward.**

# %%
inward = Lens(green=1 / 1.004).apply(scene)
outward = Lens(red=1.004, blue=1.004).apply(scene)
difference = np.abs(inward.astype(int) - outward)
print(f"largest difference of the two pictures: {difference.max()} of 255")
claim(
    "Green drawn inward is the same picture as red and blue drawn outward.", difference.max() <= 1
)

# %% [markdown]
# On a real photograph, with green 0.4 % inward (several times what a good lens does), the four
# corners look like this. Compare the side on which the green fringe lies.

# %%
examples = [Lens(green=m).apply(scene) for m in (1.0, 0.996, 0.985)]
titles = ["no aberration", "green 0.4 % inward", "green 1.5 % inward"]
crops = [picture[:110, :150] for picture in examples] + [
    picture[-110:, -150:] for picture in examples
]
figure, axes = grid(
    crops, [f"{t}, top left" for t in titles] + [f"{t}, bottom right" for t in titles]
)
show(
    figure,
    photo=True,
    alt="Two corners of a photograph without and with 0.4 and 1.5 per cent of green magnification. "
    "Edges grow green and magenta fringes, on opposite sides in opposite corners.",
    caption="Transverse chromatic aberration in two opposite corners. The fringes change sides.",
)

# %% [markdown]
# ## 4 · Longitudinal chromatic aberration
#
# **Idea.** If green is in focus on the sensor, red and blue are not: they are blurred by a disc. For
# an object at distance $s$ the sharp picture lies at distance $s'$ behind the lens, with
#
# $$ \frac{1}{s} + \frac{1}{s'} = \frac{1}{f} $$
#
# and a sensor elsewhere sees each point as a disc, as wide as the cone of light there.

# %% quote="course_lib.lens.optics.image_distance"

# %% quote="course_lib.lens.optics.blur_circle"

# %%
sensor = image_distance(singlet["green"], 5000.0)  # focus on green, 5 m away
for name, f in singlet.items():
    disc = blur_circle(25.0, f, 5000.0, sensor)
    print(f"{name:5}: a point becomes a disc of {disc * 1000:5.1f} µm")

# %% [markdown]
# With a single lens those discs are as wide as a hundred pixels, which is why nobody sells cameras
# with one. In good lenses what remains is a blur of a pixel or two, worse towards the corners, where
# the surface of best focus curves away from the flat sensor. We model each channel's blur as a Gaussian
# whose width grows with the radius, from $\sigma_0$ on the axis to $\sigma_1$ in the corner. The surface
# of focus is a bowl, the sensor is flat, and the gap between them grows with $r^2$:
#
# $$ \sigma(r) = \sigma_0 + (\sigma_1 - \sigma_0)\, r^2 $$
#
# A different blur at every pixel would be slow, and here is a trick. Mix the sharp picture and *one*
# blurred picture with weight $w$. The variance of a mixture is the mixture of the variances:
# $w\,\sigma_{max}^2$. So $w(r) = \sigma^2(r)/\sigma_{max}^2$ has exactly the right width everywhere.

# %% quote="course_lib.lens.chromatic.blur_at"

# %% quote="course_lib.lens.chromatic.defocus" exercise="1.5" minutes=15 difficulty=2
# hint: Make the map of widths first: blur_at of the radius of every pixel. Its largest value is the one blur you need.
# hint: cv2.GaussianBlur(channel.astype(np.float32), (0, 0), widest) is that blur; never narrower than NARROWEST.
# hint: The weight of the blurred picture is a ratio of variances, so square the ratio of widths.

# %% [markdown]
# *Invariant.* A single bright pixel at radius $r$ becomes a spot whose variance per axis is
# $\sigma^2(r)$. We measure it.

# %%
for column in (150, 225, 290):
    point = np.zeros((301, 301), np.float32)
    point[150, column] = 1.0
    spot = defocus(point, 0.0, 3.0, (0.5, 0.5))
    across = np.arange(301) - column
    variance = (spot.sum(axis=0) * across**2).sum() / spot.sum()
    expected = blur_at(radius((301, 301))[150, column], 0.0, 3.0) ** 2
    print(
        f"r = {radius((301, 301))[150, column]:.2f}: variance {variance:.2f} px², expected {expected:.2f}"
    )
    assert abs(variance - expected) < 0.1 * expected + 0.02

# %%
star_y, star_x = np.mgrid[-120:120, -120:120] + 0.5
star = 0.5 + 0.45 * np.sign(np.sin(24 * np.arctan2(star_y, star_x)))
chart = np.repeat(star[..., None], 3, axis=2).astype(np.float32)
soft = {"sharp": Lens(), "red and blue 2 px": Lens(blur_axis=(2, 0, 2), blur=(2, 0, 2)),
        "green 2 px": Lens(blur_axis=(0, 2, 0), blur=(0, 2, 0))}
figure, axes = grid([lens.apply(chart)[60:180, 60:180] for lens in soft.values()], list(soft))
show(
    figure,
    alt="Three star charts. The first is black and white. With red and blue blurred its spokes get "
    "green and magenta borders; with green blurred the colours change places.",
    caption="Longitudinal aberration colours edges too, but on **both** sides alike. Transverse "
    "fringes have a green side and a magenta side; that is how the two are told apart.",
)

# %% [markdown]
# ## 5 · Vignetting
#
# **Idea.** Corners get less light. Part of that is geometry: a slanted beam sees the opening of the lens
# foreshortened, is spread over more sensor, and has farther to go. Together they give the
# $\cos^4$ law for a beam at angle $\theta$ to the axis. The rest is lens barrels that get in the way. The paper
# describes the sum by a *gain* that would undo it,
#
# $$ g(r) = 1 + a r^2 + b r^4 + c r^6, \qquad (a, b, c) = (2.0625,\ 8.75,\ 0.0313) $$
#
# and multiplies every pixel by $1/g(r)$.

# %% quote="course_lib.lens.vignetting.gain"

# %% [markdown]
# To turn the effect up and down, the paper mixes original (0 %) and fully darkened picture (100 %).

# %% quote="course_lib.lens.vignetting.falloff" exercise="1.6" minutes=5 difficulty=1
# hint: At strength 0 nothing happens: the factor is 1 for every r.
# hint: At strength 1 the factor is 1 / gain(r). Between the two, mix them linearly.
# hint: (1 − strength) · 1 + strength · 1 / gain(r).

# %% quote="course_lib.lens.vignetting.cos4"

# %%
r_line = np.linspace(0, 1, 200)
show(
    plots.falloffs((0.1, 0.25, 0.5, 1.0), cos4(r_line, 32), half_angle=32),
    alt="Curves of relative light against radius. The polynomial at full strength falls to 8 per "
    "cent in the corner, at 25 per cent strength to 77, and the cosine law to 52.",
    caption="At full strength the paper's polynomial leaves 8 % of the light in the corner.",
)
assert np.isclose(falloff(1.0, 1.0), 1 / (1 + 2.0625 + 8.75 + 0.0313))
print(f"light left in the corner at full strength: {falloff(1.0, 1.0):.1%}")

# %% [markdown]
# Does a single patch betray vignetting? Its brightness does not (who knows how bright the scene
# was?), but its *gradient* might: towards the centre it gets lighter. Real scenes have gradients of their
# own, much larger ones, so this clue is weak, as lesson 2 will find.

# %% [markdown]
# ## 6 · Distortion
#
# **Idea.** The magnification of a lens can depend on the radius. Corners pulled in make a *barrel*
# ($k_1 < 0$), corners pushed out a *pincushion* ($k_1 > 0$). The paper's law moves a point at radius $r$ to
#
# $$ r_d = r\,(1 + k_1 r^2) $$

# %% quote="course_lib.lens.distortion.distort_radius"

# %% [markdown]
# To render it we need the inverse, as before: which $r$ lands at $r_d$? The cubic has no
# pretty solution, but Newton's method finds it to machine precision in a handful of steps: from a
# guess $r$, subtract the error $r\,(1 + k_1 r^2) - r_d$ divided by its slope $1 + 3 k_1 r^2$.

# %% quote="course_lib.lens.distortion.undistort_radius" exercise="1.7" minutes=15 difficulty=3
# hint: Start from r = rd and repeat the Newton step until nothing changes any more.
# hint: r ← r − (r (1 + k1 r²) − rd) / (1 + 3 k1 r²).
# hint: Where 1 + 3 k1 r² reaches zero the curve turns back and two points land on one: refuse.

# %%
for k1 in (-0.25, -0.05, 0.1, 0.3):
    radii = lesson.rng.uniform(0, 1, 1000)
    back = undistort_radius(distort_radius(radii, k1), k1)
    print(f"k1 = {k1:+.2f}: largest round-trip error {np.abs(back - radii).max():.1e}")
    assert np.allclose(back, radii, atol=1e-12)

# %%
board_y, board_x = np.mgrid[0:320, 0:480]
board = np.where((board_x // 40 + board_y // 40) % 2, 0.92, 0.25).astype(np.float32)
board = np.repeat(board[..., None], 3, axis=2)
shown = {f"k1 = {k1:+.1f}": Lens(distortion=k1).apply(board) for k1 in (-0.2, 0.0, 0.2)}
figure, axes = grid(list(shown.values()), ["barrel, k₁ = −0.2", "k₁ = 0", "pincushion, k₁ = +0.2"])
show(
    figure,
    alt="Three checkerboards: bulging outward like a barrel, straight, and pinched inward.",
    caption="Distortion bends straight lines. All three colours move together, so there is no fringe.",
)

# %% [markdown]
# ## 7 · A camera is more than a lens
#
# Three more steps, shorter, since they do not depend on the place (and so carry no clue of it, which
# is precisely why they serve as controls in lesson 2):
#
# - **noise**: photons arrive at random (variance grows with brightness), and the electronics adds its own;
# - **saturation**: every colour is moved away from, or towards, the gray of its own brightness;
# - **grayscale**: no colour at all. If a network that localises patches still can without colour, the clue was
#   not in the fringes.
#
# All of it together is one value, `Lens`. It composes the maps of sections 3 and 6, so that each channel is
# *resampled once*: two interpolations in a row would blur twice.

# %%
camera = Lens(
    red=1.001,
    green=0.998,
    blue=1.002,
    blur=(1.0, 0.3, 1.4),
    vignetting=0.2,
    distortion=-0.05,
    saturation=1.2,
    noise=0.01,
    center=(0.52, 0.49),
)
taken = camera.apply(scene, rng=lesson.rng)
assert taken.shape == scene.shape and taken.dtype == scene.dtype
figure, axes = grid([scene, taken], ["the scene", "through the camera"], columns=2)
show(
    figure,
    photo=True,
    alt="A photograph before and after a simulated camera: corners darker, lines slightly "
    "bent, colours stronger, fine grain.",
    caption="A whole camera in one value. Realistic strengths: you may have to look twice.",
)

# %% [markdown]
# ### Which steps commute?
#
# The order is the camera's: light is bent (geometry), blurred, dimmed, counted (noise), and only then
# processed (saturation). Does it matter? For two steps $A$ and $B$ we apply both orders and compare:
# $\lVert AB - BA \rVert$, as root mean square over pixels, in steps of 8 bits.

# %%
steps = {
    "transverse CA": Lens(green=0.99),
    "longitudinal CA": Lens(blur=(2.0, 0.0, 3.0)),
    "vignetting": Lens(vignetting=0.6),
    "distortion": Lens(distortion=-0.1),
    "saturation": Lens(saturation=1.4),
}
start_picture = 0.15 + 0.6 * scene.astype(np.float32) / 255  # room above and below: nothing clips
names = list(steps)
table = np.zeros((len(names), len(names)))
for i, first in enumerate(names):
    for j, second in enumerate(names):
        ab = steps[second].apply(steps[first].apply(start_picture))
        ba = steps[first].apply(steps[second].apply(start_picture))
        table[i, j] = 255 * np.sqrt(np.mean((ab - ba) ** 2))

# %%
show(
    plots.commutators(table, names),
    alt="A symmetric five by five table of differences between the two orders of two steps. Vignetting "
    "and saturation commute; geometry does not commute with vignetting.",
    caption="Root mean square difference between the two orders, in steps of 8 bits. "
    "Zero: the order does not matter.",
)

# %%
at = {name: i for i, name in enumerate(names)}
claim(
    "Vignetting and saturation commute: one scales all channels alike, the other mixes them linearly.",
    table[at["vignetting"], at["saturation"]] < 0.05,
    f"{table[at['vignetting'], at['saturation']]:.3f} steps",
)
claim(
    "Vignetting and geometry do not: a fall-off that is distorted is another fall-off.",
    table[at["vignetting"], at["distortion"]] > 0.5,
    f"{table[at['vignetting'], at['distortion']]:.2f} steps",
)
claim(
    "Saturation and fringes do not: saturation mixes channels that already lie apart.",
    table[at["transverse CA"], at["saturation"]]
    > 10 * table[at["vignetting"], at["saturation"]] + 0.02,
    f"{table[at['transverse CA'], at['saturation']]:.2f} steps",
)

# %% [markdown]
# ## 8 · The way back
#
# **Idea.** Now we are handed a picture and want the lens. Take one small block. If red is green's
# texture shifted by a little $\mathbf{s}$ (with its own brightness $a$ and contrast $b$), then to first
# order, with $\nabla G$ the gradient of green,
#
# $$ R(\mathbf{p}) \approx a + b\,G(\mathbf{p} - \mathbf{s})
#    \approx a + b\,G(\mathbf{p}) - b\,\mathbf{s}\cdot\nabla G(\mathbf{p}) $$
#
# The right-hand side is **linear** in four unknown numbers: $a$, $b$, and the two parts of
# $\mathbf{c} = -b\,\mathbf{s}$. A block of 48 × 48 pixels gives 2,304 equations for them. Least squares
# solves that in closed form, and $\mathbf{s} = -\mathbf{c}/b$.

# %% quote="course_lib.lens.fringes.local_shift" exercise="1.8" minutes=20 difficulty=3
# hint: np.gradient of a picture returns the slope along y (rows) first, then along x.
# hint: Stack four columns: ones, the reference, its slope along x, its slope along y; np.linalg.lstsq does the rest.
# hint: The answer is minus the slopes' coefficients, divided by the coefficient of the reference itself.

# %% [markdown]
# *Invariant.* Shift a soft texture by a known fraction of a pixel, change its contrast, and the shift comes
# back. (Soft, because `np.gradient` takes the difference of the two neighbours, which underrates the
# slope of fine texture; shifts of that would come out a tenth too long. Measuring a picture
# in earnest, below, reads it again where the first answer points, until nothing is left over.)

# %%
texture = ndimage.gaussian_filter(lesson.rng.standard_normal((64, 64)), 4, mode="wrap")
for true in ((0.3, 0.0), (-0.1, 0.25), (0.02, -0.01)):
    spectrum_moved = ndimage.fourier_shift(np.fft.fft2(texture), true[::-1])  # exact, rows first
    shifted = 0.2 + 0.7 * np.fft.ifft2(spectrum_moved).real
    measured = local_shift(shifted[8:56, 8:56], texture[8:56, 8:56])
    print(
        f"true {true[0]:+.2f} {true[1]:+.2f} px   measured {measured[0]:+.3f} {measured[1]:+.3f} px"
    )
    assert np.allclose(measured, true, atol=0.02)

# %% [markdown]
# Do it for every block of a picture and you get a field of arrows. It was made with red 0.4 % and blue
# 0.2 % outward; the arrows know.

# %%
from course_lib.lens.fringes import measure_fringes, shift_field

through = Lens(red=1.004, blue=1.002, center=(0.55, 0.45)).apply(scene)
blocks = shift_field(through)
show(
    plots.shift_arrows(through, blocks, (0.55, 0.45), enlarged=22),
    photo=True,
    alt="Arrows over a faded photograph, one pair a block. They point away from the white cross, the "
    "longer the farther out, the red ones twice as long as the blue ones.",
    caption="Measured shifts of red and blue against green (22 × enlarged). The cross is the true "
    "optical centre. Blocks without texture are left out.",
)

# %% [markdown]
# Every arrow obeys $\mathbf{s} = (m - 1)(\mathbf{p} - \mathbf{c})$: one magnification and one centre
# explain them all. That too is linear once you write it as $(m-1)\,\mathbf{p} - (m-1)\,\mathbf{c}$,
# so a weighted straight-line fit finds both:

# %% quote="course_lib.lens.fringes.zoom_about"

# %%
before, after = measure_fringes(scene), measure_fringes(through)
for name, true in (("red", 1.004), ("blue", 1.002)):
    old, new = getattr(before, name), getattr(after, name)
    x, y = (c.value / side for c, side in zip(new.center, through.shape[1::-1], strict=True))
    print(f"{name:4}: measured {new.m:.5f} blocks; centre ({x:.2f}, {y:.2f})")
    print(f"      {old.m.value:.5f} was there before; ours adds {new.m.value - old.m.value:+.5f} "
          f"(true {true - 1:+.5f})")

# %% [markdown]
# The photograph had been through a lens before ours, and the instrument reports the sum: that is what the second
# line of each pair takes apart. `measure_fringes` does all this with two refinements: blocks that disagree with all the others lose their vote
# (*iteratively reweighted* least squares; a red flower on green grass is not a fringe), and the interval is a
# *bootstrap*: fit again and again to blocks drawn with replacement, and see how much the answer moves.

# %% [markdown]
# ### Pictures without a lens
#
# To test an instrument we need pictures whose truth we know. Photographs have been through a lens already. So the
# course draws its own: **dead leaves**. Opaque discs with radii $\rho$ drawn from a density
# $\propto \rho^{-3}$ fall on top of each other until nothing shows through. Occlusion gives edges, and the
# exponent makes the picture look the same at every scale, as the world does. Two statistics say how natural they
# are: the power spectrum, near $1/\text{frequency}^2$ in photographs, and the correlation of the colour
# channels, which is high, because the world is mostly a matter of light and shade. (The colours of our leaves
# were *chosen* to correlate as in photographs, so their agreement below is a check, not a discovery.)

# %%
leaves = [dead_leaves(256, lesson.rng) for _ in range(lesson.pick(smoke=6, cpu=24, gpu=48))]
figure, axes = grid(leaves[:3], columns=3)
show(figure, photo=True, alt="Three dead-leaves pictures: overlapping discs of all sizes in muted, natural colours.",
     caption="Dead leaves: every edge is sharp in all three channels, since no lens was there.")

# %%
squares = [cv2.resize(picture[: min(picture.shape[:2]), : min(picture.shape[:2])], (256, 256),
                      interpolation=cv2.INTER_AREA) for picture in pictures]
spectra, slopes = {}, {}
for name, group in (("dead leaves", leaves), ("photographs", squares)):
    powers = [power_spectrum(picture) for picture in group]
    slopes[name] = bootstrap([spectral_slope(*power) for power in powers])
    spectra[name] = (powers[0][0], np.exp(np.mean([np.log(power) for _, power in powers], axis=0)))
show(
    plots.spectra(spectra),
    alt="Radially averaged power spectra of dead leaves and of photographs, both close to a "
    "straight line of slope minus two on logarithmic axes.",
    caption="Power spectra, each the geometric mean of its group.",
)
for name, slope in slopes.items():
    print(f"{name}: slope {slope}")

# %%
for name, group in (("dead leaves", leaves), ("photographs", squares)):
    matrices = np.array([channel_correlation(picture) for picture in group])
    pairs = {"red–green": (0, 1), "green–blue": (1, 2), "red–blue": (0, 2)}
    print(f"{name:12}", *(f"{pair} {bootstrap(matrices[:, i, j])}" for pair, (i, j) in pairs.items()),
          sep="\n    ")

# %% [markdown]
# ### How good is the instrument?
#
# We draw a green magnification between −0.4 % and +0.4 %, put dead leaves through that lens, and measure. (In
# floating point: rounding to 8 bits swallows the smallest shifts.)

# %%
count = lesson.pick(smoke=6, cpu=40, gpu=80)
side = lesson.pick(smoke=384, cpu=576, gpu=768)
truth = lesson.rng.uniform(-0.4, 0.4, count)  # per cent
leaves = [dead_leaves(side, lesson.rng).astype(np.float32) / 255 for _ in truth]


def recovered(kernel, sigma):
    lenses = [Lens(green=1 + percent / 100, kernel=kernel) for percent in truth]
    seen = (lens.apply(leaf) for lens, leaf in zip(lenses, leaves, strict=True))
    fits = (measure_fringes(picture, sigma=sigma, rounds=2) for picture in seen)
    return np.array([100 * (fit.green.value - 1) for fit in fits])


found = recovered("cubic", sigma=2)
error = bootstrap(np.abs(found - truth), statistic=np.median)
claim("Green's magnification is recovered to a median of 0.02 percentage points or better.",
      error.value <= 0.02, f"median absolute error {error:.4f} percentage points")

# %% [markdown]
# `sigma` is a slight blur that the instrument applies before it takes gradients. With less of it, the instrument looks at finer
# detail, and something odd appears: the errors form a **wave**. The cause is not in the instrument but in our lens.
# It reads *between* pixels by cubic interpolation, which puts fine detail a few hundredths of a pixel off, to one side or
# the other depending on the fraction of a pixel. Rendering with a spline, slower and more exact, takes most of the wave away.

# %%
fine = {kernel: recovered(kernel, sigma=1) for kernel in ("cubic", "spline")}
show(
    plots.recovery(truth, found, fine),
    alt="Measured against true green magnification: the points lie on the diagonal. A second panel "
    "shows the errors at fine detail: with cubic rendering they form a wave of a few thousandths "
    "of a percentage point, with spline rendering a smaller one.",
    caption="Recovery of a known green magnification. Right: errors when only fine detail is used.",
)
saved = bootstrap(np.abs(fine["cubic"] - truth) - np.abs(fine["spline"] - truth))
print(f"mean error saved by rendering with spline, at fine detail: {saved:.4f} percentage points")
if lesson.profile.name != "smoke":  # six pictures are too few for this
    claim("The wave comes from the interpolation: a more exact one makes it smaller.", saved.low > 0)

# %% [markdown]
# It is a *fingerprint of the simulator*, invisible to the eye and plain to a fit. Remember it in lesson 2, when a network
# that was trained on simulated lenses meets real ones.

# %% [markdown]
# ## 9 · What real cameras say
#
# Enough of simulation. We measured photographs straight from many cameras and phones (reduced to
# 1536 px, one photo of each model), and evenly lit frames from six camera bodies. The numbers, with their
# sources, are in `assets/measurements/`; `course measure lens --photos DIR --json FILE` makes the same from your own
# photographs. Two claims of the paper can now be tested.


# %%
def measurement(name):
    return json.loads((COURSE.assets / "measurements" / f"{name}.json").read_text(encoding="utf-8"))


cameras = measurement("lens_camera")
models = [row for row in cameras["rows"] if row["counted"]]
green = np.array([row["green"] for row in models]) * 1e4  # value, low, high, in units of 1e-4
red_blue = np.array([[row["red"][0], row["blue"][0]] for row in models]) * 1e4
print(f"{len(models)} camera models; sources: "
      + ", ".join(f"{source['source']} ({source['photos']})" for source in cameras["provenance"]["sources"]))
recovery = cameras["recovery"]
print("known green magnifications were added to six of the photos, in units of 1e-4:",
      *(f"{v * 1e4:+.0f}" for v in recovery["injected"]))
print("they came back as (median):", *(f"{v * 1e4:+.2f}" for v in recovery["recovered_median"]))

# %% [markdown]
# **Claim 1: the modal green channel is drawn inward.** Each bar is one camera model, with its 95 % interval over blocks.
# Where the bar does not touch zero, that one photograph shows its lens.

# %%
show(
    plots.camera_fringes(green, red_blue),
    alt="Left: green magnification of each camera model, sorted, with intervals; about three "
    "quarters lie below zero. Right: red against blue magnification, a loose cloud, denser "
    "towards positive values of both.",
    caption="Real cameras. Left: green against the mean of red and blue. Right: red and blue hardly "
    "go together.",
)

# %%
share = bootstrap(green[:, 0] < 0)
median = bootstrap(green[:, 0], statistic=np.median)
claim("Across camera models, green is drawn inward more often than outward: the paper's claim holds.",
      share.low > 0.5 and median.high < 0,
      f"inward in {100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}] of models, "
      f"median {median.value:.2f} [{median.low:.2f}, {median.high:.2f}] × 10⁻⁴, n = {share.n}")
corner = bootstrap([row["corner_px"] for row in models], statistic=np.median)
print(f"Displacement of red or blue in the corner of a 1536 px photo, median: {corner} px")
correlation = cameras["summary"]["red_blue_rank_correlation"]
print("Rank correlation of red and blue: {:.2f} [{:.2f}, {:.2f}]".format(*correlation))

# %% [markdown]
# So the claim holds, as a *tendency*: most models draw green inward, some draw it outward, and the size is tiny,
# a fraction of a pixel in the corner. Two lessons for the simulator follow. Red and blue are only weakly related, so a
# simulated lens should draw their magnifications **independently**, not squeeze green alone. And strengths should come from
# this distribution: a network trained on fringes ten times as wide will look for something that is not there.
#
# One caveat: these are the magnifications in the *files*. JPEG blocks stay where they are while the fringes move, so every
# compression pulls measured shifts towards zero. We compressed six of the photos once more to see by how much:

# %%
for sampling, name in (("444", "full colour resolution"), ("420", "halved colour resolution")):
    low, middle, high = recovery[f"kept_after_jpeg86_{sampling}_lowest_median_highest"]
    print(f"JPEG 86, {name:25}: {middle:.0%} of a known shift is left (lowest {low:.0%}, highest {high:.0%})")

# %% [markdown]
# **Claim 2: vignetting follows the polynomial.** Evenly lit frames show nothing but the lens. For every body we fit the strength of
# the paper's polynomial, and beside it a free polynomial of the same order.

# %%
bodies = measurement("lens_flatfield")["rows"]
show(
    plots.body_falloffs(bodies),
    alt="Six panels of measured brightness against radius. Most fall slowly and then steeply "
    "near the corner; the dashed polynomial of the paper bends too early, the free one follows.",
    caption="Vignetting of six camera bodies. The paper's shape (dashed) falls too early, and in "
    "the corners too little.",
)

# %% [markdown]
# In numbers, as medians over the six bodies:

# %%
def over_bodies(name, column=None):
    return bootstrap(
        [row[name] if column is None else row[name][column] for row in bodies], statistic=np.median
    )


print("strength that fits the shape:  ", over_bodies("strength", 0))
print("strength that fits the corners:", over_bodies("corner_strength"))
print("left over by the paper's shape:", over_bodies("rms"))
print("left over by a free polynomial:", over_bodies("free_rms"))
print("left over at full strength:    ", over_bodies("full_rms"))
worse = bootstrap([row["rms"] / row["free_rms"] for row in bodies], statistic=np.median)
claim("Real vignetting is far weaker than the polynomial at full strength, and of another shape.",
      over_bodies("strength", 0).high < 0.5 and worse.low > 1,
      f"strength {over_bodies('strength', 0)}; its error is {worse} times a free polynomial's")

# %% [markdown]
# Six bodies of one maker are few, so read this as "the constants are not universal", not as a new law. For the simulator it
# means: draw the strength over the whole range seen here, and do not expect a network to learn more from vignetting
# than a faint brightness gradient across a patch.
#
# Ordinary photographs can be asked too: if the lens did nothing, brightness would rise towards the centre as often as it
# falls. One photograph says little that way, as the spread over cameras shows:

# %%
low, quarter, middle, three_quarters, high = cameras["summary"]["vignetting"][
    "quantiles_5_25_50_75_95"
]
print(f"strength from single photos: median {middle:.2f}, middle half {quarter:.2f} to {three_quarters:.2f}, "
      f"middle 90 % {low:.2f} to {high:.2f} (n = {len(models)})")

# %% [markdown]
# ## 10 · Play with the lens
#
# Every slider is one of the sections above. Click a slider and use the arrow keys; the sentence says what to look for. Try the
# *difference* view with the magnifier in two opposite corners.

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
    "green 0.4 % inward, difference": {"green": -0.4, "view": "difference"},
}
sheet = [explorer.picture(**setting) for setting in settings.values()]
figure, axes = grid(sheet, list(settings), columns=3)
show(
    figure,
    photo=True,
    alt="Six settings of the explorer: a test chart with green drawn inward and a magnifier in each "
    "lower corner, with red and blue blurred, and barrel-distorted; a photograph with strong "
    "vignetting, and its difference view, whose edges are strongest in the corners.",
    caption="Six settings. In the difference view (gray: unchanged) the fringes grow from the centre outward.",
)

# %% [markdown]
# ## Predict, then look
#
# Back to the riddle. A piece of the photograph, 96 pixels wide, enlarged: from which corner was it cut? Choose first; then the truth is
# drawn. (On the static page, use the four pieces at the top; the answers stand at the very end.)

# %%
from course_lib.predict import Game, Round


def enlarged(piece):
    return cv2.resize(piece, (384, 384), interpolation=cv2.INTER_NEAREST)


rounds = []
for name in order_of_pieces:
    x, y = corners[name]
    shown = seen.copy()
    cv2.rectangle(shown, (x, y), (x + 95, y + 95), (255, 209, 102), 6)
    side = max(shown.shape[:2])
    canvas = np.full((side, side, 3), 246, np.uint8)
    canvas[(side - height) // 2 :][:height, (side - width) // 2 :][:, :width] = shown
    toward = (
        {"top": "down", "bottom": "up"}[name.split()[0]],
        {"left": "right", "right": "left"}[name.split()[1]],
    )
    why = f"Its green lies {toward[0]} and to the {toward[1]} of its red and blue: towards the centre."
    rounds.append(
        Round(enlarged(seen[y : y + 96, x : x + 96]), name, cv2.resize(canvas, (384, 384)), why)
    )
game = Game("From which corner was this piece cut?", list(corners), rounds)
game.show()

# %% [markdown]
# Now the machine: measure the shift of red and blue against green, and read the corner off its two signs. That is the
# seed of lesson 2's baseline.

# %%
def guess_corner(piece):
    red, green, blue = np.moveaxis(piece.astype(float), -1, 0)
    x, y = local_shift(red, green) + local_shift(blue, green)  # points away from the centre
    return f"{'top' if y < 0 else 'bottom'} {'left' if x < 0 else 'right'}"


# %% [markdown]
# We try it on the four corners of every photograph at hand.

# %%
first, last = slice(0, 96), slice(-96, None)
rows, columns = {"top": first, "bottom": last}, {"left": first, "right": last}
right = []
for picture in pictures:
    taken = strong.apply(picture)
    for row, column in product(rows, columns):
        right.append(guess_corner(taken[rows[row], columns[column]]) == f"{row} {column}")
share_right = bootstrap(right, groups=np.repeat(np.arange(len(pictures)), 4))
claim("Least squares finds the corner more often than guessing (one in four).", share_right.low > 0.25,
      f"share right {share_right}, n counts photographs")

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
# | green inward | "most commonly of all", inferred from how accuracy responds (Figure 5a) | – | measured directly, section 9 |
# | transverse CA | one channel scaled about the image centre | only enlarged, so that no border shows | any channel, any centre, common zoom instead of borders |
# | resampling | – | interpolation flag passed in the wrong place, always bilinear | one cubic resampling a channel; linear and Lanczos by choice |
# | vignetting | $1/g(r)$ at 0–100 %, on sRGB values | same | same, plus $\cos^4$, and in linear light by choice |
# | distortion | $1 + k_1 r^2$ | OpenCV's undistort, $k_1$ only | exact inverse, zoomed so that no border shows |
# | grayscale | "grayscale" | the green channel, copied | luma or green, by choice |
# | longitudinal CA | described, not simulated | – | simulated, σ growing with $r^2$ |

# %%
rows = [
    ("green inward, share of camera models", f"{100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]", share.n),
    ("green magnification − 1, median", f"{median.value:.2f} [{median.low:.2f}, {median.high:.2f}] × 10⁻⁴", median.n),
    ("corner displacement at 1536 px, median", f"{corner.value:.2f} [{corner.low:.2f}, {corner.high:.2f}] px", corner.n),
    ("vignetting strength, shape, median", f"{over_bodies('strength', 0):.2f}".split(" (")[0], len(bodies)),
    ("recovery of a known green magnification", f"{error.value:.4f} [{error.low:.4f}, {error.high:.4f}] points", error.n),
]
print(f"{'measured here':45}{'value [95 % interval]':32}n")
for what, value, n in rows:
    print(f"{what:45}{value:32}{n}")

# %% [markdown]
# ## Limits, references, next
#
# - Only **radial** faults are modelled. Coma, astigmatism and field curvature shape fringes in other ways; a decentred element
#   makes them lopsided.
# - Phones and many cameras **correct** fringes and vignetting before they save a picture. What section 9 measured is
#   what is left.
# - The photographs were resized once and saved as JPEG with full colour resolution. JPEG with the usual halved colour resolution
#   blurs the fringes; lesson 4 measures by how much.
# - Vignetting was measured on six bodies of one maker.
#
# References: B. Van Hoorick and C. Vondrick, *Dissecting Image Crops*, ICCV 2021. E. Hecht, *Optics* (thin lenses,
# doublets). S. B. Kang, *Automatic removal of chromatic aberration from a single image*, CVPR 2007. Y. Zheng et al., *Single-image
# vignetting correction using radial gradient symmetry*, CVPR 2008. A. B. Lee, D. Mumford and J. Huang, *Occlusion models for
# natural images* (dead leaves), IJCV 2001. T. Gloe and R. Böhme, *The Dresden Image Database* (evenly lit frames), 2010.
#
# **Next:** 02 · Where was this patch? There a network learns to read one patch at a time what least squares read here from a
# whole picture.

# %% [markdown]
# ## Answers to the riddle

# %%
for letter, name, piece in zip("ABCD", order_of_pieces, pieces, strict=True):
    print(f"piece {letter}: {name:12}  (least squares says {guess_corner(piece)})")
