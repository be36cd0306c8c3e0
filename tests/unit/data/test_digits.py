import numpy as np

from pipeline import preprocess
from pipeline.data import digits


def test_the_form_is_mnists():
    image = np.zeros((8, 8))
    image[2:6, 3:5] = 16  # four rows, two columns of ink
    form = digits.mnist_form(image)
    rows, columns = np.nonzero(form > 127)
    assert form.shape == (28, 28)
    assert form.dtype == np.uint8
    assert np.ptp(rows) + 1 == 20
    assert np.ptp(columns) + 1 == 10
    assert abs(rows.mean() - 14) <= 0.5
    assert abs(columns.mean() - 14) <= 0.5


def test_ink_that_is_heavier_on_one_side_is_centred_by_mass():
    image = np.zeros((8, 8))
    image[:, 0] = 16
    image[0, 1:6] = 4  # a long faint arm to the right
    form = digits.mnist_form(image)
    columns = (form.sum(axis=0) @ np.arange(28)) / form.sum()
    assert abs(columns - 14) <= 0.5
    assert form[:, 20:].any()


def test_all_scans_are_written_and_the_test_set_never_moves(tmp_path, monkeypatch):
    digits.write(tmp_path)
    monkeypatch.setattr(preprocess, "RAW", tmp_path)
    train, test = preprocess.read_labels("train"), preprocess.read_labels("t10k")
    assert (len(train), len(test)) == (1437, 360)
    assert np.bincount(test).min() >= 34
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    digits.write(tmp_path)
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
