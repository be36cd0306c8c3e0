"""A folder of Parquet files becomes a folder of answers, however much of it has been done already."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from serving.batch import __main__ as command_line
from serving.batch import shard_folder
from serving.batch.__main__ import run
from serving.batch.scoring import BatchError
from serving.batch.shard_folder import MANIFEST, score_folder, uri_of
from serving.batch.source import SourceError
from tests.helpers.batch_inputs import as_folder, as_parquet, as_shards, many


def answers(folder: Path) -> dict[str, list[str]]:
    """The labels in each file of answers, by its path."""
    files = sorted(folder.rglob("*.parquet"))
    return {file.relative_to(folder).as_posix(): pd.read_parquet(file)["label"].tolist() for file in files}


def digits(count: int) -> list[str]:
    return [str(number % 10) for number in range(count)]


def test_each_shard_gets_a_file_of_its_name(model_folder, tmp_path, capsys):
    source = as_shards(tmp_path / "in", 30, 0, 5)
    (source / "day=1").mkdir()
    (source / "002.parquet").rename(source / "day=1" / "x.PARQUET")
    for name in ("_SUCCESS", ".000.parquet.crc", "_temporary"):
        (source / name).touch()
    assert run(source, tmp_path / "out", str(model_folder)) == 0
    assert capsys.readouterr().out == f"{tmp_path}/out: 35 images, answered by bright_pixel\n"
    assert answers(tmp_path / "out") == {"000.parquet": digits(30), "001.parquet": []}
    assert pd.read_parquet(tmp_path / "out/day=1/x.PARQUET")["label"].tolist() == digits(5)


def test_an_empty_shard_of_image_files_has_the_same_columns_as_the_others(model_folder, tmp_path):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for name, rows in (("000", []), ("001", [{"bytes": b"no image", "path": None}])):
        as_parquet(source / f"{name}.parquet", {"image": pa.array(rows, kind)})
    assert run(source, output, str(model_folder)) == 1
    assert pd.read_parquet(output)["error"].tolist()[0].startswith("not an image")
    empty, other = (parquet.read_schema(output / f"{name}.parquet") for name in ("000", "001"))
    assert empty == other


def test_shards_that_are_done_are_skipped_and_leftovers_removed(model_folder, tmp_path, capsys):
    source, output = as_shards(tmp_path / "in", 5, 5, 5), tmp_path / "out"
    run(source, output, str(model_folder))
    before = (output / "000.parquet").stat().st_ino
    (output / "001.parquet").unlink()
    leftover = output / ".001.parquet.run-0.new"
    leftover.touch()
    capsys.readouterr()
    run(source, output, str(model_folder))
    assert capsys.readouterr().err == "going on: 2 of 3 shards are scored already\n"
    assert (output / "000.parquet").stat().st_ino == before
    assert answers(output)["001.parquet"] == digits(5)
    assert not leftover.exists()


def test_shards_with_faults_are_named_and_the_others_scored(model_folder, tmp_path, capsys):
    source, output = as_shards(tmp_path / "in", 5, 5, 5, 5), tmp_path / "out"
    (source / "001.parquet").write_bytes(b"no Parquet")
    as_parquet(source / "002.parquet", {"pixels": [b"short"]})
    with pytest.raises(BatchError, match=r"2 of 4 shards have no answers; the same command tries these again"):
        run(source, output, str(model_folder))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["001.parquet", "002.parquet"]
    assert answers(output) == {"000.parquet": digits(5), "003.parquet": digits(5)}

    for number in (1, 2):
        (source / f"00{number}.parquet").write_bytes((source / "000.parquet").read_bytes())
    assert run(source, output, str(model_folder)) == 0


def test_a_run_in_which_every_shard_fails_ends_early(monkeypatch, model_folder, tmp_path):
    monkeypatch.setattr(shard_folder, "MAX_FAULTS", 3)
    source = as_shards(tmp_path / "in", *[1] * 5)
    for file in source.iterdir():
        file.write_bytes(b"")
    tried = []

    def engine(_, shards):
        for shard in shards:
            tried.append(shard)
            yield shard, "disk full"

    with pytest.raises(BatchError, match="stopped: 3 shards have no answers"):
        score_folder(source, tmp_path / "out", str(model_folder), engine)
    assert len(tried) == 3


def test_images_that_cant_be_read_count_also_when_they_were_scored_earlier(model_folder, tmp_path):
    (tmp_path / "in").mkdir()
    as_parquet(tmp_path / "in/a.parquet", {"image": [{"bytes": b"no image", "path": "a"}] * 3})
    for _ in range(2):
        assert run(tmp_path / "in", tmp_path / "out", str(model_folder)) == 3


def test_answers_of_another_model_or_code_are_not_mixed(model_folder, tmp_path, monkeypatch):
    source, output = as_shards(tmp_path / "in", 5), tmp_path / "out"
    run(source, output, str(model_folder))
    manifest = json.loads((output / MANIFEST).read_text())
    monkeypatch.setattr(shard_folder, "describe_answers", lambda *_: manifest | {"model": "another"})
    with pytest.raises(BatchError, match="holds answers of another model"):
        run(source, output, str(model_folder))
    assert answers(output) == {"000.parquet": digits(5)}


def test_answers_to_another_input_are_refused_and_kept(model_folder, tmp_path):
    output = tmp_path / "out"
    run(as_shards(tmp_path / "jan", 5), output, str(model_folder))
    with pytest.raises(
        BatchError, match=r"holds answers to another input, .*/jan: name another folder for those to .*/feb;"
    ):
        run(as_shards(tmp_path / "feb", 5, 7), output, str(model_folder))
    assert answers(output) == {"000.parquet": digits(5)}


def test_the_same_input_under_another_name_goes_on(model_folder, tmp_path, monkeypatch, capsys):
    source, output = as_shards(tmp_path / "in", 5, 5), tmp_path / "out"
    run(source, output, str(model_folder))
    (tmp_path / "link").symlink_to(source)
    monkeypatch.chdir(tmp_path)
    for name in (Path("in"), Path("link"), tmp_path / "in" / ".." / "in"):
        (output / "001.parquet").unlink()
        capsys.readouterr()
        assert run(name, output, str(model_folder)) == 0
        assert capsys.readouterr().err == "going on: 1 of 2 shards are scored already\n"


def test_a_moved_input_goes_on_when_the_manifest_has_its_path_as_the_message_says(model_folder, tmp_path):
    source, output = as_shards(tmp_path / "in", 5, 5), tmp_path / "out"
    run(source, output, str(model_folder))
    (output / "001.parquet").unlink()
    moved = source.rename(tmp_path / "moved")
    with pytest.raises(
        BatchError, match=r'moved or mounted elsewhere, write its path as "input" into .*/_answers.json'
    ):
        run(moved, output, str(model_folder))
    (tmp_path / "mount").symlink_to(moved)  # as a second mount: another path of the same folder
    manifest = json.loads((output / MANIFEST).read_text())
    (output / MANIFEST).write_text(json.dumps(manifest | {"input": str(tmp_path / "mount")}))
    assert run(moved, output, str(model_folder)) == 0
    assert answers(output) == {"000.parquet": digits(5), "001.parquet": digits(5)}


def test_answers_of_a_version_that_recorded_no_input_are_those_of_other_code(model_folder, tmp_path):
    source, output = as_shards(tmp_path / "in", 5), tmp_path / "out"
    run(source, output, str(model_folder))
    manifest = json.loads((output / MANIFEST).read_text())
    manifest.pop("input", None)
    (output / MANIFEST).write_text(json.dumps(manifest, indent=1))
    with pytest.raises(BatchError, match="holds answers of another model, or of other code or packages: name another"):
        run(source, output, str(model_folder))


def test_a_manifest_that_cant_be_read_is_named(model_folder, tmp_path):
    source, output = as_shards(tmp_path / "in", 5), tmp_path / "out"
    output.mkdir()
    (output / MANIFEST).write_text('{"input": "/in')
    with pytest.raises(BatchError, match=r"_answers\.json can't be read.*: mend it, or name another folder"):
        run(source, output, str(model_folder))


def test_a_shard_that_changed_after_it_was_answered_is_named(model_folder, tmp_path):
    source, output = as_shards(tmp_path / "in", 5, 5, 5), tmp_path / "out"
    run(source, output, str(model_folder))
    (output / "002.parquet").unlink()
    (as_shards(tmp_path / "other", 7) / "000.parquet").replace(source / "001.parquet")
    with pytest.raises(BatchError, match=r"out/001\.parquet has 5 answers, but its shard has 7 rows.* remove .* again"):
        run(source, output, str(model_folder))
    assert answers(output)["002.parquet"] == digits(5)  # the others are scored
    (output / "001.parquet").unlink()
    assert run(source, output, str(model_folder)) == 0
    assert answers(output)["001.parquet"] == digits(7)


def test_an_answer_that_isnt_whole_is_named(model_folder, tmp_path):
    source, output = as_shards(tmp_path / "in", 5, 5), tmp_path / "out"
    run(source, output, str(model_folder))
    (output / "001.parquet").write_bytes((output / "001.parquet").read_bytes()[:-5])
    with pytest.raises(BatchError, match=r"001\.parquet isn't whole: remove it, and run again"):
        run(source, output, str(model_folder))


def test_an_engine_gets_what_is_left_and_a_model_that_stays_the_same(model_folder, tmp_path, monkeypatch):
    source = as_shards(tmp_path / "in", 5, 5)
    monkeypatch.chdir(model_folder.parent)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/000.parquet").write_bytes(b"done")
    seen = []

    def engine(job, shards):
        seen.append((job, shards))
        yield "001.parquet", "not today"

    with pytest.raises(BatchError, match="1 of 2 shards have no answers"):
        score_folder(source, tmp_path / "out", model_folder.name, engine)
    ((job, shards),) = seen
    assert shards == ["001.parquet"]
    assert (job.input, job.output, job.uri) == (source, tmp_path / "out", str(model_folder))


def test_an_alias_is_passed_on_as_the_version_that_it_meant():
    loaded = SimpleNamespace(facts={"name": "mnist", "version": "3"})
    assert uri_of("models:/mnist@champion", loaded) == "models:/mnist/3"


def test_what_cant_be_is_said_before_the_model_is_loaded(tmp_path):
    shards, images, empty = as_shards(tmp_path / "in", 5), as_folder(tmp_path / "scans", many(2)), tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "file").touch()
    for source, output, message in [
        (images, "out", r"holds .*\.png, but only Parquet files are scored into a folder: name an OUTPUT that ends in"),
        (empty, "out", "holds no Parquet file: name a folder of some"),
        (shards, "file", "file can't be made: name a folder"),
        (shards, "nowhere/out", "out can't be made: name a folder, in one that exists"),
        (shards, "in", "lie in each other"),
        (shards, "in/out", "lie in each other"),
        (shards / "..", "in", "lie in each other"),
    ]:
        with pytest.raises((BatchError, SourceError), match=message):
            run(source, tmp_path / output, "no model")
    (shards / "notes.txt").touch()
    with pytest.raises(SourceError, match=r"holds notes\.txt, but only Parquet .* move other files away"):
        run(shards, tmp_path / "out", "no model")
    assert not (tmp_path / "out").exists()


def test_a_file_as_output_of_a_folder_of_parquet_files_is_refused(model_folder, tmp_path):
    with pytest.raises(SourceError, match="Parquet files are scored into a folder: name one as OUTPUT"):
        run(as_shards(tmp_path / "in", 5), tmp_path / "out.parquet", str(model_folder))


def test_an_engine_takes_folders_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["batch", str(tmp_path / "a.npy"), str(tmp_path / "a.parquet"), "--engine", "ray"])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == "error: --engine ray scores a folder of Parquet files into a folder: name two folders"


def test_a_fault_of_the_system_is_named_and_promises_nothing(tmp_path, monkeypatch):
    def read(_) -> None:
        raise PermissionError(13, "Permission denied", "a.npy")

    monkeypatch.setattr(sys, "argv", ["batch", str(tmp_path / "a.npy"), str(tmp_path / "a.parquet")])
    monkeypatch.setattr(command_line, "find_kind", read)
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == (
        "error: [Errno 13] Permission denied: 'a.npy'; when that is mended, run the same command again: what is "
        "finished isn't scored again"
    )
