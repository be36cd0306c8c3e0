"""Open an image file as far as its header, and refuse what would take long to decode.

What a decoder does for a file isn't bounded by the file's bytes: blank pixels pack a thousandfold, each scan of a
progressive JPEG passes over all of them again, and Pillow walks through a file's chunks in Python, one by one.
"""

import io
import stat
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

MAX_FILE_BYTES = 100_000_000  # a larger file isn't read, because it would fill the memory
MAX_PIXELS = 40_000_000  # an A4 page at 600 dpi has 35 million
WEBP_WEIGHT = 2  # to decode one of its pixels costs the time and memory of so many of a PNG
MAX_SCANS = 100  # of a progressive JPEG: encoders write about 10
START_OF_SCAN = b"\xff\xda"
# Pillow reads at least once for each chunk of a PNG, segment of a JPEG, or byte between two of them: of these there may
# be some thousands, or one in so many bytes.
FREE_READS, BYTES_PER_READ = 3000, 64
PACKED = (b"zTXt", b"iTXt", b"iCCP")  # chunks of a PNG that Pillow unpacks, each to a megabyte
MAX_PACKED = 4
MAX_NOTE_ENTRIES = 200  # of EXIF, each of which Pillow unpacks in Python: cameras write about 30


class ImageError(ValueError):
    """An image can't be answered; the text is one sentence for the client."""


class _Jpeg(JpegImagePlugin.JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        """Leave the EXIF note alone: Pillow would unpack all of it, to find a resolution that nobody asks for."""


class _CountedReads(io.BytesIO):
    """A file in memory that may be read so many times, however little each time."""

    def __init__(self, data: bytes):
        super().__init__(data)
        self.reads_left = FREE_READS + len(data) // BYTES_PER_READ

    def read(self, size: int | None = -1) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise ImageError("the image is made of too many small pieces: save it again with another program")
        return super().read(size)


# By Pillow's name of the format: what a file of it begins with, and what opens it.
KINDS: dict[str, tuple[tuple[bytes, ...], type[ImageFile.ImageFile]]] = {
    "PNG": ((b"\x89PNG",), PngImagePlugin.PngImageFile),
    "JPEG": ((b"\xff\xd8",), _Jpeg),
    "WEBP": ((b"RIFF",), WebPImagePlugin.WebPImageFile),
    "BMP": ((b"BM",), BmpImagePlugin.BmpImageFile),
    "GIF": ((b"GIF8",), GifImagePlugin.GifImageFile),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
}
ALL_FORMATS = tuple(KINDS)
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")  # of their files' names
WEB_FORMATS = ("PNG", "JPEG", "WEBP")  # what browsers and phones send; the cost of each is bounded


def read_image_file(path: Path) -> bytes:
    """Return a file's content; ImageError if it is none or too large, OSError if it can't be read."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would be to wait for its writer
        raise ImageError("it is a pipe, a socket or a device: an image file is expected")
    require_bytes(status.st_size)
    return path.read_bytes()


def require_bytes(size: int) -> None:
    """Raise ImageError if a file has more bytes than are read."""
    if size > MAX_FILE_BYTES:
        raise ImageError(f"the file is too large: at most {MAX_FILE_BYTES // 1_000_000} MB are allowed")


def open_image(data: bytes, formats: Sequence[str]) -> ImageFile.ImageFile:
    """Return the image in `data` with its size known and its pixels not yet decoded; ImageError if it is none.

    `formats` are those of ALL_FORMATS that are taken.
    """
    if not data:
        raise ImageError("the image file is empty: it has no bytes")
    expected = f"{list_formats(formats)} is expected"
    name = next((name for name, (magics, _) in KINDS.items() if data.startswith(magics)), None)
    if name is None:
        raise ImageError(f"not an image that can be read: {expected}")
    if name not in formats:
        raise ImageError(f"the image is a {list_formats([name])}: {expected}")
    if name == "JPEG" and data.count(START_OF_SCAN) > MAX_SCANS:
        raise ImageError(f"the image has more than {MAX_SCANS} scans: save it as a JPEG that is not progressive")
    if name == "PNG" and sum(map(data.count, PACKED)) > MAX_PACKED:
        raise ImageError(f"the image has more than {MAX_PACKED} packed notes: save it again without its metadata")
    # Pillow reads a compressed BMP byte by byte.
    file = io.BytesIO(data) if name == "BMP" else _CountedReads(data)
    # Damaged bytes make Pillow raise nearly anything: OSError, SyntaxError, struct.error, …
    try:
        image = KINDS[name][1](file)  # reads no more than the header
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise too_many_pixels("the image is too large") from None
    except Exception:
        raise ImageError(f"not an image that can be read: {expected}") from None
    require_pixels(count_pixels(image), "the image is too large")
    return image


def require_pixels(pixels: int, what: str) -> None:
    """Raise ImageError, which begins with `what`, if these are more pixels than are decoded for one request."""
    if pixels > MAX_PIXELS:
        raise too_many_pixels(what)


def count_pixels(image: Image.Image) -> int:
    """Return the number of an opened image's pixels, those of a WebP counted as often as they cost."""
    return image.width * image.height * (WEBP_WEIGHT if image.format == "WEBP" else 1)


def too_many_pixels(what: str) -> ImageError:
    """Return the error for an image, or for several, of more than MAX_PIXELS."""
    most = MAX_PIXELS // 1_000_000
    return ImageError(f"{what}: at most {most} million pixels are allowed, {most // WEBP_WEIGHT} million of WebP")


def list_formats(formats: Sequence[str]) -> str:
    """Return formats in words: PNG, JPEG or WebP."""
    names = [name.replace("WEBP", "WebP") for name in formats]
    return " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def has_short_note(image: Image.Image) -> bool:
    """Return whether an image's EXIF note has so few entries that it may be unpacked."""
    note = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    order = "<" if note.startswith(b"II") else ">"
    with suppress(struct.error):  # cut short
        (start,) = struct.unpack_from(f"{order}I", note, 4)
        (entries,) = struct.unpack_from(f"{order}H", note, start)
        return bool(entries <= MAX_NOTE_ENTRIES)
    return False
