import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import metrics as measures

LABELS = np.array([0, 0, 1, 2])
PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32)


def test_score():
    assert measures.score(LABELS[:3], PROBABILITIES[:3]) == {
        "accuracy": 0.666667,
        "loss": pytest.approx((np.log(2) + np.log(10) + 0) / 3, abs=1e-6),
    }


def test_a_certain_mistake_costs_a_finite_loss():
    assert measures.score(LABELS[3:], PROBABILITIES[3:])["loss"] == pytest.approx(np.log(1e7), abs=1e-5)


def test_spread_is_the_sample_deviation():
    assert measures.spread([0.96, 0.97, 0.98]) == {"accuracy_mean": 0.97, "accuracy_deviation": 0.01}


def test_per_class():
    table = measures.per_class(LABELS, PROBABILITIES).set_index("digit")
    assert table.loc[0].to_dict() == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "images": 2}
    assert table.loc[1].to_dict() == {"precision": 0.5, "recall": 1, "f1": pytest.approx(2 / 3), "images": 1}
    assert table.loc[2].to_dict() == {"precision": 0, "recall": 0, "f1": 0, "images": 1}


def test_golden_images_are_the_surest_right_answers_and_of_a_class_that_is_never_met_the_surest_wrong_one():
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.array([[0.6, 0.4], [0.7, 0.3], [0.1, 0.9], [0.8, 0.2], [0.95, 0.05]], np.float32)
    golden = measures.golden(np.arange(5.0).reshape(5, 1, 1), labels, probabilities)
    assert golden == {"pixels": [[[1]], [[4]]], "digits": [0, 0], "probabilities": [[0.7, 0.3], [0.95, 0.05]]}


def test_predictions_and_their_confusion():
    val = measures.predictions("val", np.array([9]), LABELS[:1], PROBABILITIES[:1])
    test = measures.predictions("test", np.array([4, 5, 6, 7]), LABELS, PROBABILITIES)
    assert test.loc[1, ["split", "image", "label", "digit"]].tolist() == ["test", 5, 0, 1]
    assert test.loc[1, ["p0", "p1", "p2"]].tolist() == pytest.approx([0.1, 0.6, 0.3])
    table = measures.confusion(pd.concat([val, test]))
    counts = {(row.label, row.digit): row.images for row in table.itertuples()}
    nonzero = {(0, 0): 1, (0, 1): 1, (1, 1): 1, (2, 0): 1}
    assert counts == {(label, digit): nonzero.get((label, digit), 0) for label in range(3) for digit in range(3)}
