"""A file is refused if decoding it would take too much, not only if it has too many bytes."""

import io
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from serving import images
from serving.image_files import (
    FREE_READS,
    MAX_FILE_BYTES,
    MAX_NOTE_ENTRIES,
    MAX_PACKED,
    MAX_SCANS,
    open_image,
    read_image_file,
)
from serving.images import ALL_FORMATS, WEB_FORMATS, ImageError
from tests.helpers.pictures import bar, encode


def decode(data: bytes) -> Image.Image:
    return images.decode(open_image(data, ALL_FORMATS), images.INK)


JPEG = encode(bar(100), "JPEG")


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(chunks: bytes) -> bytes:
    """A PNG with these chunks before its pixels."""
    content = encode(bar())
    return content[:33] + chunks + content[33:]


def jpeg_with(segments: bytes) -> bytes:
    """A JPEG with these segments before its pixels."""
    return JPEG[:2] + segments + JPEG[2:]


def note(entries: int) -> bytes:
    """An EXIF segment with that many entries, which says that the image lies on its side."""
    entry = struct.pack("<HHII", 0x0112, 3, 1, 6)
    others = b"".join(struct.pack("<HHII", 0x1000 + number, 4, 1, 0) for number in range(entries - 1))
    content = b"Exif\0\0II*\0" + struct.pack("<IH", 8, entries) + entry + others + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until the file has that many scans."""
    content = io.BytesIO()
    Image.fromarray(bar(100)).save(content, "JPEG", progressive=True)
    data = content.getvalue()
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * (count - data.count(b"\xff\xda")) + data[end:]


@pytest.mark.parametrize(
    "data",
    [
        png_with(chunk(b"abCd") * FREE_READS),
        jpeg_with(b"\xff\xe0\0\2" * FREE_READS),
        jpeg_with(b"\xff" * 2 * FREE_READS),
        jpeg_with(b"\xff\xe0\0\2" + bytes(2 * FREE_READS)),
    ],
    ids=["chunks of a PNG", "segments of a JPEG", "padding", "junk"],
)
def test_a_file_of_too_many_small_pieces_is_refused(data):
    with pytest.raises(ImageError, match="too many small pieces: save it again"):
        decode(data)


def test_pixels_in_too_many_small_pieces_are_refused():
    content = encode(bar())
    tail = content.index(b"IDAT") + 4 + struct.unpack(">I", content[33:37])[0] + 4
    with pytest.raises(ImageError, match="too many small pieces: save it again"):
        decode(content[:33] + chunk(b"IDAT") * FREE_READS + content[33:tail] + content[tail:])


def test_a_file_of_as_many_pieces_as_programs_write_is_decoded():
    rows = np.random.default_rng(0).integers(0, 255, (500, 100), np.uint8)
    stream = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows), 0)
    pieces = b"".join(chunk(b"IDAT", stream[start : start + 101]) for start in range(0, len(stream), 101))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100, 500, 8, 0, 0, 0, 0))
    assert (np.asarray(decode(b"\x89PNG\r\n\x1a\n" + header + pieces + chunk(b"IEND"))) == rows).all()


def test_a_jpeg_of_too_many_scans_is_refused():
    decode(with_scans(MAX_SCANS))
    with pytest.raises(ImageError, match="more than 100 scans"):
        decode(with_scans(MAX_SCANS + 1))


def test_a_note_of_more_entries_than_a_camera_writes_is_not_unpacked(monkeypatch):
    lying, upright = decode(jpeg_with(note(30))).tobytes(), decode(JPEG).tobytes()
    assert lying != upright
    monkeypatch.setattr(Image.Exif, "load", None)
    assert decode(jpeg_with(note(MAX_NOTE_ENTRIES + 1))).tobytes() == upright


def test_a_png_of_more_packed_notes_than_programs_write_is_refused():
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1000)))
    decode(png_with(text * MAX_PACKED))
    with pytest.raises(ImageError, match="more than 4 packed notes: save it again without its metadata"):
        decode(png_with(text * (MAX_PACKED + 1)))


@pytest.mark.parametrize("animation", [b"", chunk(b"acTL", struct.pack(">II", 1, 0))], ids=["", "animated"])
def test_the_notes_of_an_opened_png_are_not_kept(animation):
    """A request may have many files, which all are opened before the first is decoded."""
    megabyte = zlib.compress(bytes(1_000_000))
    notes = [chunk(b"zTXt", b"a\0\0" + megabyte), chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + megabyte)]
    data = png_with(b"".join([animation, *notes, chunk(b"iCCP", b"b\0\0" + megabyte)]))
    tracemalloc.start()
    try:
        image = open_image(data, ALL_FORMATS)
        assert tracemalloc.get_traced_memory()[0] < 300_000
    finally:
        tracemalloc.stop()
    assert (np.asarray(image) == bar()).all()


def test_what_a_png_says_about_its_pixels_is_kept():
    content = io.BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("P", (8, 9)).save(content, "PNG", transparency=0, exif=exif)
    info = open_image(content.getvalue(), ALL_FORMATS).info
    assert (info["transparency"], info["exif"][:4]) == (0, b"Exif")


def test_a_bmp_that_is_packed_in_pairs_of_bytes_is_decoded():
    """Pillow reads each of these pairs separately."""
    header = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 8)
    header += struct.pack("<IiiHHIIiiII", 40, 200, 200, 1, 8, 1, 0, 0, 0, 2, 0) + bytes([0, 0, 0, 0, 255, 255, 255, 0])
    rows = b"\1\0\1\1" * 100 + b"\0\0"
    pixels = np.asarray(decode(header + rows * 200 + b"\0\1"))
    assert (pixels == [0, 255] * 100).all()


def test_an_opened_image_is_not_decoded_yet():
    image = open_image(encode(np.zeros((2000, 2000), np.uint8)), WEB_FORMATS)
    assert (image.size, image._im) == ((2000, 2000), None)


def test_a_file_is_read_as_it_is(tmp_path):
    (tmp_path / "bar.png").write_bytes(encode(bar()))
    assert read_image_file(tmp_path / "bar.png") == encode(bar())


def test_a_file_that_would_fill_the_memory_is_not_read(tmp_path):
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="the file is too large: at most 100 MB are allowed"):
        read_image_file(tmp_path / "large.png")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="a pipe, a socket or a device"):
        read_image_file(tmp_path / "pipe.png")
