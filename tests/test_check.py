"""Exercise checks: right answers pass, wrong ones do not, and each is told why."""

import dataclasses
import importlib
import subprocess
import sys

import numpy as np
import pytest

from course_lib.errors import CourseError, UsageError
from course_lib.teach import check as checks
from course_lib.teach.check import (
    FEWEST_DRAWS,
    Exercise,
    Misconception,
    Verdict,
    check,
    examine,
    exercises_of,
    find,
    register,
)
from course_lib.teach.compare import Tolerance, changed, difference, size, summaries, summary


def mean_of(x, weight=1.0):
    """Weighted mean over the last axis."""
    return weight * x.mean(axis=-1)


def trials(rng):
    for _ in range(6):
        shape = rng.integers(2, 7, 2)
        yield rng.normal(size=shape), float(rng.uniform(1, 3))


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(checks, "_exercises", {})


@pytest.fixture
def mean():
    return register(
        Exercise(
            "91.1",
            "A mean",
            mean_of,
            trials,
            misconceptions=[
                Misconception("That is the other axis.", model=lambda x, w: w * x.mean(axis=0)),
                Misconception("The weight is missing.", model=lambda x, w: x.mean(axis=-1)),
                Misconception("The sign is turned.", when=lambda args, got, want: got @ want < 0),
                Misconception("It is the sum.", model=lambda x, w: w * x.sum(axis=-1)),
            ],
        )
    )


def numbers(reference, trials=None, **more):
    """Register a small exercise on one random number."""
    draw = trials or (lambda rng: [(float(rng.uniform(1, 2)),)])
    return register(Exercise("91.2", "Numbers", reference, draw, **more))


def test_the_reference_and_another_way_pass(mean):
    for seed in range(5):
        verdict = examine("91.1", mean_of, seed)
        assert verdict.passed
        assert verdict.draws >= FEWEST_DRAWS
    assert examine("91.1", lambda x, weight=1.0: np.sum(weight * x, -1) / x.shape[-1]).passed
    assert examine("91.1", lambda x, weight=1.0: tuple(mean_of(x, weight))).passed


def test_draws_are_fresh_and_repeatable(mean):
    first, second = examine("91.1", mean_of), examine("91.1", mean_of)
    assert first.seed != second.seed
    wrong = lambda x, w: x.mean(axis=-1)  # noqa: E731
    verdict = examine("91.1", wrong)
    again = examine("91.1", wrong, seed=verdict.seed)
    assert verdict.detail == again.detail
    assert f"check('91.1', mean_of, seed={verdict.seed})" in verdict.detail


def unfinished(x, weight=1.0):
    raise NotImplementedError


def raising(x, weight=1.0):
    return x.mean(axis=7)


def sometimes(x, weight=1.0):
    if x.shape[0] == 2:
        raise ValueError("two\nlines")
    return mean_of(x, weight)


def nothing(x, weight=1.0):
    mean_of(x, weight)


def printing(x, weight=1.0):
    print(mean_of(x, weight))


def in_place(x, weight=1.0):
    x *= weight
    return x.mean(axis=-1)


def in_place_nothing(x, weight=1.0):
    x *= weight


def quitting(x, weight=1.0):
    raise SystemExit(3)


def nan(x, weight=1.0):
    result = mean_of(x, weight)
    result[0] = np.nan
    return result


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (raising, "It raised AxisError: axis 7 is out of bounds"),
        (raising, "at `return x.mean(axis=7)`"),
        (sometimes, "It raised ValueError: two at `raise"),
        (sometimes, "for x = array"),
        (quitting, "It raised SystemExit: 3"),
        (nothing, "It returns None: is a `return` missing?"),
        (printing, "It prints its result but returns None"),
        (in_place, "It changed its input `x` in place: work on a copy"),
        (in_place_nothing, "It changed `x` in place and returned None"),
        (lambda x: x, "It cannot be called as `mean_of(x, weight)`: it takes `(x)`"),
        (lambda x, w: {"mean": 1}, "It returns the wrong type: expected a NumPy array"),
        (lambda x, w: list(mean_of(x, w))[1:], "It returns the wrong shape: expected shape ("),
        (lambda x, w: w * x.mean(axis=-1, keepdims=True), "wrong shape: expected shape ("),
        (lambda x, w: mean_of(x, w).astype(bool), "wrong kind of numbers: expected float64"),
        (nan, "It returns NaN or infinity: expected"),
        (lambda x, w: mean_of(x, w) + 0.5, "The values differ: expected"),
        (np.ones(3), "wants the function itself, not a value (array"),
    ],
)
def test_generic_diagnoses(mean, answer, says, capsys):
    verdict = examine("91.1", answer)
    assert not verdict.passed
    assert says in verdict.hint
    assert "\n" not in verdict.hint
    assert capsys.readouterr().out == ""


