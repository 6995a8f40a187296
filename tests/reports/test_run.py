"""From params to report: executed once, read afterwards, stopped with a sentence."""

import json
import os
import subprocess
import sys

import nbformat
import pytest
from click.testing import CliRunner

from signalkit import ROOT, cli, reports
from signalkit.errors import LeakError, ParamsError, SignalkitError
from signalkit.reports import notebooks
from signalkit.study import Study

QUICKSTART = ROOT / "params" / "quickstart.yaml"


def notebook_of(*sources):
    """A notebook with a parameters cell and some code cells."""
    names = ["collection", "features", "labeling", "training", "validation", "signals"]
    declared = "\n".join(f"{name}: dict = {{}}" for name in [*names, "backtesting"])
    first = nbformat.v4.new_code_cell(f'study_name: str = "x"\n{declared}')
    first.metadata["tags"] = ["parameters"]
    cells = [first, *map(nbformat.v4.new_code_cell, sources)]
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=spec)


@pytest.fixture
def only(tmp_path, monkeypatch):
    """Replace the project's notebooks by one made of some code cells."""

    def put(*sources):
        folder = tmp_path / "notebooks"
        folder.mkdir()
        file = folder / "01_collection.ipynb"
        nbformat.write(notebook_of(*sources), file)
        monkeypatch.setattr(notebooks, "FOLDER", folder)
        return file

    return put


@pytest.fixture(scope="module")
def quickstart(quickstart_ran):
    """The quickstart's report and its study."""
    return reports.run(QUICKSTART)


def test_report_has_index_pages_notebooks_and_numbers(quickstart):
    index, _ = quickstart
    stems = [file.stem for file in notebooks.notebook_files()]
    names = {f"{stem}.{kind}" for stem in stems for kind in ("html", "ipynb")}
    assert names | {"index.html", "numbers.json", "params.yaml"} == {
        p.name for p in index.parent.iterdir()
    }


def test_run_again_executes_nothing_and_gives_the_same_files(quickstart, monkeypatch):
    index, _ = quickstart
    before = {p.name: p.read_bytes() for p in index.parent.iterdir()}

    def refuse(*given, **named):
        raise AssertionError("an unchanged notebook was executed")

    monkeypatch.setattr(notebooks, "execute", refuse)
    _, again = reports.run(QUICKSTART)
    assert again.computed == []
    assert {p.name: p.read_bytes() for p in index.parent.iterdir()} == before


def test_every_number_of_the_verdict_is_in_the_numbers_file(quickstart):
    index, study = quickstart
    stored = json.loads((index.parent / "numbers.json").read_text())
    for measure, row in study.verdict().iterrows():
        assert stored["numbers"][f"verdict.{measure}.value"] == row["value"]
        assert stored["numbers"][f"verdict.{measure}.trials"] == row["trials"]


def test_scores_of_daily_direction_are_near_their_baseline_and_the_words_say_so(quickstart):
    _, study = quickstart
    accuracy = study.evidence("scores").loc[("ENSEMBLE", "accuracy")]
    assert abs(accuracy["gain"]) < 0.05
    assert study.evidence("scores").loc[("ENSEMBLE", "auc_direction"), "value"] < 0.56
    assert any(said.startswith("The scores are of a believable size") for said in study.words())


def test_pages_and_index_name_no_address_outside(quickstart):
    index, _ = quickstart
    for page in index.parent.glob("*.html"):
        text = page.read_text()
        assert 'src="http' not in text
        assert 'import("http' not in text
        assert "cdnjs" not in text


def test_run_is_noted_with_the_head_of_the_ledger(quickstart):
    _, study = quickstart
    newest = list(study.store.db["runs"].rows)[-1]
    assert (newest["study_name"], newest["status"]) == ("quickstart", "completed")
    assert newest["ledger_head"] == study.store.ledger.head()


def test_a_failing_cell_stops_the_run_and_leaves_the_executed_notebook(own_store, only):
    only("from signalkit.errors import LeakError", "raise LeakError('the future got in')", "1 + 1")
    done = CliRunner().invoke(cli.main, ["run", str(QUICKSTART)])
    assert done.exit_code == 1
    assert "01_collection.ipynb cell [4] failed: the future got in" in done.output
    left = reports.report_folder("quickstart") / "01_collection.failed.ipynb"
    cells = nbformat.read(left, as_version=4).cells
    outputs = [o for c in cells if c.cell_type == "code" for o in c.outputs]
    assert [o.evalue for o in outputs if o.output_type == "error"] == ["the future got in"]
    assert not (reports.report_folder("quickstart") / "index.html").exists()


