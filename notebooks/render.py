"""Run the tour from top to bottom, and write docs/tour.md and its pictures, which GitHub shows (`make tour`).

The notebook itself is kept without outputs: what a run adds to it, such as an editor's, is taken out again.
"""

import base64
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

SOURCE = Path("notebooks/tour.ipynb")
PAGE = Path("docs/tour.md")
PICTURES = PAGE.with_suffix("")  # a folder beside the page
NOTE = "<!-- Written by `make tour` from notebooks/tour.ipynb: change that one. -->"
TIMEOUT_S = 600  # per cell


def main() -> None:
    """Run the tour and replace its page and pictures."""
    tour = nbformat.read(SOURCE, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types
    strip(tour)
    nbformat.write(tour, SOURCE)  # type: ignore[no-untyped-call]
    execute(tour)
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir()
    for name, picture in list_pictures(tour).items():
        (PICTURES / name).write_bytes(picture)
    PAGE.write_text(render(tour))
    print(f"{PAGE} and {len(list(PICTURES.iterdir()))} pictures in {PICTURES}")


def strip(notebook: NotebookNode) -> None:
    """Take out what running has added: outputs, counts, an editor's notes."""
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def execute(notebook: NotebookNode, project: Path = Path(), environment: dict[str, str] | None = None) -> None:
    """Run all cells, in place, as Jupyter does: by this Python, in the notebook's own folder of a project.

    Raise CellExecutionError, with the cell and its error, if one fails.
    """
    where = {"metadata": {"path": str(project / SOURCE.parent)}}
    client = NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3", coalesce_streams=True, resources=where)
    with TemporaryDirectory() as folder:
        # Sockets of files: over TCP, others on this machine could listen, of which the kernel warns.
        manager = client.create_kernel_manager()
        manager.transport, manager.ip = "ipc", f"{folder}/kernel"
        client.execute(**({"env": environment} if environment else {}))


def render(notebook: NotebookNode) -> str:
    """Return the notebook as a page: its texts, its programs, and what these printed and drew."""
    return "\n\n".join([NOTE, *(render_cell(cell) for cell in notebook.cells)]) + "\n"


def render_cell(cell: NotebookNode) -> str:
    """Return one cell's part of the page."""
    if cell.cell_type == "markdown":
        return str(cell.source)
    parts = [fence(cell.source, "python")]
    for output in cell.outputs:
        if output.output_type == "stream":
            parts.append(fence(output.text, "text"))
        elif is_picture(output):
            description = output.metadata["image/png"]["alt"]
            parts.append(f"![{description}]({PICTURES.name}/{cell.id}.png)")
    return "\n\n".join(parts)


def fence(text: str, language: str) -> str:
    """Return a block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def list_pictures(notebook: NotebookNode) -> dict[str, bytes]:
    """Return the PNG files that the cells have drawn, at most one each, by file name.

    That is the cell's id, so it stays when other cells come and go.
    """
    return {
        f"{cell.id}.png": base64.b64decode(output.data["image/png"])
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if is_picture(output)
    }


def is_picture(output: NotebookNode) -> bool:
    """Return whether a cell's output is a PNG file."""
    return "image/png" in output.get("data", {})


if __name__ == "__main__":
    main()
