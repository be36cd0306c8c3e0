"""Train one model: read data/prepared/ and models.<model> of params.yaml, write models/<model>/."""

import csv
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from pipeline.cli import run, silence_stderr
from pipeline.config.params import load
from pipeline.data.pixels import as_raw
from pipeline.data.prepared import load_training_data
from pipeline.files import publish, read_json, sha256_of, write_json
from pipeline.guard import StageGuard
from pipeline.paths import Workspace
from pipeline.tracking.live import LiveRun
from pipeline.training.calibration import draw_calibration_pixels
from pipeline.training.fit import METRICS, Epoch, measure_temperature, train_model, use_threads
from pipeline.training.provenance import collect_provenance, hash_files

if TYPE_CHECKING:
    import keras


def main(name: str, workspace: Workspace = Workspace()) -> None:
    """Train the model `name`, with all its seeds, and export it."""
    guard = StageGuard("train", workspace, name)
    params = load(workspace.params)
    config = params.model(name)
    inputs = {
        "model": name,
        "dataset": read_json(workspace.dataset)["name"],
        "data_sha256": sha256_of(workspace.dataset),
        "seed": params.seed,
        "seeds_per_model": params.seeds_per_model,
        "parameters": config.model_dump(mode="json"),
    }
    data = load_training_data(workspace.prepared)
    provenance = collect_provenance(params.threads)
    use_threads(params.threads)
    started = datetime.now(UTC).isoformat()
    with publish(workspace.model(name), guard.check) as folder, LiveRun(inputs) as live:

        def on_epoch(epoch: Epoch) -> None:
            live.send(epoch)
            guard.warn()

        network, epochs = train_model(name, config, data, params.seed, on_epoch)

        with silence_stderr():
            from pipeline.training import examples, export, published

        pixels = as_raw(data.val.pixels)

        def calibrate(network: "keras.Model") -> "tuple[keras.Model, dict[str, str]]":
            """Return the model to publish, and the metadata of its ONNX file."""
            temperature = measure_temperature(network, config, data.val)
            metadata = {"model": name, "parameters": str(network.count_params()), "temperature": f"{temperature:g}"}
            return published.take_pixels(network, config, temperature), metadata

        with silence_stderr():
            model, metadata = calibrate(network)
            calibration = draw_calibration_pixels(data.train.pixels, params.seed)
            export.export_model(model, folder, metadata, pixels, calibration)
        if (augmented := examples.draw_examples(data.train, config, params.seed)) is not None:
            np.save(folder / "augmented.npy", augmented)
        with (folder / "history.csv").open("w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["epoch", *METRICS])
            rows.writerows([epoch["epoch"], *epoch["metrics"].values()] for epoch in epochs)
        # Train further seeds last, so that the published files are the same with and without them.
        further_seeds = range(params.seed + 1, params.seed + params.seeds_per_model)
        (folder / "further_seeds").mkdir()
        # Write the file without further seeds, too: evaluate depends on its folder, and DVC refuses a missing one.
        write_json(folder / "further_seeds" / "seeds.json", {"further_seeds": list(further_seeds)})
        for seed in further_seeds:
            print(f"{name}  again, with seed {seed}", flush=True)
            network, _ = train_model(name, config, data, seed, lambda epoch: guard.warn())
            with silence_stderr():
                model, metadata = calibrate(network)
                export.export_onnx(model, folder / "further_seeds" / f"{seed}.onnx", metadata, pixels)
        files = {"files_sha256": hash_files(folder)}
        receipt = {
            **inputs, "training": live.id, "started": started, "epochs": epochs, **files, **provenance
        }  # fmt: skip
        write_json(folder / "receipt.json", receipt)
        guard.check()  # publishing checks again; here, a fault ends the run in MLflow as failed


if __name__ == "__main__":
    run(main, "model")
