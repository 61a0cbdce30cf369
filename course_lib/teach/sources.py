"""Reading lesson sources: jupytext py:percent files, the only hand-written form of a lesson.

What a cell's metadata may say::

    # %% tags=["parameters"]                          papermill's parameters
    # %% quote="package.module.name"                  the library's source, put here by the builder
    # %% quote="…" exercise="1.5" minutes=10 difficulty=2
    # hint: First hint, in Markdown.                  a quoted cell holds hints or nothing
    #   Lines may go on below.
    # %% [markdown] run_card=true                     what the lesson costs, measured
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jupytext

from course_lib.teach.problems import Problem, ProblemsError

QUOTING = ("quote", "exercise", "minutes", "difficulty")
KEPT = ("tags", "jupyter", "collapsed", "editable", "slideshow", "title")
READ = (*QUOTING, *KEPT, "run_card")
LEVELS = (1, 2, 3)
# Without comment_magics=False a comment such as "# copy the picture" would become a shell command.
FORMAT = {"extension": ".py", "format_name": "percent", "comment_magics": False}
NAME = re.compile(r"(\d\d)_[a-z0-9_]+")


@dataclass(frozen=True)
class SourceCell:
    """One cell of a lesson source.

    Parameters
    ----------
    index : int
        Number of the cell in its file, from 1.
    cell_id : str
        Made from the cell's own text, so that it stays when other cells or the library change.
    kind : {"markdown", "code"}
        What the cell is.
    text : str
        Its text; empty for a quotation.
    quote : str
        Name of the definition to put here; empty if there is none.
    exercise : str
        Number of the exercise, such as ``"1.5"``; empty if it is none.
    minutes, difficulty : int
        Of the exercise: the time it takes, and 1 to 3.
    hints : tuple of str
        Of the exercise, from vague to clear.
    run_card : bool
        Whether the cell shows what the lesson costs.
    metadata : dict
        What goes to the notebook as it is, such as tags.
    """

    index: int
    cell_id: str
    kind: Literal["markdown", "code"]
    text: str
    quote: str = ""
    exercise: str = ""
    minutes: int = 0
    difficulty: int = 0
    hints: tuple[str, ...] = ()
    run_card: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LessonSource:
    """A lesson as it was written.

    Parameters
    ----------
    path : Path
        The source file.
    file : str
        The same from the root of the course, for messages.
    cells : tuple of SourceCell
        In order.
    """

    path: Path
    file: str
    cells: tuple[SourceCell, ...]

    @property
    def name(self) -> str:
        """The file name without its ending, such as ``01_lens_aberrations``."""
        return self.path.stem

    @property
    def number(self) -> str:
        """The lesson's number, two digits."""
        return self.name[:2]

    @property
    def exercises(self) -> tuple[SourceCell, ...]:
        """The cells that are exercises."""
        return tuple(cell for cell in self.cells if cell.exercise)

    def problem(self, cell: SourceCell, what: str, remedy: str) -> Problem:
        """Return a problem that names this file and a cell of it."""
        return Problem(self.file, what, remedy, cell.index, cell.cell_id)


def read_lesson(path: Path, root: Path | None = None) -> LessonSource:
    """Read and validate one lesson source.

    Parameters
    ----------
    path : Path
        ``NN_name.py``.
    root : Path, optional
        Root of the course, left out of messages.

    Raises
    ------
    ProblemsError
        With every problem of the file: unknown metadata, code in a quoted cell, an exercise without
        quotation, minutes, difficulty or hint, a number that is not this lesson's or is used twice.
    """
    file = path.relative_to(root).as_posix() if root else path.name
    if not NAME.fullmatch(path.stem):
        remedy = "name it with two digits and lower-case words, such as 01_lens_aberrations.py"
        raise ProblemsError([Problem(file, "the name is not that of a lesson", remedy)])
    try:
        notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt=dict(FORMAT))
    except Exception as error:  # jupytext, YAML and nbformat each raise their own
        what = f"it cannot be read as py:percent ({_first_line(error)})"
        raise ProblemsError([Problem(file, what, "correct its header or its cells")]) from error
    problems: list[Problem] = []
    cells: list[SourceCell] = []
    seen: Counter[str] = Counter()
    for index, raw in enumerate(notebook.cells, start=1):
        cell_id = _cell_id(raw, seen)
        cell, faults = _read_cell(raw, index, cell_id)
        problems += [Problem(file, what, remedy, index, cell_id) for what, remedy in faults]
        cells.append(cell)
    lesson = LessonSource(path, file, tuple(cells))
    problems += _numbering_problems(lesson)
    if problems:
        raise ProblemsError(sorted(problems, key=lambda problem: problem.cell or 0))
    return lesson


