"""Checks of the exercises of lesson 01, what a lens does to a picture."""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from course_lib.errors import UsageError
from course_lib.lens.chromatic import NARROWEST, blur_at, defocus, magnify, radius
from course_lib.lens.distortion import undistort_radius
from course_lib.lens.fringes import local_shift
from course_lib.lens.optics import achromat, focal_length
from course_lib.lens.resample import resample
from course_lib.lens.vignetting import falloff, gain
from course_lib.teach.check import REFUSED, Exercise, Misconception, register

Rng = np.random.Generator
Trials = Iterator[tuple[Any, ...]]


def _texture(rng: Rng, shape: tuple[int, int], sigma: float = 2.5) -> np.ndarray:
    """Smooth random texture in [0, 1], so that any sound interpolation gives the same."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigma)
    return np.clip(0.5 + 0.2 * noise / noise.std(), 0, 1).astype(np.float32)


def _shape(rng: Rng, low: int = 24, high: int = 64) -> tuple[int, int]:
    height, width = rng.integers(low, high, 2)
    return int(height), int(width) + int(height == width)  # never square: rows are not columns


def _center(rng: Rng) -> tuple[float, float]:
    x, y = rng.uniform(0.3, 0.7, 2)
    return float(x), float(y)


# 1.1


def _lenses(rng: Rng) -> Trials:
    """Draw lenses thick in the middle, then lenses thin in the middle, then one in five colours."""
    for kind in range(7):
        n = float(rng.uniform(1.4, 1.9))
        front, back = (float(v) for v in rng.uniform(40, 300, 2))
        yield (
            n,
            *(
                (front, -back),
                (front, np.inf),
                (front, back + 400),
                (front, -front),
                (-front, back),
                (np.inf, back),
                (front + 400, back),
            )[kind],
        )
    yield rng.uniform(1.4, 1.9, 5), 100.0, -80.0


register(
    Exercise(
        "1.1",
        "the lensmaker's equation",
        focal_length,
        _lenses,
        misconceptions=(
            Misconception(
                "That is the power 1/f. The focal length is its inverse.",
                model=lambda n, r1, r2: (n - 1) * (1 / r1 - 1 / r2),
            ),
            Misconception(
                "The two curvatures are subtracted: the far side of a magnifying glass has a "
                "negative radius already.",
                model=lambda n, r1, r2: 1 / ((n - 1) * (1 / r1 + 1 / r2)),
            ),
            Misconception(
                "Glass bends only by how much it differs from air, whose index is 1: the factor "
                "is n − 1, not n.",
                model=lambda n, r1, r2: 1 / (n * (1 / r1 - 1 / r2)),
            ),
            Misconception(
                "Curvatures are subtracted, not radii: 1/r1 − 1/r2 is not 1/(r1 − r2).",
                model=lambda n, r1, r2: (r1 - r2) / (n - 1),
            ),
            Misconception(
                "A lens that is thinner in the middle spreads the light: its focal length is "
                "negative. Keep the sign.",
                model=lambda n, r1, r2: np.abs(focal_length(n, r1, r2)),
            ),
            Misconception(
                "The sign is turned: a magnifying glass (r1 > 0 > r2) has a positive focal length.",
                model=lambda n, r1, r2: -focal_length(n, r1, r2),
            ),
            Misconception(
                "A flat side makes this ∞/∞. Work with the curvatures 1/r, which are 0 for np.inf.",
                when=lambda args, got, expected: np.isnan(got).any() and np.isinf(args[1:]).any(),
            ),
        ),
    )
)


# 1.2


def _glasses(rng: Rng) -> Trials:
    for _ in range(5):
        v1, v2 = rng.uniform(50, 90), rng.uniform(20, 45)
        yield float(rng.uniform(20, 400)), float(v1), float(v2)


def _solved(f: float, v1: float, v2: float) -> tuple[float, float]:
    """Solve the two conditions as a linear system in the powers, independently."""
    conditions = np.array([[1, 1], [1 / v1, 1 / v2]])
    p1, p2 = np.linalg.solve(conditions, np.array([1 / f, 0]))
    return 1 / p1, 1 / p2


register(
    Exercise(
        "1.2",
        "the achromatic doublet",
        achromat,
        _glasses,
        oracle=_solved,
        misconceptions=(
            Misconception(
                "The second lens must be negative, or the dispersions add up instead of "
                "cancelling: check the sign of p2.",
                model=lambda f, v1, v2: (f * (v1 - v2) / v1, f * (v1 - v2) / v2),
            ),
            Misconception(
                "Powers add up, focal lengths do not: solve for 1/f1 and 1/f2.",
                model=lambda f, v1, v2: (f * v1 / (v1 - v2), -f * v2 / (v1 - v2)),
            ),
            Misconception(
                "The two lenses are swapped: the glass with the larger V makes the stronger lens.",
                model=lambda f, v1, v2: (f * (v2 - v1) / v2, f * (v1 - v2) / v1),
            ),
            Misconception(
                "These are powers; the function returns focal lengths.",
                model=lambda f, v1, v2: (v1 / (v1 - v2) / f, -v2 / (v1 - v2) / f),
            ),
        ),
    )
)


# 1.3


def _frames(rng: Rng) -> Trials:
    for _ in range(3):
        yield (_shape(rng, 5, 40),)
        yield _shape(rng, 5, 40), _center(rng)
    yield (*_shape(rng, 5, 40), 3), _center(rng)


def _radius_by_pixel(shape: tuple[int, ...], center: tuple[float, float] = (0.5, 0.5)) -> Any:
    height, width = shape[:2]
    corner = (width**2 + height**2) ** 0.5 / 2
    return np.array(
        [
            [
                ((x + 0.5 - center[0] * width) ** 2 + (y + 0.5 - center[1] * height) ** 2) ** 0.5
                / corner
                for x in range(width)
            ]
            for y in range(height)
        ],
        np.float32,
    )


def _plane(shape: tuple[int, ...], center: tuple[float, float], offset: float, unit: str) -> Any:
    height, width = shape[:2]
    x = np.arange(width) + offset - center[0] * width
    y = np.arange(height) + offset - center[1] * height
    units = {
        "half diagonal": np.hypot(width, height) / 2,
        "diagonal": np.hypot(width, height),
        "pixels": 1.0,
        "width": width / 2,
    }
    return np.hypot(x[None, :], y[:, None]) / units[unit]


def _by_the_largest(shape: tuple[int, ...], center: tuple[float, float] = (0.5, 0.5)) -> Any:
    plane = _plane(shape, center, 0.5, "pixels")
    return plane / plane.max()


def _swapped(shape: tuple[int, ...], center: tuple[float, float] = (0.5, 0.5)) -> Any:
    return _plane(shape, (center[1], center[0]), 0.5, "half diagonal")


register(
    Exercise(
        "1.3",
        "the radius of every pixel",
        radius,
        _frames,
        oracle=_radius_by_pixel,
        rtol=1e-4,
        atol=1e-5,
        misconceptions=(
            Misconception(
                "Everything is off by half a pixel: the centre of the first pixel lies at 0.5, "
                "not at 0.",
                model=lambda shape, center=(0.5, 0.5): _plane(shape, center, 0.0, "half diagonal"),
            ),
            Misconception(
                "The unit is half the diagonal: r must be 1 in the corners of a centred picture.",
                model=lambda shape, center=(0.5, 0.5): _plane(shape, center, 0.5, "diagonal"),
            ),
            Misconception(
                "This is in pixels. Divide by half of the diagonal.",
                model=lambda shape, center=(0.5, 0.5): _plane(shape, center, 0.5, "pixels"),
            ),
            Misconception(
                "The unit is half the diagonal, not half the width.",
                model=lambda shape, center=(0.5, 0.5): _plane(shape, center, 0.5, "width"),
            ),
            Misconception("The centre is (x, y): its first number belongs to the width.", _swapped),
            Misconception(
                "The largest r is 1 only for a centred lens, and only at the very edge of the "
                "corner pixel. The unit is half the diagonal, wherever the centre is.",
                model=_by_the_largest,
            ),
        ),
    )
)


# 1.4


def _in_bytes(picture: np.ndarray) -> np.ndarray:
    """Convert to uint8, far from both ends, so that no rounding or overshoot wraps around."""
    return np.rint(96 + 64 * picture).astype(np.uint8)


def _channels(rng: Rng) -> Trials:
    """Draw texture so smooth that interpolating linearly or by cubics makes no difference."""
    for kind in range(5):
        m = float(rng.choice([-1, 1]) * rng.uniform(0.03, 0.08) + 1)
        channel = _texture(rng, _shape(rng, 32), 4.0)
        yield _in_bytes(channel) if kind == 4 else channel, m, _center(rng)


def _in_another_dtype(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
    return bool(got.shape == expected.shape and got.dtype != expected.dtype)


def _values_differ(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
    return bool(got.shape == expected.shape and got.dtype == expected.dtype)


def _wrong_at_the_edges(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
    height, width = expected.shape
    inner = slice(height // 4, -height // 4), slice(width // 4, -width // 4)
    gap = np.abs(got[inner].astype(float) - expected[inner])
    return bool(gap.max() <= (2 if expected.dtype == np.uint8 else 0.02))


def _magnified(how: str) -> Any:
    def model(channel: np.ndarray, m: float, center: tuple[float, float] = (0.5, 0.5)) -> Any:
        height, width = channel.shape
        cx, cy = center[0] * width, center[1] * height
        x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
        if how == "multiply":
            x, y = cx + (x - cx) * m, cy + (y - cy) * m
        elif how == "cut":
            x, y = (x - cx) / m, (y - cy) / m
        elif how == "transposed":
            cx, cy = center[1] * width, center[0] * height
            x, y = cx + (x - cx) / m, cy + (y - cy) / m
        elif how == "remap":
            x, y = cx + (x - cx) / m + 0.5, cy + (y - cy) / m + 0.5
        elif how == "origin":
            x, y = x / m, y / m
        elif how == "middle":
            x, y = width / 2 + (x - width / 2) / m, height / 2 + (y - height / 2) / m
        elif how == "half":
            x, y = cx + (x - 0.5 - cx) / m, cy + (y - 0.5 - cy) / m
        return resample(channel, x[None, :], y[:, None])

    return model


register(
    Exercise(
        "1.4",
        "magnify one channel",
        magnify,
        _channels,
        rtol=0,
        atol=0.02,
        levels=2,
        misconceptions=(
            Misconception(
                "It went the other way: the map runs from output to input, so divide by m.",
                _magnified("multiply"),
            ),
            Misconception(
                "The top left corner stays fixed; the optical centre should: subtract it first and "
                "add it after.",
                _magnified("origin"),
            ),
            Misconception(
                "It magnifies about the middle of the frame and ignores `center`.",
                _magnified("middle"),
            ),
            Misconception(
                "Half a pixel is missing: pixel centres lie at 0.5, 1.5, …", _magnified("half")
            ),
            Misconception(
                "Half a pixel too many: `cv2.remap` and its like count the first pixel's centre "
                "as 0, not as 0.5.",
                _magnified("remap"),
            ),
            Misconception(
                "These are distances from the centre, not positions: add the centre again before "
                "you read.",
                _magnified("cut"),
            ),
            Misconception(
                "`center` is (x, y): its first number goes with the width.",
                _magnified("transposed"),
            ),
            Misconception(
                "A uint8 channel must come back as uint8: round, then convert.",
                when=_in_another_dtype,
            ),
            Misconception(
                "Inside it is right; only the border is not. Where nothing is known the edge "
                "pixels are repeated.",
                when=_wrong_at_the_edges,
            ),
            Misconception(
                "Try one row on paper: with the centre at 50 and m = 2, position 50 reads 50, and "
                "position 60 reads 55.",
                when=_values_differ,
            ),
        ),
    )
)


# 1.5


def _blurs(rng: Rng) -> Trials:
    for low, high in ((0, 3), (0, 3), (0, 3), (0.2, 0.35)):
        axis, corner = (float(v) for v in rng.uniform(low, high, 2))
        yield _texture(rng, _shape(rng), 1.0), axis, corner, _center(rng)
    yield _texture(rng, _shape(rng), 1.0), 0.0, 2.5, _center(rng)
    yield _in_bytes(_texture(rng, _shape(rng), 1.0)), 2.5, 0.5, _center(rng)


def _mixed(how: str) -> Any:
    def model(
        channel: np.ndarray,
        sigma_axis: float,
        sigma_corner: float,
        center: tuple[float, float] = (0.5, 0.5),
    ) -> Any:
        r = radius(channel.shape, center)
        sigma = blur_at(np.sqrt(r) if how == "linear" else r, sigma_axis, sigma_corner)
        widest = max(float(sigma.max()), NARROWEST)
        if how.endswith("ends"):
            widest = max(sigma_axis, sigma_corner, NARROWEST)
        elif how == "unbounded":
            widest = float(sigma.max())
        weight = {
            "widths": sigma / widest,
            "swapped": 1 - np.square(sigma / widest),
            "uniform": np.ones_like(sigma),
            "squares": np.square(sigma) / widest,
            "clipped ends": np.minimum(np.square(sigma / widest), 1),
        }.get(how, np.square(sigma / widest))
        blurred = cv2.GaussianBlur(channel.astype(np.float32), (0, 0), widest)
        mixed = channel + weight * (blurred - channel)
        return np.rint(mixed).astype(np.uint8) if channel.dtype == np.uint8 else mixed

    return model


register(
    Exercise(
        "1.5",
        "a blur that grows with the radius",
        defocus,
        _blurs,
        rtol=0,
        atol=1e-3,
        levels=1,
        misconceptions=(
            Misconception(
                "Variances mix, widths do not: the weight is the square of the ratio of the two σ.",
                _mixed("widths"),
            ),
            Misconception(
                "Sharp and blurred are swapped: where σ(r) is largest, the weight of the blurred "
                "picture is 1.",
                _mixed("swapped"),
            ),
            Misconception(
                "This is one blur for the whole picture. Mix it in with a weight that depends on "
                "the radius.",
                _mixed("uniform"),
            ),
            Misconception(
                "The weight is σ² divided by the largest σ². Yours divides by the largest σ.",
                _mixed("squares"),
            ),
            Misconception(
                "The blur grows with r², not with r: `blur_at` has the law.", _mixed("linear")
            ),
            *(
                Misconception(
                    "A corner of a decentred lens lies beyond r = 1, so σ_max is neither of the "
                    "two arguments. Look for the largest σ in the picture.",
                    _mixed(how),
                )
                for how in ("ends", "clipped ends")
            ),
            Misconception(
                "A very narrow Gaussian falls between the pixels: never blur by less than "
                "NARROWEST; the weight does the rest.",
                _mixed("unbounded"),
            ),
            Misconception(
                "A uint8 channel must come back as uint8: round, then convert.",
                when=_in_another_dtype,
            ),
            Misconception(
                "Only uint8 goes wrong: in uint8, 3 − 5 is 254. Convert to float before you "
                "subtract.",
                when=lambda args, got, expected: args[0].dtype == np.uint8,
            ),
            Misconception(
                "Look at three places: where σ(r) is 0 the picture stays as it is, where σ(r) is "
                "largest it is the blurred one, and between them the variance decides.",
                when=_values_differ,
            ),
        ),
    )
)


# 1.6


def _falls(rng: Rng) -> Trials:
    for _ in range(3):
        yield rng.uniform(0, 1, int(rng.integers(2, 9))), float(rng.uniform(0.1, 0.9))
    yield float(rng.uniform(0.2, 1)), float(rng.choice([0.0, 1.0]))


def _falloff_by_hand(r: Any, strength: float = 1.0) -> Any:
    darkest = 1 / np.polyval([0.0313, 0, 8.75, 0, 2.0625, 0, 1], np.asarray(r, float))
    return np.interp(strength, [0, 1], [0, 1]) * (darkest - 1) + 1


register(
    Exercise(
        "1.6",
        "vignetting of any strength",
        falloff,
        _falls,
        oracle=_falloff_by_hand,
        misconceptions=(
            Misconception(
                "That is the gain that would undo the darkening; pixels are multiplied by its "
                "inverse.",
                lambda r, strength=1.0: 1 - strength + strength * gain(r),
            ),
            Misconception(
                "Mix the two pictures, that is 1 and 1/g. Mixing 1 and g before inverting gives "
                "another curve.",
                lambda r, strength=1.0: 1 / (1 - strength + strength * gain(r)),
            ),
            Misconception(
                "At strength 0 the factor must be 1 everywhere: the undarkened share 1 − strength "
                "is missing.",
                lambda r, strength=1.0: strength / gain(r),
            ),
            Misconception(
                "Strength 0 should leave the picture alone; yours does that at strength 1.",
                lambda r, strength=1.0: strength + (1 - strength) / gain(r),
            ),
            Misconception(
                "In the corner g is nearly 12, so this factor falls below zero. The darkened "
                "picture is the original times 1/g.",
                lambda r, strength=1.0: 1 - strength * (gain(r) - 1),
            ),
            Misconception(
                "The ends are right, the way between them is not: a power of g does not mix two "
                "pictures.",
                lambda r, strength=1.0: gain(r) ** -strength,
            ),
        ),
    )
)


# 1.7


def _distorted(rng: Rng) -> Trials:
    """Draw arrays, a number, the centre, no distortion at all, and radii beyond the fold."""
    for k1 in (*rng.uniform(-0.25, -0.05, 2), *rng.uniform(0.05, 0.5, 2)):
        radii = rng.uniform(0, 1, int(rng.integers(2, 12)))
        yield radii * (1 + k1 * radii**2), float(k1)
    yield float(rng.uniform(0.3, 0.7)), float(rng.uniform(-0.25, 0.5))
    yield np.append(0.0, rng.uniform(0.1, 0.7, 2)), float(rng.uniform(-0.25, 0.5))
    yield (0.0, rng.uniform(0, 1, 3))[rng.integers(2)], 0.0
    k1 = float(rng.uniform(-0.5, -0.15))
    far = np.sqrt(-4 / 27 / k1) * rng.uniform(1.05, 1.45)
    yield (float(far), np.append(rng.uniform(0, 0.5, 2), far))[rng.integers(2)], k1


def _by_roots(rd: Any, k1: float) -> Any:
    """Find the smallest real root ≥ 0 of the cubic, by eigenvalues of its companion matrix."""
    found = []
    for value in np.ravel(rd):
        roots = np.roots([k1, 0, 1, -value])
        real = roots[np.abs(roots.imag) < 1e-9].real
        positive = real[real > -1e-12]
        if not positive.size:
            raise UsageError(f"No radius is distorted to {value:.3f}.")
        found.append(positive.min())
    return np.maximum(np.reshape(found, np.shape(rd)), 0)


def _one_step(rd: Any, k1: float) -> Any:
    return rd - (rd * (1 + k1 * rd**2) - rd) / (1 + 3 * k1 * rd**2)


def _foreseen(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Let a wrong rule refuse what must be refused, so that it is judged by the rest."""

    def refusing(rd: Any, k1: float) -> Any:
        _by_roots(rd, k1)
        return rule(rd, k1)

    return refusing


