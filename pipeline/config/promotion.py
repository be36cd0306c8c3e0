"""The section `promotion` of params.yaml: what a version must achieve to become the champion."""

from typing import Annotated, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from pipeline.config.section import Fraction, Section


class Promotion(Section):
    """What a version must achieve to become the champion, judged on validation images."""

    renamed_keys: ClassVar[dict[str, str]] = {
        "margin": "min_accuracy_gain",
        "max_size": "max_size_bytes",
        "max_latency": "max_latency_ms",
    }

    min_accuracy_gain: Fraction = 0.0
    """Minimum gain in validation accuracy over the champion; the gain must also be statistically significant."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Significance level of the promotion gate's one-sided tests: the highest probability that a version passes that is
    only as good as the champion."""
    max_class_loss: Fraction = 0.05
    """Largest loss of accuracy on any class: a larger loss must be excluded, with confidence 1 - alpha, unless the
    version loses at most two images of the class on balance."""
    max_size_bytes: PositiveInt | None = None
    """Largest size of model.onnx in bytes; null is no limit."""
    max_latency_ms: PositiveFloat | None = None
    """Longest time per image in milliseconds, in ONNX Runtime with one thread, on the machine that registers: the
    smallest of five medians; null is no limit."""
    in_experiments: bool = False
    """Whether an experiment (`dvc exp run`) may make its version the champion."""