def test_a_stub_is_not_started_rather_than_wrong(mean):
    verdict = examine("91.1", unfinished)
    assert not verdict.passed
    assert not verdict.started
    assert "NotImplementedError" in verdict.hint
    assert verdict.headline == "○ Exercise 91.1 · A mean: not started yet"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda x, w: x.mean(axis=-1), "The weight is missing."),
        (lambda x, w: w * x.sum(axis=-1), "It is the sum."),
        (lambda x, w: -w * x.mean(axis=-1), "The sign is turned."),
        (lambda x, w: w * x.mean(axis=0), "That is the other axis."),
    ],
)
def test_misconceptions_are_named_after_the_generic_diagnosis(mean, answer, hint):
    for seed in range(5):
        said = examine("91.1", answer, seed).hint
        assert said.endswith(hint)
        assert said.startswith(("The values differ: ", "It returns the wrong shape: "))
        assert sum(m.hint in said for m in mean.misconceptions) == 1


def test_an_unknown_mistake_gets_no_misconception(mean):
    said = examine("91.1", lambda x, w: mean_of(x, w) + 0.5).hint
    assert not any(m.hint in said for m in mean.misconceptions)


def test_a_rule_that_explains_all_comes_before_one_that_explains_a_part():
    numbers(
        lambda x: abs(x),
        lambda rng: [(float(rng.normal()),) for _ in range(10)],
        misconceptions=[
            Misconception("part", model=lambda x: x),
            Misconception("all", model=lambda x: x if x < 0 else 2 * x),
        ],
    )
    assert examine("91.2", lambda x: x if x < 0 else 2 * x).hint.endswith("all")
    assert examine("91.2", lambda x: x if x < 0 else 3 * x).hint.endswith("part")
    assert examine("91.2", lambda x: x).hint.endswith("part")


def test_one_wrong_draw_in_many_is_enough():
    calls = iter(range(1000))

    def rarely_wrong(x):
        return x + (next(calls) == 17)

    numbers(lambda x: x)
    verdict = examine("91.2", rarely_wrong)
    assert not verdict.passed
    assert "Wrong on 1 of 20 random inputs" in verdict.detail


def test_the_smallest_counterexample_is_shown(mean):
    verdict = examine("91.1", lambda x, w: mean_of(x, w) + 1, seed=4)
    x, weight = min(mean.draws(np.random.default_rng(4)), key=lambda args: args[0].size)
    lines = [line.split(" = ") for line in verdict.detail.splitlines() if " = " in line]
    assert [name.strip() for name, _ in lines] == ["x", "weight", "expected", "yours"]
    assert [text for _, text in lines] == [
        summary(x),
        summary(weight),
        summary(mean_of(x, weight)),
        summary(mean_of(x, weight) + 1),
    ]


def test_an_oracle_is_the_truth_and_not_the_reference():
    numbers(lambda x: x + 1, oracle=lambda x: x)
    assert not examine("91.2", lambda x: x + 1).passed
    assert examine("91.2", lambda x: x).passed


def root(x):
    """Square root of a number that has one."""
    if x < 0:
        raise UsageError("There is none.")
    return x**0.5


def signed(rng):
    yield from ((float(rng.uniform(1, 2)),), (float(rng.uniform(-2, -1)),))


