"""Checks before anything is computed: params against data, names against sections."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from signalkit import features, training
from signalkit.errors import DataError, ParamsError
from signalkit.params import Params, check_names
from signalkit.study.stages import holdout_from, label_settings, names_of

if TYPE_CHECKING:
    from signalkit.study.study import Study


def check_cells() -> None:
    """Refuse a name that a notebook's parameters cells set and no section declares."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    cells = shell.user_ns.get("In", []) if shell is not None else []
    newest = {}
    for cell in cells:
        injected = cell.startswith("# Parameters")
        if injected or "study_name" in _assigned(cell):
            newest[injected] = cell
    for cell in newest.values():
        check_names(_assigned(cell))


def _assigned(cell: str) -> list[str]:
    """Names that a cell of plain assignments sets; none for any other cell."""
    try:
        body = ast.parse(cell).body
    except SyntaxError:  # a magic or a shell line: no parameters cell
        return []
    targets = [
        getattr(node, "target", None) or getattr(node, "targets", [None])[0] for node in body
    ]
    plain = [node.id for node in targets if isinstance(node, ast.Name)]
    return plain if len(plain) == len(body) else []


def check_holdout(params: Params, panel: pd.DataFrame) -> None:
    """The holdout must begin inside the bars."""
    times = panel.index.get_level_values("time")
    if not times.min() < holdout_from(params) <= times.max():
        raise ParamsError(
            f"validation.holdout_from: must lie after the first bar, {times.min():%Y-%m-%d %H:%M}Z,"
            f" and not after the last, {times.max():%Y-%m-%d %H:%M}Z;"
            f" was {params.validation.holdout_from!r}"
        )


def check_opened(study: Study, panel: pd.DataFrame) -> None:
    """A holdout that is opened must hold a block of the bootstrap, and two days."""
    if not study.params.backtesting.open_holdout:
        return
    times = panel.index.unique("time")
    held = times[times >= holdout_from(study.params)]
    days = (held - pd.Timedelta(1, "ns")).floor("D").nunique()
    if len(held) < study.block or days < 2:
        raise ParamsError(
            f"validation.holdout_from: the holdout that is opened has {len(held)} bars of {days}"
            f" days; intervals need a block of {study.block} bars and 2 days; begin it earlier or"
            " leave backtesting.open_holdout false"
        )


def check_news(study: Study) -> None:
    """Features of news need news."""
    names = [name for name in names_of(study) if features.CATALOG[name].reads_news]
    if names and not study.has_news:
        raise ParamsError(
            f"features.families: {names[0]} reads news; set collection.news.source to file, store"
            " or simulator, or leave the family sentiment out"
        )


def check_lengths(study: Study, panel: pd.DataFrame) -> None:
    """There must be bars for one fold before the holdout, and labels in it."""
    held, horizon = study.params.validation, study.params.labeling.horizon
    clock = panel.index.unique("time")
    n_bars = int((clock < holdout_from(study.params)).sum())
    warmup = max(features.CATALOG[name].warmup for name in names_of(study))
    span = _label_warmup(study)
    lead = max(warmup, span)
    need = lead + held.train + held.gap + held.test
    if n_bars < need:
        raise DataError(
            f"validation.train: a fold takes {need} bars (warm-up {lead}, train {held.train}, gap"
            f" {held.gap}, test {held.test}), before the holdout there are {n_bars}; shorten a"
            " window or collect more"
        )
    if horizon >= held.train:
        raise ParamsError(
            f"labeling.horizon: {horizon} bars leave nothing to train on in {held.train} bars;"
            " shorten it or lengthen validation.train"
        )
    wait = _shortest_wait(study)
    tested = sum(stop - first for _, first, stop in study.splits.windows(n_bars - warmup))
    _check_block(study, tested - wait)
    late = max(0, span - warmup)
    settled = held.train - late - max(0, wait - held.gap)
    if settled < 1:
        place = "volatility_span" if late else "horizon"
        raise ParamsError(
            f"labeling.{place}: the first training window of {held.train} bars has no settled"
            f" label: the first {late} bars have none yet, and one takes {wait} bars to settle;"
            " shorten it or lengthen validation.train"
        )
    _check_shares(study, settled, wait)


def _check_block(study: Study, tested: int) -> None:
    """A block of the bootstrap must fit into a test window, and into what settles of all."""
    held, horizon = study.params.validation, study.params.labeling.horizon
    if study.block <= min(held.test, tested):
        return
    found = f"labeling.horizon: {horizon} bars make blocks of {study.block} bars"
    if held.block:
        found = f"validation.block: a block of {held.block} bars"
    raise ParamsError(
        f"{found} for the bootstrap, longer than a test window of {held.test} bars or than the"
        f" {max(tested, 0)} tested bars that settle before the holdout; shorten it"
    )


def _label_warmup(study: Study) -> int:
    """First bars that have no label, for their volatility is not known yet."""
    read = study.params.labeling.settings()
    return read.get("volatility_span", 0) if read.get("scale") != "fixed" else 0


def _shortest_wait(study: Study) -> int:
    """Bars after which a label can be settled at the earliest; a barrier may be met at once."""
    if study.params.labeling.target == "triple_barrier":
        return 1
    filled_later = label_settings(study).get("entry", "close") != "close"
    return study.params.labeling.horizon + int(filled_later)


def _check_shares(study: Study, settled: int, wait: int) -> None:
    """What is set aside of the first training window must leave bars to learn from."""
    asked, left = study.params.training, settled
    own = study.params.labeling.target in training.CLASSIFICATION_TARGETS
    if own and asked.calibration.method != "none":
        left = _left(left, wait, asked.calibration.share, "training.calibration.share")
    block = left // (asked.tuning.folds + 1)
    if asked.tuning.trials and min(block, left - asked.tuning.folds * block - wait) < 1:
        raise ParamsError(
            f"training.tuning.folds: {asked.tuning.folds} folds of the {left} settled bars that a"
            f" training window keeps leave the first of them none that settle in {wait} bars;"
            " lower it or lengthen validation.train"
        )
    if set(asked.models) & set(asked.stopping.models):
        _left(left, wait, asked.stopping.share, "training.stopping.share")


def _left(settled: int, wait: int, share: float, place: str) -> int:
    """Bars that are settled before the newest share of some bars begins; `Recipe` cuts so."""
    left = settled - max(1, int(np.ceil(share * settled))) - wait
    if left < 1:
        raise ParamsError(
            f"{place}: of the {settled} settled bars that a training window keeps none is settled"
            f" before the newest {share:.0%} of them, for a label takes {wait} bars; lower it,"
            " lengthen validation.train or shorten labeling.horizon"
        )
    return left
