"""luck.py: every number from the ledger's trials of the same market, as significance gives it."""

import numpy as np
import pandas as pd
import pytest

from signalkit import lineage, significance
from signalkit.errors import StoreError
from signalkit.study import Study
from signalkit.study.luck import luck, trials

N = 400
ASKED = {
    "collection": {"source": "binance", "symbols": ["BTCUSDT", "ETHUSDT"], "interval": "1h"},
    "features": {"names": ["return_1"]},
    "validation": {"draws": 200},
}


def returns(seed, *, n=N, drift=0.0, start="2024-01-01"):
    """Returns after costs of a strategy, and of holding, one an hour."""
    times = pd.date_range(start, periods=n, freq="h", tz="UTC", name="time")
    hold = np.random.default_rng(99).normal(0, 0.01, n)
    own = drift + np.random.default_rng(seed).standard_t(5, n) * 0.01
    return pd.DataFrame({"strategy": own, "hold": hold}, times)


class Traded(Study):
    """A study whose simulation gave these returns; they are stored and recorded as any other's."""

    table: pd.DataFrame

    def backtest(self):
        about = {"stage": "backtesting", "of": self.configuration(), "sum": self.fingerprint()}
        about["identity"] = lineage.digest(about)
        found = self.store.artifacts.find("backtesting", about["identity"])
        made = found or self.store.artifacts.write(about, tables={"returns": self.table})
        series = lineage.file_digest(made.path("returns.parquet"))
        told = {"series": series, "artifact": made.identity}
        self.store.ledger.record(self.configuration(), **told)
        return made

    def fingerprint(self):
        return lineage.digest(self.table["strategy"].tolist())


def study(seed=1, *, table=None, **changes):
    """A study with some names changed, that was traded."""
    sections = {name: dict(section) for name, section in ASKED.items()}
    for name, section in changes.items():
        sections[name] = sections.get(name, {}) | section
    found = Traded.open("lucky", **sections)
    found.table = returns(seed) if table is None else table
    found.backtest()
    return found


def tried(count, **changes):
    """So many other configurations of the market, each with returns of its own."""
    fees = [{"backtesting": {"fee_bps": 3.0 + i}} for i in range(count)]
    return [study(10 + i, **fee, **changes) for i, fee in enumerate(fees)]


def test_numbers_of_several_trials_are_those_of_significance_called_by_hand(own_store):
    mine, others = study(1, table=returns(1, drift=0.001)), tried(4)
    table = pd.DataFrame({"this": mine.table["strategy"]})
    for i, other in enumerate(others):
        table[f"other {i}"] = other.table["strategy"]
    own, hold = mine.table["strategy"].to_numpy(), mine.table["hold"]
    effective = significance.effective_trials(table)
    sharpes = (table.mean() / table.std(ddof=1)).to_numpy()
    search = {"block": mine.block, "draws": 200, "seed": mine.params.training.seed}
    expected = {
        "trials": 5.0,
        "effective_trials": effective,
        "probabilistic_sharpe": significance.probabilistic_sharpe(own),
        "deflated_sharpe": significance.deflated_sharpe(own, sharpes, n_trials=effective),
        "min_track_record": significance.min_track_record(own, level=0.95),
        "bars": float(N),
        "pbo": significance.pbo(table, blocks=16).pbo,
        "spa": significance.spa(-hold, -table, **search)["consistent"],
        "shared": float(N),
        "compared_from": 32.0,  # two bars for each of 16 blocks
    }
    got = luck(mine)
    assert list(got.index) == list(expected)
    assert got.to_dict() == pytest.approx(expected)
    assert got["deflated_sharpe"] < got["probabilistic_sharpe"]
    assert 1 < got["effective_trials"] <= 5


def test_returns_of_every_trial_stand_side_by_side_on_the_times_that_all_have(own_store):
    mine = study(1)
    late = returns(2, start="2024-01-05", n=N)
    study(2, table=late, signals={"threshold": 0.1})
    count, table = trials(mine)
    assert count == 2
    assert table.index.equals(mine.table.index.intersection(late.index))
    assert np.array_equal(table["this"], mine.table["strategy"].reindex(table.index))
    (other,) = table.columns.drop("this")
    assert np.array_equal(table[other], late["strategy"].reindex(table.index))


