"""One time onward: the steps that an ensemble and its conformal state take at each time.

`combine`, `prediction_sets` and `prediction_intervals` take them over a whole table, `Stream`
one by one as bars come. Both call what is here, so the numbers are the same bits.

Rows that settle at one time are added in order of symbol and time; scores are ordered by value,
so the order in which they come makes no difference.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from signalkit.metrics import CLASSES

_CLIP = np.finfo(float).eps
_TINY = np.finfo(float).tiny
_FIRST = CLASSES[0]


@njit(cache=True)
def counted(times, time, known, together):  # noqa: ANN001, ANN201 - numba
    """How much a row counts: one over those of its symbol's `times` that its label spans.

    And one over the symbols `together` at its time.
    """
    spanned = np.searchsorted(times, known, side="right")
    spanned -= np.searchsorted(times, time, side="right")
    return 1.0 / (max(spanned, 1) * together)


@njit(cache=True)
def charge(lost, rows, values, actual, count, decay):  # noqa: ANN001, ANN201 - numba
    """What members lost up to a time, in place: `decay` of it is left, `rows` settle and add."""
    n_members, n_shares = values.shape[1:]
    added, loss = np.zeros(n_members), np.empty(n_members)
    for row in rows:
        total, present = 0.0, 0
        for m in range(n_members):
            said = values[row, m]
            if np.isnan(said[0]):
                continue
            if n_shares > 1:
                share = said[int(actual[row] - _FIRST)]
                loss[m] = -np.log(min(max(share, _CLIP), 1.0))
            else:
                loss[m] = (said[0] - actual[row]) ** 2
            total += loss[m]
            present += 1
        if present == 0:
            continue
        for m in range(n_members):
            # one that did not predict is charged the mean: absence neither earns nor costs
            charged = total / present if np.isnan(values[row, m, 0]) else loss[m]
            added[m] += charged * count[row]
    for m in range(n_members):
        lost[m] = added[m] + decay * lost[m]


@njit(cache=True)
def weighed(lost, classifies):  # noqa: ANN001, ANN201 - numba
    """Weights of members by what they lost, their sum 1."""
    best, total = lost.min(), 0.0
    share = np.ones(len(lost))
    for m in range(len(lost)):
        if classifies:
            share[m] = np.exp(best - lost[m])
        elif lost[m] > best:
            share[m] = best / lost[m]
        # so that a member is there to fall back upon where all better ones fail
        share[m] = max(share[m], _TINY)
        total += share[m]
    return share / total


@njit(cache=True)
def weights(lost, starts, rows, values, actual, count, decay):  # noqa: ANN001, ANN201 - numba
    """Weights at each time, shape (times, members); `lost` is left as after the last.

    `rows` are those that settle, in order of time, `starts` where those of each time begin.
    """
    out = np.empty((len(starts) - 1, len(lost)))
    for t in range(len(out)):
        charge(lost, rows[starts[t] : starts[t + 1]], values, actual, count, decay)
        out[t] = weighed(lost, values.shape[2] > 1)
    return out


@njit(cache=True)
def _spread(numbers, weight, mean):  # noqa: ANN001, ANN202 - numba
    """How far numbers are apart, from 0 to 1: s / (s + |mean|)."""
    variance = 0.0
    for m in range(len(numbers)):
        if not np.isnan(numbers[m]):
            variance += weight[m] * (numbers[m] - mean) ** 2
    spread = np.sqrt(variance)
    whole = spread + abs(mean)
    return spread / whole if whole != 0.0 else 0.0


@njit(cache=True)
def mixed(values, weights, at):  # noqa: ANN001, ANN201 - numba
    """Weighted mean of members at each row, and how far they disagree; NaN where none predicted.

    `values` has the shape (rows, members, shares), `at` says which of the `weights` are a row's.
    """
    n_rows, n_members, n_shares = values.shape
    out, apart = np.full((n_rows, n_shares), np.nan), np.full(n_rows, np.nan)
    for row in range(n_rows):
        weight, total = weights[at[row]], 0.0
        for m in range(n_members):
            total += 0.0 if np.isnan(values[row, m, 0]) else weight[m]
        if total == 0.0:
            continue
        out[row] = 0.0
        parts = 0.0
        for m in range(n_members):
            if np.isnan(values[row, m, 0]):
                continue
            part = weight[m] / total
            for k in range(n_shares):
                p = values[row, m, k]
                out[row, k] += part * p
                if n_shares > 1 and p > 0.0:
                    parts -= part * p * np.log(p)
        if n_shares > 1:
            whole = 0.0
            for p in out[row]:
                if p > 0.0:
                    whole -= p * np.log(p)
            apart[row] = min(max((whole - parts) / np.log(n_shares), 0.0), 1.0)
        else:
            apart[row] = _spread(values[row, :, 0], weight / total, out[row, 0])
    return out, apart


@njit(cache=True)
def _replaced(kept, gone, new):  # noqa: ANN001, ANN202 - numba
    """Sorted numbers without some of them and with others; all three are sorted."""
    out = np.empty(len(kept) - len(gone) + len(new))
    i, g, j = 0, 0, 0
    for place in range(len(out)):
        while g < len(gone) and i < len(kept) and kept[i] == gone[g]:
            i, g = i + 1, g + 1
        if j < len(new) and (i == len(kept) or new[j] < kept[i]):
            out[place] = new[j]
            j += 1
        else:
            out[place] = kept[i]
            i += 1
    return out


@njit(cache=True)
def follow(out, first, clock, issued, due, group, score, state, settings):  # noqa: ANN001, ANN201
    """Threshold, alpha and number of scores in force at each time from `first` on, into `out`.

    Settled rows come in order of `due`, their known_at: `issued` is where in the clock they
    were predicted, `group` counts the distinct times of settling. The state that is given and
    returned is (sorted scores in the window, alpha, rows done, oldest row, groups).
    """
    miss, window, least, rate = settings
    kept, alpha, done, oldest, groups = state
    for t in range(first, len(clock)):
        while done < len(due) and due[done] <= clock[t]:
            missed, told, now, begun, old = 0, 0, group[done], done, oldest
            while done < len(due) and group[done] == now:
                at = issued[done]
                if out[at, 2] >= 0:
                    told += 1
                    missed += score[done] > out[at, 0] or score[done] == np.inf
                done += 1
            while group[oldest] <= now - window:
                oldest += 1
            kept = _replaced(kept, np.sort(score[old:oldest]), np.sort(score[begun:done]))
            groups = now + 1
            if told > 0:
                alpha += rate * (miss - missed / told)
        n = len(kept)
        # the smallest whole number at or above, but for rounding
        k = int(np.ceil((n + 1) * (1 - alpha) - 1e-9))
        out[t, 0], out[t, 1], out[t, 2] = np.inf, alpha, n
        if groups < least:
            out[t, 2] = -1 - n
        elif k < 1:
            out[t, 0] = -np.inf
        elif k <= n:
            out[t, 0] = kept[k - 1]
    return kept, alpha, done, oldest, groups


def unfollowed(miss: float) -> tuple[np.ndarray, float, int, int, int]:
    """The state of `follow` before anything settled."""
    return np.empty(0), miss, 0, 0, 0
