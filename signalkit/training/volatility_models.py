"""Volatility baselines: HAR and GARCH, which a model of target_volatility must beat.

Both read the returns of every bar (one column, `return`: log return close to close) and answer
at each bar from the returns up to it, with parameters that the training rows alone have set.
What is learned is learned for each symbol that has enough rows; the others take what all the
symbols together, or on average, have taught.

Sources: Corsi, A Simple Approximate Long-Memory Model of Realized Volatility (2009), equation
8; Bollerslev, Generalized Autoregressive Conditional Heteroskedasticity (1986).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from signalkit.errors import DataError, ParamsError
from signalkit.training.contract import Model
from signalkit.training.ranks import blocks

TARGET = "target_volatility"
RETURN = "return"
# bars of the three volatilities that HAR reads: a day, a week and a month of daily bars
SPANS = (1, 5, 22)
# rows below which neither model is fitted to a symbol
LEAST = 100


class _Volatility(Model):
    """What both share: a table of returns, and parameters by symbol.

    Parameters
    ----------
    target : str
        target_volatility.
    **params
        `horizon`, the bars ahead that the label measures.

    Raises
    ------
    ParamsError
        If the target is another, the horizon no whole number above 0, or a setting unknown.
    """

    model_type = ""
    reads = "returns"
    baseline = True
    defaults: ClassVar[dict[str, Any]] = {"horizon": 5}  # bars
    parts_: dict[str, list[float]]
    # of a symbol that has too few training rows
    pooled_: list[float]

    def __init__(self, target: str, **params: Any) -> None:
        super().__init__(target, **params)
        horizon = self.params["horizon"]
        if target != TARGET:
            raise ParamsError(f"{self.model_type} predicts {TARGET}, not {target}")
        if type(horizon) is not int or horizon < 1:
            raise ParamsError(
                f"{self.model_type}: horizon must be a whole number of bars above 0, was"
                f" {horizon!r}"
            )

    def _too_few(self, found: int, what: str) -> DataError:
        """The error of a training window that is too short."""
        return DataError(
            f"{self.model_type} needs {LEAST} training rows with {what}, there are {found};"
            " lengthen validation.train"
        )

    def _returns(self, features: pd.DataFrame) -> np.ndarray:
        """The one column, NaN where a bar has no bar before it."""
        if list(features.columns) != [RETURN]:
            raise DataError(
                f"{self.model_type} reads one column, {RETURN!r}, was given"
                f" {list(features.columns)[:5]}"
            )
        return features[RETURN].to_numpy(dtype=float)

    def _parameters(self, symbol: str) -> list[float]:
        """A symbol's own, or those of all."""
        return self.parts_.get(symbol, self.pooled_)

    def _state(self, folder: Path) -> dict[str, Any]:
        return {"parts": self.parts_, "pooled": self.pooled_}

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        self.parts_, self.pooled_ = about["parts"], about["pooled"]


def _symbols(index: pd.Index) -> Iterator[tuple[str, np.ndarray]]:
    """Name and positions of each symbol; one without a name where the index has none."""
    named = "symbol" in index.names
    for mine in blocks(index):
        yield (str(index.get_level_values("symbol")[mine[0]]) if named else ""), mine


