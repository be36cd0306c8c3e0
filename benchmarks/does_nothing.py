"""A model that does nothing, logged as code, to measure the cost of MLflow's server itself."""

from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class DoesNothing(PythonModel):
    """Answers 0 to each image."""

    def predict(
        self, context: PythonModelContext, model_input: list[Any], params: dict[str, Any] | None = None
    ) -> list[Any]:
        """Return as many zeros as there are images."""
        return [0] * len(model_input)


set_model(DoesNothing())
