"""What is wrong with a course: one line each, with the file, the cell, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.errors import CourseError


@dataclass(frozen=True)
class Problem:
    """One thing to put right.

    Parameters
    ----------
    file : str
        Path from the root of the course.
    what : str
        What is wrong.
    remedy : str
        What to do about it.
    cell : int, optional
        Number of the cell in that file, from 1.
    cell_id : str
        The cell's id in the notebooks.
    """

    file: str
    what: str
    remedy: str
    cell: int | None = None
    cell_id: str = ""

    def __str__(self) -> str:
        place = f" cell {self.cell} ({self.cell_id}):" if self.cell is not None else ""
        return f"{self.file}:{place} {self.what}, {self.remedy}"


class ProblemsError(CourseError):
    """Something in the course has to be put right; ``problems`` lists what."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
