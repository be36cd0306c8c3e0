"""`python -m pipeline.sweep`: search the space `sweep` of params.yaml."""

from pipeline.cli import run
from pipeline.sweep.search import main

if __name__ == "__main__":
    run(main)
