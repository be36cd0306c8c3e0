"""The parameters that tests start from, whatever the project's own params.yaml holds."""

from pathlib import Path

PARAMS = Path(__file__).with_name("params.yaml").read_text()
