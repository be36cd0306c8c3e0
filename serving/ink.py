"""Convert images of any size to MNIST's form: find the digit, scale it and center it.

MNIST was made this way from NIST's scans (LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to
document recognition", section III.A, and the data set's page): the digit is scaled to a box of 20×20 with its aspect
ratio kept, which makes it grey by anti-aliasing, and its center of mass is put at the center of a field of 28×28.
NIST's scans were black and white. So a photograph needs two steps before: the page's light, however uneven, is removed,
and dirt is left out. The input should be one digit on a page of about one colour.
"""

import numpy as np
from PIL import Image, ImageFilter

from serving.image_files import ImageError

FIELD, BOX, CENTER = 28, 20, 14  # pixels, as in MNIST, whose centers of mass are within half a pixel of 14
WORK_SIZE = 512  # longer side of the image that is searched: a digit of a twentieth of the page still has 25 pixels
CELL = 4  # side in pixels of the squares that are grouped into connected parts: strokes of a digit, or dirt
MIN_PAGE_LIGHT = 32  # of 255, the least light that a page counts with: in a deeper shadow there is only grain
MIN_INK = 16  # of 255: a pixel that is less than this darker than the page isn't ink
FULL_INK = 224  # of 255: the strongest pixel of an image in MNIST's form has at least this
STROKE_SHARE = 0.35  # of the darkest ink, or more, is a stroke: less would include shadows' edges, more lose hairlines
MIN_PART_SHARE = 0.1  # of the largest part's area: smaller parts are dirt, larger ones strokes of their own