def _read_cell(raw: Any, index: int, cell_id: str) -> tuple[SourceCell, list[tuple[str, str]]]:
    """Read one cell; also return its faults as (what, remedy)."""
    metadata = {k: v for k, v in raw.metadata.items() if k != "lines_to_next_cell"}
    faults: list[tuple[str, str]] = []
    if "incorrectly_encoded_metadata" in metadata:
        text = metadata.pop("incorrectly_encoded_metadata")
        faults.append((f"the metadata {text!r} cannot be read", 'write it as key="value"'))
    unknown = [key for key in metadata if key not in READ]
    faults += [(f"unknown metadata {key!r}", f"use one of {', '.join(READ)}") for key in unknown]
    kind = raw.cell_type
    if kind not in ("markdown", "code"):
        faults.append((f"a cell of type {kind!r}", "make it markdown or code"))
        kind = "markdown"
    run_card = metadata.get("run_card", False)
    if run_card and kind != "markdown":
        faults.append(("run_card on a code cell", "write `# %% [markdown] run_card=true`"))
    quoting = {key: metadata[key] for key in QUOTING if key in metadata}
    hints: tuple[str, ...] = ()
    text = raw.source
    if "quote" in quoting:
        hints, stray = _read_hints(text)
        text = ""
        if stray:
            what = f"a quoted cell has text of its own ({stray!r})"
            faults.append((what, "leave only lines that start with '# hint:'"))
    elif quoting:
        what = f"{', '.join(quoting)} without a quotation"
        faults.append((what, 'put the definition into course_lib and add quote="…"'))
    if quoting and kind == "markdown":
        faults.append(("a quotation on a markdown cell", "make it a code cell"))
    faults += _exercise_faults(quoting, hints)
    cell = SourceCell(
        index,
        cell_id,
        kind,
        text,
        quote=str(quoting.get("quote", "")),
        exercise=str(quoting.get("exercise", "")),
        minutes=_whole(quoting.get("minutes")),
        difficulty=_whole(quoting.get("difficulty")),
        hints=hints,
        run_card=bool(run_card),
        metadata={key: metadata[key] for key in KEPT if key in metadata},
    )
    return cell, faults


def _exercise_faults(quoting: dict[str, Any], hints: tuple[str, ...]) -> list[tuple[str, str]]:
    faults = []
    if not isinstance(quoting.get("quote", ""), str):
        faults.append(("quote is not a name", 'write quote="package.module.name"'))
    if "exercise" not in quoting:
        if "quote" in quoting and (hints or len(quoting) > 1):
            faults.append(("hints, minutes or difficulty without an exercise", "number it"))
        return faults
    if not isinstance(quoting["exercise"], str):
        faults.append(("the exercise number is not text", 'write exercise="1.5", with quotes'))
    if _whole(quoting.get("minutes")) <= 0:
        faults.append(("the exercise has no minutes", "add minutes=10, say"))
    if _whole(quoting.get("difficulty")) not in LEVELS:
        faults.append(("the exercise has no difficulty from 1 to 3", "add difficulty=2, say"))
    if not hints:
        faults.append(("the exercise has no hint", "add a line '# hint: …'"))
    return faults


def _read_hints(text: str) -> tuple[tuple[str, ...], str]:
    """Split a quoted cell's comments into hints; also return the first line that is no hint."""
    hints: list[str] = []
    stray = ""
    for line in text.splitlines():
        comment = re.fullmatch(r"#\s*(hint:)?\s*(.*)", line.strip())
        if comment is None:
            stray = stray or line.strip()
        elif comment[1]:
            hints.append(comment[2])
        elif hints:
            hints[-1] = f"{hints[-1]}\n{comment[2]}".strip()
        else:
            stray = stray or line.strip()
    return tuple(hint for hint in hints if hint), stray


def _numbering_problems(lesson: LessonSource) -> list[Problem]:
    problems = []
    seen: set[str] = set()
    for cell in lesson.exercises:
        number = cell.exercise
        wanted = f"{int(lesson.number)}."
        if not re.fullmatch(re.escape(wanted) + r"[1-9]\d?", number):
            what = f"exercise number {number!r} does not belong to lesson {lesson.number}"
            problems.append(lesson.problem(cell, what, f"write {wanted}1, {wanted}2, …"))
        elif number in seen:
            what = f"exercise number {number!r} is used twice"
            problems.append(lesson.problem(cell, what, "give each exercise its own"))
        seen.add(number)
    return problems


def _cell_id(raw: Any, seen: Counter[str]) -> str:
    """Derive an id from what a cell is about, with a counter for cells that say the same.

    Hints, minutes and tags do not count, and neither does quoted source: they may change while the
    cell remains the same cell.
    """
    quote, exercise = raw.metadata.get("quote", ""), raw.metadata.get("exercise", "")
    text = "" if quote else raw.source
    identity = "\0".join((raw.cell_type, str(quote), str(exercise), text))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
