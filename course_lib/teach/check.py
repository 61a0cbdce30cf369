"""Exercise checks: try a student's answer on random inputs, and say what went wrong.

A check draws random shapes and values, runs the answer on every draw, and passes it only if all of
them agree. On failure it names the likely misconception and shows the smallest counterexample.

    register(Exercise("1.5", "How much light is left", reference=gain, trials=radii,
                      misconceptions=[Misconception("r is squared twice.", model=wrong)]))

In a notebook: ``gain = check("1.5", gain)``.
"""

import contextlib
import copy
import dataclasses
import html
import importlib
import inspect
import io
import itertools
import re
import secrets
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.errors import CourseError, UsageError
from course_lib.teach.compare import (
    Difference,
    Tolerance,
    changed,
    difference,
    size,
    summaries,
    summary,
)

FEWEST_DRAWS = 20
MOST_DRAWS = 200
FEWEST_TELLING_DRAWS = 3
"""A wrong rule that explains only part of the failures must do so this often to be named."""
REFUSED = "refused with UsageError"
"""Stands for the result where a function is to raise UsageError."""


@dataclass(frozen=True)
class Misconception:
    """A common wrong idea and the sentence that helps out of it.

    Parameters
    ----------
    hint : str
        Said to the student. It should lead on, not give the line away.
    model : callable, optional
        The wrong rule itself, with the exercise's signature. The hint is given to an answer that
        agrees with it where it differs from the truth.
    when : callable, optional
        ``when(args, got, expected)``: whether one wrong result shows this misconception. The hint
        is given if it holds for at least half of the wrong results.
    """

    hint: str
    model: Callable[..., Any] | None = None
    when: Callable[[tuple[Any, ...], Any, Any], Any] | None = None

    def __post_init__(self) -> None:
        if (self.model is None) == (self.when is None):
            raise UsageError(f"Misconception {self.hint!r} needs either a model or a when.")


@dataclass(frozen=True)
class Exercise:
    """One exercise: what is asked, how answers are tried, and what commonly goes wrong.

    Parameters
    ----------
    number : str
        ``"1.5"`` is the fifth of lesson 01.
    title : str
        A few words, for headings and tables.
    reference : callable
        The library's own definition: the very object that the lesson quotes.
    trials : callable
        ``trials(rng)`` yields tuples of positional arguments, of random shapes and values. It is
        called again until there are at least 20.
    oracle : callable, optional
        An independent truth with the same arguments; the reference when left out. An answer must
        refuse with UsageError what the truth refuses so: the result is then `REFUSED`.
    misconceptions : sequence of Misconception
        The first that fits is named, so the special come before the general.
    rtol, atol : float
        Tolerances for floats. Choose ``atol`` far below the size of the results.
    levels : int
        Tolerance for ``uint8`` results, which rounding and truncation may move by one.
    use : callable, optional
        ``use(answer, *args)`` when an answer is not simply called with the arguments: for a class
        to be built and run, or a generator to be exhausted.
    """

    number: str
    title: str
    reference: Callable[..., Any]
    trials: Callable[[np.random.Generator], Iterable[tuple[Any, ...]]]
    oracle: Callable[..., Any] | None = None
    misconceptions: Sequence[Misconception] = ()
    rtol: float = 1e-5
    atol: float = 1e-7
    levels: int = 0
    use: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d{1,2}\.\d{1,2}", self.number):
            raise UsageError(f"Exercise number {self.number!r}: write it as '1.5'.")

    @property
    def tolerance(self) -> Tolerance:
        """How far a result may lie from the truth."""
        return Tolerance(self.rtol, self.atol, self.levels)

    @property
    def lesson(self) -> str:
        """The lesson's number, two digits."""
        return f"{int(self.number.partition('.')[0]):02d}"

    @property
    def name(self) -> str:
        """The name of the function or class that the student writes."""
        return str(getattr(self.reference, "__name__", "answer"))

    def draws(self, rng: np.random.Generator) -> list[tuple[Any, ...]]:
        """Draw the arguments of one examination, at least 20 and at most 200 tuples.

        Raises
        ------
        CourseError
            When ``trials`` yields nothing, or something other than tuples.
        """
        drawn: list[tuple[Any, ...]] = []
        while len(drawn) < FEWEST_DRAWS:
            batch = list(itertools.islice(self.trials(rng), MOST_DRAWS - len(drawn)))
            if not batch or not all(isinstance(args, tuple) for args in batch):
                raise CourseError(f"The trials of exercise {self.number} must yield tuples.")
            drawn += batch
        return drawn


