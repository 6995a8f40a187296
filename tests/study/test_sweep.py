"""sweep.py: every tried threshold is a trial with its series, and luck is deflated by it."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import ParamsError, StoreError
from signalkit.study import Study
from signalkit.study.luck import trials

SECTIONS = {
    "collection": {"symbols": ["SP500"], "end": "2006-12-31"},
    "features": {"families": ["price", "calendar"]},
    "training": {"rounds": 5, "models": ["LIGHTGBM"]},
    "validation": {
        "train": 400,
        "test": 200,
        "draws": 100,
        "holdout_from": "2005-01-01",
        "placebos": 0,
    },
}
# the third is the study's own
TRIED = [0.05, 0.02, 0.0, 0.1, 0.9]


def study(**changes):
    """The study, with some sections changed."""
    return Study.open("swept", **SECTIONS | changes)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A store in which the study was seen and then swept: luck before, the table, luck after."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNALKIT_DATA", str(tmp_path_factory.mktemp("swept") / "data"))
        patch.setenv("SIGNALKIT_THREADS", "1")
        before = study().luck()
        table = study().sweep(TRIED)
        yield before, table, study().luck()


def test_every_threshold_is_a_trial_and_the_studys_own_is_not_a_second_one(swept):
    before, table, after = swept
    assert table.index.tolist() == TRIED
    assert before["trials"] == 1
    assert after["trials"] == 5
    assert study().store.ledger.count() == 5
    study().store.ledger.check()


def test_what_was_tried_deflates_the_sharpe_ratio_and_is_ranked(swept):
    before, _, after = swept
    assert before["deflated_sharpe"] == before["probabilistic_sharpe"]
    assert after["deflated_sharpe"] < after["probabilistic_sharpe"]
    assert after["deflated_sharpe"] < before["deflated_sharpe"]
    assert after["effective_trials"] > before["effective_trials"] == 1
    assert np.isnan(before["pbo"])
    assert 0 <= after["pbo"] <= 1
    assert after["spa"] != before["spa"]  # the best of five against holding, not one
    assert study().verdict()["trials"].unique().tolist() == [5]


def test_series_of_every_threshold_are_the_ones_that_luck_reads(swept):
    count, series = trials(study())
    assert count == series.shape[1] == 5
    sharpes = sorted(per_bar(series[name]) for name in series)
    told = sorted(swept[1]["sharpe_annual"].fillna(0) / study().periods_per_year ** 0.5)
    assert sharpes == pytest.approx(told, abs=1e-12)


def per_bar(returns):
    """Sharpe ratio of a bar, 0 where nothing moves."""
    spread = returns.std(ddof=1)
    return returns.mean() / spread if spread > 0 else 0.0


def test_the_result_at_the_studys_own_threshold_is_the_studys_own_account(swept):
    own = study().backtest().table("statistics")["strategy"]
    at = swept[1].loc[study().params.signals.threshold]
    pd.testing.assert_series_equal(at, own, check_exact=True, check_names=False)


def test_the_result_at_another_threshold_is_that_of_a_study_that_asks_for_it(swept):
    other = study(signals={"threshold": 0.05})
    own = other.backtest().table("statistics")["strategy"]
    assert other.computed == []  # it was seen, so it is read
    pd.testing.assert_series_equal(swept[1].loc[0.05], own, check_exact=True, check_names=False)
    assert other.store.ledger.count() == 5


def test_less_is_traded_the_higher_the_threshold(swept):
    exposure = swept[1]["exposure"].sort_index()
    assert exposure.is_monotonic_decreasing
    assert exposure[0.0] > exposure[0.9] == 0


def test_a_rerun_adds_no_trial_and_gives_the_same_bits(swept):
    head = study().store.ledger.head()
    again = study().sweep([*TRIED, 0.05, -0.0])
    pd.testing.assert_frame_equal(again, swept[1], check_exact=True)
    assert study().store.ledger.head() == head


@pytest.mark.parametrize(
    ("thresholds", "says"),
    [
        ([], r"thresholds must be at least one, such as"),
        ([0.3, -0.1], r"signals.threshold: .*-0.1"),
        ([0.3, 1.0], r"signals.threshold: .*1.0"),
        ([0.3, float("nan")], r"signals.threshold: .*nan"),
    ],
)
def test_thresholds_that_cannot_be_are_refused_before_any_is_tried(swept, thresholds, says):
    head = study().store.ledger.head()
    with pytest.raises(ParamsError, match=says):
        study().sweep(thresholds)
    assert study().store.ledger.head() == head


def test_a_holdout_is_never_swept(swept):
    opened = study(backtesting={"open_holdout": True})
    table = opened.sweep(TRIED)
    pd.testing.assert_frame_equal(table, swept[1], check_exact=True)
    assert study().opened() == 0
    assert opened.store.ledger.count(holdout=True) == 0


def test_a_tried_threshold_that_was_taken_out_of_the_ledger_is_missed(swept):
    db = study().store.db
    row = dict(next(db["trials"].rows_where("seq = 3")))
    db["trials"].delete(3)
    try:
        with pytest.raises(StoreError, match="the trial ledger misses the row before row 4"):
            study().luck()
    finally:
        db["trials"].insert(row)
    assert study().luck()["trials"] == 5
