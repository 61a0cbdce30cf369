"""What a lesson can count on: the machine, in words."""

import os
import platform
import shutil
import sys

import psutil

from course_lib.profiles import PROFILES, cuda_is_there, resolve

NEEDED_PYTHON = (3, 11)
NEEDED_GIGABYTES = 6.0  # the budget of a lesson
NEEDED_DISK = 2.0


def describe() -> list[str]:
    """Say what was found, a line each, and whether it is enough.

    Returns
    -------
    list of str
        Each begins with ``ok`` or ``low``.
    """
    memory = psutil.virtual_memory()
    free_memory, all_memory = (amount / 1e9 for amount in (memory.available, memory.total))
    disk = shutil.disk_usage(os.getcwd()).free / 1e9  # noqa: PTH109 - a plain string is enough
    profile = resolve("auto")
    budget = PROFILES[profile.name].minutes
    facts = [
        (sys.version_info >= NEEDED_PYTHON, f"Python {platform.python_version()} (3.11 or newer)"),
        (
            free_memory >= NEEDED_GIGABYTES,
            f"{free_memory:.0f} of {all_memory:.0f} GB memory free "
            f"(lessons stay below {NEEDED_GIGABYTES:.0f})",
        ),
        (disk >= NEEDED_DISK, f"{disk:.0f} GB disk free (results need {NEEDED_DISK:.0f})"),
        (True, f"{os.cpu_count()} processor cores"),
        (True, "an NVIDIA GPU is there" if cuda_is_there() else "no GPU: lessons use small sizes"),
        (True, f"profile {profile.name}: a lesson takes up to {budget:g} minutes"),
    ]
    return [f"{'ok ' if enough else 'low'}  {text}" for enough, text in facts]
