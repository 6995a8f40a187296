"""Proof that a function of bars does not read the future: truncate and poison.

At some bar t the function is computed on all bars, on the bars up to t, and on all bars
with everything after t replaced by other, valid bars, once far above and once far below.
Up to t all must be equal to the last bit. A centred window, a z-score over all rows, a
back-fill or shift(-1) fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from signalkit import bars as bar_table
from signalkit.errors import DataError, LeakError

_SEED = 20260101


@dataclass(frozen=True)
class Causality:
    """Outcome of a check.

    `difference` is the largest change (inf where a number became NaN or the reverse),
    `first` the first time that changed, `column` the column it changed in, `probes` how
    many comparisons were made.
    """

    difference: float
    first: pd.Timestamp | None
    column: str | None
    probes: int

    @property
    def passed(self) -> bool:
        """Whether nothing changed."""
        return self.first is None

    def require(self, name: str) -> None:
        """Raise LeakError, naming place and size, unless the check passed."""
        if not self.passed:
            raise LeakError(
                f"{name} reads the future: at {self.first:%Y-%m-%d %H:%M}Z {self.column} changes"
                f" by {self.difference:.3g} when later bars do; use trailing windows only"
            )


def probe_bars(n_bars: int = 400, seed: int = _SEED) -> pd.DataFrame:
    """Seeded bars for checks: a random walk with wild days, flat stretches and no volume.

    Returns
    -------
    DataFrame of shape (n_bars, 5)
        Hourly bars on which `bars.check` passes.
    """
    rng = np.random.default_rng(seed)
    scale = 0.01 * np.exp(rng.normal(0, 0.7, n_bars))
    scale[n_bars // 3 : n_bars // 3 + 5] = 0.0
    close = 100 * np.exp(np.cumsum(rng.standard_t(4, n_bars) * scale))
    open_ = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0, 0.2, n_bars) * scale)
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    high = top * np.exp(np.abs(rng.normal(0, 0.5, n_bars)) * scale)
    low = bottom * np.exp(-np.abs(rng.normal(0, 0.5, n_bars)) * scale)
    volume = rng.gamma(2.0, 500.0, n_bars) * (rng.random(n_bars) > 0.02)
    times = pd.date_range("2024-01-01", periods=n_bars, freq="h", tz="UTC", name="time")
    columns = np.column_stack([open_, high, low, close, volume])
    return pd.DataFrame(columns, index=times, columns=list(bar_table.COLUMNS))


def poisoned(bars: pd.DataFrame, at: int, scale: float = 7.0) -> pd.DataFrame:
    """The bars with everything after position `at` replaced by other, `scale` times as large."""
    other = bars.copy()
    rest = probe_bars(len(bars) - at - 1, seed=_SEED + at).to_numpy(copy=True)
    rest[:, :4] *= scale * bars["close"].iloc[at] / 100
    rest[:, 4] *= scale * (1 + bars["volume"].iloc[: at + 1].mean()) / 1000
    other.iloc[at + 1 :, other.columns.get_indexer(list(bar_table.COLUMNS))] = rest
    return other


def probe_news(bars: pd.DataFrame, seed: int = _SEED) -> pd.DataFrame:
    """Seeded news about bars: two items in three bars, some at a bar's very end.

    Returns
    -------
    DataFrame indexed by known_at
        `symbols` (empty) and `sentiment` in [-1, 1].
    """
    rng = np.random.default_rng(seed)
    span = bars.index[-1] - bars.index[0]
    count = 2 * len(bars) // 3
    known = bars.index[0] + pd.to_timedelta(np.sort(rng.random(count)) * span.value, unit="ns")
    known = known.where(rng.random(count) > 0.2, known.ceil("h")).sort_values()
    tone = rng.uniform(-1, 1, count) * (rng.random(count) > 0.3)
    table = pd.DataFrame({"symbols": [()] * count, "sentiment": tone}, index=known)
    return table.rename_axis("known_at")


def poisoned_news(news: pd.DataFrame, after: pd.Timestamp, until: pd.Timestamp) -> pd.DataFrame:
    """The news with everything known after a time replaced by loud items, most of them at once."""
    known = news[news.index <= after]
    waits = pd.to_timedelta(np.geomspace(1e-6, max((until - after).total_seconds(), 1), 500), "s")
    loud = pd.DataFrame(
        {"symbols": [()] * len(waits), "sentiment": 1.0}, index=after + waits
    ).rename_axis("known_at")
    return pd.concat([known[["symbols", "sentiment"]], loud[loud.index > after]])


def check(
    function: Callable[..., pd.DataFrame | pd.Series],
    bars: pd.DataFrame | None = None,
    at: Iterable[int] | None = None,
    *,
    news: pd.DataFrame | None = None,
) -> Causality:
    """Truncate and poison the future of a function of bars.

    Parameters
    ----------
    function : callable
        Takes bars, returns a Series or DataFrame indexed by some of their times.
    bars : DataFrame, optional
        One symbol's bars; seeded probe bars if omitted.
    at : iterable of int, optional
        Positions t to cut at; if omitted, the first bars, ten spread over the rest, and the
        bars before and at those without volume.
    news : DataFrame indexed by known_at, optional
        Where the function reads news too: it is called with bars and news, and what is
        known after the cut is cut off, or replaced by other news.

    Returns
    -------
    Causality
        The largest difference and the first offending time.

    Raises
    ------
    DataError
        If the function does not return values at the bars' times, or `at` has a position
        outside the bars or no bar after it.
    """
    bars = probe_bars() if bars is None else bars
    places = _places(bars) if at is None else list(at)
    wrong = [p for p in places if not 0 <= p < len(bars) - 1]
    if wrong or not places:
        raise DataError(f"at must hold positions from 0 to {len(bars) - 2}, was {places}")
    read = () if news is None else (news,)
    whole = _frame(function(bars, *read), bars)
    worst = Causality(0.0, None, None, 0)
    for place in places:
        known = [part[part.index <= bars.index[place]] for part in read]
        others = [poisoned_news(part, bars.index[place], bars.index[-1]) for part in read]
        futures = [(poisoned(bars, place, scale), others) for scale in (7.0, 1 / 7)]
        for changed, told in ((bars.iloc[: place + 1], known), *futures):
            got = _frame(function(changed, *told), changed)
            worst = _worse(worst, _compare(whole, got, bars.index[place]))
    return worst


def _places(bars: pd.DataFrame) -> list[int]:
    """Positions at which leaks show: early, spread, and around bars without volume."""
    last = len(bars) - 2
    dry = np.flatnonzero(bars["volume"] == 0)[:5]
    found = {0, 1, 5, 25, *np.linspace(last // 4, last, 10, dtype=int), *dry, *(dry - 1)}
    return sorted(int(place) for place in found if 0 <= place <= last)


def _frame(result: pd.DataFrame | pd.Series, bars: pd.DataFrame) -> pd.DataFrame:
    """The function's result as a frame over all the bars."""
    if not isinstance(result, pd.DataFrame | pd.Series):
        raise DataError(f"a checked function returns a Series or DataFrame, was {type(result)}")
    frame = result.to_frame("value") if isinstance(result, pd.Series) else result
    if not frame.index.isin(bars.index).all():
        raise DataError("a checked function must return values at the times of its bars")
    if frame.index.has_duplicates:
        raise DataError("a checked function gives one value for one of the times of its bars")
    return frame.reindex(bars.index)


