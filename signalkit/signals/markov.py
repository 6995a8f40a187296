"""Markov regimes: the odds that a bar belongs to a calm or a wild market, as known at that bar.

Returns are normal about one mean, with a variance that switches between hidden states. The
parameters come from a fold's training window alone and stay frozen until the next fold's; the
odds are filtered, from the window's first return up to the bar itself. Smoothed odds know the
bars to come, and no regime here is made of them.

A window whose parameters cannot be trusted has no regime: its bars are `unknown`, and `markov_fits`
says why.

Sources: Hamilton, A New Approach to the Economic Analysis of Nonstationary Time Series and the
Business Cycle (1989), the filter; Kim, Nelson and Startz, Testing for Mean Reversion in
Heteroskedastic Data Based on Gibbs-Sampling-Augmented Randomization (1998), switching variance
of returns less their mean; Kim, Dynamic Linear Models with Markov-Switching (1994), the smoother
inside the training window; statsmodels, MarkovRegression.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numba import njit

from signalkit.bars import by_symbol
from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.signals.regimes import UNKNOWN

NAMES = {2: ("calm", "wild"), 3: ("calm", "normal", "wild")}
FITTED = "fitted"
_SPANS = ("train_from", "train_to", "test_from")
# chance to stay, and how far the first guess of variances is spread around the window's
_STARTS = ((0.95, 3.0), (0.98, 8.0), (0.8, 5.0))
_TRIED, _CLIMBED, _STILL = 30, 5000, 1e-7
# a state with less of the window's variance holds prices that stand still
_LEAST_VARIANCE = 1e-4
# as statsmodels bounds what it takes logarithms of
_TINY = 1e-20


def markov_regime(
    bars: pd.DataFrame, windows: pd.DataFrame, *, states: int = 2, least: int = 250
) -> pd.DataFrame:
    """Calm or wild by a Markov-switching variance, refitted in each training window.

    Parameters
    ----------
    bars : DataFrame indexed by time, or by (symbol, time)
        Bars, of which `close` is read.
    windows : DataFrame indexed by fold
        Bar ends `train_from`, `train_to` and `test_from`, ordered by the last; as
        `validation.folds` gives them.
    states : int
        2, calm and wild, or 3, calm, normal and wild.
    least : int
        Log returns that a symbol must have in a training window, at least 50.

    Returns
    -------
    DataFrame indexed as the bars
        `regime`, the state with the highest odds (the calmer of two alike), and `p_calm`,
        `p_normal` (of three states) and `p_wild`, filtered odds that sum to 1. `unknown` and
        NaN before the first fold's `test_from`, and where a window has no parameters. Each
        fold's hold from its `test_from` up to that of the next.

    Raises
    ------
    ParamsError
        If there are neither 2 nor 3 states, or too few returns are asked for.
    DataError
        If the windows lack a column or a time, or are not in order.
    LeakError
        If a window trains on bars of its own test.

    Notes
    -----
    `filtered` of `markov_fits`; call these to see the parameters as well.
    """
    return filtered(bars, markov_fits(bars, windows, states=states, least=least))


def markov_fits(
    bars: pd.DataFrame, windows: pd.DataFrame, *, states: int = 2, least: int = 250
) -> pd.DataFrame:
    """Parameters of the switching variance in each training window of each symbol.

    Parameters
    ----------
    bars, windows, states, least
        As in `markov_regime`. Folds that test after a symbol's last bar have no row.

    Returns
    -------
    DataFrame indexed by (symbol, fold)
        `train_from train_to test_from`; `returns`, how many log returns; `outcome`, `fitted` or
        why not: `too few returns`, `no variance`, `collapsed` (a state keeps less than 0.0001
        of the variance: prices that stand still), `not converged`. Where fitted:
        `log_likelihood`; `bic_gain`, by how much the Bayesian information criterion is better
        than without switching (below 0, one state would do); `mean` and `volatility_calm` to
        `volatility_wild` of log returns per bar; and `calm_to_calm` to `wild_to_wild`, the
        chances of going from one state to another in a bar.

    Raises
    ------
    ParamsError, DataError, LeakError
        As `markov_regime`.

    Notes
    -----
    Returns less their mean, in units of their deviation, both of the window. Start values are
    the best of three stated ones after 30 steps of expectation and maximisation, which then go
    on until the mean log-likelihood gains under 1e-9 a step; statsmodels takes it from there by
    BFGS. Nothing is drawn at random.
    """
    _check(windows, states, least)
    rows: list[dict[str, Any]] = []
    for symbol, block in by_symbol(bars):
        returns, times = _log_returns(block), block.index
        for fold, span in windows.loc[windows["test_from"] <= times[-1]].iterrows():
            inside = (times >= span["train_from"]) & (times <= span["train_to"])
            inside[:1] = False
            place = {"symbol": symbol, "fold": fold} | {name: span[name] for name in _SPANS}
            rows.append(place | _fit(returns[inside], states, least))
    return _table(rows, states)


def filtered(bars: pd.DataFrame, fits: pd.DataFrame) -> pd.DataFrame:
    """Regimes by parameters that are there already.

    Parameters
    ----------
    bars : DataFrame indexed by time, or by (symbol, time)
        Bars, of which `close` is read.
    fits : DataFrame indexed by (symbol, fold)
        From `markov_fits`; without a symbol's level, the symbol is empty.

    Returns
    -------
    DataFrame indexed as the bars
        As `markov_regime`.
    """
    states = sum(str(name).startswith("volatility_") for name in fits.columns)
    odds = np.full((len(bars), states), np.nan)
    done = 0
    for symbol, block in by_symbol(bars):
        mine = fits.loc[fits.index.get_level_values("symbol") == symbol]
        odds[done : done + len(block)] = _odds(block, mine, states)
        done += len(block)
    names = np.array([*NAMES[states], UNKNOWN], dtype=object)
    likeliest = np.where(np.isnan(odds[:, 0]), states, np.argmax(odds, axis=1))
    table = pd.DataFrame(odds, bars.index, [f"p_{name}" for name in NAMES[states]])
    table.insert(0, "regime", pd.Series(names[likeliest], bars.index, dtype=str))
    return table


def _odds(block: pd.DataFrame, fits: pd.DataFrame, states: int) -> np.ndarray:
    """Filtered odds of one symbol's bars, fold after fold."""
    returns, times = _log_returns(block), block.index
    odds = np.full((len(block), states), np.nan)
    begins, firsts = (
        [int((times < when).sum()) for when in fits[name]] for name in ("train_from", "test_from")
    )
    stops = [*firsts[1:], len(times)]
    for (_, fit), begin, first, stop in zip(fits.iterrows(), begins, firsts, stops, strict=False):
        if fit["outcome"] != FITTED:
            continue
        mean, variances, transition = _parameters(fit, states)
        begin = max(begin, 1)
        run = _filter(returns[begin:stop] - mean, variances, transition)[0]
        odds[first:stop] = run[first - begin :]
    return odds


