"""A small site with everything that pages have to handle; no kernel is needed for it."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from nbformat.v4 import new_output

from course_lib.paths import CourseTree
from course_lib.teach.build import write_notebook
from course_lib.teach.pages import write_site
from tests.small_course import code, course, lesson, parameters, read

RECORD = {
    "number": "01", "result": "passed", "errors": [], "profile": "cpu", "parameters": {},
    "minutes": 3.25, "slowest_cell": 2, "slowest_cell_s": 9.0, "ram_gb": 1.25, "vram_gb": None,
    "machine": "2 cores, 24 GB", "key": "",
}  # fmt: skip


@dataclass(frozen=True)
class Site:
    tree: CourseTree
    out: Path
    problems: list[str]
    records: dict


def picture(shade=90):
    encoded = cv2.imencode(".png", np.full((40, 60, 3), shade, np.uint8))[1].tobytes()
    return base64.b64encode(encoded).decode()


def make_site(folder: Path) -> Site:
    tree = course(folder / "course")
    (tree.assets / "ramp.png").write_bytes(base64.b64decode(picture()))
    (tree.root / "course_lib").mkdir()
    (tree.root / "course_lib" / "thin lens.py").write_text("focal = 1\n")
    out = folder / "executed"
    out.mkdir()

    shown = code("show(figure)")
    shown.outputs = [
        new_output(
            "display_data",
            {"image/png": picture()},
            metadata={"image/png": {"alt": 'Index "n" < 2', "width": 60}},
        ),
        new_output("display_data", {"text/markdown": "*It falls: $n(0.4) > n(0.7)$.*"}),
        new_output("stream", name="stdout", text="done <b>not bold</b>\n"),
        new_output("display_data", {"text/markdown": "**Mean** $\\bar{x}$, $$x^2$$"}),
        new_output("display_data", {"text/latex": "$\\displaystyle e = m c^2$"}),
        new_output("display_data", {"text/html": "<table><tr><td>7</td></tr></table>"}),
    ]
    shown.execution_count = 2
    first = lesson(
        tree,
        "01_lens_aberrations",
        "# A lens, $n(\\lambda)$\n\n"
        "[Next](02_patch_localization.ipynb#The-task), [code](../course_lib/thin%20lens.py), "
        "[folder](../assets/), [outside](https://example.org/paper), [here](#The-task), "
        "[gone](../missing.md), [later](03_crop_detection.ipynb)\n\n"
        "$$n = a + \\frac{b}{\\lambda^2}$$\n\n"
        "\\begin{align} x &= 1 \\\\ y &= 2 \\end{align}\n\nIt costs \\$5, and `$x$` is code.",
        parameters(),
        "## The task\n\n![A ramp](../assets/ramp.png)\n\n"
        '<img src="../assets/ramp.png" alt="The same" width="30">',
        shown,
        "## The task\n\n### A [linked](02_patch_localization.ipynb) part $x_1$",
    )
    second = lesson(tree, "02_patch_localization", "# Patches", "## The task", code("x[7]"))
    third = lesson(tree, "03_crop_detection", "# Crops")
    broken = read(second)
    broken.cells[2].outputs = [
        new_output("error", ename="IndexError", evalue="7", traceback=["\x1b[31mIndexError: 7"])
    ]
    for path, notebook in ((first, read(first)), (second, broken)):
        write_notebook(out / path.name, notebook)
    error = {"cell": 1, "line": "x[7]", "error": "IndexError: <7>", "where": "cell"}
    records = {
        "01_lens_aberrations": {**RECORD},
        "02_patch_localization": {**RECORD, "number": "02", "result": "failed", "errors": [error]},
    }
    assert third.exists()
    problems = write_site(tree, out, json.loads(json.dumps(records)))
    return Site(tree, out, problems, records)
