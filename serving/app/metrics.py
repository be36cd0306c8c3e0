"""What /metrics tells Prometheus. A route is one of those that exist, or "other": clients can't make up labels."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

ROUTES = ("/", "/page", "/predict", "/invocations", "/ping", "/health", "/version", "/healthz", "/readyz", "/metrics")
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # resident memory, processor seconds, open files
        options = {"registry": self.registry}
        self.requests = Counter("digits_requests", "Requests answered", ("route", "status"), **options)
        self.seconds = Histogram("digits_request_seconds", "Time to answer", ("route",), buckets=SECONDS, **options)
        self.images = Counter("digits_images", "Images scored", **options)
        self.in_flight = Gauge("digits_requests_in_flight", "Requests being received or answered", **options)
        self.model = Gauge("digits_model_info", "The model that answers: always 1", ("name", "version"), **options)

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        route = path if path in ROUTES else "/page" if path.startswith("/page/") else "other"
        self.requests.labels(route, status).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self, model: dict[str, str | None]) -> bytes:
        """All of it in Prometheus' text format; `model` is what answers at this moment."""
        self.model.clear()
        self.model.labels(model["name"], model["version"]).set(1)
        return generate_latest(self.registry)
