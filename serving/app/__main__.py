"""The project's own server: `python -m serving.app [MODEL]`; --help lists the options."""

from contextlib import suppress

from serving.app.options import parse_options
from serving.app.process import pause_garbage_collection, save_memory
from serving.app.server import bind, serve, warn_if_exposed
from serving.environment import set_mlflow_defaults


def main() -> None:
    """Serve the model that the command line names."""
    options = parse_options()
    set_mlflow_defaults()
    save_memory()
    listener = bind(options.host, options.port)
    warn_if_exposed(options.host)
    pause_garbage_collection()
    serve(options, listener)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