@dataclass(frozen=True, repr=False)
class Verdict:
    """What came of an examination. Prints as text, and shows as HTML in a notebook.

    Parameters
    ----------
    number, title : str
        Of the exercise.
    passed : bool
        Whether every draw agreed.
    started : bool
        False while the answer still raises NotImplementedError.
    hint : str
        What is wrong, and the likely reason.
    detail : str
        The smallest counterexample, and how to repeat it.
    seed, draws : int
        The seed of the draws, and how many there were.
    note : str
        What the notebook goes on with.
    """

    number: str
    title: str
    passed: bool
    started: bool = True
    hint: str = ""
    detail: str = ""
    seed: int = 0
    draws: int = 0
    note: str = ""

    @property
    def headline(self) -> str:
        """One line: sign, number, title, and the verdict in words."""
        sign, word = ("✓", "passed") if self.passed else ("✗", "not yet")
        if not self.started:
            sign, word = "○", "not started yet"
        count = f" ({self.draws} random inputs)" if self.passed else ""
        return f"{sign} Exercise {self.number} · {self.title}: {word}{count}"

    def __str__(self) -> str:
        parts = [self.headline]
        for text in (self.hint, self.detail, self.note):
            parts += [f"  {line}" for line in text.splitlines()]
        return "\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Show the same text, with a rule at the left whose style differs as well as its colour."""
        rule = "solid #2e7d32" if self.passed else "double #b3261e"
        if not self.started:
            rule = "dashed #6b6b6b"
        parts = [f"<strong>{html.escape(self.headline)}</strong>"]
        if self.hint:
            parts.append(f"<div>{_inline(self.hint)}</div>")
        if self.detail:
            style = "margin:.4em 0;white-space:pre-wrap;overflow-wrap:anywhere"
            parts.append(f'<pre style="{style}">{html.escape(self.detail)}</pre>')
        if self.note:
            parts.append(f"<div><em>{_inline(self.note)}</em></div>")
        style = f"border-left:6px {rule};padding:.3em .9em;margin:.4em 0"
        return f'<div role="status" style="{style}">{"".join(parts)}</div>'


@dataclass(frozen=True)
class _Outcome:
    """What happened on one draw."""

    args: tuple[Any, ...]
    expected: Any
    value: Any = None
    error: BaseException | None = None
    printed: str = ""
    altered: tuple[int, ...] = ()
    found: Difference | None = None

    @property
    def refusable(self) -> bool:
        """Whether this input was to be refused."""
        return self.expected is REFUSED

    @property
    def kind(self) -> str:
        """The kind of failure, or an empty string."""
        if self.error is not None:
            if isinstance(self.error, NotImplementedError):
                return "unwritten"
            return "unrefused" if self.refusable else "raised"
        if self.refusable and self.found:
            return "unrefused"
        if self.value is None and self.expected is not None:
            return "none"
        if self.altered:
            return "altered"
        return self.found.kind if self.found else ""


# The most basic failure is reported first; a wrong shape says more than the values inside it.
FAILURES = (
    "raised",
    "unwritten",
    "none",
    "altered",
    "type",
    "shape",
    "dtype",
    "nan",
    "value",
    "unrefused",
)

_exercises: dict[str, Exercise] = {}


def register(exercise: Exercise) -> Exercise:
    """Make an exercise known by its number.

    Raises
    ------
    UsageError
        When another exercise has the number already.
    """
    known = _exercises.get(exercise.number)
    if known is not None and _origin(known.reference) != _origin(exercise.reference):
        raise UsageError(
            f"Exercise {exercise.number} is {known.title!r} already; give {exercise.title!r} "
            "a number of its own."
        )
    _exercises[exercise.number] = exercise
    return exercise


