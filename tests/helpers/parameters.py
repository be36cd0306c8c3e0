"""Names of tests with parameters."""


def format_parameter(value: object) -> str:
    """Return a parameter as it stands in a test's name: bytes would fill the screen."""
    return "body" if isinstance(value, bytes) else str(value)
