"""A run that ended early continues after its finished shards, and ends as if it had not been interrupted."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from filelock import FileLock
from PIL import Image

from serving.batch import shards
from serving.batch.scoring import BatchError
from serving.batch.source import SourceError
from tests.helpers.batch_inputs import FORMS, as_folder, as_npy, as_parquet, many, open_source
from tests.helpers.batch_runs import check_going_on, scored
from tests.helpers.batch_stub import Failing, Meddling, Stub


def interrupted(source: Path, output: Path) -> None:
    """Score the source until two of its shards are finished."""
    with pytest.raises(OSError, match="no space left"):
        scored(source, output, Failing())
    assert not output.exists()


@pytest.mark.parametrize("form", ["npy", "idx, zipped", "parquet, bytes"])
def test_a_run_goes_on_and_ends_as_if_it_had_not_been_interrupted(form, tmp_path, capsys):
    check_going_on(FORMS[form](tmp_path, many(4500)), tmp_path, interrupted, capsys)


def test_another_model_input_or_size_of_shards_starts_again_and_says_so(tmp_path, capsys):
    source, output = as_npy(tmp_path / "a.npy", many(3000)), tmp_path / "out.parquet"
    interrupted(source, output)
    model = Stub("another network")
    scored(source, output, model)
    assert model.asked == 3000
    assert "starting again" in capsys.readouterr().err

    output.unlink()
    interrupted(source, output)
    model = Stub()
    scored(source, output, model, shard_images=2000)
    assert model.asked == 3000
    assert "starting again" in capsys.readouterr().err

    output.unlink()
    interrupted(source, output)
    as_npy(source, many(3000) + np.uint8(1))
    model = Stub()
    table = scored(source, output, model)
    assert model.asked == 3000
    assert table["label"][0] == "class 1"
    assert "starting again" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["code_sha256", "version"])
def test_changed_code_or_packages_start_again(part, tmp_path, monkeypatch, capsys):
    source, output = as_npy(tmp_path / "a.npy", many(3000)), tmp_path / "out.parquet"
    interrupted(source, output)
    monkeypatch.setattr(shards, part, lambda *_: "another")
    scored(source, output)
    assert "starting again" in capsys.readouterr().err


def test_the_code_is_all_that_the_answers_may_depend_on(tmp_path, monkeypatch):
    (tmp_path / "batch").mkdir()
    (tmp_path / "app").mkdir()
    monkeypatch.setattr(shards, "SERVING", tmp_path)
    hashes = [shards.code_sha256()]
    for file in ("images.py", "batch/rows.py", "batch/new.py"):
        (tmp_path / file).write_text(f"# {file}")
        hashes.append(shards.code_sha256())
    assert len(set(hashes)) == 4
    (tmp_path / "app" / "routes.py").write_text("# not of the batch tool")
    assert shards.code_sha256() == hashes[-1]


def overwrite(source: Path, other: Path) -> None:
    """Write another file's content into the source, as a script does when it runs again."""
    source.write_bytes(other.read_bytes())


CHANGES: dict[str, tuple[str, Callable[[Path, Path], object], int]] = {
    "npy, replaced": ("npy", lambda source, other: other.replace(source), 2000),
    "npy, changed": ("npy", overwrite, 2000),
    "npy, changed when all is scored": ("npy", overwrite, 4500),
    "npy, Fortran's order, changed": ("npy, Fortran's order", overwrite, 2000),
    "idx, changed": ("idx", overwrite, 2000),
    "idx, zipped, replaced": ("idx, zipped", lambda source, other: other.replace(source), 2000),
    "idx, zipped, changed": ("idx, zipped", overwrite, 2000),
    "parquet, replaced": ("parquet, bytes", lambda source, other: other.replace(source), 2000),
    "parquet, changed": ("parquet, bytes", overwrite, 2000),
    "parquet, cut short": ("parquet, bytes", lambda source, _: os.truncate(source, 9), 2000),
}


@pytest.mark.parametrize(("form", "change", "after"), CHANGES.values(), ids=CHANGES)
def test_an_input_that_changes_during_the_run_gives_no_answers(form, change, after, tmp_path, capsys):
    for folder in ("in", "other"):
        (tmp_path / folder).mkdir()
    source = FORMS[form](tmp_path / "in", many(4500))
    other = FORMS[form](tmp_path / "other", many(4500) + np.uint8(1))
    output = tmp_path / "out.parquet"
    with pytest.raises(SourceError, match="changed while it was scored, so nothing was written"):
        scored(source, output, Meddling(lambda: change(source, other), after))
    assert not output.exists()
    FORMS[form](tmp_path / "in", many(4500) + np.uint8(1))
    table = scored(source, output)
    assert "starting again" in capsys.readouterr().err
    assert table["label"].tolist() == [f"class {(number % 250 + 1) % 10}" for number in range(4500)]


