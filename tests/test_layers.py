"""The house has layers: a module imports from layers above it in this list, never beside it."""

import ast
from pathlib import Path

import pytest

import signalkit

LAYERS = [
    {"errors"},
    {"bars", "params", "lineage", "kernels"},
    {"store", "volatility", "costs", "causality"},
    {"collection", "features", "labeling", "splits", "metrics", "significance"},
    {"training", "signals", "backtesting"},
    {"validation", "plots"},
    {"study", "proof"},
    {"inference", "monitoring"},
    {"live", "serving", "reports", "doctor"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted(p for p in signalkit.PACKAGE.rglob("*.py") if p.parent != signalkit.PACKAGE)
MODULES += sorted(p for p in signalkit.PACKAGE.glob("*.py") if p.name != "__init__.py")


def unit(path):
    """The name in the list that a file belongs to."""
    return path.relative_to(signalkit.PACKAGE).parts[0].removesuffix(".py")


def imports(source):
    """Names in the list that a source imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.count(".")}
        elif isinstance(node, ast.ImportFrom) and node.module == "signalkit":
            found |= {alias.name for alias in node.names if alias.name in LEVEL}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("signalkit."):
            found.add(node.module.split(".")[1])
    return found & set(LEVEL)


def offences(name, source):
    """Imports of a unit that are not from a layer above it."""
    return sorted(i for i in imports(source) if i != name and LEVEL[i] >= LEVEL[name])


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(signalkit.PACKAGE)))
def test_module_imports_only_from_layers_above_it(path):
    assert offences(unit(path), path.read_text()) == []


def test_every_module_has_a_layer():
    assert {unit(path) for path in MODULES} - set(LEVEL) == set()


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("bars", "from signalkit.lineage import digest"),
        ("features", "from signalkit import training"),
        ("metrics", "def f():\n    from signalkit.study import Study"),
    ],
)
def test_an_import_from_beside_or_below_is_seen(name, source):
    assert offences(name, source)


def test_package_is_two_folders_deep_at_most():
    files = [p for p in signalkit.PACKAGE.rglob("*.*") if "__pycache__" not in p.parts]
    depths = {len(p.relative_to(signalkit.PACKAGE).parts) for p in files}
    assert max(depths) <= 3  # two folders and a file


def test_no_module_is_longer_than_four_hundred_lines():
    long = [p.name for p in MODULES if len(p.read_text().splitlines()) > 400]
    assert long == []


def test_only_collection_may_reach_the_network():
    network = {"ccxt", "feedparser", "httpx", "requests", "socket", "urllib"}
    users = {
        unit(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and network & {a.name.split(".")[0] for a in node.names}
    }
    assert users <= {"collection", "serving"}


def test_layers_in_the_architecture_page_are_these():
    page = (Path(signalkit.PACKAGE).parent / "docs" / "architecture.md").read_text()
    listed = [line for line in page.splitlines() if line.startswith(tuple("0123456789"))]
    drawn = {name for line in listed for name in line.split("|")[0].split()[1:]}
    assert {name for name in drawn if name in LEVEL} == {unit(path) for path in MODULES}
