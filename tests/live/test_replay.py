"""What is served again is what was validated, broken things are told, rehearsals are kept."""

import pytest
import yaml
from click.testing import CliRunner

from signalkit import cli
from signalkit.errors import DataError, StoreError
from signalkit.live import Loop, rehearsal, replay
from signalkit.store import Store, data_folder
from signalkit.store.locks import Lock
from signalkit.study import Study
from tests.live.houses import dump

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


class Stopped(Exception):
    """Somebody pulled the plug."""


def stops_at(monkeypatch, count):
    """Have the loop die at its n-th step from now."""
    step, steps = Loop.step, []

    def dying(loop, at=None):
        steps.append(at)
        if len(steps) == count:
            raise Stopped
        return step(loop, at)

    monkeypatch.setattr(Loop, "step", dying)
    return steps


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
    assert told.index[[0, 3, 4]].tolist() == [
        "nothing is broken",
        "the files of one model were changed",
        "the files of every model were changed",
    ]
    assert told["answered by"].tolist() == ["deployed", "deployed", "none", "deployed", "rule"]
    assert "stale" in told["flags"].iloc[1]
    assert "too_old" in told["flags"].iloc[2]
    assert (told["left out"].iloc[3], told["votes"].iloc[3]) == ("XGBOOST", 1)
    assert told["value"].isna().tolist() == [False, False, True, False, False]


def test_models_of_one_symbol_each_are_refused(own_store):
    alone = SMALL | {"training": {"rounds": 5, "pooled": False}}
    with pytest.raises(DataError, match="pooled to true"):
        replay(Study.open("small", **alone), bars=3)


def test_a_rehearsal_is_a_data_folder_that_goes_on_where_it_was_stopped(replayed, monkeypatch):
    study, found = replayed
    with monkeypatch.context() as patched:
        stops_at(patched, 4)
        with pytest.raises(Stopped):
            rehearsal(study, bars=8)
    with monkeypatch.context() as patched:
        steps = stops_at(patched, 99)
        folder = rehearsal(study, bars=8)
        assert len(steps) == 5
        assert rehearsal(study, bars=8) == folder
        assert len(steps) == 5
    assert folder.parent == study.store.folder / "rehearsals"
    with Store.open(folder) as store:
        rows = dump(store)["ml_predictions"]
        told = store.watch.state("rehearsal")
    assert len(rows) == len(found.served)
    said = found.served.xs("ENSEMBLE", level="model_id")
    assert [told["from"], told["to"]] == [said.index[at][1].isoformat() for at in (0, -1)]
    mine = [row["prediction_value"] for row in rows if row["made_by"] == "ENSEMBLE"]
    assert sorted(mine) == sorted(said["prediction"])


def test_a_rehearsal_of_other_bars_or_watched_otherwise_is_another(replayed, monkeypatch):
    study, _ = replayed
    monkeypatch.setattr("signalkit.live.played.play", lambda *_: {})
    folder = rehearsal(study, bars=2)
    assert rehearsal(study, bars=1) != folder
    told = Study.open("small", **SMALL | {"monitoring": {"window": 51}})
    assert rehearsal(told, bars=2) != folder


def test_a_rehearsal_that_another_process_plays_is_left_alone(replayed, monkeypatch):
    study, _ = replayed
    monkeypatch.setattr("signalkit.live.played.play", lambda *_: {})
    lock = Lock(rehearsal(study, bars=2) / "locks" / "rehearsal.lock")
    assert lock.take()
    with pytest.raises(StoreError, match="another process plays"):
        rehearsal(study, bars=2)
    lock.release()


def test_serve_rehearses_a_study_and_serves_its_folder(replayed, tmp_path, monkeypatch):
    study, _ = replayed
    asked, opened = tmp_path / "small.yaml", []
    asked.write_text(yaml.safe_dump(study.params.model_dump(mode="json")))
    monkeypatch.setattr("signalkit.live.played.play", lambda *_: {})
    monkeypatch.setattr("signalkit.serving.running.run", lambda *a, **_: opened.append(a[0]))
    monkeypatch.setenv("SIGNALKIT_DATA", str(data_folder()))
    done = CliRunner().invoke(cli.main, ["serve", "--rehearse", str(asked), "--no-live"])
    assert done.exit_code == 0, done.output
    assert opened == [rehearsal(study)]
