"""collection/sentiment.py: VADER as it is, what the finance lexicon adds, and how well it does."""

import csv
import gzip
import hashlib
import io
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from signalkit.collection.news import read_news
from signalkit.collection.sentiment import LEXICON, NEUTRAL, SCORERS, score
from signalkit.errors import DataError, ParamsError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
LABELS = Path(__file__).with_name("headline_labels.csv")
shared = pytest.mark.skipif(
    not SHARED.exists(), reason="the shared market data are not beside the project"
)
TITLES = {  # file: its column of titles
    "news/bbc_business_2022-2023.csv.gz": "title",
    "news/crypto_news_2021-10_2022-07.csv.gz": "title",
    "dirty/cnbc_headlines.csv.gz": "Headlines",
    "dirty/guardian_headlines_cp1252.csv": "Headlines",
}
ORACLE = SentimentIntensityAnalyzer()


@pytest.fixture(scope="module")
def headlines():
    """Distinct real headlines of four publishers."""
    parts = [read_news(SHARED / name, tz="UTC")["title"] for name in TITLES]
    return list(dict.fromkeys(title for part in parts for title in part))


def signs(scores):
    return np.where(np.abs(scores) < NEUTRAL, 0, np.sign(scores)).astype(int)


@shared
def test_vader_alone_is_the_package_s_own_score_on_real_headlines(headlines):
    expected = [ORACLE.polarity_scores(title)["compound"] for title in headlines]
    assert score(headlines, scorer="vader").tolist() == expected


@given(st.lists(st.text(alphabet=st.sampled_from("abdeghnoty :)!?#'-.😁💘Ab"), max_size=40)))
def test_vader_alone_is_the_package_s_own_score_on_any_text(titles):
    titles += ["not good", ":)", "GREAT!!", "no good, but bad?", "😁", "(good)", "", "good\x1cbad"]
    expected = [ORACLE.polarity_scores(title)["compound"] for title in titles]
    assert score(titles, scorer="vader").tolist() == expected


@pytest.mark.parametrize(
    ("title", "sign"),
    [
        ("Bitcoin hits record high", 1),
        ("BTC sets new all-time high", 1),
        ("Stocks rally after rate cut", 1),
        ("Chipmaker beats estimates", 1),
        ("Analysts upgrade Ford", 1),
        ("Bitcoin plunges below $20,000", -1),
        ("Nasdaq enters bear market", -1),
        ("Oil sell-off deepens", -1),
        ("Exchange loses $100m in hack", -1),
        ("Retailer announces layoffs", -1),
        ("Lender files for Chapter 11", -1),
        ("Inflation at 40-year peak", -1),
        ("Stablecoin depegs", -1),
        ("Shares in gross interest", 0),
        ("Crude oil and credit: a look at assets", 0),
        ("United Airlines to report on Monday", 0),
    ],
)
def test_the_lexicon_knows_the_words_of_the_trade(title, sign):
    assert signs(score([title])).tolist() == [sign]


def test_phrases_count_once_in_any_spelling(tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("bear market,-2\nbear,1\nmarket cap,0\nbear market rally,3\n")
    texts = ["bear market", "Bear-Market", "the bear  market's end", "“bear market”", "a bear"]
    got = score([*texts, "bear market rally", "bear markets"], lexicon=own)
    # s / sqrt(s² + 15), the formula of the paper, rounded to four digits
    below, above, rally = -2 / 19**0.5, 1 / 16**0.5, 3 / 24**0.5
    assert got.tolist() == pytest.approx([*[below] * 4, above, rally, above], abs=5e-5)


def test_negation_and_emphasis_work_on_phrases_as_on_words():
    plain, negated, loud = score(["record high", "not a record high", "record high!!!"])
    assert negated < 0 < plain < loud


def test_a_score_of_zero_takes_a_word_out_adverbs_and_all():
    assert ORACLE.polarity_scores("very gross shares")["compound"] != 0
    assert score(["very gross shares", "extremely high interest rates"]).tolist() == [0, 0]


@shared
def test_the_lexicon_changes_one_headline_in_five(headlines):
    alone, ours = (signs(score(headlines, scorer=name)) for name in SCORERS[:2])
    assert 0.15 < np.mean(alone != ours) < 0.30
    assert np.mean(ours != 0) > np.mean(alone != 0)


@given(st.permutations(["Bitcoin soars", "Bank fails", "", "A plain day", "Bitcoin soars"]))
def test_a_score_depends_on_nothing_but_its_title(titles):
    alone = {title: score([title])[0] for title in titles}
    assert score(titles).tolist() == [alone[title] for title in titles]


def test_scores_are_float64_within_one_and_of_the_length_of_the_titles():
    got = score(iter(["best " * 100, "worst " * 100, "x"]))
    assert got.dtype == np.float64
    assert got.shape == (3,)
    assert np.abs(got).max() <= 1
    assert score([]).shape == (0,)


def test_repeated_titles_are_scored_once(monkeypatch):
    seen = []
    own = SentimentIntensityAnalyzer.polarity_scores
    monkeypatch.setattr(
        SentimentIntensityAnalyzer,
        "polarity_scores",
        lambda self, title: seen.append(title) or own(self, title),
    )
    assert len(set(score(["a good day"] * 50, scorer="vader").tolist())) == 1
    assert seen == ["a good day"]


@shared
def test_ten_thousand_headlines_take_seconds(headlines):
    started = time.process_time()
    score(headlines[:10_000])
    assert time.process_time() - started < 5  # 0.4 s measured: 43 µs a headline


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("surge,2\nplunge;-2", "line 2: 'plunge;-2' is no word, comma and score from -4 to 4"),
        ("surge,5", "line 1: 'surge,5'"),
        ("surge,nan", "line 1: 'surge,nan'"),
        ("surge,", "line 1: 'surge,'"),
        (",2", "line 1: ',2'"),
        ("surge,up,2", "line 1: 'surge,up,2'"),
        ("# remark\n\nsurge,2\nSurge,1", "line 4: 'surge' stands there twice"),
        ("bear market,1\nbear-market,1", "line 2: 'bear market' stands there twice"),
        ("# nothing", "no entries"),
    ],
)
def test_a_broken_lexicon_is_refused_with_file_line_and_value(tmp_path, lines, says):
    file = tmp_path / "own.csv"
    file.write_text(lines)
    with pytest.raises(ParamsError, match=says) as told:
        score(["a"], lexicon=file)
    assert str(file) in str(told.value)


