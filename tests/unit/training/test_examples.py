"""What augmentation makes of a few training images."""

import numpy as np
import pytest

from pipeline.config.model import Augmentation, CNNModel
from pipeline.data.prepared import Split
from pipeline.training.examples import CHANGED, draw_examples
from tests.helpers.configs import CNN, PERCEPTRON

LABELS = np.array([1, 0, 0, 2, 1], np.uint16)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 9, 8, 3), np.uint8)
SPLIT = Split(PIXELS, LABELS, np.arange(5))


def configure(**reach) -> CNNModel:
    return CNN.model_copy(update={"augmentation": Augmentation(**reach)})


def test_the_first_image_of_each_class_stands_before_its_changed_copies():
    drawn = draw_examples(SPLIT, configure(translation=2), seed=0)
    assert drawn is not None
    assert (drawn.shape, drawn.dtype) == ((3, 1 + CHANGED, 9, 8, 3), np.uint8)
    np.testing.assert_array_equal(drawn[:, 0], PIXELS[[1, 0, 3]])
    for row in drawn:
        # Images are moved by whole pixels, so pixels that stay inside keep their values.
        assert all(np.isin(changed, [0, *row[0].flat]).all() for changed in row[1:])
        assert len({changed.tobytes() for changed in row}) > CHANGED / 2


def test_the_seed_decides():
    config = configure(rotation=20.0)
    first, again, other = (draw_examples(SPLIT, config, seed) for seed in (2**32 - 1, 2**32 - 1, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("config", [configure(), PERCEPTRON])
def test_there_are_none_where_images_stay_as_they_are(config):
    assert draw_examples(SPLIT, config, seed=0) is None
