"""Evidence of money: what trades earned by how sure they were, by regime and by model.

A prediction that is right more often is not yet one that earns more; here both stand side by
side, with counts and intervals. The more parts are looked at, the more of them look good by
luck; none of them is a verdict.

Intervals draw blocks of decision times, all trades of a time together, and every part on the
same draws. Source: signalkit.significance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.metrics import tally
from signalkit.significance import draw_counts, few_at_once

# what predictions say, and the side of a trade that pays
_SIDES = {"direction": 0, "long": 1, "short": -1}
# a part needs so many blocks of times for an interval
_LEAST_BLOCKS = 4
_COLUMNS = [
    "n",
    *("hit_rate", "hit_rate_low", "hit_rate_high"),
    *("return_mean", "return_low", "return_high"),
]


def called(
    predictions: pd.DataFrame, outcome: pd.Series, *, says: str = "direction"
) -> pd.DataFrame:
    """What each prediction would have earned before costs: as trades, for the tables here.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id)
        Out-of-sample predictions.
    outcome : Series indexed by (symbol, time)
        Return of a long position over the horizon, a fraction before costs; a prediction
        without one, because it has not settled, is left out.
    says : str
        `direction`: `p_buy` against `p_sell`, or the sign of a predicted return; `long` or
        `short`: that side, where `p_buy` is above `p_hold`.

    Returns
    -------
    DataFrame
        `symbol side decided_at model_id prediction confidence return exit_reason`, a row a
        prediction that takes a side; the side times the outcome is its return.

    Raises
    ------
    ParamsError
        If predictions say none of these.
    DataError
        If the predictions are not indexed so, or the outcome is not.
    """
    if says not in _SIDES:
        raise ParamsError(f"predictions say one of {', '.join(_SIDES)}, was {says!r}")
    names = list(predictions.index.names)
    if names != ["symbol", "time", "model_id"] or list(outcome.index.names) != names[:2]:
        raise DataError(
            "predictions are indexed by symbol, time and model_id and their outcome by symbol and"
            f" time, were {names} and {list(outcome.index.names)}"
        )
    if says == "direction":
        score = (predictions["p_buy"] - predictions["p_sell"]).fillna(predictions["prediction"])
    else:
        pays = (predictions["p_buy"] - predictions["p_hold"]).clip(lower=0)
        score = pays * _SIDES[says]
    came = outcome.reindex(predictions.index.droplevel("model_id")).to_numpy()
    table = predictions[["prediction", "confidence"]].reset_index()
    side = np.sign(score.to_numpy())
    table = table.rename(columns={"time": "decided_at"}).assign(
        side=np.where(side > 0, "long", "short"), exit_reason="horizon"
    )
    table["return"] = side * came
    order = ["symbol", "side", "decided_at", "model_id", "prediction", "confidence"]
    taken = table[[*order, "return", "exit_reason"]][(side != 0) & np.isfinite(side * came)]
    return taken.reset_index(drop=True)


def by_confidence(
    trades: pd.DataFrame,
    *,
    bins: int = 10,
    block: int = 1,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Hit rate and return of trades by how confident the prediction behind them was.

    Parameters
    ----------
    trades : DataFrame
        Trades with the `confidence` of their prediction, or what `called` gave. Trades that are
        still open and those without a confidence are left out.
    bins : int
        Parts of about equal count, at least 1; equal confidences are in one part, so there may
        be fewer.
    block : int
        Decision times in a bootstrap block; at least as many as a trade is held.
    draws, level, seed
        As in `significance.bootstrap_ci`.

    Returns
    -------
    DataFrame indexed by `part`, from 1, the least confident
        `n` trades, `hit_rate hit_rate_low hit_rate_high` (share with a profit), `return_mean
        return_low return_high` (on the entry's notional), and `confidence confidence_low
        confidence_high` (mean, least, most). A part of fewer decision times than four blocks
        has no interval. No row where there is no trade.

    Raises
    ------
    ParamsError
        If there is no bin.
    DataError
        If trades do not carry a confidence.
    """
    if bins < 1:
        raise ParamsError(f"bins must be at least 1, was {bins}")
    closed = _closed(trades, "confidence")
    sure = closed["confidence"].to_numpy(dtype=float)
    edges = np.quantile(sure, np.arange(1, bins) / bins) if len(sure) else np.empty(0)
    part = pd.Series(np.searchsorted(edges, sure), closed.index)
    # parts without a trade, where many are equally sure, are not counted
    part = pd.Series(part.rank(method="dense").to_numpy(dtype=int), closed.index, name="part")
    table = _parts(closed, part, block=block, draws=draws, level=level, seed=seed)
    spans = closed["confidence"].groupby(part).agg(["mean", "min", "max"])
    return table.assign(
        confidence=spans["mean"], confidence_low=spans["min"], confidence_high=spans["max"]
    )


