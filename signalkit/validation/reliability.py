"""Whether confidence keeps its word: reliability, calibrated against raw, coverage of sets.

All intervals draw blocks of times, all symbols of a time together, because labels that
overlap and markets that move together are no independent rows. What is compared is compared
on the same draws.

Source of the calibration error: Guo et al., On Calibration of Modern Neural Networks (2017),
section 2; of the draws: signalkit.significance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from signalkit.errors import DataError, ParamsError
from signalkit.metrics.classes import CLASSES, ECE_BINS, bin_of, checked_classes, squared_miss
from signalkit.significance import draw_counts
from signalkit.training.ensemble import PROBABILITIES

SCORES = ("ece", "brier")
_COMPARED = [
    *("value", "low", "high", "raw", "raw_low", "raw_high"),
    *("difference", "difference_low", "difference_high"),
]
# a part needs so many blocks of times for an interval
_LEAST_BLOCKS = 4


def reliability_table(
    predictions: pd.DataFrame,
    *,
    block: int,
    bins: int = ECE_BINS,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """How often each model's likeliest class was right, by how likely it was said to be.

    Parameters
    ----------
    predictions : DataFrame indexed by (symbol, time, model_id)
        Predictions of a class, settled or not.
    block : int
        Bars in a bootstrap block, at least the label's horizon.
    bins : int
        Equal bins (low, high] of the largest probability, at least 1.
    draws, level, seed
        As in `significance.bootstrap_ci`.

    Returns
    -------
    DataFrame indexed by (model_id, bin)
        `low high` edges of the bin, `n` rows in it, `confidence` the mean of their largest
        probability, `accuracy` the share that was right, `accuracy_low accuracy_high` its
        interval over the draws in which the bin has a row. NaN where a bin is empty.

    Raises
    ------
    ParamsError
        If there is no bin, or the block does not fit.
    DataError
        If nothing has settled, or the target is a number.

    Notes
    -----
    A row without probabilities, of a model that failed there, is left out of its model.
    """
    if bins < 1:
        raise ParamsError(f"bins must be at least 1, was {bins}")
    found = {}
    for model, rows in _answered(predictions).groupby(level="model_id", sort=True):
        top, right = _top(rows)
        held = np.eye(bins)[bin_of(top, bins)]
        sums = np.column_stack([held, held * right[:, None]])
        summed, drawn = _drawn(rows, sums, block=block, draws=draws, seed=seed)
        n = summed[:bins].astype(int)
        said = np.bincount(held.argmax(axis=1), top, minlength=bins)
        edges = {"low": np.arange(bins) / bins, "high": np.arange(1, bins + 1) / bins, "n": n}
        low, high = _edges(_share(drawn[:, bins:], drawn[:, :bins]), level)
        shares = {"confidence": _share(said, n), "accuracy": _share(summed[bins:], n)}
        found[model] = pd.DataFrame(edges | shares | {"accuracy_low": low, "accuracy_high": high})
    return pd.concat(found, names=["model_id", "bin"])


def calibration_scores(
    predictions: pd.DataFrame,
    raw: pd.DataFrame,
    *,
    block: int,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Calibration error and Brier score of calibrated predictions, beside those of the raw.

    Parameters
    ----------
    predictions, raw : DataFrames indexed by (symbol, time, model_id)
        The same predictions with and without calibration, settled or not.
    block : int
        Bars in a bootstrap block, at least the label's horizon.
    draws, level, seed
        As in `significance.bootstrap_ci`.

    Returns
    -------
    DataFrame indexed by (model_id, metric)
        Of `ece` (10 bins of the largest probability) and `brier`, as `metrics.classification`
        defines them: `value low high` calibrated, `raw raw_low raw_high`, `difference
        difference_low difference_high` calibrated less raw on the same draws, `n` rows. An
        interval of the difference below 0 says that calibration helped.

    Raises
    ------
    ParamsError
        If the block does not fit.
    DataError
        If nothing has settled, the target is a number, or the two are not of the same rows
        and outcomes.

    Notes
    -----
    A calibration error is above 0 by chance alone, the more so the fewer the rows, and in
    each draw once more. The better calibrated of the two suffers more of it, so the
    difference errs towards no gain.
    """
    calibrated, before = _answered(predictions), _answered(raw)
    same = calibrated.index.equals(before.index)
    if not same or not np.array_equal(calibrated["actual"], before["actual"]):
        raise DataError(
            "calibrated and raw predictions must be of the same rows and outcomes:"
            f" {len(calibrated)} and {len(before)} have settled with probabilities; take both from"
            " one walk-forward"
        )
    found = {}
    for model, rows in calibrated.groupby(level="model_id", sort=True):
        pair = np.hstack([_score_sums(rows), _score_sums(before.loc[rows.index])])
        sums = np.column_stack([np.ones(len(rows)), pair])
        summed, drawn = _drawn(rows, sums, block=block, draws=draws, seed=seed)
        edges = _edges(_compared(drawn).reshape(draws, -1), level).reshape(2, 3, 2)
        told = np.stack([_compared(summed[None])[0], *edges], axis=1).reshape(-1, len(SCORES))
        found[model] = pd.DataFrame(told.T, SCORES, _COMPARED).assign(n=len(rows))
    return pd.concat(found, names=["model_id", "metric"])


