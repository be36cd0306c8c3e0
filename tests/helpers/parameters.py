"""Names of parametrized tests."""


def format_parameter(value: object) -> str:
    """Return a parameter in a form for a test's name; bytes become "body", because they would fill the screen."""
    return "body" if isinstance(value, bytes) else str(value)
