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


def difference(got: Any, expected: Any, rtol: float, atol: float) -> Difference | None:
    """Return the first difference between two values, or None when they agree.

    Whole numbers are compared with ``atol`` alone, so that large ones are not let off. A float may
    come as a whole number, and any width of float will do; a ``uint8`` must be a ``uint8``.

    Parameters
    ----------
    got, expected : Any
        The value to judge, and the truth.
    rtol, atol : float
        Accepted is a distance of at most atol + rtol · abs(expected).
    """
    return _difference(got, expected, rtol, atol, "")


def _difference(got: Any, expected: Any, rtol: float, atol: float, where: str) -> Difference | None:
    family = _family(expected)
    if _family(got) != family:
        return Difference("type", f"expected {_kind_of(expected)}{where}, got {_kind_of(got)}")
    if family in ("number", "array", "tensor"):
        return _numeric_difference(as_array(got), as_array(expected), rtol, atol, where)
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
        found = _difference(mine_part, their_part, rtol, atol, inner)
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


def summary(value: Any) -> str:
    """Describe a value in one short line: small ones in full, large ones by shape and range."""
    family = _family(value)
    if family == "number":
        return _number(value)
    if family in ("array", "tensor"):
        return _array_summary(as_array(value), "tensor" if family == "tensor" else "array")
    if family in ("tuple", "list"):
        left, right = "()" if family == "tuple" else "[]"
        items = [summary(item) for item in value[:SHOWN_ITEMS]]
        if len(value) > SHOWN_ITEMS:
            items.append(f"… {len(value)} items")
        comma = "," if family == "tuple" and len(value) == 1 else ""
        return left + ", ".join(items) + comma + right
    if family == "mapping":
        return "{" + ", ".join(f"{key!r}: {summary(value[key])}" for key in value) + "}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = ", ".join(f"{name}={summary(part)}" for name, part in _fields(value).items())
        return f"{type(value).__name__}({inside})"
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    return reprlib.repr(value)


def _numeric_difference(
    got: np.ndarray, expected: np.ndarray, rtol: float, atol: float, where: str
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
        text = f"expected {_at(expected, place)}{_spot(place)}{where}, got {_at(got, place)}"
        return Difference("nan", text)
    wrong = ~_agree(got, expected, rtol, atol)
    if not wrong.any():
        return None
    gap = np.zeros(expected.shape)
    both = wrong & finite
    gap[both] = np.abs(got[both].astype(complex) - expected[both].astype(complex))
    place = np.unravel_index(int(np.argmax(gap)), gap.shape) if both.any() else _place(wrong)
    text = f"expected {_at(expected, place)}{_spot(place)}{where}, got {_at(got, place)}"
    if expected.size > 1:
        text += f" ({int(wrong.sum())} of {expected.size} values differ)"
    return Difference("value", text)


def _agree(got: np.ndarray, expected: np.ndarray, rtol: float, atol: float) -> np.ndarray:
    if expected.dtype.kind in "iu" and got.dtype.kind in "iu":
        gap = np.maximum(got, expected).astype(object) - np.minimum(got, expected).astype(object)
        return np.asarray(gap <= atol, dtype=bool)
    return np.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)


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


def _at(array: np.ndarray, place: tuple[Any, ...]) -> str:
    return _number(array[place])


def _number(value: Any) -> str:
    item = as_array(value).item()
    if isinstance(item, float):
        return f"{item:.6g}" if math.isfinite(item) else str(item)
    return str(item)


def _array_summary(array: np.ndarray, word: str) -> str:
    if array.size <= SHOWN_VALUES:
        text = np.array2string(array, precision=4, separator=", ", max_line_width=10_000)
        return f"{word} {' '.join(text.split())} {array.dtype}"
    shape = "×".join(map(str, array.shape))
    if array.dtype.kind not in "biuf":
        return f"{word} {shape} {array.dtype}"
    finite = array[np.isfinite(array)]
    span = f" from {_number(finite.min())} to {_number(finite.max())}" if finite.size else ""
    return f"{word} {shape} {array.dtype}{span}"
