"""A registered model, written for Triton."""

from pipeline.files import sha256_of

COMMAND = ("python", "-m", "pipeline.commands.triton")


def test_the_champion_is_written_as_it_is_registered(project, tmp_path):
    done = project.run(*COMMAND, str(tmp_path / "models"))
    (network,) = (tmp_path / "models/digits").glob("*/model.onnx")
    assert f"--model-repository={tmp_path / 'models'}" in done.stdout
    assert sha256_of(network) in {version.tags["onnx_sha256"] for version in project.registered().values()}
    assert f"versions: [{network.parent.name}]" in (network.parents[1] / "config.pbtxt").read_text()


def test_a_version_that_is_not_there_is_an_error_that_says_which_are(project, tmp_path):
    done = project.run(*COMMAND, str(tmp_path / "models"), "models:/digits/99", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no models:/digits/99; it has models:/digits@champion" in done.stderr
    assert not (tmp_path / "models").exists()
