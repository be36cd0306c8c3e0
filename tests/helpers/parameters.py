"""Names of tests with parameters."""


def format_parameter(value: object) -> str:
    """Return a parameter in a form that fits a test's name: bytes would fill the screen."""
    return "body" if isinstance(value, bytes) else str(value)
