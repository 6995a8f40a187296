"""What is installed and stored, and whether it is whole."""

from __future__ import annotations

import re
import shutil
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
from packaging.markers import Marker

from signalkit import KERNELS, PACKAGE, ROOT, __version__, lineage
from signalkit.bars import expected_times, gaps
from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.kernels import threads
from signalkit.store import Store, data_folder

Row = tuple[str, str]


def examine(present: pd.Timestamp | None = None) -> tuple[list[Row], bool]:
    """Everything a person asks first when numbers differ or a run fails.

    Parameters
    ----------
    present : Timestamp, optional
        UTC moment at which the age of the newest bars is told; now if omitted.

    Returns
    -------
    list of (str, str)
        What was looked at, and what was found.
    bool
        Whether all of it is whole.
    """
    rows: list[Row] = [
        ("signalkit", f"{__version__} in {PACKAGE}"),
        ("python", lineage.libraries([])["python"]),
        ("threads", str(threads())),
        ("kernel cache", f"{len(list(KERNELS.glob('**/*.nbc')))} compiled in {KERNELS}"),
    ]
    locked, same = _locked()
    disk = shutil.disk_usage(ROOT).free / 2**30
    rows += [("libraries", locked), ("free disk", f"{disk:.1f} GiB")]
    folder = data_folder()
    if not (folder / "signalkit.db").exists():
        return [*rows, ("store", f"nothing stored yet in {folder}")], same
    stored, whole = _stored(folder, present or pd.Timestamp.now("UTC"))
    return rows + stored, same and whole


def _locked() -> tuple[str, bool]:
    """Whether what is installed is what the lock names."""
    lock = ROOT / "requirements.lock"
    if not lock.exists():
        return "no requirements.lock beside the package", True
    found = re.findall(r"^([\w.-]+)==([^ ;\\\n]+)(?: ; ([^\\]+))?", lock.read_text(), re.MULTILINE)
    asked = {n: v for n, v, marker in found if not marker or Marker(marker.strip()).evaluate()}
    wrong = [f"{n} {_installed(n)} (locked {v})" for n, v in asked.items() if _installed(n) != v]
    if wrong:
        return f"{len(wrong)} differ from requirements.lock: {', '.join(wrong[:5])}", False
    return f"all {len(asked)} as in requirements.lock", True


def _installed(name: str) -> str:
    """Installed version of a distribution."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _stored(folder: Path, present: pd.Timestamp) -> tuple[list[Row], bool]:
    """What the store holds, and whether it is whole."""
    try:
        with Store.open(folder) as store:
            return _contents(store, present)
    except StoreError as cause:
        return [("store", str(cause))], False


def _contents(store: Store, present: pd.Timestamp) -> tuple[list[Row], bool]:
    """Database, bars, news, artifacts, models, ledger."""
    database, sound = _database(store)
    if not sound:
        return [database], False
    artifacts, whole = _artifacts(store)
    models, sealed = _models(store)
    ledger, linked = _ledger(store)
    tables = [*_bars(store, present), *_news(store), artifacts, models, ledger]
    return [database, *tables, _newest_run(store)], whole and sealed and linked


def _database(store: Store) -> tuple[Row, bool]:
    """SQLite's own check."""
    file = store.folder / "signalkit.db"
    try:
        told = store.db.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.DatabaseError as cause:
        told = str(cause)
    schema = store.db.execute("PRAGMA user_version").fetchone()[0]
    size = file.stat().st_size / 2**20
    return ("database", f"{told}, schema {schema}, {size:.1f} MiB, {file}"), told == "ok"


def _bars(store: Store, present: pd.Timestamp) -> list[Row]:
    """Stored bars, a line a series."""
    rows = []
    for row in store.db["symbols"].rows_where(order_by="symbol, interval, source"):
        symbol, interval, source = (row[name] for name in ("symbol", "interval", "source"))
        bars = store.read_bars(symbol, interval, source=source)
        revised = len(store.revisions(symbol, interval, source=source))
        outages = store.outages(symbol, interval, source=source)
        told = (
            f"{len(bars):,} bars {interval} from {source}, {_span(*bars.index[[0, -1]])},"
            f" {_missing(bars, interval, row['calendar'], outages)}, {revised:,} revised,"
            f" newest {_age(present - bars.index[-1])}"
        )
        rows.append((f"  {symbol}", told))
    return rows


