"""Images of any size to MNIST's form: decode a PNG or JPEG, then find its digit, scale it and centre it.

MNIST was made so from NIST's scans (LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document
recognition", section III.A, and the data set's page): the digit fits a box of 20×20, its aspect kept, anti-aliased to
grey levels, and its centre of mass lies at the centre of a 28×28 field. NIST's scans were black and white already, so
before it comes here what a photograph needs: the ground is found and taken away, dirt is left out. One digit (or one
number's worth of ink) on a ground of about one colour is expected.
"""

import contextlib
import io

import numpy as np
from PIL import Image, ImageFilter, ImageOps

FORMATS = ("PNG", "JPEG")
MAX_PIXELS = 40_000_000  # an A4 page at 600 dpi has 35 million
WORK = 512  # longer side at which the digit is looked for: one of a twentieth of the page still has 25 pixels
CELL = 4  # side of the squares in which ink is gathered to parts: strokes of a digit, or dirt
FIELD, BOX, CENTRE = 28, 20, 14  # MNIST's; its centres of mass are at pixel 14, give or take half of one


class ImageError(ValueError):
    """An image that can't be answered; the text is one sentence for whoever sent it."""


def decode(data: bytes) -> Image.Image:
    """The PNG or JPEG in `data` in greyscale (mode L), upright, transparency put on white; ImageError for all else.

    A large JPEG may come out at a half, quarter or eighth of its size, still larger than `to_mnist` needs.
    """
    too_large = ImageError(f"the image is too large: at most {MAX_PIXELS // 1_000_000} million pixels are allowed")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_large from None
    except Exception:
        raise ImageError("not an image that can be read: a PNG or JPEG is expected") from None
    if image.width * image.height > MAX_PIXELS:
        raise too_large
    # Damaged bytes make Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error, …
    try:
        image.draft("L", (2 * WORK, 2 * WORK))
        image.load()
        return upright(grey(image), image.info)
    except Exception:
        raise ImageError("the image is damaged or cut short: the whole PNG or JPEG file is expected") from None


def grey(image: Image.Image) -> Image.Image:
    """A decoded PNG or JPEG of any mode in mode L."""
    if image.mode.startswith("I"):  # 16 bits a pixel, of which convert() would keep the lower eight
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("L")
    layers = image.convert("LA")
    white = Image.new("L", image.size, 255)
    white.paste(layers.getchannel("L"), mask=layers.getchannel("A"))
    return white


def upright(image: Image.Image, info: dict) -> Image.Image:
    """The image turned as the camera's EXIF note says; a note that can't be read turns nothing."""
    image.info = info
    with contextlib.suppress(Exception):
        return ImageOps.exif_transpose(image)
    return image


