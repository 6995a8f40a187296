"""Params from YAML or from a dict of sections; every error names its place."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from signalkit.errors import ParamsError
from signalkit.params.rules import broken_rules
from signalkit.params.sections import Params


def check_names(names: list[str]) -> None:
    """Refuse a name that is not `study_name` or a section.

    Raises
    ------
    ParamsError
        With the near match.
    """
    for name in names:
        if name not in Params.model_fields:
            raise ParamsError(f"params, {name}: {_unknown([name])}")


class _Loader(yaml.SafeLoader):
    """YAML without dates (they stay text, as in papermill) and without repeated keys."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    """A mapping whose keys are text and differ."""
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key, (key_node, _) in zip(keys, node.value, strict=True):
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise ParamsError(f"line {line}: the name {key!r} is not text; quote it")
        if keys.count(key) > 1:
            raise ParamsError(f"line {line}: '{key}' stands twice in one section; keep one")
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read(path: Path) -> Params:
    """Params of a study from a YAML file.

    Parameters
    ----------
    path : Path
        The params file.

    Raises
    ------
    ParamsError
        With file, line, section and name, what was found and what would do.
    """
    if not path.exists():
        raise ParamsError(f"{path}: no such params file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise ParamsError(f"{path} cannot be read as UTF-8 text: {cause}") from None
    try:
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as cause:
        raise ParamsError(f"{path} is not YAML: {' '.join(str(cause).split())}") from None
    except ParamsError as cause:
        raise ParamsError(f"{path} {cause}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ParamsError(f"{path} must hold sections such as 'labeling:', was {content!r}")
    return parse({"study_name": path.stem} | content, where=path, lines=_lines(text))


def question(path: Path) -> str:
    """The comment on top of a params file: what the study asks."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    return " ".join(lines)


def line_of(path: Path, message: str) -> str:
    """Where a message's `section.name:` stands in a params file, as ` line N`, or nothing."""
    place = tuple(message.split(":")[0].split("."))
    lines = _lines(path.read_text(encoding="utf-8"))
    known = (place[:depth] for depth in range(len(place), 0, -1))
    found = next((lines[start] for start in known if start in lines), None)
    return f" line {found}" if found else ""


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Line number of every name in a params file, by its place."""
    return _lines_of(yaml.compose(text, Loader=_Loader), ())


def _lines_of(node: yaml.Node | None, place: tuple[str, ...]) -> dict[tuple[str, ...], int]:
    """Line numbers of the names under a node."""
    found: dict[tuple[str, ...], int] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        found[(*place, key.value)] = key.start_mark.line + 1
        found |= _lines_of(value, (*place, key.value))
    return found


def parse(
    content: dict[str, Any],
    *,
    where: Path | str = "params",
    lines: dict[tuple[str, ...], int] | None = None,
) -> Params:
    """Params from a dict of sections; every error names its place.

    Parameters
    ----------
    content : dict
        `study_name` and sections.
    where : Path or str
        Where the content comes from, for messages.
    lines : dict, optional
        Line numbers of the names, for messages.
    """
    try:
        params = Params.model_validate(content)
    except ValidationError as refused:
        first = refused.errors()[0]
        place = tuple(str(part) for part in first["loc"])
        raise ParamsError(f"{_place(where, place, lines)}: {_rule(first)}") from None
    for section, told in broken_rules(params):
        raise ParamsError(f"{_place(where, tuple(section.split('.')), lines)}: {told}")
    return params


def _place(where: Path | str, place: tuple[str, ...], lines: dict | None) -> str:
    """File, line and dotted name."""
    known = (place[:depth] for depth in range(len(place), 0, -1))
    line = next((lines[start] for start in known if start in lines), None) if lines else None
    return f"{where}{f' line {line}' if line else ''}, {'.'.join(place)}"


def _rule(error: dict[str, Any]) -> str:
    """One broken rule in our words: what was found, what would do."""
    found = error["input"]
    if error["type"] == "extra_forbidden":
        return _unknown([str(part) for part in error["loc"]])
    if error["type"] == "value_error":
        cause = str(error["ctx"]["error"])
        return cause if repr(found) in cause else f"{cause}, was {found!r}"
    hint = ""
    if error["type"] == "literal_error" and isinstance(found, str):
        known = re.findall(r"'([^']+)'", error["msg"])
        near = difflib.get_close_matches(found, known, n=1)
        near = near or difflib.get_close_matches(found.upper(), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
    if isinstance(found, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?e[-+]?\d+", found, re.IGNORECASE):
        hint = "; YAML reads it as text, write it with a point such as 1.0e-3"
    if error["type"] == "string_type" and isinstance(found, bool | int | float):
        hint = "; quote it"
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, was {found!r}{hint}"


def _unknown(place: list[str]) -> str:
    """An undeclared name, with the nearest declared one."""
    model = Params
    for name in place[:-1]:
        model = model.model_fields[name].annotation
    known = list(model.model_fields)
    near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"it declares {', '.join(known)}"
    section = f"section '{'.'.join(place[:-1])}'" if len(place) > 1 else "a study"
    return f"{section} does not declare '{place[-1]}'; {hint}"
