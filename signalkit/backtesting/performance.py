"""What a backtest's returns amount to, beside buy-and-hold, with intervals.

Statistics are of the returns of bars, annualised by the bars' own calendar. Intervals draw
blocks of time, strategy and holding on the same draws; where there is more than one bar a day
`intervals` draws days, for what luck does to a year shows in its days.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import njit

from signalkit import metrics
from signalkit.backtesting.engine import Backtest
from signalkit.errors import DataError, ParamsError
from signalkit.significance import intervals as percentiles

MEASURES = ("return_annual", "volatility_annual", "sharpe_annual", "max_drawdown", "calmar")
_ACCOUNTS = ("strategy", "hold", "difference")
# the logarithm of a wealth of nothing: more than any number of returns makes up for
_NOTHING = -1e9


def statistics(backtest: Backtest, periods_per_year: float, *, level: float = 0.95) -> pd.DataFrame:
    """Statistics of the strategy and of buy-and-hold.

    Parameters
    ----------
    backtest : Backtest
        What `simulate` gave.
    periods_per_year : float
        Bars in a year, from `bars.bars_per_year`.
    level : float
        Of VaR and CVaR.

    Returns
    -------
    DataFrame with columns `strategy` and `hold`
        The rows of `metrics.returns`, of `metrics.risk`, and of `metrics.against` holding. For
        the strategy also `trades` (count), `hit_rate` (share of closed trades with a profit),
        `profit_factor` (what they won over what they lost, NaN where none lost), `expectancy`
        (mean return of a closed trade on its entry's notional), `turnover_annual` (equities
        traded a year), `exposure` (mean absolute position), `fees` and `slippage` (starting
        capitals).
    """
    returns = backtest.returns
    hold = returns["hold"].to_numpy()
    table = {
        name: pd.concat(
            [
                metrics.returns(returns[name].to_numpy(), periods_per_year),
                metrics.risk(returns[name].to_numpy(), level=level),
                metrics.against(returns[name].to_numpy(), hold, periods_per_year),
            ]
        )
        for name in ("strategy", "hold")
    }
    years = len(returns) / periods_per_year
    extra = _of_trades(backtest.trades) | {
        "turnover_annual": backtest.traded / years,
        "exposure": float(np.abs(backtest.positions.to_numpy()).sum(axis=1).mean()),
        "fees": backtest.fees,
        "slippage": backtest.slippage,
    }
    return pd.concat([pd.DataFrame(table), pd.DataFrame({"strategy": extra})])


def _of_trades(trades: pd.DataFrame) -> dict[str, float]:
    """What the trades that are closed amount to; NaN where there is none."""
    closed = trades[trades["exit_reason"] != "open"]
    pnl = closed["pnl"].to_numpy(dtype=float)
    lost = -pnl[pnl < 0].sum()
    return {
        "trades": float(len(trades)),
        "hit_rate": float((pnl > 0).mean()) if len(pnl) else np.nan,
        "profit_factor": float(pnl[pnl > 0].sum() / lost) if lost > 0 else np.nan,
        "expectancy": float(closed["return"].mean()) if len(pnl) else np.nan,
    }


@njit(cache=True, nogil=True)
def _drawn(returns, starts, block):  # noqa: ANN001, ANN202 - numba
    """What the measures are made of, for each draw of blocks and each column of returns.

    Growth is the sum of logarithms; the others are mean, standard deviation (ddof 1, exactly 0
    of a constant) and the lowest drawdown.
    """
    n, n_columns = returns.shape
    out = np.empty((len(starts), n_columns, 4))
    logs, middle = np.empty((n, n_columns)), np.zeros(n_columns)
    for c in range(n_columns):
        for i in range(n):
            logs[i, c] = np.log1p(returns[i, c]) if returns[i, c] > -1.0 else _NOTHING
            middle[c] += returns[i, c] / n
    for d in range(len(starts)):
        for c in range(n_columns):
            growth, total, squares, peak, worst = 0.0, 0.0, 0.0, 0.0, 0.0
            least, most, taken = np.inf, -np.inf, 0
            for b in range(starts.shape[1]):
                i = starts[d, b]
                for _ in range(min(block, n - taken)):
                    value = returns[i, c]
                    away = value - middle[c]
                    total += away
                    squares += away * away
                    least, most = min(least, value), max(most, value)
                    growth += logs[i, c]
                    peak = max(peak, growth)
                    worst = min(worst, growth - peak)
                    i = i + 1 if i + 1 < n else 0
                taken += block
            variance = (squares - total * total / n) / (n - 1)
            out[d, c, 0] = growth
            out[d, c, 1] = middle[c] + total / n
            out[d, c, 2] = np.sqrt(max(variance, 0.0)) if most > least else 0.0
            out[d, c, 3] = np.expm1(worst)
    return out


def _starts(n_times: int, block: int, draws: int, seed: int) -> np.ndarray:
    """First place of every block: those of the real order, then those of each draw.

    The draws are those of `significance.draw_counts`; here the order of the blocks counts too.
    """
    if not 1 <= block <= n_times:
        raise ParamsError(
            f"validation.block must be from 1 to the {n_times} times there are, was {block}"
        )
    n_blocks = -(-n_times // block)
    drawn = np.random.default_rng(seed).integers(0, n_times, size=(draws, n_blocks))
    return np.vstack([np.arange(n_blocks) * block, drawn])


def _measured(
    returns: pd.DataFrame, periods_per_year: float, starts: np.ndarray, block: int
) -> np.ndarray:
    """Each order of blocks x strategy, holding, difference x `MEASURES`; NaN beyond a float."""
    values = returns[["strategy", "hold"]].to_numpy(dtype=float)
    if len(values) < 2:
        raise DataError("intervals of an account need at least 2 returns")
    growth, mean, spread, worst = np.moveaxis(_drawn(values, starts, block), 2, 0)
    root = np.sqrt(periods_per_year)
    power = growth * (periods_per_year / len(values))
    annual = np.expm1(np.where(power < np.log(np.finfo(float).max), power, np.nan))
    sharpe = np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 0) * root
    calmar = np.divide(annual, -worst, out=np.full_like(mean, np.nan), where=worst < 0)
    found = np.stack([annual, spread * root, sharpe, worst, calmar], axis=2)
    return np.concatenate([found, found[:, :1] - found[:, 1:]], axis=1)


def daily(returns: pd.DataFrame, periods_per_year: float) -> tuple[pd.DataFrame, float]:
    """Returns of whole days, and the days of a year that go with the bars of one.

    Parameters
    ----------
    returns : DataFrame indexed by time
        Returns of bars; a bar that ends at midnight UTC belongs to the day before.
    periods_per_year : float
        Bars in a year.

    Returns
    -------
    tuple of (DataFrame, float)
        Compounded by UTC day, indexed by the end of its last bar; and the days of a year:
        the bars of a year less as many times as the days are fewer than the bars. Unchanged
        where no day has two bars.
    """
    days = (returns.index - pd.Timedelta(1, "ns")).floor("D").asi8
    last = np.flatnonzero(np.r_[days[1:] != days[:-1], True])
    if len(last) == len(returns):
        return returns, periods_per_year
    first = np.r_[0, last[:-1] + 1]
    found = np.multiply.reduceat(1 + returns.to_numpy(), first, axis=0) - 1
    per_year = periods_per_year * len(last) / len(returns)
    return pd.DataFrame(found, returns.index[last], returns.columns), per_year


def intervals(
    backtest: Backtest,
    periods_per_year: float,
    *,
    block: int,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """The main statistics of strategy, holding and their difference, with intervals.

    Parameters
    ----------
    backtest : Backtest
        What `simulate` gave.
    periods_per_year : float
        Bars in a year.
    block : int
        Bars in a block, at least the label's horizon; of days, as many as hold these bars.
    draws, level, seed
        As in `significance.bootstrap_ci`.

    Returns
    -------
    DataFrame indexed by (measure, account)
        `value low high` of each of `MEASURES` for `strategy`, `hold` and `difference`, on
        returns of days where a day has more than one bar. A Sharpe ratio of returns that never
        move is 0; a Calmar ratio without a drawdown, or beyond what a float holds, is NaN.

    Raises
    ------
    ParamsError
        If the block does not fit.
    DataError
        If there are fewer than 2 returns.

    Notes
    -----
    Circular blocks of one seed are the same draws as in `significance.bootstrap_ci`. A block
    keeps neighbours together, so a drawdown longer than a block is under-drawn: take the low
    end of `max_drawdown` for a bound that the real one may exceed.
    """
    returns, per_year = daily(backtest.returns, periods_per_year)
    block = -(-block * len(returns) // len(backtest.equity))
    starts = _starts(len(returns), block, draws, seed)
    found = _measured(returns, per_year, starts, block)
    keys = pd.MultiIndex.from_product([_ACCOUNTS, MEASURES], names=["account", "measure"])
    flat = found.reshape(len(found), -1)
    table = percentiles(pd.Series(flat[0], keys), flat[1:], level)
    order = pd.MultiIndex.from_product([MEASURES, _ACCOUNTS], names=["measure", "account"])
    return table.reorder_levels(order.names).loc[order, ["value", "low", "high"]]


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
        As in `significance.bootstrap_ci`; blocks of bars.

    Returns
    -------
    DataFrame indexed by `strategy`, `hold`, `difference`
        `value`, `low`, `high` of the annual Sharpe ratio; 0 for returns that never move.
    """
    returns = backtest.returns
    starts = _starts(len(returns), block, draws, seed)
    found = _measured(returns, periods_per_year, starts, block)[
        :, :, MEASURES.index("sharpe_annual")
    ]
    told = percentiles(pd.Series(found[0], _ACCOUNTS), found[1:], level)
    return told[["value", "low", "high"]]


