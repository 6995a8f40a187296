"""index.py: what a reader sees first."""

from types import SimpleNamespace

import pandas as pd
from bs4 import BeautifulSoup

from signalkit.params import Params
from signalkit.reports import index

COLUMNS = ["value", "low", "high", "baseline", "lead", "lead_low", "lead_high"]
NUMBERS = dict.fromkeys(COLUMNS, 0.5)
WORDS = ["An edge is seen: x.", "Too good: <AUC> is 0.9.", "Bars are held out."]


def rendered(alarms):
    """The index of a study that only tells."""
    verdict = pd.DataFrame([NUMBERS | {"trials": 1, "says": "better"}], ["AUC"])
    account = SimpleNamespace(table=lambda _: pd.DataFrame({"strategy": 1.0, "hold": 1.0}, ["x"]))
    study = SimpleNamespace(
        params=Params(),
        verdict=lambda: verdict.rename_axis("measure"),
        words=lambda: [told for told in WORDS if told in alarms or told != WORDS[1]],
        alarms=lambda: alarms,
        backtest=lambda: account,
        store=SimpleNamespace(ledger=SimpleNamespace(head=lambda: "0")),
    )
    return BeautifulSoup(index.render(study, [], {}, "asks"), "html.parser")


def test_an_alarm_stands_in_red_before_the_verdict():
    page = rendered(WORDS[1:2])
    first, second = page.select(".headline")
    assert (first["role"], first.get_text(strip=True)) == ("alert", WORDS[1])
    assert "alarm" in first["class"]
    assert second.get_text(strip=True) == WORDS[0]
    assert page.get_text().count(WORDS[1]) == 1
    assert [item.get_text() for item in page.select("li")] == WORDS[2:]


def test_without_an_alarm_the_verdict_is_the_headline():
    page = rendered([])
    (only,) = page.select(".headline")
    assert only.get_text() == WORDS[0]
    assert not page.select('[role="alert"]')
