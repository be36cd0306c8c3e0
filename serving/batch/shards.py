"""The finished parts of a batch run, kept beside its output until all are there: so a killed run can go on."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pyarrow
from filelock import FileLock, Timeout
from pyarrow import parquet

# What the answers depend on, beside the input and the model.
CODE = [*sorted(Path(__file__).parent.glob("*.py")), Path(__file__).parent.with_name("images.py")]


class Busy(Exception):
    """Another process has these parts in hand."""


class Parts:
    """OUTPUT.part: a Parquet file for each `source.part` images, and a manifest of what they were made of."""

    def __init__(self, output: Path, source, model_sha256: str):
        self.output, self.folder, self.source = output, folder_of(output), source
        code = sha256(b"".join(file.read_bytes() for file in CODE)).hexdigest()
        self.made_of = json.dumps({"input": source.identity, "model": model_sha256, "code": code, "part": source.part})
        self.total = -(-source.count // source.part)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Busy if another process holds them; they are removed if the block ends with the output complete."""
        self.folder.mkdir(exist_ok=True)
        try:
            with FileLock(self.folder / "lock", timeout=0):
                yield
                shutil.rmtree(self.folder)
        except Timeout:
            raise Busy(f"another process scores into {self.output}: wait for it, or end it") from None

    def resume(self) -> int:
        """How many parts an earlier run on the same has finished; all else that it left is removed."""
        manifest = self.folder / "manifest.json"
        finished = 0
        if manifest.exists() and manifest.read_text() == self.made_of:
            while finished < self.total and self._is_whole(finished):
                finished += 1
            done = min(finished * self.source.part, self.source.count)
            print(f"going on: {done:,} of {self.source.count:,} images are scored already", file=sys.stderr)
        elif manifest.exists():
            print("starting anew: the input, the model or the code isn't that of the last run", file=sys.stderr)
        for left in set(self.folder.glob("*.parquet")) - {self._file(number) for number in range(finished)}:
            left.unlink()
        with published(manifest) as scratch:
            scratch.write_text(self.made_of)
        return finished

    def write(self, number: int, table: pyarrow.Table) -> None:
        """Keep the answers to one part."""
        with published(self._file(number)) as scratch:
            parquet.write_table(table, scratch)

    def join(self) -> int:
        """Write all parts, one after the other, to the output; how many images have no answer."""
        failed = 0
        with published(self.output) as scratch, parquet.ParquetWriter(scratch, self._read(0).schema) as writer:
            for number in range(self.total):
                table = self._read(number)
                failed += table["digit"].null_count
                writer.write_table(table)
        return failed

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:08}.parquet"

    def _read(self, number: int) -> pyarrow.Table:
        return parquet.ParquetFile(self._file(number)).read()

    def _is_whole(self, number: int) -> bool:
        try:
            rows = self._read(number).num_rows
        except (OSError, pyarrow.ArrowException):  # missing, or cut short when the machine lost its power
            return False
        return rows == min(self.source.part, self.source.count - number * self.source.part)


def folder_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.part")


@contextmanager
def published(file: Path) -> Iterator[Path]:
    """A scratch file beside `file` that takes its name if the block ends without an error."""
    scratch = file.with_name(f".{file.name}.new")
    try:
        yield scratch
        os.replace(scratch, file)
    finally:
        scratch.unlink(missing_ok=True)
