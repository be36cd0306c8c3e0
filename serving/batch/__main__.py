"""Score any number of images into a Parquet file.

INPUT is a folder of image files (PNG, JPEG, WebP, BMP, GIF, TIFF), those in folders below it too; or a file of pixels
from 0 to 255, of the model's height and width, in colour red, green, blue: .npy [n, height, width], [n, height, width,
3], or n rows of as many numbers; IDX, also .gz (grey); Parquet with one column of lists of numbers or of bytes, with a
column for each number, named pixel0, pixel1 or the like, or with image files as Hugging Face publishes them. A file of
pixels in which none exceeds 1, or 16 where the model was trained on ink, is an error: such pixels are scaled to 0…1, or
black and white as 0 and 1, and the network would see blank images.

Links are followed; a folder that can't be read is an error. If INPUT changes during the run, nothing is written.

OUTPUT.parquet gets a row for each image: path or row, label, confidence. An image file that can't be read doesn't end
the run: its label and confidence are null, and a fourth column, error, says why. The file appears when it is complete.
Until then OUTPUT.parquet.part keeps what is finished: after a kill, the same command goes on from there.

An OUTPUT that doesn't end in .parquet is a folder, and INPUT a folder of Parquet files, those in folders below it too.
Each is scored into a file of the same name, which appears when it is complete; those that are there are skipped. A
folder of answers belongs to one INPUT and one model; another is an error. With --engine ray many machines do that:
those of RAY_ADDRESS, or processes on this one.

Exit code: 0 all images are scored; 3 all that could be read; 1 an error, with a message; 130 interrupted.
"""

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from serving.batch.formats import find_kind
from serving.batch.scoring import BatchError, load_model, score
from serving.batch.source import SourceError
from serving.environment import default_model

if TYPE_CHECKING:
    from serving.loaded_model import LoadedModel

SOME_UNREADABLE = 3
INTERRUPTED = 130


def main() -> None:
    """Run the command line; exit with the codes that the module's docstring lists."""
    options = parse_options()
    # SIGTERM ends a run as Ctrl+C does, with a message on how to go on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        unreadable = run(options.input, options.output, options.model, options.engine)
    except (BatchError, SourceError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # a full disk, a missing permission
        sys.exit(
            f"error: {error}; when that is mended, run the same command again: what is finished isn't scored again"
        )
    except KeyboardInterrupt:
        print("interrupted: what is scored so far is kept, and the same command goes on from there", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if unreadable:
        sys.exit(SOME_UNREADABLE)


def parse_options() -> argparse.Namespace:
    """Return the command line's input, output, model and engine."""
    parser = argparse.ArgumentParser(
        "python -m serving.batch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", type=Path, metavar="INPUT")
    parser.add_argument("output", type=Path, metavar="OUTPUT")
    parser.add_argument(
        "--model",
        default=default_model(),
        help="models:/name@alias, models:/name/3 or a folder (the champion of the last registration here: %(default)s)",
    )
    parser.add_argument(
        "--engine",
        choices=("here", "ray"),
        default="here",
        help="where a folder of Parquet files is scored (%(default)s)",
    )
    return parser.parse_args()


def run(input_path: Path, output: Path, uri: str, engine: str = "here") -> int:
    """Score the input into the output with the model that `uri` names; return how many images couldn't be read."""
    if input_path.is_dir() and output.suffix.lower() != ".parquet":
        return run_folder(input_path, output, uri, engine)
    if engine != "here":
        raise BatchError(f"--engine {engine} scores a folder of Parquet files into a folder: name two folders")
    check_output(input_path, output)
    kind = find_kind(input_path)  # before the model, which takes seconds
    loaded = load_model(uri)
    source = kind(input_path, loaded.form, loaded.model.max_images)
    if source.note:
        print(source.note, file=sys.stderr)
    unreadable = score(source, loaded.model, output)
    return report(output, loaded, source.count, unreadable)


def run_folder(input_path: Path, output: Path, uri: str, engine: str) -> int:
    """Score a folder of Parquet files into a folder; return how many images couldn't be read."""
    from serving.batch import on_ray
    from serving.batch.shard_folder import score_folder

    if engine == "ray":
        on_ray.require_ray()
    return report(output, *score_folder(input_path, output, uri, on_ray.score_on_ray if engine == "ray" else None))


def report(output: Path, loaded: "LoadedModel", count: int, unreadable: int) -> int:
    """Say how many images were answered, by which model; return how many couldn't be read."""
    images = "1 image" if count == 1 else f"{count:,} images"
    print(f"{output}: {images}, answered by {describe(loaded)}")
    if unreadable:
        print(f"{unreadable:,} of {images} couldn't be read: the column error says why", file=sys.stderr)
    return unreadable


def describe(loaded: "LoadedModel") -> str:
    """Describe the model in words: its name and version, if it is registered, and its preset."""
    name, version, preset = (loaded.facts[key] for key in ("name", "version", "preset"))
    return f"{name} version {version}, {preset}" if version else str(preset)


def check_output(input_path: Path, output: Path) -> None:
    """Raise BatchError unless the output can be written, has a name that ends in .parquet, and isn't the input."""
    if output.is_dir() or not output.parent.is_dir():
        raise BatchError(f"{output} can't be written: name a file in a folder that exists")
    if output.suffix.lower() != ".parquet":
        raise BatchError(f"{output} would be a Parquet file without its ending: name one that ends in .parquet")
    if output.exists() and input_path.exists() and output.samefile(input_path):
        raise BatchError(f"{output} is the input: name another file for the answers")


if __name__ == "__main__":
    main()
