"""The routes of the app, without a model."""

from unittest.mock import MagicMock


def list_paths() -> list[str]:
    """Return the path of each route, in the order of the table."""
    from serving.app.limits import Limits
    from serving.app.routes import Routes  # which imports MLflow

    return [route.path for route in Routes(MagicMock(), MagicMock(), Limits()).table()]
