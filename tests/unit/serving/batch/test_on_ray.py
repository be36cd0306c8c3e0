"""The messages if Ray is not installed; tests/engines tests the runs on Ray."""

import importlib.util
import socket

import pytest

from serving.batch import on_ray
from serving.batch.__main__ import run
from serving.batch.on_ray import Worker, require_ray
from serving.batch.scoring import BatchError
from serving.batch.shard import Job
from tests.helpers.batch_inputs import as_shards


def test_without_ray_the_command_that_installs_it_is_named_and_nothing_written(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BatchError, match=r"^Ray isn't installed: uv pip install .* -r requirements-ray\.lock$"):
        run(as_shards(tmp_path / "in", 5), tmp_path / "out", "no model", "ray")
    assert not (tmp_path / "out").exists()


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        for prefix in ("", "ray://"):
            monkeypatch.setenv("RAY_ADDRESS", prefix + address)
            require_ray()
    with pytest.raises(BatchError, match=f"no cluster answers at RAY_ADDRESS=ray://{address}: "):
        require_ray()
    for word in ("auto", "local"):
        monkeypatch.setenv("RAY_ADDRESS", word)
        require_ray()


@pytest.mark.parametrize(
    ("model", "reason"), [("saved", "isn't the same model on all machines"), ("nowhere", "name a model's folder")]
)
def test_a_worker_without_the_model_scores_nothing_and_says_why(model, reason, model_folder, tmp_path):
    job = Job(as_shards(tmp_path / "in", 5), tmp_path / "out", str(model_folder.with_name(model)), "another", "run")
    answer = Worker(job)({"shard": "000.parquet"})
    assert (answer["shard"], answer["fault"]) == ("000.parquet", "")
    assert reason in answer["unfit"]
    assert not job.output.exists()


def test_a_worker_scores_in_one_thread_and_passes_a_fault_on(source, model_folder, tmp_path):
    worker = Worker(Job(tmp_path, tmp_path, str(model_folder), source.loaded.model.sha256, "run"))
    assert worker.loaded.model.threads._max_workers == 1
    answer = worker({"shard": "nowhere.parquet"})
    assert (answer["shard"], answer["unfit"]) == ("nowhere.parquet", "")
    assert "No such file" in answer["fault"]


def test_ray_is_imported_where_it_is_used():
    assert not hasattr(on_ray, "ray")
