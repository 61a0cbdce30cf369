"""What every lesson begins with: one call that sets seed, device, profile, photos and style."""

import importlib.metadata
import os
import platform
import random
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from course_lib.errors import PhotoError
from course_lib.photos import PhotoSource, resize_to, source
from course_lib.profiles import Profile, resolve

Size = TypeVar("Size")
FLAT = 12.0  # gray levels: a picture that varies less shows nothing
SHOWN_VERSIONS = ("numpy", "opencv-python", "torch")


@dataclass(frozen=True)
class Lesson:
    """The state of a running lesson.

    Parameters
    ----------
    number : str
        Two digits, such as ``"01"``.
    profile : Profile
        The budget to keep to.
    seed : int
        Where all randomness of the lesson starts.
    photos : PhotoSource
        The reader's photographs, or the embedded ones.
    """

    number: str
    profile: Profile
    seed: int
    photos: PhotoSource
    rng: np.random.Generator = field(repr=False)

    def pick(self, *, smoke: Size, cpu: Size, gpu: Size) -> Size:
        """Return the size that belongs to the profile in use."""
        return self.profile.pick(smoke=smoke, cpu=cpu, gpu=gpu)

    def pictures(self, count: int, long_side: int = 1024) -> list[np.ndarray]:
        """Read the first photographs with something to see in them, scaled down to a lesson's size.

        Parameters
        ----------
        count : int
            How many at most.
        long_side : int
            Longer side in pixels at most.

        Raises
        ------
        PhotoError
            When no photograph has any contrast.
        """
        seen = (picture for _, picture in self.photos.pictures() if picture.std() >= FLAT)
        found = [resize_to(picture, long_side) for picture in islice(seen, count)]
        if not found:
            raise PhotoError(
                f"None of the {len(self.photos)} pictures of {self.photos.name} has anything to "
                "see in it: give a folder of ordinary photographs."
            )
        return found

    @cached_property
    def device(self) -> Any:
        """The torch device of the profile: ``cuda`` for ``gpu`` when there is one, else ``cpu``."""
        import torch  # only lessons that train need it, and it is slow to import

        torch.manual_seed(self.seed)
        use_cuda = self.profile.name == "gpu" and torch.cuda.is_available()
        return torch.device("cuda" if use_cuda else "cpu")


def start(number: str, *, profile: str = "auto", seed: int = 0, photos: str = "") -> Lesson:
    """Begin a lesson: seed everything, find the profile and the photographs, set the style.

    Parameters
    ----------
    number : str
        The lesson's number, two digits.
    profile : str
        ``smoke``, ``cpu``, ``gpu``, or ``auto`` (``$COURSE_PROFILE``, else what the machine has).
    seed : int
        Makes the lesson repeatable.
    photos : str
        A folder of photographs; empty for ``$COURSE_PHOTOS`` or else the embedded ones.

    Raises
    ------
    UsageError
        When the profile is unknown.
    PhotoError
        When the folder is missing or holds no picture.
    """
    from course_lib.figures import use_house_style  # matplotlib: not needed by those who import us

    chosen = resolve(profile)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries below us draw from the legacy generator
    use_house_style()
    lesson = Lesson(number, chosen, seed, source(photos or None), np.random.default_rng(seed))
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in SHOWN_VERSIONS)
    print(f"Lesson {number} · profile {chosen.name} ({chosen.purpose}) · seed {seed}")
    print(f"Photographs: {lesson.photos.name} ({len(lesson.photos)})")
    print(f"Python {platform.python_version()}, {versions}, {os.cpu_count()} cores")
    return lesson
