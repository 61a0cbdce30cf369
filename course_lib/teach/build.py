"""Building notebooks from lesson sources: one way, and the same bytes every time.

``notebooks/source/NN_name.py`` becomes ``notebooks/NN_name.ipynb``, the worked lesson, which keeps
its outputs as long as its code is what was executed; and ``exercises/NN_name.ipynb``, the student's
copy. `plan` says what every file should hold; `build` writes what differs.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.errors import CourseError
from course_lib.files import write_text
from course_lib.paths import COURSE, CourseTree
from course_lib.teach.check import exercises_of, find
from course_lib.teach.outputs import code_cells
from course_lib.teach.problems import Problem, ProblemsError
from course_lib.teach.quote import EMPTY_BODY, Quotation, QuoteError, quote
from course_lib.teach.sources import LessonSource, SourceCell, read_lesson
from course_lib.teach.syllabus import SYLLABUS, Entry
from course_lib.teach.tables import (
    Cards,
    dots,
    exercise_table,
    insert_table,
    lessons_table,
    read_cards,
    run_card,
)

PLACEHOLDER = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")
PLACEHOLDERS = ("exercises", "run_card")
EDITED = ".edited"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
NOTE = """\
> **This is your copy.** It is the lesson with some functions left for you to write.
> Replace `raise NotImplementedError`, run the cell, then run the check below it. The check tries
> your answer on random inputs and says what is wrong. Until it passes, the notebook goes on with
> the course's own definition, so nothing further down breaks.
> Hints and a solution are folded under each exercise.
> The worked lesson with its figures is [here](../notebooks/{name}.ipynb).
>
> If the course is built again, this file is written anew, and the one that you worked in is kept
> beside it as `{name}{edited}.ipynb`."""


@dataclass
class Plan:
    """What the files of a course should hold.

    Parameters
    ----------
    lessons : dict
        Lesson sources by name.
    notebooks : dict
        Notebooks by path, worked lessons and students' copies.
    texts : dict
        The text of every file that the builder writes, by path.
    problems : list of Problem
        What prevents the rest from being planned.
    """

    lessons: dict[str, LessonSource] = field(default_factory=dict)
    notebooks: dict[Path, Any] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def build(tree: CourseTree = COURSE, syllabus: Sequence[Entry] = SYLLABUS) -> list[Path]:
    """Write every notebook and the README's table where they differ from what they should be.

    Parameters
    ----------
    tree : CourseTree
        The course.
    syllabus : sequence of Entry
        Its lessons.

    Returns
    -------
    list of Path
        The files that were written; empty when all was up to date.

    Raises
    ------
    ProblemsError
        With every problem in the sources. What is sound is built all the same.
    """
    planned = plan(tree, syllabus)
    written = []
    for path, text in planned.texts.items():
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if path.parent == tree.exercises:
            _keep_edited(path)
        write_text(path, text)
        written.append(path)
    if planned.problems:
        raise ProblemsError(planned.problems)
    return written


def plan(tree: CourseTree = COURSE, syllabus: Sequence[Entry] = SYLLABUS) -> Plan:
    """Work out what every built file should hold, and write nothing.

    Outputs in notebooks that are there already are taken over where they belong to the present
    code.
    """
    planned = Plan()
    try:
        cards = read_cards(tree)
    except ProblemsError as error:
        planned.problems += error.problems
        cards = {}
    known = {entry.name for entry in syllabus}
    for path in sorted(tree.sources.glob("*.py")):
        try:
            lesson = read_lesson(path, tree.root)
            planned.lessons[lesson.name] = lesson
            worked, copy = build_lesson(lesson, cards)
        except ProblemsError as error:
            planned.problems += error.problems
            continue
        if lesson.name not in known:
            remedy = "add it to course_lib/teach/syllabus.py"
            planned.problems.append(Problem(lesson.file, "it is not in the syllabus", remedy))
        target = tree.notebooks / f"{lesson.name}.ipynb"
        adopt_outputs(worked, read_notebook(target))
        planned.notebooks[target] = worked
        planned.notebooks[tree.exercises / f"{lesson.name}.ipynb"] = copy
    planned.texts = {path: notebook_text(nb) for path, nb in planned.notebooks.items()}
    readme = tree.root / "README.md"
    if readme.is_file():
        table = lessons_table(syllabus, [path.stem for path in tree.sources.glob("*.py")], cards)
        try:
            planned.texts[readme] = insert_table(readme, table)
        except ProblemsError as error:
            planned.problems += error.problems
    return planned


def build_lesson(lesson: LessonSource, cards: Cards) -> tuple[Any, Any]:
    """Build the worked lesson and the student's copy, both without outputs.

    Parameters
    ----------
    lesson : LessonSource
        The source.
    cards : Cards
        What lessons cost.

    Returns
    -------
    worked, copy : NotebookNode

    Raises
    ------
    ProblemsError
        With every quotation, placeholder and exercise that is wrong.
    """
    problems = _check_problems(lesson)
    quotations: dict[int, Quotation] = {}
    for cell in lesson.cells:
        problems += _placeholder_problems(lesson, cell)
        if not cell.quote:
            continue
        try:
            quotations[cell.index] = quote(cell.quote)
        except QuoteError as error:
            problems.append(lesson.problem(cell, error.what, error.remedy))
            continue
        if cell.exercise and EMPTY_BODY not in quotations[cell.index].stub:
            what = f"{cell.quote} has no function whose body could be left out"
            problems.append(lesson.problem(cell, what, "make a function the exercise"))
    if problems:
        raise ProblemsError(sorted(problems, key=lambda problem: problem.cell or 0))
    worked: list[Any] = []
    copy: list[Any] = []
    for cell in lesson.cells:
        if cell.kind == "markdown":
            text = _fill(cell, lesson, cards)
            worked.append(_markdown(cell.cell_id, text, cell.metadata))
            copy.append(_markdown(cell.cell_id, text, cell.metadata))
        elif cell.quote:
            quotation = quotations[cell.index]
            worked.append(_quoted(cell, quotation))
            copy += _exercise(cell, quotation) if cell.exercise else [_quoted(cell, quotation)]
        else:
            worked.append(_code(cell.cell_id, cell.text, cell.metadata))
            copy.append(_code(cell.cell_id, cell.text, cell.metadata))
    note = _markdown("how-to-work", NOTE.format(name=lesson.name, edited=EDITED), {})
    tools = _code("tools", "from course_lib.teach.check import check", {})
    starts_with_title = bool(copy) and copy[0].cell_type == "markdown"
    copy[int(starts_with_title) : int(starts_with_title)] = [note, tools]
    return _notebook(worked, lesson.number), _notebook(copy, lesson.number)


def code_sha(notebook: Any) -> str:
    """Return a digest of a notebook's code, without the parameters that papermill injects."""
    sources = [cell.source for cell in code_cells(notebook)]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def adopt_outputs(built: Any, executed: Any) -> bool:
    """Take over the outputs of an executed notebook if its code is that of the built one.

    ``executed`` must say in ``metadata.course.executed.source`` which code it was executed from,
    and hold that very code; otherwise nothing is taken.

    Parameters
    ----------
    built : NotebookNode
        Receives outputs, execution counts and the record of execution.
    executed : NotebookNode or None
        Where they come from.

    Returns
    -------
    bool
        Whether they were taken over.
    """
    if executed is None:
        return False
    record = executed.metadata.get("course", {}).get("executed")
    source = built.metadata["course"]["source"]
    if not record or record.get("source") != source or code_sha(executed) != source:
        return False
    for new, old in zip(code_cells(built), code_cells(executed), strict=True):
        new.outputs = old.outputs
        new.execution_count = old.execution_count
    built.metadata["course"]["executed"] = record
    return True


