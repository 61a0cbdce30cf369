"""Quoting the library: the source of a function or class, as a lesson and as an exercise show it.

Definitions are found by reading files, without importing them: quoting is quick, needs no GPU
library, and always sees the file as it is now.
"""

import ast
import difflib
import importlib.util
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import CourseError

MAX_BODY_LINES = 30
EMPTY_BODY = "raise NotImplementedError"

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class QuoteError(CourseError):
    """A quotation cannot be made.

    Parameters
    ----------
    what : str
        What is wrong with the name.
    remedy : str
        What to write instead.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}, {remedy}")
        self.what = what
        self.remedy = remedy


@dataclass(frozen=True)
class Quotation:
    """A definition of the library in the forms that notebooks show.

    Parameters
    ----------
    name : str
        Full name, such as ``course_lib.lens.vignetting.gain``.
    full : str
        The source as it stands in the library, with decorators.
    lesson : str
        The same with docstrings cut to their first line.
    stub : str
        Signature and full docstring; every body raises NotImplementedError.
    body_lines : int
        Lines of ``lesson`` without decorators, signature and docstring.
    """

    name: str
    full: str
    lesson: str
    stub: str
    body_lines: int

    @property
    def short(self) -> str:
        """The name that the definition binds."""
        return self.name.rpartition(".")[2]


def quote(name: str) -> Quotation:
    """Quote a function or a class by its full name.

    Parameters
    ----------
    name : str
        ``package.module.name``: the module is the one in which it is defined.

    Raises
    ------
    QuoteError
        When there is no such definition, when the name is that of a module, a method, a value or
        something imported, or when its body is longer than 30 lines. It says what to write instead.
    """
    source, node = _locate(name)
    full = _segment(source, node)
    lesson = _cut_docstrings(full)
    quotation = Quotation(name, full, lesson, _empty(full), _body_lines(lesson))
    if quotation.body_lines > MAX_BODY_LINES:
        raise QuoteError(
            f"the body of {name} has {quotation.body_lines} lines",
            f"shorten it to {MAX_BODY_LINES} or quote a part that is a function of its own",
        )
    return quotation


def _locate(name: str) -> tuple[str, Definition]:
    """Find the source file's text and the syntax tree of a definition in it."""
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name):
        raise QuoteError(f"{name!r} is not a full name", "write package.module.name")
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        module = ".".join(parts[:cut])
        path = _module_path(module)
        if path is None:
            continue
        rest = parts[cut:]
        if not rest:
            raise QuoteError(f"{name} is a module", _say_definitions(module, path))
        return _find(name, module, path, rest)
    top = parts[0]
    if _is_without_source(top):
        raise QuoteError(
            f"{name} has no Python source", "import it in the lesson instead of quoting it"
        )
    raise QuoteError(f"there is no package {top!r}", "write package.module.name")


def _find(name: str, module: str, path: Path, rest: list[str]) -> tuple[str, Definition]:
    source = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        what = f"the file of {name} cannot be read ({error.msg}, line {error.lineno})"
        raise QuoteError(what, f"correct {path.name}") from error
    wanted = rest[0]
    found = [node for node in _statements(tree) if wanted in _bound_names(node)]
    if not found:
        raise QuoteError(f"there is no {wanted!r} in {module}", _suggest(module, path, tree, rest))
    node = found[-1]  # the last one counts, as in Python: overloads come before it
    if isinstance(node, ast.Import | ast.ImportFrom):
        raise QuoteError(*_say_imported(name, module, path, node, wanted))
    if not isinstance(node, Definition):
        what = f"{name} is a value, not a function or class"
        raise QuoteError(what, "write it out in the cell, or quote a function that makes it")
    if len(rest) > 1:
        whole = f"{module}.{wanted}"
        if isinstance(node, ast.ClassDef):
            known = {child.name for child in node.body if isinstance(child, Definition)}
            if rest[1] in known:
                what = f"{name} is a method"
                remedy = f"quote the class {whole}, or make it a function of the module"
                raise QuoteError(what, remedy)
        raise QuoteError(f"there is no {'.'.join(rest[1:])!r} in {whole}", f"write {whole}")
    return source, node


