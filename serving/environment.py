"""The environment that MLflow and ONNX Runtime run in here: settings that the app and the batch tool share."""

import json
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The same file that the pipeline registers its models in.
TRACKING_STORE = ROOT / "mlflow.db"
REGISTRATION = ROOT / "registry/registry.json"  # what it registered last

# For all of MLflow: ask a registry that is down for seconds, not for minutes; report nothing to its makers; show no
# progress bars; run no pickle; and use the project's own store unless another one is set. ONNX Runtime, too, reports
# nothing to its makers.
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
    """Set each variable that the caller's environment leaves open; to be called before either is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def default_model() -> str:
    """Return the URI of the champion of the data set that was registered last; of mnist's if none was."""
    try:
        name = json.loads(REGISTRATION.read_text())["name"]
    except (OSError, ValueError, TypeError, KeyError):
        name = "mnist"
    return f"models:/{name}@champion"


def without_password(text: str) -> str:
    """Return a text whose addresses have nothing before their @, and no password among their options."""
    return re.sub(r"(?i)(password=)[^&\s]+", r"\1…", re.sub(r"(?<=://)\S*@", "", text))
