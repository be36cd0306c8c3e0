import inspect

import keras
import pytest

from pipeline.config import keras_names

# Keras' internal functions, and objects that need labels, outputs or inputs of another form than one-hot classes.
NOT_OFFERED = {
    "optimizers": {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"},
    "losses": {"Loss", "LossFunctionWrapper", "CTC", "Circle", "SparseCategoricalCrossentropy"},
    "initializers": {"Initializer", "Identity", "STFT"},
    "activations": {"glu", "threshold"},
}
# Settings that belong to the layer or to the framework, not to the object, and settings that the pipeline decides.
NOT_ARGUMENTS = {
    "self",
    "x",
    "kwargs",
    "name",
    "seed",
    "dtype",
    "reduction",
    "from_logits",
    "input_axes",
    "output_axes",
}


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("optimizers", keras_names.OPTIMIZERS),
        ("losses", keras_names.LOSSES),
        ("initializers", keras_names.INITIALIZERS),
        ("activations", keras_names.ACTIVATIONS),
    ],
)
def test_the_tables_are_those_of_the_installed_keras(kind, table):
    objects = {item.__name__: item for item in getattr(keras.src, kind).ALL_OBJECTS}
    if kind == "losses":
        objects = {name: item for name, item in objects.items() if isinstance(item, type)}
    offered = {name: item for name, item in objects.items() if name not in NOT_OFFERED[kind]}

    def spelling(name: str) -> str:
        return name.lower().replace("_", "")

    arguments = {
        spelling(name): set(inspect.signature(item).parameters) - NOT_ARGUMENTS for name, item in offered.items()
    }
    for found in arguments.values():
        found -= {"axis", "exclude_layers"}  # the classes are always on the last axis; layers have no fixed names
    assert {spelling(name): set(found) for name, found in table.items()} == arguments


@pytest.mark.parametrize(
    ("argument", "value", "fault"),
    [
        ("nesterov", True, None),
        ("nesterov", 1, "true or false"),
        ("mode", "fan_in", None),
        ("mode", "in", "one of fan_in, fan_out, fan_avg"),
        ("momentum", 0.9, None),
        ("momentum", 0, None),
        ("momentum", True, "a number"),
        ("momentum", "fast", "a number"),
        ("momentum", float("nan"), "a number"),
        ("ns_steps", 5, None),
        ("ns_steps", 1, None),
        ("ns_steps", 0, "a whole number above 0"),
        ("ns_steps", 2.5, "a whole number above 0"),
        ("learning_rate", 0.1, None),
        ("learning_rate", 0, "a number above 0"),
        ("learning_rate", -1, "a number above 0"),
    ],
)
def test_values_of_arguments_are_checked(argument, value, fault):
    assert keras_names.find_fault(argument, value) == fault


@pytest.mark.parametrize("special", [keras_names.FLAGS, keras_names.COUNTS, keras_names.WORDS])
def test_arguments_with_values_of_their_own_exist(special):
    tables = (keras_names.OPTIMIZERS, keras_names.LOSSES, keras_names.INITIALIZERS, keras_names.ACTIVATIONS)
    assert set(special) <= {name for table in tables for arguments in table.values() for name in arguments}
