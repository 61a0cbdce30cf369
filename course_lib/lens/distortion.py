"""Barrel and pincushion distortion: magnification that changes with the radius."""

from typing import Any

import numpy as np

from course_lib.errors import UsageError


def distort_radius(r: Any, k1: float) -> Any:
    """Radius at which the lens draws what belongs at radius r: r_d = r (1 + k₁ r²).

    Parameters
    ----------
    r : float or array
        Undistorted radius, 1 in the corners.
    k1 : float
        k₁ < 0 is barrel distortion, k₁ > 0 pincushion.

    Notes
    -----
    Source: "Dissecting Image Crops", Equations 7 and 8.
    """
    return r * (1 + k1 * np.square(r))


def undistort_radius(rd: Any, k1: float) -> Any:
    """Solve r (1 + k₁ r²) = r_d for r by Newton's method: the inverse of `distort_radius`.

    To draw a picture we ask, for each pixel of the result, where its light comes from. That is
    the inverse. Written r = f · r_d with a = k₁ r_d², the equation becomes f + a f³ = 1, and
    Newton's step is f ← (1 + 2 a f³) / (1 + 3 a f²).

    Parameters
    ----------
    rd : float or array
        Distorted radius ≥ 0.
    k1 : float
        As in `distort_radius`.

    Returns
    -------
    float64 scalar or array
        r, exact to about 1e-15 (relative) away from the fold.

    Raises
    ------
    UsageError
        For barrel distortion r_d reaches its greatest value 2/3 · r* at r* = 1/√(−3 k₁), where the
        picture would fold over. Radii beyond it have no source.
    """
    rd = np.asarray(rd, np.float64)
    a = k1 * np.square(rd)
    if np.any(a < -4 / 27):
        raise UsageError(
            f"distortion k1 = {k1:g} folds the picture over inside radius {np.max(rd):.3f}: "
            f"choose k1 ≥ {-4 / 27 / np.max(rd) ** 2:.4f}."
        )
    # From f = 1 Newton's method climbs to the root of a barrel from below, since f + a f³ is
    # concave there, and falls to the root of a pincushion from above, since it is convex.
    f = np.ones_like(rd)
    for _ in range(60):
        step = (1 + 2 * a * f**3) / np.maximum(1 + 3 * a * f**2, 1e-12) - f
        f = f + step
        if np.all(np.abs(step) <= 1e-15 * f):
            break
    return f * rd
