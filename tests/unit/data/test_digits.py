import numpy as np

from pipeline.data.digits import bring_to_mnist_form, write_digits
from pipeline.data.idx import read_idx, read_labels


def test_the_form_is_mnists():
    image = np.zeros((8, 8))
    image[2:6, 3:5] = 16  # four rows, two columns of ink
    form = bring_to_mnist_form(image)
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
    form = bring_to_mnist_form(image)
    columns = (form.sum(axis=0) @ np.arange(28)) / form.sum()
    assert abs(columns - 14) <= 0.5
    assert form[:, 20:].any()


def test_all_scans_are_written_and_the_test_set_never_moves(tmp_path):
    write_digits(tmp_path)
    train, test = read_labels(tmp_path, "train"), read_labels(tmp_path, "t10k")
    assert (len(train), len(test)) == (1437, 360)
    assert np.bincount(test).min() >= 34
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_digits(tmp_path)
    assert first == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_images_and_labels_belong_together(tmp_path):
    """Most scans of a digit are nearer to the mean image of this digit than to the mean images of the others."""
    write_digits(tmp_path)
    images = np.concatenate(list(read_idx(tmp_path, "train-images-idx3-ubyte", (28, 28)))).astype(np.float64)
    labels = read_labels(tmp_path, "train")
    means = np.stack([images[labels == digit].mean(axis=0) for digit in range(10)])
    distances = np.square(images[:, None] - means).sum(axis=(2, 3))
    assert (distances.argmin(axis=1) == labels).mean() > 0.8


def test_ink_at_the_edge_stays_inside():
    image = np.zeros((8, 8))
    image[:, 0] = 1  # a faint long bar …
    image[7, :] = 16  # … on heavy feet: its centre of mass is far below its middle
    form = bring_to_mnist_form(image)
    rows, columns = np.flatnonzero(form.any(axis=1)), np.flatnonzero(form.any(axis=0))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 20)
    assert rows[0] == 0  # as near to the centre as the box can be without leaving the image


def test_the_darkest_ink_is_white():
    image = np.zeros((8, 8))
    image[1:7, 1:7] = 16
    form = bring_to_mnist_form(image)
    assert (form.max(), form.min()) == (255, 0)
    assert (form[4:24, 4:24] == 255).all()
