"""Market orders and fills of the plain event loop: sized, cut, paid for and written down."""

from __future__ import annotations

import math

from tests.backtesting.reference_book import DUST, Change, Outcome, Trip


class Orders:
    """Cash, positions and waiting orders, and the fill moment of the page."""

    def __init__(self, symbols, settings):
        self.symbols, self.set, self.out = symbols, settings, Outcome()
        self.cash, self.paper = 1.0, 0.0  # paper: cash had every fill been at its quote
        self.sums = dict.fromkeys(
            ["fees", "slippage", "funding", "borrow", "interest", "written_off"], 0.0
        )
        self.held, self.marks, self.orders, self.force = {}, {}, {}, {}
        self.highest, self.paused, self.resumes = 1.0, 0, False
        self.liquidating = self.ruined = False
        self.before = None

    def worth(self, prices):
        """Equity at these prices, at its mark where a symbol has none."""
        return self.cash + sum(t.signed * self.price(s, prices) for s, t in self.held.items())

    def price(self, symbol, prices):
        return prices.get(symbol, self.marks.get(symbol))

    def units(self, symbol):
        return self.held[symbol].signed if symbol in self.held else 0.0

    # -- market orders

    def market(self, rule, quotes):
        """A fill moment: orders that wait for it, and trims where it is the rule's own."""
        own = rule == self.set.fill
        equity = self.worth(quotes)
        if equity <= 0 or self.ruined:
            return
        changes = []
        for symbol in (s for s in quotes if self.priced(s)):
            order, change = self.orders.get(symbol), None
            if order is not None and order.limit is None and self.ripe(order, own):
                change = self.wanted(symbol, order, quotes, equity)
            elif own and symbol in self.held:
                change = self.trim(symbol, quotes, equity)
            if change is not None:
                changes.append(change)
        self.execute(changes, quotes, equity)

    def ripe(self, order, own):
        """Urgent; or decided at an earlier bar, or by the rule that fills at the same close."""
        return order.urgent or (own and (order.decided < self.time or self.set.fill == "close"))

    def priced(self, symbol):
        """Whether the costs of a market order in the symbol can be told."""
        bar = self.bars[symbol]
        if (self.set.slippage_vol or self.set.impact) and not bar.volatility:
            return False
        return not self.set.impact or bool(bar.mean_volume)

    def wanted(self, symbol, order, quotes, equity):
        """The change that brings a symbol to its order's weight, cut to its position's share."""
        weight = max(-self.set.max_weight, min(self.set.max_weight, order.weight))
        units, held = weight * equity / quotes[symbol], self.units(symbol)
        if units * held > 0:
            share, slack = held * self.share(quotes, equity), DUST * equity / quotes[symbol]
            if abs(units) > abs(share) + slack:
                return Change(symbol, share - held, order, cut=True)
        return Change(symbol, units - held, order)

    def share(self, quotes, equity):
        """What positions keep of themselves where their sum is above the leverage, else all."""
        total = sum(t.units * self.price(s, quotes) for s, t in self.held.items())
        above = total > self.set.max_leverage * equity * (1 + self.set.drift)
        return self.set.max_leverage * equity / total if above else math.inf

    def trim(self, symbol, quotes, equity):
        """The change that brings a position without an order of this moment under the caps."""
        value, cap = self.held[symbol].units * quotes[symbol], self.set.max_weight * equity
        kept = self.share(quotes, equity)
        if value > cap * (1 + self.set.drift):
            kept = min(kept, cap / value)
        return Change(symbol, (kept - 1.0) * self.units(symbol), None) if kept < 1 else None

    def execute(self, changes, quotes, equity, resting=False):
        """Turnover, volume, sequence; then room, lots and minimum one after the other."""
        total = sum(abs(c.units) * quotes[c.symbol] for c in changes)
        left = self.turnover_left(equity)
        if total > left + DUST * equity:
            for change in changes:
                change.units, change.cut = change.units * left / total, True
        for change in changes:
            left = self.volume_left(change.symbol)
            if abs(change.units) > left:
                change.units, change.cut = math.copysign(left, change.units), True
        first = [c for c in changes if self.only_reduces(c)]
        second = [c for c in changes if not self.only_reduces(c)]
        for change in first:
            self.make(change, quotes[change.symbol], equity, resting)
        for change in second:
            self.fit(change, quotes, equity)
            self.make(change, quotes[change.symbol], equity, resting)

    def turnover_left(self, equity):
        whole = self.set.max_turnover * equity
        left = whole - self.turned
        return left if left > DUST * whole or whole == math.inf else 0.0

    def volume_left(self, symbol):
        if self.set.volume_cap is None:
            return math.inf
        whole = self.set.volume_cap * self.bars[symbol].volume
        left = whole - self.used[symbol]
        return left if left > DUST * whole else 0.0

    def only_reduces(self, change):
        """Whether a smaller position of the same side is left, or none."""
        held = self.units(change.symbol)
        left = held + change.units
        return left == 0 or (left * held > 0 and abs(left) < abs(held))

    def fit(self, change, quotes, equity):
        """Cut a change to the room that leverage and the number of positions leave."""
        symbol, quote = change.symbol, quotes[change.symbol]
        held = self.units(symbol)
        if not held and change.units and len(self.held) >= self.set.max_positions:
            change.units, change.cut = 0.0, True
        others = sum(t.units * self.price(s, quotes) for s, t in self.held.items() if s != symbol)
        room = self.set.max_leverage * equity - others
        left = held + change.units
        if change.units and abs(left) * quote > room + DUST * equity:
            change.cut = True
            cut = math.copysign(room / quote, left) - held
            none = -held if left * held < 0 else 0.0  # a reversal closes at least
            change.units = cut if room > 0 and cut * change.units > 0 else none

    def make(self, change, quote, equity, resting):
        """Round a change, fill what is left of it, and say whether its order is done."""
        units, whole = change.units, change.units == -self.units(change.symbol)
        if not whole:
            if self.set.lot:
                lot = self.set.lot / self.set.capital
                units = math.copysign(math.floor(abs(units) / lot + 1e-9) * lot, units)
            if abs(units) * quote <= DUST * equity:
                units = 0.0
            elif abs(self.units(change.symbol) + units) * quote <= DUST * equity:
                units = -self.units(change.symbol)  # lots that add up to it
        small = (
            not whole and units and abs(units) * quote < self.set.min_notional / self.set.capital
        )
        if change.order is not None and (small or not change.cut):
            del self.orders[change.symbol]
        if units and not small:
            reason = "trim" if change.order is None else change.order.reason
            self.fill(change.symbol, units, quote, reason, change.order, resting=resting)

    # -- fills

    def fill(self, symbol, units, quote, reason, order=None, *, resting=False, shown=True):
        """Pay for a fill; `shown` says that the bar's worse or better price may hold."""
        settings, bar, side = self.set, self.bars[symbol], math.copysign(1.0, units)
        price, bps = quote, settings.maker_bps
        if not resting:
            bps, price = settings.fee_bps, self.shown(bar, side, quote) if shown else quote
            price = max(price * (1 + side * self.slip(bar, abs(units))), 0.0)
        fee = abs(units) * price * bps / 1e4
        self.sums["fees"] += fee
        self.used[symbol] += abs(units)
        self.turned += abs(units) * quote
        self.book(symbol, units, quote, price, fee, reason, order)

    def shown(self, bar, side, quote):
        """The price before slippage: the quote, or the worse or better of open and close."""
        if self.set.prices == "stated":
            return quote
        higher = (side > 0) == (self.set.prices == "worse")
        return max(bar.open, bar.close) if higher else min(bar.open, bar.close)

    def slip(self, bar, size):
        """Slippage of a market order as a fraction of its price."""
        slip = self.set.slippage_bps / 1e4
        if self.set.slippage_vol:
            slip += self.set.slippage_vol * bar.volatility
        if self.set.impact:
            slip += self.set.impact * bar.volatility * math.sqrt(size / bar.mean_volume)
        return slip

    def book(self, symbol, units, quote, price, fee, reason, order=None):
        """Cash and position of a fill; one that turns a position ends a trip and begins one."""
        self.cash -= units * price + fee
        self.paper -= units * quote
        self.sums["slippage"] += units * (price - quote)
        row = (self.time, symbol, units, price, quote, fee, units * (price - quote), reason)
        self.out.fills.append(row)
        side, size, trip = math.copysign(1.0, units), abs(units), self.held.get(symbol)
        if trip is not None and trip.side != side:
            closed = min(size, trip.units)
            self.add(trip, closed, price, quote, fee * closed / size, enters=False)
            size, fee = size - closed, fee * (size - closed) / size
            if trip.units == 0:
                turns = order is not None and size > 0
                self.end(symbol, price, "reversal" if turns else reason)
        if size:
            if symbol not in self.held:
                late = self.at != "open"
                self.held[symbol] = Trip(symbol, side, self.time, order.decided, price, late)
            self.add(self.held[symbol], size, price, quote, fee, enters=True)
        self.protect(symbol, order)

    def add(self, trip, size, price, quote, fee, *, enters):
        """Count a fill, or its part, in a trip."""
        if enters:
            trip.units += size
            trip.entered += size
            trip.paid += size * price
        else:
            trip.units -= size
            trip.received += size * price
        bought = trip.side if enters else -trip.side
        trip.fee, trip.last = trip.fee + fee, price
        trip.slippage += bought * size * (price - quote)

    def end(self, symbol, price, reason):
        """A trip is over; its stop ends with it."""
        self.out.trades.append(self.held.pop(symbol).row(price, self.time, reason))

    def protect(self, symbol, order):
        """Bring the stop of an order into force with the first fill on its side."""
        trip = self.held.get(symbol)
        if trip is not None and order is not None and order.weight * trip.side > 0:
            trip.stop = trip.stop if order.stop is None else order.stop
            order.stop = None
