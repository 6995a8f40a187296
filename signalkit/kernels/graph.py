"""Columns as graphs of kernels: what is computed from what, said once, for batch and stream.

A `Node` is one kernel with its inputs; `Program` lays the nodes of some columns out in the
order in which they can be computed, each shared part once. Warm-up and memory follow from the
graph: nobody states them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from signalkit.errors import ParamsError

# what a bar, and the news of it, bring
INPUTS = (
    "open", "high", "low", "close", "volume",
    "day", "second",
    "news_count", "news_mean", "news_squares",
)  # fmt: skip


@dataclass(frozen=True)
class Kernel:
    """What the graph must know of a kernel; windows are p and q of its node.

    `places` is how many places its first state may name, 0 where it names none.
    """

    code: int
    outputs: int = 1
    states: Callable[[int], int] = lambda p: 0
    places: Callable[[int], int] = lambda p: 0
    reach: Callable[[int], int] = lambda p: 0
    warmup: Callable[[int, int], int] = lambda p, q: 0
    cost: float = 1.0


def _blocks(fields: int, outputs: int = 1, cost: float = 1.0) -> Callable[[int], Kernel]:
    """A kernel of windows that keeps some fields for each place of a block."""
    return lambda code: Kernel(
        code,
        outputs,
        states=lambda p: 1 + fields * (p + 2),
        places=lambda p: p,
        reach=lambda p: p,
        warmup=lambda p, q: p - 1,
        cost=cost,
    )


def _plain(cost: float = 1.0) -> Callable[[int], Kernel]:
    """A kernel of single bars."""
    return lambda code: Kernel(code, cost=cost)


# the order is that of the operations in engine.py
_ORDER: dict[str, Callable[[int], Kernel]] = {
    "lag": lambda code: Kernel(code, reach=lambda p: p, warmup=lambda p, q: p),
    "add": _plain(),
    "subtract": _plain(),
    "multiply": _plain(),
    "divide": _plain(),
    "scale": _plain(),
    "part": _plain(),
    "shift": _plain(),
    "larger": _plain(),
    "smaller": _plain(),
    "size": _plain(),
    "above_zero": _plain(),
    "root": _plain(3),
    "log_ratio": _plain(6),
    "log_one_more": _plain(6),
    "place": _plain(2),
    "contrast": _plain(2),
    "instead": _plain(),
    "signed": _plain(3),
    "movement": _plain(3),
    "hour_angle": _plain(8),
    "date_angle": _plain(2),
    "window_sum": _blocks(1, cost=3),
    "window_top": _blocks(1, cost=3),
    "window_variance": _blocks(2, outputs=2, cost=10),
    "window_moments": _blocks(4, outputs=4, cost=16),
    "skewness": _plain(4),
    "kurtosis": _plain(3),
    "window_correlation": _blocks(5, cost=16),
    # a slope over p totals reads p - 1 changes
    "window_slope": lambda code: Kernel(
        code,
        states=lambda p: 4 + 3 * (p + 1),
        places=lambda p: p - 1,
        reach=lambda p: p,
        warmup=lambda p, q: p - 2,
        cost=4,
    ),
    # its second input, the mean of the window, has the warm-up of the window
    "mean_distance": lambda code: Kernel(code, reach=lambda p: p, cost=14),
    "window_rank": lambda code: Kernel(
        code,
        states=lambda p: 1 + p,
        places=lambda p: p + 1,
        reach=lambda p: p,
        warmup=lambda p, q: p - 1,
        cost=20,
    ),
    "window_groups": _blocks(3, outputs=3, cost=15),
    "average": lambda code: Kernel(
        code, states=lambda p: 2, warmup=lambda p, q: p + q - 1, cost=5
    ),
    "wilder_sum": lambda code: Kernel(
        code, states=lambda p: 2, warmup=lambda p, q: p - 1, cost=7
    ),
    "trend_strength": lambda code: Kernel(
        code, states=lambda p: 2, warmup=lambda p, q: p - 1, cost=9
    ),
    "decayed_mean": lambda code: Kernel(code, states=lambda p: 2, cost=5),
}  # fmt: skip
KERNELS = {name: make(code) for code, (name, make) in enumerate(_ORDER.items())}
_FIELDS = 9


@dataclass(frozen=True, eq=False)
class Node:
    """A column to be: a kernel over other columns. Equal nodes are one object."""

    kernel: str
    inputs: tuple[Node, ...] = ()
    p: int = 0
    q: int = 0
    rate: float = 0.0

    @property
    def warmup(self) -> int:
        """Number of first bars without a value."""
        before = max((node.warmup for node in self.inputs), default=0)
        return before + (KERNELS[self.kernel].warmup(self.p, self.q) if self.computes else 0)

    @property
    def computes(self) -> bool:
        """Whether a kernel makes it: neither what a bar brings nor one output of several."""
        return self.kernel in KERNELS

    def __add__(self, other: Node | float) -> Node:
        return node("add", self, other) if isinstance(other, Node) else shifted(self, other)

    def __sub__(self, other: Node | float) -> Node:
        return node("subtract", self, other) if isinstance(other, Node) else shifted(self, -other)

    def __mul__(self, other: Node | float) -> Node:
        return node("multiply", self, other) if isinstance(other, Node) else scaled(self, other)

    def __rmul__(self, other: float) -> Node:
        return scaled(self, other)

    def __truediv__(self, other: Node | float) -> Node:
        return over(self, other) if isinstance(other, Node) else node("part", self, rate=other)


@cache
def node(kernel: str, *inputs: Node, p: int = 0, q: int = 0, rate: float = 0.0) -> Node:
    """The node of a kernel over some columns; the same object for the same question."""
    return Node(kernel, inputs, p, q, rate)


def scaled(column: Node, rate: float) -> Node:
    """A column times a number."""
    return node("scale", column, rate=float(rate))


def shifted(column: Node, by: float) -> Node:
    """A column plus a number."""
    return node("shift", column, rate=float(by))


def over(part: Node, whole: Node, *, empty: float = 0.0) -> Node:
    """Part / whole, `empty` where the whole is nothing."""
    return node("divide", part, whole, rate=float(empty))


def output(column: Node, place: int) -> Node:
    """One of several outputs of a kernel."""
    return node("output", column, p=place)


OPEN, HIGH, LOW, CLOSE, VOLUME = (node("input", p=i) for i in range(5))
DAY, SECOND = (node("input", p=i) for i in (5, 6))
NEWS_COUNT, NEWS_MEAN, NEWS_SQUARES = (node("input", p=i) for i in (7, 8, 9))


def lag(column: Node, bars: int) -> Node:
    """What a column was some bars ago."""
    return node("lag", column, p=bars) if bars else column


def window(kernel: str, *columns: Node, span: int, rate: float = 1.0) -> Node:
    """A kernel over the last `span` bars.

    Raises
    ------
    ParamsError
        If the window is under 1 bar.
    """
    if span < 1:
        raise ParamsError(f"a window must be at least 1 bar, was {span}")
    return node(kernel, *columns, p=span, rate=rate)


def total(column: Node, span: int) -> Node:
    """Sum of the last `span` values."""
    return window("window_sum", column, span=span)


def mean(column: Node, span: int) -> Node:
    """Mean of the last `span` values."""
    return window("window_sum", column, span=span, rate=float(span))


def highest(column: Node, span: int) -> Node:
    """Largest of the last `span` values."""
    return window("window_top", column, span=span)


def lowest(column: Node, span: int) -> Node:
    """Smallest of the last `span` values."""
    return window("window_top", column, span=span, rate=-1.0)


def log_ratio(one: Node, other: Node) -> Node:
    """Logarithm of one over the other."""
    return node("log_ratio", one, other)


def exponential(column: Node, span: int, *, skip: int = 0) -> Node:
    """Exponential average as TA-Lib's: the mean of `span` values first, after `skip` left out."""
    return node("average", column, p=span, q=skip, rate=2.0 / (span + 1))


