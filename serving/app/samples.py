"""Keep some answered images on disk, to be labelled by people and used for training. Off unless a folder is named.

FOLDER/answers-2026-11-30/7/134502-0.987-1f0c22d9.png: day, class, time of day (UTC), confidence and some random digits.
"""

import logging
import random
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, Full, Queue
from secrets import token_hex

import numpy as np
from PIL import Image
from prometheus_client import Counter

from serving.app.limits import Sampling
from serving.app.scoring import Answer

DAY = "answers-%Y-%m-%d"
NAME = re.compile(r"\.?\d{6}-\d\.\d{3}-[0-9a-f]{8}\.png")  # begins with a dot while it is written
UNFIT = re.compile(r'[/\\:*?"<>|%\x00-\x1f]|^\.')  # not allowed in a folder's name on some system
MAX_WAITING = 1000  # images; more are dropped
NEW_DAY_S = 600.0  # how often an idle app looks whether a day has begun

log = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Sample:
    """An answered image, uint8 [height, width] or [height, width, 3]."""

    pixels: np.ndarray
    label: str
    confidence: float
    answered: datetime


class Sampler:
    """Writes samples, and removes old ones, in a thread of its own: no request waits for the disk or fails with it."""

    def __init__(self, sampling: Sampling, outcomes: Counter):
        self.sampling, self.outcomes = sampling, outcomes
        self.waiting: Queue[Sample] = Queue(MAX_WAITING)
        self.problem = ""
        threading.Thread(target=self._write_all, name="sampler", daemon=True).start()

    def take(self, pixels: np.ndarray, answers: Sequence[Answer]) -> None:
        """Keep a random share of the images [n, …] and their answers."""
        for image, answer in zip(pixels, answers, strict=True):
            if random.random() < self.sampling.share:
                # A copy, because the image is a view of the request's body, which would stay in memory with it.
                copy = np.array(np.rint(image), np.uint8)
                sample = Sample(copy, str(answer["label"]), float(str(answer["confidence"])), datetime.now(UTC))
                try:
                    self.waiting.put_nowait(sample)
                except Full:
                    self.outcomes.labels("dropped").inc()

    def _write_all(self) -> None:
        cleaned = ""
        while True:
            now = datetime.now(UTC)
            if (day := f"{now:{DAY}}") != cleaned:  # without requests too: nothing is kept longer than promised
                cleaned = day if self._remove_old(now) else ""
            try:
                sample = self.waiting.get(timeout=NEW_DAY_S)
            except Empty:
                continue
            try:
                write(self.sampling.folder, sample)
            except OSError as error:  # for example a full disk
                self.outcomes.labels("failed").inc()
                self._report(f"samples can't be written: {error}")
            else:
                self.outcomes.labels("written").inc()
                if cleaned:  # or a folder that can't be cleaned would be reported with each sample
                    self.problem = ""
            finally:
                self.waiting.task_done()

    def _remove_old(self, now: datetime) -> bool:
        """Remove old samples; return whether that worked, or it has to be tried again."""
        try:
            remove_old(self.sampling.folder, now - timedelta(days=self.sampling.days))
        except OSError as error:
            self._report(f"old samples can't be removed: {error}")
            return False
        return True

    def _report(self, problem: str) -> None:
        """Log a problem when it is a new one."""
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem


def write(folder: Path, sample: Sample) -> None:
    """Write one sample; the file gets its name when it is complete."""
    place = folder / f"{sample.answered:{DAY}}" / folder_name(sample.label)
    place.mkdir(parents=True, exist_ok=True)
    name = f"{sample.answered:%H%M%S}-{sample.confidence:.3f}-{token_hex(4)}.png"
    part = place / f".{name}"
    Image.fromarray(sample.pixels).save(part)
    part.rename(place / name)


def folder_name(label: str) -> str:
    """Return a class's name as a folder's name; characters that aren't allowed are percent-encoded, / as %2F."""
    return UNFIT.sub(lambda found: f"%{ord(found[0]):02X}", label)


def remove_old(folder: Path, before: datetime) -> None:
    """Remove the samples of all days before the day of `before`: only files with names that `write` gives."""
    for day in folder.glob("answers-*"):
        with suppress(ValueError):  # a folder of another kind
            if datetime.strptime(day.name, DAY).replace(tzinfo=UTC).date() < before.date():
                for path in day.glob("*/*"):
                    if NAME.fullmatch(path.name):
                        path.unlink(missing_ok=True)
                for place in (*day.glob("*"), day):
                    with suppress(OSError):  # something else is in it
                        place.rmdir()
