"""Pictures of any kind are converted to a data set's form."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.images import (
    ALL_FORMATS,
    INK,
    WEB_FORMATS,
    Form,
    ImageError,
    bring_to_form,
    count_pixels,
    decode,
    open_image,
    prepare,
)
from serving.ink import to_mnist
from tests.helpers.pictures import KINDS, assert_alike, drawing, encode, landscape

GREY, COLOUR = Form(40, 60, 1, "stretch"), Form(40, 60, 3, "stretch")
PICTURE = landscape()
LARGE = encode(Image.new("RGB", (2500, 2048), "green"), "JPEG")

# Warnings of Pillow about damaged EXIF notes.
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read", "ignore:Metadata")


def read(data: bytes, form: Form = COLOUR) -> Image.Image:
    return decode(open_image(data, ALL_FORMATS), form)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_file_is_read_upright_in_the_forms_colours(name):
    data = KINDS[name](PICTURE)
    expected = PICTURE.convert("L").convert("RGB") if "grey" in name or "16" in name else PICTURE
    if "1 bit" in name:
        expected = PICTURE.convert("1")
    if "half" in name:
        expected = Image.blend(Image.new("RGB", PICTURE.size, "white"), PICTURE, 128 / 255)
    for form in (GREY, COLOUR):
        pixels = bring_to_form(read(data, form), form)
        assert (pixels.shape, pixels.dtype) == (form.shape, np.uint8)
        difference = np.abs(pixels.astype(int) - np.asarray(expected.convert(form.mode)))
        # Colours differ a little if they come from a palette, or if two colours share a chroma sample.
        assert np.median(difference) <= (40 if "palette" in name or "GIF" in name else 4), name


@pytest.mark.parametrize("form", [GREY, COLOUR], ids=["grey", "colour"])
def test_what_has_the_size_stays_as_it_is_to_the_bit(form):
    whole = np.asarray(PICTURE.convert(form.mode))
    for resize in ("stretch", "crop", "pad"):
        same = Form(form.height, form.width, form.channels, resize)
        assert (prepare(encode(whole), same, WEB_FORMATS) == whole).all()


def quarters(width: int, height: int) -> bytes:
    """A white picture whose middle half, from left to right, is black."""
    pixels = np.full((height, width), 255, np.uint8)
    pixels[:, width // 4 : width * 3 // 4] = 0
    return encode(pixels)


def test_each_way_to_the_size_keeps_what_it_says():
    shown = {
        resize: prepare(quarters(400, 100), Form(40, 40, 1, resize), WEB_FORMATS)
        for resize in ("stretch", "crop", "pad")
    }
    assert shown["stretch"][20].tolist()[::8] == [255, 255, 0, 0, 255]
    assert (shown["crop"][:, 2:38] == 0).all()  # the middle square is black
    assert (shown["pad"][:15] == 255).all()  # the picture is 40 × 10
    assert (shown["pad"][25:] == 255).all()
    assert (shown["pad"][15:25, 12:28] == 0).all()


def test_a_tall_picture_is_padded_equally_on_both_sides_and_a_line_stays_one():
    tall = prepare(encode(Image.new("L", (10, 40), 0)), Form(40, 40, 1, "pad"), WEB_FORMATS)
    assert (tall[:, :15] == 255).all()
    assert (tall[:, 25:] == 255).all()
    assert (tall[:, 15:25] == 0).all()
    line = prepare(encode(Image.new("L", (1, 400), 0)), Form(40, 40, 1, "pad"), WEB_FORMATS)
    assert (line[0] == 0).sum() == 1


@pytest.mark.parametrize("size", [(1, 1), (5000, 1), (1, 5000), (61, 40), (3, 2000)])
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_a_picture_of_any_size_gets_the_forms(size, resize):
    form = Form(24, 36, 3, resize)
    assert prepare(encode(Image.new("RGB", size, "green")), form, WEB_FORMATS).shape == (24, 36, 3)


def test_a_picture_of_one_colour_is_a_picture():
    assert (prepare(encode(Image.new("L", (50, 50), 90)), Form(8, 8, 1, "pad"), WEB_FORMATS) == 90).all()


@pytest.mark.parametrize(("form", "least"), [(COLOUR, 120), (GREY, 120), (INK, 1024)], ids=["colour", "grey", "ink"])
def test_a_large_jpeg_is_decoded_at_twice_the_size_that_is_needed_or_more(form, least):
    image = read(LARGE, form)
    assert image.mode == form.mode
    assert least <= min(image.size) < 2048


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_ink_is_brought_to_mnists_form(format):
    assert_alike(to_mnist(drawing()), prepare(encode(drawing(), format), INK, WEB_FORMATS))


def test_an_orientation_that_cant_be_read_turns_nothing():
    assert read(encode(PICTURE, "JPEG", exif=b"Exif\0\0MM\0junk")).size == PICTURE.size


def test_a_palettes_transparent_colour_is_put_on_white():
    black_page = Image.eval(drawing(), lambda level: 255 - level).convert("P")
    black_page.putpalette([0, 0, 0] + [90, 0, 0] * 255)
    assert_alike(to_mnist(drawing()), to_mnist(read(encode(black_page, transparency=0), INK)))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def huge_png(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header says that the image is that large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def huge_webp(width: int, height: int) -> bytes:
    """A WebP whose header says that the image is that large."""
    sides = b"".join(struct.pack("<I", side - 1)[:3] for side in (width, height))
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides + encode(PICTURE, "WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def huge_gif(width: int, height: int) -> bytes:
    """A GIF whose header says that the image is that large."""
    small = encode(PICTURE, "GIF")
    return small[:6] + struct.pack("<HH", width, height) + small[10:]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "data",
    [
        huge_png(50_000, 50_000),
        huge_png(2**31 - 1, 2**31 - 1),
        huge_png(8_000, 5_001),
        huge_gif(65_000, 65_000),
        encode(Image.new("1", (8_000, 5_001)), "TIFF", compression="group4"),
        huge_webp(2**14 - 1, 2**14 - 1),
    ],
    ids=["PNG", "largest PNG", "one row too many", "GIF", "TIFF", "WebP"],
)
def test_a_decompression_bomb_is_refused_before_it_is_decoded(data, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="40 million pixels"):
        read(data)


def test_a_pixel_of_a_webp_counts_twice():
    assert count_pixels(open_image(encode(PICTURE, "WEBP"), WEB_FORMATS)) == 2 * 60 * 40


@pytest.mark.parametrize("format", ALL_FORMATS)
def test_a_truncated_file_is_refused(format):
    whole = encode(landscape(200, 100), format)
    for length in (len(whole) // 2, 8):
        with pytest.raises(ImageError):
            read(whole[:length])


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF"])
def test_formats_that_are_not_asked_for_are_refused_by_name(format):
    with pytest.raises(ImageError, match=rf"the image is a {format}: PNG, JPEG or WebP is expected"):
        open_image(encode(PICTURE, format), WEB_FORMATS)


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"hello", bytes(1000), b"RIFF", b"RIFF0000WAVE"]
)
def test_what_is_no_image_is_refused(data):
    with pytest.raises(ImageError, match="not an image that can be read: PNG, JPEG or WebP is expected"):
        open_image(data, WEB_FORMATS)


def test_a_file_without_bytes_is_refused():
    with pytest.raises(ImageError, match="empty: it has no bytes"):
        open_image(b"", WEB_FORMATS)


@pytest.mark.parametrize(("mode", "name"), [("F", "floating-point numbers"), ("I", "numbers of 32 bits")])
def test_pixels_without_a_range_are_refused_by_name(mode, name):
    with pytest.raises(ImageError, match=f"the image's pixels are {name}: save it with 8 or 16 bits"):
        read(encode(Image.new(mode, (20, 20)), "TIFF"))


def answer(data: bytes, form: Form) -> None:
    """These bytes must never raise anything except ImageError."""
    try:
        pixels = prepare(data, form, ALL_FORMATS)
    except ImageError:
        return
    assert (pixels.shape, pixels.dtype) == (form.shape, np.uint8)


FORMS = (INK, Form(8, 12, 3, "crop"), Form(8, 12, 1, "pad"))
WHOLE = [encode(landscape(30, 20), format) for format in ALL_FORMATS] + [encode(drawing().quantize(4))]


@settings(deadline=None)
@given(st.sampled_from(WHOLE), st.binary(max_size=2000), st.sampled_from(FORMS))
def test_any_bytes_give_an_image_or_an_image_error(whole, data, form):
    answer(data, form)
    answer(whole[:8] + data, form)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=8)), max_size=5),
    st.sampled_from(FORMS),
)
def test_a_damaged_file_gives_an_image_or_an_image_error(whole, damages, form):
    data = bytearray(whole)
    for place, content in damages:
        place %= len(whole)
        data[place : place + len(content)] = content
    answer(bytes(data), form)