def _log_returns(block: pd.DataFrame) -> np.ndarray:
    """Log return of each bar, NaN for the first."""
    return np.diff(np.log(block["close"].to_numpy()), prepend=np.nan)


def _check(windows: pd.DataFrame, states: int, least: int) -> None:
    """Refuse windows that are none, or that train on what they test."""
    if states not in NAMES:
        raise ParamsError(f"a Markov regime has 2 or 3 states, was {states!r}")
    if isinstance(least, bool) or not isinstance(least, int) or least < 50:
        raise ParamsError(f"a Markov regime needs at least 50 returns a window, was {least!r}")
    missing = [name for name in _SPANS if name not in windows.columns]
    if missing:
        raise DataError(f"windows lack the columns {missing}; they need {', '.join(_SPANS)}")
    empty = windows[list(_SPANS)].isna().any(axis=1)
    if empty.any():
        raise DataError(f"the window of fold {empty.idxmax()} lacks a time")
    if not (windows["test_from"].is_monotonic_increasing and windows["test_from"].is_unique):
        raise DataError("windows must be in the order of their test_from, each of another time")
    late = windows["train_to"] >= windows["test_from"]
    if late.any():
        fold = late.idxmax()
        raise LeakError(
            f"fold {fold} trains up to {windows.loc[fold, 'train_to']:%Y-%m-%d %H:%M}Z and tests"
            f" from {windows.loc[fold, 'test_from']:%Y-%m-%d %H:%M}Z; training must end before"
        )