def exercises_of(lesson: str) -> list[Exercise]:
    """Return the exercises of a lesson (two digits) in order; empty if it has none."""
    module = f"course_lib.checks.lesson_{lesson}"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
    found = [exercise for exercise in _exercises.values() if exercise.lesson == lesson]
    return sorted(found, key=lambda exercise: int(exercise.number.partition(".")[2]))


def find(number: str) -> Exercise:
    """Return an exercise by its number, such as ``"1.5"``.

    Raises
    ------
    UsageError
        When there is none of that number.
    """
    lesson = str(number).partition(".")[0]
    if str(number) not in _exercises:
        known = exercises_of(lesson.zfill(2)) if lesson.isdigit() else []
        if str(number) not in _exercises:
            there = ", ".join(exercise.number for exercise in known) or "none"
            raise UsageError(f"No check for exercise {number!r}. Lesson {lesson} has: {there}.")
    return _exercises[str(number)]


def examine(number: str, answer: Any, seed: int | None = None) -> Verdict:
    """Try an answer on random inputs.

    Parameters
    ----------
    number : str
        The exercise.
    answer : callable
        The student's function or class.
    seed : int, optional
        Repeats the draws of an earlier verdict; fresh when left out.

    Returns
    -------
    Verdict
        Passed only if every draw agrees.
    """
    exercise = find(number)
    if not callable(answer):
        hint = (
            f"The check wants the function itself, not a value ({summary(answer)}): write "
            f"`check({number!r}, {exercise.name})`, without calling it."
        )
        return Verdict(number, exercise.title, passed=False, hint=hint)
    seed = secrets.randbelow(2**31) if seed is None else seed
    draws = exercise.draws(np.random.default_rng(seed))
    outcomes = [_try(exercise, answer, args) for args in draws]
    verdict = Verdict(number, exercise.title, passed=True, seed=seed, draws=len(draws))
    failed = [outcome for outcome in outcomes if outcome.kind]
    if not failed:
        return verdict
    if all(outcome.kind == "unwritten" for outcome in outcomes):
        hint = f"`{exercise.name}` still raises NotImplementedError: write its body, run the cell."
        return dataclasses.replace(verdict, passed=False, started=False, hint=hint)
    kind = next(kind for kind in FAILURES if any(outcome.kind == kind for outcome in failed))
    smallest = min((o for o in failed if o.kind == kind), key=lambda o: size(o.args))
    hint = _diagnosis(exercise, answer, smallest)
    named = _misconception(exercise, outcomes)
    return dataclasses.replace(
        verdict,
        passed=False,
        hint=f"{hint} {named}".strip(),
        detail=_counterexample(exercise, smallest, len(failed), verdict),
    )


def check(number: str, answer: Any, seed: int | None = None) -> Any:
    """Show the verdict on an answer and return the definition to go on with.

    Parameters
    ----------
    number, answer, seed
        As for `examine`.

    Returns
    -------
    callable
        The answer if it passed, else the library's definition, so that the rest of the notebook
        runs either way.
    """
    exercise = find(number)
    if answer is exercise.reference:
        hint = (
            f"`{exercise.name}` is the course's own definition here, left by an earlier check. "
            "Run the cell with yours again, then this one."
        )
        verdict = Verdict(number, exercise.title, passed=False, started=False, hint=hint)
    else:
        verdict = examine(number, answer, seed)
        if not verdict.passed:
            note = f"Until then the notebook goes on with the course's `{exercise.name}`."
            verdict = dataclasses.replace(verdict, note=note)
    _show(verdict)
    return answer if verdict.passed else exercise.reference