def coverage_table(
    sets: pd.DataFrame,
    *,
    block: int,
    by: Mapping[str, pd.Series] | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of conformal sets or intervals that held the outcome, in all and in parts.

    Parameters
    ----------
    sets : DataFrame indexed by (symbol, time)
        From `training.conformal`: `covered`, and `size`, or `low` and `high`.
    block : int
        Bars in a bootstrap block, at least the label's horizon.
    by : mapping of str to Series, optional
        By kind, such as `regime`: the part of each (symbol, time), such as `calm`; a row
        without a part is in none. `breakdown.parts_of` gives fold, symbol, age and regime.
    draws, level, seed
        As in `significance.bootstrap_ci`.

    Returns
    -------
    DataFrame indexed by (kind, part)
        First (`all`, `all`), then the parts: `coverage low high`, `size`, the mean number
        of classes, or `width`, the median of high - low, and `n` settled rows. A part of
        fewer times than four blocks has its coverage without an interval.

    Raises
    ------
    ParamsError
        If the block does not fit.
    DataError
        If no set has settled.
    """
    settled = sets[sets["covered"].notna()]
    if settled.empty:
        raise DataError("no set has settled; there is no coverage to count")
    found = {}
    for key, rows in _parts(settled, by or {}):
        found[key] = _coverage(rows, block=block, draws=draws, level=level, seed=seed)
    return pd.DataFrame.from_dict(found, orient="index").rename_axis(["kind", "part"])


def _parts(
    settled: pd.DataFrame, by: Mapping[str, pd.Series]
) -> Iterator[tuple[tuple[str, object], pd.DataFrame]]:
    """All rows, then those of each part of each kind."""
    yield ("all", "all"), settled
    for kind, part in by.items():
        own = part.reindex(settled.index)
        for name, rows in settled.groupby(own, sort=True):
            yield (kind, name), rows


def _coverage(
    rows: pd.DataFrame, *, block: int, draws: int, level: float, seed: int
) -> dict[str, float]:
    """Coverage of some rows with its interval, and how much the sets hold."""
    hit = rows["covered"].to_numpy()
    times = rows.index.get_level_values("time").nunique()
    low, high = np.nan, np.nan
    if times >= _LEAST_BLOCKS * block:
        sums = np.column_stack([hit, np.ones(len(hit))])
        drawn = _drawn(rows, sums, block=block, draws=draws, seed=seed)[1]
        low, high = _edges(drawn[:, :1] / drawn[:, 1:], level)[:, 0]
    told = {"size": rows["size"].mean()} if "size" in rows else {}
    if "high" in rows:
        told = {"width": (rows["high"] - rows["low"]).median()}
    return {"coverage": hit.mean(), "low": low, "high": high} | told | {"n": len(rows)}


def _answered(predictions: pd.DataFrame) -> pd.DataFrame:
    """Settled predictions that have probabilities, in order."""
    known = predictions[predictions["actual"].notna()]
    if known.empty:
        raise DataError("no prediction has settled; there is nothing to score")
    answered = known[known[PROBABILITIES].notna().all(axis=1)]
    if answered.empty:
        raise DataError(
            "no settled prediction has probabilities; confidence is of targets that are classes"
        )
    return answered.sort_index()


def _top(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Largest probability of each row, and whether that class came."""
    actual, shares = checked_classes(rows["actual"].to_numpy(), rows[PROBABILITIES].to_numpy())
    return shares.max(axis=1), np.array(CLASSES)[shares.argmax(axis=1)] == actual


def _score_sums(rows: pd.DataFrame) -> np.ndarray:
    """Per row: what it was right beyond its confidence, in its bin's column; its Brier score."""
    top, right = _top(rows)
    excess = np.eye(ECE_BINS)[bin_of(top, ECE_BINS)] * (right - top)[:, None]
    truth = rows["actual"].to_numpy()[:, None] == np.array(CLASSES)
    return np.column_stack([excess, squared_miss(truth, rows[PROBABILITIES].to_numpy())])


def _compared(summed: np.ndarray) -> np.ndarray:
    """Scores of calibrated, raw and their difference, from sums; shape (draws, 3, 2)."""
    n, one = summed[:, 0], ECE_BINS + 1
    parts = [summed[:, 1 + k * one : 1 + (k + 1) * one] for k in range(2)]
    both = [np.column_stack([np.abs(p[:, :-1]).sum(axis=1), p[:, -1]]) / n[:, None] for p in parts]
    return np.stack([*both, both[0] - both[1]], axis=1)


def _drawn(
    rows: pd.DataFrame, sums: np.ndarray, *, block: int, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of each column over all rows, and over the rows of each draw."""
    times = pd.DatetimeIndex(rows.index.get_level_values("time")).asi8
    clock, place = np.unique(times, return_inverse=True)
    counts = draw_counts(len(clock), block, draws, seed)
    by_time = np.zeros((len(clock), sums.shape[1]))
    np.add.at(by_time, place, sums)
    # no matrix product: its order of adding depends on the number of threads
    drawn = np.einsum("dt,tb->db", counts, by_time)
    return by_time.sum(axis=0), drawn


def _edges(drawn: np.ndarray, level: float) -> np.ndarray:
    """Percentile interval of each column over the draws that have a value; shape (2, n)."""
    tail = (1 - level) / 2
    known = np.isfinite(drawn).any(axis=0)
    edges = np.full((2, drawn.shape[1]), np.nan)
    edges[:, known] = np.nanquantile(drawn[:, known], [tail, 1 - tail], axis=0)
    return edges


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part / whole, NaN where the whole is 0."""
    out = np.full(np.shape(part), np.nan)
    return np.divide(part, whole, out=out, where=np.asarray(whole) > 0)
