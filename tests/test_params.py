"""params.py: every refusal names file, line, name, value and the way out; what passes, lasts."""

import re
from datetime import UTC, date, datetime

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from signalkit import params
from signalkit.collection import defects
from signalkit.errors import ParamsError


@pytest.fixture
def read(tmp_path):
    """Params of a YAML text, in a file named bad.yaml."""

    def reader(text, encoding="utf-8"):
        (tmp_path / "bad.yaml").write_text(text, encoding=encoding)
        return params.read(tmp_path / "bad.yaml")

    return reader


def section(name, **optional):
    return st.fixed_dictionaries({}, optional=optional).map(lambda found: (name, found))


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", fullmatch=True)
STUDIES = st.tuples(
    section(
        "collection",
        symbols=st.lists(NAMES, min_size=1, max_size=3, unique=True),
        interval=st.sampled_from(["1m", "15m", "4h", "1d", "1w"]),
        start=st.dates(date(1999, 1, 1), date(2004, 12, 31)).map(date.isoformat) | st.none(),
        calendar=st.text(max_size=8),
    ).map(lambda found: (found[0], {"source": "files", "path": "{symbol}.csv"} | found[1])),
    section("labeling", horizon=st.integers(1, 10**6), threshold=st.floats(0, 1e9)),
    section("training", learning_rate=st.floats(1e-12, 1), seed=st.integers(0, 2**31 - 1)),
    section(
        "validation",
        holdout_from=st.datetimes(datetime(2005, 1, 1), datetime(2020, 1, 1)).map(str),
        test=st.integers(1, 500),
        step=st.none() | st.integers(500, 900),
        expanding=st.booleans(),
    ),
    section("backtesting", fee_bps=st.floats(0, 1000), open_holdout=st.booleans()),
    st.tuples(st.just("study_name"), NAMES),
).map(dict)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(STUDIES)
def test_params_come_back_equal_from_a_dump_and_from_yaml(tmp_path_factory, content):
    asked = params.parse({"study_name": "study"} | content)
    assert params.parse(asked.model_dump()) == asked
    file = tmp_path_factory.mktemp("params") / "study.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    assert params.read(file) == asked


