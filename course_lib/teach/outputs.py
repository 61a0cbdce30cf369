"""What an executed notebook says: errors, also those that widgets swallow, and clean outputs."""

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

INTERACTIVE = "Interactive: run this cell in JupyterLab to play."
INJECTED = "injected-parameters"
_VIEW = "application/vnd.jupyter.widget-view+json"
_STATE = "application/vnd.jupyter.widget-state+json"
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TRACEBACK = ("Traceback (most recent call last)", "Traceback (most recent call last):")
# How IPython, ipywidgets, asyncio and threading report an exception that nobody caught.
_SWALLOWED = re.compile(
    r"Exception in (?:comm|callback|thread)|Exception ignored in|"
    r"Task exception was never retrieved|Error in callback"
)


@dataclass(frozen=True)
class CellError:
    """An error that a lesson met.

    Parameters
    ----------
    cell : int or None
        The number of the code cell, counted from 1 as in ``In [1]``; None when it is not known.
    line : str
        The first line of the cell's source.
    error : str
        Name and message of the exception.
    where : str
        ``cell``, ``widget``, ``stderr`` or ``kernel``.
    """

    cell: int | None
    line: str
    error: str
    where: str = "cell"

    def __str__(self) -> str:
        """Say in one line where it happened and what."""
        place = f"code cell {self.cell}" if self.cell else "the kernel"
        inside = {"widget": ", inside a widget", "stderr": ", on stderr"}.get(self.where, "")
        quote = f" ({self.line})" if self.line else ""
        return f"{place}{inside}{quote}: {self.error}"


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """List the lesson's own code cells: all but the parameters that papermill puts in."""
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and INJECTED not in cell.metadata.get("tags", [])
    ]


def first_line(source: str) -> str:
    """Return the first line of code, without comments, cut to 72 characters."""
    lines = [line.strip() for line in source.splitlines()]
    found = next((line for line in lines if line and not line.startswith(("#", "%%"))), "")
    return found if len(found) <= 72 else found[:71] + "…"


def find_errors(notebook: NotebookNode, kernel_log: str = "") -> list[CellError]:
    """Find every error in an executed notebook, whether it stopped the notebook or not.

    Looked through are error outputs, tracebacks on stderr, `Output` widgets whose content holds
    errors, HTML that carries ``data-course-error``, and the kernel's own log. Cells tagged
    ``raises-exception`` may do all that.

    Parameters
    ----------
    notebook : NotebookNode
        As papermill leaves it, with ``metadata.widgets``.
    kernel_log : str
        What the kernel wrote to its terminal.

    Returns
    -------
    list of CellError
        In the order of the cells; each once.
    """
    models = notebook.metadata.get("widgets", {}).get(_STATE, {}).get("state", {})
    in_widgets = {key: list(_errors_of_model(model["state"])) for key, model in models.items()}
    found: list[CellError] = []
    seen: set[str] = set()
    heard: set[str] = set()
    for number, cell in enumerate(code_cells(notebook), start=1):
        line = first_line(cell.source)
        shown = {key for output in cell.outputs for key in _reachable(output, models)} - seen
        seen |= shown
        here = list(_errors_of_outputs(cell.outputs))
        heard |= {error for error, _ in here}
        if "raises-exception" in cell.metadata.get("tags", []):
            continue
        found += [CellError(number, line, *error) for error in here]
        for key in models:
            if key in shown:
                found += [CellError(number, line, error, "widget") for error in in_widgets[key]]
    for key in models:
        if key not in seen:
            found += [CellError(None, "", error, "widget") for error in in_widgets[key]]
    # What a cell writes to the terminal itself is echoed to its outputs: it has been dealt with.
    late = (error for error in _errors_of_text(kernel_log) if error not in heard)
    found += [CellError(None, "", error, "kernel") for error in late]
    return list(dict.fromkeys(found))


