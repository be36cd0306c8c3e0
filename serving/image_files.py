"""Open an image file as far as its header, and refuse files that would take long to decode.

The size of a file doesn't bound the work to decode it: blank pixels are compressed a thousandfold, each scan of a
progressive JPEG goes over all pixels again, and Pillow reads a file's chunks one by one, in Python.
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
WEBP_WEIGHT = 2  # decoding one pixel of a WebP costs the time and memory of this many pixels of a PNG
MAX_SCANS = 100  # of a progressive JPEG: encoders write about 10
START_OF_SCAN = b"\xff\xda"
# Pillow reads at least once for each chunk of a PNG, each segment of a JPEG, and each byte between two segments. A file
# may take FREE_READS reads, and one more per BYTES_PER_READ bytes.
FREE_READS, BYTES_PER_READ = 3000, 64
PACKED = (b"zTXt", b"iTXt", b"iCCP")  # chunks of a PNG that Pillow decompresses, each to up to a megabyte
MAX_PACKED = 4
MAX_NOTE_ENTRIES = 200  # of an EXIF note; Pillow decodes each entry in Python. Cameras write about 30


class ImageError(ValueError):
    """An image is refused; the text is one sentence for the client."""


class _Jpeg(JpegImagePlugin.JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        """Skip the EXIF note: Pillow would decode all of it to find a resolution that isn't needed here."""


class _Png(PngImagePlugin.PngImageFile):
    def _open(self) -> None:
        """Forget texts and the colour profile, which are megabytes once unpacked and aren't needed here."""
        super()._open()
        assert self.png
        self.png.im_text.clear()
        for info in (self.info, self.png.rewind_state.info):  # the second is for an animation's first frame
            for key in [key for key, value in info.items() if isinstance(value, str) or key in ("xmp", "icc_profile")]:
                del info[key]


class _CountedReads(io.BytesIO):
    """A file in memory with a limited number of reads, however small each read is."""

    def __init__(self, data: bytes):
        super().__init__(data)
        self.reads_left = FREE_READS + len(data) // BYTES_PER_READ

    def read(self, size: int | None = -1) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise ImageError("the image is made of too many small pieces: save it again with another program")
        return super().read(size)


# By Pillow's name of a format: the first bytes of its files, and the class that opens them.
KINDS: dict[str, tuple[tuple[bytes, ...], type[ImageFile.ImageFile]]] = {
    "PNG": ((b"\x89PNG",), _Png),
    "JPEG": ((b"\xff\xd8",), _Jpeg),
    "WEBP": ((b"RIFF",), WebPImagePlugin.WebPImageFile),
    "BMP": ((b"BM",), BmpImagePlugin.BmpImageFile),
    "GIF": ((b"GIF8",), GifImagePlugin.GifImageFile),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
}
ALL_FORMATS = tuple(KINDS)
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")  # of files in ALL_FORMATS
WEB_FORMATS = ("PNG", "JPEG", "WEBP")  # what browsers and phones send; the cost of each is bounded


def read_image_file(path: Path) -> bytes:
    """Return a file's content; ImageError if it isn't a regular file or is too large, OSError if it can't be read."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
        raise ImageError("it is a pipe, a socket or a device: an image file is expected")
    require_bytes(status.st_size)
    return path.read_bytes()


def require_bytes(size: int) -> None:
    """Raise ImageError if a file has more than MAX_FILE_BYTES."""
    if size > MAX_FILE_BYTES:
        raise ImageError(f"the file is too large: at most {MAX_FILE_BYTES // 1_000_000} MB are allowed")


def open_image(data: bytes, formats: Sequence[str]) -> ImageFile.ImageFile:
    """Open the image in `data`: its size is known, its pixels aren't decoded yet. ImageError if it is refused.

    `formats` are the accepted ones of ALL_FORMATS.
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
    # The reads of a BMP aren't counted: Pillow reads a compressed one byte by byte.
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
    """Raise ImageError, whose text begins with `what`, if there are more than MAX_PIXELS, the limit of a request."""
    if pixels > MAX_PIXELS:
        raise too_many_pixels(what)


def count_pixels(image: Image.Image) -> int:
    """Return the number of pixels of an opened image; those of a WebP count WEBP_WEIGHT times."""
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
    """Return whether an image's EXIF note has at most MAX_NOTE_ENTRIES entries, so that Pillow may decode it."""
    note = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    order = "<" if note.startswith(b"II") else ">"
    with suppress(struct.error):  # the note is cut short
        (start,) = struct.unpack_from(f"{order}I", note, 4)
        (entries,) = struct.unpack_from(f"{order}H", note, start)
        return bool(entries <= MAX_NOTE_ENTRIES)
    return False
