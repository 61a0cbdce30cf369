"""The systems of the course, and what a system's package must offer for each command.

A sixth system is a package and one line in `SYSTEMS`. Its rooms have fixed names, and the commands
find these functions in them, each when it is needed:

==============  =========================================  =====================================
command         function in the package                    returns
==============  =========================================  =====================================
course train    train.stages(profile, photos, seed, out)   list of `course_lib.training.Stage`,
                                                           tasks with their steps, and of `Solved`,
                                                           found without steps; one after another
course evaluate evaluate.evaluate(photos, *, weights,      results as `course_lib.results` wants
                limit, seed, say)                          them
course locate,  witness.witness(weights)                   a `course_lib.witness.Witness`
course protect
==============  =========================================  =====================================

- ``profile`` is a `course_lib.profiles.Profile`, ``photos`` a `course_lib.photos.PhotoSource`, and
  ``seed`` an int.
- ``out`` is the folder that the run writes to: a finished stage leaves ``VARIANT.safetensors`` and
  its card there, and ``Task.build`` of a later stage may read them with `course_lib.checkpoints`.
- ``weights`` is a folder of such files, or None for the shipped ones:
  ``checkpoints.load(checkpoints.find("traces", "joint", weights))``.
- ``limit`` is the largest number of photographs or None, and ``say(text)`` shows progress.
- A system that can simulate a lens takes ``lens`` as well, ``"simulated"`` or ``"none"``, and one
  that is measured by what is in photographs takes ``sets``, a bool. The witness of a system that
  hides a watermark takes ``watermark``, a picture's path or None; that of a system with several
  designs takes ``variant``, the name of one or None.

A function that is not there means that the system lacks the ability, and the command says so.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from course_lib.errors import UsageError

# ability: room and function, and what a system without it cannot do
ABILITIES = {
    "train": ("train", "stages", "cannot be trained"),
    "evaluate": ("evaluate", "evaluate", "has no evaluation"),
    "witness": ("witness", "witness", "examines no pictures"),
}


@dataclass(frozen=True)
class System:
    """One of the published systems that the course builds.

    Parameters
    ----------
    name : str
        As typed after a command.
    package : str
        Where its rooms are.
    title : str
        What it does, in a few words.
    """

    name: str
    package: str
    title: str

    def can(self, ability: str) -> bool:
        """Say whether the system has an ability, without importing its room if there is none."""
        room, function, _ = ABILITIES[ability]
        place = f"{self.package}.{room}"
        try:
            there = find_spec(place) is not None
        except ModuleNotFoundError:  # not even the package
            return False
        return there and hasattr(import_module(place), function)

    def function(self, ability: str) -> Callable[..., Any]:
        """Return the function behind an ability.

        Raises
        ------
        UsageError
            When the system lacks it; the message lists the systems that have it.
        """
        room, function, lack = ABILITIES[ability]
        if not self.can(ability):
            others = ", ".join(each.name for each in SYSTEMS.values() if each.can(ability))
            raise UsageError(f"{self.name} {lack}; systems that can: {others or 'none yet'}.")
        found: Callable[..., Any] = getattr(import_module(f"{self.package}.{room}"), function)
        return found


def find_system(name: str) -> System:
    """Return the system of this name.

    Raises
    ------
    UsageError
        When there is none; the message lists them.
    """
    if name not in SYSTEMS:
        raise UsageError(f"there is no system {name!r}; choose one of {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]


def takes(function: Callable[..., Any], parameter: str) -> bool:
    """Say whether a function has a parameter of this name."""
    return parameter in inspect.signature(function).parameters


SYSTEMS = {
    system.name: system
    for system in (
        System("traces", "course_lib.traces", "reads the traces that a lens leaves"),
        System("rwn", "course_lib.rwn", "hides a watermark that finds the crop"),
        System("clrnet", "course_lib.clrnet", "brings back what was cut away"),
    )
}
