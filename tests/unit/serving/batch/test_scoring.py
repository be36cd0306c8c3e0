"""Each image gets its answer, in each form of input."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from serving.batch.__main__ import run
from serving.batch.scoring import BatchError, score
from serving.batch.source import SourceError
from tests.helpers.batch_inputs import FORMS, as_folder, as_npy, as_parquet, many, open_source
from tests.helpers.batch_stub import Stub
from tests.helpers.project import SOURCE


def scored(source: Path, output: Path) -> pd.DataFrame:
    score(open_source(source), Stub(), output, shard_images=1000)
    return pd.read_parquet(output)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_form_gives_each_image_its_answer(form, tmp_path):
    table = scored(form(tmp_path, many(2345)), tmp_path / "out.parquet")
    assert list(table.columns) == ["row", "label", "confidence"]
    assert table["row"].tolist() == list(range(2345))
    assert table["label"].tolist() == [f"class {number % 250 % 10}" for number in range(2345)]
    assert (table["confidence"] == 0.75).all()
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out.parquet"]


def test_a_folders_images_come_in_the_order_of_their_paths(tmp_path):
    table = scored(as_folder(tmp_path / "in", many(30)), tmp_path / "out.parquet")
    assert table["path"].tolist() == [f"{n:04}.png" for n in range(0, 30, 2)] + [
        f"below/{n:04}.png" for n in range(1, 30, 2)
    ]
    assert table["label"].tolist() == [f"class {int(Path(path).stem) % 10}" for path in table["path"]]
    assert table["error"].isna().all()


def test_a_broken_image_has_no_answer_but_a_reason_and_the_others_are_scored(tmp_path):
    folder = as_folder(tmp_path / "in", many(6))
    (folder / "0002.png").write_bytes(b"not an image")
    (folder / "0004.png").unlink()
    (folder / "0004.png").symlink_to("nowhere")
    Image.new("L", (50, 50), 255).save(folder / "0000.png")
    assert score(open_source(folder), Stub(), tmp_path / "out.parquet") == 3
    table = pd.read_parquet(tmp_path / "out.parquet").set_index("path")
    assert table["label"].isna().tolist() == [True, True, True, False, False, False]
    assert table["confidence"].isna().tolist() == table["label"].isna().tolist()
    assert "blank" in table["error"]["0000.png"]
    assert "PNG, JPEG, WebP, BMP, GIF or TIFF is expected" in table["error"]["0002.png"]
    assert "can't be read" in table["error"]["0004.png"]


def test_a_file_that_has_fewer_images_than_it_says_gives_no_answers(tmp_path):
    source = open_source(as_npy(tmp_path / "in.npy", many(30)))
    source.count += 1  # as a damaged footer of Parquet may
    source.chunks = lambda start: iter([(np.zeros((30, 28, 28), np.float32), [None] * 30)])
    with pytest.raises(SourceError, match=r"has fewer than the 31 images that it names, so it is damaged"):
        score(source, Stub(), tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_huge_file_in_a_folder_is_not_read(tmp_path):
    folder = as_folder(tmp_path / "in", many(3))
    with (folder / "0000.png").open("ab") as file:
        file.truncate(100_000_001)
    assert score(open_source(folder), Stub(), tmp_path / "out.parquet") == 1
    assert "at most 100 MB" in pd.read_parquet(tmp_path / "out.parquet")["error"][0]


def test_a_name_that_is_no_utf_8_gets_question_marks(tmp_path):
    folder = as_folder(tmp_path / "in", many(1))
    try:
        (folder / "0000.png").rename(folder / "\udcff.png")
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    assert scored(folder, tmp_path / "out.parquet")["path"].tolist() == ["?.png"]


def test_blank_faint_and_unreadable_images_are_answered_by_a_saved_model(model_folder, tmp_path, capsys):
    images = np.zeros((2001, 28, 28), np.uint8)
    images[1000, 0, 3] = 255
    images[2000, 0, 0] = 1  # it is in a separate chunk
    array = as_npy(tmp_path / "a.npy", images)
    assert run(array, tmp_path / "array.parquet", str(model_folder)) == 0
    assert pd.read_parquet(tmp_path / "array.parquet")["label"][1000] == "3"
    assert capsys.readouterr().out == f"{tmp_path}/array.parquet: 2,001 images, answered by bright_pixel\n"

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").touch()
    (tmp_path / "in" / "b.svg").touch()
    assert run(tmp_path / "in", tmp_path / "folder.parquet", str(model_folder)) == 1
    assert pd.read_parquet(tmp_path / "folder.parquet")["label"].isna().all()
    assert capsys.readouterr().err == (
        "passed over: 1 file that isn't .png, .jpg, .jpeg, .webp, .bmp, .gif, .tif or .tiff: 1 .svg\n"
        "1 of 1 image couldn't be read: the column error says why\n"
    )


def test_a_wrong_input_leaves_no_output(tmp_path):
    file = as_parquet(tmp_path / "a.parquet", {"a": [b"123"]})
    with pytest.raises(SourceError, match="784"):
        scored(file, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("value", [256, -1, np.nan, np.inf])
def test_a_pixel_that_cant_be_is_reported_with_its_rows(value, tmp_path):
    images = many(2500).astype(np.float32)
    images[1234, 5, 5] = value
    with pytest.raises(BatchError, match="rows 1000 to 1999"):
        scored(as_npy(tmp_path / "a.npy", images), tmp_path / "out.parquet")


def test_an_output_that_cant_be_written_is_reported_before_anything_is_read(tmp_path):
    for output in (tmp_path, tmp_path / "nowhere" / "out.parquet"):
        with pytest.raises(BatchError, match="name a file in a folder that exists"):
            run(tmp_path / "no input", output, "no model")


def test_an_output_of_another_name_than_parquets_is_refused(tmp_path):
    for name in ("mine.csv", "mine"):
        with pytest.raises(
            BatchError, match=rf"{name} would be a Parquet file without its ending: .* ends in \.parquet"
        ):
            run(tmp_path / "no input", tmp_path / name, "no model")


def test_the_input_is_not_overwritten(tmp_path):
    file = as_parquet(tmp_path / "a.parquet", {"pixels": [bytes([2] * 784)]})
    (tmp_path / "link.parquet").symlink_to(file)
    for output in (file, tmp_path / "link.parquet"):
        with pytest.raises(BatchError, match="is the input: name another file for the answers"):
            run(file, output, "no model")


def test_a_model_that_cant_be_loaded_is_reported(tmp_path):
    source = as_npy(tmp_path / "a.npy", many(3))
    with pytest.raises(BatchError, match=r"name a model's folder.*; name another model with --model"):
        run(source, tmp_path / "out.parquet", str(tmp_path / "no model"))


def test_a_saved_model_scores_as_it_answers(model_folder, tmp_path):
    images = np.zeros((30, 28, 28), np.uint8)
    images[np.arange(30), 0, np.arange(30) % 10] = 255
    assert run(as_npy(tmp_path / "a.npy", images), tmp_path / "out.parquet", str(model_folder)) == 0
    assert pd.read_parquet(tmp_path / "out.parquet")["label"].tolist() == [str(n % 10) for n in range(30)]


def test_help_loads_neither_mlflow_nor_the_app():
    script = "import sys, serving.batch.__main__; print({'mlflow', 'pyarrow', 'serving.app'} & set(sys.modules))"
    done = subprocess.run((sys.executable, "-c", script), cwd=SOURCE, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
