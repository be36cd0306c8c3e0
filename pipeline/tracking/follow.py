"""Show a training in MLflow while it runs: reads JSON lines from the training on stdin until it ends.

The first line holds the training's inputs, then one line per epoch, then its status. Where the lines end without a
status, the training was killed.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from pipeline.cli import first_line
from pipeline.tracking.processes import PROCESS_TAG, close_dead_runs, identify_process
from pipeline.tracking.run_entries import epoch_points, hash_inputs, log_entries, run_params
from pipeline.tracking.store import connect


def main() -> None:
    try:
        # Of a killed training, the last line may be cut off.
        follow(json.loads(line) for line in sys.stdin if line.endswith("\n"))
    except Exception as error:  # whatever a store raises: training goes on without it
        sys.exit(f"warning: epochs aren't shown live ({first_line(error)}); `register` completes the run")


def follow(messages: Iterator[dict[str, Any]]) -> None:
    """Make a run of the first message, log the epochs, and end the run with the status that comes last."""
    inputs = next(messages)
    store = connect(inputs["dataset"])
    close_dead_runs(store)
    tags = {"training": inputs["training"], "inputs_sha256": hash_inputs(inputs), PROCESS_TAG: identify_process()}
    run_id = store.client.create_run(store.experiment_id, tags=tags, run_name=inputs["model"]).info.run_id
    log_entries(store.client, run_id, run_params(inputs), [])
    status = "KILLED"
    for message in messages:
        if "status" in message:
            status = message["status"]
        else:
            store.client.log_batch(run_id, metrics=epoch_points(message))
    store.client.set_terminated(run_id, status)


if __name__ == "__main__":
    main()