def test_one_trial_leaves_nothing_to_choose_from(own_store):
    mine = study(1, table=returns(1, drift=0.001))
    got, own = luck(mine), mine.table["strategy"].to_numpy()
    assert got["trials"] == 1
    assert got["effective_trials"] == 1
    # of one trial the best has no luck to be deflated by: the benchmark is 0
    assert got["deflated_sharpe"] == significance.probabilistic_sharpe(own)
    assert np.isnan(got["pbo"])
    search = {"block": mine.block, "draws": 200, "seed": mine.params.training.seed}
    hold = mine.table["hold"]
    expected = significance.spa(-hold, -mine.table[["strategy"]], **search)["consistent"]
    assert got["spa"] == expected


def test_returns_that_never_move_have_a_count_and_no_number(own_store):
    still = returns(1).assign(strategy=0.0)
    mine = study(1, table=still)
    tried(2)
    got = luck(mine)
    assert got[["trials", "bars"]].tolist() == [3.0, float(N)]
    assert got.drop(["trials", "bars", "shared", "compared_from"]).isna().all()


def test_another_trial_that_never_moved_counts_and_has_no_sharpe_ratio(own_store):
    mine, other = study(1), study(2, signals={"threshold": 0.2})
    still = study(3, table=returns(3).assign(strategy=0.0), signals={"threshold": 0.9})
    table = pd.DataFrame({s.fingerprint(): s.table["strategy"] for s in (mine, other, still)})
    moves = table.iloc[:, :2]
    sharpes = (moves.mean() / moves.std(ddof=1)).to_numpy()
    effective = significance.effective_trials(table)
    got, own = luck(mine), mine.table["strategy"].to_numpy()
    assert got["trials"] == 3
    assert got["effective_trials"] == pytest.approx(effective)
    assert got["deflated_sharpe"] == pytest.approx(
        significance.deflated_sharpe(own, sharpes, n_trials=effective)
    )
    assert got["pbo"] == significance.pbo(moves, blocks=16).pbo


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"collection": {"symbols": ["ETHUSDT", "ADAUSDT"]}}, 2),
        ({"collection": {"symbols": ["ETHUSDT"]}}, 2),
        ({"collection": {"symbols": ["ADAUSDT"]}}, 1),
        ({"collection": {"source": "kraken"}}, 1),
        ({"collection": {"interval": "4h"}}, 1),
        ({"collection": {"start": "2015-02-01"}}, 2),
        ({"labeling": {"horizon": 6}}, 2),
        ({"training": {"seed": 8}}, 2),
    ],
    ids=str,
)
def test_trials_of_the_same_market_count_and_those_of_another_do_not(own_store, changes, count):
    mine = study(1)
    study(2, **changes)
    found, table = trials(mine)
    assert found == count
    assert table.shape[1] == count
    assert luck(mine)["trials"] == count


def test_a_trial_of_the_holdout_does_not_count(own_store):
    mine = study(1)
    before = luck(mine)
    asked = study(2, signals={"threshold": 0.2}).configuration() | {"another": 1}
    both = luck(mine)
    mine.store.ledger.record(asked, series="s", artifact=mine.backtest().identity, holdout=True)
    assert both["trials"] == before["trials"] + 1
    pd.testing.assert_series_equal(luck(mine), both)


def test_a_configuration_that_ran_again_is_one_trial_however_its_returns_came_out(own_store):
    old = study(5)
    new = study(6)
    assert old.configuration() == new.configuration()
    count, table = trials(new)
    assert count == 1
    assert list(table) == ["this"]
    assert np.array_equal(table["this"], new.table["strategy"])
    assert luck(new)["effective_trials"] == 1


def test_of_another_configuration_that_ran_again_the_newest_returns_count(own_store):
    mine = study(1)
    study(5, signals={"threshold": 0.2})
    newest = study(6, signals={"threshold": 0.2})
    count, table = trials(mine)
    assert count == 2
    assert np.array_equal(table.drop(columns="this").iloc[:, 0], newest.table["strategy"])


def test_trials_of_a_search_count_with_the_spread_of_those_that_have_returns(own_store):
    mine, other = study(1), study(2, signals={"threshold": 0.2})
    for number in range(6):
        asked = mine.configuration() | {"trial": {"number": str(number)}}
        mine.store.ledger.record(asked, series=f"s{number}", artifact="validation")
    table = pd.DataFrame({s.fingerprint(): s.table["strategy"] for s in (mine, other)})
    sharpes = (table.mean() / table.std(ddof=1)).to_numpy()
    effective = significance.effective_trials(table) * 8 / 2
    got, own = luck(mine), mine.table["strategy"].to_numpy()
    assert got["trials"] == 8
    assert got["effective_trials"] == pytest.approx(effective)
    assert got["deflated_sharpe"] == pytest.approx(
        significance.deflated_sharpe(own, sharpes, n_trials=effective)
    )


