"""A loaded and verified model, and the identity that distinguishes it from other models."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.images import Form
from serving.layers import NetworkLayers
from serving.units import Units

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.pyfunc import PyFuncModel

    from serving.model import Classifier

IDENTITY = ("onnx_sha256", "serving_code_sha256")  # tags that distinguish two versions with the same number

# A version's number and the values of these tags.
Identity = tuple[str | None, ...]


@dataclass(frozen=True)
class LoadedModel:
    """A verified model: MLflow's wrapper, the Classifier inside it, facts about the model, and its identity."""

    pyfunc: "PyFuncModel"
    model: "Classifier"
    facts: dict[str, Any]
    identity: Identity
    network: bytes = field(default=b"", repr=False)
    """The ONNX file that runs."""

    @cached_property
    def form(self) -> Form:
        """Return the form of pictures that it takes."""
        return form_of(self.model)

    @cached_property
    def usual(self) -> dict[str, np.ndarray] | None:
        """Return what `serving.doubt` compares its answers with; None if there were too few validation images."""
        usual = self.model.golden["usual"]
        return usual and {key: np.asarray(value) for key, value in usual.items()}

    @cached_property
    def units(self) -> Units:
        """Return the units of its layers; the first access opens the network once more."""
        return Units(NetworkLayers(self.network), self.form.shape)

    @property
    def reference(self) -> dict[str, dict[str, list[float]]]:
        """Return what `serving.drift` compares with, by statistic; empty if the evaluation published nothing."""
        return self.model.golden.get("reference") or {}

    @property
    def label(self) -> dict[str, str | None]:
        """Return name and version, as each answer contains them."""
        return {"name": self.facts["name"], "version": self.facts["version"]}


def version_identity(version: "ModelVersion") -> Identity:
    """Return the identity of a registered version; its number isn't enough, because a rebuilt store may reuse it."""
    return str(version.version), *map(version.tags.get, IDENTITY)


def form_of(model: "Classifier") -> Form:
    """Return the form of pictures that a model takes."""
    height, width, channels = (*model.shape, 1)[:3]
    return Form(height, width, channels, model.golden["resize"])
