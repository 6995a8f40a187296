"""Identities: what a result was made from, as one SHA-256.

identity = hash(data, source of the modules that made it, versions of the libraries they
import, its params, identities of what it was made from). Equal identity means the same
numbers; anything else is computed again. Pure hashing: nothing here touches the store.
"""

from __future__ import annotations

import ast
import hashlib
import json
import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from signalkit import PACKAGE

# import name -> distribution names, where they differ
_DISTRIBUTIONS = {
    "sklearn": ("scikit-learn",),
    "xgboost": ("xgboost-cpu", "xgboost"),
    "yaml": ("pyyaml",),
    "talib": ("ta-lib",),
    "IPython": ("ipython",),
}
_STANDARD = frozenset(sys.stdlib_module_names)


def digest(value: object) -> str:
    """SHA-256 of a JSON value, independent of key order.

    Examples
    --------
    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _parsed(path: Path) -> tuple[str, frozenset[str]]:
    """A source file's hash and every module name that it imports, anywhere in it."""
    source = path.read_bytes()
    return hashlib.sha256(source).hexdigest(), imported(source.decode())


def imported(source: str) -> frozenset[str]:
    """Every module name imported anywhere in a piece of Python source."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def _file_of(module: str) -> Path | None:
    """Source file of a module of the package, None for a name that is no module."""
    base = PACKAGE.parent.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.exists():
            return path
    return None


def _closure(modules: Iterable[str]) -> dict[str, Path]:
    """The modules and every module of the package that they import, directly or not."""
    found: dict[str, Path] = {}
    todo, seen = list(modules), set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _file_of(name)
        if path is None:
            continue
        found[name] = path
        todo += [n for n in _parsed(path)[1] if n.startswith(f"{PACKAGE.name}.")]
        if path.name == "__init__.py" and name != PACKAGE.name:
            todo += [f"{name}.{p.stem}" for p in path.parent.glob("*.py") if p != path]
    return found


def code(modules: Iterable[str]) -> dict[str, str]:
    """Hash of each source file that the modules consist of, imports included.

    Parameters
    ----------
    modules : iterable of str
        Dotted names, such as `signalkit.features`; a package stands for all its files.

    Returns
    -------
    dict of str to str
        Module name to SHA-256 of its source.
    """
    return {name: _parsed(path)[0] for name, path in sorted(_closure(modules).items())}


def libraries(modules: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of the libraries that the modules import.

    Returns
    -------
    dict of str to str
        Distribution name to version, with `python` and `machine`.
    """
    names = {n.split(".")[0] for p in _closure(modules).values() for n in _parsed(p)[1]}
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in sorted(names - _STANDARD - {PACKAGE.name}):
        for distribution in _DISTRIBUTIONS.get(name, (name,)):
            if number := _version(distribution):
                found[distribution] = number
                break
    return found


@cache
def _version(distribution: str) -> str | None:
    """Installed version of a distribution, None where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def identity(
    stage: str,
    *,
    params: Mapping[str, object],
    modules: Iterable[str],
    upstream: Mapping[str, str],
    data: Mapping[str, str] | None = None,
    glue: Iterable[str] = (),
) -> dict[str, object]:
    """What an artifact was made from, with its `identity`.

    Parameters
    ----------
    stage : str
        Name of what is made.
    params : mapping
        Its own parameters, JSON values.
    modules : iterable of str
        Modules of the package that make it.
    upstream : mapping of str to str
        Identities of what it is made from.
    data : mapping of str to str, optional
        SHA-256 of every file of data it reads.
    glue : iterable of str
        Modules that call them; their own source counts, what they import does not.

    Returns
    -------
    dict
        Every part, and `identity`, the SHA-256 of them all.
    """
    modules = tuple(modules)
    parts: dict[str, object] = {
        "stage": stage,
        "params": dict(params),
        "code": code(modules) | {name: _parsed(_file_of(name))[0] for name in glue},
        "environment": libraries(modules),
        "upstream": dict(upstream),
        "data": dict(data or {}),
    }
    return parts | {"identity": digest(parts)}