def _compare(whole: pd.DataFrame, got: pd.DataFrame, until: pd.Timestamp) -> Causality:
    """First and largest difference up to a time; NaN equals NaN only."""
    if list(got.columns) != list(whole.columns):
        other = [str(c) for c in got.columns.symmetric_difference(whole.columns, sort=False)]
        return Causality(np.inf, whole.index[0], ", ".join(other) or "order of columns", 1)
    left, right = whole.loc[:until], got.loc[:until]
    a, b = left.to_numpy(dtype=float), right.to_numpy(dtype=float)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return Causality(0.0, None, None, 1)
    row = int(np.argmax(~same.all(axis=1)))
    column = str(whole.columns[int(np.argmax(~same[row]))])
    with np.errstate(invalid="ignore"):  # inf - inf, where both are the same
        gap = np.where(same, 0.0, np.nan_to_num(np.abs(a - b), nan=np.inf))
    return Causality(float(gap.max()), left.index[row], column, 1)


def _worse(one: Causality, other: Causality) -> Causality:
    """Both outcomes in one: the larger difference, the earlier time."""
    offenders = [c for c in (one, other) if c.first is not None]
    probes = one.probes + other.probes
    if not offenders:
        return Causality(0.0, None, None, probes)
    earliest = min(offenders, key=lambda c: c.first)
    difference = max(c.difference for c in offenders)
    return Causality(difference, earliest.first, earliest.column, probes)
