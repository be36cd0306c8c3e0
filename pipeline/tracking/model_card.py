"""A model's card: what it is for, its data, its training, its figures, its limits and the licence of its data.

The headings are those of M. Mitchell et al., Model Cards for Model Reporting, FAT* 2019, as far as files can tell.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.config.credits import Credit
from pipeline.config.flatten import flatten

Card = dict[str, list[str]]
"""The sentences, as plain text, of each heading."""

USES = {"train": "to train", "val": "to choose by", "test": "to test"}
SPLITS = (("validation", "val"), ("test", "test"))
FILES = (("model.onnx, which is served,", ""), ("model_int8.tflite", "int8_"))
# What evaluate measured beyond the data set's own images, by the keys of metrics.json.
MEASURED_LIMITS = {
    "corrupted_accuracy": "Of test images that are corrupted as in MNIST-C, it is right on {:.2%}.",
    "moved_accuracy": "Of test images that are shifted, turned or scaled, it is right on {:.2%}.",
    "digits_scans_accuracy": "Of scikit-learn's scans of digits, another hand, it is right on {:.2%}.",
    "stranger_auroc": "In {:.2%} of pairs it is surer of a test image than of an image that shows none of the classes.",
}


def make_card(
    receipt: Mapping[str, Any], metrics: Mapping[str, float], dataset: Mapping[str, Any], credit: Credit
) -> Card:
    """Return the card of a model, from the contents of receipt.json, metrics.json and dataset.json."""
    splits = dataset["splits"]
    height, width, channels = dataset["image_shape"]
    seconds = sum(epoch["seconds"] for epoch in receipt["epochs"])
    images = [f"{splits[name]['images']:,} {use}" for name, use in USES.items()]
    limits = [text.format(metrics[key]) for key, text in MEASURED_LIMITS.items() if key in metrics]
    return {
        "Intended use": [
            f"It tells which of the {dataset['classes']} classes of {dataset['name']} an image shows; it takes "
            f"{height}×{width} pixels, {'from 0 to 255' if channels == 1 else 'red, green and blue from 0 to 255'}.",
            "It isn't meant for other images, nor to decide alone where a wrong answer does harm.",
        ],
        "Data": [f"{dataset['name']}, images: {', '.join(images)}.", f"Source: {credit.source.rstrip('.')}."],
        "Training": [
            f"{receipt['model']}: {describe_network(receipt['parameters'])}; {metrics['parameters']:,.0f} parameters.",
            f"Trained {count(len(receipt['epochs']), 'epoch')} with seed {receipt['seed']}, in {seconds:,.0f} s; "
            f"{describe_commit(receipt['git'])}.",
            f"{describe_augmentation(receipt['parameters'])}.",
        ],
        "Figures": list(list_figures(metrics, splits)),
        "Limits": [
            "It gives each image one of its classes, also one that shows none of them.",
            "The figures hold for images like those of the data set.",
            *limits,
        ],
        "Licence": [f"Of the data: {credit.licence.rstrip('.')}."],
    }


def list_figures(metrics: Mapping[str, float], splits: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences on each file's accuracy on each split, with the 95 % interval, and on the accuracy over seeds."""
    from pipeline.evaluation.significance import wilson_interval

    for file, prefix in FILES:
        shares = []
        for title, split in SPLITS:
            if (key := f"{prefix}{split}_accuracy") in metrics:
                images = splits[split]["images"]
                low, high = wilson_interval(round(metrics[key] * images), images)
                shares.append(
                    f"{metrics[key]:.2%} of {images:,} {title} images (95 %: {100 * low:.2f} to {100 * high:.2f})"
                )
        if shares:
            yield f"{file} is right on {' and on '.join(shares)}."
    if "seeds_per_model" in metrics:
        mean, deviation = metrics["test_accuracy_mean"], metrics["test_accuracy_deviation"]
        yield f"Over {metrics['seeds_per_model']} seeds, on {mean:.2%} ± {100 * deviation:.2f} of the test images."


def describe_network(parameters: Mapping[str, Any]) -> str:
    """Return a model's section of params.yaml in a few words: its kind, its layers, its optimizer."""
    layers = [
        count(len(parameters[key]), word)
        for key, word in (("convolutions", "convolution"), ("dense", "dense layer"))
        if parameters.get(key)
    ]
    optimizer = parameters.get("optimizer", {}).get("name")
    kind = f"a network of the family {parameters['family']}"
    kind += f" with {' and '.join(layers)}" if layers else ""
    return f"{kind}, trained by {optimizer}" if optimizer else kind


def describe_augmentation(parameters: Mapping[str, Any]) -> str:
    """Return in words how training augments its images, from a model's section of params.yaml."""
    used = {key: value for key, value in flatten(parameters.get("augmentation") or {}).items() if value}
    return f"Augmentation: {', '.join(f'{key} {value}' for key, value in used.items()) or 'none'}"


def count(number: int, word: str) -> str:
    """Return a number with its noun, in the plural if it takes one."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def describe_commit(git: Mapping[str, Any]) -> str:
    """Return in words from which commit a model was trained."""
    if not git["commit"]:
        return "the commit is not known"
    changes = " with uncommitted changes, which the run's training/uncommitted.diff has" if git["dirty"] else ""
    return f"from commit {git['commit'][:12]}{changes}"
