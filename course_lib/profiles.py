"""Profiles: one lesson, three budgets (``smoke``, ``cpu``, ``gpu``); only sizes change."""

import ctypes
import os
import sys
from dataclasses import dataclass
from typing import TypeVar

from course_lib.errors import UsageError

Size = TypeVar("Size")


@dataclass(frozen=True)
class Profile:
    """A budget that a lesson keeps to.

    Parameters
    ----------
    name : str
        ``smoke``, ``cpu`` or ``gpu``.
    minutes : float
        The time a lesson may take.
    purpose : str
        Who it is for, in a few words.
    """

    name: str
    minutes: float
    purpose: str

    def pick(self, *, smoke: Size, cpu: Size, gpu: Size) -> Size:
        """Return the size that belongs to this profile."""
        return {"smoke": smoke, "cpu": cpu, "gpu": gpu}[self.name]


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", 0.5, "tests"),
        Profile("cpu", 6.0, "a laptop"),
        Profile("gpu", 8.0, "one data-centre GPU"),
    )
}


def cuda_is_there() -> bool:
    """Say whether an NVIDIA driver with at least one device answers, without importing torch."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return False
    count = ctypes.c_int(0)
    ready = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return ready and count.value > 0


def resolve(name: str = "auto") -> Profile:
    """Find the profile to use.

    Parameters
    ----------
    name : str
        A profile's name, or ``"auto"``: ``$COURSE_PROFILE`` when set, else ``gpu`` when there
        is one, else ``cpu``.

    Raises
    ------
    UsageError
        When the name, or what ``$COURSE_PROFILE`` holds, is no profile.
    """
    wanted, where = name, "profile"
    if name == "auto":
        wanted = os.environ.get("COURSE_PROFILE") or ("gpu" if cuda_is_there() else "cpu")
        where = "$COURSE_PROFILE"
    if wanted == "auto":
        wanted = "gpu" if cuda_is_there() else "cpu"
    if wanted not in PROFILES:
        known = ", ".join(PROFILES)
        raise UsageError(f"{where} is {wanted!r}; choose one of {known}, or auto.")
    return PROFILES[wanted]
