"""Convert pictures to the form of a data set: the same function for training, the app and the batch tool."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from serving import ink
from serving.image_files import ALL_FORMATS as ALL_FORMATS
from serving.image_files import WEB_FORMATS as WEB_FORMATS
from serving.image_files import ImageError as ImageError
from serving.image_files import count_pixels as count_pixels
from serving.image_files import has_short_note
from serving.image_files import open_image as open_image
from serving.image_files import require_pixels as require_pixels

# Pillow modes that are refused: their pixels have no fixed range, or Pillow can't convert them.
REFUSED_MODES = {"F": "floating-point numbers", "I": "numbers of 32 bits", "LAB": "colours of CIELAB"}
TURNS = {  # by EXIF's value of the orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Form:
    """The form that the pictures of a data set have; `resize` is stretch, crop, pad, or ink (MNIST's own form)."""

    height: int
    width: int
    channels: int  # 1: grey, 3: red, green, blue
    resize: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one image: (height, width), or (height, width, 3) for colour."""
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, self.channels)

    @property
    def mode(self) -> str:
        """Return Pillow's name for the pixels: L or RGB."""
        return "L" if self.channels == 1 else "RGB"


INK = Form(ink.FIELD, ink.FIELD, 1, "ink")  # MNIST's


def prepare(data: bytes, form: Form, formats: Sequence[str]) -> np.ndarray:
    """Decode a file's bytes and convert the picture to `form`: uint8 [*form.shape]; ImageError if it can't be read."""
    return bring_to_form(decode(open_image(data, formats), form), form)


def decode(image: ImageFile.ImageFile, form: Form) -> Image.Image:
    """Decode an opened file: upright, in the form's mode, on white where transparent; ImageError if it is damaged.

    A large JPEG may be decoded at a half, quarter or eighth of its size, still at least twice what the form needs.
    """
    side = 2 * (ink.WORK_SIZE if form.resize == "ink" else max(form.height, form.width))
    try:
        image.draft(form.mode, (side, side))
        image.load()
        return turn_upright(convert(image, form.mode), image)
    except ImageError:
        raise
    except Exception:
        raise ImageError("the image is damaged or cut short: the whole file is expected") from None


def convert(image: Image.Image, mode: str) -> Image.Image:
    """Convert a decoded image of any mode to mode L or RGB; ImageError if its mode is one of REFUSED_MODES."""
    if image.mode in REFUSED_MODES:
        raise ImageError(
            f"the image's pixels are {REFUSED_MODES[image.mode]}: save it with 8 or 16 bits per pixel and colour"
        )
    if image.mode.startswith("I"):  # 16 bits per pixel
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert(mode)
    if not image.has_transparency_data:
        return image.convert(mode)
    layers = image if image.mode == "RGBA" else image.convert("LA" if mode == "L" else "RGBA")
    white = Image.new(mode, image.size, "white")
    white.paste(layers.convert(mode), mask=layers.getchannel("A"))
    return white


def turn_upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    """Return the pixels, rotated or flipped as the EXIF note of `image` says; ignore a note that can't be read."""
    with contextlib.suppress(Exception):
        if has_short_note(image):
            return pixels.transpose(TURNS[image.getexif()[ExifTags.Base.Orientation]])
    return pixels


def bring_to_form(image: Image.Image, form: Form) -> np.ndarray:
    """Return a decoded image as uint8 [*form.shape]. An image that has that size isn't changed, except for ink.

    Raises ImageError if the form is ink and the image is blank.
    """
    if form.resize == "ink":
        return ink.to_mnist(image)
    size = form.width, form.height
    if image.size != size:
        image = FITS[form.resize](image, size)
    return np.asarray(image)


def stretch(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize the whole image without keeping its aspect ratio."""
    return image.resize(size, Image.Resampling.BILINEAR)


def crop(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the middle of the image, resized with its aspect ratio kept."""
    return ImageOps.fit(image, size, Image.Resampling.BILINEAR)


def pad(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the whole image in the middle of a white field, resized with its aspect ratio kept."""
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    field = Image.new(image.mode, size, "white")
    field.paste(stretch(image, inner), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return field


FITS = {"stretch": stretch, "crop": crop, "pad": pad}
