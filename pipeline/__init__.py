"""The pipeline: stages, and the packages below them."""

import sys

if sys.argv[0] == "-m":
    # `python -m pipeline.…` is starting: an interrupt during its imports must end it with one line, like a later one.
    from pipeline.cli import end_on_interrupt

    end_on_interrupt()
