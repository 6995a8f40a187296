"""The engine: advances every column of a program by some bars, keeping its state.

The work table has a row a column and holds the newest bars of each, those before as far back
as a kernel looks. Batch advances by as many bars as fit, a stream by one: the same compiled
code, so the same bits. Rows are never shared between threads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numba import njit

from signalkit.errors import ParamsError
from signalkit.kernels import elementwise as one
from signalkit.kernels import moments as joined
from signalkit.kernels import recursions as carried
from signalkit.kernels import windows as over
from signalkit.kernels.graph import INPUTS, Node, Program

# bars at once: the work table of a whole catalogue stays in a core's own cache
_CHUNK = 512
# more bars than any engine will see
_FOREVER = 2**62


@njit(nogil=True)
def _advance(plan, rates, work, state, cur, n):
    """Compute every row of the work table at n places from cur on."""
    for k in range(len(plan)):
        row, rate = plan[k], rates[k]
        op = row[0]
        if op == 0:
            one.lag(work, state, row, rate, cur, n)
        elif op == 1:
            one.add(work, state, row, rate, cur, n)
        elif op == 2:
            one.subtract(work, state, row, rate, cur, n)
        elif op == 3:
            one.multiply(work, state, row, rate, cur, n)
        elif op == 4:
            one.divide(work, state, row, rate, cur, n)
        elif op == 5:
            one.scale(work, state, row, rate, cur, n)
        elif op == 6:
            one.part(work, state, row, rate, cur, n)
        elif op == 7:
            one.shift(work, state, row, rate, cur, n)
        elif op == 8:
            one.larger(work, state, row, rate, cur, n)
        elif op == 9:
            one.smaller(work, state, row, rate, cur, n)
        elif op == 10:
            one.size(work, state, row, rate, cur, n)
        elif op == 11:
            one.above_zero(work, state, row, rate, cur, n)
        elif op == 12:
            one.root(work, state, row, rate, cur, n)
        elif op == 13:
            one.log_ratio(work, state, row, rate, cur, n)
        elif op == 14:
            one.log_one_more(work, state, row, rate, cur, n)
        elif op == 15:
            one.place(work, state, row, rate, cur, n)
        elif op == 16:
            one.contrast(work, state, row, rate, cur, n)
        elif op == 17:
            one.instead(work, state, row, rate, cur, n)
        elif op == 18:
            one.signed(work, state, row, rate, cur, n)
        elif op == 19:
            one.movement(work, state, row, rate, cur, n)
        elif op == 20:
            one.hour_angle(work, state, row, rate, cur, n)
        elif op == 21:
            one.date_angle(work, state, row, rate, cur, n)
        elif op == 22:
            over.window_sum(work, state, row, rate, cur, n)
        elif op == 23:
            over.window_top(work, state, row, rate, cur, n)
        elif op == 24:
            joined.window_variance(work, state, row, rate, cur, n)
        elif op == 25:
            joined.window_moments(work, state, row, rate, cur, n)
        elif op == 26:
            joined.skewness(work, state, row, rate, cur, n)
        elif op == 27:
            joined.kurtosis(work, state, row, rate, cur, n)
        elif op == 28:
            joined.window_correlation(work, state, row, rate, cur, n)
        elif op == 29:
            over.window_slope(work, state, row, rate, cur, n)
        elif op == 30:
            over.mean_distance(work, state, row, rate, cur, n)
        elif op == 31:
            over.window_rank(work, state, row, rate, cur, n)
        elif op == 32:
            joined.window_groups(work, state, row, rate, cur, n)
        elif op == 33:
            carried.average(work, state, row, rate, cur, n)
        elif op == 34:
            carried.wilder_sum(work, state, row, rate, cur, n)
        elif op == 35:
            carried.trend_strength(work, state, row, rate, cur, n)
        elif op == 36:
            carried.decayed_mean(work, state, row, rate, cur, n)


@njit(nogil=True)
def _make_room(work, reach, cur):
    """Move the newest `reach` places of every row to its beginning."""
    for r in range(work.shape[0]):
        for k in range(reach):
            work[r, k] = work[r, cur - reach + k]


@njit(cache=True, nogil=True)
def _feed(layout, rates, memory, bars, span, out, holes):
    """Feed the bars of a span to the kernels; where to go on.

    `layout` is plan, results, warm-ups and rows of `out`; `memory` is work table and state;
    `span` is first bar, end, place of bar 0 in `out`, place in the work table, bars seen
    before and reach.
    """
    plan, results, warmups, targets = layout
    work, state = memory
    begin, end, offset, cur, seen, reach = span
    while begin < end:
        if cur == work.shape[1]:
            _make_room(work, reach, cur)
            cur = reach
        n = min(work.shape[1] - cur, end - begin)
        for r in range(bars.shape[0]):
            for k in range(n):
                work[r, cur + k] = bars[r, begin + k]
        _advance(plan, rates, work, state, cur, n)
        for c in range(len(results)):
            column, row = work[results[c]], targets[c]
            wrong = 0
            for k in range(n):
                value = column[cur + k]
                out[row, offset + begin + k] = value
                wrong += (value - value) != 0.0
            if wrong and holes[row] < 0:
                for k in range(min(n, max(0, warmups[c] - seen)), n):
                    if column[cur + k] - column[cur + k] != 0.0:
                        holes[row] = begin + k
                        break
        begin, cur, seen = begin + n, cur + n, seen + n
    return cur


def threads() -> int:
    """Threads this process may use: SIGNALKIT_THREADS, else its processors."""
    named = os.environ.get("SIGNALKIT_THREADS") or str(len(os.sched_getaffinity(0)))
    if not named.isdigit() or int(named) < 1:
        raise ParamsError(f"SIGNALKIT_THREADS must be a whole number above 0, was {named!r}")
    return int(named)


class Engine:
    """A program and its memory: feed it bars, in any portions, and read its columns.

    Parameters
    ----------
    program : Program
        What is computed.
    targets : array of int, optional
        Row of the output for each column; in their own order if omitted.
    """

    def __init__(self, program: Program, targets: np.ndarray | None = None) -> None:
        self._program = program
        rows = np.arange(len(program.results)) if targets is None else targets
        self._layout = (program.plan, program.results, program.warmups, rows)
        self.restart()

    def restart(self) -> None:
        """Forget every bar."""
        length = self._program.reach + max(_CHUNK, self._program.reach)
        self.work = np.full((self._program.rows, length), np.nan)
        self.state = np.zeros(self._program.states)
        self.cur, self.seen = self._program.reach, 0

    def take(self, work: np.ndarray, state: np.ndarray, cur: int, seen: int) -> bool:
        """Go on from the memory of an engine of this program; whether it can be one.

        Kernels trust the places that they find in their memory, so each is looked at.
        """
        like = [(work, self.work), (state, self.state)]
        fits = all(one.shape == own.shape and one.dtype == own.dtype for one, own in like)
        inside = self._program.reach <= cur <= self.work.shape[1] and 0 <= seen < _FOREVER
        if not (fits and inside):
            return False
        if not all(state[at] in range(n) for at, n in self._program.places.items()):
            return False
        self.work, self.state = np.ascontiguousarray(work), np.ascontiguousarray(state)
        self.cur, self.seen = cur, seen
        return True

    def feed(
        self,
        bars: np.ndarray,
        out: np.ndarray,
        holes: np.ndarray,
        *,
        span: tuple[int, int, int],
    ) -> None:
        """Advance by some bars and write every column's values.

        Parameters
        ----------
        bars : array of shape (n_inputs, n_bars)
            The inputs, in the order of `INPUTS`; those after the last are not read.
        out : array of shape (n_rows, n_places)
            Receives the columns.
        holes : array of int, shape (n_rows,)
            Where it holds -1, receives the first bar past a column's warm-up without a value.
        span : tuple of int
            First bar to take, first bar not to take, and the place of bar 0 in `out`.
        """
        begin, end, offset = (int(number) for number in span)
        places = (begin, end, offset, self.cur, self.seen, self._program.reach)
        memory = (self.work, self.state)
        self.cur = _feed(self._layout, self._program.rates, memory, bars, places, out, holes)
        self.seen += end - begin


def evaluate(columns: Sequence[Node], **inputs: np.ndarray) -> np.ndarray:
    """Columns of some bars, a row a column.

    Parameters
    ----------
    columns : sequence of Node
        What is wanted.
    **inputs : arrays of shape (n_bars,)
        Those of `INPUTS` that the columns read.

    Returns
    -------
    array of shape (n_columns, n_bars)
        NaN in warm-up. A column whose warm-up is all of the bars takes no memory of its window.
    """
    length = max(len(values) for values in inputs.values())
    # rows that no column reads stay as they are
    bars = np.empty((max(INPUTS.index(name) for name in inputs) + 1, length))
    for name, values in inputs.items():
        bars[INPUTS.index(name)] = values
    out = np.full((len(columns), length), np.nan)
    rows = np.array([row for row, column in enumerate(columns) if column.warmup < length], int)
    engine = Engine(Program([columns[row] for row in rows]), rows)
    engine.feed(bars, out, np.full(len(columns), -1), span=(0, length, 0))
    return out
