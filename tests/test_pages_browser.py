"""A real browser opens the pages from disk: it asks nobody for anything and has no complaint."""

import cv2
import numpy as np
import pytest

from tests.sample_site import make_site

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def visit(browser, site):
    """Open a page and return it with its requests and complaints; checked again at the end."""
    contexts = []

    def opened(name, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto((site.out / f"{name}.html").as_uri(), wait_until="networkidle")
        return page

    yield opened
    for context in contexts:
        for page in context.pages:
            assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []
            assert page.complaints == []
        context.close()


def pixels(page):
    return cv2.imdecode(np.frombuffer(page.screenshot(full_page=True), np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("name", ["index", "01_lens_aberrations", "02_patch_localization"])
def test_pages_open_without_a_request(visit, name):
    page = visit(name)
    assert len(page.asked) >= 1
    assert pixels(page).std() > 5, "the page is not empty"


def test_a_request_would_be_seen(visit, site):
    page = visit("index")
    page.evaluate("new Image().src = 'https://example.org/x.png'")
    page.wait_for_timeout(200)
    assert page.complaints, "the page's own policy refuses it"
    page.complaints.clear()
    page.asked.clear()


def test_formulas_are_laid_out_and_pictures_decoded(visit):
    page = visit("01_lens_aberrations")
    fraction = page.locator("main math mfrac").first.bounding_box()
    assert fraction["height"] > fraction["width"] * 0.8, "one above the other"
    assert page.evaluate(
        "Array.from(document.images).every(image => image.complete && image.naturalWidth > 0)"
    )


def test_reading_on_a_phone_and_on_a_wide_screen(visit):
    wide = visit("01_lens_aberrations", viewport={"width": 1400, "height": 800})
    assert wide.locator("#toc").is_visible()
    assert wide.locator("main p").first.bounding_box()["width"] < 720
    wide.locator("#toc a").nth(1).click()
    assert wide.evaluate("location.hash") == "#The-task-2"
    phone = visit("01_lens_aberrations", viewport={"width": 360, "height": 700})
    assert not phone.locator("#toc").is_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360


def test_light_and_dark(visit):
    light = pixels(visit("01_lens_aberrations", color_scheme="light"))
    dark = pixels(visit("01_lens_aberrations", color_scheme="dark"))
    assert np.median(light) > 230 and np.median(dark) < 60


def test_keyboard_and_links(visit):
    page = visit("index")
    page.get_by_role("link", name="What a lens does to a picture").click()
    page.wait_for_url("**/01_lens_aberrations.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "lesson"
    page.get_by_role("link", name="Next lesson").click()
    page.wait_for_url("**/02_patch_localization.html")
    page.get_by_role("link", name="Code cell 1").click()
    assert "cell-id" in page.evaluate("location.hash")
    page.get_by_role("link", name="Uncropped").click()
    page.wait_for_url("**/index.html")
