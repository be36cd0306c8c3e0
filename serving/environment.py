"""Environment variables for MLflow and ONNX Runtime: settings that the app and the batch tool share."""

import json
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The SQLite file in which the pipeline registers its models.
TRACKING_STORE = ROOT / "mlflow.db"
REGISTRATION = ROOT / "registry/registry.json"  # the pipeline's last registration

# For MLflow: give up on a registry that is down after seconds, not minutes; send no telemetry; show no progress bars;
# load no pickle; and use the project's own store unless another one is set. ONNX Runtime sends no telemetry, either.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_TRACKING_URI": f"sqlite:///{TRACKING_STORE}",
}


def set_mlflow_defaults() -> None:
    """Set each variable of DEFAULTS that isn't set yet; call this before MLflow or ONNX Runtime is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def default_model() -> str:
    """Return the URI of the champion of the data set that was registered last, or of mnist if there is none."""
    try:
        name = json.loads(REGISTRATION.read_text())["name"]
    except (OSError, ValueError, TypeError, KeyError):
        name = "mnist"
    return f"models:/{name}@champion"


def without_password(text: str) -> str:
    """Return the text without the credentials in its URLs: what is before an @, and the value of `password=`."""
    return re.sub(r"(?i)(password=)[^&\s]+", r"\1…", re.sub(r"(?<=://)\S*@", "", text))
