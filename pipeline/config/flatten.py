"""Nested sections as flat, dotted keys, as MLflow logs parameters and as `dvc exp run -S` takes them."""

from collections.abc import Mapping
from typing import Any


def flatten(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn {"dense": [{"units": 10}]} into {"dense.0.units": 10}; leave out None; write a Keras object as its name."""
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
