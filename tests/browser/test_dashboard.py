"""The dashboard as a person meets it: a real server, a real worker, a real browser."""

import os
import re
import signal
import subprocess
import sys

import pytest
from axe_playwright_python.sync_playwright import Axe

from signalkit.store import Store
from tests.serving.filled import RUN, fill
from tests.serving.trained import collect, walk

TOKEN = "browser-" + "b" * 32
ADMIN = {
    "tables": "admin/signalkit",
    "table": "admin/signalkit/ml_models",
    "row": "admin/signalkit/ml_models/1",
    "query": "admin/signalkit/sessions",
}
PAGES = {
    "overview": "",
    "models": "models/",
    "model": "models/1/",
    "training": "training/",
    "session": "training/1/",
    "predictions": "predictions/",
    "performance": "performance/",
    "signals": "signals/",
    "features": "features/",
    "alarms": "alarms/",
    "backtests": "backtests/",
    "backtest": f"backtests/{RUN}/",
    "audit": "audit/",
    "refusal": "models/99/",
}
LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"width": 360},
}
TRAINED_MS = 180_000


class Server:
    """`signalkit serve` over a data folder, in a process of its own."""

    def __init__(self, folder, *options):
        env = os.environ | {"SIGNALKIT_DATA": str(folder), "SIGNALKIT_TOKEN": TOKEN}
        words = [sys.executable, "-m", "signalkit.cli", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.address = re.search(r"http://[^/]+", line)[0]

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        self.process.stdout.close()


@pytest.fixture(scope="module")
def full(chromium, tmp_path_factory):
    """A server over a store with something on every page; nothing runs beside it."""
    folder = tmp_path_factory.mktemp("full")
    fill(folder)
    server = Server(folder, "--no-worker", "--no-live")
    yield server
    server.close()


@pytest.fixture(scope="module")
def works(chromium, tmp_path_factory):
    """A server with its worker, over hourly bars of one coin."""
    folder = tmp_path_factory.mktemp("works")
    with Store.open(folder) as store:
        collect(store, walk(600))
    server = Server(folder, "--no-live")
    yield server
    server.close()


def enter(tab, server):
    """Log in by the form."""
    tab.page.goto(f"{server.address}/ml/")
    tab.page.get_by_label("Token").fill(TOKEN)
    tab.page.get_by_role("button", name="Log in").click()
    tab.page.wait_for_url("**/ml/")
    return tab.page


def test_from_log_in_over_training_and_deploying_to_log_out(works, new_tab):
    tab = new_tab()
    page = enter(tab, works)
    assert "No model is registered yet" in page.locator("main").inner_text()

    page.get_by_role("link", name="Training", exact=True).first.click()
    page.get_by_label("Model type").select_option("XGBOOST")
    page.get_by_label("Hours ahead").fill("4")
    page.get_by_label("BTCUSDT").check()
    page.get_by_role("button", name="Train").click()
    page.wait_for_url("**/ml/training/1/?done=train")
    assert "queued" in page.get_by_role("status").first.inner_text()

    # the script follows: nobody reads the page again
    page.get_by_text("completed").first.wait_for(timeout=TRAINED_MS)
    assert page.locator("progress").get_attribute("value") == "1.0"
    page.locator("#h-made + ul a").click()

    page.get_by_role("button", name="Deploy").click()
    page.wait_for_url("**/ml/models/1/?done=deploy")
    assert "deployed" in page.locator("h1").inner_text()

    page.get_by_role("link", name="Predictions").click()
    page.get_by_role("button", name="Predict").click()
    page.wait_for_url("**/ml/predictions/?done=*")
    assert page.url.endswith("done=predict")
    row = page.locator("tbody tr").first.inner_text()
    assert re.search(r"BTCUSDT", row)
    assert re.search(r"buy|hold|sell", row)
    assert re.search(r"\d+\.\d %", row)

    page.goto(f"{works.address}/ml/models/1/")
    page.get_by_label("put it away all the same").check()
    page.get_by_role("button", name="Archive").click()
    page.wait_for_url("**/ml/models/1/?done=archive")
    assert "archived" in page.locator("h1").inner_text()
    assert page.locator("#t-changes").count() == 1

    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    page.goto(f"{works.address}/ml/")
    assert "/login" in page.url
    assert tab.said == []
    page.context.close()


def serious(page):
    """What axe finds that keeps somebody out: rule, and where."""
    faults = Axe().run(page).response["violations"]
    grave = [f for f in faults if f["impact"] in ("serious", "critical")]
    return [(f["id"], [n["html"][:160] for n in f["nodes"][:3]]) for f in grave]


def test_the_judge_of_accessibility_sees_a_fault(new_tab):
    page = new_tab().page
    page.set_content("<html lang=en><title>t</title><main><input><img src='data:,'></main></html>")
    assert {f["id"] for f in Axe().run(page).response["violations"]} >= {"image-alt", "label"}
    page.context.close()


@pytest.mark.parametrize(
    "look", ["light", *(pytest.param(n, marks=pytest.mark.certify) for n in ("dark", "phone"))]
)
def test_no_page_has_a_serious_fault_of_accessibility(full, new_tab, tmp_path, look):
    tab = new_tab(**LOOKS[look])
    tab.page.goto(f"{full.address}/login")
    assert serious(tab.page) == []
    page = enter(tab, full)
    found = {}
    for name, path in ({n: f"ml/{p}" for n, p in PAGES.items()} | ADMIN).items():
        page.goto(f"{full.address}/{path}")
        page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
        found[name] = serious(page)
        page.screenshot(path=tmp_path / f"{name}-{look}.png", full_page=True)
    assert {name: faults for name, faults in found.items() if faults} == {}
    assert len(list(tmp_path.glob("*.png"))) == len(PAGES) + len(ADMIN)
    page.context.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_sideways_and_nothing_is_asked_of_elsewhere(full, new_tab, width):
    tab = new_tab(width=width)
    page = enter(tab, full)
    for path in PAGES.values():
        page.goto(f"{full.address}/ml/{path}")
        assert page.locator("html").evaluate("e => e.scrollWidth - e.clientWidth") <= 0, path
    assert [u for u in tab.asked if not u.startswith((full.address, "data:"))] == []
    # a refusal has the status of one, and the browser says so
    assert [s for s in tab.said if "404" not in s] == []
    page.context.close()


def test_a_chart_tells_its_values_to_mouse_and_keys(full, new_tab):
    tab = new_tab()
    page = enter(tab, full)
    page.goto(f"{full.address}/ml/signals/")
    plot, tip = page.locator(".plot").first, page.locator(".tip").first
    assert tip.is_hidden()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 64, box["y"] + 60)
    assert tip.inner_text().splitlines()[1] == "the signal, after costs: 1.00 ×"
    page.mouse.move(0, 0)
    assert tip.is_hidden()
    plot.focus()
    page.keyboard.press("End")
    assert "1.29 ×" in tip.inner_text()
    page.keyboard.press("ArrowLeft")
    assert "1.28 ×" in tip.inner_text()
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    page.context.close()


def test_without_script_everything_but_readings_is_there(full, new_tab):
    tab = new_tab(java_script_enabled=False)
    page = enter(tab, full)
    page.goto(f"{full.address}/ml/training/1/")
    page.get_by_role("link", name="Read it again").click()
    assert page.get_by_role("status").first.inner_text().endswith("queued")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url("**/ml/training/1/?done=cancel")
    assert page.locator("h1").inner_text().startswith("GRU")
    page.goto(f"{full.address}/ml/performance/")
    page.locator("summary").first.click()
    assert page.locator("details table").first.is_visible()
    page.context.close()


def test_by_keyboard_the_menu_can_be_skipped_and_focus_is_seen(full, new_tab):
    tab = new_tab()
    page = enter(tab, full)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the page")
    assert skip.evaluate("e => e === document.activeElement")
    assert skip.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
    page.context.close()