def read_notebook(path: Path) -> Any:
    """Return the notebook in a file, or None when there is none that can be read."""
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except (OSError, UnicodeDecodeError, nbformat.reader.NotJSONError, nbformat.ValidationError):
        return None
    except (AttributeError, KeyError, TypeError):  # JSON, but of something else
        return None


def notebook_text(notebook: Any) -> str:
    """Return a notebook as the text of its file, keys in order."""
    return str(nbformat.writes(notebook, version=nbformat.NO_CONVERT)).rstrip("\n") + "\n"


def write_notebook(path: Path, notebook: Any) -> None:
    """Write a notebook at once: there is never half a file under its name."""
    write_text(path, notebook_text(notebook))


def _check_problems(lesson: LessonSource) -> list[Problem]:
    """Find exercises without a check, checks without an exercise, and those that disagree."""
    if not lesson.exercises:
        return []
    try:
        registered = exercises_of(lesson.number)
    except Exception as error:  # the module is imported: it may raise anything
        what = f"its checks cannot be imported ({type(error).__name__}: {error})"
        return [Problem(lesson.file, what, f"correct course_lib/checks/lesson_{lesson.number}.py")]
    problems = []
    home = f"course_lib/checks/lesson_{lesson.number}.py"
    for cell in lesson.exercises:
        try:
            exercise = find(cell.exercise)
        except CourseError:
            what = f"exercise {cell.exercise} has no check"
            problems.append(lesson.problem(cell, what, f"register one in {home}"))
            continue
        reference = exercise.reference
        compared = f"{reference.__module__}.{getattr(reference, '__qualname__', '?')}"
        if compared != cell.quote:
            what = f"the check of exercise {cell.exercise} compares with {compared}"
            problems.append(lesson.problem(cell, what, f"quote that, or change it in {home}"))
    asked = {cell.exercise for cell in lesson.exercises}
    for exercise in registered:
        if exercise.number not in asked:
            what = f"exercise {exercise.number} has a check but no cell"
            problems.append(Problem(lesson.file, what, f"add the cell, or remove it from {home}"))
    return problems


