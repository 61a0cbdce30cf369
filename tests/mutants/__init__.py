"""Common wrong answers, one module a lesson: `lesson_01.MUTANTS` maps exercise numbers to them.

    MUTANTS = {
        "1.5": [
            Mutant(lambda r: 1 + r**2, hint="fourth power"),
            ...
        ],
    }

Each must be rejected, with a verdict whose hint contains the mutant's own fragment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mutant:
    """A wrong answer.

    Parameters
    ----------
    answer : callable
        What a student might hand in.
    hint : str
        A fragment of the hint that it must be met with, no other mutant of the exercise shares it.
    """

    answer: Callable[..., Any]
    hint: str
