from datetime import UTC, datetime

import pytest

from pipeline.tracking.run_entries import (
    epoch_points,
    hash_inputs,
    log_entries,
    receipt_points,
    run_params,
    to_milliseconds,
)

INPUTS = {
    "model": "tiny",
    "dataset": "digits",
    "data_sha256": "0",
    "seed": 7,
    "seeds_per_model": 1,
    "parameters": {"epochs": 2, "optimizer": {"name": "Adam", "arguments": {"learning_rate": 0.01}}, "dropout": None},
}
EPOCH = {
    "epoch": 3,
    "metrics": {"loss": 0.5, "val_accuracy": 0.75},
    "seconds": 1.5,
    "finished": "2026-01-02T03:04:01+00:00",
    "system": {"cpu_utilization_percentage": 50.0},
}
MOMENT = 1767323041000  # the same in milliseconds


def shown(points: list) -> list[tuple]:
    return [(point.key, point.value, point.timestamp, point.step) for point in points]


@pytest.mark.parametrize("key", INPUTS)
def test_the_hash_depends_on_each_input_and_on_nothing_else(key):
    assert hash_inputs(INPUTS | {key: "other"}) != hash_inputs(INPUTS)
    assert hash_inputs(dict(reversed(INPUTS.items())) | {"training": "some", "epochs": []}) == hash_inputs(INPUTS)
    with pytest.raises(KeyError):
        hash_inputs({name: value for name, value in INPUTS.items() if name != key})


def test_params_are_flat_and_leave_out_what_is_not_a_setting():
    assert run_params(INPUTS) == {
        "dataset": "digits", "seed": 7, "seeds_per_model": 1, "epochs": 2, "optimizer": "Adam",
        "optimizer.learning_rate": 0.01,
    }  # fmt: skip


def test_an_epochs_points_have_its_number_and_its_time():
    assert shown(epoch_points(EPOCH)) == [
        ("epoch/loss", 0.5, MOMENT, 3),
        ("epoch/val_accuracy", 0.75, MOMENT, 3),
        ("epoch/seconds", 1.5, MOMENT, 3),
        ("system/cpu_utilization_percentage", 50.0, MOMENT, 3),
    ]


def test_a_receipts_points_are_those_of_all_epochs_and_the_published_files():
    later = EPOCH | {"epoch": 4, "finished": "2026-01-02T03:04:02+00:00"}
    points = receipt_points({"epochs": [EPOCH, later]}, {"test_accuracy": 0.25})
    assert shown(points) == [
        *shown(epoch_points(EPOCH)), *shown(epoch_points(later)), ("test_accuracy", 0.25, MOMENT + 1000, 0),
    ]  # fmt: skip


class Client:
    """Records the batches that are logged."""

    def __init__(self):
        self.params, self.metrics = [], []

    def log_batch(self, run_id: str, params: list = (), metrics: list = ()) -> None:
        assert run_id == "some"
        if params:
            self.params.append([(param.key, param.value) for param in params])
        if metrics:
            self.metrics.append(list(metrics))


@pytest.mark.parametrize(
    ("params", "points", "batches"),
    [(0, 0, ([], [])), (100, 1000, ([100], [1000])), (201, 2001, ([100, 100, 1], [1000, 1000, 1]))],
)
def test_entries_are_logged_once_in_batches_that_mlflow_takes(params, points, batches):
    client = Client()
    log_entries(client, "some", {f"key{number}": number for number in range(params)}, list(range(points)))
    assert ([len(batch) for batch in client.params], [len(batch) for batch in client.metrics]) == batches
    assert [entry for batch in client.params for entry in batch] == [(f"key{n}", str(n)) for n in range(params)]
    assert [point for batch in client.metrics for point in batch] == list(range(points))


def test_times_are_milliseconds_since_1970():
    assert to_milliseconds("1970-01-01T00:00:01.5+00:00") == 1500
    assert to_milliseconds(datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)) == 2000