@pytest.mark.parametrize(
    ("text", "line", "place", "says"),
    [
        ("labeling:\n  horizn: 5", 2, "labeling.horizn", "'horizn'; did you mean 'horizon'?"),
        ("labeling: {zzz: 5}", 1, "labeling.zzz", "it declares target, horizon, threshold"),
        ("# why\nlabelling: {}", 2, "labelling", "'labelling'; did you mean 'labeling'?"),
        ("qqqq: {}", 1, "qqqq", "a study does not declare 'qqqq'; it declares study_name, coll"),
        ("collection:\n  start: 2016-02-30", 2, "collection.start", "no date: day is out of ran"),
        ("collection: {end: soon}", 1, "collection.end", "'soon' is no date.*write one such as '"),
        ("collection: {start: 2016}", 1, "collection.start", "valid string, was 2016"),
        ("training: {learning_rate: 1e-3}", 1, "training.learning_rate", "'1e-3'; .*a point such"),
        ("training: {learning_rate: 1.5e1}", 1, "training.learning_rate", "'1.5e1'; YAML reads it"),
        ("training: {depth: true}", 1, "training.depth", "valid integer, was True"),
        ("training: {rounds: 5.0}", 1, "training.rounds", "valid integer, was 5.0"),
        ("training: {rounds: '5'}", 1, "training.rounds", "valid integer, was '5'"),
        ("validation: {expanding: 1}", 1, "validation.expanding", "valid boolean, was 1"),
        ("labeling: {threshold: .nan}", 1, "labeling.threshold", "a finite number, was nan"),
        ("labeling: {threshold: .inf}", 1, "labeling.threshold", "a finite number, was inf"),
        ("labeling: {threshold: -0.5}", 1, "labeling.threshold", "or equal to 0, was -0.5"),
        ("labeling: {horizon: 0}", 1, "labeling.horizon", "or equal to 1, was 0"),
        ("labeling: 5", 1, "labeling", "valid dictionary.*was 5"),
        ("training: {models: [LSTN]}", 1, "training.models.0", "was 'LSTN'; did you mean 'LSTM'"),
        ("collection: {interval: 1y}", 1, "collection.interval", "one of m, h, d, w, .*was '1y'"),
        ("collection: {symbols: []}", 1, "collection.symbols", "at least 1 item"),
        ("collection: {symbols: BTC}", 1, "collection.symbols", "a valid list, was 'BTC'"),
        ("collection: {symbols: [../x]}", 1, "collection.symbols.0", "digits.*was '../x'"),
        ("collection: {symbols: [a/b]}", 1, "collection.symbols.0", "digits.*was 'a/b'"),
        ("collection: {symbols: ['..']}", 1, "collection.symbols.0", "digits.*was '..'"),
        ("collection: {symbols: ['a\\b']}", 1, "collection.symbols.0", "digits.*was 'a"),
        ("collection: {symbols: ['']}", 1, "collection.symbols.0", "digits.*was ''"),
        ("study_name: ../../etc", 1, "study_name", "digits.*was '../../etc'"),
        ("collection: {source: files}", 1, "collection.source", "files needs collection.path"),
        ("collection: {path: x.csv}", 1, "collection.path", "no path, was 'x.csv'; set source: f"),
        ("validation: {step: 9}", 1, "validation.step", r"at least test \(250\), was 9"),
        (
            "training: {models: [LSTM, XGBOOST], selection: {by: gain, keep: 3}}",
            1,
            "training.selection.by",
            "and LSTM has none; name XGBOOST or LIGHTGBM first",
        ),
        (
            "training: {models: [LSTM], calibration: {share: 0.5}}",
            1,
            "training.calibration.share",
            "takes 65% of a training window.*take 60% at most",
        ),
        # YAML reads ON as true and 0700 as octal: the way out is a pair of quotes
        ("collection: {symbols: [ON]}", 1, "collection.symbols.0", "True.*quote"),
        ("collection: {symbols: [0700]}", 1, "collection.symbols.0", "448.*quote"),
    ],
)
def test_a_refusal_names_file_line_name_value_and_way_out(read, text, line, place, says):
    with pytest.raises(ParamsError, match=rf"bad\.yaml line {line}, {re.escape(place)}: .*{says}"):
        read(text)


def test_a_share_to_stop_on_counts_where_a_model_stops_alone(read):
    found = read("training: {models: [LIGHTGBM], calibration: {share: 0.5}}")
    assert found.training.calibration.share == 0.5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("labeling: {}\nlabeling: {}", "line 1: 'labeling' stands twice in one section; keep one"),
        ("labeling:\n  horizon: 5\n  horizon: 6", "line 2: 'horizon' stands twice"),
        ("labeling:\n  5: 1", "line 2: the name 5 is not text; quote it"),
        ("on: {}", "line 1: the name True is not text; quote it"),
        ("? [a]\n: 1", "line 1: the name .* is not text"),
        ("- labeling\n- training", r"must hold sections such as 'labeling:', was \['labeling'"),
        ("just words", "must hold sections such as 'labeling:', was 'just words'"),
        ("labeling: {horizon: 5", "is not YAML: .*line 1"),
        ("labeling:\n\thorizon: 5", "is not YAML: .*line 2"),
        ("labeling: {}\n---\ntraining: {}", "is not YAML: expected a single document"),
        ("labeling: !!python/name:os.system ''", "is not YAML: .*python/name:os.system"),
        ("labeling: \x01", "is not YAML: unacceptable character"),
    ],
)
def test_a_file_that_is_no_params_file_is_refused(read, text, says):
    with pytest.raises(ParamsError, match=rf"bad\.yaml.*{says}"):
        read(text)


