"""Formulas as MathML: LaTeX is converted when a page is written, so that no script has to load."""

import itertools
import re
from xml.etree import ElementTree

from course_lib.errors import CourseError

# What the converter lacks, and how to say the same.
_SAME_ENVIRONMENT = {"aligned": "split", "gathered": "displaylines", "gather": "displaylines"}
_SAME_COMMAND = {
    r"\\arg\s*\\(min|max)(?![A-Za-z])": r"\\arg\1",
    r"\\(arg|sinc|sign|med|tr)(?![A-Za-z])": r"\\operatorname{\1}",
    r"\\(?:begin|end)\{(?:equation|displaymath|math)\*?\}": "",
}
_ENVIRONMENT = re.compile(r"\\(begin|end)\{([A-Za-z]+)(\*?)\}")
_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
_SPACE = _NAMESPACE + "mspace"
# A leaf of the result that shows the reader raw LaTeX.
_RAW = re.compile(r"<m(?:i|o|n|text)\b[^>]*>([^<]*\\[^<]*|[&{}])</")


class FormulaError(CourseError):
    """A formula cannot be shown; the message holds the formula and the reason."""


def mathml(latex: str, *, block: bool = False) -> str:
    r"""Convert a LaTeX formula to a MathML element.

    Parameters
    ----------
    latex : str
        The formula without its dollar signs.
    block : bool
        Whether it stands on its own line.

    Returns
    -------
    str
        ``<math>…</math>``, with the LaTeX kept as its ``alttext``.

    Raises
    ------
    FormulaError
        When the formula is empty, its braces do not match, or it holds a command or an
        environment that has no MathML. The converter itself would print ``\foo`` as a symbol.
    """
    from latex2mathml.converter import convert

    shown = "$" + " ".join(latex.split()) + "$"
    if not latex.strip():
        raise FormulaError("A formula is empty: write something between the dollar signs.")
    unescaped = re.sub(r"\\.", "", latex, flags=re.DOTALL)
    if unescaped.count("{") != unescaped.count("}"):
        raise FormulaError(f"The braces do not match in the formula {shown}")
    source = _ENVIRONMENT.sub(lambda match: _known_environment(match, shown), latex)
    for pattern, same in _SAME_COMMAND.items():
        source = re.sub(pattern, same, source)
    try:
        element: str = convert(source.strip(), display="block" if block else "inline")
    except Exception as error:  # the converter has some twenty exceptions, StopIteration among them
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).removesuffix(" Error")
        raise FormulaError(f"Cannot convert the formula {shown} ({words.lower()})") from error
    raw = _RAW.search(element)
    if raw:
        raise FormulaError(f"Unknown command {raw[1]} in the formula {shown}")
    try:
        formula = ElementTree.fromstring(re.sub(r"&(?!#)", "&amp;", element))
    except ElementTree.ParseError as error:
        raise FormulaError(rf"Write \lt for < inside text, in the formula {shown}") from error
    for row in list(formula.iter(_NAMESPACE + "mrow")):
        _set_functions_apart(row)
    formula.set("alttext", shown[1:-1])
    ElementTree.register_namespace("", _NAMESPACE[1:-1])
    return ElementTree.tostring(formula, encoding="unicode", short_empty_elements=False)


def _set_functions_apart(row: ElementTree.Element) -> None:
    r"""Add the thin space that LaTeX puts on both sides of ``\log`` and its kin."""
    parts = list(row)
    spaced = {_NAMESPACE + "mo", _SPACE}  # these keep their own distance
    for before, after in itertools.pairwise(parts):
        apart = spaced.isdisjoint((before.tag, after.tag))
        if apart and (_is_function(before) or _is_function(after)):
            row.insert(list(row).index(after), ElementTree.Element(_SPACE, width="0.167em"))


def _is_function(part: ElementTree.Element) -> bool:
    """Say whether an element is a name such as ``log``, perhaps with an index or a power."""
    while len(part) and part.tag != _NAMESPACE + "mrow":
        part = part[0]
    return part.tag == _NAMESPACE + "mi" and len(part.text or "") > 1


def _known_environment(match: re.Match[str], shown: str) -> str:
    r"""Return ``\begin{…}`` or ``\end{…}`` with a name that the converter has."""
    from latex2mathml.commands import MATRICES

    if re.fullmatch(r"\\\w+\{(equation|displaymath|math)\*?\}", match[0]):
        return match[0]
    edge, name, star = match.groups()
    name = _SAME_ENVIRONMENT.get(name, name)
    if f"\\{name}{star}" not in MATRICES:
        known = sorted({*_SAME_ENVIRONMENT, *(name.strip("\\*") for name in MATRICES)})
        raise FormulaError(
            f"Unknown environment {match[2]!r} in the formula {shown}; known: {', '.join(known)}."
        )
    return f"\\{edge}{{{name}{star}}}"