def test_the_error_keeps_the_class_that_the_cell_raised(own_store, only, tmp_path):
    file = only("from signalkit.errors import LeakError", "raise LeakError('x')")
    with pytest.raises(LeakError, match=r"cell \[3\] failed: x"):
        notebooks.execute(file, tmp_path / "failed.ipynb", given={})


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import sys; sys.exit(0)", "cell"),
        ("import os; os._exit(3)", "DeadKernelError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_notebook_that_ends_early_is_a_failure(own_store, only, tmp_path, source, says):
    file = only(source, "1 + 1")
    with pytest.raises(SignalkitError, match=says):
        notebooks.execute(file, tmp_path / "failed.ipynb", given={})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"labelling": {"horizon": 3}}, "does not declare 'labelling'; did you mean 'labeling'"),
        ({"labeling": {"horizn": 3}}, "does not declare 'horizn'; did you mean 'horizon'"),
    ],
)
def test_a_name_nobody_declares_is_an_error_in_papermill_alone(own_store, tmp_path, given, says):
    file = ROOT / "notebooks" / "03_labeling.ipynb"
    with pytest.raises(ParamsError, match=says):
        notebooks.execute(file, tmp_path / "failed.ipynb", given=given)


@pytest.mark.parametrize(
    "text",
    [
        "labeling: {target: target_return, horizon: 1}\nvalidation: {expanding: true, gap: 5,"
        ' train: 400, test: 300, draws: 100, holdout_from: "2004-01-01"}\n'
        "training: {models: [LIGHTGBM], rounds: 5}\nfeatures: {names: [return_5]}\n"
        'collection: {end: "2004-12-31", symbols: [NASDAQ]}\n',
        "signals: {direction: long_only, threshold: 0.9}\nbacktesting: {fill: next_open,"
        " open_holdout: true}\nvalidation: {train: 400, test: 200, step: 300, draws: 100,"
        ' holdout_from: "2004-01-01"}\ntraining: {rounds: 5}\ncollection: {end: "2004-12-31"}\n'
        "features: {families: [price, volume]}\n",
    ],
    ids=["numeric target, one of everything", "no trades, holdout open"],
)
def test_a_study_far_from_the_quickstart_runs_to_its_report_and_again(own_store, tmp_path, text):
    file = tmp_path / "other.yaml"
    file.write_text(text)
    done = CliRunner().invoke(cli.main, ["run", str(file)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip().endswith("other/index.html")
    if "open_holdout" in text:  # the quickstart, in which it is closed, is verified by certify
        total, found = reports.verify("other")
        assert found == []
        assert total > 5000


def test_identity_follows_cells_and_params_and_the_ledger_only_where_it_is_read(own_store):
    study, other = Study.open(), Study.open(labeling={"horizon": 6})
    first, *_ = files = notebooks.notebook_files()
    (last,) = [file for file in files if file.stem == "06_backtesting"]
    of = {file: notebooks.identity(file, study)["identity"] for file in (first, last)}
    assert notebooks.identity(first, other)["identity"] != of[first]
    own = {"series": "own", "artifact": "a", "holdout": True}
    study.store.ledger.record(study.configuration(), **own)
    assert notebooks.identity(last, study)["identity"] == of[last]
    study.store.ledger.record({"another": 1}, series="s", artifact="a")
    assert notebooks.identity(first, study)["identity"] == of[first]
    assert notebooks.identity(last, study)["identity"] != of[last]


def test_papermill_command_runs_a_notebook_where_nothing_ran_before(own_store, tmp_path):
    out = tmp_path / "out.ipynb"
    file = ROOT / "notebooks" / "03_labeling.ipynb"
    command = [sys.executable, "-m", "papermill", str(file), str(out), "-f", str(QUICKSTART)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    code = [c for c in nbformat.read(out, as_version=4).cells if c.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert "unknown parameter" not in done.stderr


def test_the_first_notebooks_tell_of_a_simulated_market_and_its_news(own_store, tmp_path):
    collected = {"source": "simulator", "symbols": ["AAAUSDT", "BBBUSDT"], "interval": "1h"}
    collected |= {"start": "2024-01-01", "end": "2024-03-31", "news": {"source": "simulator"}}
    given = {
        "study_name": "market",
        "collection": collected,
        "features": {"families": ["price", "sentiment"]},
        "validation": {"train": 500, "test": 200, "holdout_from": "2024-03-01"},
    }
    for stem, pictures in (("01_collection", 5), ("02_features", 2)):
        notebook = notebooks.execute(
            ROOT / "notebooks" / f"{stem}.ipynb", tmp_path / "x.ipynb", given
        )
        outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
        shown = [o for o in outputs if "image/png" in o.get("data", {})]
        assert len(shown) == pictures
        assert not [o for o in outputs if o.output_type in ("error", "stream")]


def test_a_warning_in_a_cell_names_no_process(only, tmp_path):
    file = only("import warnings\nwarnings.warn('look here')")
    notebook = notebooks.execute(file, tmp_path / "x.ipynb", {})
    (told,) = [o.text for cell in notebook.cells for o in cell.get("outputs", [])]
    assert told.startswith("cell.py:2: UserWarning: look here")


@pytest.mark.certify
def test_the_simulated_study_finds_its_edge_and_can_be_executed_again(own_store):
    _, study = reports.run(ROOT / "params" / "simulated.yaml")
    assert study.words()[0].startswith("An edge is seen")
    total, found = reports.verify("simulated")
    assert found == []
    assert total > 5000
