"""What a backtest's returns amount to, beside buy-and-hold, with an interval."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signalkit import metrics
from signalkit.backtesting.engine import Backtest
from signalkit.significance import bootstrap_ci


def statistics(backtest: Backtest, periods_per_year: float) -> pd.DataFrame:
    """Statistics of the strategy and of buy-and-hold.

    Parameters
    ----------
    backtest : Backtest
        What `simulate` gave.
    periods_per_year : float
        Bars in a year, from `bars.bars_per_year`.

    Returns
    -------
    DataFrame with columns `strategy` and `hold`
        The rows of `metrics.returns`; for the strategy also `trades` (count), `hit_rate`
        (share of closed trades with a profit), `turnover_annual` (equities traded a year),
        `exposure` (mean absolute position), `fees` and `slippage` (starting capitals).
    """
    returns = backtest.returns
    table = pd.DataFrame(
        {name: metrics.returns(returns[name].to_numpy(), periods_per_year) for name in returns}
    )
    closed = backtest.trades[backtest.trades["exit_reason"] != "open"]
    years = len(returns) / periods_per_year
    extra = {
        "trades": float(len(backtest.trades)),
        "hit_rate": float((closed["pnl"] > 0).mean()) if len(closed) else np.nan,
        "turnover_annual": backtest.traded / years,
        "exposure": float(backtest.positions.abs().sum(axis=1).mean()),
        "fees": backtest.fees,
        "slippage": backtest.slippage,
    }
    return pd.concat([table, pd.DataFrame({"strategy": extra})])


def _sharpe(returns: np.ndarray, weight: np.ndarray, periods_per_year: float) -> float:
    """Annual Sharpe ratio of weighted returns, 0 where nothing moves."""
    mean = weight @ returns / weight.sum()
    variance = weight @ (returns - mean) ** 2 / (weight.sum() - 1)
    return float(mean / np.sqrt(variance) * np.sqrt(periods_per_year)) if variance > 0 else 0.0


def sharpe_interval(
    backtest: Backtest,
    periods_per_year: float,
    *,
    block: int,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Sharpe ratio of the strategy, of holding, and their difference, with intervals.

    Parameters
    ----------
    backtest : Backtest
        What `simulate` gave.
    periods_per_year : float
        Bars in a year.
    block, draws, level, seed
        As in `significance.bootstrap_ci`.

    Returns
    -------
    DataFrame indexed by `strategy`, `hold`, `difference`
        `value`, `low`, `high` of the annual Sharpe ratio; 0 for returns that never move.
    """
    returns = backtest.returns

    def statistic(weight: np.ndarray) -> pd.Series:
        found = {n: _sharpe(returns[n].to_numpy(), weight, periods_per_year) for n in returns}
        return pd.Series(found | {"difference": found["strategy"] - found["hold"]})

    asked = {"block": block, "draws": draws, "level": level, "seed": seed}
    return bootstrap_ci(statistic, returns.index, **asked)[["value", "low", "high"]]
