"""health.py: empty, constant and holed columns are named; pandas counts, slowly, as the oracle."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError
from signalkit.features.health import columns_report, findings


def daily(**columns):
    times = pd.date_range(
        "2024-01-01", periods=len(next(iter(columns.values()))), freq="D", tz="UTC", name="time"
    )
    return pd.DataFrame(columns, index=times, dtype=float)


def panel(**symbols):
    return pd.concat(symbols, names=["symbol", "time"])


def seeded(n_rows, seed):
    """A matrix with every kind of column: many values, few, one, none, with holes."""
    rng = np.random.default_rng(seed)
    many, few = rng.normal(size=n_rows), rng.integers(0, 5, n_rows).astype(float)
    holed = np.where(rng.random(n_rows) < 0.3, np.nan, few)
    late = np.r_[np.full(n_rows // 2, np.nan), many[n_rows // 2 :]]
    flat, none = np.full(n_rows, 2.5), np.full(n_rows, np.nan)
    return daily(many=many, few=few, holed=holed, late=late, flat=flat, none=none)


def by_hand(block):
    """What pandas says of each column."""
    rows = {}
    for name, column in block.items():
        seen = column.dropna()
        some = len(seen) > 0
        rest = column.loc[seen.index[0] :] if some else column
        constant = len(seen) > 1 and seen.nunique() == 1
        rows[name] = {
            "rows": len(column),
            "empty": not some,
            "missing": rest.isna().mean(),
            "distinct": min(seen.nunique(), 256),
            "constant": constant,
            "value": seen.iloc[0] if constant else np.nan,
            "first": seen.index[0] if some else pd.NaT,
            "last": seen.index[-1] if some else pd.NaT,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


@pytest.mark.parametrize("n_rows", [2, 10, 300, 1000])
@pytest.mark.parametrize("order", ["C", "F"])
def test_report_of_one_symbol_is_what_pandas_counts(n_rows, order):
    matrix = seeded(n_rows, n_rows)
    laid = pd.DataFrame(
        np.asarray(matrix.to_numpy(), order=order), matrix.index, matrix.columns, copy=False
    )
    got = columns_report(laid)
    assert got.index.names == ["feature", "symbol"]
    assert set(got.index.get_level_values("symbol")) == {""}
    pd.testing.assert_frame_equal(
        got.droplevel("symbol"), by_hand(matrix), check_names=False, check_dtype=False, rtol=1e-12
    )


def test_report_of_a_panel_has_every_symbol_and_all_rows_together():
    blocks = {"AAA": seeded(200, 1), "BBB": seeded(300, 2).assign(flat=3.0)}
    got = columns_report(panel(**blocks))
    assert got.index.tolist()[:4] == [
        ("many", "AAA"),
        ("many", "BBB"),
        ("many", ""),
        ("few", "AAA"),
    ]
    for symbol, block in blocks.items():
        own = got.xs(symbol, level="symbol")
        pd.testing.assert_frame_equal(
            own, by_hand(block), check_names=False, check_dtype=False, rtol=1e-12
        )
    whole = got.xs("", level="symbol")
    assert whole["rows"].tolist() == [500] * 6
    assert whole.loc["flat", ["distinct", "constant"]].tolist() == [2, False]
    # warm-ups of both symbols left out
    assert whole.loc["late", "missing"] == 0
    holed = pd.concat(
        [block["holed"].loc[block["holed"].first_valid_index() :] for block in blocks.values()]
    )
    assert whole.loc["holed", "missing"] == pytest.approx(holed.isna().mean())
    assert whole.loc["many", "last"] == blocks["BBB"].index[-1]


@pytest.mark.parametrize(("count", "distinct"), [(255, 255), (256, 256), (257, 256), (900, 256)])
def test_distinct_values_are_counted_up_to_the_limit(count, distinct):
    values = np.tile(np.arange(count) * 0.1, 3)
    assert columns_report(daily(x=values))["distinct"].tolist() == [distinct]


def test_values_that_fall_on_one_place_of_the_table_are_told_apart():
    # whole numbers that far apart hash alike
    values = np.arange(100) * 512.0
    assert columns_report(daily(x=values))["distinct"].tolist() == [100]


def test_negative_nought_is_nought():
    got = columns_report(daily(x=[0.0, -0.0, 0.0])).iloc[0]
    assert (got["distinct"], got["constant"]) == (1, True)


@pytest.mark.parametrize(
    ("values", "constant"),
    [
        ([1.0, 1.0 + 2e-16, 1.0], True),
        ([1.0, 1.0 + 1e-9], False),
        ([1e-20, 2e-20], False),
        ([5.0], False),
        ([np.nan, 5.0, np.nan, 5.0], True),
    ],
)
def test_constant_is_one_number_but_for_rounding_seen_twice(values, constant):
    assert columns_report(daily(x=values))["constant"].tolist() == [constant]


def test_findings_name_the_constant_feature_and_where():
    day = daily(hour_sine=[0.0] * 4, good=[1.0, 2.0, 3.0, 4.0])
    hour = daily(hour_sine=[0.0, 0.5, 0.7, 1.0], good=[1.0, 2.0, 3.0, 4.0])
    assert findings(columns_report(day)) == [
        "hour_sine is constant (0 everywhere): it tells a model nothing"
    ]
    assert findings(columns_report(panel(BTCUSDT=day, ETHUSDT=hour))) == [
        "hour_sine is constant on BTCUSDT (0 everywhere): it tells a model nothing"
    ]
    assert findings(columns_report(panel(BTCUSDT=day, ETHUSDT=day))) == [
        "hour_sine is constant on every symbol (0 everywhere): it tells a model nothing"
    ]


def test_finding_on_a_feature_that_only_tells_symbols_apart():
    blocks = {"AAA": daily(x=[1.0, 1.0]), "BBB": daily(x=[2.0, 2.0])}
    assert findings(columns_report(panel(**blocks))) == [
        "x is constant on every symbol (another number on each): it tells symbols apart, no more"
    ]


def test_finding_on_a_feature_without_a_value():
    blank = daily(x=[np.nan] * 3)
    says = (
        "(0 of 3 bars): its warm-up or the gaps take them all; collect more bars, or leave it out"
    )
    assert findings(columns_report(blank)) == [f"x has no value {says}"]
    blocks = dict.fromkeys(("AAA", "BBB", "CCC", "DDD", "EEE"), blank)
    some = panel(**blocks, FFF=daily(x=[1.0, 2.0, 3.0]))
    assert findings(columns_report(some)) == [f"x has no value on AAA, BBB, CCC and 2 more {says}"]


def test_finding_on_a_feature_missing_more_often_than_not():
    holed = daily(x=[1.0, np.nan, np.nan, np.nan, 2.0])
    (said,) = findings(columns_report(holed))
    assert said.startswith("x is missing in 60% of the bars after its first value: gaps start")
    assert findings(columns_report(daily(x=[np.nan] * 9 + [1.0, 2.0]))) == []


def test_sound_columns_give_no_finding():
    assert findings(columns_report(seeded(50, 3)[["many", "few", "late"]])) == []


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (daily(x=[1.0]).iloc[:0], "has 0 rows and 1 columns"),
        (daily(x=[1.0])[[]], "has 1 rows and 0 columns"),
        (pd.concat([daily(x=[1.0]), daily(x=[2.0])], axis=1), "has 'x' twice"),
    ],
)
def test_refuses_a_matrix_without_columns_or_rows_or_with_a_name_twice(matrix, says):
    with pytest.raises(DataError, match=says):
        columns_report(matrix)


def test_features_of_which_the_same_is_said_share_a_sentence():
    times = pd.date_range("2024-01-01", periods=4, freq="D", tz="UTC", name="time")
    still = dict.fromkeys("abcde", 0.0)
    matrix = pd.DataFrame(still | {"one": 1.0, "moves": [1.0, 2.0, 3.0, 4.0]}, times)
    assert findings(columns_report(matrix)) == [
        "each of a, b, c and 2 more is constant (0 everywhere): it tells a model nothing",
        "one is constant (1 everywhere): it tells a model nothing",
    ]
