"""Pictures of a network's inside: its first weights, its layers' outputs, and images placed by its last hidden layer.

The same network and images give the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray

from pipeline.data.arrays import FloatArray, IntArray, UInt8Array
from pipeline.inference import split_in_batches
from serving.layers import NetworkLayers

WIDTH = 8.0  # inches, at matplotlib's 100 dots
MOST_TILES = 40  # shown per layer
TILES_IN_A_ROW = 20
UNITS_IN_A_ROW = 64
MOST_NAMED = 20  # classes that get a colour of their own
EMBEDDED = 2000  # images at most: more hide one another


def plot_layers(inside: NetworkLayers, image: UInt8Array, class_names: Sequence[str], path: Path) -> None:
    """Draw the weights of the first layer, and each layer's output for `image`, raw pixels."""
    rows: list[tuple[str, NDArray[Any], dict[str, Any]]] = []
    if inside.layers:
        title, tiles = show_first_weights(inside, image.shape)
        most = float(np.nanmax(np.abs(tiles)))
        rows.append((title, tiles, {"cmap": "RdBu", "vmin": -most, "vmax": most}))
    rows.append(("An image", image, {"cmap": "gray"}))
    answers = inside.activations(image[np.newaxis]) if inside.layers else []
    for place, (layer, (values,)) in enumerate(zip(inside.layers, answers, strict=True), 1):
        rows.append((name_layer(place, layer["kind"], values), tile_answers(values), {"cmap": "gray"}))
    heights = [0.3 + measure_height(picture) for _, picture, _ in rows]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    grid = GridSpec(len(rows), 1, figure, height_ratios=heights)
    for place, (title, picture, options) in enumerate(rows):
        axes = figure.add_subplot(grid[place])
        axes.imshow(picture, **options, interpolation="nearest")
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_anchor("W")
        axes.axis("off")
    if inside.layers and inside.layers[-1]["shape"] == [len(class_names)]:
        label_outputs(figure.axes[-1], class_names)
    figure.savefig(path)


def show_first_weights(inside: NetworkLayers, image_shape: Sequence[int]) -> tuple[str, NDArray[Any]]:
    """Return a title and the first layer's weights as tiles: one per filter or, in a dense layer, one per unit."""
    layer, (kernel, _) = inside.layers[0], inside.weights[0]
    if layer["kind"] == "convolution":
        filters = kernel.mean(axis=1)
        return f"The {len(filters)} filters of the first layer: blue adds, red subtracts", tile(filters)
    units = kernel.T.reshape(kernel.shape[1], *image_shape[:2], -1).mean(axis=3)
    what = "the answer" if layer["kind"] == "output" else "the unit"
    title = f"What ink adds (blue) or takes (red), pixel by pixel: {what} 0, 1, …"
    return title, tile(units)


def tile_answers(values: FloatArray) -> NDArray[Any]:
    """Return a layer's output for one image, [height, width, channels] or [units], as one picture."""
    if values.ndim == 3:
        return tile(values.transpose(2, 0, 1))
    rows = -(-len(values) // UNITS_IN_A_ROW)
    width = min(len(values), UNITS_IN_A_ROW)
    picture = np.full(rows * width, np.nan)
    picture[: len(values)] = values
    return picture.reshape(rows, width)


def tile(pictures: NDArray[Any]) -> NDArray[Any]:
    """Return at most MOST_TILES pictures [n, height, width] side by side, NaN between them."""
    shown = pictures[:MOST_TILES]
    columns = min(len(shown), TILES_IN_A_ROW)
    rows = -(-len(shown) // columns)
    framed = np.full((rows * columns, shown.shape[1] + 1, shown.shape[2] + 1), np.nan)
    framed[: len(shown), :-1, :-1] = shown
    _, height, width = framed.shape
    return framed.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)


def measure_height(picture: NDArray[Any]) -> float:
    """Return a picture's height in inches: as for the figure's width, but at most 0.1 per pixel, and 1.5."""
    height, width = picture.shape[:2]
    return float(min(height * 0.1, height / width * WIDTH, 1.5))


def name_layer(place: int, kind: str, values: FloatArray) -> str:
    """Return a layer's title: its number, kind and size."""
    if values.ndim == 1:
        return f"{place}: {kind}, {len(values)} units"
    height, width, maps = values.shape
    shown = f", {MOST_TILES} of them" if maps > MOST_TILES else ""
    return f"{place}: {kind}, {maps} maps of {height}×{width}{shown}"


def label_outputs(axes: Axes, class_names: Sequence[str]) -> None:
    """Write the classes below the outputs, if there is room."""
    if len(class_names) <= MOST_NAMED:
        axes.axis("on")
        axes.set_yticks([])
        axes.set_xticks(np.arange(len(class_names)), class_names, fontsize=8)
        axes.set_frame_on(False)


def compute_features(inside: NetworkLayers, images: UInt8Array) -> tuple[str, FloatArray]:
    """Return the name of the last hidden layer, else of the output, and what it computes for images, [n, features]."""
    layer = inside.layers[-2:][0]
    name = "the output" if layer["kind"] == "output" else "the last hidden layer"
    values = [inside.compute(batch, [layer["output"]])[0] for batch in split_in_batches(images)]
    return name, np.concatenate(values).reshape(len(images), -1)


def embed(features: FloatArray) -> FloatArray:
    """Return the coordinates of features [n, features] along the two directions of largest variance, [n, 2].

    Source: K. Pearson, On lines and planes of closest fit to systems of points in space, 1901 (principal components).
    """
    values = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    if len(values) < values.shape[1]:
        # The same directions from a matrix of images instead of features; a picture's last convolution has thousands.
        _, shares = np.linalg.eigh(values @ values.T)
        main = values.T @ shares[:, ::-1][:, :2]
        main /= np.maximum(np.linalg.norm(main, axis=0), np.finfo(np.float64).tiny)  # equal images have no direction
    else:
        _, directions = np.linalg.eigh(values.T @ values)
        main = directions[:, ::-1][:, :2]
    # A direction's sign is arbitrary: its largest part is made positive.
    main = main * np.sign(main[np.abs(main).argmax(axis=0), range(main.shape[1])])
    places: FloatArray = np.zeros((len(values), 2), np.float32)  # a single feature spreads in one direction
    places[:, : main.shape[1]] = values @ main
    return places


def plot_embedding(features: FloatArray, labels: IntArray, class_names: Sequence[str], by: str, path: Path) -> None:
    """Draw where features [n, features] of test images lie, each in its label's colour; `by` names their layer."""
    places = embed(features)
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    are_named = len(class_names) <= MOST_NAMED
    colours = colormaps["tab10" if len(class_names) <= 10 else "tab20"]
    for number, name in enumerate(class_names):
        own = places[labels == number]
        axes.scatter(own[:, 0], own[:, 1], s=6, color=colours(number if are_named else 0), alpha=0.6, linewidths=0)
        if are_named and len(own):
            box = {"boxstyle": "round", "facecolor": "white", "alpha": 0.8, "linewidth": 0}
            x, y = np.median(own, axis=0)
            axes.text(x, y, name, ha="center", va="center", fontsize=9, bbox=box, parse_math=False)
    axes.set(xticks=[], yticks=[], title=f"{len(places):,} test images, by {by}", frame_on=False)
    figure.savefig(path)
