"""vectorbt on our inputs, by a python that has it: `python vectorbt_peer.py IN OUT ...`.

IN holds bars.csv (time, open, high, low, close, volume), weights.csv (time, weight) and
settings.json. By its `task`:

- `simulate` (default): OUT gets equity.csv, trades.csv and seconds.json;
- `time`: the same input simulated with and without stops, warm; OUT gets seconds.json;
- `thresholds`: weights.csv holds scores, `thresholds` the settings; each is a column of one
  call, as many calls as `chunk` columns ask for; OUT gets final.csv and seconds.json.

Target weights go through Portfolio.from_orders, stops through Portfolio.from_signals. Where
docs/backtesting.md and vectorbt differ, the input is arranged so that both mean the same.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import vectorbt as vbt

# vectorbt makes no order below 1e-12 units
CASH = 1e6
STOPS = ("stop_loss", "take_profit", "trailing_stop")


def read(folder):
    """Bars, the weight of each bar (NaN where none was decided) and the settings."""
    bars, weights = (
        pd.read_csv(folder / f"{name}.csv", index_col=0) for name in ("bars", "weights")
    )
    settings = json.loads((folder / "settings.json").read_text())
    return bars, weights.iloc[:, 0].reindex(bars.index), settings


def orders(weight, fill):
    """The weight that each bar's order asks for, NaN where there is none."""
    force = weight.ffill().fillna(0.0)
    asked = weight.where(force != force.shift(fill_value=0.0)).to_numpy()
    return asked if fill == "close" else np.concatenate([[np.nan], asked[:-1]])


def costs(settings):
    """Fee and slippage as fractions."""
    return settings.get("fee_bps", 0.0) / 1e4, settings.get("slippage_bps", 0.0) / 1e4


def from_orders(bars, target, settings):
    """The portfolio of target weights, without stops."""
    fee, slippage = costs(settings)
    price = bars["open" if settings["fill"] == "next_open" else "close"]
    return vbt.Portfolio.from_orders(
        bars["close"],
        size=target,
        size_type="targetpercent",
        price=price.to_numpy(),
        fees=fee,
        slippage=slippage,
        init_cash=CASH,
        freq=settings.get("freq", "1D"),
        max_orders=int(np.isfinite(target).sum()) + 1,
        engine=settings.get("engine"),
    )


def rows_of_bars(bars, target, fill):
    """Rows for stops: a bar that is traded at its open is two, its open and the rest.

    vectorbt looks at stops before it makes the order of the same row.
    """
    table = bars[["open", "high", "low", "close"]].to_numpy()
    if fill != "next_open":
        return table, table[:, 3], target
    rows = np.repeat(table, 2, axis=0)
    rows[::2, 1:] = rows[::2, :1]
    return rows, rows[:, 0], np.column_stack([target, np.full(len(target), np.nan)]).ravel()


def from_signals(bars, target, settings):
    """The portfolio of weights that open from flat, with stops."""
    held = pd.Series(target).dropna().to_numpy()
    if np.any((held[1:] != 0) & (held[:-1] != 0)):
        raise ValueError("vectorbt sizes a signal in percent from flat only: pass through 0")
    fee, slippage = costs(settings)
    profit = settings.get("take_profit")
    stop, trail = settings.get("stop_loss"), settings.get("trailing_stop")
    if slippage and profit and (stop or trail):
        raise ValueError("vectorbt slips stops and profits alike: compare them one at a time")
    if trail and settings["fill"] == "next_open":
        raise ValueError("the open of a split bar would raise a trailing stop: fill at closes")
    rows, price, target = rows_of_bars(bars, target, settings["fill"])
    side = np.sign(np.nan_to_num(target))
    size = np.abs(np.nan_to_num(target)) * (1 + side * slippage) * (1 + fee)
    return vbt.Portfolio.from_signals(
        pd.Series(rows[:, 3]),
        entries=side > 0,
        exits=target == 0,
        short_entries=side < 0,
        short_exits=target == 0,
        size=size,
        size_type="percent",
        price=price,
        fees=fee,
        slippage=slippage,
        open=rows[:, 0],
        high=rows[:, 1],
        low=rows[:, 2],
        sl_stop=trail or stop or np.nan,
        sl_trail=bool(trail),
        tp_stop=profit or np.nan,
        stop_entry_price="fillprice",
        stop_exit_price="stoplimit" if profit else "stopmarket",
        init_cash=CASH,
        freq=settings.get("freq", "1D"),
        max_orders=2 * int(np.isfinite(target).sum()) + 1,
        engine=settings.get("engine"),
    )


def portfolio(bars, weight, settings):
    """The portfolio that the settings ask for, and the rows it has a bar."""
    target = orders(weight, settings["fill"])
    if not any(settings.get(name) for name in STOPS):
        return from_orders(bars, target, settings), 1
    found = from_signals(bars, target, settings)
    return found, len(found.wrapper.index) // len(bars)


