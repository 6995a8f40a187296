"""A study from params to report: checks, notebooks in order, pages, index, numbers."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from tqdm import tqdm

from signalkit import ROOT, lineage, params
from signalkit.errors import SignalkitError
from signalkit.reports import index
from signalkit.reports.notebooks import EXECUTED, PAGE, executed, notebook_files
from signalkit.store import Artifact
from signalkit.study import STAGES, Study

logger = logging.getLogger(__name__)

NUMBERS, ASKED = "numbers.json", "params.yaml"


def report_folder(study_name: str) -> Path:
    """Folder of a study's report: under SIGNALKIT_REPORTS, else `reports/`."""
    return Path(os.environ.get("SIGNALKIT_REPORTS") or ROOT / "reports").resolve() / study_name


def run(path: Path) -> tuple[Path, Study]:
    """Execute a study and write its report.

    Parameters
    ----------
    path : Path
        The params file.

    Returns
    -------
    Path
        The report's index.html.
    Study
        The study, for its verdict.

    Raises
    ------
    SignalkitError
        Of the class that fits, with the place in the params file, or the notebook and cell;
        params and data are compared before anything is stored.
    """
    study = Study(params.read(path))
    try:
        study.check()
    except SignalkitError as cause:
        raise type(cause)(f"{path}{params.line_of(path, str(cause))}, {cause}") from None
    about = origin(study)
    number = study.store.start_run(
        study.params.study_name, lineage.digest(about), study.params.model_dump()
    )
    status = "failed"
    try:
        written = _write(study, path, about)
        status = "completed"
    finally:
        place = str(report_folder(study.params.study_name))
        study.store.finish_run(number, status=status, report=place)
    return written, study


def origin(study: Study) -> dict[str, str]:
    """Identity of data, code, environment and params of a study."""
    code = [module for stage in STAGES.values() for module in stage.modules]
    modules = (*code, "signalkit.study", "signalkit.reports", "signalkit.plots", "signalkit.live")
    return {
        "data": lineage.digest(study.identity("collection")["data"]),
        "code": lineage.digest(lineage.code(modules)),
        "environment": lineage.digest(lineage.libraries(modules)),
        "params": lineage.digest(study.params.model_dump()),
    }


def _write(study: Study, path: Path, about: dict[str, str]) -> Path:
    """Execute the notebooks, then write pages, numbers and index."""
    folder = report_folder(study.params.study_name)
    files = notebook_files()
    made: dict[str, Artifact] = {}
    for file in tqdm(files, desc=study.params.study_name, unit="notebook", disable=None):
        made[file.stem] = executed(file, study, folder / f"{file.stem}.failed.ipynb")
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.failed.ipynb"):
        stale.unlink()
    for stem, artifact in made.items():
        shutil.copyfile(artifact.path(EXECUTED), folder / f"{stem}.ipynb")
        shutil.copyfile(artifact.path(PAGE), folder / f"{stem}.html")
    numbers = index.numbers(study) | {"identity": about}
    (folder / NUMBERS).write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n")
    shutil.copyfile(path, folder / ASKED)
    page = index.render(study, _told(made), about, params.question(path))
    (folder / "index.html").write_text(page, encoding="utf-8")
    return folder / "index.html"


def _told(made: dict[str, Artifact]) -> list[dict[str, Any]]:
    """What the index shows of each executed notebook."""
    return [
        index.notebook_entry(stem, artifact.path(EXECUTED), artifact.identity)
        for stem, artifact in made.items()
    ]
