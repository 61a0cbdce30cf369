"""Quoting: what is cut, what is kept, and what each wrong name is answered with."""

import ast
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest

from course_lib.teach.quote import QuoteError, quote

LIBRARY = {
    "__init__.py": "from .rooms.walls import paint\nfrom quotelib import rooms\n",
    "rooms/__init__.py": "",
    "rooms/walls.py": '''\
        """Walls."""

        import functools
        import math
        from dataclasses import dataclass, field
        from typing import overload

        import numpy as np

        COLOUR = "white"
        width, height = 1, 2
        double = lambda x: 2 * x  # noqa: E731


        def twice(function):
            """Call twice."""
            @functools.wraps(function)
            def inner(*args):
                return function(function(*args))
            return inner


        @twice
        @functools.lru_cache(
            maxsize=None,
        )
        def paint(
            wall: float, coats: int = 2,  # thin ones
        ) -> float:
            """Paint a wall ± twice.

            Parameters
            ----------
            wall : float
                It says "\\"\\"\\"" here, and `x\\\\y`.
            """
            # The first coat dries.
            wet = wall * coats

            return wet + 1


        @overload
        def sand(wall: int) -> int: ...
        @overload
        def sand(wall: float) -> float: ...
        def sand(wall):
            r\'\'\'
            Sand it: \\alpha "grit".

            Twice.
            \'\'\'
            return wall


        @dataclass(frozen=True)
        class Wall:
            """A wall.

            With two sides.
            """

            width: float = 1.0
            marks: list = field(default_factory=list)

            @property
            def area(self) -> float:
                """Its area.

                In square metres.
                """
                return self.width ** 2  # squared

            def scaled(self, by: float) -> "Wall":
                # Comments belong to the body.
                return Wall(self.width * by)


        @dataclass
        class Plain:
            """Only fields."""

            width: float = 1.0


        def bare(x):
            # comment first
            return x


        def inline(é="é"): return é


        try:
            import missing_thing
        except ImportError:
            def fallback():
                """Stand in."""
                return None


        def long():
            """Long."""
            x = 0
        ''',
}


@pytest.fixture(scope="module")
def quotelib(tmp_path_factory):
    root = tmp_path_factory.mktemp("library")
    for name, text in LIBRARY.items():
        path = root / "quotelib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = textwrap.dedent(text)
        if name.endswith("walls.py"):
            text += "".join(f"    x += {i}\n" for i in range(30))
        path.write_text(text, encoding="utf-8")
    (root / "quotelib" / "broken.py").write_text("def f(:\n", encoding="utf-8")
    sys.path.insert(0, str(root))
    yield root
    sys.path.remove(str(root))
    for name in [name for name in sys.modules if name.partition(".")[0] == "quotelib"]:
        del sys.modules[name]


def walls(name: str):
    return quote(f"quotelib.rooms.walls.{name}")


def test_a_decorated_function_keeps_decorators_signature_and_comments(quotelib):
    found = walls("paint")
    assert found.lesson == textwrap.dedent('''\
        @twice
        @functools.lru_cache(
            maxsize=None,
        )
        def paint(
            wall: float, coats: int = 2,  # thin ones
        ) -> float:
            """Paint a wall ± twice."""
            # The first coat dries.
            wet = wall * coats

            return wet + 1''')
    assert found.body_lines == 4
    assert found.short == "paint"


def test_a_stub_has_the_full_docstring_and_no_body(quotelib):
    stub = walls("paint").stub
    assert "Parameters" in stub
    assert "It says" in stub
    assert "The first coat" not in stub
    assert stub.endswith('    """\n    raise NotImplementedError')
    ast.parse(stub)


def test_all_forms_parse_and_the_full_form_is_the_file(quotelib):
    text = (quotelib / "quotelib/rooms/walls.py").read_text(encoding="utf-8")
    for name in ("twice", "paint", "sand", "Wall", "Plain", "bare", "inline", "fallback"):
        found = walls(name)
        for form in (found.full, found.lesson, found.stub):
            ast.parse(form)
        if name != "fallback":
            assert found.full in text
        first = ast.parse(found.full).body[0]
        cut = ast.get_docstring(ast.parse(found.lesson).body[0])
        assert cut == ((ast.get_docstring(first) or "").splitlines() or [None])[0]


def test_the_last_overload_counts_and_raw_docstrings_stay_raw(quotelib):
    found = walls("sand")
    assert found.full.startswith("def sand(wall):")
    assert "    r'''Sand it: \\alpha \"grit\".'''" in found.lesson


