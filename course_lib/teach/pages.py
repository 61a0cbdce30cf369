"""Pages: executed lessons as HTML that needs no network, and an index over them."""

import base64
import mimetypes
import os
import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import nbformat
from bs4 import BeautifulSoup, Tag
from jinja2 import Environment, PackageLoader, pass_context
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from course_lib.errors import CourseError
from course_lib.files import whole, write_text
from course_lib.paths import CourseTree
from course_lib.teach.formulas import FormulaError, mathml
from course_lib.teach.outputs import INTERACTIVE, CellError, code_cells
from course_lib.teach.progress import minutes
from course_lib.teach.syllabus import SYLLABUS

TEMPLATES = Path(__file__).parent / "templates"
FILES = "files"  # where copies of what pages link to go
MAX_COPY_BYTES = 20_000_000
# The browser itself refuses whatever would leave the page.
POLICY = (
    "default-src 'none'; img-src data:; media-src data:; font-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
_CSS_ADDRESS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
NO_ALT = "No description has been provided for this image"  # what nbconvert fills in


class PageError(CourseError):
    """A lesson cannot be shown as a page; the message says which and why."""


@dataclass(frozen=True)
class Page:
    """One lesson of the index, executed or not.

    Parameters
    ----------
    number, name, title, question : str
        As in the syllabus.
    record : mapping
        Its entry in ``run.json``; empty when it was not run.
    """

    number: str
    name: str
    title: str
    question: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def href(self) -> str:
        """The page's address, from the index."""
        return quote(self.name) + ".html"


class _Renderer(IPythonRenderer):
    """Markdown to HTML with formulas as MathML and anchors that survive formulas in headings."""

    def block_math(self, body: str) -> str:
        return f'<span class="formula">{mathml(body, block=True)}</span>'

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        anchor = _anchor(text)
        link = f'<a class="anchor-link" href="#{quote(anchor)}" aria-label="Link here">#</a>'
        return f'<h{level} id="{anchor}">{text}{link}</h{level}>\n'


def _anchor(heading: str) -> str:
    """Return a heading's anchor as Jupyter names it: its words with hyphens between them."""
    plain = BeautifulSoup(heading, "html.parser").get_text()
    return re.sub(r"\s+", "-", plain.strip()).replace('"', "")


class _Exporter(HTMLExporter):
    """nbconvert's HTML exporter with our template and our Markdown."""

    def __init__(self) -> None:
        super().__init__(extra_template_basedirs=[str(TEMPLATES)], template_name="course")
        self.log.setLevel("ERROR")  # missing alt texts are reported by us, with the lesson's name

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """Convert Markdown; formulas that have no MathML raise `FormulaError`."""
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = _Renderer(escape=False, attachments=attachments)
        return str(MarkdownWithMath(renderer=renderer).render(source))


@cache
def _exporter() -> _Exporter:
    return _Exporter()


def write_site(tree: CourseTree, out: Path, records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Write a page for each executed lesson, and the index.

    Parameters
    ----------
    tree : CourseTree
        The course, where relative links lead.
    out : Path
        The folder that holds the executed notebooks.
    records : mapping
        Lesson's name → its entry in ``run.json``.

    Returns
    -------
    list of str
        What is wrong with the pages, a line each. A lesson that cannot be shown gets no page, and
        does not stop the others.
    """
    shown = [page for page in _pages(out, records) if page.record]
    problems: list[str] = []
    for page in shown:
        try:
            html, remarks = render_page(tree, out, page, shown)
            write_text(out / f"{page.name}.html", html)
            problems += [f"{page.name}: {remark}" for remark in remarks]
        except PageError as error:
            (out / f"{page.name}.html").unlink(missing_ok=True)
            problems.append(f"{page.name}: {error}")
    write_text(out / "index.html", render_index(tree, out, records))
    return problems


def _pages(out: Path, records: Mapping[str, Mapping[str, Any]]) -> list[Page]:
    """List the lessons of the syllabus and those that were run, in order."""
    entries = {entry.name: Page(entry.number, entry.name, entry.title, entry.question)
               for entry in SYLLABUS}  # fmt: skip
    for name, record in records.items():
        notebook = out / f"{name}.ipynb"
        if not notebook.is_file():
            continue
        known = entries.get(name)
        title = known.title if known else _title(notebook, name)
        question = known.question if known else ""
        entries[name] = Page(name[:2], name, title, question, record)
    return sorted(entries.values(), key=lambda page: page.name)


def _title(notebook: Path, name: str) -> str:
    """Return a notebook's first heading, or else its name in words."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        heading = re.search(r"^#\s+(.+)$", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and heading:
            return heading[1].strip()
    return name[3:].replace("_", " ").capitalize()


def render_page(
    tree: CourseTree, out: Path, page: Page, shown: Sequence[Page]
) -> tuple[str, list[str]]:
    """Render one executed lesson.

    Parameters
    ----------
    tree, out
        As for `write_site`.
    page : Page
        The lesson; ``out`` holds its notebook.
    shown : sequence of Page
        All lessons that have a page, for links between them.

    Returns
    -------
    html : str
        The whole page.
    remarks : list of str
        Dead links and pictures without alt text.

    Raises
    ------
    PageError
        When a formula cannot be converted, or something would be loaded from elsewhere.
    """
    notebook = nbformat.read(out / f"{page.name}.ipynb", as_version=4)
    _check_formulas(notebook)
    position = shown.index(page)
    resources = {
        "metadata": {"name": page.name, "path": str(tree.notebooks)},
        "course": {
            "number": page.number,
            "title": page.title,
            "policy": POLICY,
            "interactive": INTERACTIVE,
            "previous": shown[position - 1] if position else None,
            "next": shown[position + 1] if position + 1 < len(shown) else None,
            "errors": _error_links(notebook, page.record.get("errors", [])),
            "notebook": quote(page.name) + ".ipynb",
            "colophon": _colophon(page.record),
        },
    }
    html, _ = _exporter().from_notebook_node(notebook, resources)
    soup = BeautifulSoup(html, "html.parser")
    remarks = _finish(soup, tree, out, {other.name for other in shown})
    outside = outside_requests(soup)
    if outside:
        raise PageError(
            f"the page would load {outside[0]}; put a copy into the course and link to that"
        )
    return str(soup), remarks


def _check_formulas(notebook: nbformat.NotebookNode) -> None:
    """Convert each Markdown cell once by itself, so that a bad formula is named with its cell."""
    renderer = _Renderer(escape=False)
    for number, cell in enumerate(notebook.cells, start=1):
        sources = [cell.source] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            sources += [data[kind] for kind in ("text/markdown", "text/latex") if kind in data]
        for source in sources:
            renderer.attachments = cell.get("attachments", {})
            try:
                MarkdownWithMath(renderer=renderer).render("".join(source))
            except FormulaError as error:
                raise PageError(f"cell {number}: {error}") from error


def _error_links(notebook: nbformat.NotebookNode, errors: Iterable[Any]) -> list[dict[str, str]]:
    """Return where each error happened, with a link to the cell."""
    cells = code_cells(notebook)
    links = []
    for fields in errors:
        error = CellError(**fields)
        cell = cells[error.cell - 1] if error.cell else None
        href = f"#cell-id={cell.id}" if cell is not None and "id" in cell else ""
        place = f"Code cell {error.cell}" if error.cell else "The kernel"
        links.append({"href": href, "place": place, "text": error.error})
    return links


def _colophon(record: Mapping[str, Any]) -> str:
    if not record:
        return ""
    return (
        f"Executed with profile {record['profile']} in {minutes(record['minutes'])} on "
        f"{record['machine']}; peak memory {record['ram_gb']:.1f} GB."
    )


def _finish(soup: BeautifulSoup, tree: CourseTree, out: Path, shown: set[str]) -> list[str]:
    """Make a converted notebook a page of the site; return what is not as it should be."""
    remarks = []
    for element in soup.select("div[tabindex]"):
        del element["tabindex"]  # nbconvert makes every cell a stop of the tab key
    for image in soup.select("img"):
        if image.get("alt") == NO_ALT:
            remarks.append("a picture has no alt text")
        remarks += _embed(image, tree)
    for link in soup.select("a[href]"):
        remarks += _redirect(link, tree, out, shown)
    for table in soup.select("table"):
        table.wrap(soup.new_tag("div", attrs={"class": "scroll"}))
    _join_captions(soup)
    _fill_contents(soup)
    return list(dict.fromkeys(remarks))


def _embed(image: Tag, tree: CourseTree) -> list[str]:
    """Put a picture from the course into the page itself."""
    source = str(image.get("src", ""))
    if source.startswith("data:") or urlsplit(source).scheme or source.startswith("//"):
        return []
    path = (tree.notebooks / unquote(urlsplit(source).path)).resolve()
    if not (path.is_file() and path.is_relative_to(tree.root.resolve())):
        image["src"] = "data:,"
        return [f"there is no picture {source} in the course"]
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    image["src"] = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return []


def _redirect(link: Tag, tree: CourseTree, out: Path, shown: set[str]) -> list[str]:
    """Let a link from a notebook lead to the same thing from its page."""
    href = str(link["href"])
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        link["rel"] = "noopener noreferrer"
        return []
    own = {"index.html", *(f"{quote(name)}{end}" for name in shown for end in (".html", ".ipynb"))}
    if not parts.path or (parts.path in own and parts.path.endswith(".html")):
        return []
    if parts.path in own and link.find_parent("footer"):
        return []  # the executed notebook beside the page
    target = (tree.notebooks / unquote(parts.path)).resolve()
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    if target.parent == tree.notebooks.resolve() and target.stem in shown:
        link["href"] = f"{quote(target.stem)}.html{fragment}"
        return []
    root = tree.root.resolve()
    if not (target.exists() and target.is_relative_to(root)):
        link.name = "span"
        link.attrs = {}
        return [f"the link {href} leads nowhere"]
    if target.is_file() and target.stat().st_size <= MAX_COPY_BYTES:
        copy = out / FILES / target.relative_to(root)
        with whole(copy) as partial:
            shutil.copyfile(target, partial)
        target = copy
    link["href"] = quote(Path(os.path.relpath(target, out.resolve())).as_posix()) + fragment
    return []


def _join_captions(soup: BeautifulSoup) -> None:
    """Make a figure of a picture and the line in italics that follows it."""
    for picture in soup.select(".jp-RenderedImage, .jp-RenderedSVG"):
        child = picture.find_parent(class_="jp-OutputArea-child")
        if child is None:
            continue
        figure = soup.new_tag("figure")
        picture.wrap(figure)
        following = child.find_next_sibling()
        text = following.select_one(".jp-RenderedMarkdown") if following else None
        paragraphs = text.find_all(True, recursive=False) if text else []
        if not (following and len(paragraphs) == 1 and _is_caption(paragraphs[0])):
            continue
        caption = soup.new_tag("figcaption")
        caption.extend(list(paragraphs[0].find_all("em", recursive=False)[0].contents))
        figure.append(caption)
        following.decompose()


def _is_caption(paragraph: Tag) -> bool:
    """Say whether a paragraph is set in italics from end to end."""
    inside = [part for part in paragraph.contents if str(part).strip()]
    return (
        paragraph.name == "p"
        and len(inside) == 1
        and isinstance(inside[0], Tag)
        and inside[0].name == "em"
    )


def _fill_contents(soup: BeautifulSoup) -> None:
    """Make anchors unique and list the headings beside the lesson."""
    seen: dict[str, int] = {}
    rows = []
    for heading in soup.select("main :is(h1, h2, h3, h4)[id]"):
        anchor = str(heading["id"])
        seen[anchor] = seen.get(anchor, 0) + 1
        if seen[anchor] > 1:
            anchor = f"{anchor}-{seen[anchor]}"
            heading["id"] = anchor
            mark = heading.select_one("a.anchor-link")
            if mark:
                mark["href"] = f"#{quote(anchor)}"
        if heading.name in ("h2", "h3"):
            rows.append((heading, anchor))
    contents = soup.select_one("#toc")
    if contents is None:
        return
    if not rows:
        return
    title = soup.new_tag("p")
    title.string = "On this page"
    contents.append(title)
    listing = soup.new_tag("ul")
    for heading, anchor in rows:
        item = soup.new_tag("li", attrs={"class": "sub"} if heading.name == "h3" else {})
        link = soup.new_tag("a", href=f"#{quote(anchor)}")
        label = BeautifulSoup(heading.decode_contents(), "html.parser")
        for mark in label.select("a.anchor-link"):
            mark.decompose()
        for mark in label.select("a"):
            mark.unwrap()
        link.extend(list(label.contents))
        item.append(link)
        listing.append(item)
    contents.append(listing)


def outside_requests(soup: BeautifulSoup) -> list[str]:
    """List what a browser would load from elsewhere to show a page; links do not count."""
    found = []
    for element in soup.find_all(True):
        for name in ("src", "srcset", "poster", "data", "background", "xlink:href"):
            found += [str(element[name])] if element.has_attr(name) else []
        if element.name in ("link", "image", "use") and element.has_attr("href"):
            found.append(str(element["href"]))
        style = str(element.get("style", "")) + (element.text if element.name == "style" else "")
        found += [one or other for one, other in _CSS_ADDRESS.findall(style)]
    return [address for address in found if not address.startswith(("data:", "#"))]


def render_index(tree: CourseTree, out: Path, records: Mapping[str, Mapping[str, Any]]) -> str:
    """Render the list of lessons with what each asks, took and gave."""
    pages = _pages(out, records)
    results = [page.record["result"] for page in pages if page.record]
    failed = sum(result == "failed" for result in results)
    summary = f"{len(results)} of {len(pages)} lessons were executed here"
    summary += f"; {failed} failed." if failed else "."
    environment = Environment(
        loader=PackageLoader("course_lib.teach", "templates"),
        autoescape=True,
        trim_blocks=False,
    )
    template = environment.get_template("contents.html.j2")
    return template.render(
        policy=POLICY,
        css=(TEMPLATES / "course" / "course.css").read_text(encoding="utf-8"),
        summary=summary,
        lessons=[_row(tree, out, page) for page in pages],
    )


def _row(tree: CourseTree, out: Path, page: Page) -> dict[str, Any]:
    """Return what the index says about a lesson."""
    row: dict[str, Any] = {
        "number": page.number, "title": page.title, "question": page.question
    }  # fmt: skip
    record = page.record
    if not record:
        if (tree.notebooks / f"{page.name}.ipynb").is_file():
            return {**row, "state": "open", "result": "Not executed here"}
        return {**row, "state": "planned", "result": "Planned"}
    cost = f"{minutes(record['minutes'])} · {record['ram_gb']:.1f} GB"
    if record["vram_gb"] is not None:
        cost += f" · {record['vram_gb']:.1f} GB GPU"
    result = "Passed" if record["result"] == "passed" else "Failed"
    errors = [str(CellError(**fields)) for fields in record["errors"]]
    return {
        **row,
        "state": record["result"],
        "result": f"{result} ({record['profile']})",
        "cost": cost,
        "page": page.href if (out / f"{page.name}.html").is_file() else "",
        "notebook": quote(page.name) + ".ipynb",
        "errors": [textwrap.shorten(error, 160) for error in errors],
    }
