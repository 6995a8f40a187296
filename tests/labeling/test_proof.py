"""proof.py: every kind of label is in the table, and the table can fail."""

import pytest

from signalkit import labeling
from signalkit.causality import probe_bars
from signalkit.labeling import proof


@pytest.fixture(scope="module")
def table():
    return labeling.proofs(probe_bars(45, seed=5))


def test_every_target_and_every_option_is_in_the_table(table):
    assert {name.split()[0] for name in table.index} == {*labeling.TARGETS, "meta_label"}
    words = {word for name in table.index for word in name.split()[1:]}
    options = {*proof.SCALES, *proof.ESTIMATORS, *proof.FILLS, *proof.SIDES, *proof.ENTRIES}
    options |= {"touch", "sign"}  # touched by the close; the sign at the vertical barrier
    assert options <= words


def test_every_label_of_every_kind_is_known_at_its_known_at_and_not_before(table):
    assert table["passed"].all()
    assert (table[["changed", "unmoved"]] == 0).all(axis=None)
    # all bars but the warm-up and those that are not settled
    assert (table["labels"] >= 45 - 10 - 6).all()


def test_a_kind_that_reads_too_far_is_told(monkeypatch):
    def early(bars, horizon):
        labels = labeling.target_return(bars, horizon)
        return labels.assign(known_at=bars.index[1 : 1 + len(labels)])

    monkeypatch.setattr(proof, "_kinds", lambda: {"early": (early, {})})
    found = proof.proofs(probe_bars(45)).loc["early"]
    assert not found["passed"]
    assert found["changed"] > 30