def to_mnist(image: Image.Image) -> np.ndarray:
    """An image of any size, dark on light or light on dark, as MNIST's: uint8 [28, 28], 0 background, 255 ink.

    One of exactly 28×28 is in that form already, and is inverted if it is dark on light. ImageError if it is blank.
    """
    image = image.convert("L")
    if image.size == (FIELD, FIELD):
        return as_it_is(np.asarray(image))
    if max(image.size) > WORK:
        image = image.reduce(-(-max(image.size) // WORK))
    ink = inked(np.asarray(image, np.float32))
    return centred(scaled(*cropped(ink)))


def blank() -> ImageError:
    return ImageError("the image is blank: no digit stands out from its background")


def as_it_is(pixels: np.ndarray) -> np.ndarray:
    """A 28×28 image, inverted if its edge is light."""
    if pixels.min() == pixels.max():
        raise blank()
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return 255 - pixels if np.median(edge) > 127 else pixels.copy()


def inked(light: np.ndarray) -> np.ndarray:
    """How much of the ground's light each pixel lacks, float32 in 0…1: light from 0…255, inverted if the ground is dark."""
    residual = light - ground(light)
    if (residual**3).sum() > 0:  # what stands out is lighter than the ground
        light = 255 - light
    below = np.maximum(ground(light), 1)
    return np.clip(1 - light / below, 0, 1)


def ground(light: np.ndarray) -> np.ndarray:
    """The light of the empty page at each pixel: the quadratic surface with the least absolute deviations.

    The least deviations, not their squares, because then up to half of the pixels may be ink. The edge counts as much
    as the rest, for a digit that fills its image.
    """
    height, width = light.shape
    small = np.asarray(Image.fromarray(light).resize((min(width, 48), min(height, 48)), Image.Resampling.BOX))
    surface = quadratic(*small.shape)
    weights = np.ones(small.shape, np.float32)
    weights[1:-1, 1:-1] = (small.size - weights[1:-1, 1:-1].size) / max(weights[1:-1, 1:-1].size, 1)
    values, weights = small.ravel(), weights.ravel()
    fitted = np.full_like(values, np.median(values))
    for _ in range(12):  # iteratively reweighted least squares
        leverage = weights / np.maximum(np.abs(values - fitted), 1)
        moments = surface.T * leverage
        fitted = surface @ np.linalg.lstsq(moments @ surface, moments @ values, rcond=1e-6)[0]
    fitted = Image.fromarray(fitted.reshape(small.shape).astype(np.float32))
    return np.asarray(fitted.resize((width, height), Image.Resampling.BILINEAR))


def quadratic(height: int, width: int) -> np.ndarray:
    """1, x, y, x², xy, y² at each pixel, float32 [height × width, 6]."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6).astype(np.float32)


def cropped(ink: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    smooth = (
        np.asarray(Image.fromarray(np.rint(ink * 255).astype(np.uint8)).filter(ImageFilter.MedianFilter(3)), np.float32)
        / 255
        if min(ink.shape) > 60
        else ink
    )
    noise = 1.4826 * np.median(np.abs(ink - np.median(ink)))
    peak = smooth.max()
    if peak < max(0.06, 4 * noise):
        raise blank()
    mask = smooth > max(0.4 * peak, 3 * noise)
    mask = kept(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    level = np.percentile(ink[mask], 90)
    near = np.asarray(Image.fromarray(mask).filter(ImageFilter.MaxFilter(5)))
    return np.where(near, np.clip(ink / level, 0, 1), 0), (left, top, right, bottom)


def kept(mask: np.ndarray) -> np.ndarray:
    """The parts of the mask that are a digit's: all that have a tenth of the largest part's ink."""
    height, width = mask.shape
    padded = np.zeros((-(-height // CELL) * CELL, -(-width // CELL) * CELL), bool)
    padded[:height, :width] = mask
    cells = padded.reshape(padded.shape[0] // CELL, CELL, -1, CELL).sum(axis=(1, 3))
    labels = parts(cells > 0)
    sizes = np.bincount(labels.ravel(), cells.ravel())
    big = sizes >= 0.1 * sizes[1:].max()
    big[0] = False
    return mask & np.repeat(np.repeat(big[labels], CELL, 0), CELL, 1)[:height, :width]


def parts(mask: np.ndarray) -> np.ndarray:
    """A number for each connected part (8 neighbours) of the mask, int [height, width]; 0 outside."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        grid = np.pad(labels, 1)
        for axis in (0, 1):
            grid = np.maximum(grid, np.maximum(np.roll(grid, 1, axis), np.roll(grid, -1, axis)))
        spread = np.where(mask, grid[1:-1, 1:-1], 0)
        spread = np.where(mask, spread.ravel()[np.maximum(spread - 1, 0)], 0)  # jump to the label of the label's cell
        if (spread == labels).all():
            return labels
        labels = spread


def scaled(ink: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    width, height = box[2] - box[0], box[3] - box[1]
    scale = BOX / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.BILINEAR, box)
    return np.asarray(small)


def centred(ink: np.ndarray) -> np.ndarray:
    """Ink in its box, float [≤ 20, ≤ 20] in 0…1, in the field with its centre of mass at the centre: uint8 [28, 28]."""
    field = np.zeros((FIELD, FIELD), np.uint8)
    places = []
    for axis in (0, 1):
        profile = ink.sum(axis=1 - axis)
        mass = (profile * np.arange(len(profile))).sum() / profile.sum()
        places.append(int(np.clip(round(CENTRE - mass), 0, FIELD - len(profile))))
    (top, left), (height, width) = places, ink.shape
    field[top : top + height, left : left + width] = np.rint(255 * ink / ink.max())
    return field
