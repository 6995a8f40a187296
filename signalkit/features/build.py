"""Feature matrix of a panel: one column a feature, NaN in warm-up, nothing filled."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from signalkit.bars import by_symbol, check, check_times
from signalkit.errors import DataError, ParamsError
from signalkit.features.catalog import CATALOG


def select(families: Sequence[str] | None = None, names: Sequence[str] | None = None) -> list[str]:
    """Catalogue names asked for, in the catalogue's order.

    Parameters
    ----------
    families : sequence of str, optional
        Families whose features are taken; all if omitted.
    names : sequence of str, optional
        Exactly these features; overrides `families`.

    Raises
    ------
    ParamsError
        If a family or name is not in the catalogue, with the near match.
    """
    known = sorted({feature.family for feature in CATALOG.values()})
    _check_known("features.families", families or (), known)
    _check_known("features.names", names or (), list(CATALOG))
    if names:
        return [name for name in CATALOG if name in set(names)]
    return [n for n, f in CATALOG.items() if families is None or f.family in families]


def _check_known(place: str, asked: Sequence[str], known: Sequence[str]) -> None:
    """Every name asked for must be known."""
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ParamsError(f"{place}: {name!r} is not in the catalogue; {hint}")


def build(
    bars: pd.DataFrame, names: Sequence[str] | None = None, news: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Features of one symbol's bars or of a panel.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5)
        Bars indexed by bar end, or a panel indexed by (symbol, time).
    names : sequence of str, optional
        Features of `CATALOG`; if omitted all, or all that need no news where there are none.
    news : DataFrame indexed by known_at, optional
        `symbols` (tuple) and `sentiment`; of one symbol's bars all items count.

    Returns
    -------
    DataFrame of shape (n_bars, n_features)
        float64, indexed as the bars. The first `warmup` bars of a symbol are NaN. The value
        at a bar uses that bar, earlier ones and news known by its end only.

    Raises
    ------
    ParamsError
        If a name is not in the catalogue, or reads news and there are none.
    DataError
        If the bars break their rule, or a value past its warm-up is not finite.
    """
    if names is not None and not len(names):
        raise ParamsError("features.names: no feature is asked for; leave names out for all")
    chosen = select(names=names)
    if names is None and news is None:
        chosen = [name for name in chosen if not CATALOG[name].reads_news]
    lacking = [name for name in chosen if CATALOG[name].reads_news and news is None]
    if lacking:
        raise ParamsError(f"features: {lacking[0]} reads news; name some in collection.news")
    check(bars)
    parts = {
        symbol: _matrix(block, chosen, _about(news, symbol)) for symbol, block in by_symbol(bars)
    }
    return parts[""] if "" in parts else pd.concat(parts, names=["symbol", "time"])


def _about(news: pd.DataFrame | None, symbol: str) -> pd.DataFrame | None:
    """The news about a symbol, sorted by when they are known."""
    if news is None:
        return None
    _check_news(news)
    named = news["symbols"].map(lambda symbols: symbol in symbols).to_numpy(dtype=bool)
    return (news[named] if symbol else news).sort_index(kind="stable")


def _check_news(news: pd.DataFrame) -> None:
    """Refuse what is no table of news."""
    missing = [name for name in ("symbols", "sentiment") if name not in news.columns]
    if missing:
        raise DataError(f"news lack the columns {missing}; they have {list(news.columns)}")
    check_times(news.index.drop_duplicates().sort_values(), "news")
    named = news["symbols"].map(lambda symbols: isinstance(symbols, tuple | list))
    if not named.all():
        row = int(np.argmin(named.to_numpy(dtype=bool)))
        raise DataError(
            f"news: symbols must be a tuple, row {row} has {news['symbols'].iloc[row]!r}"
        )
    if (news["sentiment"].astype(float).abs() > 1).any():
        raise DataError("news: sentiment must be from -1 to 1, or NaN")


def _matrix(bars: pd.DataFrame, names: Sequence[str], news: pd.DataFrame | None) -> pd.DataFrame:
    """One symbol's features, each column written once."""
    out = np.empty((len(bars), len(names)))
    for i, name in enumerate(names):
        feature = CATALOG[name]
        out[:, i] = feature.function(bars, news) if feature.reads_news else feature.function(bars)
        out[: feature.warmup, i] = np.nan
        settled = np.isfinite(out[feature.warmup :, i])
        if not settled.all():
            row = feature.warmup + int(np.argmin(settled))
            raise DataError(
                f"feature {name} is {out[row, i]} at {bars.index[row]:%Y-%m-%d %H:%M}Z, past its"
                f" warm-up of {feature.warmup} bars; leave it out of features.names"
            )
    return pd.DataFrame(out, index=bars.index, columns=list(names))
