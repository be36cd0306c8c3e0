"""Simulate the promotion gate: how often does it promote a version that is equal, better, or worse at one digit?

    python -m benchmarks.gate [draws] [seed]      # one core, some twenty minutes with 4,000 draws
    python -m benchmarks.gate agreement MODEL…    # train each with three seeds: how often do they fail together?

A draw is a new validation set: every image has a difficulty, and given that, models fail independently of each other.
Difficulties are drawn from a beta distribution: its mean is the error rate, and the failures of two equal models have
the correlation phi. The second form measures phi between real models, on MNIST.
"""

import itertools
import sys
from collections.abc import Iterator

import numpy as np

from pipeline.config.params import load
from pipeline.config.promotion import Promotion
from pipeline.evaluation.gate import Candidate, check_classes, check_gain, loss_bound, p_value

POLICY = Promotion()
DIGITS = 10
SAME_KIND, OTHER_KIND = 0.65, 0.35  # phi of two seeds or versions of one network, and of two kinds of networks
SEQUENCE = 20
Errors = np.ndarray | float  # error rates: one, or one for each digit


def main(draws: str = "4000", seed: str = "0") -> None:
    """Print a table for each question."""
    number, rng = int(draws), np.random.default_rng(int(seed))
    print_gains(rng, number)
    print_levels(rng, number)
    print_losses(rng, number)
    print_sequences(rng, number // 4)


def print_gains(rng: np.random.Generator, draws: int) -> None:
    """Print how often a version that is better by some points at every digit is promoted."""
    gains = (0.0, 0.001, 0.002, 0.005, 0.01, 0.03)
    print("promoted: version's accuracy, phi; by gain in points: the gate (if any gain were enough)")
    cases = [*itertools.product((5000, 240), (0.93, 0.98, 0.995), (SAME_KIND, OTHER_KIND)), (10_000, 0.98, SAME_KIND)]
    for images, accuracy, phi in cases:
        cells = []
        for gain in gains:
            outcomes = [
                (is_promoted(champion, candidate), candidate.accuracy > champion.accuracy)
                for champion, candidate in draw(rng, draws, images, 1 - accuracy + gain, 1 - accuracy, phi)
            ]
            passed, more = np.mean(outcomes, axis=0)
            cells.append(f"{100 * gain:.1f}: {passed:6.2%} ({more:.0%})")
        print(f"{images:>5} images  {accuracy:.1%}  phi {phi}  {'   '.join(cells)}", flush=True)


def print_levels(rng: np.random.Generator, draws: int) -> None:
    """Print what other significance levels would change, for an accuracy of 98 % on 5,000 images."""
    print("\nby level: an equal version promoted, one that is 0.5 points better missed (5,000 images, 98 %)")
    equal, better = (list(draw(rng, draws, 5000, 0.02 + gain, 0.02, SAME_KIND)) for gain in (0.0, 0.005))
    for alpha in (0.05, 0.02, 0.01, 0.005, 0.01 / SEQUENCE):
        policy = POLICY.model_copy(update={"alpha": alpha})
        promoted, found = (share(is_promoted(*pair, policy) for pair in pairs) for pairs in (equal, better))
        print(f"alpha {alpha:<7g} {promoted:.2%}  {1 - found:.1%}", flush=True)


def print_losses(rng: np.random.Generator, draws: int) -> None:
    """Print how often a version that is better at nine digits and worse at one is promoted."""
    print("\nworse at one digit: promoted, in % (by its gain alone); the loss exceeds its stated bound")
    cases = [
        (240, 0.90, 0.07, (0.0, 0.1, 0.2, 0.33)),
        (1000, 0.93, 0.03, (0.0, 0.05, 0.1, 0.2)),
        (5000, 0.93, 0.02, (0.0, 0.01, 0.02, 0.03, 0.05)),
        (5000, 0.98, 0.01, (0.0, 0.01, 0.02, 0.03, 0.05)),
    ]
    for images, accuracy, gain, losses in cases:
        for loss in losses:
            errors = np.full(DIGITS, 1 - accuracy - gain)
            if loss:
                errors[0] = 1 - accuracy + loss
            passed, gained, exceeded = [], [], []
            for champion, candidate in draw(rng, draws, images, 1 - accuracy, errors, SAME_KIND):
                gained.append(p_value(candidate, champion) < POLICY.alpha)
                passed.append(gained[-1] and check_classes(candidate, champion, POLICY)[0])
                bound = loss_bound(candidate.on_class("0"), champion.on_class("0"), POLICY.alpha)
                exceeded.append(loss > 0 and bound < loss)
            print(
                f"{images:>5} images  {accuracy:.0%}, {gain:+.0%} elsewhere, {-loss:.0%} at one: "
                f"{share(passed):.1%} ({share(gained):.1%})  {share(exceeded):.2%}",
                flush=True,
            )


def print_sequences(rng: np.random.Generator, draws: int) -> None:
    """Print how often at least one of SEQUENCE equal versions, tested one after the other, replaces one champion."""
    print(f"\nany of {SEQUENCE} equal versions promoted: if any gain were enough; the gate; alpha / decisions so far")
    levels = POLICY.alpha / np.arange(1, SEQUENCE + 1)
    for images, accuracy in itertools.product((5000, 240), (0.93, 0.98, 0.995)):
        counts = np.zeros(3)
        for _ in range(draws):
            champion, *versions = draw_models(rng, images, [1 - accuracy] * (SEQUENCE + 1), SAME_KIND)
            p = np.array([p_value(version, champion) for version in versions])
            more = np.array([version.accuracy > champion.accuracy for version in versions])
            counts += np.any([more, p < POLICY.alpha, p < levels], axis=1)
        shares = "  ".join(f"{value:.1%}" for value in counts / draws)
        print(f"{images:>5} images  {accuracy:.1%}  {shares}", flush=True)


def draw(
    rng: np.random.Generator, draws: int, images: int, champion: Errors, candidate: Errors, phi: float
) -> Iterator[tuple[Candidate, Candidate]]:
    """Yield a champion and a candidate with these error rates, on new validation images each time."""
    for _ in range(draws):
        one, other = draw_models(rng, images, [champion, candidate], phi)
        yield one, other


def draw_models(rng: np.random.Generator, images: int, errors: list[Errors], phi: float) -> list[Candidate]:
    """Return models with these error rates on one new validation set that has equally many images of each digit."""
    place = np.arange(images)
    label = place % DIGITS
    rates = np.array([np.broadcast_to(error, DIGITS) for error in errors])[:, label]  # [models, images]
    mean, weight = rates.max(axis=0), (1 - phi) / phi
    difficulty = rng.beta(mean * weight, (1 - mean) * weight)
    is_wrong = rng.random(rates.shape) < difficulty * rates / mean
    return [Candidate(place, label, (label + wrong) % DIGITS, size_bytes=0) for wrong in is_wrong]


def is_promoted(champion: Candidate, candidate: Candidate, policy: Promotion = POLICY) -> bool:
    """Return the gate's decision, without limits of size and latency; stop at the first failed check, to save time."""
    return all(check(candidate, champion, policy)[0] for check in (check_gain, check_classes))


def share(outcomes: Iterator[bool] | list[bool]) -> float:
    """Return the share of outcomes that are true, from 0 to 1."""
    return float(np.mean(list(outcomes)))


def print_agreement(models: list[str]) -> None:
    """Train each model with three seeds; print for each pair how often they differ on validation images, and phi."""
    from pipeline.data.pixels import normalise
    from pipeline.data.prepared import load_training_data
    from pipeline.paths import Workspace
    from pipeline.training.fit import train_model, use_threads

    params, data = load(), load_training_data(Workspace().prepared)
    use_threads(params.threads)
    correct = {}
    for model, seed in itertools.product(models, range(3)):
        network, _ = train_model(model, params.model(model), data, seed)
        batches = np.array_split(normalise(data.val.pixels), 10)
        answers = np.concatenate([network(batch).numpy().argmax(1) for batch in batches])
        correct[f"{model}, seed {seed}"] = answers == data.val.labels
    for (name, one), (other_name, other) in itertools.combinations(correct.items(), 2):
        phi = np.corrcoef(one, other)[0, 1]
        accuracies = f"{one.mean():.2%} and {other.mean():.2%}"
        print(f"{name}, and {other_name}: {accuracies}, differ {np.mean(one != other):.2%}, phi {phi:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["agreement"]:
        print_agreement(sys.argv[2:])
    else:
        main(*sys.argv[1:])
