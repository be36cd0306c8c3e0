import numpy as np
import pandas as pd

from pipeline.evaluation.confusion import count_confusion
from pipeline.evaluation.metrics import tabulate_predictions

LABELS = np.array([0, 0, 1, 2])
PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32)


def test_each_pair_of_label_and_digit_is_counted_on_the_test_images_alone():
    val = tabulate_predictions("val", np.array([9]), LABELS[:1], PROBABILITIES[:1])
    test = tabulate_predictions("test", np.array([4, 5, 6, 7]), LABELS, PROBABILITIES)
    table = count_confusion(pd.concat([val, test]))
    assert list(table) == ["label", "digit", "images"]
    counts = {(row.label, row.digit): row.images for row in table.itertuples()}
    nonzero = {(0, 0): 1, (0, 1): 1, (1, 1): 1, (2, 0): 1}
    assert counts == {(label, digit): nonzero.get((label, digit), 0) for label in range(3) for digit in range(3)}
