"""A model is verified before it is run."""

import importlib.util
import json
import py_compile
import re
import resource
import shutil
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest

from serving import loading
from serving.images import Form
from serving.loading import ModelLoadError, fetch_folder, first_line, load
from serving.verification import ALL_HASHES, REQUIRED, hash_files
from tests.helpers.broken_models import ALTERATIONS, change_code, evil_code
from tests.helpers.project import SOURCE

KNOWN = {"name": "digits", "version": "3", "alias": "champion"}


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model that tests may break."""
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def tags(model_folder: Path) -> dict[str, str]:
    """The tags that `register` gives a version."""
    files = {"onnx_sha256": "artifacts/model.onnx", "serving_code_sha256": "model.py"}
    files["golden_sha256"] = "artifacts/golden.json"
    digests = {key: sha256((model_folder / file).read_bytes()).hexdigest() for key, file in files.items()}
    return digests | {ALL_HASHES: json.dumps(hash_files(model_folder))}


def test_a_model_that_is_as_recorded_is_loaded_with_what_is_known_of_it(copy, tags):
    loaded = load(copy, "version 3", tags, KNOWN, ("3", "identity"))
    assert loaded.facts == KNOWN | {
        "preset": "bright_pixel", "dataset": "dots", "sha256": tags["onnx_sha256"],
        "val_accuracy": 0.75, "test_accuracy": 0.5, "class_names": [str(digit) for digit in range(10)],
        "image": {"height": 28, "width": 28, "channels": 1, "resize": "ink"},
    }  # fmt: skip
    assert loaded.label == {"name": "digits", "version": "3"}
    assert loaded.identity == ("3", "identity")


@pytest.mark.parametrize(("change", "message"), ALTERATIONS.values(), ids=ALTERATIONS)
def test_a_model_that_is_not_as_recorded_is_not_run_and_the_error_names_what_differs(copy, tags, change, message):
    change(copy)
    with pytest.raises(ModelLoadError, match=re.escape(message)) as error:
        load(copy, "version 3", tags, KNOWN, ())
    assert str(error.value).startswith("version 3 is not as it was registered: ")
    assert not (copy / "executed").exists()


def make_old(folder: Path) -> None:
    """Replace a model's code and golden images by those of an older version of the project."""
    golden = folder / "artifacts" / "golden.json"
    content = json.loads(golden.read_text())
    content["digits"] = content.pop("answers")
    del content["class_names"], content["resize"]
    golden.write_text(json.dumps(content))
    code = folder / "model.py"
    code.write_text(f"{evil_code(folder)}class DigitModel: ...\n")


def test_what_older_code_registered_is_refused_without_being_run(copy, tags):
    """Such a version may also lack the tag with all hashes."""
    sentence = "was registered by older code, .* run `make run` \\(or `dvc repro`\\), which registers it again"
    with pytest.raises(ModelLoadError, match=f"version 3 {sentence}"):
        load(copy, "version 3", {key: tags[key] for key in tags if key != ALL_HASHES}, KNOWN, ())
    make_old(copy)
    with pytest.raises(ModelLoadError, match=f"the folder .* {sentence}"):
        fetch_folder(copy)
    with pytest.raises(ModelLoadError, match=f"version 3 {sentence}"):
        load(copy, "version 3", {ALL_HASHES: json.dumps(hash_files(copy))}, KNOWN, ())
    assert not (copy / "executed").exists()


def test_a_model_of_pictures_says_their_form_and_classes(pictures):
    facts = pictures.loaded.facts
    assert facts["class_names"] == ["cat", "dog", "Katze, schwarz", "猫"]
    assert facts["image"] == {"height": 12, "width": 20, "channels": 3, "resize": "crop"}
    assert pictures.loaded.form == Form(12, 20, 3, "crop")


def test_a_key_of_the_mlmodel_that_register_does_not_write_is_named(copy):
    name_as_data = ALTERATIONS["a folder that the MLmodel names as its data"][0]
    name_as_data(copy)
    with pytest.raises(ModelLoadError, match="data under python_function"):
        fetch_folder(copy)
    assert not (copy / "executed").exists()