def by_regime(
    trades: pd.DataFrame,
    regime: pd.Series,
    *,
    block: int = 1,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Hit rate and return of trades by the regime they were decided in.

    Parameters
    ----------
    trades : DataFrame
        Trades, or what `called` gave; those still open are left out.
    regime : Series indexed by (symbol, time), or by time for all symbols
        Such as `calm`; a trade decided where there is none is in no part.
    block, draws, level, seed
        As in `by_confidence`.

    Returns
    -------
    DataFrame indexed by `regime`
        `n`, hit rate and mean return with intervals, as in `by_confidence`.

    Raises
    ------
    ParamsError
        If the block does not fit.
    """
    closed = _closed(trades)
    keys = pd.DatetimeIndex(closed["decided_at"])
    if regime.index.nlevels == 2:
        keys = pd.MultiIndex.from_arrays([closed["symbol"], keys])
    part = pd.Series(regime.reindex(keys).to_numpy(), closed.index, name="regime")
    known = part.notna()
    asked = {"block": block, "draws": draws, "level": level, "seed": seed}
    return _parts(closed[known], part[known], **asked)


def by_model(
    trades: pd.DataFrame,
    *,
    block: int = 1,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Hit rate and return of trades by the model whose prediction caused them.

    Parameters
    ----------
    trades : DataFrame
        Trades with their `model_id`, or what `called` gave of several models' predictions;
        those still open are left out.
    block, draws, level, seed
        As in `by_confidence`.

    Returns
    -------
    DataFrame indexed by `model_id`
        `n`, hit rate and mean return with intervals, as in `by_confidence`.

    Raises
    ------
    DataError
        If trades do not carry a model.
    """
    closed = _closed(trades, "model_id")
    asked = {"block": block, "draws": draws, "level": level, "seed": seed}
    return _parts(closed, closed["model_id"], **asked)


def _closed(trades: pd.DataFrame, asked: str | None = None) -> pd.DataFrame:
    """Trades that are closed, and have what they are parted by."""
    if asked is not None and asked not in trades:
        raise DataError(
            f"trades carry no {asked}; join the predictions that caused them on symbol and"
            " decided_at"
        )
    closed = trades[trades["exit_reason"] != "open"]
    return closed if asked is None else closed[closed[asked].notna()]


def _parts(
    closed: pd.DataFrame, part: pd.Series, *, block: int, draws: int, level: float, seed: int
) -> pd.DataFrame:
    """Count, hit rate and mean return of each part, with intervals on the same draws."""
    if closed.empty:
        empty = pd.DataFrame(columns=_COLUMNS, index=pd.Index([], name=part.name), dtype=float)
        return empty.astype({"n": int})
    times, place = np.unique(pd.DatetimeIndex(closed["decided_at"]).asi8, return_inverse=True)
    group, names = pd.factorize(part, sort=True)
    earned = closed["return"].to_numpy(dtype=float)
    columns = np.column_stack([earned > 0, earned]).astype(float)
    known = [len(np.unique(place[group == g])) >= _LEAST_BLOCKS * block for g in range(len(names))]
    real = _means(np.ones((1, len(times))), place, group, columns)[0]
    edges = np.full((2, len(names), 2), np.nan)
    if any(known):
        counts = draw_counts(len(times), block, draws, seed)
        drawn = np.concatenate([_means(c, place, group, columns) for c in few_at_once(counts)])
        tails = [(1 - level) / 2, (1 + level) / 2]
        edges[:, known] = np.nanquantile(drawn[:, known], tails, axis=0)
    found = {"n": np.bincount(group)}
    for k, (name, short) in enumerate((("hit_rate", "hit_rate"), ("return_mean", "return"))):
        low, high = edges[:, :, k]
        found |= {name: real[:, k], f"{short}_low": low, f"{short}_high": high}
    return pd.DataFrame(found, index=pd.Index(names, name=part.name))


def _means(
    counts: np.ndarray, place: np.ndarray, group: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Mean of each column in each draw and part, NaN where the draw has none of it."""
    sums = tally.weighted(counts, place, group, columns)
    weight = sums[:, :, :1]
    nothing = np.full_like(sums[:, :, 1:], np.nan)
    return np.divide(sums[:, :, 1:], weight, out=nothing, where=weight > 0)