def test_a_search_alone_is_deflated_by_the_spread_that_luck_has(own_store):
    mine = study(1)
    for number in range(3):
        asked = mine.configuration() | {"trial": {"number": str(number)}}
        mine.store.ledger.record(asked, series=f"s{number}", artifact="validation")
    got = luck(mine)
    assert got["trials"] == got["effective_trials"] == 4
    own = mine.backtest().table("returns")["strategy"].to_numpy()
    # the variance of a Sharpe ratio without skill is 1 / n: Lo (2002)
    beaten = significance.expected_max_sharpe(4, 1 / len(own))
    assert got["deflated_sharpe"] == significance.probabilistic_sharpe(own, beaten)
    assert got["deflated_sharpe"] < got["probabilistic_sharpe"]


def test_a_trial_whose_artifact_is_gone_counts_without_its_returns(own_store):
    mine, other = study(1), study(2, signals={"threshold": 0.2})
    third = study(3, signals={"threshold": 0.3})
    folder = third.backtest().folder
    folder.rename(folder.with_name("gone"))
    count, table = trials(mine)
    assert count == 3
    assert table.shape[1] == 2
    share = significance.effective_trials(table) * 3 / 2
    assert luck(mine)["effective_trials"] == pytest.approx(share)
    assert other.fingerprint() != third.fingerprint()


@pytest.mark.parametrize("common", [0, 20, 31])
def test_trials_that_share_few_times_are_counted_and_not_compared(own_store, common):
    mine = study(1)
    begin = mine.table.index[-common] if common else mine.table.index[-1] + pd.Timedelta(1, "h")
    study(2, table=returns(2, start=begin), signals={"threshold": 0.2})
    got = luck(mine)
    assert got["trials"] == 2
    assert got[["effective_trials", "deflated_sharpe", "pbo", "spa"]].isna().all()
    assert got[["probabilistic_sharpe", "min_track_record"]].notna().all()
    assert got[["shared", "compared_from"]].tolist() == [common, 32]


def test_trials_that_share_fewer_times_than_a_block_are_not_compared(own_store):
    mine = study(1, labeling={"horizon": 24})
    study(2, table=returns(2, start=mine.table.index[-50]), signals={"threshold": 0.2})
    assert mine.block == luck(mine)["compared_from"] == 96
    assert luck(mine)[["effective_trials", "deflated_sharpe", "pbo", "spa"]].isna().all()


def test_trials_that_stand_still_where_they_meet_are_not_compared(own_store):
    still = returns(1)
    still.iloc[-100:, 0] = 0.0
    mine = study(1, table=still)
    other = returns(2, start=still.index[-100])
    study(2, table=other.assign(strategy=0.0), signals={"threshold": 0.2})
    got = luck(mine)
    assert got["trials"] == 2
    assert np.isnan(got["pbo"])
    assert got["deflated_sharpe"] <= got["probabilistic_sharpe"]
    assert got["probabilistic_sharpe"] == significance.probabilistic_sharpe(
        still["strategy"].to_numpy()
    )


def test_a_ledger_that_was_tampered_with_gives_no_number(own_store):
    mine, other = study(1), study(2, signals={"threshold": 0.2})
    assert luck(mine)["trials"] == 2
    db = mine.store.db
    db.execute("UPDATE trials SET params = replace(params, 'binance', 'kraken') WHERE seq = 2")
    db.conn.commit()
    with pytest.raises(StoreError, match="row 2 of the trial ledger was changed"):
        luck(mine)
    db.execute("DELETE FROM trials WHERE seq = 2")
    db.conn.commit()
    with pytest.raises(StoreError, match="the trial ledger misses its newest rows"):
        luck(mine)
    assert other.configuration() != mine.configuration()


def test_returns_that_were_tampered_with_give_no_number(own_store):
    mine, other = study(1), study(2, signals={"threshold": 0.2})
    place = other.backtest().path("returns.parquet")
    (other.table * 2).to_parquet(place)
    with pytest.raises(StoreError, match=r"returns.parquet is not what was written"):
        luck(mine)


def test_luck_repeats(own_store):
    mine = study(1)
    tried(3)
    pd.testing.assert_series_equal(luck(mine), luck(mine))
