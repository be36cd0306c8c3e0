"""Start MLflow's UI (`make ui`) and print the address of the page with the runs: best first, with their metrics.

`python -m pipeline.commands.ui [port]`.
"""

import json
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pipeline.cli import UserError, run
from pipeline.commands.port import require_free_port
from pipeline.config.params import load
from pipeline.tracking.location import store_uri
from pipeline.tracking.store import open_existing, translate_errors
from serving.environment import without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

BEST_FIRST = "metrics.`val_accuracy`"
COLUMNS = (
    "attributes.`Models`",
    BEST_FIRST,
    *(f"metrics.`{name}`" for name in ("test_accuracy", "val_loss")),
    *(f"params.`{name}`" for name in ("epochs", "batch_size", "optimizer", "seed")),
)
# What MLflow's own button "Share view" writes: a tag of the experiment with the table's state, which the address names.
VIEW, VIEW_TAG = "overview", "mlflow.sharedViewState."


def main(port: str = "5000") -> None:
    """Print the address of the runs' page, and become MLflow's UI unless the store is a server, which has its own."""
    is_server = store_uri().startswith(("http://", "https://"))
    if not is_server:
        require_free_port(port)
    server = without_password(store_uri()).rstrip("/") if is_server else f"http://127.0.0.1:{port}"
    with translate_errors():
        client = open_existing()
        experiment = find_experiment(client, load().dataset)
        is_shared = share_view(client, experiment)
    print(f"The runs on {experiment.name}: {server}/{page(experiment, is_shared)}", flush=True)
    if not is_server:
        os.environ |= {
            "MLFLOW_BACKEND_STORE_URI": store_uri(),  # otherwise it shows mlflow.db of the folder, not the store
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes for jobs that nothing here uses
        }
        quiet = ("--workers", "1", "--uvicorn-opts", "--log-level warning")  # a line per request would hide the address
        os.execv(sys.executable, (sys.executable, "-m", "mlflow", "ui", "--port", port, *quiet))


def find_experiment(client: "MlflowClient", name: str) -> "Experiment":
    """Return the data set's experiment, else the newest that there is; raise UserError if there is none."""
    others = client.search_experiments(filter_string="name != 'Default'", order_by=["creation_time DESC"])
    found = client.get_experiment_by_name(name) or next(iter(others), None)
    if found is None:
        raise UserError(f"{without_password(store_uri())} has no run yet: run `make run` first")
    return found


def share_view(client: "MlflowClient", experiment: "Experiment") -> bool:
    """Give the experiment a shared view of the runs' table; return whether it has it, which takes the right to write.

    Without it, the table shows no parameter and no metric.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, ErrorCode

    state = json.dumps({"orderByKey": BEST_FIRST, "orderByAsc": False, "selectedColumns": COLUMNS})
    try:
        if experiment.tags.get(VIEW_TAG + VIEW) != state:
            client.set_experiment_tag(experiment.experiment_id, VIEW_TAG + VIEW, state)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(PERMISSION_DENIED):
            raise
        return VIEW_TAG + VIEW in experiment.tags
    return True


def page(experiment: "Experiment", is_shared: bool) -> str:
    """Return the page of an experiment's runs, below the server's address; with the view if it is shared."""
    # By default MLflow shows its page for language models.
    query = {"workflowType": "machine_learning"} | ({"viewStateShareKey": VIEW} if is_shared else {})
    return f"#/experiments/{experiment.experiment_id}/runs?{urlencode(query)}"


if __name__ == "__main__":
    run(main, "[port]")
