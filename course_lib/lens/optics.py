"""One thin lens, in the formulas of a physics textbook: why colours come to different focus.

Lengths share one unit (millimetres in the lessons); wavelengths are in micrometres. Every function
takes numbers or arrays. Source of the formulas: E. Hecht, *Optics*, chapters 3, 5 and 6.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

N_BK7: tuple[tuple[float, ...], tuple[float, ...]] = (
    (1.03961212, 0.231792344, 1.01046945),
    (0.00600069867, 0.0200179144, 103.560653),
)
"""A crown glass (weak dispersion, V = 64.2); coefficients as published by Schott."""
F2: tuple[tuple[float, ...], tuple[float, ...]] = (
    (1.34533359, 0.209073176, 0.937357162),
    (0.00997743871, 0.0470450767, 111.886764),
)
"""A flint glass (strong dispersion, V = 36.4); coefficients as published by Schott."""


def refractive_index(wavelength: Any, a: float = 1.5046, b: float = 0.00420) -> Any:
    """Refractive index of a glass at a wavelength, by Cauchy's equation n = a + b / λ².

    Parameters
    ----------
    wavelength : float or array
        λ in micrometres; visible light is 0.38 to 0.75.
    a, b : float
        Constants of the glass, b in µm². The defaults are the crown glass BK7; a dense flint (SF10)
        has about a = 1.7280, b = 0.01342.

    Returns
    -------
    float or array
        n, without unit. It falls with λ: glass bends blue light more than red ("dispersion").
    """
    return a + b / np.square(wavelength)


def sellmeier(wavelength: Any, b: Sequence[float], c: Sequence[float]) -> Any:
    """Refractive index by Sellmeier's equation: n² = 1 + Σ bᵢ λ² / (λ² − cᵢ).

    Good to the sixth digit over the visible range, where Cauchy's two constants give three. The
    digits matter for what two glasses leave over when they are combined.

    Parameters
    ----------
    wavelength : float or array
        λ in micrometres.
    b : three floats
        Strengths of the glass's three resonances.
    c : three floats
        Squares of their wavelengths, µm². `N_BK7` and `F2` hold (b, c) of two common glasses.

    Returns
    -------
    float or array
        n, without unit.
    """
    square = np.square(wavelength)
    return np.sqrt(1 + sum(bi * square / (square - ci) for bi, ci in zip(b, c, strict=True)))


def focal_length(n: Any, r1: float, r2: float) -> Any:
    """Focal length of a thin lens in air, by the lensmaker's equation.

    The power 1/f is (n − 1)(1/r₁ − 1/r₂): how much more the glass bends light than air, times the
    difference of the two curvatures.

    Parameters
    ----------
    n : float or array
        Refractive index of the glass.
    r1, r2 : float
        Radii of the front and the back surface; positive if the centre of the sphere lies behind
        the surface. A symmetric magnifying glass has r2 = −r1. ``np.inf`` is a flat surface.

    Returns
    -------
    float or array
        f, in the unit of the radii. Positive if the lens is thicker in the middle and collects
        light, negative if it is thinner and spreads it.
    """
    return 1 / ((n - 1) * (1 / r1 - 1 / r2))


def image_distance(f: Any, s: Any) -> Any:
    """Distance s' behind a thin lens at which an object comes to focus: 1/s' = 1/f − 1/s.

    Parameters
    ----------
    f : float or array
        Focal length.
    s : float or array
        Distance of the object before the lens; ``np.inf`` gives s' = f.

    Returns
    -------
    float or array
        s'; infinite for s = f, negative (a virtual image) for s < f.
    """
    with np.errstate(divide="ignore"):
        return 1 / np.subtract(1 / np.asarray(f, float), 1 / np.asarray(s, float))


def achromat(f: float, v1: float, v2: float) -> tuple[float, float]:
    """Focal lengths of two cemented thin lenses that bring red and blue to one focus.

    The powers add up, 1/f₁ + 1/f₂ = 1/f, and the dispersions cancel, f₁V₁ + f₂V₂ = 0. Two
    equations make two colours meet. A third one, green, is left over: the "secondary spectrum".

    Parameters
    ----------
    f : float
        Focal length of the pair.
    v1, v2 : float
        Abbe numbers of the two glasses; they must differ.

    Returns
    -------
    (f1, f2) : tuple of float
        A positive lens of the glass with the larger Abbe number, a negative one of the other.
    """
    return f * (v1 - v2) / v1, f * (v2 - v1) / v2


def blur_circle(aperture: float, f: Any, distance: Any, sensor: float) -> Any:
    """Diameter of the disc that a point becomes on the sensor: A · |sensor − s'| / s'.

    The cone of light has diameter A at the lens and 0 at the image distance s'. The sensor cuts
    it elsewhere. Colours with their own f have their own disc: longitudinal aberration.

    Parameters
    ----------
    aperture : float
        Diameter A of the lens.
    f : float or array
        Focal length, for instance one for each wavelength.
    distance : float or array
        Distance of the point before the lens.
    sensor : float
        Distance of the sensor behind the lens.
    """
    focus = image_distance(f, distance)
    return aperture * np.abs(sensor - focus) / np.abs(focus)
