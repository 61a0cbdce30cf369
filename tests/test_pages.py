"""Pages show a lesson without a request to anywhere, with formulas, captions and working links."""

import re

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_output

from course_lib.teach.build import write_notebook
from course_lib.teach.formulas import FormulaError, mathml
from course_lib.teach.pages import outside_requests, write_site
from tests.sample_site import RECORD, make_site
from tests.small_course import code, course, lesson, read


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def page(site):
    html = (site.out / "01_lens_aberrations.html").read_text("utf-8")
    return BeautifulSoup(html, "html.parser")


@pytest.mark.parametrize("name", ["01_lens_aberrations", "02_patch_localization", "index"])
def test_nothing_is_loaded_from_elsewhere(site, name):
    html = (site.out / f"{name}.html").read_text("utf-8")
    soup = BeautifulSoup(html, "html.parser")
    for link in soup.select("a"):
        link.decompose()  # a reader may follow these; a page does not load them
    left = re.sub(r"http://www\.w3\.org/1998/Math/MathML", "", str(soup))
    assert not re.search(r"https?://|(src|href)=[\"']//", left)
    loaded = re.findall(r"""(?:src|srcset|poster)=["']([^"']*)|url\(([^)]*)|@import(.*)""", left)
    assert all(any(part.startswith("data:") for part in parts) for parts in loaded)
    assert not soup.select("script, iframe, object, link[rel=stylesheet]")
    policy = soup.select_one("meta[http-equiv=Content-Security-Policy]")["content"]
    assert policy.startswith("default-src 'none'")
    assert soup.html["lang"] == "en" and soup.title.string
    assert soup.select_one("main")["id"]


def test_formulas_are_mathml(page):
    formulas = page.select("main math")
    assert len(formulas) == 8
    assert page.select_one("h1 math")["alttext"] == r"n(\lambda)"
    blocks = page.select('main math[display="block"]')
    assert len(blocks) == 3 and blocks[0].select_one("mfrac") and blocks[1].select("mtable mtr")
    text = page.select_one("main").get_text()
    assert "It costs $5" in text and "$x$" in text
    assert r"\frac" not in text and r"\lambda" not in text


def test_pictures_carry_alt_and_captions(page):
    pictures = page.select("main img")
    assert [picture["alt"] for picture in pictures] == ["A ramp", "The same", 'Index "n" < 2']
    assert all(picture["src"].startswith("data:image/png;base64,") for picture in pictures)
    figure = page.select_one("figure")
    assert figure.select_one("img")["width"] == "60"
    assert figure.select_one("figcaption").get_text() == "It falls: n(0.4)>n(0.7)."
    assert "done <b>not bold</b>" in page.get_text()


def test_links_lead_to_pages_and_copies(site, page):
    links = {link.get_text(): link["href"] for link in page.select("main a[href]")}
    assert links["Next"] == "02_patch_localization.html#The-task"
    assert links["outside"] == "https://example.org/paper"
    assert links["here"] == "#The-task"
    assert links["code"] == "files/course_lib/thin%20lens.py"
    assert (site.out / "files" / "course_lib" / "thin lens.py").read_text() == "focal = 1\n"
    assert links["later"] == "files/notebooks/03_crop_detection.ipynb"
    assert (site.out / links["folder"]).resolve() == site.tree.assets
    assert "gone" not in links
    assert site.problems == [
        "01_lens_aberrations: the link ../missing.md leads nowhere",
    ]
    for link in page.select("a[href]"):
        address = link["href"].split("#")[0].replace("%20", " ")
        if not address.startswith("https:"):
            assert (site.out / address).exists()


def test_headings_have_their_own_anchors_and_are_listed(page):
    anchors = [heading["id"] for heading in page.select("main :is(h1, h2, h3)")]
    assert len(set(anchors)) == len(anchors) == 4
    assert anchors[1:3] == ["The-task", "The-task-2"]
    listed = [link["href"] for link in page.select("#toc a")]
    assert listed[:2] == ["#The-task", "#The-task-2"] and len(listed) == 3
    assert page.select_one("#toc math") and not page.select_one("#toc a a")


def test_lessons_lead_to_each_other(site, page):
    assert page.select_one('footer a[rel="next"]')["href"] == "02_patch_localization.html"
    assert not page.select('a[rel="prev"]')
    other = BeautifulSoup(
        (site.out / "02_patch_localization.html").read_text("utf-8"), "html.parser"
    )
    assert other.select_one('a[rel="prev"]')["href"] == "01_lens_aberrations.html"
    assert page.select_one("a.home")["href"] == "index.html"
    assert page.select_one("footer p a")["href"] == "01_lens_aberrations.ipynb"
    assert page.select_one("a.skip")["href"] == "#lesson"


