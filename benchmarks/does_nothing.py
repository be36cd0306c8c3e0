"""A model that does nothing, logged as code: what is left is the cost of MLflow's server itself."""

from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class DoesNothing(PythonModel):
    def predict(self, context, model_input: list[Any], params: dict | None = None) -> list[Any]:
        return [0] * len(model_input)


set_model(DoesNothing())
