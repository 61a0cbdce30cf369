"""Every exercise of the course: the truth passes, the stub and the common wrong answers do not."""

import importlib
import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from course_lib.errors import CourseError, UsageError
from course_lib.paths import COURSE
from course_lib.teach.build import build_lesson
from course_lib.teach.check import REFUSED, Exercise, examine, find
from course_lib.teach.sources import LessonSource, read_lesson
from tests.mutants import Mutant

FEWEST_EXERCISES = 5
FEWEST_MUTANTS = 3
SEEDS = range(5)
LONGEST_EXAMINATION = 0.5
"""Seconds: nobody likes to wait for a verdict."""
SLIGHTLY = 1.02
"""An answer off by this factor is wrong, whatever the exercise's tolerances."""


@dataclass(frozen=True, repr=False)
class Case:
    """One exercise of a lesson, with what the tests need of it."""

    lesson: LessonSource
    number: str

    def __repr__(self) -> str:
        return self.number

    @property
    def exercise(self) -> Exercise:
        return find(self.number)

    def cell(self, role: str) -> str:
        """Return the text of one of its cells in the student's copy."""
        _, copy = build_lesson(self.lesson, {})
        return next(
            cell.source
            for cell in copy.cells
            if cell.metadata.get("course", {}).get("exercise") == self.number
            and cell.metadata["course"]["role"] == role
        )

    def defined_by(self, source: str) -> Callable[..., Any]:
        """Run a cell with the names of the definition's own module, and return what it defines."""
        reference = self.exercise.reference
        namespace = dict(vars(importlib.import_module(reference.__module__)))
        exec(compile(source, f"<exercise {self.number}>", "exec"), namespace)
        return namespace[self.exercise.name]


def _lessons() -> list[LessonSource]:
    lessons = []
    for path in sorted(COURSE.sources.glob("*.py")):
        try:
            lessons.append(read_lesson(path, COURSE.root))
        except CourseError as error:  # test_every_source_can_be_read says it
            UNREADABLE.append(str(error))
    return lessons


UNREADABLE: list[str] = []
LESSONS = _lessons()
CASES = [Case(lesson, cell.exercise) for lesson in LESSONS for cell in lesson.exercises]
each_exercise = pytest.mark.parametrize("case", CASES, ids=repr)


def mutants_of(lesson: LessonSource) -> dict[str, list[Mutant]]:
    return importlib.import_module(f"tests.mutants.lesson_{lesson.number}").MUTANTS


def accepted_of(lesson: LessonSource) -> dict[str, list[Callable[..., Any]]]:
    """Return right answers that are unlike the library's, where the lesson has some."""
    module = importlib.import_module(f"tests.mutants.lesson_{lesson.number}")
    return getattr(module, "ACCEPTED", {})


def by_exercise(answers_of: Callable[[LessonSource], dict[str, list[Any]]]) -> list[Any]:
    """Return every answer as a test case of its own; a missing module is another test's matter."""
    found = []
    for lesson in LESSONS:
        try:
            answers = answers_of(lesson)
        except ModuleNotFoundError:
            continue
        for case in CASES:
            if case.lesson is lesson:
                found += [
                    pytest.param(case, answer, id=f"{case}-{i}")
                    for i, answer in enumerate(answers.get(case.number, []), start=1)
                ]
    return found


def scaled(value: Any, factor: float) -> Any:
    """Return a result with every float in it multiplied; the rest as it is."""
    if isinstance(value, float | np.floating):
        return value * factor
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value * value.dtype.type(factor)
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return type(value)(scaled(item, factor) for item in value)
    return value


def called(exercise: Exercise, answer: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Return what an answer makes of the arguments; a refusal counts as a result."""
    try:
        return exercise.use(answer, *args) if exercise.use else answer(*args)
    except UsageError:
        return REFUSED


def test_every_source_can_be_read():
    assert UNREADABLE == []


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_lesson_has_enough_exercises(lesson):
    assert len(lesson.exercises) >= FEWEST_EXERCISES


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_mutants_belong_to_exercises(lesson):
    exercises = {cell.exercise for cell in lesson.exercises}
    assert set(mutants_of(lesson)) == exercises
    assert set(accepted_of(lesson)) <= exercises


@each_exercise
def test_the_librarys_definition_passes(case):
    for seed in SEEDS:
        verdict = examine(case.number, case.exercise.reference, seed)
        assert verdict.passed, verdict


@each_exercise
def test_the_solution_in_the_notebook_passes(case):
    folded = re.search(r"```python\n(.*)\n```", case.cell("solution"), re.DOTALL)
    assert folded
    verdict = examine(case.number, case.defined_by(folded[1]))
    assert verdict.passed, verdict


@each_exercise
def test_the_empty_stub_is_not_implemented_and_does_not_pass(case):
    stub = case.defined_by(case.cell("stub"))
    args = case.exercise.draws(np.random.default_rng(0))[0]
    with pytest.raises(NotImplementedError):
        called(case.exercise, stub, args)
    verdict = examine(case.number, stub)
    assert not verdict.passed
    assert not verdict.started


@each_exercise
def test_the_check_cell_names_the_function(case):
    name = case.exercise.name
    assert case.cell("check") == f'{name} = check("{case.number}", {name})'


@each_exercise
def test_draws_differ_from_one_another(case):
    """An exercise that is always asked the same, or has one answer to all, tells nothing."""
    exercise = case.exercise
    results = [
        repr(called(exercise, exercise.reference, args))
        for seed in SEEDS
        for args in exercise.draws(np.random.default_rng(seed))
    ]
    assert len(set(results)) > 1


@each_exercise
def test_an_answer_slightly_off_is_rejected(case):
    exercise = case.exercise
    draws = exercise.draws(np.random.default_rng(0))
    right = [called(exercise, exercise.reference, args) for args in draws]
    off = [scaled(value, SLIGHTLY) for value in right]
    if all(repr(a) == repr(b) for a, b in zip(right, off, strict=True)):
        pytest.skip("its results hold no floats")
    if exercise.use:
        pytest.skip("its answer is not simply called")
    verdict = examine(case.number, lambda *args: scaled(exercise.reference(*args), SLIGHTLY))
    assert not verdict.passed


@each_exercise
def test_mutants_are_many_and_their_hints_differ(case):
    mutants = mutants_of(case.lesson).get(case.number, [])
    assert len(mutants) >= FEWEST_MUTANTS
    for one, other in itertools.permutations(mutants, 2):
        assert one.hint
        assert one.hint not in other.hint


@pytest.mark.parametrize(("case", "answer"), by_exercise(accepted_of))
def test_another_right_answer_passes(case, answer):
    for seed in SEEDS:
        verdict = examine(case.number, answer, seed)
        assert verdict.passed, verdict


@each_exercise
def test_an_examination_is_quick(case):
    started = time.perf_counter()
    for seed in SEEDS:
        examine(case.number, case.exercise.reference, seed)
    assert time.perf_counter() - started < LONGEST_EXAMINATION * len(SEEDS)


@pytest.mark.parametrize(("case", "mutant"), by_exercise(mutants_of))
def test_a_mutant_is_rejected_with_its_own_hint(case, mutant):
    others = [m.hint for m in mutants_of(case.lesson)[case.number] if m is not mutant]
    for seed in SEEDS:
        verdict = examine(case.number, mutant.answer, seed)
        assert not verdict.passed
        assert mutant.hint in verdict.hint
        assert not any(hint in verdict.hint for hint in others), verdict
