"""The form of the notebooks: one question, composed cells, parameters as in the schema."""

import ast
from pathlib import Path

import nbformat
import papermill
import pytest

from signalkit import ROOT
from signalkit.params import SECTIONS, Params

FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))
STAGES = ["collection", "features", "labeling", "training", "validation", "backtesting"]
STAGES += ["inference", "monitoring"]
OWN = {name: [name] for name in STAGES} | {"backtesting": ["signals", "backtesting"]}
LEDGER_CALLS = (".verdict(", ".words_html(", ".luck(", ".holdout(", ".ledger")


@pytest.fixture(params=FILES, ids=lambda p: p.stem)
def file(request):
    return request.param


@pytest.fixture
def cells(file):
    return nbformat.read(file, as_version=4).cells


def code(cells):
    return [cell for cell in cells if cell.cell_type == "code"]


def own_lines(cell):
    """Lines of a cell but those that only name another notebook's section."""
    return [line for line in cell.source.splitlines() if not line.endswith(": dict = {}")]


def parameters(cells):
    """Names and values that the parameters cell sets."""
    (cell,) = [c for c in code(cells) if "parameters" in c.metadata.get("tags", [])]
    nodes = ast.parse(cell.source).body
    return {node.target.id: ast.literal_eval(node.value) for node in nodes}


def test_notebooks_are_the_stages_in_order():
    assert [p.stem for p in FILES] == [f"{n:02d}_{s}" for n, s in enumerate(STAGES, start=1)]


def test_notebook_is_valid_and_runs_on_python3(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


def test_opens_with_title_question_reads_and_writes(file, cells):
    first = cells[0]
    stage = file.stem.split("_", 1)[1]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {int(file.stem[:2])} · {stage.capitalize()}")
    assert first.source.splitlines()[2].endswith("?**")
    assert "**Reads**" in first.source
    assert "**Writes**" in first.source


def test_second_cell_is_all_imports_and_no_other_cell_imports(cells):
    imports, *rest = code(cells)
    kinds = (ast.Import, ast.ImportFrom)
    assert all(isinstance(node, kinds) for node in ast.parse(imports.source).body)
    assert not [c for c in rest for n in ast.walk(ast.parse(c.source)) if isinstance(n, kinds)]


def test_notebook_defines_nothing_and_cells_are_short(cells):
    for cell in code(cells):
        body = ast.parse(cell.source).body
        assert not [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        assert len(own_lines(cell)) <= 15
    assert sum(len(own_lines(cell)) for cell in code(cells)) < 120


def test_has_about_as_much_prose_as_code(cells):
    assert 0.5 <= sum(c.cell_type == "markdown" for c in cells) / len(code(cells)) <= 2


def test_parameters_declare_the_study_name_and_every_section(cells):
    assert list(parameters(cells)) == ["study_name", *SECTIONS]


def test_own_sections_are_spelled_out_with_the_defaults_of_the_schema(file, cells):
    own, given = OWN[file.stem.split("_", 1)[1]], parameters(cells)
    defaults = Params().model_dump()
    assert {name: given[name] for name in own} == {name: defaults[name] for name in own}
    assert all(given[name] == {} for name in SECTIONS if name not in own)


def test_papermill_sees_every_declared_name(file):
    assert set(papermill.inspect_notebook(str(file))) == {"study_name", *SECTIONS}


def test_committed_executed_without_errors_and_without_marks_of_a_run(file, cells):
    assert all(cell.execution_count for cell in code(cells))
    assert not [o for c in code(cells) for o in c.outputs if o.output_type in ("error", "stream")]
    assert "papermill" not in file.read_text()


def test_every_figure_has_a_text_alternative_that_says_what_it_shows(cells):
    shown = [o for c in code(cells) for o in c.outputs if "image/png" in o.get("data", {})]
    assert shown
    for output in shown:
        alt = output.metadata["image/png"]["alt"]
        assert alt == output.data["text/plain"]
        assert len(alt) > 40


def test_a_figure_follows_a_check_and_a_number_is_compared(cells):
    sources = [cell.source for cell in code(cells)]
    assert any("# NBVAL_CHECK_OUTPUT" in source for source in sources)
    assert sum("assert " in source for source in sources) >= sum("plots." in s for s in sources) - 1


def test_closes_with_an_answer_and_its_limits(cells):
    assert cells[-1].source.startswith("## What this can and cannot tell")
    assert cells[-2].cell_type == "code"
    assert "origin" in cells[-2].source


def test_prose_holds_for_any_parameters(cells):
    prose = " ".join(c.source for c in cells if c.cell_type == "markdown")
    assert not [word for word in ("S&P", "NASDAQ", "SP500", "0.05", "2008") if word in prose]


def test_nothing_is_muted_and_nothing_branches_on_being_a_test(cells):
    text = "\n".join(cell.source for cell in code(cells))
    assert "filterwarnings" not in text
    assert "if test" not in text


def test_what_reads_the_ledger_says_so(file, cells):
    declared = nbformat.read(file, as_version=4).metadata.get("signalkit", {})
    reads = any(call in cell.source for cell in code(cells) for call in LEDGER_CALLS)
    assert declared.get("reads_ledger", False) == reads


def test_only_the_notebook_of_backtesting_may_open_the_holdout(file, cells):
    opens = any(".holdout(" in cell.source for cell in code(cells))
    assert opens == (file.stem == "06_backtesting")


def test_links_lead_to_notebooks(cells):
    prose = " ".join(c.source for c in cells if c.cell_type == "markdown")
    links = [part.split(")")[0] for part in prose.split("](")[1:]]
    assert all((ROOT / "notebooks" / Path(link)).exists() for link in links)