def _show(verdict: Verdict) -> None:
    """Show richly where there is a notebook, in plain text elsewhere."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(verdict)
    else:
        display(verdict)


def _try(exercise: Exercise, answer: Callable[..., Any], args: tuple[Any, ...]) -> _Outcome:
    """Run the answer on copies of the arguments and compare it with the truth."""
    truth = exercise.oracle or _applied(exercise, exercise.reference)
    with _quiet():
        expected = _or_refused(truth, args)
        mine = _copies(args)
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                value = _copy(_applied(exercise, answer)(*mine))
        except (Exception, SystemExit) as error:
            if not (expected is REFUSED and isinstance(error, UsageError)):
                return _Outcome(args, expected, error=error)
            value = REFUSED
    altered = tuple(
        i for i, (old, new) in enumerate(zip(args, mine, strict=True)) if changed(old, new)
    )
    found = difference(value, expected, exercise.tolerance)
    return _Outcome(args, expected, value, None, printed.getvalue(), altered, found)


def _or_refused(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*_copies(args))
    except UsageError:
        return REFUSED


def _applied(exercise: Exercise, answer: Callable[..., Any]) -> Callable[..., Any]:
    use = exercise.use
    return answer if use is None else lambda *args: use(answer, *args)


def _misconception(exercise: Exercise, outcomes: Sequence[_Outcome]) -> str:
    """Return the hint of the misconception that explains the failures, or an empty string.

    A wrong rule that explains the answer everywhere comes before anything that explains a part.
    """
    valued = [o for o in outcomes if o.error is None or o.kind == "unrefused"]
    partial = ""
    for misconception in exercise.misconceptions:
        if misconception.when is not None:
            if not partial and _shows(misconception.when, valued):
                partial = misconception.hint
            continue
        telling, followed, everywhere = _followed(exercise, misconception, valued)
        if telling and followed and everywhere:
            return misconception.hint
        if telling >= FEWEST_TELLING_DRAWS and followed and not partial:
            partial = misconception.hint
    return partial


def _shows(when: Callable[..., Any], outcomes: Sequence[_Outcome]) -> bool:
    """Whether a predicate holds for at least half of the wrong results."""
    wrong = [outcome for outcome in outcomes if outcome.kind]
    held = 0
    for outcome in wrong:
        # The result may have any type or shape; a predicate that cannot read it does not hold.
        with _quiet(), contextlib.suppress(Exception):
            held += bool(when(_copies(outcome.args), outcome.value, outcome.expected))
    return bool(wrong) and 2 * held >= len(wrong)


def _followed(
    exercise: Exercise, misconception: Misconception, outcomes: Sequence[_Outcome]
) -> tuple[int, bool, bool]:
    """How an answer relates to a wrong rule.

    Returns
    -------
    telling : int
        On how many draws the rule differs from the truth.
    followed : bool
        Whether the answer agrees with the rule on all of those.
    everywhere : bool
        Whether it agrees with the rule on every draw.
    """
    assert misconception.model is not None
    rule = _applied(exercise, misconception.model)
    telling, followed, everywhere = 0, True, True
    for outcome in outcomes:
        try:
            with _quiet():
                claimed = _or_refused(rule, outcome.args)
        except Exception:  # the rule has no answer here, so it explains nothing
            everywhere = everywhere and not outcome.kind
            continue
        gap = difference(outcome.value, claimed, exercise.tolerance)
        agrees = gap is None
        everywhere = everywhere and agrees
        if gap and gap.kind == "dtype" and outcome.kind == "dtype":
            continue  # the answer's own slip, which says nothing of the rule behind its values
        if difference(claimed, outcome.expected, exercise.tolerance):
            telling += 1
            followed = followed and agrees
    return telling, followed, everywhere


def _diagnosis(exercise: Exercise, answer: Callable[..., Any], outcome: _Outcome) -> str:
    """Say in one sentence what is wrong with an outcome."""
    names = _argument_names(exercise, len(outcome.args))
    if outcome.kind in ("raised", "unwritten"):
        return _raised(exercise, answer, outcome, names)
    if outcome.kind == "unrefused":
        if outcome.error is None:
            return "It accepts an input that must be refused: raise UsageError."
        return f"An input that must be refused raised {_said(outcome.error)} instead of UsageError."
    if outcome.kind == "none":
        if outcome.printed:
            return "It prints its result but returns None: `return` the value."
        if outcome.altered:
            changed_names = ", ".join(f"`{names[i]}`" for i in outcome.altered)
            return f"It changed {changed_names} in place and returned None: `return` a new value."
        return "It returns None: is a `return` missing?"
    if outcome.kind == "altered":
        changed_names = ", ".join(f"`{names[i]}`" for i in outcome.altered)
        return f"It changed its input {changed_names} in place: work on a copy."
    assert outcome.found is not None
    lead = {
        "type": "It returns the wrong type",
        "shape": "It returns the wrong shape",
        "dtype": "It returns the wrong kind of numbers",
        "nan": "It returns NaN or infinity",
        "value": "The values differ",
    }[outcome.found.kind]
    return f"{lead}: {outcome.found.text}."


def _raised(
    exercise: Exercise, answer: Callable[..., Any], outcome: _Outcome, names: Sequence[str]
) -> str:
    error = outcome.error
    if exercise.use is None and isinstance(error, TypeError):
        try:
            signature = inspect.signature(answer)
        except (TypeError, ValueError):
            pass
        else:
            try:
                signature.bind(*outcome.args)
            except TypeError:
                return (
                    f"It cannot be called as `{exercise.name}({', '.join(names)})`: it takes "
                    f"`{signature}`. Keep the signature that was given."
                )
    inputs = ", ".join(f"{n} = {summary(a)}" for n, a in zip(names, outcome.args, strict=True))
    line = _line_of(error, answer)
    place = f" at `{line}`" if line else ""
    return f"It raised {_said(error)}{place}, for {inputs}."


def _said(error: BaseException | None) -> str:
    message = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _line_of(error: BaseException | None, answer: Callable[..., Any]) -> str:
    """Return the line of the answer's own file on which an error came up, if it can be told."""
    code = getattr(inspect.unwrap(answer), "__code__", None)
    if error is None or code is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.line for frame in frames if frame.filename == code.co_filename and frame.line]
    return lines[-1] if lines else ""


