"""The metrics of answers and their images for /metrics, and of how far they differ from the validation images."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serving import drift
from serving.app.scoring import Answer
from serving.doubt import CLOSE, NOTHING, SEVERAL, UNLIKE
from serving.loaded_model import LoadedModel

WINDOW = 500  # answers that are compared; with fewer, drift shows sooner, but so do false alarms
MAX_WAITING_VALUES = 25_088  # of images that wait, 32 of MNIST: counting them together takes a fraction of the time
MAX_NAMED_CLASSES, OTHERS = 100, "(others)"  # each is a time series, which costs Prometheus memory
SURE = "sure"
JUDGEMENTS = (SURE, NOTHING, SEVERAL, CLOSE, UNLIKE)
CONFIDENCES = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999])


class AnswerMetrics(Collector):
    """Counts of the current model's answers since its first one, and the bins of its last WINDOW answers."""

    def __init__(self) -> None:
        self.model: Callable[[], LoadedModel | None] = lambda: None
        self.waiting: list[tuple[np.ndarray, Sequence[Answer]]] = []
        self.values = 0
        self.counts: Counts | None = None

    def observe(self, loaded: LoadedModel, pixels: np.ndarray, answers: Sequence[Answer]) -> None:
        """Record a model's answers to pixels [n, *form.shape]; if the model is new, start new counts."""
        if self.model() is not loaded:
            # The reference is weak, so that a replaced model isn't kept in memory.
            self.model, self.counts = weakref.ref(loaded), Counts(loaded)
            self.waiting, self.values = [], 0
        self.waiting.append((pixels, answers))
        self.values += pixels.size
        if self.values >= MAX_WAITING_VALUES:
            self.count()

    def count(self) -> None:
        """Count the answers that wait."""
        if self.counts is not None and self.waiting:
            pixels, answers = zip(*self.waiting, strict=True)
            self.counts.add(np.concatenate(pixels), [answer for some in answers for answer in some])
            self.waiting, self.values = [], 0

    def collect(self) -> Iterator[Metric]:
        """Return the metrics, for Prometheus."""
        self.count()
        if self.counts is not None:
            yield from self.counts.report()


class Counts:
    """Counts of one model's answers, by the numbers of the classes instead of their names."""

    def __init__(self, loaded: LoadedModel):
        self.names: list[str] = loaded.model.class_names
        self.numbers = {name: number for number, name in enumerate(self.names)}
        self.is_ink = loaded.form.resize == "ink"
        # Other code may have registered the version: use only the statistics that this code knows.
        known = drift.describe(np.zeros((1, *loaded.form.shape)), np.zeros(1), np.zeros(1), self.is_ink).keys()
        reference = {name: bins for name, bins in loaded.reference.items() if name in known}
        self.edges, self.usual = (
            {name: np.asarray(bins[key]) for name, bins in reference.items()} for key in ("edges", "counts")
        )
        self.classes = np.zeros(len(self.names), np.int64)
        self.judgements = Counter(dict.fromkeys(JUDGEMENTS, 0))
        self.confidences, self.confidence = np.zeros(len(CONFIDENCES) + 1, np.int64), 0.0
        self.statistics = {name: np.zeros(len(counts), np.int64) for name, counts in self.usual.items()}
        self.sums = dict.fromkeys(self.usual, 0.0)
        self.window = np.zeros((0, len(self.usual)), np.intp)

    def add(self, pixels: np.ndarray, answers: Sequence[Answer]) -> None:
        """Count answers and their images."""
        classes = np.array([self.numbers[str(answer["label"])] for answer in answers])
        confidences = np.array([answer["confidence"] for answer in answers], np.float32)
        self.classes += np.bincount(classes, minlength=len(self.classes))
        self.confidences += drift.count(drift.place(confidences, CONFIDENCES), CONFIDENCES)
        self.confidence += float(confidences.sum())
        self.judgements.update(str(answer.get("reason", SURE)) for answer in answers if "sure" in answer)
        if not self.usual:
            return
        found = drift.describe(pixels, classes, confidences, self.is_ink)
        bins = {name: drift.place(found[name], edges) for name, edges in self.edges.items()}
        for name, edges in self.edges.items():
            self.statistics[name] += drift.count(bins[name], edges)
            self.sums[name] += float(found[name].sum())
        self.window = np.concatenate([self.window, np.column_stack(list(bins.values()))[-WINDOW:]])[-WINDOW:]

    def report(self) -> Iterator[Metric]:
        """Yield the counts for Prometheus, and the drift once the window is full: of fewer, it is mostly chance."""
        answers = CounterMetricFamily("digits_answers", "Answers by class", labels=["label"])
        by_class: list[int] = self.classes.tolist()
        for name, number in zip(self.names[:MAX_NAMED_CLASSES], by_class, strict=False):
            answers.add_metric([name], number)
        if len(self.names) > MAX_NAMED_CLASSES:
            answers.add_metric([OTHERS], sum(by_class[MAX_NAMED_CLASSES:]))
        yield answers
        judgements = CounterMetricFamily(
            "digits_judged_answers", "Answers of /predict: sure, or why they are unsure", labels=["judgement"]
        )
        for judgement, number in self.judgements.items():
            judgements.add_metric([judgement], number)
        yield judgements
        confidence = HistogramMetricFamily("digits_confidence", "Largest probability of each answer")
        confidence.add_metric([], accumulate_buckets(CONFIDENCES, self.confidences), self.confidence)
        yield confidence
        statistic = HistogramMetricFamily(
            "digits_image_statistic", "Images by what drift is measured of", labels=["statistic"]
        )
        for name in (name for name in self.usual if name not in ("class", "confidence")):
            statistic.add_metric([name], accumulate_buckets(self.edges[name], self.statistics[name]), self.sums[name])
        yield statistic
        yield GaugeMetricFamily("digits_drift_window_images", f"Last answers, {WINDOW} at most", len(self.window))
        drifted = GaugeMetricFamily(
            "digits_drift", f"Population stability index of the last {WINDOW} answers", labels=["statistic"]
        )
        if len(self.window) == WINDOW:
            for (name, usual), bins in zip(self.usual.items(), self.window.T, strict=True):
                drifted.add_metric([name], drift.measure(drift.count(bins, self.edges[name]), usual))
        yield drifted


def accumulate_buckets(edges: np.ndarray, counts: np.ndarray) -> list[tuple[str, float]]:
    """Return a histogram's buckets in Prometheus' form: the upper edge, and how many values are not above it."""
    return list(zip([*map(str, edges.tolist()), "+Inf"], map(float, accumulate(counts.tolist())), strict=True))