def _table(rows: list[dict[str, Any]], states: int) -> pd.DataFrame:
    """Fits by symbol and fold, every column there, whatever could be fitted."""
    names = NAMES[states]
    numbers = ["log_likelihood", "bic_gain", "mean", *(f"volatility_{name}" for name in names)]
    numbers += [f"{one}_to_{other}" for one in names for other in names]
    columns = ["symbol", "fold", *_SPANS, "returns", "outcome", *numbers]
    return pd.DataFrame(rows, columns=columns).set_index(["symbol", "fold"])


def _fit(returns: np.ndarray, states: int, least: int) -> dict[str, Any]:
    """One window's parameters, states ordered by variance, or why there are none."""
    row: dict[str, Any] = {"returns": len(returns)}
    if len(returns) < least:
        return row | {"outcome": "too few returns"}
    mean, scale = returns.mean(), returns.std()
    if not scale > 0:
        return row | {"outcome": "no variance"}
    start = _climbed((returns - mean) / scale, states)
    if start is None:
        return row | {"outcome": "collapsed"}
    found = _maximised((returns - mean) / scale, *start)
    if found is None:
        return row | {"outcome": "not converged"}
    variances, transition, likelihood = found
    if variances.min() < _LEAST_VARIANCE:
        return row | {"outcome": "collapsed"}
    order = np.argsort(variances)
    names, count = NAMES[states], len(returns)
    moved = transition[np.ix_(order, order)]
    alone = -0.5 * count * (np.log(2 * np.pi) + 1)
    cost = (states * states - 1) * np.log(count)
    row |= {"outcome": FITTED, "log_likelihood": likelihood - count * np.log(scale)}
    row |= {"bic_gain": 2 * (likelihood - alone) - cost, "mean": mean}
    row |= {
        f"volatility_{n}": scale * v for n, v in zip(names, np.sqrt(variances[order]), strict=True)
    }
    pairs = [f"{one}_to_{other}" for one in names for other in names]
    return row | dict(zip(pairs, moved.ravel(), strict=True))


