"""Show a training in MLflow while it runs: reads JSON lines from the training on stdin until it ends.

The first line is what the training is made of, then one line an epoch, then its status. Where the lines end without
a status, the training was killed.
"""

import json
import signal
import sys
from collections.abc import Iterator

from pipeline.tracking import store as tracking


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, whose last line then says so
    try:
        follow(json.loads(line) for line in sys.stdin)
    except Exception as error:  # whatever a store raises: training goes on without it
        reason = str(error).splitlines()[0][:200]
        sys.exit(f"warning: epochs aren't shown live ({reason}); `register` completes the run")


def follow(messages: Iterator[dict]) -> None:
    """Make a run of the first message, log the epochs, and end the run with the status that comes last."""
    made_of = next(messages)
    client, experiment_id = tracking.connect(made_of["dataset"])
    tracking.close_dead_runs(client, experiment_id)
    tags = {"training": made_of["training"], "made_of": tracking.fingerprint(made_of)}
    tags["process"] = tracking.this_process()
    run_id = client.create_run(experiment_id, tags=tags, run_name=made_of["model"]).info.run_id
    tracking.log_numbers(client, run_id, tracking.settings(made_of), [])
    status = "KILLED"
    for message in messages:
        if "status" in message:
            status = message["status"]
        else:
            client.log_batch(run_id, metrics=tracking.epoch_points(message))
    client.set_terminated(run_id, status)


if __name__ == "__main__":
    main()