class HAR(_Volatility):
    """The label on realised volatility over 1, 5 and 22 bars, by least squares.

    Notes
    -----
    Realised volatility is the root of the mean squared return, as the label a fraction per
    bar. The regression is of the label itself, whatever its horizon and its estimator, so that
    `horizon` is not read. A prediction is not below 0. A bar with fewer than 22 returns before
    it is predicted from those that there are, and one without any as the mean training label.
    """

    model_type = "HAR"

    def _fit(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        watch: np.ndarray | None,
    ) -> None:
        returns, answers = self._returns(features), labels["label"].to_numpy()
        weight = np.zeros(len(features))
        weight[rows] = 1.0 if sample_weight is None else sample_weight
        terms = np.full((len(features), 1 + len(SPANS)), np.nan)
        for _, mine in _symbols(features.index):
            terms[mine] = _terms(returns[mine])
            young = np.isfinite(returns[mine]).cumsum() < SPANS[-1]
            weight[mine[young]] = 0.0
        used = weight > 0
        if used.sum() < LEAST:
            raise self._too_few(int(used.sum()), f"{SPANS[-1]} returns before them")
        self.pooled_ = _least_squares(terms[used], answers[used], weight[used])
        self.mean_ = float(np.average(answers[used], weights=weight[used]))
        self.parts_ = {
            symbol: _least_squares(terms[own], answers[own], weight[own])
            for symbol, mine in _symbols(features.index)
            if len(own := mine[used[mine]]) >= LEAST
        }

    def _scores(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        returns = self._returns(features)
        found = np.full(len(features), np.nan)
        for symbol, mine in _symbols(features.index):
            # no product of matrices: its bits depend on the number of threads
            found[mine] = (_terms(returns[mine]) * self._parameters(symbol)).sum(axis=1)
        return np.maximum(np.where(np.isnan(found), self.mean_, found)[rows], 0.0)

    def _state(self, folder: Path) -> dict[str, Any]:
        return super()._state(folder) | {"mean": self.mean_}

    def _restore(self, folder: Path, about: dict[str, Any]) -> None:
        super()._restore(folder, about)
        self.mean_ = about["mean"]


def _terms(returns: np.ndarray) -> np.ndarray:
    """1 and the realised volatilities of one symbol at each bar, NaN before its first return."""
    known = np.isfinite(returns)
    squares = np.r_[np.full(SPANS[-1] - 1, np.nan), returns[known] ** 2]
    out = np.full((len(returns), 1 + len(SPANS)), np.nan)
    newest = known.cumsum() - 1
    if newest[-1] < 0:
        return out
    windows = sliding_window_view(squares, SPANS[-1])
    measured = [np.sqrt(np.nanmean(windows[:, -span:], axis=1)) for span in SPANS]
    table = np.column_stack([np.ones(len(windows)), *measured])
    out[newest >= 0] = table[newest[newest >= 0]]
    return out


def _least_squares(terms: np.ndarray, answers: np.ndarray, weight: np.ndarray) -> list[float]:
    """Coefficients of weighted least squares, the smallest where several are the best."""
    scale = np.sqrt(np.mean(terms**2, axis=0))
    scale[scale == 0] = 1.0
    scaled = terms / scale
    # sums over rows one by one: a product of matrices depends on the number of threads
    square = [[np.sum(weight * one * other) for other in scaled.T] for one in scaled.T]
    right = [np.sum(weight * one * answers) for one in scaled.T]
    found = np.linalg.lstsq(np.array(square), np.array(right), rcond=None)[0]
    return (found / scale).tolist()


class GARCH(_Volatility):
    """GARCH(1, 1) of returns without a mean, normal errors: root of the mean coming variance.

    Parameters
    ----------
    target : str
        target_volatility.
    **params
        `horizon`, the bars ahead that the label measures; `levelled`, whether the forecast is
        brought to the level of the training labels.

    Raises
    ------
    DataError
        If no symbol has 100 training rows, or a symbol's returns do not move or its
        likelihood has no maximum that can be found.

    Notes
    -----
    Fitted by `arch` to the returns of the training rows, in units of their own root mean
    square. The forecast is sqrt(mean of E[r²]) over the next `horizon` bars, a fraction per
    bar. A label lies at another level: a standard deviation of few returns below that root,
    an estimator inside the bars below the one that sees the jumps between them. One factor,
    the least squares of the training labels on their forecasts, brings it there; without it
    the baseline is easier to beat. Weights of rows count in that factor alone: a likelihood of
    a path has none. Symbols that have fewer than 100 training rows take the mean parameters of
    the others.
    """

    model_type = "GARCH"
    defaults: ClassVar[dict[str, Any]] = _Volatility.defaults | {"levelled": True}

    def _fit(
        self,
        features: pd.DataFrame,
        labels: pd.DataFrame,
        rows: np.ndarray,
        *,
        sample_weight: np.ndarray | None,
        watch: np.ndarray | None,
    ) -> None:
        returns, answers = self._returns(features), labels["label"].to_numpy()
        weight = np.zeros(len(features))
        weight[rows] = 1.0 if sample_weight is None else sample_weight
        learned = np.isin(np.arange(len(features)), rows) & np.isfinite(returns)
        self.parts_, most = {}, 0
        for symbol, mine in _symbols(features.index):
            own = learned[mine]
            most = max(most, int(own.sum()))
            if own.sum() < LEAST:
                continue
            found = _likeliest(returns[mine][own], symbol)
            if self.params["levelled"]:
                told = self._forecast(returns[mine], found)[own]
                found[-1] = _level(told, answers[mine][own], weight[mine][own])
            self.parts_[symbol] = found
        if not self.parts_:
            raise self._too_few(most, "a return in one symbol")
        self.pooled_ = np.mean(list(self.parts_.values()), axis=0).tolist()

    def _scores(self, features: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
        returns = self._returns(features)
        found = np.full(len(features), np.nan)
        for symbol, mine in _symbols(features.index):
            found[mine] = self._forecast(returns[mine], self._parameters(symbol))
        return found[rows]

    def _forecast(self, returns: np.ndarray, parameters: list[float]) -> np.ndarray:
        """Root of the mean variance expected over the horizon, levelled, at a symbol's bars."""
        omega, alpha, beta, _, level = parameters
        step = _next_variance(returns, parameters)
        total = np.zeros(len(returns))
        for _ in range(self.params["horizon"]):
            total += step
            step = omega + (alpha + beta) * step
        return level * np.sqrt(total / self.params["horizon"])


def _likeliest(returns: np.ndarray, symbol: str) -> list[float]:
    """Omega, alpha, beta, the variance before the first return (squared fractions), and 1."""
    from arch import arch_model  # noqa: PLC0415 - takes over 0.3 s

    scale = float(np.sqrt(np.mean(returns**2)))
    if scale == 0:
        raise DataError(f"GARCH: no training return of {symbol} moves; leave the symbol out")
    model = arch_model(returns / scale, mean="Zero", vol="GARCH", p=1, q=1, rescale=False)
    # arch adds a filter of its own for its ConvergenceWarning; it must not outlive the fit
    with warnings.catch_warnings():
        fitted = model.fit(disp="off", show_warning=False)
    if fitted.convergence_flag:
        raise DataError(
            f"GARCH: the likelihood of {symbol}'s {len(returns)} training returns has no maximum"
            f" that was found ({fitted.optimization_result.message}); lengthen validation.train"
        )
    omega, alpha, beta = fitted.params.tolist()
    start = model.volatility.backcast(returns / scale)
    return [omega * scale**2, alpha, beta, start * scale**2, 1.0]


def _level(told: np.ndarray, answers: np.ndarray, weight: np.ndarray) -> float:
    """What forecasts are multiplied by to come nearest to the answers."""
    return float(np.sum(weight * told * answers) / np.sum(weight * told**2))


def _next_variance(returns: np.ndarray, parameters: list[float]) -> np.ndarray:
    """Variance of the bar after each bar; a bar without a return leaves it as it was."""
    omega, alpha, beta, start, _ = parameters
    ahead, out = omega + (alpha + beta) * start, []
    for square in (returns**2).tolist():
        if square == square:
            ahead = omega + alpha * square + beta * ahead
        out.append(ahead)
    return np.array(out)
