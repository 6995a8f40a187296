"""Admin pages in a real browser: nothing breaks their content policy, and they can be used."""

import subprocess
import sys

import pytest

from tests.serving.house import furnish

TOKEN = "browser-" + "t" * 30
SERVE = "import sys; from pathlib import Path; from signalkit.serving import run; "
SERVE += "run(Path(sys.argv[1]), port=0, tell=lambda link: print(link, flush=True))"
PATHS = ["", "/ml_models", "/ml_models/2", "/bars", "/nothing", "/models", "/predictions"]
PATHS += ["/features", "/sessions", "/performance", "/alarms", "/ledger", "/audit"]


@pytest.fixture(scope="module")
def link(chromium, outside, tmp_path_factory):
    """The link of a server over a furnished house."""
    folder = tmp_path_factory.mktemp("house")
    furnish(folder)
    command = [sys.executable, "-c", SERVE, str(folder)]
    environment = outside | {"SIGNALKIT_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        yield server.stdout.readline().strip()
        server.terminate()
        assert server.wait(10) == 0


@pytest.fixture(scope="module")
def tab(link, new_tab):
    """A tab that came by the printed link."""
    tab = new_tab()
    tab.page.goto(f"{link}&next=/admin/")
    return tab


def test_the_token_leaves_the_address_bar(tab, link):
    assert "token=" in link
    tab.page.goto(f"{link}&next=/admin/")
    assert tab.page.url == link.split("/login")[0] + "/admin/signalkit"


@pytest.mark.parametrize("path", PATHS)
def test_no_page_breaks_its_content_policy(tab, link, path):
    tab.said.clear()
    tab.page.goto(link.split("/login")[0] + "/admin/signalkit" + path)
    said = [words for words in tab.said if "404" not in words]  # the page that is not there
    assert said == []
    assert tab.page.locator("h1").count() == 1


def test_a_column_can_be_sorted_from_its_menu(tab, link):
    tab.said.clear()
    tab.page.goto(link.split("/login")[0] + "/admin/signalkit/ml_models")
    tab.page.locator("th[data-column=prediction_horizon] svg").click()
    tab.page.get_by_text("Sort ascending").click()
    tab.page.wait_for_url("**/ml_models?_sort=prediction_horizon")
    assert tab.said == []
