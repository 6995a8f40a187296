"""Where backtrader's rules are not those of docs/backtesting.md, a few bars each, as JSON."""

import json
import sys

import backtrader as bt
import pandas as pd


def run(bars, actions, *, cash=1000.0, fee=0.0, slippage=0.0, coc=False, **slips):
    """Fills (units, price), cash-on-close or not, and the account's value at each bar."""
    fills, values = [], []

    class Acts(bt.Strategy):
        def next(self):
            values.append(self.broker.getvalue())
            actions.get(len(self.data) - 1, lambda strategy: None)(self)

        def notify_order(self, order):
            if order.status == order.Completed:
                fills.append([order.executed.size, order.executed.price])

    cerebro = bt.Cerebro(stdstats=False)
    table = pd.DataFrame(bars, columns=["open", "high", "low", "close"], dtype=float)
    table.index = pd.date_range("2024-01-01", periods=len(table))
    cerebro.adddata(bt.feeds.PandasData(dataname=table, volume=None, openinterest=None))
    cerebro.broker.setcash(cash)
    cerebro.broker.setcommission(commission=fee)
    cerebro.broker.set_slippage_perc(slippage, **slips)
    cerebro.broker.set_coc(coc)
    cerebro.addstrategy(Acts)
    cerebro.run()
    return fills, values


def bracket(strategy):
    """Three units with a stop at 95 and a profit out of reach."""
    strategy.buy_bracket(size=3, stopprice=95, limitprice=900, exectype=bt.Order.Market)


def resting(kind, **levels):
    """Three units to be sold at a level."""
    return lambda strategy: strategy.sell(size=3, exectype=kind, **levels)


def main():
    """Every difference by name."""
    calm, falls = [100, 100, 100, 100], [100, 101, 90, 96]
    buys = {0: lambda strategy: strategy.buy(size=3)}
    stop = {1: resting(bt.Order.Stop, price=95)}
    turns = {2: lambda strategy: strategy.sell(size=3)}
    profit = {1: resting(bt.Order.Limit, price=110)}
    trail = {1: resting(bt.Order.StopTrail, trailpercent=0.1)}
    spike = [100, 150, 100, 100]
    target = {0: lambda strategy: strategy.order_target_percent(target=0.5)}
    shorts = {0: lambda strategy: strategy.sell(size=9)}
    found = {
        # bought at an open that is the high of its bar
        "held_in_bar": run([calm, calm], buys, slippage=0.01)[0],
        # half of 1000 at a close of 150, filled at an open of 100
        "last_close": run([[150] * 4, calm], target)[0],
        # the bar that opens the position falls through the stop, the next ones do not
        "entry_bar": run([calm, falls, [96] * 4, [96] * 4], {0: bracket})[0],
        # a stop at 95 and an order to sell at the open of the bar that reaches it
        "both_fill": run([calm, calm, calm, falls, [96] * 4], buys | stop | turns)[0],
        # ten units at 100 and a fee are more than 1000
        "refused_whole": run([calm, calm], {0: lambda s: s.buy(size=10)}, fee=0.01)[0],
        # filled at the close of bar 0, on which 1 % was paid
        "booked_late": run([calm] * 3, buys, fee=0.01, coc=True)[1],
        # a profit at 110 where the open is 120
        "slipped_profit": run(
            [calm, calm, [120, 121, 119, 120]], buys | profit, slippage=0.01, slip_out=True
        )[0],
        # a high of 150, a close of 100, then a low of 91: 10 % below the close is 90
        "trails_close": run([calm, calm, spike, [100, 100, 91, 95]], buys | trail)[0],
        # short nine units, and the price trebles
        "below_zero": run([calm, calm, [300] * 4, [300] * 4], shorts)[1],
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
