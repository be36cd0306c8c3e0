"""Which version becomes the champion: the decision, computed from arrays."""

import numpy as np
import pytest

from pipeline.config.promotion import Promotion
from pipeline.evaluation.gate import Decision, decide
from tests.helpers.candidates import LABELS, POLICY, candidate

OTHER_IMAGES = range(1000, 2000)
SMALL = np.arange(240) % 10  # as many validation images as the data set digits has


def of_digit(digit: int, labels: np.ndarray = LABELS) -> np.ndarray:
    return np.flatnonzero(labels == digit)


def except_digit(digit: int, count: int, labels: np.ndarray = LABELS) -> np.ndarray:
    return np.flatnonzero(labels != digit)[:count]


def test_the_first_is_promoted():
    assert decide(candidate(range(500)), None, POLICY) == Decision(
        True, ["there is no champion; validation accuracy 0.5000"]
    )


@pytest.mark.parametrize(("right_again", "promote"), [(0, False), (1, False), (6, False), (7, True), (40, True)])
def test_a_gain_counts_if_chance_does_not_explain_it(right_again, promote):
    """If just one of two equal models is right on each of 7 images, it is always the candidate in 1 of 128 cases."""
    champion = candidate(range(50))
    decision = decide(candidate(range(right_again, 50)), champion, POLICY)
    assert decision.promote is promote
    assert ("not better by more than chance, which p below 0.01 would show" in decision.reasons[0]) is not promote
    assert not decide(candidate(range(50 + right_again)), champion, POLICY).promote


def test_the_reasons_state_what_was_tested_and_found():
    # 40 images are wrong only in the champion: 1 / 2^40. For each digit, 4 of 100 were gained, and none was lost.
    decision = decide(candidate(range(10)), candidate(range(50)), POLICY, earlier_decisions=6)
    assert decision.reasons == [
        "validation accuracy 0.9900 against 0.9500 (p = 9.1e-13)",
        "no class lost more than 1.3 points (99 % confidence; class 0: 0.9900 against 0.9500 on 100 images)",
        "decision 7 on these 1000 images: if none of the versions were better, chance would promote one with a "
        "probability of at most 7 %",
    ]


def test_a_decision_states_which_images_made_it_and_how_many_they_have_made():
    first, champion = candidate(range(10)), candidate(range(50))
    decision = decide(first, champion, POLICY)
    assert decision.reasons[-1].startswith("decision 1 on these 1000 images")
    assert decision.validation_sha256 == candidate(range(90)).validation_sha256
    assert decision.validation_sha256 != candidate(places=OTHER_IMAGES).validation_sha256
    assert decision.validation_sha256 != candidate(labels=LABELS[::-1].copy()).validation_sha256
    refused = decide(champion, first, POLICY.model_copy(update={"alpha": 0.05}), earlier_decisions=30)
    assert refused.reasons[-1].endswith("at most 100 %")


def test_more_decisions_change_none():
    pair = candidate(range(43)), candidate(range(50))
    assert all(decide(*pair, POLICY, earlier_decisions=number).promote for number in (0, 1, 1000))


def test_a_third_of_a_digits_images_is_not_given_for_a_better_mean():
    """8 of 24 images of the digit 1 are lost, and 9, 20 and 40 other images are gained: p is 0.5, 0.018 and 2e-6."""
    for gained in (9, 20, 40):
        champion = candidate(except_digit(1, gained, SMALL), labels=SMALL)
        decision = decide(candidate(of_digit(1, SMALL)[:8], labels=SMALL), champion, POLICY)
        assert not decision.promote
    assert decision.reasons[0] == (
        "class 1 may have lost 56.9 points, and 5 are allowed (99 % confidence): 0.6667 against 1.0000 on 24 images"
    )


@pytest.mark.parametrize(("lost", "promote"), [(0, True), (2, True), (3, False)])
def test_of_a_digit_with_few_images_two_may_be_lost_and_the_reason_says_what_that_excludes(lost, promote):
    champion = candidate(except_digit(3, 40, SMALL), labels=SMALL)
    decision = decide(candidate(of_digit(3, SMALL)[:lost], labels=SMALL), champion, POLICY)
    assert decision.promote is promote
    bound = {0: "18.4", 2: "30.1", 3: "35.2"}[lost]
    assert f"{bound} points" in " ".join(decision.reasons)


