"""A model that was loaded and verified, and what tells it from another one."""

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

IDENTITY = ("onnx_sha256", "serving_code_sha256")  # the tags that tell two versions of one number apart

# A version's number and these tags.
Identity = tuple[str | None, ...]


@dataclass(frozen=True)
class LoadedModel:
    """A verified model: as MLflow wraps it and as the Classifier inside, what is known of it, and its identity."""

    pyfunc: "PyFuncModel"
    model: "Classifier"
    facts: dict[str, Any]
    identity: Identity
    network: bytes = field(default=b"", repr=False)
    """The ONNX file that runs."""

    @cached_property
    def form(self) -> Form:
        """Return what pictures are brought to for it."""
        return form_of(self.model)

    @cached_property
    def usual(self) -> dict[str, np.ndarray] | None:
        """Return what `serving.doubt` compares its answers with; None if too little is known for that."""
        usual = self.model.golden["usual"]
        return usual and {key: np.asarray(value) for key, value in usual.items()}

    @cached_property
    def units(self) -> Units:
        """Return what its layers answer; the network is opened for that when it is first asked for."""
        return Units(NetworkLayers(self.network), self.form.shape)

    @property
    def reference(self) -> dict[str, dict[str, list[float]]]:
        """What `serving.drift` compares with, by statistic; empty if evaluation left nothing."""
        return self.model.golden.get("reference") or {}

    @property
    def label(self) -> dict[str, str | None]:
        """Name and version, as each answer carries them."""
        return {"name": self.facts["name"], "version": self.facts["version"]}


def version_identity(version: "ModelVersion") -> Identity:
    """Return what tells a registered version from others: a rebuilt store gives the same numbers to other models."""
    return str(version.version), *map(version.tags.get, IDENTITY)


def form_of(model: "Classifier") -> Form:
    """Return the form of pictures that a model takes."""
    height, width, channels = (*model.shape, 1)[:3]
    return Form(height, width, channels, model.golden["resize"])
