"""Building small courses: what is written, what stays the same, and every complaint of --check."""

import importlib
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from course_lib.paths import CourseTree
from course_lib.teach import check as checks
from course_lib.teach.audit import find_problems
from course_lib.teach.build import adopt_outputs, build, code_sha, read_notebook
from course_lib.teach.check import Exercise, register
from course_lib.teach.problems import ProblemsError
from course_lib.teach.syllabus import SYLLABUS, Entry

LIBRARY = '''\
import numpy as np


def double(x):
    """Twice x.

    Parameters
    ----------
    x : float
    """
    return 2 * x


def half(x):
    """Half of x."""
    return x / 2


def long(x):
    """Much too long."""
''' + "".join(f"    x += {i}\n" for i in range(31))

LESSON = """\
# %% [markdown]
# # 91 · A small lesson
#
# ![a dot](dot.png)

# %% [markdown] run_card=true
# What it costs:

# %% tags=["parameters"]
seed = 0

# %% quote="smalllib.tools.half"

# %% [markdown]
# {{exercises}}

# %% quote="smalllib.tools.double" exercise="91.1" minutes=10 difficulty=2
# hint: Think of *two*.
# hint: Multiplication is `*`,
#   in Python.

# %%
# copy the picture first
print(double(21))
print(double(21))

# %%
import base64

from IPython.display import display

png = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
display({"image/png": png}, raw=True, metadata={"image/png": {"alt": "one dot"}})

# %% [markdown]
# The end.
"""

README = "# Small\n\n<!-- lessons:begin -->\n<!-- lessons:end -->\n\nMore.\n"
SMALL = (
    Entry("91", "small", "A small lesson", "Is it small?"),
    Entry("92", "later", "A later lesson", "When?"),
)


