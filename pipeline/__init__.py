"""The pipeline: stages, and the packages below them."""

import sys

if sys.argv[0] == "-m":
    # `python -m pipeline.…` is starting: an interrupt while it imports its modules ends it as one later does.
    from pipeline.cli import end_on_interrupt

    end_on_interrupt()
