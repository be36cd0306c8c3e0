import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, precision_recall_fscore_support

from pipeline.evaluation import metrics

LABELS = np.array([0, 0, 1, 2])
NAMES = ["cat", "dog", "NA"]
PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32)


def test_score():
    found = metrics.score(LABELS[:3], PROBABILITIES[:3])
    assert list(found) == ["accuracy", "loss", "brier", "calibration_error"]
    assert found["accuracy"] == pytest.approx(2 / 3, abs=1e-10)
    assert found["loss"] == pytest.approx((np.log(2) + np.log(10) + 0) / 3, abs=1e-7)


def test_the_brier_score_and_the_loss_are_scikit_learns():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), 300)
    labels = rng.integers(0, 5, 300)
    found = metrics.score(labels, probabilities)
    assert found["loss"] == pytest.approx(log_loss(labels, probabilities), abs=1e-10)
    assert found["brier"] == pytest.approx(brier_score_loss(labels, probabilities, scale_by_half=False), abs=1e-10)


def test_the_calibration_error_is_how_far_confidence_is_from_accuracy():
    """Two bins: six of eight answers at 0.9 are right, and one of two at 0.5; only the first bin is too sure."""
    confidence, is_right = np.array([0.9] * 8 + [0.5] * 2), np.array([1] * 6 + [0, 0, 1, 0])
    probabilities = np.column_stack([confidence, 1 - confidence])
    labels = 1 - is_right
    assert metrics.measure_calibration_error(labels, probabilities) == pytest.approx(0.8 * 0.15 + 0.2 * 0)
    assert metrics.measure_calibration_error(np.array([0]), np.array([[1.0, 0.0]])) == 0


def test_a_certain_mistake_costs_a_finite_loss():
    assert metrics.score(LABELS[3:], PROBABILITIES[3:])["loss"] == pytest.approx(np.log(1e7), abs=1e-5)


def test_spread_is_the_sample_deviation():
    assert metrics.summarise_seeds([0.96, 0.97, 0.98]) == {"accuracy_mean": 0.97, "accuracy_deviation": 0.01}


def test_score_classes():
    table = metrics.score_classes(LABELS, PROBABILITIES, NAMES).set_index("class")
    assert table.loc["cat"].to_dict() == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "images": 2}
    assert table.loc["dog"].to_dict() == {"precision": 0.5, "recall": 1, "f1": pytest.approx(2 / 3), "images": 1}
    assert table.loc["NA"].to_dict() == {"precision": 0, "recall": 0, "f1": 0, "images": 1}


def test_the_figures_of_classes_are_scikit_learns():
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 7, 400), rng.random((400, 7))
    probabilities[:, 5] = 0  # a class that is never the answer
    table = metrics.score_classes(labels, probabilities, list("abcdefg"))
    expected = precision_recall_fscore_support(labels, probabilities.argmax(axis=1), zero_division=0)
    np.testing.assert_allclose(table[["precision", "recall", "f1", "images"]], np.transpose(expected), rtol=1e-12)


def test_golden_images_are_the_surest_right_answers_and_of_a_class_that_is_never_met_the_surest_wrong_one():
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.array([[0.6, 0.4], [0.7, 0.3], [0.1, 0.9], [0.8, 0.2], [0.95, 0.05]], np.float32)
    golden = metrics.choose_golden_images(np.arange(5.0).reshape(5, 1, 1), labels, probabilities)
    assert golden == {"pixels": [[[1]], [[4]]], "answers": [0, 0], "probabilities": [[0.7, 0.3], [0.95, 0.05]]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "classes", "expected"),
    [((1, 1), 200, list(range(0, 200, 10))), ((300, 500, 3), 3, [0, 1]), ((900, 900, 3), 3, [0])],
)
def test_of_many_classes_or_large_images_few_golden_images_are_kept(shape, classes, expected):
    pixels = np.zeros((classes, *shape), np.uint8)
    golden = metrics.choose_golden_images(pixels, np.arange(classes), np.eye(classes, dtype=np.float32))
    assert golden["answers"] == expected


def test_predictions_have_one_row_per_image():
    table = metrics.tabulate_predictions("test", np.array([4, 5, 6, 7]), LABELS, PROBABILITIES, NAMES)
    assert list(table) == ["split", "image", "label", "answer", "p_cat", "p_dog", "p_NA"]
    assert len(table) == 4
    assert table.loc[1, ["split", "image", "label", "answer"]].tolist() == ["test", 5, "cat", "dog"]
    assert table.loc[1, ["p_cat", "p_dog", "p_NA"]].tolist() == pytest.approx([0.1, 0.6, 0.3])


def test_reliability_is_by_bins_that_have_images():
    bins = metrics.measure_reliability(np.array([0.95, 0.85, 0.2, 1.0]), np.array([True, False, False, True]), bins=5)
    assert bins == [(pytest.approx(0.2), 0, 1), (pytest.approx(2.8 / 3), pytest.approx(2 / 3), 3)]
