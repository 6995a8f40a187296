"""The index of a report: question, verdict, key figures, pages, identities, every number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from signalkit.reports.page import TEMPLATES
from signalkit.study import STAGES, Study

_KEY = "key-figure"


def numbers(study: Study) -> dict[str, Any]:
    """Every number of a study by a dotted name, unrounded, and the identity of each stage.

    NaN and infinite values, which JSON lacks, are the texts `nan`, `inf` and `-inf`.
    """
    backtest = study.backtest()
    tables = {
        "verdict": study.verdict(),
        "scores": study.evidence("scores"),
        "scores_by_fold": study.evidence("by_fold"),
        "folds": study.evidence("folds"),
        "training": study.train(),
        "importance": study.trained("importance"),
        "backtest": backtest.table("statistics"),
        "sharpe": backtest.table("sharpe"),
        "coverage": study.coverage(),
    }
    held = study.holdout()
    if held:
        tables["holdout"] = held.table("statistics")
    found = {name: value for key, table in tables.items() for name, value in _flat(key, table)}
    stages = {stage: study.identity(stage)["identity"] for stage in STAGES}
    return {"stages": stages, "ledger_head": study.store.ledger.head(), "numbers": found}


def _flat(key: str, table: pd.DataFrame) -> list[tuple[str, Any]]:
    """Cells of a table as dotted names and JSON values."""
    cells = []
    for row, values in zip(table.index, table.itertuples(index=False), strict=True):
        place = ".".join(str(part) for part in (row if isinstance(row, tuple) else (row,)))
        for column, value in zip(table.columns, values, strict=True):
            cells.append((f"{key}.{place}.{column}", _json(value)))
    return cells


def _json(value: Any) -> Any:
    """A cell as JSON: text, whole number, number or the text of what is no number."""
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, bool | int | str):
        return value
    number = float(value)
    return number if math.isfinite(number) else str(number)


def notebook_entry(stem: str, file: Path, identity: str) -> dict[str, Any]:
    """Title, question and key figures of an executed notebook."""
    notebook = nbformat.read(file, as_version=4)
    first = notebook.cells[0].source.splitlines()
    pictures = [
        {
            "data": output.data["image/png"].strip(),
            "alt": output.metadata.get("image/png", {}).get("alt", ""),
        }
        for cell in notebook.cells
        if _KEY in cell.metadata.get("tags", [])
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    return {
        "stem": stem,
        "title": first[0].lstrip("# "),
        "question": next((line.strip("* ") for line in first[1:] if line.strip()), ""),
        "figures": pictures,
        "identity": identity,
    }


def _shown(value: Any, digits: int = 3) -> str:
    """A number as the index shows it."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "–"
    counted = value.is_integer() and abs(value) >= 10
    return f"{value:,.0f}" if counted else f"{value:.{digits}f}"


def render(
    study: Study, notebooks: list[dict[str, Any]], about: dict[str, str], question: str
) -> str:
    """The index page.

    Parameters
    ----------
    study : Study
        With everything computed.
    notebooks : list of dict
        What `notebook_entry` gave for each notebook, in order.
    about : dict
        Identities of data, code, environment and params.
    question : str
        What the study asks.
    """
    pages = Environment(
        loader=FileSystemLoader(TEMPLATES / "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["shown"] = _shown
    verdict = study.verdict()
    alarms = study.alarms()
    headline, *remarks = (said for said in study.words() if said not in alarms)
    asked = study.params.model_dump(exclude_defaults=True)
    return pages.get_template("index.html.j2").render(
        name=study.params.study_name,
        question=question,
        alarms=alarms,
        headline=headline,
        remarks=remarks,
        level=study.params.validation.level,
        verdict=verdict.reset_index().to_dict("records"),
        statistics=study.backtest().table("statistics").reset_index().to_dict("records"),
        notebooks=notebooks,
        about=about,
        head=study.store.ledger.head(),
        params=yaml.safe_dump(asked, sort_keys=False, default_flow_style=None),
    )