def test_a_file_in_another_encoding_is_refused(read):
    with pytest.raises(ParamsError, match=r"bad\.yaml.*(UTF|utf)-8"):
        read("# what does the caf\xe9 say?\nstudy_name: quickstart", encoding="cp1252")


def test_a_path_without_a_file_is_refused(tmp_path):
    with pytest.raises(ParamsError, match=r"none\.yaml: no such params file"):
        params.read(tmp_path / "none.yaml")
    with pytest.raises(ParamsError, match=re.escape(str(tmp_path))):
        params.read(tmp_path)


@pytest.mark.parametrize("text", ["", "# only a question?", "{}", "---", "labeling: {}"])
def test_a_file_that_asks_for_nothing_asks_for_the_sample(read, text):
    assert read(text).model_copy(update={"study_name": "quickstart"}) == params.Params()
    assert params.Params().collection.source == "sample"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "collection:\n  start: 2010-01-01\nvalidation:\n  holdout_from: 2009-12-31",
            "line 4, validation.holdout_from: .* after collection.start '2010-01-01', was '2009-",
        ),
        (
            "validation: {holdout_from: 2010-01-01}\ncollection: {start: 2010-01-01}",
            "line 1, validation.holdout_from: must come after collection.start",
        ),
        (
            "collection: {start: '2010-01-01T01:00+02:00'}\n"
            "validation: {holdout_from: '2009-12-31T23:00'}",
            "line 2, validation.holdout_from: must come after collection.start",
        ),
        (
            "collection:\n  end: 2015-12-31",
            "line 2, collection.end: must come after validation.holdout_from '2016-01-01', was",
        ),
        ("collection: {start: 2017-01-01}", "yaml, validation.holdout_from: .*, was '2016-01-01'"),
    ],
)
def test_start_holdout_and_end_follow_each_other(read, text, says):
    with pytest.raises(ParamsError, match=says):
        read(text)


def test_a_date_stays_the_text_it_was(read):
    asked = read("collection: {start: 1999-02-28}\nvalidation: {holdout_from: '2010-06-01T12:00Z'}")
    assert asked.collection.start == "1999-02-28"
    assert asked.validation.holdout_from == "2010-06-01T12:00Z"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2016-01-31", datetime(2016, 1, 31, tzinfo=UTC)),
        ("2016-01-31T12:30", datetime(2016, 1, 31, 12, 30, tzinfo=UTC)),
        ("2016-01-31T12:30+02:00", datetime(2016, 1, 31, 10, 30, tzinfo=UTC)),
        ("20160131", datetime(2016, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_date_without_a_zone_is_utc(text, moment):
    assert params.timestamp(text) == moment == pd.Timestamp(moment)


@pytest.mark.parametrize(
    "text", ["2015-02-29", "2016-13-01", "1.2.2016", "", "0001-01-01T00+05:00"]
)
def test_what_is_no_date_is_refused(text):
    with pytest.raises(ParamsError, match=f"{re.escape(repr(text))} is no date.*such as"):
        params.timestamp(text)


def test_a_configuration_is_all_but_the_name_and_the_door_of_the_holdout():
    plain = params.Params()
    renamed = params.parse({"study_name": "other", "backtesting": {"open_holdout": True}})
    assert renamed != plain
    assert renamed.configuration() == plain.configuration()
    assert set(plain.configuration()) == set(params.SECTIONS) - {"inference", "monitoring"}


@pytest.mark.parametrize(
    "section", [{"inference": {"replay": 7}}, {"monitoring": {"window": 60, "on_alarm": "tell"}}]
)
def test_what_is_done_with_a_deployed_study_makes_no_other_trial(section):
    changed = params.parse(section)
    assert changed != params.Params()
    assert changed.configuration() == params.Params().configuration()


@pytest.mark.parametrize(
    ("name", "value"),
    [("window", 1), ("alpha", 1.0), ("drift_window", 0), ("on_alarm", "panic"), ("alpha", 0.0)],
)
def test_monitoring_that_could_not_be_done_is_refused(name, value):
    with pytest.raises(ParamsError, match=f"monitoring.{name}"):
        params.parse({"monitoring": {name: value}})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("collection", {"symbols": ["SP500"]}),
        ("features", {"names": ["return_1"]}),
        ("labeling", {"horizon": 6}),
        ("training", {"seed": 8}),
        ("validation", {"gap": 1}),
        ("validation", {"holdout_from": "2016-01-04"}),
        ("signals", {"threshold": 0.1}),
        ("backtesting", {"fee_bps": 3.0}),
    ],
)
def test_any_other_change_is_another_configuration(name, change):
    assert params.parse({name: change}).configuration() != params.Params().configuration()


