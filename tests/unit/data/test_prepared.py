import numpy as np
import pytest

from pipeline.cli import UserError
from pipeline.data.prepared import load_split, load_training_data
from tests.helpers.datasets import write_numbered_data, write_split


def test_a_split_has_images_labels_and_places(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 3)).astype(np.uint8)
    write_split(tmp_path / "test", pixels, np.array([7, 0, 9]))
    np.save(tmp_path / "test" / "index.npy", np.array([5, 6, 8]))
    split = load_split(tmp_path, "test")
    np.testing.assert_array_equal(split.pixels, pixels)
    assert split.labels.tolist() == [7, 0, 9]
    assert split.index.tolist() == [5, 6, 8]
    assert isinstance(split.pixels, np.memmap)  # so that a large data set takes no memory


def test_training_sees_the_training_and_the_validation_images_alone(tmp_path):
    write_numbered_data(tmp_path, train=95, val=20)
    data = load_training_data(tmp_path)
    assert (len(data.train.pixels), len(data.val.pixels), data.classes) == (95, 20, 10)
    assert data.image_shape == (28, 28, 1)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", None])
def test_a_damaged_array_is_reported(tmp_path, content):
    write_numbered_data(tmp_path)
    path = tmp_path / "val" / "images.npy"
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    with pytest.raises(UserError, match=r"val/images.npy is damaged \(.+\): run `dvc repro`"):
        load_training_data(tmp_path)


def test_a_missing_array_is_reported(tmp_path):
    write_numbered_data(tmp_path)
    (tmp_path / "train" / "index.npy").unlink()
    with pytest.raises(UserError, match=r"train/index.npy is missing: run `dvc repro`"):
        load_split(tmp_path, "train")
