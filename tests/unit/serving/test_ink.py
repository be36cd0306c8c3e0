"""Photographs, scans and drawings become the same digit in MNIST's form, however drawn, scaled, lit and stored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from serving import ink
from serving.image_files import ImageError
from serving.ink import to_mnist
from tests.helpers.pictures import assert_alike, drawing


def centre_of_mass(pixels: np.ndarray) -> tuple[float, float]:
    mass = pixels / pixels.sum()
    return (mass.sum(axis=1) * np.arange(28)).sum(), (mass.sum(axis=0) * np.arange(28)).sum()


SEVEN = to_mnist(drawing())


def test_the_digit_is_as_mnists():
    assert SEVEN.shape == (28, 28)
    assert SEVEN.dtype == np.uint8
    assert SEVEN.max() == 255
    assert SEVEN[0, 0] == 0
    rows, columns = np.flatnonzero(SEVEN.any(axis=1)), np.flatnonzero(SEVEN.any(axis=0))
    assert rows[-1] - rows[0] + 1 == 20
    assert columns[-1] - columns[0] + 1 == pytest.approx(20 * 18 / 26, abs=1.5)  # the aspect ratio is kept
    assert centre_of_mass(SEVEN) == pytest.approx((14, 14), abs=0.51)


@pytest.mark.parametrize("scale", [1.2, 2, 8, 40, 120])
def test_its_scale_is_of_no_matter(scale):
    side = round(40 * scale)
    large = drawing(scale, (side, side), (round(9 * scale), round(5 * scale)))
    assert_alike(SEVEN, to_mnist(large))


@pytest.mark.parametrize("corner", [(0, 0), (10, 140), (210, 5), (120, 75)])
def test_its_place_is_of_no_matter(corner):
    assert_alike(SEVEN, to_mnist(drawing(corner=corner)))


def test_light_on_dark_is_the_same_as_dark_on_light():
    assert_alike(SEVEN, to_mnist(drawing(page=0, pen=255)))
    assert_alike(SEVEN, to_mnist(drawing(page=40, pen=200)))


def test_pencil_on_grey_paper_is_as_white_as_ink():
    assert_alike(SEVEN, to_mnist(drawing(page=200, pen=150)))


def test_uneven_light_noise_and_dirt_are_left_out():
    random = np.random.default_rng(0)
    light = np.linspace(1, 0.5, 300) * np.linspace(1, 0.8, 260)[:, np.newaxis]
    photo = np.asarray(drawing(page=230, pen=40)) * light
    for _ in range(20):
        y, x = random.integers(0, 250), random.integers(0, 290)
        photo[y : y + 3, x : x + 3] = 30
    photo += random.normal(0, 8, photo.shape)
    # The dirt on the digit itself stays, but it doesn't matter.
    assert_alike(SEVEN, to_mnist(Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8))))


def test_a_hair_line_on_a_large_photograph_is_kept_whole():
    thin = Image.new("L", (2000, 3000), 250)
    ImageDraw.Draw(thin).line([(700, 800), (1100, 800), (850, 1400)], fill=60, width=5)
    pixels = to_mnist(thin)
    assert np.flatnonzero(pixels.any(axis=1)).size == 20
    assert (pixels.max(axis=1) > 50).sum() >= 18  # no gap


def test_a_digit_of_two_parts_keeps_both():
    five = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(five)
    draw.rectangle((80, 50, 130, 60), fill=0)
    draw.rectangle((60, 80, 75, 150), fill=0)
    rows = np.flatnonzero(to_mnist(five).any(axis=1))
    assert rows[-1] - rows[0] + 1 == 20


def move(pixels: np.ndarray, down: int, right: int) -> np.ndarray:
    return np.roll(pixels, (down, right), (0, 1))


def fill_the_field(pixels: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(pixels.any(axis=1))
    return np.asarray(Image.fromarray(pixels[rows[0] : rows[-1] + 1, 4:24]).resize((28, 28), Image.Resampling.BICUBIC))


def test_what_is_in_mnists_form_stays_as_it_is():
    assert (to_mnist(Image.fromarray(SEVEN)) == SEVEN).all()
    assert (to_mnist(Image.fromarray(255 - SEVEN)) == SEVEN).all()


@pytest.mark.parametrize("page", ["dark", "light"])
@pytest.mark.parametrize(
    "drawn",
    [
        move(SEVEN, 3, 0),
        move(SEVEN, -3, -3),
        SEVEN // 2,
        fill_the_field(SEVEN),
        fill_the_field(SEVEN) // 2,
        move(SEVEN, 2, 3) // 2,
    ],
    ids=["below", "upper left", "pale", "large", "large and pale", "lower right and pale"],
)
def test_a_drawing_of_28_by_28_is_brought_to_mnists_form(drawn, page):
    assert_alike(SEVEN, to_mnist(Image.fromarray(drawn if page == "dark" else 255 - drawn)))


@pytest.mark.parametrize("scale", [1, 12])
def test_a_digit_that_fills_its_image_with_thick_strokes_is_not_inverted(scale):
    """More than half of the image is ink, so only its edge shows which part is the page."""
    thick = Image.new("L", (28 * scale, 28 * scale))
    ImageDraw.Draw(thick).ellipse((4 * scale, 0, 24 * scale, 28 * scale - 1), outline=255, width=8 * scale)
    zero = to_mnist(thick)
    assert zero[14, 14] < 50 < 200 < zero[14, 9]
    assert zero[4, 6] < 50
    assert_alike(zero, to_mnist(Image.fromarray(255 - np.asarray(thick))))


@pytest.mark.parametrize("size", [(28, 28), (1, 1), (10_000, 1), (300, 200)])
@pytest.mark.parametrize("level", [0, 120, 255])
def test_blank_paper_and_a_sheet_of_ink_are_refused(size, level):
    with pytest.raises(ImageError, match="blank"):
        to_mnist(Image.new("L", size, level))


def test_noise_alone_is_blank():
    noise = np.random.default_rng(0).normal(200, 6, (400, 300)).astype(np.uint8)
    with pytest.raises(ImageError, match="blank"):
        to_mnist(Image.fromarray(noise))


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.data())
def test_any_pixels_give_a_digit_or_an_image_error(width, height, data):
    levels = data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=4))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    try:
        pixels = to_mnist(Image.fromarray(random.choice(np.array(levels, np.uint8), (height, width))))
    except ImageError:
        return
    assert (pixels.shape, pixels.dtype) == ((28, 28), np.uint8)
    assert pixels.max() > 0


def test_what_is_searched_is_small_however_large_the_image(monkeypatch):
    searched, ink_intensity = [], ink.ink_intensity
    monkeypatch.setattr(ink, "ink_intensity", lambda light: (searched.append(light.shape), ink_intensity(light))[1])
    assert_alike(SEVEN, to_mnist(drawing(100, (4000, 3000), (900, 100))))
    assert max(searched[0]) <= 512
