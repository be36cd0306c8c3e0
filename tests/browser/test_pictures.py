"""The page for pictures in a real browser: every way to give a picture, class names, and a change of version."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from playwright.sync_api import expect

from serving import images
from serving.images import INK, Form
from serving.model_source import ModelSource
from tests.helpers.in_process import load, serving
from tests.helpers.models import DIGITS, bright_values
from tests.helpers.page import CHROMIUM, CONTRAST, STROKES, draw, hand_over, problem, read, seen
from tests.helpers.pictures import landscape

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")

COLOUR = Form(12, 20, 3, "crop")
GREY = Form(16, 16, 1, "pad")
NAMES = ["<b>bold</b>", "שלום", "Straßenbahn, grün", "long " * 30 + "name", *(f"class {number}" for number in range(9))]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def colour(tmp_path_factory) -> ModelSource:
    return load(tmp_path_factory.mktemp("colour"), COLOUR, NAMES)


@pytest.fixture(scope="module")
def address(colour) -> Iterator[str]:
    with serving(colour) as address:
        yield address


def expected(file: Path, form: Form = COLOUR) -> np.ndarray:
    """The pixels that the network gets from a file, as the page shows them: [height, width, 3]."""
    pixels = images.prepare(file.read_bytes(), form, images.WEB_FORMATS)
    return pixels if form.channels == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def picture_of(class_number: int, folder: Path) -> Path:
    """A file with the network's image size, to which the network answers that class."""
    file = folder / f"{class_number}.png"
    Image.fromarray(bright_values(COLOUR, len(NAMES))[class_number]).save(file)
    return file


@pytest.mark.parametrize(("way", "kind"), [("file", "webp"), ("camera", "jpeg"), ("drop", "png"), ("paste", "png")])
def test_a_picture_is_shown_as_it_is_and_as_the_network_gets_it(address, visit, tmp_path, way, kind):
    page, file = visit(address), tmp_path / f"picture.{kind}"
    landscape(300, 200).save(file)
    with page.expect_request("**/predict"):
        hand_over(page, file, way)
    assert read(page)
    assert (seen(page) == expected(file)).all()
    expect(page.get_by_role("img", name="The 20 by 12 pixels that the network was given")).to_be_visible()
    given = page.get_by_role("img", name="The picture: ")
    expect(given).to_be_visible()
    assert given.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [300, 200]
    page.keyboard.press("Escape")
    expect(given).to_be_hidden()
    assert read(page) == ""
    assert not seen(page).any()


def test_a_photograph_of_12_million_pixels_is_sent_as_it_is_and_shown_upright(address, visit, tmp_path):
    page, file, exif = visit(address, **PHONE), tmp_path / "photo.jpeg", Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    landscape(400, 300).resize((4000, 3000)).save(file, exif=exif)
    hand_over(page, file, "camera")
    expect(page.locator("#label")).not_to_be_empty()
    assert (seen(page) == expected(file)).all()
    given = page.locator("#picture")
    expect(given).to_be_visible()
    box = given.bounding_box()
    assert box["height"] / box["width"] == pytest.approx(4 / 3, rel=0.02)


def test_only_a_device_that_is_touched_offers_its_camera(address, visit):
    phone, desktop = visit(address, **PHONE), visit(address)
    camera = phone.get_by_label("Take a photo")
    assert [camera.get_attribute(name) for name in ("type", "accept", "capture")] == ["file", "image/*", "environment"]
    assert phone.get_by_text("Take a photo", exact=True).is_visible()
    assert desktop.get_by_text("Take a photo", exact=True).is_hidden()
    assert desktop.get_by_role("application").count() == 0  # there is nothing to draw on
    for control in (desktop.get_by_role("button", name="Clear"), desktop.get_by_label("Choose an image")):
        desktop.keyboard.press("Tab")
        expect(control).to_be_focused()
    with desktop.expect_file_chooser():
        desktop.locator("#paper").click()


