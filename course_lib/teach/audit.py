"""Finding what is wrong with a course as it lies on disk: ``course build --check``."""

from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import mistune

from course_lib.paths import COURSE, CourseTree
from course_lib.teach.build import (
    EDITED,
    Plan,
    code_sha,
    plan,
    read_notebook,
)
from course_lib.teach.outputs import code_cells
from course_lib.teach.problems import Problem
from course_lib.teach.syllabus import SYLLABUS, Entry

MAX_BYTES = 1_500_000
BUILD = "run `course build`"


def find_problems(tree: CourseTree = COURSE, syllabus: Sequence[Entry] = SYLLABUS) -> list[Problem]:
    """Find everything that is wrong with a course, and write nothing.

    Notebooks that are missing, out of date, too large or without a source; outputs that do not come
    from the present code; wrong quotations and exercises; pictures without alternative text.

    Parameters
    ----------
    tree : CourseTree
        The course.
    syllabus : sequence of Entry
        Its lessons.

    Returns
    -------
    list of Problem
        Empty when all is well.
    """
    planned = plan(tree, syllabus)
    problems = list(planned.problems)
    for lesson in planned.lessons.values():
        for cell in lesson.cells:
            shown = [cell.text] if cell.kind == "markdown" else list(cell.hints)
            for picture in (url for text in shown for url in _pictures_without_alt(text)):
                what, remedy = _say_no_alt(picture)
                problems.append(lesson.problem(cell, what, remedy))
    for path in planned.texts:
        problems += _freshness_problems(path, planned, tree)
    for folder in (tree.notebooks, tree.exercises):
        for path in sorted(folder.glob("*.ipynb")):
            if EDITED not in path.name:
                problems += _notebook_problems(path, planned, tree)
    readme = tree.root / "README.md"
    if readme.is_file():
        for picture in _pictures_without_alt(readme.read_text(encoding="utf-8")):
            problems.append(Problem("README.md", *_say_no_alt(picture)))
    return problems


def _freshness_problems(path: Path, planned: Plan, tree: CourseTree) -> Iterator[Problem]:
    """Compare a file with what the builder would write."""
    file = path.relative_to(tree.root).as_posix()
    if not path.is_file():
        yield Problem(file, "it is missing", BUILD)
        return
    if path.read_text(encoding="utf-8") == planned.texts[path]:
        return
    if path not in planned.notebooks:
        yield Problem(file, "its table of lessons is out of date", BUILD)
        return
    there = read_notebook(path)
    if there is None:
        yield Problem(file, "it is not a notebook", BUILD)
        return
    index, cell_id, what = _first_change(there, planned.notebooks[path])
    yield Problem(file, what, BUILD, index, cell_id)


def _first_change(there: Any, wanted: Any) -> tuple[int | None, str, str]:
    """Return number and id of the first cell that differs, and what differs about it."""
    for index, (old, new) in enumerate(zip(there.cells, wanted.cells, strict=False), start=1):
        if (old.cell_type, old.source) != (new.cell_type, new.source):
            return index, str(new.id), "it is out of date with its source"
        if old.get("id") != new.id or old.metadata != new.metadata:
            return index, str(new.id), "its id or metadata is out of date"
    if len(there.cells) != len(wanted.cells):
        index = min(len(there.cells), len(wanted.cells)) + 1
        longer = max(there.cells, wanted.cells, key=len)
        what = "a cell is missing" if longer is wanted.cells else "a cell is not in the source"
        return index, str(longer[index - 1].get("id", "")), what
    return None, "", "its metadata, outputs or layout are not as the builder writes them"


def _notebook_problems(path: Path, planned: Plan, tree: CourseTree) -> Iterator[Problem]:
    file = path.relative_to(tree.root).as_posix()
    if not (tree.sources / f"{path.stem}.py").is_file():
        remedy = f"delete it, or write notebooks/source/{path.stem}.py"
        yield Problem(file, "it has no source", remedy)
    size = path.stat().st_size
    if size > MAX_BYTES:
        yield Problem(
            file,
            f"it has {size / 1e6:.2f} MB, more than {MAX_BYTES / 1e6:.1f} MB",
            "show fewer or smaller pictures",
            *_heaviest(path),
        )
    notebook = read_notebook(path)
    if notebook is None:
        return
    if path.parent == tree.notebooks:
        yield from _output_problems(file, notebook)
        wanted = planned.notebooks.get(path)
        if wanted is not None:
            yield from _execution_problems(file, notebook, wanted)
    elif any(cell.get("outputs") for cell in notebook.cells):
        index, cell = next((i, c) for i, c in enumerate(notebook.cells, 1) if c.get("outputs"))
        yield Problem(file, "a student's copy has outputs", BUILD, index, str(cell.get("id", "")))


