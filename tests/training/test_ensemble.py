"""ensemble.py: weights by a plain loop, pools worked by hand, and a future that may be garbage."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon

from signalkit.errors import DataError, ParamsError
from signalkit.training.ensemble import ENSEMBLE, PROBABILITIES, combine

HOUR = pd.Timedelta(1, "h")
START = pd.Timestamp("2024-01-01", tz="UTC")
ONE = [[0.5, 0.3, 0.2], [0.1, 0.5, 0.4], [0.0, 0.4, 0.6]]
TWO = [[0.1, 0.1, 0.8], [0.3, 0.3, 0.4], [0.4, 0.4, 0.2]]


def one_model(model_id, said, actual, *, wait=1, symbol="A", fold=0):
    """Hourly predictions of one model: shares (n, 3) or numbers (n,), known `wait` bars later."""
    said, actual = np.array(said, dtype=float), np.array(actual, dtype=float)
    times = START + pd.to_timedelta(np.arange(len(said)), "h")
    later = pd.to_timedelta(np.broadcast_to(wait, len(said)), "h")
    known_at = (times + later).where(np.isfinite(actual))
    shares = said if said.ndim == 2 else np.full((len(said), 3), np.nan)
    columns = {
        "target": "signal_direction" if said.ndim == 2 else "target_return",
        "fold": fold,
        "prediction": shares.argmax(axis=1) - 1.0 if said.ndim == 2 else said,
        **dict(zip(PROBABILITIES, shares.T, strict=True)),
        "confidence": shares.max(axis=1),
        "known_at": known_at,
        "actual": actual,
    }
    names = ["symbol", "time", "model_id"]
    index = pd.MultiIndex.from_product([[symbol], times, [model_id]], names=names)
    return pd.DataFrame(columns, index=index)


def models(actual, /, *, wait=1, symbol="A", fold=0, **said):
    """Predictions of several models of one symbol."""
    more = {"wait": wait, "symbol": symbol, "fold": fold}
    return pd.concat([one_model(name, each, actual, **more) for name, each in said.items()])


def world(seed=5, *, numbers=False, n=70, bars_a_fold=20):
    """Two symbols, labels of 1 to 7 bars, rows that are missing and rows that are NaN."""
    rng = np.random.default_rng(seed)
    parts = []
    for symbol, size in (("A", n), ("B", n - 11)):
        actual = rng.normal(0, 1, size) if numbers else rng.integers(-1, 2, size).astype(float)
        actual[-3:] = np.nan
        said = {
            name: rng.normal(0, 1, size) if numbers else rng.dirichlet([4, 4, 4], size)
            for name in ("ONE", "TWO", "BASE")
        }
        fold = np.arange(size) // bars_a_fold
        wait = rng.integers(1, 8, size)
        parts.append(models(actual, wait=wait, symbol=symbol, fold=fold, **said))
    table = pd.concat(parts)
    failed = (rng.random(len(table)) < 0.1) & (table.index.get_level_values(2) != "BASE")
    table.loc[failed, ["prediction", *PROBABILITIES]] = np.nan
    gone = (rng.random(len(table)) < 0.1) & (table.index.get_level_values(2) != "BASE")
    return table[~gone].sort_index()


def mine(combined):
    return combined.predictions.xs(ENSEMBLE, level="model_id")


def loss_by_definition(row, numbers):
    if numbers:
        return (row["prediction"] - row["actual"]) ** 2
    return -np.log(max(row[PROBABILITIES[int(row["actual"]) + 1]], np.finfo(float).eps))


def weights_by_loop(table, members, half_life):
    """The definition, read aloud: nothing but loops over bars and over what is settled."""
    numbers = table["p_buy"].isna().all()
    bars = {symbol: sorted(set(part.index.get_level_values("time"))) for symbol, part in
            table.groupby(level="symbol")}  # fmt: skip
    clock = sorted(set(table.index.get_level_values("time")))
    found = []
    for now in clock:
        lost = dict.fromkeys(members, 0.0)
        for (symbol, time), rows in table.groupby(level=["symbol", "time"]):
            any_row = rows.iloc[0]
            if not any_row["known_at"] <= now or np.isnan(any_row["actual"]):
                continue
            rows = rows.droplevel(["symbol", "time"])
            losses = {m: loss_by_definition(rows.loc[m], numbers) for m in members
                      if m in rows.index and not np.isnan(rows.loc[m, "prediction"])}  # fmt: skip
            if not losses:
                continue
            spanned = sum(time < bar <= any_row["known_at"] for bar in bars[symbol])
            together = sum(time in each for each in bars.values())
            age = sum(any_row["known_at"] <= bar <= now for bar in clock) - 1
            left = 1.0 if half_life is None else 0.5 ** (age / half_life)
            for m in members:
                charged = losses.get(m, np.mean(list(losses.values())))
                lost[m] += charged * left / (max(spanned, 1) * together)
        size = np.array([lost[m] for m in members])
        share = np.exp(-size) if not numbers else 1 / size if size.all() else np.ones(len(size))
        found.append(share / share.sum())
    return pd.DataFrame(found, index=clock, columns=members)


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("half_life", [None, 6.0])
def test_weights_are_those_of_a_loop_over_the_definition(numbers, half_life):
    table = world(numbers=numbers, n=32)
    got = combine(table, ["ONE", "TWO"], half_life=half_life).weights
    expected = weights_by_loop(table, ["ONE", "TWO"], half_life)
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    assert got.index.equals(pd.DatetimeIndex(expected.index))
    assert got.index.name == "time"
    assert got["ONE"].nunique() > 12


def cut(table, now, rng=None):
    """The table as of a time; with `rng`, as long as it was, with all else garbage."""
    times = table.index.get_level_values("time")
    open_ = (table["known_at"] > now) | table["known_at"].isna()
    if rng is None:
        unknown = table.assign(
            known_at=table["known_at"].mask(open_), actual=table["actual"].mask(open_)
        )
        return unknown[times <= now]
    garbage = table.copy()
    cells = pd.factorize(table.index.droplevel("model_id"))[0]
    garbage.loc[open_, "actual"] = rng.integers(-1, 2, cells.max() + 1).astype(float)[cells][open_]
    wait = pd.to_timedelta(rng.integers(1, 9, cells.max() + 1), "h")[cells]
    later = (times.where(times > now, now) + wait)[open_]
    garbage.loc[open_, "known_at"] = later
    said = rng.dirichlet([0.3, 0.3, 0.3], len(table)) * (rng.random((len(table), 1)) > 0.2)
    garbage.loc[times > now, PROBABILITIES] = said[times > now]
    garbage.loc[times > now, "prediction"] = 100 * said[times > now, 0]
    return garbage


def assert_same_until(now, one, other):
    """To the last bit: rows, weights and disagreement up to a time."""
    rows = [mine(c).drop(columns=["known_at", "actual"]) for c in (one, other)]
    rows = [r[r.index.get_level_values("time") <= now] for r in rows]
    pd.testing.assert_frame_equal(*rows, check_exact=True)
    pd.testing.assert_frame_equal(one.weights[:now], other.weights[:now], check_exact=True)
    parts = [
        c.disagreement[c.disagreement.index.get_level_values("time") <= now] for c in (one, other)
    ]
    pd.testing.assert_series_equal(*parts, check_exact=True)
    assert len(rows[0]) > 0


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"half_life": 8.0}, {"method": "stacking", "least": 3.0}],
    ids=["for ever", "half-life", "stacking"],
)
def test_what_is_not_settled_at_a_time_moves_nothing_up_to_it(numbers, options):
    table, rng = world(numbers=numbers), np.random.default_rng(1)
    whole = combine(table, ["ONE", "TWO"], **options)
    for hours in (1, 19, 20, 33, 40, 47, 66):
        now = START + HOUR * hours
        assert_same_until(now, whole, combine(cut(table, now), ["ONE", "TWO"], **options))
        assert_same_until(now, whole, combine(cut(table, now, rng), ["ONE", "TWO"], **options))


@pytest.mark.parametrize("method", ["weighted", "stacking"])
def test_what_is_settled_at_a_time_does_move_it(method):
    # the check above can fail: one outcome known at hour 40 and no earlier is turned around
    table = world(n=70)
    known = (table["known_at"] == START + 40 * HOUR).to_numpy()
    other = table.assign(actual=table["actual"].mask(known, -table["actual"]))
    one, two = (combine(t, ["ONE", "TWO"], method=method, least=3.0) for t in (table, other))
    assert not known.all()
    assert known.any()
    assert_same_until(START + 39 * HOUR, one, two)
    assert not one.weights.loc[START + 40 * HOUR].equals(two.weights.loc[START + 40 * HOUR])
    if method == "stacking":  # fitted again at the first time of the fold, hour 40
        first = (slice(None), START + 40 * HOUR)
        assert not mine(one).loc[first, PROBABILITIES].equals(mine(two).loc[first, PROBABILITIES])


def test_labels_of_a_fold_count_when_they_settle_inside_the_next():
    right, wrong = [[0.1, 0.1, 0.8]] * 8, [[0.8, 0.1, 0.1]] * 8
    table = models([1.0] * 8, wait=3, fold=np.arange(8) // 4, ONE=right, TWO=wrong)
    got = combine(table, ["ONE", "TWO"]).weights["ONE"]
    # the first label settles at hour 3; one spans three predictions and counts a third of ln 8
    expected = [0.5] * 3 + [1 / (1 + 8 ** (-k / 3)) for k in (1, 2, 3, 4, 5)]
    assert got.tolist() == pytest.approx(expected, rel=1e-12)


def test_two_symbols_that_say_the_same_count_as_one():
    alone = world(n=40).loc[["A"]]
    twin = pd.concat([alone, alone.rename(index={"A": "C"}, level="symbol")])
    got, expected = (combine(t, ["ONE", "TWO"], half_life=9).weights for t in (twin, alone))
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_the_better_model_gets_the_weight_and_loses_it_when_it_turns_bad():
    rng = np.random.default_rng(3)
    actual = rng.integers(-1, 2, 1200).astype(float)
    good = np.where(actual[:, None] == [-1, 0, 1], 0.5, 0.25)
    even = np.full((1200, 3), 1 / 3)
    turned = np.where(np.arange(1200)[:, None] < 600, good, good[:, [1, 2, 0]])
    table = models(actual, ONE=turned, TWO=even)
    got = combine(table, ["ONE", "TWO"], half_life=30).weights["ONE"].to_numpy()
    assert got[599] > 0.99999
    assert got[600 + 4 * 30] < 0.01  # four half-lives later
    slow = combine(table, ["ONE", "TWO"]).weights["ONE"].to_numpy()
    assert slow[600 + 4 * 30] > 0.99  # without a half-life it lives on what it earned


def test_numbers_are_weighed_by_the_inverse_of_their_squared_errors():
    table = models([1.0, 1.0, 1.0], ONE=[2.0, 1.0, 0.0], TWO=[3.0, 1.0, 2.0])
    got = combine(table, ["ONE", "TWO"])
    # after the first: squared errors 1 and 4, so 0.8 and 0.2 (Bates and Granger 1969)
    np.testing.assert_allclose(got.weights, [[0.5, 0.5], [0.8, 0.2], [0.8, 0.2]], rtol=1e-15)
    assert mine(got)["prediction"].tolist() == pytest.approx([2.5, 1.0, 0.4])
    assert mine(got)[[*PROBABILITIES, "confidence"]].isna().all(axis=None)
    spread = np.sqrt(0.8 * 0.4**2 + 0.2 * 1.6**2)
    expected = [0.5 / 3, 0.0, spread / (spread + 0.4)]
    assert got.disagreement.tolist() == pytest.approx(expected)


def test_an_exact_member_takes_all_of_a_number():
    got = combine(models([1.0, 1.0], ONE=[1.0, 5.0], TWO=[3.0, 1.0]), ["ONE", "TWO"])
    assert got.weights.iloc[1].tolist() == pytest.approx([1.0, 0.0], abs=1e-300)


def test_the_mean_pools_shares_and_disagreement_lowers_the_confidence():
    got = combine(models([1, -1, np.nan], ONE=ONE, TWO=TWO), ["ONE", "TWO"], method="mean")
    # (0.5 + 0.1) / 2 and so on
    expected = np.array([[0.3, 0.2, 0.5], [0.2, 0.4, 0.4], [0.2, 0.4, 0.4]])
    np.testing.assert_allclose(mine(got)[PROBABILITIES], expected, rtol=1e-12)
    assert mine(got)["prediction"].tolist()[0] == 1.0
    # scipy's jensenshannon is the root of the divergence of two equally weighted members
    apart = jensenshannon(np.array(ONE), np.array(TWO), axis=1) ** 2 / np.log(3)
    np.testing.assert_allclose(got.disagreement, apart, rtol=1e-12)
    np.testing.assert_allclose(mine(got)["confidence"], expected.max(axis=1) * (1 - apart))
    assert (got.weights == 0.5).all(axis=None)


def test_equal_shares_choose_the_first_class():
    table = models([0.0], ONE=[[0.5, 0.25, 0.25]], TWO=[[0.25, 0.25, 0.5]])
    assert mine(combine(table, ["ONE", "TWO"]))["prediction"].tolist() == [-1.0]


def test_members_that_agree_do_not_disagree_and_opposites_do():
    table = models([0, 0], ONE=[[0.2, 0.3, 0.5], [1, 0, 0]], TWO=[[0.2, 0.3, 0.5], [0, 0, 1]])
    got = combine(table, ["ONE", "TWO"], method="mean")
    assert got.disagreement.tolist() == pytest.approx([0.0, np.log(2) / np.log(3)], abs=1e-15)
    assert mine(got)["confidence"].iloc[0] == pytest.approx(0.5, rel=1e-14)


def test_a_member_that_fails_drops_out_and_the_rest_are_weighed_anew():
    three = [[0.2, 0.2, 0.6]] * 3
    broken = [[0.1, 0.1, 0.8], [np.nan, 0.5, 0.5], [-0.1, 0.5, 0.6]]
    table = models([1, 1, 1], ONE=ONE, TWO=broken, THREE=three)
    got = combine(table, ["ONE", "TWO", "THREE"])
    share = got.weights[["ONE", "THREE"]].div(got.weights[["ONE", "THREE"]].sum(axis=1), axis=0)
    expected = share.to_numpy()[:, :1] * ONE + share.to_numpy()[:, 1:] * three
    np.testing.assert_allclose(mine(got)[PROBABILITIES].iloc[1:], expected[1:], rtol=1e-12)
    assert got.dropped.to_dict() == {"ONE": 0, "TWO": 2, "THREE": 0}
    assert len(got.stood) == 0


def test_a_member_that_lost_all_its_weight_is_still_there_when_the_better_fail():
    sure, wrong = np.array([[0.0, 0.0, 1.0]] * 60), np.array([[0.6, 0.4, 0.0]] * 60)
    sure[-1] = np.nan
    got = combine(models(np.ones(60), ONE=sure, TWO=wrong), ["ONE", "TWO"])
    assert got.weights["TWO"].iloc[-1] < 1e-300  # 59 times the log of the float epsilon
    assert mine(got)[PROBABILITIES].iloc[-1].tolist() == [0.6, 0.4, 0.0]


def test_a_member_that_is_absent_neither_earns_nor_loses():
    actual, late = np.ones(20), np.array([[0.3, 0.3, 0.4]] * 20)
    late[:10] = np.nan
    got = combine(models(actual, ONE=[[0.1, 0.2, 0.7]] * 20, TWO=late), ["ONE", "TWO"]).weights
    assert got["TWO"].iloc[:10].tolist() == pytest.approx([0.5] * 10)
    assert got["TWO"].iloc[19] < 0.01


def test_where_all_fail_the_ensemble_is_nan_and_says_so():
    table = models([1, 1, 1], ONE=ONE, TWO=TWO, BASE=[[0.2, 0.2, 0.6]] * 3)
    lost = table.index.get_level_values("time") == START + HOUR
    table.loc[lost & (table.index.get_level_values("model_id") == "ONE"), "p_buy"] = np.inf
    table = table[~(lost & (table.index.get_level_values("model_id") == "TWO"))]
    got = combine(table, ["ONE", "TWO"])
    assert got.stood.tolist() == [("A", START + HOUR)]
    row = mine(got).loc[("A", START + HOUR)]
    assert row[["prediction", *PROBABILITIES, "confidence"]].isna().all()
    assert row["actual"] == 1
    assert row["target"] == "signal_direction"
    assert np.isnan(got.disagreement.loc[("A", START + HOUR)])
    assert mine(got)["prediction"].notna().sum() == 2


@pytest.mark.parametrize("method", ["weighted", "mean", "stacking"])
def test_members_that_all_fail_everywhere_leave_rows_that_stand(method):
    table = models([1.0, 0.5], BASE=[0.1, 0.2], ONE=[np.nan, np.inf])
    got = combine(table, ["ONE", "GONE"], method=method)
    assert len(got.stood) == 2
    assert got.dropped.tolist() == [2, 2]
    assert mine(got)["prediction"].isna().all()
    np.testing.assert_array_equal(got.weights, 0.5)


@pytest.mark.parametrize("method", ["weighted", "mean"])
@pytest.mark.parametrize("numbers", [False, True])
def test_an_ensemble_of_one_is_that_model(method, numbers):
    table = world(numbers=numbers)
    table = table[table["prediction"].notna()]
    got = combine(table, ["BASE"], method=method)
    pd.testing.assert_frame_equal(mine(got), table.xs("BASE", level="model_id"), check_exact=True)
    assert (got.disagreement == 0).all()


@pytest.mark.parametrize("method", ["weighted", "stacking"])
def test_the_order_of_rows_is_irrelevant(method):
    table = world()
    mixed = table.sample(frac=1, random_state=4)
    one, two = (combine(t, ["ONE", "TWO"], method=method, least=3.0) for t in (table, mixed))
    pd.testing.assert_frame_equal(one.predictions, two.predictions, check_exact=True)
    pd.testing.assert_frame_equal(one.weights, two.weights, check_exact=True)


def test_what_was_there_stays_as_it_was_and_in_order():
    table = world()
    got = combine(table, ["ONE", "TWO"]).predictions
    assert got.index.is_monotonic_increasing
    assert list(got.columns) == list(table.columns)
    assert (got.dtypes == table.dtypes).all()
    pd.testing.assert_frame_equal(got.drop(ENSEMBLE, level="model_id"), table)
    base = table.xs("BASE", level="model_id")[["target", "fold", "known_at", "actual"]]
    pd.testing.assert_frame_equal(got.xs(ENSEMBLE, level="model_id")[list(base)], base)


def test_models_that_are_no_members_change_nothing():
    table = world()
    other = table.copy()
    base = other.index.get_level_values("model_id") == "BASE"
    other.loc[base, PROBABILITIES] = [1.0, 0.0, 0.0]
    one, two = (mine(combine(t, ["ONE", "TWO"])) for t in (table, other))
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize(
    ("members", "options", "says"),
    [
        (["ONE"], {"method": "weigthed"}, "did you mean 'weighted'"),
        ([], {}, "needs members, each once"),
        (["ONE", "ONE"], {}, "needs members, each once"),
        ("ONE", {}, "needs members, each once"),
        (["ONE"], {"half_life": 0}, "half_life of an ensemble must be above 0, was 0"),
        (["ONE"], {"least": -1.0}, "least of an ensemble must be above 0"),
        (["ONE"], {"strength": np.nan}, "strength of an ensemble must be above 0"),
    ],
)
def test_refuses_what_it_cannot_combine(members, options, says):
    with pytest.raises(ParamsError, match=says):
        combine(world(), members, **options)


def test_refuses_a_table_that_has_an_ensemble():
    table = combine(world(), ["ONE", "TWO"]).predictions
    with pytest.raises(DataError, match="hold ENSEMBLE already"):
        combine(table, ["ONE", "TWO"])
