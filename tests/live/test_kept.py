"""live/kept.py: a replay is made once for the same study, acts on nothing, and says why not."""

import pandas as pd
import pytest

from signalkit import live
from signalkit.errors import StoreError
from signalkit.live import kept
from signalkit.live.replay import Replay
from signalkit.study import Study

SMALL = {
    "collection": {"symbols": ["SP500"], "end": "2004-12-31"},
    "features": {"names": ["return_5", "rsi_14"]},
    "training": {"models": ["LIGHTGBM"], "rounds": 3},
    "validation": {
        "train": 400, "test": 200, "draws": 100, "holdout_from": "2004-01-01", "placebos": 0,
    },
    "inference": {"replay": 3},
    "monitoring": {"window": 50, "on_alarm": "retire", "retrain_every": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A small study, walked."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SIGNALKIT_DATA", str(tmp_path_factory.mktemp("kept") / "data"))
        patched.setenv("SIGNALKIT_THREADS", "1")
        opened = Study.open("small", **SMALL)
        yield opened


@pytest.fixture(scope="module")
def made(study):
    """Its replay, made now."""
    return live.replayed(study)


@pytest.fixture
def refuse(monkeypatch):
    """Make a replay a failure."""

    def never(*given, **named):
        raise AssertionError("what is kept was made again")

    monkeypatch.setattr(kept, "replay", never)


def test_a_replay_is_read_where_it_was_made_with_the_same_tables(made, refuse):
    found, remark = made
    assert remark == ""
    assert found.served["apart"].max() == 0
    assert len(found.weights) == 3
    again, _ = live.replayed(Study.open("another", **SMALL))
    for name in ("served", "joint", "weights", "drills"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(again, name))


def test_numbers_are_served_as_they_were_validated_with_their_interval(study):
    number = SMALL | {"labeling": {"target": "target_return", "horizon": 1}}
    found, remark = live.replayed(Study.open("number", **number))
    assert remark == ""
    assert found.served["apart"].max() == 0
    assert found.weights["apart"].max() == 0
    low, high = map(float, found.joint["set"].iloc[-1].split())
    value = found.drills.at["nothing is broken", "value"]
    assert low < value < high
    assert found.drills["confidence"].isna().all()


def test_the_models_of_a_rehearsal_are_watched_and_nothing_is_done(study, monkeypatch):
    asked = []

    def watch(given, *, bars):
        asked.append((given.params.monitoring, bars))
        return Replay(*(pd.DataFrame({"a": [1]}) for _ in range(4)))

    monkeypatch.setattr(kept, "replay", watch)
    live.replayed(Study.open("small", **SMALL | {"inference": {"replay": 2}}))
    ((monitoring, bars),) = asked
    assert bars == 2
    assert (monitoring.on_alarm, monitoring.retrain_every, monitoring.window) == ("tell", None, 50)


def test_other_bars_are_another_replay(made, refuse):
    with pytest.raises(AssertionError, match="made again"):
        live.replayed(Study.open("small", **SMALL | {"inference": {"replay": 4}}))


def test_a_study_that_cannot_be_served_has_empty_tables_and_a_reason(study):
    alone = SMALL | {"training": SMALL["training"] | {"pooled": False}}
    found, remark = live.replayed(Study.open("alone", **alone))
    assert "set training.pooled to true" in remark
    assert found.served.empty
    assert list(found.served.index.names) == ["symbol", "time", "model_id"]
    assert {"p_buy", "apart"} <= set(found.served)
    assert {"served", "backtested", "apart"} == set(found.weights)
    assert found.drills.empty


def test_a_kept_replay_that_somebody_changed_is_refused(study, made):
    for file in study.store.artifacts.folder.glob("replay/*/served.parquet"):
        file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(StoreError, match="is not what was written"):
        live.replayed(study)
