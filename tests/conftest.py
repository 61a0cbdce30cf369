"""Settings of all tests that suit every machine."""

import os

from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
for name in ("COURSE_PHOTOS", "COURSE_PROFILE"):  # a reader's own settings are no part of a test
    os.environ.pop(name, None)
settings.register_profile("course", deadline=None)  # a busy machine is no failure
settings.load_profile("course")
