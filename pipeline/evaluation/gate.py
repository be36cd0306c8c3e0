"""The promotion gate: whether a version becomes the champion, decided on arrays alone."""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.config.promotion import Promotion


@dataclass(frozen=True)
class Candidate:
    """A version as the gate sees it: labels and answers on the validation images [n], and its cost."""

    image: np.ndarray
    label: np.ndarray
    digit: np.ndarray
    size_bytes: int
    """Size of model.onnx."""
    latencies_ms: tuple[float, ...] | None = None
    """Milliseconds per image, of each round, the fastest first; measured only if the policy limits it."""

    @property
    def correct(self) -> np.ndarray:
        """Whether each answer is right: bool [n]."""
        correct: np.ndarray = self.digit == self.label
        return correct

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())

    def on_digit(self, digit: int) -> "Candidate":
        """Return the same candidate, on the images of one digit."""
        chosen = self.label == digit
        return replace(self, image=self.image[chosen], label=self.label[chosen], digit=self.digit[chosen])


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and the reasons, which are recorded with it."""

    promote: bool
    reasons: list[str]


def decide(candidate: Candidate, champion: Candidate | None, policy: Promotion) -> Decision:
    """Promote a candidate that keeps the limits, gains enough accuracy, and is worse at no digit.

    "Worse at a digit": fewer of its validation images right, with p below alpha, divided by the number of digits
    (Bonferroni). The test is McNemar's on the same images, Fisher's where the two were validated on different ones.
    """
    objections = check_limits(candidate, policy)
    if champion is None:
        return Decision(
            not objections, objections or [f"there is no champion; validation accuracy {candidate.accuracy:.4f}"]
        )
    p = p_value(candidate, champion)
    gain = f"validation accuracy {candidate.accuracy:.4f} against {champion.accuracy:.4f} (p = {p:.2g})"
    difference = candidate.accuracy - champion.accuracy
    if not (difference > 0 and difference >= policy.min_accuracy_gain):
        objections.append(f"{gain}: not better by the margin of {policy.min_accuracy_gain:g}")
    digits = np.unique(champion.label)
    for digit in digits:
        own, rival = candidate.on_digit(digit), champion.on_digit(digit)
        p = p_value(own, rival)
        if own.accuracy < rival.accuracy and p < policy.alpha / len(digits):
            objections.append(f"worse at digit {digit}: {own.accuracy:.4f} against {rival.accuracy:.4f} (p = {p:.2g})")
    return Decision(not objections, objections or [f"{gain}, and worse at no digit"])


def check_limits(candidate: Candidate, policy: Promotion) -> list[str]:
    """Return a reason for each limit that the candidate exceeds; raise ValueError if a limited latency is unknown."""
    objections = []
    if policy.max_size_bytes is not None and candidate.size_bytes > policy.max_size_bytes:
        objections.append(f"its file of {candidate.size_bytes} bytes exceeds the limit of {policy.max_size_bytes}")
    if policy.max_latency_ms is not None:
        if candidate.latencies_ms is None:
            raise ValueError("the policy limits the latency, but it was not measured")
        fastest, slowest = candidate.latencies_ms[0], candidate.latencies_ms[-1]
        if fastest > policy.max_latency_ms:
            objections.append(
                f"its {fastest:.2f} ms per image exceed the limit of {policy.max_latency_ms:g} (the fastest of "
                f"{len(candidate.latencies_ms)} rounds; the slowest took {slowest:.2f} ms)"
            )
    return objections


def p_value(one: Candidate, other: Candidate) -> float:
    """Return the probability of so large a difference in correct answers between two that are equally good."""
    from pipeline.evaluation.significance import fisher, mcnemar

    if np.array_equal(one.image, other.image) and np.array_equal(one.label, other.label):
        return mcnemar(one.correct, other.correct)
    return fisher(one.correct, other.correct)
