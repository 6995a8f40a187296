"""Attribution: what the change of equity is made of, symbol by symbol, with nothing left over.

What positions earned at quotes is the signal's; everything between that and the equity is a
cost of being in the market. The parts add up to the change of equity.
"""

from __future__ import annotations

import pandas as pd

from signalkit.backtesting.engine import Backtest

PARTS = ("signal", "fees", "slippage", "funding", "borrow", "interest", "written_off")
ACCOUNT, TOTAL = "account", "total"


def attribution(backtest: Backtest) -> pd.DataFrame:
    """What each symbol, and the account itself, added to the equity.

    Parameters
    ----------
    backtest : Backtest
        What `simulate` gave.

    Returns
    -------
    DataFrame indexed by symbol, then `account` and `total`
        In starting capitals, positive where it added and negative where it cost: `signal`
        (positions at quotes), `fees`, `slippage` (fills against their quotes), `funding`,
        `borrow` of shorts, `interest` on cash below 0 and `written_off`, what a lender lost in
        ruin, both of the account and of no symbol; and `total`, their sum. The last row is the
        sum of the others, and its `total` the change of equity, to rounding.

    Notes
    -----
    Positions that are open count at the last close. Where both funding and borrow were charged,
    `funding` holds both, as that of a trade does, and `borrow` is 0: a trade does not tell them
    apart. Of the account as a whole `Backtest.accounts` does.
    """
    trades, accounts = backtest.trades, backtest.accounts
    end = accounts.iloc[-1]
    trades = trades.assign(signal=trades[["pnl", "fee", "slippage", "funding"]].sum(axis=1))
    sums = trades.groupby("symbol")[["signal", "fee", "slippage", "funding"]].sum()
    sums = sums.reindex(backtest.positions.columns, fill_value=0.0)
    # all of it is the one of the two that was charged
    carried = "funding" if (accounts["funding"] != 0).any() else "borrow"
    costs = {"fees": sums["fee"], "slippage": sums["slippage"], carried: sums["funding"]}
    table = pd.DataFrame({"signal": sums["signal"]} | {n: -cost for n, cost in costs.items()})
    table = table.rename_axis(index="symbol").reindex(columns=PARTS, fill_value=0.0)
    table.loc[ACCOUNT] = 0.0
    table.loc[ACCOUNT, ["interest", "written_off"]] = -end["interest"], end["written_off"]
    table.loc[TOTAL] = table.sum()
    return (table + 0.0).assign(total=table.sum(axis=1))
