"""features.py: one row a feature, whole or not at all."""

import json

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError
from signalkit.store import Store, audit

CHECKED = pd.Timestamp("2024-05-01 12:30", tz="UTC")


def table(*names, **columns):
    """Features of a family, one with an importance."""
    rows = {
        "family": "price",
        "description": "a column",
        "warmup": np.int64(3),
        "importance": [{"models": {"XGBOOST": {"gain": 0.25, "low": None}}}] * len(names),
        "active": True,
    }
    return pd.DataFrame(rows | columns, index=list(names))


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as opened:
        yield opened


def test_what_was_written_is_read_by_name(store):
    store.write_features(table("b", "a", active=[True, False]), leak_checked_at=CHECKED)
    got = store.read_features()
    assert got.index.tolist() == ["a", "b"]
    assert got["active"].tolist() == [False, True]
    assert got.loc["a", "importance"] == {"models": {"XGBOOST": {"gain": 0.25, "low": None}}}
    assert got["warmup"].tolist() == [3, 3]
    assert (got["leak_checked_at"] == CHECKED).all()


def test_the_database_holds_plain_text_and_numbers(store):
    store.write_features(table("a"), leak_checked_at=CHECKED)
    (row,) = store.db["ml_features"].rows
    assert row["leak_checked_at"] == "2024-05-01T12:30:00+00:00"
    assert json.loads(row["importance"])["models"]["XGBOOST"]["gain"] == 0.25
    assert (row["active"], row["warmup"], row["family"]) == (1, 3, "price")


def test_a_second_write_replaces_its_features_and_leaves_the_others(store):
    store.write_features(table("a", "b"), leak_checked_at=CHECKED)
    store.write_features(table("b", description="new", importance=None))
    got = store.read_features()
    assert got["description"].to_dict() == {"a": "a column", "b": "new"}
    assert got.loc["b", "importance"] is None
    assert got.loc["a", "leak_checked_at"] == CHECKED
    assert pd.isna(got.loc["b", "leak_checked_at"])


def test_what_somebody_switched_off_stays_off_when_features_are_written_again(store):
    about = {"family": "price", "description": "a column", "warmup": 3, "actor": "me"}
    store.write_features(table("a", "b"))
    store.switch_feature("a", False, **about)
    store.switch_feature("c", False, **about)
    store.write_features(table("a", "b", description="new"), leak_checked_at=CHECKED)
    got = store.read_features()
    assert got["enabled"].to_dict() == {"a": False, "b": True, "c": False}
    assert got["active"].to_dict() == {"a": True, "b": True, "c": False}
    assert got.loc["a", "description"] == "new"
    store.switch_feature("a", True, **about)
    assert store.read_features().loc["a", "enabled"]
    rows = [(row["actor"], row["action"], row["subject"]) for row in audit.page(store.db)]
    assert rows == [("me", n, f"feature {f}") for n, f in zip(
        ["enable", "disable", "disable"], "aca", strict=True
    )]  # fmt: skip


def test_an_empty_store_has_no_features(store):
    got = store.read_features()
    assert got.empty
    assert list(got) == [
        "family", "description", "warmup", "importance", "active", "leak_checked_at", "enabled"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (table("a").drop(columns="family"), r"lack the columns \['family'\]"),
        (table("a", "a"), "feature 'a' stands twice"),
        (table("b", "a", importance=[{}, {"gain": np.nan}]), "of feature 'a' is not JSON"),
        (table("b", "a", importance=[{}, {"gain": {1, 2}}]), "of feature 'a' is not JSON"),
    ],
)
def test_what_is_no_table_of_features_is_refused_and_nothing_is_written(store, broken, says):
    with pytest.raises(DataError, match=says):
        store.write_features(broken)
    assert store.read_features().empty
