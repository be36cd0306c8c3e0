"""Check params.yaml, and print nothing where it is right: `python -m pipeline.commands.check_params`."""

from pathlib import Path

from pipeline.cli import run
from pipeline.config.params import load
from pipeline.paths import PARAMS


def main(path: Path = PARAMS) -> None:
    """Raise UserError, with every fault, unless the file holds parameters of this pipeline."""
    load(path)


if __name__ == "__main__":
    run(main)
