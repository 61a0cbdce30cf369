"""The door to the lens is light."""

import subprocess
import sys

PROBE = """
import sys, time
start = time.perf_counter()
import course_lib.lens
seconds = time.perf_counter() - start
heavy = {"torch", "scipy.optimize", "sklearn", "skimage", "matplotlib", "pandas"} & set(sys.modules)
print(seconds, sorted(heavy))
"""


def test_import_takes_half_a_second_and_nothing_heavy():
    seconds = []
    for _ in range(3):  # the best of three: another process may be busy
        seen = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True
        ).stdout
        taken, heavy = seen.strip().split(" ", 1)
        assert heavy == "[]"
        seconds.append(float(taken))
    assert min(seconds) <= 0.5


def test_every_advertised_name_exists():
    import course_lib.lens as lens

    for name in lens.__all__:
        assert getattr(lens, name) is not None
    assert set(lens.__all__) <= set(dir(lens))