def test_what_the_truth_refuses_must_be_refused():
    numbers(root, signed)
    assert examine("91.2", root).passed
    verdict = examine("91.2", lambda x: abs(x) ** 0.5)
    assert not verdict.passed
    assert verdict.hint == "It accepts an input that must be refused: raise UsageError."
    assert "Wrong on 10 of 20 random inputs" in verdict.detail
    assert "expected = refused with UsageError\n" in verdict.detail

    def another(x):
        if x < 0:
            raise ValueError("none")
        return x**0.5

    said = examine("91.2", another).hint
    assert said == "An input that must be refused raised ValueError: none instead of UsageError."
    assert "It returns None" not in examine("91.2", lambda x: None if x < 0 else x**0.5).hint


def test_an_oracle_may_refuse():
    numbers(lambda x: 0.0, signed, oracle=root)
    assert examine("91.2", root).passed
    assert not examine("91.2", lambda x: abs(x) ** 0.5).passed


def test_refusing_too_much_is_an_error():
    def refusing(x):
        raise UsageError("never")

    numbers(root, signed)
    assert "It raised UsageError: never" in examine("91.2", refusing).hint


def test_an_unfinished_answer_is_not_started_where_some_inputs_are_refused():
    numbers(root, signed)
    assert not examine("91.2", unfinished).started


def test_a_wrong_rule_is_recognised_whether_or_not_it_refuses():
    def halved(x):
        if x < 0:
            raise UsageError("none")
        return x / 2

    numbers(root, signed, misconceptions=[Misconception("That is half.", model=halved)])
    assert examine("91.2", halved).hint.endswith("That is half.")
    assert examine("91.2", lambda x: x / 2).hint.endswith("That is half.")


def test_a_rule_that_explains_all_comes_before_a_predicate():
    numbers(
        lambda x: x,
        misconceptions=[
            Misconception("Something.", when=lambda args, got, expected: True),
            Misconception("Doubled.", model=lambda x: 2 * x),
        ],
    )
    assert examine("91.2", lambda x: 2 * x).hint.endswith("Doubled.")
    assert examine("91.2", lambda x: 3 * x).hint.endswith("Something.")


def pictures(rng):
    picture = rng.uniform(0.2, 0.8, (3, 4)).astype(np.float32)
    yield from ((picture,), (np.rint(255 * picture).astype(np.uint8),))


def darker(picture):
    """Halve a picture, in its own dtype."""
    return (picture / 2).astype(picture.dtype)


def test_uint8_has_a_tolerance_in_levels_and_floats_have_not():
    rounded = lambda p: np.rint(p / 2).astype(p.dtype) if p.dtype == np.uint8 else p / 2  # noqa: E731
    numbers(darker, pictures)
    assert not examine("91.2", rounded).passed
    numbers(darker, pictures, levels=1)
    assert examine("91.2", rounded).passed
    assert not examine("91.2", lambda p: darker(p) + p.dtype.type(2)).passed


def test_a_wrong_rule_is_recognised_in_another_dtype():
    numbers(darker, pictures, misconceptions=[Misconception("A third.", model=lambda p: p / 3)])
    said = examine("91.2", lambda p: p.astype(np.float32) / 3).hint
    assert said.startswith("It returns the wrong kind of numbers: expected uint8")
    numbers(
        darker,
        pictures,
        misconceptions=[Misconception("A third.", model=lambda p: (p / 3).astype(p.dtype))],
    )
    said = examine("91.2", lambda p: p.astype(np.float32) / 3).hint
    assert said.startswith("It returns the wrong kind of numbers: expected uint8")
    assert said.endswith("A third.")


def test_what_prints_alike_is_shown_with_more_digits():
    numbers(lambda x: x, lambda rng: [(0.79893941,)], rtol=1e-12, atol=0)
    verdict = examine("91.2", lambda x: x - 3e-8)
    text = "expected 0.79893941, got 0.79893938; close, but not exact."
    assert verdict.hint == f"The values differ: {text}"
    assert "expected = 0.79893941\n" in verdict.detail
    assert "yours    = 0.79893938\n" in verdict.detail


