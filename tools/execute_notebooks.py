"""Execute the committed notebooks on the bundled sample and save them with their outputs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat

from signalkit.reports.notebooks import execute, notebook_files


def main() -> None:
    """Execute every notebook in a store of its own; times and paths are taken out."""
    with tempfile.TemporaryDirectory(prefix="signalkit-notebooks-") as name:
        os.environ["SIGNALKIT_DATA"] = name
        for file in notebook_files():
            nbformat.write(execute(file, Path(name) / "failed.ipynb", given={}), file)


if __name__ == "__main__":
    main()
