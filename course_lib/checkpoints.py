"""Trained weights: a safetensors file and beside it a card, in JSON, that says how they were made.

``NAME.safetensors`` holds numbers only, and ``NAME.json`` holds its size and its SHA-256, so a file
that was cut short or changed is noticed. Nothing is ever unpickled: a pickle can run any program
when it is opened, and what comes from elsewhere should not.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from course_lib import paths
from course_lib.errors import CourseError, UsageError
from course_lib.files import plain, whole, write_text
from course_lib.photos import PhotoSource

FORMAT = 1  # of the card
PICKLED = {".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"}
KINDS: dict[str, Any] = {  # of the card's fields in JSON; all others are strings
    "photos": list,
    "metrics": dict,
    "config": dict,
    "wall_seconds": (int, float),
    "seed": int,
    "steps": int,
    "size": int,
    "format": int,
}
Tensors = dict[str, torch.Tensor]


class CheckpointError(CourseError):
    """A checkpoint cannot be used; the message names the file and the reason."""


@dataclass(frozen=True)
class Card:
    """How a checkpoint was made.

    Parameters
    ----------
    system, variant : str
        What it belongs to, such as ``traces`` and ``joint``.
    version, commit : str
        Of this project; a commit ends in ``+`` when files were changed since.
    command : str
        What was typed.
    photos : list of dict
        Sources of training pictures: ``name``, ``count``, and ``licences`` with a count each.
    seed : int
        Start of all randomness.
    hardware : str
        Processor or GPU.
    wall_seconds : float
        Time of training.
    steps : int
        Steps of the optimizer.
    metrics : dict
        Name to a number, or to ``value``, ``low``, ``high`` and ``n``.
    config : dict
        Everything needed to build the network again, and the settings of its training.
    sha256, size
        Of the safetensors file; filled in by `save`.
    """

    system: str
    variant: str
    version: str
    commit: str
    command: str
    photos: list[dict[str, Any]]
    seed: int
    hardware: str
    wall_seconds: float
    steps: int
    metrics: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    size: int = 0
    format: int = FORMAT

    @classmethod
    def of_this_machine(cls, system: str, variant: str, **rest: Any) -> "Card":
        """Make a card whose version, commit and hardware are those of here and now.

        Parameters
        ----------
        system, variant : str
            What the checkpoint belongs to.
        **rest
            Any other field; those not given are empty.
        """
        filled = {
            "version": importlib.metadata.version("uncropped"),
            "commit": commit(),
            "command": "",
            "photos": [],
            "seed": 0,
            "hardware": hardware(),
            "wall_seconds": 0.0,
            "steps": 0,
        }
        return cls(system, variant, **{**filled, **rest})


def save(folder: Path, name: str, tensors: Mapping[str, Any], card: Card) -> Path:
    """Write ``name.safetensors`` and its card, each whole or not at all.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    name : str
        Without a suffix.
    tensors : mapping of str to Tensor or ndarray
        Copied to the processor's memory; views of one storage are stored apart.
    card : Card
        Its size and hash are filled in.

    Returns
    -------
    Path
        The safetensors file.

    Raises
    ------
    CourseError
        If a file cannot be written.
    """
    stored = {key: _own_copy(value) for key, value in tensors.items()}
    data = safetensors.torch.save(stored)
    described = asdict(card) | {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    text = json.dumps(plain(described), indent=1, ensure_ascii=False, allow_nan=False)
    path = Path(folder) / f"{name}.safetensors"
    with whole(path) as partial:
        partial.write_bytes(data)
    write_text(card_of(path), text + "\n")  # last: a card is there only when its tensors are
    return path


def load(folder_or_file: Path | str, name: str | None = None) -> tuple[Tensors, Card]:
    """Read a checkpoint and its card, after checking that they belong together.

    Parameters
    ----------
    folder_or_file : Path or str
        The safetensors file, or the folder it lies in.
    name : str, optional
        With a folder: the file's name without its suffix.

    Raises
    ------
    CheckpointError
        When the file is missing, cut short, changed or pickled, or its card is missing or wrong.
    """
    path = Path(folder_or_file)
    if name is not None:
        path = path / f"{name}.safetensors"
    if path.suffix.lower() in PICKLED:
        raise _pickled(path)
    card = read_card(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from error
    if data[:4] == b"PK\x03\x04" or (data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05"):
        raise _pickled(path)
    if len(data) < card.size:
        raise CheckpointError(
            f"{path}: is cut short ({len(data)} of {card.size} bytes). Get the file again."
        )
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise CheckpointError(
            f"{path}: was changed since its card was written (SHA-256 differs). Get both files "
            "again from where they came from."
        )
    try:
        return safetensors.torch.load(data), card
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: is not a safetensors file ({error}).") from error


def read_card(path: Path | str) -> Card:
    """Read the card of a safetensors file.

    Raises
    ------
    CheckpointError
        When the file or its card is missing, or the card is not one.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint.")
    place = card_of(path)
    try:
        given = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: its card {place.name} is missing, so nobody can say what it is. Get both "
            "files."
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{place}: cannot be read as a card ({error}).") from error
    wrong = _what_is_wrong(given)
    if wrong:
        raise CheckpointError(f"{place}: is no card of a checkpoint: {wrong}.")
    return Card(**given)


