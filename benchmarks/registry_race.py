"""Let two checkouts register at once on a team's tracking server, with slow requests and kills at random moments.

`make test-engines` sets it up; then `PYTHONPATH=$PWD/.venv-engines python -m benchmarks.registry_race [rounds]
[seed]`. A round is a new data set on one server (PostgreSQL, S3 by moto, `mlflow server`): each checkout has four
models, two of which are the same in both. Each request is delayed by a random time, and arrives even if its sender is
dead. In two of three rounds one checkout's command is killed by SIGKILL at a random moment, and run again, as a person
would. Prints a line per round, the share that ended as it must (6 versions and 6 runs of 6 contents, the best is
champion, exit code 0), and how soon the lock of a killed holder was free.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.helpers.checkouts import BEST, PRESETS, write_checkout
from tests.helpers.server import Server
from tests.helpers.team import SlowNetwork, ask, checkout_environment, team

HERE, THERE = ("perceptron", "dense_10", "dense_512", "cnn_2m"), ("dense_10", "dense_784_800", "dense_512", "cnn_fast")
COMMAND = (sys.executable, "-m", "pipeline.register")
MEAN_DELAY_S = 0.01  # of each piece of a request and of its answer, drawn from an exponential distribution
LATEST_START_S, LATEST_KILL_S = 3.0, 25.0
HOLDERS = (
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted"
)


def main() -> None:
    """Run the rounds; exit with 1 if one didn't end as it must."""
    rounds, seed = (int(argument) for argument in [*sys.argv[1:], *("20", "0")[len(sys.argv) - 1 :]])
    draw, whole, freed = random.Random(seed), 0, list[float]()
    with tempfile.TemporaryDirectory() as name, team(Path(name)) as (database, server, _):
        network = SlowNetwork(server.port, draw, MEAN_DELAY_S)
        for number in range(1, rounds + 1):
            start = time.monotonic()
            checkouts = list[Path]()
            for presets in (HERE, THERE):
                folder = Path(name) / f"{number}-{len(checkouts)}"
                folder.mkdir()
                write_checkout(folder, f"race-{number}", {preset: PRESETS[preset] for preset in presets})
                checkouts.append(folder)
            variables = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{network.port}", "REGISTRY_LOCK": database}
            note, faults = race(checkouts, variables, draw, number % 3 > 0, database, freed)
            faults += find_faults(server, f"race-{number}")
            whole += not faults
            print(f"{number:>3}  {time.monotonic() - start:4.0f} s  {note}", *faults, sep="\n     ", flush=True)
    print(f"{whole} of {rounds} ended with 6 versions, 6 runs and the best as champion, seed {seed}")
    if freed:
        print(f"the lock of a killed holder was free after at most {max(freed):.2f} s (n = {len(freed)})")
    sys.exit(whole < rounds)


def race(
    checkouts: list[Path],
    variables: dict[str, str],
    draw: random.Random,
    kills: bool,
    database: str,
    freed: list[float],
) -> tuple[str, list[str]]:
    """Register in both checkouts at once; if `kills`, kill one command, and register there again.

    Returns in words what happened, and the output of each command that failed.
    """
    first = start(checkouts[0], variables)
    time.sleep(draw.uniform(0, LATEST_START_S))
    second = start(checkouts[1], variables)
    note = "both"
    if kills:
        victim, folder = draw.choice(((first, checkouts[0]), (second, checkouts[1])))
        after_s = draw.uniform(0, LATEST_KILL_S)
        try:
            victim.wait(after_s)
            note = "both; one was to be killed, and had ended"
        except subprocess.TimeoutExpired:
            note = f"one killed after {after_s:.1f} s" + kill(victim, database, freed)
            again = start(folder, variables)
            first, second = (again, second) if victim is first else (first, again)
    outputs = [(process.communicate()[0], process.returncode) for process in (first, second)]
    return note, [f"exit {code}: {output}" for output, code in outputs if code]


def start(folder: Path, variables: dict[str, str]) -> "subprocess.Popen[str]":
    """Start to register in a checkout."""
    environment = checkout_environment(folder, **variables)
    return subprocess.Popen(
        COMMAND, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def kill(process: "subprocess.Popen[str]", database: str, freed: list[float]) -> str:
    """Kill a process; if it has the lock, measure how long the database keeps it. Return in words what was measured."""

    def holds() -> bool:
        return any(str(name).endswith(f" {process.pid}") for name in ask(database, HOLDERS))

    had_it = holds()
    process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    while holds():
        time.sleep(0.005)
    seconds = time.monotonic() - killed
    process.communicate()
    if had_it:
        freed.append(seconds)
    return f" with the lock, free after {seconds:.2f} s" if had_it else " without the lock"


def find_faults(server: Server, name: str) -> Iterator[str]:
    """Yield each fault in the registry after a round."""
    from mlflow import MlflowClient

    client = MlflowClient(f"http://127.0.0.1:{server.port}")
    versions = client.search_model_versions(f"name = '{name}'")
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        yield "nothing is registered"
        return
    runs = client.search_runs([experiment.experiment_id])
    for kind, found in (("version", [one.tags for one in versions]), ("run", [one.data.tags for one in runs])):
        models: Counter[Any] = Counter(tags.get("model") for tags in found)
        if models != Counter(PRESETS.keys()):
            yield f"{kind}s: {dict(models)}"
    yield from (f"a run is {run.info.status}" for run in runs if run.info.status != "FINISHED")
    champion = client.get_model_version_by_alias(name, "champion").tags["model"]
    if champion != BEST:
        yield f"champion: {champion}"


if __name__ == "__main__":
    main()
