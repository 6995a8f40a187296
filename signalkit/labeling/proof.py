"""Proof that every kind of label is known at its known_at, and not before: a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pandas as pd

from signalkit.causality import check_labels, probe_bars
from signalkit.labeling.barriers import ENTRIES, meta_label, triple_barrier
from signalkit.labeling.horizon import (
    ESTIMATORS,
    SCALES,
    signal_direction,
    target_return,
    target_volatility,
)
from signalkit.labeling.profit import FILLS, SIDES, target_profitable

_HORIZON, _SPAN, _THRESHOLD, _COST_BPS = 4, 10, 0.01, 5.0

Kind = Callable[[pd.DataFrame], pd.DataFrame]


def _kinds() -> dict[str, tuple[Kind, dict[str, object]]]:
    """Every kind of label by its name: the function and its options."""
    kinds: dict[str, tuple[Kind, dict[str, object]]] = {"target_return": (target_return, {})}
    for scale in SCALES:
        threshold = {} if scale == "volatility" else {"threshold": _THRESHOLD}
        options = {"scale": scale, "volatility_span": _SPAN} | threshold
        kinds[f"signal_direction {scale}"] = signal_direction, options
    for estimator in ESTIMATORS:
        kinds[f"target_volatility {estimator}"] = target_volatility, {"estimator": estimator}
    for entry in FILLS:
        for side in SIDES:
            options = {"entry": entry, "side": side, "fee_bps": _COST_BPS}
            kinds[f"target_profitable {entry} {side}"] = target_profitable, options
    for entry in ENTRIES:
        options = {"entry": entry, "volatility_span": _SPAN}
        kinds[f"triple_barrier {entry}"] = triple_barrier, options
        kinds[f"triple_barrier {entry} touch close"] = triple_barrier, options | {"touch": "close"}
        kinds[f"triple_barrier {entry} sign"] = triple_barrier, options | {"vertical": "sign"}
    for name, side in (("long", 1), ("short", -1)):
        kinds[f"meta_label {name}"] = meta_label, {"side": side, "volatility_span": _SPAN}
    return kinds


# what must be moved besides the whole bar that settles a label: where a trade begins at the
# open of that bar, or only the range inside it is read, the bar at another price is the same
_PARTS = {"triple_barrier next_open": "path"} | dict.fromkeys(
    ("parkinson", "garman_klass", "rogers_satchell"), "range"
)


def proofs(bars: pd.DataFrame | None = None) -> pd.DataFrame:
    """Cut every kind of label off at the bars that settle it, and move the prices there.

    Parameters
    ----------
    bars : DataFrame of shape (n_bars, 5), optional
        One symbol's bars; 36 seeded probe bars if omitted.

    Returns
    -------
    DataFrame indexed by kind
        `labels`, `probes`, `changed` (labels that later bars change), `unmoved` (labels that
        no price at their known_at changes), their first times, and `passed`: what
        `causality.check_labels` found, for all labels of each kind.
    """
    bars = probe_bars(36) if bars is None else bars
    rows = {}
    for name, (function, options) in _kinds().items():
        parts = ["bar", *(part for word, part in _PARTS.items() if word in name)]
        found = check_labels(
            lambda some, f=function, o=options: f(some, horizon=_HORIZON, **o),
            bars,
            parts=parts,
        )
        rows[name] = asdict(found) | {"passed": found.passed}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("kind")
