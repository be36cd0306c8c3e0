"""A small sweep, over a small model."""

from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML

from pipeline.sweep.space import SearchDefinition, define_search
from tests.helpers.params import PARAMS


def small(content: dict[str, Any]) -> None:
    """Change params.yaml's content to a sweep over the model `tiny`, on scikit-learn's digits."""
    content |= {"dataset": "digits", "presets": ["dense_10"]}
    content["models"]["tiny"] = {
        "family": "dense",
        "dense": [{"units": 16}],
        "optimizer": {"name": "SGD", "learning_rate": 0.1},
        "batch_size": 64,
        "epochs": 3,
    }
    content["sweep"] = {
        "model": "tiny",
        "trials": 1000,  # so many that a sweep to be killed can't end before
        "space": {
            "optimizer.learning_rate": {"low": 1e-3, "high": 1.0, "log": True},
            "dense.0.units": {"low": 8, "high": 64},
            "dense.0.dropout": {"low": 0.0, "high": 0.5},
            "dense.0.activation": {"choices": ["relu", "tanh"]},
        },
    }


def define(change: Callable[[dict[str, Any]], object] = lambda content: None) -> SearchDefinition:
    """Return the definition of the small sweep, after `change` has altered its content."""
    content = YAML(typ="safe").load(PARAMS)
    small(content)
    change(content)
    return define_search(content)


def make_epoch(number: int, accuracy: float) -> dict[str, Any]:
    """Return an epoch as training reports it."""
    return {"epoch": number, "metrics": {"val_accuracy": accuracy}, "finished": "2026-01-01T00:00:00+00:00"}
