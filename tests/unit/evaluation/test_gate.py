"""Who becomes champion: the decision on arrays."""

import numpy as np
import pytest

from pipeline.config.promotion import Promotion
from pipeline.evaluation.gate import decide
from tests.helpers.candidates import LABELS, POLICY, candidate


def test_the_first_is_promoted():
    decision = decide(candidate(range(500)), None, POLICY)
    assert decision.promote
    assert decision.reasons == ["there is no champion; validation accuracy 0.5000"]


@pytest.mark.parametrize(
    ("wrong", "promote", "reason"),
    [
        (range(0, 100), False, "not better by the margin"),
        (range(0, 50), False, "not better by the margin"),
        (range(0, 49), True, "worse at no digit"),
        (range(0, 10), True, "worse at no digit"),
    ],
)
def test_a_worse_an_equal_and_a_better_candidate(wrong, promote, reason):
    decision = decide(candidate(wrong), candidate(range(0, 50)), POLICY)
    assert decision.promote is promote
    assert reason in decision.reasons[0]


def test_the_reasons_state_both_accuracies_and_the_test():
    # 40 images are wrong in the champion alone: 2 / 2^40.
    decision = decide(candidate(range(10)), candidate(range(50)), POLICY)
    assert decision.reasons == ["validation accuracy 0.9900 against 0.9500 (p = 1.8e-12), and worse at no digit"]


def test_a_better_candidate_that_fails_one_digit_stays_out():
    threes = np.flatnonzero(LABELS == 3)[:12]
    champion = candidate(np.flatnonzero(LABELS != 3)[:50])
    decision = decide(candidate(threes), champion, POLICY)
    assert not decision.promote
    assert decision.reasons == ["worse at digit 3: 0.8800 against 1.0000 (p = 0.00049)"]
    # A few more mistakes at a digit are chance.
    assert decide(candidate(threes[:3]), champion, POLICY).promote


def test_alpha_is_divided_by_the_number_of_digits():
    """Wrong at eight and at nine images of a digit: p is 2 / 2^8 and 2 / 2^9, and 0.05 / 10 lies between."""
    champion = candidate(np.flatnonzero(LABELS != 3)[:50])
    threes = np.flatnonzero(LABELS == 3)
    assert decide(candidate(threes[:8]), champion, POLICY).promote
    assert not decide(candidate(threes[:9]), champion, POLICY).promote
    assert not decide(candidate(threes[:8]), champion, POLICY.model_copy(update={"alpha": 0.1})).promote


def test_a_digit_that_is_recognised_better_is_no_objection():
    """The test is two-sided: the candidate is significantly different at every digit, and better."""
    assert decide(candidate(range(0)), candidate(range(500)), POLICY).promote


def test_margin_and_limits_are_kept():
    better, champion = candidate(range(40), size_bytes=2000, latencies_ms=(2.0, 2.1, 3.5)), candidate(range(50))
    assert decide(better, champion, POLICY.model_copy(update={"min_accuracy_gain": 0.01})).promote
    assert not decide(better, champion, POLICY.model_copy(update={"min_accuracy_gain": 0.02})).promote
    for limit in ({"max_size_bytes": 1999}, {"max_latency_ms": 1.9}):
        assert not decide(better, champion, POLICY.model_copy(update=limit)).promote
        assert not decide(better, None, POLICY.model_copy(update=limit)).promote
    assert decide(better, champion, POLICY.model_copy(update={"max_size_bytes": 2000, "max_latency_ms": 2.0})).promote


def test_each_exceeded_limit_is_a_reason_of_its_own():
    policy = POLICY.model_copy(update={"max_size_bytes": 1999, "max_latency_ms": 1.9, "min_accuracy_gain": 0.5})
    decision = decide(candidate(range(40), size_bytes=2000, latencies_ms=(2.0, 2.1, 3.5)), candidate(range(50)), policy)
    size, latency, gain = decision.reasons
    assert size == "its file of 2000 bytes exceeds the limit of 1999"
    assert latency == (
        "its 2.00 ms per image exceed the limit of 1.9 (the fastest of 3 rounds; the slowest took 3.50 ms)"
    )
    assert gain.endswith("not better by the margin of 0.5")


def test_a_limit_on_a_latency_that_was_not_measured_is_an_error():
    with pytest.raises(ValueError, match="not measured"):
        decide(candidate(), None, Promotion(max_latency_ms=1.0))


def test_candidates_that_saw_other_images_are_compared_as_independent():
    other = np.arange(1000) + 1000
    assert decide(candidate(range(10)), candidate(range(50), images=other), POLICY).promote
    threes = np.flatnonzero(LABELS == 3)[:30]
    assert not decide(candidate(threes), candidate(np.flatnonzero(LABELS != 3)[:50], images=other), POLICY).promote


def test_fishers_test_is_used_on_other_images_and_mcnemars_on_the_same():
    """6 wrong of 100 against none: by McNemar 2 / 2^6 = 0.031, by Fisher 0.029."""
    threes = np.flatnonzero(LABELS == 3)
    policy = POLICY.model_copy(update={"alpha": 0.3})  # 0.03 per digit
    champion = np.flatnonzero(LABELS != 3)[:50]
    assert decide(candidate(threes[:6]), candidate(champion), policy).promote
    assert not decide(candidate(threes[:6]), candidate(champion, images=np.arange(1000) + 1000), policy).promote
