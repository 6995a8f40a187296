"""breakdown.py: the parts of a score are scores of the parts, and a part too short has no error."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError
from signalkit.validation import ages, breakdown, parts_of, scores

SHARES = ["p_sell", "p_hold", "p_buy"]
ERRORS = ["low", "high", "gain_low", "gain_high", "p"]
DRAWN = {"block": 5, "draws": 40, "seed": 2}


def index(n=100, symbols=("A", "B")):
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    return pd.MultiIndex.from_product([symbols, times], names=["symbol", "time"])


def predicted(model_id, shares, lengths=(50, 50)):
    """One model's predictions of two symbols, in folds of the given lengths."""
    n = sum(lengths)
    table = pd.DataFrame(shares, index(n), columns=SHARES)
    table["prediction"] = np.asarray(shares).argmax(axis=1) - 1.0
    table["actual"] = np.random.default_rng(1).integers(-1, 2, 2 * n).astype(float)
    table["fold"] = np.tile(np.repeat(np.arange(len(lengths)), lengths), 2)
    return table.assign(model_id=model_id).set_index("model_id", append=True)


def both(lengths=(50, 50)):
    """A baseline whose shares differ from fold to fold, and a model of noise."""
    n = sum(lengths)
    rng = np.random.default_rng(3)
    base = np.tile([0.3, 0.3, 0.4], (2 * n, 1))
    fold = np.tile(np.repeat(np.arange(len(lengths)), lengths), 2)
    base[fold % 2 == 1] = [0.4, 0.35, 0.25]
    parts = [("MAJORITY", base), ("MODEL", rng.dirichlet([2, 2, 2], 2 * n))]
    return pd.concat(predicted(name, shares, lengths) for name, shares in parts).sort_index()


def halves(n=100):
    """A part that is no fold: the first and the second symbol, but for one hour of neither."""
    found = pd.Series(index(n).get_level_values("symbol").map({"A": "calm", "B": "wild"}), index(n))
    found.iloc[7] = np.nan
    return found


def test_age_counts_the_times_of_each_fold_from_its_first():
    got = ages(both((8, 8)))
    assert got.index.equals(index(16))
    for symbol in ("A", "B"):
        mine = got.loc[symbol].tolist()
        assert mine[:8] == mine[8:]
        pairs = ["bars 0001-0002", "bars 0003-0004", "bars 0005-0006", "bars 0007-0008"]
        assert mine[:8] == [name for name in pairs for _ in range(2)]


def test_age_is_cut_by_the_longest_fold():
    got = ages(both((8, 16)), parts=2).loc["A"]
    assert got.tolist()[:8] == ["bars 0001-0008"] * 8
    assert got.tolist()[8:] == ["bars 0001-0008"] * 8 + ["bars 0009-0016"] * 8


def test_age_of_a_symbol_that_comes_later_is_the_age_of_the_model():
    table = both((8, 8))
    late = index(16)[5][1]
    gone = (table.index.get_level_values("symbol") == "B") & (
        table.index.get_level_values("time") < late
    )
    got, whole = ages(table[~gone]), ages(table)
    assert got.loc["B"].equals(whole.loc["B"].loc[late:])


@pytest.mark.parametrize(("length", "parts"), [(2, 4), (3, 4), (7, 4), (62, 5), (250, 4)])
def test_parts_by_age_cover_every_bar_of_a_window_in_order(length, parts):
    got = ages(both((length, length)), parts).loc["A"].iloc[:length]
    for bar, name in enumerate(got, start=1):
        first, last = (int(edge) for edge in name.removeprefix("bars ").split("-"))
        assert first <= bar <= last
    assert got.is_monotonic_increasing
    assert got.nunique() == min(parts, length)
    sizes = got.value_counts()
    assert sizes.max() - sizes.min() <= 1


def test_a_part_is_scored_as_if_it_were_all_there_is():
    table = both()
    got = breakdown(table, {"regime": halves()}, model="MODEL", **DRAWN)
    assert got.index.names == ["kind", "part", "metric"]
    assert got.index.unique("part").tolist() == ["calm", "wild"]
    for part, mine in halves().groupby(halves()):
        rows = table[table.index.droplevel("model_id").isin(mine.index)]
        expected = scores(rows, **DRAWN).loc["MODEL"]
        pd.testing.assert_frame_equal(got.loc[("regime", part)], expected, check_exact=True)
    assert got.loc[("regime", "calm"), "n"].unique().tolist() == [99]
    assert got.loc[("regime", "wild"), "n"].unique().tolist() == [100]


