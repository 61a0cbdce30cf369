"""Files that are written whole or not at all."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a place beside a file to write to; it takes the file's name once that went well.

    Folders on the way are made. After an error nothing is left behind, and a file that was there
    before is untouched.

    Raises
    ------
    CourseError
        If the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CourseError(f"{path}: cannot be written ({reason}).") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8, the same line ends everywhere), whole or not at all."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def plain(value: Any) -> Any:
    """Turn dataclasses, arrays, tensors and paths into what JSON knows; NaN becomes None."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