def test_use_runs_classes_and_generators():
    class Counter:
        def __init__(self, start):
            self.start = start

        def next(self, step):
            return self.start + step

    class Wrong(Counter):
        def next(self, step):
            return self.start - step

    register(
        Exercise(
            "91.3",
            "A class",
            Counter,
            lambda rng: [(int(rng.integers(9)), int(rng.integers(1, 9)))],
            misconceptions=[
                Misconception("Forwards.", model=Wrong),
            ],
            use=lambda answer, start, step: answer(start).next(step),
        )
    )
    assert examine("91.3", Counter).passed
    verdict = examine("91.3", Wrong)
    assert verdict.hint.endswith("Forwards.")
    assert "start    = " in verdict.detail


def test_an_answer_that_reuses_its_buffer_is_judged_on_each_result():
    buffer = np.zeros(1)

    def reusing(x):
        buffer[0] = x
        return buffer

    numbers(lambda x: np.array([x]))
    assert examine("91.2", reusing).passed


def test_draws_share_nothing_with_the_answer():
    def greedy(x):
        kept = x.copy()
        x[:] = 0
        return kept

    numbers(lambda x: x.copy(), lambda rng: [(rng.normal(size=3),)])
    assert "in place" in examine("91.2", greedy).hint


@dataclasses.dataclass
class Point:
    x: float
    y: np.ndarray


@dataclasses.dataclass
class Other:
    x: float


class Plain:
    def __init__(self, x):
        self.x = x


A = np.arange(6.0).reshape(2, 3)
NEAR = Tolerance(1e-5, 1e-7)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1.0 + 1e-9, 1.0),
        (1, 1.0),
        (np.float32(0.1), 0.1),
        (np.array(2.0), 2.0),
        (np.bool_(True), True),
        (A.astype(np.float32), A),
        (A.astype(int), A),
        ([1.0, (2, "a")], [1.0, (2, "a")]),
        ({"b": 1, "a": A}, {"a": A, "b": 1}),
        (Point(1.0, A), Point(1.0, A + 1e-9)),
        (Plain(3), Plain(3)),
        (np.array([np.nan, np.inf]), np.array([np.nan, np.inf])),
        (None, None),
        (np.array(["a"]), np.array(["a"])),
        ({1, 2}, {2, 1}),
        ([1.0, 2.0], (1.0, 2.0)),
        (np.array([1.0, 2.0]), (1.0, 2.0)),
        ((np.float64(1), 2), np.array([1.0, 2.0])),
        ([1.0, 2.0], np.array([1.0, 2.0])),
        ({"a": [1, 2]}, {"a": (1, 2)}),
    ],
)
def test_equal_values_agree(got, expected):
    assert difference(got, expected, NEAR) is None