@pytest.mark.parametrize(("lost", "promote"), [(13, True), (14, False)])
def test_of_a_digit_with_many_images_a_loss_above_the_limit_must_be_excluded(lost, promote):
    """Of 500 images, 14 are lost: this is 2.8 points, but a loss of 5.1 points can't be excluded."""
    labels = np.arange(5000) % 10
    champion = candidate(except_digit(3, 80, labels), labels=labels)
    decision = decide(candidate(of_digit(3, labels)[:lost], labels=labels), champion, POLICY)
    assert decision.promote is promote
    assert decide(
        candidate(of_digit(3, labels)[:lost], labels=labels),
        champion,
        POLICY.model_copy(update={"max_class_loss": 0.06}),
    ).promote


def test_losses_count_less_what_was_gained_at_the_same_digit():
    threes = of_digit(3, SMALL)
    champion = candidate([*except_digit(3, 40, SMALL), *threes[:3]], labels=SMALL)
    assert decide(candidate(threes[3:8], labels=SMALL), champion, POLICY).promote
    assert not decide(candidate(threes[3:9], labels=SMALL), champion, POLICY).promote


def test_a_digit_that_is_recognised_better_is_no_objection():
    assert decide(candidate(), candidate(range(500)), POLICY).promote


def test_a_digit_without_validation_images_is_an_objection():
    others = candidate(labels=np.where(LABELS == 3, 4, LABELS))
    decision = decide(others, candidate(range(500)), POLICY)
    assert decision.reasons[0] == "class 3: no validation image shows it, so a loss can't be excluded"


def test_margin_and_size_are_kept():
    better, champion = candidate(range(40), size_bytes=2000), candidate(range(50))
    assert decide(better, champion, POLICY.model_copy(update={"min_accuracy_gain": 0.01})).promote
    assert not decide(better, champion, POLICY.model_copy(update={"min_accuracy_gain": 0.02})).promote
    assert decide(better, champion, POLICY.model_copy(update={"max_size_bytes": 2000})).promote
    for rival in (champion, None):
        assert not decide(better, rival, POLICY.model_copy(update={"max_size_bytes": 1999})).promote


def test_a_latency_exceeds_its_limit_if_the_fastest_round_does():
    policy, champion = POLICY.model_copy(update={"max_latency_ms": 2.0}), candidate(range(50))
    for rival in (champion, None):
        assert decide(candidate(range(40), latencies_ms=(2.0, 2.4, 9.0)), rival, policy).promote
        assert not decide(candidate(range(40), latencies_ms=(2.01, 2.4, 9.0)), rival, policy).promote


def test_each_objection_is_a_reason_of_its_own():
    policy = POLICY.model_copy(update={"max_size_bytes": 1999, "max_latency_ms": 1.9, "min_accuracy_gain": 0.5})
    slow_and_large = candidate(range(40), size_bytes=2000, latencies_ms=(2.0, 2.1, 3.5))
    size, latency, gain, number = decide(slow_and_large, candidate(range(50)), policy).reasons
    assert size == "its file of 2000 bytes exceeds the limit of 1999"
    assert latency == (
        "its 2.00 ms per image exceed the limit of 1.9 (the fastest of 3 rounds; the slowest took 3.50 ms)"
    )
    assert gain.endswith("not better by the margin of 0.5")
    assert number.startswith("decision 1 ")


def test_a_limit_on_a_latency_that_was_not_measured_is_an_error():
    with pytest.raises(ValueError, match="not measured"):
        decide(candidate(), None, Promotion(max_latency_ms=1.0))


def test_candidates_that_saw_other_images_are_compared_as_independent():
    """McNemar's test gives 1 / 2^12; Fisher's test, with 950 and 962 of 1,000 right, gives 0.12."""
    assert decide(candidate(range(38)), candidate(range(50)), POLICY).promote
    assert not decide(candidate(range(38)), candidate(range(50), places=OTHER_IMAGES), POLICY).promote
    assert decide(candidate(range(10)), candidate(range(50), places=OTHER_IMAGES), POLICY).promote


def test_a_digits_loss_is_bounded_without_pairs_too():
    champion = candidate(except_digit(3, 60), places=OTHER_IMAGES)
    assert decide(candidate(of_digit(3)[:2]), champion, POLICY).promote
    refused = decide(candidate(of_digit(3)[:3]), champion, POLICY)
    assert refused.reasons[0].startswith("class 3 may have lost ")