def test_a_model_that_is_loaded_leaves_no_module_behind(copy, tags):
    before = set(sys.modules)
    load(copy, "version 3", tags, KNOWN, ())
    assert {name for name in set(sys.modules) - before if not name.startswith(("mlflow", "onnxruntime"))} == set()


def test_hashes_that_cannot_be_read_are_an_error(copy, tags):
    with pytest.raises(ModelLoadError, match="has a tag files_sha256 that is no JSON object"):
        load(copy, "version 3", tags | {ALL_HASHES: "{"}, KNOWN, ())


def test_a_temporary_folder_that_cannot_be_made_is_an_error_that_says_what_to_set(copy, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "removed"))
    with pytest.raises(ModelLoadError, match=r"no temporary folder can be made .*; set TMPDIR"):
        fetch_folder(copy)


def test_compiled_code_beside_the_source_is_not_run(copy, tags):
    """The bytecode is marked as unchecked, so Python would run it without comparing it with the source."""
    change_code(copy)
    target = importlib.util.cache_from_source(str(copy / "model.py"))
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(copy / "model.py"), target, invalidation_mode=mode)
    shutil.copy(SOURCE / "serving" / "model.py", copy / "model.py")
    load(copy, "version 3", tags, KNOWN, ())
    assert not (copy / "executed").exists()


def test_a_folder_is_loaded_from_a_copy_and_left_as_it_is(copy):
    (copy / "__pycache__").mkdir()
    loaded = fetch_folder(copy)
    assert loaded.label == {"name": "dots", "version": None}
    assert (copy / "__pycache__").exists()


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_folder_that_holds_no_model_is_an_error_that_names_what_is_missing(copy, missing):
    sentence = "holds no model of this pipeline: it has no {}; name a model's folder, or models:/mnist@champion"
    (copy / missing).unlink()
    with pytest.raises(ModelLoadError, match=sentence.format(missing)):
        fetch_folder(copy)
    for no_folder in (copy / "nowhere", copy / "conda.yaml"):
        with pytest.raises(ModelLoadError, match=f"{no_folder.name} {sentence.format('MLmodel')}"):
            fetch_folder(no_folder)


def test_of_a_folder_only_the_models_own_files_are_copied(copy, monkeypatch):
    """Beside them may be gigabytes, and the temporary folder may be in memory."""
    copied: list[str] = []
    monkeypatch.setattr(loading, "load", lambda folder, *_: copied.extend(hash_files(folder)))
    (copy / "data").mkdir()
    (copy / "data" / "images.npy").write_bytes(bytes(1000))
    fetch_folder(copy)
    assert sorted(copied) == sorted(REQUIRED)


def test_a_folder_that_cannot_be_copied_is_an_error_that_says_why(copy):
    """Here because of a limit on the size of files, as it would be on a full disk."""
    (copy / "artifacts" / "model.onnx").write_bytes(bytes(2_000_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(ModelLoadError, match=r"copy can't be copied: .*File too large.*, set TMPDIR to another"):
            fetch_folder(copy)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_golden_images_of_another_network_are_an_error_even_without_a_registry(copy):
    golden = copy / "artifacts" / "golden.json"
    content = json.loads(golden.read_text())
    content["answers"] = content["answers"][1:] + content["answers"][:1]
    golden.write_text(json.dumps(content))
    with pytest.raises(ModelLoadError, match=r"can't be loaded: the network \w+ answers 10 of 10 golden images"):
        fetch_folder(copy)


def test_a_password_in_the_registrys_address_is_not_shown():
    assert first_line(ValueError("http://me:secret@host/x is down\nmore")) == "http://host/x is down"
    assert first_line(ValueError("http://me:se@cr/et@host/x is down")) == "http://host/x is down"
    assert first_line(ValueError("no postgresql://host/x?password=secret&user=me")) == (
        "no postgresql://host/x?password=…&user=me"
    )


def test_an_error_without_text_is_named_by_its_kind():
    assert first_line(KeyError()) == "KeyError"
    assert first_line(ValueError(" \n ")) == "ValueError"
