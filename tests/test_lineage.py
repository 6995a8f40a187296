"""lineage.py: the same identity for the same makings, another one for any other."""

import hashlib
import importlib
import json
import os
import pkgutil
import platform
import random
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import lightgbm
import numba
import numpy as np
import pandas as pd
import pytest
import xgboost
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import signalkit
from signalkit import lineage

CAREFUL = settings(max_examples=50, deadline=None, derandomize=True)
TOP = sorted(f"signalkit.{module.name}" for module in pkgutil.iter_modules(signalkit.__path__))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)  # fmt: skip


def shuffled(value, order):
    """The same JSON value with the keys of every dict in another order."""
    if isinstance(value, list):
        return [shuffled(part, order) for part in value]
    if not isinstance(value, dict):
        return value
    keys = list(value)
    order.shuffle(keys)
    return {key: shuffled(value[key], order) for key in keys}


def answer(script, folder=None):
    """What a new Python process prints as JSON, importing signalkit from a folder."""
    path = {"PYTHONPATH": str(folder)} if folder else {}
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env=os.environ | path, cwd=folder, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture
def copied(tmp_path):
    """A function that tells each top module's code, in a copy of the package."""
    copy = tmp_path / "signalkit"
    shutil.copytree(signalkit.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "import json, signalkit; from signalkit import lineage;"
        f"print(json.dumps([str(signalkit.PACKAGE), {{m: lineage.code([m]) for m in {TOP}}}]))"
    )

    def tell():
        package, told = answer(script, tmp_path)
        assert package == str(copy.resolve())
        return told

    return copy, tell


@CAREFUL
@given(JSON, st.integers(0, 99))
def test_a_digest_does_not_see_the_order_of_keys(value, seed):
    assert lineage.digest(shuffled(value, random.Random(seed))) == lineage.digest(value)


@CAREFUL
@given(JSON, JSON)
def test_values_that_differ_have_digests_that_differ(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (lineage.digest(one) == lineage.digest(other)) == same


def test_a_digest_is_the_hash_of_compact_json_and_sees_the_order_of_a_list():
    text = b'{"a":[1,2],"b":"\\u00e9"}'
    assert lineage.digest({"b": "é", "a": [1, 2]}) == hashlib.sha256(text).hexdigest()
    assert lineage.digest([1, 2]) != lineage.digest([2, 1])
    with pytest.raises(ValueError, match="not JSON compliant"):
        lineage.digest({"threshold": float("nan")})


def test_a_file_digest_is_that_of_its_bytes(tmp_path):
    (tmp_path / "bars.csv").write_bytes(bytes(range(256)) * 5000)
    expected = hashlib.sha256(bytes(range(256)) * 5000).hexdigest()
    assert lineage.file_digest(tmp_path / "bars.csv") == expected


def test_imports_are_found_anywhere_in_a_source():
    source = (
        "import os.path as p, json\n"
        "from signalkit.bars import check, gaps as g\n"
        "def late():\n    import exchange_calendars\n"
        "text = 'import none'\n"
    )
    expected = {"os.path", "json", "signalkit.bars", "exchange_calendars"}
    assert lineage.imported(source) == expected | {"signalkit.bars.check", "signalkit.bars.gaps"}


@pytest.mark.parametrize("module", ["signalkit.collection", "signalkit.features"])
def test_the_code_of_a_stage_is_what_python_loads_for_it(module):
    script = f"import json, sys, {module}; print(json.dumps(list(sys.modules)))"
    loaded = {name for name in answer(script) if name.startswith("signalkit.")}
    assert set(lineage.code([module])) == loaded


def test_the_code_of_features_has_volatility_and_not_training():
    found = lineage.code(["signalkit.features"])
    assert {"signalkit.volatility", "signalkit.kernels.windows", "signalkit.bars"} <= set(found)
    assert not [name for name in found if name.startswith(("signalkit.training", "signalkit.st"))]
    for name, told in found.items():
        source = Path(importlib.import_module(name).__file__).read_bytes()
        assert told == hashlib.sha256(source).hexdigest()


@pytest.mark.parametrize(
    ("changed", "user", "stranger"),
    [
        ("volatility", "signalkit.features", "signalkit.store"),
        ("training.boosting", "signalkit.training", "signalkit.features"),
        ("store.schema", "signalkit.store", "signalkit.training"),
        ("errors", "signalkit.bars", "signalkit.lineage"),
    ],
)
def test_a_changed_byte_changes_the_code_of_those_who_import_it_only(
    copied, changed, user, stranger
):
    folder, tell = copied
    before = tell()
    file = folder.joinpath(*changed.split(".")).with_suffix(".py")
    file.write_bytes(file.read_bytes() + b"#")
    after = tell()
    users = {module for module in TOP if f"signalkit.{changed}" in before[module]}
    assert {module for module in TOP if after[module] != before[module]} == users
    assert user in users
    assert stranger not in users


def test_libraries_are_told_with_the_versions_that_are_loaded():
    found = lineage.libraries(["signalkit.features", "signalkit.training", "signalkit.params"])
    loaded = {"numpy": np, "pandas": pd, "numba": numba, "lightgbm": lightgbm, "pyyaml": yaml}
    for name, module in loaded.items():
        assert found[name] == module.__version__
    assert found.get("xgboost-cpu", found.get("xgboost")) == xgboost.__version__
    assert found["exchange_calendars"] == version("exchange-calendars")
    assert found["python"] == platform.python_version()
    assert found["machine"] == platform.machine()


def test_libraries_that_a_stage_does_not_import_are_not_told():
    assert set(lineage.libraries(["signalkit.errors"])) == {"python", "machine"}
    assert not {"lightgbm", "papermill"} & set(lineage.libraries(["signalkit.features"]))


MADE = {
    "stage": "features",
    "params": {"names": ["return_1"]},
    "modules": ["signalkit.volatility"],
    "upstream": {"collection": "0" * 64},
    "data": {"sp500.csv.gz": "1" * 64},
    "glue": ("signalkit.errors",),
}


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("stage", "labeling"),
        ("params", {"names": ["return_2"]}),
        ("modules", ["signalkit.costs"]),
        ("upstream", {"collection": "2" * 64}),
        ("upstream", {}),
        ("data", {"sp500.csv.gz": "2" * 64}),
        ("data", None),
        ("glue", ("signalkit.study",)),
        ("glue", ()),
    ],
)
def test_an_identity_changes_with_anything_it_was_made_from(name, other):
    one, two = ({**MADE, name: value} for value in (MADE[name], other))
    found = [lineage.identity(made.pop("stage"), **made) for made in (one, two)]
    same_code = name == "glue" and not other  # errors.py is in the closure of volatility
    assert (found[0]["identity"] == found[1]["identity"]) == same_code


def test_an_identity_is_the_digest_of_its_parts_and_ignores_the_order_of_modules():
    made = {"params": {}, "upstream": {}}
    parts = lineage.identity("x", modules=["signalkit.costs", "signalkit.bars"], **made)
    other = lineage.identity("x", modules=iter(["signalkit.bars", "signalkit.costs"]), **made)
    assert parts == other
    assert parts.pop("identity") == lineage.digest(parts)
    assert set(parts) == {"stage", "params", "code", "environment", "upstream", "data"}


def test_glue_counts_by_its_own_source_and_not_by_what_it_imports():
    made = {"params": {}, "upstream": {}, "modules": ["signalkit.costs"]}
    glued = lineage.identity("x", glue=("signalkit.study.stages",), **made)["code"]
    assert set(glued) == {"signalkit.costs", "signalkit.study.stages"}