def _close(args: tuple[Any, ...], got: Any, expected: Any) -> bool:
    return bool(np.max(np.abs(got - expected)) < 5e-3)


register(
    Exercise(
        "1.7",
        "undo the distortion exactly",
        undistort_radius,
        _distorted,
        oracle=_by_roots,
        rtol=1e-9,
        atol=1e-9,
        misconceptions=(
            Misconception(
                "Changing the sign of k1 undoes the distortion only to first order: solve the "
                "equation.",
                _foreseen(lambda rd, k1: rd * (1 - k1 * rd**2)),
            ),
            Misconception(
                "Dividing by 1 + k1·rd² uses the distorted radius in the factor; it needs the one "
                "you are looking for.",
                _foreseen(lambda rd, k1: rd / (1 + k1 * rd**2)),
            ),
            Misconception("One Newton step is not exact yet: repeat it.", _foreseen(_one_step)),
            Misconception(
                "This distorts once more. The inverse is asked for.",
                _foreseen(lambda rd, k1: rd * (1 + k1 * rd**2)),
            ),
            Misconception(
                "Nearly there: iterate on, until the step is as small as rounding errors.",
                when=_close,
            ),
            Misconception(
                "Beyond the fold no radius is drawn at r_d. Look for the greatest value that "
                "r (1 + k1 r²) can take, and refuse what exceeds it.",
                when=lambda args, got, expected: expected is REFUSED,
            ),
        ),
    )
)