def to_mnist(image: Image.Image) -> np.ndarray:
    """Convert an image of any size, dark on light or light on dark, to uint8 [28, 28]: 0 is background, 255 is ink.

    An image of 28×28 that has MNIST's form already is only inverted, if its edge is light. ImageError if it is blank.
    """
    image = image.convert("L")
    if image.size == (FIELD, FIELD):
        pixels = make_light_on_dark(np.asarray(image))
        if has_mnist_form(pixels):
            return pixels
    if max(image.size) > WORK_SIZE:
        image = image.reduce(-(-max(image.size) // WORK_SIZE))
    ink, grain = ink_intensity(np.asarray(image, np.float32))
    return center_by_mass(scale_to_box(*isolate_strokes(ink, grain)))


def make_light_on_dark(pixels: np.ndarray) -> np.ndarray:
    """Return a 28×28 image, inverted if its edge is light; ImageError if it is blank."""
    if pixels.min() == pixels.max():
        raise blank_error()
    return 255 - pixels if np.median(border(pixels)) > 127 else pixels.copy()


def border(pixels: np.ndarray) -> np.ndarray:
    """Return the outermost pixels of [height, width]."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def has_mnist_form(pixels: np.ndarray) -> bool:
    """Return whether the ink of uint8 [28, 28] is as large, as central and as strong as MNIST's.

    The bounds hold for all of MNIST's 70,000 images, and for the digits of scikit-learn in that form.
    """
    rows, columns = (np.flatnonzero((pixels >= 2 * MIN_INK).any(axis=axis)) for axis in (1, 0))
    if pixels.max() < FULL_INK or not BOX - 2 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= BOX:
        return False
    mass = pixels / pixels.sum(dtype=float)
    places = np.arange(FIELD)
    return bool(max(abs(places @ mass.sum(axis=axis) - CENTER) for axis in (1, 0)) <= 1)


def blank_error() -> ImageError:
    """Return the error for an image without a digit."""
    return ImageError("the image is blank: no digit stands out from its background")


def ink_intensity(light: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the ink of each pixel, uint8 0…255, and the standard deviation of the grain.

    Ink is 0 at the page's light and 255 at black; on a dark page, 0 at the page's light and 255 at white. So a shadow
    that dims page and ink by the same factor changes neither ink nor grain.
    """
    page = fit_page_light(light)
    nearby = Image.fromarray(light.astype(np.uint8)).filter(ImageFilter.BoxBlur(max(light.shape) / 50))
    detail = light - np.asarray(nearby)
    # Is the ink lighter or darker than the page? A thin stroke stands out from its neighbourhood, a shadow's edge only
    # from the page. If thick strokes fill the image, half of it is ink, and only its edge is mostly page.
    edge = (light.mean() - np.median(border(light))) / max(light.std(), 1)
    if skewness(light - page) + 2 * skewness(detail) + edge > 0:
        light, page = 255 - light, 255 - page
    gain = 255 / np.maximum(page, MIN_PAGE_LIGHT)
    grain = 1.4826 * np.median(np.abs(detail * gain)[::2, ::2])  # the median ignores the few pixels of strokes
    return np.clip((page - light) * gain, 0, 255).astype(np.uint8), grain


def skewness(residual: np.ndarray) -> float:
    """Return the skewness, from -1 (all outliers are below 0) to 1 (all are above)."""
    cubes = residual**3
    return float(cubes.sum() / max(np.abs(cubes).sum(), 1))


def fit_page_light(light: np.ndarray) -> np.ndarray:
    """Return the light of the empty page at each pixel: the quadratic surface of least absolute deviations.

    The deviations are absolute, not squared, so that strokes, which are the fewer pixels, have no influence. The edge
    has the same weight as all other pixels together, because a digit may fill its image.
    """
    height, width = light.shape
    coarse = Image.fromarray(light).resize((min(width, 48), min(height, 48)), Image.Resampling.BOX)
    values = np.asarray(coarse)
    weights: np.ndarray = np.ones(values.shape, np.float32)
    inner = weights[1:-1, 1:-1]
    inner[:] = (weights.size - inner.size) / max(inner.size, 1)
    surface = quadratic_terms(*values.shape)
    values, weights = values.ravel(), weights.ravel()
    fitted = np.full(values.shape, np.median(values))
    for _ in range(12):  # reweighted least squares, which converge to least absolute deviations
        moments = surface.T * (weights / np.maximum(np.abs(values - fitted), 1))
        fitted = surface @ np.linalg.lstsq(moments @ surface, moments @ values, rcond=1e-6)[0]
    page = Image.fromarray(fitted.reshape(coarse.height, coarse.width).astype(np.float32))
    return np.asarray(page.resize((width, height), Image.Resampling.BILINEAR))


def quadratic_terms(height: int, width: int) -> np.ndarray:
    """Return 1, x, y, x², xy, y² at each pixel, float32 [height × width, 6]; x and y from -1 to 1."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6).astype(np.float32)


def isolate_strokes(ink: np.ndarray, grain: float) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Return the strokes alone, float32 0…1, and their box (left, top, right, bottom); ImageError if there are none."""
    smooth = np.asarray(Image.fromarray(ink).filter(ImageFilter.BoxBlur(1)))
    darkest = smooth.max()
    if darkest < max(MIN_INK, 3 * grain):
        raise blank_error()
    mask, near = select_strokes(smooth >= max(STROKE_SHARE * darkest, 1.5 * grain))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    full = max(np.percentile(ink[mask], 90), 1)  # pencil is grey, MNIST's ink is white
    return np.where(near, np.clip(ink / full, 0, 1), 0), (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def select_strokes(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two masks: the parts of an ink mask that are large enough for strokes, and these with soft edges."""
    height, width = mask.shape
    cells = np.pad(mask, ((0, -height % CELL), (0, -width % CELL)))
    cells = cells.reshape(cells.shape[0] // CELL, CELL, -1, CELL).sum(axis=(1, 3))
    labels = label_parts(cells > 0)
    areas = np.bincount(labels.ravel(), cells.ravel())
    large = areas >= MIN_PART_SHARE * areas[1:].max()
    kept = large[labels]
    near = join_neighbours(kept, np.logical_or)
    kept, near = (each.repeat(CELL, 0).repeat(CELL, 1)[:height, :width] for each in (kept, near))
    return mask & kept, near


def label_parts(mask: np.ndarray) -> np.ndarray:
    """Number the connected parts of a mask (8 neighbours): int [height, width], 0 outside."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        # Each pixel takes the highest label next to it, then the new label of the pixel with that number. So a few
        # rounds are enough, even in a maze.
        spread = np.where(mask, join_neighbours(labels, np.maximum), 0)
        spread = np.where(mask, spread.ravel()[spread - 1], 0)
        if (spread == labels).all():
            return labels
        labels = spread


def join_neighbours(grid: np.ndarray, join: np.ufunc) -> np.ndarray:
    """Return each pixel combined with its eight neighbours by `join`."""
    grid = np.pad(grid, 1)
    grid = join(join(grid[:-2], grid[1:-1]), grid[2:])
    joined: np.ndarray = join(join(grid[:, :-2], grid[:, 1:-1]), grid[:, 2:])
    return joined


def scale_to_box(ink: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Scale the content of the box, anti-aliased, to 20 pixels on its longer side: float32 [≤ 20, ≤ 20]."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = BOX / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.BILINEAR, box))


def center_by_mass(ink: np.ndarray) -> np.ndarray:
    """Put ink of any scale into the field, with its center of mass at the nearest pixel to 14: uint8 [28, 28]."""
    places = []
    for side, profile in zip(ink.shape, (ink.sum(axis=1), ink.sum(axis=0)), strict=True):
        mass = (profile * np.arange(side)).sum() / profile.sum()
        places.append(round(min(max(CENTER - mass, 0), FIELD - side)))  # nothing is cut off
    field = np.zeros((FIELD, FIELD), np.uint8)
    field[places[0] : places[0] + ink.shape[0], places[1] : places[1] + ink.shape[1]] = np.rint(255 * ink / ink.max())
    return field