def best(function, repeats=3):
    """Least wall time of some calls, and what the last gave."""
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        found = function()
        seconds.append(time.perf_counter() - begun)
    return min(seconds), found


def statistics(found):
    """Returns, trades and vectorbt's whole table of statistics."""
    return found.returns(), found.positions.records, found.stats()


def simulate(bars, weight, settings, out):
    """Equity and round trips, in starting capitals."""
    statistics(portfolio(bars, weight, settings)[0])
    simulated, (found, rows) = best(lambda: portfolio(bars, weight, settings))
    counted, _ = best(partial(statistics, found), repeats=1)
    equity = found.value().to_numpy()[rows - 1 :: rows] / CASH
    pd.DataFrame({"equity": equity}, bars.index).to_csv(out / "equity.csv")
    made = found.positions.records
    made = made[made["status"] == 1]
    columns = {
        "side": np.where(made["direction"] == 0, "long", "short"),
        "entry_time": bars.index[made["entry_idx"] // rows],
        "exit_time": bars.index[made["exit_idx"] // rows],
        "entry_price": made["entry_price"],
        "exit_price": made["exit_price"],
        "size": made["size"] / CASH,
        "fee": (made["entry_fees"] + made["exit_fees"]) / CASH,
        "pnl": made["pnl"] / CASH,
    }
    pd.DataFrame(columns).to_csv(out / "trades.csv", index=False)
    return {"simulation": simulated, "statistics": counted}


def measure(bars, weight, settings, out):
    """Seconds of orders, of signals with stops, and of all that comes after each, all warm."""
    without = {name: value for name, value in settings.items() if name not in STOPS}
    seconds = {"bars": len(bars)}
    for name, make, asked in (
        ("orders", from_orders, without),
        ("signals", from_signals, settings),
    ):
        run = partial(make, bars, orders(weight, asked["fill"]), asked)
        statistics(run())
        simulated, found = best(run)
        # what vectorbt has computed once for a portfolio it keeps
        after = [best(partial(statistics, run()), repeats=1)[0] for _ in range(3)]
        fills = len(found.orders.records)
        seconds[name] = {"simulation": simulated, "statistics": min(after), "fills": fills}
    return seconds


def thresholds(bars, scores, settings, out):
    """Final equity of each threshold: long above it, short below its negative, else flat."""
    levels = np.asarray(settings["thresholds"])
    chunk = settings.get("chunk", len(levels))
    shift = settings["fill"] != "close"
    score = scores.fillna(0.0).to_numpy()[:, None]
    weight = settings.get("weight", 0.9)
    price = bars["open" if settings["fill"] == "next_open" else "close"].to_numpy()[:, None]
    fee, slippage = costs(settings)

    def run(some):
        force = weight * (np.where(score > some, 1.0, 0.0) - np.where(score < -some, 1.0, 0.0))
        before = np.vstack([np.zeros(len(some)), force[:-1]])
        size = np.where(force != before, force, np.nan)
        if shift:
            size = np.vstack([np.full(len(some), np.nan), size[:-1]])
        begun = time.perf_counter()
        found = vbt.Portfolio.from_orders(
            bars["close"],
            size=size,
            size_type="targetpercent",
            price=price,
            fees=fee,
            slippage=slippage,
            init_cash=CASH,
            freq=settings.get("freq", "1D"),
            max_orders=int(np.isfinite(size).sum()) + 1,
            engine=settings.get("engine"),
        )
        return time.perf_counter() - begun, found.final_value().to_numpy() / CASH

    run(levels[:2])
    parts = [run(levels[first : first + chunk]) for first in range(0, len(levels), chunk)]
    final = np.concatenate([values for _, values in parts])
    pd.DataFrame({"threshold": levels, "equity": final}).to_csv(out / "final.csv", index=False)
    seconds = sum(taken for taken, _ in parts)
    return {"simulation": seconds, "bars": len(bars), "columns": len(levels), "chunk": chunk}


def main(source, out):
    """Run the task of one folder."""
    bars, weight, settings = read(source)
    out.mkdir(parents=True, exist_ok=True)
    task = {"simulate": simulate, "time": measure, "thresholds": thresholds}
    seconds = task[settings.get("task", "simulate")](bars, weight, settings, out)
    seconds |= {"peer": f"vectorbt {vbt.__version__}", "engine": settings.get("engine", "auto")}
    (out / "seconds.json").write_text(json.dumps(seconds, indent=1))


if __name__ == "__main__":
    folders = [Path(name) for name in sys.argv[1:]]
    for pair in zip(folders[::2], folders[1::2], strict=True):
        main(*pair)
