"""Claims: the sentences of a lesson that its own measurements must bear out."""

from course_lib.errors import CourseError


class ClaimError(CourseError, AssertionError):
    """A sentence of the lesson is not true of what was just measured."""


def claim(sentence: str, holds: object, shown: str = "") -> None:
    """Assert a qualitative statement and print it with the numbers that carry it.

    Parameters
    ----------
    sentence : str
        What the lesson says, as a full sentence.
    holds : bool
        Whether the measurement bears it out.
    shown : str
        The figures behind it, with interval and n.

    Raises
    ------
    ClaimError
        When it does not hold. The lesson then fails, whatever the profile.
    """
    figures = f"\n  {shown}" if shown else ""
    if not bool(holds):
        raise ClaimError(f"This run does not bear out the claim: {sentence}{figures}")
    print(f"✓ {sentence}{figures}")
