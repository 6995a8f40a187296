"""A report that was tampered with is found out, and the number is named."""

import json
import shutil

import pytest
from click.testing import CliRunner

from signalkit import cli, reports
from signalkit.errors import ParamsError, StoreError
from signalkit.reports.verify import _compare_folders
from signalkit.store import Store

PNG = 'src="data:image/png;base64,iVBORw0K'


@pytest.fixture(scope="module")
def report(quickstart_ran):
    """Folder of the quickstart's report."""
    return quickstart_ran / "reports" / "quickstart"


@pytest.fixture
def copy(report, tmp_path):
    return shutil.copytree(report, tmp_path / "copy")


@pytest.mark.certify
def test_a_study_executed_again_in_a_clean_process_gives_every_number(report):
    total, found = reports.verify("quickstart")
    assert found == []
    assert total > 5000


def test_a_report_equals_itself(report, copy):
    total, found = _compare_folders(copy, report)
    assert found == []
    assert total > 5000


def test_a_changed_number_is_named_however_small_the_change(report, copy):
    file = copy / "numbers.json"
    content = json.loads(file.read_text())
    name = "backtest.sharpe_annual.strategy"
    content["numbers"][name] *= 1 + 1e-15
    file.write_text(json.dumps(content))
    _, found = _compare_folders(copy, report)
    assert [d.name for d in found] == [f"numbers.json, {name}"]


def test_what_a_cell_tagged_varies_shows_is_not_compared_and_its_code_is(report, copy):
    page, notebook = copy / "04_training.html", copy / "04_training.ipynb"
    html = page.read_text()
    begin, end = html.index("<!--varies-->"), html.index("<!--/varies-->")
    page.write_text(html[:begin] + "<!--varies--><p>9.99 s</p>" + html[end:])
    content = json.loads(notebook.read_text())
    (cell,) = [c for c in content["cells"] if "varies" in c["metadata"].get("tags", [])]
    cell["outputs"] = []
    notebook.write_text(json.dumps(content, indent=1))
    assert _compare_folders(copy, report)[1] == []
    cell["source"] += "\n1 + 1"
    notebook.write_text(json.dumps(content, indent=1))
    assert [d.name.split(",")[0] for d in _compare_folders(copy, report)[1]] == [
        "04_training.ipynb"
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "name"),
    [
        ("index.html", ">0.400<", ">0.906<", "index.html, verdict.accuracy.value"),
        ("index.html", "No edge is seen", "An edge is seen", "index.html, text under"),
        ("index.html", "no difference seen", "better", "index.html, text under 'The verdict"),
        (
            "06_backtesting.html",
            "<td>3,214</td>",
            "<td>3,215</td>",
            "06_backtesting.html, text",
        ),
        ("05_validation.html", f"{PNG}Ggo", f"{PNG}Ggp", "05_validation.html, picture under"),
        ("02_features.ipynb", '"execution_count": 4', '"execution_count": 9', "02_features.ipynb"),
    ],
)
def test_a_changed_page_is_named_with_its_place(report, copy, file, old, new, name):
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1))
    _, found = _compare_folders(copy, report)
    assert found
    assert found[0].name.startswith(name)


def test_a_missing_page_is_named(report, copy):
    (copy / "03_labeling.html").unlink()
    _, found = _compare_folders(copy, report)
    assert [d.name for d in found] == ["03_labeling.html"]


def test_a_report_that_does_not_exist_is_refused():
    with pytest.raises(ParamsError, match="there is no report of 'nothing'"):
        reports.verify("nothing")


def test_a_missing_link_of_the_ledger_is_refused(report):
    with Store.open() as store:
        row = store.ledger.trials()[0]
        store.db["trials"].delete(row.seq)
        try:
            with pytest.raises(StoreError, match="the trial ledger"):
                reports.verify("quickstart")
        finally:
            store.db["trials"].insert(vars(row))


def test_the_command_says_which_number_differs_and_fails(monkeypatch):
    found = [reports.Difference("index.html, verdict.accuracy.value", "0.9", "0.4")]
    monkeypatch.setattr(reports, "verify", lambda name: (7, found))
    done = CliRunner().invoke(cli.main, ["verify", "quickstart"])
    assert done.exit_code == 1
    assert "index.html, verdict.accuracy.value: the report has 0.9" in done.output
    assert "1 of 7" in done.output


@pytest.mark.parametrize(
    "planted",
    [
        '<script>document.querySelector("[data-number]").textContent="0.999"</script></body>',
        '<style>td[data-number]::after{content:"0.999"}</style></body>',
    ],
)
def test_what_changes_a_page_without_being_its_text_is_found(report, copy, planted):
    file = copy / "index.html"
    file.write_text(file.read_text().replace("</body>", planted))
    _, found = _compare_folders(copy, report)
    assert [d.name for d in found] == ["index.html, what is not shown as text"]


def test_a_page_that_was_added_is_named(report, copy):
    (copy / "07_extra.html").write_text("<p>0.999</p>")
    _, found = _compare_folders(copy, report)
    assert [d.name for d in found] == ["07_extra.html"]
