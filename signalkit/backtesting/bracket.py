"""The bracket: what a result could have been under fills that are all legal, and what kills it.

A backtest is one of many stories that its bars allow. Here the same weights are simulated three
times: on the pessimistic path with twice the slippage and impact, as asked, and on the optimistic
path with half of them. A headline is the least and the most of the three, whichever run gave it: a
stop that the pessimistic path takes may save what the optimistic one lost.

`break_even` asks the other question: how much more could trading cost before nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from signalkit.backtesting.engine import Backtest, simulate
from signalkit.backtesting.performance import statistics
from signalkit.errors import ParamsError

RUNS = ("pessimistic", "base", "optimistic")
LEAD = "return_total_lead"
_SLIPPAGE = ("slippage_bps", "slippage_vol", "impact")
# of the search for a crossing: first step and last, in bps a side, and halvings after it
_FIRST, _MOST = 1.0, 4096.0


def legal_runs(
    bars: pd.DataFrame, weight: pd.DataFrame | pd.Series, **settings: Any
) -> dict[str, Backtest]:
    """The same weights under pessimistic, asked and optimistic fills.

    Parameters
    ----------
    bars, weight
        As in `simulate`.
    **settings
        As in `simulate`: the base. The pessimistic run has `path="pessimistic"` and twice
        `slippage_bps`, `slippage_vol` and `impact`, and for `fill="close"`, which is
        optimistic already, fills at the next open; the optimistic run has `path="optimistic"`
        and half of them.

    Returns
    -------
    dict of str to Backtest
        By the names of `RUNS`.
    """
    asked = {name: settings[name] for name in _SLIPPAGE if name in settings}
    worse: dict[str, Any] = {"path": "pessimistic"} | {n: 2 * v for n, v in asked.items()}
    if settings.get("fill") == "close":
        worse["fill"] = "next_open"
    better: dict[str, Any] = {"path": "optimistic"} | {n: v / 2 for n, v in asked.items()}
    changes = dict(zip(RUNS, (worse, {}, better), strict=True))
    return {name: simulate(bars, weight, **(settings | change)) for name, change in changes.items()}


def bracket(
    bars: pd.DataFrame,
    weight: pd.DataFrame | pd.Series,
    *,
    periods_per_year: float,
    **settings: Any,
) -> pd.DataFrame:
    """Every headline as low, base and high of three legal runs.

    Parameters
    ----------
    bars, weight, **settings
        As in `legal_runs`.
    periods_per_year : float
        Bars in a year.

    Returns
    -------
    DataFrame indexed by headline
        `low base high`, and `low_run high_run`, which of the three runs gave them: the rows of
        the strategy in `statistics`, and `return_total_lead`, the total return less that of
        holding, which pays each run's slippage. What a run does not have, such as a
        hit rate without a trade, does not count; NaN where none has it.

    Raises
    ------
    ParamsError, DataError
        As `simulate`.
    """
    return bracket_of(legal_runs(bars, weight, **settings), periods_per_year)


def bracket_of(runs: dict[str, Backtest], periods_per_year: float) -> pd.DataFrame:
    """`bracket` of runs that were made already.

    Parameters
    ----------
    runs : dict of str to Backtest
        What `legal_runs` gave.
    periods_per_year : float
        Bars in a year.
    """
    if set(runs) != set(RUNS):
        raise ParamsError(f"a bracket is of the runs {', '.join(RUNS)}, was of {sorted(runs)}")
    table = pd.DataFrame({name: _headlines(runs[name], periods_per_year) for name in RUNS})
    values = table.to_numpy()
    some = np.isfinite(values).any(axis=1)
    # the base, where runs are alike; then the one that was meant to be there
    order = [1, 0, 2], [1, 2, 0]
    least = np.where(np.isnan(values), np.inf, values)[:, order[0]].argmin(axis=1)
    most = np.where(np.isnan(values), -np.inf, values)[:, order[1]].argmax(axis=1)
    columns = np.array(order[0])[least], np.array(order[1])[most]
    rows = np.arange(len(values))
    return pd.DataFrame(
        {
            "low": values[rows, columns[0]],
            "base": values[:, 1],
            "high": values[rows, columns[1]],
            "low_run": np.where(some, np.array(RUNS)[columns[0]], ""),
            "high_run": np.where(some, np.array(RUNS)[columns[1]], ""),
        },
        index=table.index.rename("headline"),
    )


def _headlines(backtest: Backtest, periods_per_year: float) -> pd.Series:
    """The strategy's statistics and its lead over holding."""
    table = statistics(backtest, periods_per_year)
    own = table["strategy"].drop(["periods"])
    return pd.concat([own, pd.Series({LEAD: table.loc["return_total"] @ [1.0, -1.0]})])


