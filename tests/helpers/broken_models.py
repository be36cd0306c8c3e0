"""Ways in which a model's folder may differ from what was registered, and what the error says of each."""

import json
from pathlib import Path


def damage_network(folder: Path) -> None:
    network = folder / "artifacts" / "model.onnx"
    content = bytearray(network.read_bytes())
    content[len(content) // 2] ^= 1
    network.write_bytes(content)


def change_code(folder: Path) -> None:
    """Add a line that would leave a file, `executed`."""
    with (folder / "model.py").open("a") as code:
        code.write(f"\nopen({str(folder / 'executed')!r}, 'w').close()\n")


def change_golden(folder: Path) -> None:
    golden = folder / "artifacts" / "golden.json"
    content = json.loads(golden.read_text())
    content["digits"] = [(digit + 1) % 10 for digit in content["digits"]]
    golden.write_text(json.dumps(content))


def add_pickle(folder: Path) -> None:
    description = folder / "MLmodel"
    text = description.read_text().replace("model_code_path: ", "python_model: python_model.pkl\n    former_path: ")
    description.write_text(text)


def remove_network(folder: Path) -> None:
    (folder / "artifacts" / "model.onnx").unlink()


def add_code(folder: Path) -> None:
    description = folder / "MLmodel"
    description.write_text(description.read_text().replace("code: null", "code: code"))


CHANGES = [
    (damage_network, "has not the onnx_sha256"),
    (change_code, "has not the serving_code_sha256"),
    (change_golden, "golden"),
    (add_pickle, "holds no model of this pipeline"),
    (add_code, "names other code"),
    (remove_network, "holds no model of this pipeline"),
]
