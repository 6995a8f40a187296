"""A real Chromium, tabs that remember what they did, and one report of the quickstart."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")

# no name is ever looked up and the browser does no errands of its own: whatever a tab asks for,
# its page asked for
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass
class Tab:
    """A page, the addresses it asked for, the requests that failed, what the console said."""

    page: Page
    asked: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("requestfailed", lambda request: self.failed.append(request.url))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("console", self._hear)

    def _hear(self, message):
        if message.type in {"error", "warning"}:
            self.said.append(f"{message.type}: {message.text}")


@pytest.fixture(scope="session")
def chromium():
    """Path of a Chromium."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip(f"needs a browser: none of {', '.join(NAMES)} is on PATH")
    return found


@pytest.fixture(scope="module")  # its event loop must be gone before the tests of other folders
def browser(chromium):
    """Chromium without a window; playwright starts it with --no-sandbox, which root needs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def new_tab(browser):
    """A function that opens a tab; options are those of a playwright context."""

    def open_tab(width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        return Tab(context.new_page())

    return open_tab


@pytest.fixture(scope="session")
def report(chromium, quickstart_made):
    """Folder of the quickstart's report."""
    return quickstart_made / "reports" / "quickstart"
