"""Comparing what a student's function returned with what it should have returned.

Numbers, NumPy arrays, torch tensors, tuples, lists, dictionaries, dataclasses and plain objects are
compared part by part, and the first difference is described in words.
"""

import dataclasses
import math
import numbers
import reprlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

Kind = Literal["type", "shape", "dtype", "nan", "value"]
SHOWN_VALUES = 12
SHOWN_ITEMS = 6
DIGITS = 6
MOST_DIGITS = 17
"""Enough to tell any two floats apart."""
ACCEPTED_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "fiu", "c": "cfiu"}
KIND_NAMES = {"b": "True/False", "i": "whole numbers", "u": "whole numbers", "f": "floats"}


@dataclasses.dataclass(frozen=True)
class Difference:
    """One way in which two values differ.

    Parameters
    ----------
    kind : {"type", "shape", "dtype", "nan", "value"}
        What differs.
    text : str
        A sentence without its full stop: what was expected and what came.
    """

    kind: Kind
    text: str


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far a value may lie from the truth.

    Parameters
    ----------
    rtol, atol : float
        Accepted is a distance of at most atol + rtol · abs(expected); for whole numbers atol.
    levels : int
        For ``uint8``, at most so many levels.
    """

    rtol: float
    atol: float
    levels: int = 0


def difference(got: Any, expected: Any, tolerance: Tolerance) -> Difference | None:
    """Return the first difference between two values, or None when they agree.

    Whole numbers are compared with ``atol`` alone, so that large ones are not let off. A float may
    come as a whole number, and any width of float will do; a ``uint8`` must be a ``uint8``. Tuples,
    lists and one-dimensional arrays of numbers may stand for one another.

    Parameters
    ----------
    got, expected : Any
        The value to judge, and the truth.
    tolerance : Tolerance
        How much they may differ.
    """
    return _difference(got, expected, tolerance, "")


def _difference(got: Any, expected: Any, tolerance: Tolerance, where: str) -> Difference | None:
    family = _family(expected)
    interchangeable = _is_row(got) and _is_row(expected)
    if _family(got) != family and not interchangeable:
        return Difference("type", f"expected {_kind_of(expected)}{where}, got {_kind_of(got)}")
    if family in ("number", "array", "tensor"):
        return _numeric_difference(as_array(got), as_array(expected), tolerance, where)
    if family in ("tuple", "list"):
        if len(got) != len(expected):
            text = f"expected {len(expected)} items{where}, got {len(got)}"
            return Difference("shape", text)
        pairs = [(f"item {i}", a, b) for i, (a, b) in enumerate(zip(got, expected, strict=True))]
    elif family == "mapping":
        if set(got) != set(expected):
            text = f"expected the keys {_keys(expected)}{where}, got {_keys(got)}"
            return Difference("shape", text)
        pairs = [(f"key {key!r}", got[key], expected[key]) for key in expected]
    elif family == "object":
        mine, theirs = _fields(got), _fields(expected)
        if type(got).__name__ != type(expected).__name__ or set(mine) != set(theirs):
            return Difference("type", f"expected {_kind_of(expected)}{where}, got {_kind_of(got)}")
        pairs = [(f"`{name}`", mine[name], theirs[name]) for name in theirs]
    else:
        return _plain_difference(got, expected, where)
    for part, mine_part, their_part in pairs:
        inner = f"{where}, {part}" if where else f" in {part}"
        found = _difference(mine_part, their_part, tolerance, inner)
        if found:
            return found
    return None


def changed(before: Any, after: Any) -> bool:
    """Whether a value was altered; looks at data only (a random generator may move on)."""
    family = _family(before)
    if family in ("array", "tensor"):
        old, new = as_array(before), as_array(after)
        return old.shape != new.shape or not _same_numbers(old, new)
    if family in ("tuple", "list"):
        return len(before) != len(after) or any(map(changed, before, after))
    if family == "mapping":
        return set(before) != set(after) or any(changed(before[k], after[k]) for k in before)
    if dataclasses.is_dataclass(before):
        old_fields, new_fields = _fields(before), _fields(after)
        return any(changed(old_fields[k], new_fields.get(k)) for k in old_fields)
    return False


def as_array(value: Any) -> np.ndarray:
    """Return a number, array or tensor as a NumPy array."""
    if _is_tensor(value):
        value = value.detach().cpu()
        return np.asarray(value.float() if "bfloat16" in str(value.dtype) else value)
    return np.asarray(value)


def size(value: Any) -> int:
    """How many numbers or items a value holds; small counterexamples are the useful ones."""
    family = _family(value)
    if family in ("array", "tensor"):
        return max(1, as_array(value).size)
    if family in ("tuple", "list"):
        return sum(map(size, value)) + 1
    if family == "mapping":
        return sum(map(size, value.values())) + 1
    return 1


def summaries(*values: Any) -> list[str]:
    """Describe values that are to be compared, with as many digits as it takes to see them differ.

    Where no number of digits does, they are described as by `summary`.
    """
    for digits in range(DIGITS, MOST_DIGITS + 1):
        lines = [summary(value, digits) for value in values]
        if len(set(lines)) == len(lines):
            return lines
    return [summary(value) for value in values]


def summary(value: Any, digits: int = DIGITS) -> str:
    """Describe a value in one short line: small ones in full, large ones by shape and range."""
    family = _family(value)
    if family == "number":
        return _number(value, digits)
    if family in ("array", "tensor"):
        return _array_summary(as_array(value), "tensor" if family == "tensor" else "array", digits)
    if family in ("tuple", "list"):
        left, right = "()" if family == "tuple" else "[]"
        items = [summary(item, digits) for item in value[:SHOWN_ITEMS]]
        if len(value) > SHOWN_ITEMS:
            items.append(f"… {len(value)} items")
        comma = "," if family == "tuple" and len(value) == 1 else ""
        return left + ", ".join(items) + comma + right
    if family == "mapping":
        return "{" + ", ".join(f"{key!r}: {summary(value[key], digits)}" for key in value) + "}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = _fields(value).items()
        inside = ", ".join(f"{name}={summary(part, digits)}" for name, part in parts)
        return f"{type(value).__name__}({inside})"
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    return reprlib.repr(value)


def _numeric_difference(
    got: np.ndarray, expected: np.ndarray, tolerance: Tolerance, where: str
) -> Difference | None:
    if got.shape != expected.shape:
        text = f"expected shape {expected.shape}{where}, got {got.shape}"
        return Difference("shape", text)
    accepted = ACCEPTED_KINDS.get(expected.dtype.kind)
    if accepted is None:  # text, dates, objects: nothing to subtract
        same = bool(np.all(got == expected))
        return None if same else Difference("value", f"expected {expected}{where}, got {got}")
    wants_bytes = expected.dtype == np.uint8 and got.dtype != np.uint8
    if got.dtype.kind not in accepted or wants_bytes:
        meant = KIND_NAMES.get(expected.dtype.kind, "numbers")
        text = f"expected {expected.dtype} ({meant}){where}, got {got.dtype}"
        return Difference("dtype", text)
    finite = np.isfinite(expected)
    broken = finite & ~np.isfinite(got)
    if broken.any():
        place = _place(broken)
        want, have = _number(expected[place]), _number(got[place])
        return Difference("nan", f"expected {want}{_spot(place)}{where}, got {have}")
    wrong = ~_agree(got, expected, tolerance)
    if not wrong.any():
        return None
    gap = np.zeros(expected.shape)
    both = wrong & finite
    gap[both] = np.abs(got[both].astype(complex) - expected[both].astype(complex))
    place = np.unravel_index(int(np.argmax(gap)), gap.shape) if both.any() else _place(wrong)
    want, have = summaries(expected[place], got[place])
    text = f"expected {want}{_spot(place)}{where}, got {have}"
    if _number(expected[place]) == _number(got[place]):
        text += "; close, but not exact"
    if expected.size > 1:
        text += f" ({int(wrong.sum())} of {expected.size} values differ)"
    return Difference("value", text)


def _agree(got: np.ndarray, expected: np.ndarray, tolerance: Tolerance) -> np.ndarray:
    if expected.dtype.kind in "iu" and got.dtype.kind in "iu":
        gap = np.maximum(got, expected).astype(object) - np.minimum(got, expected).astype(object)
        allowed = tolerance.levels if expected.dtype == np.uint8 else 0
        return np.asarray(gap <= max(tolerance.atol, allowed), dtype=bool)
    return np.isclose(got, expected, rtol=tolerance.rtol, atol=tolerance.atol, equal_nan=True)


def _same_numbers(old: np.ndarray, new: np.ndarray) -> bool:
    return bool(
        np.array_equal(old, new, equal_nan=old.dtype.kind in "fc" and new.dtype.kind in "fc")
    )


def _plain_difference(got: Any, expected: Any, where: str) -> Difference | None:
    if got is expected or bool(got == expected):
        return None
    return Difference("value", f"expected {summary(expected)}{where}, got {summary(got)}")


def _family(value: Any) -> str:
    """Sort a value into the families that are compared with one another."""
    if _is_tensor(value):
        return "tensor"
    if isinstance(value, np.ndarray) and value.ndim:
        return "array"
    if isinstance(value, (bool, np.bool_, numbers.Number, np.number, np.ndarray)):
        return "number"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return "tuple"
    if isinstance(value, list):
        return "list"
    if isinstance(value, Mapping):
        return "mapping"
    if value is None or isinstance(value, (str, bytes, set, frozenset, type)) or callable(value):
        return type(value).__name__
    return "object" if _fields(value) else type(value).__name__


def _is_row(value: Any) -> bool:
    """Whether it is a tuple, a list or an array of one dimension that holds nothing but numbers."""
    family = _family(value)
    if family == "array":
        return value.ndim == 1 and value.dtype.kind in "biufc"
    return family in ("tuple", "list") and all(_family(item) == "number" for item in value)


def _fields(value: Any) -> dict[str, Any]:
    """Return the parts of a dataclass, a named tuple or a plain object by name."""
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    return dict(getattr(value, "__dict__", {}))


def _is_tensor(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("detach", "cpu", "numpy", "requires_grad"))


def _kind_of(value: Any) -> str:
    """Name a value's type as one would in a sentence."""
    family = _family(value)
    if family == "tensor":
        return "a torch tensor"
    if family == "array":
        return f"a NumPy array of shape {value.shape}"
    if family == "tuple":
        return f"a tuple of {len(value)}"
    if family == "list":
        return f"a list of {len(value)}"
    if family == "number":
        return f"a number ({as_array(value).dtype})"
    if value is None:
        return "None"
    return f"a {type(value).__name__}"


