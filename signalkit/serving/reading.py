"""What pages show of the store, read so that a page is quick with a million predictions.

The one rule: nothing is read whole. Every list is a walk down an index that ends with its page;
what is counted or scored is the newest stretch of stated length. Nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, NamedTuple

from signalkit.store import Asked, Store
from signalkit.store.predictions import ENSEMBLE

_KEYS = ("made_by", "symbol", "prediction_type", "interval", "horizon")


def _next(known: int) -> str:
    """The next value of a column of the predictions' key after those that are given."""
    name, same = _KEYS[known], "".join(f"{key} = ? AND " for key in _KEYS[:known])
    return f"SELECT min({name}) FROM ml_predictions WHERE {same}{name} > ?"  # noqa: S608


# a comparison of all columns at once would walk over every row of a maker
_STEPS = tuple(_next(known) for known in range(len(_KEYS)))
_NEXT_SYMBOL = "SELECT min(symbol) FROM ml_predictions WHERE symbol > ?"
_MOST_SERIES = 2_000
_LATER_THAN_ALL = 2**63 - 1
_TOLD = ("detail", "prediction_probabilities")

_SETTLED = """SELECT symbol, prediction_timestamp, known_at, prediction_value, actual_value,
    is_correct, confidence_score, prediction_probabilities ->> '$.sell',
    prediction_probabilities ->> '$.hold', prediction_probabilities ->> '$.buy'
    FROM ml_predictions WHERE made_by = :made_by AND known_at IS NOT NULL
    AND prediction_type = :target AND interval = :interval AND horizon = :horizon
    AND prediction_value IS NOT NULL ORDER BY known_at DESC, id DESC LIMIT :limit"""
_DONE = "SELECT count(*) FROM ml_training_sessions WHERE status IN ('queued', 'running')"
_UNSETTLED = "SELECT count(*) FROM (SELECT 1 FROM ml_predictions WHERE known_at IS NULL LIMIT ?)"
_MOST_UNSETTLED = 10_000
_STATES = """SELECT key, state, changed_at FROM live_states WHERE key >= :first AND key < :last
    ORDER BY key"""
_BARS = """SELECT symbol, interval, source, calendar, first_bar, last_bar FROM symbols
    ORDER BY symbol, interval, source"""
_BACKTESTS = """SELECT run, count(*) AS trades, count(DISTINCT symbol) AS symbols,
    min(entry_time) AS first, max(coalesce(exit_time, entry_time)) AS last, sum(pnl) AS pnl,
    sum(fee + slippage + funding) AS costs, avg(pnl > 0) AS won, max(id) AS newest
    FROM trades GROUP BY run ORDER BY newest DESC LIMIT ?"""
_TRADES = """SELECT symbol, side, entry_time, exit_time, entry_price, exit_price, size,
    fee + slippage + funding AS costs, pnl, return, model_id, prediction, confidence, exit_reason
    FROM trades WHERE run = ? ORDER BY id DESC LIMIT ?"""
_PERFORMANCE = """SELECT * FROM ml_model_performance WHERE made_by = :made_by
    AND prediction_type = :target AND interval = :interval AND horizon = :horizon
    ORDER BY date DESC LIMIT :limit"""
_RUNS = """SELECT id, study_name, identity, started, finished, status FROM runs
    ORDER BY id DESC LIMIT ?"""


class Series(NamedTuple):
    """What one maker predicts of one symbol: a stretch of the predictions' own index."""

    made_by: str
    symbol: str
    target: str
    interval: str
    horizon: int

    @property
    def asked(self) -> Asked:
        """The question alone."""
        return Asked(self.target, self.interval, self.horizon)


@dataclass(frozen=True)
class Page:
    """Predictions, newest bar first, and where the next page begins."""

    rows: list[dict[str, Any]]
    next: tuple[int, int] | None


def series(store: Store) -> list[Series]:
    """Everything that was ever predicted, by maker, symbol and question.

    Each step is one look into the index, however many rows lie between two.
    """
    found: list[tuple[Any, ...]] = [()]
    for known, query in enumerate(_STEPS):
        found = [(*one, value) for one in found for value in _after(store, query, one, known)]
        found = found[:_MOST_SERIES]
    return [Series(*one) for one in found]


def _after(store: Store, query: str, one: tuple[Any, ...], known: int) -> Iterator[Any]:
    """Values of a column beside given ones, in order."""
    value: Any = 0 if _KEYS[known] == "horizon" else ""
    while True:
        value = store.db.execute(query, [*one, value]).fetchone()[0]
        if value is None:
            return
        yield value


