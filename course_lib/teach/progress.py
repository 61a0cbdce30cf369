"""What `course run` shows while lessons run, and the table it ends with."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

PLAIN_EVERY_SECONDS = 20.0
MARKS = {"passed": "[green]✓ passed[/green]", "failed": "[red]✗ failed[/red]"}


class Display:
    """Progress over lessons and cells: bars on a terminal, plain lines elsewhere.

    Parameters
    ----------
    console : Console
        Where to write.
    lessons : int
        How many will run.
    """

    def __init__(self, console: Console, lessons: int) -> None:
        self.console = console
        self._tasks: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}
        self._bars: Progress | None = None
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                TextColumn("{task.completed}/{task.total} {task.fields[unit]}"),
                TimeElapsedColumn(),
                console=console,
            )
            self._all = self._bars.add_task("[bold]Lessons[/bold]", total=lessons, unit="lessons")

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it should be, whatever happened."""
        if self._bars:
            self._bars.stop()

    def started(self, name: str, cells: int) -> None:
        """Show that a lesson began."""
        self._last_line[name] = time.monotonic()
        if self._bars:
            self._tasks[name] = self._bars.add_task(escape(name), total=cells, unit="cells")
        else:
            self.console.print(f"{name}: started ({cells} code cells)", highlight=False)

    def cell(self, name: str, number: int, cells: int) -> None:
        """Show that a code cell began; without a terminal only now and then."""
        if self._bars:
            self._bars.update(self._tasks[name], completed=number - 1)
        elif time.monotonic() - self._last_line[name] >= PLAIN_EVERY_SECONDS:
            self._last_line[name] = time.monotonic()
            self.console.print(f"{name}: code cell {number} of {cells}", highlight=False)

    def finished(self, name: str, record: Mapping[str, Any]) -> None:
        """Show how a lesson ended."""
        if self._bars:
            self._bars.remove_task(self._tasks.pop(name))
            self._bars.advance(self._all)
        cost = f"{minutes(record['minutes'])}, {record['ram_gb']:.1f} GB"
        self.console.print(f"{escape(name)}: {MARKS[record['result']]} ({cost})", highlight=False)
        for error in record["errors"][:1]:
            self.console.print(f"  {escape(error['error'])}", highlight=False, soft_wrap=True)


def minutes(value: float) -> str:
    """Write a duration as a reader says it: ``12 s`` or ``3.4 min``."""
    return f"{value * 60:.0f} s" if value < 1.5 else f"{value:.1f} min"


def table(rows: Sequence[tuple[str, Mapping[str, Any] | None]]) -> Table:
    """Lay out what every lesson took and how it ended.

    Parameters
    ----------
    rows : sequence of (name, record or None)
        None for a lesson that did not finish.
    """
    result = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Lesson", "Time", "Slowest cell", "Peak RAM", "VRAM", "Result"):
        numeric = heading not in ("Lesson", "Result")
        result.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for name, record in rows:
        if record is None:
            result.add_row(escape(name), "–", "–", "–", "–", "[yellow]not run[/yellow]")
            continue
        slowest = "–"
        if record["slowest_cell"] is not None:
            slowest = f"{record['slowest_cell_s']:.1f} s (cell {record['slowest_cell']})"
        vram = "–" if record["vram_gb"] is None else f"{record['vram_gb']:.1f} GB"
        mark = MARKS[record["result"]] + (" earlier" if record.get("kept") else "")
        result.add_row(
            escape(name),
            minutes(record["minutes"]),
            slowest,
            f"{record['ram_gb']:.2f} GB",
            vram,
            mark,
        )
    return result
