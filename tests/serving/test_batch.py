"""The batch tool: each form of input, faults in it, and a run that is killed and goes on."""

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from filelock import FileLock
from PIL import Image
from pyarrow import parquet

from serving.batch import __main__ as batch
from serving.batch.sources import Folder, Rows, SourceError, open_source
from tests.helpers.batch_stub import Stub
from tests.helpers.project import SOURCE


def many(count: int) -> np.ndarray:
    """Images of which the first pixel is the number, to 250."""
    pixels = np.zeros((count, 28, 28), np.uint8)
    pixels[:, 0, 0] = np.arange(count) % 250
    return pixels


def as_folder(folder: Path, images: np.ndarray) -> Path:
    (folder / "below").mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / ("below" if number % 2 else ".") / f"{number:04}.png")
    return folder


def as_idx(file: Path, images: np.ndarray) -> Path:
    content = np.array([0x803, len(images), 28, 28], ">u4").tobytes() + images.tobytes()
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    return file


def as_npy(file: Path, images: np.ndarray) -> Path:
    np.save(file, images)
    return file


def as_parquet(file: Path, columns: dict) -> Path:
    parquet.write_table(pa.table(columns), file, row_group_size=700)
    return file


def scored(source: Path, output: Path, model: Stub | None = None) -> pd.DataFrame:
    batch.score(open_source(source), model or Stub(), output)
    return pd.read_parquet(output)


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of 1,000 images, so that a small input has several."""
    monkeypatch.setattr(Rows, "part", 1000)


FORMS = {
    "npy": lambda folder, images: as_npy(folder / "a.npy", images),
    "npy, flat": lambda folder, images: as_npy(folder / "a.npy", images.reshape(-1, 784)),
    "npy, float": lambda folder, images: as_npy(folder / "a.npy", images.astype(np.float64)),
    "npy, Fortran's order": lambda folder, images: as_npy(folder / "a.npy", np.asfortranarray(images)),
    "idx": lambda folder, images: as_idx(folder / "images-idx3-ubyte", images),
    "idx, zipped": lambda folder, images: as_idx(folder / "images-idx3-ubyte.gz", images),
    "parquet, bytes": lambda folder, images: as_parquet(
        folder / "a.parquet", {"label": np.zeros(len(images)), "pixels": [image.tobytes() for image in images]}
    ),
    "parquet, lists": lambda folder, images: as_parquet(
        folder / "a.parquet", {"pixels": list(images.reshape(-1, 784)), "name": ["?"] * len(images)}
    ),
    "parquet, columns": lambda folder, images: as_parquet(
        folder / "a.parquet",
        {"label": np.zeros(len(images), int)} | {f"p{i}": images.reshape(-1, 784)[:, i] for i in range(784)},
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_form_gives_each_image_its_answer(form, tmp_path, small_parts):
    table = scored(form(tmp_path, many(2345)), tmp_path / "out.parquet")
    assert list(table.columns) == ["row", "digit", "confidence"]
    assert table["row"].tolist() == list(range(2345))
    assert table["digit"].tolist() == [number % 250 % 10 for number in range(2345)]
    assert (table["confidence"] == 0.75).all()
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out.parquet"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_form_is_read_from_any_image_on(form, tmp_path):
    source = open_source(form(tmp_path, many(2345)))
    pixels, _ = next(source.chunks(1700))
    assert pixels[:5, 0, 0].tolist() == [number % 250 for number in range(1700, 1705)]


def test_a_folders_images_come_in_the_order_of_their_paths(tmp_path):
    images = many(30)
    images[:, 14, 14] = 255
    table = scored(as_folder(tmp_path / "in", images), tmp_path / "out.parquet")
    assert table["path"].tolist() == [f"{n:04}.png" for n in range(0, 30, 2)] + [
        f"below/{n:04}.png" for n in range(1, 30, 2)
    ]
    assert table["digit"].tolist() == [int(Path(path).stem) % 10 for path in table["path"]]
    assert table["error"].isna().all()


def test_a_broken_image_has_no_answer_but_a_reason_and_the_others_are_scored(tmp_path):
    folder = as_folder(tmp_path / "in", many(6) + np.uint8(1))
    (folder / "0002.png").write_bytes(b"not an image")
    (folder / "0004.png").unlink()
    (folder / "0004.png").symlink_to("nowhere")
    Image.new("L", (50, 50), 255).save(folder / "0000.png")
    assert batch.score(open_source(folder), Stub(), tmp_path / "out.parquet") == 3
    table = pd.read_parquet(tmp_path / "out.parquet").set_index("path")
    assert table["digit"].isna().tolist() == [True, True, True, False, False, False]
    assert table["confidence"].isna().tolist() == table["digit"].isna().tolist()
    assert "blank" in table["error"]["0000.png"]
    assert "PNG or JPEG is expected" in table["error"]["0002.png"]
    assert "can't be read" in table["error"]["0004.png"]


def in_a_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What batch_stub.py does as a program."""
    script = SOURCE / "tests/helpers/batch_stub.py"
    return subprocess.run(
        (sys.executable, script, *arguments),
        env=os.environ | {"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def killed(source: Path, output: Path) -> None:
    """Score the source in a process that is killed after two of its parts."""
    done = in_a_process("stopped", "SIGKILL", source, output)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not output.exists()


@pytest.mark.parametrize("form", ["npy", "idx, zipped", "parquet, bytes"])
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(form, tmp_path, small_parts, capsys):
    source = FORMS[form](tmp_path, many(4500))
    scored(source, tmp_path / "whole.parquet")
    output = tmp_path / "out.parquet"
    killed(source, output)
    model = Stub()
    scored(source, output, model)
    assert model.asked == 2500  # what was finished isn't asked again
    assert "going on: 2,000 of 4,500" in capsys.readouterr().err
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not (tmp_path / "out.parquet.part").exists()


def test_a_killed_run_over_a_folder_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(Folder, "part", 1000)
    source = as_folder(tmp_path / "in", many(2100) + np.uint8(1))
    (source / "0000.png").write_bytes(b"")
    scored(source, tmp_path / "whole.parquet")
    killed(source, tmp_path / "out.parquet")
    model = Stub()
    scored(source, tmp_path / "out.parquet", model)
    assert model.asked == 100
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_says_how_to_go_on(name, tmp_path, small_parts):
    source, output = as_npy(tmp_path / "a.npy", many(4500)), tmp_path / "out.parquet"
    done = in_a_process("stopped", name, source, output)
    assert done.returncode == 130
    assert done.stderr == "interrupted: what is scored so far is kept, and the same command goes on from there\n"
    model = Stub()
    assert len(scored(source, output, model)) == 4500
    assert model.asked == 2500


def test_another_input_or_model_starts_anew_and_says_so(tmp_path, small_parts, capsys):
    source, output = as_npy(tmp_path / "a.npy", many(3000)), tmp_path / "out.parquet"
    killed(source, output)
    model = Stub("another network")
    scored(source, output, model)
    assert model.asked == 3000
    assert "starting anew" in capsys.readouterr().err

    output.unlink()
    killed(source, output)
    as_npy(source, many(3000) + np.uint8(1))
    model = Stub()
    table = scored(source, output, model)
    assert model.asked == 3000
    assert table["digit"][0] == 1
    assert "starting anew" in capsys.readouterr().err


def test_a_part_that_was_cut_short_is_scored_again(tmp_path, small_parts):
    source, output = as_npy(tmp_path / "a.npy", many(4500)), tmp_path / "out.parquet"
    scored(source, tmp_path / "whole.parquet")
    killed(source, output)
    part = tmp_path / "out.parquet.part" / "00000001.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    model = Stub()
    scored(source, output, model)
    assert model.asked == 3500
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_two_runs_into_one_output_are_refused(tmp_path):
    (tmp_path / "out.parquet.part").mkdir()
    with (
        FileLock(tmp_path / "out.parquet.part" / "lock"),
        pytest.raises(batch.BatchError, match="another process"),
    ):
        scored(as_npy(tmp_path / "a.npy", many(10)), tmp_path / "out.parquet")


def test_memory_does_not_grow_with_the_input(tmp_path):
    peaks = []
    for count in (100_000, 400_000):
        done = in_a_process("memory", tmp_path / f"{count}.npy", str(count))
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1024)
    # The longer one has 224 MiB more of pixels, and 5 MiB more of answers.
    assert peaks[1] - peaks[0] < 24


WRONG = {
    "nothing there": (lambda folder: folder / "nowhere", "doesn't exist"),
    "an empty folder": (lambda folder: as_folder(folder / "in", many(0)), "no image"),
    "text": (lambda folder: (folder / "a.npy", (folder / "a.npy").write_text("hello"))[0], "can't be scored"),
    "no images": (lambda folder: as_npy(folder / "a.npy", many(0)), "no image"),
    "another shape": (lambda folder: as_npy(folder / "a.npy", np.zeros((5, 32, 32))), r"expected .* \[n, 28, 28\]"),
    "objects": (lambda folder: as_npy(folder / "a.npy", np.array([{}, {}])), "can't be read"),
    "too few columns": (lambda folder: as_parquet(folder / "a.parquet", {"a": [1], "b": [2]}), "784"),
    "short rows": (lambda folder: as_parquet(folder / "a.parquet", {"a": [[1, 2, 3]]}), "hasn't 784 numbers"),
    "short bytes": (lambda folder: as_parquet(folder / "a.parquet", {"a": [b"123"]}), "hasn't 784 bytes"),
    "null": (lambda folder: as_parquet(folder / "a.parquet", {"a": [bytes(784), None]}), "null"),
    "words": (lambda folder: as_parquet(folder / "a.parquet", {"a": [["x"] * 784]}), "else than numbers"),
    "another IDX": (lambda folder: as_idx(folder / "a.gz", many(0).astype(np.float32)), "no image"),
}


@pytest.mark.parametrize(("make", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_input_is_told(make, told, tmp_path):
    with pytest.raises(SourceError, match=told):
        scored(make(tmp_path), tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_file_that_was_cut_short_is_told(form, tmp_path):
    file = form(tmp_path, many(2345))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(SourceError, match=r"can't be read|cut short"):
        scored(file, tmp_path / "out.parquet")


@pytest.mark.parametrize("value", [256, -1, np.nan, np.inf])
def test_a_pixel_that_cant_be_is_told_with_its_rows(value, tmp_path):
    images = many(2500).astype(np.float32)
    images[1234, 5, 5] = value
    with pytest.raises(batch.BatchError, match="rows 1000 to 1999"):
        scored(as_npy(tmp_path / "a.npy", images), tmp_path / "out.parquet")


@pytest.fixture(scope="module")
def reported(project) -> tuple[np.ndarray, list[int]]:
    """The shrunken pipeline's test images, and its champion's answers to them as reported."""
    images = np.load(project.folder / "data/prepared/test/images.npy")[..., 0]
    champion = mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db").get_model_version_by_alias(
        "digits", "champion"
    )
    answers = pd.read_csv(project.folder / "reports" / champion.tags["model"] / "predictions.csv")
    return np.rint(images * 255).astype(np.uint8), answers.query("split == 'test'")["digit"].tolist()


def command(*arguments: str | Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "serving.batch", *map(str, arguments), "--model", "models:/digits@champion")


def test_the_champion_answers_a_folder_and_an_array_as_the_report_says(project, reported, tmp_path):
    images, expected = reported
    (tmp_path / "in").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "in" / f"{number:05}.png")
    project.run(*command(tmp_path / "in", tmp_path / "folder.parquet"))
    project.run(*command(as_npy(tmp_path / "a.npy", images), tmp_path / "array.parquet"))
    for output in ("folder", "array"):
        assert pd.read_parquet(tmp_path / f"{output}.parquet")["digit"].tolist() == expected


def test_a_folder_with_broken_images_ends_with_3_and_a_fault_with_1(project, tmp_path):
    folder = as_folder(tmp_path / "in", many(3) + np.uint8(1))
    (folder / "0000.png").write_bytes(b"")
    done = project.run(*command(folder, tmp_path / "out.parquet"), check=False)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == "1 images couldn't be read: the column error says why"
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 3

    for arguments, told in {
        (tmp_path / "nowhere", tmp_path / "out.parquet"): "doesn't exist",
        (folder, tmp_path / "no" / "out.parquet"): "name a file in a folder that exists",
    }.items():
        done = project.run(*command(*arguments), check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = project.run(*command(folder, tmp_path / "out.parquet")[:-1], "models:/digits@nobody", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "models:/digits@nobody" in done.stderr
