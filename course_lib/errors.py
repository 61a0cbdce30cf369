"""Errors that are meant for people: one clear line that says what was wrong and what to do."""


class CourseError(Exception):
    """Something failed; the message says what and what to do. The command line exits with 1."""


class UsageError(CourseError):
    """The request was wrong (unknown name, impossible value). The command line exits with 2."""


class PhotoError(CourseError):
    """A picture cannot be used; the message names the file and the reason."""