def test_baseline_of_a_part_is_the_majority_s_score_there():
    table = both()
    got = breakdown(table, parts_of(table), model="MODEL", **DRAWN)
    for fold in (0, 1):
        rows = table[table["fold"] == fold]
        expected = scores(rows, **DRAWN).loc[("MAJORITY", "log_loss"), "value"]
        row = got.loc[("fold", f"fold {fold:03d}", "log_loss")]
        assert row["baseline"] == expected
        assert row["gain"] == pytest.approx(expected - row["value"])


def test_other_models_change_no_part():
    table = both()
    names = {"MODEL": "OTHER", "MAJORITY": "MAJORITY"}
    other = table.xs("MODEL", level="model_id", drop_level=False).rename(index=names)
    other = other.assign(prediction=np.nan, **dict.fromkeys(SHARES, np.nan))
    more = pd.concat([table, other]).sort_index()
    got, alone = (breakdown(t, parts_of(t), model="MODEL", **DRAWN) for t in (more, table))
    pd.testing.assert_frame_equal(got, alone, check_exact=True)


@pytest.mark.parametrize(("length", "whole"), [(19, False), (20, True)])
def test_a_part_of_fewer_than_four_blocks_has_values_without_intervals(length, whole):
    table = both((length, 60))
    got = breakdown(table, parts_of(table), model="MODEL", **DRAWN).loc["fold"]
    short = got.loc["fold 000"]
    assert short[["value", "baseline", "gain", "n"]].notna().all(axis=None)
    assert (short[ERRORS].notna().all(axis=None)) == whole
    assert short[ERRORS].isna().all(axis=None) == (not whole)
    expected = scores(table[table["fold"] == 0], block=1, draws=1).loc["MODEL"]
    assert short["value"].equals(expected["value"])
    assert got.loc["fold 001", ERRORS].notna().all(axis=None)


def test_open_predictions_are_in_no_part():
    table = both()
    last = index()[-10:].get_level_values("time")
    late = table.index.get_level_values("time").isin(last)
    table.loc[late, "actual"] = np.nan
    got = breakdown(table, parts_of(table), model="MODEL", **DRAWN)
    assert got.loc["symbol"].loc["A", "n"].unique().tolist() == [90]
    assert got.loc["fold"].loc["fold 001", "n"].unique().tolist() == [80]


def test_a_part_in_which_the_model_never_answered_is_left_out():
    table = both()
    silent = (table["fold"] == 1) & (table.index.get_level_values("model_id") == "MODEL")
    table.loc[silent, SHARES] = np.nan
    got = breakdown(table, parts_of(table), model="MODEL", **DRAWN)
    assert got.loc["fold"].index.unique("part").tolist() == ["fold 000"]
    assert got.loc["symbol"].loc["A", "n"].unique().tolist() == [50]


def test_the_usual_parts_are_fold_symbol_and_age_and_regime_where_it_is_given():
    table = both()
    assert list(parts_of(table)) == ["fold", "symbol", "age"]
    got = parts_of(table, halves())
    assert list(got) == ["fold", "symbol", "age", "regime"]
    assert got["regime"].equals(halves())
    assert got["fold"].loc["A"].tolist() == ["fold 000"] * 50 + ["fold 001"] * 50
    assert (got["symbol"] == index().get_level_values("symbol")).all()
    assert got["age"].equals(ages(table))
    assert all(part.index.is_unique and part.index.equals(index()) for part in got.values())


def test_parts_repeat_with_their_seed():
    table = both()
    one, same = (breakdown(table, parts_of(table), model="MODEL", **DRAWN) for _ in range(2))
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    other = breakdown(table, parts_of(table), model="MODEL", **(DRAWN | {"seed": 9}))
    assert not one["low"].equals(other["low"])


def test_parts_need_the_baseline():
    table = both().xs("MODEL", level="model_id", drop_level=False)
    with pytest.raises(DataError, match="MAJORITY is missing"):
        breakdown(table, parts_of(table), model="MODEL", **DRAWN)
