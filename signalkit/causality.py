"""Proof that a function of bars does not read the future: truncate and poison.

At some bar t the function is computed on all bars, on the bars up to t, and on all bars
with everything after t replaced by other, valid bars, once far above and once far below.
Up to t all must be equal to the last bit. A centred window, a z-score over all rows, a
back-fill or shift(-1) fails.

A label does read the future, up to its `known_at` and no further. `check_labels` cuts at the
bar that settles a label: it must be there already, and bars after it must not matter, while
another price at that very bar must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from signalkit import bars as bar_table
from signalkit.errors import DataError, LeakError

_SEED = 20260101
_USUAL = 400
# how far the bars after a cut are moved when they are replaced
_SCALES = (7.0, 1 / 7)
_ROW = np.dtype([("label", float), ("known_at", np.int64)])


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


@dataclass(frozen=True)
class Settlement:
    """Outcome of a check of labels.

    Of `labels` rows, `changed` were other or missing when bars after their known_at were cut
    off or replaced, the first of them at `first_changed`; `unmoved` stayed as they were
    whatever the price at their known_at, so that it is not there that they are settled.
    `probes` counts the comparisons.
    """

    labels: int
    probes: int
    changed: int
    unmoved: int
    first_changed: pd.Timestamp | None
    first_unmoved: pd.Timestamp | None

    @property
    def passed(self) -> bool:
        """Whether every label is known at its known_at and not before."""
        return self.labels > 0 and not self.changed and not self.unmoved

    def require(self, name: str) -> None:
        """Raise LeakError, naming the first label that is wrong, unless the check passed."""
        if self.passed:
            return
        if not self.labels:
            raise LeakError(f"{name} gives no label on these bars, so nothing is proved of it")
        place = self.first_changed if self.changed else self.first_unmoved
        said = (
            f"changes when bars after its known_at do ({self.changed} such labels); known_at is"
            if self.changed
            else f"is settled before its known_at ({self.unmoved} such labels); that is"
        )
        when = "the end of the last bar that the label reads"
        raise LeakError(f"{name}: the label at {place:%Y-%m-%d %H:%M}Z {said} {when}")


def probe_bars(n_bars: int = _USUAL, seed: int = _SEED) -> pd.DataFrame:
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


def enough_bars(warmup: int) -> pd.DataFrame:
    """Probe bars on which a column has values for at least as long as it has none."""
    return probe_bars(max(_USUAL, 2 * warmup))


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


def sweep(
    function: Callable[..., pd.DataFrame | pd.Series],
    bars: pd.DataFrame | None = None,
    at: Iterable[int] | None = None,
    *,
    news: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Truncate and poison the future of a function of bars, a row a column of what it gives.

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
    DataFrame indexed by column
        `difference`, the largest change (inf where a number became NaN or the reverse, or
        the column came or went), `first`, the first time that changed, NaT where nothing
        did, and `probes`, how many comparisons were made.

    Raises
    ------
    DataError
        If the function does not return values at the bars' times, or `at` has a position
        outside the bars or no bar after it.
    """
    bars = probe_bars() if bars is None else bars
    read = () if news is None else (news,)
    whole = _frame(function(bars, *read), bars)
    found = []
    for place in _asked(at, bars):
        until = bars.index[place]
        known = [part[part.index <= until] for part in read]
        others = [poisoned_news(part, until, bars.index[-1]) for part in read]
        futures = [(poisoned(bars, place, scale), others) for scale in _SCALES]
        for changed, told in ((bars.iloc[: place + 1], known), *futures):
            found.append(_compare(whole, _frame(function(changed, *told), changed), until))
    groups = pd.concat(found).groupby(level="column", sort=False)
    worst = groups.agg({"difference": "max", "first": "min"})
    return worst.assign(probes=groups.size())


def check(
    function: Callable[..., pd.DataFrame | pd.Series],
    bars: pd.DataFrame | None = None,
    at: Iterable[int] | None = None,
    *,
    news: pd.DataFrame | None = None,
) -> Causality:
    """Truncate and poison the future of a function of bars: `sweep` in one outcome.

    Parameters
    ----------
    function, bars, at, news
        As in `sweep`.

    Returns
    -------
    Causality
        The largest difference and the first offending time.

    Raises
    ------
    DataError
        As `sweep` does.
    """
    found = sweep(function, bars, at, news=news)
    probes = int(found["probes"].max()) if len(found) else 0
    first = found["first"].min()
    if pd.isna(first):
        return Causality(0.0, None, None, probes)
    column = str((found["first"] == first).idxmax())
    return Causality(float(found["difference"].max()), first, column, probes)


