"""monitoring/halves.py: the later half is held to what the earlier promised, and says if it was."""

import numpy as np
import pandas as pd
import pytest

from signalkit.monitoring import Alarm, halves, in_turn, kept, settled
from signalkit.study import Study

SMALL = {
    "collection": {"symbols": ["SP500", "NASDAQ"], "end": "2004-06-30"},
    "features": {"names": ["return_5", "rsi_14", "std_20"]},
    "training": {"rounds": 3},
    "validation": {
        "train": 300, "test": 200, "draws": 100, "holdout_from": "2003-07-01", "placebos": 0,
    },
    "monitoring": {"window": 60, "drift_window": 60},
}  # fmt: skip
ONE = {"models": ["LIGHTGBM"], "rounds": 3}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A small study of two symbols, simulated."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SIGNALKIT_DATA", str(tmp_path_factory.mktemp("halves") / "data"))
        patched.setenv("SIGNALKIT_THREADS", "1")
        yield Study.open("small", **SMALL)


@pytest.fixture(scope="module")
def seen(study):
    """What is seen of its later half."""
    return halves(study)


@pytest.fixture
def answers(study):
    """The ensemble's settled predictions."""
    found = study.validate().xs("ENSEMBLE", level="model_id")
    return found[found["actual"].notna()]


def test_halves_meet_where_a_fold_begins_and_nothing_is_left_out_without_a_reason(study, seen):
    assert seen.since in set(study.evidence("folds")["test_from"])
    assert seen.since < seen.broken
    assert (seen.window, seen.overlap, seen.remarks) == (120, 10, ())


def test_the_promise_reads_only_outcomes_known_when_the_later_half_begins(seen, answers):
    times = answers.index.get_level_values("time")
    early = answers[(times < seen.since) & (answers["known_at"] < seen.since)]
    right = early[["p_sell", "p_hold", "p_buy"]].to_numpy().argmax(axis=1) - 1 == early["actual"]
    assert seen.claims.at["accuracy", "value"] == pytest.approx(right.mean(), abs=1e-12)
    assert seen.promise.at["accuracy", "value"] == pytest.approx(right.mean(), abs=1e-12)
    row = seen.claims["value"]
    assert row["lead"] == pytest.approx(row["accuracy"] - row["baseline"], abs=1e-12)


def test_the_copy_is_right_at_every_third_bar_whatever_came(seen, answers):
    times = answers.index.get_level_values("time")
    early = answers[(times < seen.since) & (answers["known_at"] < seen.since)]
    right = settled(early)["right"].astype(float)
    clock = sorted(right.index.unique("time"))[::3]
    right[right.index.get_level_values("time").isin(clock)] = 1.0
    assert seen.claims.at["lent", "value"] == pytest.approx(right.mean(), abs=1e-12)


def test_evidence_is_that_of_an_alarm_which_follows_the_later_half(seen, answers):
    later = answers[answers.index.get_level_values("time") >= seen.since]
    alarm = Alarm(seen.claims.at["accuracy", "low"], overlap=seen.overlap)
    alarm.follow(in_turn(later))
    row = seen.alarms.loc["the ensemble"]
    assert (row["outcomes"], row["highest"]) == (alarm.n, alarm.highest)
    assert seen.evidence["the ensemble"].iloc[-1] == alarm.evidence


def test_streams_are_the_same_but_for_the_lent_outcomes(seen):
    assert seen.alarms.at["its copy", "right"] == seen.alarms.at["the ensemble", "right"]
    assert seen.alarms.at["its copy", "claim"] > seen.alarms.at["the ensemble", "claim"] + 0.1
    before = seen.evidence.index < seen.broken
    # who is right as often as claimed earns the bettor nothing
    assert seen.evidence.loc[before, "its copy"].max() < 20


