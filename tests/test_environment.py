"""The environment: lock files, environment.yml, the Makefile and tools/bootstrap.py."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
LOCKS = {"cpu": "requirements.lock", "gpu": "requirements-gpu.lock"}

# no licence in their metadata; read by hand from the licence file in the wheel
UNDECLARED = {"axe-playwright-python": "MIT", "namex": "Apache-2.0", "ta-lib": "BSD-2-Clause"}


def entries(extra):
    """Entries of a lock file: a requirement and its lines of hashes each."""
    return re.split(r"\n(?=\S)", (ROOT / LOCKS[extra]).read_text().strip())


def pins(extra):
    """Specifiers by canonical name; a name may be pinned once for each Python."""
    found = {}
    for entry in entries(extra):
        pin = Requirement(entry.split(" \\\n")[0])
        found.setdefault(canonicalize_name(pin.name), set()).add(str(pin.specifier))
    return found


def licence(distribution):
    """What a distribution says of its licence, in the field that says it shortest."""
    fields = distribution.metadata
    classifiers = [c for c in fields.get_all("Classifier", []) if c.startswith("License")]
    first_line = fields.get("License", "").strip().partition("\n")[0]
    return fields.get("License-Expression") or "; ".join(classifiers) or first_line


def load(path):
    spec = importlib.util.spec_from_file_location("bootstrap", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bootstrap():
    return load(ROOT / "tools" / "bootstrap.py")


@pytest.fixture
def elsewhere(tmp_path):
    """A project in tmp_path with one locked package and no kernels."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "bootstrap.py", tmp_path / "tools")
    (tmp_path / "tools" / "warm.py").write_text("")
    (tmp_path / "pyproject.toml").write_text("")
    for name in LOCKS.values():
        (tmp_path / name).write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    return tmp_path


@pytest.fixture
def builder(elsewhere, monkeypatch):
    """Its bootstrap, with an installer that only notes the lock it was given."""
    module = load(elsewhere / "tools" / "bootstrap.py")
    module.installed = []

    def install(lock, env):
        module.installed.append(lock)
        Path(module.PYTHON).parent.mkdir(parents=True, exist_ok=True)
        if not Path(module.PYTHON).exists():
            Path(module.PYTHON).symlink_to(sys.executable)

    monkeypatch.setattr(module, "install", install)
    return module


def test_conda_brings_python_and_leaves_every_version_to_the_lock():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, *others = conda["dependencies"]
    assert conda["name"] == PROJECT["name"]
    assert others == ["pip", {"pip": ["-r requirements.lock"]}]
    version = re.fullmatch(r"python=(\d+\.\d+)", python)[1]
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)


@pytest.mark.parametrize("extra", LOCKS)
def test_every_dependency_is_locked_at_a_version_it_allows(extra):
    extras = PROJECT["optional-dependencies"]
    locked = pins(extra)
    for line in PROJECT["dependencies"] + extras[extra] + extras["dev"]:
        wanted = Requirement(line)
        for pin in locked[canonicalize_name(wanted.name)]:
            assert wanted.specifier.contains(pin.removeprefix("==")), f"{line}, locked {pin}"


@pytest.mark.parametrize("extra", LOCKS)
def test_every_locked_package_has_one_version_a_hash_and_no_address(extra):
    for entry in entries(extra):
        pin = Requirement(entry.split(" \\\n")[0])
        assert re.fullmatch(r"==[^*,]+", str(pin.specifier)), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
        assert pin.url is None, entry
        assert "://" not in entry, entry


def test_cpu_and_gpu_exclude_each_other_and_share_all_other_versions():
    assert [{"extra": "cpu"}, {"extra": "gpu"}] in PYPROJECT["tool"]["uv"]["conflicts"]
    cpu, gpu = pins("cpu"), pins("gpu")
    assert cpu.keys() - gpu.keys() == {"tensorflow-cpu", "xgboost-cpu"}
    assert gpu.keys() >= {"tensorflow", "xgboost"}
    assert {name: cpu[name] for name in cpu.keys() & gpu.keys()}.items() <= gpu.items()


def test_no_installed_package_is_under_the_gpl():
    said = {canonicalize_name(d.name): licence(d) for d in importlib.metadata.distributions()}
    said = {name: words for name, words in said.items() if name in pins("cpu")}
    assert len(said) > 100
    assert {name for name, words in said.items() if not words} <= UNDECLARED.keys()
    copyleft = re.compile(r"\bA?GPL|GNU General Public|Affero")  # the Lesser one is allowed
    assert [name for name, words in said.items() if copyleft.search(words)] == []


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    documented = re.findall(r"^(\w+):.*?## \S", makefile, re.MULTILINE)
    assert documented == re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split()


