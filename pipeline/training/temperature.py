"""The temperature of a model's answers, which calibrates its probabilities."""

import numpy as np
from numpy.typing import NDArray

from pipeline.data.arrays import FloatArray, IntArray

BOUNDS = (0.01, 100.0)
DIGITS = 4  # significant digits of the temperature; further ones mean nothing
SMALLEST_PROBABILITY = 1e-30  # log-probabilities are at least -69


def fit_temperature(answers: FloatArray, labels: IntArray) -> float:
    """Return the temperature that gives validation images the lowest cross-entropy.

    `answers` are softmax probabilities [outputs, n, classes], an output per member and view; their logits are divided
    by the temperature before the mean of the probabilities is taken. `labels` are class numbers [n]. The loss counts
    one more image, with a random label: without it, a model that is right on all images would become certain of
    everything.
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
    """Return the mean probabilities [n, classes] of logits [outputs, n, classes]; a constant in them doesn't matter."""
    scaled = logits / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = (exponentials / exponentials.sum(axis=-1, keepdims=True)).mean(axis=0)
    return probabilities