def _counterexample(exercise: Exercise, outcome: _Outcome, failures: int, verdict: Verdict) -> str:
    rows = list(
        zip(_argument_names(exercise, len(outcome.args)), map(summary, outcome.args), strict=True)
    )
    if outcome.refusable:
        rows.append(("expected", REFUSED))
        rows += [("yours", summary(outcome.value))] if outcome.error is None else []
    elif outcome.error is None:
        names = ("expected", "yours")
        rows += zip(names, summaries(outcome.expected, outcome.value), strict=True)
    else:
        rows.append(("expected", summary(outcome.expected)))
    width = max(len(name) for name, _ in rows)
    lines = [f"Wrong on {failures} of {verdict.draws} random inputs. The smallest of them:"]
    lines += [f"  {name:<{width}} = {text}" for name, text in rows]
    call = f"check({exercise.number!r}, {exercise.name}, seed={verdict.seed})"
    lines.append(f"To try the same inputs again: {call}")
    return "\n".join(lines)


def _argument_names(exercise: Exercise, count: int) -> list[str]:
    parameters = inspect.signature(exercise.use or exercise.reference).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if exercise.use is not None:
        names = names[1:]  # the first is the answer itself
    if len(names) < count:
        names = [f"argument {i + 1}" for i in range(count)]
    return names[:count]


def _copies(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(map(_copy, args))


def _copy(value: Any) -> Any:
    """Copy a value deeply where it can be; generators and modules pass as they are."""
    try:
        return copy.deepcopy(value)
    except (TypeError, ValueError, RuntimeError):
        return value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence numerical warnings: the verdict says it when they matter."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _origin(reference: Any) -> tuple[str, str]:
    return (
        str(getattr(reference, "__module__", "")),
        str(getattr(reference, "__qualname__", repr(reference))),
    )


def _inline(text: str) -> str:
    """Escape for HTML; `code` between backticks becomes code, line ends become breaks."""
    escaped = html.escape(text).replace("\n", "<br>")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
