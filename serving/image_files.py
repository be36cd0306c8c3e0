"""Open a PNG or JPEG file as far as its header, and refuse what would take long to decode.

What a decoder does for a file isn't bounded by the file's bytes: blank pixels pack a thousandfold, each scan of a
progressive JPEG passes over all of them again, and Pillow walks through a file's chunks in Python, one by one.
"""

import io
import struct
from contextlib import suppress

from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin

MAX_PIXELS = 40_000_000  # an A4 page at 600 dpi has 35 million
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


def open_image(data: bytes) -> ImageFile.ImageFile:
    """Return the PNG or JPEG in `data` with its size known and its pixels not yet decoded; or ImageError."""
    kind: type[ImageFile.ImageFile] = PngImagePlugin.PngImageFile
    if data.startswith(b"\xff\xd8"):
        kind = _Jpeg
        if data.count(START_OF_SCAN) > MAX_SCANS:
            raise ImageError(f"the image has more than {MAX_SCANS} scans: save it as a JPEG that is not progressive")
    elif sum(map(data.count, PACKED)) > MAX_PACKED:
        raise ImageError(f"the image has more than {MAX_PACKED} packed notes: save it again without its metadata")
    # Damaged bytes make Pillow raise nearly anything: OSError, SyntaxError, struct.error, …
    try:
        image = kind(_CountedReads(data))  # reads no more than the header
    except ImageError:
        raise
    except Exception:
        raise ImageError("not an image that can be read: a PNG or JPEG is expected") from None
    require_pixels(image.width * image.height, "the image is too large")
    return image


def require_pixels(pixels: int, what: str) -> None:
    """Raise ImageError, which begins with `what`, if these are more pixels than are decoded for one request."""
    if pixels > MAX_PIXELS:
        raise ImageError(f"{what}: at most {MAX_PIXELS // 1_000_000} million pixels are allowed")


def has_short_note(image: Image.Image) -> bool:
    """Return whether an image's EXIF note has so few entries that it may be unpacked."""
    note = image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    order = "<" if note.startswith(b"II") else ">"
    with suppress(struct.error):  # cut short
        (start,) = struct.unpack_from(f"{order}I", note, 4)
        (entries,) = struct.unpack_from(f"{order}H", note, start)
        return bool(entries <= MAX_NOTE_ENTRIES)
    return False
