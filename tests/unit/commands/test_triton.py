"""The model repository that Triton reads."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.cli import UserError
from pipeline.commands import triton
from pipeline.commands.triton import write_version
from serving.images import Form
from serving.verification import ALL_HASHES, hash_files
from tests.helpers.models import save_model, write_artifacts

MODEL = "models:/dots@champion"


@pytest.fixture
def copy(tmp_path) -> Path:
    """The files of a version, for small colour pictures in three classes."""
    form = Form(12, 20, 3, "crop")
    return save_model(tmp_path / "copy", write_artifacts(tmp_path, form, ["cat", "Katze", "猫"]), form)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_version_is_laid_out_as_triton_reads_it(copy, tmp_path):
    written = write_version(copy, tmp_path / "models", "dots", 3, MODEL)
    assert written == tmp_path / "models/dots/3/model.onnx"
    assert files(tmp_path / "models") == ["dots/3/model.onnx", "dots/config.pbtxt", "dots/labels.txt"]
    assert written.read_bytes() == (copy / "artifacts/model.onnx").read_bytes()
    assert (tmp_path / "models/dots/labels.txt").read_text() == "cat\nKatze\n猫\n"
    lines = (tmp_path / "models/dots/config.pbtxt").read_text().splitlines()
    assert 'input [{ name: "pixels" data_type: TYPE_FP32 dims: [12, 20, 3] }]' in lines
    assert 'output [{ name: "probabilities" data_type: TYPE_FP32 dims: [3] label_filename: "labels.txt" }]' in lines
    assert "version_policy: { specific: { versions: [3] } }" in lines


def test_another_version_is_served_in_place_of_the_one_before_even_if_it_is_older(copy, tmp_path):
    repository = tmp_path / "models"
    for number in (3, 4, 3):
        write_version(copy, repository, "dots", number, MODEL)
    assert files(repository) == ["dots/3/model.onnx", "dots/4/model.onnx", "dots/config.pbtxt", "dots/labels.txt"]
    assert "versions: [3]" in (repository / "dots/config.pbtxt").read_text()


def test_a_version_that_is_there_is_not_written_again_unless_it_is_damaged(copy, tmp_path):
    written = write_version(copy, tmp_path / "models", "dots", 3, MODEL)
    before = written.stat()
    write_version(copy, tmp_path / "models", "dots", 3, MODEL)
    assert written.stat().st_mtime_ns == before.st_mtime_ns
    written.write_bytes(b"cut off")
    write_version(copy, tmp_path / "models", "dots", 3, MODEL)
    assert written.read_bytes() == (copy / "artifacts/model.onnx").read_bytes()


def test_a_name_with_quotes_stays_one_name(copy, tmp_path):
    write_version(copy, tmp_path / "models", 'a"b', 1, MODEL)
    (line,) = (line for line in (tmp_path / 'models/a"b/config.pbtxt').read_text().splitlines() if "name:" in line[:5])
    assert json.loads(line.partition(" ")[2]) == 'a"b'


@pytest.mark.parametrize("file", ["artifacts/model.onnx", "artifacts/golden.json"])
def test_a_version_that_was_altered_in_the_store_is_refused(copy, tmp_path, monkeypatch, file):
    version = SimpleNamespace(name="dots", version="3", tags={ALL_HASHES: json.dumps(hash_files(copy))})
    monkeypatch.setattr(triton, "open_existing", lambda: None)
    monkeypatch.setattr(triton, "find_version", lambda client, model: version)
    monkeypatch.setattr(triton, "copy_version", lambda version, scratch: copy)
    triton.main(str(tmp_path / "models"), MODEL)
    (copy / file).write_bytes((copy / file).read_bytes() + b" ")
    with pytest.raises(UserError, match=f"not as it was registered: .*{file}.*`make lineage` names what differs"):
        triton.main(str(tmp_path / "others"), MODEL)
    assert not (tmp_path / "others").exists()
