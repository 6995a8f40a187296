"""Executed notebooks as artifacts: an unchanged one is read, not run again.

A notebook's identity covers its cells, all params, the data, the package it imports, the
page template and, where its metadata say `reads_ledger`, the head of the trial ledger.
"""

from __future__ import annotations

import json
import logging
import re
import time
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from signalkit import ROOT, errors, lineage
from signalkit.errors import DataError, SignalkitError
from signalkit.reports.page import TEMPLATES, to_html
from signalkit.store import Artifact
from signalkit.study import Study

logger = logging.getLogger(__name__)

FOLDER = ROOT / "notebooks"
EXECUTED, PAGE = "notebook.ipynb", "page.html"
_CELL_SECONDS = 1800
# the file that a warning in a cell is said to come from
_KERNEL_FILE = re.compile(r"\S*ipykernel_\d+\S*\.py")


def notebook_files() -> list[Path]:
    """The numbered notebooks of the project, in order.

    Raises
    ------
    DataError
        If there are none.
    """
    files = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
    if not files:
        raise DataError(f"{FOLDER} holds no numbered notebooks; run in the project's folder")
    return files


def _source(notebook: NotebookNode) -> str:
    """Code of a notebook as one piece of Python."""
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def identity(file: Path, study: Study) -> dict[str, Any]:
    """What an executed notebook is made from, with its identity."""
    notebook = nbformat.read(file, as_version=4)
    cells = [
        [cell.cell_type, cell.source, cell.metadata.get("tags", [])] for cell in notebook.cells
    ]
    modules = {n for n in lineage.imported(_source(notebook)) if n.startswith("signalkit.")}
    upstream = {"collection": study.identity("collection")["identity"]}
    if notebook.metadata.get("signalkit", {}).get("reads_ledger"):
        # of its notebooks one opens the holdout, and the others stay what they were
        upstream["ledger"] = study.store.ledger.head(besides=study.configuration())
    templates = sorted(p for p in (TEMPLATES / "page").iterdir() if p.is_file())
    return lineage.identity(
        "notebook",
        params=study.params.model_dump() | {"cells": lineage.digest(cells)},
        modules=(*sorted(modules), "signalkit.reports"),
        upstream=upstream,
        data={path.name: lineage.file_digest(path) for path in templates},
    )


def executed(file: Path, study: Study, failed: Path) -> Artifact:
    """A notebook executed for a study, from the store where it is unchanged.

    Parameters
    ----------
    file : Path
        The notebook.
    study : Study
        The study whose params it gets.
    failed : Path
        Where the executed notebook is left when a cell fails.

    Raises
    ------
    SignalkitError
        Of the class that the failing cell raised, naming notebook, cell and cause.
    """
    found = study.store.artifacts.find("notebook", identity(file, study)["identity"])
    if found:
        logger.info("%s unchanged, read", file.stem)
        return found
    begun, alone = time.monotonic(), False
    while not alone:  # a trial that another study added meanwhile is not in what was executed
        head = study.store.ledger.head()
        notebook = execute(file, failed, given=json.loads(study.params.model_dump_json()))
        mine = lineage.digest(study.configuration())
        alone = all(trial.configuration == mine for trial in study.store.ledger.since(head))
    logger.info("%s executed in %.1f s", file.stem, time.monotonic() - begun)
    files = {
        EXECUTED: (nbformat.writes(notebook) + "\n").encode(),
        PAGE: to_html(notebook, file.stem).encode(),
    }
    # asked again: executing it may have added a trial to the ledger
    return study.store.artifacts.write(identity(file, study), files=files)


def execute(file: Path, failed: Path, given: dict[str, Any]) -> NotebookNode:
    """Run a notebook with papermill; what changes from run to run is taken out.

    Parameters
    ----------
    file, failed : Path
        As in `executed`.
    given : dict
        Params to inject; none leaves the notebook's own.

    Raises
    ------
    SignalkitError
        As `executed` does.
    """
    import papermill  # noqa: PLC0415 - takes over 0.3 s
    from nbclient.exceptions import CellTimeoutError, DeadKernelError  # noqa: PLC0415
    from traitlets.config import Config  # noqa: PLC0415

    failed.parent.mkdir(parents=True, exist_ok=True)
    try:
        notebook = papermill.execute_notebook(
            file,
            failed,
            parameters=given,
            kernel_name="python3",
            progress_bar=False,
            cwd=FOLDER,
            execution_timeout=_CELL_SECONDS,
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            # a kernel that is told to stop logs the interrupt as an error
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
    except papermill.PapermillExecutionError as cause:
        kind = getattr(errors, cause.ename, SignalkitError)
        name = "" if kind is not SignalkitError else f"{cause.ename}: "
        raise kind(_failure(file, cause.exec_count, f"{name}{cause.evalue}", failed)) from None
    except (CellTimeoutError, DeadKernelError) as cause:
        text = f"{type(cause).__name__}: {str(cause).splitlines()[0]}"
        raise SignalkitError(_failure(file, None, text, failed)) from None
    _check_whole(file, notebook, failed)
    failed.unlink(missing_ok=True)
    return cleaned(notebook)


def _failure(file: Path, cell: int | None, cause: str, failed: Path) -> str:
    """One sentence on a failed cell."""
    place = "a cell" if cell is None else f"cell [{cell}]"
    shown = failed.relative_to(ROOT) if failed.is_relative_to(ROOT) else failed
    return f"{file.name} {place} failed: {cause} (executed as far as it went: {shown})"


def _check_whole(file: Path, notebook: NotebookNode, failed: Path) -> None:
    """A notebook that stopped early without an error (sys.exit) is a failure too."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    done = sum(bool(cell.execution_count) for cell in code)
    if done < len(code):
        raise SignalkitError(_failure(file, done + 1, "it was never reached", failed))


def cleaned(notebook: NotebookNode) -> NotebookNode:
    """A notebook without times, durations and other marks of one run."""
    notebook.metadata = NotebookNode(
        {k: v for k, v in notebook.metadata.items() if k in ("kernelspec", "signalkit")}
        | {"language_info": {"name": "python"}}
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        kept = {"alt", "tags"}
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in kept})
        for output in cell.get("outputs", []):
            if output.output_type == "stream":  # a warning names the kernel's process
                output.text = _KERNEL_FILE.sub("cell.py", output.text)
    return notebook
