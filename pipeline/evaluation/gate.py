"""The promotion gate: whether a version becomes the champion, decided on arrays alone."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from pipeline.config.promotion import Promotion

LOST_IMAGES = 2
"""How many images a version may lose at a class on balance, however few images the class has.

With MNIST's 500 images per class, `max_class_loss` decides. With 24, a loss of 18 points can't be excluded even if no
image was lost, so a gate that required this would never promote anything. `benchmarks/gate.py` simulates both.
"""


@dataclass(frozen=True)
class Candidate:
    """A version as the gate sees it: the names of labels and answers on the validation images [n], and its cost."""

    image: np.ndarray
    label: np.ndarray
    answer: np.ndarray
    size_bytes: int
    """Size of model.onnx."""
    latencies_ms: tuple[float, ...] | None = None
    """Milliseconds per image in each round, the fastest first; measured only if the policy limits the latency."""

    @property
    def correct(self) -> np.ndarray:
        """Whether each answer is right: bool [n]."""
        correct: np.ndarray = self.answer == self.label
        return correct

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())

    @property
    def validation_sha256(self) -> str:
        """Identifies a set of validation images: a hash of their places and labels."""
        places = self.image.astype(np.int64).tobytes()
        return hashlib.sha256(places + "\0".join(map(str, self.label)).encode()).hexdigest()

    def on_class(self, label: str) -> "Candidate":
        """Return the same candidate, on the images of one class."""
        chosen = self.label == label
        return replace(self, image=self.image[chosen], label=self.label[chosen], answer=self.answer[chosen])


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and the reasons, which are recorded with it."""

    promote: bool
    reasons: list[str]
    validation_sha256: str | None = None
    """`Candidate.validation_sha256` of the images that decided; None if none were needed."""


def decide(candidate: Candidate, champion: Candidate | None, policy: Promotion, earlier_decisions: int = 0) -> Decision:
    """Promote a candidate that keeps the limits, is better by more than chance, and can't have lost much at any class.

    All tests are one-sided, at the level `policy.alpha`. `earlier_decisions` is how many other versions were tested
    against a champion on the same validation images; it is shown with the decision, and changes nothing.
    """
    objections, findings = check_limits(candidate, policy), list[str]()
    if champion is None:
        findings = [f"there is no champion; validation accuracy {candidate.accuracy:.4f}"]
        return Decision(not objections, objections or findings)
    for check in (check_gain, check_classes):
        is_kept, text = check(candidate, champion, policy)
        (findings if is_kept else objections).append(text)
    number = earlier_decisions + 1
    count = (
        f"decision {number} on these {len(candidate.label)} images: if none of the versions were better, chance would "
        f"promote one with a probability of at most {percent(min(1.0, number * policy.alpha))}"
    )
    return Decision(not objections, [*(objections or findings), count], candidate.validation_sha256)


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


def check_gain(candidate: Candidate, champion: Candidate, policy: Promotion) -> tuple[bool, str]:
    """Return whether the candidate is better by more than chance and by the margin, and the finding."""
    gain, p = candidate.accuracy - champion.accuracy, p_value(candidate, champion)
    finding = f"validation accuracy {candidate.accuracy:.4f} against {champion.accuracy:.4f} (p = {p:.2g})"
    if p >= policy.alpha:
        return False, f"{finding}: not better by more than chance, which p below {policy.alpha:g} would show"
    if round(gain, 9) < policy.min_accuracy_gain:
        return False, f"{finding}: not better by the margin of {policy.min_accuracy_gain:g}"
    return True, finding


def check_classes(candidate: Candidate, champion: Candidate, policy: Promotion) -> tuple[bool, str]:
    """Return whether no class can have lost too much, and the finding on the class that may have lost most.

    Each class has a bound at the full confidence 1 - alpha. The probability that the bound of the class that lost most
    is below its loss is at most alpha; for the largest bound it isn't higher (an intersection–union test). Source:
    R. L. Berger, Multiparameter hypothesis testing and acceptance sampling, Technometrics 24 (1982).
    """
    bounds, refused = {}, []
    for name in np.unique(champion.label).tolist():
        own, rival = candidate.on_class(name), champion.on_class(name)
        if not len(own.label):
            return False, f"class {name}: no validation image shows it, so a loss can't be excluded"
        bounds[name] = loss_bound(own, rival, policy.alpha)
        lost_images = round((rival.accuracy - own.accuracy) * len(own.label), 6)
        if bounds[name] > policy.max_class_loss and lost_images > LOST_IMAGES:
            refused.append(name)
    worst = max(refused or bounds, key=lambda name: bounds[name])
    own, rival = candidate.on_class(worst), champion.on_class(worst)
    seen = f"{own.accuracy:.4f} against {rival.accuracy:.4f} on {len(own.label)} images"
    bound, confidence = f"{100 * max(bounds[worst], 0.0):.1f} points", f"{percent(1 - policy.alpha)} confidence"
    if refused:
        allowed = f"{100 * policy.max_class_loss:g} are allowed"
        return False, f"class {worst} may have lost {bound}, and {allowed} ({confidence}): {seen}"
    return True, f"no class lost more than {bound} ({confidence}; class {worst}: {seen})"


def percent(share: float) -> str:
    """Write a share of 1 as `99 %`."""
    return f"{round(100 * share, 6):g} %"


def p_value(candidate: Candidate, champion: Candidate) -> float:
    """Return the one-sided p-value: the probability of such a gain in right answers if the candidate is no better."""
    from pipeline.evaluation.significance import fisher, mcnemar

    test = mcnemar if has_same_images(candidate, champion) else fisher
    return test(candidate.correct, champion.correct, "greater")


def loss_bound(candidate: Candidate, champion: Candidate, alpha: float) -> float:
    """Return an upper bound on the accuracy that the candidate has lost, in [-1, 1], at confidence 1 - alpha."""
    from pipeline.evaluation.significance import newcombe_bound, tango_bound

    bound = tango_bound if has_same_images(candidate, champion) else newcombe_bound
    return bound(candidate.correct, champion.correct, alpha)


def has_same_images(one: Candidate, other: Candidate) -> bool:
    """Return whether both were validated on the same images, in the same order."""
    return np.array_equal(one.image, other.image) and np.array_equal(one.label, other.label)
