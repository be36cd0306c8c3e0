"""The inputs of the batch tool; they yield as many images at a time as the model takes in one call."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from serving.images import Form

if TYPE_CHECKING:
    from collections.abc import Sequence

# Facts about an input that are equal in a later run if the input is unchanged.
Identity = dict[str, str | int]
# The pixels of some images, [n, *form.shape], and for each image None or the reason why it can't be read.
Chunk = tuple[np.ndarray, list[str | None]]


class SourceError(ValueError):
    """An input can't be scored; the text names the cause and what is allowed."""


class Source(ABC):
    """An input of `count` images of a form at `path`; `note` is a message for the user before it is scored, or ''."""

    name_column: str  # column of the output for `names`
    can_fail: bool  # whether single images may be unreadable
    shard_images: int  # about how many images are scored between two points from which a killed run can go on
    form: Form
    chunk_images: int
    path: Path
    count: int
    identity: Identity  # when it was opened
    note = ""

    @abstractmethod
    def names(self, start: int, stop: int) -> "Sequence[str] | np.ndarray":
        """Return the name in the output of each image from `start` to before `stop`."""

    @abstractmethod
    def chunks(self, start: int) -> Iterator[Chunk]:
        """Yield the images from `start` on, `chunk_images` at a time; SourceError if the input is damaged.

        Only one caller at a time, because all share one open file.
        """

    @abstractmethod
    def read_identity(self) -> Identity:
        """Return the identity of what is at the path now; OSError if nothing is."""

    def check_unchanged(self) -> None:
        """Raise SourceError if the input has changed since it was opened."""
        try:
            is_same = self.read_identity() == self.identity
        except OSError:
            is_same = False
        if not is_same:
            raise SourceError(
                f"{self.path} changed while it was scored, so nothing was written: run the command again, which starts "
                "from the first image"
            )


def stamp(status: os.stat_result) -> list[int]:
    """Return size, mtime and inode, which reveal a changed or replaced file; reading the content could take hours."""
    return [status.st_size, status.st_mtime_ns, status.st_ino]