def _keys(value: Mapping[Any, Any]) -> str:
    return ", ".join(sorted(map(repr, value))) or "(none)"


def _place(mask: np.ndarray) -> tuple[Any, ...]:
    return tuple(np.argwhere(mask)[0])


def _spot(place: tuple[Any, ...]) -> str:
    return f" at [{', '.join(str(int(i)) for i in place)}]" if place else ""


def _number(value: Any, digits: int = DIGITS) -> str:
    item = as_array(value).item()
    if isinstance(item, float):
        return f"{item:.{digits}g}" if math.isfinite(item) else str(item)
    return str(item)


def _array_summary(array: np.ndarray, word: str, digits: int) -> str:
    if array.size <= SHOWN_VALUES:
        places = digits - 2
        text = np.array2string(array, precision=places, separator=", ", max_line_width=10_000)
        return f"{word} {' '.join(text.split())} {array.dtype}"
    shape = "×".join(map(str, array.shape))
    if array.dtype.kind not in "biuf":
        return f"{word} {shape} {array.dtype}"
    finite = array[np.isfinite(array)]
    ends = [_number(end, digits) for end in (finite.min(), finite.max())] if finite.size else []
    span = f" from {ends[0]} to {ends[1]}" if ends else ""
    return f"{word} {shape} {array.dtype}{span}"