def _module_path(module: str) -> Path | None:
    """Return the file of a module without importing anything."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    for part in rest:
        if path.name != "__init__.py":
            return None
        folder = path.parent
        choices = (folder / part / "__init__.py", folder / f"{part}.py")
        found = next((choice for choice in choices if choice.is_file()), None)
        if found is None:
            return None
        path = found
    return path


def _is_without_source(top: str) -> bool:
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Walk the statements of a module, into `if`, `try` and `with`, not into definitions."""
    waiting: list[ast.AST] = list(reversed(tree.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        if isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _bound_names(node: ast.stmt) -> list[str]:
    if isinstance(node, Definition):
        return [node.name]
    if isinstance(node, ast.Import):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [leaf.id for t in targets for leaf in ast.walk(t) if isinstance(leaf, ast.Name)]


def _say_imported(
    name: str, module: str, path: Path, node: ast.Import | ast.ImportFrom, wanted: str
) -> tuple[str, str]:
    """Say where an imported name comes from."""
    alias = next(a for a in node.names if wanted in (a.asname, a.name, a.name.partition(".")[0]))
    if isinstance(node, ast.Import):
        return (
            f"{name} is the module {alias.name}",
            "quote a function or class defined in the course",
        )
    home = node.module or ""
    if node.level:
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        package = package[: len(package) - node.level + 1]
        home = ".".join([*package, home] if home else package)
    there = f"{home}.{alias.name}"
    if _module_path(there) is not None:
        return f"{name} is the module {there}", "quote one of its functions or classes"
    if home.partition(".")[0] != module.partition(".")[0]:
        what = f"{name} is imported from {home}"
        return what, "import it in the lesson instead of quoting it"
    try:
        _locate(there)
    except QuoteError as error:
        return f"{name} is imported from {home}", error.remedy
    return f"{name} is only imported there", f"write {there}"


def _suggest(module: str, path: Path, tree: ast.Module, rest: list[str]) -> str:
    """Say which name was probably meant."""
    wanted = rest[-1]
    here = [node.name for node in _statements(tree) if isinstance(node, Definition)]
    inside = [name for name in here if not name.startswith("_")]
    candidates = [f"{module}.{name}" for name in difflib.get_close_matches(wanted, inside, 3)]
    top = module.partition(".")[0]
    others = _definitions_below(top)
    candidates += [full for full in others if full.rpartition(".")[2] == wanted]
    if not candidates and path.name == "__init__.py":
        modules = sorted({full.rpartition(".")[0] for full in others})
        guess = difflib.get_close_matches(".".join([module, *rest[:-1]]), modules, 1, 0.8)
        candidates = [full for full in others if full.rpartition(".")[0] in guess][:3]
    if not candidates:
        return _say_definitions(module, path)
    return "write " + " or ".join(dict.fromkeys(candidates))


def _say_definitions(module: str, path: Path) -> str:
    names = list(_definitions_in(module, path))
    if not names and path.name == "__init__.py":
        names = _definitions_below(module)
    if not names:
        return "quote a function or class"
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"write the function or class meant, such as {shown}"


def _definitions_below(package: str) -> list[str]:
    """Return the full names of all public definitions of a package."""
    root = _module_path(package)
    if root is None or root.name != "__init__.py":
        return []
    names: list[str] = []
    for path in sorted(root.parent.rglob("*.py")):
        parts = list(path.relative_to(root.parent).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        names += _definitions_in(".".join([package, *parts]), path)
    return names


def _definitions_in(module: str, path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return []
    nodes = (node for node in _statements(tree) if isinstance(node, Definition))
    return [f"{module}.{node.name}" for node in nodes if not node.name.startswith("_")]


def _segment(source: str, node: Definition) -> str:
    """Return the lines of a definition with its decorators, moved to the left margin."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = source.splitlines()[first - 1 : node.end_lineno]
    return textwrap.dedent("\n".join(lines))


def _parse(source: str) -> Definition:
    node = ast.parse(source).body[0]
    assert isinstance(node, Definition)
    return node


def _docstring(node: Definition) -> ast.expr | None:
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first.value if isinstance(first.value.value, str) else None
    return None


def _cut_docstrings(source: str) -> str:
    """Cut the docstrings of a definition, and of the methods in it, to their first lines."""
    lines = source.splitlines()
    nodes = [node for node in ast.walk(_parse(source)) if isinstance(node, Definition)]
    for node in sorted(nodes, key=lambda n: n.lineno, reverse=True):
        doc = _docstring(node)
        if doc is None or doc.end_lineno is None or doc.end_lineno == doc.lineno:
            continue
        text = ast.get_source_segment(source, doc) or ""
        opening = re.match(r'([rRuU]?)("""|\'\'\')', text)
        if opening is None:
            continue
        quotes = opening[2]
        inside = text[opening.end() : -len(quotes)].strip().splitlines()
        first = inside[0].rstrip() if inside else ""
        if first.endswith(quotes[0]):  # four quotes in a row would end the string too early
            first += " "
        indent = " " * doc.col_offset
        lines[doc.lineno - 1 : doc.end_lineno] = [f"{indent}{opening[0]}{first}{quotes}"]
    return "\n".join(lines)


def _header_end(source: str, node: Definition) -> int:
    """Return the number of the line on which a definition's header ends (from 1).

    Comments below the header belong to the body, so the tokens decide and not the first statement.
    """
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return next(
        token.end[0]
        for token in tokens
        if token.type == tokenize.NEWLINE and token.end[0] >= node.lineno
    )


def _body_lines(source: str) -> int:
    """Count the lines below header and docstring."""
    node = _parse(source)
    doc = _docstring(node)
    start = doc.end_lineno if doc is not None else None
    return len(source.splitlines()) - (start or _header_end(source, node))


def _empty(source: str) -> str:
    """Take the body out of a function, or out of each method of a class."""
    node = _parse(source)
    if not isinstance(node, ast.ClassDef):
        return _without_body(source, [node])
    methods = [
        child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return _without_body(source, methods)


def _without_body(source: str, nodes: list[ast.FunctionDef | ast.AsyncFunctionDef]) -> str:
    lines = source.splitlines()
    for node in reversed(nodes):
        first, doc = node.body[0], _docstring(node)
        indent = " " * (node.col_offset + 4)
        header_end = _header_end(source, node)
        if first.lineno <= header_end:  # all on one line
            encoded = lines[first.lineno - 1].encode()  # columns are counted in bytes
            kept = [encoded[: first.col_offset].decode().rstrip()]
            start = first.lineno
        else:
            kept = []
            start = doc.end_lineno or header_end if doc is not None else header_end
        assert node.end_lineno is not None
        begin = start - len(kept)
        lines[begin : node.end_lineno] = [*kept, indent + EMPTY_BODY]
    return "\n".join(lines)
