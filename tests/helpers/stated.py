"""The accuracies that the comments of params.yaml state."""

import re

FORM = "# measured: test 97.93 %, tolerance 0.5"
MEASURED = re.compile(
    r"^ +# measured: test (?P<test>[\d.]+) %, tolerance (?P<tolerance>[\d.]+)\n(?: +#.*\n)* +(?P<model>[\w-]+):",
    re.MULTILINE,
)


def read_stated_accuracies(text: str) -> dict[str, tuple[float, float]]:
    """Return the stated accuracy on the test images in per cent, and the tolerance in points, by preset."""
    return {found["model"]: (float(found["test"]), float(found["tolerance"])) for found in MEASURED.finditer(text)}
