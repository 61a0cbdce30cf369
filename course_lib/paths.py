"""Where the parts of the course live on disk."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CourseTree:
    """The folders of one course. Tests make small courses of their own with it.

    Parameters
    ----------
    root : Path
        The folder that holds ``notebooks/``, ``exercises/`` and ``assets/``.
    """

    root: Path

    @property
    def notebooks(self) -> Path:
        """Executed lessons."""
        return self.root / "notebooks"

    @property
    def sources(self) -> Path:
        """Hand-written lesson sources (jupytext py:percent)."""
        return self.notebooks / "source"

    @property
    def exercises(self) -> Path:
        """The students' copies."""
        return self.root / "exercises"

    @property
    def assets(self) -> Path:
        """Measurements, run cards, checkpoints and pictures of the README."""
        return self.root / "assets"


COURSE = CourseTree(Path(__file__).resolve().parent.parent)