def _placeholder_problems(lesson: LessonSource, cell: SourceCell) -> list[Problem]:
    if cell.kind != "markdown":
        return []
    problems = []
    for word in PLACEHOLDER.findall(cell.text):
        meant = difflib.get_close_matches(word, PLACEHOLDERS, 1)
        if word not in PLACEHOLDERS and meant:
            what = f"unknown placeholder {{{{{word}}}}}"
            problems.append(lesson.problem(cell, what, f"write {{{{{meant[0]}}}}}"))
    return problems


def _fill(cell: SourceCell, lesson: LessonSource, cards: Cards) -> str:
    """Put tables where a Markdown cell asks for them; a run card may also just follow the text."""
    text = cell.text
    if cell.run_card and not any(word == "run_card" for word in PLACEHOLDER.findall(text)):
        text = f"{text}\n\n{{{{run_card}}}}".strip()

    def table(match: re.Match[str]) -> str:
        if match[1] == "exercises":
            return exercise_table(lesson)
        return run_card(cards, lesson.number) if match[1] == "run_card" else match[0]

    return PLACEHOLDER.sub(table, text)


def _exercise(cell: SourceCell, quotation: Quotation) -> list[Any]:
    """Build the cells of an exercise: heading, stub, check, hints, solution."""
    number, name = cell.exercise, quotation.short
    heading = f"Exercise {number} · {find(number).title} · {cell.minutes} min"

    def told(role: str, **more: Any) -> dict[str, Any]:
        return {"course": {"exercise": number, "role": role, **more}}

    def ident(role: str) -> str:
        return f"{cell.cell_id}-{role}"

    check = f'{name} = check("{number}", {name})'
    stub = told("stub", quote=cell.quote) | cell.metadata
    hints = [
        _markdown(ident(f"hint-{i}"), _folded(f"Hint {i}", hint), told("hint"))
        for i, hint in enumerate(cell.hints, start=1)
    ]
    solution = _folded("Solution", f"```python\n{quotation.lesson}\n```")
    return [
        _markdown(ident("heading"), f"### {heading} · {dots(cell.difficulty)}", told("heading")),
        _code(ident("stub"), quotation.stub, stub),
        _code(ident("check"), check, told("check")),
        *hints,
        _markdown(ident("solution"), solution, told("solution")),
    ]


def _quoted(cell: SourceCell, quotation: Quotation) -> Any:
    course = {"quote": cell.quote}
    if cell.exercise:
        course |= {"exercise": cell.exercise, "role": "definition"}
    return _code(cell.cell_id, quotation.lesson, {"course": course} | cell.metadata)


def _folded(summary: str, text: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"


def _markdown(cell_id: str, text: str, metadata: dict[str, Any]) -> Any:
    return new_markdown_cell(text, id=cell_id, metadata=dict(metadata))


def _code(cell_id: str, text: str, metadata: dict[str, Any]) -> Any:
    return new_code_cell(text, id=cell_id, metadata=dict(metadata))


def _notebook(cells: list[Any], lesson: str) -> Any:
    notebook = new_notebook(
        cells=cells, metadata={"kernelspec": dict(KERNEL), "language_info": dict(LANGUAGE)}
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata["course"] = {"lesson": lesson, "source": code_sha(notebook)}
    return notebook


def _keep_edited(path: Path) -> None:
    """Move a student's copy aside if its code is no longer what the builder wrote."""
    notebook = read_notebook(path)
    if notebook is None or "course" not in notebook.metadata:
        return
    if notebook.metadata["course"].get("source") == code_sha(notebook):
        return
    kept, count = path.with_name(f"{path.stem}{EDITED}.ipynb"), 1
    while kept.exists():
        count += 1
        kept = path.with_name(f"{path.stem}{EDITED}-{count}.ipynb")
    path.rename(kept)
