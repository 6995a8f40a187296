"""monitoring/drift.py: the reference never moves, the future is not read, the yardstick holds."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError, ParamsError
from signalkit.monitoring import drift, outputs
from signalkit.validation import ks, psi

TIMES = pd.date_range("2024-01-01", periods=700, freq="h", tz="UTC", name="time")
SINCE = TIMES[500]
ASKED = {"since": SINCE, "at": TIMES[-1], "window": 100}


def columns(seed=0):
    """Two symbols: noise, the same moved by two since the model predicts, and a slow walk."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([["A", "B"], TIMES], names=["symbol", "time"])
    noise, live = rng.normal(size=len(index)), index.get_level_values("time") >= SINCE
    slow = np.sin(np.arange(len(TIMES)) / 50)
    return pd.DataFrame(
        {"noise": noise, "moved": noise + 2.0 * live, "slow": np.tile(slow, 2)}, index
    )


def test_measures_are_those_of_validation():
    table = columns()
    found = drift(table, **ASKED)
    times = table.index.get_level_values("time")
    before, newest = table[times < SINCE]["moved"], table[times > TIMES[599]]["moved"]
    assert found.at["moved", "psi"] == psi(before, newest)
    assert found.at["moved", "ks"] == ks(before, newest)[0]
    parts = [
        table[(times >= TIMES[i]) & (times < TIMES[i + 100])]["moved"] for i in range(0, 500, 100)
    ]
    assert found.at["moved", "psi_inside"] == max(psi(before, part) for part in parts)
    assert found.at["moved", "ks_inside"] == max(ks(before, part)[0] for part in parts)
    assert found["n"].tolist() == [200, 200, 200]


def test_what_moved_is_told_and_what_always_moves_is_not():
    found = drift(columns(), **ASKED)
    assert found["moved"].to_dict() == {"noise": False, "moved": True, "slow": False}
    # alone the slow column's index would raise the alarm of the trade
    assert found.at["slow", "psi"] > 0.25


def test_nothing_after_the_moment_is_read_and_nothing_live_is_in_the_reference():
    table, at = columns(), TIMES[620]
    asked = ASKED | {"at": at}
    times = table.index.get_level_values("time")
    poisoned = table.copy()
    poisoned[times > at] = 1e9
    pd.testing.assert_frame_equal(drift(poisoned, **asked), drift(table, **asked))
    between = table.copy()
    between[(times >= SINCE) & (times <= TIMES[520])] = -1e9
    pd.testing.assert_frame_equal(drift(between, **asked), drift(table, **asked))


def test_rows_that_do_not_fill_a_window_of_the_reference_are_no_window():
    table = columns()
    times = table.index.get_level_values("time")
    odd = table[times >= TIMES[37]]["noise"].to_frame()
    times = odd.index.get_level_values("time")
    odd[times < TIMES[100]] = 9.0
    whole = odd[times < SINCE]["noise"]
    inside = [
        psi(whole, odd[(times >= TIMES[i]) & (times < TIMES[i + 100])]["noise"])
        for i in range(100, 500, 100)
    ]
    assert drift(odd, **ASKED).at["noise", "psi_inside"] == max(inside)


def test_outputs_are_what_the_model_says():
    table = pd.DataFrame(
        {"prediction": [1.0], "confidence": [0.6]}
        | {p: [0.3] for p in ("p_sell", "p_hold", "p_buy")}
    )
    assert outputs(table).columns.tolist() == ["p_sell", "p_hold", "p_buy", "confidence"]
    numbers = table.assign(p_sell=np.nan, p_hold=np.nan, p_buy=np.nan)
    assert outputs(numbers).columns.tolist() == ["prediction"]


def test_refuses_too_few_times():
    with pytest.raises(ParamsError, match="window must be at least 1"):
        drift(columns(), **ASKED | {"window": 0})
    with pytest.raises(DataError, match=r"needs 100 since .* there are 50 and 500"):
        drift(columns(), **ASKED | {"at": TIMES[549]})
    with pytest.raises(DataError, match="600 before it; there are 200 and 500"):
        drift(columns(), **ASKED | {"window": 150})
