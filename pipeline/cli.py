"""The command line of every stage and command: arguments, errors for the user, and exit codes."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = "interrupted: nothing unfinished was published; run the command again"


class UserError(Exception):
    """A fault that the user can fix: its text names the cause, what is allowed and the next step."""


def run(main: Callable[..., None], *arguments: str) -> None:
    """Call `main` with the command line's arguments; on a fault that the user can fix, print one message and exit 1.

    `arguments` names the positional arguments of `main`. The last one is optional if its name is in brackets.
    """
    given = sys.argv[1:]
    required = [name for name in arguments if not name.startswith("[")]
    if not len(required) <= len(given) <= len(arguments):
        usage = " ".join(name if name.startswith("[") else f"<{name}>" for name in arguments)
        sys.exit(f"usage: python -m {_module_name()} {usage}".rstrip())
    # End a terminated stage like an interrupted one: it publishes nothing, and says so.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # `nohup` and a shell's `&` set this
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # TensorFlow and MLflow create a million objects that live until the exit. Searching them for garbage takes a tenth
    # of their import time and, at the exit, up to a second.
    gc.set_threshold(50_000)
    # ONNX Runtime would report its use, with the model's names, to its makers. It reads this when it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        main(*given)
        sys.stdout.flush()
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # what read the output has ended, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what Python still writes at its exit
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        # A full disk or a missing permission gets a message, not a stack trace; the file's name is in the error.
        sys.exit(f"error: {error}; nothing unfinished was published: fix the cause and run the command again")
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        sys.exit(130)
    finally:
        gc.freeze()


def end_on_interrupt() -> None:
    """End the process with one message and exit code 130 on Ctrl-C or SIGTERM, until `run` sets its own handlers.

    A KeyboardInterrupt would print a stack trace, or be lost while a package imports its modules.
    """

    def end(number: int, _: FrameType | None) -> None:
        os.write(2, f"{INTERRUPTED}\n".encode())
        os._exit(130)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def _module_name() -> str:
    spec = sys.modules["__main__"].__spec__
    return spec.name.removesuffix(".__main__") if spec else sys.argv[0]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, at most 200 characters, or the name of its class if it has no text."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Discard stderr: TensorFlow, its converters and LiteRT print messages on the machine that no setting stops."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
