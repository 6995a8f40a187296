"""telling.py: an alarm is read first, in red, in the notebook and on the page made of it."""

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from signalkit.reports.page import to_html
from signalkit.study import telling

WORDS = ["No edge is seen: x.", "Too good: AUC's <distance> & more.", "Bars are held out."]
ALARMS = WORDS[1:2]


def items(html):
    """Text of every item of a list, and whether it is in red."""
    found = BeautifulSoup(html, "html.parser").find_all("li")
    return [(item.get_text(strip=True), "#b2182b" in item.get("style", "")) for item in found]


def test_alarms_come_first_and_alone_are_red():
    expected = [(WORDS[1], True), (WORDS[0], False), (WORDS[2], False)]
    assert telling.ordered(WORDS, ALARMS) == expected
    assert items(telling.as_html(WORDS, ALARMS)) == expected


def test_without_an_alarm_nothing_is_red():
    assert items(telling.as_html(WORDS, [])) == [(told, False) for told in WORDS]


def test_the_page_of_a_notebook_keeps_the_red_around_the_words():
    data = {"text/html": telling.as_html(WORDS, ALARMS), "text/plain": "x"}
    shown = nbformat.v4.new_output("execute_result", data, execution_count=1)
    cell = nbformat.v4.new_code_cell("1", outputs=[shown], execution_count=1)
    page = to_html(nbformat.v4.new_notebook(cells=[cell]), "x")
    assert items(page) == [(WORDS[1], True), (WORDS[0], False), (WORDS[2], False)]


def told_of(*equity, reasons=(), weight=0.5):
    """What is told of an account of some days whose trades ended so."""
    days = pd.date_range("2024-01-01", periods=len(equity), tz="UTC")
    trades = pd.DataFrame({"exit_reason": list(reasons)}, dtype=str)
    weights = pd.DataFrame({"weight": [0.0, weight]})
    return " ".join(telling.account(pd.Series(equity, days, dtype=float), trades, weights))


MANY = ["signal"] * 30


@pytest.mark.parametrize(
    ("equity", "asked", "says"),
    [
        ((1, 1.1), {"reasons": MANY}, ""),
        ((1, 1.1), {"reasons": [*MANY[1:], "open"]}, "29 are closed; under 30 of them"),
        ((1, 1.1), {"reasons": ["brake"]}, "Of the trades 1 is closed"),
        ((1, 1), {"weight": 0.0}, "There is no trade: no position was asked for."),
        ((1, 1), {}, "There is no trade: positions were asked for, and no order was filled."),
        ((1, 0.5), {"reasons": MANY}, "The account lost 50% of its capital"),
        ((1, 0.00001), {"reasons": MANY}, "The account lost 99.99% of its capital"),
        ((1, 0, 0), {"reasons": MANY}, "ruined: nothing is left from 2024-01-02 on."),
    ],
)
def test_what_a_sharpe_ratio_hides_is_told_of_the_account(equity, asked, says):
    found = told_of(*equity, **asked)
    assert (says in found) if says else (found == "")