class Course:
    """A course of one lesson in a folder, with its own library and check."""

    def __init__(self, root: Path) -> None:
        self.tree = CourseTree(root)
        self.source = self.tree.sources / "91_small.py"
        self.lesson = self.tree.notebooks / "91_small.ipynb"
        self.copy = self.tree.exercises / "91_small.ipynb"
        self.library = root / "smalllib" / "tools.py"
        for path, text in {
            self.source: LESSON,
            root / "smalllib" / "__init__.py": "from smalllib.tools import double\n",
            self.library: LIBRARY,
            root / "README.md": README,
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def build(self) -> list[Path]:
        return build(self.tree, SMALL)

    def problems(self) -> list[str]:
        return [str(problem) for problem in find_problems(self.tree, SMALL)]

    def edit(self, old: str, new: str, path: Path | None = None) -> None:
        path = path or self.source
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def ids(self, path: Path | None = None) -> list[str]:
        return [cell.id for cell in read_notebook(path or self.lesson).cells]

    def execute(self) -> None:
        """Execute the built lesson with a real kernel, as `course run --update` leaves it."""
        notebook = read_notebook(self.lesson)
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        source = notebook.metadata["course"]["source"]
        notebook.metadata["course"]["executed"] = {"source": source, "profile": "cpu"}
        nbformat.write(notebook, self.lesson)
        self.build()

    def alter(self, change) -> None:
        """Change the executed lesson on disk by hand."""
        notebook = read_notebook(self.lesson)
        change(notebook)
        nbformat.write(notebook, self.lesson)


@pytest.fixture
def course(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "_exercises", {})
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Course(tmp_path)
    tools = importlib.import_module("smalllib.tools")
    register(Exercise("91.1", "Twice", tools.double, lambda rng: [(float(rng.normal()),)] * 4))
    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == "smalllib"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def executed_outputs(tmp_path_factory):
    """Outputs of the small lesson from a real kernel, by code cell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "_exercises", {})
        root = tmp_path_factory.mktemp("executed")
        patch.syspath_prepend(str(root))
        made = Course(root)
        tools = importlib.import_module("smalllib.tools")
        register(Exercise("91.1", "Twice", tools.double, lambda rng: [(1.0,)]))
        made.build()
        made.execute()
        for name in [name for name in sys.modules if name.partition(".")[0] == "smalllib"]:
            del sys.modules[name]
        return made.lesson.read_text(encoding="utf-8")


@pytest.fixture
def executed(course, executed_outputs):
    course.lesson.write_text(executed_outputs, encoding="utf-8")
    course.build()
    return course


def test_the_worked_lesson_holds_prose_code_and_quotations(course):
    course.build()
    notebook = read_notebook(course.lesson)
    nbformat.validate(notebook)
    sources = [cell.source for cell in notebook.cells]
    assert notebook.metadata.kernelspec.name == "python3"
    assert sources[0].startswith("# 91 · A small lesson")
    assert notebook.cells[2].metadata.tags == ["parameters"]
    assert sources[3] == 'def half(x):\n    """Half of x."""\n    return x / 2'
    assert "| 91.1 | Twice | 10 | ●●○ |" in sources[4]
    assert sources[5] == 'def double(x):\n    """Twice x."""\n    return 2 * x'
    assert sources[6].startswith("# copy the picture first\nprint")
    assert notebook.metadata.course.source == code_sha(notebook)
    assert "executed" not in notebook.metadata.course


def test_the_students_copy_has_stub_check_hints_and_solution(course):
    course.build()
    notebook = read_notebook(course.copy)
    nbformat.validate(notebook)
    sources = [cell.source for cell in notebook.cells]
    assert sources[0].startswith("# 91 ·")
    assert "your copy" in sources[1]
    assert sources[2] == "from course_lib.teach.check import check"
    cells = [c for c in notebook.cells if c.metadata.get("course", {}).get("exercise") == "91.1"]
    roles = [cell.metadata.course.role for cell in cells]
    assert roles == ["heading", "stub", "check", "hint", "hint", "solution"]
    heading, stub, trial, _, second, solution = (cell.source for cell in cells)
    assert heading == "### Exercise 91.1 · Twice · 10 min · ●●○"
    assert stub.endswith("raise NotImplementedError")
    assert "Parameters" in stub
    assert "2 * x" not in stub
    assert trial == 'double = check("91.1", double)'
    assert "<summary>Hint 2</summary>\n\nMultiplication is `*`,\nin Python.\n\n</details>" in second
    assert solution.startswith("<details>\n<summary>Solution</summary>\n\n```python\ndef double")
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert len(set(course.ids(course.copy))) == len(notebook.cells)


def test_the_copy_runs_from_top_to_bottom_before_anything_is_written(course):
    course.build()
    register_here = (
        f"import sys; sys.path.insert(0, {str(course.tree.root)!r})\n"
        "from smalllib.tools import double as reference\n"
        "from course_lib.teach.check import Exercise, register\n"
        "register(Exercise('91.1', 'Twice', reference, lambda rng: [(float(rng.normal()),)]))"
    )
    notebook = read_notebook(course.copy)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(register_here))
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = next(o for o in outputs if "text/html" in o.get("data", {}))
    assert "not started yet" in shown.data["text/plain"]
    assert 'role="status"' in shown.data["text/html"]
    assert any(o.get("text", "").startswith("42\n") for o in outputs)


def test_a_second_build_writes_nothing_and_the_same_bytes(executed):
    before = {
        p: (p.read_bytes(), p.stat().st_mtime_ns) for p in executed.tree.root.rglob("*.ipynb")
    }
    assert executed.build() == []
    after = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in executed.tree.root.rglob("*.ipynb")}
    assert before == after
    executed.copy.unlink()
    assert executed.build() == [executed.copy]
    assert executed.copy.read_bytes() == before[executed.copy][0]
    assert not list(executed.tree.root.rglob("*.partial"))


def test_an_executed_lesson_is_sound(executed):
    assert executed.problems() == []


def test_prose_edits_keep_outputs_and_code_edits_drop_them(executed):
    executed.edit("# The end.", "# The very end.")
    assert executed.build() == [executed.lesson, executed.copy]
    notebook = read_notebook(executed.lesson)
    assert notebook.cells[-1].source == "The very end."
    assert notebook.cells[6].outputs[0].text == "42\n42\n"
    assert executed.problems() == []
    executed.edit("print(double(21))", "print(double(22))")
    executed.build()
    notebook = read_notebook(executed.lesson)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert "executed" not in notebook.metadata.course


def test_a_library_edit_in_a_quotation_drops_outputs(executed):
    executed.edit("return 2 * x", "return x + x", executed.library)
    executed.build()
    assert "x + x" in executed.lesson.read_text(encoding="utf-8")
    assert [p for p in executed.problems() if "has not been executed" in p]


def test_outputs_of_code_changed_by_hand_are_not_trusted(executed):
    def tamper(notebook):
        notebook.cells[6].source = "print(43)"

    executed.alter(tamper)
    built = read_notebook(executed.copy)
    assert adopt_outputs(built, read_notebook(executed.lesson)) is False
    executed.build()
    assert not read_notebook(executed.lesson).cells[6].outputs


def test_editing_one_cell_or_the_library_leaves_other_ids_alone(course):
    course.build()
    before = course.ids()
    course.edit("# The end.", "# Another end.")
    course.edit("return 2 * x", "return x + x", course.library)
    course.edit("minutes=10", "minutes=15")
    course.build()
    after = course.ids()
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]
    course.edit(
        "# %% [markdown]\n# {{exercises}}", "# %%\nx = 1\n\n# %% [markdown]\n# {{exercises}}"
    )
    course.build()
    assert [cell_id for cell_id in course.ids() if cell_id in after] == after


def test_identical_cells_get_ids_of_their_own(course):
    course.source.write_text(LESSON + "\n# %% [markdown]\n# The end.\n", encoding="utf-8")
    course.build()
    first, second = course.ids()[-2:]
    assert second == f"{first}-2"


def test_run_cards_reach_lesson_and_readme(course):
    course.build()
    assert "not measured yet" in read_notebook(course.lesson).cells[1].source
    readme = (course.tree.root / "README.md").read_text(encoding="utf-8")
    assert "| [91 · A small lesson](notebooks/91_small.ipynb) | Is it small? | ready |" in readme
    assert "| 92 · A later lesson | When? | planned | |" in readme
    assert readme.endswith("<!-- lessons:end -->\n\nMore.\n")
    card = {
        "minutes": 1.24,
        "ram_gb": 0.9,
        "vram_gb": None,
        "slowest_cell_s": 12.3,
        "machine": "2 cores, 24 GB",
    }
    course.tree.assets.mkdir()
    cards = course.tree.assets / "run_cards.json"
    cards.write_text(json.dumps({"91": {"cpu": card}}), encoding="utf-8")
    assert len(course.build()) == 3
    text = read_notebook(course.lesson).cells[1].source
    assert text.startswith("What it costs:\n\n| profile |")
    assert "| `cpu` | 1.2 | 0.9 GB | none | 12.3 s | 2 cores, 24 GB |" in text
    assert "| `gpu` | not measured yet |" in text
    assert "ready | 1.2 |" in (course.tree.root / "README.md").read_text(encoding="utf-8")
    cards.write_text('{"91": {"cpu": {}}}', encoding="utf-8")
    assert any(p.startswith("assets/run_cards.json: it does not hold") for p in course.problems())


def test_a_copy_that_was_worked_in_is_kept_aside(course):
    course.build()
    notebook = read_notebook(course.copy)
    stub = next(c for c in notebook.cells if c.source.endswith("raise NotImplementedError"))
    stub.source = "def double(x):\n    return x + x"
    nbformat.write(notebook, course.copy)
    course.build()
    kept = course.copy.with_name("91_small.edited.ipynb")
    assert "return x + x" in kept.read_text(encoding="utf-8")
    assert "raise NotImplementedError" in course.copy.read_text(encoding="utf-8")
    assert not any("edited" in problem for problem in course.problems())


def test_a_wrong_lesson_does_not_stop_the_others(course):
    (course.tree.sources / "92_later.py").write_text(
        '# %% quote="smalllib.nothing"\n', encoding="utf-8"
    )
    with pytest.raises(ProblemsError, match=r"92_later\.py: cell 1 .*no 'nothing' in smalllib"):
        course.build()
    assert course.lesson.is_file()
    assert not (course.tree.notebooks / "92_later.ipynb").exists()


def test_check_writes_nothing(course):
    before = sorted(course.tree.root.rglob("*"))
    assert course.problems()
    assert [p for p in sorted(course.tree.root.rglob("*")) if "__pycache__" not in p.parts] == [
        p for p in before if "__pycache__" not in p.parts
    ]


SOURCE = "notebooks/source/91_small.py"
WRONG_SOURCES = [
    (
        "smalllib.tools.half",
        "smalllib.tools.halv",
        4,
        "there is no 'halv' in smalllib.tools, write smalllib.tools.half",
    ),
    ("smalllib.tools.half", "smalllib.tools", 4, "smalllib.tools is a module"),
    (
        "smalllib.tools.half",
        "smalllib.double",
        4,
        "only imported there, write smalllib.tools.double",
    ),
    ("smalllib.tools.half", "smalllib.tools.long", 4, "has 31 lines, shorten it to 30"),
    (
        "smalllib.tools.double",
        "smalllib.tools.half",
        6,
        "the check of exercise 91.1 compares with smalllib.tools.double, quote that",
    ),
    ("![a dot]", "![]", 1, "the picture 'dot.png' has no alt text"),
    ("# The end.", '# <img src="x.png" width="3">', 9, "the picture 'x.png' has no alt text"),
    ("# The end.", '# <p><img alt=" " src="x.png"></p>', 9, "the picture 'x.png' has no alt text"),
    ("Think of *two*.", "![](two.png)", 6, "the picture 'two.png' has no alt text"),
    ("{{exercises}}", "{{exercise}}", 5, "unknown placeholder {{exercise}}, write {{exercises}}"),
    (
        '# %% quote="smalllib.tools.half"',
        '# %% qoute="smalllib.tools.half"',
        4,
        "unknown metadata 'qoute'",
    ),
    (
        '# %% quote="smalllib.tools.half"',
        "# %% quote=half",
        4,
        "the metadata 'quote=half' cannot be read",
    ),
    ("# hint: Think", "x = 1  # hint: Think", 6, "a quoted cell has text of its own"),
    ("minutes=10 ", "", 6, "the exercise has no minutes"),
    ("difficulty=2", "difficulty=4", 6, "the exercise has no difficulty from 1 to 3"),
    (
        "# hint: Think of *two*.\n# hint: Multiplication is `*`,\n#   in Python.\n",
        "",
        6,
        "the exercise has no hint",
    ),
    ('exercise="91.1"', 'exercise="90.1"', 6, "'90.1' does not belong to lesson 91"),
    ('exercise="91.1"', "exercise=91.1", 6, "the exercise number is not text"),
    ('exercise="91.1"', 'exercise="91.2"', 6, "exercise 91.2 has no check"),
    (
        "# %%\nimport base64",
        '# %% exercise="91.2"\nimport base64',
        8,
        "exercise without a quotation",
    ),
    ("# %%\nimport base64", "# %% run_card=true\nimport base64", 8, "run_card on a code cell"),
    ("# %% [markdown]\n# The end.", "# %% [raw]\n# The end.", 9, "a cell of type 'raw'"),
    (
        "# %% [markdown]\n# The end.",
        '# %% quote="smalllib.tools.double" exercise="91.1" minutes=1 difficulty=1\n# hint: x',
        9,
        "'91.1' is used twice",
    ),
]


@pytest.mark.parametrize(("old", "new", "cell", "says"), WRONG_SOURCES)
def test_check_names_file_and_cell_of_a_wrong_source(course, old, new, cell, says):
    course.edit(old, new)
    found = [p for p in course.problems() if p.startswith(f"{SOURCE}: cell {cell} (") and says in p]
    assert found, course.problems()
    assert "\n" not in found[0]
    assert ", " in found[0].split("): ", 1)[1]


def test_check_finds_a_check_without_a_cell(course):
    tools = importlib.import_module("smalllib.tools")
    register(Exercise("91.2", "Half", tools.half, lambda rng: [(1.0,)]))
    assert any(f"{SOURCE}: exercise 91.2 has a check but no cell" in p for p in course.problems())


def test_check_finds_a_source_outside_the_syllabus_or_without_a_sound_name(course):
    (course.tree.sources / "93_stranger.py").write_text("# %%\nx = 1\n", encoding="utf-8")
    (course.tree.sources / "Scratch.py").write_text("# %%\nx = 1\n", encoding="utf-8")
    (course.tree.sources / "92_later.py").write_text(
        "# ---\n# jupyter:\n#   kernelspec: 3\n# ---\n\n# %%\nx = 1\n", encoding="utf-8"
    )
    problems = course.problems()
    assert any("93_stranger.py: it is not in the syllabus, add it" in p for p in problems)
    assert any("Scratch.py: the name is not that of a lesson" in p for p in problems)
    assert any("92_later.py: it cannot be read as py:percent" in p for p in problems)


def test_check_finds_missing_orphaned_and_broken_notebooks(course):
    assert "notebooks/91_small.ipynb: it is missing, run `course build`" in course.problems()
    assert "exercises/91_small.ipynb: it is missing, run `course build`" in course.problems()
    course.build()
    (course.tree.exercises / "95_old.ipynb").write_bytes(course.copy.read_bytes())
    course.lesson.write_text("<<<<<<< ours\n", encoding="utf-8")
    problems = course.problems()
    assert any(
        p.startswith("exercises/95_old.ipynb: it has no source, delete it") for p in problems
    )
    assert "notebooks/91_small.ipynb: it is not a notebook, run `course build`" in problems
    course.build()
    assert not any("not a notebook" in p for p in course.problems())


@pytest.mark.parametrize("text", ["[]", "{}", '{"cells": 3}', ""])
def test_a_notebook_of_something_else_is_built_anew(course, text):
    course.tree.exercises.mkdir()
    course.lesson.write_text(text, encoding="utf-8")
    course.copy.write_text(text, encoding="utf-8")
    assert "exercises/91_small.ipynb: it is not a notebook, run `course build`" in course.problems()
    course.build()
    assert [p for p in course.problems() if "executed" not in p] == []


def test_check_finds_what_is_out_of_date(executed):
    lesson = "notebooks/91_small.ipynb"
    executed.edit("# The end.", "# The very end.")
    cell = executed.ids().index(executed.ids()[-1]) + 1
    problems = executed.problems()
    assert any(
        p.startswith(f"{lesson}: cell {cell} (") and "out of date with its source" in p
        for p in problems
    )
    assert any(p.startswith("exercises/91_small.ipynb: cell ") for p in problems)
    executed.build()
    readme = executed.tree.root / "README.md"
    executed.edit("planned", "ready", readme)
    assert (
        "README.md: its table of lessons is out of date, run `course build`" in executed.problems()
    )


def test_check_finds_cells_added_or_removed_by_hand(executed):
    executed.alter(lambda nb: nb.cells.append(nbformat.v4.new_markdown_cell("mine", id="mine")))
    assert any("cell 10 (mine): a cell is not in the source" in p for p in executed.problems())
    executed.build()
    executed.alter(lambda nb: nb.cells.pop())
    assert any("cell 9 (" in p and "a cell is missing" in p for p in executed.problems())
    executed.build()
    executed.alter(lambda nb: nb.cells[0].metadata.update(mine=1))
    assert any("cell 1 (" in p and "metadata is out of date" in p for p in executed.problems())


def test_check_finds_outputs_of_other_code(executed):
    executed.edit("print(double(21))", "print(double(22))")
    found = [p for p in executed.problems() if "executed from a different source" in p]
    assert len(found) == 1
    assert found[0].startswith("notebooks/91_small.ipynb: cell 7 (")
    assert found[0].endswith("run `course run --update --only 91`")
    executed.build()
    assert (
        "notebooks/91_small.ipynb: it has not been executed from its present source, "
        "run `course run --update --only 91`" in executed.problems()
    )


def test_check_finds_cells_that_were_not_executed_or_failed(executed):
    def clear(notebook):
        notebook.cells[6].execution_count = None
        notebook.cells[6].outputs = []

    executed.alter(clear)
    assert any("cell 7 (" in p and "was not executed" in p for p in executed.problems())

    def fail(notebook):
        error = nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[])
        notebook.cells[6].update(execution_count=4, outputs=[error])

    executed.alter(fail)
    assert any("cell 7 (" in p and "failed with ValueError" in p for p in executed.problems())


@pytest.mark.parametrize(
    ("metadata", "sound"),
    [
        ({"image/png": {"alt": "one dot"}}, True),
        ({"alt": "one dot"}, True),
        ({}, False),
        ({"image/png": {"alt": "  "}}, False),
        ({"image/png": {"width": 3}}, False),
    ],
)
def test_check_wants_alt_text_of_executed_pictures(executed, metadata, sound):
    def change(notebook):
        notebook.cells[7].outputs[0].metadata = nbformat.from_dict(metadata)

    executed.alter(change)
    found = [p for p in executed.problems() if "no alt text" in p]
    assert (found == []) is sound
    if found:
        assert found[0].startswith("notebooks/91_small.ipynb: cell 8 (")
        assert "image/png" in found[0]


def test_check_reads_html_outputs_and_the_readme(executed):
    def change(notebook):
        html = nbformat.v4.new_output("display_data", {"text/html": "<p><img src='y.png'></p>"})
        notebook.cells[6].outputs.append(html)

    executed.alter(change)
    executed.edit("More.", "![](z.png) and `![](code.png)`", executed.tree.root / "README.md")
    found = [p for p in executed.problems() if "no alt text" in p]
    assert [("cell 7 (" in p, "README.md" in p) for p in found] == [(True, False), (False, True)]


@pytest.mark.parametrize("metadata", [{"image/png": {"alt": "one dot"}}, {"alt": "one dot"}])
def test_nbconvert_reads_the_alt_text_where_check_asks_for_it(executed, metadata):
    from nbconvert import HTMLExporter

    notebook = read_notebook(executed.lesson)
    notebook.cells[7].outputs[0].metadata = nbformat.from_dict(metadata)
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)
    assert 'alt="one dot"' in page


def test_check_finds_a_notebook_that_is_too_large(executed):
    text = "".join(map(str, np.random.default_rng(0).integers(0, 10, 1_600_000)))

    def grow(notebook):
        notebook.cells[6].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]

    executed.alter(grow)
    found = [p for p in executed.problems() if "more than 1.5 MB" in p]
    assert len(found) == 1
    assert found[0].startswith("notebooks/91_small.ipynb: cell 7 (")


def test_check_wants_a_place_for_the_table(course):
    (course.tree.root / "README.md").write_text("# Small\n", encoding="utf-8")
    assert any(
        p.startswith("README.md: it has no place for the table of lessons, add the lines <!--")
        for p in course.problems()
    )


def test_the_syllabus_lists_fifteen_lessons_in_order():
    assert [entry.number for entry in SYLLABUS] == [f"{i:02d}" for i in range(15)]
    assert all(entry.question.endswith("?") for entry in SYLLABUS)
    assert len({entry.slug for entry in SYLLABUS}) == 15


def test_the_command_explains_itself():
    done = subprocess.run(
        [sys.executable, "-m", "course_lib.cli", "build", "--help"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "--check" in done.stdout
    assert textwrap.dedent(done.stdout).count("NN_name.ipynb") >= 2