def executed_copy(built: NotebookNode, ran: NotebookNode, *, injected: bool = True) -> NotebookNode:
    """Put the outputs of a run into the built lesson, and nothing else of the run.

    Papermill, nbclient and the kernel leave times, paths and random identifiers behind. Only
    outputs are taken over, so equal runs give equal files.

    Parameters
    ----------
    built : NotebookNode
        The lesson as it was built.
    ran : NotebookNode
        The same lesson after papermill; it may have stopped half-way.
    injected : bool
        Whether to keep the cell with the parameters that were given.

    Returns
    -------
    NotebookNode
        Widgets in it are replaced by a note that says how to use them.
    """
    result = copy.deepcopy(built)
    result.metadata.pop("widgets", None)
    result.metadata.pop("papermill", None)
    pairs = list(zip(code_cells(result), code_cells(ran), strict=True))
    # The injected cell counts in the kernel; without it, numbers are those of a plain "run all".
    numbers = {done.execution_count: number for number, (_, done) in enumerate(pairs, start=1)}
    for number, (cell, done) in enumerate(pairs, start=1):
        cell.execution_count = number if done.execution_count is not None else None
        cell.outputs = _static(done.outputs, cell.execution_count, numbers)
    given = [cell for cell in ran.cells if INJECTED in cell.metadata.get("tags", [])]
    if injected and given:
        tags = [cell.metadata.get("tags", []) for cell in result.cells]
        place = next((at for at, tag in enumerate(tags, start=1) if "parameters" in tag), 0)
        cell = new_code_cell(given[0].source, id=INJECTED, metadata={"tags": [INJECTED]})
        result.cells.insert(place, cell)
    return result


def _static(
    outputs: Iterable[NotebookNode], count: int | None, numbers: dict[int | None, int]
) -> list[NotebookNode]:
    """Return outputs that show the same in every viewer, with split streams joined.

    ``numbers`` leads from the kernel's numbers of cells, which tracebacks quote, to those shown.
    """

    def renumbered(match: re.Match[str]) -> str:
        return f"In[{numbers.get(int(match[1]), match[1])}]"

    kept: list[NotebookNode] = []
    for original in outputs:
        output = copy.deepcopy(original)
        output.get("metadata", {}).pop("papermill", None)
        if _VIEW in output.get("data", {}):
            output = NotebookNode(
                output_type="display_data",
                metadata={},
                data={"text/markdown": f"*{INTERACTIVE}*", "text/plain": INTERACTIVE},
            )
            if output in kept:
                continue
        if output.output_type == "execute_result":
            output.execution_count = count
        elif output.output_type == "error":
            output.traceback = [
                re.sub(r"In\[(\d+)\]", renumbered, line) for line in output.traceback
            ]
        last = kept[-1] if kept else None
        if last and output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            # A progress bar redraws its line; what stays is what stood there last.
            output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)
    return kept


def _errors_of_outputs(outputs: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Yield (error, where) of a list of outputs."""
    for output in outputs:
        kind = output["output_type"]
        if kind == "error":
            message = str(output.get("evalue", "")).strip().split("\n")[0]
            yield (f"{output['ename']}: {message}" if message else output["ename"]), "cell"
        elif kind == "stream" and output["name"] == "stderr":
            yield from ((error, "stderr") for error in _errors_of_text(output["text"]))
        elif "data" in output:
            page = output["data"].get("text/html", "")
            yield from ((error, "widget") for error in _errors_of_html(page))


def _errors_of_model(state: dict[str, Any]) -> Iterator[str]:
    """Yield the errors that a widget model holds."""
    for error, _ in _errors_of_outputs(state.get("outputs") or ()):
        yield error
    if isinstance(state.get("value"), str):
        yield from _errors_of_html(state["value"])


def _errors_of_html(page: Any) -> Iterator[str]:
    """Yield the text of a marked error; `Explorer` marks what its render function raised."""
    text = "".join(page) if isinstance(page, list) else str(page)
    if "data-course-error" in text:
        words = " ".join(re.sub(r"<[^>]+>", " ", text).split())
        yield words[:200] or "an error without a message"


def _errors_of_text(text: str) -> Iterator[str]:
    """Yield what every traceback in a text reports, or the line that tells of a lost error."""
    lines = _ANSI.sub("", text).splitlines()
    reported: list[str] = []
    for index, line in enumerate(lines):
        rest = lines[index + 1 :]
        if line.lstrip().startswith(_TRACEBACK):
            indent = len(line) - len(line.lstrip())
            ends = (end.strip() for end in rest if end[indent : indent + 1].strip())
            reported.append(next(ends, "a traceback was printed"))
        elif line.endswith(_TRACEBACK):  # IPython's layout: the name, a gap, and these words
            name = line.split()[0]
            ends = (end.strip() for end in rest if end.startswith(name))
            reported.append(next(ends, name))
    if not reported:
        reported = [line.strip() for line in lines if _SWALLOWED.search(line)]
    yield from dict.fromkeys(reported)


def _reachable(output: NotebookNode, models: dict[str, Any]) -> set[str]:
    """Return the widget models that an output shows: its own and their children."""
    waiting = [output.get("data", {}).get(_VIEW, {}).get("model_id")]
    found: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key in models and key not in found:
            found.add(key)
            waiting += re.findall(r"IPY_MODEL_(\w+)", str(models[key]["state"]))
    return found
