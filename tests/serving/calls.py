"""The examples of docs/api.md, run against the server that they start."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from signalkit import ROOT
from signalkit.store import Store
from tests.serving.trained import walk

PORT = "8765"  # of the examples
TOKEN = "choose-a-long-one"
COMMANDS = Path(sys.executable).parent


def example(language):
    """The example of the page in a language."""
    (found,) = re.findall(
        rf"```{language}\n(.*?)```", (ROOT / "docs/api.md").read_text(), re.DOTALL
    )
    return found


def collect(store, bars):
    """Bars of two coins up to this hour, as the examples ask for them."""
    coins = {"BTCUSDT": walk(bars, 2), "ETHUSDT": walk(bars, 3)}
    panel = pd.concat(coins, names=["symbol", "time"])
    store.write_bars(panel, source="binance", interval="1h", calendar="24/7")


def free_port():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


@contextmanager
def served(folder, log):
    """What the example of the shell says over a data folder; its server goes on meanwhile.

    Gives its words and the port, which alone is another one than that of the page.
    """
    if not shutil.which("curl"):
        pytest.skip("needs curl, which is not on PATH")
    if not (COMMANDS / "signalkit").exists():
        pytest.skip("needs the command signalkit, which is not installed")
    port = free_port()
    words = example("sh").replace(PORT, port)
    words = words.replace("signalkit serve", f"signalkit serve --port {port}")
    server = log.with_name("server")
    words += f"\necho $! > {server}"
    env = os.environ | {"SIGNALKIT_DATA": str(folder), "PYTHONPATH": str(ROOT)}
    env["PATH"] = f"{COMMANDS}:{env['PATH']}"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["bash", "-e", "-c", words], stdout=out, stderr=out, env=env, start_new_session=True
        )
        try:
            assert process.wait(150) == 0, log.read_text()
            yield log.read_text(), port
        finally:
            if server.exists():
                os.kill(int(server.read_text()), signal.SIGTERM)
            else:
                os.killpg(process.pid, signal.SIGKILL)


def stopped(folder):
    """Whether the server's worker has ended, as it does with its server, and said so."""
    with Store.open(folder) as store:
        return store.watch.state("worker") == {"stopped": True}