def variance(column: Node, span: int, ddof: int) -> Node:
    """Variance of the last `span` values."""
    squares = output(window("window_variance", column, span=span), 1)
    return squares / float(span - ddof)


def root(column: Node) -> Node:
    """Square root of a column, 0 below 0."""
    return node("root", column)


class Program:
    """Columns laid out for the engine: a plan of kernels over the rows of one work table.

    Parameters
    ----------
    columns : sequence of Node
        What is wanted, in order.

    Attributes
    ----------
    plan : array of int, shape (n_kernels, 9)
        Kernel, output row, input rows, windows and place of the state.
    rates : array of float, shape (n_kernels,)
        One number a kernel.
    results : array of int, shape (n_columns,)
        Row of each column.
    places : dict of int to int
        States that name a place, and how many places there are.
    rows, states, reach : int
        Rows of the work table, numbers of state, and bars back that a kernel looks.
    """

    def __init__(self, columns: Sequence[Node]) -> None:
        self._place: dict[Node, int] = {}
        self.places: dict[int, int] = {}
        self.rows, self.states, self.reach = len(INPUTS), 0, 1
        lines: list[list[int]] = []
        rates: list[float] = []
        for column in columns:
            for each in _in_order(column, self._place):
                self._lay(each, lines, rates)
        self.plan = np.array(lines, dtype=np.int64).reshape(-1, _FIELDS)
        self.rates = np.array(rates)
        self.results = np.array([self._place[c] for c in columns], dtype=np.int64)
        self.warmups = np.array([c.warmup for c in columns], dtype=np.int64)

    def _lay(self, column: Node, lines: list[list[int]], rates: list[float]) -> None:
        """Give a node its rows, and its line if a kernel makes it."""
        if column.kernel == "input":
            self._place[column] = column.p
        elif column.kernel == "output":
            self._place[column] = self._place[column.inputs[0]] + column.p
        else:
            kernel = KERNELS[column.kernel]
            read = [self._place[i] for i in column.inputs]
            read += [0] * (4 - len(read))
            lines.append([kernel.code, self.rows, *read, column.p, column.q, self.states])
            rates.append(column.rate)
            self._place[column] = self.rows
            if places := kernel.places(column.p):
                self.places[self.states] = places
            self.rows += kernel.outputs
            self.states += kernel.states(column.p)
            self.reach = max(self.reach, kernel.reach(column.p))


def _in_order(column: Node, done: dict[Node, int]) -> list[Node]:
    """A node and what it needs, needs first, without what is done."""
    order: dict[Node, None] = {}
    waiting = [(column, False)]
    while waiting:
        each, ready = waiting.pop()
        if each in done or each in order:
            continue
        if ready:
            order[each] = None
        else:
            waiting.append((each, True))
            waiting.extend((need, False) for need in reversed(each.inputs))
    return list(order)


def costs(columns: Sequence[Node]) -> np.ndarray:
    """Rough work of a bar for the first one, two, three, … columns, shared parts once."""
    seen: dict[Node, int] = {}
    work = []
    for column in columns:
        new = _in_order(column, seen)
        seen |= dict.fromkeys(new, 0)
        work.append(3 + sum(KERNELS[n.kernel].cost for n in new if n.computes))
    return np.cumsum(work)