@pytest.mark.parametrize(
    ("got", "expected", "kind", "text"),
    [
        (1.001, 1.0, "value", "expected 1, got 1.001"),
        (None, 1.0, "type", "expected a number (float64), got None"),
        (["a"], ("a",), "type", "expected a tuple of 1, got a list of 1"),
        ("ab", (1.0, 2.0), "type", "expected a tuple of 2, got a str"),
        (A, (1.0, 2.0), "type", "expected a tuple of 2, got a NumPy array of shape (2, 3)"),
        ([1.0, 2.0, 3.0], (1.0, 2.0), "shape", "expected 2 items, got 3"),
        (np.ones(3), (1.0, 1.0), "shape", "expected 2 items, got 3"),
        ((1.0, 1.0), np.ones(3), "shape", "expected shape (3,), got (2,)"),
        ([1.0, 3.0], (1, 2), "dtype", "expected int64 (whole numbers) in item 0, got float64"),
        (
            np.array([1.0, 2.001]),
            (1.0, 2.0),
            "value",
            "expected 2 in item 1, got 2.001",
        ),
        (
            np.array([1.0, 2.0 + 1e-6]),
            np.array([1.0, 2.0]) * (1 - 1e-4),
            "value",
            "expected 1.9998 at [1], got 2 (2 of 2 values differ)",
        ),
        (A, 1.0, "type", "expected a number (float64), got a NumPy array of shape (2, 3)"),
        ((1, 2, 3), (1, 2), "shape", "expected 2 items, got 3"),
        ((1.0, 5.0), (1.0, 2.0), "value", "expected 2 in item 1, got 5"),
        (A.T, A, "shape", "expected shape (2, 3), got (3, 2)"),
        (1.0, 1, "dtype", "expected int64 (whole numbers), got float64"),
        (1, True, "dtype", "expected bool (True/False), got int64"),
        (A, A.astype(np.uint8), "dtype", "expected uint8 (whole numbers), got float64"),
        (A.astype(int), A.astype(np.uint8), "dtype", "expected uint8 (whole numbers), got int64"),
        (np.where(A < 1, np.nan, A), A, "nan", "expected 0 at [0, 0], got nan"),
        (
            A + np.array([0, 0, 9]),
            A,
            "value",
            "expected 2 at [0, 2], got 11 (2 of 6 values differ)",
        ),
        (10**9 + 1, 10**9, "value", "expected 1000000000, got 1000000001"),
        (np.uint8(1), np.uint8(255), "value", "expected 255, got 1"),
        (np.uint64(2**63), np.uint64(2**63 + 1), "value", f"expected {2**63 + 1}, got {2**63}"),
        ({"a": 1}, {"b": 1}, "shape", "expected the keys 'b', got 'a'"),
        ({"a": (1, 2)}, {"a": (1, 3)}, "value", "expected 3 in key 'a', item 1, got 2"),
        (Point(1.0, A), Point(2.0, A), "value", "expected 2 in `x`, got 1"),
        (Other(1.0), Point(1.0, A), "type", "expected a Point, got a Other"),
        (Plain(3), Plain(4), "value", "expected 4 in `x`, got 3"),
        ("a", "b", "value", "expected 'b', got 'a'"),
        (np.array(["a"]), np.array(["b"]), "value", "expected ['b'], got ['a']"),
        (1.0, np.nan, "value", "expected nan, got 1"),
    ],
)
def test_differences_are_said_in_words(got, expected, kind, text):
    with np.errstate(all="ignore"):
        found = difference(got, expected, NEAR)
    assert found is not None
    assert (found.kind, found.text) == (kind, text)


def test_torch_tensors_are_compared_without_gradients():
    torch = importlib.import_module("torch")
    one = torch.ones(2, 2, requires_grad=True) * 1.0
    assert difference(one, torch.ones(2, 2), NEAR) is None
    assert difference(one.to(torch.bfloat16), torch.ones(2, 2), NEAR) is None
    found = difference(one, torch.zeros(2, 2), NEAR)
    assert found is not None
    assert found.kind == "value"
    found = difference(1.0, torch.tensor(1.0), NEAR)
    assert found is not None
    assert found.text == "expected a torch tensor, got a number (float64)"
    numbers(lambda x: x * 2, lambda rng: [(torch.from_numpy(rng.normal(size=3)),)])
    assert examine("91.2", lambda x: x + x).passed
    assert "in place" in examine("91.2", lambda x: x.mul_(2)).hint
    assert summary(one.detach()) == "tensor [[1., 1.], [1., 1.]] float32"


def test_summaries_are_short():
    assert summary(np.arange(100).reshape(10, 10)) == "array 10×10 int64 from 0 to 99"
    assert summary(np.array([0.12345678])) == "array [0.1235] float64"
    assert summary((1.0, "a", None)) == "(1, 'a', None)"
    assert summary(list(range(50))) == "[0, 1, 2, 3, 4, 5, … 50 items]"
    assert summary(Point(1 / 3, np.ones(2))) == "Point(x=0.333333, y=array [1., 1.] float64)"
    assert summary({"a": 1.5}) == "{'a': 1.5}"
    assert len(summary("x" * 1000)) < 60
    assert summary(mean_of) == "mean_of"
    assert summaries(1.0, 1 + 1e-8) == ["1", "1.00000001"]
    near = summaries(np.ones(2), np.ones(2) + 1e-7)
    assert near == ["array [1., 1.] float64", "array [1.0000001, 1.0000001] float64"]
    assert summaries(1.0, 1.0) == ["1", "1"]
    assert summaries((1.0, A), (1.0, A.T))[0] == summary((1.0, A))
    assert size((np.ones((3, 4)), 1)) == 14
    assert changed({"a": [np.ones(2)]}, {"a": [np.zeros(2)]})
    rng = np.random.default_rng(0)
    assert not changed(rng, np.random.default_rng(1))