def break_even(
    bars: pd.DataFrame,
    weight: pd.DataFrame | pd.Series,
    *,
    tolerance_bps: float = 0.01,
    **settings: Any,
) -> pd.DataFrame:
    """Extra cost a side at which nothing is earned, and at which holding is no longer beaten.

    Parameters
    ----------
    bars, weight, **settings
        As in `simulate`: the costs that extra ones come on top of.
    tolerance_bps : float
        How near the crossing is found.

    Returns
    -------
    DataFrame indexed by `return_total` and `return_total_lead`
        `now`, the return, or the lead over holding, at the costs asked; `extra_bps`, added to
        `fee_bps` and `maker_bps` a side, at which it is 0; and `says`, in words. NaN where it
        is not above 0 to begin with, where nothing is traded, or where it stays above 0 up to
        4,096 bps. Holding pays the extra cost as well.

    Raises
    ------
    ParamsError
        If the tolerance is not above 0, or as `simulate`.
    DataError
        As `simulate`.

    Notes
    -----
    Costs are doubled until it is not above 0 any more and the step is then halved: where a
    return crosses 0 more than once, which stops and brakes can make it do, one of the first
    crossings is found.
    """
    if not tolerance_bps > 0:
        raise ParamsError(f"tolerance_bps must be above 0, was {tolerance_bps}")
    fee, maker = (settings.get(name) for name in ("fee_bps", "maker_bps"))
    seen: dict[float, tuple[pd.Series, bool]] = {}

    def at(extra: float) -> tuple[pd.Series, bool]:
        """Total return and lead at an extra cost, and whether anything was traded."""
        if extra not in seen:
            costs = {"fee_bps": (fee or 0.0) + extra}
            costs |= {} if maker is None else {"maker_bps": maker + extra}
            result = simulate(bars, weight, **(settings | costs))
            last = result.equity.iloc[-1]
            found = {"return_total": last["strategy"] - 1, LEAD: last["strategy"] - last["hold"]}
            seen[extra] = pd.Series(found), result.traded > 0
        return seen[extra]

    now, traded = at(0.0)
    rows = {}
    for name, value in now.items():
        extra = np.nan
        if value > 0 and traded:
            extra = _crossing(lambda cost, name=name: at(cost)[0][name], tolerance_bps)
        rows[name] = {"now": value, "extra_bps": extra, "says": _says(value, extra, traded)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("headline")


def _crossing(value: Callable[[float], float], tolerance: float) -> float:
    """Where a value that is above 0 at 0 comes to 0; NaN where it does not up to the most."""
    low, high = 0.0, _FIRST
    while value(high) > 0:
        low, high = high, 2 * high
        if low >= _MOST:
            return np.nan
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) > 0 else (low, middle)
    return (low + high) / 2


def _says(now: float, extra: float, traded: bool) -> str:
    """What a break-even cost, or that there is none, means."""
    if not traded:
        return "nothing is traded, so no cost changes it"
    if not now > 0:
        return "not above 0 at the costs asked, so there is no room for more"
    if np.isnan(extra):
        return f"still above 0 at {_MOST:g} bps a side more"
    return f"comes to 0 at {extra:.2f} bps a side more"
