import numpy as np
import pytest

from pipeline.evaluation import trust

CONFIDENCE = np.array([0.9, 0.6, 0.8, 0.7, 0.5])
IS_RIGHT = np.array([True, True, False, True, False])


def test_the_surest_answers_are_accepted_first():
    accepted, accuracy = trust.cover(CONFIDENCE, IS_RIGHT)
    np.testing.assert_allclose(accepted, [0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(accuracy, [1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])


@pytest.mark.parametrize(("accuracy", "refused"), [(0.5, 0), (0.6, 0), (0.7, 0.2), (0.75, 0.2), (0.8, 0.8), (1, 0.8)])
def test_as_few_as_possible_are_refused_for_an_accuracy(accuracy, refused):
    assert trust.find_refused_share(CONFIDENCE, IS_RIGHT, accuracy) == pytest.approx(refused)


def test_all_are_refused_if_the_surest_answer_is_wrong():
    assert trust.find_refused_share(np.array([0.9, 0.8]), np.array([False, True]), 0.999) == 1


def test_mnists_test_images_are_divided_by_writers_and_doubtful_labels_corrected():
    index = np.array([947, 2654, 4999, 5000, 9729])
    labels = np.array([8, 6, 1, 2, 5])
    students, employees, corrected = trust.slice_mnist(index, labels)
    assert students.is_in.tolist() == [True, True, True, False, False]
    assert employees.is_in.tolist() == [False, False, False, True, True]
    assert corrected.is_in.tolist() == [True, False, True, True, True]
    assert corrected.labels.tolist() == [9, 6, 1, 2, 6]
    assert labels.tolist() == students.labels.tolist() == [8, 6, 1, 2, 5]
