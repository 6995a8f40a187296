"""telling.py: an alarm is read first, in red, in the notebook and on the page made of it."""

import nbformat
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
