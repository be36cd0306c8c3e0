"""Train one network from a seed: the same seed gives the same weights, in this process or in another."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from pipeline.cli import UserError, silence_stderr
from pipeline.config.model import ModelConfig
from pipeline.data.pixels import as_raw
from pipeline.data.prepared import Split, TrainingData

if TYPE_CHECKING:
    import keras

# An epoch's metrics: our names, and those in Keras' logs. Keras' val_loss is the objective, which differs by model.
METRICS = {
    "loss": "loss",
    "accuracy": "accuracy",
    "val_loss": "val_crossentropy",
    "val_accuracy": "val_accuracy",
}
MEMBERS_APART = 1_000_000  # distance between the seeds of two members: more than between further seeds
Epoch = dict[str, Any]
"""The receipt's entry on an epoch: its number, metrics, seconds, time of its end, and the machine's load."""


class DivergedError(UserError):
    """The loss or the weights are no longer finite numbers: a sweep counts this as a bad point and goes on."""


def ignore_epoch(epoch: Epoch) -> None:
    """Do nothing with an epoch: the default where nobody watches the training."""


def use_threads(number: int) -> None:
    """Let TensorFlow compute each operation with `number` threads; call this before TensorFlow is imported."""
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(number)


def train_model(
    name: str,
    config: ModelConfig,
    data: TrainingData,
    seed: int,
    on_epoch: Callable[[Epoch], None] = ignore_epoch,
) -> "tuple[keras.Model, list[Epoch]]":
    """Train a network from `seed`, with the same result as in a new process; return it and its epochs.

    `on_epoch` gets each epoch at its end. Raise DivergedError, and UserError for a value that Keras refuses or
    a network that is too large to export. This imports TensorFlow if nothing has imported it before.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence_stderr(), unavailable("matplotlib", "pandas", "sklearn"):
        import keras
        import tensorflow as tf

        from pipeline.training import networks

    networks.require_exportable(name, config, data.image_shape, data.classes)
    keras.backend.clear_session()  # otherwise layer names would go on counting, and memory would grow
    tf.config.experimental.enable_op_determinism()
    steps_per_epoch = math.ceil(len(data.train.pixels) / config.batch_size)
    members: list[keras.Model] = []
    epochs: list[Epoch] = []
    for place in range(config.members):
        own_seed = (seed + place * MEMBERS_APART) % 2**32  # seeds are below 2**32
        keras.utils.set_random_seed(own_seed)
        members.append(networks.build_compiled(config, data.image_shape, data.classes, steps_per_epoch))
        networks.whiten(members[-1], data.train.pixels)
        epochs += fit(name, members[-1], config, data, own_seed, on_epoch, first_epoch=len(epochs) + 1)
    return networks.join_members(config, members), epochs


def fit(
    name: str,
    network: "keras.Model",
    config: ModelConfig,
    data: TrainingData,
    seed: int,
    on_epoch: Callable[[Epoch], None] = ignore_epoch,
    first_epoch: int = 1,
) -> list[Epoch]:
    """Train a compiled network as `config` says, and print one line per epoch; return the epochs.

    `on_epoch` gets each epoch at its end. Raise DivergedError for a loss or weights that are not finite. Epochs are
    numbered from `first_epoch`, so that further members continue the numbers of the ones before.
    """
    import keras

    from pipeline.training.batches import make_batches, make_validation_batches

    epochs: list[Epoch] = []
    all_epochs = config.epochs * config.members
    clock = time.perf_counter()
    psutil.cpu_percent()  # the first call starts the measurement

    def end_epoch(index: int, logs: dict[str, float]) -> None:
        nonlocal clock
        seconds, clock = time.perf_counter() - clock, time.perf_counter()
        metrics = {name: float(logs[key]) for name, key in METRICS.items()}
        number = first_epoch + index
        require_finite(name, network, number, metrics["loss"])
        print(
            f"{name}  epoch {number}/{all_epochs}",
            *(f"{key} {value:.4f}" for key, value in metrics.items()),
            f"{seconds:.1f} s",
            sep="  ",
            flush=True,
        )
        finished = datetime.now(UTC).isoformat()
        epoch = {"epoch": number, "metrics": metrics, "seconds": seconds, "finished": finished}
        epochs.append(epoch | {"system": measure_system_load()})
        on_epoch(epochs[-1])

    callbacks: list[keras.callbacks.Callback] = [keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)]
    if config.early_stopping:
        arguments = config.early_stopping.model_dump()
        callbacks.append(keras.callbacks.EarlyStopping(METRICS["val_loss"], mode="min", **arguments))
    network.fit(
        make_batches(data.train, data.classes, config, seed),
        validation_data=make_validation_batches(data.val, data.classes),
        epochs=config.epochs,
        shuffle=False,  # tf.data shuffles
        verbose=0,
        callbacks=callbacks,
    )
    # Keras may have averaged the weights, or restored the best ones.
    require_finite(name, network, epochs[-1]["epoch"], epochs[-1]["metrics"]["loss"])
    return epochs


@contextmanager
def unavailable(*modules: str) -> Iterator[None]:
    """Make imports of these modules fail inside the block, unless they are imported already.

    Keras imports some of them if they are installed, for functions that nothing here uses, which takes a third longer.
    """
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is Python's way to forbid an import
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def measure_temperature(network: "keras.Model", config: ModelConfig, split: Split) -> float:
    """Return the temperature with which a trained network is published, fitted to `split`, the validation images."""
    from pipeline.training.published import answer_views, predict
    from pipeline.training.temperature import fit_temperature

    answers = predict(answer_views(network, config), as_raw(split.pixels))
    return fit_temperature(answers, split.labels.astype(np.int64))


def measure_accuracy(network: "keras.Model", config: ModelConfig, split: Split, temperature: float) -> float:
    """Return the accuracy of the published form of a trained network; the last epoch's accuracy may differ."""
    from pipeline.training.published import predict, take_pixels

    (answers,) = predict(take_pixels(network, config, temperature), as_raw(split.pixels))
    return float((answers.argmax(axis=1) == split.labels).mean())


def require_finite(name: str, network: "keras.Model", epoch: int, loss: float) -> None:
    """Raise DivergedError if the loss or a weight isn't a finite number.

    The loss alone isn't enough: Keras clips probabilities, so it can stay finite when the weights don't.
    """
    if not math.isfinite(loss) or not all(np.isfinite(weights).all() for weights in network.get_weights()):
        raise DivergedError(
            f"{name} diverged in epoch {epoch} (loss {loss:.4g}, weights or loss not finite): lower the learning_rate "
            f"in models.{name}, or choose another loss or activation"
        )


def measure_system_load() -> dict[str, float]:
    """Return CPU use since the last call, in percent, and memory in use, by the names of MLflow's system metrics."""
    memory = psutil.virtual_memory()
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
        "system_memory_usage_percentage": memory.percent,
    }
