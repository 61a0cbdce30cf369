"""House style of figures: one look, readable at half size, clear without colour, with alt text."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from IPython import display as ipython
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from course_lib.geometry import Box

INK = "#22223b"
ACCENT = "#9a3b26"
MUTED = "#6b7280"
# Red, green and blue that keep their order of lightness for readers who do not see the hues.
CHANNELS = {"red": "#b2341d", "green": "#3a8f3a", "blue": "#20459b"}
DASHES = {"red": "--", "green": "-", "blue": ":"}
DOTS_PER_INCH = 120
PALETTE = 128  # colours of a diagram: enough for smooth lettering and a colour map
PAGE_WIDTH = 8.4  # inches: about 1000 px, a notebook's column


def use_house_style() -> None:
    """Set matplotlib's defaults for every figure that follows."""
    viridis = mpl.colormaps["viridis"]
    colours = [viridis(level) for level in (0.05, 0.45, 0.75, 0.92)]
    mpl.rcParams.update(
        {
            "figure.dpi": DOTS_PER_INCH,
            "figure.figsize": (PAGE_WIDTH, 3.6),
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 11.5,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.labelcolor": INK,
            "axes.edgecolor": MUTED,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#d9dce3",
            "grid.linewidth": 0.7,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "lines.linewidth": 2.2,
            "lines.markersize": 6,
            "legend.frameon": False,
            "image.cmap": "viridis",
            "image.interpolation": "nearest",
            "axes.prop_cycle": cycler(color=colours) + cycler(linestyle=["-", "--", "-.", ":"]),
            "svg.hashsalt": "uncropped",
        }
    )


def _encode(figure: Figure, photo: bool) -> tuple[bytes, str]:
    """Draw a figure to bytes: JPEG without chroma subsampling for photographs, PNG otherwise.

    Notebooks are shared as they are, so both are kept small: 1.5 MB hold some twenty figures.
    """
    drawn, encoded = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    picture = Image.open(drawn).convert("RGB")
    if photo:
        # Subsampled chroma would wipe out the very fringes the course is about.
        picture.save(encoded, "JPEG", quality=78, subsampling=0, optimize=True, progressive=True)
        return encoded.getvalue(), "image/jpeg"
    picture.quantize(PALETTE, dither=Image.Dither.NONE).save(encoded, "PNG", optimize=True)
    return encoded.getvalue(), "image/png"


def show(figure: Figure, *, alt: str, caption: str = "", photo: bool = False) -> None:
    """Show a figure once, with a caption below it and a text for those who cannot see it.

    Parameters
    ----------
    figure : Figure
        It is closed afterwards.
    alt : str
        What the figure shows, in words; read aloud by screen readers.
    caption : str
        What to see in it (Markdown).
    photo : bool
        Encode as JPEG (4:4:4) instead of PNG: right for photographs.

    Raises
    ------
    ValueError
        When the alt text is empty.
    """
    if not alt.strip():
        raise ValueError("A figure needs an alt text: say in words what it shows.")
    data, kind = _encode(figure, photo)
    width = round(figure.get_size_inches()[0] * DOTS_PER_INCH)
    plt.close(figure)
    display_picture(data, kind, alt=alt, width=width, caption=caption)


def display_picture(data: bytes, kind: str, *, alt: str, width: int, caption: str = "") -> None:
    """Display encoded picture bytes of MIME type ``kind`` with alt text and a caption."""
    picture = ipython.Image(data=data, format=kind.split("/")[1])
    ipython.display(picture, metadata={kind: {"alt": alt, "width": width}})
    if caption:
        ipython.display(ipython.Markdown(f"*{caption}*"))


def grid(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str] = (),
    *,
    columns: int = 3,
    width: float = PAGE_WIDTH,
    **imshow: Any,
) -> tuple[Figure, list[Axes]]:
    """Lay pictures out in a grid without axes.

    Parameters
    ----------
    pictures : sequence of (H, W, 3) uint8 or float in [0, 1], or (H, W)
        All of about one aspect ratio.
    titles : sequence of str
        One a picture, or none.
    columns : int
        Pictures a row.
    width : float
        Inches.

    Returns
    -------
    figure, axes
        To draw on further; pass the figure to `show`.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    height = rows * (width / columns * tallest + (0.32 if titles else 0.05))
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    flat = list(axes.flat)
    for axis in flat:
        axis.set_axis_off()
    for index, picture in enumerate(pictures):
        flat[index].imshow(picture, **imshow)
        if titles:
            flat[index].set_title(titles[index], fontsize=10.5)
    return figure, flat[: len(pictures)]


def frame(axis: Axes, left: float, top: float, width: float, height: float, **style: Any) -> None:
    """Draw a rectangle that stands out on any picture: a light line on a dark one."""
    style = {"linewidth": 2.0, "edgecolor": "white", **style}
    for line_width, colour in ((style["linewidth"] + 2, INK), (style["linewidth"], None)):
        options = {**style, "linewidth": line_width, "facecolor": "none"}
        if colour:
            options["edgecolor"] = colour
        axis.add_patch(mpl.patches.Rectangle((left, top), width, height, **options))


def frame_box(axis: Axes, box: Box, shape: tuple[int, ...], **style: Any) -> None:
    """Draw a box on a picture of this shape; ``style`` as for `frame`."""
    height, width = shape[:2]
    left, top = box.x1 * width, box.y1 * height
    frame(axis, left, top, box.width * width, box.height * height, **style)


def dimmed(picture: np.ndarray, box: Box) -> np.ndarray:
    """Darken a picture outside a box."""
    left, top, right, bottom = box.to_pixels(picture.shape)
    dark = (0.42 * picture).astype(picture.dtype)
    dark[top:bottom, left:right] = picture[top:bottom, left:right]
    return dark