def _heaviest(path: Path) -> tuple[int | None, str]:
    """Return number and id of the largest cell of a notebook."""
    notebook = read_notebook(path)
    if notebook is None or not notebook.cells:
        return None, ""
    sizes = [len(str(cell)) for cell in notebook.cells]
    index = sizes.index(max(sizes))
    return index + 1, str(notebook.cells[index].get("id", ""))


def _output_problems(file: str, notebook: Any) -> Iterator[Problem]:
    """Find pictures without alternative text and cells that failed, in the outputs."""
    for index, cell in enumerate(notebook.cells, start=1):
        where = (index, str(cell.get("id", "")))
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                what = f"it failed with {output.ename}"
                yield Problem(file, what, "correct the lesson and execute it again", *where)
            data, metadata = output.get("data", {}), output.get("metadata", {})
            for kind in (kind for kind in data if kind.startswith("image/")):
                alt = metadata.get(kind, {}).get("alt") or metadata.get("alt")
                if not (isinstance(alt, str) and alt.strip()):
                    remedy = f'display it with metadata {{"{kind}": {{"alt": "…"}}}}'
                    yield Problem(file, f"its output ({kind}) has no alt text", remedy, *where)
            html = "".join(data.get("text/html", ""))
            for picture in _images_without_alt(html):
                yield Problem(file, *_say_no_alt(picture), *where)


def _execution_problems(file: str, notebook: Any, wanted: Any) -> Iterator[Problem]:
    """Find outputs that are missing or come from other code than the source's."""
    lesson = wanted.metadata["course"]["lesson"]
    remedy = f"run `course run --update --only {lesson}`"
    record = notebook.metadata.get("course", {}).get("executed")
    ours, theirs = code_cells(wanted), code_cells(notebook)
    if not record:
        yield Problem(file, "it has not been executed from its present source", remedy)
        return
    source = wanted.metadata["course"]["source"]
    if record.get("source") != source or code_sha(notebook) != source:
        pairs = zip(ours, theirs, strict=False)
        changed = next((new for new, old in pairs if new.source != old.source), None)
        what = "its outputs were executed from a different source"
        yield Problem(file, what, remedy, *_position(wanted, changed))
        return
    for cell in theirs:
        if cell.execution_count is None:
            what = "the cell was not executed"
            yield Problem(file, what, remedy, *_position(notebook, cell))


def _position(notebook: Any, wanted: Any) -> tuple[int | None, str]:
    for index, cell in enumerate(notebook.cells, start=1):
        if cell is wanted:
            return index, str(cell.get("id", ""))
    return None, ""


def _say_no_alt(picture: str) -> tuple[str, str]:
    return f"the picture {picture!r} has no alt text", "say in words what it shows"


def _pictures_without_alt(markdown: str) -> list[str]:
    """Return the addresses of pictures in a Markdown text that say nothing in their place."""
    parse = mistune.create_markdown(renderer="ast", plugins=["table"])
    found: list[str] = []
    waiting: list[Any] = [parse(markdown)]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, list):
            waiting = node + waiting
            continue
        if node["type"] == "image" and not _plain_text(node.get("children", [])).strip():
            found.append(node["attrs"]["url"])
        if node["type"] in ("block_html", "inline_html"):
            found += _images_without_alt(node["raw"])
        waiting = node.get("children", []) + waiting
    return found


def _plain_text(nodes: list[Any]) -> str:
    return "".join(node.get("raw", "") + _plain_text(node.get("children", [])) for node in nodes)


def _images_without_alt(html: str) -> list[str]:
    finder = _ImageFinder()
    finder.feed(html)
    return finder.found


class _ImageFinder(HTMLParser):
    """Collects the addresses of ``<img>`` elements whose alt is missing or empty."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        if tag == "img" and not (dict(attrs).get("alt") or "").strip():
            address = dict(attrs).get("src") or ""
            self.found.append(address if len(address) <= 60 else address[:57] + "…")
