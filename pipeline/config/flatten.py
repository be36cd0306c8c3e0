"""Nested sections as flat, dotted keys: MLflow's parameters, and what `dvc exp run -S` sets."""

from collections.abc import Mapping
from typing import Any


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn {"dense": [{"units": 10}]} into {"dense.0.units": 10}; leave None out; give Keras' objects by name."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, list):
            value = dict(enumerate(value))
        if isinstance(value, Mapping) and "arguments" in value:
            flat[f"{prefix}{key}"] = value["name"]
            value = value["arguments"]
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = value
    return flat
