"""A model is verified before it is run."""

import importlib.util
import json
import py_compile
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from serving.loading import ModelLoadError, fetch_folder, first_line, load
from tests.helpers.broken_models import CHANGES, change_code
from tests.helpers.project import SOURCE

KNOWN = {"name": "digits", "version": "3", "alias": "champion"}


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model, to break."""
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def hashes(model_folder: Path) -> dict[str, str]:
    """What a registry's tags say of the model."""
    files = {"onnx_sha256": "artifacts/model.onnx", "serving_code_sha256": "model.py"}
    return {key: sha256((model_folder / file).read_bytes()).hexdigest() for key, file in files.items()}


def test_a_model_that_is_as_recorded_is_loaded_with_what_is_known_of_it(copy, hashes):
    loaded = load(copy, "version 3", hashes, KNOWN, ("3", *hashes.values()))
    assert loaded.facts == KNOWN | {
        "preset": "bright_pixel", "dataset": "dots", "sha256": hashes["onnx_sha256"],
        "val_accuracy": 0.75, "test_accuracy": 0.5,
    }  # fmt: skip
    assert loaded.label == {"name": "digits", "version": "3"}
    assert loaded.identity == ("3", *hashes.values())


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=lambda value: getattr(value, "__name__", value))
def test_a_model_that_is_not_as_recorded_is_not_loaded(copy, hashes, change, message):
    change(copy)
    with pytest.raises(ModelLoadError, match=message) as error:
        load(copy, "version 3", hashes, KNOWN, ())
    assert str(error.value).startswith("version 3 ")
    assert not (copy / "executed").exists()


def test_compiled_code_beside_the_source_is_not_run(copy, hashes, model_folder):
    """Python would take it without a look at the source: it says that it needs no check."""
    change_code(copy)
    target = importlib.util.cache_from_source(str(copy / "model.py"))
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(copy / "model.py"), target, invalidation_mode=mode)
    shutil.copy(SOURCE / "serving" / "model.py", copy / "model.py")
    load(copy, "version 3", hashes, KNOWN, ())
    assert not (copy / "executed").exists()


def test_a_folder_is_loaded_from_a_copy_and_left_as_it_is(copy):
    (copy / "__pycache__").mkdir()
    loaded = fetch_folder(copy)
    assert loaded.label == {"name": "dots", "version": None}
    assert (copy / "__pycache__").exists()


def test_a_folder_that_holds_no_model_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ModelLoadError, match="nowhere can't be read: name a model's folder"):
        fetch_folder(tmp_path / "nowhere")
    with pytest.raises(ModelLoadError, match="holds no model of this pipeline"):
        fetch_folder(tmp_path)


def test_golden_images_of_another_network_are_an_error_even_without_a_registry(copy):
    golden = copy / "artifacts" / "golden.json"
    content = json.loads(golden.read_text())
    content["digits"] = content["digits"][1:] + content["digits"][:1]
    golden.write_text(json.dumps(content))
    with pytest.raises(ModelLoadError, match=r"can't be loaded: the network \w+ answers 10 of 10 golden images"):
        fetch_folder(copy)


def test_a_password_in_the_registrys_address_is_not_shown():
    assert first_line(ValueError("http://me:secret@host/x is down\nmore")) == "http://host/x is down"


def test_an_error_without_text_is_named_by_its_kind():
    assert first_line(KeyError()) == "KeyError"
    assert first_line(ValueError(" \n ")) == "ValueError"
