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
    the inverse. Newton's step takes the error of the present r, divided by its slope, from r.

    Parameters
    ----------
    rd : float or array
        Distorted radius ≥ 0.
    k1 : float
        As in `distort_radius`.

    Returns
    -------
    float64 scalar or array
        The smallest r ≥ 0 that solves it, exact to about 1e-15 (relative) away from the fold. It
        has the shape of `rd`; `k1` = 0 leaves `rd` as it is.

    Raises
    ------
    UsageError
        For barrel distortion r_d reaches its greatest value 2/3 · r* at r* = 1/√(−3 k₁), where the
        picture would fold over. Radii beyond it have no source: 27 k₁ r_d² < −4 for any of them.
    """
    rd = np.asarray(rd, np.float64)
    if np.any(27 * k1 * np.square(rd) < -4):
        raise UsageError(
            f"distortion k1 = {k1:g} folds the picture over inside radius {np.max(rd):.3f}: "
            f"choose k1 ≥ {-4 / 27 / np.max(rd) ** 2:.4f}."
        )
    r = rd
    for _ in range(60):
        # At the fold the slope is 0; the step stays finite and the root is approached slowly.
        step = (r + k1 * r**3 - rd) / np.maximum(1 + 3 * k1 * r**2, 1e-12)
        r = r - step
        if np.all(np.abs(step) <= 1e-15 * r):
            break
    return r
