"""Each form of input can be read from any image on; a wrong form is an error that says what is allowed."""

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from serving.batch.parquet import find_pixel_columns
from serving.batch.source import SourceError
from serving.images import Form
from tests.helpers.batch_inputs import FORMS, as_folder, as_idx, as_npy, as_parquet, many, open_source
from tests.helpers.pictures import encode


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("start", [0, 699, 700, 1700])
def test_each_form_is_read_from_any_image_on(form, start, tmp_path):
    source = open_source(form(tmp_path, many(2345)))
    assert source.count == 2345
    chunks = list(source.chunks(start))
    assert [len(pixels) for pixels, _ in chunks[:-1]] == [1000] * (len(chunks) - 1)
    found = np.concatenate([pixels for pixels, _ in chunks])
    assert found.shape[1:] == (28, 28)
    assert found[:, 0, 0].tolist() == [number % 250 for number in range(start, 2345)]
    assert [fault for _, faults in chunks for fault in faults] == [None] * len(found)


def test_a_file_that_changed_is_another_input(tmp_path):
    file = as_npy(tmp_path / "a.npy", many(5))
    before = open_source(file).identity
    assert open_source(file).identity == before
    as_npy(file, many(6))
    assert open_source(file).identity != before


def test_a_file_of_the_same_size_and_time_is_another_input(tmp_path):
    file, other = as_npy(tmp_path / "a.npy", many(5)), as_npy(tmp_path / "b.npy", many(5) + np.uint8(1))
    before = open_source(file).identity
    os.utime(other, ns=(0, file.stat().st_mtime_ns))
    other.replace(file)
    assert open_source(file).identity != before


WRONG = {
    "nothing there": (lambda folder: folder / "nowhere", "doesn't exist"),
    "a pipe": (lambda folder: (os.mkfifo(folder / "a.npy"), folder / "a.npy")[1], "is a pipe"),
    "an empty folder": (lambda folder: as_folder(folder / "in", many(0)), "no image"),
    "text": (lambda folder: (folder / "a.npy", (folder / "a.npy").write_text("hello"))[0], "can't be scored"),
    "no images": (lambda folder: as_npy(folder / "a.npy", many(0)), "no image"),
    "no images in an IDX": (lambda folder: as_idx(folder / "a.gz", many(0)), "no image"),
    "another shape": (lambda folder: as_npy(folder / "a.npy", np.zeros((5, 32, 32))), r"expected .* \[n, 28, 28\]"),
    "objects": (lambda folder: as_npy(folder / "a.npy", np.array([{}, {}])), "can't be read"),
    "two arrays in one": (lambda folder: longer(as_npy(folder / "a.npy", many(9))), "holds more than one array"),
    "another IDX": (lambda folder: as_idx(folder / "a.gz", many(0).astype(np.float32)), "no image"),
    "a short IDX": (lambda folder: (folder / "a", (folder / "a").write_bytes(b"\0\0\x08\x03"))[0], "no IDX file"),
    "half a header": (lambda folder: cut(as_idx(folder / "a", many(9)), 8), "is no IDX file of unsigned bytes"),
    "a longer IDX": (lambda folder: longer(as_idx(folder / "a", many(9))), "announces 9 images.*but it has 14,144"),
    "a longer IDX, zipped": (
        lambda folder: as_idx(folder / "a.gz", many(9), announced=8), "header announces 8 images, but more follow"
    ),
    "too few columns": (lambda folder: as_parquet(folder / "a.parquet", {"a": [1], "b": [2]}), "784"),
    "words": (lambda folder: as_parquet(folder / "a.parquet", {"a": [["x"] * 784]}), "0 columns of lists"),
    "a name twice": (
        lambda folder: as_parquet(folder / "a.parquet", pa.table([[b"1" * 784], [1]], names=["pixels"] * 2)),
        "has 2 columns named pixels: rename or remove those",
    ),
    "a pixel's name twice": (
        lambda folder: as_parquet(folder / "a.parquet", pa.table([[20]] * 784 + [["?"]], [*map(str, range(784)), "9"])),
        "has 2 columns named 9:",
    ),
    "short rows": (lambda folder: as_parquet(folder / "a.parquet", {"a": [[1, 2, 3]]}), "doesn't have 784 numbers"),
    "short bytes": (
        lambda folder: as_parquet(folder / "a.parquet", {"a": [b"123"]}), "row 0 .* doesn't have 784 bytes"
    ),
    "a null in a row": (
        lambda folder: as_parquet(folder / "a.parquet", {"a": [[20] * 784, [20] * 783 + [None]]}), "row 1 .* has a null"
    ),
    "null in a column": (
        lambda folder: as_parquet(folder / "a.parquet", {f"p{i}": [20, None] for i in range(784)}), "row 1 .* is null"
    ),
}  # fmt: skip


