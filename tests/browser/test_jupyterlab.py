"""Every notebook, restarted and run to its end in a real JupyterLab, each on an empty store.

The server is that of `make lab`, over copies of the notebooks with their outputs taken out.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
COMMITTED = {file.name: file.read_bytes() for file in NOTEBOOKS}
TOKEN = "for-the-tests"  # the server listens on the loopback for as long as this file runs
UP, OPEN, DONE = 60, 60, 240  # seconds: server, notebook and kernel, all cells

# the notebook in front; promises are turned into marks because marks can be waited for with a limit
SESSION = "window.jupyterapp?.shell?.currentWidget?.context?.sessionContext"
# the kernel has answered over the page's own connection; then a cell is run in it, so that
# without a restart the notebook's first cell would be number 2
READY = f"""() => {{
  const session = {SESSION};
  session.ready.then(() => session.session.kernel.info)
    .then(() => session.session.kernel.requestExecute({{code: 'left_over = 1'}}).done)
    .then(() => {{ window.ready = true; }});
}}"""
RUN = """() => {
  jupyterapp.commands.execute('notebook:restart-run-all')
    .then(whole => { window.outcome = {whole}; }, error => { window.outcome = {error}; });
}"""
SAVE = """() => jupyterapp.commands.execute('docmanager:save')
  .then(() => jupyterapp.shell.currentWidget.context.model.dirty)"""
# what JupyterLab itself says at every restart: its line is cut, and a question of its debugger too
RESTART = ("error: Could not restore the debugger state: ", "warning: Connection lost, ")
WIDTHS = """all => Promise.all(all.map(img => img.decode().then(() => img.naturalWidth)))"""


@dataclass(frozen=True)
class Server:
    """A running JupyterLab: its address, the folder it shows, the data folder of its kernels."""

    url: str
    folder: Path
    store: Path

    def ask(self, path, method="GET"):
        """Answer of the server's own interface."""
        headers = {"Authorization": f"token {TOKEN}"}
        request = Request(f"{self.url}/api/{path}", method=method, headers=headers)
        with build_opener(ProxyHandler({})).open(request, timeout=OPEN) as answer:
            return json.loads(answer.read() or "null")


@dataclass(frozen=True)
class Ran:
    """A notebook that was run: what JupyterLab said of it, what it saved, and the tab."""

    name: str
    outcome: dict
    unsaved: bool
    saved: nbformat.NotebookNode
    tab: object
    server: Server


def blank(file, folder):
    """Copy a notebook without outputs and counts: what is there afterwards was made there."""
    notebook = nbformat.read(file, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, folder / file.name)


def address(process, runtime, log):
    """Address of a server that was just started, once it answers."""
    latest = time.monotonic() + UP
    while time.monotonic() < latest:
        try:
            process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            for file in runtime.glob("jpserver-*.json"):
                return json.loads(file.read_text())["url"].rstrip("/")
        else:
            break
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()}")


@pytest.fixture(scope="module")
def server(chromium, outside, tmp_path_factory):
    """A JupyterLab of the project's own settings with folders of its own."""
    place = tmp_path_factory.mktemp("lab")
    folder, store, runtime, log = (place / n for n in ("notebooks", "data", "runtime", "log.txt"))
    folder.mkdir()
    for file in NOTEBOOKS:
        blank(file, folder)
    own = {
        "SIGNALKIT_DATA": store,
        "JUPYTER_CONFIG_DIR": place / "config",
        "JUPYTER_DATA_DIR": place / "share",
        "JUPYTER_RUNTIME_DIR": runtime,
        "IPYTHONDIR": place / "ipython",
    }
    options = {
        "config": ROOT / "tools" / "jupyter_server_config.py",
        "ServerApp.port": 0,
        "ServerApp.root_dir": folder,
        "ServerApp.open_browser": False,
        "IdentityProvider.token": TOKEN,
        "LabApp.expose_app_in_browser": True,
    }
    with log.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *(f"--{k}={v}" for k, v in options.items())],
            cwd=place,
            env=outside | {name: str(path) for name, path in own.items()},
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Server(address(process, runtime, log), folder, store)
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def restart_and_run(page, address):
    """Open a notebook, restart its kernel, run all, save: the outcome, and what is unsaved."""
    page.goto(f"{address}?token={TOKEN}&reset")
    page.wait_for_function(SESSION, timeout=1000 * OPEN)
    page.evaluate(READY)
    page.wait_for_function("window.ready", timeout=1000 * OPEN)
    page.evaluate(RUN)
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.wait_for_function("window.outcome", timeout=1000 * DONE)
    return page.evaluate("window.outcome"), page.evaluate(SAVE)


# the last asks for every stage, so it is first to run: alone, on a store that was empty before
@pytest.fixture(scope="module", params=[file.name for file in reversed(NOTEBOOKS)])
def ran(request, server, new_tab):
    """A notebook after Restart Kernel and Run All Cells."""
    assert server.store.exists() == (request.param != NOTEBOOKS[-1].name)
    tab = new_tab()
    try:
        outcome, unsaved = restart_and_run(tab.page, f"{server.url}/lab/tree/{request.param}")
        saved = nbformat.read(server.folder / request.param, as_version=4)
        yield Ran(request.param, outcome, unsaved, saved, tab, server)
    finally:
        tab.page.context.close()
        for session in server.ask("sessions"):
            server.ask(f"sessions/{session['id']}", "DELETE")


def test_every_cell_runs_in_a_new_kernel_and_none_fails(ran):
    cells = [cell for cell in ran.saved.cells if cell.cell_type == "code"]
    failed = [o.evalue for c in cells for o in c.outputs if o.output_type == "error"]
    assert failed == []
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert ran.outcome == {"whole": True}
    assert not ran.unsaved


def test_nothing_is_written_to_the_error_stream(ran):
    streams = [o for c in ran.saved.cells for o in c.get("outputs", []) if "text" in o]
    assert [stream.text for stream in streams if stream.name == "stderr"] == []


def test_every_figure_is_saved_with_words_and_drawn(ran):
    outputs = [o for c in ran.saved.cells for o in c.get("outputs", [])]
    figures = [o for o in outputs if "image/png" in o.get("data", {})]
    drawn = ran.tab.page.locator(".jp-OutputArea-output img").evaluate_all(WIDTHS)
    assert len(figures) == len(drawn) > 0
    assert min(drawn) > 0
    assert all(o.metadata.get("image/png", {}).get("alt", "").strip() for o in figures)


def test_no_dialog_and_no_notice_is_left_open(ran):
    assert ran.tab.page.locator(".jp-Dialog").all_inner_texts() == []
    assert ran.tab.page.locator(".Toastify__toast").all_inner_texts() == []


def test_nothing_is_asked_of_another_computer(ran):
    here = urlsplit(ran.server.url).netloc
    web = [urlsplit(url) for url in ran.tab.asked]
    assert {part.netloc for part in web if part.scheme not in {"data", "blob"}} == {here}


def test_console_holds_no_complaint_but_those_of_a_restart(ran):
    assert [said for said in ran.tab.said if not said.startswith(RESTART)] == []


def test_run_changes_outputs_alone_and_only_in_the_copy(ran):
    committed = COMMITTED[ran.name]
    written = nbformat.reads(committed.decode(), as_version=4)
    assert [cell.source for cell in ran.saved.cells] == [cell.source for cell in written.cells]
    assert (ROOT / "notebooks" / ran.name).read_bytes() == committed
