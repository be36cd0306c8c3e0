"""A promotion in a real store, killed at each of its writes."""

import itertools
import json
import multiprocessing
import os
import shutil
import signal

import mlflow
import numpy as np

from pipeline.tracking import promotion, registry
from pipeline.tracking.lock import lock_registry
from pipeline.tracking.store import Store, connect
from tests.helpers.candidates import POLICY


def promote_and_die(uri: str, root: str, numbers: list[int], step: int | None) -> None:
    """Run in its own process: promote versions in a real store, and be killed before write number `step`."""
    os.environ["DVC_ROOT"], os.environ["MLFLOW_TRACKING_URI"] = root, uri
    store = connect("digits")
    writes = itertools.count()

    def watched(write):
        def attempt(*arguments):
            if next(writes) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments)

        return attempt

    for name in ("set_registered_model_alias", "set_registered_model_tag", "set_model_version_tag"):
        setattr(store.client, name, watched(getattr(store.client, name)))
    registry.append_event = promotion.append_event = watched(promotion.append_event)
    with lock_registry():
        versions = [store.version(number) for number in numbers]
        promotion.promote(store, versions, POLICY)


def test_a_promoter_killed_by_the_system_leaves_a_champion_that_loads(trained, tmp_path):
    models = trained.registered()
    worse, better = (str(models[name].version) for name in ("dense_10", "tiny_cnn"))
    uri = f"sqlite:///{tmp_path}/store.db"
    shutil.copy(
        trained.folder / "mlflow.db", tmp_path / "store.db"
    )  # the models stay in their place, and are only read
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    journal = tmp_path / "promotions.jsonl"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.pyfunc", "pandas", "scipy.stats"])

    def promote(step: int | None) -> int:
        promoter = context.Process(target=promote_and_die, args=(uri, str(tmp_path), [worse, better], step))
        promoter.start()
        promoter.join(120)
        assert mlflow.pyfunc.load_model("models:/digits@champion").predict(np.zeros((1, 28, 28), np.float32))
        return promoter.exitcode

    # Three of the nine writes: after the new state, before the journal; before the first alias; between both aliases.
    for step in (2, 4, 5):
        for number in (worse, better):
            client.delete_model_version_tag("digits", number, "promotion")
        client.delete_registered_model_tag("digits", "champions")
        client.delete_registered_model_alias("digits", "previous")
        client.set_registered_model_alias("digits", "champion", worse)
        journal.unlink(missing_ok=True)
        assert promote(step) == -signal.SIGKILL
        assert promote(None) == 0
        assert Store(client, "1", "digits").aliases() == {"champion": better, "previous": worse}
        decided = [json.loads(line) for line in journal.read_text().splitlines()]
        assert {event["version"] for event in decided} == {worse, better}
        assert [event["version"] for event in decided if event["promote"]] == [better]
