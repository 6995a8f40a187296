"""The engine's rules as a plain event loop: what the kernel is tested against.

Written from docs/backtesting.md, never from the kernel: bars, orders and positions are
objects in dictionaries, and every numbered step of the page is a call in `Account.steps`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from tests.backtesting.reference_book import DUST, TRADE, Order, Settings, symbol_bars
from tests.backtesting.reference_orders import Orders

YEAR = pd.Timedelta(365, "D")
FILL = {"time": "datetime64[us, UTC]", "symbol": str, "units": float, "price": float}
FILL |= {"quote": float, "fee": float, "slippage": float, "reason": str}


class Account(Orders):
    """What one bar after the other does to cash, positions and orders."""

    # -- one bar

    def play(self, time, bars, rows, rates):
        """One time of the grid: bars, weight rows and funding rates by symbol."""
        if not self.ruined:
            self.time, self.bars, self.at = time, bars, "open"
            self.used, self.turned = dict.fromkeys(bars, 0.0), 0.0
            self.steps(rows, rates)
        self.write(time)

    def steps(self, rows, rates):
        """The page's numbered events."""
        opens = {s: b.open for s, b in self.bars.items()}
        closes = {s: b.close for s, b in self.bars.items()}
        self.margin(opens)  # 1
        self.market("next_open", opens)  # 2
        self.at = "inside"
        for symbol in self.bars if not self.ruined else ():
            self.exits(symbol)  # 3
        for symbol in self.bars if not self.ruined else ():
            if self.limit(symbol):  # 4
                self.exits(symbol, profits=False)
        if self.set.path == "pessimistic":
            self.margin(self.worst())  # 5
        self.at = "close"
        self.follow_best()
        self.marks.update(closes)
        self.carry(rates)  # 6
        self.market("next_close", closes)  # 7
        self.margin(closes)  # 8
        self.drawdown()
        self.decide(rows)  # 9
        if self.set.fill == "close":
            self.market("close", closes)  # 10
        if not self.ruined and self.worth(closes) <= 0:
            self.ruin(closes)  # 11

    # -- inside a bar

    def exits(self, symbol, *, profits=True):
        """Stops and profits; a short is a long in prices of the other sign."""
        trip, bar = self.held.get(symbol), self.bars[symbol]
        if trip is None:
            return
        low, high = (bar.low, bar.high) if trip.side > 0 else (-bar.high, -bar.low)
        opened = trip.side * bar.open
        stops, profit = self.levels(trip)
        stop = max((level for level, _ in stops), default=-math.inf)
        # of equal ones the first; a mean entry price is not exact
        reason = next((why for level, why in stops if level >= stop - DUST * abs(stop)), "")
        gains = profits and high >= profit
        if low <= stop and not (gains and self.set.path == "optimistic"):
            level = min(stop, trip.side * trip.last if trip.late else opened)
            self.leave(symbol, trip.side * level, reason, resting=False)
        elif gains:
            level = max(opened, profit)
            self.leave(symbol, trip.side * level, "take_profit", resting=True)

    def levels(self, trip):
        """Stop levels with their reasons, of equal ones `stop` first; the profit level."""
        entry, side, stops = trip.side * trip.entry, trip.side, []
        if self.set.stop_loss is not None:
            stops.append((entry - abs(entry) * self.set.stop_loss, "stop"))
        if trip.stop is not None:
            stops.append((side * trip.stop, "stop"))
        if self.set.trailing_stop is not None:
            best = side * trip.best
            stops.append((best - abs(best) * self.set.trailing_stop, "trailing_stop"))
        if self.set.take_profit is None:
            return stops, math.inf
        return stops, entry + abs(entry) * self.set.take_profit

    def leave(self, symbol, quote, reason, *, resting):
        """Exit as far as volume goes; the rest is a market order for 0."""
        trip, order = self.held[symbol], self.orders.get(symbol)
        if order is not None and order.weight * trip.side > 0:
            del self.orders[symbol]
        size = min(trip.units, self.volume_left(symbol))
        if not resting and not self.priced(symbol):
            size = 0.0
        if size:
            units = -trip.side * size
            self.fill(symbol, units, quote, reason, resting=resting, shown=False)
        if symbol in self.held and symbol not in self.orders:
            self.orders[symbol] = Order(0.0, self.time, reason=reason)

    def limit(self, symbol):
        """Fill a limit order that the bar reaches; whether something filled."""
        order, bar = self.orders.get(symbol), self.bars[symbol]
        if order is None or order.limit is None or order.decided >= self.time:
            return False
        quotes = {s: b.open for s, b in self.bars.items()}
        quotes[symbol] = order.limit
        side = self.side(symbol, order, quotes)
        if not side:
            del self.orders[symbol]
            return False
        price = self.reached(bar, order.limit, side > 0)
        if price is None:
            return False
        quotes[symbol] = price
        equity = self.worth(quotes)
        change = self.wanted(symbol, order, quotes, equity) if equity > 0 else None
        if change is None or change.units * side <= 0:
            return False
        count = len(self.out.fills)
        self.at = "open" if price == bar.open else "inside"
        self.execute([change], quotes, equity, resting=True)
        self.at = "inside"
        return len(self.out.fills) > count

    def side(self, symbol, order, quotes):
        """The sign of the change at the limit itself: nothing of it is cut yet."""
        weight = max(-self.set.max_weight, min(self.set.max_weight, order.weight))
        return weight * self.worth(quotes) / order.limit - self.units(symbol)

    def reached(self, bar, limit, buys):
        """The price a limit order gets in a bar, None if it gets none."""
        if (bar.open <= limit) if buys else (bar.open >= limit):
            return bar.open
        beyond = limit - bar.low if buys else bar.high - limit
        touched = beyond >= 0 if self.set.path == "optimistic" else beyond > 0
        return limit if touched else None

    def worst(self):
        """The worst price of the bar for each position."""
        found = {s: t for s, t in self.held.items() if s in self.bars}
        return {s: self.bars[s].low if t.side > 0 else self.bars[s].high for s, t in found.items()}

    def follow_best(self):
        """Best price of each position held at the bar's end, for the bars to come."""
        for symbol, trip in self.held.items():
            if symbol in self.bars and not trip.late:
                bar = self.bars[symbol]
                trip.best = max(trip.best, bar.high) if trip.side > 0 else min(trip.best, bar.low)

    # -- margin, carry, brake

    def margin(self, prices):
        """Ruin or liquidation at these prices."""
        if self.ruined:
            return
        equity = self.worth(prices)
        gross = sum(t.units * self.price(s, prices) for s, t in self.held.items())
        if equity <= 0:
            self.ruin(prices)
        elif self.held and equity <= self.set.maintenance * gross:
            self.liquidate(prices)

    def ruin(self, prices):
        """The lender takes over every position, and what is missing."""
        for symbol in self.in_order(self.held):
            quote = self.price(symbol, prices)
            self.book(symbol, -self.units(symbol), quote, quote, 0.0, "ruin")
        self.sums["written_off"] -= self.cash
        self.cash, self.orders, self.ruined = 0.0, {}, True

    def liquidate(self, prices):
        """Every position becomes an urgent order for 0 and fills as far as volume goes."""
        self.liquidating = True
        self.orders = {
            s: Order(0.0, self.time, reason="liquidation", urgent=True)
            for s in self.in_order(self.held)
        }
        for symbol in self.in_order(self.held):
            if symbol in self.bars and self.priced(symbol):
                trip = self.held[symbol]
                size = min(trip.units, self.volume_left(symbol))
                if size:
                    quote = prices[symbol]
                    self.fill(symbol, -trip.side * size, quote, "liquidation", shown=False)
            if symbol not in self.held:
                del self.orders[symbol]

    def in_order(self, found):
        return [s for s in self.symbols if s in found]

    def carry(self, rates):
        """Funding of units held now, then borrow and interest since the grid's last time."""
        for symbol, trip in self.held.items():
            if symbol in rates:
                self.pay("funding", trip.signed * self.marks[symbol] * rates[symbol], trip)
        years = 0.0 if self.before is None else (self.time - self.before) / YEAR
        yearly = self.set.borrow_bps / 1e4 * years
        interest = max(-self.cash, 0.0) * yearly
        for symbol, trip in self.held.items():
            if trip.side < 0:
                self.pay("borrow", trip.units * self.marks[symbol] * yearly, trip)
        self.pay("interest", interest)

    def pay(self, kind, amount, trip=None):
        self.cash -= amount
        self.sums[kind] += amount
        if trip is not None:
            trip.funding += amount

    def drawdown(self):
        """The brake; after its pause the highest equity is counted anew."""
        if self.ruined:
            return
        equity = self.worth({})
        self.resumes = self.paused == 1
        self.paused = max(self.paused - 1, 0)
        if self.resumes:
            self.highest = equity
        if self.paused:
            return
        self.highest = max(self.highest, equity)
        if self.set.brake is not None and equity <= (1 - self.set.brake) * self.highest:
            self.paused, self.resumes = self.set.brake_bars + 1, False
            self.orders = {s: Order(0.0, self.time, reason="brake") for s in self.held}

    # -- decisions

    def decide(self, rows):
        """Weights of this bar's end; force holds weight, limit and stop of each symbol."""
        if self.liquidating and not self.held:
            self.liquidating, self.force = False, {}
        if self.ruined or self.liquidating:
            return
        for symbol, (weight, limit, stop) in rows.items():
            if weight != self.force.get(symbol, (0.0,))[0]:
                self.force[symbol] = (weight, limit, stop)
                if not self.paused:
                    self.orders[symbol] = Order(weight, self.time, limit, stop)
            elif stop is not None and symbol in self.held and not self.paused:
                self.held[symbol].stop = stop
        if self.resumes:
            for symbol, (weight, limit, stop) in self.force.items():
                self.orders[symbol] = Order(weight, self.time, limit, stop)

    def write(self, time):
        """Equity and account at a bar's end."""
        values = {s: t.signed * self.marks[s] for s, t in self.held.items()}
        equity = self.cash + sum(values.values())
        self.out.equity[time] = equity
        shares = {s: values.get(s, 0.0) / equity if s in values else 0.0 for s in self.symbols}
        self.out.positions.append(shares)
        sides = {
            "cash": self.cash,
            "long": sum(v for v in values.values() if v > 0),
            "short": -sum(v for v in values.values() if v < 0),
        }
        signal = self.paper + sum(values.values())
        self.out.accounts.append(sides | self.sums | {"signal": signal})
        for trip in self.held.values():
            trip.late = False
        self.before = time

    def tables(self):
        """What was written down; positions still held are marked."""
        out = self.out
        still = [t.row(self.marks[s], pd.NaT, "open") for s, t in self.held.items()]
        trades = sorted(out.trades + still, key=lambda row: (row["entry_time"], row["symbol"]))
        times = pd.DatetimeIndex(list(out.equity), name="time")
        return Played(
            pd.DataFrame({"strategy": out.equity.values()}, times),
            pd.DataFrame(out.positions, times),
            pd.DataFrame(out.accounts, times),
            pd.DataFrame(out.fills, columns=list(FILL)).astype(FILL),
            pd.DataFrame(trades, columns=TRADE),
        )