def monthly(returns: pd.Series) -> pd.DataFrame:
    """Return of each calendar month and year.

    Parameters
    ----------
    returns : Series indexed by time
        Returns of bars; a bar that ends at midnight UTC belongs to the day before.

    Returns
    -------
    DataFrame indexed by year
        Columns 1 to 12, NaN for a month without a bar, and `year`.

    Raises
    ------
    DataError
        If there is no return.
    """
    if returns.empty:
        raise DataError("there is no return to put into months")
    day = returns.index - pd.Timedelta(1, "ns")
    grown = 1 + returns
    months = grown.groupby([day.year, day.month]).prod().unstack() - 1
    years = grown.groupby(day.year).prod() - 1
    table = months.reindex(columns=range(1, 13)).assign(year=years)
    return table.rename_axis(index="year", columns="month")


def rolling_sharpe(returns: pd.DataFrame, periods_per_year: float, *, window: int) -> pd.DataFrame:
    """Annual Sharpe ratio of the last `window` bars, at each bar end.

    Parameters
    ----------
    returns : DataFrame or Series indexed by time
        Returns of bars.
    periods_per_year : float
        Bars in a year.
    window : int
        Bars, at least 2.

    Returns
    -------
    DataFrame or Series as the returns
        NaN until there are `window` bars and where none of them moves.

    Raises
    ------
    ParamsError
        If the window is shorter than 2 bars.
    """
    if window < 2:
        raise ParamsError(f"a rolling Sharpe ratio needs a window of at least 2 bars, was {window}")
    seen = returns.rolling(window)
    # what the running sums leave of a constant is their rounding
    spread = seen.std().where(seen.max() > seen.min())
    return seen.mean() / spread * np.sqrt(periods_per_year)