def check_labels(
    function: Callable[[pd.DataFrame], pd.DataFrame],
    bars: pd.DataFrame | None = None,
    at: Iterable[int] | None = None,
    *,
    parts: Sequence[str] = ("bar",),
) -> Settlement:
    """Cut labels off at the bars that settle them, and move the prices of those bars.

    Cut off or replaced after some bar, the bars must give the same labels with known_at up
    to it, no more and no fewer. With the prices of the bar at known_at halved or doubled, at
    least one of the two must change the row: its label, its known_at or its being there.

    Parameters
    ----------
    function : callable
        Takes bars, returns `label` and `known_at` indexed by some of their times. Where it
        refuses bars as too few, there is no label.
    bars : DataFrame, optional
        One symbol's bars; 150 seeded probe bars if omitted.
    at : iterable of int, optional
        Positions of bars, at least one of which settles a label; if omitted, all that do.
    parts : sequence of str
        What is halved and doubled: the whole `bar`; its `path` from an open that stays, for
        labels whose trade begins at that open; its `range`, low or high alone, for labels
        that read how far prices range inside a bar. One that changes the row is enough.

    Returns
    -------
    Settlement
        How many labels changed, and how many did not where they must.

    Raises
    ------
    DataError
        If the function gives no table of labels, one that is NaN, or one that is known before
        its bar has ended; if no bar of `at` settles a label.
    """
    bars = probe_bars(150) if bars is None else bars
    whole = _written(function(bars), bars)
    places = settling = np.unique(whole["known_at"][whole["known_at"] >= 0])
    if at is not None:
        asked = list(at)
        places = np.intersect1d(settling, asked)
        if len(settling) and not len(places):
            raise DataError(f"at must hold a position of a bar that settles a label, was {asked}")
    changed, unmoved = np.zeros(len(bars), dtype=bool), np.zeros(len(bars), dtype=bool)
    for place in places:
        futures = [poisoned(bars, place, scale) for scale in _SCALES]
        for other in (bars.iloc[: place + 1], *futures):
            changed |= _differ(whole, _labels(function, other, bars), place)
        own = whole["known_at"] == place
        for factor, part in product((0.5, 2.0), parts):
            moved = _moved(bars.iloc[: place + 1], factor, part)
            own &= ~_differ(whole, _labels(function, moved, bars), len(bars))
        unmoved |= own
    firsts = [bars.index[np.argmax(rows)] if rows.any() else None for rows in (changed, unmoved)]
    counts = int(changed.sum()), int(unmoved.sum())
    n_labels = int((whole["known_at"] >= 0).sum())
    return Settlement(n_labels, (3 + 2 * len(parts)) * len(places), *counts, *firsts)


def _moved(bars: pd.DataFrame, factor: float, part: str) -> pd.DataFrame:
    """The bars with a part of the last one's prices times a factor."""
    out = bars.copy()
    at = out.columns.get_indexer(["open", "high", "low", "close"])
    open_, high, low, close = out.iloc[-1, at]
    reach = open_, max(high, high * factor), min(low, low * factor), close
    path = open_, max(open_, high * factor), min(open_, low * factor), close * factor
    whole = tuple(price * factor for price in (open_, high, low, close))
    out.iloc[-1, at] = {"bar": whole, "path": path, "range": reach}[part]
    return out


def _labels(
    function: Callable[[pd.DataFrame], pd.DataFrame], some: pd.DataFrame, bars: pd.DataFrame
) -> np.ndarray:
    """Labels of some of the bars; none where they are too few."""
    try:
        return _written(function(some), bars)
    except DataError:
        return np.full(len(bars), -1, dtype=_ROW)


def _written(labels: pd.DataFrame, bars: pd.DataFrame) -> np.ndarray:
    """A row for every bar: its label, and the position of its known_at, -1 without a label."""
    if list(getattr(labels, "columns", [])) != ["label", "known_at"]:
        raise DataError("labels are a table of label and known_at, indexed by bars")
    row = bars.index.get_indexer(labels.index)
    settled = bars.index.get_indexer(pd.DatetimeIndex(labels["known_at"]))
    wrong = (row < 0) | (settled <= row)
    if wrong.any():
        place = labels.index[int(np.argmax(wrong))]
        raise DataError(f"the label at {place} is of no bar, or known at none that ends after it")
    if labels["label"].isna().any():
        raise DataError(f"the label at {labels['label'].isna().idxmax()} is NaN; leave it out")
    out = np.full(len(bars), -1, dtype=_ROW)
    out["label"][row], out["known_at"][row] = labels["label"].to_numpy(), settled
    return out


def _differ(one: np.ndarray, other: np.ndarray, until: int) -> np.ndarray:
    """Rows settled up to a bar in one of two tables that are not the same in both."""
    known = [(rows["known_at"] >= 0) & (rows["known_at"] <= until) for rows in (one, other)]
    return (known[0] | known[1]) & (one != other)


def _asked(at: Iterable[int] | None, bars: pd.DataFrame) -> list[int]:
    """Positions to cut at, each with a bar after it."""
    places = _places(bars) if at is None else list(at)
    wrong = [p for p in places if not 0 <= p < len(bars) - 1]
    if wrong or not places:
        raise DataError(f"at must hold positions from 0 to {len(bars) - 2}, was {places}")
    return places


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


def _compare(whole: pd.DataFrame, got: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """Largest change of each column up to a time, and its first; NaN equals NaN only."""
    shared = whole.columns.intersection(got.columns, sort=False)
    left, right = whole.loc[:until, shared], got.loc[:until, shared]
    a, b = left.to_numpy(dtype=float), right.to_numpy(dtype=float)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):  # inf - inf, where both are the same
        gap = np.where(same, 0.0, np.nan_to_num(np.abs(a - b), nan=np.inf))
    first = left.index[np.argmin(same, axis=0)].where(~same.all(axis=0))
    index = shared.rename("column")
    found = pd.DataFrame({"difference": gap.max(axis=0), "first": first}, index=index)
    if list(got.columns) == list(whole.columns):
        return found
    names = list(whole.columns.symmetric_difference(got.columns, sort=False))
    other = pd.Index(names or ["order of columns"], name="column")
    gone = pd.DataFrame({"difference": np.inf, "first": whole.index[0]}, index=other)
    return pd.concat([found, gone])
