"""The configuration for Triton, read with Triton's own protobuf, matches the network next to it."""

from pathlib import Path

import pytest

from pipeline.commands.triton import write_version
from pipeline.inference import open_onnx
from tests.helpers.models import save_model, write_artifacts

WHERE = "not installed: `make test-engines` does it"
text_format = pytest.importorskip("google.protobuf.text_format", reason=WHERE)
grpc = pytest.importorskip("tritonclient.grpc", reason=WHERE)


@pytest.fixture
def network(tmp_path) -> Path:
    """The exported network; its configuration is one folder above the network's own folder."""
    copy = save_model(tmp_path / "copy", write_artifacts(tmp_path))
    return write_version(copy, tmp_path / "models", "digits", 3, "models:/digits@champion")


def parse(text: str):
    return text_format.Parse(text, grpc.model_config_pb2.ModelConfig())


def test_triton_reads_the_configuration(network):
    config = parse((network.parents[1] / "config.pbtxt").read_text())
    session = open_onnx(network)
    for described, actual in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        assert [(each.name, each.dims) for each in described] == [(each.name, each.shape[1:]) for each in actual]
        assert all(isinstance(each.shape[0], str) for each in actual)  # any number of images: Triton may batch them
        assert [each.data_type for each in described] == [grpc.model_config_pb2.TYPE_FP32]
    assert (config.name, config.backend, config.max_batch_size) == ("digits", "onnxruntime", 1000)
    assert list(config.version_policy.specific.versions) == [3]
    assert config.HasField("dynamic_batching")
    assert config.parameters["intra_op_thread_count"].string_value == "1"
    assert (network.parents[1] / config.output[0].label_filename).read_text().split() == list("0123456789")


@pytest.mark.parametrize(("key", "misspelt"), [("max_batch_size", "max_batchsize"), ("dims", "dim"), ("kind", "sort")])
def test_a_misspelt_key_is_found(network, key, misspelt):
    text = (network.parents[1] / "config.pbtxt").read_text()
    with pytest.raises(text_format.ParseError, match=misspelt):
        parse(text.replace(f"{key}:", f"{misspelt}:"))