def test_a_file_that_is_replaced_before_it_is_read_in_full_is_not_read_in_part(tmp_path):
    source = as_npy(tmp_path / "a.npy", many(3000))
    opened = open_source(source)
    as_npy(tmp_path / "b.npy", many(3000) + np.uint8(1)).replace(source)
    with pytest.raises(SourceError, match="changed while it was scored"):
        list(opened.chunks(0))


@pytest.mark.parametrize("change", [lambda file: file.write_bytes(b""), Path.unlink], ids=["changed", "removed"])
def test_an_image_that_changes_during_the_run_gives_no_answers(change, tmp_path):
    source = as_folder(tmp_path / "in", many(3) + np.uint8(1))
    with pytest.raises(SourceError, match="changed while it was scored, so nothing was written"):
        scored(source, tmp_path / "out.parquet", Meddling(lambda: change(source / "0000.png"), after=3))
    assert not (tmp_path / "out.parquet").exists()


def test_links_to_other_images_start_again(tmp_path):
    source = as_folder(tmp_path / "in", many(3) + np.uint8(1))
    target = (source / "0000.png").rename(tmp_path / "target.png")
    (source / "0000.png").symlink_to(target)
    output = tmp_path / "out.parquet"
    with pytest.raises(ZeroDivisionError):
        scored(source, output, Meddling(lambda: 1 / 0, after=3))
    Image.fromarray(many(6)[5] + np.uint8(1)).save(target)
    model = Stub()
    scored(source, output, model)
    assert model.asked == 3


def test_a_shard_that_was_cut_short_is_scored_again(tmp_path):
    source, output = as_npy(tmp_path / "a.npy", many(4500)), tmp_path / "out.parquet"
    scored(source, tmp_path / "whole.parquet")
    interrupted(source, output)
    shard = tmp_path / "out.parquet.part" / "00000001.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    model = Stub()
    scored(source, output, model)
    assert model.asked == 3500
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_two_runs_into_one_output_are_refused(tmp_path):
    (tmp_path / "out.parquet.part").mkdir()
    with FileLock(tmp_path / "out.parquet.part" / "lock"), pytest.raises(BatchError, match="another process"):
        scored(as_npy(tmp_path / "a.npy", many(10)), tmp_path / "out.parquet")


def test_a_shard_is_whole_chunks(tmp_path):
    with pytest.raises(ValueError, match="a multiple of 1000 is expected"):
        scored(as_npy(tmp_path / "a.npy", many(10)), tmp_path / "out.parquet", shard_images=1500)


def test_the_size_of_the_shards_does_not_show_in_the_answers(tmp_path):
    source = as_folder(tmp_path / "in", many(25) + np.uint8(1))
    tables = [scored(source, tmp_path / f"{size}.parquet", shard_images=size) for size in (1000, 3000)]
    pd.testing.assert_frame_equal(*tables)


def test_a_scratch_file_takes_its_name_only_if_all_went_well(tmp_path):
    file = tmp_path / "a"
    with pytest.raises(ZeroDivisionError), shards.published(file) as scratch:
        scratch.write_text(str(1 // 0) if scratch.write_text("half") else "")
    assert list(tmp_path.iterdir()) == []
    with shards.published(file) as scratch:
        scratch.write_text("whole")
        assert not file.exists()
    assert file.read_text() == "whole"


def test_answers_are_on_disk_before_they_get_their_name(tmp_path, monkeypatch):
    synced, named = set(), {}

    def sync(number: int) -> None:
        synced.add((os.fstat(number).st_ino, os.fstat(number).st_size))

    def rename(scratch: Path, file: Path) -> None:
        named[file.name] = (scratch.stat().st_ino, scratch.stat().st_size) in synced
        scratch.rename(file)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    scored(as_npy(tmp_path / "a.npy", many(10)), tmp_path / "out.parquet")
    assert named["out.parquet"]


def test_a_killed_run_on_a_file_without_rows_goes_on(tmp_path, monkeypatch):
    source, output = as_parquet(tmp_path / "a.parquet", {"pixels": pa.array([], pa.binary())}), tmp_path / "out.parquet"
    with monkeypatch.context() as patched:
        patched.setattr(shards.Shards, "join", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scored(source, output)
    assert not output.exists()
    assert len(scored(source, output)) == 0
    assert not (tmp_path / "out.parquet.part").exists()
