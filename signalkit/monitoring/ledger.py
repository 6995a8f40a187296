"""Betting against a claim: a bettor whose money is evidence, at whatever moment one looks.

The claim: given all that is known when prediction i is made, the mean of its outcome, a number
from 0 to 1, is at most `price`. A ticket that pays the outcome costs the price, so that nobody
who buys tickets expects to gain while the claim holds. The money starts at 1; that it is ever
c or more has a chance of 1 / c at most (Ville's inequality), however long one looks on.

Outcomes may overlap: the next tickets are bought before earlier ones are settled. A ticket is
paid when its prediction is made and worth nothing until it is settled. Money counted so is never
more than money with open tickets at what they are worth, which falls on average whatever becomes
known meanwhile; so the bound holds at any moment of the whole stream, and every outcome counts.
(One bettor to each of several interleaved streams, and the mean of their money, lacks that.)

Sources: Ville, Étude critique de la notion de collectif (1939); Waudby-Smith and Ramdas,
Estimating means of bounded random variables by betting (2024); Shin, Ramdas and Rinaldo,
E-detectors (2024), on starts; Arnold, Henzi and Ziegel, Sequentially valid tests for forecast
calibration (2023), on overlap. Tickets that count nothing while open are ours: docs/monitoring.md
has the proof.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from signalkit.errors import ParamsError

# shares of the money that are at risk at a time, the same part of the bettors each
SHARES = (0.05, 0.1, 0.2)
# outcomes, as many as overlap counted as one, between the starts of bettors
EVERY = 100


class Ledger:
    """Money of bettors against one claim, or against one for each entry of `price`.

    Parameters
    ----------
    price : float or array
        What the mean of an outcome is claimed to be at most, above 0 and at most 1.
    overlap : int
        Predictions that may be open at a time, the newest counted: horizon times symbols.
    shares : sequence of float
        Share of its money that a bettor has at risk at a time, each above 0 and below 1; the
        larger the change, the more a large share earns.

    Attributes
    ----------
    n : int
        Outcomes settled.
    money : float or array
        Evidence against the claim, from 1 at the start.

    Notes
    -----
    Bettor j starts after j times 100 x overlap outcomes with 1 / ((j + 1)(j + 2)) of the money,
    which sums to 1 over all j: one who starts after a change has not lost by what was before.
    Bettors of one share are kept as one, for what they do is in proportion to what they have.

    Outcome i must be known when prediction i + overlap is made; which predictions are settled
    here must not depend on how they came out. Money against a claim long refuted grows beyond
    what a float holds: who has seen enough settles no more, or settles at the price.
    """

    def __init__(
        self, price: float | np.ndarray, *, overlap: int = 1, shares: Sequence[float] = SHARES
    ) -> None:
        self.price = np.asarray(price, dtype=float)
        if overlap < 1:
            raise ParamsError(f"overlap must be at least 1 prediction, was {overlap}")
        if not ((self.price > 0) & (self.price <= 1)).all():
            raise ParamsError(f"a claim must be above 0 and at most 1, was {price}")
        if not shares or not all(0 < share < 1 for share in shares):
            raise ParamsError(f"shares at risk must be above 0 and below 1, were {tuple(shares)}")
        self.n = 0
        self.overlap = overlap
        self._stake = (np.array(shares) / overlap).reshape(-1, *[1] * self.price.ndim)
        self._cash = np.zeros((len(shares), *self.price.shape))
        self._open = np.zeros((overlap, *self._cash.shape))
        self._start(0)
        for place in range(overlap):
            self._buy(place)

    @property
    def money(self) -> np.ndarray:
        """Cash of all bettors, those yet to start included."""
        return self._cash.sum(axis=0) + self._idle

    def settle(self, outcome: float | np.ndarray) -> np.ndarray:
        """The money once the oldest open prediction came out; then the next ticket is bought.

        Parameters
        ----------
        outcome : float or array
            From 0 to 1; of the shape of `price`.

        Returns
        -------
        array
            As `money` was before the next ticket was paid.
        """
        place = self.n % self.overlap
        self._cash += self._open[place] * (outcome / self.price)
        money = self.money
        self.n += 1
        batch, rest = divmod(self.n, EVERY * self.overlap)
        if not rest:
            self._start(batch)
        self._buy(place)
        return money

    def _start(self, bettor: int) -> None:
        """Give bettor j its money; what is left is for those after it."""
        self._cash += 1 / ((bettor + 1) * (bettor + 2)) / len(self._cash)
        self._idle = 1 / (bettor + 2)

    def _buy(self, place: int) -> None:
        """Pay the tickets of one prediction."""
        self._open[place] = self._cash * self._stake
        self._cash -= self._open[place]

    def state(self) -> dict:
        """What `resume` needs, as JSON has it: no digit of a number is lost."""
        return {"n": self.n, "cash": self._cash.tolist(), "open": self._open.tolist()}

    def resume(self, state: dict) -> None:
        """Go on from a `state` of a ledger that was made alike."""
        self.n = int(state["n"])
        self._cash = np.array(state["cash"], dtype=float).reshape(self._cash.shape)
        self._open = np.array(state["open"], dtype=float).reshape(self._open.shape)
        self._idle = 1 / (self.n // (EVERY * self.overlap) + 2)