def shipped(system: str) -> list[str]:
    """Return the variants of a system whose weights come with the course, in order."""
    return _names(paths.COURSE.assets / "checkpoints" / system)


def find(system: str, variant: str, folder: Path | None = None) -> Path:
    """Return the safetensors file of a system's variant.

    Parameters
    ----------
    system, variant : str
        Such as ``traces`` and ``joint``.
    folder : Path, optional
        Where ``course train`` wrote; the shipped ones if not given.

    Raises
    ------
    UsageError
        When there is none; the message lists those that there are.
    """
    place = folder or paths.COURSE.assets / "checkpoints" / system
    path = place / f"{variant}.safetensors"
    if path.is_file():
        return path
    known = ", ".join(_names(place)) or "none"
    where = f"lie in {folder}" if folder else "come with the course"
    raise UsageError(
        f"No trained weights {system}/{variant} {where}; there are: {known}. "
        f"Train them with: course train {system}"
    )


def describe_photos(photos: PhotoSource) -> list[dict[str, Any]]:
    """Describe training pictures for a card: an entry for each origin, the largest first.

    Returns
    -------
    list of dict
        ``name``, ``count``, and ``licences`` with a count each. Photographs whose origin nobody
        states come under the name of the source.
    """
    rest = Path(photos.name).name  # a folder's place on this machine is nobody's business
    licences: dict[str, Counter[str]] = {}
    for photo in photos:
        licences.setdefault(photo.origin or rest, Counter())[photo.licence or "not stated"] += 1
    entries = [
        {"name": name, "count": each.total(), "licences": dict(each.most_common())}
        for name, each in licences.items()
    ]
    return sorted(entries, key=lambda entry: -entry["count"])


@cache
def commit() -> str:
    """Return the commit of the project's files, with a ``+`` when they were changed since."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        asked = [["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "-uno", "."]]
        answers = [
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout
            for words in asked
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answers[0].strip() + ("+" if answers[1].strip() else "")


@cache
def hardware() -> str:
    """Return the GPU, or else the processor, and the number of cores."""
    cores = f"{os.cpu_count()} cores"
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {cores}"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{(names or [platform.processor() or platform.machine()])[0]}, {cores}"


def card_of(path: Path) -> Path:
    """Return where the card of a safetensors file lies."""
    return path.with_name(path.name.removesuffix(".safetensors") + ".json")


def _own_copy(value: Any) -> torch.Tensor:
    return torch.as_tensor(value).detach().cpu().clone(memory_format=torch.contiguous_format)


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.safetensors"))


def _pickled(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path}: is a pickle, which could run any program when it is opened, and is never read. "
        "Only safetensors files are."
    )


def _what_is_wrong(given: Any) -> str:
    """Say what keeps a JSON value from being a card; nothing when it is one."""
    if not isinstance(given, dict):
        return "it holds no object"
    known = {each.name for each in fields(Card)}
    if given.get("format", FORMAT) != FORMAT:
        return f"its format is {given['format']!r}, and this course reads {FORMAT}"
    if missing := sorted(known - given.keys()):
        return f"{', '.join(missing)} is missing"
    if strange := sorted(given.keys() - known):
        return f"{', '.join(strange)} is unknown"
    for name in sorted(known):
        if not isinstance(given[name], KINDS.get(name, str)):
            return f"{name} is {given[name]!r}"
    return ""
