"""The metrics that /metrics reports to Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from serving.app.answer_metrics import AnswerMetrics

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # resident memory, processor seconds, open files
        self.requests = Counter("digits_requests", "Requests answered", ("route", "status"), registry=registry)
        self.seconds = Histogram(
            "digits_request_seconds", "Time to answer", ("route",), buckets=BUCKETS_S, registry=registry
        )
        self.images = Counter("digits_images", "Images scored", registry=registry)
        self.samples = Counter(
            "digits_samples", "Answered images that were to be kept", ("outcome",), registry=registry
        )
        self.answers = AnswerMetrics()
        registry.register(self.answers)
        self.in_flight = Gauge("digits_requests_in_flight", "Requests being received or answered", registry=registry)
        self.model = Gauge(
            "digits_model_info", "The model that answers: always 1", ("name", "version"), registry=registry
        )

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request, by the path of its route."""
        self.requests.labels(route, status).inc()
        self.seconds.labels(route).observe(seconds)

    def render(self, model: dict[str, str | None]) -> bytes:
        """Return all metrics in Prometheus' text format; `model` is the name and version that answer now."""
        self.model.clear()
        self.model.labels(model["name"], model["version"]).set(1)
        return generate_latest(self.registry)
