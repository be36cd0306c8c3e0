"""Train one model: data/prepared/ and models.<model> of params.yaml to models/<model>/."""

import math
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from pipeline.cli import UserError, run, silence_stderr
from pipeline.config import params as parameters
from pipeline.config.model import Augmentation
from pipeline.data.pixels import denormalise
from pipeline.files import publish, read_json, sha256_of, write_json
from pipeline.tracking.live import LiveRun
from pipeline.training.provenance import surroundings

PREPARED = Path("data/prepared")
CALIBRATION_IMAGES = 300  # of 100, 300 and 1,000, none changes cnn_fast on the validation images; each takes time


class Diverged(UserError):
    """A training whose loss or weights are no longer numbers: to a sweep a bad point, not the end."""


def main(name: str) -> None:
    params = parameters.load()
    block = params.model(name)
    dataset = read_json(PREPARED / "dataset.json")
    made_of = {
        "model": name,
        "dataset": dataset["name"],
        "data_sha256": sha256_of(PREPARED / "dataset.json"),
        "seed": params.seed,
        "seeds_per_model": params.seeds_per_model,
        "parameters": block.model_dump(mode="json"),
    }
    started = datetime.now(UTC).isoformat()
    with LiveRun(made_of) as live, publish(Path("models") / name) as folder:
        network, epochs = trained(name, block, dataset["classes"], params.seed, on_epoch=live.send)

        import pandas as pd

        with silence_stderr():
            from pipeline.training import export, networks

        metadata = {"model": name, "parameters": str(network.count_params())}
        pixels = denormalise(load_split("val")[0])
        with silence_stderr():
            calibration = calibration_pixels(params.seed)
            export.export(networks.from_pixels(network, block), folder, metadata, pixels, calibration)
        history = pd.DataFrame([{"epoch": epoch["epoch"], **epoch["metrics"]} for epoch in epochs])
        history.to_csv(folder / "history.csv", index=False)
        # Only now, so that the published files are the same with and without repeats.
        further_seeds = range(params.seed + 1, params.seed + params.seeds_per_model)
        (folder / "further_seeds").mkdir()
        # Also where there are none: evaluate depends on this folder, and DVC refuses a dependency that is missing.
        write_json(folder / "further_seeds" / "seeds.json", {"further_seeds": list(further_seeds)})
        for seed in further_seeds:
            print(f"{name}  again, with seed {seed}", flush=True)
            network, _ = trained(name, block, dataset["classes"], seed)
            with silence_stderr():
                export.export_onnx(
                    networks.from_pixels(network, block), folder / "further_seeds" / f"{seed}.onnx", metadata, pixels
                )
        receipt = {**made_of, "training": live.id, "started": started, "epochs": epochs, **surroundings(folder)}
        write_json(folder / "receipt.json", receipt)


def trained(name: str, block, classes: int, seed: int, on_epoch: Callable[[dict], None] = lambda entry: None) -> tuple:
    """A network trained from `seed` alone, as in a process of its own, and its epochs; `on_epoch` gets each at its end.

    TensorFlow is imported here at the latest.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence_stderr():
        import keras
        import tensorflow as tf

        from pipeline.training import networks

    keras.backend.clear_session()  # or the names of layers would count on, and memory would grow
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    network = networks.build(block, classes)
    return network, fit(name, network, block, seed, on_epoch)


def load_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """A prepared split: images, float32 [n, 28, 28, 1] in [0, 1], and one-hot labels, float32 [n, classes]."""
    images, labels = (np.load(PREPARED / split / f"{part}.npy", mmap_mode="r") for part in ("images", "labels"))
    return images, labels


def calibration_pixels(seed: int) -> np.ndarray:
    """Training images, drawn by the seed, for the ranges of the 8-bit file: float32 [n, 28, 28], 0…255."""
    images, _ = load_split("train")
    chosen = np.random.default_rng(seed).choice(len(images), min(CALIBRATION_IMAGES, len(images)), replace=False)
    return denormalise(images[np.sort(chosen)])


def fit(name: str, network, block, seed: int, on_epoch: Callable[[dict], None] = lambda entry: None) -> list[dict]:
    """Train `network` as `block` says, one line printed an epoch; return each epoch's metrics, seconds and end.

    `on_epoch` gets each entry as soon as there is one.
    A loss or weights that are not finite are a UserError: nothing is published.
    """
    import keras

    from pipeline.training import networks

    images, labels = load_split("train")
    networks.compile_network(network, block, math.ceil(len(images) / block.batch_size))
    epochs: list[dict] = []
    clock = time.perf_counter()
    psutil.cpu_percent()  # starts the count

    def end(epoch: int, logs: dict[str, float]) -> None:
        nonlocal clock
        seconds, clock = time.perf_counter() - clock, time.perf_counter()
        metrics = {key: float(logs[key]) for key in ("loss", "accuracy", "val_loss", "val_accuracy")}
        check_finite(name, network, epoch + 1, metrics["loss"])
        figures = "  ".join(f"{key} {value:.4f}" for key, value in metrics.items())
        print(f"{name}  epoch {epoch + 1}/{block.epochs}  {figures}  {seconds:.1f} s", flush=True)
        finished = datetime.now(UTC).isoformat()
        entry = {"epoch": epoch + 1, "metrics": metrics, "seconds": seconds, "finished": finished}
        epochs.append(entry | {"system": system_load()})
        on_epoch(epochs[-1])

    network.fit(
        training_batches(images, labels, block, seed),
        validation_data=load_split("val"),
        validation_batch_size=1000,
        epochs=block.epochs,
        shuffle=False,  # tf.data has done it
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=end)],
    )
    check_finite(name, network, block.epochs, epochs[-1]["metrics"]["loss"])  # Keras may have averaged the weights
    return epochs


def check_finite(name: str, network, epoch: int, loss: float) -> None:
    """UserError if the loss or a weight isn't a number; Keras clips probabilities, so the loss may look like one."""
    if not math.isfinite(loss) or not all(np.isfinite(weights).all() for weights in network.get_weights()):
        raise Diverged(
            f"{name} diverged in epoch {epoch} (loss {loss:.4g}, weights or loss not finite): lower the learning_rate "
            f"in models.{name}, or choose another loss or activation"
        )


def system_load() -> dict[str, float]:
    """CPU since the last call, in per cent, and memory in use, by the names of MLflow's own system metrics."""
    memory = psutil.virtual_memory()
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
        "system_memory_usage_percentage": memory.percent,
    }


def training_batches(images: np.ndarray, labels: np.ndarray, block, seed: int):
    """A tf.data set of (images, labels) batches, shuffled and augmented anew, by the seed, in each epoch."""
    import tensorflow as tf

    from pipeline.training.augmentation import augment

    all_images, all_labels = tf.constant(images), tf.constant(labels)
    # fit(numpy, shuffle=True) repeats one permutation in every epoch once Keras is seeded; tf.data doesn't.
    order = tf.data.Dataset.range(len(images)).shuffle(len(images), seed=seed, reshuffle_each_iteration=True)
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    how = getattr(block, "augmentation", Augmentation())

    def batch(indices: tf.Tensor, draw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chosen = tf.gather(all_images, indices)
        if how != Augmentation():
            chosen = augment(chosen, draw, how)
        return chosen, tf.gather(all_labels, indices)

    return tf.data.Dataset.zip(order.batch(block.batch_size), seeds).map(batch).prefetch(2)


if __name__ == "__main__":
    run(main, "model")
