"""Move the alias while four replicas of the app answer, on a team's tracking server.

`make test-engines` sets it up; then `PYTHONPATH=$PWD/.venv-engines python -m benchmarks.replicas [moves] [seed]`. The
server is real: PostgreSQL, S3 by moto, `mlflow server`. Each replica is a process of its own, to which a thread sends
requests without a pause. Prints how many requests failed, and after how long all replicas had followed each move.
"""

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.registry_race import COMMAND
from tests.helpers.checkouts import write_checkout
from tests.helpers.server import Server, command, launched
from tests.helpers.team import checkout_environment, team

REPLICAS = 4
POLL_S = 5.0
LATE_S = 60.0
DATASET = "replicas"


def main() -> None:
    """Move the alias `moves` times; exit with 1 if a request failed or a replica didn't follow in time."""
    moves, seed = (int(argument) for argument in [*sys.argv[1:], *("10", "0")[len(sys.argv) - 1 :]])
    draw = random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database, server, _ = stack.enter_context(team(folder))
        address = f"http://127.0.0.1:{server.port}"
        (folder / "checkout").mkdir()
        write_checkout(folder / "checkout", DATASET)
        environment = checkout_environment(folder / "checkout", MLFLOW_TRACKING_URI=address, REGISTRY_LOCK=database)
        subprocess.run(COMMAND, cwd=folder / "checkout", env=environment, check=True, capture_output=True)
        run_app = command(f"models:/{DATASET}@champion", "--poll-seconds", str(POLL_S))
        replicas = [stack.enter_context(launched(run_app, folder, environment)) for _ in range(REPLICAS)]
        load = Load(replicas)
        delays = move_alias(address, load, moves, draw)
        load.end()
    print(f"{load.requests:,} requests to {REPLICAS} replicas, {load.failed} failed")
    print(
        f"all followed {moves} moves, the last after at most {max(delays):.1f} s (they look every {POLL_S:g} s ± 20 %)"
    )
    sys.exit(load.failed > 0 or max(delays) > 1.2 * POLL_S + 3)


class Load:
    """A thread per replica that sends requests without a pause, and the version of each replica's last answer."""

    def __init__(self, replicas: list[Server]):
        self.requests, self.failed = 0, 0
        self.versions = [""] * len(replicas)
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=given) for given in enumerate(replicas)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop asking."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int, replica: Server) -> None:
        connection = replica.connect()
        while not self._is_over.is_set():
            connection.request("POST", "/predict", bytes(784), {"Content-Type": "application/octet-stream"})
            response = connection.getresponse()
            body = response.read()
            with self._lock:
                self.requests += 1
                self.failed += response.status != 200
            if response.status == 200:
                self.versions[number] = json.loads(body)["model"]["version"]


def move_alias(address: str, load: Load, moves: int, draw: random.Random) -> list[float]:
    """Move the alias `moves` times to another version; return for each move the seconds until all replicas followed."""
    from mlflow import MlflowClient

    client = MlflowClient(address)
    versions = [str(version.version) for version in client.search_model_versions(f"name = '{DATASET}'")]
    present, delays = str(client.get_model_version_by_alias(DATASET, "champion").version), []
    for _ in range(moves):
        present = draw.choice([version for version in versions if version != present])
        client.set_registered_model_alias(DATASET, "champion", present)
        start = time.monotonic()
        while {*load.versions} != {present} and time.monotonic() < start + LATE_S:
            time.sleep(0.01)
        delays.append(time.monotonic() - start)
    return delays


if __name__ == "__main__":
    main()
