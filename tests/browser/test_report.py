"""The page on all models in a real browser, as wide as on a desktop and on a phone."""

import pytest
from playwright.sync_api import expect

from tests.helpers.accessibility import find_barriers
from tests.helpers.page import CHROMIUM
from tests.helpers.project import fork

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")
WIDTHS = {"desktop": 1200, "phone": 390}


@pytest.fixture(scope="module")
def report(project, tmp_path_factory):
    """The page on the shrunken pipeline's models, written in a copy of the pipeline."""
    copy = fork(project, tmp_path_factory.mktemp("report"))
    copy.run("python", "-m", "pipeline.commands.report")
    return copy.folder / "report/index.html"


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_the_page_shows_all_models_and_needs_no_network(report, browser, width):
    complaints = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or complaints.append(request.url))
    page.goto(report.as_uri())
    expect(page.get_by_role("heading", level=2)).to_have_count(5)  # comparison, robustness, two models, data and limits
    expect(page.get_by_role("heading", name="tiny_cnn, the champion")).to_be_visible()
    assert page.get_by_role("region", name="Comparison of the models").get_by_role("row").count() == 3
    expect(page.get_by_text("Licence", exact=True)).to_have_count(3)  # in the card of each model, and for the data
    images = page.locator("img")
    assert images.count() > 0
    assert images.evaluate_all("images => images.every(image => image.naturalWidth && image.alt)")
    # Content that is too wide scrolls in its own box; the page itself doesn't scroll.
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert complaints == []
    assert find_barriers(page) == []
    page.close()
