"""The routes of the app, without a model."""

from unittest.mock import MagicMock


def list_paths() -> list[str]:
    """Return the path of each route, in the order of the table."""
    from serving.app.asgi import build_routes  # which imports MLflow
    from serving.app.limits import Limits

    return [route.path for route in build_routes(MagicMock(), MagicMock(), Limits())]