def questions(store: Store) -> list[tuple[str, Asked]]:
    """Makers with what each was asked; the ensemble first, newer models before older ones."""
    pairs = {(one.made_by, one.asked) for one in series(store)}

    def place(pair: tuple[str, Asked]) -> tuple[int, int, Asked]:
        made_by, asked = pair
        return (1, 0, asked) if made_by == ENSEMBLE else (2, -int(made_by), asked)

    return sorted(pairs, key=place)


def symbols(store: Store) -> list[str]:
    """Symbols that were ever predicted."""
    return list(_after(store, _NEXT_SYMBOL, (), 0))


def predictions(
    store: Store,
    *,
    limit: int,
    before: tuple[int, int] | None = None,
    symbol: str | None = None,
    made_by: str | None = None,
) -> Page:
    """The newest predictions of all symbols and makers, or of one.

    Parameters
    ----------
    store : Store
        Read from.
    limit : int
        Rows of a page.
    before : tuple of int, optional
        `next` of the page before.
    symbol, made_by : str, optional
        Ask for one symbol, one maker, or both.

    Returns
    -------
    Page
        The rows of `store.predictions.page`, their JSON read. It is put together from one
        short page for each symbol or, where a maker is asked for, each of his series: there
        is an index for these and none for all.
    """
    if made_by is None:
        parts: list[dict[str, Any]] = [
            {"symbol": name} for name in symbols(store) if symbol in (None, name)
        ]
    else:
        mine = [one for one in series(store) if one.made_by == made_by]
        parts = [one._asdict() for one in mine if symbol in (None, one.symbol)]
    found = [
        row
        for part in parts
        for row in store.predictions.page(before=before, limit=limit + 1, **part)
    ]
    newest = nlargest(limit + 1, found, key=lambda row: (row["prediction_timestamp"], row["id"]))
    rows = [row | {name: json.loads(row[name] or "null") for name in _TOLD} for row in newest]
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(rows[:limit], last and (last["prediction_timestamp"], last["id"]))


def settled(store: Store, made_by: str, asked: Asked, *, limit: int) -> list[tuple[Any, ...]]:
    """The newest predictions of a maker whose outcome is known, in order of that.

    Returns
    -------
    list of tuple
        `symbol time known_at value actual correct confidence sell hold buy`.
    """
    wanted = asked._asdict() | {"made_by": made_by, "limit": limit}
    return store.db.execute(_SETTLED, wanted).fetchall()[::-1]


def waiting(store: Store) -> int:
    """Training sessions that are queued or running."""
    return int(store.db.execute(_DONE).fetchone()[0])


def unsettled(store: Store) -> tuple[int, bool]:
    """Predictions without an outcome, and whether there are more than were counted."""
    count = int(store.db.execute(_UNSETTLED, [_MOST_UNSETTLED + 1]).fetchone()[0])
    return min(count, _MOST_UNSETTLED), count > _MOST_UNSETTLED


def states(store: Store, prefix: str) -> dict[str, tuple[dict[str, Any], str]]:
    """States whose keys begin alike, by the rest of the key, each with when it was kept."""
    rows = store.db.execute(_STATES, {"first": prefix, "last": prefix + chr(0x10FFFF)})
    return {key.removeprefix(prefix): (json.loads(state), at) for key, state, at in rows}


def bars(store: Store) -> list[dict[str, Any]]:
    """Series of bars that are stored."""
    return list(store.db.query(_BARS))


def backtests(store: Store, *, limit: int = 50) -> list[dict[str, Any]]:
    """Backtests by their trades, newest first."""
    return list(store.db.query(_BACKTESTS, [limit]))


def trades(store: Store, run: str, *, limit: int = 50) -> list[dict[str, Any]]:
    """The newest trades of a backtest."""
    return list(store.db.query(_TRADES, [run, limit]))


def runs(store: Store, *, limit: int = 25) -> list[dict[str, Any]]:
    """Executed studies, newest first."""
    return list(store.db.query(_RUNS, [limit]))


def performance(
    store: Store, made_by: str, asked: Asked, *, limit: int = 2_000
) -> list[dict[str, Any]]:
    """Scores that the loop kept of one maker, newest first; their detail read."""
    wanted = asked._asdict() | {"made_by": made_by, "limit": limit}
    rows = store.db.query(_PERFORMANCE, wanted)
    return [row | {"detail": json.loads(row["detail"] or "{}")} for row in rows]
