"""How far a model's answers to test images can be trusted: arrays in, numbers and curves out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.data.arrays import BoolArray, IntArray

TRUSTED_ACCURACY = 0.999

# MNIST's test images whose published labels are doubtful, by their places in the file: five people looked at each of
# 100 candidates. A majority gave another label to ten, and said that three show no digit; on two they didn't agree.
# Source: C. Northcutt, A. Athalye and J. Mueller, Pervasive label errors in test sets, NeurIPS 2021 (cleanlab's
# label-errors).
CORRECTED_LABELS = {
    947: 9, 1621: 6, 1901: 4, 2462: 0, 2597: 3, 3558: 0, 5937: 3, 6651: 6, 6783: 6, 9729: 6,
}  # fmt: skip
NO_LABEL = (2130, 2654, 3520, 8527, 9679)
# High-school students wrote the first half of MNIST's test images, employees of the Census Bureau the second, except
# one image. Source: QMNIST's tables of writers, C. Yadav and L. Bottou, Cold case: the lost MNIST digits, NeurIPS 2019;
# they correct MNIST's own description, which swaps the two halves.
STUDENTS = 5000


@dataclass(frozen=True)
class Slice:
    """A part of the test images: which ones, bool [n], and the labels of all, with which answers are compared."""

    name: str
    is_in: BoolArray
    labels: IntArray


def cover(confidence: NDArray[np.floating], is_right: BoolArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, for the 1, 2, … n surest answers, their share of the images and the accuracy on them, [n] each.

    Source: R. El-Yaniv and Y. Wiener, On the foundations of noise-free selective classification, JMLR 11 (2010).
    """
    surest = np.argsort(-confidence, kind="stable")
    number = np.arange(1, len(surest) + 1)
    return number / len(surest), np.cumsum(is_right[surest]) / number


def find_refused_share(
    confidence: NDArray[np.floating], is_right: BoolArray, accuracy: float = TRUSTED_ACCURACY
) -> float:
    """Return the smallest share of the least sure images that must be refused for this accuracy on the rest.

    1.0 if no number of the surest answers has it.
    """
    accepted, reached = cover(confidence, is_right)
    enough = np.flatnonzero(reached >= accuracy)
    return float(1 - accepted[enough[-1]]) if len(enough) else 1.0


def slice_mnist(index: IntArray, labels: IntArray) -> list[Slice]:
    """Return slices of MNIST's test images, at places `index` in the file: by writers, and with corrected labels."""
    corrected = np.array([CORRECTED_LABELS.get(int(place), label) for place, label in zip(index, labels, strict=True)])
    return [
        Slice("by students", index < STUDENTS, labels),
        Slice("by census employees", index >= STUDENTS, labels),
        Slice("with 15 doubtful labels corrected or left out", ~np.isin(index, NO_LABEL), corrected),
    ]
