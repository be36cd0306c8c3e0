"""The temperature of a model's answers: what makes its probabilities mean what they say."""

import numpy as np
from numpy.typing import NDArray

from pipeline.data.arrays import FloatArray, IntArray

BOUNDS = (0.01, 100.0)
DIGITS = 4  # significant, of the temperature: more are not a result
SMALLEST_PROBABILITY = 1e-30  # bounds a log-probability, at -69


def fit_temperature(answers: FloatArray, labels: IntArray) -> float:
    """Return the temperature that gives validation images the lowest cross-entropy.

    `answers` are a softmax's probabilities [outputs, n, classes], of each member and view; their logits are divided by
    the temperature before their mean is taken. `labels` are class numbers [n]. The images count as if there were one
    more, whose label is drawn at random: a model that is right on all would otherwise become certain of everything.
    Source: C. Guo, G. Pleiss, Y. Sun and K. Weinberger, On calibration of modern neural networks, ICML 2017.
    """
    from scipy.optimize import minimize_scalar

    logits = np.log(np.maximum(answers.astype(np.float64), SMALLEST_PROBABILITY))
    places = np.arange(len(labels))

    def measure_loss(log_temperature: float) -> float:
        loss = -np.log(np.maximum(soften(logits, np.exp(log_temperature)), SMALLEST_PROBABILITY))
        return float(loss[places, labels].sum() + loss.mean())

    found = minimize_scalar(measure_loss, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-5})
    return float(f"{np.exp(found.x):.{DIGITS}g}")


def soften(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return the mean probabilities [n, classes] of logits [outputs, n, classes], each up to a constant."""
    scaled = logits / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = (exponentials / exponentials.sum(axis=-1, keepdims=True)).mean(axis=0)
    return probabilities