def _parameters(fit: pd.Series, states: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean, variances and transitions of a row of fits."""
    names = NAMES[states]
    deviations = np.array([fit[f"volatility_{name}"] for name in names], dtype=float)
    moved = [[fit[f"{one}_to_{other}"] for other in names] for one in names]
    return float(fit["mean"]), deviations**2, np.array(moved, dtype=float)


def _climbed(values: np.ndarray, states: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Variances and transitions by expectation and maximisation, from the best of the starts."""
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for stay, spread in _STARTS:
        variances = spread ** np.linspace(-1, 1, states)
        transition = np.full((states, states), (1 - stay) / (states - 1))
        np.fill_diagonal(transition, stay)
        likelihood = _climb(values, variances, transition, _TRIED)
        sound = variances.min() >= _LEAST_VARIANCE
        if sound and (best is None or likelihood > best[0]):
            best = likelihood, variances, transition
    if best is None:
        return None
    _, variances, transition = best
    _climb(values, variances, transition, _CLIMBED)
    return (variances, transition) if variances.min() >= _LEAST_VARIANCE else None


def _maximised(
    values: np.ndarray, variances: np.ndarray, transition: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Variances, transitions and log-likelihood at statsmodels' maximum; None without one."""
    from statsmodels.tsa.regime_switching.markov_regression import (  # noqa: PLC0415 - takes over 0.3 s
        MarkovRegression,
    )

    states = len(variances)
    model = MarkovRegression(values, states, trend="n", switching_variance=True)
    inner = np.maximum(transition, 1e-6)
    start = np.log(inner[:, :-1] / inner[:, -1:]).T.ravel()
    # a step of the search may try odds that overflow; what it ends with is judged below
    with np.errstate(all="ignore"):
        found = model.fit(
            np.r_[start, np.sqrt(variances)],
            transformed=False,
            cov_type="none",
            method="bfgs",
            maxiter=200,
            em_iter=0,
            # told as an outcome, not as a warning
            warn_convergence=False,
        )
    if not (found.mle_retvals["converged"] and np.isfinite(found.params).all()):
        return None
    moved = model.regime_transition_matrix(found.params)[..., 0].T
    return found.params[-states:].copy(), moved.copy(), float(found.llf)


@njit(cache=True)
def _steady(transition: np.ndarray) -> np.ndarray:
    """Long-run odds of the states (Grassmann, Taksar and Heyman 1985: no difference is taken)."""
    states, left = len(transition), transition.copy()
    for k in range(states - 1, 0, -1):
        leaving = max(left[k, :k].sum(), _TINY)
        for i in range(k):
            left[i, k] /= leaving
            for j in range(k):
                left[i, j] += left[i, k] * left[k, j]
    odds = np.ones(states)
    for k in range(1, states):
        odds[k] = (odds[:k] * left[:k, k]).sum()
    return np.maximum(odds / odds.sum(), _TINY)


@njit(cache=True)
def _filter(
    values: np.ndarray, variances: np.ndarray, transition: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Odds of each state given the values so far, those before each value, log-likelihood."""
    n, states = len(values), len(variances)
    after, before = np.empty((n, states)), np.empty((n, states))
    likelihood, last, logs = 0.0, _steady(transition), np.empty(states)
    for t in range(n):
        top = -np.inf
        for i in range(states):
            moved = 0.0
            for j in range(states):
                moved += last[j] * max(transition[j, i], _TINY)
            before[t, i] = moved
            spread = np.log(2 * np.pi * variances[i]) + values[t] * values[t] / variances[i]
            logs[i] = np.log(moved) - 0.5 * spread
            top = max(top, logs[i])
        whole = 0.0
        for i in range(states):
            after[t, i] = np.exp(logs[i] - top)
            whole += after[t, i]
        for i in range(states):
            after[t, i] /= whole
            last[i] = max(after[t, i], 1e-300)
        likelihood += top + np.log(whole)
    return after, before, likelihood


@njit(cache=True)
def _climb(values: np.ndarray, variances: np.ndarray, transition: np.ndarray, steps: int) -> float:
    """Expectation and maximisation in place; the mean log-likelihood before the last step.

    Stops where a step gains little, or a state has hardly any variance left.
    """
    n, states = len(values), len(variances)
    likelihood, moved = -np.inf, np.inf
    joint, weight, power = np.empty((states, states)), np.empty(states), np.empty(states)
    later, mine = np.empty(states), np.empty(states)
    for _ in range(steps):
        after, before, likelihood = _filter(values, variances, transition)
        if moved < _STILL or variances.min() < _LEAST_VARIANCE:
            break
        moved = 0.0
        joint[:] = 0.0
        later[:] = after[n - 1]
        weight[:] = later
        power[:] = later * values[n - 1] * values[n - 1]
        first = _steady(transition)
        # the filter's long-run odds are those of the bar before the first
        for t in range(n - 2, -2, -1):
            for j in range(states):
                mine[j], here = 0.0, after[t, j] if t >= 0 else first[j]
                for i in range(states):
                    both = here * transition[j, i] * later[i] / before[t + 1, i]
                    joint[j, i] += both
                    mine[j] += both
            if t < 0:
                break
            for j in range(states):
                later[j] = mine[j]
                weight[j] += mine[j]
                power[j] += mine[j] * values[t] * values[t]
        for j in range(states):
            variance = power[j] / max(weight[j], _TINY)
            moved = max(moved, abs(variance - variances[j]))
            variances[j] = variance
            row = max(joint[j].sum(), _TINY)
            for i in range(states):
                moved = max(moved, abs(joint[j, i] / row - transition[j, i]))
                transition[j, i] = joint[j, i] / row
    return likelihood
