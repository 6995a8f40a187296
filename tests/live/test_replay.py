"""live/replay.py: what is served again is what was validated, and broken things are told."""

import pytest

from signalkit.errors import DataError
from signalkit.live import replay
from signalkit.study import Study

SMALL = {
    "collection": {"symbols": ["SP500"], "end": "2006-12-31"},
    "features": {"families": ["price", "calendar"]},
    "training": {"rounds": 5},
    "validation": {
        "train": 400, "test": 200, "draws": 100, "holdout_from": "2005-01-01", "placebos": 0,
    },
    "monitoring": {"window": 50},
}  # fmt: skip


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """A small study and its last 8 bars, served again."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SIGNALKIT_DATA", str(tmp_path_factory.mktemp("replayed") / "data"))
        patched.setenv("SIGNALKIT_THREADS", "1")
        study = Study.open("small", **SMALL)
        yield study, replay(study, bars=8)


def test_every_answer_has_the_bits_of_the_walk_forward(replayed):
    study, found = replayed
    assert found.served.groupby("model_id").size().to_dict() == {
        "ENSEMBLE": 8, "LIGHTGBM": 8, "XGBOOST": 8
    }  # fmt: skip
    assert found.served["apart"].max() == 0
    walked = study.validate().reindex(found.served.index)
    assert (found.served["p_buy"] == walked["p_buy"]).all()


def test_joint_answers_and_positions_stand_beside_theirs(replayed):
    study, found = replayed
    assert len(found.joint) == len(found.weights) == 8
    assert found.joint["left_out"].eq(0).all()
    quiet = found.joint["flags"].eq("").all()
    assert not quiet or found.weights["apart"].max() == pytest.approx(0, abs=1e-12)
    assert (
        found.weights["backtested"] == study.signals()["weight"].reindex(found.weights.index)
    ).all()


def test_each_drill_says_who_answers(replayed):
    told = replayed[1].drills
    assert told["answered by"].tolist() == ["deployed", "deployed", "none", "deployed", "rule"]
    assert "stale" in told["flags"].iloc[1]
    assert "too_old" in told["flags"].iloc[2]
    assert (told["left out"].iloc[3], told["votes"].iloc[3]) == ("XGBOOST", 1)
    assert told["value"].isna().tolist() == [False, False, True, False, False]


def test_models_of_one_symbol_each_are_refused(own_store):
    alone = SMALL | {"training": {"rounds": 5, "pooled": False}}
    with pytest.raises(DataError, match="pooled to true"):
        replay(Study.open("small", **alone), bars=3)