@dataclass
class Played:
    """The tables that simulate gives, as the plain event loop finds them."""

    equity: pd.DataFrame
    positions: pd.DataFrame
    accounts: pd.DataFrame
    fills: pd.DataFrame
    trades: pd.DataFrame


def by_symbol(table):
    """A table of one symbol as one of a panel, under the symbol ""."""
    if isinstance(table.index, pd.MultiIndex):
        return table
    return pd.concat({"": table}, names=["symbol", "time"])


def given(value):
    return None if pd.isna(value) else float(value)


def by_time(table, row):
    """What `row` makes of each row, by time and then by symbol in order."""
    found = {}
    for place, values in sorted(table.iterrows()):
        symbol, time = place
        found.setdefault(time, {})[symbol] = row(values)
    return found


def wish(row):
    return float(row["weight"]), given(row.get("limit_price")), given(row.get("stop"))


def play(bars, weight, *, funding=None, **options):
    """Every bar from the first weight on, one after the other."""
    settings = Settings(**options)
    panel = by_symbol(bars)
    symbols = sorted(set(panel.index.get_level_values("symbol")))
    found = {s: symbol_bars(panel.loc[s], settings.capital) for s in symbols}
    rows = by_time(by_symbol(weight if weight.ndim > 1 else weight.to_frame("weight")), wish)
    rates = {}
    if funding is not None:
        rates = by_time(by_symbol(funding.to_frame("rate")), lambda row: row["rate"])
    account = Account(symbols, settings)
    for time in sorted({t for bars in found.values() for t in bars}):
        if time >= min(rows):
            quoted = {s: found[s][time] for s in symbols if time in found[s]}
            account.play(time, quoted, rows.get(time, {}), rates.get(time, {}))
    return account.tables()
