import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import preprocess
from pipeline.cli import UserError
from pipeline.data.digits import write_idx


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A raw data set of 600 + 100 random images, in a folder where preprocess can run; a function changes it."""
    random = np.random.default_rng(0)
    contents = {
        "train-images-idx3-ubyte": random.integers(0, 256, (600, 28, 28)).astype(np.uint8),
        "train-labels-idx1-ubyte": np.arange(600, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte": random.integers(0, 256, (100, 28, 28)).astype(np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(100, dtype=np.uint8) % 10,
    }
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text(
        Path("params.yaml").read_text().replace("validation_images: 5000", "validation_images: 60")
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preprocess, "CHUNK", 64)

    def write(**changes: np.ndarray | bytes) -> dict[str, np.ndarray]:
        changed = contents | {name.replace("_", "-"): value for name, value in changes.items()}
        for name, value in changed.items():
            path = Path("data/raw") / name
            path.write_bytes(value) if isinstance(value, bytes) else write_idx(path, value)
        return changed

    write()
    return write


def read(split: str, part: str) -> np.ndarray:
    return np.load(f"data/prepared/{split}/{part}.npy", mmap_mode="r")


def test_every_image_is_once_in_a_split_with_its_own_label(raw):
    contents = raw()
    preprocess.main()
    for name, splits in (("train", ("train", "val")), ("t10k", ("test",))):
        places = np.concatenate([read(split, "index") for split in splits])
        assert sorted(places) == list(range(len(contents[f"{name}-images-idx3-ubyte"])))
        for split in splits:
            pixels = contents[f"{name}-images-idx3-ubyte"][read(split, "index")]
            labels = contents[f"{name}-labels-idx1-ubyte"][read(split, "index")]
            np.testing.assert_array_equal(read(split, "images"), (pixels * np.float32(1 / 255))[..., None])
            np.testing.assert_array_equal(read(split, "labels"), np.eye(10)[labels])
            assert read(split, "images").dtype == read(split, "labels").dtype == np.float32


def test_the_split_is_stratified_and_follows_the_seed(raw):
    preprocess.main()
    first = np.array(read("val", "index"))
    assert read("val", "labels").sum(axis=0).tolist() == [6] * 10
    preprocess.main()
    assert (first == read("val", "index")).all()
    parameters = Path("params.yaml")
    parameters.write_text(parameters.read_text().replace("seed: 0", "seed: 1"))
    preprocess.main()
    assert (first != read("val", "index")).any()


def test_a_small_data_set_gives_a_sixth_at_most(raw):
    parameters = Path("params.yaml")
    parameters.write_text(parameters.read_text().replace("validation_images: 60", "validation_images: 5000"))
    preprocess.main()
    assert len(read("val", "index")) == 100


def test_dataset_json_describes_what_was_written(raw):
    train = raw()["train-images-idx3-ubyte"].copy()
    test = raw()["t10k-images-idx3-ubyte"]
    train[[5, 17, 300]] = test[[1, 2, 2]]
    raw(train_images_idx3_ubyte=train)
    preprocess.main()
    description = json.loads(Path("data/prepared/dataset.json").read_text())
    assert description["training_images_also_in_test"] == 3
    assert (description["name"], description["classes"], description["image_shape"]) == ("mnist", 10, [28, 28, 1])
    assert description["splits"]["test"]["per_class"] == [10] * 10
    assert description["splits"]["test"]["images"] == 100
    assert description["splits"]["test"]["mean"] == pytest.approx(test.mean() / 255, abs=1e-5)
    assert description["splits"]["test"]["deviation"] == pytest.approx(test.std() / 255, abs=1e-5)
    assert set(description["sources_sha256"]) == set(raw())


def test_packed_files_are_read_too(raw):
    preprocess.main()
    plain = np.array(read("val", "images"))
    for path in Path("data/raw").iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    preprocess.main()
    np.testing.assert_array_equal(plain, read("val", "images"))


def idx(magic: bytes, *sizes: int, content: bytes = b"") -> bytes:
    return magic + b"".join(size.to_bytes(4, "big") for size in sizes) + content


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train_images_idx3_ubyte": idx(b"\0\0\x09\x03", 600, 28, 28)}, "magic number 00000903, not 00000803"),
        ({"train_images_idx3_ubyte": b"<html>"}, "magic number"),
        ({"train_images_idx3_ubyte": b"\0\0"}, "magic number"),
        ({"train_images_idx3_ubyte": idx(b"\0\0\x08\x03", 600)}, "damaged"),
        ({"train_images_idx3_ubyte": idx(b"\0\0\x08\x03", 600, 32, 32)}, "32×32 pixels, not 28×28"),
        ({"train_images_idx3_ubyte": idx(b"\0\0\x08\x03", 600, 28, 28, content=b"x")}, "ends before"),
        ({"train_labels_idx1_ubyte": idx(b"\0\0\x08\x01", 600, content=bytes(601))}, "more follow"),
        ({"train_images_idx3_ubyte": np.full((599, 28, 28), 200, np.uint8)}, "differ in number"),
        ({"t10k_images_idx3_ubyte": np.full((101, 28, 28), 200, np.uint8)}, "differ in number"),
        ({"t10k_images_idx3_ubyte": np.ones((100, 28, 28), np.uint8)}, "brightest pixel is 1"),
        ({"t10k_labels_idx1_ubyte": np.full(100, 10, np.uint8)}, "test labels"),
        ({"train_labels_idx1_ubyte": idx(b"\0\0\x08\x01", 0)}, "no images"),
        ({"train_labels_idx1_ubyte": np.zeros(600, np.uint8)}, "two classes"),
        ({"train_labels_idx1_ubyte": np.eye(600, dtype=np.uint8)[0]}, "two training images of each"),
        ({"train_labels_idx1_ubyte": np.zeros(600, np.uint8) + 9}, "training labels"),
    ],
)
def test_a_wrong_file_is_told_and_nothing_is_published(raw, changes, told):
    raw(**changes)
    with pytest.raises(UserError, match=told):
        preprocess.main()
    assert not list(Path("data").glob("*prepared*"))


@pytest.mark.parametrize("damage", [lambda packed: packed[: len(packed) // 2], lambda packed: packed[:200] + b"x" * 9])
def test_a_damaged_packed_file_is_told(raw, damage):
    path = Path("data/raw/train-images-idx3-ubyte")
    path.with_name(f"{path.name}.gz").write_bytes(damage(gzip.compress(path.read_bytes())))
    with pytest.raises(UserError, match="damaged"):
        preprocess.main()


def test_a_missing_file_is_told(raw):
    Path("data/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte.*dvc repro"):
        preprocess.main()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's own peak from Linux' /proc")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """Four times as many images, 120 MB more as float32, may not cost 20 MB more."""
    code = "import runpy; runpy.run_module('pipeline.preprocess', run_name='__main__')\n"
    # Not getrusage, whose peak a child inherits from the process that started it.
    code += "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"

    def peak(images: int) -> int:
        folder = tmp_path / str(images)
        (folder / "data" / "raw").mkdir(parents=True)
        (folder / "params.yaml").write_text(Path("params.yaml").read_text())
        for name, count in (("train", images), ("t10k", 1000)):
            pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)
            write_idx(folder / "data" / "raw" / f"{name}-images-idx3-ubyte", pixels)
            write_idx(folder / "data" / "raw" / f"{name}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
        environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
        return int(done.stdout.split("VmHWM:")[1].split()[0]) * 1024

    assert peak(53_000) - peak(13_000) < 20e6
