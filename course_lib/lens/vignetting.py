"""Vignetting: how much of the light arrives away from the optical centre."""

from typing import Any

import numpy as np

GAIN = (2.0625, 8.75, 0.0313)
"""The paper's constants (a, b, c) of `gain`."""


def gain(r: Any, a: float = 2.0625, b: float = 8.75, c: float = 0.0313) -> Any:
    """How many times darker the lens is at radius r: g(r) = 1 + a r² + b r⁴ + c r⁶.

    Parameters
    ----------
    r : float or array
        Radius from the optical centre; 1 in the corners (see `radius`).
    a, b, c : float
        The paper's typical values.

    Returns
    -------
    float or array
        g ≥ 1 with g(0) = 1; 11.84 in the corner. Pixels are multiplied by 1/g.

    Notes
    -----
    Source: Van Hoorick and Vondrick, "Dissecting Image Crops", Equations 5 and 6.
    """
    r2 = np.square(r)
    return 1 + r2 * (a + r2 * (b + r2 * c))


def falloff(r: Any, strength: float = 1.0) -> Any:
    """Return what a pixel at radius r is multiplied by, at any strength of the vignetting.

    The result is a mix of two pictures: the original, and the fully darkened one, which is the
    original times 1/g(r). Strength is the darkened one's share.

    Parameters
    ----------
    r : float or array
        Radius from the optical centre; 1 in the corners.
    strength : float
        0 leaves the picture as it is, 1 is the full polynomial of `gain`. Six cameras
        measured for the course lie at 0.04 to 0.26 by shape, 0.04 to 0.39 by their corners.

    Returns
    -------
    float or array
        What a pixel is multiplied by: 1 in the centre, 1 − 0.916 · strength in the corner.

    Notes
    -----
    Source: "Dissecting Image Crops", Section 5.2: "interpolating every pixel between its original
    (0 %) and fully modified (100 %) state".
    """
    return 1 - strength + strength / gain(r)


def cos4(r: Any, half_angle: float) -> Any:
    """Natural vignetting of a simple lens: cos⁴θ, where tan θ = r · tan(half angle).

    Light that arrives at an angle θ sees the aperture foreshortened (cos θ), comes from farther
    away (cos²θ, twice the path's 1/cos θ) and strikes the sensor aslant (cos θ).

    Parameters
    ----------
    r : float or array
        Radius from the optical centre; 1 in the corners.
    half_angle : float
        Half the diagonal angle of view, in degrees: 31.7 for a 35 mm lens on 24 × 36 mm.

    Returns
    -------
    float or array
        1 in the centre, cos⁴(half angle) in the corner.
    """
    # cos²θ = 1 / (1 + tan²θ)
    return 1 / np.square(1 + np.square(np.multiply(r, np.tan(np.deg2rad(half_angle)))))