def test_windows_are_full_and_each_is_judged(seen):
    assert (seen.scores["n"] == seen.window).all()
    assert seen.kept.equals(kept(seen.scores, seen.promise, window=seen.window))
    counted = seen.answer[["worse", "better"]].sum(axis=1)
    assert counted.equals((~seen.kept.isin(["kept"])).sum().rename(None))
    assert {"coverage", "after_cost_return"} <= set(seen.answer.index)


def test_a_shifted_column_is_found_and_stands_beside_the_true_ones(seen):
    (name,) = seen.shifted.index
    assert seen.shifted.at[name, "moved"]
    assert seen.shifted.at[name, "psi"] > seen.inputs.at[name, "psi"]
    assert seen.shifted.at[name, "psi_inside"] == seen.inputs.at[name, "psi_inside"]
    assert set(seen.outputs.index) == {"p_sell", "p_hold", "p_buy", "confidence"}


def test_the_lead_is_the_mean_difference_on_the_bars_of_the_later_half(study, seen):
    names = (seen.challenger, seen.champion)
    assert set(names) == {"XGBOOST", "LIGHTGBM"}
    table = study.validate()
    right = [settled(table.xs(name, level="model_id"))["right"].astype(float) for name in names]
    apart = (right[0] - right[1])[lambda d: d.index.get_level_values("time") >= seen.since]
    assert seen.lead["lead"].iloc[-1] == pytest.approx(apart.mean(), abs=1e-12)


def test_words_say_whether_there_was_skill_to_lose_and_what_rang(seen):
    promised = seen.claims.at["lead", "low"] > 0
    assert seen.words[0].startswith("Skill was promised" if promised else "No skill was promised")
    rang = seen.alarms["raised_at"].notna()
    for said, raised in zip(seen.words[1:3], rang, strict=True):
        assert ("was raised at the bar of" in said) == raised
    assert seen.html.count("<li") == len(seen.words)
    assert ("<strong>" in seen.html) == rang["the ensemble"]


def test_an_alarm_on_the_study_itself_comes_first_and_in_red(seen):
    rang = seen.alarms.assign(raised_at=pd.Timestamp("2006-01-03 21:00", tz="UTC"), after=7.0)
    told = type(seen)(**{name: getattr(seen, name) for name in ("since", "broken", "window")},
                      overlap=10, champion="A", challenger="B", alarms=rang)  # fmt: skip
    first, second = told.html.split("</li>")[:2]
    assert "the ensemble" in first
    assert "<strong>" in first
    assert "<strong>" not in second


def test_too_few_bars_leave_parts_out_and_say_which(study):
    asked = SMALL | {"monitoring": {"window": 5000, "drift_window": 5000}}
    found = halves(Study.open("small", **asked))
    assert found.promise.empty
    assert found.kept.empty
    assert found.answer.empty
    assert found.inputs.empty
    assert len(found.alarms) == 2
    assert "hold no two windows of 10000" in found.remarks[0]
    assert found.remarks[-1].startswith("drift: drift over 5000 times needs")
    assert found.words[-1].startswith("Not told: drift")


def test_a_volatility_has_scores_and_no_alarm(study):
    asked = SMALL | {"labeling": {"target": "target_volatility"}, "training": ONE}
    found = halves(Study.open("small", **asked))
    assert found.alarms.empty
    assert found.lead.empty
    assert found.claims.empty
    assert "mse" in found.answer.index
    assert "alarm, challenger: a volatility has no side" in found.remarks[0]


def test_numbers_are_right_where_their_sign_is(study):
    asked = SMALL | {"labeling": {"target": "target_return"}, "training": ONE}
    own = Study.open("small", **asked)
    found, table = halves(own), own.validate().xs("ENSEMBLE", level="model_id")
    late = table[table["actual"].notna() & (table.index.get_level_values("time") >= found.broken)]
    right = np.sign(late["prediction"]) == np.sign(late["actual"])
    assert found.alarms.at["the ensemble", "right"] == pytest.approx(right.mean(), abs=1e-12)
    assert (found.champion, found.challenger) == ("LIGHTGBM", "MAJORITY")
