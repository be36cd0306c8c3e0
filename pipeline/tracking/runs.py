"""One finished run and one registered version in MLflow for each trained and evaluated content."""

import json

from pipeline.tracking import store as tracking
from pipeline.tracking.trained_model import SERVING_CODE, Content, serving_requirements

LIVE_TAGS = {"training", "made_of", "process"}  # what tells one live run from another until `register` completes it
KEPT_FILES = ("model.keras", "history.csv", "receipt.json")  # the others are the registered model's


def upsert(client, experiment_id: str, registered: str, content: Content):
    """The registered version of this content, with its finished run; what is missing of either is made.

    All that is logged carries the receipt's own times, so a run that was cut short is completed, not doubled.
    """
    import mlflow

    found = client.search_runs([experiment_id], f"tags.content_key = '{content.key}'", max_results=1)
    live = client.search_runs([experiment_id], f"tags.training = '{content.receipt['training']}'", max_results=1)
    runs = found or live
    if not runs:
        start = tracking.milliseconds(content.receipt["started"])
        runs = [client.create_run(experiment_id, start, content.tags(), content.name)]
    run_id = runs[0].info.run_id
    if not found or found[0].info.status != "FINISHED" or not logged_model(client, experiment_id, run_id):
        complete_run(client, experiment_id, run_id, content)
    delete_superseded(client, experiment_id, content.receipt)
    versions = client.search_model_versions(f"name = '{registered}' AND tags.content_key = '{content.key}'")
    if versions:
        return versions[0]
    source = logged_model(client, experiment_id, run_id).model_uri
    return mlflow.register_model(source, registered, tags=content.tags())


def complete_run(client, experiment_id: str, run_id: str, content: Content) -> None:
    """Log everything that the content says of itself, and finish the run at the time at which training did."""
    from mlflow.entities import RunTag

    receipt = content.receipt
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in content.tags().items()])
    tracking.log_numbers(client, run_id, tracking.settings(receipt), receipt_points(receipt, content.metrics))
    client.log_inputs(run_id, [dataset_input(content.dataset, receipt["data_sha256"])])
    client.log_artifacts(run_id, str(content.report), "report")
    for file in KEPT_FILES:
        client.log_artifact(run_id, str(content.model / file), "training")
    if diff := receipt["git"].get("diff"):
        client.log_text(run_id, diff, tracking.DIFF)
    if not logged_model(client, experiment_id, run_id):
        log_model(run_id, content)
    for tag in LIVE_TAGS & client.get_run(run_id).data.tags.keys():
        client.delete_tag(run_id, tag)  # a run is the same, whether or not it was shown live
    client.set_terminated(run_id, "FINISHED", tracking.milliseconds(receipt["epochs"][-1]["finished"]))


def delete_superseded(client, experiment_id: str, receipt: dict) -> None:
    """Delete the live runs of finished trainings of the very same, whose files a later one has replaced.

    They never became a content, and can't any more. Killed and failed runs stay: they tell what happened.
    """
    of_the_same = f"tags.made_of = '{tracking.fingerprint(receipt)}' AND attributes.status = 'FINISHED'"
    for run in client.search_runs([experiment_id], of_the_same):
        if "content_key" not in run.data.tags:
            client.delete_run(run.info.run_id)


def receipt_points(receipt: dict, metrics: dict) -> list:
    """All metrics of a run: each epoch's, and the published file's under their own names."""
    from mlflow.entities import Metric

    points = [point for epoch in receipt["epochs"] for point in tracking.epoch_points(epoch)]
    ended = tracking.milliseconds(receipt["epochs"][-1]["finished"])
    return points + [Metric(metric, value, ended, 0) for metric, value in metrics.items()]


def logged_model(client, experiment_id: str, run_id: str):
    """The complete model that the run has logged, or None."""
    found = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    return next((model for model in found if model.status == "READY"), None)


def log_model(run_id: str, content: Content) -> None:
    """Log the content's files and the serving code as the model that `mlflow models serve` serves."""
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    probabilities = ColSpec(Array(DataType.double), "probabilities")
    answer = [ColSpec(DataType.long, "digit"), ColSpec(DataType.double, "confidence"), probabilities]
    pixels = TensorSpec(np.dtype(np.float32), (-1, 28, 28))
    with mlflow.start_run(run_id=run_id):
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SERVING_CODE),
            artifacts={name: str(path) for name, path in content.artifacts.items()},
            signature=ModelSignature(inputs=Schema([pixels]), outputs=Schema(answer)),
            input_example=np.zeros((1, 28, 28), np.float32),
            pip_requirements=serving_requirements(),
            metadata=content.metadata(),
        )


def dataset_input(dataset: dict, sha256: str):
    """data/prepared/dataset.json as an MLflow data set; its digest begins the sha256 that the receipt records."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    entry = Dataset(
        name=dataset["name"],
        digest=sha256[:32],
        source_type="local",
        source=json.dumps({"uri": "data/prepared", "sha256": dataset["sources_sha256"]}),
        schema=json.dumps({"images": ["float32", [-1, *dataset["image_shape"]]], "labels": dataset["classes"]}),
        profile=json.dumps(dataset["splits"]),
    )
    return DatasetInput(entry, [InputTag("mlflow.data.context", "training")])
