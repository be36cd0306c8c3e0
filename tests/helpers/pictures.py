"""Images as the files that clients send."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw


def encode(image: np.ndarray | Image.Image, format: str = "PNG", **options: object) -> bytes:
    """Return an image, or uint8 [height, width], as a file."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, format, **options)
    return file.getvalue()


def bar(size: int = 40) -> np.ndarray:
    """Return a white upright bar on black."""
    pixels = np.zeros((size, size), np.uint8)
    pixels[size // 8 : size - size // 8, size * 9 // 20 : size * 11 // 20] = 255
    return pixels


def in_mnist_form(images: np.ndarray) -> np.ndarray:
    """Return images, uint8 [n, 28, 28], with ink that gives them MNIST's form, so that serving doesn't change them.

    The first ten pixels of the first row stay as they are.
    """
    images = images.copy()
    images[:, 10:20, 10:20] = images[:, 0, 19] = 255
    return images


def drawing(scale: float = 4, size=(300, 260), corner=(90, 60), page: int = 255, pen: int = 0) -> Image.Image:
    """Return a drawn seven, 20 × 28 units of `scale` pixels, with its upper left corner at `corner`."""
    image = Image.new("L", size, page)
    x, y = corner
    points = [(x + 2 * scale, y + 2 * scale), (x + 18 * scale, y + 2 * scale), (x + 8 * scale, y + 26 * scale)]
    ImageDraw.Draw(image).line(points, fill=pen, width=round(3 * scale), joint="curve")
    return image


def assert_alike(one: np.ndarray, other: np.ndarray) -> None:
    """Assert that two pictures are the same, except for soft edges and a shift by one pixel, caused by rounding."""
    shifts = [np.roll(other, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    difference = min(np.abs(one.astype(float) - shifted).sum() / one.sum() for shifted in shifts)
    assert difference < 0.3  # its mirror image has 1.0


def landscape(width: int = 60, height: int = 40) -> Image.Image:
    """Return a smooth picture in colour whose four corners are all different."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    bands = np.stack([255 * x, 255 * y, 200 * (1 - x) * y + 40], axis=-1)
    return Image.fromarray(np.rint(bands).astype(np.uint8))


def store_deep(picture: Image.Image, format: str = "PNG") -> bytes:
    """Return the picture with 16 bits per pixel, grey, as a file."""
    return encode(Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257), format)


def store_turned(picture: Image.Image, format: str, **options: object) -> bytes:
    """Return the picture as a file in which it lies on its side, with a camera's EXIF note that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned clockwise
    return encode(picture.transpose(Image.Transpose.ROTATE_90), format, exif=exif, **options)


def store_see_through(picture: Image.Image, format: str = "PNG") -> bytes:
    """Return the picture at half opacity, as a file."""
    layers = picture.convert("RGBA")
    layers.putalpha(128)
    return encode(layers, format, lossless=True)


KINDS: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": encode,
    "PNG, grey": lambda picture: encode(picture.convert("L")),
    "PNG, grey and alpha": lambda picture: encode(picture.convert("LA")),
    "PNG, half transparent": store_see_through,
    "PNG, palette": lambda picture: encode(picture.quantize(64)),
    "PNG, palette with a transparent colour": lambda picture: encode(picture.quantize(8), transparency=0),
    "PNG, 1 bit": lambda picture: encode(picture.convert("1")),
    "PNG, 16 bits": store_deep,
    "PNG, turned": lambda picture: store_turned(picture, "PNG"),
    "JPEG": lambda picture: encode(picture, "JPEG", quality=95),
    "JPEG, grey": lambda picture: encode(picture.convert("L"), "JPEG", quality=95),
    "JPEG, CMYK": lambda picture: encode(picture.convert("CMYK"), "JPEG", quality=95),
    "JPEG, progressive": lambda picture: encode(picture, "JPEG", quality=95, progressive=True),
    "JPEG, turned": lambda picture: store_turned(picture, "JPEG", quality=95),
    "WebP": lambda picture: encode(picture, "WEBP", quality=90),
    "WebP, lossless": lambda picture: encode(picture, "WEBP", lossless=True),
    "WebP, half transparent": lambda picture: store_see_through(picture, "WEBP"),
    "WebP, turned": lambda picture: store_turned(picture, "WEBP", lossless=True),
    "WebP, moving": lambda picture: encode(
        picture, "WEBP", save_all=True, append_images=[picture.rotate(180)], lossless=True
    ),
    "GIF": lambda picture: encode(picture.quantize(64), "GIF"),
    "GIF, moving": lambda picture: encode(
        picture.quantize(64), "GIF", save_all=True, append_images=[picture.rotate(180)]
    ),
    "BMP": lambda picture: encode(picture, "BMP"),
    "BMP, 1 bit": lambda picture: encode(picture.convert("1"), "BMP"),
    "TIFF": lambda picture: encode(picture, "TIFF"),
    "TIFF, grey, packed": lambda picture: encode(picture.convert("L"), "TIFF", compression="tiff_deflate"),
    "TIFF, 16 bits": lambda picture: store_deep(picture, "TIFF"),
    "TIFF, turned": lambda picture: store_turned(picture, "TIFF"),
}
"""By a name that begins with the format: the function that writes a picture as this kind of file."""
