"""Common wrong answers to the exercises of lesson 00."""

import numpy as np

from course_lib.errors import UsageError
from course_lib.geometry import pixels_inside
from tests.mutants import Mutant


def crop_as_view(picture, box):
    left, top, right, bottom = box.to_pixels(picture.shape)
    return picture[top:bottom, left:right]


def crop_columns_first(picture, box):
    left, top, right, bottom = box.to_pixels(picture.shape)
    return np.array(picture[left:right, top:bottom])


def crop_truncated(picture, box):
    rows, columns = picture.shape[:2]
    top, bottom = int(rows * box.y1), int(rows * box.y2)
    left, right = int(columns * box.x1), int(columns * box.x2)
    return picture[top:bottom, left:right].copy()


def crop_one_more(picture, box):
    left, top, right, bottom = box.to_pixels(picture.shape)
    return picture[top : bottom + 1, left : right + 1].copy()


def crop_whatever(picture, box):
    left, top, right, bottom = box.to_pixels(picture.shape)
    return np.array(picture[top:bottom, left:right])


def crop_by_rows(picture, box):
    left, top, right, bottom = pixels_inside(picture, box)
    return np.stack([row[left:right] for row in picture[top:bottom]])


def paste_into_canvas(canvas, patch, box):
    left, top, right, bottom = box.to_pixels(canvas.shape)
    if patch.shape[:2] != (bottom - top, right - left):
        raise UsageError("The patch does not fit the box.")
    canvas[top:bottom, left:right] = patch
    return canvas