def test_an_edited_lexicon_is_read_again(tmp_path):
    file = tmp_path / "own.csv"
    for value in (2, -2):
        file.write_text(f"zyx,{value}\n")
        assert signs(score(["zyx"], lexicon=file)).tolist() == [value / 2]


def test_our_lexicon_is_one_entry_a_line_within_the_scale():
    text = LEXICON.read_text(encoding="utf-8")
    rows = list(csv.reader(line for line in text.splitlines() if not line.startswith("#")))
    assert rows[0] == ["word", "score"]
    assert all(-4 <= float(value) <= 4 for _, value in rows[1:])
    assert len(rows) > 150


def test_words_of_no_feeling_are_words_that_vader_scores():
    rows = [line.split(",") for line in LEXICON.read_text().splitlines() if line.endswith(",0")]
    words = [word for word, _ in rows if " " not in word]
    assert [word for word in words if word not in ORACLE.lexicon] == []


@pytest.mark.parametrize(
    ("titles", "options", "error", "says"),
    [
        (["a"], {"scorer": "textblob"}, ParamsError, "'textblob' is none of vader,"),
        (["a"], {"scorer": "vader", "lexicon": "x.csv"}, ParamsError, "lexicon is for vader_fin"),
        (["a"], {"lexicon": "no/such.csv"}, ParamsError, "no/such.csv: cannot be read"),
        (["a"], {"scorer": "transformer"}, ParamsError, "transformer needs one"),
        (["a"], {"model": "x"}, ParamsError, "no other takes one"),
        ("a title", {}, ParamsError, "titles is one text"),
        (["a", float("nan")], {}, DataError, "title 1 is nan, no text"),
    ],
)
def test_refuses_what_it_cannot_score(titles, options, error, says):
    with pytest.raises(error, match=says):
        score(titles, **options)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ParamsError, match=r"pip install 'signalkit\[transformer\]'"):
        score(["a"], scorer="transformer", model="some/model-1")


def test_a_model_is_asked_for_locally_in_safetensors_and_without_its_code(monkeypatch):
    asked = []

    def refuse(model, **options):
        asked.append((model, options))
        if len(asked) == 2:
            raise OSError("no file named model.safetensors")

    auto = types.SimpleNamespace(from_pretrained=refuse)
    fake = types.SimpleNamespace(AutoTokenizer=auto, AutoModelForSequenceClassification=auto)
    monkeypatch.setitem(sys.modules, "transformers", fake)
    with pytest.raises(ParamsError, match=r"'some/model-2' is no local .* model\.safetensors"):
        score(["a"], scorer="transformer", model="some/model-2")
    local = {"local_files_only": True, "trust_remote_code": False}
    assert asked == [("some/model-2", local), ("some/model-2", local | {"use_safetensors": True})]


def raw_titles(name, column):
    """Titles as they stand in a file."""
    data = (SHARED / name).read_bytes()
    data = gzip.decompress(data) if name.endswith("gz") else data
    text = data.decode("cp1252" if "cp1252" in name else "utf-8")
    return [row[column] for row in csv.DictReader(io.StringIO(text, newline=""))]


@pytest.mark.skipif(not LABELS.exists(), reason="no labels beside the tests")
@shared
def test_agreement():
    """Signs against a person's labels, unseen while the lexicon was written."""
    with LABELS.open(newline="") as file:
        labels = {row["sha256"]: int(row["label"]) for row in csv.DictReader(file)}
    titles = {title for name, column in TITLES.items() for title in raw_titles(name, column)}
    found = {hashlib.sha256(title.encode()).hexdigest(): title for title in titles}
    texts, actual = zip(*((found[key], label) for key, label in labels.items()), strict=True)
    signed = {name: signs(score(texts, scorer=name)) for name in SCORERS[:2]}
    right = {name: int(np.sum(got == actual)) for name, got in signed.items()}
    # the lexicon is no better than VADER alone at three signs: one title in a hundred worse,
    # well within chance. Calling every title neutral is right 45 times.
    assert right == {"vader": 53, "vader_finance": 52}
    assert actual.count(0) == 45
    assert len(actual) == 100
    # seen afterwards, and no proof on the same titles: its scores lie closer to the labels
    close = {name: np.corrcoef(score(texts, scorer=name), actual)[0, 1] for name in signed}
    assert close == {
        "vader": pytest.approx(0.328, abs=5e-4),
        "vader_finance": pytest.approx(0.411, abs=5e-4),
    }
