"""The section `promotion` of params.yaml: what a version must keep to become the champion."""

from typing import Annotated, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from pipeline.config.section import Fraction, Section


class Promotion(Section):
    """What a version must keep, on validation images, to become the champion."""

    renamed_keys: ClassVar[dict[str, str]] = {
        "margin": "min_accuracy_gain",
        "max_size": "max_size_bytes",
        "max_latency": "max_latency_ms",
    }

    min_accuracy_gain: Fraction = 0.0
    """Minimum gain in validation accuracy over the champion."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Level of the tests that the version is worse at no digit."""
    max_size_bytes: PositiveInt | None = None
    """Largest size of model.onnx in bytes; null is no limit."""
    max_latency_ms: PositiveFloat | None = None
    """Longest time per image in milliseconds, of ONNX Runtime with one thread, on the machine that registers: the
    fastest of five medians; null is no limit."""
