"""What the batch tool reads its images from, a thousand at a time."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK_IMAGES = 1000  # as many as the model takes in a call
SIDE = 28
PIXELS = SIDE * SIDE

# The pixels of some images, [n, 28, 28], and for each image None or why it can't be read.
Chunk = tuple[np.ndarray, list[str | None]]


class SourceError(ValueError):
    """An input can't be scored; the text names the cause and what is allowed."""


class Source(ABC):
    """An input of `count` images; `identity` is equal in a later run if the input is unchanged."""

    name_column: str  # of the output, for `names`
    can_fail: bool  # whether single images may be unreadable
    shard_images: int  # between two points from which a killed run can go on
    count: int
    identity: Mapping[str, str | int]

    @abstractmethod
    def names(self, start: int, stop: int) -> "Sequence[str] | np.ndarray":
        """Return what names each of these images in the output."""

    @abstractmethod
    def chunks(self, start: int) -> Iterator[Chunk]:
        """Yield the images from `start` on, at most CHUNK_IMAGES at a time; SourceError if the input is damaged."""
