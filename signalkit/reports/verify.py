"""Proof of a report: the study once more in a clean process and an empty store.

What is compared, each to the last digit: every number of numbers.json, every text and
picture of every page, and every output of the executed notebooks, but for those of cells tagged
`varies`, such as what a fit took in seconds. The ledger, which a study cannot make again, is
checked link by link and lent to the clean store; so is what was collected from outside, as it
was when the study ran.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path

from signalkit import lineage, params
from signalkit.errors import ParamsError, StoreError
from signalkit.reports.run import ASKED, NUMBERS, report_folder
from signalkit.store import Store

_SILENT = {"style", "script"}
_HEADINGS = {"h1", "h2", "h3", "h4"}
_VARIES = re.compile(rb"<!--varies-->.*?<!--/varies-->", re.DOTALL)


@dataclass(frozen=True)
class Difference:
    """One thing that differs: what it is, what the report has, what was made again."""

    name: str
    reported: str
    again: str


def verify(study_name: str) -> tuple[int, list[Difference]]:
    """Execute a study again and compare it with its report.

    Parameters
    ----------
    study_name : str
        Name of the study, as in `reports/<study_name>`.

    Returns
    -------
    int
        How many numbers, texts and pictures were compared.
    list of Difference
        What differs; empty for a report that holds.

    Raises
    ------
    ParamsError
        If there is no such report.
    StoreError
        If the trial ledger misses or changed a link, a file of the report is missing, or
        the study cannot be executed again.
    """
    folder = report_folder(study_name)
    if not (folder / ASKED).exists() or not (folder / NUMBERS).exists():
        raise ParamsError(f"there is no report of {study_name!r} in {folder.parent}; run it first")
    with Store.open() as store:
        store.ledger.check()
        head = _read(folder / NUMBERS).get("ledger_head")
        if head not in {trial.hash for trial in store.ledger.trials()}:
            raise StoreError(f"the trial ledger lacks the row {head} that the report was made at")
        with tempfile.TemporaryDirectory(prefix="signalkit-verify-") as name:
            clean = Path(name)
            own = _read(folder / NUMBERS)["stages"]["backtesting"]
            store.lend_ledger(clean / "data", head, but=own)
            if _reads_the_store(folder / ASKED):
                made = lineage.digest(_read(folder / NUMBERS)["identity"])
                store.lend_collected(clean / "data", study_name, made)
            asked = clean / f"{study_name}.yaml"  # a study that has no name is called as its file
            shutil.copyfile(folder / ASKED, asked)
            _execute_again(asked, clean)
            return _compare_folders(folder, clean / "reports" / study_name)


def _reads_the_store(asked: Path) -> bool:
    """Whether a study's bars or news were collected into the store before it ran."""
    kept = params.read(asked).collection
    return kept.news.source == "store" or kept.source not in {"sample", "files", "simulator"}


def _execute_again(asked: Path, clean: Path) -> None:
    """Run a params file in a new process over an empty store."""
    places = {"SIGNALKIT_DATA": clean / "data", "SIGNALKIT_REPORTS": clean / "reports"}
    environment = os.environ | {name: str(place) for name, place in places.items()}
    done = subprocess.run(
        [sys.executable, "-m", "signalkit.cli", "run", str(asked)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise StoreError(f"the study cannot be executed again: {last[0]}")


def _read(file: Path) -> dict:
    """A JSON file of a report."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as cause:
        raise StoreError(f"{file} is not what was written ({cause})") from None


def _compare_folders(reported: Path, again: Path) -> tuple[int, list[Difference]]:
    """Compare every file that a report consists of."""
    total, found = 0, []
    names = {p.name for p in (*again.iterdir(), *reported.iterdir())}
    for name in sorted(n for n in names if not n.endswith(".failed.ipynb")):
        mine, made = reported / name, again / name
        if not (mine.exists() and made.exists()):
            there = ["there" if file.exists() else "missing" for file in (mine, made)]
            found.append(Difference(name, *there))
            continue
        before = len(found)
        parts = _parts(mine), _parts(made)
        total += len(parts[1])
        for one, other in zip_longest(*parts, fillvalue=("the end", "")):
            if one != other:
                name = other[0] if other[0] != "the end" else one[0]
                found.append(Difference(f"{made.name}, {name}", one[1], other[1]))
                if one[0] != other[0]:  # no longer the same layout: the rest would all differ
                    break
        if len(found) == before and _steady(mine) != _steady(made):
            found.append(Difference(f"{name}, what is not shown as text", "other", "bytes"))
    return total, found


def _steady(file: Path) -> bytes:
    """A file without the outputs of cells that differ from run to run."""
    if file.suffix == ".html":
        return _VARIES.sub(b"", file.read_bytes())
    return json.dumps(_notebook(file)).encode() if file.suffix == ".ipynb" else file.read_bytes()


def _notebook(file: Path) -> dict:
    """A notebook without the outputs of cells that differ from run to run."""
    notebook = _read(file)
    for cell in notebook["cells"]:
        if "varies" in cell["metadata"].get("tags", []):
            cell["outputs"] = []
    return notebook


def _parts(file: Path) -> list[tuple[str, str]]:
    """What a file says, as names and texts."""
    if file.suffix == ".json":
        content = _read(file)
        flat = {f"{k}.{n}": v for k in ("identity", "stages") for n, v in content[k].items()}
        flat |= content["numbers"] | {"ledger_head": content["ledger_head"]}
        return [(name, repr(value)) for name, value in flat.items()]
    if file.suffix == ".html":
        reader = _Reader()
        reader.feed(_steady(file).decode())
        return reader.parts
    if file.suffix == ".ipynb":
        return [
            (f"cell {number}", json.dumps(cell, sort_keys=True))
            for number, cell in enumerate(_notebook(file)["cells"])
        ]
    return [("content", file.read_text(encoding="utf-8"))]


class _Reader(HTMLParser):
    """Texts and pictures of a page, each named by what it stands under."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self._heading = self._row = ""
        self._number: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img":
            seen = hashlib.sha256(str(given.get("src")).encode()).hexdigest()[:16]
            self._add("picture", f"{seen} {given.get('alt')}")
            return
        if tag in {"meta", "link", "br", "hr", "input"}:
            return
        self._open.append(tag)
        self._number = given.get("data-number") or self._number
        if tag == "tr":
            self._row = ""

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        self._number = None

    def handle_data(self, data: str) -> None:
        text = re.sub(r"\s+", " ", data).strip()
        inside = set(self._open)
        if not text or inside & _SILENT:
            return
        if inside & _HEADINGS:
            self._heading = text
        elif "th" in inside:
            self._row = f"{self._row} {text}".strip()
        self._add("text", text)

    def _add(self, kind: str, text: str) -> None:
        """Keep a part under its name."""
        under = f"{self._heading}: {self._row}" if "tr" in self._open else self._heading
        self.parts.append((self._number or f"{kind} under '{under}'", text))