def _span(first: pd.Timestamp, last: pd.Timestamp) -> str:
    """A span of time."""
    return f"{first:%Y-%m-%d %H:%M}Z to {last:%Y-%m-%d %H:%M}Z"


def _missing(bars: pd.DataFrame, interval: str, calendar: str, outages: pd.DataFrame) -> str:
    """How many bars the calendar expects and lacks, and how many of them nobody has."""
    try:
        lacking = int(gaps(bars, interval, calendar)["bars"].sum())
    except (DataError, ParamsError) as cause:
        return f"not compared with a calendar: {cause}"
    if not lacking:
        return "none missing"
    ends = expected_times(bars.index[0], bars.index[-1], interval, calendar)
    missing = ends.difference(bars.index)
    known = np.zeros(lacking, bool)
    for first, last in zip(outages["first"], outages["last"], strict=True):
        known[missing.searchsorted(first) : missing.searchsorted(last, side="right")] = True
    return f"{lacking:,} of {len(ends):,} missing ({known.sum():,} in known outages)"


def _age(age: pd.Timedelta) -> str:
    """An age in its largest whole unit."""
    if age < pd.Timedelta(0):
        return "later than the clock"
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if age >= pd.Timedelta(length, "s"):
            return f"{age // pd.Timedelta(length, 's'):,} {unit} old"
    return "under 1 min old"


def _news(store: Store) -> list[Row]:
    """Stored news, a line a source."""
    query = """SELECT source, count(*), min(known_at), max(known_at) FROM news
        GROUP BY source ORDER BY source"""
    found = store.db.execute(query).fetchall()
    return [
        (f"  news {source}", f"{count:,} items, known {_span(*pd.to_datetime(ends, utc=True))}")
        for source, count, *ends in found
    ]


def _artifacts(store: Store) -> tuple[Row, bool]:
    """Every stored file against its hash."""
    found, broken = _abouts(store), []
    for about in found:
        try:
            artifact = store.artifacts.find(about.parent.parent.name, about.parent.name)
            for name in artifact.about["files"]:
                artifact.path(name)
        except StoreError as cause:
            broken.append(str(cause))
    told = f"{len(found)} whole" if not broken else f"{len(broken)} broken: {broken[0]}"
    return ("artifacts", told), not broken


def _models(store: Store) -> tuple[Row, bool]:
    """Files of every registered model against its hash."""
    found, broken = store.models.list(), []
    for model in found:
        try:
            store.models.files(model.id)
        except StoreError as cause:
            broken.append(str(cause))
    deployed = sum(model.status == "deployed" for model in found)
    told = f"{len(found)} registered, {deployed} deployed, "
    told += f"{len(broken)} broken: {broken[0]}" if broken else "files whole"
    return ("models", told), not broken


def _abouts(store: Store) -> list[Path]:
    """Descriptions of all artifacts."""
    return sorted(store.artifacts.folder.glob("*/[!.]*/artifact.json"))


def _ledger(store: Store) -> tuple[Row, bool]:
    """The chain of trials."""
    try:
        store.ledger.check()
    except StoreError as cause:
        return ("trial ledger", str(cause)), False
    opened = store.ledger.count(holdout=True)
    told = f"{store.ledger.count()} configurations seen, {opened} opened the holdout, chain whole"
    return ("trial ledger", told), True


def _newest_run(store: Store) -> Row:
    """How the newest run ended."""
    for row in store.db["runs"].rows_where(order_by="id DESC", limit=1):
        return ("newest run", f"{row['study_name']} {row['status']}, started {row['started']}")
    return ("newest run", "none")