def test_params_cannot_be_changed_after_they_were_read():
    with pytest.raises(ValueError, match="frozen"):
        params.Params().labeling.horizon = 9


def test_the_question_is_the_comment_on_top(tmp_path):
    file = tmp_path / "asks.yaml"
    file.write_text("# Does volume help?\n#  Issue 31.\nstudy_name: x\n# not this\n")
    assert params.question(file) == "Does volume help? Issue 31."
    file.write_text("study_name: x\n# not this\n")
    assert params.question(file) == ""


def test_a_later_refusal_finds_its_line(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("# why\ncollection:\n  source: sample\n  symbols: [SP50]\nlabeling: {}\n")
    assert params.line_of(file, "collection.symbols: the sample lacks 'SP50'") == " line 4"
    assert params.line_of(file, "collection.start and end: no bars") == " line 2"
    assert params.line_of(file, "training.models: none") == ""


def test_names_that_no_study_declares_are_refused():
    params.check_names(["study_name", *params.SECTIONS])
    with pytest.raises(ParamsError, match="'labelling'; did you mean 'labeling'"):
        params.check_names(["labeling", "labelling"])
    with pytest.raises(ParamsError, match=r"params, labeling\.horizn: .*did you mean 'horizon'"):
        params.parse({"labeling": {"horizn": 5}})


def test_every_defect_that_a_file_may_hide_may_be_allowed():
    asked = params.parse({"collection": {"allow": list(defects.NAMES)}})
    assert asked.collection.allow == list(defects.NAMES)


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("allow: [spike]", "collection.allow.0", "'spikes'.*was 'spike'"),
        ("tz: Mars/Base", "collection.tz", "a zone has a name such as UTC .*was 'Mars/Base'"),
        ("tz: ../etc", "collection.tz", "a zone has a name"),
        ("news: {tz: CST}", "collection.news.tz", "a zone has a name"),
        ("news: {latency: '-5min'}", "collection.news.latency", "such as 5min.*was '-5min'"),
        ("news: {latency: x}", "collection.news.latency", "such as 5min.*was 'x'"),
        ("news: {latency: 5}", "collection.news.latency", "valid string, was 5"),
        ("news: {source: store, latency: 5min}", "collection.news.latency", "file alone.*5min"),
        ("news: {source: store, tz: UTC}", "collection.news.tz", "file alone, was 'UTC' with sto"),
        ("simulator: {outages: 0.06}", "collection.simulator.outages", "was 0.06"),
    ],
)
def test_zones_latencies_and_defects_that_are_none_are_refused(read, text, place, says):
    with pytest.raises(ParamsError, match=rf"{re.escape(place)}: .*{says}"):
        read("collection:\n  " + text)


@pytest.mark.parametrize("latency", ["1min", "30s", "1.5h", "2 h", "0s"])
def test_a_latency_is_a_number_and_a_unit(read, latency):
    asked = read(f"collection: {{news: {{source: file, path: x.csv, latency: {latency}}}}}")
    assert pd.Timedelta(asked.collection.news.latency) >= pd.Timedelta(0)
