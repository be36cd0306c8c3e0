"""Draw the tour's pictures. Each is shown with a description in words, for those who can't see it."""

import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

# Of the colours that M. Okabe and K. Ito chose so that those who confuse red and green can tell them apart, 2008.
BLUE, RED, GREEN, PURPLE = COLOURS = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
STYLES = "-", "--", "-.", ":"  # so that lines differ without their colours, too
SIGNED = "RdBu"  # red below zero, white at zero, blue above
INK = "gray_r"  # as on paper: 0 is white, the largest value black


def show(figure: Figure, description: str) -> None:
    """Show a figure below the cell, with its description as what a screen reader reads."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    display(Image(file.getvalue(), alt=description))  # type: ignore[no-untyped-call]  # IPython has no types


def make_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, whose parts leave room for their labels."""
    return Figure(figsize=(width, height), layout="constrained")


def draw_images(
    images: Iterable[ArrayLike],
    titles: Sequence[str],
    columns: int,
    description: str,
    colours: str = INK,
    inches: float = 1.0,
) -> None:
    """Show images [n, height, width] in a grid; signed ones are white at zero, and each has a scale of its own."""
    arrays = [np.asarray(image, np.float64) for image in images]
    rows = -(-len(arrays) // columns)
    figure = make_figure(columns * inches, rows * (inches + 0.25))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, image, title in zip(grid.flat, arrays, titles, strict=False):
        draw_image(axes, image, colours)
        axes.set_title(title, fontsize=9)
    for axes in grid.flat:
        axes.axis("off")
    show(figure, description)


def draw_image(axes: Axes, image: ArrayLike, colours: str = INK) -> None:
    """Draw one image [height, width] without axes."""
    values = np.asarray(image, np.float64)
    largest = float(np.abs(values).max()) or 1.0
    axes.imshow(values, cmap=colours, vmin=-largest if colours == SIGNED else 0, vmax=largest)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_numbers(image: ArrayLike, description: str) -> None:
    """Show an image [height, width] of whole numbers, and beside it the same with each number in its square."""
    values = np.asarray(image)
    figure = make_figure(11, 7.4)
    picture, table = figure.subplots(1, 2, width_ratios=[1, 2.4])
    draw_image(picture, values)
    draw_image(table, values)
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value > 127 else "black"
        table.text(column, row, str(value), ha="center", va="center", fontsize=6.5, color=colour)
    picture.set_title("as a picture")
    table.set_title("as numbers")
    show(figure, description)


def draw_curves(
    curves: Mapping[str, Sequence[float]], x_label: str, y_label: str, description: str, first: int = 1
) -> None:
    """Show one line per name: its values, at `first`, `first` + 1, …"""
    figure = make_figure(7, 3.6)
    axes = figure.subplots()
    for (name, values), colour, style in zip(curves.items(), COLOURS, STYLES, strict=False):
        axes.plot(range(first, first + len(values)), values, style, marker=".", color=colour, label=name)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)
    axes.legend(frameon=False)
    show(figure, description)


def draw_bars(axes: Axes, probabilities: ArrayLike, title: str, names: Sequence[str] = "0123456789") -> None:
    """Draw one horizontal bar per class, with its probability beside it."""
    values = np.asarray(probabilities, np.float64)
    axes.barh(range(len(values)), values, color=BLUE)
    for place, value in enumerate(values):
        axes.text(value + 0.03, place, f"{value:.1%}", va="center", fontsize=8)
    axes.set_yticks(range(len(values)), list(names))
    axes.set(xlim=(0, 1.25), xlabel="probability", title=title)
    axes.set_xticks([0, 0.5, 1])
    axes.invert_yaxis()
    tidy(axes)


def tidy(axes: Axes) -> None:
    """Take away what carries no information, and add a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
