"""The command: help at once, one sentence for what it refuses, a store left as it was."""

import hashlib
import os
import re
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from signalkit import ROOT, cli
from signalkit.store import Store
from tests.collection.binance_server import BinanceServer, walk

HEADER = "time,open,high,low,close,volume\n"


def prices(folder, name="BAD", row="2024-01-01T01:00:00Z,10,9,11,10,5"):
    """A CSV file of hourly bars with one row that breaks a rule."""
    (folder / f"{name}.csv").write_text(f"{HEADER}2024-01-01T00:00:00Z,10,11,9,10,5\n{row}\n")
    return folder / "{symbol}.csv"


def refused(tmp_path, text):
    """What `run` says about a params file."""
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    done = CliRunner().invoke(cli.main, ["run", str(file)])
    assert done.exit_code == 1
    said = done.stderr.strip().splitlines()
    assert len(said) == 1
    return said[0]


CASES = [
    ("labeling:\n  horizn: 3\n", "line 2, labeling.horizn: .*did you mean 'horizon'"),
    ('validation:\n  holdout_from: "2016-02-30"\n', "line 2, validation.*'2016-02-30' is no date"),
    ('validation:\n  holdout_from: "1990-01-01"\n', "line 2, .*after the first bar.*'1990-01-01'"),
    ("collection:\n  symbols: [SP50]\n", "line 2, collection.symbols: .*lacks 'SP50'.*'SP500'"),
]


@pytest.mark.parametrize(("text", "says"), CASES)
def test_bad_params_end_in_one_error_with_file_place_rule_and_value(
    own_store, tmp_path, text, says
):
    said = refused(tmp_path, text)
    assert said.startswith(f"Error: {tmp_path}/bad.yaml line 2")
    assert re.search(says, said)
    assert not own_store.exists()


def test_a_file_whose_high_is_under_its_low_is_refused_with_row_and_values(own_store, tmp_path):
    path = prices(tmp_path)
    text = (
        f"collection: {{source: files, path: '{path}', symbols: [BAD], interval: 1h,"
        " calendar: 24/7}\n"
    )
    said = refused(tmp_path, text)
    assert "BAD.csv" in said
    assert "high must not be under" in said
    assert "high 9, low 11" in said
    assert not own_store.exists()


def test_a_refused_study_leaves_a_store_with_content_as_it_was(own_store, tmp_path):
    with Store.open() as store:
        store.ledger.record({"a": 1}, series="s", artifact="a")
    before = {p: hashlib.sha256(p.read_bytes()).digest() for p in own_store.rglob("*.db")}
    refused(tmp_path, CASES[3][0])
    assert {p: hashlib.sha256(p.read_bytes()).digest() for p in own_store.rglob("*.db")} == before


def test_a_params_file_that_is_not_there_is_named(tmp_path):
    done = CliRunner().invoke(cli.main, ["run", str(tmp_path / "none.yaml")])
    assert done.exit_code == 1
    assert "none.yaml: no such params file" in done.output


def test_help_does_not_import_what_is_slow():
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom signalkit.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "slow = {'pandas', 'numba', 'xgboost', 'papermill'} & set(sys.modules)\n"
        "sys.exit(str(slow) if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_version_is_the_package_s():
    done = CliRunner().invoke(cli.main, ["--version"])
    assert done.output.strip() == "signalkit, version 0.1.0"


@pytest.fixture
def binance():
    """A loopback server of 120 hours of two symbols."""
    server = BinanceServer({"BTCUSDT": walk(120, lacking=[7]), "ETHUSDT": walk(120, seed=1)})
    yield server
    server.close()


def collecting(server, *more):
    """The arguments that collect from the server."""
    return ["collect", "--source", "binance", "--interval", "1h", "--url", server.url, *more]


@pytest.mark.parametrize(
    "symbols",
    [
        ["--symbols", "BTCUSDT", "ETHUSDT"],
        ["--symbols", "BTCUSDT", "--symbols", "ETHUSDT"],
        ["--symbols=BTCUSDT", "ETHUSDT"],
    ],
)
def test_collect_takes_several_symbols_and_tells_what_is_stored(own_store, binance, symbols):
    more = [*symbols, "--since", "2024-01-01"]
    done = CliRunner().invoke(cli.main, collecting(binance, *more))
    assert done.exit_code == 0, done.output
    rows = [line.split()[:5] for line in done.stdout.splitlines()]
    assert rows[-2:] == [["BTCUSDT", "119", "0", "1", "1"], ["ETHUSDT", "120", "0", "0", "0"]]
    with Store.open() as store:
        assert len(store.read_bars("ETHUSDT", "1h", source="binance")) == 120


def test_collect_goes_on_without_since_and_ends_with_the_day_of_until(own_store, binance):
    first = ["--symbols", "BTCUSDT", "--since", "2024-01-01", "--until", "2024-01-02"]
    CliRunner().invoke(cli.main, collecting(binance, *first))
    with Store.open() as store:
        assert str(store.span("BTCUSDT", "1h", "binance")[1]) == "2024-01-03 00:00:00+00:00"
    done = CliRunner().invoke(cli.main, collecting(binance, "--symbols", "BTCUSDT"))
    assert done.stdout.splitlines()[-1].split()[:2] == ["BTCUSDT", "72"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--symbols", "BTCUSDT"], "no 1h bars of BTCUSDT from binance are stored; name since"),
        (["--symbols", "BTCUSD", "--since", "2024-01-01"], "no 'BTCUSD'; did you mean 'BTCUSDT'"),
        (["--symbols", "BTCUSDT", "--since", "2024-02-30"], "'2024-02-30' is no date"),
        (["--symbols", "BTCUSDT", "--follow", "--until", "2024-01-02"], "leave out --until"),
        (["--symbols", "BTCUSDT", "--source", "binanc"], "did you mean 'binance'"),
    ],
)
def test_collect_refuses_in_one_sentence(own_store, binance, more, says):
    done = CliRunner().invoke(cli.main, collecting(binance, *more))
    assert done.exit_code == 1
    assert says in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_following_ends_on_a_signal_with_what_was_stored(tmp_path, binance, number):
    binance.reach = 4  # two pages and two newest bars: then it waits for the next
    more = ["--symbols", "BTCUSDT", "ETHUSDT", "--since", "2024-01-01 10:00", "--follow"]
    command = [sys.executable, "-m", "signalkit.cli", *collecting(binance, *more)]
    environment = os.environ | {"SIGNALKIT_DATA": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert binance.reached.wait(60)
        running.send_signal(number)
        said, complaints = running.communicate(timeout=30)
    assert (running.returncode, complaints) == (0, b"")
    lines = said.decode().splitlines()
    assert lines[0] == "stopped; 220 bars added, all that came is stored"
    assert [line.split()[:2] for line in lines[-2:]] == [["BTCUSDT", "110"], ["ETHUSDT", "110"]]
