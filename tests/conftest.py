"""Settings of all tests that suit every machine."""

import os
import shutil
import signal

import pytest
from hypothesis import settings

SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]

os.environ.setdefault("MPLBACKEND", "Agg")
for name in ("COURSE_PHOTOS", "COURSE_PROFILE"):  # a reader's own settings are no part of a test
    os.environ.pop(name, None)
# Where tests were started in the background, Ctrl-C is ignored, and programs would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("course", deadline=None)  # a busy machine is no failure
settings.load_profile("course")


# Of one module only: while Playwright is open its event loop runs, and nothing else can start one.
@pytest.fixture(scope="module")
def browser():
    """Start a headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        complain = pytest.fail if os.environ.get("CI") else pytest.skip
        complain("needs chromium on the path")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        yield started
        started.close()