def test_a_dataclass_keeps_its_fields_and_empties_its_methods(quotelib):
    found = walls("Wall")
    assert found.lesson.startswith('@dataclass(frozen=True)\nclass Wall:\n    """A wall."""')
    assert "In square metres" not in found.lesson
    assert "In square metres" in found.stub
    assert "marks: list = field(default_factory=list)" in found.stub
    assert found.stub.count("raise NotImplementedError") == 2
    assert "squared" not in found.stub
    assert "Comments belong" not in found.stub
    namespace: dict = {"dataclass": dataclass, "field": __import__("dataclasses").field}
    exec(found.stub, namespace)
    with pytest.raises(NotImplementedError):
        namespace["Wall"]().scaled(2)


def test_comments_without_docstring_belong_to_the_body(quotelib):
    assert walls("bare").body_lines == 2
    assert walls("bare").stub == "def bare(x):\n    raise NotImplementedError"


def test_one_line_functions_and_wide_letters(quotelib):
    assert walls("inline").stub == 'def inline(é="é"):\n    raise NotImplementedError'


def test_definitions_inside_try_are_moved_to_the_margin(quotelib):
    assert walls("fallback").full.startswith("def fallback():\n    ")


def test_a_changed_library_is_seen_at_once(quotelib):
    path = quotelib / "quotelib/fresh.py"
    path.write_text("def f():\n    return 1\n", encoding="utf-8")
    assert "return 1" in quote("quotelib.fresh.f").full
    path.write_text("def f():\n    return 2\n", encoding="utf-8")
    assert "return 2" in quote("quotelib.fresh.f").full


def test_thirty_lines_pass_and_thirty_one_do_not(quotelib):
    with pytest.raises(QuoteError, match=r"body of quotelib.rooms.walls.long has 31 lines.*30"):
        walls("long")
    path = quotelib / "quotelib/just.py"
    path.write_text("def f():\n" + "    print()\n" * 30, encoding="utf-8")
    assert quote("quotelib.just.f").body_lines == 30


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("paint", "'paint' is not a full name, write package.module.name"),
        (
            "quotelib.rooms.walls.pain",
            "no 'pain' in quotelib.rooms.walls, write quotelib.rooms.walls.paint",
        ),
        ("quotelib.bare", "no 'bare' in quotelib, write quotelib.rooms.walls.bare"),
        (
            "quotelib.rooms.wals.bare",
            "no 'wals' in quotelib.rooms, write quotelib.rooms.walls.bare",
        ),
        ("quotelib.rooms.wals.bar", "no 'wals' in quotelib.rooms, write quotelib.rooms.walls."),
        (
            "quotelib.rooms.walls",
            "is a module, write the function or class meant, such as quotelib.rooms.walls.twice",
        ),
        (
            "quotelib.rooms",
            "is a module, write the function or class meant, such as quotelib.rooms.walls.",
        ),
        (
            "quotelib.rooms.walls.Wall.scaled",
            "is a method, quote the class quotelib.rooms.walls.Wall",
        ),
        (
            "quotelib.rooms.walls.Wall.scale",
            "no 'scale' in quotelib.rooms.walls.Wall, write quotelib.rooms.walls.Wall",
        ),
        ("quotelib.paint", "only imported there, write quotelib.rooms.walls.paint"),
        (
            "quotelib.rooms.walls.math",
            "is the module math, quote a function or class defined in the course",
        ),
        ("quotelib.rooms.walls.np", "is the module numpy, quote a function or class"),
        ("quotelib.rooms.walls.field", "imported from dataclasses, import it in the lesson"),
        ("quotelib.rooms.walls.COLOUR", "is a value, not a function or class, write it out"),
        ("quotelib.rooms.walls.height", "is a value, not a function or class"),
        ("quotelib.rooms.walls.double", "is a value, not a function or class"),
        ("quotelib.broken.f", "cannot be read (invalid syntax, line 1), correct broken.py"),
        ("math.sqrt", "math.sqrt has no Python source, import it in the lesson"),
        ("builtins.len", "builtins.len has no Python source, import it in the lesson"),
        ("nowhere_at_all.f", "there is no package 'nowhere_at_all'"),
    ],
)
def test_a_wrong_name_is_told_what_to_write_instead(quotelib, name, says):
    with pytest.raises(QuoteError) as caught:
        quote(name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_quoting_imports_nothing(quotelib):
    code = (
        f"import sys; sys.path.insert(0, {str(quotelib)!r});"
        "from course_lib.teach.quote import quote; quote('quotelib.rooms.walls.paint');"
        "assert 'quotelib' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