def test_a_failed_lesson_says_so_and_leads_to_the_cell(site):
    html = (site.out / "02_patch_localization.html").read_text("utf-8")
    soup = BeautifulSoup(html, "html.parser")
    link = soup.select_one(".failed a")
    assert link.get_text() == "Code cell 1"
    assert soup.find(id=link["href"][1:]).select_one(".highlight").get_text().strip() == "x[7]"
    assert soup.select_one(".failed code").get_text() == "IndexError: <7>"


def test_the_index_lists_all_lessons(site):
    soup = BeautifulSoup((site.out / "index.html").read_text("utf-8"), "html.parser")
    rows = {row.select_one(".number").get_text(): row for row in soup.select(".lessons li")}
    assert list(rows) == [f"{number:02d}" for number in range(15)]
    assert rows["01"].select_one("h2 a")["href"] == "01_lens_aberrations.html"
    assert "Passed (cpu)" in rows["01"].get_text() and "3.2 min · 1.2 GB" in rows["01"].get_text()
    assert "Which traces does a lens leave" in rows["01"].get_text()
    assert "Failed" in rows["02"].get_text() and "IndexError: <7>" in rows["02"].get_text()
    assert "Not executed here" in rows["03"].get_text()
    assert "Planned" in rows["14"].get_text() and not rows["14"].select("a")
    assert "2 of 15 lessons were executed here; 1 failed." in soup.get_text()


def shown_alone(tmp_path, *cells):
    tree = course(tmp_path / "course")
    path = lesson(tree, "01_lens_aberrations", *cells)
    write_notebook(tmp_path / path.name, read(path))
    problems = write_site(tree, tmp_path, {"01_lens_aberrations": RECORD})
    return problems, tmp_path / "01_lens_aberrations.html"


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        (r"\foo{x}", r"Unknown command \foo in the formula $\foo{x}$"),
        (r"\frac{1}{2", r"The braces do not match in the formula $\frac{1}{2$"),
        (r"\begin{tikz} x \end{tikz}", "Unknown environment 'tikz'"),
        ("a & b", "Unknown command & in the formula $a & b$"),
        ("x^", "Cannot convert the formula $x^$"),
        (r"\text{a < b}", r"Write \lt for < inside text"),
    ],
)
def test_a_formula_that_cannot_be_shown_is_named(tmp_path, formula, says):
    with pytest.raises(FormulaError) as error:
        mathml(formula)
    assert says in str(error.value)
    problems, html = shown_alone(tmp_path, "# One", f"Here: ${formula}$")
    assert problems == [f"01_lens_aberrations: cell 2: {error.value}"]
    assert not html.exists() and (tmp_path / "index.html").exists()


def test_formulas_keep_what_the_author_wrote():
    assert "<mi>&amp;</mi>" in mathml(r"a \& b")
    assert 'display="block"' in mathml("x", block=True)
    assert "arg\u2009min" in mathml(r"\arg\min_x f")
    assert mathml(r"\begin{aligned} a &= b \\ c &= d \end{aligned}").count("<mtr>") == 2
    assert mathml(r"\begin{equation} a \end{equation}").count("<mi>") == 1
    assert 'alttext="a &lt; &quot;b&quot;"' in mathml('a < "b"')
    assert mathml(r"10\log_{10} x").count("mspace") == 4, "a thin space on both sides"
    assert "mspace" not in mathml(r"\log(x) + 2x")


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example.org/x.js"></script>',
        '<img src="https://example.org/x.png" alt="x">',
        '<img src="//example.org/x.png" alt="x">',
        "<style>@import 'https://example.org/x.css';</style>",
        '<p style="background: url(https://example.org/x.png)">x</p>',
        '<iframe src="https://example.org"></iframe>',
        '<link rel="stylesheet" href="https://example.org/x.css">',
    ],
)
def test_an_output_that_would_load_something_is_refused(tmp_path, html):
    assert outside_requests(BeautifulSoup(html, "html.parser"))
    cell = code("display()")
    cell.outputs = [new_output("display_data", {"text/html": html})]
    problems, page = shown_alone(tmp_path, "# One", cell)
    assert "would load" in problems[0] and "example.org" in problems[0]
    assert not page.exists()


def test_missing_pictures_and_alt_texts_are_reported(tmp_path):
    cell = code("display()")
    cell.outputs = [new_output("display_data", {"image/png": "aGVsbG8="})]
    problems, page = shown_alone(tmp_path, "# One\n\n![Lost](../assets/lost.png)", cell)
    assert problems == [
        "01_lens_aberrations: there is no picture ../assets/lost.png in the course",
        "01_lens_aberrations: a picture has no alt text",
    ]
    assert page.exists()
