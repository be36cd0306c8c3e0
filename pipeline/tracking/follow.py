"""Show a training in MLflow while it runs: reads JSON lines from the training on stdin until it ends.

    python -m pipeline.tracking.follow SECONDS

The first line holds the training's inputs, then one line per epoch, then its status. Where the lines end without a
status, the training was killed. A training that finishes within SECONDS isn't shown: `register` records it anyway, and
importing MLflow would take longer than many short trainings.
"""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Any

from pipeline.cli import first_line
from pipeline.tracking.processes import PROCESS_TAG, close_dead_runs, identify_process
from pipeline.tracking.run_entries import epoch_points, hash_inputs, log_entries, run_params
from pipeline.tracking.store import connect

END_TIMEOUT_S = 60  # how long a store may take to say how a training ended, before this process ends itself
Message = dict[str, Any]


def main(shown_after_s: str, at_end: Callable[[], object] = lambda: None) -> None:
    """Show the training on stdin if it lasts `shown_after_s` seconds or fails; call `at_end` when it has ended."""
    messages: SimpleQueue[Message | None] = SimpleQueue()
    reader = Thread(target=read, args=(messages, at_end))
    reader.start()
    reader.join(float(shown_after_s))
    received = iter(messages.get, None)
    if not reader.is_alive():
        entries = list(received)
        if not entries or entries[-1].get("status") == "FINISHED":
            return
        received = iter(entries)
    try:
        follow(received)
    except Exception as error:  # whatever a store raises: training goes on without it
        sys.exit(f"warning: epochs aren't shown live ({first_line(error)}); `register` completes the run")


def read(messages: "SimpleQueue[Message | None]", at_end: Callable[[], object]) -> None:
    """Put each line of stdin into `messages`, and None at the end, even if nobody reads them: the pipe mustn't fill."""
    try:
        for line in sys.stdin:
            if line.endswith("\n"):  # of a killed training, the last line may be cut off
                messages.put(json.loads(line))
    finally:
        messages.put(None)
        at_end()


def follow(messages: Iterator[Message]) -> None:
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
    main(sys.argv[1], lambda: signal.alarm(END_TIMEOUT_S))
