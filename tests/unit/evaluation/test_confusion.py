from itertools import product

import numpy as np
import pandas as pd

from pipeline.evaluation.confusion import count_confusion
from pipeline.evaluation.metrics import tabulate_predictions

LABELS = np.array([0, 0, 1, 2])
NAMES = ["cat", "dog", "elk"]
PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32)


def test_each_pair_of_label_and_answer_is_counted_on_the_test_images_alone():
    val = tabulate_predictions("val", np.array([9]), LABELS[:1], PROBABILITIES[:1], NAMES)
    test = tabulate_predictions("test", np.array([4, 5, 6, 7]), LABELS, PROBABILITIES, NAMES)
    table = count_confusion(pd.concat([val, test]))
    assert list(table) == ["label", "answer", "images"]
    counts = {(row.label, row.answer): row.images for row in table.itertuples()}
    nonzero = {("cat", "cat"): 1, ("cat", "dog"): 1, ("dog", "dog"): 1, ("elk", "cat"): 1}
    assert counts == {pair: nonzero.get(pair, 0) for pair in product(NAMES, repeat=2)}
