import numpy as np
import pytest

from pipeline.evaluation.metrics import measure_calibration_error, score
from pipeline.training.temperature import fit_temperature, soften


def draw(temperature: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities [1, count, 5], too sure for a temperature above 1, and labels drawn from the true ones."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(1, count, 5))
    true = soften(logits, 1.0)
    labels = np.array([rng.choice(5, p=row) for row in true])
    return soften(logits * temperature, 1.0)[np.newaxis], labels


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_temperature_is_found_by_which_answers_are_too_sure(temperature):
    answers, labels = draw(temperature)
    found = fit_temperature(answers, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    calibrated = soften(np.log(answers), found)
    assert measure_calibration_error(labels, calibrated) < 0.015
    assert score(labels, calibrated)["loss"] <= score(labels, answers[0])["loss"]
    np.testing.assert_array_equal(calibrated.argmax(axis=1), answers[0].argmax(axis=1))


def test_views_are_averaged_after_the_temperature():
    """If two views disagree, their mean stays unsure, however low the temperature is."""
    answers = np.array([[[0.8, 0.2]], [[0.2, 0.8]]])
    np.testing.assert_allclose(soften(np.log(answers), 0.01), 0.5)


def test_a_model_that_is_always_right_does_not_become_certain():
    answers = np.full((1, 100, 4), 0.1)
    labels = np.arange(100) % 4
    answers[0, np.arange(100), labels] = 0.7
    confidence = soften(np.log(answers), fit_temperature(answers, labels)).max(axis=1)
    assert (confidence > 0.98).all()
    assert (confidence < 0.999).all()
