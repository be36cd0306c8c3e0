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
    """Minimum gain in validation accuracy over the champion, which must exceed chance besides."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Level of the gate's tests, one-sided: how often a version that is only as good as the champion passes at most."""
    max_class_loss: Fraction = 0.05
    """Largest accuracy that a version may lose at a class: more must be excluded at confidence 1 - alpha, unless two
    images at most are lost on balance."""
    max_size_bytes: PositiveInt | None = None
    """Largest size of model.onnx in bytes; null is no limit."""
    max_latency_ms: PositiveFloat | None = None
    """Longest time per image in milliseconds, of ONNX Runtime with one thread, on the machine that registers: the
    fastest of five medians; null is no limit."""
    in_experiments: bool = False
    """Whether an experiment (`dvc exp run`) may make its version the champion."""
