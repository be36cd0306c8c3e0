"""scikit-learn's 1,797 digits, 8×8, brought to 28×28 in the manner of MNIST; needs no network."""

from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.arrays import IntArray, UInt8Array
from pipeline.data.idx import write_idx

TEST_IMAGES = 360  # a fifth, chosen by a fixed seed: a test set must not change with the experiment's seed


def write_digits(folder: Path) -> None:
    """Write four IDX files with the names of MNIST's, uncompressed, into `folder`."""
    from sklearn.model_selection import train_test_split

    pixels, labels = read_scans()
    images = np.stack([bring_to_mnist_form(image) for image in pixels])
    split = train_test_split(images, labels, test_size=TEST_IMAGES, random_state=0, stratify=labels)
    train_images, test_images, train_labels, test_labels = split
    for name, (split_images, split_labels) in {
        "train": (train_images, train_labels),
        "t10k": (test_images, test_labels),
    }.items():
        write_idx(folder / f"{name}-images-idx3-ubyte", split_images)
        write_idx(folder / f"{name}-labels-idx1-ubyte", split_labels.astype(np.uint8))


def read_scans() -> tuple[NDArray[np.float64], IntArray]:
    """Return grey levels 0…16, [1797, 8, 8], and labels, from scikit-learn's file: its import would take a second."""
    path = Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))
    table = np.loadtxt(path, delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)


def bring_to_mnist_form(image: NDArray[Any]) -> UInt8Array:
    """Return grey levels 0…16, [8, 8], as uint8 [28, 28]: the ink scaled to a 20×20 box, its centre of mass centred.

    Source: the description of MNIST at the head of Y. LeCun, C. Cortes and C. Burges, The MNIST database.
    """
    from PIL import Image

    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    ink = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 20 / max(ink.shape)
    size = (max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale)))
    grey = Image.fromarray(np.rint(ink * (255 / 16)).astype(np.uint8))
    box = np.asarray(grey.resize(size, Image.Resampling.BICUBIC))
    mass = box.sum()
    centre_y = (box.sum(axis=1) @ np.arange(box.shape[0])) / mass
    centre_x = (box.sum(axis=0) @ np.arange(box.shape[1])) / mass
    # The pixel nearest to the centre of mass goes to (14, 14), as far as the box stays inside.
    top = min(max(14 - round(centre_y), 0), 28 - box.shape[0])
    left = min(max(14 - round(centre_x), 0), 28 - box.shape[1])
    form = np.zeros((28, 28), np.uint8)
    form[top : top + box.shape[0], left : left + box.shape[1]] = box
    return form