def test_commands_named_in_documents_and_checks_are_make_targets():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    files = [ROOT / ".ci/run", ROOT / ".github/workflows/ci.yml", ROOT / "README.md"]
    for path in [*files, ROOT / ".pre-commit-config.yaml", *ROOT.glob("docs/**/*.md")]:
        named = re.findall(r"(?:`|^ *(?:- run: |entry: )?)make (\w+)", path.read_text(), re.M)
        assert set(named) <= set(targets), path


def test_python_3_6_can_read_the_bootstrap():
    source = (ROOT / "tools" / "bootstrap.py").read_text()
    assert ast.parse(source, feature_version=(3, 6)).body


def test_old_python_is_told_its_age(bootstrap):
    with pytest.raises(bootstrap.Stop, match=r"^python3 is 3\.9\.2; signalkit needs 3\.11"):
        bootstrap.check_python((3, 9, 2, "final", 0))
    bootstrap.check_python((3, 11, 0, "final", 0))


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_missing_venv_module_is_named_with_its_debian_package(bootstrap, monkeypatch, missing):
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: name != missing)
    with pytest.raises(bootstrap.Stop, match=f"no {missing} module.*apt-get install"):
        bootstrap.check_venv()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("error: failed\n  cause: No space left on device (os error 28)", "disk is full"),
        ("error: Failed to download\n  cause: Hash mismatch for `a==1`", "a==1 is not what"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES. Or:\n    a==1 from x:\n", "a==1 is not what"),
        ("error: Request failed after 3 retries\n  cause: dns error", "cannot be reached"),
        ("WARNING: Retrying after connection broken by 'NewConn'", "cannot be reached"),
        ("  cause: Because a==1 has no usable wheels and", "a==1 has no wheel for this Python"),
        ("ERROR: No matching distribution found for a==1", "a==1 has no wheel for this Python"),
        ("noise\nerror: something new\n", "making .venv failed: error: something new"),
    ],
)
def test_what_an_installer_says_becomes_one_sentence(bootstrap, words, says):
    sentence = bootstrap.explain(words, "making .venv")
    assert says in sentence
    assert sentence.endswith("; more in .bootstrap/setup.log")
    assert "\n" not in sentence


def test_wheel_folder_serves_where_no_index_answers(builder):
    builder.TOOLS.mkdir()
    installer = "import os, sys; 'UV_OFFLINE' in os.environ or sys.exit('Failed to fetch')"
    command = [sys.executable, "-c", installer]
    builder.run(command, {"UV_FIND_LINKS": "wheels"}, "installing")
    with pytest.raises(builder.Stop, match="cannot be reached"):
        builder.run(command, {}, "installing")


def refused_index():
    """Address of an index on a loopback port that nobody listens to."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/simple"


def installer_path(installer, empty):
    """Directory to search for uv; one that has none where pip is to fetch it."""
    if installer == "pip":
        if subprocess.run([sys._base_executable, "-c", "import pip"], check=False).returncode:
            pytest.skip("the Python below .venv has no pip")
        return str(empty)
    places = os.pathsep.join([str(ROOT / ".bootstrap" / "bin"), os.environ["PATH"]])
    uv = shutil.which("uv", path=places)
    return os.path.dirname(uv) if uv else pytest.skip("no uv on PATH or in .bootstrap")


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_no_index_ends_in_one_sentence(elsewhere, installer):
    env = {"PATH": installer_path(installer, elsewhere), "HOME": str(elsewhere)}
    env.update(UV_INDEX_URL=refused_index(), PIP_INDEX_URL=refused_index())
    env.update(UV_HTTP_RETRIES="0", PIP_CONFIG_FILE=os.devnull)
    command = [sys._base_executable, "tools/bootstrap.py"]  # as make starts it
    done = subprocess.run(
        command, cwd=elsewhere, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert re.fullmatch(r"the package index cannot be reached: connect, or .*\n", done.stderr)
    assert not (elsewhere / ".venv" / ".stamp").exists()


def test_half_made_environment_is_made_anew(builder):
    (builder.VENV / "half").mkdir(parents=True)
    assert builder.main([]) == 0
    assert builder.installed == ["requirements.lock"]
    assert not (builder.VENV / "half").exists()


def test_finished_environment_is_left_alone(builder):
    assert [builder.main([]), builder.main([])] == [0, 0]
    assert builder.installed == ["requirements.lock"]


def test_changed_lock_is_installed_for_the_extra_chosen_before(builder):
    builder.main(["--extra", "gpu"])
    (builder.ROOT / "requirements-gpu.lock").write_text("# newer\n")
    builder.main([])
    assert builder.installed == ["requirements-gpu.lock"] * 2


def test_kernels_that_do_not_compile_leave_no_stamp(builder):
    (builder.ROOT / "tools" / "warm.py").write_text("raise SystemExit(1)")
    assert builder.main([]).startswith("tools/warm.py failed")
    assert not builder.STAMP.exists()
