"""Drawings of lesson 00, start here."""

import cv2
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from course_lib.cropping import fit
from course_lib.figures import INK, PAGE_WIDTH, frame, grid
from course_lib.geometry import Box, crop, paste
from course_lib.metrics import Estimate

FRAMES = {
    "#ffd166": Box(0.05, 0.1, 0.7, 0.95),
    "#9bf6ff": Box(0.3, 0.02, 0.98, 0.8),
    "#ffadad": Box(0.2, 0.25, 0.8, 0.9),
}
EMPTY = 215
CORNER = 96


def seen_and_shown(photo: np.ndarray, cut: Box) -> Figure:
    """Draw a photograph with a frame on it, and what is inside the frame beside it."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.4))
    left, top, right, bottom = cut.to_pixels(photo.shape)
    axes[0].imshow(photo)
    frame(axes[0], left, top, right - left, bottom - top, edgecolor="#ffd166")
    axes[1].imshow(crop(photo, cut))
    for axis, title in zip(axes, ("what the camera saw", "what you were shown"), strict=True):
        axis.set_title(title)
        axis.set_axis_off()
    return figure


def five_questions(photo: np.ndarray, cut: Box) -> Figure:
    """Draw a photograph as each of the five systems of the course meets it."""
    height, width = photo.shape[:2]
    piece = crop(photo, cut)
    corner = cv2.resize(photo[-CORNER:, :CORNER], None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    empty = paste(np.full_like(photo, EMPTY), piece, cut)
    questions = {
        "1 · which corner is this from?": corner,
        "2 · where did this lie?": piece,
        "3 · what stood in the gray?": empty,
        "4 · where is each patch from?": photo,
        "5 · which frame is best?": photo,
    }
    panels = [fit(picture, width, height) for picture in questions.values()]
    figure, axes = grid(panels, list(questions), columns=3)
    side = width / 20
    for i in range(4):
        for j in range(4):
            frame(axes[3], (i + 0.4) * width / 4, (j + 0.35) * height / 4, side, side)
    for colour, box in FRAMES.items():
        left, top, right, bottom = box.to_pixels(photo.shape)
        frame(axes[4], left, top, right - left, bottom - top, edgecolor=colour)
    return figure


def resampled_shares(shares: np.ndarray, estimate: Estimate, step: float) -> Figure:
    """Draw a histogram of resampled shares with the interval that holds the middle of them."""
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, 2.8))
    edges = np.arange(shares.min() - step / 2, 1 + step, step).tolist()
    axis.hist(shares, bins=edges, color="#7d8fb3", edgecolor="white")
    axis.axvspan(estimate.low, estimate.high, color="#ffd166", alpha=0.35, label="middle 95 %")
    axis.axvline(estimate.value, color=INK, linestyle="--", label="measured")
    axis.set(xlabel=f"share found, in redrawn sets of {estimate.n} photographs", ylabel="sets")
    axis.legend(loc="upper left")
    return figure
