"""The finished shards of a batch run, kept beside its output until all are there, so that a killed run can go on."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow
from filelock import FileLock, Timeout
from pyarrow import parquet

from serving.batch.source import Source
from serving.images import Form

if TYPE_CHECKING:
    from serving.model import Classifier

SERVING = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy", "onnxruntime", "pillow", "pyarrow")  # the bytes of an output depend on their versions


class OutputLockedError(Exception):
    """Another process writes these shards; the text says what to do."""


class Shards:
    """OUTPUT.part: a Parquet file for each `shard_images` images, and a manifest of what they were made from."""

    def __init__(self, output: Path, source: Source, model: "Classifier", shard_images: int):
        if shard_images % source.chunk_images:
            raise ValueError(
                f"shard_images {shard_images}: a multiple of {source.chunk_images} is expected, the size of a chunk"
            )
        self.output, self.source, self.shard_images = output, source, shard_images
        self.folder = output.with_name(f"{output.name}.part")
        self.manifest = json.dumps(
            {"input": source.identity, **describe_answers(source.form, model), "part": shard_images}
        )
        self.total = max(1, -(-source.count // shard_images))  # without images, one shard without rows

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the shards, and remove them if the block ends without an error, because then the output is complete.

        Raises OutputLockedError if another process has locked them.
        """
        self.folder.mkdir(exist_ok=True)
        try:
            with FileLock(self.folder / "lock", timeout=0):
                yield
                shutil.rmtree(self.folder)
        except Timeout:
            raise OutputLockedError(f"another process scores into {self.output}: wait for it, or end it") from None

    def resume(self) -> int:
        """Return how many shards an earlier run on the same input has finished; remove its other shards."""
        manifest = self.folder / "manifest.json"
        finished = 0
        if manifest.exists() and manifest.read_text() == self.manifest:
            while finished < self.total and self._is_whole(finished):
                finished += 1
            done = min(finished * self.shard_images, self.source.count)
            print(f"going on: {done:,} of {self.source.count:,} images are scored already", file=sys.stderr)
        elif manifest.exists():
            print(
                "starting again: the input, the model, the code or a package isn't that of the last run",
                file=sys.stderr,
            )
        for left in set(self.folder.glob("*.parquet")) - {self._file(number) for number in range(finished)}:
            left.unlink()
        with published(manifest) as scratch:
            scratch.write_text(self.manifest)
        return finished

    def write(self, number: int, table: pyarrow.Table) -> None:
        """Write the answers to one shard to disk."""
        with published(self._file(number)) as scratch:
            parquet.write_table(table, scratch)

    def join(self) -> int:
        """Write all shards, one after the other, to the output; return how many images have no answer."""
        failed = 0
        with published(self.output) as scratch, parquet.ParquetWriter(scratch, self._read(0).schema) as writer:
            for number in range(self.total):
                table = self._read(number)
                failed += table["label"].null_count
                writer.write_table(table)
        return failed

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:08}.parquet"

    def _read(self, number: int) -> pyarrow.Table:
        return parquet.ParquetFile(self._file(number)).read()

    def _is_whole(self, number: int) -> bool:
        try:
            rows = int(self._read(number).num_rows)
        except (OSError, pyarrow.ArrowException):  # missing, or cut short when the machine lost its power
            return False
        return rows == min(self.shard_images, self.source.count - number * self.shard_images)


def describe_answers(form: Form, model: "Classifier") -> dict[str, Any]:
    """Return all that the answers depend on besides the input: if it is equal, the answers are equal."""
    return {
        "form": asdict(form),
        "model": model.sha256,
        "class_names": model.class_names,
        "code": code_sha256(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def code_sha256() -> str:
    """Return the sha256 of the code that the answers may depend on: all of serving except the app."""
    files = [*SERVING.glob("*.py"), *SERVING.glob("batch/**/*.py")]
    return sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


@contextmanager
def published(file: Path, mark: str = "") -> Iterator[Path]:
    """Yield a scratch file beside `file`; if the block ends without an error, write it to disk and rename it to `file`.

    `mark` distinguishes it from the scratch file of another process that may write the same file.
    """
    scratch = file.with_name(f".{file.name}{mark}.new")
    try:
        yield scratch
        with scratch.open("rb") as written:
            os.fsync(written.fileno())  # what has its name is never made again, so it must survive a power cut
        os.replace(scratch, file)
    finally:
        scratch.unlink(missing_ok=True)