def test_names_are_text_whatever_they_are(address, visit, tmp_path):
    page = visit(address, viewport={"width": 320, "height": 700})
    expect(page.get_by_text("It knows 13 classes")).to_be_visible()
    for number, name in enumerate(NAMES[:4]):
        hand_over(page, picture_of(number, tmp_path), "file")
        expect(page.locator("#label")).to_have_text(name.strip())
        read(page)
        rows = page.locator("#probabilities li")
        assert rows.count() == 10
        assert rows.first.locator("b").text_content() == name
        assert rows.first.get_attribute("class") == "most"
        shares = [float(text) for text in page.locator("#probabilities span").all_inner_texts()]
        assert shares == sorted(shares, reverse=True)
        expect(page.get_by_role("status")).to_contain_text(name)
        assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.get_by_text("3 others, together").click()
    expect(page.locator("#names")).to_contain_text("class 8")
    assert page.locator("b b").count() == 0
    large = "label => parseFloat(getComputedStyle(label).fontSize)"
    assert page.locator("#label").evaluate(large) < 32  # although the name has 150 letters


def test_what_is_no_picture_is_explained(address, visit, tmp_path):
    page = visit(address)
    for name, content, message in (
        ("picture.heic", b"ftypheic", "no PNG, JPEG or WebP image"),
        ("picture.webp", b"RIFF", "PNG, JPEG or WebP is expected"),
    ):
        (tmp_path / name).write_bytes(content)
        hand_over(page, tmp_path / name, "file")
        problem(page).to_contain_text(message)
        expect(page.locator("#picture")).to_be_hidden()
        assert read(page) == ""
    hand_over(page, picture_of(0, tmp_path), "file")
    problem(page).to_be_empty()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa(address, visit, tmp_path, scheme):
    page = visit(address, color_scheme=scheme)
    blank = page.evaluate(CONTRAST)
    hand_over(page, picture_of(0, tmp_path), "file")
    assert read(page)
    contrast, text = min(blank, page.evaluate(CONTRAST))
    assert contrast >= 4.5, text


def test_the_page_follows_to_other_classes_another_shape_and_back(colour, visit, tmp_path):
    """The page follows, without a reload, to a version for drawings, to one for pictures, to one with other classes."""
    sources = [colour]
    for form, names in ((INK, DIGITS), (GREY, ["yes", "no"])):
        (folder := tmp_path / form.resize).mkdir()
        sources.append(load(folder, form, names))
    pictures, ink, grey = (
        replace(source.loaded, facts={**source.loaded.facts, "version": str(number)})
        for number, source in enumerate(sources)
    )
    source = sources[1]
    source.loaded = ink
    file = tmp_path / "picture.png"
    landscape(300, 200).save(file)
    with serving(source) as address:
        page = visit(address)
        expect(page).to_have_title("Draw")
        draw(page, STROKES[1])
        assert read(page) in DIGITS
        assert page.locator("#probabilities b").all_inner_texts() == DIGITS
        page.locator("#canvas").focus()

        source.loaded = pictures
        draw(page, STROKES[1])
        expect(page).to_have_title("Show a picture")
        expect(page.get_by_role("heading", name="Show a picture")).to_be_visible()
        expect(page.locator("#version")).to_have_text("0")
        assert read(page) == ""  # the drawing was dropped
        expect(page.get_by_label("Choose an image")).to_be_focused()
        hand_over(page, file, "file")
        expect(page.locator("#label")).not_to_be_empty()
        assert (seen(page) == expected(file)).all()

        source.loaded = grey  # the page asks for the same picture again when the user comes back to it
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.locator("#version")).to_have_text("2")
        expect(page.locator("#label")).to_have_text("yes")
        assert sorted(page.locator("#probabilities b").all_inner_texts()) == ["no", "yes"]
        assert (seen(page) == expected(file, GREY)).all()

        source.loaded = ink
        hand_over(page, file, "paste")
        expect(page.locator("#version")).to_have_text("1")
        draw(page, STROKES[1])
        assert read(page) in DIGITS
