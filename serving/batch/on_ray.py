"""Score shards on Ray Data: processes on many machines get the shards' names; those of a killed one go to another.

Images don't pass through Ray: each process reads and writes its own files, on a file system that all machines see.
"""

import importlib.util
import logging
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serving.batch.scoring import BatchError, load_model
from serving.batch.shard import Job, score_shard
from serving.environment import DEFAULTS, ROOT

CONNECT_TIMEOUT_S = 10
STORE_BYTES = 100_000_000  # for names only; Ray's default is a third of the memory


class Worker:
    """A process that has loaded the model and scores shards, one after the other, in one thread."""

    def __init__(self, job: Job):
        self.job, self.unfit = job, ""
        try:  # Ray would print an exception of this method in a hundred lines
            self.loaded = load_model(job.uri)
        except BatchError as error:
            self.unfit = str(error)
            return
        if self.loaded.model.sha256 != job.sha256:
            self.unfit = f"{job.uri} isn't the same model on all machines"
        self.loaded.model.threads = ThreadPoolExecutor(1)  # one, because there is a process for each processor

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with `fault`, why its shard has no answers, and `unfit`, why this process can't score any."""
        return row | {
            "unfit": self.unfit,
            "fault": "" if self.unfit else score_shard(self.job, row["shard"], self.loaded),
        }


def require_ray() -> None:
    """Raise BatchError unless Ray is installed and, if RAY_ADDRESS has a port, something accepts connections there."""
    if importlib.util.find_spec("ray") is None:
        raise BatchError("Ray isn't installed: uv pip install --python .venv --require-hashes -r requirements-ray.lock")
    address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # unset, or a keyword of Ray
        return
    try:  # Ray itself would try for ten minutes
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise BatchError(f"no cluster answers at RAY_ADDRESS={address}: {error}") from None


def score_on_ray(job: Job, shards: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each shard, when it is done, with '' or why it has no answers; BatchError if Ray gives up.

    Uses the cluster that RAY_ADDRESS names, or else starts Ray on this machine, with a process per processor.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.exceptions import RayError

    try:
        processes = start_ray()
        DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        dataset = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards)).map(
            Worker,
            fn_constructor_args=(job,),
            compute=ActorPoolStrategy(size=min(processes, len(shards)), max_tasks_in_flight_per_actor=1),
            num_cpus=1,
        )
        for row in dataset.iter_rows():
            if row["unfit"]:
                raise BatchError(f"a process on Ray can't score: {row['unfit']}")
            yield row["shard"], row["fault"]
    except (RayError, ConnectionError) as error:
        raise BatchError(f"Ray gave up: {last_line(error)}; the same command scores the shards that are left") from None
    finally:
        ray.shutdown()


def start_ray() -> int:
    """Connect to a cluster or start Ray here; return how many processes can score, with one processor left for Ray.

    Ray Data waits forever if its actors take all processors.
    """
    import ray

    variables = {name: os.environ[name] for name in DEFAULTS if name in os.environ}  # they say where the models are
    environment = {"env_vars": variables, "py_modules": [str(ROOT / "serving")]}
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if "RAY_ADDRESS" in os.environ:
        ray.init(runtime_env=environment, **quiet)
        return max(1, int(ray.cluster_resources()["CPU"]) - 1)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    own = {"num_cpus": processors + 1, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    ray.init(address="local", runtime_env=environment, **own, **quiet)
    return processors


def last_line(error: Exception) -> str:
    """Return the last line of an error's text, which names the cause; the lines before it are a stack trace."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
