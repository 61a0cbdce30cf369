"""Draw the picture at the top of the README: ``python assets/make_banner.py``.

A photograph through a lens with its fringes turned up, cropped. What was cut away is only sketched;
arrows show how far the lens moved green, and all of them, inside the crop too, point at the
optical centre of the whole picture. That is what gives the crop away.
"""

from pathlib import Path

import cv2
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import ConnectionPatch

from course_lib.figures import frame, use_house_style
from course_lib.geometry import Box
from course_lib.lens import Lens, radius
from course_lib.photos import embedded

CUT = Box(0.40, 0.16, 0.97, 0.80)
GOLD, PAPER = "#ffd166", "#f4f1ea"
ZOOMED = 44  # pixels enlarged in each inset


def main() -> None:
    """Write assets/banner.jpg."""
    use_house_style()
    photo = cv2.resize(
        embedded().named("pagoda").read(), (1280, 854), interpolation=cv2.INTER_CUBIC
    )
    seen = Lens(green=0.992, vignetting=0.15).apply(photo)
    height, width = seen.shape[:2]
    left, top, right, bottom = CUT.to_pixels(seen.shape)
    gray = cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY)
    sketch = np.repeat((0.42 * gray[..., None] + 0.56 * 245), 3, axis=2).astype(np.uint8)
    sketch[top:bottom, left:right] = seen[top:bottom, left:right]

    figure = plt.figure(figsize=(12.8, 6.2), facecolor=PAPER, layout="none")
    axis = figure.add_axes((0.015, 0.03, 0.725, 0.94))
    axis.imshow(sketch, interpolation="lanczos")
    axis.contour(radius(seen.shape), levels=(0.25, 0.5, 0.75), colors="white", linewidths=1.1,
                 linestyles="--", alpha=0.8)  # fmt: skip
    x, y = np.meshgrid(np.linspace(0.05, 0.95, 13) * width, np.linspace(0.07, 0.93, 9) * height)
    axis.quiver(x, y, width / 2 - x, height / 2 - y, color="#2b7a3b", angles="xy",
                scale_units="xy", scale=11, width=0.0022, alpha=0.85)  # fmt: skip
    frame(axis, left, top, right - left, bottom - top, edgecolor=GOLD, linewidth=3.5)
    axis.plot(width / 2, height / 2, "+", color="white", markersize=26, markeredgewidth=6)
    axis.plot(width / 2, height / 2, "+", color="#22223b", markersize=24, markeredgewidth=2.5)
    axis.set_axis_off()

    places = [(0.925, 0.36), (0.503, 0.408), (0.875, 0.64)]
    for row, (px, py) in enumerate(places):
        x0, y0 = round(px * width) - ZOOMED // 2, round(py * height) - ZOOMED // 2
        inset = figure.add_axes((0.765, 0.675 - row * 0.322, 0.22, 0.295))
        inset.imshow(seen[y0 : y0 + ZOOMED, x0 : x0 + ZOOMED])
        inset.set_xticks([])
        inset.set_yticks([])
        inset.grid(visible=False)
        for spine in inset.spines.values():
            spine.set(visible=True, color=GOLD, linewidth=3)
        frame(axis, x0, y0, ZOOMED, ZOOMED, edgecolor=GOLD, linewidth=1.5)
        line = ConnectionPatch((x0 + ZOOMED, y0 + ZOOMED / 2), (0, 0.5), "data", "axes fraction",
                               axesA=axis, axesB=inset, color=GOLD, linewidth=1.6)  # fmt: skip
        figure.add_artist(line)
    target = Path(__file__).with_name("banner.jpg")
    figure.savefig(target, dpi=125, facecolor=PAPER, pil_kwargs={"quality": 88, "subsampling": 0})
    print(f"{target.name}: {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