def paste_on_black(canvas, patch, box):
    left, top, _right, _bottom = box.to_pixels(canvas.shape)
    whole = canvas * 0
    whole[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    return whole


def paste_columns_first(canvas, patch, box):
    left, top, _, _ = box.to_pixels(canvas.shape)
    whole = canvas.copy()
    whole[left : left + patch.shape[0], top : top + patch.shape[1]] = patch
    return whole


def paste_unchecked(canvas, patch, box):
    left, top, _, _ = box.to_pixels(canvas.shape)
    whole = canvas.copy()
    whole[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    return whole


def paste_anywhere(canvas, patch, box):
    left, top, right, bottom = box.to_pixels(canvas.shape)
    whole = canvas.copy()
    if whole[max(top, 0) : bottom, max(left, 0) : right].shape != patch.shape:
        raise UsageError("The patch has another size than the box.")
    if patch.dtype != canvas.dtype:
        raise UsageError("The patch has another dtype than the canvas.")
    whole[max(top, 0) : bottom, max(left, 0) : right] = patch
    return whole


def paste_any_dtype(canvas, patch, box):
    left, top, right, bottom = pixels_inside(canvas, box)
    if patch.shape != (bottom - top, right - left, canvas.shape[2]):
        raise UsageError("The patch has another size than the box.")
    whole = np.array(canvas)
    whole[top:bottom, left:right] = patch
    return whole


def paste_with_a_mask(canvas, patch, box):
    left, top, right, bottom = box.to_pixels(canvas.shape)
    height, width = canvas.shape[:2]
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise UsageError("The box leaves the canvas.")
    if (bottom - top, right - left, canvas.dtype) != (*patch.shape[:2], patch.dtype):
        raise UsageError("The patch does not fit.")
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    whole = canvas.copy()
    whole[mask] = patch.reshape(-1, patch.shape[2])
    return whole


def iou_unclipped(a, b):
    inter = (min(a.x2, b.x2) - max(a.x1, b.x1)) * (min(a.y2, b.y2) - max(a.y1, b.y1))
    return inter / (a.area + b.area - inter)


def _intersection(a, b):
    across = np.clip(min(a.x2, b.x2) - max(a.x1, b.x1), 0, None)
    return float(across * np.clip(min(a.y2, b.y2) - max(a.y1, b.y1), 0, None))


def iou_counted_twice(a, b):
    return _intersection(a, b) / (a.area + b.area)


def iou_of_the_smaller(a, b):
    return _intersection(a, b) / min(b.area, a.area)


def iou_of_the_first(a, b):
    return _intersection(a, b) / ((a.x2 - a.x1) * (a.y2 - a.y1))


def psnr_in_bytes(a, b):
    peak = 255 if a.dtype == np.uint8 else 1
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(peak**2 / ((a - b) ** 2).mean()))


def psnr_always_255(a, b):
    error = ((a.astype(float) - b.astype(float)) ** 2).mean()
    return float("inf") if error == 0 else float(20 * np.log10(255 / np.sqrt(error)))


def psnr_without_peak(a, b):
    error = ((a.astype(float) - b.astype(float)) ** 2).mean()
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def psnr_doubled(a, b):
    peak = 255.0 if a.dtype == np.uint8 else 1.0
    error = ((a.astype(float) - b.astype(float)) ** 2).mean()
    return float("inf") if error == 0 else float(20 * np.log10(peak**2 / error))


def resample_shuffled(values, statistic, rounds, rng):
    out = []
    for _ in range(rounds):
        shuffled = values.copy()
        rng.shuffle(shuffled)
        out.append(statistic(shuffled))
    return np.array(out)


def resample_third(values, statistic, rounds, rng):
    few = max(1, len(values) // 3)
    return np.array([statistic(rng.choice(values, size=few)) for _ in range(rounds)])


def resample_once(values, statistic, rounds, rng):
    drawn = values[rng.integers(0, len(values), size=(rounds, len(values)))]
    return float(statistic(drawn))


def resample_singles(values, statistic, rounds, rng):
    return np.array([statistic(values[rng.integers(len(values))]) for _ in range(rounds)])


def resample_mean(values, statistic, rounds, rng):
    n = len(values)
    return np.array([values[rng.integers(0, n, size=n)].mean() for _ in range(rounds)])


def resample_gauss(values, statistic, rounds, rng):
    return rng.normal(statistic(values), values.std() / np.sqrt(len(values)), rounds)


def resample_own_chance(values, statistic, rounds, rng):
    n = len(values)
    return np.array([statistic(values[np.random.randint(0, n, n)]) for _ in range(rounds)])  # noqa: NPY002


def resample_by_choice(values, statistic, rounds, rng):
    return [statistic(rng.choice(values, len(values))) for _ in range(rounds)]


def resample_in_one_draw(values, statistic, rounds, rng):
    places = (rng.random((rounds, len(values))) * len(values)).astype(int)
    return np.array([statistic(values[row]) for row in places])


ACCEPTED = {
    "0.1": [crop_by_rows],
    "0.2": [paste_with_a_mask],
    "0.5": [resample_by_choice, resample_in_one_draw],
}

MUTANTS = {
    "0.1": [
        Mutant(crop_as_view, hint="This is a view"),
        Mutant(crop_columns_first, hint="Rows come first"),
        Mutant(crop_truncated, hint="cuts the fraction off"),
        Mutant(crop_one_more, hint="The end of a slice"),
        Mutant(crop_whatever, hint="A slice never complains"),
    ],
    "0.2": [
        Mutant(paste_into_canvas, hint="in place"),
        Mutant(paste_on_black, hint="Everything outside the box"),
        Mutant(paste_columns_first, hint="left and top are swapped"),
        Mutant(paste_unchecked, hint="before anything is written"),
        Mutant(paste_any_dtype, hint="of another dtype"),
        Mutant(paste_anywhere, hint="A slice cuts off"),
    ],
    "0.3": [
        Mutant(iou_unclipped, hint="clip width and height at zero"),
        Mutant(iou_counted_twice, hint="subtract it once"),
        Mutant(iou_of_the_smaller, hint="divides by the smaller"),
        Mutant(iou_of_the_first, hint="not symmetric"),
    ],
    "0.4": [
        Mutant(psnr_in_bytes, hint="3 − 5 is 254"),
        Mutant(psnr_always_255, hint="of a float picture is 1"),
        Mutant(psnr_without_peak, hint="in the numerator"),
        Mutant(psnr_doubled, hint="the 20 belongs to its root"),
    ],
    "0.5": [
        Mutant(resample_shuffled, hint="without replacement"),
        Mutant(resample_third, hint="too small"),
        Mutant(resample_once, hint="one number a round"),
        Mutant(resample_singles, hint="single values"),
        Mutant(resample_mean, hint="medians and maxima"),
        Mutant(resample_gauss, hint="without assuming a distribution"),
        Mutant(resample_own_chance, hint="All chance must come"),
    ],
}
