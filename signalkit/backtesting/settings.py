"""The rules an account is simulated by: each with its unit, its default and its check.

docs/backtesting.md says what every one of them does. A value that makes no sense is refused
here, before a bar is looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

from signalkit.errors import ParamsError

FILLS = ("next_open", "next_close", "close")
PATHS = ("pessimistic", "optimistic")
PRICES = ("stated", "worse", "better")

_NOT_NEGATIVE = (
    *("fee_bps", "maker_bps", "slippage_bps", "slippage_vol", "impact", "borrow_bps"),
    *("lot", "min_notional", "drift"),
)
_ABOVE_ZERO = (
    *("capital", "max_leverage", "max_weight", "volume_cap", "max_turnover"),
    *("stop_loss", "take_profit", "trailing_stop", "brake"),
)
_BELOW_ONE = ("stop_loss", "trailing_stop", "brake", "maintenance")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Rules of a simulation.

    Parameters
    ----------
    fill : str
        Where market orders fill: `next_open`, `next_close`, or `close` of the deciding bar.
    fee_bps, maker_bps : float
        Fee of a market order and of a resting one, basis points of what is traded;
        `maker_bps` is `fee_bps` where it is None.
    slippage_bps, slippage_vol, impact : float
        Slippage of a market order: basis points, plus a multiple of the bar's trailing
        volatility, plus `impact` x volatility x sqrt(units / trailing mean volume).
    volume_cap : float, optional
        Largest share of a bar's volume that is traded.
    lot, min_notional : float
        Smallest step in base units and smallest order in quote currency.
    capital : float
        What the account starts with in quote currency; scales volume, lot and min_notional.
    borrow_bps : float
        Cost of a short's value and of borrowed cash, basis points a year of 365 days.
    stop_loss, take_profit, trailing_stop : float, optional
        Distances from the mean entry price, or from the best price since, as fractions.
    max_leverage : float
        Largest sum of absolute weights.
    max_weight : float, optional
        Largest absolute weight of one symbol; `max_leverage` where it is None.
    drift : float
        How far a position may grow over its cap before it is trimmed, as a fraction.
    max_positions : int, optional
        How many symbols may be held at a time.
    max_turnover : float, optional
        Largest sum traded in a bar, in equities.
    maintenance : float
        Equity under this share of the absolute positions is liquidated.
    brake : float, optional
        Fall of equity from its highest, as a fraction, at which everything is sold.
    brake_bars : int
        Closes after that one at which nothing is decided.
    path : str
        What came first in a bar: `pessimistic` (stop before profit, a limit must be passed,
        margin at the worst price) or `optimistic`.
    prices : str
        Market orders fill at the `stated` price, at the `worse` or the `better` of the
        bar's open and close.

    Raises
    ------
    ParamsError
        If a value is out of its range.
    """

    fill: str = "next_open"
    fee_bps: float = 0.0
    maker_bps: float | None = None
    slippage_bps: float = 0.0
    slippage_vol: float = 0.0
    impact: float = 0.0
    volume_cap: float | None = None
    lot: float = 0.0
    min_notional: float = 0.0
    capital: float = 1.0
    borrow_bps: float = 0.0
    stop_loss: float | None = None
    take_profit: float | None = None
    trailing_stop: float | None = None
    max_leverage: float = 1.0
    max_weight: float | None = None
    drift: float = 0.01
    max_positions: int | None = None
    max_turnover: float | None = None
    maintenance: float = 0.0
    brake: float | None = None
    brake_bars: int = 0
    path: str = "pessimistic"
    prices: str = "stated"

    def __post_init__(self) -> None:
        for name, choices in (("fill", FILLS), ("path", PATHS), ("prices", PRICES)):
            if getattr(self, name) not in choices:
                found = f"{', '.join(choices)}, was {getattr(self, name)!r}"
                raise ParamsError(f"backtesting.{name} is one of {found}")
        self._check_numbers()
        self._check_counts()

    def _check_numbers(self) -> None:
        """Rates, fractions and sizes are finite and in their range."""
        for name in (*_NOT_NEGATIVE, *_ABOVE_ZERO, "maintenance"):
            value = getattr(self, name)
            if value is None and type(self).__dataclass_fields__[name].default is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Real) or not _finite(value):
                raise ParamsError(f"backtesting.{name} must be a finite number, was {value!r}")
            if value < 0:
                raise ParamsError(f"backtesting.{name} must not be negative, was {value}")
            if value == 0 and name in _ABOVE_ZERO:
                instead = "; leave it out to go without" if name not in _ALWAYS else ""
                raise ParamsError(f"backtesting.{name} must be above 0, was {value}{instead}")
            if value >= 1 and name in _BELOW_ONE:
                raise ParamsError(f"backtesting.{name} is a fraction below 1, was {value}")
        if self.volume_cap is not None and self.volume_cap > 1:
            raise ParamsError(
                f"backtesting.volume_cap is a share of the bar's volume, was {self.volume_cap};"
                " give at most 1"
            )

    def _check_counts(self) -> None:
        """Counts are whole."""
        for name, least in (("max_positions", 1), ("brake_bars", 0)):
            value = getattr(self, name)
            if value is None and name == "max_positions":
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise ParamsError(
                    f"backtesting.{name} is a whole number of at least {least}, was {value!r}"
                )

    @property
    def needs_volatility(self) -> bool:
        """Whether a market order's price depends on trailing volatility."""
        return self.slippage_vol > 0 or self.impact > 0

    @property
    def optimistic(self) -> tuple[str, ...]:
        """What is better than an account can count on; a report says so beside the result."""
        notes = {
            "fill close: orders fill at the very price they were decided on": self.fill == "close",
            "path optimistic: profits come before stops in a bar": self.path == "optimistic",
            "prices better: orders fill at the better of open and close": self.prices == "better",
        }
        return tuple(note for note, holds in notes.items() if holds)


_ALWAYS = ("capital", "max_leverage")


def _finite(value: Real) -> bool:
    """Whether a number fits a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
