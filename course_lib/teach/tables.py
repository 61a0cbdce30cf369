"""The tables that the builder writes: run cards, a lesson's exercises, and the README's lessons."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from course_lib.paths import CourseTree
from course_lib.teach.check import find
from course_lib.teach.problems import Problem, ProblemsError
from course_lib.teach.sources import LessonSource
from course_lib.teach.syllabus import Entry

Cards = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Lesson number → profile → minutes, ram_gb, vram_gb, slowest_cell_s, machine."""

CARD_PROFILES = ("cpu", "gpu")
NOT_MEASURED = "not measured yet"
BEGIN, END = "<!-- lessons:begin -->", "<!-- lessons:end -->"


def read_cards(tree: CourseTree) -> Cards:
    """Return what the lessons cost, as measured; empty when nothing was measured yet.

    Raises
    ------
    ProblemsError
        When the file is not as ``course run --update`` writes it.
    """
    path = tree.assets / "run_cards.json"
    if not path.is_file():
        return {}
    try:
        cards = json.loads(path.read_text(encoding="utf-8"))
        for profiles in cards.values():
            for card in profiles.values():
                float(card["minutes"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"it does not hold run cards ({type(error).__name__}: {error})"
        file = path.relative_to(tree.root).as_posix()
        remedy = "delete it and measure again with `course run --update`"
        raise ProblemsError([Problem(file, what, remedy)]) from error
    return dict(cards)


def run_card(cards: Cards, lesson: str) -> str:
    """Return what a lesson costs as a Markdown table, one row a profile."""
    rows = [
        "| profile | minutes | memory | GPU memory | slowest cell | measured on |",
        "|---|---|---|---|---|---|",
    ]
    for profile in CARD_PROFILES:
        card = cards.get(lesson, {}).get(profile)
        if card is None:
            rows.append(f"| `{profile}` | {NOT_MEASURED} | | | | |")
            continue
        cells = (
            f"`{profile}`",
            _minutes(card),
            _quantity(card.get("ram_gb"), "GB"),
            _quantity(card.get("vram_gb"), "GB"),
            _quantity(card.get("slowest_cell_s"), "s"),
            str(card.get("machine", "")),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def exercise_table(lesson: LessonSource) -> str:
    """Return a lesson's exercises as a Markdown table."""
    rows = ["| exercise | | minutes | difficulty |", "|---|---|---|---|"]
    for cell in lesson.exercises:
        title = find(cell.exercise).title
        rows.append(f"| {cell.exercise} | {title} | {cell.minutes} | {dots(cell.difficulty)} |")
    return "\n".join(rows)


def dots(difficulty: int) -> str:
    """Return a difficulty from 1 to 3 as filled and empty dots."""
    return "●" * difficulty + "○" * (3 - difficulty)


def lessons_table(syllabus: Sequence[Entry], written: Sequence[str], cards: Cards) -> str:
    """Return the README's table of lessons.

    Parameters
    ----------
    syllabus : sequence of Entry
        All lessons, in order.
    written : sequence of str
        Names of those that have a source.
    cards : Cards
        What they cost.
    """
    rows = ["| lesson | question | state | minutes on a laptop |", "|---|---|---|---|"]
    for entry in syllabus:
        title = f"{entry.number} · {entry.title}"
        if entry.name not in written:
            rows.append(f"| {title} | {entry.question} | planned | |")
            continue
        card = cards.get(entry.number, {}).get("cpu")
        minutes = _minutes(card) if card else NOT_MEASURED
        link = f"[{title}](notebooks/{entry.name}.ipynb)"
        rows.append(f"| {link} | {entry.question} | ready | {minutes} |")
    return "\n".join(rows)


def insert_table(path: Path, table: str) -> str:
    """Return the text of a README with the table of lessons put between its markers.

    Raises
    ------
    ProblemsError
        When the markers are not there.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        remedy = f"add the lines {BEGIN} and {END} where it belongs"
        raise ProblemsError(
            [Problem(path.name, "it has no place for the table of lessons", remedy)]
        )
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _minutes(card: Mapping[str, Any]) -> str:
    return f"{float(card['minutes']):.1f}"


def _quantity(value: Any, unit: str) -> str:
    return "none" if value is None else f"{float(value):.1f} {unit}"
