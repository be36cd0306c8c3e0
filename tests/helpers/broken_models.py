"""Ways in which a model's folder may differ from what was registered, and the text of the error for each."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

Change = Callable[[Path], None]


def evil_code(folder: Path) -> str:
    """Return a line of code that makes a file, `executed`, so that a test sees whether it was run."""
    return f"open({str(folder / 'executed')!r}, 'w').close()\n"


def damage_network(folder: Path) -> None:
    network = folder / "artifacts" / "model.onnx"
    content = bytearray(network.read_bytes())
    content[len(content) // 2] ^= 1
    network.write_bytes(content)


def change_code(folder: Path) -> None:
    with (folder / "model.py").open("a") as code:
        code.write("\n" + evil_code(folder))


def change_golden(folder: Path) -> None:
    golden = folder / "artifacts" / "golden.json"
    content = json.loads(golden.read_text())
    content["answers"] = [(answer + 1) % 10 for answer in content["answers"]]
    golden.write_text(json.dumps(content))


def add_folder(folder: Path) -> None:
    """Add a second model inside the first one; the second model's code is not the registered one."""
    (folder / "evil").mkdir()
    shutil.copytree(folder / "artifacts", folder / "evil" / "artifacts")
    for name in ("model.py", "MLmodel"):
        shutil.copy(folder / name, folder / "evil")
    with (folder / "evil" / "model.py").open("a") as code:
        code.write("\n" + evil_code(folder))


def name_folder(folder: Path) -> None:
    """Add a folder with a second model, and let the MLmodel name it as its data: MLflow would run the code in it."""
    add_folder(folder)
    edit(f"{INDENT}loader_module", f"{INDENT}data: evil\n{INDENT}loader_module")(folder)


def add_module(folder: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code" / "numpy.py").write_text(evil_code(folder))
    edit("code: null", "code: code")(folder)


def name_loader(folder: Path) -> None:
    (folder / "evil.py").write_text(evil_code(folder))
    edit("mlflow.pyfunc.loaders.code_model", "evil")(folder)


def name_code(folder: Path) -> None:
    (folder / "evil.py").write_text(evil_code(folder))
    edit("/model.py", "/evil.py")(folder)


def add_pickle(folder: Path) -> None:
    (folder / "python_model.pkl").write_bytes(pickle.dumps(Evil(folder)))
    edit("model_code_path: ", f"python_model: python_model.pkl\n{INDENT}former_path: ")(folder)


class Evil:
    """An object that would run `evil_code` if it were unpickled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (evil_code(self.folder),)


def name_in_yaml(folder: Path) -> None:
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(f"x: !!python/object/apply:exec [{evil_code(folder).strip()!r}]\n{text}")


def move_artifacts(folder: Path) -> None:
    outside = folder.with_name(f"{folder.name}-outside")
    (folder / "artifacts").rename(outside)
    (folder / "artifacts").symlink_to(outside)


def add_flavor(folder: Path) -> None:
    edit("flavors:\n", "flavors:\n  sklearn:\n    pickled_model: model.pkl\n")(folder)


def replace_by_pipe(folder: Path) -> None:
    (folder / "artifacts" / "golden.json").unlink()
    os.mkfifo(folder / "artifacts" / "golden.json")


INDENT = " " * 4


def edit(old: str, new: str) -> Change:
    """Return a change that replaces `old` by `new` in the MLmodel's text."""

    def change(folder: Path) -> None:
        text = (folder / "MLmodel").read_text()
        assert old in text
        (folder / "MLmodel").write_text(text.replace(old, new))

    return change


def write(name: str, content: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def cut(name: str) -> Change:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return change


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def link(name: str, target: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return change


NETWORK, GOLDEN = "artifacts/model.onnx", "artifacts/golden.json"
ALTERATIONS: dict[str, tuple[Change, str]] = {
    "a folder that the MLmodel names as its data": (name_folder, "evil/MLmodel was added"),
    "a folder of code that the MLmodel names": (add_module, "code/numpy.py was added"),
    "another loader": (name_loader, "evil.py was added"),
    "other code": (name_code, "evil.py was added"),
    "a pickle": (add_pickle, "python_model.pkl was added"),
    "code in the MLmodel's YAML": (name_in_yaml, "MLmodel has not"),
    "another network's path": (edit("path: artifacts/model.onnx", "path: ../model.onnx"), "MLmodel has not"),
    "other golden images' path": (edit("path: artifacts/golden.json", "path: /tmp/golden.json"), "MLmodel has not"),
    "a configuration": (edit("code: null", "code: null\n    config: {x: 1}"), "MLmodel has not"),
    "another function": (edit("code: null", "code: null\n    predict_fn: load_context"), "MLmodel has not"),
    "a stream": (edit("streamable: false", "streamable: true"), "MLmodel has not"),
    "another environment": (edit("conda: conda.yaml", "conda: /tmp/conda.yaml"), "MLmodel has not"),
    "another flavor": (add_flavor, "MLmodel has not"),
    "another signature": (edit('"float32"', '"float64"'), "MLmodel has not"),
    "a better accuracy": (edit("val_accuracy: 0.75", "val_accuracy: 0.99"), "MLmodel has not"),
    "another preset": (edit("model: bright_pixel", "model: cnn_best"), "MLmodel has not"),
    "an unknown entry": (edit("flavors:\n", "resources: {api_version: x}\nflavors:\n"), "MLmodel has not"),
    "another example's path": (edit("input_example.json", "../../../etc/passwd"), "MLmodel has not"),
    "an MLmodel that is no YAML": (write("MLmodel", b"{"), "MLmodel has not"),
    "no MLmodel": (remove("MLmodel"), "MLmodel is missing"),
    "an added folder": (add_folder, "evil/MLmodel was added"),
    "an added module": (write("sitecustomize.py", b"raise SystemExit"), "sitecustomize.py was added"),
    "an added library": (write("model.abi3.so", b"\x7fELF"), "model.abi3.so was added"),
    "an added artifact": (write("artifacts/other.onnx", b""), "artifacts/other.onnx was added"),
    "code that is a link": (link("model.py", "/etc/hostname"), "model.py is a link"),
    "a network that never ends": (link(NETWORK, "/dev/zero"), "artifacts/model.onnx is a link"),
    "a folder that holds itself": (link("artifacts/self", ".."), "artifacts/self was added"),
    "artifacts that are a link": (move_artifacts, "artifacts was added"),
    "golden images that lead nowhere": (link(GOLDEN, "nowhere"), "artifacts/golden.json is a link"),
    "golden images that are a pipe": (replace_by_pipe, "artifacts/golden.json is no file"),
    "other golden images": (change_golden, "artifacts/golden.json has not"),
    "golden images that are cut off": (cut(GOLDEN), "artifacts/golden.json has not"),
    "a bit of the network": (damage_network, "artifacts/model.onnx has not"),
    "a network that is cut off": (cut(NETWORK), "artifacts/model.onnx has not"),
    "no network": (remove(NETWORK), "artifacts/model.onnx is missing"),
    "a line of code": (change_code, "model.py has not"),
    "no code": (remove("model.py"), "model.py is missing"),
    "other requirements": (write("requirements.txt", b"evil"), "requirements.txt has not"),
}
