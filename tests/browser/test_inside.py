"""The page that looks inside a network, in a real browser: drawing, pointing, keys, numbers, versions, missing data."""

import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from serving.images import Form
from tests.helpers.accessibility import find_barriers
from tests.helpers.in_process import load, serving
from tests.helpers.models import bright_values
from tests.helpers.page import CHROMIUM, CONTRAST, STROKES, draw
from tests.helpers.pictures import landscape
from tests.helpers.project import SOURCE

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")

WIDTHS = {"desktop": {"viewport": {"width": 1280, "height": 900}},
          "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}}  # fmt: skip
# The number of colours in each layer's canvas that isn't hidden.
COLOURS = """() => [...document.querySelectorAll(".layer > canvas:not([hidden])")].map((canvas) =>
  new Set(new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size)"""


@pytest.fixture(scope="module")
def address(app) -> str:
    """The page on the shrunken pipeline's champion, a convolution and its outputs."""
    return f"{app.address}/inside"


@pytest.fixture(scope="module")
def image(project) -> np.ndarray:
    """A test image in MNIST's form: the network gets exactly these pixels."""
    return np.load(project.folder / "data/prepared/test/images.npy")[0, ..., 0]


def answered(page: Page) -> str:
    """The answer's label, once all layers are drawn for the newest state of the sheet."""
    expect(page.locator("#layers")).not_to_have_attribute("aria-busy", "true")
    return page.locator("#label").inner_text()


def first_layer(page: Page):
    return page.get_by_role("application", name="1. Convolution: 8 filters")


def cells(page: Page) -> list[list[str]]:
    """The rows of the multiplication, once they are there."""
    expect(page.locator("#steps tr")).not_to_have_count(0)
    rows = page.locator("#steps tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def number(text: str) -> float:
    return float(text.replace("−", "-"))


@pytest.mark.parametrize("options", WIDTHS.values(), ids=WIDTHS)
def test_each_layer_is_drawn_as_one_draws(address, visit, options):
    page = visit(address, **options)
    blank = page.evaluate(COLOURS)
    draw(page, STROKES[2])
    assert answered(page) in list("0123456789")
    drawn = page.evaluate(COLOURS)
    assert len(drawn) == 2  # maps and filters; the outputs are buttons
    assert drawn[0] > blank[0] + 10
    assert drawn[1] > 10
    shares = [float(text.removesuffix(" %")) for text in page.locator("#outputs span").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=1)
    assert shares.index(max(shares)) == int(page.locator("#label").inner_text())
    expect(page.get_by_role("status")).to_contain_text("%")
    assert page.evaluate("document.documentElement.scrollWidth") == options["viewport"]["width"]
    page.keyboard.press("Escape")
    expect(page.locator("#label")).to_have_text("–")
    assert page.evaluate(COLOURS)[0] == blank[0]


def test_the_keyboard_walks_through_units_and_reads_them_out(address, visit):
    page = visit(address)
    draw(page, STROKES[5])
    answered(page)
    first_layer(page).focus()
    said = []
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown", "End", "Home"):
        page.keyboard.press(key)
        said.append(page.get_by_role("status").inner_text())
    places = [re.match(r"Map (\d), row (\d+), column (\d+): .*; sees rows", words).groups() for words in said]
    assert [unit for unit, *_ in places] == ["0", "1", "1", "7", "0"]
    assert int(places[2][1]) - int(places[1][1]) == 1 or int(places[1][1]) == 11
    page.keyboard.press("Enter")
    expect(page.get_by_text("Step through the multiplication")).to_be_focused()
    expect(page.locator("#steps tr").nth(3)).to_be_visible()
    page.get_by_role("button", name="7").press("Enter")
    expect(page.locator("#unit h3")).to_have_text("Output 7")
    expect(page.get_by_role("button", name="7")).to_have_attribute("aria-pressed", "true")


def test_the_first_key_may_be_end(address, visit):
    page = visit(address)
    first_layer(page).press("End")
    expect(page.get_by_role("status")).to_contain_text("Map 7, ")


def test_the_numbers_of_a_unit_add_up_to_what_it_answers(address, visit):
    page = visit(address)
    draw(page, STROKES[3])
    answered(page)
    first_layer(page).click(position={"x": 20, "y": 20})
    page.get_by_text("Step through the multiplication").click()
    expect(page.locator("#unit > p")).to_contain_text("answers")
    heading = page.locator("#unit h3").inner_text()
    value = re.search(r"answers (\S+) and", page.locator("#unit > p").inner_text())[1]
    head, *rows = cells(page)
    products = [row for row in rows if len(row) == 5]
    assert head == ["row, column", "input", "× weight", "= product", "sum so far"]
    assert [row[0] for row in products] == [f"{row}, {column}" for row in range(5) for column in range(5)]
    for _, given, weight, product, _ in products:
        assert number(product) == pytest.approx(number(given) * number(weight), rel=0.02, abs=1e-4)
    total = sum(number(row[3]) for row in products) + sum(number(row[1]) for row in rows if row[0] == "bias")
    (weighted,) = (row for row in rows if row[0].startswith("weighted sum"))
    assert number(weighted[1]) == pytest.approx(total, rel=0.02, abs=0.01)
    assert rows[-1][1] == value
    assert heading.startswith("Map 0, row")


def test_what_a_unit_sees_is_framed_where_one_points(address, visit):
    page = visit(address)
    draw(page, STROKES[0])
    answered(page)
    before = page.locator("#seen").evaluate("canvas => canvas.toDataURL()")
    first_layer(page).hover(position={"x": 30, "y": 30})
    expect(page.locator("#spot")).to_contain_text("sees rows")
    assert page.locator("#seen").evaluate("canvas => canvas.toDataURL()") != before
    page.mouse.move(1, 1)
    expect(page.locator("#spot")).to_be_empty()
    assert page.locator("#seen").evaluate("canvas => canvas.toDataURL()") == before


def test_the_input_is_listed_as_numbers_when_it_is_asked_for(address, visit, image, tmp_path):
    page = visit(address)
    Image.fromarray(image).save(tmp_path / "digit.png")
    page.get_by_label("Choose an image").set_input_files(tmp_path / "digit.png")
    expect(page.locator("#label")).not_to_have_text("–")
    assert page.locator("#table td").count() == 0
    page.get_by_text("The input as numbers").first.click()
    listed = [int(text) for text in page.locator("#table td").all_text_contents()]
    assert listed == image.ravel().tolist()


def test_what_each_output_rests_on_is_shown_on_request(address, visit):
    page = visit(address)
    draw(page, STROKES[1])
    answered(page)
    pictures = page.locator("#outputs canvas")
    assert not pictures.first.is_visible()
    page.get_by_role("button", name="Show what each output rests on").click()
    expect(page.locator("#reason")).to_contain_text("loses where a part of the image is covered")
    assert pictures.count() == 10
    expect(pictures.last).to_be_visible()


def test_another_version_can_be_chosen(address, visit, project):
    page = visit(address)
    draw(page, STROKES[4])
    answered(page)
    other = project.registered()["dense_10"].version
    page.get_by_label("Version").select_option(str(other))
    expect(page.get_by_role("heading", name="1. Dense layer: 10 units")).to_be_visible()
    expect(page.get_by_role("heading", name="2. Output layer: 10 units")).to_be_visible()
    expect(page.locator("#label")).not_to_have_text("–")  # the drawing stays, and gets an answer
    page.get_by_role("application", name="1. Dense layer").press("ArrowRight")
    expect(page.locator("#unit h3")).to_have_text("Unit 0")
    expect(page.locator("#unit > p")).to_contain_text("sees the whole image")


def test_a_version_that_cannot_be_shown_is_not_named(address, visit):
    page = visit(address)
    shown = page.get_by_label("Version").input_value()
    (other, *_) = {option.get_attribute("value") for option in page.locator("#versions option").all()} - {shown}
    refused = {"status": 404, "json": {"error": "version 2 is not as it was registered"}}
    page.route("**/inside/layers?version=*", lambda route: route.fulfill(**refused), times=1)
    page.get_by_label("Version").select_option(other)
    expect(page.get_by_role("alert")).to_have_text("version 2 is not as it was registered")
    assert page.get_by_label("Version").input_value() == shown
    page.get_by_label("Version").select_option(other)
    expect(page.get_by_role("alert")).to_be_empty()
    assert page.get_by_label("Version").input_value() == other


def test_a_version_without_layers_says_so_and_takes_pictures(visit, tmp_path):
    form, names = Form(12, 20, 3, "crop"), ["cat", "dog", "猫"]
    picture, file = bright_values(form, len(names))[2], tmp_path / "picture.png"
    Image.fromarray(picture).save(file)
    with serving(load(tmp_path, form, names)) as address:
        page = visit(f"{address}inside")
        expect(page.get_by_text("was registered before model files named their layers")).to_be_visible()
        assert page.get_by_role("application").count() == 0
        page.get_by_label("Choose an image").set_input_files(file)
        expect(page.locator("#label")).to_have_text("猫")
        landscape(30, 20).save(tmp_path / "other.webp")
        (tmp_path / "notes.txt").write_text("seven")
        page.get_by_label("Choose an image").set_input_files(tmp_path / "notes.txt")
        expect(page.get_by_role("alert")).to_contain_text("no PNG, JPEG or WebP image")


def test_a_proxys_page_is_no_answer(address, visit):
    page, faults = visit(address), iter([{"status": 200, "body": "<h1>Log in</h1>"}, {"status": 413, "body": "<h1>"}])
    page.route("**/inside/activations**", lambda route: route.fulfill(content_type="text/html", **next(faults)))
    page.get_by_label("Choose an image").set_input_files(SOURCE / "docs" / "seven.png")
    expect(page.get_by_role("alert")).to_have_text("the server does not answer; the page goes on trying")
    expect(page.get_by_role("alert")).to_have_text("a proxy before the server refuses this, with status 413")


def test_the_two_pages_lead_to_each_other(address, visit):
    page = visit(address)
    page.get_by_role("link", name="Back to its answer alone").click()
    expect(page.get_by_role("heading", name="Draw")).to_be_visible()
    page.get_by_role("link", name="Look inside").click()
    expect(page).to_have_url(address)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa(address, visit, scheme):
    page = visit(address, color_scheme=scheme)
    draw(page, STROKES[3])
    answered(page)
    first_layer(page).click(position={"x": 20, "y": 20})
    page.get_by_text("Step through the multiplication").click()
    page.get_by_text("The input as numbers").first.click()
    contrast, text = page.evaluate(CONTRAST)
    assert contrast >= 4.5, text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_has_no_serious_barrier(address, visit, scheme):
    page = visit(address, color_scheme=scheme)
    assert find_barriers(page) == []
    draw(page, STROKES[3])
    answered(page)
    first_layer(page).click(position={"x": 20, "y": 20})
    page.get_by_text("Step through the multiplication").click()
    page.get_by_text("The input as numbers").first.click()
    page.get_by_role("button", name="Show what each output rests on").click()
    expect(page.locator("#reason")).not_to_be_empty()
    assert find_barriers(page) == []