def test_check_returns_a_passing_answer_and_else_the_reference(mean, capsys):
    good = lambda x, w: w * x.mean(-1)  # noqa: E731
    assert check("91.1", good) is good
    assert capsys.readouterr().out.startswith("✓ Exercise 91.1 · A mean: passed (24 random inputs)")
    assert check("91.1", unfinished) is mean_of
    assert capsys.readouterr().out.startswith("○ Exercise 91.1 · A mean: not started yet")
    assert check("91.1", lambda x, w: x) is mean_of
    text = capsys.readouterr().out
    assert text.startswith("✗ Exercise 91.1 · A mean: not yet\n  It returns the wrong shape")
    assert "the notebook goes on with the course's `mean_of`" in text


def test_a_reference_left_by_an_earlier_check_does_not_pass(mean, capsys):
    left = check("91.1", unfinished)
    capsys.readouterr()
    assert check("91.1", left) is mean_of
    text = capsys.readouterr().out
    assert "passed" not in text
    assert "Run the cell with yours again" in text


def test_html_escapes_and_says_the_verdict_in_words():
    verdict = Verdict(
        "91.1", "a < b", passed=False, hint="use `x < 1`\nnot y", detail="<script>", note="`n`"
    )
    shown = verdict._repr_html_()
    assert "✗ Exercise 91.1 · a &lt; b: not yet" in shown
    assert "use <code>x &lt; 1</code><br>not y" in shown
    assert "<script>" not in shown
    assert 'role="status"' in shown
    styles = {
        Verdict("91.1", "t", passed=p, started=s)
        ._repr_html_()
        .split("border-left:6px ")[1]
        .split()[0]
        for p, s in [(True, True), (False, True), (False, False)]
    }
    assert len(styles) == 3
    assert repr(verdict) == str(verdict)


def test_exercises_are_found_by_number(mean):
    assert find("91.1") is mean
    assert mean.lesson == "91"
    assert mean.name == "mean_of"
    assert exercises_of("91") == [mean]
    assert exercises_of("92") == []
    with pytest.raises(UsageError, match=r"No check for exercise '91.7'. Lesson 91 has: 91.1."):
        find("91.7")
    with pytest.raises(UsageError, match="No check for exercise 'x'"):
        find("x")
    for number, title in (("91.10", "ten"), ("91.2", "two")):
        register(Exercise(number, title, mean_of, trials))
    assert [e.number for e in exercises_of("91")] == ["91.1", "91.2", "91.10"]


def test_a_number_belongs_to_one_exercise(mean):
    register(Exercise("91.1", "A mean", mean_of, trials))  # the module was loaded again
    with pytest.raises(UsageError, match=r"91.1 is 'A mean' already; give 'Other'"):
        register(Exercise("91.1", "Other", np.median, trials))
    with pytest.raises(UsageError, match=r"write it as '1\.5'"):
        Exercise("1", "bad", mean_of, trials)
    with pytest.raises(UsageError, match="either a model or a when"):
        Misconception("neither")


@pytest.mark.parametrize("bad", [lambda rng: [], lambda rng: [1.0]])
def test_trials_must_yield_tuples(bad):
    numbers(mean_of, bad)
    with pytest.raises(CourseError, match=r"trials of exercise 91\.2 must yield tuples"):
        examine("91.2", mean_of)


def test_endless_trials_are_cut():
    def endless(rng):
        while True:
            yield (float(rng.normal()),)

    numbers(lambda x: x, endless)
    assert examine("91.2", lambda x: x).draws == checks.MOST_DRAWS


def test_checking_needs_no_torch():
    code = "import sys, course_lib.teach.check; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