def longer(file: Path) -> Path:
    """Append the file's content to the file itself."""
    file.write_bytes(file.read_bytes() * 2)
    return file


def cut(file: Path, size: int) -> Path:
    file.write_bytes(file.read_bytes()[:size])
    return file


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_input_is_an_error_that_says_why(make, message, tmp_path):
    path = make(tmp_path)
    with pytest.raises(SourceError, match=message):
        open_source(path)


@pytest.mark.parametrize("row", [30, 699, 700, 1534])
def test_a_null_is_an_error_with_its_row(row, tmp_path):
    pixels = [image.tobytes() for image in many(2000)]
    pixels[row] = None
    with pytest.raises(SourceError, match=f"row {row} of the input is null"):
        list(open_source(as_parquet(tmp_path / "a.parquet", {"pixels": pixels})).chunks(0))


SCALED = {
    "npy, float32": (lambda folder, images: as_npy(folder / "a.npy", images.astype(np.float32) / 256), "0.972656"),
    "npy, brightened": (lambda folder, images: as_npy(folder / "a.npy", images * 1.25 / 250), "1.245"),
    "npy, 0 to 16": (lambda folder, images: as_npy(folder / "a.npy", images // 15), "16"),
    "npy, zeros and ones": (lambda folder, images: as_npy(folder / "a.npy", np.minimum(images, 1)), "1"),
    "npy, blank": (lambda folder, images: as_npy(folder / "a.npy", 0 * images), "0"),
    "idx, zipped": (lambda folder, images: as_idx(folder / "a.gz", np.minimum(images, 1)), "1"),
    "parquet, float16": (
        lambda folder, images: as_parquet(
            folder / "a.parquet", {"pixels": list((images / 256).astype(np.float16).reshape(-1, 784))}
        ),
        "0.972656",
    ),
}


@pytest.mark.parametrize(("make", "largest"), SCALED.values(), ids=SCALED)
def test_pixels_on_another_scale_are_refused(make, largest, tmp_path):
    with pytest.raises(SourceError, match=rf"no pixel of .* exceeds {re.escape(largest)}: .* by 255"):
        open_source(make(tmp_path, many(1500)))


@pytest.mark.parametrize("bright", [0, 2400])
def test_blank_images_among_others_are_images(bright, tmp_path):
    images = np.zeros((2500, 28, 28), np.uint8)
    images[bright] = 255
    source = open_source(as_npy(tmp_path / "a.npy", images))
    assert [len(pixels) for pixels, _ in source.chunks(0)] == [1000, 1000, 500]


@pytest.mark.parametrize("form", ["npy, float", "npy, flat", "parquet, bytes"])
def test_images_that_look_dark_on_light_are_noted(form, tmp_path):
    assert open_source(FORMS[form](tmp_path, many(50))).note == ""
    assert "the edges of its images are light" in open_source(FORMS[form](tmp_path, 255 - many(50))).note


def pixel_columns(names: list[str], **others: list[int]) -> dict[str, list[int]]:
    """Columns with these names for two images: pixel i is i, or i + 1 in the second, modulo 251; then other columns."""
    return {name: [i % 251, (i + 1) % 251] for i, name in enumerate(names)} | others


ROW_AND_COLUMN = [f"{row}x{column}" for row in range(1, 29) for column in range(1, 29)]
BY_NUMBER = {
    "from 0": [f"pixel{i}" for i in range(784)],
    "from 1": [f"pixel{i}" for i in range(1, 785)],
    "numbers alone": [str(i) for i in range(784)],
    "of a fixed width, with another number": [f"mnist784_{i:03}" for i in range(784)],
}


@pytest.mark.parametrize("names", BY_NUMBER.values(), ids=BY_NUMBER)
@pytest.mark.parametrize("order", [sorted, reversed, list])
def test_pixel_columns_are_put_in_the_order_of_their_numbers(names, order, tmp_path):
    columns = pixel_columns(names, label=[1, 2], id=[300, 400], __index_level_0__=[5, 6])
    file = as_parquet(tmp_path / "a.parquet", {name: columns[name] for name in order(columns)})
    (pixels, _), *_ = open_source(file).chunks(0)
    assert pixels[1].ravel().tolist() == [(i + 1) % 251 for i in range(784)]


def test_columns_of_rows_and_columns_are_taken_as_they_come(tmp_path):
    file = as_parquet(tmp_path / "a.parquet", pixel_columns(ROW_AND_COLUMN, label=[1, 2]))
    (pixels, _), *_ = open_source(file).chunks(0)
    assert pixels[1].ravel().tolist() == [(i + 1) % 251 for i in range(784)]


UNKNOWN_ORDER = {
    "sorted rows and columns": sorted(ROW_AND_COLUMN),
    "columns before rows": [f"{row}x{column}" for column in range(28) for row in range(28)],
    "no numbers": [chr(0x4E00 + i) for i in range(784)],
    "a gap": [f"pixel{i}" for i in range(783)] + ["pixel784"],
    "a number twice": [f"pixel{i}" for i in range(783)] + ["pixel01"],
    "an intruder": [f"pixel{i}" for i in range(783)] + ["id1"],
    "images twice": [f"{name}{i}" for name in "ab" for i in range(784)],
}


@pytest.mark.parametrize("names", UNKNOWN_ORDER.values(), ids=UNKNOWN_ORDER)
def test_columns_whose_order_cant_be_known_are_refused(names, tmp_path):
    with pytest.raises(SourceError, match="of numbers whose names differ in their number alone"):
        open_source(as_parquet(tmp_path / "a.parquet", pixel_columns(names)))


@pytest.mark.parametrize("name", ["x", "x1"])
def test_columns_of_one_name_are_refused(name):
    assert find_pixel_columns([name] * 784, (28, 28)) is None


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_file_that_was_cut_short_is_an_error(form, tmp_path):
    file = form(tmp_path, many(2345))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(SourceError, match=r"can't be read|cut short|but it has"):
        list(open_source(file).chunks(0))


def test_a_file_that_was_cut_short_is_an_error_with_its_row(tmp_path):
    file = as_idx(tmp_path / "a.gz", many(2345))
    with gzip.open(file) as whole:
        content = whole.read(16 + 2200 * 784)
    file.write_bytes(gzip.compress(content))
    with pytest.raises(SourceError, match="cut short after row 2000: its header announces 2,345 images"):
        list(open_source(file).chunks(0))
    with pytest.raises(SourceError, match="cut short after row 2100"):
        list(open_source(file).chunks(1100))


@pytest.mark.parametrize("shape", [(27, 28), (28, 27)])
def test_an_idx_file_of_images_of_another_size_is_refused(shape, tmp_path):
    header = np.array([0x803, 1, *shape], ">u4").tobytes()
    (tmp_path / "images").write_bytes(header + bytes(shape[0] * shape[1]))
    with pytest.raises(SourceError, match="is no IDX file of unsigned bytes"):
        open_source(tmp_path / "images")


COLOUR = Form(3, 4, 3, "pad")


def colours(count: int) -> np.ndarray:
    """Colour pictures in which all values differ, also from those of the next picture."""
    return (np.arange(count * 36).reshape(count, 3, 4, 3) % 251).astype(np.uint8)


IN_COLOUR = {
    "npy": lambda folder, images: as_npy(folder / "a.npy", images),
    "npy, flat": lambda folder, images: as_npy(folder / "a.npy", images.reshape(-1, 36).astype(np.float32)),
    "parquet, lists": lambda folder, images: as_parquet(
        folder / "a.parquet", {"pixels": list(images.reshape(-1, 36)), "label": np.zeros(len(images))}
    ),
    "parquet, bytes": lambda folder, images: as_parquet(
        folder / "a.parquet", {"pixels": [image.tobytes() for image in images]}
    ),
    "parquet, columns": lambda folder, images: as_parquet(
        folder / "a.parquet", {f"p{i}": images.reshape(-1, 36)[:, i] for i in sorted(range(36), key=str)}
    ),
    "parquet, row, column and colour": lambda folder, images: as_parquet(
        folder / "a.parquet",
        {f"p{y}_{x}_{c}": images[:, y, x, c] for y in range(3) for x in range(4) for c in range(3)},
    ),
    "parquet, files": lambda folder, images: as_parquet(
        folder / "a.parquet", {"image": as_files(images), "label": np.zeros(len(images), int)}
    ),
}


def as_files(images: np.ndarray) -> list[dict]:
    """Image files in a column, as Hugging Face publishes them."""
    return [{"bytes": encode(image), "path": f"{number}.png"} for number, image in enumerate(images)]


@pytest.mark.parametrize("make", IN_COLOUR.values(), ids=IN_COLOUR)
@pytest.mark.parametrize("start", [0, 77])
def test_colour_pictures_are_read_from_each_form_as_many_at_a_time_as_the_model_takes(make, start, tmp_path):
    images = colours(150)
    source = open_source(make(tmp_path, images), COLOUR, chunk_images=7)
    chunks = list(source.chunks(start))
    assert [len(faults) for _, faults in chunks] == [7] * ((150 - start) // 7) + [(150 - start) % 7] * bool(
        (150 - start) % 7
    )
    assert (np.concatenate([pixels for pixels, _ in chunks]) == images[start:]).all()


def test_grey_pictures_may_have_a_channel(tmp_path):
    source = open_source(as_npy(tmp_path / "a.npy", many(5)[..., np.newaxis]))
    assert [pixels.shape for pixels, _ in source.chunks(0)] == [(5, 28, 28)]


def test_a_row_whose_image_file_cant_be_read_says_why_and_the_others_are_read(tmp_path):
    files = as_files(colours(5))
    files[1], files[2]["bytes"], files[3]["bytes"] = None, None, b"GIF8 is no image"
    ((pixels, faults),) = open_source(as_parquet(tmp_path / "a.parquet", {"image": files}), COLOUR).chunks(0)
    assert faults[:1] + faults[4:] == [None, None]
    assert faults[1:3] == ["the row holds no bytes of an image"] * 2
    assert "not an image that can be read" in faults[3]
    assert (pixels[[0, 4]] == colours(5)[[0, 4]]).all()
    assert not pixels[1:4].any()


WRONG_IN_COLOUR = {
    "grey npy": (
        lambda folder: as_npy(folder / "a.npy", colours(5)[..., 0]),
        r"expected numbers 0…255, \[n, 3, 4, 3\] or \[n, 36\]",
    ),
    "IDX": (lambda folder: as_idx(folder / "a", many(5)), "the model takes colour, which IDX files don't hold"),
    "two columns of files": (
        lambda folder: as_parquet(folder / "a.parquet", {"a": as_files(colours(2)), "b": as_files(colours(2))}),
        r"has 2 columns of image files, .* expected one of structs \{bytes, path\}, one of lists of 36 numbers",
    ),
    "scaled to 0…1": (
        lambda folder: as_npy(folder / "a.npy", colours(5) / 255),
        r"exceeds 0\.\d+: expected numbers from 0 \(dark\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), WRONG_IN_COLOUR.values(), ids=WRONG_IN_COLOUR)
def test_what_holds_no_colour_pictures_of_the_models_size_is_an_error(make, message, tmp_path):
    path = make(tmp_path)
    with pytest.raises(SourceError, match=message):
        open_source(path, COLOUR)


def test_dark_pictures_are_pictures_and_light_ones_need_no_word(tmp_path):
    dark = np.full((3, 3, 4, 3), 9, np.uint8)
    for number, images in enumerate((dark, dark + np.uint8(240))):
        assert open_source(as_npy(tmp_path / f"{number}.npy", images), COLOUR).note == ""
