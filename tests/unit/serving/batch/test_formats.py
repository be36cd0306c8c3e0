"""Each form of input is read from any image on, and a wrong one is an error that says what is allowed."""

import numpy as np
import pytest

from serving.batch.formats import open_source
from serving.batch.source import SourceError
from tests.helpers.batch_inputs import FORMS, as_folder, as_idx, as_npy, as_parquet, many


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


def test_a_folder_in_which_a_file_changed_is_another_input(tmp_path):
    folder = as_folder(tmp_path / "in", many(3))
    before = open_source(folder).identity
    assert open_source(folder).identity == before
    (folder / "0000.png").write_bytes(b"")
    assert open_source(folder).identity != before


WRONG = {
    "nothing there": (lambda folder: folder / "nowhere", "doesn't exist"),
    "an empty folder": (lambda folder: as_folder(folder / "in", many(0)), "no image"),
    "text": (lambda folder: (folder / "a.npy", (folder / "a.npy").write_text("hello"))[0], "can't be scored"),
    "no images": (lambda folder: as_npy(folder / "a.npy", many(0)), "no image"),
    "another shape": (lambda folder: as_npy(folder / "a.npy", np.zeros((5, 32, 32))), r"expected .* \[n, 28, 28\]"),
    "objects": (lambda folder: as_npy(folder / "a.npy", np.array([{}, {}])), "can't be read"),
    "too few columns": (lambda folder: as_parquet(folder / "a.parquet", {"a": [1], "b": [2]}), "784"),
    "another IDX": (lambda folder: as_idx(folder / "a.gz", many(0).astype(np.float32)), "no image"),
    "a short IDX": (lambda folder: (folder / "a", (folder / "a").write_bytes(b"\0\0\x08\x03"))[0], "no IDX file"),
}

WRONG_ROWS = {
    "short rows": ({"a": [[1, 2, 3]]}, "hasn't 784 numbers"),
    "short bytes": ({"a": [b"123"]}, "hasn't 784 bytes"),
    "null": ({"a": [bytes(784), None]}, "null"),
    "words": ({"a": [["x"] * 784]}, "else than numbers"),
    "a null in a row": ({"a": [[None] * 784]}, "else than numbers"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_input_is_an_error_that_says_why(make, message, tmp_path):
    path = make(tmp_path)
    with pytest.raises(SourceError, match=message):
        open_source(path)


@pytest.mark.parametrize(("columns", "message"), WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_a_wrong_row_is_an_error_that_says_why(columns, message, tmp_path):
    source = open_source(as_parquet(tmp_path / "a.parquet", columns))
    with pytest.raises(SourceError, match=message):
        list(source.chunks(0))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_file_that_was_cut_short_is_an_error(form, tmp_path):
    file = form(tmp_path, many(2345))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(SourceError, match=r"can't be read|cut short"):
        list(open_source(file).chunks(0))


@pytest.mark.parametrize("shape", [(27, 28), (28, 27)])
def test_an_idx_file_of_images_of_another_size_is_refused(shape, tmp_path):
    header = np.array([0x803, 1, *shape], ">u4").tobytes()
    (tmp_path / "images").write_bytes(header + bytes(shape[0] * shape[1]))
    with pytest.raises(SourceError, match="is no IDX file of unsigned bytes"):
        open_source(tmp_path / "images")
