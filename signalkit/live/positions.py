"""The next signal and its size, by the study's own way, and what the signals earned.

Positions are those of `study.money.positions` on validation's predictions followed by live ones;
a signal is written once for its bar. The account follows the signals that were written, with the
study's costs, from the first on.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from signalkit import backtesting, features, validation
from signalkit.live.desks import Desk
from signalkit.live.market import Market
from signalkit.live.past import Pasts, voices
from signalkit.live.record import Records
from signalkit.store import Store
from signalkit.store.predictions import ENSEMBLE
from signalkit.study.inputs import load_news
from signalkit.study.money import Ground, positions
from signalkit.study.stages import names_of

_HELD = """SELECT study, symbol, time, weight FROM signals AS s WHERE time =
    (SELECT max(time) FROM signals WHERE study = s.study AND symbol = s.symbol) AND weight != 0"""
_WEIGHTS = "SELECT symbol, time, weight FROM signals WHERE study = ? AND time >= ?"
_COUNT = "SELECT count(*) FROM signals WHERE study = ?"
_ALL = -(2**63)
# points of the account that are kept
_POINTS = 2000
_TOLD = ("score", "confidence", "agreement", "voices", "model_id", "prediction")


class Positions:
    """Writes signals and keeps the account that follows them."""

    def __init__(self, store: Store, pasts: Pasts, records: Records) -> None:
        self._store, self._pasts, self._records = store, pasts, records
        self._written: dict[str, tuple[int, pd.Series]] = {}

    def write(self, desk: Desk, market: Market, paused: int | None) -> int:
        """Write the signals of answered bars after the last one; how many.

        Parameters
        ----------
        desk : Desk
            Whose study.
        market : Market
            Its bars.
        paused : int, optional
            Number of the alarm for which nothing is held.
        """
        due = self._due(desk, market)
        if not due:
            return 0
        made = positions(desk.study, self._ground(desk, market))
        rows = [_row(made, market, symbol, time, paused) for time, symbol in due]
        rows = [row for row in rows if row is not None]
        self._store.watch.write_signals(desk.name, rows)
        return len(rows)

    def held(self) -> list[str]:
        """Studies whose last signal asks for a position."""
        return sorted({row[0] for row in self._store.db.execute(_HELD).fetchall()})

    def rest(self, name: str, market: Market | None) -> int:
        """Write that a study of which nothing is deployed asks for nothing; how many rows."""
        rows = []
        for study, symbol, last, _ in self._store.db.execute(_HELD).fetchall():
            times = pd.DatetimeIndex([]) if market is None else market.times(symbol)
            if study == name and len(times) and times[-1].value > last:
                price = float(market.panel.at[(symbol, times[-1]), "close"])
                row = {"symbol": symbol, "time": times[-1].value, "weight": 0.0, "price": price}
                rows.append(row | {"detail": {"resting": "no model of the study is deployed"}})
        self._store.watch.write_signals(name, rows)
        return len(rows)

    def _due(self, desk: Desk, market: Market) -> list[tuple[pd.Timestamp, str]]:
        """Bars that were answered and have no signal, with their symbols; at first the newest."""
        live = self._records.table(ENSEMBLE, desk.asked)
        found = []
        for symbol in desk.symbols:
            last = self._store.watch.signals(study=desk.name, symbol=symbol, limit=1)
            times = live.index[live.index.get_level_values("symbol") == symbol]
            times = times.get_level_values("time").sort_values()
            times = times[times.isin(market.times(symbol))]
            fresh = times[times.asi8 > last[0]["time"]] if last else times[-1:]
            found += [(time, symbol) for time in fresh]
        return sorted(found)

    def _ground(self, desk: Desk, market: Market) -> Ground:
        """What positions are made of: outcomes are those of the bars as they are."""
        panel, labels = market.panel, market.labels
        table = voices(desk, self._pasts, self._records)
        rows = table.index.droplevel("model_id")
        inside = rows.isin(panel.index)
        table, rows = table[inside], rows[inside]
        became = labels.reindex(rows)
        table = table.assign(
            actual=became["label"].to_numpy(dtype=float),
            known_at=pd.DatetimeIndex(became["known_at"]),
        )
        news = load_news(desk.study.params, panel, self._store) if desk.study.has_news else None
        return Ground(panel, labels, table, lambda: _folds(desk, market, news), lambda: news)

    def account(self, desk: Desk, market: Market) -> pd.DataFrame | None:
        """Keep what following the signals earned; the equity, None before there is a bar.

        Returns
        -------
        DataFrame indexed by time, or None
            `strategy` and `hold`, from the bar of the first signal on.
        """
        weights = self._weights(desk)
        if len(weights):
            times = weights.index.get_level_values("time")
            weights = weights[(times < market.newest) & weights.index.isin(market.panel.index)]
        if weights.empty:
            return None
        rules = desk.study.params.backtesting.model_dump(exclude={"open_holdout"})
        bars = market.panel[market.panel.index.get_level_values("symbol").isin(desk.symbols)]
        equity = backtesting.simulate(bars, weights, **rules).equity
        points = equity.iloc[_thinned(len(equity))]
        kept = {"times": points.index.as_unit("ns").asi8.tolist()}
        kept |= {name: points[name].tolist() for name in ("strategy", "hold")}
        self._store.watch.keep({f"equity {desk.name}": kept | {"bars": len(equity)}})
        return equity

    def _weights(self, desk: Desk) -> pd.Series:
        """Signals of the study, each read once."""
        seen, held = self._written.get(desk.name, (_ALL, pd.Series(dtype=float)))
        seen, held = self._followed(desk.name, seen, held)
        (n,) = self._store.db.execute(_COUNT, [desk.name]).fetchone()
        if n != len(held):  # those of a symbol whose bars came late are before others
            seen, held = self._followed(desk.name, _ALL, held.iloc[:0])
        self._written[desk.name] = seen, held
        return held.sort_index() if len(held) else held

    def _followed(self, name: str, seen: int, held: pd.Series) -> tuple[int, pd.Series]:
        """Signals that are held and those from a bar on; the last bar of them."""
        rows = self._store.db.execute(_WEIGHTS, [name, seen]).fetchall()
        if not rows:
            return seen, held
        symbols, times, weights = zip(*rows, strict=True)
        clock = pd.DatetimeIndex(np.array(times, dtype="M8[ns]"), tz="UTC")
        index = pd.MultiIndex.from_arrays([list(symbols), clock], names=["symbol", "time"])
        new = pd.Series(weights, index, dtype=float)
        old = held[~held.index.isin(new.index)] if len(held) else held
        return max(times), pd.concat([old, new]) if len(old) else new


def _folds(desk: Desk, market: Market, news: pd.DataFrame | None) -> pd.DataFrame:
    """Folds of the walk as it would go on, for regimes that are fitted by fold."""
    study = desk.study
    clock = {"interval": study.clock.interval, "calendar": study.clock.calendar}
    clock["max_gap"] = study.clock.max_gap
    table = features.build(market.panel, names_of(study), news, **clock)
    return validation.folds(table, market.labels, study.splits)


def _row(
    made: dict[str, pd.DataFrame],
    market: Market,
    symbol: str,
    time: pd.Timestamp,
    paused: int | None,
) -> dict[str, Any] | None:
    """A signal as it is written; None where the study's way has no weight there."""
    place = (symbol, time)
    try:
        weight = float(made["weights"].at[place, "weight"])
        told = made["signal"].loc[place]
    except KeyError:
        return None
    detail = {name: _plain(told[name]) for name in _TOLD}
    detail["threshold"] = _plain(made["threshold"].at[place, "threshold"])
    detail["regime"] = str(made["regime"].at[place, "regime"])
    if paused is not None:
        detail |= {"paused": paused, "asked": weight}
        weight = 0.0
    price = float(market.panel.at[place, "close"])
    return {
        "symbol": symbol, "time": time.value, "weight": weight, "price": price, "detail": detail,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """A cell as JSON says it."""
    if isinstance(value, str):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def _thinned(n: int) -> np.ndarray:
    """Places of at most so many points, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, _POINTS)).astype(int))
