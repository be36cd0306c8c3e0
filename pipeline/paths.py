"""Every folder and file of the project, named once."""

import os
from dataclasses import dataclass
from pathlib import Path

# The model's code that MLflow logs, the locked versions, the parameters and the stages; relative to the project's root.
SERVING_CODE = Path("serving/model.py")
LOCK = Path("requirements.lock")
PARAMS = Path("params.yaml")
DIAGRAM = Path("dvc.yaml")
# The folder of the running code; in DVC's temporary workspaces it isn't the project's root.
CODE = Path(__file__).parent.parent


def project_root() -> Path:
    """Return the project's real root, also from inside DVC's temporary workspaces (`dvc exp run --temp`)."""
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).parent.parent).resolve()


@dataclass(frozen=True)
class Workspace:
    """The folders that the stages read and write, below `root`: by default the current folder, where DVC runs them."""

    root: Path = Path()

    @property
    def params(self) -> Path:
        return self.root / PARAMS

    @property
    def code(self) -> Path:
        """Return the folder of the files that list what each stage computes with."""
        return self.root / "code"

    @property
    def raw(self) -> Path:
        return self.root / "data" / "raw"

    @property
    def prepared(self) -> Path:
        return self.root / "data" / "prepared"

    @property
    def dataset(self) -> Path:
        """Return the file that describes the prepared data."""
        return self.prepared / "dataset.json"

    def model(self, name: str) -> Path:
        """Return the folder of one trained model."""
        return self.root / "models" / name

    def report(self, name: str) -> Path:
        """Return the folder of one model's evaluation."""
        return self.root / "reports" / name

    @property
    def page(self) -> Path:
        """Return the folder of the page on all models."""
        return self.root / "report"

    @property
    def registry(self) -> Path:
        return self.root / "registry"