# 1.8


def _blocks(rng: Rng) -> Trials:
    for _ in range(4):
        height, width = _shape(rng, 24, 48)
        texture = _texture(rng, (height + 8, width + 8), 1.5).astype(np.float64)
        dx, dy = rng.uniform(0.1, 0.4, 2) * rng.choice([-1, 1], 2)
        matrix = np.array([[1, 0, dx], [0, 1, dy]])
        moved = cv2.warpAffine(texture, matrix, (width + 8, height + 8), flags=cv2.INTER_CUBIC)
        contrast, offset = rng.uniform(0.5, 0.9), rng.uniform(0.05, 0.1)
        yield (contrast * moved + offset)[4:-4, 4:-4], texture[4:-4, 4:-4]


def _fit(channel: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Fit offset, contrast and slopes by the normal equations, not by NumPy's least squares."""
    slope_y, slope_x = np.gradient(reference)
    columns = [np.ones(reference.size), reference.ravel(), slope_x.ravel(), slope_y.ravel()]
    design = np.stack(columns, axis=1)
    solved = cv2.solve(design.T @ design, design.T @ channel.reshape(-1, 1), flags=cv2.DECOMP_SVD)
    return solved[1].ravel()


def _shift(channel: np.ndarray, reference: np.ndarray) -> np.ndarray:
    _, contrast, *slopes = _fit(channel, reference)
    return -np.array(slopes) / contrast


def _without_offset(channel: np.ndarray, reference: np.ndarray) -> np.ndarray:
    slope_y, slope_x = np.gradient(reference)
    design = np.stack([reference.ravel(), slope_x.ravel(), slope_y.ravel()], axis=1)
    contrast, *slopes = np.linalg.lstsq(design, channel.ravel(), rcond=None)[0]
    return -np.array(slopes) / contrast


def _without_contrast(channel: np.ndarray, reference: np.ndarray) -> np.ndarray:
    slope_y, slope_x = np.gradient(reference)
    design = np.stack([slope_x.ravel(), slope_y.ravel()], axis=1)
    return -np.linalg.lstsq(design, (channel - reference).ravel(), rcond=None)[0]


register(
    Exercise(
        "1.8",
        "measure the shift of a block",
        local_shift,
        _blocks,
        oracle=_shift,
        rtol=1e-3,
        atol=1e-3,
        misconceptions=(
            Misconception(
                "The sign is the other way: texture that has moved right reads what lay to the "
                "left.",
                lambda channel, reference: -_shift(channel, reference),
            ),
            Misconception(
                "x and y are swapped: np.gradient returns the slope along rows (y) first.",
                lambda channel, reference: _shift(channel, reference)[::-1],
            ),
            Misconception(
                "The slopes' coefficients still carry the contrast of the channel: divide it out.",
                lambda channel, reference: -_fit(channel, reference)[2:],
            ),
            Misconception(
                "Brightness and contrast differ between channels: both must be fitted along with "
                "the shift.",
                _without_contrast,
            ),
            Misconception(
                "Two slips at once: np.gradient returns the slope along rows (y) first, and the "
                "shift has the opposite sign of the slopes' coefficients.",
                lambda channel, reference: -_shift(channel, reference)[::-1],
            ),
            Misconception(
                "A channel may be brighter as a whole: the fit needs a column of ones for the "
                "offset.",
                _without_offset,
            ),
        ),
    )
)
